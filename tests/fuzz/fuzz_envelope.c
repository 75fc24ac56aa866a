/* SPDX-License-Identifier: Apache-2.0 */
/* Files of envelopes: taken apart, each read, none worked on beyond the ceilings; and the flat object that one holds.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tools/envelope.h"
#include "tools/flat.h"
#include "tools/import_items.h"

static void read_envelope(const json_t *value)
{
    static struct envelope envelope;
    static uint8_t plain[ENVELOPE_MOST];
    struct err err = {0};
    if (!envelope_read(value, &envelope, &err)) return;
    MUST(envelope.length <= ENVELOPE_MOST && envelope.aad_length <= ENVELOPE_AAD);
    MUST(envelope.kdf == ENVELOPE_KEY || (envelope.salt_length >= 16 && envelope.salt_length <= ENVELOPE_SALT));
    MUST(envelope.kdf != ENVELOPE_PBKDF2 || (envelope.iterations >= 1 && envelope.iterations <= 10000000));
    MUST(envelope.kdf != ENVELOPE_SCRYPT || envelope.n * envelope.r <= 1u << 23);
    MUST(envelope.kdf != ENVELOPE_ARGON2ID || (envelope.kib <= 1u << 20 && envelope.iterations <= 64));
    envelope_weak(&envelope);
    if (envelope.kdf == ENVELOPE_KEY) envelope_open(&envelope, "0123456789abcdef0123456789abcdef", 32, plain, &err);
}

static void read_flat(const uint8_t *bytes, size_t length)
{
    static struct flat flat;
    struct err err = {0};
    char *text = malloc(length + 1);
    if (!text) return;
    if (length) memcpy(text, bytes, length);
    bool good = flat_read(text, length, &flat, &err);
    for (unsigned i = 0; good && i < flat.count; i++) {
        const struct flat_member *member = &flat.members[i];
        MUST(member->name >= text && member->name + member->name_length <= text + length);
        MUST(member->value >= text && member->value + member->length <= text + length);
        MUST(!memchr(member->value, '\0', member->length));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    MUST(sodium_init() >= 0);
    for (int format = IMPORT_FERNET; format <= IMPORT_AES_GCM; format++) {
        struct import_item item;
        struct err err = {0};
        json_t *list = NULL;
        if (!import_split((const char *)bytes, length, (enum import_format)format, &list, &err)) continue;
        MUST(json_array_size(list) >= 1 && json_array_size(list) <= IMPORT_MOST);
        for (size_t i = 0; i < json_array_size(list); i++) {
            MUST(import_item(list, i, &item, &err));
            MUST(!*item.name || name_valid(item.name));
            if (json_is_object(item.sealed)) read_envelope(item.sealed);
        }
        json_decref(list);
    }
    read_flat(bytes, length);
    return 0;
}
