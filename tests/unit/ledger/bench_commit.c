/* SPDX-License-Identifier: Apache-2.0 */
/* Calls per second of the ledger alone, both records durable: a begin and an end each, with so many callers waiting.
 * The test plays everyone else as cheaply as it can; a raw write+fdatasync loop of the same minute stands beside it. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

enum { SECONDS = 3 };
static struct wire_frame frame;

static void answer_broker(struct rig *rig)
{
    while (wire_take(rig->broker, &frame) == WIRE_FRAME) {
        const struct msg_head *head = (const struct msg_head *)frame.bytes;
        if (head->type != MSG_GATE_CLOSE) continue;
        struct msg_gate_closed gate = {.known = 1, .dials = 1, .bytes_up = 9, .committed = 1};
        memcpy(&gate.call, frame.bytes + sizeof *head, sizeof gate.call);
        rig_send(rig, rig->broker, rig->broker_generation, MSG_GATE_CLOSED, 0, &gate, sizeof gate, NULL, 0);
    }
}

static void sign_nothing(struct rig *rig)
{
    while (wire_take(rig->vault, &frame) == WIRE_FRAME) continue;
}

static unsigned serve_line(struct rig *rig, int i, const struct msg_begin *ask)
{
    unsigned ended = 0;
    while (wire_take(rig->front[i], &frame) == WIRE_FRAME) {
        const struct msg_head *head = (const struct msg_head *)frame.bytes;
        if (head->type == MSG_BEGUN) {
            const struct msg_begun *begun = (const struct msg_begun *)(frame.bytes + sizeof *head);
            if (begun->status.kind != ERR_NONE) fail_msg("%s", begun->status.text);
            struct msg_end end = rig_end_of(&begun->call, CLASS_OK);
            rig_send(rig, rig->front[i], rig->front_generation, MSG_END, 2, &end, sizeof end, NULL, 0);
        } else {
            ended++;
            rig_send(rig, rig->front[i], rig->front_generation, MSG_BEGIN, 1, ask, sizeof *ask, NULL, 0);
        }
    }
    return ended;
}

static double calls_per_second(struct rig *rig, unsigned callers)
{
    struct pollfd all[RIG_FRONTS + 3];
    unsigned ended = 0, lines = callers < RIG_FRONTS ? callers : RIG_FRONTS;
    for (unsigned i = 0; i < lines; i++) all[i] = (struct pollfd){.fd = rig->front[i], .events = POLLIN};
    all[lines] = (struct pollfd){.fd = rig->broker, .events = POLLIN};
    all[lines + 1] = (struct pollfd){.fd = rig->vault, .events = POLLIN};
    all[lines + 2] = (struct pollfd){.fd = rig->runner, .events = POLLIN};
    struct msg_begin ask = rig_ask(rig);
    ask.deadline += 100 * CLOCK_S;
    for (unsigned i = 0; i < callers; i++)
        rig_send(rig, rig->front[i % lines], rig->front_generation, MSG_BEGIN, 1, &ask, sizeof ask, NULL, 0);
    uint64_t from = clock_now();
    while (clock_now() - from < SECONDS * CLOCK_S) {
        poll(all, lines + 3, 1000);
        for (unsigned i = 0; i < lines; i++)
            if (all[i].revents) ended += serve_line(rig, (int)i, &ask);
        if (all[lines].revents) answer_broker(rig);
        if (all[lines + 1].revents) sign_nothing(rig);
        while (all[lines + 2].revents && wire_take(rig->runner, &frame) == WIRE_FRAME) continue;
    }
    return (double)ended * CLOCK_S / (double)(clock_now() - from);
}

static double flushes_per_second(struct rig *rig)
{
    static char row[600];
    unsigned count = 0;
    int fd = openat(rig->data, "raw", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    uint64_t from = clock_now();
    for (; clock_now() - from < CLOCK_S; count++) {
        assert_int_equal(write(fd, row, sizeof row), sizeof row);
        assert_int_equal(fdatasync(fd), 0);
    }
    close(fd);
    return (double)count * CLOCK_S / (double)(clock_now() - from);
}

/* Processor time of the ledgers that have ended. */
static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

int main(int count, char **arguments)
{
    static const unsigned callers[] = {1, 16, 256};
    ledger_path = count > 1 ? arguments[1] : "";
    for (size_t i = 0; i < sizeof callers / sizeof *callers; i++) {
        struct rig rig;
        rig_init(&rig, NULL);
        rig_start(&rig, true);
        double raw = flushes_per_second(&rig), calls = calls_per_second(&rig, callers[i]);
        double before = cpu_us();
        rig_clear(&rig);
        printf("%3u callers: %6.0f calls/s, two records each; %3.0f us of processor a call; raw write+fdatasync, one "
               "writer: %6.0f/s; ratio %.2f\n",
               callers[i], calls, (cpu_us() - before) / (calls * SECONDS), raw, calls / raw);
    }
    return 0;
}
