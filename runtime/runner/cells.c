/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a cell: a new process in namespaces of its own that becomes the small program caisson-cell, with an empty
 * environment and nothing of the runner's memory; then hears what it says. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "runner.h"
#include "sandbox/spawn.h"

enum { REPORTS_A_TURN = 64 };

/* ── what it is told at its start ────────────────────────────────────────────────────────────────────── */

_Static_assert((int)CELL_FIELDS == (int)FRAME_FIELDS, "as many fields as a frame carries");

static void fill_open_fields(const struct entry *entry, struct cell_spec *spec)
{
    size_t i;
    json_t *field;
    json_array_foreach(json_object_get(entry->document, "fields"), i, field)
    {
        const char *name = json_string_value(json_object_get(field, "name"));
        if (!name || !json_is_false(json_object_get(field, "secret")) || spec->open_count == CELL_FIELDS) continue;
        snprintf(spec->open_fields[spec->open_count++], NAME_BYTES, "%s", name);
    }
}

static void fill_spec(const struct runner *runner, const struct home *home, struct cell_spec *spec)
{
    const struct entry *entry = home->entry;
    *spec = (struct cell_spec){.magic = CELL_MAGIC,
                               .size = sizeof *spec,
                               .user_namespace = !runner->privileged,
                               .uid = runner->privileged ? home->uid : getuid(),
                               .gid = runner->privileged ? home->uid : getgid(),
                               .lease = entry->isolation == ISOLATE_LEASE,
                               .has_egress = entry->rule_count > 0,
                               .without = runner->without,
                               .memory_mb = entry->limits.memory_mb,
                               .cpu_s = entry->limits.cpu_s,
                               .output_kb = entry->limits.output_kb,
                               .log_kb = entry->limits.log_kb,
                               .action_count = entry->action_count};
    if (spec->lease && entry->lease.calls) spec->cpu_s *= entry->lease.calls;
    memcpy(spec->so_digest, entry->so_digest, sizeof spec->so_digest);
    snprintf(spec->name, sizeof spec->name, "%s", entry->name);
    for (unsigned i = 0; i < entry->action_count && i < CELL_ACTIONS; i++)
        memcpy(spec->actions[i], entry->actions[i].name, NAME_BYTES);
    fill_open_fields(entry, spec);
}

static int spec_file(const struct runner *runner, const struct home *home, struct err *err)
{
    struct cell_spec spec;
    fill_spec(runner, home, &spec);
    if (spec.action_count > CELL_ACTIONS) return err_set(err, ERR_LOAD, "more than %d actions", CELL_ACTIONS), -1;
    FREE_AUTO char *settings = json_dumps(home->entry->settings, JSON_COMPACT);
    const char *text = settings ? settings : "{}";
    spec.settings_length = (uint32_t)strlen(text);
    FD_AUTO file = memfd_create("cell", MFD_CLOEXEC);
    if (file < 0 || write(file, &spec, sizeof spec) != sizeof spec ||
        write(file, text, spec.settings_length) != (ssize_t)spec.settings_length)
        return err_sys(err, ERR_IO, "a cell's specification cannot be written"), -1;
    return take_fd(&file);
}

static int text_file(const char *text, struct err *err)
{
    FD_AUTO file = memfd_create("ca", MFD_CLOEXEC);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
        return err_sys(err, ERR_IO, "certificates cannot be handed to a cell"), -1;
    return take_fd(&file);
}

/* ── its start ───────────────────────────────────────────────────────────────────────────────────────── */

/* As root every living cell has a uid of its own, out of the range that the administrator set aside. */
static bool pick_uid(struct runner *runner, struct home *home, struct err *err)
{
    home->uid = 0;
    if (!runner->privileged) return true;
    for (uint32_t i = 0; i < runner->uid_count; i++) {
        uint32_t uid = runner->uid_first + i;
        bool taken = false;
        for (int h = 0; h < HOMES && !taken; h++) taken = runner->homes[h].cell > 0 && runner->homes[h].uid == uid;
        if (!taken) return home->uid = uid, true;
    }
    return err_set(err, ERR_BUSY, "every uid that is set aside for plugins is in use");
}

bool cell_start(struct runner *runner, struct home *home, struct err *err)
{
    struct role *role = runner->role;
    int ends[2], plugin = role->plugins[home->entry->index];
    if (plugin < 0) return err_set(err, ERR_LOAD, "the plugin's bytes are not here");
    if (!pick_uid(runner, home, err) || !wire_pair(ends, err)) return false;
    FD_AUTO theirs = ends[1];
    FD_AUTO spec = spec_file(runner, home, err);
    FD_AUTO own_ca = home->entry->ca ? text_file(home->entry->ca, err) : -1;
    home->channel = ends[0];
    const struct cell_spawn how = {.program = runner->cell_path,
                                   .privileged = runner->privileged,
                                   .without = runner->without,
                                   .nothing = runner->nothing,
                                   .fds = {[0] = -1,
                                           [1] = -1,
                                           [2] = 2,
                                           [CELL_CHANNEL] = theirs,
                                           [CELL_SPEC] = spec,
                                           [CELL_PLUGIN] = plugin,
                                           [CELL_HELPERS] = role->given[GIVE_HELPERS],
                                           [CELL_CA] = home->entry->ca ? own_ca : role->given[GIVE_CA],
                                           [CELL_LOCK] = role->given[GIVE_LOCK]}};
    home->asked = clock_now();
    if (spec < 0 || (home->entry->ca && own_ca < 0) || !cell_spawn(&how, &home->cell, &home->pidfd, err)) {
        close_fd(&home->channel);
        return false;
    }
    bool watched = role_watch(role, home->channel, EPOLLIN, cell_heard, home);
    if (watched && groups_bound(runner, home, err)) return true;
    home_close(runner, home, REASON_NO_WORKER);
    return watched ? false : err_set(err, ERR_BUSY, "too many cells");
}

/* ── what it says ────────────────────────────────────────────────────────────────────────────────────── */

static void refused(struct runner *runner, struct home *home, const struct cell_report *report)
{
    char text[sizeof report->text + 1];
    snprintf(text, sizeof text, "%.*s", (int)sizeof report->text, report->text);
    log_event(LOG_LEVEL_ERROR, "cell-refused", log_text("connector", home->entry ? home->entry->name : "?"),
              log_text("why", text));
    tell_incident(runner, INCIDENT_LOAD, home, NULL, NULL);
    home_failed(runner, home);
    home_close(runner, home,
               report->kind == ERR_LOAD || report->kind == ERR_CHANGED ? REASON_LOAD_FAILED : REASON_NO_WORKER);
}

static void heard_report(struct runner *runner, struct home *home, const struct cell_report *report,
                         struct wire_frame *frame)
{
    struct worker *worker = worker_by_number(runner, report->worker);
    if (report->event == CELL_UP)
        home->up = true;
    else if (report->event == CELL_REFUSED)
        refused(runner, home, report);
    else if (!worker || worker->home != home)
        return;
    else if (report->event == CELL_ENDED)
        worker_ended(runner, worker, report);
    else if (report->event == CELL_TRIED)
        worker_tried(runner, worker, report);
    else if (report->event == CELL_LOADED)
        worker_loaded(runner, worker, report);
    else if (report->event == CELL_READY && frame->fd_count == 1)
        worker_ready(runner, worker, frame->fds[0]);
}

/* A few at a time: what they make the ledger hear has to go out in between. */
void cell_heard(struct role *role, int fd, uint32_t events, void *context)
{
    static struct wire_frame frame;
    struct runner *runner = role->state;
    struct home *home = context;
    for (int i = 0; i < REPORTS_A_TURN && home->channel == fd; i++) {
        struct cell_report report;
        enum wire_got got = wire_take(fd, &frame);
        if (got == WIRE_AGAIN) return;
        if (got == WIRE_GONE) {
            log_event(LOG_LEVEL_WARNING, "cell-gone", log_text("connector", home->entry ? home->entry->name : "?"));
            tell_incident(runner, INCIDENT_CELL, home, NULL, NULL);
            if (!home->up) home_failed(runner, home);
            home_close(runner, home, REASON_RESTART);
            return;
        }
        if (got == WIRE_FRAME && frame.length == sizeof report) {
            memcpy(&report, frame.bytes, sizeof report);
            heard_report(runner, home, &report, &frame);
        }
        wire_drop(&frame);
    }
}
