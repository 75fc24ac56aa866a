/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: test_witness witness.so manifest.json — the connector against witnesses that are scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <caisson/testing.h>
#include <cmocka.h>

#define HASH_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define HASH_B "//////////////////////////////////////////8="
#define NOTE "log.example.org/a/1\\n7\\n" HASH_A "\\n\\n\u2014 log.example.org/a/1 c2lnbmF0dXJl\\n"
#define URL   "\"url\":\"https://witness.example.com/w\","
#define INPUT "{" URL "\"old\":4,\"proof\":[\"" HASH_A "\",\"" HASH_B "\"],\"checkpoint\":\"" NOTE "\"}"

#define CONFLICT "send HTTP/1.1 409 Conflict\nsend Content-Type: text/x.tlog.size\nsend "

static const char *connector, *manifest;

static int set_up(void **state)
{
    struct csn_test *test = csn_test_open(connector, manifest);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    csn_test_close(*state);
    return 0;
}

static const struct csn_test_result *run_with(struct csn_test *test, const char *answer, const char *input)
{
    char script[1000];
    snprintf(script, sizeof script, "tls\nrequest\n%s", answer);
    csn_test_peer(test, "witness.example.com", 443, script);
    return csn_test_run(test, "add-checkpoint", input);
}

static void brings_a_cosignature(void **state)
{
    const struct csn_test_result *result =
        run_with(*state, "send HTTP/1.1 200 OK\nsend Content-Length: 11\nsend\nbody \u2014 w AAAA\\n\n", INPUT);
    assert_string_equal(result->problem, "");
    assert_int_equal(result->status, CSN_TEST_OK);
    const char *seen = csn_test_seen(*state, 0, NULL);
    if (!strstr(seen, "POST /w/add-checkpoint HTTP/1.1\r\n")) fail_msg("%s", seen);
    if (!strstr(seen, "\r\n\r\nold 4\n" HASH_A "\n" HASH_B "\n\nlog.example.org/a/1\n7\n" HASH_A "\n\n\u2014 "))
        fail_msg("%s", seen);
    assert_string_equal(csn_test_answer(*state, "/status"), "200");
    assert_non_null(strstr(csn_test_answer(*state, "/cosignature"), "\u2014 w AAAA"));
}

static void says_which_size(void **state)
{
    const struct csn_test_result *result =
        run_with(*state, CONFLICT "Content-Length: 2\nsend\nbody 5\\n\n", INPUT);
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_string_equal(csn_test_answer(*state, "/status"), "409");
    assert_string_equal(csn_test_answer(*state, "/size"), "5");
}

static void wrong_proof(void **state)
{
    const struct csn_test_result *result =
        run_with(*state, "send HTTP/1.1 422 Unprocessable Entity\nsend Content-Length: 0\nsend\n", INPUT);
    assert_int_equal(result->status, CSN_TEST_OK);
    assert_string_equal(csn_test_answer(*state, "/status"), "422");
}

static void refusals_are_rejections(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 404 Not Found\nsend Content-Length: 0\nsend\n",
        "HTTP/1.1 403 Forbidden\nsend Content-Length: 0\nsend\n",
        "HTTP/1.1 400 Bad Request\nsend Content-Length: 0\nsend\n",
        "HTTP/1.1 200 OK\nsend Content-Length: 0\nsend\n",
        /* sizes that are none, or of another type */
        "HTTP/1.1 409 Conflict\nsend Content-Type: text/x.tlog.size\nsend Content-Length: 2\nsend\nbody ?\\n\n",
        "HTTP/1.1 409 Conflict\nsend Content-Type: text/x.tlog.size\nsend Content-Length: 3\nsend\nbody 05\\n\n",
        "HTTP/1.1 409 Conflict\nsend Content-Type: text/x.tlog.size\nsend Content-Length: 3\nsend\nbody -5\\n\n",
        "HTTP/1.1 409 Conflict\nsend Content-Type: text/plain\nsend Content-Length: 2\nsend\nbody 5\\n\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        char script[300];
        snprintf(script, sizeof script, "send %s", answers[i]);
        if (run_with(*state, script, INPUT)->status != CSN_REJECTED) fail_msg("%s", answers[i]);
        tear_down(state);
        set_up(state);
    }
}

/* Nothing that is no hash gets into the request. */
static void no_hash(void **state)
{
    const struct csn_test_result *result = csn_test_run(
        *state, "add-checkpoint",
        "{" URL "\"old\":4,\"proof\":[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\n=\"],\"checkpoint\":\"" NOTE "\"}");
    assert_int_equal(result->status, CSN_BAD_INPUT);
    assert_int_equal(result->committed, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(brings_a_cosignature, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_which_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_proof, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_are_rejections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_hash, set_up, tear_down),
    };
    if (argc != 3) return 2;
    connector = argv[1];
    manifest = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
