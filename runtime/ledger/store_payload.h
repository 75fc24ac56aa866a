/* SPDX-License-Identifier: Apache-2.0 */
/* The storage interface, continued: captured payloads. As in store.h, false with err means that the store failed. */
#pragma once

#include "store.h"

/* What a grant has captured, sealed (payload.h). */
struct store_payload {
    uint64_t size; /* of the bytes that are sealed, without salt and padding */
    const char *value;
    size_t length;
    const uint8_t *subjects; /* subject_count × ID_BYTES; none: sealed to the workspace */
    unsigned subject_count;
};
bool store_payload_add(struct store *store, uint64_t index, const struct store_payload *payload, struct err *err);
/* *found false: nothing is kept of this entry. subjects: SUBJECTS_MAX × ID_BYTES. */
bool store_payload_get(struct store *store, uint64_t index, uint64_t *size, uint8_t (*subjects)[ID_BYTES],
                       unsigned *count, struct buf *value, bool *found, struct err *err);
