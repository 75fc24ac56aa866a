/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-verify: proves a log's files to somebody who trusts neither the log nor its host. It shares nothing with the
 * ledger and reads no database. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "verify_keys.h"

enum verify_status { VERIFY_GOOD = 0, VERIFY_BAD = 1, VERIFY_USAGE = 2, VERIFY_INCOMPLETE = 3 };
enum { VERIFY_ARGUMENTS = 2 };

struct verify {
    const char *arguments[VERIFY_ARGUMENTS];
    unsigned argument_count;
    const char *checkpoint, *entry, *tiles, *rolls; /* files and folders that options name, or NULL */
    uint64_t least;                                 /* entries below it may be absent */
    bool json;
    struct verify_keys keys;

    /* What was found: for whoever prints it. */
    uint64_t size, old_size, index, entries, pruned, absent, first_absent;
    bool has_index;
    uint8_t root[HASH_BYTES];
};

/* false: err says what is wrong. ERR_DAMAGED: bad; ERR_STATE: incomplete; all others: it could not be tried. */
bool verify_tiles(struct verify *verify, struct err *err);
bool verify_proof(struct verify *verify, struct err *err);
bool verify_growth(struct verify *verify, struct err *err);
bool verify_note(struct verify *verify, struct err *err);

/* The whole command; returns an enum verify_status. */
int verify_main(int count, char **words);
