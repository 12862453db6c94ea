
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the locks, the state directory, and who still holds a lock */


#include "ngx_litestream_supervisor.h"

#include <sys/file.h>
#include <sys/resource.h>


static ngx_litestream_lock_t  *ngx_litestream_locks;
static ngx_uint_t              ngx_litestream_nlocks;
static char                    ngx_litestream_busy[1024];


/*
 * Locks the state directory and each directory that holds a database, by the
 * directories themselves: nothing is made.  The descriptors are inherited by
 * whatever could write, so that a lock lives as long as that.  NGX_BUSY: one
 * is held by somebody else (ngx_litestream_locked() tells which), none is
 * kept.  The process that becomes the master, and supervisors; does not wait.
 */

ngx_int_t
ngx_litestream_lock(ngx_litestream_conf_t *lcf, ngx_log_t *log)
{
    int                      fd;
    u_char                  *path;
    ngx_uint_t               i, j;
    struct stat              st;
    ngx_litestream_db_t    **dbs;
    ngx_litestream_lock_t   *lock;

    ngx_litestream_unlock();

    ngx_litestream_locks = ngx_alloc((lcf->dbs.nelts + 1)
                                     * sizeof(ngx_litestream_lock_t), log);
    if (ngx_litestream_locks == NULL) {
        return NGX_ERROR;
    }

    dbs = lcf->dbs.elts;

    for (i = 0; i <= lcf->dbs.nelts; i++) {

        path = i ? dbs[i - 1]->dir.data : lcf->state_path.data;

        fd = open((char *) path, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        if (fd == -1 || fstat(fd, &st) == -1) {
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "litestream: open() \"%s\" failed", path);

            if (fd != -1) {
                (void) close(fd);
            }

            if (i == 0) {
                ngx_litestream_unlock();
                return NGX_ERROR;
            }

            /* its own databases will tell, the others go on */

            continue;
        }

        for (j = 0; j < ngx_litestream_nlocks; j++) {
            if (ngx_litestream_locks[j].dev == st.st_dev
                && ngx_litestream_locks[j].ino == st.st_ino)
            {
                break;
            }
        }

        if (j < ngx_litestream_nlocks) {
            (void) close(fd);
            continue;
        }

        if (flock(fd, LOCK_EX|LOCK_NB) == -1) {

            if (ngx_errno == EWOULDBLOCK) {
                (void) snprintf(ngx_litestream_busy,
                                sizeof(ngx_litestream_busy), "%s",
                                (char *) path);
                (void) close(fd);
                ngx_litestream_unlock();
                return NGX_BUSY;
            }

            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "litestream: flock() \"%s\" failed", path);
            (void) close(fd);
            ngx_litestream_unlock();
            return NGX_ERROR;
        }

        lock = &ngx_litestream_locks[ngx_litestream_nlocks++];

        lock->fd = fd;
        lock->dev = st.st_dev;
        lock->ino = st.st_ino;
    }

    return NGX_OK;
}


/* closes our copies; a lock that children have inherited lives on in them */

void
ngx_litestream_unlock(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_litestream_nlocks; i++) {
        (void) close(ngx_litestream_locks[i].fd);
    }

    if (ngx_litestream_locks) {
        ngx_free(ngx_litestream_locks);
        ngx_litestream_locks = NULL;
    }

    ngx_litestream_nlocks = 0;
}


ngx_uint_t
ngx_litestream_lock_held(void)
{
    return ngx_litestream_nlocks != 0;
}


char *
ngx_litestream_locked(void)
{
    return ngx_litestream_busy;
}


/* the locked directory of a database, -1: it could not be opened */

int
ngx_litestream_dir_fd(ngx_litestream_db_t *db)
{
    ngx_uint_t   i;
    struct stat  st;

    if (stat((char *) db->dir.data, &st) == -1) {
        return -1;
    }

    for (i = 0; i < ngx_litestream_nlocks; i++) {
        if (ngx_litestream_locks[i].dev == st.st_dev
            && ngx_litestream_locks[i].ino == st.st_ino)
        {
            return ngx_litestream_locks[i].fd;
        }
    }

    return -1;
}


/* the locks that a child of this group inherits: the state and its own */

ngx_uint_t
ngx_litestream_lock_fds(ngx_litestream_group_t *group, int *fds, ngx_uint_t n)
{
    int                    fd;
    ngx_uint_t             i, j, k;
    ngx_litestream_db_t  **dbs;

    if (ngx_litestream_nlocks == 0 || n == 0) {
        return 0;
    }

    k = 0;
    fds[k++] = ngx_litestream_locks[0].fd;

    dbs = group->dbs.elts;

    for (i = 0; i < group->dbs.nelts && k < n; i++) {

        fd = ngx_litestream_dir_fd(dbs[i]);

        if (fd == -1) {
            continue;
        }

        for (j = 0; j < k; j++) {
            if (fds[j] == fd) {
                break;
            }
        }

        if (j == k) {
            fds[k++] = fd;
        }
    }

    return k;
}


/*
 * Makes the state directory with its parents.  The process that becomes the
 * master, or the master at a reload; errors are logged.
 */

ngx_int_t
ngx_litestream_make_path(ngx_litestream_conf_t *lcf, ngx_log_t *log)
{
    u_char       *p, *path;
    struct stat   st;

    path = lcf->state_path.data;

    for (p = path + 1; *p; p++) {

        if (*p != '/') {
            continue;
        }

        *p = '\0';

        if (mkdir((char *) path, 0755) == -1 && ngx_errno != NGX_EEXIST) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "litestream: mkdir() \"%s\" failed", path);
            *p = '/';
            return NGX_ERROR;
        }

        *p = '/';
    }

    if (mkdir((char *) path, 0711) == -1) {

        if (ngx_errno != NGX_EEXIST) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "litestream: mkdir() \"%s\" failed", path);
            return NGX_ERROR;
        }

    } else if (chmod((char *) path, 0711) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "litestream: chmod() \"%s\" failed", path);
        return NGX_ERROR;
    }

    /* whoever may write there could swap any file under root's pen */

    if (lstat((char *) path, &st) == -1 || !S_ISDIR(st.st_mode)
        || st.st_uid != geteuid() || (st.st_mode & 022))
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "litestream: \"%s\" must be a directory of user %ui "
                      "that nobody else may write", path,
                      (ngx_uint_t) geteuid());
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * So many descriptors are needed, besides what nginx has open; more than are
 * allowed can only be had by root.
 */

void
ngx_litestream_files(ngx_uint_t n, ngx_log_t *log)
{
    struct rlimit  rlmt;

    n += 256;

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == -1 || rlmt.rlim_cur >= n) {
        return;
    }

    if (rlmt.rlim_max < n && geteuid() == 0) {
        rlmt.rlim_max = n;
    }

    rlmt.rlim_cur = ngx_min(n, rlmt.rlim_max);

    if (setrlimit(RLIMIT_NOFILE, &rlmt) == -1 || rlmt.rlim_cur < n) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "litestream: %ui open files may be needed, the limit is "
                      "%ui", n, (ngx_uint_t) rlmt.rlim_cur);
    }
}


/*
 * A supervisor was killed, and its Litestream, which should have finished its
 * last sync, still holds the lock after litestream_shutdown_timeout: kills
 * it.  Whoever waits for the lock; does not wait.
 */

void
ngx_litestream_orphans(ngx_litestream_conf_t *lcf, ngx_log_t *log)
{
    int                             fd;
    char                            name[64], text[8192];
    ssize_t                         len, i;
    ngx_uint_t                      n;
    ngx_litestream_group_status_t   st;

    (void) ngx_litestream_status_open(&lcf->status, log);

    for (n = 0; ngx_litestream_status_group(n, &st) == NGX_OK; n++) {

        if (st.pid <= 1) {
            continue;
        }

        (void) snprintf(name, sizeof(name), "/proc/%d/cmdline", st.pid);

        fd = open(name, O_RDONLY|O_CLOEXEC);
        if (fd == -1) {
            continue;
        }

        len = read(fd, text, sizeof(text) - 1);
        (void) close(fd);

        if (len <= 0) {
            continue;
        }

        for (i = 0; i < len; i++) {
            if (text[i] == '\0') {
                text[i] = ' ';
            }
        }

        text[len] = '\0';

        /* it must be the one of our state path, not a reused pid */

        if (strstr(text, " replicate ") == NULL
            || strstr(text, (char *) lcf->state_path.data) == NULL)
        {
            continue;
        }

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "litestream: litestream process %P of a dead "
                      "supervisor did not end in time, killed",
                      (pid_t) st.pid);

        (void) kill(st.pid, SIGKILL);
    }
}
