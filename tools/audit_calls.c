/* SPDX-License-Identifier: Apache-2.0 */
/* The order of every call's records, in one open-addressed table. */
#include "audit_calls.h"

#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

enum { FIRST_ROOM = 4096, FIRST_ROOM_MOST = 1 << 22 };

/* Large pages where the kernel has them: every look-up goes to another place. */
static bool take_room(struct audit_calls *calls, uint64_t room, struct err *err)
{
    void *places = mmap(NULL, room * sizeof *calls->places, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (places == MAP_FAILED) return err_set(err, ERR_IO, "there is not enough memory for a log of this size");
    madvise(places, room * sizeof *calls->places, MADV_HUGEPAGE);
    calls->places = places;
    calls->room = room;
    return true;
}

static void give_room(struct audit_calls *calls)
{
    if (calls->places) munmap(calls->places, calls->room * sizeof *calls->places);
}

bool audit_calls_init(struct audit_calls *calls, uint64_t expected, struct err *err)
{
    uint64_t room = FIRST_ROOM;
    *calls = (struct audit_calls){0};
    randombytes_buf(calls->key, sizeof calls->key);
    while (room < FIRST_ROOM_MOST && room * 3 < expected * 4) room *= 2;
    return take_room(calls, room, err);
}

void audit_calls_clear(struct audit_calls *calls)
{
    give_room(calls);
    *calls = (struct audit_calls){0};
}

/* Keyed, so that no log can be made to be slow. */
static uint64_t hash_of(struct audit_calls *calls, const uint8_t id[ID_BYTES], uint32_t attempt)
{
    uint8_t name[sizeof calls->last.name];
    memcpy(name, id, ID_BYTES);
    memcpy(name + ID_BYTES, &attempt, sizeof attempt);
    if (memcmp(name, calls->last.name, sizeof name) != 0) {
        memcpy(calls->last.name, name, sizeof name);
        crypto_shorthash((unsigned char *)&calls->last.hash, name, sizeof name, calls->key);
    }
    return calls->last.hash;
}

/* Its place, or the free one where it belongs. */
static struct audit_call *place_of(struct audit_calls *calls, const uint8_t id[ID_BYTES], uint32_t attempt)
{
    for (uint64_t at = hash_of(calls, id, attempt);; at++) {
        struct audit_call *call = &calls->places[at & (calls->room - 1)];
        if (call->attempt == 0 || (call->attempt == attempt && memcmp(call->id, id, ID_BYTES) == 0)) return call;
    }
}

void audit_calls_soon(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt)
{
    if (id) __builtin_prefetch(&calls->places[hash_of(calls, id, (uint32_t)attempt) & (calls->room - 1)]);
}

static bool grow(struct audit_calls *calls, struct err *err)
{
    if (calls->count * 4 < calls->room * 3) return true;
    struct audit_calls bigger = *calls;
    if (!take_room(&bigger, calls->room * 2, err)) return false;
    for (uint64_t i = 0; i < calls->room; i++)
        if (calls->places[i].attempt)
            *place_of(&bigger, calls->places[i].id, calls->places[i].attempt) = calls->places[i];
    give_room(calls);
    *calls = bigger;
    return true;
}

static bool attempt_sound(int64_t attempt, struct err *err)
{
    return (attempt >= 1 && attempt <= UINT32_MAX) || err_set(err, ERR_DAMAGED, "its attempt is not a number from 1");
}

/* Keyed as above: no other workspace can be found that counts as this one. */
static uint32_t workspace_of(const struct audit_calls *calls, const uint8_t *id)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint32_t number;
    if (!id) return 0;
    crypto_shorthash(hash, id, ID_BYTES, calls->key);
    memcpy(&number, hash, sizeof number);
    return number | 1;
}

bool audit_calls_intent(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt, uint64_t index,
                        const uint8_t *workspace, struct err *err)
{
    if (!attempt_sound(attempt, err) || !grow(calls, err)) return false;
    struct audit_call *call = place_of(calls, id, (uint32_t)attempt);
    if (call->attempt) return err_set(err, ERR_DAMAGED, "the call has a second intent for the same attempt");
    const struct audit_call *before = attempt > 1 ? place_of(calls, id, (uint32_t)attempt - 1) : NULL;
    bool elsewhere = calls->continued || (calls->dropped && calls->dropped->count);
    if (before && !before->outcome && (before->attempt || !elsewhere))
        return err_set(err, ERR_DAMAGED, "attempt %lld begins before the one before it had its outcome",
                       (long long)attempt);
    memcpy(call->id, id, ID_BYTES);
    call->attempt = (uint32_t)attempt;
    call->intent = index + 1;
    call->workspace = workspace_of(calls, workspace);
    calls->count++;
    calls->open++;
    return true;
}

/* The intent was dropped and the outcome was not. */
static bool intent_dropped(const struct audit_calls *calls, int64_t intent)
{
    if (intent < 0) return calls->dropped && calls->dropped->count;
    return audit_range_holds(calls->dropped, &(struct audit_range){(uint64_t)intent, (uint64_t)intent});
}

bool audit_calls_outcome(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt, uint64_t index,
                         int64_t intent, const uint8_t *workspace, struct err *err)
{
    if (!attempt_sound(attempt, err) || !grow(calls, err)) return false;
    struct audit_call *call = place_of(calls, id, (uint32_t)attempt);
    if (!call->attempt && intent_dropped(calls, intent)) {
        *call = (struct audit_call){.attempt = (uint32_t)attempt, .intent = (uint64_t)intent + 1};
        memcpy(call->id, id, ID_BYTES);
        calls->count++;
        calls->open++;
    }
    if (!call->attempt) return err_set(err, ERR_DAMAGED, "an outcome without an intent before it");
    if (call->outcome)
        return err_set(err, ERR_DAMAGED, "the call has a second outcome; the first is entry %llu",
                       (unsigned long long)call->outcome - 1);
    if (intent >= 0 && (uint64_t)intent + 1 != call->intent)
        return err_set(err, ERR_DAMAGED, "it names entry %lld as its intent, which is entry %llu", (long long)intent,
                       (unsigned long long)call->intent - 1);
    if (call->workspace && call->workspace != workspace_of(calls, workspace))
        return err_set(err, ERR_DAMAGED, "its columns say another workspace than its intent");
    call->outcome = index + 1;
    calls->open--;
    return true;
}
