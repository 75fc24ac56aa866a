/* SPDX-License-Identifier: Apache-2.0 */
/* Answers the workers' listeners: one injected open, as many executable mappings as the plugin has code segments, and
 * for everything else a report, and "not permitted" once that is written down. Arguments are registers: nothing here is
 * read from the worker's memory, and a worker has one thread, so what is decided on is what the kernel then does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/auto.h"
#include "base/clock.h"
#include "cell_state.h"
#include "namespace.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

void notify_quickly(const struct cell_worker *worker)
{
    if (ioctl(worker->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0) return;
}

static bool respond(const struct cell_worker *worker, uint64_t id, int error, uint32_t flags)
{
    struct seccomp_notif_resp answer = {.id = id, .error = -error, .flags = flags};
    return ioctl(worker->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT; /* ENOENT: it died */
}

static bool is_loader_open(const struct seccomp_data *data)
{
    return data->nr == SYS_openat && (int32_t)data->args[0] == AT_FDCWD && data->args[2] == (O_RDONLY | O_CLOEXEC);
}

static bool is_mark(const struct seccomp_data *data)
{
    return data->nr == SYS_openat && data->args[0] == UINT64_MAX && data->args[1] == 0 && data->args[2] == LOADED_MARK;
}

/* The loader maps code readable and executable, privately, from the descriptor that was put in, and nothing else. */
static bool is_own_code(const struct cell_worker *worker, const struct seccomp_data *data)
{
    const uint64_t flags = MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE;
    return data->nr == SYS_mmap && worker->loading && worker->code_left > 0 && worker->code_fd >= 0 &&
           data->args[2] == (PROT_READ | PROT_EXEC) && (data->args[3] & MAP_PRIVATE) && !(data->args[3] & ~flags) &&
           data->args[4] == (uint64_t)worker->code_fd;
}

/* A fresh open of the copy, put into the worker as the answer of its openat. */
static bool inject(struct cell *cell, struct cell_worker *worker, uint64_t id)
{
    bool in_memory = cell->spec.without >> WALL_NAMESPACES & 1;
    FD_AUTO copy = in_memory ? memory_open_copy(cell->copy) : namespace_open_copy(cell->copy);
    if (copy < 0) return respond(worker, id, ENOENT, 0);
    struct seccomp_notif_addfd add = {
        .id = id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)copy, .newfd_flags = O_CLOEXEC};
    int number = ioctl(worker->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    if (number < 0) return errno == ENOENT || respond(worker, id, EMFILE, 0);
    worker->code_fd = number;
    worker->code_left = cell->code_segments;
    worker->state = WORKER_LOADING;
    return true;
}

static bool same_attempt(const struct cell_attempt *kept, const struct seccomp_data *data)
{
    return kept->number == data->nr && kept->arch == data->arch &&
           memcmp(kept->args, data->args, sizeof kept->args) == 0;
}

static void keep(struct cell_worker *worker, const struct cell_attempt *attempt, const struct seccomp_data *data)
{
    worker->attempt_count++;
    for (uint32_t i = 0; i < worker->attempt_kept; i++)
        if (same_attempt(&worker->attempts[i], data)) return;
    if (worker->attempt_kept < POLICY_REPORTS) worker->attempts[worker->attempt_kept++] = *attempt;
}

/* The worker stands still in its call until the report is where nothing can be taken back. */
static bool refuse(struct cell *cell, struct cell_worker *worker, const struct seccomp_notif *asked)
{
    struct cell_attempt attempt = {.number = asked->data.nr, .arch = asked->data.arch};
    for (int i = 0; i < 6; i++) attempt.args[i] = asked->data.args[i];
    keep(worker, &attempt, &asked->data);
    worker->holds = true;
    worker->held = asked->id;
    cell_tell_attempt(cell, worker, &attempt);
    if (cell->spec.lease || worker->attempt_count <= POLICY_ATTEMPTS) return true;
    worker->why = ENDED_ATTEMPTS;
    return false;
}

bool notify_noted(struct cell_worker *worker, uint64_t tries)
{
    bool held = worker->holds && worker->state != WORKER_DYING;
    worker->holds = false;
    if (held && tries > POLICY_ATTEMPTS) {
        worker->why = ENDED_ATTEMPTS;
        return false;
    }
    return !held || respond(worker, worker->held, EPERM, 0);
}

static unsigned count_loading(const struct cell *cell)
{
    unsigned count = 0;
    for (int i = 0; i < POLICY_WORKERS; i++) {
        const struct cell_worker *worker = cell->workers[i];
        count += worker && worker->go && worker->loading && worker->state != WORKER_DYING;
    }
    return count;
}

static struct cell_worker *longest_waiting(const struct cell *cell)
{
    struct cell_worker *longest = NULL;
    for (int i = 0; i < POLICY_WORKERS; i++) {
        struct cell_worker *worker = cell->workers[i];
        if (!worker || !worker->waits || worker->state == WORKER_DYING) continue;
        if (!longest || worker->started < longest->started) longest = worker;
    }
    return longest;
}

struct cell_worker *notify_next(const struct cell *cell)
{
    struct cell_worker *next = longest_waiting(cell);
    return next && count_loading(cell) < POLICY_LOADING ? next : NULL;
}

bool notify_go(struct cell *cell, struct cell_worker *worker)
{
    worker->go = true;
    worker->load_deadline = clock_now() + POLICY_LOAD_MS * CLOCK_MS;
    if (!worker->has_first) return true;
    worker->has_first = false;
    return inject(cell, worker, worker->first.id);
}

static bool first_open(struct cell *cell, struct cell_worker *worker, const struct seccomp_notif *asked)
{
    if (worker->go) return inject(cell, worker, asked->id);
    worker->first = *asked;
    worker->has_first = true;
    return true;
}

static bool loaded(struct cell *cell, struct cell_worker *worker, const struct seccomp_notif *asked)
{
    if (worker->attempt_count) cell_tell_attempt(cell, worker, NULL);
    worker->loading = false;
    worker->code_left = 0;
    worker->load_deadline = 0;
    worker->state = WORKER_SERVING;
    return respond(worker, asked->id, EPERM, 0);
}

bool notify_answer(struct cell *cell, struct cell_worker *worker)
{
    struct seccomp_notif asked;
    memset(&asked, 0, sizeof asked);
    if (ioctl(worker->listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) return errno == ENOENT || errno == EINTR;
    if (is_loader_open(&asked.data) && worker->code_fd < 0 && !worker->has_first)
        return first_open(cell, worker, &asked);
    if (is_own_code(worker, &asked.data)) {
        worker->code_left--;
        return respond(worker, asked.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    }
    bool no_wall = asked.data.nr == SYS_mmap ? !policy_has(WALL_CODE) : !policy_has(WALL_FILTER_L) && !worker->loading;
    if (no_wall) return respond(worker, asked.id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    if (is_mark(&asked.data) && worker->state == WORKER_LOADING) return loaded(cell, worker, &asked);
    return refuse(cell, worker, &asked);
}
