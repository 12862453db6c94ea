
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


#define NGX_HTTP_LITESTREAM_JSON_BUFFER  16384

/* bytes of a text that are escaped in one go, to 6 bytes each at most */
#define NGX_HTTP_LITESTREAM_JSON_RUN     512

/* 9999-12-31T23:59:59.999Z: RFC 3339 has no later one */
#define NGX_HTTP_LITESTREAM_JSON_TIME    253402300799999LL


static void ngx_http_litestream_json_write(ngx_http_litestream_json_t *json,
    void *data, size_t len);
static void ngx_http_litestream_json_value(ngx_http_litestream_json_t *json,
    char *key);
static void ngx_http_litestream_json_string(ngx_http_litestream_json_t *json,
    u_char *data, size_t len);


/*
 * Begins an answer, its memory comes from pool.
 */

void
ngx_http_litestream_json_init(ngx_http_litestream_json_t *json,
    ngx_pool_t *pool)
{
    ngx_memzero(json, sizeof(ngx_http_litestream_json_t));

    json->pool = pool;
    json->last = &json->out;

    ngx_str_set(&json->type, "application/json");
    json->type_len = json->type.len;
}


/*
 * Begins an object or an array, bracket is "{" or "[".
 */

void
ngx_http_litestream_json_open(ngx_http_litestream_json_t *json, char *key,
    u_char bracket)
{
    ngx_http_litestream_json_value(json, key);
    ngx_http_litestream_json_write(json, &bracket, 1);

    json->comma = 0;
}


/*
 * Ends an object or an array, bracket is "}" or "]".
 */

void
ngx_http_litestream_json_close(ngx_http_litestream_json_t *json,
    u_char bracket)
{
    ngx_http_litestream_json_write(json, &bracket, 1);

    json->comma = 1;
}


/*
 * Adds the newline at the end of JSON; json->out and json->size are the
 * answer.
 */

void
ngx_http_litestream_json_end(ngx_http_litestream_json_t *json)
{
    if (json->comma) {
        ngx_http_litestream_json_write(json, "\n", 1);
    }

    *json->last = NULL;
}


void
ngx_http_litestream_json_raw(ngx_http_litestream_json_t *json, u_char *data,
    size_t len)
{
    ngx_http_litestream_json_write(json, data, len);
}


void
ngx_http_litestream_json_static(ngx_http_litestream_json_t *json,
    u_char *data, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(json->pool);
    cl = ngx_alloc_chain_link(json->pool);

    if (b == NULL || cl == NULL) {
        json->failed = 1;
        return;
    }

    b->pos = data;
    b->last = data + len;
    b->start = b->pos;
    b->end = b->last;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    *json->last = cl;
    json->last = &cl->next;
    json->buf = b;
    json->size += len;
}


/*
 * A key that comes from outside; the value is written next, with key NULL.
 */

void
ngx_http_litestream_json_key(ngx_http_litestream_json_t *json, u_char *data,
    size_t len)
{
    ngx_http_litestream_json_value(json, NULL);
    ngx_http_litestream_json_string(json, data, len);
    ngx_http_litestream_json_write(json, ":", 1);

    json->comma = 0;
}


void
ngx_http_litestream_json_null(ngx_http_litestream_json_t *json, char *key)
{
    ngx_http_litestream_json_value(json, key);
    ngx_http_litestream_json_write(json, "null", 4);
}


void
ngx_http_litestream_json_bool(ngx_http_litestream_json_t *json, char *key,
    ngx_uint_t value)
{
    ngx_http_litestream_json_value(json, key);

    if (value) {
        ngx_http_litestream_json_write(json, "true", 4);

    } else {
        ngx_http_litestream_json_write(json, "false", 5);
    }
}


void
ngx_http_litestream_json_number(ngx_http_litestream_json_t *json, char *key,
    int64_t value)
{
    u_char  *p, buf[NGX_INT64_LEN];

    if (value < 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    ngx_http_litestream_json_value(json, key);

    p = ngx_sprintf(buf, "%L", value);
    ngx_http_litestream_json_write(json, buf, p - buf);
}


/*
 * Milliseconds as seconds with three decimals.
 */

void
ngx_http_litestream_json_seconds(ngx_http_litestream_json_t *json, char *key,
    int64_t ms)
{
    u_char  *p, buf[NGX_INT64_LEN + sizeof(".000")];

    if (ms < 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    ngx_http_litestream_json_value(json, key);

    p = ngx_sprintf(buf, "%L.%03L", ms / 1000, ms % 1000);
    ngx_http_litestream_json_write(json, buf, p - buf);
}


/*
 * Milliseconds since 1970 as a time of RFC 3339.
 */

void
ngx_http_litestream_json_time(ngx_http_litestream_json_t *json, char *key,
    int64_t ms)
{
    u_char    *p;
    ngx_tm_t   tm;
    u_char     buf[sizeof("\"9999-12-31T23:59:59.999Z\"")];

    if (ms <= 0 || ms > NGX_HTTP_LITESTREAM_JSON_TIME) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    ngx_http_litestream_json_value(json, key);

    ngx_gmtime((time_t) (ms / 1000), &tm);

    p = ngx_sprintf(buf, "\"%4d-%02d-%02dT%02d:%02d:%02d.%03dZ\"",
                    tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                    tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                    (int) (ms % 1000));

    ngx_http_litestream_json_write(json, buf, p - buf);
}


void
ngx_http_litestream_json_txid(ngx_http_litestream_json_t *json, char *key,
    uint64_t txid)
{
    u_char  *p, buf[sizeof("\"0123456789abcdef\"")];

    if (txid == 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    ngx_http_litestream_json_value(json, key);

    p = ngx_sprintf(buf, "\"%016xL\"", txid);
    ngx_http_litestream_json_write(json, buf, p - buf);
}


void
ngx_http_litestream_json_text(ngx_http_litestream_json_t *json, char *key,
    u_char *data, size_t len)
{
    if (len == 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    ngx_http_litestream_json_value(json, key);
    ngx_http_litestream_json_string(json, data, len);
}


/*
 * A text in an array of the status file, which ends with NUL or is full.
 */

void
ngx_http_litestream_json_chars(ngx_http_litestream_json_t *json, char *key,
    char *data, size_t size)
{
    ngx_http_litestream_json_text(json, key, (u_char *) data,
                                  ngx_strnlen((u_char *) data, size));
}


/*
 * Room for size bytes in one piece, or NULL.  What is written there counts
 * after ngx_http_litestream_json_written().  Worker.
 */

u_char *
ngx_http_litestream_json_reserve(ngx_http_litestream_json_t *json,
    size_t size)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (json->failed) {
        return NULL;
    }

    b = json->buf;

    if (b && (size_t) (b->end - b->last) >= size) {
        return b->last;
    }

    b = ngx_create_temp_buf(json->pool,
                            ngx_max(size, NGX_HTTP_LITESTREAM_JSON_BUFFER));
    if (b == NULL) {
        json->failed = 1;
        return NULL;
    }

    cl = ngx_alloc_chain_link(json->pool);
    if (cl == NULL) {
        json->failed = 1;
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    *json->last = cl;
    json->last = &cl->next;
    json->buf = b;

    return b->last;
}


void
ngx_http_litestream_json_written(ngx_http_litestream_json_t *json,
    u_char *last)
{
    json->size += last - json->buf->last;
    json->buf->last = last;
}


static void
ngx_http_litestream_json_write(ngx_http_litestream_json_t *json, void *data,
    size_t len)
{
    u_char  *p;

    p = ngx_http_litestream_json_reserve(json, len);

    if (p == NULL) {
        return;
    }

    json->buf->last = ngx_cpymem(p, data, len);
    json->size += len;
}


/* what comes before a value: the comma and the key */

static void
ngx_http_litestream_json_value(ngx_http_litestream_json_t *json, char *key)
{
    if (json->comma) {
        ngx_http_litestream_json_write(json, ",", 1);
    }

    if (key) {
        ngx_http_litestream_json_write(json, "\"", 1);
        ngx_http_litestream_json_write(json, key, ngx_strlen(key));
        ngx_http_litestream_json_write(json, "\":", 2);
    }

    json->comma = 1;
}


static void
ngx_http_litestream_json_string(ngx_http_litestream_json_t *json,
    u_char *data, size_t len)
{
    size_t   n;
    u_char  *p, *run, *last;

    ngx_http_litestream_json_write(json, "\"", 1);

    last = data + len;

    while (data < last) {

        run = data;

        do {
            n = ngx_http_litestream_json_utf8(data, last);
            data += n;

        } while (n
                 && data < last
                 && data - run < NGX_HTTP_LITESTREAM_JSON_RUN);

        if (data > run) {
            p = ngx_http_litestream_json_reserve(json, (data - run) * 6);

            if (p == NULL) {
                return;
            }

            json->buf->last = (u_char *) ngx_escape_json(p, run, data - run);
            json->size += json->buf->last - p;
        }

        if (n == 0) {

            /* U+FFFD for each byte that is not UTF-8 */

            ngx_http_litestream_json_write(json, "\xef\xbf\xbd", 3);
            data++;
        }
    }

    ngx_http_litestream_json_write(json, "\"", 1);
}


/*
 * The length of the UTF-8 character at p, which is before last; 0: it is not
 * valid.  Any process.
 */

size_t
ngx_http_litestream_json_utf8(u_char *p, u_char *last)
{
    size_t    i, n;
    uint32_t  u, min;

    u = *p;

    if (u < 0x80) {
        return 1;
    }

    if (u >= 0xc2 && u < 0xe0) {
        u &= 0x1f;
        min = 0x80;
        n = 2;

    } else if (u >= 0xe0 && u < 0xf0) {
        u &= 0x0f;
        min = 0x800;
        n = 3;

    } else if (u >= 0xf0 && u < 0xf5) {
        u &= 0x07;
        min = 0x10000;
        n = 4;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        u = (u << 6) | (p[i] & 0x3f);
    }

    if (u < min || u > 0x10ffff || (u >= 0xd800 && u < 0xe000)) {
        return 0;
    }

    return n;
}
