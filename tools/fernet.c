/* SPDX-License-Identifier: Apache-2.0 */
/* Fernet: version, time, IV, AES-128-CBC, HMAC-SHA-256 over all of it; base64url around. */
#include "fernet.h"

#include <sodium.h>
#include <string.h>

#include "base/auto.h"
#include "ciphers.h"

enum { VERSION = 0x80, AT_TIME = 1, AT_IV = 9, AT_SEALED = AT_IV + AES_BLOCK, MAC = 32, SIGNING = 16 };

/* Strict: with padding, without bits that stand for nothing, and nothing behind. */
static bool from_base64url(const char *text, size_t length, uint8_t *bytes, size_t room, size_t *count)
{
    const char *end = NULL;
    return sodium_base642bin(bytes, room, text, length, NULL, count, &end, sodium_base64_VARIANT_URLSAFE) == 0 &&
           end == text + length;
}

bool fernet_keys_read(const char *text, size_t length, struct fernet_keys *keys, struct err *err)
{
    const char *end = text + length;
    keys->count = 0;
    for (unsigned number = 1; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;
        size_t line = (size_t)(stop - text), count;
        if (line && text[line - 1] == '\r') line--;
        if (line && keys->count == FERNET_KEYS) return err_set(err, ERR_TOO_LARGE, "more than %d keys", FERNET_KEYS);
        if (line && (!from_base64url(text, line, keys->keys[keys->count], FERNET_KEY, &count) || count != FERNET_KEY))
            return err_set(err, ERR_MALFORMED,
                           "line %u is not a Fernet key: 32 bytes in base64url, with its =", number);
        keys->count += line > 0;
        text = newline ? newline + 1 : end;
    }
    return keys->count > 0 || err_set(err, ERR_MALFORMED, "there is no key in it");
}

static uint64_t token_time(const uint8_t *bytes)
{
    uint64_t time = 0;
    for (int i = 0; i < 8; i++) time = time << 8 | bytes[AT_TIME + i];
    return time;
}

static bool signed_by(const uint8_t key[FERNET_KEY], const uint8_t *bytes, size_t length)
{
    uint8_t mac[MAC];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, SIGNING);
    crypto_auth_hmacsha256_update(&state, bytes, length - MAC);
    crypto_auth_hmacsha256_final(&state, mac);
    bool good = sodium_memcmp(mac, bytes + length - MAC, MAC) == 0;
    sodium_memzero(&state, sizeof state);
    sodium_memzero(mac, sizeof mac);
    return good;
}

static const uint8_t *key_of(const struct fernet_keys *keys, const uint8_t *bytes, size_t length)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (signed_by(keys->keys[i], bytes, length)) return keys->keys[i];
    return NULL;
}

static bool young_enough(uint64_t time, const struct fernet_age *age, struct err *err)
{
    if (age->ttl_s == 0) return true;
    if (time > age->now && time - age->now > FERNET_AHEAD_S)
        return err_set(err, ERR_BAD_INPUT, "the token's time lies in the future");
    if (time < age->now && age->now - time > age->ttl_s)
        return err_set(err, ERR_BAD_INPUT, "the token is older than allowed");
    return true;
}

/* bytes: of the token, without base64. */
static bool open_bytes(const uint8_t *bytes, size_t length, const struct fernet_keys *keys,
                       const struct fernet_age *age, uint8_t *plain, size_t *plain_length, struct err *err)
{
    if (length < AT_SEALED + AES_BLOCK + MAC) return err_set(err, ERR_MALFORMED, "it is too short for a Fernet token");
    if (bytes[0] != VERSION) return err_set(err, ERR_MALFORMED, "it is not a Fernet token of version 0x80");
    size_t sealed = length - AT_SEALED - MAC;
    if (sealed % AES_BLOCK) return err_set(err, ERR_MALFORMED, "the token was cut: it does not hold whole blocks");
    const uint8_t *key = key_of(keys, bytes, length);
    if (!key) return err_set(err, ERR_BAD_INPUT, "none of the keys signed this token, or it was changed");
    if (!young_enough(token_time(bytes), age, err)) return false;
    return cipher_cbc_open(key + SIGNING, bytes + AT_IV, bytes + AT_SEALED, sealed, plain, plain_length) ||
           err_set(err, ERR_BAD_INPUT, "the token is signed, but its padding is wrong: who made it made it wrong");
}

bool fernet_open(const char *token, size_t length, const struct fernet_keys *keys, const struct fernet_age *age,
                 uint8_t *plain, size_t *plain_length, struct err *err)
{
    size_t count = 0;
    if (length > FERNET_MOST) return err_set(err, ERR_TOO_LARGE, "a token has at most %d bytes", FERNET_MOST);
    FREE_AUTO uint8_t *bytes = malloc(FERNET_MOST);
    if (!bytes) return err_set(err, ERR_BUSY, "there is no memory");
    if (!from_base64url(token, length, bytes, FERNET_MOST, &count))
        return err_set(err, ERR_MALFORMED, "it is not base64url with its padding");
    return open_bytes(bytes, count, keys, age, plain, plain_length, err);
}
