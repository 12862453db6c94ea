
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the supervisor's databases: those of the configuration */


#include "ngx_litestream_supervisor.h"


static void ngx_litestream_rdb_init(ngx_litestream_rdb_t *rdb,
    ngx_litestream_db_t *db);


/*
 * What the supervisor knows of a database, which is the next one of its
 * configuration: db->index is its place there.  NULL: no memory.  Supervisor,
 * does not block.
 */

ngx_litestream_rdb_t *
ngx_litestream_rdb_add(ngx_litestream_db_t *db)
{
    ngx_uint_t                    n;
    ngx_litestream_rdb_t         *rdb, **rdbs;
    ngx_litestream_rgroup_t      *rg;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (db->index >= sup->maxrdbs) {

        n = ngx_max(2 * sup->maxrdbs, sup->conf->dbs.nelts + 1);

        rdbs = ngx_calloc(n * sizeof(ngx_litestream_rdb_t *), sup->log);
        if (rdbs == NULL) {
            return NULL;
        }

        if (sup->rdbs) {
            ngx_memcpy(rdbs, sup->rdbs,
                       sup->maxrdbs * sizeof(ngx_litestream_rdb_t *));
            ngx_free(sup->rdbs);
        }

        sup->rdbs = rdbs;
        sup->maxrdbs = n;
    }

    rdb = ngx_pcalloc(sup->pool, sizeof(ngx_litestream_rdb_t));
    if (rdb == NULL) {
        return NULL;
    }

    rg = &sup->rgroups[db->group->index];

    rdbs = ngx_array_push(&rg->rdbs);
    if (rdbs == NULL) {
        return NULL;
    }

    *rdbs = rdb;
    sup->rdbs[db->index] = rdb;

    ngx_litestream_rdb_init(rdb, db);

    return rdb;
}


static void
ngx_litestream_rdb_init(ngx_litestream_rdb_t *rdb, ngx_litestream_db_t *db)
{
    ngx_litestream_db_status_t  *st;

    ngx_memzero(rdb, sizeof(ngx_litestream_rdb_t));

    rdb->db = db;
    rdb->index = db->index;
    rdb->group = &ngx_litestream_sup->rgroups[db->group->index];

    ngx_litestream_sync_init(rdb);

    st = &rdb->st;

    st->id = db->id;
    st->group = db->group->index;
    st->state = NGX_LITESTREAM_DB_STARTING;
    st->size = -1;
    st->wal_size = -1;
    st->restore_total = -1;
    st->lag_limit_ms = ngx_max(10000, 3 * db->sync_interval);

    ngx_litestream_copy(st->alias, sizeof(st->alias), db->alias.data,
                        db->alias.len);
    ngx_litestream_copy(st->path, sizeof(st->path), db->path.data,
                        db->path.len);

    if (db->replica) {
        ngx_litestream_copy(st->replica_type, sizeof(st->replica_type),
                            db->replica->type.data, db->replica->type.len);
        ngx_litestream_copy(st->replica_url, sizeof(st->replica_url),
                            db->replica->url.data, db->replica->url.len);
    }
}
