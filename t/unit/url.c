
/*
 * Copyright (C) the ngx_litestream authors
 *
 * URLs of replicas: their parts, their secrets, and what nobody can read.
 */


#include "unit.h"
#include "ngx_litestream_url.c"


/* nginx's own, as in its core */

void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    for ( /* void */ ; n--; dst++, src++) {
        *dst = ngx_tolower(*src);
    }
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    for ( /* void */ ; n--; s1++, s2++) {

        if (ngx_tolower(*s1) != ngx_tolower(*s2) || *s1 == '\0') {
            return ngx_tolower(*s1) - ngx_tolower(*s2);
        }
    }

    return 0;
}


/* exactly as long as it is, so that the sanitizer sees who goes on */

static void
text(ngx_str_t *s, const char *from, size_t len)
{
    s->len = len;
    s->data = malloc(len ? len : 1);

    if (s->data == NULL) {
        abort();
    }

    memcpy(s->data, from, len);
}


static void
part(char *buf, const char *name, ngx_str_t *s)
{
    if (s->data) {
        (void) sprintf(buf + strlen(buf), "%s%s=%.*s", *buf ? " " : "", name,
                       (int) s->len, s->data);
    }
}


static void
good(const char *from, const char *expected)
{
    char                  *reason, buf[1024];
    ngx_str_t              s, path, server;
    ngx_uint_t             i;
    ngx_litestream_url_t   url;

    text(&s, from, strlen(from));

    reason = ngx_litestream_url_parse(&unit_pool, &s, &url);

    buf[0] = '\0';

    if (reason == NULL) {
        part(buf, "scheme", &url.scheme);
        part(buf, "user", &url.user);
        part(buf, "password", &url.password);

        for (i = 0; i < url.hosts; i++) {
            (void) ngx_litestream_url_server(&unit_pool, &url, i, 9, &server);
            part(buf, "server", &server);
        }

        (void) ngx_litestream_url_server(&unit_pool, &url, i, 9, &server);
        part(buf, "more", &server);

        if (ngx_litestream_url_path(&unit_pool, &url.path, &path) == NULL) {
            part(buf, "path", &path);
        }

        part(buf, "query", &url.query);
    }

    if (reason || strcmp(buf, expected) != 0) {
        printf("# %s\n", reason ? reason : buf);
    }

    unit_ok(reason == NULL && strcmp(buf, expected) == 0, from);

    free(s.data);
}


/* why: a part of the reason */

static void
bad(const char *from, const char *why)
{
    char                  *reason;
    ngx_str_t              s;
    ngx_litestream_url_t   url;

    text(&s, from, strlen(from));

    reason = ngx_litestream_url_parse(&unit_pool, &s, &url);

    if (reason == NULL || strstr(reason, why) == NULL) {
        printf("# %s\n", reason ? reason : "accepted");
    }

    unit_ok(reason && strstr(reason, why), from);

    free(s.data);
}


static void
path(const char *from, const char *expected)
{
    char       *reason;
    ngx_str_t   s, to;

    text(&s, from, strlen(from));

    reason = ngx_litestream_url_path(&unit_pool, &s, &to);

    if (reason) {
        to.data = (u_char *) reason;
    }

    if (strcmp((char *) to.data, expected) != 0) {
        printf("# %s\n", to.data);
    }

    unit_ok(strcmp((char *) to.data, expected) == 0, from);

    free(s.data);
}


/* for messages, for people with the user and without, is it a secret */

static void
masks(const char *from, const char *message, const char *keep,
    const char *drop, ngx_uint_t secret)
{
    ngx_str_t   s, one, two, *mask;
    ngx_uint_t  pass;

    text(&s, from, strlen(from));

    one = s;
    two = s;

    mask = ngx_litestream_url_mask(&unit_pool, &s);

    pass = (mask->len == strlen(message)
            && memcmp(mask->data, message, mask->len) == 0
            && ngx_litestream_url_public(&unit_pool, &one, 1) == NGX_OK
            && one.len == strlen(keep)
            && memcmp(one.data, keep, one.len) == 0
            && ngx_litestream_url_public(&unit_pool, &two, 0) == NGX_OK
            && two.len == strlen(drop)
            && memcmp(two.data, drop, two.len) == 0
            && ngx_litestream_url_secret(&s) == secret);

    if (!pass) {
        printf("# %.*s | %.*s | %.*s\n", (int) mask->len, mask->data,
               (int) one.len, one.data, (int) two.len, two.data);
    }

    unit_ok(pass, from);

    free(s.data);
}


/* whatever it is, nothing is read beyond it, and what is escaped comes back */

static void
fuzz(void)
{
    char                  *reason;
    size_t                 n;
    ngx_str_t              s, t, out;
    ngx_uint_t             i, k, failed;
    ngx_litestream_url_t   url;

    static const char  *seeds[] = {
        "sftp://me:p%40ss@Host.example:2222/srv/a%20b/app",
        "nats://t0ken@[::1]:4222,[fe80::2],c:3/bucket",
        "webdavs://u:p@h/dav/~x?y=1#z"
    };

    failed = 0;

    for (i = 0; i < 60000; i++) {
        s.data = unit_mutate(seeds[i % 3], strlen(seeds[i % 3]), &s.len);

        reason = ngx_litestream_url_parse(&unit_pool, &s, &url);

        if (reason == NULL) {
            (void) ngx_litestream_url_path(&unit_pool, &url.path, &out);

            for (k = 0; k <= url.hosts; k++) {
                (void) ngx_litestream_url_server(&unit_pool, &url, k, 1, &out);

                if ((out.len == 0) != (k == url.hosts)) {
                    failed++;
                }
            }
        }

        t = s;

        (void) ngx_litestream_url_mask(&unit_pool, &s);
        (void) ngx_litestream_url_secret(&s);
        (void) ngx_litestream_url_public(&unit_pool, &t, i & 1);

        t = s;

        if (ngx_litestream_url_escape(&unit_pool, &t) != NGX_OK) {
            failed++;
        }

        reason = ngx_litestream_url_decode(&unit_pool, t.data, t.data + t.len,
                                           &out);

        for (n = 0; n < s.len; n++) {
            if (s.data[n] < 0x20 || s.data[n] == 0x7f) {
                break;
            }
        }

        if ((n == s.len) != (reason == NULL)
            || (reason == NULL
                && (out.len != s.len
                    || memcmp(out.data, s.data, s.len) != 0)))
        {
            failed++;
        }

        free(s.data);

        if (i % 1000 == 0) {
            unit_free();
        }
    }

    unit_ok(failed == 0, "60000 changed URLs");
}


int
main(void)
{
    good("sftp://me@h/a/b", "scheme=sftp user=me server=h:9 path=a/b");
    good("sftp://me:x@h:22/a", "scheme=sftp user=me password=x server=h:22 "
         "path=a");
    good("sftp://me:@h/a", "scheme=sftp user=me password= server=h:9 path=a");
    good("sftp://h/a", "scheme=sftp server=h:9 path=a");
    good("sftp://a%40b:%3a%2F%25%c3%a4@H.Example/a%20b/",
         "scheme=sftp user=a@b password=:/%\xc3\xa4 server=h.example:9 "
         "path=a b");
    good("sftp://a:b:c@d@h/x", "scheme=sftp user=a password=b:c@d server=h:9 "
         "path=x");
    good("webdav://h:65535", "scheme=webdav server=h:65535");
    good("webdav://h/x@y:z", "scheme=webdav server=h:9 path=x@y:z");
    good("gs://my_bucket.x-y/p?a=b?c", "scheme=gs server=my_bucket.x-y:9 "
         "path=p query=a=b?c");
    good("gs://b?", "scheme=gs server=b:9 query=");
    good("nats://a:1,b,[::1],[::2]:3/x", "scheme=nats server=a:1 server=b:9 "
         "server=[::1]:9 server=[::2]:3 path=x");

    bad("", "SCHEME");
    bad("h/x", "SCHEME");
    bad("sftp:", "SCHEME");
    bad("sftp:/h", "SCHEME");
    bad("sftp://", "host is missing");
    bad("sftp:///x", "host is missing");
    bad("sftp://me@/x", "host is missing");
    bad("sftp://:22/x", "host is missing");
    bad("sftp://h:/x", "port");
    bad("sftp://h:0/x", "port");
    bad("sftp://h:65536/x", "port");
    bad("sftp://h:222222222222222222222/x", "port");
    bad("sftp://h:ssh/x", "port");
    bad("sftp://h x/x", "characters");
    bad("sftp://h,/x", "host is missing");
    bad("sftp://[::1/x", "\"]\"");
    bad("sftp://[::g]/x", "IPv6");
    bad("sftp://[::1]x/x", "characters");
    bad("sftp://me:50%@h/x", "%25");
    bad("sftp://me:%4@h/x", "%25");
    bad("sftp://m%00e:x@h/x", "control");
    bad("sftp://me:x%0a@h/x", "control");
    bad("sftp://h/a#b", "%23");
    bad("sftp://me:x/y@h/x", "%2F");
    bad("sftp://me:x#y@h/x", "%2F");
    bad("sftp://me:x?y@h/x", "%2F");

    path("/a", "a");
    path("//a/b//", "a/b");
    path("/a%2fb%3f", "a/b?");
    path("/~/..a/.b", "~/..a/.b");
    path("", "its path is empty");
    path("///", "its path is empty");
    path("/a//b", "its path has an empty part, \".\" or \"..\" in it");
    path("/a/./b", "its path has an empty part, \".\" or \"..\" in it");
    path("/..", "its path has an empty part, \".\" or \"..\" in it");
    path("/a/%2e%2e", "its path has an empty part, \".\" or \"..\" in it");
    path("/a%09", "it has control characters in it");
    path("/a%", "\"%\" that no two hexadecimal digits follow is written as "
         "%25");

    masks("sftp://me:x@h/p", "sftp://***@h/p", "sftp://me@h/p", "sftp://h/p",
          1);
    masks("sftp://me@h/p", "sftp://***@h/p", "sftp://me@h/p", "sftp://h/p", 0);
    masks("nats://t@h/p", "nats://***@h/p", "nats://t@h/p", "nats://h/p", 1);
    masks("nats://${T}@h", "nats://***@h", "nats://${T}@h", "nats://h", 0);
    masks("sftp://me:${P}@h", "sftp://***@h", "sftp://me@h", "sftp://h", 0);
    masks("sftp://me:@h", "sftp://***@h", "sftp://me@h", "sftp://h", 0);
    masks("sftp://me:$@h", "sftp://***@h", "sftp://me@h", "sftp://h", 1);
    masks("sftp://h:22/p", "sftp://h:22/p", "sftp://h:22/p", "sftp://h:22/p",
          0);
    masks("sftp://h:22/p@q", "sftp://***@q", "sftp://h:22/p@q",
          "sftp://h:22/p@q", 0);
    masks("sftp://me:x/y@h", "sftp://***@h", "sftp://me:x/y@h",
          "sftp://me:x/y@h", 0);
    masks("me:x@h", "***@h", "me:x@h", "me:x@h", 0);
    masks("sftp://h/p?x=y", "sftp://h/p?***", "sftp://h/p?x=y",
          "sftp://h/p?x=y", 0);
    masks("sftp://me:x?y@h?z", "sftp://***@h?***", "sftp://me:x?y@h?z",
          "sftp://me:x?y@h?z", 0);
    masks("?", "?***", "?", "?", 0);
    masks("@", "***@", "@", "@", 0);
    masks("", "", "", "", 0);

    fuzz();

    return unit_end();
}
