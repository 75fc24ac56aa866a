/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is read as JSON can be written canonically, and reads back as the same text. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct err err = {0};
    JSON_AUTO *once = NULL, *twice = NULL;
    BUF_AUTO first, second;
    buf_init(&first, 1 << 24);
    buf_init(&second, 1 << 24);
    if (!json_read((const char *)bytes, length, 1 << 20, &once, &err)) {
        MUST(err.kind == ERR_MALFORMED || err.kind == ERR_TOO_LARGE);
        MUST(err.text[0] && !once);
        return 0;
    }
    MUST(json_compact(once, &first));
    MUST(json_read(first.bytes, first.used, 1 << 24, &twice, &err));
    MUST(json_compact(twice, &second));
    MUST(first.used == second.used && memcmp(first.bytes, second.bytes, first.used) == 0);
    return 0;
}
