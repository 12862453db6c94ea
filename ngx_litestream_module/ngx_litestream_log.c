
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream.h"


/*
 * A shorter secret is left to the expressions: replaced wherever its letters
 * stand it would garble each line, and so show itself.
 */

#define NGX_LITESTREAM_SECRET_MIN   4

/* so much of a secret at the end of a line is one that was cut off */
#define NGX_LITESTREAM_SECRET_PART  8


typedef struct {
    ngx_litestream_line_t     *line;
    u_char                    *pos;
    u_char                    *end;
    unsigned                   level:1;
    unsigned                   msg:1;
    unsigned                   db:1;
    unsigned                   error:1;
    unsigned                   version:1;
} ngx_litestream_line_ctx_t;


typedef struct {
    ngx_regex_t               *url;
    ngx_regex_t               *name;
    ngx_str_t                 *secrets; /* by first byte, long ones first */
    ngx_uint_t                 first[256 + 1];
} ngx_litestream_redact_t;


static ngx_int_t ngx_litestream_line_handler(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);
static ngx_uint_t ngx_litestream_line_is(ngx_str_t *key, char *name);
static void ngx_litestream_line_keep(ngx_litestream_line_ctx_t *ctx,
    ngx_str_t *value, ngx_str_t *to);
static ngx_uint_t ngx_litestream_line_level(u_char *p, size_t len);
static ngx_uint_t ngx_litestream_line_severity(u_char *p, size_t len);
static size_t ngx_litestream_line_fit(u_char *p, size_t len, size_t size);
static u_char *ngx_litestream_line_append(u_char *p, u_char *end,
    char *before, ngx_str_t *text, char *after);

static ngx_regex_t *ngx_litestream_redact_compile(ngx_conf_t *cf,
    ngx_str_t *pattern);
static ngx_int_t ngx_litestream_redact_escape(ngx_conf_t *cf, ngx_str_t *src,
    ngx_str_t *uri, ngx_str_t *quoted);
static int ngx_libc_cdecl ngx_litestream_redact_cmp(const void *one,
    const void *two);
static size_t ngx_litestream_redact_secrets(ngx_litestream_redact_t *rd,
    u_char *p, size_t len);
static size_t ngx_litestream_redact_regex(ngx_regex_t *re, u_char *p,
    size_t len);
static size_t ngx_litestream_redact_controls(u_char *p, size_t len);


/*
 * Both put what is to go into the first capture.  A code of an error, such as
 * InvalidAccessKeyId, is followed by what it means: no value, it stays.
 */

static ngx_str_t  ngx_litestream_redact_url =
    ngx_string("://[^/\\s:@\"']*+:([^/\\s\"']*)@");

static ngx_str_t  ngx_litestream_redact_name =
    ngx_string("\\b(?-i:(?:Invalid|Expired|Malformed|Missing)[A-Z][A-Za-z]*+"
               "|Authorization(?:HeaderMalformed|QueryParametersError)"
               "|TokenRefreshRequired): (*SKIP)(*FAIL)|"
               "(?:(?:secret|passw(?:or)?d|passphrase|token|authorization"
               "|(?:access|account|private|shared|customer)[-_ ]?key)"
               "[a-z0-9_-]{0,32}+|\\b(?:x-amz-)?sig(?:nature)?)"
               "\\\\*+[\"']?\\s*+(?:=>|[:=])\\s*+\\\\*+"
               "(?:(?:basic|bearer|sharedkey)\\s++)?"
               "(?|\"([^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+)"
               "|'([^']*+)|([^\\s\"'&]++))");


/*
 * p: one line, with or without its end, it is not changed; buf: of the
 * caller, NGX_LITESTREAM_LINE_LEN bytes, the strings of line point into it.
 * Any process, does not block.
 */

void
ngx_litestream_line_parse(u_char *p, size_t len, u_char *buf,
    ngx_litestream_line_t *line)
{
    ngx_litestream_line_ctx_t  ctx;

    ngx_memzero(line, sizeof(ngx_litestream_line_t));
    ngx_memzero(&ctx, sizeof(ngx_litestream_line_ctx_t));

    while (len && (p[len - 1] == '\r' || p[len - 1] == '\n')) {
        len--;
    }

    if (len && p[0] == '{') {

        line->level = NGX_LOG_NOTICE;

        ctx.line = line;
        ctx.pos = buf;
        ctx.end = buf + NGX_LITESTREAM_LINE_LEN;

        if (ngx_litestream_yaml_read(p, len, ngx_litestream_line_handler,
                                     &ctx)
            == NGX_OK
            && line->msg.len)
        {
            line->json = 1;
            return;
        }

        ngx_memzero(line, sizeof(ngx_litestream_line_t));
    }

    line->level = ngx_litestream_line_severity(p, len);

    line->msg.data = buf;
    line->msg.len = ngx_litestream_line_fit(p, len, NGX_LITESTREAM_LINE_LEN);

    if (line->msg.len) {
        ngx_memcpy(buf, p, line->msg.len);
    }
}


static ngx_int_t
ngx_litestream_line_handler(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_line_ctx_t *ctx = data;

    if (depth != 1 || value == NULL) {
        return NGX_OK;
    }

    /* Litestream repeats keys: the first one is the logger's own */

    if (!ctx->level && ngx_litestream_line_is(key, "level")) {
        ctx->level = 1;
        ctx->line->level = ngx_litestream_line_level(value->data, value->len);

    } else if (!ctx->msg && ngx_litestream_line_is(key, "msg")) {
        ctx->msg = 1;
        ngx_litestream_line_keep(ctx, value, &ctx->line->msg);

    } else if (!ctx->db && ngx_litestream_line_is(key, "db")) {
        ctx->db = 1;
        ngx_litestream_line_keep(ctx, value, &ctx->line->db);

    } else if (!ctx->error && ngx_litestream_line_is(key, "error")) {
        ctx->error = 1;
        ngx_litestream_line_keep(ctx, value, &ctx->line->error);

    } else if (!ctx->version && ngx_litestream_line_is(key, "version")) {
        ctx->version = 1;
        ngx_litestream_line_keep(ctx, value, &ctx->line->version);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_litestream_line_is(ngx_str_t *key, char *name)
{
    return key->len == ngx_strlen(name)
           && ngx_memcmp(key->data, name, key->len) == 0;
}


static void
ngx_litestream_line_keep(ngx_litestream_line_ctx_t *ctx, ngx_str_t *value,
    ngx_str_t *to)
{
    to->data = ctx->pos;
    to->len = ngx_litestream_line_fit(value->data, value->len,
                                      ctx->end - ctx->pos);

    ctx->pos = ngx_cpymem(ctx->pos, value->data, to->len);
}


/* slog has levels between its own, such as "WARN+2" */

static ngx_uint_t
ngx_litestream_line_level(u_char *p, size_t len)
{
    size_t      n;
    ngx_uint_t  i;

    static struct {
        char        *name;
        ngx_uint_t   level;
    } levels[] = {
        { "TRACE", NGX_LOG_DEBUG },
        { "DEBUG", NGX_LOG_DEBUG },
        { "INFO", NGX_LOG_INFO },
        { "WARN", NGX_LOG_WARN },
        { "ERROR", NGX_LOG_ERR },
        { NULL, 0 }
    };

    for (i = 0; levels[i].name; i++) {
        n = ngx_strlen(levels[i].name);

        if (len >= n && ngx_memcmp(p, levels[i].name, n) == 0) {
            return levels[i].level;
        }
    }

    return NGX_LOG_NOTICE;
}


/* of a line that is not JSON, or is no more because it was cut off */

static ngx_uint_t
ngx_litestream_line_severity(u_char *p, size_t len)
{
    size_t  i, n;

    static u_char  level[] = "\"level\":\"";

    if (len < 6) {
        return NGX_LOG_NOTICE;
    }

    if (ngx_memcmp(p, "Error:", 6) == 0 || ngx_memcmp(p, "panic:", 6) == 0) {
        return NGX_LOG_ERR;
    }

    /* a request to its MCP server */

    if (ngx_memcmp(p, "[] ", 3) == 0) {
        return NGX_LOG_INFO;
    }

    n = sizeof(level) - 1;

    if (p[0] == '{') {

        for (i = 1; i + n <= len; i++) {

            if (ngx_memcmp(p + i, level, n) == 0) {
                return ngx_litestream_line_level(p + i + n, len - i - n);
            }
        }
    }

    return NGX_LOG_NOTICE;
}


/* how much of p can be in size bytes without cutting a character of UTF-8 */

static size_t
ngx_litestream_line_fit(u_char *p, size_t len, size_t size)
{
    size_t  n;

    if (len <= size) {
        return len;
    }

    for (n = size; n && size - n < 3 && (p[n] & 0xc0) == 0x80; n--) {
        /* void */
    }

    return (p[n] & 0xc0) == 0x80 ? size : n;
}


/*
 * Any process, does not block.
 */

size_t
ngx_litestream_line_text(ngx_litestream_line_t *line, u_char *buf, size_t size)
{
    u_char  *p, *end;

    end = buf + size;

    p = ngx_litestream_line_append(buf, end, "", &line->msg, "");
    p = ngx_litestream_line_append(p, end, " ", &line->version, "");
    p = ngx_litestream_line_append(p, end, ": ", &line->error, "");
    p = ngx_litestream_line_append(p, end, ", db \"", &line->db, "\"");

    return p - buf;
}


static u_char *
ngx_litestream_line_append(u_char *p, u_char *end, char *before,
    ngx_str_t *text, char *after)
{
    size_t  n;

    if (text->len == 0) {
        return p;
    }

    n = ngx_min(ngx_strlen(before), (size_t) (end - p));
    p = ngx_cpymem(p, before, n);

    n = ngx_litestream_line_fit(text->data, text->len, end - p);
    p = ngx_cpymem(p, text->data, n);

    n = ngx_min(ngx_strlen(after), (size_t) (end - p));
    p = ngx_cpymem(p, after, n);

    return p;
}


/*
 * Called by the process that reads the configuration; what it makes belongs
 * to cf->pool, so that a configuration that is not taken does no harm to the
 * one in use.
 */

ngx_int_t
ngx_litestream_redact_init(ngx_conf_t *cf, ngx_litestream_conf_t *lcf)
{
    size_t                    size;
    ngx_uint_t                i, n;
    ngx_str_t                *src, *dst;
    ngx_litestream_redact_t  *rd;

    rd = ngx_pcalloc(cf->pool, sizeof(ngx_litestream_redact_t));
    if (rd == NULL) {
        return NGX_ERROR;
    }

    rd->url = ngx_litestream_redact_compile(cf, &ngx_litestream_redact_url);
    if (rd->url == NULL) {
        return NGX_ERROR;
    }

    rd->name = ngx_litestream_redact_compile(cf, &ngx_litestream_redact_name);
    if (rd->name == NULL) {
        return NGX_ERROR;
    }

    /* each secret as it is, in a URL, and in quotes */

    size = (3 * lcf->secrets.nelts + 1) * sizeof(ngx_str_t);

    rd->secrets = ngx_pcalloc(cf->pool, size);
    if (rd->secrets == NULL) {
        return NGX_ERROR;
    }

    src = lcf->secrets.elts;
    dst = rd->secrets;

    for (i = 0; i < lcf->secrets.nelts; i++) {

        if (src[i].len < NGX_LITESTREAM_SECRET_MIN) {
            continue;
        }

        *dst = src[i];

        if (ngx_litestream_redact_escape(cf, dst, dst + 1, dst + 2)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        dst += 3;
    }

    n = dst - rd->secrets;
    dst = rd->secrets;

    ngx_qsort(dst, n, sizeof(ngx_str_t), ngx_litestream_redact_cmp);

    for (i = 0; i < n; i++) {
        rd->first[dst[i].data[0] + 1]++;
    }

    for (i = 1; i <= 256; i++) {
        rd->first[i] += rd->first[i - 1];
    }

    lcf->redact = rd;

    return NGX_OK;
}


static ngx_regex_t *
ngx_litestream_redact_compile(ngx_conf_t *cf, ngx_str_t *pattern)
{
    u_char               errstr[NGX_MAX_CONF_ERRSTR];
    ngx_regex_compile_t  rc;

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    rc.pattern = *pattern;
    rc.pool = cf->pool;
    rc.options = NGX_REGEX_CASELESS;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    if (ngx_regex_compile(&rc) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V", &rc.err);
        return NULL;
    }

    return rc.regex;
}


/* as Go's url.QueryEscape() and strconv.Quote() would write it */

static ngx_int_t
ngx_litestream_redact_escape(ngx_conf_t *cf, ngx_str_t *src, ngx_str_t *uri,
    ngx_str_t *quoted)
{
    u_char  *u, *q, c;
    size_t   i;

    static u_char  hex[] = "0123456789ABCDEF";

    u = ngx_pnalloc(cf->pool, 5 * src->len);
    if (u == NULL) {
        return NGX_ERROR;
    }

    q = u + 3 * src->len;

    uri->data = u;
    quoted->data = q;

    for (i = 0; i < src->len; i++) {
        c = src->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9')
            || c == '-' || c == '_' || c == '.' || c == '~')
        {
            *u++ = c;

        } else {
            *u++ = '%';
            *u++ = hex[c >> 4];
            *u++ = hex[c & 0xf];
        }

        if (c == '"' || c == '\\') {
            *q++ = '\\';
        }

        *q++ = c;
    }

    uri->len = u - uri->data;
    quoted->len = q - quoted->data;

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_litestream_redact_cmp(const void *one, const void *two)
{
    const ngx_str_t  *a, *b;

    a = one;
    b = two;

    if (a->data[0] != b->data[0]) {
        return a->data[0] < b->data[0] ? -1 : 1;
    }

    if (a->len != b->len) {
        return a->len > b->len ? -1 : 1;
    }

    return ngx_memcmp(a->data, b->data, a->len);
}


/*
 * Changes len bytes at p in place.  Any process that has the configuration;
 * does not block.
 */

size_t
ngx_litestream_redact(ngx_litestream_conf_t *lcf, u_char *p, size_t len)
{
    ngx_litestream_redact_t  *rd;

    if (len == 0) {
        return 0;
    }

    rd = lcf->redact;

    if (rd) {
        len = ngx_litestream_redact_secrets(rd, p, len);
        len = ngx_litestream_redact_regex(rd->url, p, len);
        len = ngx_litestream_redact_regex(rd->name, p, len);
    }

    return ngx_litestream_redact_controls(p, len);
}


static size_t
ngx_litestream_redact_secrets(ngx_litestream_redact_t *rd, u_char *p,
    size_t len)
{
    size_t       rest, n;
    u_char      *src, *dst, *last;
    ngx_str_t   *s;
    ngx_uint_t   i, end;

    src = p;
    dst = p;
    last = p + len;

    while (src < last) {

        rest = last - src;
        i = rd->first[*src];
        end = rd->first[*src + 1];

        for ( /* void */ ; i < end; i++) {
            s = &rd->secrets[i];

            n = ngx_min(s->len, rest);

            if (n < s->len && n < NGX_LITESTREAM_SECRET_PART) {
                continue;
            }

            if (ngx_memcmp(s->data, src, n) == 0) {
                dst = ngx_cpymem(dst, "***", 3);
                src += n;
                break;
            }
        }

        if (i == end) {
            *dst++ = *src++;
        }
    }

    return dst - p;
}


static size_t
ngx_litestream_redact_regex(ngx_regex_t *re, u_char *p, size_t len)
{
    int         captures[(1 + 1) * 3];
    size_t      n, head;
    u_char     *src, *dst, *last;
    ngx_int_t   rc;
    ngx_str_t   text;

    src = p;
    dst = p;
    last = p + len;

    while (src < last) {

        text.data = src;
        text.len = last - src;

        rc = ngx_regex_exec(re, &text, captures, (1 + 1) * 3);

        if (rc == NGX_REGEX_NO_MATCHED) {
            break;
        }

        if (rc < 0) {

            /* it cannot be told what the rest has in it */

            n = ngx_min(text.len, 3);
            ngx_memset(dst, '*', n);

            return dst + n - p;
        }

        head = captures[2];
        n = captures[3] - captures[2];

        ngx_memmove(dst, src, head);

        dst += head;
        src += head + n;

        n = ngx_min(n, 3);
        ngx_memset(dst, '*', n);

        dst += n;

        /* an empty capture: get on */

        head = captures[1] - captures[3];

        ngx_memmove(dst, src, head);

        dst += head;
        src += head;
    }

    n = last - src;

    ngx_memmove(dst, src, n);

    return dst + n - p;
}


static size_t
ngx_litestream_redact_controls(u_char *p, size_t len)
{
    u_char  *src, *dst, *last;

    src = p;
    dst = p;
    last = p + len;

    while (src < last) {

        if (*src < 0x20 || *src == 0x7f) {
            *dst++ = '?';
            src++;
            continue;
        }

        /* U+0080 to U+009f: some terminals obey them */

        if (*src == 0xc2 && last - src > 1 && src[1] >= 0x80 && src[1] <= 0x9f)
        {
            *dst++ = '?';
            src += 2;
            continue;
        }

        *dst++ = *src++;
    }

    return dst - p;
}
