/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's drop-ins as the command writes them: line by line, so that comments and whatever somebody wrote
 * by hand stay where they are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/ini.h"

enum { DROPIN_TEXT = 64 * 1024, DROPIN_NAME = 128 };

/* One drop-in file. text: as it stands in the file, ini: the same, parsed. */
struct dropin_file {
    char file[DROPIN_NAME];
    struct buf text;
    struct ini ini;
};

/* Puts key=value for each value in the place of all lines of that key; count 0 takes the key away. The section is made
 * when it is not there. Refuses values that the file could not carry (line breaks, control bytes, blanks around). */
bool dropin_set(struct buf *text, const char *section, const char *key, const char *const *values, size_t count,
                struct err *err);

/* Finds the drop-in of that connector in the folder. ERR_NOT_FOUND: there is none; file->file is then the name that a
 * new one gets. The structure must be cleared in every case. */
bool dropin_find(int folder, const char *connector, struct dropin_file *file, struct err *err);
/* May a new drop-in get that name? ERR_EXISTS: something has it, a drop-in of another connector or one that cannot be
 * read, and would be lost. */
bool dropin_free(int folder, const char *file, struct err *err);
/* Calls each() with every drop-in that can be read, in order of file names, until it says no. */
bool dropin_each(int folder, bool (*each)(const struct dropin_file *file, void *context, struct err *err),
                 void *context, struct err *err);
void dropin_clear(struct dropin_file *file);

/* Whole or not at all: another name first, then renamed; on disk when it returns. Others may read it. */
bool file_put(int folder, const char *name, const void *bytes, size_t length, struct err *err);
/* Reads a regular file beneath the folder. what: for the error. buf is initialised here. */
bool file_get(int folder, const char *name, size_t most, const char *what, struct buf *buf, struct err *err);

/* What stood under a name before something else is put there. Made by file_keep(), freed with buf_clear(&bytes). */
struct file_before {
    char name[DROPIN_NAME + 16];
    struct buf bytes;
    bool there; /* false: nothing did */
};
bool file_keep(int folder, const char *name, size_t most, struct file_before *before, struct err *err);
/* Makes it so again. */
bool file_put_back(int folder, const struct file_before *before, struct err *err);

/* "sha256:" and 64 digits. */
enum { DIGEST_TEXT = 7 + HASH_TEXT };
void digest_text(const struct buf *bytes, char text[DIGEST_TEXT]);

#define DROPIN_AUTO __attribute__((cleanup(dropin_clear))) struct dropin_file
