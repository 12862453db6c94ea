
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


typedef struct {
    ngx_str_node_t               sn;
    ngx_litestream_db_t         *db;
} ngx_litestream_db_node_t;


static ngx_int_t ngx_litestream_db_path(ngx_litestream_db_ctx_t *ctx);
static ngx_int_t ngx_litestream_db_files(ngx_litestream_db_ctx_t *ctx);
static ngx_int_t ngx_litestream_db_push(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db);
static ngx_int_t ngx_litestream_db_owner(ngx_litestream_db_ctx_t *ctx);
static ngx_int_t ngx_litestream_db_access(ngx_litestream_db_ctx_t *ctx,
    ngx_uint_t exists);


/*
 * Makes the state of one pass over all litestream_db.  Its memory comes from
 * the configuration's pool.  Any process that reads the configuration.
 */

ngx_int_t
ngx_litestream_parse_init(ngx_litestream_parse_t *parse, ngx_conf_t *cf,
    ngx_litestream_conf_t *lcf)
{
    ngx_memzero(parse, sizeof(ngx_litestream_parse_t));

    parse->cf = cf;
    parse->lcf = lcf;

    ngx_rbtree_init(&parse->aliases, &parse->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&parse->files, &parse->sentinel,
                    ngx_str_rbtree_insert_value);

    return ngx_array_init(&parse->users, cf->pool, 4,
                          sizeof(ngx_litestream_user_t *));
}


/*
 * Takes what one litestream_db said and the litestream_replica that applies
 * to it, if any; returns the database, in the configuration's pool, or NULL
 * after the reason has been logged.  Looks at the file system, which may
 * block, and changes nothing there.
 */

ngx_litestream_db_t *
ngx_litestream_db_parse(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_http_litestream_said_t *replica)
{
    ngx_uint_t                 own;
    ngx_litestream_db_t       *db;
    ngx_litestream_db_ctx_t    ctx;
    ngx_litestream_group_t    *group;
    ngx_litestream_base_db_t  *bdb;

    db = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_db_t));
    if (db == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     db->outcome = NGX_LITESTREAM_OUTCOME_UNKNOWN;
     */

    db->alias = said->args[1];
    db->file = said->file;
    db->line = said->line;
    db->index = parse->lcf->dbs.nelts;

    db->mode = 0640;
    db->restore = NGX_LITESTREAM_RESTORE_IF_BACKUP;
    db->sync_interval = NGX_CONF_UNSET_MSEC;
    db->checkpoint_interval = NGX_CONF_UNSET_MSEC;
    db->busy_timeout = NGX_CONF_UNSET_MSEC;
    db->min_checkpoint_pages = NGX_CONF_UNSET;
    db->replicate = 1;
    db->background = parse->level->background;

    ngx_memzero(&ctx, sizeof(ngx_litestream_db_ctx_t));

    ctx.parse = parse;
    ctx.said = said;
    ctx.db = db;
    ctx.path = said->args[2];

    if (parse->lcf->dbs.nelts == NGX_LITESTREAM_MAX_DBS) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "too many databases, the limit is %d",
                                  NGX_LITESTREAM_MAX_DBS);
        return NULL;
    }

    if (ngx_litestream_db_alias(&ctx) != NGX_OK
        || (ngx_litestream_dir_named(&ctx.path)
            ? ngx_litestream_dir_path(&ctx)
            : ngx_litestream_db_path(&ctx))
           != NGX_OK
        || ngx_litestream_db_params(&ctx) != NGX_OK)
    {
        return NULL;
    }

    bdb = ngx_litestream_base_find(parse, &said->args[2], &ctx.url, &replica);

    db->replica = ngx_litestream_replica_parse(parse, db, said, &ctx.url,
                                               replica);
    if (db->replica == NULL) {
        return NULL;
    }

    own = (replica && replica->literal && ctx.url.len == 0);

    if (ngx_litestream_base_merge(parse, db, bdb, own) != NGX_OK) {
        return NULL;
    }

    if ((db->in ? ngx_litestream_dir_files(&ctx)
                : ngx_litestream_db_files(&ctx))
        != NGX_OK
        || ngx_litestream_db_owner(&ctx) != NGX_OK)
    {
        return NULL;
    }

    group = ngx_litestream_group_get(parse, said, ctx.user,
                                     &db->replica->type);
    if (group == NULL) {
        return NULL;
    }

    db->group = group;

    if (ngx_litestream_db_push(parse, db) != NGX_OK) {
        return NULL;
    }

    ngx_litestream_db_warn(parse, db, said, ctx.url.len ? NULL : replica);

    return db;
}


static ngx_int_t
ngx_litestream_db_push(ngx_litestream_parse_t *parse, ngx_litestream_db_t *db)
{
    ngx_litestream_db_t   **dbp;
    ngx_litestream_dir_t  **dirp;

    dbp = ngx_array_push(&parse->lcf->all);
    if (dbp == NULL) {
        return NGX_ERROR;
    }

    *dbp = db;

    if (db->in) {
        dirp = ngx_array_push(&db->group->dirs);
        if (dirp == NULL) {
            return NGX_ERROR;
        }

        *dirp = db->in;

        dirp = ngx_array_push(&parse->lcf->dirs);
        if (dirp == NULL) {
            return NGX_ERROR;
        }

        *dirp = db->in;

        return NGX_OK;
    }

    dbp = ngx_array_push(&db->group->dbs);
    if (dbp == NULL) {
        return NGX_ERROR;
    }

    *dbp = db;

    dbp = ngx_array_push(&parse->lcf->dbs);
    if (dbp == NULL) {
        return NGX_ERROR;
    }

    *dbp = db;

    return NGX_OK;
}


/* NGX_ERROR: it has been logged; else it is remembered, with its database */

ngx_int_t
ngx_litestream_db_alias(ngx_litestream_db_ctx_t *ctx)
{
    u_char               ch;
    size_t               i;
    ngx_int_t            rc;
    ngx_str_t           *alias;
    ngx_litestream_db_t  *old;

    alias = &ctx->db->alias;

    if (alias->len == 0 || alias->len > NGX_LITESTREAM_ALIAS_LEN) {
        goto invalid;
    }

    for (i = 0; i < alias->len; i++) {
        ch = alias->data[i];

        if ((ch < 'A' || ch > 'Z') && (ch < 'a' || ch > 'z')
            && (ch < '0' || ch > '9')
            && ch != '.' && ch != '_' && ch != '-')
        {
            goto invalid;
        }
    }

    rc = ngx_litestream_db_add(ctx->parse, &ctx->parse->aliases, alias,
                               ctx->db, &old);

    if (rc == NGX_DECLINED) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "database \"%V\" is duplicate (the other "
                                  "one: %s:%ui)",
                                  alias, old->file, old->line);
        return NGX_ERROR;
    }

    return rc;

invalid:

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "invalid alias \"%V\" of a database, "
                              "it must be 1 to %d of A-Z a-z 0-9 . _ -",
                              alias, NGX_LITESTREAM_ALIAS_LEN);

    return NGX_ERROR;
}


/* the path as a text, the file system is not asked */

static ngx_int_t
ngx_litestream_db_path(ngx_litestream_db_ctx_t *ctx)
{
    u_char     *p;
    char       *reason;
    ngx_str_t  *path, name;

    path = &ctx->path;

    if (path->len == 0 || path->data[0] != '/') {
        reason = "must be absolute";
        goto invalid;
    }

    if (!ngx_litestream_path_valid(path)) {
        reason = "has control characters in it";
        goto invalid;
    }

    p = path->data + path->len;

    while (p[-1] != '/') {
        p--;
    }

    name.data = p;
    name.len = path->data + path->len - p;

    if (name.len == 0
        || (name.len == 1 && name.data[0] == '.')
        || (name.len == 2 && ngx_strncmp(name.data, "..", 2) == 0))
    {
        reason = "is a directory";
        goto invalid;
    }

    if (name.len > NGX_LITESTREAM_NAME_LEN) {
        reason = "has too long a name";
        goto invalid;
    }

    if (ngx_litestream_name_beside(name.data, name.len)) {
        reason = "is a file that SQLite keeps beside a database "
                 "(-wal, -shm, -journal), not a database";
        goto invalid;
    }

    ctx->db->name = name;

    return NGX_OK;

invalid:

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "path \"%V\" of database \"%V\" %s",
                              path, &ctx->db->alias, reason);

    return NGX_ERROR;
}


/* what the path leads to, and who may go there */

static ngx_int_t
ngx_litestream_db_files(ngx_litestream_db_ctx_t *ctx)
{
    u_char                *p;
    char                  *reason;
    ngx_int_t              rc;
    ngx_err_t              err;
    ngx_log_t             *log;
    ngx_str_t              key, real;
    ngx_uint_t             exists;
    ngx_pool_t            *pool;
    ngx_file_info_t        fi, di;
    ngx_litestream_db_t   *db, *old;

    db = ctx->db;
    log = ctx->parse->cf->log;
    pool = ctx->parse->cf->pool;

    if (ngx_litestream_real_path(pool, &ctx->path, &real) != NGX_OK) {
        ngx_litestream_said_error(log, ctx->said, ngx_errno,
                                  "path \"%V\" of database \"%V\" "
                                  "cannot be resolved",
                                  &ctx->path, &db->alias);
        return NGX_ERROR;
    }

    if (db->replicate && !ngx_litestream_path_uri(real.data, real.len)) {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" has \"?\", "
                                  "\"#\" or \"%%\" in it, which Litestream "
                                  "does not open", &real, &db->alias);
        return NGX_ERROR;
    }

    for (p = real.data + real.len; p[-1] != '/'; p--) { /* void */ }

    db->path = real;
    db->id = ngx_litestream_id(&db->path);

    db->name.data = p;
    db->name.len = real.data + real.len - p;

    db->dir.len = ngx_max(p - 1 - real.data, 1);
    db->dir.data = ngx_pnalloc(pool, db->dir.len + 1);
    if (db->dir.data == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(db->dir.data, real.data, db->dir.len + 1);

    if (ngx_file_info(db->dir.data, &di) == NGX_FILE_ERROR) {
        err = ngx_errno;

        if (err == NGX_ENOENT) {
            return ngx_litestream_db_missing(ctx);
        }

        if (err == NGX_EACCES && geteuid() != 0) {

            /* as a plain user: tell what refuses */

            if (ngx_litestream_db_user(ctx, NULL, NULL) != NGX_OK) {
                return NGX_ERROR;
            }

            return ngx_litestream_db_access(ctx, 0);
        }

        ngx_litestream_said_error(log, ctx->said, err,
                                  "directory \"%V\" of database \"%V\" "
                                  "cannot be used, stat() failed",
                                  &db->dir, &db->alias);
        return NGX_ERROR;
    }

    if (!ngx_is_dir(&di)) {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "\"%V\" of database \"%V\" "
                                  "is not a directory",
                                  &db->dir, &db->alias);
        return NGX_ERROR;
    }

    exists = 1;

    if (ngx_file_info(db->path.data, &fi) == NGX_FILE_ERROR) {
        err = ngx_errno;

        if (err != NGX_ENOENT && (err != NGX_EACCES || geteuid() == 0)) {
            ngx_litestream_said_error(log, ctx->said, err,
                                      "\"%V\" of database \"%V\" cannot be "
                                      "used, stat() failed",
                                      &db->path, &db->alias);
            return NGX_ERROR;
        }

        exists = 0;
    }

    if (exists && !ngx_is_file(&fi)) {
        reason = ngx_is_dir(&fi) ? "is a directory" : "is not a regular file";

        ngx_litestream_said_error(log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" %s",
                                  &ctx->path, &db->alias, reason);
        return NGX_ERROR;
    }

    rc = ngx_litestream_db_add(ctx->parse, &ctx->parse->files, &db->path, db,
                               &old);

    if (rc == NGX_OK && exists && fi.st_nlink > 1) {

        /* another name of the same file: neither is a path, no clash */

        key.data = ngx_pnalloc(pool, 2 * NGX_INT64_LEN + 1);
        if (key.data == NULL) {
            return NGX_ERROR;
        }

        key.len = ngx_sprintf(key.data, "%uL:%uL", (uint64_t) fi.st_dev,
                              (uint64_t) fi.st_ino)
                  - key.data;

        rc = ngx_litestream_db_add(ctx->parse, &ctx->parse->files, &key, db,
                                   &old);
    }

    if (rc == NGX_DECLINED) {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" is "
                                  "duplicate, it is the file of database "
                                  "\"%V\" (%s:%ui)",
                                  &ctx->path, &db->alias, &old->alias,
                                  old->file, old->line);
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_litestream_db_user(ctx, exists ? &fi : &di,
                               exists ? &db->path : &db->dir)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_litestream_db_access(ctx, exists);
}


/*
 * ctx->user: who works with the database.  fi is that of the file of that name.
 */

ngx_int_t
ngx_litestream_db_user(ngx_litestream_db_ctx_t *ctx, ngx_file_info_t *fi,
    ngx_str_t *name)
{
    ngx_litestream_parse_t  *parse;

    parse = ctx->parse;

    if (parse->level->user) {
        ctx->user = parse->level->user;
        return NGX_OK;
    }

    if (geteuid() != 0) {
        ctx->user = ngx_litestream_user_get(parse, NULL, geteuid(), getegid());

    } else if (fi->st_uid == 0) {
        ngx_litestream_said_error(parse->cf->log, ctx->said, 0,
                                  "user for database \"%V\" cannot be told, "
                                  "\"%V\" is owned by root: root is not "
                                  "guessed, say \"litestream_user root;\" or "
                                  "give it to the application's user",
                                  &ctx->db->alias, name);
        return NGX_ERROR;

    } else {
        ctx->user = ngx_litestream_user_get(parse, NULL, fi->st_uid,
                                            fi->st_gid);
    }

    return ctx->user ? NGX_OK : NGX_ERROR;
}


/* the directory is missing: says the command that makes it */

ngx_int_t
ngx_litestream_db_missing(ngx_litestream_db_ctx_t *ctx)
{
    u_char                 *p, *name;
    ngx_str_t               user, group;
    ngx_file_info_t         fi;
    ngx_litestream_db_t    *db;
    ngx_litestream_user_t  *lu;

    db = ctx->db;
    lu = ctx->parse->level->user;

    ngx_str_set(&user, "USER");
    ngx_str_set(&group, "GROUP");

    if (lu == NULL && geteuid() != 0) {
        lu = ngx_litestream_user_get(ctx->parse, NULL, geteuid(), getegid());
        if (lu == NULL) {
            return NGX_ERROR;
        }
    }

    if (lu == NULL && ctx->owner.len) {
        lu = ngx_litestream_user_find(ctx->parse, ctx->said, &ctx->owner,
                                      ctx->owner_group.len ? &ctx->owner_group
                                                           : NULL);
        if (lu == NULL) {
            return NGX_ERROR;
        }
    }

    if (lu == NULL) {

        /* the owner of what there is above it, unless that is root */

        name = ngx_pnalloc(ctx->parse->cf->pool, db->dir.len + 1);
        if (name == NULL) {
            return NGX_ERROR;
        }

        ngx_cpystrn(name, db->dir.data, db->dir.len + 1);

        for (p = name + db->dir.len; p > name; p--) {

            if (*p != '/') {
                continue;
            }

            *p = '\0';

            if (ngx_file_info(name, &fi) == NGX_FILE_ERROR) {
                continue;
            }

            if (fi.st_uid != 0) {
                lu = ngx_litestream_user_get(ctx->parse, NULL, fi.st_uid,
                                             fi.st_gid);
                if (lu == NULL) {
                    return NGX_ERROR;
                }
            }

            break;
        }
    }

    if (lu) {
        user = lu->user;
        group = lu->group;
    }

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "directory \"%V\" of database \"%V\" does not "
                              "exist, make it: install -d -o %V -g %V %V%s",
                              &db->dir, &db->alias, &user, &group, &db->dir,
                              ngx_litestream_systemd_hint());

    return NGX_ERROR;
}


/* a directory that root sees, but a unit does not let it use, is read-only */

static ngx_int_t
ngx_litestream_db_access(ngx_litestream_db_ctx_t *ctx, ngx_uint_t exists)
{
    char                   *what;
    ngx_str_t               refuses;
    ngx_file_info_t         fi;
    ngx_litestream_db_t    *db;
    ngx_litestream_user_t  *user;

    db = ctx->db;
    user = ctx->user;

    if (!ngx_litestream_may_search(user, &db->path, &refuses, &fi)) {
        what = "searchable";
        goto refused;
    }

    refuses = db->dir;

    if (ngx_file_info(db->dir.data, &fi) == NGX_FILE_ERROR) {
        what = "readable";
        goto refused;
    }

    if (access((char *) db->dir.data, W_OK) == -1 && ngx_errno == EROFS) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, EROFS,
                                  "directory \"%V\" of database \"%V\" is "
                                  "not writable%s",
                                  &db->dir, &db->alias,
                                  ngx_litestream_systemd_hint());
        return NGX_ERROR;
    }

    if (!ngx_litestream_may(user, db->dir.data, &fi,
                            NGX_LITESTREAM_WRITE|NGX_LITESTREAM_SEARCH))
    {
        what = "writable";
        goto refused;
    }

    if (!exists) {
        return NGX_OK;
    }

    refuses = db->path;

    if (ngx_file_info(db->path.data, &fi) == NGX_FILE_ERROR) {
        what = "readable";
        goto refused;
    }

    if (!ngx_litestream_may(user, db->path.data, &fi,
                            NGX_LITESTREAM_READ|NGX_LITESTREAM_WRITE))
    {
        what = "readable and writable";
        goto refused;
    }

    return NGX_OK;

refused:

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "database \"%V\" cannot be used by user \"%V\" "
                              "(uid %ui, gid %ui): permission denied, "
                              "\"%V\" is not %s for it "
                              "(mode %04ui, uid %ui, gid %ui)",
                              &db->alias, &user->user,
                              (ngx_uint_t) user->uid, (ngx_uint_t) user->gid,
                              &refuses, what,
                              ngx_litestream_octal(fi.st_mode),
                              (ngx_uint_t) fi.st_uid, (ngx_uint_t) fi.st_gid);

    return NGX_ERROR;
}


static ngx_int_t
ngx_litestream_db_owner(ngx_litestream_db_ctx_t *ctx)
{
    gid_t                  *gid;
    ngx_log_t              *log;
    ngx_uint_t              i;
    ngx_litestream_db_t    *db;
    ngx_litestream_user_t  *owner, *user;

    db = ctx->db;
    user = ctx->user;
    log = ctx->parse->cf->log;

    owner = user;

    if (ctx->owner.len) {
        owner = ngx_litestream_user_find(ctx->parse, ctx->said, &ctx->owner,
                                         ctx->owner_group.len
                                         ? &ctx->owner_group : NULL);
        if (owner == NULL) {
            return NGX_ERROR;
        }

        if (geteuid() != 0) {

            if (owner->uid != geteuid()) {
                ngx_litestream_said_error(log, ctx->said, 0,
                                          "owner \"%V\" of database \"%V\" "
                                          "needs nginx to be started as root, "
                                          "it runs as uid %ui",
                                          &ctx->owner, &db->alias,
                                          (ngx_uint_t) geteuid());
                return NGX_ERROR;
            }

            gid = user->gids.elts;

            for (i = 0; i < user->gids.nelts; i++) {
                if (gid[i] == owner->gid) {
                    break;
                }
            }

            if (i == user->gids.nelts) {
                ngx_litestream_said_error(log, ctx->said, 0,
                                          "group \"%V\" of database \"%V\" "
                                          "is none of uid %ui",
                                          &owner->group, &db->alias,
                                          (ngx_uint_t) geteuid());
                return NGX_ERROR;
            }
        }
    }

    db->owner = owner->uid;
    db->owner_group = owner->gid;

    if (db->restore != NGX_LITESTREAM_RESTORE_OFF
        && !ngx_litestream_mode(user, db->owner, db->owner_group, db->mode,
                                NGX_LITESTREAM_READ|NGX_LITESTREAM_WRITE))
    {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "database \"%V\", once restored with owner "
                                  "%ui:%ui and mode %04ui, would not be "
                                  "readable and writable for user \"%V\" "
                                  "(uid %ui, gid %ui) that replicates it",
                                  &db->alias, (ngx_uint_t) db->owner,
                                  (ngx_uint_t) db->owner_group,
                                  ngx_litestream_octal(db->mode),
                                  &user->user, (ngx_uint_t) user->uid,
                                  (ngx_uint_t) user->gid);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_DECLINED: the key is there, old is its database */

ngx_int_t
ngx_litestream_db_add(ngx_litestream_parse_t *parse, ngx_rbtree_t *tree,
    ngx_str_t *key, ngx_litestream_db_t *db, ngx_litestream_db_t **old)
{
    uint32_t                   hash;
    ngx_str_node_t            *sn;
    ngx_litestream_db_node_t  *node;

    hash = ngx_crc32_long(key->data, key->len);

    sn = ngx_str_rbtree_lookup(tree, key, hash);

    if (sn) {
        *old = ((ngx_litestream_db_node_t *) sn)->db;
        return NGX_DECLINED;
    }

    node = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_db_node_t));
    if (node == NULL) {
        return NGX_ERROR;
    }

    node->sn.node.key = hash;
    node->sn.str = *key;
    node->db = db;

    ngx_rbtree_insert(tree, &node->sn.node);

    return NGX_OK;
}
