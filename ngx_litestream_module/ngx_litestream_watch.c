
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What becomes of the files of databases while nginx runs: deleted, replaced,
 * made by an application.
 */


#include "ngx_litestream_supervisor.h"

#include <sys/sysmacros.h>


static void ngx_litestream_watch_copy(ngx_litestream_rdb_t *rdb, uint64_t dev,
    uint64_t ino);


/*
 * Device and inode of a file, mixed with its time of birth, since inodes are
 * used again at once.  NGX_DECLINED: there is none (all 0, size -1).  Two
 * system calls on a local file.
 */

ngx_int_t
ngx_litestream_identity(u_char *path, uint64_t *dev, uint64_t *ino,
    int64_t *size)
{
    struct statx  stx;

    *dev = 0;
    *ino = 0;

    if (size) {
        *size = -1;
    }

    if (statx(AT_FDCWD, (char *) path, AT_SYMLINK_NOFOLLOW,
              STATX_TYPE|STATX_INO|STATX_SIZE|STATX_BTIME, &stx)
        == -1)
    {
        return (errno == ENOENT) ? NGX_DECLINED : NGX_ERROR;
    }

    *dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    *ino = stx.stx_ino;

    if (stx.stx_mask & STATX_BTIME) {
        *ino ^= ((uint64_t) stx.stx_btime.tv_sec * 1000000000
                 + stx.stx_btime.tv_nsec) << 8;
        *ino |= 1;
    }

    if (size) {
        *size = S_ISREG(stx.stx_mode) ? (int64_t) stx.stx_size : 0;
    }

    return NGX_OK;
}


/*
 * Each tick: has the file been deleted or replaced under Litestream?  That
 * goes unnoticed there, and the replica would keep an old state for ever.
 */

void
ngx_litestream_watch(ngx_litestream_rdb_t *rdb)
{
    int64_t      size;
    uint64_t     dev, ino;
    u_char       wal[4200];
    ngx_int_t    rc;
    struct stat  st;

    if (rdb->db->gone) {
        return;
    }

    rc = ngx_litestream_identity(rdb->db->path.data, &dev, &ino, &size);

    if (rc == NGX_ERROR) {
        return;
    }

    rdb->st.size = size;
    rdb->st.wal_size = -1;

    if (rdb->db->path.len + 5 < sizeof(wal)) {
        (void) ngx_sprintf(wal, "%V-wal%Z", &rdb->db->path);

        if (rc == NGX_OK) {
            rdb->st.wal_size = stat((char *) wal, &st) == 0 ? st.st_size : 0;
        }
    }

    if (!rdb->placed || rdb->job) {
        return;
    }

    if (!rdb->db->replicate) {
        ngx_litestream_watch_copy(rdb, dev, ino);
        return;
    }

    if (rc == NGX_DECLINED && rdb->st.in_place && !rdb->lost
        && rdb->st.state != NGX_LITESTREAM_DB_NEW)
    {
        ngx_litestream_db_error(rdb, "\"%s\" was deleted%s: stop what uses "
                                "it, then restart nginx to restore it",
                                (char *) rdb->db->path.data,
                                rdb->cleared ? " while it was replicated"
                                             : "");
        rdb->lost = 1;
        rdb->cleared = 0;
        rdb->restored_ino = 0;
        rdb->st.in_place = 0;
        ngx_litestream_group_kick(rdb->group);
        return;
    }

    if (!rdb->cleared) {

        /* something has come where nothing was: look at once */

        if (rdb->fault && rc == NGX_OK && size > 0 && rdb->lost) {
            rdb->lost = 0;
            rdb->delay = 0;
            ngx_litestream_check(rdb);
        }

        return;
    }

    if (rdb->ino == 0) {

        /* new: its application makes it now; at once into the replica */

        if (rc == NGX_OK && size > 0) {
            rdb->dev = dev;
            rdb->ino = ino;
            rdb->st.state = NGX_LITESTREAM_DB_STARTING;
            ngx_litestream_sync(rdb, NULL);
        }

        return;
    }

    if (dev == rdb->dev && ino == rdb->ino) {
        return;
    }

    rdb->cleared = 0;
    rdb->restored_ino = 0;

    ngx_litestream_db_error(rdb, "\"%s\" was replaced while it was "
                            "replicated: it is compared with its replica "
                            "before it is replicated again",
                            (char *) rdb->db->path.data);

    rdb->delay = 0;

    if (rdb->group->proc.pid == -1) {
        ngx_litestream_check(rdb);
        return;
    }

    /*
     * the one that runs has the old file open and would mix it with the new
     * one's WAL, also in a last sync: killed, then all are compared
     */

    ngx_litestream_group_stop(rdb->group);
    ngx_litestream_group_kill(rdb->group, NULL);
}


/*
 * One with replicate=off: what comes and goes is nobody's backup, it only has
 * to be there
 */

static void
ngx_litestream_watch_copy(ngx_litestream_rdb_t *rdb, uint64_t dev,
    uint64_t ino)
{
    if (rdb->st.size > 0) {
        rdb->dev = dev;
        rdb->ino = ino;

        if (!rdb->lost) {
            return;
        }

        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" is there again",
                      &rdb->db->alias);

        rdb->lost = 0;
        rdb->fault = 0;
        rdb->st.error[0] = '\0';
        rdb->st.in_place = 1;
        rdb->st.state = NGX_LITESTREAM_DB_NEW;

        ngx_litestream_status_db_write(rdb);
        return;
    }

    /* ino is 0 while there has never been any */

    if (rdb->st.size == 0 || rdb->ino == 0 || rdb->lost) {
        return;
    }

    rdb->lost = 1;
    rdb->st.in_place = 0;

    ngx_litestream_db_error(rdb, "\"%s\" was deleted: stop what uses it, "
                            "then restart nginx to restore it",
                            (char *) rdb->db->path.data);
}
