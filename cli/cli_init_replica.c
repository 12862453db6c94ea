
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The replicas of a litestream.yml as URLs; secrets in them become variables.
 */


#include "cli_init.h"


static char *cli_conv_url(cli_conv_t *c, cli_init_db_t *db, const char *url);
static char *cli_conv_s3(cli_conv_t *c, cli_node_t *node);
static char *cli_conv_abs(cli_conv_t *c, cli_node_t *node);
static char *cli_conv_sftp(cli_conv_t *c, cli_init_db_t *db,
    cli_node_t *node);
static void cli_conv_only(cli_conv_t *c, cli_node_t *node,
    const char **names);
static char *cli_conv_secret(cli_conv_t *c, const char *name,
    const char *value);
static void cli_conv_password(cli_conv_t *c, cli_init_db_t *db, char *name,
    size_t size);
static void cli_conv_need(cli_conv_t *c, const char *name, size_t len);


/* becomes the URL of db->replica, or is left in the file */

void
cli_conv_replica(cli_conv_t *c, cli_init_db_t *db, cli_node_t *node)
{
    char  *type, *url, *path;

    static const char  *of_url[] = { "url", "type", NULL };
    static const char  *of_file[] = { "type", "path", NULL };
    static const char  *of_s3[] = { "type", "bucket", "path", "region",
                                    "endpoint", NULL };
    static const char  *of_gs[] = { "type", "bucket", "path", NULL };
    static const char  *of_abs[] = { "type", "bucket", "path",
                                     "account-name", "account-key", NULL };
    static const char  *of_sftp[] = { "type", "host", "user", "password",
                                      "path", NULL };

    db->replicated = 1;

    type = cli_node_text(node, "type");
    url = cli_node_text(node, "url");
    path = cli_node_text(node, "path");

    if (type) {
        cli_copy(db->type, sizeof(db->type), "%s", type);

    } else {
        cli_copy(db->type, sizeof(db->type), "%.*s",
                 url ? (int) strcspn(url, ":") : 4, url ? url : "file");
    }

    if (url) {
        cli_conv_only(c, node, of_url);
        cli_conv_pair(c, node);
        db->replica = cli_conv_url(c, db, url);

    } else if ((type == NULL || strcmp(type, "file") == 0) && path) {
        cli_conv_only(c, node, of_file);

        path = cli_conv_path(c, path);

        if (path) {
            cli_conv_moved(c, cli_node(node, "path"), path);
        }

        if (path && asprintf(&db->replica, "file://%s", path) == -1) {
            db->replica = NULL;
        }

    } else if (type && strcmp(type, "s3") == 0) {
        cli_conv_only(c, node, of_s3);
        cli_conv_pair(c, node);
        db->replica = cli_conv_s3(c, node);

    } else if (type && strcmp(type, "gs") == 0 && path
               && cli_node_text(node, "bucket"))
    {
        cli_conv_only(c, node, of_gs);

        if (asprintf(&url, "gs://%s/%s", cli_node_text(node, "bucket"), path)
            != -1)
        {
            db->replica = cli_conv_vars(c, url);
        }

    } else if (type && strcmp(type, "abs") == 0) {
        cli_conv_only(c, node, of_abs);
        db->replica = cli_conv_abs(c, node);

    } else if (type && strcmp(type, "sftp") == 0) {
        cli_conv_only(c, node, of_sftp);
        db->replica = cli_conv_sftp(c, db, node);
    }

    if (db->replica == NULL) {
        cli_conv_left(c, "replica");
    }
}


/*
 * What is a secret in a URL becomes a variable; query strings are for S3, as
 * nginx has them.
 */

static char *
cli_conv_url(cli_conv_t *c, cli_init_db_t *db, const char *url)
{
    char        *made, *var, *p, *plain, name[128];
    size_t       n;
    const char  *at, *colon, *host;

    if (strncmp(url, "file:", 5) != 0 && strncmp(url, "s3:", 3) != 0
        && strchr(url, '?'))
    {
        cli_conv_left(c, "url");
        return NULL;
    }

    host = strstr(url, "://");

    if (host == NULL) {
        cli_conv_left(c, "url");
        return NULL;
    }

    host += 3;
    at = strrchr(host, '@');
    colon = at ? memchr(host, ':', (size_t) (at - host)) : NULL;

    /* a variable may stand there already */

    if (colon == NULL || colon[1] == '$') {
        return cli_conv_vars(c, url);
    }

    plain = strndup(colon + 1, (size_t) (at - colon - 1));

    if (plain == NULL) {
        return NULL;
    }

    /* in a variable it is taken as it is */

    for (p = plain, n = 0; *p; n++) {

        if (*p == '%' && strspn(p + 1, "0123456789abcdefABCDEF") >= 2) {
            name[0] = p[1];
            name[1] = p[2];
            name[2] = '\0';
            plain[n] = (char) strtol(name, NULL, 16);
            p += 3;

        } else {
            plain[n] = *p++;
        }
    }

    plain[n] = '\0';

    cli_conv_password(c, db, name, sizeof(name));

    var = cli_conv_secret(c, name, plain);

    if (var == NULL
        || asprintf(&made, "%.*s%s%s", (int) (colon + 1 - url), url, var, at)
           == -1)
    {
        return NULL;
    }

    return cli_conv_vars(c, made);
}


static char *
cli_conv_s3(cli_conv_t *c, cli_node_t *node)
{
    char  *made, *bucket, *path, *region, *endpoint;

    bucket = cli_node_text(node, "bucket");
    path = cli_node_text(node, "path");
    region = cli_node_text(node, "region");
    endpoint = cli_node_text(node, "endpoint");

    if (region == NULL) {
        region = cli_node_text(c->root, "region");
    }

    if (endpoint == NULL) {
        endpoint = cli_node_text(c->root, "endpoint");
    }

    if (bucket == NULL || path == NULL || strpbrk(path, "?&")
        || (endpoint && strpbrk(endpoint, "?&"))
        || asprintf(&made, "s3://%s/%s%s%s%s%s", bucket,
                    path + strspn(path, "/"),
                    endpoint ? "?endpoint=" : "", endpoint ? endpoint : "",
                    region ? (endpoint ? "&region=" : "?region=") : "",
                    region ? region : "")
           == -1)
    {
        return NULL;
    }

    return cli_conv_vars(c, made);
}


static char *
cli_conv_abs(cli_conv_t *c, cli_node_t *node)
{
    char  *made, *account, *bucket, *path, *key;

    account = cli_node_text(node, "account-name");
    bucket = cli_node_text(node, "bucket");
    path = cli_node_text(node, "path");
    key = cli_node_text(node, "account-key");

    if (account == NULL || bucket == NULL || path == NULL
        || asprintf(&made, "abs://%s@%s/%s", account, bucket,
                    path + strspn(path, "/"))
           == -1)
    {
        return NULL;
    }

    if (key) {

        if (c->in->n_secrets
            && strcmp(c->in->secrets[0].name, "LITESTREAM_AZURE_ACCOUNT_KEY")
               == 0
            && strcmp(c->in->secrets[0].value, key) != 0)
        {
            cli_conv_left(c, "account-key");
            return NULL;
        }

        (void) cli_conv_secret(c, "LITESTREAM_AZURE_ACCOUNT_KEY", key);
    }

    return cli_conv_vars(c, made);
}


static char *
cli_conv_sftp(cli_conv_t *c, cli_init_db_t *db, cli_node_t *node)
{
    char  *made, *host, *user, *path, *password, *var, name[128];

    host = cli_node_text(node, "host");
    user = cli_node_text(node, "user");
    path = cli_node_text(node, "path");
    password = cli_node_text(node, "password");

    if (host == NULL || user == NULL || path == NULL || path[0] != '/') {
        return NULL;
    }

    var = NULL;

    if (password) {

        if (password[0] == '$') {
            var = password;

        } else {
            cli_conv_password(c, db, name, sizeof(name));
            var = cli_conv_secret(c, name, password);

            if (var == NULL) {
                return NULL;
            }
        }
    }

    if (asprintf(&made, "sftp://%s%s%s@%s%s", user, var ? ":" : "",
                 var ? var : "", host, path)
        == -1)
    {
        return NULL;
    }

    return cli_conv_vars(c, made);
}


/*
 * The key of S3: one for all, from the environment.  Those that nginx looks
 * for there anyway need not be said.
 */

void
cli_conv_pair(cli_conv_t *c, cli_node_t *node)
{
    char        *id, *secret, *name;
    size_t       n;
    cli_init_t  *in;

    in = c->in;
    id = cli_node_text(node, "access-key-id");
    secret = cli_node_text(node, "secret-access-key");

    if (id == NULL && secret == NULL) {
        return;
    }

    if (id == NULL || secret == NULL
        || (c->key[0] && (strcmp(c->key, id) != 0
                          || strcmp(c->secret, secret) != 0)))
    {
        cli_conv_left(c, "access-key-id");
        return;
    }

    if (c->key[0]) {
        return;
    }

    cli_copy(c->key, sizeof(c->key), "%s", id);
    cli_copy(c->secret, sizeof(c->secret), "%s", secret);

    if ((strstr(id, "LITESTREAM_ACCESS_KEY_ID") && id[0] == '$'
         && strstr(secret, "LITESTREAM_SECRET_ACCESS_KEY")
         && secret[0] == '$')
        || (strstr(id, "AWS_ACCESS_KEY_ID") && id[0] == '$'
            && strstr(secret, "AWS_SECRET_ACCESS_KEY") && secret[0] == '$'))
    {
        return;
    }

    for (n = 0; n < 2; n++) {

        name = n ? secret : id;

        if (name[0] == '$') {

            if (in->n_env < CLI_INIT_MAX_ENV) {
                in->env[in->n_env].name =
                    n ? "LITESTREAM_SECRET_ACCESS_KEY"
                      : "LITESTREAM_ACCESS_KEY_ID";
                in->env[in->n_env++].value = cli_conv_vars(c, name);
            }

            continue;
        }

        (void) cli_conv_secret(c, n ? "LITESTREAM_SECRET_ACCESS_KEY"
                                    : "LITESTREAM_ACCESS_KEY_ID", name);
    }
}


/* the others have no place in a URL */

static void
cli_conv_only(cli_conv_t *c, cli_node_t *node, const char **names)
{
    int          i;
    cli_node_t  *child;

    for (child = node->child; child; child = child->next) {

        if (child->type == CLI_NODE_NULL
            || strcmp(child->name, "sync-interval") == 0
            || strcmp(child->name, "access-key-id") == 0
            || strcmp(child->name, "secret-access-key") == 0)
        {
            continue;
        }

        for (i = 0; names[i]; i++) {
            if (strcmp(child->name, names[i]) == 0) {
                break;
            }
        }

        if (names[i] == NULL) {
            cli_conv_left(c, child->name);
        }
    }
}


/*
 * A line of the environment file; "${NAME}", or NULL.  Litestream would have
 * put variables into the value, and taken away a "$" that none follows.
 */

static char *
cli_conv_secret(cli_conv_t *c, const char *name, const char *value)
{
    int          i;
    char        *var;
    cli_init_t  *in;

    in = c->in;

    if (strchr(value, '$')) {

        i = in->n_needed;
        value = cli_conv_vars(c, value);

        if (value == NULL || strstr(value, "${")) {
            in->n_needed = i;
            cli_conv_left(c, name);
            return NULL;
        }
    }

    for (i = 0; i < in->n_secrets; i++) {
        if (strcmp(in->secrets[i].name, name) == 0) {
            break;
        }
    }

    if (i == CLI_INIT_MAX_ENV) {
        cli_conv_left(c, "password");
        return NULL;
    }

    if (i == in->n_secrets) {
        in->secrets[i].name = strdup(name);
        in->secrets[i].value = strdup(value);

        if (in->secrets[i].name == NULL || in->secrets[i].value == NULL) {
            return NULL;
        }

        in->n_secrets++;
    }

    return (asprintf(&var, "${%s}", name) == -1) ? NULL : var;
}


/* a name for it, of the database's */

static void
cli_conv_password(cli_conv_t *c, cli_init_db_t *db, char *name, size_t size)
{
    char  *p, *base;

    base = strrchr(db->path, '/') + 1;

    cli_copy(name, size, "PASSWORD_%d_%.60s", (int) (db - c->in->dbs) + 1,
             base);

    for (p = name; *p; p++) {

        if (*p >= 'a' && *p <= 'z') {
            *p = (char) (*p - 'a' + 'A');

        } else if (!((*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9'))) {
            *p = '_';
        }
    }
}


/* "$NAME" as "${NAME}", which is what nginx replaces; a new text, or NULL */

char *
cli_conv_vars(cli_conv_t *c, const char *text)
{
    char        *made, *p;
    size_t       n;
    const char  *s;

    static const char  special[] = "*#$@!?-0123456789";
    static const char  first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz_";
    static const char  rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz_0123456789";

    made = malloc(3 * strlen(text) + 1);

    if (made == NULL) {
        return NULL;
    }

    for (s = text, p = made; *s; /* void */ ) {

        if (*s != '$') {
            *p++ = *s++;
            continue;
        }

        if (s[1] == '{') {
            n = strcspn(s + 2, "}");
            cli_conv_need(c, s + 2, n);

            memcpy(p, s, n + 2);
            p += n + 2;
            s += n + 2;
            continue;
        }

        if (s[1] && strchr(special, s[1])) {

            /* Litestream takes them away */
            s += 2;
            continue;
        }

        if (s[1] == '\0' || strchr(first, s[1]) == NULL) {
            *p++ = *s++;
            continue;
        }

        n = strspn(s + 1, rest);
        cli_conv_need(c, s + 1, n);

        *p++ = '$';
        *p++ = '{';
        memcpy(p, s + 1, n);
        p += n;
        *p++ = '}';

        s += n + 1;
    }

    *p = '\0';

    return made;
}


/* a variable that has to be set; secrets are */

static void
cli_conv_need(cli_conv_t *c, const char *name, size_t len)
{
    int          i;
    char        *text;
    cli_init_t  *in;

    in = c->in;
    text = strndup(name, len);

    if (text == NULL) {
        return;
    }

    for (i = 0; i < in->n_secrets; i++) {
        if (strcmp(in->secrets[i].name, text) == 0) {
            return;
        }
    }

    for (i = 0; i < in->n_needed; i++) {
        if (strcmp(in->needed[i], text) == 0) {
            return;
        }
    }

    if (in->n_needed < CLI_INIT_MAX_ENV) {
        in->needed[in->n_needed++] = text;
    }
}


/* absolute, as Litestream would make it; NULL: said */

char *
cli_conv_path(cli_conv_t *c, const char *path)
{
    char        *made, *home;
    const char  *vars;

    if (strncmp(path, "sqlite3://", 10) == 0) {
        path += 10;

    } else if (strncmp(path, "sqlite://", 9) == 0) {
        path += 9;
    }

    vars = cli_conv_vars(c, path);

    if (vars == NULL) {
        cli_error("no memory");
        return NULL;
    }

    if (vars[0] == '/' || vars[0] == '$') {
        return strdup(vars);
    }

    if (strncmp(vars, "~/", 2) == 0) {
        home = getenv("HOME");

        if (home && *home == '/' && asprintf(&made, "%s%s", home, vars + 1)
            != -1)
        {
            return made;
        }
    }

    if (asprintf(&made, "%s/%s", c->dir, vars) == -1) {
        cli_error("no memory");
        return NULL;
    }

    return made;
}
