
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * YAML, and JSON, which is YAML, as a tree.  What a litestream.yml has no use
 * for is refused: anchors and aliases, nesting without end.
 */


#include "cli.h"

#include <yaml.h>


#define CLI_YAML_DEPTH  16


typedef struct {
    yaml_parser_t                   parser;
    char                           *error;
    size_t                          size;
} cli_yaml_t;


static cli_node_t *cli_yaml_node(cli_yaml_t *y, yaml_event_t *event,
    int depth);
static int cli_yaml_children(cli_yaml_t *y, cli_node_t *node, int depth);
static int cli_yaml_event(cli_yaml_t *y, yaml_event_t *event);
static void cli_yaml_wrong(cli_yaml_t *y, unsigned long line,
    const char *reason);
static int cli_yaml_emit(yaml_emitter_t *emitter, cli_node_t *node);
static int cli_yaml_scalar(yaml_emitter_t *emitter, const char *text,
    int plain);


/*
 * The tree of a text, or NULL and an error with a line.  An empty text is a
 * mapping without keys.  It is the heap's, and stays.
 */

cli_node_t *
cli_yaml(const char *text, size_t len, char *error, size_t size)
{
    cli_yaml_t     y;
    cli_node_t    *root;
    yaml_event_t   event;

    memset(&y, 0, sizeof(cli_yaml_t));

    y.error = error;
    y.size = size;

    error[0] = '\0';

    if (!yaml_parser_initialize(&y.parser)) {
        cli_copy(error, size, "no memory");
        return NULL;
    }

    yaml_parser_set_input_string(&y.parser, (const unsigned char *) text,
                                 len);

    root = NULL;

    while (cli_yaml_event(&y, &event) == CLI_YES) {

        switch (event.type) {

        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
            yaml_event_delete(&event);
            continue;

        case YAML_STREAM_END_EVENT:
            yaml_event_delete(&event);

            root = calloc(1, sizeof(cli_node_t));

            if (root == NULL) {
                cli_copy(error, size, "no memory");
            }

            break;

        default:
            root = cli_yaml_node(&y, &event, 0);
        }

        break;
    }

    /* an empty document is null as well */

    if (root && root->type == CLI_NODE_NULL) {
        root->type = CLI_NODE_MAP;
    }

    yaml_parser_delete(&y.parser);

    return root;
}


/* what begins with this event, which is taken over */

static cli_node_t *
cli_yaml_node(cli_yaml_t *y, yaml_event_t *event, int depth)
{
    int          rc;
    char        *value;
    cli_node_t  *node;

    node = calloc(1, sizeof(cli_node_t));

    if (node == NULL) {
        cli_yaml_wrong(y, 0, "no memory");
        yaml_event_delete(event);
        return NULL;
    }

    node->line = (int) event->start_mark.line + 1;
    rc = CLI_YES;

    switch (event->type) {

    case YAML_SCALAR_EVENT:
        value = (char *) event->data.scalar.value;

        if (strlen(value) != event->data.scalar.length) {
            cli_yaml_wrong(y, event->start_mark.line, "a zero in a value");
            rc = CLI_NO;
            break;
        }

        node->type = CLI_NODE_SCALAR;
        node->plain = (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE);

        if (node->plain
            && (*value == '\0' || strcmp(value, "~") == 0
                || strcmp(value, "null") == 0))
        {
            node->type = CLI_NODE_NULL;
            break;
        }

        node->value = strdup(value);

        if (node->value == NULL) {
            cli_yaml_wrong(y, 0, "no memory");
            rc = CLI_NO;
        }

        break;

    case YAML_MAPPING_START_EVENT:
        node->type = CLI_NODE_MAP;
        rc = cli_yaml_children(y, node, depth + 1);
        break;

    case YAML_SEQUENCE_START_EVENT:
        node->type = CLI_NODE_LIST;
        rc = cli_yaml_children(y, node, depth + 1);
        break;

    default:
        cli_yaml_wrong(y, event->start_mark.line, "aliases are not supported");
        rc = CLI_NO;
    }

    yaml_event_delete(event);

    return (rc == CLI_YES) ? node : NULL;
}


static int
cli_yaml_children(cli_yaml_t *y, cli_node_t *node, int depth)
{
    char           *name;
    cli_node_t     *child, **next;
    yaml_event_t    event;

    if (depth > CLI_YAML_DEPTH) {
        cli_yaml_wrong(y, (unsigned long) node->line - 1, "nested too deeply");
        return CLI_NO;
    }

    next = &node->child;

    for ( ;; ) {

        if (cli_yaml_event(y, &event) != CLI_YES) {
            return CLI_NO;
        }

        if (event.type == YAML_MAPPING_END_EVENT
            || event.type == YAML_SEQUENCE_END_EVENT)
        {
            yaml_event_delete(&event);
            return CLI_YES;
        }

        name = NULL;

        if (node->type == CLI_NODE_MAP) {

            if (event.type != YAML_SCALAR_EVENT) {
                cli_yaml_wrong(y, event.start_mark.line,
                               "a key that is not a text");
                yaml_event_delete(&event);
                return CLI_NO;
            }

            name = strdup((char *) event.data.scalar.value);

            yaml_event_delete(&event);

            if (name == NULL) {
                cli_yaml_wrong(y, 0, "no memory");
                return CLI_NO;
            }

            if (cli_yaml_event(y, &event) != CLI_YES) {
                return CLI_NO;
            }
        }

        child = cli_yaml_node(y, &event, depth);

        if (child == NULL) {
            return CLI_NO;
        }

        child->name = name;

        *next = child;
        next = &child->next;
    }
}


static int
cli_yaml_event(cli_yaml_t *y, yaml_event_t *event)
{
    if (yaml_parser_parse(&y->parser, event)) {
        return CLI_YES;
    }

    cli_yaml_wrong(y, y->parser.problem_mark.line,
                   y->parser.problem ? y->parser.problem : "not valid YAML");

    return CLI_NO;
}


/* the first one counts */

static void
cli_yaml_wrong(cli_yaml_t *y, unsigned long line, const char *reason)
{
    if (y->error[0] == '\0') {
        cli_copy(y->error, y->size, "line %lu: %s", line + 1, reason);
    }
}


/* a member of a mapping, NULL: there is none; null counts as none */

cli_node_t *
cli_node(cli_node_t *map, const char *name)
{
    cli_node_t  *node;

    if (map == NULL || map->type != CLI_NODE_MAP) {
        return NULL;
    }

    for (node = map->child; node; node = node->next) {
        if (strcmp(node->name, name) == 0) {
            return (node->type == CLI_NODE_NULL) ? NULL : node;
        }
    }

    return NULL;
}


/* its text, NULL: there is none */

char *
cli_node_text(cli_node_t *map, const char *name)
{
    cli_node_t  *node;

    node = cli_node(map, name);

    return (node && node->type == CLI_NODE_SCALAR) ? node->value : NULL;
}


/*
 * Writes a tree as YAML, to a file of its own: CLI_YES, or CLI_NO.  Members
 * that are marked are left out.
 */

int
cli_yaml_write(cli_node_t *root, FILE *out)
{
    int             rc;
    yaml_event_t    event;
    yaml_emitter_t  emitter;

    if (!yaml_emitter_initialize(&emitter)) {
        return CLI_NO;
    }

    yaml_emitter_set_output_file(&emitter, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);

    rc = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING)
         && yaml_emitter_emit(&emitter, &event)
         && yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1)
         && yaml_emitter_emit(&emitter, &event)
         && cli_yaml_emit(&emitter, root)
         && yaml_document_end_event_initialize(&event, 1)
         && yaml_emitter_emit(&emitter, &event)
         && yaml_stream_end_event_initialize(&event)
         && yaml_emitter_emit(&emitter, &event);

    yaml_emitter_delete(&emitter);

    return (rc && fputc('\n', out) != EOF) ? CLI_YES : CLI_NO;
}


static int
cli_yaml_emit(yaml_emitter_t *emitter, cli_node_t *node)
{
    int            map;
    cli_node_t    *child;
    yaml_event_t   event;

    if (node->type == CLI_NODE_SCALAR || node->type == CLI_NODE_NULL) {
        return cli_yaml_scalar(emitter, node->value ? node->value : "null",
                               node->plain || node->value == NULL);
    }

    map = (node->type == CLI_NODE_MAP);

    if (!(map ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                    YAML_BLOCK_MAPPING_STYLE)
              : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                 YAML_BLOCK_SEQUENCE_STYLE))
        || !yaml_emitter_emit(emitter, &event))
    {
        return 0;
    }

    for (child = node->child; child; child = child->next) {

        if (child->left_out) {
            continue;
        }

        if ((map && !cli_yaml_scalar(emitter, child->name, 1))
            || !cli_yaml_emit(emitter, child))
        {
            return 0;
        }
    }

    return (map ? yaml_mapping_end_event_initialize(&event)
                : yaml_sequence_end_event_initialize(&event))
           && yaml_emitter_emit(emitter, &event);
}


static int
cli_yaml_scalar(yaml_emitter_t *emitter, const char *text, int plain)
{
    yaml_event_t  event;

    return yaml_scalar_event_initialize(&event, NULL, NULL,
                                        (const yaml_char_t *) text, -1,
                                        1, 1,
                                        plain ? YAML_PLAIN_SCALAR_STYLE
                                            : YAML_DOUBLE_QUOTED_SCALAR_STYLE)
           && yaml_emitter_emit(emitter, &event);
}
