
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _NGX_LITESTREAM_BASE_H_INCLUDED_
#define _NGX_LITESTREAM_BASE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"

#pragma GCC visibility push(hidden)


/* what a key of a replica is to a replica of some type */

#define NGX_LITESTREAM_BASE_OTHER    0   /* not one of this type */
#define NGX_LITESTREAM_BASE_ANY      1   /* of all types */
#define NGX_LITESTREAM_BASE_TYPE     2   /* of this type */
#define NGX_LITESTREAM_BASE_URL      3   /* stands in its URL */


/* what a value is */

#define NGX_LITESTREAM_KIND_TEXT      0
#define NGX_LITESTREAM_KIND_TEXTS     1
#define NGX_LITESTREAM_KIND_DURATION  2
#define NGX_LITESTREAM_KIND_POSITIVE  3   /* a duration, not 0 */
#define NGX_LITESTREAM_KIND_MINUTE    4   /* a duration of a minute or more */
#define NGX_LITESTREAM_KIND_BOOL      5
#define NGX_LITESTREAM_KIND_NUMBER    6
#define NGX_LITESTREAM_KIND_SIZE      7
#define NGX_LITESTREAM_KIND_LEVEL     8
#define NGX_LITESTREAM_KIND_MAP       9   /* more: its place */
#define NGX_LITESTREAM_KIND_LIST      10  /* of mappings, more: the place */
#define NGX_LITESTREAM_KIND_REFUSED   11  /* more: why, or what to say */
#define NGX_LITESTREAM_KIND_OLD       12  /* more: whose it was */


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   kind;
    char                        *types; /* of replicas, "*": all of them */
    ngx_uint_t                   secret;     /* NGX_LITESTREAM_MASKED... */
    void                        *more;
} ngx_litestream_base_key_t;


typedef struct {
    char                        *where;
    ngx_litestream_base_key_t   *keys;
    ngx_litestream_base_key_t   *more;  /* further ones, or NULL */
} ngx_litestream_base_place_t;


/* one of the file's dbs */

struct ngx_litestream_base_db_s {
    ngx_str_t                    path;  /* as it was said; of a directory as
                                           litestream_db has it */
    ngx_str_t                    dir;   /* empty: it is a file */
    ngx_str_t                    real;  /* empty: it cannot be told */
    ngx_uint_t                   line;
    ngx_http_litestream_said_t   replica;    /* file is NULL: none */
    ngx_str_t                    type;  /* of the replica */
    ngx_litestream_node_t       *keys;
    ngx_litestream_node_t       *params;     /* of the replica */
    ngx_litestream_node_t       *settings;   /* and what is no parameter */
    ngx_uint_t                   used;
};


/* ngx_litestream_base.c */

ngx_litestream_node_t *ngx_litestream_base_link(ngx_pool_t *pool,
    ngx_litestream_node_t **list, ngx_litestream_node_t *node);
ngx_litestream_node_t *ngx_litestream_base_named(ngx_litestream_node_t *list,
    ngx_str_t *name);

/* ngx_litestream_base_replica.c */

ngx_int_t ngx_litestream_base_replica(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_base_db_t *bdb,
    ngx_litestream_node_t *map);
ngx_uint_t ngx_litestream_base_is_param(ngx_litestream_node_t *node,
    ngx_uint_t kind);

/*
 * ngx_litestream_base_key.c: checks all keys and values, expands variables,
 * marks secrets; NGX_ERROR: it has been logged
 */

ngx_int_t ngx_litestream_base_check(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *root, ngx_md5_t *md5);

/* ngx_litestream_base_table.c: all keys */

extern ngx_litestream_base_place_t   ngx_litestream_base_top_place;
extern ngx_litestream_base_place_t  *ngx_litestream_base_places[];

ngx_litestream_base_key_t *ngx_litestream_base_known(
    ngx_litestream_base_place_t *place, ngx_str_t *name);

/* 1: a key of replicas; NGX_LITESTREAM_BASE_XXX for a type; of secrets */

ngx_uint_t ngx_litestream_base_setting(ngx_str_t *name);
ngx_uint_t ngx_litestream_base_of(ngx_str_t *name, ngx_str_t *type);
ngx_uint_t ngx_litestream_base_secret(ngx_str_t *name);

/* ngx_litestream_base_hint.c: logs that a key is unknown, or of another type */

void ngx_litestream_base_hint(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *node,
    ngx_litestream_base_place_t *place);
void ngx_litestream_base_foreign(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *node,
    ngx_str_t *type);

/* ngx_litestream_base_value.c */

ngx_int_t ngx_litestream_base_expand(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *node);
ngx_uint_t ngx_litestream_base_null(ngx_litestream_node_t *node);
ngx_int_t ngx_litestream_base_bool(ngx_str_t *value);
ngx_uint_t ngx_litestream_base_word(ngx_str_t *value, char *words);

/* -1: it is none */

int64_t ngx_litestream_base_size(ngx_str_t *value);

/* with the file and this line of it */

void ngx_cdecl ngx_litestream_base_error(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_uint_t line, const char *fmt, ...);


#pragma GCC visibility pop


#endif /* _NGX_LITESTREAM_BASE_H_INCLUDED_ */
