/* SPDX-License-Identifier: Apache-2.0 */
/* One captured input or reply, for an administrator: recorded first, then opened by the vault, and shown only when it
 * is what the log's record commits to. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "payload.h"
#include "query.h"
#include "store_payload.h"

enum { PATIENCE_S = 8 };

struct reading {
    struct query query; /* a copy: in belongs to the original */
    struct store_call call;
    bool input;
    uint64_t index, size;
    unsigned count;
    uint8_t subjects[SUBJECTS_MAX][ID_BYTES];
    char commitment[HASH_TEXT], sealed[HASH_TEXT]; /* what the body says; "": nothing */
    char word[16];                                 /* or why nothing is kept */
    struct buf value;
};

static void free_reading(struct reading *reading)
{
    buf_clear(&reading->value);
    free(reading);
}

static const char *part(const struct reading *reading)
{
    return reading->input ? "input" : "reply";
}

/* ── answering ─────────────────────────────────────────────────────────────────────────────────────── */

static json_t *base64_json(const struct buf *bytes)
{
    size_t room = sodium_base64_encoded_len(bytes->used, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(room);
    if (!text) return NULL;
    sodium_bin2base64(text, room, (const unsigned char *)bytes->bytes, bytes->used, sodium_base64_VARIANT_ORIGINAL);
    json_t *out = json_string(text);
    sodium_memzero(text, room);
    free(text);
    return out;
}

static json_t *shown(const struct reading *reading, const struct buf *bytes, const uint8_t salt[PAYLOAD_SALT])
{
    char salt_text[2 * PAYLOAD_SALT + 1];
    hex_text(salt, PAYLOAD_SALT, salt_text);
    return json_pack("{s:o, s:i, s:s, s:I, s:I, s:s, s:s, s:o}", "call_id", id_json(reading->call.ref.id), "attempt",
                     (int)reading->call.ref.attempt, "part", part(reading), "entry", (json_int_t)reading->index, "size",
                     (json_int_t)bytes->used, "input_salt", salt_text, "commitment", reading->commitment, "payload",
                     base64_json(bytes));
}

static void finish(struct ledger *ledger, const struct waiting *wait, const uint8_t *key, struct err *err)
{
    struct reading *reading = wait->context;
    BUF_AUTO bytes = {.max = CAPTURE_MAX + 1};
    uint8_t salt[PAYLOAD_SALT];
    struct payload_proof proof = {key, reading->count, reading->input, reading->commitment, reading->size};
    bool good = key && payload_open(&proof, &reading->value, salt, &bytes, err);
    JSON_AUTO *out = good ? shown(reading, &bytes, salt) : NULL;
    if (good && !out) err_set(err, ERR_BUSY, "there is no memory for the payload");
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, out ? NULL : err);
    sodium_memzero(salt, sizeof salt);
    free_reading(reading);
}

/* Both answers of the vault are a status and a key. */
static void opened(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct msg_open_key_answer *got = answer;
    struct err err = {0};
    _Static_assert(sizeof(struct msg_open_key_answer) == sizeof(struct msg_subject_open_answer), "one shape");
    bool good = got && length == sizeof *got ? status_check(&got->status, &err)
                                             : err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    finish(ledger, wait, good ? got->key : NULL, &err);
}

/* ── asking the vault ──────────────────────────────────────────────────────────────────────────────── */

static bool cut(struct err *err)
{
    return err_set(err, ERR_DAMAGED, "what is kept of the payload is damaged: it is cut");
}

static bool ask_workspace(struct reading *reading, struct waiting *how, struct err *err)
{
    struct msg_open_key ask = {0};
    struct store_keys keys;
    struct query *query = &reading->query;
    bool found;
    if (reading->value.used < SEALED_KEY) return cut(err);
    if (!store_keys_get(query->ledger->store, query->workspace.id, &keys, &found, err)) return false;
    if (!found) return err_set(err, ERR_STATE, "the workspace has no keys");
    ask.workspace_key = keys.workspace_key;
    ask.answer_secret = keys.answer_secret;
    memcpy(ask.workspace, query->workspace.id, ID_BYTES);
    memcpy(ask.answer_public, keys.answer_public, sizeof ask.answer_public);
    memcpy(ask.sealed_key, reading->value.bytes, SEALED_KEY);
    return wait_ask(query->ledger, ROLE_VAULT, MSG_OPEN_KEY, &ask, sizeof ask, how, err);
}

static bool ask_people(struct reading *reading, struct waiting *how, struct err *err)
{
    struct msg_subject_open ask = {.count = reading->count};
    struct query *query = &reading->query;
    size_t head = 32 + (size_t)reading->count * 48;
    bool whole;
    if (reading->value.used < head) return cut(err);
    if (!subject_open_keys(query->ledger->store, (const uint8_t(*)[ID_BYTES])reading->subjects, reading->count, &ask,
                           &whole, err))
        return false;
    if (!whole) return err_set(err, ERR_NOT_FOUND, "it was about somebody who was erased: nobody can open it");
    memcpy(ask.workspace, query->workspace.id, ID_BYTES);
    memcpy(ask.sealed, reading->value.bytes, head);
    return wait_ask(query->ledger, ROLE_VAULT, MSG_SUBJECT_OPEN, &ask, sizeof ask, how, err);
}

/* ── the query ─────────────────────────────────────────────────────────────────────────────────────── */

static bool find_call(struct reading *reading, struct err *err)
{
    struct query *query = &reading->query;
    uint8_t id[ID_BYTES];
    uint64_t attempt;
    char which[8];
    bool found;
    if (!in_id(query, "id", id, err) || !in_number(query, "attempt", 0, UINT32_MAX, &attempt, err) ||
        !in_text(query, "part", which, sizeof which, err))
        return false;
    reading->input = strcmp(which, "input") == 0;
    if (!reading->input && strcmp(which, "reply") != 0)
        return err_set(err, ERR_BAD_INPUT, "\"part\" is \"input\" or \"reply\"");
    if (!store_call_get(query->ledger->store, id, (uint32_t)attempt, &reading->call, &found, err)) return false;
    if (!found) return err_set(err, ERR_NOT_FOUND, "there is no such call, or no such attempt of it");
    if (!query_enter(query, reading->call.workspace, err)) return false;
    reading->index = reading->input ? reading->call.intent : reading->call.outcome;
    return reading->input || reading->call.ended || err_set(err, ERR_STATE, "the call is still running");
}

static bool read_body(void *context, const struct store_entry *entry)
{
    struct reading *reading = context;
    JSON_AUTO *body = NULL;
    struct err ignored = {0};
    enum record_kind kind = reading->input ? RECORD_INTENT : RECORD_OUTCOME;
    bool ours = entry->index == reading->index && entry->kind == kind && entry->call &&
                entry->attempt == reading->call.ref.attempt &&
                memcmp(entry->call, reading->call.ref.id, ID_BYTES) == 0 && entry->body;
    if (!ours || !json_read(entry->body, entry->length, RECORD_MAX + 1, &body, &ignored)) return false;
    const char *said = json_string_value(json_object_get(body, "payload"));
    const char *commitment = json_string_value(json_object_get(body, part(reading)));
    if (commitment) TEXT_COPY(reading->commitment, commitment);
    if (said && strlen(said) == HASH_TEXT - 1)
        TEXT_COPY(reading->sealed, said);
    else if (said)
        TEXT_COPY(reading->word, said);
    return false;
}

static bool nothing(const struct reading *reading, struct err *err)
{
    if (strcmp(reading->word, "too_large") == 0)
        return err_set(err, ERR_NOT_FOUND, "the %s of this call was not kept: it was larger than %d bytes",
                       part(reading), CAPTURE_MAX);
    if (reading->sealed[0] || strcmp(reading->word, "erased") == 0)
        return err_set(err, ERR_NOT_FOUND, "the %s of this call is not kept any more: it was erased", part(reading));
    if (strcmp(reading->word, "failed") == 0)
        return err_set(err, ERR_NOT_FOUND, "the %s of this call was not kept: it could not be sealed", part(reading));
    return err_set(
        err, ERR_NOT_FOUND,
        "no %s of this call is kept: Capture= in the connector's drop-in said otherwise, none came, its record went "
        "through the spill file, or it was pruned",
        part(reading));
}

/* What is sealed must be what the log committed to; what is inside is compared once it is open. */
static bool find_payload(struct reading *reading, struct err *err)
{
    static const char tag[] = "caisson payload v1\n";
    struct store *store = reading->query.ledger->store;
    tree_hash hash;
    char text[HASH_TEXT];
    bool found = false;
    if (!store_entries(store, reading->index, 1, read_body, reading, err) ||
        !store_payload_get(store, reading->index, &reading->size, reading->subjects, &reading->count, &reading->value,
                           &found, err))
        return false;
    if (!found || !reading->sealed[0]) return nothing(reading, err);
    sha256_three(tag, sizeof tag - 1, "", 0, reading->value.bytes, reading->value.used, hash);
    hex_text(hash, HASH_BYTES, text);
    return strcmp(text, reading->sealed) == 0 ||
           err_set(err, ERR_DAMAGED,
                   "what is kept of the %s is not what entry %llu of the log commits to: it was exchanged",
                   part(reading), (unsigned long long)reading->index);
}

static bool record_it(struct reading *reading, struct err *err)
{
    RECORD_AUTO record;
    record_init(&record);
    reading->query.call = &reading->call.ref;
    record_text(&record, "connector", reading->call.connector);
    record_text(&record, "workspace", reading->query.workspace.name);
    record_text(&record, "target", part(reading));
    return admin_record(&reading->query, "audit.payload", &record, err);
}

static bool start(struct reading *reading, struct err *err)
{
    if (!find_call(reading, err) || !find_payload(reading, err) || !record_it(reading, err)) return false;
    struct waiting how = query_waiting(&reading->query, opened, clock_now() + PATIENCE_S * CLOCK_S);
    how.context = reading;
    return reading->count ? ask_people(reading, &how, err) : ask_workspace(reading, &how, err);
}

bool query_audit_payload(struct query *query, json_t **out, struct err *err)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading) return err_set(err, ERR_BUSY, "there is no memory");
    reading->query = *query;
    buf_init(&reading->value, PAYLOAD_SEALED);
    if (!start(reading, err)) {
        free_reading(reading);
        return false;
    }
    return query->later = true;
}
