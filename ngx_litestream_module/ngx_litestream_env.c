
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Environment files and ${NAME}: pure, no file is read here and nobody's
 * environment is looked at.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream.h"


typedef struct {
    ngx_pool_t                  *pool;
    u_char                      *pos;
    u_char                      *last;
    ngx_uint_t                   line;
    char                        *reason;
} ngx_litestream_env_file_t;


static ngx_int_t ngx_litestream_env_line(ngx_litestream_env_file_t *ef,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_litestream_env_quoted(ngx_litestream_env_file_t *ef,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_env_plain(ngx_litestream_env_file_t *ef,
    ngx_str_t *value);
static ngx_int_t ngx_litestream_env_end(ngx_litestream_env_file_t *ef);
static void ngx_litestream_env_blanks(ngx_litestream_env_file_t *ef);
static size_t ngx_litestream_env_name_len(u_char *p, u_char *last);


static ngx_str_t  ngx_litestream_env_secrets[] = {
    ngx_string("secret"),
    ngx_string("key"),
    ngx_string("token"),
    ngx_string("pass"),
    ngx_string("pwd"),
    ngx_string("credential"),
    ngx_string("jwt"),
    ngx_null_string
};


/*
 * Takes an environment file apart, as people write them: NAME=value, with or
 * without "export", comments, quotes.  Each variable is given to handler, in
 * the order of the file; values belong to pool and are NUL-ended, names point
 * into text.  NGX_DECLINED: the line *line is not understood, *reason, a
 * constant without anything of the file, says why.  Otherwise what handler
 * has returned, when that was not NGX_OK.
 */

ngx_int_t
ngx_litestream_env_parse(ngx_pool_t *pool, u_char *text, size_t len,
    ngx_litestream_env_pt handler, void *data, ngx_uint_t *line, char **reason)
{
    ngx_int_t                   rc;
    ngx_str_t                   name, value;
    ngx_litestream_env_file_t   ef;

    ef.pool = pool;
    ef.pos = text;
    ef.last = text + len;
    ef.line = 1;
    ef.reason = NULL;

    if (len >= 3 && ngx_memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        ef.pos += 3;
    }

    while (ef.pos < ef.last) {

        *line = ef.line;

        rc = ngx_litestream_env_line(&ef, &name, &value);

        if (rc == NGX_OK) {
            rc = handler(data, &name, &value);
        }

        if (rc != NGX_OK && rc != NGX_DONE) {
            *reason = ef.reason;
            return rc;
        }
    }

    return NGX_OK;
}


/* NGX_DONE: nothing is said there */

static ngx_int_t
ngx_litestream_env_line(ngx_litestream_env_file_t *ef, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_int_t   rc;

    ngx_litestream_env_blanks(ef);

    if (ngx_litestream_env_end(ef) == NGX_OK) {
        return NGX_DONE;
    }

    p = ef->pos;

    if (ef->last - p > 7 && ngx_strncmp(p, "export", 6) == 0
        && (p[6] == ' ' || p[6] == '\t'))
    {
        ef->pos += 6;
        ngx_litestream_env_blanks(ef);

        if (ef->pos < ef->last && *ef->pos == '=') {

            /* it is the name */

            ef->pos = p;
        }
    }

    name->data = ef->pos;
    name->len = ngx_litestream_env_name_len(ef->pos, ef->last);

    if (name->len == 0) {
        ef->reason = "a line must begin with a name or \"#\"";
        return NGX_DECLINED;
    }

    ef->pos += name->len;

    ngx_litestream_env_blanks(ef);

    if (ef->pos == ef->last || *ef->pos != '=') {
        ef->reason = "no \"=\" after the name";
        return NGX_DECLINED;
    }

    ef->pos++;

    ngx_litestream_env_blanks(ef);

    if (ef->pos < ef->last && (*ef->pos == '\'' || *ef->pos == '"')) {

        rc = ngx_litestream_env_quoted(ef, value);

        if (rc != NGX_OK) {
            return rc;
        }

        ngx_litestream_env_blanks(ef);

        if (ngx_litestream_env_end(ef) != NGX_OK) {
            ef->reason = "something follows the closing quote";
            return NGX_DECLINED;
        }

        return NGX_OK;
    }

    return ngx_litestream_env_plain(ef, value);
}


/* pos is on the quote; newlines belong to the value, CRLF becomes LF */

static ngx_int_t
ngx_litestream_env_quoted(ngx_litestream_env_file_t *ef, ngx_str_t *value)
{
    u_char  *p, *d, quote;

    p = ef->pos;
    quote = *p++;

    d = ngx_pnalloc(ef->pool, ef->last - p + 1);
    if (d == NULL) {
        return NGX_ERROR;
    }

    value->data = d;

    while (p < ef->last && *p != quote) {

        if (*p == '\0') {
            ef->reason = "a NUL character in a value";
            return NGX_DECLINED;
        }

        if (*p == '\r' && ef->last - p > 1 && p[1] == '\n') {
            p++;
            continue;
        }

        if (*p == '\n') {
            ef->line++;
        }

        if (quote == '"' && *p == '\\' && ef->last - p > 1) {

            switch (p[1]) {

            case 'n':
                *d++ = '\n';
                p += 2;
                continue;

            case 'r':
                *d++ = '\r';
                p += 2;
                continue;

            case 't':
                *d++ = '\t';
                p += 2;
                continue;

            case '"':
            case '\\':
            case '$':
            case '`':
                *d++ = p[1];
                p += 2;
                continue;
            }
        }

        *d++ = *p++;
    }

    if (p == ef->last) {
        ef->reason = "the closing quote is missing";
        return NGX_DECLINED;
    }

    *d = '\0';

    value->len = d - value->data;
    ef->pos = p + 1;

    return NGX_OK;
}


/* to the end of the line, or to a "#" after a blank */

static ngx_int_t
ngx_litestream_env_plain(ngx_litestream_env_file_t *ef, ngx_str_t *value)
{
    u_char  *p, *start, *end;

    start = ef->pos;
    end = start;

    for (p = start; p < ef->last && *p != '\n'; p++) {

        if (*p == '\0') {
            ef->reason = "a NUL character in a value";
            return NGX_DECLINED;
        }

        if (*p == '#' && (p[-1] == ' ' || p[-1] == '\t')) {
            break;
        }

        if (*p != ' ' && *p != '\t' && *p != '\r') {
            end = p + 1;
        }
    }

    value->len = end - start;
    value->data = ngx_pnalloc(ef->pool, value->len + 1);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(value->data, start, value->len);
    value->data[value->len] = '\0';

    ef->pos = p;

    (void) ngx_litestream_env_end(ef);

    return NGX_OK;
}


/* a comment and the end of a line are passed; NGX_DECLINED: neither is here */

static ngx_int_t
ngx_litestream_env_end(ngx_litestream_env_file_t *ef)
{
    u_char  *p;

    p = ef->pos;

    if (p < ef->last && *p == '#') {
        while (p < ef->last && *p != '\n') {
            p++;
        }
    }

    if (p < ef->last && *p == '\r') {
        p++;
    }

    if (p < ef->last) {

        if (*p != '\n') {
            return NGX_DECLINED;
        }

        p++;
        ef->line++;
    }

    ef->pos = p;

    return NGX_OK;
}


static void
ngx_litestream_env_blanks(ngx_litestream_env_file_t *ef)
{
    while (ef->pos < ef->last && (*ef->pos == ' ' || *ef->pos == '\t')) {
        ef->pos++;
    }
}


/* the length of the name that p begins with, 0: there is none */

static size_t
ngx_litestream_env_name_len(u_char *p, u_char *last)
{
    u_char  *start;

    for (start = p; p < last; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || *p == '_')
        {
            continue;
        }

        if (p > start
            && ((*p >= '0' && *p <= '9') || *p == '.' || *p == '-'))
        {
            continue;
        }

        break;
    }

    return p - start;
}


ngx_uint_t
ngx_litestream_env_name(ngx_str_t *name)
{
    return name->len
           && ngx_litestream_env_name_len(name->data, name->data + name->len)
              == name->len;
}


ngx_uint_t
ngx_litestream_env_secret(ngx_str_t *name)
{
    size_t      i, n;
    ngx_str_t  *part;

    for (part = ngx_litestream_env_secrets; part->len; part++) {

        for (i = 0; i + part->len <= name->len; i++) {

            for (n = 0; n < part->len; n++) {
                if (ngx_tolower(name->data[i + n]) != part->data[n]) {
                    break;
                }
            }

            if (n == part->len) {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * Replaces each ${NAME} in text by what lookup() knows of it, once: what it
 * gives is not looked at again.  out is NUL-ended and belongs to pool, or is
 * text itself when there is nothing to replace.  NGX_DECLINED: name is not
 * set; NGX_ABORT: "${" is not followed by a name and "}", name is what stands
 * there.
 */

ngx_int_t
ngx_litestream_env_expand(ngx_pool_t *pool, ngx_str_t *text,
    ngx_litestream_env_lookup_pt lookup, void *data, ngx_str_t *out,
    ngx_str_t *name)
{
    size_t       len;
    u_char      *p, *d, *end, *start, *last;
    ngx_str_t   *value;
    ngx_uint_t   pass, found;

    /* out may be text itself */

    start = text->data;
    last = start + text->len;

    *out = *text;
    found = 0;
    d = NULL;

    for (pass = 0; pass < 2; pass++) {

        len = 0;

        for (p = start; p < last; /* void */ ) {

            if (*p != '$' || last - p < 2 || p[1] != '{') {

                if (d) {
                    *d++ = *p;
                }

                p++;
                len++;
                continue;
            }

            end = ngx_strlchr(p, last, '}');

            name->data = p + 2;
            name->len = (end ? end : last) - name->data;

            if (end == NULL || !ngx_litestream_env_name(name)) {
                return NGX_ABORT;
            }

            value = lookup(data, name);

            if (value == NULL) {
                return NGX_DECLINED;
            }

            if (d) {
                d = ngx_cpymem(d, value->data, value->len);
            }

            len += value->len;
            found = 1;
            p = end + 1;
        }

        if (pass) {
            break;
        }

        if (!found) {
            return NGX_OK;
        }

        d = ngx_pnalloc(pool, len + 1);
        if (d == NULL) {
            return NGX_ERROR;
        }

        out->data = d;
        out->len = len;
    }

    *d = '\0';

    return NGX_OK;
}
