
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_YAML_H_INCLUDED_
#define _NGX_LITESTREAM_YAML_H_INCLUDED_


/* a litestream.yml that is being written, of whatever form */


#include "ngx_litestream.h"

#include <yaml.h>


#pragma GCC visibility push(hidden)


typedef struct {
    yaml_emitter_t             emitter;
    ngx_pool_t                *pool;
    u_char                    *start;
    u_char                    *last;
    u_char                    *end;
    ngx_uint_t                 mask;    /* secrets become "***" */
    ngx_uint_t                 failed;  /* all else is a no-op then */
} ngx_litestream_yaml_out_t;


/*
 * ngx_litestream_yaml_out.c: the outermost mapping is begun, and ended; what
 * comes in between are names of keys, and their values.  After an error
 * nothing more is done until the end.
 */

ngx_int_t ngx_litestream_yaml_begin(ngx_litestream_yaml_out_t *yo,
    ngx_pool_t *pool, ngx_uint_t mask);
ngx_int_t ngx_litestream_yaml_end(ngx_litestream_yaml_out_t *yo,
    ngx_str_t *out);

void ngx_litestream_yaml_map(ngx_litestream_yaml_out_t *yo, char *name);
void ngx_litestream_yaml_map_end(ngx_litestream_yaml_out_t *yo);
void ngx_litestream_yaml_seq(ngx_litestream_yaml_out_t *yo, char *name);
void ngx_litestream_yaml_seq_end(ngx_litestream_yaml_out_t *yo);

void ngx_litestream_yaml_plain(ngx_litestream_yaml_out_t *yo, char *text);
void ngx_litestream_yaml_string(ngx_litestream_yaml_out_t *yo, char *name,
    ngx_str_t *value);
void ngx_litestream_yaml_msec(ngx_litestream_yaml_out_t *yo, char *name,
    ngx_msec_t ms);

/* a key of a replica, what a user's own file says, one thing of that */

void ngx_litestream_yaml_key(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_key_t *key);
void ngx_litestream_yaml_nodes(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node);
void ngx_litestream_yaml_node(ngx_litestream_yaml_out_t *yo,
    ngx_litestream_node_t *node, u_char *name);

/* another form: that of Litestream 0.3, ngx_litestream_old_yaml.c */

ngx_int_t ngx_litestream_old_yaml(ngx_pool_t *pool,
    ngx_litestream_conf_t *lcf, ngx_litestream_group_t *group, u_char *use,
    ngx_uint_t mask, ngx_str_t *out);


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_YAML_H_INCLUDED_ */
