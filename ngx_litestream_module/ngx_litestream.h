
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_H_INCLUDED_
#define _NGX_LITESTREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_litestream_shared.h"

/* what is declared here is of this module alone, a .so does not export it */
#pragma GCC visibility push(hidden)


/* the one Litestream that the generated files are written for */
#define NGX_LITESTREAM_BIN_VERSION    "0.5.17"

/* sun_path less the NUL */
#define NGX_LITESTREAM_SOCKET_LEN     107

/* the longest line of a child that is looked at, in bytes */
#define NGX_LITESTREAM_LINE_LEN       8192

#define NGX_LITESTREAM_ANSWER_LEN     65536
#define NGX_LITESTREAM_LIST_LEN       (1024 * 1024 * 8)


/* names of temporary files are made of the name of a database */
#define NGX_LITESTREAM_NAME_LEN       (255 - 32)

/* components of a path with "*", from the first one with a "*" on */
#define NGX_LITESTREAM_PATTERN_PARTS  32


#define NGX_LITESTREAM_RESTORE_OFF        0
#define NGX_LITESTREAM_RESTORE_IF_BACKUP  1
#define NGX_LITESTREAM_RESTORE_REQUIRED   2

#define NGX_LITESTREAM_CHECK_NONE         0
#define NGX_LITESTREAM_CHECK_QUICK        1
#define NGX_LITESTREAM_CHECK_FULL         2


/*
 * A list of a replica: memory that is passed as a descriptor, and sealed.  The
 * newest files follow the head.
 */

#define NGX_LITESTREAM_LTX_MAGIC       0x6c747831
#define NGX_LITESTREAM_LTX_LEVELS      10
#define NGX_LITESTREAM_LTX_FILES       65536

#define NGX_LITESTREAM_LTX_SEALS                                              \
    (F_SEAL_SEAL|F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE)


typedef struct {
    uint64_t                   files;
    int64_t                    bytes;
    uint64_t                   min;
    uint64_t                   max;
    int64_t                    from;    /* ms since 1970 */
    int64_t                    to;
} ngx_litestream_ltx_level_t;


typedef struct {
    uint32_t                   magic;
    uint32_t                   files;   /* that follow */
    int64_t                    at;      /* when it was made */
    int64_t                    from;    /* can be restored */
    int64_t                    to;
    ngx_litestream_ltx_level_t     levels[NGX_LITESTREAM_LTX_LEVELS];
} ngx_litestream_ltx_head_t;


/* the configuration: built by the HTTP module from a cycle's pool */

typedef struct ngx_litestream_db_s     ngx_litestream_db_t;
typedef struct ngx_litestream_group_s  ngx_litestream_group_t;
typedef struct ngx_litestream_base_s   ngx_litestream_base_t;
typedef struct ngx_litestream_vars_s   ngx_litestream_vars_t;
typedef struct ngx_litestream_dir_s    ngx_litestream_dir_t;


/* a part of a YAML file: ngx_litestream_tree.c */

#define NGX_LITESTREAM_NODE_NULL    0   /* a key without a value */
#define NGX_LITESTREAM_NODE_SCALAR  1
#define NGX_LITESTREAM_NODE_MAP     2
#define NGX_LITESTREAM_NODE_LIST    3

typedef struct ngx_litestream_node_s  ngx_litestream_node_t;

struct ngx_litestream_node_s {
    ngx_str_t                  name;    /* of a member of a mapping */
    ngx_str_t                  value;   /* of a scalar, NUL-ended */
    ngx_litestream_node_t     *child;   /* of a mapping or a list */
    ngx_litestream_node_t     *next;
    ngx_uint_t                 line;
    ngx_uint_t                 type;    /* NGX_LITESTREAM_NODE_XXX */
    unsigned                   plain:1; /* not quoted */
    unsigned                   expanded:1;   /* there was a variable */
    unsigned                   secret:1;
};


typedef struct {
    ngx_str_t                  key;     /* as in litestream.yml */
    ngx_str_t                  value;
    unsigned                   secret:1;
    unsigned                   list:1;  /* value: "one,two" */
} ngx_litestream_key_t;


typedef struct {
    ngx_str_t                  type;    /* "file" */
    ngx_str_t                  url;     /* for people, masked, NUL-ended */
    ngx_str_t                  id;      /* canonical: tells replicas apart */
    ngx_str_t                  path;    /* of a file replica, NUL-ended */
    ngx_str_t                  endpoint;     /* URL of its server, or empty */
    ngx_array_t               *keys;    /* of ngx_litestream_key_t */
} ngx_litestream_replica_t;


/* host:port where Litestream listens; sockaddr is NULL: all addresses */

typedef struct {
    ngx_str_t                  text;    /* as in litestream.yml */
    struct sockaddr           *sockaddr;
    socklen_t                  socklen;
    ngx_uint_t                 port;
    u_char                    *file;    /* where it was said */
    ngx_uint_t                 line;
} ngx_litestream_addr_t;


/* what one Litestream has for all its databases */

typedef struct {
    ngx_msec_t                 snapshot_interval;     /* 0: not said */
    ngx_msec_t                 snapshot_retention;
    ngx_litestream_addr_t     *metrics;      /* or NULL */
    ngx_litestream_addr_t     *mcp;     /* or NULL */
} ngx_litestream_settings_t;


/* a path with "*", taken apart: ngx_litestream_pattern.c */

typedef struct {
    ngx_str_t                  text;    /* below the root */
    ngx_uint_t                 n;
    ngx_str_t                  parts[NGX_LITESTREAM_PATTERN_PARTS];
} ngx_litestream_pattern_t;


/* $NAME in a replica: what a group of that name has matched */

typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  value;
    ngx_uint_t                 n;       /* of the group */
} ngx_litestream_named_t;


/* a directory of databases, which are found while nginx runs */

struct ngx_litestream_dir_s {
    ngx_litestream_db_t       *db;      /* what they all have */
    ngx_str_t                  root;    /* links resolved, NUL-ended */
    ngx_litestream_pattern_t   pattern;
    ngx_regex_t               *regex;   /* NULL: pattern counts */
    ngx_uint_t                 captures;
    ngx_array_t                names;   /* of ngx_litestream_named_t */
    uint64_t                   id;      /* of alias and path */
    ngx_uint_t                 index;   /* in conf->dirs */

    /* where their replicas are: before and after $file, if only that varies */

    ngx_str_t                  before;
    ngx_str_t                  after;
    unsigned                   listed:1;     /* they can be looked for */
};


struct ngx_litestream_db_s {
    ngx_str_t                  alias;   /* NUL-ended */
    ngx_str_t                  path;    /* symlinks resolved, NUL-ended */
    ngx_str_t                  dir;     /* of path, NUL-ended */
    ngx_str_t                  name;    /* last component, NUL-ended */
    uint64_t                   id;      /* ngx_litestream_id(path) */
    ngx_uint_t                 index;   /* in conf->dbs */

    ngx_litestream_replica_t  *replica;
    ngx_litestream_group_t    *group;

    ngx_litestream_dir_t      *in;      /* where it was found, or is itself */
    ngx_pool_t                *pool;    /* of one that was found */

    uid_t                      owner;   /* of a restored file */
    gid_t                      owner_group;
    ngx_uint_t                 mode;

    ngx_uint_t                 restore; /* NGX_LITESTREAM_RESTORE_XXX */
    ngx_msec_t                 sync_interval;
    ngx_msec_t                 checkpoint_interval;   /* or UNSET */
    ngx_msec_t                 busy_timeout;          /* or UNSET */
    ngx_int_t                  min_checkpoint_pages;  /* or UNSET */

    /* of litestream_base_config, what nginx.conf does not say itself */

    ngx_litestream_node_t     *keys;    /* of the database, or NULL */
    ngx_litestream_node_t     *settings;     /* of its replica, or NULL */

    u_char                    *file;    /* where it was said, for messages */
    ngx_uint_t                 line;

    /*
     * set by the foreground restore in the process that becomes the master,
     * inherited by the supervisor
     */

    ngx_uint_t                 outcome; /* NGX_LITESTREAM_OUTCOME_XXX */
    uint64_t                   restored_txid;
    off_t                      restored_bytes;
    ngx_msec_t                 restored_ms;

    unsigned                   replicate:1;
    unsigned                   background:1;
    unsigned                   base_interval:1;   /* keys, settings say it */
    unsigned                   gone:1;  /* was found once: its place is free */
};


/* a database that is read by Litestream's VFS: ngx_litestream_vfs.c */

#define NGX_LITESTREAM_VFS_DIR  "vfs"

typedef struct {
    ngx_str_t                  name;
    ngx_litestream_replica_t  *replica;
    ngx_str_t                  user;    /* of the application */
    uid_t                      uid;
    gid_t                      gid;
    time_t                     max_lag; /* in seconds, 0: not said */
    ngx_str_t                  file;    /* STATE/vfs/NAME.env, NUL-ended */
    ngx_str_t                  text;    /* what is in it */
    ngx_str_t                  masked;  /* the same for people */
} ngx_litestream_vfs_t;


/* a litestream.yml of the user's: ngx_litestream_base.c */

struct ngx_litestream_base_s {
    ngx_str_t                  file;    /* NUL-ended */
    ngx_uint_t                 pass;    /* unknown=pass */
    ngx_array_t                dbs;     /* of ngx_litestream_base_db_t * */
    ngx_litestream_node_t     *keys;    /* for each group's file, or NULL */
    ngx_litestream_node_t     *settings;     /* defaults of replicas */
    ngx_litestream_node_t     *snapshots;    /* said by databases */
    ngx_litestream_node_t     *logging; /* or NULL */
    ngx_litestream_node_t     *literal; /* a secret, or NULL */
    ngx_uint_t                 mode;    /* of the file */
    ngx_litestream_vars_t     *vars;    /* of http{}, for ${NAME} */
    u_char                     digest[16];
};


struct ngx_litestream_group_s {
    ngx_str_t                  name;    /* "33-file-1a2b3c4d" */
    ngx_str_t                  user;    /* name or number, NUL-ended */
    uid_t                      uid;
    gid_t                      gid;
    ngx_str_t                  type;
    ngx_str_t                  key;     /* all that makes it differ */
    ngx_litestream_settings_t  settings;
    ngx_uint_t                 index;   /* in conf->groups */

    /* below the state path, NUL-ended */

    ngx_str_t                  dir;     /* root's */
    ngx_str_t                  yml;
    ngx_str_t                  run;     /* the user's */
    ngx_str_t                  socket;

    ngx_array_t                dbs;     /* of ngx_litestream_db_t * */
    ngx_array_t                dirs;    /* of ngx_litestream_dir_t * */

    /* environment of its processes, "NAME=value", NULL at the end */

    char                     **env;
};


/*
 * dbs: in the supervisor, those that were found in directories are there as
 * well; all: as the configuration names them, directories too, by their db
 */

typedef struct {
    ngx_array_t                dbs;     /* of ngx_litestream_db_t * */
    ngx_array_t                dirs;    /* of ngx_litestream_dir_t * */
    ngx_array_t                all;     /* of ngx_litestream_db_t * */
    ngx_array_t                groups;  /* of ngx_litestream_group_t * */
    ngx_array_t                vfs;     /* of ngx_litestream_vfs_t * */
    ngx_array_t                secrets; /* of ngx_str_t, to redact */
    void                      *redact;  /* ngx_litestream_redact_init() */

    ngx_str_t                  bin;     /* absolute, NUL-ended */
    ngx_str_t                  state_path;   /* NUL-ended, no last slash */
    ngx_str_t                  status;  /* STATE/status */
    ngx_str_t                  memory;  /* STATE/replicas */
    ngx_str_t                  socket;  /* STATE/supervisor.sock */

    ngx_uint_t                 background;   /* litestream_restore */
    ngx_msec_t                 restore_timeout;
    ngx_int_t                  concurrency;
    ngx_uint_t                 integrity_check;

    ngx_msec_t                 shutdown_timeout;

    ngx_log_t                 *log;     /* litestream_log, or cycle's */

    ngx_litestream_base_t     *base;    /* litestream_base_config, or NULL */

    u_char                     digest[16];   /* of all that matters */
} ngx_litestream_conf_t;


/* facts and verdicts: pure, ngx_litestream_verdict.c */

#define NGX_LITESTREAM_OUTCOME_UNKNOWN    0
#define NGX_LITESTREAM_OUTCOME_PRESENT    1
#define NGX_LITESTREAM_OUTCOME_RESTORED   2
#define NGX_LITESTREAM_OUTCOME_NEW        3   /* proven: nothing to restore */
#define NGX_LITESTREAM_OUTCOME_OFF        4   /* missing, restore=off */
#define NGX_LITESTREAM_OUTCOME_ERROR      5


/* the status file: ngx_litestream_status.c */

/*
 * Read side, any process.  ngx_litestream_status_open() maps the file
 * read-only (does open() and mmap(): call it in init_process, not for a
 * request); NGX_DECLINED: there is none yet.  The getters copy one record
 * out of the mapping, no system call; NGX_DECLINED: no such record.
 * hint: where the record probably is (db->index of the configuration).
 */

ngx_int_t ngx_litestream_status_open(ngx_str_t *name, ngx_log_t *log);
ngx_int_t ngx_litestream_status_super(ngx_litestream_super_status_t *st);
uint64_t ngx_litestream_status_changes(void);
ngx_int_t ngx_litestream_status_group(ngx_uint_t n,
    ngx_litestream_group_status_t *st);
ngx_int_t ngx_litestream_status_db(uint64_t id, ngx_uint_t hint,
    ngx_litestream_db_status_t *st);
ngx_int_t ngx_litestream_status_dir(uint64_t id, ngx_uint_t hint,
    ngx_litestream_dir_status_t *st);

/*
 * The databases of a directory: the first record from *n on, and *n of the one
 * behind it; NGX_DECLINED: there are no more.
 */

ngx_int_t ngx_litestream_status_next(uint64_t dir, ngx_uint_t *n,
    ngx_litestream_db_status_t *st);

/* questions to the supervisor: ngx_litestream_ask.c */

/*
 * Worker side.  The caller fills msg (type, db, mode, timeout_ms), handler,
 * data, and calls ngx_litestream_ask(); the handler is called once from the
 * event loop with the answer in msg, or never when ngx_litestream_forget()
 * came first (a pool cleanup should call it: it is harmless afterwards).
 * Never blocks.  Without a supervisor the question waits, it is sent when a
 * connection is there: the caller has its own timer for its own limit.
 */

typedef struct ngx_litestream_ask_s  ngx_litestream_ask_t;

typedef void (*ngx_litestream_ask_pt)(ngx_litestream_ask_t *ask);

struct ngx_litestream_ask_s {
    ngx_queue_t                queue;
    ngx_litestream_msg_t       msg;
    ngx_litestream_ask_pt      handler;
    void                      *data;
    int                        fd;      /* came with the answer, or -1 */
    unsigned                   pending:1;
    unsigned                   sent:1;
};

void ngx_litestream_ask(ngx_litestream_ask_t *ask);
void ngx_litestream_forget(ngx_litestream_ask_t *ask);

/* connects this worker, retries by a cancelable timer; init_process only */
ngx_int_t ngx_litestream_ipc_connect(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
void ngx_litestream_ipc_close(void);

/* 1 while this worker has a connection to a supervisor */
ngx_uint_t ngx_litestream_ipc_connected(void);


/* a replica's key, by its name in litestream.yml, or NULL */

ngx_litestream_key_t *ngx_litestream_replica_key(
    ngx_litestream_replica_t *replica, char *name);


/* 1: its replicas are of that type: ngx_litestream_group.c */

ngx_uint_t ngx_litestream_group_is(ngx_litestream_group_t *group, char *type);


/* YAML out and in: ngx_litestream_yaml.c */

/*
 * The group's litestream.yml, with the databases for which use[db->index] is
 * set (use may be NULL: all of them).  mask: secrets become "***".  Memory
 * comes from pool.
 */

ngx_int_t ngx_litestream_yaml_write(ngx_pool_t *pool,
    ngx_litestream_conf_t *lcf, ngx_litestream_group_t *group, u_char *use,
    ngx_uint_t mask, ngx_str_t *out);
ngx_int_t ngx_litestream_old_yaml(ngx_pool_t *pool,
    ngx_litestream_conf_t *lcf, ngx_litestream_group_t *group, u_char *use,
    ngx_uint_t mask, ngx_str_t *out);

/*
 * Walks a JSON (or YAML) text of at most len bytes with libyaml's event
 * parser: no tree, no recursion, depth bounded to 16.  The handler sees every
 * scalar with the key it stands under (empty in a sequence), and the end of
 * each mapping (key.len = 0, value NULL) so that it can flush what it has
 * gathered.  depth is 1 in the outermost mapping or sequence.  The strings
 * live for the call only, they are NUL-ended.  handler returns NGX_OK to go
 * on, NGX_DONE to stop early.  NGX_ERROR: not well-formed, or too deep.
 */

typedef ngx_int_t (*ngx_litestream_yaml_pt)(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);

ngx_int_t ngx_litestream_yaml_read(u_char *text, size_t len,
    ngx_litestream_yaml_pt handler, void *data);


/*
 * A YAML text as a tree, and a member of a mapping in it:
 * ngx_litestream_tree.c.  NGX_DECLINED: *line, *reason; *root may be NULL.
 */

ngx_int_t ngx_litestream_tree_read(ngx_pool_t *pool, u_char *text, size_t len,
    ngx_litestream_node_t **root, ngx_uint_t *line, char **reason);
ngx_litestream_node_t *ngx_litestream_tree_get(ngx_litestream_node_t *map,
    char *name);


/* lines of children: ngx_litestream_log.c */

typedef struct {
    ngx_uint_t                 level;   /* NGX_LOG_XXX */
    unsigned                   json:1;  /* 0: plain text, all of it is msg */
    ngx_str_t                  msg;
    ngx_str_t                  db;
    ngx_str_t                  error;
    ngx_str_t                  version;
} ngx_litestream_line_t;

/*
 * Takes one line apart; its strings point into buf (NGX_LITESTREAM_LINE_LEN
 * bytes of the caller's).  The first of duplicate keys counts.  A line that
 * is not JSON: json = 0, msg = the line, level = NGX_LOG_ERR when it starts
 * with "Error:" or "panic:", else NGX_LOG_NOTICE.
 */

void ngx_litestream_line_parse(u_char *p, size_t len, u_char *buf,
    ngx_litestream_line_t *line);

/*
 * Writes what an error log should say of a line, "msg: error, db \"app.db\"",
 * at most size bytes and not NUL-ended, and returns the length.  It is not
 * redacted yet.
 */

size_t ngx_litestream_line_text(ngx_litestream_line_t *line, u_char *buf,
    size_t size);

/*
 * Replaces in place the configured secrets, userinfo passwords in URLs and
 * what follows names like secret, password, token, (access|account)-key by
 * "***" (in place: the result is never longer); control characters become
 * "?".  Returns the new length.  ngx_litestream_redact_init() compiles the
 * expressions and sorts lcf->secrets into lcf->redact, from cf->pool: once at
 * the end of the configuration, when all secrets are known.  Without it
 * ngx_litestream_redact() only replaces control characters.
 */

ngx_int_t ngx_litestream_redact_init(ngx_conf_t *cf,
    ngx_litestream_conf_t *lcf);
size_t ngx_litestream_redact(ngx_litestream_conf_t *lcf, u_char *p,
    size_t len);


/* URLs of replicas, pure: ngx_litestream_url.c */

typedef struct {
    ngx_str_t                  scheme;
    ngx_str_t                  user;    /* decoded; data is NULL: none */
    ngx_str_t                  password;     /* decoded; the same */
    ngx_str_t                  host;    /* with its port, several: "a:1,b" */
    ngx_str_t                  path;    /* as it is there, from "/" on */
    ngx_str_t                  query;   /* after "?"; data is NULL: none */
    ngx_uint_t                 hosts;
} ngx_litestream_url_t;

char *ngx_litestream_url_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_litestream_url_t *url);
char *ngx_litestream_url_path(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *path);
ngx_int_t ngx_litestream_url_server(ngx_pool_t *pool,
    ngx_litestream_url_t *url, ngx_uint_t n, ngx_uint_t port,
    ngx_str_t *server);

/* for what stands before "@" */

u_char *ngx_litestream_url_at(ngx_str_t *text);
ngx_int_t ngx_litestream_url_escape(ngx_pool_t *pool, ngx_str_t *text);

/* for messages; for people; 1: a literal password is in it */

ngx_str_t *ngx_litestream_url_mask(ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_litestream_url_public(ngx_pool_t *pool, ngx_str_t *text,
    ngx_uint_t keep);
ngx_uint_t ngx_litestream_url_secret(ngx_str_t *text);


/* environment files and ${NAME}, pure: ngx_litestream_env.c */

typedef ngx_int_t (*ngx_litestream_env_pt)(void *data, ngx_str_t *name,
    ngx_str_t *value);
typedef ngx_str_t *(*ngx_litestream_env_lookup_pt)(void *data,
    ngx_str_t *name);

ngx_int_t ngx_litestream_env_parse(ngx_pool_t *pool, u_char *text, size_t len,
    ngx_litestream_env_pt handler, void *data, ngx_uint_t *line,
    char **reason);
ngx_int_t ngx_litestream_env_expand(ngx_pool_t *pool, ngx_str_t *text,
    ngx_litestream_env_lookup_pt lookup, void *data, ngx_str_t *out,
    ngx_str_t *name);

/* 1: a name of a variable; 1: what it holds is a secret, by its name */

ngx_uint_t ngx_litestream_env_name(ngx_str_t *name);
ngx_uint_t ngx_litestream_env_secret(ngx_str_t *name);


/* paths with "*": pure, ngx_litestream_pattern.c */

char *ngx_litestream_pattern_parse(ngx_litestream_pattern_t *p,
    ngx_str_t *path, ngx_str_t *root);
uint64_t ngx_litestream_pattern_start(ngx_litestream_pattern_t *p);
uint64_t ngx_litestream_pattern_enter(ngx_litestream_pattern_t *p,
    uint64_t at, u_char *name, size_t len);
ngx_uint_t ngx_litestream_pattern_file(ngx_litestream_pattern_t *p,
    uint64_t at, u_char *name, size_t len);
ngx_uint_t ngx_litestream_pattern_match(ngx_litestream_pattern_t *p,
    u_char *path, size_t len);

size_t ngx_litestream_variable(u_char *p, u_char *last);
ngx_uint_t ngx_litestream_path_uri(u_char *path, size_t len);

ngx_uint_t ngx_litestream_name_ours(u_char *name, size_t len);
ngx_uint_t ngx_litestream_name_beside(u_char *name, size_t len);
char *ngx_litestream_member_path(u_char *path, size_t len);

/* 1: it stands for a directory of databases */
#define ngx_litestream_is_dir(d)  ((d)->in && (d)->in->db == (d))


/* pure helpers: ngx_litestream_verdict.c */

uint64_t ngx_litestream_id(ngx_str_t *path);

/* "000000000000002a-000000000000002a.ltx": NGX_OK and both ends */
ngx_int_t ngx_litestream_ltx_name(u_char *name, size_t len, uint64_t *min,
    uint64_t *max);
ngx_int_t ngx_litestream_ltx_range(u_char *name, size_t len, uint64_t *min,
    uint64_t *max);

/* 16 hex digits; RFC 3339 with any fraction to ms since 1970, -1: bad */
ngx_int_t ngx_litestream_txid(u_char *p, size_t len, uint64_t *txid);
int64_t ngx_litestream_time(u_char *p, size_t len);

/* copies at most size - 1 bytes, always NUL-ended, never cuts UTF-8 */
void ngx_litestream_copy(char *dst, size_t size, u_char *src, size_t len);


/* ngx_litestream_module.c: the start, the reload, the workers */

ngx_int_t ngx_litestream_init_module(ngx_cycle_t *cycle);
ngx_int_t ngx_litestream_init_process(ngx_cycle_t *cycle);
void ngx_litestream_exit_process(ngx_cycle_t *cycle);


/*
 * where the configuration of a cycle is; NULL: nothing to do.  any_conf:
 * without databases, too
 */

ngx_litestream_conf_t *ngx_litestream_get_conf(ngx_cycle_t *cycle);
ngx_litestream_conf_t *ngx_litestream_any_conf(ngx_cycle_t *cycle);

/* ngx_litestream_vfs_file.c: the files of litestream_vfs, master */

ngx_int_t ngx_litestream_vfs_files(ngx_litestream_conf_t *lcf,
    ngx_log_t *log);


extern ngx_module_t  ngx_litestream_module;
extern ngx_module_t  ngx_http_litestream_module;


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_H_INCLUDED_ */
