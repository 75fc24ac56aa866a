/* SPDX-License-Identifier: Apache-2.0 */
/* A tar archive (POSIX ustar, regular files only) inside an age file, so that age and tar open a backup without us. */
#pragma once

#include "age.h"

enum { TAR_NAME = 100 };

bool tar_put(struct age_writer *out, const char *name, const void *bytes, size_t length, struct err *err);
/* Reads the descriptor from where it stands; it must give exactly that many bytes. */
bool tar_put_file(struct age_writer *out, const char *name, int fd, uint64_t size, struct err *err);
/* The archive's end, not the age file's. */
bool tar_end(struct age_writer *out, struct err *err);

struct tar_entry {
    char name[TAR_NAME + 1];
    uint64_t size;
    uint64_t padding; /* after the content */
};
/* The next file's head; *end: there is none. Whatever is not a regular file with a plain name is refused. */
bool tar_next(struct age_reader *in, struct tar_entry *entry, bool *end, struct err *err);
/* Its content, piece by piece, each to take(); to be called once for each head. */
bool tar_take(struct age_reader *in, const struct tar_entry *entry,
              bool (*take)(void *context, const void *bytes, size_t length, struct err *err), void *context,
              struct err *err);
