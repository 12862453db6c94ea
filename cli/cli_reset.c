
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * reset: Litestream's local state of a database is removed, while nothing
 * replicates it.
 */


#include "cli.h"


int
cli_reset(cli_options_t *o)
{
    int           rc;
    char          text[CLI_ERROR_LEN];
    cli_run_t     run;
    const char   *args[2];
    cli_target_t  t;

    if (cli_is_url(o->names[0])) {
        cli_fail(o, "reset is about a database, not a replica");
        return CLI_USAGE;
    }

    rc = cli_target(o, &t);

    if (rc == CLI_YES && t.old) {
        cli_fail(o, "\"%s\": Litestream 0.3 has no reset", t.name);
        return CLI_NO;
    }

    if (rc == CLI_YES && !o->dry_run) {
        rc = cli_lock(o, t.source, t.name);
    }

    if (rc != CLI_YES) {
        return rc;
    }

    args[0] = o->dry_run ? "-dry-run" : NULL;
    args[1] = NULL;

    memset(&run, 0, sizeof(cli_run_t));

    rc = cli_litestream(o, &t, "reset", args, &run);

    if (rc == CLI_YES) {
        cli_print(&run.out, 0);

        if (t.db && !o->dry_run) {
            cli_say("nginx takes \"%s\" for a database that its replica is "
                    "ahead of, and does not replicate it: give it an empty "
                    "replica", t.db->alias);
        }

    } else {
        cli_litestream_reason(o, &run, rc, text, sizeof(text));
        cli_fail(o, "\"%s\": %s", t.name, text);
    }

    cli_run_free(&run);

    return rc;
}
