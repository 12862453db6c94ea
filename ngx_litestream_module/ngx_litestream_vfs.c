
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * litestream_vfs: databases that are not replicated here, which applications
 * read from the replica itself, by Litestream's VFS.  That is an extension of
 * SQLite in the application's process, and all that it is told are variables
 * of its environment: they are put into a file that the application's user,
 * and nobody else, can read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


/* longer ones are mistakes */
#define NGX_LITESTREAM_VFS_LAG  (365 * 24 * 3600)


typedef struct {
    ngx_litestream_parse_t      *parse;
    ngx_http_litestream_said_t  *said;
    ngx_litestream_vfs_t        *vfs;
    char                       **env;
    u_char                      *pos;
    size_t                       len;
    ngx_uint_t                   mask;
    ngx_uint_t                   secret;     /* in the URL */
} ngx_litestream_vfs_ctx_t;


static ngx_int_t ngx_litestream_vfs_params(ngx_litestream_vfs_ctx_t *ctx);
static ngx_int_t ngx_litestream_vfs_user(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *said);
static ngx_int_t ngx_litestream_vfs_url(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *url);
static ngx_int_t ngx_litestream_vfs_file(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *url);
static ngx_int_t ngx_litestream_vfs_bucket(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *url);
static ngx_int_t ngx_litestream_vfs_webdav(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *url);
static u_char *ngx_litestream_vfs_escape(u_char *p, ngx_str_t *value,
    ngx_uint_t type);
static ngx_int_t ngx_litestream_vfs_text(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *url);
static void ngx_litestream_vfs_lines(ngx_litestream_vfs_ctx_t *ctx,
    ngx_str_t *url);
static void ngx_litestream_vfs_line(ngx_litestream_vfs_ctx_t *ctx,
    char *name, size_t len, ngx_str_t *value);
static void ngx_litestream_vfs_put(ngx_litestream_vfs_ctx_t *ctx, u_char ch);
static ngx_uint_t ngx_litestream_vfs_passed(char *name, size_t len);
static ngx_uint_t ngx_litestream_vfs_has(char **env, char *name);


/* what it takes from the query string of an S3 URL, in which a key is said */

static struct {
    char  *key;
    char  *name;
} ngx_litestream_vfs_queries[] = {
    { "endpoint", "endpoint" },
    { "region", "region" },
    { "force-path-style", "forcePathStyle" },
    { "skip-verify", "skipVerify" },
    { "sign-payload", "signPayload" },
    { "require-content-md5", "requireContentMD5" },
    { NULL, NULL }
};


/*
 * as in litestream.yml, where the VFS looks for it, and a variable that
 * Litestream takes for that one, which the VFS does not
 */

static struct {
    char  *key;
    char  *name;
    char  *other;
} ngx_litestream_vfs_keys[] = {
    { "access-key-id", "AWS_ACCESS_KEY_ID", "LITESTREAM_ACCESS_KEY_ID" },
    { "secret-access-key", "AWS_SECRET_ACCESS_KEY",
      "LITESTREAM_SECRET_ACCESS_KEY" },
    { "account-key", "LITESTREAM_AZURE_ACCOUNT_KEY", "" },
    { "sas-token", "LITESTREAM_AZURE_SAS_TOKEN", "" },
    { NULL, NULL, NULL }
};


/* of the variables that there are, those that it looks at; "X_*": all such */

static char  *ngx_litestream_vfs_names[] = {
    "AWS_*",
    "AZURE_*",
    "CLOUDSDK_*",
    "GCE_METADATA_*",
    "GOOGLE_*",
    "IDENTITY_*",
    "LITESTREAM_AZURE_*",
    "LITESTREAM_HYDRATION_*",
    "LITESTREAM_LOG_*",
    "STORAGE_EMULATOR_HOST",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    NULL
};


/*
 * Takes what one litestream_vfs said; adds it to the configuration and to
 * list, of ngx_litestream_vfs_t *.  NGX_ERROR: refused, it has been logged.
 * Any process that reads the configuration; may block on the file system and
 * in NSS, and changes nothing there.
 */

ngx_int_t
ngx_litestream_vfs_parse(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_array_t *list)
{
    u_char                    *p;
    ngx_str_t                  url;
    ngx_pool_t                *pool;
    ngx_litestream_db_t       *db;
    ngx_litestream_vfs_t      *vfs, **vfsp;
    ngx_litestream_db_ctx_t    name;
    ngx_litestream_vfs_ctx_t   ctx;

    pool = parse->cf->pool;

    vfs = ngx_pcalloc(pool, sizeof(ngx_litestream_vfs_t));
    if (vfs == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ctx, sizeof(ngx_litestream_vfs_ctx_t));

    ctx.parse = parse;
    ctx.said = said;
    ctx.vfs = vfs;

    vfs->name = said->args[1];

    /* its name is one of those of databases */

    db = ngx_pcalloc(pool, sizeof(ngx_litestream_db_t));
    if (db == NULL) {
        return NGX_ERROR;
    }

    db->alias = vfs->name;
    db->name = vfs->name;
    db->file = said->file;
    db->line = said->line;

    ngx_memzero(&name, sizeof(ngx_litestream_db_ctx_t));

    name.parse = parse;
    name.said = said;
    name.db = db;

    if (ngx_litestream_db_alias(&name) != NGX_OK
        || ngx_litestream_vfs_params(&ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    vfs->replica = ngx_litestream_replica_parse(parse, db, said,
                                                &said->args[2], NULL);
    if (vfs->replica == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, parse->lcf->state_path.len + vfs->name.len
                          + sizeof("/" NGX_LITESTREAM_VFS_DIR "/.env"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    vfs->file.data = p;
    vfs->file.len = ngx_sprintf(p, "%V/" NGX_LITESTREAM_VFS_DIR "/%V.env%Z",
                                &parse->lcf->state_path, &vfs->name)
                    - p - 1;

    if (ngx_litestream_vfs_url(&ctx, &url) != NGX_OK
        || ngx_litestream_vfs_text(&ctx, &url) != NGX_OK)
    {
        return NGX_ERROR;
    }

    vfsp = ngx_array_push(&parse->lcf->vfs);
    if (vfsp == NULL) {
        return NGX_ERROR;
    }

    *vfsp = vfs;

    vfsp = ngx_array_push(list);
    if (vfsp == NULL) {
        return NGX_ERROR;
    }

    *vfsp = vfs;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_vfs_params(ngx_litestream_vfs_ctx_t *ctx)
{
    time_t                       lag;
    ngx_str_t                   *arg, value, user;
    ngx_uint_t                   i;
    ngx_http_litestream_said_t  *said;

    said = ctx->said;

    ngx_str_null(&user);

    for (i = 3; i < said->nargs; i++) {

        arg = &said->args[i];

        if (ngx_strncmp(arg->data, "max_lag=", 8) == 0) {

            value.data = arg->data + 8;
            value.len = arg->len - 8;

            lag = ngx_parse_time(&value, 1);

            if (lag == (time_t) NGX_ERROR || lag == 0
                || lag > NGX_LITESTREAM_VFS_LAG)
            {
                goto invalid;
            }

            if (ctx->vfs->max_lag) {
                goto duplicate;
            }

            ctx->vfs->max_lag = lag;
            continue;
        }

        if (ngx_strncmp(arg->data, "user=", 5) == 0) {

            if (user.data) {
                goto duplicate;
            }

            user.data = arg->data + 5;
            user.len = arg->len - 5;

            if (user.len == 0) {
                goto invalid;
            }

            continue;
        }

        goto invalid;
    }

    return ngx_litestream_vfs_user(ctx, &user);

invalid:

    ngx_litestream_said_error(ctx->parse->cf->log, said, 0,
                              "invalid parameter \"%V\"", arg);

    return NGX_ERROR;

duplicate:

    ngx_litestream_said_error(ctx->parse->cf->log, said, 0,
                              "parameter \"%V\" is duplicate", arg);

    return NGX_ERROR;
}


/* whose the file is: "user[:group]", or that of the level */

static ngx_int_t
ngx_litestream_vfs_user(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *said)
{
    u_char                  *p;
    ngx_str_t                name, group;
    ngx_litestream_user_t   *user;
    ngx_litestream_parse_t  *parse;

    parse = ctx->parse;
    user = parse->level->user;

    if (said->len) {

        name = *said;
        ngx_str_null(&group);

        p = ngx_strlchr(name.data, name.data + name.len, ':');

        if (p) {
            group.data = p + 1;
            group.len = name.data + name.len - group.data;
            name.len = p - name.data;

            /* names are looked up as strings */

            name.data = ngx_pnalloc(parse->cf->pool, name.len + 1);
            if (name.data == NULL) {
                return NGX_ERROR;
            }

            ngx_cpystrn(name.data, said->data, name.len + 1);
        }

        user = ngx_litestream_user_find(parse, ctx->said, &name,
                                        p ? &group : NULL);
        if (user == NULL) {
            return NGX_ERROR;
        }

        if (geteuid() != 0 && user->uid != geteuid()) {
            ngx_litestream_said_error(parse->cf->log, ctx->said, 0,
                                      "\"user=%V\" needs nginx to be started "
                                      "as root, it runs as uid %ui", said,
                                      (ngx_uint_t) geteuid());
            return NGX_ERROR;
        }

    } else if (user == NULL && geteuid() != 0) {

        user = ngx_litestream_user_get(parse, NULL, geteuid(), getegid());
        if (user == NULL) {
            return NGX_ERROR;
        }
    }

    if (user == NULL) {
        ngx_litestream_said_error(parse->cf->log, ctx->said, 0,
                                  "user for \"%V\" cannot be told, say that "
                                  "of the application: \"user=\", or "
                                  "\"litestream_user\"", &ctx->vfs->name);
        return NGX_ERROR;
    }

    ctx->vfs->user = user->user;
    ctx->vfs->uid = user->uid;
    ctx->vfs->gid = user->gid;

    return NGX_OK;
}


/* the URL as the VFS reads it, which has its own way to do so */

static ngx_int_t
ngx_litestream_vfs_url(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *url)
{
    char                      *type, *why;
    ngx_litestream_replica_t  *replica;

    replica = ctx->vfs->replica;
    type = (char *) replica->type.data;

    why = "";

    if (ngx_strcmp(type, "file") == 0) {
        return ngx_litestream_vfs_file(ctx, url);
    }

    if (ngx_strcmp(type, "s3") == 0 || ngx_strcmp(type, "gs") == 0) {
        return ngx_litestream_vfs_bucket(ctx, url);
    }

    if (ngx_strcmp(type, "abs") == 0) {

        if (ngx_litestream_replica_key(replica, "endpoint") == NULL) {
            return ngx_litestream_vfs_bucket(ctx, url);
        }

        why = " and an endpoint";
    }

    if (ngx_strcmp(type, "webdav") == 0) {
        return ngx_litestream_vfs_webdav(ctx, url);
    }

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "\"litestream_vfs\" does not work with replica "
                              "type \"%V\"%s", &replica->type, why);

    return NGX_ERROR;
}


/* a path that would have to be escaped is not found: it is never unescaped */

static ngx_int_t
ngx_litestream_vfs_file(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *url)
{
    u_char     *p, ch;
    size_t      i;
    ngx_str_t  *path;

    path = &ctx->vfs->replica->path;

    for (i = 0; i < path->len; i++) {
        ch = path->data[i];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9') || ngx_strchr("/-_.~$&+,:;=@", ch))
        {
            continue;
        }

        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "\"litestream_vfs\" does not work with "
                                  "\"%c\" in the path \"%V\"", ch, path);
        return NGX_ERROR;
    }

    p = ngx_pnalloc(ctx->parse->cf->pool, sizeof("file://") + path->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->data = p;
    url->len = ngx_sprintf(p, "file://%V", path) - p;

    return NGX_OK;
}


/* SCHEME://[ACCOUNT@]BUCKET/PATH[?KEY=VALUE...] */

static ngx_int_t
ngx_litestream_vfs_bucket(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *url)
{
    u_char                    *p, sep;
    size_t                     len;
    ngx_uint_t                 i;
    ngx_litestream_key_t      *bucket, *path, *account, *key;
    ngx_litestream_replica_t  *replica;

    replica = ctx->vfs->replica;

    bucket = ngx_litestream_replica_key(replica, "bucket");
    path = ngx_litestream_replica_key(replica, "path");
    account = ngx_litestream_replica_key(replica, "account-name");

    len = replica->type.len + sizeof("://@//") + bucket->value.len
          + 3 * path->value.len + (account ? 3 * account->value.len : 0);

    for (i = 0; ngx_litestream_vfs_queries[i].key; i++) {

        key = ngx_litestream_replica_key(replica,
                                         ngx_litestream_vfs_queries[i].key);
        if (key) {
            len += sizeof("&=") + 3 * key->value.len
                   + ngx_strlen(ngx_litestream_vfs_queries[i].name);
        }
    }

    p = ngx_pnalloc(ctx->parse->cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->data = p;

    p = ngx_sprintf(p, "%V://", &replica->type);

    if (account) {
        p = ngx_litestream_vfs_escape(p, &account->value,
                                      NGX_ESCAPE_URI_COMPONENT);
        *p++ = '@';
    }

    p = ngx_sprintf(p, "%V/", &bucket->value);
    p = ngx_litestream_vfs_escape(p, &path->value, NGX_ESCAPE_URI);

    sep = '?';

    for (i = 0; ngx_litestream_vfs_queries[i].key; i++) {

        key = ngx_litestream_replica_key(replica,
                                         ngx_litestream_vfs_queries[i].key);
        if (key == NULL) {
            continue;
        }

        p = ngx_sprintf(p, "%c%s=", sep, ngx_litestream_vfs_queries[i].name);
        p = ngx_litestream_vfs_escape(p, &key->value,
                                      NGX_ESCAPE_URI_COMPONENT);
        sep = '&';
    }

    url->len = p - url->data;

    return NGX_OK;
}


/* which has no variable for a password: the file is for its user alone */

static ngx_int_t
ngx_litestream_vfs_webdav(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *url)
{
    u_char                *p;
    ngx_str_t              host;
    ngx_uint_t             tls;
    ngx_litestream_key_t  *server, *path, *user, *password;

    server = ngx_litestream_replica_key(ctx->vfs->replica, "webdav-url");
    path = ngx_litestream_replica_key(ctx->vfs->replica, "path");
    user = ngx_litestream_replica_key(ctx->vfs->replica, "webdav-username");
    password = ngx_litestream_replica_key(ctx->vfs->replica,
                                          "webdav-password");

    tls = (ngx_strncmp(server->value.data, "https:", 6) == 0);

    host.data = server->value.data + sizeof("http://") - 1 + tls;
    host.len = server->value.data + server->value.len - host.data;

    if (ngx_strlchr(host.data, host.data + host.len, '/')) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "\"litestream_vfs\" does not work with a "
                                  "path in \"webdav-url\"");
        return NGX_ERROR;
    }

    p = ngx_pnalloc(ctx->parse->cf->pool,
                    sizeof("webdavs://:@") + host.len + 3 * path->value.len
                    + (user ? 3 * user->value.len : 0)
                    + (password ? 3 * password->value.len : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->data = p;

    p = ngx_sprintf(p, "webdav%s://", tls ? "s" : "");

    if (user) {
        p = ngx_litestream_vfs_escape(p, &user->value,
                                      NGX_ESCAPE_URI_COMPONENT);

        if (password) {
            *p++ = ':';
            p = ngx_litestream_vfs_escape(p, &password->value,
                                          NGX_ESCAPE_URI_COMPONENT);

            ctx->secret = 1;
        }

        *p++ = '@';
    }

    p = ngx_cpymem(p, host.data, host.len);
    p = ngx_litestream_vfs_escape(p, &path->value, NGX_ESCAPE_URI);

    url->len = p - url->data;

    return NGX_OK;
}


static u_char *
ngx_litestream_vfs_escape(u_char *p, ngx_str_t *value, ngx_uint_t type)
{
    return (u_char *) ngx_escape_uri(p, value->data, value->len, type);
}


/* the file, and the same for people */

static ngx_int_t
ngx_litestream_vfs_text(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *url)
{
    ngx_str_t               *text;
    ngx_litestream_group_t  *group;

    group = ngx_pcalloc(ctx->parse->cf->pool, sizeof(ngx_litestream_group_t));
    if (group == NULL) {
        return NGX_ERROR;
    }

    group->type = ctx->vfs->replica->type;

    if (ngx_litestream_vars_environ(ctx->parse, ctx->said->vars, group)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->env = group->env;

    for (ctx->mask = 0; ctx->mask < 2; ctx->mask++) {

        text = ctx->mask ? &ctx->vfs->masked : &ctx->vfs->text;

        ctx->pos = NULL;
        ctx->len = 0;

        ngx_litestream_vfs_lines(ctx, url);

        text->data = ngx_pnalloc(ctx->parse->cf->pool, ctx->len);
        if (text->data == NULL) {
            return NGX_ERROR;
        }

        text->len = ctx->len;
        ctx->pos = text->data;

        ngx_litestream_vfs_lines(ctx, url);
    }

    return NGX_OK;
}


static void
ngx_litestream_vfs_lines(ngx_litestream_vfs_ctx_t *ctx, ngx_str_t *url)
{
    char                  **e, *p;
    u_char                 *last;
    ngx_str_t               value;
    ngx_uint_t              i;
    ngx_litestream_key_t   *key;
    u_char                  buf[sizeof("file:.db?vfs=litestream&mode=ro")
                                + NGX_LITESTREAM_ALIAS_LEN];

    ngx_litestream_vfs_line(ctx, "LITESTREAM_REPLICA_URL",
                            sizeof("LITESTREAM_REPLICA_URL") - 1,
                            (ctx->mask && ctx->secret)
                            ? &ctx->vfs->replica->url : url);

    last = ngx_sprintf(buf, "file:%V.db?vfs=litestream&mode=ro",
                       &ctx->vfs->name);
    value.data = buf;
    value.len = last - buf;

    ngx_litestream_vfs_line(ctx, "LITESTREAM_VFS_URI",
                            sizeof("LITESTREAM_VFS_URI") - 1, &value);

    if (ctx->vfs->max_lag) {
        value.len = ngx_sprintf(buf, "%T", ctx->vfs->max_lag) - buf;

        ngx_litestream_vfs_line(ctx, "LITESTREAM_VFS_MAX_LAG",
                                sizeof("LITESTREAM_VFS_MAX_LAG") - 1, &value);
    }

    for (i = 0; ngx_litestream_vfs_keys[i].key; i++) {

        p = NULL;
        key = ngx_litestream_replica_key(ctx->vfs->replica,
                                         ngx_litestream_vfs_keys[i].key);

        if (key) {
            value = key->value;

        } else if (ngx_litestream_vfs_has(ctx->env,
                                          ngx_litestream_vfs_keys[i].name))
        {
            continue;

        } else {

            for (e = ctx->env; *e; e++) {

                p = strchr(*e, '=');

                if ((size_t) (p - *e)
                    == ngx_strlen(ngx_litestream_vfs_keys[i].other)
                    && ngx_strncmp(*e, ngx_litestream_vfs_keys[i].other,
                                   p - *e)
                       == 0)
                {
                    break;
                }
            }

            if (*e == NULL) {
                continue;
            }

            value.data = (u_char *) p + 1;
            value.len = ngx_strlen(value.data);
        }

        ngx_litestream_vfs_line(ctx, ngx_litestream_vfs_keys[i].name,
                                ngx_strlen(ngx_litestream_vfs_keys[i].name),
                                &value);
    }

    for (e = ctx->env; *e; e++) {

        p = strchr(*e, '=');

        if (!ngx_litestream_vfs_passed(*e, p - *e)) {
            continue;
        }

        value.data = (u_char *) p + 1;
        value.len = ngx_strlen(value.data);

        ngx_litestream_vfs_line(ctx, *e, p - *e, &value);
    }
}


/*
 * NAME="value", as shells, systemd's EnvironmentFile= and litestream_env_file
 * read it alike
 */

static void
ngx_litestream_vfs_line(ngx_litestream_vfs_ctx_t *ctx, char *name, size_t len,
    ngx_str_t *value)
{
    size_t      i;
    ngx_str_t   key, text;

    key.data = (u_char *) name;
    key.len = len;

    text = *value;

    if (ctx->mask && ngx_litestream_env_secret(&key)) {
        ngx_str_set(&text, "***");
    }

    for (i = 0; i < len; i++) {
        ngx_litestream_vfs_put(ctx, name[i]);
    }

    ngx_litestream_vfs_put(ctx, '=');
    ngx_litestream_vfs_put(ctx, '"');

    for (i = 0; i < text.len; i++) {

        if (ngx_strchr("\"\\$`", text.data[i])) {
            ngx_litestream_vfs_put(ctx, '\\');
        }

        ngx_litestream_vfs_put(ctx, text.data[i]);
    }

    ngx_litestream_vfs_put(ctx, '"');
    ngx_litestream_vfs_put(ctx, '\n');
}


static void
ngx_litestream_vfs_put(ngx_litestream_vfs_ctx_t *ctx, u_char ch)
{
    if (ctx->pos) {
        *ctx->pos++ = ch;

    } else {
        ctx->len++;
    }
}


static ngx_uint_t
ngx_litestream_vfs_passed(char *name, size_t len)
{
    size_t   n;
    char   **p;

    for (p = ngx_litestream_vfs_names; *p; p++) {
        n = ngx_strlen(*p);

        if ((*p)[n - 1] == '*') {

            if (len >= n && ngx_strncmp(name, *p, n - 1) == 0) {
                break;
            }

        } else if (len == n && ngx_strncmp(name, *p, n) == 0) {
            break;
        }
    }

    return *p != NULL;
}


static ngx_uint_t
ngx_litestream_vfs_has(char **env, char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    for ( /* void */ ; *env; env++) {
        if (ngx_strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
            return 1;
        }
    }

    return 0;
}
