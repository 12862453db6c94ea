
/*
 * Copyright (C) the ngx_litestream authors
 */


/* parameters of replicas, which become keys of litestream.yml */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


static char *ngx_litestream_replica_value(ngx_pool_t *pool,
    ngx_litestream_replica_param_t *param, ngx_str_t *value);
static char *ngx_litestream_replica_time(ngx_pool_t *pool, ngx_str_t *value);
static char *ngx_litestream_replica_host_key(ngx_pool_t *pool,
    ngx_str_t *value);
static void ngx_litestream_replica_unknown(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_str_t *name);


typedef struct {
    char                             *type;  /* NULL: all of them */
    char                             *said;
    char                             *hint;
} ngx_litestream_replica_hint_t;


/* what other tools call them, and what is said elsewhere */

static ngx_litestream_replica_hint_t  ngx_litestream_replica_hints[] = {

    { "s3", "session_token", "set AWS_SESSION_TOKEN by \"litestream_env\", "
      "together with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" },
    { "s3", "session-token", "set AWS_SESSION_TOKEN by \"litestream_env\", "
      "together with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" },

    { "gs", "endpoint", "set STORAGE_EMULATOR_HOST by \"litestream_env\"" },
    { "gs", "credentials", "set GOOGLE_APPLICATION_CREDENTIALS, the path of "
      "a key file, by \"litestream_env\"" },

    { "abs", "account", "did you mean \"account_name\"?" },
    { "abs", "key", "did you mean \"account_key\"?" },

    { "oss", "access_key_secret", "did you mean \"secret_access_key\"?" },

    { "sftp", "username", "did you mean \"user\"?" },
    { "sftp", "identity_file", "did you mean \"key_path\"?" },
    { "sftp", "private_key", "did you mean \"key_path\"?" },
    { "sftp", "known_hosts", "did you mean \"host_key\"?" },
    { "sftp", "passphrase", "Litestream cannot use a key that has one" },

    { "webdav", "user", "did you mean \"webdav_username\"?" },
    { "webdav", "username", "did you mean \"webdav_username\"?" },
    { "webdav", "password", "did you mean \"webdav_password\"?" },
    { "webdav", "skip_verify", "Litestream has none for WebDAV, set "
      "SSL_CERT_FILE by \"litestream_env\"" },

    { "nats", "user", "did you mean \"username\"?" },
    { "nats", "credentials", "did you mean \"creds\"?" },

    { NULL, "url", "the URL comes first, without a name" },
    { NULL, "type", "the URL says it" },
    { NULL, "host", "the URL says it" },
    { NULL, "bucket", "the URL says it" },
    { NULL, "path", "the URL says it" },

    { NULL, NULL, NULL }
};


ngx_litestream_key_t *
ngx_litestream_replica_key(ngx_litestream_replica_t *replica, char *name)
{
    size_t                 len;
    ngx_uint_t             i;
    ngx_litestream_key_t  *key;

    len = ngx_strlen(name);
    key = replica->keys->elts;

    for (i = 0; i < replica->keys->nelts; i++) {

        if (key[i].key.len == len
            && ngx_strncmp(key[i].key.data, name, len) == 0)
        {
            return &key[i];
        }
    }

    return NULL;
}


ngx_litestream_key_t *
ngx_litestream_replica_add(ngx_litestream_replica_t *replica, char *name,
    ngx_str_t *value)
{
    ngx_litestream_key_t  *key;

    key = ngx_array_push(replica->keys);
    if (key == NULL) {
        return NULL;
    }

    key->key.data = (u_char *) name;
    key->key.len = ngx_strlen(name);
    key->value = *value;
    key->secret = 0;
    key->list = 0;

    return key;
}


/* nginx.conf is mostly for everybody to read, a secret is not */

void
ngx_litestream_replica_literal(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme)
{
    size_t                           len;
    u_char                          *arg;
    ngx_uint_t                       i;
    ngx_file_info_t                  fi;
    ngx_litestream_replica_param_t  *param;

    for (i = 2; i < said->nargs; i++) {
        arg = said->args[i].data;

        for (param = scheme->params; param->name.len; param++) {
            len = param->name.len;

            if (param->secret != NGX_LITESTREAM_PRIVATE
                || ngx_strncmp(arg, param->name.data, len) != 0
                || arg[len] != '=' || ngx_strstr(arg + len, "${")
                || ngx_file_info(said->file, &fi) == NGX_FILE_ERROR
                || !(fi.st_mode & S_IROTH))
            {
                continue;
            }

            ngx_litestream_said_warn(parse->cf->log, said,
                                     "\"%V\" is a secret in a file that "
                                     "everybody can read (mode %04ui): say it "
                                     "in a \"litestream_env_file\" of mode "
                                     "0600, and \"%V=${NAME}\" here",
                                     &param->name,
                                     ngx_litestream_octal(fi.st_mode),
                                     &param->name);
        }
    }
}


/* the same of a URL; each is said once, where it was said */

void
ngx_litestream_replica_public(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *url)
{
    ngx_file_info_t  fi;

    if (!ngx_litestream_url_secret(url)
        || ngx_file_info(said->file, &fi) == NGX_FILE_ERROR
        || !(fi.st_mode & S_IROTH))
    {
        return;
    }

    ngx_litestream_said_warn(parse->cf->log, said,
                             "the URL of the replica has a secret in it, in a "
                             "file that everybody can read (mode %04ui): say "
                             "it in a \"litestream_env_file\" of mode 0600, "
                             "and ${NAME} here",
                             ngx_litestream_octal(fi.st_mode));
}


/* replica: where they go, or NULL: they are checked, secrets remembered */

ngx_int_t
ngx_litestream_replica_params(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_litestream_replica_t *replica)
{
    char                            *reason;
    u_char                          *p;
    ngx_str_t                       *arg, name, value;
    ngx_uint_t                       i, n;
    ngx_litestream_key_t            *key;
    ngx_litestream_replica_param_t  *param;

    for (i = 2; i < said->nargs; i++) {

        arg = &said->args[i];

        p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

        if (p == NULL) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid parameter \"%V\"", arg);
            return NGX_ERROR;
        }

        /* no message has the value in it, which may be a secret */

        name.data = arg->data;
        name.len = p - arg->data;

        value.data = p + 1;
        value.len = arg->data + arg->len - value.data;

        for (param = scheme->params; param->name.len; param++) {

            if (param->name.len == name.len
                && ngx_strncmp(param->name.data, name.data, name.len) == 0)
            {
                break;
            }
        }

        if (param->name.len == 0) {
            ngx_litestream_replica_unknown(parse, said, scheme, &name);
            return NGX_ERROR;
        }

        for (n = 2; n < i; n++) {

            if (said->args[n].len > name.len
                && said->args[n].data[name.len] == '='
                && ngx_strncmp(said->args[n].data, name.data, name.len) == 0)
            {
                ngx_litestream_said_error(parse->cf->log, said, 0,
                                          "parameter \"%V\" is duplicate",
                                          &name);
                return NGX_ERROR;
            }
        }

        reason = ngx_litestream_replica_value(parse->cf->pool, param, &value);

        if (reason == NGX_CONF_ERROR) {
            return NGX_ERROR;
        }

        if (reason) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid parameter \"%V\" of replica "
                                      "type \"%V\": %s", &name, &scheme->type,
                                      reason);
            return NGX_ERROR;
        }

        if (param->secret
            && ngx_litestream_secret(parse->lcf, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (replica == NULL) {
            continue;
        }

        if (ngx_litestream_replica_key(replica, (char *) param->key.data)) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "\"%V\" is said twice, in the URL of "
                                      "the replica and by a parameter", &name);
            return NGX_ERROR;
        }

        key = ngx_litestream_replica_add(replica, (char *) param->key.data,
                                         &value);
        if (key == NULL) {
            return NGX_ERROR;
        }

        key->secret = (param->secret != 0);
        key->list = (param->kind == NGX_LITESTREAM_FILES);
    }

    return NGX_OK;
}


/* value becomes that of litestream.yml; NULL, or what is wrong with it */

static char *
ngx_litestream_replica_value(ngx_pool_t *pool,
    ngx_litestream_replica_param_t *param, ngx_str_t *value)
{
    off_t      size;
    size_t     i;
    ngx_str_t  number;

    if (value->len == 0) {
        return "it is empty";
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            return "it has control characters in it";
        }
    }

    switch (param->kind) {

    case NGX_LITESTREAM_BOOL:

        if (ngx_strcmp(value->data, "on") == 0
            || ngx_strcmp(value->data, "true") == 0)
        {
            ngx_str_set(value, "true");
            return NULL;
        }

        if (ngx_strcmp(value->data, "off") == 0
            || ngx_strcmp(value->data, "false") == 0)
        {
            ngx_str_set(value, "false");
            return NULL;
        }

        return "it must be \"on\" or \"off\"";

    case NGX_LITESTREAM_NUMBER:

        size = ngx_atoi(value->data, value->len);

        if (size == NGX_ERROR || size == 0 || size > 1000) {
            return "it must be a number from 1 to 1000";
        }

        return NULL;

    case NGX_LITESTREAM_SIZE:

        size = ngx_parse_offset(value);

        if (size == NGX_ERROR || size == 0) {
            return "it must be a size, such as 8m";
        }

        value->data = ngx_pnalloc(pool, NGX_OFF_T_LEN + 1);
        if (value->data == NULL) {
            return NGX_CONF_ERROR;
        }

        value->len = ngx_sprintf(value->data, "%O%Z", size)
                     - value->data - 1;

        return NULL;

    case NGX_LITESTREAM_INTEGER:

        number = *value;

        if (number.data[0] == '-') {
            number.data++;
            number.len--;
        }

        if (number.len > 9
            || ngx_atoi(number.data, number.len) == NGX_ERROR)
        {
            return "it must be a number";
        }

        return NULL;

    case NGX_LITESTREAM_TIME:
        return ngx_litestream_replica_time(pool, value);

    case NGX_LITESTREAM_ENDPOINT:
        return ngx_litestream_endpoint(pool, value, value);

    case NGX_LITESTREAM_FILE:
        return value->data[0] == '/' ? NULL : "it must be an absolute path";

    case NGX_LITESTREAM_FILES:

        for (i = 0; i < value->len; i++) {

            if ((i == 0 || value->data[i - 1] == ',') && value->data[i] != '/')
            {
                return "it must be absolute paths, separated by commas";
            }
        }

        return value->data[i - 1] == ','
               ? "it must be absolute paths, separated by commas" : NULL;

    case NGX_LITESTREAM_HOST_KEY:
        return ngx_litestream_replica_host_key(pool, value);

    case NGX_LITESTREAM_NKEY:
        return "Litestream " NGX_LITESTREAM_BIN_VERSION " cannot sign with "
               "it, say \"creds\", or \"jwt\" and \"seed\"";

    default: /* NGX_LITESTREAM_ANY */
        return NULL;
    }
}


/* as nginx writes it, or as Go does in a litestream.yml */

static char *
ngx_litestream_replica_time(ngx_pool_t *pool, ngx_str_t *value)
{
    int64_t     ns;
    ngx_msec_t  ms;

    if (ngx_litestream_param_msec(value, &ms) != NGX_OK) {

        ns = ngx_litestream_base_duration(value);

        if (ns < 1000000) {
            return "it must be a time, such as 2s";
        }

        ms = ns / 1000000;
    }

    value->data = ngx_pnalloc(pool, NGX_INT64_LEN + sizeof("ms"));
    if (value->data == NULL) {
        return NGX_CONF_ERROR;
    }

    value->len = ngx_sprintf(value->data, "%Mms%Z", ms) - value->data - 1;

    return NULL;
}


/* "ssh-ed25519 AAAA... comment", as in a .pub file */

static char *
ngx_litestream_replica_host_key(ngx_pool_t *pool, ngx_str_t *value)
{
    size_t      len;
    u_char     *p, *last;
    ngx_str_t   type, text, key;

    p = value->data;
    last = p + value->len;

    type.data = p;

    while (p < last && *p != ' ') {
        p++;
    }

    type.len = p - type.data;

    while (p < last && *p == ' ') {
        p++;
    }

    text.data = p;

    while (p < last && *p != ' ') {
        p++;
    }

    text.len = p - text.data;

    key.data = ngx_pnalloc(pool, ngx_base64_decoded_length(text.len) + 1);
    if (key.data == NULL) {
        return NGX_CONF_ERROR;
    }

    if (text.len == 0
        || ngx_decode_base64(&key, &text) != NGX_OK || key.len < 4)
    {
        return "it must be \"TYPE KEY\", as in a file .pub, and without the "
               "names of hosts that known_hosts has before it";
    }

    /* the key begins with its type */

    p = key.data;
    len = (size_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];

    if (len != type.len || len > key.len - 4
        || ngx_memcmp(p + 4, type.data, len) != 0)
    {
        return "what it says of its type and its key do not agree";
    }

    return NULL;
}


/* a slip of the finger, or the dashes of litestream.yml */

static void
ngx_litestream_replica_unknown(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_str_t *name)
{
    char                            *hint;
    u_char                          *p, *last;
    u_char                           near[NGX_MAX_ERROR_STR / 2];
    ngx_uint_t                       n, best;
    ngx_litestream_replica_param_t  *param, *found;

    hint = ngx_litestream_replica_hint(&scheme->type, name);

    if (hint) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid parameter \"%V\" of replica "
                                  "type \"%V\": %s", name, &scheme->type,
                                  hint);
        return;
    }

    found = NULL;
    best = 4;

    p = near;
    last = near + sizeof(near);

    for (param = scheme->params; param->name.len; param++) {

        n = ngx_litestream_distance(name, &param->name);

        if (n < best) {
            best = n;
            found = param;
        }

        p = ngx_slprintf(p, last, "%s%V", p == near ? "" : ", ",
                         &param->name);
    }

    if (found) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid parameter \"%V\" of replica type "
                                  "\"%V\", did you mean \"%V\"?", name,
                                  &scheme->type, &found->name);

    } else if (p == near) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid parameter \"%V\" of replica type "
                                  "\"%V\", it has none", name,
                                  &scheme->type);

    } else {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "invalid parameter \"%V\" of replica type "
                                  "\"%V\", there are: %*s", name,
                                  &scheme->type, (size_t) (p - near), near);
    }
}


/*
 * What other tools call so of a replica of that type, and what to say; NULL: it
 * cannot be told.
 */

char *
ngx_litestream_replica_hint(ngx_str_t *type, ngx_str_t *name)
{
    ngx_litestream_replica_hint_t  *hint;

    for (hint = ngx_litestream_replica_hints; hint->said; hint++) {

        if ((hint->type == NULL
             || (ngx_strlen(hint->type) == type->len
                 && ngx_strncmp(hint->type, type->data, type->len) == 0))
            && ngx_strlen(hint->said) == name->len
            && ngx_strncmp(hint->said, name->data, name->len) == 0)
        {
            return hint->hint;
        }
    }

    return NULL;
}


/*
 * How many characters are to be changed; "-" and "_" are the same, and case
 * does not matter.
 */

ngx_uint_t
ngx_litestream_distance(ngx_str_t *one, ngx_str_t *two)
{
    u_char      a, b;
    size_t      i, j;
    ngx_uint_t  row[64], above, corner, n;

    if (one->len > 63 || two->len > 63) {
        return 64;
    }

    for (j = 0; j <= two->len; j++) {
        row[j] = j;
    }

    for (i = 1; i <= one->len; i++) {
        corner = row[0];
        row[0] = i;

        for (j = 1; j <= two->len; j++) {
            a = ngx_tolower(one->data[i - 1]);
            b = ngx_tolower(two->data[j - 1]);

            above = row[j];

            n = corner + !(a == b || (a == '-' && b == '_')
                           || (a == '_' && b == '-'));
            n = ngx_min(n, above + 1);
            n = ngx_min(n, row[j - 1] + 1);

            row[j] = n;
            corner = above;
        }
    }

    return row[two->len];
}
