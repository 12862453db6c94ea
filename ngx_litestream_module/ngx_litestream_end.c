
/*
 * Copyright (C) the ngx_litestream authors
 */


/* how a supervisor ends: quit, stop, hand-over; docs/supervision.md */


#include "ngx_litestream_supervisor.h"


/*
 * How long a supervisor that was told to terminate stays, in ms: the master
 * kills 3150 ms after that, with an alert (it waits 50 ms, twice as long each
 * time, until it has been more than a second).  What has not been synced in
 * the first second is told, as it may be the last moment.
 */

#define NGX_LITESTREAM_STOP_SYNC   1000
#define NGX_LITESTREAM_STOP_LEAVE  2200


static void ngx_litestream_follow_handler(ngx_event_t *ev);
static void ngx_litestream_final(void);
static void ngx_litestream_final_synced(ngx_litestream_waiter_t *w,
    ngx_int_t rc, uint64_t txid, char *error);
static void ngx_litestream_final_unsynced(void);
static void ngx_litestream_stop_all(void);
static void ngx_litestream_leave(void);
static ngx_uint_t ngx_litestream_ending(void);
static ngx_uint_t ngx_litestream_all_down(void);
static void ngx_litestream_release(void);


/*
 * QUIT: a first sync at once, then the workers drain, a last sync, the end.
 * TERM: one sync, and the end whatever has become of it.
 */

void
ngx_litestream_quit(ngx_uint_t terminate)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    if (ngx_litestream_sup->restore_only) {

        if (ngx_litestream_sup->terminating) {
            return;
        }

        ngx_litestream_sup->terminating = 1;

        ngx_litestream_scan_stop();

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            rdb = ngx_litestream_sup->rdbs[i];

            if (rdb->job) {
                ngx_litestream_job_kill(rdb->job);
            }
        }

        if (ngx_litestream_children() == 0) {
            ngx_litestream_exit(1);
        }

        return;
    }

    if (terminate) {

        if (ngx_litestream_sup->terminating) {
            return;
        }

        ngx_litestream_sup->terminating = 1;
        ngx_litestream_sup->leave = ngx_current_msec
                                    + NGX_LITESTREAM_STOP_LEAVE;

        if (ngx_litestream_sup->final) {

            /* quit was under way: less time is left now */

            ngx_litestream_quit_handler(&ngx_litestream_sup->quit_timer);
            return;
        }

        ngx_litestream_check_quit();
        return;
    }

    if (ngx_litestream_sup->quitting) {
        return;
    }

    ngx_litestream_sup->quitting = 1;

    if (ngx_litestream_sup->holder && !ngx_litestream_sup->leaving) {

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            rdb = ngx_litestream_sup->rdbs[i];

            if (rdb->running && rdb->st.state != NGX_LITESTREAM_DB_NEW) {
                ngx_litestream_sync(rdb, NULL);
            }
        }
    }

    ngx_litestream_check_quit();
}


/*
 * A successor asks: everything is ended in order, then the lock is free.  One
 * of an earlier reload that still asks is none.
 */

void
ngx_litestream_handover(uint64_t generation)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    if (!ngx_litestream_sup->holder || ngx_litestream_sup->leaving
        || ngx_litestream_sup->stopping
        || generation < ngx_litestream_generation)
    {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                  "litestream: supervisor %P hands over", ngx_pid);

    ngx_litestream_sup->leaving = 1;
    ngx_litestream_sup->deadline = ngx_current_msec
                           + ngx_litestream_sup->conf->shutdown_timeout;

    ngx_litestream_scan_stop();

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
        rdb = ngx_litestream_sup->rdbs[i];

        if (rdb->job) {
            ngx_litestream_job_kill(rdb->job);
        }

        if (rdb->verify) {
            ngx_litestream_job_kill(rdb->verify);
        }

        if (rdb->group->look) {
            ngx_litestream_job_kill(rdb->group->look);
        }

        if (rdb->point) {
            ngx_litestream_job_kill(rdb->point);
        }

        ngx_litestream_listing_kill(rdb);

        if (rdb->retry.timer_set) {
            ngx_del_timer(&rdb->retry);
        }
    }

    ngx_litestream_stop_all();

    ngx_add_timer(&ngx_litestream_sup->quit_timer, 1);
}


static void
ngx_litestream_stop_all(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        ngx_litestream_group_stop(&ngx_litestream_sup->rgroups[i]);
    }
}


/*
 * How long a Litestream that was told to end may take, in ms.  After a stop
 * nothing is lost with it, since all syncs were confirmed.
 */

ngx_msec_t
ngx_litestream_stop_limit(void)
{
    ngx_msec_int_t                left;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (!sup->stopping) {
        return sup->conf->shutdown_timeout;
    }

    if (sup->terminating) {
        return 500;
    }

    left = (ngx_msec_int_t) (sup->deadline - ngx_current_msec);

    return ngx_max(left, 1000);
}


/* 1: a Litestream has been told to end, to be started with other databases */

static ngx_uint_t
ngx_litestream_ending(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        if (ngx_litestream_sup->rgroups[i].state == NGX_LITESTREAM_STOPPING) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_litestream_all_down(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        if (ngx_litestream_sup->rgroups[i].proc.pid != -1) {
            return 0;
        }
    }

    return ngx_litestream_children() == 0;
}


/* called after whatever may have been waited for; goes one step on */

void
ngx_litestream_check_quit(void)
{
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (sup->restore_only) {

        if (sup->unplaced == 0 && ngx_litestream_children() == 0) {
            ngx_litestream_exit(sup->failed || sup->terminating);
        }

        return;
    }

    if (!sup->quitting && !sup->terminating && !sup->orphan && !sup->leaving) {
        return;
    }

    /* what follows may free what our caller still uses */

    if (!sup->quit_timer.timer_set
        || (ngx_msec_int_t) (sup->quit_timer.timer.key - ngx_current_msec) > 1)
    {
        if (sup->quit_timer.timer_set) {
            ngx_del_timer(&sup->quit_timer);
        }

        ngx_add_timer(&sup->quit_timer, 1);
    }
}


void
ngx_litestream_quit_handler(ngx_event_t *ev)
{
    ngx_msec_int_t                left;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (!sup->holder) {

        if (sup->quitting || sup->terminating || sup->orphan) {
            ngx_litestream_exit(0);
        }

        return;
    }

    if (sup->terminating
        && (ngx_msec_int_t) (sup->leave - ngx_current_msec) <= 0)
    {
        ngx_litestream_leave();
    }

    if (sup->leaving) {

        if (ngx_litestream_all_down()) {
            ngx_litestream_release();
            return;
        }

        left = sup->terminating
               ? (ngx_msec_int_t) (sup->leave - ngx_current_msec) : 500;

        ngx_add_timer(ev, ngx_max(1, ngx_min(left, 500)));
        return;
    }

    if (!sup->final) {

        if (!sup->terminating && sup->workers) {
            return;
        }

        ngx_litestream_final();
    }

    if (!sup->stopping) {

        if (sup->terminating) {
            sup->deadline = ngx_min(sup->deadline,
                                    ngx_current_msec
                                    + NGX_LITESTREAM_STOP_SYNC);
        }

        left = (ngx_msec_int_t) (sup->deadline - ngx_current_msec);

        if (sup->unsynced && left > 0) {
            ngx_add_timer(ev, left);
            return;
        }

        sup->stopping = 1;
        sup->deadline = ngx_max(sup->deadline, ngx_current_msec + 1000);

        ngx_litestream_final_unsynced();
    }

    if (!sup->told) {

        if (sup->terminating && sup->missed) {

            if (sup->unsynced || ngx_litestream_ending()) {
                ngx_add_timer(ev, sup->leave - ngx_current_msec);
                return;
            }

            ngx_litestream_leave();
        }

        sup->told = 1;

        ngx_litestream_stop_all();
    }

    if (ngx_litestream_all_down()) {
        ngx_litestream_exit(0);
    }

    /* each process has its own limit, this is for what is forgotten */

    left = sup->terminating ? (ngx_msec_int_t) (sup->leave - ngx_current_msec)
                            : 500;

    ngx_add_timer(ev, ngx_max(1, ngx_min(left, 500)));
}


/*
 * What has not been synced yet Litestream does better alone: it gets TERM by
 * our end, and makes a last sync of everything while it has the locks, for as
 * long as litestream_shutdown_timeout says.  It is not told before: at a second
 * TERM it would leave out what it has not uploaded until then.
 */

static void
ngx_litestream_leave(void)
{
    ngx_uint_t                n;
    ngx_litestream_rgroup_t  *rg;

    ngx_litestream_final_unsynced();

    for (n = 0; n < ngx_litestream_sup->conf->groups.nelts; n++) {
        rg = &ngx_litestream_sup->rgroups[n];

        if (rg->proc.pid != -1) {
            ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                          "litestream: litestream process %P of group %V is "
                          "left to its last sync, %M ms at most",
                          rg->proc.pid, &rg->group->name,
                          ngx_litestream_sup->conf->shutdown_timeout);
        }
    }

    ngx_litestream_limit(ngx_litestream_sup->conf->shutdown_timeout);

    ngx_litestream_exit(0);
}


/* the last sync of every database; nobody writes any more, or must hurry */

static void
ngx_litestream_final(void)
{
    ngx_uint_t                    i;
    ngx_litestream_rdb_t         *rdb;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    sup->final = 1;
    sup->state = NGX_LITESTREAM_STOPPING;
    sup->deadline = ngx_current_msec
                    + (sup->terminating ? NGX_LITESTREAM_STOP_SYNC
                                        : sup->conf->shutdown_timeout);

    ngx_litestream_scan_stop();

    for (i = 0; i < sup->conf->dbs.nelts; i++) {

        rdb = sup->rdbs[i];

        if (rdb->job) {
            ngx_litestream_job_kill(rdb->job);
        }

        if (rdb->verify) {
            ngx_litestream_job_kill(rdb->verify);
        }

        if (rdb->group->look) {
            ngx_litestream_job_kill(rdb->group->look);
        }

        if (rdb->point) {
            ngx_litestream_job_kill(rdb->point);
        }

        ngx_litestream_listing_kill(rdb);

        if (rdb->retry.timer_set) {
            ngx_del_timer(&rdb->retry);
        }

        ngx_litestream_watch(rdb);

        /* what was never made needs no sync */

        if (!rdb->db->replicate || rdb->st.size <= 0) {
            continue;
        }

        rdb->waits = 1;

        if (!rdb->running || rdb->group->state == NGX_LITESTREAM_STOPPING) {
            continue;
        }

        sup->unsynced++;

        rdb->last.handler = ngx_litestream_final_synced;
        rdb->last.data = rdb;
        rdb->last.start = ngx_current_msec;
        rdb->last.deadline = (sup->terminating ? sup->leave : sup->deadline)
                             - 50;

        ngx_litestream_sync(rdb, &rdb->last);
    }

    ngx_litestream_status_super_write();
}


static void
ngx_litestream_final_synced(ngx_litestream_waiter_t *w, ngx_int_t rc,
    uint64_t txid, char *error)
{
    ngx_litestream_rdb_t  *rdb;

    rdb = w->data;

    ngx_litestream_sup->unsynced--;

    if (rc == NGX_OK) {
        rdb->waits = 0;

        if (rdb->missed) {
            rdb->missed = 0;
            ngx_litestream_sup->missed--;

            ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                          "litestream: database \"%V\" was synced after all",
                          &rdb->db->alias);
        }
    }

    ngx_litestream_check_quit();
}


/* said before anything else is waited for: the next may be a KILL */

static void
ngx_litestream_final_unsynced(void)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (!rdb->waits) {
            continue;
        }

        rdb->waits = 0;
        rdb->missed = rdb->running;
        ngx_litestream_sup->missed += rdb->running;

        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was not synced before the "
                      "end: its last commits may not be in \"%V\"%s%s",
                      &rdb->db->alias, &rdb->db->replica->url,
                      rdb->st.error[0] ? ": " : "", rdb->st.error);
    }
}


/* the lock goes to the successor; this one waits for QUIT, or to follow it */

static void
ngx_litestream_release(void)
{
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    ngx_litestream_memory_flush();

    sup->st.clean = NGX_LITESTREAM_CLEAN_HANDOVER;
    ngx_litestream_status_super_write();

    sup->holder = 0;
    sup->leaving = 0;
    sup->state = NGX_LITESTREAM_STANDBY;

    ngx_litestream_unlock();
    ngx_litestream_ipc_unlisten();

    if (sup->quitting || sup->terminating || sup->orphan) {
        ngx_litestream_exit(0);
    }

    /*
     * The master's QUIT follows within 100 ms of a reload.  In an upgrade it
     * does not come: should the lock be free again, the new binary is gone,
     * and a fresh process of the old one takes over.
     */

    sup->lock_timer.handler = ngx_litestream_follow_handler;
    ngx_add_timer(&sup->lock_timer, 2000);
}


static void
ngx_litestream_follow_handler(ngx_event_t *ev)
{
    if (ngx_litestream_lock(ngx_litestream_sup->conf, 1,
                            ngx_litestream_sup->log)
        == NGX_OK)
    {
        /* the master respawns us */
        ngx_litestream_exit(0);
    }

    ngx_add_timer(ev, 1000);
}


void
ngx_litestream_exit(int status)
{
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (sup->holder) {

        ngx_litestream_memory_flush();

        if (sup->restore_only && status) {
            ngx_litestream_start_failed();
        }

        /* those who remain are of another master, whose supervisor follows */

        sup->st.clean = ((sup->restore_only && status == 0) || sup->others)
                        ? NGX_LITESTREAM_CLEAN_HANDOVER
                        : NGX_LITESTREAM_CLEAN_END;
        ngx_litestream_status_super_write();

        if (!sup->restore_only) {

            (void) unlink((char *) sup->conf->socket.data);

            ngx_log_error(NGX_LOG_NOTICE, sup->log, 0,
                          "litestream: supervisor %P ends", ngx_pid);
        }
    }

    exit(status);
}
