
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The settings of a Django project, which are code: its own manage.py says
 * what they are, run by the owner of that file when root runs this.
 */


#include "cli_init.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_DJANGO_TIMEOUT  60000

/* what is printed before it may be anybody's */
#define CLI_DJANGO_MARK     "\nnginx-litestream-settings:"


typedef struct {
    char                           *python;
    char                            manage[PATH_MAX];
    char                            dir[PATH_MAX];
    uid_t                           uid;
    gid_t                           gid;
} cli_django_t;


static char *cli_django_python(cli_django_t *d);
static void cli_django_exec(void *data);
static int cli_django_settings(cli_init_t *in, cli_django_t *d,
    cli_node_t *root);
static int cli_django_own(cli_init_t *in, cli_django_t *d,
    cli_node_t *databases);
static int cli_django_litestream(cli_init_t *in, cli_django_t *d,
    cli_node_t *databases, cli_node_t *litestream);
static cli_node_t *cli_django_find(cli_django_t *d, cli_node_t *databases,
    const char *name);
static int cli_django_is_file(cli_node_t *database);
static char *cli_django_alias(const char *name);
static int cli_django_path(cli_django_t *d, const char *name, char *path);


/* paths and what else is not JSON become texts */

static const char  cli_django_code[] =
    "import json, sys\n"
    "from django.conf import settings\n"
    "def plain(v):\n"
    "    if isinstance(v, dict):\n"
    "        return {str(k): plain(x) for k, x in v.items()}\n"
    "    if isinstance(v, (list, tuple)):\n"
    "        return [plain(x) for x in v]\n"
    "    if v is None or isinstance(v, (bool, int, float, str)):\n"
    "        return v\n"
    "    return str(v)\n"
    "found = {\n"
    "    'databases': {\n"
    "        a: {'engine': d.get('ENGINE'), 'name': d.get('NAME')}\n"
    "        for a, d in settings.DATABASES.items()\n"
    "    },\n"
    "    'litestream': getattr(settings, 'LITESTREAM', None),\n"
    "}\n"
    "text = json.dumps(plain(found), ensure_ascii=False)\n"
    "sys.stdout.flush()\n"
    "sys.stdout.buffer.write(\n"
    "    ('\\nnginx-litestream-settings:' + text + '\\n').encode('utf-8'))\n"
    "sys.stdout.buffer.flush()\n";


int
cli_init_django(cli_init_t *in, const char *path)
{
    int            rc;
    char          *p, *text, error[CLI_ERROR_LEN];
    size_t         len;
    cli_run_t      run;
    cli_node_t    *root;
    struct stat    sb;
    cli_django_t   d;

    memset(&d, 0, sizeof(cli_django_t));
    memset(&run, 0, sizeof(cli_run_t));

    if (realpath(path, d.manage) == NULL || stat(d.manage, &sb) == -1) {
        cli_error("\"%s\": %s", path, strerror(errno));
        return CLI_NO;
    }

    if (!S_ISREG(sb.st_mode)) {
        cli_error("\"%s\" is not the manage.py of a Django project", path);
        return CLI_NO;
    }

    d.uid = sb.st_uid;
    d.gid = sb.st_gid;

    cli_copy(d.dir, sizeof(d.dir), "%s", d.manage);
    p = strrchr(d.dir, '/');
    p[p == d.dir] = '\0';

    cli_copy(in->source, sizeof(in->source), "\"%.4000s\"", d.manage);

    d.python = cli_django_python(&d);

    run.exec = cli_django_exec;
    run.data = &d;
    run.timeout = (in->o->timeout == -1) ? CLI_DJANGO_TIMEOUT
                                         : in->o->timeout;

    rc = cli_run(&run);

    if (rc == CLI_TIMEOUT) {
        cli_error("\"%s\" gave no answer within %lld s", path,
                  (long long) run.timeout / 1000);
        return rc;
    }

    if (rc != CLI_YES) {
        cli_error("\"%s\": %s", path, run.error);
        return rc;
    }

    if (run.status != 0) {
        p = cli_line_last(&run.err, "");
        cli_error("\"%s\" does not tell its settings: %s", path,
                  p ? p : "it failed");
        return CLI_NO;
    }

    text = NULL;
    p = run.out.data;

    while (p && (p = strstr(p, CLI_DJANGO_MARK)) != NULL) {
        p += sizeof(CLI_DJANGO_MARK) - 1;
        text = p;
    }

    if (text == NULL) {
        cli_error("\"%s\" is not the manage.py of a Django project", path);
        return CLI_NO;
    }

    len = strcspn(text, "\n");

    root = cli_yaml(text, len, error, sizeof(error));

    if (root == NULL) {
        cli_error("what \"%s\" tells is not understood: %s", path, error);
        return CLI_NO;
    }

    return cli_django_settings(in, &d, root);
}


/* that of the project, where it is usually, else that of PATH */

static char *
cli_django_python(cli_django_t *d)
{
    char    *name;
    size_t   i;

    static const char  *places[] = {
        ".venv/bin/python", "venv/bin/python", "env/bin/python"
    };

    if (getenv("VIRTUAL_ENV") == NULL) {

        for (i = 0; i < sizeof(places) / sizeof(char *); i++) {

            if (asprintf(&name, "%s/%s", d->dir, places[i]) != -1
                && access(name, X_OK) == 0)
            {
                return name;
            }
        }
    }

    return (char *) "python3";
}


/* in the child */

static void
cli_django_exec(void *data)
{
    cli_django_t *d = data;

    char           *argv[6];
    cli_options_t   o;

    memset(&o, 0, sizeof(cli_options_t));

    if (geteuid() == 0 && d->uid != 0
        && cli_become(&o, d->uid, d->gid) != CLI_YES)
    {
        return;
    }

    if (chdir(d->dir) == -1) {
        (void) fprintf(stderr, "%s: %s\n", d->dir, strerror(errno));
        return;
    }

    /* nothing is left beside the project's files */

    (void) setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    (void) setenv("PYTHONIOENCODING", "utf-8", 1);

    argv[0] = d->python;
    argv[1] = d->manage;
    argv[2] = (char *) "shell";
    argv[3] = (char *) "-c";
    argv[4] = (char *) cli_django_code;
    argv[5] = NULL;

    (void) execvp(argv[0], argv);

    (void) fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
}


static int
cli_django_settings(cli_init_t *in, cli_django_t *d, cli_node_t *root)
{
    cli_node_t  *databases, *litestream;

    databases = cli_node(root, "databases");
    litestream = cli_node(root, "litestream");

    if (litestream && litestream->type == CLI_NODE_MAP
        && cli_node(litestream, "dbs"))
    {
        return cli_django_litestream(in, d, databases, litestream);
    }

    return cli_django_own(in, d, databases);
}


/* without LITESTREAM: all SQLite databases of DATABASES */

static int
cli_django_own(cli_init_t *in, cli_django_t *d, cli_node_t *databases)
{
    char           *env, path[PATH_MAX];
    cli_node_t     *node;
    cli_init_db_t  *db;

    for (node = databases ? databases->child : NULL; node; node = node->next)
    {
        if (!cli_django_is_file(node)
            || cli_django_path(d, cli_node_text(node, "name"), path)
               != CLI_YES)
        {
            continue;
        }

        db = cli_init_add(in, path);

        if (db == NULL) {
            return CLI_NO;
        }

        db->alias = cli_django_alias(node->name);
    }

    env = getenv("LITESTREAM_REPLICA_BUCKET");

    in->environment = (env && *env && in->o->to == NULL);

    return CLI_YES;
}


/*
 * As django-litestream makes a litestream.yml of it: aliases stand for paths,
 * and a database without a replica has that of the environment.
 */

static int
cli_django_litestream(cli_init_t *in, cli_django_t *d, cli_node_t *databases,
    cli_node_t *litestream)
{
    int          rc, i;
    char        *text;
    size_t       len;
    cli_node_t  *node, *db, *path, **next;

    node = cli_node(litestream, "dbs");

    for (db = (node->type == CLI_NODE_LIST) ? node->child : NULL; db;
         db = db->next)
    {
        path = cli_node(db, "path");

        if (path == NULL || path->value == NULL) {
            continue;
        }

        node = cli_django_find(d, databases, path->value);

        if (node) {
            path->alias = cli_django_alias(node->name);
            path->value = cli_node_text(node, "name");

        } else {
            cli_init_note(in, "%s is not one of DATABASES", path->value);
        }
    }

    /* what is not Litestream's */

    for (next = &litestream->child; *next; /* void */ ) {

        node = *next;

        if (strcmp(node->name, "path_prefix") == 0) {
            text = node->value;

            if (text) {
                len = strlen(text);

                while (len && text[len - 1] == '/') {
                    text[--len] = '\0';
                }

                in->prefix = text;
            }

            *next = node->next;
            continue;
        }

        if (strcmp(node->name, "bin_path") == 0) {

            if (node->value && node->value[0] == '/'
                && access(node->value, X_OK) == 0)
            {
                in->bin = node->value;
            }

            *next = node->next;
            continue;
        }

        if (strcmp(node->name, "vfs") == 0) {
            cli_init_note(in, "vfs is left out: see litestream_vfs");
            *next = node->next;
            continue;
        }

        next = &node->next;
    }

    rc = cli_init_tree(in, litestream, d->dir);

    for (i = 0; rc == CLI_YES && i < in->n; i++) {

        if (!in->dbs[i].replicated && in->o->to == NULL) {
            in->environment = 1;
        }
    }

    return rc;
}


/* by its alias, or by its path, which may have been said otherwise */

static cli_node_t *
cli_django_find(cli_django_t *d, cli_node_t *databases, const char *name)
{
    char         one[PATH_MAX], two[PATH_MAX];
    cli_node_t  *node;

    node = cli_node(databases, name);

    if (node) {
        return cli_django_is_file(node) ? node : NULL;
    }

    for (node = databases ? databases->child : NULL; node; node = node->next)
    {
        if (cli_django_is_file(node)
            && cli_django_path(d, name, one) == CLI_YES
            && cli_django_path(d, cli_node_text(node, "name"), two)
               == CLI_YES
            && strcmp(one, two) == 0)
        {
            return node;
        }
    }

    return NULL;
}


static int
cli_django_is_file(cli_node_t *database)
{
    char  *engine, *name;

    engine = cli_node_text(database, "engine");
    name = cli_node_text(database, "name");

    return engine && name
           && (strstr(engine, "sqlite") || strstr(engine, "spatialite"))
           && name[0] && strcmp(name, ":memory:") != 0
           && strncmp(name, "file:", 5) != 0;
}


/* letters and digits of other scripts are none of an alias's */

static char *
cli_django_alias(const char *name)
{
    char  *alias, *p;

    alias = strndup(name, NGX_LITESTREAM_ALIAS_LEN);

    for (p = alias; p && *p; p++) {

        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "abcdefghijklmnopqrstuvwxyz0123456789._-", *p) == NULL)
        {
            *p = '_';
        }
    }

    return alias;
}


/* one that is not absolute begins where manage.py is run */

static int
cli_django_path(cli_django_t *d, const char *name, char *path)
{
    int  n;

    n = snprintf(path, PATH_MAX, "%s%s%s", name[0] == '/' ? "" : d->dir,
                 name[0] == '/' ? "" : "/", name);

    return (n > 0 && n < PATH_MAX) ? CLI_YES : CLI_NO;
}
