
/*
 * Copyright (C) the ngx_litestream authors
 */


/* restore: why nothing was restored */


#include "cli_restore.h"


static int cli_restore_none(cli_restore_t *r, const char *reason);
static int cli_restore_none_old(cli_restore_t *r, const char *reason);


/* one line, and what the replica holds when it is about a point in time */

int
cli_restore_failed(cli_restore_t *r, cli_run_t *run, int rc)
{
    char  text[CLI_ERROR_LEN];

    cli_litestream_reason(r->o, run, rc, text, sizeof(text));

    if (rc == CLI_NO
        && (strcmp(text, "no matching backup files available") == 0
            || strcmp(text, "no matching backups found") == 0
            || strcmp(text, "timestamp does not exist") == 0
            || strcmp(text, "no backups found") == 0))
    {
        return cli_restore_none(r, text);
    }

    cli_fail(r->o, "\"%s\": not restored: %s", r->t.name, text);

    return rc;
}


/* is there no backup, none of that time, or a damaged one? */

static int
cli_restore_none(cli_restore_t *r, const char *reason)
{
    int          rc;
    char         text[CLI_ERROR_LEN];
    cli_run_t    run;
    cli_held_t   held;
    const char  *args[4];

    if (r->t.old) {
        return cli_restore_none_old(r, reason);
    }

    memset(&run, 0, sizeof(cli_run_t));

    args[0] = "-level";
    args[1] = "all";
    args[2] = "-json";
    args[3] = NULL;

    rc = cli_litestream(r->o, &r->t, "ltx", args, &run);

    if (rc != CLI_YES) {
        cli_litestream_reason(r->o, &run, rc, text, sizeof(text));
        cli_run_free(&run);
        cli_fail(r->o, "\"%s\": not restored: %s, and the replica cannot "
                 "be listed: %s", r->t.name, reason, text);
        return rc;
    }

    cli_held(&run.out, &held);
    cli_run_free(&run);

    if (held.files == 0) {

        if (r->o->if_replica_exists) {

            return cli_restore_nothing(r, "there is no backup");
        }

        cli_fail(r->o, "\"%s\": not restored: there is no backup", r->t.name);
        return CLI_NO;
    }

    if (r->o->txid) {
        cli_fail(r->o, "\"%s\": not restored: transaction %s is not in the "
                 "replica, which holds %s to %s", r->t.name, r->o->txid,
                 held.min, held.max);

    } else if (r->o->timestamp) {
        cli_fail(r->o, "\"%s\": not restored: the replica cannot go back to "
                 "%s, its files are of %s to %s", r->t.name, r->o->timestamp,
                 held.from, held.to);

    } else {
        cli_fail(r->o, "\"%s\": not restored: the replica holds %d LTX files, "
                 "but nothing can be restored from them: it is damaged",
                 r->t.name, held.files);
    }

    return CLI_NO;
}


/*
 * The same of Litestream 0.3, which restores a time only when it is between
 * the first and the last file of one generation.
 */

static int
cli_restore_none_old(cli_restore_t *r, const char *reason)
{
    int           n, rc;
    char          text[CLI_ERROR_LEN], *p;
    cli_run_t     run;
    const char   *args[1];

    memset(&run, 0, sizeof(cli_run_t));

    args[0] = NULL;

    rc = cli_litestream(r->o, &r->t, "snapshots", args, &run);

    if (rc != CLI_YES || cli_old_error(&run, text, sizeof(text)) == CLI_YES) {

        cli_litestream_reason(r->o, &run, rc, text, sizeof(text));
        cli_run_free(&run);
        cli_fail(r->o, "\"%s\": not restored: %s, and the replica cannot "
                 "be listed: %s", r->t.name, reason, text);
        return (rc == CLI_YES) ? CLI_NO : rc;
    }

    /* a line of titles, then one for each */

    n = -1;

    for (p = run.out.data; p && *p; p++) {
        n += (*p == '\n');
    }

    cli_run_free(&run);

    if (n <= 0) {

        if (r->o->if_replica_exists) {
            return cli_restore_nothing(r, "there is no backup");
        }

        cli_fail(r->o, "\"%s\": not restored: there is no backup", r->t.name);

    } else if (r->o->timestamp) {
        cli_fail(r->o, "\"%s\": not restored: the replica cannot go back to "
                 "%s, which is within none of its generations, see wal and "
                 "snapshots", r->t.name, r->o->timestamp);

    } else if (r->o->generation || r->o->index) {
        cli_fail(r->o, "\"%s\": not restored: there is no such generation or "
                 "WAL in the replica, see wal and snapshots", r->t.name);

    } else {
        cli_fail(r->o, "\"%s\": not restored: the replica holds %d snapshots, "
                 "but nothing can be restored from them: %s", r->t.name, n,
                 reason);
    }

    return CLI_NO;
}
