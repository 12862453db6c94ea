
/*
 * Copyright (C) the ngx_litestream authors
 *
 * What a storage that speaks S3 answers to a request for a list.
 */


#include "unit.h"
#include "ngx_litestream_verdict.c"
#include "ngx_litestream_xml.c"


static char   keys[4096];


static void
key(void *data, u_char *name, size_t len)
{
    if (strlen(keys) + len + 2 < sizeof(keys)) {
        strcat(keys, (char *) name);
        strcat(keys, "|");
    }

    (*(int *) data)++;
}


static ngx_int_t
list(const char *text, ngx_litestream_xml_t *xml)
{
    int        n;
    u_char    *copy;
    ngx_int_t  rc;

    n = 0;
    keys[0] = '\0';

    copy = malloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text));

    rc = ngx_litestream_xml_list(copy, strlen(text), xml, key, &n);

    free(copy);

    return (rc == NGX_OK && n != (int) xml->keys) ? NGX_ABORT : rc;
}


static void
answers(void)
{
    int                    i, n;
    size_t                 len;
    u_char                *p;
    ngx_litestream_xml_t   xml;

    static const char  plain[] =
        "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3/\">"
        "<Name>b</Name><Prefix>t/</Prefix><IsTruncated>true</IsTruncated>"
        "<Contents><Key>t/a&amp;b &lt;c&gt;&#228;&#x20ac;.db/0000/1.ltx</Key>"
        "<Size>3</Size></Contents><Contents><Key>t/%41+x</Key></Contents>"
        "<NextContinuationToken>to/ken==</NextContinuationToken>"
        "</ListBucketResult>";

    unit_ok(list(plain, &xml) == NGX_OK && xml.keys == 2 && xml.more
            && strcmp(keys, "t/a&b <c>\xc3\xa4\xe2\x82\xac.db/0000/1.ltx|"
                      "t/%41+x|") == 0, "a list");

    unit_ok(list("<ListBucketResult><Contents><Key>a+b%2Bc%2fd%zz%</Key>"
                 "</Contents><EncodingType>url</EncodingType>"
                 "</ListBucketResult>", &xml) == NGX_OK && !xml.more
            && strcmp(keys, "a b+c/d%zz%|") == 0, "escaped");

    unit_ok(list("<ListBucketResult/>", &xml) == NGX_ERROR
            && list("<ListBucketResult></ListBucketResult>", &xml) == NGX_OK
            && xml.keys == 0, "empty");

    unit_ok(list("<Error><Code>AccessDenied</Code><Message>No &amp; no"
                 "</Message><Key>x</Key></Error>", &xml) == NGX_OK
            && strcmp(xml.code, "AccessDenied") == 0 && xml.keys == 0,
            "an error");

    unit_ok(list("<html>no</html>", &xml) == NGX_ERROR
            && list("", &xml) == NGX_ERROR
            && list("<", &xml) == NGX_ERROR
            && list("<>", &xml) == NGX_ERROR, "something else");

    unit_ok(list("<ListBucketResult><Key>a&nope;</Key>", &xml) == NGX_ERROR
            && list("<ListBucketResult><Key>a&#0;</Key>", &xml) == NGX_ERROR
            && list("<ListBucketResult><Key>&#1114112;</Key>", &xml)
               == NGX_ERROR
            && list("<ListBucketResult><Key>&", &xml) == NGX_ERROR,
            "entities that are none");

    for (i = 0; i < 20000; i++) {
        p = unit_mutate(plain, sizeof(plain) - 1, &len);
        n = 0;
        keys[0] = '\0';
        (void) ngx_litestream_xml_list(p, len, &xml, key, &n);
        free(p);
    }

    unit_ok(1, "anything");
}


int
main(void)
{
    answers();

    return unit_end();
}
