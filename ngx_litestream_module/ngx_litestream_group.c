
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


/*
 * A Litestream connects to all its SFTP servers at once, and ends when one of
 * them does not take it: sshd drops connections when more than ten have not
 * logged in yet (MaxStartups 10:30:100)
 */
#define NGX_LITESTREAM_GROUP_SFTP  8


typedef struct {
    char                       *name;
    size_t                      offset;      /* in the settings */
} ngx_litestream_listen_t;


static ngx_int_t ngx_litestream_group_key(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_user_t *user,
    ngx_str_t *type, ngx_str_t *key);
static ngx_uint_t ngx_litestream_group_full(ngx_litestream_parse_t *parse,
    ngx_litestream_group_t *group);
static ngx_int_t ngx_litestream_group_name(ngx_litestream_parse_t *parse,
    ngx_litestream_group_t *group);
static ngx_litestream_addr_t *ngx_litestream_group_addr(
    ngx_litestream_group_t *group, ngx_litestream_listen_t *listen);
static ngx_litestream_db_t *ngx_litestream_group_first(
    ngx_litestream_group_t *group);


static ngx_litestream_listen_t  ngx_litestream_listens[] = {
    { "litestream_metrics_addr",
      offsetof(ngx_litestream_settings_t, metrics) },
    { "litestream_mcp_addr",
      offsetof(ngx_litestream_settings_t, mcp) }
};


/*
 * The group of databases of that user, that type of replica and what their
 * level says for a whole Litestream, its variables too, made when it is the
 * first of its kind.  NULL: one too many, it has been logged.
 */

ngx_litestream_group_t *
ngx_litestream_group_get(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_user_t *user,
    ngx_str_t *type)
{
    u_char                   *p;
    size_t                    len;
    ngx_str_t                 key, *state;
    ngx_uint_t                i, part;
    ngx_pool_t               *pool;
    ngx_litestream_conf_t    *lcf;
    ngx_litestream_group_t   *group, **groups;

    lcf = parse->lcf;
    pool = parse->cf->pool;

    if (ngx_litestream_group_key(parse, said, user, type, &key) != NGX_OK) {
        return NULL;
    }

    groups = lcf->groups.elts;
    len = key.len;
    part = 1;

    for (i = 0; i < lcf->groups.nelts; i++) {
        group = groups[i];

        if (group->key.len != key.len
            || ngx_memcmp(group->key.data, key.data, key.len) != 0)
        {
            continue;
        }

        if (!ngx_litestream_group_full(parse, group)) {
            return group;
        }

        /* the next one comes later, if it is there */

        key.len = ngx_sprintf(key.data + len, ":part=%ui", ++part) - key.data;
    }

    if (lcf->groups.nelts == NGX_LITESTREAM_MAX_GROUPS) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "too many groups of databases, one for each "
                                  "user, group, type of replica, setting of "
                                  "Litestream and environment, the limit "
                                  "is %d",
                                  NGX_LITESTREAM_MAX_GROUPS);
        return NULL;
    }

    group = ngx_pcalloc(pool, sizeof(ngx_litestream_group_t));
    if (group == NULL) {
        return NULL;
    }

    group->user = user->user;
    group->uid = user->uid;
    group->gid = user->gid;
    group->type = *type;
    group->key = key;
    group->settings = parse->level->settings;
    group->index = lcf->groups.nelts;

    if (ngx_litestream_vars_environ(parse, said->vars, group) != NGX_OK) {
        return NULL;
    }

    if (ngx_array_init(&group->dbs, pool, 4, sizeof(ngx_litestream_db_t *))
        != NGX_OK
        || ngx_array_init(&group->dirs, pool, 1,
                          sizeof(ngx_litestream_dir_t *))
           != NGX_OK)
    {
        return NULL;
    }

    if (ngx_litestream_group_name(parse, group) != NGX_OK) {
        return NULL;
    }

    /* STATE/NAME, and below it litestream.yml, run/, run/litestream.sock */

    state = &lcf->state_path;
    len = state->len + 1 + group->name.len;

    p = ngx_pnalloc(pool, 4 * len + sizeof("") + sizeof("/litestream.yml")
                          + sizeof("/run") + sizeof("/run/litestream.sock"));
    if (p == NULL) {
        return NULL;
    }

    group->dir.data = p;
    p = ngx_sprintf(p, "%V/%V%Z", state, &group->name);
    group->dir.len = p - 1 - group->dir.data;

    group->yml.data = p;
    p = ngx_sprintf(p, "%V/litestream.yml%Z", &group->dir);
    group->yml.len = p - 1 - group->yml.data;

    group->run.data = p;
    p = ngx_sprintf(p, "%V/run%Z", &group->dir);
    group->run.len = p - 1 - group->run.data;

    group->socket.data = p;
    p = ngx_sprintf(p, "%V/litestream.sock%Z", &group->run);
    group->socket.len = p - 1 - group->socket.data;

    groups = ngx_array_push(&lcf->groups);
    if (groups == NULL) {
        return NULL;
    }

    *groups = group;

    return group;
}


/*
 * All that makes two groups differ, as a text.  What is not said is not in
 * it: a group keeps its key, and with it its folder, when a later version
 * knows of more.
 */

static ngx_int_t
ngx_litestream_group_key(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_user_t *user,
    ngx_str_t *type, ngx_str_t *key)
{
    u_char                     *p;
    size_t                      len;
    ngx_litestream_settings_t  *settings;

    settings = &parse->level->settings;

    len = 2 * NGX_INT64_LEN + type->len + sizeof("::")
          + 2 * NGX_INT64_LEN + sizeof(":interval=:retention=")
          + sizeof(":addr=") + sizeof(":mcp=") + sizeof(":part=")
          + NGX_INT64_LEN
          + sizeof(":env=") + said->vars->digest.len;

    if (settings->metrics) {
        len += settings->metrics->text.len;
    }

    if (settings->mcp) {
        len += settings->mcp->text.len;
    }

    p = ngx_pnalloc(parse->cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key->data = p;

    p = ngx_sprintf(p, "%ui:%ui:%V", (ngx_uint_t) user->uid,
                    (ngx_uint_t) user->gid, type);

    if (settings->snapshot_interval) {
        p = ngx_sprintf(p, ":interval=%M", settings->snapshot_interval);
    }

    if (settings->snapshot_retention) {
        p = ngx_sprintf(p, ":retention=%M", settings->snapshot_retention);
    }

    if (settings->metrics) {
        p = ngx_sprintf(p, ":addr=%V", &settings->metrics->text);
    }

    if (settings->mcp) {
        p = ngx_sprintf(p, ":mcp=%V", &settings->mcp->text);
    }

    if (said->vars->digest.len) {
        p = ngx_sprintf(p, ":env=%V", &said->vars->digest);
    }

    key->len = p - key->data;

    return NGX_OK;
}


ngx_uint_t
ngx_litestream_group_is(ngx_litestream_group_t *group, char *type)
{
    size_t  len;

    len = ngx_strlen(type);

    return group->type.len == len
           && ngx_strncmp(group->type.data, type, len) == 0;
}


/*
 * More databases with SFTP replicas than this one has are for another group;
 * what listens somewhere can do so but once
 */

static ngx_uint_t
ngx_litestream_group_full(ngx_litestream_parse_t *parse,
    ngx_litestream_group_t *group)
{
    return ngx_litestream_group_is(group, "sftp")
           && group->dbs.nelts >= NGX_LITESTREAM_GROUP_SFTP
           && group->settings.metrics == NULL && group->settings.mcp == NULL
           && parse->lcf->groups.nelts < NGX_LITESTREAM_MAX_GROUPS / 2;
}


/* UID-TYPE-HASH; a name that is taken is one of another key's same hash */

static ngx_int_t
ngx_litestream_group_name(ngx_litestream_parse_t *parse,
    ngx_litestream_group_t *group)
{
    u_char                   *p;
    uint32_t                  hash;
    ngx_uint_t                i;
    ngx_litestream_group_t  **groups;

    group->name.data = ngx_pnalloc(parse->cf->pool,
                                   NGX_INT64_LEN + group->type.len
                                   + sizeof("--12345678"));
    if (group->name.data == NULL) {
        return NGX_ERROR;
    }

    groups = parse->lcf->groups.elts;
    hash = ngx_crc32_long(group->key.data, group->key.len);

    for ( ;; ) {

        p = ngx_sprintf(group->name.data, "%ui-%V-%08xD%Z",
                        (ngx_uint_t) group->uid, &group->type, hash);

        group->name.len = p - 1 - group->name.data;

        for (i = 0; i < parse->lcf->groups.nelts; i++) {
            if (ngx_strcmp(groups[i]->name.data, group->name.data) == 0) {
                break;
            }
        }

        if (i == parse->lcf->groups.nelts) {
            return NGX_OK;
        }

        hash++;
    }
}


/*
 * Addresses where Litestreams listen: each needs one of its own, and one that
 * its user may have.  NGX_ERROR: it has been logged.
 */

ngx_int_t
ngx_litestream_groups_check(ngx_litestream_parse_t *parse)
{
    ngx_uint_t                   i, j, n;
    ngx_litestream_db_t         *one, *two;
    ngx_litestream_addr_t       *addr, *other;
    ngx_litestream_group_t     **groups;
    ngx_litestream_listen_t     *listen, *with;
    ngx_http_litestream_said_t   said;

    ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));

    groups = parse->lcf->groups.elts;

    for (i = 0; i < parse->lcf->groups.nelts * 2; i++) {

        listen = &ngx_litestream_listens[i % 2];
        addr = ngx_litestream_group_addr(groups[i / 2], listen);

        if (addr == NULL) {
            continue;
        }

        one = ngx_litestream_group_first(groups[i / 2]);

        said.file = addr->file;
        said.line = addr->line;

        if (ngx_litestream_addr_privileged(addr, groups[i / 2]->uid)) {
            ngx_litestream_said_error(parse->cf->log, &said, 0,
                                      "\"%s\" \"%V\" cannot be used: the "
                                      "Litestream of database \"%V\" runs as "
                                      "user \"%V\", which may not listen on "
                                      "port %ui", listen->name,
                                      &addr->text, &one->alias,
                                      &groups[i / 2]->user, addr->port);
            return NGX_ERROR;
        }

        if (i % 2 && ngx_strlchr(groups[i / 2]->dir.data,
                                 groups[i / 2]->dir.data
                                 + groups[i / 2]->dir.len, ':'))
        {
            /* its tools look for litestream in PATH */

            ngx_litestream_said_error(parse->cf->log, &said, 0,
                                      "\"%s\" does not work with a colon in "
                                      "\"litestream_state_path\"",
                                      listen->name);
            return NGX_ERROR;
        }

        for (j = 0; j < i; j++) {

            n = j / 2;
            with = &ngx_litestream_listens[j % 2];
            other = ngx_litestream_group_addr(groups[n], with);

            if (other == NULL || !ngx_litestream_addr_clash(addr, other)) {
                continue;
            }

            if (listen != with) {
                ngx_litestream_said_error(parse->cf->log, &said, 0,
                                          "\"%s\" \"%V\" cannot be used: it "
                                          "is that of \"%s\" in %s:%ui",
                                          listen->name, &addr->text,
                                          with->name, other->file,
                                          other->line);
                return NGX_ERROR;
            }

            two = ngx_litestream_group_first(groups[n]);

            ngx_litestream_said_error(parse->cf->log, &said, 0,
                                      "\"%s\" \"%V\" "
                                      "would be that of two Litestream "
                                      "processes, of database \"%V\" (user "
                                      "\"%V\", replica type \"%V\") and of "
                                      "database \"%V\" (user \"%V\", replica "
                                      "type \"%V\"): say one for each in "
                                      "server{}", listen->name, &addr->text,
                                      &two->alias, &groups[n]->user,
                                      &groups[n]->type,
                                      &one->alias, &groups[i / 2]->user,
                                      &groups[i / 2]->type);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The same for nginx's own sockets, which are known when all of the
 * configuration has been read.  NGX_ERROR: it has been logged.
 */

ngx_int_t
ngx_litestream_listen_check(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf)
{
    ngx_uint_t                   i, n;
    ngx_listening_t             *ls;
    ngx_litestream_addr_t       *addr, listen;
    ngx_litestream_group_t     **groups;
    ngx_http_litestream_said_t   said;

    ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));
    ngx_memzero(&listen, sizeof(ngx_litestream_addr_t));

    groups = lcf->groups.elts;

    for (i = 0; i < lcf->groups.nelts * 2; i++) {

        addr = ngx_litestream_group_addr(groups[i / 2],
                                         &ngx_litestream_listens[i % 2]);

        if (addr == NULL) {
            continue;
        }

        ls = cycle->listening.elts;

        for (n = 0; n < cycle->listening.nelts; n++) {

            if (ls[n].type != SOCK_STREAM) {
                continue;
            }

            listen.sockaddr = ls[n].sockaddr;
            listen.socklen = ls[n].socklen;
            listen.port = ngx_inet_get_port(ls[n].sockaddr);

            if (!ngx_litestream_addr_clash(addr, &listen)) {
                continue;
            }

            said.file = addr->file;
            said.line = addr->line;

            ngx_litestream_said_error(cycle->log, &said, 0,
                                      "\"%s\" \"%V\" cannot be used: nginx "
                                      "itself listens on \"%V\"",
                                      ngx_litestream_listens[i % 2].name,
                                      &addr->text, &ls[n].addr_text);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* NULL: there is none, or nobody would listen on it */

static ngx_litestream_addr_t *
ngx_litestream_group_addr(ngx_litestream_group_t *group,
    ngx_litestream_listen_t *listen)
{
    if (ngx_litestream_group_first(group) == NULL) {
        return NULL;
    }

    return *(ngx_litestream_addr_t **) ((char *) &group->settings
                                        + listen->offset);
}


/* NULL: no database of it is replicated, it needs no Litestream */

static ngx_litestream_db_t *
ngx_litestream_group_first(ngx_litestream_group_t *group)
{
    ngx_uint_t              i;
    ngx_litestream_db_t   **dbs;
    ngx_litestream_dir_t  **dirs;

    dbs = group->dbs.elts;

    for (i = 0; i < group->dbs.nelts; i++) {
        if (dbs[i]->replicate) {
            return dbs[i];
        }
    }

    dirs = group->dirs.elts;

    for (i = 0; i < group->dirs.nelts; i++) {
        if (dirs[i]->db->replicate) {
            return dirs[i]->db;
        }
    }

    return NULL;
}
