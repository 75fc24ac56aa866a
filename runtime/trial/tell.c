/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals and ends in words. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advice.h"
#include "base/auto.h"
#include "runtime/runner/runner.h"
#include "sandbox/call_names.h"
#include "trial.h"

enum { TEXT_MOST = 256 };

/* ── refusals ────────────────────────────────────────────────────────────────────────────────────────── */

/* In quotes, with everything escaped that is not plain ASCII. NULL: there is no text. */
static json_t *quoted(pid_t pid, uint64_t address)
{
    char text[TEXT_MOST];
    if (!pid || !look_text(pid, address, text, sizeof text)) return NULL;
    for (char *at = text; *at; at++)
        if (*at & 0x80) *at = '?';
    json_t *value = json_string(text);
    FREE_AUTO char *written = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(value);
    return written ? json_string(written) : NULL;
}

/* The texts where there are some; else the registers, as many as are not zero. */
static json_t *told(const char *name, const struct cell_attempt *attempt, pid_t pid)
{
    struct call_kind kind = call_kind(name);
    BUF_AUTO text = {.max = 4096};
    unsigned texts = 0, numbers = 0;
    buf_print(&text, "%s(", name);
    for (int i = 0; i < CALL_ARGUMENTS; i++) {
        json_t *one = kind.text[i] ? quoted(pid, attempt->args[i]) : NULL;
        if (one) buf_print(&text, "%s%s", texts++ ? ", " : "", json_string_value(one));
        json_decref(one);
        if (attempt->args[i]) numbers = (unsigned)i + 1;
    }
    for (unsigned i = 0; !texts && pid && i < numbers; i++)
        buf_print(&text, "%s0x%" PRIx64, i ? ", " : "", attempt->args[i]);
    buf_text(&text, ")");
    return json_string(text.bytes);
}

static json_t *hexadecimal(const struct cell_attempt *attempt)
{
    json_t *list = json_array();
    for (int i = 0; i < CALL_ARGUMENTS; i++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRIx64, attempt->args[i]);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

json_t *tell_attempt(const struct cell_attempt *attempt, pid_t pid, bool loading, bool killed)
{
    char name[CALL_NAME], advice[200];
    call_name(attempt->arch, attempt->number, name);
    const struct advice *why = &advices[call_kind(name).group];
    snprintf(advice, sizeof advice, "%s; see docs/sandbox.md#%s", why->words, why->anchor);
    return json_pack("{s:s, s:i, s:o, s:o, s:s, s:s, s:b}", "name", name, "number", attempt->number, "args",
                     hexadecimal(attempt), "call", told(name, attempt, pid), "advice", advice, "phase",
                     loading ? "load" : "call", "killed", killed);
}

void tell_refusal(const char *who, const json_t *refused, FILE *out)
{
    bool loading = strcmp(json_string_value(json_object_get(refused, "phase")), "load") == 0;
    bool killed = json_is_true(json_object_get(refused, "killed"));
    fprintf(out, "%s called %s%s%s: %s\n", who, json_string_value(json_object_get(refused, "call")),
            loading ? " while it was loaded" : "", killed ? " and was killed for it" : "",
            json_string_value(json_object_get(refused, "advice")));
}

/* ── ends ────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *exit_words(int code)
{
    static const struct {
        int code;
        const char *words;
    } rows[] = {
        {WORKER_NOT_LOADED, "the object cannot be loaded: does it need a symbol or a library that is not there?"},
        {WORKER_NO_SYMBOL, "it exports no csn_connector_1: is CSN_CONNECTOR there?"},
        {WORKER_WRONG_ABI, "it was built for another ABI"},
        {WORKER_NO_ACTION, "the manifest names an action that the object does not have"},
        {WORKER_WALLS, "a wall did not go up"},
        {WORKER_NO_MEMORY, "there was no memory for the input"},
        {WORKER_NO_ANSWER, "the action returned without csn_ok or csn_fail"},
        {WORKER_TOO_LARGE, "the answer is larger than it may be"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == code) return rows[i].words;
    return "it ended by itself, without an answer";
}

static const char *signal_words(const struct cell_report *end)
{
    switch (end->signal) {
    case SIGSYS: return "the kernel ended it for a system call that no honest code makes";
    case SIGSEGV: return "it crashed: a wrong pointer, or abort()";
    case SIGXCPU: return "it used more time on the processor than it may";
    case SIGKILL: return "the kernel ended it: memory is short";
    default: return "a signal ended it";
    }
}

void tell_end(const struct cell_report *end, const char **class, const char **text)
{
    uint32_t number, reason;
    judge(end, &number, &reason);
    *class = class_name(number);
    switch (end->why) {
    case ENDED_DEADLINE: *text = "it had no answer when its time was up"; return;
    case ENDED_LOAD_DEADLINE: *text = "it was not loaded in time: what do its constructors do?"; return;
    case ENDED_ATTEMPTS: *text = "it tried too often what it may not do"; return;
    default: *text = end->signal ? signal_words(end) : exit_words(end->exit_code);
    }
}
