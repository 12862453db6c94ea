
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What becomes of the databases when a supervisor takes over: they are there,
 * or are brought into place, and compared with their replicas then.
 */


#include "ngx_litestream_supervisor.h"


static void ngx_litestream_placed_status(ngx_litestream_rdb_t *rdb);


/*
 * All databases, once Litestream is known to be of use.  Supervisor, and the
 * foreground restore, which ends here when there is nothing to do; does not
 * block.
 */

void
ngx_litestream_place_all(void)
{
    int64_t                size;
    uint64_t               dev, ino;
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    ngx_litestream_sup->unplaced = ngx_litestream_sup->conf->dbs.nelts;

    /* it ends when nothing is left to be waited for */

    ngx_litestream_scan_all();

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];
        rdb->fault = 0;

        if (ngx_litestream_sup->restore_only && rdb->db->background) {
            ngx_litestream_sup->unplaced--;
            continue;
        }

        if (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN
            || rdb->db->outcome == NGX_LITESTREAM_OUTCOME_ERROR)
        {
            rc = ngx_litestream_identity(rdb->db->path.data, &dev, &ino,
                                         &size);

            /* nothing to restore: no job is needed to see that */

            if (rc == NGX_OK && size > 0) {
                rdb->db->outcome = NGX_LITESTREAM_OUTCOME_PRESENT;
            }

            /* a predecessor has proven it */

            if (rc == NGX_DECLINED && rdb->st.state == NGX_LITESTREAM_DB_NEW) {
                rdb->db->outcome = NGX_LITESTREAM_OUTCOME_NEW;
            }
        }

        if (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN
            || rdb->db->outcome == NGX_LITESTREAM_OUTCOME_ERROR)
        {
            rdb->st.state = NGX_LITESTREAM_DB_STARTING;
            rdb->st.in_place = 0;
            ngx_litestream_place(rdb);
            continue;
        }

        ngx_litestream_placed(rdb);
    }

    if (ngx_litestream_sup->restore_only && ngx_litestream_sup->unplaced == 0)
    {
        ngx_litestream_exit(0);
    }
}


/* db->outcome is known: a database is in place, or the restore has failed */

void
ngx_litestream_placed(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_db_t  *db;

    db = rdb->db;

    if (ngx_litestream_sup->restore_only) {

        ngx_litestream_report(rdb);

        /* the first request may come before the supervisor has looked */

        rdb->st.in_place = (db->outcome != NGX_LITESTREAM_OUTCOME_ERROR
                            && db->outcome != NGX_LITESTREAM_OUTCOME_OFF);
        ngx_litestream_status_db_write(rdb);

        if (db->outcome == NGX_LITESTREAM_OUTCOME_ERROR
            && !ngx_litestream_sup->failed
            && !ngx_litestream_sup->terminating)
        {
            ngx_log_error(NGX_LOG_EMERG, ngx_litestream_sup->log, 0,
                          "litestream: database \"%V\": %s", &db->alias,
                          rdb->st.restore_error);

            ngx_litestream_start_error(db, rdb->st.restore_error);

            /* what else is under way ends with it */

            ngx_litestream_sup->failed = 1;
            ngx_litestream_quit(1);
        }

        if (db->outcome != NGX_LITESTREAM_OUTCOME_ERROR) {

            /* workers may look before the supervisor has taken over */

            ngx_litestream_placed_status(rdb);
        }

        if (--ngx_litestream_sup->unplaced == 0) {
            ngx_litestream_check_quit();
        }

        return;
    }

    rdb->placed = 1;
    rdb->fault = 0;
    rdb->delay = 0;

    ngx_litestream_placed_status(rdb);

    ngx_litestream_check(rdb);
}


static void
ngx_litestream_placed_status(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_db_t  *db;

    db = rdb->db;

    rdb->st.error[0] = '\0';
    rdb->st.in_place = 1;
    rdb->st.restore_failures = 0;

    switch (db->outcome) {

    case NGX_LITESTREAM_OUTCOME_RESTORED:
        rdb->st.restore_state = NGX_LITESTREAM_RESTORE_DONE;
        rdb->st.restore_error[0] = '\0';
        rdb->st.restore_txid = db->restored_txid;
        rdb->st.restore_bytes = db->restored_bytes;
        rdb->st.restore_total = db->restored_bytes;
        rdb->st.restore_ms = db->restored_ms;
        break;

    case NGX_LITESTREAM_OUTCOME_NEW:
        rdb->st.state = NGX_LITESTREAM_DB_NEW;
        break;

    case NGX_LITESTREAM_OUTCOME_OFF:
        rdb->st.state = NGX_LITESTREAM_DB_MISSING;
        rdb->st.in_place = 0;
        break;

    default:

        if (rdb->st.restore_state == NGX_LITESTREAM_RESTORE_RUNNING) {
            rdb->st.restore_state = NGX_LITESTREAM_RESTORE_NONE;
        }
    }

    if (db->outcome == NGX_LITESTREAM_OUTCOME_PRESENT
        || db->outcome == NGX_LITESTREAM_OUTCOME_RESTORED)
    {
        rdb->st.state = db->replicate ? NGX_LITESTREAM_DB_STARTING
                                      : NGX_LITESTREAM_DB_NEW;
    }

    ngx_litestream_watch(rdb);
    ngx_litestream_status_db_write(rdb);
}
