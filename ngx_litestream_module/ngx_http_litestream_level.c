
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


/*
 * litestream_user.  NGX_ERROR: it has been logged.  While the configuration
 * is read; may block in NSS.
 */

ngx_int_t
ngx_http_litestream_user(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf)
{
    ngx_str_t                   *group;
    ngx_http_litestream_said_t  *said;

    said = &lmcf->user;

    if (said->file == NULL) {
        return NGX_OK;
    }

    group = (said->nargs == 3) ? &said->args[2] : NULL;

    parse->user = ngx_litestream_user_find(parse, said, &said->args[1], group);
    if (parse->user == NULL) {
        return NGX_ERROR;
    }

    lmcf->lcf.user = parse->user->user;

    if (geteuid() == 0) {
        return NGX_OK;
    }

    if (parse->user->uid != geteuid()
        || (group && parse->user->gid != getegid()))
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"litestream_user\" cannot be uid %ui, "
                                  "gid %ui: nginx was not started as root, "
                                  "it runs as uid %ui, gid %ui",
                                  (ngx_uint_t) parse->user->uid,
                                  (ngx_uint_t) parse->user->gid,
                                  (ngx_uint_t) geteuid(),
                                  (ngx_uint_t) getegid());
        return NGX_ERROR;
    }

    parse->user = ngx_litestream_user_get(parse, NULL, geteuid(), getegid());

    return parse->user ? NGX_OK : NGX_ERROR;
}


/*
 * The databases of http{} or of a server{}.  outer: what lscf itself does
 * not say, http{} does.  NGX_ERROR: it has been logged.  While the
 * configuration is read; may block on the file system and in NSS.
 */

ngx_int_t
ngx_http_litestream_databases(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf, ngx_http_litestream_srv_conf_t *outer)
{
    ngx_uint_t                    i;
    ngx_litestream_db_t          *db, **dbp;
    ngx_http_litestream_said_t   *said, *replica;

    replica = NULL;

    if (lscf->replica.file) {
        replica = &lscf->replica;

        if (ngx_litestream_replica_check(parse, replica) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (outer->replica.file) {
        replica = &outer->replica;
    }

    said = lscf->said.elts;

    for (i = 0; i < lscf->said.nelts; i++) {

        db = ngx_litestream_db_parse(parse, &said[i], replica);
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
