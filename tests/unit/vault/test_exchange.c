/* SPDX-License-Identifier: Apache-2.0 */
/* OAuth2 exchanges: the grant goes to a worker whose reply comes back here, and to no other; what comes back is one
 * structure or nothing; what it brings is sealed for the credential that it was ordered for. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static struct stored one;
static struct msg_order order;
static _Alignas(8) char bytes[FRAME_SECRET_MAX];
static unsigned char reply[GRANT_REPLY + 8];

/* The worker's ends. */
struct worker {
    int secret, stream, reply;
};

static void store_grant(struct harness *h)
{
    static struct submission submission;
    static struct msg_seal request;
    struct err err = {0};
    harness_workspace(h, &one);
    id_new(one.credential);
    one.version = 3;
    harness_submission(&submission);
    submission.kind = CREDENTIAL_OAUTH2;
    assert_true(keys_add_field(&submission, "refresh_token", "rt-1", 4, &err));
    harness_seal_request(h, &one, &submission, &request);
    request.kind = CREDENTIAL_OAUTH2;
    harness_send(h, h->ledger, MSG_SEAL, 2, &request, sizeof request, NULL, 0);
    one.sealed = *(const struct msg_seal_answer *)harness_take(h, h->ledger, MSG_SEAL_ANSWER, NULL);
    assert_int_equal(one.sealed.status.kind, ERR_NONE);
}

static void as_exchange(uint32_t exchange)
{
    order.exchange = exchange;
    order.next_version = exchange ? order.version + 1 : 0;
}

static struct worker send_three(struct harness *h, const struct msg_half *half)
{
    int secret[2], stream[2], back[2];
    assert_int_equal(pipe2(secret, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, stream), 0);
    assert_int_equal(pipe2(back, O_CLOEXEC | O_NONBLOCK), 0);
    int ends[3] = {secret[1], stream[1], back[0]};
    harness_send(h, h->runner, MSG_HALF, 0, half, sizeof *half, ends, 3);
    for (int i = 0; i < 3; i++) close(ends[i]);
    return (struct worker){secret[0], stream[0], back[1]};
}

static void close_worker(struct worker *worker)
{
    close(worker->secret);
    close(worker->stream);
    if (worker->reply >= 0) close(worker->reply);
}

/* An exchange up to where the worker has its call. */
static struct worker begin(struct harness *h)
{
    struct {
        struct frame_head head;
        struct frame_call call;
        char input[8];
    } start;
    store_grant(h);
    make_order(&one, &order);
    as_exchange(1);
    send_order(h, &order);
    harness_barrier(h);
    struct msg_half half = half_for(&order, 9);
    struct worker worker = send_three(h, &half);
    assert_true(read_secret(worker.secret, bytes) > 0);
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    assert_string_equal(secret_field(bytes, "refresh_token"), "rt-1");
    assert_true(wire_wait(worker.stream, clock_now() + PATIENCE_S * CLOCK_S));
    ssize_t got = read(worker.stream, &start, sizeof start);
    assert_int_equal(got, (ssize_t)(sizeof start.head + sizeof start.call + 2));
    assert_int_equal(start.head.type, FRAME_CALL);
    assert_memory_equal(start.head.call_id, order.call.id, ID_BYTES);
    assert_int_equal(start.call.action, order.action);
    assert_memory_equal(start.input, "{}", 2);
    return worker;
}

static struct frame_grant good_grant(const char *access, const char *refresh)
{
    struct frame_grant grant = {.magic = FRAME_GRANT_MAGIC, .verdict = TOKENS_OK, .expires_in = 3600};
    grant.access_length = (uint32_t)strlen(access);
    grant.refresh_length = (uint32_t)strlen(refresh);
    memcpy(grant.access, access, grant.access_length);
    memcpy(grant.refresh, refresh, grant.refresh_length);
    return grant;
}

static void write_reply(struct frame_grant grant)
{
    struct frame_head head = {GRANT_REPLY - sizeof head, FRAME_REPLY, FRAME_VERSION, {0}};
    unsigned char *at = reply;
    memcpy(head.call_id, order.call.id, ID_BYTES);
    for (size_t i = 0; i < sizeof grant.access; i++) grant.access[i] ^= GRANT_MASK;
    for (size_t i = 0; i < sizeof grant.refresh; i++) grant.refresh[i] ^= GRANT_MASK;
    memcpy(at, &head, sizeof head), at += sizeof head;
    memcpy(at, GRANT_BEFORE, sizeof GRANT_BEFORE - 1), at += sizeof GRANT_BEFORE - 1;
    sodium_bin2base64((char *)at, GRANT_TEXT + 1, (unsigned char *)&grant, sizeof grant,
                      sodium_base64_VARIANT_ORIGINAL);
    at += GRANT_TEXT;
    memcpy(at, GRANT_AFTER, sizeof GRANT_AFTER - 1);
}

/* What is said of that order, said again until it is heard; from then on there is silence. */
static struct msg_tokens hear(struct harness *h)
{
    struct msg_order_cancel heard = {.call = order.call};
    struct msg_tokens tokens;
    do tokens = *(const struct msg_tokens *)harness_take(h, h->ledger, MSG_TOKENS, NULL);
    while (memcmp(&tokens.call, &order.call, sizeof tokens.call) != 0);
    harness_send(h, h->ledger, MSG_ORDER_CANCEL, 0, &heard, sizeof heard, NULL, 0);
    return tokens;
}

static struct msg_tokens answer(struct harness *h, struct worker *worker, size_t length)
{
    assert_int_equal(write(worker->reply, reply, length), (ssize_t)length);
    if (length < GRANT_REPLY) close(worker->reply), worker->reply = -1;
    return hear(h);
}

/* Orders the next version, in the manner of a call or of an exchange; what the worker got stands in bytes. */
static bool opens(struct harness *h, const struct msg_tokens *tokens, uint32_t exchange, const char *field)
{
    struct stored next = one;
    next.version = one.version + 1;
    next.sealed = tokens->sealed;
    make_order(&next, &order);
    as_exchange(exchange);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < order.field_count; i++)
        if (strcmp(order.fields[i].name, field) == 0) order.fields[kept++] = order.fields[i];
    assert_int_equal(kept, 1);
    order.field_count = 1;
    send_order(h, &order);
    harness_barrier(h);
    struct msg_half half = half_for(&order, 11);
    struct worker worker = {.secret = -1, .stream = -1, .reply = -1};
    if (exchange)
        worker = send_three(h, &half);
    else
        worker.secret = send_half(h, &half);
    bool got = read_secret(worker.secret, bytes) > 0;
    if (!got) harness_incident(h, INCIDENT_CREDENTIAL, &order.call);
    close(worker.secret);
    if (exchange) {
        close(worker.stream);
        close(worker.reply);
        if (got) hear(h);
    }
    return got;
}

static void brings_tokens(void **state)
{
    struct harness *h = *state;
    struct worker worker = begin(h);
    write_reply(good_grant("access-canary-1", "rt-2"));
    struct msg_tokens tokens = answer(h, &worker, GRANT_REPLY);
    assert_int_equal(tokens.verdict, TOKENS_OK);
    assert_int_equal(tokens.expires_in, 3600);
    assert_int_equal(tokens.renewed, 1);
    assert_int_equal(tokens.sealed.field_count, 4);
    assert_null(memmem(&tokens, sizeof tokens, "access-canary-1", 15));
    close_worker(&worker);
    assert_true(opens(h, &tokens, 0, "access_token"));
    assert_string_equal(secret_field(bytes, "access_token"), "access-canary-1");
    assert_true(opens(h, &tokens, 1, "refresh_token"));
    assert_string_equal(secret_field(bytes, "refresh_token"), "rt-2");
    assert_true(opens(h, &tokens, 1, "password"));
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
}

/* Whatever the ledger says: a call opens no grant, an exchange no access token. */
static void each_its_own(void **state)
{
    struct harness *h = *state;
    struct worker worker = begin(h);
    write_reply(good_grant("access-canary-1", ""));
    struct msg_tokens tokens = answer(h, &worker, GRANT_REPLY);
    assert_int_equal(tokens.verdict, TOKENS_OK);
    assert_int_equal(tokens.renewed, 0);
    close_worker(&worker);
    assert_false(opens(h, &tokens, 0, "refresh_token"));
    assert_false(opens(h, &tokens, 0, "password"));
    assert_false(opens(h, &tokens, 1, "access_token"));
    assert_true(opens(h, &tokens, 1, "refresh_token"));
    assert_string_equal(secret_field(bytes, "refresh_token"), "rt-1");
}

/* An exchange's order and a call's half, and the other way round: nobody gets anything. */
static void halves_that_do_not_fit(void **state)
{
    struct harness *h = *state;
    for (uint32_t exchange = 0; exchange < 2; exchange++) {
        store_grant(h);
        make_order(&one, &order);
        as_exchange(exchange);
        struct msg_half half = half_for(&order, 20 + exchange);
        struct worker worker = {-1, -1, -1};
        if (exchange)
            worker.secret = send_half(h, &half);
        else
            worker = send_three(h, &half);
        harness_runner_drained(h);
        send_order(h, &order);
        assert_true(pipe_closed(worker.secret));
        harness_incident(h, INCIDENT_BAD_FRAME, &order.call);
        close(worker.secret);
        if (!exchange) assert_true(pipe_closed(worker.stream)), close(worker.stream), close(worker.reply);
    }
}

/* What a worker that is taken over could say. */
static void odd_replies(void **state)
{
    struct harness *h = *state;
    enum { HEAD = sizeof(struct frame_head), TEXT = HEAD + sizeof GRANT_BEFORE - 1 };
    for (int how = 0; how < 14; how++) {
        struct worker worker = begin(h);
        struct frame_grant grant = good_grant("access-canary-1", "rt-2");
        size_t length = GRANT_REPLY;
        if (how == 0) grant.magic++;
        if (how == 1) grant.verdict = TOKENS_VERDICTS;
        if (how == 2) grant.verdict = TOKENS_NONE;
        if (how == 3) grant.access_length = sizeof grant.access + 1;
        if (how == 4) grant.refresh_length = UINT32_MAX;
        if (how == 5) grant.access_length = 0;
        write_reply(grant);
        if (how == 6) reply[HEAD - 1] ^= 1; /* another call's id */
        if (how == 7) reply[4] = FRAME_LOG;
        if (how == 8) reply[0] ^= 1;                 /* its length */
        if (how == 9) reply[HEAD + 1] ^= 1;          /* the text before */
        if (how == 10) reply[TEXT + 100] = '"';      /* no base64 */
        if (how == 11) reply[GRANT_REPLY - 1] = ' '; /* the text behind */
        if (how == 12) length--;
        if (how == 13) length++;
        struct msg_tokens tokens = answer(h, &worker, length);
        assert_int_equal(tokens.verdict, how >= 12 ? TOKENS_NONE : TOKENS_ODD);
        assert_memory_equal(&tokens.call, &order.call, sizeof order.call);
        assert_int_equal(tokens.sealed.field_count, 0);
        close_worker(&worker);
    }
}

static void said_no(void **state)
{
    struct harness *h = *state;
    for (uint32_t verdict = TOKENS_INVALID_GRANT; verdict < TOKENS_VERDICTS; verdict++) {
        struct worker worker = begin(h);
        struct frame_grant grant = good_grant("", "");
        grant.verdict = verdict;
        write_reply(grant);
        struct msg_tokens tokens = answer(h, &worker, GRANT_REPLY);
        assert_int_equal(tokens.verdict, verdict);
        assert_int_equal(tokens.sealed.field_count, 0);
        close_worker(&worker);
    }
}

/* A ledger that died meanwhile still gets what came: a refresh token may have been used up for it. */
static void another_ledger(void **state)
{
    struct harness *h = *state;
    struct worker worker = begin(h);
    harness_new_ledger(h);
    write_reply(good_grant("access-canary-1", "rt-2"));
    assert_int_equal(answer(h, &worker, GRANT_REPLY).verdict, TOKENS_OK);
    close_worker(&worker);
}

/* One that dies before it has written it down hears it once more, word for word. */
static void said_again(void **state)
{
    struct harness *h = *state;
    struct worker worker = begin(h);
    write_reply(good_grant("access-canary-1", "rt-2"));
    assert_int_equal(write(worker.reply, reply, GRANT_REPLY), GRANT_REPLY);
    struct msg_tokens first = *(const struct msg_tokens *)harness_take(h, h->ledger, MSG_TOKENS, NULL);
    harness_new_ledger(h);
    struct msg_tokens second = hear(h);
    assert_memory_equal(&first, &second, sizeof first);
    close_worker(&worker);
}

/* An exchange that the ledger takes back: the worker's reply finds nobody. */
static void taken_back(void **state)
{
    struct harness *h = *state;
    struct worker worker = begin(h);
    struct msg_order_cancel cancel = {.call = order.call};
    harness_send(h, h->ledger, MSG_ORDER_CANCEL, 0, &cancel, sizeof cancel, NULL, 0);
    harness_barrier(h);
    struct pollfd end = {.fd = worker.reply};
    assert_int_equal(poll(&end, 1, 0), 1);
    assert_true(end.revents & POLLERR); /* nobody reads there any more */
    close_worker(&worker);
}

static void too_large(void **state)
{
    static char access[4097], refresh[1537];
    struct harness *h = *state;
    memset(access, 'a', 4096);
    memset(refresh, 'r', 1536);
    struct worker worker = begin(h);
    write_reply(good_grant(access, refresh));
    struct msg_tokens tokens = answer(h, &worker, GRANT_REPLY);
    assert_int_equal(tokens.verdict, TOKENS_OK);
    assert_int_equal(tokens.sealed.field_count, 4);
    close_worker(&worker);
}

#define WITH_VAULT(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(brings_tokens), WITH_VAULT(each_its_own), WITH_VAULT(halves_that_do_not_fit),
        WITH_VAULT(odd_replies),   WITH_VAULT(said_no),      WITH_VAULT(another_ledger),
        WITH_VAULT(too_large),     WITH_VAULT(said_again),   WITH_VAULT(taken_back),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
