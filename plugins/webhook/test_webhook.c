/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: test_webhook webhook.so manifest.json — the connector against receivers that are scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <caisson/testing.h>
#include <cmocka.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define URL "\"url\":\"https://hooks.example.com/in?x=1\""

static const char *connector, *manifest;

static int set_up(void **state)
{
    struct csn_test *test = csn_test_open(connector, manifest);
    csn_test_secret(test, "secret", SECRET);
    csn_test_clock(test, 1614265330);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    csn_test_close(*state);
    return 0;
}

static void answer_with(struct csn_test *test, const char *answer)
{
    char script[1000];
    snprintf(script, sizeof script, "tls\nrequest\n%s", answer);
    csn_test_peer(test, "hooks.example.com", 443, script);
}

static void has(struct csn_test *test, const char *part)
{
    const char *seen = csn_test_seen(test, 0, NULL);
    if (!strstr(seen, part)) fail_msg("\"%s\" is not in what was sent:\n%s", part, seen);
}

static void sends_signed_json(void **state)
{
    answer_with(*state,
                "send HTTP/1.1 200 OK\nsend Content-Type: text/plain\nsend Content-Length: 4\nsend\nbody done\n");
    const struct csn_test_result *result = csn_test_run(
        *state, "post", "{" URL ",\"data\":{\"test\":2432232314},\"headers\":{\"X-Own\":\"ä b\"}}");
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_int_equal(result->committed, 1);
    has(*state, "POST /in?x=1 HTTP/1.1\r\nHost: hooks.example.com\r\n");
    has(*state, "Content-Type: application/json\r\n");
    has(*state, "webhook-id: 01890a5d-ac96-774b-bcce-b302099a8057\r\n");
    has(*state, "webhook-timestamp: 1614265330\r\n");
    has(*state, "X-Own: ä b\r\n");
    has(*state, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
    has(*state, "\r\n\r\n{\"test\":2432232314}");
    /* computed with Python's hmac over id.timestamp.body */
    has(*state, "webhook-signature: v1,IjNvUBsJsJPSjbm8N/svugo6BZ+FFxII9EEdKWcreiw=\r\n");
    assert_string_equal(csn_test_answer(*state, "/status"), "200");
    assert_string_equal(csn_test_answer(*state, "/body"), "done");
}

static void signs_with_every_secret(void **state)
{
    csn_test_secret(*state, "secret", SECRET " whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    answer_with(*state, "send HTTP/1.1 204 No Content\nsend\n");
    const struct csn_test_result *result = csn_test_run(*state, "post", "{" URL ",\"text\":\"hi\"}");
    assert_int_equal(result->status, CSN_TEST_OK);
    const char *signature = strstr(csn_test_seen(*state, 0, NULL), "webhook-signature: v1,");
    assert_non_null(signature);
    assert_int_equal(strcspn(signature + 22, " "), 44);
    assert_memory_equal(signature + 22 + 44, " v1,", 4);
    has(*state, "Content-Type: text/plain; charset=utf-8\r\n");
}

static void puts_where_asked(void **state)
{
    answer_with(*state, "send HTTP/1.1 204 No Content\nsend\n");
    csn_test_run(*state, "post", "{" URL ",\"method\":\"PUT\",\"text\":\"<a/>\",\"content_type\":\"application/xml\"}");
    has(*state, "PUT /in?x=1 HTTP/1.1\r\n");
    has(*state, "Content-Type: application/xml\r\n");
}

static void wraps_binary_events(void **state)
{
    answer_with(*state, "send HTTP/1.1 204 No Content\nsend\n");
    csn_test_run(*state, "post",
                 "{" URL ",\"data\":1,\"event\":{\"type\":\"a.b\",\"source\":\"/s x\",\"subject\":\"Zoë\","
                 "\"extensions\":{\"region\":\"eu\"}}}");
    has(*state, "ce-specversion: 1.0\r\n");
    has(*state, "ce-type: a.b\r\n");
    has(*state, "ce-source: /s%20x\r\n");
    has(*state, "ce-subject: Zo%C3%AB\r\n");
    has(*state, "ce-region: eu\r\n");
    has(*state, "ce-time: 2021-02-25T15:02:10Z\r\n");
    has(*state, "\r\n\r\n1");
}

static void wraps_structured_events(void **state)
{
    answer_with(*state, "send HTTP/1.1 204 No Content\nsend\n");
    csn_test_run(*state, "post",
                 "{" URL ",\"data\":{\"k\":[1]},\"event\":{\"mode\":\"structured\",\"type\":\"a\",\"source\":\"/s\","
                 "\"id\":\"7\"}}");
    has(*state, "Content-Type: application/cloudevents+json; charset=utf-8\r\n");
    has(*state, "\r\n\r\n{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/s\",\"type\":\"a\","
                "\"time\":\"2021-02-25T15:02:10Z\",\"datacontenttype\":\"application/json\",\"data\":{\"k\":[1]}}");
}

static void understands_every_answer(void **state)
{
    static const struct {
        const char *answer;
        int status, retry_after;
    } rows[] = {
        {"send HTTP/1.1 301 Moved\nsend Location: https://evil.example/\nsend\n", CSN_REJECTED, -1},
        {"send HTTP/1.1 302 Found\nsend Location: https://hooks.example.com/2\nsend\n", CSN_REJECTED, -1},
        {"send HTTP/1.1 400 Bad\nsend Content-Length: 2\nsend\nbody no\n", CSN_REJECTED, -1},
        {"send HTTP/1.1 410 Gone\nsend\n", CSN_REJECTED, -1},
        {"send HTTP/1.1 429 Slow\nsend Retry-After: 17\nsend\n", CSN_RETRY, 17},
        {"send HTTP/1.1 429 Slow\nsend Retry-After: Thu, 25 Feb 2021 15:03:10 GMT\nsend\n", CSN_RETRY, 60},
        {"send HTTP/1.1 429 Slow\nsend Retry-After: 99999999999\nsend\n", CSN_RETRY, 86400},
        {"send HTTP/1.1 429 Slow\nsend Retry-After: soon\nsend\n", CSN_RETRY, -1},
        {"send HTTP/1.1 502 Bad\nsend\n", CSN_RETRY, -1},
        {"send HTTP/1.1 504 Bad\nsend Retry-After: 3\nsend\n", CSN_RETRY, 3},
        {"send HTTP/1.1 501 No\nsend\n", CSN_REJECTED, -1},
        {"send HTTP/1.1 100 Continue\nsend\nsend HTTP/1.1 200 OK\nsend\n", CSN_TEST_OK, -1},
        {"close\n", CSN_UNKNOWN, -1},
        {"send HTTP/1.1 200 OK\nsend Content-Length: 100\nsend\nbody part\n", CSN_UNKNOWN, -1},
        {"body HTTP/1.1 20\nclose\n", CSN_UNKNOWN, -1},
        {"send SSH-2.0-OpenSSH_9\n", CSN_UNKNOWN, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        answer_with(*state, rows[i].answer);
        const struct csn_test_result *result = csn_test_run(*state, "post", "{" URL ",\"data\":{}}");
        if (result->status != rows[i].status || result->retry_after != rows[i].retry_after)
            fail_msg("row %zu: status %d (%s), retry after %d", i, result->status, result->text, result->retry_after);
        assert_int_equal(result->committed, 1);
        assert_int_equal(result->dials, 1);
    }
}

static void says_gone(void **state)
{
    answer_with(*state, "send HTTP/1.1 410 Gone\nsend\n");
    csn_test_run(*state, "post", "{" URL ",\"data\":{}}");
    assert_string_equal(csn_test_answer(*state, "/gone"), "true");
}

static void caps_the_answer(void **state)
{
    csn_test_settings(*state, "{\"max_answer\":100}");
    answer_with(*state, "send HTTP/1.1 200 OK\nsend\nfill 10000000\n");
    const struct csn_test_result *result = csn_test_run(*state, "post", "{" URL ",\"data\":{}}");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_int_equal(strlen(csn_test_answer(*state, "/body")), 100);
    assert_string_equal(csn_test_answer(*state, "/truncated"), "true");
}

static void caps_the_headers(void **state)
{
    char script[5000] = "tls\nrequest\nsend HTTP/1.1 200 OK\n";
    for (int i = 0; i < 100; i++) strcat(script, "body X-Long: \nfill 3000\nsend\n");
    csn_test_peer(*state, "hooks.example.com", 443, script);
    assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->status, CSN_UNKNOWN);
}

/* Nothing may be sent when the other side is not who it should be, or cannot be reached. */
static void sends_nothing_before_it_is_sure(void **state)
{
    static const struct {
        const char *script;
        int status;
    } rows[] = {{"tls other.example.com\nrequest\n", CSN_REJECTED},
                {"tls expired\nrequest\n", CSN_REJECTED},
                {"tls unknown\nrequest\n", CSN_REJECTED},
                {"refuse\n", CSN_REJECTED},
                {"fail\n", CSN_RETRY},
                {"close\n", CSN_RETRY},
                {"send HTTP/1.1 200 OK\nsend\n", CSN_RETRY}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        csn_test_peer(*state, "hooks.example.com", 443, rows[i].script);
        const struct csn_test_result *result = csn_test_run(*state, "post", "{" URL ",\"data\":{}}");
        if (result->status != rows[i].status) fail_msg("row %zu: %d %s", i, result->status, result->text);
        assert_int_equal(result->committed, 0);
        assert_null(strstr(csn_test_seen(*state, 0, NULL), "POST"));
    }
}

static void refuses_bad_input(void **state)
{
    static const char *const rows[] = {
        "{" URL ",\"data\":{},\"headers\":{\"X-A\":\"a\\r\\nX-B: c\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"X A\":\"a\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"X-A:\":\"a\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"Host\":\"evil.example\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"Content-Length\":\"3\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"Transfer-Encoding\":\"chunked\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"webhook-signature\":\"v1,x\"}}",
        "{" URL ",\"data\":{},\"headers\":{\"Authorization\":\"x\"}}",
        "{" URL ",\"data\":{},\"content_type\":\"a/b\\nX: y\"}",
        "{" URL ",\"data\":{},\"event\":{\"type\":\"a\",\"source\":\"b\",\"extensions\":{\"Bad\":\"x\"}}}",
        "{" URL ",\"data\":{},\"event\":{\"type\":\"a\",\"source\":\"b\",\"extensions\":{\"id\":\"x\"}}}",
        "{\"url\":\"http://hooks.example.com/\",\"data\":{}}",
        "{\"url\":\"ftp://hooks.example.com/\",\"data\":{}}",
        "{\"url\":\"file:///etc/passwd\",\"data\":{}}",
        "{\"url\":\"https://user:pw@hooks.example.com/\",\"data\":{}}",
        "{\"url\":\"https://hooks.example.com:0/\",\"data\":{}}",
        "{\"url\":\"https://hooks.example.com:99999/\",\"data\":{}}",
        "{\"url\":\"https://hööks.example.com/\",\"data\":{}}",
        "{\"url\":\"https://hooks.example.com/a b\",\"data\":{}}",
        "{\"url\":\"https://hooks.example.com/\\r\\nX: y\",\"data\":{}}",
        "{\"url\":\"https:///\",\"data\":{}}",
        "{\"url\":\"hooks.example.com\",\"data\":{}}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct csn_test_result *result = csn_test_run(*state, "post", rows[i]);
        if (result->status != CSN_BAD_INPUT && result->status != CSN_REJECTED)
            fail_msg("%s: %d %s", rows[i], result->status, result->text);
        assert_int_equal(result->dials, 0);
        assert_int_equal(result->committed, 0);
    }
}

static void refuses_to_send_unsigned(void **state)
{
    static const char *const secrets[] = {NULL,  "",           "whsec_",
                                          "abc", "whsec_AAAA", "whsec_!!!!AAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        csn_test_secret(*state, "secret", secrets[i]);
        const struct csn_test_result *result = csn_test_run(*state, "post", "{" URL ",\"data\":{}}");
        assert_int_equal(result->status, CSN_BAD_INPUT);
        assert_int_equal(result->dials, 0);
    }
    csn_test_secret(*state, "secret", NULL);
    csn_test_settings(*state, "{\"unsigned\":true}");
    csn_test_secret(*state, "authorization", "Bearer abc");
    answer_with(*state, "send HTTP/1.1 204 No Content\nsend\n");
    assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->status, CSN_TEST_OK);
    has(*state, "Authorization: Bearer abc\r\n");
    assert_null(strstr(csn_test_seen(*state, 0, NULL), "signature"));
}

static void speaks_plain_http_only_where_allowed(void **state)
{
    csn_test_settings(*state, "{\"plain_http\":true}");
    csn_test_peer(*state, "hooks.example.com", 80, "request\nsend HTTP/1.1 204 No Content\nsend\n");
    const struct csn_test_result *result = csn_test_run(*state, "post",
                                                        "{\"url\":\"http://hooks.example.com/\",\"data\":{}}");
    assert_int_equal(result->status, CSN_TEST_OK);
}

/* A leased worker keeps its session; one that broke is not used for a second request, and nothing is sent twice. */
static void keeps_sessions_and_never_repeats(void **state)
{
    csn_test_lease(*state, 1);
    csn_test_peer(*state, "hooks.example.com", 443,
                  "tls\nrequest\nsend HTTP/1.1 204 No Content\nsend\nrequest\nsend HTTP/1.1 204 No Content\nsend\n"
                  "request\nclose\n");
    for (int i = 0; i < 2; i++)
        assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->status, CSN_TEST_OK);
    const struct csn_test_result *result = csn_test_run(*state, "post", "{" URL ",\"data\":{}}");
    assert_int_equal(result->status, CSN_UNKNOWN);
    assert_non_null(strstr(result->text, "the kept connection broke"));
    assert_int_equal(result->dials, 1);
}

/* A session with one host is never used for another, although both have the same made-up address. */
static void keeps_hosts_apart(void **state)
{
    csn_test_lease(*state, 1);
    answer_with(*state, "send HTTP/1.1 204 No Content\nsend\nhang\n");
    csn_test_peer(*state, "b.example.com", 443, "tls\nrequest\nsend HTTP/1.1 204 No Content\nsend\nhang\n");
    assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->dials, 1);
    const struct csn_test_result *result = csn_test_run(*state, "post",
                                                        "{\"url\":\"https://b.example.com/\",\"data\":{}}");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_int_equal(result->dials, 2);
}

static void answers_before_the_deadline(void **state)
{
    csn_test_deadline(*state, 2500); /* enough to get as far as the request on a busy machine */
    csn_test_peer(*state, "hooks.example.com", 443, "tls\nrequest\nhang\n");
    assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->status, CSN_UNKNOWN);
    csn_test_deadline(*state, 300);
    csn_test_peer(*state, "hooks.example.com", 443, "hang\n");
    assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->status, CSN_RETRY);
    csn_test_deadline(*state, 0);
    assert_int_equal(csn_test_run(*state, "post", "{" URL ",\"data\":{}}")->status, CSN_RETRY);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sends_signed_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signs_with_every_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(puts_where_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wraps_binary_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wraps_structured_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(understands_every_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(caps_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(caps_the_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_nothing_before_it_is_sure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_to_send_unsigned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(speaks_plain_http_only_where_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_sessions_and_never_repeats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_hosts_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_before_the_deadline, set_up, tear_down),
    };
    if (argc != 3) return 2;
    connector = argv[1];
    manifest = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
