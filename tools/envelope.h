/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes that another system sealed with AES-256-GCM under a key that a passphrase made, as one JSON object:
 *
 *   {"kdf": {"name", "salt", "params"}, "cipher": {"iv", "name"?}, "aad"?, "ct", "tag"?}
 *
 * name: PBKDF2 {iterations, hash: SHA-256 | SHA-512}, scrypt {N, r, p} or argon2id {m (KiB), t, p}. Without kdf the
 * key itself is given. Bytes are in standard base64 with padding; without tag, ct ends with it (as WebCrypto makes it).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ciphers.h"

enum { ENVELOPE_MOST = 24 * 1024, ENVELOPE_SALT = 64, ENVELOPE_AAD = 1024 };
enum envelope_kdf { ENVELOPE_PBKDF2, ENVELOPE_SCRYPT, ENVELOPE_ARGON2ID, ENVELOPE_KEY };

/* Checked against every ceiling; nothing of it is secret. */
struct envelope {
    enum envelope_kdf kdf;
    bool sha512;                /* PBKDF2 */
    uint32_t iterations, lanes; /* PBKDF2; argon2id's t and p, scrypt's p */
    uint64_t n, r, kib;         /* scrypt; argon2id */
    uint8_t salt[ENVELOPE_SALT], iv[GCM_IV], tag[GCM_TAG], aad[ENVELOPE_AAD];
    size_t salt_length, aad_length, length;
    uint8_t sealed[ENVELOPE_MOST];
};

/* Does no work that the envelope could ask for: a ceiling that is passed is an error that names it. */
bool envelope_read(const json_t *value, struct envelope *envelope, struct err *err);
/* What today's advice finds too cheap to guess, in one sentence; NULL: nothing. */
const char *envelope_weak(const struct envelope *envelope);
/* secret: the passphrase, or the 32 bytes of the key where there is no kdf. plain: room for envelope->length bytes,
 * which is what it becomes. Takes up to 1 GiB and some seconds. key_library() comes first. */
bool envelope_open(const struct envelope *envelope, const void *secret, size_t secret_length, uint8_t *plain,
                   struct err *err);
