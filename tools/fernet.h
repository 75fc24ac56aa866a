/* SPDX-License-Identifier: Apache-2.0 */
/* Fernet tokens (github.com/fernet/spec), read strictly: what another system sealed under keys that its
 * administrator has. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    FERNET_KEY = 32, /* 16 bytes that sign, 16 that encrypt */
    FERNET_KEYS = 16,
    FERNET_MOST = 24 * 1024, /* bytes of a token, in base64 */
    FERNET_AHEAD_S = 60      /* how far a clock may go ahead of ours, where a token's age counts */
};

/* Secret: keep it in memory that is locked, and wipe it. */
struct fernet_keys {
    unsigned count;
    uint8_t keys[FERNET_KEYS][FERNET_KEY];
};

/* Keys in base64url, one a line; empty lines are passed over. Says which line is wrong, never what stands there. */
bool fernet_keys_read(const char *text, size_t length, struct fernet_keys *keys, struct err *err);

/* What a token says of its age counts only where ttl_s is not 0. */
struct fernet_age {
    uint64_t now, ttl_s; /* seconds since 1970; seconds */
};

/* Opens a token under the one of the keys that signed it; nothing is decrypted before that is found. plain: room for
 * FERNET_MOST bytes. */
bool fernet_open(const char *token, size_t length, const struct fernet_keys *keys, const struct fernet_age *age,
                 uint8_t *plain, size_t *plain_length, struct err *err);
