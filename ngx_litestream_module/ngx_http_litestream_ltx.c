
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * GET ltx: what a replica holds.  The list comes from a job as memory that
 * nobody can change any more: no file is read here.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"

#include <sys/mman.h>


static ngx_uint_t ngx_http_litestream_ltx_render(
    ngx_http_litestream_question_t *q, ngx_http_litestream_json_t *json);
static ngx_litestream_ltx_head_t *ngx_http_litestream_ltx_map(int fd,
    size_t *size);
static void ngx_http_litestream_ltx_sums(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_head_t *head);
static void ngx_http_litestream_ltx_levels(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_head_t *head);
static void ngx_http_litestream_ltx_level(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_level_t *level);
static void ngx_http_litestream_ltx_files(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_head_t *head, ngx_http_litestream_api_t *ctx);


/*
 * One question.  Worker, does not block.
 */

ngx_int_t
ngx_http_litestream_ltx_ask(ngx_http_litestream_api_t *ctx)
{
    ngx_http_litestream_wait_t  *w;

    w = ngx_http_litestream_wait_create(ctx);
    if (w == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    w->render = ngx_http_litestream_ltx_render;
    w->questions[0].ask.msg.type = NGX_LITESTREAM_IPC_LTX;

    return ngx_http_litestream_wait(w);
}


static ngx_uint_t
ngx_http_litestream_ltx_render(ngx_http_litestream_question_t *q,
    ngx_http_litestream_json_t *json)
{
    size_t                      size;
    ngx_uint_t                  status;
    ngx_litestream_db_t        *db;
    ngx_litestream_msg_t       *msg;
    ngx_litestream_ltx_head_t  *head;

    db = q->db;
    msg = &q->ask.msg;

    head = NULL;
    size = 0;
    status = NGX_HTTP_ACCEPTED;

    if (q->answered) {
        status = msg->status;

        if (status == NGX_HTTP_OK) {
            head = ngx_http_litestream_ltx_map(q->ask.fd, &size);
        }

        if (q->ask.fd != -1) {
            (void) close(q->ask.fd);
            q->ask.fd = -1;
        }

        if (head == NULL && status != NGX_HTTP_NOT_IMPLEMENTED) {
            status = NGX_HTTP_SERVICE_UNAVAILABLE;
            ngx_http_litestream_wait_error(q, "the list cannot be read");
        }

    } else if (q->wait->deserted) {
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_http_litestream_wait_error(q, "no supervisor is running");
    }

    ngx_http_litestream_json_open(json, NULL, '{');

    ngx_http_litestream_json_text(json, "alias", db->alias.data,
                                  db->alias.len);

    if (status == NGX_HTTP_ACCEPTED) {
        ngx_http_litestream_json_bool(json, "running", 1);
    }

    ngx_http_litestream_replica_json(json, db->replica);

    ngx_http_litestream_ltx_sums(json, head);

    if (head) {
        ngx_http_litestream_ltx_levels(json, head);
        ngx_http_litestream_ltx_files(json, head, q->wait->ctx);

        (void) munmap(head, size);

    } else {
        ngx_http_litestream_json_null(json, "levels");
        ngx_http_litestream_json_null(json, "ltx");
        ngx_http_litestream_json_null(json, "truncated");
    }

    ngx_http_litestream_json_number(json, "duration_ms",
                                    q->answered ? (int64_t) msg->duration_ms
                                                : -1);

    if (status >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_litestream_json_chars(json, "error", msg->error,
                                       sizeof(msg->error));

    } else {
        ngx_http_litestream_json_null(json, "error");
    }

    ngx_http_litestream_json_close(json, '}');

    return status;
}


/*
 * NULL: it is not what a job makes.  A mapping of what could still become
 * smaller would be a SIGBUS.
 */

static ngx_litestream_ltx_head_t *
ngx_http_litestream_ltx_map(int fd, size_t *size)
{
    int                         seals;
    void                       *p;
    struct stat                 st;
    ngx_litestream_ltx_head_t  *head;

    if (fd == -1) {
        return NULL;
    }

    seals = fcntl(fd, F_GET_SEALS);

    if (seals == -1
        || (seals & NGX_LITESTREAM_LTX_SEALS) != NGX_LITESTREAM_LTX_SEALS
        || fstat(fd, &st) == -1
        || st.st_size < (off_t) sizeof(ngx_litestream_ltx_head_t)
        || st.st_size > (off_t) (sizeof(ngx_litestream_ltx_head_t)
                                 + NGX_LITESTREAM_LTX_FILES
                                   * sizeof(ngx_litestream_ltx_t)))
    {
        return NULL;
    }

    p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }

    head = p;

    if (head->magic != NGX_LITESTREAM_LTX_MAGIC
        || st.st_size != (off_t) (sizeof(ngx_litestream_ltx_head_t)
                                  + (size_t) head->files
                                    * sizeof(ngx_litestream_ltx_t)))
    {
        (void) munmap(p, st.st_size);
        return NULL;
    }

    *size = st.st_size;

    return head;
}


/* of all levels; head is NULL when nothing is known */

static void
ngx_http_litestream_ltx_sums(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_head_t *head)
{
    ngx_uint_t                   i;
    ngx_litestream_ltx_level_t   all, *level;

    ngx_memzero(&all, sizeof(ngx_litestream_ltx_level_t));

    if (head == NULL) {
        ngx_http_litestream_json_null(json, "at");
        ngx_http_litestream_json_null(json, "files");
        ngx_http_litestream_json_null(json, "bytes");

    } else {
        for (i = 0; i < NGX_LITESTREAM_LTX_LEVELS; i++) {
            level = &head->levels[i];

            all.files += level->files;
            all.bytes += level->bytes;

            if (level->files == 0) {
                continue;
            }

            all.min = all.min ? ngx_min(all.min, level->min) : level->min;
            all.max = ngx_max(all.max, level->max);
            all.from = all.from ? ngx_min(all.from, level->from)
                                : level->from;
            all.to = ngx_max(all.to, level->to);
        }

        ngx_http_litestream_json_time(json, "at", head->at);
        ngx_http_litestream_json_number(json, "files", all.files);
        ngx_http_litestream_json_number(json, "bytes", all.bytes);
    }

    ngx_http_litestream_json_txid(json, "min_txid", all.min);
    ngx_http_litestream_json_txid(json, "max_txid", all.max);
    ngx_http_litestream_json_time(json, "oldest", all.from);
    ngx_http_litestream_json_time(json, "newest", all.to);

    ngx_http_litestream_json_open(json, "history", '{');
    ngx_http_litestream_json_time(json, "from", head ? head->from : 0);
    ngx_http_litestream_json_time(json, "to", head ? head->to : 0);
    ngx_http_litestream_json_close(json, '}');
}


static void
ngx_http_litestream_ltx_levels(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_head_t *head)
{
    ngx_uint_t  i;

    ngx_http_litestream_json_open(json, "levels", '[');

    for (i = 0; i < NGX_LITESTREAM_LTX_LEVELS; i++) {

        if (head->levels[i].files == 0) {
            continue;
        }

        ngx_http_litestream_json_open(json, NULL, '{');
        ngx_http_litestream_json_number(json, "level", i);
        ngx_http_litestream_ltx_level(json, &head->levels[i]);
        ngx_http_litestream_json_close(json, '}');
    }

    ngx_http_litestream_json_close(json, ']');
}


static void
ngx_http_litestream_ltx_level(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_level_t *level)
{
    ngx_http_litestream_json_number(json, "files", level->files);
    ngx_http_litestream_json_number(json, "bytes", level->bytes);
    ngx_http_litestream_json_txid(json, "min_txid", level->min);
    ngx_http_litestream_json_txid(json, "max_txid", level->max);
    ngx_http_litestream_json_time(json, "oldest", level->from);
    ngx_http_litestream_json_time(json, "newest", level->to);
}


static void
ngx_http_litestream_ltx_files(ngx_http_litestream_json_t *json,
    ngx_litestream_ltx_head_t *head, ngx_http_litestream_api_t *ctx)
{
    uint64_t               all;
    ngx_uint_t             i, n;
    ngx_litestream_ltx_t  *f;

    f = (ngx_litestream_ltx_t *) (head + 1);
    n = 0;
    all = 0;

    ngx_http_litestream_json_open(json, "ltx", '[');

    for (i = 0; i < head->files && n < ctx->limit; i++) {

        if (ctx->level != -1 && f[i].level != (uint32_t) ctx->level) {
            continue;
        }

        ngx_http_litestream_json_open(json, NULL, '{');
        ngx_http_litestream_json_number(json, "level", f[i].level);
        ngx_http_litestream_json_txid(json, "min_txid", f[i].min);
        ngx_http_litestream_json_txid(json, "max_txid", f[i].max);
        ngx_http_litestream_json_number(json, "size", f[i].size);
        ngx_http_litestream_json_time(json, "timestamp",
                                      ngx_max(f[i].time, 0));
        ngx_http_litestream_json_close(json, '}');

        n++;
    }

    ngx_http_litestream_json_close(json, ']');

    for (i = 0; i < NGX_LITESTREAM_LTX_LEVELS; i++) {
        if (ctx->level == -1 || (ngx_uint_t) ctx->level == i) {
            all += head->levels[i].files;
        }
    }

    ngx_http_litestream_json_bool(json, "truncated", n < all);
}
