
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The supervisor process: its loop, its roles (it waits for the lock, holds
 * it, hands it over), and its end.  docs/supervision.md tells the story.
 */


#include "ngx_litestream_supervisor.h"

#include <ngx_channel.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>


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


static ngx_int_t ngx_litestream_supervisor_init(ngx_cycle_t *cycle);
static ngx_int_t ngx_litestream_supervisor_alloc(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf);
static ngx_int_t ngx_litestream_signals(ngx_cycle_t *cycle);
static void ngx_litestream_signal_handler(ngx_event_t *ev);
static void ngx_litestream_channel_handler(ngx_event_t *ev);
static void ngx_litestream_reopen(void);
static void ngx_litestream_close_old(ngx_cycle_t *cycle);
static ngx_msec_t ngx_litestream_storm(void);
static void ngx_litestream_lock_handler(ngx_event_t *ev);
static ngx_uint_t ngx_litestream_ask_holder(void);
static void ngx_litestream_follow_handler(ngx_event_t *ev);
static void ngx_litestream_take_over(void);
static void ngx_litestream_version(void);
static void ngx_litestream_version_run(ngx_litestream_job_t *job);
static void ngx_litestream_version_done(ngx_litestream_job_t *job);
static void ngx_litestream_version_handler(ngx_event_t *ev);
static void ngx_litestream_place_all(void);
static void ngx_litestream_placed_status(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_tick_handler(ngx_event_t *ev);
static void ngx_litestream_progress(void);
static void ngx_litestream_progress_limit(ngx_litestream_db_status_t *st);
static void ngx_litestream_quit(ngx_uint_t terminate);
static void ngx_litestream_final(void);
static void ngx_litestream_final_synced(ngx_litestream_waiter_t *w,
    ngx_int_t rc, uint64_t txid, char *error);
static void ngx_litestream_final_unsynced(void);
static void ngx_litestream_quit_handler(ngx_event_t *ev);
static void ngx_litestream_stop_all(void);
static ngx_uint_t ngx_litestream_all_down(void);
static void ngx_litestream_release(void);
static void ngx_litestream_exit(int status);

static void ngx_litestream_foreground_child(ngx_cycle_t *cycle, int fd,
    pid_t parent);
static void ngx_litestream_foreground_signal(int signo);


ngx_litestream_supervisor_t   *ngx_litestream_sup;

/* set in the master around the fork: this one may ask for a hand-over */
ngx_uint_t                     ngx_litestream_ask_handover;

/* when init_module has spawned it, also of one that the master respawned */
uint64_t                       ngx_litestream_generation;

/* where the last one listens, when that is another state path */
char                           ngx_litestream_ask_path[
                                   NGX_LITESTREAM_SOCKET_LEN + 1];
/* the same: nothing is known of the databases, whatever the status says */
ngx_uint_t                     ngx_litestream_first;

static ngx_litestream_lock_t  *ngx_litestream_locks;
static ngx_uint_t              ngx_litestream_nlocks;
static char                    ngx_litestream_busy[1024];

/* known from the foreground restore, inherited */
static char                    ngx_litestream_known[32];

static int                     ngx_litestream_signal_fd = -1;
static ngx_event_t             ngx_litestream_version_event;
static ngx_msec_t              ngx_litestream_said;

static volatile sig_atomic_t   ngx_litestream_caught;


int64_t
ngx_litestream_now(void)
{
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    return (int64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;
}


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


static ngx_int_t
ngx_litestream_supervisor_alloc(ngx_cycle_t *cycle,
    ngx_litestream_conf_t *lcf)
{
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_litestream_db_t     **dbs, *db;
    ngx_litestream_rdb_t     *rdb, **prdb;
    ngx_litestream_group_t  **groups;
    ngx_litestream_rgroup_t  *rg;

    pool = ngx_create_pool(16384, cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_sup = ngx_pcalloc(pool,
                                     sizeof(ngx_litestream_supervisor_t));
    if (ngx_litestream_sup == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_sup->cycle = cycle;
    ngx_litestream_sup->conf = lcf;
    ngx_litestream_sup->pool = pool;
    ngx_litestream_sup->log = lcf->log ? lcf->log : cycle->log;
    ngx_litestream_sup->report = -1;
    ngx_litestream_sup->state = NGX_LITESTREAM_STANDBY;
    ngx_litestream_sup->st.started = ngx_litestream_now();

    ngx_memcpy(ngx_litestream_sup->version, ngx_litestream_known,
               sizeof(ngx_litestream_known));

    ngx_litestream_sup->rgroups = ngx_pcalloc(pool, lcf->groups.nelts
                                              * sizeof(*rg));
    ngx_litestream_sup->rdbs = ngx_pcalloc(pool, lcf->dbs.nelts
                                           * sizeof(*rdb));

    if (ngx_litestream_sup->rgroups == NULL
        || ngx_litestream_sup->rdbs == NULL)
    {
        return NGX_ERROR;
    }

    groups = lcf->groups.elts;

    for (i = 0; i < lcf->groups.nelts; i++) {
        rg = &ngx_litestream_sup->rgroups[i];
        rg->group = groups[i];

        if (ngx_array_init(&rg->rdbs, pool, groups[i]->dbs.nelts,
                           sizeof(ngx_litestream_rdb_t *))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    dbs = lcf->dbs.elts;

    for (i = 0; i < lcf->dbs.nelts; i++) {
        db = dbs[i];
        rdb = &ngx_litestream_sup->rdbs[i];

        rdb->db = db;
        rdb->index = i;
        rdb->group = &ngx_litestream_sup->rgroups[db->group->index];

        prdb = ngx_array_push(&rdb->group->rdbs);
        if (prdb == NULL) {
            return NGX_ERROR;
        }

        *prdb = rdb;

        ngx_litestream_sync_init(rdb);

        rdb->st.id = db->id;
        rdb->st.group = db->group->index;
        rdb->st.state = NGX_LITESTREAM_DB_STARTING;
        rdb->st.size = -1;
        rdb->st.wal_size = -1;
        rdb->st.restore_total = -1;
        rdb->st.lag_limit_ms = ngx_max(10000, 3 * db->sync_interval);

        ngx_litestream_copy(rdb->st.alias, sizeof(rdb->st.alias),
                            db->alias.data, db->alias.len);
        ngx_litestream_copy(rdb->st.path, sizeof(rdb->st.path),
                            db->path.data, db->path.len);

        if (db->replica) {
            ngx_litestream_copy(rdb->st.replica_type,
                                sizeof(rdb->st.replica_type),
                                db->replica->type.data,
                                db->replica->type.len);
            ngx_litestream_copy(rdb->st.replica_url,
                                sizeof(rdb->st.replica_url),
                                db->replica->url.data, db->replica->url.len);
        }
    }

    for (i = 0; i < lcf->groups.nelts; i++) {
        if (ngx_litestream_group_init(&ngx_litestream_sup->rgroups[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_litestream_job_init(cycle);
}


/* what every nginx process does at its start, for a process of this kind */

static ngx_int_t
ngx_litestream_supervisor_init(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    /* init_module runs while ngx_cycle is still the previous one */

    ngx_cycle = cycle;
    ngx_process = NGX_PROCESS_HELPER;
    ngx_pid = ngx_getpid();
    ngx_use_stderr = ngx_litestream_sup->restore_only;

    /* socket files of the listeners stay: a helper does not remove them */

    ngx_close_listening_sockets(cycle);

    cycle->connection_n = 1024;

    for (i = 0; cycle->modules[i]; i++) {
        if (cycle->modules[i]->type == NGX_EVENT_MODULE
            && cycle->modules[i]->init_process
            && cycle->modules[i]->init_process(cycle) == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    ngx_use_accept_mutex = 0;

    if (ngx_litestream_signals(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_litestream_control_init(cycle);
}


/*
 * Signals come through a descriptor: nothing is lost between a test and a
 * wait, and nginx's own handler, which would reap our children, is not used.
 */

static ngx_int_t
ngx_litestream_signals(ngx_cycle_t *cycle)
{
    int                s;
    sigset_t           set;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    static int  list[] = {
        SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2,
        SIGWINCH, SIGIO
    };

    sigemptyset(&set);

    for (i = 0; i < sizeof(list) / sizeof(int); i++) {
        sigaddset(&set, list[i]);
    }

    (void) signal(SIGPIPE, SIG_IGN);

    if (sigprocmask(SIG_SETMASK, &set, NULL) == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "litestream: sigprocmask() failed");
        return NGX_ERROR;
    }

    s = signalfd(-1, &set, SFD_NONBLOCK|SFD_CLOEXEC);

    if (s == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "litestream: signalfd() failed");
        return NGX_ERROR;
    }

    ngx_litestream_signal_fd = s;

    c = ngx_get_connection(s, cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->log = cycle->log;
    c->read->log = cycle->log;
    c->write->log = cycle->log;
    c->read->handler = ngx_litestream_signal_handler;

    return ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);
}


static void
ngx_litestream_signal_handler(ngx_event_t *ev)
{
    ssize_t                  n;
    struct signalfd_siginfo  si;

    for ( ;; ) {

        n = read(ngx_litestream_signal_fd, &si, sizeof(si));

        if (n != (ssize_t) sizeof(si)) {
            break;
        }

        switch (si.ssi_signo) {

        case SIGTERM:
        case SIGINT:
            ngx_litestream_quit(1);
            break;

        case SIGQUIT:
            ngx_litestream_quit(0);
            break;

        case SIGUSR1:
            ngx_litestream_reopen();
            break;
        }
    }

    ngx_litestream_reap();
}


static void
ngx_litestream_channel_handler(ngx_event_t *ev)
{
    ngx_int_t          n;
    ngx_channel_t      ch;
    ngx_connection_t  *c;

    c = ev->data;

    for ( ;; ) {

        n = ngx_read_channel(c->fd, &ch, sizeof(ngx_channel_t), ev->log);

        if (n == NGX_ERROR) {

            if (ngx_event_flags & NGX_USE_EPOLL_EVENT) {
                ngx_del_conn(c, 0);
            }

            ngx_close_connection(c);
            return;
        }

        if (n == NGX_AGAIN) {
            return;
        }

        switch (ch.command) {

        case NGX_CMD_QUIT:
            ngx_litestream_quit(0);
            break;

        case NGX_CMD_TERMINATE:
            ngx_litestream_quit(1);
            break;

        case NGX_CMD_REOPEN:
            ngx_litestream_reopen();
            break;

        case NGX_CMD_OPEN_CHANNEL:

            /* of another process: not used, and must not leak to children */

            if (ch.fd != -1) {
                (void) close(ch.fd);
            }

            break;
        }
    }
}


static void
ngx_litestream_reopen(void)
{
    ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                  "litestream: reopening logs");

    ngx_reopen_files(ngx_litestream_sup->cycle, (ngx_uid_t) -1);
}


/*
 * The supervisor: run by ngx_spawn_process(), a child of the master.  It ends
 * with 0 or 1 and never with 2, which means "do not respawn" to the master.
 */

void
ngx_litestream_supervisor_cycle(ngx_cycle_t *cycle, void *data)
{
    ngx_int_t               n;
    ngx_open_file_t        *file;
    ngx_litestream_conf_t  *lcf;

    lcf = ngx_litestream_get_conf(cycle);

    if (lcf == NULL
        || ngx_litestream_supervisor_alloc(cycle, lcf) != NGX_OK)
    {
        exit(1);
    }

    ngx_litestream_sup->master = ngx_getppid();
    ngx_litestream_sup->ask_handover = ngx_litestream_ask_handover;
    ngx_litestream_sup->first = ngx_litestream_first;

    ngx_setproctitle("litestream supervisor process");

    for (n = 0; n < ngx_last_process; n++) {

        if (ngx_processes[n].pid == -1 || n == ngx_process_slot
            || ngx_processes[n].channel[1] == -1)
        {
            continue;
        }

        (void) close(ngx_processes[n].channel[1]);
    }

    (void) close(ngx_processes[ngx_process_slot].channel[0]);

    /* main() closes the log of the start later: others never have it */

    if (ngx_use_stderr) {
        file = cycle->old_cycle->log->file;

        if (file->fd != ngx_stderr) {
            (void) ngx_close_file(file->fd);
            file->fd = ngx_stderr;
        }
    }

    if (cycle->old_cycle) {
        ngx_litestream_close_old(cycle->old_cycle);
    }

    (void) ngx_log_redirect_stderr(cycle);

    if (ngx_litestream_supervisor_init(cycle) != NGX_OK
        || ngx_add_channel_event(cycle, ngx_channel, NGX_READ_EVENT,
                                 ngx_litestream_channel_handler)
           == NGX_ERROR)
    {
        exit(1);
    }

    ngx_litestream_sup->tick.handler = ngx_litestream_tick_handler;
    ngx_litestream_sup->tick.log = cycle->log;
    ngx_litestream_sup->tick.data = &ngx_litestream_sup->tick;

    ngx_litestream_sup->lock_timer.handler = ngx_litestream_lock_handler;
    ngx_litestream_sup->lock_timer.log = cycle->log;
    ngx_litestream_sup->lock_timer.data = &ngx_litestream_sup->lock_timer;

    ngx_litestream_sup->quit_timer.handler = ngx_litestream_quit_handler;
    ngx_litestream_sup->quit_timer.log = cycle->log;
    ngx_litestream_sup->quit_timer.data = &ngx_litestream_sup->quit_timer;

    ngx_litestream_sup->lock_since = ngx_current_msec;

    ngx_add_timer(&ngx_litestream_sup->tick, NGX_LITESTREAM_TICK);

    if (ngx_litestream_nlocks) {
        ngx_litestream_take_over();

    } else {
        ngx_add_timer(&ngx_litestream_sup->lock_timer,
                      ngx_litestream_storm());
    }

    for ( ;; ) {
        ngx_process_events_and_timers(cycle);
    }
}


/*
 * What the master is about to close once the new configuration is in use: we
 * were made a moment before that, and a port would stay in use with us.
 */

static void
ngx_litestream_close_old(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_listening_t  *ls;
    ngx_open_file_t  *file;

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (!ls[i].remain && ls[i].fd != (ngx_socket_t) -1) {
            (void) ngx_close_socket(ls[i].fd);
        }
    }

    part = &cycle->open_files.part;
    file = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            file = part->elts;
            i = 0;
        }

        if (file[i].fd != NGX_INVALID_FILE && file[i].fd != ngx_stderr) {
            (void) ngx_close_file(file[i].fd);
        }
    }
}


/*
 * A supervisor that keeps dying right after its start is respawned by the
 * master without a pause: it makes the pause itself.  Returns ms.
 */

static ngx_msec_t
ngx_litestream_storm(void)
{
    uint32_t                       n;
    ngx_litestream_super_status_t  old;

    if (ngx_litestream_sup->ask_handover) {
        return 1;
    }

    if (ngx_litestream_status_open(&ngx_litestream_sup->conf->status,
                                   ngx_litestream_sup->log)
        != NGX_OK
        || ngx_litestream_status_super(&old) != NGX_OK)
    {
        return 500;
    }

    if (old.clean != NGX_LITESTREAM_CLEAN_NOT
        || old.heartbeat - old.started > 2000)
    {
        return 1;
    }

    n = ngx_min(old.storm, 5);
    ngx_litestream_sup->st.storm = old.storm + 1;

    return n ? ngx_min(500u << n, NGX_LITESTREAM_BACKOFF_MAX) : 1;
}


static void
ngx_litestream_lock_handler(ngx_event_t *ev)
{
    ngx_int_t    rc;
    ngx_msec_t   waited, delay;

    if (ngx_litestream_sup->quitting || ngx_litestream_sup->terminating) {
        return;
    }

    rc = ngx_litestream_lock(ngx_litestream_sup->conf,
                             ngx_litestream_sup->log);

    if (rc == NGX_OK) {
        ngx_litestream_take_over();
        return;
    }

    waited = ngx_current_msec - ngx_litestream_sup->lock_since;
    delay = (rc == NGX_ERROR) ? 1000 : waited < 1000 ? 10 : 100;

    if (rc == NGX_BUSY) {

        if (!ngx_litestream_ask_holder()
            && waited > ngx_litestream_sup->conf->shutdown_timeout + 1000
            && ngx_litestream_ipc_probe(&ngx_litestream_sup->conf->socket, 0,
                                        ngx_litestream_sup->log)
               != NGX_OK)
        {
            ngx_litestream_orphans(ngx_litestream_sup->conf,
                                   ngx_litestream_sup->log);
            delay = 1000;
        }

        if (waited / 10000 > ngx_litestream_sup->lock_said) {
            ngx_litestream_sup->lock_said = waited / 10000;

            ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                          "litestream: supervisor %P stands by, \"%s\" is "
                          "locked for %M s", ngx_pid, ngx_litestream_busy,
                          waited / 1000);
        }
    }

    ngx_add_timer(ev, delay);
}


/*
 * Asks whoever holds the lock to hand over, if that is for us to ask.  Again
 * and again: between two reloads the holder may become another one, which has
 * not been asked.  1: somebody is there.
 */

static ngx_uint_t
ngx_litestream_ask_holder(void)
{
    ngx_str_t                     last;
    ngx_int_t                     rc;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (!sup->ask_handover) {
        return 0;
    }

    if (sup->asked && ngx_current_msec - sup->asked < 1000) {
        return sup->answered;
    }

    sup->asked = ngx_current_msec;

    rc = ngx_litestream_ipc_probe(&sup->conf->socket,
                                  ngx_litestream_generation, sup->log);

    if (rc != NGX_OK && ngx_litestream_ask_path[0]) {

        last.data = (u_char *) ngx_litestream_ask_path;
        last.len = ngx_strlen(last.data);

        rc = ngx_litestream_ipc_probe(&last, ngx_litestream_generation,
                                      sup->log);
    }

    sup->answered = (rc == NGX_OK);

    return sup->answered;
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


/* the locks are ours: from here on this process is the supervisor */

static void
ngx_litestream_take_over(void)
{
    ngx_uint_t  i;

    ngx_litestream_sup->holder = 1;
    ngx_litestream_sup->ask_handover = 0;
    ngx_litestream_sup->state = NGX_LITESTREAM_UP;
    ngx_litestream_sup->st.clean = NGX_LITESTREAM_CLEAN_NOT;
    ngx_litestream_sup->st.started = ngx_litestream_now();

    if (ngx_litestream_status_create() != NGX_OK
        || (!ngx_litestream_sup->restore_only
            && ngx_litestream_ipc_listen() != NGX_OK))
    {
        if (ngx_litestream_sup->restore_only) {
            ngx_litestream_exit(1);
        }

        /* e.g. a full disk: tried again, the databases are served anyway */

        ngx_litestream_sup->holder = 0;
        ngx_litestream_sup->state = NGX_LITESTREAM_STANDBY;
        ngx_litestream_unlock();
        ngx_add_timer(&ngx_litestream_sup->lock_timer, 1000);
        return;
    }

    ngx_litestream_memory_load();

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        ngx_litestream_sup->rgroups[i].files =
            ngx_litestream_group_files(&ngx_litestream_sup->rgroups[i])
            == NGX_OK;

        if (!ngx_litestream_sup->rgroups[i].files
            && ngx_litestream_sup->restore_only)
        {
            ngx_litestream_exit(1);
        }

        ngx_litestream_verify_clean(ngx_litestream_sup->rgroups[i].group);
        ngx_litestream_status_group_write(&ngx_litestream_sup->rgroups[i]);
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
        ngx_litestream_status_db_write(&ngx_litestream_sup->rdbs[i]);
    }

    ngx_litestream_status_super_write();

    if (!ngx_litestream_sup->restore_only) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                      "litestream: supervisor %P has taken over", ngx_pid);
    }

    if (ngx_litestream_sup->version[0]) {
        ngx_litestream_sup->checked = 1;
        ngx_litestream_place_all();
        return;
    }

    ngx_litestream_version();
}


static void
ngx_litestream_version(void)
{
    ngx_litestream_job_t  *job;

    ngx_litestream_version_event.handler = ngx_litestream_version_handler;
    ngx_litestream_version_event.log = ngx_litestream_sup->log;
    ngx_litestream_version_event.data = &ngx_litestream_version_event;

    job = ngx_litestream_job_new("version", &ngx_litestream_sup->rdbs[0]);

    if (job == NULL) {
        ngx_add_timer(&ngx_litestream_version_event, 1000);
        return;
    }

    job->run = ngx_litestream_version_run;
    job->done = ngx_litestream_version_done;
    job->timeout = 20000;

    ngx_litestream_job_start(job, NGX_LITESTREAM_JOB_ANY);
}


static void
ngx_litestream_version_handler(ngx_event_t *ev)
{
    ngx_litestream_version();
}


static void
ngx_litestream_version_run(ngx_litestream_job_t *job)
{
    char                  *argv[3], *p;
    unsigned               major, minor, patch;
    ngx_litestream_run_t   run;

    argv[0] = (char *) ngx_litestream_sup->conf->bin.data;
    argv[1] = "version";
    argv[2] = NULL;

    job->result.rc = NGX_ERROR;

    if (ngx_litestream_job_exec(job, argv, 10000, NULL, &run) != NGX_OK
        || run.status != 0 || run.out == NULL)
    {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "\"%s version\" failed%s%s", argv[0],
                        run.last[0] ? ": " : "", run.last);
        return;
    }

    p = (char *) run.out;
    p[strcspn(p, "\r\n")] = '\0';

    if (*p == 'v') {
        p++;
    }

    if (sscanf(p, "%u.%u.%u", &major, &minor, &patch) == 3) {

        /* 0.5.6 and 0.5.7 freeze silently */

        if (major == 0 && (minor < 5 || (minor == 5 && patch < 8))) {
            (void) snprintf(job->result.text, sizeof(job->result.text),
                            "\"%s\" is Litestream %.40s, 0.5.8 or newer is "
                            "needed", argv[0], p);
            return;
        }

    } else if (strstr(p, "development build") == NULL) {
        (void) snprintf(job->result.text, sizeof(job->result.text),
                        "\"%s version\" says \"%.100s\": is it Litestream?",
                        argv[0], p);
        return;
    }

    (void) snprintf(job->result.text, sizeof(job->result.text), "%.31s", p);
    job->result.rc = NGX_OK;
}


static void
ngx_litestream_version_done(ngx_litestream_job_t *job)
{
    ngx_uint_t                i, level;
    ngx_litestream_rgroup_t  *rg;

    level = ngx_litestream_sup->restore_only ? NGX_LOG_EMERG : NGX_LOG_ERR;

    if (ngx_litestream_sup->restore_only && ngx_litestream_sup->terminating) {
        ngx_litestream_exit(1);
    }

    if (!job->has_result || job->result.rc != NGX_OK) {

        ngx_log_error(level, ngx_litestream_sup->log, 0, "litestream: %s",
                      job->result.text);

        if (ngx_litestream_sup->restore_only) {
            ngx_litestream_sup->failed = 1;
            ngx_litestream_exit(1);
        }

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            ngx_litestream_db_error(&ngx_litestream_sup->rdbs[i], "%s",
                                    job->result.text);
        }

        ngx_add_timer(&ngx_litestream_version_event,
                      NGX_LITESTREAM_BACKOFF_MAX);
        return;
    }

    ngx_litestream_copy(ngx_litestream_sup->version,
                        sizeof(ngx_litestream_sup->version),
                        (u_char *) job->result.text,
                        ngx_strlen(job->result.text));

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        rg = &ngx_litestream_sup->rgroups[i];

        ngx_memcpy(rg->st.version, ngx_litestream_sup->version,
                   sizeof(rg->st.version));
        ngx_litestream_status_group_write(rg);
    }

    ngx_litestream_sup->checked = 1;
    ngx_litestream_place_all();
}


static void
ngx_litestream_place_all(void)
{
    int64_t                size;
    uint64_t               dev, ino;
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    ngx_litestream_sup->unplaced = ngx_litestream_sup->conf->dbs.nelts;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = &ngx_litestream_sup->rdbs[i];
        rdb->fault = 0;

        if (ngx_litestream_sup->restore_only && rdb->db->background) {
            ngx_litestream_sup->unplaced--;
            continue;
        }

        if (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN
            || rdb->db->outcome == NGX_LITESTREAM_OUTCOME_ERROR)
        {
            rc = ngx_litestream_identity(rdb->db->path.data, &dev, &ino,
                                         &size);

            /* nothing to restore: no job is needed to see that */

            if (rc == NGX_OK && size > 0) {
                rdb->db->outcome = NGX_LITESTREAM_OUTCOME_PRESENT;
            }

            /* a predecessor has proven it */

            if (rc == NGX_DECLINED && rdb->st.state == NGX_LITESTREAM_DB_NEW) {
                rdb->db->outcome = NGX_LITESTREAM_OUTCOME_NEW;
            }
        }

        if (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN
            || rdb->db->outcome == NGX_LITESTREAM_OUTCOME_ERROR)
        {
            rdb->st.state = NGX_LITESTREAM_DB_STARTING;
            rdb->st.in_place = 0;
            ngx_litestream_place(rdb);
            continue;
        }

        ngx_litestream_placed(rdb);
    }

    if (ngx_litestream_sup->restore_only && ngx_litestream_sup->unplaced == 0)
    {
        ngx_litestream_exit(0);
    }
}


/* db->outcome is known: a database is in place, or the restore has failed */

void
ngx_litestream_placed(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_db_t      *db;
    ngx_litestream_report_t   report;

    db = rdb->db;

    if (ngx_litestream_sup->restore_only) {

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

        /* the first request may come before the supervisor has looked */

        rdb->st.in_place = (db->outcome != NGX_LITESTREAM_OUTCOME_ERROR
                            && db->outcome != NGX_LITESTREAM_OUTCOME_OFF);
        ngx_litestream_status_db_write(rdb);

        if (db->outcome == NGX_LITESTREAM_OUTCOME_ERROR
            && !ngx_litestream_sup->failed
            && !ngx_litestream_sup->terminating)
        {
            ngx_log_error(NGX_LOG_EMERG, ngx_litestream_sup->log, 0,
                          "litestream: database \"%V\": %s", &db->alias,
                          rdb->st.restore_error);

            /* what else is under way ends with it */

            ngx_litestream_sup->failed = 1;
            ngx_litestream_quit(1);
        }

        if (db->outcome != NGX_LITESTREAM_OUTCOME_ERROR) {

            /* workers may look before the supervisor has taken over */

            ngx_litestream_placed_status(rdb);
        }

        if (--ngx_litestream_sup->unplaced == 0) {
            ngx_litestream_check_quit();
        }

        return;
    }

    rdb->placed = 1;
    rdb->fault = 0;
    rdb->delay = 0;

    ngx_litestream_placed_status(rdb);

    ngx_litestream_check(rdb);
}


static void
ngx_litestream_placed_status(ngx_litestream_rdb_t *rdb)
{
    ngx_litestream_db_t  *db;

    db = rdb->db;

    rdb->st.error[0] = '\0';
    rdb->st.in_place = 1;

    switch (db->outcome) {

    case NGX_LITESTREAM_OUTCOME_RESTORED:
        rdb->st.restore_state = NGX_LITESTREAM_RESTORE_DONE;
        rdb->st.restore_error[0] = '\0';
        rdb->st.restore_txid = db->restored_txid;
        rdb->st.restore_bytes = db->restored_bytes;
        rdb->st.restore_total = db->restored_bytes;
        rdb->st.restore_ms = db->restored_ms;
        break;

    case NGX_LITESTREAM_OUTCOME_NEW:
        rdb->st.state = NGX_LITESTREAM_DB_NEW;
        break;

    case NGX_LITESTREAM_OUTCOME_OFF:
        rdb->st.state = NGX_LITESTREAM_DB_MISSING;
        rdb->st.in_place = 0;
        break;

    default:

        if (rdb->st.restore_state == NGX_LITESTREAM_RESTORE_RUNNING) {
            rdb->st.restore_state = NGX_LITESTREAM_RESTORE_NONE;
        }
    }

    if (db->outcome == NGX_LITESTREAM_OUTCOME_PRESENT
        || db->outcome == NGX_LITESTREAM_OUTCOME_RESTORED)
    {
        rdb->st.state = NGX_LITESTREAM_DB_STARTING;
    }

    ngx_litestream_watch(rdb);
    ngx_litestream_status_db_write(rdb);
}


static void
ngx_litestream_tick_handler(ngx_event_t *ev)
{
    int64_t                   now;
    ngx_uint_t                i;
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_rgroup_t  *rg;

    ngx_add_timer(ev, NGX_LITESTREAM_TICK);

    if (ngx_litestream_sup->restore_only) {
        ngx_litestream_progress();
        return;
    }

    if (!ngx_litestream_sup->orphan
        && ngx_getppid() != ngx_litestream_sup->master)
    {
        ngx_litestream_sup->orphan = 1;

        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: the master process has died, the "
                      "supervisor ends after the last worker");
        ngx_litestream_check_quit();
    }

    if (!ngx_litestream_sup->holder) {
        return;
    }

    if (ngx_litestream_sup->st.storm
        && ngx_litestream_now() - ngx_litestream_sup->st.started > 2000)
    {
        ngx_litestream_sup->st.storm = 0;
    }

    now = ngx_litestream_now();

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {

        rg = &ngx_litestream_sup->rgroups[i];

        if (!rg->files) {
            rg->files = (ngx_litestream_group_files(rg) == NGX_OK);
        }

        ngx_litestream_poll(rg);
        ngx_litestream_status_group_write(rg);
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = &ngx_litestream_sup->rdbs[i];

        ngx_litestream_watch(rdb);

        /*
         * one that has not been synced yet, or is late: asked for, since
         * Litestream's own attempts come minutes apart after an outage
         */

        if (rdb->running && rdb->group->state == NGX_LITESTREAM_UP
            && rdb->st.state != NGX_LITESTREAM_DB_NEW && !rdb->syncing
            && (!rdb->synced
                || ngx_litestream_lag(&rdb->st, now) > rdb->st.lag_limit_ms))
        {
            ngx_litestream_sync(rdb, NULL);
        }

        ngx_litestream_status_db_write(rdb);
    }

    ngx_litestream_memory_save();
    ngx_litestream_status_super_write();
}


/* a line every few seconds on the terminal where nginx is being started */

static void
ngx_litestream_progress(void)
{
    u_char                *p;
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;
    u_char                 text[NGX_MAX_ERROR_STR];

    if (ngx_current_msec - ngx_litestream_said < 2000) {
        return;
    }

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = &ngx_litestream_sup->rdbs[i];

        if (rdb->job == NULL
            || rdb->st.restore_state != NGX_LITESTREAM_RESTORE_RUNNING)
        {
            continue;
        }

        if (rdb->st.restore_total > 0) {
            p = ngx_snprintf(text, sizeof(text),
                             "nginx: litestream: restoring \"%V\": %L of %L "
                             "bytes" NGX_LINEFEED, &rdb->db->alias,
                             rdb->st.restore_bytes, rdb->st.restore_total);

        } else {
            p = ngx_snprintf(text, sizeof(text),
                             "nginx: litestream: restoring \"%V\": waiting "
                             "for \"%V\"" NGX_LINEFEED, &rdb->db->alias,
                             &rdb->db->replica->url);
        }

        (void) ngx_write_fd(ngx_stderr, text, p - text);

        ngx_litestream_progress_limit(&rdb->st);
    }

    ngx_litestream_said = ngx_current_msec;
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
 * own: a child of our master, or of one that is dead.  In an upgrade and in a
 * roll-back there are others, whose supervisor comes after us: they are served
 * as well, and not waited for at the end.
 */

void
ngx_litestream_worker_came(ngx_uint_t own)
{
    ngx_uint_t  i;

    if (own) {
        ngx_litestream_sup->workers++;

    } else {
        ngx_litestream_sup->others++;
    }

    if (ngx_litestream_sup->had_worker) {
        return;
    }

    ngx_litestream_sup->had_worker = 1;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        ngx_litestream_group_kick(&ngx_litestream_sup->rgroups[i]);
    }
}


void
ngx_litestream_worker_gone(ngx_uint_t own)
{
    if (!own) {
        ngx_litestream_sup->others--;
        return;
    }

    ngx_litestream_sup->workers--;

    ngx_litestream_check_quit();
}


/*
 * QUIT: a first sync at once, then the workers drain, a last sync, the end.
 * TERM: one sync in at most a second, since the master kills soon.
 */

static void
ngx_litestream_quit(ngx_uint_t terminate)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    if (ngx_litestream_sup->restore_only) {

        if (ngx_litestream_sup->terminating) {
            return;
        }

        ngx_litestream_sup->terminating = 1;

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            rdb = &ngx_litestream_sup->rdbs[i];

            if (rdb->job) {
                ngx_litestream_job_kill(rdb->job);
            }
        }

        if (ngx_litestream_children() == 0) {
            ngx_litestream_exit(1);
        }

        return;
    }

    if (terminate) {

        if (ngx_litestream_sup->terminating) {
            return;
        }

        ngx_litestream_sup->terminating = 1;

        if (ngx_litestream_sup->final) {

            /* quit was under way: less time is left now */

            ngx_litestream_quit_handler(&ngx_litestream_sup->quit_timer);
            return;
        }

        ngx_litestream_check_quit();
        return;
    }

    if (ngx_litestream_sup->quitting) {
        return;
    }

    ngx_litestream_sup->quitting = 1;

    if (ngx_litestream_sup->holder && !ngx_litestream_sup->leaving) {

        for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
            rdb = &ngx_litestream_sup->rdbs[i];

            if (rdb->running && rdb->st.state != NGX_LITESTREAM_DB_NEW) {
                ngx_litestream_sync(rdb, NULL);
            }
        }
    }

    ngx_litestream_check_quit();
}


/*
 * A successor asks: everything is ended in order, then the lock is free.  One
 * of an earlier reload that still asks is none.
 */

void
ngx_litestream_handover(uint64_t generation)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    if (!ngx_litestream_sup->holder || ngx_litestream_sup->leaving
        || ngx_litestream_sup->stopping
        || generation < ngx_litestream_generation)
    {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                  "litestream: supervisor %P hands over", ngx_pid);

    ngx_litestream_sup->leaving = 1;
    ngx_litestream_sup->deadline = ngx_current_msec
                           + ngx_litestream_sup->conf->shutdown_timeout;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {
        rdb = &ngx_litestream_sup->rdbs[i];

        if (rdb->job) {
            ngx_litestream_job_kill(rdb->job);
        }

        if (rdb->verify) {
            ngx_litestream_job_kill(rdb->verify);
        }

        if (rdb->retry.timer_set) {
            ngx_del_timer(&rdb->retry);
        }
    }

    ngx_litestream_stop_all();

    ngx_add_timer(&ngx_litestream_sup->quit_timer, 1);
}


static void
ngx_litestream_stop_all(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        ngx_litestream_group_stop(&ngx_litestream_sup->rgroups[i]);
    }
}


/*
 * How long a Litestream that was told to end may take, in ms.  After a stop
 * whose syncs were all confirmed nothing is lost with it; without that it may
 * outlive us and finish its own.
 */

ngx_msec_t
ngx_litestream_stop_limit(void)
{
    ngx_msec_int_t                left;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (!sup->stopping) {
        return sup->conf->shutdown_timeout;
    }

    if (sup->terminating) {
        return sup->missed ? sup->conf->shutdown_timeout : 500;
    }

    left = (ngx_msec_int_t) (sup->deadline - ngx_current_msec);

    return ngx_max(left, 1000);
}


static ngx_uint_t
ngx_litestream_all_down(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {
        if (ngx_litestream_sup->rgroups[i].proc.pid != -1) {
            return 0;
        }
    }

    return ngx_litestream_children() == 0;
}


/* called after whatever may have been waited for; goes one step on */

void
ngx_litestream_check_quit(void)
{
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (sup->restore_only) {

        if (sup->unplaced == 0 && ngx_litestream_children() == 0) {
            ngx_litestream_exit(sup->failed || sup->terminating);
        }

        return;
    }

    if (!sup->quitting && !sup->terminating && !sup->orphan && !sup->leaving) {
        return;
    }

    /* what follows may free what our caller still uses */

    if (!sup->quit_timer.timer_set
        || (ngx_msec_int_t) (sup->quit_timer.timer.key - ngx_current_msec) > 1)
    {
        if (sup->quit_timer.timer_set) {
            ngx_del_timer(&sup->quit_timer);
        }

        ngx_add_timer(&sup->quit_timer, 1);
    }
}


static void
ngx_litestream_quit_handler(ngx_event_t *ev)
{
    ngx_msec_int_t                left;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (!sup->holder) {

        if (sup->quitting || sup->terminating || sup->orphan) {
            ngx_litestream_exit(0);
        }

        return;
    }

    if (sup->leaving) {

        if (ngx_litestream_all_down()) {
            ngx_litestream_release();
            return;
        }

        ngx_add_timer(ev, 500);
        return;
    }

    if (!sup->final) {

        if (!sup->terminating && sup->workers) {
            return;
        }

        ngx_litestream_final();
    }

    if (!sup->stopping) {

        if (sup->terminating) {
            sup->deadline = ngx_min(sup->deadline, ngx_current_msec + 1000);
        }

        left = (ngx_msec_int_t) (sup->deadline - ngx_current_msec);

        if (sup->unsynced && left > 0) {
            ngx_add_timer(ev, left);
            return;
        }

        sup->stopping = 1;
        sup->deadline = ngx_max(sup->deadline, ngx_current_msec + 1000);

        ngx_litestream_final_unsynced();
        ngx_litestream_stop_all();
    }

    if (ngx_litestream_all_down()) {
        ngx_litestream_exit(0);
    }

    /* each process has its own limit, this is for what is forgotten */

    ngx_add_timer(ev, 500);
}


/* the last sync of every database; nobody writes any more, or must hurry */

static void
ngx_litestream_final(void)
{
    ngx_uint_t                    i;
    ngx_litestream_rdb_t         *rdb;
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    sup->final = 1;
    sup->state = NGX_LITESTREAM_STOPPING;
    sup->deadline = ngx_current_msec
                    + (sup->terminating ? 1000 : sup->conf->shutdown_timeout);

    for (i = 0; i < sup->conf->dbs.nelts; i++) {

        rdb = &sup->rdbs[i];

        if (rdb->job) {
            ngx_litestream_job_kill(rdb->job);
        }

        if (rdb->verify) {
            ngx_litestream_job_kill(rdb->verify);
        }

        if (rdb->retry.timer_set) {
            ngx_del_timer(&rdb->retry);
        }

        ngx_litestream_watch(rdb);

        /* what was never made needs no sync */

        if (!rdb->db->replicate || rdb->st.size <= 0) {
            continue;
        }

        rdb->waits = 1;

        if (!rdb->running || rdb->group->state == NGX_LITESTREAM_STOPPING) {
            continue;
        }

        sup->unsynced++;

        rdb->last.handler = ngx_litestream_final_synced;
        rdb->last.data = rdb;
        rdb->last.start = ngx_current_msec;
        rdb->last.deadline = sup->deadline - 50;

        ngx_litestream_sync(rdb, &rdb->last);
    }

    ngx_litestream_status_super_write();
}


static void
ngx_litestream_final_synced(ngx_litestream_waiter_t *w, ngx_int_t rc,
    uint64_t txid, char *error)
{
    ngx_litestream_rdb_t  *rdb;

    rdb = w->data;

    ngx_litestream_sup->unsynced--;

    if (rc == NGX_OK) {
        rdb->waits = 0;
    }

    ngx_litestream_check_quit();
}


/* said before anything else is waited for: the next may be a KILL */

static void
ngx_litestream_final_unsynced(void)
{
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = &ngx_litestream_sup->rdbs[i];

        if (!rdb->waits) {
            continue;
        }

        rdb->waits = 0;
        ngx_litestream_sup->missed += rdb->running;

        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was not synced before the "
                      "end: its last commits may not be in \"%V\"%s%s",
                      &rdb->db->alias, &rdb->db->replica->url,
                      rdb->st.error[0] ? ": " : "", rdb->st.error);
    }
}


/* the lock goes to the successor; this one waits for QUIT, or to follow it */

static void
ngx_litestream_release(void)
{
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    ngx_litestream_memory_flush();

    sup->st.clean = NGX_LITESTREAM_CLEAN_HANDOVER;
    ngx_litestream_status_super_write();

    sup->holder = 0;
    sup->leaving = 0;
    sup->state = NGX_LITESTREAM_STANDBY;

    ngx_litestream_unlock();
    ngx_litestream_ipc_unlisten();

    if (sup->quitting || sup->terminating || sup->orphan) {
        ngx_litestream_exit(0);
    }

    /*
     * The master's QUIT follows within 100 ms of a reload.  In an upgrade it
     * does not come: should the lock be free again, the new binary is gone,
     * and a fresh process of the old one takes over.
     */

    sup->lock_timer.handler = ngx_litestream_follow_handler;
    ngx_add_timer(&sup->lock_timer, 2000);
}


static void
ngx_litestream_follow_handler(ngx_event_t *ev)
{
    if (ngx_litestream_lock(ngx_litestream_sup->conf, ngx_litestream_sup->log)
        == NGX_OK)
    {
        /* the master respawns us */
        ngx_litestream_exit(0);
    }

    ngx_add_timer(ev, 1000);
}


static void
ngx_litestream_exit(int status)
{
    ngx_litestream_supervisor_t  *sup;

    sup = ngx_litestream_sup;

    if (sup->holder) {

        ngx_litestream_memory_flush();

        /* those who remain are of another master, whose supervisor follows */

        sup->st.clean = ((sup->restore_only && status == 0) || sup->others)
                        ? NGX_LITESTREAM_CLEAN_HANDOVER
                        : NGX_LITESTREAM_CLEAN_END;
        ngx_litestream_status_super_write();

        if (!sup->restore_only) {

            (void) unlink((char *) sup->conf->socket.data);

            ngx_log_error(NGX_LOG_NOTICE, sup->log, 0,
                          "litestream: supervisor %P ends", ngx_pid);
        }
    }

    exit(status);
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
            ngx_memcpy(ngx_litestream_known, report.version,
                       sizeof(ngx_litestream_known));
        }
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
