
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * restore: to a new file, never over one.  It is restored to a private name
 * in the same directory, checked, and then renamed.
 */


#include "cli_restore.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>


#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE     (1 << 0)
#endif


static int cli_restore_options(cli_options_t *o);
static int cli_restore_old(cli_restore_t *r);
static int cli_restore_time(const char *text);
static int cli_restore_output(cli_restore_t *r);
static int cli_restore_free(cli_restore_t *r);
static int cli_restore_place(cli_restore_t *r);
static int cli_restore_plan(cli_restore_t *r);
static int cli_restore_follow(cli_restore_t *r);
static int cli_restore_run(cli_restore_t *r);
static int cli_restore_finish(cli_restore_t *r, int64_t ms);
static void cli_restore_done(cli_restore_t *r, int64_t ms);
static int cli_restore_rename(const char *from, const char *to);


int
cli_restore(cli_options_t *o)
{
    int             rc;
    cli_restore_t  *r;

    rc = cli_restore_options(o);

    if (rc != CLI_YES) {
        return rc;
    }

    r = calloc(1, sizeof(cli_restore_t));

    if (r == NULL) {
        cli_fail(o, "no memory");
        return CLI_NO;
    }

    r->o = o;

    rc = cli_target(o, &r->t);

    if (rc == CLI_YES && r->t.old) {
        rc = cli_restore_old(r);
    }

    if (rc == CLI_YES) {
        rc = cli_restore_output(r);
    }

    if (rc != CLI_YES) {
        return rc;
    }

    if (o->dry_run) {
        return cli_restore_plan(r);
    }

    if (o->follow) {
        return cli_restore_follow(r);
    }

    if (o->if_db_not_exists && access(r->output, F_OK) == 0) {

        return cli_restore_nothing(r, "the file is there");
    }

    rc = cli_restore_free(r);

    if (rc == CLI_YES) {
        rc = cli_restore_place(r);
    }

    return (rc == CLI_YES) ? cli_restore_run(r) : rc;
}


static int
cli_restore_options(cli_options_t *o)
{
    size_t       n;
    const char  *hex;

    static const char  zeros[] = "0000000000000000";

    if (o->force) {
        cli_fail(o, "restore never replaces a file: without -o it makes a new "
                 "one");
        return CLI_USAGE;
    }

    if (o->txid && o->timestamp) {
        cli_fail(o, "-txid or -timestamp, not both");
        return CLI_USAGE;
    }

    if (o->txid) {

        n = strspn(o->txid, "0123456789abcdefABCDEF");

        /*
         * "10" might be what the metrics show, in decimal: a restore to
         * another transaction than the one that was meant would not be seen.
         */

        if (n != CLI_RESTORE_TXID || o->txid[n]) {

            hex = (n && n < CLI_RESTORE_TXID && o->txid[n] == '\0')
                  ? o->txid : NULL;

            cli_fail(o, "invalid transaction \"%s\": it has %d hex digits, as "
                     "ltx shows them%s%s%s", o->txid, CLI_RESTORE_TXID,
                     hex ? ", like " : "", hex ? zeros + n : "",
                     hex ? hex : "");
            return CLI_USAGE;
        }
    }

    if (o->timestamp && cli_restore_time(o->timestamp) != CLI_YES) {
        cli_fail(o, "invalid time \"%s\": say 2006-01-02T15:04:05Z, or "
                 "2006-01-02T15:04:05+01:00", o->timestamp);
        return CLI_USAGE;
    }

    if (o->integrity_check && strcmp(o->integrity_check, "none") != 0
        && strcmp(o->integrity_check, "quick") != 0
        && strcmp(o->integrity_check, "full") != 0)
    {
        cli_fail(o, "invalid -integrity-check \"%s\": say none, quick or full",
                 o->integrity_check);
        return CLI_USAGE;
    }

    if (o->parallelism
        && (strspn(o->parallelism, "0123456789") != strlen(o->parallelism)
            || atoi(o->parallelism) < 1))
    {
        cli_fail(o, "invalid -parallelism \"%s\": say a number",
                 o->parallelism);
        return CLI_USAGE;
    }

    if (!o->follow && o->follow_interval) {
        cli_fail(o, "-follow-interval is for -f");
        return CLI_USAGE;
    }

    if (o->follow
        && (o->output == NULL || o->txid || o->timestamp || o->dry_run
            || o->json || o->if_db_not_exists || o->if_replica_exists))
    {
        cli_fail(o, "-f needs -o FILE, and goes with -follow-interval and "
                 "-integrity-check only");
        return CLI_USAGE;
    }

    return CLI_YES;
}


/* what Litestream 0.3 does not know, and what 0.5 does not */

static int
cli_restore_old(cli_restore_t *r)
{
    cli_options_t  *o;

    o = r->o;

    if (o->txid || o->follow || o->dry_run || o->integrity_check) {
        cli_fail(o, "\"%s\": Litestream 0.3 has no -txid, -f, -dry-run and "
                 "-integrity-check; see -timestamp and -index", r->t.name);
        return CLI_USAGE;
    }

    return CLI_YES;
}


/* RFC 3339, with a zone: what is said without one may mean any */

static int
cli_restore_time(const char *text)
{
    size_t       i, n;
    const char  *p;

    static const char  form[] = "dddd-dd-ddTdd:dd:dd";

    for (i = 0; form[i]; i++) {

        if (form[i] == 'd' ? !isdigit((unsigned char) text[i])
                           : text[i] != form[i])
        {
            return CLI_NO;
        }
    }

    p = text + i;

    if (*p == '.') {
        n = strspn(++p, "0123456789");

        if (n == 0) {
            return CLI_NO;
        }

        p += n;
    }

    if (strcmp(p, "Z") == 0) {
        return CLI_YES;
    }

    return (strlen(p) == 6 && (p[0] == '+' || p[0] == '-')
            && isdigit((unsigned char) p[1]) && isdigit((unsigned char) p[2])
            && p[3] == ':'
            && isdigit((unsigned char) p[4]) && isdigit((unsigned char) p[5]))
           ? CLI_YES : CLI_NO;
}


/*
 * Where to: -o, or beside the database under a new name; the place of the
 * database itself only when nothing but its absence is asked for.
 */

static int
cli_restore_output(cli_restore_t *r)
{
    int             n;
    char            stamp[64];
    time_t          now;
    struct tm       tm;
    cli_options_t  *o;

    o = r->o;

    if (!r->t.old && (o->replica || o->generation || o->index)) {
        cli_fail(o, "\"%s\": -replica, -generation and -index are of "
                 "Litestream 0.3", r->t.name);
        return CLI_USAGE;
    }

    if (o->output) {

        if (cli_absolute(o->output, r->output) != CLI_YES) {
            cli_fail(o, "\"%.700s\": %s", o->output, strerror(errno));
            return CLI_USAGE;
        }

        return CLI_YES;
    }

    if (r->t.db == NULL && r->t.config[0] == '\0') {
        cli_fail(o, "restore of a URL needs -o FILE");
        return CLI_USAGE;
    }

    stamp[0] = '\0';

    if (!o->if_db_not_exists) {
        now = (time_t) (cli_now() / 1000);

        (void) gmtime_r(&now, &tm);
        (void) strftime(stamp, sizeof(stamp), ".restored-%Y%m%dT%H%M%SZ",
                        &tm);
    }

    n = snprintf(r->output, sizeof(r->output), "%s%s", r->t.source, stamp);

    if (n < 0 || (size_t) n >= sizeof(r->output)) {
        cli_fail(o, "the path is too long: say -o FILE");
        return CLI_NO;
    }

    return CLI_YES;
}


/* what -if-db-not-exists and -if-replica-exists were said for */

int
cli_restore_nothing(cli_restore_t *r, const char *reason)
{
    cli_json_t  json;

    if (r->o->json) {
        json.out = stdout;
        json.comma = 0;

        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "alias", r->t.db ? r->t.db->alias : "");
        cli_json_text(&json, "db_path", r->output);
        cli_json_bool(&json, "restored", 0);
        cli_json_text(&json, "reason", reason);
        cli_json_close(&json, '}');

        (void) putchar('\n');

    } else {
        cli_say("%s: nothing is restored to %s: %s", r->t.name, r->output,
                reason);
    }

    return CLI_YES;
}


/* nothing may be there, nor what would be played into it */

static int
cli_restore_free(cli_restore_t *r)
{
    char         name[PATH_MAX + 16];
    size_t       i;
    struct stat  sb;

    static const char  *tails[] = { "", "-wal", "-shm", "-journal" };

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {

        cli_copy(name, sizeof(name), "%s%s", r->output, tails[i]);

        if (lstat(name, &sb) == -1) {

            if (errno == ENOENT) {
                continue;
            }

            cli_fail(r->o, "\"%.700s\": %s", name, strerror(errno));
            return CLI_NO;
        }

        if (i) {
            cli_fail(r->o, "\"%.700s\" is there, SQLite would take it for the "
                     "restored file's: move it away", name);

        } else {
            cli_fail(r->o, "\"%.700s\" exists, nothing is restored over it",
                     name);
        }

        return CLI_NO;
    }

    return CLI_YES;
}


/* the directory, and the private name in it */

static int
cli_restore_place(cli_restore_t *r)
{
    int    i, n, rc, err;
    char   dir[PATH_MAX], user[256], *slash;

    cli_copy(dir, sizeof(dir), "%s", r->output);

    slash = strrchr(dir, '/');
    *slash = '\0';

    if (slash[1] == '\0') {
        cli_fail(r->o, "\"%.700s\" is a directory", r->output);
        return CLI_NO;
    }

    if (access(slash == dir ? "/" : dir, W_OK|X_OK) == -1) {

        err = errno;

        if (err == ENOENT) {
            cli_fail(r->o, "directory \"%.700s\" is missing", dir);

        } else {
            cli_user(geteuid(), user, sizeof(user));

            cli_fail(r->o, "%s, who is to restore it, may not write in "
                     "\"%.700s\": %s", user, dir, strerror(err));
        }

        return CLI_NO;
    }

    n = snprintf(r->temp, sizeof(r->temp) - sizeof(".tmp-journal"),
                 "%s/.%s.nginx-litestream-%ld", dir, slash + 1,
                 (long) getpid());

    if (n < 0 || (size_t) n >= sizeof(r->temp) - sizeof(".tmp-journal")) {
        cli_fail(r->o, "the path is too long: \"%.700s\"", r->output);
        return CLI_NO;
    }

    cli_temporary(r->temp);

    /* a database of nginx is nginx's to restore, while it is there */

    for (i = 0; r->t.st && i < r->t.st->n_dbs; i++) {

        if (strcmp(r->output, r->t.st->dbs[i].path) == 0) {
            rc = cli_lock(r->o, r->output, r->t.st->dbs[i].alias);

            if (rc != CLI_YES) {
                return rc;
            }
        }
    }

    return CLI_YES;
}


/* -dry-run: what Litestream would fetch */

static int
cli_restore_plan(cli_restore_t *r)
{
    int           n, rc;
    cli_run_t     run;
    const char   *args[24];

    memset(&run, 0, sizeof(cli_run_t));

    n = 0;
    args[n++] = "-dry-run";

    if (r->o->json) {
        args[n++] = "-json";
    }

    args[n++] = "-o";
    args[n++] = r->output;

    cli_restore_args(r, args, n);

    rc = cli_litestream(r->o, &r->t, "restore", args, &run);

    if (rc == CLI_YES) {
        cli_print(&run.out, r->o->json);

    } else {
        rc = cli_restore_failed(r, &run, rc);
    }

    cli_run_free(&run);

    return rc;
}


/* -f: this process becomes Litestream, which goes on for ever */

static int
cli_restore_follow(cli_restore_t *r)
{
    int           i, n;
    char        **argv;
    const char   *args[24];

    for (i = 0; r->t.st && i < r->t.st->n_dbs; i++) {

        if (strcmp(r->output, r->t.st->dbs[i].path) == 0) {
            cli_fail(r->o, "\"%.700s\" is a database of nginx: say another "
                     "-o FILE", r->output);
            return CLI_USAGE;
        }
    }

    n = 0;
    args[n++] = "-f";

    if (r->o->follow_interval) {
        args[n++] = "-follow-interval";
        args[n++] = r->o->follow_interval;
    }

    args[n++] = "-o";
    args[n++] = r->output;

    cli_restore_args(r, args, n);

    argv = cli_litestream_argv(&r->t, "restore", args);

    if (argv == NULL) {
        cli_fail(r->o, "no memory");
        return CLI_NO;
    }

    (void) umask(027);
    (void) fflush(NULL);

    if (chdir("/") == 0) {
        (void) execve(argv[0], argv, r->t.env);
    }

    cli_fail(r->o, "\"%.700s\": %s", argv[0], strerror(errno));

    return CLI_NO;
}


static int
cli_restore_run(cli_restore_t *r)
{
    int          n, rc;
    int64_t      begin;
    cli_run_t    run;
    const char  *args[24];

    memset(&run, 0, sizeof(cli_run_t));

    n = 0;

    if (!r->t.old) {
        args[n++] = "-json";
        args[n++] = "-integrity-check";
        args[n++] = r->o->integrity_check ? r->o->integrity_check : "quick";
    }

    args[n++] = "-o";
    args[n++] = r->temp;

    cli_restore_args(r, args, n);

    r->terminal = (isatty(2) && !r->o->json);

    if (r->terminal) {
        cli_restore_total(r);
    }

    run.tick = cli_restore_tick;
    run.tick_data = r;

    begin = cli_clock();

    rc = cli_litestream(r->o, &r->t, "restore", args, &run);

    if (r->shown) {
        (void) fputs("\r\033[K", stderr);
        (void) fflush(stderr);
    }

    if (rc == CLI_YES) {
        (void) cli_json_last(&run.out, "txid", r->txid, sizeof(r->txid));
        rc = cli_restore_finish(r, cli_clock() - begin);

    } else {
        rc = cli_restore_failed(r, &run, rc);
    }

    cli_temporary_remove();
    cli_run_free(&run);

    return rc;
}


/* mode, disk, and its name */

static int
cli_restore_finish(cli_restore_t *r, int64_t ms)
{
    int          fd;
    char         dir[PATH_MAX], *slash;
    mode_t       mode;
    struct stat  sb;

    mode = 0640;

    if (r->t.db && stat(r->t.db->path, &sb) == 0) {
        mode = sb.st_mode & 0777;
    }

    fd = open(r->temp, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &sb) == -1 || fchmod(fd, mode) == -1
        || fsync(fd) == -1)
    {
        cli_fail(r->o, "the restored file \"%.700s\" cannot be finished: %s",
                 r->temp, strerror(errno));

        if (fd != -1) {
            (void) close(fd);
        }

        return CLI_NO;
    }

    (void) close(fd);

    r->bytes = sb.st_size;

    if (cli_restore_rename(r->temp, r->output) == -1) {

        if (errno == EEXIST) {
            cli_fail(r->o, "\"%.700s\" was made by somebody else meanwhile, "
                     "nothing is restored over it", r->output);

        } else {
            cli_fail(r->o, "rename() to \"%.700s\" failed: %s", r->output,
                     strerror(errno));
        }

        return CLI_NO;
    }

    cli_copy(dir, sizeof(dir), "%s", r->output);
    slash = strrchr(dir, '/');
    slash[slash == dir] = '\0';

    fd = open(dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != -1) {
        (void) fsync(fd);
        (void) close(fd);
    }

    cli_restore_done(r, ms);

    return CLI_YES;
}


static int
cli_restore_rename(const char *from, const char *to)
{
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)
        == 0)
    {
        return 0;
    }

    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }

    /* a file system without it: link() does not replace either */

    if (link(from, to) == -1) {
        return -1;
    }

    return unlink(from);
}


static void
cli_restore_done(cli_restore_t *r, int64_t ms)
{
    char        size[64];
    cli_json_t  json;

    if (r->o->json) {
        json.out = stdout;
        json.comma = 0;

        /* what Litestream answers, and more */

        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "alias", r->t.db ? r->t.db->alias : "");
        cli_json_text(&json, "db_path", r->output);
        cli_json_bool(&json, "restored", 1);
        cli_json_text(&json, "replica", r->t.db ? r->t.db->replica_type : "");
        cli_json_text(&json, "txid", r->txid);
        cli_json_number(&json, "bytes", r->bytes);
        cli_json_number(&json, "duration_ms", ms);
        cli_json_text(&json, "integrity_check",
                      r->t.old ? "none"
                      : r->o->integrity_check ? r->o->integrity_check
                                              : "quick");
        cli_json_close(&json, '}');

        (void) putchar('\n');
        return;
    }

    cli_size(size, sizeof(size), r->bytes);

    cli_say("%s: restored to %s%s%s, %s, %lld ms", r->t.name, r->output,
            r->txid[0] ? ", transaction " : "", r->txid, size,
            (long long) ms);
}


/* what is the same for all of them, from args[n] on */

void
cli_restore_args(cli_restore_t *r, const char **args, int n)
{
    size_t       i;
    const char  *values[6];

    static const char  *names[] = {
        "-txid", "-timestamp", "-parallelism", "-replica", "-generation",
        "-index"
    };

    values[0] = r->o->txid;
    values[1] = r->o->timestamp;
    values[2] = r->o->parallelism;
    values[3] = r->o->replica;
    values[4] = r->o->generation;
    values[5] = r->o->index;

    for (i = 0; i < sizeof(names) / sizeof(char *); i++) {

        if (values[i]) {
            args[n++] = names[i];
            args[n++] = values[i];
        }
    }

    args[n] = NULL;
}
