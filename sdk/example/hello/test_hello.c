/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: test_hello hello.so manifest.json */
#undef NDEBUG
#include <assert.h>
#include <caisson/testing.h>
#include <string.h>

int main(int argc, char **argv)
{
    assert(argc == 3);
    struct csn_test *test = csn_test_open(argv[1], argv[2]);

    const struct csn_test_result *result = csn_test_run(test, "greet", "{\"name\": \"Zoë\"}");
    assert(result->status == CSN_TEST_OK);
    assert(strcmp(result->answer, "{\"greeting\":\"Hello, Zoë!\"}") == 0);

    csn_test_settings(test, "{\"greeting\": \"Moin\"}");
    csn_test_run(test, "greet", "{\"name\": \"Ada\"}");
    assert(strcmp(csn_test_answer(test, "/greeting"), "Moin, Ada!") == 0);

    result = csn_test_run(test, "noop", "{}");
    assert(result->status == CSN_TEST_OK);
    assert(strcmp(result->answer, "{}") == 0);
    assert(result->dials == 0 && !result->committed);

    csn_test_close(test);
    return 0;
}
