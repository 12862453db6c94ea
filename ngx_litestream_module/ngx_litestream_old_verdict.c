
/*
 * Copyright (C) the ngx_litestream authors
 */


/* names and positions of Litestream 0.3, and what follows from them: pure */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream_old.h"


static ngx_int_t ngx_litestream_old_hex(u_char *p, size_t n, uint64_t *value);


/*
 * May a database be replicated by Litestream 0.3, or by 0.5 where 0.3 was
 * before?  A database that does not continue the newest generation begins one
 * of its own, which a restore then takes for the newest: so it must be known
 * to be what that generation is a backup of.  The table is in
 * docs/supervision.md.
 */

ngx_litestream_check_e
ngx_litestream_old_verdict(ngx_litestream_old_facts_t *f)
{
    if (f->newer) {
        return NGX_LITESTREAM_NEWER;
    }

    if (f->files == 0) {
        return f->seen ? NGX_LITESTREAM_VANISHED : NGX_LITESTREAM_GO;
    }

    if (!f->exists) {
        return NGX_LITESTREAM_GONE;
    }

    /* whatever an old meta directory beside it says */

    if (f->same && f->last.generation == f->replica.generation
        && f->last.at == f->replica.at)
    {
        return NGX_LITESTREAM_GO;
    }

    if (f->local.generation && f->local.generation == f->replica.generation) {

        if (f->local.at < f->replica.at) {
            return NGX_LITESTREAM_AHEAD;
        }

        if (!f->seq) {
            return NGX_LITESTREAM_MADE_ANEW;
        }

        return f->torn ? NGX_LITESTREAM_TORN : NGX_LITESTREAM_GO;
    }

    /* nobody else has begun a generation since it was replicated here */

    if (f->own && f->last.generation == f->replica.generation) {
        return NGX_LITESTREAM_GO;
    }

    return NGX_LITESTREAM_AHEAD;
}


/* "0123456789abcdef/0000000a:4152", as Litestream prints it */

ngx_int_t
ngx_litestream_old_position(u_char *p, size_t len,
    ngx_litestream_old_pos_t *pos)
{
    off_t     offset;
    uint64_t  generation, index;

    if (len < 27 || p[16] != '/' || p[25] != ':'
        || ngx_litestream_old_generation(p, 16, &generation) != NGX_OK
        || ngx_litestream_old_hex(p + 17, 8, &index) != NGX_OK)
    {
        return NGX_ERROR;
    }

    offset = ngx_atoof(p + 26, len - 26);

    if (offset == NGX_ERROR) {
        return NGX_ERROR;
    }

    pos->generation = generation;
    pos->at = ngx_litestream_old_at(index, offset);

    return NGX_OK;
}


/* the name of a folder; NGX_ERROR: Litestream does not take it for one */

ngx_int_t
ngx_litestream_old_generation(u_char *p, size_t len, uint64_t *generation)
{
    return (len == 16) ? ngx_litestream_old_hex(p, 16, generation)
                       : NGX_ERROR;
}


/*
 * "0000000a.snapshot.lz4" or "0000000a_00001038.wal.lz4", the name of a file
 * in a replica.  One of a WAL is not empty: the place is behind its begin.
 */

ngx_int_t
ngx_litestream_old_name(char *name, uint64_t *at, ngx_uint_t *snapshot)
{
    u_char    *p;
    uint64_t   index, offset;

    p = (u_char *) name;

    if (ngx_strlen(p) < 8 || ngx_litestream_old_hex(p, 8, &index) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_strcmp(p + 8, ".snapshot.lz4") == 0) {
        *at = ngx_litestream_old_at(index, 0);
        *snapshot = 1;

        return NGX_OK;
    }

    if (ngx_strlen(p) != sizeof("0000000a_00001038.wal.lz4") - 1
        || p[8] != '_'
        || ngx_litestream_old_hex(p + 9, 8, &offset) != NGX_OK
        || ngx_strcmp(p + 17, ".wal.lz4") != 0)
    {
        return NGX_ERROR;
    }

    *at = ngx_litestream_old_at(index, offset + 1);
    *snapshot = 0;

    return NGX_OK;
}


/* lower case alone, as Litestream has it */

static ngx_int_t
ngx_litestream_old_hex(u_char *p, size_t n, uint64_t *value)
{
    size_t    i;
    uint64_t  v;

    v = 0;

    for (i = 0; i < n; i++) {

        if (p[i] >= '0' && p[i] <= '9') {
            v = v << 4 | (p[i] - '0');

        } else if (p[i] >= 'a' && p[i] <= 'f') {
            v = v << 4 | (p[i] - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    *value = v;

    return NGX_OK;
}
