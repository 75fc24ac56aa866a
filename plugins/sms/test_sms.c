/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: test_sms sms.so manifest.json — the connector against an API that is scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <caisson/testing.h>
#include <cmocka.h>

#define ACCOUNT "AC00000000000000000000000000000001"
#define SERVICE "MG00000000000000000000000000000002"

static const char *connector, *manifest;

static int set_up(void **state)
{
    struct csn_test *test = csn_test_open(connector, manifest);
    csn_test_secret(test, "account_sid", ACCOUNT);
    csn_test_secret(test, "auth_token", "tok:en");
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    csn_test_close(*state);
    return 0;
}

/* The API answers with that status and JSON. */
static void answer_with(struct csn_test *test, const char *status, const char *json)
{
    char script[1000];
    snprintf(script, sizeof script,
             "tls\nrequest\nsend HTTP/1.1 %s\nsend Content-Type: application/json\nsend Content-Length: "
             "%zu\nsend\nbody %s\n",
             status, strlen(json), json);
    csn_test_peer(test, "api.twilio.com", 443, script);
}

static void has(struct csn_test *test, const char *part)
{
    const char *seen = csn_test_seen(test, 0, NULL);
    if (!strstr(seen, part)) fail_msg("\"%s\" is not in what was sent:\n%s", part, seen);
}

static void sends_a_text(void **state)
{
    answer_with(*state, "201 Created", "{\"sid\":\"SM1\",\"status\":\"queued\",\"num_segments\":\"1\"}");
    const struct csn_test_result *result = csn_test_run(
        *state, "send", "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"body\":\"Grüße & 100%\\n+1=2\"}");
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_string_equal(result->answer,
                        "{\"http_status\":201,\"segments\":\"1\",\"sid\":\"SM1\",\"status\":\"queued\"}");
    has(*state, "POST /2010-04-01/Accounts/" ACCOUNT "/Messages.json HTTP/1.1\r\nHost: api.twilio.com\r\n");
    /* base64 of account and token, computed elsewhere */
    has(*state, "Authorization: Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0b2s6ZW4=\r\n");
    has(*state, "Content-Type: application/x-www-form-urlencoded\r\n");
    has(*state, "\r\n\r\nTo=%2B4915112345678&From=%2B15005550006&Body=Gr%C3%BC%C3%9Fe%20%26%20100%25%0A%2B1%3D2");
}

static void sends_media_by_service_with_callback(void **state)
{
    answer_with(*state, "201 Created", "{\"sid\":\"MM1\",\"status\":\"accepted\"}");
    csn_test_secret(*state, "api_key_sid", "SK1");
    csn_test_run(*state, "send",
                 "{\"to\":\"+4915112345678\",\"messaging_service_sid\":\"" SERVICE "\","
                 "\"media_urls\":[\"https://a.example/1.png\",\"https://a.example/2.png\"],"
                 "\"status_callback\":\"https://b.example/s?x=1&y=2\"}");
    has(*state, "Authorization: Basic U0sxOnRvazplbg==\r\n");
    has(*state, "\r\n\r\nTo=%2B4915112345678&MessagingServiceSid=" SERVICE
                "&MediaUrl=https%3A%2F%2Fa.example%2F1.png&MediaUrl=https%3A%2F%2Fa.example%2F2.png"
                "&StatusCallback=https%3A%2F%2Fb.example%2Fs%3Fx%3D1%26y%3D2");
    assert_string_equal(csn_test_answer(*state, "/status"), "accepted");
}

static void takes_sender_and_service_from_settings(void **state)
{
    csn_test_settings(*state, "{\"from\":\"Caisson\",\"base_url\":\"https://sms.example.org:8443/\"}");
    csn_test_peer(*state, "sms.example.org", 8443,
                  "tls\nrequest\nsend HTTP/1.1 201 Created\nsend\nbody {\"sid\":\"a\",\"status\":\"sent\"}\n");
    assert_int_equal(csn_test_run(*state, "send", "{\"to\":\"+4915112345678\",\"body\":\"x\"}")->status, CSN_TEST_OK);
    has(*state, "POST /2010-04-01/Accounts/" ACCOUNT "/Messages.json");
    has(*state, "From=Caisson");
    csn_test_settings(*state, "{\"from\":\"Caisson\",\"messaging_service_sid\":\"" SERVICE "\"}");
    answer_with(*state, "201 Created", "{\"sid\":\"SM1\",\"status\":\"queued\"}");
    csn_test_run(*state, "send", "{\"to\":\"+4915112345678\",\"body\":\"x\"}");
    has(*state, "MessagingServiceSid=" SERVICE);
    assert_null(strstr(csn_test_seen(*state, 0, NULL), "From="));
}

static void refuses_bad_input(void **state)
{
    static const char *const rows[] = {
        "{\"to\":\"banana\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"4915112345678\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"+0915112345678\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"+1\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"+1234567890123456\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"+49 151 1234567\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\\n\",\"from\":\"+15005550006\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\"}",
        "{\"to\":\"+4915112345678\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\",\"from\":\"A sender too long\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\",\"from\":\"12\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"messaging_service_sid\":\"" SERVICE
        "\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\",\"messaging_service_sid\":\"MG/../../x\",\"body\":\"x\"}",
        "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"media_urls\":[\"file:///etc/passwd\"]}",
        "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"body\":\"x\",\"status_callback\":\"nowhere\"}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct csn_test_result *result = csn_test_run(*state, "send", rows[i]);
        if (result->status != CSN_BAD_INPUT) fail_msg("%s: %d %s", rows[i], result->status, result->text);
        assert_int_equal(result->dials, 0);
    }
}

/* The account's name becomes part of the path: nothing but an identifier may stand there. */
static void refuses_bad_credentials(void **state)
{
    static const char *const accounts[] = {NULL, "", "AC1", "AC/../0000000000000000000000000000",
                                           "XX00000000000000000000000000000001"};
    for (size_t i = 0; i < sizeof accounts / sizeof *accounts; i++) {
        csn_test_secret(*state, "account_sid", accounts[i]);
        const struct csn_test_result *result = csn_test_run(
            *state, "send", "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"body\":\"x\"}");
        assert_int_equal(result->status, CSN_BAD_INPUT);
        assert_int_equal(result->dials, 0);
    }
}

static void understands_every_answer(void **state)
{
    static const struct {
        const char *status, *json;
        int expected;
    } rows[] = {
        {"400 Bad Request", "{\"code\":21211,\"message\":\"The 'To' number is not valid\",\"status\":400}",
         CSN_REJECTED},
        {"401 Unauthorized", "{\"code\":20003,\"message\":\"Authenticate\",\"status\":401}", CSN_REJECTED},
        {"429 Too Many Requests", "{\"code\":20429,\"message\":\"Too Many Requests\",\"status\":429}", CSN_RETRY},
        {"500 Oops", "<html>", CSN_RETRY},
        {"503 Busy", "{\"code\":20503,\"message\":\"busy\"}", CSN_RETRY},
        {"302 Found", "", CSN_REJECTED},
        {"200 OK", "<html>welcome to the hotel network</html>", CSN_UNKNOWN},
        {"201 Created", "{\"sid\":null,\"status\":{}}", CSN_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        answer_with(*state, rows[i].status, rows[i].json);
        const struct csn_test_result *result = csn_test_run(
            *state, "send", "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"body\":\"x\"}");
        if (result->status != rows[i].expected) fail_msg("row %zu: %d %s", i, result->status, result->text);
        assert_int_equal(result->committed, 1);
        if (i == 0) {
            assert_string_equal(csn_test_answer(*state, "/error_code"), "21211");
            assert_string_equal(csn_test_answer(*state, "/error_message"), "The 'To' number is not valid");
        }
    }
}

static void keeps_the_token_to_itself(void **state)
{
    answer_with(*state, "401 Unauthorized", "{}");
    const struct csn_test_result *result = csn_test_run(
        *state, "send", "{\"to\":\"+4915112345678\",\"from\":\"+15005550006\",\"body\":\"x\"}");
    assert_null(strstr(result->text, "tok:en"));
    assert_null(strstr(result->answer, "tok:en"));
    assert_null(strstr(result->log, "tok:en"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sends_a_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sends_media_by_service_with_callback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_sender_and_service_from_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_credentials, set_up, tear_down),
        cmocka_unit_test_setup_teardown(understands_every_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_the_token_to_itself, set_up, tear_down),
    };
    if (argc != 3) return 2;
    connector = argv[1];
    manifest = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
