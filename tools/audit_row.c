/* SPDX-License-Identifier: Apache-2.0 */
/* One row of the log's table of entries. */
#include "audit_row.h"

#include <string.h>

#include "audit_db.h"

static bool is_null(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

void audit_row_read(sqlite3_stmt *statement, struct audit_row *row)
{
    row->index = sqlite3_column_int64(statement, 0);
    row->at = sqlite3_column_int64(statement, 1);
    row->kind = sqlite3_column_int64(statement, 2);
    row->call = audit_db_id(statement, 3);
    row->odd_call = !row->call && !is_null(statement, 3);
    row->attempt = sqlite3_column_int64(statement, 4);
    const void *leaf = sqlite3_column_blob(statement, 5);
    row->leaf = sqlite3_column_bytes(statement, 5) == HASH_BYTES ? leaf : NULL;
    row->body = sqlite3_column_blob(statement, 6);
    row->length = (size_t)sqlite3_column_bytes(statement, 6);
    row->pruned = !row->body && is_null(statement, 6);
    row->workspace = audit_db_id(statement, 7);
}

static bool same_id(const uint8_t *one, const uint8_t *other)
{
    return one && memcmp(one, other, ID_BYTES) == 0;
}

bool audit_row_agrees(const struct audit_row *row, const struct body *body, int64_t kind)
{
    bool same = row->kind == kind && row->at == body->at;
    same &= body->seen & BODY_CALL ? same_id(row->call, body->call) : !row->call && !row->odd_call;
    same &= !(body->seen & BODY_ATTEMPT) || row->attempt == body->attempt;
    return same && (!(body->seen & BODY_WORKSPACE) || same_id(row->workspace, body->workspace_id));
}
