
/*
 * Copyright (C) the ngx_litestream authors
 */


/* in jobs: what a replica holds, and what its neighbors do */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>


/* levels that Litestream has: the highest one holds snapshots */
#define NGX_LITESTREAM_LEVELS  10


static ngx_int_t ngx_litestream_list_handler(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);
static void ngx_litestream_list_entry(ngx_litestream_list_t *list);
static ngx_int_t ngx_litestream_list_asked(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
static ngx_int_t ngx_litestream_list_levels(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
static ngx_int_t ngx_litestream_list_level(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
static ngx_int_t ngx_litestream_list_failed(ngx_litestream_job_t *job,
    char *name);


static ngx_int_t
ngx_litestream_list_handler(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_list_t *list = data;

    if (depth != 2) {
        return NGX_OK;
    }

    if (value == NULL) {
        ngx_litestream_list_entry(list);
        return NGX_OK;
    }

    if (ngx_strcmp(key->data, "level") == 0) {
        list->level = ngx_atoi(value->data, value->len);

    } else if (ngx_strcmp(key->data, "min_txid") == 0) {
        return ngx_litestream_txid(value->data, value->len, &list->min);

    } else if (ngx_strcmp(key->data, "max_txid") == 0) {
        return ngx_litestream_txid(value->data, value->len, &list->max);

    } else if (ngx_strcmp(key->data, "size") == 0) {
        list->size = ngx_atoof(value->data, value->len);

    } else if (ngx_strcmp(key->data, "timestamp") == 0) {
        list->time = ngx_litestream_time(value->data, value->len);
    }

    return NGX_OK;
}


static void
ngx_litestream_list_entry(ngx_litestream_list_t *list)
{
    ngx_uint_t             n;
    ngx_litestream_ltx_t  *e;

    list->files++;

    if (list->max >= list->txid) {
        list->txid = list->max;
        list->newest_min = list->min;
        list->newest_level = list->level;
    }

    if (list->size > 0) {
        list->bytes += list->size;
    }

    /* a restore begins with one that has all of the database */

    if (list->time > 0) {

        if (list->min == 1) {
            list->from = list->from ? ngx_min(list->from, list->time)
                                    : list->time;
        }

        list->to = ngx_max(list->to, list->time);
    }

    if (list->keep && list->nentries == list->nalloc) {

        n = list->nalloc ? list->nalloc * 2 : 256;
        e = realloc(list->entries, n * sizeof(ngx_litestream_ltx_t));

        if (e == NULL) {
            list->failed = 1;
            list->keep = 0;

        } else {
            list->entries = e;
            list->nalloc = n;
        }
    }

    if (list->keep) {
        e = &list->entries[list->nentries++];

        ngx_memzero(e, sizeof(ngx_litestream_ltx_t));

        e->min = list->min;
        e->max = list->max;
        e->size = list->size;
        e->time = list->time;
        e->level = (uint32_t) list->level;
    }

    list->size = 0;
    list->time = 0;
}


/*
 * In a job: what the replica holds, as Litestream says; NGX_ERROR: the result
 * says why not.
 */

ngx_int_t
ngx_litestream_list(ngx_litestream_job_t *job, ngx_litestream_list_t *list)
{
    ngx_memzero(list, sizeof(ngx_litestream_list_t));

    return ngx_litestream_list_asked(job, list);
}


/*
 * The same with all entries kept, of a file replica read by the job itself:
 * times have milliseconds then, else seconds.  In a job.
 */

ngx_int_t
ngx_litestream_list_all(ngx_litestream_job_t *job, ngx_litestream_list_t *list)
{
    ngx_int_t  rc;

    ngx_memzero(list, sizeof(ngx_litestream_list_t));
    list->keep = 1;

    rc = ngx_litestream_batch_fits(job->rdb)
         ? ngx_litestream_list_levels(job, list)
         : ngx_litestream_list_asked(job, list);

    if (rc == NGX_OK && list->failed) {
        ngx_litestream_fail(job, "no memory");
        return NGX_ERROR;
    }

    return rc;
}


/* in a job: its result tells of a list, but for the files themselves */

void
ngx_litestream_list_result(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    job->result.files = list->files;
    job->result.txid = list->txid;
    job->result.from = list->from;
    job->result.to = list->to;
}


static ngx_int_t
ngx_litestream_list_asked(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    char                   *argv[10];
    ngx_uint_t              n;
    ngx_litestream_db_t    *db;
    ngx_litestream_run_t    run;
    ngx_litestream_conf_t  *conf;

    db = job->rdb->db;
    conf = ngx_litestream_sup->conf;

    n = ngx_litestream_job_argv(job, argv, "ltx");
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
 * The same for a file replica, whose files are REPLICA/ltx/LEVEL/MIN-MAX.ltx,
 * without starting a program for it: with a thousand databases that would
 * take longer than all else.  It sees what Litestream would list, and fails
 * where Litestream would.
 */

ngx_int_t
ngx_litestream_list_dir(ngx_litestream_job_t *job, ngx_litestream_list_t *list)
{
    ngx_memzero(list, sizeof(ngx_litestream_list_t));

    return ngx_litestream_list_levels(job, list);
}


static ngx_int_t
ngx_litestream_list_levels(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    for (list->level = 0; list->level < NGX_LITESTREAM_LEVELS; list->level++) {

        if (ngx_litestream_list_level(job, list) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_list_level(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    DIR            *dir;
    char            name[4300];
    ngx_int_t       rc;
    struct stat     st;
    struct dirent  *de;

    (void) snprintf(name, sizeof(name), "%s/ltx/%d",
                    (char *) job->rdb->db->replica->path.data,
                    (int) list->level);

    dir = opendir(name);

    if (dir == NULL) {
        return (errno == ENOENT) ? NGX_OK
                                 : ngx_litestream_list_failed(job, name);
    }

    rc = NGX_OK;

    for ( ;; ) {

        errno = 0;
        de = readdir(dir);

        if (de == NULL) {
            if (errno) {
                rc = ngx_litestream_list_failed(job, name);
            }

            break;
        }

        if (ngx_litestream_ltx_range((u_char *) de->d_name,
                                     ngx_strlen(de->d_name), &list->min,
                                     &list->max)
            != NGX_OK)
        {
            continue;
        }

        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1) {

            /* compacted or expired since the directory was read */

            if (errno == ENOENT) {
                continue;
            }

            rc = ngx_litestream_list_failed(job, name);
            break;
        }

        list->size = st.st_size;
        list->time = (int64_t) st.st_mtim.tv_sec * 1000
                     + st.st_mtim.tv_nsec / 1000000;

        ngx_litestream_list_entry(list);
    }

    (void) closedir(dir);

    return rc;
}


static ngx_int_t
ngx_litestream_list_failed(ngx_litestream_job_t *job, char *name)
{
    char  reason[128];

    /* worded as Litestream does */

    (void) snprintf(reason, sizeof(reason), "%s", strerror(errno));
    reason[0] = ngx_tolower(reason[0]);

    ngx_litestream_fail(job, "replica \"%s\" cannot be read: open %s: %s",
                        (char *) job->rdb->db->replica->url.data, name,
                        reason);
    return NGX_ERROR;
}


/*
 * How large the restored file will be: exact where the newest LTX file can be
 * opened, else the size of what is to be fetched.
 */

int64_t
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

ngx_uint_t
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
