
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_http_litestream_expand_level(
    ngx_litestream_parse_t *parse, ngx_http_litestream_srv_conf_t *lscf);
static ngx_int_t ngx_http_litestream_user(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_level_t *level);
static ngx_int_t ngx_http_litestream_snapshot(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_settings_t *settings);
static ngx_int_t ngx_http_litestream_addr(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_addr_t **addr);
static ngx_int_t ngx_http_litestream_mcp(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_addr_t **addr);


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

    if (ngx_http_litestream_expand_level(parse, lscf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (lscf->path_prefix.file) {
        level->prefix = &lscf->path_prefix;
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

    if (lscf->snapshot.file
        && ngx_http_litestream_snapshot(parse, &lscf->snapshot,
                                        &level->settings)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lscf->metrics_addr.file
        && ngx_http_litestream_addr(parse, &lscf->metrics_addr,
                                    &level->settings.metrics)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lscf->mcp_addr.file
        && ngx_http_litestream_mcp(parse, &lscf->mcp_addr,
                                   &level->settings.mcp)
           != NGX_OK)
    {
        return NGX_ERROR;
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

    said = lscf->vfs.elts;

    for (i = 0; i < lscf->vfs.nelts; i++) {
        said[i].vars = &lscf->vars;

        if (ngx_litestream_expand(parse, &said[i], 3) != NGX_OK
            || ngx_litestream_vfs_parse(parse, &said[i], &lscf->vfss)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * ${NAME} in what was said at this level: the parameters of a replica are
 * replaced when it is checked, a URL together with its $alias
 */

static ngx_int_t
ngx_http_litestream_expand_level(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf)
{
    ngx_str_t                    out, *arg;
    ngx_uint_t                   i, n;
    ngx_http_litestream_said_t  *said;

    lscf->user.vars = &lscf->vars;
    lscf->replica.vars = &lscf->vars;
    lscf->path_prefix.vars = &lscf->vars;
    lscf->snapshot.vars = &lscf->vars;
    lscf->metrics_addr.vars = &lscf->vars;
    lscf->mcp_addr.vars = &lscf->vars;

    if (ngx_litestream_expand(parse, &lscf->user, 1) != NGX_OK
        || ngx_litestream_expand(parse, &lscf->snapshot, 1) != NGX_OK
        || ngx_litestream_expand(parse, &lscf->metrics_addr, 1) != NGX_OK
        || ngx_litestream_expand(parse, &lscf->mcp_addr, 1) != NGX_OK
        || ngx_litestream_expand(parse, &lscf->path_prefix, 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    said = lscf->said.elts;

    for (i = 0; i < lscf->said.nelts; i++) {

        said[i].vars = &lscf->vars;

        for (n = 1; n < said[i].nargs; n++) {
            arg = &said[i].args[n];

            if (n > 2 && ngx_strncmp(arg->data, "replica=", 8) == 0) {
                continue;
            }

            if (ngx_litestream_expand_arg(parse, &said[i], arg, &out)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            *arg = out;
        }
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


/* what it does not say is Litestream's default, not that of http{} */

static ngx_int_t
ngx_http_litestream_snapshot(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_settings_t *settings)
{
    ngx_str_t    value;
    ngx_uint_t   i;
    ngx_msec_t  *msec;

    settings->snapshot_interval = 0;
    settings->snapshot_retention = 0;

    for (i = 1; i < said->nargs; i++) {

        value = said->args[i];

        if (ngx_strncmp(value.data, "interval=", 9) == 0) {
            msec = &settings->snapshot_interval;
            value.data += 9;
            value.len -= 9;

        } else if (ngx_strncmp(value.data, "retention=", 10) == 0) {
            msec = &settings->snapshot_retention;
            value.data += 10;
            value.len -= 10;

        } else {
            goto invalid;
        }

        if (*msec) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "parameter \"%V\" is duplicate",
                                      &said->args[i]);
            return NGX_ERROR;
        }

        if (ngx_litestream_param_msec(&value, msec) != NGX_OK) {
            goto invalid;
        }
    }

    return NGX_OK;

invalid:

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "invalid parameter \"%V\"", &said->args[i]);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_litestream_addr(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_addr_t **addr)
{
    *addr = NULL;

    if (ngx_strcmp(said->args[1].data, "off") == 0) {
        return NGX_OK;
    }

    *addr = ngx_litestream_addr_parse(parse, said);

    return *addr ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_litestream_mcp(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_addr_t **addr)
{
    if (ngx_http_litestream_addr(parse, said, addr) != NGX_OK) {
        return NGX_ERROR;
    }

    if (*addr && !ngx_litestream_addr_loopback(*addr)) {
        ngx_litestream_said_warn(parse->cf->log, said,
                                 "\"%V\" \"%V\" is not a loopback address: "
                                 "Litestream asks nobody for a password there, "
                                 "and its tools read all databases and write "
                                 "files as their user", &said->args[0],
                                 &said->args[1]);
    }

    return NGX_OK;
}
