
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What a command of Litestream is about: a database of nginx, by its alias or
 * its path, a database of a litestream.yml, or the URL of a replica.  What
 * belongs to a user is left to a process of that user: root takes its
 * identity for good before it looks at anything of it.
 */


#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_TARGET_ENV_SIZE  (4 * 1024 * 1024)


static int cli_target_file(cli_options_t *o, cli_target_t *t);
static int cli_target_url(cli_options_t *o, cli_target_t *t);
static int cli_target_url_state(cli_options_t *o, cli_target_t *t);
static int cli_target_url_user(cli_options_t *o, cli_target_t *t);
static int cli_target_db(cli_options_t *o, cli_target_t *t);
static int cli_target_trusted(cli_options_t *o, cli_target_t *t,
    struct stat *sb);
static int cli_target_environ(cli_options_t *o, cli_target_t *t, int fd,
    off_t size);
static int cli_target_own(cli_options_t *o, cli_target_t *t);
static char *cli_target_search(void);


/*
 * Resolves o->names[0].  This process has the identity of the user of that
 * database afterwards.  CLI_YES, or an exit code: said.
 */

int
cli_target(cli_options_t *o, cli_target_t *t)
{
    memset(t, 0, sizeof(cli_target_t));

    t->name = o->names[0];

    if (o->config) {
        return cli_target_file(o, t);
    }

    if (cli_is_url(t->name)) {
        return cli_target_url(o, t);
    }

    return cli_target_db(o, t);
}


int
cli_is_url(const char *text)
{
    size_t  n;

    n = strspn(text, "abcdefghijklmnopqrstuvwxyz"
                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return n && strncmp(text + n, "://", 3) == 0;
}


/* all of a litestream.yml: whoever runs this is who Litestream runs as */

int
cli_target_config(cli_options_t *o, cli_target_t *t)
{
    memset(t, 0, sizeof(cli_target_t));

    t->name = o->config;

    if (realpath(o->config, t->config) == NULL) {
        cli_fail(o, "\"%.700s\": %s", o->config, strerror(errno));
        return CLI_NO;
    }

    t->no_expand_env = o->no_expand_env;

    return cli_target_own(o, t);
}


/* and one database in it */

static int
cli_target_file(cli_options_t *o, cli_target_t *t)
{
    int   rc;
    char  path[PATH_MAX];

    if (cli_is_url(o->names[0])) {
        cli_fail(o, "a URL has no -config: say the path of the database");
        return CLI_USAGE;
    }

    rc = cli_target_config(o, t);

    if (rc != CLI_YES) {
        return rc;
    }

    /* Litestream runs in another directory */

    if (cli_absolute(o->names[0], path) != CLI_YES
        || (t->source = strdup(path)) == NULL)
    {
        cli_fail(o, "\"%.700s\": %s", o->names[0], strerror(errno));
        return CLI_NO;
    }

    t->name = t->source;

    return CLI_YES;
}


static int
cli_target_url(cli_options_t *o, cli_target_t *t)
{
    int  rc;

    if (o->no_expand_env) {
        cli_fail(o, "a URL has no -no-expand-env");
        return CLI_USAGE;
    }

    if (cli_url_secret(t->name)) {

        /* it has been seen already, but need not be seen any longer */

        cli_fail(o, "a URL with a secret in it is not taken: everybody can "
                 "see it in the list of processes; name the database, or say "
                 "-config FILE");
        return CLI_USAGE;
    }

    rc = cli_target_url_state(o, t);

    if (rc != CLI_NOT_RUNNING) {
        return rc;
    }

    rc = cli_target_own(o, t);

    if (rc == CLI_YES) {
        t->source = t->name;
        rc = cli_target_url_user(o, t);
    }

    return rc;
}


/*
 * The replica of a database of nginx is reached as nginx reaches it.
 * CLI_NOT_RUNNING: it is none of these.
 */

static int
cli_target_url_state(cli_options_t *o, cli_target_t *t)
{
    int           i;
    cli_state_t  *st;

    st = calloc(1, sizeof(cli_state_t));

    if (st == NULL) {
        cli_fail(o, "no memory");
        return CLI_NO;
    }

    i = cli_find(o, st);

    if (i != CLI_YES) {
        return i;
    }

    if (cli_file_read(st) != CLI_YES) {
        return CLI_NOT_RUNNING;
    }

    for (i = 0; i < st->n_dbs; i++) {

        if (strcmp(st->dbs[i].replica_url, t->name) == 0) {
            t->name = st->dbs[i].alias;
            return cli_target_state(o, t, st, &st->dbs[i]);
        }
    }

    return CLI_NOT_RUNNING;
}


/* files of a replica are not root's to read */

static int
cli_target_url_user(cli_options_t *o, cli_target_t *t)
{
    struct stat  sb;

    if (geteuid() != 0 || strncmp(t->name, "file://", 7) != 0
        || stat(t->name + 7, &sb) == -1 || sb.st_uid == 0)
    {
        return CLI_YES;
    }

    return cli_become(o, sb.st_uid, sb.st_gid);
}


static int
cli_target_db(cli_options_t *o, cli_target_t *t)
{
    int           i, n, rc, one;
    cli_state_t  *st;

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

    /* a directory stands for all that is in it */

    n = 0;
    one = 0;

    for (i = 0; i < st->n_dbs; i++) {
        if (st->chosen[i]) {
            one = i;
            n++;
        }
    }

    if (n != 1 || strcmp(t->name, "all") == 0) {
        cli_fail(o, "%s needs one database", o->command);
        return CLI_USAGE;
    }

    return cli_target_state(o, t, st, &st->dbs[one]);
}


/* a database of nginx, with what its jobs run Litestream with */

int
cli_target_state(cli_options_t *o, cli_target_t *t, cli_state_t *st,
    ngx_litestream_db_status_t *db)
{
    int          fd, rc;
    char         path[PATH_MAX];
    struct stat  sb;

    t->st = st;
    t->db = db;
    t->source = db->path;
    t->no_expand_env = 1;

    if (db->group >= (uint32_t) st->n_groups) {
        cli_fail(o, "\"%.700s/status\" is damaged: database \"%.64s\" has no "
                 "group", st->path, db->alias);
        return CLI_NO;
    }

    t->group = &st->groups[db->group];

    t->old = (strncmp(t->group->version, "0.3", 3) == 0);

    if (realpath(st->path, path) == NULL
        || strlen(path) + strlen(t->group->name) + sizeof("//jobs.yml")
           > sizeof(t->config))
    {
        cli_fail(o, "the state path \"%.700s\" cannot be used", st->path);
        return CLI_NO;
    }

    cli_copy(t->config, sizeof(t->config), "%s/%s/jobs.yml", path,
             t->group->name);

    fd = cli_group_open(st, t->group->name, "jobs.env");

    if (fd == -1) {

        if (errno == EACCES) {
            cli_fail(o, "database \"%s\": run this as root, or as user \"%s\"",
                     db->alias, t->group->user);

        } else {
            cli_fail(o, "cannot open \"%.700s/%s/jobs.env\": %s", st->path,
                     t->group->name, strerror(errno));
        }

        return CLI_NO;
    }

    rc = CLI_NO;

    if (fstat(fd, &sb) == -1 || !S_ISREG(sb.st_mode)
        || sb.st_size > CLI_TARGET_ENV_SIZE)
    {
        cli_fail(o, "\"%.700s/%s/jobs.env\" is not what it should be",
                 st->path, t->group->name);

    } else if (cli_target_trusted(o, t, &sb) == CLI_YES) {
        rc = cli_target_environ(o, t, fd, sb.st_size);
    }

    (void) close(fd);

    if (rc == CLI_YES && geteuid() == 0 && sb.st_uid != 0) {
        rc = cli_become(o, sb.st_uid, sb.st_gid);
    }

    return rc;
}


/*
 * What the file says is going to be run: it must be of who runs it.  Root
 * runs its own only where nobody else can have put it.
 */

static int
cli_target_trusted(cli_options_t *o, cli_target_t *t, struct stat *sb)
{
    char         name[PATH_MAX];
    size_t       i;
    struct stat  dir;

    static const char  *names[] = { "", "/" };

    if (geteuid() != 0) {

        if (sb->st_uid == geteuid() || sb->st_uid == 0) {
            return CLI_YES;
        }

        cli_fail(o, "database \"%s\": run this as root, or as user \"%s\"",
                 t->db->alias, t->group->user);
        return CLI_NO;
    }

    if (sb->st_uid != 0) {
        return CLI_YES;
    }

    for (i = 0; i < 2; i++) {

        cli_copy(name, sizeof(name), "%.3900s%s%s", t->st->path, names[i],
                 i ? t->group->name : "");

        if (stat(name, &dir) == -1 || dir.st_uid != 0
            || (dir.st_mode & 022))
        {
            cli_fail(o, "\"%.700s\" is not root's alone: nothing in it is "
                     "trusted", name);
            return CLI_NO;
        }
    }

    return CLI_YES;
}


/* the program, then its environment, each NUL-ended */

static int
cli_target_environ(cli_options_t *o, cli_target_t *t, int fd, off_t size)
{
    char    *text, *p, *last;
    size_t   n, len;

    len = (size_t) size;
    text = malloc(len + 1);

    if (text == NULL) {
        cli_fail(o, "no memory");
        return CLI_NO;
    }

    if (pread(fd, text, len, 0) != (ssize_t) len || len == 0
        || text[len - 1] != '\0' || text[0] != '/')
    {
        cli_fail(o, "\"%.700s/%s/jobs.env\" is not what it should be",
                 t->st->path, t->group->name);
        return CLI_NO;
    }

    last = text + len;
    n = 0;

    for (p = text; p < last; p += strlen(p) + 1) {
        n++;
    }

    t->bin = text;
    t->env = calloc(n, sizeof(char *));

    if (t->env == NULL) {
        cli_fail(o, "no memory");
        return CLI_NO;
    }

    n = 0;

    for (p = text + strlen(text) + 1; p < last; p += strlen(p) + 1) {
        t->env[n++] = p;
    }

    return CLI_YES;
}


static int
cli_target_own(cli_options_t *o, cli_target_t *t)
{
    char  version[CLI_ERROR_LEN];

    if (cli_target_path(t) != CLI_YES) {
        cli_fail(o, "Litestream is not found in PATH, see nginx-litestream "
                 "help install-litestream");
        return CLI_NO;
    }

    if (cli_litestream_version(t->bin, t->env, version, sizeof(version))
        != CLI_YES)
    {
        cli_fail(o, "\"%.300s version\" failed: %.500s", t->bin, version);
        return CLI_NO;
    }

    t->old = (strncmp(version, "0.3", 3) == 0);

    return CLI_YES;
}


/*
 * With the environment of this process, and the Litestream in PATH: CLI_NO,
 * there is none.
 */

int
cli_target_path(cli_target_t *t)
{
    /* with it Litestream cannot use S3 at all */

    (void) unsetenv("AWS_CA_BUNDLE");

    t->env = environ;
    t->bin = cli_target_search();

    return t->bin ? CLI_YES : CLI_NO;
}


static char *
cli_target_search(void)
{
    char        *path, *p, *name;
    size_t       len;
    struct stat  sb;

    path = getenv("PATH");
    path = strdup((path && *path) ? path : "/usr/local/bin:/usr/bin:/bin");

    if (path == NULL) {
        return NULL;
    }

    for (p = strtok(path, ":"); p; p = strtok(NULL, ":")) {

        if (*p != '/') {
            continue;
        }

        len = strlen(p) + sizeof("/litestream");
        name = malloc(len);

        if (name == NULL) {
            break;
        }

        cli_copy(name, len, "%s/litestream", p);

        if (stat(name, &sb) == 0 && S_ISREG(sb.st_mode)
            && access(name, X_OK) == 0)
        {
            free(path);
            return name;
        }

        free(name);
    }

    free(path);

    return NULL;
}


/*
 * Root takes the identity of this user for good.  CLI_YES, or CLI_NO: said.
 */

int
cli_become(cli_options_t *o, uid_t uid, gid_t gid)
{
    struct passwd  *pw;

    pw = getpwuid(uid);

    /* a user given as a number may have no name */

    if (setgid(gid) == -1
        || ((pw == NULL || initgroups(pw->pw_name, gid) == -1)
            && setgroups(1, &gid) == -1)
        || setuid(uid) == -1)
    {
        cli_fail(o, "cannot become user %u: %s", (unsigned) uid,
                 strerror(errno));
        return CLI_NO;
    }

    if (uid != 0 && setuid(0) == 0) {
        cli_fail(o, "cannot become user %u for good", (unsigned) uid);
        return CLI_NO;
    }

    return CLI_YES;
}


/*
 * A file in the folder of a group.  The status file may be a plain user's: it
 * must not lead root elsewhere.  -1 and errno.
 */

int
cli_group_open(cli_state_t *st, const char *group, const char *file)
{
    int  dir, sub, fd, err;

    if (group[0] == '.' || group[0] == '\0' || strchr(group, '/')) {
        errno = EINVAL;
        return -1;
    }

    dir = open(st->path, O_PATH|O_DIRECTORY|O_CLOEXEC);

    if (dir == -1) {
        return -1;
    }

    sub = openat(dir, group, O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
    err = errno;

    (void) close(dir);

    if (sub == -1) {
        errno = err;
        return -1;
    }

    fd = openat(sub, file, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);
    err = errno;

    (void) close(sub);

    errno = err;

    return fd;
}
