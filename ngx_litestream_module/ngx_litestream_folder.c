
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the folder of a group below the state path, and the files in it */


#include "ngx_litestream_supervisor.h"


static ngx_int_t ngx_litestream_group_environ(ngx_litestream_rgroup_t *rg);


/*
 * Makes the group's folders and the files that jobs use (all databases of the
 * group).  Supervisor, under the lock; small local files only.
 */

ngx_int_t
ngx_litestream_group_files(ngx_litestream_rgroup_t *rg)
{
    int                      fd;
    ngx_log_t               *log;
    ngx_litestream_group_t  *group;

    log = ngx_litestream_sup->log;
    group = rg->group;

    if (mkdir((char *) group->dir.data, 0711) == -1 && ngx_errno != NGX_EEXIST)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: mkdir() \"%V\" failed", &group->dir);
        return NGX_ERROR;
    }

    if (chmod((char *) group->dir.data, 0711) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: chmod() \"%V\" failed", &group->dir);
        return NGX_ERROR;
    }

    if (mkdir((char *) group->run.data, 0700) == -1 && ngx_errno != NGX_EEXIST)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: mkdir() \"%V\" failed", &group->run);
        return NGX_ERROR;
    }

    fd = open((char *) group->run.data,
              O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1
        || (geteuid() == 0 && fchown(fd, group->uid, group->gid) == -1)
        || fchmod(fd, 0700) == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: \"%V\" cannot be given to user %V",
                      &group->run, &group->user);

        if (fd != -1) {
            (void) close(fd);
        }

        return NGX_ERROR;
    }

    (void) close(fd);

    if (ngx_litestream_group_environ(rg) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_litestream_group_file(rg, "jobs.yml", NULL);
}


/*
 * Writes the litestream.yml of a group to this name in its folder; use: one
 * byte for each database of the configuration, NULL for all of them.
 */

ngx_int_t
ngx_litestream_group_file(ngx_litestream_rgroup_t *rg, char *name, u_char *use)
{
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(16384, ngx_litestream_sup->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_litestream_kind->yaml(pool, ngx_litestream_sup->conf, rg->group,
                                   use, 0, &text);

    if (rc == NGX_OK) {
        rc = ngx_litestream_group_write(rg, name, &text, 0400);
    }

    ngx_destroy_pool(pool);

    return rc;
}


/*
 * jobs.env: with what nginx-litestream is to run Litestream as jobs do, while
 * nginx is down as well.  The program, then its environment, each NUL-ended.
 */

static ngx_int_t
ngx_litestream_group_environ(ngx_litestream_rgroup_t *rg)
{
    char        **env, **e;
    size_t        len;
    u_char       *p;
    ngx_int_t     rc;
    ngx_str_t     text, *bin;
    ngx_pool_t   *pool;

    pool = ngx_create_pool(4096, ngx_litestream_sup->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    bin = &ngx_litestream_sup->conf->bin;

    env = ngx_litestream_environ(pool, rg->group);

    if (env) {
        len = bin->len + 1;

        for (e = env; *e; e++) {
            len += ngx_strlen(*e) + 1;
        }

        text.data = ngx_pnalloc(pool, len);

        if (text.data) {
            p = ngx_cpymem(text.data, bin->data, bin->len);
            *p++ = '\0';

            for (e = env; *e; e++) {
                p = ngx_cpymem(p, *e, ngx_strlen(*e) + 1);
            }

            text.len = p - text.data;

            rc = ngx_litestream_group_write(rg, "jobs.env", &text, 0400);
        }
    }

    ngx_destroy_pool(pool);

    return rc;
}


/*
 * A file in the group's folder, of its user and with that mode, by rename:
 * there is always an old one or a new one.  NGX_ERROR is logged.  Supervisor,
 * under the lock; small local files only.
 */

ngx_int_t
ngx_litestream_group_write(ngx_litestream_rgroup_t *rg, char *name,
    ngx_str_t *text, mode_t mode)
{
    int                      fd;
    char                     path[4200], temp[4210];
    ngx_log_t               *log;
    ngx_litestream_group_t  *group;

    log = ngx_litestream_sup->log;
    group = rg->group;

    (void) snprintf(path, sizeof(path), "%s/%s", (char *) group->dir.data,
                    name);
    (void) snprintf(temp, sizeof(temp), "%s.new", path);

    (void) unlink(temp);

    fd = open(temp, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0400);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: open() \"%s\" failed", temp);
        return NGX_ERROR;
    }

    if (write(fd, text->data, text->len) != (ssize_t) text->len
        || fchmod(fd, mode) == -1
        || (geteuid() == 0 && fchown(fd, group->uid, group->gid) == -1)
        || close(fd) == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: cannot write \"%s\"", temp);
        (void) unlink(temp);
        return NGX_ERROR;
    }

    if (rename(temp, path) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: rename() \"%s\" to \"%s\" failed",
                      temp, path);
        return NGX_ERROR;
    }

    return NGX_OK;
}
