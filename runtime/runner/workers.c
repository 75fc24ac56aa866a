/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: their channels, from being made to being checked, handed out and let go. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "runner.h"

/* ── channels ────────────────────────────────────────────────────────────────────────────────────────── */

/* Ours do not block; the worker's do. The call stream carries nothing upwards, the reply pipe no descriptors. */
static bool make_channels(struct worker *worker, int theirs[CHANNELS])
{
    int stream[2], replies[2], secret[2], egress[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0) return false;
    worker->stream = stream[0], theirs[CHANNEL_CALL] = stream[1];
    if (pipe2(replies, O_CLOEXEC) < 0) return false;
    worker->replies = replies[0], theirs[CHANNEL_REPLY] = replies[1];
    if (pipe2(secret, O_CLOEXEC) < 0) return false;
    worker->secret = secret[1], theirs[CHANNEL_SECRET] = secret[0];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, egress) < 0) return false;
    worker->egress = egress[0], theirs[CHANNEL_EGRESS] = egress[1];
    return shutdown(stream[1], SHUT_WR) == 0 && fcntl(stream[0], F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(replies[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(secret[1], F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(egress[0], F_SETFL, O_NONBLOCK) == 0;
}

void worker_free(struct worker *worker)
{
    worker->home->held--;
    close_fd(&worker->stream);
    close_fd(&worker->replies);
    close_fd(&worker->secret);
    close_fd(&worker->egress);
    *worker = (struct worker){.stream = -1, .replies = -1, .secret = -1, .egress = -1};
}

struct worker *worker_by_number(struct runner *runner, uint32_t number)
{
    struct worker *worker = &runner->workers[number % WORKERS];
    return number && worker->state != HELD_NONE && worker->number == number ? worker : NULL;
}

static struct worker *new_worker(struct runner *runner, struct home *home)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        if (worker->state != HELD_NONE) continue;
        runner->serial++;
        *worker = (struct worker){.state = HELD_MAKING,
                                  .home = home,
                                  .number = runner->serial * WORKERS + i,
                                  .stream = -1,
                                  .replies = -1,
                                  .secret = -1,
                                  .egress = -1,
                                  .made = clock_now(),
                                  .front = runner->front,
                                  .vault = runner->vault,
                                  .broker = runner->broker};
        if (!worker->number) worker->number = WORKERS;
        home->held++;
        return worker;
    }
    return NULL;
}

struct worker *worker_make(struct runner *runner, struct home *home, struct call *call, struct err *err)
{
    int theirs[CHANNELS] = {-1, -1, -1, -1};
    if (!home_open(runner, home, err)) return NULL;
    struct worker *worker = home->held < POLICY_WORKERS ? new_worker(runner, home) : NULL;
    if (!worker) return err_set(err, ERR_BUSY, "too many workers"), NULL;
    bool made = make_channels(worker, theirs) &&
                home_order(home, CELL_MAKE, worker->number, call ? call->start.deadline : 0, theirs);
    for (int i = 0; i < CHANNELS; i++) close_fd(&theirs[i]);
    worker->cell_deadline = call ? call->start.deadline : 0;
    if (made) return worker;
    worker_free(worker);
    return err_set(err, ERR_BUSY, "a worker's channels cannot be made"), NULL;
}

/* ── halves ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool send_ends(struct runner *runner, enum role_id to, const struct msg_half *half, const int *fds, int count)
{
    struct role_line *line = role_line_to(runner->role, to);
    return line && role_send(runner->role, line, MSG_HALF, 0, half, sizeof *half, fds, count);
}

static bool send_half(struct runner *runner, enum role_id to, const struct msg_half *half, int fd)
{
    return send_ends(runner, to, half, &fd, fd >= 0);
}

/* An exchange has no front: the vault makes the call, and the reply comes back to it alone. */
static bool send_vault(struct runner *runner, struct worker *worker, const struct msg_half *half)
{
    int all[3] = {worker->secret, worker->stream, worker->replies};
    if (!worker->call->start.exchange) return send_half(runner, ROLE_VAULT, half, worker->halved ? -1 : worker->secret);
    worker->call->taken = true;
    bool sent = send_ends(runner, ROLE_VAULT, half, all, 3);
    close_fd(&worker->stream);
    close_fd(&worker->replies);
    return sent;
}

/* A connector without egress has nothing to hear from the broker: its channel just ends. */
static bool send_halves(struct runner *runner, struct worker *worker, const struct call_ref *call, uint64_t deadline)
{
    struct home *home = worker->home;
    struct msg_half half = {.call = *call,
                            .channel = worker->number,
                            .entry = home->entry_index,
                            .deadline = deadline,
                            .keep = home->entry && home->entry->isolation == ISOLATE_LEASE};
    memcpy(half.entry_digest, home->digest, sizeof half.entry_digest);
    bool egress = home->entry && home->entry->rule_count > 0;
    bool sent = (!egress || send_half(runner, ROLE_BROKER, &half, worker->halved ? -1 : worker->egress)) &&
                send_vault(runner, worker, &half);
    close_fd(&worker->secret);
    close_fd(&worker->egress);
    worker->halved = true;
    return sent;
}

/* Only a leased worker's channels outlive its call: vault and broker let go of them when it is gone. */
void worker_gone(struct runner *runner, struct worker *worker)
{
    struct msg_half half = {.channel = worker->number, .entry = worker->home->entry_index};
    if (!worker->halved || !worker->bound) return;
    memcpy(half.entry_digest, worker->home->digest, sizeof half.entry_digest);
    send_half(runner, ROLE_VAULT, &half, -1);
    send_half(runner, ROLE_BROKER, &half, -1);
}

/* ── a call gets a worker ────────────────────────────────────────────────────────────────────────────── */

/* The ends of a lease stay with whom its calls came from: desk and front never share one. */
static bool same_lease(const struct worker *worker, const struct msg_start *start)
{
    return worker->bound && worker->taker == start->taker && worker->action == start->action &&
           worker->version == start->credential_version && memcmp(worker->workspace, start->workspace, ID_BYTES) == 0 &&
           memcmp(worker->credential, start->credential, ID_BYTES) == 0;
}

/* Between two calls of a lease no byte passes: one that has spoken would speak into the next call. */
static bool has_kept_quiet(struct runner *runner, struct worker *worker)
{
    struct pollfd one = {.fd = worker->replies, .events = POLLIN};
    if (poll(&one, 1, 0) == 0) return true;
    if (one.revents & POLLIN) tell_incident(runner, INCIDENT_BAD_FRAME, worker->home, &worker->last, NULL);
    worker_end(runner, worker, CLASS_NONE, REASON_NONE);
    return false;
}

static struct worker *find_ready(struct runner *runner, const struct home *home, const struct msg_start *start)
{
    struct worker *spare = NULL;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        if (worker->home != home) continue;
        if (worker->state == HELD_LEASE && same_lease(worker, start) && has_kept_quiet(runner, worker)) return worker;
        bool free = worker->state == HELD_SPARE || (worker->state == HELD_MAKING && !worker->call);
        if (free && (!spare || (!spare->checked && worker->checked))) spare = worker;
    }
    return spare;
}

static bool has_slot(const struct runner *runner)
{
    for (int i = 0; i < WORKERS; i++)
        if (runner->workers[i].state == HELD_NONE) return true;
    return false;
}

/* Leases that wait in other homes must not keep this one's calls out. */
bool worker_expected(struct runner *runner, const struct call *call)
{
    bool full = call->home->held >= POLICY_WORKERS;
    if ((!full && has_slot(runner)) || find_ready(runner, call->home, &call->start)) return true;
    if (!full) runner->crowded = true;
    leases_make_room(runner, full ? call->home : NULL);
    return false;
}

static void bind_lease(struct worker *worker, const struct msg_start *start)
{
    worker->bound = worker->home->entry->isolation == ISOLATE_LEASE;
    worker->action = start->action;
    worker->version = start->credential_version;
    memcpy(worker->workspace, start->workspace, ID_BYTES);
    memcpy(worker->credential, start->credential, ID_BYTES);
}

/* A leased worker's cell hears of a new deadline only when the one that it has would let the worker live too long or
 * end too early: the runner itself ends leased calls on time, and the cell is the second guard. */
static void set_deadline(struct worker *worker, uint64_t deadline)
{
    bool near = worker->cell_deadline >= deadline && worker->cell_deadline - deadline < 2 * CLOCK_S;
    if (worker->bound && near) return;
    worker->cell_deadline = worker->bound ? deadline + CLOCK_S : deadline;
    home_order(worker->home, CELL_CALL, worker->number, worker->cell_deadline, NULL);
}

static void let_run(struct runner *runner, struct worker *worker)
{
    struct call *call = worker->call;
    worker->state = HELD_BUSY;
    worker->calls++;
    if (send_halves(runner, worker, &call->start.call, call->start.deadline))
        worker_hand_out(runner, call);
    else
        worker_end(runner, worker, CLASS_REFUSED, REASON_RESTART);
}

bool worker_assign(struct runner *runner, struct call *call, struct err *err)
{
    struct home *home = call->home;
    struct worker *worker = find_ready(runner, home, &call->start);
    bool fresh = !worker;
    if (fresh) worker = worker_make(runner, home, call, err);
    if (!worker) return false;
    worker->call = call;
    worker->last = call->start.call;
    worker->answered = false;
    worker->tries = 0;
    worker->taker = call->start.taker;
    worker->front = taker_generation(runner, worker->taker);
    bind_lease(worker, &call->start);
    call->worker = worker;
    call->state = CALL_RUNNING;
    home->busy++;
    role_wake_at(runner->role, call->start.deadline);
    if (!fresh) set_deadline(worker, call->start.deadline);
    if (worker->checked) let_run(runner, worker);
    return true;
}

void worker_ready(struct runner *runner, struct worker *worker, int pidfd)
{
    struct err err = {0};
    if (worker->state != HELD_MAKING) return;
    if (!check_worker(runner, worker->home, pidfd, &err)) {
        log_failure("worker-unconfined", &err);
        worker_end(runner, worker, CLASS_REFUSED, REASON_NO_WORKER);
        return;
    }
    worker->checked = true;
    home_order(worker->home, CELL_GO, worker->number, 0, NULL);
    if (worker->call) {
        let_run(runner, worker);
        return;
    }
    worker->state = HELD_SPARE;
    worker->idle_since = clock_now();
    role_wake_at(runner->role, worker->idle_since + SPARE_AGE_S * CLOCK_S);
}

/* A leased worker's ends stay here as well, for its next call. */
void worker_hand_out(struct runner *runner, struct call *call)
{
    struct worker *worker = call->worker;
    if (!call->take || call->taken || worker->state != HELD_BUSY) return;
    struct msg_taken taken = {.status = status_ok(), .call = call->start.call};
    int ends[2] = {worker->stream, worker->replies};
    call->taken = true;
    bool sent = call->line->generation == call->line_generation &&
                role_send(runner->role, call->line, MSG_TAKEN, call->seq, &taken, sizeof taken, ends, 2);
    if (!worker->bound) {
        close_fd(&worker->stream);
        close_fd(&worker->replies);
    }
    if (!sent) worker_end(runner, worker, CLASS_REFUSED, REASON_RESTART);
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────────────── */

void worker_end(struct runner *runner, struct worker *worker, uint32_t class, uint32_t reason)
{
    if (worker->state == HELD_ENDING || worker->state == HELD_NONE) return;
    worker->state = HELD_ENDING;
    if (worker->end_class == CLASS_NONE) worker->end_class = class, worker->end_reason = reason;
    home_order(worker->home, CELL_KILL, worker->number, 0, NULL);
}

void worker_let_go(struct runner *runner, struct worker *worker)
{
    struct home *home = worker->home;
    worker->call = NULL;
    home->busy--;
    calls_resume(runner, home);
}

void worker_answered(struct runner *runner, struct worker *worker)
{
    worker->answered = true;
    home_worked(worker->home);
    if (lease_goes_on(runner, worker) && worker->state == HELD_BUSY) {
        worker->state = HELD_LEASE;
        worker->idle_since = clock_now();
        role_wake_at(runner->role, lease_rests(worker, worker->idle_since));
        role_wake_at(runner->role, worker->idle_since + CLOCK_S);
    } else {
        worker_end(runner, worker, CLASS_NONE, REASON_NONE);
    }
    worker_let_go(runner, worker);
    spares_refill(runner, worker->home);
}
