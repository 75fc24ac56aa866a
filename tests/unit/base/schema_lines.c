/* SPDX-License-Identifier: Apache-2.0 */
/* For schema_oracle.js: each line of standard input is {"schema": …, "values": […]}; answers with one line each:
 * "?" when the schema is refused, else a 1 or 0 for each value. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/schema.h"

static void judge(const json_t *line)
{
    const json_t *schema = json_object_get(line, "schema");
    char pointer[SCHEMA_POINTER];
    struct err err = {0};
    size_t i;
    json_t *value;
    if (!schema_check(schema, &err)) {
        puts("?");
        return;
    }
    json_array_foreach(json_object_get(line, "values"), i, value)
        putchar(schema_validate(schema, value, pointer, &err) ? '1' : '0');
    putchar('\n');
}

int main(void)
{
    char *text = NULL;
    size_t room = 0;
    for (ssize_t length; (length = getline(&text, &room, stdin)) > 0;) {
        struct err err = {0};
        JSON_AUTO *line = NULL;
        if (!json_read(text, (size_t)length, 1 << 20, &line, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        judge(line);
    }
    free(text);
    return 0;
}
