
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream_supervisor.h"


/* "000000000000002a-000000000000002a.ltx" */
#define NGX_LITESTREAM_TXID_LEN      16
#define NGX_LITESTREAM_LTX_NAME_LEN                                           \
    (2 * NGX_LITESTREAM_TXID_LEN + sizeof("-.ltx") - 1)


static ngx_int_t ngx_litestream_digits(u_char *p, size_t n, ngx_uint_t max);


/*
 * 64-bit FNV-1a of a path, never 0: that marks a free record in the status
 * file.  The same path has the same id in each process and version.  Any
 * process, does not block.
 */

uint64_t
ngx_litestream_id(ngx_str_t *path)
{
    size_t    i;
    uint64_t  h;

    h = 0xcbf29ce484222325ULL;

    for (i = 0; i < path->len; i++) {
        h ^= path->data[i];
        h *= 0x100000001b3ULL;
    }

    return h ? h : 1;
}


/*
 * Takes the file name of an LTX file (not NUL-ended) apart.  NGX_ERROR: it is
 * not such a name; min and max are untouched then.  Any process, does not
 * block.
 */

ngx_int_t
ngx_litestream_ltx_name(u_char *name, size_t len, uint64_t *min, uint64_t *max)
{
    uint64_t  a, b;

    if (ngx_litestream_ltx_range(name, len, &a, &b) != NGX_OK
        || a == 0 || a > b)
    {
        return NGX_ERROR;
    }

    *min = a;
    *max = b;

    return NGX_OK;
}


/*
 * The same for whatever Litestream takes for such a name and lists, ranges
 * that cannot be among them.
 */

ngx_int_t
ngx_litestream_ltx_range(u_char *name, size_t len, uint64_t *min,
    uint64_t *max)
{
    size_t    i;
    uint64_t  a, b;

    if (len != NGX_LITESTREAM_LTX_NAME_LEN
        || name[NGX_LITESTREAM_TXID_LEN] != '-'
        || ngx_memcmp(name + len - 4, ".ltx", 4) != 0)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < len; i++) {

        /* Litestream ignores such files */

        if (name[i] >= 'A' && name[i] <= 'Z') {
            return NGX_ERROR;
        }
    }

    if (ngx_litestream_txid(name, NGX_LITESTREAM_TXID_LEN, &a) != NGX_OK
        || ngx_litestream_txid(name + NGX_LITESTREAM_TXID_LEN + 1,
                               NGX_LITESTREAM_TXID_LEN, &b)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    *min = a;
    *max = b;

    return NGX_OK;
}


/*
 * Reads a TXID as the command line prints it: exactly 16 hex digits.  In an
 * answer of the control socket a TXID is a decimal number: not for this.
 * NGX_ERROR: txid is untouched.  Any process, does not block.
 */

ngx_int_t
ngx_litestream_txid(u_char *p, size_t len, uint64_t *txid)
{
    u_char    c;
    size_t    i;
    uint64_t  n;

    if (len != NGX_LITESTREAM_TXID_LEN) {
        return NGX_ERROR;
    }

    n = 0;

    for (i = 0; i < len; i++) {
        c = p[i];

        if (c >= '0' && c <= '9') {
            n = (n << 4) | (uint64_t) (c - '0');
            continue;
        }

        c |= 0x20;

        if (c >= 'a' && c <= 'f') {
            n = (n << 4) | (uint64_t) (c - 'a' + 10);
            continue;
        }

        return NGX_ERROR;
    }

    *txid = n;

    return NGX_OK;
}


/*
 * RFC 3339 to milliseconds since 1970, of the fraction what is below a
 * millisecond is cut off.  -1: not a time, or one before 1970 (the zero time
 * of Go means "never").  Independent of TZ.  Any process, does not block.
 */

int64_t
ngx_litestream_time(u_char *p, size_t len)
{
    u_char     *last;
    int64_t     days, sec, ms, scale;
    ngx_int_t   year, month, day, hour, min, s, oh, om, sign, n;

    static ngx_int_t  mdays[] = { 31, 28, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31 };

    /* "2006-01-02T15:04:05Z" */

    if (len < sizeof("2006-01-02T15:04:05Z") - 1) {
        return -1;
    }

    last = p + len;

    year = ngx_litestream_digits(p, 4, 9999);
    month = ngx_litestream_digits(p + 5, 2, 12);
    day = ngx_litestream_digits(p + 8, 2, 31);
    hour = ngx_litestream_digits(p + 11, 2, 23);
    min = ngx_litestream_digits(p + 14, 2, 59);

    /* a leap second */
    s = ngx_litestream_digits(p + 17, 2, 60);

    if (year < 0 || month < 1 || day < 1 || hour < 0 || min < 0 || s < 0
        || p[4] != '-' || p[7] != '-' || (p[10] | 0x20) != 't'
        || p[13] != ':' || p[16] != ':')
    {
        return -1;
    }

    n = mdays[month - 1];

    if (month == 2
        && ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0))
    {
        n++;
    }

    if (day > n) {
        return -1;
    }

    p += 19;

    ms = 0;

    if (*p == '.') {
        p++;

        if (p == last || *p < '0' || *p > '9') {
            return -1;
        }

        for (scale = 100; p < last && *p >= '0' && *p <= '9'; p++) {
            ms += (*p - '0') * scale;
            scale /= 10;
        }

        if (p == last) {
            return -1;
        }
    }

    sign = 0;
    oh = 0;
    om = 0;

    switch (*p) {

    case 'Z':
    case 'z':
        p++;
        break;

    case '+':
    case '-':
        sign = (*p++ == '+') ? 1 : -1;

        if (last - p != 5 || p[2] != ':') {
            return -1;
        }

        oh = ngx_litestream_digits(p, 2, 23);
        om = ngx_litestream_digits(p + 3, 2, 59);

        if (oh < 0 || om < 0) {
            return -1;
        }

        p += 5;
        break;

    default:
        return -1;
    }

    if (p != last) {
        return -1;
    }

    /* Gauss' formula, as in ngx_parse_http_time() */

    month -= 2;

    if (month <= 0) {
        month += 12;
        year -= 1;
    }

    days = 365 * (int64_t) year + year / 4 - year / 100 + year / 400
           + 367 * month / 12 - 30 + day - 1 - 719527 + 31 + 28;

    sec = days * 86400 + hour * 3600 + min * 60 + s
          - sign * (oh * 3600 + om * 60);

    if (sec < 0) {
        return -1;
    }

    return sec * 1000 + ms;
}


static ngx_int_t
ngx_litestream_digits(u_char *p, size_t n, ngx_uint_t max)
{
    ngx_uint_t  v;

    for (v = 0; n; n--, p++) {

        if (*p < '0' || *p > '9') {
            return -1;
        }

        v = v * 10 + (*p - '0');
    }

    return (v > max) ? -1 : (ngx_int_t) v;
}


/*
 * Copies what of src fits into dst.  A character of UTF-8 that does not fit
 * as a whole is left out.  size is dst's, with the NUL; 0: nothing is done.
 * Any process, does not block.
 */

void
ngx_litestream_copy(char *dst, size_t size, u_char *src, size_t len)
{
    size_t      n;
    ngx_uint_t  i;

    if (size == 0) {
        return;
    }

    n = len;

    if (n > size - 1) {
        n = size - 1;

        for (i = 0; i < 3 && n > 0 && (src[n] & 0xc0) == 0x80; i++) {
            n--;
        }

        /* not UTF-8: cut anywhere */

        if ((src[n] & 0xc0) == 0x80) {
            n = size - 1;
        }
    }

    if (n) {
        ngx_memcpy(dst, src, n);
    }

    dst[n] = '\0';
}


/*
 * May a database be replicated, given what is here and what is there?  The
 * table is in docs/supervision.md.
 */

ngx_litestream_check_e
ngx_litestream_check_verdict(ngx_litestream_check_facts_t *f)
{
    uint64_t  local;

    if (f->replica == 0) {

        /* a storage that is not mounted looks empty */

        if (f->seen) {
            return NGX_LITESTREAM_VANISHED;
        }

        /* Litestream would begin with a file that it has removed long ago */

        return (f->exists && f->local && !f->begun) ? NGX_LITESTREAM_NOT_BEGUN
                                                    : NGX_LITESTREAM_GO;
    }

    if (!f->exists) {
        return NGX_LITESTREAM_GONE;
    }

    local = f->local;

    if (f->same && f->restored > local) {
        local = f->restored;
    }

    if (f->replica > local) {
        return NGX_LITESTREAM_AHEAD;
    }

    if (f->meta && !f->seq) {
        return NGX_LITESTREAM_MADE_ANEW;
    }

    if (f->torn && !f->same) {
        return NGX_LITESTREAM_TORN;
    }

    return NGX_LITESTREAM_GO;
}


/*
 * What a restore has proven.  Only an empty list, an exact message and an
 * empty memory together prove that there is nothing to restore.
 */

ngx_litestream_restore_e
ngx_litestream_restore_verdict(ngx_litestream_restore_facts_t *f)
{
    if (f->rc == 0) {
        return NGX_LITESTREAM_RESTORED;
    }

    if (f->files) {
        return f->none ? NGX_LITESTREAM_BROKEN : NGX_LITESTREAM_UNKNOWN;
    }

    if (!f->none) {
        return NGX_LITESTREAM_UNKNOWN;
    }

    if (f->seen) {
        return NGX_LITESTREAM_WAS_FULL;
    }

    if (f->sibling) {
        return NGX_LITESTREAM_ELSEWHERE;
    }

    if (f->moved) {
        return NGX_LITESTREAM_MOVED;
    }

    return f->required ? NGX_LITESTREAM_REQUIRED : NGX_LITESTREAM_PROVEN_NEW;
}


/*
 * The state of a group's Litestream after an event; docs/supervision.md shows
 * this table, and a test compares the two.
 */

#define D  NGX_LITESTREAM_DOWN
#define S  NGX_LITESTREAM_STARTING
#define U  NGX_LITESTREAM_UP
#define P  NGX_LITESTREAM_STOPPING
#define B  NGX_LITESTREAM_BACKOFF
#define F  NGX_LITESTREAM_FAILED
#define R  NGX_LITESTREAM_RESTORING

static u_char  ngx_litestream_states[][NGX_LITESTREAM_EV_MAX] = {

    /*                wanted  up  exit  stop  timer */

    /* down */      { S,      D,  D,    D,    D },
    /* restoring */ { R,      R,  R,    R,    R },
    /* starting */  { S,      U,  B,    P,    S },
    /* up */        { U,      U,  B,    P,    U },
    /* stopping */  { P,      P,  D,    P,    P },
    /* backoff */   { B,      B,  B,    D,    D },
    /* failed */    { F,      F,  F,    D,    D }
};

#undef D
#undef S
#undef U
#undef P
#undef B
#undef F
#undef R


ngx_uint_t
ngx_litestream_next_state(ngx_uint_t state, ngx_uint_t event)
{
    if (state > NGX_LITESTREAM_FAILED || event >= NGX_LITESTREAM_EV_MAX) {
        return state;
    }

    return ngx_litestream_states[state][event];
}


/*
 * How long to wait before the next start, in ms.  deaths counts the ends in a
 * row, 60 s of UP start anew.  One that had been up is started again at once,
 * as long as it is not the sixth time in a row, but not twice in a second;
 * else 1 s doubling to 30 s.
 */

ngx_msec_t
ngx_litestream_next_delay(ngx_uint_t *deaths, ngx_uint_t was_up, ngx_msec_t up)
{
    ngx_uint_t  n;

    if (was_up && up >= NGX_LITESTREAM_BACKOFF_RESET) {
        *deaths = 0;
    }

    n = (*deaths)++;

    if (was_up && n < NGX_LITESTREAM_BACKOFF_FREE) {

        if (n == 0 || up >= NGX_LITESTREAM_BACKOFF_MIN) {
            return 0;
        }

        return NGX_LITESTREAM_BACKOFF_MIN - up;
    }

    if (was_up) {
        n -= NGX_LITESTREAM_BACKOFF_FREE;
    }

    if (n > 4) {
        return NGX_LITESTREAM_BACKOFF_MAX;
    }

    return ngx_min((ngx_msec_t) NGX_LITESTREAM_BACKOFF_MIN << n,
                   NGX_LITESTREAM_BACKOFF_MAX);
}
