
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Replicas of types sftp, webdav and nats: what a URL says becomes keys of
 * litestream.yml, so that no process ever has the URL, and its password, among
 * its arguments.  handler: the URL; finish: what the parameters leave out.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_litestream_remote_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    ngx_litestream_url_t *url, char *form);
static ngx_int_t ngx_litestream_remote_password(ngx_litestream_parse_t *parse,
    ngx_litestream_replica_t *replica, char *name, ngx_str_t *value);
static ngx_int_t ngx_litestream_remote_pair(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    char *one, char *two, ngx_uint_t both);
static ngx_int_t ngx_litestream_remote_id(ngx_pool_t *pool,
    ngx_litestream_replica_t *replica, char *scheme, ngx_str_t *server,
    ngx_str_t *path);
static char *ngx_litestream_webdav_root(ngx_pool_t *pool,
    ngx_litestream_replica_t *replica, ngx_str_t *root, ngx_str_t *path);


ngx_litestream_replica_param_t  ngx_litestream_sftp_params[] = {

    { ngx_string("user"), ngx_string("user"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("password"), ngx_string("password"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("key_path"), ngx_string("key-path"),
      NGX_LITESTREAM_FILE, 0 },

    { ngx_string("host_key"), ngx_string("host-key"),
      NGX_LITESTREAM_HOST_KEY, 0 },

    { ngx_string("concurrent_writes"), ngx_string("concurrent-writes"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


ngx_litestream_replica_param_t  ngx_litestream_webdav_params[] = {

    { ngx_string("webdav_url"), ngx_string("webdav-url"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("webdav_username"), ngx_string("webdav-username"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("webdav_password"), ngx_string("webdav-password"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


ngx_litestream_replica_param_t  ngx_litestream_nats_params[] = {

    { ngx_string("username"), ngx_string("username"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("password"), ngx_string("password"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("token"), ngx_string("token"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("jwt"), ngx_string("jwt"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("seed"), ngx_string("seed"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("creds"), ngx_string("creds"),
      NGX_LITESTREAM_FILE, 0 },

    { ngx_string("nkey"), ngx_string("nkey"),
      NGX_LITESTREAM_NKEY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("tls"), ngx_string("tls"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_string("root_cas"), ngx_string("root-cas"),
      NGX_LITESTREAM_FILES, 0 },

    { ngx_string("client_cert"), ngx_string("client-cert"),
      NGX_LITESTREAM_FILE, 0 },

    { ngx_string("client_key"), ngx_string("client-key"),
      NGX_LITESTREAM_FILE, 0 },

    { ngx_string("max_reconnects"), ngx_string("max-reconnects"),
      NGX_LITESTREAM_INTEGER, 0 },

    { ngx_string("reconnect_wait"), ngx_string("reconnect-wait"),
      NGX_LITESTREAM_TIME, 0 },

    { ngx_string("timeout"), ngx_string("timeout"),
      NGX_LITESTREAM_TIME, 0 },

    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


/*
 * sftp://[USER[:PASSWORD]@]HOST[:PORT]/PATH, or /~/PATH from where a login
 * begins
 */

ngx_int_t
ngx_litestream_sftp_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char                  *reason;
    u_char                *p;
    ngx_str_t              server, path, raw, full;
    ngx_uint_t             home;
    ngx_pool_t            *pool;
    ngx_litestream_url_t   url;

    pool = parse->cf->pool;
    raw = replica->url;

    if (ngx_litestream_remote_url(parse, said, replica, &url,
                                  "sftp://USER@HOST/PATH")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    home = (url.path.len >= 3 && ngx_strncmp(url.path.data, "/~/", 3) == 0);

    if (home) {
        url.path.data += 2;
        url.path.len -= 2;
    }

    reason = ngx_litestream_url_path(pool, &url.path, &path);

    if (reason) {
        return ngx_litestream_replica_invalid(parse, said, &raw, reason);
    }

    full.len = path.len + 1;
    full.data = ngx_pnalloc(pool, full.len + 1);
    if (full.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(full.data, "/%V%Z", &path);

    /* where the connection goes is never left to Litestream's own default */

    if (ngx_litestream_url_server(pool, &url, 0, 22, &server) != NGX_OK
        || ngx_litestream_replica_add(replica, "host", &server) == NULL
        || ngx_litestream_replica_add(replica, "path", home ? &path : &full)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (url.user.len
        && ngx_litestream_replica_add(replica, "user", &url.user) == NULL)
    {
        return NGX_ERROR;
    }

    if (ngx_litestream_remote_password(parse, replica, "password",
                                       &url.password)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    replica->endpoint.len = sizeof("sftp://") - 1 + server.len;
    replica->endpoint.data = ngx_pnalloc(pool, replica->endpoint.len + 1);
    if (replica->endpoint.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(replica->endpoint.data, "sftp://%V%Z", &server);

    if (!home) {
        return ngx_litestream_remote_id(pool, replica, "sftp", &server, &path);
    }

    /* each login begins somewhere else, finish() knows whose it is */

    full.len = path.len + 2;
    full.data = ngx_pnalloc(pool, full.len + 1);
    if (full.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(full.data, "~/%V", &path);
    *p = '\0';

    return ngx_litestream_remote_id(pool, replica, "sftp", &server, &full);
}


ngx_int_t
ngx_litestream_sftp_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    u_char                *p;
    ngx_str_t              id;
    ngx_litestream_key_t  *user, *path;

    user = ngx_litestream_replica_key(replica, "user");

    if (user == NULL) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "replica \"%V\" has no user, say "
                                  "sftp://USER@HOST/PATH or the parameter "
                                  "\"user\"", &replica->url);
        return NGX_ERROR;
    }

    if (ngx_litestream_replica_key(replica, "host-key") == NULL
        && !said->unverified)
    {
        said->unverified = 1;

        ngx_litestream_said_warn(parse->cf->log, said,
                                 "the server of replica \"%V\" is not "
                                 "verified, who answers in its place gets "
                                 "the database: say \"host_key=TYPE KEY\", "
                                 "as in the server's "
                                 "/etc/ssh/ssh_host_*_key.pub",
                                 &replica->url);
    }

    path = ngx_litestream_replica_key(replica, "path");

    if (path->value.data[0] == '/') {
        return NGX_OK;
    }

    id = replica->id;

    replica->id.data = ngx_pnalloc(parse->cf->pool,
                                   id.len + user->value.len + 2);
    if (replica->id.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(replica->id.data, "sftp://%V@%*s", &user->value,
                    id.len - (sizeof("sftp://") - 1),
                    id.data + sizeof("sftp://") - 1);
    *p = '\0';

    replica->id.len = p - replica->id.data;

    return NGX_OK;
}


/* webdav://[USER[:PASSWORD]@]HOST[:PORT]/PATH, webdavs:// is over TLS */

ngx_int_t
ngx_litestream_webdav_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char                  *reason;
    ngx_str_t              server, path, raw, full;
    ngx_uint_t             tls;
    ngx_pool_t            *pool;
    ngx_litestream_url_t   url;

    pool = parse->cf->pool;
    raw = replica->url;

    if (ngx_litestream_remote_url(parse, said, replica, &url,
                                  "webdav://HOST/PATH or webdavs://HOST/PATH")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    reason = ngx_litestream_url_path(pool, &url.path, &path);

    if (reason) {
        return ngx_litestream_replica_invalid(parse, said, &raw, reason);
    }

    tls = (url.scheme.len == sizeof("webdavs") - 1);

    full.len = path.len + 1;
    full.data = ngx_pnalloc(pool, full.len + 1);
    if (full.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(full.data, "/%V%Z", &path);

    if (ngx_litestream_url_server(pool, &url, 0, tls ? 443 : 80, &server)
        != NGX_OK
        || ngx_litestream_replica_add(replica, "path", &full) == NULL)
    {
        return NGX_ERROR;
    }

    if (url.user.len
        && ngx_litestream_replica_add(replica, "webdav-username", &url.user)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (ngx_litestream_remote_password(parse, replica, "webdav-password",
                                       &url.password)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    replica->endpoint.len = tls + sizeof("http://") - 1 + server.len;
    replica->endpoint.data = ngx_pnalloc(pool, replica->endpoint.len + 1);
    if (replica->endpoint.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(replica->endpoint.data, "http%s://%V%Z",
                       tls ? "s" : "", &server);

    return ngx_litestream_remote_id(pool, replica, "webdav", &server, &path);
}


/*
 * What is in "webdav_url" is there already, what comes after it Litestream
 * makes; without one all of the path is made.
 */

ngx_int_t
ngx_litestream_webdav_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char                  *reason;
    ngx_litestream_key_t  *root, *path;

    if (ngx_litestream_remote_pair(parse, said, replica, "webdav-username",
                                   "webdav-password", 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    root = ngx_litestream_replica_key(replica, "webdav-url");

    if (root == NULL) {
        return ngx_litestream_replica_add(replica, "webdav-url",
                                          &replica->endpoint)
               ? NGX_OK : NGX_ERROR;
    }

    path = ngx_litestream_replica_key(replica, "path");

    reason = ngx_litestream_webdav_root(parse->cf->pool, replica,
                                        &root->value, &path->value);

    if (reason == NULL) {
        return NGX_OK;
    }

    if (reason != NGX_CONF_ERROR) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid parameter \"webdav_url\" of "
                                  "replica \"%V\": %s", &replica->url,
                                  reason);
    }

    return NGX_ERROR;
}


static char *
ngx_litestream_webdav_root(ngx_pool_t *pool, ngx_litestream_replica_t *replica,
    ngx_str_t *root, ngx_str_t *path)
{
    char                  *reason;
    ngx_str_t              server, own, dir;
    ngx_uint_t             tls;
    ngx_litestream_url_t   url, endpoint;

    reason = ngx_litestream_url_parse(pool, root, &url);

    if (reason) {
        return reason;
    }

    tls = (url.scheme.len == 5
           && ngx_strncasecmp(url.scheme.data, (u_char *) "https", 5) == 0);

    if (!tls && (url.scheme.len != 4
                 || ngx_strncasecmp(url.scheme.data, (u_char *) "http", 4)
                    != 0))
    {
        return "it must be http://HOST[/PATH] or https://HOST[/PATH]";
    }

    if (url.user.data) {
        return "say \"webdav_username\" and \"webdav_password\" beside it";
    }

    if (url.query.data || url.hosts != 1) {
        return "it must be http://HOST[/PATH] or https://HOST[/PATH]";
    }

    (void) ngx_litestream_url_parse(pool, &replica->endpoint, &endpoint);

    if (ngx_litestream_url_server(pool, &url, 0, tls ? 443 : 80, &server)
        != NGX_OK
        || ngx_litestream_url_server(pool, &endpoint, 0, 0, &own) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (endpoint.scheme.len != url.scheme.len || server.len != own.len
        || ngx_memcmp(server.data, own.data, own.len) != 0)
    {
        return "it is of another server than the URL";
    }

    while (root->len && root->data[root->len - 1] == '/') {
        root->len--;
    }

    if (url.path.len == 0
        || (url.path.len == 1 && url.path.data[0] == '/'))
    {
        return NULL;
    }

    reason = ngx_litestream_url_path(pool, &url.path, &dir);

    if (reason) {
        return reason;
    }

    /* path begins with a slash, dir does not */

    if (path->len < dir.len + 1
        || ngx_memcmp(path->data + 1, dir.data, dir.len) != 0
        || (path->len > dir.len + 1 && path->data[dir.len + 1] != '/'))
    {
        return "the URL of the replica does not go on from its path";
    }

    if (path->len == dir.len + 1) {
        ngx_str_set(path, "/");

    } else {
        path->data += dir.len + 1;
        path->len -= dir.len + 1;
    }

    return NULL;
}


/* nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]...]/BUCKET */

ngx_int_t
ngx_litestream_nats_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    u_char                *p, *last;
    ngx_str_t              server, first, bucket, raw, servers;
    ngx_uint_t             n;
    ngx_pool_t            *pool;
    ngx_litestream_url_t   url;

    pool = parse->cf->pool;
    raw = replica->url;

    if (ngx_litestream_remote_url(parse, said, replica, &url,
                                  "nats://HOST/BUCKET")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_litestream_url_path(pool, &url.path, &bucket) != NULL) {
        return ngx_litestream_replica_invalid(parse, said, &raw,
                                              "it must be nats://HOST/BUCKET");
    }

    for (p = bucket.data; *p; p++) {

        if (*p == '/') {
            return ngx_litestream_replica_invalid(parse, said, &raw,
                       "a replica of type \"nats\" is a bucket of its own, "
                       "with no path in it: say nats://HOST/NAME-$alias");
        }

        if ((*p < 'a' || *p > 'z') && (*p < 'A' || *p > 'Z')
            && (*p < '0' || *p > '9') && *p != '-' && *p != '_')
        {
            return ngx_litestream_replica_invalid(parse, said, &raw,
                       "the name of a bucket consists of letters, digits, "
                       "\"-\" and \"_\"");
        }
    }

    /* "nats://A:4222,B:4222/BUCKET" */

    servers.data = ngx_pnalloc(pool, sizeof("nats://") + bucket.len + 1
                               + url.host.len
                               + url.hosts * sizeof(",:4222"));
    if (servers.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(servers.data, "nats://", sizeof("nats://") - 1);
    last = p;

    ngx_str_null(&first);

    for (n = 0; n < url.hosts; n++) {

        if (ngx_litestream_url_server(pool, &url, n, 4222, &server)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        last = ngx_sprintf(last, "%s%V", n ? "," : "", &server);

        if (n == 0) {
            first = server;
        }
    }

    replica->endpoint.len = sizeof("nats://") - 1 + first.len;
    replica->endpoint.data = ngx_pnalloc(pool, replica->endpoint.len + 1);
    if (replica->endpoint.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(replica->endpoint.data, "nats://%V%Z", &first);

    last = ngx_sprintf(last, "/%V%Z", &bucket);
    servers.len = last - 1 - servers.data;

    if (ngx_litestream_replica_add(replica, "url", &servers) == NULL) {
        return NGX_ERROR;
    }

    /* Litestream drops both from the URL */

    if (url.user.len && url.password.data == NULL) {

        if (ngx_litestream_remote_password(parse, replica, "token", &url.user)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (url.user.len
               && ngx_litestream_replica_add(replica, "username", &url.user)
                  == NULL)
    {
        return NGX_ERROR;
    }

    if (ngx_litestream_remote_password(parse, replica, "password",
                                       &url.password)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_litestream_remote_id(pool, replica, "nats", &first, &bucket);
}


ngx_int_t
ngx_litestream_nats_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    ngx_uint_t  n;

    if (ngx_litestream_remote_pair(parse, said, replica, "username",
                                   "password", 1)
        != NGX_OK
        || ngx_litestream_remote_pair(parse, said, replica, "jwt", "seed", 1)
           != NGX_OK
        || ngx_litestream_remote_pair(parse, said, replica, "client-cert",
                                      "client-key", 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    n = (ngx_litestream_replica_key(replica, "username") != NULL)
        + (ngx_litestream_replica_key(replica, "jwt") != NULL)
        + (ngx_litestream_replica_key(replica, "creds") != NULL)
        + (ngx_litestream_replica_key(replica, "token") != NULL);

    if (n > 1) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "replica \"%V\" has %ui kinds of "
                                  "credentials, and only one of \"username\", "
                                  "\"token\", \"creds\" and \"jwt\" counts",
                                  &replica->url, n);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what they have in common; url of the replica becomes one for people */

static ngx_int_t
ngx_litestream_remote_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    ngx_litestream_url_t *url, char *form)
{
    char  *reason;

    reason = ngx_litestream_url_parse(parse->cf->pool, &replica->url, url);

    if (reason) {
        return ngx_litestream_replica_invalid(parse, said, &replica->url,
                                              reason);
    }

    if (url->query.data) {
        return ngx_litestream_replica_invalid(parse, said, &replica->url,
                   "it has a query string, all but the place is said by "
                   "parameters of \"litestream_replica\"");
    }

    if (url->hosts > 1 && url->scheme.data[0] != 'n') {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid replica, it has several hosts: it "
                                  "must be %s", form);
        return NGX_ERROR;
    }

    if (url->user.data && url->user.len == 0) {
        return ngx_litestream_replica_invalid(parse, said, &replica->url,
                                              "the user before \"@\" is "
                                              "missing");
    }

    /* of nats, a user alone is a token */

    return ngx_litestream_url_public(parse->cf->pool, &replica->url,
                                     url->password.data != NULL
                                     || url->scheme.data[0] != 'n');
}


/* the value of a secret key; data is NULL: it was not said */

static ngx_int_t
ngx_litestream_remote_password(ngx_litestream_parse_t *parse,
    ngx_litestream_replica_t *replica, char *name, ngx_str_t *value)
{
    ngx_litestream_key_t  *key;

    if (value->data == NULL || value->len == 0) {
        return NGX_OK;
    }

    key = ngx_litestream_replica_add(replica, name, value);
    if (key == NULL) {
        return NGX_ERROR;
    }

    key->secret = 1;

    return ngx_litestream_secret(parse->lcf, value);
}


/* two needs one; both: and one needs two.  Names are those of nginx.conf */

static ngx_int_t
ngx_litestream_remote_pair(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    char *one, char *two, ngx_uint_t both)
{
    char        *p, names[2][32];
    ngx_uint_t   i, has_one, has_two;

    has_one = (ngx_litestream_replica_key(replica, one) != NULL);
    has_two = (ngx_litestream_replica_key(replica, two) != NULL);

    if (has_one == has_two || (has_one && !both)) {
        return NGX_OK;
    }

    for (i = 0; i < 2; i++) {
        ngx_cpystrn((u_char *) names[i], (u_char *) (i ? two : one), 32);

        for (p = names[i]; *p; p++) {
            if (*p == '-') {
                *p = '_';
            }
        }
    }

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "replica \"%V\" has \"%s\", but not \"%s\", "
                              "say both", &replica->url,
                              has_one ? names[0] : names[1],
                              has_one ? names[1] : names[0]);

    return NGX_ERROR;
}


static ngx_int_t
ngx_litestream_remote_id(ngx_pool_t *pool, ngx_litestream_replica_t *replica,
    char *scheme, ngx_str_t *server, ngx_str_t *path)
{
    u_char  *p;

    p = ngx_pnalloc(pool, ngx_strlen(scheme) + sizeof(":///") + server->len
                          + path->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    replica->id.data = p;

    p = ngx_sprintf(p, "%s://%V/%V%Z", scheme, server, path);

    replica->id.len = p - 1 - replica->id.data;

    return NGX_OK;
}
