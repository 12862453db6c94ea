
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * config: what Litestream runs with.  The files belong to users who may not
 * be trusted with another's: only root, or who runs all of nginx, reads them.
 */


#include "cli.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>


#define CLI_CONFIG_SIZE   (64 * 1024 * 1024)

/* how deep secrets are looked for */
#define CLI_CONFIG_DEPTH  32

#define CLI_CONFIG_MASK   "***"


typedef struct {
    unsigned                        mapping:1;
    unsigned                        value:1;   /* next is a value */
    unsigned                        secret:1;
} cli_level_t;


typedef struct {
    cli_level_t                     levels[CLI_CONFIG_DEPTH];
    int                             depth;
} cli_mask_t;


static int cli_config_group(cli_state_t *st, const char *name, int first);
static int cli_config_event(cli_mask_t *m, yaml_event_t *event);
static int cli_config_scalar(cli_mask_t *m, yaml_event_t *event);
static int cli_config_secret(const char *key, size_t len);
static char *cli_config_url(const char *value, size_t len);
static int cli_config_replace(yaml_event_t *event, const char *text);


int
cli_config(cli_options_t *o)
{
    int           i, n, rc, one, first;
    cli_state_t  *st;

    rc = cli_state(o, &st);

    if (rc == CLI_YES) {
        rc = cli_choose(o, st);
    }

    if (rc != CLI_YES) {
        return rc;
    }

    first = 1;

    for (n = 0; n < st->n_groups; n++) {

        for (i = 0; i < st->n_dbs; i++) {
            if (st->chosen[i] && st->dbs[i].group == (uint32_t) n) {
                break;
            }
        }

        if (i == st->n_dbs || st->groups[n].name[0] == '\0') {
            continue;
        }

        one = cli_config_group(st, st->groups[n].name, first);
        first = 0;

        if (one != CLI_YES) {
            rc = one;
        }
    }

    if (first) {
        cli_error("nothing is replicated");
        return CLI_NO;
    }

    return rc;
}


static int
cli_config_group(cli_state_t *st, const char *name, int first)
{
    int             fd, rc;
    FILE           *out;
    char            error[CLI_ERROR_LEN], path[4 * CLI_ERROR_LEN], *masked;
    size_t          len, size;
    ssize_t         n;
    struct stat     sb;
    unsigned char  *text;

    fd = cli_group_open(st, name, "litestream.yml");

    if (fd == -1) {

        if (errno == EACCES) {
            cli_error("\"%.700s/%s/litestream.yml\" may be read by root only: "
                      "run this as root", st->path, name);

        } else {
            cli_error("cannot open \"%.700s/%s/litestream.yml\": %s",
                      st->path, name, strerror(errno));
        }

        return CLI_NO;
    }

    if (fstat(fd, &sb) == -1 || !S_ISREG(sb.st_mode)
        || sb.st_size > CLI_CONFIG_SIZE
        || (text = malloc((size_t) sb.st_size + 1)) == NULL)
    {
        (void) close(fd);
        cli_error("\"%.700s/%s/litestream.yml\" is not a configuration",
                  st->path, name);
        return CLI_NO;
    }

    len = 0;

    while (len < (size_t) sb.st_size) {

        n = pread(fd, text + len, (size_t) sb.st_size - len, (off_t) len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        len += (size_t) n;
    }

    (void) close(fd);

    if (!first) {
        (void) fputs("---\n", stdout);
    }

    cli_copy(error, sizeof(error), "%.800s/%.64s/litestream.yml", st->path,
             name);
    (void) cli_escape(path, sizeof(path), error);
    (void) printf("# %s\n", path);

    masked = NULL;
    out = open_memstream(&masked, &size);

    if (out) {
        rc = cli_config_mask(text, len, out, error, sizeof(error));

        /* all or nothing */

        if (fclose(out) == 0 && rc == CLI_YES && masked) {
            (void) fwrite(masked, 1, size, stdout);
        }

    } else {
        cli_copy(error, sizeof(error), "no memory");
        rc = CLI_NO;
    }

    free(masked);
    free(text);

    if (rc != CLI_YES) {
        cli_error("\"%.700s/%s/litestream.yml\": %s", st->path, name, error);
    }

    return rc;
}


/*
 * By events: what is written is YAML again, whatever a value holds.
 */

int
cli_config_mask(const unsigned char *text, size_t len, FILE *out, char *error,
    size_t size)
{
    int             rc, done;
    cli_mask_t      m;
    yaml_event_t    event;
    yaml_parser_t   parser;
    yaml_emitter_t  emitter;

    memset(&m, 0, sizeof(cli_mask_t));

    if (!yaml_parser_initialize(&parser)) {
        cli_copy(error, size, "no memory");
        return CLI_NO;
    }

    if (!yaml_emitter_initialize(&emitter)) {
        yaml_parser_delete(&parser);
        cli_copy(error, size, "no memory");
        return CLI_NO;
    }

    yaml_parser_set_input_string(&parser, text, len);

    yaml_emitter_set_output_file(&emitter, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);

    rc = CLI_YES;
    done = 0;

    while (!done) {

        if (!yaml_parser_parse(&parser, &event)) {
            cli_copy(error, size, "not valid YAML, line %lu: %s",
                     (unsigned long) parser.problem_mark.line + 1,
                     parser.problem ? parser.problem : "?");
            rc = CLI_NO;
            break;
        }

        done = (event.type == YAML_STREAM_END_EVENT);

        if (cli_config_event(&m, &event) != CLI_YES) {
            yaml_event_delete(&event);
            cli_copy(error, size, "it cannot be masked");
            rc = CLI_NO;
            break;
        }

        /* the event is the emitter's from here on */

        if (!yaml_emitter_emit(&emitter, &event)) {
            cli_copy(error, size, "it cannot be written: %s",
                     emitter.problem ? emitter.problem : "?");
            rc = CLI_NO;
            break;
        }
    }

    yaml_emitter_delete(&emitter);
    yaml_parser_delete(&parser);

    return rc;
}


/* where in the document the event is, and what it becomes */

static int
cli_config_event(cli_mask_t *m, yaml_event_t *event)
{
    unsigned      secret;
    cli_level_t  *level;

    level = m->depth ? &m->levels[m->depth - 1] : NULL;
    secret = level ? level->secret : 0;

    switch (event->type) {

    case YAML_SCALAR_EVENT:
        return cli_config_scalar(m, event);

    case YAML_ALIAS_EVENT:

        if (level && level->mapping) {
            level->value = !level->value;
        }

        return CLI_YES;

    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:

        if (m->depth == CLI_CONFIG_DEPTH) {
            return CLI_NO;
        }

        if (level && level->mapping) {
            level->value = !level->value;
        }

        level = &m->levels[m->depth++];

        level->mapping = (event->type == YAML_MAPPING_START_EVENT);
        level->value = 0;
        level->secret = secret;

        return CLI_YES;

    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:

        if (m->depth) {
            m->depth--;
        }

        return CLI_YES;

    default:
        return CLI_YES;
    }
}


static int
cli_config_scalar(cli_mask_t *m, yaml_event_t *event)
{
    int           rc;
    char         *url;
    const char   *value;
    cli_level_t  *level, *up;

    level = m->depth ? &m->levels[m->depth - 1] : NULL;
    up = m->depth > 1 ? &m->levels[m->depth - 2] : NULL;

    value = (const char *) event->data.scalar.value;

    if (level && level->mapping && !level->value) {

        level->value = 1;
        level->secret = (cli_config_secret(value,
                                           event->data.scalar.length)
                         || (up && up->secret));
        return CLI_YES;
    }

    if (level && level->mapping) {
        level->value = 0;
    }

    if (level && level->secret) {
        return cli_config_replace(event, CLI_CONFIG_MASK);
    }

    url = cli_config_url(value, event->data.scalar.length);

    if (url == NULL) {
        return CLI_YES;
    }

    rc = cli_config_replace(event, url);

    free(url);

    return rc;
}


/*
 * whatever sounds like one, as litestream_base_config may pass any key on: to
 * show too little does no harm
 */

static int
cli_config_secret(const char *key, size_t len)
{
    char    name[128];
    size_t  i;

    static const char  *parts[] = {
        "secret", "pass", "token", "key", "sas", "credential", "private",
        "signature", "seed", "jwt", "auth", "heartbeat-url"
    };

    /* and is none: a name of a file, or of a key */

    static const char  *plain[] = {
        "client-key", "host-key", "key-path", "sse-customer-key-path",
        "sse-kms-key-id"
    };

    if (len >= sizeof(name)) {
        return 1;
    }

    for (i = 0; i < len; i++) {
        name[i] = (key[i] == '_') ? '-' : key[i];
    }

    name[len] = '\0';

    for (i = 0; i < sizeof(plain) / sizeof(char *); i++) {
        if (strcmp(name, plain[i]) == 0) {
            return 0;
        }
    }

    for (i = 0; i < sizeof(parts) / sizeof(char *); i++) {
        if (strcasestr(name, parts[i])) {
            return 1;
        }
    }

    return 0;
}


int
cli_url_secret(const char *url)
{
    int   secret;
    char  *masked;

    masked = cli_config_url(url, strlen(url));
    secret = (masked && strcmp(masked, url) != 0);

    free(masked);

    return secret;
}


/* a URL whose password or parameters are masked; NULL: as it is */

static char *
cli_config_url(const char *value, size_t len)
{
    char    *url, *p, *at, *colon, *end, *query, *name, *stop;
    size_t   tail;

    if (memmem(value, len, "://", 3) == NULL) {
        return NULL;
    }

    /* masks may be longer than what they stand for */

    url = malloc(len * (sizeof(CLI_CONFIG_MASK)) + sizeof(CLI_CONFIG_MASK));

    if (url == NULL) {
        return NULL;
    }

    memcpy(url, value, len);
    url[len] = '\0';

    p = strstr(url, "://");

    if (p == NULL) {
        free(url);
        return NULL;
    }

    p += 3;

    /* the last "@": a password may hold one, and "/" or "?", too */

    end = url + strlen(url);
    at = memrchr(p, '@', (size_t) (end - p));
    colon = at ? memchr(p, ':', (size_t) (at - p)) : NULL;

    if (colon) {
        tail = strlen(at) + 1;
        memmove(colon + sizeof(CLI_CONFIG_MASK), at, tail);
        memcpy(colon + 1, CLI_CONFIG_MASK, sizeof(CLI_CONFIG_MASK) - 1);
    }

    query = strchr(p, '?');

    while (query) {

        name = query + 1;
        query = strpbrk(name, "&;");
        stop = query ? query : name + strlen(name);
        colon = memchr(name, '=', (size_t) (stop - name));

        if (colon == NULL
            || !cli_config_secret(name, (size_t) (colon - name)))
        {
            continue;
        }

        tail = strlen(stop) + 1;
        memmove(colon + sizeof(CLI_CONFIG_MASK), stop, tail);
        memcpy(colon + 1, CLI_CONFIG_MASK, sizeof(CLI_CONFIG_MASK) - 1);

        query = query ? colon + sizeof(CLI_CONFIG_MASK) : NULL;
    }

    return url;
}


static int
cli_config_replace(yaml_event_t *event, const char *text)
{
    size_t         len;
    unsigned char *p;

    /* what libyaml frees it must have allocated: with malloc() */

    len = strlen(text);
    p = malloc(len + 1);

    if (p == NULL) {
        return CLI_NO;
    }

    memcpy(p, text, len + 1);

    free(event->data.scalar.value);

    event->data.scalar.value = p;
    event->data.scalar.length = len;

    return CLI_YES;
}
