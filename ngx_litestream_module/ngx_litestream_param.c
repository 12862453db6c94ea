
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


/* 200 years */
#define NGX_LITESTREAM_MAX_MSEC  (200 * 365 * 86400000LL)


typedef ngx_int_t (*ngx_litestream_param_pt)(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);

typedef struct {
    ngx_str_t                    name;
    ngx_litestream_param_pt      handler;
} ngx_litestream_param_t;


static void ngx_litestream_param_unknown(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *name);
static ngx_int_t ngx_litestream_param_replica(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_restore(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_replicate(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_owner(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_mode(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_sync(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_checkpoint(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_pages(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_param_busy(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value);

static ngx_litestream_param_t  ngx_litestream_params[] = {

    { ngx_string("replica"), ngx_litestream_param_replica },
    { ngx_string("restore"), ngx_litestream_param_restore },
    { ngx_string("replicate"), ngx_litestream_param_replicate },
    { ngx_string("owner"), ngx_litestream_param_owner },
    { ngx_string("mode"), ngx_litestream_param_mode },
    { ngx_string("sync_interval"), ngx_litestream_param_sync },
    { ngx_string("checkpoint_interval"), ngx_litestream_param_checkpoint },
    { ngx_string("min_checkpoint_page_count"), ngx_litestream_param_pages },
    { ngx_string("busy_timeout"), ngx_litestream_param_busy },

    { ngx_null_string, NULL }
};


/*
 * Takes what follows the path in litestream_db into ctx and its database.
 * NGX_ERROR: it has been logged.  Any process that reads the configuration,
 * does not block.
 */

ngx_int_t
ngx_litestream_db_params(ngx_litestream_db_ctx_t *ctx)
{
    u_char                  *p;
    ngx_str_t               *arg, name, value;
    ngx_uint_t               i, n, seen;
    ngx_litestream_param_t  *param;

    seen = 0;

    for (i = 3; i < ctx->said->nargs; i++) {

        arg = &ctx->said->args[i];

        p = ngx_strlchr(arg->data, arg->data + arg->len, '=');
        if (p == NULL) {
            goto invalid;
        }

        name.data = arg->data;
        name.len = p - arg->data;

        value.data = p + 1;
        value.len = arg->data + arg->len - value.data;

        for (n = 0; /* void */ ; n++) {
            param = &ngx_litestream_params[n];

            if (param->handler == NULL) {
                ngx_litestream_param_unknown(ctx, &name);
                return NGX_ERROR;
            }

            if (param->name.len == name.len
                && ngx_strncmp(param->name.data, name.data, name.len) == 0)
            {
                break;
            }
        }

        if (seen & ((ngx_uint_t) 1 << n)) {
            /* not its value: in the URL of a replica may be a password */

            ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                      "parameter \"%V\" is duplicate",
                                      &param->name);
            return NGX_ERROR;
        }

        seen |= (ngx_uint_t) 1 << n;

        if (value.len == 0 || param->handler(ctx, &value) != NGX_OK) {
            goto invalid;
        }
    }

    if (!ctx->db->replicate
        && ctx->db->restore == NGX_LITESTREAM_RESTORE_OFF)
    {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "database \"%V\" would be neither restored "
                                  "nor replicated, with \"restore=off\" and "
                                  "\"replicate=off\"", &ctx->db->alias);
        return NGX_ERROR;
    }

    return NGX_OK;

invalid:

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "invalid parameter \"%V\"",
                              &ctx->said->args[i]);

    return NGX_ERROR;
}


/* the value is not said: it may be a URL with a password in it */

static void
ngx_litestream_param_unknown(ngx_litestream_db_ctx_t *ctx, ngx_str_t *name)
{
    ngx_uint_t               i, n, best;
    ngx_str_t                key;
    ngx_litestream_param_t  *param, *found;

    static struct {
        char  *key;
        char  *say;
    } keys[] = {
        { "monitor-interval", "\"sync_interval\" sets it, too" },
        { "restore-if-db-not-exists", "say \"restore=if_backup\"" },
        { "snapshot", "say \"litestream_snapshot\"" },
        { "truncate-page-n", "say it in a \"litestream_base_config\"" },
        { "max-sync-wal-bytes", "say it in a \"litestream_base_config\"" },
        { NULL, NULL }
    };

    for (i = 0; keys[i].key; i++) {
        key.data = (u_char *) keys[i].key;
        key.len = ngx_strlen(keys[i].key);

        if (ngx_litestream_distance(name, &key) == 0) {
            ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                      "invalid parameter \"%V\", %s", name,
                                      keys[i].say);
            return;
        }
    }

    found = NULL;
    best = ngx_min(name->len / 3, 3) + 1;

    for (param = ngx_litestream_params; param->handler; param++) {

        n = ngx_litestream_distance(name, &param->name);

        if (n < best) {
            best = n;
            found = param;
        }
    }

    if (found) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "invalid parameter \"%V\", did you mean "
                                  "\"%V\"?", name, &found->name);
        return;
    }

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "invalid parameter \"%V\"", name);
}


static ngx_int_t
ngx_litestream_param_replica(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    ctx->url = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_param_restore(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "if_backup") == 0) {
        ctx->db->restore = NGX_LITESTREAM_RESTORE_IF_BACKUP;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "required") == 0) {
        ctx->db->restore = NGX_LITESTREAM_RESTORE_REQUIRED;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "off") == 0) {
        ctx->db->restore = NGX_LITESTREAM_RESTORE_OFF;
        return NGX_OK;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_litestream_param_replicate(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "on") == 0) {
        ctx->db->replicate = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "off") == 0) {
        ctx->db->replicate = 0;
        return NGX_OK;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_litestream_param_owner(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    u_char      *p;
    ngx_pool_t  *pool;

    pool = ctx->parse->cf->pool;

    p = ngx_strlchr(value->data, value->data + value->len, ':');

    if (p) {
        ctx->owner_group.data = p + 1;
        ctx->owner_group.len = value->data + value->len - (p + 1);

        if (ctx->owner_group.len == 0) {
            return NGX_ERROR;
        }

        value->len = p - value->data;
    }

    if (value->len == 0) {
        return NGX_ERROR;
    }

    /* getpwnam() wants a NUL */

    ctx->owner.len = value->len;
    ctx->owner.data = ngx_pnalloc(pool, value->len + 1);
    if (ctx->owner.data == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(ctx->owner.data, value->data, value->len + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_param_mode(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    size_t      i;
    ngx_uint_t  mode;

    if (value->len > 4) {
        return NGX_ERROR;
    }

    mode = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '7') {
            return NGX_ERROR;
        }

        mode = mode * 8 + (value->data[i] - '0');
    }

    if (mode > 0777) {
        return NGX_ERROR;
    }

    ctx->db->mode = mode;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_param_sync(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    return ngx_litestream_param_msec(value, &ctx->db->sync_interval);
}


static ngx_int_t
ngx_litestream_param_checkpoint(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *value)
{
    return ngx_litestream_param_msec(value, &ctx->db->checkpoint_interval);
}


static ngx_int_t
ngx_litestream_param_pages(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n == 0 || n > 0x7fffffff) {
        return NGX_ERROR;
    }

    ctx->db->min_checkpoint_pages = n;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_param_busy(ngx_litestream_db_ctx_t *ctx, ngx_str_t *value)
{
    return ngx_litestream_param_msec(value, &ctx->db->busy_timeout);
}


/*
 * A time of nginx.conf in ms.  NGX_ERROR: it is none, or 0, or more than
 * Litestream can count, whose times are nanoseconds in 63 bits.
 */

ngx_int_t
ngx_litestream_param_msec(ngx_str_t *value, ngx_msec_t *msec)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR) {

        /* months and years are known in seconds only */

        n = ngx_parse_time(value, 1);

        if (n > NGX_LITESTREAM_MAX_MSEC / 1000) {
            return NGX_ERROR;
        }

        n = (n == NGX_ERROR) ? n : n * 1000;
    }

    if (n == NGX_ERROR || n == 0 || n > NGX_LITESTREAM_MAX_MSEC) {
        return NGX_ERROR;
    }

    *msec = (ngx_msec_t) n;

    return NGX_OK;
}
