
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * A small YAML file as a tree, with the lines of its nodes.  What a
 * litestream.yml of people has no use for is refused: anchors and aliases
 * (a few lines of them may grow to anything), tags, several documents.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <yaml.h>

#include "ngx_litestream.h"


#define NGX_LITESTREAM_TREE_DEPTH   16
#define NGX_LITESTREAM_TREE_NODES   200000
#define NGX_LITESTREAM_TREE_KEYS    1000    /* of one mapping */


typedef struct {
    ngx_pool_t              *pool;
    ngx_litestream_node_t   *root;
    ngx_litestream_node_t   *key;       /* its value comes next */
    ngx_uint_t               depth;
    ngx_uint_t               nodes;
    ngx_uint_t               document;
    char                    *reason;

    /* mappings and sequences that are not complete, their last members */

    ngx_litestream_node_t   *stack[NGX_LITESTREAM_TREE_DEPTH];
    ngx_litestream_node_t  **last[NGX_LITESTREAM_TREE_DEPTH];
} ngx_litestream_tree_t;


static ngx_int_t ngx_litestream_tree_event(ngx_litestream_tree_t *tree,
    yaml_event_t *event);
static ngx_int_t ngx_litestream_tree_scalar(ngx_litestream_tree_t *tree,
    yaml_event_t *event);
static ngx_int_t ngx_litestream_tree_open(ngx_litestream_tree_t *tree,
    yaml_event_t *event, ngx_uint_t type);
static ngx_litestream_node_t *ngx_litestream_tree_add(
    ngx_litestream_tree_t *tree, yaml_event_t *event);
static ngx_int_t ngx_litestream_tree_refuse(ngx_litestream_tree_t *tree,
    char *reason);


/*
 * Makes a tree of text, in pool; its strings are NUL-ended.  *root is NULL
 * when there is nothing in it.  NGX_DECLINED: the line *line is not
 * understood, *reason, without anything of the file, says why; NGX_ERROR: no
 * memory.  Any process; does not block, the caller bounds len.
 */

ngx_int_t
ngx_litestream_tree_read(ngx_pool_t *pool, u_char *text, size_t len,
    ngx_litestream_node_t **root, ngx_uint_t *line, char **reason)
{
    ngx_int_t               rc;
    yaml_event_t            event;
    yaml_parser_t           parser;
    yaml_event_type_t       type;
    ngx_litestream_tree_t   tree;

    ngx_memzero(&tree, sizeof(ngx_litestream_tree_t));

    tree.pool = pool;

    if (!yaml_parser_initialize(&parser)) {
        return NGX_ERROR;
    }

    if (len >= 3 && ngx_memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }

    yaml_parser_set_input_string(&parser, text, len);

    /* or a byte order mark would switch to UTF-16 */

    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);

    for ( ;; ) {

        if (!yaml_parser_parse(&parser, &event)) {
            *line = parser.problem_mark.line + 1;

            /* libyaml's texts are constants */

            *reason = parser.problem ? (char *) parser.problem
                                     : "it is not valid YAML";
            rc = NGX_DECLINED;
            break;
        }

        type = event.type;

        *line = event.start_mark.line + 1;

        rc = ngx_litestream_tree_event(&tree, &event);

        yaml_event_delete(&event);

        if (rc != NGX_OK) {
            *reason = tree.reason;
            break;
        }

        if (type == YAML_STREAM_END_EVENT) {
            *root = tree.root;
            break;
        }
    }

    yaml_parser_delete(&parser);

    return rc;
}


static ngx_int_t
ngx_litestream_tree_event(ngx_litestream_tree_t *tree, yaml_event_t *event)
{
    switch (event->type) {

    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return NGX_OK;

    case YAML_DOCUMENT_START_EVENT:

        if (tree->document) {
            return ngx_litestream_tree_refuse(tree,
                                      "there is more than one document");
        }

        tree->document = 1;

        return NGX_OK;

    case YAML_MAPPING_START_EVENT:

        if (event->data.mapping_start.anchor) {
            break;
        }

        if (event->data.mapping_start.tag) {
            return ngx_litestream_tree_refuse(tree, "tags are not supported");
        }

        return ngx_litestream_tree_open(tree, event,
                                        NGX_LITESTREAM_NODE_MAP);

    case YAML_SEQUENCE_START_EVENT:

        if (event->data.sequence_start.anchor) {
            break;
        }

        if (event->data.sequence_start.tag) {
            return ngx_litestream_tree_refuse(tree, "tags are not supported");
        }

        return ngx_litestream_tree_open(tree, event,
                                        NGX_LITESTREAM_NODE_LIST);

    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        tree->depth--;

        return NGX_OK;

    case YAML_SCALAR_EVENT:

        if (event->data.scalar.anchor) {
            break;
        }

        if (event->data.scalar.tag) {
            return ngx_litestream_tree_refuse(tree, "tags are not supported");
        }

        return ngx_litestream_tree_scalar(tree, event);

    default:  /* YAML_ALIAS_EVENT */
        break;
    }

    return ngx_litestream_tree_refuse(tree, "anchors and aliases are not "
                                            "supported");
}


static ngx_int_t
ngx_litestream_tree_scalar(ngx_litestream_tree_t *tree, yaml_event_t *event)
{
    size_t                  len;
    ngx_str_t               text;
    ngx_uint_t              n;
    ngx_litestream_node_t  *node, *map;

    len = event->data.scalar.length;

    if (ngx_strlchr(event->data.scalar.value, event->data.scalar.value + len,
                    '\0'))
    {
        return ngx_litestream_tree_refuse(tree, "there is a NUL in it");
    }

    text.len = len;
    text.data = ngx_pnalloc(tree->pool, len + 1);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text.data, event->data.scalar.value, len);
    text.data[len] = '\0';

    map = tree->depth ? tree->stack[tree->depth - 1] : NULL;

    if (map && map->type == NGX_LITESTREAM_NODE_MAP && tree->key == NULL) {

        n = 0;

        for (node = map->child; node; node = node->next) {

            if (n++ == NGX_LITESTREAM_TREE_KEYS) {
                return ngx_litestream_tree_refuse(tree,
                                                  "there are too many keys");
            }

            if (node->name.len == len
                && ngx_memcmp(node->name.data, text.data, len) == 0)
            {
                return ngx_litestream_tree_refuse(tree,
                                              "the key is there twice");
            }
        }

        node = ngx_litestream_tree_add(tree, event);
        if (node == NULL) {
            return tree->reason ? NGX_DECLINED : NGX_ERROR;
        }

        node->name = text;
        tree->key = node;

        return NGX_OK;
    }

    node = tree->key ? tree->key : ngx_litestream_tree_add(tree, event);
    if (node == NULL) {
        return tree->reason ? NGX_DECLINED : NGX_ERROR;
    }

    node->type = NGX_LITESTREAM_NODE_SCALAR;
    node->value = text;
    node->plain = (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE);

    tree->key = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_tree_open(ngx_litestream_tree_t *tree, yaml_event_t *event,
    ngx_uint_t type)
{
    ngx_litestream_node_t  *node;

    if (tree->depth == NGX_LITESTREAM_TREE_DEPTH) {
        return ngx_litestream_tree_refuse(tree, "it is nested too deeply");
    }

    if (tree->depth && tree->key == NULL
        && tree->stack[tree->depth - 1]->type == NGX_LITESTREAM_NODE_MAP)
    {
        return ngx_litestream_tree_refuse(tree, "a key must be a text");
    }

    node = tree->key ? tree->key : ngx_litestream_tree_add(tree, event);
    if (node == NULL) {
        return tree->reason ? NGX_DECLINED : NGX_ERROR;
    }

    node->type = type;

    tree->key = NULL;

    tree->stack[tree->depth] = node;
    tree->last[tree->depth] = &node->child;

    tree->depth++;

    return NGX_OK;
}


/* a new member of what is being read */

static ngx_litestream_node_t *
ngx_litestream_tree_add(ngx_litestream_tree_t *tree, yaml_event_t *event)
{
    ngx_litestream_node_t  *node;

    if (tree->nodes == NGX_LITESTREAM_TREE_NODES) {
        tree->reason = "there is too much in it";
        return NULL;
    }

    tree->nodes++;

    node = ngx_pcalloc(tree->pool, sizeof(ngx_litestream_node_t));
    if (node == NULL) {
        return NULL;
    }

    node->line = event->start_mark.line + 1;

    if (tree->depth) {
        *tree->last[tree->depth - 1] = node;
        tree->last[tree->depth - 1] = &node->next;

    } else {
        tree->root = node;
    }

    return node;
}


static ngx_int_t
ngx_litestream_tree_refuse(ngx_litestream_tree_t *tree, char *reason)
{
    tree->reason = reason;

    return NGX_DECLINED;
}


/*
 * The member of a mapping with that name, or NULL.  Any process.
 */

ngx_litestream_node_t *
ngx_litestream_tree_get(ngx_litestream_node_t *map, char *name)
{
    ngx_litestream_node_t  *node;

    if (map == NULL || map->type != NGX_LITESTREAM_NODE_MAP) {
        return NULL;
    }

    for (node = map->child; node; node = node->next) {
        if (ngx_strcmp(node->name.data, name) == 0) {
            return node;
        }
    }

    return NULL;
}
