/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of the control lines: fixed-size frames in, by one table; nothing in them is parsed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/wire.h"

#include "parent.h"

enum { FRAMES_A_TURN = 1024 };

/* ── out ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool wait_room(int fd, uint64_t deadline)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    return poll(&one, 1, clock_left_ms(deadline)) > 0 && (one.revents & POLLOUT);
}

bool control_send(struct parent *parent, struct child *child, unsigned type, uint32_t seq, const void *body,
                  size_t length, int fd)
{
    struct msg_head head = {.type = (uint16_t)type, .registry = parent->number, .seq = seq};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    uint64_t deadline = clock_now() + 2 * CLOCK_S;
    if (child->control < 0) return false;
    for (;;) {
        int failed = wire_send(child->control, pieces, length ? 2 : 1, &fd, fd >= 0);
        if (failed == 0) return true;
        bool full = failed == EAGAIN || failed == ENOBUFS || failed == ETOOMANYREFS;
        if (full && wait_room(child->control, deadline) && clock_now() < deadline) continue;
        if (full) log_event(LOG_LEVEL_ERROR, "role-stuck", log_text("of", role_name(child->role)));
        roles_kill(child);
        return false;
    }
}

bool control_give(struct parent *parent, struct child *child, enum give_kind kind, uint32_t index, int fd)
{
    struct ctl_give body = {.kind = kind, .index = index};
    return fd < 0 || control_send(parent, child, CTL_GIVE, 0, &body, sizeof body, fd);
}

/* ── in ────────────────────────────────────────────────────────────────────────────────────────────── */

struct arrival {
    struct parent *parent;
    struct child *child;
    const struct msg_head *head;
    const void *body;
    struct wire_frame *frame;
};

static void on_ready(const struct arrival *in)
{
    roles_ready(in->parent, in->child);
}

static void on_failed(const struct arrival *in)
{
    const struct ctl_failed *body = in->body;
    size_t length = strnlen(body->status.text, sizeof in->child->last_words - 1);
    for (size_t i = 0; i < length; i++) {
        char c = body->status.text[i];
        in->child->last_words[i] = c < 0x20 || c > 0x7e ? '?' : c; /* it may end on a terminal */
    }
    in->child->last_words[length] = '\0';
}

static void on_registry_done(const struct arrival *in)
{
    const struct ctl_registry *body = in->body;
    reload_done(in->parent, in->child, body->number);
}

static void on_reload(const struct arrival *in)
{
    reload_begin(in->parent, &in->head->seq);
}

/* Written down before the vault may let the signature go. */
static void on_witness(const struct arrival *in)
{
    struct ctl_witnessed done = {.status.kind = ERR_NONE};
    struct err err = {0};
    if (!home_write_witness(&in->parent->home, in->body, &err)) {
        log_failure("witness-not-written", &err);
        done.status.kind = (uint32_t)err.kind;
        snprintf(done.status.text, sizeof done.status.text, "%s", err.text);
    }
    control_send(in->parent, in->child, CTL_WITNESSED, in->head->seq, &done, sizeof done, -1);
}

static void on_keys(const struct arrival *in)
{
    struct ctl_keys_given done = {.status.kind = ERR_NONE};
    struct err err = {0};
    if (!wiring_give_keys(in->parent, &err)) {
        log_failure("keys-not-given", &err);
        done.status.kind = (uint32_t)err.kind;
        snprintf(done.status.text, sizeof done.status.text, "%s", err.text);
    }
    control_send(in->parent, in->child, CTL_KEYS_GIVEN, in->head->seq, &done, sizeof done, -1);
}

static void on_push(const struct arrival *in)
{
    push_ask(in->parent, in->body, in->head->seq);
}

static void on_plugin_is(const struct arrival *in)
{
    const struct ctl_plugin_is *body = in->body;
    reload_plugin(in->parent, body->index, &in->frame->fds[0]);
}

static void on_registry_is(const struct arrival *in)
{
    reload_registry(in->parent, in->body, &in->frame->fds[0]);
}

/* Who may send what stands in the table of all messages; here is only who handles it. */
static const struct {
    unsigned type;
    void (*run)(const struct arrival *);
} handlers[] = {
    {CTL_READY, on_ready},         {CTL_FAILED, on_failed},           {CTL_REGISTRY_DONE, on_registry_done},
    {CTL_RELOAD, on_reload},       {CTL_WITNESS, on_witness},         {CTL_KEYS, on_keys},
    {CTL_PLUGIN_IS, on_plugin_is}, {CTL_REGISTRY_IS, on_registry_is}, {CTL_PUSH, on_push},
};

/* A role that was taken over may send nonsense without end: the log says so ever more seldom. */
static void refuse_frame(struct child *child, unsigned type)
{
    child->refused++;
    if (child->refused & (child->refused - 1)) return; /* the 1st, 2nd, 4th, 8th … */
    log_event(LOG_LEVEL_WARNING, "frame-refused", log_text("of", role_name(child->role)), log_number("type", type),
              log_number("count", child->refused));
}

static void dispatch(struct parent *parent, struct child *child, struct wire_frame *frame)
{
    struct msg_head head;
    if (frame->length < sizeof head) return;
    memcpy(&head, frame->bytes, sizeof head);
    if (!msg_allowed(head.type, child->role, ROLE_PARENT, frame->length - sizeof head, frame->fd_count)) {
        refuse_frame(child, head.type);
        return;
    }
    struct arrival in = {parent, child, &head, frame->bytes + sizeof head, frame};
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].type == head.type) handlers[i].run(&in);
}

/* The end of a control line is the end of that role: whatever of it still runs is killed. */
void control_read(struct parent *parent, struct child *child)
{
    static struct wire_frame frame;
    for (int i = 0; i < FRAMES_A_TURN && child->control >= 0; i++) {
        switch (wire_take(child->control, &frame)) {
        case WIRE_FRAME:
            dispatch(parent, child, &frame);
            wire_drop(&frame);
            break;
        case WIRE_BAD: break;
        case WIRE_AGAIN: return;
        case WIRE_GONE:
            close_fd(&child->control);
            if (child->role != ROLE_LOADER && child->role != ROLE_PROVIDER && child->state != CHILD_ENDING)
                roles_kill(child);
            return;
        }
    }
}
