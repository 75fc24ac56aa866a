/* SPDX-License-Identifier: Apache-2.0 */
/* What others remember of the log, out of the ledger's reach: the parent's note of the last checkpoint, and where this
 * command's last verification ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"

struct audit_mark {
    bool known;
    uint64_t size;
    uint8_t root[HASH_BYTES], key[HASH_BYTES];
    char origin[128];
    char first_vkey[256]; /* the parent's: where to begin */
};

/* witness/checkpoint below the folder, or, of a log that another has followed, witness/checkpoint-EPOCH (epoch 0: the
 * one in use). known stays false when there is none; *hidden: there is one that this user may not read. key is the one
 * that may sign what is larger. */
bool audit_witness_read(const char *folder, uint64_t epoch, struct audit_mark *mark, bool *hidden, struct err *err);
/* The remembered state: at path, or witness/verified below the folder, or of an earlier epoch witness/verified-EPOCH.
 * key is the log's first. */
bool audit_state_read(const char *folder, uint64_t epoch, const char *path, struct audit_mark *mark, struct err *err);
/* Of keys/log.pub the line of that epoch, 0: the last one. "": there is none. */
bool audit_published(const char *folder, uint64_t epoch, char vkey[256], struct err *err);
/* Replaces it as a whole. */
bool audit_state_write(const char *folder, uint64_t epoch, const char *path, const struct audit_mark *mark,
                       struct err *err);
