
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Bodies of POST: small JSON objects.  They are read as they come and never
 * written to a file, whatever client_body_buffer_size and the like say.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


static void ngx_http_litestream_body_begin(ngx_http_request_t *r);
static void ngx_http_litestream_body_more(ngx_http_request_t *r);
static ngx_int_t ngx_http_litestream_body_take(
    ngx_http_litestream_api_t *ctx);
static u_char *ngx_http_litestream_body_space(u_char *p, u_char *last);
static u_char *ngx_http_litestream_body_string(u_char *p, u_char *last,
    ngx_str_t *s);


ngx_int_t
ngx_http_litestream_body(ngx_http_litestream_api_t *ctx,
    ngx_int_t (*post)(ngx_http_litestream_api_t *ctx))
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->post = post;

    ctx->body.data = ngx_pnalloc(r->pool, NGX_HTTP_LITESTREAM_BODY_SIZE);
    if (ctx->body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_litestream_module);

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_litestream_body_begin);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_litestream_body_begin(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_litestream_body_more;

    ngx_http_litestream_body_more(r);
}


static void
ngx_http_litestream_body_more(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_litestream_api_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_litestream_module);

    for ( ;; ) {

        if (ngx_http_litestream_body_take(ctx) != NGX_OK) {
            rc = ngx_http_litestream_api_error(ctx,
                                              NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                              "the request body is too large");
            rc = ngx_http_litestream_api_refuse(ctx, NULL, rc);
            break;
        }

        if (!r->reading_body) {
            r->read_event_handler = ngx_http_block_reading;
            r->lingering_close = 0;

            rc = ctx->post(ctx);
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            break;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            return;
        }
    }

    ngx_http_finalize_request(r, rc);
}


/* NGX_DECLINED: it is too large */

static ngx_int_t
ngx_http_litestream_body_take(ngx_http_litestream_api_t *ctx)
{
    size_t               size;
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = ctx->request;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        b = cl->buf;
        size = b->last - b->pos;

        if (b->in_file
            || ctx->body.len + size > NGX_HTTP_LITESTREAM_BODY_SIZE)
        {
            return NGX_DECLINED;
        }

        ngx_memcpy(ctx->body.data + ctx->body.len, b->pos, size);
        ctx->body.len += size;

        b->pos = b->last;
    }

    r->request_body->bufs = NULL;

    return NGX_OK;
}


static u_char *
ngx_http_litestream_body_space(u_char *p, u_char *last)
{
    while (p < last
           && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
    {
        p++;
    }

    return p;
}


/* what has an escape is nothing that would be known here; NULL: no string */

static u_char *
ngx_http_litestream_body_string(u_char *p, u_char *last, ngx_str_t *s)
{
    if (p == last || *p != '"') {
        return NULL;
    }

    s->data = ++p;

    while (p < last && *p != '"') {

        if (*p < ' ') {
            return NULL;
        }

        if (*p == '\\') {
            p++;
        }

        p++;
    }

    if (p >= last) {
        return NULL;
    }

    s->len = p - s->data;

    return p + 1;
}


ngx_int_t
ngx_http_litestream_body_member(ngx_str_t *body, u_char **from,
    ngx_http_litestream_member_t *m)
{
    u_char      *p, *last;
    ngx_uint_t   i, first;

    static ngx_str_t  words[] = {
        ngx_string("true"), ngx_string("false"), ngx_string("null")
    };

    last = body->data + body->len;
    first = (*from == NULL);

    p = ngx_http_litestream_body_space(first ? body->data : *from, last);

    if (first) {

        /* no body at all is an empty object */

        if (p == last) {
            return NGX_DECLINED;
        }

        if (*p++ != '{') {
            return NGX_ERROR;
        }

        p = ngx_http_litestream_body_space(p, last);
    }

    if (p == last) {
        return NGX_ERROR;
    }

    if (*p == '}') {
        p = ngx_http_litestream_body_space(p + 1, last);

        return (p == last) ? NGX_DECLINED : NGX_ERROR;
    }

    if (!first) {

        if (*p != ',') {
            return NGX_ERROR;
        }

        p = ngx_http_litestream_body_space(p + 1, last);
    }

    p = ngx_http_litestream_body_string(p, last, &m->name);

    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_litestream_body_space(p, last);

    if (p == last || *p != ':') {
        return NGX_ERROR;
    }

    p = ngx_http_litestream_body_space(p + 1, last);

    if (p == last) {
        return NGX_ERROR;
    }

    m->type = *p;

    if (*p == '"') {
        *from = ngx_http_litestream_body_string(p, last, &m->value);

        return *from ? NGX_OK : NGX_ERROR;
    }

    if (*p == '-' || (*p >= '0' && *p <= '9')) {

        m->type = '0';
        m->value.data = p;

        while (p < last && ((*p >= '0' && *p <= '9') || *p == '-' || *p == '+'
                            || *p == '.' || *p == 'e' || *p == 'E'))
        {
            p++;
        }

        m->value.len = p - m->value.data;
        *from = p;

        return NGX_OK;
    }

    for (i = 0; i < sizeof(words) / sizeof(ngx_str_t); i++) {

        if ((size_t) (last - p) >= words[i].len
            && ngx_strncmp(p, words[i].data, words[i].len) == 0)
        {
            m->value = words[i];
            *from = p + words[i].len;

            return NGX_OK;
        }
    }

    return NGX_ERROR;
}
