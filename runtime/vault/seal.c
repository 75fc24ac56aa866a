/* SPDX-License-Identifier: Apache-2.0 */
/* Storing: a new workspace's keys, a submission sealed again field by field, a stored answer's key. Nothing plain
 * leaves but the key of one answer, which the ledger hands to the caller whose answer it is. */
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "vault.h"

/* ── workspaces ────────────────────────────────────────────────────────────────────────────────────── */

void vault_on_workspace_key(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct key_store *store = vault->keys.store;
    const struct msg_workspace_key *ask = message->body;
    struct msg_workspace_key_answer answer = {.status = status_ok()};
    struct key_context workspace = {.purpose = FOR_WORKSPACE_KEY, .workspace = ask->workspace};
    struct key_context secret = {.purpose = FOR_ANSWER_SECRET, .workspace = ask->workspace};
    struct err err;
    if (ask->under_next && !vault->keys.has_next) {
        err_set(&err, ERR_STATE, "the vault does not hold the next master key");
        status_set(&answer.status, &err);
        role_send(role, line, MSG_WORKSPACE_KEY_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
        return;
    }
    randombytes_buf(store->work.workspace, KEY_BYTES);
    crypto_box_keypair(answer.answer_public, store->work.answer);
    key_wrap(ask->under_next ? store->next.wrapping : store->wrapping, &workspace, store->work.workspace,
             &answer.workspace_key);
    key_wrap(store->work.workspace, &secret, store->work.answer, &answer.answer_secret);
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_WORKSPACE_KEY_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── credentials ───────────────────────────────────────────────────────────────────────────────────── */

/* What a box may have been sealed to. */
struct box_key {
    uint8_t id[SUBMISSION_KEY_ID];
    const uint8_t *public, *secret;
    uint64_t not_after; /* seconds since 1970, 0: no end */
};
enum { LASTING = 3 };

static struct box_key box_key(const uint8_t *public, const uint8_t *secret)
{
    struct box_key key = {.public = public, .secret = secret};
    key_id_public(public, key.id);
    return key;
}

/* While the master key changes, vault.pub does: what was sealed to the one before or after it counts as well. */
static unsigned lasting_keys(const struct keys *keys, struct box_key list[LASTING])
{
    unsigned count = 0;
    list[count++] = box_key(keys->submission_public, keys->store->submission);
    if (keys->has_next) list[count++] = box_key(keys->next_public, keys->store->next.submission);
    if (clock_wall() / CLOCK_S < keys->former_until)
        list[count++] = box_key(keys->former_public, keys->store->former_submission);
    return count;
}

static bool open_with(struct keys *keys, const struct msg_seal *ask, const struct box_key *key)
{
    return crypto_box_seal_open((uint8_t *)&keys->store->work.submission, ask->box, ask->box_length, key->public,
                                key->secret) == 0;
}

/* Without a word about the key it was one of vault.pub. */
static bool open_lasting(struct keys *keys, const struct msg_seal *ask, struct box_key *key, struct err *err)
{
    static const uint8_t unsaid[SUBMISSION_KEY_ID];
    struct box_key list[LASTING];
    unsigned count = lasting_keys(keys, list);
    bool said = memcmp(ask->key_id, unsaid, sizeof unsaid) != 0;
    for (unsigned i = 0; i < count; i++) {
        if (said && memcmp(ask->key_id, list[i].id, sizeof list[i].id) != 0) continue;
        if (!open_with(keys, ask, &list[i])) continue;
        *key = list[i];
        return true;
    }
    return err_set(err, ERR_BAD_INPUT, "the submission was not sealed to this daemon's keys/vault.pub, or was damaged");
}

static bool open_offered(struct vault *vault, const struct msg_seal *ask, const struct offer *offer,
                         const uint8_t *secret, struct box_key *key, struct err *err)
{
    *key = box_key(offer->public, secret);
    key->not_after = offer->not_after;
    return open_with(&vault->keys, ask, key) ||
           err_set(err, ERR_BAD_INPUT, "the submission was not sealed to this daemon's key of that kid, or was damaged");
}

static bool known(const struct keys *keys, const uint8_t key_id[SUBMISSION_KEY_ID])
{
    static const uint8_t unsaid[SUBMISSION_KEY_ID];
    struct box_key list[LASTING];
    unsigned count = lasting_keys(keys, list);
    for (unsigned i = 0; i < count; i++)
        if (memcmp(key_id, list[i].id, sizeof list[i].id) == 0) return true;
    return memcmp(key_id, unsaid, sizeof unsaid) == 0;
}

static bool open_box(struct vault *vault, const struct msg_seal *ask, struct err *err)
{
    const struct submission *submission = &vault->keys.store->work.submission;
    struct box_key key;
    const uint8_t *secret;
    const struct offer *offer = offer_find(&vault->offers, &vault->keys, ask->key_id, clock_wall() / CLOCK_S, &secret);
    if (!offer && !known(&vault->keys, ask->key_id))
        return err_set(err, ERR_STATE,
                       "the submission was sealed to a key that the vault does not have any more: fetch "
                       "/v1/submission-key and seal it again");
    if (ask->box_length != sizeof *submission + crypto_box_SEALBYTES)
        return err_set(err, ERR_MALFORMED, "the submission does not have its size");
    if (offer ? !open_offered(vault, ask, offer, secret, &key, err) : !open_lasting(&vault->keys, ask, &key, err))
        return false;
    if (memcmp(submission->key_id, key.id, sizeof key.id) != 0)
        return err_set(err, ERR_BAD_INPUT, "the submission names another key than the one that it is sealed to");
    if (key.not_after && submission->issued_at > key.not_after)
        return err_set(err, ERR_STATE, "the submission was sealed after its key's time: fetch /v1/submission-key again");
    return true;
}

static void audience_hash(const char *audience, uint8_t digest[HASH_BYTES])
{
    static const uint8_t tag[] = "caisson audience 1\n";
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&state, tag, sizeof tag - 1);
    crypto_generichash_update(&state, (const uint8_t *)audience, strnlen(audience, AUDIENCE_MAX));
    crypto_generichash_final(&state, digest, HASH_BYTES);
}

static bool seal_fields(struct key_store *store, const struct msg_seal *ask, struct msg_seal_answer *answer,
                        struct err *err)
{
    const struct submission *submission = &store->work.submission;
    struct key_context context = {.purpose = ask->kind == CREDENTIAL_OAUTH2 ? FOR_GRANT_FIELD : FOR_FIELD,
                                  .workspace = ask->workspace,
                                  .credential = ask->credential,
                                  .version = ask->version,
                                  .audience = answer->audience_digest};
    size_t used = 0;
    for (uint32_t i = 0; i < submission->field_count; i++) {
        struct sealed_field *field = &answer->fields[i];
        size_t length = submission->fields[i].length, size = field_sealed_size(length);
        if (size > SEALED_MAX - used) return err_set(err, ERR_TOO_LARGE, "the credential's fields are too large");
        context.field = submission->fields[i].name;
        memcpy(field->name, submission->fields[i].name, NAME_BYTES);
        field->offset = (uint32_t)used;
        field->length = (uint32_t)size;
        if (!field_seal(store->work.credential, &context, submission->bytes + submission->fields[i].offset, length,
                        store->work.padded, answer->bytes + used))
            return err_set(err, ERR_TOO_LARGE, "a field is too large");
        used += size;
    }
    answer->field_count = submission->field_count;
    return true;
}

static bool seal(struct vault *vault, const struct msg_seal *ask, struct msg_seal_answer *answer, struct err *err)
{
    struct key_store *store = vault->keys.store;
    struct key_context context = {.purpose = FOR_CREDENTIAL_KEY,
                                  .workspace = ask->workspace,
                                  .credential = ask->credential,
                                  .version = ask->version};
    if (ask->version == 0) return err_set(err, ERR_PROTOCOL, "a credential's versions start at 1");
    if (!keys_open_workspace(&vault->keys, ask->workspace, &ask->workspace_key, store->work.workspace, err) ||
        !open_box(vault, ask, err) || !submission_check(&store->work.submission, ask, err) ||
        !submission_fresh(&vault->submissions, &store->work.submission, clock_wall() / CLOCK_S, err))
        return false;
    randombytes_buf(store->work.credential, KEY_BYTES);
    audience_hash(store->work.submission.audience, answer->audience_digest);
    key_wrap(store->work.workspace, &context, store->work.credential, &answer->credential_key);
    return seal_fields(store, ask, answer, err);
}

void vault_on_seal(struct role *role, struct role_line *line, const struct role_message *message)
{
    static struct msg_seal_answer answer; /* ciphertext only */
    struct vault *vault = role->state;
    struct err err;
    memset(&answer, 0, sizeof answer);
    if (!seal(vault, message->body, &answer, &err)) {
        memset(&answer, 0, sizeof answer);
        err_in(&err, "storing the credential");
        status_set(&answer.status, &err);
    }
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_SEAL_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── stored answers ────────────────────────────────────────────────────────────────────────────────── */

static bool open_key(struct keys *keys, const struct msg_open_key *ask, struct err *err)
{
    struct key_store *store = keys->store;
    _Static_assert(SEALED_KEY == KEY_BYTES + crypto_box_SEALBYTES, "an answer's key has a fixed size");
    struct key_context context = {.purpose = FOR_ANSWER_SECRET, .workspace = ask->workspace};
    if (!keys_open_workspace(keys, ask->workspace, &ask->workspace_key, store->work.workspace, err) ||
        !key_unwrap(store->work.workspace, &context, &ask->answer_secret, store->work.answer, err))
        return false;
    if (crypto_box_seal_open(store->work.opened, ask->sealed_key, SEALED_KEY, ask->answer_public, store->work.answer) !=
        0)
        return err_set(err, ERR_STATE, "the stored answer's key is damaged or was sealed for another workspace");
    return true;
}

void vault_on_open_key(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct msg_open_key_answer answer = {.status = status_ok()};
    struct err err;
    if (open_key(&vault->keys, message->body, &err))
        memcpy(answer.key, vault->keys.store->work.opened, KEY_BYTES);
    else
        err_in(&err, "opening a stored answer"), status_set(&answer.status, &err);
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_OPEN_KEY_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
    sodium_memzero(&answer, sizeof answer);
}
