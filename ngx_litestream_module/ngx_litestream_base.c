
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * litestream_base_config: a litestream.yml of the user's.  What it says of
 * databases that nginx.conf has, too, counts where nginx.conf is silent; its
 * other databases are adopted as if they had a litestream_db.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "ngx_litestream_base.h"


#define NGX_LITESTREAM_BASE_LIMIT  (4 * 1024 * 1024)


static ngx_int_t ngx_litestream_base_file(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_http_litestream_said_t *said,
    ngx_str_t *name, ngx_str_t *text);
static ngx_int_t ngx_litestream_base_top(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *root);
static ngx_int_t ngx_litestream_base_db(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map);
static ngx_int_t ngx_litestream_base_path(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map);
static ngx_int_t ngx_litestream_base_dir(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map);
static ngx_int_t ngx_litestream_base_snapshot(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *own);
static ngx_int_t ngx_litestream_base_history(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map);


/*
 * Reads the file of litestream_base_config, if there is one: lcf->base.
 * NGX_ERROR: it has been logged.  Any process that reads the configuration,
 * may block on the file system.
 */

ngx_int_t
ngx_litestream_base_read(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said)
{
    char                        *reason;
    ngx_int_t                    rc;
    ngx_md5_t                    md5;
    ngx_str_t                    text, name;
    ngx_litestream_base_t       *base;
    ngx_litestream_node_t       *root;
    ngx_http_litestream_said_t   place;

    if (said->file == NULL) {
        return NGX_OK;
    }

    base = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_base_t));
    if (base == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&base->dbs, parse->cf->pool, 4,
                       sizeof(ngx_litestream_base_db_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (said->nargs == 3) {

        if (ngx_strcmp(said->args[2].data, "unknown=pass") != 0) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid parameter \"%V\"",
                                      &said->args[2]);
            return NGX_ERROR;
        }

        base->pass = 1;
    }

    base->vars = said->vars;

    name = said->args[1];

    if (ngx_conf_full_name(parse->cf->cycle, &name, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    base->file = name;

    if (ngx_litestream_base_file(parse, base, said, &name, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    root = NULL;
    reason = NULL;

    ngx_memzero(&place, sizeof(ngx_http_litestream_said_t));
    place.file = name.data;

    rc = ngx_litestream_tree_read(parse->cf->pool, text.data, text.len, &root,
                                  &place.line, &reason);

    if (rc == NGX_DECLINED) {
        ngx_litestream_said_error(parse->cf->log, &place, 0,
                                  "invalid \"litestream_base_config\": %s",
                                  reason);
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_md5_init(&md5);

    if (root
        && (ngx_litestream_base_check(parse, base, root, &md5) != NGX_OK
            || ngx_litestream_base_top(parse, base, root) != NGX_OK))
    {
        return NGX_ERROR;
    }

    ngx_md5_final(base->digest, &md5);

    parse->lcf->base = base;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_base_file(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_http_litestream_said_t *said,
    ngx_str_t *name, ngx_str_t *text)
{
    int               fd;
    char             *call;
    ssize_t           n;
    ngx_err_t         err;
    ngx_int_t         rc;
    ngx_file_info_t   fi;

    rc = NGX_ERROR;

    fd = open((char *) name->data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        ngx_litestream_said_error(parse->cf->log, said, ngx_errno,
                                  "open() \"%V\" failed", name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        call = "fstat()";
        goto failed;
    }

    if (!ngx_is_file(&fi)) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"%V\" is not a regular file", name);
        goto done;
    }

    base->mode = fi.st_mode;

    /* it may grow meanwhile */

    text->data = ngx_pnalloc(parse->cf->pool,
                             ngx_min(ngx_file_size(&fi),
                                     NGX_LITESTREAM_BASE_LIMIT) + 1);
    if (text->data == NULL) {
        goto done;
    }

    text->len = 0;

    do {
        n = read(fd, text->data + text->len,
                 ngx_min(ngx_file_size(&fi), NGX_LITESTREAM_BASE_LIMIT) + 1
                 - text->len);

        if (n == -1) {
            call = "read()";
            goto failed;
        }

        text->len += n;

        if ((off_t) text->len > ngx_min(ngx_file_size(&fi),
                                        NGX_LITESTREAM_BASE_LIMIT))
        {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "\"%V\" is too large, or grows: "
                                      "the limit is %d bytes", name,
                                      NGX_LITESTREAM_BASE_LIMIT);
            goto done;
        }

    } while (n > 0);

    rc = NGX_OK;

    goto done;

failed:

    err = ngx_errno;

    ngx_litestream_said_error(parse->cf->log, said, err, "%s \"%V\" failed",
                              call, name);

done:

    (void) close(fd);

    return rc;
}


/* sorts the members of the file, all of which have been checked */

static ngx_int_t
ngx_litestream_base_top(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *root)
{
    ngx_pool_t             *pool;
    ngx_litestream_node_t  *node, *dbs, **list;

    pool = parse->cf->pool;
    dbs = NULL;

    for (node = root->child; node; node = node->next) {

        if (node->type == NGX_LITESTREAM_NODE_NULL) {
            continue;
        }

        if (ngx_strcmp(node->name.data, "dbs") == 0) {
            dbs = node;
            continue;
        }

        if (ngx_strcmp(node->name.data, "logging") == 0) {
            base->logging = node;
            continue;
        }

        list = ngx_litestream_base_setting(&node->name) ? &base->settings
                                                      : &base->keys;

        if (ngx_litestream_base_link(pool, list, node) == NULL) {
            return NGX_ERROR;
        }
    }

    if (dbs == NULL) {
        return NGX_OK;
    }

    for (node = dbs->child; node; node = node->next) {
        if (ngx_litestream_base_db(parse, base, node) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_base_db(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map)
{
    ngx_pool_t                *pool;
    ngx_litestream_node_t     *node, *replica;
    ngx_litestream_base_db_t  *bdb, **elt;

    pool = parse->cf->pool;

    bdb = ngx_pcalloc(pool, sizeof(ngx_litestream_base_db_t));
    if (bdb == NULL) {
        return NGX_ERROR;
    }

    if (ngx_litestream_base_path(parse, base, bdb, map) != NGX_OK) {
        return NGX_ERROR;
    }

    replica = NULL;

    for (node = map->child; node; node = node->next) {

        if (node->type == NGX_LITESTREAM_NODE_NULL
            || ngx_litestream_base_word(&node->name,
                                        "path dir pattern recursive watch"))
        {
            continue;
        }

        if (ngx_strcmp(node->name.data, "snapshot") == 0) {

            if (ngx_litestream_base_snapshot(parse, base, node) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(node->name.data, "replica") == 0
            || ngx_strcmp(node->name.data, "replicas") == 0)
        {
            if (replica) {
                ngx_litestream_base_error(parse, base, node->line,
                                          "both \"replica\" and \"replicas\" "
                                          "of a database");
                return NGX_ERROR;
            }

            replica = node;

            if (node->type != NGX_LITESTREAM_NODE_LIST) {
                continue;
            }

            /* the old form */

            replica = node->child;

            if (replica && replica->next) {
                ngx_litestream_base_error(parse, base, replica->next->line,
                                          "a database has one replica only");
                return NGX_ERROR;
            }

            continue;
        }

        if (ngx_litestream_base_link(pool, &bdb->keys, node) == NULL) {
            return NGX_ERROR;
        }
    }

    if (replica
        && (ngx_litestream_base_history(parse, base, replica) != NGX_OK
            || ngx_litestream_base_replica(parse, base, bdb, replica)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    elt = ngx_array_push(&base->dbs);
    if (elt == NULL) {
        return NGX_ERROR;
    }

    *elt = bdb;

    return NGX_OK;
}


/* a file, or the files of a directory */

static ngx_int_t
ngx_litestream_base_path(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map)
{
    ngx_uint_t              i;
    ngx_pool_t             *pool;
    ngx_litestream_node_t  *node, *path;

    static char  *names[] = { "pattern", "recursive", "watch", NULL };

    pool = parse->cf->pool;

    path = ngx_litestream_tree_get(map, "path");
    node = ngx_litestream_tree_get(map, "dir");

    if (node && node->value.len) {

        if (path && path->value.len) {
            ngx_litestream_base_error(parse, base, path->line,
                                      "both \"path\" and \"dir\" of a "
                                      "database");
            return NGX_ERROR;
        }

        bdb->dir = node->value;
        bdb->line = node->line;

        return ngx_litestream_base_dir(parse, base, bdb, map);
    }

    for (i = 0; names[i]; i++) {

        node = ngx_litestream_tree_get(map, names[i]);

        if (node && node->value.len) {
            ngx_litestream_base_error(parse, base, node->line,
                                      "\"%s\" without \"dir\"", names[i]);
            return NGX_ERROR;
        }
    }

    if (path == NULL || path->value.len == 0) {
        ngx_litestream_base_error(parse, base, map->line,
                                  "a database has no \"path\"");
        return NGX_ERROR;
    }

    bdb->path = path->value;
    bdb->line = path->line;

    if (ngx_strlchr(bdb->path.data, bdb->path.data + bdb->path.len, '*')
        || bdb->path.data[0] == '~')
    {
        ngx_litestream_base_error(parse, base, path->line,
                                  "path \"%V\" must be that of a file: say "
                                  "\"dir\" and \"pattern\"", &bdb->path);
        return NGX_ERROR;
    }

    if (bdb->path.data[0] == '/'
        && ngx_litestream_path_valid(&bdb->path)
        && ngx_litestream_real_path(pool, &bdb->path, &bdb->real) != NGX_OK)
    {
        /* litestream_db says what is wrong with it */

        ngx_str_null(&bdb->real);
    }

    return NGX_OK;
}


/* dir, pattern and recursive as the path of a litestream_db */

static ngx_int_t
ngx_litestream_base_dir(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map)
{
    u_char                 *p;
    ngx_str_t              *dir;
    ngx_litestream_node_t  *pattern, *deep;

    dir = &bdb->dir;

    pattern = ngx_litestream_tree_get(map, "pattern");

    if (pattern == NULL || pattern->value.len == 0) {
        ngx_litestream_base_error(parse, base, bdb->line,
                                  "directory \"%V\" has no \"pattern\", "
                                  "such as \"*.sqlite3\"", dir);
        return NGX_ERROR;
    }

    /* of Litestream's characters for patterns */

    for (p = pattern->value.data; *p; p++) {
        if (*p == '?' || *p == '[' || *p == '\\' || *p == '/') {
            ngx_litestream_base_error(parse, base, pattern->line,
                                      "\"%c\" in pattern \"%V\": there is "
                                      "\"*\" only", *p, &pattern->value);
            return NGX_ERROR;
        }
    }

    if (dir->data[0] == '~'
        || ngx_strlchr(dir->data, dir->data + dir->len, '*'))
    {
        ngx_litestream_base_error(parse, base, bdb->line,
                                  "directory \"%V\" must be that of the "
                                  "databases, \"pattern\" their names", dir);
        return NGX_ERROR;
    }

    while (dir->len > 1 && dir->data[dir->len - 1] == '/') {
        dir->len--;
    }

    deep = ngx_litestream_tree_get(map, "recursive");

    p = ngx_pnalloc(parse->cf->pool,
                    dir->len + pattern->value.len + sizeof("/**/"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    bdb->path.data = p;

    p = ngx_sprintf(p, "%V%s%V%Z", dir,
                    (deep && deep->value.len
                     && ngx_litestream_base_bool(&deep->value) == 1)
                    ? "/**/" : "/", &pattern->value);

    bdb->path.len = p - 1 - bdb->path.data;

    if (ngx_strlchr(pattern->value.data,
                    pattern->value.data + pattern->value.len, '*')
        == NULL
        && (deep == NULL || ngx_litestream_base_bool(&deep->value) != 1))
    {
        ngx_litestream_base_error(parse, base, pattern->line,
                                  "pattern \"%V\" means one file: say it by "
                                  "\"path\"", &pattern->value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Litestream takes what one database says for all of them, unless the file
 * says it for all, and refuses two that do not agree
 */

static ngx_int_t
ngx_litestream_base_snapshot(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *own)
{
    ngx_str_t               name;
    ngx_litestream_node_t  *node, *all, *same, **list;

    ngx_str_set(&name, "snapshot");

    for (node = own->child; node; node = node->next) {

        if (node->type == NGX_LITESTREAM_NODE_NULL) {
            continue;
        }

        same = ngx_litestream_base_named(base->snapshots, &node->name);

        if (same == NULL) {
            if (ngx_litestream_base_link(parse->cf->pool, &base->snapshots,
                                         node)
                == NULL)
            {
                return NGX_ERROR;
            }

        } else if (ngx_litestream_base_duration(&same->value)
                   != ngx_litestream_base_duration(&node->value))
        {
            ngx_litestream_base_error(parse, base, node->line,
                                      "snapshot \"%V\" of a database differs "
                                      "from that of another one (line %ui), "
                                      "Litestream has one for all",
                                      &node->name, same->line);
            return NGX_ERROR;
        }

        all = ngx_litestream_base_named(base->keys, &name);

        if (all == NULL) {
            all = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_node_t));
            if (all == NULL) {
                return NGX_ERROR;
            }

            all->name = name;
            all->line = own->line;
            all->type = NGX_LITESTREAM_NODE_MAP;

            all = ngx_litestream_base_link(parse->cf->pool, &base->keys, all);
            if (all == NULL) {
                return NGX_ERROR;
            }
        }

        list = &all->child;

        if (ngx_litestream_base_named(*list, &node->name) == NULL
            && ngx_litestream_base_link(parse->cf->pool, list, node) == NULL)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* how Litestream 0.3 says what is "snapshot" of a database in 0.5 */

static ngx_int_t
ngx_litestream_base_history(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map)
{
    ngx_uint_t              i;
    ngx_litestream_node_t  *node, own, key;

    static struct {
        char       *old;
        ngx_str_t   name;
    } names[] = {
        { "snapshot-interval", ngx_string("interval") },
        { "retention", ngx_string("retention") },
        { NULL, ngx_null_string }
    };

    for (i = 0; names[i].old; i++) {

        node = ngx_litestream_tree_get(map, names[i].old);

        if (node == NULL || node->type == NGX_LITESTREAM_NODE_NULL) {
            continue;
        }

        key = *node;
        key.name = names[i].name;
        key.next = NULL;

        ngx_memzero(&own, sizeof(ngx_litestream_node_t));

        own.line = node->line;
        own.child = &key;

        if (ngx_litestream_base_snapshot(parse, base, &own) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Puts a copy of node at the end of a list; the copy, or NULL: no memory.
 */

ngx_litestream_node_t *
ngx_litestream_base_link(ngx_pool_t *pool, ngx_litestream_node_t **list,
    ngx_litestream_node_t *node)
{
    ngx_litestream_node_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_litestream_node_t));
    if (copy == NULL) {
        return NULL;
    }

    *copy = *node;
    copy->next = NULL;

    while (*list) {
        list = &(*list)->next;
    }

    *list = copy;

    return copy;
}


ngx_litestream_node_t *
ngx_litestream_base_named(ngx_litestream_node_t *list, ngx_str_t *name)
{
    for ( /* void */ ; list; list = list->next) {

        if (list->name.len == name->len
            && ngx_memcmp(list->name.data, name->data, name->len) == 0)
        {
            return list;
        }
    }

    return NULL;
}
