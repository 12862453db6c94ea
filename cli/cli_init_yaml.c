
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * A litestream.yml becomes directives as long as there are directives for all
 * that it says.  Else it stays underneath, as litestream_base_config; what in
 * it is nginx's has to be left out of it then, in a copy.
 */


#include "cli_init.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_YAML_SIZE  (4 * 1024 * 1024)


static char *cli_conv_read(const char *path, size_t *len);
static void cli_conv_globals(cli_conv_t *c);
static void cli_conv_strip(cli_conv_t *c, cli_node_t *node, const char *why);
static int cli_conv_db(cli_conv_t *c, cli_node_t *node);
static void cli_conv_settings(cli_conv_t *c, cli_init_db_t *db,
    cli_node_t *node);
static void cli_conv_param(cli_conv_t *c, cli_init_db_t *db, const char *name,
    const char *value);
static int64_t cli_conv_duration(const char *text);
static int cli_conv_time(cli_conv_t *c, cli_node_t *map, const char *name,
    char *text, size_t size);
static int cli_conv_base(cli_conv_t *c, const char *path);


int
cli_init_yaml(cli_init_t *in, const char *path)
{
    char        *text, dir[PATH_MAX], error[CLI_ERROR_LEN];
    size_t       len;
    cli_node_t  *root;

    if (realpath(path, in->source) == NULL) {
        cli_error("\"%s\": %s", path, strerror(errno));
        return CLI_NO;
    }

    text = cli_conv_read(in->source, &len);

    if (text == NULL) {
        cli_error("\"%s\": %s", path, strerror(errno));
        return CLI_NO;
    }

    root = cli_yaml(text, len, error, sizeof(error));

    free(text);

    if (root == NULL) {
        cli_error("\"%s\" is neither a SQLite database nor a litestream.yml: "
                  "%s", path, error);
        return CLI_NO;
    }

    if (getcwd(dir, sizeof(dir)) == NULL) {
        cli_error("getcwd() failed: %s", strerror(errno));
        return CLI_NO;
    }

    return cli_init_tree(in, root, dir);
}


/* NULL and errno */

static char *
cli_conv_read(const char *path, size_t *len)
{
    int          fd;
    char        *text;
    ssize_t      n;
    struct stat  sb;

    fd = open(path, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1) {
        return NULL;
    }

    text = NULL;

    if (fstat(fd, &sb) == 0) {

        if (!S_ISREG(sb.st_mode) || sb.st_size > CLI_YAML_SIZE) {
            errno = EFBIG;

        } else {
            text = malloc((size_t) sb.st_size + 1);
        }
    }

    if (text) {
        n = pread(fd, text, (size_t) sb.st_size, 0);
        *len = (n > 0) ? (size_t) n : 0;
        text[*len] = '\0';
    }

    (void) close(fd);

    return text;
}


/* of a file, or of LITESTREAM in Django's settings: in->source says which */

int
cli_init_tree(cli_init_t *in, cli_node_t *root, const char *dir)
{
    int          rc;
    cli_conv_t   c;
    cli_node_t  *node;

    memset(&c, 0, sizeof(cli_conv_t));

    c.in = in;
    c.dir = dir;
    c.root = root;

    if (root->type != CLI_NODE_MAP) {
        cli_error("%s is not a litestream.yml: it is no mapping", in->source);
        return CLI_NO;
    }

    cli_conv_pair(&c, root);
    cli_conv_globals(&c);

    node = cli_node(root, "dbs");

    if (node && node->type != CLI_NODE_LIST) {
        cli_error("%s, line %d: \"dbs\" must be a list", in->source,
                  node->line);
        return CLI_NO;
    }

    for (node = node ? node->child : NULL; node; node = node->next) {

        rc = cli_conv_db(&c, node);

        if (rc != CLI_YES) {
            return rc;
        }
    }

    return c.left ? cli_conv_base(&c, in->source) : CLI_YES;
}


static void
cli_conv_globals(cli_conv_t *c)
{
    char        *text;
    cli_init_t  *in;
    cli_node_t  *node, *child;

    in = c->in;

    for (node = c->root->child; node; node = node->next) {

        text = node->value;

        if (node->type == CLI_NODE_NULL || strcmp(node->name, "dbs") == 0
            || strcmp(node->name, "access-key-id") == 0
            || strcmp(node->name, "secret-access-key") == 0)
        {
            continue;
        }

        if (strcmp(node->name, "region") == 0
            || strcmp(node->name, "endpoint") == 0)
        {
            /* of each S3 replica that has none: cli_conv_s3() */
            continue;
        }

        if (strcmp(node->name, "addr") == 0 && text) {
            in->metrics = cli_conv_vars(c, text);
            cli_conv_strip(c, node, NULL);
            continue;
        }

        if (strcmp(node->name, "mcp-addr") == 0 && text) {
            in->mcp = cli_conv_vars(c, text);
            cli_conv_strip(c, node, NULL);
            continue;
        }

        if (strcmp(node->name, "socket") == 0) {
            cli_conv_strip(c, node, "nginx has a control socket of its own");
            continue;
        }

        if (strcmp(node->name, "exec") == 0) {
            cli_conv_strip(c, node, "nginx does not start it: keep it in a "
                           "unit of its own");
            continue;
        }

        if (strcmp(node->name, "shutdown-sync-timeout") == 0
            && cli_conv_time(c, c->root, node->name, in->shutdown,
                             sizeof(in->shutdown))
               == CLI_YES)
        {
            cli_conv_strip(c, node, NULL);
            continue;
        }

        if (strcmp(node->name, "snapshot") == 0
            && node->type == CLI_NODE_MAP)
        {
            in->retained = (cli_node(node, "retention") != NULL);

            for (child = node->child; child; child = child->next) {

                if (!(strcmp(child->name, "interval") == 0
                      && cli_conv_time(c, node, "interval", in->interval,
                                       sizeof(in->interval))
                         == CLI_YES)
                    && !(strcmp(child->name, "retention") == 0
                         && cli_conv_time(c, node, "retention", in->retention,
                                          sizeof(in->retention))
                            == CLI_YES)
                    && child->type != CLI_NODE_NULL)
                {
                    cli_conv_left(c, child->name);
                }
            }

            continue;
        }

        if (strcmp(node->name, "logging") == 0
            && node->type == CLI_NODE_MAP)
        {
            for (child = node->child; child; child = child->next) {

                if (strcmp(child->name, "type") == 0
                    || strcmp(child->name, "stderr") == 0)
                {
                    cli_conv_strip(c, child, "nginx reads the log of "
                                   "Litestream, see litestream_log");

                } else if (child->type != CLI_NODE_NULL
                           && !(strcmp(child->name, "level") == 0
                                && child->value
                                && strcasecmp(child->value, "info") == 0))
                {
                    cli_conv_left(c, child->name);
                }
            }

            continue;
        }

        cli_conv_left(c, node->name);
    }
}


/* a key of nginx's: it cannot be in a file underneath */

static void
cli_conv_strip(cli_conv_t *c, cli_node_t *node, const char *why)
{
    node->left_out = 1;
    c->stripped = 1;

    if (why) {
        cli_init_note(c->in, "%s is left out: %s", node->name, why);
    }
}


/* what no directive says: one name is enough for a reason */

void
cli_conv_left(cli_conv_t *c, const char *name)
{
    if (c->left == NULL) {
        c->left = name;
    }
}


static int
cli_conv_db(cli_conv_t *c, cli_node_t *node)
{
    char           *path, *text, *dir;
    cli_node_t     *replica, *child;
    const char     *why;
    cli_init_db_t  *db;

    if (node->type != CLI_NODE_MAP) {
        cli_error("%s, line %d: a database must be a mapping", c->in->source,
                  node->line);
        return CLI_NO;
    }

    text = cli_node_text(node, "path");
    dir = text ? NULL : cli_node_text(node, "dir");

    if (text == NULL && dir == NULL) {
        cli_error("%s, line %d: a database has no \"path\"",
                  c->in->source, node->line);
        return CLI_NO;
    }

    path = cli_conv_path(c, dir ? dir : text);

    if (path == NULL) {
        return CLI_NO;
    }

    if (dir) {
        dir = path;
        path = cli_conv_dir(node, dir, &why);

        if (path == NULL && why == NULL) {
            cli_error("no memory");
            return CLI_NO;
        }

        if (path == NULL) {
            cli_init_note(c->in, "dir %s is left out: %s", dir, why);
            node->left_out = 1;
            c->stripped = 1;

            return CLI_YES;
        }
    }

    db = cli_init_add(c->in, path);

    if (db == NULL) {
        return CLI_NO;
    }

    db->variables = (strstr(path, "${") != NULL);

    if (dir) {
        db->dir = strlen(dir);
        cli_conv_moved(c, cli_node(node, "dir"), dir);

    } else {
        cli_conv_moved(c, cli_node(node, "path"), path);
    }

    /* of DATABASES, in Django's settings */

    child = cli_node(node, "path");
    db->alias = child ? child->alias : NULL;

    cli_conv_settings(c, db, node);

    replica = cli_node(node, "replica");
    child = cli_node(node, "replicas");

    if (replica == NULL && child && child->type == CLI_NODE_LIST
        && child->child && child->child->next == NULL)
    {
        replica = child->child;
    }

    if (replica == NULL && child) {
        cli_error("%s, line %d: Litestream 0.5 has one replica of a database "
                  "only", c->in->source, child->line);
        return CLI_NO;
    }

    if (replica) {

        if (replica->type != CLI_NODE_MAP) {
            cli_error("%s, line %d: a replica must be a mapping",
                      c->in->source, replica->line);
            return CLI_NO;
        }

        cli_conv_replica(c, db, replica);

        if (dir) {
            cli_conv_dir_replica(db);
        }
    }

    return CLI_YES;
}


/* what a file underneath cannot say as it is */

void
cli_conv_moved(cli_conv_t *c, cli_node_t *node, char *path)
{
    if (node->value[0] != '/' && node->value[0] != '$') {
        node->value = path;
        c->stripped = 1;
    }
}


static void
cli_conv_settings(cli_conv_t *c, cli_init_db_t *db, cli_node_t *node)
{
    size_t       i;
    char        *monitor, *sync, text[64];
    cli_node_t  *child, *replica;

    static const struct {
        const char  *key;
        const char  *name;
    } times[] = {
        { "checkpoint-interval", "checkpoint_interval" },
        { "busy-timeout", "busy_timeout" }
    };

    replica = cli_node(node, "replica");

    if (replica == NULL && cli_node(node, "replicas")) {
        replica = cli_node(node, "replicas")->child;
    }

    monitor = cli_node_text(node, "monitor-interval");
    sync = cli_node_text(replica, "sync-interval");

    /* one parameter for both: one that is not said counts as the other */

    if (monitor && sync
        && cli_conv_duration(monitor) != cli_conv_duration(sync))
    {
        cli_conv_left(c, "monitor-interval");

    } else if (sync && cli_conv_time(c, replica, "sync-interval", text,
                                     sizeof(text))
                       == CLI_YES)
    {
        cli_conv_param(c, db, "sync_interval", text);

    } else if (monitor && cli_conv_time(c, node, "monitor-interval", text,
                                        sizeof(text))
                          == CLI_YES)
    {
        cli_conv_param(c, db, "sync_interval", text);
    }

    for (child = node->child; child; child = child->next) {

        if (child->type == CLI_NODE_NULL
            || strcmp(child->name, "path") == 0
            || strcmp(child->name, "replica") == 0
            || strcmp(child->name, "replicas") == 0
            || strcmp(child->name, "monitor-interval") == 0)
        {
            continue;
        }

        /* cli_conv_dir(); nginx watches in any case */

        if (db->dir && (strcmp(child->name, "dir") == 0
                        || strcmp(child->name, "pattern") == 0
                        || strcmp(child->name, "recursive") == 0
                        || strcmp(child->name, "watch") == 0))
        {
            continue;
        }

        if (strcmp(child->name, "restore-if-db-not-exists") == 0) {

            /* nginx does that, and not less than that */
            cli_conv_strip(c, child, NULL);
            continue;
        }

        if (strcmp(child->name, "meta-path") == 0) {
            cli_conv_strip(c, child, "it is beside the database");
            continue;
        }

        for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {

            if (strcmp(child->name, times[i].key) == 0
                && cli_conv_time(c, node, times[i].key, text, sizeof(text))
                   == CLI_YES)
            {
                cli_conv_param(c, db, times[i].name, text);
                break;
            }
        }

        if (i < sizeof(times) / sizeof(times[0])) {
            continue;
        }

        if (strcmp(child->name, "min-checkpoint-page-count") == 0
            && child->value && *child->value
            && strspn(child->value, "0123456789") == strlen(child->value))
        {
            cli_conv_param(c, db, "min_checkpoint_page_count", child->value);
            continue;
        }

        cli_conv_left(c, child->name);
    }
}


static void
cli_conv_param(cli_conv_t *c, cli_init_db_t *db, const char *name,
    const char *value)
{
    size_t  len;

    (void) c;

    len = strlen(db->params);

    cli_copy(db->params + len, sizeof(db->params) - len, " %s=%s", name,
             value);
}


/* a duration of Go in ms, -1: none that nginx could say */

static int64_t
cli_conv_duration(const char *text)
{
    char    *end;
    size_t   i;
    double   value, total;

    static const struct {
        const char  *name;
        double       ms;
    } units[] = {
        { "ms", 1 }, { "us", 0.001 }, { "ns", 0.000001 },
        { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }
    };

    total = 0;

    if (*text == '\0') {
        return -1;
    }

    while (*text) {

        if (*text < '0' || *text > '9') {
            return -1;
        }

        value = strtod(text, &end);
        text = end;

        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {

            if (strncmp(text, units[i].name, strlen(units[i].name)) == 0) {
                break;
            }
        }

        if (i == sizeof(units) / sizeof(units[0])) {
            return -1;
        }

        text += strlen(units[i].name);
        total += value * units[i].ms;
    }

    if (total < 1 || total > 1e12 || total != (double) (int64_t) total) {
        return -1;
    }

    return (int64_t) total;
}


/* as nginx says it; what cannot be said is left in the file */

static int
cli_conv_time(cli_conv_t *c, cli_node_t *map, const char *name, char *text,
    size_t size)
{
    char     *value;
    size_t    i;
    int64_t   ms;

    static const struct {
        const char  *name;
        int64_t      ms;
    } units[] = {
        { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
        { "ms", 1 }
    };

    value = cli_node_text(map, name);
    ms = value ? cli_conv_duration(value) : -1;

    if (ms == -1) {
        cli_conv_left(c, name);
        return CLI_NO;
    }

    for (i = 0; ms % units[i].ms; i++) { /* void */ }

    cli_copy(text, size, "%lld%s", (long long) (ms / units[i].ms),
             units[i].name);

    return CLI_YES;
}


/*
 * The file stays underneath.  What it says is not said twice: only which
 * databases there are.
 */

static int
cli_conv_base(cli_conv_t *c, const char *path)
{
    int             i, fd, rc;
    FILE           *out;
    cli_init_t     *in;
    cli_options_t  *o;

    in = c->in;
    o = in->o;

    for (i = 0; i < in->n; i++) {
        in->dbs[i].replica = NULL;
        in->dbs[i].params[0] = '\0';
    }

    in->n_secrets = 0;
    in->n_env = 0;
    in->interval[0] = '\0';
    in->retention[0] = '\0';

    cli_init_note(in, "%s has no directive: the file stays underneath",
                  c->left);

    if (!c->stripped && path[0] == '/') {
        cli_copy(in->base, sizeof(in->base), "%s", path);
        return CLI_YES;
    }

    if (o->base == NULL) {
        cli_error("%s: %s has no directive, and other keys cannot stay in a "
                  "litestream_base_config: say -base FILE for a copy without "
                  "these", path, c->left);
        return CLI_NO;
    }

    if (cli_absolute(o->base, in->base) != CLI_YES) {
        cli_error("\"%s\": %s", o->base, strerror(errno));
        return CLI_NO;
    }

    fd = open(in->base, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);
    out = (fd == -1) ? NULL : fdopen(fd, "w");

    if (out == NULL) {
        cli_error("\"%s\": %s", o->base, strerror(errno));
        return CLI_NO;
    }

    rc = cli_yaml_write(c->root, out);

    if (fclose(out) != 0 || rc != CLI_YES) {
        cli_error("\"%s\" cannot be written", o->base);
        (void) unlink(in->base);
        return CLI_NO;
    }

    return CLI_YES;
}
