
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * verify and sync: questions to the supervisor.  When the connection ends,
 * because it was killed or has handed over, what has no answer yet is asked
 * again of its successor, as workers do.
 */


#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>


#define CLI_ASK_TIMEOUT      30000
#define CLI_ASK_MAX_TIMEOUT  3600000

/* ms that a new supervisor may take to know a database, and to begin */
#define CLI_ASK_KNOWN        5000
#define CLI_ASK_SETTLED      30000


typedef struct {
    ngx_litestream_db_status_t     *db;
    ngx_litestream_msg_t            msg;
    uint32_t                        mode;      /* of verify */
    int                             sent;
    int                             answered;
} cli_question_t;


typedef struct {
    cli_state_t                    *st;
    cli_state_t                    *again;     /* read anew */
    cli_question_t                 *questions;
    int                             n;
    int                             left;
    int                             fd;
    int64_t                         end;
    int64_t                         lost;      /* when, 0: never */
    int64_t                         started;   /* of the supervisor then */
    char                            error[CLI_ERROR_LEN];
} cli_ask_t;


static int cli_ask(cli_options_t *o, uint32_t type);
static int cli_ask_all(cli_ask_t *ask);
static void cli_ask_replicated(cli_ask_t *ask);
static int cli_ask_connect(cli_ask_t *ask);
static void cli_ask_lost(cli_ask_t *ask);
static void cli_ask_send(cli_ask_t *ask);
static int cli_ask_settled(cli_ask_t *ask, cli_question_t *q);
static int cli_ask_read(cli_ask_t *ask);
static int cli_ask_unsent(cli_ask_t *ask);
static void cli_ask_verified(cli_question_t *q, int rc, cli_json_t *json);
static void cli_ask_synced(cli_question_t *q, int rc, cli_json_t *json);
static char *cli_ask_txid(char *text, size_t size, uint64_t txid);
static void cli_ask_error(cli_question_t *q, const char *error);


int
cli_verify(cli_options_t *o)
{
    if (o->mode && strcmp(o->mode, "quick") != 0
        && strcmp(o->mode, "full") != 0)
    {
        cli_fail(o, "invalid mode \"%s\": say quick or full", o->mode);
        return CLI_USAGE;
    }

    return cli_ask(o, NGX_LITESTREAM_IPC_VERIFY);
}


int
cli_validate(cli_options_t *o)
{
    o->mode = (char *) "full";

    return cli_ask(o, NGX_LITESTREAM_IPC_VERIFY);
}


int
cli_sync(cli_options_t *o)
{
    return cli_ask(o, NGX_LITESTREAM_IPC_SYNC);
}


static int
cli_ask(cli_options_t *o, uint32_t type)
{
    int              i, rc, all, one, failed;
    int64_t          timeout;
    cli_ask_t        ask;
    cli_json_t       json;
    cli_state_t     *st;
    cli_question_t  *q;

    timeout = (o->timeout == -1) ? CLI_ASK_TIMEOUT : o->timeout;

    if (timeout < 1 || timeout > CLI_ASK_MAX_TIMEOUT) {
        cli_error("-t: a time from 1ms to 1h is needed");
        return CLI_USAGE;
    }

    memset(&ask, 0, sizeof(cli_ask_t));

    ask.fd = -1;
    ask.end = cli_clock() + timeout;

    rc = cli_state(o, &st);

    if (rc == CLI_YES) {
        rc = cli_choose(o, st);
    }

    if (rc != CLI_YES) {
        return rc;
    }

    ask.st = st;
    ask.again = calloc(1, sizeof(cli_state_t));
    ask.questions = calloc((size_t) st->n_dbs + 1, sizeof(cli_question_t));

    if (ask.again == NULL || ask.questions == NULL) {
        cli_error("no memory");
        return CLI_NO;
    }

    for (i = 0; i < st->n_dbs; i++) {

        if (!st->chosen[i]) {
            continue;
        }

        q = &ask.questions[ask.n++];

        q->db = &st->dbs[i];
        q->msg.version = NGX_LITESTREAM_IPC_VERSION;
        q->msg.type = type;
        q->msg.ticket = (uint64_t) ask.n;
        q->msg.db = st->dbs[i].id;
        q->mode = (o->mode && strcmp(o->mode, "full") == 0);
        q->msg.mode = q->mode;
    }

    ask.left = ask.n;
    ask.started = st->super.started;
    memcpy(ask.again->path, st->path, sizeof(st->path));

    rc = cli_ask_all(&ask);

    if (rc == CLI_NO) {

        /* nothing was asked at all */

        if (o->json) {
            cli_json_error(ask.error);
        }

        cli_error("%s", ask.error);
        return CLI_NO;
    }

    all = (o->n_names == 0);

    for (i = 0; i < o->n_names; i++) {
        all |= (strcmp(o->names[i], "all") == 0);
    }

    one = (o->n_names == 1 && ask.n == 1 && !all);

    if (all) {
        cli_ask_replicated(&ask);
    }

    json.out = o->json ? stdout : NULL;
    json.comma = 0;

    if (o->json && !one) {
        cli_json_open(&json, NULL, '{');
        cli_json_open(&json, "databases", '[');
    }

    failed = 0;

    for (i = 0; i < ask.n; i++) {

        q = &ask.questions[i];

        if (q->answered
            && ((q->msg.status != 200 && q->msg.status != 202)
                || (q->msg.status == 200 && q->msg.mode < q->mode)))
        {
            failed = 1;
        }

        if (type == NGX_LITESTREAM_IPC_VERIFY) {
            cli_ask_verified(q, rc, &json);

        } else {
            cli_ask_synced(q, rc, &json);
        }
    }

    if (o->json && !one) {
        cli_json_close(&json, ']');
        cli_json_close(&json, '}');
    }

    if (o->json) {
        (void) putchar('\n');
    }

    return failed ? CLI_NO : rc;
}


/*
 * CLI_YES: all have an answer; CLI_TIMEOUT; CLI_NOT_RUNNING; CLI_NO: this
 * process may not ask, and ask->error.
 */

static int
cli_ask_all(cli_ask_t *ask)
{
    int            rc;
    int64_t        left;
    struct pollfd  pfd;

    while (ask->left) {

        left = ask->end - cli_clock();

        if (left <= 0) {
            return CLI_TIMEOUT;
        }

        if (ask->fd == -1) {

            rc = cli_ask_connect(ask);

            if (rc == CLI_NOT_RUNNING) {

                /* one that was killed has a successor soon */

                if (cli_file_read(ask->again) != CLI_YES
                    || !ask->again->alive)
                {
                    return CLI_NOT_RUNNING;
                }

                cli_sleep(left < 100 ? left : 100);
                continue;
            }

            if (rc != CLI_YES) {
                return rc;
            }
        }

        cli_ask_send(ask);

        if (ask->fd == -1) {
            continue;
        }

        pfd.fd = ask->fd;
        pfd.events = (short) (POLLIN | (cli_ask_unsent(ask) ? POLLOUT : 0));
        pfd.revents = 0;

        if (ask->lost && cli_ask_unsent(ask)) {
            pfd.events = POLLIN;
            left = (left < 100) ? left : 100;
        }

        if (poll(&pfd, 1, (int) left) > 0
            && (pfd.revents & (POLLIN|POLLHUP|POLLERR)))
        {
            rc = cli_ask_read(ask);

            if (rc != CLI_YES) {
                return rc;
            }
        }
    }

    return CLI_YES;
}


/*
 * There is nothing to sync or to verify for a database with replicate=off: of
 * several it is left out, as the endpoints do, unless there are no others.
 */

static void
cli_ask_replicated(cli_ask_t *ask)
{
    int              i, n;
    cli_question_t  *q;

    n = 0;

    for (i = 0; i < ask->n; i++) {

        q = &ask->questions[i];

        if (!q->answered || q->msg.status != 409) {
            ask->questions[n++] = *q;
        }
    }

    if (n) {
        ask->n = n;
    }
}


static int
cli_ask_connect(cli_ask_t *ask)
{
    int                   n;
    struct sockaddr_un    sun;
    ngx_litestream_msg_t  msg;

    memset(&sun, 0, sizeof(struct sockaddr_un));

    sun.sun_family = AF_UNIX;

    n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/supervisor.sock",
                 ask->st->path);

    if (n < 0 || (size_t) n >= sizeof(sun.sun_path)) {
        cli_copy(ask->error, sizeof(ask->error),
                 "the path of the socket is too long: "
                 "\"%.700s/supervisor.sock\"", ask->st->path);
        return CLI_NO;
    }

    ask->fd = socket(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (ask->fd == -1) {
        cli_copy(ask->error, sizeof(ask->error), "socket() failed: %s",
                 strerror(errno));
        return CLI_NO;
    }

    if (connect(ask->fd, (struct sockaddr *) &sun, sizeof(sun)) == -1) {

        n = errno;
        cli_ask_lost(ask);

        switch (n) {

        case EACCES:
        case EPERM:
            cli_copy(ask->error, sizeof(ask->error),
                     "user %u may not ask the supervisor: run this as root, "
                     "or as the user of nginx's workers",
                     (unsigned) geteuid());
            return CLI_NO;

        case ENOENT:
        case ENOTDIR:
        case ECONNREFUSED:
        case EAGAIN:
            return CLI_NOT_RUNNING;

        default:
            cli_copy(ask->error, sizeof(ask->error),
                     "connect() to \"%.700s\" failed: %s", sun.sun_path,
                     strerror(n));
            return CLI_NO;
        }
    }

    memset(&msg, 0, sizeof(ngx_litestream_msg_t));

    msg.version = NGX_LITESTREAM_IPC_VERSION;
    msg.type = NGX_LITESTREAM_IPC_COMMAND;

    (void) send(ask->fd, &msg, sizeof(msg), MSG_NOSIGNAL);

    return CLI_YES;
}


/* what was sent to it has to be asked again */

static void
cli_ask_lost(cli_ask_t *ask)
{
    int  i;

    (void) close(ask->fd);
    ask->fd = -1;

    for (i = 0; i < ask->n; i++) {
        ask->questions[i].sent = 0;
    }
}


static void
cli_ask_send(cli_ask_t *ask)
{
    int              i;
    int64_t          left;
    cli_question_t  *q;

    left = ask->end - cli_clock();

    if (ask->lost && cli_file_read(ask->again) != CLI_YES) {
        return;
    }

    for (i = 0; i < ask->n; i++) {

        q = &ask->questions[i];

        if (q->sent || q->answered
            || (ask->lost && !cli_ask_settled(ask, q)))
        {
            continue;
        }

        q->msg.timeout_ms = (uint32_t) (left > 1 ? left : 1);

        if (send(ask->fd, &q->msg, sizeof(ngx_litestream_msg_t),
                 MSG_NOSIGNAL|MSG_DONTWAIT)
            != (ssize_t) sizeof(ngx_litestream_msg_t))
        {
            /* an end is seen by reading: what was said before it is there */

            return;
        }

        q->sent = 1;
    }
}


/*
 * A supervisor that has just begun would answer that the database is not
 * replicated: true, but not what the question was about.
 */

static int
cli_ask_settled(cli_ask_t *ask, cli_question_t *q)
{
    int           i;
    int64_t       passed;
    cli_state_t  *st;

    st = ask->again;
    passed = cli_clock() - ask->lost;

    if (st->super.started == ask->started && passed < CLI_ASK_KNOWN) {
        return 0;
    }

    for (i = 0; i < st->n_dbs; i++) {

        if (st->dbs[i].id != q->msg.db) {
            continue;
        }

        switch (st->dbs[i].state) {

        case NGX_LITESTREAM_DB_RESTORING:
        case NGX_LITESTREAM_DB_CHECKING:
        case NGX_LITESTREAM_DB_STARTING:
            return passed >= CLI_ASK_SETTLED;

        default:
            return 1;
        }
    }

    return 1;
}


static int
cli_ask_unsent(cli_ask_t *ask)
{
    int  i;

    for (i = 0; i < ask->n; i++) {
        if (!ask->questions[i].sent && !ask->questions[i].answered) {
            return 1;
        }
    }

    return 0;
}


static int
cli_ask_read(cli_ask_t *ask)
{
    ssize_t               n;
    cli_question_t       *q;
    ngx_litestream_msg_t  msg;

    for ( ;; ) {

        n = recv(ask->fd, &msg, sizeof(ngx_litestream_msg_t),
                 MSG_TRUNC|MSG_DONTWAIT);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1 && errno == EAGAIN) {
            return CLI_YES;
        }

        if (n <= 0) {
            ask->lost = cli_clock();

            if (ask->again->super.started) {
                ask->started = ask->again->super.started;
            }

            cli_ask_lost(ask);
            cli_sleep(20);
            return CLI_YES;
        }

        if (n >= (ssize_t) sizeof(msg.version)
            && msg.version != NGX_LITESTREAM_IPC_VERSION)
        {
            cli_copy(ask->error, sizeof(ask->error),
                     "the supervisor speaks protocol version %u, not %d: "
                     "module and command are of different versions",
                     msg.version, NGX_LITESTREAM_IPC_VERSION);
            return CLI_NO;
        }

        if (n != (ssize_t) sizeof(ngx_litestream_msg_t)) {
            cli_copy(ask->error, sizeof(ask->error),
                     "the supervisor's answer has %ld bytes, not %ld",
                     (long) n, (long) sizeof(ngx_litestream_msg_t));
            return CLI_NO;
        }

        msg.error[sizeof(msg.error) - 1] = '\0';

        /* the connection is refused, or too much for it now */

        if (msg.ticket == 0) {

            if (msg.status == 503) {
                cli_ask_lost(ask);
                cli_sleep(200);
                return CLI_YES;
            }

            cli_copy(ask->error, sizeof(ask->error),
                     "the supervisor refuses: %s", msg.error);
            return CLI_NO;
        }

        if (msg.ticket > (uint64_t) ask->n) {
            continue;
        }

        q = &ask->questions[msg.ticket - 1];

        if (!q->sent || q->answered) {
            continue;
        }

        q->msg = msg;
        q->answered = 1;

        if (--ask->left == 0) {
            return CLI_YES;
        }
    }
}


static void
cli_ask_verified(cli_question_t *q, int rc, cli_json_t *json)
{
    char                            alias[4 * sizeof(q->db->alias)], txid[40];
    unsigned                        flags;
    ngx_litestream_verify_result_t  v;

    memset(&v, 0, sizeof(ngx_litestream_verify_result_t));

    flags = 0;
    v.mode = q->mode;

    if (!q->answered && rc == CLI_NOT_RUNNING) {
        cli_ask_error(q, "no supervisor is running");

    } else if (!q->answered || q->msg.status == 202) {
        flags = CLI_VERIFY_RUNNING;

    } else {
        /* one that knows less than the command has proven less */

        v.verified = (q->msg.status == 200 && q->msg.mode >= q->mode);
        v.txid = q->msg.txid;
        v.duration_ms = q->msg.duration_ms;
        v.write_ms = q->msg.write_ms;
        v.sync_ms = q->msg.sync_ms;
        v.restore_ms = q->msg.restore_ms;
        v.check_ms = q->msg.check_ms;
        v.compare_ms = q->msg.compare_ms;

        if (!v.verified) {
            cli_ask_error(q, "the verification failed");
        }
    }

    if (!v.verified && flags == 0) {
        memcpy(v.error, q->msg.error, sizeof(v.error));
        cli_error("database \"%s\": %s%s", q->db->alias,
                  q->answered ? "not verified: " : "", v.error);
    }

    if (flags) {
        cli_error("database \"%s\": the verification has not ended in time, "
                  "it goes on", q->db->alias);
    }

    if (json->out) {
        cli_json_verify(json, NULL, q->db->alias, &v, flags);
        return;
    }

    if (v.verified) {
        (void) cli_escape(alias, sizeof(alias), q->db->alias);
        (void) printf("%s: verified%s, %s%u ms\n", alias,
                      v.mode ? " in full" : "",
                      cli_ask_txid(txid, sizeof(txid), v.txid),
                      v.duration_ms);
    }
}


/* with Litestream 0.3 there is none */

static char *
cli_ask_txid(char *text, size_t size, uint64_t txid)
{
    text[0] = '\0';

    if (txid) {
        (void) snprintf(text, size, "transaction %016llx, ",
                        (unsigned long long) txid);
    }

    return text;
}


static void
cli_ask_synced(cli_question_t *q, int rc, cli_json_t *json)
{
    int   synced;
    char  alias[4 * sizeof(q->db->alias)], txid[40];

    synced = (q->answered && q->msg.status == 200);

    if (!q->answered) {
        cli_ask_error(q, rc == CLI_NOT_RUNNING
                         ? "no supervisor is running"
                         : "the sync has not ended in time");

    } else if (!synced) {
        cli_ask_error(q, "the sync failed");
    }

    if (!synced) {
        cli_error("database \"%s\": %s%s", q->db->alias,
                  q->answered ? "not synced: " : "", q->msg.error);
    }

    if (json->out == NULL) {

        if (synced) {
            (void) cli_escape(alias, sizeof(alias), q->db->alias);
            (void) printf("%s: synced, %s%u ms\n", alias,
                          cli_ask_txid(txid, sizeof(txid), q->msg.txid),
                          q->msg.duration_ms);
        }

        return;
    }

    cli_json_open(json, NULL, '{');

    cli_json_text(json, "alias", q->db->alias);
    cli_json_bool(json, "synced", synced);
    cli_json_txid(json, "txid", q->answered ? q->msg.txid : 0);
    cli_json_number(json, "duration_ms",
                    (synced || q->msg.duration_ms)
                    ? (int64_t) q->msg.duration_ms : -1);
    cli_json_text(json, "error", synced ? "" : q->msg.error);

    cli_json_close(json, '}');
}


/* a failure always says something */

static void
cli_ask_error(cli_question_t *q, const char *error)
{
    if (q->answered && q->msg.error[0]) {
        return;
    }

    cli_copy(q->msg.error, sizeof(q->msg.error), "%s", error);
}
