/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint as a C2SP signed note: what it says, and whether the pinned key signed it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"

struct audit_note {
    const char *text; /* what is signed, within the note */
    size_t text_length;
    uint64_t size;
    uint8_t root[HASH_BYTES];
};

/* Exactly origin, size and root, each with a newline, an empty line, then signature lines. */
bool note_read(const char *bytes, size_t length, const char *origin, struct audit_note *note, struct err *err);
/* Every line by that name and key must be good, and there must be one; other signers' lines are passed over. */
bool note_signed(const char *bytes, size_t length, const struct audit_note *note, const char *name,
                 const uint8_t key[32], struct err *err);
