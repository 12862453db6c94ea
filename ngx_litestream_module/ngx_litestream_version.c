
/*
 * Copyright (C) the ngx_litestream authors
 */


/* which Litestream is it?  asked once, before anything else is */


#include "ngx_litestream_supervisor.h"


/* a machine that is slow must not keep nginx from its start, ms */
#define NGX_LITESTREAM_VERSION_LIMIT  30000


static void ngx_litestream_version_run(ngx_litestream_job_t *job);
static void ngx_litestream_version_done(ngx_litestream_job_t *job);
static void ngx_litestream_version_handler(ngx_event_t *ev);


static ngx_event_t             ngx_litestream_version_event;


void
ngx_litestream_version(void)
{
    ngx_litestream_job_t  *job;

    ngx_litestream_version_event.handler = ngx_litestream_version_handler;
    ngx_litestream_version_event.log = ngx_litestream_sup->log;
    ngx_litestream_version_event.data = &ngx_litestream_version_event;

    job = ngx_litestream_job_new("version", NULL);

    if (job == NULL) {
        ngx_add_timer(&ngx_litestream_version_event, 1000);
        return;
    }

    job->group = ngx_litestream_sup->rgroups[0].group;
    job->run = ngx_litestream_version_run;
    job->done = ngx_litestream_version_done;
    job->timeout = NGX_LITESTREAM_VERSION_LIMIT + 10000;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


static void
ngx_litestream_version_handler(ngx_event_t *ev)
{
    ngx_litestream_version();
}


static void
ngx_litestream_version_run(ngx_litestream_job_t *job)
{
    char                  *argv[3], *p;
    unsigned               major, minor, patch;
    ngx_int_t              rc;
    ngx_litestream_run_t   run;

    argv[0] = (char *) ngx_litestream_sup->conf->bin.data;
    argv[1] = "version";
    argv[2] = NULL;

    job->result.rc = NGX_ERROR;

    rc = ngx_litestream_job_exec(job, argv, NGX_LITESTREAM_VERSION_LIMIT, NULL,
                                 &run);

    if (rc != NGX_OK && run.timedout) {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "\"%s version\" has not answered in %d s", argv[0],
                        NGX_LITESTREAM_VERSION_LIMIT / 1000);
        return;
    }

    if (rc != NGX_OK || run.status != 0 || run.out == NULL) {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "\"%s version\" failed%s%s", argv[0],
                        run.last[0] ? ": " : "", run.last);
        return;
    }

    p = (char *) run.out;
    p[strcspn(p, "\r\n")] = '\0';

    if (*p == 'v') {
        p++;
    }

    if (sscanf(p, "%u.%u.%u", &major, &minor, &patch) != 3
        && strstr(p, "development build") == NULL)
    {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "\"%s version\" says \"%.100s\": is it Litestream?",
                        argv[0], p);
        return;
    }

    if (ngx_litestream_kind_set(p) != NGX_OK) {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "\"%s\" is Litestream %.40s, 0.5.8 or newer is "
                        "needed, or 0.3.13", argv[0], p);
        return;
    }

    (void) snprintf(job->result.text, sizeof(job->result.text), "%.31s", p);
    job->result.rc = NGX_OK;
}


static void
ngx_litestream_version_done(ngx_litestream_job_t *job)
{
    ngx_uint_t                i, level;
    ngx_litestream_rgroup_t  *rg;

    level = ngx_litestream_sup->restore_only ? NGX_LOG_EMERG : NGX_LOG_ERR;

    if (ngx_litestream_sup->restore_only && ngx_litestream_sup->terminating) {
        ngx_litestream_exit(1);
    }

    if (!job->has_result || job->result.rc != NGX_OK) {

        ngx_log_error(level, ngx_litestream_sup->log, 0, "litestream: %s",
                      job->result.text);

        if (ngx_litestream_sup->restore_only) {
            ngx_litestream_start_error(NULL, job->result.text);
            ngx_litestream_sup->failed = 1;
            ngx_litestream_exit(1);
        }

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            ngx_litestream_db_error(ngx_litestream_sup->rdbs[i], "%s",
                                    job->result.text);
        }

        ngx_litestream_scan_refuse(job->result.text);
        ngx_litestream_verify_all();
        ngx_litestream_point_all();
        ngx_litestream_listing_all();

        ngx_add_timer(&ngx_litestream_version_event,
                      NGX_LITESTREAM_BACKOFF_MAX);
        return;
    }

    ngx_litestream_copy(ngx_litestream_sup->version,
                        sizeof(ngx_litestream_sup->version),
                        (u_char *) job->result.text,
                        ngx_strlen(job->result.text));

    (void) ngx_litestream_kind_set(ngx_litestream_sup->version);

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        rg = &ngx_litestream_sup->rgroups[i];

        /* written for the newest, before it was known which one it is */

        if (!ngx_litestream_kind->control && rg->files) {
            rg->files = (ngx_litestream_group_files(rg) == NGX_OK);
        }

        ngx_memcpy(rg->st.version, ngx_litestream_sup->version,
                   sizeof(rg->st.version));
        ngx_litestream_status_group_write(rg);
    }

    ngx_litestream_version_known();
}


/* which Litestream it is, is known: all begins, and who has asked goes on */

void
ngx_litestream_version_known(void)
{
    ngx_litestream_sup->checked = 1;

    ngx_litestream_kind_say();
    ngx_litestream_place_all();
    ngx_litestream_verify_all();
    ngx_litestream_point_all();
    ngx_litestream_listing_all();
}
