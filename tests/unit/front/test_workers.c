/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that misbehave, fail honestly, or are not to be had: what the record and the caller get. */
#include "calls.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "sandbox/frames.h"

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
        {half_a_reply, "protocol-error", REASON_PROTOCOL_ERROR},
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
        cmocka_unit_test(test_bad_workers),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_honest_failures),
        cmocka_unit_test(test_no_worker),
    };
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) return 2;
    front_path = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
