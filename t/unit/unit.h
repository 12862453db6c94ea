
/*
 * Copyright (C) the ngx_litestream authors
 *
 * What the programs of this folder have in common: TAP, a random generator
 * that begins the same each time, and stand-ins for the few functions of
 * nginx that the sources under test call.  Included once in each program.
 */


#ifndef _UNIT_H_INCLUDED_
#define _UNIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


ngx_uint_t    unit_tests;
ngx_uint_t    unit_failures;
ngx_uint_t    unit_logged;
uint64_t      unit_seed = 88172645463325252ULL;

ngx_log_t     unit_log = { .log_level = NGX_LOG_DEBUG };
ngx_pool_t    unit_pool = { .log = &unit_log };
void        **unit_memory;
size_t        unit_blocks;


void unit_ok(ngx_uint_t pass, const char *name);
int unit_end(void);
uint64_t unit_random(uint64_t n);
u_char *unit_mutate(const char *seed, size_t len, size_t *to);
void unit_free(void);


/* nginx's own, as in its core */

ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {

        if (*line < '0' || *line > '9') {
            return NGX_ERROR;
        }

        if (value > NGX_MAX_INT_T_VALUE / 10 - 1) {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    u_char     ch;
    ngx_int_t  value;

    for (value = 0; n--; line++) {
        ch = ngx_tolower(*line);

        if (value > NGX_MAX_INT_T_VALUE / 16 - 1) {
            return NGX_ERROR;
        }

        if (ch >= '0' && ch <= '9') {
            value = value * 16 + (ch - '0');

        } else if (ch >= 'a' && ch <= 'f') {
            value = value * 16 + (ch - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    return value;
}


void
unit_ok(ngx_uint_t pass, const char *name)
{
    printf("%sok %u - %s\n", pass ? "" : "not ", (unsigned) ++unit_tests,
           name);

    if (!pass) {
        unit_failures++;
    }
}


int
unit_end(void)
{
    unit_free();

    printf("1..%u\n", (unsigned) unit_tests);

    return unit_failures ? 1 : 0;
}


/* 0 to n - 1, xorshift */

uint64_t
unit_random(uint64_t n)
{
    unit_seed ^= unit_seed << 13;
    unit_seed ^= unit_seed >> 7;
    unit_seed ^= unit_seed << 17;

    return unit_seed % n;
}


/*
 * A changed copy of seed in memory of exactly its size, so that the sanitizer
 * sees who reads beyond it; to be freed by the caller.
 */

u_char *
unit_mutate(const char *seed, size_t len, size_t *to)
{
    u_char  *p, *copy;
    size_t   n, i, k, size;

    static const char  marks[] =
        "{}[]\",:\\/u0Zz-+. \n\t&*!|>%@'#=\x7f\xc2\x80";

    size = len + 64;

    p = malloc(size);
    if (p == NULL) {
        abort();
    }

    memcpy(p, seed, len);

    for (n = unit_random(4) + 1; n; n--) {
        i = len ? unit_random(len) : 0;

        switch (unit_random(7)) {

        case 0:
            if (len) {
                p[i] ^= (u_char) (1 << unit_random(8));
            }
            break;

        case 1:
            if (len) {
                p[i] = (u_char) marks[unit_random(sizeof(marks) - 1)];
            }
            break;

        case 2:
            if (len) {
                memmove(p + i, p + i + 1, len - i - 1);
                len--;
            }
            break;

        case 3:
            if (len < size) {
                memmove(p + i + 1, p + i, len - i);
                p[i] = (u_char) marks[unit_random(sizeof(marks) - 1)];
                len++;
            }
            break;

        case 4:
            k = unit_random(17);
            if (len && len + k <= size && i + k <= len) {
                memmove(p + i + k, p + i, len - i);
                len += k;
            }
            break;

        case 5:
            if (unit_random(4) == 0) {
                len = i;
            }
            break;

        default:
            if (len) {
                p[i] = (u_char) unit_random(256);
            }
        }
    }

    copy = malloc(len ? len : 1);
    if (copy == NULL) {
        abort();
    }

    memcpy(copy, p, len);
    free(p);

    *to = len;

    return copy;
}


/* memory of a pool lasts until unit_free() */

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = malloc(size ? size : 1);

    unit_memory = realloc(unit_memory, (unit_blocks + 1) * sizeof(void *));

    if (p == NULL || unit_memory == NULL) {
        abort();
    }

    unit_memory[unit_blocks++] = p;

    return p;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return memset(ngx_palloc(pool, size), 0, size);
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    size_t  i;

    for (i = 0; i < unit_blocks; i++) {

        if (unit_memory[i] == p) {
            free(p);
            unit_memory[i] = unit_memory[--unit_blocks];

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
unit_free(void)
{
    while (unit_blocks) {
        free(unit_memory[--unit_blocks]);
    }

    free(unit_memory);

    unit_memory = NULL;
}


/* %V %s %i %ui %uz %O %M %% */

u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    va_list     args;
    ngx_str_t  *v;

    va_start(args, fmt);

    for ( /* void */ ; *fmt; fmt++) {

        if (*fmt != '%') {
            *buf++ = (u_char) *fmt;
            continue;
        }

        switch (*++fmt) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            buf = ngx_cpymem(buf, v->data, v->len);
            break;

        case 's':
            buf += sprintf((char *) buf, "%s", va_arg(args, char *));
            break;

        case 'i':
        case 'O':
            buf += sprintf((char *) buf, "%ld",
                           (long) va_arg(args, ngx_int_t));
            break;

        case 'u':
            fmt++;

            /* fall through */

        case 'M':
            buf += sprintf((char *) buf, "%lu",
                           (unsigned long) va_arg(args, ngx_uint_t));
            break;

        case '%':
            *buf++ = '%';
            break;

        default:
            abort();
        }
    }

    va_end(args);

    return buf;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    unit_logged++;
}


void ngx_cdecl
ngx_conf_log_error(ngx_uint_t level, ngx_conf_t *cf, ngx_err_t err,
    const char *fmt, ...)
{
    unit_logged++;
}


#endif /* _UNIT_H_INCLUDED_ */
