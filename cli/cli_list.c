
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What there is: databases, and what their replicas hold, as Litestream
 * lists it.
 */


#include "cli.h"


static int cli_list(cli_options_t *o, const char *level, const char *old);
static int cli_list_run(cli_options_t *o, cli_target_t *t, const char *command,
    const char **args);
static void cli_databases_json(cli_state_t *st);
static void cli_databases_table(cli_state_t *st);


int
cli_ltx(cli_options_t *o)
{
    return cli_list(o, o->level, NULL);
}


/* in 0.5 it is another name of ltx */

int
cli_wal(cli_options_t *o)
{
    return cli_list(o, o->level, "wal");
}


int
cli_snapshots(cli_options_t *o)
{
    return cli_list(o, "9", "snapshots");
}


int
cli_generations(cli_options_t *o)
{
    return cli_list(o, NULL, "generations");
}


/*
 * One replica: a level of LTX files of Litestream 0.5, or what this command
 * of 0.3 lists; old: NULL, 0.3 has none.
 */

static int
cli_list(cli_options_t *o, const char *level, const char *old)
{
    int           n, rc;
    const char   *args[8];
    cli_target_t  t;

    if (o->level && strcmp(o->level, "all") != 0
        && (o->level[0] < '0' || o->level[0] > '9' || o->level[1]))
    {
        cli_fail(o, "invalid level \"%s\": say 0 to 9, or all", o->level);
        return CLI_USAGE;
    }

    rc = cli_target(o, &t);

    if (rc != CLI_YES) {
        return rc;
    }

    n = 0;

    if (t.old) {

        if (old == NULL || o->level) {
            cli_fail(o, "\"%s\": Litestream 0.3 has no LTX files, see "
                     "generations, snapshots and wal", t.name);
            return CLI_NO;
        }

        if (o->json) {
            cli_fail(o, "\"%s\": Litestream 0.3 writes no JSON", t.name);
            return CLI_NO;
        }

        if (o->replica) {
            args[n++] = "-replica";
            args[n++] = o->replica;
        }

        if (o->generation) {
            args[n++] = "-generation";
            args[n++] = o->generation;
        }

        args[n] = NULL;

        return cli_list_run(o, &t, old, args);
    }

    if (o->replica || o->generation
        || strcmp(o->command, "generations") == 0)
    {
        cli_fail(o, "\"%s\": Litestream 0.5 has no generations and one "
                 "replica only, see ltx and snapshots", t.name);
        return CLI_NO;
    }

    if (level) {
        args[n++] = "-level";
        args[n++] = level;
    }

    if (o->json) {
        args[n++] = "-json";
    }

    args[n] = NULL;

    return cli_list_run(o, &t, "ltx", args);
}


static int
cli_list_run(cli_options_t *o, cli_target_t *t, const char *command,
    const char **args)
{
    int        rc;
    char       text[CLI_ERROR_LEN];
    cli_run_t  run;

    memset(&run, 0, sizeof(cli_run_t));

    rc = cli_litestream(o, t, command, args, &run);

    /* 0.3 shows an empty list, and ends with 0 */

    if (rc == CLI_YES && t->old
        && cli_old_error(&run, text, sizeof(text)) == CLI_YES)
    {
        cli_fail(o, "\"%s\": %s", t->name, text);
        rc = CLI_NO;

    } else if (rc == CLI_YES) {
        cli_print(&run.out, o->json);

    } else {
        cli_litestream_reason(o, &run, rc, text, sizeof(text));
        cli_fail(o, "\"%s\": %s", t->name, text);
    }

    cli_run_free(&run);

    return rc;
}


/*
 * The databases of nginx, or, with -config, those of a litestream.yml as
 * Litestream shows them.
 */

int
cli_databases(cli_options_t *o)
{
    int           rc;
    const char   *args[2];
    cli_state_t  *st;
    cli_target_t  t;

    if (o->config) {

        if (o->n_names) {
            cli_fail(o, "databases -config FILE shows all of them");
            return CLI_USAGE;
        }

        rc = cli_target_config(o, &t);

        if (rc != CLI_YES) {
            return rc;
        }

        args[0] = (o->json && !t.old) ? "-json" : NULL;
        args[1] = NULL;

        return cli_list_run(o, &t, "databases", args);
    }

    if (o->no_expand_env) {
        cli_fail(o, "-no-expand-env is for -config FILE");
        return CLI_USAGE;
    }

    rc = cli_state(o, &st);

    if (rc == CLI_YES) {
        rc = cli_choose(o, st);
    }

    if (rc != CLI_YES) {
        return rc;
    }

    if (o->json) {
        cli_databases_json(st);

    } else {
        cli_databases_table(st);
    }

    return CLI_YES;
}


/* "path" and "replica" are what Litestream calls them */

static void
cli_databases_json(cli_state_t *st)
{
    int         i;
    cli_json_t  json;

    json.out = stdout;
    json.comma = 0;

    cli_json_open(&json, NULL, '[');

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "alias", st->dbs[i].alias);
        cli_json_text(&json, "path", st->dbs[i].path);
        cli_json_text(&json, "replica", st->dbs[i].replica_type);
        cli_json_text(&json, "url", st->dbs[i].replica_url);
        cli_json_close(&json, '}');
    }

    cli_json_close(&json, ']');

    (void) putchar('\n');
}


static void
cli_databases_table(cli_state_t *st)
{
    int     i;
    char    alias[4 * sizeof(st->dbs[0].alias)];
    char    path[4 * sizeof(st->dbs[0].path)];
    char    url[4 * sizeof(st->dbs[0].replica_url)];
    size_t  n, widths[2];

    widths[0] = sizeof("ALIAS") - 1;
    widths[1] = sizeof("PATH") - 1;

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        n = cli_escape(alias, sizeof(alias), st->dbs[i].alias);
        widths[0] = (n > widths[0]) ? n : widths[0];

        n = cli_escape(path, sizeof(path), st->dbs[i].path);
        widths[1] = (n > widths[1]) ? n : widths[1];
    }

    (void) printf("%-*s  %-*s  REPLICA\n", (int) widths[0], "ALIAS",
                  (int) widths[1], "PATH");

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        n = cli_escape(alias, sizeof(alias), st->dbs[i].alias);
        (void) printf("%s%*s", alias, (int) (widths[0] - n + 2), "");

        n = cli_escape(path, sizeof(path), st->dbs[i].path);
        (void) printf("%s%*s", path, (int) (widths[1] - n + 2), "");

        (void) cli_escape(url, sizeof(url), st->dbs[i].replica_url);
        (void) printf("%s\n", url);
    }
}
