/* SPDX-License-Identifier: Apache-2.0 */
/* The log's database, opened by the verifier: read-only, in one read transaction, its schema not trusted. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"

/* data/audit.db below the folder, or data/audit-epoch-EPOCH.db (epoch 0: the one in use). On failure *db may still be
 * set: sqlite3_close() it in any case. */
bool audit_db_open(const char *folder, uint64_t epoch, sqlite3 **db, struct err *err);
bool audit_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement, struct err *err);
/* 1: a row; 0: no more; -1: err is set. */
int audit_db_step(sqlite3 *db, sqlite3_stmt *statement, struct err *err);
/* The id in a column of the current row, valid until the next step; NULL: there is none. */
const uint8_t *audit_db_id(sqlite3_stmt *row, int column);
/* The first column of the first row; 0 when there is none. */
bool audit_db_number(sqlite3 *db, const char *sql, int64_t *number, struct err *err);
/* The same as a text, cut to size; "" when there is none. */
bool audit_db_text(sqlite3 *db, const char *sql, char *text, size_t size, struct err *err);
