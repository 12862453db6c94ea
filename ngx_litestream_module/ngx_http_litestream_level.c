
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_http_litestream_user(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_level_t *level);


/*
 * Takes what was said in http{}, or in a server{}, and makes the databases of
 * it.  NGX_ERROR: it has been logged.  Any process that reads the
 * configuration; may block on the file system and in NSS.
 */

ngx_int_t
ngx_http_litestream_level(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf, ngx_http_litestream_srv_conf_t *outer)
{
    ngx_uint_t                   i;
    ngx_litestream_db_t         *db, **dbp;
    ngx_litestream_level_t      *level;
    ngx_http_litestream_said_t  *said;

    level = &lscf->level;

    if (outer) {
        *level = outer->level;

        /* one site's restore does not keep the others from starting */

        level->background = 1;

    } else {
        level->background = parse->lcf->background;
    }

    if (lscf->user.file
        && ngx_http_litestream_user(parse, &lscf->user, level) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lscf->replica.file) {
        level->replica = &lscf->replica;

        if (ngx_litestream_replica_check(parse, level->replica) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    parse->level = level;

    said = lscf->said.elts;

    for (i = 0; i < lscf->said.nelts; i++) {

        db = ngx_litestream_db_parse(parse, &said[i], level->replica);
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


static ngx_int_t
ngx_http_litestream_user(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_level_t *level)
{
    ngx_str_t              *group;
    ngx_litestream_user_t  *user;

    group = (said->nargs == 3) ? &said->args[2] : NULL;

    user = ngx_litestream_user_find(parse, said, &said->args[1], group);
    if (user == NULL) {
        return NGX_ERROR;
    }

    level->user = user;

    if (geteuid() == 0) {
        return NGX_OK;
    }

    if (user->uid != geteuid() || (group && user->gid != getegid())) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"litestream_user\" cannot be uid %ui, "
                                  "gid %ui: nginx was not started as root, "
                                  "it runs as uid %ui, gid %ui",
                                  (ngx_uint_t) user->uid,
                                  (ngx_uint_t) user->gid,
                                  (ngx_uint_t) geteuid(),
                                  (ngx_uint_t) getegid());
        return NGX_ERROR;
    }

    level->user = ngx_litestream_user_get(parse, NULL, geteuid(), getegid());

    return level->user ? NGX_OK : NGX_ERROR;
}
