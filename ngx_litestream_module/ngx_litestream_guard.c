
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The guard of a start.  Litestream keeps an application from beginning its
 * WAL anew by a lock that it takes when it opens the database.  Before that
 * the guard holds such a lock: a job of the group that looks at each WAL and
 * goes away when Litestream has synced; docs/supervision.md.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_guard.h"

#include <sys/mman.h>


/* no word of the job for so long: a file system hangs */
#define NGX_LITESTREAM_GUARD_HANG    5000

/* of one that Litestream did not open: each attempt is a pause for others */
#define NGX_LITESTREAM_GUARD_AGAIN   3600000


static void ngx_litestream_guard_stop(ngx_litestream_rgroup_t *rg);
static void ngx_litestream_guard_unkeep(ngx_litestream_rgroup_t *rg);
static ngx_uint_t ngx_litestream_guard_mark(ngx_litestream_guard_t *guard,
    ngx_litestream_rdb_t *rdb);
static void ngx_litestream_guard_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_guard_refuse(ngx_litestream_rdb_t *rdb,
    char *text);
static void ngx_litestream_guard_unopened(ngx_litestream_rdb_t *rdb,
    char *text);
static void ngx_litestream_guard_timer_handler(ngx_event_t *ev);
static void ngx_litestream_guard_done(ngx_litestream_job_t *job);
static void ngx_litestream_guard_later(ngx_litestream_rgroup_t *rg);


/*
 * Begins to guard the databases of the group that may be replicated; the group
 * is kicked when that is done, see ngx_litestream_guard_ready().  Supervisor,
 * does not block.
 */

void
ngx_litestream_guard(ngx_litestream_rgroup_t *rg)
{
    size_t                         size;
    ngx_uint_t                     i;
    ngx_litestream_job_t          *job;
    ngx_litestream_rdb_t         **rdbs;
    ngx_litestream_guard_t        *guard;
    ngx_litestream_guard_page_t   *page;

    guard = ngx_calloc(sizeof(ngx_litestream_guard_t),
                       ngx_litestream_sup->log);
    if (guard == NULL) {
        ngx_litestream_guard_later(rg);
        return;
    }

    size = sizeof(ngx_litestream_guard_page_t)
           + ngx_litestream_sup->conf->dbs.nelts;

    page = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                -1, 0);

    if (page == MAP_FAILED) {
        ngx_log_error(NGX_LOG_ALERT, ngx_litestream_sup->log, ngx_errno,
                      "litestream: mmap() failed");
        ngx_free(guard);
        ngx_litestream_guard_later(rg);
        return;
    }

    job = ngx_litestream_job_new("guard", NULL);

    if (job == NULL) {
        (void) munmap(page, size);
        ngx_free(guard);
        ngx_litestream_guard_later(rg);
        return;
    }

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {

        if (!rdbs[i]->cleared || rdbs[i]->running) {
            continue;
        }

        page->marks[rdbs[i]->index] = NGX_LITESTREAM_GUARD_WANTED;

        /* what runs has inherited the lock of the root, and no later one */

        if (rg->proc.pid != -1 && rdbs[i]->db->in
            && rdbs[i]->db->dir.data != rdbs[i]->db->in->root.data)
        {
            page->keep = rg->proc.pid;
        }
    }

    job->group = rg->group;
    job->prepare = ngx_litestream_guard_prepare;
    job->run = ngx_litestream_guard_run;
    job->message = ngx_litestream_guard_message;
    job->done = ngx_litestream_guard_done;
    job->data = guard;

    guard->group = rg;
    guard->job = job;
    guard->page = page;
    guard->size = size;
    guard->n = ngx_litestream_sup->conf->dbs.nelts;
    guard->late = (rg->proc.pid != -1);

    guard->timer.handler = ngx_litestream_guard_timer_handler;
    guard->timer.data = guard;
    guard->timer.log = ngx_litestream_sup->log;

    ngx_add_timer(&guard->timer, NGX_LITESTREAM_GUARD_HANG);

    rg->guard = guard;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


/*
 * 1: there are databases that are guarded and may be replicated.  One that is
 * of no use any more is ended, and another one follows.  Supervisor.
 */

ngx_uint_t
ngx_litestream_guard_ready(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i;
    ngx_litestream_rdb_t  **rdbs;

    if (!rg->guard->ready) {
        return 0;
    }

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        if (ngx_litestream_guarded(rdbs[i])) {
            return 1;
        }
    }

    ngx_litestream_guard_stop(rg);
    ngx_litestream_group_kick(rg);

    return 0;
}


/* 1: Litestream may be started with this database */

ngx_uint_t
ngx_litestream_guarded(ngx_litestream_rdb_t *rdb)
{
    u_char                   mark;
    ngx_litestream_guard_t  *guard;

    if (!ngx_litestream_kind->guard) {
        return rdb->cleared;
    }

    guard = rdb->group->guard;

    if (guard == NULL || !guard->ready || !rdb->cleared) {
        return 0;
    }

    mark = ngx_litestream_guard_mark(guard, rdb);

    return mark == NGX_LITESTREAM_GUARD_HELD
           || mark == NGX_LITESTREAM_GUARD_FREE;
}


static ngx_uint_t
ngx_litestream_guard_mark(ngx_litestream_guard_t *guard,
    ngx_litestream_rdb_t *rdb)
{
    return rdb->index < guard->n ? guard->page->marks[rdb->index]
                                 : NGX_LITESTREAM_GUARD_NONE;
}


/* Litestream was started: whose lock it is that is waited for */

void
ngx_litestream_guard_pid(ngx_litestream_rgroup_t *rg, pid_t pid)
{
    if (rg->guard) {
        rg->guard->page->pid = pid;
    }
}


/* 1: it is for databases that come to a Litestream which runs */

ngx_uint_t
ngx_litestream_guard_late(ngx_litestream_rgroup_t *rg)
{
    return rg->guard->late;
}


/* Litestream does not have it, or not any more */

void
ngx_litestream_guard_drop(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_guard_t  *guard;

    guard = rdb->group->guard;

    if (guard && ngx_litestream_guard_mark(guard, rdb)
                 == NGX_LITESTREAM_GUARD_HELD)
    {
        guard->page->marks[rdb->index] = NGX_LITESTREAM_GUARD_RELEASED;
    }
}


/* Litestream has synced it, and so keeps a lock of its own */

void
ngx_litestream_guard_release(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_guard_t  *guard;

    guard = rdb->group->guard;
    rdb->unopened = 0;

    if (guard && guard->ready && rdb->running
        && ngx_litestream_guard_mark(guard, rdb) == NGX_LITESTREAM_GUARD_HELD)
    {
        guard->page->marks[rdb->index] = NGX_LITESTREAM_GUARD_RELEASED;
    }
}


/* Litestream has ended, or is not to be started any more */

void
ngx_litestream_guard_end(ngx_litestream_rgroup_t *rg)
{
    ngx_litestream_guard_stop(rg);
    ngx_litestream_guard_unkeep(rg);
}


static void
ngx_litestream_guard_stop(ngx_litestream_rgroup_t *rg)
{
    ngx_litestream_guard_t  *guard;

    guard = rg->guard;

    if (guard == NULL) {
        return;
    }

    rg->guard = NULL;
    guard->group = NULL;

    if (guard->timer.timer_set) {
        ngx_del_timer(&guard->timer);
    }

    ngx_litestream_job_kill(guard->job);
}


/* whoever inherits the locks, or nobody, needs it no more */

static void
ngx_litestream_guard_unkeep(ngx_litestream_rgroup_t *rg)
{
    ngx_litestream_guard_t  *guard;

    guard = rg->keeper;

    if (guard) {
        rg->keeper = NULL;
        guard->group = NULL;
        ngx_litestream_job_kill(guard->job);
    }
}


/* the reasons of a failure are not known: not at once again */

static void
ngx_litestream_guard_later(ngx_litestream_rgroup_t *rg)
{
    if (rg->kick.timer_set) {
        ngx_del_timer(&rg->kick);
    }

    ngx_add_timer(&rg->kick, NGX_LITESTREAM_BACKOFF_MIN);
}


static void
ngx_litestream_guard_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    size_t                    n;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_guard_t   *guard;
    ngx_litestream_rgroup_t  *rg;

    guard = job->data;
    rg = guard->group;

    if (rg == NULL) {
        return;
    }

    if (!guard->ready && guard == rg->guard) {
        ngx_add_timer(&guard->timer, NGX_LITESTREAM_GUARD_HANG);
    }

    switch (msg->rc) {

    case NGX_ERROR:

        if (msg->txid >= ngx_litestream_sup->conf->dbs.nelts) {
            return;
        }

        rdb = ngx_litestream_sup->rdbs[msg->txid];

        if (rdb->group != rg || !rdb->cleared) {
            return;
        }

        n = ngx_litestream_redact(ngx_litestream_sup->conf,
                                  (u_char *) msg->text,
                                  ngx_strlen(msg->text));
        msg->text[n] = '\0';

        if (guard->ready) {
            ngx_litestream_guard_unopened(rdb, msg->text);

        } else {
            ngx_litestream_guard_refuse(rdb, msg->text);
        }

        return;

    case NGX_DONE:

        /* it holds no database any more, only the locks of directories */

        if (guard == rg->guard) {
            ngx_litestream_guard_unkeep(rg);

            rg->keeper = guard;
            rg->guard = NULL;

            if (guard->timer.timer_set) {
                ngx_del_timer(&guard->timer);
            }

            ngx_litestream_group_kick(rg);
        }

        return;

    case NGX_OK:

        guard->ready = 1;

        /* the job keeps the limit itself, this is for one that is stuck */

        ngx_add_timer(&guard->timer, 3 * NGX_LITESTREAM_GUARD_LIMIT);

        ngx_litestream_group_kick(rg);
    }
}


static void
ngx_litestream_guard_refuse(ngx_litestream_rdb_t *rdb, char *text)
{
    rdb->cleared = 0;
    rdb->kept = 0;

    ngx_litestream_db_error(rdb, "not replicated: %s", text);

    if (!rdb->retry.timer_set && !rdb->job) {
        ngx_litestream_retry(rdb);
    }
}


/*
 * Litestream runs, and has not opened it: without the guard it might do that
 * at any time, and go on where it must not.  The others are started without.
 */

static void
ngx_litestream_guard_unopened(ngx_litestream_rdb_t *rdb, char *text)
{
    ngx_msec_t                delay;
    ngx_litestream_rgroup_t  *rg;

    rg = rdb->group;

    if (!rdb->running || ngx_litestream_sup->final
        || ngx_litestream_sup->stopping || ngx_litestream_sup->leaving
        || ngx_litestream_sup->terminating)
    {
        return;
    }

    ngx_litestream_guard_refuse(rdb, text);

    delay = (ngx_msec_t) NGX_LITESTREAM_BACKOFF_MAX
            << ngx_min(rdb->unopened, 7);
    rdb->unopened++;

    if (rdb->retry.timer_set) {
        ngx_add_timer(&rdb->retry,
                      ngx_min(delay, NGX_LITESTREAM_GUARD_AGAIN));
    }

    if (rdb->db->in) {
        ngx_litestream_group_kick(rg);
        return;
    }

    rg->restart = 1;
    ngx_litestream_group_stop(rg);
}


/* a database whose file system hangs must not hold up the others */

static void
ngx_litestream_guard_timer_handler(ngx_event_t *ev)
{
    u_char                    mark;
    uint64_t                  dev;
    ngx_uint_t                i, found;
    ngx_litestream_rdb_t     *rdb, **rdbs;
    ngx_litestream_guard_t   *guard;
    ngx_litestream_rgroup_t  *rg;
    char                      text[4400];

    guard = ev->data;
    rg = guard->group;

    if (guard->ready) {
        ngx_litestream_guard_stop(rg);
        return;
    }

    dev = 0;
    found = 0;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];

        if (ngx_litestream_guard_mark(guard, rdb)
            == NGX_LITESTREAM_GUARD_DOING)
        {
            dev = rdb->dev;
            found = 1;
        }
    }

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];
        mark = ngx_litestream_guard_mark(guard, rdb);

        if (rdb->cleared
            && (mark == NGX_LITESTREAM_GUARD_DOING
                || (mark == NGX_LITESTREAM_GUARD_WANTED && dev
                    && rdb->dev == dev)))
        {
            (void) snprintf(text, sizeof(text), "the file system of \"%s\" "
                            "does not answer", (char *) rdb->db->path.data);
            ngx_litestream_guard_refuse(rdb, text);
        }
    }

    ngx_litestream_guard_stop(rg);

    if (found) {
        ngx_litestream_group_kick(rg);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                  "litestream: the guard of group %V does not answer",
                  &rg->group->name);

    ngx_litestream_guard_later(rg);
}


static void
ngx_litestream_guard_done(ngx_litestream_job_t *job)
{
    u_char                    mark;
    ngx_uint_t                i, found, held;
    ngx_litestream_rdb_t     *rdb, **rdbs;
    ngx_litestream_guard_t   *guard;
    ngx_litestream_rgroup_t  *rg;

    guard = job->data;
    rg = guard->group;

    if (rg && guard == rg->keeper) {
        rg->keeper = NULL;

    } else if (rg) {

        found = 0;
        held = 0;

        rdbs = rg->rdbs.elts;

        for (i = 0; i < rg->rdbs.nelts; i++) {
            rdb = rdbs[i];
            mark = ngx_litestream_guard_mark(guard, rdb);

            held += ((rdb->running || rdb->joining)
                     && mark == NGX_LITESTREAM_GUARD_HELD);

            if (mark == NGX_LITESTREAM_GUARD_DOING && rdb->cleared
                && !guard->ready && job->proc.pid == -1 && !job->has_result)
            {
                ngx_litestream_guard_refuse(rdb, job->result.text);
                found = 1;
            }
        }

        rg->guard = NULL;

        if (guard->timer.timer_set) {
            ngx_del_timer(&guard->timer);
        }

        if (!guard->ready || rg->state == NGX_LITESTREAM_DOWN) {

            ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                          "litestream: group %V could not be guarded: %s",
                          &rg->group->name, job->result.text[0]
                          ? job->result.text : "the job has ended");

            if (found) {
                ngx_litestream_group_kick(rg);

            } else {
                ngx_litestream_guard_later(rg);
            }

        } else if (held) {

            /* what it has not opened yet may have been begun anew since */

            ngx_litestream_group_kill(rg, "has lost its guard");

        } else {

            /* others may have come meanwhile */

            ngx_litestream_group_kick(rg);
        }
    }

    (void) munmap(guard->page, guard->size);
    ngx_free(guard);

    ngx_litestream_check_quit();
}
