
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The status file.  It has a fixed size (sparse) and a fixed layout: one
 * record for the supervisor, then groups, then databases.  Each has two
 * copies behind a sequence counter whose lowest bit names the one that
 * counts: the other one is written, then the counter.  So a writer that is
 * interrupted, or dies, is never waited for.  The lock's holder writes with
 * pwrite(): a full disk is an error there, not a SIGBUS.  Everybody else maps
 * the file read-only.  It is never replaced, so that a mapping stays good
 * over reloads and respawns, unless its layout is not ours: workers of
 * another version go on with theirs.
 */


#include "ngx_litestream_supervisor.h"

#include <stddef.h>
#include <sys/mman.h>


static ngx_int_t ngx_litestream_status_valid(int fd);
static int ngx_litestream_status_new(ngx_str_t *name);
static ngx_int_t ngx_litestream_status_copy(void *rec, void *st, size_t size);
static uint64_t ngx_litestream_status_id(ngx_litestream_db_rec_t *rec);
static void ngx_litestream_status_put(off_t off, void *st, size_t size);
static void ngx_litestream_status_carry(void);


static ngx_litestream_status_file_t  *ngx_litestream_status_map;
static dev_t                          ngx_litestream_status_dev;
static ino_t                          ngx_litestream_status_ino;
static int                            ngx_litestream_status_fd = -1;
static ngx_uint_t                     ngx_litestream_status_failed;


/*
 * Maps the status file for reading, anew when it has been replaced.  Does
 * stat(), open(), and mmap(): for init_process, commands, and the retry timer
 * of a worker.
 */

ngx_int_t
ngx_litestream_status_open(ngx_str_t *name, ngx_log_t *log)
{
    int           fd;
    void         *p;
    struct stat   st;

    if (ngx_litestream_status_map
        && (stat((char *) name->data, &st) == -1
            || (st.st_dev == ngx_litestream_status_dev
                && st.st_ino == ngx_litestream_status_ino)))
    {
        return NGX_OK;
    }

    fd = open((char *) name->data, O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd == -1) {
        if (ngx_errno == NGX_ENOENT) {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "litestream: open() \"%V\" failed", name);
        return NGX_ERROR;
    }

    if (ngx_litestream_status_valid(fd) != NGX_OK || fstat(fd, &st) == -1) {
        (void) close(fd);
        return NGX_DECLINED;
    }

    p = mmap(NULL, sizeof(ngx_litestream_status_file_t), PROT_READ,
             MAP_SHARED, fd, 0);

    (void) close(fd);

    if (p == MAP_FAILED) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "litestream: mmap() \"%V\" failed", name);
        return NGX_ERROR;
    }

    if (ngx_litestream_status_map) {
        (void) munmap(ngx_litestream_status_map,
                      sizeof(ngx_litestream_status_file_t));
    }

    ngx_litestream_status_map = p;
    ngx_litestream_status_dev = st.st_dev;
    ngx_litestream_status_ino = st.st_ino;

    return NGX_OK;
}


/* NGX_OK: a status file with our layout, all of it */

static ngx_int_t
ngx_litestream_status_valid(int fd)
{
    struct stat                   st;
    ngx_litestream_status_head_t  head;

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)
        || st.st_size != (off_t) sizeof(ngx_litestream_status_file_t)
        || pread(fd, &head, sizeof(head), 0) != (ssize_t) sizeof(head)
        || head.magic != NGX_LITESTREAM_STATUS_MAGIC
        || head.version != NGX_LITESTREAM_STATUS_VERSION
        || head.size != sizeof(ngx_litestream_status_file_t))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_status_copy(void *rec, void *st, size_t size)
{
    uint32_t           seq;
    ngx_uint_t         n;
    volatile uint32_t  *p;

    p = rec;

    /* written twice while it is copied: that happens once at most */

    for (n = 0; n < 100; n++) {

        seq = *p;

        ngx_memory_barrier();
        __sync_synchronize();

        ngx_memcpy(st, (u_char *) rec + 2 * sizeof(uint32_t)
                       + (seq & 1) * size, size);

        __sync_synchronize();

        if (*p == seq) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * A number that is another one whenever a record has been written since; 0
 * before there is a file.  Worker, no I/O.
 */

uint64_t
ngx_litestream_status_changes(void)
{
    if (ngx_litestream_status_map == NULL) {
        return 0;
    }

    return *(volatile uint64_t *) &ngx_litestream_status_map->head.changes;
}


ngx_int_t
ngx_litestream_status_super(ngx_litestream_super_status_t *st)
{
    if (ngx_litestream_status_map == NULL) {
        return NGX_DECLINED;
    }

    return ngx_litestream_status_copy(&ngx_litestream_status_map->super, st,
                                      sizeof(ngx_litestream_super_status_t));
}


ngx_int_t
ngx_litestream_status_group(ngx_uint_t n, ngx_litestream_group_status_t *st)
{
    if (ngx_litestream_status_map == NULL
        || n >= NGX_LITESTREAM_MAX_GROUPS)
    {
        return NGX_DECLINED;
    }

    if (ngx_litestream_status_copy(&ngx_litestream_status_map->groups[n], st,
                                   sizeof(ngx_litestream_group_status_t))
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return st->name[0] ? NGX_OK : NGX_DECLINED;
}


static uint64_t
ngx_litestream_status_id(ngx_litestream_db_rec_t *rec)
{
    return rec->st[*(volatile uint32_t *) &rec->seq & 1].id;
}


ngx_int_t
ngx_litestream_status_db(uint64_t id, ngx_uint_t hint,
    ngx_litestream_db_status_t *st)
{
    ngx_uint_t                      i, n;
    ngx_litestream_status_file_t   *map;
    ngx_litestream_super_status_t   super;

    map = ngx_litestream_status_map;

    if (map == NULL) {
        return NGX_DECLINED;
    }

    if (hint >= NGX_LITESTREAM_MAX_DBS
        || ngx_litestream_status_id(&map->dbs[hint]) != id)
    {

        if (ngx_litestream_status_super(&super) != NGX_OK) {
            return NGX_DECLINED;
        }

        n = ngx_min(super.dbs, NGX_LITESTREAM_MAX_DBS);

        for (i = 0; i < n; i++) {
            if (ngx_litestream_status_id(&map->dbs[i]) == id) {
                break;
            }
        }

        if (i == n) {
            return NGX_DECLINED;
        }

        hint = i;
    }

    if (ngx_litestream_status_copy(&map->dbs[hint], st,
                                   sizeof(ngx_litestream_db_status_t))
        != NGX_OK
        || st->id != id)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_litestream_status_dir(uint64_t id, ngx_uint_t hint,
    ngx_litestream_dir_status_t *st)
{
    ngx_uint_t                     i, n;
    ngx_litestream_status_file_t  *map;

    map = ngx_litestream_status_map;

    if (map == NULL) {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_LITESTREAM_MAX_DIRS; i++) {

        n = (hint + i) % NGX_LITESTREAM_MAX_DIRS;

        if (map->dirs[n].st[*(volatile uint32_t *) &map->dirs[n].seq & 1].id
            == id)
        {
            if (ngx_litestream_status_copy(&map->dirs[n], st,
                                           sizeof(ngx_litestream_dir_status_t))
                == NGX_OK
                && st->id == id)
            {
                return NGX_OK;
            }

            break;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_litestream_status_next(uint64_t dir, ngx_uint_t *n,
    ngx_litestream_db_status_t *st)
{
    ngx_uint_t                      i, last;
    ngx_litestream_db_rec_t        *rec;
    ngx_litestream_status_file_t   *map;
    ngx_litestream_super_status_t   super;

    map = ngx_litestream_status_map;

    if (map == NULL || ngx_litestream_status_super(&super) != NGX_OK) {
        return NGX_DECLINED;
    }

    last = ngx_min(super.dbs, NGX_LITESTREAM_MAX_DBS);

    for (i = *n; i < last; i++) {

        rec = &map->dbs[i];

        if (rec->st[*(volatile uint32_t *) &rec->seq & 1].dir != dir
            || ngx_litestream_status_copy(rec, st,
                                          sizeof(ngx_litestream_db_status_t))
               != NGX_OK
            || st->dir != dir || st->id == 0)
        {
            continue;
        }

        *n = i + 1;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


/*
 * Opens the file for writing, makes it when needed, takes over what the last
 * holder knew (restarts, results of restores and verifications, "new"), and
 * lays it out for this configuration.  Supervisor, under the lock.
 */

ngx_int_t
ngx_litestream_status_create(void)
{
    int                             fd;
    ngx_uint_t                      i;
    ngx_litestream_db_rec_t         rec;
    ngx_litestream_conf_t          *conf;
    ngx_litestream_super_status_t   old;

    conf = ngx_litestream_sup->conf;

    ngx_memzero(&old, sizeof(ngx_litestream_super_status_t));

    fd = open((char *) conf->status.data,
              O_RDWR|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd != -1 && ngx_litestream_status_valid(fd) == NGX_OK) {

        if (ngx_litestream_status_open(&conf->status, ngx_litestream_sup->log)
            == NGX_OK)
        {
            (void) ngx_litestream_status_super(&old);
            ngx_litestream_member_carry();
            ngx_litestream_status_carry();
        }

    } else {

        if (fd != -1) {
            ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                          "litestream: \"%V\" is not a status file of this "
                          "version, it is made anew", &conf->status);
            (void) close(fd);
        }

        fd = ngx_litestream_status_new(&conf->status);
    }

    if (fd == -1 || fchmod(fd, 0644) == -1) {
        ngx_log_error(NGX_LOG_EMERG, ngx_litestream_sup->log, ngx_errno,
                      "litestream: cannot write \"%V\"", &conf->status);

        if (fd != -1) {
            (void) close(fd);
        }

        return NGX_ERROR;
    }

    if (ngx_litestream_status_fd != -1) {
        (void) close(ngx_litestream_status_fd);
    }

    ngx_litestream_status_fd = fd;

    ngx_litestream_sup->st.restarts = old.restarts;

    if (old.pid && old.clean == NGX_LITESTREAM_CLEAN_NOT) {
        ngx_litestream_sup->st.restarts++;
    }

    /* records that are not ours any more */

    ngx_memzero(&rec, sizeof(ngx_litestream_db_rec_t));

    for (i = conf->dbs.nelts; i < old.dbs && i < NGX_LITESTREAM_MAX_DBS; i++) {
        ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t, dbs)
                                  + i * sizeof(ngx_litestream_db_rec_t),
                                  rec.st,
                                  sizeof(ngx_litestream_db_status_t));
    }

    for (i = conf->dirs.nelts; i < old.dirs && i < NGX_LITESTREAM_MAX_DIRS;
         i++)
    {
        ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t, dirs)
                                  + i * sizeof(ngx_litestream_dir_rec_t),
                                  rec.st,
                                  sizeof(ngx_litestream_dir_status_t));
    }

    for (i = conf->groups.nelts;
         i < old.groups && i < NGX_LITESTREAM_MAX_GROUPS;
         i++)
    {
        ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t,
                                           groups)
                                  + i * sizeof(ngx_litestream_group_rec_t),
                                  rec.st,
                                  sizeof(ngx_litestream_group_status_t));
    }

    return NGX_OK;
}


/* a descriptor, or -1 and an error; what stood there goes all at once */

static int
ngx_litestream_status_new(ngx_str_t *name)
{
    int                           fd;
    char                          temp[4200];
    ngx_err_t                     err;
    ngx_litestream_status_head_t  head;

    (void) snprintf(temp, sizeof(temp), "%s.new", (char *) name->data);

    (void) unlink(temp);

    fd = open(temp, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0644);
    if (fd == -1) {
        return -1;
    }

    ngx_memzero(&head, sizeof(ngx_litestream_status_head_t));

    head.magic = NGX_LITESTREAM_STATUS_MAGIC;
    head.version = NGX_LITESTREAM_STATUS_VERSION;
    head.size = sizeof(ngx_litestream_status_file_t);

    if (fchmod(fd, 0644) == 0
        && ftruncate(fd, sizeof(ngx_litestream_status_file_t)) == 0
        && pwrite(fd, &head, sizeof(head), 0) == (ssize_t) sizeof(head)
        && rename(temp, (char *) name->data) == 0)
    {
        return fd;
    }

    err = ngx_errno;

    (void) close(fd);
    (void) unlink(temp);

    ngx_set_errno(err);

    return -1;
}


static void
ngx_litestream_status_carry(void)
{
    ngx_uint_t                      i, n;
    ngx_litestream_rdb_t           *rdb;
    ngx_litestream_rgroup_t        *rg;
    ngx_litestream_rdir_t          *rdir;
    ngx_litestream_db_status_t      st;
    ngx_litestream_dir_status_t     dst;
    ngx_litestream_group_status_t   gst;

    for (i = 0; i < ngx_litestream_sup->conf->dbs.nelts; i++) {

        rdb = ngx_litestream_sup->rdbs[i];

        if (ngx_litestream_status_db(rdb->db->id, i, &st) != NGX_OK
            || ngx_strcmp(st.replica_url, rdb->st.replica_url) != 0)
        {
            continue;
        }

        /* one that has been proven new has no past */

        if (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_NEW) {
            rdb->st.in_place = st.in_place;
            continue;
        }

        rdb->st.verify = st.verify;
        rdb->st.verify.running = 0;
        rdb->st.point = st.point;

        rdb->st.history_from = st.history_from;
        rdb->st.history_to = st.history_to;
        rdb->st.txid = st.txid;
        rdb->st.last_sync_at = st.last_sync_at;

        if (st.restore_state == NGX_LITESTREAM_RESTORE_DONE
            && (rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN
                || rdb->db->outcome == NGX_LITESTREAM_OUTCOME_PRESENT))
        {
            rdb->st.restore_state = st.restore_state;
            rdb->st.restore_ms = st.restore_ms;
            rdb->st.restore_bytes = st.restore_bytes;
            rdb->st.restore_total = st.restore_total;
            rdb->st.restore_txid = st.restore_txid;
        }

        /* what has happened while no nginx was running is not known */

        if (ngx_litestream_sup->first
            && rdb->db->outcome == NGX_LITESTREAM_OUTCOME_UNKNOWN)
        {
            continue;
        }

        /* ready stays 1 while the files are looked at once more */

        rdb->st.in_place = st.in_place;

        if (rdb->db->outcome != NGX_LITESTREAM_OUTCOME_UNKNOWN) {
            continue;
        }

        /* proven once: the storage is not asked again for a respawn */

        if (st.state == NGX_LITESTREAM_DB_NEW && st.in_place
            && rdb->db->replicate)
        {
            rdb->st.state = NGX_LITESTREAM_DB_NEW;
        }
    }

    for (i = 0; i < ngx_litestream_sup->conf->dirs.nelts; i++) {

        rdir = &ngx_litestream_sup->rdirs[i];

        if (ngx_litestream_status_dir(rdir->dir->id, i, &dst) == NGX_OK
            && (!ngx_litestream_sup->first || !rdir->dir->db->background))
        {
            rdir->st.in_place = dst.in_place;
        }
    }

    for (n = 0; n < NGX_LITESTREAM_MAX_GROUPS; n++) {

        if (ngx_litestream_status_group(n, &gst) != NGX_OK) {
            break;
        }

        for (i = 0; i < ngx_litestream_sup->conf->groups.nelts; i++) {

            rg = &ngx_litestream_sup->rgroups[i];

            if (ngx_strcmp(gst.name, rg->st.name) == 0) {
                rg->st.restarts = gst.restarts;
                rg->st.pid = gst.pid;
                ngx_memcpy(rg->st.last_exit, gst.last_exit,
                           sizeof(gst.last_exit));
            }
        }
    }
}


static void
ngx_litestream_status_put(off_t off, void *st, size_t size)
{
    int       fd;
    uint32_t  seq;

    static uint64_t  changes;

    fd = ngx_litestream_status_fd;

    if (fd == -1) {
        return;
    }

    /* other holders have written before, and one may again */

    if (changes == 0) {
        changes = (uint64_t) ngx_litestream_now() << 20;
    }

    changes++;

    if (pread(fd, &seq, sizeof(seq), off) != (ssize_t) sizeof(seq)) {
        goto failed;
    }

    seq++;

    if (pwrite(fd, st, size, off + 2 * sizeof(seq) + (seq & 1) * size)
        != (ssize_t) size
        || pwrite(fd, &seq, sizeof(seq), off) != (ssize_t) sizeof(seq)
        || pwrite(fd, &changes, sizeof(changes),
                  offsetof(ngx_litestream_status_file_t, head)
                  + offsetof(ngx_litestream_status_head_t, changes))
           != (ssize_t) sizeof(changes))
    {
        goto failed;
    }

    ngx_litestream_status_failed = 0;

    return;

failed:

    if (!ngx_litestream_status_failed) {
        ngx_litestream_status_failed = 1;
        ngx_log_error(NGX_LOG_CRIT, ngx_litestream_sup->log, ngx_errno,
                      "litestream: pwrite() \"%V\" failed",
                      &ngx_litestream_sup->conf->status);
    }
}


void
ngx_litestream_status_super_write(void)
{
    ngx_litestream_super_status_t  *st;

    if (!ngx_litestream_sup->holder) {
        return;
    }

    st = &ngx_litestream_sup->st;

    st->pid = ngx_pid;
    st->state = ngx_litestream_sup->restore_only ? NGX_LITESTREAM_RESTORING
                                                 : ngx_litestream_sup->state;

    ngx_memcpy(st->module_ver, NGX_LITESTREAM_VERSION,
               sizeof(NGX_LITESTREAM_VERSION));
    ngx_memcpy(st->nginx_ver, NGINX_VERSION, sizeof(NGINX_VERSION));

    st->heartbeat = ngx_litestream_now();
    st->groups = ngx_litestream_sup->conf->groups.nelts;
    st->dbs = ngx_litestream_sup->conf->dbs.nelts;
    st->dirs = ngx_litestream_sup->conf->dirs.nelts;

    ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t, super),
                              st, sizeof(ngx_litestream_super_status_t));
}


void
ngx_litestream_status_group_write(ngx_litestream_rgroup_t *rg)
{
    if (!ngx_litestream_sup->holder) {
        return;
    }

    rg->st.state = rg->state;

    ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t, groups)
                              + rg->group->index
                                * sizeof(ngx_litestream_group_rec_t),
                              &rg->st, sizeof(ngx_litestream_group_status_t));
}


void
ngx_litestream_status_db_write(ngx_litestream_rdb_t *rdb)
{
    if (!ngx_litestream_sup->holder) {
        return;
    }

    /*
     * nothing was committed between the newest file and the last sync; yet
     * Litestream 0.3 restores no time after that file
     */

    if (rdb->synced && rdb->st.history_from && ngx_litestream_kind->txid
        && rdb->st.last_sync_at > rdb->st.history_to)
    {
        rdb->st.history_to = rdb->st.last_sync_at;
    }

    ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t, dbs)
                              + rdb->index * sizeof(ngx_litestream_db_rec_t),
                              &rdb->st, sizeof(ngx_litestream_db_status_t));
}


void
ngx_litestream_status_dir_write(ngx_litestream_rdir_t *rdir)
{
    if (!ngx_litestream_sup->holder) {
        return;
    }

    ngx_litestream_status_put(offsetof(ngx_litestream_status_file_t, dirs)
                              + rdir->dir->index
                                * sizeof(ngx_litestream_dir_rec_t),
                              &rdir->st, sizeof(ngx_litestream_dir_status_t));
}
