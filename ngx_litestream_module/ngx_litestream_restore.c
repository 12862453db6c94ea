
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Before a database is used: restored when it is missing ("place"), and
 * compared with its replica before it is replicated ("check").  Everything
 * in a database's directory is done by jobs with the identity of its user;
 * the facts that they bring are judged in ngx_litestream_verdict.c.
 */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>


#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE  (1 << 0)
#endif


/* what "litestream ltx -level all -json" says, in short */

typedef struct {
    uint64_t                     files;
    uint64_t                     txid;
    int64_t                      from;
    int64_t                      to;
    int64_t                      bytes;

    /* of the entry that is being read, and of the newest */

    uint64_t                     min;
    uint64_t                     max;
    int64_t                      level;
    uint64_t                     newest_min;
    int64_t                      newest_level;
} ngx_litestream_list_t;


/* side files that were moved aside */

typedef struct {
    ngx_uint_t                   n;
    char                         from[3][4300];
    char                         to[3][4400];
} ngx_litestream_aside_t;


static void ngx_litestream_place_prepare(ngx_litestream_job_t *job);
static void ngx_litestream_place_run(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_place_empty(ngx_litestream_job_t *job);
static void ngx_litestream_place_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_place_own(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
static void ngx_litestream_place_done(ngx_litestream_job_t *job);
static void ngx_litestream_check_run(ngx_litestream_job_t *job);
static void ngx_litestream_check_done(ngx_litestream_job_t *job);
static void ngx_litestream_retry_handler(ngx_event_t *ev);
static void ngx_litestream_retry(ngx_litestream_rdb_t *rdb);

static ngx_int_t ngx_litestream_list(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
static ngx_int_t ngx_litestream_list_handler(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);
static int64_t ngx_litestream_restored_size(ngx_litestream_db_t *db,
    ngx_litestream_list_t *list);
static ngx_uint_t ngx_litestream_sibling(ngx_litestream_db_t *db, char *name,
    size_t size);
static uint64_t ngx_litestream_position(ngx_litestream_db_t *db,
    uint32_t *meta, uint32_t *torn);
static ngx_int_t ngx_litestream_has_seq(ngx_litestream_db_t *db,
    uint32_t *seq);
static ngx_uint_t ngx_litestream_restore_tick(ngx_litestream_job_t *job);
static void ngx_litestream_progress_tell(ngx_litestream_job_t *job,
    int64_t bytes);
static void ngx_litestream_place_made(ngx_litestream_job_t *job);
static ngx_int_t ngx_litestream_aside(ngx_litestream_job_t *job,
    ngx_litestream_aside_t *aside);
static void ngx_litestream_aside_back(ngx_litestream_aside_t *aside);
static void ngx_litestream_place_clean(ngx_litestream_db_t *db);
static char *ngx_litestream_temp(ngx_litestream_db_t *db);
static void ngx_litestream_when(char *buf, size_t size, int64_t ms);
static void ngx_litestream_fail(ngx_litestream_job_t *job,
    const char *fmt, ...);
static void ngx_litestream_memory_run(ngx_litestream_job_t *job);
static void ngx_litestream_memory_done(ngx_litestream_job_t *job);


/* lines of STATE/replicas which belong to no database of today */

static ngx_array_t   *ngx_litestream_memory_other;
static ngx_msec_t     ngx_litestream_memory_at;


/* in a job: the result is an error, and this is its text */

static void
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

    rdb->job = job;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_PLACE);
}


/*
 * In the job, still root: who else holds the database that is not there?  A
 * process with the deleted file open would go on writing to it, unseen.
 */

static void
ngx_litestream_place_prepare(ngx_litestream_job_t *job)
{
    DIR                  *proc, *fds;
    char                  name[64], link[4200], comm[32];
    FILE                 *fp;
    ssize_t               n;
    struct stat           st;
    struct dirent        *de, *fde;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    if (db->restore == NGX_LITESTREAM_RESTORE_OFF
        || lstat((char *) db->path.data, &st) == 0)
    {
        return;
    }

    proc = opendir("/proc");
    if (proc == NULL) {
        return;
    }

    while ((de = readdir(proc)) != NULL) {

        if (de->d_name[0] < '0' || de->d_name[0] > '9'
            || atoi(de->d_name) == (int) getpid())
        {
            continue;
        }

        (void) snprintf(name, sizeof(name), "/proc/%.16s/fd", de->d_name);

        fds = opendir(name);
        if (fds == NULL) {
            continue;
        }

        while ((fde = readdir(fds)) != NULL) {

            if (fde->d_name[0] == '.') {
                continue;
            }

            (void) snprintf(name, sizeof(name), "/proc/%.16s/fd/%.16s",
                            de->d_name, fde->d_name);

            n = readlink(name, link, sizeof(link) - 1);

            if (n < (ssize_t) db->path.len
                || ngx_memcmp(link, db->path.data, db->path.len) != 0)
            {
                continue;
            }

            link[n] = '\0';

            if (strcmp(&link[db->path.len], " (deleted)") != 0
                && strncmp(&link[db->path.len], "-wal", 4) != 0)
            {
                continue;
            }

            (void) snprintf(name, sizeof(name), "/proc/%.16s/comm",
                            de->d_name);

            comm[0] = '\0';

            fp = fopen(name, "re");
            if (fp) {
                if (fgets(comm, sizeof(comm), fp)) {
                    comm[strcspn(comm, "\n")] = '\0';
                }

                (void) fclose(fp);
            }

            /* judged in run(), when it is clear that there is a backup */

            (void) snprintf(job->in.text, sizeof(job->in.text),
                            "process %s (%s) still holds the deleted \"%.600s"
                            "\": stop it first, what it writes there is lost",
                            de->d_name, comm, (char *) db->path.data);

            (void) closedir(fds);
            (void) closedir(proc);
            return;
        }

        (void) closedir(fds);
    }

    (void) closedir(proc);
}


/* ms since 1970, for people */

static void
ngx_litestream_when(char *buf, size_t size, int64_t ms)
{
    time_t     t;
    struct tm  tm;

    t = ms / 1000;
    (void) gmtime_r(&t, &tm);
    (void) strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
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
    char        name[4300];
    ngx_uint_t  i;

    static char  *tails[] = {
        "", "-wal", "-shm", "-journal",
        ".tmp", ".tmp-wal", ".tmp-shm", ".tmp-journal"
    };

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {
        (void) snprintf(name, sizeof(name), "%s%s", ngx_litestream_temp(db),
                        tails[i]);
        (void) unlink(name);
    }
}


static ngx_int_t
ngx_litestream_list_handler(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_list_t *list = data;

    int64_t  t;

    if (depth != 2) {
        return NGX_OK;
    }

    if (value == NULL) {

        list->files++;

        if (list->max >= list->txid) {
            list->txid = list->max;
            list->newest_min = list->min;
            list->newest_level = list->level;
        }

        return NGX_OK;
    }

    if (ngx_strcmp(key->data, "level") == 0) {
        list->level = ngx_atoi(value->data, value->len);

    } else if (ngx_strcmp(key->data, "min_txid") == 0) {
        return ngx_litestream_txid(value->data, value->len, &list->min);

    } else if (ngx_strcmp(key->data, "max_txid") == 0) {
        return ngx_litestream_txid(value->data, value->len, &list->max);

    } else if (ngx_strcmp(key->data, "size") == 0) {
        list->bytes += ngx_atoof(value->data, value->len);

    } else if (ngx_strcmp(key->data, "timestamp") == 0) {

        t = ngx_litestream_time(value->data, value->len);

        if (t > 0) {
            list->from = list->from ? ngx_min(list->from, t) : t;
            list->to = ngx_max(list->to, t);
        }
    }

    return NGX_OK;
}


/* in a job: what the replica holds; NGX_ERROR: the result says why not */

static ngx_int_t
ngx_litestream_list(ngx_litestream_job_t *job, ngx_litestream_list_t *list)
{
    char                    jobs[4200], *argv[10];
    ngx_uint_t              n;
    ngx_litestream_db_t    *db;
    ngx_litestream_run_t    run;
    ngx_litestream_conf_t  *conf;

    db = job->rdb->db;
    conf = ngx_litestream_sup->conf;

    ngx_memzero(list, sizeof(ngx_litestream_list_t));

    (void) snprintf(jobs, sizeof(jobs), "%s/jobs.yml",
                    (char *) db->group->dir.data);

    n = 0;
    argv[n++] = (char *) conf->bin.data;
    argv[n++] = "ltx";
    argv[n++] = "-no-expand-env";
    argv[n++] = "-config";
    argv[n++] = jobs;
    argv[n++] = "-level";
    argv[n++] = "all";
    argv[n++] = "-json";
    argv[n++] = (char *) db->path.data;
    argv[n] = NULL;

    if (ngx_litestream_job_exec(job, argv, conf->restore_timeout, NULL, &run)
        != NGX_OK)
    {
        ngx_litestream_fail(job, "replica \"%s\": %s%s%s",
                            (char *) db->replica->url.data,
                            run.timedout ? "no answer within the timeout"
                            : run.overflow ? "its list is too long"
                            : "cannot be listed",
                            run.last[0] ? ": " : "", run.last);
        return NGX_ERROR;
    }

    if (!WIFEXITED(run.status) || WEXITSTATUS(run.status) != 0) {
        ngx_litestream_fail(job, "replica \"%s\" cannot be read: %s",
                            (char *) db->replica->url.data, run.last);
        return NGX_ERROR;
    }

    if (run.out == NULL
        || ngx_litestream_yaml_read(run.out, run.len,
                                    ngx_litestream_list_handler, list)
           == NGX_ERROR)
    {
        ngx_litestream_fail(job, "the list of replica \"%s\" cannot be "
                            "understood", (char *) db->replica->url.data);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * How large the restored file will be: exact where the newest LTX file can be
 * opened, else the size of what is to be fetched.
 */

static int64_t
ngx_litestream_restored_size(ngx_litestream_db_t *db,
    ngx_litestream_list_t *list)
{
    int      fd;
    char     name[4300];
    u_char   h[100];
    ssize_t  n;

    if (db->replica->path.len == 0) {
        return list->bytes;
    }

    (void) snprintf(name, sizeof(name), "%s/ltx/%d/%016llx-%016llx.ltx",
                    (char *) db->replica->path.data, (int) list->newest_level,
                    (unsigned long long) list->newest_min,
                    (unsigned long long) list->txid);

    fd = open(name, O_RDONLY|O_CLOEXEC|O_NONBLOCK);
    if (fd == -1) {
        return list->bytes;
    }

    n = read(fd, h, sizeof(h));

    (void) close(fd);

    if (n != (ssize_t) sizeof(h) || ngx_memcmp(h, "LTX1", 4) != 0) {
        return list->bytes;
    }

    return (int64_t) ((uint32_t) h[8] << 24 | h[9] << 16 | h[10] << 8 | h[11])
           * (int64_t) ((uint32_t) h[12] << 24 | h[13] << 16 | h[14] << 8
                        | h[15]);
}


/*
 * Does a neighbor of an empty file replica hold a backup, and is it nobody
 * else's?  Then it was probably meant.
 */

static ngx_uint_t
ngx_litestream_sibling(ngx_litestream_db_t *db, char *name, size_t size)
{
    DIR                   *dir;
    char                   parent[4200], *p;
    ngx_uint_t             i, found;
    struct stat            st;
    struct dirent         *de;
    ngx_litestream_db_t  **dbs;

    if (db->replica->path.len == 0
        || db->replica->path.len >= sizeof(parent))
    {
        return 0;
    }

    (void) snprintf(parent, sizeof(parent), "%s",
                    (char *) db->replica->path.data);

    p = strrchr(parent, '/');

    if (p == NULL || p == parent) {
        return 0;
    }

    *p = '\0';

    dir = opendir(parent);
    if (dir == NULL) {
        return 0;
    }

    found = 0;
    dbs = ngx_litestream_sup->conf->dbs.elts;

    while (!found && (de = readdir(dir)) != NULL) {

        if (de->d_name[0] == '.') {
            continue;
        }

        (void) snprintf(name, size, "%.4096s/%s", parent, de->d_name);

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            if (dbs[i]->replica && dbs[i]->replica->path.len
                && strcmp((char *) dbs[i]->replica->path.data, name) == 0)
            {
                break;
            }
        }

        if (i < ngx_litestream_sup->conf->dbs.nelts) {
            continue;
        }

        (void) snprintf(name, size, "%.4096s/%s/ltx", parent, de->d_name);

        if (stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
            found = 1;
        }

        (void) snprintf(name, size, "%.4096s/%s/generations", parent,
                        de->d_name);

        if (!found && stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
            found = 1;
        }

        (void) snprintf(name, size, "%.4096s/%s", parent, de->d_name);
    }

    (void) closedir(dir);

    return found;
}


/*
 * Progress is bytes of the temporary file, and once that is complete, while
 * Litestream checks it, CPU time.
 */

static ngx_uint_t
ngx_litestream_restore_tick(ngx_litestream_job_t *job)
{
    char             name[4300];
    uint64_t         cpu;
    struct stat      st;

    static int64_t   bytes = -1;
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

    if (st.st_size == bytes && cpu == used) {
        return 0;
    }

    bytes = st.st_size;
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
    char                             jobs[4200], name[4600], *temp, *argv[16];
    int64_t                          avail;
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

    if (ngx_litestream_list(job, &list) != NGX_OK) {
        return;
    }

    job->result.files = list.files;
    job->result.txid = list.txid;
    job->result.from = list.from;
    job->result.to = list.to;

    ngx_memzero(&facts, sizeof(ngx_litestream_restore_facts_t));
    facts.rc = -1;
    facts.files = list.files;
    facts.seen = job->in.txid;
    facts.required = (db->restore == NGX_LITESTREAM_RESTORE_REQUIRED);

    name[0] = '\0';

    if (list.files == 0) {
        facts.sibling = ngx_litestream_sibling(db, name, sizeof(name));

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

    (void) snprintf(jobs, sizeof(jobs), "%s/jobs.yml",
                    (char *) db->group->dir.data);

    n = 0;
    argv[n++] = (char *) conf->bin.data;
    argv[n++] = "restore";
    argv[n++] = "-no-expand-env";
    argv[n++] = "-config";
    argv[n++] = jobs;
    argv[n++] = "-json";

    if (conf->integrity_check != NGX_LITESTREAM_CHECK_NONE) {
        argv[n++] = "-integrity-check";
        argv[n++] = conf->integrity_check == NGX_LITESTREAM_CHECK_FULL
                    ? "full" : "quick";
    }

    argv[n++] = "-o";
    argv[n++] = temp;
    argv[n++] = (char *) db->path.data;
    argv[n] = NULL;

    /* the storage has answered: the time limit of the job starts anew */

    ngx_litestream_progress_tell(job, 0);

    (void) clock_gettime(CLOCK_MONOTONIC, &t0);

    if (ngx_litestream_job_exec(job, argv, conf->restore_timeout,
                                ngx_litestream_restore_tick, &run)
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
    facts.none = (strcmp(run.last, "no matching backup files available")
                  == 0);

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
        ngx_litestream_fail(job, "replica \"%s\" is empty, but transaction "
                            "%016llx was seen there at %s: is its storage "
                            "mounted?", (char *) db->replica->url.data,
                            (unsigned long long) facts.seen, name);
        return;

    case NGX_LITESTREAM_ELSEWHERE:
        ngx_litestream_fail(job, "replica \"%s\" is empty, but \"%.400s\" "
                            "holds a backup: did you mean replica=file://%.400s"
                            " ? (if this database is really new: restore=off)",
                            (char *) db->replica->url.data, name, name);
        return;

    case NGX_LITESTREAM_BROKEN:
        ngx_litestream_fail(job, "replica \"%s\" holds %llu LTX files, but "
                            "nothing can be restored from them: it is "
                            "damaged: %s", (char *) db->replica->url.data,
                            (unsigned long long) list.files, run.last);
        ngx_litestream_place_clean(db);
        return;

    case NGX_LITESTREAM_UNKNOWN:
        ngx_litestream_fail(job, "restore from \"%s\" failed: %s",
                            (char *) db->replica->url.data,
                            run.last[0] ? run.last : "no reason given");
        ngx_litestream_place_clean(db);
        return;

    case NGX_LITESTREAM_RESTORED:
        break;
    }

    if (run.out) {
        (void) ngx_litestream_yaml_read(run.out, run.len,
                                        ngx_litestream_restore_txid,
                                        &job->result.txid);
    }

    /* owner and mode while it still has its private name */

    fd = open(temp, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1 || fchmod(fd, db->mode) == -1
        || fsync(fd) == -1)
    {
        ngx_litestream_fail(job, "restored file \"%s\" cannot be finished: %s",
                            temp, strerror(errno));
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


/* side files without their database are kept, under another name */

static ngx_int_t
ngx_litestream_aside(ngx_litestream_job_t *job, ngx_litestream_aside_t *aside)
{
    char                 *from, *to;
    time_t                now;
    struct tm             tm;
    ngx_uint_t            i;
    struct stat           st;
    ngx_litestream_db_t  *db;

    static char  *tails[] = { "-wal", "-shm", "-journal" };

    db = job->rdb->db;

    now = time(NULL);
    (void) gmtime_r(&now, &tm);

    aside->n = 0;

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {

        from = aside->from[aside->n];
        to = aside->to[aside->n];

        (void) snprintf(from, sizeof(aside->from[0]), "%s%s",
                        (char *) db->path.data, tails[i]);

        if (lstat(from, &st) == -1) {
            continue;
        }

        (void) snprintf(to, sizeof(aside->to[0]),
                        "%s/.%s.stale-%04d%02d%02dT%02d%02d%02dZ-%d%s",
                        (char *) db->dir.data, (char *) db->name.data,
                        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min, tm.tm_sec, (int) getpid(),
                        tails[i]);

        if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to,
                    RENAME_NOREPLACE)
            == -1
            && rename(from, to) == -1)
        {
            ngx_litestream_fail(job, "\"%s\" cannot be moved aside: %s",
                                from, strerror(errno));
            ngx_litestream_aside_back(aside);
            return NGX_ERROR;
        }

        aside->n++;
    }

    return NGX_OK;
}


static void
ngx_litestream_aside_back(ngx_litestream_aside_t *aside)
{
    ngx_uint_t  i;

    for (i = 0; i < aside->n; i++) {

        if (syscall(SYS_renameat2, AT_FDCWD, aside->to[i], AT_FDCWD,
                    aside->from[i], RENAME_NOREPLACE)
            == -1
            && (errno == EINVAL || errno == ENOSYS)
            && link(aside->to[i], aside->from[i]) == 0)
        {
            (void) unlink(aside->to[i]);
        }
    }
}


/*
 * In the supervisor, as root: owner of the restored file, through the locked
 * directory, so that no name can be swapped underneath.
 */

static void
ngx_litestream_place_own(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    int                   fd, dir;
    char                  name[512];
    struct stat           st;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    msg->rc = NGX_ERROR;

    if (geteuid() != 0) {

        /* a plain user keeps what the directory's group bit gave */

        msg->rc = NGX_OK;
        return;
    }

    dir = ngx_litestream_dir_fd(db);

    (void) snprintf(name, sizeof(name), ".%s.ngx-litestream-restore",
                    (char *) db->name.data);

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
    ngx_litestream_rdb_t  *rdb;

    rdb = job->rdb;

    if (msg->type == NGX_LITESTREAM_JOB_ASK) {
        ngx_litestream_place_own(job, msg);
        ngx_litestream_job_answer(job, msg);
        return;
    }

    rdb->st.state = NGX_LITESTREAM_DB_RESTORING;
    rdb->st.restore_state = NGX_LITESTREAM_RESTORE_RUNNING;
    rdb->st.restore_bytes = msg->bytes;
    rdb->st.restore_total = msg->total;

    ngx_litestream_status_db_write(rdb);
}


static void
ngx_litestream_place_done(ngx_litestream_job_t *job)
{
    ngx_litestream_rdb_t      *rdb;
    ngx_litestream_job_msg_t  *res;

    rdb = job->rdb;
    res = &job->result;

    rdb->job = NULL;

    if (!job->has_result) {
        res->rc = NGX_LITESTREAM_OUTCOME_ERROR;
    }

    if (res->files) {
        rdb->st.history_from = res->from;
        rdb->st.history_to = res->to;
        ngx_litestream_memory_seen(rdb, res->txid);
    }

    rdb->db->outcome = res->rc;

    switch (res->rc) {

    case NGX_LITESTREAM_OUTCOME_PRESENT:
        break;

    case NGX_LITESTREAM_OUTCOME_RESTORED:

        rdb->db->restored_txid = res->txid;
        rdb->db->restored_bytes = res->bytes;
        rdb->db->restored_ms = res->ms[0];

        rdb->restored_txid = res->txid;
        rdb->restored_dev = res->dev;
        rdb->restored_ino = res->ino;
        ngx_litestream_sup->memory_dirty = 1;

        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was restored from \"%V\": "
                      "%L bytes, transaction %016xL, %uD ms",
                      &rdb->db->alias, &rdb->db->replica->url, res->bytes,
                      (uint64_t) res->txid, res->ms[0]);

        if (job->in.txid > res->txid) {
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


/*
 * The comparison with the replica, which must have passed before each start
 * of Litestream.  Needs the storage, hence never holds up the database.
 */

void
ngx_litestream_check(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_job_t  *job;

    if (rdb->job || !rdb->db->replicate) {
        return;
    }

    rdb->retry.handler = ngx_litestream_retry_handler;
    rdb->retry.data = rdb;
    rdb->retry.log = ngx_litestream_sup->log;

    if (rdb->retry.timer_set) {
        ngx_del_timer(&rdb->retry);
    }

    rdb->cleared = 0;

    job = ngx_litestream_job_new("check", rdb);

    if (job == NULL) {
        ngx_litestream_retry(rdb);
        return;
    }

    job->run = ngx_litestream_check_run;
    job->done = ngx_litestream_check_done;
    job->timeout = ngx_litestream_sup->conf->restore_timeout + 5000;

    rdb->job = job;
    rdb->checking = 1;

    if (!rdb->fault && rdb->st.state != NGX_LITESTREAM_DB_NEW) {
        rdb->st.state = NGX_LITESTREAM_DB_CHECKING;
        ngx_litestream_status_db_write(rdb);
    }

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_PLACE);
}


/* Litestream is to be started again: what ran must be compared again */

void
ngx_litestream_recheck(ngx_litestream_rdb_t *rdb)
{
    if (!rdb->placed || rdb->job || rdb->retry.timer_set) {
        return;
    }

    ngx_litestream_check(rdb);
}


/*
 * Newest level-0 file in the meta directory: how far Litestream has come.
 * torn: what it has read is not in the WAL any more.
 */

static uint64_t
ngx_litestream_position(ngx_litestream_db_t *db, uint32_t *meta,
    uint32_t *torn)
{
    DIR            *dir;
    char            name[4300], file[4600], wal[4300];
    uint64_t        min, max, newest;
    struct dirent  *de;

    (void) snprintf(name, sizeof(name), "%s/.%s-litestream/ltx/0",
                    (char *) db->dir.data, (char *) db->name.data);

    *meta = 0;
    *torn = 0;

    dir = opendir(name);
    if (dir == NULL) {
        return 0;
    }

    *meta = 1;
    newest = 0;

    while ((de = readdir(dir)) != NULL) {
        if (ngx_litestream_ltx_name((u_char *) de->d_name,
                                    ngx_strlen(de->d_name), &min, &max)
            == NGX_OK
            && max > newest)
        {
            newest = max;
            (void) snprintf(file, sizeof(file), "%s/%.64s", name, de->d_name);
        }
    }

    (void) closedir(dir);

    if (newest) {
        (void) snprintf(wal, sizeof(wal), "%s-wal", (char *) db->path.data);

        *torn = (ngx_litestream_wal_check(file, wal) == NGX_DECLINED);
    }

    return newest;
}


/*
 * Has Litestream ever replicated this very database?  NGX_DECLINED: it is
 * not a database; NGX_AGAIN: cannot be told now.
 */

static ngx_int_t
ngx_litestream_has_seq(ngx_litestream_db_t *db, uint32_t *seq)
{
    int            rc, on;
    sqlite3       *conn;
    ngx_int_t      ret;
    sqlite3_stmt  *stmt;

    rc = sqlite3_open_v2((char *) db->path.data, &conn,
                         SQLITE_OPEN_READWRITE, NULL);

    stmt = NULL;
    ret = NGX_AGAIN;

    if (rc == SQLITE_OK) {

        /* a close that is the last one would delete the WAL */

        on = 1;
        (void) sqlite3_file_control(conn, "main", SQLITE_FCNTL_PERSIST_WAL,
                                    &on);
        (void) sqlite3_db_config(conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                                 NULL);
        (void) sqlite3_busy_timeout(conn, 2000);

        rc = sqlite3_prepare_v2(conn, "SELECT count(*) FROM sqlite_master "
                                "WHERE name = '_litestream_seq'", -1, &stmt,
                                NULL);
    }

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);

        if (rc == SQLITE_ROW) {
            *seq = sqlite3_column_int(stmt, 0) != 0;
            ret = NGX_OK;
        }
    }

    if (rc == SQLITE_NOTADB) {
        ret = NGX_DECLINED;
    }

    (void) sqlite3_finalize(stmt);
    (void) sqlite3_close(conn);

    return ret;
}


static void
ngx_litestream_check_run(ngx_litestream_job_t *job)
{
    ngx_int_t               rc;
    ngx_litestream_db_t    *db;
    ngx_litestream_list_t   list;

    db = job->rdb->db;

    /* before the replica is asked: it may be ahead only if it really is */

    job->result.size = -1;
    job->result.seq = 1;

    if (ngx_litestream_identity(db->path.data, &job->result.dev,
                                &job->result.ino, &job->result.size)
        == NGX_ERROR)
    {
        ngx_litestream_fail(job, "\"%s\" cannot be looked at: %s",
                            (char *) db->path.data, strerror(errno));
        return;
    }

    job->result.local = ngx_litestream_position(db, &job->result.meta,
                                                &job->result.torn);

    if (job->result.size > 0) {

        rc = ngx_litestream_has_seq(db, &job->result.seq);

        if (rc == NGX_DECLINED) {
            ngx_litestream_fail(job, "\"%s\" is not a SQLite database",
                                (char *) db->path.data);
            return;
        }
    }

    if (ngx_litestream_list(job, &list) != NGX_OK) {
        return;
    }

    job->result.rc = NGX_OK;
    job->result.files = list.files;
    job->result.txid = list.txid;
    job->result.from = list.from;
    job->result.to = list.to;
}


static void
ngx_litestream_check_done(ngx_litestream_job_t *job)
{
    char                          *url, when[32];
    unsigned long long             local, replica;
    ngx_litestream_rdb_t          *rdb;
    ngx_litestream_check_e         verdict;
    ngx_litestream_job_msg_t      *res;
    ngx_litestream_check_facts_t   f;

    rdb = job->rdb;
    res = &job->result;

    rdb->job = NULL;
    rdb->checking = 0;

    if (!job->has_result || res->rc != NGX_OK) {

        if (!job->gone) {
            ngx_litestream_db_error(rdb, "not replicated: %s", res->text);
        }

        ngx_litestream_retry(rdb);
        ngx_litestream_group_kick(rdb->group);
        return;
    }

    ngx_memzero(&f, sizeof(ngx_litestream_check_facts_t));

    f.replica = res->txid;
    f.local = res->local;
    f.restored = rdb->restored_txid;
    f.seen = rdb->seen_txid;
    f.exists = (res->size > 0);
    f.seq = res->seq;
    f.meta = res->meta;
    f.torn = res->torn;
    f.same = (rdb->restored_ino && rdb->restored_ino == res->ino
              && rdb->restored_dev == res->dev);

    verdict = ngx_litestream_check_verdict(&f);

    if (f.exists) {
        rdb->st.in_place = 1;
    }

    url = (char *) rdb->db->replica->url.data;
    local = f.same ? ngx_max(f.local, f.restored) : f.local;
    replica = f.replica;

    switch (verdict) {

    case NGX_LITESTREAM_AHEAD:
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" is ahead "
                                "of the database: its newest transaction is "
                                "%016llx, the database's is %016llx; going on "
                                "would replace a newer backup. To take the "
                                "replica's, move \"%s\" away and restart "
                                "nginx; to keep the database, give it an "
                                "empty replica", url, replica, local,
                                (char *) rdb->db->path.data);
        break;

    case NGX_LITESTREAM_VANISHED:
        ngx_litestream_when(when, sizeof(when), rdb->seen_at);
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" is "
                                "empty, but transaction %016llx was seen "
                                "there at %s: is its storage mounted?", url,
                                (unsigned long long) f.seen, when);
        break;

    case NGX_LITESTREAM_MADE_ANEW:
        ngx_litestream_db_error(rdb, "not replicated: \"%s\" is not the "
                                "database that was replicated to \"%s\": it "
                                "was made anew beside the old one's meta "
                                "directory (transaction %016llx, the "
                                "replica's is %016llx). To take the "
                                "replica's, move it away and restart nginx; "
                                "to keep it, give it an empty replica",
                                (char *) rdb->db->path.data, url, local,
                                replica);
        break;

    case NGX_LITESTREAM_TORN:
        ngx_litestream_db_error(rdb, "not replicated: the WAL of \"%s\" has "
                                "lost commits that replica \"%s\" holds "
                                "(transaction %016llx), as after a power "
                                "failure; going on would remove them from the "
                                "backup. To take the replica's, move the "
                                "database away and restart nginx; to keep it, "
                                "give it an empty replica",
                                (char *) rdb->db->path.data, url, replica);
        break;

    case NGX_LITESTREAM_GONE:
        rdb->st.in_place = 0;
        /* whatever comes there is compared at once */
        rdb->lost = 1;

        ngx_litestream_db_error(rdb, "\"%s\" is %s, replica \"%s\" holds "
                                "transaction %016llx%s",
                                (char *) rdb->db->path.data,
                                res->size == 0 ? "empty" : "missing",
                                url, replica,
                                rdb->db->restore == NGX_LITESTREAM_RESTORE_OFF
                                ? ", and restore=off"
                                : ": restart nginx to restore it");
        break;

    case NGX_LITESTREAM_GO:
        break;
    }

    rdb->st.history_from = res->from;
    rdb->st.history_to = res->to;

    if (res->files) {
        ngx_litestream_memory_seen(rdb, res->txid);
    }

    if (verdict != NGX_LITESTREAM_GO) {
        rdb->delay = NGX_LITESTREAM_BACKOFF_MAX / 2;
        ngx_litestream_retry(rdb);
        ngx_litestream_group_kick(rdb->group);
        return;
    }

    if (rdb->fault) {
        rdb->fault = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" can be replicated again",
                      &rdb->db->alias);
    }

    rdb->st.error[0] = '\0';
    rdb->delay = 0;
    rdb->lost = 0;
    rdb->cleared = 1;
    rdb->dev = f.exists ? res->dev : 0;
    rdb->ino = f.exists ? res->ino : 0;
    rdb->st.in_place = 1;
    rdb->st.state = f.exists ? NGX_LITESTREAM_DB_STARTING
                             : NGX_LITESTREAM_DB_NEW;

    ngx_litestream_status_db_write(rdb);

    ngx_litestream_group_kick(rdb->group);
}


static void
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


static void
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


/*
 * STATE/replicas, one line a database: the replica's id, the newest TXID seen
 * there and when (ms), the TXID, device and inode of the last restore, and
 * for people the alias and the replica.
 */

void
ngx_litestream_memory_load(void)
{
    FILE                    *fp;
    char                     line[2048];
    u_char                  *copy;
    uint64_t                 id, seen, restored, dev, ino;
    long long                at;
    ngx_str_t               *other;
    ngx_uint_t               i, known;
    ngx_litestream_rdb_t    *rdb;
    ngx_litestream_conf_t   *conf;
    unsigned long long       v[5];

    conf = ngx_litestream_sup->conf;

    ngx_litestream_memory_other = ngx_array_create(ngx_litestream_sup->pool,
                                                   4, sizeof(ngx_str_t));
    if (ngx_litestream_memory_other == NULL) {
        return;
    }

    fp = fopen((char *) conf->memory.data, "re");

    if (fp == NULL) {
        if (ngx_errno != NGX_ENOENT) {
            ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, ngx_errno,
                          "litestream: open() \"%V\" failed", &conf->memory);
        }

        return;
    }

    while (fgets(line, sizeof(line), fp)) {

        if (sscanf(line, "%16llx %16llx %20lld %16llx %16llx %16llx", &v[0],
                   &v[1], &at, &v[2], &v[3], &v[4])
            != 6)
        {
            continue;
        }

        id = v[0];
        seen = v[1];
        restored = v[2];
        dev = v[3];
        ino = v[4];

        known = 0;

        for (i = 0; i < conf->dbs.nelts; i++) {
            rdb = &ngx_litestream_sup->rdbs[i];

            if (rdb->db->replica
                && ngx_litestream_id(&rdb->db->replica->id) == id)
            {
                rdb->seen_txid = seen;
                rdb->seen_at = at;
                rdb->restored_txid = restored;
                rdb->restored_dev = dev;
                rdb->restored_ino = ino;
                known = 1;
            }
        }

        if (!known) {
            other = ngx_array_push(ngx_litestream_memory_other);
            copy = ngx_pnalloc(ngx_litestream_sup->pool,
                               ngx_strlen(line) + 1);

            if (other && copy) {
                ngx_memcpy(copy, line, ngx_strlen(line) + 1);
                other->data = copy;
                other->len = ngx_strlen(line);
            }
        }
    }

    (void) fclose(fp);
}


/* the replica holds something: from now on an empty one is an error */

void
ngx_litestream_memory_seen(ngx_litestream_rdb_t *rdb, uint64_t txid)
{
    if (txid <= rdb->seen_txid) {
        return;
    }

    /* the first sight at once, then it is enough to be roughly right */

    if (rdb->seen_txid == 0
        || ngx_current_msec - ngx_litestream_memory_at > 60000)
    {
        ngx_litestream_sup->memory_dirty = 1;
    }

    rdb->seen_txid = txid;
    rdb->seen_at = ngx_litestream_now();
}


/*
 * Saves the memory by a job, since it waits for the disk.  Called each tick
 * when something is to be saved.
 */

void
ngx_litestream_memory_save(void)
{
    ngx_litestream_job_t  *job;

    if (!ngx_litestream_sup->memory_dirty || ngx_litestream_sup->memory_saving)
    {
        return;
    }

    job = ngx_litestream_job_new("memory", NULL);
    if (job == NULL) {
        return;
    }

    job->run = ngx_litestream_memory_run;
    job->done = ngx_litestream_memory_done;
    job->timeout = 60000;

    ngx_litestream_sup->memory_dirty = 0;
    ngx_litestream_sup->memory_saving = 1;
    ngx_litestream_memory_at = ngx_current_msec;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


/* at the very end of a process: without a job, since nobody waits any more */

void
ngx_litestream_memory_flush(void)
{
    ngx_litestream_job_t  job;

    ngx_memzero(&job, sizeof(ngx_litestream_job_t));

    ngx_litestream_memory_run(&job);

    if (job.result.rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, ngx_litestream_sup->log, 0,
                      "litestream: %s", job.result.text);
    }
}


static void
ngx_litestream_memory_run(ngx_litestream_job_t *job)
{
    int                     fd;
    char                    temp[4200];
    FILE                   *fp;
    ngx_str_t              *other;
    ngx_uint_t              i;
    ngx_litestream_rdb_t   *rdb;
    ngx_litestream_conf_t  *conf;

    conf = ngx_litestream_sup->conf;

    (void) snprintf(temp, sizeof(temp), "%s.new", (char *) conf->memory.data);

    (void) umask(077);

    fp = fopen(temp, "we");

    if (fp == NULL) {
        goto failed;
    }

    for (i = 0; i < conf->dbs.nelts; i++) {
        rdb = &ngx_litestream_sup->rdbs[i];

        if (rdb->db->replica == NULL
            || (rdb->seen_txid == 0 && rdb->restored_txid == 0))
        {
            continue;
        }

        fprintf(fp, "%016llx %016llx %lld %016llx %llx %llx %s %s\n",
                (unsigned long long) ngx_litestream_id(&rdb->db->replica->id),
                (unsigned long long) rdb->seen_txid,
                (long long) rdb->seen_at,
                (unsigned long long) rdb->restored_txid,
                (unsigned long long) rdb->restored_dev,
                (unsigned long long) rdb->restored_ino,
                (char *) rdb->db->alias.data,
                (char *) rdb->db->replica->url.data);
    }

    if (ngx_litestream_memory_other) {
        other = ngx_litestream_memory_other->elts;

        for (i = 0; i < ngx_litestream_memory_other->nelts; i++) {
            fputs((char *) other[i].data, fp);
        }
    }

    if (fflush(fp) == EOF || fsync(fileno(fp)) == -1) {
        goto failed;
    }

    (void) fclose(fp);
    fp = NULL;

    if (rename(temp, (char *) conf->memory.data) == -1) {
        goto failed;
    }

    fd = open((char *) conf->state_path.data, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != -1) {
        (void) fsync(fd);
        (void) close(fd);
    }

    job->result.rc = NGX_OK;
    return;

failed:

    ngx_litestream_fail(job, "\"%s\" cannot be written: %s",
                        (char *) conf->memory.data, strerror(errno));

    if (fp) {
        (void) fclose(fp);
    }
}


static void
ngx_litestream_memory_done(ngx_litestream_job_t *job)
{
    ngx_litestream_sup->memory_saving = 0;

    if (!job->has_result || job->result.rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, ngx_litestream_sup->log, 0,
                      "litestream: %s", job->result.text);

        /* with the next transaction that is seen */
        ngx_litestream_memory_at = ngx_current_msec;
    }

    ngx_litestream_check_quit();
}
