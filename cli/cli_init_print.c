
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the nginx.conf that init prints, and the file of secrets that it makes */


#include "cli_init.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_INIT_REPLICA    "file:///var/backups/litestream"
#define CLI_INIT_ENV        "/etc/nginx/litestream.env"
#define CLI_INIT_RETENTION  "7d"


static int cli_init_secrets(cli_init_t *in);
static void cli_init_head(cli_init_t *in);
static void cli_init_settings(cli_init_t *in);
static void cli_init_section(int *sections);
static void cli_init_dbs(cli_init_t *in);
static int cli_init_all_root(cli_init_t *in);
static int cli_init_groups(cli_init_t *in);
static void cli_init_type(cli_init_t *in, cli_init_db_t *db);
static const char *cli_init_word(const char *p, char *word, size_t size);
static void cli_init_words(const char *text);
static void cli_init_value(const char *text);
static void cli_init_value_of(const char *name, const char *text);
static void cli_init_comment(const char *text);


int
cli_init_print(cli_init_t *in)
{
    int  rc;

    rc = cli_init_secrets(in);

    if (rc != CLI_YES) {
        return rc;
    }

    cli_init_head(in);

    (void) fputs("load_module modules/ngx_litestream_module.so;\n"
                 "\n"
                 "events {\n"
                 "}\n"
                 "\n"
                 "http {\n", stdout);

    cli_init_settings(in);
    cli_init_dbs(in);

    (void) fputs("\n"
                 "    server {\n"
                 "        listen 80;\n"
                 "\n"
                 "        location / {\n"
                 "            proxy_pass http://127.0.0.1:8000;"
                 "  # your application's port\n"
                 "        }\n"
                 "\n"
                 "        location /litestream/ {\n"
                 "            litestream_api;\n"
                 "            allow 127.0.0.1;\n"
                 "            deny  all;\n"
                 "        }\n"
                 "    }\n"
                 "}\n", stdout);

    return CLI_YES;
}


/*
 * Secrets are not printed: where stdout goes is seldom read by root alone.
 * They go to the file of -env, or their names are said.
 */

static int
cli_init_secrets(cli_init_t *in)
{
    int    i, fd;
    char   path[PATH_MAX], names[CLI_ERROR_LEN], *p;
    FILE  *out;

    if (in->n_secrets == 0) {
        return CLI_YES;
    }

    if (in->o->env == NULL) {
        names[0] = '\0';

        for (i = 0; i < in->n_secrets; i++) {
            p = names + strlen(names);
            cli_copy(p, sizeof(names) - (size_t) (p - names), "%s%s=...",
                     i ? ", " : "", in->secrets[i].name);
        }

        cli_error("secrets are not printed: say -env " CLI_INIT_ENV " for a "
                  "file with them, or make it, of mode 0600, with %s", names);
        return CLI_YES;
    }

    if (cli_absolute(in->o->env, path) != CLI_YES) {
        cli_error("\"%s\": %s", in->o->env, strerror(errno));
        return CLI_NO;
    }

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);
    out = (fd == -1) ? NULL : fdopen(fd, "w");

    if (out == NULL) {
        cli_error("\"%s\": %s", in->o->env, strerror(errno));
        return CLI_NO;
    }

    in->o->env = strdup(path);

    (void) fputs("# secrets of nginx-litestream init: for the user that "
                 "starts nginx alone\n\n", out);

    for (i = 0; i < in->n_secrets; i++) {

        (void) fprintf(out, "%s=\"", in->secrets[i].name);

        for (p = in->secrets[i].value; *p; p++) {

            if (*p == '\n') {
                (void) fputs("\\n", out);
                continue;
            }

            if (strchr("\"\\`$", *p)) {
                (void) fputc('\\', out);
            }

            (void) fputc(*p, out);
        }

        (void) fputs("\"\n", out);
    }

    if (fclose(out) != 0) {
        cli_error("\"%s\" cannot be written: %s", path, strerror(errno));
        (void) unlink(path);
        return CLI_NO;
    }

    return CLI_YES;
}


static void
cli_init_head(cli_init_t *in)
{
    int   i;
    char  text[CLI_ERROR_LEN];

    cli_copy(text, sizeof(text), "to begin with, made by nginx-litestream init "
             "from %.700s", in->source);
    cli_init_comment(text);

    for (i = 0; i < in->n_notes; i++) {
        cli_init_comment(in->notes[i]);
    }

    if (in->n_needed) {
        cli_copy(text, sizeof(text), "these are to be set where nginx is "
                 "started, or by litestream_env_file:");

        for (i = 0; i < in->n_needed; i++) {
            cli_copy(text + strlen(text), sizeof(text) - strlen(text), " %s",
                     in->needed[i]);
        }

        cli_init_comment(text);
    }

    (void) putchar('\n');
}


static void
cli_init_settings(cli_init_t *in)
{
    int          i, all, groups, sections, said;
    const char  *retention, *values[6];

    static const char  *texts[] = {
        "litestream_bin          ", "litestream_metrics_addr ",
        "litestream_mcp_addr     ", "litestream_shutdown_timeout ",
        "litestream_path_prefix  ", "litestream_base_config  "
    };

    sections = 0;
    all = cli_init_all_root(in);

    for (i = 0; i < in->n; i++) {
        if (in->dbs[i].root && !all) {
            cli_copy(in->dbs[i].why, sizeof(in->dbs[i].why), "it is root's, "
                     "which is not guessed: say litestream_user, or give it "
                     "to a user");
        }
    }

    if (all) {
        cli_init_section(&sections);
        (void) fputs("    # all of them are root's\n"
                     "    litestream_user         root;\n", stdout);
    }

    if (in->n_secrets || in->n_env) {
        cli_init_section(&sections);
    }

    if (in->n_secrets) {
        (void) fputs("    # of mode 0600\n"
                     "    litestream_env_file     ", stdout);
        cli_init_value(in->o->env ? in->o->env : CLI_INIT_ENV);
        (void) fputs(";\n", stdout);
    }

    for (i = 0; i < in->n_env; i++) {
        (void) fputs("    litestream_env          ", stdout);
        cli_init_value_of(in->env[i].name,
                          in->env[i].value ? in->env[i].value : "");
        (void) fputs(";\n", stdout);
    }

    retention = in->retention[0] ? in->retention
                : in->retained ? NULL : CLI_INIT_RETENTION;

    if (retention || in->interval[0]) {
        cli_init_section(&sections);
        (void) printf("    # how far back one can go\n"
                      "    litestream_snapshot    %s%s%s%s;\n",
                      in->interval[0] ? " interval=" : "", in->interval,
                      retention ? " retention=" : "",
                      retention ? retention : "");
    }

    values[0] = in->bin;
    values[1] = in->metrics;
    values[2] = in->mcp;
    values[3] = in->shutdown[0] ? in->shutdown : NULL;
    values[4] = in->environment ? in->prefix : NULL;
    values[5] = in->base[0] ? in->base : NULL;

    groups = cli_init_groups(in);
    said = 0;

    for (i = 0; i < 6; i++) {

        if (values[i] && values[i][0]) {

            if (!said++) {
                cli_init_section(&sections);
            }

            if ((values[i] == in->metrics || values[i] == in->mcp)
                && groups > 1)
            {
                (void) fputs("    # there are several Litestreams, each needs "
                             "one of its own in server{}\n    # ", stdout);

            } else {
                (void) fputs("    ", stdout);
            }

            (void) fputs(texts[i], stdout);
            cli_init_value(values[i]);
            (void) fputs(";\n", stdout);
        }
    }

    if (in->environment) {
        cli_init_section(&sections);
        (void) fputs("    # backups go where LITESTREAM_REPLICA_BUCKET in the "
                     "environment says\n", stdout);
        return;
    }

    for (i = 0; i < in->n; i++) {

        if (!in->dbs[i].replicated) {
            cli_init_section(&sections);

            if (in->o->to == NULL) {
                (void) fputs("    # another disk, or a bucket: s3://BUCKET/"
                             "PATH\n", stdout);
            }

            if (in->o->to && strncmp(in->o->to, "s3://", 5) == 0
                && in->n_secrets == 0
                && strstr(in->o->to, "access_key_id=") == NULL)
            {
                (void) fputs("    # of mode 0600, with LITESTREAM_ACCESS_KEY_ID"
                             "=... and\n"
                             "    # LITESTREAM_SECRET_ACCESS_KEY=...\n"
                             "    # litestream_env_file   " CLI_INIT_ENV ";\n",
                             stdout);
            }

            (void) fputs("    litestream_replica      ", stdout);
            cli_init_words(in->o->to ? in->o->to : CLI_INIT_REPLICA);
            (void) fputs(";\n", stdout);
            break;
        }
    }
}


static void
cli_init_section(int *sections)
{
    if ((*sections)++) {
        (void) putchar('\n');
    }
}


static void
cli_init_dbs(cli_init_t *in)
{
    int             i;
    cli_init_db_t  *db;

    for (i = 0; i < in->n; i++) {
        db = &in->dbs[i];

        (void) putchar('\n');

        if (db->about[0]) {
            (void) printf("    # %s\n", db->about);
        }

        if (db->why[0]) {
            (void) printf("    # left out: %s\n    # ", db->why);

        } else {
            (void) fputs("    ", stdout);
        }

        (void) fputs("litestream_db  ", stdout);
        cli_init_value(db->alias);
        (void) putchar(' ');
        cli_init_value(db->path);

        if (db->replica) {
            (void) printf("%s", db->why[0] ? " " : "\n                   ");
            cli_init_value_of("replica", db->replica);
        }

        (void) printf("%s;\n", db->params);
    }
}


/* how many Litestreams there will be: one for each user and type */

static int
cli_init_groups(cli_init_t *in)
{
    int             i, k, n;
    cli_init_db_t  *one, *two;

    n = 0;

    for (i = 0; i < in->n; i++) {
        one = &in->dbs[i];

        if (one->why[0]) {
            continue;
        }

        cli_init_type(in, one);

        for (k = 0; k < i; k++) {
            two = &in->dbs[k];

            if (two->why[0] == '\0' && two->uid == one->uid
                && strcmp(two->type, one->type) == 0)
            {
                break;
            }
        }

        n += (k == i);
    }

    return n;
}


/* of a database that says nothing of it */

static void
cli_init_type(cli_init_t *in, cli_init_db_t *db)
{
    const char  *url;

    if (db->type[0]) {
        return;
    }

    url = in->environment ? "s3:" : in->o->to ? in->o->to : CLI_INIT_REPLICA;

    cli_copy(db->type, sizeof(db->type), "%.*s", (int) strcspn(url, ":"),
             url);
}


/* what is used, and root runs this */

static int
cli_init_all_root(cli_init_t *in)
{
    int  i, n;

    n = 0;

    for (i = 0; i < in->n; i++) {

        if (in->dbs[i].why[0]) {
            continue;
        }

        if (!in->dbs[i].root) {
            return 0;
        }

        n++;
    }

    return n > 0;
}


/*
 * What -to says is what litestream_replica would be given: a URL, and perhaps
 * parameters behind it.  In a path, blanks are part of it.  CLI_YES, or
 * CLI_USAGE: said.
 */

int
cli_init_to(const char *to)
{
    char         word[PATH_MAX];
    size_t       n;
    const char  *p;

    if (!cli_is_url(to)) {
        cli_error("invalid -to \"%s\": say a URL, such as s3://BUCKET/PATH or "
                  "file:///PATH", to);
        return CLI_USAGE;
    }

    if (strncmp(to, "file://", 7) == 0) {
        return CLI_YES;
    }

    p = cli_init_word(to, word, sizeof(word));

    for ( ;; ) {

        p = cli_init_word(p, word, sizeof(word));

        if (word[0] == '\0') {
            return CLI_YES;
        }

        n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");

        if (n == 0 || word[n] != '=') {
            cli_error("invalid -to \"%s\": what follows the URL must be "
                      "parameters, such as endpoint=URL or region=NAME, not "
                      "\"%s\"", to, word);
            return CLI_USAGE;
        }
    }
}


/* the next one, "": there is none; and what follows it */

static const char *
cli_init_word(const char *p, char *word, size_t size)
{
    size_t  n;

    p += strspn(p, " \t");
    n = strcspn(p, " \t");

    cli_copy(word, size, "%.*s", (int) n, p);

    return p + n;
}


static void
cli_init_words(const char *text)
{
    int          n;
    char         word[PATH_MAX];
    const char  *p;

    if (strncmp(text, "file://", 7) == 0) {
        cli_init_value(text);
        return;
    }

    p = text;

    for (n = 0; /* void */ ; n++) {

        p = cli_init_word(p, word, sizeof(word));

        if (word[0] == '\0') {
            return;
        }

        if (n) {
            (void) putchar(' ');
        }

        cli_init_value(word);
    }
}


/* a value as nginx reads it */

static void
cli_init_value(const char *text)
{
    cli_init_value_of(NULL, text);
}


static void
cli_init_value_of(const char *name, const char *text)
{
    int          quoted;
    const char  *p;

    quoted = (*text == '\0' || *text == '#');

    for (p = text; *p; p++) {

        if (strchr(" \t;'\"\\", *p)
            || ((*p == '{' || *p == '}') && strstr(text, "${") == NULL))
        {
            quoted = 1;
        }
    }

    (void) printf("%s%s%s", quoted ? "\"" : "", name ? name : "",
                  name ? "=" : "");

    for (p = text; *p; p++) {

        if (quoted && (*p == '"' || *p == '\\')) {
            (void) putchar('\\');
        }

        (void) putchar(*p);
    }

    if (quoted) {
        (void) putchar('"');
    }
}


/* in lines of a width that can be read */

static void
cli_init_comment(const char *text)
{
    size_t       n, col;
    char         line[4 * CLI_ERROR_LEN];
    const char  *p;

    (void) cli_escape(line, sizeof(line), text);

    (void) putchar('#');
    col = 1;

    for (p = line; *p; p += n) {

        p += strspn(p, " ");
        n = strcspn(p, " ");

        if (n == 0) {
            break;
        }

        if (col > 1 && col + n + 1 > 78) {
            (void) fputs("\n#  ", stdout);
            col = 3;
        }

        (void) printf(" %.*s", (int) n, p);
        col += n + 1;
    }

    (void) putchar('\n');
}
