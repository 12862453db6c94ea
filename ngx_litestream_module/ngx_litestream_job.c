
/*
 * Copyright (C) the ngx_litestream authors
 */


/* child processes of the supervisor: programs and jobs */


#include "ngx_litestream_supervisor.h"

#include <poll.h>
#include <stdarg.h>
#include <sys/syscall.h>


#define NGX_LITESTREAM_OUT_LEN     (16 * 1024 * 1024)
#define NGX_LITESTREAM_SAID_LEN    2048


static void ngx_litestream_job_main(ngx_litestream_job_t *job, pid_t parent);
static void ngx_litestream_job_mute(void);
static void ngx_litestream_job_lines(ngx_litestream_job_t *job, char *p,
    size_t len);
static void ngx_litestream_job_read(ngx_litestream_job_t *job);
static void ngx_litestream_job_read_handler(ngx_event_t *ev);
static void ngx_litestream_job_timer_handler(ngx_event_t *ev);
static void ngx_litestream_job_exited(ngx_litestream_proc_t *proc,
    int status);
static void ngx_litestream_job_finish(ngx_litestream_job_t *job);
static void ngx_litestream_job_signal(int signo);
static size_t ngx_litestream_job_said(char *said, size_t slen, char *line,
    size_t len);


static volatile sig_atomic_t  ngx_litestream_job_stop;


/*
 * Called once in the supervisor, before anything is started.
 */

ngx_int_t
ngx_litestream_job_init(ngx_cycle_t *cycle)
{
    ngx_uint_t  n;

    ngx_litestream_process_init();

    for (n = 0; n < NGX_LITESTREAM_JOB_CLASSES; n++) {
        ngx_queue_init(&ngx_litestream_sup->waiting[n]);
    }

    return NGX_OK;
}


/*
 * A job of a database, to be filled in and started; in the supervisor.  NULL:
 * no memory.  It frees itself after done() was called.
 */

ngx_litestream_job_t *
ngx_litestream_job_new(char *name, ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    job = ngx_calloc(sizeof(ngx_litestream_job_t), ngx_litestream_sup->log);
    if (job == NULL) {
        return NULL;
    }

    job->name = name;
    job->rdb = rdb;
    job->group = rdb ? rdb->db->group : NULL;
    job->fd = -1;
    job->pass = -1;
    job->proc.pid = -1;

    job->timer.handler = ngx_litestream_job_timer_handler;
    job->timer.data = job;
    job->timer.log = ngx_litestream_sup->log;

    return job;
}


/* its turn has come */

void
ngx_litestream_job_fork(ngx_litestream_job_t *job)
{
    int                s[2];
    pid_t              pid, parent;
    ngx_log_t         *log;
    ngx_connection_t  *c;

    log = ngx_litestream_sup->log;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: socketpair() failed");
        goto failed;
    }

    if (ngx_nonblocking(s[0]) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: " ngx_nonblocking_n " failed");
        goto close;
    }

    c = ngx_get_connection(s[0], log);
    if (c == NULL) {
        goto close;
    }

    c->data = job;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_litestream_job_read_handler;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_close_connection(c);
        (void) close(s[1]);
        goto failed;
    }

    parent = getpid();

    pid = fork();

    if (pid == 0) {
        job->fd = s[1];
        ngx_litestream_job_main(job, parent);
        /* unreachable */
    }

    (void) close(s[1]);

    if (pid == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: fork() failed while starting job \"%s\"",
                      job->name);
        ngx_close_connection(c);
        goto failed;
    }

    job->c = c;

    ngx_litestream_proc_add(&job->proc, pid, ngx_litestream_job_exited, job);

    if (job->timeout) {
        ngx_add_timer(&job->timer, job->timeout);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, log, 0,
                   "litestream: job \"%s\" %P", job->name, pid);

    return;

close:

    (void) close(s[0]);
    (void) close(s[1]);

failed:

    /* asynchronously, as any other end */

    ngx_add_timer(&job->timer, 1);
}


static void
ngx_litestream_job_signal(int signo)
{
    ngx_litestream_job_stop = 1;
}


static void
ngx_litestream_job_main(ngx_litestream_job_t *job, pid_t parent)
{
    int               fd, err;
    int               keep[NGX_LITESTREAM_KEEP];
    ngx_uint_t        n;
    struct sigaction  sa;

    ngx_litestream_child_signals();

    /* TERM: the job ends what it has started and removes its files */

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_handler = ngx_litestream_job_signal;
    (void) sigaction(SIGTERM, &sa, NULL);

    (void) setsid();

    fd = open("/dev/null", O_RDWR);

    if (fd > 0) {
        (void) dup2(fd, 0);
        (void) dup2(fd, 1);
    }

    n = 0;
    keep[n++] = job->fd;

    if (job->group) {
        n += ngx_litestream_lock_fds(job->group, &keep[n],
                                     NGX_LITESTREAM_KEEP - n);
    }

    ngx_litestream_job_mute();
    ngx_litestream_child_fds(keep, n);

    for (err = 0; err < (int) n; err++) {
        (void) fcntl(keep[err], F_SETFD, FD_CLOEXEC);
    }

    (void) umask(027);
    if (chdir("/") == -1) {
        _exit(1);
    }

    if (job->prepare) {
        job->prepare(job);
    }

    err = ngx_litestream_child_identity(job->group, SIGTERM, parent);

    if (err) {
        job->result.rc = NGX_ERROR;
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "cannot take the identity of user %s: %s",
                        job->group ? (char *) job->group->user.data : "root",
                        strerror(err));

    } else {
        job->run(job);
    }

    job->result.type = NGX_LITESTREAM_JOB_RESULT;
    ngx_litestream_job_tell(job, &job->result);

    _exit(0);
}


/*
 * The descriptors of the logs are about to be closed, and their numbers will
 * be those of other files, such as databases: nothing that nginx's functions
 * have to say may go there.  What a job says goes through the supervisor.
 */

static void
ngx_litestream_job_mute(void)
{
    ngx_log_t        *log;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_open_file_t  *file;

    for (log = ngx_litestream_sup->log; log; log = log->next) {
        log->log_level = 0;
    }

    for (log = ngx_litestream_sup->cycle->log; log; log = log->next) {
        log->log_level = 0;
    }

    part = &ngx_litestream_sup->cycle->open_files.part;
    file = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            file = part->elts;
            i = 0;
        }

        file[i].fd = NGX_INVALID_FILE;
    }
}


/* in a job: tells the supervisor; may block */

void
ngx_litestream_job_tell(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    int  fd;

    fd = (msg->type == NGX_LITESTREAM_JOB_RESULT) ? job->pass : -1;

    while (ngx_litestream_pass(job->fd, msg, sizeof(ngx_litestream_job_msg_t),
                               fd)
           == -1
           && errno == EINTR)
    {
        if (ngx_litestream_job_stop
            && msg->type != NGX_LITESTREAM_JOB_RESULT)
        {
            return;
        }
    }
}


/*
 * In a job: tells, and waits for the answer, which replaces msg.  NGX_ERROR:
 * the supervisor has gone, or the job shall end.
 */

ngx_int_t
ngx_litestream_job_ask(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    ssize_t  n;

    msg->type = NGX_LITESTREAM_JOB_ASK;

    ngx_litestream_job_tell(job, msg);

    for ( ;; ) {

        if (ngx_litestream_job_stop) {
            return NGX_ERROR;
        }

        n = recv(job->fd, msg, sizeof(ngx_litestream_job_msg_t), 0);

        if (n == (ssize_t) sizeof(ngx_litestream_job_msg_t)) {
            return NGX_OK;
        }

        if (n == -1 && errno == EINTR) {
            continue;
        }

        return NGX_ERROR;
    }
}


/* in a job: a line for the log, written there by the supervisor */

void
ngx_litestream_job_log(ngx_litestream_job_t *job, const char *fmt, ...)
{
    va_list                   args;
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));
    msg.type = NGX_LITESTREAM_JOB_LOG;

    va_start(args, fmt);
    (void) vsnprintf(msg.text, sizeof(msg.text), fmt, args);
    va_end(args);

    ngx_litestream_job_tell(job, &msg);
}


ngx_uint_t
ngx_litestream_job_stopped(void)
{
    return ngx_litestream_job_stop;
}


/*
 * In a job: what each command of Litestream begins with that is about the
 * database of job; the number of arguments, behind which others may come.
 */

ngx_uint_t
ngx_litestream_job_argv(ngx_litestream_job_t *job, char **argv, char *command)
{
    static char  jobs[4200];

    (void) snprintf(jobs, sizeof(jobs), "%s/jobs.yml",
                    (char *) job->rdb->db->group->dir.data);

    argv[0] = (char *) ngx_litestream_sup->conf->bin.data;
    argv[1] = command;
    argv[2] = "-no-expand-env";
    argv[3] = "-config";
    argv[4] = jobs;

    return 5;
}


/*
 * In a job: runs a program to its end, gathers its stdout and the last line
 * of its stderr.  tick is called about five times a second and returns 1 when
 * there was progress; timeout (ms) counts from the last progress.  NGX_ERROR:
 * it could not be started, was told to stop, timed out or said too much; the
 * program and its process group are gone then.
 */

ngx_int_t
ngx_litestream_job_exec(ngx_litestream_job_t *job, char **argv,
    ngx_msec_t timeout, ngx_litestream_tick_pt tick,
    ngx_litestream_run_t *run)
{
    int                     out[2], err[2], n, open_fds;
    char                    buf[4096];
    char                  **e;
    pid_t                   pid;
    u_char                 *p;
    size_t                  size, llen, slen;
    ssize_t                 len;
    ngx_int_t               rc, i;
    ngx_pool_t             *pool;
    struct pollfd           pfd[2];
    struct timespec         ts;
    ngx_msec_t              now, progress;
    ngx_litestream_exec_t   ex;
    char                    line[512], said[NGX_LITESTREAM_SAID_LEN];

    ngx_memzero(run, sizeof(ngx_litestream_run_t));

    pool = ngx_create_pool(4096, ngx_litestream_sup->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    e = ngx_litestream_environ(pool, job->group);
    if (e == NULL) {
        return NGX_ERROR;
    }

    if (pipe2(out, O_CLOEXEC) == -1 || pipe2(err, O_CLOEXEC) == -1) {
        (void) snprintf(run->last, sizeof(run->last), "pipe2() failed: %s",
                        strerror(errno));
        return NGX_ERROR;
    }

    ngx_memzero(&ex, sizeof(ngx_litestream_exec_t));
    ex.argv = argv;
    ex.envp = e;
    ex.group = job->group;
    ex.out = out[1];
    ex.err = err[1];
    ex.death = SIGKILL;
    ex.locks = 1;

    pid = ngx_litestream_exec(&ex, NULL);

    (void) close(out[1]);
    (void) close(err[1]);

    if (pid == -1) {
        (void) snprintf(run->last, sizeof(run->last), "fork() failed: %s",
                        strerror(errno));
        return NGX_ERROR;
    }

    job->child = pid;

    (void) fcntl(out[0], F_SETFL, O_NONBLOCK);
    (void) fcntl(err[0], F_SETFL, O_NONBLOCK);

    size = 0;
    llen = 0;
    slen = 0;
    rc = NGX_OK;
    open_fds = 2;

    pfd[0].fd = out[0];
    pfd[1].fd = err[0];
    pfd[0].events = POLLIN;
    pfd[1].events = POLLIN;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    progress = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

    while (open_fds) {

        n = poll(pfd, 2, 200);

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        now = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

        if (ngx_litestream_job_stop) {
            rc = NGX_ERROR;
            break;
        }

        if (tick && tick(job)) {
            progress = now;
        }

        if (tick == NULL && run->len == 0) {
            ngx_litestream_endpoint_silent(job, now - progress);
        }

        if (timeout && now - progress > timeout) {
            run->timedout = 1;
            rc = NGX_ERROR;
            break;
        }

        if (n <= 0) {
            continue;
        }

        for (i = 0; i < 2; i++) {

            if (pfd[i].fd == -1 || pfd[i].revents == 0) {
                continue;
            }

            len = read(pfd[i].fd, buf, sizeof(buf));

            if (len == -1 && (errno == EAGAIN || errno == EINTR)) {
                continue;
            }

            if (len <= 0) {
                pfd[i].fd = -1;
                open_fds--;
                continue;
            }

            if (i == 0 && job->line) {
                ngx_litestream_job_lines(job, buf, len);
                continue;
            }

            if (i == 0) {

                if (run->len + len + 1 > size) {
                    size = size ? size * 2 : 65536;

                    if (size > NGX_LITESTREAM_OUT_LEN) {
                        run->overflow = 1;
                        rc = NGX_ERROR;
                        goto done;
                    }

                    p = realloc(run->out, size);
                    if (p == NULL) {
                        rc = NGX_ERROR;
                        goto done;
                    }

                    run->out = p;
                }

                ngx_memcpy(run->out + run->len, buf, len);
                run->len += len;
                run->out[run->len] = '\0';

                continue;
            }

            for (n = 0; n < len; n++) {

                if (buf[n] == '\n') {

                    slen = ngx_litestream_job_said(said, slen, line, llen);
                    llen = 0;
                    continue;
                }

                if (llen < sizeof(line) - 1) {
                    line[llen++] = buf[n];
                }
            }
        }
    }

done:

    slen = ngx_litestream_job_said(said, slen, line, llen);

    ngx_litestream_tidy(run->last, sizeof(run->last), said, slen);

    if (strncmp(run->last, "Error: ", 7) == 0) {
        ngx_memmove(run->last, run->last + 7, strlen(run->last + 7) + 1);
    }

    ngx_litestream_endpoint_explain(job, run);

    if (rc != NGX_OK) {
        (void) kill(-pid, SIGKILL);
        (void) kill(pid, SIGKILL);
    }

    while (waitpid(pid, &run->status, 0) == -1 && errno == EINTR) {

        if (ngx_litestream_job_stop) {
            (void) kill(-pid, SIGKILL);
            (void) kill(pid, SIGKILL);
            rc = NGX_ERROR;
        }
    }

    (void) close(out[0]);
    (void) close(err[0]);

    return rc;
}


/*
 * Of the lines of a program the last one counts, or an error with all that
 * follows it; empty ones say nothing.  Returns the length of what was said.
 */

static size_t
ngx_litestream_job_said(char *said, size_t slen, char *line, size_t len)
{
    if (len == 0) {
        return slen;
    }

    if (slen < 7 || ngx_strncmp(said, "Error: ", 7) != 0
        || (len >= 7 && ngx_strncmp(line, "Error: ", 7) == 0))
    {
        slen = 0;

    } else if (slen + 1 + len > NGX_LITESTREAM_SAID_LEN) {
        return slen;

    } else {
        said[slen++] = '\n';
    }

    ngx_memcpy(said + slen, line, len);

    return slen + len;
}


/* what a program says, line by line; longer ones are cut */

static void
ngx_litestream_job_lines(ngx_litestream_job_t *job, char *p, size_t len)
{
    static char    line[512];
    static size_t  n;

    for ( /* void */ ; len; p++, len--) {

        if (*p == '\n') {
            line[n] = '\0';
            n = 0;
            job->line(job->line_data, line);
            continue;
        }

        if (n < sizeof(line) - 1) {
            line[n++] = *p;
        }
    }
}


/* in the supervisor: answers a job that waits in ngx_litestream_job_ask() */

void
ngx_litestream_job_answer(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    msg->type = NGX_LITESTREAM_JOB_ANSWER;

    if (job->c == NULL) {
        return;
    }

    if (send(job->c->fd, msg, sizeof(ngx_litestream_job_msg_t),
             MSG_NOSIGNAL|MSG_DONTWAIT)
        == -1)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, ngx_errno,
                      "litestream: send() to job \"%s\" failed", job->name);
    }
}


/*
 * Tells a job to end; done() follows when it has gone.  One that does not end
 * is killed with all it started.
 */

void
ngx_litestream_job_kill(ngx_litestream_job_t *job)
{
    if (job->proc.pid == -1) {

        if (job->timer.timer_set || job->c) {
            return;
        }

        /* still waiting for its turn */

        ngx_queue_remove(&job->queue);
        ngx_add_timer(&job->timer, 1);

        return;
    }

    if (job->gone) {
        return;
    }

    job->gone = 1;

    (void) kill(job->proc.pid, SIGTERM);

    ngx_add_timer(&job->timer, 2000);
}


static void
ngx_litestream_job_timer_handler(ngx_event_t *ev)
{
    ngx_litestream_job_t  *job;

    job = ev->data;

    if (job->proc.pid == -1) {
        ngx_litestream_job_finish(job);
        return;
    }

    if (!job->gone) {

        if (!job->has_result) {
            (void) snprintf(job->result.text, sizeof(job->result.text),
                            "no progress within %lu ms",
                            (unsigned long) job->timeout);
            job->result.rc = NGX_ABORT;
        }

        ngx_litestream_job_kill(job);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                  "litestream: job \"%s\" %P hangs, killed", job->name,
                  job->proc.pid);

    (void) kill(-job->proc.pid, SIGKILL);
}


static void
ngx_litestream_job_read_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    ngx_litestream_job_read(c->data);
}


static void
ngx_litestream_job_read(ngx_litestream_job_t *job)
{
    int                       fd;
    ssize_t                   n;
    ngx_litestream_job_msg_t  msg;

    for ( ;; ) {

        if (job->c == NULL) {
            return;
        }

        n = ngx_litestream_take(job->c->fd, &msg,
                                sizeof(ngx_litestream_job_msg_t), &fd);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n == -1 && ngx_errno == NGX_EAGAIN) {
            return;
        }

        if (fd != -1) {

            if (job->pass != -1) {
                (void) close(job->pass);
            }

            job->pass = fd;
        }

        if (n != (ssize_t) sizeof(ngx_litestream_job_msg_t)) {
            ngx_close_connection(job->c);
            job->c = NULL;
            return;
        }

        msg.text[sizeof(msg.text) - 1] = '\0';

        if (job->timer.timer_set && !job->gone && job->timeout) {
            ngx_add_timer(&job->timer, job->timeout);
        }

        switch (msg.type) {

        case NGX_LITESTREAM_JOB_RESULT:
            job->result = msg;
            job->has_result = 1;
            break;

        case NGX_LITESTREAM_JOB_SILENT:
            if (!job->gone) {
                ngx_litestream_endpoint_message(job, &msg);
            }
            break;

        case NGX_LITESTREAM_JOB_LOG:
            n = ngx_litestream_redact(ngx_litestream_sup->conf,
                                      (u_char *) msg.text,
                                      ngx_strlen(msg.text));
            ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                          "litestream: %*s", (size_t) n, msg.text);
            break;

        default:
            if (job->message && !job->gone) {
                job->message(job, &msg);
            }
        }
    }
}


static void
ngx_litestream_job_exited(ngx_litestream_proc_t *proc, int status)
{
    ngx_litestream_job_t  *job;

    job = proc->data;

    ngx_litestream_job_read(job);

    if (!job->has_result && job->result.text[0] == '\0') {

        job->result.rc = NGX_ERROR;

        if (WIFSIGNALED(status)) {
            (void) snprintf(job->result.text, sizeof(job->result.text),
                            "job \"%s\" ended on signal %d", job->name,
                            WTERMSIG(status));

        } else {
            (void) snprintf(job->result.text, sizeof(job->result.text),
                            "job \"%s\" ended with status %d", job->name,
                            WEXITSTATUS(status));
        }
    }

    ngx_litestream_job_finish(job);
}


static void
ngx_litestream_job_finish(ngx_litestream_job_t *job)
{
    size_t      n;
    ngx_uint_t  class;

    class = job->class;

    if (job->timer.timer_set) {
        ngx_del_timer(&job->timer);
    }

    if (job->c) {
        ngx_close_connection(job->c);
        job->c = NULL;
    }

    ngx_litestream_job_uncount(job);

    if (!job->has_result && job->result.text[0] == '\0') {
        job->result.rc = NGX_ERROR;
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "job \"%s\" was not run", job->name);
    }

    /* the text may hold what Litestream said */

    n = ngx_litestream_redact(ngx_litestream_sup->conf,
                              (u_char *) job->result.text,
                              ngx_strlen(job->result.text));
    job->result.text[n] = '\0';

    job->done(job);

    if (job->pass != -1) {
        (void) close(job->pass);
    }

    ngx_free(job);

    ngx_litestream_job_next(class);
}
