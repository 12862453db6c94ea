
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


static ngx_uint_t ngx_http_litestream_site_origin(ngx_http_request_t *r,
    ngx_str_t *origin);
static ngx_int_t ngx_http_litestream_site_authority(ngx_http_request_t *r,
    ngx_str_t *authority);
static ngx_int_t ngx_http_litestream_site_host_port(ngx_str_t *s,
    ngx_int_t port, ngx_str_t *host);
static ngx_uint_t ngx_http_litestream_site_host(ngx_http_request_t *r);
static ngx_uint_t ngx_http_litestream_site_name(ngx_str_t *name,
    ngx_str_t *host);


/*
 * nginx has the names of servers in memory that lasts while it reads its
 * configuration: they are moved to where a request finds them.  Without
 * this, the first name of a server is the only one known.  Postconfiguration.
 */

ngx_int_t
ngx_http_litestream_site_init(ngx_conf_t *cf)
{
    void                        *p;
    size_t                       size;
    ngx_uint_t                   i;
    ngx_array_t                 *names;
    ngx_http_core_srv_conf_t   **cscfp;
    ngx_http_core_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        names = &cscfp[i]->server_names;

        if (names->pool == cf->pool) {
            continue;
        }

        size = ngx_max(names->nalloc, 1) * names->size;

        p = ngx_palloc(cf->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, names->elts, names->nelts * names->size);

        names->elts = p;
        names->pool = cf->pool;
    }

    return NGX_OK;
}


/*
 * A POST that a browser sends for another site is refused.  Once a name of
 * that site has been made to point here, Origin and Host agree: then the
 * name itself tells.  200, or 403 and ctx->error.  Worker, does not block.
 */

ngx_uint_t
ngx_http_litestream_site(ngx_http_litestream_api_t *ctx)
{
    ngx_uint_t           i, browser;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    r = ctx->request;
    browser = 0;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("Origin") - 1
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Origin",
                               sizeof("Origin") - 1)
               == 0)
        {
            browser = 1;

            if (!ngx_http_litestream_site_origin(r, &h[i].value)) {
                return ngx_http_litestream_api_error(ctx, NGX_HTTP_FORBIDDEN,
                           "request from another site: Origin is \"%V\"",
                           &h[i].value);
            }

            continue;
        }

        if (h[i].key.len <= sizeof("Sec-Fetch-") - 1
            || ngx_strncasecmp(h[i].key.data, (u_char *) "Sec-Fetch-",
                               sizeof("Sec-Fetch-") - 1)
               != 0)
        {
            continue;
        }

        browser = 1;

        if (h[i].key.len == sizeof("Sec-Fetch-Site") - 1
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Sec-Fetch-Site",
                               sizeof("Sec-Fetch-Site") - 1)
               == 0
            && !(h[i].value.len == sizeof("same-origin") - 1
                 && ngx_strncmp(h[i].value.data, "same-origin",
                                sizeof("same-origin") - 1)
                    == 0)
            && !(h[i].value.len == sizeof("none") - 1
                 && ngx_strncmp(h[i].value.data, "none", sizeof("none") - 1)
                    == 0))
        {
            return ngx_http_litestream_api_error(ctx, NGX_HTTP_FORBIDDEN,
                       "request from another site: Sec-Fetch-Site is \"%V\"",
                       &h[i].value);
        }
    }

    if (browser && !ngx_http_litestream_site_host(r)) {
        return ngx_http_litestream_api_error(ctx, NGX_HTTP_FORBIDDEN,
                   "host \"%V\" is neither a server_name of this server, "
                   "nor an address, nor localhost",
                   &r->headers_in.server);
    }

    return NGX_HTTP_OK;
}


/* 1: the origin is this host */

static ngx_uint_t
ngx_http_litestream_site_origin(ngx_http_request_t *r, ngx_str_t *origin)
{
    ngx_int_t  def, port;
    ngx_str_t  s, o, h, authority;

    if (ngx_http_litestream_site_authority(r, &authority) != NGX_OK) {
        return 0;
    }

    if (origin->len > 7
        && ngx_strncasecmp(origin->data, (u_char *) "http://", 7) == 0)
    {
        s.data = origin->data + 7;
        s.len = origin->len - 7;
        def = 80;

    } else if (origin->len > 8
               && ngx_strncasecmp(origin->data, (u_char *) "https://", 8)
                  == 0)
    {
        s.data = origin->data + 8;
        s.len = origin->len - 8;
        def = 443;

    } else {
        return 0;
    }

    /* TLS may end in front of nginx: the origin's scheme is what counts */

    port = ngx_http_litestream_site_host_port(&s, def, &o);

    if (port == NGX_ERROR
        || port != ngx_http_litestream_site_host_port(
                                                     &authority, def, &h))
    {
        return 0;
    }

    return o.len == h.len
           && ngx_strncasecmp(o.data, h.data, o.len) == 0;
}


/*
 * The host and the port that the request is for: of its URI when they stand
 * there (Host does not count then, and ":authority" of HTTP/3 is there, too),
 * else of Host
 */

static ngx_int_t
ngx_http_litestream_site_authority(ngx_http_request_t *r, ngx_str_t *authority)
{
    u_char  *p;

    if (r->host_start) {
        p = r->host_end;

        if (r->http_version < NGX_HTTP_VERSION_20 && *p == ':') {

            /* in a request line host_end is before the port */

            for (p++; *p >= '0' && *p <= '9'; p++) { /* void */ }
        }

        authority->data = r->host_start;
        authority->len = p - r->host_start;

        return NGX_OK;
    }

    if (r->headers_in.host == NULL) {
        return NGX_DECLINED;
    }

    *authority = r->headers_in.host->value;

    return NGX_OK;
}


/* takes host[:port] apart, returns the port */

static ngx_int_t
ngx_http_litestream_site_host_port(ngx_str_t *s, ngx_int_t port,
    ngx_str_t *host)
{
    u_char  *p, *last;

    last = s->data + s->len;

    for (p = last; p > s->data && p[-1] != ':' && p[-1] != ']'; p--) {
        /* void */
    }

    *host = *s;

    if (p > s->data && p[-1] == ':') {
        host->len = p - 1 - s->data;

        if (p < last) {
            port = ngx_atoi(p, last - p);
        }
    }

    return host->len ? port : NGX_ERROR;
}


/* 1: the host is a name of this server, an address, or localhost */

static ngx_uint_t
ngx_http_litestream_site_host(ngx_http_request_t *r)
{
    ngx_str_t                 *host;
    ngx_uint_t                 i;
    ngx_http_server_name_t    *sn;
    ngx_http_core_srv_conf_t  *cscf;
#if (NGX_HAVE_INET6)
    u_char                     addr[16];
#endif

    host = &r->headers_in.server;

    if (host->len == 0) {
        return 0;
    }

    if (ngx_inet_addr(host->data, host->len) != INADDR_NONE) {
        return 1;
    }

    if (host->data[0] == '[') {

#if (NGX_HAVE_INET6)
        return host->len > 2
               && host->data[host->len - 1] == ']'
               && ngx_inet6_addr(host->data + 1, host->len - 2, addr)
                  == NGX_OK;
#else
        return 0;
#endif
    }

    if (host->len == sizeof("localhost") - 1
        && ngx_strncasecmp(host->data, (u_char *) "localhost",
                           sizeof("localhost") - 1)
           == 0)
    {
        return 1;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    if (cscf->server_names.pool != ngx_cycle->pool) {
        return ngx_http_litestream_site_name(&cscf->server_name, host);
    }

    sn = cscf->server_names.elts;

    for (i = 0; i < cscf->server_names.nelts; i++) {

#if (NGX_PCRE)
        if (sn[i].regex) {

            if (ngx_regex_exec(sn[i].regex->regex, host, NULL, 0) >= 0) {
                return 1;
            }

            continue;
        }
#endif

        if (ngx_http_litestream_site_name(&sn[i].name, host)) {
            return 1;
        }
    }

    return 0;
}


/* 1: the host has this name, which may be a wildcard */

static ngx_uint_t
ngx_http_litestream_site_name(ngx_str_t *name, ngx_str_t *host)
{
    size_t  n;

    if (name->len == 0) {
        return 0;
    }

    if (name->len == host->len
        && ngx_strncasecmp(name->data, host->data, name->len) == 0)
    {
        return 1;
    }

    if (name->data[0] == '.' || name->data[0] == '*') {

        /* ".example.com" is example.com, too */

        if (name->data[0] == '.'
            && name->len - 1 == host->len
            && ngx_strncasecmp(name->data + 1, host->data, host->len) == 0)
        {
            return 1;
        }

        n = name->len - (name->data[0] == '*');

        return n && host->len > n
               && ngx_strncasecmp(name->data + name->len - n,
                                  host->data + host->len - n, n)
                  == 0;
    }

    /* "www.example.*" */

    n = name->len - 1;

    return name->data[n] == '*'
           && host->len > n
           && ngx_strncasecmp(name->data, host->data, n) == 0;
}
