/* SPDX-License-Identifier: Apache-2.0 */
/* Played attackers on the vault's two lines. A false runner gets at most one frame for each call that was ordered, and
 * none for another; a false ledger gets no field out under another name, workspace, version or audience than its own.
 */
#include "harness.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

enum { CALLS = 60, TRIES = 900, NUMBERS = 12 };

static unsigned seed = 7;
static struct msg_order orders[CALLS];
static unsigned frames[CALLS];
static int pipes[TRIES];
static _Alignas(8) char bytes[FRAME_SECRET_MAX];

static unsigned pick(unsigned below)
{
    return (unsigned)rand_r(&seed) % below;
}

/* ── a false runner ────────────────────────────────────────────────────────────────────────────────── */

/* Any call's id, right or nearly, any worker's number, either entry, with a pipe or claiming that there is one. */
static int false_half(struct harness *h)
{
    const struct msg_order *order = &orders[pick(CALLS)];
    struct msg_half half = half_for(order, pick(NUMBERS));
    half.keep = pick(2);
    half.deadline = clock_now() + 200 * CLOCK_MS;
    if (pick(4) == 0) memset(half.entry_digest, pick(2) ? 0xe1 : 0xe2, HASH_BYTES);
    if (pick(8) == 0) half.call.attempt += 1 + pick(2);
    if (pick(8) == 0) half.call.id[pick(ID_BYTES)] ^= (uint8_t)(1 + pick(255));
    if (pick(20) == 0) half.call.attempt = 0;
    if (pick(3) == 0) return send_half_number(h, &half), -1;
    return send_half(h, &half);
}

static void count_frames(int pipe)
{
    const struct frame_secret *frame = (const void *)bytes;
    ssize_t got;
    while ((got = read(pipe, bytes, sizeof bytes)) > 0) {
        assert_true((size_t)got >= sizeof *frame && frame->size == got);
        unsigned call = 0;
        while (call < CALLS && (memcmp(orders[call].call.id, frame->call_id, ID_BYTES) != 0 ||
                                orders[call].call.attempt != frame->attempt))
            call++;
        assert_true(call < CALLS); /* no frame for a call that the ledger did not order */
        assert_memory_equal(frame->input_digest, orders[call].input_digest, 32);
        frames[call]++;
    }
    close(pipe);
}

static void drain_ledger(struct harness *h)
{
    while (wire_take(h->ledger, &h->frame) == WIRE_FRAME) wire_drop(&h->frame);
}

/* One call as it should be, with a worker's number that nobody else takes. */
static void assert_handed_over(struct harness *h, struct stored *stored)
{
    struct msg_order order;
    make_order(stored, &order);
    struct msg_half half = half_for(&order, NUMBERS);
    send_order(h, &order);
    int pipe = send_half(h, &half);
    assert_true(read_secret(pipe, bytes) > 0);
    close(pipe);
}

static void false_runner(void **state)
{
    struct harness *h = *state;
    struct stored stored[3];
    harness_workspace(h, &stored[0]);
    stored[1] = stored[2] = stored[0];
    for (int i = 0; i < 3; i++) harness_store(h, &stored[i], "");
    for (int i = 0; i < CALLS; i++) {
        make_order(&stored[pick(3)], &orders[i]);
        memset(orders[i].entry_digest, pick(2) ? 0xe1 : 0xe2, HASH_BYTES);
    }
    for (int i = 0; i < TRIES; i++) {
        if (i % (TRIES / CALLS) == 0) send_order(h, &orders[i / (TRIES / CALLS)]);
        if (i % 50 == 49) send_order(h, &orders[pick((unsigned)(i / (TRIES / CALLS)))]); /* and some again */
        pipes[i] = false_half(h);
        if (i % 8 == 0) drain_ledger(h);
    }
    assert_handed_over(h, &stored[0]); /* the attack reached the place where frames are written, and broke nothing */
    harness_new_runner(h);
    struct msg_half last = half_for(&orders[0], 1); /* taken after everything of the old line is closed */
    last.call.attempt = 77;
    last.deadline = clock_now() + 10 * CLOCK_MS;
    int closed = send_half(h, &last);
    assert_true(pipe_closed(closed));
    close(closed);
    for (int i = 0; i < TRIES; i++)
        if (pipes[i] >= 0) count_frames(pipes[i]);
    for (int i = 0; i < CALLS; i++)
        if (frames[i] > 1) fail_msg("call %d was handed over %u times", i, frames[i]);
}

/* ── a false ledger ────────────────────────────────────────────────────────────────────────────────── */

/* Two workspaces, four credentials whose fields hold their own name: whatever pieces a false ledger puts together, a
 * field comes out only under everything that it was sealed under. */
static void seal_named(struct harness *h, struct stored *stored, unsigned number, const char *audience)
{
    struct submission submission;
    struct msg_seal request;
    struct err err = {0};
    char value[32];
    harness_submission(&submission);
    submission.field_count = 0;
    snprintf(value, sizeof value, "value-of-%u-user", number);
    assert_true(keys_add_field(&submission, "user", value, strlen(value), &err));
    snprintf(value, sizeof value, "value-of-%u-password", number);
    assert_true(keys_add_field(&submission, "password", value, strlen(value), &err));
    strcpy(submission.audience, audience);
    id_new(stored->credential);
    stored->version = number + 1;
    harness_seal_request(h, stored, &submission, &request);
    harness_send(h, h->ledger, MSG_SEAL, 2, &request, sizeof request, NULL, 0);
    stored->sealed = *(const struct msg_seal_answer *)harness_take(h, h->ledger, MSG_SEAL_ANSWER, NULL);
    assert_int_equal(stored->sealed.status.kind, ERR_NONE);
}

static void mix(struct msg_order *order, const struct stored *stored)
{
    const struct stored *other = &stored[pick(4)];
    switch (pick(8)) {
    case 0: memcpy(order->workspace, other->workspace, ID_BYTES); break;
    case 1: memcpy(order->credential, other->credential, ID_BYTES); break;
    case 2: order->version = other->version; break;
    case 3: order->workspace_key = other->keys.workspace_key; break;
    case 4: order->credential_key = other->sealed.credential_key; break;
    case 5: memcpy(order->audience_digest, other->sealed.audience_digest, HASH_BYTES); break;
    case 6: memcpy(order->bytes, other->sealed.bytes, sizeof order->bytes); break;
    default: strcpy(order->fields[0].name, "password"), strcpy(order->fields[1].name, "user");
    }
}

/* The credential that an order names as a whole, -1: pieces of several. */
static int meant(const struct msg_order *order, const struct stored *stored)
{
    for (int i = 0; i < 4; i++)
        if (memcmp(order->credential, stored[i].credential, ID_BYTES) == 0 && order->version == stored[i].version &&
            memcmp(order->workspace, stored[i].workspace, ID_BYTES) == 0 &&
            memcmp(order->audience_digest, stored[i].sealed.audience_digest, HASH_BYTES) == 0)
            return i;
    return -1;
}

static void false_ledger(void **state)
{
    struct harness *h = *state;
    static struct stored stored[4];
    static struct msg_order order;
    unsigned handed = 0;
    char value[32];
    harness_workspace(h, &stored[0]);
    harness_workspace(h, &stored[2]);
    stored[1] = stored[0];
    stored[3] = stored[2];
    for (unsigned i = 0; i < 4; i++) seal_named(h, &stored[i], i, i % 2 ? "mail.example.org\n" : "");
    for (int i = 0; i < 600; i++) {
        make_order(&stored[pick(4)], &order);
        for (unsigned times = pick(4); times; times--) mix(&order, stored);
        send_order(h, &order);
        struct msg_half half = half_for(&order, (uint32_t)i);
        int pipe = send_half(h, &half);
        harness_runner_drained_quiet(h);
        ssize_t got = read(pipe, bytes, sizeof bytes);
        close(pipe);
        if (got <= 0) continue;
        int who = meant(&order, stored);
        assert_true(who >= 0);
        handed++;
        snprintf(value, sizeof value, "value-of-%d-user", who);
        assert_string_equal(secret_field(bytes, "user"), value);
        snprintf(value, sizeof value, "value-of-%d-password", who);
        assert_string_equal(secret_field(bytes, "password"), value);
    }
    assert_true(handed > 100);
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {WITH_VAULT(false_runner), WITH_VAULT(false_ledger)};
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
