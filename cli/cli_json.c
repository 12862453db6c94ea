
/*
 * Copyright (C) the ngx_litestream authors
 */


#include "cli.h"


static void cli_json_value(cli_json_t *json, const char *key);
static void cli_json_string(cli_json_t *json, const char *text);
static void cli_json_ms(cli_json_t *json, const char *key, uint32_t ms,
    int done);
static void cli_json_supervisor(cli_json_t *json, cli_state_t *st);
static void cli_json_groups(cli_json_t *json, cli_state_t *st);
static void cli_json_database(cli_json_t *json, cli_state_t *st,
    ngx_litestream_db_status_t *db);
static void cli_json_point(cli_json_t *json, ngx_litestream_point_t *p);
static void cli_json_restore(cli_json_t *json,
    ngx_litestream_db_status_t *db);
static int64_t cli_json_uptime(int64_t started, int64_t now);


void
cli_json_open(cli_json_t *json, const char *key, char bracket)
{
    cli_json_value(json, key);
    (void) fputc(bracket, json->out);

    json->comma = 0;
}


void
cli_json_close(cli_json_t *json, char bracket)
{
    (void) fputc(bracket, json->out);

    json->comma = 1;
}


void
cli_json_null(cli_json_t *json, const char *key)
{
    cli_json_value(json, key);
    (void) fputs("null", json->out);
}


void
cli_json_bool(cli_json_t *json, const char *key, int value)
{
    cli_json_value(json, key);
    (void) fputs(value ? "true" : "false", json->out);
}


void
cli_json_number(cli_json_t *json, const char *key, int64_t value)
{
    if (value < 0) {
        cli_json_null(json, key);
        return;
    }

    cli_json_value(json, key);
    (void) fprintf(json->out, "%lld", (long long) value);
}


void
cli_json_seconds(cli_json_t *json, const char *key, int64_t ms)
{
    if (ms < 0) {
        cli_json_null(json, key);
        return;
    }

    cli_json_value(json, key);
    (void) fprintf(json->out, "%lld.%03d", (long long) (ms / 1000),
                   (int) (ms % 1000));
}


void
cli_json_time(cli_json_t *json, const char *key, int64_t ms)
{
    char  buf[64];

    if (ms <= 0 || ms > CLI_MAX_TIME) {
        cli_json_null(json, key);
        return;
    }

    cli_date(buf, sizeof(buf), ms, 1);

    cli_json_value(json, key);
    (void) fprintf(json->out, "\"%s\"", buf);
}


void
cli_json_txid(cli_json_t *json, const char *key, uint64_t txid)
{
    if (txid == 0) {
        cli_json_null(json, key);
        return;
    }

    cli_json_value(json, key);
    (void) fprintf(json->out, "\"%016llx\"", (unsigned long long) txid);
}


void
cli_json_text(cli_json_t *json, const char *key, const char *text)
{
    if (*text == '\0') {
        cli_json_null(json, key);
        return;
    }

    cli_json_value(json, key);
    cli_json_string(json, text);
}


void
cli_json_error(const char *error)
{
    cli_json_t  json;

    json.out = stdout;
    json.comma = 0;

    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "error", error);
    cli_json_close(&json, '}');

    (void) fputc('\n', stdout);
}


static void
cli_json_value(cli_json_t *json, const char *key)
{
    if (json->comma) {
        (void) fputc(',', json->out);
    }

    if (key) {
        (void) fprintf(json->out, "\"%s\":", key);
    }

    json->comma = 1;
}


static void
cli_json_string(cli_json_t *json, const char *text)
{
    size_t                n, len;
    uint32_t              code;
    const unsigned char  *p;

    p = (const unsigned char *) text;
    len = strlen(text);

    (void) fputc('"', json->out);

    while (len) {

        n = cli_utf8(p, len, &code);

        if (n == 0) {

            /* U+FFFD for each byte that is not UTF-8 */

            (void) fputs("\xef\xbf\xbd", json->out);
            n = 1;

        } else if (code == '"' || code == '\\') {
            (void) fprintf(json->out, "\\%c", (int) code);

        } else if (cli_invisible(code)) {

            /* none of them is beyond 0xffff */

            (void) fprintf(json->out, "\\u%04x", code);

        } else {
            (void) fwrite(p, 1, n, json->out);
        }

        p += n;
        len -= n;
    }

    (void) fputc('"', json->out);
}


/*
 * One verification, as POST verify answers; flags: CLI_VERIFY_XXX.
 */

void
cli_json_verify(cli_json_t *json, const char *key, const char *alias,
    ngx_litestream_verify_result_t *v, unsigned flags)
{
    int  running, done;

    running = (flags & CLI_VERIFY_RUNNING) ? 1 : 0;
    done = !running && v->verified;

    cli_json_open(json, key, '{');

    cli_json_text(json, "alias", alias);

    if (running) {
        cli_json_null(json, "verified");
        cli_json_bool(json, "running", 1);

    } else {
        cli_json_bool(json, "verified", v->verified != 0);
    }

    cli_json_text(json, "mode", v->mode ? "full" : "quick");
    cli_json_txid(json, "txid", v->txid);
    cli_json_ms(json, "duration_ms", v->duration_ms, done);

    cli_json_open(json, "steps", '{');
    cli_json_ms(json, "write_ms", v->write_ms, done);
    cli_json_ms(json, "sync_ms", v->sync_ms, done);
    cli_json_ms(json, "restore_ms", v->restore_ms, done);
    cli_json_ms(json, "check_ms", v->check_ms, done);
    cli_json_ms(json, "compare_ms", v->compare_ms, done && v->mode);
    cli_json_close(json, '}');

    cli_json_text(json, "error", v->error);

    if (flags & CLI_VERIFY_AT) {
        cli_json_time(json, "at", v->at);
    }

    cli_json_close(json, '}');
}


/* a step that took 0 ms in a failure was not reached */

static void
cli_json_ms(cli_json_t *json, const char *key, uint32_t ms, int done)
{
    cli_json_number(json, key, (done || ms) ? (int64_t) ms : -1);
}


/*
 * The chosen databases, as GET status answers.
 */

void
cli_json_status(cli_json_t *json, cli_state_t *st)
{
    int          i;
    const char  *version;

    version = st->super.module_ver[0] ? st->super.module_ver
                                      : NGX_LITESTREAM_VERSION;

    cli_json_open(json, NULL, '{');

    cli_json_bool(json, "ready", cli_ready(st));
    cli_json_text(json, "module_version", version);
    cli_json_text(json, "nginx_version", st->super.nginx_ver);

    cli_json_supervisor(json, st);
    cli_json_groups(json, st);

    cli_json_open(json, "databases", '[');

    for (i = 0; i < st->n_dbs; i++) {
        if (st->chosen[i]) {
            cli_json_database(json, st, &st->dbs[i]);
        }
    }

    cli_json_close(json, ']');

    cli_dir_json(json, st);
    cli_json_vfs(json, st);

    cli_json_open(json, "applications", '[');
    cli_json_close(json, ']');

    cli_json_close(json, '}');

    (void) fputc('\n', json->out);
}


static void
cli_json_supervisor(cli_json_t *json, cli_state_t *st)
{
    ngx_litestream_super_status_t  *super;

    super = &st->super;

    cli_json_open(json, "supervisor", '{');

    cli_json_text(json, "state",
                  ngx_litestream_state_names[st->alive
                                             ? super->state
                                             : NGX_LITESTREAM_DOWN]);
    cli_json_number(json, "pid",
                    (st->alive && super->pid > 0) ? super->pid : -1);
    cli_json_number(json, "uptime_seconds",
                    st->alive ? cli_json_uptime(super->started, st->now)
                              : -1);
    cli_json_number(json, "restarts", super->restarts);

    cli_json_close(json, '}');
}


static void
cli_json_groups(cli_json_t *json, cli_state_t *st)
{
    int                             i, n, running;
    ngx_litestream_group_status_t  *group;

    cli_json_open(json, "litestream", '[');

    for (n = 0; n < st->n_groups; n++) {

        group = &st->groups[n];

        for (i = 0; i < st->n_dbs; i++) {
            if (st->chosen[i] && st->dbs[i].group == (uint32_t) n) {
                break;
            }
        }

        if ((i == st->n_dbs && !cli_dir_group(st, n))
            || group->name[0] == '\0')
        {
            continue;
        }

        /* Litestream does not outlive the supervisor */

        running = st->alive && group->pid > 0;

        cli_json_open(json, NULL, '{');

        cli_json_text(json, "group", group->name);
        cli_json_text(json, "user", group->user);
        cli_json_text(json, "state",
                      ngx_litestream_state_names[st->alive
                                                 ? group->state
                                                 : NGX_LITESTREAM_DOWN]);
        cli_json_text(json, "version", group->version);
        cli_json_number(json, "pid", running ? group->pid : -1);
        cli_json_number(json, "uptime_seconds",
                        running ? cli_json_uptime(group->started, st->now)
                                : -1);
        cli_json_number(json, "restarts", group->restarts);
        cli_json_text(json, "last_exit", group->last_exit);

        cli_json_close(json, '}');
    }

    cli_json_close(json, ']');
}


static void
cli_json_database(cli_json_t *json, cli_state_t *st,
    ngx_litestream_db_status_t *db)
{
    cli_json_open(json, NULL, '{');

    cli_json_text(json, "alias", db->alias);
    cli_json_text(json, "path", db->path);
    cli_json_text(json, "state", cli_db_state(st, db));
    cli_json_number(json, "size", db->size);
    cli_json_number(json, "wal_size", db->wal_size);
    cli_json_txid(json, "txid", db->txid);
    cli_json_seconds(json, "lag_seconds", ngx_litestream_lag(db, st->now));
    cli_json_time(json, "last_sync_at", db->last_sync_at);

    cli_json_open(json, "history", '{');
    cli_json_time(json, "from", db->history_from);
    cli_json_time(json, "to", db->history_to);
    cli_json_close(json, '}');

    cli_json_open(json, "replica", '{');
    cli_json_text(json, "type", db->replica_type);
    cli_json_text(json, "url", db->replica_url);
    cli_json_close(json, '}');

    cli_json_restore(json, db);
    cli_json_point(json, &db->point);

    if (db->verify.at) {
        cli_json_verify(json, "verify", db->alias, &db->verify,
                        CLI_VERIFY_AT);

    } else {
        cli_json_null(json, "verify");
    }

    cli_json_text(json, "error", db->error);

    cli_json_close(json, '}');
}


static void
cli_json_restore(cli_json_t *json, ngx_litestream_db_status_t *db)
{
    int  some, ended;

    some = (db->restore_state != NGX_LITESTREAM_RESTORE_NONE);
    ended = some && db->restore_state != NGX_LITESTREAM_RESTORE_RUNNING;

    cli_json_open(json, "restore", '{');

    cli_json_text(json, "state",
                  ngx_litestream_restore_state_names[db->restore_state]);
    cli_json_number(json, "bytes", some ? db->restore_bytes : -1);
    cli_json_number(json, "total_bytes", some ? db->restore_total : -1);
    cli_json_txid(json, "txid", some ? db->restore_txid : 0);
    cli_json_number(json, "duration_ms",
                    (ended || db->restore_ms) ? (int64_t) db->restore_ms
                                              : -1);
    cli_json_text(json, "error", db->restore_error);

    cli_json_close(json, '}');
}


static void
cli_json_point(cli_json_t *json, ngx_litestream_point_t *p)
{
    int  ended;

    if (p->state == NGX_LITESTREAM_RESTORE_NONE) {
        cli_json_null(json, "restored");
        return;
    }

    ended = (p->state != NGX_LITESTREAM_RESTORE_RUNNING);

    cli_json_open(json, "restored", '{');

    cli_json_text(json, "state", ngx_litestream_restore_state_names[p->state]);
    cli_json_text(json, "file", p->path);
    cli_json_txid(json, "txid", p->txid ? p->txid : p->wanted);
    cli_json_time(json, "timestamp", p->time);
    cli_json_number(json, "bytes", p->bytes);
    cli_json_number(json, "total_bytes", p->total);
    cli_json_number(json, "duration_ms",
                    ended ? (int64_t) p->duration_ms : -1);
    cli_json_text(json, "error", p->error);
    cli_json_time(json, "at", p->at);

    cli_json_close(json, '}');
}


static int64_t
cli_json_uptime(int64_t started, int64_t now)
{
    if (started <= 0) {
        return -1;
    }

    return (now > started) ? (now - started) / 1000 : 0;
}
