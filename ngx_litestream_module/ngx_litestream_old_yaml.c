
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the litestream.yml of Litestream 0.3 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_yaml.h"


static void ngx_litestream_old_yaml_db(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_conf_t *lcf, ngx_litestream_db_t *db);
static void ngx_litestream_old_yaml_replica(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_conf_t *lcf, ngx_litestream_db_t *db);
static ngx_uint_t ngx_litestream_old_yaml_nodes(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, char **known);
static ngx_litestream_node_t *ngx_litestream_old_yaml_snapshot(
    ngx_litestream_conf_t *lcf, char *name);
static ngx_uint_t ngx_litestream_old_yaml_known(ngx_str_t *name,
    char **known);


/* what a replica has there, of each of its types */

static struct {
    char  *type;
    char  *old;
    char  *keys[8];
} ngx_litestream_old_types[] = {

    { "file", "file", { "path", NULL } },

    { "s3", "s3", { "bucket", "path", "region", "endpoint",
      "access-key-id", "secret-access-key", "force-path-style",
      "skip-verify" } },

    { "gs", "gcs", { "bucket", "path", NULL } },

    { "abs", "abs", { "bucket", "path", "endpoint", "account-name",
      "account-key", NULL } },

    { "sftp", "sftp", { "path", "host", "user", "password", "key-path",
      NULL } },

    { NULL, NULL, { NULL } }
};


/* of a database, and of a replica of any type, when a user's file says so */

static char  *ngx_litestream_old_db_keys[] = {
    "monitor-interval", "checkpoint-interval", "min-checkpoint-page-count",
    NULL
};

static char  *ngx_litestream_old_replica_keys[] = {
    "name", "sync-interval", "validation-interval", NULL
};


/*
 * Why Litestream 0.3 cannot replicate that database as nginx.conf says, into
 * text; NGX_OK: it can.  What it does not know it would ignore, be it the
 * host key of a server or the key that a backup is encrypted with.
 */

ngx_int_t
ngx_litestream_old_supports(ngx_litestream_db_t *db, char *text, size_t size)
{
    ngx_uint_t                 i, n, k;
    ngx_litestream_key_t      *key;
    ngx_litestream_replica_t  *replica;

    replica = db->replica;

    for (n = 0; ngx_litestream_old_types[n].type; n++) {
        if (ngx_strcmp(ngx_litestream_old_types[n].type, replica->type.data)
            == 0)
        {
            break;
        }
    }

    if (ngx_litestream_old_types[n].type == NULL) {
        (void) snprintf(text, size, "Litestream 0.3 does not know replica "
                        "type \"%s\"", (char *) replica->type.data);
        return NGX_DECLINED;
    }

    key = replica->keys->elts;

    for (i = 0; i < replica->keys->nelts; i++) {

        for (k = 0; k < 8 && ngx_litestream_old_types[n].keys[k]; k++) {

            if (ngx_strlen(ngx_litestream_old_types[n].keys[k])
                == key[i].key.len
                && ngx_strncmp(ngx_litestream_old_types[n].keys[k],
                               key[i].key.data, key[i].key.len)
                   == 0)
            {
                break;
            }
        }

        if ((k == 8 || ngx_litestream_old_types[n].keys[k] == NULL)
            && !ngx_litestream_old_yaml_known(&key[i].key,
                                              ngx_litestream_old_replica_keys))
        {
            (void) snprintf(text, size, "Litestream 0.3 does not know "
                            "\"%.*s\" of replica type \"%s\"",
                            (int) key[i].key.len, (char *) key[i].key.data,
                            (char *) replica->type.data);
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/*
 * As ngx_litestream_yaml_write(), whose arguments these are.  Databases that
 * it cannot replicate are left out.
 */

ngx_int_t
ngx_litestream_old_yaml(ngx_pool_t *pool, ngx_litestream_conf_t *lcf,
    ngx_litestream_group_t *group, u_char *use, ngx_uint_t mask,
    ngx_str_t *out)
{
    char                        text[512];
    ngx_uint_t                  i;
    ngx_litestream_db_t       **dbs;
    ngx_litestream_dir_t      **dirs;
    ngx_litestream_yaml_out_t   yo;

    if (ngx_litestream_yaml_begin(&yo, pool, mask) != NGX_OK) {
        return NGX_ERROR;
    }

    /* how far it has come is told by its log alone, and why it ends */

    ngx_litestream_yaml_map(&yo, "logging");
    ngx_litestream_yaml_plain(&yo, "type");
    ngx_litestream_yaml_plain(&yo, "json");
    ngx_litestream_yaml_plain(&yo, "level");
    ngx_litestream_yaml_plain(&yo, "info");
    ngx_litestream_yaml_plain(&yo, "stderr");
    ngx_litestream_yaml_plain(&yo, "true");
    ngx_litestream_yaml_map_end(&yo);

    if (group->settings.metrics) {
        ngx_litestream_yaml_string(&yo, "addr",
                                   &group->settings.metrics->text);
    }

    ngx_litestream_yaml_seq(&yo, "dbs");

    dbs = group->dbs.elts;

    for (i = 0; i < group->dbs.nelts; i++) {

        if ((use == NULL ? !dbs[i]->gone : use[dbs[i]->index])
            && ngx_litestream_old_supports(dbs[i], text, sizeof(text))
               == NGX_OK)
        {
            ngx_litestream_old_yaml_db(&yo, lcf, dbs[i]);
        }
    }

    dirs = group->dirs.elts;

    for (i = 0; mask && i < group->dirs.nelts; i++) {

        if ((use == NULL || use[lcf->dbs.nelts + dirs[i]->index])
            && ngx_litestream_old_supports(dirs[i]->db, text, sizeof(text))
               == NGX_OK)
        {
            ngx_litestream_old_yaml_db(&yo, lcf, dirs[i]->db);
        }
    }

    ngx_litestream_yaml_seq_end(&yo);

    return ngx_litestream_yaml_end(&yo, out);
}


static void
ngx_litestream_old_yaml_db(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_conf_t *lcf, ngx_litestream_db_t *db)
{
    u_char  buf[NGX_INT_T_LEN + 1];

    ngx_litestream_yaml_map(yo, NULL);

    ngx_litestream_yaml_string(yo, "path", &db->path);

    /* it looks at a database for the first time when this has passed */

    if (!db->base_interval) {
        ngx_litestream_yaml_msec(yo, "monitor-interval",
                                 ngx_min(db->sync_interval, 1000));
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

    (void) ngx_litestream_old_yaml_nodes(yo, db->keys,
                                         ngx_litestream_old_db_keys);

    ngx_litestream_yaml_seq(yo, "replicas");
    ngx_litestream_yaml_map(yo, NULL);
    ngx_litestream_old_yaml_replica(yo, lcf, db);
    ngx_litestream_yaml_map_end(yo);
    ngx_litestream_yaml_seq_end(yo);

    ngx_litestream_yaml_map_end(yo);
}


static void
ngx_litestream_old_yaml_replica(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_conf_t *lcf, ngx_litestream_db_t *db)
{
    ngx_uint_t                  i, n, path;
    ngx_litestream_key_t       *key;
    ngx_litestream_node_t      *node;
    ngx_litestream_replica_t   *replica;
    ngx_litestream_settings_t  *settings;

    replica = db->replica;
    settings = &db->group->settings;

    for (n = 0; ngx_strcmp(ngx_litestream_old_types[n].type,
                           replica->type.data) != 0; n++)
    {
        /* void */
    }

    ngx_litestream_yaml_plain(yo, "type");
    ngx_litestream_yaml_plain(yo, ngx_litestream_old_types[n].old);

    path = 0;
    key = replica->keys->elts;

    for (i = 0; i < replica->keys->nelts; i++) {

        if (key[i].key.len == 4 && ngx_strncmp(key[i].key.data, "path", 4) == 0)
        {
            path = 1;
        }

        ngx_litestream_yaml_key(yo, &key[i]);
    }

    if (!path && replica->path.len) {
        ngx_litestream_yaml_string(yo, "path", &replica->path);
    }

    if (!db->base_interval) {
        ngx_litestream_yaml_msec(yo, "sync-interval", db->sync_interval);
    }

    (void) ngx_litestream_old_yaml_nodes(yo, db->settings,
                                         ngx_litestream_old_replica_keys);

    /* these were settings of a replica there */

    if (settings->snapshot_interval) {
        ngx_litestream_yaml_msec(yo, "snapshot-interval",
                                 settings->snapshot_interval);

    } else {
        node = ngx_litestream_old_yaml_snapshot(lcf, "interval");

        if (node) {
            ngx_litestream_yaml_plain(yo, "snapshot-interval");
            ngx_litestream_yaml_node(yo, node, NULL);
        }
    }

    if (settings->snapshot_retention) {
        ngx_litestream_yaml_msec(yo, "retention",
                                 settings->snapshot_retention);

    } else {
        node = ngx_litestream_old_yaml_snapshot(lcf, "retention");

        if (node) {
            ngx_litestream_yaml_plain(yo, "retention");
            ngx_litestream_yaml_node(yo, node, NULL);
        }
    }
}


/* writes what 0.3 knows of these nodes; returns how many it does not */

static ngx_uint_t
ngx_litestream_old_yaml_nodes(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, char **known)
{
    ngx_uint_t  n;

    n = 0;

    for ( /* void */ ; node; node = node->next) {

        if (node->type == NGX_LITESTREAM_NODE_NULL) {
            continue;
        }

        if (!ngx_litestream_old_yaml_known(&node->name, known)) {
            n++;
            continue;
        }

        if (yo) {
            ngx_litestream_yaml_node(yo, node, node->name.data);
        }
    }

    return n;
}


/*
 * How many settings of litestream_base_config Litestream 0.3 does not know, of
 * the file as a whole and of this database
 */

ngx_uint_t
ngx_litestream_old_unknown(ngx_litestream_conf_t *lcf, ngx_litestream_db_t *db)
{
    static char  *known[] = { "snapshot", NULL };

    if (db) {
        return ngx_litestream_old_yaml_nodes(NULL, db->keys,
                                             ngx_litestream_old_db_keys)
               + ngx_litestream_old_yaml_nodes(NULL, db->settings,
                                             ngx_litestream_old_replica_keys);
    }

    return lcf->base ? ngx_litestream_old_yaml_nodes(NULL, lcf->base->keys,
                                                     known)
                     : 0;
}


static ngx_litestream_node_t *
ngx_litestream_old_yaml_snapshot(ngx_litestream_conf_t *lcf, char *name)
{
    ngx_litestream_node_t  *node;

    if (lcf->base == NULL) {
        return NULL;
    }

    for (node = lcf->base->keys; node; node = node->next) {
        if (ngx_strcmp(node->name.data, "snapshot") == 0) {
            break;
        }
    }

    node = node ? ngx_litestream_tree_get(node, name) : NULL;

    return (node && node->type == NGX_LITESTREAM_NODE_SCALAR) ? node : NULL;
}


static ngx_uint_t
ngx_litestream_old_yaml_known(ngx_str_t *name, char **known)
{
    for ( /* void */ ; *known; known++) {

        if (ngx_strlen(*known) == name->len
            && ngx_strncmp(*known, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
