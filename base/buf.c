/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a hard maximum. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_clear(struct buf *buf)
{
    if (buf->bytes) explicit_bzero(buf->bytes, buf->room);
    free(buf->bytes);
    *buf = (struct buf){.max = buf->max};
}

/* Moves to a larger block by hand: realloc would leave the old bytes behind, unwiped. */
bool buf_reserve(struct buf *buf, size_t count)
{
    if (count > buf->max - buf->used) return false;
    size_t need = buf->used + count + 1;
    if (need <= buf->room) return true;

    size_t room = buf->room ? buf->room : 64;
    while (room < need) room *= 2;
    char *bytes = malloc(room);
    if (!bytes) return false;
    if (buf->bytes) {
        memcpy(bytes, buf->bytes, buf->used + 1);
        explicit_bzero(buf->bytes, buf->room);
        free(buf->bytes);
    }
    bytes[buf->used] = '\0';
    buf->bytes = bytes;
    buf->room = room;
    return true;
}

bool buf_add(struct buf *buf, const void *bytes, size_t count)
{
    if (!buf_reserve(buf, count)) return false;
    if (count) memcpy(buf->bytes + buf->used, bytes, count);
    buf->used += count;
    buf->bytes[buf->used] = '\0';
    return true;
}

bool buf_text(struct buf *buf, const char *text)
{
    return buf_add(buf, text, strlen(text));
}

bool buf_print(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int count = vsnprintf(NULL, 0, format, args);
    va_end(args);
    bool fits = count >= 0 && buf_reserve(buf, (size_t)count);
    if (fits) {
        vsnprintf(buf->bytes + buf->used, (size_t)count + 1, format, again);
        buf->used += (size_t)count;
    }
    va_end(again);
    return fits;
}
