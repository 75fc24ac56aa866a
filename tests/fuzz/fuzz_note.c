/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier's readers of checkpoints and of records: hostile bytes of a database that another process wrote. */
#include <string.h>

#include "fuzz.h"
#include "tools/audit_body.h"
#include "tools/audit_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const uint8_t key[32] = {1};
    struct audit_note note;
    struct body body;
    struct err err = {0};
    if (note_read((const char *)bytes, length, "log.example/1", &note, &err)) {
        MUST(note.text_length < length && note.text == (const char *)bytes);
        MUST(bytes[note.text_length - 1] == '\n' && bytes[note.text_length] == '\n');
        note_signed((const char *)bytes, length, &note, "log.example/1", key, &err);
    }
    if (body_read(bytes, length, &body, &err)) {
        MUST(length >= 2 && bytes[0] == '{' && bytes[length - 1] == '}');
        MUST(memchr(body.kind, 0, sizeof body.kind) && memchr(body.class, 0, sizeof body.class));
        MUST(!memchr(bytes, '\n', length));
    }
    return 0;
}
