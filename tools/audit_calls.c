/* SPDX-License-Identifier: Apache-2.0 */
/* The order of every call's records, in one open-addressed table. */
#include "audit_calls.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 4096 };

void audit_calls_init(struct audit_calls *calls)
{
    *calls = (struct audit_calls){0};
    randombytes_buf(calls->key, sizeof calls->key);
}

void audit_calls_clear(struct audit_calls *calls)
{
    free(calls->places);
    *calls = (struct audit_calls){0};
}

/* Its place, or the free one where it belongs. Keyed, so that no log can be made to be slow. */
static struct audit_call *place_of(const struct audit_calls *calls, const uint8_t id[ID_BYTES], uint32_t attempt)
{
    uint8_t name[ID_BYTES + 4], hash[crypto_shorthash_BYTES];
    uint64_t at;
    memcpy(name, id, ID_BYTES);
    memcpy(name + ID_BYTES, &attempt, 4);
    crypto_shorthash(hash, name, sizeof name, calls->key);
    memcpy(&at, hash, sizeof at);
    for (at %= calls->room;; at = (at + 1) % calls->room) {
        struct audit_call *call = &calls->places[at];
        if (call->attempt == 0 || (call->attempt == attempt && memcmp(call->id, id, ID_BYTES) == 0)) return call;
    }
}

static bool grow(struct audit_calls *calls, struct err *err)
{
    if (calls->room && calls->count * 4 < calls->room * 3) return true;
    struct audit_calls bigger = *calls;
    bigger.room = calls->room ? calls->room * 2 : FIRST_ROOM;
    bigger.places = calloc(bigger.room, sizeof *bigger.places);
    if (!bigger.places) return err_set(err, ERR_IO, "there is not enough memory for a log of this size");
    for (uint64_t i = 0; i < calls->room; i++)
        if (calls->places[i].attempt)
            *place_of(&bigger, calls->places[i].id, calls->places[i].attempt) = calls->places[i];
    free(calls->places);
    *calls = bigger;
    return true;
}

static bool attempt_sound(int64_t attempt, struct err *err)
{
    return (attempt >= 1 && attempt <= UINT32_MAX) || err_set(err, ERR_DAMAGED, "its attempt is not a number from 1");
}

bool audit_calls_intent(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt, uint64_t index,
                        struct err *err)
{
    if (!attempt_sound(attempt, err) || !grow(calls, err)) return false;
    struct audit_call *call = place_of(calls, id, (uint32_t)attempt);
    if (call->attempt) return err_set(err, ERR_DAMAGED, "the call has a second intent for the same attempt");
    if (attempt > 1 && !place_of(calls, id, (uint32_t)attempt - 1)->outcome)
        return err_set(err, ERR_DAMAGED, "attempt %lld begins before the one before it had its outcome",
                       (long long)attempt);
    memcpy(call->id, id, ID_BYTES);
    call->attempt = (uint32_t)attempt;
    call->intent = index + 1;
    calls->count++;
    calls->open++;
    return true;
}

bool audit_calls_outcome(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt, uint64_t index,
                         int64_t intent, struct err *err)
{
    if (!attempt_sound(attempt, err) || !grow(calls, err)) return false;
    struct audit_call *call = place_of(calls, id, (uint32_t)attempt);
    if (!call->attempt) return err_set(err, ERR_DAMAGED, "an outcome without an intent before it");
    if (call->outcome)
        return err_set(err, ERR_DAMAGED, "the call has a second outcome; the first is entry %llu",
                       (unsigned long long)call->outcome - 1);
    if (intent >= 0 && (uint64_t)intent + 1 != call->intent)
        return err_set(err, ERR_DAMAGED, "it names entry %lld as its intent, which is entry %llu", (long long)intent,
                       (unsigned long long)call->intent - 1);
    call->outcome = index + 1;
    calls->open--;
    return true;
}
