/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an envelope by tables, and opening it. */
#include "envelope.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/table.h"

/* Ceilings: a file decides how much work its import is, but not more than this. */
static const uint64_t most_bytes = 1ull << 30;
enum { ITERATIONS_MOST = 10 * 1000 * 1000, PASSES_MOST = 64, LANES_MOST = 16, SALT_LEAST = 16, BASE64_SHORT = 96 };
/* Floors of today's advice. */
enum { PBKDF2_LEAST = 600 * 1000, SCRYPT_LEAST = 1 << 17, ARGON2_KIB_LEAST = 19 * 1024, ARGON2_PASSES_LEAST = 2 };

static bool from_base64(const char *text, uint8_t *bytes, size_t room, size_t *count)
{
    size_t length = strlen(text);
    const char *end = NULL;
    return sodium_base642bin(bytes, room, text, length, NULL, count, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           end == text + length;
}

static bool exactly(const char *what, const char *text, uint8_t *bytes, size_t size, struct err *err)
{
    size_t count;
    return (from_base64(text, bytes, size, &count) && count == size) ||
           err_set(err, ERR_MALFORMED, "%s must be %zu bytes in standard base64", what, size);
}

/* ── the KDF ───────────────────────────────────────────────────────────────────────────────────────── */

static bool read_pbkdf2(const json_t *params, struct envelope *envelope, struct err *err)
{
    static const char *const hashes[] = {"SHA-256", "SHA-512", NULL};
    struct pbkdf2 {
        uint32_t iterations;
        int hash;
    } read = {0};
    static const struct table_field fields[] = {
        {"iterations", TABLE_NUMBER, true, TABLE_AT(struct pbkdf2, iterations), .least = 1, .most = ITERATIONS_MOST},
        {"hash", TABLE_CHOICE, true, TABLE_AT(struct pbkdf2, hash), .choices = hashes},
        {NULL}};
    if (!table_json(fields, params, &read, NULL, err)) return false;
    envelope->iterations = read.iterations;
    envelope->sha512 = read.hash == 1;
    return true;
}

static bool read_scrypt(const json_t *params, struct envelope *envelope, struct err *err)
{
    static const struct table_field fields[] = {
        {"N", TABLE_NUMBER, true, TABLE_AT(struct envelope, n), .least = 2, .most = 1 << 23},
        {"r", TABLE_NUMBER, true, TABLE_AT(struct envelope, r), .least = 1, .most = 1 << 10},
        {"p", TABLE_NUMBER, true, TABLE_AT(struct envelope, lanes), .least = 1, .most = LANES_MOST},
        {NULL}};
    if (!table_json(fields, params, envelope, NULL, err)) return false;
    if (envelope->n & (envelope->n - 1)) return err_set(err, ERR_BAD_INPUT, "N must be a power of two");
    return 128 * envelope->r * (envelope->n + envelope->lanes) <= most_bytes ||
           err_set(err, ERR_TOO_LARGE, "it asks for more than 1 GiB of memory");
}

static bool read_argon2id(const json_t *params, struct envelope *envelope, struct err *err)
{
    static const struct table_field fields[] = {
        {"m", TABLE_NUMBER, true, TABLE_AT(struct envelope, kib), .least = 8, .most = 1 << 20},
        {"t", TABLE_NUMBER, true, TABLE_AT(struct envelope, iterations), .least = 1, .most = PASSES_MOST},
        {"p", TABLE_NUMBER, true, TABLE_AT(struct envelope, lanes), .least = 1, .most = LANES_MOST},
        {NULL}};
    if (!table_json(fields, params, envelope, NULL, err)) return false;
    if (envelope->lanes != 1 || envelope->salt_length != crypto_pwhash_SALTBYTES)
        return err_set(err, ERR_BAD_INPUT, "argon2id can be read with p = 1 and a salt of %u bytes only",
                       crypto_pwhash_SALTBYTES);
    return true;
}

static const struct {
    const char *name;
    bool (*read)(const json_t *params, struct envelope *envelope, struct err *err);
} kdfs[] = {[ENVELOPE_PBKDF2] = {"PBKDF2", read_pbkdf2},
            [ENVELOPE_SCRYPT] = {"scrypt", read_scrypt},
            [ENVELOPE_ARGON2ID] = {"argon2id", read_argon2id}};

static bool read_kdf(const json_t *value, struct envelope *envelope, struct err *err)
{
    static const char *const names[] = {"PBKDF2", "scrypt", "argon2id", NULL};
    struct kdf {
        int name;
        char salt[BASE64_SHORT];
        const json_t *params;
    } read = {0};
    static const struct table_field fields[] = {
        {"name", TABLE_CHOICE, true, TABLE_AT(struct kdf, name), .choices = names},
        {"salt", TABLE_TEXT, true, TABLE_AT(struct kdf, salt)},
        {"params", TABLE_OBJECT, true, TABLE_AT(struct kdf, params)},
        {NULL}};
    envelope->kdf = ENVELOPE_KEY;
    if (!value) return true;
    if (!table_json(fields, value, &read, NULL, err)) return false;
    if (!from_base64(read.salt, envelope->salt, ENVELOPE_SALT, &envelope->salt_length) ||
        envelope->salt_length < SALT_LEAST)
        return err_set(err, ERR_MALFORMED, "salt must be %d to %d bytes in standard base64", SALT_LEAST, ENVELOPE_SALT);
    envelope->kdf = (enum envelope_kdf)read.name;
    return kdfs[read.name].read(read.params, envelope, err) || err_in(err, "params of %s", kdfs[read.name].name);
}

/* ── the envelope ──────────────────────────────────────────────────────────────────────────────────── */

static bool read_cipher(const json_t *value, struct envelope *envelope, struct err *err)
{
    static const char *const names[] = {"AES-256-GCM", "AES-GCM", NULL};
    struct cipher {
        int name;
        char iv[BASE64_SHORT];
    } read = {0};
    static const struct table_field fields[] = {
        {"name", TABLE_CHOICE, false, TABLE_AT(struct cipher, name), .choices = names},
        {"iv", TABLE_TEXT, true, TABLE_AT(struct cipher, iv)},
        {NULL}};
    return table_json(fields, value, &read, NULL, err) && exactly("iv", read.iv, envelope->iv, GCM_IV, err);
}

struct parts {
    const json_t *kdf, *cipher;
    char aad[2 * ENVELOPE_AAD], tag[BASE64_SHORT], ct[2 * ENVELOPE_MOST];
};

static bool read_sealed(const struct parts *parts, struct envelope *envelope, struct err *err)
{
    if (!from_base64(parts->ct, envelope->sealed, sizeof envelope->sealed, &envelope->length))
        return err_set(err, ERR_MALFORMED, "ct must be at most %d bytes in standard base64", ENVELOPE_MOST);
    if (!from_base64(parts->aad, envelope->aad, sizeof envelope->aad, &envelope->aad_length))
        return err_set(err, ERR_MALFORMED, "aad must be at most %d bytes in standard base64", ENVELOPE_AAD);
    if (*parts->tag) return exactly("tag", parts->tag, envelope->tag, GCM_TAG, err);
    if (envelope->length < GCM_TAG)
        return err_set(err, ERR_MALFORMED, "ct is too short to end with its tag, and there is no tag beside it");
    envelope->length -= GCM_TAG;
    memcpy(envelope->tag, envelope->sealed + envelope->length, GCM_TAG);
    return true;
}

bool envelope_read(const json_t *value, struct envelope *envelope, struct err *err)
{
    static const struct table_field fields[] = {
        {"kdf", TABLE_OBJECT, false, TABLE_AT(struct parts, kdf)},
        {"cipher", TABLE_OBJECT, true, TABLE_AT(struct parts, cipher)},
        {"aad", TABLE_TEXT, false, TABLE_AT(struct parts, aad)},
        {"tag", TABLE_TEXT, false, TABLE_AT(struct parts, tag), .least = 24, .most = 24},
        {"ct", TABLE_TEXT, true, TABLE_AT(struct parts, ct)},
        {NULL}};
    FREE_AUTO struct parts *parts = calloc(1, sizeof *parts);
    if (!parts) return err_set(err, ERR_BUSY, "there is no memory");
    memset(envelope, 0, sizeof *envelope);
    if (!json_is_object(value)) return err_set(err, ERR_BAD_INPUT, "an envelope is a JSON object");
    if (!table_json(fields, value, parts, NULL, err)) return false;
    if (!read_kdf(parts->kdf, envelope, err)) return err_in(err, "kdf");
    if (!read_cipher(parts->cipher, envelope, err)) return err_in(err, "cipher");
    return read_sealed(parts, envelope, err);
}

const char *envelope_weak(const struct envelope *envelope)
{
    switch (envelope->kdf) {
    case ENVELOPE_PBKDF2:
        return envelope->iterations < PBKDF2_LEAST ? "less than 600000 iterations of PBKDF2 guarded it" : NULL;
    case ENVELOPE_SCRYPT:
        return envelope->n * envelope->r < 8 * SCRYPT_LEAST ? "scrypt guarded it with less than N = 131072, r = 8"
                                                            : NULL;
    case ENVELOPE_ARGON2ID:
        return envelope->kib < ARGON2_KIB_LEAST || envelope->iterations < ARGON2_PASSES_LEAST
                   ? "argon2id guarded it with less than 19 MiB or 2 passes"
                   : NULL;
    case ENVELOPE_KEY: break;
    }
    return NULL;
}

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

static bool make_key(const struct envelope *envelope, const void *secret, size_t length, uint8_t key[AES256_KEY])
{
    switch (envelope->kdf) {
    case ENVELOPE_PBKDF2:
        return cipher_pbkdf2(envelope->sha512 ? "SHA512" : "SHA256", secret, length, envelope->salt,
                             envelope->salt_length, envelope->iterations, key, AES256_KEY);
    case ENVELOPE_SCRYPT:
        return cipher_scrypt(secret, length, envelope->salt, envelope->salt_length, envelope->n, envelope->r,
                             envelope->lanes, key, AES256_KEY);
    case ENVELOPE_ARGON2ID:
        return crypto_pwhash(key, AES256_KEY, secret, length, envelope->salt, envelope->iterations,
                             (size_t)envelope->kib * 1024, crypto_pwhash_ALG_ARGON2ID13) == 0;
    case ENVELOPE_KEY: break;
    }
    if (length == AES256_KEY) memcpy(key, secret, AES256_KEY);
    return length == AES256_KEY;
}

bool envelope_open(const struct envelope *envelope, const void *secret, size_t secret_length, uint8_t *plain,
                   struct err *err)
{
    uint8_t *key = sodium_malloc(AES256_KEY);
    if (!key) return err_set(err, ERR_IO, "out of memory that can be locked");
    bool made = make_key(envelope, secret, secret_length, key);
    bool good = made && cipher_gcm_open(key, envelope->iv, envelope->aad, envelope->aad_length, envelope->sealed,
                                        envelope->length, envelope->tag, plain);
    sodium_free(key);
    if (!made && envelope->kdf == ENVELOPE_KEY)
        return err_set(err, ERR_BAD_INPUT, "it has no kdf: the key itself must be given, %d bytes in base64",
                       AES256_KEY);
    if (!made) return err_set(err, ERR_BUSY, "the key cannot be made from the passphrase: not enough memory");
    return good || err_set(err, ERR_BAD_INPUT,
                           "it does not open: the passphrase or key is another one, or the envelope was changed");
}
