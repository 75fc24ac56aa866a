/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) of our own: a worker that touches libcrypto for one digest would pay a millisecond for it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

void sha256_init(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t count);
void sha256_end(struct sha256 *sha, uint8_t digest[32]);
