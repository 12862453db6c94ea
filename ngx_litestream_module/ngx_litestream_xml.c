
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What a storage that speaks S3 answers to a request for a list: the few texts
 * of it that matter, wherever they stand.  It may be anything, and is looked
 * at once from its beginning to its end; pure.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_litestream.h"
#include "ngx_litestream_xml.h"


/* an object's name has at most 1024 bytes, each of them an entity or three */
#define NGX_LITESTREAM_XML_TEXT  8192


static u_char *ngx_litestream_xml_next(u_char *p, u_char *last,
    ngx_str_t *name, ngx_str_t *text);
static ngx_uint_t ngx_litestream_xml_is(ngx_str_t *name, char *what);
static ngx_int_t ngx_litestream_xml_decode(ngx_str_t *text, u_char *out,
    size_t size, size_t *len);
static u_char *ngx_litestream_xml_entity(u_char *p, u_char *last, u_char *out,
    size_t *n);
static size_t ngx_litestream_xml_unescape(u_char *p, size_t len);


ngx_int_t
ngx_litestream_xml_list(u_char *text, size_t len, ngx_litestream_xml_t *xml,
    ngx_litestream_xml_pt handler, void *data)
{
    size_t      n;
    u_char     *p, *last;
    ngx_str_t   name, value;
    ngx_uint_t  url, list;
    u_char      buf[NGX_LITESTREAM_XML_TEXT];

    ngx_memzero(xml, sizeof(ngx_litestream_xml_t));

    last = text + len;
    url = 0;
    list = 0;

    /* how the keys are written may be said behind them */

    for (p = text; (p = ngx_litestream_xml_next(p, last, &name, &value));
         /* void */)
    {
        if (ngx_litestream_xml_is(&name, "ListBucketResult")) {
            list = 1;

        } else if (ngx_litestream_xml_is(&name, "EncodingType")) {
            url = ngx_litestream_xml_is(&value, "url");
        }
    }

    for (p = text; (p = ngx_litestream_xml_next(p, last, &name, &value));
         /* void */)
    {
        if (ngx_litestream_xml_is(&name, "Key") && list) {

            if (ngx_litestream_xml_decode(&value, buf, sizeof(buf) - 1, &n)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (url) {
                n = ngx_litestream_xml_unescape(buf, n);
            }

            buf[n] = '\0';

            xml->keys++;
            handler(data, buf, n);

        } else if (ngx_litestream_xml_is(&name, "IsTruncated") && list) {
            xml->more = ngx_litestream_xml_is(&value, "true");

        } else if (ngx_litestream_xml_is(&name, "Code") && !list) {
            ngx_litestream_copy(xml->code, sizeof(xml->code), value.data,
                                value.len);

        } else if (ngx_litestream_xml_is(&name, "Message") && !list) {
            ngx_litestream_copy(xml->message, sizeof(xml->message),
                                value.data, value.len);
        }
    }

    return (list || xml->code[0]) ? NGX_OK : NGX_ERROR;
}


/* an element that begins, and what stands before the next tag; NULL: no more */

static u_char *
ngx_litestream_xml_next(u_char *p, u_char *last, ngx_str_t *name,
    ngx_str_t *text)
{
    u_char  *tag, *end;

    for ( ;; ) {

        p = ngx_strlchr(p, last, '<');
        if (p == NULL) {
            return NULL;
        }

        tag = ++p;

        p = ngx_strlchr(p, last, '>');
        if (p == NULL) {
            return NULL;
        }

        end = p++;

        /* an end, a declaration, or one without anything in it */

        if (tag == end || *tag == '/' || *tag == '?' || *tag == '!'
            || end[-1] == '/')
        {
            continue;
        }

        name->data = tag;

        while (tag < end && *tag != ' ' && *tag != '\t' && *tag != '\r'
               && *tag != '\n')
        {
            tag++;
        }

        name->len = tag - name->data;

        end = ngx_strlchr(p, last, '<');

        text->data = p;
        text->len = (end ? end : last) - p;

        return p;
    }
}


static ngx_uint_t
ngx_litestream_xml_is(ngx_str_t *name, char *what)
{
    return name->len == ngx_strlen(what)
           && ngx_memcmp(name->data, what, name->len) == 0;
}


static ngx_int_t
ngx_litestream_xml_decode(ngx_str_t *text, u_char *out, size_t size,
    size_t *len)
{
    size_t   n;
    u_char  *p, *last, *d, *end;

    p = text->data;
    last = text->data + text->len;
    d = out;
    end = out + size;

    while (p < last) {

        if (end - d < 4) {
            return NGX_ERROR;
        }

        if (*p != '&') {
            *d++ = *p++;
            continue;
        }

        p = ngx_litestream_xml_entity(p, last, d, &n);

        if (p == NULL) {
            return NGX_ERROR;
        }

        d += n;
    }

    *len = d - out;

    return NGX_OK;
}


/* "&amp;", "&#65;", "&#x41;": four bytes at most; NULL: it is none of them */

static u_char *
ngx_litestream_xml_entity(u_char *p, u_char *last, u_char *out, size_t *n)
{
    u_char      *end;
    ngx_int_t    code;
    ngx_str_t    name;
    ngx_uint_t   i;

    static struct {
        ngx_str_t   name;
        u_char      ch;
    }  entities[] = {
        { ngx_string("amp"), '&' },
        { ngx_string("lt"), '<' },
        { ngx_string("gt"), '>' },
        { ngx_string("quot"), '"' },
        { ngx_string("apos"), '\'' }
    };

    p++;

    end = ngx_strlchr(p, ngx_min(last, p + 10), ';');

    if (end == NULL) {
        return NULL;
    }

    name.data = p;
    name.len = end - p;

    for (i = 0; i < 5; i++) {
        if (name.len == entities[i].name.len
            && ngx_memcmp(p, entities[i].name.data, name.len) == 0)
        {
            out[0] = entities[i].ch;
            *n = 1;
            return end + 1;
        }
    }

    if (name.len < 2 || p[0] != '#') {
        return NULL;
    }

    code = (p[1] == 'x') ? ngx_hextoi(p + 2, name.len - 2)
                         : ngx_atoi(p + 1, name.len - 1);

    if (code <= 0 || code > 0x10ffff) {
        return NULL;
    }

    if (code < 0x80) {
        out[0] = (u_char) code;
        *n = 1;

    } else if (code < 0x800) {
        out[0] = (u_char) (0xc0 | code >> 6);
        out[1] = (u_char) (0x80 | (code & 0x3f));
        *n = 2;

    } else if (code < 0x10000) {
        out[0] = (u_char) (0xe0 | code >> 12);
        out[1] = (u_char) (0x80 | (code >> 6 & 0x3f));
        out[2] = (u_char) (0x80 | (code & 0x3f));
        *n = 3;

    } else {
        out[0] = (u_char) (0xf0 | code >> 18);
        out[1] = (u_char) (0x80 | (code >> 12 & 0x3f));
        out[2] = (u_char) (0x80 | (code >> 6 & 0x3f));
        out[3] = (u_char) (0x80 | (code & 0x3f));
        *n = 4;
    }

    return end + 1;
}


/* in place; a "+" is a blank, as in a query */

static size_t
ngx_litestream_xml_unescape(u_char *p, size_t len)
{
    u_char     *d, *start, *last;
    ngx_int_t   ch;

    start = p;
    last = p + len;

    for (d = p; p < last; /* void */ ) {

        if (*p == '%' && last - p > 2) {
            ch = ngx_hextoi(p + 1, 2);

            if (ch != NGX_ERROR) {
                *d++ = (u_char) ch;
                p += 3;
                continue;
            }
        }

        *d++ = (*p == '+') ? ' ' : *p;
        p++;
    }

    return d - start;
}
