
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Names of states, and what a reader makes of the status file.  The module
 * and the command are built with it.
 */


#include "ngx_litestream_shared.h"


/* a heartbeat comes each second, ms */
#define NGX_LITESTREAM_HEARTBEAT  5000


char  *ngx_litestream_state_names[] = {
    "down", "restoring", "starting", "up",
    "stopping", "backoff", "failed", "standby"
};


char  *ngx_litestream_db_state_names[] = {
    "new", "missing", "restoring", "checking",
    "starting", "replicating", "lagging", "error"
};


char  *ngx_litestream_dir_state_names[] = {
    "starting", "found", "error"
};


char  *ngx_litestream_restore_state_names[] = {
    "none", "running", "done", "failed"
};


uintptr_t
ngx_litestream_alive(ngx_litestream_super_status_t *st, int64_t now)
{
    /* a heartbeat from the future: the clock was set back */

    return st->pid && st->clean != NGX_LITESTREAM_CLEAN_END
           && now - st->heartbeat < NGX_LITESTREAM_HEARTBEAT;
}


int64_t
ngx_litestream_lag(ngx_litestream_db_status_t *st, int64_t now)
{
    if (st->last_sync_at == 0) {
        return -1;
    }

    return now > st->last_sync_at ? now - st->last_sync_at : 0;
}


uintptr_t
ngx_litestream_db_state(ngx_litestream_db_status_t *st, int64_t now)
{
    if (st->state == NGX_LITESTREAM_DB_REPLICATING
        && ngx_litestream_lag(st, now) > (int64_t) st->lag_limit_ms)
    {
        return NGX_LITESTREAM_DB_LAGGING;
    }

    return st->state;
}
