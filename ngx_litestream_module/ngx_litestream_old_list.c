
/*
 * Copyright (C) the ngx_litestream authors
 */


/* in jobs: what a replica of Litestream 0.3 holds */


#include "ngx_litestream_old.h"

#include <dirent.h>


/* more than these in a replica are none of Litestream's making */
#define NGX_LITESTREAM_GENERATIONS  4096


typedef struct {
    uint64_t                     name;
    uint64_t                     at;      /* of the newest file in it */
    int64_t                      end;     /* when that was written, ns */
} ngx_litestream_old_generation_t;


typedef struct {
    ngx_litestream_job_t        *job;
    ngx_litestream_list_t       *list;
    ngx_litestream_old_generation_t  *elts;
    ngx_uint_t                   n;
    ngx_uint_t                   max;
    ngx_uint_t                   wal;     /* lines of "wal" */
    ngx_uint_t                   failed;
} ngx_litestream_old_ctx_t;


static ngx_int_t ngx_litestream_old_command(ngx_litestream_old_ctx_t *ctx,
    char *command);
static void ngx_litestream_old_line_handler(void *data, char *line);
static ngx_int_t ngx_litestream_old_dir(ngx_litestream_old_ctx_t *ctx,
    char *name, uint64_t generation);
static ngx_int_t ngx_litestream_old_file(ngx_litestream_old_ctx_t *ctx,
    uint64_t generation, uint64_t at, int64_t size, int64_t ns);
static void ngx_litestream_old_newest(ngx_litestream_old_ctx_t *ctx);
static ngx_int_t ngx_litestream_old_newer(ngx_litestream_job_t *job,
    uint64_t *n);
static ngx_int_t ngx_litestream_old_failed(ngx_litestream_job_t *job,
    char *name);


/*
 * What the replica of job->rdb holds: list, and in job->result its newest
 * position, and whether there are files of Litestream 0.5: a directory tells,
 * else it is known of what was seen there.  NGX_ERROR: the result says why not.
 */

ngx_int_t
ngx_litestream_old_list(ngx_litestream_job_t *job, ngx_litestream_list_t *list)
{
    ngx_int_t                  rc;
    ngx_litestream_old_ctx_t   ctx;

    if (ngx_litestream_old_supports(job->rdb->db, job->result.text,
                                    sizeof(job->result.text))
        != NGX_OK)
    {
        job->result.rc = NGX_LITESTREAM_OUTCOME_ERROR;
        return NGX_ERROR;
    }

    if (ngx_litestream_batch_fits(job->rdb)) {

        rc = ngx_litestream_old_list_dir(job, list);

        return (rc == NGX_OK) ? ngx_litestream_old_newer(job,
                                                         &job->result.newer)
                              : rc;
    }

    /* it would list, and restore, only what is older */

    job->result.newer = (job->rdb->seen_txid > 1);

    ngx_memzero(list, sizeof(ngx_litestream_list_t));
    ngx_memzero(&ctx, sizeof(ngx_litestream_old_ctx_t));

    ctx.job = job;
    ctx.list = list;

    rc = ngx_litestream_old_command(&ctx, "snapshots");

    if (rc == NGX_OK) {
        ctx.wal = 1;
        rc = ngx_litestream_old_command(&ctx, "wal");
    }

    if (rc == NGX_OK) {
        ngx_litestream_old_newest(&ctx);
    }

    free(ctx.elts);

    return rc;
}


/*
 * "replica generation index [offset] size created" in columns, after a line
 * of titles.  What goes wrong is in its log alone, it ends with 0 then.
 */

static ngx_int_t
ngx_litestream_old_command(ngx_litestream_old_ctx_t *ctx, char *command)
{
    char                   *argv[8];
    ngx_uint_t              n;
    ngx_litestream_db_t    *db;
    ngx_litestream_job_t   *job;
    ngx_litestream_run_t    run;
    ngx_litestream_conf_t  *conf;

    job = ctx->job;
    db = job->rdb->db;
    conf = ngx_litestream_sup->conf;

    n = ngx_litestream_job_argv(job, argv, command);
    argv[n++] = (char *) db->path.data;
    argv[n] = NULL;

    job->line = ngx_litestream_old_line_handler;
    job->line_data = ctx;

    if (ngx_litestream_job_exec(job, argv, conf->restore_timeout, NULL, &run)
        != NGX_OK)
    {
        job->line = NULL;
        ngx_litestream_old_explain(&run);

        ngx_litestream_fail(job, "replica \"%s\": %s%s%s",
                            (char *) db->replica->url.data,
                            run.timedout ? "no answer within the timeout"
                            : "cannot be listed",
                            run.last[0] ? ": " : "", run.last);
        return NGX_ERROR;
    }

    job->line = NULL;

    if (run.last[0] || run.status != 0) {
        ngx_litestream_old_explain(&run);

        ngx_litestream_fail(job, "replica \"%s\" cannot be read: %s",
                            (char *) db->replica->url.data, run.last);
        return NGX_ERROR;
    }

    if (ctx->failed) {
        ngx_litestream_fail(job, "the list of replica \"%s\" cannot be "
                            "understood", (char *) db->replica->url.data);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_litestream_old_line_handler(void *data, char *line)
{
    ngx_litestream_old_ctx_t *ctx = data;

    int                   n;
    char                  generation[17], created[40];
    int64_t               ms;
    uint64_t              name;
    unsigned long long    index, offset, size;

    if (strncmp(line, "replica ", 8) == 0) {
        return;
    }

    offset = 0;

    n = ctx->wal
        ? sscanf(line, "%*s %16s %llu %llu %llu %39s", generation, &index,
                 &offset, &size, created)
        : sscanf(line, "%*s %16s %llu %llu %39s", generation, &index, &size,
                 created);

    if (n != (ctx->wal ? 5 : 4)
        || ngx_litestream_old_generation((u_char *) generation,
                                         ngx_strlen(generation), &name)
           != NGX_OK
        || index > 0x7fffffff)
    {
        ctx->failed = 1;
        return;
    }

    ms = ngx_litestream_time((u_char *) created, ngx_strlen(created));

    if (ngx_litestream_old_file(ctx, name,
                                ngx_litestream_old_at(index, ctx->wal
                                                      ? offset + 1 : 0),
                                size, ms * 1000000)
        != NGX_OK)
    {
        ctx->failed = 1;
    }
}


/*
 * The same of a replica that is a directory, which any Litestream may be asked
 * for: REPLICA/generations/NAME/{snapshots,wal}.
 */

ngx_int_t
ngx_litestream_old_list_dir(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list)
{
    DIR                       *dir;
    char                       name[4300], sub[4400];
    uint64_t                   generation;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    struct dirent             *de;
    ngx_litestream_old_ctx_t   ctx;

    static char  *subs[] = { "snapshots", "wal" };

    ngx_memzero(list, sizeof(ngx_litestream_list_t));
    ngx_memzero(&ctx, sizeof(ngx_litestream_old_ctx_t));

    ctx.job = job;
    ctx.list = list;

    (void) snprintf(name, sizeof(name), "%s/generations",
                    (char *) job->rdb->db->replica->path.data);

    dir = opendir(name);

    if (dir == NULL) {
        return (errno == ENOENT) ? NGX_OK
                                 : ngx_litestream_old_failed(job, name);
    }

    rc = NGX_OK;

    for ( ;; ) {

        errno = 0;
        de = readdir(dir);

        if (de == NULL) {
            if (errno) {
                rc = ngx_litestream_old_failed(job, name);
            }

            break;
        }

        if (ngx_litestream_old_generation((u_char *) de->d_name,
                                          ngx_strlen(de->d_name), &generation)
            != NGX_OK)
        {
            continue;
        }

        for (i = 0; i < 2 && rc == NGX_OK; i++) {
            (void) snprintf(sub, sizeof(sub), "%.4200s/%.16s/%s", name,
                            de->d_name, subs[i]);
            rc = ngx_litestream_old_dir(&ctx, sub, generation);
        }

        if (rc != NGX_OK) {
            break;
        }
    }

    (void) closedir(dir);

    if (rc == NGX_OK) {
        ngx_litestream_old_newest(&ctx);
    }

    free(ctx.elts);

    return rc;
}


static ngx_int_t
ngx_litestream_old_dir(ngx_litestream_old_ctx_t *ctx, char *name,
    uint64_t generation)
{
    DIR            *dir;
    uint64_t        at;
    ngx_int_t       rc;
    ngx_uint_t      snapshot;
    struct stat     st;
    struct dirent  *de;

    dir = opendir(name);

    if (dir == NULL) {

        /* a generation that has expired goes while it is looked at */

        return (errno == ENOENT) ? NGX_OK
                                 : ngx_litestream_old_failed(ctx->job, name);
    }

    rc = NGX_OK;

    for ( ;; ) {

        errno = 0;
        de = readdir(dir);

        if (de == NULL) {
            if (errno) {
                rc = ngx_litestream_old_failed(ctx->job, name);
            }

            break;
        }

        if (ngx_litestream_old_name(de->d_name, &at, &snapshot) != NGX_OK) {
            continue;
        }

        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1) {

            if (errno == ENOENT) {
                continue;
            }

            rc = ngx_litestream_old_failed(ctx->job, name);
            break;
        }

        rc = ngx_litestream_old_file(ctx, generation, at, st.st_size,
                                     (int64_t) st.st_mtim.tv_sec * 1000000000
                                     + st.st_mtim.tv_nsec);
        if (rc != NGX_OK) {
            ngx_litestream_fail(ctx->job, "replica \"%s\": too many "
                                "generations",
                                (char *) ctx->job->rdb->db->replica->url.data);
            break;
        }
    }

    (void) closedir(dir);

    return rc;
}


/* a snapshot or a part of a WAL, of which "at" is the place */

static ngx_int_t
ngx_litestream_old_file(ngx_litestream_old_ctx_t *ctx, uint64_t generation,
    uint64_t at, int64_t size, int64_t ns)
{
    int64_t                           ms;
    ngx_uint_t                        i, max;
    ngx_litestream_old_generation_t  *g;

    /* those of one generation come one after the other */

    for (i = ctx->n; i > 0; i--) {
        if (ctx->elts[i - 1].name == generation) {
            break;
        }
    }

    if (i == 0) {

        if (ctx->n == ctx->max) {

            max = ctx->max ? 2 * ctx->max : 16;

            if (max > NGX_LITESTREAM_GENERATIONS) {
                return NGX_ERROR;
            }

            g = realloc(ctx->elts, max * sizeof(*g));
            if (g == NULL) {
                return NGX_ERROR;
            }

            ctx->elts = g;
            ctx->max = max;
        }

        g = &ctx->elts[ctx->n++];

        g->name = generation;
        g->at = 0;
        g->end = 0;

    } else {
        g = &ctx->elts[i - 1];
    }

    g->at = ngx_max(g->at, at);
    g->end = ngx_max(g->end, ns);

    ctx->list->files++;
    ctx->list->bytes += size;

    ms = ns / 1000000;

    if (ms > 0) {
        ctx->list->from = ctx->list->from ? ngx_min(ctx->list->from, ms) : ms;
        ctx->list->to = ngx_max(ctx->list->to, ms);
    }

    return NGX_OK;
}


/* the generation that a restore takes; of two at once, that of the database */

static void
ngx_litestream_old_newest(ngx_litestream_old_ctx_t *ctx)
{
    ngx_uint_t                        i;
    ngx_litestream_job_msg_t         *res;
    ngx_litestream_old_generation_t  *g, *newest;

    res = &ctx->job->result;
    newest = NULL;

    for (i = 0; i < ctx->n; i++) {
        g = &ctx->elts[i];

        if (newest == NULL || g->end > newest->end
            || (g->end == newest->end
                && g->name == res->old_local.generation))
        {
            newest = g;
        }
    }

    if (newest) {
        res->old.generation = newest->name;
        res->old.at = newest->at;

        /* that there is something is all that the memory needs */

        ctx->list->txid = 1;
    }
}


/* how many files there are that Litestream 0.5 has written */

static ngx_int_t
ngx_litestream_old_newer(ngx_litestream_job_t *job, uint64_t *n)
{
    ngx_litestream_list_t  list;

    if (ngx_litestream_list_dir(job, &list) != NGX_OK) {
        return NGX_ERROR;
    }

    *n = list.files;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_old_failed(ngx_litestream_job_t *job, char *name)
{
    ngx_litestream_fail(job, "replica \"%s\" cannot be read: \"%s\": %s",
                        (char *) job->rdb->db->replica->url.data, name,
                        strerror(errno));
    return NGX_ERROR;
}
