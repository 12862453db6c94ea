
/*
 * Copyright (C) the ngx_litestream authors
 *
 * The pure helpers: names, numbers, times, copies.
 */


#include "unit.h"
#include "ngx_litestream_verdict.c"
#include "ngx_litestream_shared.c"


static uint64_t
id(const char *path)
{
    ngx_str_t  s;

    s.data = (u_char *) path;
    s.len = strlen(path);

    return ngx_litestream_id(&s);
}


static ngx_int_t
ltx(const char *name, uint64_t *min, uint64_t *max)
{
    return ngx_litestream_ltx_name((u_char *) name, strlen(name), min, max);
}


static int64_t
at(const char *text)
{
    return ngx_litestream_time((u_char *) text, strlen(text));
}


static ngx_uint_t
copied(const char *src, size_t size, const char *expected)
{
    char  buf[64];

    memset(buf, 'x', sizeof(buf));

    ngx_litestream_copy(buf, size, (u_char *) src, strlen(src));

    return strcmp(buf, expected) == 0 && buf[size] == 'x';
}


static void
names(void)
{
    uint64_t  min, max, txid;

    min = 1;
    max = 2;

    unit_ok(id("") == 0xcbf29ce484222325ULL
            && id("a") == 0xaf63dc4c8601ec8cULL
            && id("foobar") == 0x85944171f73967e8ULL, "id is FNV-1a");
    unit_ok(id("/srv/a.db") != id("/srv/b.db"), "ids of two paths differ");

    unit_ok(ltx("000000000000002a-000000000000002b.ltx", &min, &max) == NGX_OK
            && min == 42 && max == 43, "name of an LTX file");
    unit_ok(ltx("ffffffffffffffff-ffffffffffffffff.ltx", &min, &max) == NGX_OK
            && min == UINT64_MAX && max == UINT64_MAX, "largest TXIDs");

    min = 7;

    unit_ok(ltx("000000000000002a-000000000000002b.lt", &min, &max)
            == NGX_ERROR, "name too short");
    unit_ok(ltx("000000000000002a-000000000000002b.ltx.tmp", &min, &max)
            == NGX_ERROR, "temporary file");
    unit_ok(ltx("000000000000002a_000000000000002b.ltx", &min, &max)
            == NGX_ERROR, "no hyphen");
    unit_ok(ltx("000000000000002g-000000000000002b.ltx", &min, &max)
            == NGX_ERROR, "not hex");
    unit_ok(ltx("000000000000002A-000000000000002b.ltx", &min, &max)
            == NGX_ERROR, "upper case");
    unit_ok(ltx("000000000000002b-000000000000002a.ltx", &min, &max)
            == NGX_ERROR, "ends exchanged");
    unit_ok(ltx("0000000000000000-000000000000002a.ltx", &min, &max)
            == NGX_ERROR, "TXID 0");
    unit_ok(min == 7, "a bad name changes nothing");

    unit_ok(ngx_litestream_txid((u_char *) "00000000000000Ff", 16, &txid)
            == NGX_OK && txid == 255, "TXID");
    unit_ok(ngx_litestream_txid((u_char *) "ff", 2, &txid) == NGX_ERROR,
            "short TXID");
    unit_ok(ngx_litestream_txid((u_char *) "+0000000000000ff", 16, &txid)
            == NGX_ERROR, "TXID with a sign");
}


static void
times(void)
{
    unit_ok(at("1970-01-01T00:00:00Z") == 0, "epoch");
    unit_ok(at("2026-11-21T00:52:52Z") == 1795222372000LL, "seconds");
    unit_ok(at("2026-11-21T00:52:52.75519867Z") == 1795222372755LL,
            "fraction");
    unit_ok(at("2026-11-21T00:52:52.7Z") == 1795222372700LL,
            "short fraction");
    unit_ok(at("2026-11-21T00:52:52.0009999999999999999999Z")
            == 1795222372000LL, "long fraction");
    unit_ok(at("2026-11-21T02:52:52+02:00") == 1795222372000LL, "east");
    unit_ok(at("2026-11-20T19:22:52.5-05:30") == 1795222372500LL, "west");
    unit_ok(at("2026-11-21t00:52:52z") == 1795222372000LL, "lower case");
    unit_ok(at("2024-02-29T12:00:00Z") == 1709208000000LL, "leap day");
    unit_ok(at("2000-02-29T00:00:00Z") == 951782400000LL, "leap day of 2000");
    unit_ok(at("2016-12-31T23:59:60Z") == 1483228800000LL, "leap second");
    unit_ok(at("9999-12-31T23:59:59.999Z") == 253402300799999LL, "last");

    unit_ok(at("0001-01-01T00:00:00Z") == -1, "the zero time of Go");
    unit_ok(at("1970-01-01T00:00:00+00:01") == -1, "before 1970");
    unit_ok(at("2023-02-29T12:00:00Z") == -1, "no leap year");
    unit_ok(at("2100-02-29T12:00:00Z") == -1, "no leap year, 2100");
    unit_ok(at("2026-13-01T00:00:00Z") == -1, "month 13");
    unit_ok(at("2026-04-31T00:00:00Z") == -1, "April 31");
    unit_ok(at("2026-11-21T24:00:00Z") == -1, "hour 24");
    unit_ok(at("2026-11-21 00:52:52Z") == -1, "no T");
    unit_ok(at("2026-11-21T00:52:52") == -1, "no zone");
    unit_ok(at("2026-11-21T00:52:52.Z") == -1, "empty fraction");
    unit_ok(at("2026-11-21T00:52:52.5") == -1, "fraction without a zone");
    unit_ok(at("2026-11-21T00:52:52Zx") == -1, "text behind");
    unit_ok(at("2026-11-21T00:52:52+02") == -1, "short zone");
    unit_ok(at("2026-11-21T00:52:52+02:00Z") == -1, "two zones");
    unit_ok(at("2026-11-21T00:52:52+0x:00") == -1, "bad zone");
    unit_ok(at("-026-11-21T00:52:52Z") == -1, "negative year");
    unit_ok(at("") == -1, "nothing");
}


static void
copies(void)
{
    char  c;

    unit_ok(copied("abc", 4, "abc"), "copy that fits");
    unit_ok(copied("abcd", 4, "abc"), "copy that is cut");
    unit_ok(copied("abc", 1, ""), "copy to one byte");
    unit_ok(copied("ab\xc3\xa9", 5, "ab\xc3\xa9"), "two bytes fit");
    unit_ok(copied("ab\xc3\xa9", 4, "ab"), "two bytes do not");
    unit_ok(copied("a\xf0\x9f\x98\x80", 5, "a"), "four bytes do not");
    unit_ok(copied("\xe2\x82\xac\xe2\x82\xac", 6, "\xe2\x82\xac"),
            "three bytes do not");
    unit_ok(copied("\x80\x80\x80\x80\x80\x80", 6, "\x80\x80\x80\x80\x80"),
            "not UTF-8");

    c = 'x';
    ngx_litestream_copy(&c, 0, (u_char *) "abc", 3);
    unit_ok(c == 'x', "no room at all");

    ngx_litestream_copy(&c, 1, NULL, 0);
    unit_ok(c == '\0', "nothing to copy");

    unit_ok(strcmp(ngx_litestream_state_names[NGX_LITESTREAM_STANDBY],
                   "standby") == 0
            && strcmp(ngx_litestream_state_names[NGX_LITESTREAM_UP],
                      "up") == 0, "names of process states");
    unit_ok(strcmp(ngx_litestream_db_state_names[NGX_LITESTREAM_DB_ERROR],
                   "error") == 0
            && strcmp(
                  ngx_litestream_db_state_names[NGX_LITESTREAM_DB_CHECKING],
                  "checking") == 0, "names of database states");
    unit_ok(strcmp(ngx_litestream_restore_state_names[
                       NGX_LITESTREAM_RESTORE_FAILED],
                   "failed") == 0, "names of restore states");
}


/* each day of 140 years and random times against timegm() */

static void
calendar(void)
{
    char        text[64];
    time_t      t;
    int64_t     ms, zone;
    struct tm   tm;
    ngx_uint_t  i, bad, frac;

    bad = 0;

    for (i = 0; i < 140 * 366; i++) {
        t = i * 86400;
        gmtime_r(&t, &tm);

        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);

        bad += (at(text) != (int64_t) t * 1000);
    }

    unit_ok(bad == 0, "days of 140 years");

    for (i = 0; i < 20000; i++) {
        t = 86400 + unit_random(8000000000ULL);
        zone = (int64_t) unit_random(2 * 1439 + 1) - 1439;
        frac = unit_random(1000000000);

        t += zone * 60;
        gmtime_r(&t, &tm);
        t -= zone * 60;

        sprintf(text, "%04u-%02u-%02uT%02u:%02u:%02u.%09u%c%02u:%02u",
                (unsigned) (tm.tm_year + 1900) % 10000,
                (unsigned) (tm.tm_mon + 1) % 100, (unsigned) tm.tm_mday % 100,
                (unsigned) tm.tm_hour % 100, (unsigned) tm.tm_min % 100,
                (unsigned) tm.tm_sec % 100, (unsigned) frac,
                zone < 0 ? '-' : '+', (unsigned) (labs(zone) / 60) % 100,
                (unsigned) (labs(zone) % 60));

        ms = (int64_t) t * 1000 + frac / 1000000;

        bad += (at(text) != ms);
    }

    unit_ok(bad == 0, "random times and zones");
}


/* the table of docs/supervision.md: what is here, what is there */

static void
checks(void)
{
    ngx_uint_t  i, bad;

    static struct {
        ngx_litestream_check_facts_t  facts;
        ngx_litestream_check_e        verdict;
    } table[] = {

        /* the replica is empty */

        { { .exists = 1 }, NGX_LITESTREAM_GO },
        { { .exists = 1, .seq = 1, .meta = 1, .local = 9, .begun = 1 },
          NGX_LITESTREAM_GO },
        { { .exists = 1, .seq = 1, .meta = 1, .local = 9 },
          NGX_LITESTREAM_NOT_BEGUN },
        { { .local = 9, .meta = 1 }, NGX_LITESTREAM_GO },
        { { .exists = 1, .seq = 1, .meta = 1, .local = 9, .seen = 1 },
          NGX_LITESTREAM_VANISHED },

        /* it holds something */

        { { .replica = 9, .exists = 1, .seq = 1, .meta = 1, .local = 9 },
          NGX_LITESTREAM_GO },
        { { .replica = 9, .exists = 1, .seq = 1, .meta = 1, .local = 8,
            .begun = 1 }, NGX_LITESTREAM_AHEAD },
        { { .replica = 9, .exists = 1, .restored = 9, .same = 1 },
          NGX_LITESTREAM_GO },
        { { .replica = 9, .exists = 1, .restored = 9 },
          NGX_LITESTREAM_AHEAD },
        { { .replica = 9, .exists = 1, .meta = 1, .local = 9 },
          NGX_LITESTREAM_MADE_ANEW },
        { { .replica = 9, .exists = 1, .seq = 1, .meta = 1, .local = 9,
            .torn = 1 }, NGX_LITESTREAM_TORN },
        { { .replica = 9 }, NGX_LITESTREAM_GONE }
    };

    bad = 0;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (ngx_litestream_check_verdict(&table[i].facts)
            != table[i].verdict)
        {
            printf("# %d\n", (int) i);
            bad++;
        }
    }

    unit_ok(bad == 0, "may a database be replicated");
}


static void
fuzz(void)
{
    char         copy[64], again[64];
    u_char      *p;
    size_t       len, size;
    int64_t      ms;
    uint64_t     min, max, txid;
    ngx_uint_t   i, bad;

    static const char  *seeds[] = {
        "2026-11-21T00:52:52.75519867Z",
        "2026-11-21T00:52:52+02:00",
        "000000000000002a-00000000000fffff.ltx",
        "ffffffffffffffff",
        "gar\xc3\xa7on \xe2\x82\xac \xf0\x9f\x98\x80"
    };

    bad = 0;

    for (i = 0; i < 100000; i++) {
        p = (u_char *) seeds[i % 5];
        p = unit_mutate((char *) p, strlen((char *) p), &len);

        ms = ngx_litestream_time(p, len);

        bad += (ms < -1 || ms > 253402400000000LL);

        if (ngx_litestream_ltx_name(p, len, &min, &max) == NGX_OK) {
            sprintf(again, "%016llx-%016llx.ltx", (unsigned long long) min,
                    (unsigned long long) max);

            bad += (len != 37 || memcmp(again, p, len) != 0);
        }

        if (ngx_litestream_txid(p, len, &txid) == NGX_OK) {
            sprintf(again, "%016llx", (unsigned long long) txid);

            bad += (len != 16
                    || strncasecmp(again, (char *) p, len) != 0);
        }

        size = unit_random(sizeof(copy)) + 1;

        ngx_litestream_copy(copy, size, p, len);

        bad += (strlen(copy) > size - 1
                || memcmp(copy, p, strlen(copy)) != 0
                || (memchr(p, 0, len) == NULL
                    && strlen(copy) + 3 < ngx_min(size - 1, len)));

        free(p);
    }

    unit_ok(bad == 0, "100000 changed names, numbers, times and texts");
}


int
main(void)
{
    names();
    times();
    copies();
    calendar();
    checks();
    fuzz();

    return unit_end();
}
