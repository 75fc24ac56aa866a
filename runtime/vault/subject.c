/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of people that calls are about: made and wrapped here, used here, never given away. What leaves is the key of
 * one detail, which the ledger shows to whom it authorised and recorded. */
#include <sodium.h>
#include <string.h>

#include "vault.h"

static bool count_right(uint32_t count, struct err *err)
{
    return (count > 0 && count <= SUBJECTS_MAX) || err_set(err, ERR_PROTOCOL, "a call is about 1 to %d", SUBJECTS_MAX);
}

/* ── making ────────────────────────────────────────────────────────────────────────────────────────── */

static bool make(struct keys *keys, const struct msg_subject_keys *ask, struct msg_subject_keys_answer *answer,
                 struct err *err)
{
    struct key_store *store = keys->store;
    if (!count_right(ask->count, err) ||
        !keys_open_workspace(keys, ask->workspace, &ask->workspace_key, store->work.workspace, err))
        return false;
    for (uint32_t i = 0; i < ask->count; i++) {
        struct key_context context = {
            .purpose = FOR_SUBJECT_KEY, .workspace = ask->workspace, .credential = ask->ids[i]};
        crypto_box_keypair(answer->publics[i], store->work.answer);
        key_wrap(store->work.workspace, &context, store->work.answer, &answer->secrets[i]);
    }
    answer->count = ask->count;
    return true;
}

void vault_on_subject_keys(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct msg_subject_keys_answer answer = {.status = status_ok()};
    struct err err;
    if (!make(&vault->keys, message->body, &answer, &err))
        err_in(&err, "making keys of people"), status_set(&answer.status, &err);
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_SUBJECT_KEYS_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

/* The outermost box was sealed last. Each opens into the room behind it, so that none overwrites itself. */
static bool open_boxes(struct keys *keys, const struct msg_subject_open *ask, struct err *err)
{
    struct key_store *store = keys->store;
    size_t length = KEY_BYTES + (size_t)ask->count * crypto_box_SEALBYTES;
    unsigned char *box = store->work.padded;
    _Static_assert(SUBJECT_SEALED_MAX == KEY_BYTES + SUBJECTS_MAX * crypto_box_SEALBYTES, "a box adds a fixed size");
    _Static_assert((SUBJECTS_MAX + 1) * SUBJECT_SEALED_MAX <= SEALED_MAX, "all boxes fit side by side");
    memcpy(box, ask->sealed, length);
    for (uint32_t i = ask->count; i-- > 0;) {
        struct key_context context = {
            .purpose = FOR_SUBJECT_KEY, .workspace = ask->workspace, .credential = ask->ids[i]};
        unsigned char *inner = box + length;
        if (!keys_open_workspace(keys, ask->workspace, &ask->workspace_keys[i], store->work.workspace, err) ||
            !key_unwrap(store->work.workspace, &context, &ask->secrets[i], store->work.answer, err))
            return false;
        if (crypto_box_seal_open(inner, box, length, ask->publics[i], store->work.answer) != 0)
            return err_set(err, ERR_STATE, "a personal detail is damaged or was sealed for somebody else");
        box = inner;
        length -= crypto_box_SEALBYTES;
    }
    memcpy(store->work.opened, box, KEY_BYTES);
    return true;
}

void vault_on_subject_open(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct key_store *store = vault->keys.store;
    const struct msg_subject_open *ask = message->body;
    struct msg_subject_open_answer answer = {.status = status_ok()};
    struct err err;
    if (count_right(ask->count, &err) && open_boxes(&vault->keys, ask, &err))
        memcpy(answer.key, store->work.opened, KEY_BYTES);
    else
        err_in(&err, "opening a personal detail"), status_set(&answer.status, &err);
    keys_wipe(&vault->keys);
    role_send(role, line, MSG_SUBJECT_OPEN_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
    sodium_memzero(&answer, sizeof answer);
}
