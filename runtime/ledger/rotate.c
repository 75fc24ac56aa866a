/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over keys that go under a newer one: read a batch, have the vault wrap it, put it back, pause. Whatever dies
 * in between leaves every key under the old or the new one, and both can be opened. */
#include "rotate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

const char *rotate_step_name(uint32_t step)
{
    static const char *const names[] = {"", "wrapping", "wrapped", "closed", "destroyed"};
    return step < sizeof names / sizeof *names ? names[step] : "?";
}

void rotate_job_name(const uint8_t workspace[ID_BYTES], char job[64])
{
    char id[ID_TEXT];
    id_text(workspace, id);
    snprintf(job, 64, "workspace %s", id);
}

bool rotate_is_master(const struct store_rotation *rotation)
{
    return strcmp(rotation->job, ROTATE_MASTER) == 0;
}

void rotate_target(const struct ledger *ledger, const struct store_rotation *rotation, uint8_t to[KEY_NAME])
{
    memset(to, 0, KEY_NAME);
    if (rotate_is_master(rotation)) memcpy(to, ledger->rotating.next.name, KEY_NAME);
}

void rotate_pause(struct ledger *ledger, unsigned ms)
{
    ledger->rotating.at = clock_now() + ms * CLOCK_MS;
    role_wake_at(ledger->role, ledger->rotating.at);
}

bool rotate_record(struct ledger *ledger, const char *act, const struct store_rotation *rotation, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    bool master = rotate_is_master(rotation);
    struct journal_about about = {.kind = RECORD_ADMIN, .workspace = master ? NULL : rotation->workspace};
    record_init(&record);
    record_text(&record, "act", act);
    record_text(&record, "target", master ? "master" : "workspace");
    record_int(&record, "version", rotation->to);
    record_int(&record, "count", (int64_t)rotation->done);
    if (!master) record_id(&record, "workspace", rotation->workspace);
    return journal_add_now(&ledger->journal, &about, &record, &index, err);
}

/* ── one batch ─────────────────────────────────────────────────────────────────────────────────────── */

struct wrapping {
    struct store_rotation rotation;
    struct store_batch batch;
};

/* What could not be written is not done; a failure of the log seals. */
static void failed(struct ledger *ledger, const struct err *err)
{
    log_failure("rotation", err);
    if (err->kind == ERR_AUDIT) ledger_seal(ledger, err);
    rotate_pause(ledger, ROTATE_RETRY_MS);
}

static void wrapped_some(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct wrapping *wrapping = wait->context;
    const struct msg_rewrap_answer *got = answer;
    struct err err = {0};
    bool whole = got && length == sizeof *got;
    ledger->rotating.asking = false;
    rotate_pause(ledger, whole ? ROTATE_PAUSE_MS : ROTATE_RETRY_MS);
    if (whole && ledger->store && !ledger->sealed) {
        bool ok = status_check(&got->status, &err) &&
                  (got->count == wrapping->batch.count ||
                   err_set(&err, ERR_INTERNAL, "the vault wrapped another number of keys than it was given")) &&
                  store_batch_put(ledger->store, &wrapping->rotation, &wrapping->batch, got, &err);
        if (!ok) failed(ledger, &err);
    }
    free(wrapping);
}

static bool workspace_ends(struct ledger *ledger, const struct store_rotation *rotation, struct msg_rewrap *ask,
                           struct err *err)
{
    struct store_keys from, to;
    bool found_from, found_to;
    if (rotate_is_master(rotation)) return true;
    if (!store_keys_version(ledger->store, rotation->workspace, rotation->from, &from, &found_from, err) ||
        !store_keys_version(ledger->store, rotation->workspace, rotation->to, &to, &found_to, err))
        return false;
    if (!found_from || !found_to)
        return err_set(err, ERR_STATE, "a key of the workspace that is being rotated is missing from data/vault.db");
    memcpy(ask->workspace, rotation->workspace, ID_BYTES);
    ask->from = from.workspace_key;
    ask->to = to.workspace_key;
    return true;
}

static bool wrap_some(struct ledger *ledger, struct wrapping *wrapping, struct err *err)
{
    struct msg_rewrap ask = {.kind = wrapping->batch.kind, .count = wrapping->batch.count};
    struct waiting how = {.done = wrapped_some, .until = clock_now() + 5 * CLOCK_S, .context = wrapping};
    memcpy(ask.items, wrapping->batch.items, sizeof ask.items);
    return workspace_ends(ledger, &wrapping->rotation, &ask, err) &&
           wait_ask(ledger, ROLE_VAULT, MSG_REWRAP, &ask, sizeof ask, &how, err);
}

/* ── one step ──────────────────────────────────────────────────────────────────────────────────────── */

/* The walk is at its end, and some are left: they came while it went on, or cannot be opened. */
static bool walk_again(struct ledger *ledger, struct store_rotation *rotation, uint64_t left, struct err *err)
{
    ledger->rotating.stuck_until = clock_now() + ROTATE_STUCK_S * CLOCK_S;
    if (rotation->unreadable)
        log_event(LOG_LEVEL_ERROR, "keys-unreadable", log_text("job", rotation->job), log_number("left", left));
    memset(&rotation->cursor, 0, sizeof rotation->cursor);
    rotation->unreadable = 0;
    return store_rotation_put(ledger->store, rotation, err);
}

static bool walk_over(struct ledger *ledger, struct store_rotation *rotation, const uint8_t to[KEY_NAME],
                      struct err *err)
{
    uint64_t left;
    if (!store_batch_left(ledger->store, rotation, to, &left, err)) return false;
    if (left) return walk_again(ledger, rotation, left, err);
    return rotate_is_master(rotation) ? rotate_master_wrapped(ledger, rotation, err)
                                      : rotate_workspace_next(ledger, rotation, err);
}

static bool walk(struct ledger *ledger, const struct store_rotation *rotation, struct err *err)
{
    uint8_t to[KEY_NAME];
    struct wrapping *wrapping = calloc(1, sizeof *wrapping);
    if (!wrapping) return err_set(err, ERR_BUSY, "there is no memory");
    wrapping->rotation = *rotation;
    rotate_target(ledger, rotation, to);
    bool ok = store_batch_get(ledger->store, rotation, to, &wrapping->batch, err);
    if (ok && wrapping->batch.count) ledger->rotating.asking = ok = wrap_some(ledger, wrapping, err);
    if (ok && wrapping->batch.count) return true;
    ok = ok && walk_over(ledger, &wrapping->rotation, to, err);
    free(wrapping);
    return ok;
}

struct pick {
    struct ledger *ledger;
    struct store_rotation found;
    bool any, waits;
};

/* One that waits for an administrator, or whose rest cannot be opened, does not keep others from going on. */
static bool pick(void *context, const struct store_rotation *rotation)
{
    struct pick *pick = context;
    bool stuck = rotation->unreadable && clock_now() < pick->ledger->rotating.stuck_until;
    pick->waits |= stuck;
    if (stuck || (rotate_is_master(rotation) && rotation->step != ROTATE_WRAPPING)) return true;
    pick->found = *rotation;
    pick->any = true;
    return false;
}

static bool step(struct ledger *ledger, struct err *err)
{
    struct pick picked = {.ledger = ledger};
    if (!store_rotations(ledger->store, pick, &picked, err)) return false;
    ledger->rotating.work = picked.any || picked.waits;
    if (!picked.any) rotate_pause(ledger, 1000);
    if (!picked.any) return true;
    if (picked.found.step == ROTATE_WRAPPING) return walk(ledger, &picked.found, err);
    return rotate_workspace_next(ledger, &picked.found, err);
}

uint64_t rotate_tick(struct ledger *ledger)
{
    struct rotating *rotating = &ledger->rotating;
    struct err err = {0};
    if (!ledger->store || ledger->sealed || rotating->asking) return 0;
    if (clock_now() < rotating->at) return rotating->at;
    rotate_pause(ledger, ROTATE_PAUSE_MS);
    if (!rotating->known)
        rotate_ask_keys(ledger);
    else if (rotating->work && !rotating->trouble[0] && !step(ledger, &err))
        failed(ledger, &err);
    bool idle = rotating->known && (!rotating->work || rotating->trouble[0]);
    return idle ? 0 : rotating->at;
}

void rotate_forget(struct ledger *ledger)
{
    ledger->rotating.known = false;
}

uint32_t rotate_under_next(const struct ledger *ledger)
{
    return ledger->rotating.under_next;
}

bool rotate_fresh(const struct ledger *ledger, const struct wrapped *key)
{
    const struct rotating *rotating = &ledger->rotating;
    const struct key_mark *mark = rotating->under_next ? &rotating->next : &rotating->now;
    return !rotating->known || memcmp(key->bytes + WRAP_NAME_AT, mark->name, KEY_NAME) == 0;
}
