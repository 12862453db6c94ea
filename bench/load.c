
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * load PORT URI CONNECTIONS MS: GET over connections that are kept alive, one
 * request at a time on each, on 127.0.0.1.  Prints the number of answers with
 * status 200 that came in that time, the number of others, and ms.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define MAX_CONNECTIONS  256


typedef struct {
    int                  fd;
    size_t               len;     /* of head */
    long                 left;    /* of the body, -1: the head comes */
    char                 head[4096];
} conn_t;


static conn_t  conns[MAX_CONNECTIONS];
static char    buf[262144];
static long    good, bad;


static double
now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}


static int
dial(int port)
{
    int                  fd, on;
    struct sockaddr_in   sin;

    memset(&sin, 0, sizeof(struct sockaddr_in));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1
        || connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        perror("connect");
        exit(1);
    }

    on = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int));

    return fd;
}


/* how much of p belongs to this answer; done: it was the last of it */

static size_t
eat(conn_t *c, char *p, size_t n, int *done)
{
    char    *end, *length;
    size_t   take, before;

    *done = 0;

    if (c->left < 0) {

        before = c->len;
        take = sizeof(c->head) - 1 - c->len;
        take = n < take ? n : take;

        memcpy(c->head + c->len, p, take);
        c->len += take;
        c->head[c->len] = '\0';

        end = strstr(c->head, "\r\n\r\n");

        if (end == NULL) {
            return take;
        }

        end[2] = '\0';
        length = strcasestr(c->head, "\r\nContent-Length:");

        if (length == NULL) {
            fprintf(stderr, "an answer without its length: %s", c->head);
            exit(1);
        }

        c->left = atol(length + sizeof("\r\nContent-Length:") - 1);

        if (strncmp(c->head, "HTTP/1.1 200", 12) == 0) {
            good++;

        } else {
            bad++;
        }

        take = end + 4 - c->head - before;

    } else {
        take = (size_t) c->left < n ? (size_t) c->left : n;
        c->left -= take;
    }

    if (c->left == 0) {
        c->left = -1;
        c->len = 0;
        *done = 1;
    }

    return take;
}


int
main(int argc, char **argv)
{
    int                  ep, n, i, count, done, port;
    char                 request[1024], *p;
    conn_t              *c;
    double               begin, end, t;
    size_t               size;
    ssize_t              got;
    struct epoll_event   ev, events[MAX_CONNECTIONS];

    if (argc != 5) {
        fprintf(stderr, "load PORT URI CONNECTIONS MS\n");
        return 2;
    }

    port = atoi(argv[1]);
    count = atoi(argv[3]);

    if (count < 1 || count > MAX_CONNECTIONS) {
        return 2;
    }

    size = snprintf(request, sizeof(request),
                    "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);

    ep = epoll_create1(0);

    for (i = 0; i < count; i++) {
        conns[i].fd = dial(port);
        conns[i].left = -1;
        ev.events = EPOLLIN;
        ev.data.ptr = &conns[i];
        (void) epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &ev);
    }

    begin = now();
    end = begin + atof(argv[4]);

    for (i = 0; i < count; i++) {
        if (write(conns[i].fd, request, size) != (ssize_t) size) {
            perror("write");
            return 1;
        }
    }

    for (t = begin; t < end; t = now()) {

        n = epoll_wait(ep, events, MAX_CONNECTIONS, (int) (end - t) + 1);

        for (i = 0; i < n; i++) {

            c = events[i].data.ptr;
            got = read(c->fd, buf, sizeof(buf));

            if (got <= 0) {
                fprintf(stderr, "a connection was closed\n");
                return 1;
            }

            for (p = buf; got > 0; /* void */ ) {

                size_t  took;

                took = eat(c, p, got, &done);
                p += took;
                got -= took;

                if (done && write(c->fd, request, size) != (ssize_t) size) {
                    perror("write");
                    return 1;
                }
            }
        }
    }

    printf("%ld %ld %.3f\n", good, bad, t - begin);

    return 0;
}
