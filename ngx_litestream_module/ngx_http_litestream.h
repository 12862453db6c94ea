
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_HTTP_LITESTREAM_H_INCLUDED_
#define _NGX_HTTP_LITESTREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"

#pragma GCC visibility push(hidden)


/* a directive as it was said; looked at when all of them have been read */

typedef struct {
    ngx_str_t                   *args;  /* NUL-ended; args[0]: its name */
    ngx_uint_t                   nargs;
    u_char                      *file;  /* NULL: it was not said */
    ngx_uint_t                   line;
    ngx_litestream_vars_t       *vars;  /* for ${NAME}, NULL: as it is */
    unsigned                     warned:1;   /* of a replica: once is enough */
    unsigned                     unverified:1;    /* the same */
    unsigned                     literal:1;  /* nothing is appended to it */
} ngx_http_litestream_said_t;


/* the variables of http{} or of a server{}: litestream_env, _env_file */

typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    value; /* NUL-ended */
} ngx_litestream_var_t;


struct ngx_litestream_vars_s {
    ngx_array_t                  vars;  /* of ngx_litestream_var_t */
    ngx_litestream_vars_t       *outer; /* of http{}, NULL there */
    ngx_litestream_conf_t       *lcf;
    ngx_uint_t                   expand;     /* litestream_expand_env */
    ngx_str_t                    digest;     /* empty: nothing was said */
};


typedef struct {
    ngx_litestream_conf_t        lcf;

    ngx_http_litestream_said_t   base;
    ngx_http_litestream_said_t   bin;
    ngx_http_litestream_said_t   state_path;
    ngx_http_litestream_said_t   restore;
    ngx_http_litestream_said_t   shutdown_timeout;
    ngx_http_litestream_said_t   log;

    ngx_open_file_t             *log_file;   /* NULL: the cycle's log */
    ngx_flag_t                   expand_env;

    ngx_array_t                 *configs;    /* what GET config answers */
} ngx_http_litestream_main_conf_t;


typedef struct ngx_litestream_user_s  ngx_litestream_user_t;


/*
 * What applies to the databases of http{}, or of one server{}, which inherits
 * what it does not say itself
 */

typedef struct {
    ngx_litestream_user_t       *user;  /* litestream_user, or NULL */
    ngx_http_litestream_said_t  *replica;    /* or NULL */
    ngx_litestream_settings_t    settings;
    ngx_http_litestream_said_t  *prefix;     /* litestream_path_prefix */
    unsigned                     background:1;
} ngx_litestream_level_t;


/* http{} has one of these as well: what is said outside of server{} */

typedef struct {
    ngx_array_t                  said;  /* of said_t: litestream_db */
    ngx_http_litestream_said_t   replica;
    ngx_http_litestream_said_t   user;
    ngx_http_litestream_said_t   snapshot;
    ngx_http_litestream_said_t   metrics_addr;
    ngx_http_litestream_said_t   mcp_addr;
    ngx_http_litestream_said_t   path_prefix;

    ngx_array_t                  vfs;   /* of said_t: litestream_vfs */
    ngx_array_t                  env;   /* of said_t: litestream_env */
    ngx_array_t                  env_files;  /* of said_t */
    ngx_litestream_vars_t        vars;

    ngx_litestream_level_t       level;

    ngx_array_t                  dbs;   /* of ngx_litestream_db_t * */
    ngx_array_t                  vfss;  /* of ngx_litestream_vfs_t * */
} ngx_http_litestream_srv_conf_t;


typedef struct {
    ngx_flag_t                   api;
    ngx_flag_t                   write;
    ngx_array_t                 *dbs;   /* of ngx_litestream_db_t *, by db= */

    ngx_str_t                   *config;     /* two: what GET config answers */

    ngx_array_t                 *names; /* of ngx_str_t, as said by db= */
    ngx_http_litestream_said_t   said;
} ngx_http_litestream_loc_conf_t;


/*
 * The databases that a request may see: those of db= in its location, else
 * those of its server{}, else all.  Of ngx_litestream_db_t *, possibly
 * empty, never NULL.  Worker, does not block.
 */

ngx_array_t *ngx_http_litestream_dbs(ngx_http_request_t *r);

/* of litestream_vfs, those of its server{}, else all; none with db= */

ngx_array_t *ngx_http_litestream_vfs(ngx_http_request_t *r);

/* the same while the configuration is read; llcf may be NULL */

ngx_array_t *ngx_http_litestream_visible(ngx_http_litestream_main_conf_t *lmcf,
    ngx_http_litestream_srv_conf_t *lscf,
    ngx_http_litestream_loc_conf_t *llcf);

/*
 * What can be checked only when the whole configuration is known, and the
 * digest.  The core module calls it from its init_conf, nothing else fails
 * later.  NGX_CONF_OK, or NGX_CONF_ERROR after it has been logged.
 */

char *ngx_http_litestream_check(ngx_cycle_t *cycle);

/* ngx_http_litestream_setup.c: everything else that can be refused */

ngx_int_t ngx_http_litestream_setup(ngx_conf_t *cf,
    ngx_http_litestream_main_conf_t *lmcf,
    ngx_http_litestream_srv_conf_t *lscf);

/* ngx_http_litestream_variable.c: preconfiguration */

ngx_int_t ngx_http_litestream_add_variables(ngx_conf_t *cf);

/*
 * ngx_http_litestream_config.c: the databases of db=; the generated files
 * with secrets masked, as GET config answers (NULL: failed) and for
 * "nginx -T"
 */

ngx_int_t ngx_http_litestream_api_dbs(ngx_conf_t *cf,
    ngx_litestream_conf_t *lcf, ngx_http_litestream_loc_conf_t *conf);

ngx_str_t *ngx_http_litestream_config_prepare(ngx_conf_t *cf,
    ngx_http_litestream_main_conf_t *lmcf, ngx_array_t *dbs);
ngx_int_t ngx_http_litestream_config_dump(ngx_conf_t *cf,
    ngx_litestream_conf_t *lcf);

/* content handler of litestream_api: ngx_http_litestream_api.c */

ngx_int_t ngx_http_litestream_api_handler(ngx_http_request_t *r);


/*
 * The configuration's own: ngx_litestream_database.c, _addr.c, _group.c,
 * _param.c, _replica.c, _user.c, _warn.c.  All of it runs while the
 * configuration is read, in any process that does, and may block on the file
 * system and in NSS; nothing is changed there.
 */

#define NGX_LITESTREAM_READ      4
#define NGX_LITESTREAM_WRITE     2
#define NGX_LITESTREAM_SEARCH    1   /* or execute */


struct ngx_litestream_user_s {
    uid_t                        uid;
    gid_t                        gid;
    ngx_str_t                    user;  /* name, or number as text */
    ngx_str_t                    group;
    ngx_array_t                  gids;  /* of gid_t, supplementary too */
};


typedef struct {
    ngx_conf_t                  *cf;
    ngx_litestream_conf_t       *lcf;
    ngx_litestream_level_t      *level; /* of what is being read */
    ngx_uint_t                   expand;     /* litestream_expand_env */
    ngx_array_t                  users; /* of ngx_litestream_user_t * */
    ngx_rbtree_t                 aliases;
    ngx_rbtree_t                 files;
    ngx_rbtree_node_t            sentinel;
} ngx_litestream_parse_t;


/* a litestream_db that is being looked at: _database.c and _param.c */

typedef struct {
    ngx_litestream_parse_t      *parse;
    ngx_http_litestream_said_t  *said;
    ngx_litestream_db_t         *db;
    ngx_litestream_user_t       *user;  /* of the group */
    ngx_str_t                    path;  /* as it was said */
    ngx_str_t                    url;   /* replica= */
    ngx_str_t                    owner; /* owner= */
    ngx_str_t                    owner_group;
} ngx_litestream_db_ctx_t;


/*
 * ngx_http_litestream_level.c: the databases of http{}, then those of each
 * server{}.  outer: what it inherits from, NULL for http{} itself.
 */

ngx_int_t ngx_http_litestream_level(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf,
    ngx_http_litestream_srv_conf_t *outer);

/*
 * ngx_http_litestream_value.c: what litestream_restore, _shutdown_timeout and
 * _log of http{}, whose variables are vars, say; and what litestream_api of a
 * location does, vars being those of its server{}: llcf->write and names.
 * NGX_ERROR: it has been logged.  Any process that reads the configuration,
 * does not block.
 */

ngx_int_t ngx_http_litestream_values(ngx_litestream_parse_t *parse,
    ngx_http_litestream_main_conf_t *lmcf, ngx_litestream_vars_t *vars);
ngx_int_t ngx_http_litestream_api_said(ngx_conf_t *cf,
    ngx_http_litestream_loc_conf_t *llcf, ngx_litestream_vars_t *vars);

ngx_int_t ngx_litestream_parse_init(ngx_litestream_parse_t *parse,
    ngx_conf_t *cf, ngx_litestream_conf_t *lcf);

/*
 * Adds one database, and its group when it is the first of it, to the
 * configuration.  replica: the litestream_replica that applies, or NULL.
 * NULL: refused, it has been logged.
 */

ngx_litestream_db_t *ngx_litestream_db_parse(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_http_litestream_said_t *replica);

/* the name of one: valid, and not that of another */

ngx_int_t ngx_litestream_db_alias(ngx_litestream_db_ctx_t *ctx);

/* ngx_litestream_vfs.c: a litestream_vfs; NGX_ERROR: refused, logged */

ngx_int_t ngx_litestream_vfs_parse(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_array_t *list);

ngx_int_t ngx_litestream_db_user(ngx_litestream_db_ctx_t *ctx,
    ngx_file_info_t *fi, ngx_str_t *name);
ngx_int_t ngx_litestream_db_missing(ngx_litestream_db_ctx_t *ctx);
ngx_int_t ngx_litestream_db_add(ngx_litestream_parse_t *parse,
    ngx_rbtree_t *tree, ngx_str_t *key, ngx_litestream_db_t *db,
    ngx_litestream_db_t **old);

/*
 * ngx_litestream_dir.c: directories of databases.  named: 1 for a path that
 * means one; path: what it says, into db->in; files: what is there, and who
 * works with it; variable: 1 for a $name that its replica may have; replica:
 * whether each database gets one of its own.  NGX_ERROR: it has been logged.
 */

ngx_uint_t ngx_litestream_dir_named(ngx_str_t *path);
ngx_int_t ngx_litestream_dir_path(ngx_litestream_db_ctx_t *ctx);
ngx_int_t ngx_litestream_dir_files(ngx_litestream_db_ctx_t *ctx);
ngx_uint_t ngx_litestream_dir_variable(ngx_litestream_dir_t *dir,
    ngx_str_t *name);
ngx_int_t ngx_litestream_dir_literal(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *text, ngx_str_t *url);
ngx_int_t ngx_litestream_dir_replica(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_db_t *db,
    ngx_litestream_replica_t *replica);

/* ngx_litestream_warn.c: what is allowed but should not be */

void ngx_litestream_db_warn(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_http_litestream_said_t *said,
    ngx_http_litestream_said_t *replica);

/* the parameters after the path; NGX_ERROR: refused, it has been logged */

ngx_int_t ngx_litestream_db_params(ngx_litestream_db_ctx_t *ctx);

/*
 * A litestream_replica by itself, once, whether databases use it or not; the
 * replica of a database; and no two databases with the same replica.
 */

ngx_int_t ngx_litestream_replica_check(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *replica);
ngx_litestream_replica_t *ngx_litestream_replica_parse(
    ngx_litestream_parse_t *parse, ngx_litestream_db_t *db,
    ngx_http_litestream_said_t *said, ngx_str_t *url,
    ngx_http_litestream_said_t *replica);
ngx_int_t ngx_litestream_replicas_check(ngx_litestream_parse_t *parse);

/*
 * Types of replicas.  Their parameters become keys of litestream.yml.  handler
 * takes the URL of a replica apart, finish completes what its parameters left
 * out; both log what they refuse.
 */

typedef enum {
    NGX_LITESTREAM_ANY = 0,
    NGX_LITESTREAM_BOOL,
    NGX_LITESTREAM_NUMBER,
    NGX_LITESTREAM_INTEGER,
    NGX_LITESTREAM_SIZE,
    NGX_LITESTREAM_TIME,
    NGX_LITESTREAM_ENDPOINT,
    NGX_LITESTREAM_FILE,
    NGX_LITESTREAM_FILES,
    NGX_LITESTREAM_HOST_KEY,
    NGX_LITESTREAM_NKEY
} ngx_litestream_param_e;

#define NGX_LITESTREAM_MASKED    1   /* a secret */
#define NGX_LITESTREAM_PRIVATE   2   /* and nothing for a public file */


typedef struct {
    ngx_str_t                    name;  /* as in nginx.conf */
    ngx_str_t                    key;   /* as in litestream.yml */
    ngx_litestream_param_e       kind;
    ngx_uint_t                   secret;
} ngx_litestream_replica_param_t;


typedef ngx_int_t (*ngx_litestream_replica_pt)(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);

typedef struct {
    ngx_str_t                         scheme;
    ngx_str_t                         type;
    ngx_litestream_replica_param_t   *params;
    ngx_litestream_replica_pt         handler;
    ngx_litestream_replica_pt         finish;     /* or NULL */
} ngx_litestream_scheme_t;


extern ngx_litestream_replica_param_t  ngx_litestream_s3_params[];

ngx_int_t ngx_litestream_s3_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_s3_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);

/* ngx_litestream_bucket.c, ngx_litestream_remote.c */

extern ngx_litestream_replica_param_t  ngx_litestream_gs_params[];
extern ngx_litestream_replica_param_t  ngx_litestream_abs_params[];
extern ngx_litestream_replica_param_t  ngx_litestream_oss_params[];
extern ngx_litestream_replica_param_t  ngx_litestream_sftp_params[];
extern ngx_litestream_replica_param_t  ngx_litestream_webdav_params[];
extern ngx_litestream_replica_param_t  ngx_litestream_nats_params[];

ngx_int_t ngx_litestream_gs_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_gs_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_abs_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_abs_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_oss_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_oss_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_sftp_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_sftp_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_webdav_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_webdav_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_nats_url(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_nats_finish(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_replica_t *replica);

/* logs "invalid replica", its URL without secrets; always NGX_ERROR */

ngx_int_t ngx_litestream_replica_invalid(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *url, char *reason);

/* the type that a scheme stands for, or NULL */

ngx_str_t *ngx_litestream_replica_type(ngx_str_t *scheme);

/* "s3://BUCKET/[PREFIX/]FILENAME" of the environment; NGX_DECLINED: none */

ngx_int_t ngx_litestream_s3_environment(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *file, ngx_str_t *url);

/*
 * An endpoint with its scheme, without a slash at its end, in memory of pool;
 * NULL, or what is wrong with it (never a part of it, NGX_CONF_ERROR: no
 * memory).
 */

char *ngx_litestream_endpoint(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *endpoint);

/*
 * ngx_litestream_key.c.  params: checks the parameters of a directive and
 * remembers the secrets; they become keys of replica, unless that is NULL.
 * literal: warns of secrets that everybody can read; public: of one in a URL,
 * which stands for that parameter.
 */

ngx_int_t ngx_litestream_replica_params(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_litestream_replica_t *replica);
void ngx_litestream_replica_literal(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme);
void ngx_litestream_replica_public(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *url);

/* a new key, or NULL: no memory */

ngx_litestream_key_t *ngx_litestream_replica_add(
    ngx_litestream_replica_t *replica, char *name, ngx_str_t *value);

/* what a name is meant to be, or NULL; how far two names are apart */

char *ngx_litestream_replica_hint(ngx_str_t *type, ngx_str_t *name);
ngx_uint_t ngx_litestream_distance(ngx_str_t *one, ngx_str_t *two);


/*
 * Variables: ngx_http_litestream_env.c.  init reads the files of one level;
 * expand replaces ${NAME} in the arguments of a directive from the first-th
 * on, expand_arg in one text; lookup gives the value of a variable, or NULL,
 * data being the ngx_litestream_vars_t; get gives that of a variable, or of
 * the other one where there is none, of the innermost level that has one of
 * them and it is not empty, or NULL.
 */

ngx_int_t ngx_litestream_vars_init(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf,
    ngx_http_litestream_srv_conf_t *outer);
ngx_int_t ngx_litestream_expand(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_uint_t first);
ngx_int_t ngx_litestream_expand_arg(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *text, ngx_str_t *out);
ngx_str_t *ngx_litestream_vars_lookup(void *data, ngx_str_t *name);
ngx_str_t *ngx_litestream_vars_get(ngx_litestream_vars_t *vars, char *name,
    char *other);
ngx_int_t ngx_litestream_secret(ngx_litestream_conf_t *lcf, ngx_str_t *value);

/* ngx_http_litestream_environ.c: group->env, vars->digest */

ngx_int_t ngx_litestream_vars_digest(ngx_pool_t *pool,
    ngx_litestream_vars_t *vars);
ngx_int_t ngx_litestream_vars_environ(ngx_litestream_parse_t *parse,
    ngx_litestream_vars_t *vars, ngx_litestream_group_t *group);

/*
 * litestream_base_config: ngx_litestream_base.c, _base_merge.c.  What the
 * file says of the database with that path, or NULL, and its replica unless
 * url has been said; what a replica of that type gets from it (said: where it
 * was said, in the file itself or not); what a database gets from it (own:
 * that replica); its databases that nginx.conf does not have.
 */

typedef struct ngx_litestream_base_db_s  ngx_litestream_base_db_t;

ngx_int_t ngx_litestream_base_read(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said);
ngx_litestream_base_db_t *ngx_litestream_base_find(
    ngx_litestream_parse_t *parse, ngx_str_t *path, ngx_str_t *url,
    ngx_http_litestream_said_t **replica);
ngx_int_t ngx_litestream_base_keys(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_scheme_t *scheme,
    ngx_litestream_replica_t *replica);
ngx_int_t ngx_litestream_base_merge(ngx_litestream_parse_t *parse,
    ngx_litestream_db_t *db, ngx_litestream_base_db_t *bdb, ngx_uint_t own);
ngx_int_t ngx_litestream_base_adopt(ngx_litestream_parse_t *parse,
    ngx_http_litestream_srv_conf_t *lscf, ngx_http_litestream_said_t *replica);

/*
 * The group of databases of that user, type of replica and level; no two
 * groups that replicate with one address, nor one where nginx listens
 */

ngx_litestream_group_t *ngx_litestream_group_get(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_litestream_user_t *user,
    ngx_str_t *type);
ngx_int_t ngx_litestream_groups_check(ngx_litestream_parse_t *parse);
ngx_int_t ngx_litestream_listen_check(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);

/* ngx_litestream_addr.c: host:port; NULL: refused, it has been logged */

ngx_litestream_addr_t *ngx_litestream_addr_parse(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said);

/* 1: nobody else can reach it but this machine */

ngx_uint_t ngx_litestream_addr_loopback(ngx_litestream_addr_t *addr);

/* whether one can be listened on while the other is in use */

ngx_uint_t ngx_litestream_addr_clash(ngx_litestream_addr_t *one,
    ngx_litestream_addr_t *two);

/* 1: this user may not listen on it */

ngx_uint_t ngx_litestream_addr_privileged(ngx_litestream_addr_t *addr,
    uid_t uid);

/* nginx's time, more than 0 and what Litestream can bear, in ms */

ngx_int_t ngx_litestream_param_msec(ngx_str_t *value, ngx_msec_t *msec);

/* a duration as Go writes it, in ns, -1: ngx_litestream_base_value.c */

int64_t ngx_litestream_base_duration(ngx_str_t *value);

/* find: by name or number; get: group is NULL unless one was said */

ngx_litestream_user_t *ngx_litestream_user_find(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *user, ngx_str_t *group);
ngx_litestream_user_t *ngx_litestream_user_get(ngx_litestream_parse_t *parse,
    ngx_str_t *group, uid_t uid, gid_t gid);

/* NGX_OK when each group's user may execute the file, else NGX_ERROR */

ngx_int_t ngx_litestream_exec_check(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *name);

/*
 * 1 when the user may: pass all directories of a path, use a file that has
 * this information, use a file that will have this owner and mode.
 */

ngx_uint_t ngx_litestream_may_search(ngx_litestream_user_t *user,
    ngx_str_t *path, ngx_str_t *refuses, ngx_file_info_t *fi);
ngx_uint_t ngx_litestream_may(ngx_litestream_user_t *user, u_char *name,
    ngx_file_info_t *fi, ngx_uint_t need);
ngx_uint_t ngx_litestream_mode(ngx_litestream_user_t *user, uid_t uid,
    gid_t gid, ngx_uint_t mode, ngx_uint_t need);

/* a mode for "%04ui" */

ngx_uint_t ngx_litestream_octal(ngx_uint_t mode);

/* NGX_ERROR: ngx_errno is set */

ngx_int_t ngx_litestream_real_path(ngx_pool_t *pool, ngx_str_t *path,
    ngx_str_t *real);

/* 1: a path that is absolute and has no control characters in it */

ngx_uint_t ngx_litestream_path_valid(ngx_str_t *path);

/* the value of an environment variable nginx was started with, or NULL */

char *ngx_litestream_env(char *name);
char *ngx_litestream_systemd_hint(void);

/* ngx_conf_log_error() with the directive's own file and line: emerg, warn */

void ngx_cdecl ngx_litestream_said_error(ngx_log_t *log,
    ngx_http_litestream_said_t *said, ngx_err_t err, const char *fmt, ...);
void ngx_cdecl ngx_litestream_said_warn(ngx_log_t *log,
    ngx_http_litestream_said_t *said, const char *fmt, ...);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_LITESTREAM_H_INCLUDED_ */
