/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of tiles, read as hostile: nothing counts that does not hang from the root. */
#include "verify_tiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"

enum { BUNDLE_MOST = TILE_HASHES * (2 + ENTRY_MOST) };

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

/* How many bytes the file has, at most room of them read; -1: there is none that could be read. */
static ssize_t get(const struct tiles *tiles, unsigned level, uint64_t number, unsigned width, void *bytes, size_t room)
{
    char path[TILE_PATH];
    struct stat status;
    size_t used = 0;
    tile_path(path, level, number, width);
    FD_AUTO fd = openat(tiles->folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return -1;
    if ((uint64_t)status.st_size > room) return (ssize_t)room + 1;
    for (ssize_t got; used < room; used += (size_t)got) {
        got = read(fd, (char *)bytes + used, room - used);
        if (got < 0) return -1;
        if (got == 0) break;
    }
    return (ssize_t)used;
}

/* 1: it is there; 0: it is not; -1: it has another size than a tile of that width, or of a full one. */
static int get_tile(const struct tiles *tiles, unsigned level, uint64_t number, unsigned width, proof_hash *hashes)
{
    proof_hash all[TILE_HASHES];
    ssize_t got = get(tiles, level, number, width, all, sizeof all);
    size_t wanted = width * sizeof *all;
    if (got < 0 && width < TILE_HASHES) {
        got = get(tiles, level, number, TILE_HASHES, all, sizeof all);
        if (got >= 0 && got != sizeof all) return -1;
    } else if (got >= 0 && (size_t)got != wanted)
        return -1;
    if (got < 0) return 0;
    memcpy(hashes, all, wanted);
    return 1;
}

bool tiles_give(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes)
{
    return get_tile(context, level, number, width, hashes) == 1;
}

bool tiles_open(const char *path, struct tiles *tiles, struct err *err)
{
    tiles->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tiles->folder < 0) return err_sys(err, ERR_NOT_FOUND, "there is no folder %.200s that can be read", path);
    tiles->bundle = malloc(BUNDLE_MOST);
    return tiles->bundle || err_set(err, ERR_IO, "there is not enough memory");
}

void tiles_close(struct tiles *tiles)
{
    close_fd(&tiles->folder);
    free(take(&tiles->bundle));
}

/* ── entries ───────────────────────────────────────────────────────────────────────────────────────── */

/* Entries from…to cannot be looked at. */
static void note_absent(struct tiles *tiles, uint64_t from, uint64_t to)
{
    if (to <= tiles->least) {
        tiles->pruned += to - from;
        return;
    }
    if (!tiles->absent) tiles->first = from;
    tiles->absent += to - from;
}

static bool bundle_check(struct tiles *tiles, uint64_t number, unsigned width, const proof_hash *leaves,
                         struct err *err)
{
    uint64_t first = number * TILE_HASHES;
    ssize_t got = get(tiles, TILE_ENTRIES, number, width, tiles->bundle, BUNDLE_MOST);
    bool other = got < 0 && width < TILE_HASHES;
    if (other) got = get(tiles, TILE_ENTRIES, number, TILE_HASHES, tiles->bundle, BUNDLE_MOST);
    if (got < 0) return note_absent(tiles, first, first + width), true;
    const uint8_t *at = tiles->bundle, *end = at + got, *entry;
    size_t length;
    for (unsigned i = 0; i < width; i++) {
        proof_hash leaf;
        if (got > BUNDLE_MOST || !tile_next_entry(&at, end, &entry, &length))
            return err_set(err, ERR_DAMAGED, "the bundle of entry %llu is not in the form of one",
                           (unsigned long long)(first + i));
        audit_leaf(entry, length, leaf);
        if (memcmp(leaf, leaves[i], HASH_BYTES) != 0)
            return err_set(err, ERR_DAMAGED, "entry %llu is not the one that the tree holds",
                           (unsigned long long)(first + i));
        if (tiles->entry && !tiles->entry(tiles->context, first + i, entry, length, err)) return false;
        tiles->entries++;
    }
    return at == end || other ||
           err_set(err, ERR_DAMAGED, "the bundle after entry %llu has bytes of no entry",
                   (unsigned long long)(first + width - 1));
}

/* ── the tree ──────────────────────────────────────────────────────────────────────────────────────── */

static bool children_check(struct tiles *tiles, unsigned level, uint64_t number, unsigned width,
                           const proof_hash *hashes, struct err *err);

/* A full tile below a hash that is known. */
static bool tile_check(struct tiles *tiles, unsigned level, uint64_t number, const proof_hash expected, struct err *err)
{
    proof_hash hashes[TILE_HASHES], root;
    char path[TILE_PATH];
    int got = get_tile(tiles, level, number, TILE_HASHES, hashes);
    uint64_t span = UINT64_C(1) << (TILE_HEIGHT * (level + 1));
    if (got == 0) return note_absent(tiles, number * span, (number + 1) * span), true;
    if (got > 0) proof_fold(hashes, TILE_HEIGHT, root);
    if (got > 0 && memcmp(root, expected, HASH_BYTES) == 0)
        return children_check(tiles, level, number, TILE_HASHES, hashes, err);
    tile_path(path, level, number, TILE_HASHES);
    return err_set(err, ERR_DAMAGED, "%s does not fit the tile above it", path);
}

static bool children_check(struct tiles *tiles, unsigned level, uint64_t number, unsigned width,
                           const proof_hash *hashes, struct err *err)
{
    if (level == 0) return bundle_check(tiles, number, width, hashes, err);
    for (unsigned i = 0; i < width; i++)
        if (!tile_check(tiles, level - 1, number * TILE_HASHES + i, hashes[i], err)) return false;
    return true;
}

static unsigned edge_width(uint64_t size, unsigned level)
{
    return (unsigned)(size >> (TILE_HEIGHT * level)) % TILE_HASHES;
}

/* The right edge holds what the root is made of; it is read once, so that what was hashed is what is followed. */
static bool edge_read(struct tiles *tiles, struct err *err)
{
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        unsigned width = edge_width(tiles->size, level);
        uint64_t number = tiles->size >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
        if (!width) continue;
        int got = get_tile(tiles, level, number, width, tiles->edge[level]);
        char path[TILE_PATH];
        tile_path(path, level, number, width);
        if (got < 0) return err_set(err, ERR_DAMAGED, "%s does not have the size of a tile", path);
        if (got == 0) return err_set(err, ERR_STATE, "%s is missing, and without it there is no root", path);
    }
    return true;
}

static bool edge_give(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes)
{
    const struct tiles *tiles = context;
    bool here = number == tiles->size >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
    if (here) memcpy(hashes, tiles->edge[level], width * sizeof *hashes);
    return here;
}

bool tiles_check(struct tiles *tiles, uint64_t size, const proof_hash root, struct err *err)
{
    proof_hash found;
    const struct proof_source source = {size, edge_give, tiles};
    tiles->size = size;
    tiles->entries = tiles->absent = tiles->pruned = tiles->first = 0;
    if (!edge_read(tiles, err)) return false;
    if (!proof_root(&source, size, found) || memcmp(found, root, HASH_BYTES) != 0)
        return err_set(err, ERR_DAMAGED, "the tiles do not give the root that the checkpoint names");
    for (unsigned level = TILE_LEVELS; level--;) {
        uint64_t number = size >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
        unsigned width = edge_width(size, level);
        if (width && !children_check(tiles, level, number, width, tiles->edge[level], err)) return false;
    }
    return true;
}
