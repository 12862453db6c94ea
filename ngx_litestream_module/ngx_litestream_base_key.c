
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The keys that Litestream 0.5.17 has in its configuration.  It ignores those
 * that it does not know, and ends because of a value that it cannot read: both
 * are told here, with the line, before anything is started.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


#define NGX_LITESTREAM_BASE_TEXT      0
#define NGX_LITESTREAM_BASE_TEXTS     1
#define NGX_LITESTREAM_BASE_DURATION  2
#define NGX_LITESTREAM_BASE_POSITIVE  3   /* a duration, not 0 */
#define NGX_LITESTREAM_BASE_MINUTE    4   /* a duration of a minute or more */
#define NGX_LITESTREAM_BASE_BOOL      5
#define NGX_LITESTREAM_BASE_NUMBER    6
#define NGX_LITESTREAM_BASE_SIZE      7
#define NGX_LITESTREAM_BASE_LEVEL     8
#define NGX_LITESTREAM_BASE_MAP       9   /* more: its keys */
#define NGX_LITESTREAM_BASE_LIST      10  /* of mappings, more: their keys */
#define NGX_LITESTREAM_BASE_REPLICA   11
#define NGX_LITESTREAM_BASE_REPLICAS  12
#define NGX_LITESTREAM_BASE_REFUSED   13  /* more: why, or what to say */


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   kind;
    char                        *types; /* of replicas, "*": all of them */
    ngx_uint_t                   secret;     /* NGX_LITESTREAM_MASKED... */
    void                        *more;
} ngx_litestream_base_key_t;


typedef struct {
    ngx_litestream_parse_t      *parse;
    ngx_litestream_base_t       *base;
    ngx_md5_t                   *md5;
} ngx_litestream_base_ctx_t;


static ngx_int_t ngx_litestream_base_map(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *map, ngx_litestream_base_key_t *keys,
    ngx_litestream_base_key_t *more);
static ngx_int_t ngx_litestream_base_list(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *list, ngx_litestream_base_key_t *keys,
    ngx_litestream_base_key_t *more);
static ngx_int_t ngx_litestream_base_node(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *key);
static char *ngx_litestream_base_value(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t kind);
static ngx_int_t ngx_litestream_base_unknown(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *keys,
    ngx_litestream_base_key_t *more);
static ngx_int_t ngx_litestream_base_pass(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t secret);
static ngx_int_t ngx_litestream_base_scalar(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_uint_t secret);
static ngx_litestream_base_key_t *ngx_litestream_base_known(
    ngx_litestream_base_key_t *keys, ngx_str_t *name);
static ngx_uint_t ngx_litestream_base_secret(ngx_str_t *name);


static char  ngx_litestream_base_dir[] =
    "directories of databases are not supported by this version";


static ngx_litestream_base_key_t  ngx_litestream_base_snapshot_keys[] = {
    { ngx_string("interval"), NGX_LITESTREAM_BASE_POSITIVE, NULL, 0, NULL },
    { ngx_string("retention"), NGX_LITESTREAM_BASE_POSITIVE, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_interval_keys[] = {
    { ngx_string("interval"), NGX_LITESTREAM_BASE_POSITIVE, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_validation_keys[] = {
    { ngx_string("interval"), NGX_LITESTREAM_BASE_DURATION, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_retention_keys[] = {
    { ngx_string("enabled"), NGX_LITESTREAM_BASE_BOOL, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_logging_keys[] = {
    { ngx_string("level"), NGX_LITESTREAM_BASE_LEVEL, NULL, 0, NULL },
    { ngx_string("source"), NGX_LITESTREAM_BASE_BOOL, NULL, 0, NULL },
    { ngx_string("type"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "nginx reads it as JSON" },
    { ngx_string("stderr"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "say \"litestream_log\"" },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_replica_keys[] = {
    { ngx_string("type"), NGX_LITESTREAM_BASE_TEXT, "", 0, NULL },
    { ngx_string("name"), NGX_LITESTREAM_BASE_TEXT, "*", 0, NULL },
    { ngx_string("path"), NGX_LITESTREAM_BASE_TEXT, "", 0, NULL },
    { ngx_string("url"), NGX_LITESTREAM_BASE_TEXT, "", 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_setting_keys[] = {
    { ngx_string("sync-interval"), NGX_LITESTREAM_BASE_POSITIVE, "*", 0, NULL },
    { ngx_string("validation-interval"), NGX_LITESTREAM_BASE_DURATION,
      "*", 0, NULL },
    { ngx_string("max-sync-ltx-files"), NGX_LITESTREAM_BASE_NUMBER,
      "*", 0, NULL },
    { ngx_string("auto-recover"), NGX_LITESTREAM_BASE_BOOL, "*", 0, NULL },
    { ngx_string("access-key-id"), NGX_LITESTREAM_BASE_TEXT,
      "s3 oss", NGX_LITESTREAM_MASKED, NULL },
    { ngx_string("secret-access-key"), NGX_LITESTREAM_BASE_TEXT,
      "s3 oss", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("region"), NGX_LITESTREAM_BASE_TEXT, "s3 oss", 0, NULL },
    { ngx_string("bucket"), NGX_LITESTREAM_BASE_TEXT, "", 0, NULL },
    { ngx_string("endpoint"), NGX_LITESTREAM_BASE_TEXT, "s3 oss abs", 0, NULL },
    { ngx_string("force-path-style"), NGX_LITESTREAM_BASE_BOOL, "s3", 0, NULL },
    { ngx_string("sign-payload"), NGX_LITESTREAM_BASE_BOOL, "s3", 0, NULL },
    { ngx_string("sign-accept-encoding"), NGX_LITESTREAM_BASE_BOOL,
      "s3", 0, NULL },
    { ngx_string("require-content-md5"), NGX_LITESTREAM_BASE_BOOL,
      "s3", 0, NULL },
    { ngx_string("skip-verify"), NGX_LITESTREAM_BASE_BOOL, "s3", 0, NULL },
    { ngx_string("storage-class"), NGX_LITESTREAM_BASE_TEXT, "s3", 0, NULL },
    { ngx_string("part-size"), NGX_LITESTREAM_BASE_SIZE, "s3 oss", 0, NULL },
    { ngx_string("concurrency"), NGX_LITESTREAM_BASE_NUMBER,
      "s3 oss", 0, NULL },
    { ngx_string("sse-customer-algorithm"), NGX_LITESTREAM_BASE_TEXT,
      "s3", 0, NULL },
    { ngx_string("sse-customer-key"), NGX_LITESTREAM_BASE_TEXT,
      "s3", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("sse-customer-key-path"), NGX_LITESTREAM_BASE_TEXT,
      "s3", 0, NULL },
    { ngx_string("sse-kms-key-id"), NGX_LITESTREAM_BASE_TEXT, "s3", 0, NULL },
    { ngx_string("account-name"), NGX_LITESTREAM_BASE_TEXT, "abs", 0, NULL },
    { ngx_string("account-key"), NGX_LITESTREAM_BASE_TEXT,
      "abs", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("sas-token"), NGX_LITESTREAM_BASE_TEXT,
      "abs", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("host"), NGX_LITESTREAM_BASE_TEXT, "", 0, NULL },
    { ngx_string("user"), NGX_LITESTREAM_BASE_TEXT, "sftp", 0, NULL },
    { ngx_string("password"), NGX_LITESTREAM_BASE_TEXT,
      "sftp nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("key-path"), NGX_LITESTREAM_BASE_TEXT, "sftp", 0, NULL },
    { ngx_string("concurrent-writes"), NGX_LITESTREAM_BASE_BOOL,
      "sftp", 0, NULL },
    { ngx_string("host-key"), NGX_LITESTREAM_BASE_TEXT, "sftp", 0, NULL },
    { ngx_string("webdav-url"), NGX_LITESTREAM_BASE_TEXT, "webdav", 0, NULL },
    { ngx_string("webdav-username"), NGX_LITESTREAM_BASE_TEXT,
      "webdav", 0, NULL },
    { ngx_string("webdav-password"), NGX_LITESTREAM_BASE_TEXT,
      "webdav", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("jwt"), NGX_LITESTREAM_BASE_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("seed"), NGX_LITESTREAM_BASE_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("creds"), NGX_LITESTREAM_BASE_TEXT, "nats", 0, NULL },
    { ngx_string("nkey"), NGX_LITESTREAM_BASE_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("username"), NGX_LITESTREAM_BASE_TEXT, "nats", 0, NULL },
    { ngx_string("token"), NGX_LITESTREAM_BASE_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("tls"), NGX_LITESTREAM_BASE_BOOL, "nats", 0, NULL },
    { ngx_string("root-cas"), NGX_LITESTREAM_BASE_TEXTS, "nats", 0, NULL },
    { ngx_string("client-cert"), NGX_LITESTREAM_BASE_TEXT, "nats", 0, NULL },
    { ngx_string("client-key"), NGX_LITESTREAM_BASE_TEXT, "nats", 0, NULL },
    { ngx_string("max-reconnects"), NGX_LITESTREAM_BASE_NUMBER,
      "nats", 0, NULL },
    { ngx_string("reconnect-wait"), NGX_LITESTREAM_BASE_DURATION,
      "nats", 0, NULL },
    { ngx_string("timeout"), NGX_LITESTREAM_BASE_DURATION, "nats", 0, NULL },
    { ngx_string("age"), NGX_LITESTREAM_BASE_REFUSED,
      "", 0, "Litestream 0.5 does not encrypt" },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_db_keys[] = {
    { ngx_string("path"), NGX_LITESTREAM_BASE_TEXT, NULL, 0, NULL },
    { ngx_string("dir"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, ngx_litestream_base_dir },
    { ngx_string("pattern"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, ngx_litestream_base_dir },
    { ngx_string("recursive"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, ngx_litestream_base_dir },
    { ngx_string("watch"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, ngx_litestream_base_dir },
    { ngx_string("meta-dir"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, ngx_litestream_base_dir },
    { ngx_string("meta-path"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "nginx looks for it beside the database" },
    { ngx_string("snapshot"), NGX_LITESTREAM_BASE_MAP,
      NULL, 0, ngx_litestream_base_snapshot_keys },
    { ngx_string("monitor-interval"), NGX_LITESTREAM_BASE_POSITIVE,
      NULL, 0, NULL },
    { ngx_string("checkpoint-interval"), NGX_LITESTREAM_BASE_DURATION,
      NULL, 0, NULL },
    { ngx_string("busy-timeout"), NGX_LITESTREAM_BASE_DURATION, NULL, 0, NULL },
    { ngx_string("min-checkpoint-page-count"), NGX_LITESTREAM_BASE_NUMBER,
      NULL, 0, NULL },
    { ngx_string("truncate-page-n"), NGX_LITESTREAM_BASE_NUMBER,
      NULL, 0, NULL },
    { ngx_string("max-sync-wal-bytes"), NGX_LITESTREAM_BASE_NUMBER,
      NULL, 0, NULL },
    { ngx_string("restore-if-db-not-exists"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "say \"litestream_db ... restore=\"" },
    { ngx_string("replica"), NGX_LITESTREAM_BASE_REPLICA, NULL, 0, NULL },
    { ngx_string("replicas"), NGX_LITESTREAM_BASE_REPLICAS, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_top_keys[] = {
    { ngx_string("addr"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "say \"litestream_metrics_addr\"" },
    { ngx_string("mcp-addr"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "say \"litestream_mcp_addr\"" },
    { ngx_string("socket"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "it is below \"litestream_state_path\"" },
    { ngx_string("exec"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "nginx runs Litestream, not the other way" },
    { ngx_string("shutdown-sync-timeout"), NGX_LITESTREAM_BASE_REFUSED,
      NULL, 0, "say \"litestream_shutdown_timeout\"" },
    { ngx_string("shutdown-sync-interval"), NGX_LITESTREAM_BASE_POSITIVE,
      NULL, 0, NULL },
    { ngx_string("levels"), NGX_LITESTREAM_BASE_LIST,
      NULL, 0, ngx_litestream_base_interval_keys },
    { ngx_string("snapshot"), NGX_LITESTREAM_BASE_MAP,
      NULL, 0, ngx_litestream_base_snapshot_keys },
    { ngx_string("validation"), NGX_LITESTREAM_BASE_MAP,
      NULL, 0, ngx_litestream_base_validation_keys },
    { ngx_string("l0-retention"), NGX_LITESTREAM_BASE_DURATION, NULL, 0, NULL },
    { ngx_string("l0-retention-check-interval"), NGX_LITESTREAM_BASE_POSITIVE,
      NULL, 0, NULL },
    { ngx_string("verify-compaction"), NGX_LITESTREAM_BASE_BOOL,
      NULL, 0, NULL },
    { ngx_string("retention"), NGX_LITESTREAM_BASE_MAP,
      NULL, 0, ngx_litestream_base_retention_keys },
    { ngx_string("heartbeat-url"), NGX_LITESTREAM_BASE_TEXT,
      NULL, NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("heartbeat-interval"), NGX_LITESTREAM_BASE_MINUTE,
      NULL, 0, NULL },
    { ngx_string("logging"), NGX_LITESTREAM_BASE_MAP,
      NULL, 0, ngx_litestream_base_logging_keys },
    { ngx_string("dbs"), NGX_LITESTREAM_BASE_LIST,
      NULL, 0, ngx_litestream_base_db_keys },
    { ngx_null_string, 0, NULL, 0, NULL }
};


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

    if (ngx_litestream_base_map(&ctx, root, ngx_litestream_base_top_keys,
                                ngx_litestream_base_setting_keys)
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


/* more: further keys, or NULL */

static ngx_int_t
ngx_litestream_base_map(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *map, ngx_litestream_base_key_t *keys,
    ngx_litestream_base_key_t *more)
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

        key = ngx_litestream_base_known(keys, &node->name);

        if (key == NULL && more) {
            key = ngx_litestream_base_known(more, &node->name);
        }

        if (key == NULL) {
            rc = ngx_litestream_base_unknown(ctx, node, keys, more);

        } else {
            rc = ngx_litestream_base_node(ctx, node, key);
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
    ngx_litestream_node_t *list, ngx_litestream_base_key_t *keys,
    ngx_litestream_base_key_t *more)
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

        if (ngx_litestream_base_map(ctx, node, keys, more) != NGX_OK) {
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

    if (key->kind == NGX_LITESTREAM_BASE_REFUSED) {
        ngx_litestream_base_error(ctx->parse, ctx->base, node->line,
                                  "key \"%V\" cannot be here: %s",
                                  &node->name, (char *) key->more);
        return NGX_ERROR;
    }

    if (node->type == NGX_LITESTREAM_NODE_NULL) {
        return NGX_OK;
    }

    switch (key->kind) {

    case NGX_LITESTREAM_BASE_MAP:
        return ngx_litestream_base_map(ctx, node, key->more, NULL);

    case NGX_LITESTREAM_BASE_LIST:
        return ngx_litestream_base_list(ctx, node, key->more, NULL);

    case NGX_LITESTREAM_BASE_REPLICA:
        return ngx_litestream_base_map(ctx, node,
                                       ngx_litestream_base_replica_keys,
                                       ngx_litestream_base_setting_keys);

    case NGX_LITESTREAM_BASE_REPLICAS:
        return ngx_litestream_base_list(ctx, node,
                                        ngx_litestream_base_replica_keys,
                                        ngx_litestream_base_setting_keys);

    case NGX_LITESTREAM_BASE_TEXTS:

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

    case NGX_LITESTREAM_BASE_DURATION:
    case NGX_LITESTREAM_BASE_POSITIVE:
    case NGX_LITESTREAM_BASE_MINUTE:

        n = ngx_litestream_base_duration(&node->value);

        if (n < 0) {
            return "must be a duration, such as 30s or 1h30m";
        }

        if (n == 0 && kind != NGX_LITESTREAM_BASE_DURATION) {
            return "must not be 0";
        }

        if (n < 60 * 1000000000LL && kind == NGX_LITESTREAM_BASE_MINUTE) {
            return "must be 1m or more";
        }

        return NULL;

    case NGX_LITESTREAM_BASE_BOOL:

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

    case NGX_LITESTREAM_BASE_NUMBER:

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

    case NGX_LITESTREAM_BASE_SIZE:

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

    case NGX_LITESTREAM_BASE_LEVEL:

        if (!ngx_litestream_base_word(&node->value,
                                    "trace debug info warn warning error"))
        {
            return "must be trace, debug, info, warn or error";
        }

        return NULL;

    default: /* NGX_LITESTREAM_BASE_TEXT */
        return NULL;
    }
}


static ngx_int_t
ngx_litestream_base_unknown(ngx_litestream_base_ctx_t *ctx,
    ngx_litestream_node_t *node, ngx_litestream_base_key_t *keys,
    ngx_litestream_base_key_t *more)
{
    u_char                     *p;
    ngx_str_t                   name;
    ngx_litestream_base_key_t  *key;

    if (ctx->base->pass) {
        return ngx_litestream_base_pass(ctx, node,
                                     ngx_litestream_base_secret(&node->name));
    }

    /* "sync_interval", as nginx.conf has it */

    name.len = node->name.len;
    name.data = ngx_pnalloc(ctx->parse->cf->temp_pool, name.len + 1);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(name.data, node->name.data, name.len + 1);
    ngx_strlow(name.data, name.data, name.len);

    for (p = name.data; *p; p++) {
        if (*p == '_') {
            *p = '-';
        }
    }

    key = ngx_litestream_base_known(keys, &name);

    if (key == NULL && more) {
        key = ngx_litestream_base_known(more, &name);
    }

    if (key) {
        ngx_litestream_base_error(ctx->parse, ctx->base, node->line,
                                  "unknown key \"%V\", did you mean \"%V\"?",
                                  &node->name, &key->name);
        return NGX_ERROR;
    }

    ngx_litestream_base_error(ctx->parse, ctx->base, node->line,
                              "unknown key \"%V\", Litestream %s has none of "
                              "this name here (\"unknown=pass\" lets it pass)",
                              &node->name, NGX_LITESTREAM_BIN_VERSION);

    return NGX_ERROR;
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


static ngx_litestream_base_key_t *
ngx_litestream_base_known(ngx_litestream_base_key_t *keys, ngx_str_t *name)
{
    for ( /* void */ ; keys->name.len; keys++) {

        if (keys->name.len == name->len
            && ngx_memcmp(keys->name.data, name->data, name->len) == 0)
        {
            return keys;
        }
    }

    return NULL;
}


/*
 * 1: a key of replicas, which may stand outside of them as their default.
 */

ngx_uint_t
ngx_litestream_base_setting(ngx_str_t *name)
{
    return ngx_litestream_base_known(ngx_litestream_base_setting_keys, name)
           != NULL;
}


/*
 * What a key is to a replica of that type: NGX_LITESTREAM_BASE_XXX.
 */

ngx_uint_t
ngx_litestream_base_of(ngx_str_t *name, ngx_str_t *type)
{
    ngx_litestream_base_key_t  *key;

    key = ngx_litestream_base_known(ngx_litestream_base_setting_keys, name);

    if (key == NULL) {
        key = ngx_litestream_base_known(ngx_litestream_base_replica_keys,
                                        name);
    }

    if (key == NULL) {
        return NGX_LITESTREAM_BASE_OTHER;
    }

    if (key->types[0] == '\0') {
        return NGX_LITESTREAM_BASE_URL;
    }

    if (key->types[0] == '*') {
        return NGX_LITESTREAM_BASE_ANY;
    }

    return ngx_litestream_base_word(type, key->types)
           ? NGX_LITESTREAM_BASE_TYPE : NGX_LITESTREAM_BASE_OTHER;
}


static ngx_uint_t
ngx_litestream_base_secret(ngx_str_t *name)
{
    size_t                       i;
    char                       **part;
    ngx_litestream_base_key_t   *key;

    static char  *parts[] = {
        "secret", "token", "pass", "key", "jwt", "seed", "credential",
        "heartbeat-url", NULL
    };

    key = ngx_litestream_base_known(ngx_litestream_base_setting_keys, name);

    if (key) {
        return key->secret;
    }

    for (part = parts; *part; part++) {
        for (i = 0; i < name->len; i++) {

            /* names are NUL-ended */

            if (ngx_strncasecmp(name->data + i, (u_char *) *part,
                                ngx_strlen(*part))
                == 0)
            {
                return NGX_LITESTREAM_PRIVATE;
            }
        }
    }

    return 0;
}
