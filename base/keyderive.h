/* SPDX-License-Identifier: Apache-2.0 */
/* What grows from the master key, and the form of its file: one source for the vault (which uses the keys) and for
 * the command that creates the file (which publishes their public halves). Every key carries a version, so that a
 * later release can roll one without touching the others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "ids.h"

enum {
    KEY_BYTES = 32,
    KEY_SIGN_SECRET = 64, /* Ed25519 secret as libsodium keeps it */
    KEY_ID_BYTES = 8,
    KEY_VERSION = 1,         /* of every derived key, today */
    MASTER_FILE_BYTES = 119, /* "caisson-master-key-1\n", 64 digits, "\n", 32 digits of check value, "\n" */
    VKEY_TEXT = 256          /* a C2SP verifier key: NAME+HASH+BASE64 and its NUL */
};

/* Call before anything else here; false: libsodium does not start. */
bool key_library(struct err *err);

/* The master key file's text, without a NUL. */
void master_text(const uint8_t master[KEY_BYTES], char text[MASTER_FILE_BYTES]);
/* Reads that text; says whether it is no key file at all, of another release, or damaged. Never says which digit. */
bool master_parse(const char *text, size_t length, uint8_t master[KEY_BYTES], struct err *err);

/* With a key provider the file holds one half only: the master key XOR BLAKE2b-256(key = share, "caisson master half
 * 1\0" and the check value), and the check value is the master key's, so that a wrong share is noticed. The other half, the share, is 32
 * random bytes that the provider wraps: neither half says anything about the key. share NULL: the file is whole. A file
 * of the one kind is never taken for one of the other. */
void master_text_half(const uint8_t master[KEY_BYTES], const uint8_t *share, char text[MASTER_FILE_BYTES]);
bool master_parse_half(const char *text, size_t length, const uint8_t *share, uint8_t master[KEY_BYTES],
                       struct err *err);

/* What a provider's helper hands to the vault through a pipe that only those two hold. */
enum { SHARE_FRAME_BYTES = 48, SHARE_WAIT_S = 55 };
struct share_frame {
    char magic[16]; /* "caisson-share-1" and its NUL */
    uint8_t share[KEY_BYTES];
};
_Static_assert(sizeof(struct share_frame) == SHARE_FRAME_BYTES, "a frame has a fixed size");

/* The key that wraps workspace keys. */
void key_wrapping(const uint8_t master[KEY_BYTES], uint32_t version, uint8_t key[KEY_BYTES]);
/* The pair that credentials are submitted to (X25519). */
void key_submission(const uint8_t master[KEY_BYTES], uint32_t version, uint8_t public[KEY_BYTES],
                    uint8_t secret[KEY_BYTES]);
/* The pair by which the vault is known for good: it vouches for the keys that submissions are sealed to (Ed25519). */
void key_identity(const uint8_t master[KEY_BYTES], uint32_t version, uint8_t public[KEY_BYTES],
                  uint8_t secret[KEY_SIGN_SECRET]);
/* That identity's name in C2SP signed notes. */
#define VAULT_IDENTITY "caisson-vault"

/* A short name of a key, so that it is looked up and never guessed: keyed for secret keys, plain for public ones. */
void key_id_secret(const uint8_t key[KEY_BYTES], uint8_t id[KEY_ID_BYTES]);
void key_id_public(const uint8_t key[KEY_BYTES], uint8_t id[KEY_ID_BYTES]);

/* The first four bytes of SHA-256(name "\n" 0x01 key): how C2SP signed notes name an Ed25519 key. */
void vkey_hash(const char *name, const uint8_t key[KEY_BYTES], uint8_t hash[4]);
/* NAME+HASH+BASE64(0x01 key). */
void vkey_text(const char *name, const uint8_t key[KEY_BYTES], char text[VKEY_TEXT]);
/* Takes it apart again and checks its hash. name: at least 128 bytes. */
bool vkey_parse(const char *text, char name[128], uint8_t key[KEY_BYTES], struct err *err);
