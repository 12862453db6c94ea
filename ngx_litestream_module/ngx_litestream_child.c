
/*
 * Copyright (C) the ngx_litestream authors
 */


/* one "litestream replicate" for each group: start, states, end */


#include "ngx_litestream_old.h"


#define NGX_LITESTREAM_PIPE_SIZE   (1024 * 1024)

/*
 * A group that waits for another one looks so often, in ms, and waits so long
 * for its checks
 */
#define NGX_LITESTREAM_TURN        50
#define NGX_LITESTREAM_TURN_LIMIT  10000


static void ngx_litestream_group_event(ngx_litestream_rgroup_t *rg,
    ngx_uint_t event);
static void ngx_litestream_group_kick_handler(ngx_event_t *ev);
static void ngx_litestream_group_timer_handler(ngx_event_t *ev);
static ngx_uint_t ngx_litestream_group_waits(ngx_litestream_rgroup_t *rg,
    ngx_uint_t checks);
static void ngx_litestream_group_start(ngx_litestream_rgroup_t *rg);
static pid_t ngx_litestream_group_spawn(ngx_litestream_rgroup_t *rg);
static void ngx_litestream_group_exited(ngx_litestream_proc_t *proc,
    int status);
static void ngx_litestream_group_again(ngx_litestream_rgroup_t *rg);


ngx_int_t
ngx_litestream_group_init(ngx_litestream_rgroup_t *rg)
{
    ngx_queue_init(&rg->calls);
    ngx_queue_init(&rg->want);

    rg->proc.pid = -1;
    rg->state = NGX_LITESTREAM_DOWN;

    rg->timer.handler = ngx_litestream_group_timer_handler;
    rg->timer.data = rg;
    rg->timer.log = ngx_litestream_sup->log;

    rg->kick.handler = ngx_litestream_group_kick_handler;
    rg->kick.data = rg;
    rg->kick.log = ngx_litestream_sup->log;

    rg->line = ngx_palloc(ngx_litestream_sup->pool, NGX_LITESTREAM_LINE_LEN);
    if (rg->line == NULL) {
        return NGX_ERROR;
    }

    ngx_litestream_copy(rg->st.name, sizeof(rg->st.name),
                        rg->group->name.data, rg->group->name.len);
    ngx_litestream_copy(rg->st.user, sizeof(rg->st.user),
                        rg->group->user.data, rg->group->user.len);
    ngx_litestream_copy(rg->st.version, sizeof(rg->st.version),
                        (u_char *) ngx_litestream_sup->version,
                        ngx_strlen(ngx_litestream_sup->version));

    rg->st.count = rg->rdbs.nelts;

    return NGX_OK;
}


static void
ngx_litestream_group_event(ngx_litestream_rgroup_t *rg, ngx_uint_t event)
{
    ngx_uint_t  state;

    state = ngx_litestream_next_state(rg->state, event);

    if (state == rg->state) {
        return;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_CORE, ngx_litestream_sup->log, 0,
                   "litestream: group %V: %s -> %s", &rg->group->name,
                   ngx_litestream_state_names[rg->state],
                   ngx_litestream_state_names[state]);

    rg->state = state;
    rg->since = ngx_current_msec;

    ngx_litestream_status_group_write(rg);
}


/*
 * Something has changed: looks, a little later, whether Litestream is to be
 * started, or started anew with other databases.
 */

void
ngx_litestream_group_kick(ngx_litestream_rgroup_t *rg)
{
    if (rg->kick.timer_set) {
        ngx_del_timer(&rg->kick);
    }

    ngx_add_timer(&rg->kick, 1);
}


static void
ngx_litestream_group_kick_handler(ngx_event_t *ev)
{
    ngx_uint_t                i, cleared, gone, kept, other, pending;
    ngx_msec_t                limit, passed;
    ngx_litestream_rdb_t     *rdb, **rdbs;
    ngx_litestream_rgroup_t  *rg;

    rg = ev->data;

    if (!ngx_litestream_sup->holder || !ngx_litestream_sup->had_worker
        || ngx_litestream_sup->final || ngx_litestream_sup->stopping
        || ngx_litestream_sup->leaving || ngx_litestream_sup->terminating)
    {
        return;
    }

    if (rg->state != NGX_LITESTREAM_DOWN && rg->state != NGX_LITESTREAM_UP
        && rg->state != NGX_LITESTREAM_STARTING)
    {
        return;
    }

    cleared = 0;
    gone = 0;
    kept = 0;
    other = 0;
    pending = 0;

    rdbs = rg->rdbs.elts;

    /* a directory that is looked through for the first time may bring some */

    pending += rg->scans;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];

        cleared += rdb->cleared;
        gone += (rdb->running && !rdb->cleared);
        kept += (rdb->kept && rdb->cleared);
        pending += (rdb->checking && !rdb->slow);
        other += (rdb->cleared != rdb->running);
    }

    if (rg->state == NGX_LITESTREAM_DOWN ? cleared == 0 : other == 0) {
        rg->due = 0;
        return;
    }

    /*
     * what is to be added waits until it is up: told to end before that, it
     * may have no handler yet and die of the signal, all it has is compared
     * anew, is ready while the next one comes up, and so on for ever
     */

    if (rg->state == NGX_LITESTREAM_STARTING && gone == 0) {
        rg->due = 0;
        return;
    }

    /* a start that is not needed is no pause at all */

    if (rg->state != NGX_LITESTREAM_DOWN && !rg->restart
        && ngx_litestream_live(rg))
    {
        rg->due = 0;
        return;
    }

    if (!rg->due) {
        rg->due = 1;
        rg->kicked = ngx_current_msec;
    }

    /* each start that can be saved is a pause less */

    limit = (rg->state != NGX_LITESTREAM_DOWN) ? NGX_LITESTREAM_GATHER_MORE
            : kept ? 0 : NGX_LITESTREAM_GATHER;

    passed = ngx_current_msec - rg->kicked;

    if (pending && passed < limit && rg->guard == NULL) {
        ngx_add_timer(&rg->kick, limit - passed);
        return;
    }

    if (rg->state == NGX_LITESTREAM_DOWN
        && ngx_litestream_group_waits(rg, passed < NGX_LITESTREAM_TURN_LIMIT))
    {
        ngx_add_timer(&rg->kick, NGX_LITESTREAM_TURN);
        return;
    }

    rg->due = 0;

    if (rg->state == NGX_LITESTREAM_DOWN) {

        if (!ngx_litestream_kind->guard) {
            ngx_litestream_group_start(rg);

        } else if (rg->guard == NULL) {
            ngx_litestream_guard(rg);

        } else if (ngx_litestream_guard_ready(rg)) {
            ngx_litestream_group_start(rg);
        }

        return;
    }

    rg->restart = 1;
    ngx_litestream_group_stop(rg);
}


/*
 * Groups that connect to the same SFTP server when they start do so one after
 * the other, and not beside checks of others, which connect to it as well: see
 * NGX_LITESTREAM_GROUP_SFTP
 */

static ngx_uint_t
ngx_litestream_group_waits(ngx_litestream_rgroup_t *rg, ngx_uint_t checks)
{
    ngx_uint_t                 i, n, k, starting;
    ngx_litestream_rdb_t     **one, **two;
    ngx_litestream_rgroup_t   *other;

    if (!ngx_litestream_group_is(rg->group, "sftp")) {
        return 0;
    }

    one = rg->rdbs.elts;

    for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {

        other = &ngx_litestream_sup->rgroups[i];

        if (other == rg || !ngx_litestream_group_is(other->group, "sftp")) {
            continue;
        }

        two = other->rdbs.elts;
        starting = (other->state == NGX_LITESTREAM_STARTING);

        for (k = 0; k < other->rdbs.nelts; k++) {

            if (!(starting && two[k]->running)
                && !(checks && two[k]->checking))
            {
                continue;
            }

            for (n = 0; n < rg->rdbs.nelts; n++) {
                if (one[n]->cleared
                    && ngx_litestream_same_server(one[n], two[k]))
                {
                    return 1;
                }
            }
        }
    }

    return 0;
}


static void
ngx_litestream_group_start(ngx_litestream_rgroup_t *rg)
{
    u_char                *use;
    pid_t                  pid;
    ngx_uint_t             i;
    ngx_litestream_rdb_t  *rdb, **rdbs;

    use = ngx_calloc(ngx_litestream_sup->conf->dbs.nelts,
                     ngx_litestream_sup->log);
    if (use == NULL) {
        return;
    }

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];

        rdb->running = ngx_litestream_guarded(rdb);
        rdb->synced = 0;
        rdb->kept = 0;
        use[rdb->index] = rdb->running;
    }

    rg->killed = 0;
    rg->was_up = 0;
    rg->misses = 0;
    rg->last[0] = '\0';
    rg->culprit = NULL;
    rg->line_len = 0;

    pid = -1;

    ngx_litestream_sweep_left(rg->group, "litestream-webdav-");

    if (ngx_litestream_group_file(rg, "litestream.yml", use) == NGX_OK) {
        pid = ngx_litestream_group_spawn(rg);
    }

    ngx_free(use);

    ngx_litestream_group_event(rg, NGX_LITESTREAM_EV_WANTED);

    if (pid == -1) {
        (void) snprintf(rg->st.last_exit, sizeof(rg->st.last_exit),
                        "could not be started, see the log");
        ngx_litestream_guard_end(rg);
        ngx_litestream_group_again(rg);
        return;
    }

    ngx_litestream_proc_add(&rg->proc, pid, ngx_litestream_group_exited, rg);

    ngx_litestream_guard_pid(rg, pid);

    rg->st.pid = pid;
    rg->st.started = ngx_litestream_now();

    ngx_litestream_status_group_write(rg);

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];

        if (rdb->running && !rdb->fault
            && rdb->st.state != NGX_LITESTREAM_DB_NEW)
        {
            rdb->st.state = NGX_LITESTREAM_DB_STARTING;
            rdb->st.error[0] = '\0';
            ngx_litestream_status_db_write(rdb);
        }
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_litestream_sup->log, 0,
                  "litestream: start litestream process %P of group %V",
                  pid, &rg->group->name);

    ngx_add_timer(&rg->timer, NGX_LITESTREAM_START_LIMIT);

    ngx_litestream_probe(rg);
}


static pid_t
ngx_litestream_group_spawn(ngx_litestream_rgroup_t *rg)
{
    int                     p[2];
    char                   *argv[8], **env;
    pid_t                   pid;
    ngx_log_t              *log;
    ngx_pool_t             *pool;
    ngx_connection_t       *c;
    ngx_litestream_exec_t   ex;

    log = ngx_litestream_sup->log;

    if (pipe2(p, O_CLOEXEC) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: pipe2() failed");
        return -1;
    }

    /* less would do, a flood then waits for us: not fatal */
    (void) fcntl(p[1], F_SETPIPE_SZ, NGX_LITESTREAM_PIPE_SIZE);

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        goto failed;
    }

    env = ngx_litestream_environ(pool, rg->group);
    if (env == NULL || ngx_litestream_mcp(pool, rg, env) != NGX_OK) {
        ngx_destroy_pool(pool);
        goto failed;
    }

    if (ngx_nonblocking(p[0]) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "litestream: " ngx_nonblocking_n " failed");
        ngx_destroy_pool(pool);
        goto failed;
    }

    argv[0] = (char *) ngx_litestream_sup->conf->bin.data;
    argv[1] = "replicate";
    argv[2] = "-no-expand-env";
    argv[3] = "-config";
    argv[4] = (char *) rg->group->yml.data;
    argv[5] = NULL;

    ngx_memzero(&ex, sizeof(ngx_litestream_exec_t));

    ex.argv = argv;
    ex.envp = env;
    ex.group = rg->group;
    ex.out = p[1];
    ex.err = p[1];
    ex.death = SIGTERM;
    ex.locks = 1;
    ex.nofile = 1024 + 8 * (rg->group->dirs.nelts ? NGX_LITESTREAM_MAX_DBS
                                                  : rg->rdbs.nelts);

    /* with both ends it can still log when we are dead, see SIGPIPE */

    ex.keep[0] = p[0];
    ex.nkeep = 1;

    pid = ngx_litestream_exec(&ex, log);

    ngx_destroy_pool(pool);

    if (pid == -1) {
        goto failed;
    }

    (void) close(p[1]);

    c = ngx_get_connection(p[0], log);

    if (c == NULL) {
        (void) kill(pid, SIGKILL);
        (void) close(p[0]);
        return pid;
    }

    c->data = rg;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_litestream_group_read_handler;

    rg->log = c;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        (void) kill(pid, SIGKILL);
    }

    return pid;

failed:

    (void) close(p[0]);
    (void) close(p[1]);

    return -1;
}


/* our own child has answered on the control socket */

void
ngx_litestream_group_up(ngx_litestream_rgroup_t *rg)
{
    if (rg->state != NGX_LITESTREAM_STARTING) {
        return;
    }

    if (rg->timer.timer_set) {
        ngx_del_timer(&rg->timer);
    }

    rg->was_up = 1;
    rg->misses = 0;

    ngx_litestream_group_event(rg, NGX_LITESTREAM_EV_UP);

    ngx_litestream_sync_up(rg);

    /* a database may have been cleared meanwhile */

    ngx_litestream_group_kick(rg);
}


/*
 * TERM, and KILL when litestream_shutdown_timeout has passed.  One that is to
 * be started again need not upload all: a second TERM makes it leave that, and
 * the pause of those whose storages are well is short.
 */

void
ngx_litestream_group_stop(ngx_litestream_rgroup_t *rg)
{
    if (rg->proc.pid == -1) {

        ngx_litestream_guard_end(rg);

        if (rg->state != NGX_LITESTREAM_STOPPING) {
            rg->state = NGX_LITESTREAM_DOWN;

            if (rg->timer.timer_set) {
                ngx_del_timer(&rg->timer);
            }
        }

        return;
    }

    if (rg->state == NGX_LITESTREAM_STOPPING) {
        return;
    }

    ngx_litestream_group_event(rg, NGX_LITESTREAM_EV_STOP);

    (void) kill(rg->proc.pid, SIGTERM);

    if (rg->timer.timer_set) {
        ngx_del_timer(&rg->timer);
    }

    ngx_add_timer(&rg->timer, rg->restart ? NGX_LITESTREAM_RESTART_LIMIT
                                          : ngx_litestream_stop_limit());
}


/* kills the process and all it has started; it is seen as an exit later */

void
ngx_litestream_group_kill(ngx_litestream_rgroup_t *rg, char *why)
{
    if (rg->proc.pid == -1) {
        return;
    }

    if (why && !rg->killed) {
        rg->killed = 1;

        ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                      "litestream: litestream process %P of group %V %s, "
                      "killed", rg->proc.pid, &rg->group->name, why);

        (void) snprintf(rg->last, sizeof(rg->last), "%s", why);
    }

    (void) kill(-rg->proc.pid, SIGKILL);
    (void) kill(rg->proc.pid, SIGKILL);
}


static void
ngx_litestream_group_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                i;
    ngx_litestream_rdb_t    **rdbs;
    ngx_litestream_rgroup_t  *rg;

    rg = ev->data;

    switch (rg->state) {

    case NGX_LITESTREAM_STARTING:
        ngx_litestream_group_kill(rg, "did not answer after its start");
        break;

    case NGX_LITESTREAM_STOPPING:

        if (rg->restart) {
            rg->restart = 0;

            if (ngx_litestream_sup->final || ngx_litestream_sup->leaving) {

                /* it is the end now: what it uploads counts again */

                ngx_add_timer(&rg->timer, ngx_litestream_stop_limit());
                break;
            }

            (void) kill(rg->proc.pid, SIGTERM);

            ngx_add_timer(&rg->timer, NGX_LITESTREAM_RESTART_LIMIT);
            break;
        }

        ngx_litestream_group_kill(rg, "did not end in time");
        break;

    case NGX_LITESTREAM_BACKOFF:
    case NGX_LITESTREAM_FAILED:

        ngx_litestream_group_event(rg, NGX_LITESTREAM_EV_TIMER);

        /* the databases are compared with their replicas before each start */

        rdbs = rg->rdbs.elts;

        for (i = 0; i < rg->rdbs.nelts; i++) {
            if (!rdbs[i]->kept) {
                ngx_litestream_recheck(rdbs[i]);
            }
        }

        ngx_litestream_group_kick(rg);
        break;
    }
}


static void
ngx_litestream_group_exited(ngx_litestream_proc_t *proc, int status)
{
    pid_t                     pid;
    ngx_uint_t                i, clean, level, expected;
    ngx_litestream_rdb_t     *rdb, **rdbs;
    ngx_litestream_rgroup_t  *rg;
    char                      how[64];

    rg = proc->data;
    pid = rg->st.pid;

    /* what it has started shall not outlive it */
    (void) kill(-pid, SIGKILL);

    if (rg->log) {
        ngx_litestream_group_read(rg, 1);
    }

    if (rg->log) {
        ngx_close_connection(rg->log);
        rg->log = NULL;
    }

    if (rg->timer.timer_set) {
        ngx_del_timer(&rg->timer);
    }

    ngx_litestream_control_cancel(rg);
    ngx_litestream_live_down(rg);
    ngx_litestream_guard_end(rg);
    ngx_litestream_old_end(rg);

    rg->polling = 0;
    rg->listing = 0;
    rg->syncs = 0;

    if (WIFSIGNALED(status)) {
        (void) snprintf(how, sizeof(how), "exited on signal %d",
                        WTERMSIG(status));

    } else {
        (void) snprintf(how, sizeof(how), "exited with code %d",
                        WEXITSTATUS(status));
    }

    (void) snprintf(rg->st.last_exit, sizeof(rg->st.last_exit), "%s%s%.180s",
                    how, rg->last[0] ? ": " : "", rg->last);

    expected = (rg->state == NGX_LITESTREAM_STOPPING);
    clean = expected && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    level = expected ? NGX_LOG_NOTICE : NGX_LOG_ERR;

    ngx_log_error(level, ngx_litestream_sup->log, 0,
                  "litestream: litestream process %P of group %V %s",
                  pid, &rg->group->name, rg->st.last_exit);

    rg->st.pid = 0;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdb = rdbs[i];

        /*
         * nobody else has written there: were all of them compared anew for
         * each that is added, many would never come up together.  A WebDAV
         * server that hangs would keep all of them from being started.
         */

        rdb->kept = rdb->cleared && !rdb->fault && (clean || !rdb->running)
                    && !(rdb->hung
                         && ngx_litestream_group_is(rg->group, "webdav"));

        if (rdb->running) {
            rdb->running = 0;
            rdb->synced = 0;

            if (rdb->st.state != NGX_LITESTREAM_DB_NEW && !rdb->fault) {
                rdb->st.state = NGX_LITESTREAM_DB_STARTING;

                if (!expected) {
                    (void) snprintf(rdb->st.error, sizeof(rdb->st.error),
                                    "litestream %s", rg->st.last_exit);
                }
            }

            ngx_litestream_status_db_write(rdb);
        }
    }

    ngx_litestream_sync_down(rg);

    ngx_litestream_group_event(rg, NGX_LITESTREAM_EV_EXIT);

    if (ngx_litestream_sup->final || ngx_litestream_sup->stopping
        || ngx_litestream_sup->leaving || ngx_litestream_sup->terminating)
    {
        rg->state = NGX_LITESTREAM_DOWN;
        ngx_litestream_status_group_write(rg);
        ngx_litestream_check_quit();
        return;
    }

    if (expected) {

        /* stopped to be started with other databases */

        rg->restart = 0;

        for (i = 0; i < rg->rdbs.nelts; i++) {
            if (!rdbs[i]->kept) {
                ngx_litestream_recheck(rdbs[i]);
            }
        }

        ngx_litestream_group_kick(rg);
        return;
    }

    if (ngx_litestream_group_leave_out(rg)) {
        rg->st.restarts++;

        ngx_litestream_group_event(rg, NGX_LITESTREAM_EV_TIMER);
        ngx_litestream_group_kick(rg);
        return;
    }

    ngx_litestream_group_again(rg);
}


static void
ngx_litestream_group_again(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t             i;
    ngx_msec_t             up, delay;
    ngx_litestream_rdb_t  *rdb, **rdbs;

    up = rg->was_up ? (ngx_msec_t) (ngx_litestream_now() - rg->st.started)
                    : 0;

    delay = ngx_litestream_next_delay(&rg->deaths, rg->was_up, up);
    rg->was_up = 0;
    rg->st.restarts++;

    rg->state = (delay < NGX_LITESTREAM_BACKOFF_MAX)
                ? NGX_LITESTREAM_BACKOFF : NGX_LITESTREAM_FAILED;

    /* what it died of is told by each of its databases */

    if (rg->state == NGX_LITESTREAM_FAILED) {

        rdbs = rg->rdbs.elts;

        for (i = 0; i < rg->rdbs.nelts; i++) {
            rdb = rdbs[i];

            if (rdb->cleared && !rdb->fault) {
                rdb->st.state = NGX_LITESTREAM_DB_ERROR;
                (void) snprintf(rdb->st.error, sizeof(rdb->st.error),
                                "litestream keeps ending: %s",
                                rg->st.last_exit);
                ngx_litestream_status_db_write(rdb);
            }
        }
    }

    ngx_litestream_status_group_write(rg);

    if (delay) {
        ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                      "litestream: group %V is started again in %M ms",
                      &rg->group->name, delay);
    }

    ngx_add_timer(&rg->timer, delay ? delay : 1);
}
