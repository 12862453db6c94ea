
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Directives of which more is to be told than where they stand, but nothing
 * about databases.  Their values may have variables, so that they are looked
 * at when all directives have been read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_http_litestream_restore(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf);
static ngx_int_t ngx_http_litestream_shutdown_timeout(
    ngx_litestream_parse_t *parse, ngx_http_litestream_main_conf_t *lmcf);
static ngx_int_t ngx_http_litestream_log(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf);
static ngx_int_t ngx_http_litestream_api_names(ngx_conf_t *cf,
    ngx_http_litestream_loc_conf_t *llcf, ngx_str_t *value);


static ngx_conf_enum_t  ngx_http_litestream_levels[] = {
    { ngx_string("emerg"), NGX_LOG_EMERG },
    { ngx_string("alert"), NGX_LOG_ALERT },
    { ngx_string("crit"), NGX_LOG_CRIT },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("debug"), NGX_LOG_DEBUG_ALL },
    { ngx_null_string, 0 }
};


ngx_int_t
ngx_http_litestream_values(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf, ngx_litestream_vars_t *vars)
{
    lmcf->restore.vars = vars;
    lmcf->shutdown_timeout.vars = vars;
    lmcf->log.vars = vars;

    if (ngx_litestream_expand(parse, &lmcf->restore, 1) != NGX_OK
        || ngx_litestream_expand(parse, &lmcf->shutdown_timeout, 1) != NGX_OK
        || ngx_litestream_expand(parse, &lmcf->log, 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lmcf->restore.file
        && ngx_http_litestream_restore(parse, lmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lmcf->shutdown_timeout.file
        && ngx_http_litestream_shutdown_timeout(parse, lmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (lmcf->log.file && ngx_http_litestream_log(parse, lmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_litestream_restore(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf)
{
    u_char                      *p;
    ngx_int_t                    n;
    ngx_str_t                   *value, s;
    ngx_uint_t                   i;
    ngx_litestream_conf_t       *lcf;
    ngx_http_litestream_said_t  *said;

    lcf = &lmcf->lcf;
    said = &lmcf->restore;
    value = said->args;

    if (ngx_strcmp(value[1].data, "background") == 0) {
        lcf->background = 1;

    } else if (ngx_strcmp(value[1].data, "blocking") != 0) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid value \"%V\" in \"%V\" directive, "
                                  "it must be \"blocking\" or \"background\"",
                                  &value[1], &value[0]);
        return NGX_ERROR;
    }

    for (i = 2; i < said->nargs; i++) {

        p = ngx_strlchr(value[i].data, value[i].data + value[i].len, '=');
        if (p == NULL) {
            goto invalid;
        }

        s.data = p + 1;
        s.len = value[i].data + value[i].len - s.data;

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {

            n = ngx_parse_time(&s, 0);
            if (n == NGX_ERROR || n == 0) {
                goto invalid;
            }

            lcf->restore_timeout = n;
            continue;
        }

        if (ngx_strncmp(value[i].data, "concurrency=", 12) == 0) {

            n = ngx_atoi(s.data, s.len);
            if (n == NGX_ERROR || n == 0 || n > NGX_LITESTREAM_MAX_DBS) {
                goto invalid;
            }

            lcf->concurrency = n;
            continue;
        }

        if (ngx_strncmp(value[i].data, "integrity_check=", 16) == 0) {

            if (ngx_strcmp(s.data, "none") == 0) {
                lcf->integrity_check = NGX_LITESTREAM_CHECK_NONE;

            } else if (ngx_strcmp(s.data, "quick") == 0) {
                lcf->integrity_check = NGX_LITESTREAM_CHECK_QUICK;

            } else if (ngx_strcmp(s.data, "full") == 0) {
                lcf->integrity_check = NGX_LITESTREAM_CHECK_FULL;

            } else {
                goto invalid;
            }

            continue;
        }

        goto invalid;
    }

    return NGX_OK;

invalid:

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "invalid parameter \"%V\"", &value[i]);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_litestream_shutdown_timeout(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = lmcf->shutdown_timeout.args;

    n = ngx_parse_time(&value[1], 0);

    if (n == NGX_ERROR) {
        ngx_litestream_said_error(parse->cf->log, &lmcf->shutdown_timeout, 0,
                                  "\"%V\" directive invalid value", &value[0]);
        return NGX_ERROR;
    }

    if (n == 0) {
        ngx_litestream_said_error(parse->cf->log, &lmcf->shutdown_timeout, 0,
                                  "\"%V\" directive must not be 0",
                                  &value[0]);
        return NGX_ERROR;
    }

    lmcf->lcf.shutdown_timeout = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_litestream_log(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf)
{
    ngx_log_t                   *log;
    ngx_str_t                   *value, name;
    ngx_uint_t                   level;
    ngx_conf_t                  *cf;
    ngx_conf_enum_t             *e;
    ngx_http_litestream_said_t  *said;

    cf = parse->cf;
    said = &lmcf->log;
    value = said->args;
    level = NGX_LOG_INFO;

    if (said->nargs == 3) {

        for (e = ngx_http_litestream_levels; e->name.len; e++) {
            if (ngx_strcmp(e->name.data, value[2].data) == 0) {
                break;
            }
        }

        if (e->name.len == 0) {
            ngx_litestream_said_error(cf->log, said, 0,
                                      "invalid log level \"%V\"", &value[2]);
            return NGX_ERROR;
        }

        level = e->value;
    }

    name = value[1];

    if (name.len == 0
        || ngx_strncmp(name.data, "syslog:", 7) == 0
        || ngx_strncmp(name.data, "memory:", 7) == 0)
    {
        ngx_litestream_said_error(cf->log, said, 0,
                                  "invalid value \"%V\" in \"%V\" directive, "
                                  "it must be a file or \"-\"",
                                  &name, &value[0]);
        return NGX_ERROR;
    }

    if (ngx_strcmp(name.data, "-") == 0
        || ngx_strcmp(name.data, "stderr") == 0)
    {
        ngx_str_null(&name);

        /* else the error log would become stderr */

        cf->cycle->log_use_stderr = 1;
    }

    log = ngx_pcalloc(cf->pool, sizeof(ngx_log_t));
    if (log == NULL) {
        return NGX_ERROR;
    }

    log->file = ngx_conf_open_file(cf->cycle, &name);
    if (log->file == NULL) {
        return NGX_ERROR;
    }

    log->log_level = level;

    lmcf->log_file = log->file;
    lmcf->lcf.log = log;

    return NGX_OK;
}


ngx_int_t
ngx_http_litestream_api_said(ngx_conf_t *cf,
    ngx_http_litestream_loc_conf_t *llcf, ngx_litestream_vars_t *vars)
{
    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_litestream_parse_t   parse;

    ngx_memzero(&parse, sizeof(ngx_litestream_parse_t));

    parse.cf = cf;

    llcf->said.vars = vars;

    if (ngx_litestream_expand(&parse, &llcf->said, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    value = llcf->said.args;

    for (i = 1; i < llcf->said.nargs; i++) {

        if (ngx_strcmp(value[i].data, "write=on") == 0) {
            llcf->write = 1;
            continue;
        }

        if (ngx_strcmp(value[i].data, "write=off") == 0) {
            llcf->write = 0;
            continue;
        }

        if (ngx_strncmp(value[i].data, "db=", 3) != 0) {
            goto invalid;
        }

        switch (ngx_http_litestream_api_names(cf, llcf, &value[i])) {

        case NGX_OK:
            continue;

        case NGX_DECLINED:
            goto invalid;

        default:
            return NGX_ERROR;
        }
    }

    return NGX_OK;

invalid:

    ngx_litestream_said_error(cf->log, &llcf->said, 0,
                              "invalid parameter \"%V\"", &value[i]);
    return NGX_ERROR;
}


/* db=NAME[,NAME]...; NGX_DECLINED: a name is empty */

static ngx_int_t
ngx_http_litestream_api_names(ngx_conf_t *cf,
    ngx_http_litestream_loc_conf_t *llcf, ngx_str_t *value)
{
    u_char     *p, *last, *comma;
    ngx_str_t  *name;

    if (llcf->names == NULL) {
        llcf->names = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (llcf->names == NULL) {
            return NGX_ERROR;
        }
    }

    last = value->data + value->len;

    for (p = value->data + 3; /* void */ ; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');
        if (comma == NULL) {
            comma = last;
        }

        if (comma == p) {
            return NGX_DECLINED;
        }

        name = ngx_array_push(llcf->names);
        if (name == NULL) {
            return NGX_ERROR;
        }

        name->data = p;
        name->len = comma - p;

        if (comma == last) {
            return NGX_OK;
        }
    }
}
