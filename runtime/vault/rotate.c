/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation: keys go under newer keys, and values under fresh data keys, without anything plain leaving. The ledger says
 * which; what a key is bound to is opened and bound again as it was, so that nothing changes its place. */
#include <sodium.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "vault.h"

/* ── the master keys ───────────────────────────────────────────────────────────────────────────────── */

static void take_next(struct vault *vault, int fd)
{
    struct err err;
    if (keys_open_next(&vault->keys, fd, &err)) {
        log_event(LOG_LEVEL_INFO, "next-master-key-taken");
        return;
    }
    err_in(&err, "keys/master.key.next");
    log_failure("next-master-key-refused", &err);
}

/* The file that is keys/master.key now. */
static void take_over(struct role *role, int fd)
{
    struct vault *vault = role->state;
    struct err err;
    bool next;
    if (!keys_is_next(&vault->keys, fd, &next, &err)) {
        err_in(&err, "keys/master.key");
        log_failure("master-key-refused", &err);
        return;
    }
    if (!next) return;
    release_rewrap(&vault->release, &vault->keys);
    keys_promote(&vault->keys, clock_wall() / CLOCK_S);
    offers_sign(&vault->offers, &vault->keys);
    role_wake_at(role, clock_now() + CLOCK_S); /* the one before has an end */
    log_event(LOG_LEVEL_INFO, "master-key-replaced");
}

void vault_given(struct role *role, enum give_kind kind, uint32_t index)
{
    struct vault *vault = role->state;
    (void)index;
    if (kind != GIVE_KEY && kind != GIVE_KEY_NEXT) return;
    if (kind == GIVE_KEY_NEXT)
        take_next(vault, role->given[kind]);
    else
        take_over(role, role->given[kind]);
    close_fd(&role->given[kind]);
}

void vault_on_keys(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct msg_keys_answer answer = {.status = status_ok()};
    keys_marks(&vault->keys, &answer.now, &answer.next);
    role_send(role, line, MSG_KEYS_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── keys under newer keys ─────────────────────────────────────────────────────────────────────────── */

/* What each kind is bound to: the purpose decides, so that one kind never passes for another. */
static const struct {
    const char *purpose;
    bool of_workspace; /* under a workspace's key; else under the master key's */
    bool of_credential;
} kinds[REWRAP_KINDS] = {
    [REWRAP_WORKSPACE_KEY] = {FOR_WORKSPACE_KEY, false, false},
    [REWRAP_CREDENTIAL_KEY] = {FOR_CREDENTIAL_KEY, true, true},
    [REWRAP_ANSWER_SECRET] = {FOR_ANSWER_SECRET, true, false},
    [REWRAP_SIGNER] = {FOR_SIGNER, false, false},
    [REWRAP_SUBJECT_KEY] = {FOR_SUBJECT_KEY, true, true},
};

static struct key_context context_of(const struct msg_rewrap *ask, const struct rewrap_item *item)
{
    struct key_context context = {.purpose = kinds[ask->kind].purpose, .workspace = item->id};
    if (ask->kind == REWRAP_SIGNER) context.workspace = NULL, context.audience = item->binding;
    if (!kinds[ask->kind].of_workspace) return context;
    context.workspace = ask->workspace;
    if (kinds[ask->kind].of_credential) context.credential = item->id, context.version = item->version;
    return context;
}

static bool open_ends(struct keys *keys, const struct msg_rewrap *ask, struct err *err)
{
    struct key_work *work = &keys->store->work;
    if (ask->kind == REWRAP_NONE || ask->kind >= REWRAP_KINDS || ask->count > REWRAPS)
        return err_set(err, ERR_PROTOCOL, "the request to wrap keys anew is not well formed");
    if (!kinds[ask->kind].of_workspace)
        return keys->has_next || err_set(err, ERR_STATE, "the vault does not hold the next master key");
    return keys_open_workspace(keys, ask->workspace, &ask->from, work->workspace, err) &&
           keys_open_workspace(keys, ask->workspace, &ask->to, work->other_workspace, err);
}

static bool rewrap_one(struct keys *keys, const struct msg_rewrap *ask, uint32_t i, struct wrapped *out,
                       struct err *err)
{
    struct key_store *store = keys->store;
    const struct rewrap_item *item = &ask->items[i];
    struct key_context context = context_of(ask, item);
    bool of_workspace = kinds[ask->kind].of_workspace;
    const uint8_t *from = of_workspace ? store->work.workspace : keys_outer(keys, &item->key);
    if (!key_unwrap(from, &context, &item->key, store->work.opened, err)) return false;
    key_wrap(of_workspace ? store->work.other_workspace : store->next.wrapping, &context, store->work.opened, out);
    return true;
}

void vault_on_rewrap(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    const struct msg_rewrap *ask = message->body;
    struct msg_rewrap_answer answer = {.status = status_ok()};
    struct err err;
    if (open_ends(&vault->keys, ask, &err)) {
        answer.count = ask->count;
        for (uint32_t i = 0; i < ask->count; i++)
            if (!rewrap_one(&vault->keys, ask, i, &answer.keys[i], &err)) answer.kinds[i] = (uint32_t)err.kind;
    } else {
        err_in(&err, "wrapping keys anew"), status_set(&answer.status, &err);
    }
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_REWRAP_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── values under fresh keys ───────────────────────────────────────────────────────────────────────── */

static bool renew_sound(const struct msg_renew *ask, struct err *err)
{
    bool good = ask->version != 0 && ask->new_version > ask->version && ask->field_count <= FRAME_FIELDS;
    for (uint32_t i = 0; good && i < ask->field_count; i++) {
        const struct sealed_field *field = &ask->fields[i];
        good = name_in(field->name, sizeof field->name) && field->offset <= SEALED_MAX &&
               field->length <= SEALED_MAX - field->offset;
    }
    return good || err_set(err, ERR_PROTOCOL, "the request for a fresh key is not well formed");
}

static struct key_context renew_context(const struct msg_renew *ask, const char *purpose, bool fresh)
{
    return (struct key_context){.purpose = purpose,
                                .workspace = ask->workspace,
                                .credential = ask->credential,
                                .version = fresh ? ask->new_version : ask->version};
}

/* A field keeps its purpose: what only exchanges open stays so. */
static const char *purpose_of(const struct msg_renew *ask, const char *field)
{
    return ask->kind == CREDENTIAL_OAUTH2 && strcmp(field, TOKEN_FIELD) != 0 ? FOR_GRANT_FIELD : FOR_FIELD;
}

/* One field, opened as the old version's and sealed as the new one's. Both stand in the same room, one after the
 * other, since padding would overwrite the value where it lies. */
static bool renew_field(struct key_store *store, const struct msg_renew *ask, uint32_t i,
                        struct msg_seal_answer *answer, size_t *used, struct err *err)
{
    const struct sealed_field *field = &ask->fields[i];
    const char *purpose = purpose_of(ask, field->name);
    struct key_context old = renew_context(ask, purpose, false), fresh = renew_context(ask, purpose, true);
    const unsigned char *value;
    size_t length;
    old.field = fresh.field = field->name;
    old.audience = fresh.audience = ask->audience_digest;
    if (!field_open(store->work.credential, &old, ask->bytes + field->offset, field->length, store->work.padded, &value,
                    &length))
        return err_set(err, ERR_STATE, "a field of the credential is damaged or belongs somewhere else");
    size_t size = field_sealed_size(length);
    if (size > SEALED_MAX - *used || length > sizeof store->work.submission.bytes)
        return err_set(err, ERR_TOO_LARGE, "the credential's fields are too large");
    memcpy(store->work.submission.bytes, value, length);
    memcpy(answer->fields[i].name, field->name, NAME_BYTES);
    answer->fields[i].offset = (uint32_t)*used;
    answer->fields[i].length = (uint32_t)size;
    if (!field_seal(store->work.other_credential, &fresh, store->work.submission.bytes, length, store->work.padded,
                    answer->bytes + *used))
        return err_set(err, ERR_TOO_LARGE, "a field is too large");
    *used += size;
    return true;
}

static bool renew(struct keys *keys, const struct msg_renew *ask, struct msg_seal_answer *answer, struct err *err)
{
    struct key_store *store = keys->store;
    struct key_context old = renew_context(ask, FOR_CREDENTIAL_KEY, false);
    struct key_context fresh = renew_context(ask, FOR_CREDENTIAL_KEY, true);
    size_t used = 0;
    if (!renew_sound(ask, err) || !keys_open_workspace(keys, ask->workspace, &ask->from, store->work.workspace, err) ||
        !keys_open_workspace(keys, ask->workspace, &ask->to, store->work.other_workspace, err) ||
        !key_unwrap(store->work.workspace, &old, &ask->credential_key, store->work.credential, err))
        return false;
    randombytes_buf(store->work.other_credential, KEY_BYTES);
    key_wrap(store->work.other_workspace, &fresh, store->work.other_credential, &answer->credential_key);
    memcpy(answer->audience_digest, ask->audience_digest, HASH_BYTES);
    for (uint32_t i = 0; i < ask->field_count; i++)
        if (!renew_field(store, ask, i, answer, &used, err)) return false;
    answer->field_count = ask->field_count;
    return true;
}

void vault_on_renew(struct role *role, struct role_line *line, const struct role_message *message)
{
    static struct msg_seal_answer answer; /* ciphertext only */
    struct vault *vault = role->state;
    struct err err;
    memset(&answer, 0, sizeof answer);
    if (!renew(&vault->keys, message->body, &answer, &err)) {
        memset(&answer, 0, sizeof answer);
        err_in(&err, "giving the credential a fresh key");
        status_set(&answer.status, &err);
    }
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_SEAL_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}
