
/*
 * Copyright (C) the ngx_litestream authors
 */


/* a job that looks through a directory of databases, and its replicas */


#ifndef _NGX_LITESTREAM_WALK_H_INCLUDED_
#define _NGX_LITESTREAM_WALK_H_INCLUDED_


#include "ngx_litestream_supervisor.h"

#pragma GCC visibility push(hidden)


#define NGX_LITESTREAM_WALK_DEPTH  64


typedef struct {
    ngx_litestream_job_t        *job;
    ngx_litestream_rdir_t       *rdir;
    ngx_litestream_dir_t        *dir;
    uint64_t                    *known;   /* ids of paths, sorted */
    ngx_uint_t                   nknown;
    ngx_msec_t                   beat;
    ngx_uint_t                   files;   /* databases that are here */
    ngx_uint_t                   backups;
    size_t                       len;     /* of path */
    char                         path[4200];
} ngx_litestream_walk_t;


/* ngx_litestream_walk.c: what it tells; and a sign of life when it is due */

void ngx_litestream_walk_item(ngx_litestream_walk_t *w, int32_t rc,
    uint32_t index, u_char *text, size_t len);
void ngx_litestream_walk_problem(ngx_litestream_walk_t *w, const char *fmt,
    ...);
void ngx_litestream_walk_beat(ngx_litestream_walk_t *w);

/* ngx_litestream_walk_backup.c */

ngx_int_t ngx_litestream_walk_list(ngx_litestream_walk_t *w);
void ngx_litestream_walk_seen(ngx_litestream_walk_t *w);
void ngx_litestream_walk_lost(ngx_litestream_walk_t *w);
void ngx_litestream_walk_backup(ngx_litestream_walk_t *w, u_char *below,
    size_t len);

/* ngx_litestream_walk_s3.c */

ngx_int_t ngx_litestream_walk_s3(ngx_litestream_walk_t *w);

/* ngx_litestream_walk_make.c: directories above a file to be restored */

void ngx_litestream_walk_make(ngx_litestream_walk_t *w, u_char *below,
    size_t len);


#pragma GCC visibility pop

#endif /* _NGX_LITESTREAM_WALK_H_INCLUDED_ */
