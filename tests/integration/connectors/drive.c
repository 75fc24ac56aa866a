/* SPDX-License-Identifier: Apache-2.0 */
/* Runs actions of a connector against real servers. Usage: drive SO MANIFEST ACTION, and on standard input one JSON
 * object: {"settings", "secrets", "routes": [[host, port, address, port]…], "trust": PEM, "input", "times"?}. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "caisson/testing.h"

static void routes(struct csn_test *test, json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) csn_test_route(
        test, json_string_value(json_array_get(one, 0)), (uint16_t)json_integer_value(json_array_get(one, 1)),
        json_string_value(json_array_get(one, 2)), (uint16_t)json_integer_value(json_array_get(one, 3)));
}

static void secrets(struct csn_test *test, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) csn_test_secret(test, name, json_string_value(value));
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *plan = argc == 4 ? json_loadf(stdin, 0, &error) : NULL;
    if (!plan) return 2;
    struct csn_test *test = csn_test_open(argv[1], argv[2]);
    char *settings = json_dumps(json_object_get(plan, "settings"), 0);
    char *input = json_dumps(json_object_get(plan, "input"), 0);
    csn_test_settings(test, settings);
    csn_test_trust(test, json_string_value(json_object_get(plan, "trust")));
    csn_test_lease(test, 1);
    csn_test_deadline(test, 20000);
    secrets(test, json_object_get(plan, "secrets"));
    routes(test, json_object_get(plan, "routes"));
    json_int_t times = json_object_get(plan, "times") ? json_integer_value(json_object_get(plan, "times")) : 1;
    for (json_int_t i = 0; i < times; i++) {
        const struct csn_test_result *result = csn_test_run(test, argv[3], input);
        json_t *said = json_pack("{s:i, s:s, s:o, s:i, s:i, s:i}", "status", result->status, "text", result->text,
                                 "answer", json_loads(result->answer, 0, NULL), "committed", result->committed, "dials",
                                 result->dials, "retry_after", result->retry_after);
        json_dumpf(said, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(said);
    }
    csn_test_close(test);
    json_decref(plan);
    free(settings);
    free(input);
    return 0;
}
