/* SPDX-License-Identifier: Apache-2.0 */
/* A log that is not what was signed last is never continued: it is put aside as it was found, and the next one begins
 * with an entry that names both. Calls wait until an administrator has looked. */
#include "epoch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/origin.h"
#include "checkpoint.h"
#include "signer.h"

#define HELD  "held"
#define DOUBT "doubt"

static void found_log(struct ledger *ledger, struct record *record)
{
    tree_hash root;
    tree_root(&ledger->journal.tree, root);
    record_hex(record, "found_root", root, sizeof root);
    record_int(record, "found_size", (int64_t)ledger->journal.tree.size);
}

static bool old_log(const struct ctl_witness *last, struct record *record, struct err *err)
{
    BUF_AUTO vkey = {.max = 512};
    if (!note_vkey(last->origin, last->key, &vkey)) return err_set(err, ERR_INTERNAL, "no verifier key can be made");
    record_text(record, "old_key", vkey.bytes);
    record_text(record, "old_origin", last->origin);
    record_hex(record, "old_root", last->root, HASH_BYTES);
    record_int(record, "old_size", (int64_t)last->size);
    return true;
}

/* In one transaction: what stood there is gone, and the first entry of the next log stands there. */
static bool begin_next(struct ledger *ledger, const char *origin, const char *reason, struct err *err)
{
    RECORD_AUTO record;
    struct journal *journal = &ledger->journal;
    const struct ctl_witness *last = &ledger->witness;
    uint64_t index, open = 0;
    record_init(&record);
    found_log(ledger, &record);
    memset(&journal->tree, 0, sizeof journal->tree);
    bool ok = old_log(last, &record, err) && journal_begin(journal, err) &&
              store_epoch_clear(ledger->store, &open, err);
    record_int(&record, "open", (int64_t)open);
    record_text(&record, "reason", reason);
    record_text(&record, "target", origin);
    if (ok && journal_add(journal, &(struct journal_about){.kind = RECORD_EPOCH}, &record, &index, err) &&
        store_meta_set(ledger->store, STORE_AUDIT, "origin", origin, err) &&
        store_meta_set(ledger->store, STORE_AUDIT, "min_index", "0", err) &&
        store_meta_set(ledger->store, STORE_AUDIT, "follows", last->origin, err) &&
        store_meta_set(ledger->store, STORE_AUDIT, DOUBT, "", err) &&
        store_meta_set(ledger->store, STORE_AUDIT, HELD, reason, err) && journal_commit(journal, err))
        return true;
    journal_rollback(journal);
    return false;
}

bool epoch_begin(struct ledger *ledger, const char *reason, struct err *err)
{
    char origin[ORIGIN_BYTES];
    const struct ctl_witness *last = &ledger->witness;
    if (!last->size || !ledger->store)
        return err_set(err, ERR_AUDIT, "nothing is known of a signed log that a new one could follow");
    if (!origin_next(last->origin, origin))
        return err_set(err, ERR_AUDIT, "the name of the log, %s, is too long to count epochs", last->origin);
    if (!store_epoch_keep(ledger->store, ledger->role->given[GIVE_DATA], origin_epoch(last->origin), err) ||
        !begin_next(ledger, origin, reason, err))
        return err_in(err, "beginning the log's next epoch");
    log_event(LOG_LEVEL_WARNING, "audit-epoch", log_text("before", last->origin), log_number("signed", last->size),
              log_text("now", origin), log_text("reason", reason),
              log_text("next", "calls wait: look why, then run \"caisson audit epoch --reason WHY\""));
    return ledger_load_first(ledger, err);
}

/* ── held back ─────────────────────────────────────────────────────────────────────────────────────── */

bool epoch_doubt(struct ledger *ledger, const char *why, struct err *err)
{
    ledger->held = ledger->doubted = true;
    return store_meta_set(ledger->store, STORE_AUDIT, DOUBT, why, err) &&
           store_meta_set(ledger->store, STORE_AUDIT, HELD, why, err);
}

bool epoch_doubted(struct ledger *ledger, char why[ERR_TEXT], struct err *err)
{
    BUF_AUTO doubt = {.max = 1024};
    if (!store_meta(ledger->store, STORE_AUDIT, DOUBT, &doubt, err)) return false;
    snprintf(why, ERR_TEXT, "%s", doubt.used ? doubt.bytes : "");
    return true;
}

bool epoch_open(struct ledger *ledger, struct err *err)
{
    BUF_AUTO follows = {.max = 256};
    BUF_AUTO held = {.max = 1024};
    if (!store_meta(ledger->store, STORE_AUDIT, "follows", &follows, err) ||
        !store_meta(ledger->store, STORE_AUDIT, HELD, &held, err))
        return false;
    ledger->epoch = follows.used > 0;
    ledger->held = held.used > 0;
    ledger->doubted = false; /* a doubt ends with the start that finds it: this log follows the doubted one */
    return true;
}

bool epoch_released(struct ledger *ledger, struct err *err)
{
    if (!store_meta_set(ledger->store, STORE_AUDIT, DOUBT, "", err) ||
        !store_meta_set(ledger->store, STORE_AUDIT, HELD, "", err))
        return false;
    ledger->held = ledger->doubted = false;
    log_event(LOG_LEVEL_WARNING, "audit-epoch-released", log_text("origin", ledger->origin));
    return true;
}
