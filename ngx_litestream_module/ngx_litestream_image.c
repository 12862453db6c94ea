
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The content of a database at one transaction of its replica, page by page:
 * in jobs.
 *
 * The newest level-0 LTX file at hand tells the WAL, by its salts, and the
 * frame at which its transaction ends.  Each page is the last one of those
 * frames, or else what stands in the database.  That is so as long as the WAL
 * is not begun anew and no checkpoint has gone beyond that frame, which a
 * reader's transaction that was begun before the sync sees to; and both can
 * be told from the WAL-index afterwards.
 */


#include "ngx_litestream_supervisor.h"

#include <ngx_md5.h>


/* sums that are kept: each is of one page, in large databases of several */
#define NGX_LITESTREAM_IMAGE_SUMS   65536

/* read at once, a multiple of all sizes of pages */
#define NGX_LITESTREAM_IMAGE_CHUNK  262144

/* while a database is read its WAL may grow by so much */
#define NGX_LITESTREAM_IMAGE_GROWS  (256 * 1024 * 1024)

/* ms between messages to the supervisor */
#define NGX_LITESTREAM_IMAGE_TELL   200


/* SQLite leaves out the page that holds the bytes it locks */
#define ngx_litestream_image_lock(image)                                      \
    (0x40000000 / (image)->page + 1)


typedef struct {
    uint32_t                     pgno;
    uint32_t                     frame;
} ngx_litestream_frame_t;


typedef struct {
    ngx_litestream_job_t        *job;
    ngx_litestream_image_t      *image;
    ngx_msec_t                   told;

    /* of a database */

    sqlite3_file                *file;
    volatile u_char             *index;
    int                          wal;
    u_char                       salts[8];
    uint32_t                     end;     /* the last frame */
    ngx_litestream_frame_t      *frames;  /* by page, one for each */
    ngx_uint_t                   nframes;
    ngx_uint_t                   next;

    /* of a copy */

    int                          fd;
} ngx_litestream_reader_t;


static ngx_int_t ngx_litestream_image_begin(ngx_litestream_reader_t *r,
    sqlite3 *conn);
static ngx_int_t ngx_litestream_image_frames(ngx_litestream_reader_t *r);
static int ngx_litestream_image_order(const void *one, const void *two);
static ngx_int_t ngx_litestream_image_sum(ngx_litestream_reader_t *r,
    u_char *sums);
static ngx_int_t ngx_litestream_image_read(ngx_litestream_reader_t *r,
    uint32_t pgno, uint32_t n, u_char *buf);
static ngx_int_t ngx_litestream_image_still(ngx_litestream_reader_t *r);
static ngx_int_t ngx_litestream_image_pace(ngx_litestream_reader_t *r);
static ngx_int_t ngx_litestream_image_fail(ngx_litestream_reader_t *r,
    const char *what);


/*
 * Reads the database as it was at the newest transaction that Litestream has
 * taken from it, and fills in image; its sums are allocated and freed by
 * nobody.  conn has a reader's transaction open that was begun before the last
 * sync.  NGX_AGAIN: that transaction cannot be read any more, after another
 * commit and another sync it can; NGX_ERROR: the result says why.  In a job,
 * as the database's user; reads all of it.
 */

ngx_int_t
ngx_litestream_image_live(ngx_litestream_job_t *job, sqlite3 *conn,
    ngx_litestream_image_t *image)
{
    ngx_int_t                rc;
    ngx_litestream_reader_t  r;

    ngx_memzero(&r, sizeof(ngx_litestream_reader_t));

    r.job = job;
    r.image = image;
    r.wal = -1;
    r.fd = -1;
    r.told = ngx_litestream_hold_now();

    rc = ngx_litestream_image_begin(&r, conn);

    if (rc == NGX_OK) {
        rc = ngx_litestream_image_frames(&r);
    }

    if (rc == NGX_OK) {
        image->each = (image->pages + NGX_LITESTREAM_IMAGE_SUMS - 1)
                      / NGX_LITESTREAM_IMAGE_SUMS;
        image->nsums = (image->pages + image->each - 1) / image->each;

        if (image->sums == NULL) {
            image->sums = malloc(NGX_LITESTREAM_IMAGE_SUMS * 16);
        }

        rc = image->sums ? ngx_litestream_image_sum(&r, image->sums)
                         : ngx_litestream_image_fail(&r, "malloc()");
    }

    if (rc == NGX_OK) {
        rc = ngx_litestream_image_still(&r);
    }

    if (r.wal != -1) {
        (void) close(r.wal);
    }

    free(r.frames);

    return rc;
}


/*
 * Compares a restored copy, which SQLite must not have touched yet.  diff gets
 * how much differs, and where it begins.  NGX_ERROR: it cannot be read, or is
 * of another size: the result says so.  In a job.
 */

ngx_int_t
ngx_litestream_image_compare(ngx_litestream_job_t *job, char *copy,
    ngx_litestream_image_t *image, ngx_litestream_diff_t *diff)
{
    off_t                     size;
    u_char                   *sums;
    uint32_t                  i, first, last;
    ngx_int_t                 rc;
    struct stat               st;
    ngx_litestream_reader_t   r;

    ngx_memzero(diff, sizeof(ngx_litestream_diff_t));
    ngx_memzero(&r, sizeof(ngx_litestream_reader_t));

    r.job = job;
    r.image = image;
    r.told = ngx_litestream_hold_now();
    r.fd = open(copy, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (r.fd == -1 || fstat(r.fd, &st) == -1) {
        return ngx_litestream_image_fail(&r, "open() of the restored copy");
    }

    size = (off_t) image->pages * image->page;

    if (st.st_size != size) {
        ngx_litestream_fail(job, "the restored copy differs from the database "
                            "at transaction %016llx: it has %lld bytes "
                            "instead of %lld",
                            (unsigned long long) image->txid,
                            (long long) st.st_size, (long long) size);
        (void) close(r.fd);
        return NGX_ERROR;
    }

    sums = malloc(image->nsums * 16 + 1);

    rc = sums ? ngx_litestream_image_sum(&r, sums)
              : ngx_litestream_image_fail(&r, "malloc()");

    (void) close(r.fd);

    for (i = 0; rc == NGX_OK && i < image->nsums; i++) {

        if (ngx_memcmp(&sums[i * 16], &image->sums[i * 16], 16) == 0) {
            continue;
        }

        first = i * image->each + 1;
        last = ngx_min(first + image->each - 1, image->pages);

        if (diff->n == 0) {
            diff->first = first;
            diff->last = last;
        }

        diff->n += last - first + 1;
    }

    free(sums);

    return rc;
}


/*
 * Whose pages these are, as the copy has it: a table or an index.  NGX_DECLINED
 * when that cannot be told, as by a SQLite without dbstat.  In a job.
 */

ngx_int_t
ngx_litestream_image_owner(char *copy, ngx_litestream_diff_t *diff,
    char *name, size_t size)
{
    int            rc;
    sqlite3       *conn;
    ngx_int_t      ret;
    sqlite3_stmt  *stmt;

    stmt = NULL;
    ret = NGX_DECLINED;

    rc = sqlite3_open_v2(copy, &conn, SQLITE_OPEN_READWRITE, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(conn, "SELECT name FROM dbstat"
                                " WHERE pageno BETWEEN ? AND ? LIMIT 1", -1,
                                &stmt, NULL);
    }

    if (rc == SQLITE_OK) {
        (void) sqlite3_bind_int64(stmt, 1, diff->first);
        (void) sqlite3_bind_int64(stmt, 2, diff->last);

        if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0)) {
            (void) snprintf(name, size, "%s",
                            (char *) sqlite3_column_text(stmt, 0));
            ret = NGX_OK;
        }
    }

    (void) sqlite3_finalize(stmt);
    (void) sqlite3_close(conn);

    return ret;
}


/* which WAL, and up to where */

static ngx_int_t
ngx_litestream_image_begin(ngx_litestream_reader_t *r, sqlite3 *conn)
{
    char                    ltx[4600], name[4300];
    u_char                  l[NGX_LITESTREAM_LTX_HEADER], h[32];
    uint32_t                meta;
    uint64_t                end, size;
    ngx_litestream_db_t    *db;
    ngx_litestream_image_t *image;

    db = r->job->rdb->db;
    image = r->image;

    /*
     * The database is read through SQLite's own descriptor: closing another
     * one would end all locks of this process.
     */

    if (ngx_litestream_wal_index(conn, &r->file, &r->index) != NGX_OK) {
        ngx_litestream_fail(r->job, "database \"%s\" has no WAL",
                            (char *) db->path.data);
        return NGX_ERROR;
    }

    image->txid = ngx_litestream_newest(db, &meta, ltx, sizeof(ltx));

    if (image->txid == 0) {
        ngx_litestream_fail(r->job, "Litestream has no transaction of \"%s\" "
                            "at hand", (char *) db->path.data);
        return NGX_ERROR;
    }

    if (ngx_litestream_wal_ltx(ltx, l, &end) != NGX_OK) {
        return NGX_AGAIN;
    }

    image->page = (uint32_t) l[8] << 24 | l[9] << 16 | l[10] << 8 | l[11];

    if (image->page < 512 || image->page > 65536
        || (image->page & (image->page - 1)))
    {
        return NGX_AGAIN;
    }

    size = NGX_LITESTREAM_WAL_FRAME + image->page;
    end -= NGX_LITESTREAM_WAL_HEADER;

    if (end % size || end / size > UINT32_MAX) {
        return NGX_AGAIN;
    }

    r->end = end / size;
    ngx_memcpy(r->salts, &l[64], 8);

    (void) snprintf(name, sizeof(name), "%s-wal", (char *) db->path.data);

    r->wal = open(name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (r->wal == -1) {
        return ngx_litestream_image_fail(r, "open() of its WAL");
    }

    if (pread(r->wal, h, sizeof(h), 0) != (ssize_t) sizeof(h)
        || ngx_memcmp(&h[16], r->salts, 8) != 0)
    {
        return NGX_AGAIN;
    }

    return ngx_litestream_image_still(r);
}


/* of each page the last frame up to the end, and how many pages there are */

static ngx_int_t
ngx_litestream_image_frames(ngx_litestream_reader_t *r)
{
    off_t                    at;
    u_char                   h[NGX_LITESTREAM_WAL_FRAME];
    uint32_t                 n;
    ngx_uint_t               i;
    ngx_litestream_frame_t  *f;

    f = malloc(r->end * sizeof(ngx_litestream_frame_t));
    if (f == NULL) {
        return ngx_litestream_image_fail(r, "malloc()");
    }

    r->frames = f;

    for (n = 0; n < r->end; n++) {

        at = NGX_LITESTREAM_WAL_HEADER
             + (off_t) n * (NGX_LITESTREAM_WAL_FRAME + r->image->page);

        if (pread(r->wal, h, sizeof(h), at) != (ssize_t) sizeof(h)
            || ngx_memcmp(&h[8], r->salts, 8) != 0)
        {
            return NGX_AGAIN;
        }

        f[n].pgno = (uint32_t) h[0] << 24 | h[1] << 16 | h[2] << 8 | h[3];
        f[n].frame = n;

        if (n % 4096 == 0 && ngx_litestream_image_pace(r) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* the size of the database stands in the last frame of a commit */

    r->image->pages = (uint32_t) h[4] << 24 | h[5] << 16 | h[6] << 8 | h[7];

    if (r->image->pages == 0) {
        return NGX_AGAIN;
    }

    qsort(f, r->end, sizeof(ngx_litestream_frame_t),
          ngx_litestream_image_order);

    for (i = 0; i < r->end; i++) {

        if (f[i].pgno == 0 || f[i].pgno > r->image->pages
            || (i + 1 < r->end && f[i + 1].pgno == f[i].pgno))
        {
            continue;
        }

        f[r->nframes++] = f[i];
    }

    return NGX_OK;
}


static int
ngx_litestream_image_order(const void *one, const void *two)
{
    const ngx_litestream_frame_t  *a = one, *b = two;

    if (a->pgno != b->pgno) {
        return a->pgno < b->pgno ? -1 : 1;
    }

    return a->frame < b->frame ? -1 : a->frame > b->frame;
}


static ngx_int_t
ngx_litestream_image_sum(ngx_litestream_reader_t *r, u_char *sums)
{
    uint32_t                 i, n, pgno, step, in;
    ngx_md5_t                md5;
    ngx_int_t                rc;
    ngx_litestream_image_t  *image;

    static u_char            buf[NGX_LITESTREAM_IMAGE_CHUNK];

    image = r->image;
    step = NGX_LITESTREAM_IMAGE_CHUNK / image->page;
    in = 0;

    for (pgno = 1; pgno <= image->pages; pgno += n) {

        n = ngx_min(step, image->pages - pgno + 1);

        rc = ngx_litestream_image_pace(r);

        if (rc == NGX_OK) {
            rc = ngx_litestream_image_read(r, pgno, n, buf);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        for (i = 0; i < n; i++) {

            if (in == 0) {
                ngx_md5_init(&md5);
            }

            if (pgno + i != ngx_litestream_image_lock(image)) {
                ngx_md5_update(&md5, &buf[i * image->page], image->page);
            }

            if (++in == image->each || pgno + i == image->pages) {
                ngx_md5_final(sums, &md5);
                sums += 16;
                in = 0;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_image_read(ngx_litestream_reader_t *r, uint32_t pgno,
    uint32_t n, u_char *buf)
{
    int                      rc;
    off_t                    at;
    ssize_t                  size;
    ngx_litestream_frame_t  *f;

    at = (off_t) (pgno - 1) * r->image->page;
    size = (ssize_t) n * r->image->page;

    if (r->fd != -1) {
        return pread(r->fd, buf, size, at) == size ? NGX_OK
               : ngx_litestream_image_fail(r, "pread() of the restored copy");
    }

    /* what the WAL alone has may be beyond the end: that is all zeros then */

    rc = r->file->pMethods->xRead(r->file, buf, size, at);

    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
        return ngx_litestream_image_fail(r, "reading it");
    }

    for ( /* void */ ; r->next < r->nframes; r->next++) {

        f = &r->frames[r->next];

        if (f->pgno >= pgno + n) {
            break;
        }

        at = NGX_LITESTREAM_WAL_HEADER + NGX_LITESTREAM_WAL_FRAME
             + (off_t) f->frame * (NGX_LITESTREAM_WAL_FRAME + r->image->page);

        if (pread(r->wal, &buf[(f->pgno - pgno) * r->image->page],
                  r->image->page, at)
            != (ssize_t) r->image->page)
        {
            return NGX_AGAIN;
        }
    }

    return NGX_OK;
}


/*
 * NGX_AGAIN: the WAL was begun anew, or a checkpoint has gone beyond the end.
 * It says so before it writes the first page, and the salts change before a
 * new WAL's first frame is written.
 */

static ngx_int_t
ngx_litestream_image_still(ngx_litestream_reader_t *r)
{
    u_char    h[NGX_LITESTREAM_SHM_HEADER];
    uint32_t  done, begun;

    ngx_memory_barrier();

    ngx_memcpy(&done, (u_char *) r->index + NGX_LITESTREAM_SHM_BACKFILL,
               sizeof(uint32_t));
    ngx_memcpy(&begun, (u_char *) r->index + NGX_LITESTREAM_SHM_ATTEMPT,
               sizeof(uint32_t));

    ngx_litestream_wal_index_header(r->index, h);

    if (ngx_memcmp(&h[NGX_LITESTREAM_SHM_SALTS], r->salts, 8) != 0
        || done > r->end || begun > r->end)
    {
        return NGX_AGAIN;
    }

    return NGX_OK;
}


/*
 * A reader's transaction keeps checkpoints from getting on: the supervisor is
 * told of the progress, and the WAL must not grow for ever.
 */

static ngx_int_t
ngx_litestream_image_pace(ngx_litestream_reader_t *r)
{
    uint32_t                  frames;
    uint64_t                  more;
    ngx_msec_t                now;
    ngx_litestream_job_msg_t  msg;

    now = ngx_litestream_hold_now();

    if (now - r->told < NGX_LITESTREAM_IMAGE_TELL) {
        return NGX_OK;
    }

    r->told = now;

    if (ngx_litestream_job_stopped()) {
        ngx_litestream_fail(r->job, "interrupted");
        return NGX_ERROR;
    }

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));
    msg.type = NGX_LITESTREAM_JOB_PROGRESS;

    ngx_litestream_job_tell(r->job, &msg);

    if (r->index == NULL) {
        return NGX_OK;
    }

    ngx_memcpy(&frames, (u_char *) r->index + NGX_LITESTREAM_SHM_FRAMES,
               sizeof(uint32_t));

    more = frames > r->end ? frames - r->end : 0;
    more *= NGX_LITESTREAM_WAL_FRAME + r->image->page;

    if (more > NGX_LITESTREAM_IMAGE_GROWS) {
        ngx_litestream_fail(r->job, "the database is written to faster than "
                            "it can be read: its WAL has grown by %llu bytes "
                            "meanwhile", (unsigned long long) more);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_image_fail(ngx_litestream_reader_t *r, const char *what)
{
    int  err;

    err = errno;

    if (r->fd != -1) {
        (void) close(r->fd);
        r->fd = -1;
    }

    ngx_litestream_fail(r->job, "\"%s\" cannot be compared: %s failed: %s",
                        (char *) r->job->rdb->db->path.data, what,
                        strerror(err));
    return NGX_ERROR;
}
