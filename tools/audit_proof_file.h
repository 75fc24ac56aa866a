/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs as files: C2SP tlog-proof for one entry, and for a log's growth the body of tlog-witness's add-checkpoint. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit_proof.h"
#include "base/buf.h"
#include "base/err.h"

/* What a file says; texts lie within its bytes. Nothing of it is proven yet. */
struct proof_file {
    uint64_t number;   /* the entry's index; or the size of the older tree */
    const char *extra; /* base64; NULL: none */
    const char *note;  /* the checkpoint with its signatures */
    size_t extra_length, note_length;
    struct proof proof;
};
bool proof_file_read(const char *bytes, size_t length, struct proof_file *file, struct err *err);
bool growth_file_read(const char *bytes, size_t length, struct proof_file *file, struct err *err);
/* The extra data's bytes; at most room. */
bool proof_file_extra(const struct proof_file *file, uint8_t *bytes, size_t room, size_t *count, struct err *err);

/* extra: bytes to put into it, or NULL. false: no room in out. */
bool proof_file_write(uint64_t index, const struct proof *proof, const void *extra, size_t extra_count,
                      const char *note, size_t note_length, struct buf *out);
bool growth_file_write(uint64_t old_size, const struct proof *proof, const char *note, size_t note_length,
                       struct buf *out);
