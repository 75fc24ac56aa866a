/* SPDX-License-Identifier: Apache-2.0 */
/* Signed checkpoints: shown to the vault with a proof that they extend what it signed last, kept as C2SP notes. */
#include "checkpoint.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/origin.h"
#include "signer.h"

enum { SIGN_ENTRIES = 256, SIGN_SOON_MS = 100, SIGN_LATE_MS = 1000, SIGN_RETRY_MS = 1000, SIGN_TRIES = 3 };

/* ── what was signed before ────────────────────────────────────────────────────────────────────────────── */

static bool holds(struct ledger *ledger, uint64_t size, const uint8_t signed_root[HASH_BYTES])
{
    return journal_holds(&ledger->journal, size, signed_root);
}

void checkpoint_forked(struct ledger *ledger, const struct err *why)
{
    ledger->forked = true;
    ledger_seal(ledger, why);
}

static void fork_found(struct ledger *ledger, uint64_t signed_size)
{
    struct err err = {0};
    err_set(&err, ERR_AUDIT,
            "this log is not the one that was signed last: it has %llu entries, and %llu were signed with another "
            "content. data/audit.db is older than it was, or changed. Keep a copy of it; at the next start it is put "
            "aside and a new epoch of the log begins",
            (unsigned long long)ledger->journal.tree.size, (unsigned long long)signed_size);
    checkpoint_forked(ledger, &err);
}

void checkpoint_recall(struct ledger *ledger)
{
    struct ctl_witness last;
    int fd = ledger->role->given[GIVE_WITNESS];
    if (fd < 0) return;
    ssize_t got = pread(fd, &last, sizeof last, 0);
    close_fd(&ledger->role->given[GIVE_WITNESS]);
    /* Empty or damaged: the vault says so, and signs nothing. */
    if (got == (ssize_t)sizeof last && origin_valid(last.origin, sizeof last.origin)) ledger->witness = last;
}

bool checkpoint_continues(struct ledger *ledger, char why[ERR_TEXT])
{
    const struct ctl_witness *last = &ledger->witness;
    uint64_t size = ledger->journal.tree.size;
    if (last->size == 0 || holds(ledger, last->size, last->root)) return true;
    snprintf(
        why, ERR_TEXT,
        size < last->size
            ? "the log that was found has %llu entries, and %llu were signed: an older copy of it was put back"
            : "the log that was found has %llu entries, and of those the first %llu are not those that were signed",
        (unsigned long long)size, (unsigned long long)last->size);
    return false;
}

/* Would the vault let the key whose turn it is sign what comes next? It goes by what the parent wrote down. */
bool checkpoint_key_fits(const struct ledger *ledger, char why[ERR_TEXT])
{
    const struct ctl_witness *last = &ledger->witness;
    const struct signing *keys = &ledger->keys;
    const uint8_t *key = keys->current.public;
    uint64_t size = keys->rolling ? keys->roll_size : ledger->journal.tree.size;
    bool again = size == last->size && ledger->sign.signed_size < last->size;
    if (!keys->has || !ledger->sign.signed_size) return true; /* the first that is signed of this log */
    if (last->size) {
        if (strcmp(last->origin, ledger->origin) == 0 &&
            memcmp(key, again ? last->signed_by : last->key, sizeof keys->current.public) == 0)
            return true;
        snprintf(why, ERR_TEXT,
                 "the key whose turn it is to sign the log is not the one that was written down "
                 "(witness/checkpoint): data/ and witness/ are not of one time");
        return false;
    }
    static const uint8_t none[sizeof keys->current.after];
    if (memcmp(keys->current.after, none, sizeof none) == 0) return true;
    snprintf(why, ERR_TEXT,
             "nothing is written down about this log (witness/checkpoint), as after a restore, and its "
             "signing key is not its first: nobody knows whether it is the newest copy");
    return false;
}

/* The key of a verifier key's text: behind the name, its hash and a plus sign each. */
static bool key_of(const char *vkey, uint8_t key[32])
{
    enum { HASH_TOO = 1 + 8 + 1 };
    size_t name = strcspn(vkey, "+"), length = 0;
    const char *text = vkey + name + HASH_TOO;
    uint8_t typed[33];
    if (strlen(vkey) < name + HASH_TOO ||
        sodium_base642bin(typed, sizeof typed, text, strlen(text), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) < 0 ||
        length != sizeof typed)
        return false;
    memcpy(key, typed + 1, 32);
    return true;
}

/* Where nobody else's word is left, the log's own: its newest checkpoint. */
bool checkpoint_own_word(struct ledger *ledger, struct err *err)
{
    struct ctl_witness *last = &ledger->witness;
    struct store_signer rows[2];
    unsigned count;
    if (last->size) return true;
    if (!store_signers(ledger->store, rows, &count, err)) return false;
    unsigned now = ledger->keys.rolling ? 1 : 0; /* which of the two has the word */
    if (count <= now || !key_of(rows[now].vkey, last->key))
        return err_set(err, ERR_AUDIT, "data/audit.db does not say which key signed it last: put back a good copy");
    memcpy(last->origin, ledger->origin, sizeof last->origin);
    return store_checkpoint_last(ledger->store, &last->size, last->root, NULL, err);
}

/* ── asking ────────────────────────────────────────────────────────────────────────────────────────── */

bool checkpoint_open(struct ledger *ledger, struct err *err)
{
    tree_hash root;
    if (!store_checkpoint_last(ledger->store, &ledger->sign.signed_size, root, NULL, err)) return false;
    ledger->sign.vault_size = ledger->sign.signed_size;
    return true;
}

void checkpoint_forget(struct ledger *ledger)
{
    ledger->sign.seq = 0;
    ledger->sign.vault_size = ledger->sign.signed_size;
    ledger->sign.retries = 0;
}

struct last_entry {
    struct msg_sign *ask;
    bool fits;
};

static bool take_entry(void *context, const struct store_entry *entry)
{
    struct last_entry *last = context;
    last->fits = entry->body && entry->length <= LAST_ENTRY;
    if (last->fits) memcpy(last->ask->entry, entry->body, entry->length);
    last->ask->entry_length = last->fits ? (uint32_t)entry->length : 0;
    return false;
}

/* Rolls and epochs: the vault wants to see the entry that says so, and that it is the last. */
static bool show_entry(struct ledger *ledger, struct msg_sign *ask)
{
    struct journal *journal = &ledger->journal;
    struct last_entry last = {.ask = ask};
    struct err ignored;
    unsigned count = 0;
    tree_hash path[TREE_PROOF];
    if (!store_entries(ledger->store, ask->size - 1, 1, take_entry, &last, &ignored) || !last.fits ||
        !tree_inclusion(&journal->tree, ask->size - 1, ask->size, journal_tiles, journal, path, &count))
        return false;
    ask->path_count = count;
    memcpy(ask->path, path, count * sizeof *path);
    return true;
}

/* All there is; of a roll, what ends with its entry; of a new epoch, its first entry. */
static bool build(struct ledger *ledger, struct msg_sign *ask)
{
    struct journal *journal = &ledger->journal;
    tree_hash proof[TREE_PROOF];
    unsigned count = 0;
    bool first = ledger->epoch && ledger->sign.vault_size == 0;
    memcpy(ask->origin, ledger->origin, sizeof ask->origin);
    ask->size = first ? 1 : journal->tree.size;
    ask->old_size = ledger->sign.vault_size;
    if (!signer_turn(ledger, &ask->signer, &ask->next, &ask->size) ||
        !tree_root_at(&journal->tree, ask->size, journal_tiles, journal, ask->root) ||
        !tree_consistency(&journal->tree, ask->old_size, ask->size, journal_tiles, journal, proof, &count))
        return false;
    ask->proof_count = count;
    memcpy(ask->proof, proof, count * sizeof *proof);
    return (!first && !ledger->keys.rolling) || show_entry(ledger, ask);
}

static void signed_answer(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length);

static void ask_vault(struct ledger *ledger)
{
    struct msg_sign *ask = calloc(1, sizeof *ask);
    struct waiting wait = {.done = signed_answer, .until = clock_now() + 5 * CLOCK_S};
    struct err err = {0};
    ledger->sign.asked_at = clock_now();
    if (ask && build(ledger, ask) && wait_ask(ledger, ROLE_VAULT, MSG_SIGN, ask, sizeof *ask, &wait, &err)) {
        ledger->sign.seq = ledger->next_seq;
        ledger->sign.size = ask->size;
    } else {
        ledger->sign.retries++;
        if (err.kind == ERR_NONE) err_set(&err, ERR_INTERNAL, "a checkpoint's proof cannot be made");
        checkpoint_tell(ledger, &err);
    }
    free(ask);
}

static uint64_t due_at(struct ledger *ledger)
{
    uint64_t new = ledger->journal.tree.size - ledger->sign.signed_size;
    if (new == 0 || ledger->forked || ledger->sealed || ledger->sign.seq) return 0;
    if (!ledger->sign.first_new) ledger->sign.first_new = clock_now();
    if (!ledger->keys.has) return 0; /* it is being made, and the waiting counts from the first entry */
    uint64_t retry = ledger->sign.asked_at + (ledger->sign.retries ? SIGN_RETRY_MS : SIGN_SOON_MS) * CLOCK_MS;
    bool first = ledger->sign.signed_size == 0; /* so that the log's key is published, and nothing of it is unsigned long */
    if ((ledger->sign.urgent || ledger->keys.rolling || first) && !ledger->sign.retries) return clock_now();
    uint64_t due = new >= SIGN_ENTRIES ? ledger->sign.first_new : ledger->sign.first_new + SIGN_LATE_MS *CLOCK_MS;
    return due > retry ? due : retry;
}

uint64_t checkpoint_tick(struct ledger *ledger)
{
    uint64_t due = due_at(ledger);
    if (!due || clock_now() < due) return due;
    ask_vault(ledger);
    return ledger->sign.seq ? 0 : clock_now() + SIGN_RETRY_MS * CLOCK_MS;
}

/* ── the answer ────────────────────────────────────────────────────────────────────────────────────── */

static bool keep_note(struct ledger *ledger, const struct msg_sign_answer *answer, uint64_t size, struct err *err)
{
    BUF_AUTO note = {.max = NOTE_MAX};
    tree_hash root;
    if (!tree_root_at(&ledger->journal.tree, size, journal_tiles, &ledger->journal, root) ||
        !note_sign(ledger->origin, size, root, answer->key, answer->signature, &note))
        return err_set(err, ERR_INTERNAL, "a checkpoint cannot be written");
    if (journal_begin(&ledger->journal, err) &&
        store_checkpoint_add(ledger->store, size, root, &note, clock_wall(), err) &&
        journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    if (err->kind == ERR_AUDIT) ledger_seal(ledger, err);
    return false;
}

/* The vault signed something newer than we believe: fine when this log holds exactly that, the end when it does not. */
static void compare(struct ledger *ledger, const struct msg_sign_answer *answer)
{
    if (holds(ledger, answer->last_size, answer->last_root) && ++ledger->sign.retries <= SIGN_TRIES) {
        ledger->sign.vault_size = answer->last_size;
        ledger->sign.asked_at = 0;
        return;
    }
    fork_found(ledger, answer->last_size);
}

static void signed_now(struct ledger *ledger, uint64_t size)
{
    ledger->sign.signed_size = ledger->sign.vault_size = size;
    ledger->sign.first_new = 0;
    ledger->sign.retries = 0;
    ledger->sign.urgent = false;
    ledger->sign.refused[0] = '\0';
    signer_stored(ledger, size);
}

/* No matter of moments: what is recorded now would stay unsigned, and nobody could tell it from what was made up. */
static void refused_now(struct ledger *ledger, const struct err *why)
{
    bool passes = why->kind == ERR_UNAVAILABLE || why->kind == ERR_BUSY;
    if (passes || ledger->sign.retries < SIGN_TRIES) return;
    if (!ledger->sign.refused[0]) log_failure("log-not-signed", why);
    snprintf(ledger->sign.refused, sizeof ledger->sign.refused, "%s%s", why->text,
             why->kind == ERR_DENIED ? ". Restart the daemon; if that changes nothing, put back witness/ and data/ of one time"
                                     : "");
}

bool checkpoint_admits(const struct ledger *ledger, struct err *err)
{
    return !ledger->sign.refused[0] ||
           err_set(err, ERR_UNAVAILABLE, "nothing runs while new entries of the log are not signed: %s",
                   ledger->sign.refused);
}

static void signed_answer(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct msg_sign_answer *got = answer;
    struct err err = {0};
    uint64_t size = ledger->sign.size;
    ledger->sign.seq = 0;
    if (ledger->sealed) { /* the log is not to be touched; it asks again when that is over */
        checkpoint_tell(ledger, NULL);
        return;
    }
    if (!got || length != sizeof *got)
        err_set(&err, ERR_UNAVAILABLE, "the vault does not sign now: it is restarting");
    else if (!status_check(&got->status, &err) && err.kind == ERR_STATE)
        compare(ledger, got);
    else if (err.kind == ERR_NONE && keep_note(ledger, got, size, &err))
        signed_now(ledger, size);
    if (err.kind != ERR_NONE && err.kind != ERR_STATE) {
        ledger->sign.retries++;
        log_failure("checkpoint", &err);
        refused_now(ledger, &err);
    }
    checkpoint_tell(ledger, err.kind != ERR_NONE && err.kind != ERR_STATE ? &err : NULL);
    role_wake_at(ledger->role, clock_now() + CLOCK_MS);
}

/* ── at a clean stop ───────────────────────────────────────────────────────────────────────────────── */

/* The loop is over; a last checkpoint is worth half a second of waiting. */
void checkpoint_last(struct ledger *ledger)
{
    static struct wire_frame frame;
    struct role_line *vault = role_line_to(ledger->role, ROLE_VAULT);
    uint64_t until = clock_now() + CLOCK_S / 2;
    if (!vault || ledger->sealed || ledger->forked || ledger->journal.tree.size == ledger->sign.signed_size) return;
    if (!ledger->sign.seq && ledger->keys.has) ask_vault(ledger);
    while (ledger->sign.seq && wire_wait(vault->fd, until)) {
        enum wire_got got = wire_take(vault->fd, &frame);
        if (got == WIRE_GONE) return;
        struct msg_head head;
        if (got != WIRE_FRAME || frame.length < sizeof head) continue;
        memcpy(&head, frame.bytes, sizeof head);
        struct role_message message = {
            .head = head, .body = frame.bytes + sizeof head, .length = frame.length - sizeof head, .frame = &frame};
        if (head.type == MSG_SIGN_ANSWER && head.seq == ledger->sign.seq) on_answer(ledger->role, vault, &message);
        wire_drop(&frame);
    }
}
