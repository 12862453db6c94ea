
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * How far Litestream 0.3 has come with the databases of a group.  All that was
 * committed is in the WAL up to the frame that its index names; Litestream
 * copies it to the "shadow" in the database's meta directory, and from there
 * to the replica.  A job with the identity of the user compares the two, some
 * times a second; the supervisor reads what it has seen from shared memory.
 */


#include "ngx_litestream_old.h"

#include <dirent.h>
#include <poll.h>


/* between two looks: for each database, at least and at most, in ms */
#define NGX_LITESTREAM_OLD_EACH   2
#define NGX_LITESTREAM_OLD_MIN    50
#define NGX_LITESTREAM_OLD_MAX    1000

#define NGX_LITESTREAM_SHM_LEN    96
#define NGX_LITESTREAM_WAL_LEN    32
#define NGX_LITESTREAM_FRAME_LEN  24


/* a WAL as its index has it */

typedef struct {
    uint32_t                     page;
    uint32_t                     frames;
    u_char                       salts[8];
} ngx_litestream_old_wal_t;


static void ngx_litestream_old_sample(ngx_litestream_db_t *db,
    ngx_litestream_old_sample_t *sample);
static ngx_int_t ngx_litestream_old_index(ngx_litestream_db_t *db,
    ngx_litestream_old_wal_t *wal);
static void ngx_litestream_old_end_of(char *shadow,
    ngx_litestream_old_wal_t *wal, ngx_litestream_old_pos_t *end);
static void ngx_litestream_old_touch(ngx_litestream_db_t *db);


/* in the job, until it is told to end or the supervisor is gone */

void
ngx_litestream_old_watch_run(ngx_litestream_job_t *job)
{
    ngx_uint_t                  i;
    struct pollfd               pfd;
    ngx_litestream_db_t        *db;
    ngx_litestream_old_t       *old;
    ngx_litestream_rdb_t      **rdbs;
    ngx_litestream_old_page_t  *page;

    old = job->data;
    page = old->page;
    rdbs = old->group->rdbs.elts;

    pfd.fd = job->fd;
    pfd.events = POLLIN;

    do {

        for (i = 0; i < old->n && !ngx_litestream_job_stopped(); i++) {

            if (!rdbs[i]->running) {
                continue;
            }

            db = rdbs[i]->db;

            if (page->samples[i].touch) {
                ngx_litestream_old_touch(db);
                page->samples[i].touch = 0;
            }

            ngx_litestream_old_sample(db, &page->samples[i]);
        }

        page->beat++;

    } while (!ngx_litestream_job_stopped()
             && poll(&pfd, 1, ngx_min(ngx_max(old->n
                                              * NGX_LITESTREAM_OLD_EACH,
                                              NGX_LITESTREAM_OLD_MIN),
                                      NGX_LITESTREAM_OLD_MAX))
                <= 0);
}


static void
ngx_litestream_old_sample(ngx_litestream_db_t *db,
    ngx_litestream_old_sample_t *sample)
{
    char                       shadow[4700];
    int64_t                    now;
    uint64_t                   mono;
    ngx_int_t                  rc;
    struct timespec            ts;
    ngx_litestream_old_wal_t   wal;
    ngx_litestream_old_pos_t   pos, end;

    /* what is committed after this does not count */

    now = ngx_litestream_now();

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    mono = (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

    rc = ngx_litestream_old_index(db, &wal);

    end.generation = 0;
    end.at = 0;

    if (ngx_litestream_old_shadow(db, shadow, sizeof(shadow), &pos) == NGX_OK
        && rc == NGX_OK)
    {
        end = pos;
        ngx_litestream_old_end_of(shadow, &wal, &end);
    }

    sample->seq++;
    __sync_synchronize();

    sample->pos = pos;
    sample->end = end;
    sample->time = now;
    sample->mono = mono;

    __sync_synchronize();
    sample->seq++;
}


/*
 * What SQLite's index of the WAL says, which has two copies of it; NGX_ERROR:
 * there is none, or it is being written.
 */

static ngx_int_t
ngx_litestream_old_index(ngx_litestream_db_t *db,
    ngx_litestream_old_wal_t *wal)
{
    int         fd;
    char        path[4300];
    u_char      h[NGX_LITESTREAM_SHM_LEN];
    ssize_t     n;
    uint16_t    size;
    ngx_uint_t  i;

    (void) snprintf(path, sizeof(path), "%s-shm", (char *) db->path.data);

    fd = open(path, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        return NGX_ERROR;
    }

    for (i = 0; i < 5; i++) {

        n = pread(fd, h, sizeof(h), 0);

        if (n != (ssize_t) sizeof(h) || ngx_memcmp(h, h + 48, 48) == 0) {
            break;
        }
    }

    (void) close(fd);

    if (i == 5 || n != (ssize_t) sizeof(h) || h[12] == 0) {
        return NGX_ERROR;
    }

    /* in the byte order of the machine, but for the salts */

    ngx_memcpy(&size, h + 14, 2);
    ngx_memcpy(&wal->frames, h + 16, 4);
    ngx_memcpy(wal->salts, h + 32, 8);

    wal->page = (size & 0xfe00) + ((uint32_t) (size & 1) << 16);

    return wal->page ? NGX_OK : NGX_ERROR;
}


/*
 * The newest of the files that Litestream copies the WAL to, in the generation
 * that is the present one, and its end.  NGX_DECLINED: none, pos is zeroed.
 */

ngx_int_t
ngx_litestream_old_shadow(ngx_litestream_db_t *db, char *path, size_t size,
    ngx_litestream_old_pos_t *pos)
{
    int             fd;
    DIR            *dir;
    char            meta[4500];
    u_char          name[20], h[NGX_LITESTREAM_WAL_LEN];
    ssize_t         n;
    uint32_t        page;
    uint64_t        frame, newest;
    unsigned        index;
    ngx_int_t       rc;
    ngx_uint_t      found;
    struct stat     st;
    struct dirent  *de;

    ngx_memzero(pos, sizeof(ngx_litestream_old_pos_t));

    (void) snprintf(meta, sizeof(meta), "%.4096s/.%.255s-litestream",
                    (char *) db->dir.data, (char *) db->name.data);

    (void) snprintf(path, size, "%s/generation", meta);

    fd = open(path, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        return NGX_DECLINED;
    }

    n = read(fd, name, sizeof(name));

    (void) close(fd);

    if (n < 16
        || ngx_litestream_old_generation(name, 16, &pos->generation)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    (void) snprintf(path, size, "%s/generations/%016llx/wal", meta,
                    (unsigned long long) pos->generation);

    dir = opendir(path);
    if (dir == NULL) {
        return NGX_DECLINED;
    }

    found = 0;
    newest = 0;

    while ((de = readdir(dir)) != NULL) {

        /* "0000000a.wal" */

        if (ngx_strlen(de->d_name) == 12
            && ngx_strcmp(de->d_name + 8, ".wal") == 0
            && sscanf(de->d_name, "%8x", &index) == 1)
        {
            found = 1;
            newest = ngx_max(newest, index);
        }
    }

    (void) closedir(dir);

    pos->at = ngx_litestream_old_at(newest, 0);

    if (!found) {
        return NGX_DECLINED;
    }

    n = ngx_strlen(path);

    (void) snprintf(path + n, size - n, "/%08llx.wal",
                    (unsigned long long) newest);

    fd = open(path, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    if (fd == -1) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    if (read(fd, h, sizeof(h)) == (ssize_t) sizeof(h) && fstat(fd, &st) == 0) {

        page = (uint32_t) h[8] << 24 | h[9] << 16 | h[10] << 8 | h[11];
        frame = (uint64_t) page + NGX_LITESTREAM_FRAME_LEN;

        if (page) {
            pos->at = ngx_litestream_old_at(newest, NGX_LITESTREAM_WAL_LEN
                             + (st.st_size - NGX_LITESTREAM_WAL_LEN) / frame
                               * frame);
            rc = NGX_OK;
        }
    }

    (void) close(fd);

    return rc;
}


/*
 * Where the end of that WAL is, or will be, in the file that it is copied to;
 * generation 0: it is another WAL, which Litestream has not seen yet.
 */

static void
ngx_litestream_old_end_of(char *shadow, ngx_litestream_old_wal_t *wal,
    ngx_litestream_old_pos_t *end)
{
    int      fd;
    u_char   h[NGX_LITESTREAM_WAL_LEN];
    ssize_t  n;

    n = -1;

    fd = open(shadow, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd != -1) {
        n = read(fd, h, sizeof(h));
        (void) close(fd);
    }

    /*
     * The next WAL is begun only after all of this one was copied: Litestream
     * has a lock, and does it itself.  One without a frame is none yet.
     */

    if (n != (ssize_t) sizeof(h) || wal->frames == 0
        || ngx_memcmp(h + 16, wal->salts, 8) != 0)
    {
        end->generation = 0;
        return;
    }

    end->at = ngx_litestream_old_at(end->at >> 32, NGX_LITESTREAM_WAL_LEN
                                    + (uint64_t) wal->frames
                                      * (wal->page
                                         + NGX_LITESTREAM_FRAME_LEN));
}


/*
 * Something to replicate: one that has nothing to do says nothing, and after
 * an outage it waits for the next change.  It is the row that it changes
 * itself now and then, for reasons of its own.
 */

static void
ngx_litestream_old_touch(ngx_litestream_db_t *db)
{
    int       on;
    sqlite3  *conn;

    if (sqlite3_open_v2((char *) db->path.data, &conn, SQLITE_OPEN_READWRITE,
                        NULL)
        == SQLITE_OK)
    {
        /* ours may be the last close: the WAL must outlive it */

        on = 1;
        (void) sqlite3_file_control(conn, "main", SQLITE_FCNTL_PERSIST_WAL,
                                    &on);
        (void) sqlite3_db_config(conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                                 NULL);
        (void) sqlite3_busy_timeout(conn, 500);
        (void) sqlite3_wal_autocheckpoint(conn, 0);

        /* before Litestream has opened it there is no such table */

        (void) sqlite3_exec(conn, "INSERT INTO _litestream_seq (id, seq)"
                            " VALUES (1, 1) ON CONFLICT (id)"
                            " DO UPDATE SET seq = seq + 1",
                            NULL, NULL, NULL);
    }

    (void) sqlite3_close(conn);
}
