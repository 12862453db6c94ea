
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * At "nginx -s stop" the master kills the supervisor some seconds later, which
 * leaves Litestreams that upload their last commits to themselves.  One whose
 * SFTP or WebDAV server hangs never ends, whatever it is told, and would keep
 * the locks: somebody has to outlive the supervisor.
 */


#include "ngx_litestream_supervisor.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>


#define NGX_LITESTREAM_LIMITED  256


static void ngx_litestream_limit_wait(int *fds, pid_t *pids, ngx_uint_t n,
    ngx_msec_t limit);
static ngx_msec_t ngx_litestream_limit_now(void);


/*
 * Starts a process of nobody that kills the Litestreams that run now, when
 * they have not ended in so many ms.  Supervisor, once; waits for a fork.
 */

void
ngx_litestream_limit(ngx_msec_t limit)
{
    int                       fds[NGX_LITESTREAM_LIMITED];
    pid_t                     pids[NGX_LITESTREAM_LIMITED], pid;
    ngx_uint_t                i, n;
    ngx_litestream_rgroup_t  *rg;

    n = 0;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {

        rg = &ngx_litestream_sup->rgroups[i];

        if (rg->proc.pid == -1 || n == NGX_LITESTREAM_LIMITED) {
            continue;
        }

        /* a number may be somebody else's by then */

        fds[n] = syscall(SYS_pidfd_open, rg->proc.pid, 0);

        if (fds[n] == -1) {
            ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, ngx_errno,
                          "litestream: pidfd_open() failed");
            continue;
        }

        pids[n++] = rg->proc.pid;
    }

    if (n) {
        pid = fork();

        if (pid == 0) {

            if (fork() == 0) {
                ngx_litestream_limit_wait(fds, pids, n, limit);
            }

            _exit(0);
        }

        if (pid == -1) {
            ngx_log_error(NGX_LOG_ALERT, ngx_litestream_sup->log, ngx_errno,
                          "litestream: fork() failed");
        }

        while (pid != -1 && waitpid(pid, NULL, 0) == -1
               && ngx_errno == NGX_EINTR)
        {
            /* void */
        }
    }

    while (n) {
        (void) close(fds[--n]);
    }
}


/* in that process; it has nothing open but these */

static void
ngx_litestream_limit_wait(int *fds, pid_t *pids, ngx_uint_t n,
    ngx_msec_t limit)
{
    ngx_uint_t      i, left;
    ngx_msec_t      until;
    ngx_msec_int_t  rest;
    struct pollfd   pfd[NGX_LITESTREAM_LIMITED];

    ngx_litestream_child_signals();

    (void) setsid();

    if (chdir("/") == -1) {
        _exit(1);
    }

    ngx_setproctitle("litestream stop process");

    ngx_litestream_child_fds(fds, n);

    for (i = 0; i < n; i++) {
        pfd[i].fd = fds[i];
        pfd[i].events = POLLIN;
    }

    until = ngx_litestream_limit_now() + limit;

    for ( ;; ) {

        left = 0;

        for (i = 0; i < n; i++) {
            left += (pfd[i].fd != -1);
        }

        rest = (ngx_msec_int_t) (until - ngx_litestream_limit_now());

        if (left == 0 || rest <= 0) {
            break;
        }

        if (poll(pfd, n, (int) rest) <= 0) {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (pfd[i].revents) {
                pfd[i].fd = -1;
                pfd[i].revents = 0;
            }
        }
    }

    for (i = 0; i < n; i++) {

        if (pfd[i].fd == -1) {
            continue;
        }

        (void) kill(-pids[i], SIGKILL);
        (void) kill(pids[i], SIGKILL);
    }

    _exit(0);
}


static ngx_msec_t
ngx_litestream_limit_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
