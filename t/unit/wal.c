
/*
 * Copyright (C) the ngx_litestream authors
 *
 * Whether a WAL still holds what was read from it, with WALs that SQLite has
 * written.
 */


#include "unit.h"
#include "ngx_litestream_wal.c"

#include <sqlite3.h>


static char    dir[] = "/tmp/ngls-wal-XXXXXX";
static char    wal[128], copy[64], ltx[64];
static u_char  data[1 << 20];
static size_t  size;


static void
check(int rc, const char *what)
{
    if (!rc) {
        printf("Bail out! %s\n", what);
        exit(1);
    }
}


static void
save(const char *name, u_char *p, size_t len)
{
    FILE  *f;

    f = fopen(name, "w");
    check(f && fwrite(p, 1, len, f) == len && fclose(f) == 0, name);
}


static void
put32(u_char *p, uint32_t n)
{
    p[0] = n >> 24;
    p[1] = n >> 16;
    p[2] = n >> 8;
    p[3] = n;
}


/* an LTX file that was made of so much of this WAL */

static void
made_of(u_char *salts, uint64_t offset, uint64_t n)
{
    u_char  h[200];

    memset(h, 0, sizeof(h));
    memcpy(h, "LTX1", 4);
    put32(&h[48], offset >> 32);
    put32(&h[52], offset);
    put32(&h[56], n >> 32);
    put32(&h[60], n);
    memcpy(&h[64], salts, 8);

    save(ltx, h, sizeof(h));
}


static ngx_int_t
with(u_char *p, size_t len)
{
    save(copy, p, len);
    return ngx_litestream_wal_check(ltx, copy);
}


/* a database of this page size, with a WAL that stays */

static void
make(int page)
{
    int       i;
    char      name[64], sql[128];
    FILE     *f;
    sqlite3  *db;

    (void) snprintf(name, sizeof(name), "%s/%d", dir, page);
    (void) snprintf(wal, sizeof(wal), "%s-wal", name);

    check(sqlite3_open(name, &db) == SQLITE_OK, "open");

    (void) snprintf(sql, sizeof(sql), "PRAGMA page_size = %d;"
                    "PRAGMA journal_mode = WAL; CREATE TABLE t (x);", page);
    check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "sql");

    for (i = 0; i < 5; i++) {
        check(sqlite3_exec(db, "INSERT INTO t VALUES (randomblob(100))", NULL,
                           NULL, NULL)
              == SQLITE_OK, "insert");
    }

    f = fopen(wal, "r");
    check(f != NULL, "WAL");
    size = fread(data, 1, sizeof(data), f);
    (void) fclose(f);

    (void) sqlite3_close(db);
    (void) unlink(name);
}


static void
frames(void)
{
    u_char  salts[8], other[8], *p;
    size_t  len;

    p = data;
    len = 24 + 4096;

    memcpy(salts, &data[16], 8);

    made_of(salts, 32, size - 32);
    unit_ok(with(p, size) == NGX_OK, "all of it");
    unit_ok(with(p, size - 1) == NGX_DECLINED, "a byte is gone");
    unit_ok(with(p, size - len) == NGX_DECLINED, "a frame is gone");
    unit_ok(with(p, 32) == NGX_DECLINED, "all frames are gone");
    unit_ok(with(p, 20) == NGX_DECLINED, "half a header");
    unit_ok(with(p, 0) == NGX_OK, "0 bytes: all of it is in the database");

    made_of(salts, size - len, len);
    unit_ok(with(p, size) == NGX_OK, "its last frame");

    p[40] ^= 1;
    unit_ok(with(p, size) == NGX_DECLINED, "salt of a frame");
    p[40] ^= 1;

    p[32 + len * 2 + 24 + 4000] ^= 1;
    unit_ok(with(p, size) == NGX_DECLINED, "content of a frame");
    p[32 + len * 2 + 24 + 4000] ^= 1;

    made_of(salts, 32, len * 2);
    p[32 + len * 2 + 24 + 4000] ^= 1;
    unit_ok(with(p, size) == NGX_OK, "content of a frame behind it");
    p[32 + len * 2 + 24 + 4000] ^= 1;

    made_of(salts, 32, size);
    unit_ok(with(p, size) == NGX_DECLINED, "more than there is");

    memset(other, 0, 8);
    made_of(other, 32, size);
    unit_ok(with(p, size) == NGX_OK, "a compacted file");
    made_of(salts, 32, 0);
    unit_ok(with(p, 0) == NGX_OK, "a file not made of a WAL");
    made_of(salts, ~0ULL, ~0ULL);
    unit_ok(with(p, size) == NGX_OK, "impossible numbers");

    /* one WAL later, and earlier; and one that has nothing to do with it */

    memcpy(other, salts, 8);
    put32(other, ngx_litestream_be32(salts) - 1);
    made_of(other, 32, size - 32);
    unit_ok(with(p, size) == NGX_OK, "a WAL that came later");

    memcpy(&p[size - len + 8], other, 8);
    made_of(other, 32, size - len - 32);
    unit_ok(with(p, size) == NGX_AGAIN, "the old one went on");
    memcpy(&p[size - len + 8], salts, 8);

    put32(other, ngx_litestream_be32(salts) - 2);
    made_of(other, 32, size - 32);
    unit_ok(with(p, size) == NGX_AGAIN, "two WALs later");

    put32(other, ngx_litestream_be32(salts) + 1);
    other[7] ^= 1;
    made_of(other, 32, size - 32);
    unit_ok(with(p, size) == NGX_DECLINED, "a WAL that was before");

    put32(other, ngx_litestream_be32(salts) ^ 0x80000000);
    made_of(other, 32, size - 32);
    unit_ok(with(p, size) == NGX_OK, "another WAL");

    /* files that are none */

    made_of(salts, 32, size - 32);
    unit_ok(ngx_litestream_wal_check(ltx, "/nonexistent") == NGX_OK, "no WAL");
    unit_ok(ngx_litestream_wal_check("/nonexistent", copy) == NGX_OK,
            "no LTX file");
    unit_ok(ngx_litestream_wal_check(ltx, dir) == NGX_OK, "a directory");
    save(ltx, (u_char *) "LTX1", 4);
    unit_ok(with(p, size) == NGX_OK, "a short LTX file");
}


static void
sizes(void)
{
    int     page;
    char    name[64];
    u_char  salts[8];

    for (page = 512; page <= 65536; page *= 2) {
        make(page);

        memcpy(salts, &data[16], 8);
        made_of(salts, 32, size - 32);

        (void) snprintf(name, sizeof(name), "pages of %d bytes", page);
        unit_ok(with(data, size) == NGX_OK
                && with(data, size - 8) == NGX_DECLINED, name);
    }
}


/* the other byte order: as SQLite writes it on other machines */

static void
swapped(void)
{
    u_char                 salts[8], *p;
    size_t                 n;
    ngx_litestream_pair_t  sum;

    make(4096);

    p = data;
    memset(&sum, 0, sizeof(sum));

    put32(p, ngx_litestream_be32(p) ^ 1);
    ngx_litestream_wal_sum(&sum, p, 24, ngx_litestream_be32(p) & 1);
    put32(&p[24], sum.one);
    put32(&p[28], sum.two);

    for (n = 32; n < size; n += 24 + 4096) {
        ngx_litestream_wal_sum(&sum, &p[n], 8, ngx_litestream_be32(p) & 1);
        ngx_litestream_wal_sum(&sum, &p[n + 24], 4096,
                               ngx_litestream_be32(p) & 1);
        put32(&p[n + 16], sum.one);
        put32(&p[n + 20], sum.two);
    }

    memcpy(salts, &p[16], 8);
    made_of(salts, 32, size - 32);
    unit_ok(with(p, size) == NGX_OK, "the other byte order");
    p[size - 1] ^= 1;
    unit_ok(with(p, size) == NGX_DECLINED, "damage in the other byte order");
}


/* whatever is there: no overrun, and nothing but the two answers */

static void
garbage(void)
{
    u_char      salts[8];
    size_t      n;
    ngx_int_t   rc;
    ngx_uint_t  i, j, ok;

    make(512);
    ok = 1;

    for (i = 0; i < 2000; i++) {

        memcpy(salts, &data[16], 8);
        made_of(salts, unit_random(size), unit_random(size * 2));

        n = unit_random(size + 1);

        for (j = 0; j < unit_random(4); j++) {
            data[unit_random(i % 2 ? 64 : size)] = unit_random(256);
        }

        rc = with(data, n);
        ok &= (rc == NGX_OK || rc == NGX_DECLINED);
    }

    unit_ok(ok, "garbage");
}


int
main(void)
{
    check(mkdtemp(dir) != NULL, "mkdtemp");

    (void) snprintf(copy, sizeof(copy), "%s/copy", dir);
    (void) snprintf(ltx, sizeof(ltx), "%s/ltx", dir);

    make(4096);
    frames();
    sizes();
    swapped();
    garbage();

    (void) unlink(copy);
    (void) unlink(ltx);
    check(rmdir(dir) == 0, "rmdir");

    return unit_end();
}
