
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Why syncs have no answer.  Litestream, which tries again and again, does not
 * say what is wrong with a storage: a job looks at it.
 */


#include "ngx_litestream_supervisor.h"


/* a look takes some seconds, in ms */
#define NGX_LITESTREAM_LOOK   15000


static void ngx_litestream_look_run(ngx_litestream_job_t *job);
static void ngx_litestream_look_done(ngx_litestream_job_t *job);


/*
 * A sync of the database was given up.  Its error is put into buf, with what
 * was seen of the storage before; then that is looked at, by one job at a time
 * for each group, and the errors of all databases there follow.  In the
 * supervisor, does not block.
 */

void
ngx_litestream_look(ngx_litestream_rdb_t *rdb, char *buf, size_t size)
{
    char                     *seen;
    ngx_litestream_job_t     *job;
    ngx_litestream_rgroup_t  *rg;

    rg = rdb->group;

    seen = (rg->looked && ngx_litestream_same_server(rdb, rg->looked))
           ? rg->seen : "";

    (void) snprintf(buf, size, "Litestream has not synced it within %lu s%s%s",
                    (unsigned long) (rdb->sync_limit + 999) / 1000,
                    seen[0] ? ": " : "", seen);

    if (rg->look || rdb->db->replica->endpoint.len == 0
        || ngx_litestream_sup->final || ngx_litestream_sup->leaving)
    {
        return;
    }

    job = ngx_litestream_job_new("look", rdb);
    if (job == NULL) {
        return;
    }

    job->run = ngx_litestream_look_run;
    job->done = ngx_litestream_look_done;
    job->timeout = NGX_LITESTREAM_LOOK;

    rg->look = job;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


/* the storage answers, or so it seems */

void
ngx_litestream_look_over(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_rgroup_t  *rg;

    rg = rdb->group;

    if (rg->looked && ngx_litestream_same_server(rdb, rg->looked)) {
        rg->looked = NULL;
    }
}


/* in the job, which writes nothing: the locks of databases are not for it */

static void
ngx_litestream_look_run(ngx_litestream_job_t *job)
{
    (void) signal(SIGTERM, SIG_DFL);

    ngx_litestream_child_fds(&job->fd, 1);

    job->result.rc = ngx_litestream_endpoint_reason(job->rdb->db,
                                                    job->result.text,
                                                    sizeof(job->result.text));
}


static void
ngx_litestream_look_done(ngx_litestream_job_t *job)
{
    ngx_uint_t                i;
    ngx_litestream_rdb_t     *rdb, **rdbs;
    ngx_litestream_rgroup_t  *rg;

    rg = job->rdb->group;

    rg->look = NULL;

    if (!job->has_result || job->result.rc != NGX_OK || job->rdb->hung == 0) {
        ngx_litestream_look_over(job->rdb);
        return;
    }

    rg->looked = job->rdb;
    ngx_litestream_copy(rg->seen, sizeof(rg->seen),
                        (u_char *) job->result.text,
                        ngx_strlen(job->result.text));

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {

        rdb = rdbs[i];

        if (rdb->hung == 0 || rdb->fault
            || rdb->st.state == NGX_LITESTREAM_DB_NEW
            || !ngx_litestream_same_server(rdb, job->rdb))
        {
            continue;
        }

        (void) snprintf(rdb->st.error, sizeof(rdb->st.error),
                        "Litestream has not synced it within %lu s: %s",
                        (unsigned long) (rdb->sync_limit + 999) / 1000,
                        rg->seen);
        ngx_litestream_status_db_write(rdb);
    }
}


/* 1: their replicas are on the same server */

ngx_uint_t
ngx_litestream_same_server(ngx_litestream_rdb_t *one,
    ngx_litestream_rdb_t *two)
{
    ngx_str_t  *a, *b;

    a = &one->db->replica->endpoint;
    b = &two->db->replica->endpoint;

    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}
