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
};

/* witness/checkpoint below the folder. known stays false when there is none; *hidden: there is one that this user may
 * not read. */
bool audit_witness_read(const char *folder, struct audit_mark *mark, bool *hidden, struct err *err);
/* The remembered state: at path, or witness/verified below the folder. */
bool audit_state_read(const char *folder, const char *path, struct audit_mark *mark, struct err *err);
/* Replaces it as a whole. */
bool audit_state_write(const char *folder, const char *path, const struct audit_mark *mark, struct err *err);
