
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


#define NGX_LITESTREAM_STATE_PATH  "/var/lib/nginx-litestream"

/* where a shell looks when PATH is not set */
#define NGX_LITESTREAM_PATH                                                   \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


static ngx_int_t ngx_http_litestream_state(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf);
static ngx_int_t ngx_http_litestream_state_usable(
    ngx_litestream_parse_t *parse, ngx_http_litestream_said_t *said,
    ngx_str_t *path);
static ngx_int_t ngx_http_litestream_sockets(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said);
static ngx_http_litestream_said_t *ngx_http_litestream_place(
    ngx_litestream_parse_t *parse, ngx_http_litestream_said_t *said,
    ngx_http_litestream_said_t *first);
static ngx_int_t ngx_http_litestream_bin(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf);
static ngx_int_t ngx_http_litestream_bin_search(ngx_pool_t *pool,
    ngx_str_t *name, u_char *path, ngx_str_t *bin);

static void ngx_http_litestream_digest(ngx_cycle_t *cycle,
    ngx_http_litestream_main_conf_t *lmcf);
static void ngx_http_litestream_digest_str(ngx_md5_t *md5, ngx_str_t *value);
static void ngx_http_litestream_digest_num(ngx_md5_t *md5, int64_t value);


/*
 * Makes the configuration of what the directives said, in http{} (lscf) and in
 * each server{}, once all have been
 * read.  NGX_ERROR: it has been logged.  Any process that reads the
 * configuration, but "nginx -s"; may block on the file system.
 */

ngx_int_t
ngx_http_litestream_setup(ngx_conf_t *cf,
    ngx_http_litestream_main_conf_t *lmcf,
    ngx_http_litestream_srv_conf_t *lscf)
{
    ngx_uint_t                        i;
    ngx_litestream_parse_t            parse;
    ngx_http_core_srv_conf_t        **cscfp;
    ngx_http_core_main_conf_t        *cmcf;
    ngx_http_litestream_srv_conf_t   *inner;

    if (ngx_litestream_parse_init(&parse, cf, &lmcf->lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_conf_init_value(lmcf->expand_env, 1);

    parse.expand = lmcf->expand_env;

    if (ngx_litestream_vars_init(&parse, lscf, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    lmcf->state_path.vars = &lscf->vars;
    lmcf->bin.vars = &lscf->vars;
    lmcf->base.vars = &lscf->vars;

    if (ngx_litestream_expand(&parse, &lmcf->state_path, 1) != NGX_OK
        || ngx_litestream_expand(&parse, &lmcf->bin, 1) != NGX_OK
        || ngx_litestream_expand(&parse, &lmcf->base, 1) != NGX_OK
        || ngx_http_litestream_values(&parse, lmcf, &lscf->vars) != NGX_OK
        || ngx_http_litestream_state(&parse, lmcf) != NGX_OK
        || ngx_litestream_base_read(&parse, &lmcf->base) != NGX_OK
        || ngx_http_litestream_level(&parse, lscf, NULL) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        inner = cscfp[i]->ctx->srv_conf[ngx_http_litestream_module.ctx_index];

        if (ngx_litestream_vars_init(&parse, inner, lscf) != NGX_OK
            || ngx_http_litestream_level(&parse, inner, lscf) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* what is left of the file's databases is of http{} */

    parse.level = &lscf->level;

    if (ngx_litestream_base_adopt(&parse, lscf, lscf->level.replica) != NGX_OK
        || ngx_litestream_replicas_check(&parse) != NGX_OK
        || ngx_litestream_groups_check(&parse) != NGX_OK
        || ngx_http_litestream_sockets(&parse, &lmcf->state_path) != NGX_OK
        || ngx_http_litestream_bin(&parse, lmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if ((lmcf->lcf.all.nelts || lmcf->lcf.vfs.nelts)
        && ngx_http_litestream_state_usable(&parse, &lmcf->state_path,
                                            &lmcf->lcf.state_path)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_dump_config
        && ngx_http_litestream_config_dump(cf, &lmcf->lcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_litestream_redact_init(cf, &lmcf->lcf);
}


static ngx_int_t
ngx_http_litestream_state(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf)
{
    u_char                      *p;
    ngx_str_t                    path;
    ngx_litestream_conf_t       *lcf;
    ngx_http_litestream_said_t  *said;

    lcf = &lmcf->lcf;
    said = &lmcf->state_path;

    ngx_str_set(&path, NGX_LITESTREAM_STATE_PATH);

    if (said->file) {
        path = said->args[1];

        if (!ngx_litestream_path_valid(&path)) {
            ngx_litestream_said_error(parse->cf->log, said, 0,
                                      "invalid path \"%V\", "
                                      "\"litestream_state_path\" must be "
                                      "absolute", &path);
            return NGX_ERROR;
        }
    }

    while (path.len && path.data[path.len - 1] == '/') {
        path.len--;
    }

    if (path.len == 0) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"litestream_state_path\" must be "
                                  "a directory of its own");
        return NGX_ERROR;
    }

    p = ngx_pnalloc(parse->cf->pool, 4 * path.len + sizeof("")
                                     + sizeof("/status") + sizeof("/replicas")
                                     + sizeof("/supervisor.sock"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    lcf->state_path.data = p;
    p = ngx_sprintf(p, "%V%Z", &path);
    lcf->state_path.len = path.len;

    lcf->status.data = p;
    p = ngx_sprintf(p, "%V/status%Z", &path);
    lcf->status.len = p - 1 - lcf->status.data;

    lcf->memory.data = p;
    p = ngx_sprintf(p, "%V/replicas%Z", &path);
    lcf->memory.len = p - 1 - lcf->memory.data;

    lcf->socket.data = p;
    p = ngx_sprintf(p, "%V/supervisor.sock%Z", &path);
    lcf->socket.len = p - 1 - lcf->socket.data;

    return NGX_OK;
}


/*
 * The directory may be missing, it is made at start or at reload, when
 * nothing may fail any more: so what is above it must take it
 */

static ngx_int_t
ngx_http_litestream_state_usable(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *path)
{
    u_char                      *name, *p;
    ngx_err_t                    err;
    ngx_file_info_t              fi;
    ngx_http_litestream_said_t   first;

    name = ngx_pnalloc(parse->cf->temp_pool, path->len + 1);
    if (name == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(name, path->data, path->len + 1);

    while (ngx_file_info(name, &fi) == NGX_FILE_ERROR) {

        err = ngx_errno;

        if (err != NGX_ENOENT || name[1] == '\0') {
            goto failed;
        }

        p = (u_char *) strrchr((char *) name, '/');

        p[p == name ? 1 : 0] = '\0';
    }

    if (!ngx_is_dir(&fi)) {
        err = NGX_ENOTDIR;
        goto failed;
    }

    if (access((char *) name, W_OK|X_OK) == 0) {
        return NGX_OK;
    }

    err = ngx_errno;

failed:

    said = ngx_http_litestream_place(parse, said, &first);

    ngx_litestream_said_error(parse->cf->log, said, err,
                              "\"litestream_state_path\" \"%V\" cannot be "
                              "used, access() to \"%s\" failed%s", path, name,
                              err == EROFS ? ngx_litestream_systemd_hint()
                                           : "");

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_litestream_sockets(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said)
{
    ngx_str_t               *name;
    ngx_uint_t               i;
    ngx_litestream_group_t **groups;

    name = &parse->lcf->socket;
    groups = parse->lcf->groups.elts;

    for (i = 0; i < parse->lcf->groups.nelts; i++) {
        if (groups[i]->socket.len > name->len) {
            name = &groups[i]->socket;
        }
    }

    if (name->len <= NGX_LITESTREAM_SOCKET_LEN) {
        return NGX_OK;
    }

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "\"litestream_state_path\" is too long: "
                              "socket path \"%V\" has %uz bytes, "
                              "over %d bytes",
                              name, name->len, NGX_LITESTREAM_SOCKET_LEN);

    return NGX_ERROR;
}


/* a default is of no line: the first database's, since that needs it */

static ngx_http_litestream_said_t *
ngx_http_litestream_place(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_http_litestream_said_t *first)
{
    ngx_litestream_db_t  **dbs;

    if (said->file || parse->lcf->all.nelts == 0) {
        return said;
    }

    dbs = parse->lcf->all.elts;

    ngx_memzero(first, sizeof(ngx_http_litestream_said_t));

    first->file = dbs[0]->file;
    first->line = dbs[0]->line;

    return first;
}


static ngx_int_t
ngx_http_litestream_bin(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf)
{
    char                        *path;
    ngx_err_t                    err;
    ngx_log_t                   *log;
    ngx_str_t                    name, *bin;
    ngx_file_info_t              fi;
    ngx_http_litestream_said_t  *said, first;

    log = parse->cf->log;
    bin = &lmcf->lcf.bin;
    said = &lmcf->bin;

    if (said->file) {
        name = said->args[1];

    } else if (lmcf->lcf.all.nelts) {
        ngx_str_set(&name, "litestream");

    } else {
        return NGX_OK;
    }

    said = ngx_http_litestream_place(parse, said, &first);

    if (ngx_strlchr(name.data, name.data + name.len, '/') == NULL) {

        path = ngx_litestream_env("PATH=");
        if (path == NULL) {
            path = NGX_LITESTREAM_PATH;
        }

        switch (ngx_http_litestream_bin_search(parse->cf->pool, &name,
                                               (u_char *) path, bin))
        {
        case NGX_OK:
            break;

        case NGX_DECLINED:
            ngx_litestream_said_error(log, said, 0,
                                      "\"%V\" is not found in PATH \"%s\", "
                                      "install Litestream %s or say "
                                      "\"litestream_bin\"", &name, path,
                                      NGX_LITESTREAM_BIN_VERSION);
            return NGX_ERROR;

        default:
            return NGX_ERROR;
        }

    } else if (name.data[0] == '/') {
        *bin = name;

    } else {
        ngx_litestream_said_error(log, said, 0,
                                  "\"litestream_bin\" \"%V\" must be "
                                  "absolute, or a name to be found in PATH",
                                  &name);
        return NGX_ERROR;
    }

    if (ngx_file_info(bin->data, &fi) == NGX_FILE_ERROR) {
        err = ngx_errno;

        ngx_litestream_said_error(log, said, err,
                                  "\"litestream_bin\" \"%V\" cannot be used, "
                                  "stat() failed", bin);
        return NGX_ERROR;
    }

    if (!ngx_is_file(&fi)) {
        ngx_litestream_said_error(log, said, 0,
                                  "\"litestream_bin\" \"%V\" is not "
                                  "a regular file", bin);
        return NGX_ERROR;
    }

    if (access((char *) bin->data, X_OK) == -1) {
        err = ngx_errno;

        ngx_litestream_said_error(log, said, err,
                                  "\"litestream_bin\" \"%V\" is not "
                                  "executable", bin);
        return NGX_ERROR;
    }

    return ngx_litestream_exec_check(parse, said, bin);
}


/* NGX_DECLINED: it is nowhere; relative entries of PATH do not count */

static ngx_int_t
ngx_http_litestream_bin_search(ngx_pool_t *pool, ngx_str_t *name,
    u_char *path, ngx_str_t *bin)
{
    u_char           *p, *last;
    ngx_file_info_t   fi;

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    bin->data = ngx_pnalloc(pool, ngx_strlen(path) + name->len + 2);
    if (bin->data == NULL) {
        return NGX_ERROR;
    }

    for (p = path; /* void */ ; p = last + 1) {

        for (last = p; *last && *last != ':'; last++) { /* void */ }

        if (*p == '/') {
            bin->len = ngx_sprintf(bin->data, "%*s/%V%Z",
                                   (size_t) (last - p), p, name)
                       - bin->data - 1;

            if (ngx_file_info(bin->data, &fi) != NGX_FILE_ERROR
                && ngx_is_file(&fi)
                && access((char *) bin->data, X_OK) == 0)
            {
                return NGX_OK;
            }
        }

        if (*last == '\0') {
            return NGX_DECLINED;
        }
    }
}


/*
 * Called for init_conf of the core module: worker user and master_process
 * are settled by then, wherever they were said.  NGX_CONF_OK, or
 * NGX_CONF_ERROR after it has been logged.  Any process that reads the
 * configuration, does not block.
 */

char *
ngx_http_litestream_check(ngx_cycle_t *cycle)
{
    ngx_core_conf_t                  *ccf;
    ngx_litestream_db_t             **dbs;
    ngx_litestream_conf_t            *lcf;
    ngx_http_litestream_said_t        said;
    ngx_http_litestream_main_conf_t  *lmcf;

    lcf = ngx_litestream_get_conf(cycle);

    if (lcf == NULL) {
        return NGX_CONF_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (!ccf->master) {
        dbs = lcf->all.elts;

        ngx_memzero(&said, sizeof(ngx_http_litestream_said_t));

        said.file = dbs[0]->file;
        said.line = dbs[0]->line;

        ngx_litestream_said_error(cycle->log, &said, 0,
                                  "\"litestream_db\" does not work with "
                                  "\"master_process off\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_litestream_listen_check(cycle, lcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    lmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_litestream_module);

    ngx_http_litestream_digest(cycle, lmcf);

    return NGX_CONF_OK;
}


/*
 * All that the supervisor is started from: as long as it stays the same, a
 * reload leaves it alone.  Where a directive stands does not matter.
 */

static void
ngx_http_litestream_digest(ngx_cycle_t *cycle,
    ngx_http_litestream_main_conf_t *lmcf)
{
    char                    **e;
    ngx_log_t                *log;
    ngx_md5_t                 md5;
    ngx_str_t                 name;
    ngx_uint_t                i, n;
    ngx_file_info_t           fi;
    ngx_core_conf_t          *ccf;
    ngx_litestream_db_t      *db, **dbs;
    ngx_litestream_key_t     *key;
    ngx_litestream_conf_t    *lcf;
    ngx_litestream_group_t   *group, **groups;

    lcf = &lmcf->lcf;

    ngx_md5_init(&md5);

    ngx_str_set(&name, NGX_LITESTREAM_VERSION);
    ngx_http_litestream_digest_str(&md5, &name);

    ngx_http_litestream_digest_str(&md5, &lcf->bin);

    ngx_memzero(&fi, sizeof(ngx_file_info_t));
    (void) ngx_file_info(lcf->bin.data, &fi);

    ngx_http_litestream_digest_num(&md5, fi.st_dev);
    ngx_http_litestream_digest_num(&md5, fi.st_ino);
    ngx_http_litestream_digest_num(&md5, fi.st_mtim.tv_sec);
    ngx_http_litestream_digest_num(&md5, fi.st_mtim.tv_nsec);
    ngx_http_litestream_digest_num(&md5, fi.st_size);

    ngx_http_litestream_digest_str(&md5, &lcf->state_path);

    ngx_http_litestream_digest_num(&md5, lcf->base != NULL);

    if (lcf->base) {
        ngx_md5_update(&md5, lcf->base->digest, sizeof(lcf->base->digest));
    }

    ngx_http_litestream_digest_num(&md5, lcf->background);
    ngx_http_litestream_digest_num(&md5, lcf->restore_timeout);
    ngx_http_litestream_digest_num(&md5, lcf->concurrency);
    ngx_http_litestream_digest_num(&md5, lcf->integrity_check);
    ngx_http_litestream_digest_num(&md5, lcf->shutdown_timeout);

    if (lmcf->log_file) {
        ngx_http_litestream_digest_num(&md5, 1);
        ngx_http_litestream_digest_str(&md5, &lmcf->log_file->name);
        ngx_http_litestream_digest_num(&md5, lcf->log->log_level);

    } else {
        ngx_http_litestream_digest_num(&md5, 0);
    }

    /* a kept supervisor goes on writing to the logs of its old cycle */

    for (log = &cycle->new_log; log; log = log->next) {
        ngx_http_litestream_digest_num(&md5, log->log_level);

        if (log->file) {
            ngx_http_litestream_digest_str(&md5, &log->file->name);
        }
    }

    /* workers are told by their user on supervisor.sock */

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    ngx_http_litestream_digest_num(&md5, ccf->user);
    ngx_http_litestream_digest_num(&md5, ccf->group);

    groups = lcf->groups.elts;

    for (i = 0; i < lcf->groups.nelts; i++) {
        group = groups[i];

        ngx_http_litestream_digest_str(&md5, &group->name);
        ngx_http_litestream_digest_str(&md5, &group->key);
        ngx_http_litestream_digest_str(&md5, &group->user);
        ngx_http_litestream_digest_num(&md5, group->uid);
        ngx_http_litestream_digest_num(&md5, group->gid);
        ngx_http_litestream_digest_str(&md5, &group->type);

        for (e = group->env; *e; e++) {
            ngx_md5_update(&md5, *e, ngx_strlen(*e) + 1);
        }
    }

    /* what was found in directories is not of the configuration */

    dbs = lcf->all.elts;

    for (i = 0; i < lcf->all.nelts; i++) {
        db = dbs[i];

        ngx_http_litestream_digest_num(&md5, db->in != NULL);
        ngx_http_litestream_digest_str(&md5, &db->alias);
        ngx_http_litestream_digest_str(&md5, &db->path);
        ngx_http_litestream_digest_num(&md5, db->group->index);

        ngx_http_litestream_digest_num(&md5, db->owner);
        ngx_http_litestream_digest_num(&md5, db->owner_group);
        ngx_http_litestream_digest_num(&md5, db->mode);

        ngx_http_litestream_digest_num(&md5, db->restore);
        ngx_http_litestream_digest_num(&md5, db->sync_interval);
        ngx_http_litestream_digest_num(&md5, db->checkpoint_interval);
        ngx_http_litestream_digest_num(&md5, db->busy_timeout);
        ngx_http_litestream_digest_num(&md5, db->min_checkpoint_pages);
        ngx_http_litestream_digest_num(&md5, db->replicate);
        ngx_http_litestream_digest_num(&md5, db->background);

        ngx_http_litestream_digest_str(&md5, &db->replica->type);
        ngx_http_litestream_digest_str(&md5, &db->replica->url);
        ngx_http_litestream_digest_str(&md5, &db->replica->id);
        ngx_http_litestream_digest_str(&md5, &db->replica->path);

        key = db->replica->keys->elts;

        ngx_http_litestream_digest_num(&md5, db->replica->keys->nelts);

        for (n = 0; n < db->replica->keys->nelts; n++) {
            ngx_http_litestream_digest_str(&md5, &key[n].key);
            ngx_http_litestream_digest_str(&md5, &key[n].value);
        }
    }

    ngx_md5_final(lcf->digest, &md5);
}


static void
ngx_http_litestream_digest_str(ngx_md5_t *md5, ngx_str_t *value)
{
    ngx_http_litestream_digest_num(md5, value->len);
    ngx_md5_update(md5, value->data, value->len);
}


static void
ngx_http_litestream_digest_num(ngx_md5_t *md5, int64_t value)
{
    ngx_md5_update(md5, &value, sizeof(int64_t));
}
