
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <yaml.h>

#include "ngx_litestream.h"


#define NGX_LITESTREAM_YAML_DEPTH     16

#define NGX_LITESTREAM_YAML_SEQUENCE  0
#define NGX_LITESTREAM_YAML_KEY       1
#define NGX_LITESTREAM_YAML_VALUE     2


typedef struct {
    ngx_litestream_yaml_pt     handler;
    void                      *data;
    yaml_event_t               key;     /* of the value that comes next */
    ngx_uint_t                 depth;
    unsigned                   pending:1;    /* key is set */
    unsigned                   document:1;
    u_char                     stack[NGX_LITESTREAM_YAML_DEPTH];
} ngx_litestream_yaml_in_t;


static ngx_int_t ngx_litestream_yaml_event(ngx_litestream_yaml_in_t *yi,
    yaml_event_t *event, ngx_uint_t *keep);
static ngx_int_t ngx_litestream_yaml_push(ngx_litestream_yaml_in_t *yi,
    u_char kind, yaml_char_t *anchor, yaml_char_t *tag);


/*
 * Walks one document of JSON or YAML, see the header for what handler gets.
 * The text is not changed and not kept.  A document must be a mapping or a
 * sequence; anchors, aliases, tags and a second document are refused.  What
 * was well-formed before an error has been seen by handler.  NGX_OK also
 * when handler stopped early; NGX_ERROR when it returned something else.
 * Any process; does not block, the caller bounds len.
 */

ngx_int_t
ngx_litestream_yaml_read(u_char *text, size_t len,
    ngx_litestream_yaml_pt handler, void *data)
{
    ngx_int_t                 rc;
    ngx_uint_t                keep;
    yaml_event_t              event;
    yaml_parser_t             parser;
    ngx_litestream_yaml_in_t  yi;

    if (len == 0 || !yaml_parser_initialize(&parser)) {
        return NGX_ERROR;
    }

    yaml_parser_set_input_string(&parser, text, len);

    /* or a byte order mark would switch to UTF-16 */

    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);

    ngx_memzero(&yi, sizeof(ngx_litestream_yaml_in_t));

    yi.handler = handler;
    yi.data = data;

    for ( ;; ) {

        if (!yaml_parser_parse(&parser, &event)) {
            rc = NGX_ERROR;
            break;
        }

        if (event.type == YAML_STREAM_END_EVENT) {
            rc = yi.document ? NGX_OK : NGX_ERROR;
            yaml_event_delete(&event);
            break;
        }

        keep = 0;

        rc = ngx_litestream_yaml_event(&yi, &event, &keep);

        if (!keep) {
            yaml_event_delete(&event);
        }

        if (rc == NGX_OK) {
            continue;
        }

        rc = (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
        break;
    }

    if (yi.pending) {
        yaml_event_delete(&yi.key);
    }

    yaml_parser_delete(&parser);

    return rc;
}


static ngx_int_t
ngx_litestream_yaml_event(ngx_litestream_yaml_in_t *yi, yaml_event_t *event,
    ngx_uint_t *keep)
{
    u_char     *kind;
    ngx_int_t   rc;
    ngx_str_t   key, value;

    kind = yi->depth ? &yi->stack[yi->depth - 1] : NULL;

    switch (event->type) {

    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return NGX_OK;

    case YAML_DOCUMENT_START_EVENT:

        if (yi->document
            || event->data.document_start.tag_directives.start
               != event->data.document_start.tag_directives.end)
        {
            return NGX_ERROR;
        }

        yi->document = 1;

        return NGX_OK;

    case YAML_MAPPING_START_EVENT:
        return ngx_litestream_yaml_push(yi, NGX_LITESTREAM_YAML_KEY,
                                        event->data.mapping_start.anchor,
                                        event->data.mapping_start.tag);

    case YAML_SEQUENCE_START_EVENT:
        return ngx_litestream_yaml_push(yi, NGX_LITESTREAM_YAML_SEQUENCE,
                                        event->data.sequence_start.anchor,
                                        event->data.sequence_start.tag);

    case YAML_MAPPING_END_EVENT:
        ngx_str_null(&key);

        rc = yi->handler(yi->data, yi->depth, &key, NULL);

        yi->depth--;

        return rc;

    case YAML_SEQUENCE_END_EVENT:
        yi->depth--;

        return NGX_OK;

    case YAML_SCALAR_EVENT:
        break;

    default:  /* YAML_ALIAS_EVENT */
        return NGX_ERROR;
    }

    if (kind == NULL
        || event->data.scalar.anchor
        || event->data.scalar.tag)
    {
        return NGX_ERROR;
    }

    if (*kind == NGX_LITESTREAM_YAML_KEY) {
        *kind = NGX_LITESTREAM_YAML_VALUE;

        yi->key = *event;
        yi->pending = 1;

        *keep = 1;

        return NGX_OK;
    }

    ngx_str_set(&key, "");

    if (yi->pending) {
        key.data = yi->key.data.scalar.value;
        key.len = yi->key.data.scalar.length;
    }

    value.data = event->data.scalar.value;
    value.len = event->data.scalar.length;

    rc = yi->handler(yi->data, yi->depth, &key, &value);

    if (yi->pending) {
        yaml_event_delete(&yi->key);

        yi->pending = 0;
        *kind = NGX_LITESTREAM_YAML_KEY;
    }

    return rc;
}


static ngx_int_t
ngx_litestream_yaml_push(ngx_litestream_yaml_in_t *yi, u_char kind,
    yaml_char_t *anchor, yaml_char_t *tag)
{
    u_char  *parent;

    if (anchor || tag || yi->depth == NGX_LITESTREAM_YAML_DEPTH) {
        return NGX_ERROR;
    }

    if (yi->depth) {
        parent = &yi->stack[yi->depth - 1];

        if (*parent == NGX_LITESTREAM_YAML_KEY) {
            return NGX_ERROR;
        }

        if (*parent == NGX_LITESTREAM_YAML_VALUE) {
            *parent = NGX_LITESTREAM_YAML_KEY;
        }
    }

    if (yi->pending) {
        yaml_event_delete(&yi->key);
        yi->pending = 0;
    }

    yi->stack[yi->depth++] = kind;

    return NGX_OK;
}
