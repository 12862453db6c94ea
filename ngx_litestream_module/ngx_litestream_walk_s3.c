
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * In a job: what a bucket holds of a directory of databases.  Its objects are
 * listed a page at a time; as soon as one has told of a replica, the others of
 * it are skipped, so that a replica costs one request at most.
 */


#include "ngx_litestream_supervisor.h"
#include "ngx_litestream_walk.h"
#include "ngx_litestream_xml.h"

#include <curl/curl.h>


/* of an answer; 1000 names, each of at most 1 Kbyte, with all escapes */
#define NGX_LITESTREAM_S3_ANSWER  (16 * 1024 * 1024)

/* where databases are in place, they wait no longer for one, ms */
#define NGX_LITESTREAM_S3_PATIENCE  5000

#define NGX_LITESTREAM_S3_KEY     1024

/* the SHA-256 of no body, which libcurl does not always send by itself */
#define NGX_LITESTREAM_S3_NOTHING                                             \
    "x-amz-content-sha256: "                                                  \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


typedef struct {
    ngx_litestream_walk_t       *w;
    CURL                        *curl;
    u_char                      *data;    /* the answer */
    size_t                       len;
    size_t                       size;
    ngx_uint_t                   moved;   /* start, by this answer */
    size_t                       start_len;
    u_char                       start[NGX_LITESTREAM_S3_KEY + 16];
    char                         error[CURL_ERROR_SIZE];
} ngx_litestream_s3_list_t;


static ngx_int_t ngx_litestream_s3_page(ngx_litestream_s3_list_t *l,
    ngx_litestream_xml_t *xml, char *reason, size_t size);
static ngx_int_t ngx_litestream_s3_request(ngx_litestream_s3_list_t *l,
    char *reason, size_t size);
static ngx_int_t ngx_litestream_s3_url(ngx_litestream_s3_list_t *l, char *url,
    char *last);
static void ngx_litestream_s3_options(ngx_litestream_s3_list_t *l, char *url);
static void ngx_litestream_s3_value(ngx_litestream_db_t *db, char *key,
    char *name, char *other, ngx_str_t *value);
static size_t ngx_litestream_s3_write(char *p, size_t size, size_t n,
    void *data);
static int ngx_litestream_s3_progress(void *data, curl_off_t dltotal,
    curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow);
static void ngx_litestream_s3_object(void *data, u_char *key, size_t len);
static size_t ngx_litestream_s3_replica(u_char *name, size_t len,
    char **skip);


/*
 * 1: the objects of a replica on S3 can be listed: there is a key, not only a
 * role of the machine, and the region is known.  Supervisor, does not block.
 */

ngx_uint_t
ngx_litestream_walk_s3_able(ngx_litestream_db_t *db)
{
    ngx_str_t  id, secret;

    ngx_litestream_s3_value(db, "access-key-id", "AWS_ACCESS_KEY_ID",
                            "LITESTREAM_ACCESS_KEY_ID", &id);
    ngx_litestream_s3_value(db, "secret-access-key", "AWS_SECRET_ACCESS_KEY",
                            "LITESTREAM_SECRET_ACCESS_KEY", &secret);

    return id.len && secret.len
           && (ngx_litestream_replica_key(db->replica, "region")
               || ngx_litestream_replica_key(db->replica, "endpoint"));
}


/*
 * What the bucket holds for this directory: NGX_DECLINED, and the result's
 * text, when that cannot be told.
 */

ngx_int_t
ngx_litestream_walk_s3(ngx_litestream_walk_t *w)
{
    char                       reason[NGX_LITESTREAM_ERROR_LEN];
    ngx_int_t                  rc;
    ngx_litestream_xml_t       xml;
    ngx_litestream_s3_list_t   l;

    ngx_memzero(&l, sizeof(ngx_litestream_s3_list_t));

    l.w = w;
    l.curl = curl_easy_init();
    reason[0] = '\0';

    if (l.curl == NULL) {
        (void) snprintf(reason, sizeof(reason), "curl_easy_init() failed");
        rc = NGX_ERROR;

    } else {
        do {
            rc = ngx_litestream_s3_page(&l, &xml, reason, sizeof(reason));
        } while (rc == NGX_OK && xml.more);
    }

    curl_easy_cleanup(l.curl);
    free(l.data);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    (void) snprintf(w->job->result.text, sizeof(w->job->result.text),
                    "replica \"%s\" cannot be listed: %.600s",
                    (char *) w->dir->db->replica->url.data, reason);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_litestream_s3_page(ngx_litestream_s3_list_t *l, ngx_litestream_xml_t *xml,
    char *reason, size_t size)
{
    long  status;

    if (ngx_litestream_s3_request(l, reason, size) != NGX_OK) {
        return NGX_ERROR;
    }

    (void) curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &status);

    l->moved = 0;

    if (ngx_litestream_xml_list(l->data, l->len, xml,
                                ngx_litestream_s3_object, l)
        != NGX_OK)
    {
        (void) snprintf(reason, size, "it is not understood what \"%s\" "
                        "answers, with status %ld",
                        (char *) l->w->dir->db->replica->endpoint.data,
                        status);
        return NGX_ERROR;
    }

    if (status != 200 || xml->code[0]) {
        (void) snprintf(reason, size, "%s: %s", xml->code[0] ? xml->code
                                                             : "no list",
                        xml->message);
        return NGX_ERROR;
    }

    if (xml->more && !l->moved) {
        (void) snprintf(reason, size, "\"%s\" does not go on behind an object "
                        "that it is told",
                        (char *) l->w->dir->db->replica->endpoint.data);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* one GET, as Litestream would ask; the answer is in l->data */

static ngx_int_t
ngx_litestream_s3_request(ngx_litestream_s3_list_t *l, char *reason,
    size_t size)
{
    char                  url[10240], token[2200];
    CURLcode              rc;
    ngx_str_t             value;
    struct curl_slist    *list, *next;
    ngx_litestream_db_t  *db;

    db = l->w->dir->db;

    if (ngx_litestream_s3_url(l, url, url + sizeof(url)) != NGX_OK) {
        (void) snprintf(reason, size, "its names are too long");
        return NGX_ERROR;
    }

    list = curl_slist_append(NULL, NGX_LITESTREAM_S3_NOTHING);

    /* a token belongs to a key of the environment */

    ngx_str_null(&value);

    if (ngx_litestream_replica_key(db->replica, "access-key-id") == NULL) {
        ngx_litestream_s3_value(db, NULL, "AWS_SESSION_TOKEN", NULL, &value);
    }

    if (list && value.len) {
        (void) snprintf(token, sizeof(token), "x-amz-security-token: %.*s",
                        (int) value.len, value.data);

        next = curl_slist_append(list, token);

        if (next == NULL) {
            curl_slist_free_all(list);
        }

        list = next;
    }

    if (list == NULL) {
        (void) snprintf(reason, size, "no memory");
        return NGX_ERROR;
    }

    l->len = 0;
    l->error[0] = '\0';

    ngx_litestream_s3_options(l, url);

    (void) curl_easy_setopt(l->curl, CURLOPT_URL, url);
    (void) curl_easy_setopt(l->curl, CURLOPT_HTTPHEADER, list);

    rc = curl_easy_perform(l->curl);

    curl_slist_free_all(list);

    if (rc != CURLE_OK
        && ngx_litestream_endpoint_reason(db, reason, size) != NGX_OK)
    {
        (void) snprintf(reason, size, "\"%s\": %s",
                        (char *) db->replica->endpoint.data,
                        l->error[0] ? l->error : curl_easy_strerror(rc));
    }

    return (rc == CURLE_OK) ? NGX_OK : NGX_ERROR;
}


/* the bucket is in the path, or of the host; the arguments are sorted */

static ngx_int_t
ngx_litestream_s3_url(ngx_litestream_s3_list_t *l, char *url, char *last)
{
    char                      *p, *host;
    ngx_str_t                 *bucket, *before, start;
    ngx_uint_t                 style;
    ngx_litestream_key_t      *key;
    ngx_litestream_replica_t  *replica;

    replica = l->w->dir->db->replica;
    before = &l->w->dir->before;
    bucket = &ngx_litestream_replica_key(replica, "bucket")->value;

    key = ngx_litestream_replica_key(replica, "force-path-style");

    style = key ? ngx_strcmp(key->value.data, "true") == 0
                : ngx_litestream_replica_key(replica, "endpoint") != NULL;

    /* a name with dots is none that a certificate is for */

    if (ngx_strlchr(bucket->data, bucket->data + bucket->len, '.')) {
        style = 1;
    }

    /* SCHEME://HOST[:PORT] */

    host = strstr((char *) replica->endpoint.data, "://") + 3;

    if (replica->endpoint.len + bucket->len + 256 > (size_t) (last - url)) {
        return NGX_ERROR;
    }

    p = url + sprintf(url, "%.*s%.*s%s%s/",
                      (int) (host - (char *) replica->endpoint.data),
                      (char *) replica->endpoint.data,
                      style ? 0 : (int) bucket->len, bucket->data,
                      style ? "" : ".", host);

    if (style) {
        p = ngx_litestream_live_escape(p, last, bucket, "");
    }

    if ((size_t) (last - p) < 256) {
        return NGX_ERROR;
    }

    p = stpcpy(p, "?encoding-type=url&list-type=2&max-keys=1000&prefix=");
    p = ngx_litestream_live_escape(p, last, before, "");

    if (l->start_len) {

        if ((size_t) (last - p) <= sizeof("&start-after=")) {
            return NGX_ERROR;
        }

        start.data = l->start;
        start.len = l->start_len;

        p = stpcpy(p, "&start-after=");
        p = ngx_litestream_live_escape(p, last, &start, "");
    }

    if (p == last) {
        return NGX_ERROR;
    }

    *p = '\0';

    return NGX_OK;
}


/* as Litestream would: with its environment, not with ours */

static void
ngx_litestream_s3_options(ngx_litestream_s3_list_t *l, char *url)
{
    char                  *value, sign[256];
    long                   seconds;
    CURL                  *curl;
    ngx_str_t              id, secret;
    ngx_msec_t             patience;
    ngx_litestream_db_t   *db;
    ngx_litestream_key_t  *key;

    curl = l->curl;
    db = l->w->dir->db;

    curl_easy_reset(curl);

    /* databases that are in place do not wait for the storage */

    patience = ngx_litestream_sup->conf->restore_timeout;

    if (l->w->files) {
        patience = ngx_min(patience, NGX_LITESTREAM_S3_PATIENCE);
    }

    seconds = ngx_max(patience / 1000, 1);

    (void) curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, seconds);
    (void) curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, seconds);
    (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, l->error);
    (void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION,
                            ngx_litestream_s3_write);
    (void) curl_easy_setopt(curl, CURLOPT_WRITEDATA, l);
    (void) curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION,
                            ngx_litestream_s3_progress);
    (void) curl_easy_setopt(curl, CURLOPT_XFERINFODATA, l);
    (void) curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);

    key = ngx_litestream_replica_key(db->replica, "region");

    (void) snprintf(sign, sizeof(sign), "aws:amz:%s:s3",
                    key ? (char *) key->value.data : "us-east-1");

    ngx_litestream_s3_value(db, "access-key-id", "AWS_ACCESS_KEY_ID",
                            "LITESTREAM_ACCESS_KEY_ID", &id);
    ngx_litestream_s3_value(db, "secret-access-key", "AWS_SECRET_ACCESS_KEY",
                            "LITESTREAM_SECRET_ACCESS_KEY", &secret);

    (void) curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, sign);
    (void) curl_easy_setopt(curl, CURLOPT_USERNAME, id.data);
    (void) curl_easy_setopt(curl, CURLOPT_PASSWORD, secret.data);

    value = (ngx_strncmp(url, "https:", 6) == 0)
            ? ngx_litestream_group_env(db->group, "HTTPS_PROXY", "https_proxy")
            : ngx_litestream_group_env(db->group, "HTTP_PROXY", "http_proxy");

    (void) curl_easy_setopt(curl, CURLOPT_PROXY, value ? value : "");

    value = ngx_litestream_group_env(db->group, "NO_PROXY", "no_proxy");
    (void) curl_easy_setopt(curl, CURLOPT_NOPROXY, value ? value : "");

    ngx_litestream_endpoint_trust(db, curl);
}


/* what the replica says, or else the environment; its length is 0: nobody */

static void
ngx_litestream_s3_value(ngx_litestream_db_t *db, char *key, char *name,
    char *other, ngx_str_t *value)
{
    char                  *text;
    ngx_litestream_key_t  *said;

    said = key ? ngx_litestream_replica_key(db->replica, key) : NULL;

    if (said) {
        *value = said->value;
        return;
    }

    text = ngx_litestream_group_env(db->group, name, other);

    value->data = (u_char *) text;
    value->len = text ? ngx_strlen(text) : 0;
}


static size_t
ngx_litestream_s3_write(char *p, size_t size, size_t n, void *data)
{
    ngx_litestream_s3_list_t *l = data;

    u_char  *grown;
    size_t   need;

    n *= size;

    if (l->len + n > NGX_LITESTREAM_S3_ANSWER) {
        (void) snprintf(l->error, sizeof(l->error), "the answer is too large");
        return 0;
    }

    if (l->len + n > l->size) {

        need = ngx_max(2 * l->size, l->len + n);
        grown = realloc(l->data, need);

        if (grown == NULL) {
            return 0;
        }

        l->data = grown;
        l->size = need;
    }

    ngx_memcpy(l->data + l->len, p, n);
    l->len += n;

    return n;
}


/* about once a second, also while nothing comes */

static int
ngx_litestream_s3_progress(void *data, curl_off_t dltotal, curl_off_t dlnow,
    curl_off_t ultotal, curl_off_t ulnow)
{
    ngx_litestream_s3_list_t *l = data;

    ngx_litestream_walk_beat(l->w);

    return ngx_litestream_job_stopped() ? 1 : 0;
}


/* names come in the order of their bytes */

static void
ngx_litestream_s3_object(void *data, u_char *key, size_t len)
{
    ngx_litestream_s3_list_t *l = data;

    int         rc;
    char       *skip;
    size_t      n;
    ngx_str_t  *before, *after;

    before = &l->w->dir->before;
    after = &l->w->dir->after;

    if (len > NGX_LITESTREAM_S3_KEY || len < before->len
        || ngx_memcmp(key, before->data, before->len) != 0)
    {
        return;
    }

    /* of the replica that was the last one, or told once more */

    rc = ngx_memcmp(key, l->start, ngx_min(len, l->start_len));

    if (rc < 0 || (rc == 0 && len <= l->start_len)) {
        return;
    }

    l->moved = 1;
    ngx_litestream_walk_beat(l->w);

    n = ngx_litestream_s3_replica(key + before->len, len - before->len, &skip);

    if (n == 0) {
        ngx_memcpy(l->start, key, len);
        l->start_len = len;
        return;
    }

    if (n > after->len
        && ngx_memcmp(key + before->len + n - after->len, after->data,
                      after->len)
           == 0)
    {
        ngx_litestream_walk_backup(l->w, key + before->len, n - after->len);
    }

    n += before->len;

    ngx_memcpy(l->start, key, n);
    l->start_len = ngx_cpymem(l->start + n, skip, ngx_strlen(skip)) - l->start;
}


/*
 * The length of the replica's name that an object is of, 0: it is of none; and
 * what, behind that name, comes after all objects of that kind.
 */

static size_t
ngx_litestream_s3_replica(u_char *name, size_t len, char **skip)
{
    u_char    *p, *last, *file;
    uint64_t   min, max;

    last = name + len;

    /* of Litestream 0.3: NAME/generations/GENERATION/... */

    p = ngx_strnstr(name, "/generations/", len);

    if (p && p > name) {
        *skip = "/generations0";
        return p - name;
    }

    /* NAME/LEVEL/MIN-MAX.ltx */

    for (file = last; file > name && file[-1] != '/'; file--) { /* void */ }

    if (file - name < 7
        || file[-6] != '/' || file[-5] != '0' || file[-4] != '0'
        || file[-3] != '0' || file[-2] < '0' || file[-2] > '9'
        || ngx_litestream_ltx_range(file, last - file, &min, &max) != NGX_OK)
    {
        return 0;
    }

    *skip = "/000:";

    return file - 6 - name;
}
