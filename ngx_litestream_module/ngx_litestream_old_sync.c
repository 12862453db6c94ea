
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What Litestream 0.3 has replicated.  Its log tells the end of each part of a
 * WAL that is in the replica, a job tells the end of all that was committed:
 * when the first is not before the second, all of that is in the replica.
 */


#include "ngx_litestream_old.h"

#include <sys/mman.h>


/* while somebody waits, in ms */
#define NGX_LITESTREAM_OLD_LOOK      50

/* the job says nothing for so long: a file system hangs */
#define NGX_LITESTREAM_OLD_HANG      10000

/* Litestream neither copies a WAL that grows nor says anything */
#define NGX_LITESTREAM_OLD_STALL     30000

/* writes of ours, for Litestream to try again: not more often */
#define NGX_LITESTREAM_OLD_TOUCH     10000


typedef struct {
    u_char                       msg[64];
    u_char                       db[4200];
    u_char                       error[NGX_LITESTREAM_ERROR_LEN];
    ngx_litestream_old_pos_t     pos;
    off_t                        size;
    ngx_uint_t                   failed;
} ngx_litestream_old_line_t;


static void ngx_litestream_old_watch_done(ngx_litestream_job_t *job);
static void ngx_litestream_old_look_handler(ngx_event_t *ev);
static ngx_uint_t ngx_litestream_old_look(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_sample_t *s);
static int64_t ngx_litestream_old_mark(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_sample_t *s,
    ngx_uint_t all);
static ngx_uint_t ngx_litestream_old_reached(
    ngx_litestream_old_track_t *track, ngx_litestream_old_pos_t *end);
static ngx_int_t ngx_litestream_old_read(ngx_litestream_old_t *old,
    ngx_uint_t i, ngx_litestream_old_sample_t *s);
static ngx_uint_t ngx_litestream_old_pending(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_sample_t *s,
    ngx_uint_t done);
static ngx_int_t ngx_litestream_old_value(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);
static void ngx_litestream_old_written(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_line_t *line,
    ngx_uint_t snapshot);


/* Litestream was started: its databases are watched.  Does not block */

void
ngx_litestream_old_start(ngx_litestream_rgroup_t *rg)
{
    size_t                      size;
    ngx_uint_t                  i;
    ngx_litestream_job_t       *job;
    ngx_litestream_rdb_t      **rdbs;
    ngx_litestream_old_t       *old;
    ngx_litestream_old_page_t  *page;

    if (rg->old) {
        return;
    }

    old = ngx_calloc(sizeof(ngx_litestream_old_t), ngx_litestream_sup->log);
    if (old == NULL) {
        return;
    }

    size = sizeof(ngx_litestream_old_page_t)
           + rg->rdbs.nelts * sizeof(ngx_litestream_old_sample_t);

    old->tracks = ngx_calloc(rg->rdbs.nelts
                             * sizeof(ngx_litestream_old_track_t),
                             ngx_litestream_sup->log);
    if (old->tracks == NULL) {
        ngx_free(old);
        return;
    }

    page = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                -1, 0);

    if (page == MAP_FAILED) {
        ngx_log_error(NGX_LOG_ALERT, ngx_litestream_sup->log, ngx_errno,
                      "litestream: mmap() failed");
        ngx_free(old->tracks);
        ngx_free(old);
        return;
    }

    job = ngx_litestream_job_new("watch", NULL);

    if (job == NULL) {
        (void) munmap(page, size);
        ngx_free(old->tracks);
        ngx_free(old);
        return;
    }

    job->group = rg->group;
    job->run = ngx_litestream_old_watch_run;
    job->done = ngx_litestream_old_watch_done;
    job->data = old;

    old->group = rg;
    old->n = rg->rdbs.nelts;
    old->job = job;
    old->page = page;
    old->size = size;
    old->alive = ngx_current_msec;
    old->heard = ngx_current_msec;

    old->timer.handler = ngx_litestream_old_look_handler;
    old->timer.data = old;
    old->timer.log = ngx_litestream_sup->log;

    rg->old = old;

    /*
     * What it has to do when it first looks it uploads at once, all else when
     * the interval has passed: how far the replica is would be unknown so long
     */

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        page->samples[i].touch = (rdbs[i]->running
                                  && rdbs[i]->db->sync_interval > 1000);
    }

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


/* it has ended */

void
ngx_litestream_old_end(ngx_litestream_rgroup_t *rg)
{
    ngx_litestream_old_t  *old;

    old = rg->old;

    if (old == NULL) {
        return;
    }

    rg->old = NULL;
    old->group = NULL;

    if (old->timer.timer_set) {
        ngx_del_timer(&old->timer);
    }

    ngx_litestream_job_kill(old->job);
}


static void
ngx_litestream_old_watch_done(ngx_litestream_job_t *job)
{
    ngx_litestream_old_t     *old;
    ngx_litestream_rgroup_t  *rg;

    old = job->data;
    rg = old->group;

    if (rg) {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: the databases of group %V are not watched "
                      "any more: %s", &rg->group->name, job->result.text[0]
                      ? job->result.text : "the job has ended");

        /* the next tick starts another one */

        rg->old = NULL;

        if (old->timer.timer_set) {
            ngx_del_timer(&old->timer);
        }
    }

    (void) munmap(old->page, old->size);
    ngx_free(old->tracks);
    ngx_free(old);

    ngx_litestream_check_quit();
}


/*
 * Each tick: how far has it come?  Where nothing more comes for a while it is
 * given something to do.
 */

void
ngx_litestream_old_poll(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t                    i, done, stuck;
    ngx_msec_t                    stall;
    ngx_litestream_rdb_t         *rdb, **rdbs;
    ngx_litestream_old_t         *old;
    ngx_litestream_old_track_t   *track;
    ngx_litestream_old_sample_t   s;

    if (rg->state != NGX_LITESTREAM_UP) {
        return;
    }

    if (rg->old == NULL) {
        ngx_litestream_old_start(rg);
        return;
    }

    old = rg->old;

    if (old->page->beat != old->beat) {
        old->beat = old->page->beat;
        old->alive = ngx_current_msec;
    }

    if (ngx_current_msec - old->alive > NGX_LITESTREAM_OLD_HANG) {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: the file system of databases of group %V "
                      "does not answer", &rg->group->name);
        ngx_litestream_old_end(rg);
        return;
    }

    stuck = 0;
    rdbs = rg->rdbs.elts;

    for (i = 0; i < old->n; i++) {
        rdb = rdbs[i];

        /* also of one that cannot be looked at the time must come to an end */

        if (!ngx_queue_empty(&rdb->next) && !old->timer.timer_set) {
            ngx_add_timer(&old->timer, NGX_LITESTREAM_OLD_LOOK);
        }

        if (!rdb->running || ngx_litestream_old_read(old, i, &s) != NGX_OK) {
            continue;
        }

        track = &old->tracks[i];
        done = ngx_litestream_old_look(rdb, track, &s);

        if (ngx_litestream_old_pending(rdb, track, &s, done)) {
            old->page->samples[i].touch = 1;
        }

        /* a longer interval than ours may be in the user's file */

        stall = NGX_LITESTREAM_OLD_STALL;

        if (rdb->db->base_interval) {
            stall = ngx_max(stall, 3 * rdb->db->sync_interval);
        }

        stuck |= (track->since
                  && (s.end.generation == 0 || s.pos.at < s.end.at)
                  && ngx_current_msec - track->since > stall);
    }

    if (stuck && ngx_current_msec - old->heard > NGX_LITESTREAM_OLD_STALL) {
        ngx_litestream_group_kill(rg, "does not follow its databases any "
                                  "more");
    }
}


/*
 * Somebody waits for a sync: looks at once, and again until the time is up.
 * While nobody watches, which a tick mends, the time is all that is looked at.
 */

void
ngx_litestream_old_sync(ngx_litestream_rdb_t *rdb)
{
    rdb->wanted = 0;

    if (ngx_queue_empty(&rdb->next)) {
        return;
    }

    if (rdb->group->old == NULL) {

        if (ngx_litestream_sync_expire(rdb, "the database is not watched")) {
            rdb->wanted = 1;

            if (!rdb->again.timer_set) {
                ngx_add_timer(&rdb->again, NGX_LITESTREAM_OLD_LOOK);
            }
        }

        return;
    }

    if (!rdb->group->old->timer.timer_set) {
        ngx_add_timer(&rdb->group->old->timer, 1);
    }
}


static void
ngx_litestream_old_look_handler(ngx_event_t *ev)
{
    ngx_uint_t                    i, waiting;
    ngx_litestream_rdb_t         *rdb, **rdbs;
    ngx_litestream_old_t         *old;
    ngx_litestream_rgroup_t      *rg;
    ngx_litestream_old_sample_t   s;

    old = ev->data;
    rg = old->group;

    waiting = 0;
    rdbs = rg->rdbs.elts;

    for (i = 0; i < old->n; i++) {
        rdb = rdbs[i];

        if (ngx_queue_empty(&rdb->next)) {
            continue;
        }

        if (rdb->running && rg->state == NGX_LITESTREAM_UP
            && ngx_litestream_old_read(old, i, &s) == NGX_OK)
        {
            (void) ngx_litestream_old_look(rdb, &old->tracks[i], &s);
        }

        waiting += ngx_litestream_sync_expire(rdb, rdb->st.error[0]
                                              ? rdb->st.error
                                              : "it is not in the replica "
                                                "yet");
    }

    if (waiting && rg->old) {
        ngx_add_timer(ev, NGX_LITESTREAM_OLD_LOOK);
    }

    ngx_litestream_check_quit();
}


/*
 * What follows from what the job has seen.  1: all that was committed then is
 * in the replica.
 */

static ngx_uint_t
ngx_litestream_old_look(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_sample_t *s)
{
    int64_t                   time;
    uint64_t                  dev, ino;
    ngx_uint_t                all;
    ngx_queue_t              *q, *next;
    ngx_litestream_waiter_t  *w;

    all = ngx_litestream_old_reached(track, &s->end);
    time = ngx_litestream_old_mark(rdb, track, s, all);

    for (q = ngx_queue_head(&rdb->next);
         q != ngx_queue_sentinel(&rdb->next);
         q = next)
    {
        next = ngx_queue_next(q);
        w = ngx_queue_data(q, ngx_litestream_waiter_t, queue);

        /* what was to come in another generation never does */

        if (s->end.generation && s->end.generation != w->end.generation
            && w->asked < s->mono)
        {
            w->end = s->end;
        }

        if (ngx_litestream_old_reached(track, &w->end)) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&rdb->now, q);
        }
    }

    if (time == 0 && ngx_queue_empty(&rdb->now)) {
        return 0;
    }

    /* one that was deleted or replaced is as it was for Litestream */

    (void) ngx_litestream_identity(rdb->db->path.data, &dev, &ino, NULL);

    if (ino == 0 || (rdb->ino && (dev != rdb->dev || ino != rdb->ino))) {

        while (!ngx_queue_empty(&rdb->now)) {
            q = ngx_queue_head(&rdb->now);
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&rdb->next, q);
        }

        ngx_litestream_watch(rdb);
        return 0;
    }

    if (rdb->ino == 0) {
        rdb->dev = dev;
        rdb->ino = ino;
    }

    rdb->old.dev = dev;
    rdb->old.ino = ino;

    if (time) {
        ngx_litestream_synced(rdb, 0, time);
    }

    ngx_litestream_sync_answer(&rdb->now, NGX_OK, 0, NULL);

    return all;
}


/*
 * Of a database that is written to all the time the end is never in the
 * replica: ends of before are kept until they are.  Returns when the last one
 * was seen that is, ms since 1970; 0: none.
 */

static int64_t
ngx_litestream_old_mark(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_sample_t *s,
    ngx_uint_t all)
{
    int64_t                     time;
    ngx_uint_t                  i;
    ngx_litestream_old_mark_t  *mark;

    mark = track->marks;

    if (all) {
        track->n = 0;
        return s->time;
    }

    /* in a generation that has ended nothing more comes */

    if (s->end.generation && track->n
        && mark[0].end.generation != s->end.generation)
    {
        track->n = 0;
    }

    time = 0;

    for (i = track->n; i > 0; i--) {

        if (ngx_litestream_old_reached(track, &mark[i - 1].end)) {
            time = mark[i - 1].time;
            track->n -= i;
            ngx_memmove(mark, mark + i,
                        track->n * sizeof(ngx_litestream_old_mark_t));
            break;
        }
    }

    if (s->end.generation
        && (track->n == 0
            || s->time - mark[track->n - 1].time
               >= (int64_t) ngx_max(1000, rdb->db->sync_interval / 4)))
    {
        i = ngx_min(track->n, NGX_LITESTREAM_OLD_MARKS - 1);

        mark[i].end = s->end;
        mark[i].time = s->time;
        track->n = i + 1;
    }

    return time;
}


static ngx_uint_t
ngx_litestream_old_reached(ngx_litestream_old_track_t *track,
    ngx_litestream_old_pos_t *end)
{
    return end->generation && end->generation == track->sent.generation
           && end->at <= track->sent.at;
}


/* what the job has seen; NGX_AGAIN: it is at it, or has not looked yet */

static ngx_int_t
ngx_litestream_old_read(ngx_litestream_old_t *old, ngx_uint_t i,
    ngx_litestream_old_sample_t *s)
{
    uint32_t                      seq;
    ngx_litestream_old_sample_t  *sample;

    sample = &old->page->samples[i];
    seq = sample->seq;

    if (seq == 0 || (seq & 1)) {
        return NGX_AGAIN;
    }

    __sync_synchronize();

    *s = *sample;

    __sync_synchronize();

    return (sample->seq == seq) ? NGX_OK : NGX_AGAIN;
}


/* 1: it should have something to do */

static ngx_uint_t
ngx_litestream_old_pending(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_sample_t *s,
    ngx_uint_t done)
{
    ngx_msec_t  now, limit;

    now = ngx_current_msec ? ngx_current_msec : 1;

    if (done || rdb->st.state == NGX_LITESTREAM_DB_NEW) {
        track->since = 0;
        return 0;
    }

    /* it gets on with it */

    if (track->since == 0 || s->pos.generation != track->copied.generation
        || s->pos.at != track->copied.at)
    {
        track->copied = s->pos;
        track->since = now;
        return 0;
    }

    /* all is copied, and it has begun to upload: it does so now and then */

    limit = (track->sent.generation
             && track->sent.generation == s->end.generation
             && s->pos.at >= s->end.at)
            ? ngx_max(2000, 2 * rdb->db->sync_interval) : 2000;

    if (now - track->since <= limit
        || (track->touched
            && now - track->touched <= NGX_LITESTREAM_OLD_TOUCH))
    {
        return 0;
    }

    track->touched = now;

    return 1;
}


/*
 * A line of its log, before anything else is made of it.  1: it was one that
 * comes with each sync, nobody has to read it.
 */

ngx_uint_t
ngx_litestream_old_line(ngx_litestream_rgroup_t *rg, u_char *p, size_t len)
{
    size_t                      n;
    ngx_uint_t                  i;
    ngx_litestream_rdb_t       *rdb, **rdbs;
    ngx_litestream_old_line_t   line;

    if (rg->old) {
        rg->old->heard = ngx_current_msec;
    }

    if (len == 0 || *p != '{') {
        return 0;
    }

    line.msg[0] = '\0';
    line.db[0] = '\0';
    line.error[0] = '\0';
    line.size = 0;
    line.failed = 0;
    line.pos.generation = 0;

    if (ngx_litestream_yaml_read(p, len, ngx_litestream_old_value, &line)
        == NGX_ERROR)
    {
        return 0;
    }

    if (ngx_strcmp(line.msg, "initialized db") == 0) {

        /* all of them are open when the first one is named */

        ngx_litestream_group_up(rg);
        return 0;
    }

    if (line.db[0] == '\0') {
        return 0;
    }

    if (ngx_strcmp(line.msg, "write wal segment") == 0) {
        return 1;
    }

    rdbs = rg->rdbs.elts;
    rdb = NULL;

    for (i = 0; rg->old && i < rg->old->n; i++) {
        if (ngx_strcmp(rdbs[i]->db->path.data, line.db) == 0) {
            rdb = rdbs[i];
            break;
        }
    }

    if (rdb == NULL || !rdb->running) {
        return 0;
    }

    if (ngx_strcmp(line.msg, "wal segment written") == 0) {
        ngx_litestream_old_written(rdb, &rg->old->tracks[i], &line, 0);
        return 1;
    }

    if (ngx_strcmp(line.msg, "snapshot written") == 0) {
        ngx_litestream_old_written(rdb, &rg->old->tracks[i], &line, 1);
        return 0;
    }

    if (line.failed && line.error[0]) {
        n = ngx_litestream_redact(ngx_litestream_sup->conf, line.error,
                                  ngx_strlen(line.error));
        line.error[n] = '\0';

        ngx_litestream_unsynced(rdb, (char *) line.error);
    }

    return 0;
}


static ngx_int_t
ngx_litestream_old_value(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_old_line_t *line = data;

    if (depth != 1 || value == NULL) {
        return NGX_OK;
    }

    if (ngx_strcmp(key->data, "msg") == 0) {
        ngx_litestream_copy((char *) line->msg, sizeof(line->msg),
                            value->data, value->len);

    } else if (ngx_strcmp(key->data, "db") == 0) {
        ngx_litestream_copy((char *) line->db, sizeof(line->db), value->data,
                            value->len);

    } else if (ngx_strcmp(key->data, "error") == 0) {
        ngx_litestream_tidy((char *) line->error, sizeof(line->error),
                            (char *) value->data, value->len);

    } else if (ngx_strcmp(key->data, "level") == 0) {
        line->failed |= (ngx_strcmp(value->data, "ERROR") == 0);

    } else if (ngx_strcmp(key->data, "position") == 0) {
        (void) ngx_litestream_old_position(value->data, value->len,
                                           &line->pos);

    } else if (ngx_strcmp(key->data, "sz") == 0) {
        line->size = ngx_atoof(value->data, value->len);
    }

    return NGX_OK;
}


/* a snapshot is where its WAL begins */

static void
ngx_litestream_old_written(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_track_t *track, ngx_litestream_old_line_t *line,
    ngx_uint_t snapshot)
{
    uint64_t  at;

    if (line->pos.generation == 0 || line->size < 0) {
        return;
    }

    at = snapshot ? (line->pos.at & ~0xffffffffULL)
                  : line->pos.at + (uint64_t) line->size;

    if (track->sent.generation != line->pos.generation) {
        track->sent.generation = line->pos.generation;
        track->sent.at = at;

    } else {
        track->sent.at = ngx_max(track->sent.at, at);
    }

    /* a generation is remembered at once, what follows in it is not urgent */

    if (rdb->old.pos.generation != track->sent.generation) {
        ngx_litestream_sup->memory_dirty = 1;
    }

    rdb->old.pos = track->sent;

    ngx_litestream_memory_seen(rdb, 1);
}
