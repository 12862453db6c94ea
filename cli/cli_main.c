
/*
 * Copyright (C) the ngx_litestream authors
 */


#include "cli.h"

#include <errno.h>
#include <unistd.h>


#define CLI_OPT_STATE    0x0001     /* -path, -c, -g, -p, -nginx */
#define CLI_OPT_JSON     0x0002
#define CLI_OPT_TIME     0x0004
#define CLI_OPT_NAMES    0x0008     /* may be followed by databases */
#define CLI_OPT_NEEDED   0x0010     /* must be */


typedef struct {
    const char                     *name;
    unsigned                        options;
    int                           (*handler)(cli_options_t *o);
    const char                     *usage;
    const char                     *about;
    const char                     *text;
} cli_command_t;


static int cli_options(int argc, char **argv, cli_options_t *o,
    cli_command_t **command);
static int cli_option(int argc, char **argv, int *i, cli_options_t *o,
    unsigned *given);
static int cli_nginx_arg(cli_options_t *o, const char *name, char *value);
static cli_command_t *cli_command(const char *name);
static void cli_usage(FILE *out);
static void cli_usage_command(FILE *out, cli_command_t *command);
static int cli_version(cli_options_t *o);
static int cli_help(cli_options_t *o);


static cli_command_t  cli_commands[] = {

    { "status", CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_NAMES, cli_status,
      "status [-json] [ALIAS...]",
      "how everything is, nginx up or down",
      "Shows what the status file says.  Exit code 0: all of it is in order;\n"
      "1: a database is not in place, lagging or in error; 3: nginx is not\n"
      "running, and what was known last is shown.\n" },

    { "verify", CLI_OPT_STATE|CLI_OPT_JSON|CLI_OPT_TIME|CLI_OPT_NAMES,
      cli_verify,
      "verify [-json] [-t TIME] [ALIAS...]",
      "prove that the backups restore",
      "Writes a row, syncs it, restores the replica to a temporary copy, and\n"
      "looks for the row there.  Root's, or the user's of nginx's workers.\n"
      "Exit code 0: verified; 1: not; 3: nginx is not running; 124: not\n"
      "within the time, it goes on.\n" },

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

    { "version", 0, cli_version,
      "version",
      "the version of this command",
      "" },

    { "help", CLI_OPT_NAMES, cli_help,
      "help [COMMAND]",
      "this text, or that of a command",
      "" },

    { NULL, 0, NULL, NULL, NULL, NULL }
};


static const char  cli_state_text[] =
    "    -path DIR    the litestream_state_path; else LITESTREAM_STATE_PATH,\n"
    "                 else what nginx -T says,\n"
    "                 else " CLI_STATE_PATH "\n"
    "    -c FILE, -g DIRECTIVES, -p PREFIX\n"
    "                 for nginx -T, as of nginx\n"
    "    -nginx FILE  this nginx\n";


int
main(int argc, char **argv)
{
    int             rc;
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

    rc = cli_options(argc, argv, &o, &command);

    if (rc == CLI_YES && command) {
        rc = command->handler(&o);
    }

    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error("cannot write: %s", strerror(errno));

        if (rc == CLI_YES) {
            rc = CLI_NO;
        }
    }

    return rc;
}


/* CLI_YES without a command: it was about help, that has been given */

static int
cli_options(int argc, char **argv, cli_options_t *o, cli_command_t **command)
{
    int             i, rc, end, help;
    char           *name;
    unsigned        given;
    cli_command_t  *cmd;

    *command = NULL;

    cmd = NULL;
    name = NULL;
    end = 0;
    help = 0;
    given = 0;

    for (i = 1; i < argc; i++) {

        if (!end && strcmp(argv[i], "--") == 0) {
            end = 1;
            continue;
        }

        if (!end && argv[i][0] == '-' && argv[i][1]) {

            if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "-help") == 0
                || strcmp(argv[i], "--help") == 0)
            {
                help = 1;
                continue;
            }

            rc = cli_option(argc, argv, &i, o, &given);

            if (rc != CLI_YES) {
                return rc;
            }

            continue;
        }

        if (name == NULL) {
            name = argv[i];
            continue;
        }

        o->names[o->n_names++] = argv[i];
    }

    if (name == NULL) {
        cli_usage(help ? stdout : stderr);
        return help ? CLI_YES : CLI_USAGE;
    }

    cmd = cli_command(name);

    if (cmd == NULL) {
        cli_error("unknown command \"%s\"", name);
        cli_usage(stderr);
        return CLI_USAGE;
    }

    if (help) {
        cli_usage_command(stdout, cmd);
        return CLI_YES;
    }

    if (given & ~cmd->options) {
        cli_error("%s has no option %s", cmd->name,
                  (given & ~cmd->options & CLI_OPT_JSON) ? "-json"
                  : (given & ~cmd->options & CLI_OPT_TIME) ? "-t"
                  : "that says where the state is");
        return CLI_USAGE;
    }

    if ((o->n_names && !(cmd->options & CLI_OPT_NAMES))
        || (o->n_names == 0 && (cmd->options & CLI_OPT_NEEDED)))
    {
        cli_usage_command(stderr, cmd);
        return CLI_USAGE;
    }

    *command = cmd;

    return CLI_YES;
}


/* one that begins with a dash, "-name value" or "-name=value" */

static int
cli_option(int argc, char **argv, int *i, cli_options_t *o, unsigned *given)
{
    char    *arg, *value;
    size_t   len;

    arg = argv[*i] + 1;

    if (arg[0] == '-') {
        arg++;
    }

    if (strcmp(arg, "json") == 0) {
        o->json = 1;
        *given |= CLI_OPT_JSON;
        return CLI_YES;
    }

    len = strcspn(arg, "=");
    value = (arg[len] == '=') ? arg + len + 1 : NULL;

#define cli_is(text)  (len == sizeof(text) - 1 && memcmp(arg, text, len) == 0)

    if (!cli_is("path") && !cli_is("t") && !cli_is("c") && !cli_is("g")
        && !cli_is("p") && !cli_is("nginx"))
    {
        cli_error("unknown option \"%s\", see nginx-litestream help",
                  argv[*i]);
        return CLI_USAGE;
    }

    if (value == NULL) {

        if (*i + 1 >= argc) {
            cli_error("option \"%s\" needs a value", argv[*i]);
            return CLI_USAGE;
        }

        value = argv[++*i];
    }

    if (cli_is("t")) {
        o->timeout = cli_time(value);
        *given |= CLI_OPT_TIME;

        if (o->timeout == -1) {
            cli_error("invalid time \"%s\": say 500ms, 30s, 5m or the like",
                      value);
            return CLI_USAGE;
        }

        return CLI_YES;
    }

    *given |= CLI_OPT_STATE;

    if (cli_is("path")) {
        o->path = value;
        return CLI_YES;
    }

    if (cli_is("nginx")) {
        o->nginx = value;
        return CLI_YES;
    }

    return cli_nginx_arg(o, cli_is("c") ? "-c" : cli_is("g") ? "-g" : "-p",
                         value);

#undef cli_is
}


static int
cli_nginx_arg(cli_options_t *o, const char *name, char *value)
{
    if (o->n_nginx_args + 2 > CLI_MAX_NGINX_ARGS) {
        cli_error("too many options");
        return CLI_USAGE;
    }

    o->nginx_args[o->n_nginx_args++] = (char *) name;
    o->nginx_args[o->n_nginx_args++] = value;

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


static void
cli_usage(FILE *out)
{
    cli_command_t  *cmd;

    (void) fputs("Usage: nginx-litestream COMMAND [OPTION...] [ALIAS...]\n\n",
                 out);

    for (cmd = cli_commands; cmd->name; cmd++) {
        (void) fprintf(out, "    %-37s%s\n", cmd->usage, cmd->about);
    }

    (void) fprintf(out, "\nA database is named by its alias or its path; "
                   "\"all\", or none: all of them.\n\n%s\n"
                   "Exit codes: 0 yes, 1 no, 2 usage, 3 nginx is not running, "
                   "124 time is up.\n", cli_state_text);
}


static void
cli_usage_command(FILE *out, cli_command_t *command)
{
    (void) fprintf(out, "Usage: nginx-litestream %s\n\n%s", command->usage,
                   command->text);

    if (command->options & CLI_OPT_STATE) {
        (void) fprintf(out, "%s%s%s%s", command->text[0] ? "\n" : "",
                       (command->options & CLI_OPT_JSON)
                       ? "    -json        as the endpoints answer\n" : "",
                       (command->options & CLI_OPT_TIME)
                       ? "    -t TIME      as in nginx: 500ms, 30s, 5m, 1h\n"
                       : "", cli_state_text);
    }
}


static int
cli_version(cli_options_t *o)
{
    (void) o;
    (void) printf("nginx-litestream %s\n", NGX_LITESTREAM_VERSION);

    return CLI_YES;
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
        cli_error("unknown command \"%s\"", o->names[0]);
        cli_usage(stderr);
        return CLI_USAGE;
    }

    cli_usage_command(stdout, cmd);

    return CLI_YES;
}
