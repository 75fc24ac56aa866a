/* SPDX-License-Identifier: Apache-2.0 */
/* The runner between peers that say anything in any order: ledger, front, and cells that lie about their workers. Its
 * tables stay consistent, each call is answered at most once, and no descriptor stays behind. No process is started: a
 * cell is a line whose other end is here. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "fuzz.h"
#include "sandbox/enter.h"
#include "sandbox/namespace.h"
#include "sandbox/probe.h"
#include "sandbox/spawn.h"

enum { STEPS = 64, IDS = 8, CELLS = 64, PEERS = 5, FAKE_PID = 1000000 };

static int cell_ends[CELLS]; /* the cells' side of their lines, in the order of their start */
static unsigned cell_count;

/* In place of a new process: keeps the cell's end of its line. */
bool cell_spawn(const struct cell_spawn *how, pid_t *pid, int *pidfd, struct err *err)
{
    if (cell_count == CELLS) return err_set(err, ERR_BUSY, "as many cells as there may be here");
    *pidfd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cell_ends[cell_count++] = fcntl(how->fds[CELL_CHANNEL], F_DUPFD_CLOEXEC, 0);
    *pid = FAKE_PID + (pid_t)cell_count;
    return true;
}

#include "runtime/runner/cells.c"
#define syscall(...) 0
#define waitpid(...) 0
#include "runtime/runner/homes.c"
#undef syscall
#undef waitpid
#include "runtime/runner/runner.c"

static bool next_check;

bool check_worker(const struct runner *runner, const struct home *home, int pidfd, struct err *err)
{
    return next_check || err_set(err, ERR_MISSING_LAYER, "as the input says");
}
unsigned check_filters(void)
{
    return 1;
}
bool enter_role(enum wall_role role, const int *folders, int folder_count, struct err *err)
{
    return true;
}
void probe_walls(const struct probe_who *who, bool extras, struct probe_results *found)
{
}
bool probe_judge(const struct probe_results *found, bool lowered, uint32_t *without, struct err *err)
{
    return true;
}
bool privileges_keep_for_runner(struct err *err)
{
    return true;
}
bool groups_open(struct runner *runner, const json_t *config, struct err *err)
{
    return true;
}
bool groups_bound(struct runner *runner, const struct home *home, struct err *err)
{
    return true;
}
void groups_free(struct runner *runner, const struct home *home)
{
}
bool privileges_enough(void)
{
    return false;
}

/* Nothing is written: the log has a target of its own. */
void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
}
void log_role(const char *name)
{
}
void log_level(enum log_level most)
{
}

/* ── the world around it ───────────────────────────────────────────────────────────────────────────── */

static struct role role;
static struct runner runner;
static int peer_ends[PEERS], registries[2];
/* No entry here has these bytes: all workers' ends go to who asks for them. */
const uint8_t oauth2_digest[HASH_BYTES] = {0xee};

static const enum role_id peers[PEERS] = {ROLE_LEDGER, ROLE_FRONT, ROLE_FRONT, ROLE_VAULT, ROLE_BROKER};

#define ENTRY(name, digest, isolation, spares, egress)                                                                 \
    "{\"name\":\"" name "\",\"plugin\":\"p\",\"version\":\"1.0.0\",\"state\":\"enabled\",\"digest\":\"" digest         \
    "\",\"so_digest\":\"" digest "\",\"manifest_digest\":\"" digest "\",\"isolation\":\"" isolation                    \
    "\",\"lease\":{\"calls\":3,\"age_s\":9,\"idle_s\":2,\"spares\":" spares "},\"actions\":[{\"name\":\"a\","          \
    "\"summary\":\"s\",\"input\":{},\"idempotent\":false,\"fields\":[]}],\"fields\":[],\"settings\":{},\"egress\":"    \
    "[" egress                                                                                                         \
    "],\"ranges\":[],\"workspaces\":[],\"limits\":{\"memory_mb\":1,\"cpu_s\":1,\"wall_s\":1,\"output_kb\":1,"          \
    "\"log_kb\":1,\"dials\":1,\"up_kb\":1,\"down_kb\":1,\"concurrency\":2}}\n"
#define DIGEST(two)                                                                                                    \
    two two two two two two two two two two two two two two two two two two two two two two two two two two two two    \
        two two two two

static int document(const char *text)
{
    int fd = memfd_create("registry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) == 0);
    return fd;
}

static void make_registries(void)
{
    registries[0] = document("{\"entries\":2,\"registry\":1}\n" ENTRY("one", DIGEST("11"), "call", "2", "")
                                 ENTRY("two", DIGEST("22"), "lease", "0", "\"tls://a.example:1\""));
    registries[1] = document("{\"entries\":2,\"registry\":2}\n" ENTRY(
        "two", DIGEST("22"), "lease", "0", "\"tls://a.example:1\"") ENTRY("three", DIGEST("33"), "call", "0", ""));
}

/* As the parent does: the plugins' bytes first. */
static void give_registry(unsigned which)
{
    for (int i = 0; i < 2; i++)
        if (role.plugins[i] < 0) role.plugins[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    role.given[GIVE_REGISTRY] = fcntl(registries[which], F_DUPFD_CLOEXEC, 0);
    role.registry_number = take_registry(&role, which + 1);
    close_fd(&role.given[GIVE_REGISTRY]);
    MUST(role.registry_number == which + 1);
}

static void new_line(unsigned i)
{
    int ends[2];
    struct err err;
    struct role_line *line = &role.lines[i];
    close_fd(&peer_ends[i]);
    close_fd(&line->fd);
    MUST(wire_pair(ends, &err));
    peer_ends[i] = ends[0];
    *line = (struct role_line){.fd = ends[1], .peer = peers[i], .index = i == 2, .generation = line->generation + 1};
    line_came(&role, line);
}

static void begin_world(void)
{
    memset(&role, 0, sizeof role);
    memset(&runner, 0, sizeof runner);
    role.part = &runner_part;
    role.state = &runner;
    role.control.fd = -1;
    runner.role = &role;
    runner.serial = 0;
    role.epoll = epoll_create1(EPOLL_CLOEXEC);
    runner.nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < GIVE_KINDS; i++) role.given[i] = -1;
    for (size_t i = 0; i < sizeof role.plugins / sizeof *role.plugins; i++) role.plugins[i] = -1;
    for (int i = 0; i < 4; i++) role.plugins[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < WORKERS; i++)
        runner.workers[i] = (struct worker){.stream = -1, .replies = -1, .secret = -1, .egress = -1};
    for (int i = 0; i < HOMES; i++) runner.homes[i] = (struct home){.pidfd = -1, .channel = -1};
    role.line_count = PEERS;
    for (unsigned i = 0; i < PEERS; i++) peer_ends[i] = role.lines[i].fd = -1;
    for (unsigned i = 0; i < PEERS; i++) new_line(i);
    cell_count = 0;
}

static void end_world(void)
{
    close_runner(&role);
    for (int i = 0; i < WORKERS; i++) MUST(runner.workers[i].state == HELD_NONE);
    for (unsigned i = 0; i < PEERS; i++) close_fd(&peer_ends[i]), close_fd(&role.lines[i].fd);
    for (unsigned i = 0; i < cell_count; i++) close_fd(&cell_ends[i]);
    for (int i = 0; i < 4; i++) close_fd(&role.plugins[i]);
    registry_clear(&runner.registry);
    registry_clear(&runner.previous);
    close(runner.nothing);
    close(role.epoll);
}

/* ── what must hold after every step ───────────────────────────────────────────────────────────────── */

static void check_tables(void)
{
    unsigned busy[HOMES] = {0};
    for (int i = 0; i < WORKERS; i++) {
        const struct worker *worker = &runner.workers[i];
        if (worker->state == HELD_NONE) continue;
        MUST(worker->home && worker->home->used && worker->number % WORKERS == (uint32_t)i);
        if (!worker->call) continue;
        MUST(worker->call->state == CALL_RUNNING && worker->call->worker == worker);
        busy[worker->home - runner.homes]++;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        const struct call *call = &runner.calls[i];
        MUST(call->state == CALL_NONE || i < runner.call_top);
        if (call->state == CALL_RUNNING) MUST(call->worker && call->worker->call == call);
        if (call->state == CALL_WAITING) MUST(call->home && call->home->used);
    }
    for (int i = 0; i < HOMES; i++) MUST(runner.homes[i].busy == busy[i]);
}

static void drain(int fd)
{
    static struct wire_frame frame;
    while (fd >= 0 && wire_take(fd, &frame) == WIRE_FRAME) wire_drop(&frame);
}

/* ── steps ─────────────────────────────────────────────────────────────────────────────────────────── */

struct input {
    const uint8_t *at, *end;
};

static unsigned next(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static struct call_ref pick_call(struct input *input)
{
    unsigned byte = next(input);
    struct call_ref call = {.attempt = 1 + (byte >> 3 & 1)};
    call.id[0] = (uint8_t)(byte % IDS);
    return call;
}

static void run(struct input *input, unsigned type, unsigned line, const void *body, size_t length)
{
    static struct wire_frame frame;
    struct role_message message = {.head = {.type = (uint16_t)type,
                                            .registry = next(input) % 8 ? role.registry_number : next(input) % 4,
                                            .seq = next(input)},
                                   .body = body,
                                   .length = length,
                                   .frame = &frame};
    for (const struct role_handler *row = handlers; row->type != MSG_NONE; row++)
        if (row->type == type) row->run(&role, &role.lines[line], &message);
}

static void step_start(struct input *input)
{
    unsigned byte = next(input);
    struct msg_start start = {.call = pick_call(input),
                              .taker = ROLE_FRONT,
                              .entry = byte % 4,
                              .action = byte >> 6 == 3,
                              .isolation = 1 + (byte >> 2 & 1),
                              .credential_version = byte >> 3 & 1,
                              .deadline = clock_now() + (byte >> 4) * CLOCK_S};
    start.workspace[0] = byte >> 5 & 1;
    run(input, MSG_START, 0, &start, sizeof start);
}

static void step_front(struct input *input)
{
    unsigned byte = next(input);
    struct msg_take take = {pick_call(input)};
    struct msg_done done = {take.call, byte >> 4 & 1};
    if (byte & 1)
        run(input, MSG_TAKE, 1 + (byte >> 1 & 1), &take, sizeof take);
    else
        run(input, MSG_DONE, 1 + (byte >> 1 & 1), &done, sizeof done);
}

static void step_ledger(struct input *input)
{
    unsigned byte = next(input);
    struct msg_cancel cancel = {pick_call(input), byte >> 1};
    struct msg_revoke revoke = {0};
    if (byte >> 1 & 1) revoke.workspace[0] = 1;
    if (byte >> 2 & 1) memset(revoke.entry_digest, 0x22, HASH_BYTES);
    if (byte & 1)
        run(input, MSG_CANCEL, 0, &cancel, sizeof cancel);
    else
        run(input, MSG_REVOKE, 0, &revoke, sizeof revoke);
}

/* A report of a cell: about a worker that there is, of its own or another's, or about none. */
static void step_report(struct input *input)
{
    struct cell_report report = {.event = next(input) % 6, .why = next(input) % 7};
    unsigned which = cell_count ? next(input) % cell_count : 0, worker = next(input);
    int fd = next(input) % 4 ? STDERR_FILENO : -1;
    if (!cell_count || cell_ends[which] < 0) return;
    report.worker = worker == 255 ? ~0u : runner.workers[worker % 16].number;
    report.exit_code = (int32_t)next(input);
    report.signal = (int32_t)(next(input) % 40);
    report.loading = next(input) & 1;
    report.attempt_count = next(input);
    report.kind = next(input);
    next_check = next(input) % 4 != 0;
    memset(report.text, 'x', sizeof report.text);
    size_t length = next(input) % 8 ? sizeof report : 1 + next(input);
    struct iovec piece = {&report, length};
    wire_send(cell_ends[which], &piece, 1, &fd, fd >= 0);
}

static void step_cell_gone(struct input *input)
{
    if (cell_count) close_fd(&cell_ends[next(input) % cell_count]);
}

static void step_line(struct input *input)
{
    new_line(next(input) % PEERS);
}

static void step_freeze(struct input *input)
{
    unsigned byte = next(input);
    role.frozen = byte & 1;
    freeze(&role, byte & 1, byte & 2);
}

static void step_registry(struct input *input)
{
    give_registry(next(input) & 1);
}

static void step_given(struct input *input)
{
    given(&role, next(input) & 1 ? GIVE_CA : GIVE_HELPERS, 0);
}

static void step_time(struct input *input)
{
    static const unsigned ms[] = {1, 50, 900, 1100, 5000, 31000, 310000, 0};
    uint64_t now = clock_now() + ms[next(input) % 8] * CLOCK_MS;
    clock_set(now, now);
    tick(&role);
}

/* What came on the cells' lines is heard as the event loop would. */
static void hear(void)
{
    for (int i = 0; i < HOMES; i++)
        if (runner.homes[i].used && runner.homes[i].channel >= 0)
            cell_heard(&role, runner.homes[i].channel, 0, &runner.homes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static void (*const steps[])(struct input *) = {step_start,    step_start,  step_front,     step_front, step_report,
                                                    step_report,   step_ledger, step_cell_gone, step_line,  step_freeze,
                                                    step_registry, step_given,  step_time};
    struct input input = {bytes, bytes + length};
    if (!registries[0]) {
        signal(SIGPIPE, SIG_IGN);
        make_registries();
    }
    int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(before);
    clock_set(100 * CLOCK_S, 100 * CLOCK_S);
    begin_world();
    give_registry(0);
    for (int i = 0; i < STEPS && input.at < input.end; i++) {
        steps[next(&input) % (sizeof steps / sizeof *steps)](&input);
        hear();
        if (i % 4 == 3) check_tables();
        for (unsigned p = 0; p < PEERS; p++) drain(peer_ends[p]);
        for (unsigned c = 0; c < cell_count; c++) drain(cell_ends[c]);
    }
    check_tables();
    end_world();
    int after = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(after);
    MUST(before == after);
    return 0;
}
