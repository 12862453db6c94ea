
/*
 * Copyright (C) the ngx_litestream authors
 */


/* replicas of litestream_base_config: keys as what litestream_replica says */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


static ngx_int_t ngx_litestream_base_url(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map, ngx_str_t *url);
static ngx_int_t ngx_litestream_base_beside(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map, ngx_str_t *url);
static ngx_str_t *ngx_litestream_base_place(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map, char *key);
static ngx_int_t ngx_litestream_base_build(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map,
    ngx_str_t *scheme, ngx_str_t *where, ngx_str_t *path, ngx_str_t *url);
static ngx_int_t ngx_litestream_base_sort(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map);


/*
 * The replica of a database as litestream_replica would say it: bdb->replica,
 * and bdb->params and bdb->settings of what else there is.  NGX_ERROR: it has
 * been logged.  Whoever reads the configuration, does not block.
 */

ngx_int_t
ngx_litestream_base_replica(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map)
{
    ngx_str_t  *args;

    args = ngx_pcalloc(parse->cf->pool, 2 * sizeof(ngx_str_t));
    if (args == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&args[0], "replica");

    bdb->replica.args = args;
    bdb->replica.nargs = 2;
    bdb->replica.file = base->file.data;
    bdb->replica.line = map->line;
    bdb->replica.vars = base->vars;
    bdb->replica.literal = 1;

    if (ngx_litestream_base_url(parse, base, bdb, map, &args[1]) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_litestream_base_sort(parse, base, bdb, map);
}


/* type, bucket, host and path as the URL that stands for them in nginx.conf */

static ngx_int_t
ngx_litestream_base_url(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map, ngx_str_t *url)
{
    u_char                 *p;
    ngx_int_t               rc;
    ngx_str_t               scheme, *known, none, *where;
    ngx_litestream_node_t  *node, *type, *path;

    type = ngx_litestream_tree_get(map, "type");
    path = ngx_litestream_tree_get(map, "path");
    node = ngx_litestream_tree_get(map, "url");

    if (node && node->value.len) {

        *url = node->value;

        p = ngx_strlchr(url->data, url->data + url->len, ':');

        scheme.data = url->data;
        scheme.len = p ? p - url->data : 0;

        known = ngx_litestream_replica_type(&scheme);

        bdb->type = known ? *known : scheme;

        rc = ngx_litestream_base_beside(parse, base, map, url);

        if (rc != NGX_OK || p) {
            return rc;
        }

        /* Litestream takes it for a path */

        path = node;
        ngx_str_set(&scheme, "file");

    } else if (type && type->value.len) {
        scheme = type->value;

    } else {
        ngx_str_set(&scheme, "file");
    }

    bdb->type = scheme;

    where = &none;
    ngx_str_null(&none);

    if (ngx_strcmp(scheme.data, "nats") == 0) {
        ngx_litestream_base_error(parse, base, map->line,
                                  "a replica of type \"nats\" has no \"url\", "
                                  "Litestream would go to 127.0.0.1:4222: say "
                                  "\"url: nats://HOST/BUCKET\"");
        return NGX_ERROR;
    }

    if (ngx_strcmp(scheme.data, "sftp") == 0) {
        where = ngx_litestream_base_place(parse, base, map, "host");

    } else if (ngx_strcmp(scheme.data, "webdav") == 0) {
        where = ngx_litestream_base_place(parse, base, map, "webdav-url");

    } else if (ngx_strcmp(scheme.data, "file") != 0
               && ngx_litestream_replica_type(&scheme))
    {
        where = ngx_litestream_base_place(parse, base, map, "bucket");
    }

    if (where == NULL) {

        /* a part of the path would be taken for it */

        ngx_litestream_base_error(parse, base, map->line,
                                  "a replica of type \"%V\" has no \"%s\"",
                                  &scheme,
                                  ngx_strcmp(scheme.data, "sftp") == 0
                                  ? "host"
                                  : ngx_strcmp(scheme.data, "webdav") == 0
                                    ? "webdav-url" : "bucket");
        return NGX_ERROR;
    }

    return ngx_litestream_base_build(parse, base, map, &scheme, where,
                                     path ? &path->value : &none, url);
}


/* what cannot be said beside "url"; of nats the bucket can */

static ngx_int_t
ngx_litestream_base_beside(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map, ngx_str_t *url)
{
    u_char                 *p, *start;
    ngx_str_t              *value;
    ngx_uint_t              i, nats;
    ngx_litestream_node_t  *node;

    static char  *names[] = {
        "path", "bucket", "host", "webdav-url", NULL
    };

    for (i = 0; names[i]; i++) {

        node = ngx_litestream_tree_get(map, names[i]);
        value = (node && node->value.len) ? &node->value : NULL;

        nats = (ngx_strcmp(names[i], "bucket") == 0
                && ngx_strncmp(url->data, "nats://", 7) == 0);

        if (nats && value == NULL) {
            value = ngx_litestream_base_place(parse, base, map, names[i]);
        }

        if (value == NULL) {
            continue;
        }

        if (nats) {
            start = url->data + 7;

            while (url->data[url->len - 1] == '/' && url->len > 7) {
                url->len--;
            }

            if (ngx_strlchr(start, url->data + url->len, '/') == NULL) {

                p = ngx_pnalloc(parse->cf->pool,
                                url->len + value->len + 2);
                if (p == NULL) {
                    return NGX_ERROR;
                }

                start = p;
                p = ngx_sprintf(p, "%V/%V%Z", url, value);

                url->data = start;
                url->len = p - 1 - start;

                continue;
            }

            if (node == NULL) {

                /* of all, while this one has its own */

                continue;
            }
        }

        ngx_litestream_base_error(parse, base, node->line,
                                  "both \"url\" and \"%s\" of a replica",
                                  names[i]);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* of the replica, else of all; NULL: nowhere */

static ngx_str_t *
ngx_litestream_base_place(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map, char *key)
{
    ngx_str_t               name;
    ngx_litestream_node_t  *node;

    node = ngx_litestream_tree_get(map, key);

    if (node == NULL || node->value.len == 0) {
        name.data = (u_char *) key;
        name.len = ngx_strlen(key);

        node = ngx_litestream_base_named(base->settings, &name);
    }

    return node && node->value.len ? &node->value : NULL;
}


static ngx_int_t
ngx_litestream_base_build(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *map,
    ngx_str_t *scheme, ngx_str_t *where, ngx_str_t *path, ngx_str_t *url)
{
    char                  *reason, *before, *after;
    u_char                *p;
    uintptr_t              escaped;
    ngx_str_t              place, dir, rest;
    ngx_uint_t             escape, home;
    ngx_litestream_url_t   u;

    ngx_str_null(&dir);

    rest = *path;
    place = *where;
    before = "";
    after = "";

    /* of s3 and file a path is taken as it is */

    escape = (where->len && ngx_strcmp(scheme->data, "s3") != 0);
    home = 0;

    if (ngx_strcmp(scheme->data, "sftp") == 0) {

        for (p = place.data; *p; p++) {
            if (*p == '/' || *p == '@' || *p == '?' || *p == '#') {
                ngx_litestream_base_error(parse, base, map->line,
                                          "\"host\" must be HOST[:PORT]");
                return NGX_ERROR;
            }
        }

        /* "::1" */

        p = ngx_strlchr(place.data, p, ':');

        if (p && place.data[0] != '['
            && ngx_strlchr(p + 1, place.data + place.len, ':'))
        {
            before = "[";
            after = "]";
        }

        home = (rest.len && rest.data[0] != '/');

    } else if (ngx_strcmp(scheme->data, "webdav") == 0) {

        reason = ngx_litestream_url_parse(parse->cf->pool, where, &u);

        if (reason == NGX_CONF_ERROR) {
            return NGX_ERROR;
        }

        if (reason) {
            ngx_litestream_base_error(parse, base, map->line,
                                      "invalid \"webdav-url\": %s", reason);
            return NGX_ERROR;
        }

        if (u.scheme.len == 5) {
            ngx_str_set(scheme, "webdavs");
        }

        place = u.host;
        dir = u.path;

        while (dir.len && dir.data[dir.len - 1] == '/') {
            dir.len--;
        }
    }

    if (where->len) {
        while (rest.len && rest.data[0] == '/') {
            rest.data++;
            rest.len--;
        }
    }

    escaped = escape ? ngx_escape_uri(NULL, rest.data, rest.len,
                                      NGX_ESCAPE_URI)
                     : 0;

    p = ngx_pnalloc(parse->cf->pool, scheme->len + sizeof("://[]/~//")
                                     + place.len + dir.len + rest.len
                                     + 2 * escaped);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->data = p;

    p = ngx_sprintf(p, "%V://%s%V%s%V", scheme, before, &place, after, &dir);

    if (where->len && (rest.len || dir.len == 0)) {
        p = ngx_sprintf(p, "%s", home ? "/~/" : "/");
    }

    if (escaped) {
        p = (u_char *) ngx_escape_uri(p, rest.data, rest.len, NGX_ESCAPE_URI);

    } else {
        p = ngx_cpymem(p, rest.data, rest.len);
    }

    *p = '\0';
    url->len = p - url->data;

    return NGX_OK;
}


/* what is a parameter in nginx.conf, and what is Litestream's alone */

static ngx_int_t
ngx_litestream_base_sort(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map)
{
    ngx_uint_t               kind;
    ngx_litestream_node_t   *node, **list;

    for (node = map->child; node; node = node->next) {

        if (node->type == NGX_LITESTREAM_NODE_NULL) {
            continue;
        }

        kind = ngx_litestream_base_of(&node->name, &bdb->type);

        if (kind == NGX_LITESTREAM_BASE_URL) {
            continue;
        }

        if (kind == NGX_LITESTREAM_BASE_OTHER && !base->pass) {
            ngx_litestream_base_foreign(parse, base, node, &bdb->type);
            return NGX_ERROR;
        }

        list = ngx_litestream_base_is_param(node, kind) ? &bdb->params
                                                        : &bdb->settings;

        if (ngx_litestream_base_link(parse->cf->pool, list, node) == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * 1: a value of that kind (NGX_LITESTREAM_BASE_XXX) is what a parameter of
 * litestream_replica says.
 */

ngx_uint_t
ngx_litestream_base_is_param(ngx_litestream_node_t *node, ngx_uint_t kind)
{
    return kind == NGX_LITESTREAM_BASE_TYPE
           && node->type == NGX_LITESTREAM_NODE_SCALAR;
}
