
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The private copy that a verification restores, and what is found in it: in
 * its job.
 */


#include "ngx_litestream_supervisor.h"

#include <sys/statvfs.h>


static char *ngx_litestream_copy_name(ngx_litestream_db_t *db);
static ngx_int_t ngx_litestream_copy_restore(ngx_litestream_job_t *job,
    ngx_litestream_image_t *image);
static ngx_int_t ngx_litestream_copy_exec(ngx_litestream_job_t *job,
    ngx_litestream_image_t *image, ngx_litestream_run_t *run);
static ngx_uint_t ngx_litestream_copy_tick(ngx_litestream_job_t *job);
static void ngx_litestream_copy_tell(ngx_litestream_job_t *job,
    ngx_uint_t step);
static ngx_int_t ngx_litestream_copy_compare(ngx_litestream_job_t *job,
    ngx_litestream_image_t *image);
static void ngx_litestream_copy_check(ngx_litestream_job_t *job,
    uint64_t token, ngx_uint_t full);


/* one at a time: what a killed one has left has the same name */

static char *
ngx_litestream_copy_name(ngx_litestream_db_t *db)
{
    static char  name[4300];

    /* there are slashes in the alias of one that was found in a directory */

    if (db->in) {
        (void) snprintf(name, sizeof(name), "%s/verify-%016llx.db",
                        (char *) db->group->run.data,
                        (unsigned long long) db->id);
        return name;
    }

    (void) snprintf(name, sizeof(name), "%s/verify-%s.db",
                    (char *) db->group->run.data, (char *) db->alias.data);
    return name;
}


/* in jobs: what there is of the copy */

void
ngx_litestream_copy_unlink(ngx_litestream_db_t *db)
{
    char        name[4400];
    ngx_uint_t  i;

    static char  *tails[] = {
        "", "-wal", "-shm", "-journal", ".tmp", ".tmp-wal", ".tmp-shm",
        ".tmp-journal"
    };

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {
        (void) snprintf(name, sizeof(name), "%s%s",
                        ngx_litestream_copy_name(db), tails[i]);
        (void) unlink(name);
    }
}


/*
 * Restores the replica, as of the transaction of image when there is one, and
 * looks for the row there; with an image, all of the copy must be that.  The
 * result is NGX_OK or says why not; ms[2] to ms[4] are added to.  The caller
 * removes the copy.
 */

void
ngx_litestream_copy_verify(ngx_litestream_job_t *job, uint64_t token,
    ngx_litestream_image_t *image)
{
    ngx_int_t        rc;
    struct timespec  t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);

    rc = ngx_litestream_copy_restore(job, image);
    job->result.ms[2] = ngx_litestream_verify_ms(&t);

    /* before SQLite opens it */

    if (rc == NGX_OK && image) {
        rc = ngx_litestream_copy_compare(job, image);
        job->result.ms[4] += ngx_litestream_verify_ms(&t);
    }

    if (rc == NGX_OK) {
        ngx_litestream_copy_check(job, token, image ? 1 : 0);
        job->result.ms[3] = ngx_litestream_verify_ms(&t);
    }
}


static ngx_int_t
ngx_litestream_copy_restore(ngx_litestream_job_t *job,
    ngx_litestream_image_t *image)
{
    int64_t                avail;
    ngx_int_t              res;
    struct stat            st;
    struct statvfs         vfs;
    ngx_litestream_db_t   *db;
    ngx_litestream_run_t   run;

    db = job->rdb->db;

    if (stat((char *) db->path.data, &st) == 0
        && statvfs((char *) db->group->run.data, &vfs) == 0)
    {
        avail = (int64_t) vfs.f_bavail * (int64_t) vfs.f_frsize;

        if (avail < st.st_size) {
            ngx_litestream_verify_fail(job, "not enough space in \"%s\" for a "
                                       "copy: %lld bytes are needed, %lld are "
                                       "free", (char *) db->group->run.data,
                                       (long long) st.st_size,
                                       (long long) avail);
            return NGX_ERROR;
        }
    }

    res = ngx_litestream_copy_exec(job, image, &run);

    if (res == NGX_OK && run.status != 0
        && strstr(run.last, "no such file") != NULL)
    {
        /* retention took a file between the plan and its reading: once more */

        ngx_litestream_copy_unlink(db);
        res = ngx_litestream_copy_exec(job, image, &run);
    }

    if (res != NGX_OK && run.timedout) {
        ngx_litestream_verify_fail(job, "the restore made no progress within "
                                   "%lu s%s%s",
                                   (unsigned long)
                                   ngx_litestream_sup->conf->restore_timeout
                                   / 1000,
                                   run.last[0] ? ": " : "", run.last);
        return NGX_ERROR;
    }

    if (res != NGX_OK) {
        ngx_litestream_verify_fail(job, "the restore was interrupted%s%s",
                                   run.last[0] ? ": " : "", run.last);
        return NGX_ERROR;
    }

    if (run.status != 0) {
        ngx_litestream_verify_fail(job, "the replica cannot be restored: %s",
                                   run.last[0] ? run.last : "no reason given");
        return NGX_ERROR;
    }

    if (lstat(ngx_litestream_copy_name(db), &st) == -1) {
        ngx_litestream_verify_fail(job, "file missing: the restore made no "
                                   "file");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_copy_exec(ngx_litestream_job_t *job,
    ngx_litestream_image_t *image, ngx_litestream_run_t *run)
{
    char         txid[20], *argv[16];
    ngx_uint_t   n;

    if (!ngx_litestream_kind->txid) {
        return ngx_litestream_kind->restore(job,
                                    ngx_litestream_copy_name(job->rdb->db),
                                    ngx_litestream_copy_tick, run);
    }

    n = ngx_litestream_job_argv(job, argv, "restore");

    if (image) {
        (void) snprintf(txid, sizeof(txid), "%016llx",
                        (unsigned long long) image->txid);
        argv[n++] = "-txid";
        argv[n++] = txid;
    }

    argv[n++] = "-o";
    argv[n++] = ngx_litestream_copy_name(job->rdb->db);
    argv[n++] = (char *) job->rdb->db->path.data;
    argv[n] = NULL;

    return ngx_litestream_job_exec(job, argv,
                                   ngx_litestream_sup->conf->restore_timeout,
                                   ngx_litestream_copy_tick, run);
}


/*
 * A large backup takes its time: what counts is that it goes on.  Of its check
 * only CPU time can be seen.
 */

static ngx_uint_t
ngx_litestream_copy_tick(ngx_litestream_job_t *job)
{
    char             name[4400];
    uint64_t         cpu;
    struct stat      st;

    static int64_t   bytes = -1;
    static uint64_t  used;

    cpu = 0;

    (void) snprintf(name, sizeof(name), "%s.tmp",
                    ngx_litestream_copy_name(job->rdb->db));

    if (stat(name, &st) == -1) {

        if (stat(ngx_litestream_copy_name(job->rdb->db), &st) == -1) {
            return 0;
        }

        cpu = ngx_litestream_job_cpu(job);
    }

    if (st.st_size == bytes && cpu == used) {
        return 0;
    }

    bytes = st.st_size;
    used = cpu;

    ngx_litestream_copy_tell(job, 0);

    return 1;
}


static void
ngx_litestream_copy_tell(ngx_litestream_job_t *job, ngx_uint_t step)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_PROGRESS;
    msg.seq = step;

    ngx_litestream_job_tell(job, &msg);
}


/* the copy is the database, byte for byte */

static ngx_int_t
ngx_litestream_copy_compare(ngx_litestream_job_t *job,
    ngx_litestream_image_t *image)
{
    char                   *copy, name[256], of[300], to[32];
    ngx_litestream_diff_t   diff;

    copy = ngx_litestream_copy_name(job->rdb->db);

    if (ngx_litestream_image_compare(job, copy, image, &diff) != NGX_OK) {
        return NGX_ERROR;
    }

    if (diff.n == 0) {
        return NGX_OK;
    }

    of[0] = '\0';
    to[0] = '\0';

    if (diff.last != diff.first) {
        (void) snprintf(to, sizeof(to), " to %u", diff.last);
    }

    /* that reads all of the copy */

    ngx_litestream_copy_tell(job, 1);

    if (ngx_litestream_image_owner(copy, &diff, name, sizeof(name))
        == NGX_OK)
    {
        (void) snprintf(of, sizeof(of), ", of \"%s\"", name);
    }

    ngx_litestream_verify_fail(job, "the restored copy differs from the "
                               "database at transaction %016llx in %llu of %u "
                               "pages, the first one is page %u%s%s",
                               (unsigned long long) image->txid,
                               (unsigned long long) diff.n, image->pages,
                               diff.first, to, of);
    return NGX_ERROR;
}


static void
ngx_litestream_copy_check(ngx_litestream_job_t *job, uint64_t token,
    ngx_uint_t full)
{
    char       sql[256], text[512], *copy;
    sqlite3   *conn;
    uint64_t   n;
    ngx_int_t  rc;

    copy = ngx_litestream_copy_name(job->rdb->db);

    rc = ngx_litestream_integrity(job, copy, full,
                                  ngx_litestream_sup->conf->restore_timeout,
                                  ngx_litestream_copy_tick, text,
                                  sizeof(text));

    if (rc == NGX_DECLINED) {
        ngx_litestream_verify_fail(job, "%s is damaged: %s",
                                   full ? "the database itself, and its copy,"
                                        : "the restored copy", text);
        return;
    }

    if (rc != NGX_OK) {
        ngx_litestream_verify_fail(job, "not a database: the restored copy "
                                   "cannot be read: %s", text);
        return;
    }

    n = 0;

    (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM "
                    "_litestream_verification WHERE token = %llu",
                    (unsigned long long) token);

    if (sqlite3_open_v2(copy, &conn, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK
        || ngx_litestream_verify_sql(conn, sql, &n) != NGX_OK || n != 1)
    {
        ngx_litestream_verify_fail(job, "data out of date: the row that was "
                                   "replicated as transaction %016llx is not "
                                   "in the restored copy",
                                   (unsigned long long) job->result.txid);
    } else {
        job->result.rc = NGX_OK;
    }

    (void) sqlite3_close(conn);
}
