
/*
 * Copyright (C) the ngx_litestream authors
 */


/* Litestream, run as the target says, and what it has said */


#include "cli.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>


/* of a command, with those of the target */
#define CLI_LITESTREAM_ARGS     32

/* ms that it may take to say which it is */
#define CLI_LITESTREAM_VERSION  10000


typedef struct {
    char                          **argv;
    char                          **env;
} cli_litestream_t;


static void cli_litestream_exec(void *data);
static const char *cli_litestream_error(cli_buffer_t *b, size_t *len);


/*
 * litestream COMMAND [ARGS] [-config FILE] SOURCE; args ends with NULL, and
 * run has a tick or none.  CLI_YES: it ended with 0; CLI_NO, CLI_TIMEOUT: see
 * cli_litestream_reason().  The output is run's until cli_run_free().
 */

int
cli_litestream(cli_options_t *o, cli_target_t *t, const char *command,
    const char **args, cli_run_t *run)
{
    int                rc;
    cli_litestream_t   ls;

    ls.argv = cli_litestream_argv(t, command, args);
    ls.env = t->env;

    run->exec = cli_litestream_exec;
    run->data = &ls;
    run->timeout = (o->timeout == -1) ? CLI_LITESTREAM_TIMEOUT : o->timeout;

    if (ls.argv == NULL) {
        cli_copy(run->error, sizeof(run->error), "no memory");
        return CLI_NO;
    }

    rc = cli_run(run);

    free(ls.argv);

    if (rc == CLI_YES && run->status != 0) {
        rc = CLI_NO;
    }

    if (rc == CLI_TIMEOUT && strcmp(command, "reset") != 0) {
        (void) cli_endpoint_reason(t, run->error, sizeof(run->error));
    }

    return rc;
}


/* NULL: no memory */

char **
cli_litestream_argv(cli_target_t *t, const char *command, const char **args)
{
    int    n;
    char  **argv;

    argv = calloc(CLI_LITESTREAM_ARGS, sizeof(char *));

    if (argv == NULL) {
        return NULL;
    }

    n = 0;
    argv[n++] = t->bin;
    argv[n++] = (char *) command;

    while (*args && n < CLI_LITESTREAM_ARGS - 5) {
        argv[n++] = (char *) *args++;
    }

    if (t->no_expand_env) {
        argv[n++] = (char *) "-no-expand-env";
    }

    if (t->config[0]) {
        argv[n++] = (char *) "-config";
        argv[n++] = t->config;
    }

    if (t->source) {
        argv[n++] = (char *) t->source;
    }

    argv[n] = NULL;

    return argv;
}


/* in the child */

static void
cli_litestream_exec(void *data)
{
    cli_litestream_t *ls = data;

    (void) umask(027);

    if (chdir("/") == 0) {
        (void) execve(ls->argv[0], ls->argv, ls->env);
    }

    (void) dprintf(2, "Error: %s: %s\n", ls->argv[0], strerror(errno));
}


/*
 * Why Litestream has failed, in one line: rc is that of cli_litestream().
 */

void
cli_litestream_reason(cli_options_t *o, cli_run_t *run, int rc, char *text,
    size_t size)
{
    char         span[64], said[CLI_ERROR_LEN], *p;
    size_t       len;
    int64_t      ms;
    const char  *error;

    /* what it says last, as the module tells it */

    said[0] = '\0';
    error = cli_litestream_error(&run->err, &len);

    if (error) {
        ngx_litestream_tidy(said, sizeof(said), error, len);
    }

    if (rc == CLI_TIMEOUT) {

        ms = (o->timeout == -1) ? CLI_LITESTREAM_TIMEOUT : o->timeout;

        if (ms % 1000) {
            cli_copy(span, sizeof(span), "%lld ms", (long long) ms);

        } else {
            cli_copy(span, sizeof(span), "%lld s", (long long) (ms / 1000));
        }

        /* what it has said, else what cli_litestream() has seen */

        error = said[0] ? said : run->error;

        cli_copy(text, size, "Litestream %s within %s, it was ended%s%.700s",
                 run->tick ? "made no progress" : "gave no answer", span,
                 error[0] ? ": " : "", error);
        return;
    }

    if (run->error[0]) {
        cli_copy(text, size, "%s", run->error);
        return;
    }

    if (said[0]) {
        cli_copy(text, size, "%s", said);
        return;
    }

    /* Litestream 0.3 says it as a line of its log */

    if (cli_old_error(run, text, size) == CLI_YES) {
        return;
    }

    p = cli_line_last(&run->err, "");

    if (p && *p) {
        cli_copy(text, size, "%s", p);

    } else if (WIFSIGNALED(run->status)) {
        cli_copy(text, size, "Litestream was ended by signal %d",
                 WTERMSIG(run->status));

    } else {
        cli_copy(text, size, "Litestream has ended with exit code %d",
                 WEXITSTATUS(run->status));
    }
}


/*
 * The last error, with all that follows it: some storages say theirs on many
 * lines.  NULL: there is none.
 */

static const char *
cli_litestream_error(cli_buffer_t *b, size_t *len)
{
    const char  *p, *end, *last, *next, *found, *error;

    static const char  head[] = "Error: ";

    if (b->data == NULL) {
        return NULL;
    }

    found = NULL;
    last = b->data + b->len;

    for (p = b->data; p < last; p = next) {

        end = memchr(p, '\n', (size_t) (last - p));
        end = end ? end : last;
        next = end + 1;

        error = memmem(p, (size_t) (end - p), head, sizeof(head) - 1);

        if (error) {
            found = error + sizeof(head) - 1;
        }
    }

    if (found) {
        *len = (size_t) (last - found);
    }

    return found;
}


/* what follows text in the last line that has it, NUL-ended; or NULL */

char *
cli_line_last(cli_buffer_t *b, const char *text)
{
    char  *p, *next, *found;

    found = NULL;

    /* lines that were ended by an earlier call stay ended */

    for (p = b->data; p && p < b->data + b->len; p = next) {

        next = p + strcspn(p, "\n");
        *next++ = '\0';

        if (*p == '\0') {
            continue;
        }

        p = strstr(p, text);

        if (p) {
            found = p + strlen(text);
        }
    }

    return found;
}


/*
 * Output of Litestream, for a terminal: no control character is shown.  JSON
 * stays what it is.
 */

void
cli_print(cli_buffer_t *b, int json)
{
    size_t                n, len;
    uint32_t              code;
    const unsigned char  *p;

    p = (const unsigned char *) b->data;

    for (len = b->len; len; len -= n, p += n) {

        n = cli_utf8(p, len, &code);

        if (n && (*p == '\n' || !cli_invisible(code))) {
            (void) fwrite(p, 1, n, stdout);
            continue;
        }

        if (json && n) {
            (void) printf("\\u%04x", code);
            continue;
        }

        n = 1;

        if (json) {
            (void) fputs("\xef\xbf\xbd", stdout);

        } else {
            (void) printf("\\x%02x", *p);
        }
    }
}


/*
 * Which Litestream it is, "0.5.17": CLI_YES; else text says why not.
 */

int
cli_litestream_version(char *bin, char **env, char *text, size_t size)
{
    int               rc;
    char             *argv[3], *p;
    cli_run_t         run;
    cli_options_t     o;
    cli_litestream_t  ls;

    argv[0] = bin;
    argv[1] = (char *) "version";
    argv[2] = NULL;

    ls.argv = argv;
    ls.env = env;

    memset(&o, 0, sizeof(cli_options_t));
    memset(&run, 0, sizeof(cli_run_t));

    o.timeout = CLI_LITESTREAM_VERSION;

    run.exec = cli_litestream_exec;
    run.data = &ls;
    run.timeout = o.timeout;

    rc = cli_run(&run);

    if (rc == CLI_YES && run.status != 0) {
        rc = CLI_NO;
    }

    if (rc == CLI_YES) {
        p = run.out.data ? run.out.data : (char *) "";
        p[strcspn(p, "\r\n")] = '\0';
        cli_copy(text, size, "%.60s", *p == 'v' ? p + 1 : p);

    } else {
        cli_litestream_reason(&o, &run, rc, text, size);
    }

    cli_run_free(&run);

    return rc;
}
