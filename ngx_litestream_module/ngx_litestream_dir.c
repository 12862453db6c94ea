
/*
 * Copyright (C) the ngx_litestream authors
 */


/* directories of databases, while the configuration is read */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static ngx_int_t ngx_litestream_dir_regex(ngx_litestream_db_ctx_t *ctx,
    ngx_litestream_dir_t *dir, ngx_str_t *root);
static char *ngx_litestream_dir_prefix(ngx_pool_t *pool, ngx_str_t *regex,
    ngx_str_t *root);
static ngx_int_t ngx_litestream_dir_names(ngx_litestream_db_ctx_t *ctx,
    ngx_litestream_dir_t *dir, ngx_regex_compile_t *rc);
static ngx_int_t ngx_litestream_dir_id(ngx_litestream_db_ctx_t *ctx,
    ngx_str_t *real);
static ngx_uint_t ngx_litestream_dir_vars(ngx_litestream_dir_t *dir,
    ngx_str_t *text, ngx_str_t *first);


static ngx_str_t  ngx_litestream_dir_file = ngx_string("$file");

/*
 * Names are made up by others, and the supervisor compares them, too: some ms
 * at most for each, whatever the regular expression
 */

static ngx_str_t  ngx_litestream_dir_limit =
    ngx_string("(*LIMIT_MATCH=200000)");


ngx_uint_t
ngx_litestream_dir_named(ngx_str_t *path)
{
    return path->len && (path->data[0] == '~'
                         || ngx_strlchr(path->data, path->data + path->len,
                                        '*'));
}


/* the path as a text, the file system is not asked */

ngx_int_t
ngx_litestream_dir_path(ngx_litestream_db_ctx_t *ctx)
{
    char                  *reason;
    ngx_str_t             *path, root;
    ngx_litestream_dir_t  *dir;

    path = &ctx->path;

    dir = ngx_pcalloc(ctx->parse->cf->pool, sizeof(ngx_litestream_dir_t));
    if (dir == NULL) {
        return NGX_ERROR;
    }

    if (ctx->parse->lcf->dirs.nelts == NGX_LITESTREAM_MAX_DIRS) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "too many directories of databases, the "
                                  "limit is %d", NGX_LITESTREAM_MAX_DIRS);
        return NGX_ERROR;
    }

    dir->db = ctx->db;
    dir->index = ctx->parse->lcf->dirs.nelts;

    ctx->db->in = dir;
    ctx->db->index = dir->index;

    /* what stands for it until there are files */

    ctx->db->name = ngx_litestream_dir_file;

    if (path->data[0] == '~') {

        if (ngx_litestream_dir_regex(ctx, dir, &root) != NGX_OK) {
            return NGX_ERROR;
        }

        dir->root = root;

        return NGX_OK;
    }

    if (path->data[0] != '/') {
        reason = "must be absolute";
        goto invalid;
    }

    if (!ngx_litestream_path_valid(path)) {
        reason = "has control characters in it";
        goto invalid;
    }

    reason = ngx_litestream_pattern_parse(&dir->pattern, path, &root);
    if (reason) {
        goto invalid;
    }

    dir->root = root;

    return NGX_OK;

invalid:

    ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                              "path \"%V\" of database \"%V\" %s",
                              path, &ctx->db->alias, reason);

    return NGX_ERROR;
}


static ngx_int_t
ngx_litestream_dir_regex(ngx_litestream_db_ctx_t *ctx,
    ngx_litestream_dir_t *dir, ngx_str_t *root)
{
    char                 *reason;
    u_char                errstr[NGX_MAX_CONF_ERRSTR];
    ngx_str_t             regex, limited;
    ngx_pool_t           *pool;
    ngx_regex_compile_t   rc;

    pool = ctx->parse->cf->pool;

    regex.data = ctx->path.data + 1;
    regex.len = ctx->path.len - 1;

    reason = ngx_litestream_dir_prefix(pool, &regex, root);

    if (reason) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" %s",
                                  &ctx->path, &ctx->db->alias, reason);
        return NGX_ERROR;
    }

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    rc.pattern = regex;
    rc.pool = pool;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    if (ngx_regex_compile(&rc) != NGX_OK) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "path of database \"%V\": %V",
                                  &ctx->db->alias, &rc.err);
        return NGX_ERROR;
    }

    /* first as it is, since messages have it in them */

    limited.len = ngx_litestream_dir_limit.len + regex.len;
    limited.data = ngx_pnalloc(pool, limited.len + 1);
    if (limited.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(limited.data, "%V%V%Z", &ngx_litestream_dir_limit,
                       &regex);

    rc.pattern = limited;

    if (ngx_regex_compile(&rc) != NGX_OK) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "path of database \"%V\": %V",
                                  &ctx->db->alias, &rc.err);
        return NGX_ERROR;
    }

    dir->regex = rc.regex;
    dir->captures = (rc.captures + 1) * 3;

    return ngx_litestream_dir_names(ctx, dir, &rc);
}


/*
 * The directory that a regular expression begins with: below it files are
 * looked for.  NULL, or what is wrong.
 */

static char *
ngx_litestream_dir_prefix(ngx_pool_t *pool, ngx_str_t *regex, ngx_str_t *root)
{
    u_char      *p, *last, *d;
    ngx_uint_t   depth;

    p = regex->data;
    last = regex->data + regex->len;

    if (regex->len < 2 || p[0] != '^' || p[1] != '/') {
        return "must begin with \"~^/\", and a directory";
    }

    /* another path could begin anywhere else */

    depth = 0;

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '\\':
            p++;
            break;

        case '[':

            if (p + 1 < last && p[1] == '^') {
                p++;
            }

            if (p + 1 < last && p[1] == ']') {
                p++;
            }

            for (p++; p < last && *p != ']'; p++) {
                if (*p == '\\') {
                    p++;
                }
            }

            break;

        case '(':
            depth++;
            break;

        case ')':
            depth -= (depth > 0);
            break;

        case '|':

            if (depth == 0) {
                return "has a \"|\" that is not inside of parentheses";
            }
        }
    }

    d = ngx_pnalloc(pool, regex->len + 1);
    if (d == NULL) {
        return "cannot be taken, no memory";
    }

    root->data = d;

    for (p = regex->data + 1; p < last; p++) {

        if (*p == '\\') {

            if (p + 1 == last
                || (p[1] >= 'a' && p[1] <= 'z') || (p[1] >= 'A' && p[1] <= 'Z')
                || (p[1] >= '0' && p[1] <= '9'))
            {
                break;
            }

            p++;

        } else if (ngx_strlchr((u_char *) ".[](){}*+?|^$",
                               (u_char *) ".[](){}*+?|^$" + 13, *p))
        {
            break;
        }

        *d++ = *p;
    }

    /* one that may be there several times, or not */

    if (p < last && (*p == '?' || *p == '*' || *p == '+' || *p == '{')) {
        d--;
    }

    while (d > root->data && d[-1] != '/') {
        d--;
    }

    while (d > root->data && d[-1] == '/') {
        d--;
    }

    *d = '\0';
    root->len = d - root->data;

    if (root->len == 0 || !ngx_litestream_path_valid(root)) {
        return "must begin with \"~^/\", and a directory";
    }

    return NULL;
}


static ngx_int_t
ngx_litestream_dir_names(ngx_litestream_db_ctx_t *ctx,
    ngx_litestream_dir_t *dir, ngx_regex_compile_t *rc)
{
    int                      n;
    u_char                  *p;
    ngx_pool_t              *pool;
    ngx_litestream_named_t  *named;

    pool = ctx->parse->cf->pool;

    if (ngx_array_init(&dir->names, pool, ngx_max(rc->named_captures, 1),
                       sizeof(ngx_litestream_named_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = rc->names;

    for (n = 0; n < rc->named_captures; n++, p += rc->name_size) {

        named = ngx_array_push(&dir->names);
        if (named == NULL) {
            return NGX_ERROR;
        }

        ngx_str_null(&named->value);

        named->n = 2 * ((p[0] << 8) + p[1]);

        named->name.len = ngx_strlen(&p[2]);
        named->name.data = ngx_pnalloc(pool, named->name.len + 1);
        if (named->name.data == NULL) {
            return NGX_ERROR;
        }

        ngx_cpystrn(named->name.data, &p[2], named->name.len + 1);

        /* what these mean is the same for all databases */

        if (ngx_strcmp(named->name.data, "file") == 0
            || ngx_strcmp(named->name.data, "alias") == 0)
        {
            ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                      "path \"%V\" of database \"%V\" has a "
                                      "group of the name \"%V\", but $%V in "
                                      "replicas is something else, rename it",
                                      &ctx->path, &ctx->db->alias,
                                      &named->name, &named->name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* what the root leads to, and who may look there */

ngx_int_t
ngx_litestream_dir_files(ngx_litestream_db_ctx_t *ctx)
{
    ngx_log_t             *log;
    ngx_str_t              real, path, refuses;
    ngx_pool_t            *pool;
    ngx_file_info_t        di, fi;
    ngx_litestream_db_t   *db;
    ngx_litestream_dir_t  *dir;

    db = ctx->db;
    dir = db->in;
    log = ctx->parse->cf->log;
    pool = ctx->parse->cf->pool;

    if (ngx_litestream_real_path(pool, &dir->root, &real) != NGX_OK) {
        ngx_litestream_said_error(log, ctx->said, ngx_errno,
                                  "path \"%V\" of database \"%V\" "
                                  "cannot be resolved",
                                  &ctx->path, &db->alias);
        return NGX_ERROR;
    }

    if (!ngx_litestream_path_uri(real.data, real.len)) {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "directory \"%V\" of database \"%V\" has "
                                  "\"?\", \"#\" or \"%%\" in it, which "
                                  "Litestream does not open", &real,
                                  &db->alias);
        return NGX_ERROR;
    }

    if (real.len == 1) {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" has all of "
                                  "the file system below its directory",
                                  &ctx->path, &db->alias);
        return NGX_ERROR;
    }

    /* of a regular expression the files' paths are compared as they are */

    if (dir->regex
        && (real.len != dir->root.len
            || ngx_memcmp(real.data, dir->root.data, real.len) != 0))
    {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" begins with "
                                  "\"%V\", which is \"%V\"", &ctx->path,
                                  &db->alias, &dir->root, &real);
        return NGX_ERROR;
    }

    dir->root = real;
    db->dir = real;

    if (ngx_litestream_dir_id(ctx, &real) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_file_info(real.data, &di) == NGX_FILE_ERROR) {

        if (ngx_errno == NGX_ENOENT) {
            return ngx_litestream_db_missing(ctx);
        }

        if (ngx_errno != NGX_EACCES || geteuid() == 0) {
            ngx_litestream_said_error(log, ctx->said, ngx_errno,
                                      "directory \"%V\" of database \"%V\" "
                                      "cannot be used, stat() failed",
                                      &real, &db->alias);
            return NGX_ERROR;
        }

        ngx_memzero(&di, sizeof(ngx_file_info_t));

    } else if (!ngx_is_dir(&di)) {
        ngx_litestream_said_error(log, ctx->said, 0,
                                  "\"%V\" of database \"%V\" "
                                  "is not a directory", &real, &db->alias);
        return NGX_ERROR;
    }

    if (ngx_litestream_db_user(ctx, &di, &real) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a name in it: it has to be passed itself as well */

    path.len = real.len + 2;
    path.data = ngx_pnalloc(pool, path.len + 1);
    if (path.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(path.data, "%V/x%Z", &real);

    if (ngx_litestream_may_search(ctx->user, &path, &refuses, &fi)) {

        if (ngx_litestream_may(ctx->user, real.data, &di,
                               NGX_LITESTREAM_READ|NGX_LITESTREAM_SEARCH))
        {
            return NGX_OK;
        }

        refuses = real;
        fi = di;
    }

    ngx_litestream_said_error(log, ctx->said, 0,
                              "database \"%V\" cannot be used by user \"%V\" "
                              "(uid %ui, gid %ui): permission denied, "
                              "\"%V\" is not readable for it "
                              "(mode %04ui, uid %ui, gid %ui)",
                              &db->alias, &ctx->user->user,
                              (ngx_uint_t) ctx->user->uid,
                              (ngx_uint_t) ctx->user->gid, &refuses,
                              ngx_litestream_octal(fi.st_mode),
                              (ngx_uint_t) fi.st_uid, (ngx_uint_t) fi.st_gid);

    return NGX_ERROR;
}


/* its path for people, and what tells it from others */

static ngx_int_t
ngx_litestream_dir_id(ngx_litestream_db_ctx_t *ctx, ngx_str_t *real)
{
    u_char                *p;
    ngx_int_t              rc;
    ngx_str_t              text;
    ngx_litestream_db_t   *db, *old;
    ngx_litestream_dir_t  *dir;

    db = ctx->db;
    dir = db->in;

    text.data = ngx_pnalloc(ctx->parse->cf->pool,
                            db->alias.len + 1 + real->len + 1
                            + ctx->path.len + 1);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(text.data, "%V:", &db->alias);

    db->path.data = p;

    p = dir->regex ? ngx_sprintf(p, "%V%Z", &ctx->path)
                   : ngx_sprintf(p, "%V/%V%Z", real, &dir->pattern.text);

    db->path.len = p - 1 - db->path.data;
    text.len = p - 1 - text.data;

    dir->id = ngx_litestream_id(&text);
    db->id = dir->id;

    rc = ngx_litestream_db_add(ctx->parse, &ctx->parse->files, &db->path, db,
                               &old);

    if (rc == NGX_DECLINED) {
        ngx_litestream_said_error(ctx->parse->cf->log, ctx->said, 0,
                                  "path \"%V\" of database \"%V\" is "
                                  "duplicate, it is that of database \"%V\" "
                                  "(%s:%ui)", &ctx->path, &db->alias,
                                  &old->alias, old->file, old->line);
        return NGX_ERROR;
    }

    return rc;
}


ngx_uint_t
ngx_litestream_dir_variable(ngx_litestream_dir_t *dir, ngx_str_t *name)
{
    ngx_uint_t               i;
    ngx_litestream_named_t  *named;

    if (name->len == ngx_litestream_dir_file.len
        && ngx_memcmp(name->data, ngx_litestream_dir_file.data, name->len)
           == 0)
    {
        return 1;
    }

    if (dir->regex == NULL) {
        return 0;
    }

    named = dir->names.elts;

    for (i = 0; i < dir->names.nelts; i++) {

        if (named[i].name.len + 1 == name->len
            && ngx_memcmp(named[i].name.data, name->data + 1,
                          named[i].name.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_litestream_dir_replica(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_db_t *db,
    ngx_litestream_replica_t *replica)
{
    ngx_str_t              path, first;
    ngx_litestream_key_t  *key;
    ngx_litestream_dir_t  *dir;

    dir = db->in;

    if (replica->type.len == 4
        && ngx_strncmp(replica->type.data, "nats", 4) == 0)
    {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "replica type \"nats\" needs a bucket for "
                                  "each database, and cannot be that of the "
                                  "directory \"%V\"", &db->alias);
        return NGX_ERROR;
    }

    if (ngx_litestream_dir_vars(dir, &replica->id, &first) == 0) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "replica \"%V\" would be that of all "
                                  "databases in \"%V\": they would destroy "
                                  "each other's backup, say $file in it",
                                  &replica->url, &db->alias);
        return NGX_ERROR;
    }

    path = replica->path;

    if (path.len == 0) {
        key = ngx_litestream_replica_key(replica, "path");
        if (key == NULL) {
            return NGX_OK;
        }

        path = key->value;
    }

    /* from the place of a replica the path of its database can be told */

    if (ngx_litestream_dir_vars(dir, &replica->id, &first) == 1
        && ngx_litestream_dir_vars(dir, &path, &first) == 1
        && first.len == ngx_litestream_dir_file.len
        && ngx_memcmp(first.data, ngx_litestream_dir_file.data, first.len)
           == 0)
    {
        dir->before.data = path.data;
        dir->before.len = first.data - path.data;

        dir->after.data = first.data + first.len;
        dir->after.len = path.data + path.len - dir->after.data;

        /* the supervisor knows whether there is a key for S3 */

        dir->listed = (ngx_strcmp(replica->type.data, "file") == 0
                       || ngx_strcmp(replica->type.data, "s3") == 0);
    }

    return NGX_OK;
}


/*
 * The replica of a directory in a litestream.yml, as Litestream has those of
 * its databases: below that place, by their paths.  NGX_ERROR: it has been
 * logged.  Any process that reads the configuration, does not block.
 */

ngx_int_t
ngx_litestream_dir_literal(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *text, ngx_str_t *url)
{
    u_char     *p, *query, *last, *host;
    ngx_str_t  *masked;

    last = text->data + text->len;

    if (ngx_strlchr(text->data, last, '$')) {
        masked = ngx_litestream_url_mask(parse->cf->pool, text);

        if (masked) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "\"$\" in the replica \"%V\" of a "
                                      "directory", masked);
        }

        return NGX_ERROR;
    }

    query = ngx_strlchr(text->data, last, '?');
    query = query ? query : last;

    url->data = ngx_pnalloc(parse->cf->pool, text->len + sizeof("/$file"));
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(url->data, text->data, query - text->data);

    /* "file:///" is one of a path, too */

    host = ngx_strlchr(url->data, p, ':');
    host = host ? host + sizeof("//") : url->data;

    while (p > host && p[-1] == '/') {
        p--;
    }

    p = ngx_sprintf(p, "/$file%*s%Z", (size_t) (last - query), query);

    url->len = p - 1 - url->data;

    return NGX_OK;
}


/* how many variables there are in a text, and the first one */

static ngx_uint_t
ngx_litestream_dir_vars(ngx_litestream_dir_t *dir, ngx_str_t *text,
    ngx_str_t *first)
{
    u_char      *p, *last;
    ngx_str_t    name;
    ngx_uint_t   n;

    n = 0;
    last = text->data + text->len;

    for (p = text->data; p < last; /* void */ ) {

        name.data = p;

        name.len = ngx_litestream_variable(p, last);

        if (name.len == 0 || !ngx_litestream_dir_variable(dir, &name)) {
            p++;
            continue;
        }

        if (n++ == 0) {
            *first = name;
        }

        p += name.len;
    }

    return n;
}
