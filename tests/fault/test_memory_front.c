/* SPDX-License-Identifier: Apache-2.0 */
/* A caller's request while memory is short: every allocation in turn fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "runtime/front/request.h"

static bool request_work(char **text, struct err *err)
{
    static const char body[] = "{\"connector\":\"sms\",\"action\":\"send\",\"credential\":\"main\",\"timeout_ms\":5000,"
                               "\"input\":{\"to\":\"+4912345\",\"body\":\"text\",\"more\":[1,2,3]}}";
    struct call_request request = {0};
    bool done = request_read(body, sizeof body - 1, &request, err);
    if (done) {
        bool was = memory_rest();
        if (asprintf(text, "%s %s %s %u %.*s", request.connector, request.action, request.credential,
                     request.timeout_ms, (int)request.input.used, request.input.bytes) < 0)
            *text = NULL;
        memory_go_on(was);
    }
    request_clear(&request);
    return done;
}

static void test_request(void **state)
{
    memory_run("request", request_work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_request)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
