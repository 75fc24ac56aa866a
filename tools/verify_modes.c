/* SPDX-License-Identifier: Apache-2.0 */
/* What caisson-verify can be shown: a folder of tiles, a proof of one entry, a log's growth, a signed note. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "audit_proof_file.h"
#include "base/auto.h"
#include "verify.h"
#include "verify_tiles.h"

enum { ENTRY_ROOM = ENTRY_MOST + 1 };

/* The keys that the log rolled to: named by hand, or beside the tiles when there are any. */
static bool rolls(struct verify *verify, int folder, struct err *err)
{
    if (verify->rolls) return keys_rolls(&verify->keys, AT_FDCWD, verify->rolls, err);
    struct err none = {0};
    if (folder < 0 || keys_rolls(&verify->keys, folder, "rolls", &none) || none.kind == ERR_NOT_FOUND) return true;
    *err = none;
    return false;
}

static bool checkpoint(struct verify *verify, const char *bytes, size_t length, struct audit_note *note,
                       struct err *err)
{
    if (!keys_checkpoint(&verify->keys, bytes, length, note, err)) return err_in(err, "the checkpoint");
    verify->size = note->size;
    memcpy(verify->root, note->root, HASH_BYTES);
    return true;
}

static bool checkpoint_at(struct verify *verify, int folder, const char *path, struct audit_note *note, struct err *err)
{
    FREE_AUTO char *bytes = NULL;
    size_t length;
    return verify_read(folder, path, NOTE_MOST, &bytes, &length, err) && checkpoint(verify, bytes, length, note, err);
}

/* ── a folder of tiles ─────────────────────────────────────────────────────────────────────────────── */

static bool each_entry(void *context, uint64_t index, const uint8_t *bytes, size_t length, struct err *err)
{
    return keys_entry(context, index, bytes, length, err);
}

/* What each roll's key signed must be the beginning of this very log; what is older than a checkpoint that one kept is
 * tied to that by its own root. */
static bool rolls_fit(struct verify *verify, struct tiles *tiles, struct err *err)
{
    const struct proof_source source = {verify->size, tiles_give, tiles};
    for (unsigned i = 0; i < verify->keys.count; i++) {
        const struct key_range *range = &verify->keys.ranges[i];
        struct proof proof;
        if (range->roll == UINT64_MAX || range->roll >= verify->size || range->roll < verify->old_size) continue;
        if (!proof_make_consistency(&source, range->roll + 1, &proof)) {
            if (range->roll < verify->least) continue;
            return err_set(err, ERR_STATE, "tiles are missing that tie the roll at entry %llu to this log",
                           (unsigned long long)range->roll);
        }
        if (!proof_check_consistency(range->roll + 1, verify->size, range->root, verify->root, &proof))
            return err_set(err, ERR_DAMAGED, "the roll at entry %llu was signed in another log than this",
                           (unsigned long long)range->roll);
    }
    return true;
}

static bool tiles_judge(struct verify *verify, struct tiles *tiles, struct err *err)
{
    struct audit_note note;
    bool own = verify->checkpoint;
    if (!rolls(verify, tiles->folder, err) ||
        !checkpoint_at(verify, own ? AT_FDCWD : tiles->folder, own ? verify->checkpoint : "checkpoint", &note, err))
        return false;
    tiles->least = verify->least;
    tiles->entry = each_entry;
    tiles->context = &verify->keys;
    bool good = tiles_check(tiles, note.size, note.root, err) && rolls_fit(verify, tiles, err);
    verify->entries = tiles->entries;
    verify->pruned = tiles->pruned;
    verify->absent = tiles->absent;
    verify->first_absent = tiles->first;
    if (!good || !tiles->absent) return good;
    return err_set(err, ERR_STATE, "%llu entries cannot be looked at, from entry %llu on: they are not there",
                   (unsigned long long)tiles->absent, (unsigned long long)tiles->first);
}

bool verify_tiles(struct verify *verify, struct err *err)
{
    struct tiles tiles = {.folder = -1};
    bool good = tiles_open(verify->arguments[0], &tiles, err) && tiles_judge(verify, &tiles, err);
    tiles_close(&tiles);
    return good;
}

/* ── one entry ─────────────────────────────────────────────────────────────────────────────────────── */

/* The entry's bytes: from the file that is named, else out of the proof, which only carries them. */
static bool entry_bytes(struct verify *verify, const struct proof_file *file, uint8_t *bytes, size_t *length,
                        struct err *err)
{
    FREE_AUTO char *read = NULL;
    if (!verify->entry && !file->extra)
        return err_set(err, ERR_USAGE, "the proof does not carry the entry: name a file with its bytes with --entry");
    if (!verify->entry) return proof_file_extra(file, bytes, ENTRY_ROOM, length, err);
    if (!verify_read(AT_FDCWD, verify->entry, ENTRY_MOST, &read, length, err)) return false;
    memcpy(bytes, read, *length);
    return true;
}

bool verify_proof(struct verify *verify, struct err *err)
{
    FREE_AUTO char *bytes = NULL;
    FREE_AUTO uint8_t *entry = malloc(ENTRY_ROOM);
    size_t length, entry_length;
    struct proof_file file;
    struct audit_note note;
    uint8_t leaf[HASH_BYTES];
    if (!entry) return err_set(err, ERR_IO, "there is not enough memory");
    if (!rolls(verify, -1, err) || !verify_read(AT_FDCWD, verify->arguments[0], NOTE_MOST, &bytes, &length, err))
        return false;
    if (!proof_file_read(bytes, length, &file, err) || !entry_bytes(verify, &file, entry, &entry_length, err) ||
        !checkpoint(verify, file.note, file.note_length, &note, err))
        return false;
    verify->index = file.number;
    verify->has_index = true;
    audit_leaf(entry, entry_length, leaf);
    if (!proof_check_inclusion(file.number, note.size, leaf, &file.proof, note.root))
        return err_set(err, ERR_DAMAGED, "this is not entry %llu of the log", (unsigned long long)file.number);
    verify->entries = 1;
    return true;
}

/* ── growth ────────────────────────────────────────────────────────────────────────────────────────── */

/* The new checkpoint stands alone, and the proof is made out of tiles; or both stand in one file. */
static bool growth(struct verify *verify, const char *bytes, size_t length, struct proof_file *file,
                   struct tiles *tiles, struct audit_note *new, struct err *err)
{
    if (!verify->tiles)
        return growth_file_read(bytes, length, file, err) &&
               checkpoint(verify, file->note, file->note_length, new, err);
    struct proof_source at = {.tiles = tiles_give, .context = tiles};
    if (!tiles_open(verify->tiles, tiles, err) || !checkpoint(verify, bytes, length, new, err)) return false;
    at.size = new->size;
    file->number = verify->old_size;
    if (verify->old_size == 0 || verify->old_size > new->size) return true; /* said below */
    return proof_make_consistency(&at, verify->old_size, &file->proof) ||
           err_set(err, ERR_STATE, "tiles are missing that would prove how the log grew");
}

static bool grown(struct verify *verify, struct tiles *tiles, struct err *err)
{
    FREE_AUTO char *bytes = NULL;
    size_t length;
    struct audit_note old, new;
    struct proof_file file = {0};
    if (!checkpoint_at(verify, AT_FDCWD, verify->arguments[0], &old, err)) return err_in(err, "the older one");
    verify->old_size = old.size;
    if (!verify_read(AT_FDCWD, verify->arguments[1], NOTE_MOST, &bytes, &length, err) ||
        !growth(verify, bytes, length, &file, tiles, &new, err))
        return false;
    if (old.size == 0) return err_set(err, ERR_STATE, "every log continues an empty one: that proves nothing");
    if (file.number != old.size)
        return err_set(err, ERR_DAMAGED, "the proof is about a log of %llu entries, the older checkpoint about %llu",
                       (unsigned long long)file.number, (unsigned long long)old.size);
    return proof_check_consistency(old.size, new.size, old.root, new.root, &file.proof) ||
           err_set(err, ERR_DAMAGED, "the log of %llu entries does not continue the one of %llu",
                   (unsigned long long)new.size, (unsigned long long)old.size);
}

bool verify_growth(struct verify *verify, struct err *err)
{
    struct tiles tiles = {.folder = -1};
    bool good = rolls(verify, -1, err) && grown(verify, &tiles, err) &&
                (!verify->tiles || rolls_fit(verify, &tiles, err));
    tiles_close(&tiles);
    return good;
}

/* ── any note ──────────────────────────────────────────────────────────────────────────────────────── */

bool verify_note(struct verify *verify, struct err *err)
{
    FREE_AUTO char *bytes = NULL;
    size_t length;
    struct note_parts parts;
    if (!verify_read(AT_FDCWD, verify->arguments[0], NOTE_MOST, &bytes, &length, err)) return false;
    if (!note_split(bytes, length, &parts, err) || !note_check(&parts, verify->keys.signers, verify->keys.count, err))
        return false;
    for (unsigned i = 0; i < verify->keys.count; i++)
        if (verify->keys.signers[i].kind == NOTE_LOG && verify->keys.signers[i].good) return true;
    return err_set(err, ERR_DAMAGED, "no key that is known signed it");
}
