
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Is a restored file sound, as SQLite checks it: in jobs.
 *
 * A check that needs functions or collations of an application, for a CHECK
 * constraint or an index, cannot be made as a whole.  That says nothing about
 * the file, and what can be checked is.
 */


#include "ngx_litestream_supervisor.h"

#include <poll.h>
#include <sys/prctl.h>


typedef struct {
    int32_t                      rc;
    char                         text[512];
    char                         left[512];   /* tables not checked */
} ngx_litestream_sound_t;


static void ngx_litestream_integrity_child(char *path, ngx_uint_t full,
    ngx_litestream_sound_t *sound);
static int ngx_litestream_integrity_run(sqlite3 *conn, ngx_uint_t full,
    const char *table, ngx_litestream_sound_t *sound);
static void ngx_litestream_integrity_tables(sqlite3 *conn, ngx_uint_t full,
    ngx_litestream_sound_t *sound);


/*
 * Checks a database that nobody else uses, quick or full.  NGX_OK; or
 * NGX_DECLINED: it is damaged, NGX_ERROR: it cannot be read or the check has
 * made no progress, NGX_ABORT: the job shall end; text says why.  In a job;
 * tick and timeout are those of ngx_litestream_job_exec().  It is done by a
 * child, since SQLite neither tells how far it is nor can be interrupted then.
 */

ngx_int_t
ngx_litestream_integrity(ngx_litestream_job_t *job, char *path,
    ngx_uint_t full, ngx_msec_t timeout, ngx_litestream_tick_pt tick,
    char *text, size_t size)
{
    int                     fd[2], status;
    pid_t                   pid, parent;
    ssize_t                 n;
    ngx_int_t               rc;
    ngx_msec_t              now, progress;
    struct pollfd           pfd;
    ngx_litestream_sound_t  sound;

    if (pipe2(fd, O_CLOEXEC) == -1) {
        (void) snprintf(text, size, "pipe2() failed: %s", strerror(errno));
        return NGX_ERROR;
    }

    parent = getpid();

    pid = fork();

    if (pid == -1) {
        (void) snprintf(text, size, "fork() failed: %s", strerror(errno));
        (void) close(fd[0]);
        (void) close(fd[1]);
        return NGX_ERROR;
    }

    if (pid == 0) {
        (void) signal(SIGTERM, SIG_DFL);

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1
            || getppid() != parent)
        {
            _exit(1);
        }

        ngx_memzero(&sound, sizeof(ngx_litestream_sound_t));
        ngx_litestream_integrity_child(path, full, &sound);

        _exit(write(fd[1], &sound, sizeof(sound)) != (ssize_t) sizeof(sound));
    }

    (void) close(fd[1]);

    job->child = pid;

    rc = NGX_OK;
    pfd.fd = fd[0];
    pfd.events = POLLIN;
    progress = ngx_litestream_hold_now();

    while (poll(&pfd, 1, 200) <= 0) {

        now = ngx_litestream_hold_now();

        if (ngx_litestream_job_stopped()) {
            (void) snprintf(text, size, "interrupted");
            rc = NGX_ABORT;
            break;
        }

        if (tick(job)) {
            progress = now;
        }

        if (timeout && now - progress > timeout) {
            (void) snprintf(text, size, "the integrity check made no progress "
                            "within %lu ms", (unsigned long) timeout);
            rc = NGX_ERROR;
            break;
        }
    }

    if (rc == NGX_OK) {
        n = read(fd[0], &sound, sizeof(sound));

        if (n != (ssize_t) sizeof(sound)) {
            (void) snprintf(text, size, "the integrity check has ended by "
                            "itself");
            rc = NGX_ERROR;
        }
    }

    (void) kill(pid, SIGKILL);
    (void) close(fd[0]);

    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) { /* void */ }

    if (rc != NGX_OK) {
        return rc;
    }

    if (sound.left[0]) {
        ngx_litestream_job_log(job, "database \"%s\": the integrity check "
                               "left out what needs functions or collations "
                               "of the application: %s",
                               (char *) job->rdb->db->alias.data, sound.left);
    }

    (void) snprintf(text, size, "%s", sound.text);

    return sound.rc;
}


static void
ngx_litestream_integrity_child(char *path, ngx_uint_t full,
    ngx_litestream_sound_t *sound)
{
    int       rc;
    char     *p, *dir, name[4400];
    sqlite3  *conn;

    /* the directory may be a link, of which SQLite would know nothing then */

    p = strrchr(path, '/');
    *p = '\0';

    dir = realpath(path, NULL);

    (void) snprintf(name, sizeof(name), "%s/%s", dir ? dir : path, p + 1);

    rc = sqlite3_open_v2(name, &conn,
                         SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOFOLLOW, NULL);

    if (rc == SQLITE_OK) {
        rc = ngx_litestream_integrity_run(conn, full, NULL, sound);
    }

    if (rc == SQLITE_ERROR) {

        /* mostly it is a CHECK constraint with a function */

        (void) sqlite3_exec(conn, "PRAGMA ignore_check_constraints = ON", NULL,
                            NULL, NULL);

        rc = ngx_litestream_integrity_run(conn, full, NULL, sound);

        if (rc == SQLITE_OK) {
            (void) snprintf(sound->left, sizeof(sound->left),
                            "CHECK constraints");
        }
    }

    if (rc == SQLITE_ERROR) {
        ngx_litestream_integrity_tables(conn, full, sound);
        rc = SQLITE_OK;
    }

    if (rc != SQLITE_OK) {
        sound->rc = (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
                    ? NGX_DECLINED : NGX_ERROR;
        (void) snprintf(sound->text, sizeof(sound->text), "%s",
                        conn ? sqlite3_errmsg(conn) : "no memory");
    }

    (void) sqlite3_close(conn);
}


/*
 * All of it, or one table.  SQLITE_OK: sound->rc tells; SQLITE_ERROR: it
 * cannot be checked; others: it cannot be read.
 */

static int
ngx_litestream_integrity_run(sqlite3 *conn, ngx_uint_t full,
    const char *table, ngx_litestream_sound_t *sound)
{
    int            rc;
    char          *sql;
    const char    *name;
    sqlite3_stmt  *stmt;
    const u_char  *text;

    name = full ? "integrity_check" : "quick_check";

    sql = table ? sqlite3_mprintf("PRAGMA %s(%Q)", name, table)
                : sqlite3_mprintf("PRAGMA %s(1)", name);

    if (sql == NULL) {
        return SQLITE_NOMEM;
    }

    stmt = NULL;

    rc = sqlite3_prepare_v2(conn, sql, -1, &stmt, NULL);

    sqlite3_free(sql);

    if (rc != SQLITE_OK) {
        return rc;
    }

    rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW) {
        text = sqlite3_column_text(stmt, 0);

        if (text == NULL) {
            rc = SQLITE_NOMEM;

        } else {
            rc = SQLITE_OK;

            if (ngx_strcmp(text, "ok") != 0) {
                sound->rc = NGX_DECLINED;
                (void) snprintf(sound->text, sizeof(sound->text), "%s",
                                (char *) text);
            }
        }

    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_CORRUPT;
    }

    (void) sqlite3_finalize(stmt);

    return rc;
}


static void
ngx_litestream_integrity_tables(sqlite3 *conn, ngx_uint_t full,
    ngx_litestream_sound_t *sound)
{
    int            rc;
    size_t         len;
    sqlite3_stmt  *stmt;
    const char    *name;

    stmt = NULL;

    rc = sqlite3_prepare_v2(conn, "SELECT name FROM sqlite_master"
                            " WHERE type = 'table' ORDER BY name", -1, &stmt,
                            NULL);

    while (rc == SQLITE_OK && sound->rc == NGX_OK) {

        rc = sqlite3_step(stmt);

        if (rc != SQLITE_ROW) {
            break;
        }

        name = (const char *) sqlite3_column_text(stmt, 0);

        rc = name ? ngx_litestream_integrity_run(conn, full, name, sound)
                  : SQLITE_NOMEM;

        if (rc == SQLITE_ERROR) {
            len = strlen(sound->left);

            (void) snprintf(sound->left + len, sizeof(sound->left) - len,
                            "%s\"%s\"", len ? ", " : "tables ", name);
            rc = SQLITE_OK;
        }
    }

    if (rc != SQLITE_OK && rc != SQLITE_DONE) {
        sound->rc = NGX_ERROR;
        (void) snprintf(sound->text, sizeof(sound->text), "%s",
                        sqlite3_errmsg(conn));
    }

    (void) sqlite3_finalize(stmt);
}
