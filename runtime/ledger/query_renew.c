/* SPDX-License-Identifier: Apache-2.0 */
/* A fresh data key for a credential whose value stays: the vault opens it and seals it again, and nobody else sees it.
 * Order of the files: ciphertext into vault.db, the record into the log, the version in state.db, which makes it count;
 * then the older versions go. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"
#include "rotate.h"

struct renewing {
    struct query query; /* a copy: in belongs to the original */
    struct store_credential credential;
    uint32_t key_version;
    struct msg_renew ask;
};

static bool record_renewal(struct renewing *renewing, struct err *err)
{
    RECORD_AUTO record;
    const struct store_credential *credential = &renewing->credential;
    record_init(&record);
    record_text(&record, "target", credential->name);
    record_text(&record, "connector", credential->connector);
    record_text(&record, "workspace", renewing->query.workspace.name);
    record_int(&record, "version", credential->version);
    return admin_record(&renewing->query, "credential.renew", &record, err);
}

static bool keep(struct renewing *renewing, const struct msg_seal_answer *sealed, struct err *err)
{
    struct store *store = renewing->query.ledger->store;
    struct store_credential *credential = &renewing->credential, now;
    struct store_sealed what = {credential->workspace, credential->id, renewing->ask.new_version,
                                renewing->key_version};
    bool found;
    if (!status_check(&sealed->status, err) || !ledger_open_for_business(renewing->query.ledger, err)) return false;
    if (sealed->field_count != renewing->ask.field_count)
        return err_set(err, ERR_INTERNAL, "the vault's answer is not well formed");
    if (!store_credential_named(store, credential->workspace, credential->name, &now, &found, err)) return false;
    if (!found || now.version != credential->version || memcmp(now.id, credential->id, ID_BYTES) != 0)
        return err_set(err, ERR_BUSY, "the credential was changed by somebody else just now: try again");
    if (exchange_of(renewing->query.ledger, credential)) /* it began since find() */
        return err_set(err, ERR_BUSY, "a token for credential %s is being fetched: try again in a few seconds",
                       credential->name);
    credential->version = renewing->ask.new_version;
    credential->changed = clock_wall();
    return store_sealed_add(store, &what, sealed, err) && record_renewal(renewing, err) &&
           store_credential_put(store, credential, err) &&
           store_sealed_before(store, credential->id, credential->version, err);
}

static void renewed(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct renewing *renewing = wait->context;
    struct err err = {0};
    bool ok = answer && length == sizeof(struct msg_seal_answer) && ledger->store
                  ? keep(renewing, answer, &err)
                  : err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    JSON_AUTO *out = ok ? json_pack("{s:s, s:s, s:s, s:i}", "what", "credential", "workspace",
                                    renewing->query.workspace.name, "name", renewing->credential.name, "version",
                                    (int)renewing->credential.version)
                        : NULL;
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
    free(renewing);
}

/* What the files hold of it, as one question. */
static bool fill(struct renewing *renewing, struct err *err)
{
    struct store *store = renewing->query.ledger->store;
    const struct store_credential *credential = &renewing->credential;
    struct msg_renew *ask = &renewing->ask;
    struct store_keys newest;
    uint32_t written;
    bool found, keyed;
    FREE_AUTO struct msg_order *have = calloc(1, sizeof *have);
    if (!have) return err_set(err, ERR_BUSY, "there is no memory");
    if (!store_sealed_get(store, credential->id, credential->version, NULL, 0, have, &found, err) ||
        !store_keys_get(store, credential->workspace, &newest, &keyed, err) ||
        !store_sealed_version(store, credential->id, &written, err))
        return false;
    if (!found || !keyed) return err_set(err, ERR_STATE, "data/vault.db does not hold this credential's value");
    memcpy(ask->workspace, credential->workspace, ID_BYTES);
    memcpy(ask->credential, credential->id, ID_BYTES);
    ask->version = credential->version;
    ask->new_version = written + 1;
    ask->from = have->workspace_key;
    ask->to = newest.workspace_key;
    ask->credential_key = have->credential_key;
    memcpy(ask->audience_digest, have->audience_digest, HASH_BYTES);
    ask->field_count = have->field_count;
    ask->kind = credential->kind;
    memcpy(ask->fields, have->fields, sizeof ask->fields);
    memcpy(ask->bytes, have->bytes, sizeof ask->bytes);
    renewing->key_version = newest.version;
    return true;
}

static bool find(struct renewing *renewing, struct err *err)
{
    struct query *query = &renewing->query;
    char name[NAME_BYTES];
    bool found;
    if (!in_name(query, "name", name, true, err) ||
        !store_credential_named(query->ledger->store, query->workspace.id, name, &renewing->credential, &found, err))
        return false;
    if (!found || !caller_covers(&query->caller, renewing->credential.connector, NULL))
        return err_set(err, ERR_NOT_FOUND, "there is no credential %s in workspace %s", name, query->workspace.name);
    return !exchange_of(query->ledger, &renewing->credential) ||
           err_set(err, ERR_BUSY, "a token for credential %s is being fetched: try again in a few seconds", name);
}

bool query_renew(struct query *query, json_t **out, struct err *err)
{
    struct renewing *renewing = calloc(1, sizeof *renewing);
    (void)out;
    if (!renewing) return err_set(err, ERR_BUSY, "there is no memory");
    renewing->query = *query;
    struct waiting how = query_waiting(query, renewed, clock_now() + 5 * CLOCK_S);
    how.context = renewing;
    query->later = ledger_open_for_business(query->ledger, err) && find(renewing, err) && fill(renewing, err) &&
                   wait_ask(query->ledger, ROLE_VAULT, MSG_RENEW, &renewing->ask, sizeof renewing->ask, &how, err);
    if (!query->later) free(renewing);
    return query->later;
}
