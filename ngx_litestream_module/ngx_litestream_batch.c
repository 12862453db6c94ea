
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Comparisons of many databases in one job.  A replica that is a directory is
 * read so quickly that a process for each database would take longer than all
 * the rest.  Yet a storage that hangs holds up only its own database: when a
 * job says nothing for a while, the database that it is at is given a job by
 * itself, and the others go on in a new one.
 */


#include "ngx_litestream_supervisor.h"


/* a job that is silent for so long (ms) hangs, or waits for somebody */
#define NGX_LITESTREAM_BATCH_STALL  2500

/* the same, of those that come after one that was */
#define NGX_LITESTREAM_BATCH_HURRY  500

/* databases in a job, at least and at most */
#define NGX_LITESTREAM_BATCH_MIN    16
#define NGX_LITESTREAM_BATCH_MAX    256


struct ngx_litestream_batch_s {
    ngx_litestream_job_t        *job;
    ngx_litestream_rgroup_t     *group;
    ngx_event_t                  timer;   /* its start, then its silence */
    ngx_uint_t                   n;
    ngx_uint_t                   max;
    ngx_litestream_rdb_t       **rdbs;    /* NULL: has been judged */
    ngx_queue_t                  queue;   /* of the job, until it is started */
    unsigned                     started:1;
    unsigned                     begun:1;     /* the job has said so */
    unsigned                     hurry:1;     /* follows one that hangs */
    unsigned                     slow:1;  /* of one that has not ended */
};


static ngx_int_t ngx_litestream_batch_put(ngx_litestream_rdb_t *rdb,
    ngx_uint_t hurry, ngx_uint_t slow);
static ngx_litestream_batch_t *ngx_litestream_batch_new(
    ngx_litestream_rgroup_t *rg, ngx_uint_t max);
static void ngx_litestream_batch_start(ngx_litestream_batch_t *batch);
static void ngx_litestream_batch_run(ngx_litestream_job_t *job);
static void ngx_litestream_batch_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_batch_timer_handler(ngx_event_t *ev);
static void ngx_litestream_batch_over(ngx_litestream_batch_t *batch,
    char *text);
static ngx_uint_t ngx_litestream_batch_beside(ngx_litestream_rdb_t *one,
    ngx_litestream_rdb_t *two);
static void ngx_litestream_batch_done(ngx_litestream_job_t *job);


/* 1: the replica is a directory, and no program is needed to list it */

ngx_uint_t
ngx_litestream_batch_fits(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_replica_t  *replica;

    replica = rdb->db->replica;

    return replica->path.len && replica->type.len == 4
           && ngx_strncmp(replica->type.data, "file", 4) == 0;
}


/*
 * The database is compared with those that follow within the same turn of the
 * loop; rdb->job is set until ngx_litestream_check_judge() is called for it.
 * NGX_ERROR: no memory.  Supervisor, does not block.
 */

ngx_int_t
ngx_litestream_batch_add(ngx_litestream_rdb_t *rdb)
{
    return ngx_litestream_batch_put(rdb, 0, 0);
}


static ngx_int_t
ngx_litestream_batch_put(ngx_litestream_rdb_t *rdb, ngx_uint_t hurry,
    ngx_uint_t slow)
{
    ngx_uint_t                max;
    ngx_litestream_batch_t   *batch;
    ngx_litestream_rgroup_t  *rg;

    rg = rdb->group;

    if (slow) {
        batch = ngx_litestream_batch_new(rg, 1);

        if (batch == NULL) {
            return NGX_ERROR;
        }

        batch->slow = 1;

    } else {

        if (rg->batch == NULL) {

            /* as many jobs as restores are allowed at the same time */

            max = rg->rdbs.nelts / ngx_litestream_sup->conf->concurrency + 1;
            max = ngx_max(max, NGX_LITESTREAM_BATCH_MIN);
            max = ngx_min(max, NGX_LITESTREAM_BATCH_MAX);

            rg->batch = ngx_litestream_batch_new(rg, max);

            if (rg->batch == NULL) {
                return NGX_ERROR;
            }

            ngx_add_timer(&rg->batch->timer, 1);
        }

        batch = rg->batch;
        batch->hurry |= hurry;
    }

    rdb->slow = slow;
    batch->rdbs[batch->n++] = rdb;
    rdb->job = batch->job;

    if (batch->n == batch->max) {
        ngx_litestream_batch_start(batch);
    }

    return NGX_OK;
}


static ngx_litestream_batch_t *
ngx_litestream_batch_new(ngx_litestream_rgroup_t *rg, ngx_uint_t max)
{
    ngx_log_t               *log;
    ngx_litestream_job_t    *job;
    ngx_litestream_batch_t  *batch;

    log = ngx_litestream_sup->log;

    batch = ngx_calloc(sizeof(ngx_litestream_batch_t)
                       + max * sizeof(ngx_litestream_rdb_t *), log);
    if (batch == NULL) {
        return NULL;
    }

    job = ngx_litestream_job_new("check", NULL);
    if (job == NULL) {
        ngx_free(batch);
        return NULL;
    }

    job->group = rg->group;
    job->run = ngx_litestream_batch_run;
    job->message = ngx_litestream_batch_message;
    job->done = ngx_litestream_batch_done;
    job->data = batch;

    batch->rdbs = (ngx_litestream_rdb_t **) &batch[1];
    batch->max = max;
    batch->job = job;
    batch->group = rg;

    batch->timer.handler = ngx_litestream_batch_timer_handler;
    batch->timer.data = batch;
    batch->timer.log = log;

    /* whoever ends it before its start takes it out of a queue */

    ngx_queue_init(&batch->queue);
    ngx_queue_insert_tail(&batch->queue, &job->queue);

    return batch;
}


static void
ngx_litestream_batch_start(ngx_litestream_batch_t *batch)
{
    ngx_uint_t                 i;
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_job_msg_t   res;

    if (batch->group->batch == batch) {
        batch->group->batch = NULL;
    }

    if (batch->timer.timer_set) {
        ngx_del_timer(&batch->timer);
    }

    /* it has been ended already */

    if (ngx_queue_empty(&batch->queue)) {
        return;
    }

    ngx_queue_remove(&batch->job->queue);

    batch->started = 1;

    ngx_memzero(&res, sizeof(ngx_litestream_job_msg_t));

    for (i = 0; i < batch->n; i++) {

        rdb = batch->rdbs[i];

        res.rc = ngx_litestream_lock_db(rdb->db, res.text, sizeof(res.text));

        if (res.rc != NGX_OK) {
            batch->rdbs[i] = NULL;
            rdb->job = NULL;
            res.rc = NGX_LITESTREAM_OUTCOME_ERROR;
            ngx_litestream_check_judge(rdb, &res, NGX_OK);
        }
    }

    ngx_litestream_job_start(batch->job, batch->slow
                                         ? NGX_LITESTREAM_JOB_SLOW
                                         : NGX_LITESTREAM_JOB_ANY);
}


/* in the job */

static void
ngx_litestream_batch_run(ngx_litestream_job_t *job)
{
    ngx_uint_t               i;
    ngx_litestream_batch_t  *batch;

    batch = job->data;

    /* the clock starts now */

    job->result.type = NGX_LITESTREAM_JOB_PROGRESS;
    ngx_litestream_job_tell(job, &job->result);

    for (i = 0; i < batch->n && !ngx_litestream_job_stopped(); i++) {

        if (batch->rdbs[i] == NULL) {
            continue;
        }

        ngx_memzero(&job->result, sizeof(ngx_litestream_job_msg_t));

        job->rdb = batch->rdbs[i];
        ngx_litestream_check_run(job);

        job->result.type = NGX_LITESTREAM_JOB_ITEM;
        job->result.index = i;
        ngx_litestream_job_tell(job, &job->result);
    }

    ngx_memzero(&job->result, sizeof(ngx_litestream_job_msg_t));
}


static void
ngx_litestream_batch_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    size_t                   n;
    ngx_msec_t               limit;
    ngx_litestream_rdb_t    *rdb;
    ngx_litestream_batch_t  *batch;

    batch = job->data;
    batch->begun = 1;

    limit = batch->slow ? ngx_litestream_sup->conf->restore_timeout
            : batch->hurry ? NGX_LITESTREAM_BATCH_HURRY
            : NGX_LITESTREAM_BATCH_STALL;

    ngx_add_timer(&batch->timer, limit);

    if (msg->type != NGX_LITESTREAM_JOB_ITEM || msg->index >= batch->n) {
        return;
    }

    rdb = batch->rdbs[msg->index];

    if (rdb == NULL) {
        return;
    }

    n = ngx_litestream_redact(ngx_litestream_sup->conf, (u_char *) msg->text,
                              ngx_strlen(msg->text));
    msg->text[n] = '\0';

    batch->rdbs[msg->index] = NULL;
    rdb->job = NULL;

    ngx_litestream_check_judge(rdb, msg, NGX_OK);
}


/* it is to be started, or it hangs */

static void
ngx_litestream_batch_timer_handler(ngx_event_t *ev)
{
    ngx_litestream_batch_t  *batch;

    batch = ev->data;

    if (!batch->started) {
        ngx_litestream_batch_start(batch);
        return;
    }

    /* it has been told to end, and no other one may follow */

    if (ngx_litestream_sup->terminating || ngx_litestream_sup->final
        || ngx_litestream_sup->leaving)
    {
        return;
    }

    ngx_litestream_batch_over(batch, NULL);

    ngx_litestream_job_kill(batch->job);
}


/*
 * The job is at its end, or will be: what has not been judged is compared by
 * other jobs.  text: why, NULL: it has said nothing for too long.
 */

static void
ngx_litestream_batch_over(ngx_litestream_batch_t *batch, char *text)
{
    ngx_uint_t                 i, turn;
    ngx_litestream_rdb_t      *rdb, *stuck;
    ngx_litestream_job_msg_t   res;

    stuck = NULL;

    /*
     * in the order of the job the first one is what it was at; those whose
     * replicas are beside that one's come last: it may be the same storage
     */

    for (turn = 0; turn < 2; turn++) {

        for (i = 0; i < batch->n; i++) {

            rdb = batch->rdbs[i];

            if (rdb == NULL
                || (turn == 0 && stuck
                    && ngx_litestream_batch_beside(rdb, stuck)))
            {
                continue;
            }

            batch->rdbs[i] = NULL;
            rdb->job = NULL;

            if (!batch->slow) {

                if (ngx_litestream_batch_put(rdb, 1, stuck == NULL)
                    == NGX_OK)
                {
                    stuck = stuck ? stuck : rdb;
                    continue;
                }

                text = "no memory";
            }

            ngx_memzero(&res, sizeof(ngx_litestream_job_msg_t));
            res.rc = NGX_LITESTREAM_OUTCOME_ERROR;

            if (text) {
                (void) snprintf(res.text, sizeof(res.text), "%s", text);

            } else {
                (void) snprintf(res.text, sizeof(res.text), "replica \"%s\": "
                                "no answer within the timeout",
                                (char *) rdb->db->replica->url.data);
            }

            ngx_litestream_check_judge(rdb, &res, NGX_OK);
        }
    }
}


/* 1: replicas in the same directory */

static ngx_uint_t
ngx_litestream_batch_beside(ngx_litestream_rdb_t *one,
    ngx_litestream_rdb_t *two)
{
    u_char     *a, *b;
    ptrdiff_t   i, last;

    a = one->db->replica->path.data;
    b = two->db->replica->path.data;

    last = 0;

    for (i = 0; a[i] && a[i] == b[i]; i++) {
        if (a[i] == '/') {
            last = i;
        }
    }

    return ngx_strchr(a + last + 1, '/') == NULL
           && ngx_strchr(b + last + 1, '/') == NULL;
}


static void
ngx_litestream_batch_done(ngx_litestream_job_t *job)
{
    ngx_uint_t                i;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_batch_t   *batch;

    batch = job->data;

    if (batch->group->batch == batch) {
        batch->group->batch = NULL;
    }

    if (batch->timer.timer_set) {
        ngx_del_timer(&batch->timer);
    }

    if (job->gone || !batch->begun || ngx_litestream_sup->terminating
        || ngx_litestream_sup->final || ngx_litestream_sup->leaving)
    {
        /* told to end, or could not be started: again after a while */

        for (i = 0; i < batch->n; i++) {

            rdb = batch->rdbs[i];

            if (rdb) {
                rdb->job = NULL;
                ngx_litestream_check_judge(rdb, &job->result, NGX_ABORT);
            }
        }

    } else {
        ngx_litestream_batch_over(batch, job->result.text);
    }

    ngx_free(batch);
}
