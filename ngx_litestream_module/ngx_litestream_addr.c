
/*
 * Copyright (C) the ngx_litestream authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream.h"
#include "ngx_http_litestream.h"


#define NGX_LITESTREAM_PORT_START                                             \
    "/proc/sys/net/ipv4/ip_unprivileged_port_start"


static ngx_int_t ngx_litestream_addr_resolve(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *host,
    ngx_litestream_addr_t *addr);
static ngx_uint_t ngx_litestream_addr_any(struct sockaddr *sa);


/*
 * "host:port", "[::1]:port", ":port" and "*:port", the first argument of a
 * directive, where a Litestream is to listen.  From the configuration's pool;
 * NULL: refused, it has been logged.  Any process that reads the
 * configuration; may block in the resolver when host is a name.
 */

ngx_litestream_addr_t *
ngx_litestream_addr_parse(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said)
{
    char                   *reason;
    u_char                 *p, *last;
    ngx_int_t               port;
    ngx_str_t              *value, host;
    ngx_uint_t              brackets;
    ngx_litestream_addr_t  *addr;

    value = &said->args[1];

    p = value->data;
    last = value->data + value->len;

    reason = "it must be [host]:port";

    while (last > p && last[-1] != ':') {
        last--;
    }

    if (last == p) {
        goto invalid;
    }

    host.data = p;
    host.len = last - 1 - p;

    port = ngx_atoi(last, value->data + value->len - last);

    if (port < 1 || port > 65535) {
        reason = "the port must be 1 to 65535";
        goto invalid;
    }

    if (host.len == 1 && host.data[0] == '*') {
        host.len = 0;
    }

    brackets = (host.len > 2 && host.data[0] == '['
                && host.data[host.len - 1] == ']');

    for (p = host.data; p < host.data + host.len; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || (*p >= '0' && *p <= '9') || *p == '.' || *p == '-')
        {
            continue;
        }

        if (!brackets || ngx_strchr("[:]", *p) == NULL) {
            reason = "it must be [host]:port, an IPv6 address in brackets";
            goto invalid;
        }
    }

    addr = ngx_pcalloc(parse->cf->pool, sizeof(ngx_litestream_addr_t));
    if (addr == NULL) {
        return NULL;
    }

    addr->port = port;
    addr->file = said->file;
    addr->line = said->line;

    addr->text.data = ngx_pnalloc(parse->cf->pool,
                                  host.len + sizeof(":65535"));
    if (addr->text.data == NULL) {
        return NULL;
    }

    addr->text.len = ngx_sprintf(addr->text.data, "%V:%i%Z", &host, port)
                     - addr->text.data - 1;

    if (host.len
        && ngx_litestream_addr_resolve(parse, said, &host, addr) != NGX_OK)
    {
        return NULL;
    }

    return addr;

invalid:

    ngx_litestream_said_error(parse->cf->log, said, 0,
                              "invalid address \"%V\" in \"%V\" directive, "
                              "%s", value, &said->args[0], reason);

    return NULL;
}


/* which must be an address of this machine */

static ngx_int_t
ngx_litestream_addr_resolve(ngx_litestream_parse_t *parse,
    ngx_http_litestream_said_t *said, ngx_str_t *host,
    ngx_litestream_addr_t *addr)
{
    int           rc;
    ngx_err_t     err;
    ngx_url_t     u;
    ngx_uint_t    i;
    ngx_socket_t  s;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *host;
    u.default_port = (in_port_t) addr->port;

    if (ngx_parse_url(parse->cf->pool, &u) != NGX_OK || u.naddrs == 0) {
        ngx_litestream_said_error(parse->cf->log, said, 0,
                                  "%s in \"%V\" of the \"%V\" directive",
                                  u.err ? u.err : "invalid host",
                                  &said->args[1], &said->args[0]);
        return NGX_ERROR;
    }

    addr->sockaddr = u.addrs[0].sockaddr;
    addr->socklen = u.addrs[0].socklen;

    /* a name of several: Litestream prefers IPv4 */

    for (i = 0; i < u.naddrs; i++) {
        if (u.addrs[i].sockaddr->sa_family == AF_INET) {
            addr->sockaddr = u.addrs[i].sockaddr;
            addr->socklen = u.addrs[i].socklen;
            break;
        }
    }

    if (ngx_litestream_addr_any(addr->sockaddr)) {
        return NGX_OK;
    }

    /* any port does: the one that is meant may be in use by Litestream */

    ngx_inet_set_port(addr->sockaddr, 0);

    s = ngx_socket(addr->sockaddr->sa_family, SOCK_STREAM, 0);

    rc = -1;

    if (s != (ngx_socket_t) -1) {
        rc = bind(s, addr->sockaddr, addr->socklen);
    }

    err = ngx_socket_errno;

    if (s != (ngx_socket_t) -1) {
        (void) ngx_close_socket(s);
    }

    ngx_inet_set_port(addr->sockaddr, (in_port_t) addr->port);

    if (rc == -1) {
        ngx_litestream_said_error(parse->cf->log, said, err,
                                  "\"%V\" \"%V\" cannot be used, bind() "
                                  "failed", &said->args[0], &said->args[1]);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_litestream_addr_loopback(ngx_litestream_addr_t *addr)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    if (addr->sockaddr == NULL) {
        return 0;
    }

    switch (addr->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) addr->sockaddr;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) addr->sockaddr;
        return (ntohl(sin->sin_addr.s_addr) >> 24) == 127;

    default:
        return 0;
    }
}


/* ":port" takes the port of all addresses, those of IPv6 and of IPv4 */

ngx_uint_t
ngx_litestream_addr_clash(ngx_litestream_addr_t *one,
    ngx_litestream_addr_t *two)
{
    if (one->port != two->port) {
        return 0;
    }

    if (one->sockaddr == NULL || two->sockaddr == NULL) {
        return 1;
    }

    if (one->sockaddr->sa_family != two->sockaddr->sa_family) {
        return 0;
    }

    return ngx_litestream_addr_any(one->sockaddr)
           || ngx_litestream_addr_any(two->sockaddr)
           || ngx_cmp_sockaddr(one->sockaddr, one->socklen,
                               two->sockaddr, two->socklen, 0)
              == NGX_OK;
}


static ngx_uint_t
ngx_litestream_addr_any(struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        return IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr);
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        return sin->sin_addr.s_addr == INADDR_ANY;

    default:
        return 0;
    }
}


/* root's ports; a container may have set another limit, often 0 */

ngx_uint_t
ngx_litestream_addr_privileged(ngx_litestream_addr_t *addr, uid_t uid)
{
    int         fd;
    u_char      buf[NGX_INT_T_LEN];
    ssize_t     n;
    ngx_int_t   start, value;

    if (uid == 0) {
        return 0;
    }

    start = 1024;

    fd = open(NGX_LITESTREAM_PORT_START, O_RDONLY|O_CLOEXEC);

    if (fd != -1) {
        n = read(fd, buf, sizeof(buf));

        (void) close(fd);

        while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' ')) {
            n--;
        }

        value = (n > 0) ? ngx_atoi(buf, n) : NGX_ERROR;

        if (value != NGX_ERROR) {
            start = value;
        }
    }

    return addr->port < (ngx_uint_t) start;
}
