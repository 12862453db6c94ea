
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * supervisor.sock: who holds the lock binds it, everybody else connects by
 * path.  SOCK_SEQPACKET: one ngx_litestream_msg_t each way.  A message names
 * a database by its id and an action, never a path.
 */


#include "ngx_litestream_supervisor.h"

#include <stdarg.h>


/* messages of one client that are read in one turn */
#define NGX_LITESTREAM_IPC_TURN       256

/* questions without an answer, of all clients */
#define NGX_LITESTREAM_IPC_QUESTIONS  65536

/* how long nobody is accepted when there are no descriptors, ms */
#define NGX_LITESTREAM_IPC_PAUSE      500


/* supervisor side */

typedef struct {
    ngx_queue_t                  queue;
    ngx_connection_t            *c;
    ngx_queue_t                  asks;
    ngx_queue_t                  out;
    pid_t                        pid;
    uid_t                        uid;
    uint32_t                     role;    /* 0: has not said yet */
    unsigned                     own:1;   /* a worker of our master */
} ngx_litestream_peer_t;


typedef struct {
    ngx_queue_t                  queue;   /* of the peer */
    ngx_litestream_peer_t       *peer;    /* NULL: has gone */
    ngx_litestream_msg_t         msg;
    ngx_litestream_waiter_t      waiter;
    ngx_litestream_verifier_t    verifier;
    ngx_litestream_pointer_t     pointer;
    ngx_litestream_asker_t       asker;
    int                          fd;      /* goes with the answer, or -1 */
} ngx_litestream_question_t;


static void ngx_litestream_ipc_accept(ngx_event_t *ev);
static void ngx_litestream_ipc_refuse(int s, int32_t status,
    const char *fmt, ...);
static void ngx_litestream_ipc_pause(void);
static void ngx_litestream_ipc_resume(ngx_event_t *ev);
static void ngx_litestream_peer_read(ngx_event_t *ev);
static void ngx_litestream_peer_write(ngx_event_t *ev);
static void ngx_litestream_peer_close(ngx_litestream_peer_t *peer);
static ngx_uint_t ngx_litestream_peer_own(pid_t pid);
static ngx_int_t ngx_litestream_peer_message(ngx_litestream_peer_t *peer,
    ngx_litestream_msg_t *msg);
static void ngx_litestream_peer_synced(ngx_litestream_waiter_t *w,
    ngx_int_t rc, uint64_t txid, char *error);
static void ngx_litestream_peer_verified(void *data,
    ngx_litestream_verify_result_t *res);
static void ngx_litestream_peer_pointed(void *data,
    ngx_litestream_point_t *res);
static void ngx_litestream_peer_listed(void *data, int fd, ngx_msec_t ms,
    char *error);
static void ngx_litestream_peer_answer(ngx_litestream_question_t *qn);
static void ngx_litestream_peer_free(ngx_litestream_question_t *qn);


static ngx_connection_t       *ngx_litestream_ipc_listener;
static ngx_event_t             ngx_litestream_ipc_timer;
static ngx_queue_t             ngx_litestream_peers;
static ngx_uint_t              ngx_litestream_npeers;
static ngx_uint_t              ngx_litestream_questions;


int
ngx_litestream_ipc_socket(ngx_str_t *name, struct sockaddr_un *sun)
{
    ngx_memzero(sun, sizeof(struct sockaddr_un));

    sun->sun_family = AF_UNIX;
    ngx_memcpy(sun->sun_path, name->data,
               ngx_min(name->len, sizeof(sun->sun_path) - 1));

    return socket(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);
}


/*
 * Binds supervisor.sock; supervisor, under the lock, so that what stands
 * there is stale.  Only the worker user may connect (and root, always).
 */

ngx_int_t
ngx_litestream_ipc_listen(void)
{
    int                  s;
    mode_t               mask;
    uid_t                uid;
    ngx_str_t           *name;
    ngx_log_t           *log;
    ngx_core_conf_t     *ccf;
    ngx_connection_t    *c;
    struct sockaddr_un   sun;

    log = ngx_litestream_sup->log;
    name = &ngx_litestream_sup->conf->socket;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_litestream_sup->cycle->conf_ctx,
                                           ngx_core_module);

    s = ngx_litestream_ipc_socket(name, &sun);

    if (s == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: socket() failed");
        return NGX_ERROR;
    }

    (void) unlink((char *) name->data);

    mask = umask(0177);

    if (bind(s, (struct sockaddr *) &sun, sizeof(sun)) == -1) {
        (void) umask(mask);
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: bind() to \"%V\" failed", name);
        goto failed;
    }

    (void) umask(mask);

    uid = (uid_t) ccf->user;

    if (geteuid() == 0 && uid != 0
        && lchown((char *) name->data, uid, (gid_t) -1) == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: lchown() \"%V\" failed", name);
        goto failed;
    }

    if (listen(s, 511) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: listen() on \"%V\" failed", name);
        goto failed;
    }

    c = ngx_get_connection(s, log);
    if (c == NULL) {
        goto failed;
    }

    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_litestream_ipc_accept;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    ngx_litestream_ipc_listener = c;
    ngx_queue_init(&ngx_litestream_peers);

    return NGX_OK;

failed:

    (void) close(s);

    return NGX_ERROR;
}


/*
 * Ends all connections: who waits repeats the question at the successor.  The
 * path is left alone, it may be the successor's already.
 */

void
ngx_litestream_ipc_unlisten(void)
{
    ngx_queue_t            *q;
    ngx_litestream_peer_t  *peer;

    if (ngx_litestream_ipc_listener == NULL) {
        return;
    }

    if (ngx_litestream_ipc_timer.timer_set) {
        ngx_del_timer(&ngx_litestream_ipc_timer);
    }

    ngx_close_connection(ngx_litestream_ipc_listener);
    ngx_litestream_ipc_listener = NULL;

    while (!ngx_queue_empty(&ngx_litestream_peers)) {
        q = ngx_queue_head(&ngx_litestream_peers);
        peer = ngx_queue_data(q, ngx_litestream_peer_t, queue);
        ngx_litestream_peer_close(peer);
    }
}


/*
 * Is there a supervisor behind the path?  NGX_OK: yes (told to hand over to
 * that generation when handover is set), NGX_DECLINED: no.  Used by
 * supervisors and by the process that becomes the master; does not block.
 */

ngx_int_t
ngx_litestream_ipc_probe(ngx_str_t *name, uint64_t handover, ngx_log_t *log)
{
    int                   s;
    ngx_int_t             rc;
    struct sockaddr_un    sun;
    ngx_litestream_msg_t  msg;

    s = ngx_litestream_ipc_socket(name, &sun);

    if (s == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: socket() failed");
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    if (connect(s, (struct sockaddr *) &sun, sizeof(sun)) == 0) {

        rc = NGX_OK;

        if (handover) {
            ngx_memzero(&msg, sizeof(ngx_litestream_msg_t));
            msg.version = NGX_LITESTREAM_IPC_VERSION;
            msg.type = NGX_LITESTREAM_IPC_HANDOVER;
            msg.ticket = handover;

            if (send(s, &msg, sizeof(msg), MSG_NOSIGNAL) == -1) {
                rc = NGX_DECLINED;
            }
        }
    }

    (void) close(s);

    return rc;
}


static void
ngx_litestream_ipc_accept(ngx_event_t *ev)
{
    int                     s;
    socklen_t               len;
    ngx_log_t              *log;
    struct ucred            cred;
    ngx_core_conf_t        *ccf;
    ngx_connection_t       *c, *lc;
    ngx_litestream_peer_t  *peer;

    lc = ev->data;
    log = ngx_litestream_sup->log;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_litestream_sup->cycle->conf_ctx,
                                           ngx_core_module);

    for ( ;; ) {

        s = accept4(lc->fd, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (s == -1) {
            if (ngx_errno == NGX_EINTR || ngx_errno == NGX_ECONNABORTED) {
                continue;
            }

            if (ngx_errno != NGX_EAGAIN) {
                ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                              "litestream: accept4() failed");
                ngx_litestream_ipc_pause();
            }

            return;
        }

        len = sizeof(struct ucred);

        if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1
            || (cred.uid != 0 && cred.uid != geteuid()
                && cred.uid != (uid_t) ccf->user))
        {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "litestream: connection of user %ui refused",
                          (ngx_uint_t) cred.uid);
            ngx_litestream_ipc_refuse(s, 403, "user %u may not ask",
                                      (unsigned) cred.uid);
            (void) close(s);
            continue;
        }

        /* whoever is the workers' user could take all that there are */

        if (ngx_litestream_npeers >= NGX_LITESTREAM_PEERS
            && (cred.uid != geteuid()
                || ngx_litestream_npeers >= NGX_LITESTREAM_PEERS + 16))
        {
            ngx_litestream_ipc_refuse(s, 503, "too many connections");
            (void) close(s);
            continue;
        }

        peer = ngx_calloc(sizeof(ngx_litestream_peer_t), log);
        c = peer ? ngx_get_connection(s, log) : NULL;

        if (c == NULL) {
            if (peer) {
                ngx_free(peer);
            }

            (void) close(s);
            ngx_litestream_ipc_pause();
            return;
        }

        ngx_litestream_npeers++;

        peer->c = c;
        peer->pid = cred.pid;
        peer->uid = cred.uid;
        ngx_queue_init(&peer->asks);
        ngx_queue_init(&peer->out);
        ngx_queue_insert_tail(&ngx_litestream_peers, &peer->queue);

        c->data = peer;
        c->log = log;
        c->read->log = log;
        c->write->log = log;
        c->read->handler = ngx_litestream_peer_read;
        c->write->handler = ngx_litestream_peer_write;

        if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT)
            != NGX_OK)
        {
            ngx_litestream_peer_close(peer);
            return;
        }
    }
}


/*
 * Tells a client why its connection is about to be closed: ticket 0 is no
 * question's.  Supervisor, does not block.
 */

static void
ngx_litestream_ipc_refuse(int s, int32_t status, const char *fmt, ...)
{
    va_list               args;
    ngx_litestream_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_msg_t));

    msg.version = NGX_LITESTREAM_IPC_VERSION;
    msg.status = status;

    va_start(args, fmt);
    (void) vsnprintf(msg.error, sizeof(msg.error), fmt, args);
    va_end(args);

    (void) send(s, &msg, sizeof(ngx_litestream_msg_t), MSG_NOSIGNAL);
}


/* the listener stays readable: without a pause the loop would spin */

static void
ngx_litestream_ipc_pause(void)
{
    if (ngx_litestream_ipc_timer.timer_set) {
        return;
    }

    ngx_litestream_ipc_timer.handler = ngx_litestream_ipc_resume;
    ngx_litestream_ipc_timer.data = &ngx_litestream_ipc_timer;
    ngx_litestream_ipc_timer.log = ngx_litestream_sup->log;

    (void) ngx_del_event(ngx_litestream_ipc_listener->read, NGX_READ_EVENT, 0);

    ngx_add_timer(&ngx_litestream_ipc_timer, NGX_LITESTREAM_IPC_PAUSE);
}


static void
ngx_litestream_ipc_resume(ngx_event_t *ev)
{
    if (ngx_add_event(ngx_litestream_ipc_listener->read, NGX_READ_EVENT,
                      NGX_LEVEL_EVENT)
        != NGX_OK)
    {
        ngx_add_timer(ev, NGX_LITESTREAM_IPC_PAUSE);
    }
}


static void
ngx_litestream_peer_read(ngx_event_t *ev)
{
    ssize_t                 n;
    ngx_uint_t              turn;
    ngx_connection_t       *c;
    ngx_litestream_msg_t    msg;
    ngx_litestream_peer_t  *peer;

    c = ev->data;
    peer = c->data;

    for (turn = 0; turn < NGX_LITESTREAM_IPC_TURN; turn++) {

        /* the length of the message, also when there is more than we take */

        n = recv(c->fd, &msg, sizeof(ngx_litestream_msg_t), MSG_TRUNC);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n == -1 && ngx_errno == NGX_EAGAIN) {
            return;
        }

        if (n != (ssize_t) sizeof(ngx_litestream_msg_t)
            || ngx_litestream_peer_message(peer, &msg) != NGX_OK)
        {
            ngx_litestream_peer_close(peer);
            return;
        }
    }
}


static void
ngx_litestream_peer_close(ngx_litestream_peer_t *peer)
{
    uint32_t                    role;
    ngx_uint_t                  own;
    ngx_queue_t                *q;
    ngx_litestream_question_t  *qn;

    while (!ngx_queue_empty(&peer->asks)) {
        q = ngx_queue_head(&peer->asks);
        ngx_queue_remove(q);

        /* the answer will find nobody */

        qn = ngx_queue_data(q, ngx_litestream_question_t, queue);
        qn->peer = NULL;
    }

    while (!ngx_queue_empty(&peer->out)) {
        q = ngx_queue_head(&peer->out);
        ngx_queue_remove(q);

        qn = ngx_queue_data(q, ngx_litestream_question_t, queue);
        ngx_litestream_peer_free(qn);
    }

    own = peer->own;
    role = peer->role;

    ngx_queue_remove(&peer->queue);
    ngx_close_connection(peer->c);
    ngx_free(peer);

    ngx_litestream_npeers--;

    if (role == NGX_LITESTREAM_IPC_WORKER) {
        ngx_litestream_worker_gone(own);
    }
}


/*
 * Is this process a child of our master?  What it says of itself would not do:
 * an application that runs as the same user could hold up the end of nginx.
 */

static ngx_uint_t
ngx_litestream_peer_own(pid_t pid)
{
    int      fd;
    char     text[512], *p;
    ssize_t  n;

    if (ngx_litestream_sup->orphan) {
        return 1;
    }

    (void) snprintf(text, sizeof(text), "/proc/%d/stat", (int) pid);

    fd = open(text, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {

        /* without /proc there is no telling */

        return ngx_errno != NGX_ENOENT || access("/proc/self", F_OK) == -1;
    }

    n = read(fd, text, sizeof(text) - 1);

    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    text[n] = '\0';

    /* "PID (NAME) STATE PPID ", the name may hold anything */

    p = strrchr(text, ')');

    return p && n - (p - text) > 4
           && atoi(p + 4) == (int) ngx_litestream_sup->master;
}


static ngx_int_t
ngx_litestream_peer_message(ngx_litestream_peer_t *peer,
    ngx_litestream_msg_t *msg)
{
    ngx_uint_t                  i;
    ngx_msec_t                  timeout;
    ngx_litestream_rdb_t       *rdb;
    ngx_litestream_question_t  *qn;

    if (msg->version != NGX_LITESTREAM_IPC_VERSION) {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: a client speaks protocol version %uD, "
                      "not %d", msg->version, NGX_LITESTREAM_IPC_VERSION);
        ngx_litestream_ipc_refuse(peer->c->fd, 400, "the supervisor speaks "
                                  "protocol version %d, not %u",
                                  NGX_LITESTREAM_IPC_VERSION,
                                  (unsigned) msg->version);
        return NGX_ERROR;
    }

    if (peer->role == 0) {

        switch (msg->type) {

        case NGX_LITESTREAM_IPC_WORKER:
            peer->role = msg->type;
            peer->own = ngx_litestream_peer_own(peer->pid);
            ngx_litestream_worker_came(peer->own);
            return NGX_OK;

        case NGX_LITESTREAM_IPC_COMMAND:
            peer->role = msg->type;
            return NGX_OK;

        case NGX_LITESTREAM_IPC_HANDOVER:

            /* not for workers: they must not be able to stop replication */

            if (peer->uid == geteuid()) {
                ngx_litestream_handover(msg->ticket);
            }

            return NGX_ERROR;

        default:
            return NGX_ERROR;
        }
    }

    /* the client connects anew, and asks again what it still wants to know */

    if (ngx_litestream_questions >= NGX_LITESTREAM_IPC_QUESTIONS) {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: %ui questions are without an answer, "
                      "client %P was disconnected", ngx_litestream_questions,
                      peer->pid);
        return NGX_ERROR;
    }

    qn = ngx_calloc(sizeof(ngx_litestream_question_t),
                    ngx_litestream_sup->log);
    if (qn == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_questions++;

    qn->peer = peer;
    qn->fd = -1;
    qn->msg = *msg;

    ngx_memzero(qn->msg.error, sizeof(qn->msg.error));

    ngx_queue_insert_tail(&peer->asks, &qn->queue);

    rdb = NULL;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
        if (ngx_litestream_sup->rdbs[i]->db->id == msg->db
            && !ngx_litestream_sup->rdbs[i]->db->gone)
        {
            rdb = ngx_litestream_sup->rdbs[i];
            break;
        }
    }

    if (rdb == NULL) {
        qn->msg.status = (msg->type == NGX_LITESTREAM_IPC_RESTORE
                          || msg->type == NGX_LITESTREAM_IPC_LTX)
                         ? 503 : 404;
        (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                        "unknown to the supervisor");
        ngx_litestream_peer_answer(qn);
        return NGX_OK;
    }

    if (!rdb->db->replicate && msg->type != NGX_LITESTREAM_IPC_RESTORE
        && msg->type != NGX_LITESTREAM_IPC_LTX)
    {
        qn->msg.status = 409;
        (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                        "not replicated: replicate=off");
        ngx_litestream_peer_answer(qn);
        return NGX_OK;
    }

    switch (msg->type) {

    case NGX_LITESTREAM_IPC_SYNC:
        qn->waiter.handler = ngx_litestream_peer_synced;
        qn->waiter.data = qn;
        qn->waiter.start = ngx_current_msec;

        /* a reason has to be there before the client gives up waiting */

        timeout = ngx_min(msg->timeout_ms, 3600 * 1000);
        timeout -= ngx_min(timeout / 4, 250);

        qn->waiter.deadline = ngx_current_msec + timeout;
        ngx_litestream_sync(rdb, &qn->waiter);
        return NGX_OK;

    case NGX_LITESTREAM_IPC_VERIFY:

        if (msg->mode && !ngx_litestream_kind->txid) {
            qn->msg.status = 501;
            (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                            "mode=full needs Litestream 0.5, this is %s",
                            ngx_litestream_sup->version);
            ngx_litestream_peer_answer(qn);
            return NGX_OK;
        }

        qn->verifier.handler = ngx_litestream_peer_verified;
        qn->verifier.data = qn;
        ngx_litestream_verify(rdb, &qn->verifier, msg->mode ? 1 : 0);
        return NGX_OK;

    case NGX_LITESTREAM_IPC_RESTORE:

        if (!ngx_litestream_kind->txid) {
            qn->msg.status = 501;
            (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                            "this needs Litestream 0.5, this is %s: see "
                            "nginx-litestream restore",
                            ngx_litestream_sup->version);
            ngx_litestream_peer_answer(qn);
            return NGX_OK;
        }

        qn->pointer.handler = ngx_litestream_peer_pointed;
        qn->pointer.data = qn;

        if (ngx_litestream_point(rdb, &qn->pointer, msg->time, msg->wanted)
            == NGX_OK)
        {
            return NGX_OK;
        }

        qn->msg.status = 409;
        (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                        "another restore of this database is under way");
        ngx_litestream_peer_answer(qn);
        return NGX_OK;

    case NGX_LITESTREAM_IPC_LTX:

        if (!ngx_litestream_kind->txid) {
            qn->msg.status = 501;
            (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                            "this needs Litestream 0.5, this is %s: see "
                            "nginx-litestream generations, snapshots and wal",
                            ngx_litestream_sup->version);
            ngx_litestream_peer_answer(qn);
            return NGX_OK;
        }

        qn->asker.handler = ngx_litestream_peer_listed;
        qn->asker.data = qn;

        if (ngx_litestream_listing(rdb, &qn->asker) != NGX_OK) {
            ngx_litestream_peer_listed(qn, -1, 0, "no memory");
        }

        return NGX_OK;

    default:
        qn->msg.status = 404;
        (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                        "unknown action");
        ngx_litestream_peer_answer(qn);
        return NGX_OK;
    }
}


static void
ngx_litestream_peer_synced(ngx_litestream_waiter_t *w, ngx_int_t rc,
    uint64_t txid, char *error)
{
    ngx_litestream_question_t *qn = w->data;

    qn->msg.status = (rc == NGX_OK) ? 200 : 503;
    qn->msg.txid = txid;
    qn->msg.duration_ms = ngx_current_msec - w->start;

    if (error) {
        ngx_litestream_copy(qn->msg.error, sizeof(qn->msg.error),
                            (u_char *) error, ngx_strlen(error));
    }

    ngx_litestream_peer_answer(qn);
}


static void
ngx_litestream_peer_verified(void *data, ngx_litestream_verify_result_t *res)
{
    ngx_litestream_question_t *qn = data;

    qn->msg.status = res->verified ? 200 : 503;
    qn->msg.mode = res->mode;
    qn->msg.txid = res->txid;
    qn->msg.duration_ms = res->duration_ms;
    qn->msg.write_ms = res->write_ms;
    qn->msg.sync_ms = res->sync_ms;
    qn->msg.restore_ms = res->restore_ms;
    qn->msg.check_ms = res->check_ms;
    qn->msg.compare_ms = res->compare_ms;

    ngx_memcpy(qn->msg.error, res->error, sizeof(qn->msg.error));

    ngx_litestream_peer_answer(qn);
}


static void
ngx_litestream_peer_pointed(void *data, ngx_litestream_point_t *res)
{
    ngx_litestream_question_t *qn = data;

    qn->msg.status = res->status;
    qn->msg.txid = res->txid;
    qn->msg.bytes = res->bytes;
    qn->msg.duration_ms = res->duration_ms;

    ngx_memcpy(qn->msg.path, res->path, sizeof(qn->msg.path));
    ngx_memcpy(qn->msg.error, res->error, sizeof(qn->msg.error));

    ngx_litestream_peer_answer(qn);
}


static void
ngx_litestream_peer_listed(void *data, int fd, ngx_msec_t ms, char *error)
{
    ngx_litestream_question_t *qn = data;

    qn->msg.status = error ? 503 : 200;
    qn->msg.duration_ms = ms;

    if (error) {
        ngx_litestream_copy(qn->msg.error, sizeof(qn->msg.error),
                            (u_char *) error, ngx_strlen(error));

    } else {

        /* the answer may have to wait, and the list may be too old by then */

        qn->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (qn->fd == -1) {
            qn->msg.status = 503;
            (void) snprintf(qn->msg.error, sizeof(qn->msg.error),
                            "fcntl() failed: %s", strerror(errno));
        }
    }

    ngx_litestream_peer_answer(qn);
}


static void
ngx_litestream_peer_answer(ngx_litestream_question_t *qn)
{
    ngx_litestream_peer_t  *peer;

    peer = qn->peer;

    if (peer == NULL) {
        ngx_litestream_peer_free(qn);
        return;
    }

    ngx_queue_remove(&qn->queue);

    if (ngx_queue_empty(&peer->out)
        && ngx_litestream_pass(peer->c->fd, &qn->msg,
                               sizeof(ngx_litestream_msg_t), qn->fd)
           == (ssize_t) sizeof(ngx_litestream_msg_t))
    {
        ngx_litestream_peer_free(qn);
        return;
    }

    /* the socket is full: its end is seen by reading, if it comes to that */

    ngx_queue_insert_tail(&peer->out, &qn->queue);

    if (!peer->c->write->active) {
        (void) ngx_add_event(peer->c->write, NGX_WRITE_EVENT,
                             NGX_LEVEL_EVENT);
    }
}


static void
ngx_litestream_peer_write(ngx_event_t *ev)
{
    ngx_queue_t                *q;
    ngx_connection_t           *c;
    ngx_litestream_peer_t      *peer;
    ngx_litestream_question_t  *qn;

    c = ev->data;
    peer = c->data;

    while (!ngx_queue_empty(&peer->out)) {

        q = ngx_queue_head(&peer->out);
        qn = ngx_queue_data(q, ngx_litestream_question_t, queue);

        if (ngx_litestream_pass(c->fd, &qn->msg, sizeof(ngx_litestream_msg_t),
                                qn->fd)
            != (ssize_t) sizeof(ngx_litestream_msg_t))
        {
            return;
        }

        ngx_queue_remove(q);
        ngx_litestream_peer_free(qn);
    }

    (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
}


static void
ngx_litestream_peer_free(ngx_litestream_question_t *qn)
{
    ngx_litestream_questions--;

    if (qn->fd != -1) {
        (void) close(qn->fd);
    }

    ngx_free(qn);
}
