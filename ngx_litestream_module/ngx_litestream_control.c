
/*
 * Copyright (C) the ngx_litestream authors
 */


/* requests on Litestream's control sockets: libcurl on nginx's event loop */


#include "ngx_litestream_supervisor.h"


static int ngx_litestream_curl_socket(CURL *easy, curl_socket_t fd, int what,
    void *data, void *socketp);
static int ngx_litestream_curl_timer(CURLM *multi, long timeout, void *data);
static int ngx_litestream_curl_peer(void *data, char *ip, char *local_ip,
    int port, int local_port);
static curl_socket_t ngx_litestream_curl_open(void *data,
    curlsocktype purpose, struct curl_sockaddr *addr);
static size_t ngx_litestream_curl_write(char *p, size_t size, size_t n,
    void *data);
static void ngx_litestream_curl_read_handler(ngx_event_t *ev);
static void ngx_litestream_curl_write_handler(ngx_event_t *ev);
static void ngx_litestream_curl_timer_handler(ngx_event_t *ev);
static void ngx_litestream_curl_done(void);
static void ngx_litestream_call_free(ngx_litestream_call_t *call);


static CURLM        *ngx_litestream_multi;
static ngx_event_t   ngx_litestream_curl_event;


/*
 * Called once, in the supervisor only: workers and the master never
 * initialize libcurl.  The sockets are local, so that no TLS is set up.
 */

ngx_int_t
ngx_litestream_control_init(ngx_cycle_t *cycle)
{
    if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "litestream: curl_global_init() failed");
        return NGX_ERROR;
    }

    ngx_litestream_multi = curl_multi_init();

    if (ngx_litestream_multi == NULL) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "litestream: curl_multi_init() failed");
        return NGX_ERROR;
    }

    (void) curl_multi_setopt(ngx_litestream_multi, CURLMOPT_SOCKETFUNCTION,
                             ngx_litestream_curl_socket);
    (void) curl_multi_setopt(ngx_litestream_multi, CURLMOPT_TIMERFUNCTION,
                             ngx_litestream_curl_timer);

    ngx_litestream_curl_event.handler = ngx_litestream_curl_timer_handler;
    ngx_litestream_curl_event.log = cycle->log;
    ngx_litestream_curl_event.data = &ngx_litestream_curl_event;

    return NGX_OK;
}


/*
 * Sends GET uri, or POST when post is given (copied), to the control socket
 * of a group.  handler is called once, from the event loop, with the answer
 * (status 0: there was none, error says why) unless the call was cancelled;
 * the call is freed after it.  timeout in ms; an answer above limit bytes is
 * an error.  Only an answer of our own child is believed.  NULL: not sent, no
 * handler will be called.
 */

ngx_litestream_call_t *
ngx_litestream_control(ngx_litestream_rgroup_t *rg, char *uri, char *post,
    ngx_msec_t timeout, size_t limit, ngx_litestream_call_pt handler,
    void *data)
{
    char                    url[1024];
    CURL                   *easy;
    ngx_litestream_call_t  *call;

    call = ngx_calloc(sizeof(ngx_litestream_call_t), ngx_litestream_sup->log);
    if (call == NULL) {
        return NULL;
    }

    easy = curl_easy_init();

    if (easy == NULL) {
        ngx_free(call);
        return NULL;
    }

    call->group = rg;
    call->easy = easy;
    call->handler = handler;
    call->data = data;
    call->limit = limit;

    (void) snprintf(url, sizeof(url), "http://localhost%s", uri);

    (void) curl_easy_setopt(easy, CURLOPT_URL, url);
    (void) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
                            (char *) rg->group->socket.data);
    (void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    (void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) timeout);
    (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION,
                            ngx_litestream_curl_write);
    (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);

    /* a connection for each request: only then its descriptor is known */

    (void) curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
                            ngx_litestream_curl_open);
    (void) curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void) curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION,
                            ngx_litestream_curl_peer);
    (void) curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);

    if (post) {
        call->headers = curl_slist_append(NULL,
                                          "Content-Type: application/json");
        (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
        (void) curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, post);
    }

    ngx_queue_insert_tail(&rg->calls, &call->queue);

    if (curl_multi_add_handle(ngx_litestream_multi, easy) != CURLM_OK) {
        ngx_litestream_call_free(call);
        return NULL;
    }

    return call;
}


/* drops all calls of a group whose process has ended, without a word */

void
ngx_litestream_control_cancel(ngx_litestream_rgroup_t *rg)
{
    ngx_queue_t            *q;
    ngx_litestream_call_t  *call;

    while (!ngx_queue_empty(&rg->calls)) {
        q = ngx_queue_head(&rg->calls);
        call = ngx_queue_data(q, ngx_litestream_call_t, queue);

        (void) curl_multi_remove_handle(ngx_litestream_multi, call->easy);
        ngx_litestream_call_free(call);
    }
}


static void
ngx_litestream_call_free(ngx_litestream_call_t *call)
{
    ngx_queue_remove(&call->queue);

    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);

    if (call->body) {
        ngx_free(call->body);
    }

    ngx_free(call);
}


static int
ngx_litestream_curl_socket(CURL *easy, curl_socket_t fd, int what, void *data,
    void *socketp)
{
    ngx_connection_t  *c;

    c = socketp;

    if (what == CURL_POLL_REMOVE) {

        if (c == NULL) {
            return 0;
        }

        if (c->read->active) {
            (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
        }

        if (c->write->active) {
            (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
        }

        if (c->read->posted) {
            ngx_delete_posted_event(c->read);
        }

        if (c->write->posted) {
            ngx_delete_posted_event(c->write);
        }

        /* the descriptor is libcurl's */

        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;

        (void) curl_multi_assign(ngx_litestream_multi, fd, NULL);

        return 0;
    }

    if (c == NULL) {

        /*
         * what is returned here must never be an error: libcurl would give up
         * all other requests as well; this one ends by its time limit
         */

        c = ngx_get_connection(fd, ngx_litestream_sup->log);
        if (c == NULL) {
            return 0;
        }

        c->read->log = c->log;
        c->write->log = c->log;
        c->read->handler = ngx_litestream_curl_read_handler;
        c->write->handler = ngx_litestream_curl_write_handler;

        (void) curl_multi_assign(ngx_litestream_multi, fd, c);
    }

    if (what & CURL_POLL_IN) {
        if (!c->read->active) {
            (void) ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);
        }

    } else if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    if (what & CURL_POLL_OUT) {
        if (!c->write->active) {
            (void) ngx_add_event(c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);
        }

    } else if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    }

    return 0;
}


static int
ngx_litestream_curl_timer(CURLM *multi, long timeout, void *data)
{
    /* ngx_add_timer() alone would keep a timer that is 300 ms off */

    if (ngx_litestream_curl_event.timer_set) {
        ngx_del_timer(&ngx_litestream_curl_event);
    }

    if (timeout < 0) {
        return 0;
    }

    /* never called back from here: libcurl forbids it */

    ngx_add_timer(&ngx_litestream_curl_event, (ngx_msec_t) timeout);

    return 0;
}


static void
ngx_litestream_curl_timer_handler(ngx_event_t *ev)
{
    int  running;

    (void) curl_multi_socket_action(ngx_litestream_multi, CURL_SOCKET_TIMEOUT,
                                    0, &running);
    ngx_litestream_curl_done();
}


static void
ngx_litestream_curl_read_handler(ngx_event_t *ev)
{
    int                running;
    ngx_connection_t  *c;

    c = ev->data;

    (void) curl_multi_socket_action(ngx_litestream_multi, c->fd,
                                    CURL_CSELECT_IN, &running);
    ngx_litestream_curl_done();
}


static void
ngx_litestream_curl_write_handler(ngx_event_t *ev)
{
    int                running;
    ngx_connection_t  *c;

    c = ev->data;

    (void) curl_multi_socket_action(ngx_litestream_multi, c->fd,
                                    CURL_CSELECT_OUT, &running);
    ngx_litestream_curl_done();
}


static curl_socket_t
ngx_litestream_curl_open(void *data, curlsocktype purpose,
    struct curl_sockaddr *addr)
{
    ngx_litestream_call_t *call = data;

    call->fd = socket(addr->family, addr->socktype|SOCK_CLOEXEC,
                      addr->protocol);

    return call->fd;
}


/*
 * The path of a control socket can be taken over by another daemon: what
 * counts is who listened on this connection.
 */

static int
ngx_litestream_curl_peer(void *data, char *ip, char *local_ip, int port,
    int local_port)
{
    ngx_litestream_call_t *call = data;

    socklen_t     len;
    struct ucred  cred;

    len = sizeof(struct ucred);

    if (getsockopt(call->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1) {
        return CURL_PREREQFUNC_ABORT;
    }

    if (cred.pid != call->group->proc.pid) {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: control socket \"%V\" is answered by "
                      "process %P, not by %P", &call->group->group->socket,
                      cred.pid, call->group->proc.pid);
        return CURL_PREREQFUNC_ABORT;
    }

    return CURL_PREREQFUNC_OK;
}


static size_t
ngx_litestream_curl_write(char *p, size_t size, size_t n, void *data)
{
    ngx_litestream_call_t *call = data;

    u_char  *new;
    size_t   cap;

    n *= size;

    if (call->len + n > call->limit) {
        return 0;
    }

    if (call->len + n + 1 > call->size) {

        cap = call->size ? call->size * 2 : 1024;

        while (cap < call->len + n + 1) {
            cap *= 2;
        }

        new = ngx_alloc(cap, ngx_litestream_sup->log);
        if (new == NULL) {
            return 0;
        }

        if (call->body) {
            ngx_memcpy(new, call->body, call->len);
            ngx_free(call->body);
        }

        call->body = new;
        call->size = cap;
    }

    ngx_memcpy(call->body + call->len, p, n);
    call->len += n;
    call->body[call->len] = '\0';

    return n;
}


static void
ngx_litestream_curl_done(void)
{
    int                     left;
    CURLMsg                *msg;
    CURLcode                rc;
    ngx_litestream_call_t  *call;

    for ( ;; ) {

        msg = curl_multi_info_read(ngx_litestream_multi, &left);

        if (msg == NULL) {
            return;
        }

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        rc = msg->data.result;

        (void) curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);

        (void) curl_multi_remove_handle(ngx_litestream_multi, call->easy);

        if (rc == CURLE_OK) {
            (void) curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE,
                                     &call->status);

        } else {
            call->status = 0;
            call->timedout = (rc == CURLE_OPERATION_TIMEDOUT);

            if (call->error[0] == '\0') {
                (void) snprintf(call->error, sizeof(call->error), "%s",
                                curl_easy_strerror(rc));
            }
        }

        call->handler(call);

        ngx_litestream_call_free(call);
    }
}
