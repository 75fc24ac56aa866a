/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that sends frames of any length with any number of descriptors: each is taken whole or thrown away, the next
 * one is not shifted, and no descriptor stays behind. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wire.h"
#include "fuzz.h"

enum { FDS_MOST = 40, STEP = 4 };

static int lowest_free(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

/* One frame from four bytes of head: length (three times as long as it says where the high bit is set), descriptors,
 * what to fill it with. false: the line is full. */
static int send_one(int line, const uint8_t head[STEP], unsigned char *body)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * FDS_MOST)] = {0};
    size_t length = ((size_t)head[0] << 8 | head[1]) * (head[3] & 0x80 ? 3 : 1) + 1;
    int count = head[2] % FDS_MOST, fd = STDERR_FILENO;
    struct iovec piece = {body, length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    memset(body, head[3], length);
    if (count) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        for (int i = 0; i < count; i++) memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof fd, &fd, sizeof fd);
    }
    if (sendmsg(line, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return -1;
    return length <= WIRE_MAX && count <= WIRE_FDS;
}

static void take_one(int line, struct wire_frame *frame, int fits, const uint8_t head[STEP])
{
    enum wire_got got = wire_take(line, frame);
    MUST(got == (fits ? WIRE_FRAME : WIRE_BAD));
    if (got == WIRE_BAD) {
        MUST(frame->fd_count == 0);
        return;
    }
    MUST(frame->fd_count == head[2] % FDS_MOST);
    MUST(frame->bytes[0] == head[3] && frame->bytes[frame->length - 1] == head[3]);
    wire_drop(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct wire_frame frame;
    static unsigned char body[3 * (UINT16_MAX + 1) + 1];
    int ends[2], before = lowest_free();
    struct err err;
    MUST(wire_pair(ends, &err));
    for (; length >= STEP; bytes += STEP, length -= STEP) {
        int fits = send_one(ends[0], bytes, body);
        if (fits >= 0) take_one(ends[1], &frame, fits, bytes);
    }
    MUST(wire_take(ends[1], &frame) == WIRE_AGAIN);
    close(ends[0]);
    MUST(wire_take(ends[1], &frame) == WIRE_GONE);
    close(ends[1]);
    MUST(lowest_free() == before);
    return 0;
}
