/* SPDX-License-Identifier: Apache-2.0 */
/* The store: where checkpoints are pushed to, which entries that made, and what witnesses signed. */
#pragma once

#include "store.h"

/* What is known of a place that checkpoints are pushed to. */
struct store_sink {
    char name[NAME_BYTES];
    uint64_t size;             /* of the checkpoint that it took last */
    uint64_t missed, from, to; /* checkpoints that it did not take since, and their sizes */
    uint64_t claimed;          /* what a witness said against this log; 0: nothing */
    uint64_t at;               /* wall clock: when it was tried last */
};
/* Fills in what is known under sink->name; nothing: zeros. */
bool store_sink_get(struct store *store, struct store_sink *sink, struct err *err);
bool store_sink_put(struct store *store, const struct store_sink *sink, struct err *err);
bool store_push_entry_add(struct store *store, uint64_t index, struct err *err);
/* *made: only pushing made that entry. */
bool store_push_entry_has(struct store *store, uint64_t index, bool *made, struct err *err);
/* Forgets those below. */
bool store_push_entry_drop(struct store *store, uint64_t below, struct err *err);
/* *news: one more than the index of the newest entry from…to-1 that no push made; 0: there is none. */
bool store_push_news(struct store *store, uint64_t from, uint64_t to, uint64_t *news, struct err *err);

/* Lines of witnesses, as they stand under a checkpoint of that size; one for each name. */
bool store_cosignature_put(struct store *store, uint64_t size, const char *name, const struct buf *line,
                           struct err *err);
bool store_cosignatures(struct store *store, uint64_t size, struct buf *lines, struct err *err);
/* The largest size that a witness has signed; 0: none. */
bool store_cosigned_last(struct store *store, uint64_t *size, struct err *err);
bool store_checkpoint_at(struct store *store, uint64_t size, struct buf *note, struct err *err);
