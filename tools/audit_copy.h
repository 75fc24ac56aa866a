/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of the databases from under a running daemon, each of one moment. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What the copied log says of itself: its newest checkpoint. */
struct audit_copied {
    uint64_t size;    /* entries that the checkpoint covers */
    uint64_t entries; /* in the copy */
    char note[4096];  /* signed; "" where nothing was signed yet */
};

/* Copies data/NAME of each into the folder `to`, in that order of moments: the log comes last, so that whatever the
 * others hold is in it. Only reads: one read transaction each, no checkpoint, no writer. */
bool audit_copy(const char *home, const char *to, struct audit_copied *copied, struct err *err);
