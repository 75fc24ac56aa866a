/* SPDX-License-Identifier: Apache-2.0 */
/* Whose signatures count, and for trees of which size: the pinned keys, the keys that the log rolled to, witnesses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit_note.h"
#include "base/err.h"

struct verify_keys {
    const char *origin; /* the log's name; NULL until a key or an option says it */
    struct note_signer *signers;
    struct key_range {
        uint64_t first, last;     /* sizes that it may sign, both included; a witness: all */
        uint64_t roll;            /* the entry that brought it in; UINT64_MAX: it was pinned */
        uint8_t root[HASH_BYTES]; /* of the tree whose last entry that is */
    } * ranges;
    unsigned count, room;
    unsigned wanted; /* how many witnesses must have cosigned */
};

void keys_clear(struct verify_keys *keys);
bool keys_pin(struct verify_keys *keys, const char *vkey, enum note_kind kind, struct err *err);
/* What rolls/ below a folder, or rolls itself, proves: each roll signed by the key before it. ERR_NOT_FOUND: there is
 * no such folder. */
bool keys_rolls(struct verify_keys *keys, int folder, const char *path, struct err *err);
/* An entry of a log that is being walked: a roll that no proof was given for is ERR_STATE. */
bool keys_entry(struct verify_keys *keys, uint64_t index, const uint8_t *bytes, size_t length, struct err *err);

/* Reads a checkpoint and who signed it. ERR_DAMAGED: nobody whose turn it was, or a bad line by somebody known.
 * ERR_STATE: too few witnesses. */
bool keys_checkpoint(struct verify_keys *keys, const char *bytes, size_t length, struct audit_note *note,
                     struct err *err);
/* How many witnesses signed what keys_checkpoint read last. */
unsigned keys_witnesses(const struct verify_keys *keys);

/* A file with at most most bytes, or what comes in for "-"; *bytes: free() it, NUL-terminated. */
bool verify_read(int folder, const char *path, size_t most, char **bytes, size_t *length, struct err *err);
