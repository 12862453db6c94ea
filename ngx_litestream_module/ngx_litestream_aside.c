
/*
 * Copyright (C) the ngx_litestream authors
 */


/* what stands beside a missing database is moved aside before a restore */


#include "ngx_litestream_supervisor.h"

#include <sys/syscall.h>


#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE  (1 << 0)
#endif


/*
 * Side files without their database are kept, under another name.  NGX_ERROR:
 * all are where they were, the result of the job has the reason.  A job, with
 * the identity of the database's user.
 */

ngx_int_t
ngx_litestream_aside(ngx_litestream_job_t *job, ngx_litestream_aside_t *aside)
{
    char                 *from, *to;
    time_t                now;
    struct tm             tm;
    ngx_uint_t            i;
    struct stat           st;
    ngx_litestream_db_t  *db;

    static char  *tails[] = { "-wal", "-shm", "-journal" };

    db = job->rdb->db;

    now = time(NULL);
    (void) gmtime_r(&now, &tm);

    aside->n = 0;

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {

        from = aside->from[aside->n];
        to = aside->to[aside->n];

        (void) snprintf(from, sizeof(aside->from[0]), "%s%s",
                        (char *) db->path.data, tails[i]);

        if (lstat(from, &st) == -1) {
            continue;
        }

        (void) snprintf(to, sizeof(aside->to[0]),
                        "%s/.%s.stale-%04d%02d%02dT%02d%02d%02dZ-%d%s",
                        (char *) db->dir.data, (char *) db->name.data,
                        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min, tm.tm_sec, (int) getpid(),
                        tails[i]);

        if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to,
                    RENAME_NOREPLACE)
            == -1
            && rename(from, to) == -1)
        {
            ngx_litestream_fail(job, "\"%s\" cannot be moved aside: %s",
                                from, strerror(errno));
            ngx_litestream_aside_back(aside);
            return NGX_ERROR;
        }

        aside->n++;
    }

    return NGX_OK;
}


/* they go back, unless something stands there now; a job */

void
ngx_litestream_aside_back(ngx_litestream_aside_t *aside)
{
    ngx_uint_t  i;

    for (i = 0; i < aside->n; i++) {

        if (syscall(SYS_renameat2, AT_FDCWD, aside->to[i], AT_FDCWD,
                    aside->from[i], RENAME_NOREPLACE)
            == -1
            && (errno == EINVAL || errno == ENOSYS)
            && link(aside->to[i], aside->from[i]) == 0)
        {
            (void) unlink(aside->to[i]);
        }
    }
}
