
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_SUPERVISOR_H_INCLUDED_
#define _NGX_LITESTREAM_SUPERVISOR_H_INCLUDED_


/* what lives in the supervisor process and its jobs alone */


#include "ngx_litestream.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <curl/curl.h>
#include <sqlite3.h>

#pragma GCC visibility push(hidden)


/* delays of a child that keeps ending, and when they start anew */
#define NGX_LITESTREAM_BACKOFF_MIN    1000
#define NGX_LITESTREAM_BACKOFF_MAX    30000
#define NGX_LITESTREAM_BACKOFF_RESET  60000

/* starts in a row without a delay of one that had been up */
#define NGX_LITESTREAM_BACKOFF_FREE   5

/* Litestream must have made its control socket by then */
#define NGX_LITESTREAM_START_LIMIT    30000

/* one that is to be started again is told to end twice, so far apart */
#define NGX_LITESTREAM_RESTART_LIMIT  5000

/* /debug/sync-status is answered at once; missed so often: it hangs */
#define NGX_LITESTREAM_POLL_LIMIT     5000
#define NGX_LITESTREAM_MISSES         2

/* the longest pause between syncs that are not answered */
#define NGX_LITESTREAM_HUNG_MAX       60000

/* errors of a first sync that comes so early may be those of a start */
#define NGX_LITESTREAM_SETTLE         3000

/* how long a start waits for the checks of the other databases */
#define NGX_LITESTREAM_GATHER         3000

/* the same, of a start that is a pause for those that are replicated */
#define NGX_LITESTREAM_GATHER_MORE    30000

/* descriptors that a child inherits: one for each directory of databases */
#define NGX_LITESTREAM_KEEP           4096

/* lines of a child that are logged in one second */
#define NGX_LITESTREAM_LINES          100

/*
 * how long a supervisor leaves its dead predecessor's Litestream to a last
 * sync: what it cannot upload the next one will, and a heartbeat that is older
 * than 5 s means that nothing is ready
 */
#define NGX_LITESTREAM_ORPHAN         3000

#define NGX_LITESTREAM_TICK           1000

/* syncs in flight on one control socket */
#define NGX_LITESTREAM_SYNCS          16

/* connections on supervisor.sock: workers of two masters and more */
#define NGX_LITESTREAM_PEERS          1024


typedef struct ngx_litestream_proc_s    ngx_litestream_proc_t;
typedef struct ngx_litestream_job_s     ngx_litestream_job_t;
typedef struct ngx_litestream_call_s    ngx_litestream_call_t;
typedef struct ngx_litestream_batch_s   ngx_litestream_batch_t;
typedef struct ngx_litestream_rdb_s     ngx_litestream_rdb_t;
typedef struct ngx_litestream_rgroup_s  ngx_litestream_rgroup_t;
typedef struct ngx_litestream_guard_s   ngx_litestream_guard_t;
typedef struct ngx_litestream_listing_s  ngx_litestream_listing_t;
typedef struct ngx_litestream_rdir_s    ngx_litestream_rdir_t;
typedef struct ngx_litestream_old_s     ngx_litestream_old_t;


/* of Litestream 0.3: generation, and index << 32 | offset of a WAL in it */

typedef struct {
    uint64_t                     generation;   /* 0: none */
    uint64_t                     at;
} ngx_litestream_old_pos_t;


/* the newest that was seen in a replica, and the file that was replicated */

typedef struct {
    ngx_litestream_old_pos_t     pos;
    uint64_t                     dev;
    uint64_t                     ino;
} ngx_litestream_old_memory_t;


/* a child process of the supervisor, reaped by ngx_litestream_reap() */

typedef void (*ngx_litestream_exit_pt)(ngx_litestream_proc_t *proc,
    int status);

struct ngx_litestream_proc_s {
    ngx_queue_t                  queue;
    pid_t                        pid;     /* -1: none */
    ngx_litestream_exit_pt       exited;
    void                        *data;
};


/* how to start a program */

typedef struct {
    char                       **argv;
    char                       **envp;
    ngx_litestream_group_t      *group;   /* identity to take, NULL: keep */
    int                          out;     /* becomes 1 */
    int                          err;     /* becomes 2 */
    int                          keep[4]; /* inherited under their numbers */
    ngx_uint_t                   nkeep;
    int                          death;   /* signal when the parent dies */
    rlim_t                       nofile;  /* wanted, 0: as it is */
    ngx_uint_t                   locks;   /* inherits the locks of group */
} ngx_litestream_exec_t;


/* what a job and the supervisor tell each other */

#define NGX_LITESTREAM_JOB_PROGRESS   1
#define NGX_LITESTREAM_JOB_RESULT     2
#define NGX_LITESTREAM_JOB_ASK        3   /* the job waits for the answer */
#define NGX_LITESTREAM_JOB_ANSWER     4
#define NGX_LITESTREAM_JOB_LOG        5
#define NGX_LITESTREAM_JOB_SILENT     6   /* the storage is: why */
#define NGX_LITESTREAM_JOB_ITEM       7   /* of several, index tells which */


/* of jobs, those that are limited in number: each class by itself */

#define NGX_LITESTREAM_JOB_ANY        0   /* not limited */
#define NGX_LITESTREAM_JOB_PLACE      1   /* restores, checks */
#define NGX_LITESTREAM_JOB_VERIFY     2
#define NGX_LITESTREAM_JOB_SLOW       3   /* checks that have not ended */
#define NGX_LITESTREAM_JOB_POINT      4   /* restores to new files */
#define NGX_LITESTREAM_JOB_LIST       5   /* lists of replicas */
#define NGX_LITESTREAM_JOB_CLASSES    6


typedef struct {
    uint32_t                     type;
    int32_t                      rc;      /* NGX_OK, … or an outcome */
    uint64_t                     txid;    /* newest in the replica */
    uint64_t                     local;   /* newest at hand */
    uint64_t                     files;   /* LTX files in the replica */
    int64_t                      from;    /* ms since 1970 */
    int64_t                      to;
    int64_t                      bytes;
    int64_t                      total;
    uint64_t                     dev;
    uint64_t                     ino;
    int64_t                      size;    /* of the database, -1: missing */
    uint32_t                     seq;     /* has _litestream_seq */
    uint32_t                     meta;    /* has a meta directory */
    uint32_t                     torn;    /* its WAL has lost commits */
    uint32_t                     begun;   /* its LTX files begin with 1 */
    uint32_t                     index;   /* of an item */
    uint64_t                     newer;   /* LTX files where 0.3 is to be */
    uint32_t                     old_torn;
    uint32_t                     pad;
    ngx_litestream_old_pos_t     old;     /* newest in the replica */
    ngx_litestream_old_pos_t     old_local;
    uint32_t                     ms[6];
    char                         text[1024];
} ngx_litestream_job_msg_t;


typedef void (*ngx_litestream_job_pt)(ngx_litestream_job_t *job);
typedef void (*ngx_litestream_line_pt)(void *data, char *line);
typedef void (*ngx_litestream_job_msg_pt)(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);

struct ngx_litestream_job_s {
    ngx_litestream_proc_t        proc;
    ngx_queue_t                  queue;   /* waiting for its turn */
    char                        *name;    /* "restore" */
    ngx_litestream_rdb_t        *rdb;
    ngx_litestream_group_t      *group;   /* NULL: stays root */
    ngx_connection_t            *c;
    int                          fd;      /* the job's end, in the job */
    pid_t                        child;   /* that it runs, in the job */
    ngx_event_t                  timer;
    ngx_litestream_line_pt       line;    /* in the job: of a program's out */
    void                        *line_data;
    ngx_msec_t                   timeout; /* without a message, 0: none */
    ngx_litestream_job_pt        prepare; /* in the job, still root */
    ngx_litestream_job_pt        run;     /* in the job */
    ngx_litestream_job_msg_pt    message; /* in the supervisor */
    ngx_litestream_job_pt        done;    /* in the supervisor, once */
    void                        *data;
    int                          pass;    /* descriptor for the result, -1 */
    ngx_litestream_job_msg_t     in;      /* given to the job by fork */
    ngx_litestream_job_msg_t     result;
    ngx_uint_t                   class;   /* NGX_LITESTREAM_JOB_XXX */
    unsigned                     counted:1;
    unsigned                     has_result:1;
    unsigned                     gone:1;
    unsigned                     silent:1;     /* it was told, in the job */
};


/* what "litestream ltx -level all -json" says, in short */

typedef struct {
    uint64_t                     files;
    uint64_t                     txid;
    int64_t                      from;
    int64_t                      to;
    int64_t                      bytes;

    /* of the entry that is being read, and of the newest */

    uint64_t                     min;
    uint64_t                     max;
    int64_t                      level;
    uint64_t                     newest_min;
    int64_t                      newest_level;
    int64_t                      size;
    int64_t                      time;

    /* all of them when they are to be kept, freed by nobody */

    ngx_litestream_ltx_t        *entries;
    ngx_uint_t                   nentries;
    ngx_uint_t                   nalloc;
    unsigned                     keep:1;
    unsigned                     failed:1;    /* no memory */
} ngx_litestream_list_t;


/* one HTTP request on a control socket */

typedef void (*ngx_litestream_call_pt)(ngx_litestream_call_t *call);

struct ngx_litestream_call_s {
    ngx_queue_t                  queue;
    ngx_litestream_rgroup_t     *group;
    CURL                        *easy;
    int                          fd;
    ngx_litestream_call_pt       handler;
    void                        *data;
    long                         status;  /* 0: no answer, see error */
    size_t                       limit;
    size_t                       size;
    size_t                       len;
    u_char                      *body;
    char                        *post;
    struct curl_slist           *headers;
    char                         error[CURL_ERROR_SIZE];
    unsigned                     timedout:1;
};


/* somebody who waits for a sync of a database */

typedef struct ngx_litestream_waiter_s  ngx_litestream_waiter_t;

typedef void (*ngx_litestream_waiter_pt)(ngx_litestream_waiter_t *w,
    ngx_int_t rc, uint64_t txid, char *error);

struct ngx_litestream_waiter_s {
    ngx_queue_t                  queue;
    ngx_litestream_waiter_pt     handler;
    void                        *data;
    ngx_msec_t                   start;
    ngx_msec_t                   deadline;    /* ngx_current_msec */
    uint64_t                     asked;       /* CLOCK_MONOTONIC, ms */
    ngx_litestream_old_pos_t     end;         /* of what it waits for */
    uint64_t                     ticket;
};


struct ngx_litestream_rdb_s {
    ngx_litestream_db_t         *db;
    ngx_litestream_rgroup_t     *group;
    ngx_litestream_db_status_t   st;      /* as last written */
    ngx_uint_t                   index;

    ngx_litestream_job_t        *job;     /* restore or check */
    ngx_litestream_job_t        *verify;
    ngx_queue_t                  verifiers;   /* who waits for verify */
    ngx_litestream_job_t        *point;   /* restore to a new file */
    ngx_queue_t                  pointers;    /* who waits for it */
    ngx_litestream_listing_t    *listing; /* of the replica, or NULL */
    ngx_msec_t                   listed;  /* when, ngx_current_msec */
    ngx_litestream_waiter_t      point_waiter;
    ngx_event_t                  retry;
    ngx_msec_t                   delay;
    ngx_msec_t                   heard;   /* when, of its first restore */
    ngx_msec_t                   said;    /* for how long it has waited */

    /* identity of the file that was checked; ino 0: not there yet */

    uint64_t                     dev;
    uint64_t                     ino;

    /* memory of the replica, kept in STATE/replicas */

    uint64_t                     seen_txid;
    int64_t                      seen_at;
    uint64_t                     restored_txid;
    uint64_t                     restored_dev;
    uint64_t                     restored_ino;

    ngx_litestream_old_memory_t  old;         /* kept there, too */

    /* syncs: one in flight, one generation waiting */

    ngx_queue_t                  now;
    ngx_queue_t                  next;
    ngx_queue_t                  want;    /* in the group's queue */
    ngx_event_t                  again;
    uint64_t                     sync_dev;
    uint64_t                     sync_ino;
    ngx_msec_t                   sync_start;
    ngx_msec_t                   sync_limit;
    ngx_uint_t                   hung;    /* in a row without an answer */
    int64_t                      listed_sync_at;
    ngx_uint_t                   unopened;    /* in a row, by Litestream */

    unsigned                     placed:1;    /* in place, or proven new */
    unsigned                     checking:1;
    unsigned                     slow:1;  /* has been so for a while */
    unsigned                     cleared:1;   /* may be replicated */
    unsigned                     kept:1;  /* is so over a restart */
    unsigned                     running:1;   /* in the running process */
    unsigned                     joining:1;   /* it is being told of it */
    unsigned                     parting:1;   /* and that it has gone */
    unsigned                     synced:1;    /* since it was started */
    unsigned                     syncing:1;
    unsigned                     wanted:1;
    unsigned                     fault:1;     /* st.error is of ours */
    unsigned                     lost:1;      /* deleted under Litestream */
    unsigned                     fresh:1;     /* found, not yet looked at */
    unsigned                     file:1;  /* of those: there is a file */
    unsigned                     ailing:1;    /* its last syncs have failed */
    unsigned                     waits:1;     /* for its last sync */
    unsigned                     missed:1;    /* it was told so */
    unsigned                     point_waits:1;
    unsigned                     list_failed:1;
    ngx_litestream_waiter_t      last;
};


struct ngx_litestream_rgroup_s {
    ngx_litestream_group_t      *group;
    ngx_litestream_group_status_t  st;
    ngx_array_t                  rdbs;    /* of ngx_litestream_rdb_t * */

    ngx_litestream_proc_t        proc;
    ngx_uint_t                   state;   /* ngx_litestream_state_e */
    ngx_msec_t                   since;   /* of state, ngx_current_msec */
    ngx_uint_t                   deaths;  /* in a row */
    ngx_event_t                  timer;   /* the state's own */
    ngx_event_t                  probe;
    ngx_event_t                  kick;
    ngx_msec_t                   kicked;  /* since when a start is due */
    ngx_litestream_guard_t      *guard;   /* of a start, or NULL */
    ngx_litestream_guard_t      *keeper;  /* one that keeps its locks */
    ngx_uint_t                   joining; /* databases that are so */
    ngx_uint_t                   parting;
    ngx_litestream_old_t        *old;     /* of Litestream 0.3, or NULL */

    ngx_connection_t            *log;     /* read end of the log pipe */
    size_t                       line_len;
    u_char                      *line;
    ngx_uint_t                   lines;   /* in this second */
    ngx_uint_t                   dropped;
    time_t                       second;
    char                         last[256];   /* what it said at last */
    ngx_litestream_rdb_t        *culprit;     /* whose replica ended it */
    char                         why[512];    /* and what of */

    ngx_litestream_batch_t      *batch;   /* of checks, still to be filled */
    ngx_uint_t                   scans;   /* that a start waits for */

    ngx_litestream_job_t        *look;    /* at a storage, or NULL */
    ngx_litestream_rdb_t        *looked;  /* at whose storage, or NULL */
    char                         seen[256];   /* what was seen */

    ngx_queue_t                  calls;
    ngx_queue_t                  want;    /* rdbs that want a sync */
    ngx_uint_t                   jobs[NGX_LITESTREAM_JOB_CLASSES];
    ngx_uint_t                   syncs;
    ngx_uint_t                   misses;  /* answers missed in a row */

    unsigned                     files:1;     /* have been written */
    unsigned                     polling:1;
    unsigned                     listing:1;
    unsigned                     due:1;
    unsigned                     restart:1;   /* after STOPPING */
    unsigned                     was_up:1;
    unsigned                     killed:1;
    unsigned                     mute:1;  /* it is not told of others */
};


/* a directory of databases */

struct ngx_litestream_rdir_s {
    ngx_litestream_dir_t        *dir;
    ngx_litestream_rgroup_t     *group;
    ngx_litestream_dir_status_t  st;

    ngx_litestream_job_t        *job;     /* looks through it */
    ngx_event_t                  timer;   /* until the next one */
    ngx_msec_t                   began;
    ngx_msec_t                   delay;   /* of one that has failed */

    ngx_uint_t                   fresh;   /* found by this job */
    ngx_uint_t                   problems;
    char                         problem[NGX_LITESTREAM_ERROR_LEN];

    unsigned                     begun:1;     /* the first time */
    unsigned                     over:1;  /* nothing waits for that any more */
    unsigned                     scanned:1;   /* once at least */
    unsigned                     listed:1;    /* its replicas as well */
    unsigned                     fault:1;
    unsigned                     again:1; /* as soon as the job has ended */
};


typedef struct {
    uint64_t                     dev;
    uint64_t                     ino;
    int                          fd;
    u_char                      *path;
} ngx_litestream_lock_t;


typedef struct {
    ngx_cycle_t                 *cycle;
    ngx_litestream_conf_t       *conf;
    ngx_pool_t                  *pool;
    ngx_log_t                   *log;     /* conf->log */

    ngx_litestream_rdb_t       **rdbs;    /* conf->dbs.nelts of them */
    ngx_uint_t                   maxrdbs;
    ngx_litestream_rdir_t       *rdirs;   /* conf->dirs.nelts of them */
    ngx_litestream_rgroup_t     *rgroups;

    ngx_uint_t                   state;   /* UP, STANDBY, STOPPING, … */
    ngx_litestream_super_status_t  st;

    pid_t                        master;
    ngx_uint_t                   workers; /* of our master */
    ngx_uint_t                   others;  /* of another one, in an upgrade */

    /* jobs: how many run of each class, and which ones wait */

    ngx_uint_t                   jobs[NGX_LITESTREAM_JOB_CLASSES];
    ngx_queue_t                  waiting[NGX_LITESTREAM_JOB_CLASSES];
    int                          report;  /* pipe to the master, or -1 */
    char                         version[32];

    ngx_event_t                  tick;
    ngx_event_t                  lock_timer;
    ngx_event_t                  quit_timer;
    ngx_msec_t                   lock_since;
    ngx_msec_t                   asked;   /* when, for a hand-over */
    ngx_msec_t                   orphans; /* when they were killed */
    ngx_uint_t                   lock_said;
    ngx_uint_t                   unsynced;
    ngx_uint_t                   missed;      /* of the last syncs */
    ngx_uint_t                   unplaced;
    ngx_msec_t                   deadline;    /* of the end */
    ngx_msec_t                   leave;       /* when terminating */

    unsigned                     restore_only:1;
    unsigned                     ask_handover:1;
    unsigned                     answered:1;  /* somebody was there */
    unsigned                     first:1;     /* of this nginx */
    unsigned                     holder:1;
    unsigned                     had_worker:1;
    unsigned                     quitting:1;
    unsigned                     terminating:1;
    unsigned                     final:1;     /* last syncs are under way */
    unsigned                     stopping:1;  /* their time is over */
    unsigned                     told:1;      /* Litestreams, to end */
    unsigned                     leaving:1;   /* hands over */
    unsigned                     orphan:1;    /* the master is dead */
    unsigned                     failed:1;    /* of restore_only */
    unsigned                     checked:1;   /* the version is known */
    unsigned                     looked:1;    /* or is known to be wrong */
    unsigned                     memory_dirty:1;
    unsigned                     memory_saving:1;
} ngx_litestream_supervisor_t;


extern ngx_litestream_supervisor_t  *ngx_litestream_sup;
extern ngx_uint_t  ngx_litestream_ask_handover;
extern uint64_t    ngx_litestream_generation;
extern char        ngx_litestream_known[32];
extern char        ngx_litestream_ask_path[];
extern ngx_uint_t  ngx_litestream_first;


/* ngx_litestream_supervisor.c */

void ngx_litestream_supervisor_cycle(ngx_cycle_t *cycle, void *data);
ngx_int_t ngx_litestream_supervisor_alloc(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
ngx_int_t ngx_litestream_supervisor_init(ngx_cycle_t *cycle);
void ngx_litestream_take_over(void);
void ngx_litestream_tick_handler(ngx_event_t *ev);
void ngx_litestream_worker_came(ngx_uint_t own);
void ngx_litestream_worker_gone(ngx_uint_t own);
int64_t ngx_litestream_now(void);

/* ngx_litestream_member.c */

ngx_litestream_rdb_t *ngx_litestream_rdb_add(ngx_litestream_db_t *db);
ngx_litestream_rdb_t *ngx_litestream_member_add(ngx_litestream_rdir_t *rdir,
    u_char *path, size_t len, char **reason);
void ngx_litestream_member_carry(void);
void ngx_litestream_member_leave(ngx_litestream_rdb_t *rdb);
ngx_uint_t ngx_litestream_member_idle(ngx_litestream_rdb_t *rdb);

/* ngx_litestream_scan.c */

ngx_int_t ngx_litestream_scan_init(void);
void ngx_litestream_scan_all(void);
void ngx_litestream_scan_again(void);
void ngx_litestream_scan_stop(void);
void ngx_litestream_scan_refuse(char *text);
void ngx_litestream_scan_tick(void);

/* ngx_litestream_walk.c: in a job; its items' rc, and what their text is */

#define NGX_LITESTREAM_SCAN_FILE      1   /* a path below the root */
#define NGX_LITESTREAM_SCAN_BACKUP    2   /* the same, there is no file */
#define NGX_LITESTREAM_SCAN_GONE      3   /* index: neither is there now */
#define NGX_LITESTREAM_SCAN_PROBLEM   4   /* for people */

void ngx_litestream_scan_run(ngx_litestream_job_t *job);

/* ngx_litestream_walk_s3.c */

ngx_uint_t ngx_litestream_walk_s3_able(ngx_litestream_db_t *db);

/* ngx_litestream_walk_make.c */

void ngx_litestream_walk_own(ngx_litestream_rdir_t *rdir,
    ngx_litestream_job_msg_t *msg);
int ngx_litestream_walk_reach(ngx_litestream_dir_t *dir, ngx_str_t *path);

/* ngx_litestream_end.c */

void ngx_litestream_quit(ngx_uint_t terminate);
void ngx_litestream_quit_handler(ngx_event_t *ev);
void ngx_litestream_check_quit(void);
void ngx_litestream_handover(uint64_t generation);
ngx_msec_t ngx_litestream_stop_limit(void);
void ngx_litestream_exit(int status);

/* ngx_litestream_limit.c */

void ngx_litestream_limit(ngx_msec_t limit);

/* ngx_litestream_lock.c: the process that becomes the master, too */

ngx_int_t ngx_litestream_make_path(ngx_litestream_conf_t *lcf,
    ngx_log_t *log);
ngx_int_t ngx_litestream_lock(ngx_litestream_conf_t *lcf, ngx_uint_t alone,
    ngx_log_t *log);
ngx_int_t ngx_litestream_lock_db(ngx_litestream_db_t *db, char *text,
    size_t size);
void ngx_litestream_unlock(void);
ngx_uint_t ngx_litestream_lock_held(void);
char *ngx_litestream_locked(ngx_uint_t *state);
ngx_uint_t ngx_litestream_lock_fds(ngx_litestream_group_t *group, int *fds,
    ngx_uint_t n);
int ngx_litestream_dir_fd(ngx_litestream_db_t *db);
void ngx_litestream_files(ngx_uint_t n, ngx_log_t *log);
void ngx_litestream_orphans(ngx_litestream_conf_t *lcf, ngx_log_t *log);

/* ngx_litestream_foreground.c */

ngx_int_t ngx_litestream_foreground(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
void ngx_litestream_report(ngx_litestream_rdb_t *rdb);
void ngx_litestream_progress(void);
void ngx_litestream_heard(ngx_litestream_rdb_t *rdb);
void ngx_litestream_start_error(ngx_litestream_db_t *db, char *text);
void ngx_litestream_start_failed(void);

/* ngx_litestream_version.c */

void ngx_litestream_version(void);
void ngx_litestream_version_known(void);

/* ngx_litestream_process.c */

void ngx_litestream_process_init(void);
void ngx_litestream_proc_add(ngx_litestream_proc_t *proc, pid_t pid,
    ngx_litestream_exit_pt exited, void *data);
ngx_uint_t ngx_litestream_children(void);
void ngx_litestream_reap(void);
pid_t ngx_litestream_exec(ngx_litestream_exec_t *ex, ngx_log_t *log);
char *ngx_litestream_group_env(ngx_litestream_group_t *group, char *name,
    char *other);
char **ngx_litestream_environ(ngx_pool_t *pool, ngx_litestream_group_t *group);
void ngx_litestream_child_signals(void);
void ngx_litestream_child_fds(int *keep, ngx_uint_t n);
int ngx_litestream_child_identity(ngx_litestream_group_t *group,
    int death, pid_t parent);

/* ngx_litestream_place.c */

void ngx_litestream_place_all(void);
void ngx_litestream_placed(ngx_litestream_rdb_t *rdb);

/* ngx_litestream_restore.c */

void ngx_litestream_place(ngx_litestream_rdb_t *rdb);
void ngx_litestream_db_error(ngx_litestream_rdb_t *rdb, const char *fmt, ...);
void ngx_litestream_fail(ngx_litestream_job_t *job, const char *fmt, ...);
void ngx_litestream_what(char *buf, size_t size, uint64_t txid);
void ngx_litestream_when(char *buf, size_t size, int64_t ms);
void ngx_litestream_retry(ngx_litestream_rdb_t *rdb);
void ngx_litestream_retry_handler(ngx_event_t *ev);
void ngx_litestream_own(ngx_litestream_db_t *db, char *name,
    ngx_litestream_job_msg_t *msg);
void ngx_litestream_clean(char *temp);

/* ngx_litestream_aside.c: side files that were moved aside */

typedef struct {
    ngx_uint_t                   n;
    char                         from[3][4300];
    char                         to[3][4400];
} ngx_litestream_aside_t;

ngx_int_t ngx_litestream_aside(ngx_litestream_job_t *job,
    ngx_litestream_aside_t *aside);
void ngx_litestream_aside_back(ngx_litestream_aside_t *aside);

/* ngx_litestream_holder.c */

void ngx_litestream_place_prepare(ngx_litestream_job_t *job);

/* ngx_litestream_check.c */

void ngx_litestream_check(ngx_litestream_rdb_t *rdb);
void ngx_litestream_recheck(ngx_litestream_rdb_t *rdb);
void ngx_litestream_check_run(ngx_litestream_job_t *job);
void ngx_litestream_compare(ngx_litestream_job_t *job);
void ngx_litestream_check_judge(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res, ngx_int_t rc);

/* ngx_litestream_batch.c */

ngx_uint_t ngx_litestream_batch_fits(ngx_litestream_rdb_t *rdb);
ngx_int_t ngx_litestream_batch_add(ngx_litestream_rdb_t *rdb);

/* ngx_litestream_live.c */

ngx_uint_t ngx_litestream_live(ngx_litestream_rgroup_t *rg);
void ngx_litestream_live_down(ngx_litestream_rgroup_t *rg);
char *ngx_litestream_live_escape(char *p, char *last, ngx_str_t *text,
    char *also);

/* ngx_litestream_guard.c */

ngx_uint_t ngx_litestream_guard_late(ngx_litestream_rgroup_t *rg);
void ngx_litestream_guard_drop(ngx_litestream_rdb_t *rdb);
void ngx_litestream_guard(ngx_litestream_rgroup_t *rg);
ngx_uint_t ngx_litestream_guard_ready(ngx_litestream_rgroup_t *rg);
ngx_uint_t ngx_litestream_guarded(ngx_litestream_rdb_t *rdb);
void ngx_litestream_guard_pid(ngx_litestream_rgroup_t *rg, pid_t pid);
void ngx_litestream_guard_release(ngx_litestream_rdb_t *rdb);
void ngx_litestream_guard_end(ngx_litestream_rgroup_t *rg);

/* ngx_litestream_other.c: in jobs */

ngx_int_t ngx_litestream_other(ngx_litestream_db_t *db, char *text,
    size_t size);

/* ngx_litestream_hold.c: in jobs */

/* what is held of a database */

typedef struct {
    sqlite3                     *conn;
    sqlite3_file                *file;
    volatile u_char             *index;
    ngx_msec_t                   since;   /* it is busy */
    ngx_uint_t                   told;
} ngx_litestream_held_t;

ngx_int_t ngx_litestream_hold(ngx_litestream_db_t *db,
    ngx_litestream_held_t *held, char *text, size_t size);
ngx_uint_t ngx_litestream_hold_filled(ngx_litestream_held_t *held);
void ngx_litestream_hold_drop(ngx_litestream_held_t *held);
ngx_msec_t ngx_litestream_hold_now(void);
ngx_int_t ngx_litestream_wal_index(sqlite3 *conn, sqlite3_file **file,
    volatile u_char **index);
void ngx_litestream_wal_index_header(volatile u_char *index, u_char *h);
ngx_int_t ngx_litestream_guard_try(ngx_litestream_db_t *db, char *text,
    size_t size);
uint64_t ngx_litestream_newest(ngx_litestream_db_t *db, uint32_t *meta,
    char *file, size_t size);

/* ngx_litestream_ltx.c: in jobs */

ngx_int_t ngx_litestream_list(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
ngx_int_t ngx_litestream_list_dir(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
ngx_int_t ngx_litestream_list_all(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
void ngx_litestream_list_result(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
int64_t ngx_litestream_restored_size(ngx_litestream_db_t *db,
    ngx_litestream_list_t *list);
ngx_uint_t ngx_litestream_sibling(ngx_litestream_db_t *db, char *name,
    size_t size);

/* ngx_litestream_memory.c */

void ngx_litestream_memory_load(void);
void ngx_litestream_memory_save(void);
void ngx_litestream_memory_flush(void);
void ngx_litestream_memory_seen(ngx_litestream_rdb_t *rdb, uint64_t txid);
void ngx_litestream_memory_known(ngx_litestream_rdb_t *rdb);
size_t ngx_litestream_memory_next(ngx_litestream_dir_t *dir, ngx_uint_t *n,
    u_char *path, size_t size);
ngx_int_t ngx_litestream_memory_moved(ngx_litestream_db_t *db, u_char *buf,
    size_t size, int64_t *at);
void ngx_litestream_memory_forget(ngx_uint_t n);

/* ngx_litestream_job.c */

ngx_int_t ngx_litestream_job_init(ngx_cycle_t *cycle);

ngx_litestream_job_t *ngx_litestream_job_new(char *name,
    ngx_litestream_rdb_t *rdb);
void ngx_litestream_job_fork(ngx_litestream_job_t *job);
void ngx_litestream_job_answer(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
void ngx_litestream_job_kill(ngx_litestream_job_t *job);

void ngx_litestream_job_tell(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
ngx_int_t ngx_litestream_job_ask(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);
void ngx_litestream_job_log(ngx_litestream_job_t *job, const char *fmt, ...);

typedef ngx_uint_t (*ngx_litestream_tick_pt)(ngx_litestream_job_t *job);

/* what a program that a job has run left behind */

typedef struct {
    int                          status;  /* of waitpid() */
    size_t                       len;     /* of out */
    u_char                      *out;     /* its stdout, freed by nobody */
    char                         last[512];   /* that it said at last */
    unsigned                     timedout:1;
    unsigned                     overflow:1;
} ngx_litestream_run_t;

/* storages on the network: ngx_litestream_endpoint.c */

ngx_int_t ngx_litestream_endpoint_reason(ngx_litestream_db_t *db, char *buf,
    size_t size);
void ngx_litestream_endpoint_trust(ngx_litestream_db_t *db, void *curl);
void ngx_litestream_endpoint_silent(ngx_litestream_job_t *job,
    ngx_msec_t waited);
void ngx_litestream_endpoint_explain(ngx_litestream_job_t *job,
    ngx_litestream_run_t *run);
void ngx_litestream_endpoint_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg);

/* ngx_litestream_look.c */

void ngx_litestream_look(ngx_litestream_rdb_t *rdb, char *buf, size_t size);
void ngx_litestream_look_over(ngx_litestream_rdb_t *rdb);
ngx_uint_t ngx_litestream_same_server(ngx_litestream_rdb_t *one,
    ngx_litestream_rdb_t *two);

ngx_uint_t ngx_litestream_job_argv(ngx_litestream_job_t *job, char **argv,
    char *command);
ngx_int_t ngx_litestream_job_exec(ngx_litestream_job_t *job, char **argv,
    ngx_msec_t timeout, ngx_litestream_tick_pt tick,
    ngx_litestream_run_t *run);
ngx_uint_t ngx_litestream_job_stopped(void);

/* ngx_litestream_integrity.c, in a job */

ngx_int_t ngx_litestream_integrity(ngx_litestream_job_t *job, char *path,
    ngx_uint_t full, ngx_msec_t timeout, ngx_litestream_tick_pt tick,
    char *text, size_t size);

uint64_t ngx_litestream_job_cpu(ngx_litestream_job_t *job);

/* ngx_litestream_turn.c */

void ngx_litestream_job_start(ngx_litestream_job_t *job, ngx_uint_t class);
void ngx_litestream_job_next(ngx_uint_t class);
void ngx_litestream_job_uncount(ngx_litestream_job_t *job);

/* ngx_litestream_child.c */

ngx_int_t ngx_litestream_group_init(ngx_litestream_rgroup_t *rg);
void ngx_litestream_group_kick(ngx_litestream_rgroup_t *rg);
void ngx_litestream_group_stop(ngx_litestream_rgroup_t *rg);
void ngx_litestream_group_kill(ngx_litestream_rgroup_t *rg, char *why);
void ngx_litestream_group_up(ngx_litestream_rgroup_t *rg);

/* ngx_litestream_folder.c */

ngx_int_t ngx_litestream_group_files(ngx_litestream_rgroup_t *rg);
ngx_int_t ngx_litestream_group_file(ngx_litestream_rgroup_t *rg, char *name,
    u_char *use);
ngx_int_t ngx_litestream_group_write(ngx_litestream_rgroup_t *rg, char *name,
    ngx_str_t *text, mode_t mode);

/* ngx_litestream_mcp.c: what its MCP server needs, env is changed */

ngx_int_t ngx_litestream_mcp(ngx_pool_t *pool, ngx_litestream_rgroup_t *rg,
    char **env);

/* ngx_litestream_said.c */

void ngx_litestream_group_read_handler(ngx_event_t *ev);
void ngx_litestream_group_read(ngx_litestream_rgroup_t *rg, ngx_uint_t all);
void ngx_litestream_group_second(ngx_litestream_rgroup_t *rg);
ngx_uint_t ngx_litestream_group_leave_out(ngx_litestream_rgroup_t *rg);

/* ngx_litestream_sweep.c */

void ngx_litestream_sweep(void);
void ngx_litestream_sweep_left(ngx_litestream_group_t *group, char *prefix);

/* ngx_litestream_sync.c */

void ngx_litestream_sync_init(ngx_litestream_rdb_t *rdb);
void ngx_litestream_sync(ngx_litestream_rdb_t *rdb,
    ngx_litestream_waiter_t *w);
void ngx_litestream_sync_cancel(ngx_litestream_waiter_t *w);
void ngx_litestream_synced(ngx_litestream_rdb_t *rdb, uint64_t txid,
    int64_t at);
void ngx_litestream_unsynced(ngx_litestream_rdb_t *rdb, char *error);
void ngx_litestream_sync_answer(ngx_queue_t *waiters, ngx_int_t rc,
    uint64_t txid, char *error);
ngx_uint_t ngx_litestream_sync_expire(ngx_litestream_rdb_t *rdb,
    char *error);
void ngx_litestream_sync_up(ngx_litestream_rgroup_t *rg);
void ngx_litestream_sync_down(ngx_litestream_rgroup_t *rg);
void ngx_litestream_probe(ngx_litestream_rgroup_t *rg);
void ngx_litestream_poll(ngx_litestream_rgroup_t *rg);

/* ngx_litestream_watch.c */

void ngx_litestream_watch(ngx_litestream_rdb_t *rdb);
ngx_int_t ngx_litestream_identity(u_char *path, uint64_t *dev,
    uint64_t *ino, int64_t *size);

/* ngx_litestream_verify.c */

typedef struct {
    ngx_queue_t                  queue;
    void                       (*handler)(void *data,
                                     ngx_litestream_verify_result_t *res);
    void                        *data;
    ngx_uint_t                   mode;    /* 1: full */
} ngx_litestream_verifier_t;

void ngx_litestream_verify(ngx_litestream_rdb_t *rdb,
    ngx_litestream_verifier_t *v, ngx_uint_t mode);
void ngx_litestream_verify_all(void);
void ngx_litestream_verify_fail(ngx_litestream_job_t *job,
    const char *fmt, ...);
ngx_int_t ngx_litestream_verify_sql(sqlite3 *conn, char *sql, uint64_t *n);
uint32_t ngx_litestream_verify_ms(struct timespec *t);

/* ngx_litestream_image.c, in a job: the content of a database */

typedef struct {
    uint64_t                     txid;
    uint32_t                     page;    /* bytes */
    uint32_t                     pages;
    uint32_t                     each;    /* pages that a sum is of */
    uint32_t                     nsums;
    u_char                      *sums;    /* 16 bytes each */
} ngx_litestream_image_t;

typedef struct {
    uint64_t                     n;       /* pages, 0: none differs */
    uint32_t                     first;   /* the first of them is between */
    uint32_t                     last;
} ngx_litestream_diff_t;

ngx_int_t ngx_litestream_image_live(ngx_litestream_job_t *job, sqlite3 *conn,
    ngx_litestream_image_t *image);
ngx_int_t ngx_litestream_image_compare(ngx_litestream_job_t *job, char *copy,
    ngx_litestream_image_t *image, ngx_litestream_diff_t *diff);
ngx_int_t ngx_litestream_image_owner(char *copy, ngx_litestream_diff_t *diff,
    char *name, size_t size);

/* ngx_litestream_copy.c, in a job */

void ngx_litestream_copy_verify(ngx_litestream_job_t *job, uint64_t token,
    ngx_litestream_image_t *image);
void ngx_litestream_copy_unlink(ngx_litestream_db_t *db);

/* ngx_litestream_history.c, pure */

typedef struct {
    uint64_t                     txid;    /* that can be restored, 0: none */
    uint64_t                     newest;  /* that there is, or more */
    uint64_t                     below;   /* can be restored, up to ... */
    uint64_t                     above;   /* ... or next to what was asked */
    ngx_litestream_ltx_t         file;    /* whose last one txid is */
    ngx_litestream_ltx_t         exact;   /* whose last one was asked for */
} ngx_litestream_history_t;

void ngx_litestream_history(ngx_litestream_ltx_t *files, ngx_uint_t n,
    int64_t time, uint64_t txid, ngx_litestream_history_t *h);

/* ngx_litestream_point.c: restores to a new file */

typedef struct {
    ngx_queue_t                  queue;
    void                       (*handler)(void *data,
                                     ngx_litestream_point_t *res);
    void                        *data;
} ngx_litestream_pointer_t;

ngx_int_t ngx_litestream_point(ngx_litestream_rdb_t *rdb,
    ngx_litestream_pointer_t *p, int64_t time, uint64_t txid);
void ngx_litestream_point_all(void);

/* ngx_litestream_listing.c: what replicas hold */

typedef struct {
    ngx_queue_t                  queue;

    /* fd: a list, not the asker's; or -1 and why; ms that it took */

    void                       (*handler)(void *data, int fd, ngx_msec_t ms,
                                     char *error);
    void                        *data;
} ngx_litestream_asker_t;

ngx_int_t ngx_litestream_listing(ngx_litestream_rdb_t *rdb,
    ngx_litestream_asker_t *a);
void ngx_litestream_listing_all(void);
void ngx_litestream_listing_tick(void);
ngx_uint_t ngx_litestream_listing_idle(ngx_litestream_rdb_t *rdb);
void ngx_litestream_listing_kill(ngx_litestream_rdb_t *rdb);
void ngx_litestream_history_set(ngx_litestream_rdb_t *rdb, uint64_t files,
    uint64_t txid, int64_t from, int64_t to);

/* ngx_litestream_pass.c, the worker's and the jobs' as well */

ssize_t ngx_litestream_pass(int s, void *buf, size_t len, int fd);
ssize_t ngx_litestream_take(int s, void *buf, size_t len, int *fd);

/* ngx_litestream_control.c */

ngx_int_t ngx_litestream_control_init(ngx_cycle_t *cycle);
ngx_litestream_call_t *ngx_litestream_control(ngx_litestream_rgroup_t *rg,
    char *uri, char *post, ngx_msec_t timeout, size_t limit,
    ngx_litestream_call_pt handler, void *data);
void ngx_litestream_control_cancel(ngx_litestream_rgroup_t *rg);

/* ngx_litestream_signal.c */

ngx_int_t ngx_litestream_signals(ngx_cycle_t *cycle);
void ngx_litestream_channel_handler(ngx_event_t *ev);

/* ngx_litestream_ipc.c; the first one is the worker's as well */

int ngx_litestream_ipc_socket(ngx_str_t *name, struct sockaddr_un *sun);
ngx_int_t ngx_litestream_ipc_listen(void);
void ngx_litestream_ipc_unlisten(void);
ngx_int_t ngx_litestream_ipc_probe(ngx_str_t *name, uint64_t handover,
    ngx_log_t *log);

/* ngx_litestream_status.c, write side: the holder of the lock alone */

ngx_int_t ngx_litestream_status_create(void);
void ngx_litestream_status_super_write(void);
void ngx_litestream_status_group_write(ngx_litestream_rgroup_t *rg);
void ngx_litestream_status_db_write(ngx_litestream_rdb_t *rdb);
void ngx_litestream_status_dir_write(ngx_litestream_rdir_t *rdir);

/* SQLite's WAL and WAL-index, and LTX files: offsets and sizes in bytes */

#define NGX_LITESTREAM_WAL_HEADER    32
#define NGX_LITESTREAM_WAL_FRAME     24   /* of one, without its page */
#define NGX_LITESTREAM_LTX_HEADER    100
#define NGX_LITESTREAM_SHM_SIZE      32768
#define NGX_LITESTREAM_SHM_HEADER    48
#define NGX_LITESTREAM_SHM_FRAMES    16
#define NGX_LITESTREAM_SHM_SALTS     32
#define NGX_LITESTREAM_SHM_BACKFILL  96
#define NGX_LITESTREAM_SHM_ATTEMPT   128  /* of a backfill that was begun */

/* ngx_litestream_wal.c, in a job */

ngx_int_t ngx_litestream_wal_ltx(char *ltx, u_char *l, uint64_t *end);

ngx_int_t ngx_litestream_wal_check(char *ltx, char *wal);
ngx_int_t ngx_litestream_wal_anew(char *ltx, char *wal, u_char *salts);

/* pure: facts in, verdict out; ngx_litestream_verdict.c */

typedef struct {
    uint64_t                     replica; /* newest TXID there, 0: empty */
    uint64_t                     local;   /* newest level-0 LTX, 0: none */
    uint64_t                     restored;    /* what this file came from */
    uint64_t                     seen;    /* newest ever seen there */
    unsigned                     exists:1;    /* the database, over 0 bytes */
    unsigned                     same:1;  /* still the restored file */
    unsigned                     seq:1;   /* has _litestream_seq */
    unsigned                     meta:1;  /* has a meta directory */
    unsigned                     torn:1;  /* its WAL has lost commits */
    unsigned                     begun:1; /* its first LTX file is there */
} ngx_litestream_check_facts_t;

typedef enum {
    NGX_LITESTREAM_GO = 0,
    NGX_LITESTREAM_AHEAD,         /* the replica is ahead of the database */
    NGX_LITESTREAM_VANISHED,      /* the replica held something once */
    NGX_LITESTREAM_MADE_ANEW,     /* not the database that was replicated */
    NGX_LITESTREAM_TORN,          /* commits that were replicated are gone */
    NGX_LITESTREAM_GONE,          /* nothing here, a backup there */
    NGX_LITESTREAM_NEWER,         /* of 0.5, where 0.3 is to replicate */
    NGX_LITESTREAM_NOT_BEGUN      /* replicated elsewhere, files are gone */
} ngx_litestream_check_e;

ngx_litestream_check_e ngx_litestream_check_verdict(
    ngx_litestream_check_facts_t *f);


typedef struct {
    ngx_int_t                    rc;      /* of restore, -1: not run */
    ngx_uint_t                   files;   /* LTX files listed */
    uint64_t                     seen;
    unsigned                     none:1;  /* said: no matching backup … */
    unsigned                     required:1;
    unsigned                     sibling:1;
    unsigned                     moved:1; /* it was replicated elsewhere */
} ngx_litestream_restore_facts_t;

typedef enum {
    NGX_LITESTREAM_RESTORED = 0,
    NGX_LITESTREAM_PROVEN_NEW,
    NGX_LITESTREAM_BROKEN,        /* files, but no backup of them */
    NGX_LITESTREAM_WAS_FULL,      /* empty but seen full before */
    NGX_LITESTREAM_ELSEWHERE,     /* empty, a sibling is not */
    NGX_LITESTREAM_MOVED,         /* never held it, another replica did */
    NGX_LITESTREAM_REQUIRED,      /* proven new, but restore=required */
    NGX_LITESTREAM_UNKNOWN        /* the restore failed */
} ngx_litestream_restore_e;

ngx_litestream_restore_e ngx_litestream_restore_verdict(
    ngx_litestream_restore_facts_t *f);

/*
 * ngx_litestream_kind.c: what differs between the Litestreams.  yaml: as
 * ngx_litestream_yaml_write(); list, restore, check: in jobs; judge: the
 * verdict, which has been told unless it is NGX_LITESTREAM_GO.
 */

typedef struct {
    char                        *name;
    ngx_uint_t                   control; /* it has a control socket */
    ngx_uint_t                   guard;   /* its starts need one */
    ngx_uint_t                   txid;    /* transactions have numbers */
    char                        *files;   /* what replicas consist of */
    char                        *none;    /* said when there is no backup */

    ngx_int_t                  (*yaml)(ngx_pool_t *pool,
                                     ngx_litestream_conf_t *lcf,
                                     ngx_litestream_group_t *group,
                                     u_char *use, ngx_uint_t mask,
                                     ngx_str_t *out);
    ngx_int_t                  (*list)(ngx_litestream_job_t *job,
                                     ngx_litestream_list_t *list);
    ngx_int_t                  (*restore)(ngx_litestream_job_t *job, char *to,
                                     ngx_litestream_tick_pt tick,
                                     ngx_litestream_run_t *run);
    void                       (*check)(ngx_litestream_job_t *job);
    ngx_litestream_check_e     (*judge)(ngx_litestream_rdb_t *rdb,
                                     ngx_litestream_job_msg_t *res);
} ngx_litestream_kind_t;


extern ngx_litestream_kind_t  *ngx_litestream_kind;

ngx_int_t ngx_litestream_kind_set(char *version);
void ngx_litestream_kind_say(void);

/* those of Litestream 0.5: ngx_litestream_restore.c, _check.c */

ngx_int_t ngx_litestream_restore(ngx_litestream_job_t *job, char *to,
    ngx_litestream_tick_pt tick, ngx_litestream_run_t *run);
ngx_litestream_check_e ngx_litestream_judge(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res);

/* state × event of a group's child: the next state, docs/supervision.md */

typedef enum {
    NGX_LITESTREAM_EV_WANTED = 0, /* a cleared database, a worker is there */
    NGX_LITESTREAM_EV_UP,         /* its own child answers */
    NGX_LITESTREAM_EV_EXIT,
    NGX_LITESTREAM_EV_STOP,
    NGX_LITESTREAM_EV_TIMER,
    NGX_LITESTREAM_EV_MAX
} ngx_litestream_event_e;

ngx_uint_t ngx_litestream_next_state(ngx_uint_t state, ngx_uint_t event);

ngx_msec_t ngx_litestream_next_delay(ngx_uint_t *deaths, ngx_uint_t was_up,
    ngx_msec_t up);


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_SUPERVISOR_H_INCLUDED_ */
