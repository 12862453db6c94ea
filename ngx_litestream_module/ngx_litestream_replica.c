
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


typedef struct {
    ngx_str_t                    name;  /* as in nginx.conf */
    ngx_str_t                    key;   /* as in litestream.yml */
    unsigned                     secret:1;
} ngx_litestream_replica_param_t;


typedef ngx_int_t (*ngx_litestream_replica_pt)(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);

typedef struct {
    ngx_str_t                         scheme;
    ngx_str_t                         type;
    ngx_litestream_replica_param_t   *params;
    ngx_litestream_replica_pt         handler;    /* NULL: not yet */
} ngx_litestream_scheme_t;


static ngx_litestream_scheme_t *ngx_litestream_replica_scheme(ngx_log_t *log,
    ngx_http_litestream_said_t *said, ngx_str_t *url);
static ngx_int_t ngx_litestream_replica_params(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_litestream_replica_t *replica);
static ngx_int_t ngx_litestream_replica_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_db_t *db,
    ngx_str_t *text, ngx_uint_t append, ngx_str_t *url);
static ngx_int_t ngx_litestream_replica_file(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
static int ngx_libc_cdecl ngx_litestream_replica_cmp(const void *one,
    const void *two);
static ngx_uint_t ngx_litestream_inside(ngx_str_t *inner, ngx_str_t *outer);


/* a file replica has but its path, which its URL says */

static ngx_litestream_replica_param_t  ngx_litestream_file_params[] = {
    { ngx_null_string, ngx_null_string, 0 }
};


static ngx_litestream_scheme_t  ngx_litestream_schemes[] = {

    { ngx_string("file"), ngx_string("file"),
      ngx_litestream_file_params, ngx_litestream_replica_file },

    { ngx_string("s3"), ngx_string("s3"), NULL, NULL },
    { ngx_string("gs"), ngx_string("gs"), NULL, NULL },
    { ngx_string("abs"), ngx_string("abs"), NULL, NULL },
    { ngx_string("sftp"), ngx_string("sftp"), NULL, NULL },
    { ngx_string("nats"), ngx_string("nats"), NULL, NULL },
    { ngx_string("webdav"), ngx_string("webdav"), NULL, NULL },
    { ngx_string("webdavs"), ngx_string("webdav"), NULL, NULL },
    { ngx_string("oss"), ngx_string("oss"), NULL, NULL },

    { ngx_null_string, ngx_null_string, NULL, NULL }
};


/*
 * Scheme and parameters of a litestream_replica, so that a mistake in it is
 * told even while no database uses it.  NGX_ERROR: it has been logged.
 */

ngx_int_t
ngx_litestream_replica_check(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *replica)
{
    ngx_litestream_scheme_t  *scheme;

    scheme = ngx_litestream_replica_scheme(parse->cf->log, replica,
                                           &replica->args[1]);
    if (scheme == NULL) {
        return NGX_ERROR;
    }

    return ngx_litestream_replica_params(parse, replica, scheme, NULL);
}


/*
 * The replica of a database: url, when it is not empty, is literal and was
 * said where the database was, else the litestream_replica counts, else there
 * is none.  From the configuration's pool; NULL: refused, it has been logged.
 */

ngx_litestream_replica_t *
ngx_litestream_replica_parse(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_http_litestream_said_t *said, ngx_str_t *url,
    ngx_http_litestream_said_t *replica)
{
    ngx_str_t                 *text;
    ngx_litestream_scheme_t   *scheme;
    ngx_litestream_replica_t  *rp;

    if (url->len) {
        text = url;
        replica = NULL;

    } else if (replica) {
        text = &replica->args[1];
        said = replica;

    } else {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "no replica for database \"%V\", say "
                                  "\"litestream_replica\" or the \"replica\" "
                                  "parameter", &db->alias);
        return NULL;
    }

    scheme = ngx_litestream_replica_scheme(parse->cf->log, said, text);
    if (scheme == NULL) {
        return NULL;
    }

    rp = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_replica_t));
    if (rp == NULL) {
        return NULL;
    }

    rp->type = scheme->type;

    rp->keys = ngx_array_create(parse->cf->pool, 2,
                                sizeof(ngx_litestream_key_t));
    if (rp->keys == NULL) {
        return NULL;
    }

    if (ngx_litestream_replica_url(parse, said, db, text, replica != NULL,
                                   &rp->url)
        != NGX_OK)
    {
        return NULL;
    }

    if (scheme->handler(parse, said, rp) != NGX_OK) {
        return NULL;
    }

    if (replica
        && ngx_litestream_replica_params(parse, said, scheme, rp) != NGX_OK)
    {
        return NULL;
    }

    return rp;
}


static ngx_litestream_scheme_t *
ngx_litestream_replica_scheme(ngx_log_t *log, ngx_http_litestream_said_t *said,
    ngx_str_t *url)
{
    u_char                   *p;
    ngx_str_t                 name;
    ngx_litestream_scheme_t  *scheme;

    p = ngx_strlchr(url->data, url->data + url->len, ':');

    if (p == NULL || p == url->data) {
        ngx_litestream_said_error(log, said, 0, "invalid replica \"%V\", "
                                  "it must be a URL", url);
        return NULL;
    }

    name.data = url->data;
    name.len = p - url->data;

    for (scheme = ngx_litestream_schemes; scheme->scheme.len; scheme++) {

        if (scheme->scheme.len != name.len
            || ngx_strncmp(scheme->scheme.data, name.data, name.len) != 0)
        {
            continue;
        }

        if (scheme->handler == NULL) {
            ngx_litestream_said_error(log, said, 0,
                                      "replica type \"%V\" is not supported "
                                      "by this version", &scheme->type);
            return NULL;
        }

        return scheme;
    }

    ngx_litestream_said_error(log, said, 0, "unknown replica scheme \"%V\"",
                              &name);

    return NULL;
}


/* replica: where they go, or NULL: they are checked, secrets remembered */

static ngx_int_t
ngx_litestream_replica_params(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_litestream_replica_t *replica)
{
    u_char                          *p;
    ngx_str_t                       *arg, *secret;
    ngx_uint_t                       i, n;
    ngx_litestream_key_t            *key;
    ngx_litestream_replica_param_t  *param;

    for (i = 2; i < said->nargs; i++) {

        arg = &said->args[i];

        p = ngx_strlchr(arg->data, arg->data + arg->len, '=');
        if (p == NULL || p + 1 == arg->data + arg->len) {
            goto invalid;
        }

        for (param = scheme->params; param->name.len; param++) {

            if (param->name.len == (size_t) (p - arg->data)
                && ngx_strncmp(param->name.data, arg->data, param->name.len)
                   == 0)
            {
                break;
            }
        }

        if (param->name.len == 0) {
            goto invalid;
        }

        for (n = 2; n < i; n++) {

            if (said->args[n].len > param->name.len
                && said->args[n].data[param->name.len] == '='
                && ngx_strncmp(said->args[n].data, param->name.data,
                               param->name.len)
                   == 0)
            {
                ngx_litestream_said_error(parse->cf->log, said, 0,
                                          "parameter \"%V\" is duplicate",
                                          &param->name);
                return NGX_ERROR;
            }
        }

        if (replica) {
            key = ngx_array_push(replica->keys);
            if (key == NULL) {
                return NGX_ERROR;
            }

            key->key = param->key;
            key->value.data = p + 1;
            key->value.len = arg->data + arg->len - (p + 1);
            key->secret = param->secret;

            continue;
        }

        if (param->secret) {
            secret = ngx_array_push(&parse->lcf->secrets);
            if (secret == NULL) {
                return NGX_ERROR;
            }

            secret->data = p + 1;
            secret->len = arg->data + arg->len - (p + 1);
        }
    }

    return NGX_OK;

invalid:

    p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

    if (p == NULL) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid parameter \"%V\"", arg);
        return NGX_ERROR;
    }

    /* the value may be a secret */

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "invalid parameter \"%*s\" of replica type "
                              "\"%V\"", (size_t) (p - arg->data), arg->data,
                              &scheme->type);

    return NGX_ERROR;
}


/* $alias and $file are replaced; append: else "/ALIAS" is appended */

static ngx_int_t
ngx_litestream_replica_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_db_t *db,
    ngx_str_t *text, ngx_uint_t append, ngx_str_t *url)
{
    size_t       len;
    u_char      *p, *d, *start, *last;
    ngx_str_t   *value;
    ngx_uint_t   n;

    n = 1;

    for (p = text->data; p < text->data + text->len; p++) {
        if (*p == '$') {
            n++;
        }
    }

    len = text->len + n * (db->alias.len + db->name.len)
          + sizeof("//");

    d = ngx_pnalloc(parse->cf->pool, len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    url->data = d;

    p = text->data;
    last = text->data + text->len;

    while (p < last) {

        if (*p != '$') {
            *d++ = *p++;
            continue;
        }

        start = p++;

        while (p < last
               && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
                   || (*p >= '0' && *p <= '9') || *p == '_'))
        {
            p++;
        }

        if (p - start == 6 && ngx_strncmp(start, "$alias", 6) == 0) {
            value = &db->alias;

        } else if (p - start == 5 && ngx_strncmp(start, "$file", 5) == 0) {
            value = &db->name;

        } else {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "unknown variable \"%*s\" in replica "
                                      "\"%V\", there are $alias and $file",
                                      (size_t) (p - start), start, text);
            return NGX_ERROR;
        }

        d = ngx_cpymem(d, value->data, value->len);
        append = 0;
    }

    if (append) {
        while (d > url->data && d[-1] == '/') {
            d--;
        }

        /* "file://" has become "file:", its path is empty */

        if (d > url->data && d[-1] == ':') {
            *d++ = '/';
            *d++ = '/';
        }

        *d++ = '/';
        d = ngx_cpymem(d, db->alias.data, db->alias.len);
    }

    url->len = d - url->data;

    /* jobs print it */
    *d = '\0';

    return NGX_OK;
}


/* file:///absolute/path */

static ngx_int_t
ngx_litestream_replica_file(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica)
{
    char                   *reason;
    u_char                 *p;
    ngx_str_t               path, real, *url;
    ngx_pool_t             *pool;
    ngx_litestream_key_t   *key;

    url = &replica->url;
    pool = parse->cf->pool;

    if (url->len < sizeof("file:///") - 1
        || ngx_strncmp(url->data, "file:///", sizeof("file:///") - 1) != 0)
    {
        reason = "it must be file:///absolute/path";
        goto invalid;
    }

    if (ngx_strlchr(url->data, url->data + url->len, '?')) {
        reason = "a file replica has no query string";
        goto invalid;
    }

    path.data = url->data + sizeof("file://") - 1;
    path.len = url->len - (sizeof("file://") - 1);

    if (!ngx_litestream_path_valid(&path)) {
        reason = "it has control characters in it";
        goto invalid;
    }

    if (ngx_litestream_real_path(pool, &path, &real) != NGX_OK) {
        ngx_litestream_said_error(parse->cf->log, said, ngx_errno,
                                  "invalid replica \"%V\"", url);
        return NGX_ERROR;
    }

    if (real.len == 1) {
        reason = "its path is empty";
        goto invalid;
    }

    replica->path = real;

    replica->id.len = sizeof("file://") - 1 + real.len;
    replica->id.data = ngx_pnalloc(pool, replica->id.len + 1);
    if (replica->id.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(replica->id.data, "file://", sizeof("file://") - 1);
    ngx_cpystrn(p, real.data, real.len + 1);

    key = ngx_array_push(replica->keys);
    if (key == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&key->key, "path");
    key->value = real;
    key->secret = 0;

    return NGX_OK;

invalid:

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "invalid replica \"%V\", %s", url, reason);

    return NGX_ERROR;
}


/*
 * Two databases with one replica, or with one inside the other, destroy each
 * other's backup; so does a replica where Litestream keeps its own files.  A
 * database that is not replicated only reads: its replica may be another's.
 * NGX_ERROR: it has been logged.  At configuration time, does not block.
 */

ngx_int_t
ngx_litestream_replicas_check(ngx_litestream_parse_t *parse)
{
    u_char                      *p;
    ngx_str_t                    meta;
    ngx_uint_t                   i, j, n;
    ngx_litestream_db_t         *db, *one, *two, **dbs, **sorted;
    ngx_litestream_conf_t       *lcf;
    ngx_http_litestream_said_t   said;

    ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));

    lcf = parse->lcf;
    dbs = lcf->dbs.elts;

    for (i = 0; i < lcf->dbs.nelts; i++) {
        db = dbs[i];

        meta.data = ngx_pnalloc(parse->cf->temp_pool,
                                db->path.len + sizeof("/.-litestream"));
        if (meta.data == NULL) {
            return NGX_ERROR;
        }

        p = ngx_sprintf(meta.data, "%*s.%V-litestream",
                        db->path.len - db->name.len, db->path.data,
                        &db->name);
        meta.len = p - meta.data;

        for (j = 0; j < lcf->dbs.nelts; j++) {
            one = dbs[j];

            said.file = one->file;
            said.line = one->line;

            if (ngx_litestream_inside(&one->replica->path, &db->path)) {
                ngx_litestream_said_error(parse->cf->log, &said, 0,
                                          "replica \"%V\" of database "
                                          "\"%V\" is the file of database "
                                          "\"%V\" itself",
                                          &one->replica->url, &one->alias,
                                          &db->alias);
                return NGX_ERROR;
            }

            if (ngx_litestream_inside(&one->replica->path, &meta)) {
                ngx_litestream_said_error(parse->cf->log, &said, 0,
                                          "replica \"%V\" of database "
                                          "\"%V\" is inside \"%V\", where "
                                          "Litestream keeps its own files",
                                          &one->replica->url, &one->alias,
                                          &meta);
                return NGX_ERROR;
            }
        }
    }

    if (lcf->dbs.nelts < 2) {
        return NGX_OK;
    }

    sorted = ngx_palloc(parse->cf->temp_pool,
                        lcf->dbs.nelts * sizeof(ngx_litestream_db_t *));
    if (sorted == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (i = 0; i < lcf->dbs.nelts; i++) {
        if (dbs[i]->replicate) {
            sorted[n++] = dbs[i];
        }
    }

    qsort(sorted, n, sizeof(ngx_litestream_db_t *),
          ngx_litestream_replica_cmp);

    /* what is inside a replica comes right after it */

    for (i = 1; i < n; i++) {

        if (!ngx_litestream_inside(&sorted[i]->replica->id,
                                   &sorted[i - 1]->replica->id))
        {
            continue;
        }

        one = sorted[i - 1];
        two = sorted[i];

        db = one->index > two->index ? one : two;

        said.file = db->file;
        said.line = db->line;

        if (one->replica->id.len == two->replica->id.len) {
            ngx_litestream_said_error(parse->cf->log, &said, 0,
                                      "replica \"%V\" of database \"%V\" is "
                                      "duplicate, it is that of database "
                                      "\"%V\" (%s:%ui): they would destroy "
                                      "each other's backup",
                                      &two->replica->url, &two->alias,
                                      &one->alias, one->file, one->line);

        } else {
            ngx_litestream_said_error(parse->cf->log, &said, 0,
                                      "replica \"%V\" of database \"%V\" is "
                                      "inside replica \"%V\" of database "
                                      "\"%V\", they would destroy each "
                                      "other's backup",
                                      &two->replica->url, &two->alias,
                                      &one->replica->url, &one->alias);
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the order of strings as if each of them ended with "/" */

static int ngx_libc_cdecl
ngx_litestream_replica_cmp(const void *one, const void *two)
{
    int                   rc;
    ngx_str_t            *a, *b;
    ngx_litestream_db_t  *first, *second;

    first = *(ngx_litestream_db_t **) one;
    second = *(ngx_litestream_db_t **) two;

    a = &first->replica->id;
    b = &second->replica->id;

    rc = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));

    if (rc) {
        return rc;
    }

    if (a->len < b->len) {
        rc = '/' - b->data[a->len];
        return rc ? rc : -1;
    }

    if (a->len > b->len) {
        rc = a->data[b->len] - '/';
        return rc ? rc : 1;
    }

    return (first->index > second->index) - (first->index < second->index);
}


static ngx_uint_t
ngx_litestream_inside(ngx_str_t *inner, ngx_str_t *outer)
{
    return inner->len >= outer->len
           && ngx_memcmp(inner->data, outer->data, outer->len) == 0
           && (inner->len == outer->len || inner->data[outer->len] == '/');
}
