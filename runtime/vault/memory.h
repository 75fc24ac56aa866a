/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for secrets: out of every other process's reach, of core dumps and of swap, as far as this kernel goes. */
#pragma once

#include <stddef.h>

#include "base/err.h"

enum memory_kind {
    MEMORY_SECRET = 1, /* memfd_secret: not even the kernel's own map of memory shows it */
    MEMORY_GUARDED     /* sodium_malloc: locked, guard pages around it */
};

struct memory {
    void *bytes;
    size_t size;
    enum memory_kind kind;
};

/* Zeroed memory of at least that size. memfd_secret is taken only after system calls into and out of it were tried. */
bool memory_open(struct memory *memory, size_t size, struct err *err);
/* Wipes and gives back; safe on a zeroed structure and twice. */
void memory_close(struct memory *memory);
