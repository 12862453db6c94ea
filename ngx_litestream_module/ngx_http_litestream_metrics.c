
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The text format 0.0.4 of Prometheus.  All samples of a metric stand
 * together, so the records are read once and what is needed of them is kept
 * meanwhile: it is small, a record is not.  A value that is unknown has no
 * sample: NaN would make an alert that compares it silently false.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_litestream_api.h"


/* a sample of a database without its alias: name and state, a number */
#define NGX_HTTP_LITESTREAM_METRICS_LINE  256

#define NGX_HTTP_LITESTREAM_NUMBER        0
#define NGX_HTTP_LITESTREAM_SECONDS       1   /* from ms */


typedef struct {
    ngx_litestream_db_t            *db;
    ngx_uint_t                      state;
    ngx_uint_t                      restore_state;

    /* below 0: unknown; times and durations in ms */

    int64_t                         ready;
    int64_t                         in_place;
    int64_t                         lag;
    int64_t                         last_sync;
    int64_t                         size;
    int64_t                         wal_size;
    int64_t                         txid;
    int64_t                         history_from;
    int64_t                         history_to;
    int64_t                         restore_bytes;
    int64_t                         restore_total;
    int64_t                         restore_ms;
    int64_t                         verified;
    int64_t                         verify_at;
    int64_t                         verify_ms;
} ngx_http_litestream_sample_t;


typedef struct {
    ngx_http_litestream_json_t     *out;
    ngx_http_litestream_sample_t   *samples;
    ngx_uint_t                      n;
    ngx_array_t                     processes;
    ngx_litestream_super_status_t   super;
    ngx_uint_t                      known;
    ngx_uint_t                      alive;
    int64_t                         now;
} ngx_http_litestream_metrics_t;


typedef struct {
    char                           *name;
    char                           *help;
    size_t                          offset;
    ngx_uint_t                      unit;
} ngx_http_litestream_metric_t;


static ngx_int_t ngx_http_litestream_metrics_read(
    ngx_http_litestream_api_t *ctx, ngx_http_litestream_metrics_t *m);
static void ngx_http_litestream_metrics_sample(
    ngx_http_litestream_metrics_t *m, ngx_litestream_db_t *db,
    ngx_litestream_db_status_t *st, ngx_int_t rc,
    ngx_http_litestream_sample_t *s);
static void ngx_http_litestream_metrics_self(
    ngx_http_litestream_metrics_t *m);
static void ngx_http_litestream_metrics_processes(
    ngx_http_litestream_metrics_t *m);
static void ngx_http_litestream_metrics_databases(
    ngx_http_litestream_metrics_t *m);
static void ngx_http_litestream_metrics_dirs(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_metrics_t *m);
static void ngx_http_litestream_metrics_states(
    ngx_http_litestream_metrics_t *m, char *name, char *help, char **names,
    ngx_uint_t last, size_t offset);
static void ngx_http_litestream_metrics_line(ngx_http_litestream_json_t *out,
    char *name, ngx_litestream_db_t *db, char *state, int64_t value,
    ngx_uint_t unit);
static void ngx_http_litestream_metrics_head(ngx_http_litestream_metrics_t *m,
    char *name, char *type, char *help);
static void ngx_http_litestream_metrics_process(
    ngx_http_litestream_metrics_t *m, ngx_litestream_group_status_t *process,
    char *name);
static void ngx_http_litestream_metrics_text(ngx_http_litestream_json_t *out,
    char *text);
static void ngx_http_litestream_metrics_label(ngx_http_litestream_json_t *out,
    char *name, u_char *value, size_t len);
static void ngx_http_litestream_metrics_value(ngx_http_litestream_json_t *out,
    int64_t value, ngx_uint_t unit);
static u_char *ngx_http_litestream_metrics_number(u_char *p, int64_t value,
    ngx_uint_t unit);


static ngx_http_litestream_metric_t  ngx_http_litestream_db_metrics[] = {

    { "nginx_litestream_db_ready",
      "Whether the database is in place and a supervisor lives.",
      offsetof(ngx_http_litestream_sample_t, ready),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_in_place",
      "Whether the database is present, or proven to be new.",
      offsetof(ngx_http_litestream_sample_t, in_place),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_lag_seconds",
      "Time since the last sync that is known.",
      offsetof(ngx_http_litestream_sample_t, lag),
      NGX_HTTP_LITESTREAM_SECONDS },

    { "nginx_litestream_db_last_sync_timestamp_seconds",
      "When the replica last had all that was committed.",
      offsetof(ngx_http_litestream_sample_t, last_sync),
      NGX_HTTP_LITESTREAM_SECONDS },

    { "nginx_litestream_db_size_bytes",
      "Size of the database.",
      offsetof(ngx_http_litestream_sample_t, size),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_wal_size_bytes",
      "Size of the WAL.",
      offsetof(ngx_http_litestream_sample_t, wal_size),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_txid",
      "Transaction that replication has come to.",
      offsetof(ngx_http_litestream_sample_t, txid),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_history_from_timestamp_seconds",
      "Earliest time that can be restored to.",
      offsetof(ngx_http_litestream_sample_t, history_from),
      NGX_HTTP_LITESTREAM_SECONDS },

    { "nginx_litestream_db_history_to_timestamp_seconds",
      "Latest time that can be restored to.",
      offsetof(ngx_http_litestream_sample_t, history_to),
      NGX_HTTP_LITESTREAM_SECONDS },

    { "nginx_litestream_db_restore_bytes",
      "Size of what has been restored so far.",
      offsetof(ngx_http_litestream_sample_t, restore_bytes),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_restore_expected_bytes",
      "Size of what is being restored, or was.",
      offsetof(ngx_http_litestream_sample_t, restore_total),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_restore_duration_seconds",
      "How long the last restore took.",
      offsetof(ngx_http_litestream_sample_t, restore_ms),
      NGX_HTTP_LITESTREAM_SECONDS },

    { "nginx_litestream_db_verify_success",
      "Whether the last verification has succeeded.",
      offsetof(ngx_http_litestream_sample_t, verified),
      NGX_HTTP_LITESTREAM_NUMBER },

    { "nginx_litestream_db_verify_timestamp_seconds",
      "When the last verification ended.",
      offsetof(ngx_http_litestream_sample_t, verify_at),
      NGX_HTTP_LITESTREAM_SECONDS },

    { "nginx_litestream_db_verify_duration_seconds",
      "How long the last verification took.",
      offsetof(ngx_http_litestream_sample_t, verify_ms),
      NGX_HTTP_LITESTREAM_SECONDS },

    { NULL, NULL, 0, 0 }
};


/*
 * GET metrics.  Worker, no I/O.
 */

ngx_uint_t
ngx_http_litestream_metrics_get(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_json_t *json)
{
    ngx_http_litestream_metrics_t  m;

    ngx_memzero(&m, sizeof(ngx_http_litestream_metrics_t));

    m.out = json;
    m.now = ngx_http_litestream_now();

    m.known = (ngx_litestream_status_super(&m.super) == NGX_OK);
    m.alive = m.known && ngx_litestream_alive(&m.super, m.now);

    if (ngx_http_litestream_metrics_read(ctx, &m) != NGX_OK) {
        json->failed = 1;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&json->type, "text/plain; version=0.0.4; charset=utf-8");

    /* as gzip_types knows it */
    json->type_len = sizeof("text/plain") - 1;

    ngx_http_litestream_metrics_self(&m);
    ngx_http_litestream_metrics_processes(&m);
    ngx_http_litestream_metrics_databases(&m);
    ngx_http_litestream_metrics_dirs(ctx, &m);

    return NGX_HTTP_OK;
}


static ngx_int_t
ngx_http_litestream_metrics_read(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_metrics_t *m)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_pool_t                     *pool;
    ngx_litestream_db_t           **dbs;
    ngx_litestream_db_status_t      st;
    ngx_litestream_dir_status_t     dst;
    ngx_litestream_group_status_t  *process;
    u_char                          groups[NGX_LITESTREAM_MAX_GROUPS];

    pool = ctx->request->pool;

    m->n = ctx->dbs->nelts;

    m->samples = ngx_palloc(pool, ngx_max(m->n, 1)
                                  * sizeof(ngx_http_litestream_sample_t));
    if (m->samples == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&m->processes, pool, 4,
                       sizeof(ngx_litestream_group_status_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(groups, sizeof(groups));

    dbs = ctx->dbs->elts;

    for (i = 0; i < m->n; i++) {

        rc = ngx_http_litestream_status_db(dbs[i], &st);

        ngx_http_litestream_metrics_sample(m, dbs[i], &st, rc,
                                           &m->samples[i]);

        if (rc == NGX_OK && st.group < NGX_LITESTREAM_MAX_GROUPS) {
            groups[st.group] = 1;
        }
    }

    for (i = 0; ctx->dirs && i < ctx->dirs->nelts; i++) {
        dbs = ctx->dirs->elts;

        if (ngx_http_litestream_status_dir(dbs[i], &dst) == NGX_OK
            && dst.group < NGX_LITESTREAM_MAX_GROUPS)
        {
            groups[dst.group] = 1;
        }
    }

    for (i = 0; i < NGX_LITESTREAM_MAX_GROUPS; i++) {

        if (!groups[i]) {
            continue;
        }

        process = ngx_array_push(&m->processes);
        if (process == NULL) {
            return NGX_ERROR;
        }

        if (ngx_litestream_status_group(i, process) != NGX_OK) {
            m->processes.nelts--;
        }
    }

    return NGX_OK;
}


static void
ngx_http_litestream_metrics_sample(ngx_http_litestream_metrics_t *m,
    ngx_litestream_db_t *db, ngx_litestream_db_status_t *st, ngx_int_t rc,
    ngx_http_litestream_sample_t *s)
{
    ngx_uint_t  ended;

    s->db = db;

    s->state = ngx_min(ngx_litestream_db_state(st, m->now),
                       NGX_LITESTREAM_DB_ERROR);
    s->in_place = (rc == NGX_OK && st->in_place);
    s->ready = m->alive && s->in_place;

    s->lag = ngx_litestream_lag(st, m->now);
    s->last_sync = st->last_sync_at ? st->last_sync_at : -1;
    s->size = st->size;
    s->wal_size = st->wal_size;
    s->txid = (st->txid && st->txid <= INT64_MAX)
              ? (int64_t) st->txid : -1;
    s->history_from = st->history_from ? st->history_from : -1;
    s->history_to = st->history_to ? st->history_to : -1;

    s->restore_state = ngx_min(st->restore_state,
                               NGX_LITESTREAM_RESTORE_FAILED);
    s->restore_bytes = -1;
    s->restore_total = -1;
    s->restore_ms = -1;

    if (s->restore_state != NGX_LITESTREAM_RESTORE_NONE) {
        ended = (s->restore_state != NGX_LITESTREAM_RESTORE_RUNNING);

        s->restore_bytes = st->restore_bytes;
        s->restore_total = st->restore_total;
        s->restore_ms = ended ? (int64_t) st->restore_ms : -1;
    }

    s->verified = -1;
    s->verify_at = -1;
    s->verify_ms = -1;

    if (st->verify.at) {
        s->verified = st->verify.verified ? 1 : 0;
        s->verify_at = st->verify.at;
        s->verify_ms = st->verify.duration_ms;
    }
}


static void
ngx_http_litestream_metrics_self(ngx_http_litestream_metrics_t *m)
{
    ngx_http_litestream_json_t  *out;

    out = m->out;

    ngx_http_litestream_metrics_head(m, "nginx_litestream_build_info", "gauge",
                                     "Versions of the module and of nginx.");

    ngx_http_litestream_metrics_text(out, "nginx_litestream_build_info"
                                     "{version=\"" NGX_LITESTREAM_VERSION
                                     "\",nginx_version=\"" NGINX_VERSION
                                     "\"} 1\n");

    ngx_http_litestream_metrics_head(m, "nginx_litestream_supervisor_up",
                                     "gauge",
                                     "Whether a supervisor process lives.");
    ngx_http_litestream_metrics_text(out, "nginx_litestream_supervisor_up");
    ngx_http_litestream_metrics_value(out, m->alive, 0);

    if (!m->known) {
        return;
    }

    ngx_http_litestream_metrics_head(m,
                              "nginx_litestream_supervisor_restarts_total",
                              "counter",
                              "Times that the supervisor came back after it "
                              "had ended in disorder.");
    ngx_http_litestream_metrics_text(out,
                              "nginx_litestream_supervisor_restarts_total");
    ngx_http_litestream_metrics_value(out, m->super.restarts, 0);

    if (!m->alive || m->super.started <= 0) {
        return;
    }

    ngx_http_litestream_metrics_head(m,
                          "nginx_litestream_supervisor_start_time_seconds",
                          "gauge", "When the supervisor has started.");
    ngx_http_litestream_metrics_text(out,
                          "nginx_litestream_supervisor_start_time_seconds");
    ngx_http_litestream_metrics_value(out, m->super.started,
                                      NGX_HTTP_LITESTREAM_SECONDS);
}


static void
ngx_http_litestream_metrics_processes(ngx_http_litestream_metrics_t *m)
{
    ngx_uint_t                      i, n, head;
    ngx_litestream_group_status_t  *process;

    process = m->processes.elts;
    n = m->processes.nelts;

    if (n == 0) {
        return;
    }

    ngx_http_litestream_metrics_head(m, "nginx_litestream_process_info",
                                     "gauge",
                                     "Litestream processes, their users and "
                                     "versions.");

    for (i = 0; i < n; i++) {
        ngx_http_litestream_metrics_text(m->out,
                                         "nginx_litestream_process_info{");
        ngx_http_litestream_metrics_label(m->out, "group",
                           (u_char *) process[i].name,
                           ngx_strnlen((u_char *) process[i].name,
                                       sizeof(process[i].name)));
        ngx_http_litestream_metrics_text(m->out, ",");
        ngx_http_litestream_metrics_label(m->out, "user",
                           (u_char *) process[i].user,
                           ngx_strnlen((u_char *) process[i].user,
                                       sizeof(process[i].user)));
        ngx_http_litestream_metrics_text(m->out, ",");
        ngx_http_litestream_metrics_label(m->out, "version",
                           (u_char *) process[i].version,
                           ngx_strnlen((u_char *) process[i].version,
                                       sizeof(process[i].version)));
        ngx_http_litestream_metrics_text(m->out, "} 1\n");
    }

    ngx_http_litestream_metrics_head(m, "nginx_litestream_process_up", "gauge",
                                     "Whether that Litestream is up.");

    for (i = 0; i < n; i++) {
        ngx_http_litestream_metrics_process(m, &process[i],
                                            "nginx_litestream_process_up");
        ngx_http_litestream_metrics_value(m->out, m->alive
                               && process[i].state == NGX_LITESTREAM_UP, 0);
    }

    ngx_http_litestream_metrics_head(m,
                                  "nginx_litestream_process_restarts_total",
                                  "counter",
                                  "Times that this Litestream was started "
                                  "again after it had ended by itself.");

    for (i = 0; i < n; i++) {
        ngx_http_litestream_metrics_process(m, &process[i],
                                  "nginx_litestream_process_restarts_total");
        ngx_http_litestream_metrics_value(m->out, process[i].restarts, 0);
    }

    head = 0;

    for (i = 0; i < n; i++) {

        if (!m->alive || process[i].pid <= 0 || process[i].started <= 0) {
            continue;
        }

        if (!head) {
            ngx_http_litestream_metrics_head(m,
                              "nginx_litestream_process_start_time_seconds",
                              "gauge", "When this Litestream has started.");
            head = 1;
        }

        ngx_http_litestream_metrics_process(m, &process[i],
                              "nginx_litestream_process_start_time_seconds");
        ngx_http_litestream_metrics_value(m->out, process[i].started,
                                          NGX_HTTP_LITESTREAM_SECONDS);
    }
}


static void
ngx_http_litestream_metrics_databases(ngx_http_litestream_metrics_t *m)
{
    int64_t                        value;
    ngx_str_t                     *type;
    ngx_uint_t                     i, j, head;
    ngx_litestream_db_t           *db;
    ngx_http_litestream_metric_t  *metric;
    ngx_http_litestream_sample_t  *s;

    if (m->n == 0) {
        return;
    }

    ngx_http_litestream_metrics_head(m, "nginx_litestream_db_info", "gauge",
                                     "Databases, their paths, groups and "
                                     "types of replicas.");

    for (i = 0; i < m->n; i++) {
        db = m->samples[i].db;
        type = &db->replica->type;

        ngx_http_litestream_metrics_text(m->out, "nginx_litestream_db_info{");
        ngx_http_litestream_metrics_label(m->out, "db", db->alias.data,
                                          db->alias.len);
        ngx_http_litestream_metrics_text(m->out, ",");
        ngx_http_litestream_metrics_label(m->out, "path", db->path.data,
                                          db->path.len);
        ngx_http_litestream_metrics_text(m->out, ",");
        ngx_http_litestream_metrics_label(m->out, "group",
                                          db->group->name.data,
                                          db->group->name.len);
        ngx_http_litestream_metrics_text(m->out, ",");
        ngx_http_litestream_metrics_label(m->out, "replica_type", type->data,
                                          type->len);
        ngx_http_litestream_metrics_text(m->out, "} 1\n");
    }

    ngx_http_litestream_metrics_states(m, "nginx_litestream_db_state",
                          "State of the database: 1 for the one it is in.",
                          ngx_litestream_db_state_names,
                          NGX_LITESTREAM_DB_ERROR,
                          offsetof(ngx_http_litestream_sample_t, state));

    ngx_http_litestream_metrics_states(m, "nginx_litestream_db_restore_state",
                          "State of the restore: 1 for the one it is in.",
                          ngx_litestream_restore_state_names,
                          NGX_LITESTREAM_RESTORE_FAILED,
                          offsetof(ngx_http_litestream_sample_t,
                                   restore_state));

    for (j = 0; ngx_http_litestream_db_metrics[j].name; j++) {

        metric = &ngx_http_litestream_db_metrics[j];
        head = 0;

        for (i = 0; i < m->n; i++) {
            s = &m->samples[i];

            value = *(int64_t *) ((u_char *) s + metric->offset);

            if (value < 0) {
                continue;
            }

            if (!head) {
                ngx_http_litestream_metrics_head(m, metric->name, "gauge",
                                                 metric->help);
                head = 1;
            }

            ngx_http_litestream_metrics_line(m->out, metric->name, s->db, NULL,
                                             value, metric->unit);
        }
    }
}


static void
ngx_http_litestream_metrics_dirs(ngx_http_litestream_api_t *ctx,
    ngx_http_litestream_metrics_t *m)
{
    char                         *name;
    int64_t                       value;
    ngx_uint_t                    i, j, head;
    ngx_litestream_db_t         **dirs;
    ngx_litestream_dir_status_t   st;

    static char  *metrics[][2] = {
        { "nginx_litestream_directory_databases",
          "Databases that were found in the directory." },
        { "nginx_litestream_directory_found",
          "Whether the directory has been looked through." },
        { "nginx_litestream_directory_scan_timestamp_seconds",
          "When the directory was last looked through." }
    };

    for (j = 0; ctx->dirs && j < 3; j++) {

        name = metrics[j][0];
        head = 0;

        for (i = 0; i < ctx->dirs->nelts; i++) {

            dirs = ctx->dirs->elts;

            (void) ngx_http_litestream_status_dir(dirs[i], &st);

            value = (j == 0) ? (int64_t) st.count
                    : (j == 1) ? st.state == NGX_LITESTREAM_DIR_FOUND
                    : st.scanned_at;

            if (j == 2 && value == 0) {
                continue;
            }

            if (!head) {
                ngx_http_litestream_metrics_head(m, name, "gauge",
                                                 metrics[j][1]);
                head = 1;
            }

            ngx_http_litestream_metrics_text(m->out, name);
            ngx_http_litestream_metrics_text(m->out, "{");
            ngx_http_litestream_metrics_label(m->out, "directory",
                                              dirs[i]->alias.data,
                                              dirs[i]->alias.len);
            ngx_http_litestream_metrics_text(m->out, "}");
            ngx_http_litestream_metrics_value(m->out, value,
                                    j == 2 ? NGX_HTTP_LITESTREAM_SECONDS : 0);
        }
    }
}


/* one sample for each state, so that a query needs no list of numbers */

static void
ngx_http_litestream_metrics_states(ngx_http_litestream_metrics_t *m,
    char *name, char *help, char **names, ngx_uint_t last, size_t offset)
{
    ngx_uint_t                     i, n, state;
    ngx_http_litestream_sample_t  *s;

    ngx_http_litestream_metrics_head(m, name, "gauge", help);

    for (i = 0; i < m->n; i++) {
        s = &m->samples[i];
        state = *(ngx_uint_t *) ((u_char *) s + offset);

        for (n = 0; n <= last; n++) {
            ngx_http_litestream_metrics_line(m->out, name, s->db, names[n],
                                             n == state, 0);
        }
    }
}


/* most of an answer is made here; few aliases need escapes */

static void
ngx_http_litestream_metrics_line(ngx_http_litestream_json_t *out, char *name,
    ngx_litestream_db_t *db, char *state, int64_t value, ngx_uint_t unit)
{
    u_char  *p, *s, *last;

    p = ngx_http_litestream_json_reserve(out, NGX_HTTP_LITESTREAM_METRICS_LINE
                                              + 2 * db->alias.len);
    if (p == NULL) {
        return;
    }

    p = ngx_cpymem(p, name, ngx_strlen(name));
    p = ngx_cpymem(p, "{db=\"", sizeof("{db=\"") - 1);

    if (db->in == NULL) {
        p = ngx_cpymem(p, db->alias.data, db->alias.len);

    } else {
        last = db->alias.data + db->alias.len;

        for (s = db->alias.data; s < last; s++) {

            if (*s == '\\' || *s == '"') {
                *p++ = '\\';
            }

            *p++ = *s;
        }
    }

    if (state) {
        p = ngx_cpymem(p, "\",state=\"", sizeof("\",state=\"") - 1);
        p = ngx_cpymem(p, state, ngx_strlen(state));
    }

    p = ngx_cpymem(p, "\"} ", sizeof("\"} ") - 1);
    p = ngx_http_litestream_metrics_number(p, value, unit);

    ngx_http_litestream_json_written(out, p);
}


static void
ngx_http_litestream_metrics_head(ngx_http_litestream_metrics_t *m, char *name,
    char *type, char *help)
{
    ngx_http_litestream_json_t  *out;

    out = m->out;

    ngx_http_litestream_metrics_text(out, "# HELP ");
    ngx_http_litestream_metrics_text(out, name);
    ngx_http_litestream_metrics_text(out, " ");
    ngx_http_litestream_metrics_text(out, help);
    ngx_http_litestream_metrics_text(out, "\n# TYPE ");
    ngx_http_litestream_metrics_text(out, name);
    ngx_http_litestream_metrics_text(out, " ");
    ngx_http_litestream_metrics_text(out, type);
    ngx_http_litestream_metrics_text(out, "\n");
}


static void
ngx_http_litestream_metrics_process(ngx_http_litestream_metrics_t *m,
    ngx_litestream_group_status_t *process, char *name)
{
    ngx_http_litestream_metrics_text(m->out, name);
    ngx_http_litestream_metrics_text(m->out, "{");
    ngx_http_litestream_metrics_label(m->out, "group",
                                  (u_char *) process->name,
                                  ngx_strnlen((u_char *) process->name,
                                              sizeof(process->name)));
    ngx_http_litestream_metrics_text(m->out, "}");
}


static void
ngx_http_litestream_metrics_text(ngx_http_litestream_json_t *out, char *text)
{
    ngx_http_litestream_json_raw(out, (u_char *) text, ngx_strlen(text));
}


/* any UTF-8 may stand there; backslash, quote and newline are escaped */

static void
ngx_http_litestream_metrics_label(ngx_http_litestream_json_t *out, char *name,
    u_char *value, size_t len)
{
    size_t   n;
    u_char  *p, *last, *run;

    ngx_http_litestream_metrics_text(out, name);
    ngx_http_litestream_metrics_text(out, "=\"");

    last = value + len;

    for (p = value, run = value; p < last; /* void */) {

        n = ngx_http_litestream_json_utf8(p, last);

        if (n && *p != '\\' && *p != '"' && *p != '\n') {
            p += n;
            continue;
        }

        ngx_http_litestream_json_raw(out, run, p - run);

        if (n == 0) {
            ngx_http_litestream_metrics_text(out, "\xef\xbf\xbd");

        } else if (*p == '\n') {
            ngx_http_litestream_metrics_text(out, "\\n");

        } else {
            ngx_http_litestream_metrics_text(out, "\\");
            ngx_http_litestream_json_raw(out, p, 1);
        }

        p++;
        run = p;
    }

    ngx_http_litestream_json_raw(out, run, p - run);
    ngx_http_litestream_metrics_text(out, "\"");
}


static void
ngx_http_litestream_metrics_value(ngx_http_litestream_json_t *out,
    int64_t value, ngx_uint_t unit)
{
    u_char  *p, buf[NGX_INT64_LEN + sizeof(" .000\n")];

    buf[0] = ' ';

    p = ngx_http_litestream_metrics_number(buf + 1, value, unit);

    ngx_http_litestream_json_raw(out, buf, p - buf);
}


/* and the end of the line */

static u_char *
ngx_http_litestream_metrics_number(u_char *p, int64_t value, ngx_uint_t unit)
{
    if (unit == NGX_HTTP_LITESTREAM_SECONDS) {
        return ngx_sprintf(p, "%L.%03L\n", value / 1000, value % 1000);
    }

    if (value >= 0 && value <= 9) {
        *p++ = (u_char) ('0' + value);
        *p++ = '\n';

        return p;
    }

    return ngx_sprintf(p, "%L\n", value);
}
