/* SPDX-License-Identifier: Apache-2.0 */
/* A witness is shown the checkpoint with the proof that it extends the last one it saw (C2SP tlog-witness). Its
 * cosignature is kept when the key of caisson.conf made it. That it knows another log than this one stops all calls. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "epoch.h"
#include "push.h"

/* ── the question ──────────────────────────────────────────────────────────────────────────────────── */

static json_t *hashes_json(const tree_hash *hashes, unsigned count)
{
    char text[sodium_base64_ENCODED_LEN(HASH_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        sodium_bin2base64(text, sizeof text, hashes[i], HASH_BYTES, sodium_base64_VARIANT_ORIGINAL);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

bool push_show(struct ledger *ledger, const struct push_call *call, const struct buf *note, struct buf *input,
               struct err *err)
{
    struct journal *journal = &ledger->journal;
    tree_hash proof[TREE_PROOF];
    unsigned count = 0;
    bool proven = call->old == 0 || call->old == call->size ||
                  tree_consistency(&journal->tree, call->old, call->size, journal_tiles, journal, proof, &count);
    if (!proven || call->old > call->size) return err_set(err, ERR_INTERNAL, "no proof of growth can be made");
    JSON_AUTO *object = json_pack("{s:s, s:I, s:o, s:s}", "url", call->sink->url, "old", (json_int_t)call->old, "proof",
                                  hashes_json(proof, count), "checkpoint", note->bytes);
    return (object && json_compact(object, input)) || err_set(err, ERR_BUSY, "there is no memory for a push");
}

/* ── another log ───────────────────────────────────────────────────────────────────────────────────── */

static bool record_doubt(struct ledger *ledger, const struct sink *sink, const char *why, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    struct store_sink row = sink->row;
    record_init(&record);
    record_text(&record, "act", "witness.conflict");
    record_int(&record, "count", (int64_t)row.claimed);
    record_text(&record, "target", row.name);
    record_text(&record, "text", why);
    if (journal_begin(&ledger->journal, err) &&
        journal_add(&ledger->journal, &(struct journal_about){.kind = RECORD_ADMIN}, &record, &index, err) &&
        epoch_doubt(ledger, why, err) && store_sink_put(ledger->store, &row, err) &&
        journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    return false;
}

/* Whoever holds this data may have put back an older one, witness/ and vault.db included: only eyes elsewhere can know.
 * So no call runs until a person has looked; what was said stands in the log. An administrator who found the witness
 * to be wrong is not asked about the same claim again. */
static void doubt(struct ledger *ledger, struct push_call *call, uint64_t claimed, const char *text)
{
    struct sink *sink = call->sink;
    char why[ERR_TEXT];
    struct err err = {0};
    snprintf(why, sizeof why, "witness %s %s", sink->row.name, text);
    err_set(&err, ERR_STATE, "%s", why);
    bool again = sink->row.claimed == claimed;
    push_failed(ledger, sink, call->size, &err);
    if (again || ledger->sealed) return;
    sink->row.claimed = claimed;
    log_event(LOG_LEVEL_ERROR, "witness-conflict", log_text("sink", sink->row.name), log_text("error", why),
              log_number("claimed", claimed), log_number("signed", ledger->sign.signed_size),
              log_text("next",
                       "calls wait: look why, then run \"caisson audit epoch --reason WHY\" to go on, or restart "
                       "to begin the log's next epoch"));
    err = (struct err){0};
    if (record_doubt(ledger, sink, why, &err)) return;
    log_failure("witness-conflict", &err);
    sink->row.claimed = 0;
    ledger->held = ledger->doubted = true; /* not written down, so it is found again; until then no call runs */
}

/* ── the answer ────────────────────────────────────────────────────────────────────────────────────── */

static bool keep_line(struct ledger *ledger, const struct push_call *call, const char *answer, size_t length,
                      struct err *err)
{
    BUF_AUTO line = {.max = 1024};
    BUF_AUTO text = {.max = NOTE_MAX};
    tree_hash root;
    const struct sink *sink = call->sink;
    if (!tree_root_at(&ledger->journal.tree, call->size, journal_tiles, &ledger->journal, root) ||
        !note_text(ledger->origin, call->size, root, &text))
        return err_set(err, ERR_INTERNAL, "the checkpoint's text cannot be made");
    return witness_check(&sink->witness, &text, answer, length, &line, err) &&
           store_cosignature_put(ledger->store, call->size, sink->witness.name, &line, err);
}

static void cosigned(struct ledger *ledger, struct push_call *call, const json_t *answer)
{
    const json_t *lines = json_object_get(answer, "cosignature");
    const char *text = json_string_value(lines);
    struct err err = {0};
    if (keep_line(ledger, call, text ? text : "", json_string_length(lines), &err))
        push_taken(ledger, call->sink, call->size);
    else
        push_failed(ledger, call->sink, call->size, &err);
}

/* It saw another size last. true: settled. */
static bool other_size(struct ledger *ledger, struct push_call *call, const json_t *answer)
{
    const json_t *value = json_object_get(answer, "size");
    json_int_t size = json_is_integer(value) ? json_integer_value(value) : -1;
    struct err err = {0};
    if (size > 0 && (uint64_t)size > ledger->sign.signed_size) {
        doubt(ledger, call, (uint64_t)size, "saw more entries than this log has signed");
    } else if (size > 0 && (uint64_t)size == call->old && call->old == call->size) {
        doubt(ledger, call, (uint64_t)size, "saw another log of this size");
    } else if (size < 0 || (uint64_t)size == call->old) {
        err_set(&err, ERR_PROTOCOL, "the witness contradicts itself");
        push_failed(ledger, call->sink, call->size, &err);
    } else {
        call->old = (uint64_t)size;
        return false;
    }
    return true;
}

bool push_heard(struct ledger *ledger, struct push_call *call, const char *text, size_t length)
{
    JSON_AUTO *answer = NULL;
    struct err err = {0};
    if (length == 0 || !json_read(text, length, PUSH_ANSWER, &answer, &err)) answer = NULL;
    const json_t *status = json_object_get(answer, "status");
    switch (json_is_integer(status) ? json_integer_value(status) : 0) {
    case 200: cosigned(ledger, call, answer); return true;
    case 409: return other_size(ledger, call, answer);
    case 422:
        if (call->old == 0) break; /* there was no proof that could be wrong */
        doubt(ledger, call, call->old, "does not find the entries that it saw at the beginning of this log");
        return true;
    default: break;
    }
    err = (struct err){0};
    err_set(&err, ERR_PROTOCOL, "the witness's answer is none that is known");
    push_failed(ledger, call->sink, call->size, &err);
    return true;
}
