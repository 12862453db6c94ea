
/*
 * Copyright (C) the ngx_litestream authors
 *
 * Litestream 0.3: names, positions, versions, and what follows of two
 * positions.
 */


#include "unit.h"


ngx_int_t
ngx_atoof(u_char *line, size_t n)
{
    off_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n; n--, line++) {

        if (*line < '0' || *line > '9'
            || value > (NGX_MAX_OFF_T_VALUE - 9) / 10)
        {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


#include "ngx_litestream_old_verdict.c"


#define GEN  0x0123456789abcdefULL


static ngx_int_t
position(const char *text, ngx_litestream_old_pos_t *pos)
{
    return ngx_litestream_old_position((u_char *) text, strlen(text), pos);
}


static ngx_int_t
name(const char *text, uint64_t *at, ngx_uint_t *snapshot)
{
    return ngx_litestream_old_name((char *) text, at, snapshot);
}


static ngx_uint_t
generation(const char *text)
{
    uint64_t  g;

    return ngx_litestream_old_generation((u_char *) text, strlen(text), &g)
           == NGX_OK;
}


static void
names(void)
{
    uint64_t                  at;
    ngx_uint_t                snapshot, i, bad;

    static const char  *not[] = {
        "", "0000000a", "0000000a.snapshot", "0000000a.snapshot.lz4.tmp",
        "0000000A.snapshot.lz4", "000000a.snapshot.lz4", "0000000a.wal.lz4",
        "0000000a_1038.wal.lz4", "0000000a_00001038.wal",
        "0000000a_00001038.wal.lz4.tmp", "0000000a-00001038.wal.lz4",
        "0000000g_00001038.wal.lz4", "0000000a_0000103g.wal.lz4",
        "0000000a_00001038xwal.lz4"
    };

    at = 1;

    unit_ok(name("0000000a.snapshot.lz4", &at, &snapshot) == NGX_OK
            && at == 0x0000000a00000000ULL && snapshot == 1,
            "name of a snapshot");
    unit_ok(name("0000000a_00001038.wal.lz4", &at, &snapshot) == NGX_OK
            && at == 0x0000000a00001039ULL && snapshot == 0,
            "name of a part of a WAL: behind its begin");
    unit_ok(name("ffffffff_ffffffff.wal.lz4", &at, &snapshot) == NGX_OK
            && at == UINT64_MAX, "the largest one");

    bad = 0;
    at = 42;

    for (i = 0; i < sizeof(not) / sizeof(not[0]); i++) {
        bad += (name(not[i], &at, &snapshot) != NGX_ERROR || at != 42);
    }

    unit_ok(bad == 0, "names of other files");

    unit_ok(generation("0123456789abcdef"), "name of a generation");
    unit_ok(!generation("") && !generation("0123456789abcde")
            && !generation("0123456789abcdef0")
            && !generation("0123456789ABCDEF")
            && !generation("0123456789abcdeg"), "names of other folders");
}


static void
positions(void)
{
    ngx_litestream_old_pos_t  pos;

    unit_ok(position("0123456789abcdef/0000000a:4152", &pos) == NGX_OK
            && pos.generation == GEN && pos.at == 0x0000000a00001038ULL,
            "position");
    unit_ok(position("0123456789abcdef/0000000a:0", &pos) == NGX_OK
            && pos.at == 0x0000000a00000000ULL, "at the begin");
    unit_ok(position("0123456789abcdef/0000000a:99999999999", &pos) == NGX_OK
            && pos.at == 0x0000000affffffffULL, "far beyond what a name holds");

    pos.generation = 7;
    pos.at = 8;

    unit_ok(position("", &pos) == NGX_ERROR
            && position("0123456789abcdef/0000000a", &pos) == NGX_ERROR
            && position("0123456789abcdef/0000000a:", &pos) == NGX_ERROR
            && position("0123456789abcdef/0000000a:-1", &pos) == NGX_ERROR
            && position("0123456789abcdef/0000000a:1x", &pos) == NGX_ERROR
            && position("0123456789abcdef:0000000a:1", &pos) == NGX_ERROR
            && position("0123456789abcdef/000000ga:1", &pos) == NGX_ERROR
            && position("/00000000:0", &pos) == NGX_ERROR, "no positions");
    unit_ok(pos.generation == 7 && pos.at == 8, "these change nothing");
}


static void
verdicts(void)
{
    ngx_litestream_old_facts_t  f;

#define V(what, text)                                                         \
    unit_ok(ngx_litestream_old_verdict(&f) == NGX_LITESTREAM_##what, text)

    memset(&f, 0, sizeof(f));

    /* nothing there */

    V(GO, "nothing anywhere: a new one");

    f.exists = 1;
    V(GO, "nothing there: replicated");

    f.seen = 1;
    V(VANISHED, "nothing there, but there was");

    f.newer = 1;
    V(NEWER, "of Litestream 0.5");

    /* the database goes on with what is there */

    memset(&f, 0, sizeof(f));

    f.files = 3;
    f.replica.generation = GEN;
    f.replica.at = ngx_litestream_old_at(2, 5000);

    V(GONE, "no database, but a backup");

    f.exists = 1;
    f.seq = 1;

    V(AHEAD, "a database that nothing is known of");

    f.local = f.replica;
    V(GO, "its generation, as far");

    f.local.at++;
    V(GO, "its generation, and more");

    f.local.at = ngx_litestream_old_at(1, 9000);
    V(AHEAD, "its generation, but behind");

    f.local = f.replica;
    f.torn = 1;
    V(TORN, "its generation, with a WAL that has lost commits");

    f.seq = 0;
    V(MADE_ANEW, "its generation, but another database");

    /* the file that was restored from it, whatever is beside it */

    f.same = 1;
    f.last = f.replica;
    V(GO, "restored, and nothing has come since");

    f.last.at--;
    V(MADE_ANEW, "restored, and something has come since");

    f.last.at++;
    f.last.generation++;
    f.local.generation = 9;
    V(AHEAD, "restored, and another generation has come since");

    /* the file that was replicated there, with a generation of its own */

    f.same = 0;
    f.own = 1;
    V(AHEAD, "replicated, and another one has begun a generation since");

    f.last.generation = f.replica.generation;
    f.last.at = 0;
    V(GO, "replicated, and nobody has begun a generation since");

    f.own = 0;
    V(AHEAD, "the generation is ours, but the file is another one");

    f.local.generation = 0;
    V(AHEAD, "the same without a meta directory");

    f.files = 0;
    V(GO, "a replica that was emptied, and never seen with anything");

#undef V
}


/* whatever comes in, what is not a name changes nothing */

static void
fuzz(void)
{
    char                      again[64];
    u_char                   *p;
    char                     *text;
    size_t                    len;
    uint64_t                  at, g;
    ngx_uint_t                i, bad, snapshot;
    ngx_litestream_old_pos_t  pos;

    static const char  *seeds[] = {
        "0123456789abcdef/0000000a:4152",
        "0000000a_00001038.wal.lz4",
        "0000000a.snapshot.lz4",
        "0123456789abcdef"
    };

    bad = 0;

    for (i = 0; i < 100000; i++) {
        p = unit_mutate(seeds[i % 4], strlen(seeds[i % 4]), &len);

        pos.generation = 1;
        pos.at = 2;

        if (ngx_litestream_old_position(p, len, &pos) != NGX_OK) {
            bad += (pos.generation != 1 || pos.at != 2);
        }

        if (ngx_litestream_old_generation(p, len, &g) == NGX_OK) {
            sprintf(again, "%016llx", (unsigned long long) g);
            bad += (len != 16 || memcmp(again, p, 16) != 0);
        }

        text = malloc(len + 1);

        if (text == NULL) {
            abort();
        }

        memcpy(text, p, len);
        text[len] = '\0';

        if (ngx_litestream_old_name(text, &at, &snapshot) == NGX_OK) {

            if (snapshot) {
                sprintf(again, "%08x.snapshot.lz4", (unsigned) (at >> 32));

            } else {
                at--;
                sprintf(again, "%08x_%08x.wal.lz4", (unsigned) (at >> 32),
                        (unsigned) at);
            }

            /* behind the last place there is none */

            bad += (strcmp(again, text) != 0
                    && strstr(text, "_ffffffff") == NULL);
        }

        free(text);
        free(p);
    }

    unit_ok(bad == 0, "100000 changed names and positions");
}


int
main(void)
{
    names();
    positions();
    verdicts();
    fuzz();

    return unit_end();
}
