
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What a replica holds.  A job of the database's user lists it, into memory
 * that cannot change any more and is passed on as a descriptor: by the job to
 * the supervisor, which does not look into it, and by that to workers.
 */


#include "ngx_litestream_supervisor.h"

#include <sys/mman.h>


/* how long a list is shared, ms */
#define NGX_LITESTREAM_LISTING_FRESH    3000

/* how old what is known of a replica may be, ms: asking costs requests */
#define NGX_LITESTREAM_LISTING_LOCAL    (60 * 60 * 1000)
#define NGX_LITESTREAM_LISTING_REMOTE   (12 * 60 * 60 * 1000)

/* after the first sync, or when nothing came of it */
#define NGX_LITESTREAM_LISTING_SOON     5000
#define NGX_LITESTREAM_LISTING_LATER    (10 * 60 * 1000)

/* databases that are looked at in one second, and of those listed */
#define NGX_LITESTREAM_LISTING_LOOKS    256
#define NGX_LITESTREAM_LISTING_STARTS   4


struct ngx_litestream_listing_s {
    ngx_litestream_job_t        *job;
    ngx_queue_t                  askers;
    ngx_event_t                  timer;   /* until it is too old */
    int                          fd;      /* -1: there is none */
    ngx_msec_t                   took;
};


static ngx_litestream_listing_t *ngx_litestream_listing_of(
    ngx_litestream_rdb_t *rdb);
static ngx_int_t ngx_litestream_listing_start(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_listing_run(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_listing_memory(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
static int ngx_litestream_listing_order(const void *one, const void *two);
static void ngx_litestream_listing_done(ngx_litestream_job_t *job);
static void ngx_litestream_listing_old(ngx_event_t *ev);
static ngx_uint_t ngx_litestream_listing_due(ngx_litestream_rdb_t *rdb);


/*
 * Lists the replica of a database, or answers with a list that is some seconds
 * old, or joins the listing that is under way: a->handler is called once, maybe
 * from within.  NGX_ERROR: no memory, it is not called.  Supervisor, does not
 * block.
 */

ngx_int_t
ngx_litestream_listing(ngx_litestream_rdb_t *rdb, ngx_litestream_asker_t *a)
{
    ngx_litestream_listing_t  *l;

    l = ngx_litestream_listing_of(rdb);
    if (l == NULL) {
        return NGX_ERROR;
    }

    if (l->fd != -1) {
        a->handler(a->data, l->fd, l->took, NULL);
        return NGX_OK;
    }

    ngx_queue_insert_tail(&l->askers, &a->queue);

    if (l->job || !ngx_litestream_sup->looked || ngx_litestream_sup->leaving
        || ngx_litestream_sup->final)
    {
        return NGX_OK;
    }

    if (ngx_litestream_listing_start(rdb) != NGX_OK) {
        ngx_queue_remove(&a->queue);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_litestream_listing_t *
ngx_litestream_listing_of(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_listing_t  *l;

    if (rdb->listing) {
        return rdb->listing;
    }

    l = ngx_calloc(sizeof(ngx_litestream_listing_t), ngx_litestream_sup->log);
    if (l == NULL) {
        return NULL;
    }

    l->fd = -1;
    ngx_queue_init(&l->askers);

    l->timer.handler = ngx_litestream_listing_old;
    l->timer.data = l;
    l->timer.log = ngx_litestream_sup->log;

    rdb->listing = l;

    return l;
}


/* those who came before anything had been looked at */

void
ngx_litestream_listing_all(void)
{
    ngx_uint_t                 i;
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_listing_t  *l;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];
        l = rdb->listing;

        if (l && l->job == NULL && !ngx_queue_empty(&l->askers)) {
            (void) ngx_litestream_listing_start(rdb);
        }
    }
}


ngx_uint_t
ngx_litestream_listing_idle(ngx_litestream_rdb_t *rdb)
{
    return rdb->listing == NULL
           || (rdb->listing->job == NULL
               && ngx_queue_empty(&rdb->listing->askers));
}


void
ngx_litestream_listing_kill(ngx_litestream_rdb_t *rdb)
{
    if (rdb->listing && rdb->listing->job) {
        ngx_litestream_job_kill(rdb->listing->job);
    }
}


static ngx_int_t
ngx_litestream_listing_start(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    job = ngx_litestream_job_new("ltx", rdb);
    if (job == NULL) {
        return NGX_ERROR;
    }

    job->run = ngx_litestream_listing_run;
    job->done = ngx_litestream_listing_done;
    job->timeout = ngx_litestream_sup->conf->restore_timeout + 5000;

    rdb->listing->job = job;
    rdb->listing->took = ngx_current_msec;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_LIST);

    return NGX_OK;
}


/* in the job */

static void
ngx_litestream_listing_run(ngx_litestream_job_t *job)
{
    ngx_litestream_list_t  list;

    job->result.rc = NGX_ERROR;

    if (!ngx_litestream_kind->txid) {

        /* for the history alone: there are no files to show */

        if (ngx_litestream_kind->list(job, &list) != NGX_OK) {
            return;
        }

    } else if (ngx_litestream_list_all(job, &list) != NGX_OK
               || ngx_litestream_listing_memory(job, &list) != NGX_OK)
    {
        return;
    }

    job->result.rc = NGX_OK;
    ngx_litestream_list_result(job, &list);
}


/* the newest first, of those that end the same way the largest */

static int
ngx_litestream_listing_order(const void *one, const void *two)
{
    const ngx_litestream_ltx_t  *a = one, *b = two;

    if (a->max != b->max) {
        return a->max < b->max ? 1 : -1;
    }

    if (a->min != b->min) {
        return a->min < b->min ? -1 : 1;
    }

    return (int) b->level - (int) a->level;
}


static ngx_int_t
ngx_litestream_listing_memory(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    int                            fd;
    size_t                         size;
    u_char                        *p;
    ssize_t                        n;
    ngx_uint_t                     i;
    ngx_litestream_ltx_t          *e;
    ngx_litestream_ltx_head_t      head;
    ngx_litestream_ltx_level_t    *level;

    ngx_memzero(&head, sizeof(ngx_litestream_ltx_head_t));

    head.magic = NGX_LITESTREAM_LTX_MAGIC;
    head.at = ngx_litestream_now();
    head.from = list->from;
    head.to = list->to;

    for (i = 0; i < list->nentries; i++) {

        e = &list->entries[i];

        if (e->level >= NGX_LITESTREAM_LTX_LEVELS) {
            continue;
        }

        level = &head.levels[e->level];

        level->files++;
        level->bytes += ngx_max(e->size, 0);
        level->min = level->min ? ngx_min(level->min, e->min) : e->min;
        level->max = ngx_max(level->max, e->max);

        if (e->time > 0) {
            level->from = level->from ? ngx_min(level->from, e->time)
                                      : e->time;
            level->to = ngx_max(level->to, e->time);
        }
    }

    qsort(list->entries, list->nentries, sizeof(ngx_litestream_ltx_t),
          ngx_litestream_listing_order);

    head.files = ngx_min(list->nentries, NGX_LITESTREAM_LTX_FILES);

    fd = syscall(SYS_memfd_create, "ltx", MFD_CLOEXEC|MFD_ALLOW_SEALING);

    if (fd == -1) {
        ngx_litestream_fail(job, "memfd_create() failed: %s", strerror(errno));
        return NGX_ERROR;
    }

    if (write(fd, &head, sizeof(head)) != (ssize_t) sizeof(head)) {
        goto failed;
    }

    p = (u_char *) list->entries;
    size = head.files * sizeof(ngx_litestream_ltx_t);

    while (size) {
        n = write(fd, p, size);

        if (n <= 0) {
            goto failed;
        }

        p += n;
        size -= n;
    }

    if (fcntl(fd, F_ADD_SEALS, NGX_LITESTREAM_LTX_SEALS) == -1) {
        goto failed;
    }

    job->pass = fd;

    return NGX_OK;

failed:

    ngx_litestream_fail(job, "a list of %lu files cannot be kept in memory: "
                        "%s", (unsigned long) list->nentries,
                        strerror(errno));
    (void) close(fd);

    return NGX_ERROR;
}


static void
ngx_litestream_listing_done(ngx_litestream_job_t *job)
{
    char                      *error;
    ngx_queue_t               *q;
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_asker_t    *a;
    ngx_litestream_listing_t  *l;

    rdb = job->rdb;
    l = rdb->listing;

    l->job = NULL;
    error = NULL;

    if (job->has_result && job->result.rc == NGX_OK
        && (job->pass != -1 || !ngx_litestream_kind->txid))
    {
        l->took = ngx_current_msec - l->took;

        if (job->pass != -1) {
            l->fd = job->pass;
            job->pass = -1;

            ngx_add_timer(&l->timer, NGX_LITESTREAM_LISTING_FRESH);

        } else {

            /* asked before it was known which Litestream this is */

            error = "this needs Litestream 0.5";
        }

        ngx_litestream_history_set(rdb, job->result.files, job->result.txid,
                                   job->result.from, job->result.to);
        ngx_litestream_status_db_write(rdb);

    } else if (ngx_litestream_sup->leaving || ngx_litestream_sup->final) {

        /* it was told to end, and who waits asks our successor */

        ngx_litestream_check_quit();
        return;

    } else {
        error = job->result.text[0] ? job->result.text
                                    : "it cannot be listed";
        l->took = ngx_current_msec - l->took;

        rdb->listed = ngx_current_msec;
        rdb->list_failed = 1;
    }

    while (!ngx_queue_empty(&l->askers)) {
        q = ngx_queue_head(&l->askers);
        ngx_queue_remove(q);

        a = ngx_queue_data(q, ngx_litestream_asker_t, queue);
        a->handler(a->data, l->fd, l->took, error);
    }

    ngx_litestream_check_quit();
}


static void
ngx_litestream_listing_old(ngx_event_t *ev)
{
    ngx_litestream_listing_t  *l;

    l = ev->data;

    (void) close(l->fd);
    l->fd = -1;
}


/*
 * The times that can be restored to, as a list of the replica has them, in ms
 * since 1970; txid is its newest transaction.  Up to the last sync nothing else
 * was committed, when the list has what was synced; later syncs are added
 * when the status is written.  Supervisor.
 */

void
ngx_litestream_history_set(ngx_litestream_rdb_t *rdb, uint64_t files,
    uint64_t txid, int64_t from, int64_t to)
{
    if (rdb->st.txid && txid >= rdb->st.txid) {
        to = ngx_max(to, rdb->st.last_sync_at);
    }

    rdb->st.history_from = files ? from : 0;
    rdb->st.history_to = files ? to : 0;

    rdb->listed = ngx_current_msec;
    rdb->list_failed = 0;
}


/* each second: lists few of those of which what is known has become old */

void
ngx_litestream_listing_tick(void)
{
    ngx_uint_t             n, i, looks, starts;
    ngx_litestream_rdb_t  *rdb;

    static ngx_uint_t      next;

    if (!ngx_litestream_sup->looked || ngx_litestream_sup->quitting
        || ngx_litestream_sup->terminating || ngx_litestream_sup->final
        || ngx_litestream_sup->leaving)
    {
        return;
    }

    n = ngx_litestream_sup->conf->dbs.nelts;
    looks = ngx_min(n, NGX_LITESTREAM_LISTING_LOOKS);
    starts = 0;

    for (i = 0; i < looks && starts < NGX_LITESTREAM_LISTING_STARTS; i++) {

        if (next >= n) {
            next = 0;
        }

        rdb = ngx_litestream_sup->rdbs[next++];

        if (rdb->db->gone || !ngx_litestream_listing_due(rdb)
            || rdb->group->jobs[NGX_LITESTREAM_JOB_LIST]
            || ngx_litestream_listing_of(rdb) == NULL
            || rdb->listing->job || rdb->listing->fd != -1)
        {
            continue;
        }

        if (ngx_litestream_listing_start(rdb) == NGX_OK) {
            starts++;
        }
    }
}


static ngx_uint_t
ngx_litestream_listing_due(ngx_litestream_rdb_t *rdb)
{
    ngx_msec_t  age, limit;

    /* of one that is not replicated nothing changes */

    if (!rdb->synced) {
        return 0;
    }

    age = ngx_current_msec - rdb->listed;

    if (rdb->list_failed) {
        limit = NGX_LITESTREAM_LISTING_LATER;

    } else if (rdb->st.history_from == 0) {
        limit = NGX_LITESTREAM_LISTING_SOON;

    } else {
        limit = ngx_litestream_batch_fits(rdb) ? NGX_LITESTREAM_LISTING_LOCAL
                                               : NGX_LITESTREAM_LISTING_REMOTE;
    }

    return age >= limit;
}
