
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What can be restored from the LTX files of a replica: facts in, verdict out.
 * A restore begins with a file that has all of the database, whose first
 * transaction is 1, and goes on with files that join on; it ends with the last
 * transaction of one of them.
 */


#include "ngx_litestream_supervisor.h"


static int ngx_litestream_history_order(const void *one, const void *two);


static int
ngx_litestream_history_order(const void *one, const void *two)
{
    const ngx_litestream_ltx_t  *a = one, *b = two;

    if (a->max != b->max) {
        return a->max < b->max ? -1 : 1;
    }

    if (a->min != b->min) {
        return a->min < b->min ? -1 : 1;
    }

    return (int) a->level - (int) b->level;
}


/*
 * Sorts n files by what they end with, and finds out what they are good for:
 * those not younger than time (ms since 1970, 0: all of them), and around the
 * transaction txid when there is one.
 */

void
ngx_litestream_history(ngx_litestream_ltx_t *files, ngx_uint_t n,
    int64_t time, uint64_t txid, ngx_litestream_history_t *h)
{
    ngx_uint_t             i;
    ngx_litestream_ltx_t  *f;

    ngx_memzero(h, sizeof(ngx_litestream_history_t));

    qsort(files, n, sizeof(ngx_litestream_ltx_t),
          ngx_litestream_history_order);

    for (i = 0; i < n; i++) {
        f = &files[i];

        if (time && f->time > time) {
            continue;
        }

        h->newest = f->max;

        /* overlapping ones join, too; of equal ones the first is as good */

        if (f->min > 1
            && (h->txid == 0 || f->min - 1 > h->txid))
        {
            continue;
        }

        if (f->max == h->txid) {
            continue;
        }

        h->txid = f->max;
        h->file = *f;

        if (txid == 0) {
            continue;
        }

        if (f->max == txid) {
            h->exact = *f;
        }

        if (f->max <= txid) {
            h->below = f->max;

        } else if (h->above == 0) {
            h->above = f->max;
        }
    }
}
