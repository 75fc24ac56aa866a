/* SPDX-License-Identifier: Apache-2.0 */
/* The log's database for proofs and exports: entries, tiles and notes out of one read transaction. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit_note.h"
#include "audit_proof.h"
#include "base/buf.h"
#include "base/err.h"

struct audit_log {
    sqlite3 *db;
    sqlite3_stmt *leaves, *tile, *body, *block, *drops;
    uint64_t entries, signed_size; /* signed_size: of the newest checkpoint, 0 = none */
    char origin[NOTE_NAME];
};

/* Zero it first; close in any case. */
bool audit_log_open(const char *folder, struct audit_log *log, struct err *err);
void audit_log_close(struct audit_log *log);

/* From now on the newest checkpoint that a witness has cosigned stands for the newest one. ERR_NOT_FOUND: none has. */
bool audit_log_cosigned(struct audit_log *log, struct err *err);
/* The checkpoint of exactly that size with all its signature lines. ERR_STATE: none was signed at that size.
 * ERR_DAMAGED: the entries are not those that it signs. */
bool audit_log_note(struct audit_log *log, uint64_t size, struct buf *note, uint8_t root[HASH_BYTES], struct err *err);
/* Was this block of entries dropped, all but its root? */
bool audit_log_block_dropped(struct audit_log *log, uint64_t number);
/* For what needs hashes of before `size` entries: they were dropped, or else they are not what they were. false. */
bool audit_log_lacks(struct audit_log *log, uint64_t size, struct err *err, const char *otherwise);
/* Trees of that size, for proofs. */
struct proof_source audit_log_source(struct audit_log *log, uint64_t size);
/* *bytes is good until the next call; NULL: they are pruned. They are compared with their leaf. kind, leaf: may be
 * NULL. *kind 0 and *leaf NULL: the entry was dropped. */
bool audit_log_body(struct audit_log *log, uint64_t index, const uint8_t **bytes, size_t *length, int64_t *kind,
                    const uint8_t **leaf, struct err *err);

/* The entry's proof as a tlog-proof file that carries the entry, in the tree of `size`. */
bool audit_log_prove(struct audit_log *log, uint64_t index, uint64_t size, struct buf *file, struct err *err);
/* The size that an entry is proven in: the newest that was signed; a roll's: the one that makes its key believable. */
bool audit_log_size_for(struct audit_log *log, uint64_t index, uint64_t *size, struct err *err);
/* Every roll of the log's key, in order. */
bool audit_log_rolls(struct audit_log *log, bool (*each)(void *context, uint64_t index, struct err *err), void *context,
                     struct err *err);
