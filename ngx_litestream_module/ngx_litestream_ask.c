
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the worker's side of supervisor.sock: questions, and a connection again */


#include "ngx_litestream_supervisor.h"


static void ngx_litestream_worker_retry(ngx_event_t *ev);
static void ngx_litestream_worker_try(void);
static void ngx_litestream_worker_lost(void);
static void ngx_litestream_worker_read(ngx_event_t *ev);
static void ngx_litestream_worker_write(ngx_event_t *ev);
static void ngx_litestream_worker_send(void);


static ngx_connection_t       *ngx_litestream_ipc;
static ngx_litestream_conf_t  *ngx_litestream_ipc_conf;
static ngx_event_t             ngx_litestream_ipc_retry;
static ngx_msec_t              ngx_litestream_ipc_delay;
static ngx_msec_t              ngx_litestream_ipc_since;
static ngx_queue_t             ngx_litestream_asks;
static uint64_t                ngx_litestream_ticket;
static ngx_uint_t              ngx_litestream_ipc_ready;


ngx_int_t
ngx_litestream_ipc_connect(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf)
{
    ngx_queue_init(&ngx_litestream_asks);

    ngx_litestream_ipc_ready = 1;
    ngx_litestream_ipc_conf = lcf;
    ngx_litestream_ipc_delay = 10;

    ngx_litestream_ipc_retry.handler = ngx_litestream_worker_retry;
    ngx_litestream_ipc_retry.data = &ngx_litestream_ipc_retry;
    ngx_litestream_ipc_retry.log = cycle->log;
    ngx_litestream_ipc_retry.cancelable = 1;

    ngx_litestream_worker_try();

    return NGX_OK;
}


void
ngx_litestream_ipc_close(void)
{
    if (ngx_litestream_ipc) {
        ngx_close_connection(ngx_litestream_ipc);
        ngx_litestream_ipc = NULL;
    }

    if (ngx_litestream_ipc_retry.timer_set) {
        ngx_del_timer(&ngx_litestream_ipc_retry);
    }
}


ngx_uint_t
ngx_litestream_ipc_connected(void)
{
    return ngx_litestream_ipc != NULL;
}


static void
ngx_litestream_worker_retry(ngx_event_t *ev)
{
    ngx_litestream_worker_try();
}


static void
ngx_litestream_worker_try(void)
{
    int                    s;
    ngx_log_t             *log;
    ngx_queue_t           *q;
    ngx_connection_t      *c;
    struct sockaddr_un     sun;
    ngx_litestream_msg_t   msg;
    ngx_litestream_ask_t  *ask;

    log = ngx_cycle->log;

    (void) ngx_litestream_status_open(&ngx_litestream_ipc_conf->status, log);

    s = ngx_litestream_ipc_socket(&ngx_litestream_ipc_conf->socket, &sun);

    if (s == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: socket() failed");
        goto again;
    }

    /* EAGAIN, a full backlog, comes without a later event */

    if (connect(s, (struct sockaddr *) &sun, sizeof(sun)) == -1) {
        goto failed;
    }

    ngx_memzero(&msg, sizeof(ngx_litestream_msg_t));
    msg.version = NGX_LITESTREAM_IPC_VERSION;
    msg.type = NGX_LITESTREAM_IPC_WORKER;

    if (send(s, &msg, sizeof(msg), MSG_NOSIGNAL) == -1) {
        goto failed;
    }

    c = ngx_get_connection(s, log);
    if (c == NULL) {
        goto failed;
    }

    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_litestream_worker_read;
    c->write->handler = ngx_litestream_worker_write;

    /* never drained as an idle or a client connection */

    c->read->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_close_connection(c);
        goto again;
    }

    ngx_litestream_ipc = c;
    ngx_litestream_ipc_since = ngx_current_msec;

    /* what was pending when the last connection ended is asked again */

    for (q = ngx_queue_head(&ngx_litestream_asks);
         q != ngx_queue_sentinel(&ngx_litestream_asks);
         q = ngx_queue_next(q))
    {
        ask = ngx_queue_data(q, ngx_litestream_ask_t, queue);
        ask->sent = 0;
    }

    ngx_litestream_worker_send();

    return;

failed:

    (void) close(s);

again:

    ngx_add_timer(&ngx_litestream_ipc_retry, ngx_litestream_ipc_delay);

    ngx_litestream_ipc_delay = ngx_min(ngx_litestream_ipc_delay * 2, 500);
}


static void
ngx_litestream_worker_lost(void)
{
    ngx_close_connection(ngx_litestream_ipc);
    ngx_litestream_ipc = NULL;

    /* one that lets nobody in is not asked without a pause */

    if (ngx_current_msec - ngx_litestream_ipc_since >= 500) {
        ngx_litestream_ipc_delay = 10;
        ngx_add_timer(&ngx_litestream_ipc_retry, 1);
        return;
    }

    ngx_add_timer(&ngx_litestream_ipc_retry, ngx_litestream_ipc_delay);

    ngx_litestream_ipc_delay = ngx_min(ngx_litestream_ipc_delay * 2, 500);
}


static void
ngx_litestream_worker_read(ngx_event_t *ev)
{
    int                    fd;
    ssize_t                n;
    ngx_queue_t           *q;
    ngx_connection_t      *c;
    ngx_litestream_msg_t   msg;
    ngx_litestream_ask_t  *ask;

    c = ev->data;

    while (c == ngx_litestream_ipc) {

        n = ngx_litestream_take(c->fd, &msg, sizeof(ngx_litestream_msg_t),
                                &fd);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n == -1 && ngx_errno == NGX_EAGAIN) {
            return;
        }

        if (n != (ssize_t) sizeof(ngx_litestream_msg_t)) {

            if (fd != -1) {
                (void) close(fd);
            }

            ngx_litestream_worker_lost();
            return;
        }

        msg.error[sizeof(msg.error) - 1] = '\0';

        for (q = ngx_queue_head(&ngx_litestream_asks);
             q != ngx_queue_sentinel(&ngx_litestream_asks);
             q = ngx_queue_next(q))
        {
            ask = ngx_queue_data(q, ngx_litestream_ask_t, queue);

            if (ask->msg.ticket == msg.ticket && ask->sent) {
                ngx_queue_remove(&ask->queue);
                ask->pending = 0;
                ask->msg = msg;
                ask->fd = fd;
                fd = -1;
                ask->handler(ask);
                break;
            }
        }

        /* nobody waits for it any more */

        if (fd != -1) {
            (void) close(fd);
        }
    }
}


static void
ngx_litestream_worker_write(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    if (c != ngx_litestream_ipc) {
        return;
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    }

    ngx_litestream_worker_send();
}


static void
ngx_litestream_worker_send(void)
{
    ssize_t                n;
    ngx_queue_t           *q;
    ngx_connection_t      *c;
    ngx_litestream_ask_t  *ask;

    c = ngx_litestream_ipc;

    if (c == NULL) {
        return;
    }

    for (q = ngx_queue_head(&ngx_litestream_asks);
         q != ngx_queue_sentinel(&ngx_litestream_asks);
         q = ngx_queue_next(q))
    {
        ask = ngx_queue_data(q, ngx_litestream_ask_t, queue);

        if (ask->sent) {
            continue;
        }

        n = send(c->fd, &ask->msg, sizeof(ngx_litestream_msg_t),
                 MSG_NOSIGNAL);

        if (n == -1) {

            /* an end is seen by reading; a full socket is written later */

            if (ngx_errno == NGX_EAGAIN && !c->write->active) {
                (void) ngx_add_event(c->write, NGX_WRITE_EVENT,
                                     NGX_LEVEL_EVENT);
            }

            return;
        }

        ask->sent = 1;
    }
}


/*
 * Asks the supervisor; worker, does not block.  The handler is called once,
 * later, unless ngx_litestream_forget() came first.
 */

void
ngx_litestream_ask(ngx_litestream_ask_t *ask)
{
    if (!ngx_litestream_ipc_ready) {
        return;
    }

    ask->msg.version = NGX_LITESTREAM_IPC_VERSION;
    ask->msg.ticket = ++ngx_litestream_ticket;
    ask->fd = -1;
    ask->pending = 1;
    ask->sent = 0;

    ngx_queue_insert_tail(&ngx_litestream_asks, &ask->queue);

    ngx_litestream_worker_send();
}


void
ngx_litestream_forget(ngx_litestream_ask_t *ask)
{
    if (ask->pending) {
        ngx_queue_remove(&ask->queue);
        ask->pending = 0;
    }
}
