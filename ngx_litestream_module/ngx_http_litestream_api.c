
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


#define NGX_HTTP_LITESTREAM_TIMEOUT      30000
#define NGX_HTTP_LITESTREAM_MAX_TIMEOUT  3600000

/* files in an answer of ltx */

#define NGX_HTTP_LITESTREAM_LIMIT        1000
#define NGX_HTTP_LITESTREAM_MAX_LIMIT    10000


/* does an alias follow the endpoint's name */

#define NGX_HTTP_LITESTREAM_ALIAS_NO     0
#define NGX_HTTP_LITESTREAM_ALIAS_MAY    1
#define NGX_HTTP_LITESTREAM_ALIAS_MUST   2

/* of a POST: it needs write=on, it has a body; all are about one database */

#define NGX_HTTP_LITESTREAM_WRITE        0x0001
#define NGX_HTTP_LITESTREAM_BODY         0x0002
#define NGX_HTTP_LITESTREAM_ONE          0x0004


typedef struct {
    ngx_str_t                  name;
    ngx_uint_t                 alias;   /* NGX_HTTP_LITESTREAM_ALIAS_XXX */
    ngx_uint_t                 flags;
    ngx_uint_t                 get_args;
    ngx_uint_t                 post_args;
    char                      *allow;

    ngx_uint_t               (*get)(ngx_http_litestream_api_t *ctx,
                                    ngx_http_litestream_json_t *json);
    ngx_int_t                (*ask)(ngx_http_litestream_api_t *ctx);
    ngx_int_t                (*post)(ngx_http_litestream_api_t *ctx);
} ngx_http_litestream_endpoint_t;


static ngx_uint_t ngx_http_litestream_api_replicated(
    ngx_http_litestream_api_t *ctx);
static ngx_int_t ngx_http_litestream_api_header(ngx_http_request_t *r,
    char *name, char *value);
static ngx_uint_t ngx_http_litestream_api_route(
    ngx_http_litestream_api_t *ctx, ngx_http_litestream_endpoint_t **ep);
static ngx_int_t ngx_http_litestream_api_rest(ngx_http_request_t *r,
    ngx_str_t *rest);
static ngx_http_litestream_endpoint_t *ngx_http_litestream_api_find(
    u_char *data, size_t len);
static ngx_uint_t ngx_http_litestream_api_db(ngx_http_litestream_api_t *ctx,
    ngx_str_t *alias, ngx_litestream_db_t **db);

static ngx_uint_t ngx_http_litestream_api_args(
    ngx_http_litestream_api_t *ctx, ngx_uint_t allowed);
static ngx_uint_t ngx_http_litestream_api_arg(ngx_http_litestream_api_t *ctx,
    ngx_uint_t allowed, ngx_array_t *dbs, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_litestream_api_unescape(ngx_pool_t *pool,
    ngx_str_t *s, u_char *data, size_t len);


static ngx_http_litestream_endpoint_t  ngx_http_litestream_endpoints[] = {

    { ngx_string("status"),
      NGX_HTTP_LITESTREAM_ALIAS_MAY,
      0,
      0,
      0,
      "GET, HEAD",
      ngx_http_litestream_status_get,
      NULL,
      NULL },

    { ngx_string("ready"),
      NGX_HTTP_LITESTREAM_ALIAS_NO,
      0,
      NGX_HTTP_LITESTREAM_ARG_DB
      |NGX_HTTP_LITESTREAM_ARG_REPLICATING
      |NGX_HTTP_LITESTREAM_ARG_MAX_LAG
      |NGX_HTTP_LITESTREAM_ARG_VERIFIED,
      0,
      "GET, HEAD",
      ngx_http_litestream_ready_get,
      NULL,
      NULL },

    { ngx_string("verify"),
      NGX_HTTP_LITESTREAM_ALIAS_MAY,
      0,
      0,
      NGX_HTTP_LITESTREAM_ARG_MODE|NGX_HTTP_LITESTREAM_ARG_TIMEOUT,
      "GET, HEAD, POST",
      ngx_http_litestream_verify_get,
      NULL,
      ngx_http_litestream_verify_post },

    { ngx_string("sync"),
      NGX_HTTP_LITESTREAM_ALIAS_MUST,
      0,
      0,
      NGX_HTTP_LITESTREAM_ARG_TIMEOUT,
      "POST",
      NULL,
      NULL,
      ngx_http_litestream_sync_post },

    { ngx_string("restore"),
      NGX_HTTP_LITESTREAM_ALIAS_MUST,
      NGX_HTTP_LITESTREAM_WRITE
      |NGX_HTTP_LITESTREAM_BODY
      |NGX_HTTP_LITESTREAM_ONE,
      0,
      NGX_HTTP_LITESTREAM_ARG_TIMEOUT,
      "POST",
      NULL,
      NULL,
      ngx_http_litestream_restore_post },

    { ngx_string("ltx"),
      NGX_HTTP_LITESTREAM_ALIAS_MUST,
      NGX_HTTP_LITESTREAM_ONE,
      NGX_HTTP_LITESTREAM_ARG_LEVEL
      |NGX_HTTP_LITESTREAM_ARG_LIMIT
      |NGX_HTTP_LITESTREAM_ARG_TIMEOUT,
      0,
      "GET, HEAD",
      NULL,
      ngx_http_litestream_ltx_ask,
      NULL },

    { ngx_string("metrics"),
      NGX_HTTP_LITESTREAM_ALIAS_NO,
      0,
      0,
      0,
      "GET, HEAD",
      ngx_http_litestream_metrics_get,
      NULL,
      NULL },

    { ngx_string("config"),
      NGX_HTTP_LITESTREAM_ALIAS_NO,
      0,
      0,
      0,
      "GET, HEAD",
      ngx_http_litestream_config_get,
      NULL,
      NULL },

    { ngx_null_string, 0, 0, 0, 0, NULL, NULL, NULL, NULL }
};


static ngx_conf_enum_t  ngx_http_litestream_args[] = {
    { ngx_string("db"), NGX_HTTP_LITESTREAM_ARG_DB },
    { ngx_string("replicating"), NGX_HTTP_LITESTREAM_ARG_REPLICATING },
    { ngx_string("max_lag"), NGX_HTTP_LITESTREAM_ARG_MAX_LAG },
    { ngx_string("verified"), NGX_HTTP_LITESTREAM_ARG_VERIFIED },
    { ngx_string("mode"), NGX_HTTP_LITESTREAM_ARG_MODE },
    { ngx_string("timeout"), NGX_HTTP_LITESTREAM_ARG_TIMEOUT },
    { ngx_string("level"), NGX_HTTP_LITESTREAM_ARG_LEVEL },
    { ngx_string("limit"), NGX_HTTP_LITESTREAM_ARG_LIMIT },
    { ngx_null_string, 0 }
};


/*
 * Content handler of a location with litestream_api.  Worker; answers GET
 * from memory, waits for the answer to a POST without blocking.
 */

ngx_int_t
ngx_http_litestream_api_handler(ngx_http_request_t *r)
{
    uint64_t                         changes;
    ngx_int_t                        rc;
    ngx_uint_t                       status, post, recent;
    ngx_litestream_db_t            **db;
    ngx_http_litestream_api_t       *ctx;
    ngx_http_litestream_json_t       json;
    ngx_http_litestream_endpoint_t  *ep;
    ngx_http_litestream_loc_conf_t  *llcf;

    ep = NULL;
    changes = 0;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_litestream_api_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_litestream_module);

    ctx->request = r;
    ctx->dbs = ngx_http_litestream_dbs(r);
    ctx->write = (llcf->write == 1);
    ctx->timeout = NGX_HTTP_LITESTREAM_TIMEOUT;
    ctx->level = -1;
    ctx->limit = NGX_HTTP_LITESTREAM_LIMIT;

    status = ngx_http_litestream_api_route(ctx, &ep);

    if (status != NGX_HTTP_OK) {
        return ngx_http_litestream_api_refuse(ctx, NULL, status);
    }

    post = (r->method == NGX_HTTP_POST);

    if (post ? ep->post == NULL
             : ((ep->get == NULL && ep->ask == NULL)
                || !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))))
    {
        status = ngx_http_litestream_api_error(ctx, NGX_HTTP_NOT_ALLOWED,
                                               "method not allowed");
        return ngx_http_litestream_api_refuse(ctx, ep->allow, status);
    }

    if (post) {
        status = ngx_http_litestream_site(ctx);

        if (status == NGX_HTTP_OK
            && r->headers_in.content_length_n > NGX_HTTP_LITESTREAM_BODY_SIZE)
        {
            status = ngx_http_litestream_api_error(ctx,
                                              NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                              "the request body is too large");
        }

        if (status == NGX_HTTP_OK && !ctx->write
            && (ep->flags & NGX_HTTP_LITESTREAM_WRITE))
        {
            status = ngx_http_litestream_api_error(ctx, NGX_HTTP_FORBIDDEN,
                                                   "\"%V\" needs write=on",
                                                   &ep->name);
        }

        if (status != NGX_HTTP_OK) {
            return ngx_http_litestream_api_refuse(ctx, ep->allow, status);
        }
    }

    status = ngx_http_litestream_api_args(ctx, post ? ep->post_args
                                                    : ep->get_args);
    if (status != NGX_HTTP_OK) {
        return ngx_http_litestream_api_refuse(ctx, ep->allow, status);
    }

    if ((ep->flags & NGX_HTTP_LITESTREAM_ONE) && !ctx->one) {
        db = ctx->dbs->elts;
        status = ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                     "\"%V\" is a directory of databases: "
                                     "name one of them", &db[0]->alias);
        return ngx_http_litestream_api_refuse(ctx, ep->allow, status);
    }

    if (post && (ep->flags & NGX_HTTP_LITESTREAM_BODY)) {
        return ngx_http_litestream_body(ctx, ep->post);
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_litestream_members(ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (post) {

        /* of a chunked body, what is left of the chunk now being read */

        if (r->discard_body
            && r->request_body
            && r->request_body->chunked
            && r->request_body->chunked->size > NGX_HTTP_LITESTREAM_BODY_SIZE)
        {
            status = ngx_http_litestream_api_error(ctx,
                                              NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                              "the request body is too large");
            return ngx_http_litestream_api_refuse(ctx, ep->allow, status);
        }

        status = ngx_http_litestream_api_replicated(ctx);

        if (status != NGX_HTTP_OK) {
            return ngx_http_litestream_api_refuse(ctx, ep->allow, status);
        }

        return ep->post(ctx);
    }

    if (ep->ask) {
        return ep->ask(ctx);
    }

    ngx_http_litestream_json_init(&json, r->pool);

    recent = (ep->get == ngx_http_litestream_status_get
              && ctx->dbs == ngx_http_litestream_dbs(r));

    if (recent
        && ngx_http_litestream_recent_get(r, &json, &changes) == NGX_OK)
    {
        return ngx_http_litestream_api_send(r, NGX_HTTP_OK, &json);
    }

    status = ep->get(ctx, &json);

    if (recent) {
        ngx_http_litestream_recent_keep(r, &json, changes);
    }

    return ngx_http_litestream_api_send(r, status, &json);
}


/*
 * There is nothing to sync or to verify for a database with replicate=off:
 * of several it is left out.  200, or 409 and ctx->error.
 */

static ngx_uint_t
ngx_http_litestream_api_replicated(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t             i;
    ngx_array_t           *dbs;
    ngx_litestream_db_t  **db, **elt;

    db = ctx->dbs->elts;

    for (i = 0; i < ctx->dbs->nelts; i++) {
        if (!db[i]->replicate) {
            break;
        }
    }

    if (i == ctx->dbs->nelts) {
        return NGX_HTTP_OK;
    }

    dbs = ngx_array_create(ctx->request->pool, ctx->dbs->nelts,
                           sizeof(ngx_litestream_db_t *));
    if (dbs == NULL) {
        return ngx_http_litestream_api_error(ctx,
                                             NGX_HTTP_INTERNAL_SERVER_ERROR,
                                             "no memory");
    }

    for (i = 0; i < ctx->dbs->nelts; i++) {

        if (db[i]->replicate) {
            elt = ngx_array_push(dbs);
            *elt = db[i];
        }
    }

    if (dbs->nelts == 0) {
        return ngx_http_litestream_api_error(ctx, NGX_HTTP_CONFLICT,
                                 "database \"%V\" is not replicated: "
                                 "replicate=off", &db[0]->alias);
    }

    ctx->dbs = dbs;

    return NGX_HTTP_OK;
}


/*
 * Ends the answer and sends it with this status; what it returns is for
 * ngx_http_finalize_request().  Worker.
 */

ngx_int_t
ngx_http_litestream_api_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_litestream_json_t *json)
{
    ngx_int_t  rc;

    ngx_http_litestream_json_end(json);

    if (json->failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_litestream_api_header(r, "Cache-Control", "no-store")
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = json->size;

    r->headers_out.content_type = json->type;
    r->headers_out.content_type_len = json->type_len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    json->buf->last_buf = (r == r->main) ? 1 : 0;
    json->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, json->out);
}


/* answers with ctx->error; allow: the methods, of 405 */

ngx_int_t
ngx_http_litestream_api_refuse(ngx_http_litestream_api_t *ctx, char *allow,
    ngx_uint_t status)
{
    ngx_int_t                    rc;
    ngx_http_request_t          *r;
    ngx_http_litestream_json_t   json;

    r = ctx->request;

    if (status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {

        /* as nginx does it: no "100 Continue", then close */

        r->expect_tested = 1;
        r->keepalive = 0;

        (void) ngx_http_discard_request_body(r);

    } else {
        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (status == NGX_HTTP_NOT_ALLOWED
        && ngx_http_litestream_api_header(r, "Allow", allow) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_litestream_json_init(&json, r->pool);

    ngx_http_litestream_json_open(&json, NULL, '{');
    ngx_http_litestream_json_text(&json, "error", ctx->error.data,
                                  ctx->error.len);
    ngx_http_litestream_json_close(&json, '}');

    return ngx_http_litestream_api_send(r, status, &json);
}


static ngx_int_t
ngx_http_litestream_api_header(ngx_http_request_t *r, char *name,
    char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value.len = ngx_strlen(value);
    h->value.data = (u_char *) value;

    return NGX_OK;
}


/*
 * Keeps the text of an error for the answer, and returns its status.
 * Worker.
 */

ngx_uint_t
ngx_http_litestream_api_error(ngx_http_litestream_api_t *ctx,
    ngx_uint_t status, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;
    u_char    buf[NGX_MAX_ERROR_STR];

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    ctx->error.len = p - buf;
    ctx->error.data = ngx_pnalloc(ctx->request->pool, ctx->error.len);

    if (ctx->error.data == NULL) {
        ngx_str_set(&ctx->error, "no memory");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(ctx->error.data, buf, ctx->error.len);

    ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                  "litestream: %V", &ctx->error);

    return status;
}


static ngx_uint_t
ngx_http_litestream_api_route(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_endpoint_t **ep)
{
    u_char               *p;
    ngx_str_t             rest, alias;
    ngx_uint_t            status;
    ngx_litestream_db_t  *db, **elt;

    if (ngx_http_litestream_api_rest(ctx->request, &rest) != NGX_OK) {
        goto unknown;
    }

    if (rest.len == 0) {
        *ep = &ngx_http_litestream_endpoints[0];
        return NGX_HTTP_OK;
    }

    p = ngx_strlchr(rest.data, rest.data + rest.len, '/');

    if (p == NULL) {
        *ep = ngx_http_litestream_api_find(rest.data, rest.len);

        if (*ep == NULL || (*ep)->alias == NGX_HTTP_LITESTREAM_ALIAS_MUST) {
            goto unknown;
        }

        return NGX_HTTP_OK;
    }

    *ep = ngx_http_litestream_api_find(rest.data, p - rest.data);

    if (*ep == NULL || (*ep)->alias == NGX_HTTP_LITESTREAM_ALIAS_NO) {
        goto unknown;
    }

    alias.data = p + 1;
    alias.len = rest.data + rest.len - alias.data;

    status = ngx_http_litestream_api_db(ctx, &alias, &db);

    if (status != NGX_HTTP_OK) {
        return status;
    }

    ctx->one = !ngx_litestream_is_dir(db);

    ctx->dbs = ngx_array_create(ctx->request->pool, 1,
                                sizeof(ngx_litestream_db_t *));
    if (ctx->dbs == NULL) {
        return ngx_http_litestream_api_error(ctx,
                                             NGX_HTTP_INTERNAL_SERVER_ERROR,
                                             "no memory");
    }

    elt = ngx_array_push(ctx->dbs);
    *elt = db;

    return NGX_HTTP_OK;

unknown:

    return ngx_http_litestream_api_error(ctx, NGX_HTTP_NOT_FOUND,
                                         "unknown endpoint");
}


/*
 * What follows the location's name in the URI.  A URI that is the whole of
 * a location's name, or that a regular expression has matched, may end with
 * an endpoint itself: "location = /litestream/ready" shows nothing else.
 */

static ngx_int_t
ngx_http_litestream_api_rest(ngx_http_request_t *r, ngx_str_t *rest)
{
    u_char                          *p, *q, *start, *last;
    ngx_uint_t                       prefix;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_litestream_endpoint_t  *ep;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    start = r->uri.data;
    last = start + r->uri.len;

    prefix = clcf->name.len
             && r->uri.len >= clcf->name.len
             && ngx_strncmp(start, clcf->name.data, clcf->name.len) == 0;

#if (NGX_PCRE)
    if (clcf->regex) {
        prefix = 0;
    }
#endif

    if (prefix) {
        p = start + clcf->name.len;

        if (p[-1] == '/' || p < last) {

            if (p[-1] != '/' && *p++ != '/') {
                return NGX_DECLINED;
            }

            rest->data = p;
            rest->len = last - p;

            return NGX_OK;
        }
    }

    for (p = last; p > start && p[-1] != '/'; p--) { /* void */ }

    ep = ngx_http_litestream_api_find(p, last - p);

    if (ep == NULL && p > start) {
        for (q = p - 1; q > start && q[-1] != '/'; q--) { /* void */ }

        ep = ngx_http_litestream_api_find(q, p - 1 - q);
        p = q;

        if (ep && ep->alias == NGX_HTTP_LITESTREAM_ALIAS_NO) {
            ep = NULL;
        }
    }

    if (ep) {
        rest->data = p;
        rest->len = last - p;

        return NGX_OK;
    }

    if (!prefix) {
        return NGX_DECLINED;
    }

    ngx_str_null(rest);

    return NGX_OK;
}


static ngx_http_litestream_endpoint_t *
ngx_http_litestream_api_find(u_char *data, size_t len)
{
    ngx_http_litestream_endpoint_t  *ep;

    for (ep = ngx_http_litestream_endpoints; ep->name.len; ep++) {

        if (ep->name.len == len
            && ngx_strncmp(ep->name.data, data, len) == 0)
        {
            return ep;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_litestream_api_db(ngx_http_litestream_api_t *ctx, ngx_str_t *alias,
    ngx_litestream_db_t **db)
{
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_litestream_db_t  **dbs;

    dbs = ctx->dbs->elts;

    for (i = 0; i < ctx->dbs->nelts; i++) {

        if (dbs[i]->alias.len == alias->len
            && ngx_memcmp(dbs[i]->alias.data, alias->data, alias->len) == 0)
        {
            *db = dbs[i];
            return NGX_HTTP_OK;
        }

        if (!ngx_litestream_is_dir(dbs[i])) {
            continue;
        }

        rc = ngx_http_litestream_member(ctx->request->pool, dbs[i], alias,
                                        db);

        if (rc == NGX_OK) {
            return NGX_HTTP_OK;
        }

        if (rc == NGX_ERROR) {
            return ngx_http_litestream_api_error(ctx,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR,
                                               "no memory");
        }
    }

    return ngx_http_litestream_api_error(ctx, NGX_HTTP_NOT_FOUND,
                                         "unknown database \"%V\"", alias);
}


static ngx_uint_t
ngx_http_litestream_api_args(ngx_http_litestream_api_t *ctx,
    ngx_uint_t allowed)
{
    u_char              *p, *last, *end, *eq;
    ngx_str_t            name, value;
    ngx_uint_t           status;
    ngx_array_t         *dbs;
    ngx_http_request_t  *r;

    r = ctx->request;

    /* endpoints without arguments ignore them */

    if (allowed == 0 || r->args.len == 0) {
        return NGX_HTTP_OK;
    }

    dbs = ngx_array_create(r->pool, 4, sizeof(ngx_litestream_db_t *));
    if (dbs == NULL) {
        goto failed;
    }

    last = r->args.data + r->args.len;

    for (p = r->args.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        if (p == end) {
            continue;
        }

        eq = ngx_strlchr(p, end, '=');

        if (eq == NULL) {
            eq = end;
        }

        if (ngx_http_litestream_api_unescape(r->pool, &name, p, eq - p)
            != NGX_OK)
        {
            goto failed;
        }

        p = ngx_min(eq + 1, end);

        if (ngx_http_litestream_api_unescape(r->pool, &value, p, end - p)
            != NGX_OK)
        {
            goto failed;
        }

        status = ngx_http_litestream_api_arg(ctx, allowed, dbs, &name,
                                             &value);
        if (status != NGX_HTTP_OK) {
            return status;
        }
    }

    if (ctx->args & NGX_HTTP_LITESTREAM_ARG_DB) {
        ctx->dbs = dbs;
    }

    return NGX_HTTP_OK;

failed:

    return ngx_http_litestream_api_error(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                         "no memory");
}


static ngx_uint_t
ngx_http_litestream_api_arg(ngx_http_litestream_api_t *ctx,
    ngx_uint_t allowed, ngx_array_t *dbs, ngx_str_t *name, ngx_str_t *value)
{
    ngx_int_t              n;
    ngx_uint_t             i, arg, status;
    ngx_conf_enum_t       *e;
    ngx_litestream_db_t   *db, **elt;

    arg = 0;

    for (e = ngx_http_litestream_args; e->name.len; e++) {

        if (e->name.len == name->len
            && ngx_strncmp(e->name.data, name->data, name->len) == 0)
        {
            arg = e->value;
            break;
        }
    }

    /* a typo must not weaken a check */

    if (!(arg & allowed)) {
        return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                             "unknown parameter \"%V\"",
                                             name);
    }

    if ((ctx->args & arg) && arg != NGX_HTTP_LITESTREAM_ARG_DB) {
        return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                             "duplicate parameter \"%V\"",
                                             name);
    }

    ctx->args |= arg;

    switch (arg) {

    case NGX_HTTP_LITESTREAM_ARG_DB:

        status = ngx_http_litestream_api_db(ctx, value, &db);

        if (status != NGX_HTTP_OK) {
            return status;
        }

        elt = dbs->elts;

        for (i = 0; i < dbs->nelts; i++) {
            if (elt[i]->id == db->id) {
                return NGX_HTTP_OK;
            }
        }

        elt = ngx_array_push(dbs);
        if (elt == NULL) {
            return ngx_http_litestream_api_error(ctx,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR,
                                               "no memory");
        }

        *elt = db;

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_REPLICATING:

        if (value->len != 1 || (value->data[0] != '0'
                                && value->data[0] != '1'))
        {
            break;
        }

        ctx->replicating = value->data[0] - '0';

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_MAX_LAG:

        n = ngx_parse_time(value, 0);

        if (n == NGX_ERROR) {
            break;
        }

        ctx->max_lag = n;

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_VERIFIED:

        n = ngx_parse_time(value, 0);

        if (n == NGX_ERROR) {
            break;
        }

        ctx->verified = n;

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_TIMEOUT:

        n = ngx_parse_time(value, 0);

        if (n == NGX_ERROR) {
            break;
        }

        if (n < 1 || n > NGX_HTTP_LITESTREAM_MAX_TIMEOUT) {
            return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                  "\"timeout\" must be between 1ms and 1h");
        }

        ctx->timeout = n;

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_LEVEL:

        if (value->len == 3 && ngx_strncmp(value->data, "all", 3) == 0) {
            return NGX_HTTP_OK;
        }

        if (value->len != 1 || value->data[0] < '0' || value->data[0] > '9') {
            break;
        }

        ctx->level = value->data[0] - '0';

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_LIMIT:

        n = ngx_atoi(value->data, value->len);

        if (n == NGX_ERROR) {
            break;
        }

        if (n > NGX_HTTP_LITESTREAM_MAX_LIMIT) {
            return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                  "\"limit\" must not be over %d",
                                  NGX_HTTP_LITESTREAM_MAX_LIMIT);
        }

        ctx->limit = n;

        return NGX_HTTP_OK;

    case NGX_HTTP_LITESTREAM_ARG_MODE:

        if (value->len == 5 && ngx_strncmp(value->data, "quick", 5) == 0) {
            return NGX_HTTP_OK;
        }

        if (value->len == 4 && ngx_strncmp(value->data, "full", 4) == 0) {
            ctx->mode = 1;
            return NGX_HTTP_OK;
        }

        break;
    }

    return ngx_http_litestream_api_error(ctx, NGX_HTTP_BAD_REQUEST,
                                         "invalid \"%V\" value \"%V\"",
                                         name, value);
}


static ngx_int_t
ngx_http_litestream_api_unescape(ngx_pool_t *pool, ngx_str_t *s,
    u_char *data, size_t len)
{
    u_char  *dst;

    dst = ngx_pnalloc(pool, len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    s->data = dst;

    ngx_unescape_uri(&dst, &data, len, 0);

    s->len = dst - s->data;

    return NGX_OK;
}
