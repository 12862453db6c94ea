
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Where the state is: said, or in the environment, or what nginx -T prints,
 * or the default.
 */


#include "cli.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>


/* ms that nginx -T may take */
#define CLI_NGINX_TIMEOUT    10000


static int cli_find_set(cli_state_t *st, const char *path, const char *what);
static int cli_find_nginx(cli_options_t *o, cli_state_t *st);
static int cli_find_run(cli_options_t *o, cli_run_t *run, cli_state_t *st);
static void cli_find_exec(void *data);
static void cli_find_reason(cli_state_t *st, cli_buffer_t *err);
static int cli_find_begins(const char *text, const char *p);
static size_t cli_find_blank(const char *p, const char *last);


int
cli_find(cli_options_t *o, cli_state_t *st)
{
    int    rc;
    char  *env;

    st->why[0] = '\0';
    st->guessed = 0;
    st->said = 1;

    if (o->path) {
        return cli_find_set(st, o->path, "-path");
    }

    env = getenv("LITESTREAM_STATE_PATH");

    /* who says which configuration means it */

    if (o->n_nginx_args == 0 && o->nginx == NULL && env && *env) {
        return cli_find_set(st, env, "LITESTREAM_STATE_PATH");
    }

    st->said = (o->n_nginx_args || o->nginx);

    rc = cli_find_nginx(o, st);

    if (rc == CLI_NOT_RUNNING) {
        st->guessed = (st->why[0] != '\0');
        return cli_find_set(st, CLI_STATE_PATH, "");
    }

    return rc;
}


static int
cli_find_set(cli_state_t *st, const char *path, const char *what)
{
    size_t  len;

    len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }

    if (len == 0 || len >= sizeof(st->path) - sizeof("/supervisor.sock")) {
        cli_error("%s: the path is %s", what, len ? "too long" : "empty");
        return CLI_USAGE;
    }

    memcpy(st->path, path, len);
    st->path[len] = '\0';

    return CLI_YES;
}


/* CLI_NOT_RUNNING: nginx does not tell, the default counts */

static int
cli_find_nginx(cli_options_t *o, cli_state_t *st)
{
    int        rc;
    char       path[PATH_MAX];
    cli_run_t  run;

    rc = cli_find_run(o, &run, st);

    if (rc == CLI_YES) {

        rc = cli_find_parse(run.out.data ? run.out.data : (char *) "",
                            run.out.len, path, sizeof(path));

        if (rc == 1) {
            rc = cli_find_set(st, path, "litestream_state_path");

        } else if (rc == 0) {
            rc = CLI_NOT_RUNNING;

        } else {
            cli_error("the litestream_state_path that nginx -T prints cannot "
                      "be used: say -path DIR");
            rc = CLI_USAGE;
        }

    } else if (o->n_nginx_args || o->nginx) {
        cli_error("%s", st->why);
        rc = CLI_USAGE;

    } else {
        rc = CLI_NOT_RUNNING;
    }

    cli_run_free(&run);

    return rc;
}


/* CLI_YES: nginx -T has ended well; else st->why */

static int
cli_find_run(cli_options_t *o, cli_run_t *run, cli_state_t *st)
{
    int  rc;

    memset(run, 0, sizeof(cli_run_t));

    run->exec = cli_find_exec;
    run->data = o;
    run->timeout = CLI_NGINX_TIMEOUT;

    rc = cli_run(run);

    if (rc == CLI_TIMEOUT) {
        cli_copy(st->why, sizeof(st->why),
                 "nginx -T did not end within %d s",
                 CLI_NGINX_TIMEOUT / 1000);
        return CLI_NO;
    }

    if (rc != CLI_YES) {
        cli_copy(st->why, sizeof(st->why), "nginx -T: %.900s", run->error);
        return CLI_NO;
    }

    if (!WIFEXITED(run->status) || WEXITSTATUS(run->status) != 0) {
        cli_find_reason(st, &run->err);
        return CLI_NO;
    }

    return CLI_YES;
}


/* in the child */

static void
cli_find_exec(void *data)
{
    cli_options_t *o = data;

    int     i, n;
    char   *argv[CLI_MAX_NGINX_ARGS + 3];
    size_t  k;

    static const char  *places[] = {
        "/usr/sbin/nginx",
        "/usr/local/sbin/nginx",
        "/usr/local/nginx/sbin/nginx"
    };

    /* to nginx it would mean sockets to take over */

    (void) unsetenv("NGINX");

    n = 0;
    argv[n++] = (char *) "nginx";
    argv[n++] = (char *) "-T";

    for (i = 0; i < o->n_nginx_args; i++) {
        argv[n++] = o->nginx_args[i];
    }

    argv[n] = NULL;

    if (o->nginx) {
        (void) execvp(o->nginx, argv);
        (void) fprintf(stderr, "%s: %s\n", o->nginx, strerror(errno));
        return;
    }

    (void) execvp("nginx", argv);

    for (k = 0; k < sizeof(places) / sizeof(char *); k++) {
        (void) execv(places[k], argv);
    }

    (void) fprintf(stderr, "nginx was not found\n");
}


/* the last line with a level that says that it is to blame, else the last */

static void
cli_find_reason(cli_state_t *st, cli_buffer_t *err)
{
    int          blamed;
    size_t       len;
    const char  *p, *last, *end, *line;

    line = NULL;
    len = 0;
    blamed = 0;

    p = err->data;
    last = err->data + err->len;

    while (p && p < last) {

        end = memchr(p, '\n', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        if (memmem(p, (size_t) (end - p), "[emerg]", 7)) {
            line = p;
            len = (size_t) (end - p);
            blamed = 1;

        } else if (!blamed && end > p) {
            line = p;
            len = (size_t) (end - p);
        }

        p = end + 1;
    }

    if (line == NULL) {
        cli_copy(st->why, sizeof(st->why), "nginx -T failed");
        return;
    }

    cli_copy(st->why, sizeof(st->why), "nginx -T failed: %.*s",
             (int) (len < 700 ? len : 700), line);
}


/*
 * It is looked for by line, not by taking the whole configuration apart: code
 * of other modules in it (Lua, njs) follows other rules.
 */

int
cli_find_parse(char *text, size_t len, char *path, size_t size)
{
    char         quote;
    size_t       n;
    const char  *p, *last, *next;

    static const char  name[] = "litestream_state_path";

    p = text;
    last = text + len;

    for ( ;; ) {

        p = memmem(p, (size_t) (last - p), name, sizeof(name) - 1);

        if (p == NULL) {
            return 0;
        }

        next = p + sizeof(name) - 1;

        if (!cli_find_begins(text, p)
            || cli_find_blank(next, last) == 0)
        {
            p = next;
            continue;
        }

        p = next + cli_find_blank(next, last);

        if (p == last) {
            return 0;
        }

        quote = (*p == '"' || *p == '\'') ? *p++ : '\0';

        for (n = 0; p < last; p++) {

            if (quote ? *p == quote
                      : (*p == ';' || cli_find_blank(p, last)))
            {
                break;
            }

            /* as nginx: a backslash takes the next character as it is */

            if (*p == '\\' && p + 1 < last
                && (p[1] == '"' || p[1] == '\'' || p[1] == '\\'))
            {
                p++;
            }

            if (*p == '\0' || n + 1 >= size) {
                return -1;
            }

            path[n++] = *p;
        }

        path[n] = '\0';

        /* a variable may come from where this process does not look */

        return (path[0] == '/' && strstr(path, "${") == NULL) ? 1 : -1;
    }
}


/* 1 if a directive begins at p */

static int
cli_find_begins(const char *text, const char *p)
{
    const char  *line, *q;

    for (line = p; line > text && line[-1] != '\n'; line--) {
        /* void */
    }

    for (q = line; q < p; q++) {
        if (*q == '#' && (q == line || q[-1] == ' ' || q[-1] == '\t'
                          || q[-1] == ';' || q[-1] == '{' || q[-1] == '}'))
        {
            return 0;
        }
    }

    for (q = p; q > line && (q[-1] == ' ' || q[-1] == '\t'); q--) {
        /* void */
    }

    return q == line || q[-1] == ';' || q[-1] == '{' || q[-1] == '}';
}


static size_t
cli_find_blank(const char *p, const char *last)
{
    size_t  n;

    for (n = 0; p + n < last; n++) {
        if (p[n] != ' ' && p[n] != '\t' && p[n] != '\r' && p[n] != '\n') {
            break;
        }
    }

    return n;
}
