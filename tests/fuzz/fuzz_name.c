/* SPDX-License-Identifier: Apache-2.0 */
/* A name that is read has one reading: it reads back as itself, and holds nothing that a host name may not hold. */
#include <string.h>

#include "fuzz.h"
#include "runtime/broker/address.h"
#include "runtime/broker/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char grammar[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.:";
    struct name name, again;
    struct address address;
    struct err err = {0};
    char shown[64];
    name_escape((const char *)bytes, length, shown, sizeof shown);
    MUST(strlen(shown) < sizeof shown);
    if (!name_read((const char *)bytes, length, &name, &err)) {
        MUST(err.kind == ERR_DENIED && err.text[0]);
        return 0;
    }
    size_t used = strlen(name.text);
    MUST(used > 0 && used <= 253 && (used == length || used + 1 == length));
    MUST(strspn(name.text, grammar) == used);
    MUST(name_read(name.text, used, &again, &err) && again.kind == name.kind && strcmp(again.text, name.text) == 0);
    MUST(name_matches(&name, name.text));
    MUST((name.kind == NAME_ADDRESS) == address_parse(name.text, &address));
    MUST(name.kind == NAME_ADDRESS || !strchr(name.text, ':'));
    return 0;
}
