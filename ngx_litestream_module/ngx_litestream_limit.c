
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * At "nginx -s stop" the supervisor leaves Litestreams that have not uploaded
 * their last commits to themselves.  One whose server hangs may never end,
 * whatever it is told, and would keep the locks: somebody has to outlive the
 * supervisor.
 */


#include "ngx_litestream_supervisor.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>


static int ngx_litestream_limit_open(pid_t pid);
static void ngx_litestream_limit_wait(struct pollfd *fds, pid_t *pids,
    ngx_uint_t n, ngx_msec_t limit);


/*
 * Starts a process of nobody that kills the Litestreams that run now when they
 * have not ended in so many ms.  Supervisor, before it exits; waits for no
 * more than a fork().  Where the kernel has no pidfd_open(), which came with
 * Linux 5.3, that is logged, and they have no limit.
 */

void
ngx_litestream_limit(ngx_msec_t limit)
{
    pid_t                     pid, pids[NGX_LITESTREAM_MAX_GROUPS];
    ngx_uint_t                i, n;
    struct pollfd             fds[NGX_LITESTREAM_MAX_GROUPS];
    ngx_litestream_rgroup_t  *rg;

    n = 0;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {

        rg = &ngx_litestream_sup->rgroups[i];

        if (rg->proc.pid == -1) {
            continue;
        }

        fds[n].fd = ngx_litestream_limit_open(rg->proc.pid);
        fds[n].events = POLLIN;
        fds[n].revents = 0;

        if (fds[n].fd == -1) {
            ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, ngx_errno,
                          "litestream: pidfd_open() failed, nobody ends "
                          "litestream process %P should it hang",
                          rg->proc.pid);
            continue;
        }

        pids[n++] = rg->proc.pid;
    }

    if (n == 0) {
        return;
    }

    pid = fork();

    switch (pid) {

    case -1:
        ngx_log_error(NGX_LOG_ALERT, ngx_litestream_sup->log, ngx_errno,
                      "litestream: fork() failed");
        return;

    case 0:

        /* once more: its parent is to be gone when we exit, and not to wait */

        if (fork() == 0) {
            ngx_litestream_limit_wait(fds, pids, n, limit);
        }

        _exit(0);

    default:

        while (waitpid(pid, NULL, 0) == -1 && ngx_errno == NGX_EINTR) {
            /* void */
        }
    }
}


/* a process, whatever becomes of its number */

static int
ngx_litestream_limit_open(pid_t pid)
{
#if defined(SYS_pidfd_open)
    return syscall(SYS_pidfd_open, pid, 0);
#else
    ngx_set_errno(ENOSYS);
    return -1;
#endif
}


/* in that process, which has nothing open but these: no lock above all */

static void
ngx_litestream_limit_wait(struct pollfd *fds, pid_t *pids, ngx_uint_t n,
    ngx_msec_t limit)
{
    int             fd, keep[NGX_LITESTREAM_MAX_GROUPS];
    ngx_uint_t      i, left;
    ngx_msec_t      until;
    ngx_msec_int_t  rest;

    ngx_litestream_child_signals();

    (void) setsid();

    if (chdir("/") == -1) {
        _exit(1);
    }

    ngx_setproctitle("litestream stop process");

    for (i = 0; i < n; i++) {
        keep[i] = fds[i].fd;
    }

    ngx_litestream_child_fds(keep, n);

    /* whoever reads what nginx says need not wait for us */

    fd = open("/dev/null", O_RDWR);

    for (i = 0; fd != -1 && i <= 2; i++) {
        (void) dup2(fd, i);
    }

    ngx_time_update();

    left = n;
    until = ngx_current_msec + limit;

    while (left) {

        rest = (ngx_msec_int_t) (until - ngx_current_msec);

        if (poll(fds, n, (int) ngx_max(rest, 0)) == 0) {
            break;
        }

        for (i = 0; i < n; i++) {

            if (fds[i].fd == -1 || !(fds[i].revents & POLLIN)) {
                continue;
            }

            /* what it has started shall not outlive it */

            (void) kill(-pids[i], SIGKILL);

            fds[i].fd = -1;
            left--;
        }

        ngx_time_update();
    }

    for (i = 0; i < n; i++) {
        if (fds[i].fd != -1) {
            (void) kill(-pids[i], SIGKILL);
        }
    }

    _exit(0);
}
