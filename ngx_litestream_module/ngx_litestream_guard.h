
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_GUARD_H_INCLUDED_
#define _NGX_LITESTREAM_GUARD_H_INCLUDED_


/* the guard of a start: what the supervisor and its job have in common */


/* how long Litestream may take to open what it was started with */
#define NGX_LITESTREAM_GUARD_LIMIT   60000


typedef enum {
    NGX_LITESTREAM_GUARD_NONE = 0,
    NGX_LITESTREAM_GUARD_WANTED,
    NGX_LITESTREAM_GUARD_DOING,
    NGX_LITESTREAM_GUARD_FREE,    /* there is nothing to guard */
    NGX_LITESTREAM_GUARD_HELD,
    NGX_LITESTREAM_GUARD_FAILED,
    NGX_LITESTREAM_GUARD_RELEASED     /* by the supervisor */
} ngx_litestream_guard_e;


/* shared by the supervisor and the job; a mark for each database */

typedef struct {
    volatile int32_t             pid;     /* of Litestream, 0: none yet */
    volatile int32_t             keep;    /* the same, of one without locks */
    volatile u_char              marks[4];
} ngx_litestream_guard_page_t;


struct ngx_litestream_guard_s {
    ngx_litestream_rgroup_t     *group;   /* NULL: not of interest any more */
    ngx_litestream_job_t        *job;
    ngx_litestream_guard_page_t *page;
    size_t                       size;
    ngx_uint_t                   n;       /* marks: others were found later */
    ngx_event_t                  timer;
    unsigned                     ready:1;
    unsigned                     late:1;  /* Litestream runs already */
};


#pragma GCC visibility push(hidden)


/* ngx_litestream_guard_run.c */

void ngx_litestream_guard_prepare(ngx_litestream_job_t *job);
void ngx_litestream_guard_run(ngx_litestream_job_t *job);


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_GUARD_H_INCLUDED_ */
