
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


/*
 * The group of databases of that user and that type of replica, made when
 * it is the first of its kind.  NULL: one too many, it has been logged.
 */

ngx_litestream_group_t *
ngx_litestream_group_get(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_user_t *user,
    ngx_str_t *type)
{
    u_char                   *p;
    size_t                    len;
    uint32_t                  crc;
    ngx_str_t                 hash, *state;
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_litestream_conf_t    *lcf;
    ngx_litestream_group_t   *group, **groups;

    lcf = parse->lcf;
    pool = parse->cf->pool;

    groups = lcf->groups.elts;

    for (i = 0; i < lcf->groups.nelts; i++) {
        group = groups[i];

        if (group->uid == user->uid && group->gid == user->gid
            && group->type.len == type->len
            && ngx_strncmp(group->type.data, type->data, type->len) == 0)
        {
            return group;
        }
    }

    if (lcf->groups.nelts == NGX_LITESTREAM_MAX_GROUPS) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "too many groups of databases, one for each "
                                  "user, group and type of replica, the limit "
                                  "is %d", NGX_LITESTREAM_MAX_GROUPS);
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
    group->index = lcf->groups.nelts;

    if (ngx_array_init(&group->dbs, pool, 4, sizeof(ngx_litestream_db_t *))
        != NGX_OK)
    {
        return NULL;
    }

    /* all that makes two groups differ, so that no two share a directory */

    hash.len = 2 * NGX_INT64_LEN + group->type.len + 2;
    hash.data = ngx_pnalloc(pool, hash.len);
    if (hash.data == NULL) {
        return NULL;
    }

    hash.len = ngx_sprintf(hash.data, "%ui:%ui:%V", (ngx_uint_t) group->uid,
                           (ngx_uint_t) group->gid, &group->type)
               - hash.data;

    crc = ngx_crc32_long(hash.data, hash.len);

    group->name.data = ngx_pnalloc(pool, NGX_INT64_LEN + group->type.len
                                         + sizeof("--12345678"));
    if (group->name.data == NULL) {
        return NULL;
    }

    p = ngx_sprintf(group->name.data, "%ui-%V-%08xD", (ngx_uint_t) group->uid,
                    &group->type, crc);
    *p = '\0';

    group->name.len = p - group->name.data;

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
