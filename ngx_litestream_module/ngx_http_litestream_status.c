
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


/* "restoring: " or the like and the error of a database */
#define NGX_HTTP_LITESTREAM_REASON_LEN  (NGX_LITESTREAM_ERROR_LEN + 64)


static void ngx_http_litestream_verify_ms(ngx_http_litestream_json_t *json,
    char *key, uint32_t ms, ngx_uint_t done);
static void ngx_http_litestream_status_supervisor(
    ngx_http_litestream_json_t *json, ngx_litestream_super_status_t *st,
    ngx_uint_t known, ngx_uint_t alive, int64_t now);
static void ngx_http_litestream_status_groups(
    ngx_http_litestream_json_t *json, u_char *groups, ngx_uint_t alive,
    int64_t now);
static void ngx_http_litestream_status_database(
    ngx_http_litestream_json_t *json, ngx_litestream_db_t *db,
    ngx_litestream_db_status_t *st, int64_t now);
static void ngx_http_litestream_status_vfs(ngx_http_litestream_json_t *json,
    ngx_http_request_t *r);
static void ngx_http_litestream_status_restore(
    ngx_http_litestream_json_t *json, ngx_litestream_db_status_t *st);
static int64_t ngx_http_litestream_status_uptime(int64_t started,
    int64_t now);
static size_t ngx_http_litestream_ready_reason(
    ngx_http_litestream_api_t *ctx, ngx_litestream_db_t *db,
    ngx_uint_t alive, int64_t now, u_char *buf);
static u_char *ngx_http_litestream_ready_state(u_char *p, u_char *last,
    ngx_uint_t state, char *error);


/*
 * GET status.  Worker, no I/O.
 */

ngx_uint_t
ngx_http_litestream_status_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json)
{
    int64_t                         now;
    ngx_int_t                       rc;
    ngx_uint_t                      i, known, alive, ready;
    ngx_litestream_db_t           **dbs, **dirs;
    ngx_litestream_db_status_t      st;
    ngx_litestream_dir_status_t     dst;
    ngx_litestream_super_status_t   super;
    u_char                          groups[NGX_LITESTREAM_MAX_GROUPS];

    now = ngx_http_litestream_now();

    ngx_memzero(&super, sizeof(ngx_litestream_super_status_t));
    ngx_memzero(groups, sizeof(groups));

    known = (ngx_litestream_status_super(&super) == NGX_OK);
    alive = known && ngx_litestream_alive(&super, now);
    ready = alive;

    dbs = ctx->dbs->elts;

    /* "ready" stands first: of several, the records are looked at twice */

    for (i = 0; i < ctx->dbs->nelts; i++) {
        rc = ngx_http_litestream_status_db(dbs[i], &st);

        if (rc != NGX_OK || !st.in_place) {
            ready = 0;
        }

        if (rc == NGX_OK && st.group < NGX_LITESTREAM_MAX_GROUPS) {
            groups[st.group] = 1;
        }
    }

    for (i = 0; ctx->dirs && i < ctx->dirs->nelts; i++) {
        dirs = ctx->dirs->elts;
        rc = ngx_http_litestream_status_dir(dirs[i], &dst);

        if (rc != NGX_OK || !dst.in_place) {
            ready = 0;
        }

        if (rc == NGX_OK && dst.group < NGX_LITESTREAM_MAX_GROUPS) {
            groups[dst.group] = 1;
        }
    }

    ngx_http_litestream_json_open(json, NULL, '{');

    ngx_http_litestream_json_bool(json, "ready", ready);
    ngx_http_litestream_json_text(json, "module_version",
                                  (u_char *) NGX_LITESTREAM_VERSION,
                                  sizeof(NGX_LITESTREAM_VERSION) - 1);
    ngx_http_litestream_json_text(json, "nginx_version",
                                  (u_char *) NGINX_VERSION,
                                  sizeof(NGINX_VERSION) - 1);

    ngx_http_litestream_status_supervisor(json, &super, known, alive, now);
    ngx_http_litestream_status_groups(json, groups, alive, now);

    ngx_http_litestream_json_open(json, "databases", '[');

    for (i = 0; i < ctx->dbs->nelts; i++) {

        if (ctx->dbs->nelts > 1) {
            (void) ngx_http_litestream_status_db(dbs[i], &st);
        }

        ngx_http_litestream_status_database(json, dbs[i], &st, now);
    }

    ngx_http_litestream_json_close(json, ']');

    ngx_http_litestream_status_dirs(ctx, json);
    ngx_http_litestream_status_vfs(json, ctx->one ? NULL : ctx->request);

    ngx_http_litestream_json_open(json, "applications", '[');
    ngx_http_litestream_json_close(json, ']');

    ngx_http_litestream_json_close(json, '}');

    return NGX_HTTP_OK;
}


/*
 * GET ready.  Worker, no I/O.
 */

ngx_uint_t
ngx_http_litestream_ready_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json)
{
    size_t                          len;
    int64_t                         now;
    ngx_uint_t                      i, pass, alive, ready;
    ngx_litestream_db_t           **dbs, **dirs;
    ngx_litestream_super_status_t   super;
    u_char                          buf[NGX_HTTP_LITESTREAM_REASON_LEN];

    now = ngx_http_litestream_now();

    alive = ngx_litestream_status_super(&super) == NGX_OK
            && ngx_litestream_alive(&super, now);
    ready = alive;

    dbs = ctx->dbs->elts;

    /* "ready" stands first: the first pass is for it alone */

    for (pass = 0; pass < 2; pass++) {

        if (pass) {
            ngx_http_litestream_json_open(json, NULL, '{');
            ngx_http_litestream_json_bool(json, "ready", ready);
            ngx_http_litestream_json_open(json, "databases", '{');
        }

        for (i = 0; i < ctx->dbs->nelts; i++) {
            len = ngx_http_litestream_ready_reason(ctx, dbs[i], alive, now,
                                                   buf);

            if (pass == 0) {
                if (len) {
                    ready = 0;
                    break;
                }

                continue;
            }

            if (len == 0) {
                len = ngx_sprintf(buf, "ok") - buf;
            }

            ngx_http_litestream_json_key(json, dbs[i]->alias.data,
                                         dbs[i]->alias.len);
            ngx_http_litestream_json_text(json, NULL, buf, len);
        }

        for (i = 0; ctx->dirs && i < ctx->dirs->nelts; i++) {
            dirs = ctx->dirs->elts;

            len = ngx_http_litestream_ready_dir(dirs[i], alive, buf,
                                                sizeof(buf));
            if (len == 0) {
                continue;
            }

            ready = 0;

            if (pass) {
                ngx_http_litestream_json_key(json, dirs[i]->alias.data,
                                             dirs[i]->alias.len);
                ngx_http_litestream_json_text(json, NULL, buf, len);
            }
        }
    }

    ngx_http_litestream_json_close(json, '}');
    ngx_http_litestream_json_close(json, '}');

    return ready ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE;
}


/*
 * GET verify.  Worker, no I/O.
 */

ngx_uint_t
ngx_http_litestream_verify_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json)
{
    ngx_uint_t                    i, flags;
    ngx_litestream_db_t         **dbs;
    ngx_litestream_db_status_t    st;

    dbs = ctx->dbs->elts;

    if (!ctx->one) {
        ngx_http_litestream_json_open(json, NULL, '{');
        ngx_http_litestream_json_open(json, "databases", '[');
    }

    for (i = 0; i < ctx->dbs->nelts; i++) {
        (void) ngx_http_litestream_status_db(dbs[i], &st);

        flags = NGX_HTTP_LITESTREAM_VERIFY_AT;

        if (st.verify.at == 0) {
            flags |= NGX_HTTP_LITESTREAM_VERIFY_NEVER;
        }

        ngx_http_litestream_verify_json(json, NULL, dbs[i], &st.verify,
                                        flags);
    }

    if (!ctx->one) {
        ngx_http_litestream_json_close(json, ']');
        ngx_http_litestream_json_close(json, '}');
    }

    return NGX_HTTP_OK;
}


/*
 * One verification, as POST verify answers; flags say what else is known
 * of it.  Worker, no I/O.
 */

void
ngx_http_litestream_verify_json(ngx_http_litestream_json_t *json, char *key,
    ngx_litestream_db_t *db, ngx_litestream_verify_result_t *v,
    ngx_uint_t flags)
{
    ngx_uint_t  never, running, done;

    never = (flags & NGX_HTTP_LITESTREAM_VERIFY_NEVER) ? 1 : 0;
    running = (flags & NGX_HTTP_LITESTREAM_VERIFY_RUNNING) ? 1 : 0;

    done = !never && !running && v->verified;

    ngx_http_litestream_json_open(json, key, '{');

    ngx_http_litestream_json_text(json, "alias", db->alias.data,
                                  db->alias.len);

    if (never || running) {
        ngx_http_litestream_json_null(json, "verified");

    } else {
        ngx_http_litestream_json_bool(json, "verified", v->verified);
    }

    if (running) {
        ngx_http_litestream_json_bool(json, "running", 1);
    }

    if (never) {
        ngx_http_litestream_json_null(json, "mode");

    } else {
        ngx_http_litestream_json_text(json, "mode",
                                  (u_char *) (v->mode ? "full" : "quick"),
                                  v->mode ? 4 : 5);
    }

    ngx_http_litestream_json_txid(json, "txid", v->txid);

    ngx_http_litestream_verify_ms(json, "duration_ms", v->duration_ms, done);

    ngx_http_litestream_json_open(json, "steps", '{');
    ngx_http_litestream_verify_ms(json, "write_ms", v->write_ms, done);
    ngx_http_litestream_verify_ms(json, "sync_ms", v->sync_ms, done);
    ngx_http_litestream_verify_ms(json, "restore_ms", v->restore_ms, done);
    ngx_http_litestream_verify_ms(json, "check_ms", v->check_ms, done);
    ngx_http_litestream_verify_ms(json, "compare_ms", v->compare_ms,
                                  done && v->mode);
    ngx_http_litestream_json_close(json, '}');

    ngx_http_litestream_json_chars(json, "error", v->error,
                                   sizeof(v->error));

    if (flags & NGX_HTTP_LITESTREAM_VERIFY_AT) {
        ngx_http_litestream_json_time(json, "at", v->at);
    }

    ngx_http_litestream_json_close(json, '}');
}


/* a step that took 0 ms in a failure was not reached */

static void
ngx_http_litestream_verify_ms(ngx_http_litestream_json_t *json, char *key,
    uint32_t ms, ngx_uint_t done)
{
    ngx_http_litestream_json_number(json, key,
                                    (done || ms) ? (int64_t) ms : -1);
}


/*
 * The time, ms since 1970, as nginx has it cached.  Worker.
 */

int64_t
ngx_http_litestream_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


/*
 * Copies the record of a database; without one, makes one in which nothing is
 * known yet and returns NGX_DECLINED.  Worker, no I/O.
 */

ngx_int_t
ngx_http_litestream_status_db(ngx_litestream_db_t *db,
    ngx_litestream_db_status_t *st)
{
    if (ngx_litestream_status_db(db->id, db->index, st) == NGX_OK) {
        return NGX_OK;
    }

    ngx_memzero(st, sizeof(ngx_litestream_db_status_t));

    st->state = NGX_LITESTREAM_DB_STARTING;
    st->size = -1;
    st->wal_size = -1;
    st->restore_total = -1;

    return NGX_DECLINED;
}


static void
ngx_http_litestream_status_supervisor(ngx_http_litestream_json_t *json,
    ngx_litestream_super_status_t *st, ngx_uint_t known, ngx_uint_t alive,
    int64_t now)
{
    char        *name;
    ngx_uint_t   state;

    state = alive ? ngx_min(st->state, NGX_LITESTREAM_STANDBY)
                  : NGX_LITESTREAM_DOWN;

    name = ngx_litestream_state_names[state];

    ngx_http_litestream_json_open(json, "supervisor", '{');

    ngx_http_litestream_json_text(json, "state", (u_char *) name,
                                  ngx_strlen(name));
    ngx_http_litestream_json_number(json, "pid",
                                    (alive && st->pid > 0) ? st->pid : -1);
    ngx_http_litestream_json_number(json, "uptime_seconds",
            alive ? ngx_http_litestream_status_uptime(st->started, now) : -1);
    ngx_http_litestream_json_number(json, "restarts",
                                    known ? (int64_t) st->restarts : -1);

    ngx_http_litestream_json_close(json, '}');
}


static void
ngx_http_litestream_status_groups(ngx_http_litestream_json_t *json,
    u_char *groups, ngx_uint_t alive, int64_t now)
{
    char                           *name;
    ngx_uint_t                      i, state, running;
    ngx_litestream_group_status_t   st;

    ngx_http_litestream_json_open(json, "litestream", '[');

    for (i = 0; i < NGX_LITESTREAM_MAX_GROUPS; i++) {

        if (!groups[i] || ngx_litestream_status_group(i, &st) != NGX_OK) {
            continue;
        }

        /* Litestream does not outlive the supervisor */

        state = alive ? ngx_min(st.state, NGX_LITESTREAM_STANDBY)
                      : NGX_LITESTREAM_DOWN;

        name = ngx_litestream_state_names[state];
        running = alive && st.pid > 0;

        ngx_http_litestream_json_open(json, NULL, '{');

        ngx_http_litestream_json_chars(json, "group", st.name,
                                       sizeof(st.name));
        ngx_http_litestream_json_chars(json, "user", st.user,
                                       sizeof(st.user));
        ngx_http_litestream_json_text(json, "state", (u_char *) name,
                                      ngx_strlen(name));
        ngx_http_litestream_json_chars(json, "version", st.version,
                                       sizeof(st.version));
        ngx_http_litestream_json_number(json, "pid", running ? st.pid : -1);
        ngx_http_litestream_json_number(json, "uptime_seconds",
            running ? ngx_http_litestream_status_uptime(st.started, now)
                    : -1);
        ngx_http_litestream_json_number(json, "restarts", st.restarts);
        ngx_http_litestream_json_chars(json, "last_exit", st.last_exit,
                                       sizeof(st.last_exit));

        ngx_http_litestream_json_close(json, '}');
    }

    ngx_http_litestream_json_close(json, ']');
}


static void
ngx_http_litestream_status_database(ngx_http_litestream_json_t *json,
    ngx_litestream_db_t *db, ngx_litestream_db_status_t *st, int64_t now)
{
    char        *name;
    ngx_uint_t   state;

    state = ngx_litestream_db_state(st, now);
    state = ngx_min(state, NGX_LITESTREAM_DB_ERROR);
    name = ngx_litestream_db_state_names[state];

    ngx_http_litestream_json_open(json, NULL, '{');

    ngx_http_litestream_json_text(json, "alias", db->alias.data,
                                  db->alias.len);
    ngx_http_litestream_json_text(json, "path", db->path.data, db->path.len);
    ngx_http_litestream_json_text(json, "state", (u_char *) name,
                                  ngx_strlen(name));
    ngx_http_litestream_json_number(json, "size", st->size);
    ngx_http_litestream_json_number(json, "wal_size", st->wal_size);
    ngx_http_litestream_json_txid(json, "txid", st->txid);
    ngx_http_litestream_json_seconds(json, "lag_seconds",
                                     ngx_litestream_lag(st, now));
    ngx_http_litestream_json_time(json, "last_sync_at", st->last_sync_at);

    ngx_http_litestream_json_open(json, "history", '{');
    ngx_http_litestream_json_time(json, "from", st->history_from);
    ngx_http_litestream_json_time(json, "to", st->history_to);
    ngx_http_litestream_json_close(json, '}');

    ngx_http_litestream_replica_json(json, db->replica);

    ngx_http_litestream_status_restore(json, st);
    ngx_http_litestream_point_json(json, &st->point);

    if (st->verify.at) {
        ngx_http_litestream_verify_json(json, "verify", db, &st->verify,
                                        NGX_HTTP_LITESTREAM_VERIFY_AT);

    } else {
        ngx_http_litestream_json_null(json, "verify");
    }

    ngx_http_litestream_json_chars(json, "error", st->error,
                                   sizeof(st->error));

    ngx_http_litestream_json_close(json, '}');
}


/* r: NULL when a database was named */

static void
ngx_http_litestream_status_vfs(ngx_http_litestream_json_t *json,
    ngx_http_request_t *r)
{
    ngx_uint_t              i;
    ngx_array_t            *list;
    ngx_litestream_vfs_t   *vfs, **elts;

    ngx_http_litestream_json_open(json, "vfs", '[');

    list = r ? ngx_http_litestream_vfs(r) : NULL;

    for (i = 0; list && i < list->nelts; i++) {
        elts = list->elts;
        vfs = elts[i];

        ngx_http_litestream_json_open(json, NULL, '{');

        ngx_http_litestream_json_text(json, "name", vfs->name.data,
                                      vfs->name.len);

        ngx_http_litestream_replica_json(json, vfs->replica);

        ngx_http_litestream_json_text(json, "user", vfs->user.data,
                                      vfs->user.len);
        ngx_http_litestream_json_number(json, "max_lag_seconds",
                                        vfs->max_lag ? vfs->max_lag : -1);
        ngx_http_litestream_json_text(json, "environment", vfs->file.data,
                                      vfs->file.len);

        ngx_http_litestream_json_close(json, '}');
    }

    ngx_http_litestream_json_close(json, ']');
}


void
ngx_http_litestream_replica_json(ngx_http_litestream_json_t *json,
    ngx_litestream_replica_t *replica)
{
    ngx_http_litestream_json_open(json, "replica", '{');

    if (replica) {
        ngx_http_litestream_json_text(json, "type", replica->type.data,
                                      replica->type.len);
        ngx_http_litestream_json_text(json, "url", replica->url.data,
                                      replica->url.len);

    } else {
        ngx_http_litestream_json_null(json, "type");
        ngx_http_litestream_json_null(json, "url");
    }

    ngx_http_litestream_json_close(json, '}');
}


static void
ngx_http_litestream_status_restore(ngx_http_litestream_json_t *json,
    ngx_litestream_db_status_t *st)
{
    char        *name;
    ngx_uint_t   state, some, ended;

    state = ngx_min(st->restore_state, NGX_LITESTREAM_RESTORE_FAILED);
    name = ngx_litestream_restore_state_names[state];

    some = (state != NGX_LITESTREAM_RESTORE_NONE);
    ended = some && state != NGX_LITESTREAM_RESTORE_RUNNING;

    ngx_http_litestream_json_open(json, "restore", '{');

    ngx_http_litestream_json_text(json, "state", (u_char *) name,
                                  ngx_strlen(name));
    ngx_http_litestream_json_number(json, "bytes",
                                    some ? st->restore_bytes : -1);
    ngx_http_litestream_json_number(json, "total_bytes",
                                    some ? st->restore_total : -1);
    ngx_http_litestream_json_txid(json, "txid",
                                  some ? st->restore_txid : 0);
    ngx_http_litestream_json_number(json, "duration_ms",
                                    (ended || st->restore_ms)
                                    ? (int64_t) st->restore_ms : -1);
    ngx_http_litestream_json_chars(json, "error", st->restore_error,
                                   sizeof(st->restore_error));

    ngx_http_litestream_json_close(json, '}');
}


static int64_t
ngx_http_litestream_status_uptime(int64_t started, int64_t now)
{
    if (started <= 0) {
        return -1;
    }

    /* the cached time may be behind */

    return (now > started) ? (now - started) / 1000 : 0;
}


/* why the database is not ready, into buf; 0: it is */

static size_t
ngx_http_litestream_ready_reason(ngx_http_litestream_api_t *ctx,
    ngx_litestream_db_t *db, ngx_uint_t alive, int64_t now, u_char *buf)
{
    u_char                      *p, *last;
    int64_t                      lag, age;
    ngx_uint_t                   state;
    ngx_litestream_db_status_t   st;

    p = buf;
    last = buf + NGX_HTTP_LITESTREAM_REASON_LEN;

    if (!alive) {
        p = ngx_slprintf(p, last, "no supervisor is running");
        return p - buf;
    }

    (void) ngx_http_litestream_status_db(db, &st);

    state = ngx_litestream_db_state(&st, now);

    if (!st.in_place) {
        p = ngx_http_litestream_ready_state(p, last, state, st.error);
        return p - buf;
    }

    if (!db->replicate
        && (ctx->replicating
            || (ctx->args & (NGX_HTTP_LITESTREAM_ARG_MAX_LAG
                             |NGX_HTTP_LITESTREAM_ARG_VERIFIED))))
    {
        p = ngx_slprintf(p, last, "not replicated: replicate=off");
        return p - buf;
    }

    if (ctx->replicating && state == NGX_LITESTREAM_DB_NEW) {
        p = ngx_slprintf(p, last, "new: nothing to replicate yet");
        return p - buf;
    }

    if (ctx->replicating && state != NGX_LITESTREAM_DB_REPLICATING) {
        p = ngx_http_litestream_ready_state(p, last, state, st.error);
        return p - buf;
    }

    if (ctx->args & NGX_HTTP_LITESTREAM_ARG_MAX_LAG) {
        lag = ngx_litestream_lag(&st, now);

        if (lag < 0) {
            p = ngx_slprintf(p, last, "lag unknown");
            return p - buf;
        }

        if (lag > ctx->max_lag) {
            p = ngx_slprintf(p, last, "lag of %L.%03Ls",
                             lag / 1000, lag % 1000);
            return p - buf;
        }
    }

    if (ctx->args & NGX_HTTP_LITESTREAM_ARG_VERIFIED) {

        if (st.verify.at == 0) {
            p = ngx_slprintf(p, last, "not verified yet");
            return p - buf;
        }

        if (!st.verify.verified) {
            p = ngx_slprintf(p, last, "verification failed");

            if (st.verify.error[0]) {
                p = ngx_slprintf(p, last, ": %*s",
                                 ngx_strnlen((u_char *) st.verify.error,
                                             sizeof(st.verify.error)),
                                 st.verify.error);
            }

            return p - buf;
        }

        age = now - st.verify.at;

        if (age > ctx->verified) {
            p = ngx_slprintf(p, last, "verified %Ls ago", age / 1000);
            return p - buf;
        }
    }

    return 0;
}


static u_char *
ngx_http_litestream_ready_state(u_char *p, u_char *last, ngx_uint_t state,
    char *error)
{
    state = ngx_min(state, NGX_LITESTREAM_DB_ERROR);

    p = ngx_slprintf(p, last, "%s", ngx_litestream_db_state_names[state]);

    if (error[0]) {
        p = ngx_slprintf(p, last, ": %*s",
                         ngx_strnlen((u_char *) error,
                                     NGX_LITESTREAM_ERROR_LEN),
                         error);
    }

    return p;
}
