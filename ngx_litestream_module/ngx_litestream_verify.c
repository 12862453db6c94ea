
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Verification: a job with the identity of the database's user writes a row,
 * the supervisor syncs, the job restores a private copy and looks for the row
 * there.  Nothing of it stays: neither the row nor its table nor the copy.
 */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>
#include <sqlite3.h>
#include <sys/statvfs.h>


/* less than clients wait by default: they shall learn why it fails */
#define NGX_LITESTREAM_VERIFY_SYNC   20000


typedef struct {
    ngx_litestream_waiter_t      waiter;
    ngx_litestream_job_t        *job;
    ngx_msec_t                   start;
    unsigned                     waiting:1;
} ngx_litestream_verify_ctx_t;


static void ngx_litestream_verify_start(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_verify_prepare(ngx_litestream_job_t *job);
static void ngx_litestream_verify_run(ngx_litestream_job_t *job);
static void ngx_litestream_verify_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_verify_synced(ngx_litestream_waiter_t *w,
    ngx_int_t rc, uint64_t txid, char *error);
static void ngx_litestream_verify_done(ngx_litestream_job_t *job);
static void ngx_litestream_verify_sweep(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_verify_sweep_run(ngx_litestream_job_t *job);
static void ngx_litestream_verify_sweep_done(ngx_litestream_job_t *job);
static void ngx_litestream_verify_fail(ngx_litestream_job_t *job,
    const char *fmt, ...);
static sqlite3 *ngx_litestream_verify_open(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_verify_sql(sqlite3 *conn, char *sql,
    uint64_t *n);
static ngx_int_t ngx_litestream_verify_restore(ngx_litestream_job_t *job,
    ngx_litestream_run_t *run);
static ngx_uint_t ngx_litestream_verify_tick(ngx_litestream_job_t *job);
static void ngx_litestream_verify_tell(ngx_litestream_job_t *job,
    ngx_uint_t step);
static void ngx_litestream_verify_copy(ngx_litestream_job_t *job,
    uint64_t token);
static char *ngx_litestream_verify_name(ngx_litestream_db_t *db);
static void ngx_litestream_verify_unlink(ngx_litestream_db_t *db);
static uint32_t ngx_litestream_verify_ms(struct timespec *t);


/*
 * Verifies a database, or joins the verification that is under way: v->handler
 * is called once, from the event loop.  Supervisor, does not block.
 */

void
ngx_litestream_verify(ngx_litestream_rdb_t *rdb, ngx_litestream_verifier_t *v,
    ngx_uint_t mode)
{
    ngx_queue_insert_tail(&rdb->verifiers, &v->queue);

    if (rdb->verify == NULL) {
        ngx_litestream_verify_start(rdb);
    }
}


static void
ngx_litestream_verify_start(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t         *job;
    ngx_litestream_verify_ctx_t  *ctx;

    ctx = ngx_calloc(sizeof(ngx_litestream_verify_ctx_t),
                     ngx_litestream_sup->log);
    job = ctx ? ngx_litestream_job_new("verify", rdb) : NULL;

    if (job == NULL) {
        if (ctx) {
            ngx_free(ctx);
        }

        return;
    }

    ctx->job = job;
    ctx->start = ngx_current_msec;

    job->prepare = ngx_litestream_verify_prepare;
    job->run = ngx_litestream_verify_run;
    job->message = ngx_litestream_verify_message;
    job->done = ngx_litestream_verify_done;

    /* the job has its own limits; this one is for a job that hangs */

    job->timeout = ngx_litestream_sup->conf->restore_timeout
                   + NGX_LITESTREAM_VERIFY_SYNC;
    job->data = ctx;

    rdb->verify = job;
    rdb->st.verify.running = 1;
    ngx_litestream_status_db_write(rdb);

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_VERIFY);
}


/* in the job: how the database is when its turn has come */

static void
ngx_litestream_verify_prepare(ngx_litestream_job_t *job)
{
    ngx_uint_t                far;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_rgroup_t  *rg;

    rdb = job->rdb;
    rg = rdb->group;

    /* one that is about to come up is waited for, by the sync */

    far = rg->state == NGX_LITESTREAM_FAILED
          || (rg->state == NGX_LITESTREAM_BACKOFF && rg->timer.timer_set
              && (ngx_msec_int_t) (rg->timer.timer.key - ngx_current_msec)
                 > NGX_LITESTREAM_BACKOFF_MIN);

    job->in.seq = rdb->placed && !far
                  && rdb->st.state != NGX_LITESTREAM_DB_ERROR;

    (void) snprintf(job->in.text, sizeof(job->in.text), "%s",
                    rdb->st.error[0] ? rdb->st.error
                    : "Litestream is not running");
}


static void
ngx_litestream_verify_fail(ngx_litestream_job_t *job, const char *fmt, ...)
{
    va_list  args;

    if (job->result.text[0]) {
        return;
    }

    job->result.rc = NGX_ERROR;

    va_start(args, fmt);
    (void) vsnprintf(job->result.text, sizeof(job->result.text), fmt, args);
    va_end(args);
}


static uint32_t
ngx_litestream_verify_ms(struct timespec *t)
{
    uint32_t         ms;
    struct timespec  now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);

    ms = (now.tv_sec - t->tv_sec) * 1000
         + (now.tv_nsec - t->tv_nsec) / 1000000;

    *t = now;

    /* 0 is a step that was not reached */

    return ms ? ms : 1;
}


static sqlite3 *
ngx_litestream_verify_open(ngx_litestream_job_t *job)
{
    int                   rc, on;
    sqlite3              *conn;
    struct stat           st;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    if (lstat((char *) db->path.data, &st) == -1) {
        ngx_litestream_verify_fail(job, "database file \"%s\" is missing: %s",
                                   (char *) db->path.data, strerror(errno));
        return NULL;
    }

    rc = sqlite3_open_v2((char *) db->path.data, &conn,
                         SQLITE_OPEN_READWRITE, NULL);

    if (rc != SQLITE_OK) {
        ngx_litestream_verify_fail(job, "database \"%s\" cannot be opened: %s",
                                   (char *) db->path.data,
                                   conn ? sqlite3_errmsg(conn) : "no memory");
        (void) sqlite3_close(conn);
        return NULL;
    }

    /* ours may be the last close: the WAL must outlive it */

    on = 1;
    (void) sqlite3_file_control(conn, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    (void) sqlite3_db_config(conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void) sqlite3_busy_timeout(conn, 5000);

    /* and the application's checkpoints shall stay the application's */

    (void) sqlite3_wal_autocheckpoint(conn, 0);

    return conn;
}


/* runs a statement; n: its first column, when it has rows */

static ngx_int_t
ngx_litestream_verify_sql(sqlite3 *conn, char *sql, uint64_t *n)
{
    int            rc;
    const char    *tail;
    sqlite3_stmt  *stmt;

    while (*sql) {

        rc = sqlite3_prepare_v2(conn, sql, -1, &stmt, &tail);

        if (rc != SQLITE_OK) {
            return NGX_ERROR;
        }

        rc = sqlite3_step(stmt);

        if (rc == SQLITE_ROW && n) {
            *n = sqlite3_column_int64(stmt, 0);
        }

        while (rc == SQLITE_ROW) {
            rc = sqlite3_step(stmt);
        }

        (void) sqlite3_finalize(stmt);

        if (rc != SQLITE_DONE) {
            return NGX_ERROR;
        }

        sql = (char *) tail;
    }

    return NGX_OK;
}


/* one at a time: what a killed one has left has the same name */

static char *
ngx_litestream_verify_name(ngx_litestream_db_t *db)
{
    static char  name[4300];

    (void) snprintf(name, sizeof(name), "%s/verify-%s.db",
                    (char *) db->group->run.data, (char *) db->alias.data);
    return name;
}


static void
ngx_litestream_verify_unlink(ngx_litestream_db_t *db)
{
    char        name[4400];
    ngx_uint_t  i;

    static char  *tails[] = {
        "", "-wal", "-shm", "-journal", ".tmp", ".tmp-wal", ".tmp-shm",
        ".tmp-journal"
    };

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {
        (void) snprintf(name, sizeof(name), "%s%s",
                        ngx_litestream_verify_name(db), tails[i]);
        (void) unlink(name);
    }
}


static void
ngx_litestream_verify_run(ngx_litestream_job_t *job)
{
    char                      sql[512];
    sqlite3                  *conn;
    uint64_t                  token;
    struct timespec           t;
    ngx_litestream_db_t      *db;
    ngx_litestream_job_msg_t  msg;

    db = job->rdb->db;

    if (!job->in.seq) {
        ngx_litestream_verify_fail(job, "not replicated now: %s",
                                   job->in.text);
        return;
    }

    (void) clock_gettime(CLOCK_MONOTONIC, &t);

    ngx_litestream_verify_unlink(db);

    conn = ngx_litestream_verify_open(job);
    if (conn == NULL) {
        return;
    }

    sqlite3_randomness(sizeof(token), &token);
    token &= 0x7fffffffffffffffULL;

    (void) snprintf(sql, sizeof(sql),
                    "BEGIN IMMEDIATE;"
                    "CREATE TABLE IF NOT EXISTS _litestream_verification"
                    " (token INTEGER PRIMARY KEY, at TEXT);"
                    "DELETE FROM _litestream_verification;"
                    "INSERT INTO _litestream_verification"
                    " VALUES (%llu, datetime('now'));"
                    "COMMIT", (unsigned long long) token);

    if (ngx_litestream_verify_sql(conn, sql, NULL) != NGX_OK) {

        if (sqlite3_errcode(conn) == SQLITE_NOTADB) {
            ngx_litestream_verify_fail(job, "\"%s\" is not a SQLite database",
                                       (char *) db->path.data);
        } else {
            ngx_litestream_verify_fail(job, "database \"%s\" cannot be "
                                       "written: %s", (char *) db->path.data,
                                       sqlite3_errmsg(conn));
        }

        (void) sqlite3_close(conn);
        return;
    }

    job->result.ms[0] = ngx_litestream_verify_ms(&t);

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    if (ngx_litestream_job_ask(job, &msg) != NGX_OK) {
        ngx_litestream_verify_fail(job, "interrupted");

    } else if (msg.rc != NGX_OK) {
        ngx_litestream_verify_fail(job, "the row could not be replicated: %s",
                                   msg.text);

    } else {
        job->result.txid = msg.txid;
        job->result.ms[1] = ngx_litestream_verify_ms(&t);

        ngx_litestream_verify_copy(job, token);
    }

    ngx_litestream_verify_unlink(db);

    if (ngx_litestream_verify_sql(conn,
                                  "BEGIN IMMEDIATE;"
                                  "DROP TABLE _litestream_verification;"
                                  "COMMIT", NULL)
        != NGX_OK)
    {
        /* a later verification takes it away */

        ngx_litestream_job_log(job, "database \"%s\": the table "
                               "_litestream_verification could not be "
                               "removed: %s", (char *) db->alias.data,
                               sqlite3_errmsg(conn));
    }

    (void) sqlite3_close(conn);
}


static ngx_int_t
ngx_litestream_verify_restore(ngx_litestream_job_t *job,
    ngx_litestream_run_t *run)
{
    char         jobs[4200], *argv[16];
    ngx_uint_t   n;

    (void) snprintf(jobs, sizeof(jobs), "%s/jobs.yml",
                    (char *) job->rdb->db->group->dir.data);

    n = 0;
    argv[n++] = (char *) ngx_litestream_sup->conf->bin.data;
    argv[n++] = "restore";
    argv[n++] = "-no-expand-env";
    argv[n++] = "-config";
    argv[n++] = jobs;
    argv[n++] = "-o";
    argv[n++] = ngx_litestream_verify_name(job->rdb->db);
    argv[n++] = (char *) job->rdb->db->path.data;
    argv[n] = NULL;

    return ngx_litestream_job_exec(job, argv,
                                   ngx_litestream_sup->conf->restore_timeout,
                                   ngx_litestream_verify_tick, run);
}


/* a large backup takes its time: what counts is that it goes on */

static ngx_uint_t
ngx_litestream_verify_tick(ngx_litestream_job_t *job)
{
    char            name[4400];
    struct stat     st;

    static int64_t  bytes = -1;

    (void) snprintf(name, sizeof(name), "%s.tmp",
                    ngx_litestream_verify_name(job->rdb->db));

    if (stat(name, &st) == -1 || st.st_size == bytes) {
        return 0;
    }

    bytes = st.st_size;

    ngx_litestream_verify_tell(job, 0);

    return 1;
}


static void
ngx_litestream_verify_tell(ngx_litestream_job_t *job, ngx_uint_t step)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_PROGRESS;
    msg.seq = step;

    ngx_litestream_job_tell(job, &msg);
}


static void
ngx_litestream_verify_copy(ngx_litestream_job_t *job, uint64_t token)
{
    int                    rc;
    char                   sql[256], *copy;
    int64_t                avail;
    sqlite3               *conn;
    uint64_t               n;
    ngx_int_t              res;
    struct stat            st;
    sqlite3_stmt          *stmt;
    const u_char          *text;
    struct statvfs         vfs;
    struct timespec        t;
    ngx_litestream_db_t   *db;
    ngx_litestream_run_t   run;

    db = job->rdb->db;
    copy = ngx_litestream_verify_name(db);

    (void) clock_gettime(CLOCK_MONOTONIC, &t);

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
            return;
        }
    }

    res = ngx_litestream_verify_restore(job, &run);

    if (res == NGX_OK && run.status != 0
        && strstr(run.last, "no such file") != NULL)
    {
        /* retention took a file between the plan and its reading: once more */

        ngx_litestream_verify_unlink(db);
        res = ngx_litestream_verify_restore(job, &run);
    }

    job->result.ms[2] = ngx_litestream_verify_ms(&t);

    if (res != NGX_OK && run.timedout) {
        ngx_litestream_verify_fail(job, "the restore made no progress within "
                                   "%lu s%s%s",
                                   (unsigned long)
                                   ngx_litestream_sup->conf->restore_timeout
                                   / 1000,
                                   run.last[0] ? ": " : "", run.last);
        return;
    }

    if (res != NGX_OK) {
        ngx_litestream_verify_fail(job, "the restore was interrupted%s%s",
                                   run.last[0] ? ": " : "", run.last);
        return;
    }

    if (run.status != 0) {
        ngx_litestream_verify_fail(job, "the replica cannot be restored: %s",
                                   run.last[0] ? run.last : "no reason given");
        return;
    }

    if (lstat(copy, &st) == -1) {
        ngx_litestream_verify_fail(job, "file missing: the restore made no "
                                   "file");
        return;
    }

    ngx_litestream_verify_tell(job, 1);

    conn = NULL;
    stmt = NULL;
    n = 0;

    rc = sqlite3_open_v2(copy, &conn, SQLITE_OPEN_READWRITE, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(conn, "PRAGMA quick_check(1)", -1, &stmt,
                                NULL);
    }

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }

    if (rc != SQLITE_ROW) {
        ngx_litestream_verify_fail(job, "not a database: the restored copy "
                                   "cannot be read: %s",
                                   conn ? sqlite3_errmsg(conn) : "no memory");
        goto done;
    }

    text = sqlite3_column_text(stmt, 0);

    if (text == NULL || ngx_strcmp(text, "ok") != 0) {
        ngx_litestream_verify_fail(job, "the restored copy is damaged: %s",
                                   text ? (char *) text : "no memory");
        goto done;
    }

    (void) sqlite3_finalize(stmt);
    stmt = NULL;

    (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM "
                    "_litestream_verification WHERE token = %llu",
                    (unsigned long long) token);

    if (ngx_litestream_verify_sql(conn, sql, &n) != NGX_OK || n != 1) {
        ngx_litestream_verify_fail(job, "data out of date: the row that was "
                                   "replicated as transaction %016llx is not "
                                   "in the restored copy",
                                   (unsigned long long) job->result.txid);
        goto done;
    }

    job->result.rc = NGX_OK;

done:

    (void) sqlite3_finalize(stmt);
    (void) sqlite3_close(conn);

    job->result.ms[3] = ngx_litestream_verify_ms(&t);
}


/* the job tells how far it is, or has written its row and waits */

static void
ngx_litestream_verify_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    ngx_litestream_verify_ctx_t  *ctx;

    ctx = job->data;

    if (msg->type == NGX_LITESTREAM_JOB_PROGRESS) {

        /* SQLite reads the whole copy then, and cannot tell how far it is */

        if (msg->seq && job->timer.timer_set) {
            ngx_del_timer(&job->timer);
        }

        return;
    }

    if (msg->type != NGX_LITESTREAM_JOB_ASK || ctx->waiting) {
        return;
    }

    ctx->waiting = 1;
    ctx->waiter.handler = ngx_litestream_verify_synced;
    ctx->waiter.data = ctx;
    ctx->waiter.start = ngx_current_msec;
    ctx->waiter.deadline = ngx_current_msec + NGX_LITESTREAM_VERIFY_SYNC;

    ngx_litestream_sync(job->rdb, &ctx->waiter);
}


static void
ngx_litestream_verify_synced(ngx_litestream_waiter_t *w, ngx_int_t rc,
    uint64_t txid, char *error)
{
    ngx_litestream_job_msg_t      msg;
    ngx_litestream_verify_ctx_t  *ctx;

    ctx = w->data;
    ctx->waiting = 0;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.rc = rc;
    msg.txid = txid;

    if (error) {
        ngx_litestream_copy(msg.text, sizeof(msg.text), (u_char *) error,
                            ngx_strlen(error));
    }

    ngx_litestream_job_answer(ctx->job, &msg);
}


static void
ngx_litestream_verify_done(ngx_litestream_job_t *job)
{
    ngx_uint_t                       ok, level;
    ngx_queue_t                     *q;
    ngx_litestream_rdb_t            *rdb;
    ngx_litestream_verifier_t       *v;
    ngx_litestream_verify_ctx_t     *ctx;
    ngx_litestream_verify_result_t  *res;

    rdb = job->rdb;
    ctx = job->data;

    if (ctx->waiting) {
        ngx_litestream_sync_cancel(&ctx->waiter);
    }

    rdb->verify = NULL;
    rdb->st.verify.running = 0;

    ok = (job->has_result && job->result.rc == NGX_OK);

    if (!ok && (ngx_litestream_sup->leaving || ngx_litestream_sup->final)) {

        /* it was told to end, and who waits asks our successor */

        ngx_free(ctx);
        ngx_litestream_check_quit();
        return;
    }

    res = &rdb->st.verify;

    ngx_memzero(res, sizeof(ngx_litestream_verify_result_t));

    res->at = ngx_litestream_now();
    res->verified = ok;
    res->txid = job->result.txid;
    res->duration_ms = ngx_current_msec - ctx->start;
    res->write_ms = job->result.ms[0];
    res->sync_ms = job->result.ms[1];
    res->restore_ms = job->result.ms[2];
    res->check_ms = job->result.ms[3];

    if (!res->verified) {
        ngx_litestream_copy(res->error, sizeof(res->error),
                            (u_char *) job->result.text,
                            ngx_strlen(job->result.text));
    }

    level = res->verified ? NGX_LOG_NOTICE : NGX_LOG_ERR;

    ngx_log_error(level, ngx_litestream_sup->log, 0,
                  "litestream: database \"%V\" was %s: %s", &rdb->db->alias,
                  res->verified ? "verified" : "not verified",
                  res->verified ? "its replica restores" : res->error);

    ngx_litestream_status_db_write(rdb);

    while (!ngx_queue_empty(&rdb->verifiers)) {
        q = ngx_queue_head(&rdb->verifiers);
        ngx_queue_remove(q);

        v = ngx_queue_data(q, ngx_litestream_verifier_t, queue);
        v->handler(v->data, res);
    }

    ngx_free(ctx);

    if (!job->has_result) {
        ngx_litestream_verify_sweep(rdb);
    }

    ngx_litestream_check_quit();
}


/*
 * Removes the copies of verifications that were killed with their supervisor:
 * they may be large.  Supervisor, under the lock; only entries of the user's
 * own folder, whatever the user has put there.
 */

void
ngx_litestream_verify_clean(ngx_litestream_group_t *group)
{
    int             fd;
    DIR            *dir;
    struct dirent  *de;

    fd = open((char *) group->run.data,
              O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    dir = fdopendir(fd);

    if (dir == NULL) {
        (void) close(fd);
        return;
    }

    while ((de = readdir(dir)) != NULL) {
        if (strncmp(de->d_name, "verify-", sizeof("verify-") - 1) == 0) {
            (void) unlinkat(fd, de->d_name, 0);
        }
    }

    (void) closedir(dir);
}


/* what a verification has left that could not end by itself is taken away */

static void
ngx_litestream_verify_sweep(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    if (rdb->verify || !rdb->placed || rdb->fault) {
        return;
    }

    job = ngx_litestream_job_new("sweep", rdb);
    if (job == NULL) {
        return;
    }

    job->run = ngx_litestream_verify_sweep_run;
    job->done = ngx_litestream_verify_sweep_done;
    job->timeout = NGX_LITESTREAM_VERIFY_SYNC;

    /* the next verification comes after it */

    rdb->verify = job;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_VERIFY);
}


static void
ngx_litestream_verify_sweep_run(ngx_litestream_job_t *job)
{
    sqlite3  *conn;

    ngx_litestream_verify_unlink(job->rdb->db);

    conn = ngx_litestream_verify_open(job);
    if (conn == NULL) {
        return;
    }

    (void) ngx_litestream_verify_sql(conn,
                                     "BEGIN IMMEDIATE;"
                                     "DROP TABLE IF EXISTS"
                                     " _litestream_verification;"
                                     "COMMIT", NULL);
    (void) sqlite3_close(conn);
}


static void
ngx_litestream_verify_sweep_done(ngx_litestream_job_t *job)
{
    ngx_litestream_rdb_t  *rdb;

    rdb = job->rdb;
    rdb->verify = NULL;

    if (!ngx_queue_empty(&rdb->verifiers) && !ngx_litestream_sup->leaving
        && !ngx_litestream_sup->final)
    {
        ngx_litestream_verify_start(rdb);
    }

    ngx_litestream_check_quit();
}
