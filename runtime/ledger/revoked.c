/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says is revoked is revoked: a state.db that is older than the log brings no token back. Doing it again
 * does no harm, so a death between the two files needs no other way back than this. */
#include <string.h>

#include "base/auto_json.h"
#include "base/json.h"
#include "base/log.h"
#include "ledger.h"

struct comparing {
    struct ledger *ledger;
    struct err *err;
    unsigned again; /* tokens that state.db took for valid */
    bool failed;
};

/* Is this the record of a token's revocation? Whose. */
static bool read_revocation(const struct store_entry *entry, uint8_t id[ID_BYTES])
{
    static const char act[] = "token.revoke";
    struct err ignored = {0};
    JSON_AUTO *body = NULL;
    if (!entry->body || !memmem(entry->body, entry->length, act, sizeof act - 1) ||
        !json_read((const char *)entry->body, entry->length, RECORD_MAX, &body, &ignored))
        return false;
    const char *said = json_string_value(json_object_get(body, "act"));
    const char *target = json_string_value(json_object_get(body, "target"));
    return said && target && strcmp(said, act) == 0 && id_parse(target, id);
}

static bool compare(void *context, const struct store_entry *entry)
{
    struct comparing *comparing = context;
    struct store *store = comparing->ledger->store;
    struct store_token token;
    uint8_t id[ID_BYTES];
    bool found = false;
    if (!read_revocation(entry, id)) return true;
    comparing->failed = !store_token_get(store, id, &token, &found, comparing->err);
    if (comparing->failed || !found || token.revoked) return !comparing->failed;
    comparing->failed = !store_token_revoke(store, id, entry->at, comparing->err);
    comparing->again++;
    return !comparing->failed;
}

bool revoked_compare(struct ledger *ledger, struct err *err)
{
    struct comparing comparing = {.ledger = ledger, .err = err};
    if (!store_admin_entries(ledger->store, compare, &comparing, err) || comparing.failed) return false;
    if (comparing.again)
        log_event(LOG_LEVEL_WARNING, "tokens-revoked-again", log_number("tokens", comparing.again),
                  log_text("why", "the log says that they are revoked; data/state.db, which is older, did not"));
    return true;
}
