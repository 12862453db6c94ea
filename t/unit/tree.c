
/*
 * Copyright (C) the ngx_litestream authors
 *
 * YAML files of users as trees, and the values in them.
 */


#include "unit.h"
#include "ngx_litestream_tree.c"
#include "ngx_litestream_base_value.c"


/* what nginx and the rest of the module have */

static ngx_uint_t  refused;


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_str_t *
ngx_litestream_vars_lookup(void *data, ngx_str_t *name)
{
    ngx_uint_t  i;

    static struct {
        ngx_str_t  name;
        ngx_str_t  value;
    } vars[] = {
        { ngx_string("A"), ngx_string("a: b") },
        { ngx_string("LONG_1"), ngx_string("0123456789012345678901234567890") },
        { ngx_string("EMPTY"), ngx_string("") },
        { ngx_string("RAW"), ngx_string("${A}$") }
    };

    for (i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {

        if (vars[i].name.len == name->len
            && memcmp(vars[i].name.data, name->data, name->len) == 0)
        {
            return &vars[i].value;
        }
    }

    return NULL;
}


u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    return buf;
}


void ngx_cdecl
ngx_litestream_said_error(ngx_log_t *log, ngx_http_litestream_said_t *said,
    ngx_err_t err, const char *fmt, ...)
{
    refused++;
}


/* "{a:LINE=plain,b:LINE='quoted',c:LINE=[1,2}}" */

static void
print(ngx_litestream_node_t *node, char *buf, size_t size)
{
    size_t  n;

    n = strlen(buf);

    switch (node->type) {

    case NGX_LITESTREAM_NODE_SCALAR:
        snprintf(buf + n, size - n, node->plain ? "%s" : "'%s'",
                 node->value.data);
        return;

    case NGX_LITESTREAM_NODE_NULL:
        snprintf(buf + n, size - n, "-");
        return;
    }

    snprintf(buf + n, size - n, "%s",
             node->type == NGX_LITESTREAM_NODE_MAP ? "{" : "[");

    for (node = node->child; node; node = node->next) {
        n = strlen(buf);

        if (node->name.data) {
            snprintf(buf + n, size - n, "%s:%u=", node->name.data,
                     (unsigned) node->line);
        }

        print(node, buf, size);

        n = strlen(buf);
        snprintf(buf + n, size - n, node->next ? "," : "");
    }

    n = strlen(buf);
    snprintf(buf + n, size - n, "}");
}


static ngx_uint_t
reads(const char *text, const char *expected)
{
    char                    buf[4096], *reason;
    ngx_int_t               rc;
    ngx_uint_t              line;
    ngx_litestream_node_t  *root;

    root = NULL;
    reason = NULL;
    line = 0;
    buf[0] = '\0';

    rc = ngx_litestream_tree_read(&unit_pool, (u_char *) text, strlen(text),
                                  &root, &line, &reason);

    if (rc == NGX_OK && root) {
        print(root, buf, sizeof(buf));

    } else if (rc == NGX_DECLINED) {
        snprintf(buf, sizeof(buf), "%u: %s", (unsigned) line, reason);
    }

    if (strcmp(buf, expected) == 0) {
        return 1;
    }

    printf("# \"%s\"\n", buf);

    return 0;
}


static ngx_uint_t
duration(const char *text, int64_t ns)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return ngx_litestream_base_duration(&s) == ns;
}


static ngx_uint_t
size(const char *text, int64_t bytes)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return ngx_litestream_base_size(&s) == bytes;
}


static ngx_uint_t  expand_env = 1;


static ngx_uint_t
expands(const char *text, const char *expected)
{
    ngx_int_t               rc;
    ngx_litestream_base_t   base;
    ngx_litestream_node_t   node;
    ngx_litestream_vars_t   vars;
    ngx_litestream_parse_t  parse;
    ngx_conf_t              cf;

    memset(&base, 0, sizeof(base));
    memset(&node, 0, sizeof(node));
    memset(&parse, 0, sizeof(parse));
    memset(&cf, 0, sizeof(cf));

    memset(&vars, 0, sizeof(vars));

    vars.expand = expand_env;
    base.vars = &vars;

    cf.pool = &unit_pool;
    cf.temp_pool = &unit_pool;
    parse.cf = &cf;

    node.value.data = (u_char *) text;
    node.value.len = strlen(text);

    refused = 0;

    rc = ngx_litestream_base_expand(&parse, &base, &node);

    if (expected == NULL) {
        return rc == NGX_ERROR && refused == 1;
    }

    return rc == NGX_OK && strcmp((char *) node.value.data, expected) == 0
           && node.value.len == strlen(expected);
}


static void
mutations(void)
{
    char                   *reason;
    u_char                 *p;
    size_t                  len;
    ngx_uint_t              i, line, read;
    ngx_litestream_node_t  *root;

    static const char  *seeds[] = {
        "a: 1\nb: {c: [d, 'e', {f: ~}], g: \"h\\x41\"}\n# i\nj:\n  - k\n",
        "dbs:\n- path: /x\n  replica: {url: \"file:///y\"}\n- path: z\n",
        "? [a]\n: b\n", "- - - - - - - - - - - - - - - - - a\n",
        "a: |\n  b\n  c\nd: >-\n  e\n", "%YAML 1.1\n--- !x &a b\n...\n"
    };

    read = 0;

    for (i = 0; i < 20000; i++) {
        p = unit_mutate(seeds[i % 6], strlen(seeds[i % 6]), &len);

        root = NULL;
        reason = NULL;

        switch (ngx_litestream_tree_read(&unit_pool, p, len, &root, &line,
                                         &reason))
        {
        case NGX_OK:
            read++;
            break;

        case NGX_DECLINED:
            if (reason && line) {
                break;
            }

            /* fall through */

        default:
            printf("# %.*s\n", (int) len, p);
            unit_failures++;
        }

        free(p);
        unit_free();
    }

    unit_ok(read > 1000 && read < 19000, "20000 changed files");
}


int
main(void)
{
    unit_ok(reads("", ""), "nothing");
    unit_ok(reads("# x\n\n", ""), "a comment");
    unit_ok(reads("a", "a"), "a text");
    unit_ok(reads("a: 1\nb: '2'\nc:\n", "{a:1=1,b:2='2',c:3=}"), "a mapping");
    unit_ok(reads("- a\n- {b: c}\n- [d, e]\n- []\n",
                  "[a,{b:2=c},[d,e},[}}"), "a list");
    unit_ok(reads("a:\n  b:\n    c: d\n  e: f\ng: h",
                  "{a:1={b:2={c:3=d},e:4=f},g:5=h}"), "mappings in mappings");
    unit_ok(reads("\xef\xbb\xbf" "a: b", "{a:1=b}"), "a byte order mark");
    unit_ok(reads("a: b\nc: d\na: e", "3: the key is there twice"), "twice");
    unit_ok(reads("a: {a: {a: b}}", "{a:1={a:1={a:1=b}}}"), "not twice");
    unit_ok(reads("a: &x b", "1: anchors and aliases are not supported"),
            "an anchor");
    unit_ok(reads("a: !!int 5", "1: tags are not supported"), "a tag");
    unit_ok(reads("a: b\n---\nc: d", "2: there is more than one document"),
            "two documents");
    unit_ok(reads("[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]",
                  "1: it is nested too deeply"), "17 deep");
    unit_ok(reads("{a: b}: c", "1: a key must be a text"), "an odd key");
    unit_ok(reads("a: \"\\0\"", "1: there is a NUL in it"), "a NUL");

    unit_free();

    unit_ok(duration("1h30m", 5400000000000LL)
            && duration("1.5s", 1500000000LL) && duration("0", 0)
            && duration("0s", 0) && duration("+5ms", 5000000)
            && duration("100us", 100000) && duration("7ns", 7)
            && duration(".5m", 30000000000LL)
            && duration("2\xc2\xb5s", 2000), "durations");
    unit_ok(duration("", -1) && duration("1", -1) && duration("-1s", -1)
            && duration("s", -1) && duration("1 s", -1) && duration("1d", -1)
            && duration(".s", -1) && duration("1s1", -1)
            && duration("+", -1) && duration("1..5s", -1)
            && duration("99999999h", -1)
            && duration("9999999999999999999999999999999999999999s", -1),
            "no durations");

    unit_ok(size("0", 0) && size("5", 5) && size("5MB", 5000000)
            && size("5 MiB", 5242880) && size("1.5k", 1500)
            && size("8mib", 8388608) && size("3B", 3), "sizes");
    unit_ok(size("", -1) && size("x", -1) && size("5 xb", -1)
            && size("-5", -1) && size("5MBx", -1)
            && size("99999999999TB", -1), "no sizes");

    unit_ok(expands("x", "x") && expands("", "")
            && expands("$A", "a: b") && expands("${A}", "a: b")
            && expands("x${A}y$A-$EMPTY.", "xa: bya: b-.")
            && expands("$RAW-$A", "${A}$-a: b")
            && expands("$LONG_1$LONG_1${LONG_1}x",
                       "012345678901234567890123456789001234567890123456789"
                       "012345678900123456789012345678901234567890x"),
            "variables");
    unit_ok(expands("$", NULL) && expands("a$", NULL) && expands("$$", NULL)
            && expands("${", NULL) && expands("${}", NULL)
            && expands("${A", NULL) && expands("$1", NULL)
            && expands("$NO", NULL) && expands("${A:-x}", NULL),
            "no variables");

    expand_env = 0;

    unit_ok(expands("$A${A}$$NO", "$A${A}$$NO"), "litestream_expand_env off");

    mutations();

    return unit_end();
}
