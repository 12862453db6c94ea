
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What Litestream 0.3 says when something is wrong: a line of its log, in one
 * of three forms, on stdout or stderr.  Its exit code may be 0 all the same.
 */


#include "cli.h"


#define CLI_OLD_LINE  4096


static int cli_old_buffer(cli_buffer_t *b, char *text, size_t size);
static char *cli_old_line(char *line);
static char *cli_old_after(char *line, const char *name);
static void cli_old_value(const char *p, char *text, size_t size);


/* CLI_YES: it has told of an error, and text has the last one in one line */

int
cli_old_error(cli_run_t *run, char *text, size_t size)
{
    return (cli_old_buffer(&run->err, text, size) == CLI_YES)
           ? CLI_YES : cli_old_buffer(&run->out, text, size);
}


static int
cli_old_buffer(cli_buffer_t *b, char *text, size_t size)
{
    int     rc;
    char   *p, *end, *value, line[CLI_OLD_LINE];
    size_t  len;

    rc = CLI_NO;

    /* lines that were ended by an earlier call stay ended */

    for (p = b->data; p && p < b->data + b->len; p = end + 1) {

        len = strcspn(p, "\n");
        end = p + len;

        cli_copy(line, sizeof(line), "%.*s", (int) len, p);

        value = cli_old_line(line);

        if (value) {
            cli_old_value(value, text, size);
            rc = CLI_YES;
        }
    }

    return rc;
}


/* what is said as the reason, as it is written there; NULL: it is no error */

static char *
cli_old_line(char *line)
{
    char  *p;

    if (line[0] == '{') {

        if (strstr(line, "\"level\":\"ERROR\"") == NULL) {
            return NULL;
        }

        p = cli_old_after(line, "\"error\":");

        return p ? p : cli_old_after(line, "\"msg\":");
    }

    if (strncmp(line, "time=", 5) == 0) {

        if (strstr(line, " level=ERROR ") == NULL) {
            return NULL;
        }

        p = cli_old_after(line, " error=");

        return p ? p : cli_old_after(line, " msg=");
    }

    /* "2026/01/31 12:00:00 ERROR failed to run error=...", of a URL */

    if (strlen(line) < 26 || line[4] != '/' || line[7] != '/'
        || strncmp(line + 19, " ERROR ", 7) != 0)
    {
        return NULL;
    }

    p = cli_old_after(line, " error=");

    return p ? p : line + 26;
}


static char *
cli_old_after(char *line, const char *name)
{
    char  *p;

    p = strstr(line, name);

    return p ? p + strlen(name) : NULL;
}


/* a string in quotes, as Go and JSON write it, or all that is left */

static void
cli_old_value(const char *p, char *text, size_t size)
{
    int     quoted;
    char   *q, *last;

    q = text;
    last = text + size - 1;

    quoted = (*p == '"');
    p += quoted;

    while (*p && q < last) {

        if (quoted && *p == '"') {
            break;
        }

        if (!quoted || *p != '\\' || p[1] == '\0') {
            *q++ = *p++;
            continue;
        }

        switch (p[1]) {

        case 'n':

            /* "request failed\ncaused by: no such host" */

            *q++ = ':';

            if (q < last) {
                *q++ = ' ';
            }

            break;

        case '"':
        case '\\':
        case '/':
            *q++ = p[1];
            break;

        default:
            *q++ = ' ';
        }

        p += 2;
    }

    *q = '\0';
}
