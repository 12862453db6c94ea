
/*
 * Copyright (C) the ngx_litestream authors
 */


/* URLs of replicas, taken apart as Litestream does it; pure */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream.h"


static char *ngx_litestream_url_host(ngx_pool_t *pool,
    ngx_litestream_url_t *url, u_char *p, u_char *last);
static ngx_uint_t ngx_litestream_url_number(u_char *p, u_char *last);
static char *ngx_litestream_url_decode(ngx_pool_t *pool, u_char *p,
    u_char *last, ngx_str_t *out);
static u_char *ngx_litestream_url_user(ngx_str_t *text, ngx_uint_t whole,
    u_char **start);


/*
 * SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST...][/PATH][?QUERY]: user and
 * password are decoded, "%40" is "@"; the host is in lower case, and the path
 * is as it stands there.  NULL, or what is wrong: never a part of the text,
 * which may be a secret (NGX_CONF_ERROR: no memory).  All that is new comes
 * from pool and is NUL-ended.  Any process, does not block.
 */

char *
ngx_litestream_url_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_litestream_url_t *url)
{
    char    *reason;
    u_char  *p, *at, *colon, *end, *last;

    ngx_memzero(url, sizeof(ngx_litestream_url_t));

    p = text->data;
    last = p + text->len;

    end = ngx_strlchr(p, last, ':');

    if (end == NULL || last - end < 3 || end[1] != '/' || end[2] != '/') {
        return "it must begin with SCHEME://";
    }

    url->scheme.data = p;
    url->scheme.len = end - p;

    p = end + 3;

    for (end = p;
         end < last && *end != '/' && *end != '?' && *end != '#';
         end++)
    {
        /* void */
    }

    /* as in Litestream the last one counts */

    for (at = end; at > p && at[-1] != '@'; at--) { /* void */ }

    if (at > p) {

        at--;

        colon = ngx_strlchr(p, at, ':');

        reason = ngx_litestream_url_decode(pool, p, colon ? colon : at,
                                           &url->user);
        if (reason) {
            return reason;
        }

        if (colon) {
            reason = ngx_litestream_url_decode(pool, colon + 1, at,
                                               &url->password);
            if (reason) {
                return reason;
            }
        }

        p = at + 1;

    } else if (ngx_strlchr(p, end, ':') && ngx_strlchr(end, last, '@')
               && ngx_litestream_url_host(pool, url, p, end) != NULL)
    {
        return "what stands before \"@\" ends at \"/\", \"?\" and \"#\", in a "
               "password they are written as %2F, %3F and %23";
    }

    reason = ngx_litestream_url_host(pool, url, p, end);
    if (reason) {
        return reason;
    }

    for (p = end; p < last; p++) {

        if (*p == '#') {
            return "\"#\" is written as %23";
        }

        if (*p == '?') {
            url->query.data = p + 1;
            url->query.len = last - (p + 1);
            last = p;
        }
    }

    url->path.data = end;
    url->path.len = last - end;

    return NULL;
}


static char *
ngx_litestream_url_host(ngx_pool_t *pool, ngx_litestream_url_t *url,
    u_char *p, u_char *last)
{
    u_char  *port, *end;

    url->host.len = last - p;
    url->host.data = ngx_pnalloc(pool, url->host.len + 1);
    if (url->host.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_strlow(url->host.data, p, url->host.len);
    url->host.data[url->host.len] = '\0';

    url->hosts = 0;

    while (p < last) {

        url->hosts++;

        if (*p == '[') {

            end = ngx_strlchr(p, last, ']');

            if (end == NULL) {
                return "its host has no \"]\"";
            }

            for (p++; p < end; p++) {

                if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'f')
                    && (*p < 'A' || *p > 'F') && *p != ':' && *p != '.')
                {
                    return "its host is not an address of IPv6";
                }
            }

            p++;

        } else {

            end = p;

            while (p < last
                   && ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z')
                       || (*p >= 'A' && *p <= 'Z') || *p == '.' || *p == '-'
                       || *p == '_'))
            {
                p++;
            }

            if (p == end) {
                return "its host is missing";
            }
        }

        if (p < last && *p == ':') {

            port = ++p;

            while (p < last && *p >= '0' && *p <= '9') {
                p++;
            }

            if (!ngx_litestream_url_number(port, p)) {
                return "its port is not a number from 1 to 65535";
            }
        }

        if (p == last) {
            return NULL;
        }

        if (*p != ',') {
            return "its host has characters in it that no host has";
        }

        p++;
    }

    /* empty, or there is a comma at its end */

    return "its host is missing";
}


static ngx_uint_t
ngx_litestream_url_number(u_char *p, u_char *last)
{
    ngx_int_t  n;

    n = (last - p > 5) ? NGX_ERROR : ngx_atoi(p, last - p);

    return n > 0 && n <= 65535;
}


static char *
ngx_litestream_url_decode(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *out)
{
    u_char     *d;
    ngx_int_t   ch;

    d = ngx_pnalloc(pool, last - p + 1);
    if (d == NULL) {
        return NGX_CONF_ERROR;
    }

    out->data = d;

    for ( /* void */ ; p < last; p++) {

        ch = *p;

        if (ch == '%') {

            ch = (last - p > 2) ? ngx_hextoi(p + 1, 2) : NGX_ERROR;

            if (ch == NGX_ERROR) {
                return "\"%\" that no two hexadecimal digits follow is "
                       "written as %25";
            }

            p += 2;
        }

        if (ch < 0x20 || ch == 0x7f) {
            return "it has control characters in it";
        }

        *d++ = (u_char) ch;
    }

    *d = '\0';
    out->len = d - out->data;

    return NULL;
}


/*
 * The path of a URL, without slashes at its ends, decoded.  What storages and
 * clients take differently would not be found again: that is refused.  NULL,
 * or what is wrong.  From pool, NUL-ended.
 */

char *
ngx_litestream_url_path(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *path)
{
    char    *reason;
    size_t   i, n;
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last && *p == '/') {
        p++;
    }

    while (last > p && last[-1] == '/') {
        last--;
    }

    reason = ngx_litestream_url_decode(pool, p, last, path);

    if (reason) {
        return reason;
    }

    if (path->len == 0) {
        return "its path is empty";
    }

    if (path->len > 900) {
        return "its path is too long";
    }

    n = 0;

    for (i = 0; i <= path->len; i++) {

        if (i < path->len && path->data[i] != '/') {
            n++;
            continue;
        }

        if (n == 0
            || (n == 1 && path->data[i - 1] == '.')
            || (n == 2 && path->data[i - 1] == '.'
                && path->data[i - 2] == '.'))
        {
            return "its path has an empty part, \".\" or \"..\" in it";
        }

        n = 0;
    }

    return NULL;
}


/*
 * "HOST:PORT" of the n-th host of a URL, with the default where it has no
 * port; empty: there are no more.  From pool, NUL-ended.
 */

ngx_int_t
ngx_litestream_url_server(ngx_pool_t *pool, ngx_litestream_url_t *url,
    ngx_uint_t n, ngx_uint_t port, ngx_str_t *server)
{
    u_char  *p, *end, *last;

    ngx_str_null(server);

    p = url->host.data;
    last = p + url->host.len;

    for ( ;; ) {

        if (p >= last) {
            return NGX_OK;
        }

        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        if (n-- == 0) {
            break;
        }

        p = end + 1;
    }

    server->data = ngx_pnalloc(pool, end - p + NGX_INT_T_LEN + 2);
    if (server->data == NULL) {
        return NGX_ERROR;
    }

    last = ngx_cpymem(server->data, p, end - p);

    p = ngx_strlchr(server->data, last, *server->data == '[' ? ']' : ':');

    if (p && *p == ']') {
        p = ngx_strlchr(p, last, ':');
    }

    if (p == NULL) {
        last = ngx_sprintf(last, ":%ui", port);
    }

    *last = '\0';
    server->len = last - server->data;

    return NGX_OK;
}


/*
 * Where what stands before "@" begins and ends; NULL: there is none.  whole:
 * the last "@" anywhere, since what is wrong with the text is not known yet.
 */

static u_char *
ngx_litestream_url_user(ngx_str_t *text, ngx_uint_t whole, u_char **start)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    p = ngx_strlchr(p, last, ':');

    if (p == NULL || last - p < 3 || p[1] != '/' || p[2] != '/') {
        return NULL;
    }

    *start = p + 3;

    if (!whole) {
        for (p = *start;
             p < last && *p != '/' && *p != '?' && *p != '#';
             p++)
        {
            /* void */
        }

        last = p;
    }

    while (last > *start && last[-1] != '@') {
        last--;
    }

    return last > *start ? last - 1 : NULL;
}


/*
 * A URL for a message: neither what stands before the last "@", wherever that
 * is, nor a query string is in it.  The text itself where there is nothing to
 * leave out, else from pool, NUL-ended; NULL: no memory.
 */

ngx_str_t *
ngx_litestream_url_mask(ngx_pool_t *pool, ngx_str_t *text)
{
    u_char     *p, *at, *start, *end, *last;
    ngx_str_t  *masked;

    last = text->data + text->len;

    at = ngx_litestream_url_user(text, 1, &start);

    if (at == NULL) {

        /* not even a URL */

        for (p = last; p > text->data && p[-1] != '@'; p--) { /* void */ }

        start = text->data;
        at = (p > start) ? p - 1 : NULL;
    }

    end = ngx_strlchr(at ? at : text->data, last, '?');

    if (end == NULL) {
        end = last;
    }

    if (at == NULL && end == last) {
        return text;
    }

    masked = ngx_palloc(pool, sizeof(ngx_str_t));
    if (masked == NULL) {
        return NULL;
    }

    masked->data = ngx_pnalloc(pool, text->len + sizeof("***?***"));
    if (masked->data == NULL) {
        return NULL;
    }

    p = masked->data;

    if (at) {
        p = ngx_cpymem(p, text->data, start - text->data);
        p = ngx_cpymem(p, "***", 3);
        p = ngx_cpymem(p, at, end - at);

    } else {
        p = ngx_cpymem(p, text->data, end - text->data);
    }

    if (end < last) {
        p = ngx_cpymem(p, "?***", 4);
    }

    *p = '\0';

    masked->len = p - masked->data;

    return masked;
}


/* its "@"; NULL: there is none */

u_char *
ngx_litestream_url_at(ngx_str_t *text)
{
    u_char  *start;

    return ngx_litestream_url_user(text, 0, &start);
}


/* makes of a text what can stand before "@"; from pool, NUL-ended */

ngx_int_t
ngx_litestream_url_escape(ngx_pool_t *pool, ngx_str_t *text)
{
    u_char  *p, *d, c;
    size_t   i;

    static u_char  hex[] = "0123456789ABCDEF";

    d = ngx_pnalloc(pool, 3 * text->len + 1);
    if (d == NULL) {
        return NGX_ERROR;
    }

    p = d;

    for (i = 0; i < text->len; i++) {
        c = text->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9')
            || c == '-' || c == '_' || c == '.' || c == '~')
        {
            *p++ = c;

        } else {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 0xf];
        }
    }

    *p = '\0';

    text->data = d;
    text->len = p - d;

    return NGX_OK;
}


/*
 * Takes the password out of a URL that has been parsed, and without keep the
 * user, too.  From pool, NUL-ended.
 */

ngx_int_t
ngx_litestream_url_public(ngx_pool_t *pool, ngx_str_t *text, ngx_uint_t keep)
{
    u_char  *p, *d, *at, *start;

    at = ngx_litestream_url_user(text, 0, &start);

    if (at == NULL) {
        return NGX_OK;
    }

    d = ngx_pnalloc(pool, text->len + 1);
    if (d == NULL) {
        return NGX_ERROR;
    }

    if (keep) {
        p = ngx_strlchr(start, at, ':');
        p = p ? p : at;

    } else {
        p = start;
        at++;
    }

    p = ngx_cpymem(d, text->data, p - text->data);
    p = ngx_cpymem(p, at, text->data + text->len - at);
    *p = '\0';

    text->data = d;
    text->len = p - d;

    return NGX_OK;
}


/*
 * 1: there is a password in it, or a token, and not by ${NAME}.
 */

ngx_uint_t
ngx_litestream_url_secret(ngx_str_t *text)
{
    u_char  *p, *at, *start;

    at = ngx_litestream_url_user(text, 0, &start);

    if (at == NULL) {
        return 0;
    }

    p = ngx_strlchr(start, at, ':');

    if (p) {
        start = p + 1;

    } else if (text->len < 5
               || ngx_strncasecmp(text->data, (u_char *) "nats:", 5) != 0)
    {
        /* a token stands there in those of nats alone */

        return 0;
    }

    return start < at && (*start != '$' || start + 1 == at || start[1] != '{');
}
