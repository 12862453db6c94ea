
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * STATE/replicas: what was seen in the replicas, and what was restored from
 * them.  An empty replica that was seen to hold something is not mounted, or
 * worse.
 */


#include "ngx_litestream_old.h"


/* what is known of a replica that is none of a database's now */

typedef struct {
    uint64_t                     id;      /* 0: has been taken, or forgotten */
    uint64_t                     seen;
    int64_t                      at;
    uint64_t                     restored;
    uint64_t                     dev;
    uint64_t                     ino;
    ngx_litestream_old_memory_t  old;
    u_char                      *text;    /* its fields, as in the file */
} ngx_litestream_memory_t;


static void ngx_litestream_memory_take(ngx_litestream_rdb_t *rdb,
    ngx_litestream_memory_t *m);
static size_t ngx_litestream_memory_field(u_char *text, ngx_uint_t field,
    u_char *buf, size_t size);
static void ngx_litestream_memory_text(FILE *fp, ngx_str_t *text);
static void ngx_litestream_memory_run(ngx_litestream_job_t *job);
static void ngx_litestream_memory_done(ngx_litestream_job_t *job);


/* the fields for people */

#define NGX_LITESTREAM_MEMORY_ALIAS  0
#define NGX_LITESTREAM_MEMORY_URL    1
#define NGX_LITESTREAM_MEMORY_PATH   2


static ngx_array_t   *ngx_litestream_memory_other;
static ngx_msec_t     ngx_litestream_memory_at;


/*
 * STATE/replicas, one line a database: the replica's id, the newest TXID seen
 * there and when (ms), the TXID, device and inode of the last restore, and
 * for people the alias, the replica and the database.
 */

void
ngx_litestream_memory_load(void)
{
    int                       n;
    FILE                     *fp;
    char                      line[3 * NGX_MAX_PATH + 4096];
    size_t                    len;
    ngx_uint_t                i, known;
    long long                 at;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_conf_t    *conf;
    unsigned long long        v[5];
    ngx_litestream_memory_t   m, *other;
    ngx_litestream_old_memory_t  old;

    conf = ngx_litestream_sup->conf;

    ngx_memzero(&old, sizeof(ngx_litestream_old_memory_t));

    ngx_litestream_memory_other = ngx_array_create(ngx_litestream_sup->pool,
                                            4, sizeof(ngx_litestream_memory_t));
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

        /* one that belongs to the next line */

        if (ngx_litestream_old_remember(line, &old) == NGX_OK) {
            continue;
        }

        m.old = old;
        ngx_memzero(&old, sizeof(ngx_litestream_old_memory_t));

        n = 0;

        if (sscanf(line, "%16llx %16llx %20lld %16llx %16llx %16llx %n",
                   &v[0], &v[1], &at, &v[2], &v[3], &v[4], &n)
            != 6)
        {
            continue;
        }

        m.id = v[0];
        m.seen = v[1];
        m.at = at;
        m.restored = v[2];
        m.dev = v[3];
        m.ino = v[4];

        known = 0;

        for (i = 0; i < conf->dbs.nelts; i++) {
            rdb = ngx_litestream_sup->rdbs[i];

            if (rdb->db->replica
                && ngx_litestream_id(&rdb->db->replica->id) == m.id)
            {
                ngx_litestream_memory_take(rdb, &m);
                known = 1;
            }
        }

        if (known) {
            continue;
        }

        len = ngx_strlen(line + n);

        if (len && line[n + len - 1] == '\n') {
            len--;
        }

        m.text = ngx_pnalloc(ngx_litestream_sup->pool, len + 1);
        other = ngx_array_push(ngx_litestream_memory_other);

        if (other && m.text) {
            ngx_cpystrn(m.text, (u_char *) line + n, len + 1);
            *other = m;

        } else if (other) {
            other->id = 0;
        }
    }

    (void) fclose(fp);
}


static void
ngx_litestream_memory_take(ngx_litestream_rdb_t *rdb,
    ngx_litestream_memory_t *m)
{
    rdb->seen_txid = m->seen;
    rdb->seen_at = m->at;
    rdb->restored_txid = m->restored;
    rdb->restored_dev = m->dev;
    rdb->restored_ino = m->ino;
    rdb->old = m->old;
}


/* a database was found in a directory: what is known of its replica */

void
ngx_litestream_memory_known(ngx_litestream_rdb_t *rdb)
{
    uint64_t                  id;
    ngx_uint_t                i;
    ngx_litestream_memory_t  *other;

    if (ngx_litestream_memory_other == NULL) {
        return;
    }

    id = ngx_litestream_id(&rdb->db->replica->id);
    other = ngx_litestream_memory_other->elts;

    for (i = 0; i < ngx_litestream_memory_other->nelts; i++) {
        if (other[i].id == id) {
            ngx_litestream_memory_take(rdb, &other[i]);
            other[i].id = 0;
        }
    }
}


/*
 * The next one from *n on that was a database of that directory, and is none
 * now: its path below the root, of at most size bytes, and *n of the one
 * behind it.  0: there are no more.  Supervisor, and its jobs.
 */

size_t
ngx_litestream_memory_next(ngx_litestream_dir_t *dir, ngx_uint_t *n,
    u_char *path, size_t size)
{
    size_t                    len, skip;
    ngx_uint_t                i;
    ngx_litestream_memory_t  *other;
    u_char                    alias[NGX_LITESTREAM_MEMBER_LEN + 1];

    if (ngx_litestream_memory_other == NULL) {
        return 0;
    }

    other = ngx_litestream_memory_other->elts;
    skip = dir->db->alias.len + 1;

    for (i = *n; i < ngx_litestream_memory_other->nelts; i++) {

        if (other[i].id == 0 || other[i].seen == 0) {
            continue;
        }

        len = ngx_litestream_memory_field(other[i].text,
                                          NGX_LITESTREAM_MEMORY_ALIAS,
                                          alias, sizeof(alias));

        if (len <= skip || len - skip > size || alias[skip - 1] != '/'
            || ngx_memcmp(alias, dir->db->alias.data, skip - 1) != 0
            || ngx_litestream_member_path(alias + skip, len - skip))
        {
            continue;
        }

        ngx_memcpy(path, alias + skip, len - skip);
        *n = i + 1;

        return len - skip;
    }

    return 0;
}


/* the one that ngx_litestream_memory_next() has given at last */

void
ngx_litestream_memory_forget(ngx_uint_t n)
{
    ngx_litestream_memory_t  *other;

    other = ngx_litestream_memory_other->elts;
    other[n - 1].id = 0;

    ngx_litestream_sup->memory_dirty = 1;
}


/*
 * Where a database was replicated to before its alias or its replica was
 * changed: the URL in buf, of at most size bytes, and until when, ms.
 * NGX_DECLINED: it is not known to have been anywhere else.  Supervisor, and
 * its jobs.
 */

ngx_int_t
ngx_litestream_memory_moved(ngx_litestream_db_t *db, u_char *buf, size_t size,
    int64_t *at)
{
    size_t                    len;
    u_char                    path[NGX_MAX_PATH];
    ngx_uint_t                i;
    ngx_litestream_memory_t  *other, *last;

    if (ngx_litestream_memory_other == NULL) {
        return NGX_DECLINED;
    }

    last = NULL;
    other = ngx_litestream_memory_other->elts;

    for (i = 0; i < ngx_litestream_memory_other->nelts; i++) {

        if (other[i].id == 0 || other[i].seen == 0
            || (last && last->at > other[i].at))
        {
            continue;
        }

        len = ngx_litestream_memory_field(other[i].text,
                                          NGX_LITESTREAM_MEMORY_PATH,
                                          path, sizeof(path));

        if (len == db->path.len
            && ngx_memcmp(path, db->path.data, len) == 0)
        {
            last = &other[i];
        }
    }

    if (last == NULL) {
        return NGX_DECLINED;
    }

    len = ngx_litestream_memory_field(last->text, NGX_LITESTREAM_MEMORY_URL,
                                      buf, size - 1);
    buf[len] = '\0';
    *at = last->at;

    return NGX_OK;
}


/*
 * Fields end at a blank; what cannot stand in one is %HH.  Its length in buf,
 * 0: it is not there, or too long.
 */

static size_t
ngx_litestream_memory_field(u_char *text, ngx_uint_t field, u_char *buf,
    size_t size)
{
    size_t     n;
    ngx_int_t  ch;

    while (field--) {
        text = (u_char *) ngx_strchr(text, ' ');

        if (text == NULL) {
            return 0;
        }

        text++;
    }

    for (n = 0; *text && *text != ' '; n++) {

        if (n == size) {
            return 0;
        }

        if (*text == '%') {

            ch = (text[1] && text[2]) ? ngx_hextoi(text + 1, 2) : NGX_ERROR;

            if (ch == NGX_ERROR) {
                return 0;
            }

            buf[n] = (u_char) ch;
            text += 3;
            continue;
        }

        buf[n] = *text++;
    }

    return n;
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
    int                       fd;
    char                      temp[4200];
    FILE                     *fp;
    ngx_uint_t                i;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_conf_t    *conf;
    ngx_litestream_memory_t  *other;

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

        ngx_litestream_old_save(fp, &rdb->old);

        fprintf(fp, "%016llx %016llx %lld %016llx %llx %llx ",
                (unsigned long long) ngx_litestream_id(&rdb->db->replica->id),
                (unsigned long long) rdb->seen_txid,
                (long long) rdb->seen_at,
                (unsigned long long) rdb->restored_txid,
                (unsigned long long) rdb->restored_dev,
                (unsigned long long) rdb->restored_ino);

        ngx_litestream_memory_text(fp, &rdb->db->alias);
        (void) fputc(' ', fp);
        ngx_litestream_memory_text(fp, &rdb->db->replica->url);
        (void) fputc(' ', fp);
        ngx_litestream_memory_text(fp, &rdb->db->path);
        (void) fputc('\n', fp);
    }

    if (ngx_litestream_memory_other) {
        other = ngx_litestream_memory_other->elts;

        for (i = 0; i < ngx_litestream_memory_other->nelts; i++) {

            if (other[i].id == 0) {
                continue;
            }

            ngx_litestream_old_save(fp, &other[i].old);

            fprintf(fp, "%016llx %016llx %lld %016llx %llx %llx %s\n",
                    (unsigned long long) other[i].id,
                    (unsigned long long) other[i].seen,
                    (long long) other[i].at,
                    (unsigned long long) other[i].restored,
                    (unsigned long long) other[i].dev,
                    (unsigned long long) other[i].ino,
                    (char *) other[i].text);
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


/* a name of a file may hold blanks */

static void
ngx_litestream_memory_text(FILE *fp, ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] <= ' ' || text->data[i] == '%'
            || text->data[i] == 0x7f)
        {
            fprintf(fp, "%%%02X", text->data[i]);
            continue;
        }

        (void) fputc(text->data[i], fp);
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
