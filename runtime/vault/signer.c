/* SPDX-License-Identifier: Apache-2.0 */
/* The log's signing keys. They live in the vault for the length of one signature; between two the ledger keeps them,
 * wrapped. Once the ledger has destroyed one, nobody can sign as it any more. */
#include "signer.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "sign.h"

/* ── pairs ─────────────────────────────────────────────────────────────────────────────────────────── */

void signer_binding(const char *origin, const struct signer_key *key, uint8_t digest[HASH_BYTES])
{
    static const uint8_t tag[] = "caisson log signer 1\n";
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&state, tag, sizeof tag - 1);
    crypto_generichash_update(&state, key->public, sizeof key->public);
    crypto_generichash_update(&state, key->after, sizeof key->after);
    crypto_generichash_update(&state, (const uint8_t *)origin, strlen(origin));
    crypto_generichash_final(&state, digest, HASH_BYTES);
}

void signer_make(struct keys *keys, const char *origin, const uint8_t after[32], bool under_next,
                 struct signer_key *key)
{
    struct key_work *work = &keys->store->work;
    struct key_context context = {.purpose = FOR_SIGNER, .audience = key->binding};
    memcpy(key->after, after, sizeof key->after);
    randombytes_buf(work->signer_seed, sizeof work->signer_seed);
    crypto_sign_seed_keypair(key->public, work->signer, work->signer_seed);
    signer_binding(origin, key, key->binding);
    key_wrap(under_next ? keys->store->next.wrapping : keys->store->wrapping, &context, work->signer_seed, &key->secret);
    keys_wipe(keys);
}

bool signer_unwrap(struct keys *keys, const char *origin, const struct signer_key *key, struct err *err)
{
    struct key_work *work = &keys->store->work;
    uint8_t binding[HASH_BYTES], public[32];
    struct key_context context = {.purpose = FOR_SIGNER, .audience = binding};
    signer_binding(origin, key, binding);
    if (!key_unwrap(keys_outer(keys, &key->secret), &context, &key->secret, work->signer_seed, err)) {
        err->kind = ERR_DENIED; /* ERR_STATE would say that the log is not the one that was signed */
        return err_in(err, "opening the key that signs the log");
    }
    crypto_sign_seed_keypair(public, work->signer, work->signer_seed);
    return memcmp(public, key->public, sizeof public) == 0 ||
           err_set(err, ERR_DENIED, "the key that signs the log is not the one it is called");
}

/* What a checkpoint's text can never be: the name of a log has no space. */
bool signer_vouch(struct keys *keys, const char *origin, const struct signer_key *old, const uint8_t new[32],
                  uint8_t signature[64], struct err *err)
{
    char text[2 * VKEY_TEXT + 64], old_vkey[VKEY_TEXT], new_vkey[VKEY_TEXT];
    vkey_text(origin, old->public, old_vkey);
    vkey_text(origin, new, new_vkey);
    int length = snprintf(text, sizeof text, "caisson key roll v1\n%s\n%s\n", old_vkey, new_vkey);
    bool good = signer_unwrap(keys, origin, old, err);
    if (good)
        crypto_sign_detached(signature, NULL, (const uint8_t *)text, (unsigned long long)length,
                             keys->store->work.signer);
    keys_wipe(keys);
    return good;
}

/* ── the last entry ────────────────────────────────────────────────────────────────────────────────── */

/* Everything beside the way up from the last leaf lies to its left, one hash for each set bit of its index. */
bool entry_is_last(const struct msg_sign *ask)
{
    uint8_t hash[HASH_BYTES];
    crypto_hash_sha256_state state;
    if (ask->size == 0 || ask->entry_length == 0 || ask->entry_length > LAST_ENTRY ||
        ask->path_count != (uint32_t)__builtin_popcountll(ask->size - 1))
        return false;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)"", 1);
    crypto_hash_sha256_update(&state, (const uint8_t *)ask->entry, ask->entry_length);
    crypto_hash_sha256_final(&state, hash);
    for (uint32_t i = 0; i < ask->path_count; i++) node_hash(ask->path[i], hash, hash);
    return memcmp(hash, ask->root, HASH_BYTES) == 0;
}

/* Records are sorted, compact, and quote every '"' within a text: so this text cannot stand inside one of their values,
 * and nothing needs to be parsed to find it. */
static bool entry_has(const struct msg_sign *ask, const char *text, int length, size_t room)
{
    return length > 0 && (size_t)length < room && memmem(ask->entry, ask->entry_length, text, (size_t)length) != NULL;
}

bool entry_says_roll(const struct msg_sign *ask, const uint8_t old[32], const uint8_t new[32])
{
    char text[2 * VKEY_TEXT + 64], old_vkey[VKEY_TEXT], new_vkey[VKEY_TEXT];
    vkey_text(ask->origin, old, old_vkey);
    vkey_text(ask->origin, new, new_vkey);
    int length = snprintf(text, sizeof text, "\"kind\":\"key_roll\",\"new\":\"%s\",\"old\":\"%s\",\"sign\":\"",
                          new_vkey, old_vkey);
    return entry_has(ask, text, length, sizeof text);
}

bool entry_says_epoch(const struct msg_sign *ask, const struct ctl_witness *last)
{
    char text[VKEY_TEXT + 512], vkey[VKEY_TEXT], root[HASH_TEXT];
    vkey_text(last->origin, last->key, vkey);
    hex_text(last->root, HASH_BYTES, root);
    int length = snprintf(
        text, sizeof text,
        "\"kind\":\"epoch\",\"old_key\":\"%s\",\"old_origin\":\"%s\",\"old_root\":\"%s\",\"old_size\":%llu,", vkey,
        last->origin, root, (unsigned long long)last->size);
    return entry_has(ask, text, length, sizeof text);
}
