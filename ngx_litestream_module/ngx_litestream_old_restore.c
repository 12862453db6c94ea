
/*
 * Copyright (C) the ngx_litestream authors
 */


/* in jobs: restores by Litestream 0.3 */


#include "ngx_litestream_old.h"

#include <dirent.h>


static void ngx_litestream_old_leftovers(char *to);


/*
 * Restores the newest of the database of job to the file "to", as
 * ngx_litestream_restore() does, whose arguments these are.  What it leaves
 * beside that file is removed.
 */

ngx_int_t
ngx_litestream_old_restore(ngx_litestream_job_t *job, char *to,
    ngx_litestream_tick_pt tick, ngx_litestream_run_t *run)
{
    char        *argv[10];
    ngx_int_t    rc;
    ngx_uint_t   n;

    n = ngx_litestream_job_argv(job, argv, "restore");
    argv[n++] = "-o";
    argv[n++] = to;
    argv[n++] = (char *) job->rdb->db->path.data;
    argv[n] = NULL;

    /* parts of WALs, of one that was killed */

    ngx_litestream_old_leftovers(to);

    rc = ngx_litestream_job_exec(job, argv,
                                 ngx_litestream_sup->conf->restore_timeout,
                                 tick, run);

    ngx_litestream_old_leftovers(to);
    ngx_litestream_old_explain(run);

    return rc;
}


/*
 * Its last line is one of its log, JSON: what it says, for people.  What we
 * have added behind that, such as what can be done, stays.
 */

void
ngx_litestream_old_explain(ngx_litestream_run_t *run)
{
    char                   also[512], *end;
    u_char                 buf[NGX_LITESTREAM_LINE_LEN];
    size_t                 len;
    ngx_str_t             *text;
    ngx_litestream_line_t  line;

    if (run->last[0] != '{') {
        return;
    }

    end = strrchr(run->last, '}');
    len = end ? (size_t) (end + 1 - run->last) : ngx_strlen(run->last);

    (void) snprintf(also, sizeof(also), "%s", run->last + len);

    ngx_litestream_line_parse((u_char *) run->last, len, buf, &line);

    if (!line.json) {
        return;
    }

    /* what it has done before it was killed is no reason */

    if (line.level > NGX_LOG_ERR) {
        run->last[0] = '\0';
        return;
    }

    text = line.error.len ? &line.error : &line.msg;

    ngx_litestream_tidy(run->last, sizeof(run->last), (char *) text->data,
                        text->len);

    len = ngx_strlen(run->last);

    (void) snprintf(run->last + len, sizeof(run->last) - len, "%s", also);
}


/* TO.tmp-shm, TO.tmp-wal, TO.tmp-0000000a-wal */

static void
ngx_litestream_old_leftovers(char *to)
{
    DIR            *dir;
    char            path[4300], *name;
    size_t          len;
    struct dirent  *de;

    (void) snprintf(path, sizeof(path), "%.4200s", to);

    name = strrchr(path, '/');
    if (name == NULL) {
        return;
    }

    *name++ = '\0';
    len = ngx_strlen(name);

    dir = opendir(path);
    if (dir == NULL) {
        return;
    }

    while ((de = readdir(dir)) != NULL) {
        if (strncmp(de->d_name, name, len) == 0
            && strncmp(de->d_name + len, ".tmp-", 5) == 0)
        {
            (void) unlinkat(dirfd(dir), de->d_name, 0);
        }
    }

    (void) closedir(dir);
}
