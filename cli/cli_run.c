
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * A program that is run, with what it says on stdout and stderr kept: nginx
 * for its configuration, Litestream for everything else.
 */


#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>


/* ms between two looks */
#define CLI_RUN_STEP    100


static pid_t cli_run_fork(cli_run_t *run, int out, int err);
static int cli_run_wait(cli_run_t *run, pid_t pid, int out, int err);
static int cli_run_read(cli_run_t *run, int fd, cli_buffer_t *b);
static int cli_run_tick(cli_run_t *run);


/*
 * Runs run->exec() in a child, which leads a process group of its own, and
 * has stdin from /dev/null; it should end with an execve(), and dies with
 * this process.  CLI_YES: it has ended, with run->status of waitpid();
 * CLI_TIMEOUT: no progress in time, it was killed; CLI_NO: it could not be
 * run, or has said too much.  Not CLI_YES: run->error says it.  Blocks.
 */

int
cli_run(cli_run_t *run)
{
    int    out[2], err[2], rc;
    pid_t  pid;

    memset(&run->out, 0, sizeof(cli_buffer_t));
    memset(&run->err, 0, sizeof(cli_buffer_t));

    run->status = 0;
    run->error[0] = '\0';

    if (pipe2(out, O_CLOEXEC) == -1) {
        cli_copy(run->error, sizeof(run->error), "pipe2() failed: %s",
                 strerror(errno));
        return CLI_NO;
    }

    if (pipe2(err, O_CLOEXEC) == -1) {
        cli_copy(run->error, sizeof(run->error), "pipe2() failed: %s",
                 strerror(errno));
        (void) close(out[0]);
        (void) close(out[1]);
        return CLI_NO;
    }

    pid = cli_run_fork(run, out[1], err[1]);

    (void) close(out[1]);
    (void) close(err[1]);

    if (pid == -1) {
        cli_copy(run->error, sizeof(run->error), "fork() failed: %s",
                 strerror(errno));
        rc = CLI_NO;

    } else {
        rc = cli_run_wait(run, pid, out[0], err[0]);
    }

    (void) close(out[0]);
    (void) close(err[0]);

    return rc;
}


void
cli_run_free(cli_run_t *run)
{
    free(run->out.data);
    free(run->err.data);

    run->out.data = NULL;
    run->err.data = NULL;
}


static pid_t
cli_run_fork(cli_run_t *run, int out, int err)
{
    int       null;
    pid_t     pid, parent;
    sigset_t  all, old;

    /* a signal must find the child's pid, or no child */

    (void) sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, &old);
    (void) fflush(NULL);

    parent = getpid();

    pid = fork();

    if (pid == 0) {
        (void) setpgid(0, 0);
        (void) signal(SIGINT, SIG_DFL);
        (void) signal(SIGTERM, SIG_DFL);
        (void) signal(SIGHUP, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &old, NULL);

        /* the parent may have gone before it was asked for */

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1
            || getppid() != parent)
        {
            _exit(127);
        }

        null = open("/dev/null", O_RDWR);

        if (null != -1 && dup2(null, 0) != -1 && dup2(out, 1) != -1
            && dup2(err, 2) != -1)
        {
            run->exec(run->data);
        }

        _exit(127);
    }

    if (pid != -1) {
        (void) setpgid(pid, pid);
        cli_child = pid;
    }

    (void) sigprocmask(SIG_SETMASK, &old, NULL);

    return pid;
}


static int
cli_run_wait(cli_run_t *run, pid_t pid, int out, int err)
{
    int            n, rc, step;
    pid_t          ended;
    int64_t        end, left;
    struct pollfd  fds[2];

    rc = CLI_YES;
    ended = 0;

    fds[0].fd = out;
    fds[0].events = POLLIN;
    fds[1].fd = err;
    fds[1].events = POLLIN;

    end = cli_clock() + run->timeout;

    while (ended == 0) {

        if (run->tick && cli_run_tick(run)) {
            end = cli_clock() + run->timeout;
        }

        left = end - cli_clock();

        if (left <= 0) {
            rc = CLI_TIMEOUT;
            break;
        }

        /* who has closed its output may go on, and is looked for */

        step = (fds[0].fd == -1 && fds[1].fd == -1) ? 5 : CLI_RUN_STEP;

        n = poll(fds, 2, (int) (left < step ? left : step));

        if (n == -1 && errno != EINTR) {
            cli_copy(run->error, sizeof(run->error), "poll() failed: %s",
                     strerror(errno));
            rc = CLI_NO;
            break;
        }

        if (n > 0 && fds[0].fd != -1 && fds[0].revents) {

            n = cli_run_read(run, out, &run->out);

            if (n == -1) {
                rc = CLI_NO;
                break;
            }

            if (n == 0) {
                fds[0].fd = -1;
            }
        }

        if (fds[1].fd != -1 && fds[1].revents) {

            n = cli_run_read(run, err, &run->err);

            if (n == -1) {
                rc = CLI_NO;
                break;
            }

            if (n == 0) {
                fds[1].fd = -1;
            }
        }

        if (fds[0].fd == -1 && fds[1].fd == -1) {

            ended = waitpid(pid, &run->status, WNOHANG);

            if (ended == -1 && errno == EINTR) {
                ended = 0;
            }
        }
    }

    if (ended == 0) {
        (void) kill(-pid, SIGKILL);

        do {
            ended = waitpid(pid, &run->status, 0);
        } while (ended == -1 && errno == EINTR);
    }

    cli_child = 0;

    return rc;
}


static int
cli_run_tick(cli_run_t *run)
{
    static int64_t  last;

    if (cli_clock() - last < CLI_RUN_STEP) {
        return 0;
    }

    last = cli_clock();

    return run->tick(run->tick_data);
}


/* 1: something; 0: the end; -1: run->error */

static int
cli_run_read(cli_run_t *run, int fd, cli_buffer_t *b)
{
    char     *p;
    size_t    size;
    ssize_t   n;

    if (b->size - b->len < 65536) {

        size = b->size ? b->size * 2 : 131072;

        if (size > CLI_RUN_OUTPUT || (p = realloc(b->data, size)) == NULL) {
            cli_copy(run->error, sizeof(run->error), "it says too much");
            return -1;
        }

        b->data = p;
        b->size = size;
    }

    do {
        n = read(fd, b->data + b->len, 65535);
    } while (n == -1 && errno == EINTR);

    if (n <= 0) {
        return 0;
    }

    b->len += (size_t) n;
    b->data[b->len] = '\0';

    return 1;
}


/*
 * The CPU time, in clock ticks, that a process has used; 0: cannot be told.
 */

uint64_t
cli_cpu(pid_t pid)
{
    FILE                *fp;
    char                 text[1024], *p;
    unsigned long long   v[2];

    cli_copy(text, sizeof(text), "/proc/%ld/stat", (long) pid);

    fp = fopen(text, "re");

    if (fp == NULL) {
        return 0;
    }

    p = fgets(text, sizeof(text), fp);

    (void) fclose(fp);

    /* the name, in parentheses, may hold anything */

    p = p ? strrchr(text, ')') : NULL;

    if (p == NULL
        || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u"
                  " %llu %llu", &v[0], &v[1])
           != 2)
    {
        return 0;
    }

    return v[0] + v[1];
}
