
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"
#include "ngx_http_litestream_api.h"


/* of a directory without databases */
#define NGX_HTTP_LITESTREAM_NO_LAG  -2


static ngx_int_t ngx_http_litestream_ready_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_litestream_lag_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static int64_t ngx_http_litestream_lag(ngx_litestream_db_t *db, int64_t now);
static ngx_array_t *ngx_http_litestream_server_dbs(ngx_http_request_t *r);


static ngx_http_variable_t  ngx_http_litestream_vars[] = {

    { ngx_string("litestream_ready"), NULL,
      ngx_http_litestream_ready_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("litestream_lag"), NULL,
      ngx_http_litestream_lag_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/* preconfiguration */

ngx_int_t
ngx_http_litestream_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_litestream_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_array_t *
ngx_http_litestream_dbs(ngx_http_request_t *r)
{
    return ngx_http_litestream_visible(
              ngx_http_get_module_main_conf(r, ngx_http_litestream_module),
              ngx_http_get_module_srv_conf(r, ngx_http_litestream_module),
              ngx_http_get_module_loc_conf(r, ngx_http_litestream_module));
}


/* of ngx_litestream_vfs_t *, or NULL; the rest as above */

ngx_array_t *
ngx_http_litestream_vfs(ngx_http_request_t *r)
{
    ngx_http_litestream_loc_conf_t   *llcf;
    ngx_http_litestream_srv_conf_t   *lscf;
    ngx_http_litestream_main_conf_t  *lmcf;

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_litestream_module);

    if (llcf->dbs) {
        return NULL;
    }

    lscf = ngx_http_get_module_srv_conf(r, ngx_http_litestream_module);

    if (lscf->dbs.nelts || lscf->vfss.nelts) {
        return &lscf->vfss;
    }

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_litestream_module);

    return &lmcf->lcf.vfs;
}


static ngx_array_t *
ngx_http_litestream_server_dbs(ngx_http_request_t *r)
{
    return ngx_http_litestream_visible(
              ngx_http_get_module_main_conf(r, ngx_http_litestream_module),
              ngx_http_get_module_srv_conf(r, ngx_http_litestream_module),
              NULL);
}


/*
 * As ngx_http_litestream_dbs(), while the configuration is read; llcf is NULL
 * when the location does not matter.
 */

ngx_array_t *
ngx_http_litestream_visible(ngx_http_litestream_main_conf_t *lmcf,
    ngx_http_litestream_srv_conf_t *lscf, ngx_http_litestream_loc_conf_t *llcf)
{
    if (llcf && llcf->dbs) {
        return llcf->dbs;
    }

    return lscf->dbs.nelts ? &lscf->dbs : &lmcf->lcf.all;
}


static ngx_int_t
ngx_http_litestream_ready_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_uint_t                      i, ready;
    ngx_array_t                    *dbs;
    ngx_litestream_db_t           **db;
    ngx_litestream_db_status_t      st;
    ngx_litestream_dir_status_t     dst;
    ngx_litestream_super_status_t   ss;

    dbs = ngx_http_litestream_server_dbs(r);
    db = dbs->elts;

    if (dbs->nelts == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    ready = (ngx_litestream_status_super(&ss) == NGX_OK
             && ngx_litestream_alive(&ss, ngx_http_litestream_now()));

    for (i = 0; ready && i < dbs->nelts; i++) {

        if (ngx_litestream_is_dir(db[i])) {
            ready = (ngx_http_litestream_status_dir(db[i], &dst) == NGX_OK
                     && dst.in_place);
            continue;
        }

        ready = (ngx_litestream_status_db(db[i]->id, db[i]->index, &st)
                 == NGX_OK
                 && st.in_place);
    }

    v->len = 1;
    v->data = (u_char *) (ready ? "1" : "0");

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_litestream_lag_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    int64_t                lag, now, max;
    ngx_uint_t             i, n;
    ngx_array_t           *dbs;
    ngx_litestream_db_t  **db;

    dbs = ngx_http_litestream_server_dbs(r);
    db = dbs->elts;

    if (dbs->nelts == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    now = ngx_http_litestream_now();
    max = 0;
    n = 0;

    for (i = 0; i < dbs->nelts; i++) {

        /* a copy has no lag */

        if (!db[i]->replicate) {
            continue;
        }

        lag = ngx_http_litestream_lag(db[i], now);

        if (lag == NGX_HTTP_LITESTREAM_NO_LAG) {
            continue;
        }

        n++;

        if (lag < 0) {
            max = -1;
            break;
        }

        max = ngx_max(max, lag);
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (n == 0 || max < 0) {
        v->len = 1;
        v->data = (u_char *) "-";

        return NGX_OK;
    }

    v->data = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".123") - 1);
    if (v->data == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(v->data, "%L.%03L", max / 1000, max % 1000)
             - v->data;

    return NGX_OK;
}


/* ms, -1: unknown; that of a directory is the largest in it */

static int64_t
ngx_http_litestream_lag(ngx_litestream_db_t *db, int64_t now)
{
    ngx_litestream_db_status_t   st;
    ngx_litestream_dir_status_t  dst;

    if (!ngx_litestream_is_dir(db)) {
        return (ngx_litestream_status_db(db->id, db->index, &st) == NGX_OK)
               ? ngx_litestream_lag(&st, now) : -1;
    }

    if (ngx_http_litestream_status_dir(db, &dst) != NGX_OK
        || dst.scanned_at == 0)
    {
        return -1;
    }

    if (dst.count == 0) {
        return NGX_HTTP_LITESTREAM_NO_LAG;
    }

    st.last_sync_at = dst.last_sync_at;

    return ngx_litestream_lag(&st, now);
}
