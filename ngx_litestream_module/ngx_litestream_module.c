
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The core module: what happens to the supervisor at a start, a reload and in
 * the workers.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_http_litestream.h"

#include <ngx_channel.h>
#include <dlfcn.h>


/* how long a start waits for a stranger who has locked a directory, ms */
#define NGX_LITESTREAM_STRANGER  3000


static void *ngx_litestream_create_conf(ngx_cycle_t *cycle);
static char *ngx_litestream_init_conf(ngx_cycle_t *cycle, void *conf);
static void ngx_litestream_cleanup(void *data);
static ngx_int_t ngx_litestream_first_start(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
static ngx_uint_t ngx_litestream_blocking(ngx_litestream_conf_t *lcf);
static ngx_int_t ngx_litestream_first_lock(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
static ngx_int_t ngx_litestream_daemon(ngx_cycle_t *cycle);
static void ngx_litestream_reload(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
static ngx_int_t ngx_litestream_spawn(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf, ngx_int_t respawn);
static void ngx_litestream_pass_channel(ngx_cycle_t *cycle);
static void ngx_litestream_pin(ngx_log_t *log);


static ngx_core_module_t  ngx_litestream_module_ctx = {
    ngx_string("litestream"),
    ngx_litestream_create_conf,
    ngx_litestream_init_conf
};


ngx_module_t  ngx_litestream_module = {
    NGX_MODULE_V1,
    &ngx_litestream_module_ctx,            /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* the slot's name outlives every cycle, and this library is pinned */
static char         ngx_litestream_title[] = "litestream supervisor process";

static ngx_int_t    ngx_litestream_slot = -1;
static u_char       ngx_litestream_digest[16];
static ngx_uint_t   ngx_litestream_cycles;


static void *
ngx_litestream_create_conf(ngx_cycle_t *cycle)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_litestream_cleanup;

    ngx_litestream_cycles++;

    return cln;
}


/*
 * The library stays mapped once a child exists.  When the last cycle that had
 * loaded it is gone, its indices are free for other modules: a load_module
 * that comes back must get new ones.
 */

static void
ngx_litestream_cleanup(void *data)
{
#if (NGX_LITESTREAM_DYNAMIC)

    if (--ngx_litestream_cycles == 0) {
        ngx_litestream_module.index = NGX_MODULE_UNSET_INDEX;
        ngx_http_litestream_module.index = NGX_MODULE_UNSET_INDEX;
        ngx_http_litestream_module.ctx_index = NGX_MODULE_UNSET_INDEX;
    }

#endif
}


static char *
ngx_litestream_init_conf(ngx_cycle_t *cycle, void *conf)
{
    return ngx_http_litestream_check(cycle);
}


/*
 * These hooks are called through the HTTP module: linked statically, a core
 * module comes before the event modules, which have to be there.
 */

ngx_int_t
ngx_litestream_init_module(ngx_cycle_t *cycle)
{
    ngx_litestream_conf_t  *lcf;

    if (ngx_test_config) {
        return NGX_OK;
    }

    if (ngx_litestream_vfs_files(ngx_litestream_any_conf(cycle), cycle->log)
        != NGX_OK
        && ngx_is_init_cycle(cycle->old_cycle))
    {
        return NGX_ERROR;
    }

    lcf = ngx_litestream_get_conf(cycle);

    if (!ngx_is_init_cycle(cycle->old_cycle)) {

        /* NGX_ERROR would end the master here and orphan its workers */

        ngx_litestream_reload(cycle, lcf);
        return NGX_OK;
    }

    if (lcf == NULL) {
        return NGX_OK;
    }

    return ngx_litestream_first_start(cycle, lcf);
}


static ngx_int_t
ngx_litestream_first_start(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf)
{
    ngx_int_t  rc;

    if (ngx_litestream_make_path(lcf, cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    /* for the locks; others lower or raise their limits on their own */
    ngx_litestream_files(lcf->all.nelts, cycle->log);

    rc = ngx_litestream_first_lock(cycle, lcf);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && ngx_litestream_blocking(lcf)
        && ngx_litestream_foreground(cycle, lcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* that may have taken a while */
    ngx_time_update();

    /*
     * The supervisor shall be a child of the true master, so this becomes the
     * daemon now: what can fail has to have failed before.
     */

    if (ngx_litestream_daemon(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the channel sends SIGIO, which ends a process without a handler */

    if (ngx_init_signals(cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_litestream_ask_handover = (rc == NGX_BUSY);
    ngx_litestream_first = (rc == NGX_OK);

    if (ngx_litestream_spawn(cycle, lcf, NGX_PROCESS_RESPAWN) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* 1: there are databases that the start waits for */

static ngx_uint_t
ngx_litestream_blocking(ngx_litestream_conf_t *lcf)
{
    ngx_uint_t             i;
    ngx_litestream_db_t  **dbs;

    dbs = lcf->all.elts;

    for (i = 0; i < lcf->all.nelts; i++) {
        if (!dbs[i]->background) {
            return 1;
        }
    }

    return 0;
}


/*
 * NGX_OK: the lock is ours; NGX_BUSY: this is an upgrade, the old binary's
 * supervisor holds it.  What else may hold it, a Litestream that finishes its
 * last sync, is waited for; a stranger who has locked the directory of a
 * database keeps only that one from being replicated.
 */

static ngx_int_t
ngx_litestream_first_lock(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf)
{
    char        *locked;
    ngx_int_t    rc;
    ngx_uint_t   state;
    ngx_msec_t   waited;

    for (waited = 0; /* void */ ; waited += 50) {

        rc = ngx_litestream_lock(lcf, waited >= NGX_LITESTREAM_STRANGER,
                                 cycle->log);

        if (rc != NGX_BUSY) {
            return rc;
        }

        locked = ngx_litestream_locked(&state);

        if (ngx_litestream_ipc_probe(&lcf->socket, 0, cycle->log) == NGX_OK) {

            if (ngx_inherited) {
                return NGX_BUSY;
            }

            /* that one may be about to end: its master is dead */

            if (waited >= lcf->shutdown_timeout) {
                ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                              "litestream: \"%V\" is in use by the supervisor "
                              "of another nginx", &lcf->state_path);
                return NGX_ERROR;
            }
        }

        if (state && waited % 1000 == 0 && waited > lcf->shutdown_timeout) {
            ngx_litestream_orphans(lcf, cycle->log);
        }

        if (waited >= lcf->shutdown_timeout + 5000) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "litestream: \"%s\" is still locked by another "
                          "process: is another nginx or its Litestream "
                          "running on it?", locked);
            return NGX_ERROR;
        }

        if (waited == 1000) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                          "litestream: waiting for the last supervisor or "
                          "Litestream to finish, \"%s\" is locked", locked);
        }

        ngx_msleep(50);
    }
}


static ngx_int_t
ngx_litestream_daemon(ngx_cycle_t *cycle)
{
    ngx_int_t         rc;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (ngx_inherited || !ccf->daemon) {
        return NGX_OK;
    }

    rc = ngx_daemon(cycle->log);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc > 0) {

        /*
         * Debian's nginx: the parent comes back with the child's pid and has
         * to write the pid file
         */

        ngx_pid = (ngx_pid_t) rc;

        if (ngx_create_pidfile(&ccf->pid, cycle->log) != NGX_OK) {
            (void) kill((ngx_pid_t) rc, SIGKILL);
            exit(1);
        }

        exit(0);
    }

    ngx_daemonized = 1;
    ccf->daemon = 0;

    return NGX_OK;
}


static void
ngx_litestream_reload(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf)
{
    ngx_process_t  *p;

    if (lcf == NULL) {

        /* the sweep that follows tells the supervisor to quit */

        ngx_litestream_slot = -1;
        return;
    }

    if (ngx_litestream_slot != -1) {

        p = &ngx_processes[ngx_litestream_slot];

        if (p->pid != -1 && p->name == ngx_litestream_title && !p->exiting
            && !p->exited
            && ngx_memcmp(lcf->digest, ngx_litestream_digest, 16) == 0)
        {
            /* nothing has changed: kept through the sweep */

            p->just_spawn = 1;
            return;
        }
    }

    (void) ngx_litestream_make_path(lcf, cycle->log);

    ngx_litestream_ask_handover = 1;

    (void) ngx_litestream_spawn(cycle, lcf, NGX_PROCESS_JUST_RESPAWN);
}


static ngx_int_t
ngx_litestream_spawn(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf,
    ngx_int_t respawn)
{
    ngx_pid_t        pid;
    struct timespec  ts;

    ngx_litestream_pin(cycle->log);

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    ngx_litestream_generation = (uint64_t) ts.tv_sec * 1000000
                                + ts.tv_nsec / 1000 + 1;

    pid = ngx_spawn_process(cycle, ngx_litestream_supervisor_cycle, NULL,
                            ngx_litestream_title, respawn);

    /* one that the master respawns takes over by itself, and locks anew */

    ngx_litestream_ask_handover = 0;
    ngx_litestream_first = 0;
    ngx_litestream_unlock();

    /* and may find another Litestream by then */

    ngx_litestream_known[0] = '\0';

    if (pid == NGX_INVALID_PID) {
        ngx_litestream_slot = -1;
        return NGX_ERROR;
    }

    ngx_litestream_slot = ngx_process_slot;
    ngx_litestream_pass_channel(cycle);

    ngx_memcpy(ngx_litestream_digest, lcf->digest, 16);

    ngx_litestream_copy(ngx_litestream_ask_path, NGX_LITESTREAM_SOCKET_LEN + 1,
                        lcf->socket.data, lcf->socket.len);

    return NGX_OK;
}


/*
 * As nginx does for processes that it spawns: at the end of each, all others
 * are told to close what they know as its channel.  One that was never told
 * of it would close whatever has that number by now.
 */

static void
ngx_litestream_pass_channel(ngx_cycle_t *cycle)
{
    ngx_int_t      i;
    ngx_channel_t  ch;

    ngx_memzero(&ch, sizeof(ngx_channel_t));

    ch.command = NGX_CMD_OPEN_CHANNEL;
    ch.pid = ngx_processes[ngx_process_slot].pid;
    ch.slot = ngx_process_slot;
    ch.fd = ngx_processes[ngx_process_slot].channel[0];

    for (i = 0; i < ngx_last_process; i++) {

        if (i == ngx_process_slot || ngx_processes[i].pid == -1
            || ngx_processes[i].channel[0] == -1)
        {
            continue;
        }

        (void) ngx_write_channel(ngx_processes[i].channel[0], &ch,
                                 sizeof(ngx_channel_t), cycle->log);
    }
}


/*
 * ngx_processes[] points into this library, also after its load_module was
 * removed: it must never be unmapped once there is a child.
 */

static void
ngx_litestream_pin(ngx_log_t *log)
{
#if (NGX_LITESTREAM_DYNAMIC)

    Dl_info  info;

    if (dladdr(&ngx_litestream_module, &info) == 0
        || dlopen(info.dli_fname, RTLD_NOW|RTLD_NOLOAD|RTLD_NODELETE) == NULL)
    {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "litestream: cannot keep the module mapped (%s)",
                      dlerror());
    }

#endif
}


ngx_int_t
ngx_litestream_init_process(ngx_cycle_t *cycle)
{
    ngx_litestream_conf_t  *lcf;

    /* not in cache processes */

    if (ngx_process != NGX_PROCESS_WORKER) {
        return NGX_OK;
    }

    lcf = ngx_litestream_get_conf(cycle);

    if (lcf == NULL) {
        return NGX_OK;
    }

    return ngx_litestream_ipc_connect(cycle, lcf);
}


void
ngx_litestream_exit_process(ngx_cycle_t *cycle)
{
    ngx_litestream_ipc_close();
}
