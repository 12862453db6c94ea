
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream_supervisor.h"


#define NGX_LITESTREAM_WAL_PAGE_MAX  65536

#define NGX_LITESTREAM_WAL_MAGIC     0x377f0682

/* WALs that may have been begun since: more is another WAL's random number */
#define NGX_LITESTREAM_WAL_STEPS     1000


typedef struct {
    uint32_t                     one;
    uint32_t                     two;
} ngx_litestream_pair_t;


static ngx_int_t ngx_litestream_wal_header(int fd, u_char *h,
    ngx_litestream_pair_t *sum);
static ngx_int_t ngx_litestream_wal_salts(int fd, u_char *l, u_char *salts,
    uint64_t end);
static ngx_int_t ngx_litestream_wal_rest(int fd, u_char *ltx, uint64_t end);
static ngx_int_t ngx_litestream_wal_frames(int fd, u_char *h,
    ngx_litestream_pair_t *sum, uint64_t end);
static void ngx_litestream_wal_sum(ngx_litestream_pair_t *sum, u_char *p,
    size_t len, ngx_uint_t big);
static uint32_t ngx_litestream_be32(u_char *p);
static uint64_t ngx_litestream_be64(u_char *p);


/*
 * Does the WAL still hold what Litestream has read from it into this LTX file,
 * the newest one at hand?  After a power failure it may not, since SQLite
 * writes commits of synchronous=NORMAL to the disk later.  NGX_DECLINED: it
 * ends before, or is an older one; NGX_AGAIN: it was begun anew, maybe before
 * Litestream had read the rest of the old one; NGX_OK: it does, or that cannot
 * be told.  In a job: reads the whole WAL.
 */

ngx_int_t
ngx_litestream_wal_check(char *ltx, char *wal)
{
    int                    fd;
    u_char                 l[NGX_LITESTREAM_LTX_HEADER];
    u_char                 h[NGX_LITESTREAM_WAL_HEADER];
    u_char                 now[NGX_LITESTREAM_WAL_HEADER];
    uint64_t               end;
    ngx_int_t              rc;
    struct stat            st;
    ngx_litestream_pair_t  sum;

    if (ngx_litestream_wal_ltx(ltx, l, &end) != NGX_OK) {
        return NGX_OK;
    }

    fd = open(wal, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        return NGX_OK;
    }

    rc = NGX_OK;

    /* nothing in it: all was written to the database */

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        goto done;
    }

    if (ngx_litestream_wal_header(fd, h, &sum) != NGX_OK) {
        rc = NGX_DECLINED;
        goto done;
    }

    if (ngx_memcmp(&h[16], &l[64], 8) != 0) {
        rc = ngx_litestream_wal_salts(fd, l, &h[16], end);
        goto done;
    }

    rc = ngx_litestream_wal_frames(fd, h, &sum, end);

    /* an application may begin a new one at any time */

    if (rc == NGX_DECLINED
        && (pread(fd, now, sizeof(now), 0) != (ssize_t) sizeof(now)
            || ngx_memcmp(now, h, sizeof(now)) != 0))
    {
        rc = NGX_OK;
    }

done:

    (void) close(fd);

    return rc;
}


/*
 * The same of a WAL with these salts, which nobody can begin anew meanwhile,
 * and only NGX_AGAIN or NGX_OK: reads two headers and a frame's.  In a job.
 */

ngx_int_t
ngx_litestream_wal_anew(char *ltx, char *wal, u_char *salts)
{
    int          fd;
    u_char       l[NGX_LITESTREAM_LTX_HEADER];
    uint64_t     end;
    ngx_int_t    rc;
    struct stat  st;

    if (ngx_litestream_wal_ltx(ltx, l, &end) != NGX_OK
        || ngx_memcmp(salts, &l[64], 8) == 0)
    {
        return NGX_OK;
    }

    fd = open(wal, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        return NGX_OK;
    }

    rc = NGX_OK;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size) {
        rc = ngx_litestream_wal_salts(fd, l, salts, end);
    }

    (void) close(fd);

    return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_OK;
}


/*
 * The header of an LTX file, NGX_LITESTREAM_LTX_HEADER bytes, and where it ends
 * in its WAL.  NGX_DECLINED: it was not made of a WAL.  In a job.
 */

ngx_int_t
ngx_litestream_wal_ltx(char *ltx, u_char *l, uint64_t *end)
{
    int          fd;
    ssize_t      n;
    uint64_t     offset, size;
    struct stat  st;

    fd = open(ltx, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        return NGX_DECLINED;
    }

    n = read(fd, l, NGX_LITESTREAM_LTX_HEADER);

    if (n >= NGX_LITESTREAM_WAL_HEADER
        && (ngx_litestream_be32(l) & ~1u) == NGX_LITESTREAM_WAL_MAGIC
        && fstat(fd, &st) == 0)
    {
        /* of Litestream 0.3: a copy of the WAL, as far as it has read it */

        (void) close(fd);

        size = NGX_LITESTREAM_WAL_FRAME + ngx_litestream_be32(&l[8]);
        *end = NGX_LITESTREAM_WAL_HEADER
               + (st.st_size - NGX_LITESTREAM_WAL_HEADER) / size * size;

        ngx_memmove(&l[64], &l[16], 8);

        return NGX_OK;
    }

    (void) close(fd);

    if (n != NGX_LITESTREAM_LTX_HEADER || ngx_memcmp(l, "LTX1", 4) != 0) {
        return NGX_DECLINED;
    }

    offset = ngx_litestream_be64(&l[48]);
    size = ngx_litestream_be64(&l[56]);

    /* a compacted one, or one that was not made of a WAL */

    if (size == 0 || offset < NGX_LITESTREAM_WAL_HEADER
        || offset > INT64_MAX / 2 || size > INT64_MAX / 2
        || (ngx_litestream_be32(&l[64]) == 0
            && ngx_litestream_be32(&l[68]) == 0))
    {
        return NGX_DECLINED;
    }

    *end = offset + size;

    return NGX_OK;
}


/* the salts are others than those of the LTX file: what has happened? */

static ngx_int_t
ngx_litestream_wal_salts(int fd, u_char *l, u_char *salts, uint64_t end)
{
    uint32_t  diff;

    /* the first salt is one more in each WAL that follows */

    diff = ngx_litestream_be32(&l[64]) - ngx_litestream_be32(salts);

    if (diff > 0 && diff <= NGX_LITESTREAM_WAL_STEPS) {
        return NGX_DECLINED;
    }

    if (diff == (uint32_t) -1) {
        return ngx_litestream_wal_rest(fd, l, end);
    }

    /* what was between the two cannot be seen any more */

    return (-diff <= NGX_LITESTREAM_WAL_STEPS) ? NGX_AGAIN : NGX_OK;
}


/* NGX_AGAIN: the WAL that the LTX file was made of went on behind its end */

static ngx_int_t
ngx_litestream_wal_rest(int fd, u_char *ltx, uint64_t end)
{
    u_char  frame[NGX_LITESTREAM_WAL_FRAME];

    if (pread(fd, frame, sizeof(frame), end) != (ssize_t) sizeof(frame)
        || ngx_memcmp(&frame[8], &ltx[64], 8) != 0)
    {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_litestream_wal_header(int fd, u_char *h, ngx_litestream_pair_t *sum)
{
    uint32_t  magic, size;

    if (pread(fd, h, NGX_LITESTREAM_WAL_HEADER, 0)
        != NGX_LITESTREAM_WAL_HEADER)
    {
        return NGX_ERROR;
    }

    magic = ngx_litestream_be32(h);
    size = ngx_litestream_be32(&h[8]);

    if ((magic & ~1u) != NGX_LITESTREAM_WAL_MAGIC
        || size < 512 || size > NGX_LITESTREAM_WAL_PAGE_MAX
        || (size & (size - 1)))
    {
        return NGX_ERROR;
    }

    ngx_memzero(sum, sizeof(ngx_litestream_pair_t));
    ngx_litestream_wal_sum(sum, h, 24, magic & 1);

    if (sum->one != ngx_litestream_be32(&h[24])
        || sum->two != ngx_litestream_be32(&h[28]))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_DECLINED: the valid frames end before "end" */

static ngx_int_t
ngx_litestream_wal_frames(int fd, u_char *h, ngx_litestream_pair_t *sum,
    uint64_t end)
{
    size_t          page, len;
    uint64_t        at;
    ngx_uint_t      big;

    static u_char   frame[NGX_LITESTREAM_WAL_FRAME
                          + NGX_LITESTREAM_WAL_PAGE_MAX];

    big = ngx_litestream_be32(h) & 1;
    page = ngx_litestream_be32(&h[8]);
    len = NGX_LITESTREAM_WAL_FRAME + page;

    for (at = NGX_LITESTREAM_WAL_HEADER; at < end; at += len) {

        if (pread(fd, frame, len, at) != (ssize_t) len
            || ngx_memcmp(&frame[8], &h[16], 8) != 0)
        {
            return NGX_DECLINED;
        }

        ngx_litestream_wal_sum(sum, frame, 8, big);
        ngx_litestream_wal_sum(sum, &frame[NGX_LITESTREAM_WAL_FRAME], page,
                               big);

        if (sum->one != ngx_litestream_be32(&frame[16])
            || sum->two != ngx_litestream_be32(&frame[20]))
        {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* SQLite's: over pairs of numbers in the byte order that the magic tells */

static void
ngx_litestream_wal_sum(ngx_litestream_pair_t *sum, u_char *p, size_t len,
    ngx_uint_t big)
{
    u_char    *last;
    uint32_t   a, b;

    for (last = p + len; p < last; p += 8) {

        if (big) {
            a = ngx_litestream_be32(p);
            b = ngx_litestream_be32(p + 4);

        } else {
            a = (uint32_t) p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
            b = (uint32_t) p[7] << 24 | p[6] << 16 | p[5] << 8 | p[4];
        }

        sum->one += a + sum->two;
        sum->two += b + sum->one;
    }
}


static uint32_t
ngx_litestream_be32(u_char *p)
{
    return (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}


static uint64_t
ngx_litestream_be64(u_char *p)
{
    return (uint64_t) ngx_litestream_be32(p) << 32
           | ngx_litestream_be32(p + 4);
}
