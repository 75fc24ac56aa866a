/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and descriptors between roles: one SOCK_SEQPACKET message is one frame, so a malformed frame cannot
 * shift the next one. Between front and worker, streams carry length-prefixed frames (sandbox/frames.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "err.h"

enum {
    WIRE_MAX = 64 * 1024, /* bytes of one frame, head included */
    WIRE_FDS = 8          /* descriptors that one frame may carry */
};

/* What came in. The descriptors belong to whoever holds the frame: take_fd() what you keep, then wire_drop(). */
struct wire_frame {
    size_t length;
    int fd_count;
    int fds[WIRE_FDS];
    _Alignas(16) unsigned char bytes[WIRE_MAX];
};

enum wire_got {
    WIRE_FRAME, /* a whole frame with all its descriptors */
    WIRE_AGAIN, /* nothing there */
    WIRE_BAD,   /* oversize, or more descriptors than allowed: thrown away, the line goes on */
    WIRE_GONE   /* the other end is closed */
};

/* A connected pair; both ends close-on-exec and non-blocking. */
bool wire_pair(int ends[2], struct err *err);

/* Sends one frame from several pieces, with descriptors (which stay the caller's). Never blocks, no SIGPIPE.
 * Returns 0, or the errno: EAGAIN when the other side's queue is full, EPIPE when it is gone. */
int wire_send(int line, const struct iovec *pieces, int piece_count, const int *fds, int fd_count);

/* Takes the next frame. Never blocks. Sets frame->fd_count even on WIRE_BAD (to 0). */
enum wire_got wire_take(int line, struct wire_frame *frame);

/* Waits for the line to become readable until the deadline (clock.h). false: the deadline passed. */
bool wire_wait(int line, uint64_t deadline);

/* Closes the descriptors that nobody took. */
void wire_drop(struct wire_frame *frame);

/* Streams: exactly count bytes or false (end of file, error, deadline); the descriptor must be non-blocking. */
bool wire_read_all(int fd, void *bytes, size_t count, uint64_t deadline, struct err *err);
bool wire_write_all(int fd, const void *bytes, size_t count, uint64_t deadline, struct err *err);
