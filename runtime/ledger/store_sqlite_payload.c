/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: captured inputs and replies, as they were sealed. */
#include "store_payload.h"
#include "store_sqlite.h"

enum { FORM_PEOPLE = 1, FORM_WORKSPACE = 2 };

bool store_payload_add(struct store *store, uint64_t index, const struct store_payload *payload, struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT INTO payload(idx, form, size, subject, value) VALUES(?,?,?,?,?)",
                                 0};
    bool people = payload->subject_count > 0;
    return store_run(store, &query, err, "iuibb", (int64_t)index, (uint32_t)(people ? FORM_PEOPLE : FORM_WORKSPACE),
                     (int64_t)payload->size, people ? payload->subjects : NULL,
                     (size_t)payload->subject_count * ID_BYTES, payload->value, payload->length);
}

static bool read_subjects(sqlite3_stmt *row, uint8_t (*subjects)[ID_BYTES], unsigned *count)
{
    size_t length = (size_t)sqlite3_column_bytes(row, 2);
    bool people = sqlite3_column_int(row, 0) == FORM_PEOPLE;
    *count = 0;
    if (!people || !length || length > (size_t)SUBJECTS_MAX * ID_BYTES || length % ID_BYTES) return !people && !length;
    *count = (unsigned)(length / ID_BYTES);
    column_bytes(row, 2, subjects, length);
    return true;
}

bool store_payload_get(struct store *store, uint64_t index, uint64_t *size, uint8_t (*subjects)[ID_BYTES],
                       unsigned *count, struct buf *value, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT form, size, subject, value FROM payload WHERE idx = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "i", (int64_t)index);
    int got = row ? store_step(store, &query, row, err) : -1;
    bool ok = got >= 0;
    if (got == 1) {
        *size = column_u64(row, 1);
        ok = read_subjects(row, subjects, count) ||
             err_set(err, ERR_DAMAGED, "what is kept of the payload does not say to whom it is sealed");
        ok = ok && column_buf(row, 3, value, err);
    }
    if (ok) *found = got == 1;
    store_done(row);
    return ok;
}
