
/*
 * Copyright (C) the ngx_litestream authors
 */


/* messages on SOCK_SEQPACKET sockets that may bring a descriptor along */


#include "ngx_litestream_supervisor.h"


/*
 * Sends a message, with a descriptor unless fd is -1, which stays the
 * caller's.  As send(); blocks as the socket does.
 */

ssize_t
ngx_litestream_pass(int s, void *buf, size_t len, int fd)
{
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr   align;
        char             data[CMSG_SPACE(sizeof(int))];
    } control;

    ngx_memzero(&msg, sizeof(struct msghdr));
    ngx_memzero(&control, sizeof(control));

    iov.iov_base = buf;
    iov.iov_len = len;

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    if (fd != -1) {
        msg.msg_control = control.data;
        msg.msg_controllen = sizeof(control.data);

        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));

        ngx_memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    }

    return sendmsg(s, &msg, MSG_NOSIGNAL);
}


/*
 * Receives a message; its length, also when that is more than len, as recv()
 * with MSG_TRUNC.  fd gets the descriptor that came with it, or -1; it is the
 * caller's, and closed when a program is executed.
 */

ssize_t
ngx_litestream_take(int s, void *buf, size_t len, int *fd)
{
    int              one;
    size_t           i;
    ssize_t          n;
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr   align;
        char             data[CMSG_SPACE(4 * sizeof(int))];
    } control;

    *fd = -1;

    ngx_memzero(&msg, sizeof(struct msghdr));

    iov.iov_base = buf;
    iov.iov_len = len;

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.data;
    msg.msg_controllen = sizeof(control.data);

    n = recvmsg(s, &msg, MSG_TRUNC|MSG_CMSG_CLOEXEC);

    if (n == -1) {
        return -1;
    }

    for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        /* whoever sends more than one is not ours */

        for (i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= cmsg->cmsg_len; i++) {

            ngx_memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));

            if (*fd == -1) {
                *fd = one;

            } else {
                (void) close(one);
            }
        }
    }

    return n;
}
