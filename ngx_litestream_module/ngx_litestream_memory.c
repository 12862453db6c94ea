
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * STATE/replicas: what was seen in the replicas, and what was restored from
 * them.  An empty replica that was seen to hold something is not mounted, or
 * worse.
 */


#include "ngx_litestream_supervisor.h"


static void ngx_litestream_memory_run(ngx_litestream_job_t *job);
static void ngx_litestream_memory_done(ngx_litestream_job_t *job);


static ngx_array_t   *ngx_litestream_memory_other;
static ngx_msec_t     ngx_litestream_memory_at;


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
            rdb = ngx_litestream_sup->rdbs[i];

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
        rdb = ngx_litestream_sup->rdbs[i];

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
