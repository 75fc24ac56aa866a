/* SPDX-License-Identifier: Apache-2.0 */
/* One row of the log's table of entries: its columns, each read once. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit_body.h"

/* In this order. */
#define AUDIT_ROW_COLUMNS "idx, ts, kind, call, attempt, leaf, body, workspace"

struct audit_row {
    int64_t index, at, kind, attempt;
    const uint8_t *call, *workspace; /* ids; NULL: there is none [all four live until the statement's next step] */
    const uint8_t *leaf, *body;      /* a hash, bytes; NULL likewise */
    size_t length;                   /* of the body */
    bool odd_call;                   /* what stands in the place of the call is no id */
    bool pruned;                     /* the body is NULL, and not merely empty */
};

/* Of the statement's current row. */
void audit_row_read(sqlite3_stmt *statement, struct audit_row *row);
/* The columns beside the body repeat it. kind: the number of the body's. */
bool audit_row_agrees(const struct audit_row *row, const struct body *body, int64_t kind);
