
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
static u_char *ngx_http_litestream_json_value(
    ngx_http_litestream_json_t *json, char *key, size_t size);
static void ngx_http_litestream_json_literal(ngx_http_litestream_json_t *json,
    char *key, char *text, size_t len);
static void ngx_http_litestream_json_string(ngx_http_litestream_json_t *json,
    char *key, u_char *data, size_t len);
static u_char *ngx_http_litestream_json_digits(u_char *p, uint64_t n,
    ngx_uint_t width);


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
    u_char  *p;

    p = ngx_http_litestream_json_value(json, key, 1);

    if (p == NULL) {
        return;
    }

    *p++ = bracket;
    ngx_http_litestream_json_written(json, p);

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
    ngx_http_litestream_json_string(json, NULL, data, len);
    ngx_http_litestream_json_write(json, ":", 1);

    json->comma = 0;
}


void
ngx_http_litestream_json_null(ngx_http_litestream_json_t *json, char *key)
{
    ngx_http_litestream_json_literal(json, key, "null", 4);
}


void
ngx_http_litestream_json_bool(ngx_http_litestream_json_t *json, char *key,
    ngx_uint_t value)
{
    if (value) {
        ngx_http_litestream_json_literal(json, key, "true", 4);

    } else {
        ngx_http_litestream_json_literal(json, key, "false", 5);
    }
}


void
ngx_http_litestream_json_number(ngx_http_litestream_json_t *json, char *key,
    int64_t value)
{
    u_char  *p;

    if (value < 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    p = ngx_http_litestream_json_value(json, key, NGX_INT64_LEN);

    if (p) {
        p = ngx_http_litestream_json_digits(p, value, 1);
        ngx_http_litestream_json_written(json, p);
    }
}


/*
 * Milliseconds as seconds with three decimals.
 */

void
ngx_http_litestream_json_seconds(ngx_http_litestream_json_t *json, char *key,
    int64_t ms)
{
    u_char  *p;

    if (ms < 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    p = ngx_http_litestream_json_value(json, key,
                                       NGX_INT64_LEN + sizeof(".000"));
    if (p) {
        p = ngx_http_litestream_json_digits(p, ms / 1000, 1);
        *p++ = '.';
        p = ngx_http_litestream_json_digits(p, ms % 1000, 3);
        ngx_http_litestream_json_written(json, p);
    }
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

    if (ms <= 0 || ms > NGX_HTTP_LITESTREAM_JSON_TIME) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    p = ngx_http_litestream_json_value(json, key,
                                       sizeof("\"9999-12-31T23:59:59.999Z\""));
    if (p == NULL) {
        return;
    }

    ngx_gmtime((time_t) (ms / 1000), &tm);

    *p++ = '"';
    p = ngx_http_litestream_json_digits(p, tm.ngx_tm_year, 4);
    *p++ = '-';
    p = ngx_http_litestream_json_digits(p, tm.ngx_tm_mon, 2);
    *p++ = '-';
    p = ngx_http_litestream_json_digits(p, tm.ngx_tm_mday, 2);
    *p++ = 'T';
    p = ngx_http_litestream_json_digits(p, tm.ngx_tm_hour, 2);
    *p++ = ':';
    p = ngx_http_litestream_json_digits(p, tm.ngx_tm_min, 2);
    *p++ = ':';
    p = ngx_http_litestream_json_digits(p, tm.ngx_tm_sec, 2);
    *p++ = '.';
    p = ngx_http_litestream_json_digits(p, ms % 1000, 3);
    *p++ = 'Z';
    *p++ = '"';

    ngx_http_litestream_json_written(json, p);
}


void
ngx_http_litestream_json_txid(ngx_http_litestream_json_t *json, char *key,
    uint64_t txid)
{
    u_char      *p;
    ngx_uint_t   i;

    static u_char  hex[] = "0123456789abcdef";

    if (txid == 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    p = ngx_http_litestream_json_value(json, key,
                                       sizeof("\"0123456789abcdef\""));
    if (p == NULL) {
        return;
    }

    *p++ = '"';

    for (i = 0; i < 16; i++) {
        *p++ = hex[(txid >> (60 - 4 * i)) & 0x0f];
    }

    *p++ = '"';

    ngx_http_litestream_json_written(json, p);
}


void
ngx_http_litestream_json_text(ngx_http_litestream_json_t *json, char *key,
    u_char *data, size_t len)
{
    if (len == 0) {
        ngx_http_litestream_json_null(json, key);
        return;
    }

    ngx_http_litestream_json_string(json, key, data, len);
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


/*
 * Writes what comes before a value, the comma and the key; returns where the
 * value goes, with room for size bytes, or NULL.
 */

static u_char *
ngx_http_litestream_json_value(ngx_http_litestream_json_t *json, char *key,
    size_t size)
{
    size_t   len;
    u_char  *p;

    len = key ? ngx_strlen(key) : 0;

    p = ngx_http_litestream_json_reserve(json, len + sizeof(",\"\":") + size);

    if (p == NULL) {
        return NULL;
    }

    if (json->comma) {
        *p++ = ',';
    }

    if (key) {
        *p++ = '"';
        p = ngx_cpymem(p, key, len);
        *p++ = '"';
        *p++ = ':';
    }

    ngx_http_litestream_json_written(json, p);

    json->comma = 1;

    return p;
}


static void
ngx_http_litestream_json_literal(ngx_http_litestream_json_t *json, char *key,
    char *text, size_t len)
{
    u_char  *p;

    p = ngx_http_litestream_json_value(json, key, len);

    if (p) {
        p = ngx_cpymem(p, text, len);
        ngx_http_litestream_json_written(json, p);
    }
}


/* most texts have nothing to escape: those bytes are copied one by one */

static void
ngx_http_litestream_json_string(ngx_http_litestream_json_t *json, char *key,
    u_char *data, size_t len)
{
    size_t   n;
    u_char  *p, *last, *end;

    p = ngx_http_litestream_json_value(json, key, 1);

    if (p == NULL) {
        return;
    }

    *p++ = '"';
    ngx_http_litestream_json_written(json, p);

    last = data + len;

    do {
        end = (last - data > NGX_HTTP_LITESTREAM_JSON_RUN)
              ? data + NGX_HTTP_LITESTREAM_JSON_RUN : last;

        p = ngx_http_litestream_json_reserve(json, (end - data) * 6 + 4);

        if (p == NULL) {
            return;
        }

        while (data < end) {

            if (*data >= 0x20 && *data < 0x7f && *data != '"'
                && *data != '\\')
            {
                *p++ = *data++;
                continue;
            }

            /* the last character may go beyond the run */

            n = ngx_http_litestream_json_utf8(data, last);

            if (n) {
                p = (u_char *) ngx_escape_json(p, data, n);
                data += n;

            } else {

                /* U+FFFD for each byte that is not UTF-8 */

                p = ngx_cpymem(p, "\xef\xbf\xbd", 3);
                data++;
            }
        }

        ngx_http_litestream_json_written(json, p);

    } while (data < last);

    ngx_http_litestream_json_write(json, "\"", 1);
}


/* n in decimal, with zeros in front up to width; NGX_INT64_LEN at most */

static u_char *
ngx_http_litestream_json_digits(u_char *p, uint64_t n, ngx_uint_t width)
{
    u_char  *d, buf[NGX_INT64_LEN];

    d = buf + NGX_INT64_LEN;

    do {
        *--d = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    while ((ngx_uint_t) (buf + NGX_INT64_LEN - d) < width) {
        *--d = '0';
    }

    return ngx_cpymem(p, d, buf + NGX_INT64_LEN - d);
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
