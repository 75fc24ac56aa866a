/* SPDX-License-Identifier: Apache-2.0 */
/* Every log line is one JSON object, whatever was put into it. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "unit.h"

static int ends[2];

static int open_log(void **state)
{
    if (pipe(ends) < 0) return -1;
    log_to(ends[1]);
    clock_set(1, UINT64_C(1767323045678) * CLOCK_MS); /* 2026-01-02T03:04:05.678Z */
    return 0;
}

static int close_log(void **state)
{
    log_to(STDERR_FILENO);
    log_level(LOG_LEVEL_INFO);
    log_role(NULL);
    log_redact(NULL);
    clock_set(0, 0);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* The one line that was written. */
static json_t *line_written(void)
{
    static char line[2 * LOG_LINE];
    ssize_t got = read(ends[0], line, sizeof line);
    assert_true(got > 1 && got <= LOG_LINE);
    assert_int_equal(line[got - 1], '\n');
    assert_null(memchr(line, '\n', (size_t)got - 1));
    json_t *object = NULL;
    struct err err = {0};
    if (!json_read(line, (size_t)got, sizeof line, &object, &err)) fail_msg("%s: %.*s", err.text, (int)got, line);
    return object;
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "(none)";
}

static void lines_carry_time_level_event_and_fields(void **state)
{
    log_role("ledger");
    log_event(LOG_LEVEL_WARNING, "thing-happened", log_text("call", "x\"y\\z\n\x01"), log_number("exit", -3),
              log_truth("ok", true), log_text("none", NULL), log_secret("token"));
    JSON_AUTO *line = line_written();
    assert_string_equal(text_of(line, "time"), "2026-01-02T03:04:05.678Z");
    assert_string_equal(text_of(line, "level"), "warning");
    assert_string_equal(text_of(line, "role"), "ledger");
    assert_string_equal(text_of(line, "event"), "thing-happened");
    assert_string_equal(text_of(line, "call"), "x\"y\\z\n\x01");
    assert_int_equal(json_integer_value(json_object_get(line, "exit")), -3);
    assert_true(json_is_true(json_object_get(line, "ok")));
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_string_equal(text_of(line, "token"), "[secret]");
}

static void hostile_bytes_stay_inside_the_string(void **state)
{
    char every[256];
    for (int i = 0; i < 255; i++) every[i] = (char)(i + 1);
    every[255] = '\0';
    log_event(LOG_LEVEL_ERROR, "bytes", log_text("every", every), log_text("utf8", "\xc3\xa9\xe2\x82\xac"));
    JSON_AUTO *line = line_written();
    assert_string_equal(text_of(line, "utf8"), "\xc3\xa9\xe2\x82\xac");
    assert_memory_equal(text_of(line, "every"), every, 0x7e);
}

static void long_texts_are_cut_and_say_so(void **state)
{
    static char text[10 * LOG_LINE];
    static const char fillers[] = {'x', '\x01', '\xff', '"'};
    for (size_t i = 0; i < sizeof fillers; i++) {
        memset(text, fillers[i], sizeof text - 1);
        log_event(LOG_LEVEL_ERROR, "long", log_text("text", text), log_number("after", 1));
        JSON_AUTO *line = line_written();
        assert_non_null(strstr(text_of(line, "text"), "[cut]"));
        assert_int_equal(json_integer_value(json_object_get(line, "after")), 1);
    }
}

static void full_lines_stay_whole(void **state)
{
    static char text[LOG_LINE];
    for (size_t length = 0; length < LOG_VALUE; length += 13) {
        memset(text, 'y', length);
        log_event(LOG_LEVEL_ERROR, "full", log_text("a", text), log_text("b", text), log_text("c", text),
                  log_text("d", text), log_number("last", 1));
        JSON_AUTO *line = line_written();
        bool whole = json_object_get(line, "last");
        assert_int_equal(json_is_true(json_object_get(line, "cut")), !whole);
        assert_string_equal(text_of(line, "a"), text);
    }
}

static bool hide_passwords(const char *key, const char *text)
{
    return strcmp(key, "password") == 0 || strstr(text, "canary");
}

static void the_hook_redacts(void **state)
{
    log_redact(hide_passwords);
    log_event(LOG_LEVEL_INFO, "x", log_text("password", "abc"), log_text("note", "has canary inside"),
              log_text("fine", "abc"));
    JSON_AUTO *line = line_written();
    assert_string_equal(text_of(line, "password"), "[redacted]");
    assert_string_equal(text_of(line, "note"), "[redacted]");
    assert_string_equal(text_of(line, "fine"), "abc");
}

static void levels_filter(void **state)
{
    enum log_level level;
    log_event(LOG_LEVEL_DEBUG, "unseen");
    log_event(LOG_LEVEL_INFO, "seen");
    JSON_AUTO *line = line_written();
    assert_string_equal(text_of(line, "event"), "seen");
    assert_true(log_level_parse("error", &level));
    assert_false(log_level_parse("loud", &level));
    log_level(level);
    log_event(LOG_LEVEL_WARNING, "unseen");
    struct err err;
    err_set(&err, ERR_IO, "what happened");
    log_failure("failed", &err);
    JSON_AUTO *other = line_written();
    assert_string_equal(text_of(other, "event"), "failed");
    assert_string_equal(text_of(other, "kind"), "system");
    assert_string_equal(text_of(other, "error"), "what happened");
}

#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(lines_carry_time_level_event_and_fields),
        WITH_LOG(hostile_bytes_stay_inside_the_string),
        WITH_LOG(long_texts_are_cut_and_say_so),
        WITH_LOG(full_lines_stay_whole),
        WITH_LOG(the_hook_redacts),
        WITH_LOG(levels_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
