
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What the module and the command have in common: the layout of the status
 * file, the messages on supervisor.sock, and what is made of them.  No type
 * of nginx is used here: the command is built without its headers.
 */


#ifndef _NGX_LITESTREAM_SHARED_H_INCLUDED_
#define _NGX_LITESTREAM_SHARED_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)


#define NGX_LITESTREAM_VERSION        "0.1.0"

#define NGX_LITESTREAM_MAX_DBS        16384
#define NGX_LITESTREAM_MAX_GROUPS     256
#define NGX_LITESTREAM_MAX_DIRS       256

/* of what the configuration names, and of "ALIAS/PATH" in a directory */
#define NGX_LITESTREAM_ALIAS_LEN      63
#define NGX_LITESTREAM_MEMBER_LEN     255
#define NGX_LITESTREAM_PATH_LEN       511
#define NGX_LITESTREAM_ERROR_LEN      512

/* path of a restored file, longer than that of its database */
#define NGX_LITESTREAM_POINT_LEN      576


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


/* states of a directory of databases */

typedef enum {
    NGX_LITESTREAM_DIR_STARTING = 0,
    NGX_LITESTREAM_DIR_FOUND,     /* it has been looked through */
    NGX_LITESTREAM_DIR_ERROR
} ngx_litestream_dir_state_e;


/* what only its replica holds is restored, if that can be listed */

#define NGX_LITESTREAM_LISTED_NOT     0   /* not yet, or it has failed */
#define NGX_LITESTREAM_LISTED         1
#define NGX_LITESTREAM_LISTED_NEVER   2   /* it is not of that kind */


/* results of a restore, in the status */

typedef enum {
    NGX_LITESTREAM_RESTORE_NONE = 0,
    NGX_LITESTREAM_RESTORE_RUNNING,
    NGX_LITESTREAM_RESTORE_DONE,
    NGX_LITESTREAM_RESTORE_FAILED
} ngx_litestream_restore_state_e;


/* the status file */

#define NGX_LITESTREAM_STATUS_MAGIC    0x6c73746e
#define NGX_LITESTREAM_STATUS_VERSION  5

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
    uint32_t                   compare_ms;
    uint32_t                   running;
    uint32_t                   mode;    /* 0 quick, 1 full */
    uint32_t                   pad;
    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_verify_result_t;


/* a restore to a new file */

typedef struct {
    uint32_t                   state;   /* ngx_litestream_restore_state_e */
    int32_t                    status;  /* HTTP, once it has ended */
    int64_t                    at;      /* when it was begun, ms since 1970 */
    int64_t                    time;    /* asked for, 0: none */
    uint64_t                   wanted;  /* transaction asked for, 0: none */
    uint64_t                   txid;    /* 0: not known yet */
    int64_t                    bytes;   /* so far */
    int64_t                    total;   /* about, -1: unknown */
    uint32_t                   duration_ms;
    uint32_t                   pad;
    char                       path[NGX_LITESTREAM_POINT_LEN];
    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_point_t;


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
    char                       alias[NGX_LITESTREAM_MEMBER_LEN + 1];
    char                       path[NGX_LITESTREAM_PATH_LEN + 1];
    char                       replica_type[16];
    char                       replica_url[512];
    uint32_t                   state;   /* ngx_litestream_db_state_e */
    uint32_t                   in_place;     /* present or proven new */
    uint32_t                   group;
    uint32_t                   lag_limit_ms;
    uint64_t                   dir;     /* id of its directory, 0: none */
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
    uint32_t                   restore_failures;  /* in a row */
    uint32_t                   restore_pad;
    char                       restore_error[NGX_LITESTREAM_ERROR_LEN];

    ngx_litestream_verify_result_t  verify;
    ngx_litestream_point_t     point;

    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_db_status_t;


/* a directory of databases, and what all of those that were found have */

typedef struct {
    uint64_t                   id;      /* 0: no directory here */
    char                       alias[NGX_LITESTREAM_ALIAS_LEN + 1];
    char                       path[NGX_LITESTREAM_PATH_LEN + 1];
    char                       replica_type[16];
    char                       replica_url[512];
    uint32_t                   state;   /* ngx_litestream_dir_state_e */
    uint32_t                   in_place;     /* looked through, and all are */
    uint32_t                   group;
    uint32_t                   replicate;
    uint32_t                   count;   /* databases */
    uint32_t                   unplaced;     /* of these */
    uint32_t                   listed;  /* NGX_LITESTREAM_LISTED_XXX */
    uint32_t                   pad;
    int64_t                    scanned_at;   /* ms since 1970, 0: never */
    int64_t                    last_sync_at; /* the oldest, 0: unknown */
    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_dir_status_t;


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
    uint32_t                   dirs;
    char                       module_ver[32];
    char                       nginx_ver[32];
} ngx_litestream_super_status_t;


/* an LTX file of a replica */

typedef struct {
    uint64_t                   min;
    uint64_t                   max;
    int64_t                    size;
    int64_t                    time;    /* ms since 1970 */
    uint32_t                   level;
    uint32_t                   pad;
} ngx_litestream_ltx_t;


/*
 * The file: each record has two copies behind a counter, whose lowest bit
 * names the one that counts.  Other layouts get another version.
 */

typedef struct {
    uint32_t                   magic;
    uint32_t                   version;
    uint64_t                   size;
    uint64_t                   changes; /* writes of records */
} ngx_litestream_status_head_t;


typedef struct {
    uint32_t                   seq;
    uint32_t                   pad;
    ngx_litestream_super_status_t  st[2];
} ngx_litestream_super_rec_t;


typedef struct {
    uint32_t                   seq;
    uint32_t                   pad;
    ngx_litestream_group_status_t  st[2];
} ngx_litestream_group_rec_t;


typedef struct {
    uint32_t                   seq;
    uint32_t                   pad;
    ngx_litestream_dir_status_t    st[2];
} ngx_litestream_dir_rec_t;


typedef struct {
    uint32_t                   seq;
    uint32_t                   pad;
    ngx_litestream_db_status_t     st[2];
} ngx_litestream_db_rec_t;


typedef struct {
    ngx_litestream_status_head_t   head;
    ngx_litestream_super_rec_t     super;
    ngx_litestream_group_rec_t     groups[NGX_LITESTREAM_MAX_GROUPS];
    ngx_litestream_db_rec_t        dbs[NGX_LITESTREAM_MAX_DBS];
    ngx_litestream_dir_rec_t       dirs[NGX_LITESTREAM_MAX_DIRS];
} ngx_litestream_status_file_t;


/*
 * What a reader makes of a record at the time now (ms since 1970): 1 when
 * the supervisor lives (its heartbeat is fresh), the lag in ms or -1, and
 * the state, which turns to "lagging" although nobody writes any more.
 */

uintptr_t ngx_litestream_alive(ngx_litestream_super_status_t *st,
    int64_t now);
int64_t ngx_litestream_lag(ngx_litestream_db_status_t *st, int64_t now);
uintptr_t ngx_litestream_db_state(ngx_litestream_db_status_t *st,
    int64_t now);

/* errors of storages: ngx_litestream_tidy.c */

void ngx_litestream_tidy(char *dst, size_t size, const char *text,
    size_t len);

/* lower-case names of states */

extern char  *ngx_litestream_state_names[];
extern char  *ngx_litestream_db_state_names[];
extern char  *ngx_litestream_dir_state_names[];
extern char  *ngx_litestream_restore_state_names[];


/* messages on supervisor.sock, SOCK_SEQPACKET, one struct each way */

#define NGX_LITESTREAM_IPC_VERSION   2

#define NGX_LITESTREAM_IPC_WORKER    1   /* first message of a worker */
#define NGX_LITESTREAM_IPC_COMMAND   2   /* first message of the command */
#define NGX_LITESTREAM_IPC_HANDOVER  3   /* first message of a supervisor */
#define NGX_LITESTREAM_IPC_SYNC      4
#define NGX_LITESTREAM_IPC_VERIFY    5
#define NGX_LITESTREAM_IPC_RESTORE   6   /* to a new file */
#define NGX_LITESTREAM_IPC_LTX       7   /* a list, in a descriptor */


typedef struct {
    uint32_t                   version;
    uint32_t                   type;
    uint64_t                   ticket;  /* the asker's, given back */
    uint64_t                   db;      /* ngx_litestream_id() */
    uint32_t                   mode;    /* of verify: 0 quick, 1 full */
    uint32_t                   timeout_ms;
    int64_t                    time;    /* of restore, ms since 1970, or 0 */
    uint64_t                   wanted;  /* of restore, a transaction, or 0 */

    /* answer */

    int32_t                    status;  /* HTTP: 200, 202, 404, 409, 503 */
    uint32_t                   pad;
    uint64_t                   txid;
    uint32_t                   duration_ms;
    uint32_t                   write_ms;
    uint32_t                   sync_ms;
    uint32_t                   restore_ms;
    uint32_t                   check_ms;
    uint32_t                   compare_ms;
    int64_t                    bytes;
    char                       path[NGX_LITESTREAM_POINT_LEN];
    char                       error[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_msg_t;


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_SHARED_H_INCLUDED_ */
