
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The directories that a database was in, when it is to be restored: they are
 * made by the job, as its user, with the mode of the root.  Those of databases
 * that are given to somebody else, by "owner", are given to them by the
 * supervisor, which may.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_walk.h"

#include <dirent.h>


static void ngx_litestream_walk_give(ngx_litestream_walk_t *w, u_char *below,
    size_t len, mode_t mode);
static ngx_uint_t ngx_litestream_walk_usable(ngx_litestream_db_t *db,
    mode_t mode);
static int ngx_litestream_walk_open(int fd, char *path);
static ngx_uint_t ngx_litestream_walk_empty(int fd);


/*
 * In the job: makes what is missing above a file, whose path below the root
 * is given.  What cannot be made is told by the restore.
 */

void
ngx_litestream_walk_make(ngx_litestream_walk_t *w, u_char *below, size_t len)
{
    int           fd, sub;
    u_char       *p, *name, *last;
    ngx_uint_t    made;
    struct stat   st;
    char          text[256];

    fd = open((char *) w->dir->root.data,
              O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    if (fstat(fd, &st) == -1) {
        (void) close(fd);
        return;
    }

    name = below;
    last = below + len;

    for ( ;; ) {

        p = ngx_strlchr(name, last, '/');

        if (p == NULL || (size_t) (p - name) >= sizeof(text)) {
            break;
        }

        ngx_memcpy(text, name, p - name);
        text[p - name] = '\0';

        made = (mkdirat(fd, text, 0700) == 0);

        sub = openat(fd, text, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        (void) close(fd);
        fd = sub;

        if (fd == -1) {
            return;
        }

        if (made) {

            if (fchmod(fd, st.st_mode & 07777) == -1) {
                break;
            }

            ngx_litestream_walk_give(w, below, p - below, st.st_mode);
        }

        name = p + 1;
    }

    (void) close(fd);
}


/* in the job: to the owner of the databases, if they are somebody else's */

static void
ngx_litestream_walk_give(ngx_litestream_walk_t *w, u_char *below, size_t len,
    mode_t mode)
{
    ngx_litestream_db_t       *db;
    ngx_litestream_job_msg_t   msg;

    db = w->dir->db;

    if (db->owner == db->group->uid && db->owner_group == db->group->gid) {
        return;
    }

    /* the database is to be restored to it, and replicated from it */

    if (!ngx_litestream_walk_usable(db, mode)) {
        ngx_litestream_walk_problem(w, "directory \"%.*s\" was made anew, and "
                                    "not given to uid %lu, gid %lu: with mode "
                                    "%04lo its databases could not be "
                                    "replicated by uid %lu", (int) len, below,
                                    (unsigned long) db->owner,
                                    (unsigned long) db->owner_group,
                                    (unsigned long) (mode & 07777),
                                    (unsigned long) db->group->uid);
        return;
    }

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    (void) snprintf(msg.text, sizeof(msg.text), "%.*s", (int) len, below);

    if (ngx_litestream_job_ask(w->job, &msg) != NGX_OK) {
        return;
    }

    if (msg.rc != NGX_OK) {
        ngx_litestream_walk_problem(w, "directory \"%.*s\" was made anew, and "
                                    "cannot be given to its owner: %s",
                                    (int) len, below, msg.text);
    }
}


/* 1: this process could make files there if it were the owner's */

static ngx_uint_t
ngx_litestream_walk_usable(ngx_litestream_db_t *db, mode_t mode)
{
    int          i, n;
    mode_t       bits;
    gid_t        gids[NGROUPS_MAX];

    if (db->owner == geteuid()) {
        bits = mode >> 6;

    } else {
        bits = (db->owner_group == getegid()) ? mode >> 3 : mode;

        n = getgroups(NGROUPS_MAX, gids);

        for (i = 0; i < n; i++) {
            if (gids[i] == db->owner_group) {
                bits = mode >> 3;
            }
        }
    }

    return (bits & 07) == 07;
}


/*
 * In the supervisor, as root: gives a directory that the job has just made to
 * the owner of the databases.  msg->text is its path below the root, and comes
 * from a less privileged process: only an empty directory of that user is
 * given, so that nothing else changes hands.  msg->rc is NGX_OK, or its text
 * says why not.
 */

void
ngx_litestream_walk_own(ngx_litestream_rdir_t *rdir,
    ngx_litestream_job_msg_t *msg)
{
    int                   fd;
    char                 *reason;
    ngx_err_t             err;
    struct stat           st;
    ngx_litestream_db_t  *db;

    db = rdir->dir->db;
    msg->rc = NGX_OK;

    /* a plain user keeps what the directory's group bit gave */

    if (geteuid() != 0) {
        return;
    }

    msg->rc = NGX_ERROR;
    msg->text[sizeof(msg->text) - 1] = '\0';

    reason = ngx_litestream_member_path((u_char *) msg->text,
                                        ngx_strlen(msg->text));
    if (reason) {
        (void) snprintf(msg->text, sizeof(msg->text), "it %s", reason);
        return;
    }

    fd = ngx_litestream_walk_open(ngx_litestream_dir_fd(db), msg->text);

    if (fd == -1) {
        (void) snprintf(msg->text, sizeof(msg->text), "openat() failed: %s",
                        strerror(errno));
        return;
    }

    if (fstat(fd, &st) == -1 || st.st_uid != db->group->uid
        || !ngx_litestream_walk_empty(fd))
    {
        (void) snprintf(msg->text, sizeof(msg->text),
                        "it is not what was made");

    } else if (fchown(fd, db->owner, db->owner_group) == -1) {
        err = errno;
        (void) snprintf(msg->text, sizeof(msg->text), "fchown() failed: %s",
                        strerror(err));

    } else {
        msg->rc = NGX_OK;
    }

    (void) close(fd);
}


/*
 * Opens the root of a directory of databases, or a directory below it, through
 * no link: -1 and errno, which is ENOTDIR or ELOOP for one.  Supervisor; some
 * system calls for each.
 */

int
ngx_litestream_walk_reach(ngx_litestream_dir_t *dir, ngx_str_t *path)
{
    int        fd, sub;
    ngx_err_t  err;
    u_char     buf[NGX_LITESTREAM_PATH_LEN + 1];

    fd = open((char *) dir->root.data,
              O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1 || path->len <= dir->root.len + 1
        || path->len - dir->root.len > sizeof(buf))
    {
        return fd;
    }

    ngx_cpystrn(buf, path->data + dir->root.len + 1, sizeof(buf));

    sub = ngx_litestream_walk_open(fd, (char *) buf);

    err = ngx_errno;
    (void) close(fd);
    ngx_set_errno(err);

    return sub;
}


/* a directory below another one, through no link; path is taken apart */

static int
ngx_litestream_walk_open(int fd, char *path)
{
    int    sub, start;
    char  *p;

    start = fd;

    for ( ;; ) {

        p = strchr(path, '/');

        if (p) {
            *p = '\0';
        }

        sub = openat(fd, path,
                     O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

        if (fd != start) {
            (void) close(fd);
        }

        if (sub == -1 || p == NULL) {
            return sub;
        }

        fd = sub;
        path = p + 1;
    }
}


static ngx_uint_t
ngx_litestream_walk_empty(int fd)
{
    int             copy;
    DIR            *dir;
    ngx_uint_t      empty;
    struct dirent  *de;

    copy = openat(fd, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    dir = (copy == -1) ? NULL : fdopendir(copy);

    if (dir == NULL) {

        if (copy != -1) {
            (void) close(copy);
        }

        return 0;
    }

    empty = 1;

    while (empty && (de = readdir(dir)) != NULL) {
        empty = (ngx_strcmp(de->d_name, ".") == 0
                 || ngx_strcmp(de->d_name, "..") == 0);
    }

    (void) closedir(dir);

    return empty;
}
