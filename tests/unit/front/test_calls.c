/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through a real front: what goes to ledger, runner and worker, and what the caller hears. */
#include "harness.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/frames.h"

static struct play play;

#define GOOD "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{\"name\":\"Ada\"}}"

static struct http_got post(const char *body)
{
    return play_http(&play, &(struct http_ask){.path = "/v1/calls", .body = body});
}

static void expect_problem(const struct http_got *got, long status, const char *slug)
{
    char type[96];
    snprintf(type, sizeof type, "urn:caisson:problem:%s", slug);
    if (got->status != status || strcmp(json_text(got->json, "type"), type) != 0)
        fail_msg("expected %ld %s, got %ld %s", status, slug, got->status, got->body ? got->body : "");
    assert_non_null(strstr(got->headers, "application/problem+json"));
}

/* One call that must end in that problem; the END that the ledger saw carries class and reason. */
static void expect_call(const char *body, long status, const char *slug, enum call_class class, enum call_reason reason)
{
    struct http_got got = post(body);
    expect_problem(&got, status, slug);
    assert_int_equal(play.ends, 1);
    assert_int_equal(play.end.class, class);
    assert_int_equal(play.end.reason, reason);
    http_got_clear(&got);
}

static void with_worker(play_worker *worker)
{
    play_script(&play, &(struct play_script){.worker = worker});
}

/* ── the good way ──────────────────────────────────────────────────────────────────────────────────── */

static void check_begin(void)
{
    static const char input[] = "{\"name\":\"Ada\"}";
    uint8_t digest[32];
    crypto_hash_sha256_state hash;
    assert_int_equal(play.begin.who.kind, WHO_PEER);
    assert_int_equal(play.begin.who.principal, 1000 + play.hellos);
    assert_string_equal(play.begin.workspace, "default");
    assert_string_equal(play.begin.connector, "hello");
    assert_string_equal(play.begin.key, "k-1");
    assert_string_equal(play.begin.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_int_equal(play.begin.input_size, sizeof input - 1);
    crypto_hash_sha256(digest, (const uint8_t *)input, sizeof input - 1);
    assert_memory_equal(play.begin.input_hash, digest, 32);
    crypto_hash_sha256_init(&hash);
    crypto_hash_sha256_update(&hash, (const uint8_t *)FRAME_INPUT_TAG, strlen(FRAME_INPUT_TAG));
    crypto_hash_sha256_update(&hash, play.begin.salt, 32);
    crypto_hash_sha256_update(&hash, (const uint8_t *)input, sizeof input - 1);
    crypto_hash_sha256_final(&hash, digest);
    assert_memory_equal(play.begin.input_digest, digest, 32);
}

/* Only the holder of the workspace's secret can read what is stored for replay. */
static void check_stored(const char *expected)
{
    static const uint8_t nonce[24];
    uint8_t key[32], plain[4096];
    unsigned long long used;
    assert_int_equal(
        crypto_box_seal_open(key, play.end.sealed_key, SEALED_KEY, play.workspace_public, play.workspace_secret), 0);
    assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &used, NULL, play.sealed, play.end.answer_length,
                                                                NULL, 0, nonce, key),
                     0);
    plain[used] = '\0';
    assert_string_equal((char *)plain, expected);
}

static void test_a_call(void **state)
{
    with_worker(NULL);
    struct http_got got = play_http(
        &play, &(struct http_ask){.path = "/v1/calls",
                                  .body = GOOD,
                                  .headers = {"Idempotency-Key: \"k-1\"",
                                              "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}});
    assert_int_equal(got.status, 200);
    assert_string_equal(json_text(json_object_get(got.json, "answer"), "greeting"), "Hello, Ada");
    assert_string_equal(json_text(got.json, "call_id"), "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
    assert_string_equal(json_text(got.json, "class"), "ok");
    assert_string_equal(json_text(got.json, "sent"), "yes");
    assert_true(json_is_false(json_object_get(got.json, "replayed")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(got.json, "entries"), "intent")), 40);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(got.json, "entries"), "outcome")), 42);
    check_begin();
    assert_int_equal(play.end.class, CLASS_OK);
    assert_int_equal(play.end.log_lines, 1);
    check_stored("{\"answer\":{\"greeting\":\"Hello, Ada\"}}");
    assert_int_equal(play.done.ok, 1);
    static const char *const headers[] = {"X-Content-Type-Options: nosniff", "Cache-Control: no-store",
                                          "Date: ", "Content-Security-Policy: default-src 'none'"};
    for (int i = 0; i < 4; i++) assert_non_null(strstr(got.headers, headers[i]));
    assert_null(strstr(got.headers, "Access-Control"));
    http_got_clear(&got);
}

static void test_large_input(void **state)
{
    size_t size = 31 * 1024 * 1024, used;
    char *body = malloc(size + 256);
    with_worker(NULL);
    used = (size_t)sprintf(body,
                           "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{\"name\":\"Ada\",\"data\":\"");
    memset(body + used, 'x', size);
    strcpy(body + used + size, "\"}}");
    struct http_got got = post(body);
    assert_int_equal(got.status, 200);
    assert_true(play.begin.input_size > size);
    free(body);
    http_got_clear(&got);
}

static void test_late_and_wrong_frames_on_the_lines(void **state)
{
    play_script(&play, &(struct play_script){.late_first = true});
    struct http_got got = post(GOOD);
    assert_int_equal(got.status, 200);
    http_got_clear(&got);
}

/* ── refusals ──────────────────────────────────────────────────────────────────────────────────────── */

static void test_schema_after_authorisation(void **state)
{
    static const char body[] = "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{\"name\":7}}";
    play_script(&play, &(struct play_script){.echo_refusal = true});
    struct http_got got = post(body);
    expect_problem(&got, 422, "bad-input");
    const json_t *error = json_array_get(json_object_get(got.json, "errors"), 0);
    assert_string_equal(json_text(error, "pointer"), "/input/name");
    assert_int_equal(play.begin.refusal, ERR_BAD_INPUT);
    assert_int_equal(play.takes, 0);
    http_got_clear(&got);

    /* The same from somebody who may not: not a word about the schema. */
    play_script(&play, &(struct play_script){.begin_kind = ERR_DENIED, .begin_text = "you may not use hello"});
    got = post(body);
    expect_problem(&got, 403, "denied");
    assert_null(json_object_get(got.json, "errors"));
    assert_null(strstr(got.body, "name"));
    http_got_clear(&got);
}

/* A ledger that lets a refused call begin does not make the front run it. */
static void test_refused_input_never_runs(void **state)
{
    play_script(&play, &(struct play_script){0});
    struct http_got got = post("{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{}}");
    expect_problem(&got, 503, "stale");
    assert_int_equal(play.takes, 0);
    assert_int_equal(play.ends, 1);
    assert_int_equal(play.end.class, CLASS_REFUSED);
    http_got_clear(&got);
}

static void test_refusals_of_the_ledger(void **state)
{
    static const struct {
        enum err_kind kind;
        long status;
        const char *slug;
    } rows[] = {{ERR_NO_IDENTITY, 401, "no-identity"},
                {ERR_NOT_FOUND, 404, "not-found"},
                {ERR_CONFLICT, 409, "key-in-use"},
                {ERR_KEY_REUSED, 422, "key-reused"},
                {ERR_FROZEN, 503, "frozen"},
                {ERR_AUDIT, 503, "audit-unavailable"},
                {ERR_BUSY, 503, "busy"},
                {ERR_CHANGED, 409, "plugin-changed"},
                {ERR_STALE, 503, "stale"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        play_script(&play, &(struct play_script){.begin_kind = rows[i].kind, .begin_text = "because"});
        struct http_got got = post(GOOD);
        expect_problem(&got, rows[i].status, rows[i].slug);
        assert_string_equal(json_text(got.json, "detail"), "because");
        assert_int_equal(play.begins, rows[i].kind == ERR_STALE ? 2 : 1);
        assert_int_equal(play.takes, 0);
        http_got_clear(&got);
    }
}

/* ── replays ───────────────────────────────────────────────────────────────────────────────────────── */

static void test_replay(void **state)
{
    play_script(&play, &(struct play_script){.replay = true, .replay_class = CLASS_OK, .replay_sent = SENT_YES});
    struct http_got got = post(GOOD);
    assert_int_equal(got.status, 200);
    assert_string_equal(json_text(json_object_get(got.json, "answer"), "greeting"), "stored");
    assert_true(json_is_true(json_object_get(got.json, "replayed")));
    assert_int_equal(play.takes, 0);
    assert_int_equal(play.ends, 0);
    http_got_clear(&got);

    for (int status = 0; status < 2; status++) {
        play_script(&play, &(struct play_script){.replay = true,
                                                 .replay_class = CLASS_TIMEOUT,
                                                 .replay_sent = SENT_MAYBE,
                                                 .replay_status = status ? ERR_UNCERTAIN : ERR_NONE});
        got = post(GOOD);
        expect_problem(&got, 409, "outcome-uncertain");
        assert_string_equal(json_text(got.json, "class"), "timeout");
        http_got_clear(&got);
    }
}

/* ── workers that misbehave ────────────────────────────────────────────────────────────────────────── */

static void taken(const struct worker_ends *ends)
{
    struct frame_call call;
    char *input = NULL;
    size_t length;
    worker_take_call(ends, &call, &input, &length);
    free(input);
}

static void leaves(const struct worker_ends *ends)
{
    taken(ends);
}
static void leaves_at_once(const struct worker_ends *ends)
{
}
static void replies_twice(const struct worker_ends *ends)
{
    static const char reply[] = "{\"class\":\"ok\",\"answer\":{\"greeting\":\"x\"}}";
    struct {
        struct frame_head head;
        char body[sizeof reply - 1];
    } two[2];
    taken(ends);
    for (int i = 0; i < 2; i++) {
        two[i].head = (struct frame_head){.length = sizeof reply - 1, .type = FRAME_REPLY, .version = FRAME_VERSION};
        memcpy(two[i].head.call_id, ends->call.id, ID_BYTES);
        memcpy(two[i].body, reply, sizeof reply - 1);
    }
    /* in one write, without the structure's padding */
    char bytes[2 * (sizeof two[0].head + sizeof reply - 1)];
    for (int i = 0; i < 2; i++) {
        memcpy(bytes + (size_t)i * sizeof bytes / 2, &two[i].head, sizeof two[i].head);
        memcpy(bytes + (size_t)i * sizeof bytes / 2 + sizeof two[i].head, two[i].body, sizeof two[i].body);
    }
    assert_int_equal(write(ends->replies, bytes, sizeof bytes), sizeof bytes);
}
static void speaks_first(const struct worker_ends *ends)
{
    worker_reply(ends, "{\"class\":\"ok\",\"answer\":{\"greeting\":\"x\"}}");
}
static void logs_first(const struct worker_ends *ends)
{
    worker_log(ends, 1, "hello from a constructor", 24);
}
static void wrong_call(const struct worker_ends *ends)
{
    struct worker_ends other = *ends;
    taken(ends);
    other.call.id[0] ^= 1;
    worker_reply(&other, "{\"class\":\"ok\"}");
}
static void half_a_reply(const struct worker_ends *ends)
{
    struct frame_head head = {.length = 100, .type = FRAME_REPLY, .version = FRAME_VERSION};
    taken(ends);
    memcpy(head.call_id, ends->call.id, ID_BYTES);
    assert_int_equal(write(ends->replies, &head, sizeof head), sizeof head);
}
static void wrong_output(const struct worker_ends *ends)
{
    taken(ends);
    worker_reply(ends, "{\"class\":\"ok\",\"answer\":{\"greeting\":7}}");
}
static void no_output(const struct worker_ends *ends)
{
    taken(ends);
    worker_reply(ends, "{\"class\":\"ok\"}");
}
static void huge_length(const struct worker_ends *ends)
{
    struct frame_head head = {.length = 0xffffffffu, .type = FRAME_REPLY, .version = FRAME_VERSION};
    taken(ends);
    memcpy(head.call_id, ends->call.id, ID_BYTES);
    assert_int_equal(write(ends->replies, &head, sizeof head), sizeof head);
}
static void floods(const struct worker_ends *ends)
{
    char text[4000];
    taken(ends);
    memset(text, 'f', sizeof text);
    for (int i = 0; i < 2000; i++) worker_log(ends, 1, text, sizeof text);
}
static void over_output_limit(const struct worker_ends *ends)
{
    char *text = malloc(70 * 1024);
    taken(ends);
    memset(text, ' ', 70 * 1024);
    worker_say(ends, FRAME_REPLY, text, 70 * 1024);
    free(text);
}

static void test_bad_workers(void **state)
{
    static const struct {
        play_worker *worker;
        const char *slug;
        enum call_reason reason;
    } rows[] = {
        {leaves, "crashed", REASON_EXIT},
        {leaves_at_once, "crashed", REASON_EXIT},
        {replies_twice, "protocol-error", REASON_PROTOCOL_ERROR},
        {speaks_first, "protocol-error", REASON_PROTOCOL_ERROR},
        {logs_first, "protocol-error", REASON_PROTOCOL_ERROR},
        {wrong_call, "protocol-error", REASON_PROTOCOL_ERROR},
        {half_a_reply, "crashed", REASON_EXIT},
        {wrong_output, "protocol-error", REASON_PROTOCOL_ERROR},
        {no_output, "protocol-error", REASON_PROTOCOL_ERROR},
        {huge_length, "protocol-error", REASON_PROTOCOL_ERROR},
        {floods, "crashed", REASON_RESOURCE_LIMIT},
        {over_output_limit, "crashed", REASON_RESOURCE_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool first = rows[i].worker == speaks_first || rows[i].worker == logs_first;
        play_script(&play, &(struct play_script){.worker = rows[i].worker, .worker_first = first});
        expect_call(GOOD, 502, rows[i].slug, CLASS_CRASHED, rows[i].reason);
        while (play.dones == 0) usleep(1000); /* no answer comes for it; the runner must still hear of it */
        assert_int_equal(play.done.ok, 0);
    }
    with_worker(NULL);
    struct http_got got = post(GOOD); /* everyone else is unaffected */
    assert_int_equal(got.status, 200);
    http_got_clear(&got);
}

static void never_answers(const struct worker_ends *ends)
{
    char byte;
    taken(ends);
    while (read(ends->stream, &byte, 1) > 0) continue; /* until the front gives up its end */
}
static void drips(const struct worker_ends *ends)
{
    struct frame_head head = {.length = 1000, .type = FRAME_REPLY, .version = FRAME_VERSION};
    taken(ends);
    memcpy(head.call_id, ends->call.id, ID_BYTES);
    if (write(ends->replies, &head, sizeof head) < 0) return;
    while (write(ends->replies, " ", 1) == 1) usleep(20000);
}

static void test_deadlines(void **state)
{
    static const char body[] =
        "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{\"name\":\"Ada\"},\"timeout_ms\":200}";
    play_worker *const workers[] = {never_answers, drips};
    for (int i = 0; i < 2; i++) {
        with_worker(workers[i]);
        expect_call(body, 504, "timeout", CLASS_TIMEOUT, REASON_DEADLINE);
    }
    char *large = malloc(4 * 1024 * 1024 + 256);
    size_t used = (size_t)sprintf(
        large, "{\"connector\":\"hello\",\"action\":\"greet\",\"timeout_ms\":200,\"input\":{\"name\":\"");
    memset(large + used, 'x', 4 * 1024 * 1024);
    strcpy(large + used + 4 * 1024 * 1024, "\"}}");
    with_worker(never_answers);
    expect_call(large, 504, "timeout", CLASS_TIMEOUT, REASON_DEADLINE);
    free(large);
}

static void rejects(const struct worker_ends *ends)
{
    taken(ends);
    worker_reply(ends, "{\"class\":\"rejected\",\"text\":\"550 no such user\\n\"}");
}
static void asks_to_wait(const struct worker_ends *ends)
{
    taken(ends);
    worker_reply(ends, "{\"class\":\"retryable\",\"retry_after\":17,\"text\":\"busy\"}");
}
static void does_not_know(const struct worker_ends *ends)
{
    taken(ends);
    worker_reply(ends, "{\"class\":\"unknown\",\"text\":\"the connection broke\"}");
}

static void test_honest_failures(void **state)
{
    with_worker(rejects);
    struct http_got got = post(GOOD);
    expect_problem(&got, 502, "rejected");
    assert_string_equal(json_text(got.json, "detail"), "550 no such user\\u{a}");
    assert_string_equal(json_text(got.json, "instance"), "urn:uuid:5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
    http_got_clear(&got);

    with_worker(asks_to_wait);
    got = post(GOOD);
    expect_problem(&got, 503, "retryable");
    assert_non_null(strstr(got.headers, "Retry-After: 17"));
    assert_int_equal(play.end.retry_after, 17);
    http_got_clear(&got);

    with_worker(does_not_know);
    expect_call(GOOD, 502, "lost", CLASS_LOST, REASON_REMOTE);
}

static void test_no_worker(void **state)
{
    play_script(&play, &(struct play_script){.taken_reason = REASON_NO_WORKER});
    expect_call(GOOD, 503, "busy", CLASS_REFUSED, REASON_NO_WORKER);
    play_script(&play, &(struct play_script){.taken_reason = REASON_LOAD_FAILED});
    expect_call(GOOD, 502, "load-failed", CLASS_REFUSED, REASON_LOAD_FAILED);
}

/* ── the end of a call ─────────────────────────────────────────────────────────────────────────────── */

static void test_end_is_repeated(void **state)
{
    play_script(&play, &(struct play_script){.ends_to_drop = 2});
    struct http_got got = post(GOOD);
    assert_int_equal(got.status, 200);
    assert_int_equal(play.ends, 3);
    assert_int_equal(play.begins, 1);
    http_got_clear(&got);
}

static void test_ledger_has_the_last_word(void **state)
{
    play_script(&play, &(struct play_script){.ended_class = CLASS_VIOLATION, .worker = leaves});
    struct http_got got = post(GOOD);
    expect_problem(&got, 502, "violation");
    http_got_clear(&got);
    play_script(&play, &(struct play_script){.ended_class = CLASS_LOST});
    got = post(GOOD);
    expect_problem(&got, 502, "lost");
    assert_null(json_object_get(got.json, "answer")); /* of an outcome that is not in the record */
    http_got_clear(&got);
}

static void test_unrecorded(void **state)
{
    play_script(&play, &(struct play_script){.ended_kind = ERR_NOT_FOUND});
    struct http_got got = post(GOOD);
    expect_problem(&got, 500, "executed-unrecorded");
    assert_string_equal(json_text(got.json, "call_id"), "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
    assert_null(json_object_get(got.json, "class"));
    http_got_clear(&got);
}

static void test_ledger_away(void **state)
{
    play_script(&play, &(struct play_script){0});
    play_ledger_dies(&play);
    struct http_got got = post(GOOD);
    expect_problem(&got, 503, "unavailable");
    assert_non_null(strstr(got.headers, "Retry-After: "));
    http_got_clear(&got);
    play_ledger_returns(&play);
    for (int tries = 0; tries < 200; tries++) { /* the front learns of the new lines by its own control line */
        got = post(GOOD);
        bool good = got.status == 200;
        http_got_clear(&got);
        if (good) return;
        usleep(10000);
    }
    fail_msg("the front does not find the ledger that came back");
}

static int set_up(void **state)
{
    play_begin(&play, &(struct play_start){.probe = "{\"paths\":[\"/etc/shadow\",\"/etc\"],\"vault\":1}"});
    return 0;
}

static int tear_down(void **state)
{
    play_stop(&play);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call),
        cmocka_unit_test(test_large_input),
        cmocka_unit_test(test_late_and_wrong_frames_on_the_lines),
        cmocka_unit_test(test_schema_after_authorisation),
        cmocka_unit_test(test_refused_input_never_runs),
        cmocka_unit_test(test_refusals_of_the_ledger),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_bad_workers),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_honest_failures),
        cmocka_unit_test(test_no_worker),
        cmocka_unit_test(test_end_is_repeated),
        cmocka_unit_test(test_ledger_has_the_last_word),
        cmocka_unit_test(test_unrecorded),
        cmocka_unit_test(test_ledger_away),
    };
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) return 2;
    front_path = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
