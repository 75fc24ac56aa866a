/* SPDX-License-Identifier: Apache-2.0 */
/* The key to seal a submission to: the vault makes it and vouches for it; here it only passes by. */
#include <sodium.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"

static json_t *offer_json(const struct msg_offer_answer *offer)
{
    char id[2 * SUBMISSION_KEY_ID + 1],
        key[sodium_base64_ENCODED_LEN(sizeof offer->public, sodium_base64_VARIANT_ORIGINAL)];
    hex_text(offer->key_id, SUBMISSION_KEY_ID, id);
    sodium_bin2base64(key, sizeof key, offer->public, sizeof offer->public, sodium_base64_VARIANT_ORIGINAL);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s}", "kid", id, "alg", "crypto_box_seal", "pk", key, "not_before",
                     time_json(offer->not_before * CLOCK_S), "not_after", time_json(offer->not_after * CLOCK_S), "note",
                     offer->note);
}

static void offered(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct msg_offer_answer *offer = answer;
    struct err err = {0};
    bool ok = (offer && length == sizeof *offer) || err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    ok = ok && status_check(&offer->status, &err);
    ok = ok && (memchr(offer->note, '\0', sizeof offer->note) ||
                err_set(&err, ERR_INTERNAL, "the vault's answer is not well formed"));
    JSON_AUTO *out = ok ? offer_json(offer) : NULL;
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
}

bool query_submission_key(struct query *query, json_t **out, struct err *err)
{
    (void)out;
    struct waiting how = query_waiting(query, offered, clock_now() + 5 * CLOCK_S);
    query->later = wait_ask(query->ledger, ROLE_VAULT, MSG_OFFER, NULL, 0, &how, err);
    return query->later;
}
