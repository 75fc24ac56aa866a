/* SPDX-License-Identifier: Apache-2.0 */
/* Captured payloads: checked, sealed, opened. */
#include "payload.h"

#include <string.h>

#include "base/auto_json.h"
#include "base/json.h"
#include "outcome.h"
#include "sandbox/frames.h"

uint32_t begin_capture(const struct begin *begin)
{
    return begin->exchanges ? 0 : begin->entry->capture; /* an exchange's reply is tokens, and goes to the vault */
}

uint32_t payload_asked(const char *body, size_t length)
{
    JSON_AUTO *record = NULL;
    struct err ignored = {0};
    if (!body || !json_read(body, length, RECORD_MAX + 1, &record, &ignored)) return 0;
    const char *text = json_string_value(json_object_get(record, "capture"));
    for (uint32_t bits = CAPTURE_INPUT; text && bits < CAPTURE_KINDS; bits++)
        if (strcmp(text, capture_name(bits)) == 0) return bits;
    return 0;
}

/* ── what the front hands over ─────────────────────────────────────────────────────────────────────── */

bool begin_tail(struct begin *begin, const struct role_message *message, struct err *err)
{
    const struct msg_begin *ask = message->body;
    const char *people = (const char *)message->body + sizeof *ask;
    size_t tail = message->length - sizeof *ask;
    buf_init(&begin->input, CAPTURE_MAX);
    if (ask->subjects_length > tail || ask->input_length != tail - ask->subjects_length)
        return err_set(err, ERR_MALFORMED, "the begin is cut");
    if (ask->input_length && !buf_add(&begin->input, people + ask->subjects_length, ask->input_length))
        return err_set(err, ERR_BUSY, "there is no memory for this call");
    return subjects_read(people, ask->subjects_length, &begin->subjects, err);
}

/* ── sealing ───────────────────────────────────────────────────────────────────────────────────────── */

/* The salt goes along: whoever can open it can prove it. */
static bool seal(const uint8_t salt[PAYLOAD_SALT], const struct buf *bytes, const uint8_t (*publics)[32],
                 unsigned count, struct buf *kept, struct err *err)
{
    BUF_AUTO plain = {.max = PAYLOAD_SALT + CAPTURE_MAX + 1};
    if (!buf_reserve(&plain, PAYLOAD_SALT + bytes->used) || !buf_add(&plain, salt, PAYLOAD_SALT) ||
        !buf_add(&plain, bytes->bytes, bytes->used))
        return err_set(err, ERR_BUSY, "there is no memory for what is kept of this call");
    return subjects_seal(publics, count, &plain, kept, err);
}

bool payload_input(const struct begin *begin, struct record *record, struct journal_payload *payload, struct buf *kept,
                   struct err *err)
{
    uint8_t publics[SUBJECTS_MAX][32];
    uint32_t capture = begin_capture(begin);
    if (!capture) return true;
    record_text(record, "capture", capture_name(capture));
    if (!(capture & CAPTURE_INPUT)) return true;
    if (!begin->input.used) return record_text(record, "payload", "too_large"), true;
    payload->size = begin->input.used;
    payload->count = begin->subjects ? begin->subjects->count : 0;
    memcpy(publics[0], begin->keys.answer_public, sizeof publics[0]);
    for (unsigned i = 0; i < payload->count; i++) {
        memcpy(publics[i], begin->subjects->list[i].key.public, sizeof publics[i]);
        memcpy(payload->subjects[i], begin->subjects->list[i].key.id, ID_BYTES);
    }
    return seal(begin->ask.salt, &begin->input, (const uint8_t(*)[32])publics, payload->count ? payload->count : 1,
                kept, err);
}

/* To whom the call's intent was sealed, or else to the workspace; *count 0: to nobody any more. */
static bool find_keys(struct ledger *ledger, const struct running *run, struct journal_payload *payload,
                      uint8_t (*publics)[32], unsigned *count, struct err *err)
{
    struct journal_sealed sealed = {0};
    struct store_keys keys;
    bool people = false, found;
    if (!outcome_people(ledger, run, &sealed, publics, &people, err)) return false;
    payload->count = *count = sealed.count;
    memcpy(payload->subjects, sealed.subjects, sizeof payload->subjects);
    if (people) return true;
    if (!store_keys_get(ledger->store, run->call.workspace, &keys, &found, err)) return false;
    payload->count = 0;
    *count = found;
    if (found) memcpy(publics[0], keys.answer_public, sizeof publics[0]);
    return true;
}

bool payload_reply(struct ledger *ledger, const struct running *run, struct record *record,
                   struct journal_payload *payload, struct buf *kept, struct err *err)
{
    static const uint8_t none[HASH_BYTES];
    uint8_t publics[SUBJECTS_MAX][32];
    unsigned count;
    if (!(run->capture & CAPTURE_REPLY) || memcmp(run->end.reply_digest, none, HASH_BYTES) == 0) return true;
    if (!run->reply.used) return record_text(record, "payload", "too_large"), true;
    bool found = find_keys(ledger, run, payload, publics, &count, err);
    if (found && !count) return record_text(record, "payload", "erased"), true;
    payload->size = run->reply.used;
    if (found && seal(run->call.salt, &run->reply, (const uint8_t(*)[32])publics, count, kept, err)) return true;
    buf_clear(kept); /* its keys are of no use: that is no reason to hold up everybody else's outcomes */
    return err->kind != ERR_AUDIT && (record_text(record, "payload", "failed"), true);
}

/* ── the reply ─────────────────────────────────────────────────────────────────────────────────────── */

/* What comes again, after it was taken, is what the front repeats when it heard nothing. */
void on_reply(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_reply *said = message->body;
    size_t tail = message->length - sizeof *said;
    struct running *run = calls_find(&ledger->calls, &said->call);
    if (!run || run->has_end || (run->state != RUN_OPEN && run->state != RUN_CLOSING)) return;
    if (run->taker != (uint32_t)line->peer || !(run->capture & CAPTURE_REPLY) || said->length != tail) {
        ledger->counters.bad++;
        return;
    }
    buf_clear(&run->reply);
    buf_init(&run->reply, CAPTURE_MAX);
    buf_add(&run->reply, said + 1, tail);
}

bool payload_fits(const struct running *run, const struct msg_end *end)
{
    static const uint8_t none[HASH_BYTES];
    tree_hash digest;
    bool named = memcmp(end->reply_digest, none, HASH_BYTES) != 0;
    bool wanted = (run->capture & CAPTURE_REPLY) && named && end->reply_size <= CAPTURE_MAX;
    if (!wanted) return !run->reply.used;
    if (!run->reply.used || run->reply.used != end->reply_size) return false;
    sha256(run->reply.bytes, run->reply.used, digest);
    return memcmp(digest, end->reply_digest, HASH_BYTES) == 0;
}

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

static void commit(const struct payload_proof *proof, const uint8_t salt[PAYLOAD_SALT], const char *bytes,
                   tree_hash out)
{
    static const char reply_tag[] = "caisson reply v1\n";
    tree_hash digest;
    if (proof->input) {
        sha256_three(FRAME_INPUT_TAG, sizeof FRAME_INPUT_TAG - 1, salt, PAYLOAD_SALT, bytes, proof->size, out);
        return;
    }
    sha256(bytes, proof->size, digest);
    sha256_three(reply_tag, sizeof reply_tag - 1, salt, PAYLOAD_SALT, digest, HASH_BYTES, out);
}

bool payload_open(const struct payload_proof *proof, const struct buf *value, uint8_t salt[PAYLOAD_SALT],
                  struct buf *bytes, struct err *err)
{
    BUF_AUTO plain = {.max = PAYLOAD_SEALED};
    tree_hash hash;
    char text[HASH_TEXT];
    if (!subjects_unseal(proof->key, proof->count ? proof->count : 1, value->bytes, value->used, &plain, err))
        return err_set(err, ERR_DAMAGED, "what is kept of the payload is damaged: it cannot be opened");
    if (plain.used < PAYLOAD_SALT || proof->size > plain.used - PAYLOAD_SALT)
        return err_set(err, ERR_DAMAGED, "what is kept of the payload is damaged: it is cut");
    memcpy(salt, plain.bytes, PAYLOAD_SALT);
    commit(proof, salt, plain.bytes + PAYLOAD_SALT, hash);
    hex_text(hash, HASH_BYTES, text);
    if (strcmp(text, proof->commitment) != 0)
        return err_set(err, ERR_DAMAGED, "what is kept of the payload is not what the log's record commits to");
    return buf_add(bytes, plain.bytes + PAYLOAD_SALT, proof->size) ||
           err_set(err, ERR_BUSY, "there is no memory for the payload");
}
