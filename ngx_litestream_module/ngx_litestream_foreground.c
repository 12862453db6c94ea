
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The first start: missing databases are restored before nginx opens its
 * doors, by the supervisor's own code in a child that does nothing else.
 */


#include "ngx_litestream_supervisor.h"

#include <poll.h>
#include <sys/prctl.h>


/* what the foreground restore tells the process that becomes the master */

typedef struct {
    uint32_t                     index;
    uint32_t                     outcome;
    uint64_t                     txid;
    int64_t                      bytes;
    uint32_t                     ms;
    uint32_t                     pad;
    char                         version[32];
} ngx_litestream_report_t;


static size_t ngx_litestream_progress_line(ngx_litestream_rdb_t *rdb,
    u_char *text, size_t size);
static void ngx_litestream_start_text(char *text, size_t size,
    ngx_litestream_db_t *db);
static void ngx_litestream_progress_limit(ngx_litestream_db_status_t *st);
static void ngx_litestream_foreground_child(ngx_cycle_t *cycle, int fd,
    pid_t parent);
static void ngx_litestream_foreground_signal(int signo);


/* why nginx does not start, and the database that it is about, or NULL */

static char                    ngx_litestream_why[NGX_LITESTREAM_ERROR_LEN];
static ngx_litestream_db_t    *ngx_litestream_whose;

static ngx_msec_t              ngx_litestream_said;
static volatile sig_atomic_t   ngx_litestream_caught;


/*
 * A line every few seconds on the terminal where nginx is being started; while
 * nothing comes from a storage, at growing intervals.
 */

void
ngx_litestream_progress(void)
{
    size_t                 len;
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;
    u_char                 text[NGX_MAX_ERROR_STR];

    if (ngx_current_msec - ngx_litestream_said < 2000) {
        return;
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (rdb->job == NULL
            || rdb->st.restore_state != NGX_LITESTREAM_RESTORE_RUNNING)
        {
            continue;
        }

        len = ngx_litestream_progress_line(rdb, text, sizeof(text));

        if (len) {
            (void) ngx_write_fd(ngx_stderr, text, len);
        }

        ngx_litestream_progress_limit(&rdb->st);
    }

    ngx_litestream_said = ngx_current_msec;
}


/* the length of the line, or 0: nothing is to be said now */

static size_t
ngx_litestream_progress_line(ngx_litestream_rdb_t *rdb, u_char *text,
    size_t size)
{
    u_char      *p;
    ngx_msec_t   waited, timeout;

    if (rdb->st.restore_total > 0) {
        p = ngx_snprintf(text, size,
                         "nginx: litestream: restoring \"%V\": %L of %L "
                         "bytes" NGX_LINEFEED, &rdb->db->alias,
                         rdb->st.restore_bytes, rdb->st.restore_total);

        return p - text;
    }

    waited = ngx_current_msec - rdb->heard;

    if (waited < 2 * rdb->said) {
        return 0;
    }

    rdb->said = waited;
    timeout = ngx_litestream_sup->conf->restore_timeout;

    p = ngx_snprintf(text, size,
                     "nginx: litestream: restoring \"%V\": waiting for \"%V\", "
                     "%M of %M s%s%s" NGX_LINEFEED,
                     &rdb->db->alias, &rdb->db->replica->url, waited / 1000,
                     (timeout + 999) / 1000,
                     rdb->st.error[0] ? ": " : "", rdb->st.error);

    return p - text;
}


/* in the child: something was heard of the restore, its time begins anew */

void
ngx_litestream_heard(ngx_litestream_rdb_t *rdb)
{
    rdb->heard = ngx_current_msec;
    rdb->said = 0;
}


/*
 * A start that systemd ends cannot tell why any more: said once, as soon as
 * the default limit may not suffice.
 */

static void
ngx_litestream_progress_limit(ngx_litestream_db_status_t *st)
{
    u_char       *p;
    int64_t       passed, total;
    u_char        text[NGX_MAX_ERROR_STR];

    static ngx_uint_t  said;

    passed = ngx_litestream_now() - ngx_litestream_sup->st.started;
    total = 0;

    if (st->restore_bytes > 0 && st->restore_total > 0) {
        total = (int64_t) ((double) passed * st->restore_total
                           / st->restore_bytes);
    }

    if (said || getenv("INVOCATION_ID") == NULL
        || (passed < 20000 && total < 60000))
    {
        return;
    }

    said = 1;

    p = ngx_snprintf(text, sizeof(text),
                     "nginx: litestream: systemd ends a start after 90 s "
                     "unless TimeoutStartSec= says otherwise" NGX_LINEFEED);

    (void) ngx_write_fd(ngx_stderr, text, p - text);
}


/*
 * In the child: the first reason why nginx is not going to start, for the
 * status; db: whose it is, or NULL.  What follows is a consequence.
 */

void
ngx_litestream_start_error(ngx_litestream_db_t *db, char *text)
{
    if (ngx_litestream_why[0] == '\0') {
        ngx_litestream_whose = db;
        ngx_litestream_copy(ngx_litestream_why, sizeof(ngx_litestream_why),
                            (u_char *) text, ngx_strlen(text));
    }
}


/*
 * In the child, at its end: the status is what is left of a start that has
 * failed, for whoever asks the command.
 */

void
ngx_litestream_start_failed(void)
{
    ngx_uint_t                    i;
    ngx_litestream_rdb_t         *rdb;
    ngx_litestream_rdir_t        *rdir;
    ngx_litestream_db_status_t   *st;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    ngx_litestream_start_error(NULL, sup->terminating && !sup->failed
                                     ? "it was interrupted"
                                     : "its error log says why");

    for (i = 0; i < sup->conf->dbs.nelts; i++) {

        rdb = sup->rdbs[i];
        st = &rdb->st;

        ngx_litestream_start_text(st->error, sizeof(st->error), rdb->db);

        if (!st->in_place) {
            st->state = NGX_LITESTREAM_DB_ERROR;

            if (st->restore_state == NGX_LITESTREAM_RESTORE_RUNNING) {
                st->restore_state = NGX_LITESTREAM_RESTORE_FAILED;
            }
        }

        ngx_litestream_status_db_write(rdb);
    }

    for (i = 0; i < sup->conf->dirs.nelts; i++) {

        rdir = &sup->rdirs[i];

        ngx_litestream_start_text(rdir->st.error, sizeof(rdir->st.error),
                                  rdir->dir->db);

        if (!rdir->st.in_place) {
            rdir->st.state = NGX_LITESTREAM_DIR_ERROR;
        }

        ngx_litestream_status_dir_write(rdir);
    }
}


static void
ngx_litestream_start_text(char *text, size_t size, ngx_litestream_db_t *db)
{
    u_char  *p, *last;

    p = (u_char *) text;
    last = p + size - 1;

    p = ngx_slprintf(p, last, "nginx did not start: ");

    if (ngx_litestream_whose && ngx_litestream_whose != db) {
        p = ngx_slprintf(p, last, "\"%V\": ", &ngx_litestream_whose->alias);
    }

    p = ngx_slprintf(p, last, "%s", ngx_litestream_why);
    *p = '\0';
}


/* in the child: a database is in place, or its restore has failed */

void
ngx_litestream_report(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_db_t      *db;
    ngx_litestream_report_t   report;

    db = rdb->db;

    ngx_memzero(&report, sizeof(ngx_litestream_report_t));

    report.index = rdb->index;
    report.outcome = db->outcome;
    report.txid = db->restored_txid;
    report.bytes = db->restored_bytes;
    report.ms = db->restored_ms;
    ngx_memcpy(report.version, ngx_litestream_sup->version,
               sizeof(report.version));

    if (write(ngx_litestream_sup->report, &report, sizeof(report))
        != (ssize_t) sizeof(report))
    {
        ngx_litestream_sup->failed = 1;
    }
}


/*
 * First start: restores what is missing before nginx opens its doors.  Runs
 * this file's own code in a child with a loop of its own, waits for it, passes
 * signals on.  Called in the process that becomes the master; blocks.
 * NGX_ERROR: a database is not in place, the reason was logged.
 */

ngx_int_t
ngx_litestream_foreground(ngx_cycle_t *cycle, ngx_litestream_conf_t *lcf)
{
    int                       p[2], status;
    pid_t                     pid, parent, rc;
    ssize_t                   n;
    sigset_t                  set, old;
    ngx_int_t                 ret;
    ngx_uint_t                i, told;
    struct pollfd             pfd;
    struct sigaction          sa, saved[3];
    ngx_litestream_db_t     **dbs;
    ngx_litestream_report_t   report;

    static int  signals[] = { SIGTERM, SIGINT, SIGQUIT };

    dbs = lcf->dbs.elts;

    if (pipe2(p, O_CLOEXEC) == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "litestream: pipe2() failed");
        return NGX_ERROR;
    }

    /* a handler, also since these are ignored in pid 1 without one */

    sigemptyset(&set);
    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_handler = ngx_litestream_foreground_signal;

    for (i = 0; i < 3; i++) {
        sigaddset(&set, signals[i]);
        (void) sigaction(signals[i], &sa, &saved[i]);
    }

    (void) sigprocmask(SIG_BLOCK, &set, &old);

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        (void) close(p[0]);
        ngx_litestream_foreground_child(cycle, p[1], parent);
        /* unreachable */
    }

    (void) close(p[1]);

    ret = NGX_ERROR;
    status = 0;
    told = 0;

    if (pid == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "litestream: fork() failed");
        goto done;
    }

    pfd.fd = p[0];
    pfd.events = POLLIN;

    for ( ;; ) {

        n = ppoll(&pfd, 1, NULL, &old);

        if (ngx_litestream_caught && !told) {
            told = 1;
            (void) kill(pid, SIGTERM);
        }

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        n = read(p[0], &report, sizeof(report));

        if (n != (ssize_t) sizeof(report)) {
            break;
        }

        if (report.index < lcf->dbs.nelts) {
            dbs[report.index]->outcome = report.outcome;
            dbs[report.index]->restored_txid = report.txid;
            dbs[report.index]->restored_bytes = report.bytes;
            dbs[report.index]->restored_ms = report.ms;
        }

        ngx_memcpy(ngx_litestream_known, report.version,
                   sizeof(ngx_litestream_known));
    }

    do {
        rc = waitpid(pid, &status, 0);
    } while (rc == -1 && ngx_errno == NGX_EINTR);

    if (ngx_litestream_caught) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "litestream: the restore was interrupted by signal %d",
                      (int) ngx_litestream_caught);

    } else if (WIFSIGNALED(status)) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "litestream: the restore ended on signal %d",
                      WTERMSIG(status));

    } else if (WEXITSTATUS(status) == 0) {
        ret = NGX_OK;
    }

done:

    (void) close(p[0]);

    for (i = 0; i < 3; i++) {
        (void) sigaction(signals[i], &saved[i], NULL);
    }

    (void) sigprocmask(SIG_SETMASK, &old, NULL);

    return ret;
}


static void
ngx_litestream_foreground_signal(int signo)
{
    ngx_litestream_caught = signo;
}


static void
ngx_litestream_foreground_child(ngx_cycle_t *cycle, int fd, pid_t parent)
{
    ngx_litestream_conf_t  *lcf;

    /* the process that becomes nginx was killed: so is the restore */

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);

    lcf = ngx_litestream_get_conf(cycle);

    if (getppid() != parent
        || ngx_litestream_supervisor_alloc(cycle, lcf) != NGX_OK)
    {
        exit(1);
    }

    ngx_litestream_sup->restore_only = 1;
    ngx_litestream_sup->first = 1;
    ngx_litestream_sup->report = fd;

    if (ngx_litestream_supervisor_init(cycle) != NGX_OK) {
        exit(1);
    }

    ngx_litestream_sup->tick.handler = ngx_litestream_tick_handler;
    ngx_litestream_sup->tick.log = cycle->log;
    ngx_litestream_sup->tick.data = &ngx_litestream_sup->tick;

    ngx_litestream_said = ngx_current_msec;
    ngx_add_timer(&ngx_litestream_sup->tick, NGX_LITESTREAM_TICK);

    ngx_litestream_take_over();

    for ( ;; ) {
        ngx_process_events_and_timers(cycle);
    }
}
