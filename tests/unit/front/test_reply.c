/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile worker may write into its reply pipe, frame by frame (part F of the escape corpus). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/front/reply.h"

static const uint8_t id[ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static unsigned logged;
static bool last_truncated;
static char last_log[FRAME_LOG_MAX + 1];
static void keep_log(void *context, uint32_t level, const char *text, size_t length, bool truncated)
{
    logged++;
    last_truncated = truncated;
    memcpy(last_log, text, length);
    last_log[length] = '\0';
}

static void start(struct reply_reader *reader)
{
    logged = 0;
    reply_init(reader, id, 0, 0, keep_log, NULL);
}

static struct frame_head head_of(unsigned type, size_t length)
{
    struct frame_head head = {.length = (uint32_t)length, .type = (uint16_t)type, .version = FRAME_VERSION};
    memcpy(head.call_id, id, ID_BYTES);
    return head;
}

static void put(struct reply_reader *reader, struct frame_head head, const void *body, size_t length)
{
    reply_feed(reader, &head, sizeof head);
    reply_feed(reader, body, length);
}

static void say(struct reply_reader *reader, const char *json)
{
    put(reader, head_of(FRAME_REPLY, strlen(json)), json, strlen(json));
}

static void say_log(struct reply_reader *reader, uint32_t level, const char *text, size_t length)
{
    char body[sizeof level + FRAME_LOG_MAX];
    memcpy(body, &level, sizeof level);
    memcpy(body + sizeof level, text, length);
    put(reader, head_of(FRAME_LOG, sizeof level + length), body, sizeof level + length);
}

static bool parses(const char *json, struct worker_reply *reply, struct err *err)
{
    struct reply_reader reader;
    start(&reader);
    say(&reader, json);
    assert_int_equal(reader.state, REPLY_WHOLE);
    bool good = reply_parse(&reader, reply, err);
    reply_clear(&reader);
    return good;
}

/* ── good ones ─────────────────────────────────────────────────────────────────────────────────────── */

static void test_classes(void **state)
{
    static const struct {
        const char *json;
        enum call_class class;
        enum call_reason reason;
        uint32_t retry_after;
    } rows[] = {
        {"{\"class\":\"ok\",\"answer\":{\"a\":1}}", CLASS_OK, REASON_NONE, 0},
        {"{\"class\":\"rejected\",\"text\":\"550 no\"}", CLASS_REJECTED, REASON_REMOTE, 0},
        {"{\"class\":\"retryable\",\"retry_after\":30}", CLASS_RETRYABLE, REASON_REMOTE, 30},
        {"{\"class\":\"retryable\",\"retry_after\":99999999}", CLASS_RETRYABLE, REASON_REMOTE, RETRY_AFTER_MOST},
        {"{\"class\":\"unknown\"}", CLASS_LOST, REASON_REMOTE, 0},
        {"{\"class\":\"bad_input\"}", CLASS_BAD_INPUT, REASON_NONE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct worker_reply reply;
        struct err err;
        assert_true(parses(rows[i].json, &reply, &err));
        assert_int_equal(reply.class, rows[i].class);
        assert_int_equal(reply.reason, rows[i].reason);
        assert_int_equal(reply.retry_after, rows[i].retry_after);
        worker_reply_clear(&reply);
    }
}

static void test_byte_by_byte(void **state)
{
    struct reply_reader reader;
    const char json[] = "{\"class\":\"ok\"}";
    struct frame_head head = head_of(FRAME_REPLY, sizeof json - 1);
    start(&reader);
    say_log(&reader, 2, "one", 3);
    for (size_t i = 0; i < sizeof head; i++) assert_int_equal(reply_feed(&reader, (char *)&head + i, 1), REPLY_MORE);
    for (size_t i = 0; i < sizeof json - 2; i++) assert_int_equal(reply_feed(&reader, json + i, 1), REPLY_MORE);
    assert_int_equal(reply_feed(&reader, json + sizeof json - 2, 1), REPLY_WHOLE);
    assert_int_equal(logged, 1);
    assert_string_equal(last_log, "one");
    reply_clear(&reader);
}

/* ── 105, 108: heads ───────────────────────────────────────────────────────────────────────────────── */

static void test_wrong_heads(void **state)
{
    struct frame_head other = head_of(FRAME_REPLY, 10), version = head_of(FRAME_REPLY, 10);
    other.call_id[15]++;
    version.version = 2;
    const struct frame_head heads[] = {head_of(FRAME_REPLY, 0),
                                       head_of(FRAME_REPLY, 0x80000000u),
                                       head_of(FRAME_REPLY, 0xffffffffu),
                                       head_of(FRAME_REPLY, FRAME_WORKER_MAX + 1),
                                       head_of(FRAME_LOG, 0),
                                       head_of(FRAME_LOG, 3),
                                       head_of(FRAME_LOG, 4 + FRAME_LOG_MAX + 1),
                                       head_of(FRAME_CALL, 10),
                                       head_of(0, 10),
                                       head_of(4, 10),
                                       head_of(0xffff, 10),
                                       other,
                                       version};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct reply_reader reader;
        start(&reader);
        assert_int_equal(reply_feed(&reader, &heads[i], sizeof heads[i]), REPLY_BROKEN);
        assert_int_equal(reader.reason, REASON_PROTOCOL_ERROR);
        assert_int_equal(reader.body.room, 0); /* nothing was allocated for it */
        reply_clear(&reader);
    }
}

static void test_claimed_length_allocates_nothing(void **state)
{
    struct reply_reader reader;
    struct frame_head head = head_of(FRAME_REPLY, FRAME_WORKER_MAX);
    start(&reader);
    reply_feed(&reader, &head, sizeof head);
    reply_feed(&reader, "{", 1);
    assert_true(reader.body.room <= 4096);
    reply_clear(&reader);
}

static void test_output_limit(void **state)
{
    struct reply_reader reader;
    struct frame_head head = head_of(FRAME_REPLY, 2049);
    reply_init(&reader, id, 2, 0, NULL, NULL);
    assert_int_equal(reply_feed(&reader, &head, sizeof head), REPLY_BROKEN);
    assert_int_equal(reader.reason, REASON_RESOURCE_LIMIT);
    reply_clear(&reader);
}

/* ── 106, 107: too little, too much ────────────────────────────────────────────────────────────────── */

static void test_half_is_not_whole(void **state)
{
    struct reply_reader reader;
    struct worker_reply reply;
    struct err err;
    struct frame_head head = head_of(FRAME_REPLY, 100);
    start(&reader);
    assert_int_equal(reply_feed(&reader, &head, 7), REPLY_MORE);
    assert_false(reply_parse(&reader, &reply, &err));
    reply_feed(&reader, (char *)&head + 7, sizeof head - 7);
    assert_int_equal(reply_feed(&reader, "{\"class\":\"ok\"}", 14), REPLY_MORE);
    assert_false(reply_parse(&reader, &reply, &err));
    assert_int_equal(err.kind, ERR_PROTOCOL);
    reply_clear(&reader);
}

static void test_second_reply_and_trailing_bytes(void **state)
{
    static const char *const after[] = {"x", "\0", "{\"class\":\"ok\"}"};
    for (int i = 0; i < 3; i++) {
        struct reply_reader reader;
        start(&reader);
        say(&reader, "{\"class\":\"ok\"}");
        assert_int_equal(reply_feed(&reader, after[i], 1), REPLY_BROKEN);
        assert_int_equal(reader.reason, REASON_PROTOCOL_ERROR);
        reply_clear(&reader);
    }
    struct reply_reader reader;
    start(&reader);
    say(&reader, "{\"class\":\"ok\"}");
    say(&reader, "{\"class\":\"ok\"}");
    assert_int_equal(reader.state, REPLY_BROKEN);
    reply_clear(&reader);
}

/* ── 109, 110, 111: the JSON inside ────────────────────────────────────────────────────────────────── */

static void test_wrong_json(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "\"ok\"",
                                        "{\"class\":\"ok\"} x",
                                        "{\"class\":\"ok\"}{}",
                                        "\xef\xbb\xbf{\"class\":\"ok\"}",
                                        "{\"class\":\"ok\",\"answer\":NaN}",
                                        "{\"class\":\"ok\",\"answer\":Infinity}",
                                        "{\"class\":\"ok\",\"answer\":1e999}",
                                        "{\"class\":\"ok\",\"class\":\"ok\"}",
                                        "{\"class\":\"ok\",\"answer\":{\"a\":1,\"a\":2}}",
                                        "{\"class\":\"ok\",\"text\":\"\\ud800\"}",
                                        "{\"class\":\"ok\",\"text\":\"\\udc00\\ud800\"}",
                                        "{\"class\":\"ok\",\"text\":\"\xff\"}",
                                        "{\"class\":\"ok\",\"text\":\"\xc0\x80\"}",
                                        "{\"class\":\"ok\",\"text\":\"a\\u0000b\"}",
                                        "{\"class\":\"ok\",\"answer\":9007199254740993}",
                                        "{\"class\":\"ok\",\"answer\":[[{\"x\":-9007199254740993}]]}",
                                        "{\"class\":\"ok\",\"answer\":99999999999999999999}",
                                        "{\"class\":\"ok\",\"retry_after\":-1}",
                                        "{\"class\":\"ok\",\"retry_after\":1.5}",
                                        "{\"class\":\"ok\",\"retry_after\":\"1\"}",
                                        "{\"class\":\"OK\"}",
                                        "{\"class\":\"violation\"}",
                                        "{\"class\":\"refused\"}",
                                        "{\"class\":1}",
                                        "{\"answer\":{}}",
                                        "{\"class\":\"ok\",\"text\":7}",
                                        "{\"class\":\"ok\",\"sent\":\"no\"}",
                                        "{\"class\":\"ok\",\"sandbox\":\"ok\"}"};
    for (size_t i = 1; i < sizeof texts / sizeof *texts; i++) {
        struct worker_reply reply;
        struct err err = {0};
        if (parses(texts[i], &reply, &err)) fail_msg("accepted: %s", texts[i]);
        assert_int_equal(err.kind, ERR_PROTOCOL);
        worker_reply_clear(&reply);
    }
}

static void test_deep_and_wide(void **state)
{
    struct worker_reply reply;
    struct err err;
    char *text = malloc(FRAME_WORKER_MAX + 64);
    size_t used = (size_t)sprintf(text, "{\"class\":\"ok\",\"answer\":");
    memset(text + used, '[', 100000);
    memset(text + used + 100000, ']', 100000);
    strcpy(text + used + 200000, "}");
    assert_false(parses(text, &reply, &err));
    worker_reply_clear(&reply);

    used = (size_t)sprintf(text, "{\"class\":\"ok\",\"answer\":{");
    for (unsigned i = 0; used < FRAME_WORKER_MAX - 32; i++)
        used += (size_t)sprintf(text + used, "%s\"%x\":0", i ? "," : "", i);
    sprintf(text + used, "}}");
    assert_true(parses(text, &reply, &err)); /* many keys are no fault, as long as they fit into a frame */
    worker_reply_clear(&reply);
    free(text);
}

/* ── 112, 113: the log ─────────────────────────────────────────────────────────────────────────────── */

static void test_log_is_capped(void **state)
{
    struct reply_reader reader;
    char text[1000];
    memset(text, 'a', sizeof text);
    logged = 0;
    reply_init(&reader, id, 0, 4, keep_log, NULL);
    for (int i = 0; i < 100; i++) say_log(&reader, 1, text, sizeof text);
    assert_int_equal(reader.state, REPLY_MORE);
    assert_int_equal(logged, 4); /* 4 KiB, heads counted: three that fit, and one that says that there were more */
    assert_true(last_truncated);
    assert_int_equal(reader.log_lines, 100);
    for (int i = 0; i < 2000 && reader.state == REPLY_MORE; i++) say_log(&reader, 1, text, sizeof text);
    assert_int_equal(reader.state, REPLY_BROKEN);
    assert_int_equal(reader.reason, REASON_RESOURCE_LIMIT);
    reply_clear(&reader);
}

static void test_log_level(void **state)
{
    struct reply_reader reader;
    start(&reader);
    say_log(&reader, 4, "x", 1);
    assert_int_equal(reader.state, REPLY_BROKEN);
    reply_clear(&reader);
}

static void test_empty_log_frames_are_counted(void **state)
{
    struct reply_reader reader;
    start(&reader);
    for (int i = 0; i < 100000 && reader.state == REPLY_MORE; i++) say_log(&reader, 0, "", 0);
    assert_int_equal(reader.state, REPLY_BROKEN);
    reply_clear(&reader);
}

static void test_tame_text(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain Grüße", "plain Grüße"},
        {"a\nb\r\x1b[31m", "a\\u{a}b\\u{d}\\u{1b}[31m"},
        {"\xe2\x80\xae"
         "evil",
         "\\u{202e}evil"},
        {"\xe2\x80\xa8", "\\u{2028}"},
        {"\xc2\x9b"
         "31m",
         "\\u{9b}31m"},
        {"bad \xff\xc0 end", "bad \\xff\\xc0 end"},
        {"\xef\xbb\xbf", "\\u{feff}"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text_tame(rows[i].in, strlen(rows[i].in), out, sizeof out);
        assert_string_equal(out, rows[i].out);
    }
    text_tame("a\0b", 3, out, sizeof out);
    assert_string_equal(out, "a\\u{0}b");
    text_tame("aaaaaaaa\xe2\x82\xac", 11, out, 10); /* no half character at the end */
    assert_string_equal(out, "aaaaaaaa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_wrong_heads),
        cmocka_unit_test(test_claimed_length_allocates_nothing),
        cmocka_unit_test(test_output_limit),
        cmocka_unit_test(test_half_is_not_whole),
        cmocka_unit_test(test_second_reply_and_trailing_bytes),
        cmocka_unit_test(test_wrong_json),
        cmocka_unit_test(test_deep_and_wide),
        cmocka_unit_test(test_log_is_capped),
        cmocka_unit_test(test_log_level),
        cmocka_unit_test(test_empty_log_frames_are_counted),
        cmocka_unit_test(test_tame_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
