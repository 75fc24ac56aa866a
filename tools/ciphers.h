/* SPDX-License-Identifier: Apache-2.0 */
/* The foreign ciphers that imports need, by libcrypto; none of them protects anything that Caisson keeps. Whoever
 * calls has checked every bound; what is written on failure is wiped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AES_BLOCK = 16, AES128_KEY = 16, AES256_KEY = 32, GCM_IV = 12, GCM_TAG = 16, CIPHER_MOST = 1 << 20 };

/* AES-128-CBC with PKCS#7 padding. sealed: whole blocks, at least one; plain: room for length bytes. False: the
 * padding is wrong. Authenticate first: the difference must tell nobody anything. */
bool cipher_cbc_open(const uint8_t key[AES128_KEY], const uint8_t iv[AES_BLOCK], const uint8_t *sealed, size_t length,
                     uint8_t *plain, size_t *plain_length);
/* AES-256-GCM. plain: room for length bytes. False: the tag does not fit. */
bool cipher_gcm_open(const uint8_t key[AES256_KEY], const uint8_t iv[GCM_IV], const uint8_t *aad, size_t aad_length,
                     const uint8_t *sealed, size_t length, const uint8_t tag[GCM_TAG], uint8_t *plain);

/* False: no memory, or the library refuses these values. hash: "SHA256", "SHA512". */
bool cipher_pbkdf2(const char *hash, const void *passphrase, size_t length, const uint8_t *salt, size_t salt_length,
                   uint32_t iterations, uint8_t *key, size_t key_length);
/* n: a power of two. */
bool cipher_scrypt(const void *passphrase, size_t length, const uint8_t *salt, size_t salt_length, uint64_t n,
                   uint64_t r, uint64_t p, uint8_t *key, size_t key_length);
