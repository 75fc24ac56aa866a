/* SPDX-License-Identifier: Apache-2.0 */
/* ustar heads, 512 bytes each; content is padded to whole blocks; two empty blocks end it. */
#include "tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 512, OCTAL_MOST = 33 /* bits that eleven octal digits hold */ };

struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[6], version[2],
        user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a head is one block");

static unsigned sum_of(const struct ustar *head)
{
    struct ustar copy = *head;
    unsigned sum = 0;
    memset(copy.sum, ' ', sizeof copy.sum);
    for (size_t i = 0; i < sizeof copy; i++) sum += ((const unsigned char *)&copy)[i];
    return sum;
}

/* Larger than octal digits can say: big-endian bytes behind 0x80, as every tar of today reads them. */
static void put_size(struct ustar *head, uint64_t size)
{
    if (size >> OCTAL_MOST == 0) {
        snprintf(head->size, sizeof head->size, "%011llo", (unsigned long long)size);
        return;
    }
    memset(head->size, 0, sizeof head->size);
    head->size[0] = (char)0x80;
    for (int i = 0; i < 8; i++) head->size[11 - i] = (char)(size >> (8 * i));
}

static bool put_head(struct age_writer *out, const char *name, uint64_t size, struct err *err)
{
    struct ustar head = {.type = '0', .mode = "0000600", .uid = "0000000", .gid = "0000000", .version = {'0', '0'}};
    snprintf(head.name, sizeof head.name, "%s", name);
    memcpy(head.magic, "ustar", sizeof head.magic);
    snprintf(head.mtime, sizeof head.mtime, "%011llo", (unsigned long long)time(NULL));
    put_size(&head, size);
    snprintf(head.sum, sizeof head.sum, "%06o", sum_of(&head));
    head.sum[7] = ' ';
    return age_write(out, &head, sizeof head, err);
}

static uint64_t padding_of(uint64_t size)
{
    return (BLOCK - size % BLOCK) % BLOCK;
}

static bool put_padding(struct age_writer *out, uint64_t size, struct err *err)
{
    static const char zeros[BLOCK];
    return age_write(out, zeros, padding_of(size), err);
}

bool tar_put(struct age_writer *out, const char *name, const void *bytes, size_t length, struct err *err)
{
    return put_head(out, name, length, err) && age_write(out, bytes, length, err) && put_padding(out, length, err);
}

bool tar_put_file(struct age_writer *out, const char *name, int fd, uint64_t size, struct err *err)
{
    char piece[16 * 1024];
    if (!put_head(out, name, size, err)) return false;
    for (uint64_t done = 0; done < size;) {
        size_t wanted = size - done < sizeof piece ? (size_t)(size - done) : sizeof piece;
        ssize_t got = read(fd, piece, wanted);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return err_sys(err, ERR_IO, "%s cannot be read", name);
        if (!age_write(out, piece, (size_t)got, err)) return false;
        done += (uint64_t)got;
    }
    return put_padding(out, size, err);
}

bool tar_end(struct age_writer *out, struct err *err)
{
    static const char zeros[2 * BLOCK];
    return age_write(out, zeros, sizeof zeros, err);
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool read_whole(struct age_reader *in, void *bytes, size_t length, struct err *err)
{
    for (size_t done = 0; done < length;) {
        size_t got;
        if (!age_read(in, (char *)bytes + done, length - done, &got, err)) return false;
        if (got == 0) return err_set(err, ERR_DAMAGED, "the archive ends in the middle");
        done += got;
    }
    return true;
}

static bool get_size(const struct ustar *head, uint64_t *size)
{
    uint64_t value = 0;
    if (head->size[0] == (char)0x80) {
        for (int i = 1; i < 12; i++) {
            if (i < 4 && head->size[i]) return false;
            value = value << 8 | (unsigned char)head->size[i];
        }
    } else {
        for (int i = 0; i < 11; i++) {
            if (head->size[i] < '0' || head->size[i] > '7') return false;
            value = value << 3 | (unsigned)(head->size[i] - '0');
        }
    }
    *size = value;
    return value < (uint64_t)1 << 60;
}

static bool head_sound(const struct ustar *head)
{
    unsigned said = 0;
    for (int i = 0; i < 6; i++) {
        if (head->sum[i] < '0' || head->sum[i] > '7') return false;
        said = said << 3 | (unsigned)(head->sum[i] - '0');
    }
    return said == sum_of(head) && memcmp(head->magic, "ustar", 6) == 0 && head->type == '0' && !head->prefix[0] &&
           !memchr(head->name, '/', sizeof head->name) && head->name[0] && head->name[0] != '.';
}

bool tar_next(struct age_reader *in, struct tar_entry *entry, bool *end, struct err *err)
{
    static const struct ustar none;
    struct ustar head;
    if (!read_whole(in, &head, sizeof head, err)) return false;
    *end = memcmp(&head, &none, sizeof head) == 0;
    if (*end) return true;
    *entry = (struct tar_entry){.size = 0};
    if (!head_sound(&head) || !get_size(&head, &entry->size))
        return err_set(err, ERR_MALFORMED, "this archive is not one that caisson made");
    memcpy(entry->name, head.name, sizeof head.name);
    entry->padding = padding_of(entry->size);
    return true;
}

bool tar_take(struct age_reader *in, const struct tar_entry *entry,
              bool (*take)(void *context, const void *bytes, size_t length, struct err *err), void *context,
              struct err *err)
{
    char piece[16 * 1024];
    for (uint64_t left = entry->size; left;) {
        size_t count = left < sizeof piece ? (size_t)left : sizeof piece;
        if (!read_whole(in, piece, count, err) || !take(context, piece, count, err)) return false;
        left -= count;
    }
    return read_whole(in, piece, entry->padding, err);
}
