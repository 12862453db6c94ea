
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


static ngx_int_t ngx_litestream_base_param(ngx_litestream_parse_t *parse,
    ngx_litestream_scheme_t *scheme, ngx_litestream_replica_t *replica,
    ngx_litestream_node_t *node);
static ngx_int_t ngx_litestream_base_defaults(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_uint_t said);
static ngx_int_t ngx_litestream_base_alias(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_str_t *alias);
static ngx_msec_t ngx_litestream_base_msec(ngx_litestream_node_t *list,
    char *name);


/*
 * What the file says of the database with that path, or NULL; its replica is
 * put into *replica unless url, which is literal, has been said.  Any process
 * that reads the configuration, may block on the file system.
 */

ngx_litestream_base_db_t *
ngx_litestream_base_find(ngx_litestream_parse_t *parse, ngx_str_t *path,
    ngx_str_t *url, ngx_http_litestream_said_t **replica)
{
    ngx_str_t                  real, *name;
    ngx_uint_t                 i, dir;
    ngx_litestream_base_db_t  *bdb, **elt;

    if (parse->lcf->base == NULL) {
        return NULL;
    }

    dir = ngx_litestream_dir_named(path);

    if (dir) {
        real = *path;

    } else if (ngx_litestream_real_path(parse->cf->temp_pool, path, &real)
               != NGX_OK)
    {
        return NULL;
    }

    elt = parse->lcf->base->dbs.elts;

    for (i = 0; i < parse->lcf->base->dbs.nelts; i++) {
        bdb = elt[i];

        name = dir ? &bdb->path : &bdb->real;

        if (bdb->used
            || (bdb->dir.len != 0) != dir
            || name->len != real.len
            || ngx_memcmp(name->data, real.data, real.len) != 0)
        {
            continue;
        }

        bdb->used = 1;

        if (url->len == 0 && bdb->replica.file) {
            *replica = &bdb->replica;
        }

        return bdb;
    }

    return NULL;
}


/*
 * Gives a replica what the file says of it, when it is of the file, and of all
 * of its type, as parameters of a litestream_replica; what it has already
 * counts.  NGX_ERROR: it has been logged.  Any process that reads the
 * configuration, does not block.
 */

ngx_int_t
ngx_litestream_base_keys(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_litestream_replica_t *replica)
{
    ngx_uint_t                 i, kind;
    ngx_litestream_base_t     *base;
    ngx_litestream_node_t     *node;
    ngx_litestream_base_db_t **bdb;

    base = parse->lcf->base;

    if (base == NULL) {
        return NGX_OK;
    }

    bdb = base->dbs.elts;

    for (i = 0; i < base->dbs.nelts; i++) {

        if (said != &bdb[i]->replica) {
            continue;
        }

        for (node = bdb[i]->params; node; node = node->next) {

            if (ngx_litestream_base_param(parse, scheme, replica, node)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    for (node = base->settings; node; node = node->next) {

        kind = ngx_litestream_base_of(&node->name, &scheme->type);

        if (!ngx_litestream_base_is_param(node, kind)
            || ngx_litestream_replica_key(replica, (char *) node->name.data))
        {
            continue;
        }

        if (ngx_litestream_base_param(parse, scheme, replica, node)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* "access-key-id: x" as "access_key_id=x", with its own line */

static ngx_int_t
ngx_litestream_base_param(ngx_litestream_parse_t *parse,
    ngx_litestream_scheme_t *scheme, ngx_litestream_replica_t *replica,
    ngx_litestream_node_t *node)
{
    u_char                      *p;
    ngx_str_t                    args[3];
    ngx_http_litestream_said_t   said;

    if (node->value.len == 0) {
        return NGX_OK;
    }

    args[2].len = node->name.len + 1 + node->value.len;
    args[2].data = ngx_pnalloc(parse->cf->pool, args[2].len + 1);
    if (args[2].data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(args[2].data, "%V=%V%Z", &node->name, &node->value);

    for (p = args[2].data; *p != '='; p++) {
        if (*p == '-') {
            *p = '_';
        }
    }

    ngx_str_set(&args[0], "replica");
    args[1] = replica->url;

    ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));

    said.args = args;
    said.nargs = 3;
    said.file = parse->lcf->base->file.data;
    said.line = node->line;

    return ngx_litestream_replica_params(parse, &said, scheme, replica);
}


/*
 * Settles a database whose parameters and replica are known, with what the
 * file says of it (bdb, may be NULL) and of all: nginx.conf wins key by key.
 * own: its replica is that of the file.
 * Any process that reads the configuration, does not block.
 */

ngx_int_t
ngx_litestream_base_merge(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_litestream_base_db_t *bdb, ngx_uint_t own)
{
    char                   *name;
    ngx_uint_t              said;
    ngx_msec_t              monitor, sync;
    ngx_pool_t             *pool;
    ngx_litestream_base_t  *base;
    ngx_litestream_node_t  *node;

    base = parse->lcf->base;
    pool = parse->cf->pool;

    said = (db->sync_interval != NGX_CONF_UNSET_MSEC);

    if (!said) {
        db->sync_interval = 1000;
    }

    if (base == NULL) {
        return NGX_OK;
    }

    for (node = bdb ? bdb->keys : NULL; node; node = node->next) {
        name = (char *) node->name.data;

        if ((said && ngx_strcmp(name, "monitor-interval") == 0)
            || (db->checkpoint_interval != NGX_CONF_UNSET_MSEC
                && ngx_strcmp(name, "checkpoint-interval") == 0)
            || (db->busy_timeout != NGX_CONF_UNSET_MSEC
                && ngx_strcmp(name, "busy-timeout") == 0)
            || (db->min_checkpoint_pages != NGX_CONF_UNSET
                && ngx_strcmp(name, "min-checkpoint-page-count") == 0))
        {
            continue;
        }

        if (ngx_litestream_base_link(pool, &db->keys, node) == NULL) {
            return NGX_ERROR;
        }
    }

    /* what is said of the replica in the file does not suit another one */

    for (node = own ? bdb->settings : NULL; node; node = node->next) {

        if (said && ngx_strcmp(node->name.data, "sync-interval") == 0) {
            continue;
        }

        if (ngx_litestream_base_link(pool, &db->settings, node) == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_litestream_base_defaults(parse, db, said) != NGX_OK) {
        return NGX_ERROR;
    }

    if (said) {
        return NGX_OK;
    }

    monitor = ngx_litestream_base_msec(db->keys, "monitor-interval");
    sync = ngx_litestream_base_msec(db->settings, "sync-interval");

    if (monitor || sync) {
        db->base_interval = 1;
        db->sync_interval = ngx_max(ngx_max(monitor, sync), 1000);
    }

    return NGX_OK;
}


/*
 * what the file says of all replicas, those of nginx.conf, too, but for what
 * is a parameter of them
 */

static ngx_int_t
ngx_litestream_base_defaults(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_uint_t said)
{
    ngx_uint_t              kind;
    ngx_litestream_node_t  *node;

    for (node = parse->lcf->base->settings; node; node = node->next) {

        kind = ngx_litestream_base_of(&node->name, &db->replica->type);

        if (kind == NGX_LITESTREAM_BASE_OTHER
            || kind == NGX_LITESTREAM_BASE_URL
            || ngx_litestream_base_is_param(node, kind)
            || ngx_litestream_replica_key(db->replica,
                                          (char *) node->name.data)
            || (said && ngx_strcmp(node->name.data, "sync-interval") == 0)
            || ngx_litestream_base_named(db->settings, &node->name))
        {
            continue;
        }

        if (ngx_litestream_base_link(parse->cf->pool, &db->settings, node)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Makes databases of those in the file that have no litestream_db.  lscf: of
 * http{}, whose they are.  NGX_ERROR: it has been logged.  Any process that
 * reads the configuration, may block on the file system.
 */

ngx_int_t
ngx_litestream_base_adopt(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf,
    ngx_http_litestream_said_t *replica)
{
    ngx_str_t                   *args;
    ngx_uint_t                   i;
    ngx_litestream_db_t         *db, **dbp;
    ngx_litestream_base_t       *base;
    ngx_litestream_base_db_t    *bdb, **elt;
    ngx_http_litestream_said_t   said;

    base = parse->lcf->base;

    if (base == NULL) {
        return NGX_OK;
    }

    elt = base->dbs.elts;

    for (i = 0; i < base->dbs.nelts; i++) {
        bdb = elt[i];

        if (bdb->used) {
            continue;
        }

        args = ngx_pcalloc(parse->cf->pool, 3 * sizeof(ngx_str_t));
        if (args == NULL) {
            return NGX_ERROR;
        }

        ngx_str_set(&args[0], "litestream_db");
        args[2] = bdb->path;

        if (ngx_litestream_base_alias(parse, base, bdb, &args[1]) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));

        said.args = args;
        said.nargs = 3;
        said.file = base->file.data;
        said.line = bdb->line;
        said.vars = base->vars;

        db = ngx_litestream_db_parse(parse, &said, replica);
        if (db == NULL) {
            return NGX_ERROR;
        }

        dbp = ngx_array_push(&lscf->dbs);
        if (dbp == NULL) {
            return NGX_ERROR;
        }

        *dbp = db;
    }

    return NGX_OK;
}


/*
 * "db" of "/srv/app/db.sqlite3", "tenants" of the directory "/srv/tenants"; if
 * that is taken "app-db", "srv-app-db"
 */

static ngx_int_t
ngx_litestream_base_alias(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_str_t *alias)
{
    u_char     *p, *start, *last, *dot;
    ngx_str_t  *path;

    path = bdb->dir.len ? &bdb->dir : &bdb->path;

    p = ngx_pnalloc(parse->cf->pool, path->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(p, path->data, path->len + 1);

    last = p + path->len;

    for (start = last; start > p && start[-1] != '/'; start--) { /* void */ }

    /* ".db" is a name, not a suffix; those of directories have none */

    for (dot = last; dot > start && *dot != '.'; dot--) { /* void */ }

    if (dot > start && bdb->dir.len == 0) {
        last = dot;
        *last = '\0';
    }

    for (alias->data = p; *p; p++) {

        if ((*p < 'A' || *p > 'Z') && (*p < 'a' || *p > 'z')
            && (*p < '0' || *p > '9') && *p != '.' && *p != '_')
        {
            *p = (*p == '/' || *p == '-') ? '-' : '_';
        }
    }

    p = alias->data;

    for ( ;; ) {

        alias->data = start;
        alias->len = last - start;

        if (alias->len == 0 || alias->len > NGX_LITESTREAM_ALIAS_LEN) {
            ngx_litestream_base_error(parse, base, bdb->line,
                                      "no alias can be made for database "
                                      "\"%V\", name it by \"litestream_db\"",
                                      &bdb->path);
            return NGX_ERROR;
        }

        if (ngx_str_rbtree_lookup(&parse->aliases, alias,
                                  ngx_crc32_long(alias->data, alias->len))
            == NULL)
        {
            return NGX_OK;
        }

        if (start - p < 2) {

            /* litestream_db says that it is there twice */

            return NGX_OK;
        }

        /* the directory before it; in a path that has been checked no "//" */

        start--;

        while (start > p + 1 && path->data[start - 1 - p] != '/') {
            start--;
        }
    }
}


/* 0: it is not there */

static ngx_msec_t
ngx_litestream_base_msec(ngx_litestream_node_t *list, char *name)
{
    ngx_str_t               s;
    ngx_litestream_node_t  *node;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    node = ngx_litestream_base_named(list, &s);

    if (node == NULL) {
        return 0;
    }

    return ngx_max(ngx_litestream_base_duration(&node->value) / 1000000, 1);
}
