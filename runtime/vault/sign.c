/* SPDX-License-Identifier: Apache-2.0 */
/* Signing checkpoints. The parent writes each one down, where the ledger cannot write, before the signature leaves:
 * so neither a taken-over ledger nor a restart can get two histories signed. */
#include "sign.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/origin.h"
#include "signer.h"
#include "vault.h"

static const uint64_t parent_patience = 5 * CLOCK_S;

/* ── RFC 6962 ──────────────────────────────────────────────────────────────────────────────────────── */

void node_hash(const uint8_t left[HASH_BYTES], const uint8_t right[HASH_BYTES], uint8_t hash[HASH_BYTES])
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)"\x01", 1);
    crypto_hash_sha256_update(&state, left, HASH_BYTES);
    crypto_hash_sha256_update(&state, right, HASH_BYTES);
    crypto_hash_sha256_final(&state, hash);
}

/* Walks up from the last leaf of the old tree (RFC 9162 §2.1.4.2): both roots are rebuilt from the same hashes. */
static bool walk(uint64_t old_last, uint64_t last, uint8_t old_hash[HASH_BYTES], uint8_t hash[HASH_BYTES],
                 const uint8_t (*proof)[HASH_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (last == 0) return false;
        if ((old_last & 1) || old_last == last) {
            node_hash(proof[i], old_hash, old_hash);
            node_hash(proof[i], hash, hash);
            while (!(old_last & 1) && old_last) old_last >>= 1, last >>= 1;
        } else {
            node_hash(hash, proof[i], hash);
        }
        old_last >>= 1;
        last >>= 1;
    }
    return last == 0;
}

static void empty_root(uint8_t root[HASH_BYTES])
{
    crypto_hash_sha256(root, (const uint8_t *)"", 0);
}

bool consistent(uint64_t old_size, const uint8_t old_root[HASH_BYTES], uint64_t size, const uint8_t root[HASH_BYTES],
                const uint8_t (*proof)[HASH_BYTES], size_t count)
{
    uint8_t old_hash[HASH_BYTES], hash[HASH_BYTES];
    if (old_size == 0 || size < old_size) return false; /* from nothing there is nothing to be consistent with */
    if (size == old_size) return count == 0 && memcmp(old_root, root, HASH_BYTES) == 0;
    uint64_t old_last = old_size - 1, last = size - 1;
    while (old_last & 1) old_last >>= 1, last >>= 1;
    bool whole = (old_size & (old_size - 1)) == 0; /* the old tree is one of the new tree's own nodes */
    if (!whole && count == 0) return false;
    memcpy(hash, whole ? old_root : proof[0], HASH_BYTES);
    memcpy(old_hash, hash, HASH_BYTES);
    if (!walk(old_last, last, old_hash, hash, proof + (whole ? 0 : 1), count - (whole ? 0 : 1))) return false;
    return memcmp(old_hash, old_root, HASH_BYTES) == 0 && memcmp(hash, root, HASH_BYTES) == 0;
}

size_t checkpoint_text(const char *origin, uint64_t size, const uint8_t root[HASH_BYTES], char text[CHECKPOINT_TEXT])
{
    char base64[sodium_base64_ENCODED_LEN(HASH_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    sodium_bin2base64(base64, sizeof base64, root, HASH_BYTES, sodium_base64_VARIANT_ORIGINAL);
    return (size_t)snprintf(text, CHECKPOINT_TEXT, "%.127s\n%llu\n%s\n", origin, (unsigned long long)size, base64);
}

/* ── what was signed last ──────────────────────────────────────────────────────────────────────────── */

/* Its parts were written together: the first key's text holds the log's name, and a hash over both. */
static bool names_itself(const struct ctl_witness *last)
{
    char name[ORIGIN_BYTES];
    uint8_t key[KEY_BYTES];
    struct err ignored;
    return memchr(last->first_vkey, '\0', sizeof last->first_vkey) &&
           vkey_parse(last->first_vkey, name, key, &ignored) && strcmp(name, last->origin) == 0;
}

bool signer_open(struct signer *signer, int fd, struct err *err)
{
    struct stat file;
    *signer = (struct signer){0};
    empty_root(signer->last.root);
    if (fd < 0 || (fstat(fd, &file) == 0 && file.st_size == 0)) return true;
    struct ctl_witness last;
    if (pread(fd, &last, sizeof last, 0) != (ssize_t)sizeof last || !origin_valid(last.origin, sizeof last.origin) ||
        !names_itself(&last))
        return err_set(err, ERR_STATE,
                       "the last checkpoint that was written down (witness/checkpoint) is damaged: put back the newest "
                       "copy of witness/; without one, move it aside");
    signer->last = last;
    return true;
}

/* ── signing ───────────────────────────────────────────────────────────────────────────────────────── */

static void answer_sign(struct role *role, struct role_line *line, uint32_t seq, const struct err *err,
                        const uint8_t signature[crypto_sign_BYTES])
{
    const struct vault *vault = role->state;
    struct msg_sign_answer answer = {.status = status_ok(), .last_size = vault->signer.last.size};
    memcpy(answer.last_root, vault->signer.last.root, HASH_BYTES);
    if (signature) {
        memcpy(answer.key, vault->signer.by.public, sizeof answer.key);
        memcpy(answer.signature, signature, sizeof answer.signature);
    } else {
        status_set(&answer.status, err);
    }
    role_send(role, line, MSG_SIGN_ANSWER, seq, &answer, sizeof answer, NULL, 0);
}

static bool zeros(const uint8_t key[32])
{
    return sodium_is_zero(key, 32);
}

/* One key from the first tree on, until it lets another take over. */
static bool check_key(const struct ctl_witness *last, const struct msg_sign *ask, struct err *err)
{
    bool again = *last->origin && ask->size == last->size;
    const uint8_t *allowed = again ? last->signed_by : last->key;
    bool good = *last->origin ? memcmp(ask->signer.public, allowed, 32) == 0 : zeros(ask->signer.after);
    if (!good) return err_set(err, ERR_DENIED, "this is not the key whose turn it is to sign the log");
    if (zeros(ask->next.public) || (again && memcmp(ask->next.public, last->key, 32) == 0)) return true;
    if (again || memcmp(ask->next.after, ask->signer.public, 32) != 0 || !entry_is_last(ask) ||
        !entry_says_roll(ask, ask->signer.public, ask->next.public))
        return err_set(err, ERR_DENIED, "the log's last entry does not say that this key takes over");
    return true;
}

/* After a log that was signed comes its next epoch or nothing; its first entry says what came before. */
static bool check_epoch(const struct ctl_witness *last, const struct msg_sign *ask, struct err *err)
{
    char next[ORIGIN_BYTES];
    if (!origin_next(last->origin, next) || strcmp(next, ask->origin) != 0)
        return err_set(err, ERR_STATE, "another log (%s) was signed under this key before", last->origin);
    if (ask->old_size || ask->size != 1 || ask->proof_count || !zeros(ask->next.public) || !zeros(ask->signer.after) ||
        !entry_is_last(ask) || !entry_says_epoch(ask, last))
        return err_set(err, ERR_DENIED, "the first entry of this log does not name what was signed before it");
    return true;
}

static bool check_growth(const struct ctl_witness *last, const struct msg_sign *ask, struct err *err)
{
    if (ask->size < last->size)
        return err_set(err, ERR_STATE, "the log is shorter than what was signed: entries are missing from its end");
    if (ask->old_size != last->size)
        return err_set(err, ERR_STATE, "the proof starts at another size than what was signed last");
    bool first = last->size == 0 && ask->proof_count == 0 &&
                 (ask->size > 0 || memcmp(ask->root, last->root, HASH_BYTES) == 0);
    if (!first && !consistent(last->size, last->root, ask->size, ask->root, ask->proof, ask->proof_count))
        return err_set(err, ERR_STATE, "the log is not a continuation of what was signed last");
    return true;
}

static bool check_request(struct vault *vault, const struct msg_sign *ask, struct err *err)
{
    const struct ctl_witness *last = &vault->signer.last;
    if (!origin_valid(ask->origin, sizeof ask->origin) || ask->proof_count > PROOF_HASHES ||
        ask->path_count > PROOF_HASHES)
        return err_set(err, ERR_PROTOCOL, "the request to sign is not well formed");
    bool other = *last->origin && strcmp(last->origin, ask->origin) != 0;
    if (other ? !check_epoch(last, ask, err) : !check_growth(last, ask, err) || !check_key(last, ask, err))
        return false;
    /* Both are the vault's own, or nothing is written down. */
    bool own = signer_unwrap(&vault->keys, ask->origin, &ask->signer, err) &&
               (zeros(ask->next.public) || signer_unwrap(&vault->keys, ask->origin, &ask->next, err));
    keys_wipe(&vault->keys);
    return own;
}

/* true: the parent has been asked; its word decides. */
static bool ask_parent(struct role *role, struct vault *vault, const struct msg_sign *ask, struct err *err)
{
    struct signer *signer = &vault->signer;
    struct ctl_witness next = {.size = ask->size};
    bool goes_on = strcmp(signer->last.origin, ask->origin) == 0;
    const struct signer_key *now = zeros(ask->next.public) ? &ask->signer : &ask->next;
    bool again = goes_on && signer->last.size == ask->size; /* who signs from here on was decided then */
    memcpy(next.origin, ask->origin, strlen(ask->origin) + 1);
    memcpy(next.root, ask->root, HASH_BYTES);
    memcpy(next.key, again ? signer->last.key : now->public, sizeof next.key);
    memcpy(next.signed_by, ask->signer.public, sizeof next.signed_by);
    if (goes_on)
        memcpy(next.first_vkey, signer->last.first_vkey, sizeof next.first_vkey);
    else
        vkey_text(next.origin, ask->signer.public, next.first_vkey);
    signer->next = next;
    signer->by = ask->signer;
    if (!role_send(role, &role->control, CTL_WITNESS, ++signer->ask, &next, sizeof next, NULL, 0))
        return err_set(err, ERR_UNAVAILABLE, "the checkpoint cannot be written down at the moment");
    return true;
}

/* It follows nothing but the key whose turn it is. */
static bool make_signer(struct vault *vault, const struct msg_signer_new *ask, struct msg_signer_new_answer *answer,
                        struct err *err)
{
    const struct ctl_witness *last = &vault->signer.last;
    if (!origin_valid(ask->origin, sizeof ask->origin)) return err_set(err, ERR_PROTOCOL, "the log's name is not one");
    if (ask->under_next && !vault->keys.has_next)
        return err_set(err, ERR_UNAVAILABLE, "the vault does not hold the next master key");
    signer_make(&vault->keys, ask->origin, ask->old.public, ask->under_next, &answer->key);
    if (zeros(ask->old.public)) return true;
    if (strcmp(last->origin, ask->origin) != 0 || memcmp(last->key, ask->old.public, sizeof last->key) != 0)
        return err_set(err, ERR_DENIED, "this is not the key whose turn it is to sign the log");
    return signer_vouch(&vault->keys, ask->origin, &ask->old, answer->key.public, answer->sign, err);
}

void vault_on_signer_new(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct msg_signer_new_answer answer = {.status = status_ok()};
    struct err err;
    if (!make_signer(vault, message->body, &answer, &err)) {
        answer = (struct msg_signer_new_answer){0};
        status_set(&answer.status, &err);
    }
    role_send(role, line, MSG_SIGNER_NEW_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

void vault_on_sign(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct signer *signer = &vault->signer;
    struct err err;
    bool stale = signer->waiting && (signer->generation != line->generation || signer->deadline <= clock_now());
    if (stale) signer->waiting = false; /* nobody waits for that one any more */
    bool good = signer->waiting
                    ? err_set(&err, ERR_BUSY, "another checkpoint is being signed")
                    : check_request(vault, message->body, &err) && ask_parent(role, vault, message->body, &err);
    if (!good) return answer_sign(role, line, message->head.seq, &err, NULL);
    signer->waiting = true;
    signer->seq = message->head.seq;
    signer->generation = line->generation;
    signer->deadline = clock_now() + parent_patience;
}

/* The parent has it on disk, or could not write it. Only now does `last` move, and only now is anything signed. */
void vault_on_witnessed(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct signer *signer = &vault->signer;
    const struct ctl_witnessed *witnessed = message->body;
    struct role_line *ledger = role_line_to(role, ROLE_LEDGER);
    uint8_t signature[crypto_sign_BYTES];
    char text[CHECKPOINT_TEXT];
    struct err err;
    (void)line;
    if (!signer->waiting || message->head.seq != signer->ask) return;
    signer->waiting = false;
    bool good = status_check(&witnessed->status, &err);
    if (good) signer->last = signer->next;
    if (!ledger || ledger->generation != signer->generation) return;
    if (!good || !signer_unwrap(&vault->keys, signer->last.origin, &signer->by, &err)) {
        keys_wipe(&vault->keys);
        return answer_sign(role, ledger, signer->seq, &err, NULL);
    }
    size_t length = checkpoint_text(signer->last.origin, signer->last.size, signer->last.root, text);
    crypto_sign_detached(signature, NULL, (const uint8_t *)text, length, vault->keys.store->work.signer);
    keys_wipe(&vault->keys);
    answer_sign(role, ledger, signer->seq, NULL, signature);
}
