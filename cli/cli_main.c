
/*
 * Copyright (C) the ngx_litestream authors
 */


#include "cli.h"

#include <errno.h>
#include <unistd.h>


/* what is asked of Litestream about one database */

#define CLI_LIST  (CLI_OPT_STATE|CLI_OPT_CONFIG|CLI_OPT_TIME|CLI_OPT_NAMES    \
                   |CLI_OPT_NEEDED|CLI_OPT_ONE)


typedef struct {
    const char                     *name;
    unsigned                        options;
    int                           (*handler)(cli_options_t *o);
    const char                     *usage;
    const char                     *about;
    const char                     *text;
} cli_command_t;


static int cli_check(cli_options_t *o, cli_command_t *command);
static cli_command_t *cli_command(const char *name);
static int cli_unknown(const char *name);
static void cli_usage(FILE *out);
static void cli_usage_command(FILE *out, cli_command_t *command);
static int cli_help(cli_options_t *o);


static cli_command_t  cli_commands[] = {

    { "status", CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_NAMES, cli_status,
      "status [-json] [ALIAS...]",
      "how everything is, nginx up or down",
      "Shows what the status file says.  Exit code 0: all of it is in order;\n"
      "1: a database is not in place, lagging or in error; 3: nginx is not\n"
      "running, and what was known last is shown.\n" },

    { "verify",
      CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_TIME|CLI_OPT_NAMES|CLI_OPT_MODE,
      cli_verify,
      "verify [-json] [-t TIME] [ALIAS...]",
      "prove that the backups restore",
      "Writes a row, syncs it, restores the replica to a temporary copy, and\n"
      "looks for the row there.  Root's, or the user's of nginx's workers.\n"
      "Exit code 0: verified; 1: not; 3: nginx is not running; 124: not\n"
      "within the time, it goes on.\n" },

    { "validate", CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_TIME|CLI_OPT_NAMES,
      cli_validate,
      "validate [-json] [-t TIME] [ALIAS...]",
      "verify, and compare all of it",
      "verify -mode full: all that the replica restores is compared with the\n"
      "database, as of the same transaction.\n" },

    { "sync", CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_TIME|CLI_OPT_NAMES,
      cli_sync,
      "sync [-json] [-t TIME] [ALIAS...]",
      "until all commits are in the replicas",
      "Waits until all that was committed before is in the replica.  Root's,\n"
      "or the user's of nginx's workers.  Exit code 0: synced; 1: not;\n"
      "3: nginx is not running; 124: not within the time.\n" },

    { "wait", CLI_OPT_STATE|CLI_OPT_TIME|CLI_OPT_NAMES|CLI_OPT_NEEDED,
      cli_wait,
      "wait [-t TIME] ALIAS...|all",
      "until databases are in place",
      "In place is what was restored, was there, or is proven to be new.\n"
      "Waits also while nginx is not running yet; without -t for as long as\n"
      "it takes.  Exit code 0: all are in place; 1: one will not be, since\n"
      "its replica is denied, damaged or the like; 2: nginx does not know\n"
      "it; 124: time is up.  With -t 0 it does not wait: 0 or 1.\n" },

    { "config", CLI_OPT_STATE|CLI_OPT_NAMES, cli_config,
      "config [ALIAS...]",
      "what Litestream runs with, masked",
      "Prints the litestream.yml of each group of databases.  Root's.\n" },

    { "restore",
      CLI_LIST|CLI_OPT_JSON|CLI_OPT_OUTPUT|CLI_OPT_RESTORE|CLI_OPT_DRY
      |CLI_OPT_OLD,
      cli_restore,
      "restore [-o FILE] ALIAS|URL",
      "a copy, as it is or was",
      "Restores the replica to a new file, beside the database unless -o is\n"
      "said, checks it, and replaces nothing.  nginx may be up or down.\n"
      "Litestream runs as the user of the database.  Root's, or that user's.\n"
      "Exit code 0: the file is there; 1: not; 124: no progress within 60s,\n"
      "or the time of -t.\n" },

    { "databases", CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_NAMES|CLI_OPT_CONFIG,
      cli_databases,
      "databases [-json] [ALIAS...]",
      "aliases, paths and replicas",
      "Lists the databases of nginx, up or down, or those of a\n"
      "litestream.yml.\n" },

    { "ltx", CLI_LIST|CLI_OPT_JSON|CLI_OPT_LEVEL, cli_ltx,
      "ltx [-json] [-level N] ALIAS|URL",
      "the files of a replica",
      "Lists what a replica holds, as Litestream sees it, nginx up or down.\n"
      "Litestream runs as the user of the database.  Root's, or that user's.\n"
      "Exit code 0: it could be read; 1: not; 124: no answer within 60s, or\n"
      "the time of -t.\n" },

    { "snapshots", CLI_LIST|CLI_OPT_JSON|CLI_OPT_OLD, cli_snapshots,
      "snapshots [-json] ALIAS|URL",
      "the snapshots of a replica",
      "What ltx shows at level 9, or the snapshots of Litestream 0.3.\n" },

    { "wal", CLI_LIST|CLI_OPT_JSON|CLI_OPT_LEVEL|CLI_OPT_OLD, cli_wal,
      "wal [-json] [-level N] ALIAS|URL",
      "the same as ltx",
      "The old name of ltx, and what Litestream 0.3 has of WALs.\n" },

    { "generations", CLI_LIST|CLI_OPT_OLD, cli_generations,
      "generations ALIAS|URL",
      "of Litestream 0.3",
      "The generations of a replica.  Litestream 0.5 has none.\n" },

    { "reset",
      CLI_LIST|CLI_OPT_DRY,
      cli_reset,
      "reset [-dry-run] ALIAS",
      "Litestream forgets a database",
      "Removes what Litestream keeps beside the database.  Only while nothing\n"
      "replicates it: nginx must be down.  nginx does not replicate it any\n"
      "more then, unless its replica is empty: what the replica holds cannot\n"
      "be compared with the database.  Root's, or its user's.\n" },

    { "version", CLI_OPT_STATE|CLI_OPT_JSON, cli_version,
      "version [-json]",
      "of all that is involved",
      "" },

    { "init", CLI_OPT_INIT|CLI_OPT_NAMES|CLI_OPT_TIME, cli_init,
      "init [FILE|DIR...]",
      "an nginx.conf to begin with",
      "Prints an nginx.conf: of a litestream.yml, of SQLite databases and\n"
      "those in directories, or of a Django project.  Without arguments that\n"
      "is /etc/litestream.yml, else what is found here.  Secrets are not\n"
      "printed.\n" },

    { "install-litestream", CLI_OPT_OUTPUT|CLI_OPT_FROM, cli_install,
      "install-litestream [-old] [-o FILE]",
      "the Litestream that is needed",
      "Installs the Litestream that this version is made for, as\n"
      "/usr/local/bin/litestream unless -o is said.  It is downloaded, or\n"
      "taken from a file, and must have the SHA-256 that is known here.\n" },

    { "help", CLI_OPT_NAMES, cli_help,
      "help [COMMAND]",
      "this text, or that of a command",
      "" },

    { NULL, 0, NULL, NULL, NULL, NULL }
};


int
main(int argc, char **argv)
{
    int             rc, help;
    char           *name;
    cli_options_t   o;
    cli_command_t  *command;

    memset(&o, 0, sizeof(cli_options_t));

    o.timeout = -1;

    o.names = calloc((size_t) argc + 1, sizeof(char *));

    if (o.names == NULL) {
        cli_error("no memory");
        return CLI_NO;
    }

    cli_signals();

    rc = cli_option_parse(argc, argv, &o, &name, &help);

    if (rc != CLI_YES) {
        return rc;
    }

    if (name == NULL) {
        cli_usage(help ? stdout : stderr);
        rc = help ? CLI_YES : CLI_USAGE;

    } else {
        command = cli_command(name);

        if (command == NULL) {
            rc = cli_unknown(name);

        } else if (help) {
            cli_usage_command(stdout, command);

        } else {
            rc = cli_check(&o, command);

            if (rc == CLI_YES) {
                rc = command->handler(&o);
            }
        }
    }

    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error("cannot write: %s", strerror(errno));

        if (rc == CLI_YES) {
            rc = CLI_NO;
        }
    }

    return rc;
}


/* CLI_YES: the command takes what was said */

static int
cli_check(cli_options_t *o, cli_command_t *command)
{
    const char  *name;

    name = cli_option_other(command->options);

    if (name) {
        cli_error("%s has no option -%s", command->name, name);
        return CLI_USAGE;
    }

    if ((o->n_names && !(command->options & CLI_OPT_NAMES))
        || (o->n_names == 0 && (command->options & CLI_OPT_NEEDED))
        || (o->n_names > 1 && (command->options & CLI_OPT_ONE)))
    {
        cli_usage_command(stderr, command);
        return CLI_USAGE;
    }

    o->command = command->name;

    return CLI_YES;
}


static cli_command_t *
cli_command(const char *name)
{
    cli_command_t  *cmd;

    for (cmd = cli_commands; cmd->name; cmd++) {
        if (strcmp(cmd->name, name) == 0) {
            return cmd;
        }
    }

    return NULL;
}


/* one of Litestream's may have been meant: what is it here? */

static int
cli_unknown(const char *name)
{
    size_t  i;

    static struct {
        const char  *name;
        const char  *text;
    } others[] = {
        { "info", "see status" },
        { "list", "see status and databases" },
        { "replicate", "nginx does that" },
        { "register", "say litestream_db in nginx.conf and reload nginx" },
        { "unregister", "remove the litestream_db and reload nginx" },
        { "snapshot", "a second Litestream would damage the replica; "
          "litestream_snapshot says how often there is one, and what sync "
          "prints is what restore -txid brings back" },
        { "start", "nginx starts it" },
        { "stop", "say replicate=off at the litestream_db and reload nginx" }
    };

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {

        if (strcmp(name, others[i].name) == 0) {
            cli_error("there is no command \"%s\" here: %s", name,
                      others[i].text);
            return CLI_USAGE;
        }
    }

    cli_error("unknown command \"%s\"", name);
    cli_usage(stderr);

    return CLI_USAGE;
}


static void
cli_usage(FILE *out)
{
    cli_command_t  *cmd;

    (void) fputs("Usage: nginx-litestream COMMAND [OPTION...] [ALIAS...]\n\n",
                 out);

    for (cmd = cli_commands; cmd->name; cmd++) {
        (void) fprintf(out, "    %-37s%s\n", cmd->usage, cmd->about);
    }

    (void) fputs("\nA database is named by its alias or its path; \"all\", or "
                 "none: all of them.\n\n", out);

    cli_option_usage(out, CLI_OPT_STATE);

    (void) fputs("\nExit codes: 0 yes, 1 no, 2 usage, 3 nginx is not running, "
                 "124 time is up.\n", out);
}


static void
cli_usage_command(FILE *out, cli_command_t *command)
{
    (void) fprintf(out, "Usage: nginx-litestream %s\n\n%s%s",
                   command->usage, command->text,
                   command->text[0] ? "\n" : "");

    cli_option_usage(out, command->options);
}


static int
cli_help(cli_options_t *o)
{
    cli_command_t  *cmd;

    if (o->n_names == 0) {
        cli_usage(stdout);
        return CLI_YES;
    }

    cmd = cli_command(o->names[0]);

    if (cmd == NULL) {
        return cli_unknown(o->names[0]);
    }

    cli_usage_command(stdout, cmd);

    return CLI_YES;
}
