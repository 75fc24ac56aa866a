/* SPDX-License-Identifier: Apache-2.0 */
/* The people that calls are about: how they are named, which key is theirs, and how what is personal is sealed to it.
 * Nothing is asked of the vault but for somebody's first call: sealing takes the public half only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "record.h"
#include "store.h"

struct ledger;
struct begin;

struct subject {
    char text[SUBJECT_BYTES]; /* as subject_normal() made it */
    uint8_t reference[HASH_BYTES];
    struct store_subject key;
    bool known; /* key is there */
};
struct subjects {
    unsigned count;
    struct subject list[SUBJECTS_MAX];
};

/* One spelling for one person: addresses in lower case, numbers without what stands between their digits, and the kind
 * in front: "mailto:", "tel:", "id:". ERR_BAD_INPUT says what is wrong and does not repeat the text. */
bool subject_normal(const char *text, char normal[SUBJECT_BYTES], struct err *err);
/* HMAC-SHA-256 under the workspace's lookup key: who has the databases but not that key cannot try names. */
void subject_reference(const uint8_t lookup[32], const char *normal, uint8_t reference[HASH_BYTES]);

/* The tail of a MSG_BEGIN. *out: NULL when nobody is named; else freed by the caller. Somebody named twice counts once.
 */
bool subjects_read(const char *tail, size_t length, struct subjects **out, struct err *err);
/* Looks the keys up. *missing: how many have none yet. */
bool subjects_find(struct ledger *ledger, const struct store_workspace *workspace, struct subjects *subjects,
                   unsigned *missing, struct err *err);
/* Takes a begin over whose people have no keys yet: asks the vault, then lets it begin anew. */
void subjects_ask(struct ledger *ledger, struct begin *begin);

/* Their keys for a question to the vault. *whole false: one of them has no key any more, and what is sealed to them is
 * on its way out. While the workspace's key is rotated, each person's may be under another version of it. */
bool subject_open_keys(struct store *store, const uint8_t (*subjects)[ID_BYTES], unsigned count,
                       struct msg_subject_open *ask, bool *whole, struct err *err);

/* A personal detail of form 1: JSON, padded, under a fresh key that is sealed to each in turn. publics: count × 32
 * bytes. */
bool subjects_seal(const uint8_t (*publics)[32], unsigned count, const struct buf *plain, struct buf *value,
                   struct err *err);
/* Opens it with the key that the vault gave. */
bool subjects_unseal(const uint8_t key[32], unsigned count, const void *value, size_t length, struct buf *plain,
                     struct err *err);
