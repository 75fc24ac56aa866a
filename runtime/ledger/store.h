/* SPDX-License-Identifier: Apache-2.0 */
/* The storage interface: what the ledger asks of its databases, without saying which. SQLite stands behind it today
 * (store_sqlite*.c); every function here could be one statement of a PostgreSQL transaction.
 * false with err = the store failed (ERR_AUDIT for the log's database, ERR_IO for the others): nothing is known of
 * what was done. Things that are not there are no failure: see the `found` arguments. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "record.h"
#include "runtime/messages.h"
#include "tree.h"

struct store;
enum store_db { STORE_AUDIT, STORE_STATE, STORE_VAULT, STORE_DBS };

/* folder: the data folder's descriptor, which stays the caller's and open. fresh: makes what is missing. */
bool store_open(int folder, bool fresh, struct store **out, struct err *err);
void store_close(struct store *store);
/* For quiet moments: moves the write-ahead log into the database once it is long. */
void store_idle(struct store *store);

/* After an error of the disk, or when a file is not the one that was opened any more, a store is broken: every function
 * but store_close fails. true: it is, err says why. */
bool store_broken(const struct store *store, struct err *err);
/* Breaks it for this reason; the first one stands. */
void store_break(struct store *store, const struct err *err);
/* Looks whether the files are still there, the same ones, and no shorter. false: broken. */
bool store_look(struct store *store, struct err *err);
/* Is one of the files not there at all? Then what is open may be the only copy: it is not to be closed. */
bool store_gone(const struct store *store, struct err *err);
/* Writes all that is committed into the databases themselves and begins new write-ahead logs: after an error the pages
 * that are read back may be in memory only. ERR_BUSY: somebody else reads just now. */
bool store_settle(struct store *store, struct err *err);

/* One transaction on the log's database. After a false from store_commit it is undecided: close, open, look. */
bool store_begin(struct store *store, struct err *err);
bool store_commit(struct store *store, struct err *err);
void store_rollback(struct store *store);
/* A part of the transaction that can be undone alone. store_back: false = the whole transaction is gone. */
bool store_mark(struct store *store, struct err *err);
bool store_keep(struct store *store, struct err *err);
bool store_back(struct store *store);
/* Small values. value is "" when there is none. */
bool store_meta(struct store *store, enum store_db db, const char *key, struct buf *value, struct err *err);
bool store_meta_set(struct store *store, enum store_db db, const char *key, const char *value, struct err *err);

/* ── the log ───────────────────────────────────────────────────────────────────────────────────────── */

struct store_entry {
    uint64_t index, at;
    enum record_kind kind;
    const uint8_t *call, *workspace; /* NULL: none */
    uint32_t attempt;
    tree_hash leaf;
    const char *body; /* NULL: pruned */
    size_t length;
};
struct store_detail {
    const char *name; /* "personal" or "about" */
    uint8_t salt[32];
    const char *value;
    size_t length;
    const uint8_t *subjects; /* subject_count × ID_BYTES: whom the value is sealed to; none: form 0, plain */
    unsigned subject_count;
};
bool store_log_size(struct store *store, uint64_t *size, uint64_t *last_at, struct err *err);
bool store_entry_add(struct store *store, const struct store_entry *entry, struct err *err);
bool store_detail_add(struct store *store, uint64_t index, const struct store_detail *detail, struct err *err);
/* value is left empty when there is no such detail. */
bool store_detail_get(struct store *store, uint64_t index, const char *name, struct buf *value, struct err *err);
/* The sealed one: value is left empty when there is none. subjects: SUBJECTS_MAX × ID_BYTES. */
bool store_detail_sealed(struct store *store, uint64_t index, uint8_t (*subjects)[ID_BYTES], unsigned *count,
                         struct buf *value, struct err *err);
/* Walk entries from an index on, or all admin ones; pointers live until visit returns; its false stops, no failure. */
typedef bool store_entry_visit(void *context, const struct store_entry *entry);
bool store_entries(struct store *store, uint64_t from, uint64_t count, store_entry_visit *visit, void *context,
                   struct err *err);
bool store_admin_entries(struct store *store, store_entry_visit *visit, void *context, struct err *err);
bool store_tile_add(struct store *store, unsigned level, uint64_t n, const uint8_t *hashes, struct err *err);
bool store_tile(struct store *store, unsigned level, uint64_t n, uint8_t *hashes, struct err *err);
bool store_leaves(struct store *store, uint64_t from, unsigned count, tree_hash *leaves, struct err *err);
/* The root of the n-th TILE_WIDTH entries, which were dropped; *found false: they were not. */
bool store_block(struct store *store, uint64_t n, tree_hash root, bool *found, struct err *err);

bool store_checkpoint_add(struct store *store, uint64_t size, const tree_hash root, const struct buf *note, uint64_t at,
                          struct err *err);
/* The newest; *size is 0 when there is none. */
bool store_checkpoint_last(struct store *store, uint64_t *size, tree_hash root, struct buf *note, struct err *err);
/* Who may sign trees of first_size entries and more, until the next one's first_size. */
struct store_signer {
    uint64_t first_size;
    char vkey[256]; /* "": none */
};
/* The newest and the one before it. */
bool store_signers(struct store *store, struct store_signer signers[2], unsigned *count, struct err *err);
bool store_signer_first(struct store *store, struct store_signer *signer, struct err *err);
/* The one in use retires at first_size - 1. */
bool store_signer_add(struct store *store, const struct store_signer *signer, struct err *err);

/* A log that must not be continued: a whole copy of it is put into the folder as audit-epoch-N.db, once; then, inside a
 * transaction, everything that belongs to the log is removed. *open: calls that had no outcome, and are closed. */
bool store_epoch_keep(struct store *store, int folder, uint64_t epoch, struct err *err);
bool store_epoch_clear(struct store *store, uint64_t *open, struct err *err);

/* ── people, retention, holds ──────────────────────────────────────────────────────────────────────────── */

bool store_subject_entry_add(struct store *store, const uint8_t subject[ID_BYTES], uint64_t index, struct err *err);
bool store_subject_entry_count(struct store *store, const uint8_t subject[ID_BYTES], uint64_t *count, struct err *err);
/* Indexes of entries about somebody, above `after` (-1: from the first on); at most room of them. */
bool store_subject_entry_list(struct store *store, const uint8_t subject[ID_BYTES], int64_t after, uint64_t *list,
                              unsigned room, unsigned *count, struct err *err);
/* Erasures under way: found is false when there is none. */
struct store_erasing {
    uint8_t subject[ID_BYTES], workspace[ID_BYTES];
    uint64_t entry;
};
bool store_erasing_add(struct store *store, const struct store_erasing *erasing, struct err *err);
bool store_erasing_first(struct store *store, struct store_erasing *out, bool *found, struct err *err);
bool store_erasing_done(struct store *store, const uint8_t subject[ID_BYTES], struct err *err);
/* Deletes sealed details, kept answers and links of some of the subject's entries, inside the transaction; *left: not
 * of all yet. */
bool store_erase_some(struct store *store, const uint8_t subject[ID_BYTES], bool *left, struct err *err);

struct store_hold {
    uint8_t id[ID_BYTES], workspace[ID_BYTES], first[ID_BYTES], last[ID_BYTES]; /* of calls; 00… to ff…: all of it */
    char reason[256];
    uint64_t created, entry; /* entry: HOLD_BEFORE where an epoch before this one recorded it */
};
#define HOLD_BEFORE UINT64_MAX
bool store_hold_add(struct store *store, const struct store_hold *hold, struct err *err);
bool store_hold_get(struct store *store, const uint8_t id[ID_BYTES], struct store_hold *out, bool *found,
                    struct err *err);
bool store_hold_remove(struct store *store, const uint8_t id[ID_BYTES], struct err *err);
typedef bool store_hold_visit(void *context, const struct store_hold *hold);
bool store_holds(struct store *store, store_hold_visit *visit, void *context, struct err *err);
/* The first entry from…to-1 that a hold covers; *found: there is one. */
bool store_held_first(struct store *store, uint64_t from, uint64_t to, uint64_t *index, bool *found, struct err *err);
/* Is one of the entries about this subject held? */
bool store_held_subject(struct store *store, const uint8_t workspace[ID_BYTES], const uint8_t subject[ID_BYTES],
                        bool *held, struct err *err);

/* A pruning that was recorded: bodies, or with hashes leaves, from…to, both included; those below done are gone. */
struct store_prune {
    bool hashes;
    uint64_t entry, from, to, done, at;
    uint8_t root[HASH_BYTES], archive[HASH_BYTES];
};
bool store_prune_add(struct store *store, const struct store_prune *prune, struct err *err);
/* The oldest that is not done yet. */
bool store_prune_first(struct store *store, struct store_prune *out, bool *found, struct err *err);
/* Sets bodies to NULL and deletes details from prune->done to upto-1, and notes that, inside the transaction. */
bool store_prune_some(struct store *store, const struct store_prune *prune, uint64_t upto, struct err *err);
bool store_prune_done(struct store *store, const struct store_prune *prune, uint64_t upto, struct err *err);
/* How many entries from…to, both included, are of kinds that pruning leaves as they are. */
bool store_stays(struct store *store, uint64_t from, uint64_t to, uint64_t *count, struct err *err);
/* The first entry whose leaf no recorded pruning takes. */
bool store_hashes_from(struct store *store, uint64_t *index, struct err *err);
/* How many rows of the n-th TILE_WIDTH entries are there. */
bool store_block_rows(struct store *store, uint64_t n, uint64_t *count, struct err *err);
/* Inside the transaction: deletes the rows of those of them that have no body. When none is left, root takes the place
 * of their tile, and checkpoints of sizes inside the block go. */
bool store_block_drop(struct store *store, uint64_t n, const tree_hash root, struct err *err);
/* The time of an entry; 0: there is none. */
bool store_entry_time(struct store *store, uint64_t index, uint64_t *at, struct err *err);
/* The lowest intent of a call that is still open; *found: there is one. */
bool store_open_first(struct store *store, uint64_t *index, bool *found, struct err *err);
/* Moves the write-ahead log into the database and cuts it to nothing, so that neither holds what was overwritten.
 * *done: false: a reader holds it; try again. */
bool store_truncate(struct store *store, enum store_db db, bool *done, struct err *err);

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

struct store_call {
    struct call_ref ref;
    bool ended, has_slot;
    uint8_t workspace[ID_BYTES], instance[ID_BYTES];
    char connector[NAME_BYTES], action[NAME_BYTES], credential[NAME_BYTES];
    uint32_t credential_version;
    uint8_t entry_digest[HASH_BYTES], salt[32], slot[HASH_BYTES];
    uint64_t begun, started, deadline; /* wall, monotonic, monotonic */
    uint64_t intent, outcome, ended_at;
    uint32_t class, sent, reason, retry_after;
};
bool store_call_add(struct store *store, const struct store_call *call, struct err *err);
/* Writes ended_at, outcome, class, sent, reason, retry_after of an open attempt; *found false: it was not open. */
bool store_call_end(struct store *store, const struct store_call *call, bool *found, struct err *err);
/* attempt 0: the latest one. */
bool store_call_get(struct store *store, const uint8_t id[ID_BYTES], uint32_t attempt, struct store_call *call,
                    bool *found, struct err *err);
typedef bool store_call_visit(void *context, const struct store_call *call);
bool store_calls_open(struct store *store, store_call_visit *visit, void *context, struct err *err);
/* Newest first, below `before`. */
bool store_calls(struct store *store, const uint8_t workspace[ID_BYTES], const uint8_t before[ID_BYTES],
                 store_call_visit *visit, void *context, struct err *err);

struct store_slot {
    uint8_t call[ID_BYTES], fingerprint[HASH_BYTES];
    bool retry;
};
bool store_slot_get(struct store *store, const uint8_t slot[HASH_BYTES], struct store_slot *out, bool *found,
                    struct err *err);
bool store_slot_put(struct store *store, const uint8_t slot[HASH_BYTES], const struct store_slot *value,
                    uint64_t expires, struct err *err);
/* For one more attempt: remembered until then, and released no more. */
bool store_slot_again(struct store *store, const uint8_t slot[HASH_BYTES], uint64_t expires, struct err *err);
/* Released for one more attempt, if its key is still this call's. */
bool store_slot_retry(struct store *store, const struct store_call *call, struct err *err);
bool store_answer_add(struct store *store, const struct call_ref *ref, const uint8_t sealed_key[SEALED_KEY],
                      const void *body, size_t length, uint64_t expires, struct err *err);
bool store_answer_get(struct store *store, const struct call_ref *ref, uint8_t sealed_key[SEALED_KEY], struct buf *body,
                      bool *found, struct err *err);
/* Removes some of the keys and answers that expired before now. */
bool store_expire(struct store *store, uint64_t now, struct err *err);

/* ── state.db: who and what ────────────────────────────────────────────────────────────────────────── */

struct store_workspace {
    uint8_t id[ID_BYTES], lookup[32];
    char name[NAME_BYTES];
    uint64_t created;
};
bool store_workspace_add(struct store *store, const struct store_workspace *workspace, struct err *err);
bool store_workspace_named(struct store *store, const char *name, struct store_workspace *out, bool *found,
                           struct err *err);
bool store_workspace_get(struct store *store, const uint8_t id[ID_BYTES], struct store_workspace *out, bool *found,
                         struct err *err);
typedef bool store_workspace_visit(void *context, const struct store_workspace *workspace);
bool store_workspaces(struct store *store, const char *after, store_workspace_visit *visit, void *context,
                      struct err *err);

enum { SCOPE_TEXT = 2048 };
struct store_token {
    uint8_t id[ID_BYTES], hash[HASH_BYTES], workspace[ID_BYTES];
    char name[NAME_BYTES];
    uint32_t role;                                    /* authorise.h */
    char connectors[SCOPE_TEXT], actions[SCOPE_TEXT]; /* JSON arrays of names, "[]" = all */
    uint64_t created, expires, revoked;               /* ns since 1970; expires, revoked: 0 = never, not */
};
bool store_token_add(struct store *store, const struct store_token *token, struct err *err);
bool store_token_hashed(struct store *store, const uint8_t hash[HASH_BYTES], struct store_token *out, bool *found,
                        struct err *err);
bool store_token_get(struct store *store, const uint8_t id[ID_BYTES], struct store_token *out, bool *found,
                     struct err *err);
bool store_token_revoke(struct store *store, const uint8_t id[ID_BYTES], uint64_t now, struct err *err);
typedef bool store_token_visit(void *context, const struct store_token *token);
/* Newest first, below `before`. */
bool store_tokens(struct store *store, const uint8_t workspace[ID_BYTES], const uint8_t before[ID_BYTES],
                  store_token_visit *visit, void *context, struct err *err);

struct store_credential {
    uint8_t id[ID_BYTES], workspace[ID_BYTES];
    char name[NAME_BYTES], connector[NAME_BYTES];
    uint32_t version;
    uint32_t kind;                                   /* enum credential_kind */
    char audience[AUDIENCE_MAX], fields[SCOPE_TEXT]; /* fields: JSON array of names */
    char token_host[FRAME_HOST];                     /* CREDENTIAL_OAUTH2: the one host that an exchange may reach */
    uint64_t created, changed;
    uint64_t refresh_at, expires_at; /* ns since 1970: when the access token is to be replaced, and ends; 0: none yet */
};
/* Adds it, or replaces the row of that id. */
bool store_credential_put(struct store *store, const struct store_credential *credential, struct err *err);
bool store_credential_named(struct store *store, const uint8_t workspace[ID_BYTES], const char *name,
                            struct store_credential *out, bool *found, struct err *err);
bool store_credential_get(struct store *store, const uint8_t id[ID_BYTES], struct store_credential *out, bool *found,
                          struct err *err);
bool store_credential_remove(struct store *store, const uint8_t id[ID_BYTES], struct err *err);
typedef bool store_credential_visit(void *context, const struct store_credential *credential);
bool store_credentials(struct store *store, const uint8_t workspace[ID_BYTES], const char *after,
                       store_credential_visit *visit, void *context, struct err *err);

/* ── vault.db: ciphertext and wrapped keys ─────────────────────────────────────────────────────────── */

struct store_keys {
    uint32_t version;
    struct wrapped workspace_key, answer_secret;
    uint8_t answer_public[32];
};
bool store_keys_add(struct store *store, const uint8_t workspace[ID_BYTES], const struct store_keys *keys,
                    struct err *err);
/* The newest version. */
bool store_keys_get(struct store *store, const uint8_t workspace[ID_BYTES], struct store_keys *out, bool *found,
                    struct err *err);
bool store_keys_version(struct store *store, const uint8_t workspace[ID_BYTES], uint32_t version,
                        struct store_keys *out, bool *found, struct err *err);
/* Whose credential, which of its versions, and under which version of the workspace's key. */
struct store_sealed {
    const uint8_t *workspace, *credential;
    uint32_t version, key_version;
};
/* Every field of one version, as the vault answered MSG_SEAL or MSG_RENEW: one transaction of vault.db. ERR_STATE: that
 * version of the workspace's key is not there any more. */
bool store_sealed_add(struct store *store, const struct store_sealed *what, const struct msg_seal_answer *sealed,
                      struct err *err);
/* Fills the workspace's and the credential's key, the audience digest and those of the wanted fields that exist into an
 * order; wanted NULL: all fields. */
bool store_sealed_get(struct store *store, const uint8_t credential[ID_BYTES], uint32_t version,
                      const char (*wanted)[NAME_BYTES], unsigned wanted_count, struct msg_order *order, bool *found,
                      struct err *err);
/* Destroys the versions before that one. */
bool store_sealed_before(struct store *store, const uint8_t credential[ID_BYTES], uint32_t version, struct err *err);
/* The highest version that was ever written, 0 = none. */
bool store_sealed_version(struct store *store, const uint8_t credential[ID_BYTES], uint32_t *version, struct err *err);
bool store_sealed_remove(struct store *store, const uint8_t credential[ID_BYTES], struct err *err);

/* The log's signing keys, wrapped: at most STORE_SIGNERS of them. */
enum { STORE_SIGNERS = 4 };
struct store_signer_key {
    struct signer_key key;
    char origin[128];
    uint64_t created; /* ns since 1970 */
};
bool store_signer_key_add(struct store *store, const struct store_signer_key *key, struct err *err);
bool store_signer_keys(struct store *store, struct store_signer_key keys[STORE_SIGNERS], unsigned *count,
                       struct err *err);
/* Destroys every one but these two (NULL: none), in the file and in its write-ahead log. ERR_BUSY: somebody reads, and
 * the latter is owed. */
bool store_signer_keys_keep(struct store *store, const uint8_t *one, const uint8_t *other, struct err *err);

/* Somebody that calls are about. destroyed: then there are no keys and no reference any more. */
struct store_subject {
    uint8_t id[ID_BYTES], workspace[ID_BYTES], reference[HASH_BYTES], public[32];
    struct wrapped secret;
    uint32_t key_version; /* of the workspace's key that wraps it */
    uint64_t created, destroyed;
};
bool store_subject_add(struct store *store, const struct store_subject *subject, struct err *err);
bool store_subject_referenced(struct store *store, const uint8_t workspace[ID_BYTES],
                              const uint8_t reference[HASH_BYTES], struct store_subject *out, bool *found,
                              struct err *err);
bool store_subject_get(struct store *store, const uint8_t id[ID_BYTES], struct store_subject *out, bool *found,
                       struct err *err);
bool store_subject_destroy(struct store *store, const uint8_t id[ID_BYTES], uint64_t now, struct err *err);
