
/*
 * Copyright (C) the ngx_litestream authors
 */


/* what storages say, as people need it; pure */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream.h"


static u_char *ngx_litestream_tidy_add(u_char *dst, u_char *last,
    ngx_uint_t colon, u_char *p, size_t len);
static void ngx_litestream_tidy_cut(char *text, char *from);


/*
 * The text of an error, put on one line of at most size - 1 bytes in dst, with
 * a NUL behind it.  Azure's client says it on a dozen: the code and what it
 * means stay, rulers and XML go; of Amazon's the numbers of the request go,
 * which nobody but Amazon can look up.  Any process, does not block.
 */

void
ngx_litestream_tidy(char *dst, size_t size, u_char *text, size_t len)
{
    size_t      n;
    u_char     *p, *d, *start, *end, *last, *stop;
    ngx_str_t   code, meaning;

    ngx_str_null(&code);
    ngx_str_null(&meaning);

    start = (u_char *) dst;
    stop = start + size - 1;
    d = start;

    last = text + len;

    for (p = text; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '\n');
        if (end == NULL) {
            end = last;
        }

        while (p < end && *p <= ' ') {
            p++;
        }

        n = end - p;

        while (n && p[n - 1] <= ' ') {
            n--;
        }

        if (n >= 5 && ngx_strncmp(p, "<?xml", 5) == 0) {
            break;
        }

        if (n >= 3 && ngx_strncmp(p, "---", 3) == 0) {
            continue;
        }

        /* "RESPONSE 403: 403 It is forbidden." */

        if (n > 14 && ngx_strncmp(p, "RESPONSE ", 9) == 0) {
            meaning.data = p + 14;
            meaning.len = n - 14;
            continue;
        }

        if (n > 12 && ngx_strncmp(p, "ERROR CODE: ", 12) == 0) {
            code.data = p + 12;
            code.len = n - 12;
            continue;
        }

        d = ngx_litestream_tidy_add(d, stop, d > start, p, n);
    }

    d = ngx_litestream_tidy_add(d, stop, d > start, code.data, code.len);

    if (code.len == 0) {
        d = ngx_litestream_tidy_add(d, stop, d > start, meaning.data,
                                    meaning.len);

    } else if (meaning.len && stop - d > 4) {

        /* no colon: what stands behind one is taken for a secret */

        *d++ = ' ';
        *d++ = '(';
        d = ngx_litestream_tidy_add(d, stop - 1, 0, meaning.data, meaning.len);
        *d++ = ')';
    }

    *d = '\0';

    ngx_litestream_tidy_cut(dst, ", RequestID: ");
    ngx_litestream_tidy_cut(dst, ", HostID: ");
}


static u_char *
ngx_litestream_tidy_add(u_char *dst, u_char *last, ngx_uint_t colon,
    u_char *p, size_t len)
{
    if (len == 0) {
        return dst;
    }

    if (colon && last - dst > 2) {
        *dst++ = ':';
        *dst++ = ' ';
    }

    return ngx_cpymem(dst, p, ngx_min(len, (size_t) (last - dst)));
}


/* a clause, up to the next comma */

static void
ngx_litestream_tidy_cut(char *text, char *from)
{
    char  *p, *end;

    p = strstr(text, from);
    if (p == NULL) {
        return;
    }

    end = strchr(p + 1, ',');

    if (end) {
        ngx_memmove(p, end, strlen(end) + 1);
    }
}
