
/*
 * Copyright (C) the ngx_litestream authors
 *
 * Lines of children: taken apart, told again, and rid of secrets.
 */


#include "unit.h"
#include "ngx_litestream_yaml_read.c"
#include "ngx_litestream_log.c"


/* what nginx does with a regular expression, less its own memory */

ngx_uint_t  fail_regex;


ngx_int_t
ngx_regex_compile(ngx_regex_compile_t *rc)
{
    int     n;
    size_t  offset;

    rc->regex = pcre2_compile(rc->pattern.data, rc->pattern.len,
                              (rc->options & NGX_REGEX_CASELESS)
                                  ? PCRE2_CASELESS : 0,
                              &n, &offset, NULL);

    return rc->regex ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_regex_exec(ngx_regex_t *re, ngx_str_t *s, int *captures, ngx_uint_t size)
{
    size_t            *ov;
    ngx_int_t          rc;
    ngx_uint_t         i;
    pcre2_match_data  *md;

    if (fail_regex) {
        return PCRE2_ERROR_MATCHLIMIT;
    }

    md = pcre2_match_data_create(size / 3, NULL);
    rc = pcre2_match(re, s->data, s->len, 0, 0, md, NULL);

    if (rc >= 0) {
        ov = pcre2_get_ovector_pointer(md);

        for (i = 0; i < size / 3 * 2; i++) {
            captures[i] = (int) ov[i];
        }
    }

    pcre2_match_data_free(md);

    return rc;
}


static u_char                 buffer[NGX_LITESTREAM_LINE_LEN];
static ngx_litestream_line_t  line;
static ngx_litestream_conf_t  lcf;


static void
parse(const char *text)
{
    ngx_litestream_line_parse((u_char *) text, strlen(text), buffer, &line);
}


static ngx_uint_t
is(ngx_str_t *s, const char *expected)
{
    return s->len == strlen(expected)
           && (s->len == 0 || memcmp(s->data, expected, s->len) == 0);
}


static ngx_uint_t
says(size_t size, const char *expected)
{
    size_t   len;
    u_char  *out;

    out = ngx_palloc(&unit_pool, size);
    len = ngx_litestream_line_text(&line, out, size);

    if (len == strlen(expected) && memcmp(out, expected, len) == 0) {
        return 1;
    }

    printf("# %.*s\n", (int) len, out);

    return 0;
}


static void
lines(void)
{
    size_t   len, n;
    u_char  *p;

    parse("{\"time\":\"2026-11-21T00:52:51Z\",\"level\":\"INFO\","
          "\"msg\":\"litestream\",\"version\":\"0.5.17\",\"level\":\"error\"}");
    unit_ok(line.json && line.level == NGX_LOG_INFO
            && is(&line.msg, "litestream") && is(&line.version, "0.5.17"),
            "the first of two levels counts");
    unit_ok(says(100, "litestream 0.5.17"), "text of the first line");

    parse("{\"time\":\"x\",\"level\":\"INFO\",\"msg\":\"compaction complete\","
          "\"system\":\"store\",\"db\":\"app.db\",\"level\":1,"
          "\"txid\":{\"min\":\"1\",\"msg\":\"2\",\"db\":\"no\"},"
          "\"size\":605}\n");
    unit_ok(line.json && line.level == NGX_LOG_INFO && is(&line.db, "app.db")
            && is(&line.msg, "compaction complete") && line.error.len == 0,
            "nested values are not looked at");
    unit_ok(says(100, "compaction complete, db \"app.db\""), "text with db");

    parse("{\"level\":\"ERROR\",\"msg\":\"sync error\",\"db\":\"app.db\","
          "\"error\":\"get \\\"x\\\":\\n no\",\"error\":\"other\","
          "\"msg\":\"other\"}\r\n");
    unit_ok(line.json && line.level == NGX_LOG_ERR
            && is(&line.error, "get \"x\":\n no"), "error");
    unit_ok(says(100, "sync error: get \"x\":\n no, db \"app.db\""),
            "text with error and db");
    unit_ok(says(14, "sync error: ge"), "text that is cut");
    unit_ok(says(0, ""), "text without room");

    parse("{\"level\":\"WARN\",\"msg\":\"m\"}");
    unit_ok(line.level == NGX_LOG_WARN && says(9, "m"), "WARN");
    parse("{\"level\":\"DEBUG\",\"msg\":\"m\"}");
    unit_ok(line.level == NGX_LOG_DEBUG, "DEBUG");
    parse("{\"level\":\"TRACE\",\"msg\":\"m\"}");
    unit_ok(line.level == NGX_LOG_DEBUG, "TRACE");
    parse("{\"level\":\"ERROR+4\",\"msg\":\"m\"}");
    unit_ok(line.level == NGX_LOG_ERR, "a level of slog's own");
    parse("{\"level\":\"\",\"msg\":\"m\"}");
    unit_ok(line.level == NGX_LOG_NOTICE, "an empty level");
    parse("{\"msg\":\"\xe2\x82\xac\\u20ac\"}");
    unit_ok(line.json && line.level == NGX_LOG_NOTICE
            && is(&line.msg, "\xe2\x82\xac\xe2\x82\xac"), "no level");

    parse("Error: database not found in config: /srv/app.db\n");
    unit_ok(!line.json && line.level == NGX_LOG_ERR
            && is(&line.msg,
                  "Error: database not found in config: /srv/app.db"),
            "Error:");
    parse("panic: nil Handler");
    unit_ok(!line.json && line.level == NGX_LOG_ERR, "panic:");
    parse("SDK 2026/11/21 WARN Response has no supported checksum");
    unit_ok(!line.json && line.level == NGX_LOG_NOTICE, "another text");
    parse("[] 2026/11/28 - 19:40:11 | 200 |  1ms | 127.0.0.1 | POST  \"/mcp\"");
    unit_ok(!line.json && line.level == NGX_LOG_INFO, "a request to MCP");
    parse("");
    unit_ok(!line.json && line.msg.len == 0 && says(10, ""), "nothing");
    parse("{");
    unit_ok(!line.json && is(&line.msg, "{"), "a bracket");
    parse("{\"level\":\"ERROR\"}");
    unit_ok(!line.json && is(&line.msg, "{\"level\":\"ERROR\"}"),
            "JSON without a message");
    parse("[{\"level\":\"ERROR\",\"msg\":\"m\"}]");
    unit_ok(!line.json && line.level == NGX_LOG_NOTICE, "a list");
    parse("{\"level\":\"ERROR\",\"msg\":\"m\",\"error\":\"\\ud83d\\ude00\"}");
    unit_ok(!line.json && line.level == NGX_LOG_ERR
            && line.msg.data[0] == '{', "a surrogate pair");

    /* longer than the buffer */

    len = NGX_LITESTREAM_LINE_LEN + 100;
    p = ngx_palloc(&unit_pool, len);

    memset(p, 'a', len);
    memcpy(p + NGX_LITESTREAM_LINE_LEN - 1, "\xe2\x82\xac", 3);

    ngx_litestream_line_parse(p, len, buffer, &line);
    unit_ok(!line.json && line.msg.len == NGX_LITESTREAM_LINE_LEN - 1,
            "a long text");

    n = sprintf((char *) p, "{\"level\":\"ERROR\",\"msg\":\"sync error\","
                "\"db\":\"app.db\",\"error\":\"check ");
    p[n] = 'a';

    ngx_litestream_line_parse(p, NGX_LITESTREAM_LINE_LEN, buffer, &line);
    unit_ok(!line.json && line.level == NGX_LOG_ERR
            && line.msg.data[0] == '{'
            && line.msg.len == NGX_LITESTREAM_LINE_LEN,
            "a line that was cut keeps its level");

    memset(p, '\\', len);
    memcpy(p, "{\"msg\":\"", 8);
    memcpy(p + len - 2, "\"}", 2);

    while (len > 10) {
        len -= 2;
        p[len - 1] = 'P';
    }

    ngx_litestream_line_parse(p, NGX_LITESTREAM_LINE_LEN + 100, buffer, &line);
    unit_ok(line.json && line.msg.len == NGX_LITESTREAM_LINE_LEN - 2
            && line.msg.data[0] == 0xe2, "escapes that are longer inside");
}


static ngx_uint_t
redacts(const char *text, const char *expected)
{
    size_t   len;
    u_char  *p;

    len = strlen(text);
    p = ngx_palloc(&unit_pool, len);
    memcpy(p, text, len);

    len = ngx_litestream_redact(&lcf, p, len);

    if (len == strlen(expected) && memcmp(p, expected, len) == 0) {
        return 1;
    }

    printf("# %.*s\n", (int) len, p);

    return 0;
}


static void
redact_init(void)
{
    ngx_conf_t  cf;

    static ngx_str_t  secrets[] = {
        ngx_string("wJalrXUtnFEMI/K7MDENG+bPx"),
        ngx_string("wJalrXUtnF"),
        ngx_string("k"),
        ngx_string("say \"hi\"\\"),
        ngx_null_string
    };

    unit_ok(redacts("password=x \x1b[1m", "password=x ?[1m"),
            "nothing but control characters without the expressions");

    memset(&cf, 0, sizeof(ngx_conf_t));
    cf.pool = &unit_pool;
    cf.log = &unit_log;

    lcf.secrets.elts = secrets;
    lcf.secrets.nelts = 5;

    unit_ok(ngx_litestream_redact_init(&cf, &lcf) == NGX_OK,
            "expressions compile");
}


static void
redact_end(void)
{
    ngx_litestream_redact_t  *rd;

    rd = lcf.redact;

    pcre2_code_free(rd->url);
    pcre2_code_free(rd->name);
}


static void
redact(void)
{
    unit_ok(redacts("", ""), "nothing to redact");
    unit_ok(redacts("sync error: no such host", "sync error: no such host"),
            "a harmless line");
    unit_ok(redacts("key wJalrXUtnFEMI/K7MDENG+bPx, wJalrXUtnF.",
                    "key ***, ***."), "secrets, the longer one first");
    unit_ok(redacts("wJalrXUtnFEMI/K7MDENG+bPxwJalrXUtnF", "******"),
            "secrets side by side");
    unit_ok(redacts("GET /?a=wJalrXUtnFEMI%2FK7MDENG%2BbPx&b=1",
                    "GET /?a=***&b=1"), "a secret in a URL");
    unit_ok(redacts("\"say \\\"hi\\\"\\\\\" and say \"hi\"\\",
                    "\"***\" and ***"), "a secret in quotes");
    unit_ok(redacts("key wJalrXUtnFEMI/K7MD", "key ***"),
            "a secret that was cut off");
    unit_ok(redacts("kick the bucket", "kick the bucket"),
            "a secret of one letter");

    unit_ok(redacts("open sftp://me:pa@ss@host:22/x: no",
                    "open sftp://me:***@host:22/x: no"), "userinfo");
    unit_ok(redacts("a://u:p@h b://u:secret1@h", "a://u:*@h b://u:***@h"),
            "two URLs");
    unit_ok(redacts("Get \"http://127.0.0.1:9000/b?mail=a@b\": refused",
                    "Get \"http://127.0.0.1:9000/b?mail=a@b\": refused"),
            "a port is no password");
    unit_ok(redacts("sftp://user@host/x nats://u:@h",
                    "sftp://user@host/x nats://u:@h"), "no password");

    unit_ok(redacts("secret=abcd", "secret=***"), "secret");
    unit_ok(redacts("AWS_SECRET_ACCESS_KEY=abcd x",
                    "AWS_SECRET_ACCESS_KEY=*** x"), "an environment variable");
    unit_ok(redacts("secret-access-key: \"ab cd\" x",
                    "secret-access-key: \"***\" x"), "a quoted value");
    unit_ok(redacts("Password: 'a b' passwd=x", "Password: '***' passwd=*"),
            "passwords");
    unit_ok(redacts("account-key: a+b/c== account_name=me",
                    "account-key: *** account_name=me"), "an account key");
    unit_ok(redacts("{\"token\":\"a\\\"bc\",\"user\":\"u\"}",
                    "{\"token\":\"***\",\"user\":\"u\"}"), "JSON");
    unit_ok(redacts("msg=\"{\\\"sas-token\\\":\\\"abcd\\\"}\"",
                    "msg=\"{\\\"sas-token\\\":\\\"***\""),
            "JSON in a quoted string");
    unit_ok(redacts("https://h/c?sv=2021&sig=abcd%3D&se=2",
                    "https://h/c?sv=2021&sig=***&se=2"), "a SAS signature");
    unit_ok(redacts("X-Amz-Signature=abcd&X-Amz-Security-Token=efgh",
                    "X-Amz-Signature=***&X-Amz-Security-Token=***"),
            "a presigned URL");
    unit_ok(redacts("Authorization: Bearer abcd, x",
                    "Authorization: Bearer *** x"), "a header");
    unit_ok(redacts("{\"msg\":\"signal received\",\"signal\":15}",
                    "{\"msg\":\"signal received\",\"signal\":15}"),
            "a signal is no signature");
    unit_ok(redacts("the request signature we calculated does not match",
                    "the request signature we calculated does not match"),
            "no value");
    unit_ok(redacts("api error InvalidAccessKeyId: The Access Key Id you "
                    "provided does not exist",
                    "api error InvalidAccessKeyId: The Access Key Id you "
                    "provided does not exist"), "a code is no name of a key");
    unit_ok(redacts("ExpiredToken: The token=abcd has expired",
                    "ExpiredToken: The token=*** has expired"),
            "a code, and a value behind it");
    unit_ok(redacts("AuthorizationHeaderMalformed: The header is malformed",
                    "AuthorizationHeaderMalformed: The header is malformed"),
            "a code that begins as a name");
    unit_ok(redacts("invalidToken: abcd AccessKeyId: efgh",
                    "invalidToken: *** AccessKeyId: ***"),
            "a name that is no code");
    unit_ok(redacts("token=\"\" token=", "token=\"\" token="),
            "an empty value");
    unit_ok(redacts("token: \"abc", "token: \"***"), "an open quote");

    unit_ok(redacts("a\tb\nc\x7f" "d\xc2\x9b" "e\xc2\xa0\xe2\x82\xac",
                    "a?b?c?d?e\xc2\xa0\xe2\x82\xac"), "control characters");

    fail_regex = 1;
    unit_ok(redacts("abc token=abcd", "***") && redacts("ab", "**"),
            "an expression that fails hides all");
    fail_regex = 0;
}


/* lines made to keep the expressions busy */

static void
slow(void)
{
    u_char      *p;
    size_t       i, n;
    clock_t      start;
    ngx_uint_t   k;

    static const char  *parts[] = {
        "token", "://", "://a:", "secret-", "a", "token=\"\\", "sig", " ",
        "password:", "\\", "access key ", "wJalrXUtn",
        "Invalid", "InvalidTokenx", "InvalidToken: "
    };

    p = ngx_palloc(&unit_pool, NGX_LITESTREAM_LINE_LEN);
    start = clock();

    for (k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
        n = strlen(parts[k]);

        for (i = 0; i < NGX_LITESTREAM_LINE_LEN; i++) {
            p[i] = (u_char) parts[k][i % n];
        }

        ngx_litestream_redact(&lcf, p, NGX_LITESTREAM_LINE_LEN);
    }

    unit_ok(clock() - start < 2 * CLOCKS_PER_SEC, "no line takes long");
}


static ngx_uint_t
inside(ngx_str_t *s)
{
    return s->len == 0
           || (s->data >= buffer && s->len <= sizeof(buffer)
               && s->data + s->len <= buffer + sizeof(buffer));
}


static void
fuzz(void)
{
    u_char      *p, out[256];
    size_t       len, n, i, size;
    ngx_uint_t   round, bad, json;

    static const char  *seeds[] = {
        "{\"time\":\"2026-11-21T00:52:51.7Z\",\"level\":\"INFO\","
        "\"msg\":\"litestream\",\"version\":\"0.5.17\",\"level\":\"info\"}",

        "{\"time\":\"2026-11-21T00:52:51.7Z\",\"level\":\"ERROR\","
        "\"msg\":\"sync error\",\"system\":\"store\",\"db\":\"app.db\","
        "\"error\":\"operation error S3: ListObjectsV2, \\\"x\\\" \\u20ac\","
        "\"consecutive_errors\":1,\"backoff\":1000000000}",

        "{\"level\":\"INFO\",\"msg\":\"compaction complete\",\"db\":\"a.db\","
        "\"level\":1,\"txid\":{\"min\":\"01\",\"max\":\"02\"},\"size\":605}",

        "Error: cannot open sftp://me:pa@ss@host:22/x: \xe2\x82\xac",

        "put wJalrXUtnFEMI/K7MDENG+bPx token=\"a\\\"b\" sig=x&password: 'q' "
        "https://u:p@h/?a=wJalrXUtnFEMI%2FK7MDENG%2BbPx say \"hi\"\\ "
        "Authorization: Basic abcd \x1b[0m"
    };

    bad = 0;
    json = 0;

    for (round = 0; round < 25000; round++) {
        p = (u_char *) seeds[round % 5];
        p = unit_mutate((char *) p, strlen((char *) p), &len);

        ngx_litestream_line_parse(p, len, buffer, &line);

        json += line.json;

        bad += !inside(&line.msg) + !inside(&line.db) + !inside(&line.error)
               + !inside(&line.version);
        bad += (line.level < NGX_LOG_ERR || line.level > NGX_LOG_DEBUG);

        size = unit_random(sizeof(out) + 1);
        n = ngx_litestream_line_text(&line, out, size);
        bad += (n > size);

        n = ngx_litestream_redact(&lcf, p, len);
        bad += (n > len);

        for (i = 0; i < n; i++) {
            bad += (p[i] < 0x20 || p[i] == 0x7f);
        }

        bad += (memmem(p, n, "wJalrXUtnF", 10) != NULL);

        /* what was redacted stays so */

        len = ngx_litestream_redact(&lcf, p, n);
        bad += (len > n);

        free(p);
    }

    unit_ok(bad == 0 && json > 1000, "25000 changed lines");
}


int
main(void)
{
    lines();
    redact_init();
    redact();
    slow();
    fuzz();
    redact_end();

    return unit_end();
}
