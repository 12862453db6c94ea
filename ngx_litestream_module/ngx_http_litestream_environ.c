
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the environment of a group's processes, made of the variables said */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    value;
    ngx_uint_t                   level; /* the larger, the farther outside */
} ngx_litestream_entry_t;


typedef struct {
    ngx_str_t                    type;
    ngx_str_t                    name;
} ngx_litestream_env_type_t;


static ngx_int_t ngx_litestream_entry_add(ngx_array_t *entries,
    ngx_str_t *name, ngx_str_t *value, ngx_uint_t level);
static ngx_litestream_entry_t *ngx_litestream_entry_find(ngx_array_t *entries,
    char *name);
static void ngx_litestream_entry_drop(ngx_array_t *entries, char *name);
static ngx_int_t ngx_litestream_vars_entries(ngx_litestream_vars_t *vars,
    ngx_array_t *entries, ngx_uint_t *level);
static void ngx_litestream_vars_keys(ngx_array_t *entries);
static ngx_uint_t ngx_litestream_vars_passed(ngx_str_t *type, ngx_str_t *name);


/* of nginx's own environment: what any Litestream needs */

static ngx_str_t  ngx_litestream_env_passed[] = {
    ngx_string("PATH"),
    ngx_string("TZ"),
    ngx_string("SSL_CERT_FILE"),
    ngx_string("SSL_CERT_DIR"),
    ngx_string("HTTP_PROXY"),
    ngx_string("HTTPS_PROXY"),
    ngx_string("NO_PROXY"),
    ngx_string("http_proxy"),
    ngx_string("https_proxy"),
    ngx_string("no_proxy"),
    ngx_null_string
};


/* what those of a type begin with */

static ngx_litestream_env_type_t  ngx_litestream_env_types[] = {
    { ngx_string("s3"), ngx_string("AWS_") },
    { ngx_string("s3"), ngx_string("LITESTREAM_") },
    { ngx_string("gs"), ngx_string("GOOGLE_") },
    { ngx_string("gs"), ngx_string("STORAGE_EMULATOR_") },
    { ngx_string("gs"), ngx_string("GCE_METADATA_") },
    { ngx_string("gs"), ngx_string("CLOUDSDK_") },
    { ngx_string("abs"), ngx_string("AZURE_") },
    { ngx_string("abs"), ngx_string("LITESTREAM_AZURE_") },
    { ngx_string("abs"), ngx_string("IDENTITY_") },
    { ngx_string("oss"), ngx_string("OSS_") },
    { ngx_string("oss"), ngx_string("ALIBABA_CLOUD_") },
    { ngx_null_string, ngx_null_string }
};


/* the first of a name counts */

static ngx_int_t
ngx_litestream_entry_add(ngx_array_t *entries, ngx_str_t *name,
    ngx_str_t *value, ngx_uint_t level)
{
    ngx_uint_t               i;
    ngx_litestream_entry_t  *entry;

    entry = entries->elts;

    for (i = 0; i < entries->nelts; i++) {

        if (entry[i].name.len == name->len
            && ngx_strncmp(entry[i].name.data, name->data, name->len) == 0)
        {
            return NGX_OK;
        }
    }

    entry = ngx_array_push(entries);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    entry->name = *name;
    entry->value = *value;
    entry->level = level;

    return NGX_OK;
}


static ngx_litestream_entry_t *
ngx_litestream_entry_find(ngx_array_t *entries, char *name)
{
    size_t                   len;
    ngx_uint_t               i;
    ngx_litestream_entry_t  *entry;

    len = ngx_strlen(name);
    entry = entries->elts;

    for (i = 0; i < entries->nelts; i++) {

        if (entry[i].name.len == len && entry[i].value.len
            && ngx_strncmp(entry[i].name.data, name, len) == 0)
        {
            return &entry[i];
        }
    }

    return NULL;
}


static void
ngx_litestream_entry_drop(ngx_array_t *entries, char *name)
{
    ngx_litestream_entry_t  *entry;

    entry = ngx_litestream_entry_find(entries, name);

    if (entry) {
        entry->name.len = 0;
    }
}


static ngx_int_t
ngx_litestream_vars_entries(ngx_litestream_vars_t *vars, ngx_array_t *entries,
    ngx_uint_t *level)
{
    ngx_uint_t             i;
    ngx_litestream_var_t  *var;

    for ( /* void */ ; vars; vars = vars->outer, (*level)++) {

        var = vars->vars.elts;

        for (i = 0; i < vars->vars.nelts; i++) {

            if (ngx_litestream_entry_add(entries, &var[i].name, &var[i].value,
                                         *level)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/*
 * Litestream takes AWS_XXX before LITESTREAM_XXX, which would give a server{}
 * with a pair of its own the keys of nginx's environment.  The pair of the
 * innermost level counts, LITESTREAM_XXX before AWS_XXX.
 */

static void
ngx_litestream_vars_keys(ngx_array_t *entries)
{
    ngx_litestream_entry_t  *own, *aws, *token;

    own = ngx_litestream_entry_find(entries, "LITESTREAM_ACCESS_KEY_ID");
    aws = ngx_litestream_entry_find(entries, "AWS_ACCESS_KEY_ID");
    token = ngx_litestream_entry_find(entries, "AWS_SESSION_TOKEN");

    if (own && (aws == NULL || own->level <= aws->level)
        && ngx_litestream_entry_find(entries, "LITESTREAM_SECRET_ACCESS_KEY"))
    {
        ngx_litestream_entry_drop(entries, "AWS_ACCESS_KEY_ID");
        ngx_litestream_entry_drop(entries, "AWS_SECRET_ACCESS_KEY");
        ngx_litestream_entry_drop(entries, "AWS_SESSION_TOKEN");
        return;
    }

    /* a token belongs to the key that it came with */

    if (aws && token && token->level > aws->level) {
        ngx_litestream_entry_drop(entries, "AWS_SESSION_TOKEN");
    }
}


static ngx_uint_t
ngx_litestream_vars_passed(ngx_str_t *type, ngx_str_t *name)
{
    ngx_str_t                  *passed;
    ngx_litestream_env_type_t  *of;

    for (passed = ngx_litestream_env_passed; passed->len; passed++) {

        if (passed->len == name->len
            && ngx_strncmp(passed->data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    /* AWS_CA_BUNDLE: Litestream refuses to start with it */

    if (name->len == sizeof("AWS_CA_BUNDLE") - 1
        && ngx_strncmp(name->data, "AWS_CA_BUNDLE", name->len) == 0)
    {
        return 0;
    }

    for (of = ngx_litestream_env_types; of->type.len; of++) {

        if (of->type.len == type->len
            && ngx_strncmp(of->type.data, type->data, type->len) == 0
            && name->len > of->name.len
            && ngx_strncmp(of->name.data, name->data, of->name.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * The environment of a group's processes: what was said, and of nginx's own
 * what Litestream and its type of replica need, nothing else.
 */

ngx_int_t
ngx_litestream_vars_environ(ngx_litestream_parse_t *parse,
    ngx_litestream_vars_t *vars, ngx_litestream_group_t *group)
{
    char                    **e;
    u_char                   *p;
    ngx_str_t                 name, value;
    ngx_uint_t                i, n, level;
    ngx_pool_t               *pool;
    ngx_array_t               entries;
    ngx_litestream_entry_t   *entry;

    pool = parse->cf->pool;
    level = 0;

    if (ngx_array_init(&entries, parse->cf->temp_pool, 16,
                       sizeof(ngx_litestream_entry_t))
        != NGX_OK
        || ngx_litestream_vars_entries(vars, &entries, &level) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (e = environ; *e; e++) {

        p = (u_char *) strchr(*e, '=');
        if (p == NULL) {
            continue;
        }

        name.data = (u_char *) *e;
        name.len = p - name.data;

        value.data = p + 1;
        value.len = ngx_strlen(value.data);

        if (ngx_litestream_vars_passed(&group->type, &name)
            && ngx_litestream_entry_add(&entries, &name, &value, level)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_litestream_vars_keys(&entries);

    group->env = ngx_palloc(pool, (entries.nelts + 1) * sizeof(char *));
    if (group->env == NULL) {
        return NGX_ERROR;
    }

    entry = entries.elts;
    n = 0;

    for (i = 0; i < entries.nelts; i++) {

        if (entry[i].name.len == 0) {
            continue;
        }

        p = ngx_pnalloc(pool, entry[i].name.len + entry[i].value.len + 2);
        if (p == NULL) {
            return NGX_ERROR;
        }

        group->env[n++] = (char *) p;

        value.data = ngx_sprintf(p, "%V=", &entry[i].name);
        value.len = entry[i].value.len;

        p = ngx_cpymem(value.data, entry[i].value.data, value.len);
        *p = '\0';

        if (ngx_litestream_env_secret(&entry[i].name)
            && ngx_litestream_secret(parse->lcf, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    group->env[n] = NULL;

    return NGX_OK;
}


/* empty when nothing was said: such groups keep their names */

ngx_int_t
ngx_litestream_vars_digest(ngx_pool_t *pool, ngx_litestream_vars_t *vars)
{
    u_char                   md[16];
    ngx_md5_t                md5;
    ngx_uint_t               i, level;
    ngx_array_t              entries;
    ngx_litestream_entry_t  *entry;

    ngx_str_null(&vars->digest);
    level = 0;

    if (ngx_array_init(&entries, pool, 4, sizeof(ngx_litestream_entry_t))
        != NGX_OK
        || ngx_litestream_vars_entries(vars, &entries, &level) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (entries.nelts == 0) {
        return NGX_OK;
    }

    entry = entries.elts;

    ngx_md5_init(&md5);

    for (i = 0; i < entries.nelts; i++) {
        ngx_md5_update(&md5, entry[i].name.data, entry[i].name.len);
        ngx_md5_update(&md5, "=", 1);
        ngx_md5_update(&md5, entry[i].value.data, entry[i].value.len);
        ngx_md5_update(&md5, "", 1);
    }

    ngx_md5_final(md, &md5);

    vars->digest.data = ngx_pnalloc(pool, 32);
    if (vars->digest.data == NULL) {
        return NGX_ERROR;
    }

    vars->digest.len = ngx_hex_dump(vars->digest.data, md, 16)
                       - vars->digest.data;

    return NGX_OK;
}
