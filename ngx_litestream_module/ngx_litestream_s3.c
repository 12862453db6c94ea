
/*
 * Copyright (C) the ngx_litestream authors
 */


/* replicas of type s3 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_litestream_s3_query(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    u_char *p, u_char *last);
static char *ngx_litestream_s3_bucket(ngx_str_t *bucket);
static char *ngx_litestream_s3_path(ngx_str_t *path);
static ngx_int_t ngx_litestream_s3_amazon(ngx_pool_t *pool,
    ngx_litestream_replica_t *replica);
static ngx_uint_t ngx_litestream_s3_local(ngx_str_t *host);


ngx_litestream_replica_param_t  ngx_litestream_s3_params[] = {

    { ngx_string("endpoint"), ngx_string("endpoint"),
      NGX_LITESTREAM_ENDPOINT, 0 },

    { ngx_string("region"), ngx_string("region"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("access_key_id"), ngx_string("access-key-id"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_MASKED },

    { ngx_string("secret_access_key"), ngx_string("secret-access-key"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("force_path_style"), ngx_string("force-path-style"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_string("skip_verify"), ngx_string("skip-verify"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_string("sign_payload"), ngx_string("sign-payload"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_string("sign_accept_encoding"), ngx_string("sign-accept-encoding"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_string("require_content_md5"), ngx_string("require-content-md5"),
      NGX_LITESTREAM_BOOL, 0 },

    { ngx_string("storage_class"), ngx_string("storage-class"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("part_size"), ngx_string("part-size"),
      NGX_LITESTREAM_SIZE, 0 },

    { ngx_string("concurrency"), ngx_string("concurrency"),
      NGX_LITESTREAM_NUMBER, 0 },

    { ngx_string("sse_customer_algorithm"),
      ngx_string("sse-customer-algorithm"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("sse_customer_key"), ngx_string("sse-customer-key"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("sse_customer_key_path"),
      ngx_string("sse-customer-key-path"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("sse_kms_key_id"), ngx_string("sse-kms-key-id"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


/*
 * s3://BUCKET/PATH[?endpoint=URL&region=NAME]: keys of litestream.yml are made
 * of it, Litestream never sees the URL itself.  What is left of it, for people,
 * ends before "?".
 */

ngx_int_t
ngx_litestream_s3_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char       *reason;
    u_char     *p, *query, *last;
    ngx_str_t   bucket, path, *url;

    url = &replica->url;
    last = url->data + url->len;

    if (url->len < sizeof("s3://") - 1
        || ngx_strncmp(url->data, "s3://", sizeof("s3://") - 1) != 0)
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid replica \"%V\", it must be "
                                  "s3://BUCKET/PATH", url);
        return NGX_ERROR;
    }

    query = ngx_strlchr(url->data, last, '?');

    if (query) {
        last = query;
        url->len = last - url->data;
    }

    bucket.data = url->data + sizeof("s3://") - 1;

    p = ngx_strlchr(bucket.data, last, '/');
    if (p == NULL) {
        p = last;
    }

    bucket.len = p - bucket.data;

    if (ngx_strlchr(bucket.data, p, '@')) {

        /* not printed: there are secrets in it */

        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid replica: credentials do not belong "
                                  "in an s3 URL, say \"access_key_id\" and "
                                  "\"secret_access_key\", or "
                                  "LITESTREAM_ACCESS_KEY_ID and "
                                  "LITESTREAM_SECRET_ACCESS_KEY");
        return NGX_ERROR;
    }

    while (p < last && *p == '/') {
        p++;
    }

    while (last > p && last[-1] == '/') {
        last--;
    }

    path.data = p;
    path.len = last - p;

    reason = ngx_litestream_s3_bucket(&bucket);

    if (reason == NULL) {
        reason = ngx_litestream_s3_path(&path);
    }

    if (reason) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid replica \"%V\", %s", url, reason);
        return NGX_ERROR;
    }

    if (ngx_litestream_replica_add(replica, "bucket", &bucket) == NULL
        || ngx_litestream_replica_add(replica, "path", &path) == NULL)
    {
        return NGX_ERROR;
    }

    if (query == NULL) {
        return NGX_OK;
    }

    if (ngx_litestream_s3_query(parse, said, replica, query + 1,
                                query + 1 + ngx_strlen(query + 1))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* jobs print it */
    *query = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_s3_query(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    u_char *p, u_char *last)
{
    char       *key, *reason;
    u_char     *end, *equal, *dst, *src;
    ngx_str_t   name, value;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        equal = ngx_strlchr(p, end, '=');

        name.data = p;
        name.len = (equal ? equal : end) - p;

        key = NULL;

        if (name.len == 8 && ngx_strncmp(p, "endpoint", 8) == 0) {
            key = "endpoint";

        } else if (name.len == 6 && ngx_strncmp(p, "region", 6) == 0) {
            key = "region";
        }

        if (key == NULL) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid replica \"%V\": \"%V\" in its "
                                      "query string, there are \"endpoint\" "
                                      "and \"region\"; all else is said by "
                                      "parameters of \"litestream_replica\"",
                                      &replica->url, &name);
            return NGX_ERROR;
        }

        if (ngx_litestream_replica_key(replica, key)) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid replica \"%V\": \"%s\" in its "
                                      "query string is duplicate",
                                      &replica->url, key);
            return NGX_ERROR;
        }

        ngx_str_set(&value, "");

        if (equal) {

            value.data = ngx_pnalloc(parse->cf->pool, end - equal);
            if (value.data == NULL) {
                return NGX_ERROR;
            }

            dst = value.data;
            src = equal + 1;

            ngx_unescape_uri(&dst, &src, end - src, 0);

            *dst = '\0';
            value.len = dst - value.data;
        }

        reason = (value.len == 0) ? "it is empty" : NULL;

        if (reason == NULL && key[0] == 'e') {
            reason = ngx_litestream_endpoint(parse->cf->pool, &value, &value);
        }

        if (reason == NGX_CONF_ERROR) {
            return NGX_ERROR;
        }

        if (reason) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid replica \"%V\": \"%s\" in its "
                                      "query string: %s", &replica->url, key,
                                      reason);
            return NGX_ERROR;
        }

        if (ngx_litestream_replica_add(replica, key, &value) == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static char *
ngx_litestream_s3_bucket(ngx_str_t *bucket)
{
    size_t  i;
    u_char  ch;

    if (bucket->len == 0) {
        return "the name of the bucket is missing";
    }

    if (ngx_strlchr(bucket->data, bucket->data + bucket->len, ':')) {
        return "it begins with the bucket, where the server is says the "
               "parameter \"endpoint\"";
    }

    if (bucket->len > sizeof(".amazonaws.com") - 1
        && ngx_strncasecmp(bucket->data + bucket->len
                           - (sizeof(".amazonaws.com") - 1),
                           (u_char *) ".amazonaws.com",
                           sizeof(".amazonaws.com") - 1)
           == 0)
    {
        return "it begins with the name of the bucket alone, the parameter "
               "\"region\" says where it is";
    }

    if (bucket->len > 255) {
        return "the name of the bucket is too long";
    }

    for (i = 0; i < bucket->len; i++) {
        ch = bucket->data[i];

        if ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z')
            && (ch < '0' || ch > '9') && ch != '.' && ch != '-' && ch != '_')
        {
            return "the name of a bucket consists of letters, digits, "
                   "\".\", \"-\" and \"_\"";
        }
    }

    return NULL;
}


/* what storages and clients take differently would not be found again */

static char *
ngx_litestream_s3_path(ngx_str_t *path)
{
    size_t  i, n;

    if (path->len == 0) {
        return "its path is empty, it must be s3://BUCKET/PATH";
    }

    n = 0;

    for (i = 0; i <= path->len; i++) {

        if (i < path->len && path->data[i] != '/') {

            if (path->data[i] < 0x20 || path->data[i] == 0x7f) {
                return "it has control characters in it";
            }

            n++;
            continue;
        }

        if (n == 0
            || (n == 1 && path->data[i - 1] == '.')
            || (n == 2 && path->data[i - 1] == '.'
                && path->data[i - 2] == '.'))
        {
            return "its path has an empty part, \".\" or \"..\" in it";
        }

        n = 0;
    }

    if (path->len > 900) {
        return "its path is too long";
    }

    return NULL;
}


/* addresses that Litestream itself takes to be near, for plain HTTP */

static ngx_uint_t
ngx_litestream_s3_local(ngx_str_t *host)
{
    u_char     *p;
    in_addr_t   addr;

    p = ngx_strlchr(host->data, host->data + host->len, ':');

    addr = ngx_inet_addr(host->data,
                         p ? (size_t) (p - host->data) : host->len);

    if (addr != INADDR_NONE) {
        addr = ntohl(addr);

        return (addr >> 24) == 127 || (addr >> 24) == 10
               || (addr >> 16) == 0xc0a8 || (addr >> 20) == 0xac1;
    }

    return host->len >= 9
           && ngx_strncasecmp(host->data, (u_char *) "localhost", 9) == 0
           && (host->len == 9 || host->data[9] == ':');
}


char *
ngx_litestream_endpoint(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *endpoint)
{
    char       *scheme;
    size_t      i;
    u_char     *p;
    ngx_str_t   host;

    host = *text;

    if (host.len > 7 && ngx_strncasecmp(host.data, (u_char *) "http://", 7)
                        == 0)
    {
        scheme = "http://";
        host.data += 7;
        host.len -= 7;

    } else if (host.len > 8
               && ngx_strncasecmp(host.data, (u_char *) "https://", 8) == 0)
    {
        scheme = "https://";
        host.data += 8;
        host.len -= 8;

    } else if (ngx_strlchr(host.data, host.data + host.len, '/')) {
        return "it must be http://HOST[:PORT] or https://HOST[:PORT]";

    } else {
        scheme = ngx_litestream_s3_local(&host) ? "http://" : "https://";
    }

    while (host.len && host.data[host.len - 1] == '/') {
        host.len--;
    }

    if (host.len == 0 || host.data[0] == ':' || host.data[0] == '/') {
        return "it must be http://HOST[:PORT] or https://HOST[:PORT]";
    }

    if (ngx_strlchr(host.data, host.data + host.len, '@')) {
        return "credentials do not belong in it";
    }

    for (i = 0; i < host.len; i++) {

        if (host.data[i] <= 0x20 || host.data[i] >= 0x7f
            || host.data[i] == '?' || host.data[i] == '#')
        {
            return "it must be http://HOST[:PORT] or https://HOST[:PORT]";
        }
    }

    p = ngx_pnalloc(pool, sizeof("https://") + host.len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    endpoint->data = p;
    p = ngx_sprintf(p, "%s%V%Z", scheme, &host);
    endpoint->len = p - 1 - endpoint->data;

    return NULL;
}


/*
 * What nobody has said, the environment says: endpoint and region.  Then the
 * replica has its identity: the endpoint, unless it is Amazon, whose buckets
 * are unique, bucket and path.
 */

ngx_int_t
ngx_litestream_s3_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char                  *reason;
    u_char                *p;
    ngx_str_t             *value, endpoint, id;
    ngx_litestream_key_t  *key, *bucket, *path;

    key = ngx_litestream_replica_key(replica, "access-key-id");

    if ((key == NULL)
        != (ngx_litestream_replica_key(replica, "secret-access-key") == NULL))
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"access_key_id\" and "
                                  "\"secret_access_key\" must be said "
                                  "together");
        return NGX_ERROR;
    }

    if (key && ngx_strncmp(key->value.data, "ASIA", 4) == 0) {

        /* what Amazon's temporary keys begin with; there is no key for it */

        ngx_litestream_said_warn(parse->cf->log, said,
                                 "\"access_key_id\" is a temporary key, with "
                                 "which Litestream sends no session token: set "
                                 "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
                                 "AWS_SESSION_TOKEN by \"litestream_env\" "
                                 "instead");
    }

    ngx_str_null(&endpoint);

    key = ngx_litestream_replica_key(replica, "endpoint");

    if (key) {
        endpoint = key->value;

    } else {
        value = ngx_litestream_vars_get(said->vars,
                                        "LITESTREAM_REPLICA_ENDPOINT",
                                        "LITESTREAM_S3_ENDPOINT");
        if (value) {
            reason = ngx_litestream_endpoint(parse->cf->pool, value,
                                             &endpoint);

            if (reason == NGX_CONF_ERROR) {
                return NGX_ERROR;
            }

            if (reason) {
                ngx_litestream_said_error(parse->cf->log, said, 0,
                                          "invalid endpoint in the variable "
                                          "LITESTREAM_REPLICA_ENDPOINT or "
                                          "LITESTREAM_S3_ENDPOINT: %s",
                                          reason);
                return NGX_ERROR;
            }

            if (ngx_litestream_replica_add(replica, "endpoint", &endpoint)
                == NULL)
            {
                return NGX_ERROR;
            }
        }
    }

    if (ngx_litestream_replica_key(replica, "region") == NULL) {

        value = ngx_litestream_vars_get(said->vars,
                                        "LITESTREAM_REPLICA_REGION",
                                        "AWS_REGION");

        if (value
            && ngx_litestream_replica_add(replica, "region", value) == NULL)
        {
            return NGX_ERROR;
        }
    }

    replica->endpoint = endpoint;

    if (endpoint.len == 0
        && ngx_litestream_s3_amazon(parse->cf->pool, replica) != NGX_OK)
    {
        return NGX_ERROR;
    }

    bucket = ngx_litestream_replica_key(replica, "bucket");
    path = ngx_litestream_replica_key(replica, "path");

    id.len = sizeof("s3:///") + endpoint.len + bucket->value.len + 1
             + path->value.len;

    id.data = ngx_pnalloc(parse->cf->pool, id.len + 1);
    if (id.data == NULL) {
        return NGX_ERROR;
    }

    if (endpoint.len
        && ngx_strlcasestrn(endpoint.data, endpoint.data + endpoint.len,
                            (u_char *) ".amazonaws.com",
                            sizeof(".amazonaws.com") - 2))
    {
        endpoint.len = 0;
    }

    p = ngx_cpymem(id.data, "s3://", sizeof("s3://") - 1);
    ngx_strlow(p, endpoint.data, endpoint.len);

    p += endpoint.len;
    p = ngx_sprintf(p, "/%V/%V%Z", &bucket->value, &path->value);

    replica->id.data = id.data;
    replica->id.len = p - 1 - id.data;

    return NGX_OK;
}


/* for messages: where Litestream goes when nobody says an endpoint */

static ngx_int_t
ngx_litestream_s3_amazon(ngx_pool_t *pool, ngx_litestream_replica_t *replica)
{
    u_char                *p;
    ngx_str_t             *endpoint;
    ngx_litestream_key_t  *region;

    endpoint = &replica->endpoint;
    region = ngx_litestream_replica_key(replica, "region");

    if (region == NULL) {
        ngx_str_set(endpoint, "https://s3.amazonaws.com");
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, sizeof("https://s3..amazonaws.com")
                          + region->value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    endpoint->data = p;
    p = ngx_sprintf(p, "https://s3.%V.amazonaws.com%Z", &region->value);
    endpoint->len = p - 1 - endpoint->data;

    return NGX_OK;
}


ngx_int_t
ngx_litestream_s3_environment(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *file, ngx_str_t *url)
{
    u_char     *p;
    ngx_str_t  *bucket, prefix;

    bucket = ngx_litestream_vars_get(said->vars, "LITESTREAM_REPLICA_BUCKET",
                                     "AWS_BUCKET");
    if (bucket == NULL) {
        return NGX_DECLINED;
    }

    ngx_str_null(&prefix);

    if (parse->level->prefix) {
        prefix = parse->level->prefix->args[1];

        while (prefix.len && prefix.data[prefix.len - 1] == '/') {
            prefix.len--;
        }

        while (prefix.len && prefix.data[0] == '/') {
            prefix.data++;
            prefix.len--;
        }
    }

    p = ngx_pnalloc(parse->cf->pool, sizeof("s3:////") + bucket->len
                                     + prefix.len + file->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->data = p;

    p = ngx_sprintf(p, "s3://%V/%V%s%V%Z", bucket, &prefix,
                    prefix.len ? "/" : "", file);

    url->len = p - 1 - url->data;

    return NGX_OK;
}
