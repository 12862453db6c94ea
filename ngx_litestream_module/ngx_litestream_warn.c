
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <sys/vfs.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


typedef struct {
    uint32_t                     type;  /* as in statfs() */
    char                        *name;
} ngx_litestream_fs_t;


static char *ngx_litestream_fs_remote(u_char *path);
static ngx_int_t ngx_litestream_fs_nearest(ngx_pool_t *pool, ngx_str_t *path,
    ngx_file_info_t *fi);


/*
 * File systems that are, or may be, another machine's.  Some of these numbers
 * are in no header that is always there.
 */

static ngx_litestream_fs_t  ngx_litestream_remote[] = {
    { 0x00006969, "NFS" },
    { 0x0000517b, "SMB" },
    { 0xff534d42, "CIFS" },
    { 0xfe534d42, "SMB" },
    { 0x01021997, "9p" },
    { 0x65735546, "FUSE" },
    { 0x5346414f, "AFS" },
    { 0x6b414653, "AFS" },
    { 0x00c36400, "Ceph" },
    { 0x73757245, "Coda" },
    { 0x0000564c, "NCP" },
    { 0x0bd00bd0, "Lustre" },
    { 0x01161970, "GFS2" },
    { 0x7461636f, "OCFS2" },
    { 0x19830326, "BeeGFS" },
    { 0, NULL }
};


/*
 * Says what works today, and may cost a database one day.  replica: the
 * litestream_replica that counts, NULL when said itself has it.  While the
 * configuration is read; may block on the file system.
 */

void
ngx_litestream_db_warn(ngx_litestream_parse_t *parse, ngx_litestream_db_t *db,
    ngx_http_litestream_said_t *said, ngx_http_litestream_said_t *replica)
{
    char             *name;
    ngx_file_info_t   fi, di;

    name = ngx_litestream_fs_remote(db->dir.data);

    if (name) {
        ngx_litestream_said_warn(parse->cf->log, said,
                                 "database \"%V\" is on a network file system "
                                 "(%s), where the locks and the WAL of SQLite "
                                 "are not safe: \"%V\" should be on a local "
                                 "disk", &db->alias, name, &db->dir);
    }

    if (replica) {
        said = replica;
    }

    /* one that is only read is somebody else's concern */

    if (!db->replicate || db->replica->path.len == 0 || said->warned) {
        return;
    }

    if (ngx_litestream_fs_nearest(parse->cf->temp_pool, &db->replica->path,
                                  &fi)
        != NGX_OK
        || ngx_file_info(db->dir.data, &di) == NGX_FILE_ERROR
        || fi.st_dev != di.st_dev)
    {
        return;
    }

    said->warned = 1;

    ngx_litestream_said_warn(parse->cf->log, said,
                             "replica \"%V\" is on the file system of "
                             "database \"%V\" itself: both would be lost "
                             "together", &db->replica->url, &db->alias);
}


/* the name of its kind, NULL: it is this machine's own, or cannot be told */

static char *
ngx_litestream_fs_remote(u_char *path)
{
    struct statfs         fs;
    ngx_litestream_fs_t  *known;

    if (statfs((char *) path, &fs) == -1) {
        return NULL;
    }

    for (known = ngx_litestream_remote; known->name; known++) {
        if (known->type == (uint32_t) fs.f_type) {
            return known->name;
        }
    }

    return NULL;
}


/* a replica may not be there yet: then what is above it tells */

static ngx_int_t
ngx_litestream_fs_nearest(ngx_pool_t *pool, ngx_str_t *path,
    ngx_file_info_t *fi)
{
    u_char  *name, *p;

    name = ngx_pnalloc(pool, path->len + 1);
    if (name == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(name, path->data, path->len + 1);

    while (ngx_file_info(name, fi) == NGX_FILE_ERROR) {

        if (ngx_errno != NGX_ENOENT || name[1] == '\0') {
            return NGX_ERROR;
        }

        p = (u_char *) strrchr((char *) name, '/');

        p[p == name ? 1 : 0] = '\0';
    }

    return NGX_OK;
}
