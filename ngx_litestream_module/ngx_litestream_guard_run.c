
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the job of a guard: it holds locks of readers until Litestream has its own */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_guard.h"

#include <poll.h>


/* between two words of a job that has much to do, ms */
#define NGX_LITESTREAM_GUARD_BEAT    1000

#define NGX_LITESTREAM_GUARD_PAUSE   100

#define NGX_LITESTREAM_SHM_BYTE      120


static void ngx_litestream_guard_tell(ngx_litestream_job_t *job,
    ngx_int_t rc, ngx_uint_t index, char *text);
static void ngx_litestream_guard_keep(ngx_litestream_job_t *job, pid_t pid,
    pid_t parent);
static ngx_uint_t ngx_litestream_guard_expire(ngx_litestream_job_t *job,
    ngx_litestream_held_t *held, ngx_uint_t n);


/* in the job, still root: a database, its WAL and its WAL-index each */

void
ngx_litestream_guard_prepare(ngx_litestream_job_t *job)
{
    ngx_litestream_files(3 * job->group->dbs.nelts, ngx_litestream_sup->log);
}


/*
 * Takes the locks, tells what could not be had, and holds them until Litestream
 * has its own.  In the job, as the user of the databases, may block.
 */

void
ngx_litestream_guard_run(ngx_litestream_job_t *job)
{
    pid_t                         parent;
    u_char                       *mark;
    ngx_int_t                     rc;
    ngx_msec_t                    now, beat, limit;
    ngx_uint_t                    i, n, left;
    struct pollfd                 pfd;
    ngx_litestream_held_t        *held;
    ngx_litestream_guard_t       *guard;
    ngx_litestream_guard_page_t  *page;
    char                          text[1024];

    guard = job->data;
    page = guard->page;

    n = guard->n;

    held = calloc(n, sizeof(ngx_litestream_held_t));
    if (held == NULL) {
        return;
    }

    /* thousands of connections, none of which does much */

    (void) sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);

    beat = ngx_litestream_hold_now();
    left = 0;

    for (i = 0; i < n && !ngx_litestream_job_stopped(); i++) {

        mark = (u_char *) &page->marks[i];

        if (*mark != NGX_LITESTREAM_GUARD_WANTED) {
            continue;
        }

        *mark = NGX_LITESTREAM_GUARD_DOING;

        rc = ngx_litestream_hold(ngx_litestream_sup->rdbs[i]->db,
                                       &held[i], text, sizeof(text));

        if (rc == NGX_OK) {
            *mark = NGX_LITESTREAM_GUARD_HELD;
            left++;

        } else if (rc == NGX_DECLINED) {
            *mark = NGX_LITESTREAM_GUARD_FREE;

        } else {
            *mark = NGX_LITESTREAM_GUARD_FAILED;
            ngx_litestream_guard_tell(job, NGX_ERROR, i, text);
        }

        now = ngx_litestream_hold_now();

        if (now - beat >= NGX_LITESTREAM_GUARD_BEAT) {
            beat = now;
            ngx_litestream_guard_tell(job, NGX_AGAIN, 0, "");
        }
    }

    if (ngx_litestream_job_stopped()) {
        return;
    }

    job->result.rc = NGX_OK;

    ngx_litestream_guard_tell(job, NGX_OK, 0, "");

    limit = ngx_litestream_hold_now() + NGX_LITESTREAM_GUARD_LIMIT;

    pfd.fd = job->fd;
    pfd.events = POLLIN;

    parent = getppid();

    /* also with nothing to hold: an end before the start is a failure */

    while (left || page->pid == 0) {

        /* the supervisor says nothing: this is its end */

        if (poll(&pfd, 1, NGX_LITESTREAM_GUARD_PAUSE) > 0
            || ngx_litestream_job_stopped())
        {
            if (page->keep && getppid() != parent) {
                ngx_litestream_guard_keep(job, page->keep, parent);
            }

            return;
        }

        for (i = 0; i < n; i++) {
            if (held[i].conn
                && page->marks[i] == NGX_LITESTREAM_GUARD_RELEASED)
            {
                ngx_litestream_hold_drop(&held[i]);
                left--;
            }
        }

        if ((ngx_msec_int_t) (ngx_litestream_hold_now() - limit) >= 0) {

            if (left == 0) {
                break;
            }

            left -= ngx_litestream_guard_expire(job, held, n);
            limit += 1000;
        }
    }

    if (page->keep) {
        ngx_litestream_guard_tell(job, NGX_DONE, 0, "");
        ngx_litestream_guard_keep(job, page->keep, parent);
    }
}


/*
 * A lock lives as long as whatever could write: a Litestream that has been told
 * of a database in another directory has not inherited its lock, but this job
 * has, and stays until Litestream has ended.  The supervisor tells it to end
 * when that is so; it may die before.
 */

static void
ngx_litestream_guard_keep(ngx_litestream_job_t *job, pid_t pid, pid_t parent)
{
    while (getppid() == parent) {

        if (ngx_litestream_job_stopped()) {
            return;
        }

        ngx_msleep(NGX_LITESTREAM_GUARD_BEAT);
    }

    while (kill(pid, 0) == 0 || errno == EPERM) {
        ngx_msleep(NGX_LITESTREAM_GUARD_PAUSE);
    }
}


static void
ngx_litestream_guard_tell(ngx_litestream_job_t *job, ngx_int_t rc,
    ngx_uint_t index, char *text)
{
    ngx_litestream_job_msg_t  msg;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));

    msg.type = NGX_LITESTREAM_JOB_PROGRESS;
    msg.rc = rc;
    msg.txid = index;
    (void) snprintf(msg.text, sizeof(msg.text), "%s", text);

    ngx_litestream_job_tell(job, &msg);
}


/*
 * The time is over.  What Litestream has locked itself is let go, what it has
 * not is told, and held until Litestream has ended.  The first of the locks
 * of readers keeps no WAL from being begun anew that is all in the database;
 * but since it keeps it from getting there, it does once something was
 * written.  Returns how many were let go.
 */

static ngx_uint_t
ngx_litestream_guard_expire(ngx_litestream_job_t *job,
    ngx_litestream_held_t *held, ngx_uint_t n)
{
    int                           pid;
    char                          line[512], path[4300], how[16];
    char                          text[1024];
    FILE                         *f;
    u_char                       *locks;
    ngx_uint_t                    i, told, dropped;
    struct stat                   st;
    unsigned long long            ino, *inodes;
    unsigned long                 first, last;
    ngx_litestream_db_t          *db;
    ngx_litestream_guard_t       *guard;
    ngx_litestream_guard_page_t  *page;

    guard = job->data;
    page = guard->page;

    locks = calloc(n, 1);
    inodes = calloc(n, sizeof(unsigned long long));
    f = fopen("/proc/locks", "re");

    if (locks == NULL || inodes == NULL || f == NULL) {
        free(locks);
        free(inodes);
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (held[i].conn) {
            (void) snprintf(path, sizeof(path), "%s-shm", (char *)
                            ngx_litestream_sup->rdbs[i]->db->path.data);

            if (stat(path, &st) == 0) {
                inodes[i] = st.st_ino;
            }
        }
    }

    told = 0;

    while (fgets(line, sizeof(line), f)) {

        if (sscanf(line, "%*s %*s %*s %15s %d %*x:%*x:%llu %lu %lu", how, &pid,
                   &ino, &first, &last)
            != 5)
        {
            continue;
        }

        /* nothing is told of locks at all, where not even ours are */

        if (pid == (int) ngx_getpid()) {
            told = 1;
        }

        if (pid != page->pid || strcmp(how, "READ") != 0) {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (inodes[i] != ino || ino == 0) {
                continue;
            }

            if (first <= NGX_LITESTREAM_SHM_BYTE + 3
                && last >= NGX_LITESTREAM_SHM_BYTE + 3)
            {
                locks[i] |= 1;
            }

            if (first <= NGX_LITESTREAM_SHM_BYTE + 7
                && last >= NGX_LITESTREAM_SHM_BYTE + 4)
            {
                locks[i] |= 2;
            }
        }
    }

    (void) fclose(f);

    dropped = 0;

    for (i = 0; i < n; i++) {

        if (held[i].conn == NULL) {
            continue;
        }

        if (locks[i] == 1 && ngx_litestream_hold_filled(&held[i])) {
            continue;
        }

        if (locks[i] || !told) {
            page->marks[i] = NGX_LITESTREAM_GUARD_RELEASED;
            ngx_litestream_hold_drop(&held[i]);
            dropped++;
            continue;
        }

        if (!held[i].told) {
            held[i].told = 1;

            db = ngx_litestream_sup->rdbs[i]->db;

            (void) snprintf(text, sizeof(text), "Litestream has not opened "
                            "\"%.900s\" within %d s", (char *) db->path.data,
                            NGX_LITESTREAM_GUARD_LIMIT / 1000);
            ngx_litestream_guard_tell(job, NGX_ERROR, i, text);
        }
    }

    free(locks);
    free(inodes);

    return dropped;
}
