/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever comes over a line, the vault stays: every message number from every peer, with random bytes of every length,
 * descriptors where none belong, and true messages with bytes turned over. */
#include "harness.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

static uint8_t noise[WIRE_MAX];
static unsigned seed = 20;

static void fill(size_t length)
{
    for (size_t i = 0; i < length; i++) noise[i] = (uint8_t)rand_r(&seed);
}

/* Takes and throws away what the vault answered, so that its queue never fills. */
static void drain(struct harness *h)
{
    int lines[] = {h->control, h->ledger, h->runner};
    for (size_t i = 0; i < 3; i++)
        while (wire_take(lines[i], &h->frame) == WIRE_FRAME) wire_drop(&h->frame);
}

static void throw(struct harness * h, int line, unsigned type, size_t length, const int *fds, int count)
{
    struct msg_head head = {.type = (uint16_t)type, .seq = 1};
    head.generation = line == h->ledger ? h->ledger_generation : line == h->runner ? h->runner_generation : 0;
    struct iovec pieces[2] = {{&head, sizeof head}, {noise, length}};
    wire_send(line, pieces, length ? 2 : 1, fds, count);
}

/* Asks and waits for the answer; what was said to noise comes first and is thrown away. */
static void ask(struct harness *h, uint32_t number)
{
    uint64_t until = clock_now() + PATIENCE_S * CLOCK_S;
    struct msg_workspace_key body = {0};
    uint32_t seq = 0;
    harness_send(h, h->ledger, MSG_WORKSPACE_KEY, number, &body, sizeof body, NULL, 0);
    while (seq != number) {
        assert_true(wire_wait(h->ledger, until));
        if (wire_take(h->ledger, &h->frame) == WIRE_FRAME) seq = ((struct msg_head *)(void *)h->frame.bytes)->seq;
    }
}

/* Noise on the runner's line may be read after a question on the ledger's, and brings incidents of its own: asks until
 * nothing is unread there, then once more for what was still being answered. */
static void settle(struct harness *h)
{
    int unread = 0;
    uint32_t number = 0xabc000;
    do {
        ask(h, number++);
        assert_int_equal(ioctl(h->runner, SIOCOUTQ, &unread), 0);
    } while (unread > 0);
    ask(h, number);
}

/* Still there, still right: a whole release works. */
static void assert_alive(struct harness *h)
{
    static struct stored one;
    static struct msg_order order;
    static _Alignas(8) char bytes[FRAME_SECRET_MAX];
    settle(h);
    harness_workspace(h, &one);
    harness_store(h, &one, "");
    make_order(&one, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 0x7fffffff);
    int pipe = send_half(h, &half);
    assert_true(read_secret(pipe, bytes) > 0);
    close(pipe);
}

/* The control line too, but for the messages that the vault must believe its parent. */
static void every_number(void **state)
{
    struct harness *h = *state;
    for (unsigned type = 0; type < MSG_TYPES + 3; type++) {
        const struct msg_row *row = msg_row(type);
        size_t exact = row ? row->least : 40;
        size_t lengths[] = {0, 1, exact ? exact - 1 : 0, exact, exact + 1, 9000, WIRE_MAX - sizeof(struct msg_head)};
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            fill(lengths[i]);
            throw(h, h->ledger, type, lengths[i], NULL, 0);
            throw(h, h->runner, type, lengths[i], NULL, 0);
            if (type == CTL_WITNESSED) throw(h, h->control, type, lengths[i], NULL, 0);
        }
        drain(h);
    }
    assert_alive(h);
}

static void every_length(void **state)
{
    static const unsigned types[] = {MSG_ORDER_CANCEL, MSG_WORKSPACE_KEY, MSG_OPEN_KEY, MSG_SIGN,
                                     MSG_SUBJECT_KEYS, MSG_SUBJECT_OPEN,  MSG_HALF};
    struct harness *h = *state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int line = types[i] == MSG_HALF ? h->runner : h->ledger;
        for (size_t length = 0; length <= msg_row(types[i])->most + 2; length += 1 + length / 40) {
            fill(length);
            throw(h, line, types[i], length, NULL, 0);
            drain(h);
        }
    }
    assert_alive(h);
}

/* A head alone, less than a head, more than a frame may be, old generations. */
static void no_frames(void **state)
{
    struct harness *h = *state;
    fill(sizeof noise);
    for (size_t length = 1; length < 40; length++) {
        struct iovec piece = {noise, length};
        wire_send(h->ledger, &piece, 1, NULL, 0);
        wire_send(h->runner, &piece, 1, NULL, 0);
    }
    static uint8_t large[WIRE_MAX + 100];
    struct iovec piece = {large, sizeof large};
    wire_send(h->ledger, &piece, 1, NULL, 0);
    wire_send(h->runner, &piece, 1, NULL, 0);
    assert_alive(h);
}

/* Descriptors that nobody asked for must not pile up: more than the process may hold are sent. */
static void descriptors(void **state)
{
    struct harness *h = *state;
    int fds[WIRE_FDS];
    for (int i = 0; i < WIRE_FDS; i++) fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        fill(sizeof(struct msg_half));
        throw(h, h->runner, MSG_HALF, sizeof(struct msg_half), fds, 1 + i % WIRE_FDS);
        throw(h, h->ledger, i % 2 ? MSG_ORDER_CANCEL : MSG_SIGN, 20, fds, WIRE_FDS);
        if (i % 16 == 0) drain(h);
    }
    for (int i = 0; i < WIRE_FDS; i++) close(fds[i]);
    assert_alive(h);
}

/* True orders, halves and submissions with a few bytes turned over. */
static void turned_over(void **state)
{
    static struct stored one;
    static struct msg_order order;
    static struct submission submission;
    static struct msg_seal request;
    struct harness *h = *state;
    harness_workspace(h, &one);
    harness_store(h, &one, "");
    for (int i = 0; i < 400; i++) {
        make_order(&one, &order);
        struct msg_half half = half_for(&order, (uint32_t)i);
        for (int j = 0; j < 3; j++) {
            ((uint8_t *)&order)[(unsigned)rand_r(&seed) % sizeof order] ^= (uint8_t)rand_r(&seed);
            if (i % 2) ((uint8_t *)&half)[(unsigned)rand_r(&seed) % sizeof half] ^= (uint8_t)rand_r(&seed);
        }
        send_order(h, &order);
        close(send_half(h, &half));
        harness_submission(&submission);
        ((uint8_t *)&submission)[(unsigned)rand_r(&seed) % sizeof submission] ^= (uint8_t)rand_r(&seed);
        if (!name_in(submission.workspace, NAME_BYTES) || !name_in(submission.credential, NAME_BYTES) ||
            !name_in(submission.connector, NAME_BYTES))
            continue;
        harness_seal_request(h, &one, &submission, &request);
        ((uint8_t *)&request)[(unsigned)rand_r(&seed) % sizeof request] ^= (uint8_t)rand_r(&seed);
        harness_send(h, h->ledger, MSG_SEAL, 3, &request, sizeof request, NULL, 0);
        drain(h);
    }
    assert_alive(h);
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(every_number), WITH_VAULT(every_length), WITH_VAULT(no_frames),
        WITH_VAULT(descriptors),  WITH_VAULT(turned_over),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
