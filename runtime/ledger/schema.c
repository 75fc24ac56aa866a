/* SPDX-License-Identifier: Apache-2.0 */
/* The three databases as SQL text: what docs/audit-format.md describes is created from here and nowhere else. */
#include "schema.h"

/* Against our own mistakes, not against attackers. */
#define GUARDS \
    "CREATE TRIGGER entry_keep BEFORE DELETE ON entry WHEN OLD.body IS NOT NULL" \
    "  BEGIN SELECT RAISE(ABORT, 'entries stay'); END;" \
    "CREATE TRIGGER entry_fixed BEFORE UPDATE ON entry WHEN NEW.body IS NOT NULL OR NEW.idx <> OLD.idx" \
    "  OR NEW.ts <> OLD.ts OR NEW.kind <> OLD.kind OR NEW.leaf <> OLD.leaf" \
    "  BEGIN SELECT RAISE(ABORT, 'entries are not changed'); END;"
const char schema_audit_guards[] = GUARDS;

/* Inputs and replies that a grant has captured: one to an entry, whose body holds SHA-256(tag, value). form 1: sealed
 * to the people in subject, as in detail; 2: to the workspace. value: the salt, size bytes, and what pads them. */
#define PAYLOAD_TABLE(create) \
    create "(idx INTEGER PRIMARY KEY, form INTEGER NOT NULL, size INTEGER NOT NULL, subject BLOB," \
           "  value BLOB NOT NULL) STRICT;"
/* Every start reads them all: revoked.c. */
#define ENTRY_ADMIN(create) create " entry_admin ON entry(idx) WHERE kind = 5;"
const char schema_audit_later[] =
    PAYLOAD_TABLE("CREATE TABLE IF NOT EXISTS payload") ENTRY_ADMIN("CREATE INDEX IF NOT EXISTS");

/* One transaction, one file: the log, the calls and the idempotency keys stand and fall together. */
const char schema_audit[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE entry("
    "  idx INTEGER PRIMARY KEY," /* leaf index, dense from 0, assigned by the writer */
    "  ts INTEGER NOT NULL,"     /* ns since 1970, never decreasing */
    "  kind INTEGER NOT NULL,"   /* record.h: enum record_kind */
    "  call BLOB, attempt INTEGER, workspace BLOB,"
    "  leaf BLOB NOT NULL CHECK(length(leaf) = 32),"
    "  body BLOB CHECK(length(body) <= 65535)" /* NULL once pruned; the leaf stays */
    ") STRICT;"
    "CREATE UNIQUE INDEX entry_call ON entry(call, attempt, kind) WHERE kind IN (1, 2);"
    ENTRY_ADMIN("CREATE INDEX")
    GUARDS
    /* What is personal: the body holds SHA-256(tag, salt, value) only. n = 2 idx, and one more for the name 'about':
     * rows are only ever added at the end, so that no page keeps a copy of one that moved. form 0: value is plain JSON;
     * 1: encrypted, its key sealed to subject: one id or several, 16 bytes each. */
    "CREATE TABLE detail("
    "  n INTEGER PRIMARY KEY, idx INTEGER NOT NULL, name TEXT NOT NULL, form INTEGER NOT NULL DEFAULT 0,"
    "  salt BLOB NOT NULL CHECK(length(salt) = 32), subject BLOB, value BLOB NOT NULL) STRICT;"
    PAYLOAD_TABLE("CREATE TABLE payload")
    /* Which entries are about whom, and who is being erased: the row goes last. */
    "CREATE TABLE subject_entry(subject BLOB NOT NULL, idx INTEGER NOT NULL,"
    "  PRIMARY KEY(subject, idx)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX subject_entry_idx ON subject_entry(idx);"
    "CREATE TABLE erasing(subject BLOB PRIMARY KEY CHECK(length(subject) = 16), workspace BLOB NOT NULL,"
    "  entry INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    /* What must not be pruned or erased: a workspace's calls from one id to another, both included. */
    "CREATE TABLE hold(id BLOB PRIMARY KEY CHECK(length(id) = 16), workspace BLOB NOT NULL,"
    "  first BLOB NOT NULL CHECK(length(first) = 16), last BLOB NOT NULL CHECK(length(last) = 16),"
    "  reason TEXT NOT NULL, created INTEGER NOT NULL, entry INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tile(level INTEGER NOT NULL, n INTEGER NOT NULL,"
    "  hashes BLOB NOT NULL CHECK(length(hashes) = 8192), PRIMARY KEY(level, n)) STRICT;"
    /* What is left of a block of 256 entries whose leaves were dropped: the root over them. */
    "CREATE TABLE block(n INTEGER PRIMARY KEY, root BLOB NOT NULL CHECK(length(root) = 32)) STRICT;"
    "CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, root BLOB NOT NULL CHECK(length(root) = 32),"
    "  note BLOB NOT NULL, ts INTEGER NOT NULL) STRICT;"
    "CREATE TABLE cosignature(size INTEGER NOT NULL, name TEXT NOT NULL, line BLOB NOT NULL,"
    "  PRIMARY KEY(size, name)) STRICT, WITHOUT ROWID;"
    /* Where checkpoints are pushed to: the size that was taken last, what was missed since (checkpoints, and their sizes
     * from…to), the size that a witness claimed against this log (0: none), and when it was tried last. */
    "CREATE TABLE sink(name TEXT PRIMARY KEY, size INTEGER NOT NULL, missed INTEGER NOT NULL, from_size INTEGER NOT NULL,"
    "  to_size INTEGER NOT NULL, claimed INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    /* Entries that only pushing made: they are no reason to push again. */
    "CREATE TABLE push_entry(idx INTEGER PRIMARY KEY) STRICT;"
    "CREATE TABLE signer(first_size INTEGER PRIMARY KEY, vkey TEXT NOT NULL, retired_size INTEGER) STRICT;"
    /* from_idx to to_idx, both included; what is below done is gone already: bodies, or with hashes 1 leaves as well. */
    "CREATE TABLE prune(entry INTEGER PRIMARY KEY, hashes INTEGER NOT NULL, from_idx INTEGER NOT NULL, to_idx INTEGER NOT NULL,"
    "  done INTEGER NOT NULL, root BLOB NOT NULL, archive BLOB NOT NULL, ts INTEGER NOT NULL) STRICT;"
    /* One row per attempt; state 0 = open, 1 = ended. salt: until the outcome is written. */
    "CREATE TABLE call("
    "  id BLOB NOT NULL CHECK(length(id) = 16), attempt INTEGER NOT NULL, state INTEGER NOT NULL,"
    "  workspace BLOB NOT NULL, connector TEXT NOT NULL, action TEXT NOT NULL,"
    "  credential TEXT NOT NULL, credential_version INTEGER NOT NULL,"
    "  entry_digest BLOB NOT NULL, salt BLOB, slot BLOB, instance BLOB NOT NULL,"
    "  begun INTEGER NOT NULL, started INTEGER NOT NULL, deadline INTEGER NOT NULL,"
    "  intent INTEGER NOT NULL, outcome INTEGER, ended INTEGER,"
    "  class INTEGER, sent INTEGER, reason INTEGER, retry_after INTEGER,"
    "  PRIMARY KEY(id, attempt)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX call_open ON call(state) WHERE state = 0;"
    "CREATE INDEX call_workspace ON call(workspace, id, attempt);"
    /* slot: keyed hash of workspace, caller and key. retry: an operator released it for one more attempt. */
    "CREATE TABLE idempotency("
    "  slot BLOB PRIMARY KEY CHECK(length(slot) = 32), call BLOB NOT NULL, fingerprint BLOB NOT NULL,"
    "  retry INTEGER NOT NULL DEFAULT 0, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX idempotency_expires ON idempotency(expires);"
    "CREATE TABLE answer("
    "  call BLOB NOT NULL, attempt INTEGER NOT NULL, sealed_key BLOB NOT NULL, body BLOB NOT NULL,"
    "  expires INTEGER NOT NULL, PRIMARY KEY(call, attempt)) STRICT;"
    "CREATE INDEX answer_expires ON answer(expires);";

const char schema_state[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE workspace("
    "  id BLOB PRIMARY KEY CHECK(length(id) = 16), name TEXT NOT NULL UNIQUE,"
    "  lookup BLOB NOT NULL CHECK(length(lookup) = 32), created INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    /* connectors, actions: JSON arrays of names, empty = all. hash: SHA-256 of the token's text. */
    "CREATE TABLE token("
    "  id BLOB PRIMARY KEY CHECK(length(id) = 16), hash BLOB NOT NULL UNIQUE CHECK(length(hash) = 32),"
    "  workspace BLOB NOT NULL, name TEXT NOT NULL, role INTEGER NOT NULL,"
    "  connectors TEXT NOT NULL, actions TEXT NOT NULL,"
    "  created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER) STRICT, WITHOUT ROWID;"
    "CREATE TABLE credential("
    "  id BLOB PRIMARY KEY CHECK(length(id) = 16), workspace BLOB NOT NULL, name TEXT NOT NULL,"
    "  connector TEXT NOT NULL, version INTEGER NOT NULL, audience TEXT NOT NULL, fields TEXT NOT NULL,"
    "  created INTEGER NOT NULL, changed INTEGER NOT NULL, kind INTEGER NOT NULL, token_host TEXT NOT NULL,"
    "  refresh_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, UNIQUE(workspace, name)) STRICT, WITHOUT ROWID;";

const char schema_vault[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    /* The master keys that something here is or was under, by name and check value, never by content. state: 1 in use,
     * 2 next, 3 retired. */
    "CREATE TABLE master_key("
    "  version INTEGER PRIMARY KEY, name BLOB NOT NULL CHECK(length(name) = 8),"
    "  kcv BLOB NOT NULL CHECK(length(kcv) = 32), state INTEGER NOT NULL, created INTEGER NOT NULL,"
    "  retired INTEGER) STRICT;"
    /* state: 1 readable, 2 below the least version that is: about to be destroyed. */
    "CREATE TABLE workspace_key("
    "  workspace BLOB NOT NULL, version INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 1, wrapped BLOB NOT NULL,"
    "  answer_secret BLOB NOT NULL, answer_public BLOB NOT NULL, created INTEGER NOT NULL,"
    "  PRIMARY KEY(workspace, version)) STRICT, WITHOUT ROWID;"
    /* Rotations under way: "master", or "workspace " and its id. step: rotate.h. cursor: how far the walk over the keys
     * has come; what is left is counted, not remembered. */
    "CREATE TABLE rotation("
    "  job TEXT PRIMARY KEY, step INTEGER NOT NULL, cursor BLOB NOT NULL, workspace BLOB NOT NULL,"
    "  from_version INTEGER NOT NULL, to_version INTEGER NOT NULL, done INTEGER NOT NULL,"
    "  unreadable INTEGER NOT NULL, started INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE credential_version("
    "  credential BLOB NOT NULL, version INTEGER NOT NULL, workspace BLOB NOT NULL, key_version INTEGER NOT NULL,"
    "  wrapped BLOB NOT NULL, audience_digest BLOB NOT NULL, created INTEGER NOT NULL,"
    "  PRIMARY KEY(credential, version)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX credential_version_key ON credential_version(workspace, key_version, credential, version);"
    "CREATE TABLE credential_field("
    "  credential BLOB NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL,"
    "  PRIMARY KEY(credential, version, name)) STRICT, WITHOUT ROWID;"
    /* Keys that sign the log, wrapped under the master's key: the one in use, and beside it, while it rolls, the next. */
    "CREATE TABLE signer_key("
    "  public BLOB PRIMARY KEY CHECK(length(public) = 32), id BLOB NOT NULL UNIQUE CHECK(length(id) = 16),"
    "  after BLOB NOT NULL, binding BLOB NOT NULL, origin TEXT NOT NULL, wrapped BLOB NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    /* One row per person and workspace. reference: keyed hash of who it is. destroyed: the largest number until then;
     * reference and keys are zeros from then on. key_version: eight digits. A row never changes its size or place, so
     * that a key is overwritten where it stands and no page keeps a copy of one that moved. */
    "CREATE TABLE subject_key("
    "  n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE CHECK(length(id) = 16), workspace BLOB NOT NULL,"
    "  reference BLOB NOT NULL CHECK(length(reference) = 32), key_version TEXT NOT NULL CHECK(length(key_version) = 8),"
    "  wrapped BLOB NOT NULL CHECK(length(wrapped) = 128), public BLOB NOT NULL CHECK(length(public) = 32),"
    "  created INTEGER NOT NULL, destroyed INTEGER NOT NULL) STRICT;"
    "CREATE INDEX subject_key_version ON subject_key(workspace, key_version, id);"
    "CREATE UNIQUE INDEX subject_key_reference ON subject_key(workspace, reference) WHERE destroyed = "
    "9223372036854775807;";
