/* SPDX-License-Identifier: Apache-2.0 */
/* The command's side of the keys: makes keys/master.key and keys/vault.pub, reads the public file, and seals what is
 * submitted to it. Secret values pass through here on their way in and are never kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyderive.h"
#include "runtime/messages.h"

/* keys/vault.pub: four lines of text, all of it grown from the master key. */
struct keys_public {
    uint32_t version;
    uint8_t submission[KEY_BYTES]; /* X25519: what keys_seal() seals to */
    uint8_t submission_id[KEY_ID_BYTES];
    uint8_t identity[KEY_BYTES]; /* Ed25519: who vouches for keys that pages seal to (VAULT_IDENTITY) */
};

/* Makes the folder keys (0755 as the key file guards itself), keys/master.key (0600) and keys/vault.pub (0644) below
 * the home folder; everything is on disk when it returns. ERR_EXISTS when there is a key already: it is never
 * overwritten, and a missing vault.pub is made again from it. */
bool keys_create(int home_dirfd, struct err *err);

/* The next master key: looks at keys/master.key.next (0600), where an earlier try left it; else makes it, or, where
 * something may be under it already, says that it is missing. share: a key provider's half,
 * NULL where the files are whole. */
bool keys_make_next(int home_dirfd, const uint8_t *share, bool may_make, struct err *err);
/* Puts it in the place of keys/master.key, whose bytes are overwritten, and its public half into keys/vault.pub. Where
 * there is no next one, that was done before. */
bool keys_replace(int home_dirfd, const uint8_t *share, struct err *err);
/* Makes keys/vault.pub of keys/master.key, whatever stood in it. */
bool keys_publish(int home_dirfd, const uint8_t *share, struct err *err);

/* With a key provider: the other half, and the text of keys/provider.share that the provider made of it. row NULL:
 * there is one already, and only a missing vault.pub may be made. */
struct keys_half {
    uint8_t share[KEY_BYTES];
    const char *row;
    size_t row_length;
};
bool keys_create_half(int home_dirfd, const struct keys_half *half, struct err *err);

/* The master key itself: for the verbs that make its files anew. Wipe it at once. share: NULL: the file is whole. */
bool keys_master(int home_dirfd, const uint8_t *share, uint8_t master[KEY_BYTES], struct err *err);
/* Each whole or not at all, and on the disk when it returns; an old master.key's bytes are overwritten. row NULL: there
 * is no provider any more. */
bool keys_replace_row(int home_dirfd, const char *row, size_t length, struct err *err);
bool keys_replace_master(int home_dirfd, const uint8_t master[KEY_BYTES], const uint8_t *share, struct err *err);
bool keys_put_recovery(int home_dirfd, const char *text, size_t length, struct err *err);
/* Makes keys/master.key of a master key that came from elsewhere; never over another. */
bool keys_restore(int home_dirfd, const uint8_t master[KEY_BYTES], struct err *err);

/* Reads keys/vault.pub below the home folder and checks it. */
bool keys_read_public(int home_dirfd, struct keys_public *public, struct err *err);

/* Starts a submission: magic, time and nonce; the names are the caller's to fill in (checked by keys_seal). */
void keys_submission(struct submission *submission);
/* Adds one field; value is copied. Wipe the structure with sodium_memzero() or explicit_bzero() when done. */
bool keys_add_field(struct submission *submission, const char *name, const void *value, size_t length, struct err *err);

/* Writes the key's id into the structure and seals it, whole, to the vault's public key. box: at least BOX_MAX bytes;
 * *length: how many it takes. */
bool keys_seal(struct submission *submission, const uint8_t public[KEY_BYTES], uint8_t box[BOX_MAX], size_t *length,
               struct err *err);
