/* SPDX-License-Identifier: Apache-2.0 */
/* A schema, a NUL byte, a value: a schema that passes the check can be applied to anything, in bounds, and says where
 * a value does not fit. */
#include <string.h>

#include "base/json.h"
#include "base/schema.h"
#include "base/utf8.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct err err = {0};
    char pointer[SCHEMA_POINTER] = "";
    JSON_AUTO *schema = NULL, *value = NULL;
    const uint8_t *middle = memchr(bytes, 0, length);
    if (!middle) return 0;
    size_t before = (size_t)(middle - bytes), after = length - before - 1;
    if (!json_read((const char *)bytes, before, 1 << 16, &schema, &err) ||
        !json_read((const char *)middle + 1, after, 1 << 16, &value, &err) || !schema_check(schema, &err))
        return 0;
    if (schema_validate(schema, value, pointer, &err)) return 0;
    MUST(err.kind == ERR_BAD_INPUT || err.kind == ERR_TOO_LARGE);
    MUST(memchr(pointer, '\0', sizeof pointer) && (pointer[0] == '\0' || pointer[0] == '/'));
    MUST(utf8_valid(pointer, strlen(pointer)));
    return 0;
}
