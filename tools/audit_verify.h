/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies the log on its own: nothing of the ledger's code, nothing but the pinned key believed. Recomputes every
 * leaf, the whole tree, every checkpoint and the order of every call's records, and compares the end with what two
 * others remember: the parent (witness/checkpoint) and this command's last run (witness/verified). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/ids.h"

struct audit_how {
    const char *folder; /* the state folder: below it data/audit.db, keys/log.pub, witness/ */
    const char *vkey;   /* the log's first key, NAME+HASH+KEY; NULL: the one that the daemon's parent published */
    const char *state;  /* where the last verified size is remembered; NULL: witness/verified */
    uint64_t epoch;     /* of an ended log, kept as data/audit-epoch-N.db; 0: the one in use */
    const char *kept;   /* a file with a checkpoint that was kept elsewhere, which this log must continue; NULL: none */
    bool new_epoch;     /* a log that follows the one that was verified last is accepted */
    bool full;          /* every old signature, every personal value, every row of the call table as well */
};

/* What was seen, also when something is wrong. */
struct audit_report {
    uint64_t entries, body_bytes, calls, open_calls, pruned;
    uint64_t dropped; /* of entries: only a root over their leaves is there, or their leaves */
    uint64_t checkpoints, signatures, tiles, details, rolls;
    uint64_t signed_size; /* entries that the newest checkpoint covers; those after it are not signed yet */
    uint64_t remembered;  /* size that the last verification saw, 0 = none */
    uint64_t witnessed;   /* size that the parent wrote down, 0 = none */
    uint64_t nanoseconds;
    uint8_t root[HASH_BYTES]; /* of all entries */
    char origin[128];
    bool good, remembers; /* remembers: this run's end was written down */
    char notice[200];     /* a good log, but …; "" = nothing to say */
    /* The first bad entry, when the problem is one of entries: index … last, both included. */
    bool has_entry;
    uint64_t index, last;
    char kind[24], call[ID_TEXT];
};

/* true: the log is whole. false: ERR_DAMAGED when the log is not what was recorded, err says what, first of all where;
 * another kind when it could not be verified. report is filled in either case. */
bool audit_verify(const struct audit_how *how, struct audit_report *report, struct err *err);

/* For people, or one JSON object. err: what audit_verify set when it returned false, else ignored. */
void audit_report_print(const struct audit_report *report, const struct err *err, bool json, FILE *out);
