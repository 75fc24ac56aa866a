/* SPDX-License-Identifier: Apache-2.0 */
/* What every role does alike: handshake with the parent, one epoll loop, bounded out-queues. */
#include "role.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"

/* One frame that waits for room on its line. */
struct role_queued {
    struct role_queued *next;
    size_t length;
    int fds[WIRE_FDS], fd_count;
    unsigned char bytes[];
};

enum { FRAMES_A_TURN = 256 }; /* read from one line before the others get their turn */

/* ── sending ───────────────────────────────────────────────────────────────────────────────────────── */

static void free_queued(struct role_queued *one)
{
    for (int i = 0; i < one->fd_count; i++) close(one->fds[i]);
    explicit_bzero(one->bytes, one->length);
    free(one);
}

static void drop_queue(struct role_line *line)
{
    while (line->first) {
        struct role_queued *one = line->first;
        line->first = one->next;
        free_queued(one);
    }
    line->last = NULL;
    line->queued = 0;
}

static void watch_output(struct role *role, struct role_line *line, bool on)
{
    if (role->part->lines_elsewhere && line != &role->control) return;
    struct epoll_event event = {.events = EPOLLIN | (on ? (uint32_t)EPOLLOUT : 0), .data.ptr = line};
    epoll_ctl(role->epoll, EPOLL_CTL_MOD, line->fd, &event);
}

static bool enqueue(struct role *role, struct role_line *line, const struct iovec *pieces, int count, const int *fds,
                    int fd_count)
{
    if (line->queued >= ROLE_QUEUE) return false;
    size_t length = 0;
    for (int i = 0; i < count; i++) length += pieces[i].iov_len;
    struct role_queued *one = malloc(sizeof *one + length);
    if (!one) return false;
    *one = (struct role_queued){.length = length};
    unsigned char *at = one->bytes;
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len) memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    for (int i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) return free_queued(one), false;
        one->fds[one->fd_count++] = copy;
    }
    if (line->last) line->last->next = one;
    else line->first = one;
    line->last = one;
    if (line->queued++ == 0) watch_output(role, line, true);
    return true;
}

static bool send_pieces(struct role *role, struct role_line *line, const struct iovec *pieces, int count,
                        const int *fds, int fd_count)
{
    if (line->fd < 0) return false;
    if (line->queued) return enqueue(role, line, pieces, count, fds, fd_count);
    int failed = wire_send(line->fd, pieces, count, fds, fd_count);
    if (failed == EAGAIN || failed == ENOBUFS || failed == ENOMEM)
        return enqueue(role, line, pieces, count, fds, fd_count);
    return failed == 0;
}

static struct msg_head make_head(const struct role *role, const struct role_line *line, unsigned type, uint32_t seq)
{
    return (struct msg_head){.type = (uint16_t)type, .generation = line->generation,
                             .registry = role->registry_number, .seq = seq};
}

bool role_send(struct role *role, struct role_line *line, unsigned type, uint32_t seq, const void *body, size_t length,
               const int *fds, int fd_count)
{
    struct msg_head head = make_head(role, line, type, seq);
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    return send_pieces(role, line, pieces, length ? 2 : 1, fds, fd_count);
}

bool role_send_tail(struct role *role, struct role_line *line, unsigned type, uint32_t seq, const void *body,
                    size_t length, const void *tail, size_t tail_length)
{
    struct msg_head head = make_head(role, line, type, seq);
    struct iovec pieces[3] = {{&head, sizeof head}, {(void *)body, length}, {(void *)tail, tail_length}};
    return send_pieces(role, line, pieces, tail_length ? 3 : 2, NULL, 0);
}

static void flush_queue(struct role *role, struct role_line *line)
{
    while (line->first) {
        struct role_queued *one = line->first;
        struct iovec piece = {one->bytes, one->length};
        int failed = wire_send(line->fd, &piece, 1, one->fds, one->fd_count);
        if (failed == EAGAIN || failed == ENOBUFS || failed == ENOMEM) return;
        line->first = one->next;
        if (!line->first) line->last = NULL;
        line->queued--;
        free_queued(one);
        if (failed) {
            drop_queue(line);
            break;
        }
    }
    watch_output(role, line, false);
}

struct role_line *role_line_to(struct role *role, enum role_id peer)
{
    for (unsigned i = 0; i < role->line_count; i++)
        if (role->lines[i].peer == peer && role->lines[i].fd >= 0) return &role->lines[i];
    return NULL;
}

/* ── what the parent says ──────────────────────────────────────────────────────────────────────────── */

static void close_line(struct role *role, struct role_line *line)
{
    if (line->fd < 0) return;
    epoll_ctl(role->epoll, EPOLL_CTL_DEL, line->fd, NULL);
    close_fd(&line->fd);
    drop_queue(line);
}

static struct role_line *slot_for(struct role *role, uint32_t peer, uint32_t index)
{
    for (unsigned i = 0; i < role->line_count; i++)
        if ((uint32_t)role->lines[i].peer == peer && role->lines[i].index == index) return &role->lines[i];
    if (role->line_count == ROLE_LINES) return NULL;
    struct role_line *line = &role->lines[role->line_count++];
    *line = (struct role_line){.fd = -1, .peer = (enum role_id)peer, .index = index};
    return line;
}

static void on_line(struct role *role, const struct role_message *message)
{
    const struct ctl_line *body = message->body;
    struct role_line *line = slot_for(role, body->peer, body->index);
    if (!line) return;
    close_line(role, line);
    line->fd = take_fd(&message->frame->fds[0]);
    line->generation = body->generation;
    if (!role->part->lines_elsewhere) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
        epoll_ctl(role->epoll, EPOLL_CTL_ADD, line->fd, &event);
    }
    if (role->part->line) role->part->line(role, line);
}

static int *given_slot(struct role *role, uint32_t kind, uint32_t index)
{
    if (kind == GIVE_PLUGIN) return index < sizeof role->plugins / sizeof *role->plugins ? &role->plugins[index] : NULL;
    if (kind == GIVE_TCP) return index < sizeof role->tcp / sizeof *role->tcp ? &role->tcp[index] : NULL;
    if (kind == GIVE_PLUGIN_DIR)
        return index < sizeof role->plugin_dirs / sizeof *role->plugin_dirs ? &role->plugin_dirs[index] : NULL;
    return kind < GIVE_KINDS ? &role->given[kind] : NULL;
}

static void on_give(struct role *role, const struct role_message *message, bool serving)
{
    const struct ctl_give *body = message->body;
    int *slot = given_slot(role, body->kind, body->index);
    if (!slot) return;
    if (*slot >= 0) close(*slot);
    *slot = take_fd(&message->frame->fds[0]);
    if (serving && role->part->given) role->part->given(role, (enum give_kind)body->kind, body->index);
}

static void on_registry(struct role *role, const struct role_message *message)
{
    const struct ctl_registry *body = message->body;
    close_fd(&role->given[GIVE_REGISTRY]);
    role->given[GIVE_REGISTRY] = take_fd(&message->frame->fds[0]);
    if (role->part->registry) role->registry_number = role->part->registry(role, body->number);
    struct ctl_registry done = {.number = role->registry_number};
    role_send(role, &role->control, CTL_REGISTRY_DONE, message->head.seq, &done, sizeof done, NULL, 0);
}

static void on_freeze(struct role *role, const struct role_message *message)
{
    const struct ctl_freeze *body = message->body;
    role->frozen = body->on;
    if (role->part->freeze) role->part->freeze(role, body->on, body->now);
}

/* ── taking frames ─────────────────────────────────────────────────────────────────────────────────── */

static const struct role_handler *find_handler(const struct role_part *part, unsigned type)
{
    const struct role_handler *row = part->handlers;
    while (row && row->type != MSG_NONE && row->type != type) row++;
    return row && row->type != MSG_NONE ? row : NULL;
}

/* false: not a frame that this line may carry at this time. */
static bool read_frame(struct role *role, const struct role_line *line, struct wire_frame *frame,
                       struct role_message *message)
{
    if (frame->length < sizeof message->head) return false;
    memcpy(&message->head, frame->bytes, sizeof message->head);
    message->frame = frame;
    message->body = frame->bytes + sizeof message->head;
    message->length = frame->length - sizeof message->head;
    return message->head.generation == line->generation &&
           msg_allowed(message->head.type, line->peer, role->part->self, message->length, frame->fd_count);
}

static void dispatch(struct role *role, struct role_line *line, struct wire_frame *frame)
{
    struct role_message message;
    const struct role_handler *row = NULL;
    if (!read_frame(role, line, frame, &message)) {
        role->bad_frames++;
    } else {
        switch ((int)message.head.type) {
        case CTL_LINE: on_line(role, &message); break;
        case CTL_GIVE: on_give(role, &message, true); break;
        case CTL_REGISTRY: on_registry(role, &message); break;
        case CTL_FREEZE: on_freeze(role, &message); break;
        default:
            row = find_handler(role->part, message.head.type);
            if (row) row->run(role, line, &message);
            else role->bad_frames++;
        }
    }
    wire_drop(frame);
}

static void line_gone(struct role *role, struct role_line *line)
{
    close_line(role, line);
    if (line == &role->control) role->stopping = true;
}

static void read_line(struct role *role, struct role_line *line)
{
    static struct wire_frame frame;
    for (int i = 0; i < FRAMES_A_TURN && line->fd >= 0; i++) {
        switch (wire_take(line->fd, &frame)) {
        case WIRE_FRAME: dispatch(role, line, &frame); break;
        case WIRE_BAD: role->bad_frames++; break;
        case WIRE_AGAIN: return;
        case WIRE_GONE: line_gone(role, line); return;
        }
    }
}

/* ── watches and time ──────────────────────────────────────────────────────────────────────────────── */

static bool is_watch(const struct role *role, const void *pointer)
{
    return pointer >= (const void *)role->watches && pointer < (const void *)(role->watches + ROLE_WATCHES);
}

bool role_watch(struct role *role, int fd, uint32_t events, void (*ready)(struct role *, int, uint32_t, void *),
                void *context)
{
    if (fd < 0 || fd >= ROLE_WATCHES) return false;
    struct role_watch *watch = &role->watches[fd];
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int how = watch->ready ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    *watch = (struct role_watch){fd, ready, context};
    return epoll_ctl(role->epoll, how, fd, &event) == 0;
}

void role_unwatch(struct role *role, int fd)
{
    if (fd < 0 || fd >= ROLE_WATCHES || !role->watches[fd].ready) return;
    epoll_ctl(role->epoll, EPOLL_CTL_DEL, fd, NULL);
    role->watches[fd] = (struct role_watch){.fd = -1};
}

void role_wake_at(struct role *role, uint64_t when)
{
    if (when && (!role->next_tick || when < role->next_tick)) role->next_tick = when;
}

static void run_tick(struct role *role)
{
    if (!role->part->tick || !role->next_tick || clock_now() < role->next_tick) return;
    role->next_tick = 0;
    role_wake_at(role, role->part->tick(role));
}

static void serve_one(struct role *role, struct epoll_event *event)
{
    void *who = event->data.ptr;
    if (is_watch(role, who)) {
        struct role_watch *watch = who;
        if (watch->ready) watch->ready(role, watch->fd, event->events, watch->context);
        return;
    }
    struct role_line *line = who;
    if (line->fd >= 0 && (event->events & EPOLLOUT)) flush_queue(role, line);
    if (line->fd >= 0 && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_line(role, line);
}

static void serve(struct role *role)
{
    struct epoll_event events[64];
    while (!role->stopping) {
        int wait = role->next_tick ? clock_left_ms(role->next_tick) : -1;
        int count = epoll_wait(role->epoll, events, 64, wait);
        for (int i = 0; i < count; i++) serve_one(role, &events[i]);
        if (role->part->batch) role->part->batch(role);
        run_tick(role);
    }
}

/* ── start ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Reads the control line until CTL_START; before it only lines and descriptors are expected. */
static bool handshake(struct role *role, struct err *err)
{
    static struct wire_frame frame;
    struct role_message message;
    for (;;) {
        if (!wire_wait(role->control.fd, clock_now() + 30 * CLOCK_S))
            return err_set(err, ERR_UNAVAILABLE, "the parent said nothing for 30 s");
        enum wire_got got = wire_take(role->control.fd, &frame);
        if (got == WIRE_GONE) return err_set(err, ERR_UNAVAILABLE, "the parent is gone");
        if (got != WIRE_FRAME || !read_frame(role, &role->control, &frame, &message)) continue;
        if (message.head.type == CTL_LINE) on_line(role, &message);
        if (message.head.type == CTL_GIVE) on_give(role, &message, false);
        if (message.head.type == CTL_START) {
            memcpy(&role->start, message.body, sizeof role->start);
            role->frozen = role->start.frozen;
            log_level((enum log_level)role->start.log_level);
            return true;
        }
        wire_drop(&frame);
    }
}

static void role_init(struct role *role, const struct role_part *part, void *state)
{
    memset(role, 0, sizeof *role);
    role->part = part;
    role->state = state;
    role->control = (struct role_line){.fd = ROLE_CONTROL_FD, .peer = ROLE_PARENT};
    for (int i = 0; i < GIVE_KINDS; i++) role->given[i] = -1;
    for (size_t i = 0; i < sizeof role->plugins / sizeof *role->plugins; i++) role->plugins[i] = -1;
    for (size_t i = 0; i < sizeof role->tcp / sizeof *role->tcp; i++) role->tcp[i] = -1;
    for (size_t i = 0; i < sizeof role->plugin_dirs / sizeof *role->plugin_dirs; i++) role->plugin_dirs[i] = -1;
}

static bool begin(struct role *role, struct err *err)
{
    if (chdir("/") < 0) return err_sys(err, ERR_IO, "cannot leave the programs' folder");
    role->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (role->epoll < 0) return err_sys(err, ERR_IO, "cannot make an event queue");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &role->control};
    if (epoll_ctl(role->epoll, EPOLL_CTL_ADD, role->control.fd, &event) < 0)
        return err_sys(err, ERR_IO, "there is no control line: this program is started by caissond");
    return handshake(role, err) && (!role->part->open || role->part->open(role, err)) &&
           (!role->part->confine || role->part->confine(role, err));
}

int role_main(struct role *role, const struct role_part *part, void *state)
{
    struct err err = {0};
    signal(SIGPIPE, SIG_IGN);
    role_init(role, part, state);
    if (!begin(role, &err)) {
        struct ctl_failed failed;
        err_in(&err, "starting the %s", role_name(part->self));
        status_set(&failed.status, &err);
        if (role->epoll > 0) role_send(role, &role->control, CTL_FAILED, 0, &failed, sizeof failed, NULL, 0);
        fprintf(stderr, "caisson-%s: %s (%s)\n", role_name(part->self), err.text, err.detail);
        return err_row(err.kind)->exit;
    }
    role_send(role, &role->control, CTL_READY, 0, NULL, 0, NULL, 0);
    if (part->tick) role_wake_at(role, clock_now());
    serve(role);
    if (part->close) part->close(role);
    return 0;
}
