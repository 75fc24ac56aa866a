/* SPDX-License-Identifier: Apache-2.0 */
/* The pinned keys, and the walk from them over the log's rolls. */
#include "verify_keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_body.h"
#include "audit_proof_file.h"
#include "base/auto.h"

enum { ROLL_BODY = 4096, ROLLS_MOST = 100000 };

bool verify_read(int folder, const char *path, size_t most, char **bytes, size_t *length, struct err *err)
{
    struct stat status;
    size_t used = 0;
    bool input = strcmp(path, "-") == 0;
    FD_AUTO fd = input ? dup(STDIN_FILENO) : openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0 || (!input && !S_ISREG(status.st_mode)))
        return err_sys(err, ERR_NOT_FOUND, "there is no file %.200s that can be read", path);
    FREE_AUTO char *all = malloc(most + 2);
    if (!all) return err_set(err, ERR_IO, "there is not enough memory");
    for (ssize_t got; (got = read(fd, all + used, most + 1 - used)) != 0; used += (size_t)got)
        if (got < 0) return err_sys(err, ERR_NOT_FOUND, "%.200s cannot be read", path);
    if (used > most) return err_set(err, ERR_DAMAGED, "%.200s is too long", path);
    all[used] = '\0';
    *bytes = take(&all);
    *length = used;
    return true;
}

/* ── pinned ────────────────────────────────────────────────────────────────────────────────────────── */

void keys_clear(struct verify_keys *keys)
{
    free(keys->signers);
    free(keys->ranges);
    *keys = (struct verify_keys){0};
}

static bool keep(struct verify_keys *keys, const struct note_signer *signer, const struct key_range *range,
                 struct err *err)
{
    if (keys->count == keys->room) {
        unsigned room = keys->room ? keys->room * 2 : 16;
        void *signers = realloc(keys->signers, room * sizeof *keys->signers);
        if (signers) keys->signers = signers;
        void *ranges = realloc(keys->ranges, room * sizeof *keys->ranges);
        if (ranges) keys->ranges = ranges;
        if (!signers || !ranges) return err_set(err, ERR_IO, "there is not enough memory");
        keys->room = room;
    }
    keys->signers[keys->count] = *signer;
    keys->ranges[keys->count++] = *range;
    return true;
}

bool keys_pin(struct verify_keys *keys, const char *vkey, enum note_kind kind, struct err *err)
{
    struct note_signer signer;
    if (!signer_parse(vkey, &signer, err)) return err_in(err, "%.100s", vkey);
    if (kind == NOTE_LOG && signer.kind != NOTE_LOG)
        return err_set(err, ERR_MALFORMED, "%.100s is a witness's key: give it with --witness", vkey);
    return keep(keys, &signer, &(struct key_range){.last = INT64_MAX, .roll = UINT64_MAX}, err);
}

/* ── rolls ─────────────────────────────────────────────────────────────────────────────────────────── */

struct roll {
    struct note_signer old, new;
    bool sealed; /* the old key itself named the new one: the log's writer alone could name any */
};

/* Is this a record of a roll between two keys of one name? */
static bool roll_parse(const uint8_t *bytes, size_t length, struct roll *roll)
{
    static const char kind[] = "\"kind\":\"key_roll\"";
    struct body body;
    struct err ignored = {0};
    if (!memmem(bytes, length, kind, sizeof kind - 1) || !body_read(bytes, length, &body, &ignored) ||
        strcmp(body.kind, "key_roll") != 0 || !signer_parse(body.old, &roll->old, &ignored) ||
        !signer_parse(body.new, &roll->new, &ignored) || strcmp(roll->old.name, roll->new.name) != 0 ||
        roll->old.kind != NOTE_LOG || roll->new.kind != NOTE_LOG)
        return false;
    roll->sealed = roll_vouched(body.old, body.new, body.sign, roll->old.key);
    return true;
}

/* The log's key that is in use now; -1: it is none of them. */
static int in_use(const struct verify_keys *keys, const struct note_signer *signer)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (keys->ranges[i].last == INT64_MAX && signer_same(&keys->signers[i], signer)) return (int)i;
    return -1;
}

static const struct note_signer *brought_in(const struct verify_keys *keys, uint64_t index)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (keys->ranges[i].roll == index) return &keys->signers[i];
    return NULL;
}

/* Rolls before the first key that is known here concern nobody. */
static bool before_ours(const struct verify_keys *keys, const struct note_signer *old)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (keys->ranges[i].roll != UINT64_MAX || signer_same(&keys->signers[i], old)) return false;
    return true;
}

/* The roll is entry `index`, the last of a tree that the old key signed: that alone makes the new one believable. */
static bool roll_take(struct verify_keys *keys, uint64_t index, const struct proof_file *file, struct err *err)
{
    uint8_t body[ROLL_BODY], leaf[HASH_BYTES];
    size_t length;
    struct roll roll;
    struct audit_note note;
    if (!file->extra || !proof_file_extra(file, body, sizeof body, &length, err) || !roll_parse(body, length, &roll))
        return err_set(err, ERR_DAMAGED, "it holds no record of a new key");
    int now = in_use(keys, &roll.old);
    if (now < 0 && before_ours(keys, &roll.old)) return true;
    if (now < 0) return err_set(err, ERR_DAMAGED, "it does not follow the key that was in use before it");
    if (!roll.sealed) return err_set(err, ERR_DAMAGED, "the key in use did not name the new one itself");
    unsigned wanted = keys->wanted;
    keys->wanted = 0;
    bool good = keys_checkpoint(keys, file->note, file->note_length, &note, err);
    keys->wanted = wanted;
    if (!good) return false;
    audit_leaf(body, length, leaf);
    if (file->number != index || note.size != index + 1 || !keys->signers[now].good ||
        !proof_check_inclusion(index, note.size, leaf, &file->proof, note.root))
        return err_set(err, ERR_DAMAGED, "it does not prove that the key in use signed the new key's record");
    struct key_range range = {.first = index + 2, .last = INT64_MAX, .roll = index};
    memcpy(range.root, note.root, HASH_BYTES);
    keys->ranges[now].last = index + 1;
    return keep(keys, &roll.new, &range, err);
}

static int by_number(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* "12.tlog-proof" */
static bool roll_name(const char *name, uint64_t *index)
{
    const char *dot = strchr(name, '.');
    return dot && strcmp(dot, ".tlog-proof") == 0 && note_number(name, (size_t)(dot - name), index);
}

static bool list(int folder, uint64_t **numbers, size_t *count, struct err *err)
{
    *numbers = calloc(ROLLS_MOST, sizeof **numbers);
    if (!*numbers) return err_set(err, ERR_IO, "there is not enough memory");
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    if (!entries) return close_fd(&copy), err_sys(err, ERR_NOT_FOUND, "the folder of rolls cannot be read");
    for (const struct dirent *one; (one = readdir(entries));)
        if (*count < ROLLS_MOST && roll_name(one->d_name, *numbers + *count)) ++*count;
    closedir(entries);
    qsort(*numbers, *count, sizeof **numbers, by_number);
    return true;
}

bool keys_rolls(struct verify_keys *keys, int folder, const char *path, struct err *err)
{
    FD_AUTO rolls = openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FREE_AUTO uint64_t *numbers = NULL;
    size_t count = 0;
    if (rolls < 0) return err_sys(err, ERR_NOT_FOUND, "there is no folder %.200s", path);
    if (!list(rolls, &numbers, &count, err)) return false;
    for (size_t i = 0; i < count; i++) {
        char name[64];
        FREE_AUTO char *bytes = NULL;
        size_t length;
        struct proof_file file;
        snprintf(name, sizeof name, "%llu.tlog-proof", (unsigned long long)numbers[i]);
        if (!verify_read(rolls, name, NOTE_MOST, &bytes, &length, err) || !proof_file_read(bytes, length, &file, err) ||
            !roll_take(keys, numbers[i], &file, err))
            return err_in(err, "the roll %s", name);
    }
    return true;
}

bool keys_entry(struct verify_keys *keys, uint64_t index, const uint8_t *bytes, size_t length, struct err *err)
{
    struct roll roll;
    if (!roll_parse(bytes, length, &roll) || (keys->origin && strcmp(roll.old.name, keys->origin) != 0)) return true;
    const struct note_signer *known = brought_in(keys, index);
    if ((known && signer_same(known, &roll.new)) || (!known && before_ours(keys, &roll.old))) return true;
    if (!roll.sealed)
        return err_set(err, ERR_DAMAGED, "entry %llu names a new key, and the key in use did not",
                       (unsigned long long)index);
    if (known)
        return err_set(err, ERR_DAMAGED, "entry %llu rolls to another key than its proof", (unsigned long long)index);
    return err_set(err, ERR_STATE, "the log's key rolls at entry %llu, and rolls/%llu.tlog-proof is not there",
                   (unsigned long long)index, (unsigned long long)index);
}

/* ── checkpoints ───────────────────────────────────────────────────────────────────────────────────── */

unsigned keys_witnesses(const struct verify_keys *keys)
{
    unsigned found = 0;
    for (unsigned i = 0; i < keys->count; i++) found += keys->signers[i].kind == NOTE_WITNESS && keys->signers[i].good;
    return found;
}

static bool judge(const struct verify_keys *keys, uint64_t size, struct err *err)
{
    unsigned log = 0;
    for (unsigned i = 0; i < keys->count; i++) {
        const struct key_range *range = &keys->ranges[i];
        if (keys->signers[i].kind != NOTE_LOG || !keys->signers[i].good) continue;
        if (size < range->first || size > range->last)
            return err_set(err, ERR_DAMAGED, "a key signed it that may sign trees of %llu to %llu entries only",
                           (unsigned long long)range->first, (unsigned long long)range->last);
        log++;
    }
    if (!log) return err_set(err, ERR_DAMAGED, "no key of the log that is known signed it");
    return keys_witnesses(keys) >= keys->wanted ||
           err_set(err, ERR_STATE, "%u of %u wanted witnesses cosigned it", keys_witnesses(keys), keys->wanted);
}

bool keys_checkpoint(struct verify_keys *keys, const char *bytes, size_t length, struct audit_note *note,
                     struct err *err)
{
    struct note_parts parts;
    return note_split(bytes, length, &parts, err) && checkpoint_parse(&parts, keys->origin, note, err) &&
           note_check(&parts, keys->signers, keys->count, err) && judge(keys, note->size, err);
}
