/* SPDX-License-Identifier: Apache-2.0 */
/* What is pinned: by hand, by the parent, or by the last verification. The log's own word counts for nothing. */
#include "audit_pin.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit_note.h"
#include "base/auto.h"
#include "base/origin.h"

/* By hand; else what the parent knows of the log that it saw signed last; else what it published. */
static bool find_key(const struct audit_how *how, struct audit_pin *pin, struct err *err)
{
    char vkey[256] = "";
    if (how->vkey) return vkey_parse(how->vkey, pin->origin, pin->key, err);
    if (pin->witness.known)
        memcpy(vkey, pin->witness.first_vkey, sizeof vkey);
    else if (!audit_published(how->folder, how->epoch, vkey, err))
        return false;
    if (*vkey) return vkey_parse(vkey, pin->origin, pin->key, err);
    if (!pin->state.known)
        return err_set(err, ERR_NOT_FOUND,
                       "no key is known to begin with (keys/log.pub): name the log's first with --vkey, or start the "
                       "daemon once");
    memcpy(pin->origin, pin->state.origin, sizeof pin->origin);
    memcpy(pin->key, pin->state.key, KEY_BYTES);
    return true;
}

static bool check_witness(const struct audit_pin *pin, struct err *err)
{
    char name[128];
    uint8_t key[KEY_BYTES];
    if (!pin->witness.known) return true;
    if (strcmp(pin->witness.origin, pin->origin) != 0)
        return err_set(err, ERR_DAMAGED, "the daemon's parent wrote down checkpoints of the log %s, not of %s",
                       pin->witness.origin, pin->origin);
    if (!vkey_parse(pin->witness.first_vkey, name, key, err)) return false;
    return memcmp(key, pin->key, KEY_BYTES) == 0 ||
           err_set(err, ERR_DAMAGED,
                   "the daemon's parent wrote down checkpoints of another first key than the pinned one");
}

/* A log that another has followed must be looked at once by who knew the first. */
static bool check_state(const struct audit_how *how, struct audit_pin *pin, struct err *err)
{
    if (!pin->state.known) return true;
    bool same = strcmp(pin->state.origin, pin->origin) == 0;
    if (same && memcmp(pin->state.key, pin->key, KEY_BYTES) == 0) return true;
    if (same || !origin_continues(pin->state.origin, pin->origin))
        return err_set(err, ERR_DAMAGED, "the last verification was of another log (%s) or under another key",
                       pin->state.origin);
    if (!how->new_epoch)
        return err_set(
            err, ERR_DAMAGED,
            "the log %s, of which the last verification saw %llu entries, was ended, and %s follows it: look "
            "why (entry 0 of this log, and --epoch %llu for the one before), then accept that with "
            "--new-epoch",
            pin->state.origin, (unsigned long long)pin->state.size, pin->origin,
            (unsigned long long)origin_epoch(pin->state.origin));
    memcpy(pin->before, pin->state.origin, sizeof pin->before);
    pin->state.known = false;
    return true;
}

static bool read_kept(const struct audit_how *how, struct audit_pin *pin, struct err *err)
{
    struct audit_note note;
    if (!how->kept) return true;
    FD_AUTO fd = open(how->kept, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, pin->note, sizeof pin->note);
    if (got < 0) return err_sys(err, ERR_NOT_FOUND, "the checkpoint that was kept cannot be read");
    pin->note_length = (size_t)got;
    if (!note_read(pin->note, pin->note_length, pin->origin, &note, err))
        return err_in(err, "the checkpoint that was kept");
    pin->kept.known = true;
    pin->kept.size = note.size;
    memcpy(pin->kept.root, note.root, HASH_BYTES);
    return true;
}

bool audit_pin_read(const struct audit_how *how, struct audit_pin *pin, struct err *err)
{
    *pin = (struct audit_pin){0};
    return key_library(err) && audit_witness_read(how->folder, how->epoch, &pin->witness, &pin->witness_hidden, err) &&
           audit_state_read(how->folder, how->epoch, how->state, &pin->state, err) && find_key(how, pin, err) &&
           check_witness(pin, err) && check_state(how, pin, err) && read_kept(how, pin, err);
}

bool audit_pin_write(const struct audit_how *how, const struct audit_pin *pin, uint64_t size,
                     const uint8_t root[HASH_BYTES], struct err *err)
{
    struct audit_mark mark = {.known = true, .size = size};
    struct audit_mark before;
    memcpy(mark.root, root, HASH_BYTES);
    memcpy(mark.key, pin->key, KEY_BYTES);
    memcpy(mark.origin, pin->origin, sizeof mark.origin);
    if (*pin->before && !how->state &&
        (!audit_state_read(how->folder, 0, NULL, &before, err) ||
         !audit_state_write(how->folder, origin_epoch(before.origin), NULL, &before, err)))
        return false;
    return audit_state_write(how->folder, how->epoch, how->state, &mark, err);
}

void audit_pin_inside(const struct audit_pin *pin, uint64_t from, uint64_t to, uint64_t *size)
{
    const struct audit_mark *const marks[] = {&pin->state, &pin->kept, &pin->witness};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i]->known && marks[i]->size > from && marks[i]->size < to) *size = marks[i]->size;
}
