
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the locks, the state directory, and who still holds a lock */


#include "ngx_litestream_supervisor.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>


static ngx_uint_t ngx_litestream_lock_max(ngx_litestream_conf_t *lcf);
static ngx_int_t ngx_litestream_lock_add(u_char *path, ngx_uint_t max,
    ngx_log_t *log);
static ngx_uint_t ngx_litestream_lock_used(ngx_litestream_lock_t *lock);
static pid_t ngx_litestream_lock_pid(void);


static ngx_litestream_lock_t  *ngx_litestream_locks;
static ngx_uint_t              ngx_litestream_nlocks;
static ngx_uint_t              ngx_litestream_maxlocks;

/* what was found locked at last */
static char                    ngx_litestream_busy[1024];
static ngx_uint_t              ngx_litestream_busy_state;
static dev_t                   ngx_litestream_busy_dev;
static ino_t                   ngx_litestream_busy_ino;


/*
 * Locks the state directory and each directory that holds a database, by the
 * directories themselves: nothing is made.  The descriptors are inherited by
 * whatever could write, so that a lock lives as long as that.  NGX_BUSY: one
 * is held by somebody else (ngx_litestream_locked() tells which), none is
 * kept; alone: only the state directory must be had, as everybody who may read
 * a directory can lock it.  What is missing or busy then is tried again by
 * ngx_litestream_lock_db().  The process that becomes the master, and
 * supervisors; does not wait.
 */

ngx_int_t
ngx_litestream_lock(ngx_litestream_conf_t *lcf, ngx_uint_t alone,
    ngx_log_t *log)
{
    ngx_int_t               rc;
    ngx_uint_t              i, max;
    ngx_litestream_db_t   **dbs;
    ngx_litestream_dir_t  **dirs;

    ngx_litestream_unlock();

    max = ngx_litestream_lock_max(lcf);

    rc = ngx_litestream_lock_add(lcf->state_path.data, max, log);

    ngx_litestream_busy_state = (rc == NGX_BUSY);

    if (rc != NGX_OK) {

        if (rc == NGX_DECLINED) {
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "litestream: \"%V\" cannot be locked",
                          &lcf->state_path);
            rc = NGX_ERROR;
        }

        goto failed;
    }

    dbs = lcf->dbs.elts;

    for (i = 0; i < lcf->dbs.nelts; i++) {

        rc = ngx_litestream_lock_add(dbs[i]->dir.data, max, log);

        if (rc == NGX_ERROR || (rc == NGX_BUSY && !alone)) {
            goto failed;
        }
    }

    dirs = lcf->dirs.elts;

    for (i = 0; i < lcf->dirs.nelts; i++) {

        rc = ngx_litestream_lock_add(dirs[i]->root.data, max, log);

        if (rc == NGX_ERROR || (rc == NGX_BUSY && !alone)) {
            goto failed;
        }
    }

    return NGX_OK;

failed:

    ngx_litestream_unlock();

    return rc;
}


/* the state directory, those that are known, and those of directories */

static ngx_uint_t
ngx_litestream_lock_max(ngx_litestream_conf_t *lcf)
{
    return 1 + lcf->dbs.nelts + lcf->dirs.nelts;
}


/*
 * NGX_BUSY: somebody else has it; NGX_DECLINED: it cannot be opened, or its
 * file system has no locks; NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_litestream_lock_add(u_char *path, ngx_uint_t max, ngx_log_t *log)
{
    int                     fd;
    ngx_err_t               err;
    ngx_uint_t              i;
    struct stat             st;
    ngx_litestream_lock_t  *lock;

    if (max > ngx_litestream_maxlocks) {

        /* more are found in directories: not each time a little more */

        max += max / 2;

        lock = ngx_alloc(max * sizeof(ngx_litestream_lock_t), log);
        if (lock == NULL) {
            return NGX_ERROR;
        }

        if (ngx_litestream_locks) {
            ngx_memcpy(lock, ngx_litestream_locks, ngx_litestream_nlocks
                                              * sizeof(ngx_litestream_lock_t));
            ngx_free(ngx_litestream_locks);
        }

        ngx_litestream_locks = lock;
        ngx_litestream_maxlocks = max;
    }

    fd = open((char *) path, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return NGX_DECLINED;
    }

    if (fstat(fd, &st) == -1) {
        err = ngx_errno;
        (void) close(fd);
        ngx_set_errno(err);
        return NGX_DECLINED;
    }

    for (i = 0; i < ngx_litestream_nlocks; i++) {
        if (ngx_litestream_locks[i].dev == st.st_dev
            && ngx_litestream_locks[i].ino == st.st_ino)
        {
            (void) close(fd);
            return NGX_OK;
        }
    }

    if (flock(fd, LOCK_EX|LOCK_NB) == -1) {
        err = ngx_errno;
        (void) close(fd);

        if (err == EWOULDBLOCK) {
            (void) snprintf(ngx_litestream_busy, sizeof(ngx_litestream_busy),
                            "%s", (char *) path);
            ngx_litestream_busy_dev = st.st_dev;
            ngx_litestream_busy_ino = st.st_ino;
            return NGX_BUSY;
        }

        ngx_set_errno(err);
        return NGX_DECLINED;
    }

    /* directories that were replaced: those of old are of no use any more */

    for (i = 1; i < ngx_litestream_nlocks; /* void */ ) {

        if (ngx_litestream_nlocks < ngx_litestream_maxlocks) {
            break;
        }

        if (ngx_litestream_lock_used(&ngx_litestream_locks[i])) {
            i++;
            continue;
        }

        (void) close(ngx_litestream_locks[i].fd);
        ngx_litestream_locks[i] =
            ngx_litestream_locks[--ngx_litestream_nlocks];
    }

    if (ngx_litestream_nlocks == ngx_litestream_maxlocks) {
        (void) close(fd);
        return NGX_ERROR;
    }

    lock = &ngx_litestream_locks[ngx_litestream_nlocks++];

    lock->fd = fd;
    lock->dev = st.st_dev;
    lock->ino = st.st_ino;

    return NGX_OK;
}


static ngx_uint_t
ngx_litestream_lock_used(ngx_litestream_lock_t *lock)
{
    ngx_uint_t              i;
    struct stat             st;
    ngx_litestream_db_t   **dbs;
    ngx_litestream_dir_t  **dirs;

    dirs = ngx_litestream_sup->conf->dirs.elts;

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        if (stat((char *) dirs[i]->root.data, &st) == 0
            && st.st_dev == lock->dev && st.st_ino == lock->ino)
        {
            return 1;
        }
    }

    dbs = ngx_litestream_sup->conf->dbs.elts;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        if (stat((char *) dbs[i]->dir.data, &st) == 0
            && st.st_dev == lock->dev && st.st_ino == lock->ino)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Supervisor, before a job of a database is started: its directory is locked,
 * now if not yet.  Not NGX_OK: text, of size bytes, says why not.
 */

ngx_int_t
ngx_litestream_lock_db(ngx_litestream_db_t *db, char *text, size_t size)
{
    int        fd;
    pid_t      pid;
    ngx_int_t  rc;

    if (db->in) {

        /*
         * Who may write in a directory of databases could lead a restore
         * elsewhere, by a link in place of one that was there.
         */

        fd = ngx_litestream_walk_reach(db->in, &db->dir);

        if (fd == -1 && ngx_errno != NGX_ENOENT) {
            (void) snprintf(text, size, "directory \"%s\" is none below \"%s\" "
                            "any more: %s", (char *) db->dir.data,
                            (char *) db->in->root.data, strerror(ngx_errno));
            return NGX_DECLINED;
        }

        if (fd != -1) {
            (void) close(fd);
        }
    }

    if (ngx_litestream_dir_fd(db) != -1) {
        return NGX_OK;
    }

    rc = ngx_litestream_lock_add(db->dir.data,
                            ngx_litestream_lock_max(ngx_litestream_sup->conf),
                            ngx_litestream_sup->log);

    switch (rc) {

    case NGX_OK:
        break;

    case NGX_BUSY:
        pid = ngx_litestream_lock_pid();

        if (pid) {
            (void) snprintf(text, size, "directory \"%s\" is locked by "
                            "process %d", (char *) db->dir.data, (int) pid);
        } else {
            (void) snprintf(text, size, "directory \"%s\" is locked by "
                            "another process", (char *) db->dir.data);
        }

        break;

    case NGX_DECLINED:

        if (ngx_errno == NGX_ENOENT) {
            (void) snprintf(text, size, "directory \"%s\" is missing",
                            (char *) db->dir.data);
            break;
        }

        /* fall through */

    default:
        (void) snprintf(text, size, "directory \"%s\" cannot be locked: %s",
                        (char *) db->dir.data, strerror(errno));
    }

    return rc;
}


/* who holds what was found locked at last; 0: it cannot be told */

static pid_t
ngx_litestream_lock_pid(void)
{
    int                 pid;
    FILE               *fp;
    char                line[256], type[16];
    unsigned            major, minor;
    unsigned long long  ino;

    fp = fopen("/proc/locks", "re");
    if (fp == NULL) {
        return 0;
    }

    while (fgets(line, sizeof(line), fp)) {

        if (sscanf(line, "%*s %15s %*s %*s %d %x:%x:%llu", type, &pid, &major,
                   &minor, &ino)
            == 5
            && strcmp(type, "FLOCK") == 0
            && makedev(major, minor) == ngx_litestream_busy_dev
            && ino == ngx_litestream_busy_ino)
        {
            (void) fclose(fp);
            return ngx_max(pid, 0);
        }
    }

    (void) fclose(fp);

    return 0;
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
    ngx_litestream_maxlocks = 0;
}


ngx_uint_t
ngx_litestream_lock_held(void)
{
    return ngx_litestream_nlocks != 0;
}


/* state: set when it is the state directory */

char *
ngx_litestream_locked(ngx_uint_t *state)
{
    *state = ngx_litestream_busy_state;

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
    int                     fd;
    ngx_uint_t              i, j, k;
    ngx_litestream_db_t   **dbs;
    ngx_litestream_dir_t  **dirs;

    if (ngx_litestream_nlocks == 0 || n == 0) {
        return 0;
    }

    k = 0;
    fds[k++] = ngx_litestream_locks[0].fd;

    dbs = group->dbs.elts;
    dirs = group->dirs.elts;

    for (i = 0; i < group->dirs.nelts + group->dbs.nelts && k < n; i++) {

        fd = ngx_litestream_dir_fd(i < group->dirs.nelts
                                   ? dirs[i]->db
                                   : dbs[i - group->dirs.nelts]);

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
 * last sync, still holds the lock: kills it.  Whoever waits for the lock; does
 * not wait.
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
