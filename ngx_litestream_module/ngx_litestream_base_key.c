
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Litestream ignores keys that it does not know, and ends because of a value
 * that it cannot read: both are told here, with the line, before anything is
 * started.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


typedef struct {
    ngx_litestream_parse_t      *parse;
    ngx_litestream_base_t       *base;
    ngx_md5_t                   *md5;
} ngx_litestream_base_ctx_t;


static ngx_int_t ngx_litestream_base_map(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *map, ngx_litestream_base_place_t *place);
static ngx_int_t ngx_litestream_base_list(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *list, ngx_litestream_base_place_t *place);
static ngx_int_t ngx_litestream_base_node(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *key);
static char *ngx_litestream_base_value(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t kind);
static ngx_int_t ngx_litestream_base_old(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *key);
static ngx_int_t ngx_litestream_base_pass(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t secret);
static ngx_int_t ngx_litestream_base_scalar(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t secret);


/*
 * Checks a file as a whole: its keys, its values, its variables, which are
 * replaced.  What counts of it goes into md5.  NGX_ERROR: it has been logged.
 * Any process that reads the configuration, does not block.
 */

ngx_int_t
ngx_litestream_base_check(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *root, ngx_md5_t *md5)
{
    ngx_litestream_base_ctx_t   ctx;
    ngx_http_litestream_said_t  place;

    ctx.parse = parse;
    ctx.base = base;
    ctx.md5 = md5;

    if (root->type == NGX_LITESTREAM_NODE_SCALAR
        && ngx_litestream_base_null(root))
    {
        return NGX_OK;
    }

    if (ngx_litestream_base_map(&ctx, root, &ngx_litestream_base_top_place)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (base->literal && (base->mode & S_IROTH)) {

        ngx_memzero(&place, sizeof(ngx_http_litestream_said_t));

        place.file = base->file.data;
        place.line = base->literal->line;

        ngx_litestream_said_warn(parse->cf->log, &place,
                                 "\"%V\" is a secret in a file that "
                                 "everybody can read (mode %04ui): say it in "
                                 "a \"litestream_env_file\" of mode 0600, "
                                 "and \"%V: ${NAME}\" here",
                                 &base->literal->name,
                                 ngx_litestream_octal(base->mode),
                                 &base->literal->name);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_base_map(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *map, ngx_litestream_base_place_t *place)
{
    ngx_int_t                   rc;
    ngx_litestream_node_t      *node;
    ngx_litestream_base_key_t  *key;

    if (map->type != NGX_LITESTREAM_NODE_MAP) {
        ngx_litestream_base_error(ctx->parse, ctx->base, map->line,
                                  "\"%V\" must be a mapping, \"key: value\"",
                                  &map->name);
        return NGX_ERROR;
    }

    for (node = map->child; node; node = node->next) {

        ngx_md5_update(ctx->md5, node->name.data, node->name.len + 1);

        key = ngx_litestream_base_known(place, &node->name);

        if (key) {
            rc = ngx_litestream_base_node(ctx, node, key);

        } else if (ctx->base->pass) {
            rc = ngx_litestream_base_pass(ctx, node,
                                     ngx_litestream_base_secret(&node->name));

        } else {
            ngx_litestream_base_hint(ctx->parse, ctx->base, node, place);
            rc = NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_md5_update(ctx->md5, "}", 1);

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_base_list(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *list, ngx_litestream_base_place_t *place)
{
    ngx_litestream_node_t  *node;

    if (list->type != NGX_LITESTREAM_NODE_LIST) {
        ngx_litestream_base_error(ctx->parse, ctx->base, list->line,
                                  "\"%V\" must be a list, \"- key: value\"",
                                  &list->name);
        return NGX_ERROR;
    }

    for (node = list->child; node; node = node->next) {

        /* for messages */

        node->name = list->name;

        if (ngx_litestream_base_map(ctx, node, place) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_md5_update(ctx->md5, "]", 1);

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_base_node(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *key)
{
    char                   *reason;
    ngx_litestream_node_t  *item;

    if (node->type == NGX_LITESTREAM_NODE_SCALAR) {

        if (ngx_litestream_base_expand(ctx->parse, ctx->base, node)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_litestream_base_null(node)) {
            node->type = NGX_LITESTREAM_NODE_NULL;
        }
    }

    if (key->kind == NGX_LITESTREAM_KIND_REFUSED) {
        ngx_litestream_base_error(ctx->parse, ctx->base, node->line,
                                  "key \"%V\" cannot be here: %s",
                                  &node->name, (char *) key->more);
        return NGX_ERROR;
    }

    if (node->type == NGX_LITESTREAM_NODE_NULL) {
        return NGX_OK;
    }

    switch (key->kind) {

    case NGX_LITESTREAM_KIND_MAP:
        return ngx_litestream_base_map(ctx, node, key->more);

    case NGX_LITESTREAM_KIND_LIST:
        return ngx_litestream_base_list(ctx, node, key->more);

    case NGX_LITESTREAM_KIND_OLD:
        return ngx_litestream_base_old(ctx, node, key);

    case NGX_LITESTREAM_KIND_TEXTS:

        if (node->type != NGX_LITESTREAM_NODE_LIST) {
            reason = "must be a list of texts";
            goto invalid;
        }

        for (item = node->child; item; item = item->next) {

            if (item->type != NGX_LITESTREAM_NODE_SCALAR) {
                reason = "must be a list of texts";
                goto invalid;
            }

            if (ngx_litestream_base_expand(ctx->parse, ctx->base, item)
                != NGX_OK
                || ngx_litestream_base_scalar(ctx, item, key->secret)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        return NGX_OK;
    }

    if (node->type != NGX_LITESTREAM_NODE_SCALAR) {
        reason = "must be one value";
        goto invalid;
    }

    reason = ngx_litestream_base_value(ctx, node, key->kind);

    if (reason == NGX_CONF_ERROR) {
        return NGX_ERROR;
    }

    if (reason) {
        goto invalid;
    }

    return ngx_litestream_base_scalar(ctx, node, key->secret);

invalid:

    /* never the value: it may be a secret */

    ngx_litestream_base_error(ctx->parse, ctx->base, node->line, "\"%V\" %s",
                              &node->name, reason);

    return NGX_ERROR;
}


/* makes the value one that Litestream reads; NULL, or what is wrong */

static char *
ngx_litestream_base_value(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t kind)
{
    size_t   i;
    int64_t  n;

    switch (kind) {

    case NGX_LITESTREAM_KIND_DURATION:
    case NGX_LITESTREAM_KIND_POSITIVE:
    case NGX_LITESTREAM_KIND_MINUTE:

        n = ngx_litestream_base_duration(&node->value);

        if (n < 0) {
            return "must be a duration, such as 30s or 1h30m";
        }

        if (n == 0 && kind != NGX_LITESTREAM_KIND_DURATION) {
            return "must not be 0";
        }

        if (n < 60 * 1000000000LL && kind == NGX_LITESTREAM_KIND_MINUTE) {
            return "must be 1m or more";
        }

        return NULL;

    case NGX_LITESTREAM_KIND_BOOL:

        switch (node->plain ? ngx_litestream_base_bool(&node->value)
                            : NGX_ERROR)
        {
        case 1:
            ngx_str_set(&node->value, "true");
            return NULL;

        case 0:
            ngx_str_set(&node->value, "false");
            return NULL;
        }

        return "must be true or false, without quotes";

    case NGX_LITESTREAM_KIND_NUMBER:

        i = (node->value.data[0] == '-');

        if (!node->plain || i == node->value.len || node->value.len > 18) {
            return "must be a number, without quotes";
        }

        for ( /* void */ ; i < node->value.len; i++) {
            if (node->value.data[i] < '0' || node->value.data[i] > '9') {
                return "must be a number, without quotes";
            }
        }

        return NULL;

    case NGX_LITESTREAM_KIND_SIZE:

        n = ngx_litestream_base_size(&node->value);

        if (n <= 0) {
            return "must be a size, such as 5MB";
        }

        node->value.data = ngx_pnalloc(ctx->parse->cf->pool,
                                       NGX_INT64_LEN + 1);
        if (node->value.data == NULL) {
            return NGX_CONF_ERROR;
        }

        node->value.len = ngx_sprintf(node->value.data, "%L%Z", n)
                          - node->value.data - 1;

        return NULL;

    case NGX_LITESTREAM_KIND_LEVEL:

        if (!ngx_litestream_base_word(&node->value,
                                    "trace debug info warn warning error"))
        {
            return "must be trace, debug, info, warn or error";
        }

        return NULL;

    default: /* NGX_LITESTREAM_KIND_TEXT */
        return NULL;
    }
}


/* what no Litestream of today has, and nobody misses */

static ngx_int_t
ngx_litestream_base_old(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *key)
{
    ngx_http_litestream_said_t  place;

    if (ctx->base->pass) {
        return ngx_litestream_base_pass(ctx, node, 0);
    }

    ngx_memzero(&place, sizeof(ngx_http_litestream_said_t));

    place.file = ctx->base->file.data;
    place.line = node->line;

    ngx_litestream_said_warn(ctx->parse->cf->log, &place,
                             "\"%V\" %s: it is left out", &node->name,
                             (char *) key->more);

    node->type = NGX_LITESTREAM_NODE_NULL;

    return NGX_OK;
}


/* the depth of a tree is bounded */

static ngx_int_t
ngx_litestream_base_pass(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t secret)
{
    ngx_litestream_node_t  *child;

    if (node->type == NGX_LITESTREAM_NODE_SCALAR) {

        if (ngx_litestream_base_expand(ctx->parse, ctx->base, node)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_litestream_base_scalar(ctx, node, secret);
    }

    for (child = node->child; child; child = child->next) {

        ngx_md5_update(ctx->md5, child->name.data, child->name.len);

        if (ngx_litestream_base_pass(ctx, child,
                                     secret ? secret
                                            : ngx_litestream_base_secret(
                                                              &child->name))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_md5_update(ctx->md5, "}", 1);

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_base_scalar(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t secret)
{
    ngx_md5_update(ctx->md5, node->plain ? "=" : "\"", 1);
    ngx_md5_update(ctx->md5, node->value.data, node->value.len + 1);

    if (node->name.len == 3 && ngx_strncmp(node->name.data, "url", 3) == 0
        && !node->expanded && ctx->base->literal == NULL
        && ngx_litestream_url_secret(&node->value))
    {
        ctx->base->literal = node;
    }

    if (!secret || node->value.len == 0) {
        return NGX_OK;
    }

    node->secret = 1;

    if (secret == NGX_LITESTREAM_PRIVATE && !node->expanded
        && ctx->base->literal == NULL)
    {
        ctx->base->literal = node;
    }

    return ngx_litestream_secret(ctx->parse->lcf, &node->value);
}
