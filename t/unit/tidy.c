
/*
 * Copyright (C) the ngx_litestream authors
 *
 * Errors of storages on one line.
 */


#include "unit.h"
#include "ngx_litestream_tidy.c"


static char  out[512];


static void
tidy(const char *text, const char *expected, const char *name)
{
    size_t   len;
    char    *copy;

    /* as it comes: without an end */

    len = strlen(text);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);

    memset(out, 'x', sizeof(out));
    ngx_litestream_tidy(out, sizeof(out), copy, len);

    free(copy);

    unit_ok(strcmp(out, expected) == 0, name);
}


int
main(void)
{
    char     small[32];
    size_t   i, n;
    char    *text;

    tidy("", "", "nothing");
    tidy("storage: bucket doesn't exist", "storage: bucket doesn't exist",
         "one line");
    tidy(" \033[2J one\a \n", "\033[2J one\a", "control characters");
    tidy("one\n\n  two \r\nthree\n", "one: two: three", "lines");

    tidy("Error: abs: cannot list blobs: GET http://h/a/b\n"
         "-----------------------------------------------\n"
         "RESPONSE 403: 403 It is forbidden.\n"
         "ERROR CODE: AuthorizationFailure\n"
         "-----------------------------------------------\n"
         "<?xml version=\"1.0\"?>\n<Error>\n  <Code>X</Code>\n</Error>\n"
         "-----------------------------------------------\n",
         "Error: abs: cannot list blobs: GET http://h/a/b: "
         "AuthorizationFailure (403 It is forbidden.)", "Azure");
    tidy("GET http://h\nRESPONSE 500: 500 Oh\n", "GET http://h: 500 Oh",
         "Azure: no code");
    tidy("GET http://h\nERROR CODE: ServerBusy\n",
         "GET http://h: ServerBusy", "Azure: a code alone");
    tidy("RESPONSE \nERROR CODE: \nRESPONSE 4",
         "RESPONSE: ERROR CODE:: RESPONSE 4", "Azure: nothing in it");

    tidy("S3: PutObject, https response error StatusCode: 403, RequestID: "
         "17, HostID: , api error SignatureDoesNotMatch: no\n",
         "S3: PutObject, https response error StatusCode: 403, api error "
         "SignatureDoesNotMatch: no", "Amazon");
    tidy("StatusCode: 0, RequestID: ", "StatusCode: 0, RequestID:",
         "Amazon: cut off");

    tidy("Error: get v0.3.x time bounds: s3: list generations: operation "
         "error S3: ListObjectsV2: no\n",
         "Error: operation error S3: ListObjectsV2: no", "steps");
    tidy("s3: list generations: ", "s3: list generations:",
         "steps: nothing behind it");

    /* whatever the size is, there is an end, and nothing behind it */

    text = "a\nbb\nERROR CODE: ccc\nRESPONSE 400: dddd\neeeee";

    for (n = 1; n <= sizeof(small); n++) {
        memset(small, 'x', sizeof(small));
        ngx_litestream_tidy(small, n, text, strlen(text));

        for (i = n; i < sizeof(small) && small[i] == 'x'; i++) { /* void */ }

        unit_ok(memchr(small, '\0', n) != NULL && i == sizeof(small),
                "a small buffer");
    }

    return unit_end();
}
