/* SPDX-License-Identifier: Apache-2.0 */
/* Counts, and prints what was counted. */
#include "metrics.h"

#include <inttypes.h>

#include "base/clock.h"
#include "front.h"

#ifndef CAISSON_VERSION
#define CAISSON_VERSION "0.1.0"
#endif

static const struct {
    uint64_t most_us;
    const char *label;
} durations[DURATION_BUCKETS] = {
    {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"}, {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"},
    {100000, "0.1"}, {250000, "0.25"}, {1000000, "1"},  {5000000, "5"},  {30000000, "30"}, {120000000, "120"},
};

void metrics_call(struct metrics *metrics, unsigned class, unsigned sent, uint64_t duration_ns)
{
    uint64_t us = duration_ns / 1000;
    unsigned bucket = 0;
    while (bucket < DURATION_BUCKETS && us > durations[bucket].most_us) bucket++;
    metrics->durations[bucket]++;
    metrics->duration_us += us;
    if (class < CLASS_COUNT && sent < SENT_COUNT) metrics->calls[class][sent]++;
}

void metrics_request(struct metrics *metrics, int status)
{
    unsigned class = (unsigned)status / 100;
    if (class < STATUS_CLASSES) metrics->requests[class]++;
}

/* ── printing ──────────────────────────────────────────────────────────────────────────────────────── */

static bool head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_print(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool one(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    return head(out, name, type, help) && buf_print(out, "%s %" PRIu64 "\n", name, value);
}

static bool print_calls(struct metrics *metrics, struct buf *out)
{
    bool fits = head(out, "caisson_calls_total", "counter", "Calls by recorded outcome.");
    for (unsigned c = CLASS_OK; c < CLASS_COUNT; c++)
        for (unsigned s = 0; s < SENT_COUNT; s++)
            fits = fits && buf_print(out, "caisson_calls_total{class=\"%s\",sent=\"%s\"} %" PRIu64 "\n", class_name(c),
                                     sent_name(s), metrics->calls[c][s]);
    return fits;
}

static bool print_durations(struct metrics *metrics, struct buf *out)
{
    uint64_t sum = 0, us = metrics->duration_us;
    bool fits = head(out, "caisson_call_duration_seconds", "histogram", "From the request to the recorded outcome.");
    for (unsigned i = 0; i <= DURATION_BUCKETS; i++) {
        sum += metrics->durations[i];
        fits = fits && buf_print(out, "caisson_call_duration_seconds_bucket{le=\"%s\"} %" PRIu64 "\n",
                                 i < DURATION_BUCKETS ? durations[i].label : "+Inf", sum);
    }
    return fits &&
           buf_print(out, "caisson_call_duration_seconds_sum %" PRIu64 ".%06" PRIu64 "\n", us / 1000000,
                     us % 1000000) &&
           buf_print(out, "caisson_call_duration_seconds_count %" PRIu64 "\n", sum);
}

static bool print_requests(struct metrics *metrics, struct buf *out)
{
    bool fits = head(out, "caisson_http_requests_total", "counter", "HTTP replies by the first digit of the status.");
    for (unsigned i = 2; i < STATUS_CLASSES; i++)
        fits = fits &&
               buf_print(out, "caisson_http_requests_total{code=\"%uxx\"} %" PRIu64 "\n", i, metrics->requests[i]);
    return fits;
}

bool metrics_print(struct front *front, struct buf *out)
{
    struct metrics *m = &front->metrics;
    return head(out, "caisson_build_info", "gauge", "The version that is running.") &&
           buf_print(out, "caisson_build_info{version=\"%s\",role=\"%s\"} 1\n", CAISSON_VERSION,
                     role_name(front->self)) &&
           print_calls(m, out) && print_durations(m, out) && print_requests(m, out) &&
           one(out, "caisson_calls_in_flight", "gauge", "Calls that run now.", front->calls) &&
           one(out, "caisson_calls_replayed_total", "counter", "Answers given again for a known key.", m->replays) &&
           one(out, "caisson_calls_refused_total", "counter", "Calls that were refused before they ran.",
               m->refusals) &&
           one(out, "caisson_calls_unrecorded_total", "counter", "Calls whose outcome could not be recorded.",
               m->unrecorded) &&
           one(out, "caisson_connections", "gauge", "Open connections of callers.", front->conns.count) &&
           one(out, "caisson_registry_number", "gauge", "The registry in force.", snapshots_number(&front->registry)) &&
           one(out, "caisson_ledger_up", "gauge", "1 when the ledger can be reached.",
               lines_alive(&front->ledger) > 0) &&
           one(out, "caisson_bad_frames_total", "counter", "Frames from other roles that were not acceptable.",
               front->ledger.bad_frames + front->runner.bad_frames) &&
           one(out, "caisson_late_frames_total", "counter", "Answers that came after nobody waited for them.",
               front->ledger.late_frames + front->runner.late_frames);
}
