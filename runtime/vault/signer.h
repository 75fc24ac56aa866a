/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that sign the log: random pairs, wrapped under the master's key, each bound to its log and to the key that
 * it follows. And what the log's last entry must say before one may take over from another. */
#pragma once

#include "keys.h"

/* What the wrapping of a signing key is bound to: the digest of its log's name, its public half and its predecessor. */
void signer_binding(const char *origin, const struct signer_key *key, uint8_t digest[HASH_BYTES]);

/* A new random pair that follows `after` (zeros: the first of its log). */
void signer_make(struct keys *keys, const char *origin, const uint8_t after[32], bool under_next,
                 struct signer_key *key);
/* Opens the secret into keys->store->work.signer; wipe with keys_wipe(). false: it is not a key of that log. */
bool signer_unwrap(struct keys *keys, const char *origin, const struct signer_key *key, struct err *err);

/* By the old key, over both: verifiers believe no entry that names a key without it. false: the old one is not what it
 * is called. */
bool signer_vouch(struct keys *keys, const char *origin, const struct signer_key *old, const uint8_t new[32],
                  uint8_t signature[64], struct err *err);

/* Is ask->entry the last leaf of the tree that is to be signed? */
bool entry_is_last(const struct msg_sign *ask);
/* Does it say that the one key follows the other? */
bool entry_says_roll(const struct msg_sign *ask, const uint8_t old[32], const uint8_t new[32]);
/* Does it say that this log follows the one that was signed last, and name exactly that? */
bool entry_says_epoch(const struct msg_sign *ask, const struct ctl_witness *last);
