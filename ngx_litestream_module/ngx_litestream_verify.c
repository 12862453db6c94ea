
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Verification: a job with the identity of the database's user writes a row,
 * the supervisor syncs, the job restores a private copy and looks for the row
 * there.  A full one compares all of the copy with the database, besides.
 * Nothing of it stays: neither the row nor its table nor the copy.
 */


#include "ngx_litestream_supervisor.h"

#include <sqlite3.h>


/* less than clients wait by default: they shall learn why it fails */
#define NGX_LITESTREAM_VERIFY_SYNC   20000

/* times that a state of the database is tried to be had */
#define NGX_LITESTREAM_VERIFY_TRIES  5


typedef struct {
    ngx_litestream_waiter_t      waiter;
    ngx_litestream_job_t        *job;
    ngx_msec_t                   start;
    ngx_uint_t                   mode;    /* 1: full */
    unsigned                     waiting:1;
} ngx_litestream_verify_ctx_t;


static void ngx_litestream_verify_start(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_verify_answer(ngx_litestream_rdb_t *rdb,
    ngx_uint_t mode);
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
static sqlite3 *ngx_litestream_verify_open(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_verify_sync(ngx_litestream_job_t *job,
    struct timespec *t);
static ngx_int_t ngx_litestream_verify_image(ngx_litestream_job_t *job,
    sqlite3 *conn, struct timespec *t);
static ngx_int_t ngx_litestream_verify_state(ngx_litestream_job_t *job,
    sqlite3 *conn, struct timespec *t);


/* in the job: what the database was like, in a full one */
static ngx_litestream_image_t  ngx_litestream_image;


/*
 * Verifies a database, or joins the verification that is under way, if that
 * is not a quick one while a full one is asked for: then another one follows.
 * v->handler is called once, from the event loop.  Supervisor, does not block.
 */

void
ngx_litestream_verify(ngx_litestream_rdb_t *rdb, ngx_litestream_verifier_t *v,
    ngx_uint_t mode)
{
    v->mode = mode;

    ngx_queue_insert_tail(&rdb->verifiers, &v->queue);

    /* nothing has been looked at yet, see ngx_litestream_verify_all() */

    if (!ngx_litestream_sup->looked) {
        return;
    }

    if (rdb->verify == NULL) {
        ngx_litestream_verify_start(rdb);
    }
}


/*
 * What was asked for while Litestream's version was not known: a supervisor
 * that has just begun would answer that the database is not replicated.
 * Supervisor, once the version has been told, does not block.
 */

void
ngx_litestream_verify_all(void)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    ngx_litestream_sup->looked = 1;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (rdb->verify == NULL && !ngx_queue_empty(&rdb->verifiers)) {
            ngx_litestream_verify_start(rdb);
        }
    }
}


static void
ngx_litestream_verify_start(ngx_litestream_rdb_t *rdb)
{
    ngx_queue_t                  *q;
    ngx_litestream_job_t         *job;
    ngx_litestream_verifier_t    *v;
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

    for (q = ngx_queue_head(&rdb->verifiers);
         q != ngx_queue_sentinel(&rdb->verifiers);
         q = ngx_queue_next(q))
    {
        v = ngx_queue_data(q, ngx_litestream_verifier_t, queue);
        ctx->mode |= v->mode;
    }

    job->in.index = ctx->mode;

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


/* in jobs: the result is an error; the first reason is kept */

void
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


/* in jobs: ms since t, which becomes now; never 0 */

uint32_t
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


/* in jobs: runs statements; n: the first column, when there are rows */

ngx_int_t
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


static void
ngx_litestream_verify_run(ngx_litestream_job_t *job)
{
    char                  sql[512];
    sqlite3              *conn;
    uint64_t              token;
    ngx_int_t             rc;
    struct timespec       t;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    job->result.rc = NGX_ERROR;

    if (!job->in.seq) {
        ngx_litestream_verify_fail(job, "%s%s",
                                   strncmp(job->in.text, "not replicated", 14)
                                   == 0 ? "" : "not replicated now: ",
                                   job->in.text);
        return;
    }

    (void) clock_gettime(CLOCK_MONOTONIC, &t);

    ngx_litestream_copy_unlink(db);

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

    rc = job->in.index ? ngx_litestream_verify_image(job, conn, &t)
                       : ngx_litestream_verify_sync(job, &t);

    if (rc == NGX_OK) {
        ngx_litestream_copy_verify(job, token, job->in.index
                                               ? &ngx_litestream_image : NULL);
    }

    ngx_litestream_copy_unlink(db);

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


/* all that was committed before is in the replica */

static ngx_int_t
ngx_litestream_verify_sync(ngx_litestream_job_t *job, struct timespec *t)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    if (ngx_litestream_job_ask(job, &msg) != NGX_OK) {
        ngx_litestream_verify_fail(job, "interrupted");
        return NGX_ERROR;
    }

    if (msg.rc != NGX_OK) {
        ngx_litestream_verify_fail(job, "the row could not be replicated: %s",
                                   msg.text);
        return NGX_ERROR;
    }

    job->result.txid = msg.txid;
    job->result.ms[1] += ngx_litestream_verify_ms(t);

    return NGX_OK;
}


/*
 * What the database is like at one transaction, which is in the replica then;
 * others go on writing.  The row is in it.
 */

static ngx_int_t
ngx_litestream_verify_image(ngx_litestream_job_t *job, sqlite3 *conn,
    struct timespec *t)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    for (n = 0; n < NGX_LITESTREAM_VERIFY_TRIES; n++) {

        rc = ngx_litestream_verify_state(job, conn, t);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        /* the newest at hand may be newer than what was synced */

        if (rc == NGX_OK) {
            rc = ngx_litestream_verify_sync(job, t);
            job->result.txid = ngx_litestream_image.txid;

            return rc;
        }

        /* something to sync, in whatever WAL there is now */

        if (ngx_litestream_verify_sql(conn, "UPDATE _litestream_verification"
                                      " SET at = datetime('now')", NULL)
            != NGX_OK)
        {
            ngx_litestream_verify_fail(job, "database \"%s\" cannot be "
                                       "written: %s",
                                       (char *) job->rdb->db->path.data,
                                       sqlite3_errmsg(conn));
            return NGX_ERROR;
        }
    }

    ngx_litestream_verify_fail(job, "the database could not be read as it was "
                               "at one transaction: its WAL was begun anew "
                               "%u times meanwhile",
                               NGX_LITESTREAM_VERIFY_TRIES);
    return NGX_ERROR;
}


static ngx_int_t
ngx_litestream_verify_state(ngx_litestream_job_t *job, sqlite3 *conn,
    struct timespec *t)
{
    ngx_int_t  rc;

    /*
     * Until it ends, no checkpoint goes beyond what the sync will have read,
     * and the WAL is not begun anew.  Commits are not held up.
     */

    if (ngx_litestream_verify_sql(conn, "BEGIN;"
                                  "SELECT count(*) FROM sqlite_master", NULL)
        != NGX_OK)
    {
        ngx_litestream_verify_fail(job, "database \"%s\" cannot be read: %s",
                                   (char *) job->rdb->db->path.data,
                                   sqlite3_errmsg(conn));
        return NGX_ERROR;
    }

    rc = ngx_litestream_verify_sync(job, t);

    if (rc == NGX_OK) {
        rc = ngx_litestream_image_live(job, conn, &ngx_litestream_image);
        job->result.ms[4] += ngx_litestream_verify_ms(t);
    }

    (void) ngx_litestream_verify_sql(conn, "COMMIT", NULL);

    return rc;
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
    ngx_uint_t                       ok, level, mode;
    ngx_litestream_rdb_t            *rdb;
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
    res->mode = ctx->mode;
    res->txid = job->result.txid;
    res->duration_ms = ngx_current_msec - ctx->start;
    res->write_ms = job->result.ms[0];
    res->sync_ms = job->result.ms[1];
    res->restore_ms = job->result.ms[2];
    res->check_ms = job->result.ms[3];
    res->compare_ms = job->result.ms[4];

    if (!res->verified) {
        ngx_litestream_copy(res->error, sizeof(res->error),
                            (u_char *) job->result.text,
                            ngx_strlen(job->result.text));
    }

    level = res->verified ? NGX_LOG_NOTICE : NGX_LOG_ERR;

    ngx_log_error(level, ngx_litestream_sup->log, 0,
                  "litestream: database \"%V\" was %s: %s", &rdb->db->alias,
                  res->verified ? "verified" : "not verified",
                  !res->verified ? res->error
                  : res->mode ? "its replica restores to the same content"
                  : "its replica restores");

    ngx_litestream_status_db_write(rdb);

    mode = ctx->mode;
    ngx_free(ctx);

    ngx_litestream_verify_answer(rdb, mode);

    if (!job->has_result) {
        ngx_litestream_verify_sweep(rdb);
    }

    /* who wanted more than this one */

    if (!ngx_queue_empty(&rdb->verifiers) && rdb->verify == NULL
        && !ngx_litestream_sup->leaving && !ngx_litestream_sup->final)
    {
        ngx_litestream_verify_start(rdb);
    }

    ngx_litestream_check_quit();
}


static void
ngx_litestream_verify_answer(ngx_litestream_rdb_t *rdb, ngx_uint_t mode)
{
    ngx_queue_t                *q, *next;
    ngx_litestream_verifier_t  *v;

    for (q = ngx_queue_head(&rdb->verifiers);
         q != ngx_queue_sentinel(&rdb->verifiers);
         q = next)
    {
        next = ngx_queue_next(q);
        v = ngx_queue_data(q, ngx_litestream_verifier_t, queue);

        if (v->mode > mode) {
            continue;
        }

        ngx_queue_remove(q);
        v->handler(v->data, &rdb->st.verify);
    }
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

    ngx_litestream_copy_unlink(job->rdb->db);

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
