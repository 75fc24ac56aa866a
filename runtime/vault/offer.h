/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that pages and other clients seal submissions to: made here, kept nowhere else, gone after a day. */
#pragma once

#include "base/err.h"
#include "keys.h"
#include "runtime/messages.h"

enum {
    OFFER_LIFE_S = 24 * 3600,
    OFFER_SPARE_S = 3600 /* one that ends sooner is not given out any more */
};

struct offer {
    uint8_t key_id[SUBMISSION_KEY_ID], public[KEY_BYTES];
    uint64_t not_before, not_after; /* seconds since 1970; not_after 0: there is none */
    char note[OFFER_NOTE];
};

/* The secret halves stand in the key store under the same index. */
enum { OFFER_NOW, OFFER_BEFORE, OFFERS };
struct offers {
    struct offer list[OFFERS];
};

/* The pair to give out; makes one where there is none that is good for long enough. */
const struct offer *offer_give(struct offers *offers, struct keys *keys, uint64_t now_s);
/* The pair of that id whose time is not over; NULL: there is none. *secret: in the key store. */
const struct offer *offer_find(const struct offers *offers, const struct keys *keys,
                               const uint8_t key_id[SUBMISSION_KEY_ID], uint64_t now_s, const uint8_t **secret);
/* The vault has another identity: it vouches for what is given out. */
void offers_sign(struct offers *offers, const struct keys *keys);
/* Destroys pairs whose time is over. Returns the seconds until the next one ends, 0: there is none. */
uint64_t offers_expire(struct offers *offers, struct keys *keys, uint64_t now_s);

/* What is signed: key id, key and times, each on a line. Returns its length. */
size_t offer_text(const struct offer *offer, char text[OFFER_NOTE]);
