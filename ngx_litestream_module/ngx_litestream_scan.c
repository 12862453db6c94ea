
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Directories of databases are looked through by a job of their user, again
 * and again.  It says which files are there that the supervisor does not know,
 * and at first which databases only the replica has.  What becomes of them is
 * decided in the supervisor; docs/supervision.md.
 */


#include "ngx_litestream_supervisor.h"

#include <stdarg.h>


/* a pause between two, ms, and at most, of a directory that takes long */
#define NGX_LITESTREAM_SCAN_PAUSE    4000
#define NGX_LITESTREAM_SCAN_MAX      60000

/* and before a replica that could not be listed is asked again */
#define NGX_LITESTREAM_SCAN_AGAIN    10000

/* a job that says nothing for so long hangs */
#define NGX_LITESTREAM_SCAN_HANG     30000


static void ngx_litestream_scan_start(ngx_litestream_rdir_t *rdir);
static void ngx_litestream_scan_timer_handler(ngx_event_t *ev);
static void ngx_litestream_scan_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_scan_problem(ngx_litestream_rdir_t *rdir,
    char *text);
static void ngx_litestream_scan_done(ngx_litestream_job_t *job);
static void ngx_litestream_scan_place(ngx_litestream_rdir_t *rdir);
static ngx_uint_t ngx_litestream_scan_missing(ngx_litestream_rdir_t *rdir,
    ngx_litestream_job_msg_t *res);
static void ngx_litestream_scan_failed(ngx_litestream_rdir_t *rdir,
    const char *fmt, ...);
static void ngx_litestream_scan_over(ngx_litestream_rdir_t *rdir);
static void ngx_litestream_scan_error(ngx_litestream_rdir_t *rdir,
    char *text);


/* once in each supervisor, before anything is started */

ngx_int_t
ngx_litestream_scan_init(void)
{
    ngx_uint_t                    i;
    ngx_litestream_db_t          *db;
    ngx_litestream_dir_t        **dirs;
    ngx_litestream_rdir_t        *rdir;
    ngx_litestream_dir_status_t  *st;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    sup->rdirs = ngx_pcalloc(sup->pool, ngx_max(sup->conf->dirs.nelts, 1)
                                        * sizeof(ngx_litestream_rdir_t));
    if (sup->rdirs == NULL) {
        return NGX_ERROR;
    }

    dirs = sup->conf->dirs.elts;

    for (i = 0; i < sup->conf->dirs.nelts; i++) {

        rdir = &sup->rdirs[i];
        db = dirs[i]->db;

        rdir->dir = dirs[i];
        rdir->group = &sup->rgroups[db->group->index];

        rdir->timer.handler = ngx_litestream_scan_timer_handler;
        rdir->timer.data = rdir;
        rdir->timer.log = sup->log;

        st = &rdir->st;

        if (ngx_strcmp(db->replica->type.data, "s3") == 0
            && !ngx_litestream_walk_s3_able(db))
        {
            dirs[i]->listed = 0;
        }

        st->id = dirs[i]->id;
        st->listed = (dirs[i]->listed
                      && db->restore != NGX_LITESTREAM_RESTORE_OFF)
                     ? NGX_LITESTREAM_LISTED_NOT
                     : NGX_LITESTREAM_LISTED_NEVER;
        st->group = db->group->index;
        st->replicate = db->replicate;

        ngx_litestream_copy(st->alias, sizeof(st->alias), db->alias.data,
                            db->alias.len);
        ngx_litestream_copy(st->path, sizeof(st->path), db->path.data,
                            db->path.len);
        ngx_litestream_copy(st->replica_type, sizeof(st->replica_type),
                            db->replica->type.data, db->replica->type.len);
        ngx_litestream_copy(st->replica_url, sizeof(st->replica_url),
                            db->replica->url.data, db->replica->url.len);
    }

    return NGX_OK;
}


/*
 * Once Litestream is known to be of use: all directories.  Their databases
 * come later, and a foreground restore waits for them.  Supervisor, does not
 * block.
 */

void
ngx_litestream_scan_all(void)
{
    ngx_uint_t              i;
    ngx_litestream_rdir_t  *rdir;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];

        if (rdir->begun
            || (ngx_litestream_sup->restore_only
                && rdir->dir->db->background))
        {
            continue;
        }

        rdir->begun = 1;
        rdir->group->scans++;
        ngx_litestream_sup->unplaced++;

        ngx_litestream_scan_start(rdir);
    }
}


/* a worker has come, as after a reload: regular expressions wait for that */

void
ngx_litestream_scan_again(void)
{
    ngx_uint_t              i;
    ngx_litestream_rdir_t  *rdir;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];

        if (!rdir->begun || rdir->dir->regex == NULL) {
            continue;
        }

        if (rdir->job) {
            rdir->again = 1;

        } else {
            ngx_litestream_scan_start(rdir);
        }
    }
}


/* the end, or a hand-over: nothing is looked for any more */

void
ngx_litestream_scan_stop(void)
{
    ngx_uint_t              i;
    ngx_litestream_rdir_t  *rdir;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];

        if (rdir->timer.timer_set) {
            ngx_del_timer(&rdir->timer);
        }

        if (rdir->job) {
            ngx_litestream_job_kill(rdir->job);
        }
    }
}


/* nothing can be done for any of them, text tells why */

void
ngx_litestream_scan_refuse(char *text)
{
    ngx_uint_t              i;
    ngx_litestream_rdir_t  *rdir;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];

        rdir->fault = 1;
        ngx_litestream_scan_error(rdir, text);
    }
}


/* each second, and when one has ended: what all of its databases have */

void
ngx_litestream_scan_tick(void)
{
    ngx_uint_t                    i;
    ngx_litestream_rdb_t         *rdb;
    ngx_litestream_rdir_t        *rdir;
    ngx_litestream_dir_status_t  *st;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        st = &ngx_litestream_sup->rdirs[i].st;

        st->count = 0;
        st->unplaced = 0;
        st->last_sync_at = -1;
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (rdb->db->in == NULL || rdb->db->gone) {
            continue;
        }

        st = &ngx_litestream_sup->rdirs[rdb->db->in->index].st;

        st->count++;
        st->unplaced += !rdb->st.in_place;

        if (st->last_sync_at == -1
            || rdb->st.last_sync_at < st->last_sync_at)
        {
            st->last_sync_at = rdb->st.last_sync_at;
        }
    }

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];
        st = &rdir->st;

        /* what was known of it counts until it has been looked through */

        if (rdir->scanned || rdir->fault || st->unplaced) {
            st->in_place = (rdir->scanned && !rdir->fault
                            && st->unplaced == 0);
        }

        st->state = rdir->fault ? NGX_LITESTREAM_DIR_ERROR
                    : rdir->scanned ? NGX_LITESTREAM_DIR_FOUND
                    : NGX_LITESTREAM_DIR_STARTING;

        ngx_litestream_status_dir_write(rdir);
    }
}


static void
ngx_litestream_scan_start(ngx_litestream_rdir_t *rdir)
{
    ngx_litestream_db_t   *db;
    ngx_litestream_job_t  *job;

    if (rdir->timer.timer_set) {
        ngx_del_timer(&rdir->timer);
    }

    job = ngx_litestream_job_new("scan", NULL);

    if (job == NULL) {
        ngx_add_timer(&rdir->timer, NGX_LITESTREAM_SCAN_PAUSE);
        return;
    }

    db = rdir->dir->db;

    job->group = db->group;
    job->run = ngx_litestream_scan_run;
    job->message = ngx_litestream_scan_message;
    job->done = ngx_litestream_scan_done;
    job->timeout = NGX_LITESTREAM_SCAN_HANG;
    job->data = rdir;

    /* what only the replica has is looked for until that was possible */

    job->in.files = (!rdir->listed
                     && db->restore != NGX_LITESTREAM_RESTORE_OFF);

    job->in.rc = ngx_litestream_lock_db(db, job->in.text,
                                        sizeof(job->in.text));

    rdir->job = job;
    rdir->began = ngx_current_msec;
    rdir->fresh = 0;
    rdir->problems = 0;
    rdir->problem[0] = '\0';
    rdir->again = 0;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


static void
ngx_litestream_scan_timer_handler(ngx_event_t *ev)
{
    ngx_litestream_rdir_t  *rdir;

    rdir = ev->data;

    if (rdir->job == NULL && !ngx_litestream_sup->quitting
        && !ngx_litestream_sup->terminating && !ngx_litestream_sup->leaving
        && !ngx_litestream_sup->final)
    {
        ngx_litestream_scan_start(rdir);
    }
}


static void
ngx_litestream_scan_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    char                   *reason;
    size_t                  len, n;
    ngx_litestream_rdb_t   *rdb;
    ngx_litestream_rdir_t  *rdir;
    char                    text[NGX_LITESTREAM_ERROR_LEN];

    rdir = job->data;

    if (msg->type == NGX_LITESTREAM_JOB_ASK) {
        ngx_litestream_walk_own(rdir, msg);
        ngx_litestream_job_answer(job, msg);
        return;
    }

    if (msg->type != NGX_LITESTREAM_JOB_ITEM) {
        return;
    }

    len = ngx_strlen(msg->text);

    switch (msg->rc) {

    case NGX_LITESTREAM_SCAN_PROBLEM:

        n = ngx_litestream_redact(ngx_litestream_sup->conf,
                                  (u_char *) msg->text, len);
        msg->text[n] = '\0';

        ngx_litestream_scan_problem(rdir, msg->text);
        return;

    case NGX_LITESTREAM_SCAN_GONE:

        if (msg->index >= ngx_litestream_sup->conf->dbs.nelts) {
            return;
        }

        rdb = ngx_litestream_sup->rdbs[msg->index];

        if (rdb->db->in == rdir->dir && !rdb->db->gone && rdb->lost
            && !rdb->st.in_place && ngx_litestream_member_idle(rdb))
        {
            ngx_litestream_member_leave(rdb);
        }

        return;

    case NGX_LITESTREAM_SCAN_FILE:
    case NGX_LITESTREAM_SCAN_BACKUP:

        rdb = ngx_litestream_member_add(rdir, (u_char *) msg->text, len,
                                        &reason);

        if (rdb == NULL) {

            if (reason) {
                n = ngx_litestream_redact(ngx_litestream_sup->conf,
                                          (u_char *) msg->text, len);

                (void) snprintf(text, sizeof(text), "\"%.*s\" %s", (int) n,
                                msg->text, reason);
                ngx_litestream_scan_problem(rdir, text);
            }

            return;
        }

        if (rdb->fresh) {
            rdb->file = (msg->rc == NGX_LITESTREAM_SCAN_FILE);
            rdir->fresh++;
        }
    }
}


/* the first one is told, the others are counted */

static void
ngx_litestream_scan_problem(ngx_litestream_rdir_t *rdir, char *text)
{
    if (rdir->problems++ == 0) {
        ngx_litestream_copy(rdir->problem, sizeof(rdir->problem) - 32,
                            (u_char *) text, ngx_strlen(text));
    }
}


static void
ngx_litestream_scan_done(ngx_litestream_job_t *job)
{
    ngx_msec_t                 pause;
    ngx_uint_t                 i;
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_rdir_t     *rdir;
    ngx_litestream_job_msg_t  *res;

    rdir = job->data;
    res = &job->result;

    rdir->job = NULL;

    if (job->gone || ngx_litestream_sup->terminating
        || ngx_litestream_sup->final || ngx_litestream_sup->leaving)
    {
        ngx_litestream_check_quit();
        return;
    }

    /* jobs find them in this file, so it comes first */

    if (rdir->fresh && ngx_litestream_group_files(rdir->group) != NGX_OK) {

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

            rdb = ngx_litestream_sup->rdbs[i];

            if (rdb->fresh && rdb->db->in == rdir->dir) {
                ngx_litestream_db_error(rdb, "the configuration of its group "
                                        "cannot be written");
            }
        }

        ngx_litestream_scan_failed(rdir, "the configuration of group \"%s\" "
                                   "cannot be written",
                                   (char *) rdir->group->group->name.data);
        return;
    }

    ngx_litestream_scan_place(rdir);

    if (!job->has_result || res->rc == NGX_ERROR) {
        ngx_litestream_scan_failed(rdir, "%s", res->text);
        return;
    }

    if (job->in.files && ngx_litestream_scan_missing(rdir, res)) {
        return;
    }

    rdir->scanned = 1;
    rdir->delay = 0;
    rdir->st.scanned_at = ngx_litestream_now();

    if (rdir->fault) {
        rdir->fault = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: directory \"%V\" can be looked through "
                      "again", &rdir->dir->db->alias);
    }

    if (rdir->problems > 1) {
        (void) snprintf(rdir->problem + ngx_strlen(rdir->problem), 32,
                        "; and %lu more",
                        (unsigned long) rdir->problems - 1);
    }

    ngx_litestream_scan_error(rdir, rdir->problem);
    ngx_litestream_scan_over(rdir);

    if (ngx_litestream_sup->restore_only) {

        /* workers may look before the supervisor has */

        rdir->st.state = NGX_LITESTREAM_DIR_FOUND;
        rdir->st.in_place = 1;
        ngx_litestream_status_dir_write(rdir);

        ngx_litestream_check_quit();
        return;
    }

    if (rdir->dir->regex && !rdir->again && res->rc != NGX_DECLINED) {
        return;
    }

    pause = 20 * (ngx_current_msec - rdir->began);
    pause = ngx_max(pause, NGX_LITESTREAM_SCAN_PAUSE);
    pause = ngx_min(pause, NGX_LITESTREAM_SCAN_MAX);

    /* most of that was to wait for the storage */

    if (res->rc == NGX_DECLINED) {
        pause = ngx_min(pause, NGX_LITESTREAM_SCAN_AGAIN);
    }

    ngx_add_timer(&rdir->timer, rdir->again ? 1 : pause);
}


/* what was found: it is there, or restored */

static void
ngx_litestream_scan_place(ngx_litestream_rdir_t *rdir)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (!rdb->fresh || rdb->db->in != rdir->dir) {
            continue;
        }

        rdb->fresh = 0;

        if (ngx_litestream_sup->restore_only) {
            ngx_litestream_sup->unplaced++;
        }

        ngx_log_error(NGX_LOG_INFO, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was found%s",
                      &rdb->db->alias,
                      rdb->file ? "" : " in its replica");

        if (rdb->file) {
            rdb->db->outcome = NGX_LITESTREAM_OUTCOME_PRESENT;
            ngx_litestream_placed(rdb);

        } else {
            ngx_litestream_place(rdb);
        }
    }
}


/*
 * The replicas have been looked for as well: what was seen in them before, and
 * is neither here nor there.  1: that is an error.
 */

static ngx_uint_t
ngx_litestream_scan_missing(ngx_litestream_rdir_t *rdir,
    ngx_litestream_job_msg_t *res)
{
    char         *url;
    size_t        len;
    ngx_uint_t    n, lost;
    u_char        path[NGX_LITESTREAM_MEMBER_LEN];
    char          first[NGX_LITESTREAM_MEMBER_LEN + 1];

    url = (char *) rdir->dir->db->replica->url.data;

    n = 0;
    lost = 0;

    while ((len = ngx_litestream_memory_next(rdir->dir, &n, path,
                                             sizeof(path))))
    {
        if (lost++ == 0) {
            ngx_litestream_copy(first, sizeof(first), path, len);
        }
    }

    if (res->rc == NGX_DECLINED) {

        /* a database that is here does not wait for the storage */

        if (lost || res->local == 0) {
            ngx_litestream_scan_failed(rdir, "%s", res->text);
            return 1;
        }

        ngx_litestream_scan_problem(rdir, res->text);
        return 0;
    }

    if (!rdir->dir->listed) {

        rdir->listed = 1;

        ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                      "litestream: directory \"%V\": replica \"%s\" cannot "
                      "be listed: of databases that are missing, those that "
                      "were seen there before are restored, and no others",
                      &rdir->dir->db->alias, url);
        return 0;
    }

    if (res->files == 0 && lost) {
        ngx_litestream_scan_failed(rdir, "replica \"%s\" is empty, but "
                                   "backups of %lu databases that are missing "
                                   "were seen there, e.g. of \"%s\": is its "
                                   "storage mounted?", url,
                                   (unsigned long) lost, first);
        return 1;
    }

    if (res->files == 0 && res->local == 0
        && rdir->dir->db->restore == NGX_LITESTREAM_RESTORE_REQUIRED)
    {
        ngx_litestream_scan_failed(rdir, "replica \"%s\" holds no backup, and "
                                   "restore=required", url);
        return 1;
    }

    rdir->listed = 1;
    rdir->st.listed = NGX_LITESTREAM_LISTED;
    n = 0;

    while ((len = ngx_litestream_memory_next(rdir->dir, &n, path,
                                             sizeof(path))))
    {
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V/%*s\" has gone, and so has "
                      "its backup: it is forgotten", &rdir->dir->db->alias,
                      len, path);
        ngx_litestream_memory_forget(n);
    }

    return 0;
}


/* of no use now: again after 1 s doubling to 30 s; a start does not wait */

static void
ngx_litestream_scan_failed(ngx_litestream_rdir_t *rdir, const char *fmt, ...)
{
    char     text[NGX_LITESTREAM_ERROR_LEN * 2];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    rdir->fault = 1;

    if (ngx_litestream_sup->restore_only) {

        if (!ngx_litestream_sup->failed) {
            ngx_log_error(NGX_LOG_EMERG, ngx_litestream_sup->log, 0,
                          "litestream: directory \"%V\": %s",
                          &rdir->dir->db->alias, text);

            ngx_litestream_start_error(rdir->dir->db, text);

            ngx_litestream_sup->failed = 1;
            ngx_litestream_scan_over(rdir);
            ngx_litestream_quit(1);
        }

        return;
    }

    ngx_litestream_scan_error(rdir, text);
    ngx_litestream_scan_over(rdir);

    rdir->delay = rdir->delay ? ngx_min(rdir->delay * 2,
                                        NGX_LITESTREAM_BACKOFF_MAX)
                              : NGX_LITESTREAM_BACKOFF_MIN;

    ngx_add_timer(&rdir->timer, rdir->delay);
}


/* one has ended: who waits for the first one need not any more */

static void
ngx_litestream_scan_over(ngx_litestream_rdir_t *rdir)
{
    if (!rdir->over) {
        rdir->over = 1;
        rdir->group->scans--;
        ngx_litestream_sup->unplaced--;
    }

    ngx_litestream_scan_tick();
    ngx_litestream_group_kick(rdir->group);
}


/* into the status, and into the log when it is another one */

static void
ngx_litestream_scan_error(ngx_litestream_rdir_t *rdir, char *text)
{
    ngx_uint_t  level;

    level = rdir->fault ? NGX_LOG_ERR : NGX_LOG_WARN;

    if (text[0]
        && ngx_strncmp(rdir->st.error, text, sizeof(rdir->st.error) - 1) != 0)
    {
        ngx_log_error(level, ngx_litestream_sup->log, 0,
                      "litestream: directory \"%V\": %s",
                      &rdir->dir->db->alias, text);
    }

    ngx_litestream_copy(rdir->st.error, sizeof(rdir->st.error),
                        (u_char *) text, ngx_strlen(text));
}
