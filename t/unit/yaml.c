
/*
 * Copyright (C) the ngx_litestream authors
 *
 * litestream.yml as it is written, answers of Litestream as they are read.
 */


#include "unit.h"
#include "ngx_litestream_yaml_out.c"
#include "ngx_litestream_yaml.c"
#include "ngx_litestream_yaml_read.c"
#include "ngx_litestream_tree.c"


typedef struct {
    char         text[4096];
    size_t       len;
    ngx_uint_t   stop;                /* after so many scalars */
    ngx_uint_t   scalars;
    ngx_uint_t   bad;
} seen_t;


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


/* "1:key=value " for each scalar, "1; " for the end of a mapping */

static ngx_int_t
note(void *data, ngx_uint_t depth, ngx_str_t *key, ngx_str_t *value)
{
    seen_t *seen = data;

    int  n;

    if (depth < 1 || depth > 16) {
        seen->bad++;
    }

    if (value == NULL) {
        seen->bad += (key->len != 0);

        n = snprintf(seen->text + seen->len, sizeof(seen->text) - seen->len,
                     "%d; ", (int) depth);

    } else {
        seen->bad += (key->data[key->len] != '\0'
                      || value->data[value->len] != '\0');

        n = snprintf(seen->text + seen->len, sizeof(seen->text) - seen->len,
                     "%d:%s=%s ", (int) depth, key->data, value->data);
        seen->scalars++;
    }

    seen->len = ngx_min(seen->len + n, sizeof(seen->text) - 1);

    return (seen->stop && seen->scalars == seen->stop) ? NGX_DONE : NGX_OK;
}


static ngx_int_t
refuse(void *data, ngx_uint_t depth, ngx_str_t *key, ngx_str_t *value)
{
    return NGX_ERROR;
}


static ngx_uint_t
reads(const char *text, const char *expected)
{
    seen_t     seen;
    ngx_int_t  rc;

    memset(&seen, 0, sizeof(seen_t));

    rc = ngx_litestream_yaml_read((u_char *) text, strlen(text), note, &seen);

    if (seen.bad) {
        return 0;
    }

    if (expected == NULL) {
        return rc == NGX_ERROR;
    }

    if (rc != NGX_OK || strcmp(seen.text, expected) != 0) {
        printf("# %d \"%s\"\n", (int) rc, seen.text);
        return 0;
    }

    return 1;
}


static void
read_answers(void)
{
    seen_t      seen;
    char        deep[64];
    ngx_uint_t  i;

    unit_ok(reads("{\"version\":\"0.5.17\",\"pid\":15050,\"dbs\":1}\n",
                  "1:version=0.5.17 1:pid=15050 1:dbs=1 1; "),
            "GET /info");
    unit_ok(reads("{\"databases\":[{\"path\":\"/srv/a.db\","
                  "\"status\":\"open\"},{\"path\":\"/srv/b.db\"}]}",
                  "3:path=/srv/a.db 3:status=open 3; 3:path=/srv/b.db 3; 1; "),
            "GET /list");
    unit_ok(reads("{\"error\":\"database not found: /nope\"}",
                  "1:error=database not found: /nope 1; "), "an error");
    unit_ok(reads("[]", ""), "an empty list");
    unit_ok(reads("{}", "1; "), "an empty mapping");
    unit_ok(reads("[\n  {\n    \"level\": 0,\n    \"size\": 588\n  },\n"
                  "  {\n    \"level\": 9\n  }\n]\n",
                  "2:level=0 2:size=588 2; 2:level=9 2; "),
            "pretty-printed with spaces");
    unit_ok(reads("{\n\t\"a\":\t1,\n\t\"b\":\t[\n\t\t2\n\t]\n}\n",
                  "1:a=1 2:=2 1; "), "pretty-printed with tabs");
    unit_ok(reads("[1,\"two\",null,true,-1.5e3]",
                  "1:=1 1:=two 1:=null 1:=true 1:=-1.5e3 "), "a sequence");
    unit_ok(reads("{\"a\":{\"b\":1},\"c\":[[2]],\"d\":3}",
                  "2:b=1 2; 3:=2 1:d=3 1; "), "keys after nested values");
    unit_ok(reads("{\"level\":\"INFO\",\"level\":1}",
                  "1:level=INFO 1:level=1 1; "), "a key twice");
    unit_ok(reads("{\"\":1,\"a\":\"\"}", "1:=1 1:a= 1; "), "empty strings");
    unit_ok(reads("{\"a\":\"\\/\\u00e9\\u20ac\\n\\t\\\"\\\\\"}",
                  "1:a=/\xc3\xa9\xe2\x82\xac\n\t\"\\ 1; "), "JSON escapes");
    unit_ok(reads("{\"a\":\"\xf0\x9f\x98\x80\"}",
                  "1:a=\xf0\x9f\x98\x80 1; "), "raw UTF-8");
    unit_ok(reads("a: 1\nb:\n  - x\n  - y\n", "1:a=1 2:=x 2:=y 1; "),
            "block style");

    unit_ok(reads("{\"a\":\"\\ud83d\\ude00\"}", NULL), "surrogate pair");
    unit_ok(reads("{\"a\":\"\\ud83d\"}", NULL), "half of a surrogate pair");
    unit_ok(reads("", NULL), "nothing");
    unit_ok(reads("\n", NULL), "a line feed");
    unit_ok(reads("404 page not found\n", NULL), "a text");
    unit_ok(reads("\"text\"", NULL), "a string");
    unit_ok(reads("{\"a\":1", NULL), "not closed");
    unit_ok(reads("{\"a\":\"b", NULL), "cut in a string");
    unit_ok(reads("{\"a\":1]", NULL), "closed by the wrong bracket");
    unit_ok(reads("{\"a\":1} x", NULL), "text behind");
    unit_ok(reads("{\"a\":1}\n---\n{\"b\":2}", NULL), "two documents");
    unit_ok(reads("{\"a\":&x 1}", NULL), "an anchor of a scalar");
    unit_ok(reads("{&x \"a\":1}", NULL), "an anchor of a key");
    unit_ok(reads("{\"a\":&x [1]}", NULL), "an anchor of a sequence");
    unit_ok(reads("&x {\"a\":1}", NULL), "an anchor of a mapping");
    unit_ok(reads("{\"a\":*x}", NULL), "an alias");
    unit_ok(reads("{\"a\":!!str 1}", NULL), "a tag of a scalar");
    unit_ok(reads("{\"a\":!t {}}", NULL), "a tag of a mapping");
    unit_ok(reads("%TAG ! tag:x,1:\n---\n{}\n", NULL), "a tag directive");
    unit_ok(reads("{[1]: 2}", NULL), "a sequence as a key");
    unit_ok(reads("{{a: 1}: 2}", NULL), "a mapping as a key");
    unit_ok(reads("{\"a\":\"\xff\"}", NULL), "not UTF-8");
    unit_ok(reads("\xff\xfe[\0]\0", NULL), "UTF-16");

    for (i = 0; i < 16; i++) {
        deep[i] = '[';
        deep[i + 16] = ']';
    }

    deep[32] = '\0';
    unit_ok(reads(deep, ""), "16 levels");

    memset(deep, '[', 17);
    memset(deep + 17, ']', 17);
    deep[34] = '\0';
    unit_ok(reads(deep, NULL), "17 levels");

    memset(&seen, 0, sizeof(seen_t));
    seen.stop = 2;
    unit_ok(ngx_litestream_yaml_read((u_char *) "{a: 1, b: 2, c: [", 17, note,
                                     &seen)
            == NGX_OK && strcmp(seen.text, "1:a=1 1:b=2 ") == 0,
            "an early end");
    unit_ok(ngx_litestream_yaml_read((u_char *) "{a: 1}", 6, refuse, NULL)
            == NGX_ERROR, "a handler that fails");
}


static void
read_much(void)
{
    char        *text, *p;
    size_t       size;
    seen_t       seen;
    ngx_int_t    rc;
    ngx_uint_t   i;

    /* what a list of many databases looks like */

    size = 2000 * 128;
    text = malloc(size);

    p = text + sprintf(text, "{\"databases\":[");

    for (i = 0; i < 2000; i++) {
        p += sprintf(p, "%s{\"path\":\"/srv/%u.db\",\"status\":\"replicating\","
                     "\"last_sync_at\":\"2026-11-21T00:52:52.75519867Z\"}",
                     i ? "," : "", (unsigned) i);
    }

    p += sprintf(p, "]}\n");

    memset(&seen, 0, sizeof(seen_t));
    rc = ngx_litestream_yaml_read((u_char *) text, p - text, note, &seen);

    unit_ok(rc == NGX_OK && seen.scalars == 6000 && !seen.bad,
            "a list of 2000 databases");

    memset(text, '[', size);
    memset(&seen, 0, sizeof(seen_t));
    rc = ngx_litestream_yaml_read((u_char *) text, size, note, &seen);

    unit_ok(rc == NGX_ERROR, "many brackets");

    free(text);
}


typedef struct {
    ngx_litestream_conf_t      lcf;
    ngx_litestream_group_t     group;
    ngx_litestream_db_t        db[3];
    ngx_litestream_db_t       *dbs[3];
    ngx_litestream_replica_t   replica[3];
    ngx_litestream_key_t       keys[3][8];
    ngx_array_t                arrays[3];
} conf_t;


static void
conf_init(conf_t *c, ngx_uint_t n)
{
    ngx_uint_t  i;

    static const char  *paths[] = {
        "/srv/app.db", "/srv/a \"b\" $HOME\\c.db", "/srv/\xe2\x82\xac.db"
    };

    memset(c, 0, sizeof(conf_t));

    c->lcf.shutdown_timeout = 30000;
    c->group.socket = str("/run/33-file/litestream.sock");
    c->group.dbs.elts = c->dbs;
    c->group.dbs.nelts = n;

    for (i = 0; i < n; i++) {
        c->dbs[i] = &c->db[i];

        c->db[i].path = str(paths[i]);
        c->db[i].index = i;
        c->db[i].replica = &c->replica[i];
        c->db[i].sync_interval = 1000;
        c->db[i].checkpoint_interval = NGX_CONF_UNSET_MSEC;
        c->db[i].busy_timeout = NGX_CONF_UNSET_MSEC;
        c->db[i].min_checkpoint_pages = NGX_CONF_UNSET;

        c->replica[i].type = str("file");
        c->replica[i].keys = &c->arrays[i];

        c->arrays[i].elts = c->keys[i];
    }
}


static void
conf_key(conf_t *c, ngx_uint_t i, const char *key, const char *value,
    ngx_uint_t secret)
{
    ngx_litestream_key_t  *k;

    k = &c->keys[i][c->arrays[i].nelts++];

    k->key = str(key);
    k->value = str(value);
    k->secret = secret;
}


static ngx_uint_t
writes(conf_t *c, u_char *use, ngx_uint_t mask, const char *expected)
{
    ngx_str_t  out;

    if (ngx_litestream_yaml_write(&unit_pool, &c->lcf, &c->group, use, mask,
                                  &out)
        != NGX_OK)
    {
        return expected == NULL;
    }

    if (expected && out.len == strlen(expected)
        && memcmp(out.data, expected, out.len) == 0)
    {
        return 1;
    }

    printf("# %.*s\n", (int) out.len, out.data);

    return 0;
}


#define HEAD(timeout)                                                         \
    "# made by ngx_litestream from nginx.conf, changes are lost\n"            \
    "socket:\n"                                                               \
    "  enabled: true\n"                                                       \
    "  path: \"/run/33-file/litestream.sock\"\n"                              \
    "  permissions: 0600\n"                                                   \
    "logging:\n"                                                              \
    "  type: json\n"                                                          \
    "  level: info\n"                                                         \
    "shutdown-sync-timeout: " timeout "\n"


static void
write_config(void)
{
    conf_t      c;
    u_char      use[3];
    ngx_str_t   one, two;
    ngx_uint_t  i;

    conf_init(&c, 1);
    conf_key(&c, 0, "path", "/backup/app", 0);

    unit_ok(writes(&c, NULL, 0,
                   HEAD("29s")
                   "dbs:\n"
                   "- path: \"/srv/app.db\"\n"
                   "  monitor-interval: 1s\n"
                   "  replica:\n"
                   "    type: \"file\"\n"
                   "    path: \"/backup/app\"\n"
                   "    sync-interval: 1s\n"), "one database");

    c.arrays[0].nelts = 0;
    c.replica[0].path = str("/backup/app");
    c.db[0].sync_interval = 250;
    c.db[0].checkpoint_interval = 90000;
    c.db[0].busy_timeout = 1500;
    c.db[0].min_checkpoint_pages = 2000;
    c.lcf.shutdown_timeout = 5000;

    unit_ok(writes(&c, NULL, 0,
                   HEAD("4500ms")
                   "dbs:\n"
                   "- path: \"/srv/app.db\"\n"
                   "  monitor-interval: 250ms\n"
                   "  checkpoint-interval: 90s\n"
                   "  min-checkpoint-page-count: 2000\n"
                   "  busy-timeout: 1500ms\n"
                   "  replica:\n"
                   "    type: \"file\"\n"
                   "    path: \"/backup/app\"\n"
                   "    sync-interval: 250ms\n"), "all intervals");

    conf_init(&c, 3);

    c.lcf.shutdown_timeout = 10000;
    c.replica[1].type = str("s3");

    conf_key(&c, 0, "path", "true", 0);
    conf_key(&c, 1, "secret-access-key", "p\"a'$s\\s: #\n\t\xe2\x82\xac", 1);
    conf_key(&c, 1, "force-path-style", "true", 0);
    conf_key(&c, 1, "skip-verify", "yes: no", 0);
    conf_key(&c, 1, "concurrency", "5", 0);
    conf_key(&c, 1, "bucket", "0123", 0);
    conf_key(&c, 1, "sync-interval", "5s", 0);
    conf_key(&c, 2, "path", "", 0);

    unit_ok(writes(&c, NULL, 0,
                   HEAD("3s")
                   "dbs:\n"
                   "- path: \"/srv/app.db\"\n"
                   "  monitor-interval: 1s\n"
                   "  replica:\n"
                   "    type: \"file\"\n"
                   "    path: \"true\"\n"
                   "    sync-interval: 1s\n"
                   "- path: \"/srv/a \\\"b\\\" \\x24HOME\\\\c.db\"\n"
                   "  monitor-interval: 1s\n"
                   "  replica:\n"
                   "    type: \"s3\"\n"
                   "    secret-access-key: "
                       "\"p\\\"a'\\x24s\\\\s: #\\n\\t\xe2\x82\xac\"\n"
                   "    force-path-style: true\n"
                   "    skip-verify: \"yes: no\"\n"
                   "    concurrency: 5\n"
                   "    bucket: \"0123\"\n"
                   "    sync-interval: \"5s\"\n"
                   "- path: \"/srv/\xe2\x82\xac.db\"\n"
                   "  monitor-interval: 1s\n"
                   "  replica:\n"
                   "    type: \"file\"\n"
                   "    path: \"\"\n"
                   "    sync-interval: 1s\n"), "three databases, quoting");

    use[0] = 0;
    use[1] = 1;
    use[2] = 0;
    c.arrays[1].nelts = 1;

    /* for people: a part of the file as it is, with the time for all */

    unit_ok(writes(&c, use, 1,
                   HEAD("3s")
                   "dbs:\n"
                   "- path: \"/srv/a \\\"b\\\" \\x24HOME\\\\c.db\"\n"
                   "  monitor-interval: 1s\n"
                   "  replica:\n"
                   "    type: \"s3\"\n"
                   "    secret-access-key: \"***\"\n"
                   "    sync-interval: 1s\n"), "one of them, masked");

    use[1] = 0;
    unit_ok(writes(&c, use, 0, HEAD("9s") "dbs: []\n"), "none of them");

    c.lcf.shutdown_timeout = 2000;
    unit_ok(writes(&c, use, 0, HEAD("1800ms") "dbs: []\n"), "2 s to end");

    c.lcf.shutdown_timeout = 0;
    unit_ok(writes(&c, use, 0, HEAD("1ms") "dbs: []\n"), "no time to end");

    unit_logged = 0;
    c.db[2].path = str("/srv/\xff.db");
    unit_ok(writes(&c, NULL, 0, NULL) && unit_logged == 1,
            "a path that is not UTF-8");

    /* more than the first buffer */

    c.db[2].path.data = ngx_palloc(&unit_pool, 9000);
    c.db[2].path.len = 9000;

    for (i = 0; i < 9000; i++) {
        c.db[2].path.data[i] = (u_char) "ab \"\\/:#"[i % 8];
    }

    unit_ok(ngx_litestream_yaml_write(&unit_pool, &c.lcf, &c.group, NULL, 0,
                                      &one) == NGX_OK
            && ngx_litestream_yaml_write(&unit_pool, &c.lcf, &c.group, NULL, 0,
                                         &two) == NGX_OK
            && one.len == two.len && one.len > 9000
            && memcmp(one.data, two.data, one.len) == 0,
            "long, and the same each time");
}


/* what is written is read back the same, whatever it is */

static ngx_int_t
find(void *data, ngx_uint_t depth, ngx_str_t *key, ngx_str_t *value)
{
    ngx_str_t *wanted = data;

    if (value && key->len == 6 && memcmp(key->data, "bucket", 6) == 0
        && value->len == wanted->len
        && memcmp(value->data, wanted->data, value->len) == 0)
    {
        wanted->data = NULL;
        return NGX_DONE;
    }

    return NGX_OK;
}


static void
round_trip(void)
{
    conf_t      c;
    u_char     *p;
    size_t      len;
    ngx_str_t   out, wanted;
    ngx_uint_t  i, bad, written;

    static const char  *seeds[] = {
        "key: \"a\" # b", "- x", "'q' !tag *alias &anchor", "{a: [b]}",
        "\xe2\x82\xac\xf0\x9f\x98\x80 \xc2\xa0 \xe2\x80\xa8", "0x10\n---\n...\n"
    };

    bad = 0;
    written = 0;

    for (i = 0; i < 3000; i++) {
        p = unit_mutate(seeds[i % 6], strlen(seeds[i % 6]), &len);

        conf_init(&c, 1);
        conf_key(&c, 0, "bucket", "", 0);

        c.keys[0][0].value.data = p;
        c.keys[0][0].value.len = len;

        if (ngx_litestream_yaml_write(&unit_pool, &c.lcf, &c.group, NULL, 0,
                                      &out)
            == NGX_OK)
        {
            written++;

            wanted.data = p;
            wanted.len = len;

            if (ngx_litestream_yaml_read(out.data, out.len, find, &wanted)
                != NGX_OK
                || wanted.data)
            {
                printf("# %.*s\n", (int) out.len, out.data);
                bad++;
            }
        }

        free(p);
        unit_free();
    }

    unit_ok(bad == 0 && written > 1000, "3000 values, written and read back");
}


static void
fuzz(void)
{
    u_char      *p;
    size_t       len;
    seen_t       seen;
    ngx_int_t    rc;
    ngx_uint_t   i, bad, ok;

    static const char  *seeds[] = {
        "{\"version\":\"0.5.17\",\"pid\":15050,\"uptime_seconds\":1,"
        "\"started_at\":\"2026-11-21T00:52:51.748682115Z\","
        "\"database_count\":1}\n",

        "{\"databases\":[{\"path\":\"/srv/app.db\",\"status\":\"replicating\","
        "\"last_sync_at\":\"2026-11-21T00:52:52.75519867Z\"}]}\n",

        "{\"status\":\"synced\",\"path\":\"/srv/app.db\",\"txid\":3,"
        "\"replicated_txid\":3}\n",

        "{\"error\":\"sync database: replica sync: write ltx file: s3: put "
        "object \\\"a\\/b\\\"\\n: request canceled \\u00e9\"}\n",

        "[\n  {\n    \"level\": 0,\n    \"min_txid\": \"0000000000000001\",\n"
        "    \"max_txid\": \"0000000000000001\",\n    \"size\": 588,\n"
        "    \"timestamp\": \"2026-11-21T00:52:52Z\"\n  }\n]\n",

        "socket:\n  enabled: true\n  permissions: 0600\ndbs:\n- path: \"/a\"\n"
        "  replica:\n    type: file\n"
    };

    bad = 0;
    ok = 0;

    for (i = 0; i < 30000; i++) {
        p = unit_mutate(seeds[i % 6], strlen(seeds[i % 6]), &len);

        memset(&seen, 0, sizeof(seen_t));
        seen.stop = (unit_random(4) == 0) ? unit_random(4) : 0;

        rc = ngx_litestream_yaml_read(p, len, note, &seen);

        bad += seen.bad + (rc != NGX_OK && rc != NGX_ERROR);
        ok += (rc == NGX_OK);

        free(p);
    }

    unit_ok(bad == 0 && ok > 1000, "30000 changed answers");
}


int
main(void)
{
    read_answers();
    read_much();
    write_config();
    round_trip();
    fuzz();

    return unit_end();
}
