/* SPDX-License-Identifier: Apache-2.0 */
/* Headers and bodies of callers, routes, problems, configuration and rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/front/answer.h"
#include "runtime/front/api.h"
#include "runtime/front/config.h"
#include "runtime/front/problem.h"
#include "runtime/front/rate.h"
#include "runtime/front/request.h"
#include "runtime/front/weigh.h"

static void test_keys(void **state)
{
    char longest[258], key[KEY_BYTES];
    memset(longest, 'k', 257);
    longest[257] = '\0';
    const struct {
        const char *header, *key;
    } rows[] = {
        {"abc", "abc"},
        {"\"abc\"", "abc"},
        {"\"a\\\"b\\\\c\"", "a\"b\\c"},
        {longest + 2, longest + 2},
        {"", NULL},
        {"\"\"", NULL},
        {"\"abc", NULL},
        {"\"abc\"x", NULL},
        {"\"a\\b\"", NULL},
        {"a b", NULL},
        {"a\tb", NULL},
        {"a\x7f", NULL},
        {"\xc3\xbc", NULL},
        {longest + 1, NULL},
        {"a\"b", NULL},
        {"\"a\\", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        key[0] = '\0';
        if (key_read(rows[i].header, key, &err) != (rows[i].key != NULL)) fail_msg("key <%s>", rows[i].header);
        if (rows[i].key)
            assert_string_equal(key, rows[i].key);
        else
            assert_int_equal(err.kind, ERR_MALFORMED);
    }
    struct err err;
    key[0] = '\0';
    assert_true(key_read(NULL, key, &err));
    assert_string_equal(key, "");
}

static void test_traces(void **state)
{
    static const char good[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    static const char *const bad[] = {"00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                      "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                                      "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
                                      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                                      ""};
    char trace[TRACE_BYTES];
    trace_read(good, trace);
    assert_string_equal(trace, good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        trace_read(bad[i], trace);
        assert_string_equal(trace, "");
    }
}

static void test_bearer_and_type(void **state)
{
    const char *token;
    assert_true(bearer_read(NULL, &token) && !token);
    assert_true(bearer_read("Bearer cst_abcdefgh", &token));
    assert_string_equal(token, "cst_abcdefgh");
    assert_true(bearer_read("bearer   cst_abcdefgh", &token));
    assert_false(bearer_read("Basic abcdefgh", &token));
    assert_false(bearer_read("Bearer ", &token));
    assert_false(bearer_read("Bearer abcdefgh ijk", &token));
    assert_false(bearer_read("Bearer abcdefgh\x01", &token));
    assert_true(media_is_json("application/json"));
    assert_true(media_is_json("Application/JSON; charset=utf-8"));
    assert_false(media_is_json("application/jsonx"));
    assert_false(media_is_json("text/plain"));
    assert_false(media_is_json(NULL));
}

static void test_bodies(void **state)
{
    static const struct {
        const char *body;
        enum err_kind kind;
        const char *pointer;
    } rows[] = {
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":{}}", ERR_NONE, ""},
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":{},\"timeout_ms\":5,\"workspace\":\"w\",\"credential\":"
         "\"c\"}",
         ERR_NONE, ""},
        {"", ERR_MALFORMED, ""},
        {"[]", ERR_MALFORMED, ""},
        {"{", ERR_MALFORMED, ""},
        {"{\"action\":\"b\",\"input\":{}}", ERR_BAD_INPUT, "/connector"},
        {"{\"connector\":\"../a\",\"action\":\"b\",\"input\":{}}", ERR_BAD_INPUT, "/connector"},
        {"{\"connector\":\"a\",\"action\":7,\"input\":{}}", ERR_BAD_INPUT, "/action"},
        {"{\"connector\":\"a\",\"action\":\"b\"}", ERR_BAD_INPUT, "/input"},
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":[]}", ERR_BAD_INPUT, "/input"},
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":{},\"timeout_ms\":0}", ERR_BAD_INPUT, "/timeout_ms"},
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":{},\"timeout_ms\":1.5}", ERR_BAD_INPUT, "/timeout_ms"},
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":{},\"workspace\":\"A\"}", ERR_BAD_INPUT, "/workspace"},
        {"{\"connector\":\"a\",\"action\":\"b\",\"input\":{},\"x\":1}", ERR_BAD_INPUT, ""},
        {"{\"connector\":\"a\",\"connector\":\"b\",\"action\":\"b\",\"input\":{}}", ERR_MALFORMED, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct call_request request = {0};
        struct err err = {0};
        request_read(rows[i].body, strlen(rows[i].body), &request, &err);
        if (err.kind != rows[i].kind) fail_msg("%s: %s", rows[i].body, err.text);
        assert_string_equal(request.pointer, rows[i].pointer);
        request_clear(&request);
    }
}

/* The same document in another spelling is the same input: key fingerprints must agree. */
static void test_input_is_canonical(void **state)
{
    static const char one[] = "{\"connector\":\"a\",\"action\":\"b\",\"input\":{\"y\":[1, 2],\"x\":\"\\u00fc\"}}";
    static const char two[] = "{ \"input\" : { \"x\":\"ü\", \"y\":[1,2] }, \"action\":\"b\", \"connector\":\"a\" }";
    struct call_request first = {0}, second = {0};
    struct err err;
    assert_true(request_read(one, strlen(one), &first, &err));
    assert_true(request_read(two, strlen(two), &second, &err));
    assert_string_equal(first.input.bytes, second.input.bytes);
    assert_string_equal(first.input.bytes, "{\"x\":\"ü\",\"y\":[1,2]}");
    request_clear(&first);
    request_clear(&second);
}

static void test_routes(void **state)
{
    char param[ROUTE_PARAM], allow[64];
    const struct route *row = route_find(ROLE_FRONT, "GET", "/v1/calls/abc", param, allow);
    assert_non_null(row);
    assert_int_equal(row->message, MSG_CALLS_GET);
    assert_string_equal(param, "abc");
    assert_non_null(route_find(ROLE_FRONT, "HEAD", "/v1/health", param, allow));
    assert_null(route_find(ROLE_FRONT, "GET", "/v1/calls/", param, allow));
    assert_null(route_find(ROLE_FRONT, "GET", "/v1/calls/a/b", param, allow));
    assert_string_equal(allow, "");
    assert_null(route_find(ROLE_FRONT, "PUT", "/v1/calls", param, allow));
    assert_string_equal(allow, "POST, GET, HEAD");
    assert_non_null(route_find(ROLE_DESK, "POST", "/v1/calls/abc/retry", param, allow));
    assert_string_equal(param, "abc");
}

/* Power flows through the desk only: whatever the ledger takes from nobody but it has no route on the front, and the
 * desk cannot begin calls. */
static void test_front_has_no_administration(void **state)
{
    for (const struct route *row = api_routes; row->method; row++) {
        char param[ROUTE_PARAM], allow[64];
        const struct msg_row *message = msg_row(row->message);
        bool desk_only = message && !(message->from & MSG_BIT(ROLE_FRONT));
        if (desk_only) assert_int_equal(row->roles, MSG_BIT(ROLE_DESK));
        if (desk_only) assert_null(route_find(ROLE_FRONT, row->method, row->path, param, allow));
        if (message) assert_true(msg_row(row->message)->to & MSG_BIT(ROLE_LEDGER));
    }
    char param[ROUTE_PARAM], allow[64];
    assert_null(route_find(ROLE_DESK, "POST", "/v1/calls", param, allow));
}

static void test_problems(void **state)
{
    for (unsigned kind = ERR_USAGE; kind < PROBLEM_KINDS; kind++) {
        struct http_reply reply = {0};
        buf_init(&reply.body, 4096);
        problem_write(&(struct problem){.kind = kind, .detail = "what happened", .instance = "x"}, &reply);
        json_t *object = json_loads(reply.body.bytes, 0, NULL);
        assert_int_equal(reply.status, problem_row(kind)->http);
        assert_true(reply.status >= 400);
        assert_int_equal(json_integer_value(json_object_get(object, "status")), reply.status);
        assert_string_equal(reply.type, "application/problem+json");
        assert_memory_equal(json_string_value(json_object_get(object, "type")), PROBLEM_URN, strlen(PROBLEM_URN));
        assert_true((reply.retry_after > 0) == problem_row(kind)->retry);
        assert_true(reply.authenticate == (reply.status == 401));
        json_decref(object);
        buf_clear(&reply.body);
    }
}

static void test_outcomes(void **state)
{
    static const struct {
        enum call_class class;
        enum call_sent sent;
        enum call_reason reason;
        bool replay;
        unsigned kind;
    } rows[] = {
        {CLASS_OK, SENT_YES, REASON_NONE, false, ERR_NONE},
        {CLASS_OK, SENT_MAYBE, REASON_NONE, true, ERR_NONE},
        {CLASS_REJECTED, SENT_YES, REASON_REMOTE, false, ERR_REJECTED},
        {CLASS_RETRYABLE, SENT_NO, REASON_REMOTE, false, ERR_RETRYABLE},
        {CLASS_BAD_INPUT, SENT_NO, REASON_NONE, false, ERR_BAD_INPUT},
        {CLASS_TIMEOUT, SENT_MAYBE, REASON_DEADLINE, false, ERR_TIMEOUT},
        {CLASS_TIMEOUT, SENT_MAYBE, REASON_DEADLINE, true, ERR_UNCERTAIN},
        {CLASS_REJECTED, SENT_YES, REASON_REMOTE, true, ERR_REJECTED},
        {CLASS_CRASHED, SENT_NO, REASON_SIGNAL, false, ERR_CRASHED},
        {CLASS_CRASHED, SENT_NO, REASON_PROTOCOL_ERROR, false, ERR_PROTOCOL},
        {CLASS_CRASHED, SENT_NO, REASON_LOAD_FAILED, false, ERR_LOAD},
        {CLASS_VIOLATION, SENT_NO, REASON_SYSCALL, false, ERR_VIOLATION},
        {CLASS_REFUSED, SENT_NO, REASON_NO_WORKER, false, ERR_BUSY},
        {CLASS_REFUSED, SENT_NO, REASON_POLICY, false, ERR_STALE},
        {CLASS_LOST, SENT_MAYBE, REASON_REMOTE, false, ERR_LOST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct call call;
        call_init(&call);
        call.class = rows[i].class;
        call.sent = rows[i].sent;
        call.reason = rows[i].reason;
        call.replay = rows[i].replay;
        assert_int_equal(outcome_kind(&call), rows[i].kind);
        call_clear(&call);
    }
}

static int memory_of(const char *text)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static void test_config(void **state)
{
    static const char *const bad[] = {"[]",
                                      "{",
                                      "{\"calls\":0}",
                                      "{\"calls\":\"9\"}",
                                      "{\"cors\":\"*\"}",
                                      "{\"cors\":[\"*\"]}",
                                      "{\"cors\":[\"https://a, https://b\"]}"};
    struct front_config config;
    struct err err;
    int fd = memory_of("{\"calls\":9,\"cors\":[\"https://a.example\"],\"other\":{}}");
    assert_true(config_read(fd, &config, &err));
    close(fd);
    assert_int_equal(config.calls, 9);
    assert_int_equal(config.timeout_ms, 30000);
    assert_string_equal(config.origins[0], "https://a.example");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fd = memory_of(bad[i]);
        if (config_read(fd, &config, &err)) fail_msg("accepted: %s", bad[i]);
        close(fd);
    }
}

/* A reload: what is in force is changed as a whole, under its readers. */
static void test_config_again(void **state)
{
    struct front_config config, fresh;
    struct err err;
    config_defaults(&config);
    assert_false(config_allows(&config, "https://a.example"));
    assert_false(config_allows(&config, NULL));
    int fd = memory_of("{\"calls\":9,\"timeout_ms\":500,\"cors\":[\"https://a.example\",\"https://b.example\"]}");
    assert_true(config_read(fd, &fresh, &err));
    close(fd);
    config_take(&config, &fresh);
    assert_int_equal(config.calls, 9);
    assert_int_equal(config.timeout_ms, 500);
    assert_true(config_allows(&config, "https://b.example"));
    config_defaults(&fresh);
    config_take(&config, &fresh);
    assert_int_equal(config.calls, 256);
    assert_false(config_allows(&config, "https://b.example"));
}

/* Three bytes of text may cost hundreds of memory: counted before anything is made of them. */
static void test_weight(void **state)
{
    size_t size = 4 * 1024 * 1024;
    char *text = malloc(size + 1);
    memset(text, '[', size);
    assert_false(json_affordable(text, size));
    for (size_t i = 0; i < size; i += 2) memcpy(text + i, "0,", 2);
    assert_false(json_affordable(text, size));
    memset(text, ',', size);
    text[0] = text[size - 1] = '"';
    assert_true(json_affordable(text, size)); /* one string, however long */
    static const struct {
        const char *middle;
        bool one_string;
    } rows[] = {{"\\\"", true}, {"\\\\\\\"", true}, {"a\\\\\"", false}, {"aaaa\"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(text + size / 2, rows[i].middle, strlen(rows[i].middle));
        assert_true(json_affordable(text, size) == rows[i].one_string);
        memset(text + size / 2, ',', 8);
    }
    free(text);
}

static void test_rates(void **state)
{
    struct rates *rates = malloc(sizeof *rates);
    uint32_t wait_s = 0;
    clock_set(1000 * CLOCK_S, 0);
    rates_init(rates, 2, 3);
    for (int i = 0; i < 3; i++) assert_true(rate_take(rates, 1, 1, &wait_s));
    assert_false(rate_take(rates, 1, 1, &wait_s));
    assert_true(wait_s >= 1);
    assert_true(rate_take(rates, 2, 1, &wait_s)); /* somebody else has a share of his own */
    clock_set(1001 * CLOCK_S, 0);
    assert_true(rate_take(rates, 1, 2, &wait_s));
    assert_false(rate_take(rates, 1, 1, &wait_s));
    for (uint64_t caller = 10; caller < 5000; caller++) assert_true(rate_take(rates, caller, 1, &wait_s));
    clock_set(0, 0);
    free(rates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_bearer_and_type),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_input_is_canonical),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_front_has_no_administration),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_again),
        cmocka_unit_test(test_weight),
        cmocka_unit_test(test_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
