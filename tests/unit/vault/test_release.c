/* SPDX-License-Identifier: Apache-2.0 */
/* Release: a secret reaches exactly the pipe of the call that the ledger ordered it for, once. */
#include "harness.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static struct msg_order order, other;
static struct stored one, two;
static _Alignas(8) char bytes[FRAME_SECRET_MAX];

static void store_one(struct harness *h)
{
    harness_workspace(h, &one);
    harness_store(h, &one, "");
}

static void assert_frame(int pipe, const struct msg_order *sent)
{
    const struct frame_secret *frame = (const void *)bytes;
    assert_true(read_secret(pipe, bytes) > 0);
    assert_memory_equal(frame->call_id, sent->call.id, ID_BYTES);
    assert_int_equal(frame->attempt, sent->call.attempt);
    assert_int_equal(frame->action, sent->action);
    assert_memory_equal(frame->salt, sent->salt, 32);
    assert_memory_equal(frame->input_digest, sent->input_digest, 32);
}

static void assert_refused(struct harness *h, int pipe, enum incident_kind kind, const struct call_ref *call)
{
    assert_true(pipe_closed(pipe));
    harness_incident(h, kind, call);
    close(pipe);
}

/* ── the good way ──────────────────────────────────────────────────────────────────────────────────── */

static void order_then_half(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    send_order(h, &order);
    harness_barrier(h);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    assert_string_equal(secret_field(bytes, "user"), CANARY_USER);
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    assert_true(pipe_closed(pipe)); /* single use is the closed pipe */
    close(pipe);
    harness_ledger_silent(h);
}

static void half_then_order(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    harness_runner_drained(h);
    send_order(h, &order);
    assert_frame(pipe, &order);
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    assert_true(pipe_closed(pipe));
    close(pipe);
}

static void call_without_credential(void **state)
{
    struct harness *h = *state;
    make_order(NULL, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 1);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    assert_int_equal(((struct frame_secret *)(void *)bytes)->field_count, 0);
    assert_true(pipe_closed(pipe));
    close(pipe);
}

/* An action gets the fields that its order names, not the whole credential. */
static void only_ordered_fields(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    order.fields[0] = order.fields[1];
    order.field_count = 1;
    send_order(h, &order);
    struct msg_half half = half_for(&order, 1);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    assert_null(secret_field(bytes, "user"));
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    close(pipe);
}

static void largest_credential(void **state)
{
    struct harness *h = *state;
    struct submission submission;
    struct msg_seal request;
    struct err err;
    char value[sizeof submission.bytes / FRAME_FIELDS], name[NAME_BYTES];
    harness_workspace(h, &one);
    keys_submission(&submission);
    strcpy(submission.workspace, "default");
    strcpy(submission.credential, "main");
    strcpy(submission.connector, "email");
    for (int i = 0; i < FRAME_FIELDS; i++) {
        memset(value, 'a' + i, sizeof value);
        snprintf(name, sizeof name, "field%d", i);
        assert_true(keys_add_field(&submission, name, value, sizeof value, &err));
    }
    assert_false(keys_add_field(&submission, "more", "", 0, &err));
    id_new(one.credential);
    one.version = 1;
    harness_seal_request(h, &one, &submission, &request);
    harness_send(h, h->ledger, MSG_SEAL, 2, &request, sizeof request, NULL, 0);
    one.sealed = *(const struct msg_seal_answer *)harness_take(h, h->ledger, MSG_SEAL_ANSWER, NULL);
    assert_int_equal(one.sealed.status.kind, ERR_NONE);
    make_order(&one, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 1);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    assert_int_equal(strlen(secret_field(bytes, "field15")), sizeof value);
    close(pipe);
}

/* ── what must not be joined ───────────────────────────────────────────────────────────────────────── */

static void wrong_entry(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 7);
    half.entry_digest[31] ^= 1;
    assert_refused(h, send_half(h, &half), INCIDENT_DIGEST_MISMATCH, &order.call);
    /* The order is gone with it: the right half comes too late. */
    half = half_for(&order, 8);
    int pipe = send_half(h, &half);
    harness_runner_drained(h);
    assert_true(pipe_closed_now(pipe));
    close(pipe);
}

/* A half labelled with another call's id gets that call's frame or none; here that call was never ordered. */
static void other_calls_id(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 7);
    half.call.id[15] ^= 1;
    int wrong = send_half(h, &half);
    half = half_for(&order, 8);
    half.call.attempt = 2;
    int later = send_half(h, &half);
    half = half_for(&order, 9);
    int right = send_half(h, &half);
    assert_frame(right, &order);
    assert_true(pipe_closed(wrong)); /* after two seconds without an order */
    assert_true(pipe_closed(later));
    close(wrong);
    close(later);
    close(right);
}

static void order_twice(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    send_order(h, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    close(pipe);
    send_order(h, &order); /* replayed after its use */
    harness_barrier(h);
    half = half_for(&order, 8);
    pipe = send_half(h, &half);
    harness_runner_drained(h);
    assert_true(pipe_closed_now(pipe));
    close(pipe);
}

static void half_twice(void **state)
{
    struct harness *h = *state;
    make_order(NULL, &order);
    struct msg_half half = half_for(&order, 7);
    int first = send_half(h, &half);
    half.channel = 8;
    assert_refused(h, send_half(h, &half), INCIDENT_BAD_FRAME, &order.call);
    send_order(h, &order);
    assert_frame(first, &order);
    close(first);
}

static void cancelled(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    struct msg_order_cancel cancel = {.call = order.call};
    struct msg_half half = half_for(&order, 7);
    send_order(h, &order);
    harness_send(h, h->ledger, MSG_ORDER_CANCEL, 0, &cancel, sizeof cancel, NULL, 0);
    harness_barrier(h);
    int pipe = send_half(h, &half);
    assert_true(pipe_closed(pipe));
    close(pipe);

    make_order(&one, &order); /* the other way round: the half waits, the cancel closes it, an order finds nothing */
    cancel.call = order.call;
    half = half_for(&order, 8);
    pipe = send_half(h, &half);
    harness_runner_drained(h);
    harness_send(h, h->ledger, MSG_ORDER_CANCEL, 0, &cancel, sizeof cancel, NULL, 0);
    harness_barrier(h);
    assert_true(pipe_closed_now(pipe));
    close(pipe);
    send_order(h, &order); /* an order that comes after its cancel is none */
    harness_barrier(h);
    half = half_for(&order, 9);
    pipe = send_half(h, &half);
    harness_runner_drained(h);
    assert_true(pipe_closed_now(pipe));
    close(pipe);
}

static void after_the_deadline(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    order.deadline = clock_now() - 1; /* refused as it comes */
    send_order(h, &order);
    struct msg_half half = half_for(&order, 7);
    half.deadline = clock_now() + 30 * CLOCK_S;
    int pipe = send_half(h, &half);
    assert_true(pipe_closed(pipe));
    close(pipe);

    make_order(&one, &order); /* runs out while it waits */
    order.deadline = clock_now() + 50 * CLOCK_MS;
    send_order(h, &order);
    while (clock_now() <= order.deadline) harness_barrier(h);
    half = half_for(&order, 8);
    half.deadline = clock_now() + 30 * CLOCK_S;
    pipe = send_half(h, &half);
    assert_true(pipe_closed(pipe));
    close(pipe);
}

/* ── ciphertexts out of their place ────────────────────────────────────────────────────────────────── */

enum swap {
    SWAP_CREDENTIAL,
    SWAP_VERSION,
    SWAP_WORKSPACE,
    SWAP_AUDIENCE,
    SWAP_FIELD_NAMES,
    SWAP_FIELD_BYTES,
    SWAP_CREDENTIAL_KEY,
    SWAP_WORKSPACE_KEY,
    SWAP_ANSWER_SECRET,
    SWAP_BIT,
    SWAPS
};

static void do_swap(enum swap how)
{
    switch (how) {
    case SWAP_CREDENTIAL: memcpy(order.credential, two.credential, ID_BYTES); break;
    case SWAP_VERSION: order.version++; break;
    case SWAP_WORKSPACE: memcpy(order.workspace, two.workspace, ID_BYTES); break;
    case SWAP_AUDIENCE: memcpy(order.audience_digest, two.sealed.audience_digest, HASH_BYTES); break;
    case SWAP_FIELD_NAMES:
        memcpy(order.fields[0].name, one.sealed.fields[1].name, NAME_BYTES);
        memcpy(order.fields[1].name, one.sealed.fields[0].name, NAME_BYTES);
        break;
    case SWAP_FIELD_BYTES: memcpy(order.bytes, two.sealed.bytes, sizeof order.bytes); break;
    case SWAP_CREDENTIAL_KEY: order.credential_key = two.sealed.credential_key; break;
    case SWAP_WORKSPACE_KEY: order.workspace_key = two.keys.workspace_key; break;
    case SWAP_ANSWER_SECRET: order.credential_key = one.keys.answer_secret; break; /* a key of another purpose */
    case SWAP_BIT: order.bytes[order.fields[1].offset + 30] ^= 1; break;
    case SWAPS: break;
    }
}

static void swapped(void **state)
{
    struct harness *h = *state;
    store_one(h);
    harness_workspace(h, &two);
    harness_store(h, &two, "mail.example.org\n");
    for (int how = 0; how < SWAPS; how++) {
        make_order(&one, &order);
        do_swap((enum swap)how);
        send_order(h, &order);
        struct msg_half half = half_for(&order, (uint32_t)how);
        assert_refused(h, send_half(h, &half), INCIDENT_CREDENTIAL, &order.call);
    }
    make_order(&one, &order); /* and unswapped it opens */
    send_order(h, &order);
    struct msg_half half = half_for(&order, 99);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    close(pipe);
}

/* ── orders and halves that are none ───────────────────────────────────────────────────────────────── */

static void unsound_orders(void **state)
{
    struct harness *h = *state;
    store_one(h);
    for (int how = 0; how < 9; how++) {
        make_order(&one, &order);
        struct msg_half half = half_for(&order, (uint32_t)how);
        half.deadline = clock_now() + 300 * CLOCK_MS;
        if (how == 0) order.field_count = FRAME_FIELDS + 1;
        if (how == 1) order.fields[1].offset = SEALED_MAX + 1;
        if (how == 2) order.fields[1].length = UINT32_MAX;
        if (how == 3) order.fields[1].offset = SEALED_MAX - 1;
        if (how == 4) memset(order.fields[0].name, 'a', NAME_BYTES); /* no NUL */
        if (how == 5) strcpy(order.fields[0].name, order.fields[1].name);
        if (how == 6) order.version = 0; /* fields without a credential */
        if (how == 7) order.deadline = UINT64_MAX;
        if (how == 8) strcpy(order.fields[0].name, "../user");
        send_order(h, &order);
        int pipe = send_half(h, &half);
        assert_true(pipe_closed(pipe));
        close(pipe);
    }
    harness_ledger_silent(h);
}

/* What is not an empty, non-blocking write end of a pipe gets no secret. */
static void unsound_pipes(void **state)
{
    struct harness *h = *state;
    store_one(h);
    for (int how = 0; how < 5; how++) {
        int ends[2];
        make_order(&one, &order);
        send_order(h, &order);
        harness_barrier(h);
        struct msg_half half = half_for(&order, (uint32_t)how);
        if (how == 0)
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        else
            assert_int_equal(pipe2(ends, how == 1 ? 0 : O_NONBLOCK), 0);
        if (how == 2) assert_int_equal(write(ends[1], "x", 1), 1);
        if (how == 3) close(ends[1]), ends[1] = open(h->path, O_TMPFILE | O_WRONLY | O_NONBLOCK, 0600);
        int give = how == 4 ? ends[0] : ends[1]; /* 4: the read end */
        harness_send(h, h->runner, MSG_HALF, 0, &half, sizeof half, &give, 1);
        harness_incident(h, INCIDENT_BAD_FRAME, &order.call);
        close(ends[1]);
        if (how == 2) assert_int_equal(read(ends[0], bytes, 1), 1);
        if (how != 4) assert_true(pipe_closed(ends[0]));
        close(ends[0]);
    }
}

/* Nobody reads any more: that call is over, the vault is not. */
static void pipe_without_reader(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    struct msg_half half = half_for(&order, 3);
    int pipe = send_half(h, &half);
    harness_runner_drained(h);
    close(pipe);
    send_order(h, &order);
    harness_ledger_silent(h);
    make_order(&one, &order);
    send_order(h, &order);
    half = half_for(&order, 3); /* the number is free again */
    pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    close(pipe);
}

static void unknown_channel(void **state)
{
    struct harness *h = *state;
    make_order(NULL, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 1234);
    send_half_number(h, &half);
    harness_incident(h, INCIDENT_BAD_FRAME, &order.call);
}

/* ── leases ────────────────────────────────────────────────────────────────────────────────────────── */

static int lease_open(struct harness *h, uint32_t channel)
{
    make_order(&one, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, channel);
    half.keep = 1;
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    return pipe;
}

static void next_order(const struct stored *stored)
{
    make_order(stored, &other);
    other.action = order.action;
}

static void lease_serves(void **state)
{
    struct harness *h = *state;
    store_one(h);
    int pipe = lease_open(h, 5);
    for (int i = 0; i < 3; i++) {
        next_order(&one);
        struct msg_half half = half_for(&other, 5);
        half.keep = i < 2;
        send_half_number(h, &half);
        send_order(h, &other);
        assert_frame(pipe, &other);
        assert_int_equal(((struct frame_secret *)(void *)bytes)->field_count, 0); /* the worker has them */
    }
    assert_true(pipe_closed(pipe)); /* keep was 0 */
    close(pipe);
    harness_ledger_silent(h);
}

static void lease_bound(void **state)
{
    struct harness *h = *state;
    store_one(h);
    two = one;
    harness_store(h, &two, ""); /* another credential of the same workspace */
    for (int how = 0; how < 6; how++) {
        int pipe = lease_open(h, (uint32_t)how);
        next_order(how == 0 ? &two : &one);
        if (how == 1) other.version++;
        if (how == 2) other.workspace[0] ^= 1;
        if (how == 3) other.entry_digest[0] ^= 1;
        if (how == 4) other.action++;
        if (how == 5) make_order(NULL, &other), other.action = order.action; /* none is another one too */
        send_order(h, &other);
        struct msg_half half = half_for(&other, (uint32_t)how);
        half.keep = 1;
        send_half_number(h, &half);
        assert_refused(h, pipe, INCIDENT_LEASE_MISMATCH, &other.call);
    }
}

static void lease_gone(void **state)
{
    struct harness *h = *state;
    store_one(h);
    int pipe = lease_open(h, 5);
    struct msg_half gone = {.channel = 5};
    send_half_number(h, &gone);
    assert_true(pipe_closed(pipe));
    close(pipe);
    next_order(&one);
    send_order(h, &other);
    struct msg_half half = half_for(&other, 5);
    send_half_number(h, &half);
    harness_incident(h, INCIDENT_BAD_FRAME, &other.call);
}

/* ── new generations ───────────────────────────────────────────────────────────────────────────────── */

static void new_ledger(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    send_order(h, &order);
    harness_barrier(h);
    harness_new_ledger(h);
    harness_barrier(h);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    assert_true(pipe_closed(pipe));
    close(pipe);
}

static void new_runner(void **state)
{
    struct harness *h = *state;
    store_one(h);
    int leased = lease_open(h, 5);
    make_order(&one, &order);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    harness_runner_drained(h);
    harness_new_runner(h);
    assert_true(pipe_closed(leased));
    assert_true(pipe_closed(pipe));
    close(leased);
    close(pipe);
    half.channel = 5; /* its numbers start anew */
    send_order(h, &order);
    pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    close(pipe);
}

static void old_generation(void **state)
{
    struct harness *h = *state;
    store_one(h);
    make_order(&one, &order);
    h->ledger_generation--;
    send_order(h, &order);
    h->ledger_generation++;
    harness_barrier(h);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    assert_true(pipe_closed(pipe));
    close(pipe);
}

/* More of everything than there is room for: what is over it fails, and afterwards all is well. */
static void flood(void **state)
{
    struct harness *h = *state;
    store_one(h);
    for (int i = 0; i < 3000; i++) {
        make_order(&one, &order);
        order.deadline = clock_now() + 400 * CLOCK_MS;
        send_order(h, &order);
        if (i % 3) continue;
        make_order(NULL, &order);
        struct msg_half half = half_for(&order, (uint32_t)i);
        half.deadline = clock_now() + 400 * CLOCK_MS;
        close(send_half(h, &half));
    }
    uint64_t until = clock_now() + 500 * CLOCK_MS;
    while (clock_now() < until) harness_barrier(h);
    make_order(&one, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, 7);
    int pipe = send_half(h, &half);
    assert_frame(pipe, &order);
    close(pipe);
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(order_then_half),
        WITH_VAULT(half_then_order),
        WITH_VAULT(call_without_credential),
        WITH_VAULT(only_ordered_fields),
        WITH_VAULT(largest_credential),
        WITH_VAULT(wrong_entry),
        WITH_VAULT(other_calls_id),
        WITH_VAULT(order_twice),
        WITH_VAULT(half_twice),
        WITH_VAULT(cancelled),
        WITH_VAULT(after_the_deadline),
        WITH_VAULT(swapped),
        WITH_VAULT(unsound_orders),
        WITH_VAULT(unsound_pipes),
        WITH_VAULT(pipe_without_reader),
        WITH_VAULT(unknown_channel),
        WITH_VAULT(lease_serves),
        WITH_VAULT(lease_bound),
        WITH_VAULT(lease_gone),
        WITH_VAULT(new_ledger),
        WITH_VAULT(new_runner),
        WITH_VAULT(old_generation),
        WITH_VAULT(flood),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
