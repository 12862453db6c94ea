
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Variables for the configuration and for Litestream: litestream_env,
 * litestream_env_file, and the environment that nginx was started with.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


#define NGX_LITESTREAM_ENV_FILE_LEN  (1024 * 1024)
#define NGX_LITESTREAM_ENV_MAX       4096


typedef struct {
    ngx_litestream_parse_t      *parse;
    ngx_litestream_vars_t       *vars;
} ngx_litestream_vars_ctx_t;


static ngx_int_t ngx_litestream_vars_said(ngx_litestream_parse_t *parse,
    ngx_litestream_vars_t *vars, ngx_array_t *env);
static ngx_int_t ngx_litestream_vars_file(ngx_litestream_parse_t *parse,
    ngx_litestream_vars_t *vars, ngx_http_litestream_said_t *said);
static ngx_int_t ngx_litestream_vars_read(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *name, ngx_str_t *text);
static ngx_int_t ngx_litestream_vars_handler(void *data, ngx_str_t *name,
    ngx_str_t *value);
static ngx_litestream_var_t *ngx_litestream_vars_find(
    ngx_litestream_vars_t *vars, ngx_str_t *name);
static ngx_str_t *ngx_litestream_vars_outside(ngx_litestream_conf_t *lcf,
    ngx_str_t *name);

/*
 * Reads the variables of one level, http{} or a server{}, for which outer is
 * NULL or http{}'s.  Secrets among them go to lcf->secrets.  NGX_ERROR: it
 * has been logged.
 */

ngx_int_t
ngx_litestream_vars_init(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf, ngx_http_litestream_srv_conf_t *outer)
{
    ngx_uint_t                   i;
    ngx_litestream_var_t        *var;
    ngx_litestream_vars_t       *vars;
    ngx_http_litestream_said_t  *said;

    vars = &lscf->vars;

    vars->lcf = parse->lcf;
    vars->expand = parse->expand;
    vars->outer = outer ? &outer->vars : NULL;

    if (ngx_array_init(&vars->vars, parse->cf->pool, 4,
                       sizeof(ngx_litestream_var_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    said = lscf->env_files.elts;

    for (i = 0; i < lscf->env_files.nelts; i++) {

        /* its own variables are not known yet */

        said[i].vars = vars;

        if (ngx_litestream_expand(parse, &said[i], 1) != NGX_OK
            || ngx_litestream_vars_file(parse, vars, &said[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_litestream_vars_said(parse, vars, &lscf->env) != NGX_OK) {
        return NGX_ERROR;
    }

    var = vars->vars.elts;

    for (i = 0; i < vars->vars.nelts; i++) {

        if (ngx_litestream_env_secret(&var[i].name)
            && ngx_litestream_secret(parse->lcf, &var[i].value) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_litestream_vars_digest(parse->cf->pool, vars);
}


/*
 * litestream_env: ${NAME} in a value is what the files and the outer level
 * say, since the order of directives does not matter
 */

static ngx_int_t
ngx_litestream_vars_said(ngx_litestream_parse_t *parse,
    ngx_litestream_vars_t *vars, ngx_array_t *env)
{
    char                        *text;
    u_char                      *p;
    ngx_str_t                   *arg, raw;
    ngx_uint_t                   i, n;
    ngx_file_info_t              fi;
    ngx_litestream_var_t        *set, *var;
    ngx_http_litestream_said_t  *said;

    if (env->nelts == 0) {
        return NGX_OK;
    }

    set = ngx_pcalloc(parse->cf->pool,
                      env->nelts * sizeof(ngx_litestream_var_t));
    if (set == NULL) {
        return NGX_ERROR;
    }

    said = env->elts;

    for (i = 0; i < env->nelts; i++) {

        arg = &said[i].args[1];
        var = &set[i];

        p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

        var->name.data = arg->data;
        var->name.len = (p ? p : arg->data + arg->len) - arg->data;

        if (!ngx_litestream_env_name(&var->name)) {
            ngx_litestream_said_error(parse->cf->log, &said[i], 0,
                                      "invalid name \"%V\" in "
                                      "\"litestream_env\"", &var->name);
            return NGX_ERROR;
        }

        for (n = 0; n < i; n++) {

            if (set[n].name.len == var->name.len
                && ngx_strncmp(set[n].name.data, var->name.data,
                               var->name.len)
                   == 0)
            {
                ngx_litestream_said_error(parse->cf->log, &said[i], 0,
                                          "\"litestream_env\" \"%V\" is "
                                          "duplicate", &var->name);
                return NGX_ERROR;
            }
        }

        if (p == NULL) {

            /* as nginx's "env": that of nginx, if there is one */

            p = ngx_pnalloc(parse->cf->temp_pool, arg->len + 2);
            if (p == NULL) {
                return NGX_ERROR;
            }

            (void) ngx_sprintf(p, "%V=%Z", arg);

            text = ngx_litestream_env((char *) p);

            if (text) {
                var->value.data = (u_char *) text;
                var->value.len = ngx_strlen(text);

            } else {
                var->name.len = 0;
            }

            continue;
        }

        raw.data = p + 1;
        raw.len = arg->data + arg->len - raw.data;

        if (ngx_strstr(raw.data, "${") == NULL
            && ngx_litestream_env_secret(&var->name)
            && ngx_file_info(said[i].file, &fi) != NGX_FILE_ERROR
            && (fi.st_mode & S_IROTH))
        {
            ngx_litestream_said_warn(parse->cf->log, &said[i],
                                     "\"litestream_env\" \"%V\" has a secret "
                                     "in a file that everybody can read, say "
                                     "it in a \"litestream_env_file\"",
                                     &var->name);
        }

        said[i].vars = vars;

        if (ngx_litestream_expand_arg(parse, &said[i], &raw, &var->value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < env->nelts; i++) {

        if (set[i].name.len == 0) {
            continue;
        }

        if (set[i].name.len == sizeof("AWS_CA_BUNDLE") - 1
            && ngx_strncmp(set[i].name.data, "AWS_CA_BUNDLE",
                           set[i].name.len)
               == 0)
        {
            ngx_litestream_said_warn(parse->cf->log, &said[i],
                                     "AWS_CA_BUNDLE is left out, Litestream "
                                     "does not start with it: say "
                                     "SSL_CERT_FILE");
            continue;
        }

        var = ngx_litestream_vars_find(vars, &set[i].name);

        if (var == NULL) {
            var = ngx_array_push(&vars->vars);
            if (var == NULL) {
                return NGX_ERROR;
            }
        }

        *var = set[i];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_vars_file(ngx_litestream_parse_t *parse,
    ngx_litestream_vars_t *vars, ngx_http_litestream_said_t *said)
{
    char                        *reason;
    ngx_int_t                    rc;
    ngx_str_t                    name, text;
    ngx_uint_t                   line;
    ngx_http_litestream_said_t   place;
    ngx_litestream_vars_ctx_t    ctx;

    name = said->args[1];

    if (name.len == 0) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"litestream_env_file\" is empty");
        return NGX_ERROR;
    }

    if (ngx_conf_full_name(parse->cf->cycle, &name, 1) != NGX_OK
        || ngx_litestream_vars_read(parse, said, &name, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx.parse = parse;
    ctx.vars = vars;

    line = 0;
    reason = NULL;

    rc = ngx_litestream_env_parse(parse->cf->pool, text.data, text.len,
                                  ngx_litestream_vars_handler, &ctx, &line,
                                  &reason);

    if (rc == NGX_DECLINED) {

        /* a line may hold a secret: only where it is */

        ngx_memzero(&place, sizeof(ngx_http_litestream_said_t));

        place.file = name.data;
        place.line = line;

        ngx_litestream_said_error(parse->cf->log, &place, 0,
                                  "invalid line in \"litestream_env_file\": "
                                  "%s", reason);
    }

    return rc == NGX_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_litestream_vars_read(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *name, ngx_str_t *text)
{
    char         *what;
    u_char       *p;
    ssize_t       n;
    ngx_fd_t      fd;
    ngx_err_t     err;
    struct stat   st;

    /* not a FIFO that nobody writes to */

    fd = open((char *) name->data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        ngx_litestream_said_error(parse->cf->log, said, ngx_errno,
                                  "open() \"%V\" failed", name);
        return NGX_ERROR;
    }

    err = 0;

    if (fstat(fd, &st) == -1) {
        err = ngx_errno;
        what = "cannot be read";
        goto failed;
    }

    if (!S_ISREG(st.st_mode)) {
        what = "is not a regular file";
        goto failed;
    }

    if (st.st_size > NGX_LITESTREAM_ENV_FILE_LEN) {
        what = "is too long, over 1 MiB";
        goto failed;
    }

    if (st.st_mode & S_IROTH) {
        ngx_litestream_said_warn(parse->cf->log, said,
                                 "\"litestream_env_file\" \"%V\" can be read "
                                 "by others (mode %04ui), it should have "
                                 "mode 0600", name,
                                 ngx_litestream_octal(st.st_mode));
    }

    text->len = 0;
    text->data = ngx_pnalloc(parse->cf->pool, st.st_size + 1);
    if (text->data == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    p = text->data;

    while (text->len < (size_t) st.st_size) {

        n = read(fd, p + text->len, st.st_size - text->len);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n == -1) {
            err = ngx_errno;
            what = "cannot be read";
            goto failed;
        }

        if (n == 0) {
            break;
        }

        text->len += n;
    }

    (void) close(fd);

    return NGX_OK;

failed:

    (void) close(fd);

    ngx_litestream_said_error(parse->cf->log, said, err,
                              "\"litestream_env_file\" \"%V\" %s", name,
                              what);
    return NGX_ERROR;
}


/* the last one of a name counts, as in a shell */

static ngx_int_t
ngx_litestream_vars_handler(void *data, ngx_str_t *name, ngx_str_t *value)
{
    ngx_litestream_vars_ctx_t *ctx = data;

    ngx_litestream_var_t  *var;

    if (name->len == sizeof("AWS_CA_BUNDLE") - 1
        && ngx_strncmp(name->data, "AWS_CA_BUNDLE", name->len) == 0)
    {
        return NGX_OK;
    }

    var = ngx_litestream_vars_find(ctx->vars, name);

    if (var == NULL) {

        if (ctx->vars->vars.nelts == NGX_LITESTREAM_ENV_MAX) {
            ngx_log_error(NGX_LOG_EMERG, ctx->parse->cf->log, 0,
                          "litestream: too many variables, the limit is %d",
                          NGX_LITESTREAM_ENV_MAX);
            return NGX_ERROR;
        }

        var = ngx_array_push(&ctx->vars->vars);
        if (var == NULL) {
            return NGX_ERROR;
        }
    }

    var->name = *name;
    var->value = *value;

    return NGX_OK;
}


static ngx_litestream_var_t *
ngx_litestream_vars_find(ngx_litestream_vars_t *vars, ngx_str_t *name)
{
    ngx_uint_t             i;
    ngx_litestream_var_t  *var;

    var = vars->vars.elts;

    for (i = 0; i < vars->vars.nelts; i++) {

        if (var[i].name.len == name->len
            && ngx_strncmp(var[i].name.data, name->data, name->len) == 0)
        {
            return &var[i];
        }
    }

    return NULL;
}


ngx_str_t *
ngx_litestream_vars_lookup(void *data, ngx_str_t *name)
{
    ngx_litestream_vars_t *vars = data;

    ngx_litestream_var_t   *var;
    ngx_litestream_conf_t  *lcf;

    lcf = vars->lcf;

    for ( /* void */ ; vars; vars = vars->outer) {

        var = ngx_litestream_vars_find(vars, name);
        if (var) {
            return &var->value;
        }
    }

    return ngx_litestream_vars_outside(lcf, name);
}


/* of the environment that nginx was started with */

static ngx_str_t *
ngx_litestream_vars_outside(ngx_litestream_conf_t *lcf, ngx_str_t *name)
{
    char       *text;
    u_char     *p;
    ngx_str_t  *value;

    p = ngx_pnalloc(lcf->secrets.pool, name->len + 2);
    value = ngx_palloc(lcf->secrets.pool, sizeof(ngx_str_t));

    if (p == NULL || value == NULL) {
        return NULL;
    }

    (void) ngx_sprintf(p, "%V=%Z", name);

    text = ngx_litestream_env((char *) p);
    if (text == NULL) {
        return NULL;
    }

    value->data = (u_char *) text;
    value->len = ngx_strlen(text);

    if (ngx_litestream_env_secret(name)
        && ngx_litestream_secret(lcf, value) != NGX_OK)
    {
        return NULL;
    }

    return value;
}


ngx_str_t *
ngx_litestream_vars_get(ngx_litestream_vars_t *vars, char *name, char *other)
{
    ngx_str_t               names[2], *value;
    ngx_uint_t              i;
    ngx_litestream_var_t   *var;
    ngx_litestream_conf_t  *lcf;

    names[0].data = (u_char *) name;
    names[0].len = ngx_strlen(name);
    names[1].data = (u_char *) other;
    names[1].len = ngx_strlen(other);

    lcf = vars->lcf;

    for ( /* void */ ; vars; vars = vars->outer) {

        for (i = 0; i < 2; i++) {
            var = ngx_litestream_vars_find(vars, &names[i]);

            if (var && var->value.len) {
                return &var->value;
            }
        }
    }

    for (i = 0; i < 2; i++) {
        value = ngx_litestream_vars_outside(lcf, &names[i]);

        if (value && value->len) {
            return value;
        }
    }

    return NULL;
}


ngx_int_t
ngx_litestream_expand(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_uint_t first)
{
    ngx_str_t   out;
    ngx_uint_t  i;

    for (i = first; i < said->nargs; i++) {

        if (ngx_litestream_expand_arg(parse, said, &said->args[i], &out)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        said->args[i] = out;
    }

    return NGX_OK;
}


/* out belongs to the configuration's pool, or is text itself; NUL-ended */

ngx_int_t
ngx_litestream_expand_arg(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *text, ngx_str_t *out)
{
    ngx_str_t  name;

    if (said->vars == NULL || !said->vars->expand) {
        *out = *text;
        return NGX_OK;
    }

    switch (ngx_litestream_env_expand(parse->cf->pool, text,
                                      ngx_litestream_vars_lookup, said->vars,
                                      out, &name))
    {
    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "variable \"${%V}\" in \"%V\" is not set, "
                                  "neither by \"litestream_env\", nor in a "
                                  "\"litestream_env_file\", nor in the "
                                  "environment nginx was started with",
                                  &name, &said->args[0]);
        return NGX_ERROR;

    case NGX_ABORT:
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid variable \"${%V\" in \"%V\", it "
                                  "must be \"${NAME}\"", &name,
                                  &said->args[0]);
        return NGX_ERROR;

    default:
        return NGX_ERROR;
    }
}


/* what must never be printed; the value lives as long as the configuration */

ngx_int_t
ngx_litestream_secret(ngx_litestream_conf_t *lcf, ngx_str_t *value)
{
    ngx_str_t   *secret;
    ngx_uint_t   i;

    /* words of every log, and no secrets whatever they are called */

    if (ngx_strcmp(value->data, "true") == 0
        || ngx_strcmp(value->data, "false") == 0)
    {
        return NGX_OK;
    }

    secret = lcf->secrets.elts;

    for (i = 0; i < lcf->secrets.nelts; i++) {

        if (secret[i].len == value->len
            && ngx_memcmp(secret[i].data, value->data, value->len) == 0)
        {
            return NGX_OK;
        }
    }

    secret = ngx_array_push(&lcf->secrets);
    if (secret == NULL) {
        return NGX_ERROR;
    }

    *secret = *value;

    return NGX_OK;
}
