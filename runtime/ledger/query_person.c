/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that is recorded about one person: entries, calls, and the details that only the person's key opens. The
 * record of who asked comes first, and each page has its own. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "payload.h"
#include "query.h"
#include "store_payload.h"
#include "subject.h"

enum { PAGE = 10 /* of at most 5 KiB each */, PATIENCE_S = 8 };

struct item {
    json_t *row;
    struct buf value; /* sealed */
    unsigned count;
};
struct page {
    struct query query; /* a copy: in belongs to the original */
    char normal[SUBJECT_BYTES];
    struct store_subject person;
    struct item items[PAGE];
    unsigned count, waiting;
    int64_t next; /* -1: this was the last page */
    struct err err;
};
struct opening {
    struct page *page;
    unsigned item;
};

static void free_page(struct page *page)
{
    for (unsigned i = 0; i < page->count; i++) {
        json_decref(page->items[i].row);
        buf_clear(&page->items[i].value);
    }
    free(page);
}

/* ── one entry ─────────────────────────────────────────────────────────────────────────────────────── */

struct reading {
    struct store *store;
    json_t *row;
    struct call_ref call;
    bool intent;
};

static bool read_row(void *context, const struct store_entry *entry)
{
    struct reading *reading = context;
    reading->row = entry_json(reading->store, entry);
    reading->intent = entry->kind == RECORD_INTENT && entry->call;
    if (reading->intent) memcpy(reading->call.id, entry->call, ID_BYTES);
    reading->call.attempt = entry->attempt;
    return false;
}

/* An intent brings its call's state, and the outcome where that has no sealed part (then it is listed by itself). */
static bool add_call(struct page *page, const struct reading *intent, struct err *err)
{
    struct ledger *ledger = page->query.ledger;
    struct reading outcome = {.store = ledger->store};
    struct store_call call;
    bool found;
    if (!store_call_get(ledger->store, intent->call.id, intent->call.attempt, &call, &found, err)) return false;
    if (!found) return true;
    json_object_set_new(intent->row, "call_state", call_json(&call, page->query.workspace.name));
    if (!call.ended) return true;
    if (!store_entries(ledger->store, call.outcome, 1, read_row, &outcome, err)) return false;
    if (outcome.row) json_object_set_new(intent->row, "outcome", outcome.row);
    return true;
}

/* A captured payload is fetched by itself (query_payload.c); one that speaks of others too is not this person's. */
static bool add_payload(struct page *page, uint64_t index, json_t *row, struct err *err)
{
    BUF_AUTO value = {.max = PAYLOAD_SEALED};
    uint8_t subjects[SUBJECTS_MAX][ID_BYTES];
    unsigned count;
    uint64_t size;
    bool found;
    if (!store_payload_get(page->query.ledger->store, index, &size, subjects, &count, &value, &found, err))
        return false;
    if (found) json_object_set_new(row, count > 1 ? "payload_shared" : "payload_size", json_integer((json_int_t)size));
    return true;
}

static bool add_item(struct page *page, uint64_t index, struct err *err)
{
    struct ledger *ledger = page->query.ledger;
    struct reading reading = {.store = ledger->store};
    struct item *item = &page->items[page->count];
    uint8_t subjects[SUBJECTS_MAX][ID_BYTES];
    *item = (struct item){.value = {.max = RECORD_MAX}};
    if (!store_entries(ledger->store, index, 1, read_row, &reading, err)) return false;
    if (!reading.row) return true;
    item->row = reading.row;
    page->count++;
    if (!add_payload(page, index, item->row, err)) return false;
    return (!reading.intent || add_call(page, &reading, err)) &&
           store_detail_sealed(ledger->store, index, subjects, &item->count, &item->value, err);
}

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

/* Others that the call was about are not this person's to see: their number only. */
static json_t *own_part(const struct page *page, const struct buf *text)
{
    json_t *about = NULL;
    struct err ignored = {0};
    if (!json_read(text->bytes, text->used, RECORD_MAX, &about, &ignored)) return NULL;
    size_t others = json_array_size(json_object_get(about, "subjects"));
    if (others) {
        json_object_set_new(about, "subjects", json_pack("[s]", page->normal));
        json_object_set_new(about, "others", json_integer((json_int_t)others - 1));
    }
    return about;
}

static void finish(struct page *page)
{
    struct query *query = &page->query;
    JSON_AUTO *list = json_array();
    for (unsigned i = 0; i < page->count; i++) json_array_append(list, page->items[i].row);
    JSON_AUTO *out = json_pack("{s:s, s:s, s:o, s:O}", "subject", page->normal, "workspace", query->workspace.name,
                               "subject_id", id_json(page->person.id), "entries", list);
    if (page->next >= 0) json_object_set_new(out, "next", json_integer((json_int_t)page->next));
    query_answer(query->ledger, query->line, query->generation, query->seq, out,
                 page->err.kind != ERR_NONE ? &page->err : NULL);
    free_page(page);
}

static void opened(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct opening *opening = wait->context;
    struct page *page = opening->page;
    struct item *item = &page->items[opening->item];
    const struct msg_subject_open_answer *got = answer;
    BUF_AUTO text = {.max = RECORD_MAX};
    bool good = got && length == sizeof *got
                    ? status_check(&got->status, &page->err) &&
                          subjects_unseal(got->key, item->count, item->value.bytes, item->value.used, &text, &page->err)
                    : err_set(&page->err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    json_t *about = good ? own_part(page, &text) : NULL;
    if (about) json_object_set_new(item->row, "about", about);
    free(opening);
    if (--page->waiting == 0) finish(page);
}

static bool ask_one(struct page *page, unsigned at, struct err *err)
{
    struct item *item = &page->items[at];
    struct msg_subject_open ask = {.count = item->count};
    struct waiting how = {.done = opened, .until = clock_now() + PATIENCE_S * CLOCK_S};
    uint8_t subjects[SUBJECTS_MAX][ID_BYTES];
    json_int_t index = json_integer_value(json_object_get(item->row, "index"));
    size_t head = 32 + (size_t)item->count * 48;
    bool whole;
    if (!item->count) return true;
    if (!store_detail_sealed(page->query.ledger->store, (uint64_t)index, subjects, &item->count, NULL, err) ||
        !subject_open_keys(page->query.ledger->store, (const uint8_t(*)[ID_BYTES])subjects, item->count, &ask, &whole,
                           err))
        return false;
    if (!whole || item->value.used < head) return true;
    memcpy(ask.workspace, page->query.workspace.id, ID_BYTES);
    memcpy(ask.sealed, item->value.bytes, head);
    struct opening *opening = malloc(sizeof *opening);
    if (!opening) return err_set(err, ERR_BUSY, "there is no memory");
    *opening = (struct opening){page, at};
    how.context = opening;
    if (wait_ask(page->query.ledger, ROLE_VAULT, MSG_SUBJECT_OPEN, &ask, sizeof ask, &how, err)) {
        page->waiting++;
        return true;
    }
    free(opening);
    return false;
}

/* Answers only when every question has come back, also when one could not be asked. */
static void open_all(struct page *page)
{
    page->waiting = 1;
    for (unsigned i = 0; i < page->count && page->err.kind == ERR_NONE; i++) ask_one(page, i, &page->err);
    if (--page->waiting == 0) finish(page);
}

/* ── the query ─────────────────────────────────────────────────────────────────────────────────────── */

static bool find_person(struct page *page, struct err *err)
{
    struct query *query = &page->query;
    char text[SUBJECT_BYTES];
    uint8_t reference[HASH_BYTES];
    bool found;
    if (!in_text(query, "subject", text, sizeof text, err) || !subject_normal(text, page->normal, err)) return false;
    subject_reference(query->workspace.lookup, page->normal, reference);
    if (!store_subject_referenced(query->ledger->store, query->workspace.id, reference, &page->person, &found, err))
        return false;
    return found || err_set(err, ERR_NOT_FOUND, "nothing in workspace %s is about this person", query->workspace.name);
}

static bool record_it(struct page *page, int64_t after, struct err *err)
{
    RECORD_AUTO record;
    char id[ID_TEXT];
    record_init(&record);
    id_text(page->person.id, id);
    record_text(&record, "target", id);
    record_text(&record, "workspace", page->query.workspace.name);
    record_int(&record, "from", after + 1);
    return admin_record(&page->query, "audit.export", &record, err);
}

static bool read_page(struct page *page, struct err *err)
{
    uint64_t after, list[PAGE];
    unsigned count;
    if (!in_number(&page->query, "from", 0, INT64_MAX, &after, err) || !find_person(page, err) ||
        !record_it(page, (int64_t)after - 1, err) ||
        !store_subject_entry_list(page->query.ledger->store, page->person.id, (int64_t)after - 1, list, PAGE, &count,
                                  err))
        return false;
    page->next = count == PAGE ? (int64_t)list[PAGE - 1] + 1 : -1;
    for (unsigned i = 0; i < count; i++)
        if (!add_item(page, list[i], err)) return false;
    return true;
}

bool query_audit_person(struct query *query, json_t **out, struct err *err)
{
    struct page *page = calloc(1, sizeof *page);
    if (!page) return err_set(err, ERR_BUSY, "there is no memory");
    page->query = *query;
    if (!read_page(page, err)) {
        free_page(page);
        return false;
    }
    query->later = true;
    open_all(page);
    return true;
}
