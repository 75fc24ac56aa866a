/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and descriptors between roles, and exact reads and writes on streams. */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

bool wire_pair(int ends[2], struct err *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return err_sys(err, ERR_IO, "cannot make a line between two processes");
    int room = 4 * 1024 * 1024; /* the kernel lowers this to its own limit */
    for (int i = 0; i < 2; i++) setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return true;
}

int wire_send(int line, const struct iovec *pieces, int piece_count, const int *fds, int fd_count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)piece_count};

    if (fd_count > WIRE_FDS) return EINVAL;
    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * (size_t)fd_count);
    }
    for (;;) {
        if (sendmsg(line, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
        if (errno != EINTR) return errno;
    }
}

/* Collects every descriptor the kernel installed, also of a frame that is thrown away: none may leak. */
static int keep_fds(struct msghdr *message, struct wire_frame *frame)
{
    int surplus = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
            if (frame->fd_count < WIRE_FDS)
                frame->fds[frame->fd_count++] = fd;
            else
                close(fd), surplus++;
        }
    }
    return surplus;
}

enum wire_got wire_take(int line, struct wire_frame *frame)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec piece = {frame->bytes, sizeof frame->bytes};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

    frame->fd_count = 0;
    frame->length = 0;
    ssize_t got;
    /* ECONNRESET comes once, when the peer closed without reading everything, and before what it had said itself. */
    do got = recvmsg(line, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0) return errno == EAGAIN ? WIRE_AGAIN : WIRE_GONE;
    if (got == 0) return WIRE_GONE;

    int surplus = keep_fds(&message, frame);
    if (surplus || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        wire_drop(frame);
        return WIRE_BAD;
    }
    frame->length = (size_t)got;
    return WIRE_FRAME;
}

static bool wait_for(int fd, short events, uint64_t deadline)
{
    for (;;) {
        struct pollfd one = {.fd = fd, .events = events};
        int ready = poll(&one, 1, clock_left_ms(deadline));
        if (ready > 0) return true;
        if (ready == 0 || errno != EINTR) return false;
    }
}

bool wire_wait(int line, uint64_t deadline)
{
    return wait_for(line, POLLIN, deadline);
}

void wire_drop(struct wire_frame *frame)
{
    for (int i = 0; i < frame->fd_count; i++)
        if (frame->fds[i] >= 0) close(frame->fds[i]);
    frame->fd_count = 0;
}

bool wire_read_all(int fd, void *bytes, size_t count, uint64_t deadline, struct err *err)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = read(fd, (char *)bytes + done, count - done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            return err_set(err, ERR_CRASHED, "the other side closed before it had finished");
        else if (errno == EAGAIN && !wait_for(fd, POLLIN, deadline))
            return err_set(err, ERR_TIMEOUT, "nothing more came before the deadline");
        else if (errno != EAGAIN && errno != EINTR)
            return err_sys(err, ERR_IO, "reading failed");
    }
    return true;
}

bool wire_write_all(int fd, const void *bytes, size_t count, uint64_t deadline, struct err *err)
{
    for (size_t done = 0; done < count;) {
        ssize_t put = write(fd, (const char *)bytes + done, count - done);
        if (put >= 0)
            done += (size_t)put;
        else if (errno == EAGAIN && !wait_for(fd, POLLOUT, deadline))
            return err_set(err, ERR_TIMEOUT, "the other side took no more before the deadline");
        else if (errno != EAGAIN && errno != EINTR)
            return err_sys(err, ERR_CRASHED, "the other side is gone");
    }
    return true;
}
