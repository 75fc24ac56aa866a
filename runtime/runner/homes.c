/* SPDX-License-Identifier: Apache-2.0 */
/* Homes: one per entry that was called, from its first call until its entry changes; and the crash loop's breaker. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "runner.h"

struct home *home_for(struct runner *runner, const struct entry *entry)
{
    struct home *empty = NULL;
    for (int i = 0; i < HOMES; i++) {
        struct home *home = &runner->homes[i];
        if (home->used && !home->ending && memcmp(home->digest, entry->digest, HASH_BYTES) == 0) return home;
        if (!home->used && !empty) empty = home;
    }
    if (!empty) return NULL;
    *empty = (struct home){.used = true, .entry = entry, .entry_index = entry->index, .pidfd = -1, .channel = -1};
    memcpy(empty->digest, entry->digest, HASH_BYTES);
    return empty;
}

/* A cell that is gone takes an order as one that did not live to read it: why it went is what is heard of it next. */
bool home_order(struct home *home, enum cell_order order, uint32_t worker, uint64_t deadline, const int *fds)
{
    struct cell_request request = {order, worker, deadline};
    struct iovec piece = {&request, sizeof request};
    if (home->channel < 0) return false;
    int failed = wire_send(home->channel, &piece, 1, fds, fds ? CHANNELS : 0);
    return failed == 0 || failed == EPIPE || failed == ECONNRESET;
}

bool home_open(struct runner *runner, struct home *home, struct err *err)
{
    if (home->closed_until > clock_now())
        return err_set(err, ERR_UNAVAILABLE, "the connector failed %d times in a row and rests for a moment",
                       BREAKER_FAILURES);
    home->called = true;
    return home->cell > 0 || cell_start(runner, home, err);
}

static void reap_cell(struct home *home)
{
    syscall(SYS_pidfd_send_signal, home->pidfd, SIGKILL, NULL, 0);
    waitpid(home->cell, NULL, 0); /* SIGKILL of a pid namespace's first process ends all of it: about a millisecond */
    close_fd(&home->pidfd);
    home->cell = 0;
    home->up = false;
}

void home_close(struct runner *runner, struct home *home, uint32_t reason)
{
    if (home->channel >= 0) role_unwatch(runner->role, home->channel);
    close_fd(&home->channel);
    if (home->cell > 0) {
        reap_cell(home);
        groups_free(runner, home);
    }
    uint32_t class = reason == REASON_RESTART ? CLASS_LOST : CLASS_REFUSED;
    home->closing = true;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        if (worker->state == HELD_NONE || worker->home != home) continue;
        struct cell_report none = {.loading = !worker->checked};
        if (worker->end_class == CLASS_NONE) worker->end_class = class, worker->end_reason = reason;
        worker_ended(runner, worker, &none);
    }
    home->closing = false;
    if (home->ending) {
        calls_refuse_waiting(runner, home);
        *home = (struct home){.pidfd = -1, .channel = -1};
    }
    role_wake_at(runner->role, clock_now()); /* calls that wait begin with a new cell */
}

static void retire(struct runner *runner, struct home *home)
{
    home->ending = true;
    home->entry = NULL;
    spares_end(runner, home);
    calls_refuse_waiting(runner, home);
    if (!home->busy) home_close(runner, home, REASON_POLICY);
}

/* Running calls of a changed entry end in their own time; the cell goes with the last of them (workers.c). A home that
 * ends for new authorities has its entry still, and that entry must be one of a registry that is kept. */
void homes_update(struct runner *runner)
{
    for (int i = 0; i < HOMES; i++) {
        struct home *home = &runner->homes[i];
        if (!home->used || (home->ending && !home->entry)) continue;
        const struct entry *same = registry_same(&runner->registry, home->digest);
        home->entry = same;
        if (same)
            home->entry_index = same->index;
        else
            retire(runner, home);
    }
}

/* ── the breaker ─────────────────────────────────────────────────────────────────────────────────────── */

void home_failed(struct runner *runner, struct home *home)
{
    uint64_t now = clock_now();
    if (!home->failures || now - home->first_failure > BREAKER_WINDOW_S * CLOCK_S) {
        home->failures = 0;
        home->first_failure = now;
    }
    if (++home->failures < BREAKER_FAILURES) return;
    home->failures = 0;
    home->closed_until = now + BREAKER_PAUSE_S * CLOCK_S;
    log_event(LOG_LEVEL_ERROR, "breaker", log_text("connector", home->entry ? home->entry->name : "?"),
              log_number("seconds", BREAKER_PAUSE_S));
    tell_incident(runner, INCIDENT_BREAKER, home, NULL, NULL);
    spares_end(runner, home);
}

void home_worked(struct home *home)
{
    home->failures = 0;
}
