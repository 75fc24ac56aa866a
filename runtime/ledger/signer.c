/* SPDX-License-Identifier: Apache-2.0 */
/* Signing keys roll in five steps; the ledger may die after any of them and goes on where it was:
 *   1. the vault makes a pair that follows the one in use; it is kept, wrapped, in vault.db
 *   2. one transaction writes the key_roll entry and the signer's row
 *   3. the old key signs the tree that ends with this entry, after the parent has written the new one down
 *   4. that checkpoint is stored
 *   5. the old key is deleted from vault.db and its write-ahead log
 * Before 2 nothing has happened; from 2 on the signer's row says that 3 is owed. */
#include "signer.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint.h"

enum { ASK_AGAIN_MS = 200 };

/* ── which keys there are ──────────────────────────────────────────────────────────────────────────── */

static const struct store_signer_key *key_called(const struct ledger *ledger, const struct store_signer_key *keys,
                                                 unsigned count, const char *vkey)
{
    for (unsigned i = 0; i < count; i++) {
        BUF_AUTO text = {.max = 512};
        if (note_vkey(ledger->origin, keys[i].key.public, &text) && strcmp(text.bytes, vkey) == 0) return &keys[i];
    }
    return NULL;
}

static bool destroy_others(struct ledger *ledger, struct err *err)
{
    const struct signing *keys = &ledger->keys;
    return store_signer_keys_keep(ledger->store, keys->has ? keys->current.public : NULL,
                                  keys->rolling ? keys->next.public : NULL, err);
}

/* Somebody who reads vault.db is no reason not to start: what the files still hold goes when that has ended. */
static bool destroy_or_later(struct ledger *ledger, struct err *err)
{
    if (destroy_others(ledger, err)) return true;
    if (err->kind != ERR_BUSY) return false;
    *err = (struct err){0};
    return ledger->keys.destroy = true;
}

/* Pairs of the signer's rows with the wrapped secrets of vault.db. */
bool signer_open(struct ledger *ledger, struct err *err)
{
    struct signing *keys = &ledger->keys;
    struct store_signer rows[2];
    struct store_signer_key stored[STORE_SIGNERS];
    unsigned count, have;
    if (!store_signers(ledger->store, rows, &count, err) || !store_signer_keys(ledger->store, stored, &have, err))
        return false;
    /* A question outlives a recovery: asked again, both answers would be written down as the same key's followers. */
    *keys = (struct signing){.wanted = keys->wanted, .asked = keys->asked};
    if (count == 0) return destroy_or_later(ledger, err);
    keys->rolling = count == 2 && ledger->sign.signed_size < rows[0].first_size - 1;
    keys->roll_size = rows[0].first_size - 1;
    const struct store_signer_key *newest = key_called(ledger, stored, have, rows[0].vkey);
    const struct store_signer_key *now = keys->rolling ? key_called(ledger, stored, have, rows[1].vkey) : newest;
    keys->missing = !newest || !now;
    if (keys->missing) return true; /* nothing is destroyed that may still be found */
    keys->has = true;
    keys->current = now->key;
    keys->next = newest->key;
    keys->created = newest->created;
    return destroy_or_later(ledger, err);
}

/* The wrapped secret as it stands now: the master key may have been rotated since it was read. */
static void read_again(struct ledger *ledger, struct signer_key *key)
{
    struct store_signer_key stored[STORE_SIGNERS];
    struct err err = {0};
    unsigned count;
    if (!store_signer_keys(ledger->store, stored, &count, &err)) return log_failure("signing-key", &err);
    for (unsigned i = 0; i < count; i++)
        if (memcmp(stored[i].key.public, key->public, sizeof key->public) == 0) *key = stored[i].key;
}

bool signer_turn(struct ledger *ledger, struct signer_key *signer, struct signer_key *next, uint64_t *size)
{
    const struct signing *keys = &ledger->keys;
    if (!keys->has) return false;
    *signer = keys->current;
    read_again(ledger, signer);
    memset(next, 0, sizeof *next);
    if (!keys->rolling) return true;
    *next = keys->next;
    read_again(ledger, next);
    *size = keys->roll_size;
    return true;
}

/* ── a new pair ────────────────────────────────────────────────────────────────────────────────────── */

static bool write_roll(struct ledger *ledger, const char *new, const uint8_t sign[64], uint64_t *index, struct err *err)
{
    RECORD_AUTO record;
    BUF_AUTO old = {.max = 512};
    if (!note_vkey(ledger->origin, ledger->keys.current.public, &old))
        return err_set(err, ERR_INTERNAL, "the verifier key cannot be written");
    record_init(&record);
    record_text(&record, "new", new);
    record_text(&record, "old", old.bytes);
    record_hex(&record, "sign", sign, 64);
    return journal_add(&ledger->journal, &(struct journal_about){.kind = RECORD_KEY_ROLL}, &record, index, err);
}

/* The entry and the row stand and fall together; the first key of a log needs no entry. */
static bool take_over(struct ledger *ledger, const struct msg_signer_new_answer *made, struct err *err)
{
    const struct signer_key *key = &made->key;
    struct signing *keys = &ledger->keys;
    struct store_signer row = {0};
    uint64_t index = 0;
    BUF_AUTO vkey = {.max = sizeof row.vkey};
    if (!note_vkey(ledger->origin, key->public, &vkey)) return err_set(err, ERR_INTERNAL, "no verifier key");
    memcpy(row.vkey, vkey.bytes, strlen(vkey.bytes) + 1);
    bool ok = journal_begin(&ledger->journal, err) &&
              (!keys->has || write_roll(ledger, row.vkey, made->sign, &index, err));
    row.first_size = keys->has ? index + 2 : 0;
    if (ok && store_signer_add(ledger->store, &row, err) && journal_commit(&ledger->journal, err)) {
        keys->next = *key;
        keys->roll_size = index + 1;
        if (!keys->has) keys->current = *key;
        keys->rolling = keys->has;
        return keys->has = true;
    }
    journal_rollback(&ledger->journal);
    return false;
}

static bool pair_taken(struct ledger *ledger, const struct msg_signer_new_answer *made, struct err *err)
{
    struct store_signer_key stored = {.key = made->key, .created = clock_wall()};
    memcpy(stored.origin, ledger->origin, sizeof stored.origin);
    if (!status_check(&made->status, err) || !ledger_open_for_business(ledger, err)) return false;
    if (!rotate_fresh(ledger, &made->key.secret))
        return err_set(err, ERR_UNAVAILABLE, "the master key was rotated just now: try again");
    if (!store_signer_key_add(ledger->store, &stored, err) || !take_over(ledger, made, err)) return false;
    ledger->keys.created = stored.created;
    return true;
}

static void pair_made(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct signing *keys = &ledger->keys;
    struct err err = {0};
    keys->asked = false;
    bool ok = answer && length == sizeof(struct msg_signer_new_answer)
                  ? pair_taken(ledger, answer, &err)
                  : err_set(&err, ERR_UNAVAILABLE, "the vault makes no key now: it is restarting");
    if (!ok && err.kind == ERR_AUDIT && !ledger->sealed) ledger_seal(ledger, &err);
    if (!ok) {
        log_failure("signing-key", &err);
        roll_tell(ledger, &err);
        keys->wanted = false;
        keys->again_at = clock_now() + ASK_AGAIN_MS * CLOCK_MS;
    }
    ledger->sign.asked_at = 0;
    role_wake_at(ledger->role, clock_now() + CLOCK_MS);
}

static void ask_pair(struct ledger *ledger)
{
    struct signing *keys = &ledger->keys;
    struct msg_signer_new ask = {.under_next = ledger->rotating.under_next};
    struct waiting wait = {.done = pair_made, .until = clock_now() + 5 * CLOCK_S};
    struct err err = {0};
    memcpy(ask.origin, ledger->origin, sizeof ask.origin);
    if (keys->has) ask.old = keys->current, read_again(ledger, &ask.old);
    keys->asked = wait_ask(ledger, ROLE_VAULT, MSG_SIGNER_NEW, &ask, sizeof ask, &wait, &err);
    if (!keys->asked) keys->again_at = clock_now() + ASK_AGAIN_MS * CLOCK_MS;
}

/* ── when ──────────────────────────────────────────────────────────────────────────────────────────── */

/* The clock that counts is the wall's: a key is old when its day is over, also over a restart. */
static bool roll_due(const struct ledger *ledger)
{
    const struct signing *keys = &ledger->keys;
    if (keys->rolling || !ledger->sign.signed_size || ledger->sign.seq) return false;
    return keys->wanted || (ledger->limits.roll_period && clock_wall() >= keys->created + ledger->limits.roll_period);
}

uint64_t signer_tick(struct ledger *ledger)
{
    struct signing *keys = &ledger->keys;
    uint64_t now = clock_now();
    struct err err = {0};
    if (ledger->sealed || ledger->forked || !ledger->store || keys->missing || keys->asked) return 0;
    if (now < keys->again_at) return keys->again_at;
    keys->again_at = 0; /* a time that is over would wake the ledger at once, for ever */
    if (keys->destroy) {
        keys->destroy = !destroy_others(ledger, &err);
        if (keys->destroy && err.kind != ERR_BUSY) log_failure("signing-key", &err);
        if (keys->destroy) keys->again_at = now + ASK_AGAIN_MS * CLOCK_MS;
    }
    bool due = !keys->has ? journal_size(&ledger->journal) > 0 : roll_due(ledger);
    /* Not compared yet: under which master key the new one belongs. The vault's answer to that wakes the ledger. */
    if (due && ledger->rotating.checked) ask_pair(ledger);
    return keys->asked ? 0 : keys->again_at;
}

void signer_stored(struct ledger *ledger, uint64_t size)
{
    struct signing *keys = &ledger->keys;
    if (!keys->rolling || size != keys->roll_size) return;
    keys->current = keys->next;
    keys->rolling = keys->wanted = false;
    keys->destroy = true;
    keys->again_at = 0;
    log_event(LOG_LEVEL_INFO, "signing-key-rolled", log_number("size", size));
    signer_tick(ledger);
    roll_tell(ledger, NULL);
}
