/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through a real front: what goes to ledger, runner and worker, and what the caller hears. */
#include "calls.h"

#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/frames.h"

/* ── the good way ──────────────────────────────────────────────────────────────────────────────────── */

static void check_begin(void)
{
    static const char input[] = "{\"name\":\"Ada\"}";
    uint8_t digest[32];
    crypto_hash_sha256_state hash;
    assert_int_equal(play.begin.who.kind, WHO_PEER);
    assert_int_equal(play.begin.who.principal, 1000 + play.hellos);
    assert_string_equal(play.begin.workspace, ""); /* the ledger knows which */
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

static void leaves(const struct worker_ends *ends)
{
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

/* It waits for its disk: that is said for it, and it is told until when its answer counts. */
static void test_ledger_stalls(void **state)
{
    for (int i = 0; i < 2; i++) {
        play_script(&play, &(struct play_script){.silent = true});
        struct http_got got = post(GOOD);
        expect_problem(&got, 503, "audit-unavailable");
        assert_non_null(strstr(got.headers, "Retry-After: "));
        http_got_clear(&got);
        assert_int_not_equal(play.begin.answer_by, 0);
    }
    struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/health"});
    assert_int_equal(got.status, 503);
    assert_string_equal(json_text(got.json, "status"), "sealed");
    http_got_clear(&got);
    play_script(&play, &(struct play_script){0});
    got = post(GOOD);
    assert_int_equal(got.status, 200);
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
        cmocka_unit_test(test_end_is_repeated),
        cmocka_unit_test(test_ledger_has_the_last_word),
        cmocka_unit_test(test_unrecorded),
        cmocka_unit_test(test_ledger_stalls), cmocka_unit_test(test_ledger_away),
    };
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) return 2;
    front_path = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
