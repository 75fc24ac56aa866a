/* SPDX-License-Identifier: Apache-2.0 */
/* The cell of a trial: started, watched and checked as the daemon's runner does it, with the runner's own code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/wire.h"
#include "runtime/runner/runner.h"
#include "sandbox/namespace.h"
#include "sandbox/probe.h"
#include "sandbox/spawn.h"
#include "trial.h"

enum { PATIENCE_S = 10, LAST_USUAL_UID = 61119 }; /* of the range that the daemon sets aside for plugins as root */

bool trial_order(const struct trial *trial, enum cell_order order, uint32_t worker, uint64_t deadline, const int *fds)
{
    struct cell_request request = {order, worker, deadline};
    struct iovec piece = {&request, sizeof request};
    return wire_send(trial->channel, &piece, 1, fds, fds ? CHANNELS : 0) == 0;
}

bool trial_check(const struct trial *trial, int pidfd, struct err *err)
{
    static struct runner runner;
    struct home home = {.cell = trial->cell, .uid = trial->privileged ? trial->uid : 0};
    runner.privileged = trial->privileged;
    runner.without = trial->without;
    runner.filters = trial->filters;
    return check_worker(&runner, &home, pidfd, err);
}

static bool walls(struct trial *trial, struct err *err)
{
    struct probe_results found;
    trial->privileged = probe_privileged();
    trial->uid = trial->privileged ? LAST_USUAL_UID : getuid();
    const struct probe_who who = {.privileged = trial->privileged, .plugin_uid = trial->uid};
    probe_walls(&who, false, &found);
    trial->filters = check_filters() + 2;
    return probe_judge(&found, false, &trial->without, err);
}

static void fill_spec(const struct trial *trial, struct cell_spec *spec)
{
    *spec = (struct cell_spec){.magic = CELL_MAGIC,
                               .size = sizeof *spec,
                               .user_namespace = !trial->privileged,
                               .uid = trial->uid,
                               .gid = trial->privileged ? trial->uid : getgid(),
                               .has_egress = trial->has_egress,
                               .without = trial->without,
                               .memory_mb = trial->limits.memory_mb,
                               .cpu_s = trial->limits.cpu_s,
                               .output_kb = trial->limits.output_kb,
                               .log_kb = trial->limits.log_kb,
                               .action_count = trial->action_count};
    memcpy(spec->so_digest, trial->so_digest, sizeof spec->so_digest);
    memcpy(spec->name, trial->name, sizeof spec->name);
    for (unsigned i = 0; i < trial->action_count; i++) memcpy(spec->actions[i], trial->actions[i].name, NAME_BYTES);
}

static int spec_file(const struct trial *trial, struct err *err)
{
    struct cell_spec spec;
    BUF_AUTO settings;
    buf_init(&settings, CELL_SETTINGS_MAX);
    FD_AUTO file = memfd_create("cell", MFD_CLOEXEC);
    fill_spec(trial, &spec);
    if (!json_compact(trial->settings, &settings)) return err_set(err, ERR_TOO_LARGE, "the settings are too large"), -1;
    spec.settings_length = (uint32_t)settings.used;
    if (file < 0 || write(file, &spec, sizeof spec) != sizeof spec ||
        write(file, settings.bytes, settings.used) != (ssize_t)settings.used)
        return err_sys(err, ERR_IO, "a cell's specification cannot be written"), -1;
    return take_fd(&file);
}

/* Installed, the parts lie together; in a build folder each has its own. */
static bool find(const struct trial *trial, const char *installed, const char *built, char path[TRIAL_PATH])
{
    snprintf(path, TRIAL_PATH, "%s/%s", trial->folder, installed);
    if (access(path, R_OK) == 0) return true;
    snprintf(path, TRIAL_PATH, "%s/%s", trial->folder, built);
    return access(path, R_OK) == 0;
}

static int open_certificates(const struct trial *trial)
{
    static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem"};
    int fd = trial->words->ca ? open(trial->words->ca, O_RDONLY | O_CLOEXEC) : -1;
    for (size_t i = 0; !trial->words->ca && fd < 0 && i < sizeof bundles / sizeof *bundles; i++)
        fd = open(bundles[i], O_RDONLY | O_CLOEXEC);
    return fd;
}

/* The cell says one of two things within its time. */
static bool comes_up(const struct trial *trial, struct err *err)
{
    static struct wire_frame frame;
    struct cell_report report;
    if (!wire_wait(trial->channel, clock_now() + PATIENCE_S * CLOCK_S) ||
        wire_take(trial->channel, &frame) != WIRE_FRAME || frame.length != sizeof report)
        return err_set(err, ERR_MISSING_LAYER, "the connector's cell does not come up");
    memcpy(&report, frame.bytes, sizeof report);
    if (report.event == CELL_UP) return true;
    return err_set(err, (enum err_kind)report.kind, "%.*s", (int)sizeof report.text, report.text);
}

static bool watch_children(struct trial *trial, struct err *err)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &child, NULL);
    trial->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return trial->signals >= 0 || err_sys(err, ERR_IO, "no signals can be heard");
}

bool trial_cell(struct trial *trial, struct err *err)
{
    char program[TRIAL_PATH], helpers[TRIAL_PATH];
    int ends[2];
    if (!find(trial, "caisson-cell", "../runner/caisson-cell", program))
        return err_set(err, ERR_NOT_FOUND, "caisson-cell is not installed beside this program");
    if (!find(trial, "libcaisson-helpers.so", "../../sdk/libcaisson-helpers.so", helpers))
        return err_set(err, ERR_NOT_FOUND, "the helpers for HTTP and mail are not installed");
    if (!walls(trial, err) || !watch_children(trial, err) || !wire_pair(ends, err)) return false;
    FD_AUTO theirs = ends[1];
    FD_AUTO spec = spec_file(trial, err);
    FD_AUTO nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    FD_AUTO helper = open(helpers, O_RDONLY | O_CLOEXEC);
    FD_AUTO certificates = open_certificates(trial);
    trial->channel = ends[0];
    if (trial->words->ca && certificates < 0) return err_sys(err, ERR_NOT_FOUND, "--ca cannot be read");
    const struct cell_spawn how = {.program = program,
                                   .privileged = trial->privileged,
                                   .without = trial->without,
                                   .nothing = nothing,
                                   .fds = {[0] = -1,
                                           [1] = -1,
                                           [2] = 2,
                                           [CELL_CHANNEL] = theirs,
                                           [CELL_SPEC] = spec,
                                           [CELL_PLUGIN] = trial->plugin,
                                           [CELL_HELPERS] = helper,
                                           [CELL_CA] = certificates,
                                           [CELL_LOCK] = -1}};
    if (spec < 0 || nothing < 0 || helper < 0) return err->kind ? false : err_sys(err, ERR_IO, "a file is missing");
    if (!cell_spawn(&how, &trial->cell, &trial->pidfd, err)) return false;
    close_fd(&theirs);
    return comes_up(trial, err);
}
