
/*
 * Copyright (C) the ngx_litestream authors
 */


#include "cli.h"


#define CLI_COLUMNS  6


typedef struct {
    char                            text[CLI_COLUMNS][4 * CLI_ERROR_LEN];
    size_t                          width[CLI_COLUMNS];
} cli_row_t;


static void cli_status_table(cli_state_t *st);
static void cli_status_head(cli_state_t *st);
static void cli_status_groups(cli_state_t *st);
static void cli_status_row(cli_state_t *st, ngx_litestream_db_status_t *db,
    cli_row_t *row);
static void cli_status_set(cli_row_t *row, int n, const char *text);
static void cli_status_errors(cli_state_t *st,
    ngx_litestream_db_status_t *db);


static const char  *cli_columns[CLI_COLUMNS] = {
    "ALIAS", "STATE", "SIZE", "LAG", "LAST SYNC", "REPLICA"
};


/*
 * CLI_YES: nginx runs, and all is in order; CLI_NO: one of the databases is
 * not in place, lagging, or in error, or something stands in the way of its
 * replication from the beginning.
 */

int
cli_status(cli_options_t *o)
{
    int           i, rc;
    cli_json_t    json;
    cli_state_t  *st;

    rc = cli_state(o, &st);

    if (rc == CLI_YES) {
        rc = cli_choose(o, st);
    }

    if (rc != CLI_YES) {
        return rc;
    }

    if (o->json) {
        json.out = stdout;
        json.comma = 0;
        cli_json_status(&json, st);

    } else {
        cli_status_table(st);
    }

    if (!st->alive) {
        return CLI_NOT_RUNNING;
    }

    if (!cli_dir_ready(st)) {
        return CLI_NO;
    }

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        switch (ngx_litestream_db_state(&st->dbs[i], st->now)) {

        case NGX_LITESTREAM_DB_LAGGING:
        case NGX_LITESTREAM_DB_ERROR:
            return CLI_NO;

        case NGX_LITESTREAM_DB_CHECKING:
        case NGX_LITESTREAM_DB_STARTING:

            if (st->dbs[i].error[0]) {
                return CLI_NO;
            }

            break;

        default:
            break;
        }

        if (!st->dbs[i].in_place) {
            return CLI_NO;
        }
    }

    return CLI_YES;
}


/* as "ready" of the endpoint */

int
cli_ready(cli_state_t *st)
{
    int  i;

    for (i = 0; i < st->n_dbs; i++) {
        if (st->chosen[i] && !st->dbs[i].in_place) {
            return 0;
        }
    }

    return st->alive && cli_dir_ready(st);
}


/*
 * The name of its state: what somebody was doing with it has ended with nginx,
 * and says nothing of how it is.
 */

const char *
cli_db_state(cli_state_t *st, ngx_litestream_db_status_t *db)
{
    if (st->alive) {
        return ngx_litestream_db_state_names[ngx_litestream_db_state(db,
                                                                     st->now)];
    }

    switch (db->state) {

    case NGX_LITESTREAM_DB_NEW:
    case NGX_LITESTREAM_DB_MISSING:
    case NGX_LITESTREAM_DB_ERROR:
        return ngx_litestream_db_state_names[db->state];

    default:
        return "stopped";
    }
}


static void
cli_status_table(cli_state_t *st)
{
    int         i, k;
    size_t      widths[CLI_COLUMNS];
    cli_row_t  *row;

    cli_status_head(st);
    cli_status_groups(st);
    cli_dir_table(st);

    row = malloc(sizeof(cli_row_t));

    if (row == NULL) {
        cli_error("no memory");
        return;
    }

    for (k = 0; k < CLI_COLUMNS; k++) {
        widths[k] = strlen(cli_columns[k]);
    }

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        cli_status_row(st, &st->dbs[i], row);

        for (k = 0; k < CLI_COLUMNS; k++) {
            if (row->width[k] > widths[k]) {
                widths[k] = row->width[k];
            }
        }
    }

    (void) putchar('\n');

    for (k = 0; k < CLI_COLUMNS; k++) {
        (void) printf("%s%*s", cli_columns[k],
                      k == CLI_COLUMNS - 1
                      ? 0 : (int) (widths[k] - strlen(cli_columns[k]) + 2),
                      "");
    }

    (void) putchar('\n');

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        cli_status_row(st, &st->dbs[i], row);

        for (k = 0; k < CLI_COLUMNS; k++) {
            (void) printf("%s%*s", row->text[k],
                          k == CLI_COLUMNS - 1
                          ? 0 : (int) (widths[k] - row->width[k] + 2), "");
        }

        (void) putchar('\n');

        cli_status_errors(st, &st->dbs[i]);
    }

    free(row);
}


static void
cli_status_head(cli_state_t *st)
{
    char                            date[64], span[64];
    char                            module[256], nginx[256];
    ngx_litestream_super_status_t  *super;

    super = &st->super;

    (void) cli_escape(module, sizeof(module), super->module_ver);
    (void) cli_escape(nginx, sizeof(nginx), super->nginx_ver);

    if (!st->alive) {
        cli_date(date, sizeof(date), super->heartbeat, 0);

        (void) printf("nginx is not running: this is what was known at %s\n",
                      date);
        return;
    }

    cli_span(span, sizeof(span),
             st->now > super->started ? st->now - super->started : 0);

    (void) printf("supervisor %ld: %s for %s, %u restart%s, "
                  "ngx_litestream %s, nginx %s\n",
                  (long) super->pid, ngx_litestream_state_names[super->state],
                  span, super->restarts, super->restarts == 1 ? "" : "s",
                  module, nginx);
}


static void
cli_status_groups(cli_state_t *st)
{
    int                             i, n;
    char                            name[512], user[512], version[256];
    char                            last[2048];
    ngx_litestream_group_status_t  *group;

    if (!st->alive) {
        return;
    }

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

        (void) cli_escape(name, sizeof(name), group->name);
        (void) cli_escape(user, sizeof(user), group->user);
        (void) cli_escape(version, sizeof(version), group->version);
        (void) cli_escape(last, sizeof(last), group->last_exit);

        (void) printf("litestream %s: %s", name,
                      ngx_litestream_state_names[group->state]);

        if (group->pid > 0) {
            (void) printf(", pid %ld", (long) group->pid);
        }

        (void) printf(", user %s, %u restart%s, version %s%s%s\n", user,
                      group->restarts, group->restarts == 1 ? "" : "s",
                      version[0] ? version : "-",
                      last[0] ? ", the one before " : "", last);
    }
}


static void
cli_status_row(cli_state_t *st, ngx_litestream_db_status_t *db,
    cli_row_t *row)
{
    char     text[128], total[64], url[1024];
    int64_t  lag;

    cli_status_set(row, 0, db->alias);

    cli_copy(text, sizeof(text), "%s", cli_db_state(st, db));

    if (st->alive && db->state == NGX_LITESTREAM_DB_RESTORING
        && db->restore_total > 0 && db->restore_bytes >= 0)
    {
        cli_size(total, sizeof(total), db->restore_total);
        cli_copy(text, sizeof(text), "%s %d%% of %s", cli_db_state(st, db),
                 (int) (100.0 * (double) (db->restore_bytes
                                          < db->restore_total
                                          ? db->restore_bytes
                                          : db->restore_total)
                        / (double) db->restore_total), total);
    }

    cli_status_set(row, 1, text);

    cli_size(text, sizeof(text), db->size);
    cli_status_set(row, 2, text);

    lag = st->alive ? ngx_litestream_lag(db, st->now) : -1;

    cli_span(text, sizeof(text), lag);
    cli_status_set(row, 3, text);

    cli_date(text, sizeof(text), db->last_sync_at, 0);
    cli_status_set(row, 4, text);

    cli_copy(url, sizeof(url), "%s",
             db->replica_url[0] ? db->replica_url : "-");
    cli_status_set(row, 5, url);
}


static void
cli_status_set(cli_row_t *row, int n, const char *text)
{
    row->width[n] = cli_escape(row->text[n], sizeof(row->text[n]), text);
}


/* below its row: they are long */

static void
cli_status_errors(cli_state_t *st, ngx_litestream_db_status_t *db)
{
    char  text[4 * NGX_LITESTREAM_ERROR_LEN + 1], span[64];

    if (db->error[0]) {
        (void) cli_escape(text, sizeof(text), db->error);
        (void) printf("    error: %s\n", text);
    }

    if (db->verify.at && !db->verify.verified && db->verify.error[0]) {
        cli_span(span, sizeof(span),
                 st->now > db->verify.at ? st->now - db->verify.at : 0);

        (void) cli_escape(text, sizeof(text), db->verify.error);
        (void) printf("    last verification, %s ago, failed: %s\n", span,
                      text);
    }
}
