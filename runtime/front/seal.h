/* SPDX-License-Identifier: Apache-2.0 */
/* The front's cryptography: digests that tie a call to its input, and answers sealed for replay. libsodium only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "runtime/messages.h"

/* Once, before the walls: seeds libsodium and jansson. */
bool seal_init(struct err *err);

void sha256(const void *bytes, size_t length, uint8_t digest[HASH_BYTES]);
/* SHA-256(FRAME_INPUT_TAG ‖ salt ‖ input). */
void input_digest(const uint8_t salt[32], const void *input, size_t length, uint8_t digest[HASH_BYTES]);
void random_bytes(void *bytes, size_t length);

/* Encrypts under a fresh key (nonce: zeros, the key is used once) and seals that key to the workspace's public key. */
bool answer_seal(const void *answer, size_t length, const uint8_t workspace_key[32], uint8_t sealed_key[SEALED_KEY],
                 struct buf *out, struct err *err);
/* The other way, with the key that the vault opened. */
bool answer_open(const void *sealed, size_t length, const uint8_t key[32], struct buf *out, struct err *err);
