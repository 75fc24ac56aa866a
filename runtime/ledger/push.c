/* SPDX-License-Identifier: Apache-2.0 */
/* The newest checkpoint goes to every place in [Push], at most once in its time, and only when something is in it that
 * pushing did not write itself. One that fails is counted; when it is back, a gap entry says what it missed. */
#include "push.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

enum { PATIENCE_S = 25, DESK_PATIENCE_S = 60 };

/* ── configuration ─────────────────────────────────────────────────────────────────────────────────── */

static bool copy_member(const json_t *object, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text_copy(to, size, text ? text : "");
}

static bool read_sink(const json_t *object, struct sink *sink, struct err *err)
{
    static const char *const kinds[SINK_KINDS] = {"file", "syslog", "webhook", "witness"};
    const char *kind = json_string_value(json_object_get(object, "kind"));
    *sink = (struct sink){.kind = SINK_KINDS};
    for (unsigned i = 0; kind && i < SINK_KINDS; i++)
        if (strcmp(kind, kinds[i]) == 0) sink->kind = (enum sink_kind)i;
    bool fits = copy_member(object, "name", sink->row.name, sizeof sink->row.name) &&
                copy_member(object, "workspace", sink->workspace, sizeof sink->workspace) &&
                copy_member(object, "connector", sink->connector, sizeof sink->connector) &&
                copy_member(object, "action", sink->action, sizeof sink->action) &&
                copy_member(object, "credential", sink->credential, sizeof sink->credential) &&
                copy_member(object, "url", sink->url, sizeof sink->url);
    if (!fits || sink->kind == SINK_KINDS || !name_valid(sink->row.name))
        return err_set(err, ERR_BAD_INPUT, "[Push] names a place that cannot be one");
    const char *vkey = json_string_value(json_object_get(object, "vkey"));
    return sink->kind != SINK_WITNESS || witness_key_read(vkey ? vkey : "", &sink->witness, err) ||
           err_in(err, "[Push] Witness=%s", sink->row.name);
}

static bool is_required(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one && strcmp(one, name) == 0) return true;
    }
    return false;
}

static const struct sink *known(const struct push *push, const struct sink *fresh)
{
    for (unsigned i = 0; i < push->count; i++)
        if (strcmp(push->sinks[i].row.name, fresh->row.name) == 0 && push->sinks[i].kind == fresh->kind)
            return &push->sinks[i];
    return NULL;
}

static bool read_all(const struct push *old, const json_t *config, struct push *fresh, struct err *err)
{
    const json_t *list = json_object_get(config, "sinks"), *every = json_object_get(config, "every");
    json_int_t seconds = json_is_integer(every) ? json_integer_value(every) : PUSH_EVERY_S;
    fresh->every = (uint64_t)(seconds < PUSH_EVERY_S ? PUSH_EVERY_S : seconds) * CLOCK_S;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (fresh->count == PUSH_SINKS) return err_set(err, ERR_BAD_INPUT, "[Push] names more than 16 places");
        struct sink *sink = &fresh->sinks[fresh->count++];
        if (!read_sink(json_array_get(list, i), sink, err)) return false;
        sink->required = is_required(json_object_get(config, "required"), sink->row.name);
        const struct sink *was = known(old, sink);
        if (!was) continue;
        sink->row = was->row;
        sink->failures = was->failures;
        memcpy(sink->error, was->error, sizeof sink->error);
    }
    return true;
}

/* What is on its way under the old configuration is of no account any more. */
bool push_config(struct ledger *ledger, const json_t *config, struct err *err)
{
    struct push *push = &ledger->push, fresh = {.at = push->at,
                                                .seen = push->seen,
                                                .news = push->news,
                                                .numbers = push->numbers,
                                                .configs = push->configs + 1,
                                                .desk = push->desk};
    if (!read_all(push, config, &fresh, err)) return false;
    buf_clear(&push->call.input);
    *push = fresh;
    return !ledger->opened || push_open(ledger, err);
}

/* The time between two pushes holds over a restart too. */
bool push_open(struct ledger *ledger, struct err *err)
{
    struct push *push = &ledger->push;
    uint64_t last = 0, wall = clock_wall(), now = clock_now();
    for (unsigned i = 0; i < push->count; i++) {
        struct store_sink *row = &push->sinks[i].row;
        if (!store_sink_get(ledger->store, row, err)) return false;
        if (row->at > last) last = row->at;
        if (!row->missed) push->sinks[i].failures = 0;
    }
    uint64_t ago = wall > last ? wall - last : 0;
    if (!push->at && last && ago < push->every) push->at = now > ago ? now - ago : 1;
    return true;
}

/* ── what others ask ───────────────────────────────────────────────────────────────────────────────── */

bool push_admits(const struct ledger *ledger, struct err *err)
{
    for (unsigned i = 0; i < ledger->push.count; i++) {
        const struct sink *sink = &ledger->push.sinks[i];
        if (sink->required && sink->row.missed)
            return err_set(err, ERR_UNAVAILABLE,
                           "checkpoints of the log do not reach %s, without which caisson.conf allows no call ([Push] "
                           "Required=): nothing was sent, try again later",
                           sink->row.name);
    }
    return true;
}

json_t *push_json(const struct ledger *ledger)
{
    json_t *out = json_object();
    for (unsigned i = 0; i < ledger->push.count; i++) {
        const struct sink *sink = &ledger->push.sinks[i];
        const char *state = sink->row.missed ? "down" : sink->row.size ? "up" : "waiting";
        json_t *one = json_pack("{s:s, s:I, s:I, s:b}", "state", state, "size", (json_int_t)sink->row.size, "missed",
                                (json_int_t)sink->row.missed, "required", sink->required);
        if (sink->row.at) json_object_set_new(one, "at", json_integer((json_int_t)(sink->row.at / CLOCK_S)));
        if (sink->row.missed && sink->error[0]) json_object_set_new(one, "error", json_string(sink->error));
        json_object_set_new(out, sink->row.name, one);
    }
    return out;
}

bool push_made(struct ledger *ledger, uint64_t index)
{
    bool made = false;
    struct err ignored = {0};
    return store_push_entry_has(ledger->store, index, &made, &ignored) && made;
}

static bool pushes_through(const struct ledger *ledger, const uint8_t entry[HASH_BYTES])
{
    for (unsigned i = 0; i < ledger->push.count; i++) {
        const struct sink *sink = &ledger->push.sinks[i];
        const struct entry *one = sink->connector[0] ? registry_find(&ledger->registry, sink->connector) : NULL;
        if (one && memcmp(one->digest, entry, HASH_BYTES) == 0) return true;
    }
    return false;
}

/* One that names no call counts as pushing's own when its connector pushes: a connector that cannot even be loaded
 * would else bring on the next push with every one that it spoils. */
bool push_incident(struct ledger *ledger, const struct call_ref *call, const uint8_t entry[HASH_BYTES])
{
    struct store_call found;
    struct err ignored = {0};
    bool there = false;
    if (!ledger->push.count) return false;
    if (!call) return pushes_through(ledger, entry);
    const struct running *run = calls_find(&ledger->calls, call);
    if (run) return run->push;
    return store_call_get(ledger->store, call->id, call->attempt, &found, &there, &ignored) && there &&
           push_made(ledger, found.intent);
}

/* ── what came of it ───────────────────────────────────────────────────────────────────────────────── */

static bool write_gap(struct ledger *ledger, const struct sink *sink, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    record_init(&record);
    record_text(&record, "sink", sink->row.name);
    record_int(&record, "count", (int64_t)sink->row.missed);
    record_int(&record, "from", (int64_t)sink->row.from);
    record_int(&record, "to", (int64_t)sink->row.to);
    return journal_add(&ledger->journal, &(struct journal_about){.kind = RECORD_GAP, .push = true}, &record, &index,
                       err);
}

static bool keep_row(struct ledger *ledger, const struct sink *sink, const struct store_sink *row, struct err *err)
{
    if (journal_begin(&ledger->journal, err) && (!sink->row.missed || row->missed || write_gap(ledger, sink, err)) &&
        store_sink_put(ledger->store, row, err) && journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    if (err->kind == ERR_AUDIT && !ledger->sealed) ledger_seal(ledger, err);
    return false;
}

/* Entries that pushing made are looked at only above the smallest size that is pushed. */
static void forget_entries(struct ledger *ledger)
{
    struct err err = {0};
    uint64_t below = UINT64_MAX;
    for (unsigned i = 0; i < ledger->push.count; i++)
        if (ledger->push.sinks[i].row.size < below) below = ledger->push.sinks[i].row.size;
    if (below > ledger->push.seen) below = ledger->push.seen;
    /* An hour's worth is left: outcomes and incidents of calls that go on ask for their intents. */
    below = below > 4096 ? below - 4096 : 0;
    if (below && !store_push_entry_drop(ledger->store, below, &err)) log_failure("push-entries", &err);
}

void push_taken(struct ledger *ledger, struct sink *sink, uint64_t size)
{
    struct err err = {0};
    struct store_sink row = sink->row;
    uint64_t missed = row.missed;
    sink->asked = false;
    sink->asks = 0;
    row.missed = row.from = row.to = 0;
    row.size = size;
    row.at = clock_wall();
    if (ledger->sealed || !keep_row(ledger, sink, &row, &err)) return; /* it is pushed once more */
    sink->row = row;
    sink->failures = 0;
    sink->rests = 0;
    sink->error[0] = '\0';
    if (missed) log_event(LOG_LEVEL_INFO, "push-again", log_text("sink", row.name), log_number("missed", missed));
    forget_entries(ledger);
    role_wake_at(ledger->role, clock_now() + CLOCK_MS);
}

void push_failed(struct ledger *ledger, struct sink *sink, uint64_t size, const struct err *why)
{
    struct err err = {0};
    bool first = !sink->row.missed;
    sink->asked = false;
    sink->asks = 0;
    sink_failed(sink, size, ledger->push.every, clock_now());
    sink->row.at = clock_wall();
    TEXT_COPY(sink->error, why->text);
    log_event(first ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "push-failed", log_text("sink", sink->row.name),
              log_number("missed", sink->row.missed), log_text("error", why->text));
    if (!ledger->sealed && !keep_row(ledger, sink, &sink->row, &err)) log_failure("push-failed", &err);
    role_wake_at(ledger->role, clock_now() + CLOCK_MS);
}

/* ── a round ───────────────────────────────────────────────────────────────────────────────────────── */

static struct sink *find_sink(struct ledger *ledger, const char *name)
{
    for (unsigned i = 0; i < ledger->push.count; i++)
        if (strcmp(ledger->push.sinks[i].row.name, name) == 0) return &ledger->push.sinks[i];
    return NULL;
}

/* What the parent was asked; by name, and under which configuration, since a reload may come in between. */
struct asked {
    char name[NAME_BYTES];
    uint64_t size;
    uint32_t config;
};

static void pushed(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct asked *asked = wait->context;
    const struct ctl_pushed *got = answer;
    struct sink *sink = asked->config == ledger->push.configs ? find_sink(ledger, asked->name) : NULL;
    struct err err = {0};
    bool heard = got && length == sizeof *got;
    if (!heard) err_set(&err, ERR_UNAVAILABLE, "the daemon's parent did not answer in time");
    if (sink && sink->asked && heard && status_check(&got->status, &err))
        push_taken(ledger, sink, asked->size);
    else if (sink && sink->asked)
        push_failed(ledger, sink, asked->size, &err);
    free(asked);
}

static bool ask_parent(struct ledger *ledger, struct sink *sink, struct ctl_push *ask, struct err *err)
{
    struct asked *asked = calloc(1, sizeof *asked);
    struct waiting how = {.done = pushed, .until = clock_now() + PATIENCE_S * CLOCK_S, .context = asked};
    if (!asked) return err_set(err, ERR_BUSY, "there is no memory");
    memcpy(asked->name, sink->row.name, sizeof asked->name);
    asked->size = ask->size;
    asked->config = ledger->push.configs;
    memcpy(ask->sink, sink->row.name, sizeof ask->sink);
    sink->asked = true;
    if (wait_ask(ledger, ROLE_PARENT, CTL_PUSH, ask, sizeof *ask, &how, err)) return true;
    free(asked);
    return false;
}

static bool newest(struct ledger *ledger, struct ctl_push *ask, struct err *err)
{
    BUF_AUTO note = {.max = PUSH_NOTE};
    *ask = (struct ctl_push){0};
    if (!store_checkpoint_last(ledger->store, &ask->size, ask->root, &note, err)) return false;
    if (!note.used) return err_set(err, ERR_STATE, "nothing is signed yet");
    ask->length = (uint32_t)note.used;
    memcpy(ask->note, note.bytes, note.used);
    return true;
}

static void begin_round(struct ledger *ledger, uint64_t now)
{
    struct push *push = &ledger->push;
    struct ctl_push ask;
    struct err err = {0};
    if (!newest(ledger, &ask, &err)) {
        log_failure("push", &err);
        push->at = now; /* or the time of this round would stay the next one's */
        return;
    }
    for (unsigned i = 0; i < push->count; i++) {
        struct sink *sink = &push->sinks[i];
        if (push->now) sink->rests = 0;
        if (!sink_wants(sink, push->news, now)) continue;
        push->at = now;
        push->round_until = now + DESK_PATIENCE_S * CLOCK_S;
        if (sink->kind == SINK_WEBHOOK || sink->kind == SINK_WITNESS)
            sink->asked = true; /* push_call.c has it made */
        else if (!ask_parent(ledger, sink, &ask, &err))
            push_failed(ledger, sink, ask.size, &err);
    }
}

/* What of the newly signed entries is worth a push? */
static bool look(struct ledger *ledger)
{
    struct push *push = &ledger->push;
    struct err err = {0};
    uint64_t news = 0, size = ledger->sign.signed_size;
    if (size <= push->seen) return true;
    if (!store_push_news(ledger->store, push->seen, size, &news, &err)) return log_failure("push", &err), false;
    if (news) push->news = news;
    push->seen = size;
    return true;
}

uint64_t push_tick(struct ledger *ledger)
{
    struct push *push = &ledger->push;
    uint64_t now = clock_now();
    if (!push->count || ledger->sealed || ledger->forked || !ledger->store) return 0;
    uint64_t due = push_due(push, ledger->sign.signed_size, now);
    if (due && now >= due) {
        if (look(ledger))
            begin_round(ledger, now);
        else
            push->at = now;
        push->now = false;
        due = push_due(push, ledger->sign.signed_size, now);
    }
    uint64_t call = push_calls(ledger);
    return !due || (call && call < due) ? call : due;
}

void push_now(struct ledger *ledger)
{
    ledger->push.now = true;
    role_wake_at(ledger->role, clock_now());
}

bool push_busy(const struct ledger *ledger)
{
    bool busy = ledger->push.now;
    for (unsigned i = 0; i < ledger->push.count; i++) busy |= ledger->push.sinks[i].asked;
    return busy;
}
