
/*
 * Copyright (C) the ngx_litestream authors
 */


/* programs that the supervisor and its jobs start, and their ends */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>


static int ngx_litestream_child_cmp(const void *one, const void *two);


static ngx_queue_t  ngx_litestream_procs;


void
ngx_litestream_process_init(void)
{
    ngx_queue_init(&ngx_litestream_procs);
}


/*
 * Remembers a child of the supervisor; exited is called once, from the event
 * loop, with the status of waitpid().
 */

void
ngx_litestream_proc_add(ngx_litestream_proc_t *proc, pid_t pid,
    ngx_litestream_exit_pt exited, void *data)
{
    proc->pid = pid;
    proc->exited = exited;
    proc->data = data;

    ngx_queue_insert_tail(&ngx_litestream_procs, &proc->queue);
}


ngx_uint_t
ngx_litestream_children(void)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    n = 0;

    for (q = ngx_queue_head(&ngx_litestream_procs);
         q != ngx_queue_sentinel(&ngx_litestream_procs);
         q = ngx_queue_next(q))
    {
        n++;
    }

    return n;
}


/* reaps all that has ended; does not block */

void
ngx_litestream_reap(void)
{
    int                     status;
    pid_t                   pid;
    ngx_queue_t            *q;
    ngx_litestream_proc_t  *proc;

    for ( ;; ) {

        pid = waitpid(-1, &status, WNOHANG);

        if (pid == -1 && errno == EINTR) {
            continue;
        }

        if (pid <= 0) {
            return;
        }

        for (q = ngx_queue_head(&ngx_litestream_procs);
             q != ngx_queue_sentinel(&ngx_litestream_procs);
             q = ngx_queue_next(q))
        {
            proc = ngx_queue_data(q, ngx_litestream_proc_t, queue);

            if (proc->pid == pid) {
                ngx_queue_remove(q);
                proc->pid = -1;
                proc->exited(proc, status);
                break;
            }
        }
    }
}


void
ngx_litestream_child_signals(void)
{
    int       n;
    sigset_t  set;

    for (n = 1; n < NSIG; n++) {
        if (n != SIGKILL && n != SIGSTOP) {
            (void) signal(n, SIG_DFL);
        }
    }

    sigemptyset(&set);
    (void) sigprocmask(SIG_SETMASK, &set, NULL);
}


static int
ngx_litestream_child_cmp(const void *one, const void *two)
{
    return *(int *) one - *(int *) two;
}


/*
 * Closes every descriptor above 2 but those in keep, which become
 * inheritable.  close_range() is of Linux 5.9, /proc serves before.
 */

void
ngx_litestream_child_fds(int *keep, ngx_uint_t n)
{
    int             fd, from;
    DIR            *dir;
    ngx_uint_t      i;
    struct dirent  *de;

    qsort(keep, n, sizeof(int), ngx_litestream_child_cmp);

    for (i = 0; i < n; i++) {
        (void) fcntl(keep[i], F_SETFD, 0);
    }

#if defined(SYS_close_range)

    from = 3;

    for (i = 0; i < n; i++) {
        if (keep[i] > from
            && syscall(SYS_close_range, from, keep[i] - 1, 0) == -1)
        {
            goto proc;
        }

        if (keep[i] >= from) {
            from = keep[i] + 1;
        }
    }

    if (syscall(SYS_close_range, from, ~0U, 0) == 0) {
        return;
    }

proc:

#endif

    dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return;
    }

    for ( ;; ) {
        de = readdir(dir);
        if (de == NULL) {
            break;
        }

        if (de->d_name[0] == '.') {
            continue;
        }

        fd = atoi(de->d_name);

        for (i = 0; i < n; i++) {
            if (keep[i] == fd) {
                break;
            }
        }

        if (fd > 2 && i == n && fd != dirfd(dir)) {
            (void) close(fd);
        }
    }

    (void) closedir(dir);
}


/*
 * Takes the identity of the group and asks to be told of the parent's death:
 * in this order, since setuid() clears PDEATHSIG.  0, or an errno.
 */

int
ngx_litestream_child_identity(ngx_litestream_group_t *group, int death,
    pid_t parent)
{
    if (group != NULL && geteuid() == 0) {

        if (group->uid != 0 || group->gid != 0) {

            if (setgid(group->gid) == -1) {
                return errno;
            }

            /* a user given as a number may have no name */

            if (initgroups((char *) group->user.data, group->gid) == -1
                && setgroups(1, &group->gid) == -1)
            {
                return errno;
            }

            if (setuid(group->uid) == -1) {
                return errno;
            }

            if (group->uid != 0 && setuid(0) == 0) {
                return EPERM;
            }
        }
    }

    if (death) {
        if (prctl(PR_SET_PDEATHSIG, death, 0, 0, 0) == -1) {
            return errno;
        }

        if (getppid() != parent) {
            return ESRCH;
        }
    }

    return 0;
}


/*
 * Starts a program in a session of its own, with nothing of nginx but what
 * ex says.  Called in the supervisor and in jobs; does not wait for it.
 * Returns the pid, or -1 (logged).  What fails in the child after fork() is
 * written to its stderr, and it ends with 127.
 */

pid_t
ngx_litestream_exec(ngx_litestream_exec_t *ex, ngx_log_t *log)
{
    int            fd, err;
    int            keep[NGX_LITESTREAM_KEEP];
    char          *what;
    pid_t          pid, parent;
    ngx_uint_t     i, n;
    struct rlimit  rlmt;

    parent = getpid();

    pid = fork();

    if (pid == -1) {
        if (log) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                          "litestream: fork() failed while spawning \"%s\"",
                          ex->argv[0]);
        }

        return -1;
    }

    if (pid != 0) {
        return pid;
    }

    ngx_litestream_child_signals();

    (void) setsid();

    fd = open("/dev/null", O_RDWR);

    if (fd > 0) {
        (void) dup2(fd, 0);
    }

    /* out and err are above 2: 0, 1 and 2 are always open in nginx */

    (void) dup2(ex->out != -1 ? ex->out : fd, 1);
    (void) dup2(ex->err != -1 ? ex->err : fd, 2);

    n = 0;

    for (i = 0; i < ex->nkeep; i++) {
        keep[n++] = ex->keep[i];
    }

    if (ex->locks) {
        n += ngx_litestream_lock_fds(ex->group, &keep[n],
                                     NGX_LITESTREAM_KEEP - n);
    }

    ngx_litestream_child_fds(keep, n);

    (void) umask(027);

    what = "chdir()";

    if (chdir("/") == -1) {
        err = errno;
        goto failed;
    }

    if (ex->nofile && getrlimit(RLIMIT_NOFILE, &rlmt) == 0) {

        if (rlmt.rlim_max != RLIM_INFINITY && rlmt.rlim_max < ex->nofile
            && geteuid() == 0)
        {
            rlmt.rlim_max = ex->nofile;
        }

        rlmt.rlim_cur = rlmt.rlim_max;

        /* what cannot be had is not fatal */
        (void) setrlimit(RLIMIT_NOFILE, &rlmt);
    }

    what = "setuid()";

    err = ngx_litestream_child_identity(ex->group, ex->death, parent);
    if (err) {
        goto failed;
    }

    what = "execve()";

    (void) execve(ex->argv[0], ex->argv, ex->envp);

    err = errno;

failed:

    dprintf(2, "Error: %s failed while starting %s: %s\n", what, ex->argv[0],
            strerror(err));

    _exit(127);
}


/*
 * A variable that the configuration gives to a group's Litestream, or else the
 * other one, which may be NULL: its value, NULL if it is not there or empty.
 * Supervisor and jobs, does not block.
 */

char *
ngx_litestream_group_env(ngx_litestream_group_t *group, char *name,
    char *other)
{
    char    **e;
    size_t    len;

    for ( /* void */ ; name; name = other, other = NULL) {

        len = ngx_strlen(name);

        for (e = group->env; *e; e++) {
            if (ngx_strncmp(*e, name, len) == 0 && (*e)[len] == '='
                && (*e)[len + 1])
            {
                return *e + len + 1;
            }
        }
    }

    return NULL;
}


/*
 * The environment of Litestream: what the configuration has made of it, and
 * directories where nothing else says which.
 */

char **
ngx_litestream_environ(ngx_pool_t *pool, ngx_litestream_group_t *group)
{
    char        **env, **e;
    size_t        len;
    u_char       *p;
    ngx_uint_t    i, n;

    static char  *names[] = { "PATH=", "HOME=", "TMPDIR=" };

    for (n = 0; group->env[n]; n++) { /* void */ }

    env = ngx_palloc(pool, (n + 4) * sizeof(char *));
    if (env == NULL) {
        return NULL;
    }

    ngx_memcpy(env, group->env, n * sizeof(char *));

    for (i = 0; i < 3; i++) {
        len = ngx_strlen(names[i]);

        for (e = group->env; *e; e++) {
            if (ngx_strncmp(*e, names[i], len) == 0) {
                break;
            }
        }

        if (*e) {
            continue;
        }

        if (i == 0) {
            env[n++] = "PATH=/usr/local/bin:/usr/bin:/bin";
            continue;
        }

        /* its temporary files are private, a home may not exist at all */

        p = ngx_pnalloc(pool, len + group->run.len + 1);
        if (p == NULL) {
            return NULL;
        }

        (void) ngx_sprintf(p, "%s%V%Z", names[i], &group->run);
        env[n++] = (char *) p;
    }

    env[n] = NULL;

    return env;
}


/*
 * In a job: the CPU time, in clock ticks, that the program it runs has used,
 * with that of its children.  0: cannot be told.
 */

uint64_t
ngx_litestream_job_cpu(ngx_litestream_job_t *job)
{
    int                  fd;
    char                 text[1024], *p;
    ssize_t              n;
    unsigned long long   v[4];

    (void) snprintf(text, sizeof(text), "/proc/%d/stat", (int) job->child);

    fd = open(text, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    n = read(fd, text, sizeof(text) - 1);

    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    text[n] = '\0';

    /* the name, in parentheses, may hold anything */

    p = strrchr(text, ')');

    if (p == NULL
        || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u"
                  " %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3])
           != 4)
    {
        return 0;
    }

    return v[0] + v[1] + v[2] + v[3];
}
