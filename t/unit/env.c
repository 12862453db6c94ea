
/*
 * Copyright (C) the ngx_litestream authors
 *
 * Environment files as people write them, and ${NAME}.
 */


#include "unit.h"
#include "ngx_litestream_env.c"


static char        said[4096];
static ngx_uint_t  line;
static char       *reason;


static ngx_int_t
handler(void *data, ngx_str_t *name, ngx_str_t *value)
{
    size_t  n;

    n = strlen(said);

    (void) snprintf(said + n, sizeof(said) - n, "%.*s=%.*s|",
                    (int) name->len, name->data,
                    (int) value->len, value->data);

    if (value->data[value->len] != '\0') {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
parse(const char *text, size_t len)
{
    u_char     *p;
    ngx_int_t   rc;

    /* exactly as long as it is, so that the sanitizer sees who goes on */

    p = malloc(len ? len : 1);
    if (p == NULL) {
        abort();
    }

    memcpy(p, text, len);

    said[0] = '\0';
    reason = NULL;

    rc = ngx_litestream_env_parse(&unit_pool, p, len, handler, NULL, &line,
                                  &reason);
    free(p);

    return rc;
}


static void
good(const char *text, const char *expected, const char *name)
{
    ngx_int_t  rc;

    rc = parse(text, strlen(text));

    if (rc != NGX_OK || strcmp(said, expected) != 0) {
        printf("# got %d, %s (%s)\n", (int) rc, said, reason ? reason : "");
    }

    unit_ok(rc == NGX_OK && strcmp(said, expected) == 0, name);
}


static void
bad(const char *text, ngx_uint_t at, const char *why, const char *name)
{
    ngx_int_t  rc;

    rc = parse(text, strlen(text));

    unit_ok(rc == NGX_DECLINED && line == at && reason
            && strstr(reason, why), name);
}


static void
files(void)
{
    good("", "", "empty");
    good("\n\n  \n\t\n", "", "blank lines");
    good("# A=1\n  # B=2\nC=3", "C=3|", "comments, no newline at the end");
    good("A=1\nB=2\n", "A=1|B=2|", "two");
    good("A=1\r\nB='2'\r\nC=\"3\"\r\n\r\n#x\r\nD=\r\n", "A=1|B=2|C=3|D=|",
         "CRLF");
    good("\xef\xbb\xbf" "A=1\n", "A=1|", "a byte order mark");
    good("export A=1\nexport\tB=2\nexport   C = 3\n", "A=1|B=2|C=3|",
         "export");
    good("export=1\nexport =2\nexported=3\n", "export=1|export=2|exported=3|",
         "a variable named export");
    good("A = 1\nB\t=\t2\n  C=3\n", "A=1|B=2|C=3|", "blanks around =");
    good("A=\nB=''\nC=\"\"\n", "A=|B=|C=|", "empty values");
    good("a.b-c_1=2\n_=3\n", "a.b-c_1=2|_=3|", "names");
    good("A=1\nA=2\n", "A=1|A=2|", "twice");

    /* not quoted */

    good("A=a b  c  \n", "A=a b  c|", "blanks inside and at the end");
    good("A=1 # no\nB=2\t# no\nC=3#yes\n", "A=1|B=2|C=3#yes|",
         "inline comments");
    good("A=#yes\nB= # no\n", "A=#yes|B=|", "a # that comes first");
    good("A=it's\nB=a\"b\"c\n", "A=it's|B=a\"b\"c|", "quotes inside");
    good("A=$b${c}`d`\\n\n", "A=$b${c}`d`\\n|", "$ and backslashes");
    good("A=b=c==\n", "A=b=c==|", "= inside");
    good("A=s3://b/p?x=1&y=2;z\n", "A=s3://b/p?x=1&y=2;z|", "a URL");

    /* quoted */

    good("A='a $b \\n \"c\" # d '\n", "A=a $b \\n \"c\" # d |",
         "single quotes: raw");
    good("A=\"a $b \\$c 'd' # e \"\n", "A=a $b $c 'd' # e |",
         "double quotes");
    good("A=\"a\\nb\\tc\\rd\\\\n\\\"e\\x\"\n", "A=a\nb\tc\rd\\n\"e\\x|",
         "double quotes: escapes");
    good("A='1'  # no\nB=\"2\"#no\n", "A=1|B=2|", "a comment after quotes");
    good("A=\"-----\nline\n-----\"\nB='x\n\ny'\nC=3\n",
         "A=-----\nline\n-----|B=x\n\ny|C=3|", "values of several lines");
    good("A=\"x\r\ny\"\r\n", "A=x\ny|", "CRLF in a value");
    good("A=\"a\\\\\"\n", "A=a\\|", "a backslash at the end");

    /* what is not understood */

    bad("A=1\nB\n", 2, "no \"=\"", "no =");
    bad("A=1\nexport B\n", 2, "no \"=\"", "export without =");
    bad("=1\n", 1, "name", "no name");
    bad("\n\n1A=2\n", 3, "name", "a digit comes first");
    bad("A B=1\n", 1, "no \"=\"", "a blank in a name");
    bad("A: 1\n", 1, "no \"=\"", "YAML");
    bad("A=\"1\n2\nB=3\n", 1, "closing quote is missing", "no end");
    bad("X='\n\n'\nA='1\n", 4, "closing quote is missing",
        "the line after a long value");
    bad("A='1' 2\n", 1, "follows the closing quote", "something follows");
    bad("A='1'B='2'\n", 1, "follows the closing quote", "a word follows");

    unit_ok(parse("A=\0b\n", 5) == NGX_DECLINED, "NUL");
    unit_ok(parse("A='\0b'\n", 7) == NGX_DECLINED, "NUL in quotes");
}


static void
mutations(void)
{
    size_t       len;
    u_char      *p;
    ngx_uint_t   i, n;

    static const char  seed[] =
        "\xef\xbb\xbf# x\r\nexport A='b c' # d\nE=\"f\\n\\\"g\"\n\nH = i j #\n";

    n = 0;

    for (i = 0; i < 20000; i++) {
        p = unit_mutate(seed, sizeof(seed) - 1, &len);

        n += (parse((char *) p, len) != NGX_ERROR);

        free(p);
        unit_free();
    }

    unit_ok(n == i, "mutations");
}


static ngx_str_t  one = ngx_string("1");
static ngx_str_t  none = ngx_string("");
static ngx_str_t  again = ngx_string("${ONE}$x");


static ngx_str_t *
lookup(void *data, ngx_str_t *name)
{
    if (name->len == 3 && memcmp(name->data, "ONE", 3) == 0) {
        return &one;
    }

    if (name->len == 5 && memcmp(name->data, "EMPTY", 5) == 0) {
        return &none;
    }

    if (name->len == 5 && memcmp(name->data, "AGAIN", 5) == 0) {
        return &again;
    }

    return NULL;
}


static void
expands(const char *text, ngx_int_t rc, const char *expected, const char *name)
{
    ngx_int_t   got;
    ngx_str_t   s, out, var;
    ngx_str_t  *res;

    s.data = (u_char *) text;
    s.len = strlen(text);

    got = ngx_litestream_env_expand(&unit_pool, &s, lookup, NULL, &out, &var);
    res = (rc == NGX_OK) ? &out : &var;

    unit_ok(got == rc && res->len == strlen(expected)
            && memcmp(res->data, expected, res->len) == 0
            && (rc != NGX_OK || out.data[out.len] == '\0'), name);

    if (rc == NGX_OK) {
        (void) ngx_litestream_env_expand(&unit_pool, &s, lookup, NULL, &s,
                                         &var);

        unit_ok(s.len == out.len && memcmp(s.data, out.data, s.len) == 0,
                name);
    }
}


static ngx_uint_t
secret(const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = strlen(name);

    return ngx_litestream_env_secret(&s);
}


int
main(void)
{
    files();
    mutations();

    expands("", NGX_OK, "", "expand: empty");
    expands("a$b$alias/$file$", NGX_OK, "a$b$alias/$file$",
            "expand: nothing");
    expands("${ONE}", NGX_OK, "1", "expand: all");
    expands("a${ONE}b${EMPTY}${ONE}$", NGX_OK, "a1b1$", "expand: parts");
    expands("${AGAIN}", NGX_OK, "${ONE}$x", "expand: once");
    expands("a${NONE}b", NGX_DECLINED, "NONE", "expand: not set");
    expands("a${ONE", NGX_ABORT, "ONE", "expand: no end");
    expands("a${}", NGX_ABORT, "", "expand: no name");
    expands("${ONE:-2}", NGX_ABORT, "ONE:-2", "expand: as in a shell");

    unit_ok(secret("AWS_SECRET_ACCESS_KEY") && secret("db_password")
            && secret("TOKEN") && secret("LITESTREAM_ACCESS_KEY_ID")
            && secret("GOOGLE_CREDENTIALS"), "secrets");
    unit_ok(!secret("DB_FILE") && !secret("AWS_REGION")
            && !secret("REPLICA_URL"), "no secrets");

    return unit_end();
}
