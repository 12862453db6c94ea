
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Paths with "*" and "**": which files below a directory they mean.  Pure: no
 * file is looked at, and the time is bounded by the lengths of what is
 * compared.
 *
 * A pattern is a row of components.  How far a path has come in it is a set of
 * places, a bit each: place i means that the first i of them have been passed.
 * "**" may pass none, hence sets.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream.h"


/* 0: a digit, x: a hex digit */
#define NGX_LITESTREAM_POINT_TAIL  ".restored-00000000T000000-xxxxxxxxxxxxxxxx"


static uint64_t ngx_litestream_pattern_skip(ngx_litestream_pattern_t *p,
    uint64_t at);
static ngx_uint_t ngx_litestream_pattern_part(ngx_str_t *part, u_char *name,
    size_t len);
static ngx_uint_t ngx_litestream_pattern_any(ngx_str_t *part);
static size_t ngx_litestream_pattern_utf8(u_char *p, u_char *last);


/*
 * Takes a path apart: root is what stands before the component with the first
 * "*", without its slash, and p the rest.  Both point into path.  NULL, or
 * what is wrong with it.
 */

char *
ngx_litestream_pattern_parse(ngx_litestream_pattern_t *p, ngx_str_t *path,
    ngx_str_t *root)
{
    u_char     *start, *s, *last;
    ngx_str_t  *part;

    ngx_memzero(p, sizeof(ngx_litestream_pattern_t));

    start = path->data;
    last = path->data + path->len;

    for (s = start; s < last && *s != '*'; s++) {
        if (*s == '/') {
            start = s + 1;
        }
    }

    root->data = path->data;
    root->len = start - path->data;

    while (root->len && root->data[root->len - 1] == '/') {
        root->len--;
    }

    if (root->len == 0) {
        return "has \"*\" at its beginning: a directory must stand there";
    }

    p->text.data = start;
    p->text.len = last - start;

    for (s = start; s < last; s = start + 1) {

        for (start = s; start < last && *start != '/'; start++) {
            /* void */
        }

        if (start == s) {
            continue;
        }

        if (start - s == 1 && s[0] == '.') {
            continue;
        }

        if (start - s == 2 && s[0] == '.' && s[1] == '.') {
            return "has \"..\" after a \"*\"";
        }

        if (p->n == NGX_LITESTREAM_PATTERN_PARTS) {
            return "has too many directories after a \"*\"";
        }

        part = &p->parts[p->n++];

        part->data = s;
        part->len = start - s;

        if (ngx_litestream_pattern_any(part)) {
            continue;
        }

        for ( /* void */ ; s + 1 < start; s++) {
            if (s[0] == '*' && s[1] == '*') {
                return "has a \"**\" that is not a directory by itself";
            }
        }
    }

    if (p->n == 0 || last[-1] == '/'
        || ngx_litestream_pattern_any(&p->parts[p->n - 1]))
    {
        return "does not say the names of the files, as \"*.sqlite3\" does";
    }

    return NULL;
}


/* at the root: where a path may be */

uint64_t
ngx_litestream_pattern_start(ngx_litestream_pattern_t *p)
{
    return ngx_litestream_pattern_skip(p, 1);
}


/* the same one directory further; 0: no file below it is meant */

uint64_t
ngx_litestream_pattern_enter(ngx_litestream_pattern_t *p, uint64_t at,
    u_char *name, size_t len)
{
    uint64_t    next;
    ngx_uint_t  i;

    next = 0;

    for (i = 0; i + 1 < p->n; i++) {

        if (!(at & ((uint64_t) 1 << i))) {
            continue;
        }

        if (ngx_litestream_pattern_any(&p->parts[i])) {

            /* as with "*", what begins with a dot has to be named */

            if (name[0] != '.') {
                next |= (uint64_t) 1 << i;
            }

            continue;
        }

        if (ngx_litestream_pattern_part(&p->parts[i], name, len)) {
            next |= (uint64_t) 1 << (i + 1);
        }
    }

    return ngx_litestream_pattern_skip(p, next);
}


/* 1: a file of this name is meant there */

ngx_uint_t
ngx_litestream_pattern_file(ngx_litestream_pattern_t *p, uint64_t at,
    u_char *name, size_t len)
{
    return (at & ((uint64_t) 1 << (p->n - 1)))
           && ngx_litestream_pattern_part(&p->parts[p->n - 1], name, len);
}


/* 1: a path below the root, "a/b.sqlite3", is meant */

ngx_uint_t
ngx_litestream_pattern_match(ngx_litestream_pattern_t *p, u_char *path,
    size_t len)
{
    u_char    *slash, *last;
    uint64_t   at;

    at = ngx_litestream_pattern_start(p);
    last = path + len;

    for ( ;; ) {

        slash = ngx_strlchr(path, last, '/');

        if (slash == NULL) {
            return ngx_litestream_pattern_file(p, at, path, last - path);
        }

        at = ngx_litestream_pattern_enter(p, at, path, slash - path);

        path = slash + 1;
    }
}


/* "**" may pass no directory at all */

static uint64_t
ngx_litestream_pattern_skip(ngx_litestream_pattern_t *p, uint64_t at)
{
    ngx_uint_t  i;

    for (i = 0; i < p->n; i++) {
        if ((at & ((uint64_t) 1 << i))
            && ngx_litestream_pattern_any(&p->parts[i]))
        {
            at |= (uint64_t) 1 << (i + 1);
        }
    }

    return at;
}


/*
 * One component.  Only the last "*" ever has to take more: what the ones
 * before it took is as good as anything else that they could have taken.
 */

static ngx_uint_t
ngx_litestream_pattern_part(ngx_str_t *part, u_char *name, size_t len)
{
    u_char  *p, *last, *end, *star, *from;

    p = part->data;
    last = part->data + part->len;
    end = name + len;

    if (len == 0 || (*p == '*' && name[0] == '.')) {
        return 0;
    }

    star = NULL;
    from = NULL;

    while (name < end) {

        if (p < last && *p == '*') {
            star = ++p;
            from = name;
            continue;
        }

        if (p < last && *p == *name) {
            p++;
            name++;
            continue;
        }

        if (star == NULL) {
            return 0;
        }

        p = star;
        name = ++from;
    }

    while (p < last && *p == '*') {
        p++;
    }

    return p == last;
}


static ngx_uint_t
ngx_litestream_pattern_any(ngx_str_t *part)
{
    return part->len == 2 && part->data[0] == '*' && part->data[1] == '*';
}


/*
 * Litestream makes a URI of a path as it is: "%2e%2e%2f" would lead to somebody
 * else's database.  1: it means the same
 */

ngx_uint_t
ngx_litestream_path_uri(u_char *path, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (path[i] == '%' || path[i] == '?' || path[i] == '#') {
            return 0;
        }
    }

    return 1;
}


/* the length of a variable, "$name" without braces, at p; 0: there is none */

size_t
ngx_litestream_variable(u_char *p, u_char *last)
{
    u_char  *start;

    start = p;

    if (p == last || *p != '$') {
        return 0;
    }

    for (p++; p < last; p++) {

        if ((*p < 'a' || *p > 'z') && (*p < 'A' || *p > 'Z')
            && (*p < '0' || *p > '9') && *p != '_')
        {
            break;
        }
    }

    return p - start;
}


/* 1: Litestream's directory beside a database, or a file of a restore */

ngx_uint_t
ngx_litestream_name_ours(u_char *name, size_t len)
{
    size_t  n;

    static ngx_str_t  restore = ngx_string(".ngx-litestream-");
    static ngx_str_t  meta = ngx_string("-litestream");

    if (len == 0 || name[0] != '.') {
        return 0;
    }

    if (len > meta.len
        && ngx_memcmp(name + len - meta.len, meta.data, meta.len) == 0)
    {
        return 1;
    }

    for (n = 1; n + restore.len <= len; n++) {
        if (ngx_memcmp(name + n, restore.data, restore.len) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * 1: a file that SQLite keeps beside a database, or one that a moment of it was
 * restored to, NAME.restored-YYYYmmddTHHMMSS-TXID
 */

ngx_uint_t
ngx_litestream_name_beside(u_char *name, size_t len)
{
    ngx_uint_t  i;

    static ngx_str_t  suffixes[] = {
        ngx_string("-wal"),
        ngx_string("-shm"),
        ngx_string("-journal")
    };

    for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {

        if (len >= suffixes[i].len
            && ngx_memcmp(name + len - suffixes[i].len, suffixes[i].data,
                          suffixes[i].len)
               == 0)
        {
            return 1;
        }
    }

    if (len < sizeof(NGX_LITESTREAM_POINT_TAIL) - 1) {
        return 0;
    }

    name += len - (sizeof(NGX_LITESTREAM_POINT_TAIL) - 1);

    for (i = 0; i < sizeof(NGX_LITESTREAM_POINT_TAIL) - 1; i++) {

        switch (NGX_LITESTREAM_POINT_TAIL[i]) {

        case '0':
            if (name[i] < '0' || name[i] > '9') {
                return 0;
            }
            break;

        case 'x':
            if ((name[i] < '0' || name[i] > '9')
                && (name[i] < 'a' || name[i] > 'f'))
            {
                return 0;
            }
            break;

        default:
            if (name[i] != (u_char) NGX_LITESTREAM_POINT_TAIL[i]) {
                return 0;
            }
        }
    }

    return 1;
}


/*
 * A path below the root of a directory of databases, as somebody has named it:
 * NULL, or why it cannot be replicated.  It becomes a part of an alias, of a
 * line in a log, of a replica, and of a YAML file.
 */

char *
ngx_litestream_member_path(u_char *path, size_t len)
{
    size_t   n;
    u_char  *p, *name, *last;

    last = path + len;
    name = path;

    for (p = path; p < last; p += n) {

        if (*p < 0x20 || *p == 0x7f) {
            return "has control characters in its name";
        }

        if (!ngx_litestream_path_uri(p, 1)) {
            return "has \"?\", \"#\" or \"%\" in its name, which Litestream "
                   "does not open";
        }

        n = ngx_litestream_pattern_utf8(p, last);

        if (n == 0) {
            return "has a name that is not UTF-8";
        }

        /* C1, which some terminals obey as well */

        if (n == 2 && *p == 0xc2 && p[1] < 0xa0) {
            return "has control characters in its name";
        }

        if (*p != '/') {
            continue;
        }

        if (p == name || (p - name == 1 && name[0] == '.')
            || (p - name == 2 && name[0] == '.' && name[1] == '.'))
        {
            return "is not a path below the directory";
        }

        name = p + 1;
    }

    if (last == name || (last - name == 1 && name[0] == '.')
        || (last - name == 2 && name[0] == '.' && name[1] == '.'))
    {
        return "is not a path below the directory";
    }

    if (last - name > NGX_LITESTREAM_NAME_LEN) {
        return "has too long a name";
    }

    return NULL;
}


/* the length of a character, 0: it is none */

static size_t
ngx_litestream_pattern_utf8(u_char *p, u_char *last)
{
    size_t    i, n;
    uint32_t  c, least;

    if (*p < 0x80) {
        return 1;
    }

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;
        c = *p & 0x1f;
        least = 0x80;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;
        c = *p & 0x0f;
        least = 0x800;

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;
        c = *p & 0x07;
        least = 0x10000;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {

        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    return (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) ? 0 : n;
}
