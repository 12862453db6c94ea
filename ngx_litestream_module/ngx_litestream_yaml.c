
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <yaml.h>

#include "ngx_litestream.h"


#define NGX_LITESTREAM_YAML_BUFFER    4096

/* what a database gets at least when Litestream ends, in ms */
#define NGX_LITESTREAM_SHUTDOWN_MIN   1000


typedef struct {
    yaml_emitter_t             emitter;
    ngx_pool_t                *pool;
    u_char                    *start;
    u_char                    *last;
    u_char                    *end;
    ngx_uint_t                 failed;  /* all else is a no-op then */
} ngx_litestream_yaml_out_t;


static ngx_int_t ngx_litestream_yaml_dollars(ngx_pool_t *pool,
    ngx_litestream_yaml_out_t *yo, ngx_str_t *out);
static ngx_msec_t ngx_litestream_yaml_shutdown(ngx_litestream_conf_t *lcf,
    ngx_litestream_group_t *group, u_char *use);
static void ngx_litestream_yaml_settings(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *keys,
    ngx_uint_t mask);
static void ngx_litestream_yaml_snapshot(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *base,
    ngx_uint_t mask);
static void ngx_litestream_yaml_db(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_db_t *db, ngx_uint_t mask);
static void ngx_litestream_yaml_replica(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_db_t *db, ngx_uint_t mask);
static void ngx_litestream_yaml_list(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_key_t *key);
static void ngx_litestream_yaml_logging(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_base_t *base);
static void ngx_litestream_yaml_nodes(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, ngx_uint_t mask);
static void ngx_litestream_yaml_node(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, ngx_uint_t mask, u_char *name);
static ngx_uint_t ngx_litestream_yaml_literal(ngx_litestream_key_t *key);
static int ngx_litestream_yaml_append(void *data, unsigned char *p,
    size_t size);
static void ngx_litestream_yaml_emit(ngx_litestream_yaml_out_t *yo,
    yaml_event_t *event, int made);
static void ngx_litestream_yaml_map(ngx_litestream_yaml_out_t *yo,
    char *name);
static void ngx_litestream_yaml_map_end(ngx_litestream_yaml_out_t *yo);
static void ngx_litestream_yaml_plain(ngx_litestream_yaml_out_t *yo,
    char *text);
static void ngx_litestream_yaml_scalar(ngx_litestream_yaml_out_t *yo,
    ngx_str_t *name, ngx_str_t *value, ngx_uint_t literal);
static void ngx_litestream_yaml_text(ngx_litestream_yaml_out_t *yo,
    ngx_str_t *name, ngx_str_t *value, ngx_uint_t literal);
static ngx_uint_t ngx_litestream_yaml_unicode(ngx_str_t *value);
static void ngx_litestream_yaml_string(ngx_litestream_yaml_out_t *yo,
    char *name, ngx_str_t *value);
static void ngx_litestream_yaml_msec(ngx_litestream_yaml_out_t *yo,
    char *name, ngx_msec_t ms);


static ngx_str_t  ngx_litestream_yaml_comment =
    ngx_string("# made by ngx_litestream from nginx.conf, changes are lost\n");

static ngx_str_t  ngx_litestream_yaml_mask = ngx_string("***");


/* Litestream refuses these when they are quoted */

static ngx_str_t  ngx_litestream_yaml_literals[] = {
    ngx_string("auto-recover"),
    ngx_string("concurrency"),
    ngx_string("concurrent-writes"),
    ngx_string("force-path-style"),
    ngx_string("max-reconnects"),
    ngx_string("max-sync-ltx-files"),
    ngx_string("require-content-md5"),
    ngx_string("sign-accept-encoding"),
    ngx_string("sign-payload"),
    ngx_string("skip-verify"),
    ngx_string("tls"),
    ngx_null_string
};


/*
 * Makes the litestream.yml of a group.  use: one byte for each database of
 * the configuration, with mask followed by one for each directory, NULL for
 * all of them; mask: secrets become "***".  The
 * same configuration gives the same text.  out points into memory of pool
 * and is not NUL-ended.  NGX_ERROR is logged to the log of pool when a value
 * is to blame.  Called by the configuration parser and the supervisor, does
 * not block.
 */

ngx_int_t
ngx_litestream_yaml_write(ngx_pool_t *pool, ngx_litestream_conf_t *lcf,
    ngx_litestream_group_t *group, u_char *use, ngx_uint_t mask,
    ngx_str_t *out)
{
    ngx_uint_t                  i;
    yaml_event_t                event;
    ngx_litestream_db_t       **dbs;
    ngx_litestream_dir_t      **dirs;
    ngx_litestream_yaml_out_t   yo;

    ngx_memzero(&yo, sizeof(ngx_litestream_yaml_out_t));

    yo.pool = pool;

    if (!yaml_emitter_initialize(&yo.emitter)) {
        return NGX_ERROR;
    }

    yaml_emitter_set_output(&yo.emitter, ngx_litestream_yaml_append, &yo);
    yaml_emitter_set_unicode(&yo.emitter, 1);
    yaml_emitter_set_width(&yo.emitter, -1);

    if (!ngx_litestream_yaml_append(&yo, ngx_litestream_yaml_comment.data,
                                    ngx_litestream_yaml_comment.len))
    {
        yo.failed = 1;
    }

    ngx_litestream_yaml_emit(&yo, &event,
                yaml_stream_start_event_initialize(&event,
                                                   YAML_UTF8_ENCODING));
    ngx_litestream_yaml_emit(&yo, &event,
                yaml_document_start_event_initialize(&event, NULL, NULL,
                                                     NULL, 1));
    ngx_litestream_yaml_map(&yo, NULL);

    ngx_litestream_yaml_map(&yo, "socket");
    ngx_litestream_yaml_plain(&yo, "enabled");
    ngx_litestream_yaml_plain(&yo, "true");
    ngx_litestream_yaml_string(&yo, "path", &group->socket);
    ngx_litestream_yaml_plain(&yo, "permissions");
    ngx_litestream_yaml_plain(&yo, "0600");
    ngx_litestream_yaml_map_end(&yo);

    ngx_litestream_yaml_map(&yo, "logging");
    ngx_litestream_yaml_plain(&yo, "type");
    ngx_litestream_yaml_plain(&yo, "json");
    ngx_litestream_yaml_logging(&yo, lcf->base);
    ngx_litestream_yaml_map_end(&yo);

    /* with a mask: for people, who see a part of the file as it is */

    ngx_litestream_yaml_msec(&yo, "shutdown-sync-timeout",
                             ngx_litestream_yaml_shutdown(lcf, group,
                                                     mask ? NULL : use));

    ngx_litestream_yaml_settings(&yo, &group->settings,
                                 lcf->base ? lcf->base->keys : NULL, mask);

    ngx_litestream_yaml_plain(&yo, "dbs");
    ngx_litestream_yaml_emit(&yo, &event,
                yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_SEQUENCE_STYLE));

    dbs = group->dbs.elts;

    for (i = 0; i < group->dbs.nelts; i++) {

        if (use == NULL ? !dbs[i]->gone : use[dbs[i]->index]) {
            ngx_litestream_yaml_db(&yo, dbs[i], mask);
        }
    }

    /* for people: what those are like that will be found */

    dirs = group->dirs.elts;

    for (i = 0; mask && i < group->dirs.nelts; i++) {

        if (use == NULL || use[lcf->dbs.nelts + dirs[i]->index]) {
            ngx_litestream_yaml_db(&yo, dirs[i]->db, mask);
        }
    }

    ngx_litestream_yaml_emit(&yo, &event,
                yaml_sequence_end_event_initialize(&event));

    ngx_litestream_yaml_map_end(&yo);

    ngx_litestream_yaml_emit(&yo, &event,
                yaml_document_end_event_initialize(&event, 1));
    ngx_litestream_yaml_emit(&yo, &event,
                yaml_stream_end_event_initialize(&event));

    yaml_emitter_delete(&yo.emitter);

    if (yo.failed) {
        return NGX_ERROR;
    }

    return ngx_litestream_yaml_dollars(pool, &yo, out);
}


/*
 * A Litestream that is not told -no-expand-env replaces "$NAME" in the text of
 * its configuration, as the tools of its MCP server and people's own commands
 * do.  Whatever has a "$" in it is in double quotes here, where "\x24" is one.
 */

static ngx_int_t
ngx_litestream_yaml_dollars(ngx_pool_t *pool, ngx_litestream_yaml_out_t *yo,
    ngx_str_t *out)
{
    size_t   n;
    u_char  *p, *dst;

    n = 0;

    for (p = yo->start; p < yo->last; p++) {
        n += (*p == '$');
    }

    out->data = yo->start;
    out->len = yo->last - yo->start;

    if (n == 0) {
        return NGX_OK;
    }

    dst = ngx_pnalloc(pool, out->len + 3 * n);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    out->data = dst;

    for (p = yo->start; p < yo->last; p++) {

        if (*p == '$') {
            dst = ngx_cpymem(dst, "\\x24", 4);

        } else {
            *dst++ = *p;
        }
    }

    out->len = dst - out->data;

    return NGX_OK;
}


/*
 * When Litestream ends it closes its databases one after the other, and each
 * may take that time: they share what there is, less a rest for the end of
 * the process itself.
 */

static ngx_msec_t
ngx_litestream_yaml_shutdown(ngx_litestream_conf_t *lcf,
    ngx_litestream_group_t *group, u_char *use)
{
    ngx_uint_t             i, n;
    ngx_msec_t             all, each;
    ngx_litestream_db_t  **dbs;

    n = 0;
    dbs = group->dbs.elts;

    for (i = 0; i < group->dbs.nelts; i++) {
        n += (use == NULL ? !dbs[i]->gone : use[dbs[i]->index]);
    }

    all = lcf->shutdown_timeout
          - ngx_min(lcf->shutdown_timeout / 10, 1000);

    each = n ? all / n : all;

    if (each < NGX_LITESTREAM_SHUTDOWN_MIN) {
        each = ngx_min(all, NGX_LITESTREAM_SHUTDOWN_MIN);
    }

    /* 0 would be one attempt without a limit */

    return each ? each : 1;
}


/* keys: those of litestream_base_config, or NULL */

static void
ngx_litestream_yaml_settings(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *keys,
    ngx_uint_t mask)
{
    ngx_litestream_node_t  *node, *snapshot;

    snapshot = NULL;

    for (node = keys; node; node = node->next) {

        if (ngx_strcmp(node->name.data, "snapshot") == 0) {
            snapshot = node;
            continue;
        }

        ngx_litestream_yaml_node(yo, node, mask, node->name.data);
    }

    if (settings->snapshot_interval || settings->snapshot_retention
        || snapshot)
    {
        ngx_litestream_yaml_snapshot(yo, settings,
                                     snapshot ? snapshot->child : NULL, mask);
    }

    if (settings->metrics) {
        ngx_litestream_yaml_string(yo, "addr", &settings->metrics->text);
    }

    if (settings->mcp) {
        ngx_litestream_yaml_string(yo, "mcp-addr", &settings->mcp->text);
    }
}


static void
ngx_litestream_yaml_snapshot(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *base,
    ngx_uint_t mask)
{
    char  *name;

    ngx_litestream_yaml_map(yo, "snapshot");

    if (settings->snapshot_interval) {
        ngx_litestream_yaml_msec(yo, "interval", settings->snapshot_interval);
    }

    if (settings->snapshot_retention) {
        ngx_litestream_yaml_msec(yo, "retention",
                                 settings->snapshot_retention);
    }

    for ( /* void */ ; base; base = base->next) {
        name = (char *) base->name.data;

        if (base->type == NGX_LITESTREAM_NODE_NULL
            || (settings->snapshot_interval
                && ngx_strcmp(name, "interval") == 0)
            || (settings->snapshot_retention
                && ngx_strcmp(name, "retention") == 0))
        {
            continue;
        }

        ngx_litestream_yaml_node(yo, base, mask, base->name.data);
    }

    ngx_litestream_yaml_map_end(yo);
}


static void
ngx_litestream_yaml_db(ngx_litestream_yaml_out_t *yo, ngx_litestream_db_t *db,
    ngx_uint_t mask)
{
    u_char  buf[NGX_INT_T_LEN + 1];

    ngx_litestream_yaml_map(yo, NULL);

    ngx_litestream_yaml_string(yo, "path", &db->path);

    /* the sync interval alone only delays the upload */

    if (!db->base_interval) {
        ngx_litestream_yaml_msec(yo, "monitor-interval", db->sync_interval);
    }

    if (db->checkpoint_interval != NGX_CONF_UNSET_MSEC) {
        ngx_litestream_yaml_msec(yo, "checkpoint-interval",
                                 db->checkpoint_interval);
    }

    if (db->min_checkpoint_pages != NGX_CONF_UNSET) {
        *ngx_sprintf(buf, "%i", db->min_checkpoint_pages) = '\0';

        ngx_litestream_yaml_plain(yo, "min-checkpoint-page-count");
        ngx_litestream_yaml_plain(yo, (char *) buf);
    }

    if (db->busy_timeout != NGX_CONF_UNSET_MSEC) {
        ngx_litestream_yaml_msec(yo, "busy-timeout", db->busy_timeout);
    }

    ngx_litestream_yaml_nodes(yo, db->keys, mask);

    ngx_litestream_yaml_map(yo, "replica");
    ngx_litestream_yaml_replica(yo, db, mask);
    ngx_litestream_yaml_map_end(yo);

    ngx_litestream_yaml_map_end(yo);
}


static void
ngx_litestream_yaml_replica(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_db_t *db, ngx_uint_t mask)
{
    ngx_uint_t                 i, path, interval;
    ngx_str_t                 *value;
    ngx_litestream_key_t      *key;
    ngx_litestream_replica_t  *replica;

    replica = db->replica;

    ngx_litestream_yaml_string(yo, "type", &replica->type);

    path = 0;
    interval = 0;

    if (replica->keys) {
        key = replica->keys->elts;

        for (i = 0; i < replica->keys->nelts; i++) {

            if (key[i].key.len == 4
                && ngx_memcmp(key[i].key.data, "path", 4) == 0)
            {
                path = 1;
            }

            if (key[i].key.len == 13
                && ngx_memcmp(key[i].key.data, "sync-interval", 13) == 0)
            {
                interval = 1;
            }

            if (key[i].list) {
                ngx_litestream_yaml_list(yo, &key[i]);
                continue;
            }

            value = (mask && key[i].secret) ? &ngx_litestream_yaml_mask
                                            : &key[i].value;

            ngx_litestream_yaml_scalar(yo, &key[i].key, value,
                                       value == &key[i].value
                                       && ngx_litestream_yaml_literal(&key[i]));
        }
    }

    if (!path && replica->path.len) {
        ngx_litestream_yaml_string(yo, "path", &replica->path);
    }

    if (!interval && !db->base_interval) {
        ngx_litestream_yaml_msec(yo, "sync-interval", db->sync_interval);
    }

    ngx_litestream_yaml_nodes(yo, db->settings, mask);
}


/* none of them is a secret */

static void
ngx_litestream_yaml_list(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_key_t *key)
{
    u_char        *p, *last, *end;
    ngx_str_t      value;
    yaml_event_t   event;

    ngx_litestream_yaml_text(yo, &key->key, &key->key, 1);

    ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_SEQUENCE_STYLE));

    last = key->value.data + key->value.len;

    for (p = key->value.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        value.data = p;
        value.len = end - p;

        ngx_litestream_yaml_text(yo, &key->key, &value, 0);
    }

    ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_end_event_initialize(&event));
}


static void
ngx_litestream_yaml_logging(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_base_t *base)
{
    ngx_litestream_node_t  *node;

    node = base ? ngx_litestream_tree_get(base->logging, "level") : NULL;

    if (node == NULL || node->type != NGX_LITESTREAM_NODE_SCALAR) {
        ngx_litestream_yaml_plain(yo, "level");
        ngx_litestream_yaml_plain(yo, "info");
    }

    if (base && base->logging) {
        ngx_litestream_yaml_nodes(yo, base->logging->child, 0);
    }
}


/* what the user's own file says */

static void
ngx_litestream_yaml_nodes(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, ngx_uint_t mask)
{
    for ( /* void */ ; node; node = node->next) {

        if (node->type != NGX_LITESTREAM_NODE_NULL) {
            ngx_litestream_yaml_node(yo, node, mask, node->name.data);
        }
    }
}


/* name: NULL in a list; trees are not deep */

static void
ngx_litestream_yaml_node(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, ngx_uint_t mask, u_char *name)
{
    ngx_str_t               *value;
    yaml_event_t             event;
    ngx_litestream_node_t   *child;

    if (name) {
        ngx_litestream_yaml_text(yo, &node->name, &node->name, 1);
    }

    switch (node->type) {

    case NGX_LITESTREAM_NODE_MAP:
        ngx_litestream_yaml_map(yo, NULL);
        ngx_litestream_yaml_nodes(yo, node->child, mask);
        ngx_litestream_yaml_map_end(yo);
        break;

    case NGX_LITESTREAM_NODE_LIST:

        ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_SEQUENCE_STYLE));

        for (child = node->child; child; child = child->next) {
            ngx_litestream_yaml_node(yo, child, mask, NULL);
        }

        ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_end_event_initialize(&event));
        break;

    default: /* NGX_LITESTREAM_NODE_SCALAR */
        value = (mask && node->secret) ? &ngx_litestream_yaml_mask
                                       : &node->value;

        ngx_litestream_yaml_text(yo, &node->name, value,
                                 node->plain && value == &node->value);
        break;
    }
}


static ngx_uint_t
ngx_litestream_yaml_literal(ngx_litestream_key_t *key)
{
    size_t      i;
    u_char     *p;
    ngx_str_t  *name, *value;

    for (name = ngx_litestream_yaml_literals; name->len; name++) {

        if (name->len == key->key.len
            && ngx_memcmp(name->data, key->key.data, name->len) == 0)
        {
            break;
        }
    }

    if (name->len == 0) {
        return 0;
    }

    value = &key->value;
    p = value->data;

    if ((value->len == 4 && ngx_memcmp(p, "true", 4) == 0)
        || (value->len == 5 && ngx_memcmp(p, "false", 5) == 0))
    {
        return 1;
    }

    i = (value->len && p[0] == '-') ? 1 : 0;

    if (i == value->len) {
        return 0;
    }

    for ( /* void */ ; i < value->len; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }
    }

    return 1;
}


static int
ngx_litestream_yaml_append(void *data, unsigned char *p, size_t size)
{
    ngx_litestream_yaml_out_t *yo = data;

    u_char  *start;
    size_t   len, n;

    if ((size_t) (yo->end - yo->last) < size) {

        len = yo->last - yo->start;
        n = ngx_max(2 * (len + size), NGX_LITESTREAM_YAML_BUFFER);

        start = ngx_pnalloc(yo->pool, n);
        if (start == NULL) {
            return 0;
        }

        if (len) {
            ngx_memcpy(start, yo->start, len);
            ngx_pfree(yo->pool, yo->start);
        }

        yo->start = start;
        yo->last = start + len;
        yo->end = start + n;
    }

    yo->last = ngx_cpymem(yo->last, p, size);

    return 1;
}


/* made: what the initialization of event has returned; event is taken over */

static void
ngx_litestream_yaml_emit(ngx_litestream_yaml_out_t *yo, yaml_event_t *event,
    int made)
{
    if (!made) {
        yo->failed = 1;
        return;
    }

    if (yo->failed) {
        yaml_event_delete(event);
        return;
    }

    if (!yaml_emitter_emit(&yo->emitter, event)) {
        yo->failed = 1;
    }
}


static void
ngx_litestream_yaml_map(ngx_litestream_yaml_out_t *yo, char *name)
{
    yaml_event_t  event;

    if (name) {
        ngx_litestream_yaml_plain(yo, name);
    }

    ngx_litestream_yaml_emit(yo, &event,
                yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_MAPPING_STYLE));
}


static void
ngx_litestream_yaml_map_end(ngx_litestream_yaml_out_t *yo)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_mapping_end_event_initialize(&event));
}


static void
ngx_litestream_yaml_plain(ngx_litestream_yaml_out_t *yo, char *text)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_scalar_event_initialize(&event, NULL, NULL,
                                             (yaml_char_t *) text, -1, 1, 1,
                                             YAML_PLAIN_SCALAR_STYLE));
}


static void
ngx_litestream_yaml_scalar(ngx_litestream_yaml_out_t *yo, ngx_str_t *name,
    ngx_str_t *value, ngx_uint_t literal)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_scalar_event_initialize(&event, NULL, NULL,
                                             name->data, name->len, 1, 1,
                                             YAML_PLAIN_SCALAR_STYLE));

    ngx_litestream_yaml_text(yo, name, value, literal);
}


/* name: for a message */

static void
ngx_litestream_yaml_text(ngx_litestream_yaml_out_t *yo, ngx_str_t *name,
    ngx_str_t *value, ngx_uint_t literal)
{
    int                  rc;
    yaml_event_t         event;
    yaml_scalar_style_t  style;

    if (ngx_strlchr(value->data, value->data + value->len, '$')) {
        literal = 0;
    }

    style = literal ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;

    rc = 0;

    if (ngx_litestream_yaml_unicode(value)) {

        /* libyaml refuses a null pointer */

        rc = yaml_scalar_event_initialize(&event, NULL, NULL,
                                          value->len ? value->data
                                                     : (yaml_char_t *) "",
                                          value->len, 1, 1, style);
    }

    if (!rc && !yo->failed) {

        /* the value may be a secret */

        ngx_log_error(NGX_LOG_EMERG, yo->pool->log, 0,
                      "litestream: value of \"%V\" is not valid UTF-8", name);
    }

    ngx_litestream_yaml_emit(yo, &event, rc);
}


/*
 * libyaml looks at the form of UTF-8 only: surrogates and what is beyond
 * U+10ffff would be written as escapes that nobody can read
 */

static ngx_uint_t
ngx_litestream_yaml_unicode(ngx_str_t *value)
{
    size_t   i;
    u_char  *p;

    p = value->data;

    for (i = 0; i < value->len; i++) {

        if (p[i] > 0xf4) {
            return 0;
        }

        if (i + 1 < value->len
            && ((p[i] == 0xf4 && p[i + 1] > 0x8f)
                || (p[i] == 0xed && p[i + 1] > 0x9f)))
        {
            return 0;
        }
    }

    return 1;
}


static void
ngx_litestream_yaml_string(ngx_litestream_yaml_out_t *yo, char *name,
    ngx_str_t *value)
{
    ngx_str_t  key;

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

    ngx_litestream_yaml_scalar(yo, &key, value, 0);
}


static void
ngx_litestream_yaml_msec(ngx_litestream_yaml_out_t *yo, char *name,
    ngx_msec_t ms)
{
    u_char  buf[NGX_INT_T_LEN + 3];

    if (ms % 1000 == 0) {
        *ngx_sprintf(buf, "%Ms", ms / 1000) = '\0';

    } else {
        *ngx_sprintf(buf, "%Mms", ms) = '\0';
    }

    ngx_litestream_yaml_plain(yo, name);
    ngx_litestream_yaml_plain(yo, (char *) buf);
}
