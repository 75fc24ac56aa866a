/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed lines against a played ledger: answers, stale and wrong frames, death and return. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "runtime/front/lines.h"

static struct lines lines;
static int ends[4]; /* the peer's */
static uint32_t generation;

static void new_line(unsigned index)
{
    int pair[2];
    struct err err;
    assert_true(wire_pair(pair, &err));
    lines_put(&lines, index, pair[0], ++generation);
    ends[index] = pair[1];
}

static int set_up(void **state)
{
    lines_init(&lines, ROLE_FRONT, ROLE_LEDGER);
    for (unsigned i = 0; i < 2; i++) new_line(i);
    return 0;
}

static int tear_down(void **state)
{
    lines_close(&lines);
    for (unsigned i = 0; i < 4; i++)
        if (ends[i] > 0) close(ends[i]), ends[i] = -1;
    return 0;
}

static uint64_t soon(unsigned ms)
{
    return clock_now() + ms * CLOCK_MS;
}

/* Sends an answer of that shape from the peer's end. */
static void send_frame(int fd, unsigned type, uint32_t of_generation, uint32_t seq, size_t length)
{
    unsigned char body[4096] = {0};
    struct msg_head head = {.type = (uint16_t)type, .generation = of_generation, .seq = seq};
    struct iovec pieces[2] = {{&head, sizeof head}, {body, length}};
    assert_int_equal(wire_send(fd, pieces, 2, NULL, 0), 0);
}

/* A peer on a thread: for one question, sends rubbish, then the right answer. */
static void *odd_peer(void *context)
{
    int fd = *(int *)context, extra[2];
    static struct wire_frame frame;
    struct msg_head head;
    struct err err;
    assert_true(wire_wait(fd, soon(10000)));
    assert_int_equal(wire_take(fd, &frame), WIRE_FRAME);
    memcpy(&head, frame.bytes, sizeof head);
    send_frame(fd, MSG_ENDED, head.generation, head.seq - 1, sizeof(struct msg_ended)); /* of a former borrower */
    send_frame(fd, MSG_ENDED, head.generation + 1, head.seq, sizeof(struct msg_ended)); /* of another generation */
    send_frame(fd, MSG_ENDED, head.generation, head.seq, 3);                            /* too short */
    send_frame(fd, MSG_TAKEN, head.generation, head.seq, sizeof(struct msg_taken));     /* not from a ledger */
    send_frame(fd, MSG_BEGUN, head.generation, head.seq, sizeof(struct msg_begun));     /* not what was asked */
    send_frame(fd, 9999, head.generation, head.seq, 8);
    assert_int_equal(write(fd, "x", 1), 1); /* not even a head */
    assert_true(wire_pair(extra, &err));
    struct msg_head with = {.type = MSG_ENDED, .generation = head.generation, .seq = head.seq};
    struct msg_ended ended = {0};
    struct iovec pieces[2] = {{&with, sizeof with}, {&ended, sizeof ended}};
    assert_int_equal(wire_send(fd, pieces, 2, extra, 2), 0); /* descriptors that nobody wants */
    close(extra[0]);
    close(extra[1]);
    send_frame(fd, MSG_ENDED, head.generation, head.seq, sizeof(struct msg_ended));
    return NULL;
}

static struct question an_end(const struct msg_end *end, unsigned ms)
{
    return (struct question){
        .type = MSG_END, .answer = MSG_ENDED, .body = end, .length = sizeof *end, .deadline = soon(ms)};
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct pollfd one = {.fd = fd};
        count += poll(&one, 1, 0) >= 0 && !(one.revents & POLLNVAL);
    }
    return count;
}

static void test_only_the_right_answer(void **state)
{
    pthread_t peer;
    struct msg_end end = {0};
    struct err err = {0};
    struct reply_frame reply;
    unsigned before = open_fds();
    struct line *line = line_borrow(&lines, soon(1000), &err);
    struct question question = an_end(&end, 10000);
    pthread_create(&peer, NULL, odd_peer, &ends[line - lines.slots]);
    assert_true(line_ask(line, &question, &reply, &err));
    assert_int_equal(reply.head.type, MSG_ENDED);
    pthread_join(peer, NULL);
    line_return(line);
    assert_int_equal(lines.late_frames, 1);
    assert_int_equal(lines.bad_frames, 7);
    assert_int_equal(open_fds(), before); /* the stuffed descriptors are closed */
}

static void test_silence_ends_at_the_deadline_and_the_late_answer_is_dropped(void **state)
{
    struct msg_end end = {0};
    struct err err = {0};
    struct reply_frame reply;
    static struct wire_frame frame;
    struct msg_head head;
    struct line *line = line_borrow(&lines, soon(1000), &err);
    int fd = ends[line - lines.slots];
    struct question question = an_end(&end, 30);
    assert_false(line_ask(line, &question, &reply, &err));
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    line_return(line);

    assert_int_equal(wire_take(fd, &frame), WIRE_FRAME);
    memcpy(&head, frame.bytes, sizeof head);
    send_frame(fd, MSG_ENDED, head.generation, head.seq, sizeof(struct msg_ended));
    line = line_borrow(&lines, soon(1000), &err);
    assert_int_equal(ends[line - lines.slots], fd);
    question = an_end(&end, 30);
    assert_false(line_ask(line, &question, &reply, &err)); /* not taken for the answer to this one */
    assert_int_equal(lines.late_frames, 1);
    line_return(line);
}

static void test_death_retires_the_line(void **state)
{
    struct msg_end end = {0};
    struct err err = {0};
    struct reply_frame reply;
    close_fd(&ends[0]);
    close_fd(&ends[1]);
    for (int i = 0; i < 2; i++) {
        struct line *line = line_borrow(&lines, soon(1000), &err);
        assert_non_null(line);
        struct question question = an_end(&end, 10000);
        assert_false(line_ask(line, &question, &reply, &err));
        assert_int_equal(err.kind, ERR_UNAVAILABLE);
        line_return(line);
    }
    assert_int_equal(lines_alive(&lines), 0);
    assert_null(line_borrow(&lines, soon(60000), &err)); /* at once, not after a minute */
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    new_line(1);
    assert_true(lines_await(&lines, soon(10)));
    struct line *line = line_borrow(&lines, soon(10), &err);
    assert_non_null(line);
    line_return(line);
}

static void *wait_for_answer(void *context)
{
    struct msg_end end = {0};
    struct err err = {0};
    struct reply_frame reply;
    struct question question = an_end(&end, 60000);
    assert_false(line_ask(context, &question, &reply, &err));
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    return NULL;
}

/* A replacement that comes while a thread waits on the old line: the thread is let go, the next gets the new one. */
static void test_replaced_while_lent(void **state)
{
    pthread_t waiter;
    struct err err = {0};
    static struct wire_frame frame;
    struct line *line = line_borrow(&lines, soon(1000), &err);
    unsigned index = (unsigned)(line - lines.slots);
    uint32_t old = line->generation, epoch = line->epoch;
    int old_end = ends[index];
    pthread_create(&waiter, NULL, wait_for_answer, line);
    assert_true(wire_wait(old_end, soon(10000)));
    new_line(index);
    pthread_join(waiter, NULL);
    line_return(line);
    assert_int_equal(wire_take(old_end, &frame), WIRE_FRAME);
    close(old_end);
    line = line_borrow(&lines, soon(1000), &err);
    assert_int_equal(line - lines.slots, index);
    assert_int_not_equal(line->generation, old);
    assert_int_not_equal(line->epoch, epoch); /* what the old peer said of anybody no longer counts */
    line_return(line);
}

static void test_all_lent(void **state)
{
    struct err err = {0};
    struct line *first = line_borrow(&lines, soon(1000), &err), *second = line_borrow(&lines, soon(1000), &err);
    assert_true(first && second && first != second);
    assert_null(line_borrow(&lines, soon(20), &err));
    assert_int_equal(err.kind, ERR_BUSY);
    line_return(first);
    first = line_borrow(&lines, soon(20), &err);
    assert_non_null(first);
    line_return(first);
    line_return(second);
}

static void test_index_out_of_range(void **state)
{
    int pair[2];
    struct err err;
    assert_true(wire_pair(pair, &err));
    lines_put(&lines, LINES_MOST, pair[0], 1);
    assert_int_equal(lines_alive(&lines), 2);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_the_right_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence_ends_at_the_deadline_and_the_late_answer_is_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_death_retires_the_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replaced_while_lent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_lent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_index_out_of_range, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
