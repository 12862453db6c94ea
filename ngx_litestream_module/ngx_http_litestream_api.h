
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_HTTP_LITESTREAM_API_H_INCLUDED_
#define _NGX_HTTP_LITESTREAM_API_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"

#pragma GCC visibility push(hidden)


/* arguments, as bits */

#define NGX_HTTP_LITESTREAM_ARG_DB           0x0001
#define NGX_HTTP_LITESTREAM_ARG_REPLICATING  0x0002
#define NGX_HTTP_LITESTREAM_ARG_MAX_LAG      0x0004
#define NGX_HTTP_LITESTREAM_ARG_VERIFIED     0x0008
#define NGX_HTTP_LITESTREAM_ARG_MODE         0x0010
#define NGX_HTTP_LITESTREAM_ARG_TIMEOUT      0x0020
#define NGX_HTTP_LITESTREAM_ARG_LEVEL        0x0040
#define NGX_HTTP_LITESTREAM_ARG_LIMIT        0x0080

/* bodies of POST, bytes */

#define NGX_HTTP_LITESTREAM_BODY_SIZE        4096

/* what a verification's JSON has besides its result */

#define NGX_HTTP_LITESTREAM_VERIFY_AT        0x0001
#define NGX_HTTP_LITESTREAM_VERIFY_RUNNING   0x0002
#define NGX_HTTP_LITESTREAM_VERIFY_NEVER     0x0004


/*
 * One answer being written: a chain of buffers that grows.  JSON, unless
 * another type is set; type_len: how much of it nginx compares with those of
 * gzip_types and the like.
 */

typedef struct {
    ngx_pool_t                *pool;
    ngx_str_t                  type;
    size_t                     type_len;
    ngx_chain_t               *out;
    ngx_chain_t              **last;
    ngx_buf_t                 *buf;
    off_t                      size;
    unsigned                   comma:1;
    unsigned                   failed:1;     /* no memory */
} ngx_http_litestream_json_t;


typedef struct ngx_http_litestream_api_s  ngx_http_litestream_api_t;

struct ngx_http_litestream_api_s {
    ngx_http_request_t        *request;
    ngx_array_t               *dbs;     /* of ngx_litestream_db_t *: asked */
    ngx_array_t               *dirs;    /* the same: directories, or NULL */
    ngx_uint_t                 args;    /* NGX_HTTP_LITESTREAM_ARG_XXX */
    ngx_uint_t                 mode;
    ngx_msec_t                 timeout;
    int64_t                    max_lag;      /* ms */
    int64_t                    verified;     /* ms */
    ngx_int_t                  level;   /* of LTX files, -1: all */
    ngx_uint_t                 limit;   /* of LTX files */
    ngx_str_t                  error;
    ngx_str_t                  body;    /* where it is read */
    ngx_int_t                (*post)(ngx_http_litestream_api_t *ctx);

    unsigned                   one:1;   /* the URI names the database */
    unsigned                   write:1;
    unsigned                   replicating:1;
};


/*
 * The writer: ngx_http_litestream_json.c.  A member's key is NULL in an
 * array, or after ngx_http_litestream_json_key().  What is unknown becomes
 * null: an empty text, a number below 0, a time or TXID of 0.  Texts may
 * hold anything.  Without memory it does nothing and sets failed.
 */

void ngx_http_litestream_json_init(ngx_http_litestream_json_t *json,
    ngx_pool_t *pool);
void ngx_http_litestream_json_open(ngx_http_litestream_json_t *json,
    char *key, u_char bracket);
void ngx_http_litestream_json_close(ngx_http_litestream_json_t *json,
    u_char bracket);
void ngx_http_litestream_json_end(ngx_http_litestream_json_t *json);
void ngx_http_litestream_json_key(ngx_http_litestream_json_t *json,
    u_char *data, size_t len);
void ngx_http_litestream_json_null(ngx_http_litestream_json_t *json,
    char *key);
void ngx_http_litestream_json_bool(ngx_http_litestream_json_t *json,
    char *key, ngx_uint_t value);
void ngx_http_litestream_json_number(ngx_http_litestream_json_t *json,
    char *key, int64_t value);
void ngx_http_litestream_json_seconds(ngx_http_litestream_json_t *json,
    char *key, int64_t ms);
void ngx_http_litestream_json_time(ngx_http_litestream_json_t *json,
    char *key, int64_t ms);
void ngx_http_litestream_json_txid(ngx_http_litestream_json_t *json,
    char *key, uint64_t txid);
void ngx_http_litestream_json_text(ngx_http_litestream_json_t *json,
    char *key, u_char *data, size_t len);
void ngx_http_litestream_json_chars(ngx_http_litestream_json_t *json,
    char *key, char *data, size_t size);

/* bytes as they are; static: they outlive the request and are not copied */

void ngx_http_litestream_json_raw(ngx_http_litestream_json_t *json,
    u_char *data, size_t len);
void ngx_http_litestream_json_static(ngx_http_litestream_json_t *json,
    u_char *data, size_t len);
u_char *ngx_http_litestream_json_reserve(ngx_http_litestream_json_t *json,
    size_t size);
void ngx_http_litestream_json_written(ngx_http_litestream_json_t *json,
    u_char *last);

/* the length of the UTF-8 character at p, 0 if it is not valid */

size_t ngx_http_litestream_json_utf8(u_char *p, u_char *last);


/*
 * GET endpoints, from the status file alone: ngx_http_litestream_status.c.
 * They write the answer and return its status.  Worker, no I/O.
 */

ngx_uint_t ngx_http_litestream_status_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json);
ngx_uint_t ngx_http_litestream_ready_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json);
ngx_uint_t ngx_http_litestream_verify_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json);

/* a database's record; NGX_DECLINED: none, st says that nothing is known */

ngx_int_t ngx_http_litestream_status_db(ngx_litestream_db_t *db,
    ngx_litestream_db_status_t *st);

/*
 * Databases in directories: ngx_http_litestream_member.c.  members: NGX_ERROR:
 * no memory; member: NGX_OK and *db, NGX_DECLINED: there is none; the others
 * are what the endpoints say of directories.
 */

ngx_int_t ngx_http_litestream_members(ngx_http_litestream_api_t *ctx);
ngx_int_t ngx_http_litestream_member(ngx_pool_t *pool,
    ngx_litestream_db_t *dir, ngx_str_t *alias, ngx_litestream_db_t **db);
ngx_int_t ngx_http_litestream_status_dir(ngx_litestream_db_t *dir,
    ngx_litestream_dir_status_t *st);
void ngx_http_litestream_status_dirs(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json);
size_t ngx_http_litestream_ready_dir(ngx_litestream_db_t *dir,
    ngx_uint_t alive, u_char *buf, size_t size);

/* ngx_http_litestream_metrics.c, ngx_http_litestream_config.c */

ngx_uint_t ngx_http_litestream_metrics_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json);
ngx_uint_t ngx_http_litestream_config_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json);

/* one verification; flags: NGX_HTTP_LITESTREAM_VERIFY_XXX */

void ngx_http_litestream_verify_json(ngx_http_litestream_json_t *json,
    char *key, ngx_litestream_db_t *db, ngx_litestream_verify_result_t *v,
    ngx_uint_t flags);

/* ms since 1970, of the cached time */

int64_t ngx_http_litestream_now(void);


/* the last answer to GET status: ngx_http_litestream_recent.c */

ngx_int_t ngx_http_litestream_recent_get(ngx_http_request_t *r,
    ngx_http_litestream_json_t *json, uint64_t *changes);
void ngx_http_litestream_recent_keep(ngx_http_request_t *r,
    ngx_http_litestream_json_t *json, uint64_t changes);


/*
 * Questions to the supervisor, and who waits for their answers: one for each
 * database.  render() writes one of them and returns its status.
 */

typedef struct ngx_http_litestream_wait_s  ngx_http_litestream_wait_t;


typedef struct {
    ngx_litestream_ask_t             ask;
    ngx_litestream_db_t             *db;
    ngx_http_litestream_wait_t      *wait;
    ngx_litestream_verify_result_t  *fresh;  /* NULL: asked */
    unsigned                         answered:1;
} ngx_http_litestream_question_t;


struct ngx_http_litestream_wait_s {
    ngx_http_litestream_api_t       *ctx;
    ngx_http_litestream_question_t  *questions;
    ngx_uint_t                       n;
    ngx_uint_t                       left;
    ngx_msec_t                       started;
    ngx_event_t                      timer;

    ngx_uint_t                     (*render)(ngx_http_litestream_question_t *q,
                                         ngx_http_litestream_json_t *json);

    unsigned                         asking:1;
    unsigned                         deserted:1;  /* no supervisor */
};


ngx_http_litestream_wait_t *ngx_http_litestream_wait_create(
    ngx_http_litestream_api_t *ctx);
ngx_int_t ngx_http_litestream_wait(ngx_http_litestream_wait_t *w);
void ngx_http_litestream_wait_error(ngx_http_litestream_question_t *q,
    char *error);


/*
 * POST endpoints: ngx_http_litestream_wait.c.  They ask the supervisor and
 * return NGX_DONE, or what ngx_http_litestream_api_send() returned when
 * there is nothing to wait for.  Worker, never block.
 */

ngx_int_t ngx_http_litestream_verify_post(ngx_http_litestream_api_t *ctx);
ngx_int_t ngx_http_litestream_sync_post(ngx_http_litestream_api_t *ctx);

/* a GET that asks: ngx_http_litestream_ltx.c */

ngx_int_t ngx_http_litestream_ltx_ask(ngx_http_litestream_api_t *ctx);

/* ngx_http_litestream_restore.c: ctx->body is there */

ngx_int_t ngx_http_litestream_restore_post(ngx_http_litestream_api_t *ctx);

/* where a database goes, without secrets; ngx_http_litestream_status.c */

void ngx_http_litestream_replica_json(ngx_http_litestream_json_t *json,
    ngx_litestream_replica_t *replica);

/* one restore to a new file, in the status */

void ngx_http_litestream_point_json(ngx_http_litestream_json_t *json,
    ngx_litestream_point_t *p);


/*
 * ngx_http_litestream_body.c: reads the body into ctx->body, from memory into
 * memory, then calls post; what it returns is for the phase handler.  Worker,
 * does not block.
 */

ngx_int_t ngx_http_litestream_body(ngx_http_litestream_api_t *ctx,
    ngx_int_t (*post)(ngx_http_litestream_api_t *ctx));

/*
 * A member of the body, a JSON object without nested ones; NGX_DECLINED: there
 * are no more, NGX_ERROR: it is none, or one with something else in it.  p is
 * where the last call has come to, NULL at first.  Strings are as they stand
 * there, of a number no more is known than its characters.
 */

typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  value;
    u_char                     type;    /* '"', '0', 't', 'f' or 'n' */
} ngx_http_litestream_member_t;

ngx_int_t ngx_http_litestream_body_member(ngx_str_t *body, u_char **p,
    ngx_http_litestream_member_t *m);


/* ngx_http_litestream_site.c: postconfiguration; for a POST, in a worker */

ngx_int_t ngx_http_litestream_site_init(ngx_conf_t *cf);

/* 200, or 403 and ctx->error */
ngx_uint_t ngx_http_litestream_site(ngx_http_litestream_api_t *ctx);


/* keeps the text of an error for the answer, returns its status */

ngx_uint_t ngx_http_litestream_api_error(ngx_http_litestream_api_t *ctx,
    ngx_uint_t status, const char *fmt, ...);

/* answers with that text; allow: of 405, else NULL */

ngx_int_t ngx_http_litestream_api_refuse(ngx_http_litestream_api_t *ctx,
    char *allow, ngx_uint_t status);

/*
 * Ends the answer and sends it with this status; what it returns is for
 * ngx_http_finalize_request().  In ngx_http_litestream_api.c.
 */

ngx_int_t ngx_http_litestream_api_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_litestream_json_t *json);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_LITESTREAM_API_H_INCLUDED_ */
