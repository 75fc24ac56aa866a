/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a hard maximum; wiped when cleared. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Valid when zeroed but for max. bytes[0 … used) are set; a text buffer is always NUL-terminated beyond used. */
struct buf {
    char *bytes;
    size_t used, room, max;
};

/* max: the largest number of bytes it may ever hold. Allocates nothing. */
void buf_init(struct buf *buf, size_t max);
/* Wipes and frees; safe on a zeroed buffer and twice. */
void buf_clear(struct buf *buf);

/* Each returns false, and leaves the buffer as it was, when the maximum or the memory is exceeded. */
bool buf_add(struct buf *buf, const void *bytes, size_t count);
bool buf_text(struct buf *buf, const char *text);
bool buf_print(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for count more bytes without setting them. */
bool buf_reserve(struct buf *buf, size_t count);

#define BUF_AUTO __attribute__((cleanup(buf_clear))) struct buf
