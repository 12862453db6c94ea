
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The supervisor's databases: those of the configuration, and those that are
 * found in directories and become a part of its own copy of it.  What has gone
 * for good leaves its place to another one.
 */


#include "ngx_litestream_supervisor.h"


/* a block of memory for what one database has of its own */
#define NGX_LITESTREAM_MEMBER_POOL  1280


static void ngx_litestream_rdb_init(ngx_litestream_rdb_t *rdb,
    ngx_litestream_db_t *db);
static ngx_uint_t ngx_litestream_member_means(ngx_litestream_dir_t *dir,
    ngx_str_t *path, ngx_str_t *below, ngx_uint_t capture);
static ngx_litestream_rdb_t *ngx_litestream_member_place(
    ngx_litestream_dir_t *dir);
static ngx_litestream_db_t *ngx_litestream_member_db(
    ngx_litestream_dir_t *dir, ngx_str_t *path, ngx_str_t *below,
    char **reason);
static ngx_litestream_replica_t *ngx_litestream_member_replica(
    ngx_pool_t *pool, ngx_litestream_dir_t *dir, ngx_str_t *below);
static ngx_int_t ngx_litestream_member_text(ngx_pool_t *pool,
    ngx_litestream_dir_t *dir, ngx_str_t *below, ngx_str_t *text,
    ngx_str_t *out);
static char *ngx_litestream_member_clash(ngx_litestream_db_t *db);
static ngx_uint_t ngx_litestream_member_inside(ngx_str_t *inner,
    ngx_str_t *outer);


/*
 * What the supervisor knows of a database, which is the next one of its
 * configuration: db->index is its place there.  NULL: no memory.  Supervisor,
 * does not block.
 */

ngx_litestream_rdb_t *
ngx_litestream_rdb_add(ngx_litestream_db_t *db)
{
    ngx_uint_t                    n;
    ngx_litestream_rdb_t         *rdb, **rdbs;
    ngx_litestream_rgroup_t      *rg;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (db->index >= sup->maxrdbs) {

        n = ngx_max(2 * sup->maxrdbs, sup->conf->dbs.nelts + 1);

        rdbs = ngx_calloc(n * sizeof(ngx_litestream_rdb_t *), sup->log);
        if (rdbs == NULL) {
            return NULL;
        }

        if (sup->rdbs) {
            ngx_memcpy(rdbs, sup->rdbs,
                       sup->maxrdbs * sizeof(ngx_litestream_rdb_t *));
            ngx_free(sup->rdbs);
        }

        sup->rdbs = rdbs;
        sup->maxrdbs = n;
    }

    rdb = ngx_pcalloc(sup->pool, sizeof(ngx_litestream_rdb_t));
    if (rdb == NULL) {
        return NULL;
    }

    rg = &sup->rgroups[db->group->index];

    rdbs = ngx_array_push(&rg->rdbs);
    if (rdbs == NULL) {
        return NULL;
    }

    *rdbs = rdb;
    sup->rdbs[db->index] = rdb;

    ngx_litestream_rdb_init(rdb, db);

    return rdb;
}


static void
ngx_litestream_rdb_init(ngx_litestream_rdb_t *rdb, ngx_litestream_db_t *db)
{
    ngx_litestream_db_status_t  *st;

    ngx_memzero(rdb, sizeof(ngx_litestream_rdb_t));

    rdb->db = db;
    rdb->index = db->index;
    rdb->group = &ngx_litestream_sup->rgroups[db->group->index];

    ngx_litestream_sync_init(rdb);

    st = &rdb->st;

    st->id = db->id;
    st->dir = db->in ? db->in->id : 0;
    st->group = db->group->index;
    st->state = NGX_LITESTREAM_DB_STARTING;
    st->size = -1;
    st->wal_size = -1;
    st->restore_total = -1;
    st->lag_limit_ms = ngx_max(10000, 3 * db->sync_interval);

    ngx_litestream_copy(st->alias, sizeof(st->alias), db->alias.data,
                        db->alias.len);
    ngx_litestream_copy(st->path, sizeof(st->path), db->path.data,
                        db->path.len);

    if (db->replica) {
        ngx_litestream_copy(st->replica_type, sizeof(st->replica_type),
                            db->replica->type.data, db->replica->type.len);
        ngx_litestream_copy(st->replica_url, sizeof(st->replica_url),
                            db->replica->url.data, db->replica->url.len);
    }
}


/*
 * Takes a file into the configuration; path is below the root of rdir, and
 * comes from a less privileged process: it is checked here.  NULL: it is not
 * taken, and reason, which may stay NULL, says why.  What is known already is
 * returned as it is, else rdb->fresh is set.  Supervisor, does not block.
 */

ngx_litestream_rdb_t *
ngx_litestream_member_add(ngx_litestream_rdir_t *rdir, u_char *path,
    size_t len, char **reason)
{
    uint64_t                 id;
    ngx_str_t                below, full;
    ngx_uint_t               i;
    ngx_litestream_db_t     *db, **dbp;
    ngx_litestream_rdb_t    *rdb, **rdbs;
    ngx_litestream_dir_t    *dir, **dirs;
    ngx_litestream_conf_t   *conf;
    u_char                   buf[NGX_LITESTREAM_PATH_LEN + 1];

    dir = rdir->dir;
    conf = ngx_litestream_sup->conf;
    rdbs = ngx_litestream_sup->rdbs;

    *reason = ngx_litestream_member_path(path, len);
    if (*reason) {
        return NULL;
    }

    if (dir->root.len + 1 + len > NGX_LITESTREAM_PATH_LEN
        || dir->db->alias.len + 1 + len > NGX_LITESTREAM_MEMBER_LEN)
    {
        *reason = "has too long a path";
        return NULL;
    }

    below.data = path;
    below.len = len;

    full.data = buf;
    full.len = ngx_sprintf(buf, "%V/%V", &dir->root, &below) - buf;

    /* the first directory that means it has it, whoever has found it first */

    dirs = conf->dirs.elts;

    for (i = 0; i < dir->index; i++) {

        if (full.len > dirs[i]->root.len + 1
            && ngx_memcmp(full.data, dirs[i]->root.data, dirs[i]->root.len)
               == 0
            && full.data[dirs[i]->root.len] == '/')
        {
            below.data = full.data + dirs[i]->root.len + 1;
            below.len = full.data + full.len - below.data;

            if (ngx_litestream_member_means(dirs[i], &full, &below, 0)) {
                return NULL;
            }
        }
    }

    below.data = full.data + dir->root.len + 1;
    below.len = len;

    if (!ngx_litestream_member_means(dir, &full, &below, 1)) {
        return NULL;
    }

    id = ngx_litestream_id(&full);

    for (i = 0; i < conf->dbs.nelts; i++) {

        db = rdbs[i]->db;

        if (db->gone || db->id != id) {
            continue;
        }

        if (db->path.len == full.len
            && ngx_memcmp(db->path.data, full.data, full.len) == 0)
        {
            return (db->in == dir) ? rdbs[i] : NULL;
        }

        *reason = "cannot be told from another database, rename it";
        return NULL;
    }

    rdb = ngx_litestream_member_place(dir);

    if (rdb == NULL && conf->dbs.nelts == NGX_LITESTREAM_MAX_DBS) {
        *reason = "is one too many";
        return NULL;
    }

    db = ngx_litestream_member_db(dir, &full, &below, reason);

    if (db == NULL) {
        return NULL;
    }

    if (rdb) {
        db->index = rdb->index;

        /* the arrays have a copy of the pointer: what it points to changes */

        ngx_destroy_pool(rdb->db->pool);

        dbp = conf->dbs.elts;
        dbp[db->index] = db;

        dbp = db->group->dbs.elts;

        for (i = 0; i < db->group->dbs.nelts; i++) {
            if (dbp[i] == rdb->db) {
                dbp[i] = db;
                break;
            }
        }

        ngx_litestream_rdb_init(rdb, db);

    } else {
        db->index = conf->dbs.nelts;

        /* first the one that may be left over without harm */

        dbp = ngx_array_push(&db->group->dbs);
        if (dbp == NULL) {
            goto failed;
        }

        *dbp = db;

        dbp = ngx_array_push(&conf->dbs);
        if (dbp == NULL) {
            db->group->dbs.nelts--;
            goto failed;
        }

        *dbp = db;

        rdb = ngx_litestream_rdb_add(db);
        if (rdb == NULL) {
            db->group->dbs.nelts--;
            conf->dbs.nelts--;
            goto failed;
        }
    }

    rdb->fresh = 1;

    ngx_litestream_memory_known(rdb);

    return rdb;

failed:

    *reason = "cannot be taken, no memory";
    ngx_destroy_pool(db->pool);

    return NULL;
}


/* 1: the file is one of this directory; capture: and dir->names are those */

static ngx_uint_t
ngx_litestream_member_means(ngx_litestream_dir_t *dir, ngx_str_t *path,
    ngx_str_t *below, ngx_uint_t capture)
{
    int                     *captures;
    ngx_uint_t               i, rc;
    ngx_litestream_named_t  *named;

    if (dir->regex == NULL) {
        return ngx_litestream_pattern_match(&dir->pattern, below->data,
                                            below->len);
    }

    captures = ngx_alloc(dir->captures * sizeof(int),
                         ngx_litestream_sup->log);
    if (captures == NULL) {
        return 0;
    }

    rc = (ngx_regex_exec(dir->regex, path, captures, dir->captures) >= 0);

    if (rc && capture) {
        named = dir->names.elts;

        for (i = 0; i < dir->names.nelts; i++) {
            named[i].value.data = path->data + captures[named[i].n];
            named[i].value.len = captures[named[i].n + 1]
                                 - captures[named[i].n];
        }
    }

    ngx_free(captures);

    return rc;
}


/* one whose database has gone for good */

static ngx_litestream_rdb_t *
ngx_litestream_member_place(ngx_litestream_dir_t *dir)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (rdb->db->gone && rdb->db->in == dir) {
            return rdb;
        }
    }

    return NULL;
}


static ngx_litestream_db_t *
ngx_litestream_member_db(ngx_litestream_dir_t *dir, ngx_str_t *path,
    ngx_str_t *below, char **reason)
{
    u_char               *p;
    ngx_pool_t           *pool;
    ngx_litestream_db_t  *db;

    pool = ngx_create_pool(NGX_LITESTREAM_MEMBER_POOL,
                           ngx_litestream_sup->log);
    if (pool == NULL) {
        *reason = "cannot be taken, no memory";
        return NULL;
    }

    db = ngx_palloc(pool, sizeof(ngx_litestream_db_t));
    if (db == NULL) {
        goto failed;
    }

    *db = *dir->db;

    db->pool = pool;
    db->outcome = NGX_LITESTREAM_OUTCOME_UNKNOWN;

    p = ngx_pnalloc(pool, dir->db->alias.len + 1 + below->len + 1
                          + path->len + 1);
    if (p == NULL) {
        goto failed;
    }

    db->alias.data = p;
    p = ngx_sprintf(p, "%V/%V%Z", &dir->db->alias, below);
    db->alias.len = p - 1 - db->alias.data;

    db->path.data = p;
    p = ngx_cpymem(p, path->data, path->len);
    *p = '\0';
    db->path.len = path->len;

    db->id = ngx_litestream_id(&db->path);

    while (p[-1] != '/') {
        p--;
    }

    db->name.data = p;
    db->name.len = db->path.data + db->path.len - p;

    if (db->name.len == below->len) {
        db->dir = dir->root;

    } else {
        db->dir.len = p - 1 - db->path.data;
        db->dir.data = ngx_pnalloc(pool, db->dir.len + 1);
        if (db->dir.data == NULL) {
            goto failed;
        }

        ngx_cpystrn(db->dir.data, db->path.data, db->dir.len + 1);
    }

    db->replica = ngx_litestream_member_replica(pool, dir, below);
    if (db->replica == NULL) {
        goto failed;
    }

    *reason = ngx_litestream_member_clash(db);

    if (*reason) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    return db;

failed:

    *reason = "cannot be taken, no memory";
    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_litestream_replica_t *
ngx_litestream_member_replica(ngx_pool_t *pool, ngx_litestream_dir_t *dir,
    ngx_str_t *below)
{
    ngx_uint_t                 i;
    ngx_litestream_key_t      *key, *keys;
    ngx_litestream_replica_t  *replica, *all;

    all = dir->db->replica;

    replica = ngx_palloc(pool, sizeof(ngx_litestream_replica_t));
    if (replica == NULL) {
        return NULL;
    }

    *replica = *all;

    if (ngx_litestream_member_text(pool, dir, below, &all->url, &replica->url)
        != NGX_OK
        || ngx_litestream_member_text(pool, dir, below, &all->id,
                                      &replica->id)
           != NGX_OK
        || ngx_litestream_member_text(pool, dir, below, &all->path,
                                      &replica->path)
           != NGX_OK)
    {
        return NULL;
    }

    replica->keys = ngx_array_create(pool, ngx_max(all->keys->nelts, 1),
                                     sizeof(ngx_litestream_key_t));
    if (replica->keys == NULL) {
        return NULL;
    }

    keys = all->keys->elts;

    for (i = 0; i < all->keys->nelts; i++) {

        key = ngx_array_push(replica->keys);
        *key = keys[i];

        /* "$file" in a secret is a part of it */

        if (!key->secret
            && ngx_litestream_member_text(pool, dir, below, &keys[i].value,
                                          &key->value)
               != NGX_OK)
        {
            return NULL;
        }
    }

    return replica;
}


/* $file, and the groups of the regular expression; out is NUL-ended */

static ngx_int_t
ngx_litestream_member_text(ngx_pool_t *pool, ngx_litestream_dir_t *dir,
    ngx_str_t *below, ngx_str_t *text, ngx_str_t *out)
{
    size_t                   len, n;
    u_char                  *p, *d, *last;
    ngx_str_t               *value;
    ngx_uint_t               i, pass, changed;
    ngx_litestream_named_t  *named;

    last = text->data + text->len;
    named = dir->names.elts;
    len = 0;
    d = NULL;
    changed = 0;

    for (pass = 0; pass < 2; pass++) {

        for (p = text->data; p < last; p += n) {

            n = ngx_litestream_variable(p, last);
            value = NULL;

            if (n == 5 && ngx_strncmp(p, "$file", 5) == 0) {
                value = below;
            }

            for (i = 0; n && dir->regex && value == NULL
                 && i < dir->names.nelts; i++)
            {
                if (named[i].name.len + 1 == n
                    && ngx_memcmp(named[i].name.data, p + 1, n - 1) == 0)
                {
                    value = &named[i].value;
                }
            }

            if (value == NULL) {
                n = 1;
            }

            if (pass == 0) {
                len += value ? value->len : 1;
                changed |= (value != NULL);

            } else if (value) {
                d = ngx_cpymem(d, value->data, value->len);

            } else {
                *d++ = *p;
            }
        }

        if (pass == 0) {

            if (!changed) {
                *out = *text;
                return NGX_OK;
            }

            d = ngx_pnalloc(pool, len + 1);
            if (d == NULL) {
                return NGX_ERROR;
            }

            out->data = d;
            out->len = len;
        }
    }

    *d = '\0';

    return NGX_OK;
}


/* NULL, or why its replica cannot be: no two may have one, or one in another */

static char *
ngx_litestream_member_clash(ngx_litestream_db_t *db)
{
    size_t                 n;
    u_char                *p, *last;
    ngx_str_t             *id, *path, *other;
    ngx_uint_t             i;
    ngx_litestream_db_t   *one;
    ngx_litestream_key_t  *key;

    id = &db->replica->id;
    path = &db->replica->path;
    key = db->replica->keys->elts;

    for (i = 0; path->len == 0 && i < db->replica->keys->nelts; i++) {
        if (ngx_strcmp(key[i].key.data, "path") == 0) {
            path = &key[i].value;
        }
    }

    /* values of a regular expression may be empty, or lead elsewhere */

    p = path->data;
    last = path->data + path->len;

    for (p += (p < last && *p == '/'); p <= last; p += n + 1) {

        for (n = 0; p + n < last && p[n] != '/'; n++) { /* void */ }

        if (n == 0 || (n == 1 && p[0] == '.')
            || (n == 2 && p[0] == '.' && p[1] == '.'))
        {
            return "has a replica whose path has an empty part, \".\" or "
                   "\"..\" in it";
        }
    }

    if (db->replica->url.len >= sizeof(((ngx_litestream_db_status_t *) 0)
                                       ->replica_url))
    {
        return "has a replica with too long a path";
    }

    if (!db->replicate) {
        return NULL;
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        one = ngx_litestream_sup->rdbs[i]->db;

        if (one->gone || !one->replicate) {
            continue;
        }

        other = &one->replica->id;

        if (ngx_litestream_member_inside(id, other)
            || ngx_litestream_member_inside(other, id))
        {
            return "has a replica that is, or is inside of, or holds, that of "
                   "another database: they would destroy each other's backup";
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_litestream_member_inside(ngx_str_t *inner, ngx_str_t *outer)
{
    return inner->len >= outer->len
           && (inner->len == outer->len || inner->data[outer->len] == '/')
           && ngx_memcmp(inner->data, outer->data, outer->len) == 0;
}


/*
 * What the last holder has found and still is there: it stays in the status
 * while the directories are looked through.  When the status is laid out, with
 * the last one still to be read.  Supervisor; a system call for each.
 */

void
ngx_litestream_member_carry(void)
{
    char                        *reason;
    int64_t                      size;
    size_t                       len;
    uint64_t                     dev, ino;
    ngx_uint_t                   i, n;
    ngx_litestream_dir_t        *dir;
    ngx_litestream_rdb_t        *rdb;
    ngx_litestream_rdir_t       *rdir;
    ngx_litestream_db_status_t   st;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];
        dir = rdir->dir;
        n = 0;

        while (ngx_litestream_status_next(dir->id, &n, &st) == NGX_OK) {

            len = ngx_strnlen((u_char *) st.path, sizeof(st.path));

            if (len == sizeof(st.path) || len <= dir->root.len + 1
                || ngx_memcmp(st.path, dir->root.data, dir->root.len) != 0
                || ngx_litestream_identity((u_char *) st.path, &dev, &ino,
                                           &size)
                   != NGX_OK
                || size <= 0)
            {
                continue;
            }

            rdb = ngx_litestream_member_add(rdir,
                                     (u_char *) st.path + dir->root.len + 1,
                                     len - dir->root.len - 1, &reason);
            if (rdb) {
                rdb->fresh = 0;
            }
        }
    }
}


/* 1: nothing is under way for it */

ngx_uint_t
ngx_litestream_member_idle(ngx_litestream_rdb_t *rdb)
{
    return rdb->job == NULL && rdb->verify == NULL && !rdb->running
           && !rdb->joining && !rdb->parting
           && rdb->point == NULL && !rdb->point_waits
           && ngx_queue_empty(&rdb->pointers)
           && ngx_litestream_listing_idle(rdb)
           && !rdb->syncing && !rdb->again.timer_set
           && rdb->want.next == NULL
           && ngx_queue_empty(&rdb->now) && ngx_queue_empty(&rdb->next)
           && ngx_queue_empty(&rdb->verifiers);
}


/*
 * Neither the file nor a backup of it is there any more: it leaves the status,
 * and what was seen of it is forgotten.  Supervisor, of one that is idle.
 */

void
ngx_litestream_member_leave(ngx_litestream_rdb_t *rdb)
{
    ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                  "litestream: database \"%V\" has gone, and so has its "
                  "backup: it is forgotten", &rdb->db->alias);

    if (rdb->retry.timer_set) {
        ngx_del_timer(&rdb->retry);
    }

    rdb->db->gone = 1;
    rdb->db->replicate = 0;

    rdb->seen_txid = 0;
    rdb->restored_txid = 0;
    ngx_litestream_sup->memory_dirty = 1;

    rdb->placed = 0;
    rdb->cleared = 0;
    rdb->kept = 0;
    rdb->lost = 0;
    rdb->fault = 0;

    ngx_memzero(&rdb->st, sizeof(ngx_litestream_db_status_t));

    ngx_litestream_status_db_write(rdb);
}
