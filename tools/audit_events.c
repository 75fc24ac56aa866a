/* SPDX-License-Identifier: Apache-2.0 */
/* One event per ended call, out of its intent and its outcome, in the words of OCSF and of CEF. Each says where in the
 * log it stands, so that a copy elsewhere leads back to what can be proven. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "audit_db.h"
#include "audit_export.h"
#include "base/auto_json.h"
#include "base/json.h"

#ifndef CAISSON_VERSION
#define CAISSON_VERSION "0"
#endif
#define OCSF_VERSION "1.3.0"

enum { API_ACTIVITY = 6003, APPLICATION = 6, OTHER = 99, NS_PER_MS = 1000000 };

/* What became of a call, as others grade it. */
static const struct grade {
    const char *class;
    int severity_id, status_id, cef;
} grades[] = {
    {"ok", 1, 1, 1},      {"rejected", 2, 2, 4},  {"retryable", 2, 2, 4}, {"bad_input", 2, 2, 3}, {"timeout", 3, 2, 5},
    {"crashed", 3, 2, 6}, {"violation", 4, 2, 9}, {"refused", 2, 2, 4},   {"lost", 3, 0, 6},
};
static const char *const severities[] = {"Unknown", "Informational", "Low", "Medium", "High"};
static const char *const statuses[] = {"Unknown", "Success", "Failure"};

static const struct grade *grade_of(const char *class)
{
    static const struct grade none = {"", 0, 0, 5};
    for (size_t i = 0; i < sizeof grades / sizeof *grades; i++)
        if (strcmp(grades[i].class, class) == 0) return &grades[i];
    return &none;
}

/* One attempt of a call. */
struct event {
    const struct audit_log *log;
    uint64_t index; /* of the outcome */
    json_int_t intent_index;
    json_t *intent, *outcome, *personal; /* personal: NULL unless it was asked for and is readable */
    char leaf[HASH_TEXT], intent_leaf[HASH_TEXT];
};

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────── */

static bool read_entry(struct audit_log *log, uint64_t index, json_t **body, char leaf[HASH_TEXT], struct err *err)
{
    const uint8_t *bytes, *hash;
    size_t length;
    *body = NULL;
    if (!audit_log_body(log, index, &bytes, &length, NULL, &hash, err)) return false;
    if (hash) hex_text(hash, HASH_BYTES, leaf);
    return !bytes || json_read((const char *)bytes, length, length + 1, body, err) ||
           err_in(err, "entry %llu", (unsigned long long)index);
}

static bool read_personal(struct audit_log *log, uint64_t index, json_t **personal, struct err *err)
{
    sqlite3_stmt *row = NULL;
    static const char sql[] = "SELECT value FROM detail WHERE n = 2 * ?1 AND name = 'personal' AND form = 0";
    if (!audit_db_prepare(log->db, sql, &row, err)) return false;
    sqlite3_bind_int64(row, 1, (int64_t)index);
    int got = audit_db_step(log->db, row, err);
    struct err ignored = {0};
    if (got == 1)
        json_read(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0),
                  (size_t)sqlite3_column_bytes(row, 0) + 1, personal, &ignored);
    sqlite3_finalize(row);
    return got >= 0;
}

static void event_clear(struct event *event)
{
    json_decref(event->intent);
    json_decref(event->outcome);
    json_decref(event->personal);
}

/* false without err: its bytes are pruned. */
static bool event_read(struct audit_log *log, uint64_t index, bool personal, struct event *event, struct err *err)
{
    *event = (struct event){.log = log, .index = index};
    if (!read_entry(log, index, &event->outcome, event->leaf, err) || !event->outcome) return false;
    event->intent_index = number(event->outcome, "intent");
    if (event->intent_index < 0 || (uint64_t)event->intent_index >= index)
        return err_set(err, ERR_DAMAGED, "entry %llu does not name its intent", (unsigned long long)index);
    if (!read_entry(log, (uint64_t)event->intent_index, &event->intent, event->intent_leaf, err) || !event->intent)
        return false;
    if (strcmp(text(event->intent, "call"), text(event->outcome, "call")) != 0)
        return err_set(err, ERR_DAMAGED, "entry %llu names another call's intent", (unsigned long long)index);
    return !personal || read_personal(log, (uint64_t)event->intent_index, &event->personal, err);
}

/* ── OCSF ──────────────────────────────────────────────────────────────────────────────────────────── */

static json_t *ocsf_metadata(const struct event *event)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:I, s:s, s:s, s:s, s:s}", "version", OCSF_VERSION, "product",
                     "name", "Caisson", "vendor_name", "Caisson", "version", CAISSON_VERSION, "uid",
                     json_sprintf("%s#%llu", event->log->origin, (unsigned long long)event->index), "sequence",
                     (json_int_t)event->index, "log_name", event->log->origin, "log_provider", "caissond", "event_code",
                     "call", "correlation_uid", text(event->outcome, "call"));
}

static json_t *ocsf_actor(const struct event *event)
{
    const char *caller = text(event->personal, "caller");
    return *caller ? json_pack("{s:s, s:{s:s}}", "app_name", "caissond", "user", "uid", caller)
                   : json_pack("{s:s}", "app_name", "caissond");
}

static json_t *ocsf_api(const struct event *event)
{
    const char *class = text(event->outcome, "class");
    json_t *response = json_pack("{s:s}", "message", class);
    if (strcmp(class, "ok") != 0) json_object_set_new(response, "error", json_string(class));
    return json_pack("{s:s, s:{s:s, s:s}, s:{s:s}, s:o}", "operation", text(event->intent, "action"), "service", "name",
                     text(event->intent, "connector"), "version", text(event->intent, "version"), "request", "uid",
                     text(event->outcome, "call"), "response", response);
}

/* What the schema has no place for, under our own names. */
static json_t *ocsf_unmapped(const struct event *event)
{
    static const char *const of_outcome[] = {"attempt", "sent",   "reason", "bytes_up",   "bytes_down",
                                             "dials",   "denied", "broker", "duration_us"};
    static const char *const of_intent[] = {"workspace", "isolation", "so", "manifest", "entry", "input_size"};
    json_t *all = json_pack("{s:I, s:s, s:s}", "intent_index", event->intent_index, "intent_leaf", event->intent_leaf,
                            "outcome_leaf", event->leaf);
    for (size_t i = 0; i < sizeof of_outcome / sizeof *of_outcome; i++)
        if (json_object_get(event->outcome, of_outcome[i]))
            json_object_set(all, of_outcome[i], json_object_get(event->outcome, of_outcome[i]));
    for (size_t i = 0; i < sizeof of_intent / sizeof *of_intent; i++)
        if (json_object_get(event->intent, of_intent[i]))
            json_object_set(all, of_intent[i], json_object_get(event->intent, of_intent[i]));
    return all;
}

static json_t *ocsf_resources(const struct event *event)
{
    json_t *list = json_array();
    if (json_object_get(event->intent, "credential"))
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "type", "credential", "name",
                                              text(event->intent, "credential"), "namespace",
                                              text(event->intent, "workspace"), "version",
                                              json_sprintf("%lld", number(event->intent, "credential_version"))));
    return list;
}

static void ocsf_outcome(const struct event *event, json_t *whole)
{
    const struct grade *grade = grade_of(text(event->outcome, "class"));
    json_int_t begun = number(event->intent, "at") / NS_PER_MS, ended = number(event->outcome, "at") / NS_PER_MS;
    JSON_AUTO *more = json_pack("{s:i, s:s, s:i, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o}", "severity_id",
                                grade->severity_id, "severity", severities[grade->severity_id], "status_id",
                                grade->status_id, "status", statuses[grade->status_id], "status_code",
                                text(event->outcome, "class"), "status_detail",
                                json_sprintf("sent=%s", text(event->outcome, "sent")), "time", ended, "start_time",
                                begun, "end_time", ended, "duration", ended - begun, "message",
                                json_sprintf("%s/%s: %s", text(event->intent, "connector"),
                                             text(event->intent, "action"), text(event->outcome, "class")));
    json_object_update(whole, more);
}

static json_t *ocsf_event(const struct event *event)
{
    json_t *whole = json_pack("{s:i, s:s, s:i, s:s, s:i, s:s, s:i, s:s, s:o, s:o, s:o, s:{s:s}, s:o}", "activity_id",
                              OTHER, "activity_name", "Call", "category_uid", APPLICATION, "category_name",
                              "Application Activity", "class_uid", API_ACTIVITY, "class_name", "API Activity",
                              "type_uid", API_ACTIVITY * 100 + OTHER, "type_name", "API Activity: Other", "metadata",
                              ocsf_metadata(event), "actor", ocsf_actor(event), "api", ocsf_api(event), "src_endpoint",
                              "svc_name", "caissond", "unmapped", ocsf_unmapped(event));
    json_t *resources = ocsf_resources(event);
    if (whole && json_array_size(resources)) json_object_set(whole, "resources", resources);
    json_decref(resources);
    if (whole) ocsf_outcome(event, whole);
    return whole;
}

static bool ocsf_print(const struct event *event, FILE *out)
{
    JSON_AUTO *whole = ocsf_event(event);
    return whole && json_dumpf(whole, out, JSON_COMPACT | JSON_SORT_KEYS) == 0 && fputc('\n', out) != EOF;
}

/* ── CEF ───────────────────────────────────────────────────────────────────────────────────────────── */

/* In the header a bar ends a field, in the extension an equals sign ends a key; a newline ends the event. */
static void cef_text(FILE *out, const char *value, bool header)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == (header ? '|' : '='))
            fprintf(out, "\\%c", *value);
        else if (*value == '\n' || *value == '\r')
            fputs(header ? " " : *value == '\n' ? "\\n" : "\\r", out);
        else if ((unsigned char)*value < ' ')
            fputc(' ', out);
        else
            fputc(*value, out);
    }
}

static void cef_pair(FILE *out, const char *key, const char *value)
{
    if (!*value) return;
    fprintf(out, " %s=", key);
    cef_text(out, value, false);
}

/* A field that CEF names only by a label beside it. */
static void cef_labelled(FILE *out, const char *key, const char *label, const char *value)
{
    if (!*value) return;
    cef_pair(out, key, value);
    fprintf(out, " %sLabel=%s", key, label);
}

static void cef_number(FILE *out, const char *key, json_int_t value)
{
    fprintf(out, " %s=%lld", key, (long long)value);
}

static void cef_header(const struct event *event, FILE *out)
{
    const char *class = text(event->outcome, "class");
    fputs("CEF:0|Caisson|caissond|" CAISSON_VERSION "|call.", out);
    cef_text(out, class, true);
    fputc('|', out);
    cef_text(out, text(event->intent, "connector"), true);
    fputc('/', out);
    cef_text(out, text(event->intent, "action"), true);
    fprintf(out, "|%d|", grade_of(class)->cef);
}

static bool cef_print(const struct event *event, FILE *out)
{
    json_int_t begun = number(event->intent, "at") / NS_PER_MS, ended = number(event->outcome, "at") / NS_PER_MS;
    cef_header(event, out);
    fprintf(out, "rt=%lld start=%lld end=%lld", (long long)ended, (long long)begun, (long long)ended);
    cef_pair(out, "externalId", text(event->outcome, "call"));
    cef_pair(out, "app", text(event->intent, "connector"));
    cef_pair(out, "act", text(event->intent, "action"));
    cef_pair(out, "outcome", text(event->outcome, "class"));
    cef_pair(out, "reason", text(event->outcome, "reason"));
    cef_pair(out, "suser", text(event->personal, "caller"));
    cef_number(out, "out", number(event->outcome, "bytes_up"));
    cef_number(out, "in", number(event->outcome, "bytes_down"));
    cef_labelled(out, "cs1", "origin", event->log->origin);
    cef_labelled(out, "cs2", "workspace", text(event->intent, "workspace"));
    cef_labelled(out, "cs3", "credential", text(event->intent, "credential"));
    cef_labelled(out, "cs4", "sent", text(event->outcome, "sent"));
    cef_labelled(out, "cs5", "leaf", event->leaf);
    cef_labelled(out, "cs6", "intentLeaf", event->intent_leaf);
    fprintf(out, " cn1=%llu cn1Label=index cn2=%lld cn2Label=intentIndex cn3=%lld cn3Label=attempt\n",
            (unsigned long long)event->index, (long long)event->intent_index,
            (long long)number(event->outcome, "attempt"));
    return !ferror(out);
}

/* ── all of them ───────────────────────────────────────────────────────────────────────────────────── */

static bool one(struct audit_log *log, uint64_t index, const struct export_range *range,
                bool (*print)(const struct event *event, FILE *out), FILE *out, struct export_count *count,
                struct err *err)
{
    struct event event;
    *err = (struct err){0};
    bool read = event_read(log, index, range->personal, &event, err), good = true;
    if (read && !print(&event, out)) good = err_sys(err, ERR_IO, "the output cannot be written");
    event_clear(&event);
    if (!read && err->kind != ERR_NONE) return false;
    count->written += read;
    count->pruned += !read;
    return good;
}

static bool all(struct audit_log *log, const struct export_range *range,
                bool (*print)(const struct event *event, FILE *out), FILE *out, struct export_count *count,
                struct err *err)
{
    sqlite3_stmt *row = NULL;
    int64_t open;
    if (!audit_db_prepare(log->db, "SELECT idx FROM entry WHERE kind = 2 AND idx BETWEEN ?1 AND ?2 ORDER BY idx", &row,
                          err))
        return false;
    sqlite3_bind_int64(row, 1, (int64_t)range->from);
    sqlite3_bind_int64(row, 2, (int64_t)range->to);
    int got;
    bool good = true;
    while (good && (got = audit_db_step(log->db, row, err)) == 1)
        good = one(log, (uint64_t)sqlite3_column_int64(row, 0), range, print, out, count, err);
    sqlite3_finalize(row);
    if (!good || got < 0 || !audit_db_number(log->db, "SELECT count(*) FROM call WHERE state = 0", &open, err))
        return false;
    count->open = (uint64_t)open;
    return true;
}

bool export_ocsf(struct audit_log *log, const struct export_range *range, FILE *out, struct export_count *count,
                 struct err *err)
{
    return all(log, range, ocsf_print, out, count, err);
}

bool export_cef(struct audit_log *log, const struct export_range *range, FILE *out, struct export_count *count,
                struct err *err)
{
    return all(log, range, cef_print, out, count, err);
}
