
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The comparison of a database with its replica, which must have passed
 * before each start of Litestream.
 */


#include "ngx_litestream_old.h"

#include <sqlite3.h>


static void ngx_litestream_checking(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_check_done(ngx_litestream_job_t *job);
static uint64_t ngx_litestream_position(ngx_litestream_db_t *db,
    uint32_t *meta, ngx_int_t *wal);
static ngx_uint_t ngx_litestream_begun(ngx_litestream_db_t *db);
static ngx_int_t ngx_litestream_has_seq(ngx_litestream_db_t *db,
    uint32_t *seq);


/*
 * The comparison with the replica, which must have passed before each start
 * of Litestream.  Needs the storage, hence never holds up the database.
 */

void
ngx_litestream_check(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    if (rdb->job || !rdb->db->replicate) {
        return;
    }

    /* nobody would end it, nor wait for it */

    if (ngx_litestream_sup->terminating || ngx_litestream_sup->final
        || ngx_litestream_sup->leaving)
    {
        return;
    }

    rdb->retry.handler = ngx_litestream_retry_handler;
    rdb->retry.data = rdb;
    rdb->retry.log = ngx_litestream_sup->log;

    if (rdb->retry.timer_set) {
        ngx_del_timer(&rdb->retry);
    }

    rdb->cleared = 0;

    if (ngx_litestream_batch_fits(rdb)) {

        if (ngx_litestream_batch_add(rdb) != NGX_OK) {
            ngx_litestream_retry(rdb);
            return;
        }

        ngx_litestream_checking(rdb);
        return;
    }

    job = ngx_litestream_job_new("check", rdb);

    if (job == NULL) {
        ngx_litestream_retry(rdb);
        return;
    }

    job->run = ngx_litestream_check_run;
    job->done = ngx_litestream_check_done;
    job->timeout = ngx_litestream_sup->conf->restore_timeout + 5000;
    job->in.rc = ngx_litestream_lock_db(rdb->db, job->in.text,
                                        sizeof(job->in.text));

    rdb->job = job;

    ngx_litestream_checking(rdb);

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_PLACE);
}


static void
ngx_litestream_checking(ngx_litestream_rdb_t *rdb)
{
    rdb->checking = 1;

    if (!rdb->fault && rdb->st.state != NGX_LITESTREAM_DB_NEW) {
        rdb->st.state = NGX_LITESTREAM_DB_CHECKING;
        ngx_litestream_status_db_write(rdb);
    }
}


/* Litestream is to be started again: what ran must be compared again */

void
ngx_litestream_recheck(ngx_litestream_rdb_t *rdb)
{
    if (!rdb->placed || rdb->job || rdb->retry.timer_set) {
        return;
    }

    ngx_litestream_check(rdb);
}


/*
 * Newest level-0 file in the meta directory: how far Litestream has come.
 * wal: what ngx_litestream_wal_check() says of it.
 */

static uint64_t
ngx_litestream_position(ngx_litestream_db_t *db, uint32_t *meta,
    ngx_int_t *wal)
{
    char      file[4600], path[4300];
    uint64_t  newest;

    *wal = NGX_OK;

    newest = ngx_litestream_newest(db, meta, file, sizeof(file));

    if (newest) {
        (void) snprintf(path, sizeof(path), "%s-wal", (char *) db->path.data);

        *wal = ngx_litestream_wal_check(file, path);
    }

    return newest;
}


/* is the file there that the first of a replica's is made of? */

static ngx_uint_t
ngx_litestream_begun(ngx_litestream_db_t *db)
{
    char  name[4400];

    (void) snprintf(name, sizeof(name), "%s/.%s-litestream/ltx/0/"
                    "0000000000000001-0000000000000001.ltx",
                    (char *) db->dir.data, (char *) db->name.data);

    return access(name, F_OK) == 0;
}


/*
 * Has Litestream ever replicated this very database?  NGX_DECLINED: it is
 * not a database; NGX_AGAIN: cannot be told now.
 */

static ngx_int_t
ngx_litestream_has_seq(ngx_litestream_db_t *db, uint32_t *seq)
{
    int            rc, on;
    sqlite3       *conn;
    ngx_int_t      ret;
    sqlite3_stmt  *stmt;

    rc = sqlite3_open_v2((char *) db->path.data, &conn,
                         SQLITE_OPEN_READWRITE, NULL);

    stmt = NULL;
    ret = NGX_AGAIN;

    if (rc == SQLITE_OK) {

        /* a close that is the last one would delete the WAL */

        on = 1;
        (void) sqlite3_file_control(conn, "main", SQLITE_FCNTL_PERSIST_WAL,
                                    &on);
        (void) sqlite3_db_config(conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                                 NULL);
        (void) sqlite3_busy_timeout(conn, 2000);

        rc = sqlite3_prepare_v2(conn, "SELECT count(*) FROM sqlite_master "
                                "WHERE name = '_litestream_seq'", -1, &stmt,
                                NULL);
    }

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);

        if (rc == SQLITE_ROW) {
            *seq = sqlite3_column_int(stmt, 0) != 0;
            ret = NGX_OK;
        }
    }

    if (rc == SQLITE_NOTADB) {
        ret = NGX_DECLINED;
    }

    (void) sqlite3_finalize(stmt);
    (void) sqlite3_close(conn);

    return ret;
}


/*
 * In a job, which may wait for the storage as long as it likes: looks at the
 * database job->rdb and at its replica, and puts what it has seen into
 * job->result.
 */

void
ngx_litestream_check_run(ngx_litestream_job_t *job)
{
    ngx_int_t             rc;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    job->result.size = -1;
    job->result.seq = 1;

    if (job->in.rc != NGX_OK) {
        ngx_litestream_fail(job, "%s", job->in.text);
        return;
    }

    if (ngx_litestream_identity(db->path.data, &job->result.dev,
                                &job->result.ino, &job->result.size)
        == NGX_ERROR)
    {
        ngx_litestream_fail(job, "\"%s\" cannot be looked at: %s",
                            (char *) db->path.data, strerror(errno));
        return;
    }

    if (job->result.size > 0) {

        rc = ngx_litestream_has_seq(db, &job->result.seq);

        if (rc == NGX_DECLINED) {
            ngx_litestream_fail(job, "\"%s\" is not a SQLite database",
                                (char *) db->path.data);
            return;
        }
    }

    ngx_litestream_kind->check(job);
}


/*
 * The same in a job: how far the database and the replica are, and whether a
 * start could be guarded.
 */

void
ngx_litestream_compare(ngx_litestream_job_t *job)
{
    ngx_int_t               wal;
    ngx_litestream_db_t    *db;
    ngx_litestream_list_t   list;

    db = job->rdb->db;

    /* before the replica is asked: it may be ahead only if it really is */

    job->result.local = ngx_litestream_position(db, &job->result.meta, &wal);
    job->result.torn = (wal == NGX_DECLINED);
    job->result.begun = ngx_litestream_begun(db);

    if ((ngx_litestream_batch_fits(job->rdb)
         ? ngx_litestream_list_dir(job, &list)
         : ngx_litestream_list(job, &list))
        != NGX_OK)
    {
        return;
    }

    if (list.files == 0) {
        ngx_litestream_old_local(job);

        if (ngx_litestream_old_seen(job) != NGX_OK) {
            return;
        }
    }

    /* what the guard would refuse is no reason to stop the others */

    if (job->result.size > 0
        && ngx_litestream_guard_try(db, job->result.text,
                                    sizeof(job->result.text))
           != NGX_OK)
    {
        job->result.rc = NGX_LITESTREAM_OUTCOME_ERROR;
        return;
    }

    job->result.rc = NGX_OK;
    ngx_litestream_list_result(job, &list);
}


static void
ngx_litestream_check_done(ngx_litestream_job_t *job)
{
    ngx_int_t  rc;

    rc = !job->has_result ? NGX_ERROR : NGX_OK;

    job->rdb->job = NULL;

    ngx_litestream_check_judge(job->rdb, &job->result,
                               job->gone ? NGX_ABORT : rc);
}


/*
 * Judges what a job has brought: the database is cleared, or in error and to
 * be compared again.  rc: NGX_OK, NGX_ERROR when the job brought nothing, and
 * NGX_ABORT when it was told to end, which is nobody's fault.  Supervisor,
 * does not block.
 */

void
ngx_litestream_check_judge(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res, ngx_int_t rc)
{
    ngx_uint_t              exists;
    ngx_litestream_check_e  verdict;

    rdb->checking = 0;
    rdb->slow = 0;

    if (rc != NGX_OK || res->rc != NGX_OK) {

        if (rc != NGX_ABORT) {
            ngx_litestream_db_error(rdb, "not replicated: %s", res->text);
        }

        ngx_litestream_retry(rdb);
        ngx_litestream_group_kick(rdb->group);
        return;
    }

    exists = (res->size > 0);

    if (exists) {
        rdb->st.in_place = 1;
    }

    verdict = ngx_litestream_kind->judge(rdb, res);

    ngx_litestream_history_set(rdb, res->files, res->txid, res->from,
                               res->to);

    if (res->files) {
        ngx_litestream_memory_seen(rdb, res->txid);
    }

    if (verdict != NGX_LITESTREAM_GO) {
        rdb->delay = NGX_LITESTREAM_BACKOFF_MAX / 2;
        ngx_litestream_retry(rdb);
        ngx_litestream_group_kick(rdb->group);
        return;
    }

    if (rdb->fault) {
        rdb->fault = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" can be replicated again",
                      &rdb->db->alias);
    }

    rdb->st.error[0] = '\0';
    rdb->delay = 0;
    rdb->lost = 0;
    rdb->cleared = 1;
    rdb->dev = exists ? res->dev : 0;
    rdb->ino = exists ? res->ino : 0;
    rdb->st.in_place = 1;
    rdb->st.state = exists ? NGX_LITESTREAM_DB_STARTING
                             : NGX_LITESTREAM_DB_NEW;

    ngx_litestream_status_db_write(rdb);

    ngx_litestream_group_kick(rdb->group);
}


/* the verdict on what a job has seen; any other than GO is told */

ngx_litestream_check_e
ngx_litestream_judge(ngx_litestream_rdb_t *rdb, ngx_litestream_job_msg_t *res)
{
    char                          *url, what[64], when[32];
    unsigned long long             local, replica;
    ngx_litestream_check_e         verdict;
    ngx_litestream_check_facts_t   f;

    ngx_memzero(&f, sizeof(ngx_litestream_check_facts_t));

    f.replica = res->txid;
    f.local = res->local;
    f.restored = rdb->restored_txid;
    f.seen = rdb->seen_txid;
    f.exists = (res->size > 0);
    f.seq = res->seq;
    f.meta = res->meta;
    f.torn = res->torn;
    f.begun = res->begun;
    f.same = (rdb->restored_ino && rdb->restored_ino == res->ino
              && rdb->restored_dev == res->dev);

    if (f.replica == 0 && ngx_litestream_old_moves(rdb, res)) {
        return ngx_litestream_old_judge(rdb, res);
    }

    /* from here on nobody has to remember what 0.3 had done */

    if (f.replica) {
        rdb->old.pos.generation = 0;
    }

    verdict = ngx_litestream_check_verdict(&f);

    url = (char *) rdb->db->replica->url.data;
    local = f.same ? ngx_max(f.local, f.restored) : f.local;
    replica = f.replica;

    switch (verdict) {

    case NGX_LITESTREAM_AHEAD:
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" is ahead "
                                "of the database: its newest transaction is "
                                "%016llx, the database's is %016llx; going on "
                                "would replace a newer backup. To take the "
                                "replica's, move \"%s\" away and restart "
                                "nginx; to keep the database, give it an "
                                "empty replica", url, replica, local,
                                (char *) rdb->db->path.data);
        break;

    case NGX_LITESTREAM_VANISHED:
        ngx_litestream_what(what, sizeof(what), f.seen);
        ngx_litestream_when(when, sizeof(when), rdb->seen_at);
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" is "
                                "empty, but %s was seen there at %s: is its "
                                "storage mounted?", url, what, when);
        break;

    case NGX_LITESTREAM_MADE_ANEW:
        ngx_litestream_db_error(rdb, "not replicated: \"%s\" is not the "
                                "database that was replicated to \"%s\": it "
                                "was made anew beside the old one's meta "
                                "directory (transaction %016llx, the "
                                "replica's is %016llx). To take the "
                                "replica's, move it away and restart nginx; "
                                "to keep it, give it an empty replica",
                                (char *) rdb->db->path.data, url, local,
                                replica);
        break;

    case NGX_LITESTREAM_TORN:
        ngx_litestream_db_error(rdb, "not replicated: the WAL of \"%s\" has "
                                "lost commits that replica \"%s\" holds "
                                "(transaction %016llx), as after a power "
                                "failure; going on would remove them from the "
                                "backup. To take the replica's, move the "
                                "database away and restart nginx; to keep it, "
                                "give it an empty replica",
                                (char *) rdb->db->path.data, url, replica);
        break;

    case NGX_LITESTREAM_GONE:
        rdb->st.in_place = 0;
        /* whatever comes there is compared at once */
        rdb->lost = 1;

        ngx_litestream_db_error(rdb, "\"%s\" is %s, replica \"%s\" holds "
                                "transaction %016llx%s",
                                (char *) rdb->db->path.data,
                                res->size == 0 ? "empty" : "missing",
                                url, replica,
                                rdb->db->restore == NGX_LITESTREAM_RESTORE_OFF
                                ? ", and restore=off"
                                : ": restart nginx to restore it");
        break;

    case NGX_LITESTREAM_NOT_BEGUN:
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" is "
                                "empty, and the database was replicated "
                                "elsewhere, up to transaction %016llx. If "
                                "this is its replica from now on: stop nginx, "
                                "run \"nginx-litestream reset %s\", start "
                                "nginx", url, local,
                                (char *) rdb->db->alias.data);
        break;

    case NGX_LITESTREAM_NEWER:
    case NGX_LITESTREAM_GO:
        break;
    }

    return verdict;
}
