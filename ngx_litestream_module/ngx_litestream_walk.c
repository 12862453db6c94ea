
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * In a job: looks through a directory of databases.  Nobody is trusted who may
 * write there: no link is followed, no file is opened that is not a regular
 * one, and whatever is odd is told and passed over.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_walk.h"

#include <dirent.h>
#include <stdarg.h>


/* a word at least so often, ms */
#define NGX_LITESTREAM_WALK_BEAT   1000


static ngx_int_t ngx_litestream_walk_known(ngx_litestream_walk_t *w);
static int ngx_litestream_walk_cmp(const void *one, const void *two);
static ngx_uint_t ngx_litestream_walk_dir(ngx_litestream_walk_t *w, int fd,
    uint64_t at, ngx_uint_t depth);
static void ngx_litestream_walk_entry(ngx_litestream_walk_t *w, int fd,
    struct dirent *de, uint64_t at, ngx_uint_t depth);
static void ngx_litestream_walk_down(ngx_litestream_walk_t *w, int fd,
    char *name, uint64_t at, ngx_uint_t depth);
static ngx_uint_t ngx_litestream_walk_excluded(ngx_litestream_walk_t *w);
static ngx_uint_t ngx_litestream_walk_meant(ngx_litestream_walk_t *w,
    u_char *name, size_t len, uint64_t at);
static void ngx_litestream_walk_file(ngx_litestream_walk_t *w, int fd,
    char *name);

static u_char *ngx_litestream_walk_below(ngx_litestream_walk_t *w);


/*
 * The job itself; result.rc: NGX_OK, NGX_DECLINED when the replica could not
 * be listed, NGX_ERROR when the directory could not, and text tells why.
 * local: databases that are here; files: those of the directory that the
 * replica holds.
 */

void
ngx_litestream_scan_run(ngx_litestream_job_t *job)
{
    int                    fd;
    ngx_int_t              rc;
    ngx_litestream_walk_t  w;

    ngx_memzero(&w, sizeof(ngx_litestream_walk_t));

    w.job = job;
    w.rdir = job->data;
    w.dir = w.rdir->dir;
    w.beat = ngx_litestream_hold_now();

    job->result.rc = NGX_ERROR;

    if (job->in.rc != NGX_OK) {
        (void) snprintf(job->result.text, sizeof(job->result.text), "%s",
                        job->in.text);
        return;
    }

    if (ngx_litestream_walk_known(&w) != NGX_OK) {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "no memory");
        return;
    }

    w.len = w.dir->root.len;
    ngx_memcpy(w.path, w.dir->root.data, w.len + 1);

    fd = open(w.path, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1
        || !ngx_litestream_walk_dir(&w, fd,
                                    ngx_litestream_pattern_start(
                                                            &w.dir->pattern),
                                    0))
    {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "directory \"%s\" cannot be read: %s",
                        (char *) w.dir->root.data, strerror(errno));
        return;
    }

    rc = NGX_OK;

    if (job->in.files) {

        if (!w.dir->listed) {
            ngx_litestream_walk_seen(&w);

        } else if (w.dir->db->replica->path.len) {
            rc = ngx_litestream_walk_list(&w);

        } else {
            rc = ngx_litestream_walk_s3(&w);
        }
    }

    if (rc == NGX_OK) {
        ngx_litestream_walk_lost(&w);
    }

    job->result.rc = rc;
    job->result.local = w.files;
    job->result.files = w.backups;
}


/* what the supervisor had known when this job was started */

static ngx_int_t
ngx_litestream_walk_known(ngx_litestream_walk_t *w)
{
    ngx_uint_t              i;
    ngx_litestream_db_t   **dbs;

    dbs = ngx_litestream_sup->conf->dbs.elts;

    w->known = calloc(ngx_litestream_sup->conf->dbs.nelts + 1,
                      sizeof(uint64_t));
    if (w->known == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
        if (!dbs[i]->gone) {
            w->known[w->nknown++] = dbs[i]->id;
        }
    }

    qsort(w->known, w->nknown, sizeof(uint64_t), ngx_litestream_walk_cmp);

    return NGX_OK;
}


static int
ngx_litestream_walk_cmp(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return (a > b) - (a < b);
}


/* w->path is the directory, which fd is and which is closed; 0: not read */

static ngx_uint_t
ngx_litestream_walk_dir(ngx_litestream_walk_t *w, int fd, uint64_t at,
    ngx_uint_t depth)
{
    DIR            *dir;
    ngx_err_t       err;
    struct dirent  *de;

    dir = fdopendir(fd);

    if (dir == NULL) {
        err = errno;
        (void) close(fd);
        errno = err;
        return 0;
    }

    for ( ;; ) {

        errno = 0;
        de = readdir(dir);

        if (de == NULL || ngx_litestream_job_stopped()) {
            break;
        }

        ngx_litestream_walk_beat(w);

        ngx_litestream_walk_entry(w, dirfd(dir), de, at, depth);
    }

    err = de ? 0 : errno;

    (void) closedir(dir);

    errno = err;

    return err == 0;
}


static void
ngx_litestream_walk_entry(ngx_litestream_walk_t *w, int fd, struct dirent *de,
    uint64_t at, ngx_uint_t depth)
{
    size_t       len, old;
    u_char      *name;
    uint64_t     next;
    ngx_uint_t   type;
    struct stat  st;

    name = (u_char *) de->d_name;
    len = ngx_strlen(name);

    if ((len == 1 && name[0] == '.')
        || (len == 2 && name[0] == '.' && name[1] == '.')
        || ngx_litestream_name_ours(name, len)
        || w->len + 1 + len >= sizeof(w->path))
    {
        return;
    }

    type = de->d_type;

    if (type == DT_UNKNOWN) {

        if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
            return;
        }

        type = S_ISDIR(st.st_mode) ? DT_DIR
               : S_ISREG(st.st_mode) ? DT_REG
               : S_ISLNK(st.st_mode) ? DT_LNK : DT_FIFO;
    }

    old = w->len;

    w->path[w->len++] = '/';
    ngx_memcpy(&w->path[w->len], name, len + 1);
    w->len += len;

    if (type == DT_DIR) {

        next = w->dir->regex ? name[0] != '.'
               : ngx_litestream_pattern_enter(&w->dir->pattern, at, name,
                                              len);

        if (next && !ngx_litestream_walk_excluded(w)) {
            ngx_litestream_walk_down(w, fd, de->d_name, next, depth + 1);
        }

    } else if (ngx_litestream_walk_meant(w, name, len, at)) {

        switch (type) {

        case DT_REG:
            ngx_litestream_walk_file(w, fd, de->d_name);
            break;

        case DT_LNK:
            ngx_litestream_walk_problem(w, "\"%s\" is a symbolic link, which "
                                        "is not followed",
                                        ngx_litestream_walk_below(w));
            break;

        default:
            ngx_litestream_walk_problem(w, "\"%s\" is not a regular file",
                                        ngx_litestream_walk_below(w));
        }
    }

    w->len = old;
    w->path[w->len] = '\0';
}


static void
ngx_litestream_walk_down(ngx_litestream_walk_t *w, int fd, char *name,
    uint64_t at, ngx_uint_t depth)
{
    if (depth > NGX_LITESTREAM_WALK_DEPTH) {
        ngx_litestream_walk_problem(w, "directory \"%s\" is too deep",
                                    ngx_litestream_walk_below(w));
        return;
    }

    fd = openat(fd, name,
                O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd != -1 && ngx_litestream_walk_dir(w, fd, at, depth)) {
        return;
    }

    /* it has gone since, or has become something else */

    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
        return;
    }

    ngx_litestream_walk_problem(w, "directory \"%s\" cannot be read: %s",
                                ngx_litestream_walk_below(w),
                                strerror(errno));
}


/* what nginx and Litestream keep themselves is nobody's database */

static ngx_uint_t
ngx_litestream_walk_excluded(ngx_litestream_walk_t *w)
{
    ngx_str_t               path, *before;
    ngx_uint_t              i;
    ngx_litestream_db_t   **dbs;
    ngx_litestream_conf_t  *conf;

    conf = ngx_litestream_sup->conf;

    path.data = (u_char *) w->path;
    path.len = w->len;

    if (path.len == conf->state_path.len
        && ngx_memcmp(path.data, conf->state_path.data, path.len) == 0)
    {
        return 1;
    }

    dbs = conf->all.elts;

    for (i = 0; i < conf->all.nelts; i++) {

        if (dbs[i]->replica->path.len == 0) {
            continue;
        }

        if (dbs[i]->in == NULL) {

            if (path.len == dbs[i]->replica->path.len
                && ngx_memcmp(path.data, dbs[i]->replica->path.data, path.len)
                   == 0)
            {
                return 1;
            }

            continue;
        }

        /* the last directory that all of its replicas are in */

        before = &dbs[i]->in->before;

        if (before->len == path.len + 1
            && ngx_memcmp(path.data, before->data, path.len) == 0
            && before->data[path.len] == '/')
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_litestream_walk_meant(ngx_litestream_walk_t *w, u_char *name, size_t len,
    uint64_t at)
{
    ngx_int_t  rc;
    ngx_str_t  path;

    if (ngx_litestream_name_beside(name, len)) {
        return 0;
    }

    if (w->dir->regex == NULL) {
        return ngx_litestream_pattern_file(&w->dir->pattern, at, name, len);
    }

    path.data = (u_char *) w->path;
    path.len = w->len;

    if (name[0] == '.') {
        return 0;
    }

    rc = ngx_regex_exec(w->dir->regex, &path, NULL, 0);

    if (rc < 0 && rc != NGX_REGEX_NO_MATCHED) {
        ngx_litestream_walk_problem(w, "\"%s\" takes too long to be compared "
                                    "with the regular expression",
                                    ngx_litestream_walk_below(w));
    }

    return rc >= 0;
}


static void
ngx_litestream_walk_file(ngx_litestream_walk_t *w, int fd, char *name)
{
    char         *reason;
    ssize_t       n;
    uint64_t      id;
    ngx_str_t     path;
    struct stat   st;
    u_char        h[16];

    path.data = (u_char *) w->path;
    path.len = w->len;

    id = ngx_litestream_id(&path);

    if (bsearch(&id, w->known, w->nknown, sizeof(uint64_t),
                ngx_litestream_walk_cmp))
    {
        w->files++;
        return;
    }

    reason = ngx_litestream_member_path(ngx_litestream_walk_below(w),
                                        w->path + w->len
                                        - (char *)
                                          ngx_litestream_walk_below(w));
    if (reason) {
        ngx_litestream_walk_problem(w, "\"%s\" %s",
                                    ngx_litestream_walk_below(w), reason);
        return;
    }

    fd = openat(fd, name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {

        if (errno != ENOENT && errno != ELOOP) {
            ngx_litestream_walk_problem(w, "\"%s\" cannot be read: %s",
                                        ngx_litestream_walk_below(w),
                                        strerror(errno));
        }

        goto done;
    }

    /* one of 0 bytes is about to become a database, or will never be */

    if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        goto done;
    }

    n = read(fd, h, sizeof(h));

    if (n != (ssize_t) sizeof(h)
        || ngx_memcmp(h, "SQLite format 3", sizeof(h)) != 0)
    {
        ngx_litestream_walk_problem(w, "\"%s\" is no SQLite database",
                                    ngx_litestream_walk_below(w));
        goto done;
    }

    /* two names of one database would be two replications of it */

    if (st.st_nlink > 1) {
        ngx_litestream_walk_problem(w, "\"%s\" has other names as well (hard "
                                    "links)", ngx_litestream_walk_below(w));
        goto done;
    }

    w->files++;

    ngx_litestream_walk_item(w, NGX_LITESTREAM_SCAN_FILE, 0,
                             ngx_litestream_walk_below(w),
                             ngx_strlen(ngx_litestream_walk_below(w)));

done:

    if (fd != -1) {
        (void) close(fd);
    }
}


/* of w->path, the part below the root */

static u_char *
ngx_litestream_walk_below(ngx_litestream_walk_t *w)
{
    return (u_char *) w->path + w->dir->root.len + 1;
}


void
ngx_litestream_walk_item(ngx_litestream_walk_t *w, int32_t rc, uint32_t index,
    u_char *text, size_t len)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_ITEM;
    msg.rc = rc;
    msg.index = index;

    if (text) {
        (void) snprintf(msg.text, sizeof(msg.text), "%.*s", (int) len, text);
    }

    ngx_litestream_job_tell(w->job, &msg);

    w->beat = ngx_litestream_hold_now();
}


void
ngx_litestream_walk_problem(ngx_litestream_walk_t *w, const char *fmt, ...)
{
    va_list                   args;
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_ITEM;
    msg.rc = NGX_LITESTREAM_SCAN_PROBLEM;

    va_start(args, fmt);
    (void) vsnprintf(msg.text, sizeof(msg.text), fmt, args);
    va_end(args);

    ngx_litestream_job_tell(w->job, &msg);

    w->beat = ngx_litestream_hold_now();
}


void
ngx_litestream_walk_beat(ngx_litestream_walk_t *w)
{
    ngx_msec_t                now;
    ngx_litestream_job_msg_t  msg;

    now = ngx_litestream_hold_now();

    if (now - w->beat < NGX_LITESTREAM_WALK_BEAT) {
        return;
    }

    w->beat = now;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));
    msg.type = NGX_LITESTREAM_JOB_PROGRESS;

    ngx_litestream_job_tell(w->job, &msg);
}
