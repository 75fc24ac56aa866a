/* SPDX-License-Identifier: Apache-2.0 */
/* The master key: is the vault's the one that vault.db was sealed under? A key is known by its check value; a wrong one
 * never gets a new key laid over old ciphertext: nothing runs, and the reason says which file to put back. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rotate.h"

struct masters {
    struct store_master list[MASTERS_MOST];
    unsigned count;
    const struct store_master *in_use, *next;
};

static bool same_mark(const struct key_mark *a, const struct key_mark *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool no_mark(const struct key_mark *mark)
{
    static const struct key_mark none;
    return same_mark(mark, &none);
}

static bool read_masters(struct ledger *ledger, struct masters *masters, struct err *err)
{
    memset(masters, 0, sizeof *masters);
    if (!store_masters(ledger->store, masters->list, &masters->count, err)) return false;
    for (unsigned i = 0; i < masters->count; i++) {
        if (masters->list[i].state == MASTER_IN_USE) masters->in_use = &masters->list[i];
        if (masters->list[i].state == MASTER_NEXT) masters->next = &masters->list[i];
    }
    return true;
}

/* ── keys that do not fit ──────────────────────────────────────────────────────────────────────────── */

static bool other_key(const struct masters *masters, const struct key_mark *mark, struct err *err)
{
    unsigned wanted = masters->in_use ? masters->in_use->version : 1;
    for (unsigned i = 0; i < masters->count; i++)
        if (same_mark(&masters->list[i].mark, mark))
            return err_set(err, ERR_STATE,
                           "keys/master.key is the master key's version %u, which was retired, and data/vault.db is "
                           "sealed under version %u: put back keys/master.key of version %u and restart",
                           masters->list[i].version, wanted, wanted);
    return err_set(err, ERR_STATE,
                   "keys/master.key is another key than the one that data/vault.db is sealed under (version %u): put "
                   "back the file keys/master.key that belongs to this data, or the data that belongs to this key, and "
                   "restart",
                   wanted);
}

/* Nothing was ever wrapped, or only under this key: from now on it is known. */
static bool first_key(struct ledger *ledger, const struct masters *masters, struct err *err)
{
    struct store_master first = {
        .version = 1, .state = MASTER_IN_USE, .mark = ledger->rotating.now, .created = clock_wall()};
    uint64_t others;
    if (!store_master_count(ledger->store, first.mark.name, false, &others, err)) return false;
    if (others) return other_key(masters, &first.mark, err);
    return store_master_add(ledger->store, &first, err);
}

/* ── a rotation's two keys ─────────────────────────────────────────────────────────────────────────── */

static bool begin(struct ledger *ledger, const struct masters *masters, struct err *err)
{
    uint64_t now = clock_wall();
    struct store_master next = {
        .version = masters->list[0].version + 1, .state = MASTER_NEXT, .mark = ledger->rotating.next, .created = now};
    struct store_rotation rotation = {.job = ROTATE_MASTER,
                                      .step = ROTATE_WRAPPING,
                                      .from = masters->in_use->version,
                                      .to = next.version,
                                      .started = now};
    return store_master_begin(ledger->store, &next, &rotation, err);
}

/* The file of a rotation that has wrapped nothing yet was replaced by another: that is as good. */
static bool begin_anew(struct ledger *ledger, const struct masters *masters, struct err *err)
{
    struct store_master next = *masters->next;
    uint64_t under;
    if (!store_master_count(ledger->store, next.mark.name, true, &under, err)) return false;
    if (under)
        return err_set(err, ERR_STATE,
                       "keys/master.key.next is missing or another key, and %llu keys are under it already: put back "
                       "the file keys/master.key.next (version %u of the master key) and restart",
                       (unsigned long long)under, next.version);
    if (no_mark(&ledger->rotating.next) || ledger->rotating.want != WANT_NEXT)
        return true; /* it waits for the command */
    next.mark = ledger->rotating.next;
    return store_master_add(ledger->store, &next, err);
}

/* A key that was made while nobody knew of the next one is under the old one: it is wrapped before that one goes. */
static bool wrap_latecomers(struct ledger *ledger, const struct store_master *next, struct err *err)
{
    struct store_rotation rotation;
    bool found;
    uint64_t left;
    if (!store_rotation_get(ledger->store, ROTATE_MASTER, &rotation, &found, err)) return false;
    if (!found || rotation.step != ROTATE_WRAPPED) return true;
    if (!store_master_count(ledger->store, next->mark.name, false, &left, err)) return false;
    if (!left) return true;
    rotation.step = ROTATE_WRAPPING;
    memset(&rotation.cursor, 0, sizeof rotation.cursor);
    return store_rotation_put(ledger->store, &rotation, err);
}

static bool with_next(struct ledger *ledger, struct masters *masters, struct err *err)
{
    struct rotating *rotating = &ledger->rotating;
    bool wanted = rotating->want == WANT_NEXT && !no_mark(&rotating->next);
    if (!masters->next && !wanted) return true;
    if (!masters->next && !begin(ledger, masters, err)) return false;
    if (masters->next && !same_mark(&masters->next->mark, &rotating->next) && !begin_anew(ledger, masters, err))
        return false;
    if (!read_masters(ledger, masters, err)) return false;
    rotating->under_next = masters->next && same_mark(&masters->next->mark, &rotating->next);
    if (rotating->under_next && rotating->want == WANT_NEXT) rotating->want = WANT_NOTHING;
    return !rotating->under_next || wrap_latecomers(ledger, masters->next, err);
}

static bool finish(struct ledger *ledger, const struct masters *masters, struct err *err)
{
    struct store_rotation rotation;
    bool found;
    uint64_t left;
    if (!store_master_count(ledger->store, masters->next->mark.name, false, &left, err)) return false;
    if (left)
        return err_set(err, ERR_STATE,
                       "keys/master.key is version %u of the master key, and %llu keys are still under version %u: put "
                       "that one back as keys/master.key, this one as keys/master.key.next, and restart",
                       masters->next->version, (unsigned long long)left, masters->in_use->version);
    ledger->rotating.want = WANT_NOTHING;
    if (!store_rotation_get(ledger->store, ROTATE_MASTER, &rotation, &found, err)) return false;
    if (!found)
        rotation = (struct store_rotation){
            .job = ROTATE_MASTER, .from = masters->in_use->version, .to = masters->next->version};
    return rotate_record(ledger, "key.retire", &rotation, err) &&
           store_master_end(ledger->store, &rotation, clock_wall(), err);
}

/* ── comparing ─────────────────────────────────────────────────────────────────────────────────────── */

static bool compare(struct ledger *ledger, struct err *err)
{
    struct masters masters;
    struct rotating *rotating = &ledger->rotating;
    rotating->under_next = false;
    if (!read_masters(ledger, &masters, err)) return false;
    if (masters.count == 0 && (!first_key(ledger, &masters, err) || !read_masters(ledger, &masters, err))) return false;
    if (masters.in_use && same_mark(&masters.in_use->mark, &rotating->now)) return with_next(ledger, &masters, err);
    if (masters.in_use && masters.next && same_mark(&masters.next->mark, &rotating->now))
        return finish(ledger, &masters, err);
    return other_key(&masters, &rotating->now, err);
}

static void take_verdict(struct ledger *ledger, bool good, const struct err *err)
{
    struct rotating *rotating = &ledger->rotating;
    rotating->known = good || err->kind == ERR_STATE; /* else the store failed: it is looked at again */
    if (!rotating->known) return log_failure("keys-not-compared", err);
    rotating->checked = clock_wall();
    rotating->work = true;
    if (!good && strcmp(rotating->trouble, err->text) != 0) log_failure("master-key-wrong", err);
    memcpy(rotating->trouble, good ? "" : err->text, good ? 1 : sizeof rotating->trouble);
    /* The vault may have it a moment later. */
    if (good && rotating->want && clock_now() < rotating->want_until) rotating->known = false;
    if (rotating->known) rotating->want = WANT_NOTHING;
}

static void told(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct rotating *rotating = &ledger->rotating;
    const struct msg_keys_answer *keys = answer;
    struct err err = {0};
    (void)wait;
    rotating->asking = false;
    rotate_pause(ledger, answer ? ROTATE_PAUSE_MS : ROTATE_RETRY_MS);
    if (!keys || length != sizeof *keys || !ledger->store || ledger->sealed) return;
    rotating->now = keys->now;
    rotating->next = keys->next;
    bool good = status_check(&keys->status, &err) && compare(ledger, &err);
    if (!good && err.kind == ERR_AUDIT) ledger_seal(ledger, &err);
    take_verdict(ledger, good, &err);
    role_wake_at(ledger->role, clock_now()); /* the log's first key waits for it */
}

void rotate_ask_keys(struct ledger *ledger)
{
    struct waiting how = {.done = told, .until = clock_now() + 5 * CLOCK_S};
    struct err err = {0};
    ledger->rotating.asking = wait_ask(ledger, ROLE_VAULT, MSG_KEYS, NULL, 0, &how, &err);
    if (!ledger->rotating.asking) rotate_pause(ledger, ROTATE_RETRY_MS);
}

/* From here on the old file is needed no more; that is said only when no page of the database holds what is under it.
 */
bool rotate_master_wrapped(struct ledger *ledger, struct store_rotation *rotation, struct err *err)
{
    bool done;
    if (!store_truncate(ledger->store, STORE_VAULT, &done, err)) return false;
    if (!done) return rotate_pause(ledger, ROTATE_RETRY_MS), true;
    rotation->step = ROTATE_WRAPPED;
    return rotate_record(ledger, "key.wrapped", rotation, err) && store_rotation_put(ledger->store, rotation, err);
}
