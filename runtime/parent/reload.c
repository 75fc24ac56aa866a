/* SPDX-License-Identifier: Apache-2.0 */
/* A reload: the loader reads everything anew, then broker, runner, ledger, front and desk get it one after another,
 * each awaited, so that nobody is told of an entry before those are ready who must enforce it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"

#include "parent.h"

enum { LOADER_SECONDS = 10, ROUND_SECONDS = 5, SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK };

static const enum role_id round_order[] = {ROLE_BROKER, ROLE_RUNNER, ROLE_LEDGER, ROLE_FRONT, ROLE_DESK};
enum { ROUND = sizeof round_order / sizeof *round_order };

static void begin(struct parent *parent);

static void drop_found(struct reload *reload)
{
    close_fd(&reload->registry);
    for (int i = 0; i < PLUGINS_MOST; i++) close_fd(&reload->plugins[i]);
}

static void answer(struct parent *parent, const struct err *err)
{
    struct reload *reload = &parent->reload;
    struct ctl_reloaded done = {.status.kind = (uint32_t)err->kind, .number = parent->number};
    snprintf(done.status.text, sizeof done.status.text, "%s", err->text);
    if (err->kind != ERR_NONE)
        log_failure("reload-failed", err);
    else
        log_event(LOG_LEVEL_INFO, "reloaded", log_number("registry", parent->number));
    for (unsigned i = 0; i < reload->asked.count; i++)
        control_send(parent, parent_child(parent, ROLE_LEDGER), CTL_RELOADED, reload->asked.seqs[i], &done, sizeof done,
                     -1);
}

/* However it went: what was found and not taken over is closed, who asked hears of it, and the next may begin. */
static void finish(struct parent *parent, const struct err *err)
{
    struct reload *reload = &parent->reload;
    bool again = reload->again;
    drop_found(reload);
    answer(parent, err);
    reload->asked = reload->later;
    reload->later.count = 0;
    reload->running = reload->again = false;
    if (again)
        begin(parent);
    else
        roles_advance(parent);
}

static void fail(struct parent *parent, struct err *err)
{
    /* The first one: nothing can run without it. */
    if (parent->registry < 0 && !parent->stopping) parent_fail(parent, err);
    finish(parent, err);
}

/* ── the loader ────────────────────────────────────────────────────────────────────────────────────── */

static void begin(struct parent *parent)
{
    struct reload *reload = &parent->reload;
    struct err err = {0};
    reload->running = true;
    reload->step = 0;
    reload->number = parent->number + 1;
    reload->due = clock_now() + LOADER_SECONDS * CLOCK_S;
    if (!parent_configure(parent, &err) || !roles_spawn(parent, ROLE_LOADER, &err)) fail(parent, &err);
}

static void remember(struct asked *asked, const uint32_t *seq)
{
    if (seq && asked->count < RELOADS_ASKED) asked->seqs[asked->count++] = *seq;
}

/* One at a time. Who asks while one runs may have changed what that one has read already, so another follows it. */
void reload_begin(struct parent *parent, const uint32_t *seq)
{
    struct reload *reload = &parent->reload;
    if (parent->stopping) return;
    remember(reload->running ? &reload->later : &reload->asked, seq);
    if (reload->running)
        reload->again = true;
    else
        begin(parent);
}

static bool sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALS) == SEALS;
}

void reload_plugin(struct parent *parent, uint32_t index, int *fd)
{
    struct reload *reload = &parent->reload;
    if (!reload->running || reload->step || index >= PLUGINS_MOST || !sealed(*fd)) return;
    close_fd(&reload->plugins[index]);
    reload->plugins[index] = take_fd(fd);
}

/* What was found becomes what is in force; roles that start from now on get it. */
static void take_over(struct parent *parent)
{
    struct reload *reload = &parent->reload;
    close_fd(&parent->registry);
    parent->registry = take_fd(&reload->registry);
    for (int i = 0; i < PLUGINS_MOST; i++) {
        close_fd(&parent->plugins[i]);
        parent->plugins[i] = take_fd(&reload->plugins[i]);
    }
    parent->number = reload->number;
    log_event(LOG_LEVEL_INFO, "registry-loaded", log_number("registry", parent->number),
              log_number("entries", reload->entries));
}

void reload_registry(struct parent *parent, const struct ctl_registry_is *body, int *fd)
{
    struct reload *reload = &parent->reload;
    if (!reload->running || reload->step || body->number != reload->number || !sealed(*fd)) return;
    close_fd(&reload->registry);
    reload->registry = take_fd(fd);
    reload->entries = body->entries;
}

void reload_loader_gone(struct parent *parent, struct child *child)
{
    struct reload *reload = &parent->reload;
    struct err err = {0};
    if (!reload->running || reload->step) return;
    if (reload->registry < 0) {
        if (child->last_words[0])
            err_set(&err, ERR_UNAVAILABLE, "%s", child->last_words);
        else
            err_set(&err, ERR_UNAVAILABLE, "the plugins' files could not be read: the loader ended before it was done");
        fail(parent, &err);
        return;
    }
    take_over(parent);
    reload->step = 1;
    reload->due = 0;
    roles_advance(parent);
    reload_step(parent);
}

/* ── the round ─────────────────────────────────────────────────────────────────────────────────────── */

/* The runner has the plugins before it learns what they are, and everybody the configuration of the same time. */
static bool send_registry(struct parent *parent, struct child *child)
{
    struct ctl_registry body = {.number = parent->number};
    if (!wiring_give_config(parent, child)) return false;
    if (child->role == ROLE_RUNNER)
        for (uint32_t i = 0; i < PLUGINS_MOST; i++)
            if (!control_give(parent, child, GIVE_PLUGIN, i, parent->plugins[i])) return false;
    return control_send(parent, child, CTL_REGISTRY, 0, &body, sizeof body, parent->registry);
}

/* One that is starting takes the registry when it is READY: a ledger may have a database to recover before that. */
static uint64_t due_of(const struct child *child)
{
    return child->state == CHILD_STARTING ? child->due : clock_now() + ROUND_SECONDS * CLOCK_S;
}

/* Goes on to the next role that holds an older registry; a role that is not there gets the new one when it starts. */
void reload_step(struct parent *parent)
{
    struct reload *reload = &parent->reload;
    struct err none = {0};
    if (!reload->running || reload->step == 0) return;
    for (; reload->step <= ROUND; reload->step++, reload->due = 0) {
        struct child *child = parent_child(parent, round_order[reload->step - 1]);
        if (child->state != CHILD_READY && child->state != CHILD_STARTING) continue;
        if (child->registry == parent->number) continue;
        if (reload->due == 0) {
            reload->due = due_of(child);
            if (!send_registry(parent, child))
                reload->due = 0;
            else
                return;
        } else if (clock_now() < reload->due) {
            return;
        } else {
            /* It holds rules that are no longer true: a fresh one gets the true ones. */
            log_event(LOG_LEVEL_ERROR, "registry-not-taken", log_text("of", role_name(child->role)));
            roles_kill(child);
        }
    }
    finish(parent, &none);
}

void reload_done(struct parent *parent, struct child *child, uint32_t number)
{
    struct reload *reload = &parent->reload;
    child->registry = number;
    if (!reload->running || reload->step == 0 || round_order[reload->step - 1] != child->role) return;
    reload->due = number == parent->number ? 0 : 1; /* another number: late at once */
    reload_step(parent);
}

void reload_tick(struct parent *parent)
{
    struct reload *reload = &parent->reload;
    if (!reload->running || !reload->due || clock_now() < reload->due) return;
    if (reload->step) {
        reload_step(parent);
        return;
    }
    log_event(LOG_LEVEL_ERROR, "loader-late");
    roles_kill(parent_child(parent, ROLE_LOADER));
    reload->due = clock_now() + LOADER_SECONDS * CLOCK_S;
}
