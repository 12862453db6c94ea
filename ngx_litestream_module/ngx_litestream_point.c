
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Restores to a new file beside the database, as of a point in time: what is
 * there is never touched, and nothing that is there is replaced.  One at a
 * time for each database.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_point.h"


/* of a sync, ms */
#define NGX_LITESTREAM_POINT_SYNC    5000


static void ngx_litestream_point_begin(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_point_synced(ngx_litestream_waiter_t *w,
    ngx_int_t rc, uint64_t txid, char *error);
static void ngx_litestream_point_sweep(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_point_sweep_run(ngx_litestream_job_t *job);
static void ngx_litestream_point_sweep_done(ngx_litestream_job_t *job);
static void ngx_litestream_point_start(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_point_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_point_done(ngx_litestream_job_t *job);
static void ngx_litestream_point_answer(ngx_litestream_rdb_t *rdb);


/*
 * Restores the state at a time (ms since 1970), of a transaction, or with
 * neither the newest one, or joins a restore of the same that is under way.
 * p->handler is called once, from the event loop.  NGX_BUSY: another one is
 * under way, and p is not taken.  Supervisor, does not block.
 */

ngx_int_t
ngx_litestream_point(ngx_litestream_rdb_t *rdb, ngx_litestream_pointer_t *p,
    int64_t time, uint64_t txid)
{
    ngx_litestream_point_t  *st;

    st = &rdb->st.point;

    if (st->state == NGX_LITESTREAM_RESTORE_RUNNING) {

        if (st->time != time || st->wanted != txid) {
            return NGX_BUSY;
        }

        ngx_queue_insert_tail(&rdb->pointers, &p->queue);

        return NGX_OK;
    }

    ngx_queue_insert_tail(&rdb->pointers, &p->queue);

    ngx_memzero(st, sizeof(ngx_litestream_point_t));

    st->state = NGX_LITESTREAM_RESTORE_RUNNING;
    st->at = ngx_litestream_now();
    st->time = time;
    st->wanted = txid;
    st->total = -1;

    ngx_litestream_status_db_write(rdb);

    /* otherwise the successor begins it, or it is ours to be begun later */

    if (ngx_litestream_sup->looked && rdb->point == NULL
        && !ngx_litestream_sup->leaving && !ngx_litestream_sup->final)
    {
        ngx_litestream_point_begin(rdb);
    }

    return NGX_OK;
}


/*
 * The state of a moment ago is in the replica only after a sync, even if
 * nothing was committed: how old that is which it has, nobody knows before.
 */

static void
ngx_litestream_point_begin(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_waiter_t  *w;

    if (rdb->point_waits) {
        return;
    }

    if (rdb->running && rdb->st.point.time > rdb->st.last_sync_at
        && rdb->st.point.time <= ngx_litestream_now())
    {
        w = &rdb->point_waiter;

        w->handler = ngx_litestream_point_synced;
        w->data = rdb;
        w->start = ngx_current_msec;
        w->deadline = ngx_current_msec + NGX_LITESTREAM_POINT_SYNC;

        rdb->point_waits = 1;
        ngx_litestream_sync(rdb, w);

        return;
    }

    ngx_litestream_point_start(rdb);
}


static void
ngx_litestream_point_synced(ngx_litestream_waiter_t *w, ngx_int_t rc,
    uint64_t txid, char *error)
{
    ngx_litestream_rdb_t  *rdb;

    rdb = w->data;
    rdb->point_waits = 0;

    /* without it, what was synced last counts */

    if (rdb->point == NULL && !ngx_litestream_sup->leaving
        && !ngx_litestream_sup->final)
    {
        ngx_litestream_point_start(rdb);
    }
}


/*
 * What the last supervisor was about to do is begun again, unless that was
 * before nginx was started.  Supervisor, once, when all has been looked at.
 */

void
ngx_litestream_point_all(void)
{
    ngx_uint_t               i;
    ngx_litestream_rdb_t    *rdb;
    ngx_litestream_point_t  *st;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];
        st = &rdb->st.point;

        if (st->state != NGX_LITESTREAM_RESTORE_RUNNING || rdb->point
            || rdb->point_waits)
        {
            continue;
        }

        if (ngx_litestream_sup->first && ngx_queue_empty(&rdb->pointers)) {

            st->state = NGX_LITESTREAM_RESTORE_FAILED;
            st->status = 503;
            (void) snprintf(st->error, sizeof(st->error),
                            "it was interrupted by the end of nginx");

            ngx_litestream_status_db_write(rdb);
            ngx_litestream_point_sweep(rdb);
            continue;
        }

        ngx_litestream_point_begin(rdb);
    }
}


/* what it has left may be large */

static void
ngx_litestream_point_sweep(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    job = ngx_litestream_job_new("sweep", rdb);
    if (job == NULL) {
        return;
    }

    job->run = ngx_litestream_point_sweep_run;
    job->done = ngx_litestream_point_sweep_done;
    job->timeout = ngx_litestream_sup->conf->restore_timeout;
    job->in.rc = ngx_litestream_lock_db(rdb->db, job->in.text,
                                        sizeof(job->in.text));

    rdb->point = job;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_POINT);
}


static void
ngx_litestream_point_sweep_run(ngx_litestream_job_t *job)
{
    if (job->in.rc == NGX_OK) {
        ngx_litestream_clean(ngx_litestream_point_temp(job->rdb->db));
    }
}


static void
ngx_litestream_point_sweep_done(ngx_litestream_job_t *job)
{
    ngx_litestream_rdb_t  *rdb;

    rdb = job->rdb;
    rdb->point = NULL;

    if (rdb->st.point.state == NGX_LITESTREAM_RESTORE_RUNNING
        && !ngx_litestream_sup->leaving && !ngx_litestream_sup->final)
    {
        ngx_litestream_point_start(rdb);
    }

    ngx_litestream_check_quit();
}


static void
ngx_litestream_point_start(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t    *job;
    ngx_litestream_point_t  *st;

    job = ngx_litestream_job_new("restore to a new file", rdb);

    st = &rdb->st.point;

    if (job == NULL) {
        st->state = NGX_LITESTREAM_RESTORE_FAILED;
        st->status = 503;
        (void) snprintf(st->error, sizeof(st->error), "no memory");
        ngx_litestream_point_answer(rdb);
        return;
    }

    job->run = ngx_litestream_point_run;
    job->message = ngx_litestream_point_message;
    job->done = ngx_litestream_point_done;

    /* the job has its own limits; this one is for a job that hangs */

    job->timeout = ngx_litestream_sup->conf->restore_timeout + 5000;

    job->in.from = st->time;
    job->in.txid = st->wanted;
    job->in.to = rdb->st.last_sync_at;
    job->in.rc = ngx_litestream_lock_db(rdb->db, job->in.text,
                                        sizeof(job->in.text));

    rdb->point = job;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_POINT);
}


static void
ngx_litestream_point_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    char                   name[512];
    ngx_litestream_rdb_t  *rdb;

    rdb = job->rdb;

    if (msg->type == NGX_LITESTREAM_JOB_ASK) {
        (void) snprintf(name, sizeof(name), ".%s.ngx-litestream-point",
                        (char *) rdb->db->name.data);

        ngx_litestream_own(rdb->db, name, msg);
        ngx_litestream_job_answer(job, msg);
        return;
    }

    rdb->st.point.txid = msg->txid;
    rdb->st.point.bytes = msg->bytes;
    rdb->st.point.total = msg->total;

    ngx_litestream_status_db_write(rdb);
}


static void
ngx_litestream_point_done(ngx_litestream_job_t *job)
{
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_point_t    *st;
    ngx_litestream_job_msg_t  *res;

    rdb = job->rdb;
    res = &job->result;
    st = &rdb->st.point;

    rdb->point = NULL;

    if ((!job->has_result || res->rc != NGX_OK)
        && (ngx_litestream_sup->leaving || ngx_litestream_sup->final))
    {
        /* it was told to end, and the successor begins it again */

        ngx_litestream_check_quit();
        return;
    }

    st->duration_ms = (uint32_t) (ngx_litestream_now() - st->at);

    if (job->has_result && res->rc == NGX_OK) {
        st->state = NGX_LITESTREAM_RESTORE_DONE;
        st->status = 200;
        st->txid = res->txid;
        st->bytes = res->bytes;
        st->total = res->bytes;

        ngx_litestream_copy(st->path, sizeof(st->path), (u_char *) res->text,
                            ngx_strlen(res->text));

        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\": transaction %016xL was "
                      "restored to \"%s\": %L bytes, %uD ms",
                      &rdb->db->alias, st->txid, st->path, st->bytes,
                      st->duration_ms);

    } else {
        st->state = NGX_LITESTREAM_RESTORE_FAILED;
        st->status = (job->has_result && res->index) ? (int32_t) res->index
                                                     : 503;

        ngx_litestream_copy(st->error, sizeof(st->error),
                            (u_char *) res->text, ngx_strlen(res->text));

        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was not restored to a new "
                      "file: %s", &rdb->db->alias, st->error);
    }

    if (res->files) {
        ngx_litestream_history_set(rdb, res->files, res->txid, res->from,
                                   res->to);
    }

    ngx_litestream_point_answer(rdb);
    ngx_litestream_check_quit();
}


static void
ngx_litestream_point_answer(ngx_litestream_rdb_t *rdb)
{
    ngx_queue_t               *q;
    ngx_litestream_pointer_t  *p;

    ngx_litestream_status_db_write(rdb);

    while (!ngx_queue_empty(&rdb->pointers)) {
        q = ngx_queue_head(&rdb->pointers);
        ngx_queue_remove(q);

        p = ngx_queue_data(q, ngx_litestream_pointer_t, queue);
        p->handler(p->data, &rdb->st.point);
    }
}
