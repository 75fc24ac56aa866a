/* SPDX-License-Identifier: Apache-2.0 */
/* The archive that pruning leaves behind: a part of the log as JSON lines (docs/audit-format.md), with what it takes to
 * prove every entry of it against a signed checkpoint. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/ids.h"
#include "home.h"

struct archive {
    uint64_t from, to;                            /* to: the first that is not in it; both multiples of 256 */
    bool details;                                 /* what stands beside the log as well */
    uint8_t digest[HASH_BYTES], root[HASH_BYTES]; /* of the file; of its entries as a log of their own */
};

/* Writes it to a file that place_file() made. */
bool archive_write(const struct home *home, struct archive *archive, FILE *out, struct err *err);
