/* SPDX-License-Identifier: Apache-2.0 */
/* The cell's life: set up, then one loop over the runner's orders, the workers' listeners and their deaths. */
#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/wire.h"
#include "cell_state.h"
#include "limits.h"

/* What an event is about: the worker's slot and which of its descriptors. */
enum watched { WATCH_CHANNEL, WATCH_CARRIER, WATCH_LISTENER, WATCH_DEATH };

/* ── what the runner hears ───────────────────────────────────────────────────────────────────────────── */

static void tell(struct cell *cell, const struct cell_report *report, int fd)
{
    struct iovec piece = {(void *)report, sizeof *report};
    struct pollfd room = {.fd = cell->channel, .events = POLLOUT};
    /* A runner that does not read for so long is beyond help; its death ends this cell. */
    while (wire_send(cell->channel, &piece, 1, &fd, fd >= 0) == EAGAIN) poll(&room, 1, -1);
}

static void tell_ended(struct cell *cell, const struct cell_worker *worker, int status, const struct rusage *use)
{
    struct cell_report report = {.event = CELL_ENDED,
                                 .worker = worker->number,
                                 .why = worker->why,
                                 .loading = worker->loading,
                                 .attempt_count = worker->attempt_count};
    if (WIFEXITED(status)) report.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) report.signal = WTERMSIG(status);
    if (report.signal != SIGKILL) report.why = ENDED_ITSELF; /* it was faster than our signal */
    memcpy(report.attempts, worker->attempts, sizeof report.attempts);
    report.cpu_us = (uint64_t)(use->ru_utime.tv_sec + use->ru_stime.tv_sec) * 1000000 +
                    (uint64_t)(use->ru_utime.tv_usec + use->ru_stime.tv_usec);
    report.peak_kb = (uint64_t)use->ru_maxrss;
    report.alive_us = (clock_now() - worker->started) / 1000;
    tell(cell, &report, -1);
}

void cell_tell_attempt(struct cell *cell, const struct cell_worker *worker, const struct cell_attempt *attempt)
{
    struct cell_report report = {.event = attempt ? CELL_TRIED : CELL_LOADED,
                                 .worker = worker->number,
                                 .loading = worker->loading,
                                 .attempt_count = worker->attempt_count};
    memcpy(report.attempts, worker->attempts, sizeof report.attempts);
    if (attempt) report.attempts[0] = *attempt;
    tell(cell, &report, -1);
}

/* ── descriptors of a worker ─────────────────────────────────────────────────────────────────────────── */

static void watch(struct cell *cell, struct cell_worker *worker, int fd, enum watched what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)worker->slot << 2 | what};
    epoll_ctl(cell->events, EPOLL_CTL_ADD, fd, &event);
}

/* The runner holds a duplicate of some of them, so closing alone would leave them in the event queue. */
static void unwatch(struct cell *cell, int *fd)
{
    if (*fd < 0) return;
    epoll_ctl(cell->events, EPOLL_CTL_DEL, *fd, NULL);
    close_fd(fd);
}

static struct cell_worker *worker_of(struct cell *cell, uint32_t number)
{
    for (int i = 0; number && i < POLICY_WORKERS; i++)
        if (cell->workers[i] && cell->workers[i]->number == number) return cell->workers[i];
    return NULL;
}

static struct cell_worker *new_worker(struct cell *cell)
{
    uint32_t slot = 0;
    while (slot < POLICY_WORKERS && cell->workers[slot]) slot++;
    struct cell_worker *worker = slot < POLICY_WORKERS ? malloc(sizeof *worker) : NULL;
    if (!worker) return NULL;
    *worker = (struct cell_worker){.slot = slot,
                                   .pidfd = -1,
                                   .carrier = -1,
                                   .listener = -1,
                                   .code_fd = -1,
                                   .loading = true,
                                   .started = clock_now()};
    return cell->workers[slot] = worker;
}

static void drop_worker(struct cell *cell, struct cell_worker *worker)
{
    unwatch(cell, &worker->carrier);
    unwatch(cell, &worker->listener);
    unwatch(cell, &worker->pidfd);
    cell->workers[worker->slot] = NULL;
    free(worker);
}

static void kill_worker(struct cell_worker *worker, uint32_t why)
{
    if (worker->state == WORKER_DYING) return;
    if (worker->why == ENDED_ITSELF) worker->why = why;
    worker->state = WORKER_DYING;
    worker->deadline = worker->load_deadline = 0;
    if (syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0) < 0) return; /* dead already: reaped below */
}

static void reap(struct cell *cell, struct cell_worker *worker)
{
    int status = 0;
    struct rusage use = {0};
    if (wait4(worker->pid, &status, 0, &use) != worker->pid) return;
    tell_ended(cell, worker, status, &use);
    drop_worker(cell, worker);
}

/* ── orders ──────────────────────────────────────────────────────────────────────────────────────────── */

static void refuse_make(struct cell *cell, uint32_t number)
{
    struct cell_report report = {
        .event = CELL_ENDED, .worker = number, .why = ENDED_ITSELF, .loading = 1, .exit_code = WORKER_NO_MEMORY};
    tell(cell, &report, -1);
}

static bool fork_worker(struct cell *cell, struct cell_worker *worker, const int channels[CHANNELS])
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return false;
    pid_t pid = fork();
    if (pid == 0) worker_start(cell, channels, ends[1]);
    close(ends[1]);
    worker->pid = pid;
    worker->carrier = ends[0];
    worker->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (worker->pidfd >= 0) return true;
    if (pid > 0) waitpid(pid, NULL, 0); /* no pidfd: its carrier's end is gone, so it gives up by itself */
    close_fd(&worker->carrier);
    return false;
}

static void on_make(struct cell *cell, const struct cell_request *request, const int channels[CHANNELS])
{
    bool good = request->worker && !worker_of(cell, request->worker);
    struct cell_worker *worker = good ? new_worker(cell) : NULL;
    if (!worker) {
        refuse_make(cell, request->worker);
        return;
    }
    worker->number = request->worker;
    worker->deadline = request->deadline;
    worker->load_deadline = clock_now() + POLICY_LOOK_MS * CLOCK_MS;
    if (!fork_worker(cell, worker, channels)) {
        drop_worker(cell, worker);
        refuse_make(cell, request->worker);
        return;
    }
    worker->state = WORKER_FORKED;
    watch(cell, worker, worker->carrier, WATCH_CARRIER);
    watch(cell, worker, worker->pidfd, WATCH_DEATH);
}

static void on_request(struct cell *cell, const struct cell_request *request, struct wire_frame *frame)
{
    struct cell_worker *worker = worker_of(cell, request->worker);
    switch (request->order) {
    case CELL_MAKE:
        if (frame->fd_count == CHANNELS) on_make(cell, request, frame->fds);
        break;
    case CELL_GO:
        if (worker && !worker->go) worker->waits = true, worker->load_deadline = 0;
        break;
    case CELL_CALL:
        if (worker) worker->deadline = request->deadline;
        break;
    case CELL_IDLE:
        if (worker) worker->deadline = 0;
        break;
    case CELL_KILL:
        if (worker) kill_worker(worker, ENDED_KILLED);
        break;
    case CELL_NOTED:
        if (worker && !notify_noted(worker, request->deadline)) kill_worker(worker, ENDED_KILLED);
        break;
    default: break;
    }
}

static bool on_channel(struct cell *cell)
{
    static struct wire_frame frame;
    for (;;) {
        struct cell_request request;
        switch (wire_take(cell->channel, &frame)) {
        case WIRE_GONE: return false;
        case WIRE_AGAIN: return true;
        case WIRE_BAD: continue;
        case WIRE_FRAME:
            if (frame.length == sizeof request) {
                memcpy(&request, frame.bytes, sizeof request);
                on_request(cell, &request, &frame);
            }
            wire_drop(&frame);
        }
    }
}

/* ── workers ─────────────────────────────────────────────────────────────────────────────────────────── */

static int take_listener(int carrier)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte;
    int fd = -1;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (recvmsg(carrier, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1) return -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

static void on_carrier(struct cell *cell, struct cell_worker *worker)
{
    worker->listener = take_listener(worker->carrier);
    unwatch(cell, &worker->carrier);
    if (worker->listener < 0 || (policy_has(WALL_LIMITS) && !limits_descriptors(worker->pid))) {
        kill_worker(worker, ENDED_ITSELF);
        return;
    }
    worker->state = WORKER_CONFINED;
    notify_quickly(worker);
    watch(cell, worker, worker->listener, WATCH_LISTENER);
    struct cell_report ready = {.event = CELL_READY, .worker = worker->number};
    tell(cell, &ready, worker->pidfd);
}

static void give_turns(struct cell *cell)
{
    for (struct cell_worker *next; (next = notify_next(cell));) {
        next->waits = false;
        if (!notify_go(cell, next)) kill_worker(next, ENDED_KILLED);
    }
}

static void on_event(struct cell *cell, const struct epoll_event *event)
{
    struct cell_worker *worker = cell->workers[event->data.u64 >> 2 & (POLICY_WORKERS - 1)];
    if (!worker) return; /* reaped earlier in this turn */
    switch ((enum watched)(event->data.u64 & 3)) {
    case WATCH_CARRIER:
        if (worker->carrier >= 0) on_carrier(cell, worker);
        break;
    case WATCH_LISTENER:
        if (!(event->events & EPOLLIN))
            unwatch(cell, &worker->listener); /* the worker is gone */
        else if (worker->state != WORKER_DYING && !notify_answer(cell, worker))
            kill_worker(worker, ENDED_KILLED);
        break;
    case WATCH_DEATH: reap(cell, worker); break;
    case WATCH_CHANNEL: break;
    }
}

/* ── time ────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t kill_time(const struct cell_worker *worker)
{
    uint64_t call = worker->deadline ? worker->deadline + POLICY_GRACE_MS * CLOCK_MS : 0, load = worker->load_deadline;
    return call && load ? (call < load ? call : load) : call + load;
}

/* Kills what is late; returns when to look again, in milliseconds, -1 for never. */
static int enforce(struct cell *cell)
{
    uint64_t now = clock_now(), next = 0;
    for (int i = 0; i < POLICY_WORKERS; i++) {
        struct cell_worker *worker = cell->workers[i];
        uint64_t when = worker ? kill_time(worker) : 0;
        if (!when) continue;
        if (when <= now)
            kill_worker(worker, worker->load_deadline == when ? ENDED_LOAD_DEADLINE : ENDED_DEADLINE);
        else if (!next || when < next)
            next = when;
    }
    return next ? clock_left_ms(next) : -1;
}

static int serve(struct cell *cell)
{
    struct epoll_event events[32];
    for (;;) {
        give_turns(cell);
        int count = epoll_wait(cell->events, events, 32, enforce(cell));
        for (int i = 0; i < count; i++)
            if ((events[i].data.u64 & 3) != WATCH_CHANNEL) on_event(cell, &events[i]);
        for (int i = 0; i < count; i++)
            if ((events[i].data.u64 & 3) == WATCH_CHANNEL && !on_channel(cell)) return 0;
    }
}

/* ── start ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool read_settings(struct cell *cell, struct err *err)
{
    uint32_t length = cell->spec.settings_length;
    FREE_AUTO char *text = length <= CELL_SETTINGS_MAX ? malloc(length + 1) : NULL;
    if (!text || pread(CELL_SPEC, text, length, sizeof cell->spec) != (ssize_t)length)
        return err_set(err, ERR_INTERNAL, "the runner's specification is cut short");
    uint32_t seed = 0; /* jansson would open a device for it */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) return err_sys(err, ERR_IO, "no randomness");
    json_object_seed(seed ? seed : 1);
    cell->settings = json_loadb(text, length, 0, NULL);
    return json_is_object(cell->settings) || err_set(err, ERR_INTERNAL, "the settings are not an object");
}

static bool read_spec(struct cell *cell, struct err *err)
{
    struct cell_spec *spec = &cell->spec;
    if (pread(CELL_SPEC, spec, sizeof *spec, 0) != sizeof *spec || spec->magic != CELL_MAGIC ||
        spec->size != sizeof *spec || spec->action_count > CELL_ACTIONS)
        return err_set(err, ERR_INTERNAL, "this program is started by caisson-runner only");
    if (!read_settings(cell, err)) return false;
    close(CELL_SPEC);
    return true;
}

static bool open_events(struct cell *cell, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WATCH_CHANNEL};
    cell->events = epoll_create1(EPOLL_CLOEXEC);
    if (cell->events < 0 || epoll_ctl(cell->events, EPOLL_CTL_ADD, cell->channel, &event) < 0)
        return err_sys(err, ERR_IO, "no event queue");
    return true;
}

/* Deaths are told by pidfds. As a signal, to a cell that is traced, one would break off the answer to a listener: the
 * worker's open would then succeed without a descriptor. */
static void expect_no_signals(void)
{
    sigset_t deaths;
    sigemptyset(&deaths);
    sigaddset(&deaths, SIGCHLD);
    sigprocmask(SIG_BLOCK, &deaths, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool cell_open(struct cell *cell, struct err *err)
{
    cell->channel = CELL_CHANNEL;
    expect_no_signals();
    return read_spec(cell, err) && cell_set_up(cell, err) && open_events(cell, err);
}

int cell_main(void)
{
    static struct cell cell;
    struct err err = {0};
    bool good = cell_open(&cell, &err);
    struct cell_report report = {.event = good ? CELL_UP : CELL_REFUSED, .kind = (uint32_t)err.kind};
    snprintf(report.text, sizeof report.text, "%s", err.text);
    tell(&cell, &report, -1);
    return good ? serve(&cell) : 1;
}
