
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The last answer to GET status.  What it says depends on the status file and
 * on the time in milliseconds: as long as neither has changed, as when many
 * ask at once, there is nothing to render again.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


/* a page or two of a worker's memory; longer answers are rendered each time */
#define NGX_HTTP_LITESTREAM_RECENT_SIZE  8192


typedef struct {
    void                      *srv;     /* what of it may be seen */
    void                      *loc;
    int64_t                    now;
    uint64_t                   changes;
    size_t                     len;     /* 0: there is none */
    u_char                     data[NGX_HTTP_LITESTREAM_RECENT_SIZE];
} ngx_http_litestream_recent_t;


static ngx_http_litestream_recent_t  ngx_http_litestream_recent;


/*
 * Writes the same answer as last time to json and returns NGX_OK; else
 * NGX_DECLINED, and *changes is for ngx_http_litestream_recent_keep().
 * Worker, no I/O.
 */

ngx_int_t
ngx_http_litestream_recent_get(ngx_http_request_t *r,
    ngx_http_litestream_json_t *json, uint64_t *changes)
{
    ngx_http_litestream_recent_t  *recent;

    recent = &ngx_http_litestream_recent;

    *changes = ngx_litestream_status_changes();

    if (recent->len == 0
        || recent->changes != *changes
        || recent->now != ngx_http_litestream_now()
        || recent->loc != ngx_http_get_module_loc_conf(r,
                                                  ngx_http_litestream_module)
        || recent->srv != ngx_http_get_module_srv_conf(r,
                                                  ngx_http_litestream_module))
    {
        return NGX_DECLINED;
    }

    ngx_http_litestream_json_raw(json, recent->data, recent->len);
    json->comma = 1;

    return NGX_OK;
}


/*
 * Keeps an answer that was rendered since then.  Worker.
 */

void
ngx_http_litestream_recent_keep(ngx_http_request_t *r,
    ngx_http_litestream_json_t *json, uint64_t changes)
{
    u_char                        *p;
    ngx_chain_t                   *cl;
    ngx_http_litestream_recent_t  *recent;

    if (json->failed || json->size > NGX_HTTP_LITESTREAM_RECENT_SIZE) {
        return;
    }

    recent = &ngx_http_litestream_recent;

    p = recent->data;

    *json->last = NULL;

    for (cl = json->out; cl; cl = cl->next) {
        p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    }

    recent->len = p - recent->data;
    recent->changes = changes;
    recent->now = ngx_http_litestream_now();
    recent->srv = ngx_http_get_module_srv_conf(r, ngx_http_litestream_module);
    recent->loc = ngx_http_get_module_loc_conf(r, ngx_http_litestream_module);
}
