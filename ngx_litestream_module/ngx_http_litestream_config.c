
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


#define NGX_HTTP_LITESTREAM_CONFIG_POOL  16384


/* a text that has been made, and the databases in it */

typedef ngx_int_t (*ngx_http_litestream_config_pt)(ngx_pool_t *pool,
    ngx_litestream_conf_t *lcf, ngx_litestream_group_t *group, u_char *use,
    ngx_uint_t mask, ngx_str_t *out);


typedef struct {
    ngx_array_t                  *dbs;  /* of ngx_litestream_db_t * */
    ngx_str_t                     texts[2];  /* the second: of 0.3 */
} ngx_http_litestream_config_t;


static ngx_int_t ngx_http_litestream_config_make(ngx_conf_t *cf,
    ngx_litestream_conf_t *lcf, ngx_array_t *dbs,
    ngx_http_litestream_config_pt write, ngx_str_t *text);
static ngx_int_t ngx_http_litestream_config_file(ngx_conf_t *cf,
    ngx_str_t *name, ngx_str_t *text);
static ngx_uint_t ngx_http_litestream_config_same(ngx_array_t *one,
    ngx_array_t *two);


/*
 * Looks up the names of db=, once all databases are known: conf->dbs.
 * NGX_ERROR: it has been logged.  Any process that reads the configuration,
 * does not block.
 */

ngx_int_t
ngx_http_litestream_api_dbs(ngx_conf_t *cf, ngx_litestream_conf_t *lcf,
    ngx_http_litestream_loc_conf_t *conf)
{
    ngx_str_t             *names;
    ngx_uint_t             i, k, n;
    ngx_litestream_db_t  **dbs, **db;

    conf->dbs = ngx_array_create(cf->pool, conf->names->nelts,
                                 sizeof(ngx_litestream_db_t *));
    if (conf->dbs == NULL) {
        return NGX_ERROR;
    }

    names = conf->names->elts;
    dbs = lcf->all.elts;

    for (i = 0; i < conf->names->nelts; i++) {

        for (n = 0; n < lcf->all.nelts; n++) {

            if (dbs[n]->alias.len == names[i].len
                && ngx_strncmp(dbs[n]->alias.data, names[i].data, names[i].len)
                   == 0)
            {
                break;
            }
        }

        if (n == lcf->all.nelts) {
            ngx_litestream_said_error(cf->log, &conf->said, 0,
                                      "unknown database \"%V\" in "
                                      "\"litestream_api\"", &names[i]);
            return NGX_ERROR;
        }

        db = conf->dbs->elts;

        for (k = 0; k < conf->dbs->nelts; k++) {
            if (db[k] == dbs[n]) {
                ngx_litestream_said_error(cf->log, &conf->said, 0,
                                          "database \"%V\" is duplicate in "
                                          "\"litestream_api\"", &names[i]);
                return NGX_ERROR;
            }
        }

        db = ngx_array_push(conf->dbs);
        if (db == NULL) {
            return NGX_ERROR;
        }

        *db = dbs[n];
    }

    return NGX_OK;
}


/*
 * What GET config answers in a location that shows these databases: their
 * part of the generated files, secrets masked.  Locations that show the same
 * ones share it.  One text is for Litestream 0.5, the next for 0.3; they are
 * the configuration's, workers only send them.  NULL: no memory, or a value
 * cannot be written, which has been logged.  Any process that reads the
 * configuration, does not block.
 */

ngx_str_t *
ngx_http_litestream_config_prepare(ngx_conf_t *cf,
    ngx_http_litestream_main_conf_t *lmcf, ngx_array_t *dbs)
{
    ngx_uint_t                      i;
    ngx_http_litestream_config_t   *config, **elt;

    if (lmcf->configs == NULL) {
        lmcf->configs = ngx_array_create(cf->pool, 4,
                                     sizeof(ngx_http_litestream_config_t *));
        if (lmcf->configs == NULL) {
            return NULL;
        }
    }

    elt = lmcf->configs->elts;

    for (i = 0; i < lmcf->configs->nelts; i++) {
        if (ngx_http_litestream_config_same(elt[i]->dbs, dbs)) {
            return elt[i]->texts;
        }
    }

    config = ngx_palloc(cf->pool, sizeof(ngx_http_litestream_config_t));
    if (config == NULL) {
        return NULL;
    }

    config->dbs = dbs;

    /* which Litestream it is will be known when nginx runs */

    if (ngx_http_litestream_config_make(cf, &lmcf->lcf, dbs,
                                        ngx_litestream_yaml_write,
                                        &config->texts[0])
        != NGX_OK
        || ngx_http_litestream_config_make(cf, &lmcf->lcf, dbs,
                                           ngx_litestream_old_yaml,
                                           &config->texts[1])
           != NGX_OK)
    {
        return NULL;
    }

    elt = ngx_array_push(lmcf->configs);
    if (elt == NULL) {
        return NULL;
    }

    *elt = config;

    return config->texts;
}


/* the groups one after the other, each a YAML document of its own */

static ngx_int_t
ngx_http_litestream_config_make(ngx_conf_t *cf, ngx_litestream_conf_t *lcf,
    ngx_array_t *dbs, ngx_http_litestream_config_pt write, ngx_str_t *text)
{
    size_t                    len;
    u_char                   *p, *use;
    ngx_int_t                 rc;
    ngx_str_t                *yml;
    ngx_pool_t               *pool;
    ngx_uint_t                i;
    ngx_litestream_db_t     **db;
    ngx_litestream_group_t  **groups;

    if (dbs->nelts == 0) {
        ngx_str_set(text, "# no databases\n");
        return NGX_OK;
    }

    /* what the text grows in is not needed later */

    pool = ngx_create_pool(NGX_HTTP_LITESTREAM_CONFIG_POOL, cf->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    use = ngx_pcalloc(pool, lcf->dbs.nelts + lcf->dirs.nelts);
    yml = ngx_pcalloc(pool, lcf->groups.nelts * sizeof(ngx_str_t));

    if (use == NULL || yml == NULL) {
        goto done;
    }

    db = dbs->elts;

    for (i = 0; i < dbs->nelts; i++) {
        use[db[i]->index + (db[i]->in ? lcf->dbs.nelts : 0)] = 1;
        yml[db[i]->group->index].len = 1;
    }

    groups = lcf->groups.elts;
    len = 0;

    for (i = 0; i < lcf->groups.nelts; i++) {

        if (yml[i].len == 0) {
            continue;
        }

        if (write(pool, lcf, groups[i], use, 1, &yml[i]) != NGX_OK) {
            goto done;
        }

        len += sizeof("---\n# \n") - 1 + groups[i]->yml.len + yml[i].len;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        goto done;
    }

    text->data = p;
    text->len = len;

    for (i = 0; i < lcf->groups.nelts; i++) {
        if (yml[i].len) {
            p = ngx_sprintf(p, "---\n# %V\n%V", &groups[i]->yml, &yml[i]);
        }
    }

    rc = NGX_OK;

done:

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_uint_t
ngx_http_litestream_config_same(ngx_array_t *one, ngx_array_t *two)
{
    return one == two
           || (one->nelts == two->nelts
               && ngx_memcmp(one->elts, two->elts, one->nelts * one->size)
                  == 0);
}


/*
 * For "nginx -T": the generated files come after those that were read, with
 * secrets masked.  Nothing is written.  NGX_ERROR: no memory, or a value
 * cannot be written, which has been logged.
 */

ngx_int_t
ngx_http_litestream_config_dump(ngx_conf_t *cf, ngx_litestream_conf_t *lcf)
{
    ngx_str_t                 text;
    ngx_uint_t                i;
    ngx_litestream_vfs_t    **vfs;
    ngx_litestream_group_t  **groups;

    groups = lcf->groups.elts;

    for (i = 0; i < lcf->groups.nelts; i++) {

        if (ngx_litestream_yaml_write(cf->pool, lcf, groups[i], NULL, 1,
                                      &text)
            != NGX_OK
            || ngx_http_litestream_config_file(cf, &groups[i]->yml, &text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    vfs = lcf->vfs.elts;

    for (i = 0; i < lcf->vfs.nelts; i++) {
        if (ngx_http_litestream_config_file(cf, &vfs[i]->file,
                                            &vfs[i]->masked)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_litestream_config_file(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text)
{
    ngx_buf_t        *b;
    ngx_conf_dump_t  *cd;

    b = ngx_pcalloc(cf->pool, sizeof(ngx_buf_t));
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->start = text->data;
    b->pos = text->data;
    b->last = text->data + text->len;
    b->end = b->last;

    cd = ngx_array_push(&cf->cycle->config_dump);
    if (cd == NULL) {
        return NGX_ERROR;
    }

    cd->name = *name;
    cd->buffer = b;

    return NGX_OK;
}


/*
 * GET config.  Worker, no I/O: the text was made with the configuration.
 */

ngx_uint_t
ngx_http_litestream_config_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json)
{
    ngx_str_t                       *text;
    ngx_litestream_group_status_t    st;
    ngx_http_litestream_loc_conf_t  *llcf;

    llcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_litestream_module);

    ngx_str_set(&json->type, "application/yaml");
    json->type_len = json->type.len;

    /* all of them run the same Litestream */

    text = &llcf->config[ngx_litestream_status_group(0, &st) == NGX_OK
                         && ngx_strncmp(st.version, "0.3.", 4) == 0];

    ngx_http_litestream_json_static(json, text->data, text->len);

    return NGX_HTTP_OK;
}
