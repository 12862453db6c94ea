
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_H_INCLUDED_
#define _NGX_LITESTREAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#define NGX_LITESTREAM_VERSION        "0.1.0"

/* the one Litestream that the generated files are written for */
#define NGX_LITESTREAM_BIN_VERSION    "0.5.17"

#define NGX_LITESTREAM_MAX_DBS        16384
#define NGX_LITESTREAM_MAX_GROUPS     256
#define NGX_LITESTREAM_ALIAS_LEN      63
#define NGX_LITESTREAM_ERROR_LEN      512

/* sun_path less the NUL */
#define NGX_LITESTREAM_SOCKET_LEN     107

/* the longest line of a child that is looked at, in bytes */
#define NGX_LITESTREAM_LINE_LEN       8192

#define NGX_LITESTREAM_ANSWER_LEN     65536
#define NGX_LITESTREAM_LIST_LEN       (1024 * 1024 * 8)


#define NGX_LITESTREAM_RESTORE_OFF        0
#define NGX_LITESTREAM_RESTORE_IF_BACKUP  1
#define NGX_LITESTREAM_RESTORE_REQUIRED   2

#define NGX_LITESTREAM_CHECK_NONE         0
#define NGX_LITESTREAM_CHECK_QUICK        1
#define NGX_LITESTREAM_CHECK_FULL         2


/* states of a supervised process; docs/supervision.md has the table */

typedef enum {
    NGX_LITESTREAM_DOWN = 0,
    NGX_LITESTREAM_RESTORING,
    NGX_LITESTREAM_STARTING,
    NGX_LITESTREAM_UP,
    NGX_LITESTREAM_STOPPING,
    NGX_LITESTREAM_BACKOFF,
    NGX_LITESTREAM_FAILED,
    NGX_LITESTREAM_STANDBY
} ngx_litestream_state_e;


/* states of a database */

typedef enum {
    NGX_LITESTREAM_DB_NEW = 0,
    NGX_LITESTREAM_DB_MISSING,
    NGX_LITESTREAM_DB_RESTORING,
    NGX_LITESTREAM_DB_CHECKING,
    NGX_LITESTREAM_DB_STARTING,
    NGX_LITESTREAM_DB_REPLICATING,
    NGX_LITESTREAM_DB_LAGGING,
    NGX_LITESTREAM_DB_ERROR
} ngx_litestream_db_state_e;


/* results of a restore, in the status */

typedef enum {
    NGX_LITESTREAM_RESTORE_NONE = 0,
    NGX_LITESTREAM_RESTORE_RUNNING,
    NGX_LITESTREAM_RESTORE_DONE,
    NGX_LITESTREAM_RESTORE_FAILED
} ngx_litestream_restore_state_e;


/* the configuration: built by the HTTP module from a cycle's pool */

typedef struct ngx_litestream_db_s     ngx_litestream_db_t;
typedef struct ngx_litestream_group_s  ngx_litestream_group_t;


typedef struct {
    ngx_str_t                  key;     /* as in litestream.yml */
    ngx_str_t                  value;
    unsigned                   secret:1;
} ngx_litestream_key_t;


typedef struct {
    ngx_str_t                  type;    /* "file" */
    ngx_str_t                  url;     /* for people, masked, NUL-ended */
    ngx_str_t                  id;      /* canonical: tells replicas apart */
    ngx_str_t                  path;    /* of a file replica, NUL-ended */
    ngx_array_t               *keys;    /* of ngx_litestream_key_t */
} ngx_litestream_replica_t;


struct ngx_litestream_db_s {
    ngx_str_t                  alias;   /* NUL-ended */
    ngx_str_t                  path;    /* symlinks resolved, NUL-ended */
    ngx_str_t                  dir;     /* of path, NUL-ended */
    ngx_str_t                  name;    /* last component, NUL-ended */
    uint64_t                   id;      /* ngx_litestream_id(path) */
    ngx_uint_t                 index;   /* in conf->dbs */

    ngx_litestream_replica_t  *replica;
    ngx_litestream_group_t    *group;

    uid_t                      owner;   /* of a restored file */
    gid_t                      owner_group;
    ngx_uint_t                 mode;

    ngx_uint_t                 restore; /* NGX_LITESTREAM_RESTORE_XXX */
    ngx_msec_t                 sync_interval;
    ngx_msec_t                 checkpoint_interval;   /* or UNSET */
    ngx_msec_t                 busy_timeout;          /* or UNSET */
    ngx_int_t                  min_checkpoint_pages;  /* or UNSET */

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
};


struct ngx_litestream_group_s {
    ngx_str_t                  name;    /* "33-file-1a2b3c4d" */
    ngx_str_t                  user;    /* name or number, NUL-ended */
    uid_t                      uid;
    gid_t                      gid;
    ngx_str_t                  type;
    ngx_uint_t                 index;   /* in conf->groups */

    /* below the state path, NUL-ended */

    ngx_str_t                  dir;     /* root's */
    ngx_str_t                  yml;
    ngx_str_t                  run;     /* the user's */
    ngx_str_t                  socket;

    ngx_array_t                dbs;     /* of ngx_litestream_db_t * */
};


typedef struct {
    ngx_array_t                dbs;     /* of ngx_litestream_db_t * */
    ngx_array_t                groups;  /* of ngx_litestream_group_t * */
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

#define NGX_LITESTREAM_STATUS_MAGIC    0x6c73746e
#define NGX_LITESTREAM_STATUS_VERSION  1

/* how the last holder of the lock has left */

#define NGX_LITESTREAM_CLEAN_NOT       0
#define NGX_LITESTREAM_CLEAN_END       1
#define NGX_LITESTREAM_CLEAN_HANDOVER  2


typedef struct {
    int64_t                    at;      /* ms since 1970, 0: never */
    uint64_t                   txid;
    uint32_t                   verified;
    uint32_t                   duration_ms;
    uint32_t                   write_ms;
    uint32_t                   sync_ms;
    uint32_t                   restore_ms;
    uint32_t                   check_ms;
    uint32_t                   running;
    uint32_t                   mode;
    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_verify_result_t;


typedef struct {
    uint32_t                   state;   /* ngx_litestream_state_e */
    int32_t                    pid;     /* of Litestream, 0: none */
    int64_t                    started; /* ms since 1970 */
    uint32_t                   restarts;
    uint32_t                   count;   /* databases */
    char                       name[64];
    char                       user[64];
    char                       version[32];
    char                       last_exit[256];
} ngx_litestream_group_status_t;


typedef struct {
    uint64_t                   id;      /* 0: no database here */
    char                       alias[NGX_LITESTREAM_ALIAS_LEN + 1];
    char                       path[512];
    char                       replica_type[16];
    char                       replica_url[512];
    uint32_t                   state;   /* ngx_litestream_db_state_e */
    uint32_t                   in_place;     /* present or proven new */
    uint32_t                   group;
    uint32_t                   lag_limit_ms;
    int64_t                    size;    /* bytes, -1: unknown */
    int64_t                    wal_size;
    uint64_t                   txid;    /* 0: unknown */
    int64_t                    last_sync_at; /* ms since 1970, 0: unknown */
    int64_t                    history_from; /* ms since 1970, 0: unknown */
    int64_t                    history_to;

    uint32_t                   restore_state;
    uint32_t                   restore_ms;
    int64_t                    restore_bytes;
    int64_t                    restore_total;     /* -1: unknown */
    uint64_t                   restore_txid;
    char                       restore_error[NGX_LITESTREAM_ERROR_LEN];

    ngx_litestream_verify_result_t  verify;

    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_db_status_t;


typedef struct {
    int32_t                    pid;     /* of the lock's holder */
    uint32_t                   state;   /* ngx_litestream_state_e */
    int64_t                    heartbeat;    /* ms since 1970 */
    int64_t                    started;
    uint32_t                   restarts;
    uint32_t                   groups;
    uint32_t                   dbs;
    uint32_t                   clean;   /* NGX_LITESTREAM_CLEAN_XXX */
    uint32_t                   storm;   /* ends soon after a start, in a row */
    uint32_t                   pad;
} ngx_litestream_super_status_t;


/*
 * Read side, any process.  ngx_litestream_status_open() maps the file
 * read-only (does open() and mmap(): call it in init_process, not for a
 * request); NGX_DECLINED: there is none yet.  The getters copy one record
 * out of the mapping, no system call; NGX_DECLINED: no such record.
 * hint: where the record probably is (db->index of the configuration).
 */

ngx_int_t ngx_litestream_status_open(ngx_str_t *name, ngx_log_t *log);
ngx_int_t ngx_litestream_status_super(ngx_litestream_super_status_t *st);
ngx_int_t ngx_litestream_status_group(ngx_uint_t n,
    ngx_litestream_group_status_t *st);
ngx_int_t ngx_litestream_status_db(uint64_t id, ngx_uint_t hint,
    ngx_litestream_db_status_t *st);

/*
 * What a reader makes of a record at the time now (ms since 1970): 1 when
 * the supervisor lives (its heartbeat is fresh), the lag in ms or -1, and
 * the state, which turns to "lagging" although nobody writes any more.
 */

ngx_uint_t ngx_litestream_alive(ngx_litestream_super_status_t *st,
    int64_t now);
int64_t ngx_litestream_lag(ngx_litestream_db_status_t *st, int64_t now);
ngx_uint_t ngx_litestream_db_state(ngx_litestream_db_status_t *st,
    int64_t now);

/* lower-case names of states */

extern char  *ngx_litestream_state_names[];
extern char  *ngx_litestream_db_state_names[];
extern char  *ngx_litestream_restore_state_names[];


/* messages on supervisor.sock, SOCK_SEQPACKET, one struct each way */

#define NGX_LITESTREAM_IPC_VERSION   1

#define NGX_LITESTREAM_IPC_WORKER    1   /* first message of a worker */
#define NGX_LITESTREAM_IPC_COMMAND   2   /* first message of the command */
#define NGX_LITESTREAM_IPC_HANDOVER  3   /* first message of a supervisor */
#define NGX_LITESTREAM_IPC_SYNC      4
#define NGX_LITESTREAM_IPC_VERIFY    5


typedef struct {
    uint32_t                   version;
    uint32_t                   type;
    uint64_t                   ticket;  /* the asker's, given back */
    uint64_t                   db;      /* ngx_litestream_id() */
    uint32_t                   mode;    /* of verify: 0 quick, 1 full */
    uint32_t                   timeout_ms;

    /* answer */

    int32_t                    status;  /* HTTP: 200, 202, 404, 503 */
    uint32_t                   pad;
    uint64_t                   txid;
    uint32_t                   duration_ms;
    uint32_t                   write_ms;
    uint32_t                   sync_ms;
    uint32_t                   restore_ms;
    uint32_t                   check_ms;
    uint32_t                   pad2;
    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_msg_t;


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


/* YAML out and in: ngx_litestream_yaml.c */

/*
 * The group's litestream.yml, with the databases for which use[db->index] is
 * set (use may be NULL: all of them).  mask: secrets become "***".  Memory
 * comes from pool.
 */

ngx_int_t ngx_litestream_yaml_write(ngx_pool_t *pool,
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


/* pure helpers: ngx_litestream_verdict.c */

uint64_t ngx_litestream_id(ngx_str_t *path);

/* "000000000000002a-000000000000002a.ltx": NGX_OK and both ends */
ngx_int_t ngx_litestream_ltx_name(u_char *name, size_t len, uint64_t *min,
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


/* where the configuration of a cycle is; NULL: nothing to do */

ngx_litestream_conf_t *ngx_litestream_get_conf(ngx_cycle_t *cycle);


extern ngx_module_t  ngx_litestream_module;
extern ngx_module_t  ngx_http_litestream_module;


#endif /* _NGX_LITESTREAM_H_INCLUDED_ */
