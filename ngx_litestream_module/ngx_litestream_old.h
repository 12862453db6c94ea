
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Litestream 0.3.  Its replicas are generations, each of which begins with a
 * snapshot that WALs follow: a position is a generation and a place in a WAL.
 * It has no control socket, so that what it has done is seen in its log.
 */


#ifndef _NGX_LITESTREAM_OLD_H_INCLUDED_
#define _NGX_LITESTREAM_OLD_H_INCLUDED_


#include "ngx_litestream_supervisor.h"


#pragma GCC visibility push(hidden)


/* index and offset, which has 8 hex digits in the names of its files */

#define ngx_litestream_old_at(index, offset)                                  \
    ((uint64_t) (index) << 32 | ngx_min((uint64_t) (offset), 0xffffffff))


/* ngx_litestream_old_yaml.c */

ngx_int_t ngx_litestream_old_supports(ngx_litestream_db_t *db, char *text,
    size_t size);
ngx_uint_t ngx_litestream_old_unknown(ngx_litestream_conf_t *lcf,
    ngx_litestream_db_t *db);

/* ngx_litestream_old_list.c, in jobs: what a replica holds */

ngx_int_t ngx_litestream_old_list(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);
ngx_int_t ngx_litestream_old_list_dir(ngx_litestream_job_t *job,
    ngx_litestream_list_t *list);

/* ngx_litestream_old_restore.c, in jobs */

ngx_int_t ngx_litestream_old_restore(ngx_litestream_job_t *job, char *to,
    ngx_litestream_tick_pt tick, ngx_litestream_run_t *run);
void ngx_litestream_old_explain(ngx_litestream_run_t *run);

/* ngx_litestream_old_check.c: in a job, and what follows */

void ngx_litestream_old_check(ngx_litestream_job_t *job);
void ngx_litestream_old_local(ngx_litestream_job_t *job);
ngx_litestream_check_e ngx_litestream_old_judge(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res);
ngx_int_t ngx_litestream_old_seen(ngx_litestream_job_t *job);
ngx_uint_t ngx_litestream_old_moves(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res);

/* facts and verdict: pure, ngx_litestream_old_verdict.c */

typedef struct {
    ngx_litestream_old_pos_t     replica; /* newest there, generation 0: none */
    ngx_litestream_old_pos_t     local;
    ngx_litestream_old_pos_t     last;    /* newest seen there, by us */
    uint64_t                     files;   /* in the replica */
    uint64_t                     seen;    /* it was seen to hold something */
    unsigned                     newer:1; /* a backup of Litestream 0.5 */
    unsigned                     exists:1;
    unsigned                     same:1;  /* still the restored file */
    unsigned                     own:1;   /* still the replicated file */
    unsigned                     seq:1;   /* has _litestream_seq */
    unsigned                     torn:1;  /* its WAL has lost commits */
} ngx_litestream_old_facts_t;

ngx_litestream_check_e ngx_litestream_old_verdict(
    ngx_litestream_old_facts_t *f);

/* "GENERATION/INDEX:OFFSET" and "wal/0000000a_00001038.wal.lz4": NGX_OK */

ngx_int_t ngx_litestream_old_position(u_char *p, size_t len,
    ngx_litestream_old_pos_t *pos);
ngx_int_t ngx_litestream_old_name(char *name, uint64_t *at,
    ngx_uint_t *snapshot);
ngx_int_t ngx_litestream_old_generation(u_char *p, size_t len,
    uint64_t *generation);

/* ngx_litestream_old_watch.c: how far its databases are, in a job */

typedef struct {
    volatile uint32_t            seq;     /* odd: it is being written */
    volatile uint32_t            touch;   /* by the supervisor: write there */
    ngx_litestream_old_pos_t     pos;     /* as far as the WAL is copied */
    ngx_litestream_old_pos_t     end;     /* of all that was committed */
    int64_t                      time;    /* when that was so, ms since 1970 */
    uint64_t                     mono;    /* the same of CLOCK_MONOTONIC, ms */
} ngx_litestream_old_sample_t;

typedef struct {
    volatile uint32_t            beat;
    uint32_t                     pad;
    ngx_litestream_old_sample_t  samples[1];
} ngx_litestream_old_page_t;

/* ends that are not in the replica yet, the oldest one first */

#define NGX_LITESTREAM_OLD_MARKS  8

typedef struct {
    ngx_litestream_old_pos_t     end;
    int64_t                      time;
} ngx_litestream_old_mark_t;

/* of a database, since the start of Litestream */

typedef struct {
    ngx_litestream_old_pos_t     sent;    /* is in the replica */
    ngx_litestream_old_pos_t     copied;
    ngx_msec_t                   since;   /* no more was copied, 0: no need */
    ngx_msec_t                   touched;
    ngx_litestream_old_mark_t    marks[NGX_LITESTREAM_OLD_MARKS];
    ngx_uint_t                   n;
} ngx_litestream_old_track_t;

/* of a Litestream that runs: the job, and what it shares with us */

struct ngx_litestream_old_s {
    ngx_litestream_rgroup_t     *group;   /* NULL: not of interest any more */
    ngx_litestream_job_t        *job;
    ngx_litestream_old_page_t   *page;
    size_t                       size;
    ngx_uint_t                   n;       /* databases; a job writes page */
    ngx_litestream_old_track_t  *tracks;
    ngx_event_t                  timer;   /* somebody waits */
    uint32_t                     beat;    /* as seen at last, and when */
    ngx_msec_t                   alive;
    ngx_msec_t                   heard;   /* the log said something */
};

void ngx_litestream_old_watch_run(ngx_litestream_job_t *job);
ngx_int_t ngx_litestream_old_shadow(ngx_litestream_db_t *db, char *path,
    size_t size, ngx_litestream_old_pos_t *pos);

/* ngx_litestream_old_sync.c: in the supervisor */

void ngx_litestream_old_start(ngx_litestream_rgroup_t *rg);
void ngx_litestream_old_end(ngx_litestream_rgroup_t *rg);
void ngx_litestream_old_poll(ngx_litestream_rgroup_t *rg);
void ngx_litestream_old_sync(ngx_litestream_rdb_t *rdb);
ngx_uint_t ngx_litestream_old_line(ngx_litestream_rgroup_t *rg, u_char *p,
    size_t len);

/* ngx_litestream_old_memory.c: its lines in STATE/replicas */

ngx_int_t ngx_litestream_old_remember(char *line,
    ngx_litestream_old_memory_t *old);
void ngx_litestream_old_save(FILE *fp, ngx_litestream_old_memory_t *old);


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_OLD_H_INCLUDED_ */
