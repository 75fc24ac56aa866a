/* SPDX-License-Identifier: Apache-2.0 */
/* Files that somebody else wrote: opened beneath a trusted folder, never through a link, and read in bounds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

/* Whose files are taken: root's and this user's. */
struct file_rule {
    uint32_t owner;
    size_t most; /* bytes */
};

/* A regular file with one name, of the right owner, that nobody else can write. name: one component. what: how errors
 * call it. The descriptor is the caller's. */
bool file_open(int folder, const char *name, const struct file_rule *rule, const char *what, int *fd, struct err *err);
/* A folder under the same rules. */
bool file_folder(int folder, const char *name, const struct file_rule *rule, int *fd, struct err *err);
/* Opens and reads all of it. buf is initialised here. */
bool file_read(int folder, const char *name, const struct file_rule *rule, const char *what, struct buf *buf,
               struct err *err);

/* A sealed memfd with those bytes. */
bool memory_seal(const char *name, const void *bytes, size_t length, int *fd, struct err *err);
/* Copies an open file into a sealed memfd; digest: SHA-256 of what the memfd holds. */
bool memory_copy(int file, const char *name, size_t most, int *fd, uint8_t digest[HASH_BYTES], struct err *err);
