/* SPDX-License-Identifier: Apache-2.0 */
/* The log's signing keys, walked from the pinned first one: each names the next in an entry that it signs last. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit_body.h"
#include "audit_note.h"
#include "base/err.h"
#include "base/keyderive.h"

struct audit_signers {
    char origin[128];
    uint8_t key[KEY_BYTES];  /* whose turn it is */
    uint8_t next[KEY_BYTES]; /* due: takes over once `key` has signed the tree of that size */
    uint64_t due, rolls;     /* due 0: nothing is pending; rolls: takeovers so far */
};

/* An entry of kind key_roll at that index. */
bool audit_signers_entry(struct audit_signers *signers, const struct body *body, uint64_t index, struct err *err);
/* A checkpoint of note->size: by the key whose turn it was, and none was left out that a takeover needs. must: look at
 * the signature in any case. *looked: it was. */
bool audit_signers_note(struct audit_signers *signers, const char *bytes, size_t length, const struct audit_note *note,
                        bool must, bool *looked, struct err *err);
/* May that key sign what is larger than all that was seen? */
bool audit_signers_may(const struct audit_signers *signers, const uint8_t key[KEY_BYTES]);
