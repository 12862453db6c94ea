
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Databases of directories, in the workers: the configuration does not have
 * them, what there are is in the status file.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


static ngx_litestream_db_t *ngx_http_litestream_member_make(ngx_pool_t *pool,
    ngx_litestream_db_t *dir, ngx_litestream_db_status_t *st,
    ngx_uint_t index);
static u_char *ngx_http_litestream_member_text(u_char *p, ngx_str_t *text,
    char *src, size_t size);


/*
 * Puts the databases that were found in directories in the place of these, and
 * remembers the directories in ctx->dirs.  NGX_ERROR: no memory.  Worker, no
 * I/O.
 */

ngx_int_t
ngx_http_litestream_members(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t                   i, n;
    ngx_pool_t                  *pool;
    ngx_array_t                 *all;
    ngx_litestream_db_t        **dbs, **elt;
    ngx_litestream_db_status_t   st;

    dbs = ctx->dbs->elts;

    for (i = 0; i < ctx->dbs->nelts; i++) {
        if (ngx_litestream_is_dir(dbs[i])) {
            break;
        }
    }

    if (i == ctx->dbs->nelts) {
        return NGX_OK;
    }

    pool = ctx->request->pool;

    all = ngx_array_create(pool, ngx_max(2 * ctx->dbs->nelts, 64),
                           sizeof(ngx_litestream_db_t *));

    ctx->dirs = ngx_array_create(pool, 4, sizeof(ngx_litestream_db_t *));

    if (all == NULL || ctx->dirs == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ctx->dbs->nelts; i++) {

        if (!ngx_litestream_is_dir(dbs[i])) {
            elt = ngx_array_push(all);
            if (elt == NULL) {
                return NGX_ERROR;
            }

            *elt = dbs[i];
            continue;
        }

        elt = ngx_array_push(ctx->dirs);
        if (elt == NULL) {
            return NGX_ERROR;
        }

        *elt = dbs[i];

        for (n = 0; ngx_litestream_status_next(dbs[i]->id, &n, &st) == NGX_OK;
             /* void */)
        {
            elt = ngx_array_push(all);
            if (elt == NULL) {
                return NGX_ERROR;
            }

            *elt = ngx_http_litestream_member_make(pool, dbs[i], &st, n - 1);

            if (*elt == NULL) {
                return NGX_ERROR;
            }
        }
    }

    ctx->dbs = all;

    return NGX_OK;
}


/*
 * The database with this alias, "ALIAS/PATH", of a directory: NGX_OK and *db,
 * NGX_DECLINED: there is none; NGX_ERROR: no memory.  Worker, no I/O.
 */

ngx_int_t
ngx_http_litestream_member(ngx_pool_t *pool, ngx_litestream_db_t *dir,
    ngx_str_t *alias, ngx_litestream_db_t **db)
{
    ngx_uint_t                   n;
    ngx_litestream_db_status_t   st;

    if (alias->len <= dir->alias.len + 1
        || alias->len > NGX_LITESTREAM_MEMBER_LEN
        || alias->data[dir->alias.len] != '/'
        || ngx_memcmp(alias->data, dir->alias.data, dir->alias.len) != 0)
    {
        return NGX_DECLINED;
    }

    for (n = 0; ngx_litestream_status_next(dir->id, &n, &st) == NGX_OK;
         /* void */)
    {
        if (ngx_strnlen((u_char *) st.alias, sizeof(st.alias)) == alias->len
            && ngx_memcmp(st.alias, alias->data, alias->len) == 0)
        {
            *db = ngx_http_litestream_member_make(pool, dir, &st, n - 1);

            return *db ? NGX_OK : NGX_ERROR;
        }
    }

    return NGX_DECLINED;
}


/* as if the configuration had it; index: of its record */

static ngx_litestream_db_t *
ngx_http_litestream_member_make(ngx_pool_t *pool, ngx_litestream_db_t *dir,
    ngx_litestream_db_status_t *st, ngx_uint_t index)
{
    u_char                    *p;
    size_t                     size;
    ngx_litestream_db_t       *db;
    ngx_litestream_replica_t  *replica;

    size = sizeof(ngx_litestream_db_t) + sizeof(ngx_litestream_replica_t)
           + ngx_strnlen((u_char *) st->alias, sizeof(st->alias))
           + ngx_strnlen((u_char *) st->path, sizeof(st->path))
           + ngx_strnlen((u_char *) st->replica_url, sizeof(st->replica_url));

    db = ngx_palloc(pool, size);
    if (db == NULL) {
        return NULL;
    }

    replica = (ngx_litestream_replica_t *) &db[1];
    p = (u_char *) &replica[1];

    *db = *dir;
    *replica = *dir->replica;

    db->id = st->id;
    db->index = index;
    db->replica = replica;

    p = ngx_http_litestream_member_text(p, &db->alias, st->alias,
                                        sizeof(st->alias));
    p = ngx_http_litestream_member_text(p, &db->path, st->path,
                                        sizeof(st->path));
    (void) ngx_http_litestream_member_text(p, &replica->url, st->replica_url,
                                           sizeof(st->replica_url));

    return db;
}


static u_char *
ngx_http_litestream_member_text(u_char *p, ngx_str_t *text, char *src,
    size_t size)
{
    text->len = ngx_strnlen((u_char *) src, size);
    text->data = p;

    return ngx_cpymem(p, src, text->len);
}


/*
 * The record of a directory; without one, makes one in which nothing is known
 * yet and returns NGX_DECLINED.  Worker, no I/O.
 */

ngx_int_t
ngx_http_litestream_status_dir(ngx_litestream_db_t *dir,
    ngx_litestream_dir_status_t *st)
{
    if (ngx_litestream_status_dir(dir->id, dir->index, st) == NGX_OK) {
        return NGX_OK;
    }

    ngx_memzero(st, sizeof(ngx_litestream_dir_status_t));

    return NGX_DECLINED;
}


/* the array of "directories" in the status */

void
ngx_http_litestream_status_dirs(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json)
{
    char                         *name;
    ngx_uint_t                    i;
    ngx_litestream_db_t         **dirs;
    ngx_litestream_dir_status_t   st;

    ngx_http_litestream_json_open(json, "directories", '[');

    for (i = 0; ctx->dirs && i < ctx->dirs->nelts; i++) {

        dirs = ctx->dirs->elts;

        (void) ngx_http_litestream_status_dir(dirs[i], &st);

        name = ngx_litestream_dir_state_names[
                             ngx_min(st.state, NGX_LITESTREAM_DIR_ERROR)];

        ngx_http_litestream_json_open(json, NULL, '{');

        ngx_http_litestream_json_text(json, "alias", dirs[i]->alias.data,
                                      dirs[i]->alias.len);
        ngx_http_litestream_json_text(json, "path", dirs[i]->path.data,
                                      dirs[i]->path.len);
        ngx_http_litestream_json_text(json, "state", (u_char *) name,
                                      ngx_strlen(name));
        ngx_http_litestream_json_number(json, "databases", st.count);
        ngx_http_litestream_json_time(json, "scanned_at", st.scanned_at);

        if (st.listed == NGX_LITESTREAM_LISTED_NEVER) {
            ngx_http_litestream_json_null(json, "listed");

        } else {
            ngx_http_litestream_json_bool(json, "listed",
                                    st.listed == NGX_LITESTREAM_LISTED);
        }

        ngx_http_litestream_replica_json(json, dirs[i]->replica);

        ngx_http_litestream_json_chars(json, "error", st.error,
                                       sizeof(st.error));

        ngx_http_litestream_json_close(json, '}');
    }

    ngx_http_litestream_json_close(json, ']');
}


/* why a directory is not ready itself, into buf; 0: it is */

size_t
ngx_http_litestream_ready_dir(ngx_litestream_db_t *dir, ngx_uint_t alive,
    u_char *buf, size_t size)
{
    u_char                       *p, *last;
    ngx_uint_t                    state;
    ngx_litestream_dir_status_t   st;

    p = buf;
    last = buf + size;

    if (!alive) {
        p = ngx_slprintf(p, last, "no supervisor is running");
        return p - buf;
    }

    (void) ngx_http_litestream_status_dir(dir, &st);

    /* one of its databases is not: that is told by itself */

    if (st.in_place || (st.state == NGX_LITESTREAM_DIR_FOUND && st.unplaced)) {
        return 0;
    }

    state = ngx_min(st.state, NGX_LITESTREAM_DIR_ERROR);

    p = ngx_slprintf(p, last, "%s", ngx_litestream_dir_state_names[state]);

    if (st.error[0]) {
        p = ngx_slprintf(p, last, ": %*s",
                         ngx_strnlen((u_char *) st.error, sizeof(st.error)),
                         st.error);
    }

    return p - buf;
}
