
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the files of litestream_vfs, below the state path */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>


static ngx_int_t ngx_litestream_vfs_write(ngx_litestream_vfs_t *vfs,
    ngx_log_t *log);
static void ngx_litestream_vfs_sweep(ngx_litestream_conf_t *lcf, char *path);


/* this process has made some, they may have to be removed */
static ngx_uint_t  ngx_litestream_vfs_made;


/*
 * Writes STATE/vfs/NAME.env for each of them and removes those of others.
 * lcf: NULL when there is no http{}.  Master, before workers are started;
 * small local files only.  NGX_ERROR is logged.
 */

ngx_int_t
ngx_litestream_vfs_files(ngx_litestream_conf_t *lcf, ngx_log_t *log)
{
    char                    dir[4100];
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_litestream_vfs_t  **vfs;

    /* what is there without us may be another nginx's */

    if (lcf == NULL
        || (lcf->all.nelts == 0 && lcf->vfs.nelts == 0
            && !ngx_litestream_vfs_made))
    {
        return NGX_OK;
    }

    (void) snprintf(dir, sizeof(dir), "%.4000s/" NGX_LITESTREAM_VFS_DIR,
                    (char *) lcf->state_path.data);

    rc = NGX_OK;

    ngx_litestream_vfs_made = (lcf->vfs.nelts != 0);

    if (lcf->vfs.nelts) {

        if (ngx_litestream_make_path(lcf, log) != NGX_OK) {
            return NGX_ERROR;
        }

        if (mkdir(dir, 0711) == -1) {

            if (ngx_errno != NGX_EEXIST) {
                ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                              "litestream: mkdir() \"%s\" failed", dir);
                return NGX_ERROR;
            }

        } else if (chmod(dir, 0711) == -1) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "litestream: chmod() \"%s\" failed", dir);
            return NGX_ERROR;
        }
    }

    vfs = lcf->vfs.elts;

    for (i = 0; i < lcf->vfs.nelts; i++) {
        if (ngx_litestream_vfs_write(vfs[i], log) != NGX_OK) {
            rc = NGX_ERROR;
        }
    }

    ngx_litestream_vfs_sweep(lcf, dir);

    return rc;
}


/* by rename: an application that is being started reads the old or the new */

static ngx_int_t
ngx_litestream_vfs_write(ngx_litestream_vfs_t *vfs, ngx_log_t *log)
{
    int   fd;
    char  temp[4200];

    (void) snprintf(temp, sizeof(temp), "%s.new", (char *) vfs->file.data);

    (void) unlink(temp);

    fd = open(temp, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0400);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: open() \"%s\" failed", temp);
        return NGX_ERROR;
    }

    if (write(fd, vfs->text.data, vfs->text.len) != (ssize_t) vfs->text.len
        || fchmod(fd, 0400) == -1
        || (geteuid() == 0 && fchown(fd, vfs->uid, vfs->gid) == -1))
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: cannot write \"%s\"", temp);
        (void) close(fd);
        (void) unlink(temp);
        return NGX_ERROR;
    }

    (void) close(fd);

    if (rename(temp, (char *) vfs->file.data) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: rename() \"%s\" to \"%V\" failed",
                      temp, &vfs->file);
        (void) unlink(temp);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_litestream_vfs_sweep(ngx_litestream_conf_t *lcf, char *path)
{
    DIR                    *dir;
    char                    name[4400];
    size_t                  len;
    ngx_uint_t              i;
    struct dirent          *de;
    ngx_litestream_vfs_t  **vfs;

    dir = opendir(path);
    if (dir == NULL) {
        return;
    }

    vfs = lcf->vfs.elts;

    while ((de = readdir(dir)) != NULL) {

        len = ngx_strlen(de->d_name);

        if ((len < 5 || ngx_strcmp(de->d_name + len - 4, ".env") != 0)
            && (len < 9 || ngx_strcmp(de->d_name + len - 8, ".env.new") != 0))
        {
            continue;
        }

        (void) snprintf(name, sizeof(name), "%s/%s", path, de->d_name);

        for (i = 0; i < lcf->vfs.nelts; i++) {
            if (ngx_strcmp(name, vfs[i]->file.data) == 0) {
                break;
            }
        }

        if (i == lcf->vfs.nelts) {
            (void) unlink(name);
        }
    }

    (void) closedir(dir);

    if (lcf->vfs.nelts == 0) {
        (void) rmdir(path);
    }
}
