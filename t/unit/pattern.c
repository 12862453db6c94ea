
/*
 * Copyright (C) the ngx_litestream authors
 *
 * Paths with "*", and names that others have made up.
 */


#include "unit.h"
#include "ngx_litestream_pattern.c"


static char                      *reason;
static char                       root[256];
static ngx_litestream_pattern_t   pattern;
static char                       text[4096];


static ngx_uint_t
parse(const char *path)
{
    ngx_str_t  s, r;

    (void) snprintf(text, sizeof(text), "%s", path);

    s.data = (u_char *) text;
    s.len = strlen(text);

    reason = ngx_litestream_pattern_parse(&pattern, &s, &r);

    if (reason) {
        return 0;
    }

    (void) snprintf(root, sizeof(root), "%.*s", (int) r.len, r.data);

    return 1;
}


static ngx_uint_t
means(const char *path)
{
    return ngx_litestream_pattern_match(&pattern, (u_char *) path,
                                        strlen(path));
}


static ngx_uint_t
refused(const char *path, const char *why)
{
    return !parse(path) && strstr(reason, why) != NULL;
}


static void
parts(void)
{
    unit_ok(parse("/srv/t/*.db") && strcmp(root, "/srv/t") == 0
            && pattern.n == 1 && pattern.text.len == 4, "one component");
    unit_ok(parse("/srv/t/**/*.db") && strcmp(root, "/srv/t") == 0
            && pattern.n == 2, "two components");
    unit_ok(parse("/srv//t//./x*//y/./*.db") && strcmp(root, "/srv//t//.") == 0
            && pattern.n == 3, "slashes and dots");
    unit_ok(parse("/srv/t*/db.sqlite3") && strcmp(root, "/srv") == 0,
            "a star in the middle");

    unit_ok(refused("/*/x.db", "beginning"), "no root");
    unit_ok(refused("/*", "beginning"), "nothing but a star");
    unit_ok(refused("/srv/**", "names of the files"), "no file");
    unit_ok(refused("/srv/*/", "names of the files"), "a directory");
    unit_ok(refused("/srv/a**/x", "by itself"), "two stars in a name");
    unit_ok(refused("/srv/***/x", "by itself"), "three stars");
    unit_ok(refused("/srv/*/../x", "\"..\""), "a step back");

    memset(text, 0, sizeof(text));
    strcpy(text, "/srv");

    while (strlen(text) < 4 + 2 * NGX_LITESTREAM_PATTERN_PARTS) {
        strcat(text, "/*");
    }

    {
        char  copy[4096];

        strcpy(copy, text);

        unit_ok(parse(copy) && pattern.n == NGX_LITESTREAM_PATTERN_PARTS,
                "as many components as there may be");

        strcat(copy, "/*");
        unit_ok(refused(copy, "too many"), "one more");
    }
}


static void
matches(void)
{
    parse("/r/*.db");

    unit_ok(means("a.db") && means("a.b.db") && means(" .db"), "names");
    unit_ok(!means("a.db2") && !means("adb") && !means(".db")
            && !means(".a.db") && !means("x/a.db") && !means(""), "others");

    parse("/r/*/x.db");

    unit_ok(means("a/x.db") && !means("x.db") && !means("a/b/x.db")
            && !means(".a/x.db") && !means("a/y.db"), "one directory");

    parse("/r/**/x.db");

    unit_ok(means("x.db") && means("a/x.db") && means("a/b/c/x.db")
            && !means("a/.b/x.db") && !means("a/xx.db"), "any directories");

    parse("/r/**/m/**/*.db");

    unit_ok(means("m/x.db") && means("a/m/x.db") && means("m/a/x.db")
            && means("a/m/b/m/c/x.db") && !means("a/x.db")
            && !means("a/m.db") && !means("mm/x.db"), "two of them");

    parse("/r/**/**/x");

    unit_ok(means("x") && means("a/x") && means("a/b/x"), "twice");

    parse("/r/a*b*c");

    unit_ok(means("abc") && means("aXbYc") && means("abcbc")
            && means("abbbc") && !means("abcb") && !means("acb")
            && !means("ab"), "stars in a name");

    parse("/r/.*/.x*");

    unit_ok(means(".a/.x") && means(".a/.xy") && !means("a/.x")
            && !means(".a/x"), "names with dots, named");

    parse("/r/[a]?{b}*");

    unit_ok(means("[a]?{b}") && !means("a1b"), "nothing else is special");
}


/* places while directories are entered */

static void
places(void)
{
    uint64_t  at;

    parse("/r/*/x/*.db");

    at = ngx_litestream_pattern_start(&pattern);
    unit_ok(!ngx_litestream_pattern_file(&pattern, at, (u_char *) "a.db", 4),
            "no file in the root");

    at = ngx_litestream_pattern_enter(&pattern, at, (u_char *) "q", 1);
    unit_ok(at != 0, "any directory");
    unit_ok(ngx_litestream_pattern_enter(&pattern, at, (u_char *) "y", 1) == 0,
            "a directory that need not be entered");

    at = ngx_litestream_pattern_enter(&pattern, at, (u_char *) "x", 1);
    unit_ok(ngx_litestream_pattern_file(&pattern, at, (u_char *) "a.db", 4),
            "a file");
    unit_ok(ngx_litestream_pattern_enter(&pattern, at, (u_char *) "x", 1) == 0,
            "too deep");
}


/* what is slow when each star is tried anew */

static void
bounded(void)
{
    int      i;
    char     path[4000];
    u_char  *name;

    parse("/r/*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");

    memset(path, 'a', 255);
    path[255] = '\0';

    for (i = 0; i < 10000; i++) {
        if (means(path)) {
            break;
        }
    }

    unit_ok(i == 10000, "many stars");

    parse("/r/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b");

    for (i = 0; i < 3998; i += 2) {
        path[i] = 'a';
        path[i + 1] = '/';
    }

    path[3998] = 'c';
    path[3999] = '\0';

    for (i = 0; i < 1000; i++) {
        if (means(path)) {
            break;
        }
    }

    unit_ok(i == 1000, "many directories");

    for (i = 0; i < 20000; i++) {
        size_t  len, to;

        name = unit_mutate("/r/**/a*b/*.db", 14, &len);
        (void) snprintf(text, sizeof(text), "%.*s", (int) len, name);
        free(name);

        {
            char       copy[4096];
            ngx_str_t  s, r;

            strcpy(copy, text);
            s.data = (u_char *) copy;
            s.len = strlen(copy);

            if (s.len && copy[0] == '/' && strchr(copy, '*')
                && ngx_litestream_pattern_parse(&pattern, &s, &r) == NULL)
            {
                name = unit_mutate("x/y/ab/z.db", 11, &to);
                (void) ngx_litestream_pattern_match(&pattern, name, to);
                (void) ngx_litestream_member_path(name, to);
                free(name);
            }
        }
    }

    unit_ok(1, "anything");
}


static ngx_uint_t
path(const char *name, const char *why)
{
    char  *r;

    r = ngx_litestream_member_path((u_char *) name, strlen(name));

    return why ? r != NULL && strstr(r, why) : r == NULL;
}


static void
names(void)
{
    char  name[NGX_LITESTREAM_NAME_LEN + 16];

    unit_ok(path("a.db", NULL) && path("a b/c'd\"e.db", NULL)
            && path("\xc3\xa4/\xe2\x82\xac/\xf0\x9f\x92\xbe.db", NULL)
            && path("$file/&;=+.db", NULL) && path("...", NULL), "good ones");
    unit_ok(path("%2e%2e%2fa.db", "Litestream") && path("a?mode=ro", "not open")
            && path("a#b/c.db", "not open"), "what Litestream takes for a URI");
    unit_ok(path("a\nb", "control") && path("a\x7f", "control")
            && path("\x1b[31m", "control") && path("\xc2\x9b", "control"),
            "control characters");
    unit_ok(path("\xff.db", "UTF-8") && path("a\xc3", "UTF-8")
            && path("\xc0\xaf", "UTF-8") && path("\xed\xa0\x80", "UTF-8")
            && path("\xf4\x90\x80\x80", "UTF-8"), "not UTF-8");
    unit_ok(path("", "below") && path("/a", "below") && path("a//b", "below")
            && path("../a", "below") && path("a/..", "below")
            && path("a/./b", "below") && path("a/", "below"), "paths");

    memset(name, 'x', sizeof(name));
    name[NGX_LITESTREAM_NAME_LEN] = '\0';
    unit_ok(path(name, NULL), "the longest name");

    name[NGX_LITESTREAM_NAME_LEN] = 'x';
    name[NGX_LITESTREAM_NAME_LEN + 1] = '\0';
    unit_ok(path(name, "too long"), "one that is longer");

#define OURS(s)    ngx_litestream_name_ours((u_char *) s, sizeof(s) - 1)
#define BESIDE(s)  ngx_litestream_name_beside((u_char *) s, sizeof(s) - 1)

    unit_ok(OURS(".a.db-litestream") && OURS(".a.db.ngx-litestream-restore")
            && OURS(".a.db.ngx-litestream-restore.tmp-wal")
            && OURS(".a.db.ngx-litestream-point.tmp"), "ours");
    unit_ok(!OURS("a.db-litestream") && !OURS(".a.db") && !OURS("")
            && !OURS("-litestream"), "not ours");
    unit_ok(BESIDE("a-wal") && BESIDE("a.db-shm") && BESIDE("a-journal")
            && BESIDE("-wal"), "beside a database");
    unit_ok(!BESIDE("a.wal") && !BESIDE("wal") && !BESIDE("a-wal.db")
            && !BESIDE(""), "not beside one");
    unit_ok(BESIDE("a.db.restored-20260131T120000-000000000000002a")
            && BESIDE(".restored-20260131T120000-ffffffffffffffff"),
            "a restored one");
    unit_ok(!BESIDE("a.db.restored-20260131T120000-000000000000002A")
            && !BESIDE("a.db.restored-20260131T120000-00000000000002a")
            && !BESIDE("a.db.restored-2026013xT120000-000000000000002a")
            && !BESIDE("restored-20260131T120000-000000000000002a")
            && !BESIDE("a.db.restored-20260131T120000-000000000000002a.db"),
            "not a restored one");
}


static void
variables(void)
{
    u_char  *p;

    p = (u_char *) "$file/$a_1$";

    unit_ok(ngx_litestream_variable(p, p + 11) == 5
            && ngx_litestream_variable(p + 6, p + 11) == 4
            && ngx_litestream_variable(p + 10, p + 11) == 1
            && ngx_litestream_variable(p + 1, p + 11) == 0
            && ngx_litestream_variable(p + 11, p + 11) == 0
            && ngx_litestream_variable(p, p + 3) == 3, "variables");
}


int
main(void)
{
    parts();
    matches();
    places();
    bounded();
    names();
    variables();

    return unit_end();
}
