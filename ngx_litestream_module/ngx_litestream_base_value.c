
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


/*
 * $NAME and ${NAME}, as Litestream does it, but in a value that has been
 * read, so that what is in a variable cannot be taken for YAML; and a name
 * that is not set is an error.  With litestream_expand_env off nothing is
 * done.  NGX_ERROR: it has been logged.  Any process that reads the
 * configuration, does not block.
 */

ngx_int_t
ngx_litestream_base_expand(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *node)
{
    size_t       len, size;
    u_char      *p, *last, *start, *out, *new;
    ngx_str_t    name, *value;
    ngx_pool_t  *pool;
    ngx_uint_t   brace;

    p = node->value.data;
    last = p + node->value.len;

    if (!base->vars->expand || ngx_strlchr(p, last, '$') == NULL) {
        return NGX_OK;
    }

    node->expanded = 1;

    pool = parse->cf->pool;

    size = node->value.len + 1;
    len = 0;

    out = ngx_pnalloc(pool, size);
    if (out == NULL) {
        return NGX_ERROR;
    }

    while (p < last) {

        if (*p != '$') {
            out[len++] = *p++;
            continue;
        }

        start = p + 1;
        brace = (*start == '{');
        start += brace;

        for (p = start;
             (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
             || (*p >= '0' && *p <= '9') || *p == '_';
             p++)
        {
            /* void */
        }

        if (p == start || (*start >= '0' && *start <= '9')
            || (brace && *p != '}'))
        {
            ngx_litestream_base_error(parse, base, node->line,
                                      "\"$\" in \"%V\" is not of a variable: "
                                      "Litestream takes it away, say ${NAME}",
                                      &node->name);
            return NGX_ERROR;
        }

        name.data = start;
        name.len = p - start;

        value = ngx_litestream_vars_lookup(base->vars, &name);

        if (value == NULL) {
            ngx_litestream_base_error(parse, base, node->line,
                                      "variable \"${%V}\" in \"%V\" is not "
                                      "set, neither by \"litestream_env\", "
                                      "nor in a \"litestream_env_file\", nor "
                                      "in the environment nginx was started "
                                      "with", &name, &node->name);
            return NGX_ERROR;
        }

        p += brace;

        /* n more, and what has not been looked at fits anyway */

        new = ngx_pnalloc(pool, size + value->len);
        if (new == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(new, out, len);
        ngx_memcpy(new + len, value->data, value->len);

        out = new;
        len += value->len;
        size += value->len;
    }

    out[len] = '\0';

    node->value.data = out;
    node->value.len = len;

    return NGX_OK;
}


/*
 * 1: YAML's null, which Litestream takes as if nothing were said.
 */

ngx_uint_t
ngx_litestream_base_null(ngx_litestream_node_t *node)
{
    return node->plain
           && (node->value.len == 0
               || (node->value.len == 1 && node->value.data[0] == '~')
               || (node->value.len == 4
                   && ngx_litestream_base_word(&node->value, "null")));
}


/*
 * What YAML takes for true or false: 1, 0, or NGX_ERROR.
 */

ngx_int_t
ngx_litestream_base_bool(ngx_str_t *value)
{
    if (ngx_litestream_base_word(value, "true yes on y")) {
        return 1;
    }

    return ngx_litestream_base_word(value, "false no off n") ? 0 : NGX_ERROR;
}


/*
 * 1: value is one of words, which are separated by a space; case does not
 * matter.
 */

ngx_uint_t
ngx_litestream_base_word(ngx_str_t *value, char *words)
{
    char  *p;

    for ( ;; ) {

        for (p = words; *p && *p != ' '; p++) { /* void */ }

        if ((size_t) (p - words) == value->len
            && ngx_strncasecmp((u_char *) words, value->data, value->len)
               == 0)
        {
            return 1;
        }

        if (*p == '\0') {
            return 0;
        }

        words = p + 1;
    }
}


/*
 * A duration in nanoseconds, as Go reads it: "1h30m", "1.5s", "0"; -1: it is
 * none, or too long.  Any process.
 */

int64_t
ngx_litestream_base_duration(ngx_str_t *value)
{
    u_char      *p, *last;
    double       total, n, scale;
    ngx_uint_t   i, digits;

    static struct {
        char    *name;
        double   ns;
    } units[] = {
        { "ns", 1 }, { "us", 1e3 }, { "\xc2\xb5s", 1e3 },
        { "\xce\xbcs", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 },
        { "h", 3600e9 }, { NULL, 0 }
    };

    p = value->data;
    last = p + value->len;

    if (p < last && *p == '+') {
        p++;
    }

    if (last - p == 1 && *p == '0') {
        return 0;
    }

    if (p == last) {
        return -1;
    }

    total = 0;

    while (p < last) {

        n = 0;
        scale = 0;
        digits = 0;

        for ( /* void */ ; p < last; p++) {

            if (*p >= '0' && *p <= '9') {
                n = n * 10 + (*p - '0');
                scale *= 10;
                digits = 1;

            } else if (*p == '.' && scale == 0) {
                scale = 1;

            } else {
                break;
            }
        }

        if (!digits) {
            return -1;
        }

        /* the longer of two that begin alike comes first */

        for (i = 0; units[i].name; i++) {
            if ((size_t) (last - p) >= ngx_strlen(units[i].name)
                && ngx_strncmp(p, units[i].name, ngx_strlen(units[i].name))
                   == 0)
            {
                break;
            }
        }

        if (units[i].name == NULL) {
            return -1;
        }

        p += ngx_strlen(units[i].name);

        total += (scale ? n / scale : n) * units[i].ns;

        /* 200 years */

        if (!(total < 200 * 365 * 86400e9)) {
            return -1;
        }
    }

    return (int64_t) total;
}


/*
 * Bytes, as Litestream reads "5MB", "1.5 GiB", "1000"; -1: they are none.
 */

int64_t
ngx_litestream_base_size(ngx_str_t *value)
{
    u_char     *p, *last;
    double      n, scale;
    ngx_str_t   unit;
    ngx_uint_t  i, digits;

    static struct {
        char    *names;
        double   bytes;
    } units[] = {
        { "b", 1 }, { "kb k", 1e3 }, { "mb m", 1e6 }, { "gb g", 1e9 },
        { "tb t", 1e12 }, { "kib ki", 1024 }, { "mib mi", 1048576 },
        { "gib gi", 1073741824 }, { "tib ti", 1099511627776 }, { NULL, 0 }
    };

    p = value->data;
    last = p + value->len;

    n = 0;
    scale = 0;
    digits = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p >= '0' && *p <= '9') {
            n = n * 10 + (*p - '0');
            scale *= 10;
            digits = 1;

        } else if (*p == '.' && scale == 0) {
            scale = 1;

        } else {
            break;
        }
    }

    while (p < last && *p == ' ') {
        p++;
    }

    n = scale ? n / scale : n;

    if (!digits) {
        return -1;
    }

    unit.data = p;
    unit.len = last - p;

    if (unit.len) {

        for (i = 0; units[i].names; i++) {
            if (ngx_litestream_base_word(&unit, units[i].names)) {
                break;
            }
        }

        if (units[i].names == NULL) {
            return -1;
        }

        n *= units[i].bytes;
    }

    return (n < 9e18) ? (int64_t) n : -1;
}


/*
 * As ngx_litestream_said_error(), for a line of the file.
 */

void ngx_cdecl
ngx_litestream_base_error(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_uint_t line, const char *fmt, ...)
{
    u_char                      *p;
    va_list                      args;
    u_char                       buf[NGX_MAX_ERROR_STR];
    ngx_http_litestream_said_t   said;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));

    said.file = base->file.data;
    said.line = line;

    ngx_litestream_said_error(parse->cf->log, &said, 0, "%*s",
                              (size_t) (p - buf), buf);
}
