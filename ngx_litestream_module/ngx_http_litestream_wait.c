
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


/* without write=on a verification that is younger is not repeated, ms */
#define NGX_HTTP_LITESTREAM_FRESH       10000

/* how long a supervisor may take to appear, ms */
#define NGX_HTTP_LITESTREAM_NO_ONE      5000


static ngx_litestream_verify_result_t *ngx_http_litestream_wait_fresh(
    ngx_pool_t *pool, ngx_litestream_db_t *db, ngx_uint_t mode);
static ngx_uint_t ngx_http_litestream_wait_deserted(void);
static void ngx_http_litestream_wait_answer(ngx_litestream_ask_t *ask);
static void ngx_http_litestream_wait_timer(ngx_event_t *ev);
static void ngx_http_litestream_wait_finalize(ngx_http_litestream_wait_t *w);
static void ngx_http_litestream_wait_cleanup(ngx_http_litestream_wait_t *w);
static void ngx_http_litestream_wait_destroy(void *data);
static ngx_int_t ngx_http_litestream_wait_send(ngx_http_litestream_wait_t *w);
static ngx_uint_t ngx_http_litestream_wait_verify(
    ngx_http_litestream_question_t *q, ngx_http_litestream_json_t *json);
static ngx_uint_t ngx_http_litestream_wait_sync(
    ngx_http_litestream_question_t *q, ngx_http_litestream_json_t *json);


/*
 * POST verify: one question for each database.  Worker, does not block.
 */

ngx_int_t
ngx_http_litestream_verify_post(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t                       i;
    ngx_http_litestream_wait_t      *w;
    ngx_http_litestream_question_t  *q;

    w = ngx_http_litestream_wait_create(ctx);
    if (w == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    w->render = ngx_http_litestream_wait_verify;

    for (i = 0; i < w->n; i++) {
        q = &w->questions[i];

        q->ask.msg.type = NGX_LITESTREAM_IPC_VERIFY;
        q->ask.msg.mode = ctx->mode;

        if (!ctx->write) {
            q->fresh = ngx_http_litestream_wait_fresh(ctx->request->pool,
                                                      q->db, ctx->mode);
        }
    }

    return ngx_http_litestream_wait(w);
}


/*
 * POST sync: of a directory, each of its databases.  Worker, does not block.
 */

ngx_int_t
ngx_http_litestream_sync_post(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t                   i;
    ngx_http_litestream_wait_t  *w;

    w = ngx_http_litestream_wait_create(ctx);
    if (w == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    w->render = ngx_http_litestream_wait_sync;

    for (i = 0; i < w->n; i++) {
        w->questions[i].ask.msg.type = NGX_LITESTREAM_IPC_SYNC;
    }

    return ngx_http_litestream_wait(w);
}


/*
 * One question for each database that was asked about; the caller fills in
 * what they are, and w->render.  NULL: no memory.  Worker.
 */

ngx_http_litestream_wait_t *
ngx_http_litestream_wait_create(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t                       i;
    ngx_pool_cleanup_t              *cln;
    ngx_litestream_db_t            **dbs;
    ngx_http_request_t              *r;
    ngx_http_litestream_wait_t      *w;
    ngx_http_litestream_question_t  *q;

    r = ctx->request;

    w = ngx_pcalloc(r->pool, sizeof(ngx_http_litestream_wait_t));
    if (w == NULL) {
        return NULL;
    }

    w->ctx = ctx;
    w->n = ctx->dbs->nelts;

    w->questions = ngx_pcalloc(r->pool, ngx_max(w->n, 1)
                                     * sizeof(ngx_http_litestream_question_t));
    if (w->questions == NULL) {
        return NULL;
    }

    dbs = ctx->dbs->elts;

    for (i = 0; i < w->n; i++) {
        q = &w->questions[i];

        q->db = dbs[i];
        q->wait = w;

        q->ask.fd = -1;
        q->ask.msg.db = dbs[i]->id;
        q->ask.msg.timeout_ms = (uint32_t) ctx->timeout;
        q->ask.handler = ngx_http_litestream_wait_answer;
        q->ask.data = q;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_litestream_wait_destroy;
    cln->data = w;

    return w;
}


/* the last result, if it is fresh enough to be the answer */

static ngx_litestream_verify_result_t *
ngx_http_litestream_wait_fresh(ngx_pool_t *pool, ngx_litestream_db_t *db,
    ngx_uint_t mode)
{
    int64_t                          age;
    ngx_litestream_db_status_t       st;
    ngx_litestream_verify_result_t  *v;

    if (ngx_litestream_status_db(db->id, db->index, &st) != NGX_OK
        || st.verify.at == 0 || st.verify.mode < mode)
    {
        return NULL;
    }

    /* below 0: the cached time is behind, or the clock was set back */

    age = ngx_http_litestream_now() - st.verify.at;

    if (age >= NGX_HTTP_LITESTREAM_FRESH || -age >= NGX_HTTP_LITESTREAM_FRESH)
    {
        return NULL;
    }

    v = ngx_palloc(pool, sizeof(ngx_litestream_verify_result_t));

    if (v) {
        *v = st.verify;
    }

    return v;
}


/*
 * Asks the supervisor, and answers the request when all is answered or the
 * time is up; what it returns is for ngx_http_finalize_request().  Worker,
 * does not block.
 */

ngx_int_t
ngx_http_litestream_wait(ngx_http_litestream_wait_t *w)
{
    ngx_uint_t           i;
    ngx_msec_t           timeout;
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = w->ctx->request;

    w->asking = 1;

    for (i = 0; i < w->n; i++) {

        if (w->questions[i].fresh) {
            continue;
        }

        w->left++;
        ngx_litestream_ask(&w->questions[i].ask);
    }

    w->asking = 0;

    if (w->left == 0) {
        return ngx_http_litestream_wait_send(w);
    }

    /* while a body is still on its way, the timer alone ends the waiting */

    if (r == r->main && !r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;

        rev = r->connection->read;

        if (rev->ready) {
            ngx_post_event(rev, &ngx_posted_events);

        } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
            ngx_http_litestream_wait_cleanup(w);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    timeout = w->ctx->timeout;

    if (ngx_http_litestream_wait_deserted()) {
        timeout = ngx_min(timeout, NGX_HTTP_LITESTREAM_NO_ONE);
    }

    w->started = ngx_current_msec;

    w->timer.handler = ngx_http_litestream_wait_timer;
    w->timer.data = w;
    w->timer.log = r->connection->log;

    ngx_add_timer(&w->timer, timeout);

    r->main->count++;

    return NGX_DONE;
}


static ngx_uint_t
ngx_http_litestream_wait_deserted(void)
{
    ngx_litestream_super_status_t  st;

    if (ngx_litestream_ipc_connected()) {
        return 0;
    }

    return ngx_litestream_status_super(&st) != NGX_OK
           || !ngx_litestream_alive(&st, ngx_http_litestream_now());
}


static void
ngx_http_litestream_wait_answer(ngx_litestream_ask_t *ask)
{
    ngx_http_litestream_wait_t      *w;
    ngx_http_litestream_question_t  *q;

    q = ask->data;
    w = q->wait;

    q->answered = 1;

    if (--w->left == 0 && !w->asking) {
        ngx_http_litestream_wait_finalize(w);
    }
}


static void
ngx_http_litestream_wait_timer(ngx_event_t *ev)
{
    ngx_msec_t                   passed;
    ngx_http_litestream_wait_t  *w;

    w = ev->data;

    w->deserted = ngx_http_litestream_wait_deserted();

    passed = ngx_current_msec - w->started;

    if (!w->deserted && passed < w->ctx->timeout) {

        /* a supervisor has appeared */

        ngx_add_timer(ev, w->ctx->timeout - passed);
        return;
    }

    ngx_http_litestream_wait_finalize(w);
}


static void
ngx_http_litestream_wait_finalize(ngx_http_litestream_wait_t *w)
{
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = w->ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_litestream_wait_cleanup(w);

    rc = ngx_http_litestream_wait_send(w);

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_litestream_wait_destroy(void *data)
{
    ngx_http_litestream_wait_t  *w = data;

    ngx_uint_t  i;

    ngx_http_litestream_wait_cleanup(w);

    for (i = 0; i < w->n; i++) {
        if (w->questions[i].ask.fd != -1) {
            (void) close(w->questions[i].ask.fd);
        }
    }
}


static void
ngx_http_litestream_wait_cleanup(ngx_http_litestream_wait_t *w)
{
    ngx_uint_t  i;

    for (i = 0; i < w->n; i++) {
        ngx_litestream_forget(&w->questions[i].ask);
    }

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }
}


static ngx_int_t
ngx_http_litestream_wait_send(ngx_http_litestream_wait_t *w)
{
    ngx_uint_t                   i, rc, status;
    ngx_http_request_t          *r;
    ngx_http_litestream_json_t   json;

    r = w->ctx->request;

    ngx_http_litestream_json_init(&json, r->pool);

    status = NGX_HTTP_OK;

    if (!w->ctx->one) {
        ngx_http_litestream_json_open(&json, NULL, '{');
        ngx_http_litestream_json_open(&json, "databases", '[');
    }

    for (i = 0; i < w->n; i++) {
        rc = w->render(&w->questions[i], &json);

        /* one that failed outweighs those that still run */

        status = ngx_max(status, rc);
    }

    if (!w->ctx->one) {
        ngx_http_litestream_json_close(&json, ']');
        ngx_http_litestream_json_close(&json, '}');
    }

    return ngx_http_litestream_api_send(r, status, &json);
}


static ngx_uint_t
ngx_http_litestream_wait_verify(ngx_http_litestream_question_t *q,
    ngx_http_litestream_json_t *json)
{
    ngx_litestream_msg_t            *msg;
    ngx_litestream_verify_result_t   v;

    if (q->fresh) {
        ngx_http_litestream_verify_json(json, NULL, q->db, q->fresh,
                                        NGX_HTTP_LITESTREAM_VERIFY_AT);

        return q->fresh->verified ? NGX_HTTP_OK
                                  : NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    ngx_memzero(&v, sizeof(ngx_litestream_verify_result_t));

    msg = &q->ask.msg;
    v.mode = q->wait->ctx->mode;

    if (!q->answered && !q->wait->deserted) {
        msg->status = NGX_HTTP_ACCEPTED;
    }

    if (msg->status == NGX_HTTP_ACCEPTED) {
        ngx_http_litestream_verify_json(json, NULL, q->db, &v,
                                        NGX_HTTP_LITESTREAM_VERIFY_RUNNING);

        return NGX_HTTP_ACCEPTED;
    }

    if (!q->answered) {
        ngx_http_litestream_wait_error(q, "no supervisor is running");

    } else {
        v.verified = (msg->status == NGX_HTTP_OK);
        v.mode = msg->mode;
        v.txid = msg->txid;
        v.duration_ms = msg->duration_ms;
        v.write_ms = msg->write_ms;
        v.sync_ms = msg->sync_ms;
        v.restore_ms = msg->restore_ms;
        v.check_ms = msg->check_ms;
        v.compare_ms = msg->compare_ms;

        if (!v.verified) {
            ngx_http_litestream_wait_error(q, "the verification failed");
        }
    }

    if (!v.verified) {
        ngx_memcpy(v.error, msg->error, sizeof(v.error));
    }

    ngx_http_litestream_verify_json(json, NULL, q->db, &v, 0);

    /* with this Litestream it cannot be */

    if (q->answered && msg->status == NGX_HTTP_NOT_IMPLEMENTED) {
        return q->wait->ctx->one ? NGX_HTTP_NOT_IMPLEMENTED
                                 : NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    return v.verified ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE;
}


static ngx_uint_t
ngx_http_litestream_wait_sync(ngx_http_litestream_question_t *q,
    ngx_http_litestream_json_t *json)
{
    ngx_uint_t             status, synced;
    ngx_litestream_msg_t  *msg;

    msg = &q->ask.msg;

    if (q->answered && msg->status == NGX_HTTP_OK) {
        status = NGX_HTTP_OK;

    } else if (q->answered && msg->status != NGX_HTTP_ACCEPTED) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_http_litestream_wait_error(q, "the sync failed");

    } else if (q->wait->deserted) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_http_litestream_wait_error(q, "no supervisor is running");

    } else {
        status = NGX_HTTP_GATEWAY_TIME_OUT;
        ngx_http_litestream_wait_error(q, "the sync has not ended in time");
    }

    synced = (status == NGX_HTTP_OK);

    ngx_http_litestream_json_open(json, NULL, '{');

    ngx_http_litestream_json_text(json, "alias", q->db->alias.data,
                                  q->db->alias.len);
    ngx_http_litestream_json_bool(json, "synced", synced);
    ngx_http_litestream_json_txid(json, "txid",
                                  q->answered ? msg->txid : 0);
    ngx_http_litestream_json_number(json, "duration_ms",
                                    (synced || msg->duration_ms)
                                    ? (int64_t) msg->duration_ms : -1);

    if (synced) {
        ngx_http_litestream_json_null(json, "error");

    } else {
        ngx_http_litestream_json_chars(json, "error", msg->error,
                                       sizeof(msg->error));
    }

    ngx_http_litestream_json_close(json, '}');

    return status;
}


/* a failure always says something */

void
ngx_http_litestream_wait_error(ngx_http_litestream_question_t *q, char *error)
{
    if (q->answered && q->ask.msg.error[0]) {
        return;
    }

    ngx_litestream_copy(q->ask.msg.error, sizeof(q->ask.msg.error),
                        (u_char *) error, ngx_strlen(error));
}
