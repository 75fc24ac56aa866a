/* SPDX-License-Identifier: Apache-2.0 */
/* The age format, version 1 (age-encryption.org/v1, C2SP), with X25519 recipients: what `age -r` writes and `age -d`
 * reads. Other recipients, passphrases and armor are not written, and skipped or refused where they are read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { AGE_KEY = 32, AGE_KEYS = 16, AGE_CHUNK = 64 * 1024, AGE_TAG = 16, AGE_RECIPIENT_TEXT = 64 };

struct age_keys {
    unsigned count;
    uint8_t keys[AGE_KEYS][AGE_KEY];
};

/* "age1…": added to the keys. */
bool age_add_recipient(const char *text, struct age_keys *keys, struct err *err);
/* The text of an identity file: lines "AGE-SECRET-KEY-1…", comments with #. The text is left as it is. */
bool age_add_identities(const char *text, struct age_keys *keys, struct err *err);

/* One encrypted file, written from front to back. The descriptor stays the caller's. Wiped by age_finish(). */
struct age_writer {
    int fd;
    uint64_t chunk;
    size_t used;
    uint8_t key[AGE_KEY];
    uint8_t plain[AGE_CHUNK], sealed[AGE_CHUNK + AGE_TAG];
};
bool age_begin(struct age_writer *writer, int fd, const struct age_keys *recipients, struct err *err);
bool age_write(struct age_writer *writer, const void *bytes, size_t length, struct err *err);
/* The last chunk; without it nobody can read the file. Wipes the writer, however it went. */
bool age_finish(struct age_writer *writer, struct err *err);

/* The same the other way round: every byte that comes out was authenticated, and the end is the writer's. */
struct age_reader {
    int fd;
    uint64_t chunk;
    bool last;
    size_t held, used, at; /* sealed bytes read ahead; plain ones, and how many of them were taken */
    uint8_t key[AGE_KEY];
    uint8_t plain[AGE_CHUNK], sealed[AGE_CHUNK + AGE_TAG + 1];
};
/* ERR_MALFORMED: no age file, or a damaged header; ERR_DENIED: none of the identities opens it; ERR_DAMAGED: its header
 * was changed. */
bool age_open(struct age_reader *reader, int fd, const struct age_keys *identities, struct err *err);
/* *got: bytes, 0 at the end of the file. ERR_DAMAGED: changed, cut or longer than it was. */
bool age_read(struct age_reader *reader, void *bytes, size_t most, size_t *got, struct err *err);
void age_close(struct age_reader *reader);
