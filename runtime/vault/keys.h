/* SPDX-License-Identifier: Apache-2.0 */
/* The keys: the master key's children, and keys wrapped under keys. */
#pragma once

#include "base/err.h"
#include "base/keyderive.h"
#include "memory.h"
#include "runtime/messages.h"

/* Everything secret, in one piece of secret memory. The first group lives as long as the process; the second is
 * used within one message and wiped at its end (keys_wipe). */
struct key_store {
    uint8_t wrapping[KEY_BYTES], submission[KEY_BYTES];
    struct key_next {
        uint8_t wrapping[KEY_BYTES], submission[KEY_BYTES], identity[KEY_SIGN_SECRET];
    } next;                               /* of the next master key, while it is being rotated */
    uint8_t former_submission[KEY_BYTES]; /* of the one before, for what was sealed when it was replaced */
    uint8_t share[KEY_BYTES]; /* a key provider's, where there is one */
    uint8_t identity[KEY_SIGN_SECRET];
    uint8_t offered[2][KEY_BYTES]; /* offer.h */

    struct key_work {
        uint8_t workspace[KEY_BYTES], credential[KEY_BYTES], answer[KEY_BYTES], opened[KEY_BYTES];
        uint8_t other_workspace[KEY_BYTES], other_credential[KEY_BYTES]; /* that something goes over to */
        uint8_t signer_seed[KEY_BYTES], signer[KEY_SIGN_SECRET]; /* of the log, for one signature */
        union {
            struct submission submission;
            _Alignas(8) unsigned char frame[FRAME_SECRET_MAX];
        };
        unsigned char returned[GRANT_REPLY]; /* what an exchange's worker said */
        struct frame_grant grant;
        unsigned char padded[SEALED_MAX]; /* one field, padded, on its way in or out */
    } work;
};

struct keys {
    struct memory memory;
    struct key_store *store;
    bool has_share;
    uint8_t submission_public[KEY_BYTES], identity_public[KEY_BYTES];
    bool has_next;
    uint8_t next_public[KEY_BYTES], former_public[KEY_BYTES]; /* for submissions */
    uint8_t next_identity[KEY_BYTES];
    uint64_t former_until;                                    /* seconds since 1970 */
};

/* What a ciphertext is bound to. Anything that does not apply is NULL or 0; order and lengths are part of it. */
struct key_context {
    const char *purpose;
    const uint8_t *workspace, *credential; /* ID_BYTES each */
    uint32_t version;
    const char *field;       /* a field's name */
    const uint8_t *audience; /* HASH_BYTES */
};

/* Purposes: never used for two things. */
#define FOR_WORKSPACE_KEY "workspace-key"
#define FOR_CREDENTIAL_KEY "credential-key"
#define FOR_ANSWER_SECRET "answer-secret"
#define FOR_FIELD "field"
#define FOR_SIGNER "log-signer"
#define FOR_SUBJECT_KEY "subject-key" /* the person's id stands in the place of the credential's */
#define TOKEN_FIELD "access_token"    /* of an OAuth2 credential: the one field that calls get */
#define FOR_GRANT_FIELD "grant-field" /* of an OAuth2 client: only exchanges open it */

/* Reads the master key once from the descriptor, checks file and content, keeps its children only. share_fd: the pipe
 * that a key provider's half comes through, -1 where there is none. */
bool keys_open(struct keys *keys, int master_fd, int share_fd, struct err *err);
/* Keeps the children of the next master key beside those of the one in use; one that is kept is never replaced. */
bool keys_open_next(struct keys *keys, int master_fd, struct err *err);
/* Is the key in that file the next one? false without an error: it is the one in use. */
bool keys_is_next(struct keys *keys, int master_fd, bool *next, struct err *err);
/* The next becomes the one in use, and the one before is wiped, but that its submission key opens what was sealed just
 * before. Whatever is under the old one must have been wrapped anew. */
void keys_promote(struct keys *keys, uint64_t now_s);
/* Wipes what is kept of the one before once its time is over; returns how many seconds that takes, 0: nothing is. */
uint64_t keys_expire(struct keys *keys, uint64_t now_s);
/* What names the master keys, zeroed where there is no next. */
void keys_marks(const struct keys *keys, struct key_mark *now, struct key_mark *next);
/* The key that this one is under, by the name that it carries: no key is ever tried. */
const uint8_t *keys_outer(const struct keys *keys, const struct wrapped *wrapped);
/* A workspace's key, opened into `out`. */
bool keys_open_workspace(const struct keys *keys, const uint8_t workspace[ID_BYTES], const struct wrapped *wrapped,
                         uint8_t out[KEY_BYTES], struct err *err);
void keys_wipe(struct keys *keys);
void keys_close(struct keys *keys);

/* Wraps a key under another. The record names its format, algorithm and wrapping key, and commits to that key. */
void key_wrap(const uint8_t outer[KEY_BYTES], const struct key_context *context, const uint8_t inner[KEY_BYTES],
              struct wrapped *wrapped);
bool key_unwrap(const uint8_t outer[KEY_BYTES], const struct key_context *context, const struct wrapped *wrapped,
                uint8_t inner[KEY_BYTES], struct err *err);

/* One field's value: random nonce, ciphertext, tag; its length shows 32-byte classes only. */
enum { FIELD_CLASS = 32, FIELD_OVERHEAD = 24 + 16 };
/* Bytes that a value of that length takes when sealed. */
size_t field_sealed_size(size_t length);
/* padded: SEALED_MAX bytes of secret memory. */
bool field_seal(const uint8_t key[KEY_BYTES], const struct key_context *context, const void *value, size_t length,
                unsigned char *padded, unsigned char *sealed);
/* *value points into padded. */
bool field_open(const uint8_t key[KEY_BYTES], const struct key_context *context, const unsigned char *sealed,
                size_t sealed_length, unsigned char *padded, const unsigned char **value, size_t *length);
