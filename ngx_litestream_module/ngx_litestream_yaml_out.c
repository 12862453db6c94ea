
/*
 * Copyright (C) the ngx_litestream authors
 */


/* how a litestream.yml is written: libyaml's emitter */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream_yaml.h"


#define NGX_LITESTREAM_YAML_BUFFER    4096


static ngx_int_t ngx_litestream_yaml_dollars(ngx_litestream_yaml_out_t *yo,
    ngx_str_t *out);
static void ngx_litestream_yaml_list(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_key_t *key);
static ngx_uint_t ngx_litestream_yaml_literal(ngx_litestream_key_t *key);
static void ngx_litestream_yaml_scalar(ngx_litestream_yaml_out_t *yo,
    ngx_str_t *name, ngx_str_t *value, ngx_uint_t literal);
static void ngx_litestream_yaml_text(ngx_litestream_yaml_out_t *yo,
    ngx_str_t *name, ngx_str_t *value, ngx_uint_t literal);
static ngx_uint_t ngx_litestream_yaml_unicode(ngx_str_t *value);
static int ngx_litestream_yaml_append(void *data, unsigned char *p,
    size_t size);
static void ngx_litestream_yaml_emit(ngx_litestream_yaml_out_t *yo,
    yaml_event_t *event, int made);


static ngx_str_t  ngx_litestream_yaml_comment =
    ngx_string("# made by ngx_litestream from nginx.conf, changes are lost\n");

static ngx_str_t  ngx_litestream_yaml_mask = ngx_string("***");


/* Litestream refuses these when they are quoted */

static ngx_str_t  ngx_litestream_yaml_literals[] = {
    ngx_string("auto-recover"),
    ngx_string("concurrency"),
    ngx_string("concurrent-writes"),
    ngx_string("force-path-style"),
    ngx_string("max-reconnects"),
    ngx_string("max-sync-ltx-files"),
    ngx_string("require-content-md5"),
    ngx_string("sign-accept-encoding"),
    ngx_string("sign-payload"),
    ngx_string("skip-verify"),
    ngx_string("tls"),
    ngx_null_string
};


/*
 * The text grows in memory of pool.  NGX_ERROR: no memory.  Called by the
 * configuration parser and the supervisor, does not block.
 */

ngx_int_t
ngx_litestream_yaml_begin(ngx_litestream_yaml_out_t *yo, ngx_pool_t *pool,
    ngx_uint_t mask)
{
    yaml_event_t  event;

    ngx_memzero(yo, sizeof(ngx_litestream_yaml_out_t));

    yo->pool = pool;
    yo->mask = mask;

    if (!yaml_emitter_initialize(&yo->emitter)) {
        return NGX_ERROR;
    }

    yaml_emitter_set_output(&yo->emitter, ngx_litestream_yaml_append, yo);
    yaml_emitter_set_unicode(&yo->emitter, 1);
    yaml_emitter_set_width(&yo->emitter, -1);

    if (!ngx_litestream_yaml_append(yo, ngx_litestream_yaml_comment.data,
                                    ngx_litestream_yaml_comment.len))
    {
        yo->failed = 1;
    }

    ngx_litestream_yaml_emit(yo, &event,
                yaml_stream_start_event_initialize(&event,
                                                   YAML_UTF8_ENCODING));
    ngx_litestream_yaml_emit(yo, &event,
                yaml_document_start_event_initialize(&event, NULL, NULL,
                                                     NULL, 1));
    ngx_litestream_yaml_map(yo, NULL);

    return NGX_OK;
}


/*
 * out points into memory of the pool and is not NUL-ended.  NGX_ERROR is
 * logged to the log of the pool when a value is to blame.
 */

ngx_int_t
ngx_litestream_yaml_end(ngx_litestream_yaml_out_t *yo, ngx_str_t *out)
{
    yaml_event_t  event;

    ngx_litestream_yaml_map_end(yo);

    ngx_litestream_yaml_emit(yo, &event,
                yaml_document_end_event_initialize(&event, 1));
    ngx_litestream_yaml_emit(yo, &event,
                yaml_stream_end_event_initialize(&event));

    yaml_emitter_delete(&yo->emitter);

    if (yo->failed) {
        return NGX_ERROR;
    }

    return ngx_litestream_yaml_dollars(yo, out);
}


/*
 * A Litestream that is not told -no-expand-env replaces "$NAME" in the text of
 * its configuration, as the tools of its MCP server and people's own commands
 * do.  Whatever has a "$" in it is in double quotes here, where "\x24" is one.
 */

static ngx_int_t
ngx_litestream_yaml_dollars(ngx_litestream_yaml_out_t *yo, ngx_str_t *out)
{
    size_t   n;
    u_char  *p, *dst;

    n = 0;

    for (p = yo->start; p < yo->last; p++) {
        n += (*p == '$');
    }

    out->data = yo->start;
    out->len = yo->last - yo->start;

    if (n == 0) {
        return NGX_OK;
    }

    dst = ngx_pnalloc(yo->pool, out->len + 3 * n);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    out->data = dst;

    for (p = yo->start; p < yo->last; p++) {

        if (*p == '$') {
            dst = ngx_cpymem(dst, "\\x24", 4);

        } else {
            *dst++ = *p;
        }
    }

    out->len = dst - out->data;

    return NGX_OK;
}


void
ngx_litestream_yaml_map(ngx_litestream_yaml_out_t *yo, char *name)
{
    yaml_event_t  event;

    if (name) {
        ngx_litestream_yaml_plain(yo, name);
    }

    ngx_litestream_yaml_emit(yo, &event,
                yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_MAPPING_STYLE));
}


void
ngx_litestream_yaml_map_end(ngx_litestream_yaml_out_t *yo)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_mapping_end_event_initialize(&event));
}


void
ngx_litestream_yaml_seq(ngx_litestream_yaml_out_t *yo, char *name)
{
    yaml_event_t  event;

    ngx_litestream_yaml_plain(yo, name);

    ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_SEQUENCE_STYLE));
}


void
ngx_litestream_yaml_seq_end(ngx_litestream_yaml_out_t *yo)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_end_event_initialize(&event));
}


void
ngx_litestream_yaml_plain(ngx_litestream_yaml_out_t *yo, char *text)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_scalar_event_initialize(&event, NULL, NULL,
                                             (yaml_char_t *) text, -1, 1, 1,
                                             YAML_PLAIN_SCALAR_STYLE));
}


void
ngx_litestream_yaml_string(ngx_litestream_yaml_out_t *yo, char *name,
    ngx_str_t *value)
{
    ngx_str_t  key;

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

    ngx_litestream_yaml_scalar(yo, &key, value, 0);
}


void
ngx_litestream_yaml_msec(ngx_litestream_yaml_out_t *yo, char *name,
    ngx_msec_t ms)
{
    u_char  buf[NGX_INT_T_LEN + 3];

    if (ms % 1000 == 0) {
        *ngx_sprintf(buf, "%Ms", ms / 1000) = '\0';

    } else {
        *ngx_sprintf(buf, "%Mms", ms) = '\0';
    }

    ngx_litestream_yaml_plain(yo, name);
    ngx_litestream_yaml_plain(yo, (char *) buf);
}


/* which may be a list, or a secret */

void
ngx_litestream_yaml_key(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_key_t *key)
{
    ngx_str_t  *value;

    if (key->list) {
        ngx_litestream_yaml_list(yo, key);
        return;
    }

    value = (yo->mask && key->secret) ? &ngx_litestream_yaml_mask
                                      : &key->value;

    ngx_litestream_yaml_scalar(yo, &key->key, value,
                               value == &key->value
                               && ngx_litestream_yaml_literal(key));
}


/* none of them is a secret */

static void
ngx_litestream_yaml_list(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_key_t *key)
{
    u_char        *p, *last, *end;
    ngx_str_t      value;
    yaml_event_t   event;

    ngx_litestream_yaml_text(yo, &key->key, &key->key, 1);

    ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_SEQUENCE_STYLE));

    last = key->value.data + key->value.len;

    for (p = key->value.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        value.data = p;
        value.len = end - p;

        ngx_litestream_yaml_text(yo, &key->key, &value, 0);
    }

    ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_end_event_initialize(&event));
}


static ngx_uint_t
ngx_litestream_yaml_literal(ngx_litestream_key_t *key)
{
    size_t      i;
    u_char     *p;
    ngx_str_t  *name, *value;

    for (name = ngx_litestream_yaml_literals; name->len; name++) {

        if (name->len == key->key.len
            && ngx_memcmp(name->data, key->key.data, name->len) == 0)
        {
            break;
        }
    }

    if (name->len == 0) {
        return 0;
    }

    value = &key->value;
    p = value->data;

    if ((value->len == 4 && ngx_memcmp(p, "true", 4) == 0)
        || (value->len == 5 && ngx_memcmp(p, "false", 5) == 0))
    {
        return 1;
    }

    i = (value->len && p[0] == '-') ? 1 : 0;

    if (i == value->len) {
        return 0;
    }

    for ( /* void */ ; i < value->len; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return 0;
        }
    }

    return 1;
}


/* what the user's own file says */

void
ngx_litestream_yaml_nodes(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node)
{
    for ( /* void */ ; node; node = node->next) {

        if (node->type != NGX_LITESTREAM_NODE_NULL) {
            ngx_litestream_yaml_node(yo, node, node->name.data);
        }
    }
}


/* name: NULL in a list; trees are not deep */

void
ngx_litestream_yaml_node(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, u_char *name)
{
    ngx_str_t               *value;
    yaml_event_t             event;
    ngx_litestream_node_t   *child;

    if (name) {
        ngx_litestream_yaml_text(yo, &node->name, &node->name, 1);
    }

    switch (node->type) {

    case NGX_LITESTREAM_NODE_MAP:
        ngx_litestream_yaml_map(yo, NULL);
        ngx_litestream_yaml_nodes(yo, node->child);
        ngx_litestream_yaml_map_end(yo);
        break;

    case NGX_LITESTREAM_NODE_LIST:

        ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                YAML_BLOCK_SEQUENCE_STYLE));

        for (child = node->child; child; child = child->next) {
            ngx_litestream_yaml_node(yo, child, NULL);
        }

        ngx_litestream_yaml_emit(yo, &event,
                yaml_sequence_end_event_initialize(&event));
        break;

    default: /* NGX_LITESTREAM_NODE_SCALAR */
        value = (yo->mask && node->secret) ? &ngx_litestream_yaml_mask
                                       : &node->value;

        ngx_litestream_yaml_text(yo, &node->name, value,
                                 node->plain && value == &node->value);
        break;
    }
}


static void
ngx_litestream_yaml_scalar(ngx_litestream_yaml_out_t *yo, ngx_str_t *name,
    ngx_str_t *value, ngx_uint_t literal)
{
    yaml_event_t  event;

    ngx_litestream_yaml_emit(yo, &event,
                yaml_scalar_event_initialize(&event, NULL, NULL,
                                             name->data, name->len, 1, 1,
                                             YAML_PLAIN_SCALAR_STYLE));

    ngx_litestream_yaml_text(yo, name, value, literal);
}


/* name: for a message */

static void
ngx_litestream_yaml_text(ngx_litestream_yaml_out_t *yo, ngx_str_t *name,
    ngx_str_t *value, ngx_uint_t literal)
{
    int                  rc;
    yaml_event_t         event;
    yaml_scalar_style_t  style;

    if (ngx_strlchr(value->data, value->data + value->len, '$')) {
        literal = 0;
    }

    style = literal ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;

    rc = 0;

    if (ngx_litestream_yaml_unicode(value)) {

        /* libyaml refuses a null pointer */

        rc = yaml_scalar_event_initialize(&event, NULL, NULL,
                                          value->len ? value->data
                                                     : (yaml_char_t *) "",
                                          value->len, 1, 1, style);
    }

    if (!rc && !yo->failed) {

        /* the value may be a secret */

        ngx_log_error(NGX_LOG_EMERG, yo->pool->log, 0,
                      "litestream: value of \"%V\" is not valid UTF-8", name);
    }

    ngx_litestream_yaml_emit(yo, &event, rc);
}


/*
 * libyaml looks at the form of UTF-8 only: surrogates and what is beyond
 * U+10ffff would be written as escapes that nobody can read
 */

static ngx_uint_t
ngx_litestream_yaml_unicode(ngx_str_t *value)
{
    size_t   i;
    u_char  *p;

    p = value->data;

    for (i = 0; i < value->len; i++) {

        if (p[i] > 0xf4) {
            return 0;
        }

        if (i + 1 < value->len
            && ((p[i] == 0xf4 && p[i + 1] > 0x8f)
                || (p[i] == 0xed && p[i + 1] > 0x9f)))
        {
            return 0;
        }
    }

    return 1;
}


static int
ngx_litestream_yaml_append(void *data, unsigned char *p, size_t size)
{
    ngx_litestream_yaml_out_t *yo = data;

    u_char  *start;
    size_t   len, n;

    if ((size_t) (yo->end - yo->last) < size) {

        len = yo->last - yo->start;
        n = ngx_max(2 * (len + size), NGX_LITESTREAM_YAML_BUFFER);

        start = ngx_pnalloc(yo->pool, n);
        if (start == NULL) {
            return 0;
        }

        if (len) {
            ngx_memcpy(start, yo->start, len);
            ngx_pfree(yo->pool, yo->start);
        }

        yo->start = start;
        yo->last = start + len;
        yo->end = start + n;
    }

    yo->last = ngx_cpymem(yo->last, p, size);

    return 1;
}


/* made: what the initialization of event has returned; event is taken over */

static void
ngx_litestream_yaml_emit(ngx_litestream_yaml_out_t *yo, yaml_event_t *event,
    int made)
{
    if (!made) {
        yo->failed = 1;
        return;
    }

    if (yo->failed) {
        yaml_event_delete(event);
        return;
    }

    if (!yaml_emitter_emit(&yo->emitter, event)) {
        yo->failed = 1;
    }
}
