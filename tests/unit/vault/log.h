/* SPDX-License-Identifier: Apache-2.0 */
/* Writes logs for the verifier's tests: good ones, and what a taken-over ledger would make of them. */
#pragma once

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <string.h>

#include "base/ids.h"
#include "tools/audit_tree.h"
#include "tools/audit_verify.h"

#define LOG_ORIGIN "caisson.local/0123456789abcdef/1"

struct log {
    char path[64]; /* the state folder */
    int home;
    sqlite3 *db;
    uint64_t size;
    int64_t at;
    struct audit_tree tree;
    bool foreign; /* rolls are vouched for by the new key alone, as a taken-over ledger could */
    uint8_t public[32], secret[64], pinned[32]; /* pinned: the first public */
};

void log_open(struct log *log);
void log_close(struct log *log);
/* Takes the tree from the entries again, as somebody would who may write everything but the signatures. */
void log_rebuild(struct log *log);
void log_sql(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends one record with these very bytes; call NULL: it names none. */
void log_raw(struct log *log, int kind, const uint8_t *call, int attempt, const char *body);
void log_intent(struct log *log, const uint8_t call[ID_BYTES], int attempt);
void log_outcome(struct log *log, const uint8_t call[ID_BYTES], int attempt, uint64_t intent);
void log_admin(struct log *log);
/* count calls, an intent and an outcome each, a checkpoint every so many entries and at the end. */
void log_calls(struct log *log, int count, int every);

/* Signs the tree as it is; secret NULL: with the log's own key. */
void log_checkpoint(struct log *log, const uint8_t *secret);
/* The next key takes over; sign: with the old one's last checkpoint. */
void log_roll(struct log *log, bool sign);
/* Pins the key as it is now: keys/log.pub. */
void log_publish(struct log *log);
/* As the parent would: what was signed last. */
void log_witness(struct log *log);

bool log_verify(struct log *log, bool full, struct audit_report *report, struct err *err);
/* Verified in full: whole; or damaged, and the answer names what is wrong. */
void assert_good(struct log *log);
struct audit_report assert_bad(struct log *log, const char *words);
