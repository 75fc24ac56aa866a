/* SPDX-License-Identifier: Apache-2.0 */
/* AES-CBC, AES-GCM, PBKDF2 and scrypt: libcrypto's, behind sizes that cannot overflow its ints. */
#include "ciphers.h"

#include <openssl/evp.h>
#include <string.h>

static void close_context(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context); /* wipes what it held */
}
#define CONTEXT_AUTO __attribute__((cleanup(close_context))) EVP_CIPHER_CTX

bool cipher_cbc_open(const uint8_t key[AES128_KEY], const uint8_t iv[AES_BLOCK], const uint8_t *sealed, size_t length,
                     uint8_t *plain, size_t *plain_length)
{
    CONTEXT_AUTO *context = EVP_CIPHER_CTX_new();
    int used = 0, rest = 0;
    if (!context || length == 0 || length % AES_BLOCK || length > CIPHER_MOST) return false;
    bool good = EVP_DecryptInit_ex(context, EVP_aes_128_cbc(), NULL, key, iv) == 1 &&
                EVP_DecryptUpdate(context, plain, &used, sealed, (int)length) == 1 &&
                EVP_DecryptFinal_ex(context, plain + used, &rest) == 1;
    if (good)
        *plain_length = (size_t)used + (size_t)rest;
    else
        explicit_bzero(plain, length);
    return good;
}

bool cipher_gcm_open(const uint8_t key[AES256_KEY], const uint8_t iv[GCM_IV], const uint8_t *aad, size_t aad_length,
                     const uint8_t *sealed, size_t length, const uint8_t tag[GCM_TAG], uint8_t *plain)
{
    CONTEXT_AUTO *context = EVP_CIPHER_CTX_new();
    uint8_t said[GCM_TAG], none[1];
    int used = 0, rest = 0;
    if (!context || length > CIPHER_MOST || aad_length > CIPHER_MOST) return false;
    memcpy(said, tag, sizeof said);
    bool good = EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
                (aad_length == 0 || EVP_DecryptUpdate(context, NULL, &rest, aad, (int)aad_length) == 1) &&
                (length == 0 || EVP_DecryptUpdate(context, plain, &used, sealed, (int)length) == 1) &&
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, GCM_TAG, said) == 1 &&
                EVP_DecryptFinal_ex(context, none, &rest) == 1 && (size_t)used == length;
    if (!good && length) explicit_bzero(plain, length);
    return good;
}

bool cipher_pbkdf2(const char *hash, const void *passphrase, size_t length, const uint8_t *salt, size_t salt_length,
                   uint32_t iterations, uint8_t *key, size_t key_length)
{
    const EVP_MD *digest = EVP_get_digestbyname(hash);
    if (!digest || length > CIPHER_MOST || salt_length > CIPHER_MOST || iterations == 0 || iterations > INT32_MAX ||
        key_length > CIPHER_MOST)
        return false;
    return PKCS5_PBKDF2_HMAC(passphrase, (int)length, salt, (int)salt_length, (int)iterations, digest, (int)key_length,
                             key) == 1;
}

bool cipher_scrypt(const void *passphrase, size_t length, const uint8_t *salt, size_t salt_length, uint64_t n,
                   uint64_t r, uint64_t p, uint8_t *key, size_t key_length)
{
    /* The caller bounded what these values need; the library adds some of its own to it. */
    static const uint64_t most = (1ull << 30) + (1ull << 26);
    return EVP_PBE_scrypt(passphrase, length, salt, salt_length, n, r, p, most, key, key_length) == 1;
}
