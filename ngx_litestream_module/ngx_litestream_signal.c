
/*
 * Copyright (C) the ngx_litestream authors
 */


/* what the supervisor is told: signals, and the master's channel */


#include "ngx_litestream_supervisor.h"

#include <ngx_channel.h>
#include <sys/signalfd.h>


static void ngx_litestream_signal_handler(ngx_event_t *ev);
static void ngx_litestream_reopen(void);


static int                     ngx_litestream_signal_fd = -1;


/*
 * Signals come through a descriptor: nothing is lost between a test and a
 * wait, and nginx's own handler, which would reap our children, is not used.
 */

ngx_int_t
ngx_litestream_signals(ngx_cycle_t *cycle)
{
    int                s;
    sigset_t           set;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    static int  list[] = {
        SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2,
        SIGWINCH, SIGIO
    };

    sigemptyset(&set);

    for (i = 0; i < sizeof(list) / sizeof(int); i++) {
        sigaddset(&set, list[i]);
    }

    (void) signal(SIGPIPE, SIG_IGN);

    if (sigprocmask(SIG_SETMASK, &set, NULL) == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "litestream: sigprocmask() failed");
        return NGX_ERROR;
    }

    s = signalfd(-1, &set, SFD_NONBLOCK|SFD_CLOEXEC);

    if (s == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "litestream: signalfd() failed");
        return NGX_ERROR;
    }

    ngx_litestream_signal_fd = s;

    c = ngx_get_connection(s, cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->log = cycle->log;
    c->read->log = cycle->log;
    c->write->log = cycle->log;
    c->read->handler = ngx_litestream_signal_handler;

    return ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);
}


static void
ngx_litestream_signal_handler(ngx_event_t *ev)
{
    ssize_t                  n;
    struct signalfd_siginfo  si;

    for ( ;; ) {

        n = read(ngx_litestream_signal_fd, &si, sizeof(si));

        if (n != (ssize_t) sizeof(si)) {
            break;
        }

        switch (si.ssi_signo) {

        case SIGTERM:
        case SIGINT:
            ngx_litestream_quit(1);
            break;

        case SIGQUIT:
            ngx_litestream_quit(0);
            break;

        case SIGUSR1:
            ngx_litestream_reopen();
            break;
        }
    }

    ngx_litestream_reap();
}


void
ngx_litestream_channel_handler(ngx_event_t *ev)
{
    ngx_int_t          n;
    ngx_channel_t      ch;
    ngx_connection_t  *c;

    c = ev->data;

    for ( ;; ) {

        n = ngx_read_channel(c->fd, &ch, sizeof(ngx_channel_t), ev->log);

        if (n == NGX_ERROR) {

            if (ngx_event_flags & NGX_USE_EPOLL_EVENT) {
                ngx_del_conn(c, 0);
            }

            ngx_close_connection(c);
            return;
        }

        if (n == NGX_AGAIN) {
            return;
        }

        switch (ch.command) {

        case NGX_CMD_QUIT:
            ngx_litestream_quit(0);
            break;

        case NGX_CMD_TERMINATE:
            ngx_litestream_quit(1);
            break;

        case NGX_CMD_REOPEN:
            ngx_litestream_reopen();
            break;

        case NGX_CMD_OPEN_CHANNEL:

            /* of another process: not used, and must not leak to children */

            if (ch.fd != -1) {
                (void) close(ch.fd);
            }

            break;
        }
    }
}


static void
ngx_litestream_reopen(void)
{
    ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                  "litestream: reopening logs");

    ngx_reopen_files(ngx_litestream_sup->cycle, (ngx_uid_t) -1);
}
