
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The job of a restore to a new file: which transactions it takes, is there
 * room for them, and the file itself, which replaces nothing.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_point.h"

#include <sys/statvfs.h>
#include <sys/syscall.h>


#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE  (1 << 0)
#endif

/* listed by Litestream, times have no milliseconds */
#define NGX_LITESTREAM_POINT_SECOND  999

/* names that are tried, a second apart */
#define NGX_LITESTREAM_POINT_NAMES   10


static ngx_int_t ngx_litestream_point_choose(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_point_time(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
static ngx_int_t ngx_litestream_point_plan(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_point_plan_value(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);
static ngx_int_t ngx_litestream_point_txid(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list, ngx_litestream_history_t *h);
static ngx_int_t ngx_litestream_point_space(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list, ngx_litestream_history_t *h);
static ngx_int_t ngx_litestream_point_restore(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_point_exec(ngx_litestream_job_t *job,
    char **args, ngx_litestream_tick_pt tick, ngx_litestream_run_t *run);
static ngx_int_t ngx_litestream_point_place(ngx_litestream_job_t *job);
static ngx_uint_t ngx_litestream_point_tick(ngx_litestream_job_t *job);
static void ngx_litestream_point_tell(ngx_litestream_job_t *job);
static void ngx_litestream_point_ms(char *buf, size_t size, int64_t ms);
static ngx_int_t ngx_litestream_point_fail(ngx_litestream_job_t *job,
    ngx_uint_t status);


/* the text is there, this is its status */

static ngx_int_t
ngx_litestream_point_fail(ngx_litestream_job_t *job, ngx_uint_t status)
{
    job->result.rc = NGX_ERROR;
    job->result.index = status;

    return NGX_ERROR;
}


/*
 * Where it is restored to before it gets its name: in the database's directory,
 * in static memory.  Jobs only.
 */

char *
ngx_litestream_point_temp(ngx_litestream_db_t *db)
{
    static char  temp[4200];

    (void) snprintf(temp, sizeof(temp), "%s/.%s.ngx-litestream-point",
                    (char *) db->dir.data, (char *) db->name.data);
    return temp;
}


static void
ngx_litestream_point_ms(char *buf, size_t size, int64_t ms)
{
    size_t     n;
    time_t     t;
    struct tm  tm;

    t = ms / 1000;
    (void) gmtime_r(&t, &tm);

    n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(buf + n, size - n, ".%03uZ", (unsigned) (ms % 1000));
}


/*
 * Restores and places the file: job->result.  In the job, as the user of the
 * database, may block.
 */

void
ngx_litestream_point_run(ngx_litestream_job_t *job)
{
    char                 *temp;
    struct stat           st;
    struct timespec       t0, t1;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;
    temp = ngx_litestream_point_temp(db);

    (void) clock_gettime(CLOCK_MONOTONIC, &t0);

    job->result.rc = NGX_ERROR;
    job->result.total = -1;

    if (job->in.rc != NGX_OK) {
        ngx_litestream_fail(job, "%s", job->in.text);
        (void) ngx_litestream_point_fail(job, 503);
        return;
    }

    if (stat((char *) db->dir.data, &st) == -1) {
        ngx_litestream_fail(job, "directory \"%s\" is missing",
                            (char *) db->dir.data);
        (void) ngx_litestream_point_fail(job, 503);
        return;
    }

    /* what a job that was killed has left */

    ngx_litestream_clean(temp);

    if (ngx_litestream_point_choose(job) == NGX_OK
        && ngx_litestream_point_restore(job) == NGX_OK
        && ngx_litestream_point_place(job) == NGX_OK)
    {
        (void) clock_gettime(CLOCK_MONOTONIC, &t1);

        job->result.rc = NGX_OK;
        job->result.ms[0] = (t1.tv_sec - t0.tv_sec) * 1000
                            + (t1.tv_nsec - t0.tv_nsec) / 1000000;
        return;
    }

    ngx_litestream_clean(temp);
}


/* which transaction it is, result.txid, and is there room for it */

static ngx_int_t
ngx_litestream_point_choose(ngx_litestream_job_t *job)
{
    ngx_litestream_db_t       *db;
    ngx_litestream_list_t      list;
    ngx_litestream_history_t   h;

    db = job->rdb->db;

    if (ngx_litestream_list_all(job, &list) != NGX_OK) {
        return ngx_litestream_point_fail(job, 503);
    }

    job->result.files = list.files;
    job->result.from = list.from;
    job->result.to = list.to;

    if (list.files == 0) {
        ngx_litestream_fail(job, "replica \"%s\" holds no backup",
                            (char *) db->replica->url.data);
        return ngx_litestream_point_fail(job, 404);
    }

    if (job->in.from && ngx_litestream_point_time(job, &list) != NGX_OK) {
        return NGX_ERROR;
    }

    /* Litestream alone knows the times that S3 and the like have stored */

    if (job->in.from && !ngx_litestream_batch_fits(job->rdb)) {

        if (ngx_litestream_point_plan(job) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_litestream_history(list.entries, list.nentries, 0,
                               job->result.txid, &h);
        h.file = h.exact;

    } else {
        ngx_litestream_history(list.entries, list.nentries, job->in.from,
                               job->in.txid, &h);

        if (ngx_litestream_point_txid(job, &list, &h) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    free(list.entries);

    return ngx_litestream_point_space(job, &list, &h);
}


/* is the time in what the backup spans? */

static ngx_int_t
ngx_litestream_point_time(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    char     at[32], end[32];
    int64_t  to;

    /* nothing was committed between the newest file and the last sync */

    to = list->to;

    if (!ngx_litestream_batch_fits(job->rdb)) {
        to += NGX_LITESTREAM_POINT_SECOND;
    }

    to = ngx_max(to, job->in.to);

    ngx_litestream_point_ms(at, sizeof(at), job->in.from);

    if (job->in.from > to) {
        ngx_litestream_point_ms(end, sizeof(end), to);
        ngx_litestream_fail(job, "the state at %s is not in replica \"%s\": "
                            "it ends at %s", at,
                            (char *) job->rdb->db->replica->url.data, end);
        return ngx_litestream_point_fail(job, 404);
    }

    if (list->from && job->in.from < list->from) {
        ngx_litestream_point_ms(end, sizeof(end), list->from);
        ngx_litestream_fail(job, "the state at %s is not in replica \"%s\": "
                            "it begins at %s", at,
                            (char *) job->rdb->db->replica->url.data, end);
        return ngx_litestream_point_fail(job, 404);
    }

    return NGX_OK;
}


/* in: what a restore of this very time would end with */

static ngx_int_t
ngx_litestream_point_plan(ngx_litestream_job_t *job)
{
    char                   at[32], *args[6];
    ngx_uint_t             n;
    ngx_litestream_run_t   run;

    /* up to and including that time: Litestream leaves out what is of it */

    ngx_litestream_point_ms(at, sizeof(at), job->in.from + 1);

    n = 0;
    args[n++] = "-dry-run";
    args[n++] = "-json";
    args[n++] = "-timestamp";
    args[n++] = at;
    args[n] = NULL;

    if (ngx_litestream_point_exec(job, args, NULL, &run) != NGX_OK) {
        return NGX_ERROR;
    }

    if (run.out == NULL
        || ngx_litestream_yaml_read(run.out, run.len,
                                    ngx_litestream_point_plan_value,
                                    &job->result.txid)
           == NGX_ERROR
        || job->result.txid == 0)
    {
        ngx_litestream_fail(job, "the plan of a restore from \"%s\" cannot be "
                            "understood",
                            (char *) job->rdb->db->replica->url.data);
        return ngx_litestream_point_fail(job, 503);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_point_plan_value(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    if (value && depth == 1 && ngx_strcmp(key->data, "max_txid") == 0) {
        return ngx_litestream_txid(value->data, value->len, data);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_point_txid(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list, ngx_litestream_history_t *h)
{
    char      other[128];
    uint64_t  wanted;

    wanted = job->in.txid;

    if (wanted > list->txid) {
        ngx_litestream_fail(job, "transaction %016llx is not in replica "
                            "\"%s\": its newest is %016llx",
                            (unsigned long long) wanted,
                            (char *) job->rdb->db->replica->url.data,
                            (unsigned long long) list->txid);
        return ngx_litestream_point_fail(job, 404);
    }

    if (wanted && h->exact.max == 0 && h->txid) {

        other[0] = '\0';

        if (h->below && h->above) {
            (void) snprintf(other, sizeof(other), "%016llx and %016llx",
                            (unsigned long long) h->below,
                            (unsigned long long) h->above);

        } else {
            (void) snprintf(other, sizeof(other), "%016llx",
                            (unsigned long long)
                            (h->below ? h->below : h->above));
        }

        ngx_litestream_fail(job, "transaction %016llx cannot be restored by "
                            "itself any more, the next to it that can: %s",
                            (unsigned long long) wanted, other);
        return ngx_litestream_point_fail(job, 404);
    }

    if (h->txid == 0 || (wanted == 0 && h->newest > h->txid)) {
        ngx_litestream_fail(job, "replica \"%s\" is damaged: transaction "
                            "%016llx follows %016llx, what is between is "
                            "missing",
                            (char *) job->rdb->db->replica->url.data,
                            (unsigned long long) h->newest,
                            (unsigned long long) h->txid);
        return ngx_litestream_point_fail(job, 503);
    }

    if (wanted) {
        h->file = h->exact;
    }

    job->result.txid = h->file.max;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_point_space(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list, ngx_litestream_history_t *h)
{
    int64_t               avail;
    struct stat           st;
    struct statvfs        vfs;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    list->txid = h->file.max;
    list->newest_min = h->file.min;
    list->newest_level = h->file.level;

    /* what it was once, or is now */

    if (ngx_litestream_batch_fits(job->rdb)) {
        job->result.total = ngx_litestream_restored_size(db, list);

    } else if (stat((char *) db->path.data, &st) == 0) {
        job->result.total = st.st_size;
    }

    ngx_litestream_point_tell(job);

    if (statvfs((char *) db->dir.data, &vfs) == -1) {
        return NGX_OK;
    }

    avail = (int64_t) vfs.f_bavail * (int64_t) vfs.f_frsize;

    if (avail < job->result.total) {
        ngx_litestream_fail(job, "not enough space in \"%s\" to restore: %lld "
                            "bytes are needed, %lld are free",
                            (char *) db->dir.data,
                            (long long) job->result.total, (long long) avail);
        return ngx_litestream_point_fail(job, 503);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_point_restore(ngx_litestream_job_t *job)
{
    char                    txid[20], text[512], *args[6];
    ngx_uint_t              n;
    ngx_litestream_db_t    *db;
    ngx_litestream_run_t    run;
    ngx_litestream_conf_t  *conf;

    db = job->rdb->db;
    conf = ngx_litestream_sup->conf;

    (void) snprintf(txid, sizeof(txid), "%016llx",
                    (unsigned long long) job->result.txid);

    n = 0;
    args[n++] = "-txid";
    args[n++] = txid;
    args[n] = NULL;

    if (ngx_litestream_point_exec(job, args, ngx_litestream_point_tick, &run)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_litestream_integrity(job, ngx_litestream_point_temp(db),
                                 conf->integrity_check
                                 == NGX_LITESTREAM_CHECK_FULL,
                                 conf->restore_timeout,
                                 ngx_litestream_point_tick, text, sizeof(text))
        != NGX_OK)
    {
        ngx_litestream_fail(job, "transaction %s of replica \"%s\" fails the "
                            "integrity check: %s", txid,
                            (char *) db->replica->url.data, text);
        return ngx_litestream_point_fail(job, 503);
    }

    return NGX_OK;
}


/* runs "litestream restore" with these arguments */

static ngx_int_t
ngx_litestream_point_exec(ngx_litestream_job_t *job, char **args,
    ngx_litestream_tick_pt tick, ngx_litestream_run_t *run)
{
    char                   *argv[20];
    ngx_int_t               rc;
    ngx_uint_t              n, tries;
    ngx_litestream_db_t    *db;
    ngx_litestream_conf_t  *conf;

    db = job->rdb->db;
    conf = ngx_litestream_sup->conf;

    n = ngx_litestream_job_argv(job, argv, "restore");

    while (*args) {
        argv[n++] = *args++;
    }

    argv[n++] = "-o";
    argv[n++] = ngx_litestream_point_temp(db);
    argv[n++] = (char *) db->path.data;
    argv[n] = NULL;

    for (tries = 0; /* void */ ; tries++) {

        rc = ngx_litestream_job_exec(job, argv, conf->restore_timeout, tick,
                                     run);

        /* retention may take a file between the plan and its reading */

        if (rc != NGX_OK || run->status == 0 || tries
            || strstr(run->last, "no such file") == NULL)
        {
            break;
        }

        ngx_litestream_clean(ngx_litestream_point_temp(db));
    }

    if (rc == NGX_OK && run->status == 0) {
        return NGX_OK;
    }

    if (rc != NGX_OK && run->timedout) {
        ngx_litestream_fail(job, "restore from \"%s\" made no progress within "
                            "%lu ms%s%s", (char *) db->replica->url.data,
                            (unsigned long) conf->restore_timeout,
                            run->last[0] ? ": " : "", run->last);

    } else if (rc != NGX_OK) {
        ngx_litestream_fail(job, "restore from \"%s\" was interrupted",
                            (char *) db->replica->url.data);

    } else {
        ngx_litestream_fail(job, "restore from \"%s\" failed: %s",
                            (char *) db->replica->url.data,
                            run->last[0] ? run->last : "no reason given");
    }

    return ngx_litestream_point_fail(job, 503);
}


/* owner, mode and name */

static ngx_int_t
ngx_litestream_point_place(ngx_litestream_job_t *job)
{
    int                        fd;
    char                       name[4300], when[20], *temp;
    mode_t                     mode;
    time_t                     now;
    struct tm                  tm;
    ngx_uint_t                 n;
    struct stat                st, was;
    ngx_litestream_db_t       *db;
    ngx_litestream_job_msg_t   msg;

    db = job->rdb->db;
    temp = ngx_litestream_point_temp(db);

    /* nobody may read more than of the database as it is now */

    mode = (lstat((char *) db->path.data, &was) == 0 && S_ISREG(was.st_mode))
           ? was.st_mode & 0777 : db->mode;

    fd = open(temp, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd != -1 && fstat(fd, &st) == 0
        && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
    {
        ngx_litestream_fail(job, "restored file \"%s\" cannot be finished: it "
                            "is not what was restored", temp);
        (void) close(fd);

        return ngx_litestream_point_fail(job, 503);
    }

    if (fd == -1 || fstat(fd, &st) == -1 || fchmod(fd, mode) == -1
        || fsync(fd) == -1)
    {
        ngx_litestream_fail(job, "restored file \"%s\" cannot be finished: %s",
                            temp, strerror(errno));

        if (fd != -1) {
            (void) close(fd);
        }

        return ngx_litestream_point_fail(job, 503);
    }

    (void) close(fd);

    if (st.st_uid != db->owner || st.st_gid != db->owner_group) {

        /* the one act of root; the supervisor does it */

        ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

        if (ngx_litestream_job_ask(job, &msg) != NGX_OK || msg.rc != NGX_OK) {
            ngx_litestream_fail(job, "restored file cannot be given to its "
                                "owner: %s", msg.text);
            return ngx_litestream_point_fail(job, 503);
        }
    }

    now = time(NULL);

    for (n = 0; n < NGX_LITESTREAM_POINT_NAMES; n++, now++) {

        (void) gmtime_r(&now, &tm);
        (void) strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
        (void) snprintf(name, sizeof(name), "%s.restored-%s-%016llx",
                        (char *) db->path.data, when,
                        (unsigned long long) job->result.txid);

        if (syscall(SYS_renameat2, AT_FDCWD, temp, AT_FDCWD, name,
                    RENAME_NOREPLACE)
            == 0)
        {
            goto placed;
        }

        /* a file system without it: link() does not replace either */

        if ((errno == EINVAL || errno == ENOSYS) && link(temp, name) == 0) {
            (void) unlink(temp);
            goto placed;
        }

        if (errno != EEXIST) {
            break;
        }
    }

    ngx_litestream_fail(job, "rename() of the restored file to \"%s\" failed: "
                        "%s", name, strerror(errno));

    return ngx_litestream_point_fail(job, 503);

placed:

    fd = open((char *) db->dir.data, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != -1) {
        (void) fsync(fd);
        (void) close(fd);
    }

    job->result.bytes = st.st_size;
    (void) snprintf(job->result.text, sizeof(job->result.text), "%.1000s",
                    name);

    return NGX_OK;
}


/*
 * Progress is bytes of the temporary file, and once that is complete, while it
 * is checked, CPU time.
 */

static ngx_uint_t
ngx_litestream_point_tick(ngx_litestream_job_t *job)
{
    char             name[4300];
    uint64_t         cpu;
    struct stat      st;

    static uint64_t  used;

    cpu = 0;

    (void) snprintf(name, sizeof(name), "%s.tmp",
                    ngx_litestream_point_temp(job->rdb->db));

    if (stat(name, &st) == -1) {

        if (stat(ngx_litestream_point_temp(job->rdb->db), &st) == -1) {
            return 0;
        }

        cpu = ngx_litestream_job_cpu(job);
    }

    if (st.st_size == job->result.bytes && cpu == used) {
        return 0;
    }

    job->result.bytes = st.st_size;
    used = cpu;

    ngx_litestream_point_tell(job);

    return 1;
}


static void
ngx_litestream_point_tell(ngx_litestream_job_t *job)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_PROGRESS;
    msg.txid = job->result.txid;
    msg.bytes = job->result.bytes;
    msg.total = job->result.total;

    ngx_litestream_job_tell(job, &msg);
}
