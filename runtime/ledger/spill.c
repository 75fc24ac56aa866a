/* SPDX-License-Identifier: Apache-2.0 */
/* The spill file: slots of one size, each with its number and check sum, overwritten in place. */
#include "spill.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

struct slot {
    uint32_t length, check;
    uint64_t sequence;
    struct spilled body;
};

enum { SLOT_BYTES = 2048 };
_Static_assert(sizeof(struct slot) <= SLOT_BYTES, "a slot holds one outcome");

static uint32_t crc(const void *bytes, size_t count)
{
    uint32_t value = 0xffffffff;
    for (const unsigned char *at = bytes; count; at++, count--) {
        value ^= *at;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0);
    }
    return ~value;
}

static uint32_t check_of(const struct slot *slot)
{
    return crc(&slot->sequence, sizeof *slot - offsetof(struct slot, sequence));
}

/* 1: a good record, 0: an empty slot, -1: damaged. */
static int read_slot(const struct spill *spill, unsigned number, struct slot *slot)
{
    static const struct slot empty;
    if (pread(spill->fd, slot, sizeof *slot, (off_t)number * SLOT_BYTES) != (ssize_t)sizeof *slot) return -1;
    if (memcmp(slot, &empty, sizeof empty) == 0) return 0;
    return slot->length == sizeof slot->body && slot->check == check_of(slot) ? 1 : -1;
}

/* Zeros are written, not only reserved: a file system that keeps unwritten blocks apart needs room to turn them into
 * written ones, and that is when there is none. */
static bool make_room(int fd, off_t from, struct err *err)
{
    static const char zeros[SLOT_BYTES];
    for (off_t at = from; at < (off_t)SPILL_SLOTS * SLOT_BYTES; at += SLOT_BYTES)
        if (pwrite(fd, zeros, sizeof zeros, at) != (ssize_t)sizeof zeros)
            return err_sys(err, ERR_AUDIT, "there is no room for data/audit.spill (%d KiB): free some disk space",
                           SPILL_SLOTS * SLOT_BYTES / 1024);
    return true;
}

/* Every block is there: the file is as long as it gets, and has no holes. */
static bool whole(int fd, struct stat *status)
{
    off_t bytes = (off_t)SPILL_SLOTS * SLOT_BYTES;
    return fstat(fd, status) == 0 && status->st_size >= bytes && (off_t)status->st_blocks * 512 >= bytes;
}

static bool open_file(int folder, int *out, struct err *err)
{
    struct stat status = {0};
    FD_AUTO fd = openat(folder, "audit.spill", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return err_sys(err, ERR_AUDIT, "data/audit.spill cannot be opened");
    if (!whole(fd, &status)) {
        off_t from = status.st_size - status.st_size % SLOT_BYTES;
        if (posix_fallocate(fd, 0, (off_t)SPILL_SLOTS * SLOT_BYTES) != 0 || fstat(fd, &status) < 0)
            return err_set(err, ERR_AUDIT, "there is no room for data/audit.spill (%d KiB): free some disk space",
                           SPILL_SLOTS * SLOT_BYTES / 1024);
        if (!make_room(fd, from, err)) return false;
        if (fsync(fd) < 0 || fsync(folder) < 0) return err_sys(err, ERR_AUDIT, "data/audit.spill cannot be made");
    }
    *out = take_fd(&fd);
    return true;
}

bool spill_open(struct spill *spill, int folder, struct err *err)
{
    *spill = (struct spill){.fd = -1};
    if (!open_file(folder, &spill->fd, err)) return false;
    for (unsigned i = 0; i < SPILL_SLOTS; i++) {
        struct slot slot;
        int got = read_slot(spill, i, &slot);
        if (got == 0) continue; /* one that was cut off, or wiped, hides none behind it */
        spill->used = i + 1;
        if (got == 1 && slot.sequence >= spill->sequence) spill->sequence = slot.sequence + 1;
    }
    return true;
}

void spill_close(struct spill *spill)
{
    if (spill->fd > 0) close(spill->fd);
    spill->fd = -1;
}

bool spill_has_room(const struct spill *spill)
{
    return spill->fd >= 0 && spill->used < SPILL_SLOTS;
}

/* What went wrong once is not tried again through the same descriptor: a second fdatasync may lie. */
static bool give_up(struct spill *spill, struct err *err)
{
    err_sys(err, ERR_AUDIT, "data/audit.spill cannot be written");
    spill_close(spill);
    return false;
}

bool spill_add(struct spill *spill, const struct spilled *one, struct err *err)
{
    struct stat status;
    struct slot slot;
    memset(&slot, 0, sizeof slot);
    slot.length = sizeof slot.body;
    slot.sequence = spill->sequence;
    slot.body = *one;
    slot.check = check_of(&slot);
    if (!spill_has_room(spill)) return err_set(err, ERR_AUDIT, "data/audit.spill is full or cannot be used");
    if (fstat(spill->fd, &status) < 0 || status.st_nlink == 0 ||
        pwrite(spill->fd, &slot, sizeof slot, (off_t)spill->used * SLOT_BYTES) != (ssize_t)sizeof slot ||
        fdatasync(spill->fd) < 0)
        return give_up(spill, err);
    spill->used++;
    spill->sequence++;
    return true;
}

bool spill_each(struct spill *spill, spill_visit *visit, void *context, unsigned *bad, struct err *err)
{
    *bad = 0;
    for (unsigned i = 0; i < spill->used; i++) {
        struct slot slot;
        int got = read_slot(spill, i, &slot);
        if (got < 0) (*bad)++;
        if (got == 1 && !visit(context, &slot.body)) return err->kind != ERR_NONE ? false : true;
    }
    return true;
}

bool spill_empty(struct spill *spill, struct err *err)
{
    static const char zeros[SLOT_BYTES];
    for (unsigned i = 0; i < spill->used; i++)
        if (pwrite(spill->fd, zeros, sizeof zeros, (off_t)i * SLOT_BYTES) != (ssize_t)sizeof zeros)
            return give_up(spill, err);
    if (spill->used && fdatasync(spill->fd) < 0) return give_up(spill, err);
    spill->used = 0;
    return true;
}
