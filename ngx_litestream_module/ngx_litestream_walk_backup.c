
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * In a job: what replicas hold of a directory of databases, and what is not
 * there any more.  No link is followed.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_walk.h"

#include <dirent.h>


static ngx_int_t ngx_litestream_walk_replicas(ngx_litestream_walk_t *w,
    int fd, ngx_uint_t depth);
static ngx_uint_t ngx_litestream_walk_replica(int fd);
static ngx_uint_t ngx_litestream_walk_others(ngx_litestream_walk_t *w);


/*
 * What a file replica holds for this directory: NGX_DECLINED, and the result's
 * text, when that cannot be told.
 */

ngx_int_t
ngx_litestream_walk_list(ngx_litestream_walk_t *w)
{
    int         fd;
    size_t      len;
    ngx_str_t  *before;

    before = &w->dir->before;

    for (len = before->len; before->data[len - 1] != '/'; len--) {
        /* void */
    }

    len = ngx_max(len - 1, 1);

    if (len >= sizeof(w->path)) {
        errno = ENAMETOOLONG;
        goto failed;
    }

    w->len = len;
    ngx_memcpy(w->path, before->data, len);
    w->path[len] = '\0';

    fd = open(w->path, O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {

        /* nothing has been written yet */

        if (errno == ENOENT) {
            return NGX_OK;
        }

        goto failed;
    }

    if (ngx_litestream_walk_replicas(w, fd, 0) == NGX_OK) {
        return NGX_OK;
    }

failed:

    (void) snprintf(w->job->result.text, sizeof(w->job->result.text),
                    "replica \"%s\" cannot be listed: \"%.600s\": %s",
                    (char *) w->dir->db->replica->url.data, w->path,
                    strerror(errno));

    return NGX_DECLINED;
}


/* w->path is the directory that could not be read when it fails */

static ngx_int_t
ngx_litestream_walk_replicas(ngx_litestream_walk_t *w, int fd,
    ngx_uint_t depth)
{
    int             sub;
    DIR            *dir;
    size_t          len, old;
    ngx_err_t       err;
    ngx_int_t       rc;
    ngx_str_t      *before, *after;
    struct dirent  *de;

    dir = fdopendir(fd);

    if (dir == NULL) {
        err = errno;
        (void) close(fd);
        errno = err;
        return NGX_ERROR;
    }

    before = &w->dir->before;
    after = &w->dir->after;

    old = w->len;
    rc = NGX_OK;

    for ( ;; ) {

        errno = 0;
        de = readdir(dir);

        if (de == NULL) {
            rc = errno ? NGX_ERROR : NGX_OK;
            break;
        }

        if (ngx_litestream_job_stopped()) {
            errno = EINTR;
            rc = NGX_ERROR;
            break;
        }

        ngx_litestream_walk_beat(w);

        len = ngx_strlen(de->d_name);

        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0
            || (de->d_type != DT_DIR && de->d_type != DT_UNKNOWN)
            || w->len + 1 + len >= sizeof(w->path))
        {
            continue;
        }

        sub = openat(dirfd(dir), de->d_name,
                     O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

        if (sub == -1 && (errno == ENOTDIR || errno == ENOENT
                          || errno == ELOOP))
        {
            continue;
        }

        w->path[w->len++] = '/';
        ngx_memcpy(&w->path[w->len], de->d_name, len + 1);
        w->len += len;

        if (sub == -1) {
            rc = NGX_ERROR;
            break;
        }

        if (ngx_litestream_walk_replica(sub)) {

            (void) close(sub);

            if (w->len > before->len + after->len
                && ngx_memcmp(w->path, before->data, before->len) == 0
                && ngx_memcmp(w->path + w->len - after->len, after->data,
                              after->len)
                   == 0)
            {
                ngx_litestream_walk_backup(w,
                                           (u_char *) w->path + before->len,
                                           w->len - before->len - after->len);
            }

        } else if (depth == NGX_LITESTREAM_WALK_DEPTH) {
            (void) close(sub);

        } else if (ngx_litestream_walk_replicas(w, sub, depth + 1) != NGX_OK) {
            rc = NGX_ERROR;
            break;
        }

        w->len = old;
        w->path[w->len] = '\0';
    }

    err = errno;

    (void) closedir(dir);

    errno = err;

    return rc;
}


/* 1: somebody has replicated to this directory */

static ngx_uint_t
ngx_litestream_walk_replica(int fd)
{
    int             sub, level;
    DIR            *dir, *files;
    uint64_t        min, max;
    ngx_uint_t      found;
    struct stat     st;
    struct dirent  *de;

    /* of Litestream 0.3 */

    if (fstatat(fd, "generations", &st, AT_SYMLINK_NOFOLLOW) == 0
        && S_ISDIR(st.st_mode))
    {
        return 1;
    }

    sub = openat(fd, "ltx", O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
    dir = (sub == -1) ? NULL : fdopendir(sub);

    if (dir == NULL) {

        if (sub != -1) {
            (void) close(sub);
        }

        return 0;
    }

    found = 0;

    while (!found && (de = readdir(dir)) != NULL) {

        if (de->d_name[0] < '0' || de->d_name[0] > '9' || de->d_name[1]) {
            continue;
        }

        level = openat(dirfd(dir), de->d_name,
                       O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
        files = (level == -1) ? NULL : fdopendir(level);

        if (files == NULL) {

            if (level != -1) {
                (void) close(level);
            }

            continue;
        }

        while (!found && (de = readdir(files)) != NULL) {
            found = (ngx_litestream_ltx_range((u_char *) de->d_name,
                                              ngx_strlen(de->d_name), &min,
                                              &max)
                     == NGX_OK);
        }

        (void) closedir(files);
    }

    (void) closedir(dir);

    return found;
}


/* its database, below is its path, is to be restored, unless it is here */

void
ngx_litestream_walk_backup(ngx_litestream_walk_t *w, u_char *below, size_t len)
{
    size_t       n;
    ngx_str_t    path;
    struct stat  st;
    char         full[NGX_LITESTREAM_PATH_LEN + 1];

    if (ngx_litestream_member_path(below, len)
        || w->dir->root.len + 1 + len >= sizeof(full))
    {
        return;
    }

    for (n = len; n && below[n - 1] != '/'; n--) { /* void */ }

    if (ngx_litestream_name_beside(below + n, len - n)
        || ngx_litestream_name_ours(below + n, len - n))
    {
        return;
    }

    path.data = (u_char *) full;
    path.len = snprintf(full, sizeof(full), "%s/%.*s",
                        (char *) w->dir->root.data, (int) len, below);

    if (w->dir->regex
        ? ngx_regex_exec(w->dir->regex, &path, NULL, 0) < 0
        : !ngx_litestream_pattern_match(&w->dir->pattern, below, len))
    {
        return;
    }

    w->backups++;

    if (lstat(full, &st) == 0 && st.st_size > 0) {
        return;
    }

    ngx_litestream_walk_make(w, below, len);
    ngx_litestream_walk_item(w, NGX_LITESTREAM_SCAN_BACKUP, 0, below, len);
}


/*
 * Replicas that cannot be listed: what was seen in them from here, and is not
 * here now, is asked for by name.
 */

void
ngx_litestream_walk_seen(ngx_litestream_walk_t *w)
{
    size_t      len;
    ngx_uint_t  n;
    u_char      below[NGX_LITESTREAM_MEMBER_LEN];

    n = 0;

    while ((len = ngx_litestream_memory_next(w->dir, &n, below,
                                             sizeof(below))))
    {
        ngx_litestream_walk_backup(w, below, len);
    }
}


/*
 * Databases that were deleted: of those whose backup was removed as well
 * nothing is left to be shown, if the storage is there; that others hold one
 * in it tells.
 */

void
ngx_litestream_walk_lost(ngx_litestream_walk_t *w)
{
    ngx_uint_t              i;
    ngx_uint_t              mounted;
    struct stat             st;
    ngx_litestream_db_t    *db;
    ngx_litestream_rdb_t   *rdb;

    mounted = 0;

    /* replicas that are in no directory are not looked for again */

    if (w->dir->db->replica->path.len == 0) {
        return;
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];
        db = rdb->db;

        if (db->in != w->dir || db->gone || !rdb->lost || rdb->st.in_place
            || !w->dir->listed
            || lstat((char *) db->path.data, &st) == 0 || errno != ENOENT
            || lstat((char *) db->replica->path.data, &st) == 0
            || errno != ENOENT)
        {
            continue;
        }

        if (!mounted && !ngx_litestream_walk_others(w)) {
            return;
        }

        mounted = 1;

        ngx_litestream_walk_item(w, NGX_LITESTREAM_SCAN_GONE, i, NULL, 0);
    }
}


/* 1: there is a backup of another one of this directory */

static ngx_uint_t
ngx_litestream_walk_others(ngx_litestream_walk_t *w)
{
    int                    fd;
    ngx_uint_t             i, found;
    ngx_litestream_db_t  **dbs;

    dbs = ngx_litestream_sup->conf->dbs.elts;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        if (dbs[i]->in != w->dir || dbs[i]->gone) {
            continue;
        }

        fd = open((char *) dbs[i]->replica->path.data,
                  O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        if (fd == -1) {
            continue;
        }

        found = ngx_litestream_walk_replica(fd);

        (void) close(fd);

        if (found) {
            return 1;
        }
    }

    return 0;
}
