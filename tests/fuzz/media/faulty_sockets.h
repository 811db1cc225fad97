/* For the build that is fuzzed: sockets that are full, refuse joined packets, or take only a part of what they are given.
   Included before everything else, in place of the two functions that send. */
#ifndef TOLLROOM_FAULTY_SOCKETS
#define TOLLROOM_FAULTY_SOCKETS
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static unsigned faulty_state = 12345;

static int faulty_chance(unsigned of)
{
    faulty_state = faulty_state * 1103515245u + 12345u;
    return (faulty_state >> 16) % of == 0;
}

/* 0: no fault; else errno is set. Every byte that would be sent is read, so that the sanitizer sees it. */
static int faulty_message(const struct msghdr *message)
{
    volatile unsigned char sum = 0;
    for (size_t part = 0; part < message->msg_iovlen; part++)
        for (size_t at = 0; at < message->msg_iov[part].iov_len; at++)
            sum += ((unsigned char *)message->msg_iov[part].iov_base)[at];
    for (size_t at = 0; at < message->msg_namelen; at++)
        sum += ((unsigned char *)message->msg_name)[at];
    if (faulty_chance(12))
        return errno = EAGAIN;
    if (faulty_chance(200))
        return errno = message->msg_controllen ? EINVAL : EPERM;
    return faulty_chance(100) ? (errno = EINTR) : 0;
}

static ssize_t faulty_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return faulty_message(message) ? -1 : sendmsg(fd, message, flags);
}

static int faulty_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned at = 0; at < count; at++)
        if (faulty_message(&messages[at].msg_hdr)) {
            int problem = errno;
            if (at && sendmmsg(fd, messages, at, flags) < 0)
                return -1;
            errno = problem;
            return at ? (int)at : -1;
        }
    return sendmmsg(fd, messages, count, flags);
}

#define sendmsg faulty_sendmsg
#define sendmmsg faulty_sendmmsg
#endif
