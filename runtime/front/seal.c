/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and sealed answers, over libsodium. */
#include "seal.h"

#include <jansson.h>
#include <sodium.h>
#include <string.h>

#include "sandbox/frames.h"

static const uint8_t no_nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

_Static_assert(SEALED_KEY == crypto_box_SEALBYTES + 32, "a sealed key is a sealed box around 32 bytes");

bool seal_init(struct err *err)
{
    uint32_t seed;
    if (sodium_init() < 0) return err_set(err, ERR_INTERNAL, "libsodium does not start");
    randombytes_buf(&seed, sizeof seed);
    json_object_seed(seed | 1); /* or jansson would look for a device that the walls hide */
    return true;
}

void sha256(const void *bytes, size_t length, uint8_t digest[HASH_BYTES])
{
    crypto_hash_sha256(digest, bytes, length);
}

void input_digest(const uint8_t salt[32], const void *input, size_t length, uint8_t digest[HASH_BYTES])
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)FRAME_INPUT_TAG, strlen(FRAME_INPUT_TAG));
    crypto_hash_sha256_update(&state, salt, 32);
    crypto_hash_sha256_update(&state, input, length);
    crypto_hash_sha256_final(&state, digest);
}

void random_bytes(void *bytes, size_t length)
{
    randombytes_buf(bytes, length);
}

bool answer_seal(const void *answer, size_t length, const uint8_t workspace_key[32], uint8_t sealed_key[SEALED_KEY],
                 struct buf *out, struct err *err)
{
    uint8_t key[32];
    unsigned long long used = 0;
    if (!buf_reserve(out, length + crypto_aead_xchacha20poly1305_ietf_ABYTES))
        return err_set(err, ERR_TOO_LARGE, "the answer is too large to be stored");
    crypto_aead_xchacha20poly1305_ietf_keygen(key);
    crypto_aead_xchacha20poly1305_ietf_encrypt((uint8_t *)out->bytes, &used, answer, length, NULL, 0, NULL, no_nonce,
                                               key);
    bool sealed = crypto_box_seal(sealed_key, key, sizeof key, workspace_key) == 0;
    sodium_memzero(key, sizeof key);
    out->used = (size_t)used;
    return sealed || err_set(err, ERR_INTERNAL, "the workspace's public key is not usable");
}

bool answer_open(const void *sealed, size_t length, const uint8_t key[32], struct buf *out, struct err *err)
{
    unsigned long long used = 0;
    if (length < crypto_aead_xchacha20poly1305_ietf_ABYTES || !buf_reserve(out, length) ||
        crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)out->bytes, &used, NULL, sealed, length, NULL, 0,
                                                   no_nonce, key) != 0)
        return err_set(err, ERR_INTERNAL, "the stored answer cannot be opened");
    out->used = (size_t)used;
    out->bytes[used] = '\0';
    return true;
}
