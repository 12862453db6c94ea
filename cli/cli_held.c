
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What Litestream's JSON says: it is read by name.  A quote in a value is
 * escaped there, so that a name with its quotes stands only where it is one.
 */


#include "cli.h"


static char *cli_json_value_of(char *p, char *last, const char *name,
    size_t *len);
static int cli_held_range(cli_buffer_t *b, const char *name, char *least,
    char *most);
static void cli_held_take(char *value, const char *p, size_t len, int sign);


/*
 * The last value with this name, a text without escapes or a number: CLI_YES,
 * or CLI_NO when there is none that fits.
 */

int
cli_json_last(cli_buffer_t *b, const char *name, char *value, size_t size)
{
    char    *p, *last, *found;
    size_t   len, n;

    if (b->data == NULL) {
        return CLI_NO;
    }

    found = NULL;
    n = 0;
    last = b->data + b->len;

    for (p = b->data; /* void */ ; p += len) {

        p = cli_json_value_of(p, last, name, &len);

        if (p == NULL) {
            break;
        }

        found = p;
        n = len;
    }

    if (found == NULL || n >= size || memchr(found, '\\', n)) {
        return CLI_NO;
    }

    memcpy(value, found, n);
    value[n] = '\0';

    return CLI_YES;
}


/* NULL: it does not follow any more */

static char *
cli_json_value_of(char *p, char *last, const char *name, size_t *len)
{
    int   n;
    char  key[64];

    n = snprintf(key, sizeof(key), "\"%s\":", name);

    p = memmem(p, (size_t) (last - p), key, (size_t) n);

    if (p == NULL) {
        return NULL;
    }

    for (p += n; p < last && *p == ' '; p++) {
        /* void */
    }

    /* the buffer ends with NUL */

    *len = (*p == '"') ? strcspn(++p, "\"\n") : strcspn(p, ",}] \n");

    return p;
}


/*
 * What a replica holds, of "ltx -level all -json".
 */

void
cli_held(cli_buffer_t *b, cli_held_t *held)
{
    memset(held, 0, sizeof(cli_held_t));

    held->files = cli_held_range(b, "min_txid", held->min, NULL);

    (void) cli_held_range(b, "max_txid", NULL, held->max);
    (void) cli_held_range(b, "timestamp", held->from, held->to);
}


/*
 * The least and the most of the values with this name, hex digits or times of
 * UTC, which are in the order of their texts; and how many there are.
 */

static int
cli_held_range(cli_buffer_t *b, const char *name, char *least, char *most)
{
    int      n;
    char    *p, *last;
    size_t   len;

    if (b->data == NULL) {
        return 0;
    }

    n = 0;
    last = b->data + b->len;

    for (p = b->data; /* void */ ; p += len) {

        p = cli_json_value_of(p, last, name, &len);

        if (p == NULL) {
            return n;
        }

        n++;

        if (len == 0 || len >= CLI_HELD_LEN) {
            continue;
        }

        cli_held_take(least, p, len, -1);
        cli_held_take(most, p, len, 1);
    }
}


static void
cli_held_take(char *value, const char *p, size_t len, int sign)
{
    if (value == NULL) {
        return;
    }

    if (*value == '\0' || strncmp(p, value, len) * sign > 0) {
        memcpy(value, p, len);
        value[len] = '\0';
    }
}
