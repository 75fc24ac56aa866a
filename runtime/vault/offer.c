/* SPDX-License-Identifier: Apache-2.0 */
/* Keys to seal submissions to. They are random and live in this process only: what was sealed to one opens for nobody
 * once its day is over, the holder of a stolen master key included. The vault's identity vouches for each in a signed
 * note, so that whoever pins that identity notices a key that was swapped on the way. */
#include "offer.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "submit.h"
#include "vault.h"

/* ── the note ──────────────────────────────────────────────────────────────────────────────────────── */

size_t offer_text(const struct offer *offer, char text[OFFER_NOTE])
{
    char id[2 * SUBMISSION_KEY_ID + 1], key[sodium_base64_ENCODED_LEN(KEY_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    hex_text(offer->key_id, SUBMISSION_KEY_ID, id);
    sodium_bin2base64(key, sizeof key, offer->public, KEY_BYTES, sodium_base64_VARIANT_ORIGINAL);
    return (size_t)snprintf(text, OFFER_NOTE, "caisson-submission-key 1\n%s\n%s\n%llu\n%llu\n", id, key,
                            (unsigned long long)offer->not_before, (unsigned long long)offer->not_after);
}

/* C2SP signed note: text, empty line, em dash, name, base64 of four bytes of hash and the signature. */
static void sign_note(struct offer *offer, const struct keys *keys)
{
    uint8_t line[4 + crypto_sign_BYTES];
    char base64[sodium_base64_ENCODED_LEN(sizeof line, sodium_base64_VARIANT_ORIGINAL)];
    size_t length = offer_text(offer, offer->note);
    vkey_hash(VAULT_IDENTITY, keys->identity_public, line);
    crypto_sign_detached(line + 4, NULL, (const uint8_t *)offer->note, length, keys->store->identity);
    sodium_bin2base64(base64, sizeof base64, line, sizeof line, sodium_base64_VARIANT_ORIGINAL);
    snprintf(offer->note + length, sizeof offer->note - length, "\n\u2014 %s %s\n", VAULT_IDENTITY, base64);
}

/* ── pairs ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A box that was sealed in its last second may come as late as any other. */
static bool over(const struct offer *offer, uint64_t now_s)
{
    return now_s > offer->not_after + SUBMISSION_AGE_S;
}

static void destroy(struct offers *offers, struct keys *keys, unsigned i)
{
    sodium_memzero(keys->store->offered[i], KEY_BYTES);
    offers->list[i] = (struct offer){0};
}

uint64_t offers_expire(struct offers *offers, struct keys *keys, uint64_t now_s)
{
    uint64_t next = 0;
    for (unsigned i = 0; i < OFFERS; i++) {
        const struct offer *offer = &offers->list[i];
        if (!offer->not_after) continue;
        if (over(offer, now_s)) {
            destroy(offers, keys, i);
            continue;
        }
        uint64_t left = offer->not_after + SUBMISSION_AGE_S + 1 - now_s;
        if (!next || left < next) next = left;
    }
    return next;
}

static void make(struct offers *offers, struct keys *keys, uint64_t now_s)
{
    struct offer *offer = &offers->list[OFFER_NOW];
    offers->list[OFFER_BEFORE] = *offer;
    memcpy(keys->store->offered[OFFER_BEFORE], keys->store->offered[OFFER_NOW], KEY_BYTES);
    *offer = (struct offer){.not_before = now_s, .not_after = now_s + OFFER_LIFE_S};
    crypto_box_keypair(offer->public, keys->store->offered[OFFER_NOW]);
    key_id_public(offer->public, offer->key_id);
    sign_note(offer, keys);
}

void offers_sign(struct offers *offers, const struct keys *keys)
{
    if (offers->list[OFFER_NOW].not_after) sign_note(&offers->list[OFFER_NOW], keys);
}

const struct offer *offer_give(struct offers *offers, struct keys *keys, uint64_t now_s)
{
    const struct offer *offer = &offers->list[OFFER_NOW];
    bool usable = offer->not_after > now_s + OFFER_SPARE_S;
    bool clock_ran_back = offer->not_before > now_s + SUBMISSION_AHEAD_S;
    if (!usable || clock_ran_back) make(offers, keys, now_s);
    return offer;
}

const struct offer *offer_find(const struct offers *offers, const struct keys *keys,
                               const uint8_t key_id[SUBMISSION_KEY_ID], uint64_t now_s, const uint8_t **secret)
{
    for (unsigned i = 0; i < OFFERS; i++) {
        const struct offer *offer = &offers->list[i];
        if (!offer->not_after || over(offer, now_s) || memcmp(offer->key_id, key_id, SUBMISSION_KEY_ID) != 0) continue;
        *secret = keys->store->offered[i];
        return offer;
    }
    return NULL;
}

/* ── the question ──────────────────────────────────────────────────────────────────────────────────── */

void vault_on_offer(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct vault *vault = role->state;
    struct msg_offer_answer answer = {.status = status_ok()};
    const struct offer *offer = offer_give(&vault->offers, &vault->keys, clock_wall() / CLOCK_S);
    memcpy(answer.key_id, offer->key_id, sizeof answer.key_id);
    memcpy(answer.public, offer->public, sizeof answer.public);
    memcpy(answer.note, offer->note, sizeof answer.note);
    answer.not_before = offer->not_before;
    answer.not_after = offer->not_after;
    role_wake_at(role, clock_now() + (OFFER_LIFE_S + SUBMISSION_AGE_S + 1) * CLOCK_S);
    role_send(role, line, MSG_OFFER_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}
