/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: test_oauth2 oauth2.so manifest.json — the connector against a token endpoint that is scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <caisson/testing.h>
#include <cmocka.h>

static const char *connector, *manifest;

/* As runtime/messages.h and sandbox/frames.h have it. */
enum { OK = 1, INVALID_GRANT, INVALID_CLIENT, REFUSED, LATER, ODD };
struct grant {
    uint32_t magic, verdict, expires_in, access_length, refresh_length, reserved;
    unsigned char access[4096], refresh[1536];
};

static int set_up(void **state)
{
    struct csn_test *test = csn_test_open(connector, manifest);
    csn_test_secret(test, "client_id", "cli ent");
    csn_test_secret(test, "client_secret", "se:cret/+");
    csn_test_secret(test, "token_url", "https://login.example.org/token");
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    csn_test_close(*state);
    return 0;
}

static void answer_with(struct csn_test *test, const char *status, const char *json)
{
    char script[9000];
    int used = snprintf(script, sizeof script,
                        "tls\nrequest\nsend HTTP/1.1 %s\nsend Content-Type: application/json\nsend Content-Length: "
                        "%zu\nsend\n",
                        status, strlen(json));
    for (const char *at = json; *at; at += strnlen(at, 3000))
        used += snprintf(script + used, sizeof script - (size_t)used, "body %.3000s\n", at);
    csn_test_peer(test, "login.example.org", 443, script);
}

static void has(struct csn_test *test, const char *part)
{
    const char *seen = csn_test_seen(test, 0, NULL);
    if (!strstr(seen, part)) fail_msg("\"%s\" is not in what was sent:\n%s", part, seen);
}

static unsigned digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return c == '=' ? 0 : (unsigned)(strchr(digits, c) - digits);
}

/* The answer, taken apart as the vault does: exact texts around base64 of the whole structure. */
static struct grant run(struct csn_test *test)
{
    static const char before[] = "{\"grant\":\"", after[] = "\"}";
    struct grant grant;
    unsigned char *out = (unsigned char *)&grant;
    size_t length = (sizeof grant + 2) / 3 * 4, used = 0;
    const struct csn_test_result *result = csn_test_run(test, "exchange", "{}");
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_int_equal(strlen(result->answer), sizeof before - 1 + length + sizeof after - 1);
    assert_memory_equal(result->answer, before, sizeof before - 1);
    assert_string_equal(result->answer + sizeof before - 1 + length, after);
    const char *text = result->answer + sizeof before - 1;
    for (size_t i = 0; i < length; i += 4) {
        unsigned bits = digit(text[i]) << 18 | digit(text[i + 1]) << 12 | digit(text[i + 2]) << 6 | digit(text[i + 3]);
        for (int shift = 16; shift >= 0 && used < sizeof grant; shift -= 8)
            out[used++] = (unsigned char)(bits >> shift);
    }
    assert_int_equal(grant.magic, 0x31544e47);
    for (size_t i = 0; i < sizeof grant.access; i++) grant.access[i] ^= 0xa5;
    for (size_t i = 0; i < sizeof grant.refresh; i++) grant.refresh[i] ^= 0xa5;
    return grant;
}

static void client_credentials(void **state)
{
    csn_test_secret(*state, "scope", "read write");
    answer_with(*state, "200 OK",
                "{\"access_token\":\"at-1\",\"token_type\":\"Bearer\",\"expires_in\":3600,\"refresh_token\":\"x\"}");
    struct grant grant = run(*state);
    assert_int_equal(grant.verdict, OK);
    assert_int_equal(grant.expires_in, 3600);
    assert_int_equal(grant.access_length, 4);
    assert_memory_equal(grant.access, "at-1", 5);
    assert_int_equal(grant.refresh_length, 0); /* nobody's consent was asked, so there is nothing to renew */
    has(*state, "POST /token HTTP/1.1\r\n");
    has(*state, "Authorization: Basic Y2xpK2VudDpzZSUzQWNyZXQlMkYlMkI=\r\n"); /* base64 of cli+ent:se%3Acret%2F%2B */
    has(*state, "\r\n\r\ngrant_type=client_credentials&scope=read%20write");
}

static void refresh(void **state)
{
    csn_test_secret(*state, "refresh_token", "rt-old-1");
    csn_test_settings(*state, "{\"client_authentication\":\"post\"}");
    answer_with(
        *state, "200 OK",
        "{\"access_token\":\"at-2\",\"token_type\":\"bearer\",\"expires_in\":60.5,\"refresh_token\":\"rt-new-2\"}");
    struct grant grant = run(*state);
    assert_int_equal(grant.verdict, OK);
    assert_int_equal(grant.expires_in, 60);
    assert_int_equal(grant.refresh_length, 8);
    assert_memory_equal(grant.refresh, "rt-new-2", 9);
    has(*state, "grant_type=refresh_token&refresh_token=rt-old-1&client_id=cli%20ent&client_secret=se%3Acret%2F%2B");
    if (strstr(csn_test_seen(*state, 0, NULL), "Authorization:")) fail_msg("the secret stands in the header as well");
}

/* A token that holds the client's own name is no secret to be masked: it would come out broken. */
static void own_name_in_the_token(void **state)
{
    csn_test_secret(*state, "refresh_token", "rt-old-1");
    answer_with(*state, "200 OK", "{\"access_token\":\"a.se:cret/+.rt-old-1.z\",\"refresh_token\":\"rt-old-1\"}");
    struct grant grant = run(*state);
    assert_int_equal(grant.verdict, OK);
    assert_memory_equal(grant.access, "a.se:cret/+.rt-old-1.z", grant.access_length);
    assert_int_equal(grant.refresh_length, 0); /* the same as before */
    assert_int_equal(grant.expires_in, 0);
}

static void verdicts(void **state)
{
    static char large[4200] = "{\"access_token\":\"";
    static const struct {
        const char *status, *json;
        uint32_t verdict;
    } cases[] = {
        {"400 Bad Request", "{\"error\":\"invalid_grant\"}", INVALID_GRANT},
        {"401 Unauthorized", "{\"error\":\"invalid_client\"}", INVALID_CLIENT},
        {"401 Unauthorized", "{}", INVALID_CLIENT},
        {"400 Bad Request", "{\"error\":\"invalid_scope\"}", REFUSED},
        {"404 Not Found", "nothing", REFUSED},
        {"429 Too Many Requests", "{}", LATER},
        {"503 Service Unavailable", "{}", LATER},
        {"302 Found", "{}", ODD},
        {"200 OK", "{}", ODD},
        {"200 OK", "not JSON", ODD},
        {"200 OK", "{\"access_token\":\"a b\"}", ODD},
        {"200 OK", "{\"access_token\":\"a\\u000ab\"}", ODD},
        {"200 OK", "{\"access_token\":\"\"}", ODD},
        {"200 OK", "{\"access_token\":\"a\",\"token_type\":\"mac\"}", ODD},
        {"200 OK", large, ODD},
    };
    memset(large + strlen(large), 'x', 4150);
    memcpy(large + 4170, "\"}", 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *own = NULL;
        set_up(&own);
        answer_with(own, cases[i].status, cases[i].json);
        struct grant grant = run(own);
        if (grant.verdict != cases[i].verdict) fail_msg("%s %.60s: %u", cases[i].status, cases[i].json, grant.verdict);
        tear_down(&own);
    }
    (void)state;
}

static void nobody_there(void **state)
{
    assert_int_equal(run(*state).verdict == LATER || run(*state).verdict == REFUSED, 1);
}

int main(int count, char **words)
{
    if (count != 3) return 2;
    connector = words[1];
    manifest = words[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(client_credentials, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(own_name_in_the_token, set_up, tear_down),
        cmocka_unit_test(verdicts),
        cmocka_unit_test_setup_teardown(nobody_there, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
