
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Why a storage on the network says nothing: Litestream goes on trying for
 * minutes, and does not tell.
 */


#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>


/* ms that a connection may take */
#define CLI_ENDPOINT_CONNECT  2000

/* bytes of a configuration */
#define CLI_ENDPOINT_SIZE     (64 * 1024 * 1024)


static int cli_endpoint_proxy(cli_target_t *t);
static int cli_endpoint_config(cli_target_t *t, char *url, size_t size);
static cli_node_t *cli_endpoint_read(const char *name);
static cli_node_t *cli_endpoint_replica(cli_node_t *db);
static int cli_endpoint_url(const char *text, char *url, size_t size);
static int cli_endpoint_server(const char *url, char *host, size_t size,
    const char **port);
static int cli_endpoint_connect(struct addrinfo *res);


/*
 * What keeps the storage of a target from answering, for people, at most size
 * bytes: CLI_YES, or CLI_NO, which leaves text alone: it is not on the network,
 * nobody has said where, or a proxy stands in between.  With the identity of
 * the target's user; blocks for some seconds at most.
 */

int
cli_endpoint_reason(cli_target_t *t, char *text, size_t size)
{
    int              rc;
    char             url[CLI_ERROR_LEN], host[256];
    const char      *port;
    struct addrinfo  hints, *res;

    if (cli_endpoint_proxy(t)) {
        return CLI_NO;
    }

    rc = t->config[0] ? cli_endpoint_config(t, url, sizeof(url))
                      : cli_endpoint_url(t->source, url, sizeof(url));

    if (rc != CLI_YES
        || cli_endpoint_server(url, host, sizeof(host), &port) != CLI_YES)
    {
        return CLI_NO;
    }

    /* a resolver that is away must not hold it up */

    (void) setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);

    memset(&hints, 0, sizeof(struct addrinfo));
    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(host, port, &hints, &res);

    if (rc != 0) {
        cli_copy(text, size, "\"%.300s\" cannot be reached: host \"%s\": %s",
                 url, host, gai_strerror(rc));
        return CLI_YES;
    }

    rc = cli_endpoint_connect(res);

    freeaddrinfo(res);

    if (rc != 0) {
        cli_copy(text, size, "\"%.300s\" cannot be reached: %s", url,
                 strerror(rc));

    } else {
        cli_copy(text, size, "\"%.300s\" takes connections, but has not "
                 "answered", url);
    }

    return CLI_YES;
}


static int
cli_endpoint_proxy(cli_target_t *t)
{
    char  **e;

    for (e = t->env; e && *e; e++) {
        if (strncasecmp(*e, "http_proxy=", 11) == 0
            || strncasecmp(*e, "https_proxy=", 12) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* that of the database in the configuration that Litestream was given */

static int
cli_endpoint_config(cli_target_t *t, char *url, size_t size)
{
    char        *text;
    size_t       i;
    cli_node_t  *root, *db, *replica;

    static const char  *names[] = { "endpoint", "webdav-url", "host", "url" };

    root = cli_endpoint_read(t->config);

    if (root == NULL) {
        return CLI_NO;
    }

    db = cli_node(root, "dbs");
    db = db ? db->child : NULL;

    for ( /* void */ ; db; db = db->next) {

        text = cli_node_text(db, "path");

        if (text && t->source && strcmp(text, t->source) == 0) {
            break;
        }
    }

    replica = db ? cli_endpoint_replica(db) : NULL;

    if (replica == NULL) {
        return CLI_NO;
    }

    for (i = 0; i < sizeof(names) / sizeof(char *); i++) {

        text = cli_node_text(replica, names[i]);

        if (text == NULL && i == 0) {
            text = cli_node_text(root, names[i]);
        }

        if (text == NULL) {
            continue;
        }

        if (strcmp(names[i], "url") == 0) {
            return cli_endpoint_url(text, url, size);
        }

        cli_copy(url, size, "%s%s", strcmp(names[i], "host") ? "" : "sftp://",
                 text);
        return CLI_YES;
    }

    return CLI_NO;
}


/* NULL: it cannot be read */

static cli_node_t *
cli_endpoint_read(const char *name)
{
    int          fd;
    char        *text, error[CLI_ERROR_LEN];
    ssize_t      n;
    cli_node_t  *root;
    struct stat  sb;

    fd = open(name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);

    if (fd == -1) {
        return NULL;
    }

    root = NULL;
    text = NULL;

    if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode)
        && sb.st_size < CLI_ENDPOINT_SIZE)
    {
        text = malloc((size_t) sb.st_size + 1);
    }

    if (text) {
        n = pread(fd, text, (size_t) sb.st_size, 0);

        if (n == (ssize_t) sb.st_size) {
            root = cli_yaml(text, (size_t) n, error, sizeof(error));
        }
    }

    free(text);
    (void) close(fd);

    return root;
}


/* Litestream takes "replica", and a list of one */

static cli_node_t *
cli_endpoint_replica(cli_node_t *db)
{
    cli_node_t  *replica;

    replica = cli_node(db, "replica");

    if (replica == NULL) {
        replica = cli_node(db, "replicas");
        replica = replica ? replica->child : NULL;
    }

    return (replica && replica->type == CLI_NODE_MAP) ? replica : NULL;
}


/* the endpoint that a URL names, else its own server, if it is one */

static int
cli_endpoint_url(const char *text, char *url, size_t size)
{
    char        *d;
    size_t       n;
    unsigned     c;
    const char  *p;

    static const char  *servers[] = { "sftp://", "webdav://", "webdavs://",
                                      "nats://" };

    p = strchr(text, '?');

    for ( /* void */ ; p; p = strchr(p, '&')) {

        if (strncmp(++p, "endpoint=", 9) != 0) {
            continue;
        }

        p += 9;
        d = url;

        while (*p && *p != '&' && d < url + size - 1) {

            if (*p == '%' && sscanf(p + 1, "%2x", &c) == 1 && p[2]) {
                *d++ = (char) c;
                p += 3;
                continue;
            }

            *d++ = *p++;
        }

        *d = '\0';

        return CLI_YES;
    }

    for (n = 0; n < sizeof(servers) / sizeof(char *); n++) {

        if (strncmp(text, servers[n], strlen(servers[n])) == 0) {
            cli_copy(url, size, "%.*s", (int) strcspn(text, "?"), text);
            return CLI_YES;
        }
    }

    return CLI_NO;
}


/* of SCHEME://[USER@]HOST[:PORT][/PATH]; CLI_NO: it is none */

static int
cli_endpoint_server(const char *url, char *host, size_t size,
    const char **port)
{
    char        *p, *end;
    size_t       i;
    const char  *begin;

    static const char  *ports[][2] = {
        { "https://", "443" }, { "webdavs://", "443" }, { "sftp://", "22" },
        { "nats://", "4222" }
    };

    *port = "80";

    for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        if (strncmp(url, ports[i][0], strlen(ports[i][0])) == 0) {
            *port = ports[i][1];
        }
    }

    begin = strstr(url, "://");
    begin = begin ? begin + 3 : url;

    cli_copy(host, size, "%.*s", (int) strcspn(begin, "/?#"), begin);

    /* nobody is to read a password */

    if (strchr(host, '@')) {
        return CLI_NO;
    }

    p = strrchr(host, ':');

    if (p && strchr(p, ']') == NULL) {
        *p++ = '\0';
        *port = p;
    }

    if (host[0] == '[') {
        end = strchr(host, ']');

        if (end == NULL) {
            return CLI_NO;
        }

        *end = '\0';
        memmove(host, host + 1, strlen(host));
    }

    return host[0] ? CLI_YES : CLI_NO;
}


/* 0, or errno */

static int
cli_endpoint_connect(struct addrinfo *res)
{
    int            fd, err;
    socklen_t      len;
    struct pollfd  pfd;

    fd = socket(res->ai_family, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return errno;
    }

    err = 0;

    if (connect(fd, res->ai_addr, res->ai_addrlen) == -1) {

        err = errno;

        if (err == EINPROGRESS) {

            pfd.fd = fd;
            pfd.events = POLLOUT;
            len = sizeof(int);

            err = ETIMEDOUT;

            if (poll(&pfd, 1, CLI_ENDPOINT_CONNECT) == 1
                && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
            {
                err = errno;
            }
        }
    }

    (void) close(fd);

    return err;
}
