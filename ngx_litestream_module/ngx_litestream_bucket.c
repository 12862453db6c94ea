
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Replicas of types gs, abs and oss, which are buckets (containers) with a
 * path in them.  handler: the URL; finish: what the parameters leave out.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_litestream_bucket_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    ngx_litestream_url_t *url, char *form);
static ngx_int_t ngx_litestream_bucket_add(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    ngx_str_t *raw, ngx_str_t *bucket, ngx_str_t *path);
static ngx_int_t ngx_litestream_bucket_id(ngx_pool_t *pool,
    ngx_litestream_replica_t *replica, char *scheme, ngx_str_t *server);
static ngx_int_t ngx_litestream_bucket_endpoint(ngx_pool_t *pool,
    ngx_litestream_replica_t *replica, char *before, ngx_str_t *name,
    char *after);


/* credentials and endpoint are in the environment */

ngx_litestream_replica_param_t  ngx_litestream_gs_params[] = {
    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


ngx_litestream_replica_param_t  ngx_litestream_abs_params[] = {

    { ngx_string("account_name"), ngx_string("account-name"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("account_key"), ngx_string("account-key"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("sas_token"), ngx_string("sas-token"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("endpoint"), ngx_string("endpoint"),
      NGX_LITESTREAM_ENDPOINT, 0 },

    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


ngx_litestream_replica_param_t  ngx_litestream_oss_params[] = {

    { ngx_string("endpoint"), ngx_string("endpoint"),
      NGX_LITESTREAM_ENDPOINT, 0 },

    { ngx_string("region"), ngx_string("region"),
      NGX_LITESTREAM_ANY, 0 },

    { ngx_string("access_key_id"), ngx_string("access-key-id"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_MASKED },

    { ngx_string("secret_access_key"), ngx_string("secret-access-key"),
      NGX_LITESTREAM_ANY, NGX_LITESTREAM_PRIVATE },

    { ngx_string("part_size"), ngx_string("part-size"),
      NGX_LITESTREAM_SIZE, 0 },

    { ngx_string("concurrency"), ngx_string("concurrency"),
      NGX_LITESTREAM_NUMBER, 0 },

    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


/* gs://BUCKET/PATH */

ngx_int_t
ngx_litestream_gs_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    ngx_str_t              raw;
    ngx_litestream_url_t   url;

    raw = replica->url;

    if (ngx_litestream_bucket_url(parse, said, replica, &url,
                                  "gs://BUCKET/PATH")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (url.user.data) {
        return ngx_litestream_replica_invalid(parse, said, &raw,
                   "credentials do not belong in a gs URL, set "
                   "GOOGLE_APPLICATION_CREDENTIALS by \"litestream_env\"");
    }

    return ngx_litestream_bucket_add(parse, said, replica, &raw, &url.host,
                                     &url.path);
}


ngx_int_t
ngx_litestream_gs_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char        *scheme;
    ngx_str_t   *value, server;
    ngx_pool_t  *pool;

    pool = parse->cf->pool;

    ngx_str_null(&server);

    value = ngx_litestream_vars_get(said->vars, "STORAGE_EMULATOR_HOST",
                                    "STORAGE_EMULATOR_HOST");

    if (value == NULL) {
        ngx_str_set(&replica->endpoint, "https://storage.googleapis.com");

    } else {
        server = *value;
        scheme = ngx_strstr(server.data, "://") ? "" : "http://";

        if (ngx_litestream_bucket_endpoint(pool, replica, scheme, &server, "")
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_litestream_bucket_id(pool, replica, "gs", &server);
}


/* abs://[ACCOUNT@]CONTAINER/PATH */

ngx_int_t
ngx_litestream_abs_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    ngx_str_t              raw;
    ngx_litestream_url_t   url;

    raw = replica->url;

    if (ngx_litestream_bucket_url(parse, said, replica, &url,
                                  "abs://ACCOUNT@CONTAINER/PATH")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (url.password.data) {
        return ngx_litestream_replica_invalid(parse, said, &raw,
                   "a key does not belong in an abs URL, say \"account_key\" "
                   "or LITESTREAM_AZURE_ACCOUNT_KEY");
    }

    if (url.user.data && url.user.len == 0) {
        return ngx_litestream_replica_invalid(parse, said, &raw,
                                              "the account before \"@\" is "
                                              "missing");
    }

    if (url.user.len
        && ngx_litestream_replica_add(replica, "account-name", &url.user)
           == NULL)
    {
        return NGX_ERROR;
    }

    return ngx_litestream_bucket_add(parse, said, replica, &raw, &url.host,
                                     &url.path);
}


ngx_int_t
ngx_litestream_abs_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    ngx_pool_t            *pool;
    ngx_litestream_key_t  *account, *endpoint;

    pool = parse->cf->pool;

    account = ngx_litestream_replica_key(replica, "account-name");
    endpoint = ngx_litestream_replica_key(replica, "endpoint");

    if (account == NULL
        && (endpoint == NULL
            || ngx_litestream_replica_key(replica, "account-key")))
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "replica \"%V\" has no account, say "
                                  "abs://ACCOUNT@CONTAINER/PATH or the "
                                  "parameter \"account_name\"",
                                  &replica->url);
        return NGX_ERROR;
    }

    if (ngx_litestream_replica_key(replica, "account-key")
        && ngx_litestream_replica_key(replica, "sas-token"))
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "replica \"%V\" has both \"account_key\" "
                                  "and \"sas_token\", and only one of them "
                                  "counts", &replica->url);
        return NGX_ERROR;
    }

    if (endpoint) {
        replica->endpoint = endpoint->value;

    } else if (ngx_litestream_bucket_endpoint(pool, replica, "https://",
                                              &account->value,
                                              ".blob.core.windows.net")
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_litestream_bucket_id(pool, replica, "abs",
                                    endpoint ? &endpoint->value
                                             : &account->value);
}


/* oss://BUCKET/PATH, oss://BUCKET.oss-REGION.aliyuncs.com/PATH */

ngx_int_t
ngx_litestream_oss_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    size_t                 len;
    u_char                *p, *dot;
    ngx_str_t              raw, bucket, region;
    ngx_litestream_url_t   url;

    static u_char  internal[] = "-internal";
    static u_char  domain[] = ".aliyuncs.com";

    raw = replica->url;

    if (ngx_litestream_bucket_url(parse, said, replica, &url,
                                  "oss://BUCKET/PATH")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (url.user.data) {
        return ngx_litestream_replica_invalid(parse, said, &raw,
                   "credentials do not belong in an oss URL, say "
                   "\"access_key_id\" and \"secret_access_key\"");
    }

    bucket = url.host;
    len = sizeof(domain) - 1;
    dot = ngx_strlchr(bucket.data, bucket.data + bucket.len, '.');

    if (dot && bucket.len > len + 5 && ngx_strncmp(dot, ".oss-", 5) == 0
        && ngx_memcmp(bucket.data + bucket.len - len, domain, len) == 0)
    {
        region.data = dot + 5;
        region.len = bucket.data + bucket.len - len - region.data;

        bucket.len = dot - bucket.data;

        /* of the same region; as in Litestream the name of the host goes */

        len = sizeof(internal) - 1;
        p = region.data + region.len;

        if (region.len > len && ngx_memcmp(p - len, internal, len) == 0) {
            region.len -= len;
        }

        if (region.len
            && ngx_litestream_replica_add(replica, "region", &region) == NULL)
        {
            return NGX_ERROR;
        }
    }

    return ngx_litestream_bucket_add(parse, said, replica, &raw, &bucket,
                                     &url.path);
}


ngx_int_t
ngx_litestream_oss_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    ngx_str_t              server, name;
    ngx_pool_t            *pool;
    ngx_litestream_key_t  *key;

    pool = parse->cf->pool;

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

    ngx_str_null(&server);

    key = ngx_litestream_replica_key(replica, "endpoint");

    if (key) {
        replica->endpoint = key->value;

        /* the names of Alibaba's own buckets are unique */

        if (ngx_strstr(key->value.data, ".aliyuncs.com") == NULL) {
            server = key->value;
        }

    } else {

        /* Litestream's own default */

        ngx_str_set(&name, "cn-hangzhou");

        key = ngx_litestream_replica_key(replica, "region");

        if (ngx_litestream_bucket_endpoint(pool, replica, "https://oss-",
                                           key ? &key->value : &name,
                                           ".aliyuncs.com")
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_litestream_bucket_id(pool, replica, "oss", &server);
}


/* what they have in common */

static ngx_int_t
ngx_litestream_bucket_url(ngx_litestream_parse_t *parse,
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

    if (url->hosts > 1
        || ngx_strlchr(url->host.data, url->host.data + url->host.len, ':')
        || url->host.len > 255)
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid replica, it must be %s", form);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_bucket_add(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica,
    ngx_str_t *raw, ngx_str_t *bucket, ngx_str_t *path)
{
    char       *reason;
    ngx_str_t   key;

    reason = ngx_litestream_url_path(parse->cf->pool, path, &key);

    if (reason) {
        return ngx_litestream_replica_invalid(parse, said, raw, reason);
    }

    if (ngx_litestream_replica_add(replica, "bucket", bucket) == NULL
        || ngx_litestream_replica_add(replica, "path", &key) == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* server: empty where the names of buckets are unique */

static ngx_int_t
ngx_litestream_bucket_id(ngx_pool_t *pool, ngx_litestream_replica_t *replica,
    char *scheme, ngx_str_t *server)
{
    u_char                *p;
    ngx_litestream_key_t  *bucket, *path;

    bucket = ngx_litestream_replica_key(replica, "bucket");
    path = ngx_litestream_replica_key(replica, "path");

    p = ngx_pnalloc(pool, ngx_strlen(scheme) + sizeof(":////") + server->len
                          + bucket->value.len + path->value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    replica->id.data = p;

    p = ngx_sprintf(p, "%s://%V/%V/%V%Z", scheme, server, &bucket->value,
                    &path->value);

    replica->id.len = p - 1 - replica->id.data;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_bucket_endpoint(ngx_pool_t *pool,
    ngx_litestream_replica_t *replica, char *before, ngx_str_t *name,
    char *after)
{
    u_char  *p;

    p = ngx_pnalloc(pool, ngx_strlen(before) + name->len + ngx_strlen(after)
                          + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    replica->endpoint.data = p;

    p = ngx_sprintf(p, "%s%V%s%Z", before, name, after);

    replica->endpoint.len = p - 1 - replica->endpoint.data;

    return NGX_OK;
}
