
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


static ngx_uint_t ngx_litestream_keyless(ngx_litestream_replica_t *replica,
    ngx_litestream_vars_t *vars);
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
    char                   *name;
    ngx_file_info_t         fi, di;
    ngx_litestream_vars_t  *vars;

    name = ngx_litestream_fs_remote(db->dir.data);

    if (name) {
        ngx_litestream_said_warn(parse->cf->log, said,
                                 "database \"%V\" is on a network file system "
                                 "(%s), where the locks and the WAL of SQLite "
                                 "are not safe: \"%V\" should be on a local "
                                 "disk", &db->alias, name, &db->dir);
    }

    vars = said->vars;

    if (replica) {
        said = replica;
    }

    if (!said->warned && ngx_litestream_keyless(db->replica, vars)) {

        said->warned = 1;

        ngx_litestream_said_warn(parse->cf->log, said,
                                 "no key is said for replica \"%V\": set "
                                 "LITESTREAM_ACCESS_KEY_ID and "
                                 "LITESTREAM_SECRET_ACCESS_KEY by "
                                 "\"litestream_env_file\"",
                                 &db->replica->url);
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


/*
 * Elsewhere than at Amazon there is no role that Litestream could take, and
 * what it says of that at last speaks of Amazon's machines.
 */

static ngx_uint_t
ngx_litestream_keyless(ngx_litestream_replica_t *replica,
    ngx_litestream_vars_t *vars)
{
    char         **name;

    static char   *names[] = {
        "LITESTREAM_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        NULL
    };

    if (ngx_strcmp(replica->type.data, "s3") != 0
        || ngx_litestream_replica_key(replica, "access-key-id")
        || ngx_strstr(replica->endpoint.data, "amazonaws.com"))
    {
        return 0;
    }

    for (name = names; *name; name += 2) {
        if (ngx_litestream_vars_get(vars, name[0], name[1])) {
            return 0;
        }
    }

    return 1;
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
