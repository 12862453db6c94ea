
/*
 * Copyright (C) the ngx_litestream authors
 *
 * The body of a POST: what is an object, and what its members are.
 */


#include "unit.h"
#include "ngx_http_litestream_body.c"


ngx_module_t  ngx_http_litestream_module;


/* what reads bodies is tested with nginx */

ngx_int_t
ngx_http_read_client_request_body(ngx_http_request_t *r,
    ngx_http_client_body_handler_pt handler)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_http_read_unbuffered_request_body(ngx_http_request_t *r)
{
    return NGX_ERROR;
}


void
ngx_http_block_reading(ngx_http_request_t *r)
{
}


void
ngx_http_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
}


ngx_uint_t
ngx_http_litestream_api_error(ngx_http_litestream_api_t *ctx,
    ngx_uint_t status, const char *fmt, ...)
{
    return status;
}


ngx_int_t
ngx_http_litestream_api_refuse(ngx_http_litestream_api_t *ctx, char *allow,
    ngx_uint_t status)
{
    return status;
}


/* "name=value;..." or "error", with the type of what is no string before it */

static ngx_int_t
members(u_char *text, size_t len, char *out, size_t size)
{
    size_t                         n;
    u_char                        *p;
    ngx_int_t                      rc;
    ngx_str_t                      body;
    ngx_http_litestream_member_t   m;

    body.data = text;
    body.len = len;

    p = NULL;
    n = 0;
    out[0] = '\0';

    for ( ;; ) {

        memset(&m, 0xff, sizeof(ngx_http_litestream_member_t));

        rc = ngx_http_litestream_body_member(&body, &p, &m);

        if (rc != NGX_OK) {
            break;
        }

        n += snprintf(out + n, size - n, "%.*s=%s%.*s;",
                      (int) m.name.len, m.name.data,
                      m.type == '"' ? "" : (char[]) { m.type, 0 },
                      (int) m.value.len, m.value.data);

        if (n >= size) {
            abort();
        }
    }

    if (rc == NGX_ERROR) {
        (void) snprintf(out, size, "error");
    }

    return rc;
}


static void
is(const char *text, const char *expected)
{
    char    out[4096], name[256];
    u_char *copy;
    size_t  len;

    /* memory of exactly its size */

    len = strlen(text);
    copy = malloc(len + 1);
    memcpy(copy, text, len);
    copy = realloc(copy, len ? len : 1);

    (void) members(copy, len, out, sizeof(out));

    (void) snprintf(name, sizeof(name), "%.100s: %.100s", text, out);
    unit_ok(strcmp(out, expected) == 0, name);

    free(copy);
}


static void
mutated(void)
{
    char        out[65536];
    size_t      len;
    u_char     *p;
    ngx_uint_t  i, k, rc;

    static const char  *seeds[] = {
        "{}", " { \"a\" : \"b\" , \"c\":null,\"d\":true } ",
        "{\"timestamp\":\"2026-01-31T12:00:00Z\",\"x\":-1.5e+7}",
        "{\"a\\\"b\":\"c\\\\\",\"in_place\":false}"
    };

    rc = 0;

    for (i = 0; i < 100000; i++) {

        k = i % (sizeof(seeds) / sizeof(char *));

        p = unit_mutate(seeds[k], strlen(seeds[k]), &len);

        if (members(p, len, out, sizeof(out)) == NGX_DECLINED) {
            rc++;
        }

        free(p);
    }

    unit_ok(rc > 0 && rc < 100000, "mutated bodies");
}


int
main(void)
{
    is("", "");
    is(" \r\n\t", "");
    is("{}", "");
    is(" { } ", "");
    is("{\"a\":\"b\"}", "a=b;");
    is("{ \"a\" : \"\" , \"c\" : \"d\" }", "a=;c=d;");
    is("{\"a\":true,\"b\":false,\"c\":null}", "a=ttrue;b=ffalse;c=nnull;");
    is("{\"a\":0,\"b\":-1.5e+3}", "a=00;b=0-1.5e+3;");
    is("{\"a\\\"b\":\"c\\\\\"}", "a\\\"b=c\\\\;");
    is("{\"a\":\"}\"}", "a=};");
    is("{\"\":\"\"}", "=;");

    is("{", "error");
    is("}", "error");
    is("{}}", "error");
    is("{} {}", "error");
    is("{,}", "error");
    is("{\"a\"}", "error");
    is("{\"a\":}", "error");
    is("{\"a\":\"b\",}", "error");
    is("{\"a\":\"b\" \"c\":\"d\"}", "error");
    is("{\"a\":\"b\"", "error");
    is("{\"a\":\"b", "error");
    is("{\"a\":\"b\\\"}", "error");
    is("{\"a\":\"b\\", "error");
    is("{a:\"b\"}", "error");
    is("{\"a\":{}}", "error");
    is("{\"a\":[]}", "error");
    is("{\"a\":nul}", "error");
    is("{\"a\":nullx}", "error");
    is("{\"a\":\"\n\"}", "error");
    is("[]", "error");
    is("\"a\"", "error");
    is("x", "error");

    mutated();

    return unit_end();
}
