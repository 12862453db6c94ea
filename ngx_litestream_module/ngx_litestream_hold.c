
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * A database's WAL that nobody can begin anew, and how far Litestream had come
 * in it: in jobs.
 */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>


/* what a locked database, and all of them, may cost, in ms */
#define NGX_LITESTREAM_HOLD_BUSY     500
#define NGX_LITESTREAM_HOLD_BUSIES   2000

/* of the five locks of readers a WAL that is begun anew needs the other four */
#define NGX_LITESTREAM_SHM_READER    4


static ngx_int_t ngx_litestream_hold_open(ngx_litestream_db_t *db,
    ngx_litestream_held_t *held);
static ngx_int_t ngx_litestream_hold_lock(ngx_litestream_held_t *held);
static ngx_int_t ngx_litestream_hold_anew(ngx_litestream_db_t *db,
    ngx_litestream_held_t *held);
static ngx_int_t ngx_litestream_hold_wal(ngx_litestream_db_t *db);
static int ngx_litestream_hold_busy(void *data, int n);


/* what all databases that were locked have cost */
static ngx_msec_t  ngx_litestream_hold_spent;


/*
 * Could the database be guarded now?  Takes a WAL out of the way that was
 * begun anew, as the guard does.  NGX_ERROR: text tells why.  In a job.
 */

ngx_int_t
ngx_litestream_guard_try(ngx_litestream_db_t *db, char *text, size_t size)
{
    ngx_int_t              rc;
    ngx_litestream_held_t  held;

    ngx_memzero(&held, sizeof(ngx_litestream_held_t));

    rc = ngx_litestream_hold(db, &held, text, size);

    ngx_litestream_hold_drop(&held);

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/*
 * From its return on no WAL of this database is begun anew, and the present
 * one is none that Litestream would take for the one that it has read.  It is
 * not a reader's transaction that is begun: of a WAL that is in the database
 * as a whole it would take the first of the locks, which is of no use.
 * NGX_DECLINED: there is nothing to guard; NGX_ERROR: text tells why not.
 */

ngx_int_t
ngx_litestream_hold(ngx_litestream_db_t *db,
    ngx_litestream_held_t *held, char *text, size_t size)
{
    int         rc;
    char       *path;
    ngx_int_t   ret;

    path = (char *) db->path.data;

    ret = ngx_litestream_hold_wal(db);

    if (ret == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    if (ret == NGX_ERROR) {
        (void) snprintf(text, size, "\"%s\" cannot be read: %s", path,
                        strerror(errno));
        return NGX_ERROR;
    }

    if (ngx_litestream_other(db, text, size) != NGX_OK) {
        return NGX_ERROR;
    }

    ret = ngx_litestream_hold_open(db, held);

    if (ret == NGX_DECLINED) {
        ngx_litestream_hold_drop(held);
        return NGX_DECLINED;
    }

    if (ret == NGX_OK) {
        ret = ngx_litestream_hold_lock(held);

        if (ret != NGX_OK) {
            (void) snprintf(text, size, "\"%s\" is locked by another process",
                            path);
            goto failed;
        }

    } else {
        rc = held->conn ? sqlite3_errcode(held->conn) : SQLITE_NOMEM;

        if (rc == SQLITE_BUSY) {
            (void) snprintf(text, size, "\"%s\" is locked by another process",
                            path);

        } else if (rc == SQLITE_CANTOPEN
                   && sqlite3_system_errno(held->conn))
        {
            (void) snprintf(text, size, "\"%s\" or a file beside it cannot be "
                            "opened: %s", path,
                            strerror(sqlite3_system_errno(held->conn)));

        } else {
            (void) snprintf(text, size, "\"%s\" cannot be opened: %s", path,
                            held->conn ? sqlite3_errmsg(held->conn)
                                       : "out of memory");
        }

        goto failed;
    }

    if (ngx_litestream_hold_anew(db, held) != NGX_AGAIN) {
        return NGX_OK;
    }

    /*
     * Emptied, it is one that Litestream makes a snapshot of, whatever is
     * written to it afterwards: the place that it had reached is gone.
     */

    (void) held->file->pMethods->xShmLock(held->file,
                                    NGX_LITESTREAM_SHM_READER, 1,
                                    SQLITE_SHM_UNLOCK|SQLITE_SHM_SHARED);

    rc = sqlite3_wal_checkpoint_v2(held->conn, NULL,
                                   SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    if (rc == SQLITE_OK && ngx_litestream_hold_lock(held) == NGX_OK) {
        return NGX_OK;
    }

    if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
        (void) snprintf(text, size, "the WAL of \"%s\" was begun anew while "
                        "nothing was replicated, and cannot be written to the "
                        "database while somebody reads it", path);

    } else {
        (void) snprintf(text, size, "the WAL of \"%s\" was begun anew while "
                        "nothing was replicated, and cannot be written to the "
                        "database: %s", path, sqlite3_errmsg(held->conn));
    }

failed:

    ngx_litestream_hold_drop(held);

    return NGX_ERROR;
}


/*
 * NGX_DECLINED: it has no WAL, or does not exist.  Closes the file, which ends
 * all locks of this process on it: before SQLite opens it.
 */

static ngx_int_t
ngx_litestream_hold_wal(ngx_litestream_db_t *db)
{
    int      fd;
    u_char   h[20];
    ssize_t  n;

    fd = open((char *) db->path.data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return (errno == ENOENT) ? NGX_DECLINED : NGX_ERROR;
    }

    n = read(fd, h, sizeof(h));

    (void) close(fd);

    if (n == -1) {
        return NGX_ERROR;
    }

    return (n == (ssize_t) sizeof(h) && h[18] == 2 && h[19] == 2)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_litestream_hold_open(ngx_litestream_db_t *db,
    ngx_litestream_held_t *held)
{
    int                   on, rc;
    ngx_int_t             ret;
    sqlite3_stmt         *stmt;
    const unsigned char  *mode;

    rc = sqlite3_open_v2((char *) db->path.data, &held->conn,
                         SQLITE_OPEN_READWRITE, NULL);

    if (rc != SQLITE_OK) {
        return NGX_ERROR;
    }

    on = 1;
    (void) sqlite3_file_control(held->conn, "main", SQLITE_FCNTL_PERSIST_WAL,
                                &on);
    (void) sqlite3_db_config(held->conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                             NULL);
    (void) sqlite3_busy_handler(held->conn, ngx_litestream_hold_busy, held);

    /* without having read anything it would know of no WAL */

    rc = sqlite3_exec(held->conn, "PRAGMA schema_version", NULL, NULL, NULL);

    if (rc != SQLITE_OK) {
        return NGX_ERROR;
    }

    /* one that has none any more */

    stmt = NULL;
    ret = NGX_ERROR;

    rc = sqlite3_prepare_v2(held->conn, "PRAGMA journal_mode", -1, &stmt,
                            NULL);

    if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        mode = sqlite3_column_text(stmt, 0);
        ret = (mode && strcmp((char *) mode, "wal") == 0) ? NGX_OK
                                                          : NGX_DECLINED;
    }

    (void) sqlite3_finalize(stmt);

    if (ret != NGX_OK) {
        return ret;
    }

    return ngx_litestream_wal_index(held->conn, &held->file, &held->index);
}


/*
 * SQLite's own file of a connection that has read something in WAL mode, and
 * the beginning of its WAL-index, which both last as long as the connection.
 * NGX_DECLINED: it has none.  In a job.
 */

ngx_int_t
ngx_litestream_wal_index(sqlite3 *conn, sqlite3_file **file,
    volatile u_char **index)
{
    int                         rc;
    sqlite3_file               *f;
    void volatile              *p;
    const sqlite3_io_methods   *methods;

    f = NULL;
    p = NULL;

    rc = sqlite3_file_control(conn, "main", SQLITE_FCNTL_FILE_POINTER, &f);

    methods = (rc == SQLITE_OK && f) ? f->pMethods : NULL;

    if (methods == NULL || methods->iVersion < 2 || methods->xShmMap == NULL
        || methods->xShmLock == NULL
        || methods->xShmMap(f, 0, NGX_LITESTREAM_SHM_SIZE, 0, &p) != SQLITE_OK
        || p == NULL)
    {
        return NGX_DECLINED;
    }

    *file = f;
    *index = p;

    return NGX_OK;
}


/*
 * The header of a WAL-index, NGX_LITESTREAM_SHM_HEADER bytes: there are two
 * copies, which differ while a commit writes them.
 */

void
ngx_litestream_wal_index_header(volatile u_char *index, u_char *h)
{
    int  n;

    for (n = 0; n < 100; n++) {

        ngx_memcpy(h, (u_char *) index, NGX_LITESTREAM_SHM_HEADER);
        ngx_memory_barrier();

        if (ngx_memcmp(h, (u_char *) index + NGX_LITESTREAM_SHM_HEADER,
                       NGX_LITESTREAM_SHM_HEADER)
            == 0)
        {
            break;
        }

        ngx_msleep(1);
    }
}


/*
 * NGX_BUSY: somebody has it to himself, as one who begins the WAL anew has for
 * a moment
 */

static ngx_int_t
ngx_litestream_hold_lock(ngx_litestream_held_t *held)
{
    int  n;

    for (n = 0; /* void */ ; n++) {

        if (held->file->pMethods->xShmLock(held->file,
                                     NGX_LITESTREAM_SHM_READER, 1,
                                     SQLITE_SHM_LOCK|SQLITE_SHM_SHARED)
            == SQLITE_OK)
        {
            return NGX_OK;
        }

        if (!ngx_litestream_hold_busy(held, n)) {
            return NGX_BUSY;
        }
    }
}


/*
 * NGX_AGAIN: it was begun anew.  What counts are the salts in the WAL-index:
 * in the WAL they are those of old until the first commit of the new one.
 */

static ngx_int_t
ngx_litestream_hold_anew(ngx_litestream_db_t *db,
    ngx_litestream_held_t *held)
{
    char      ltx[4600], wal[4300];
    u_char    h[NGX_LITESTREAM_SHM_HEADER];
    uint32_t  meta;

    if (ngx_litestream_newest(db, &meta, ltx, sizeof(ltx)) == 0) {
        return NGX_OK;
    }

    ngx_litestream_wal_index_header(held->index, h);

    (void) snprintf(wal, sizeof(wal), "%s-wal", (char *) db->path.data);

    return ngx_litestream_wal_anew(ltx, wal, &h[NGX_LITESTREAM_SHM_SALTS]);
}


/* 1: all that is in the WAL is in the database as well */

ngx_uint_t
ngx_litestream_hold_filled(ngx_litestream_held_t *held)
{
    uint32_t  frames, done;

    ngx_memcpy(&frames, (u_char *) held->index + NGX_LITESTREAM_SHM_FRAMES,
               sizeof(uint32_t));
    ngx_memcpy(&done, (u_char *) held->index + NGX_LITESTREAM_SHM_BACKFILL,
               sizeof(uint32_t));

    return frames == done;
}


/* no checkpoint, and the WAL stays, as it was opened */

void
ngx_litestream_hold_drop(ngx_litestream_held_t *held)
{
    (void) sqlite3_close(held->conn);

    held->conn = NULL;
    held->file = NULL;
}


/*
 * The newest level-0 file in the meta directory, which is how far Litestream
 * has come, 0: none.  meta: there is such a directory.  In a job.
 */

uint64_t
ngx_litestream_newest(ngx_litestream_db_t *db, uint32_t *meta, char *file,
    size_t size)
{
    DIR            *dir;
    char            name[4300];
    uint64_t        min, max, newest;
    struct dirent  *de;

    (void) snprintf(name, sizeof(name), "%s/.%s-litestream/ltx/0",
                    (char *) db->dir.data, (char *) db->name.data);

    *meta = 0;

    dir = opendir(name);
    if (dir == NULL) {
        return 0;
    }

    *meta = 1;
    newest = 0;

    while ((de = readdir(dir)) != NULL) {
        if (ngx_litestream_ltx_name((u_char *) de->d_name,
                                    ngx_strlen(de->d_name), &min, &max)
            == NGX_OK
            && max > newest)
        {
            newest = max;
            (void) snprintf(file, size, "%s/%.64s", name, de->d_name);
        }
    }

    (void) closedir(dir);

    return newest;
}


/* sqlite3_busy_handler(): who is locked for long costs the others nothing */

static int
ngx_litestream_hold_busy(void *data, int n)
{
    ngx_litestream_held_t *held = data;

    ngx_msec_t  now;

    now = ngx_litestream_hold_now();

    if (n == 0) {
        held->since = now;
    }

    if (ngx_litestream_job_stopped()
        || now - held->since >= NGX_LITESTREAM_HOLD_BUSY
        || ngx_litestream_hold_spent >= NGX_LITESTREAM_HOLD_BUSIES)
    {
        return 0;
    }

    ngx_msleep(2);
    ngx_litestream_hold_spent += 2;

    return 1;
}


/* ms of a clock that only goes on */

ngx_msec_t
ngx_litestream_hold_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
