/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the log: every kept personal value must be the one that its entry commits to, and every ended
 * row of the call table must say what its own outcome says. */
#include "audit_extra.h"

#include <string.h>

#include "audit_body.h"
#include "audit_db.h"
#include "audit_tree.h"

#define DETAIL_TAG "caisson detail v1\n"
#define PAYLOAD_TAG "caisson payload v1\n"
enum { SALT = 32 };

/* The numbers of runtime/messages.h: enum call_class and call_sent. */
static const char *const classes[] = {"none",    "ok",      "rejected",  "retryable", "bad_input",
                                      "timeout", "crashed", "violation", "refused",   "lost"};
static const char *const sents[] = {"no", "maybe", "yes"};

static const char *name_of(const char *const *names, size_t count, int64_t number)
{
    return number >= 0 && (uint64_t)number < count ? names[number] : "?";
}

/* Columns: idx, salt, value, body, name, the entry's idx, n, form. Who looks one up goes by n. */
static bool detail_row(sqlite3_stmt *row, struct err *err)
{
    struct body body;
    uint8_t hash[HASH_BYTES], message[sizeof DETAIL_TAG - 1 + SALT];
    const void *bytes = sqlite3_column_blob(row, 3), *salt = sqlite3_column_blob(row, 1);
    if (sqlite3_column_type(row, 5) == SQLITE_NULL) return err_set(err, ERR_DAMAGED, "there is no such entry");
    if (!bytes || !salt || sqlite3_column_bytes(row, 1) != SALT ||
        !body_read(bytes, (size_t)sqlite3_column_bytes(row, 3), &body, err))
        return err_set(err, ERR_DAMAGED, "it cannot be compared");
    memcpy(message, DETAIL_TAG, sizeof DETAIL_TAG - 1);
    memcpy(message + sizeof DETAIL_TAG - 1, salt, SALT);
    audit_hash(hash, message, sizeof message, sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2), NULL,
               0);
    const char *name = (const char *)sqlite3_column_text(row, 4);
    bool about = name && strcmp(name, "about") == 0;
    if (!name || (!about && strcmp(name, "personal") != 0))
        return err_set(err, ERR_DAMAGED, "it is called what no record says");
    if (sqlite3_column_int64(row, 7) != about ||
        sqlite3_column_int64(row, 6) != 2 * sqlite3_column_int64(row, 0) + about)
        return err_set(err, ERR_DAMAGED, "it stands in another's place");
    const uint8_t *said = about ? body.about : body.personal;
    return ((body.seen & (about ? BODY_ABOUT : BODY_PERSONAL)) && memcmp(hash, said, HASH_BYTES) == 0) ||
           err_set(err, ERR_DAMAGED, "it is not what the entry commits to");
}

/* Columns: idx, value, body, the entry's idx. */
static bool payload_row(sqlite3_stmt *row, struct err *err)
{
    struct body body;
    uint8_t hash[HASH_BYTES];
    char text[HASH_TEXT];
    const void *bytes = sqlite3_column_blob(row, 2);
    if (sqlite3_column_type(row, 3) == SQLITE_NULL) return err_set(err, ERR_DAMAGED, "there is no such entry");
    if (!bytes || !body_read(bytes, (size_t)sqlite3_column_bytes(row, 2), &body, err))
        return err_set(err, ERR_DAMAGED, "it cannot be compared");
    audit_hash(hash, PAYLOAD_TAG, sizeof PAYLOAD_TAG - 1, sqlite3_column_blob(row, 1),
               (size_t)sqlite3_column_bytes(row, 1), NULL, 0);
    hex_text(hash, HASH_BYTES, text);
    return ((body.seen & BODY_PAYLOAD) && strcmp(body.payload, text) == 0) ||
           err_set(err, ERR_DAMAGED, "it is not what the entry commits to");
}

/* Columns: outcome, class, sent, body, is it this call's? */
static bool call_row(sqlite3_stmt *row, struct err *err)
{
    struct body body;
    const void *bytes = sqlite3_column_blob(row, 3);
    const char *class = name_of(classes, sizeof classes / sizeof *classes, sqlite3_column_int64(row, 1));
    const char *sent = name_of(sents, sizeof sents / sizeof *sents, sqlite3_column_int64(row, 2));
    if (!bytes || !body_read(bytes, (size_t)sqlite3_column_bytes(row, 3), &body, err))
        return err_set(err, ERR_DAMAGED, "its entry cannot be read");
    if (!sqlite3_column_int(row, 4)) return err_set(err, ERR_DAMAGED, "that entry is of another call or attempt");
    return (strcmp(body.kind, "outcome") == 0 && strcmp(body.class, class) == 0 && strcmp(body.sent, sent) == 0) ||
           err_set(err, ERR_DAMAGED, "it says %s and sent=%s, the entry %s and sent=%s", class, sent, body.class,
                   body.sent);
}

/* Columns: the entry that is its outcome. */
static bool open_row(sqlite3_stmt *row, struct err *err)
{
    (void)row;
    return err_set(err, ERR_DAMAGED, "it says that the call still runs, and this is its outcome");
}

static bool all_rows(sqlite3 *db, const char *sql, const char *what, bool (*check)(sqlite3_stmt *, struct err *),
                     uint64_t *count, struct err *err)
{
    sqlite3_stmt *row = NULL;
    int got = audit_db_prepare(db, sql, &row, err) ? 1 : -1;
    while (got == 1 && (got = audit_db_step(db, row, err)) == 1) {
        if (count) ++*count;
        if (check(row, err)) continue;
        err_in(err, "%s entry %lld", what, (long long)sqlite3_column_int64(row, 0));
        got = -1;
    }
    sqlite3_finalize(row);
    return got == 0;
}

/* A log of before them has no table for payloads. */
static bool all_payloads(sqlite3 *db, struct err *err)
{
    int64_t there;
    if (!audit_db_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'payload'", &there, err)) return false;
    return !there || all_rows(db,
                              "SELECT p.idx, p.value, e.body, e.idx FROM payload p LEFT JOIN entry e ON e.idx = p.idx"
                              " WHERE e.body IS NOT NULL OR e.idx IS NULL ORDER BY p.idx",
                              "the payload of", payload_row, NULL, err);
}

/* What reads the file by an index would see something else than what was compared here. */
static bool indexes_fit(sqlite3 *db, struct err *err)
{
    char said[256];
    if (!audit_db_text(db, "PRAGMA integrity_check(1)", said, sizeof said, err)) return false;
    return strcmp(said, "ok") == 0 || err_set(err, ERR_DAMAGED, "the log's database is damaged (%s)", said);
}

bool audit_extra(sqlite3 *db, uint64_t *details, struct err *err)
{
    return all_rows(db,
                    "SELECT d.idx, d.salt, d.value, e.body, d.name, e.idx, d.n, d.form FROM detail d"
                    " LEFT JOIN entry e ON e.idx = d.idx"
                    " WHERE e.body IS NOT NULL OR e.idx IS NULL ORDER BY d.idx",
                    "the personal value of", detail_row, details, err) &&
           all_payloads(db, err) && indexes_fit(db, err) &&
           all_rows(db,
                    "SELECT c.outcome, c.class, c.sent, e.body, e.call = c.id AND e.attempt = c.attempt FROM call c"
                    " LEFT JOIN entry e ON e.idx = c.outcome"
                    " WHERE c.state = 1 AND c.outcome >= 0 AND (e.body IS NOT NULL OR e.idx IS NULL)"
                    " AND (e.idx NOT NULL OR NOT EXISTS (SELECT 1 FROM prune p WHERE p.hashes = 1"
                    " AND c.outcome BETWEEN p.from_idx AND p.to_idx)) ORDER BY c.outcome",
                    "the call table's row for", call_row, NULL, err) &&
           all_rows(db,
                    "SELECT e.idx FROM call c JOIN entry e ON e.call = c.id AND e.attempt = c.attempt AND e.kind = 2"
                    " WHERE c.state = 0 ORDER BY e.idx",
                    "the call table's row for", open_row, NULL, err);
}
