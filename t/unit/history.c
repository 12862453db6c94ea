
/*
 * Copyright (C) the ngx_litestream authors
 *
 * What can be restored from the LTX files of a replica.
 */


#include "unit.h"
#include "ngx_litestream_history.c"


static ngx_litestream_ltx_t      files[16];
static ngx_uint_t                nfiles;
static ngx_litestream_history_t  h;


static void
begin(void)
{
    nfiles = 0;
}


static void
file(uint32_t level, uint64_t min, uint64_t max, int64_t time)
{
    ngx_litestream_ltx_t  *f;

    f = &files[nfiles++];

    memset(f, 0, sizeof(ngx_litestream_ltx_t));

    f->level = level;
    f->min = min;
    f->max = max;
    f->time = time;
}


static void
look(int64_t time, uint64_t txid)
{
    memset(&h, 0xff, sizeof(ngx_litestream_history_t));

    ngx_litestream_history(files, nfiles, time, txid, &h);
}


static void
none(void)
{
    begin();
    look(0, 0);

    unit_ok(h.txid == 0 && h.newest == 0, "no files");

    look(5, 7);

    unit_ok(h.txid == 0 && h.below == 0 && h.above == 0 && h.exact.max == 0,
       "no files, but wishes");
}


static void
chain(void)
{
    begin();
    file(0, 3, 3, 30);
    file(0, 1, 1, 10);
    file(0, 2, 2, 20);

    look(0, 0);
    unit_ok(h.txid == 3 && h.newest == 3 && h.file.max == 3,
            "a chain: its end");

    look(20, 0);
    unit_ok(h.txid == 2 && h.newest == 2 && h.file.time == 20,
       "a time: the file of that time is in it");

    look(29, 0);
    unit_ok(h.txid == 2, "a time between two files");

    look(9, 0);
    unit_ok(h.txid == 0 && h.newest == 0, "a time before all");

    look(0, 2);
    unit_ok(h.exact.max == 2 && h.below == 2 && h.above == 3,
       "a transaction, and the next one");

    look(0, 4);
    unit_ok(h.exact.max == 0 && h.below == 3 && h.above == 0,
       "a transaction to come");
}


static void
gaps(void)
{
    begin();
    file(0, 1, 1, 10);
    file(0, 2, 2, 20);
    file(0, 4, 4, 40);
    file(0, 5, 5, 50);

    look(0, 0);
    unit_ok(h.txid == 2 && h.newest == 5, "a gap: what is behind it is lost");

    look(20, 0);
    unit_ok(h.txid == 2 && h.newest == 2, "a gap that is later");

    look(0, 4);
    unit_ok(h.exact.max == 0 && h.below == 2 && h.above == 0,
       "a transaction behind a gap");

    /* the snapshot has what is missing */

    file(9, 1, 4, 45);

    look(0, 0);
    unit_ok(h.txid == 5 && h.newest == 5, "a snapshot over a gap");

    look(40, 0);
    unit_ok(h.txid == 2 && h.newest == 4, "the snapshot came later");

    look(0, 4);
    unit_ok(h.exact.max == 4 && h.exact.level == 9,
            "what a snapshot ends with");

    begin();
    file(1, 2, 9, 10);

    look(0, 0);
    unit_ok(h.txid == 0 && h.newest == 9, "nothing to begin with");
}


static void
levels(void)
{
    begin();
    file(0, 9, 9, 90);
    file(0, 10, 10, 100);
    file(1, 1, 4, 40);
    file(1, 5, 8, 80);
    file(2, 1, 8, 80);

    look(0, 0);
    unit_ok(h.txid == 10 && h.newest == 10, "levels: the newest");

    look(0, 6);
    unit_ok(h.exact.max == 0 && h.below == 4 && h.above == 8,
       "levels: a transaction inside of a file");

    look(60, 0);
    unit_ok(h.txid == 4 && h.newest == 4, "levels: a time inside of a file");

    look(0, 8);
    unit_ok(h.exact.max == 8 && h.below == 8 && h.above == 9,
       "levels: of two that end the same way");

    /* overlapping ones join */

    begin();
    file(1, 1, 6, 10);
    file(0, 4, 9, 20);
    file(0, 11, 11, 30);

    look(0, 0);
    unit_ok(h.txid == 9 && h.newest == 11, "an overlap, and a gap");
}


/* the same as trying all ways */

static void
tried(void)
{
    uint64_t    reach, newest, grown;
    ngx_uint_t  i, n, bad;
    int64_t     time;

    bad = 0;

    for (n = 0; n < 20000; n++) {

        begin();

        for (i = unit_random(12); i; i--) {
            grown = 1 + unit_random(8);
            file(0, grown, grown + unit_random(4), 1 + unit_random(10));
        }

        time = unit_random(11);
        newest = 0;
        reach = 0;

        do {
            grown = reach;

            for (i = 0; i < nfiles; i++) {

                if (time && files[i].time > time) {
                    continue;
                }

                newest = ngx_max(newest, files[i].max);

                if (files[i].min == 1
                    || (reach && files[i].min <= reach + 1))
                {
                    reach = ngx_max(reach, files[i].max);
                }
            }

        } while (grown != reach);

        look(time, 0);

        if (h.txid != reach || h.newest != newest || h.file.max != reach) {
            bad++;
        }
    }

    unit_ok(bad == 0, "any files");
}


int
main(void)
{
    none();
    chain();
    gaps();
    levels();
    tried();

    return unit_end();
}
