
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The supervisor process: its loop, its roles (it waits for the lock, holds
 * it, hands it over), and its end.  docs/supervision.md tells the story.
 */


#include "ngx_litestream_supervisor.h"

#include <ngx_channel.h>


static void ngx_litestream_supervisor_failed(void);
static void ngx_litestream_close_old(ngx_cycle_t *cycle);
static ngx_msec_t ngx_litestream_storm(void);
static void ngx_litestream_lock_handler(ngx_event_t *ev);
static ngx_uint_t ngx_litestream_ask_holder(void);
static ngx_uint_t ngx_litestream_group_background(
    ngx_litestream_rgroup_t *rg);


ngx_litestream_supervisor_t   *ngx_litestream_sup;

/* set in the master around the fork: this one may ask for a hand-over */
ngx_uint_t                     ngx_litestream_ask_handover;

/* when init_module has spawned it, also of one that the master respawned */
uint64_t                       ngx_litestream_generation;

/* where the last one listens, when that is another state path */
char                           ngx_litestream_ask_path[
                                   NGX_LITESTREAM_SOCKET_LEN + 1];
/* the same: nothing is known of the databases, whatever the status says */
ngx_uint_t                     ngx_litestream_first;


/* known from the foreground restore, inherited */
char                           ngx_litestream_known[32];
static ngx_uint_t              ngx_litestream_begun;


int64_t
ngx_litestream_now(void)
{
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    return (int64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;
}


ngx_int_t
ngx_litestream_supervisor_alloc(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf)
{
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_litestream_db_t     **dbs;
    ngx_litestream_group_t  **groups;
    ngx_litestream_rgroup_t  *rg;

    pool = ngx_create_pool(16384, cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_sup = ngx_pcalloc(pool,
                                     sizeof(ngx_litestream_supervisor_t));
    if (ngx_litestream_sup == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_sup->cycle = cycle;
    ngx_litestream_sup->conf = lcf;
    ngx_litestream_sup->pool = pool;
    ngx_litestream_sup->log = lcf->log ? lcf->log : cycle->log;
    ngx_litestream_sup->report = -1;
    ngx_litestream_sup->state = NGX_LITESTREAM_STANDBY;
    ngx_litestream_sup->st.started = ngx_litestream_now();

    ngx_memcpy(ngx_litestream_sup->version, ngx_litestream_known,
               sizeof(ngx_litestream_known));

    ngx_litestream_sup->rgroups = ngx_pcalloc(pool, lcf->groups.nelts
                                              * sizeof(*rg));
    if (ngx_litestream_sup->rgroups == NULL) {
        return NGX_ERROR;
    }

    groups = lcf->groups.elts;

    for (i = 0; i < lcf->groups.nelts; i++) {
        rg = &ngx_litestream_sup->rgroups[i];
        rg->group = groups[i];

        if (ngx_array_init(&rg->rdbs, pool, ngx_max(groups[i]->dbs.nelts, 1),
                           sizeof(ngx_litestream_rdb_t *))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    dbs = lcf->dbs.elts;

    for (i = 0; i < lcf->dbs.nelts; i++) {
        if (ngx_litestream_rdb_add(dbs[i]) == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_litestream_scan_init() != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < lcf->groups.nelts; i++) {
        if (ngx_litestream_group_init(&ngx_litestream_sup->rgroups[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_litestream_job_init(cycle);
}


/* what every nginx process does at its start, for a process of this kind */

ngx_int_t
ngx_litestream_supervisor_init(ngx_cycle_t *cycle)
{
    ngx_uint_t              i, n;
    ngx_litestream_conf_t  *lcf;

    /* init_module runs while ngx_cycle is still the previous one */

    ngx_cycle = cycle;
    ngx_process = NGX_PROCESS_HELPER;
    ngx_pid = ngx_getpid();
    ngx_use_stderr = ngx_litestream_sup->restore_only;

    /* socket files of the listeners stay: a helper does not remove them */

    ngx_close_listening_sockets(cycle);

    lcf = ngx_litestream_sup->conf;

    /* jobs of each class, and for each group its log, guard and calls */

    n = lcf->dirs.nelts ? (ngx_uint_t) lcf->concurrency
        : ngx_min((ngx_uint_t) lcf->concurrency, lcf->dbs.nelts);

    n = 64 + 3 * n + (NGX_LITESTREAM_SYNCS + 5 + 3) * lcf->groups.nelts
        + 2 * lcf->dirs.nelts;

    ngx_litestream_files(n + lcf->dbs.nelts + lcf->dirs.nelts, cycle->log);

    cycle->connection_n = n + NGX_LITESTREAM_PEERS + 16;

    for (i = 0; cycle->modules[i]; i++) {
        if (cycle->modules[i]->type == NGX_EVENT_MODULE
            && cycle->modules[i]->init_process
            && cycle->modules[i]->init_process(cycle) == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    ngx_use_accept_mutex = 0;

    if (ngx_litestream_signals(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_litestream_control_init(cycle);
}


/*
 * The supervisor: run by ngx_spawn_process(), a child of the master.  It ends
 * with 0 or 1 and never with 2, which means "do not respawn" to the master.
 */

void
ngx_litestream_supervisor_cycle(ngx_cycle_t *cycle, void *data)
{
    ngx_int_t               n;
    ngx_open_file_t        *file;
    ngx_litestream_conf_t  *lcf;

    (void) atexit(ngx_litestream_supervisor_failed);

    lcf = ngx_litestream_get_conf(cycle);

    if (lcf == NULL
        || ngx_litestream_supervisor_alloc(cycle, lcf) != NGX_OK)
    {
        exit(1);
    }

    ngx_litestream_sup->master = ngx_getppid();
    ngx_litestream_sup->ask_handover = ngx_litestream_ask_handover;
    ngx_litestream_sup->first = ngx_litestream_first;

    ngx_setproctitle("litestream supervisor process");

    for (n = 0; n < ngx_last_process; n++) {

        if (ngx_processes[n].pid == -1 || n == ngx_process_slot
            || ngx_processes[n].channel[1] == -1)
        {
            continue;
        }

        (void) close(ngx_processes[n].channel[1]);
    }

    (void) close(ngx_processes[ngx_process_slot].channel[0]);

    /* main() closes the log of the start later: others never have it */

    if (ngx_use_stderr) {
        file = cycle->old_cycle->log->file;

        if (file->fd != ngx_stderr) {
            (void) ngx_close_file(file->fd);
            file->fd = ngx_stderr;
        }
    }

    if (cycle->old_cycle) {
        ngx_litestream_close_old(cycle->old_cycle);
    }

    (void) ngx_log_redirect_stderr(cycle);

    if (ngx_litestream_supervisor_init(cycle) != NGX_OK
        || ngx_add_channel_event(cycle, ngx_channel, NGX_READ_EVENT,
                                 ngx_litestream_channel_handler)
           == NGX_ERROR)
    {
        exit(1);
    }

    ngx_litestream_begun = 1;

    ngx_litestream_sup->tick.handler = ngx_litestream_tick_handler;
    ngx_litestream_sup->tick.log = cycle->log;
    ngx_litestream_sup->tick.data = &ngx_litestream_sup->tick;

    ngx_litestream_sup->lock_timer.handler = ngx_litestream_lock_handler;
    ngx_litestream_sup->lock_timer.log = cycle->log;
    ngx_litestream_sup->lock_timer.data = &ngx_litestream_sup->lock_timer;

    ngx_litestream_sup->quit_timer.handler = ngx_litestream_quit_handler;
    ngx_litestream_sup->quit_timer.log = cycle->log;
    ngx_litestream_sup->quit_timer.data = &ngx_litestream_sup->quit_timer;

    ngx_litestream_sup->lock_since = ngx_current_msec;

    ngx_add_timer(&ngx_litestream_sup->tick, NGX_LITESTREAM_TICK);

    if (ngx_litestream_lock_held()) {
        ngx_litestream_take_over();

    } else {
        ngx_add_timer(&ngx_litestream_sup->lock_timer,
                      ngx_litestream_storm());
    }

    for ( ;; ) {
        ngx_process_events_and_timers(cycle);
    }
}


/*
 * Called by exit().  nginx's event modules say exit(2) when they cannot have
 * what they need, and a supervisor that cannot begin is respawned at once: it
 * is to be tried again, after a pause.
 */

static void
ngx_litestream_supervisor_failed(void)
{
    if (ngx_litestream_begun) {
        return;
    }

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "litestream: the supervisor could not be started");

    ngx_msleep(1000);

    _exit(1);
}


/*
 * What the master is about to close once the new configuration is in use: we
 * were made a moment before that, and a port would stay in use with us.
 */

static void
ngx_litestream_close_old(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_listening_t  *ls;
    ngx_open_file_t  *file;

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (!ls[i].remain && ls[i].fd != (ngx_socket_t) -1) {
            (void) ngx_close_socket(ls[i].fd);
        }
    }

    part = &cycle->open_files.part;
    file = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            file = part->elts;
            i = 0;
        }

        if (file[i].fd != NGX_INVALID_FILE && file[i].fd != ngx_stderr) {
            (void) ngx_close_file(file[i].fd);
        }
    }
}


/*
 * A supervisor that keeps dying right after its start is respawned by the
 * master without a pause: it makes the pause itself.  Returns ms.
 */

static ngx_msec_t
ngx_litestream_storm(void)
{
    uint32_t                       n;
    ngx_litestream_super_status_t  old;

    if (ngx_litestream_sup->ask_handover) {
        return 1;
    }

    if (ngx_litestream_status_open(&ngx_litestream_sup->conf->status,
                                   ngx_litestream_sup->log)
        != NGX_OK
        || ngx_litestream_status_super(&old) != NGX_OK)
    {
        return 500;
    }

    if (old.clean != NGX_LITESTREAM_CLEAN_NOT
        || old.heartbeat - old.started > 2000)
    {
        return 1;
    }

    n = ngx_min(old.storm, 5);
    ngx_litestream_sup->st.storm = old.storm + 1;

    return n ? ngx_min(500u << n, NGX_LITESTREAM_BACKOFF_MAX) : 1;
}


static void
ngx_litestream_lock_handler(ngx_event_t *ev)
{
    char        *locked;
    ngx_int_t    rc;
    ngx_uint_t   alone, state;
    ngx_msec_t   waited, delay;

    if (ngx_litestream_sup->quitting || ngx_litestream_sup->terminating) {
        return;
    }

    waited = ngx_current_msec - ngx_litestream_sup->lock_since;

    /*
     * with another state path the last supervisor still has the directories
     * of the databases; else whoever has one is a stranger
     */

    alone = !ngx_litestream_sup->ask_handover
            || waited > ngx_litestream_sup->conf->shutdown_timeout + 1000;

    rc = ngx_litestream_lock(ngx_litestream_sup->conf, alone,
                             ngx_litestream_sup->log);

    if (rc == NGX_OK) {
        ngx_litestream_take_over();
        return;
    }

    delay = (rc == NGX_ERROR) ? 1000 : waited < 1000 ? 10 : 100;

    if (rc == NGX_BUSY) {

        if (!ngx_litestream_ask_holder()
            && waited > ngx_min(ngx_litestream_sup->conf->shutdown_timeout,
                                NGX_LITESTREAM_ORPHAN)
            && ngx_litestream_ipc_probe(&ngx_litestream_sup->conf->socket, 0,
                                        ngx_litestream_sup->log)
               != NGX_OK)
        {
            if (ngx_current_msec - ngx_litestream_sup->orphans >= 1000) {
                ngx_litestream_sup->orphans = ngx_current_msec;
                ngx_litestream_orphans(ngx_litestream_sup->conf,
                                       ngx_litestream_sup->log);
            }

            delay = 50;
        }

        if (waited / 10000 > ngx_litestream_sup->lock_said) {
            ngx_litestream_sup->lock_said = waited / 10000;

            locked = ngx_litestream_locked(&state);

            ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                          "litestream: supervisor %P stands by, \"%s\" is "
                          "locked for %M s", ngx_pid, locked, waited / 1000);
        }
    }

    ngx_add_timer(ev, delay);
}


/*
 * Asks whoever holds the lock to hand over, if that is for us to ask.  Again
 * and again: between two reloads the holder may become another one, which has
 * not been asked.  1: somebody is there.
 */

static ngx_uint_t
ngx_litestream_ask_holder(void)
{
    ngx_str_t                     last;
    ngx_int_t                     rc;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (!sup->ask_handover) {
        return 0;
    }

    if (sup->asked && ngx_current_msec - sup->asked < 1000) {
        return sup->answered;
    }

    sup->asked = ngx_current_msec;

    rc = ngx_litestream_ipc_probe(&sup->conf->socket,
                                  ngx_litestream_generation, sup->log);

    if (rc != NGX_OK && ngx_litestream_ask_path[0]) {

        last.data = (u_char *) ngx_litestream_ask_path;
        last.len = ngx_strlen(last.data);

        rc = ngx_litestream_ipc_probe(&last, ngx_litestream_generation,
                                      sup->log);
    }

    sup->answered = (rc == NGX_OK);

    return sup->answered;
}


/* the locks are ours: from here on this process is the supervisor */

void
ngx_litestream_take_over(void)
{
    int64_t                size;
    uint64_t               dev, ino;
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    ngx_litestream_sup->holder = 1;
    ngx_litestream_sup->ask_handover = 0;
    ngx_litestream_sup->state = NGX_LITESTREAM_UP;
    ngx_litestream_sup->st.clean = NGX_LITESTREAM_CLEAN_NOT;
    ngx_litestream_sup->st.started = ngx_litestream_now();

    if (ngx_litestream_status_create() != NGX_OK
        || (!ngx_litestream_sup->restore_only
            && ngx_litestream_ipc_listen() != NGX_OK))
    {
        if (ngx_litestream_sup->restore_only) {
            ngx_litestream_exit(1);
        }

        /* e.g. a full disk: tried again, the databases are served anyway */

        ngx_litestream_sup->holder = 0;
        ngx_litestream_sup->state = NGX_LITESTREAM_STANDBY;
        ngx_litestream_unlock();
        ngx_add_timer(&ngx_litestream_sup->lock_timer, 1000);
        return;
    }

    if (ngx_litestream_sup->version[0]) {
        (void) ngx_litestream_kind_set(ngx_litestream_sup->version);
    }

    ngx_litestream_memory_load();
    ngx_litestream_sweep();

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        ngx_litestream_sup->rgroups[i].files =
            ngx_litestream_group_files(&ngx_litestream_sup->rgroups[i])
            == NGX_OK;

        if (!ngx_litestream_sup->rgroups[i].files
            && ngx_litestream_sup->restore_only
            && !ngx_litestream_group_background(
                                          &ngx_litestream_sup->rgroups[i]))
        {
            ngx_litestream_exit(1);
        }

        ngx_litestream_sweep_left(ngx_litestream_sup->rgroups[i].group,
                                  "verify-");
        ngx_litestream_status_group_write(&ngx_litestream_sup->rgroups[i]);
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        /* the first request may come before anything else is known of it */

        if (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN
            && ngx_litestream_identity(rdb->db->path.data, &dev, &ino, &size)
               == NGX_OK
            && size > 0)
        {
            rdb->st.in_place = 1;
        }

        ngx_litestream_status_db_write(rdb);
    }

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {
        ngx_litestream_status_dir_write(&ngx_litestream_sup->rdirs[i]);
    }

    ngx_litestream_status_super_write();

    if (!ngx_litestream_sup->restore_only) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: supervisor %P has taken over", ngx_pid);
    }

    if (ngx_litestream_sup->version[0]) {
        ngx_litestream_version_known();
        return;
    }

    ngx_litestream_version();
}


/* 1: no start of nginx waits for any database of the group */

static ngx_uint_t
ngx_litestream_group_background(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i;
    ngx_litestream_rdb_t  **rdbs;
    ngx_litestream_dir_t  **dirs;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        if (!rdbs[i]->db->background) {
            return 0;
        }
    }

    dirs = rg->group->dirs.elts;

    for (i = 0; i < rg->group->dirs.nelts; i++) {
        if (!dirs[i]->db->background) {
            return 0;
        }
    }

    return 1;
}


void
ngx_litestream_tick_handler(ngx_event_t *ev)
{
    int64_t                   now, limit;
    ngx_uint_t                i;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_rgroup_t  *rg;

    ngx_add_timer(ev, NGX_LITESTREAM_TICK);

    if (ngx_litestream_sup->restore_only) {
        ngx_litestream_progress();
        ngx_litestream_status_super_write();
        return;
    }

    if (!ngx_litestream_sup->orphan
        && ngx_getppid() != ngx_litestream_sup->master)
    {
        ngx_litestream_sup->orphan = 1;

        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: the master process has died, the "
                      "supervisor ends after the last worker");
        ngx_litestream_check_quit();
    }

    if (!ngx_litestream_sup->holder) {
        return;
    }

    if (ngx_litestream_sup->st.storm
        && ngx_litestream_now() - ngx_litestream_sup->st.started > 2000)
    {
        ngx_litestream_sup->st.storm = 0;
    }

    now = ngx_litestream_now();

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {

        rg = &ngx_litestream_sup->rgroups[i];

        if (!rg->files) {
            rg->files = (ngx_litestream_group_files(rg) == NGX_OK);
        }

        ngx_litestream_poll(rg);
        ngx_litestream_group_second(rg);
        ngx_litestream_status_group_write(rg);
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (rdb->db->gone) {
            continue;
        }

        ngx_litestream_watch(rdb);

        /*
         * one that has not been synced yet, or is late: asked for, since
         * Litestream's own attempts come minutes apart after an outage
         */

        limit = rdb->ailing ? (int64_t) rdb->db->sync_interval
                            : (int64_t) rdb->st.lag_limit_ms;

        if (rdb->running && rdb->group->state == NGX_LITESTREAM_UP
            && rdb->st.state != NGX_LITESTREAM_DB_NEW && !rdb->syncing
            && (!rdb->synced || ngx_litestream_lag(&rdb->st, now) > limit))
        {
            ngx_litestream_sync(rdb, NULL);
        }

        ngx_litestream_status_db_write(rdb);
    }

    ngx_litestream_scan_tick();
    ngx_litestream_listing_tick();
    ngx_litestream_memory_save();
    ngx_litestream_status_super_write();
}


/*
 * own: a child of our master, or of one that is dead.  In an upgrade and in a
 * roll-back there are others, whose supervisor comes after us: they are served
 * as well, and not waited for at the end.
 */

void
ngx_litestream_worker_came(ngx_uint_t own)
{
    ngx_uint_t  i;

    if (own) {
        ngx_litestream_sup->workers++;

    } else {
        ngx_litestream_sup->others++;
    }

    if (ngx_litestream_sup->had_worker) {
        ngx_litestream_scan_again();
        return;
    }

    ngx_litestream_sup->had_worker = 1;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        ngx_litestream_group_kick(&ngx_litestream_sup->rgroups[i]);
    }
}


void
ngx_litestream_worker_gone(ngx_uint_t own)
{
    if (!own) {
        ngx_litestream_sup->others--;
        return;
    }

    ngx_litestream_sup->workers--;

    ngx_litestream_check_quit();
}
