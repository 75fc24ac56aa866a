/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is read as INI can be written out plainly and reads back as the same settings. */
#include <string.h>

#include "base/buf.h"
#include "base/ini.h"
#include "fuzz.h"

static void write_out(const struct ini *ini, struct buf *out)
{
    for (const struct ini_item *item = NULL; (item = ini_each(ini, NULL, NULL, item));)
        MUST(buf_print(out, "[%s]\n%s=%s\n", item->section, item->key, item->value));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct err err = {0};
    INI_AUTO once = {0}, twice = {0};
    BUF_AUTO text;
    buf_init(&text, 1 << 26);
    if (!ini_parse(&once, (const char *)bytes, length, "fuzz", &err)) {
        MUST(err.kind == ERR_MALFORMED || err.kind == ERR_TOO_LARGE);
        MUST(strncmp(err.text, "fuzz:", 5) == 0);
        return 0;
    }
    write_out(&once, &text);
    if (text.used > INI_FILE) return 0;
    MUST(ini_parse(&twice, text.bytes ? text.bytes : "", text.used, "again", &err));
    MUST(once.count == twice.count);
    for (unsigned i = 0; i < once.count; i++) {
        MUST(strcmp(once.items[i].section, twice.items[i].section) == 0);
        MUST(strcmp(once.items[i].key, twice.items[i].key) == 0);
        MUST(strcmp(once.items[i].value, twice.items[i].value) == 0);
    }
    return 0;
}
