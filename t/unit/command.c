
/*
 * Copyright (C) the ngx_litestream authors
 *
 * The command: times, texts, the state path in a configuration, masks, and
 * above all status files that hold anything.
 */


#include "../../cli/cli.h"

#include <fcntl.h>
#include <unistd.h>

#include "../../cli/cli_util.c"
#include "../../cli/cli_json.c"
#include "../../cli/cli_vfs.c"
#include "../../cli/cli_dir.c"
#include "../../cli/cli_file.c"
#include "../../cli/cli_find.c"
#include "../../cli/cli_status.c"
#include "../../cli/cli_config.c"
#include "../../cli/cli_run.c"
#include "../../cli/cli_litestream.c"
#include "../../cli/cli_old.c"
#include "../../cli/cli_target.c"
#include "../../cli/cli_wait.c"
#include "../../cli/cli_yaml.c"
#include "../../cli/cli_endpoint.c"
#include "ngx_litestream_shared.c"
#include "ngx_litestream_tidy.c"

#include "unit.h"


static char  dir[] = "/tmp/ngls-command-XXXXXX";
static char  file[128];


static void
times(void)
{
    size_t  i;

    static struct {
        const char  *text;
        int64_t      ms;
    } good[] = {
        { "0", 0 }, { "5", 5000 }, { "1s", 1000 }, { "500ms", 500 },
        { "5m", 300000 }, { "1h", 3600000 }, { "1h30m", 5400000 },
        { "1h 30m", 5400000 }, { "1m5s250ms", 65250 }, { "1d", 86400000 },
        { "2w", 1209600000 }, { "1M", 2592000000 }, { "1y", 31536000000 }
    };

    static const char  *bad[] = {
        "", " ", "s", "ms", "-1", "+1", "1x", "1s1m", "1s1s", "1ms1s", "0x1",
        "1.5s", "1s ago", "99999999999999999999", "9999999999",
        "2147483647y", " 1s"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        unit_ok(cli_time(good[i].text) == good[i].ms, good[i].text);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unit_ok(cli_time(bad[i]) == -1, bad[i]);
    }
}


static void
texts(void)
{
    int        i, bad;
    char       buf[64], small[8];
    size_t     n, len;
    u_char    *p;
    uint32_t   code;

    unit_ok(cli_escape(buf, sizeof(buf), "a\x1b[0m\x07\n") == 16
            && strcmp(buf, "a\\x1b[0m\\x07\\x0a") == 0, "control characters");
    unit_ok(cli_escape(buf, sizeof(buf), "\xc3\xa9\xe2\x82\xac") == 2
            && strcmp(buf, "\xc3\xa9\xe2\x82\xac") == 0, "UTF-8");
    unit_ok(cli_escape(buf, sizeof(buf), "\xc2\x9b\xe2\x80\xae\xff\xc0\x80")
            == 32, "C1, bidi, and what is no UTF-8");
    unit_ok(cli_escape(small, sizeof(small), "abcdefghij") == 7
            && strcmp(small, "abcdefg") == 0, "cut");
    unit_ok(cli_escape(small, sizeof(small), "abcde\x01") == 5
            && strcmp(small, "abcde") == 0, "cut before an escape");

    bad = 0;

    for (i = 0; i < 20000; i++) {
        p = unit_mutate("a\xc3\xa9 \xe2\x82\xac\xf0\x9f\x98\x80 text", 16,
                        &len);
        p = realloc(p, len + 1);
        p[len] = '\0';

        (void) cli_escape(buf, sizeof(buf), (char *) p);

        for (n = 0; buf[n]; n += len) {
            len = cli_utf8((u_char *) &buf[n], strlen(&buf[n]), &code);

            if (len == 0 || cli_invisible(code)) {
                bad++;
                break;
            }
        }

        free(p);
    }

    unit_ok(bad == 0, "whatever it was can be shown");

    cli_size(buf, sizeof(buf), 0);
    unit_ok(strcmp(buf, "0") == 0, "0 bytes");
    cli_size(buf, sizeof(buf), INT64_MAX);
    unit_ok(strcmp(buf, "8.0E") == 0, "all bytes");
    cli_size(buf, sizeof(buf), 1536);
    unit_ok(strcmp(buf, "1.5K") == 0, "1536 bytes");
    cli_size(buf, sizeof(buf), -1);
    unit_ok(strcmp(buf, "-") == 0, "unknown");
    cli_date(buf, sizeof(buf), CLI_MAX_TIME, 1);
    unit_ok(strcmp(buf, "9999-12-31T23:59:59.999Z") == 0, "the last time");
}


static void
paths(void)
{
    int      i;
    char     path[64];
    size_t   k, len;
    u_char  *p;

    static struct {
        const char  *text;
        int          rc;
        const char  *path;
    } confs[] = {
        { "", 0, NULL },
        { "http { }", 0, NULL },
        { "http {\n    litestream_state_path /a/b;\n}\n", 1, "/a/b" },
        { "http { litestream_state_path \"/a b\\\"c\" ; }", 1, "/a b\"c" },
        { "http {litestream_state_path\n\t'/a;b';}", 1, "/a;b" },
        { "x on;litestream_state_path /a;", 1, "/a" },
        { "# litestream_state_path /a;\n", 0, NULL },
        { "x on; # litestream_state_path /a;\n", 0, NULL },
        { "x a#b; litestream_state_path /a;\n", 1, "/a" },
        { "return 200 \"litestream_state_path /a;\";", 0, NULL },
        { "my_litestream_state_path /a;", 0, NULL },
        { "litestream_state_paths /a;\nlitestream_state_path /b;", 1, "/b" },
        { "content_by_lua_block { -- don't\n}\nlitestream_state_path /b;", 1,
          "/b" },
        { "litestream_state_path ${HOME}/a;", -1, NULL },
        { "litestream_state_path a/b;", -1, NULL },
        { "litestream_state_path", 0, NULL },
        { "litestream_state_path ", 0, NULL },
        { "litestream_state_path /a", 1, "/a" },
        { "litestream_state_path /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;", -1, NULL }
    };

    for (k = 0; k < sizeof(confs) / sizeof(confs[0]); k++) {
        p = (u_char *) strdup(confs[k].text);

        unit_ok(cli_find_parse((char *) p, strlen(confs[k].text), path,
                               sizeof(path))
                == confs[k].rc
                && (confs[k].rc != 1 || strcmp(path, confs[k].path) == 0),
                confs[k].text[0] ? "a configuration" : "none");
        free(p);
    }

    for (i = 0; i < 20000; i++) {
        p = unit_mutate("h {\n litestream_state_path '/a\\'b' ;#x\n}", 40,
                        &len);
        (void) cli_find_parse((char *) p, len, path, sizeof(path));
        free(p);
    }

    unit_ok(1, "any configuration");
}


static void
masks(void)
{
    int      i, bad;
    char     error[CLI_ERROR_LEN], *out;
    FILE    *f;
    size_t   len, size;
    u_char  *p;

    static const char  yml[] =
        "dbs:\n- path: /a\n  replica:\n    type: s3\n"
        "    secret-access-key: hid\n"
        "    url: s3://u:hid@b?token=hid\n    x: &a [ 1, 2 ]\n    y: *a\n";

    unit_ok(cli_config_secret("secret-access-key", 17)
            && cli_config_secret("SECRET_ACCESS_KEY", 17)
            && cli_config_secret("account-key", 11)
            && cli_config_secret("access_key", 10)
            && cli_config_secret("access-key-id", 13)
            && cli_config_secret("api_key", 7)
            && cli_config_secret("heartbeat-url", 13)
            && !cli_config_secret("sse-kms-key-id", 14)
            && !cli_config_secret("sse_customer_key_path", 21)
            && !cli_config_secret("path", 4)
            && !cli_config_secret("database", 8)
            && !cli_config_secret("sync-interval", 13), "names of secrets");

    bad = 0;

    for (i = 0; i < 3000; i++) {

        p = unit_mutate(yml, sizeof(yml) - 1, &len);

        f = open_memstream(&out, &size);
        (void) cli_config_mask(i ? p : (u_char *) yml,
                               i ? len : sizeof(yml) - 1, f, error,
                               sizeof(error));
        (void) fclose(f);

        if (i == 0 && (strstr(out, "hid") || !strstr(out, "y: *a"))) {
            bad++;
        }

        free(out);
        free(p);
    }

    unit_ok(bad == 0, "any YAML");
}


static void
put(int fd, size_t off, void *data, size_t size)
{
    if (pwrite(fd, data, size, (off_t) off) != (ssize_t) size) {
        printf("Bail out! pwrite() failed\n");
        exit(1);
    }
}


/* what a command does with the file, to nobody's eyes */

static int
look(cli_state_t *st, FILE *null)
{
    int            rc;
    FILE          *out;
    cli_json_t     json;
    cli_wait_t     w;
    cli_options_t  o;
    static char   *names[] = { (char *) "all", (char *) "app" };

    rc = cli_file_read(st);

    if (rc != CLI_YES) {
        unit_ok(st->error[0] != '\0' || unit_tests > 1000, "it says why");
        return rc;
    }

    memset(st->chosen, 1, (size_t) st->n_dbs);

    out = stdout;
    stdout = null;

    cli_status_table(st);

    json.out = null;
    json.comma = 0;
    cli_json_status(&json, st);

    (void) fflush(null);

    stdout = out;

    memset(&w, 0, sizeof(cli_wait_t));
    memset(&o, 0, sizeof(cli_options_t));

    o.names = names;
    o.n_names = 2;
    w.o = &o;
    w.st = st;

    (void) cli_wait_look(&w);

    free(w.dbs);

    return rc;
}


static void
status(void)
{
    int                             fd, i, k, good, n;
    FILE                           *null;
    size_t                          at, off, len;
    u_char                          junk[64];
    uint32_t                        seq;
    cli_state_t                    *st;
    ngx_litestream_db_status_t      db;
    ngx_litestream_dir_status_t     dir_st;
    ngx_litestream_group_status_t   group;
    ngx_litestream_status_head_t    head;
    ngx_litestream_super_status_t   super;

    fd = open(file, O_RDWR|O_CREAT|O_TRUNC, 0644);
    null = fopen("/dev/null", "w");
    st = calloc(1, sizeof(cli_state_t));

    if (fd == -1 || null == NULL || st == NULL) {
        printf("Bail out! no files\n");
        exit(1);
    }

    cli_copy(st->path, sizeof(st->path), "%s", dir);

    unit_ok(look(st, null) == CLI_NO, "an empty file");

    memset(&head, 0, sizeof(head));
    head.magic = NGX_LITESTREAM_STATUS_MAGIC;
    head.version = NGX_LITESTREAM_STATUS_VERSION + 1;
    head.size = sizeof(ngx_litestream_status_file_t);
    put(fd, 0, &head, sizeof(head));

    unit_ok(look(st, null) == CLI_NO && strstr(st->error, "layout"),
            "another version");

    head.version = NGX_LITESTREAM_STATUS_VERSION;
    put(fd, 0, &head, sizeof(head));

    unit_ok(look(st, null) == CLI_NO && strstr(st->error, "damaged"),
            "too short");

    unit_ok(ftruncate(fd, sizeof(ngx_litestream_status_file_t)) == 0
            && look(st, null) == CLI_YES && !st->alive && st->n_dbs == 0,
            "nothing in it");

    memset(&super, 0, sizeof(super));
    super.pid = 1;
    super.heartbeat = cli_now();
    super.dbs = 3;
    super.groups = 2;
    super.dirs = 1;
    super.state = NGX_LITESTREAM_UP;

    memset(&group, 0, sizeof(group));
    strcpy(group.name, "33-file-1");

    memset(&dir_st, 0, sizeof(dir_st));
    dir_st.id = 77;
    strcpy(dir_st.alias, "many");
    dir_st.in_place = 1;

    memset(&db, 0, sizeof(db));
    strcpy(db.alias, "app");
    strcpy(db.path, "/srv/app");
    db.state = NGX_LITESTREAM_DB_REPLICATING;
    db.last_sync_at = super.heartbeat;
    db.in_place = 1;

    for (n = 0; n < 2000; n++) {

        /* sane ones; the counter names the second copy */

        seq = 1;
        off = offsetof(ngx_litestream_status_file_t, super);
        super.heartbeat = cli_now();
        put(fd, off, &seq, sizeof(seq));
        put(fd, off + 8 + sizeof(super), &super, sizeof(super));

        for (i = 0; i < 2; i++) {
            off = offsetof(ngx_litestream_status_file_t, groups)
                  + i * sizeof(ngx_litestream_group_rec_t);
            put(fd, off, &seq, sizeof(seq));
            put(fd, off + 8 + sizeof(group), &group, sizeof(group));
        }

        for (i = 0; i < 3; i++) {
            db.id = i + 1;
            db.dir = (i == 2) ? dir_st.id : 0;
            strcpy(db.alias, i == 2 ? "many/app" : "app");
            off = offsetof(ngx_litestream_status_file_t, dbs)
                  + i * sizeof(ngx_litestream_db_rec_t);
            put(fd, off, &seq, sizeof(seq));
            put(fd, off + 8 + sizeof(db), &db, sizeof(db));
        }

        for (i = 0; i < 2; i++) {
            off = offsetof(ngx_litestream_status_file_t, dirs)
                  + i * sizeof(ngx_litestream_dir_rec_t);
            put(fd, off, &seq, sizeof(seq));
            put(fd, off + 8 + sizeof(dir_st), &dir_st, sizeof(dir_st));
        }

        if (n == 0) {
            good = (look(st, null) == CLI_YES && st->alive && st->n_dbs == 3
                    && cli_ready(st)
                    && strcmp(st->dbs[2].alias, "many/app") == 0);
            unit_ok(good, "three databases");
            unit_ok(st->n_dirs == 1 && cli_dir_of("many", &st->dbs[2])
                    && !cli_dir_of("many/app", &st->dbs[2])
                    && !cli_dir_of("app", &st->dbs[1]), "a directory");
            continue;
        }

        /* and then anything in one of the records, or in several */

        for (k = unit_random(30); k >= 0; k--) {

            switch (unit_random(4)) {

            case 0:
                off = offsetof(ngx_litestream_status_file_t, super);
                at = unit_random(sizeof(ngx_litestream_super_rec_t));
                break;

            case 1:
                off = offsetof(ngx_litestream_status_file_t, groups);
                at = unit_random(2 * sizeof(ngx_litestream_group_rec_t));
                break;

            case 2:
                off = offsetof(ngx_litestream_status_file_t, dirs);
                at = unit_random(2 * sizeof(ngx_litestream_dir_rec_t));
                break;

            default:
                off = offsetof(ngx_litestream_status_file_t, dbs);
                at = unit_random(3 * sizeof(ngx_litestream_db_rec_t));
            }

            len = 1 + unit_random(sizeof(junk) - 1);

            for (i = 0; i < (int) len; i++) {
                junk[i] = (n % 3) ? unit_random(256) : 0xff;
            }

            put(fd, off + at, junk, len);
        }

        /* most of all those that are counted with */

        if (n % 100 != 0) {
            super.dbs = 3;
            off = offsetof(ngx_litestream_status_file_t, super) + 8
                  + offsetof(ngx_litestream_super_status_t, dbs);
            put(fd, off, &super.dbs, sizeof(super.dbs));
            put(fd, off + sizeof(super), &super.dbs, sizeof(super.dbs));
        }

        (void) look(st, null);
    }

    unit_ok(1, "any records");

    cli_file_free(st);
    free(st);

    (void) fclose(null);
    (void) close(fd);
}


/* what Litestream 0.3 says of an error, and what none is */

static void
errors(void)
{
    int         i, bad;
    char        text[32];
    size_t      n, len;
    u_char     *p;
    cli_run_t   run;

    static struct {
        const char  *line;
        const char  *error;
    } lines[] = {
        { "{\"time\":\"t\",\"level\":\"ERROR\",\"msg\":\"failed\","
          "\"error\":\"a \\\"b\\\"\\nc\"}\n", "a \"b\": c" },
        { "{\"level\":\"ERROR\",\"msg\":\"failed\"}", "failed" },
        { "{\"level\":\"INFO\",\"error\":\"a\"}\n", NULL },
        { "time=t level=ERROR msg=\"failed to run\" error=\"a b\" c=d\n",
          "a b" },
        { "time=t level=ERROR msg=failed error=a\nname  generation\n", "a" },
        { "time=t level=ERROR msg=\"no more\"\n", "no more" },
        { "time=t level=INFO msg=a error=b\n", NULL },
        { "2026/01/31 12:00:00 ERROR failed to run error=\"a\"\n", "a" },
        { "2026/01/31 12:00:00 ERROR failed\n", "failed" },
        { "2026/01/31 12:00:00 INFO failed error=a\n", NULL },
        { "{\"level\":\"ERROR\",\"error\":\"one\"}\n"
          "{\"level\":\"ERROR\",\"error\":\"two\"}\n", "two" },
        { "{\"level\":\"ERROR\",\"error\":\"0123456789 0123456789 "
          "0123456789\"}", "0123456789 0123456789 012345678" },
        { "{\"level\":\"ERROR\",\"error\":\"\\", "\\" },
        { "name  generation\n", NULL },
        { "", NULL }
    };

    for (i = 0; i < (int) (sizeof(lines) / sizeof(lines[0])); i++) {

        memset(&run, 0, sizeof(cli_run_t));

        run.out.data = strdup(lines[i].line);
        run.out.len = strlen(lines[i].line);

        text[0] = '\0';

        if (lines[i].error) {
            unit_ok(cli_old_error(&run, text, sizeof(text)) == CLI_YES
                    && strcmp(text, lines[i].error) == 0, lines[i].error);

        } else {
            unit_ok(cli_old_error(&run, text, sizeof(text)) == CLI_NO,
                    "no error");
        }

        free(run.out.data);
    }

    bad = 0;

    for (i = 0; i < 20000; i++) {
        n = i % 11;
        p = unit_mutate(lines[n].line, strlen(lines[n].line), &len);
        p = realloc(p, len + 1);
        p[len] = '\0';

        memset(&run, 0, sizeof(cli_run_t));
        text[0] = '\0';

        run.err.data = (char *) p;
        run.err.len = len;

        (void) cli_old_error(&run, text, sizeof(text));

        bad += (strlen(text) >= sizeof(text));
        free(p);
    }

    unit_ok(bad == 0, "any lines");
}


int
main(void)
{
    if (mkdtemp(dir) == NULL) {
        printf("Bail out! mkdtemp() failed\n");
        return 1;
    }

    (void) snprintf(file, sizeof(file), "%s/status", dir);

    times();
    texts();
    paths();
    masks();
    status();
    errors();

    unit_ok(cli_passing("dial tcp: connect: Connection refused")
            && cli_passing("no progress within 60 s")
            && !cli_passing("permission denied")
            && !cli_passing("api error AccessDenied: Access Denied")
            && !cli_passing("replica is empty"), "errors that may pass");

    (void) unlink(file);
    (void) rmdir(dir);

    return unit_end();
}
