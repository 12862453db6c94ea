
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What is asked of a running Litestream: is it up, how far has it come, sync
 * now.  At most one sync in flight for a database and one generation waiting;
 * who asks while one is in flight waits for the next, since that in flight
 * may have begun before the commit.
 */


#include "ngx_litestream_old.h"


static void ngx_litestream_sync_start(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_sync_run(ngx_litestream_rgroup_t *rg);
static ngx_msec_t ngx_litestream_sync_pause(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_sync_done(ngx_litestream_call_t *call);
static ngx_int_t ngx_litestream_sync_value(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);
static void ngx_litestream_sync_again(ngx_event_t *ev);
static void ngx_litestream_probe_done(ngx_litestream_call_t *call);
static void ngx_litestream_probe_again(ngx_event_t *ev);
static void ngx_litestream_listed(ngx_litestream_rdb_t *rdb, int64_t at);
static void ngx_litestream_sync_recovered(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_list_done(ngx_litestream_call_t *call);
static void ngx_litestream_list_again(ngx_event_t *ev);
static void ngx_litestream_poll_done(ngx_litestream_call_t *call);
static ngx_int_t ngx_litestream_list_value(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);


typedef struct {
    uint64_t                     txid;
    ngx_str_t                    error;
    ngx_str_t                    details;
    char                         text[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_answer_t;


typedef struct {
    ngx_litestream_rgroup_t     *group;
    ngx_uint_t                   hint;
    u_char                       path[4200];
    size_t                       path_len;
    int64_t                      last_sync_at;
    uint64_t                     txid;
} ngx_litestream_entry_t;


/*
 * Queues a waiter for a sync that begins after this call.  w->handler is
 * called once, when it has succeeded or w->deadline has passed; errors before
 * the deadline are repeated.  w may be NULL: just sync.  Supervisor, never
 * blocks, never calls the handler from within.
 */

void
ngx_litestream_sync(ngx_litestream_rdb_t *rdb, ngx_litestream_waiter_t *w)
{
    ngx_msec_t       wait;
    struct timespec  ts;

    if (w) {

        /* not the time that nginx has cached, which may be a while ago */

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        w->asked = (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
        w->end.generation = 0;

        ngx_queue_insert_tail(&rdb->next, &w->queue);
    }

    rdb->wanted = 1;

    if (rdb->syncing) {
        return;
    }

    if (rdb->running && rdb->group->state == NGX_LITESTREAM_UP) {
        ngx_litestream_sync_start(rdb);
        return;
    }

    /* nobody to ask now: it is asked when it is up, or the time is over */

    wait = w ? ngx_min((ngx_msec_int_t) (w->deadline - ngx_current_msec), 200)
             : 200;

    if (!rdb->again.timer_set) {
        ngx_add_timer(&rdb->again, ngx_max(wait, 1));
    }
}


void
ngx_litestream_sync_cancel(ngx_litestream_waiter_t *w)
{
    ngx_queue_remove(&w->queue);
}


static void
ngx_litestream_sync_start(ngx_litestream_rdb_t *rdb)
{
    if (!ngx_litestream_kind->control) {
        ngx_litestream_old_sync(rdb);
        return;
    }

    if (rdb->want.next == NULL) {
        ngx_queue_insert_tail(&rdb->group->want, &rdb->want);
    }

    ngx_litestream_sync_run(rdb->group);
}


static void
ngx_litestream_sync_run(ngx_litestream_rgroup_t *rg)
{
    char                   *post;
    size_t                  size;
    u_char                 *p;
    ngx_msec_t              limit;
    ngx_queue_t            *q;
    ngx_msec_int_t          left;
    ngx_litestream_rdb_t   *rdb;
    ngx_litestream_waiter_t *w;

    while (rg->syncs < NGX_LITESTREAM_SYNCS && !ngx_queue_empty(&rg->want)) {

        q = ngx_queue_head(&rg->want);
        ngx_queue_remove(q);

        rdb = ngx_queue_data(q, ngx_litestream_rdb_t, want);
        rdb->want.next = NULL;

        if (!rdb->running || rdb->syncing) {
            continue;
        }

        if (ngx_litestream_sync_pause(rdb)) {
            rdb->wanted = 1;

            if (!rdb->again.timer_set) {
                ngx_add_timer(&rdb->again, 200);
            }

            continue;
        }

        /* who waits now is covered by this one */

        ngx_queue_add(&rdb->now, &rdb->next);
        ngx_queue_init(&rdb->next);

        limit = NGX_LITESTREAM_POLL_LIMIT;

        for (q = ngx_queue_head(&rdb->now);
             q != ngx_queue_sentinel(&rdb->now);
             q = ngx_queue_next(q))
        {
            w = ngx_queue_data(q, ngx_litestream_waiter_t, queue);
            left = (ngx_msec_int_t) (w->deadline - ngx_current_msec);
            limit = ngx_max(limit, (ngx_msec_t) ngx_max(left, 0));
        }

        size = rdb->db->path.len + ngx_escape_json(NULL, rdb->db->path.data,
                                                   rdb->db->path.len)
               + 128;

        post = ngx_alloc(size, ngx_litestream_sup->log);
        if (post == NULL) {
            return;
        }

        /*
         * Never with a time limit of Litestream's.  What a sync begins under
         * one, Litestream ends with it: its read lock as well, when the sync
         * was the first one or made a checkpoint.  Without that lock the
         * application's next checkpoint begins the WAL anew, and what was not
         * synced before that is missing in the replica, without a word.
         */

        p = ngx_cpymem(post, "{\"path\":\"", sizeof("{\"path\":\"") - 1);
        p = (u_char *) ngx_escape_json(p, rdb->db->path.data,
                                       rdb->db->path.len);
        (void) ngx_sprintf(p, "\",\"wait\":true,\"timeout\":-1}%Z");

        (void) ngx_litestream_identity(rdb->db->path.data, &rdb->sync_dev,
                                       &rdb->sync_ino, NULL);

        rdb->wanted = 0;
        rdb->sync_start = ngx_current_msec;
        rdb->sync_limit = limit;

        if (ngx_litestream_control(rg, "/sync", post, limit,
                                   NGX_LITESTREAM_ANSWER_LEN,
                                   ngx_litestream_sync_done, rdb)
            == NULL)
        {
            ngx_free(post);
            rdb->wanted = 1;
            ngx_add_timer(&rdb->again, 200);
            return;
        }

        ngx_free(post);

        rdb->syncing = 1;
        rg->syncs++;
    }
}


/*
 * One that was not answered in time is still under way in Litestream, and so
 * would be each that follows: they come up to a minute apart, until one is
 * answered or /list tells that something was synced.  In ms, 0: now.
 */

static ngx_msec_t
ngx_litestream_sync_pause(ngx_litestream_rdb_t *rdb)
{
    ngx_msec_t      pause;
    ngx_msec_int_t  left;

    if (rdb->hung == 0 || ngx_litestream_sup->quitting
        || ngx_litestream_sup->final)
    {
        return 0;
    }

    pause = (ngx_msec_t) NGX_LITESTREAM_POLL_LIMIT << ngx_min(rdb->hung, 8);
    pause = ngx_min(pause, NGX_LITESTREAM_HUNG_MAX);

    left = (ngx_msec_int_t) (rdb->sync_start + pause - ngx_current_msec);

    return ngx_max(left, 0);
}


static ngx_int_t
ngx_litestream_sync_value(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_answer_t *a = data;

    if (value == NULL || depth != 1) {
        return NGX_OK;
    }

    if (ngx_strcmp(key->data, "txid") == 0) {
        a->txid = strtoull((char *) value->data, NULL, 10);

    } else if (ngx_strcmp(key->data, "error") == 0) {
        ngx_litestream_tidy(a->text, sizeof(a->text), (char *) value->data,
                            value->len);
    }

    return NGX_OK;
}


static void
ngx_litestream_sync_done(ngx_litestream_call_t *call)
{
    size_t                     n;
    uint64_t                   dev, ino;
    ngx_uint_t                 ok, waiting;
    ngx_queue_t                waiters;
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_answer_t    a;
    ngx_litestream_rgroup_t   *rg;

    rdb = call->data;
    rg = rdb->group;

    rdb->syncing = 0;
    rg->syncs--;

    ngx_memzero(&a, sizeof(ngx_litestream_answer_t));

    if (call->status) {
        rg->misses = 0;
        rdb->hung = 0;

        if (call->body) {
            (void) ngx_litestream_yaml_read(call->body, call->len,
                                            ngx_litestream_sync_value, &a);
        }
    }

    ok = (call->status == 200);

    if (ok) {

        /* a database that was deleted or replaced still gives 200 */

        (void) ngx_litestream_identity(rdb->db->path.data, &dev, &ino, NULL);

        if (dev != rdb->sync_dev || ino != rdb->sync_ino
            || (rdb->ino && (dev != rdb->dev || ino != rdb->ino)))
        {
            ok = 0;
            (void) snprintf(a.text, sizeof(a.text),
                            "the database was deleted or replaced");
            ngx_litestream_watch(rdb);
        }

    } else if (call->timedout) {
        rdb->hung++;
        ngx_litestream_look(rdb, a.text, sizeof(a.text));

    } else if (a.text[0] == '\0') {
        (void) snprintf(a.text, sizeof(a.text), "%s", call->status
                        ? "Litestream's answer cannot be understood"
                        : call->error);
    }

    n = ngx_litestream_redact(ngx_litestream_sup->conf, (u_char *) a.text,
                              ngx_strlen(a.text));
    a.text[n] = '\0';

    if (ok) {

        ngx_litestream_guard_release(rdb);
        ngx_litestream_look_over(rdb);

        if (rdb->ino == 0) {

            /* what was new has been made, and is in the replica now */

            rdb->dev = rdb->sync_dev;
            rdb->ino = rdb->sync_ino;
        }

        ngx_litestream_synced(rdb, a.txid, ngx_litestream_now());

        ngx_queue_init(&waiters);

        if (!ngx_queue_empty(&rdb->now)) {
            ngx_queue_add(&waiters, &rdb->now);
            ngx_queue_init(&rdb->now);
        }

        ngx_litestream_sync_answer(&waiters, NGX_OK, a.txid, NULL);

    } else {
        rdb->ailing = (rg->state == NGX_LITESTREAM_UP);

        /* it is open and all has been read: the guard may be in the way */

        if (call->status && ngx_strstr(a.text, "db sync: checkpoint: ")) {
            ngx_litestream_guard_release(rdb);
        }

        ngx_litestream_unsynced(rdb, a.text);

        /* errors pass, e.g. at a start; who waits has time left */

        if (!ngx_queue_empty(&rdb->now)) {
            ngx_queue_add(&rdb->next, &rdb->now);
            ngx_queue_init(&rdb->now);
        }

        waiting = ngx_litestream_sync_expire(rdb, a.text);

        if (waiting) {
            rdb->wanted = 1;
            ngx_add_timer(&rdb->again, 50);
        }
    }

    if (rdb->wanted && !rdb->again.timer_set && rdb->running) {
        ngx_litestream_sync_start(rdb);
    }

    ngx_litestream_sync_run(rg);
    ngx_litestream_check_quit();
}


/*
 * All that was committed before "at" (ms since 1970) is in the replica; txid:
 * how far that is, 0: it has no number.  Supervisor.
 */

void
ngx_litestream_synced(ngx_litestream_rdb_t *rdb, uint64_t txid, int64_t at)
{
    rdb->synced = 1;
    rdb->st.txid = txid;
    rdb->st.last_sync_at = at;
    rdb->st.in_place = 1;

    if (!rdb->fault) {
        rdb->st.state = NGX_LITESTREAM_DB_REPLICATING;
        rdb->st.error[0] = '\0';
    }

    if (txid) {
        rdb->old.pos.generation = 0;
        ngx_litestream_memory_seen(rdb, txid);
    }

    ngx_litestream_status_db_write(rdb);
}


/* a sync has failed, it will be tried again; error is redacted */

void
ngx_litestream_unsynced(ngx_litestream_rdb_t *rdb, char *error)
{
    ngx_litestream_rgroup_t  *rg;

    if (rdb->fault || rdb->st.state == NGX_LITESTREAM_DB_NEW) {
        return;
    }

    rg = rdb->group;

    /* one that has been synced turns to "lagging" by itself */

    if (!rdb->synced && rg->state == NGX_LITESTREAM_UP
        && ngx_current_msec - rg->since > NGX_LITESTREAM_SETTLE)
    {
        rdb->st.state = NGX_LITESTREAM_DB_ERROR;
    }

    ngx_litestream_copy(rdb->st.error, sizeof(rdb->st.error), (u_char *) error,
                        ngx_strlen(error));
    ngx_litestream_status_db_write(rdb);
}


/* in the supervisor: all of them, at once */

void
ngx_litestream_sync_answer(ngx_queue_t *waiters, ngx_int_t rc, uint64_t txid,
    char *error)
{
    ngx_queue_t              *q;
    ngx_litestream_waiter_t  *w;

    while (!ngx_queue_empty(waiters)) {
        q = ngx_queue_head(waiters);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_litestream_waiter_t, queue);
        w->handler(w, rc, txid, error);
    }
}


/*
 * Answers those whose time is up, and all when the database is in error and
 * nothing is under way that could change it; returns how many go on waiting.
 */

ngx_uint_t
ngx_litestream_sync_expire(ngx_litestream_rdb_t *rdb, char *error)
{
    ngx_uint_t                n, hopeless;
    ngx_queue_t              *q, *next, over;
    ngx_litestream_waiter_t  *w;

    n = 0;
    ngx_queue_init(&over);

    hopeless = (rdb->fault && rdb->job == NULL);

    if (hopeless) {
        error = rdb->st.error;
    }

    for (q = ngx_queue_head(&rdb->next);
         q != ngx_queue_sentinel(&rdb->next);
         q = next)
    {
        next = ngx_queue_next(q);
        w = ngx_queue_data(q, ngx_litestream_waiter_t, queue);

        if (!hopeless
            && (ngx_msec_int_t) (w->deadline - ngx_current_msec) > 0)
        {
            n++;
            continue;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&over, q);
    }

    ngx_litestream_sync_answer(&over, NGX_ERROR, 0, error);

    return n;
}


static void
ngx_litestream_sync_again(ngx_event_t *ev)
{
    char                  *error;
    ngx_litestream_rdb_t  *rdb;

    rdb = ev->data;

    if (rdb->syncing) {
        return;
    }

    if (rdb->running && rdb->group->state == NGX_LITESTREAM_UP) {

        if (ngx_litestream_sync_pause(rdb)) {
            (void) ngx_litestream_sync_expire(rdb, rdb->st.error);
        }

        if (rdb->wanted) {
            ngx_litestream_sync_start(rdb);
        }

        return;
    }

    error = rdb->st.error[0] ? rdb->st.error
            : "Litestream is not running";

    if (ngx_litestream_sync_expire(rdb, error)) {
        ngx_add_timer(&rdb->again, 50);
    }

    ngx_litestream_check_quit();
}


/* Litestream answers: the first sync is what starts the replication */

void
ngx_litestream_sync_up(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i;
    ngx_litestream_rdb_t  **rdbs;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        if (rdbs[i]->running) {
            ngx_litestream_sync(rdbs[i], NULL);
        }
    }

    ngx_litestream_poll(rg);
}


/* it has gone, with all that was under way; who waits goes on waiting */

void
ngx_litestream_sync_down(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i;
    ngx_litestream_rdb_t   *rdb, **rdbs;

    ngx_queue_init(&rg->want);

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];

        rdb->syncing = 0;
        rdb->hung = 0;
        rdb->listed_sync_at = 0;
        rdb->want.next = NULL;

        if (!ngx_queue_empty(&rdb->now)) {
            ngx_queue_add(&rdb->next, &rdb->now);
            ngx_queue_init(&rdb->now);
        }

        if (ngx_litestream_sup->final) {

            /* it is not started again, so that waiting is in vain */

            ngx_litestream_sync_answer(&rdb->next, NGX_ERROR, 0,
                                       rdb->st.error[0] ? rdb->st.error
                                       : "Litestream is not running");
            continue;
        }

        if (!ngx_queue_empty(&rdb->next) && !rdb->again.timer_set) {
            ngx_add_timer(&rdb->again, 1);
        }
    }
}


/*
 * After a start: asks until our child answers.  The timer of the first
 * database serves, none is asked for a sync before that.
 */

void
ngx_litestream_probe(ngx_litestream_rgroup_t *rg)
{
    if (!ngx_litestream_kind->control) {

        /* its log tells when it is up */

        ngx_litestream_old_start(rg);
        return;
    }

    if (rg->state != NGX_LITESTREAM_STARTING || rg->polling) {
        return;
    }

    if (ngx_litestream_control(rg, "/info", NULL, NGX_LITESTREAM_POLL_LIMIT,
                               NGX_LITESTREAM_ANSWER_LEN,
                               ngx_litestream_probe_done, rg))
    {
        rg->polling = 1;
    }
}


static void
ngx_litestream_probe_again(ngx_event_t *ev)
{
    ngx_litestream_probe(ev->data);
}


static void
ngx_litestream_probe_done(ngx_litestream_call_t *call)
{
    ngx_litestream_rgroup_t  *rg;

    rg = call->data;
    rg->polling = 0;

    if (rg->state != NGX_LITESTREAM_STARTING) {
        return;
    }

    if (call->status == 200) {
        ngx_litestream_group_up(rg);
        return;
    }

    rg->probe.handler = ngx_litestream_probe_again;
    rg->probe.data = rg;
    rg->probe.log = ngx_litestream_sup->log;

    if (!rg->probe.timer_set) {
        ngx_add_timer(&rg->probe, 10);
    }
}


/* each tick: how far has it come, and does it still answer at all? */

void
ngx_litestream_poll(ngx_litestream_rgroup_t *rg)
{
    if (!ngx_litestream_kind->control) {
        ngx_litestream_old_poll(rg);
        return;
    }

    if (rg->state != NGX_LITESTREAM_UP) {
        return;
    }

    if (!rg->polling
        && ngx_litestream_control(rg, "/debug/sync-status", NULL,
                                  NGX_LITESTREAM_POLL_LIMIT,
                                  NGX_LITESTREAM_LIST_LEN,
                                  ngx_litestream_poll_done, rg))
    {
        rg->polling = 1;
    }

    /* this one may hang while the storage does: nothing follows from it */

    if (!rg->listing
        && ngx_litestream_control(rg, "/list", NULL,
                                  2 * NGX_LITESTREAM_POLL_LIMIT,
                                  NGX_LITESTREAM_LIST_LEN,
                                  ngx_litestream_list_done, rg))
    {
        rg->listing = 1;
    }
}


static ngx_int_t
ngx_litestream_list_value(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_entry_t *e = data;

    ngx_uint_t              i, n;
    ngx_litestream_rdb_t   *rdb, **rdbs;

    if (depth != 3) {
        return NGX_OK;
    }

    if (value) {

        if (ngx_strcmp(key->data, "path") == 0) {

            if (value->len < sizeof(e->path)) {
                ngx_memcpy(e->path, value->data, value->len);
                e->path_len = value->len;
            }

        } else if (ngx_strcmp(key->data, "last_sync_at") == 0) {
            e->last_sync_at = ngx_litestream_time(value->data, value->len);

        } else if (ngx_strcmp(key->data, "txid") == 0) {
            e->txid = strtoull((char *) value->data, NULL, 10);
        }

        return NGX_OK;
    }

    /* the end of an entry; they mostly come in our order */

    rdbs = e->group->rdbs.elts;
    n = e->group->rdbs.nelts;

    for (i = 0; i < n; i++) {

        rdb = rdbs[(e->hint + i) % n];

        if (rdb->db->path.len != e->path_len
            || ngx_memcmp(rdb->db->path.data, e->path, e->path_len) != 0)
        {
            continue;
        }

        e->hint = (e->hint + i + 1) % n;

        if (e->txid > rdb->st.txid) {
            rdb->st.txid = e->txid;
        }

        if (e->last_sync_at > rdb->listed_sync_at) {
            rdb->listed_sync_at = e->last_sync_at;
            rdb->hung = 0;
            ngx_litestream_guard_release(rdb);
        }

        if (e->last_sync_at > rdb->st.last_sync_at && rdb->synced) {
            rdb->st.last_sync_at = e->last_sync_at;
            ngx_litestream_sync_recovered(rdb);
        }

        if (e->last_sync_at && !rdb->synced) {
            ngx_litestream_listed(rdb, e->last_sync_at);
        }

        break;
    }

    e->path_len = 0;
    e->last_sync_at = 0;
    e->txid = 0;

    return NGX_OK;
}


/*
 * Litestream has synced it since its start, by itself.  With many databases
 * that comes before their turn to be asked for a sync, which then costs time
 * that the others need.
 */

static void
ngx_litestream_listed(ngx_litestream_rdb_t *rdb, int64_t at)
{
    if (!rdb->running || rdb->syncing || rdb->fault || rdb->ino == 0
        || !ngx_queue_empty(&rdb->next) || rdb->want.next == NULL)
    {
        return;
    }

    ngx_queue_remove(&rdb->want);
    rdb->want.next = NULL;
    rdb->wanted = 0;

    rdb->synced = 1;
    rdb->st.last_sync_at = at;
    rdb->st.in_place = 1;
    rdb->st.state = NGX_LITESTREAM_DB_REPLICATING;
    rdb->st.error[0] = '\0';

    /* how far is not said, but the replica is not empty */

    ngx_litestream_memory_seen(rdb, 1);
    ngx_litestream_status_db_write(rdb);
}


/*
 * Litestream has synced it by itself again, before it was asked to, which it is
 * less and less often while there is no answer: the reason is none any more.
 */

static void
ngx_litestream_sync_recovered(ngx_litestream_rdb_t *rdb)
{
    int64_t  started;

    ngx_litestream_look_over(rdb);

    /* unless it was by the sync that is under way */

    started = ngx_litestream_now()
              - (int64_t) (ngx_current_msec - rdb->sync_start);

    if (!rdb->syncing || rdb->st.last_sync_at < started - 50) {
        rdb->ailing = 0;
    }

    if (rdb->fault || rdb->st.error[0] == '\0'
        || rdb->st.state != NGX_LITESTREAM_DB_REPLICATING)
    {
        return;
    }

    rdb->st.error[0] = '\0';
    ngx_litestream_status_db_write(rdb);
}


static void
ngx_litestream_list_done(ngx_litestream_call_t *call)
{
    ngx_litestream_entry_t    e;
    ngx_litestream_rgroup_t  *rg;

    rg = call->data;
    rg->listing = 0;

    if (call->status != 200 || call->body == NULL) {
        return;
    }

    ngx_memzero(&e, sizeof(ngx_litestream_entry_t));
    e.group = rg;

    (void) ngx_litestream_yaml_read(call->body, call->len,
                                    ngx_litestream_list_value, &e);

    /* many wait for their first sync: a second is long */

    if (!ngx_queue_empty(&rg->want) && !rg->probe.timer_set) {
        rg->probe.handler = ngx_litestream_list_again;
        rg->probe.data = rg;
        rg->probe.log = ngx_litestream_sup->log;
        ngx_add_timer(&rg->probe, 250);
    }
}


static void
ngx_litestream_list_again(ngx_event_t *ev)
{
    ngx_litestream_rgroup_t  *rg;

    rg = ev->data;

    if (rg->state == NGX_LITESTREAM_UP) {
        ngx_litestream_poll(rg);

    } else {
        ngx_litestream_probe(rg);
    }
}


static void
ngx_litestream_poll_done(ngx_litestream_call_t *call)
{
    ngx_litestream_entry_t    e;
    ngx_litestream_rgroup_t  *rg;

    rg = call->data;
    rg->polling = 0;

    if (call->status == 0) {

        rg->misses++;

        if (rg->misses >= NGX_LITESTREAM_MISSES
            && rg->state == NGX_LITESTREAM_UP)
        {
            ngx_litestream_group_kill(rg, "does not answer any more");
        }

        return;
    }

    rg->misses = 0;

    if (call->status != 200 || call->body == NULL) {
        return;
    }

    ngx_memzero(&e, sizeof(ngx_litestream_entry_t));
    e.group = rg;

    (void) ngx_litestream_yaml_read(call->body, call->len,
                                    ngx_litestream_list_value, &e);
}


/* in the supervisor, once for each database */

void
ngx_litestream_sync_init(ngx_litestream_rdb_t *rdb)
{
    ngx_queue_init(&rdb->now);
    ngx_queue_init(&rdb->next);
    ngx_queue_init(&rdb->verifiers);
    ngx_queue_init(&rdb->pointers);

    rdb->want.next = NULL;

    rdb->again.handler = ngx_litestream_sync_again;
    rdb->again.data = rdb;
    rdb->again.log = ngx_litestream_sup->log;
}
