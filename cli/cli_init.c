
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * init: an nginx.conf to begin with, from the SQLite files of a directory,
 * from a litestream.yml, or from the settings of a Django project.
 */


#include "cli_init.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_INIT_YAML  "/etc/litestream.yml"


static int cli_init_source(cli_init_t *in);
static int cli_init_here(cli_init_t *in);
static void cli_init_check(cli_init_db_t *db);
static int cli_init_compare(const void *one, const void *two);
static char *cli_init_alias(cli_init_t *in, int n);
static int cli_init_taken(cli_init_t *in, int n, const char *alias);


int
cli_init(cli_options_t *o)
{
    int          i, k, rc;
    cli_init_t  *in;

    if (o->to && cli_init_to(o->to) != CLI_YES) {
        return CLI_USAGE;
    }

    in = calloc(1, sizeof(cli_init_t));

    if (in == NULL) {
        cli_error("no memory");
        return CLI_NO;
    }

    in->o = o;

    rc = cli_init_source(in);

    if (rc != CLI_YES) {
        return rc;
    }

    if (in->n == 0) {
        cli_error("no SQLite database is found in %s", in->source);
        return CLI_NO;
    }

    for (i = 0; i < in->n; i++) {
        cli_init_check(&in->dbs[i]);

        for (k = 0; k < i; k++) {

            if (strcmp(in->dbs[k].path, in->dbs[i].path) == 0) {
                cli_copy(in->dbs[i].why, sizeof(in->dbs[i].why),
                         "it is there already");
            }
        }
    }

    for (i = 0; i < in->n; i++) {

        if (in->dbs[i].alias == NULL) {
            in->dbs[i].alias = cli_init_alias(in, i);
        }

        if (in->dbs[i].alias == NULL) {
            cli_error("no memory");
            return CLI_NO;
        }
    }

    return cli_init_print(in);
}


static int
cli_init_source(cli_init_t *in)
{
    int             i, rc, wal;
    cli_options_t  *o;
    struct stat     sb;

    o = in->o;

    if (o->django) {

        if (o->n_names) {
            cli_error("init -django FILE takes nothing else");
            return CLI_USAGE;
        }

        return cli_init_django(in, o->django);
    }

    if (o->n_names == 0) {

        if (access(CLI_INIT_YAML, F_OK) == 0) {
            return cli_init_yaml(in, CLI_INIT_YAML);
        }

        return cli_init_here(in);
    }

    for (i = 0; i < o->n_names; i++) {

        if (stat(o->names[i], &sb) == -1) {
            cli_error("\"%s\": %s", o->names[i], strerror(errno));
            return CLI_NO;
        }

        if (S_ISREG(sb.st_mode) && !cli_init_sqlite(-1, o->names[i], &wal)) {

            if (o->n_names > 1) {
                cli_error("\"%s\" is not a SQLite database, and a "
                          "litestream.yml goes alone", o->names[i]);
                return CLI_USAGE;
            }

            return cli_init_yaml(in, o->names[i]);
        }

        rc = cli_init_scan(in, o->names[i]);

        if (rc != CLI_YES) {
            return rc;
        }
    }

    qsort(in->dbs, (size_t) in->n, sizeof(cli_init_db_t), cli_init_compare);

    return CLI_YES;
}


static int
cli_init_here(cli_init_t *in)
{
    int  rc;

    rc = cli_init_scan(in, ".");

    qsort(in->dbs, (size_t) in->n, sizeof(cli_init_db_t), cli_init_compare);

    return rc;
}


static int
cli_init_compare(const void *one, const void *two)
{
    return strcmp(((const cli_init_db_t *) one)->path,
                  ((const cli_init_db_t *) two)->path);
}


cli_init_db_t *
cli_init_add(cli_init_t *in, const char *path)
{
    cli_init_db_t  *db;

    if (in->n == CLI_INIT_MAX_DBS) {
        cli_error("there are more than %d databases, \"%s\" is one too many: "
                  "say a directory that has fewer", CLI_INIT_MAX_DBS, path);
        return NULL;
    }

    if (in->dbs == NULL) {
        in->dbs = calloc(CLI_INIT_MAX_DBS, sizeof(cli_init_db_t));
    }

    if (in->dbs == NULL) {
        cli_error("no memory");
        return NULL;
    }

    db = &in->dbs[in->n];

    db->path = strdup(path);

    if (db->path == NULL) {
        cli_error("no memory");
        return NULL;
    }

    in->n++;

    return db;
}


void
cli_init_note(cli_init_t *in, const char *fmt, ...)
{
    char     text[CLI_ERROR_LEN];
    va_list  args;

    va_start(args, fmt);

    if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
        text[0] = '\0';
    }

    va_end(args);

    if (in->n_notes < CLI_INIT_MAX_NOTES) {
        in->notes[in->n_notes] = strdup(text);
        in->n_notes += (in->notes[in->n_notes] != NULL);
    }
}


/* what nginx would refuse is commented out, with the reason */

static void
cli_init_check(cli_init_db_t *db)
{
    int             wal, found;
    char            real[PATH_MAX], size[64], user[64], dir[PATH_MAX], *p;
    struct stat     sb;

    if (db->why[0]) {
        return;
    }

    if (db->dir) {
        cli_init_check_dir(db);
        return;
    }

    if (strlen(db->path) >= PATH_MAX || strchr(db->path, '*')
        || db->path[0] == '~'
        || (strstr(db->path, "${") && !db->variables))
    {
        cli_copy(db->why, sizeof(db->why), "nginx does not take such a path");
        return;
    }

    if (db->variables) {
        cli_copy(db->about, sizeof(db->about), "where that is, is not known "
                 "here");
        return;
    }

    for (p = db->path; *p; p++) {

        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            cli_copy(db->why, sizeof(db->why),
                     "nginx does not take such a path");
            return;
        }
    }

    found = (stat(db->path, &sb) == 0);

    if (found && !S_ISREG(sb.st_mode)) {
        cli_copy(db->why, sizeof(db->why), "it is not a file");
        return;
    }

    if (found) {
        cli_size(size, sizeof(size), sb.st_size);
        cli_user(sb.st_uid, user, sizeof(user));

        (void) cli_init_sqlite(-1, db->path, &wal);

        cli_copy(db->about, sizeof(db->about), "%s, of %s%s", size, user,
                 wal ? "" : ", not in WAL mode yet");

        if (realpath(db->path, real) && (p = strdup(real)) != NULL) {
            db->path = p;
        }

    } else {
        cli_copy(dir, sizeof(dir), "%s", db->path);
        p = strrchr(dir, '/');
        p[p == dir] = '\0';

        if (stat(dir, &sb) == -1 || !S_ISDIR(sb.st_mode)) {
            cli_copy(db->why, sizeof(db->why), "its directory is missing");
            return;
        }

        cli_copy(db->about, sizeof(db->about), "not there now");
    }

    db->uid = sb.st_uid;
    db->root = (sb.st_uid == 0 && geteuid() == 0);
}


/*
 * As litestream_base_config names them: the name without its suffix, that of a
 * directory as it is; if that is taken, with the directory before it.
 */

static char *
cli_init_alias(cli_init_t *in, int n)
{
    int    i, k;
    char   alias[PATH_MAX], name[PATH_MAX + 16], *p, *from;

    cli_copy(alias, sizeof(alias), "%s", in->dbs[n].path);

    p = strrchr(alias, '.');

    if (in->dbs[n].dir) {
        alias[in->dbs[n].dir] = '\0';

    } else if (p && strchr(p, '/') == NULL && p[-1] != '/') {
        *p = '\0';
    }

    from = strrchr(alias, '/') + 1;

    for ( ;; ) {

        cli_copy(name, sizeof(name), "%s", from);

        for (p = name; *p; p++) {

            if (*p == '/') {
                *p = '-';

            } else if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz0123456789._-", *p)
                       == NULL)
            {
                *p = '_';
            }
        }

        if (strlen(name) > NGX_LITESTREAM_ALIAS_LEN) {
            break;
        }

        if (name[0] && !cli_init_taken(in, n, name)) {
            return strdup(name);
        }

        if (from - alias < 2) {
            break;
        }

        for (from -= 2; from > alias && from[-1] != '/'; from--) {
            /* void */
        }
    }

    for (i = 1; i < CLI_INIT_MAX_DBS + 1; i++) {

        k = snprintf(name, sizeof(name), "db%d", i);

        if (k > 0 && !cli_init_taken(in, n, name)) {
            return strdup(name);
        }
    }

    return NULL;
}


static int
cli_init_taken(cli_init_t *in, int n, const char *alias)
{
    int  i;

    /* "all" means all of them to the command */

    if (strcmp(alias, "all") == 0) {
        return 1;
    }

    for (i = 0; i < in->n; i++) {

        if (i != n && in->dbs[i].alias
            && strcmp(in->dbs[i].alias, alias) == 0)
        {
            return 1;
        }
    }

    return 0;
}
