
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"
#include "ngx_http_litestream_api.h"


static void *ngx_http_litestream_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_litestream_check_positive(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_litestream_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_litestream_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_litestream_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_litestream_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static char *ngx_http_litestream_said(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_litestream_said_more(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_litestream_restore(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_litestream_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_litestream_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static ngx_int_t ngx_http_litestream_remember(ngx_conf_t *cf,
    ngx_http_litestream_said_t *said);


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


static ngx_conf_post_t  ngx_http_litestream_positive = {
    ngx_http_litestream_check_positive
};


static ngx_command_t  ngx_http_litestream_commands[] = {

    { ngx_string("litestream_db"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_2MORE,
      ngx_http_litestream_said_more,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, said),
      NULL },

    { ngx_string("litestream_replica"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_1MORE,
      ngx_http_litestream_said,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, replica),
      NULL },

    { ngx_string("litestream_path_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, path_prefix),
      NULL },

    { ngx_string("litestream_env"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said_more,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, env),
      NULL },

    { ngx_string("litestream_env_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said_more,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, env_files),
      NULL },

    { ngx_string("litestream_expand_env"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, expand_env),
      NULL },

    { ngx_string("litestream_base_config"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_litestream_said,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, base),
      NULL },

    { ngx_string("litestream_bin"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, bin),
      NULL },

    { ngx_string("litestream_state_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, state_path),
      NULL },

    { ngx_string("litestream_user"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE12,
      ngx_http_litestream_said,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, user),
      NULL },

    { ngx_string("litestream_snapshot"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE12,
      ngx_http_litestream_said,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, snapshot),
      NULL },

    { ngx_string("litestream_metrics_addr"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, metrics_addr),
      NULL },

    { ngx_string("litestream_restore"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_litestream_restore,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("litestream_shutdown_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, lcf)
      + offsetof(ngx_litestream_conf_t, shutdown_timeout),
      &ngx_http_litestream_positive },

    { ngx_string("litestream_log"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_litestream_log,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("litestream_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_ANY,
      ngx_http_litestream_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_litestream_module_ctx = {
    ngx_http_litestream_add_variables,      /* preconfiguration */
    ngx_http_litestream_site_init,          /* postconfiguration */

    ngx_http_litestream_create_main_conf,   /* create main configuration */
    ngx_http_litestream_init_main_conf,     /* init main configuration */

    ngx_http_litestream_create_srv_conf,    /* create server configuration */
    NULL,                                   /* merge server configuration */

    ngx_http_litestream_create_loc_conf,    /* create location configuration */
    ngx_http_litestream_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_litestream_module = {
    NGX_MODULE_V1,
    &ngx_http_litestream_module_ctx,        /* module context */
    ngx_http_litestream_commands,           /* module directives */
    NGX_HTTP_MODULE,                        /* module type */
    NULL,                                   /* init master */
    ngx_litestream_init_module,             /* init module */
    ngx_litestream_init_process,            /* init process */
    NULL,                                   /* init thread */
    NULL,                                   /* exit thread */
    ngx_litestream_exit_process,            /* exit process */
    NULL,                                   /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * The configuration of a cycle, which owns it, or NULL when there is no
 * http{} or no litestream_db in it, and with "nginx -s".  Any process, does
 * not block.
 */

ngx_litestream_conf_t *
ngx_litestream_get_conf(ngx_cycle_t *cycle)
{
    ngx_http_litestream_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_litestream_module);

    if (lmcf == NULL || lmcf->lcf.dbs.nelts == 0) {
        return NULL;
    }

    return &lmcf->lcf;
}


static void *
ngx_http_litestream_create_main_conf(ngx_conf_t *cf)
{
    ngx_litestream_conf_t            *lcf;
    ngx_http_litestream_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_litestream_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     lmcf->base = { NULL };
     *     lmcf->bin = { NULL };
     *     lmcf->state_path = { NULL };
     *     lmcf->restore = { NULL };
     *     lmcf->log = { NULL };
     *     lmcf->log_file = NULL;
     *     lmcf->configs = NULL;
     *     lmcf->lcf.background = 0;
     *     lmcf->lcf.base = NULL;
     */

    lcf = &lmcf->lcf;

    lmcf->expand_env = NGX_CONF_UNSET;

    lcf->restore_timeout = 60000;
    lcf->concurrency = 4;
    lcf->integrity_check = NGX_LITESTREAM_CHECK_QUICK;
    lcf->shutdown_timeout = NGX_CONF_UNSET_MSEC;
    lcf->log = &cf->cycle->new_log;

    if (ngx_array_init(&lcf->dbs, cf->pool, 4, sizeof(ngx_litestream_db_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lcf->groups, cf->pool, 4,
                       sizeof(ngx_litestream_group_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lcf->secrets, cf->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    return lmcf;
}


static char *
ngx_http_litestream_check_positive(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *msec = data;

    return *msec ? NGX_CONF_OK : "must not be 0";
}


/* all directives have been read: their order does not matter */

static char *
ngx_http_litestream_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_litestream_main_conf_t *lmcf = conf;

    ngx_http_litestream_srv_conf_t  *lscf;

    ngx_conf_init_msec_value(lmcf->lcf.shutdown_timeout, 30000);

    if (ngx_process == NGX_PROCESS_SIGNALLER) {

        /* "nginx -s stop" must work whatever has become of the databases */

        return NGX_CONF_OK;
    }

    lscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_litestream_module);

    return ngx_http_litestream_setup(cf, lmcf, lscf) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static void *
ngx_http_litestream_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_litestream_srv_conf_t  *lscf;

    lscf = ngx_pcalloc(cf->pool, sizeof(ngx_http_litestream_srv_conf_t));
    if (lscf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     lscf->replica = { NULL };
     *     lscf->user = { NULL };
     *     lscf->snapshot = { NULL };
     *     lscf->metrics_addr = { NULL };
     *     lscf->level = { NULL };
     *     lscf->path_prefix = { NULL };
     *     lscf->vars = { NULL };
     */

    if (ngx_array_init(&lscf->said, cf->pool, 1,
                       sizeof(ngx_http_litestream_said_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lscf->env, cf->pool, 1,
                       sizeof(ngx_http_litestream_said_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lscf->env_files, cf->pool, 1,
                       sizeof(ngx_http_litestream_said_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lscf->dbs, cf->pool, 1, sizeof(ngx_litestream_db_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return lscf;
}


static void *
ngx_http_litestream_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_litestream_loc_conf_t  *llcf;

    llcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_litestream_loc_conf_t));
    if (llcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     llcf->api = 0;
     *     llcf->write = 0;
     *     llcf->dbs = NULL;
     *     llcf->config = NULL;
     *     llcf->names = NULL;
     *     llcf->said = { NULL };
     */

    return llcf;
}


static char *
ngx_http_litestream_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_litestream_loc_conf_t *prev = parent;
    ngx_http_litestream_loc_conf_t *conf = child;

    ngx_array_t                      *dbs;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_litestream_srv_conf_t   *lscf;
    ngx_http_litestream_main_conf_t  *lmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && !conf->api) {

        /* "if" and "limit_except" do not leave the location */

        conf->api = prev->api;
        conf->write = prev->write;
        conf->dbs = prev->dbs;
        conf->config = prev->config;

        if (conf->api) {
            clcf->client_max_body_size = 0;

            if (clcf->handler == NULL) {
                clcf->handler = ngx_http_litestream_api_handler;
            }
        }

        return NGX_CONF_OK;
    }

    if (!conf->api) {
        return NGX_CONF_OK;
    }

    /* the handler limits the body, and answers in JSON */

    clcf->client_max_body_size = 0;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_litestream_module);

    if (conf->names
        && ngx_http_litestream_api_dbs(cf, &lmcf->lcf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    lscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_litestream_module);

    dbs = ngx_http_litestream_visible(lmcf, lscf, conf);

    conf->config = ngx_http_litestream_config_prepare(cf, lmcf, dbs);

    return conf->config ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_litestream_said(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_http_litestream_said_t  *said;

    said = (ngx_http_litestream_said_t *) (p + cmd->offset);

    if (said->file) {
        return "is duplicate";
    }

    return ngx_http_litestream_remember(cf, said) == NGX_OK ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


/* may be said again: an array of said_t */

static char *
ngx_http_litestream_said_more(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_http_litestream_said_t  *said;

    said = ngx_array_push((ngx_array_t *) (p + cmd->offset));
    if (said == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_litestream_remember(cf, said) == NGX_OK ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


static char *
ngx_http_litestream_restore(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_litestream_main_conf_t *lmcf = conf;

    u_char                 *p;
    ngx_int_t               n;
    ngx_str_t              *value, s;
    ngx_uint_t              i;
    ngx_litestream_conf_t  *lcf;

    if (lmcf->restore.file) {
        return "is duplicate";
    }

    if (ngx_http_litestream_remember(cf, &lmcf->restore) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    lcf = &lmcf->lcf;
    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "background") == 0) {
        lcf->background = 1;

    } else if (ngx_strcmp(value[1].data, "blocking") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, "
                           "it must be \"blocking\" or \"background\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

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

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &value[i]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_litestream_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_litestream_main_conf_t *lmcf = conf;

    ngx_log_t        *log;
    ngx_str_t        *value, name;
    ngx_uint_t        level;
    ngx_conf_enum_t  *e;

    if (lmcf->log.file) {
        return "is duplicate";
    }

    if (ngx_http_litestream_remember(cf, &lmcf->log) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    level = NGX_LOG_INFO;

    if (cf->args->nelts == 3) {

        for (e = ngx_http_litestream_levels; e->name.len; e++) {
            if (ngx_strcmp(e->name.data, value[2].data) == 0) {
                break;
            }
        }

        if (e->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid log level \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        level = e->value;
    }

    name = value[1];

    if (name.len == 0
        || ngx_strncmp(name.data, "syslog:", 7) == 0
        || ngx_strncmp(name.data, "memory:", 7) == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, "
                           "it must be a file or \"-\"", &name, &cmd->name);
        return NGX_CONF_ERROR;
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
        return NGX_CONF_ERROR;
    }

    log->file = ngx_conf_open_file(cf->cycle, &name);
    if (log->file == NULL) {
        return NGX_CONF_ERROR;
    }

    log->log_level = level;

    lmcf->log_file = log->file;
    lmcf->lcf.log = log;

    return NGX_CONF_OK;
}


static char *
ngx_http_litestream_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_litestream_loc_conf_t *llcf = conf;

    u_char                    *p, *last, *comma;
    ngx_str_t                 *value, *name;
    ngx_uint_t                 i;
    ngx_http_core_loc_conf_t  *clcf;

    if (llcf->api) {
        return "is duplicate";
    }

    if (ngx_http_litestream_remember(cf, &llcf->said) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

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

        if (llcf->names == NULL) {
            llcf->names = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
            if (llcf->names == NULL) {
                return NGX_CONF_ERROR;
            }
        }

        last = value[i].data + value[i].len;

        for (p = value[i].data + 3; /* void */ ; p = comma + 1) {

            comma = ngx_strlchr(p, last, ',');
            if (comma == NULL) {
                comma = last;
            }

            if (comma == p) {
                goto invalid;
            }

            name = ngx_array_push(llcf->names);
            if (name == NULL) {
                return NGX_CONF_ERROR;
            }

            name->data = p;
            name->len = comma - p;

            if (comma == last) {
                break;
            }
        }
    }

    llcf->api = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_litestream_api_handler;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\"", &value[i]);

    return NGX_CONF_ERROR;
}


/* the array of cf->args is used again for the next directive */

static ngx_int_t
ngx_http_litestream_remember(ngx_conf_t *cf, ngx_http_litestream_said_t *said)
{
    size_t  size;

    size = cf->args->nelts * sizeof(ngx_str_t);

    /* elements of arrays are not zeroed */

    ngx_memzero(said, sizeof(ngx_http_litestream_said_t));

    said->args = ngx_palloc(cf->pool, size);
    if (said->args == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(said->args, cf->args->elts, size);

    said->nargs = cf->args->nelts;
    said->file = cf->conf_file->file.name.data;
    said->line = cf->conf_file->line;

    return NGX_OK;
}
