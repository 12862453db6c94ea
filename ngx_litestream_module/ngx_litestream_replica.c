
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


typedef struct {
    ngx_str_t                         said;
    char                             *meant;
} ngx_litestream_slip_t;


static ngx_litestream_scheme_t *ngx_litestream_replica_scheme(
    ngx_litestream_parse_t *parse, ngx_http_litestream_said_t *said,
    ngx_str_t *url);
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
    { ngx_null_string, ngx_null_string, NGX_LITESTREAM_ANY, 0 }
};


static ngx_litestream_scheme_t  ngx_litestream_schemes[] = {

    { ngx_string("file"), ngx_string("file"),
      ngx_litestream_file_params, ngx_litestream_replica_file, NULL },

    { ngx_string("s3"), ngx_string("s3"),
      ngx_litestream_s3_params, ngx_litestream_s3_url,
      ngx_litestream_s3_finish },

    { ngx_string("gs"), ngx_string("gs"),
      ngx_litestream_gs_params, ngx_litestream_gs_url,
      ngx_litestream_gs_finish },

    { ngx_string("abs"), ngx_string("abs"),
      ngx_litestream_abs_params, ngx_litestream_abs_url,
      ngx_litestream_abs_finish },

    { ngx_string("oss"), ngx_string("oss"),
      ngx_litestream_oss_params, ngx_litestream_oss_url,
      ngx_litestream_oss_finish },

    { ngx_string("sftp"), ngx_string("sftp"),
      ngx_litestream_sftp_params, ngx_litestream_sftp_url,
      ngx_litestream_sftp_finish },

    { ngx_string("webdav"), ngx_string("webdav"),
      ngx_litestream_webdav_params, ngx_litestream_webdav_url,
      ngx_litestream_webdav_finish },

    { ngx_string("webdavs"), ngx_string("webdav"),
      ngx_litestream_webdav_params, ngx_litestream_webdav_url,
      ngx_litestream_webdav_finish },

    { ngx_string("nats"), ngx_string("nats"),
      ngx_litestream_nats_params, ngx_litestream_nats_url,
      ngx_litestream_nats_finish },

    { ngx_null_string, ngx_null_string, NULL, NULL, NULL }
};


/* what other tools call them */

static ngx_litestream_slip_t  ngx_litestream_scheme_slips[] = {
    { ngx_string("gcs"), "\"gs\"" },
    { ngx_string("google"), "\"gs\"" },
    { ngx_string("azure"), "\"abs\"" },
    { ngx_string("azblob"), "\"abs\"" },
    { ngx_string("ssh"), "\"sftp\"" },
    { ngx_string("scp"), "\"sftp\"" },
    { ngx_string("aws"), "\"s3\"" },
    { ngx_string("minio"), "\"s3\" with the parameter \"endpoint\"" },
    { ngx_string("r2"), "\"s3\" with the parameter \"endpoint\"" },
    { ngx_string("b2"), "\"s3\" with the parameter \"endpoint\"" },
    { ngx_string("http"), "\"s3\" with the parameter \"endpoint\"" },
    { ngx_string("https"), "\"s3\" with the parameter \"endpoint\"" },
    { ngx_string("dav"), "\"webdav\"" },
    { ngx_string("davs"), "\"webdavs\"" },
    { ngx_string("tls"), "\"nats\" with the parameter \"tls\"" },
    { ngx_null_string, NULL }
};


/*
 * Scheme and parameters of a litestream_replica, so that a mistake in it is
 * told even while no database uses it; ${NAME} in its parameters is replaced,
 * hence once.  NGX_ERROR: it has been logged.
 */

ngx_int_t
ngx_litestream_replica_check(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *replica)
{
    ngx_str_t                 url;
    ngx_litestream_scheme_t  *scheme;

    if (ngx_litestream_expand_arg(parse, replica, &replica->args[1], &url)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    scheme = ngx_litestream_replica_scheme(parse, replica, &url);
    if (scheme == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_replica_public(parse, replica, &replica->args[1]);
    ngx_litestream_replica_literal(parse, replica, scheme);

    if (ngx_litestream_expand(parse, replica, 2) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_litestream_replica_params(parse, replica, scheme, NULL);
}


/*
 * The replica of a database: url, when it is not empty, is literal and was
 * said where the database was, else the litestream_replica counts, else that
 * of the environment.  From the configuration's pool; NULL: refused, it has
 * been logged.
 */

ngx_litestream_replica_t *
ngx_litestream_replica_parse(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_http_litestream_said_t *said, ngx_str_t *url,
    ngx_http_litestream_said_t *replica)
{
    ngx_str_t                 *text, full;
    ngx_litestream_scheme_t   *scheme;
    ngx_litestream_replica_t  *rp;

    if (url->len) {
        text = url;
        replica = NULL;

        ngx_litestream_replica_public(parse, said, url);

    } else if (replica) {
        text = &replica->args[1];
        said = replica;

    } else {

        switch (ngx_litestream_s3_environment(parse, said, &db->name, &full)) {

        case NGX_OK:
            text = NULL;
            break;

        case NGX_DECLINED:
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "no replica for database \"%V\", say "
                                      "\"litestream_replica\" or the "
                                      "\"replica\" parameter, or set "
                                      "LITESTREAM_REPLICA_BUCKET",
                                      &db->alias);
            return NULL;

        default:
            return NULL;
        }
    }

    if (replica && replica->literal) {

        /* of a litestream.yml, whose variables have been replaced */

        full = *text;

        if (db->in
            && ngx_litestream_dir_literal(parse, said, text, &full) != NGX_OK)
        {
            return NULL;
        }

    } else if (text
               && ngx_litestream_replica_url(parse, said, db, text,
                                             replica != NULL, &full)
                  != NGX_OK)
    {
        return NULL;
    }

    scheme = ngx_litestream_replica_scheme(parse, said, &full);
    if (scheme == NULL) {
        return NULL;
    }

    rp = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_replica_t));
    if (rp == NULL) {
        return NULL;
    }

    rp->type = scheme->type;
    rp->url = full;

    rp->keys = ngx_array_create(parse->cf->pool, 2,
                                sizeof(ngx_litestream_key_t));
    if (rp->keys == NULL) {
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

    if (ngx_litestream_base_keys(parse, said, scheme, rp) != NGX_OK) {
        return NULL;
    }

    if (scheme->finish && scheme->finish(parse, said, rp) != NGX_OK) {
        return NULL;
    }

    if (db->in && ngx_litestream_dir_replica(parse, said, db, rp) != NGX_OK) {
        return NULL;
    }

    return rp;
}


static ngx_litestream_scheme_t *
ngx_litestream_replica_scheme(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *url)
{
    u_char                   *p;
    ngx_log_t                *log;
    ngx_str_t                 name;
    ngx_litestream_slip_t    *slip;
    ngx_litestream_scheme_t  *scheme;

    log = parse->cf->log;

    p = ngx_strlchr(url->data, url->data + url->len, ':');

    if (p == NULL || p == url->data) {
        (void) ngx_litestream_replica_invalid(parse, said, url,
                                              "it must be a URL");
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

        return scheme;
    }

    for (slip = ngx_litestream_scheme_slips; slip->said.len; slip++) {

        if (slip->said.len == name.len
            && ngx_strncasecmp(slip->said.data, name.data, name.len) == 0)
        {
            ngx_litestream_said_error(log, said, 0,
                                      "unknown replica scheme \"%V\", did "
                                      "you mean %s?", &name, slip->meant);
            return NULL;
        }
    }

    ngx_litestream_said_error(log, said, 0, "unknown replica scheme \"%V\"",
                              &name);

    return NULL;
}


ngx_str_t *
ngx_litestream_replica_type(ngx_str_t *scheme)
{
    ngx_litestream_scheme_t  *known;

    for (known = ngx_litestream_schemes; known->scheme.len; known++) {

        if (known->scheme.len == scheme->len
            && ngx_strncmp(known->scheme.data, scheme->data, scheme->len) == 0)
        {
            return &known->type;
        }
    }

    return NULL;
}


ngx_int_t
ngx_litestream_replica_invalid(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *url, char *reason)
{
    ngx_str_t  *masked;

    masked = ngx_litestream_url_mask(parse->cf->pool, url);

    if (masked && reason != NGX_CONF_ERROR) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid replica \"%V\", %s", masked,
                                  reason);
    }

    return NGX_ERROR;
}


/*
 * $alias, $file and ${NAME} are replaced, all at once: what comes from a
 * variable is taken as it is, but before "@", where a password may be, it is
 * escaped.  append: without $alias and $file "/ALIAS" is appended to what
 * stands before "?".
 */

static ngx_int_t
ngx_litestream_replica_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_db_t *db,
    ngx_str_t *text, ngx_uint_t append, ngx_str_t *url)
{
    size_t       len;
    u_char      *p, *d, *at, *start, *last;
    ngx_int_t    rc;
    ngx_str_t   *part, value;
    ngx_uint_t   whole;
    ngx_array_t  parts;

    if (ngx_array_init(&parts, parse->cf->temp_pool, 8, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = text->data;
    last = text->data + text->len;
    whole = 0;

    len = db->alias.len + sizeof("///$file");

    at = ngx_litestream_url_at(text);

    while (p < last) {

        start = p;

        if (*p != '$') {

            while (p < last && *p != '$') {
                p++;
            }

            value.data = start;
            value.len = p - start;

        } else if (last - p > 1 && p[1] == '{') {

            p = ngx_strlchr(p, last, '}');
            p = p ? p + 1 : last;

            value.data = start;
            value.len = p - start;

            rc = ngx_litestream_expand_arg(parse, said, &value, &value);
            if (rc != NGX_OK) {
                return rc;
            }

            if (at && start < at
                && ngx_litestream_url_escape(parse->cf->pool, &value)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else if (at && p < at) {

            /* not printed: it is a part of a password */

            return ngx_litestream_replica_invalid(parse, said, text,
                       "\"$\" before \"@\" is written as %24");

        } else {

            value.data = start;
            value.len = ngx_litestream_variable(start, last);

            p += value.len;

            if (p - start == 6 && ngx_strncmp(start, "$alias", 6) == 0) {
                value = db->alias;
                whole = (db->in != NULL);

            } else if (p - start == 5 && ngx_strncmp(start, "$file", 5) == 0) {
                value = db->name;

            } else if (db->in == NULL
                       || !ngx_litestream_dir_variable(db->in, &value))
            {
                text = ngx_litestream_url_mask(parse->cf->pool, text);

                if (text == NULL) {
                    return NGX_ERROR;
                }

                ngx_litestream_said_error(parse->cf->log, said, 0,
                                          "unknown variable \"%*s\" in "
                                          "replica \"%V\", there are $alias "
                                          "and $file, %s${NAME} for those "
                                          "of the environment",
                                          (size_t) (p - start), start, text,
                                          (db->in && db->in->regex)
                                          ? "the named groups of the path of "
                                            "the databases, and " : "and ");
                return NGX_ERROR;
            }

            append = 0;
        }

        part = ngx_array_push(&parts);
        if (part == NULL) {
            return NGX_ERROR;
        }

        *part = value;
        len += value.len;

        if (whole) {

            /* in a directory the aliases are ALIAS/PATH */

            part = ngx_array_push(&parts);
            if (part == NULL) {
                return NGX_ERROR;
            }

            ngx_str_set(part, "/$file");
            len += part->len;
            whole = 0;
        }
    }

    d = ngx_pnalloc(parse->cf->pool, 2 * len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    url->data = d;

    for (part = parts.elts; parts.nelts; part++, parts.nelts--) {
        d = ngx_cpymem(d, part->data, part->len);
    }

    if (append) {

        p = ngx_strlchr(url->data, d, '?');

        value.len = p ? (size_t) (d - p) : 0;
        value.data = url->data + len;

        if (p) {
            ngx_memcpy(value.data, p, value.len);
            d = p;
        }

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

        if (db->in) {
            d = ngx_cpymem(d, "/$file", sizeof("/$file") - 1);
        }

        ngx_memmove(d, value.data, value.len);
        d += value.len;
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
    char        *reason;
    u_char      *p;
    ngx_str_t    path, real, *url;
    ngx_pool_t  *pool;

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

    if (ngx_litestream_replica_add(replica, "path", &real) == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;

invalid:

    return ngx_litestream_replica_invalid(parse, said, url, reason);
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
