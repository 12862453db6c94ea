
/*
 * Copyright (C) the ngx_litestream authors
 */


/* in jobs: why a storage on the network does not answer */


#include "ngx_litestream_supervisor.h"

#include <curl/curl.h>
#include <netdb.h>
#include <poll.h>


/* a storage that has said nothing for so long is looked at, in ms */
#define NGX_LITESTREAM_SILENCE   3000

/* how long a connection to it may take, in ms */
#define NGX_LITESTREAM_CONNECT   2000


typedef struct {
    char                     *said;
    char                     *meant;
} ngx_litestream_hint_t;


static ngx_int_t ngx_litestream_endpoint_tls(ngx_litestream_db_t *db,
    char *buf, size_t size);


/* in the words of the storages' clients */

static ngx_litestream_hint_t  ngx_litestream_hints[] = {
    { "NoSuchBucket", "create the bucket, or check \"region\" and "
                      "\"endpoint\"" },
    { "InvalidAccessKeyId", "check LITESTREAM_ACCESS_KEY_ID or "
                            "\"access_key_id\"" },
    { "SignatureDoesNotMatch", "check LITESTREAM_SECRET_ACCESS_KEY or "
                               "\"secret_access_key\"" },
    { "no EC2 IMDS role", "set LITESTREAM_ACCESS_KEY_ID and "
                          "LITESTREAM_SECRET_ACCESS_KEY" },
    { "ContainerNotFound", "create the container, or check the account" },
    { "bucket doesn't exist", "create the bucket" },
    { NULL, NULL }
};


/*
 * Why nothing comes from the endpoint of a database's replica, for people, at
 * most size bytes.  NGX_DECLINED: it has none, or a proxy stands in between.
 * In a job: blocks for some seconds at most.
 */

ngx_int_t
ngx_litestream_endpoint_reason(ngx_litestream_db_t *db, char *buf, size_t size)
{
    int                fd, rc, err;
    char               host[256], *port, *p, *url, **e;
    socklen_t          len;
    struct pollfd      pfd;
    struct addrinfo    hints, *res;

    if (db->replica->endpoint.len == 0) {
        return NGX_DECLINED;
    }

    for (e = db->group->env; *e; e++) {
        if (ngx_strncasecmp((u_char *) *e, (u_char *) "http_proxy=", 11) == 0
            || ngx_strncasecmp((u_char *) *e, (u_char *) "https_proxy=", 12)
               == 0)
        {
            return NGX_DECLINED;
        }
    }

    url = (char *) db->replica->endpoint.data;

    /* made by ngx_litestream_endpoint(): SCHEME://HOST[:PORT][/PATH] */

    p = strstr(url, "://") + 3;

    (void) snprintf(host, sizeof(host), "%s", p);

    p = strchr(host, '/');
    if (p) {
        *p = '\0';
    }

    port = strncmp(url, "https", 5) == 0 ? "443" : "80";

    p = strrchr(host, ':');
    if (p && strchr(p, ']') == NULL) {
        *p = '\0';
        port = p + 1;
    }

    p = host;

    if (*p == '[') {
        p++;
        p[strcspn(p, "]")] = '\0';
    }

    /* of the job alone: a resolver that is away must not hold it up */

    (void) setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);

    ngx_memzero(&hints, sizeof(struct addrinfo));
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(p, port, &hints, &res);

    if (rc != 0) {
        (void) snprintf(buf, size, "\"%s\" cannot be reached: host \"%s\": %s",
                        url, p, gai_strerror(rc));
        return NGX_OK;
    }

    err = 0;

    fd = socket(res->ai_family, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == -1 || connect(fd, res->ai_addr, res->ai_addrlen) == -1) {
        err = errno;

        if (fd != -1 && err == EINPROGRESS) {

            pfd.fd = fd;
            pfd.events = POLLOUT;
            len = sizeof(int);

            err = ETIMEDOUT;

            if (poll(&pfd, 1, NGX_LITESTREAM_CONNECT) == 1
                && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
            {
                err = errno;
            }
        }
    }

    if (fd != -1) {
        (void) close(fd);
    }

    freeaddrinfo(res);

    if (err) {
        (void) snprintf(buf, size, "\"%s\" cannot be reached: %s", url,
                        strerror(err));

    } else if (ngx_litestream_endpoint_tls(db, buf, size) != NGX_OK) {
        (void) snprintf(buf, size, "\"%s\" takes connections, but has not "
                        "answered", url);
    }

    return NGX_OK;
}


/*
 * Litestream goes on trying when it does not like a certificate, and never
 * says so.  What it would not like is put into buf, for people; NGX_DECLINED:
 * nothing is wrong, or the endpoint does not speak TLS.  In a job, blocks for
 * some seconds at most.
 */

static ngx_int_t
ngx_litestream_endpoint_tls(ngx_litestream_db_t *db, char *buf, size_t size)
{
    CURL      *curl;
    char      *url, *hint, error[CURL_ERROR_SIZE];
    CURLcode   rc;

    url = (char *) db->replica->endpoint.data;

    if (ngx_strncmp(url, "https://", 8) != 0) {
        return NGX_DECLINED;
    }

    curl = curl_easy_init();
    if (curl == NULL) {
        return NGX_DECLINED;
    }

    error[0] = '\0';

    (void) curl_easy_setopt(curl, CURLOPT_URL, url);
    (void) curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void) curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    (void) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                            (long) NGX_LITESTREAM_CONNECT);

    ngx_litestream_endpoint_trust(db, curl);

    rc = curl_easy_perform(curl);

    curl_easy_cleanup(curl);

    hint = "";

    switch (rc) {

    case CURLE_PEER_FAILED_VERIFICATION:

        hint = ngx_strcmp(db->replica->type.data, "s3") == 0
               ? "; say its CA in SSL_CERT_FILE by \"litestream_env\", or "
                 "\"skip_verify=on\""
               : "; say its CA in SSL_CERT_FILE by \"litestream_env\"";
        break;

    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
        break;

    default:
        return NGX_DECLINED;
    }

    (void) snprintf(buf, size, "TLS with \"%s\" fails: %s%s", url,
                    error[0] ? error : curl_easy_strerror(rc), hint);

    return NGX_OK;
}


/*
 * Whom a request of curl, a CURL, trusts: as Litestream would, with its
 * environment and not with ours.  In a job.
 */

void
ngx_litestream_endpoint_trust(ngx_litestream_db_t *db, void *curl)
{
    char                  *value;
    ngx_litestream_key_t  *key;

    value = ngx_litestream_group_env(db->group, "SSL_CERT_FILE", NULL);
    if (value) {
        (void) curl_easy_setopt(curl, CURLOPT_CAINFO, value);
    }

    value = ngx_litestream_group_env(db->group, "SSL_CERT_DIR", NULL);
    if (value) {
        (void) curl_easy_setopt(curl, CURLOPT_CAPATH, value);
    }

    key = ngx_litestream_replica_key(db->replica, "skip-verify");

    if (key && ngx_strcmp(key->value.data, "true") == 0) {
        (void) curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        (void) curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}


/*
 * Looks, once, at a storage that has not answered for some time: Litestream
 * itself says nothing for two minutes.  In a job; waited: ms so far.
 */

void
ngx_litestream_endpoint_silent(ngx_litestream_job_t *job, ngx_msec_t waited)
{
    ngx_litestream_job_msg_t  msg;

    if (job->silent || waited < NGX_LITESTREAM_SILENCE || job->rdb == NULL) {
        return;
    }

    job->silent = 1;

    ngx_memzero(&msg, sizeof(ngx_litestream_job_msg_t));
    msg.type = NGX_LITESTREAM_JOB_SILENT;

    if (ngx_litestream_endpoint_reason(job->rdb->db, msg.text,
                                       sizeof(msg.text))
        == NGX_OK)
    {
        ngx_litestream_job_tell(job, &msg);
    }
}


/*
 * In a job: to what a program has said at last, what can be done is added.
 */

void
ngx_litestream_endpoint_explain(ngx_litestream_job_t *job,
    ngx_litestream_run_t *run)
{
    size_t                   len;
    ngx_litestream_hint_t   *hint;

    if (job->rdb == NULL || job->rdb->db->replica->endpoint.len == 0) {
        return;
    }

    if (run->timedout && run->last[0] == '\0') {
        (void) ngx_litestream_endpoint_reason(job->rdb->db, run->last,
                                              sizeof(run->last));
        return;
    }

    for (hint = ngx_litestream_hints; hint->said; hint++) {

        if (strstr(run->last, hint->said)) {
            len = strlen(run->last);

            (void) snprintf(run->last + len, sizeof(run->last) - len, ": %s",
                            hint->meant);
            return;
        }
    }
}


/* in the supervisor: it says so, and goes on waiting */

void
ngx_litestream_endpoint_message(ngx_litestream_job_t *job,
    ngx_litestream_job_msg_t *msg)
{
    size_t                 n;
    ngx_litestream_rdb_t  *rdb;

    rdb = job->rdb;

    n = ngx_litestream_redact(ngx_litestream_sup->conf, (u_char *) msg->text,
                              ngx_strlen(msg->text));
    msg->text[n] = '\0';

    ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                  "litestream: database \"%V\": waiting for \"%V\": %s",
                  &rdb->db->alias, &rdb->db->replica->url, msg->text);

    if (!rdb->fault) {
        ngx_litestream_copy(rdb->st.error, sizeof(rdb->st.error),
                            (u_char *) msg->text, n);
        ngx_litestream_status_db_write(rdb);
    }
}
