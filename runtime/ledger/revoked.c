/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says is revoked is revoked: a state.db that is older than the log brings no token back. Doing it again
 * does no harm, so a death between the two files needs no other way back than this. The same walk finds whether the log
 * takes the calls for frozen. */
#include <string.h>

#include "base/auto.h"
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

/* The body of a record of that act; NULL: it is of another. */
static json_t *read_act(const struct store_entry *entry, const char *act)
{
    struct err ignored = {0};
    JSON_AUTO *body = NULL;
    if (!entry->body || !memmem(entry->body, entry->length, act, strlen(act)) ||
        !json_read((const char *)entry->body, entry->length, RECORD_MAX, &body, &ignored))
        return NULL;
    const char *said = json_string_value(json_object_get(body, "act"));
    return said && strcmp(said, act) == 0 ? take(&body) : NULL;
}

/* Is this the record of a token's revocation? Whose. */
static bool read_revocation(const struct store_entry *entry, uint8_t id[ID_BYTES])
{
    JSON_AUTO *body = read_act(entry, "token.revoke");
    const char *target = json_string_value(json_object_get(body, "target"));
    return target && id_parse(target, id);
}

static void read_freeze(struct ledger *ledger, const struct store_entry *entry)
{
    JSON_AUTO *freeze = read_act(entry, "freeze");
    JSON_AUTO *thaw = read_act(entry, "thaw");
    if (freeze || thaw) ledger->recorded_frozen = freeze != NULL;
}

static bool compare(void *context, const struct store_entry *entry)
{
    struct comparing *comparing = context;
    struct store *store = comparing->ledger->store;
    struct store_token token;
    uint8_t id[ID_BYTES];
    bool found = false;
    read_freeze(comparing->ledger, entry);
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
    ledger->recorded_frozen = false;
    if (!store_admin_entries(ledger->store, compare, &comparing, err) || comparing.failed) return false;
    if (comparing.again)
        log_event(LOG_LEVEL_WARNING, "tokens-revoked-again", log_number("tokens", comparing.again),
                  log_text("why", "the log says that they are revoked; data/state.db, which is older, did not"));
    return true;
}
