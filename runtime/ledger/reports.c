/* SPDX-License-Identifier: Apache-2.0 */
/* What workers tried: system calls that were refused, as the kernel told the cell. They go into their call's outcome;
 * what comes after that becomes an incident. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "ledger.h"
#include "outcome.h"
#include "sandbox/call_names.h"

enum { CLOSED_KEPT = 256 };

/* Calls whose outcome has reports: how many attempts it counts. Forgetting one only doubles what is recorded. */
static struct {
    struct call_ref call;
    uint32_t count;
} closed[CLOSED_KEPT];
static unsigned closed_next;

static bool same_call(const struct call_ref *a, const struct call_ref *b)
{
    return a->attempt == b->attempt && memcmp(a->id, b->id, sizeof a->id) == 0;
}

/* ── coming in ─────────────────────────────────────────────────────────────────────────────────────── */

static void log_report(const struct running *run, const struct violation *what)
{
    char id[ID_TEXT], name[CALL_NAME], args[6 * 18 + 1];
    size_t used = 0;
    id_text(run->call.ref.id, id);
    call_name(what->arch, what->number, name);
    for (int i = 0; i < 6; i++)
        used += (size_t)snprintf(args + used, sizeof args - used, "%s%" PRIx64, i ? " " : "", what->args[i]);
    log_event(LOG_LEVEL_WARNING, "system-call-refused", log_text("call", id),
              log_text("connector", run->call.connector), log_text("name", name), log_text("args", args));
}

static void keep(struct running *run, const struct violation *what)
{
    run->tried_count++;
    for (uint32_t i = 0; i < run->tried_kept; i++)
        if (memcmp(&run->tried[i], what, sizeof *what) == 0) return;
    if (run->tried_kept == REPORTS) return;
    run->tried[run->tried_kept++] = *what;
    log_report(run, what);
}

/* An outcome that is not written yet takes it; after that the worker's end tells all of them. */
void on_worker_tried(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_worker_tried *tried = message->body;
    struct running *run = calls_find(&ledger->calls, &tried->call);
    if (run && run->state != RUN_NEW) keep(run, &tried->what);
}

/* ── going out ─────────────────────────────────────────────────────────────────────────────────────── */

static bool add_report(struct buf *text, const struct violation *one, bool first)
{
    char name[CALL_NAME];
    call_name(one->arch, one->number, name);
    bool ok = buf_print(text, "%s{\"arch\":%" PRIu32 ",\"args\":[", first ? "" : ",", one->arch);
    for (int a = 0; ok && a < 6; a++) ok = buf_print(text, "%s\"%" PRIx64 "\"", a ? "," : "", one->args[a]);
    return ok && buf_print(text, "],\"name\":\"%s\",\"number\":%" PRId32 "}", name, one->number);
}

/* Equal attempts are kept once, so there may be fewer reports than attempts: the rest of the array is zero. */
void record_reports(struct record *record, const struct violation *reports, uint32_t count)
{
    static const struct violation none;
    BUF_AUTO text = {.max = 8192};
    bool ok = buf_text(&text, "["), first = true;
    for (uint32_t i = 0; ok && i < count && i < REPORTS; i++) {
        if (memcmp(&reports[i], &none, sizeof none) == 0) continue; /* anywhere: who reports may be taken over */
        ok = add_report(&text, &reports[i], first);
        first = false;
    }
    ok = ok && buf_text(&text, "]");
    record_json(record, "reports", ok ? text.bytes : "[]", ok ? text.used : 2);
    record_int(record, "report_count", count);
}

void reports_record(struct record *record, const struct running *run)
{
    if (run->tried_count)
        record_reports(record, run->tried, run->tried_count);
    else if (run->has_worker && run->worker.report_count)
        record_reports(record, run->worker.reports, run->worker.report_count);
}

void reports_closed(const struct running *run)
{
    if (!run->tried_count) return;
    closed[closed_next].call = run->call.ref;
    closed[closed_next].count = run->tried_count;
    closed_next = (closed_next + 1) % CLOSED_KEPT;
}

bool reports_known(const struct msg_worker_ended *ended)
{
    for (unsigned i = 0; i < CLOSED_KEPT; i++)
        if (same_call(&closed[i].call, &ended->call)) return ended->report_count <= closed[i].count;
    return ended->report_count == 0;
}
