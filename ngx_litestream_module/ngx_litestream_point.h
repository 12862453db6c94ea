
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_POINT_H_INCLUDED_
#define _NGX_LITESTREAM_POINT_H_INCLUDED_


/* restores to a new file: what their job is, ngx_litestream_point_run.c */


#pragma GCC visibility push(hidden)


void ngx_litestream_point_run(ngx_litestream_job_t *job);
char *ngx_litestream_point_temp(ngx_litestream_db_t *db);


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_POINT_H_INCLUDED_ */
