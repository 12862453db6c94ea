
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * POST restore: to a new file beside the database.  The client names a time or
 * a transaction, never a path.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


static ngx_uint_t ngx_http_litestream_restore_wanted(
    ngx_http_litestream_api_t *ctx, ngx_litestream_msg_t *msg);
static ngx_uint_t ngx_http_litestream_restore_member(
    ngx_http_litestream_api_t *ctx, ngx_http_litestream_member_t *m,
    ngx_litestream_msg_t *msg);
static ngx_uint_t ngx_http_litestream_restore_render(
    ngx_http_litestream_question_t *q, ngx_http_litestream_json_t *json);


/*
 * One question.  Worker, does not block.
 */

ngx_int_t
ngx_http_litestream_restore_post(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t                   status;
    ngx_litestream_msg_t        *msg;
    ngx_http_litestream_wait_t  *w;

    w = ngx_http_litestream_wait_create(ctx);
    if (w == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    w->render = ngx_http_litestream_restore_render;

    msg = &w->questions[0].ask.msg;
    msg->type = NGX_LITESTREAM_IPC_RESTORE;

    status = ngx_http_litestream_restore_wanted(ctx, msg);

    if (status != NGX_HTTP_OK) {
        return ngx_http_litestream_api_refuse(ctx, NULL, status);
    }

    return ngx_http_litestream_wait(w);
}


static ngx_uint_t
ngx_http_litestream_restore_wanted(ngx_http_litestream_api_t *ctx,
    ngx_litestream_msg_t *msg)
{
    u_char                        *p;
    ngx_int_t                      rc;
    ngx_uint_t                     status;
    ngx_http_litestream_member_t   m;

    p = NULL;

    for ( ;; ) {

        rc = ngx_http_litestream_body_member(&ctx->body, &p, &m);

        if (rc == NGX_DECLINED) {
            break;
        }

        if (rc == NGX_ERROR) {
            return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                         "the request body must be a JSON object, such as "
                         "{\"timestamp\":\"2026-01-31T12:00:00Z\"}");
        }

        status = ngx_http_litestream_restore_member(ctx, &m, msg);

        if (status != NGX_HTTP_OK) {
            return status;
        }
    }

    if (msg->time && msg->wanted) {
        return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                         "\"timestamp\" and \"txid\" exclude each other");
    }

    return NGX_HTTP_OK;
}


static ngx_uint_t
ngx_http_litestream_restore_member(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_member_t *m, ngx_litestream_msg_t *msg)
{
    if (m->name.len == 9 && ngx_strncmp(m->name.data, "timestamp", 9) == 0) {

        if (msg->time) {
            goto duplicate;
        }

        if (m->type == 'n') {
            return NGX_HTTP_OK;
        }

        msg->time = (m->type == '"')
                    ? ngx_litestream_time(m->value.data, m->value.len) : -1;

        /* of a time before 1970 there is no backup either */

        if (msg->time <= 0) {
            return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                         "\"timestamp\" must be a time as in RFC 3339, such "
                         "as \"2026-01-31T12:00:00Z\"");
        }

        return NGX_HTTP_OK;
    }

    if (m->name.len == 4 && ngx_strncmp(m->name.data, "txid", 4) == 0) {

        if (msg->wanted) {
            goto duplicate;
        }

        if (m->type == 'n') {
            return NGX_HTTP_OK;
        }

        if (m->type != '"' || m->value.len != 16
            || ngx_litestream_txid(m->value.data, m->value.len, &msg->wanted)
               != NGX_OK
            || msg->wanted == 0)
        {
            return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                         "\"txid\" must be 16 hex digits, such as "
                         "\"000000000000002a\"");
        }

        return NGX_HTTP_OK;
    }

    if (m->name.len == 8 && ngx_strncmp(m->name.data, "in_place", 8) == 0) {

        if (m->type == 't') {
            return ngx_http_litestream_api_error(ctx,
                         NGX_HTTP_NOT_IMPLEMENTED,
                         "\"in_place\" is not supported by this version: the "
                         "database is restored to a new file");
        }

        if (m->type == 'f' || m->type == 'n') {
            return NGX_HTTP_OK;
        }

        return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                         "\"in_place\" must be true or false");
    }

    return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                         "unknown member \"%V\"", &m->name);

duplicate:

    return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                         "duplicate member \"%V\"", &m->name);
}


static ngx_uint_t
ngx_http_litestream_restore_render(ngx_http_litestream_question_t *q,
    ngx_http_litestream_json_t *json)
{
    ngx_uint_t             status, done, running;
    ngx_litestream_msg_t  *msg;

    msg = &q->ask.msg;

    status = NGX_HTTP_ACCEPTED;

    if (q->answered) {
        status = msg->status;

        if (status != NGX_HTTP_OK) {
            ngx_http_litestream_wait_error(q, "the restore failed");
        }

    } else if (q->wait->deserted) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_http_litestream_wait_error(q, "no supervisor is running");
    }

    done = (status == NGX_HTTP_OK);
    running = (status == NGX_HTTP_ACCEPTED);

    ngx_http_litestream_json_open(json, NULL, '{');

    ngx_http_litestream_json_text(json, "alias", q->db->alias.data,
                                  q->db->alias.len);

    if (running) {
        ngx_http_litestream_json_null(json, "restored");
        ngx_http_litestream_json_bool(json, "running", 1);

    } else {
        ngx_http_litestream_json_bool(json, "restored", done);
    }

    ngx_http_litestream_json_chars(json, "file", done ? msg->path : "",
                                   done ? sizeof(msg->path) : 0);
    ngx_http_litestream_json_txid(json, "txid", done ? msg->txid : 0);
    ngx_http_litestream_json_time(json, "timestamp", msg->time);
    ngx_http_litestream_json_number(json, "bytes", done ? msg->bytes : -1);
    ngx_http_litestream_json_number(json, "duration_ms",
                                    done || (!running && msg->duration_ms)
                                    ? (int64_t) msg->duration_ms : -1);

    if (done || running) {
        ngx_http_litestream_json_null(json, "error");

    } else {
        ngx_http_litestream_json_chars(json, "error", msg->error,
                                       sizeof(msg->error));
    }

    ngx_http_litestream_json_close(json, '}');

    return status;
}


/*
 * The last restore to a new file, as GET status shows it.  Worker, no I/O.
 */

void
ngx_http_litestream_point_json(ngx_http_litestream_json_t *json,
    ngx_litestream_point_t *p)
{
    char        *name;
    ngx_uint_t   state, ended;

    if (p->state == NGX_LITESTREAM_RESTORE_NONE) {
        ngx_http_litestream_json_null(json, "restored");
        return;
    }

    state = ngx_min(p->state, NGX_LITESTREAM_RESTORE_FAILED);
    name = ngx_litestream_restore_state_names[state];

    ended = (state != NGX_LITESTREAM_RESTORE_RUNNING);

    ngx_http_litestream_json_open(json, "restored", '{');

    ngx_http_litestream_json_text(json, "state", (u_char *) name,
                                  ngx_strlen(name));
    ngx_http_litestream_json_chars(json, "file", p->path, sizeof(p->path));
    ngx_http_litestream_json_txid(json, "txid", p->txid ? p->txid : p->wanted);
    ngx_http_litestream_json_time(json, "timestamp", p->time);
    ngx_http_litestream_json_number(json, "bytes", p->bytes);
    ngx_http_litestream_json_number(json, "total_bytes", p->total);
    ngx_http_litestream_json_number(json, "duration_ms",
                                    ended ? (int64_t) p->duration_ms : -1);
    ngx_http_litestream_json_chars(json, "error", p->error,
                                   sizeof(p->error));
    ngx_http_litestream_json_time(json, "at", p->at);

    ngx_http_litestream_json_close(json, '}');
}
