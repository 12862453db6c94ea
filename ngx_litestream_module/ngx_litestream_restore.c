
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Before a database is used: restored when it is missing ("place"), and
 * compared with its replica before it is replicated ("check").  Everything
 * in a database's directory is done by jobs with the identity of its user;
 * the facts that they bring are judged in ngx_litestream_verdict.c.
 */


#include "ngx_litestream_old.h"

#include <stdarg.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>


#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE  (1 << 0)
#endif


static void ngx_litestream_place_run(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_place_empty(ngx_litestream_job_t *job);
static void ngx_litestream_place_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_place_done(ngx_litestream_job_t *job);

static ngx_uint_t ngx_litestream_restore_tick(ngx_litestream_job_t *job);
static void ngx_litestream_progress_tell(ngx_litestream_job_t *job,
    int64_t bytes);
static void ngx_litestream_place_made(ngx_litestream_job_t *job);
static void ngx_litestream_place_clean(ngx_litestream_db_t *db);
static char *ngx_litestream_temp(ngx_litestream_db_t *db);


/* in a job: the result is an error, and this is its text */

void
ngx_litestream_fail(ngx_litestream_job_t *job, const char *fmt, ...)
{
    va_list  args;

    job->result.rc = NGX_LITESTREAM_OUTCOME_ERROR;

    va_start(args, fmt);
    (void) vsnprintf(job->result.text, sizeof(job->result.text), fmt, args);
    va_end(args);
}


/* the supervisor's own error about a database: into the status and the log */

void
ngx_litestream_db_error(ngx_litestream_rdb_t *rdb, const char *fmt, ...)
{
    char     text[NGX_LITESTREAM_ERROR_LEN * 2];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (!rdb->fault
        || ngx_strncmp(text, rdb->st.error, sizeof(rdb->st.error) - 1) != 0)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\": %s", &rdb->db->alias,
                      text);
    }

    ngx_litestream_copy(rdb->st.error, sizeof(rdb->st.error),
                        (u_char *) text, ngx_strlen(text));

    rdb->fault = 1;
    rdb->st.state = NGX_LITESTREAM_DB_ERROR;

    ngx_litestream_status_db_write(rdb);
}


/*
 * Brings a database into place: looks, restores it when it is missing.  Ends
 * in ngx_litestream_placed(), or tries again later.  Supervisor, does not
 * block.
 */

void
ngx_litestream_place(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    if (rdb->job) {
        return;
    }

    rdb->retry.handler = ngx_litestream_retry_handler;
    rdb->retry.data = rdb;
    rdb->retry.log = ngx_litestream_sup->log;

    job = ngx_litestream_job_new("restore", rdb);

    if (job == NULL) {
        ngx_litestream_retry(rdb);
        return;
    }

    job->prepare = ngx_litestream_place_prepare;
    job->run = ngx_litestream_place_run;
    job->message = ngx_litestream_place_message;
    job->done = ngx_litestream_place_done;

    /* the job has its own limits; this one is for a job that hangs */

    job->timeout = ngx_litestream_sup->conf->restore_timeout + 5000;
    job->in.txid = rdb->seen_txid;
    job->in.from = rdb->seen_at;
    job->in.rc = ngx_litestream_lock_db(rdb->db, job->in.text,
                                        sizeof(job->in.text));

    rdb->job = job;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_PLACE);
}


/* what was seen in a replica, for people */

void
ngx_litestream_what(char *buf, size_t size, uint64_t txid)
{
    if (txid > 1) {
        (void) snprintf(buf, size, "transaction %016llx",
                        (unsigned long long) txid);
        return;
    }

    /* also that of a Litestream whose transactions have no numbers */

    (void) snprintf(buf, size, "a backup");
}


/* ms since 1970, for people */

void
ngx_litestream_when(char *buf, size_t size, int64_t ms)
{
    time_t     t;
    struct tm  tm;

    t = ms / 1000;
    (void) gmtime_r(&t, &tm);
    (void) strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}


/*
 * In a job: restores the newest of the database of job to the file "to", with
 * progress as tick tells.  As ngx_litestream_job_exec(), whose result is run.
 */

ngx_int_t
ngx_litestream_restore(ngx_litestream_job_t *job, char *to,
    ngx_litestream_tick_pt tick, ngx_litestream_run_t *run)
{
    char        *argv[12];
    ngx_uint_t   n;

    n = ngx_litestream_job_argv(job, argv, "restore");
    argv[n++] = "-json";
    argv[n++] = "-o";
    argv[n++] = to;
    argv[n++] = (char *) job->rdb->db->path.data;
    argv[n] = NULL;

    return ngx_litestream_job_exec(job, argv,
                                   ngx_litestream_sup->conf->restore_timeout,
                                   tick, run);
}


static char *
ngx_litestream_temp(ngx_litestream_db_t *db)
{
    static char  temp[4200];

    (void) snprintf(temp, sizeof(temp), "%s/.%s.ngx-litestream-restore",
                    (char *) db->dir.data, (char *) db->name.data);
    return temp;
}


static void
ngx_litestream_place_clean(ngx_litestream_db_t *db)
{
    ngx_litestream_clean(ngx_litestream_temp(db));
}


/* in jobs: a temporary file of a restore, and what SQLite leaves beside it */

void
ngx_litestream_clean(char *temp)
{
    char        name[4300];
    ngx_uint_t  i;

    static char  *tails[] = {
        "", "-wal", "-shm", "-journal",
        ".tmp", ".tmp-wal", ".tmp-shm", ".tmp-journal"
    };

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {
        (void) snprintf(name, sizeof(name), "%s%s", temp, tails[i]);
        (void) unlink(name);
    }
}


/*
 * Progress is bytes of the temporary file, and once that is complete, while
 * Litestream checks it, CPU time.
 */

static ngx_uint_t
ngx_litestream_restore_tick(ngx_litestream_job_t *job)
{
    char             name[4300];
    int64_t          time;
    uint64_t         cpu;
    struct stat      st;

    static int64_t   bytes = -1, written;
    static uint64_t  used;

    cpu = 0;

    (void) snprintf(name, sizeof(name), "%s.tmp",
                    ngx_litestream_temp(job->rdb->db));

    if (stat(name, &st) == -1) {

        if (stat(ngx_litestream_temp(job->rdb->db), &st) == -1) {
            return 0;
        }

        cpu = ngx_litestream_job_cpu(job);
    }

    /* Litestream 0.3 writes WALs into what is there already */

    time = (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;

    if (st.st_size == bytes && time == written && cpu == used) {
        return 0;
    }

    bytes = st.st_size;
    written = time;
    used = cpu;

    ngx_litestream_progress_tell(job, bytes);

    return 1;
}


static void
ngx_litestream_progress_tell(ngx_litestream_job_t *job, int64_t bytes)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_PROGRESS;
    msg.bytes = bytes;
    msg.total = job->result.total;

    ngx_litestream_job_tell(job, &msg);
}


static ngx_int_t
ngx_litestream_restore_txid(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    if (value && depth == 1 && ngx_strcmp(key->data, "txid") == 0) {
        (void) ngx_litestream_txid(value->data, value->len, data);
        return NGX_DONE;
    }

    return NGX_OK;
}


/*
 * A file of 0 bytes that nobody has open counts as missing; NGX_OK: it is
 * so.  A lease can be had only on a file that nobody else has open.
 */

static ngx_int_t
ngx_litestream_place_empty(ngx_litestream_job_t *job)
{
    int                   fd;
    struct stat           st;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    fd = open((char *) db->path.data,
              O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return NGX_DECLINED;
    }

    if (fcntl(fd, F_SETLEASE, F_WRLCK) == -1
        || fstat(fd, &st) == -1 || st.st_size != 0)
    {
        (void) close(fd);
        return NGX_DECLINED;
    }

    (void) close(fd);

    return NGX_OK;
}


static void
ngx_litestream_place_run(ngx_litestream_job_t *job)
{
    int                              fd;
    char                             name[4600], text[512];
    char                             when[64];
    char                            *temp;
    int64_t                          avail, at;
    ngx_int_t                        rc;
    ngx_uint_t                       n, empty;
    struct stat                      st, made;
    struct statvfs                   vfs;
    struct timespec                  t0, t1;
    ngx_litestream_db_t             *db;
    ngx_litestream_run_t             run;
    ngx_litestream_conf_t           *conf;
    ngx_litestream_list_t            list;
    ngx_litestream_aside_t           aside;
    ngx_litestream_job_msg_t         msg;
    ngx_litestream_restore_facts_t   facts;

    db = job->rdb->db;
    conf = ngx_litestream_sup->conf;
    temp = ngx_litestream_temp(db);

    job->result.total = -1;
    empty = 0;
    at = 0;

    if (job->in.rc != NGX_OK) {
        ngx_litestream_fail(job, "%s", job->in.text);
        return;
    }

    /* Litestream would make it, on whatever is below a missing mount */

    if (ngx_litestream_dir_fd(db) == -1
        || stat((char *) db->dir.data, &st) == -1)
    {
        ngx_litestream_fail(job, "directory \"%s\" is missing",
                            (char *) db->dir.data);
        return;
    }

    if (lstat((char *) db->path.data, &st) == 0) {

        if (!S_ISREG(st.st_mode)) {
            ngx_litestream_fail(job, "\"%s\" is not a regular file",
                                (char *) db->path.data);
            return;
        }

        if (st.st_size > 0 || db->restore == NGX_LITESTREAM_RESTORE_OFF
            || ngx_litestream_place_empty(job) != NGX_OK)
        {
            job->result.rc = NGX_LITESTREAM_OUTCOME_PRESENT;
            job->result.size = st.st_size;
            return;
        }

        empty = 1;

    } else if (errno != ENOENT) {
        ngx_litestream_fail(job, "\"%s\" cannot be looked at: %s",
                            (char *) db->path.data, strerror(errno));
        return;
    }

    if (db->restore == NGX_LITESTREAM_RESTORE_OFF) {
        job->result.rc = NGX_LITESTREAM_OUTCOME_OFF;
        return;
    }

    ngx_litestream_progress_tell(job, 0);

    if (ngx_litestream_kind->list(job, &list) != NGX_OK) {
        return;
    }

    if (list.files == 0 && ngx_litestream_old_seen(job) != NGX_OK) {
        return;
    }

    ngx_litestream_list_result(job, &list);

    ngx_memzero(&facts, sizeof(ngx_litestream_restore_facts_t));
    facts.rc = -1;
    facts.files = list.files;
    facts.seen = job->in.txid;
    facts.required = (db->restore == NGX_LITESTREAM_RESTORE_REQUIRED);

    name[0] = '\0';

    if (job->result.newer) {
        ngx_litestream_fail(job, "replica \"%s\" holds a backup of "
                            "Litestream 0.5, which 0.3 cannot restore",
                            (char *) db->replica->url.data);
        return;
    }

    if (list.files == 0) {
        facts.sibling = ngx_litestream_sibling(db, name, sizeof(name));

        if (!facts.sibling
            && ngx_litestream_memory_moved(db, (u_char *) name, sizeof(name),
                                           &at)
               == NGX_OK)
        {
            facts.moved = 1;
        }

    } else {

        if (job->in.text[0]) {
            ngx_litestream_fail(job, "%s", job->in.text);
            return;
        }

        job->result.total = ngx_litestream_restored_size(db, &list);

        if (statvfs((char *) db->dir.data, &vfs) == 0) {

            avail = (int64_t) vfs.f_bavail * (int64_t) vfs.f_frsize;

            if (avail < job->result.total) {
                ngx_litestream_fail(job, "not enough space in \"%s\" to "
                                    "restore: %lld bytes are needed, %lld "
                                    "are free", (char *) db->dir.data,
                                    (long long) job->result.total,
                                    (long long) avail);
                return;
            }
        }
    }

    /* the lock is ours: what lies there is left over from a killed restore */

    ngx_litestream_place_clean(db);

    /* the storage has answered: the time limit of the job starts anew */

    ngx_litestream_progress_tell(job, 0);

    (void) clock_gettime(CLOCK_MONOTONIC, &t0);

    if (ngx_litestream_kind->restore(job, temp, ngx_litestream_restore_tick,
                                     &run)
        != NGX_OK)
    {
        if (run.timedout) {
            ngx_litestream_fail(job, "restore from \"%s\" made no progress "
                                "within %lu %s%s%s",
                                (char *) db->replica->url.data,
                                (unsigned long) (conf->restore_timeout % 1000
                                    ? conf->restore_timeout
                                    : conf->restore_timeout / 1000),
                                conf->restore_timeout % 1000 ? "ms" : "s",
                                run.last[0] ? ": " : "", run.last);

        } else {
            ngx_litestream_fail(job, "restore from \"%s\" was interrupted",
                                (char *) db->replica->url.data);
        }

        ngx_litestream_place_clean(db);
        return;
    }

    facts.rc = WIFEXITED(run.status) ? WEXITSTATUS(run.status) : 255;
    facts.none = (strcmp(run.last, ngx_litestream_kind->none) == 0);

    switch (ngx_litestream_restore_verdict(&facts)) {

    case NGX_LITESTREAM_PROVEN_NEW:
        job->result.rc = NGX_LITESTREAM_OUTCOME_NEW;
        return;

    case NGX_LITESTREAM_REQUIRED:
        ngx_litestream_fail(job, "replica \"%s\" holds no backup, and "
                            "restore=required",
                            (char *) db->replica->url.data);
        return;

    case NGX_LITESTREAM_WAS_FULL:
        ngx_litestream_when(name, sizeof(name), job->in.from);
        ngx_litestream_what(text, sizeof(text), facts.seen);
        ngx_litestream_fail(job, "replica \"%s\" is empty, but %s was seen "
                            "there at %s: is its storage mounted?",
                            (char *) db->replica->url.data, text, name);
        return;

    case NGX_LITESTREAM_ELSEWHERE:
        ngx_litestream_fail(job, "replica \"%s\" is empty, but \"%.400s\" "
                            "holds a backup: did you mean replica=file://%.400s"
                            " ? (if this database is really new: restore=off)",
                            (char *) db->replica->url.data, name, name);
        return;

    case NGX_LITESTREAM_MOVED:
        ngx_litestream_when(when, sizeof(when), at);
        ngx_litestream_fail(job, "replica \"%s\" holds no backup, but this "
                            "database was replicated to \"%.400s\" until %s: "
                            "was its alias or replica changed? (if it is to "
                            "begin anew: restore=off)",
                            (char *) db->replica->url.data, name, when);
        return;

    case NGX_LITESTREAM_BROKEN:
        ngx_litestream_fail(job, "replica \"%s\" holds %llu %s, but "
                            "nothing can be restored from them: it is "
                            "damaged: %s", (char *) db->replica->url.data,
                            (unsigned long long) list.files,
                            ngx_litestream_kind->files, run.last);
        ngx_litestream_place_clean(db);
        return;

    case NGX_LITESTREAM_UNKNOWN:
        ngx_litestream_fail(job, "restore from \"%s\" failed: %s",
                            (char *) db->replica->url.data,
                            run.last[0] ? run.last : "no reason given");
        ngx_litestream_place_clean(db);
        return;

    case NGX_LITESTREAM_RESTORED:

        /* of Litestream 0.3, whose backups are not listed */

        if (job->in.text[0]) {
            ngx_litestream_fail(job, "%s", job->in.text);
            ngx_litestream_place_clean(db);
            return;
        }

        break;
    }

    if (run.out && ngx_litestream_kind->txid) {
        (void) ngx_litestream_yaml_read(run.out, run.len,
                                        ngx_litestream_restore_txid,
                                        &job->result.txid);
    }

    /* whoever may write in the directory may have put something there */

    fd = open(temp, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        ngx_litestream_fail(job, "restored file \"%s\" cannot be finished: %s",
                            temp, strerror(errno));
        ngx_litestream_place_clean(db);
        return;
    }

    if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
        ngx_litestream_fail(job, "restored file \"%s\" cannot be finished: "
                            "it is not what was restored", temp);
        (void) close(fd);
        ngx_litestream_place_clean(db);
        return;
    }

    if (conf->integrity_check != NGX_LITESTREAM_CHECK_NONE) {

        /* Litestream's own check knows no functions of applications */

        rc = ngx_litestream_integrity(job, temp, conf->integrity_check
                                                 == NGX_LITESTREAM_CHECK_FULL,
                                      conf->restore_timeout,
                                      ngx_litestream_restore_tick, text,
                                      sizeof(text));

        if (rc == NGX_DECLINED) {
            ngx_litestream_fail(job, "what replica \"%s\" holds fails the "
                                "integrity check: %s",
                                (char *) db->replica->url.data, text);
            (void) close(fd);
            ngx_litestream_place_clean(db);
            return;
        }

        if (rc != NGX_OK) {
            ngx_litestream_fail(job, "restored file \"%s\" cannot be "
                                "finished: integrity check: %s", temp, text);
            (void) close(fd);
            ngx_litestream_place_clean(db);
            return;
        }
    }

    /* owner and mode while it still has its private name */

    if (fstat(fd, &st) == -1 || fchmod(fd, db->mode) == -1
        || fsync(fd) == -1)
    {
        ngx_litestream_fail(job, "restored file \"%s\" cannot be finished: %s",
                            temp, strerror(errno));
        (void) close(fd);
        ngx_litestream_place_clean(db);
        return;
    }

    if (st.st_uid != db->owner || st.st_gid != db->owner_group) {

        /* the one act of root; the supervisor does it */

        ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

        if (ngx_litestream_job_ask(job, &msg) != NGX_OK || msg.rc != NGX_OK) {
            ngx_litestream_fail(job, "restored file cannot be given to its "
                                "owner: %s", msg.text);
            (void) close(fd);
            ngx_litestream_place_clean(db);
            return;
        }
    }

    (void) close(fd);

    if (empty && ngx_litestream_place_empty(job) == NGX_OK) {
        (void) unlink((char *) db->path.data);
    }

    /* of one that was made meanwhile the side files are its own */

    if (lstat((char *) db->path.data, &made) == 0) {
        ngx_litestream_place_made(job);
        return;
    }

    /* a WAL of the old file would be replayed on top of the restored one */

    if (ngx_litestream_aside(job, &aside) != NGX_OK) {
        ngx_litestream_place_clean(db);
        return;
    }

    if (syscall(SYS_renameat2, AT_FDCWD, temp, AT_FDCWD,
                (char *) db->path.data, RENAME_NOREPLACE)
        == -1)
    {
        if (errno == EINVAL || errno == ENOSYS) {

            /* a file system without it: link() does not replace either */

            if (link(temp, (char *) db->path.data) == 0) {
                (void) unlink(temp);
                goto placed;
            }
        }

        if (errno == EEXIST) {
            ngx_litestream_aside_back(&aside);
            ngx_litestream_place_made(job);
            return;
        }

        ngx_litestream_fail(job, "rename() of the restored file to \"%s\" "
                            "failed: %s", (char *) db->path.data,
                            strerror(errno));

        ngx_litestream_aside_back(&aside);
        ngx_litestream_place_clean(db);
        return;
    }

placed:

    for (n = 0; n < aside.n; n++) {
        ngx_litestream_job_log(job, "database \"%s\": \"%.300s\" of a "
                               "database that is gone was moved aside to "
                               "\"%.400s\"", (char *) db->alias.data,
                               aside.from[n], aside.to[n]);
    }

    fd = open((char *) db->dir.data, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != -1) {
        (void) fsync(fd);
        (void) close(fd);
    }

    (void) clock_gettime(CLOCK_MONOTONIC, &t1);

    job->result.ms[0] = (t1.tv_sec - t0.tv_sec) * 1000
                        + (t1.tv_nsec - t0.tv_nsec) / 1000000;
    job->result.bytes = st.st_size;
    job->result.size = st.st_size;
    job->result.rc = NGX_LITESTREAM_OUTCOME_RESTORED;

    (void) ngx_litestream_identity(db->path.data, &job->result.dev,
                                   &job->result.ino, NULL);
}


/* the application did not wait: what it has made is not touched */

static void
ngx_litestream_place_made(ngx_litestream_job_t *job)
{
    ngx_litestream_fail(job, "\"%s\" was made by somebody else while it was "
                        "being restored; it was left alone, and the restored "
                        "file removed", (char *) job->rdb->db->path.data);

    ngx_litestream_place_clean(job->rdb->db);
}


/*
 * In the supervisor, as root: owner of a restored file, by its name in the
 * locked directory, so that nothing can be swapped underneath.  msg->rc is
 * NGX_OK, or its text says why not.
 */

void
ngx_litestream_own(ngx_litestream_db_t *db, char *name,
    ngx_litestream_job_msg_t *msg)
{
    int          fd, dir;
    struct stat  st;

    msg->rc = NGX_ERROR;

    if (geteuid() != 0) {

        /* a plain user keeps what the directory's group bit gave */

        msg->rc = NGX_OK;
        return;
    }

    dir = ngx_litestream_dir_fd(db);

    fd = openat(dir, name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        (void) snprintf(msg->text, sizeof(msg->text), "openat() failed: %s",
                        strerror(errno));
        return;
    }

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink != 1
        || st.st_uid != db->group->uid)
    {
        (void) snprintf(msg->text, sizeof(msg->text),
                        "it is not what was restored");

    } else if (fchown(fd, db->owner, db->owner_group) == -1) {
        (void) snprintf(msg->text, sizeof(msg->text), "fchown() failed: %s",
                        strerror(errno));

    } else {
        msg->rc = NGX_OK;
    }

    (void) close(fd);
}


static void
ngx_litestream_place_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    char                   name[512];
    ngx_litestream_rdb_t  *rdb;

    rdb = job->rdb;

    if (msg->type == NGX_LITESTREAM_JOB_ASK) {
        (void) snprintf(name, sizeof(name), ".%s.ngx-litestream-restore",
                        (char *) rdb->db->name.data);

        ngx_litestream_own(rdb->db, name, msg);
        ngx_litestream_job_answer(job, msg);
        return;
    }

    ngx_litestream_heard(rdb);

    rdb->st.state = NGX_LITESTREAM_DB_RESTORING;
    rdb->st.restore_state = NGX_LITESTREAM_RESTORE_RUNNING;
    rdb->st.restore_bytes = msg->bytes;
    rdb->st.restore_total = msg->total;

    ngx_litestream_status_db_write(rdb);
}


static void
ngx_litestream_place_done(ngx_litestream_job_t *job)
{
    char                       what[64];
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_job_msg_t  *res;

    rdb = job->rdb;
    res = &job->result;

    rdb->job = NULL;

    if (!job->has_result) {
        res->rc = NGX_LITESTREAM_OUTCOME_ERROR;
    }

    if (res->files) {
        ngx_litestream_history_set(rdb, res->files, res->txid, res->from,
                                   res->to);
        ngx_litestream_memory_seen(rdb, res->txid);
    }

    rdb->db->outcome = res->rc;

    switch (res->rc) {

    case NGX_LITESTREAM_OUTCOME_PRESENT:
        break;

    case NGX_LITESTREAM_OUTCOME_RESTORED:

        rdb->db->restored_txid = ngx_litestream_kind->txid ? res->txid : 0;
        rdb->db->restored_bytes = res->bytes;
        rdb->db->restored_ms = res->ms[0];

        rdb->restored_txid = res->txid;
        rdb->restored_dev = res->dev;
        rdb->restored_ino = res->ino;
        ngx_litestream_sup->memory_dirty = 1;

        /* 0.5 has restored what 0.3 has left, where it cannot list that */

        if (res->txid || res->old.generation) {
            rdb->old.pos = res->old;
        }

        if (res->old.generation) {
            (void) snprintf(what, sizeof(what), "generation %016llx",
                            (unsigned long long) res->old.generation);

        } else {
            ngx_litestream_what(what, sizeof(what), res->txid);
        }

        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was restored from \"%V\": "
                      "%L bytes, %s, %uD ms",
                      &rdb->db->alias, &rdb->db->replica->url, res->bytes,
                      what, res->ms[0]);

        if (job->in.txid > 1 && job->in.txid > res->txid) {
            ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                          "litestream: database \"%V\": transaction %016xL is "
                          "the newest in \"%V\", but %016xL was seen there: "
                          "what came after the restored one is lost",
                          &rdb->db->alias, (uint64_t) res->txid,
                          &rdb->db->replica->url, (uint64_t) job->in.txid);
        }

        break;

    case NGX_LITESTREAM_OUTCOME_NEW:
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" is new: replica \"%V\" is "
                      "empty", &rdb->db->alias, &rdb->db->replica->url);
        break;

    case NGX_LITESTREAM_OUTCOME_OFF:
        break;

    default:
        rdb->db->outcome = NGX_LITESTREAM_OUTCOME_ERROR;
        rdb->st.restore_state = NGX_LITESTREAM_RESTORE_FAILED;
        rdb->st.restore_failures++;
        ngx_litestream_copy(rdb->st.restore_error,
                            sizeof(rdb->st.restore_error),
                            (u_char *) res->text, ngx_strlen(res->text));

        if (!ngx_litestream_sup->restore_only) {
            ngx_litestream_db_error(rdb, "%s", res->text);
            ngx_litestream_retry(rdb);
            return;
        }
    }

    ngx_litestream_placed(rdb);
}


void
ngx_litestream_retry(ngx_litestream_rdb_t *rdb)
{
    if (ngx_litestream_sup->terminating || ngx_litestream_sup->final
        || ngx_litestream_sup->leaving)
    {
        return;
    }

    rdb->delay = rdb->delay ? ngx_min(rdb->delay * 2,
                                      NGX_LITESTREAM_BACKOFF_MAX)
                            : NGX_LITESTREAM_BACKOFF_MIN;

    ngx_add_timer(&rdb->retry, rdb->delay);
}


void
ngx_litestream_retry_handler(ngx_event_t *ev)
{
    ngx_litestream_rdb_t  *rdb;

    rdb = ev->data;

    if (rdb->placed) {
        ngx_litestream_check(rdb);

    } else {
        ngx_litestream_place(rdb);
    }
}
