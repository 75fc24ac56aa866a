/* SPDX-License-Identifier: Apache-2.0 */
/* Appending to the log: record bytes, leaves and tree inside one transaction; the tree moves on only after COMMIT. */
#pragma once

#include "record.h"
#include "store.h"
#include "tree.h"

struct journal {
    struct store *store;
    struct tree tree;     /* of what is durable */
    struct tree next;     /* of the transaction being committed */
    uint64_t at, next_at; /* the newest entry's time: never goes back */
    bool untrue;          /* opening found entries that are not those that were signed */
    bool lowered;         /* MinimumIsolation lowered the plugin walls: every record says so */
    tree_hash *leaves;    /* of the transaction */
    unsigned leaf_count, leaf_room;
};

/* Loads the tree and compares it with the newest checkpoint and with the bodies since: ERR_AUDIT names what is wrong.
 */
bool journal_open(struct journal *journal, struct store *store, bool lowered, struct err *err);
/* Does it hold, as its beginning, the log that had this size and root? */
bool journal_holds(struct journal *journal, uint64_t size, const tree_hash root);
void journal_clear(struct journal *journal);

bool journal_begin(struct journal *journal, struct err *err);
/* false: undecided; the journal must be opened anew on a new store. */
bool journal_commit(struct journal *journal, struct err *err);
void journal_rollback(struct journal *journal);
/* A part of the transaction: what journal_back undoes, it undoes without the rest. false: the whole is gone. */
struct journal_mark {
    unsigned leaf_count;
    uint64_t next_at;
};
bool journal_mark(struct journal *journal, struct journal_mark *mark, struct err *err);
bool journal_keep(struct journal *journal, struct err *err);
bool journal_back(struct journal *journal, const struct journal_mark *mark);
/* A personal value that is sealed to the people it speaks of. */
struct journal_sealed {
    const struct buf *value;
    unsigned count;
    uint8_t subjects[SUBJECTS_MAX][ID_BYTES];
};
/* What a grant has captured, sealed to people, or with none to the workspace. size: bytes, before they were sealed. */
struct journal_payload {
    const struct buf *value;
    uint64_t size;
    unsigned count;
    uint8_t subjects[SUBJECTS_MAX][ID_BYTES];
};
struct journal_about {
    enum record_kind kind;
    const struct call_ref *call;         /* NULL: none */
    const uint8_t *workspace;            /* NULL: none */
    struct record *personal;             /* NULL: nothing personal; else it is kept beside the log, by commitment */
    const struct journal_sealed *sealed; /* NULL: none; the same, in the field "about" */
    bool push;                           /* only pushing a checkpoint made it: no reason to push another */
    /* NULL: none; else it is kept beside the log, by commitment */
    const struct journal_payload *payload;
};
/* Adds one entry. When it fails with anything but ERR_AUDIT, nothing of it was written. The fields at, clock, kind, v,
 * walls, personal, about and payload are added here. */
bool journal_add(struct journal *journal, const struct journal_about *about, struct record *record, uint64_t *index,
                 struct err *err);
/* One entry in a transaction of its own: durable when this returns true. */
bool journal_add_now(struct journal *journal, const struct journal_about *about, struct record *record, uint64_t *index,
                     struct err *err);

/* Entries that the next one's index counts from: the durable ones and those of the open transaction. */
uint64_t journal_size(const struct journal *journal);
/* Tiles for proofs (tree.h). context: the journal. */
bool journal_tiles(void *context, unsigned level, uint64_t n, uint8_t *hashes);
