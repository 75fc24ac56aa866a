/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and descriptors over a line, as a well-behaved and as a hostile peer sends them. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/wire.h"
#include "unit.h"

struct line {
    int ends[2];
    struct wire_frame frame;
};

static int open_line(void **state)
{
    struct err err;
    struct line *line = calloc(1, sizeof *line);
    if (!line || !wire_pair(line->ends, &err)) return -1;
    *state = line;
    return 0;
}

static int close_line(void **state)
{
    struct line *line = *state;
    close_fd(&line->ends[0]);
    close_fd(&line->ends[1]);
    free(line);
    return 0;
}

/* Descriptors that this process has open. */
static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int send_bytes(int line, const void *bytes, size_t count, const int *fds, int fd_count)
{
    struct iovec piece = {(void *)bytes, count};
    return wire_send(line, &piece, 1, fds, fd_count);
}

/* What a peer may do that does not use our own sender: any number of descriptors in one frame. */
static void send_many_fds(int line, int fd, int count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 64)] = {0};
    struct iovec piece = {"x", 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control};
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    for (int i = 0; i < count; i++) memcpy(CMSG_DATA(head) + (size_t)i * sizeof fd, &fd, sizeof fd);
    assert_int_equal(sendmsg(line, &message, MSG_NOSIGNAL), 1);
}

static void frames_keep_their_edges(void **state)
{
    struct line *line = *state;
    struct iovec pieces[] = {{"one ", 4}, {"", 0}, {"frame", 5}};
    assert_int_equal(wire_send(line->ends[0], pieces, 3, NULL, 0), 0);
    assert_int_equal(send_bytes(line->ends[0], "next", 4, NULL, 0), 0);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_int_equal(line->frame.length, 9);
    assert_memory_equal(line->frame.bytes, "one frame", 9);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_memory_equal(line->frame.bytes, "next", 4);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_AGAIN);
}

static void largest_frame_passes_and_a_larger_one_is_thrown_away(void **state)
{
    struct line *line = *state;
    char *bytes = calloc(1, WIRE_MAX + 1);
    assert_int_equal(send_bytes(line->ends[0], bytes, WIRE_MAX, NULL, 0), 0);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_int_equal(line->frame.length, WIRE_MAX);
    assert_int_equal(send_bytes(line->ends[0], bytes, WIRE_MAX + 1, NULL, 0), 0);
    assert_int_equal(send_bytes(line->ends[0], "ok", 2, NULL, 0), 0);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_BAD);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_memory_equal(line->frame.bytes, "ok", 2);
    free(bytes);
}

static void descriptors_come_close_on_exec(void **state)
{
    struct line *line = *state;
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(send_bytes(line->ends[0], "fd", 2, &pipe_ends[1], 1), 0);
    close(pipe_ends[1]);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_int_equal(line->frame.fd_count, 1);
    assert_int_equal(fcntl(line->frame.fds[0], F_GETFD), FD_CLOEXEC);
    FD_AUTO mine = take_fd(&line->frame.fds[0]);
    wire_drop(&line->frame);
    assert_int_equal(write(mine, "!", 1), 1);
    char got = 0;
    assert_int_equal(read(pipe_ends[0], &got, 1), 1);
    assert_int_equal(got, '!');
    close(pipe_ends[0]);
}

static void surplus_descriptors_do_not_leak(void **state)
{
    static const int counts[] = {WIRE_FDS + 1, WIRE_FDS + 2, 20, 64};
    struct line *line = *state;
    int before = open_fds();
    for (size_t i = 0; i < COUNT(counts); i++) {
        send_many_fds(line->ends[0], STDERR_FILENO, counts[i]);
        assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_BAD);
        assert_int_equal(line->frame.fd_count, 0);
    }
    send_many_fds(line->ends[0], STDERR_FILENO, WIRE_FDS);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_int_equal(line->frame.fd_count, WIRE_FDS);
    wire_drop(&line->frame);
    assert_int_equal(open_fds(), before);
}

static void oversize_frame_with_descriptors_does_not_leak(void **state)
{
    struct line *line = *state;
    char *bytes = calloc(1, WIRE_MAX + 1);
    int before = open_fds(), fds[2] = {STDERR_FILENO, STDERR_FILENO};
    assert_int_equal(send_bytes(line->ends[0], bytes, WIRE_MAX + 1, fds, 2), 0);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_BAD);
    assert_int_equal(open_fds(), before);
    free(bytes);
}

static void own_sender_refuses_too_many_descriptors(void **state)
{
    struct line *line = *state;
    int fds[WIRE_FDS + 1] = {0};
    assert_int_equal(send_bytes(line->ends[0], "x", 1, fds, WIRE_FDS + 1), EINVAL);
}

static void full_line_says_so_and_never_blocks(void **state)
{
    struct line *line = *state;
    char bytes[4096] = {0};
    int sent = 0, result = 0;
    while ((result = send_bytes(line->ends[0], bytes, sizeof bytes, NULL, 0)) == 0) sent++;
    assert_int_equal(result, EAGAIN);
    assert_true(sent > 0);
    for (int i = 0; i < sent; i++) assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_AGAIN);
}

static void closed_line_is_gone(void **state)
{
    struct line *line = *state;
    close_fd(&line->ends[0]);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_GONE);
    assert_int_equal(send_bytes(line->ends[1], "x", 1, NULL, 0), EPIPE);
}

/* A peer that closes with something unread resets the line; what it said before is not lost by that. */
static void last_words_outlive_a_reset(void **state)
{
    struct line *line = *state;
    assert_int_equal(send_bytes(line->ends[1], "unread", 6, NULL, 0), 0);
    assert_int_equal(send_bytes(line->ends[0], "last words", 10, NULL, 0), 0);
    close_fd(&line->ends[0]);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_FRAME);
    assert_memory_equal(line->frame.bytes, "last words", 10);
    assert_int_equal(wire_take(line->ends[1], &line->frame), WIRE_GONE);
}

static void waiting_ends_at_the_deadline(void **state)
{
    struct line *line = *state;
    assert_false(wire_wait(line->ends[1], clock_now()));
    assert_false(wire_wait(line->ends[1], clock_now() + CLOCK_MS));
    assert_int_equal(send_bytes(line->ends[0], "x", 1, NULL, 0), 0);
    assert_true(wire_wait(line->ends[1], clock_now() + CLOCK_S));
}

static void streams_read_exactly_or_not_at_all(void **state)
{
    int ends[2];
    char got[6] = "";
    struct err err;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(wire_write_all(ends[1], "hello", 5, clock_now() + CLOCK_S, &err));
    assert_true(wire_read_all(ends[0], got, 5, clock_now() + CLOCK_S, &err));
    assert_string_equal(got, "hello");
    assert_false(wire_read_all(ends[0], got, 1, clock_now() + CLOCK_MS, &err));
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_true(wire_write_all(ends[1], "he", 2, clock_now() + CLOCK_S, &err));
    close(ends[1]);
    assert_false(wire_read_all(ends[0], got, 5, clock_now() + CLOCK_S, &err));
    assert_int_equal(err.kind, ERR_CRASHED);
    close(ends[0]);
}

static void streams_write_until_the_deadline(void **state)
{
    int ends[2];
    struct err err;
    static char much[1 << 20];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_false(wire_write_all(ends[1], much, sizeof much, clock_now() + CLOCK_MS, &err));
    assert_int_equal(err.kind, ERR_TIMEOUT);
    close(ends[0]);
    close(ends[1]);
}

#define WITH_LINE(test) cmocka_unit_test_setup_teardown(test, open_line, close_line)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LINE(frames_keep_their_edges),
        WITH_LINE(largest_frame_passes_and_a_larger_one_is_thrown_away),
        WITH_LINE(descriptors_come_close_on_exec),
        WITH_LINE(surplus_descriptors_do_not_leak),
        WITH_LINE(oversize_frame_with_descriptors_does_not_leak),
        WITH_LINE(own_sender_refuses_too_many_descriptors),
        WITH_LINE(full_line_says_so_and_never_blocks),
        WITH_LINE(closed_line_is_gone),
        WITH_LINE(last_words_outlive_a_reset),
        WITH_LINE(waiting_ends_at_the_deadline),
        cmocka_unit_test(streams_read_exactly_or_not_at_all),
        cmocka_unit_test(streams_write_until_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
