
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Where the state is: said, or in the environment, or what nginx -T prints,
 * or the default.
 */


#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>


/* ms that nginx -T may take */
#define CLI_NGINX_TIMEOUT    10000

#define CLI_NGINX_OUTPUT     (64 * 1024 * 1024)


typedef struct {
    char                     *data;
    size_t                    len;
    size_t                    size;
} cli_buffer_t;


static int cli_find_set(cli_state_t *st, const char *path, const char *what);
static int cli_find_nginx(cli_options_t *o, cli_state_t *st);
static int cli_find_run(cli_options_t *o, cli_buffer_t *out, cli_buffer_t *err,
    cli_state_t *st);
static void cli_find_exec(cli_options_t *o, int out, int err);
static int cli_find_read(int fd, cli_buffer_t *b);
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

    if (o->path) {
        return cli_find_set(st, o->path, "-path");
    }

    env = getenv("LITESTREAM_STATE_PATH");

    /* who says which configuration means it */

    if (o->n_nginx_args == 0 && o->nginx == NULL && env && *env) {
        return cli_find_set(st, env, "LITESTREAM_STATE_PATH");
    }

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
    int           rc;
    char          path[PATH_MAX];
    cli_buffer_t  out, err;

    memset(&out, 0, sizeof(cli_buffer_t));
    memset(&err, 0, sizeof(cli_buffer_t));

    rc = cli_find_run(o, &out, &err, st);

    if (rc == CLI_YES) {

        rc = cli_find_parse(out.data ? out.data : (char *) "", out.len, path,
                            sizeof(path));

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

    free(out.data);
    free(err.data);

    return rc;
}


/* CLI_YES: nginx -T has ended well; else st->why */

static int
cli_find_run(cli_options_t *o, cli_buffer_t *out, cli_buffer_t *err,
    cli_state_t *st)
{
    int            pout[2], perr[2], n, status, bad;
    pid_t          pid;
    int64_t        end, left;
    sigset_t       all, old;
    struct pollfd  fds[2];

    if (pipe2(pout, O_CLOEXEC) == -1) {
        cli_copy(st->why, sizeof(st->why), "nginx -T: pipe2() failed: %s",
                 strerror(errno));
        return CLI_NO;
    }

    if (pipe2(perr, O_CLOEXEC) == -1) {
        cli_copy(st->why, sizeof(st->why), "nginx -T: pipe2() failed: %s",
                 strerror(errno));
        (void) close(pout[0]);
        (void) close(pout[1]);
        return CLI_NO;
    }

    /* a signal must find the child's pid, or no child */

    (void) sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, &old);
    (void) fflush(NULL);

    pid = fork();

    if (pid == 0) {
        (void) setpgid(0, 0);
        (void) signal(SIGINT, SIG_DFL);
        (void) signal(SIGTERM, SIG_DFL);
        (void) signal(SIGHUP, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &old, NULL);

        cli_find_exec(o, pout[1], perr[1]);
        _exit(127);
    }

    if (pid != -1) {
        (void) setpgid(pid, pid);
        cli_child = pid;
    }

    (void) sigprocmask(SIG_SETMASK, &old, NULL);

    (void) close(pout[1]);
    (void) close(perr[1]);

    if (pid == -1) {
        cli_copy(st->why, sizeof(st->why), "nginx -T: fork() failed: %s",
                 strerror(errno));
        (void) close(pout[0]);
        (void) close(perr[0]);
        return CLI_NO;
    }

    end = cli_clock() + CLI_NGINX_TIMEOUT;
    bad = 0;

    fds[0].fd = pout[0];
    fds[0].events = POLLIN;
    fds[1].fd = perr[0];
    fds[1].events = POLLIN;

    while (fds[0].fd != -1 || fds[1].fd != -1) {

        left = end - cli_clock();

        n = (left > 0) ? poll(fds, 2, (int) left) : 0;

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            bad = 1;
            break;
        }

        if (fds[0].fd != -1 && fds[0].revents
            && cli_find_read(pout[0], out) <= 0)
        {
            fds[0].fd = -1;
        }

        if (fds[1].fd != -1 && fds[1].revents
            && cli_find_read(perr[0], err) <= 0)
        {
            fds[1].fd = -1;
        }
    }

    (void) close(pout[0]);
    (void) close(perr[0]);

    /* who has closed its output and goes on does not end in time, either */

    while (!bad) {

        n = (int) waitpid(pid, &status, WNOHANG);

        if (n == pid || (n == -1 && errno != EINTR)) {
            break;
        }

        if (cli_clock() >= end) {
            bad = 1;
            break;
        }

        cli_sleep(5);
    }

    if (bad) {
        (void) kill(-pid, SIGKILL);

        while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
            /* void */
        }

        cli_child = 0;

        cli_copy(st->why, sizeof(st->why),
                 "nginx -T did not end within %d s",
                 CLI_NGINX_TIMEOUT / 1000);
        return CLI_NO;
    }

    cli_child = 0;

    if (n != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        cli_find_reason(st, err);
        return CLI_NO;
    }

    return CLI_YES;
}


/* in the child */

static void
cli_find_exec(cli_options_t *o, int out, int err)
{
    int     i, n, null;
    char   *argv[CLI_MAX_NGINX_ARGS + 3];
    size_t  k;

    static const char  *places[] = {
        "/usr/sbin/nginx",
        "/usr/local/sbin/nginx",
        "/usr/local/nginx/sbin/nginx"
    };

    null = open("/dev/null", O_RDWR);

    if (null == -1 || dup2(null, 0) == -1 || dup2(out, 1) == -1
        || dup2(err, 2) == -1)
    {
        return;
    }

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


/* what could be read, 0 at the end, -1 */

static int
cli_find_read(int fd, cli_buffer_t *b)
{
    char     *p;
    size_t    size;
    ssize_t   n;

    if (b->size - b->len < 65536) {

        size = b->size ? b->size * 2 : 262144;

        if (size > CLI_NGINX_OUTPUT) {
            return -1;
        }

        p = realloc(b->data, size);

        if (p == NULL) {
            return -1;
        }

        b->data = p;
        b->size = size;
    }

    do {
        n = read(fd, b->data + b->len, 65536);
    } while (n == -1 && errno == EINTR);

    if (n > 0) {
        b->len += (size_t) n;
    }

    return (int) n;
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
