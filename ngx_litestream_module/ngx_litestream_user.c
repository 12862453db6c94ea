
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <grp.h>
#include <pwd.h>
#include <sys/xattr.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


#define NGX_LITESTREAM_SYMLINKS  40
#define NGX_LITESTREAM_GROUPS    256


static ngx_int_t ngx_litestream_number(ngx_str_t *value, ngx_uint_t *n);
static void ngx_litestream_said_log(ngx_uint_t level, ngx_log_t *log,
    ngx_http_litestream_said_t *said, u_char *text, size_t len);


/*
 * A user and its group, NULL: the user's own one, of litestream_user or
 * owner=.  Numbers need no entry in passwd; such a user's group has the same
 * number then.  NULL: unknown, it has been logged.  May block in NSS.
 */

ngx_litestream_user_t *
ngx_litestream_user_find(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *user, ngx_str_t *group)
{
    uid_t           uid;
    gid_t           gid;
    ngx_uint_t      n;
    ngx_log_t      *log;
    struct group   *gr;
    struct passwd  *pw;

    log = parse->cf->log;

    if (ngx_litestream_number(user, &n) == NGX_OK) {
        uid = (uid_t) n;

        pw = getpwuid(uid);

        gid = pw ? pw->pw_gid : (gid_t) n;

    } else {
        ngx_set_errno(0);

        pw = getpwnam((char *) user->data);

        if (pw == NULL) {
            ngx_litestream_said_error(log, said, ngx_errno,
                                      "unknown user \"%V\"", user);
            return NULL;
        }

        uid = pw->pw_uid;
        gid = pw->pw_gid;
    }

    if (group) {

        if (ngx_litestream_number(group, &n) == NGX_OK) {
            gid = (gid_t) n;

        } else {
            ngx_set_errno(0);

            gr = getgrnam((char *) group->data);

            if (gr == NULL) {
                ngx_litestream_said_error(log, said, ngx_errno,
                                          "unknown group \"%V\"", group);
                return NULL;
            }

            gid = gr->gr_gid;
        }

        return ngx_litestream_user_get(parse, group, uid, gid);
    }

    return ngx_litestream_user_get(parse, NULL, uid, gid);
}


/*
 * gid counts when a group was said, or when the user has no passwd entry;
 * for the user that nginx runs as it is the group of the process
 */

ngx_litestream_user_t *
ngx_litestream_user_get(ngx_litestream_parse_t *parse, ngx_str_t *group,
    uid_t uid, gid_t gid)
{
    int                      i, ngroups;
    gid_t                    gids[NGX_LITESTREAM_GROUPS], *g;
    ngx_uint_t               n;
    ngx_pool_t              *pool;
    struct group            *gr;
    struct passwd           *pw;
    ngx_litestream_user_t   *user, **users;

    pool = parse->cf->pool;

    pw = getpwuid(uid);

    if (pw && group == NULL && geteuid() == 0) {
        gid = pw->pw_gid;
    }

    users = parse->users.elts;

    for (n = 0; n < parse->users.nelts; n++) {
        if (users[n]->uid == uid && users[n]->gid == gid) {
            return users[n];
        }
    }

    user = ngx_pcalloc(pool, sizeof(ngx_litestream_user_t));
    if (user == NULL) {
        return NULL;
    }

    user->uid = uid;
    user->gid = gid;

    if (pw) {
        user->user.len = ngx_strlen(pw->pw_name);
        user->user.data = ngx_pnalloc(pool, user->user.len + 1);
        if (user->user.data == NULL) {
            return NULL;
        }

        ngx_cpystrn(user->user.data, (u_char *) pw->pw_name,
                    user->user.len + 1);

    } else {
        user->user.data = ngx_pnalloc(pool, NGX_INT64_LEN + 1);
        if (user->user.data == NULL) {
            return NULL;
        }

        user->user.len = ngx_sprintf(user->user.data, "%ui%Z",
                                     (ngx_uint_t) uid)
                         - user->user.data - 1;
    }

    ngroups = NGX_LITESTREAM_GROUPS;

    if (geteuid() != 0) {
        ngroups = getgroups(ngroups, gids);

    } else if (pw == NULL
               || getgrouplist((char *) user->user.data, gid, gids, &ngroups)
                  == -1)
    {
        /* no entry, or more groups than that: its own must do */
        ngroups = 0;
    }

    if (ngx_array_init(&user->gids, pool, ngx_max(ngroups, 0) + 1,
                       sizeof(gid_t))
        != NGX_OK)
    {
        return NULL;
    }

    g = ngx_array_push(&user->gids);
    *g = gid;

    for (i = 0; i < ngroups; i++) {
        g = ngx_array_push(&user->gids);
        *g = gids[i];
    }

    gr = getgrgid(gid);

    if (gr) {
        user->group.len = ngx_strlen(gr->gr_name);
        user->group.data = ngx_pnalloc(pool, user->group.len + 1);
        if (user->group.data == NULL) {
            return NULL;
        }

        ngx_cpystrn(user->group.data, (u_char *) gr->gr_name,
                    user->group.len + 1);

    } else {
        user->group.data = ngx_pnalloc(pool, NGX_INT64_LEN + 1);
        if (user->group.data == NULL) {
            return NULL;
        }

        user->group.len = ngx_sprintf(user->group.data, "%ui%Z",
                                      (ngx_uint_t) gid)
                          - user->group.data - 1;
    }

    users = ngx_array_push(&parse->users);
    if (users == NULL) {
        return NULL;
    }

    *users = user;

    return user;
}


/* NGX_OK: it is a number, and one that a user or group may have */

static ngx_int_t
ngx_litestream_number(ngx_str_t *value, ngx_uint_t *n)
{
    ngx_int_t  rc;

    rc = ngx_atoi(value->data, value->len);

    if (rc == NGX_ERROR || rc >= 0xffffffff) {
        return NGX_ERROR;
    }

    *n = rc;

    return NGX_OK;
}


/*
 * Whether the users of all groups may execute a file that this process can
 * see.  NGX_ERROR: it has been logged.  At configuration time, may block on
 * the file system.
 */

ngx_int_t
ngx_litestream_exec_check(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *name)
{
    ngx_str_t                refuses;
    ngx_uint_t               i;
    ngx_file_info_t          fi;
    ngx_litestream_user_t   *user;
    ngx_litestream_group_t **groups;

    groups = parse->lcf->groups.elts;

    for (i = 0; i < parse->lcf->groups.nelts; i++) {

        user = ngx_litestream_user_get(parse, &groups[i]->user,
                                       groups[i]->uid, groups[i]->gid);
        if (user == NULL) {
            return NGX_ERROR;
        }

        if (ngx_litestream_may_search(user, name, &refuses, &fi)) {
            refuses = *name;

            if (ngx_file_info(name->data, &fi) != NGX_FILE_ERROR
                && ngx_litestream_may(user, name->data, &fi,
                                      NGX_LITESTREAM_SEARCH))
            {
                continue;
            }
        }

        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "\"%V\" cannot be executed by user \"%V\" "
                                  "(uid %ui, gid %ui): permission denied at "
                                  "\"%V\" (mode %04ui, uid %ui, gid %ui)",
                                  name, &user->user, (ngx_uint_t) user->uid,
                                  (ngx_uint_t) user->gid, &refuses,
                                  ngx_litestream_octal(fi.st_mode),
                                  (ngx_uint_t) fi.st_uid,
                                  (ngx_uint_t) fi.st_gid);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* 0: the user may not pass the directory "refuses" on the way to the path */

ngx_uint_t
ngx_litestream_may_search(ngx_litestream_user_t *user, ngx_str_t *path,
    ngx_str_t *refuses, ngx_file_info_t *fi)
{
    size_t  i;
    u_char  name[NGX_MAX_PATH];

    ngx_memzero(fi, sizeof(ngx_file_info_t));

    for (i = 0; i < path->len && i < NGX_MAX_PATH - 1; i++) {

        if (path->data[i] == '/') {
            name[i] = '/';
            name[i + 1] = '\0';

            if (i) {
                name[i] = '\0';
            }

            refuses->data = path->data;
            refuses->len = i ? i : 1;

            if (ngx_file_info(name, fi) == NGX_FILE_ERROR
                || !ngx_litestream_may(user, name, fi, NGX_LITESTREAM_SEARCH))
            {
                return 0;
            }
        }

        name[i] = path->data[i];
    }

    return 1;
}


ngx_uint_t
ngx_litestream_may(ngx_litestream_user_t *user, u_char *name,
    ngx_file_info_t *fi, ngx_uint_t need)
{
    int  how;

    if (geteuid() != 0) {
        how = 0;

        how |= (need & NGX_LITESTREAM_READ) ? R_OK : 0;
        how |= (need & NGX_LITESTREAM_WRITE) ? W_OK : 0;
        how |= (need & NGX_LITESTREAM_SEARCH) ? X_OK : 0;

        return access((char *) name, how) == 0;
    }

    if (user->uid == 0) {

        /* nobody is allowed to execute a file without any x */

        return !ngx_is_file(fi) || !(need & NGX_LITESTREAM_SEARCH)
               || (fi->st_mode & 0111);
    }

    if (ngx_litestream_mode(user, fi->st_uid, fi->st_gid, fi->st_mode, need)) {
        return 1;
    }

    /* an access control list may allow what the mode does not */

    return getxattr((char *) name, "system.posix_acl_access", NULL, 0) > 0;
}


ngx_uint_t
ngx_litestream_mode(ngx_litestream_user_t *user, uid_t uid, gid_t gid,
    ngx_uint_t mode, ngx_uint_t need)
{
    gid_t       *g;
    ngx_uint_t   i;

    if (user->uid == 0) {
        return 1;
    }

    if (user->uid == uid) {
        return ((mode >> 6) & need) == need;
    }

    g = user->gids.elts;

    for (i = 0; i < user->gids.nelts; i++) {
        if (g[i] == gid) {
            return ((mode >> 3) & need) == need;
        }
    }

    return (mode & need) == need;
}


/* nginx's formats have no octal: digits of it as a decimal number */

ngx_uint_t
ngx_litestream_octal(ngx_uint_t mode)
{
    return ((mode >> 9) & 7) * 1000 + ((mode >> 6) & 7) * 100
           + ((mode >> 3) & 7) * 10 + (mode & 7);
}


/*
 * As realpath(), but what is missing stays as it was written, also behind a
 * symbolic link: a database, or the disk of a replica, may not be there yet
 */

ngx_int_t
ngx_litestream_real_path(ngx_pool_t *pool, ngx_str_t *path, ngx_str_t *real)
{
    size_t           len, n;
    u_char          *p, *last, *start;
    ssize_t          size;
    ngx_uint_t       links;
    ngx_file_info_t  fi;
    u_char           out[NGX_MAX_PATH], rest[NGX_MAX_PATH];
    u_char           target[NGX_MAX_PATH];

    if (path->len >= NGX_MAX_PATH) {
        ngx_set_errno(NGX_ENAMETOOLONG);
        return NGX_ERROR;
    }

    ngx_cpystrn(rest, path->data, path->len + 1);

    p = rest;
    last = rest + path->len;

    len = 0;
    links = 0;

    for ( ;; ) {

        while (p < last && *p == '/') {
            p++;
        }

        if (p == last) {
            break;
        }

        start = p;

        while (p < last && *p != '/') {
            p++;
        }

        n = p - start;

        if (n == 1 && start[0] == '.') {
            continue;
        }

        if (n == 2 && start[0] == '.' && start[1] == '.') {
            while (len && out[--len] != '/') { /* void */ }
            continue;
        }

        if (len + 1 + n >= NGX_MAX_PATH) {
            ngx_set_errno(NGX_ENAMETOOLONG);
            return NGX_ERROR;
        }

        out[len] = '/';
        ngx_memcpy(&out[len + 1], start, n);
        out[len + 1 + n] = '\0';

        if (ngx_link_info(out, &fi) == NGX_FILE_ERROR || !ngx_is_link(&fi)) {
            len += 1 + n;
            continue;
        }

        size = readlink((char *) out, (char *) target, NGX_MAX_PATH);

        if (size == -1) {
            return NGX_ERROR;
        }

        if (links++ == NGX_LITESTREAM_SYMLINKS) {
            ngx_set_errno(NGX_ELOOP);
            return NGX_ERROR;
        }

        if (size + (last - p) >= NGX_MAX_PATH) {
            ngx_set_errno(NGX_ENAMETOOLONG);
            return NGX_ERROR;
        }

        if (target[0] == '/') {
            len = 0;
        }

        ngx_memmove(rest + size, p, last - p);
        ngx_memcpy(rest, target, size);

        last = rest + size + (last - p);
        p = rest;
    }

    if (len == 0) {
        out[len++] = '/';
    }

    out[len] = '\0';

    real->len = len;
    real->data = ngx_pnalloc(pool, len + 1);
    if (real->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(real->data, out, len + 1);

    return NGX_OK;
}


/* Absolute, and harmless in a log, a line of YAML, and an argument. */

ngx_uint_t
ngx_litestream_path_valid(ngx_str_t *path)
{
    size_t  i;

    if (path->len == 0 || path->data[0] != '/') {
        return 0;
    }

    for (i = 0; i < path->len; i++) {
        if (path->data[i] < 0x20 || path->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


/* "NAME=" is the argument: the value, or NULL when it is not set */

char *
ngx_litestream_env(char *name)
{
    size_t      len;
    ngx_uint_t  i;

    len = ngx_strlen(name);

    for (i = 0; environ[i]; i++) {
        if (ngx_strncmp(environ[i], name, len) == 0) {
            return environ[i] + len;
        }
    }

    return NULL;
}


/* a unit's sandbox makes directories missing or read-only */

char *
ngx_litestream_systemd_hint(void)
{
    if (ngx_litestream_env("INVOCATION_ID=")) {
        return " (under systemd: see ProtectHome=, ProtectSystem= and "
               "ReadWritePaths= of the unit)";
    }

    return "";
}


/*
 * Logs an emerg in the shape of ngx_conf_log_error(), but with the place of
 * the directive that is meant, not with the one that is being read.
 */

void ngx_cdecl
ngx_litestream_said_error(ngx_log_t *log, ngx_http_litestream_said_t *said,
    ngx_err_t err, const char *fmt, ...)
{
    u_char   errstr[NGX_MAX_ERROR_STR], *p, *last;
    va_list  args;

    last = errstr + NGX_MAX_ERROR_STR;

    va_start(args, fmt);
    p = ngx_vslprintf(errstr, last, fmt, args);
    va_end(args);

    if (err) {
        p = ngx_log_errno(p, last, err);
    }

    ngx_litestream_said_log(NGX_LOG_EMERG, log, said, errstr, p - errstr);
}


/* the same for a warning: the configuration is taken nevertheless */

void ngx_cdecl
ngx_litestream_said_warn(ngx_log_t *log, ngx_http_litestream_said_t *said,
    const char *fmt, ...)
{
    u_char   errstr[NGX_MAX_ERROR_STR], *p;
    va_list  args;

    va_start(args, fmt);
    p = ngx_vslprintf(errstr, errstr + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    ngx_litestream_said_log(NGX_LOG_WARN, log, said, errstr, p - errstr);
}


static void
ngx_litestream_said_log(ngx_uint_t level, ngx_log_t *log,
    ngx_http_litestream_said_t *said, u_char *text, size_t len)
{
    if (said->file == NULL) {
        ngx_log_error(level, log, 0, "%*s", len, text);
        return;
    }

    ngx_log_error(level, log, 0, "%*s in %s:%ui", len, text, said->file,
                  said->line);
}
