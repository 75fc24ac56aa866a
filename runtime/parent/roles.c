/* SPDX-License-Identifier: Apache-2.0 */
/* The life of each role: started in order, started again after a death, ended in order. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/keyderive.h"
#include "base/log.h"
#include "base/wire.h"

#include "parent.h"

enum {
    START_SECONDS = 60,  /* the ledger may have to recover a database */
    HELPER_SECONDS = 50, /* of a key provider: less than the vault waits for it */
    END_SECONDS = 10,    /* after the control line was closed, for all but those with running calls */
    FAILURES_MOST = 5,
    SOON_SECONDS = 10 /* a role that dies sooner after READY is started again more slowly each time */
};

_Static_assert((int)HELPER_SECONDS < (int)SHARE_WAIT_S, "the helper's end comes first");

/* Those of one stage start together. The ledger needs the vault; whoever proves that keys, the vault and the log are
 * out of its reach starts when all of them are there. */
static const struct {
    enum role_id role;
    unsigned stage;
} start_order[] = {{ROLE_VAULT, 1},  {ROLE_RUNNER, 1}, {ROLE_LEDGER, 2},
                   {ROLE_BROKER, 3}, {ROLE_FRONT, 3},  {ROLE_DESK, 3}};
enum { ROLES = sizeof start_order / sizeof *start_order };

/* Who brings calls in goes first; who writes their outcome goes after everybody who reports to it. */
static const uint32_t stop_order[] = {
    MSG_BIT(ROLE_FRONT) | MSG_BIT(ROLE_DESK) | MSG_BIT(ROLE_LOADER) | MSG_BIT(ROLE_PROVIDER), MSG_BIT(ROLE_RUNNER),
    MSG_BIT(ROLE_BROKER), MSG_BIT(ROLE_LEDGER), MSG_BIT(ROLE_VAULT)};
enum { STOPS = sizeof stop_order / sizeof *stop_order };

/* ── starting ──────────────────────────────────────────────────────────────────────────────────────── */

static struct identity identity_of(const struct parent *parent, enum role_id role)
{
    if (geteuid() != 0) return (struct identity){.uid = (uid_t)-1};
    if (role == ROLE_RUNNER) return (struct identity){.uid = 0, .runner = true};
    return (struct identity){.uid = parent->config.uid_base + (uid_t)role};
}

static bool watch_child(struct parent *parent, struct child *child, struct err *err)
{
    struct epoll_event ended = {.events = EPOLLIN, .data.ptr = &child->pidfd};
    struct epoll_event said = {.events = EPOLLIN, .data.ptr = &child->control};
    if (epoll_ctl(parent->epoll, EPOLL_CTL_ADD, child->pidfd, &ended) < 0 ||
        epoll_ctl(parent->epoll, EPOLL_CTL_ADD, child->control, &said) < 0)
        return err_sys(err, ERR_IO, "the %s cannot be watched", role_name(child->role));
    return true;
}

static bool hand_over(struct parent *parent, struct child *child, struct err *err)
{
    parent->start.minimum_isolation = parent->config.lowered;
    parent->start.frozen = child->told_frozen = parent->frozen;
    parent->start.log_level = parent->config.log_level;
    return watch_child(parent, child, err) && wiring_give(parent, child, err) && wiring_lines(parent, child, err) &&
           (control_send(parent, child, CTL_START, 0, &parent->start, sizeof parent->start, -1) ||
            err_set(err, ERR_UNAVAILABLE, "the %s does not start", role_name(child->role)));
}

/* The state is set before anything can fail, so that a child which is half made is ended like every other. */
bool roles_spawn(struct parent *parent, enum role_id role, struct err *err)
{
    struct child *child = parent_child(parent, role);
    int ends[2];
    if (!wire_pair(ends, err)) return false;
    FD_AUTO control = ends[0];
    FD_AUTO theirs = ends[1];
    if (!spawn_role(&parent->layout, role, identity_of(parent, role), theirs, &child->pid, &child->pidfd, err))
        return false;
    child->state = CHILD_STARTING;
    child->control = take_fd(&control);
    child->since = clock_now();
    child->refused = 0;
    child->due = child->since + (role == ROLE_PROVIDER ? HELPER_SECONDS : START_SECONDS) * CLOCK_S;
    child->last_words[0] = '\0';
    if (hand_over(parent, child, err)) return true;
    snprintf(child->last_words, sizeof child->last_words, "%s", err->text);
    roles_kill(child);
    return true; /* its end is seen by its pidfd */
}

/* They do their work once, and nobody waits for their next life. */
static bool one_shot(enum role_id role)
{
    return role == ROLE_LOADER || role == ROLE_PROVIDER;
}

static void give_up(struct parent *parent, struct child *child)
{
    struct err err = {0};
    const char *words = child->role == ROLE_VAULT ? provider_words(parent) : NULL;
    if (words) snprintf(child->last_words, sizeof child->last_words, "%s", words);
    err_set(&err, ERR_UNAVAILABLE, "the %s does not start: %s", role_name(child->role),
            child->last_words[0] ? child->last_words : "it ended without a word (see the log above)");
    parent_fail(parent, &err);
}

static void start_one(struct parent *parent, struct child *child)
{
    struct err err = {0};
    if (roles_spawn(parent, child->role, &err)) return;
    log_failure("start-failed", &err);
    snprintf(child->last_words, sizeof child->last_words, "%s", err.text);
    if (++child->failures >= FAILURES_MOST) give_up(parent, child);
    child->due = clock_now() + CLOCK_S / 10;
}

void roles_advance(struct parent *parent)
{
    unsigned stage = ~0u;
    for (int i = 0; i < ROLES && !parent->failed && !parent->stopping && start_order[i].stage <= stage; i++) {
        struct child *child = parent_child(parent, start_order[i].role);
        if (parent->registry < 0 && child->role != ROLE_VAULT) return; /* it alone holds none */
        if (child->state == CHILD_READY) continue;
        stage = start_order[i].stage;
        if (child->state != CHILD_OFF || clock_now() < child->due) continue;
        if (child->role != ROLE_VAULT || provider_gone(parent)) start_one(parent, child);
    }
}

bool roles_all_ready(const struct parent *parent)
{
    for (int i = 0; i < ROLES; i++)
        if (parent->children[start_order[i].role].state != CHILD_READY) return false;
    return true;
}

bool roles_all_off(const struct parent *parent)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        if (parent->children[i].state != CHILD_OFF) return false;
    return true;
}

/* A freeze may have changed while it was starting: it hears of it again. */
void roles_ready(struct parent *parent, struct child *child)
{
    if (child->state != CHILD_STARTING) return;
    child->failures = 0;
    if (child->role != ROLE_PROVIDER) child->due = 0; /* one that hangs is killed */
    if (one_shot(child->role)) return;
    child->state = CHILD_READY;
    log_event(LOG_LEVEL_INFO, "role-ready", log_text("of", role_name(child->role)), log_number("pid", child->pid));
    if (child->told_frozen != parent->frozen || parent->frozen_now) watch_tell_freeze(parent, child);
    roles_advance(parent);
}

/* ── ending ────────────────────────────────────────────────────────────────────────────────────────── */

void roles_kill(struct child *child)
{
    if (child->pidfd >= 0) syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

static void log_end(const struct child *child, const siginfo_t *how)
{
    bool killed = how->si_code == CLD_KILLED || how->si_code == CLD_DUMPED;
    log_event(LOG_LEVEL_WARNING, "role-ended", log_text("of", role_name(child->role)), log_number("pid", child->pid),
              log_text("by", killed ? "signal" : "exit"), log_number("number", how->si_status),
              log_text("said", child->last_words[0] ? child->last_words : NULL));
}

/* 0, 100 ms, 200 ms … at most 5 s. */
static uint64_t pause_after(unsigned deaths)
{
    if (deaths <= 1) return 0;
    uint64_t pause = (CLOCK_S / 10) << (deaths > 7 ? 6 : deaths - 2);
    return pause > 5 * CLOCK_S ? 5 * CLOCK_S : pause;
}

static void plan_restart(struct parent *parent, struct child *child, enum child_state was)
{
    uint64_t now = clock_now();
    /* A vault that waits for its provider is no reason to end the daemon: calls are refused until it is back. */
    bool waits = child->role == ROLE_VAULT && was == CHILD_STARTING && parent->announced && provider_words(parent);
    if (waits) {
        log_event(LOG_LEVEL_ERROR, "provider-away", log_text("said", provider_words(parent)));
        child->failures = FAILURES_MOST - 1;
        child->due = now + 5 * CLOCK_S;
        return;
    }
    if (was == CHILD_STARTING)
        child->failures++;
    else
        child->deaths = now - child->since < SOON_SECONDS * CLOCK_S ? child->deaths + 1 : 1;
    child->due = now + pause_after(was == CHILD_STARTING ? child->failures + 1 : child->deaths);
    /* While the daemon itself is starting, a role that says why it cannot start is believed at once. */
    bool said = was == CHILD_STARTING && child->last_words[0] && !parent->announced;
    if (child->failures >= FAILURES_MOST || said) give_up(parent, child);
}

void roles_ended(struct parent *parent, struct child *child)
{
    siginfo_t how = {0};
    enum child_state was = child->state;
    if (child->pidfd < 0 || waitid(P_PIDFD, (id_t)child->pidfd, &how, WEXITED | WNOHANG) < 0 || how.si_pid == 0) return;
    if (child->control >= 0) control_read(parent, child); /* its last words */
    bool quiet = child->role == ROLE_LOADER || (child->role == ROLE_PROVIDER && how.si_code == CLD_EXITED);
    bool orderly = was == CHILD_ENDING || quiet; /* a loader's end is told by the reload */
    if (!orderly) log_end(child, &how);
    close_fd(&child->pidfd);
    close_fd(&child->control);
    child->state = CHILD_OFF;
    child->pid = 0;
    child->due = 0;
    if (child->role == ROLE_LOADER) {
        reload_loader_gone(parent, child);
        return;
    }
    if (child->role == ROLE_PROVIDER) { /* the vault has its share, or says that it has not */
        if (parent_child(parent, ROLE_VAULT)->state == CHILD_STARTING) provider_ended(child, &how);
        roles_advance(parent);
        return;
    }
    if (!parent->stopping) plan_restart(parent, child, was);
    reload_step(parent);
    roles_advance(parent);
}

/* Closes the control line: the role's sign to end. */
static void ask_to_end(struct parent *parent, struct child *child, uint64_t now)
{
    bool has_calls = child->role == ROLE_FRONT;
    child->state = CHILD_ENDING;
    child->due = now + (has_calls ? parent->config.stop_s : END_SECONDS) * CLOCK_S;
    close_fd(&child->control);
}

unsigned roles_stop_s(const struct parent *parent)
{
    return parent->config.stop_s + STOPS * END_SECONDS;
}

/* One group of the stop order after the other. */
static void stop_next(struct parent *parent, uint64_t now)
{
    while (parent->stop_step < STOPS) {
        bool busy = false;
        for (int i = 0; i < ROLE_COUNT; i++) {
            struct child *child = &parent->children[i];
            if (!(stop_order[parent->stop_step] & MSG_BIT(child->role)) || child->state == CHILD_OFF) continue;
            busy = true;
            if (parent->hurry) child->due = now;
            if (child->state != CHILD_ENDING) ask_to_end(parent, child, now);
        }
        if (busy) return;
        parent->stop_step++;
    }
}

uint64_t roles_tick(struct parent *parent)
{
    uint64_t now = clock_now(), next = 0;
    if (parent->stopping)
        stop_next(parent, now);
    else
        roles_advance(parent);
    for (int i = 0; i < ROLE_COUNT; i++) {
        struct child *child = &parent->children[i];
        if (!child->due) continue;
        if (child->state != CHILD_OFF && child->state != CHILD_READY && now >= child->due) {
            log_event(LOG_LEVEL_ERROR, "role-late", log_text("of", role_name(child->role)));
            if (child->role == ROLE_PROVIDER)
                snprintf(child->last_words, sizeof child->last_words, "the key provider does not answer");
            roles_kill(child);
            child->due = now + CLOCK_S;
        }
        /* It waits for an earlier stage, whose READY starts it; or it is not started any more. */
        if (child->state == CHILD_OFF && (parent->stopping || now >= child->due)) continue;
        if (!next || child->due < next) next = child->due;
    }
    return next;
}
