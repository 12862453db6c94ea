
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream_yaml.h"


/* what a database gets at least when Litestream ends, in ms */
#define NGX_LITESTREAM_SHUTDOWN_MIN   1000


static ngx_msec_t ngx_litestream_yaml_shutdown(ngx_litestream_conf_t *lcf,
    ngx_litestream_group_t *group, u_char *use);
static void ngx_litestream_yaml_settings(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *keys);
static void ngx_litestream_yaml_snapshot(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *base);
static void ngx_litestream_yaml_db(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_db_t *db);
static void ngx_litestream_yaml_replica(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_db_t *db);
static void ngx_litestream_yaml_logging(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_base_t *base);


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
    ngx_litestream_db_t       **dbs;
    ngx_litestream_dir_t      **dirs;
    ngx_litestream_yaml_out_t   yo;

    if (ngx_litestream_yaml_begin(&yo, pool, mask) != NGX_OK) {
        return NGX_ERROR;
    }

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
                                 lcf->base ? lcf->base->keys : NULL);

    ngx_litestream_yaml_seq(&yo, "dbs");

    dbs = group->dbs.elts;

    for (i = 0; i < group->dbs.nelts; i++) {

        if (use == NULL ? !dbs[i]->gone : use[dbs[i]->index]) {
            ngx_litestream_yaml_db(&yo, dbs[i]);
        }
    }

    /* for people: what those are like that will be found */

    dirs = group->dirs.elts;

    for (i = 0; mask && i < group->dirs.nelts; i++) {

        if (use == NULL || use[lcf->dbs.nelts + dirs[i]->index]) {
            ngx_litestream_yaml_db(&yo, dirs[i]->db);
        }
    }

    ngx_litestream_yaml_seq_end(&yo);

    return ngx_litestream_yaml_end(&yo, out);
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
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *keys)
{
    ngx_litestream_node_t  *node, *snapshot;

    snapshot = NULL;

    for (node = keys; node; node = node->next) {

        if (ngx_strcmp(node->name.data, "snapshot") == 0) {
            snapshot = node;
            continue;
        }

        ngx_litestream_yaml_node(yo, node, node->name.data);
    }

    if (settings->snapshot_interval || settings->snapshot_retention
        || snapshot)
    {
        ngx_litestream_yaml_snapshot(yo, settings,
                                     snapshot ? snapshot->child : NULL);
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
    ngx_litestream_settings_t *settings, ngx_litestream_node_t *base)
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

        ngx_litestream_yaml_node(yo, base, base->name.data);
    }

    ngx_litestream_yaml_map_end(yo);
}


static void
ngx_litestream_yaml_db(ngx_litestream_yaml_out_t *yo, ngx_litestream_db_t *db)
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

    ngx_litestream_yaml_nodes(yo, db->keys);

    ngx_litestream_yaml_map(yo, "replica");
    ngx_litestream_yaml_replica(yo, db);
    ngx_litestream_yaml_map_end(yo);

    ngx_litestream_yaml_map_end(yo);
}


static void
ngx_litestream_yaml_replica(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_db_t *db)
{
    ngx_uint_t                 i, path, interval;
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

            ngx_litestream_yaml_key(yo, &key[i]);
        }
    }

    if (!path && replica->path.len) {
        ngx_litestream_yaml_string(yo, "path", &replica->path);
    }

    if (!interval && !db->base_interval) {
        ngx_litestream_yaml_msec(yo, "sync-interval", db->sync_interval);
    }

    ngx_litestream_yaml_nodes(yo, db->settings);
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
        ngx_litestream_yaml_nodes(yo, base->logging->child);
    }
}
