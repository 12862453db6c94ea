
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * wait: until databases are in place.  Only the status file is looked at, a
 * few times in a second: whoever may read that may wait, and nginx need not
 * run yet.
 */


#include "cli.h"


#define CLI_WAIT_STEP        100
#define CLI_WAIT_STEP_MANY   500

/* ms that a database may be unknown to a supervisor: a reload takes time */
#define CLI_WAIT_UNKNOWN     10000

/* ms that an error stands which is not that of an attempt to restore */
#define CLI_WAIT_STANDS      5000

/* ms between two lines about the progress of a restore */
#define CLI_WAIT_PROGRESS    10000

/* ms after which a state path that was guessed is looked for once more */
#define CLI_WAIT_FIND        5000


typedef enum {
    CLI_WAIT_NOT_YET = 0,
    CLI_WAIT_IN_PLACE,
    CLI_WAIT_NEVER
} cli_wait_e;


typedef struct {
    uint64_t                        id;        /* 0: name is not known */
    const char                     *name;
    int                             attempts;  /* failed before we came */
    int64_t                         since;     /* of reason */
    int64_t                         progress;
    char                            reason[CLI_ERROR_LEN];
    char                            said[CLI_ERROR_LEN];
} cli_waited_t;


typedef struct {
    cli_options_t                  *o;
    cli_state_t                    *st;
    cli_waited_t                   *dbs;
    int                             n;
    char                            said[CLI_ERROR_LEN];  /* of nginx */
    char                            reason[CLI_ERROR_LEN];
    int                             code;
} cli_wait_t;


static cli_wait_e cli_wait_look(cli_wait_t *w);
static cli_wait_e cli_wait_db(cli_wait_t *w, ngx_litestream_db_status_t *db);
static cli_wait_e cli_wait_dir(cli_wait_t *w,
    ngx_litestream_dir_status_t *dir);
static cli_wait_e cli_wait_unknown(cli_wait_t *w, const char *name);
static cli_wait_e cli_wait_error(cli_waited_t *wd,
    ngx_litestream_db_status_t *db, int64_t now);
static cli_waited_t *cli_wait_get(cli_wait_t *w, uint64_t id,
    const char *name);
static void cli_wait_reason(cli_waited_t *wd, const char *reason);
static void cli_wait_say(cli_waited_t *wd, const char *name);
static void cli_wait_progress(cli_waited_t *wd,
    ngx_litestream_db_status_t *db);


int
cli_wait(cli_options_t *o)
{
    int         rc;
    int64_t     begin, left, step, found;
    cli_wait_e  verdict;
    cli_wait_t  w;

    memset(&w, 0, sizeof(cli_wait_t));

    w.o = o;
    w.st = calloc(1, sizeof(cli_state_t));

    if (w.st == NULL) {
        cli_error("no memory");
        return CLI_NO;
    }

    begin = cli_clock();

    rc = cli_find(o, w.st);

    if (rc != CLI_YES) {
        return rc;
    }

    found = cli_clock();

    for ( ;; ) {

        verdict = cli_wait_look(&w);

        if (verdict == CLI_WAIT_IN_PLACE) {
            return CLI_YES;
        }

        if (o->timeout == 0) {
            cli_error("%s", w.reason);
            return CLI_NO;
        }

        if (verdict == CLI_WAIT_NEVER) {
            cli_error("not waiting any longer: %s", w.reason);
            return w.code;
        }

        step = (w.st->n_dbs > 100) ? CLI_WAIT_STEP_MANY : CLI_WAIT_STEP;

        if (o->timeout > 0) {
            left = o->timeout - (cli_clock() - begin);

            if (left <= 0) {
                cli_error("time is up: %s", w.reason);
                return CLI_TIMEOUT;
            }

            step = (step < left) ? step : left;
        }

        cli_sleep(step);

        /* perhaps nginx could not tell yet where it is */

        if (w.st->guessed && !w.st->alive
            && cli_clock() - found >= CLI_WAIT_FIND)
        {
            (void) cli_find(o, w.st);
            found = cli_clock();
        }
    }
}


static cli_wait_e
cli_wait_look(cli_wait_t *w)
{
    int           i, n, some;
    cli_wait_e    verdict, all;
    cli_state_t  *st;

    st = w->st;

    if (cli_file_read(st) != CLI_YES || !st->alive) {

        cli_copy(w->reason, sizeof(w->reason), "%s",
                 st->error[0] ? st->error : "nginx is not running");

        if (w->o->timeout != 0 && strcmp(w->said, w->reason) != 0) {
            cli_error("waiting: %s", w->reason);
            cli_copy(w->said, sizeof(w->said), "%s", w->reason);
        }

        return CLI_WAIT_NOT_YET;
    }

    w->said[0] = '\0';
    all = CLI_WAIT_IN_PLACE;

    for (n = 0; n < w->o->n_names; n++) {

        some = 0;

        for (i = 0; i < st->n_dbs; i++) {

            if (!cli_named(w->o->names[n], &st->dbs[i])
                && !cli_dir_of(w->o->names[n], &st->dbs[i]))
            {
                continue;
            }

            some = 1;
            verdict = cli_wait_db(w, &st->dbs[i]);

            if (verdict == CLI_WAIT_NEVER) {
                return verdict;
            }

            if (verdict != CLI_WAIT_IN_PLACE) {
                all = verdict;
            }
        }

        for (i = 0; i < st->n_dirs; i++) {

            if (!cli_dir_named(w->o->names[n], &st->dirs[i])) {
                continue;
            }

            some = 1;
            verdict = cli_wait_dir(w, &st->dirs[i]);

            if (verdict == CLI_WAIT_NEVER) {
                return verdict;
            }

            if (verdict != CLI_WAIT_IN_PLACE) {
                all = verdict;
            }
        }

        if (!some) {
            verdict = cli_wait_unknown(w, w->o->names[n]);

            if (verdict == CLI_WAIT_NEVER) {
                return verdict;
            }

            all = verdict;
        }
    }

    return all;
}


static cli_wait_e
cli_wait_db(cli_wait_t *w, ngx_litestream_db_status_t *db)
{
    int64_t        now;
    cli_wait_e     verdict;
    cli_waited_t  *wd;

    wd = cli_wait_get(w, db->id, db->alias);

    if (wd == NULL) {
        return CLI_WAIT_NOT_YET;
    }

    if (db->in_place) {

        if (wd->said[0]) {
            cli_error("database \"%s\" is in place", db->alias);
            wd->said[0] = '\0';
        }

        wd->reason[0] = '\0';

        return CLI_WAIT_IN_PLACE;
    }

    now = cli_clock();
    verdict = CLI_WAIT_NOT_YET;

    if (wd->attempts == -1 || (int) db->restore_failures < wd->attempts) {
        wd->attempts = (int) (db->restore_failures < INT_MAX - 1
                              ? db->restore_failures : INT_MAX - 1);
    }

    switch (db->state) {

    case NGX_LITESTREAM_DB_ERROR:
        cli_wait_reason(wd, db->error[0] ? db->error : "error");
        verdict = cli_wait_error(wd, db, now);
        break;

    case NGX_LITESTREAM_DB_MISSING:
        cli_wait_reason(wd, "it is missing, and nothing is to restore it");

        if (now - wd->since >= CLI_WAIT_STANDS) {
            verdict = CLI_WAIT_NEVER;
        }

        break;

    default:

        /* between two attempts it is the error that counts */

        if (db->restore_failures == 0 || wd->reason[0] == '\0'
            || db->restore_bytes > 0)
        {
            cli_wait_reason(wd, ngx_litestream_db_state_names[db->state]);
        }
    }

    cli_copy(w->reason, sizeof(w->reason), "database \"%s\": %.900s",
             db->alias, wd->reason);
    w->code = CLI_NO;

    if (w->o->timeout != 0 && verdict != CLI_WAIT_NEVER) {
        cli_wait_say(wd, db->alias);
        cli_wait_progress(wd, db);
    }

    return verdict;
}


/* what of its databases is not in place is told by these */

static cli_wait_e
cli_wait_dir(cli_wait_t *w, ngx_litestream_dir_status_t *dir)
{
    cli_wait_e     verdict;
    cli_waited_t  *wd;

    if (dir->in_place
        || (dir->state == NGX_LITESTREAM_DIR_FOUND && dir->unplaced))
    {
        return CLI_WAIT_IN_PLACE;
    }

    wd = cli_wait_get(w, dir->id, dir->alias);

    if (wd == NULL) {
        return CLI_WAIT_NOT_YET;
    }

    verdict = CLI_WAIT_NOT_YET;

    cli_wait_reason(wd, dir->error[0]
                        ? dir->error
                        : ngx_litestream_dir_state_names[dir->state]);

    if (dir->state == NGX_LITESTREAM_DIR_ERROR && !cli_passing(dir->error)
        && cli_clock() - wd->since >= CLI_WAIT_STANDS)
    {
        verdict = CLI_WAIT_NEVER;
    }

    cli_copy(w->reason, sizeof(w->reason), "directory \"%s\": %.900s",
             dir->alias, wd->reason);
    w->code = CLI_NO;

    if (w->o->timeout != 0 && verdict != CLI_WAIT_NEVER) {
        cli_wait_say(wd, dir->alias);
    }

    return verdict;
}


static cli_wait_e
cli_wait_unknown(cli_wait_t *w, const char *name)
{
    cli_waited_t  *wd;

    wd = cli_wait_get(w, 0, name);

    cli_copy(w->reason, sizeof(w->reason), "unknown database \"%.700s\"",
             name);
    w->code = CLI_USAGE;

    if (wd == NULL) {
        return CLI_WAIT_NOT_YET;
    }

    cli_wait_reason(wd, "nginx does not know it");

    if (cli_clock() - wd->since >= CLI_WAIT_UNKNOWN) {
        return CLI_WAIT_NEVER;
    }

    if (w->o->timeout != 0) {
        cli_wait_say(wd, name);
    }

    return CLI_WAIT_NOT_YET;
}


/*
 * An error ends the waiting when it has been found twice, once of that while
 * we waited: what was mended before we came is not held against it.  Errors
 * that no attempt stands behind (a database that was deleted, say) have to
 * stand for a while.
 */

static cli_wait_e
cli_wait_error(cli_waited_t *wd, ngx_litestream_db_status_t *db, int64_t now)
{
    if (cli_passing(db->error)) {
        return CLI_WAIT_NOT_YET;
    }

    if (db->restore_failures == 0) {
        return (now - wd->since >= CLI_WAIT_STANDS) ? CLI_WAIT_NEVER
                                                    : CLI_WAIT_NOT_YET;
    }

    return (db->restore_failures >= 2
            && db->restore_failures > (uint32_t) wd->attempts)
           ? CLI_WAIT_NEVER : CLI_WAIT_NOT_YET;
}


/*
 * A storage that cannot be reached, or that is busy, may be there soon; one
 * that refuses, or a backup that is damaged, needs somebody.
 */

int
cli_passing(const char *error)
{
    size_t  i;

    static const char  *texts[] = {
        "connection refused", "connection reset", "connection closed",
        "broken pipe", "no such host", "server misbehaving",
        "temporary failure", "network is unreachable", "no route to host",
        "host is down", "network is down", "timeout", "timed out",
        "deadline exceeded", "no progress within", "unexpected eof", ": eof",
        "service unavailable", "bad gateway", "too many requests",
        "slow down", "slowdown", "internal server error", "internalerror",
        "statuscode: 500", "statuscode: 502", "statuscode: 503",
        "statuscode: 504", "statuscode: 429", "no servers available",
        "stale file handle", "is locked by", "was interrupted"
    };

    for (i = 0; i < sizeof(texts) / sizeof(char *); i++) {
        if (strcasestr(error, texts[i])) {
            return 1;
        }
    }

    return 0;
}


/* NULL: no memory */

static cli_waited_t *
cli_wait_get(cli_wait_t *w, uint64_t id, const char *name)
{
    int            i;
    cli_waited_t  *wd;

    for (i = 0; i < w->n; i++) {

        if (w->dbs[i].id == id
            && (id || strcmp(w->dbs[i].name, name) == 0))
        {
            return &w->dbs[i];
        }
    }

    wd = realloc(w->dbs, (size_t) (w->n + 1) * sizeof(cli_waited_t));

    if (wd == NULL) {
        return NULL;
    }

    w->dbs = wd;
    wd = &w->dbs[w->n++];

    memset(wd, 0, sizeof(cli_waited_t));

    wd->id = id;
    wd->name = id ? NULL : name;
    wd->attempts = -1;

    return wd;
}


static void
cli_wait_reason(cli_waited_t *wd, const char *reason)
{
    if (strncmp(wd->reason, reason, sizeof(wd->reason) - 1) != 0) {
        cli_copy(wd->reason, sizeof(wd->reason), "%s", reason);
        wd->since = cli_clock();
    }
}


static void
cli_wait_say(cli_waited_t *wd, const char *name)
{
    if (strcmp(wd->said, wd->reason) == 0) {
        return;
    }

    cli_copy(wd->said, sizeof(wd->said), "%s", wd->reason);
    cli_error("waiting for database \"%s\": %s", name, wd->reason);

    wd->progress = cli_clock();
}


static void
cli_wait_progress(cli_waited_t *wd, ngx_litestream_db_status_t *db)
{
    char     bytes[64], total[64];
    int64_t  now;

    now = cli_clock();

    if (db->state != NGX_LITESTREAM_DB_RESTORING || db->restore_bytes <= 0
        || now - wd->progress < CLI_WAIT_PROGRESS)
    {
        return;
    }

    wd->progress = now;

    cli_size(bytes, sizeof(bytes), db->restore_bytes);
    cli_size(total, sizeof(total), db->restore_total);

    cli_error("waiting for database \"%s\": restored %s of %s", db->alias,
              bytes, total);
}
