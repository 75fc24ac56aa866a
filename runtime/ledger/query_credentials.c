/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: a submission goes to the vault and comes back as fields sealed apart. Order of the files: ciphertext
 * into vault.db (nobody knows it yet), the record into the log, then the name in state.db, which makes it count. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/text.h"
#include "query.h"

/* One setting while the vault is asked. */
struct setting {
    struct query query; /* a copy: in belongs to the original */
    struct msg_seal ask;
    struct store_credential credential;
    uint32_t key_version; /* of the workspace's key that it is sealed under */
    char imported[32], digest[HASH_TEXT]; /* "imported: FORMAT" and of what; "": typed in */
    char token_host[FRAME_HOST];
    bool fresh;
};

static void free_setting(struct setting *setting)
{
    sodium_memzero(setting, sizeof *setting);
    free(setting);
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────── */

bool host_plain(const char *host)
{
    for (const char *c = host; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr("-.:[]_*", *c))) return false;
    return *host != '\0';
}

/* A list of hosts to the one text that the CLI sealed: one a line, strictly ascending. */
static bool read_audience(const struct query *query, char text[AUDIENCE_MAX], struct err *err)
{
    const json_t *list = json_object_get(query->in, "audience");
    const char *last = "";
    size_t used = 0;
    memset(text, 0, AUDIENCE_MAX);
    if (list && !json_is_null(list) && !json_is_array(list))
        return err_set(err, ERR_BAD_INPUT, "\"audience\" must be a list of host names");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *host = json_string_value(json_array_get(list, i));
        size_t length = host ? strlen(host) : 0;
        if (!host || !host_plain(host) || strcmp(host, last) <= 0 || used + length + 2 > AUDIENCE_MAX)
            return err_set(err, ERR_BAD_INPUT, "\"audience\" must hold lower-case host names in ascending order");
        if (used) text[used++] = '\n';
        memcpy(text + used, host, length);
        used += length;
        last = host;
    }
    return true;
}

static bool read_box(const struct query *query, struct msg_seal *ask, struct err *err)
{
    const char *text = json_string_value(json_object_get(query->in, "box"));
    size_t length = 0;
    if (!text ||
        sodium_base642bin(ask->box, sizeof ask->box, text, strlen(text), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        length == 0)
        return err_set(err, ERR_BAD_INPUT, "\"box\" must be a submission sealed to vault.pub, in base64");
    ask->box_length = (uint32_t)length;
    return true;
}

/* What another system sealed, and the CLI opened: {"format", "digest"}. Only these two are kept, in the record. */
static bool read_source(struct setting *setting, struct err *err)
{
    static const char *const formats[] = {"fernet", "aes-gcm"};
    uint8_t digest[HASH_BYTES];
    const json_t *source = json_object_get(setting->query.in, "source");
    const char *format = json_string_value(json_object_get(source, "format"));
    const char *text = json_string_value(json_object_get(source, "digest"));
    if (!source || json_is_null(source)) return true;
    for (size_t i = 0; format && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(format, formats[i]) == 0)
            snprintf(setting->imported, sizeof setting->imported, "imported: %s", format);
    if (!setting->imported[0] || !text || !hex_parse(text, digest, sizeof digest))
        return err_set(err, ERR_BAD_INPUT,
                       "\"source\" must hold \"format\", fernet or aes-gcm, and \"digest\", 64 hexadecimal digits");
    return TEXT_COPY(setting->digest, text);
}

/* Which key the box was sealed to; without a word it was that of vault.pub. */
static bool read_key_id(const struct query *query, struct msg_seal *ask, struct err *err)
{
    char text[2 * SUBMISSION_KEY_ID + 1];
    if (!in_text(query, "kid", text, sizeof text, err)) return false;
    return !text[0] || hex_parse(text, ask->key_id, SUBMISSION_KEY_ID) ||
           err_set(err, ERR_BAD_INPUT, "\"kid\" must be the %d hexadecimal digits that /v1/submission-key names",
                   2 * SUBMISSION_KEY_ID);
}

static bool name_credential(struct setting *setting, struct err *err)
{
    struct query *query = &setting->query;
    struct store_credential *credential = &setting->credential;
    char connector[NAME_BYTES];
    bool found;
    if (!in_name(query, "name", credential->name, true, err) || !in_name(query, "connector", connector, true, err))
        return false;
    if (!caller_covers(&query->caller, connector, NULL))
        return err_set(err, ERR_DENIED, "this token does not cover %s", connector);
    char name[NAME_BYTES];
    memcpy(name, credential->name, sizeof name);
    if (!store_credential_named(query->ledger->store, query->workspace.id, name, credential, &found, err)) return false;
    setting->fresh = !found;
    bool narrow = caller_is_narrow(&query->caller);
    if (found && strcmp(credential->connector, connector) != 0)
        return err_set(err, ERR_EXISTS, "the credential %s belongs to %s%s: remove it first, or take another name",
                       name, narrow ? "another connector" : "connector ", narrow ? "" : credential->connector);
    if (found) return true;
    if (!registry_find(&query->ledger->registry, connector))
        return err_set(err, ERR_NOT_FOUND, "there is no connector %s", connector);
    id_new(credential->id);
    memcpy(credential->workspace, query->workspace.id, ID_BYTES);
    memcpy(credential->name, name, sizeof name);
    memcpy(credential->connector, connector, sizeof connector);
    credential->created = clock_wall();
    return true;
}

static bool next_version(struct setting *setting, struct err *err)
{
    uint32_t written;
    if (!store_sealed_version(setting->query.ledger->store, setting->credential.id, &written, err)) return false;
    setting->credential.version = (written > setting->credential.version ? written : setting->credential.version) + 1;
    return true;
}

/* ── asking the vault ──────────────────────────────────────────────────────────────────────────────── */

bool sealed_sound(const struct msg_seal_answer *sealed)
{
    if (sealed->field_count == 0 || sealed->field_count > FRAME_FIELDS) return false;
    for (uint32_t i = 0; i < sealed->field_count; i++) {
        const struct sealed_field *field = &sealed->fields[i];
        if (!name_in(field->name, sizeof field->name) || field->offset > SEALED_MAX ||
            field->length > SEALED_MAX - field->offset)
            return false;
    }
    return true;
}

static bool list_fields(const struct msg_seal_answer *sealed, char text[SCOPE_TEXT])
{
    JSON_AUTO *list = json_array();
    for (uint32_t i = 0; i < sealed->field_count; i++) json_array_append_new(list, json_string(sealed->fields[i].name));
    FREE_AUTO char *dumped = json_dumps(list, JSON_COMPACT);
    return dumped && text_copy(text, SCOPE_TEXT, dumped);
}

void leases_end(struct ledger *ledger, const struct store_credential *credential, bool after_call)
{
    struct role_line *runner = role_line_to(ledger->role, ROLE_RUNNER);
    struct msg_revoke gone = {.after_call = after_call};
    memcpy(gone.workspace, credential->workspace, ID_BYTES);
    memcpy(gone.credential, credential->id, ID_BYTES);
    if (runner) role_send(ledger->role, runner, MSG_REVOKE, 0, &gone, sizeof gone, NULL, 0);
}

static bool record_credential(struct query *query, const char *act, const struct store_credential *credential,
                              const struct setting *setting, struct err *err)
{
    RECORD_AUTO record;
    record_init(&record);
    record_text(&record, "target", credential->name);
    record_text(&record, "connector", credential->connector);
    record_int(&record, "version", credential->version);
    record_text(&record, "workspace", query->workspace.name);
    if (setting && setting->imported[0]) {
        record_text(&record, "text", setting->imported);
        record_text(&record, "digest", setting->digest);
    }
    return admin_record(query, act, &record, err);
}

static json_t *credential_json(const struct store_credential *credential, const char *workspace)
{
    json_t *fields = json_loads(credential->fields, 0, NULL), *audience = json_array();
    for (const char *at = credential->audience; *at;) {
        size_t length = strcspn(at, "\n");
        json_array_append_new(audience, json_stringn(at, length));
        at += length + (at[length] == '\n');
    }
    json_t *row = json_pack("{s:o, s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "id", id_json(credential->id), "name",
                            credential->name, "connector", credential->connector, "workspace", workspace, "version",
                            (int)credential->version, "fields", fields ? fields : json_array(), "audience", audience,
                            "created", time_json(credential->created), "changed", time_json(credential->changed));
    if (credential->kind == CREDENTIAL_OAUTH2) {
        json_object_set_new(row, "kind", json_string("oauth2"));
        json_object_set_new(row, "token_host", json_string(credential->token_host));
        json_object_set_new(row, "token_expires", time_json(credential->expires_at));
    }
    return row;
}

static bool keep(struct setting *setting, const struct msg_seal_answer *sealed, struct err *err)
{
    struct ledger *ledger = setting->query.ledger;
    struct store_credential *credential = &setting->credential;
    struct store_credential now;
    bool found;
    if (!status_check(&sealed->status, err)) return false;
    if (!ledger_open_for_business(ledger, err)) return false;
    if (!sealed_sound(sealed) || !list_fields(sealed, credential->fields))
        return err_set(err, ERR_INTERNAL, "the vault's answer is not well formed");
    if (!store_credential_named(ledger->store, credential->workspace, credential->name, &now, &found, err))
        return false;
    if (found == setting->fresh || (found && now.version >= credential->version))
        return err_set(err, ERR_BUSY, "the credential was changed by somebody else just now: try again");
    if (setting->ask.kind == CREDENTIAL_OAUTH2 && !grant_sound(sealed, err)) return false;
    credential->changed = clock_wall();
    credential->kind = setting->ask.kind;
    credential->refresh_at = credential->expires_at = 0;
    memcpy(credential->token_host, setting->token_host, sizeof credential->token_host);
    memcpy(credential->audience, setting->ask.audience, sizeof credential->audience);
    struct store_sealed what = {credential->workspace, credential->id, credential->version, setting->key_version};
    return store_sealed_add(ledger->store, &what, sealed, err) &&
           record_credential(&setting->query, "credential.set", credential, setting, err) &&
           store_credential_put(ledger->store, credential, err);
}

static void sealed_now(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct setting *setting = wait->context;
    struct err err = {0};
    bool ok = answer && length == sizeof(struct msg_seal_answer)
                  ? keep(setting, answer, &err)
                  : err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    if (ok) leases_end(ledger, &setting->credential, true);
    JSON_AUTO *out = ok ? credential_json(&setting->credential, setting->query.workspace.name) : NULL;
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
    free_setting(setting);
}

static bool ask_seal(struct setting *setting, const struct store_keys *keys, struct waiting *how, struct err *err)
{
    struct msg_seal *ask = &setting->ask;
    const struct store_credential *credential = &setting->credential;
    memcpy(ask->workspace, credential->workspace, ID_BYTES);
    memcpy(ask->credential, credential->id, ID_BYTES);
    ask->version = credential->version;
    ask->workspace_key = keys->workspace_key;
    setting->key_version = keys->version;
    memcpy(ask->workspace_name, setting->query.workspace.name, NAME_BYTES);
    memcpy(ask->credential_name, credential->name, NAME_BYTES);
    memcpy(ask->connector, credential->connector, NAME_BYTES);
    how->done = sealed_now;
    how->context = setting;
    how->until = clock_now() + 5 * CLOCK_S;
    return wait_ask(setting->query.ledger, ROLE_VAULT, MSG_SEAL, ask, sizeof *ask, how, err);
}

static void keyed_now(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct setting *setting = wait->context;
    struct store_keys keys;
    struct err err = {0};
    bool found = false;
    struct waiting next = *wait;
    if (keys_keep(ledger, setting->credential.workspace, answer, length, &err) &&
        store_keys_get(ledger->store, setting->credential.workspace, &keys, &found, &err) && found &&
        ask_seal(setting, &keys, &next, &err))
        return;
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, NULL, &err);
    free_setting(setting);
}

static bool prepare(struct setting *setting, struct err *err)
{
    return ledger_open_for_business(setting->query.ledger, err) &&
           read_audience(&setting->query, setting->ask.audience, err) &&
           grant_read(&setting->query, &setting->ask.kind, setting->token_host, err) &&
           read_box(&setting->query, &setting->ask, err) && read_source(setting, err) &&
           read_key_id(&setting->query, &setting->ask, err) && name_credential(setting, err) &&
           next_version(setting, err);
}

bool query_credential_set(struct query *query, json_t **out, struct err *err)
{
    struct store_keys keys;
    bool found;
    struct setting *setting = calloc(1, sizeof *setting);
    if (!setting) return err_set(err, ERR_BUSY, "there is no memory");
    setting->query = *query;
    struct waiting how = query_waiting(query, keyed_now, clock_now() + 5 * CLOCK_S);
    how.context = setting;
    bool ok = prepare(setting, err) && store_keys_get(query->ledger->store, query->workspace.id, &keys, &found, err) &&
              (found ? ask_seal(setting, &keys, &how, err) : keys_ask(query->ledger, query->workspace.id, &how, err));
    query->later = ok;
    if (!ok) free_setting(setting);
    return ok;
}

/* ── listing, showing, removing ────────────────────────────────────────────────────────────────────── */

struct listing {
    const struct query *query;
    char connector[NAME_BYTES];
    struct list_page page;
};

static bool list_credential(void *context, const struct store_credential *credential)
{
    struct listing *listing = context;
    bool wanted = !listing->connector[0] || strcmp(listing->connector, credential->connector) == 0;
    json_t *row = wanted && caller_covers(&listing->query->caller, credential->connector, NULL)
                      ? credential_json(credential, listing->query->workspace.name)
                      : NULL;
    return page_add(&listing->page, row, credential->name);
}

bool query_credential_list(struct query *query, json_t **out, struct err *err)
{
    JSON_AUTO *list = json_array();
    struct listing listing = {.query = query, .page = {.list = list, .room = LIST_ROOM}};
    char after[NAME_BYTES];
    if (!in_name(query, "connector", listing.connector, false, err) || !in_name(query, "after", after, false, err) ||
        !store_credentials(query->ledger->store, query->workspace.id, after, list_credential, &listing, err))
        return false;
    *out = page_json(&listing.page, "credentials");
    return true;
}

static bool find(struct query *query, struct store_credential *credential, struct err *err)
{
    char name[NAME_BYTES];
    bool found;
    if (!in_name(query, "name", name, true, err) ||
        !store_credential_named(query->ledger->store, query->workspace.id, name, credential, &found, err))
        return false;
    return (found && caller_covers(&query->caller, credential->connector, NULL)) ||
           err_set(err, ERR_NOT_FOUND, "there is no credential %s in workspace %s", name, query->workspace.name);
}

bool query_credential_show(struct query *query, json_t **out, struct err *err)
{
    struct store_credential credential;
    if (!find(query, &credential, err)) return false;
    *out = credential_json(&credential, query->workspace.name);
    return true;
}

/* The runner ends what holds it; a call that still waits for a worker would begin with it later. */
static void cancel_calls(struct ledger *ledger, const struct store_credential *credential)
{
    for (struct running *run = ledger->calls.first; run; run = run->next)
        if (run->state == RUN_OPEN && strcmp(run->call.credential, credential->name) == 0 &&
            memcmp(run->call.workspace, credential->workspace, ID_BYTES) == 0)
            orders_cancel(ledger, run, REASON_REVOKED);
}

bool query_credential_remove(struct query *query, json_t **out, struct err *err)
{
    struct store_credential credential;
    if (!find(query, &credential, err) || !record_credential(query, "credential.remove", &credential, NULL, err) ||
        !store_credential_remove(query->ledger->store, credential.id, err) ||
        !store_sealed_remove(query->ledger->store, credential.id, err))
        return false;
    leases_end(query->ledger, &credential, false);
    cancel_calls(query->ledger, &credential);
    *out = json_pack("{s:s, s:b}", "name", credential.name, "removed", 1);
    return true;
}
