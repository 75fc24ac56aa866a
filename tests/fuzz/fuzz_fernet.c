/* SPDX-License-Identifier: Apache-2.0 */
/* Fernet tokens and key files: hostile bytes of another system. The second half of each run signs what it got, so that
 * what lies behind the signature is reached as well. */
#include <sodium.h>
#include <string.h>

#include "fuzz.h"
#include "tools/fernet.h"

static uint8_t plain[FERNET_MOST];

static bool open_token(const char *token, size_t length, const struct fernet_keys *keys)
{
    struct err err = {0};
    size_t count = 0;
    struct fernet_age age = {.now = 1000, .ttl_s = 60}, any = {0};
    bool young = fernet_open(token, length, keys, &age, plain, &count, &err);
    bool good = fernet_open(token, length, keys, &any, plain, &count, &err);
    MUST(!young || good);
    MUST(!good || count < length);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const struct fernet_keys known = {.count = 1};
    static uint8_t made[16384 + 32];
    static char token[sodium_base64_ENCODED_LEN(sizeof made, sodium_base64_VARIANT_URLSAFE)];
    struct fernet_keys keys;
    struct err err = {0};
    if (fernet_keys_read((const char *)bytes, length, &keys, &err)) MUST(keys.count >= 1 && keys.count <= FERNET_KEYS);
    MUST(!open_token((const char *)bytes, length, &known)); /* nobody signs by chance */
    if (length == 0 || length > 16384) return 0;
    memcpy(made, bytes, length);
    made[0] = 0x80;
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, known.keys[0], 16);
    crypto_auth_hmacsha256_update(&state, made, length);
    crypto_auth_hmacsha256_final(&state, made + length);
    sodium_bin2base64(token, sizeof token, made, length + 32, sodium_base64_VARIANT_URLSAFE);
    bool good = open_token(token, strlen(token), &known);
    MUST(!good || (length > 25 && (length - 25) % 16 == 0));
    return 0;
}
