
/*
 * Copyright (C) the ngx_litestream authors
 */


/* what a storage that speaks S3 answers */


#ifndef _NGX_LITESTREAM_XML_H_INCLUDED_
#define _NGX_LITESTREAM_XML_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/*
 * The answer to a list of objects, and errors: pure, ngx_litestream_xml.c.
 * handler gets each key as it is, NUL-ended; NGX_ERROR: not understood.
 */

typedef struct {
    ngx_uint_t                   keys;
    ngx_uint_t                   more;    /* there are others */
    char                         code[64];
    char                         message[256];
} ngx_litestream_xml_t;

typedef void (*ngx_litestream_xml_pt)(void *data, u_char *key, size_t len);

ngx_int_t ngx_litestream_xml_list(u_char *text, size_t len,
    ngx_litestream_xml_t *xml, ngx_litestream_xml_pt handler, void *data);

#pragma GCC visibility pop

#endif /* _NGX_LITESTREAM_XML_H_INCLUDED_ */
