
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Whose turn it is: jobs are limited in number, but none waits for a storage
 * that does not answer somebody else.
 */


#include "ngx_litestream_supervisor.h"


static ngx_uint_t ngx_litestream_job_may(ngx_litestream_job_t *job);
static void ngx_litestream_job_count(ngx_litestream_job_t *job);


/*
 * Starts a job, or queues it when litestream_restore's concurrency is reached
 * by jobs of its class, NGX_LITESTREAM_JOB_XXX; those of one class never wait
 * for others.  done() is called in any case, also when the job could not be
 * started (without a result).
 */

void
ngx_litestream_job_start(ngx_litestream_job_t *job, ngx_uint_t class)
{
    job->class = class;

    if (class != NGX_LITESTREAM_JOB_ANY && !ngx_litestream_job_may(job)) {
        ngx_queue_insert_tail(&ngx_litestream_sup->waiting[class],
                              &job->queue);
        return;
    }

    ngx_litestream_job_count(job);
    ngx_litestream_job_fork(job);
}


/* a job has ended: those that wait, the oldest first */

void
ngx_litestream_job_next(ngx_uint_t class)
{
    ngx_queue_t           *q, *waiting;
    ngx_litestream_job_t  *job;

    waiting = &ngx_litestream_sup->waiting[class];

    q = ngx_queue_head(waiting);

    while (q != ngx_queue_sentinel(waiting)) {

        job = ngx_queue_data(q, ngx_litestream_job_t, queue);

        if (!ngx_litestream_job_may(job)) {
            q = ngx_queue_next(q);
            continue;
        }

        ngx_queue_remove(q);

        ngx_litestream_job_count(job);
        ngx_litestream_job_fork(job);

        /* that may have changed the queue */

        q = ngx_queue_head(waiting);
    }
}


void
ngx_litestream_job_uncount(ngx_litestream_job_t *job)
{
    if (job->counted) {
        ngx_litestream_sup->jobs[job->class]--;

        if (job->rdb) {
            job->rdb->group->jobs[job->class]--;
        }

        job->counted = 0;
    }
}


/*
 * Each group may have one more than there are: all that may run can be those
 * of another one, and wait for its storage until their time is up.
 */

static ngx_uint_t
ngx_litestream_job_may(ngx_litestream_job_t *job)
{
    return ngx_litestream_sup->jobs[job->class]
               < (ngx_uint_t) ngx_litestream_sup->conf->concurrency
           || (job->rdb && job->rdb->group->jobs[job->class] == 0);
}


static void
ngx_litestream_job_count(ngx_litestream_job_t *job)
{
    ngx_litestream_sup->jobs[job->class]++;

    if (job->rdb) {
        job->rdb->group->jobs[job->class]++;
    }

    job->counted = 1;
}
