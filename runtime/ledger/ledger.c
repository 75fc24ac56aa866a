/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's part of a role: open, confine, serve; everything that waits is committed at once, then answered. */
#include "ledger.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint.h"
#include "epoch.h"
#include "payload.h"
#include "people.h"
#include "push.h"
#include "runtime/reach.h"
#include "sandbox/enter.h"

enum { SLOW_S = 2, UNKNOWN_INTERVAL_S = 60, CHORES_S = 1, EXPIRE_S = 30 };

struct ledger *ledger_of(struct role *role)
{
    return role->state;
}

/* ── open and confine ──────────────────────────────────────────────────────────────────────────────── */

/* The log as it is on disk; or, where that is not what was signed last, the next epoch of it. */
static bool open_log(struct ledger *ledger, struct err *err)
{
    char why[ERR_TEXT] = "";
    struct err failed = {0};
    bool loaded = ledger_load_first(ledger, err);
    if (loaded && checkpoint_continues(ledger, why)) {
        if (!epoch_doubted(ledger, why, err)) return false;
        if (!why[0]) return true;
    }
    if (!loaded && (!ledger->journal.untrue || !ledger->witness.size)) return false;
    if (epoch_begin(ledger, loaded ? why : err->text, &failed)) return true;
    if (!ledger->store) return (*err = failed), false;
    checkpoint_forked(ledger, &failed);
    return true;
}

/* A signing key that vault.db has lost cannot be replaced: nobody could tell that from another's key. Nor does the
 * vault sign with another than was written down. */
static bool open_signer(struct ledger *ledger, struct err *err)
{
    char why[ERR_TEXT] = "data/vault.db does not hold the key whose turn it is to sign the log";
    if (!signer_open(ledger, err)) return false;
    if (!ledger->keys.missing && checkpoint_key_fits(ledger, why)) return true;
    return checkpoint_own_word(ledger, err) && epoch_begin(ledger, why, err) && setup_first_start(ledger, err) &&
           signer_open(ledger, err);
}

static bool ledger_open(struct role *role, struct err *err)
{
    struct ledger *ledger = ledger_of(role);
    ledger->role = role;
    log_role("ledger");
    umask(077);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
    if (sodium_init() < 0) return err_set(err, ERR_INTERNAL, "libsodium does not start");
    if (role->given[GIVE_DATA] < 0) return err_set(err, ERR_INTERNAL, "the data folder was not given");
    checkpoint_recall(ledger);
    if (!principals_open(&ledger->principals, err) || !setup_config(ledger, err) || !setup_registry(ledger, err) ||
        !open_log(ledger, err))
        return false;
    if (!ledger->forked && (!setup_first_start(ledger, err) || !open_signer(ledger, err) || !epoch_open(ledger, err) ||
                            !revoked_compare(ledger, err) || !push_open(ledger, err) || !spill_replay(ledger, err) ||
                            !adopt_open_calls(ledger, err)))
        return false;
    room_check(ledger);
    ledger->opened = true;
    if (!ledger->forked && role->frozen != ledger->recorded_frozen)
        ledger->owed = role->frozen ? OWES_FREEZE : OWES_THAW;
    freeze_owed(ledger);
    return true;
}

static bool ledger_confine(struct role *role, struct err *err)
{
    const int *folder = &role->given[GIVE_DATA];
    return reach_prove(role, WALL_LEDGER, folder, 1, err) && enter_role(WALL_LEDGER, folder, 1, err);
}

/* A reload: rights and limits hold from the next message on. */
static void take_given(struct role *role, enum give_kind kind, uint32_t index)
{
    struct err err = {0};
    if (kind == GIVE_CONFIG && !setup_config(ledger_of(role), &err)) log_failure("configuration-refused", &err);
}

static uint32_t take_registry(struct role *role, uint32_t number)
{
    struct ledger *ledger = ledger_of(role);
    struct err err = {0};
    if (!setup_registry(ledger, &err)) log_failure("registry", &err);
    return ledger->registry.number;
}

/* ── the commit ────────────────────────────────────────────────────────────────────────────────────── */

static bool waits_for_commit(const struct ledger *ledger, uint64_t now)
{
    if (ledger->begin_count && (!ledger->keys_until || now >= ledger->keys_until)) return true;
    if (incidents_waiting()) return true;
    if (ledger->ready_count && !ledger->sealed) return true;
    if (ledger->ready_count && spill_has_room(&ledger->spill)) return true;
    return ledger->unknown.from && clock_wall() - ledger->unknown.from >= UNKNOWN_INTERVAL_S * CLOCK_S;
}

static bool record_all(struct ledger *ledger, bool unknown, bool begins, struct err *err)
{
    return journal_begin(&ledger->journal, err) && outcomes_record(ledger, err) && incidents_record(ledger, err) &&
           (!unknown || unknown_record(ledger, err)) && (!begins || begins_record(ledger, err)) &&
           journal_commit(&ledger->journal, err);
}

static void settle(struct ledger *ledger, bool durable, bool unknown, bool begins, const struct err *why)
{
    if (durable && unknown) memset(&ledger->unknown, 0, sizeof ledger->unknown);
    incidents_done(durable);
    outcomes_done(ledger, durable, why);
    if (begins) begins_done(ledger, durable, why);
}

/* One transaction for all that waits. What it lets loose may already be over (a line was gone): then another. */
static void commit_once(struct ledger *ledger, uint64_t now)
{
    struct err err = {0};
    bool unknown = ledger->unknown.from && clock_wall() - ledger->unknown.from >= UNKNOWN_INTERVAL_S * CLOCK_S;
    bool begins = !ledger->keys_until || now >= ledger->keys_until;
    uint64_t before = ledger->journal.tree.size;
    if (ledger->sealed) {
        ledger_open_for_business(ledger, &err);
        settle(ledger, false, unknown, true, &err);
        return;
    }
    if (begins && ledger->begin_count) room_check(ledger);
    bool durable = record_all(ledger, unknown, begins, &err);
    if (clock_now() - now > SLOW_S * CLOCK_S)
        log_event(LOG_LEVEL_WARNING, "log-slow", log_number("ms", (clock_now() - now) / CLOCK_MS));
    if (!durable) {
        journal_rollback(&ledger->journal);
        ledger->counters.commits_failed++;
        err.kind = ERR_AUDIT; /* whichever file it was */
        ledger_seal(ledger, &err);
    }
    ledger->counters.batches++;
    if (durable && ledger->journal.tree.size - before > ledger->counters.batch_most)
        ledger->counters.batch_most = ledger->journal.tree.size - before;
    settle(ledger, durable, unknown, begins, &err);
}

static void ledger_batch(struct role *role)
{
    struct ledger *ledger = ledger_of(role);
    uint64_t now = clock_now();
    bool any = false;
    seal_if_broken(ledger);
    for (int i = 0; i < 4 && waits_for_commit(ledger, now) && (!ledger->sealed || i == 0); i++) {
        commit_once(ledger, now);
        any = true;
    }
    if (!any) return;
    role_wake_at(role, checkpoint_tick(ledger));
    role_wake_at(role, now + CHORES_S * CLOCK_S);
}

/* ── time ──────────────────────────────────────────────────────────────────────────────────────────── */

static void chores(struct ledger *ledger, uint64_t now)
{
    struct err err = {0};
    if (now < ledger->second_at) return;
    ledger->second_at = now + CHORES_S * CLOCK_S;
    room_check(ledger);
    if (ledger->keys_until) keys_first(ledger);
    if (ledger->sealed || !store_look(ledger->store, &err)) return; /* what breaks the store seals, in the next batch */
    store_idle(ledger->store);
    if (now < ledger->expire_at) return;
    ledger->expire_at = now + EXPIRE_S * CLOCK_S;
    if (!store_expire(ledger->store, clock_wall(), &err)) log_failure("expire", &err);
}

static uint64_t ledger_tick(struct role *role)
{
    struct ledger *ledger = ledger_of(role);
    uint64_t now = clock_now();
    if (ledger->ticked_at && now - ledger->ticked_at > SLOW_S * CLOCK_S) ledger->patient_until = now + CLOCK_S;
    chores(ledger, now);
    role_wake_at(role, recover_tick(ledger));
    role_wake_at(role, waits_tick(ledger));
    role_wake_at(role, ends_tick(ledger));
    role_wake_at(role, rotate_tick(ledger));
    role_wake_at(role, erase_tick(ledger));
    role_wake_at(role, prune_tick(ledger));
    role_wake_at(role, principals_tick(role, &ledger->principals, now));
    ledger_batch(role);
    role_wake_at(role, signer_tick(ledger));
    role_wake_at(role, checkpoint_tick(ledger));
    role_wake_at(role, push_tick(ledger));
    query_push_tick(ledger);
    ledger->ticked_at = clock_now();
    return ledger->keys_until ? now + CLOCK_S / 5 : ledger->second_at;
}

/* ── the rest ──────────────────────────────────────────────────────────────────────────────────────── */

static void record_freeze(struct ledger *ledger, bool on)
{
    RECORD_AUTO record;
    uint64_t index;
    struct err err = {0};
    record_init(&record);
    record_text(&record, "act", on ? "freeze" : "thaw");
    if (ledger->sealed) {
        ledger->owed = on ? OWES_FREEZE : OWES_THAW;
        return;
    }
    if (journal_add_now(&ledger->journal, &(struct journal_about){.kind = RECORD_ADMIN}, &record, &index, &err)) return;
    ledger->owed = on ? OWES_FREEZE : OWES_THAW;
    ledger_seal(ledger, &err);
}

void freeze_owed(struct ledger *ledger)
{
    bool on = ledger->owed == OWES_FREEZE;
    if (ledger->owed == OWES_NOTHING) return;
    ledger->owed = OWES_NOTHING;
    record_freeze(ledger, on);
}

/* A freeze acts at once; that it is recorded when possible comes second. */
static void ledger_freeze(struct role *role, bool on, bool now)
{
    struct ledger *ledger = ledger_of(role);
    if (!ledger->opened) return;
    for (struct running *run = ledger->calls.first; on && now && run; run = run->next)
        if (run->state == RUN_OPEN) orders_cancel(ledger, run, REASON_FROZEN);
    record_freeze(ledger, on);
}

/* The interval that is not over yet is over now. */
static void record_unknown_now(struct ledger *ledger)
{
    struct err err = {0};
    if (ledger->sealed || !ledger->unknown.from) return;
    if (!journal_begin(&ledger->journal, &err) || !unknown_record(ledger, &err) ||
        !journal_commit(&ledger->journal, &err))
        journal_rollback(&ledger->journal);
}

static void ledger_close(struct role *role)
{
    struct ledger *ledger = ledger_of(role);
    ledger_batch(role);
    record_unknown_now(ledger);
    checkpoint_last(ledger);
    principals_close(role, &ledger->principals);
    calls_clear(&ledger->calls);
    journal_clear(&ledger->journal);
    spill_close(&ledger->spill);
    store_close(ledger->store);
    ledger->store = NULL;
    registry_clear(&ledger->registry);
    access_clear(&ledger->access);
}

static const struct role_handler handlers[] = {
    {MSG_HELLO, on_hello},
    {MSG_BEGIN, on_begin},
    {MSG_REPLY, on_reply},
    {MSG_END, on_end},
    {MSG_GATE_CLOSED, on_gate_closed},
    {MSG_WORKER_TRIED, on_worker_tried},
    {MSG_WORKER_ENDED, on_worker_ended},
    {MSG_INCIDENT, on_incident},
    {MSG_WORKSPACE_KEY_ANSWER, on_answer},
    {MSG_SEAL_ANSWER, on_answer},
    {MSG_OPEN_KEY_ANSWER, on_answer},
    {MSG_SIGNER_NEW_ANSWER, on_answer},
    {MSG_SIGN_ANSWER, on_answer},
    {MSG_KEYS_ANSWER, on_answer},
    {MSG_REWRAP_ANSWER, on_answer},
    {MSG_OFFER_ANSWER, on_answer},
    {MSG_TOKENS, on_tokens},
    {MSG_REVOKED, on_answer},
    {MSG_WORKERS_ANSWER, on_answer},
    {MSG_SUBJECT_KEYS_ANSWER, on_answer},
    {MSG_SUBJECT_OPEN_ANSWER, on_answer},
    {CTL_RELOADED, on_answer},
    {CTL_KEYS_GIVEN, on_answer},
    {CTL_PUSHED, on_answer},
    {MSG_PUSH_WAIT, on_push_wait},
    {MSG_PUSH_DONE, on_push_done},
    {MSG_CALLS_LIST, on_query},
    {MSG_CALLS_GET, on_query},
    {MSG_CONNECTORS, on_query},
    {MSG_HEALTH, on_query},
    {MSG_TOKEN_CREATE, on_query},
    {MSG_TOKEN_LIST, on_query},
    {MSG_TOKEN_REVOKE, on_query},
    {MSG_CREDENTIAL_SET, on_query},
    {MSG_CREDENTIAL_LIST, on_query},
    {MSG_CREDENTIAL_SHOW, on_query},
    {MSG_CREDENTIAL_REMOVE, on_query},
    {MSG_SUBMISSION_KEY, on_query},
    {MSG_LEASE_LIST, on_query},
    {MSG_LEASE_REVOKE, on_query},
    {MSG_PLUGIN_LIST, on_query},
    {MSG_PLUGIN_RECORD, on_query},
    {MSG_CALLS_RETRY, on_query},
    {MSG_CALLS_CANCEL, on_query},
    {MSG_RELOAD, on_query},
    {MSG_FREEZE_RECORD, on_query},
    {MSG_KEY_RECORD, on_query},
    {MSG_AUDIT_TAIL, on_query},
    {MSG_AUDIT_CHECKPOINT, on_query},
    {MSG_AUDIT_VKEY, on_query},
    {MSG_AUDIT_ROLL, on_query},
    {MSG_AUDIT_EPOCH, on_query},
    {MSG_AUDIT_PUSH, on_query},
    {MSG_AUDIT_ERASE, on_query},
    {MSG_AUDIT_PERSON, on_query},
    {MSG_AUDIT_PAYLOAD, on_query},
    {MSG_AUDIT_PRUNE, on_query},
    {MSG_AUDIT_HOLD_ADD, on_query},
    {MSG_AUDIT_HOLD_LIST, on_query},
    {MSG_AUDIT_HOLD_REMOVE, on_query},
    {MSG_WORKSPACE_CREATE, on_query},
    {MSG_WORKSPACE_LIST, on_query},
    {MSG_KEY_STATUS, on_query},
    {MSG_KEY_ROTATE, on_query},
    {MSG_KEY_MASTER, on_query},
    {MSG_NONE, NULL},
};

const struct role_part ledger_part = {
    .self = ROLE_LEDGER,
    .handlers = handlers,
    .open = ledger_open,
    .confine = ledger_confine,
    .line = ledger_line,
    .given = take_given,
    .registry = take_registry,
    .freeze = ledger_freeze,
    .batch = ledger_batch,
    .tick = ledger_tick,
    .close = ledger_close,
};
