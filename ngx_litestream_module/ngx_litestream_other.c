
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * In a job: a Litestream that somebody else has started, such as that of a
 * unit which has not been switched off.  Two of them on one database destroy
 * its backup.
 */


#include "ngx_litestream_supervisor.h"

#include <sys/sysmacros.h>


/* where each connection to a database with a WAL has a lock in its -shm */
#define NGX_LITESTREAM_OTHER_BYTE  128

/* what was seen is old after that, in ms */
#define NGX_LITESTREAM_OTHER_AGE   1000

#define NGX_LITESTREAM_OTHER_MAX   256


typedef struct {
    unsigned int    major;
    unsigned int    minor;
    unsigned long   inode;
    pid_t           pid;
} ngx_litestream_other_t;


static void ngx_litestream_other_look(void);
static ngx_uint_t ngx_litestream_other_pid(pid_t pid);
static ngx_uint_t ngx_litestream_other_ours(pid_t pid);


static ngx_uint_t              ngx_litestream_nothers;
static ngx_msec_t              ngx_litestream_others_at;
static ngx_litestream_other_t  ngx_litestream_others[NGX_LITESTREAM_OTHER_MAX];


/*
 * NGX_ERROR: a Litestream that is no child of the supervisor has the database
 * open, text tells which one; NGX_OK: none that can be seen, as one in another
 * container cannot.  In a job, does not block.
 */

ngx_int_t
ngx_litestream_other(ngx_litestream_db_t *db, char *text, size_t size)
{
    char                     name[4300];
    ngx_uint_t               i;
    struct stat              st;
    ngx_litestream_other_t  *other;

    (void) snprintf(name, sizeof(name), "%s-shm", (char *) db->path.data);

    if (stat(name, &st) == -1) {
        return NGX_OK;
    }

    ngx_litestream_other_look();

    for (i = 0; i < ngx_litestream_nothers; i++) {

        other = &ngx_litestream_others[i];

        if (other->inode == (unsigned long) st.st_ino
            && other->major == major(st.st_dev)
            && other->minor == minor(st.st_dev))
        {
            (void) snprintf(text, size, "another Litestream, process %d, "
                            "replicates \"%.600s\": end it, and keep it from "
                            "being started, since two destroy the backup",
                            (int) other->pid, (char *) db->path.data);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the kernel lists all locks of this machine, or of this container */

static void
ngx_litestream_other_look(void)
{
    int                      pid, fields;
    FILE                    *fp;
    char                     line[256], *p;
    ngx_msec_t               now;
    unsigned int             major, minor;
    unsigned long            inode;
    unsigned long long       first, last;
    ngx_litestream_other_t  *other;

    now = ngx_litestream_hold_now();

    if (ngx_litestream_others_at
        && now - ngx_litestream_others_at < NGX_LITESTREAM_OTHER_AGE)
    {
        return;
    }

    ngx_litestream_others_at = now;
    ngx_litestream_nothers = 0;

    fp = fopen("/proc/locks", "re");
    if (fp == NULL) {
        return;
    }

    /* 1: POSIX  ADVISORY  READ 4711 fe:01:131074 128 128 */

    while (fgets(line, sizeof(line), fp)
           && ngx_litestream_nothers < NGX_LITESTREAM_OTHER_MAX)
    {
        p = strstr(line, " POSIX ");
        if (p == NULL) {
            continue;
        }

        fields = sscanf(p, " POSIX %*s %*s %d %x:%x:%lu %llu %llu",
                        &pid, &major, &minor, &inode, &first, &last);

        if (fields != 6 || first > NGX_LITESTREAM_OTHER_BYTE
            || last < NGX_LITESTREAM_OTHER_BYTE
            || !ngx_litestream_other_pid(pid))
        {
            continue;
        }

        other = &ngx_litestream_others[ngx_litestream_nothers++];

        other->major = major;
        other->minor = minor;
        other->inode = inode;
        other->pid = pid;
    }

    (void) fclose(fp);
}


/* 1: a Litestream, and not ours; most lines are of one or two processes */

static ngx_uint_t
ngx_litestream_other_pid(pid_t pid)
{
    FILE        *fp;
    char         name[64], comm[32];
    ngx_uint_t   rc;

    static pid_t       last;
    static ngx_msec_t  at;
    static ngx_uint_t  found;

    if (pid == last && at == ngx_litestream_others_at) {
        return found;
    }

    rc = 0;
    comm[0] = '\0';

    (void) snprintf(name, sizeof(name), "/proc/%d/comm", (int) pid);

    fp = fopen(name, "re");

    if (fp) {
        if (fgets(comm, sizeof(comm), fp)
            && strncmp(comm, "litestream", sizeof("litestream") - 1) == 0)
        {
            rc = !ngx_litestream_other_ours(pid);
        }

        (void) fclose(fp);
    }

    last = pid;
    at = ngx_litestream_others_at;
    found = rc;

    return rc;
}


/* 1: a child of the supervisor, as this job is */

static ngx_uint_t
ngx_litestream_other_ours(pid_t pid)
{
    int    parent;
    FILE  *fp;
    char   name[64], line[256], *p;

    parent = 0;

    (void) snprintf(name, sizeof(name), "/proc/%d/stat", (int) pid);

    fp = fopen(name, "re");

    if (fp) {
        if (fgets(line, sizeof(line), fp)) {

            /* "4711 (litestream) S 4710": a name may have a ")" in it */

            p = strrchr(line, ')');

            if (p == NULL || sscanf(p, ") %*c %d", &parent) != 1) {
                parent = 0;
            }
        }

        (void) fclose(fp);
    }

    return parent == 0 || parent == (int) getppid();
}
