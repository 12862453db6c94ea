
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What storages say, as people need it.  The module and the command are built
 * with it.
 */


#include <string.h>

#include "ngx_litestream_shared.h"


static int ngx_litestream_tidy_blank(char c);
static char *ngx_litestream_tidy_add(char *dst, const char *last, int colon,
    const char *p, size_t len);
static void ngx_litestream_tidy_cut(char *text, const char *from);
static void ngx_litestream_tidy_step(char *text, const char *step);


/*
 * The text of an error, put on one line of at most size - 1 bytes in dst, with
 * a NUL behind it.  Azure's client says it on a dozen: the code and what it
 * means stay, rulers and XML go; of Amazon's the numbers of the request go,
 * which nobody but Amazon can look up; of Litestream's restore the steps that
 * it has failed in, which are about backups of 0.3.  Any process, does not
 * block.
 */

void
ngx_litestream_tidy(char *dst, size_t size, const char *text, size_t len)
{
    char        *d;
    size_t       n, code_len, meaning_len;
    const char  *p, *end, *last, *stop, *code, *meaning;

    code = "";
    code_len = 0;
    meaning = "";
    meaning_len = 0;

    stop = dst + size - 1;
    d = dst;

    last = text + len;

    for (p = text; p < last; p = end + 1) {

        end = memchr(p, '\n', (size_t) (last - p));
        if (end == NULL) {
            end = last;
        }

        while (p < end && ngx_litestream_tidy_blank(*p)) {
            p++;
        }

        n = (size_t) (end - p);

        while (n && ngx_litestream_tidy_blank(p[n - 1])) {
            n--;
        }

        if (n >= 5 && strncmp(p, "<?xml", 5) == 0) {
            break;
        }

        if (n >= 3 && strncmp(p, "---", 3) == 0) {
            continue;
        }

        /* "RESPONSE 403: 403 It is forbidden." */

        if (n > 14 && strncmp(p, "RESPONSE ", 9) == 0) {
            meaning = p + 14;
            meaning_len = n - 14;
            continue;
        }

        if (n > 12 && strncmp(p, "ERROR CODE: ", 12) == 0) {
            code = p + 12;
            code_len = n - 12;
            continue;
        }

        d = ngx_litestream_tidy_add(d, stop, d > dst, p, n);
    }

    d = ngx_litestream_tidy_add(d, stop, d > dst, code, code_len);

    if (code_len == 0) {
        d = ngx_litestream_tidy_add(d, stop, d > dst, meaning, meaning_len);

    } else if (meaning_len && stop - d > 4) {

        /* no colon: what stands behind one is taken for a secret */

        *d++ = ' ';
        *d++ = '(';
        d = ngx_litestream_tidy_add(d, stop - 1, 0, meaning, meaning_len);
        *d++ = ')';
    }

    *d = '\0';

    ngx_litestream_tidy_cut(dst, ", RequestID: ");
    ngx_litestream_tidy_cut(dst, ", HostID: ");

    ngx_litestream_tidy_step(dst, "get v0.3.x time bounds: ");
    ngx_litestream_tidy_step(dst, "s3: list generations: ");
}


/* other control characters stay: whoever shows the text says what they were */

static int
ngx_litestream_tidy_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}


static char *
ngx_litestream_tidy_add(char *dst, const char *last, int colon, const char *p,
    size_t len)
{
    if (len == 0) {
        return dst;
    }

    if (colon && last - dst > 2) {
        *dst++ = ':';
        *dst++ = ' ';
    }

    if (len > (size_t) (last - dst)) {
        len = (size_t) (last - dst);
    }

    memcpy(dst, p, len);

    return dst + len;
}


/* a clause, up to the next comma */

static void
ngx_litestream_tidy_cut(char *text, const char *from)
{
    char  *p, *end;

    p = strstr(text, from);
    if (p == NULL) {
        return;
    }

    end = strchr(p + 1, ',');

    if (end) {
        memmove(p, end, strlen(end) + 1);
    }
}


/* of a restore: looks for backups of 0.3, too, which is nobody's question */

static void
ngx_litestream_tidy_step(char *text, const char *step)
{
    char  *p;

    p = strstr(text, step);

    if (p) {
        memmove(p, p + strlen(step), strlen(p + strlen(step)) + 1);
    }
}
