/* SPDX-License-Identifier: Apache-2.0 */
/* The keys below the master key, by libsodium's KDF (BLAKE2b with a context and a version), and their written forms. */
#include "keyderive.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char file_head[] = "caisson-master-key-1\n";
static const char half_head[] = "caisson-local-half-1\n"; /* as long as the other */
_Static_assert(sizeof half_head == sizeof file_head, "both files have one size");
enum { HEAD_BYTES = sizeof file_head - 1, CHECK_BYTES = 16, VKEY_NAME = 128, VKEY_BINARY = 1 + KEY_BYTES };

/* Contexts of crypto_kdf: eight bytes each, one per purpose; never reuse one. */
#define FOR_WRAPPING "csn-wrap"
#define FOR_SUBMISSION "csn-subm"
#define FOR_IDENTITY "csn-iden"
#define FOR_CHECK "csn-chck"

bool key_library(struct err *err)
{
    return sodium_init() >= 0 || err_set(err, ERR_INTERNAL, "the cryptography library does not start");
}

static void derive(const uint8_t master[KEY_BYTES], const char *context, uint32_t version, uint8_t *key, size_t length)
{
    crypto_kdf_derive_from_key(key, length, version, context, master);
}

/* What hides the one half from who has the other only. The check value makes it another for every master key, so that
 * one that became known says nothing of the next. Twice is not at all. */
static void share_join(uint8_t key[KEY_BYTES], const uint8_t share[KEY_BYTES], const uint8_t check[CHECK_BYTES])
{
    static const uint8_t label[] = "caisson master half 1";
    uint8_t pad[KEY_BYTES], text[sizeof label + CHECK_BYTES];
    memcpy(text, label, sizeof label);
    memcpy(text + sizeof label, check, CHECK_BYTES);
    crypto_generichash(pad, KEY_BYTES, text, sizeof text, share, KEY_BYTES);
    for (int i = 0; i < KEY_BYTES; i++) key[i] ^= pad[i];
    sodium_memzero(pad, sizeof pad);
}

void master_text(const uint8_t master[KEY_BYTES], char text[MASTER_FILE_BYTES])
{
    master_text_half(master, NULL, text);
}

void master_text_half(const uint8_t master[KEY_BYTES], const uint8_t *share, char text[MASTER_FILE_BYTES])
{
    uint8_t check[CHECK_BYTES];
    uint8_t key[KEY_BYTES];
    char digits[2 * KEY_BYTES + 1];
    memcpy(text, share ? half_head : file_head, HEAD_BYTES);
    derive(master, FOR_CHECK, 1, check, sizeof check);
    memcpy(key, master, KEY_BYTES);
    if (share) share_join(key, share, check);
    hex_text(key, KEY_BYTES, digits);
    sodium_memzero(key, sizeof key);
    memcpy(text + HEAD_BYTES, digits, 2 * KEY_BYTES);
    text[HEAD_BYTES + 2 * KEY_BYTES] = '\n';
    hex_text(check, sizeof check, digits);
    memcpy(text + HEAD_BYTES + 2 * KEY_BYTES + 1, digits, 2 * CHECK_BYTES);
    text[MASTER_FILE_BYTES - 1] = '\n';
    sodium_memzero(digits, sizeof digits);
}

static bool digits_parse(const char *text, uint8_t *bytes, size_t count)
{
    char digits[2 * KEY_BYTES + 1];
    memcpy(digits, text, 2 * count);
    digits[2 * count] = '\0';
    bool good = text[2 * count] == '\n' && hex_parse(digits, bytes, count);
    sodium_memzero(digits, sizeof digits);
    return good;
}

bool master_parse(const char *text, size_t length, uint8_t master[KEY_BYTES], struct err *err)
{
    return master_parse_half(text, length, NULL, master, err);
}

/* A half alone, or a whole key beside a share, is not what the configuration says: never used for the other thing. */
static bool check_head(const char *text, size_t length, bool half, struct err *err)
{
    if (length < HEAD_BYTES) return err_set(err, ERR_MALFORMED, "the master key file is not one that caisson made");
    bool whole = memcmp(text, file_head, HEAD_BYTES - 2) == 0, cut = memcmp(text, half_head, HEAD_BYTES - 2) == 0;
    if (!whole && !cut) return err_set(err, ERR_MALFORMED, "the master key file is not one that caisson made");
    if (text[HEAD_BYTES - 2] != '1' || text[HEAD_BYTES - 1] != '\n')
        return err_set(err, ERR_MALFORMED, "the master key file is of another release: it needs a newer caisson");
    if (cut && !half)
        return err_set(err, ERR_STATE,
                       "the master key file holds one half: the other is with the key provider that Provider= must name");
    if (whole && half)
        return err_set(err, ERR_STATE,
                       "the master key file holds the whole key, not a half: write Provider=file, or run caisson key "
                       "rotate provider");
    return true;
}

bool master_parse_half(const char *text, size_t length, const uint8_t *share, uint8_t master[KEY_BYTES],
                       struct err *err)
{
    uint8_t key[KEY_BYTES], said[CHECK_BYTES], check[CHECK_BYTES];
    if (!check_head(text, length, share, err)) return false;
    bool good = length == MASTER_FILE_BYTES && digits_parse(text + HEAD_BYTES, key, KEY_BYTES) &&
                digits_parse(text + HEAD_BYTES + 2 * KEY_BYTES + 1, said, CHECK_BYTES);
    if (good) {
        if (share) share_join(key, share, said);
        derive(key, FOR_CHECK, 1, check, sizeof check);
        good = sodium_memcmp(said, check, sizeof check) == 0;
    }
    if (good) memcpy(master, key, KEY_BYTES);
    sodium_memzero(key, sizeof key);
    if (!good && share)
        return err_set(err, ERR_MALFORMED,
                       "the master key file and the key provider's share do not fit: one of them is damaged, or from "
                       "another time; restore keys/ from its backup");
    return good || err_set(err, ERR_MALFORMED, "the master key file is damaged: restore it from its backup");
}

void key_wrapping(const uint8_t master[KEY_BYTES], uint32_t version, uint8_t key[KEY_BYTES])
{
    derive(master, FOR_WRAPPING, version, key, KEY_BYTES);
}

void key_submission(const uint8_t master[KEY_BYTES], uint32_t version, uint8_t public[KEY_BYTES],
                    uint8_t secret[KEY_BYTES])
{
    uint8_t seed[crypto_box_SEEDBYTES];
    derive(master, FOR_SUBMISSION, version, seed, sizeof seed);
    crypto_box_seed_keypair(public, secret, seed);
    sodium_memzero(seed, sizeof seed);
}

void key_identity(const uint8_t master[KEY_BYTES], uint32_t version, uint8_t public[KEY_BYTES],
                  uint8_t secret[KEY_SIGN_SECRET])
{
    uint8_t seed[crypto_sign_SEEDBYTES];
    derive(master, FOR_IDENTITY, version, seed, sizeof seed);
    crypto_sign_seed_keypair(public, secret, seed);
    sodium_memzero(seed, sizeof seed);
}

void key_id_secret(const uint8_t key[KEY_BYTES], uint8_t id[KEY_ID_BYTES])
{
    static const uint8_t tag[] = "caisson key id 1";
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof hash, tag, sizeof tag, key, KEY_BYTES);
    memcpy(id, hash, KEY_ID_BYTES);
}

void key_id_public(const uint8_t key[KEY_BYTES], uint8_t id[KEY_ID_BYTES])
{
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof hash, key, KEY_BYTES, NULL, 0);
    memcpy(id, hash, KEY_ID_BYTES);
}

void vkey_hash(const char *name, const uint8_t key[KEY_BYTES], uint8_t hash[4])
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)name, strlen(name));
    crypto_hash_sha256_update(&state, (const uint8_t *)"\n\x01", 2);
    crypto_hash_sha256_update(&state, key, KEY_BYTES);
    crypto_hash_sha256_final(&state, digest);
    memcpy(hash, digest, 4);
}

void vkey_text(const char *name, const uint8_t key[KEY_BYTES], char text[VKEY_TEXT])
{
    uint8_t binary[VKEY_BINARY] = {1}, hash[4];
    char digits[9], base64[sodium_base64_ENCODED_LEN(VKEY_BINARY, sodium_base64_VARIANT_ORIGINAL)];
    memcpy(binary + 1, key, KEY_BYTES);
    vkey_hash(name, key, hash);
    hex_text(hash, sizeof hash, digits);
    sodium_bin2base64(base64, sizeof base64, binary, sizeof binary, sodium_base64_VARIANT_ORIGINAL);
    snprintf(text, VKEY_TEXT, "%.127s+%s+%s", name, digits, base64);
}

bool vkey_parse(const char *text, char name[128], uint8_t key[KEY_BYTES], struct err *err)
{
    const char *first = strchr(text, '+'), *second = first ? strchr(first + 1, '+') : NULL;
    uint8_t binary[VKEY_BINARY];
    char again[VKEY_TEXT], found[VKEY_NAME];
    size_t length = 0;
    if (!second || first == text || (size_t)(first - text) >= VKEY_NAME || second - first != 9)
        return err_set(err, ERR_MALFORMED, "a verifier key reads NAME+HASH+KEY");
    memcpy(found, text, (size_t)(first - text));
    found[first - text] = '\0';
    if (sodium_base642bin(binary, sizeof binary, second + 1, strlen(second + 1), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        length != sizeof binary)
        return err_set(err, ERR_MALFORMED, "the verifier key's last part is not the base64 of a key");
    if (binary[0] != 1) return err_set(err, ERR_MALFORMED, "the verifier key is not an Ed25519 key");
    vkey_text(found, binary + 1, again);
    if (strcmp(again, text) != 0) return err_set(err, ERR_MALFORMED, "the verifier key's hash does not fit its key");
    memcpy(name, found, strlen(found) + 1);
    memcpy(key, binary + 1, KEY_BYTES);
    return true;
}
