/* SPDX-License-Identifier: Apache-2.0 */
/* Where a verification begins: the log's name, its first key, and what others remember of it. */
#pragma once

#include "audit_state.h"
#include "audit_verify.h"
#include "base/keyderive.h"

struct audit_pin {
    char origin[128];
    uint8_t key[KEY_BYTES]; /* the log's first */
    struct audit_mark witness, state;
    bool witness_hidden;
    struct audit_mark kept; /* the checkpoint that was kept elsewhere */
    char note[4096];        /* and its bytes */
    size_t note_length;
    char before[128]; /* the log that the last verification was of, when this one follows it; else "" */
};

/* Reads all of it, before the database, which then can only be newer. */
bool audit_pin_read(const struct audit_how *how, struct audit_pin *pin, struct err *err);
/* Writes down that a log of that size and root was whole; keeps what was remembered of the log before. */
bool audit_pin_write(const struct audit_how *how, const struct audit_pin *pin, uint64_t size,
                     const uint8_t root[HASH_BYTES], struct err *err);
/* *size: of a mark between these sizes, both left out; as it was when there is none. */
void audit_pin_inside(const struct audit_pin *pin, uint64_t from, uint64_t to, uint64_t *size);
