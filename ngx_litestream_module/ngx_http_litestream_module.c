
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
static char *ngx_http_litestream_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_litestream_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_litestream_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_litestream_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static char *ngx_http_litestream_said(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_litestream_said_more(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_litestream_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static ngx_int_t ngx_http_litestream_remember(ngx_conf_t *cf,
    ngx_http_litestream_said_t *said);


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

    { ngx_string("litestream_mcp_addr"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, mcp_addr),
      NULL },

    { ngx_string("litestream_vfs"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_2MORE,
      ngx_http_litestream_said_more,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_litestream_srv_conf_t, vfs),
      NULL },

    { ngx_string("litestream_restore"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_litestream_said,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, restore),
      NULL },

    { ngx_string("litestream_shutdown_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_litestream_said,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, shutdown_timeout),
      NULL },

    { ngx_string("litestream_log"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_litestream_said,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_litestream_main_conf_t, log),
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
    ngx_litestream_conf_t  *lcf;

    lcf = ngx_litestream_any_conf(cycle);

    return (lcf && lcf->all.nelts) ? lcf : NULL;
}


/* the same without any litestream_db, too; NULL: there is no http{} */

ngx_litestream_conf_t *
ngx_litestream_any_conf(ngx_cycle_t *cycle)
{
    ngx_http_litestream_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_litestream_module);

    return lmcf ? &lmcf->lcf : NULL;
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
     *     lmcf->shutdown_timeout = { NULL };
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
    lcf->shutdown_timeout = 30000;
    lcf->log = &cf->cycle->new_log;

    if (ngx_array_init(&lcf->dbs, cf->pool, 4, sizeof(ngx_litestream_db_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lcf->dirs, cf->pool, 1,
                       sizeof(ngx_litestream_dir_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lcf->all, cf->pool, 4, sizeof(ngx_litestream_db_t *))
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

    if (ngx_array_init(&lcf->vfs, cf->pool, 1, sizeof(ngx_litestream_vfs_t *))
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


/* all directives have been read: their order does not matter */

static char *
ngx_http_litestream_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_litestream_main_conf_t *lmcf = conf;

    ngx_http_litestream_srv_conf_t  *lscf;

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
     *     lscf->mcp_addr = { NULL };
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

    if (ngx_array_init(&lscf->vfs, cf->pool, 1,
                       sizeof(ngx_http_litestream_said_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&lscf->vfss, cf->pool, 1,
                       sizeof(ngx_litestream_vfs_t *))
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
    lscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_litestream_module);

    if (ngx_http_litestream_api_said(cf, conf, &lscf->vars) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->names
        && ngx_http_litestream_api_dbs(cf, &lmcf->lcf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

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
ngx_http_litestream_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_litestream_loc_conf_t *llcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (llcf->api) {
        return "is duplicate";
    }

    if (ngx_http_litestream_remember(cf, &llcf->said) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    llcf->api = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_litestream_api_handler;

    return NGX_CONF_OK;
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
