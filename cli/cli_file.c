
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The status file, read with pread(): a file that becomes shorter meanwhile
 * is an error then, not a SIGBUS.  It may be anybody's and hold anything:
 * root runs this, too.
 */


#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_END(text)  (text)[sizeof(text) - 1] = '\0'


static int cli_file_head(cli_state_t *st, int fd);
static int cli_file_record(cli_state_t *st, int fd, off_t off, void *dst,
    size_t size);
static int cli_file_records(cli_state_t *st, int fd);
static int64_t cli_file_time(int64_t ms);
static void cli_file_super(ngx_litestream_super_status_t *super);
static void cli_file_group(ngx_litestream_group_status_t *group);
static void cli_file_db(ngx_litestream_db_status_t *db);
static int cli_file_dirs(cli_state_t *st, int fd);
static void cli_file_dir(ngx_litestream_dir_status_t *dir);
static int cli_linked(const char *name, char *path);


int
cli_file_read(cli_state_t *st)
{
    int   fd, rc, n;
    char  name[PATH_MAX + sizeof("/status")];

    cli_file_free(st);

    memset(&st->super, 0, sizeof(ngx_litestream_super_status_t));
    st->alive = 0;
    st->now = cli_now();
    st->error[0] = '\0';

    n = snprintf(name, sizeof(name), "%s/status", st->path);

    if (n < 0 || (size_t) n >= sizeof(name)) {
        cli_copy(st->error, sizeof(st->error), "the state path is too long");
        return CLI_NO;
    }

    fd = open(name, O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY);

    if (fd == -1) {

        if (errno == ENOENT || errno == ENOTDIR) {
            cli_copy(st->error, sizeof(st->error), "nginx is not running: "
                     "there is no \"%.550s\"%s%s%.200s", name,
                     st->said ? "" : ", or it has another configuration or "
                     "state path: say -c FILE or -path DIR",
                     st->why[0] ? "; " : "", st->why);
            return CLI_NOT_RUNNING;
        }

        cli_copy(st->error, sizeof(st->error), "cannot open \"%.700s\": %s",
                 name, strerror(errno));
        return CLI_NO;
    }

    rc = cli_file_head(st, fd);

    if (rc == CLI_YES) {
        rc = cli_file_records(st, fd);
    }

    (void) close(fd);

    if (rc == CLI_YES) {
        st->now = cli_now();
        st->alive = (ngx_litestream_alive(&st->super, st->now) != 0);
    }

    return rc;
}


void
cli_file_free(cli_state_t *st)
{
    free(st->dbs);
    free(st->chosen);
    free(st->dirs);
    free(st->dir_chosen);

    st->dbs = NULL;
    st->chosen = NULL;
    st->dirs = NULL;
    st->dir_chosen = NULL;
    st->n_dirs = 0;
    st->n_dbs = 0;
    st->n_groups = 0;
}


static int
cli_file_head(cli_state_t *st, int fd)
{
    struct stat                   sb;
    ngx_litestream_status_head_t  head;

    if (fstat(fd, &sb) == -1 || !S_ISREG(sb.st_mode)
        || pread(fd, &head, sizeof(head), 0) != (ssize_t) sizeof(head)
        || head.magic != NGX_LITESTREAM_STATUS_MAGIC)
    {
        cli_copy(st->error, sizeof(st->error),
                 "\"%.700s/status\" is not a status file", st->path);
        return CLI_NO;
    }

    if (head.version != NGX_LITESTREAM_STATUS_VERSION) {
        cli_copy(st->error, sizeof(st->error),
                 "\"%.700s/status\" has layout %u, this nginx-litestream "
                 "knows layout %d: module and command are of different "
                 "versions", st->path, head.version,
                 NGX_LITESTREAM_STATUS_VERSION);
        return CLI_NO;
    }

    if (head.size != sizeof(ngx_litestream_status_file_t)
        || sb.st_size != (off_t) sizeof(ngx_litestream_status_file_t))
    {
        cli_copy(st->error, sizeof(st->error),
                 "\"%.700s/status\" is damaged: it has %lld bytes, not %lld",
                 st->path, (long long) sb.st_size,
                 (long long) sizeof(ngx_litestream_status_file_t));
        return CLI_NO;
    }

    return CLI_YES;
}


/* the copy that counts, of a record at off with copies of this size */

static int
cli_file_record(cli_state_t *st, int fd, off_t off, void *dst, size_t size)
{
    int       n;
    off_t     at;
    uint32_t  seq, again;

    /* written twice while it is copied: that happens once at most */

    for (n = 0; n < 100; n++) {

        if (pread(fd, &seq, sizeof(seq), off) != (ssize_t) sizeof(seq)) {
            break;
        }

        at = off + 2 * (off_t) sizeof(seq) + (off_t) ((seq & 1) * size);

        if (pread(fd, dst, size, at) != (ssize_t) size
            || pread(fd, &again, sizeof(again), off)
               != (ssize_t) sizeof(again))
        {
            break;
        }

        if (again == seq) {
            return CLI_YES;
        }
    }

    cli_copy(st->error, sizeof(st->error),
             "\"%.700s/status\" cannot be read", st->path);

    return CLI_NO;
}


static int
cli_file_records(cli_state_t *st, int fd)
{
    int                          i, n;
    ngx_litestream_db_status_t  *db;

    if (cli_file_record(st, fd, offsetof(ngx_litestream_status_file_t, super),
                        &st->super, sizeof(ngx_litestream_super_status_t))
        != CLI_YES)
    {
        return CLI_NO;
    }

    cli_file_super(&st->super);

    for (i = 0; i < (int) st->super.groups; i++) {

        if (cli_file_record(st, fd,
                            (off_t) (offsetof(ngx_litestream_status_file_t,
                                              groups)
                                     + (size_t) i
                                       * sizeof(ngx_litestream_group_rec_t)),
                            &st->groups[i],
                            sizeof(ngx_litestream_group_status_t))
            != CLI_YES)
        {
            return CLI_NO;
        }

        cli_file_group(&st->groups[i]);
    }

    st->n_groups = (int) st->super.groups;

    n = (int) st->super.dbs;

    st->dbs = calloc((size_t) n + 1, sizeof(ngx_litestream_db_status_t));
    st->chosen = calloc((size_t) n + 1, 1);

    if (st->dbs == NULL || st->chosen == NULL) {
        cli_copy(st->error, sizeof(st->error), "no memory");
        return CLI_NO;
    }

    for (i = 0; i < n; i++) {

        db = &st->dbs[st->n_dbs];

        if (cli_file_record(st, fd,
                            (off_t) (offsetof(ngx_litestream_status_file_t,
                                              dbs)
                                     + (size_t) i
                                       * sizeof(ngx_litestream_db_rec_t)),
                            db, sizeof(ngx_litestream_db_status_t))
            != CLI_YES)
        {
            return CLI_NO;
        }

        if (db->id) {
            cli_file_db(db);
            st->n_dbs++;
        }
    }

    return cli_file_dirs(st, fd);
}


static int
cli_file_dirs(cli_state_t *st, int fd)
{
    int                           i, n;
    ngx_litestream_dir_status_t  *dir;

    n = (int) st->super.dirs;

    st->dirs = calloc((size_t) n + 1, sizeof(ngx_litestream_dir_status_t));
    st->dir_chosen = calloc((size_t) n + 1, 1);

    if (st->dirs == NULL || st->dir_chosen == NULL) {
        cli_copy(st->error, sizeof(st->error), "no memory");
        return CLI_NO;
    }

    for (i = 0; i < n; i++) {

        dir = &st->dirs[st->n_dirs];

        if (cli_file_record(st, fd,
                            (off_t) (offsetof(ngx_litestream_status_file_t,
                                              dirs)
                                     + (size_t) i
                                       * sizeof(ngx_litestream_dir_rec_t)),
                            dir, sizeof(ngx_litestream_dir_status_t))
            != CLI_YES)
        {
            return CLI_NO;
        }

        if (dir->id) {
            cli_file_dir(dir);
            st->n_dirs++;
        }
    }

    return CLI_YES;
}


/* 0: unknown */

static int64_t
cli_file_time(int64_t ms)
{
    return (ms > 0 && ms <= CLI_MAX_TIME) ? ms : 0;
}


static void
cli_file_super(ngx_litestream_super_status_t *super)
{
    CLI_END(super->module_ver);
    CLI_END(super->nginx_ver);

    super->heartbeat = cli_file_time(super->heartbeat);
    super->started = cli_file_time(super->started);

    if (super->state > NGX_LITESTREAM_STANDBY) {
        super->state = NGX_LITESTREAM_STANDBY;
    }

    if (super->groups > NGX_LITESTREAM_MAX_GROUPS) {
        super->groups = NGX_LITESTREAM_MAX_GROUPS;
    }

    if (super->dbs > NGX_LITESTREAM_MAX_DBS) {
        super->dbs = NGX_LITESTREAM_MAX_DBS;
    }

    if (super->dirs > NGX_LITESTREAM_MAX_DIRS) {
        super->dirs = NGX_LITESTREAM_MAX_DIRS;
    }
}


static void
cli_file_group(ngx_litestream_group_status_t *group)
{
    CLI_END(group->name);
    CLI_END(group->user);
    CLI_END(group->version);
    CLI_END(group->last_exit);

    group->started = cli_file_time(group->started);

    if (group->state > NGX_LITESTREAM_STANDBY) {
        group->state = NGX_LITESTREAM_STANDBY;
    }
}


static void
cli_file_db(ngx_litestream_db_status_t *db)
{
    CLI_END(db->alias);
    CLI_END(db->path);
    CLI_END(db->replica_type);
    CLI_END(db->replica_url);
    CLI_END(db->restore_error);
    CLI_END(db->verify.error);
    CLI_END(db->point.path);
    CLI_END(db->point.error);
    CLI_END(db->error);

    db->last_sync_at = cli_file_time(db->last_sync_at);
    db->history_from = cli_file_time(db->history_from);
    db->history_to = cli_file_time(db->history_to);
    db->verify.at = cli_file_time(db->verify.at);
    db->point.at = cli_file_time(db->point.at);
    db->point.time = cli_file_time(db->point.time);

    if (db->state > NGX_LITESTREAM_DB_ERROR) {
        db->state = NGX_LITESTREAM_DB_ERROR;
    }

    if (db->restore_state > NGX_LITESTREAM_RESTORE_FAILED) {
        db->restore_state = NGX_LITESTREAM_RESTORE_FAILED;
    }

    if (db->point.state > NGX_LITESTREAM_RESTORE_FAILED) {
        db->point.state = NGX_LITESTREAM_RESTORE_FAILED;
    }
}


static void
cli_file_dir(ngx_litestream_dir_status_t *dir)
{
    CLI_END(dir->alias);
    CLI_END(dir->path);
    CLI_END(dir->replica_type);
    CLI_END(dir->replica_url);
    CLI_END(dir->error);

    dir->scanned_at = cli_file_time(dir->scanned_at);
    dir->last_sync_at = cli_file_time(dir->last_sync_at);

    if (dir->state > NGX_LITESTREAM_DIR_ERROR) {
        dir->state = NGX_LITESTREAM_DIR_ERROR;
    }
}


int
cli_state(cli_options_t *o, cli_state_t **out)
{
    int           rc;
    cli_state_t  *st;

    st = calloc(1, sizeof(cli_state_t));

    if (st == NULL) {
        cli_error("no memory");
        return CLI_NO;
    }

    *out = st;

    rc = cli_find(o, st);

    if (rc != CLI_YES) {
        return rc;
    }

    rc = cli_file_read(st);

    if (rc != CLI_YES) {

        cli_fail(o, "%s", st->error);
    }

    return rc;
}


int
cli_named(const char *name, ngx_litestream_db_status_t *db)
{
    return strcmp(name, "all") == 0
           || strcmp(name, db->alias) == 0
           || (name[0] == '/' && strcmp(name, db->path) == 0);
}


/*
 * nginx knows a database by the path that has no links in it; the file need
 * not be there.  CLI_YES: path, of 2 * PATH_MAX, is what a name may mean.
 */

static int
cli_linked(const char *name, char *path)
{
    char  dir[PATH_MAX], real[PATH_MAX], *slash;

    if (strchr(name, '/') == NULL || strlen(name) >= sizeof(dir)) {
        return CLI_NO;
    }

    if (realpath(name, real)) {
        cli_copy(path, 2 * PATH_MAX, "%s", real);
        return CLI_YES;
    }

    cli_copy(dir, sizeof(dir), "%s", name);

    slash = strrchr(dir, '/');
    *slash = '\0';

    if (realpath(slash == dir ? "/" : dir, real) == NULL) {
        return CLI_NO;
    }

    cli_copy(path, 2 * PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "",
             slash + 1);

    return CLI_YES;
}


int
cli_choose(cli_options_t *o, cli_state_t *st)
{
    int   i, n, found;
    char  path[2 * PATH_MAX];

    if (o->n_names == 0) {
        memset(st->chosen, 1, (size_t) st->n_dbs);
        memset(st->dir_chosen, 1, (size_t) st->n_dirs);
        return CLI_YES;
    }

    for (n = 0; n < o->n_names; n++) {

        found = cli_dir_choose(st, o->names[n])
                || strcmp(o->names[n], "all") == 0;

        for (i = 0; i < st->n_dbs; i++) {

            if (cli_named(o->names[n], &st->dbs[i])) {
                st->chosen[i] = 1;
                found = 1;
            }
        }

        if (!found && cli_linked(o->names[n], path) == CLI_YES) {

            for (i = 0; i < st->n_dbs; i++) {
                if (strcmp(path, st->dbs[i].path) == 0) {
                    st->chosen[i] = 1;
                    found = 1;
                }
            }
        }

        if (!found) {
            cli_fail(o, "unknown database \"%.700s\"", o->names[n]);
            return CLI_USAGE;
        }
    }

    return CLI_YES;
}
