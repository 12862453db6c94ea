
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The comparison of a database with its replica of Litestream 0.3, before that
 * is started, and before 0.5 goes on where 0.3 has been.
 */


#include "ngx_litestream_old.h"


static void ngx_litestream_old_where(char *buf, size_t size,
    ngx_litestream_old_pos_t *pos);
static ngx_litestream_check_e ngx_litestream_old_judge_facts(
    ngx_litestream_rdb_t *rdb, ngx_litestream_old_facts_t *f);


/*
 * In a job: as ngx_litestream_compare(), what it sees goes into job->result.
 * Nothing has to be held for a start: of a WAL that is not the one that it
 * knows, Litestream 0.3 makes a new generation.
 */

void
ngx_litestream_old_check(ngx_litestream_job_t *job)
{
    ngx_litestream_list_t  list;

    ngx_litestream_old_local(job);

    if (ngx_litestream_old_list(job, &list) != NGX_OK) {
        return;
    }

    job->result.rc = NGX_OK;
    ngx_litestream_list_result(job, &list);
}


/*
 * In a job: the position of the database, as Litestream 0.3 has left it in its
 * meta directory, and whether the WAL still has what was read of it.
 */

void
ngx_litestream_old_local(ngx_litestream_job_t *job)
{
    char                  shadow[4700], wal[4300];
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    if (ngx_litestream_old_shadow(db, shadow, sizeof(shadow),
                                  &job->result.old_local)
        != NGX_OK)
    {
        return;
    }

    (void) snprintf(wal, sizeof(wal), "%s-wal", (char *) db->path.data);

    if (ngx_litestream_wal_check(shadow, wal) == NGX_DECLINED) {
        job->result.old_torn = 1;
    }
}


/*
 * In a job of Litestream 0.5, which has found nothing of its own: what 0.3 has
 * left in the replica, where that is a directory.  NGX_ERROR: the result says
 * why it cannot be told.
 */

ngx_int_t
ngx_litestream_old_seen(ngx_litestream_job_t *job)
{
    ngx_litestream_list_t  list;

    if (!ngx_litestream_kind->control || !ngx_litestream_batch_fits(job->rdb)) {
        return NGX_OK;
    }

    return ngx_litestream_old_list_dir(job, &list);
}


/* the verdict on what a job has seen; any other than GO has been told */

ngx_litestream_check_e
ngx_litestream_old_judge(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res)
{
    ngx_litestream_check_e       verdict;
    ngx_litestream_old_facts_t   f;

    ngx_memzero(&f, sizeof(ngx_litestream_old_facts_t));

    f.replica = res->old;
    f.local = res->old_local;
    f.last = rdb->old.pos;
    f.files = res->files;
    f.seen = rdb->seen_txid;
    f.newer = (res->newer != 0);
    f.exists = (res->size > 0);
    f.seq = res->seq;
    f.torn = res->old_torn;
    f.same = (rdb->restored_ino && rdb->restored_ino == res->ino
              && rdb->restored_dev == res->dev);
    f.own = (rdb->old.ino && rdb->old.ino == res->ino
             && rdb->old.dev == res->dev);

    verdict = ngx_litestream_old_judge_facts(rdb, &f);

    if (verdict == NGX_LITESTREAM_GO) {

        if (res->files) {
            rdb->old.pos = res->old;
        }

        rdb->old.dev = res->dev;
        rdb->old.ino = res->ino;
        ngx_litestream_sup->memory_dirty = 1;
    }

    return verdict;
}


/*
 * 1: there is nothing of Litestream 0.5 in the replica yet, and 0.3 has been
 * there: what res and the memory tell is put into its place.  Where only 0.3
 * could list it, the replica is taken to be as it was seen at last.
 */

ngx_uint_t
ngx_litestream_old_moves(ngx_litestream_rdb_t *rdb,
    ngx_litestream_job_msg_t *res)
{
    if (res->files) {
        return 0;
    }

    if (res->old.generation) {
        res->files = 1;
        return 1;
    }

    if (rdb->old.pos.generation && !ngx_litestream_batch_fits(rdb)) {
        res->old = rdb->old.pos;
        res->files = 1;
        return 1;
    }

    return 0;
}


static ngx_litestream_check_e
ngx_litestream_old_judge_facts(ngx_litestream_rdb_t *rdb,
    ngx_litestream_old_facts_t *f)
{
    char                    *url, *path, replica[64], local[64], when[32];
    ngx_litestream_check_e   verdict;

    verdict = ngx_litestream_old_verdict(f);

    url = (char *) rdb->db->replica->url.data;
    path = (char *) rdb->db->path.data;

    ngx_litestream_old_where(replica, sizeof(replica), &f->replica);
    ngx_litestream_old_where(local, sizeof(local), &f->local);

    switch (verdict) {

    case NGX_LITESTREAM_NEWER:
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" holds a "
                                "backup of Litestream 0.5, which 0.3 can "
                                "neither read nor continue: run 0.5, or give "
                                "the database an empty replica", url);
        break;

    case NGX_LITESTREAM_AHEAD:
        ngx_litestream_db_error(rdb, "not replicated: the database does not "
                                "continue replica \"%s\", whose newest "
                                "position is %s, the database's is %s; going "
                                "on would replace a newer backup. To take the "
                                "replica's, move \"%s\" away and restart "
                                "nginx; to keep the database, give it an "
                                "empty replica", url, replica, local, path);
        break;

    case NGX_LITESTREAM_VANISHED:
        ngx_litestream_when(when, sizeof(when), rdb->seen_at);
        ngx_litestream_db_error(rdb, "not replicated: replica \"%s\" is "
                                "empty, but a backup was seen there at %s: is "
                                "its storage mounted?", url, when);
        break;

    case NGX_LITESTREAM_MADE_ANEW:
        ngx_litestream_db_error(rdb, "not replicated: \"%s\" is not the "
                                "database that was replicated to \"%s\": it "
                                "was made anew beside the old one's meta "
                                "directory (position %s). To take the "
                                "replica's, move it away and restart nginx; "
                                "to keep it, give it an empty replica",
                                path, url, local);
        break;

    case NGX_LITESTREAM_TORN:
        ngx_litestream_db_error(rdb, "not replicated: the WAL of \"%s\" has "
                                "lost commits that replica \"%s\" holds "
                                "(position %s), as after a power failure; "
                                "going on would remove them from the newest "
                                "backup. To take the replica's, move the "
                                "database away and restart nginx; to keep it, "
                                "give it an empty replica", path, url,
                                replica);
        break;

    case NGX_LITESTREAM_GONE:
        rdb->st.in_place = 0;
        rdb->lost = 1;

        ngx_litestream_db_error(rdb, "\"%s\" is missing, replica \"%s\" holds "
                                "a backup%s", path, url,
                                rdb->db->restore == NGX_LITESTREAM_RESTORE_OFF
                                ? ", and restore=off"
                                : ": restart nginx to restore it");
        break;

    case NGX_LITESTREAM_NOT_BEGUN:   /* 0.3 begins with a snapshot */
    case NGX_LITESTREAM_GO:
        break;
    }

    return verdict;
}


/* as Litestream prints it, less the offset, which is only about right */

static void
ngx_litestream_old_where(char *buf, size_t size, ngx_litestream_old_pos_t *pos)
{
    if (pos->generation == 0) {
        (void) snprintf(buf, size, "none");
        return;
    }

    (void) snprintf(buf, size, "%016llx/%08x",
                    (unsigned long long) pos->generation,
                    (unsigned) (pos->at >> 32));
}
