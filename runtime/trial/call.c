/* SPDX-License-Identifier: Apache-2.0 */
/* One action in a worker of its own: channels, the vault's frame, the call's frame, refusals, the reply, the end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/schema.h"
#include "base/wire.h"
#include "sandbox/sha256.h"
#include "trial.h"

enum { GRACE_S = 2 };

/* One run. Our ends of the channels; -1: closed. */
struct run {
    const struct trial *trial;
    const struct trial_action *action;
    int stream, replies, secret, egress;
    uint32_t number;
    pid_t pid;
    uint64_t deadline;
    uint8_t id[ID_BYTES];
    struct buf input, frames; /* what goes in, from sent on; what came out */
    size_t sent;
    json_t *reply, *log, *refused;
    bool watched, ended, broken;
    struct cell_report end;
};

/* ── channels ────────────────────────────────────────────────────────────────────────────────────────── */

static bool make_channels(struct run *run, int theirs[CHANNELS])
{
    int stream[2], replies[2], secret[2], egress[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0) return false;
    run->stream = stream[0], theirs[CHANNEL_CALL] = stream[1];
    if (pipe2(replies, O_CLOEXEC) < 0) return false;
    run->replies = replies[0], theirs[CHANNEL_REPLY] = replies[1];
    if (pipe2(secret, O_CLOEXEC) < 0) return false;
    run->secret = secret[1], theirs[CHANNEL_SECRET] = secret[0];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, egress) < 0) return false;
    run->egress = egress[0], theirs[CHANNEL_EGRESS] = egress[1];
    return shutdown(stream[1], SHUT_WR) == 0 && fcntl(stream[0], F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(replies[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(egress[0], F_SETFL, O_NONBLOCK) == 0;
}

static bool start(struct run *run, struct err *err)
{
    int theirs[CHANNELS] = {-1, -1, -1, -1};
    bool made = make_channels(run, theirs) && trial_order(run->trial, CELL_MAKE, run->number, run->deadline, theirs);
    for (int i = 0; i < CHANNELS; i++) close_fd(&theirs[i]);
    return made || err_sys(err, ERR_IO, "a worker's channels cannot be made");
}

static void clear(struct run *run)
{
    close_fd(&run->stream);
    close_fd(&run->replies);
    close_fd(&run->secret);
    close_fd(&run->egress);
    buf_clear(&run->input);
    buf_clear(&run->frames);
    json_decref(run->reply);
    json_decref(run->log);
    json_decref(run->refused);
}

/* ── frames ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool add_field(struct run *run, struct frame_secret *frame, const char *name, size_t *used)
{
    const json_t *value = json_object_get(run->trial->fields, name);
    size_t length = json_string_length(value);
    if (!value) return true;
    if (frame->field_count == FRAME_FIELDS || sizeof *frame + *used + length + 1 > FRAME_SECRET_MAX) return false;
    struct frame_field *field = &frame->fields[frame->field_count++];
    memcpy(field->name, name, strnlen(name, FRAME_NAME - 1));
    field->offset = (uint32_t)*used;
    field->length = (uint32_t)length;
    memcpy(frame->bytes + *used, json_string_value(value), length + 1);
    *used += length + 1;
    return true;
}

static void input_digest(const struct buf *input, const uint8_t salt[32], uint8_t digest[HASH_BYTES])
{
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, FRAME_INPUT_TAG, sizeof FRAME_INPUT_TAG - 1);
    sha256_add(&sha, salt, 32);
    sha256_add(&sha, input->bytes, input->used);
    sha256_end(&sha, digest);
}

/* As the vault writes it: one write, then the pipe is closed. */
static bool write_secret(struct run *run, uint32_t action, const struct buf *input, struct err *err)
{
    static union {
        struct frame_secret frame;
        unsigned char bytes[FRAME_SECRET_MAX];
    } secret;
    struct frame_secret *frame = &secret.frame;
    size_t used = 0, i;
    json_t *name;
    memset(&secret, 0, sizeof secret);
    *frame = (struct frame_secret){
        .magic = FRAME_SECRET_MAGIC, .attempt = 1, .action = action, .input_size = (uint32_t)input->used};
    memcpy(frame->call_id, run->id, sizeof frame->call_id);
    if (getrandom(frame->salt, sizeof frame->salt, 0) != sizeof frame->salt)
        return err_sys(err, ERR_IO, "no randomness");
    input_digest(input, frame->salt, frame->input_digest);
    json_array_foreach((json_t *)run->action->fields, i, name) if (!add_field(run, frame, json_string_value(name),
                                                                              &used)) return err_set(err, ERR_TOO_LARGE,
                                                                                                     "the credential's "
                                                                                                     "fields are too "
                                                                                                     "large");
    frame->size = (uint32_t)(sizeof *frame + used);
    bool put = write(run->secret, frame, frame->size) == (ssize_t)frame->size;
    close_fd(&run->secret);
    return put || err_sys(err, ERR_IO, "the worker does not take its credential");
}

static bool fill_call(struct run *run, const json_t *input, struct err *err)
{
    BUF_AUTO text;
    uint32_t action = (uint32_t)(run->action - run->trial->actions);
    buf_init(&text, TRIAL_INPUT - sizeof(struct frame_call));
    if (!json_compact(input, &text)) return err_set(err, ERR_TOO_LARGE, "the input is larger than 32 MiB");
    struct frame_head head = {(uint32_t)(sizeof(struct frame_call) + text.used), FRAME_CALL, FRAME_VERSION, {0}};
    struct frame_call body = {1, action, run->deadline, ""};
    memcpy(head.call_id, run->id, sizeof head.call_id);
    return (buf_add(&run->input, &head, sizeof head) && buf_add(&run->input, &body, sizeof body) &&
            buf_add(&run->input, text.bytes, text.used) && write_secret(run, action, &text, err)) ||
           err_set(err, err->kind ? err->kind : ERR_BUSY, "%s", err->kind ? err->text : "there is no memory");
}

static void push(struct run *run)
{
    ssize_t put = write(run->stream, run->input.bytes + run->sent, run->input.used - run->sent);
    if (put > 0) run->sent += (size_t)put;
    if (put < 0 && errno != EAGAIN && errno != EINTR) run->sent = run->input.used; /* it is gone: its end says why */
}

static void take_log(struct run *run, const char *body, size_t length)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    uint32_t level;
    if (length < sizeof level) return;
    memcpy(&level, body, sizeof level);
    json_t *text = json_stringn(body + sizeof level, length - sizeof level);
    if (text) json_array_append_new(run->log, json_pack("{s:s, s:o}", "level", levels[level & 3], "text", text));
}

/* Whole frames at the front of what came; false: one that cannot be. */
static bool take_frames(struct run *run)
{
    struct frame_head head;
    struct err ignored = {0};
    while (run->frames.used >= sizeof head && !run->reply) {
        memcpy(&head, run->frames.bytes, sizeof head);
        if (head.version != FRAME_VERSION || head.length > FRAME_WORKER_MAX ||
            memcmp(head.call_id, run->id, sizeof head.call_id) != 0)
            return false;
        if (run->frames.used < sizeof head + head.length) return true;
        const char *body = run->frames.bytes + sizeof head;
        if (head.type == FRAME_LOG)
            take_log(run, body, head.length);
        else if (head.type != FRAME_REPLY || !json_read(body, head.length, FRAME_WORKER_MAX, &run->reply, &ignored))
            return false;
        run->frames.used -= sizeof head + head.length;
        memmove(run->frames.bytes, body + head.length, run->frames.used);
    }
    return true;
}

static void pull(struct run *run)
{
    char bytes[16384];
    ssize_t got = read(run->replies, bytes, sizeof bytes);
    if (got == 0) close_fd(&run->replies);
    if (got <= 0 || run->broken) return;
    run->broken = !buf_add(&run->frames, bytes, (size_t)got) || !take_frames(run);
}

/* ── what the cell says ──────────────────────────────────────────────────────────────────────────────── */

static void keep_attempt(struct run *run, const struct cell_attempt *attempt, bool loading, bool killed)
{
    json_t *refused = tell_attempt(attempt, run->pid, loading, killed), *known;
    size_t i;
    json_array_foreach(run->refused, i, known)
    {
        bool same = json_equal(json_object_get(known, "call"), json_object_get(refused, "call")) &&
                    json_equal(json_object_get(known, "args"), json_object_get(refused, "args"));
        if (!same || killed) continue;
        json_decref(refused);
        return;
    }
    json_array_append_new(run->refused, refused);
}

/* Only now it is known whether a call that killed the worker came before the connector was loaded. */
static void keep_end(struct run *run, const struct cell_report *report)
{
    size_t i;
    json_t *refused;
    run->ended = true;
    run->end = *report;
    json_array_foreach(run->refused, i,
                       refused) if (report->loading && json_is_true(json_object_get(refused, "killed")))
        json_object_set_new(refused, "phase", json_string("load"));
}

static bool ready(struct run *run, int pidfd, struct err *err)
{
    run->pid = look_pid(pidfd);
    if (!trial_check(run->trial, pidfd, err)) return false;
    run->watched = run->pid > 0 && look_watch(run->pid);
    return trial_order(run->trial, CELL_GO, run->number, 0, NULL);
}

static bool hear(struct run *run, struct err *err)
{
    static struct wire_frame frame;
    struct cell_report report;
    enum wire_got got = wire_take(run->trial->channel, &frame);
    bool good = got != WIRE_GONE || err_set(err, ERR_CRASHED, "the connector's cell is gone");
    if (got == WIRE_FRAME && frame.length == sizeof report) {
        memcpy(&report, frame.bytes, sizeof report);
        if (report.worker != run->number)
            good = true;
        else if (report.event == CELL_READY && frame.fd_count == 1)
            good = ready(run, frame.fds[0], err);
        else if (report.event == CELL_TRIED) {
            keep_attempt(run, &report.attempts[0], report.loading, false);
            trial_order(run->trial, CELL_NOTED, run->number, 0, NULL);
        } else if (report.event == CELL_ENDED)
            keep_end(run, &report);
    }
    if (got == WIRE_FRAME) wire_drop(&frame);
    return good;
}

static void hear_signal(struct run *run)
{
    char bytes[1024];
    struct cell_attempt attempt;
    while (read(run->trial->signals, bytes, sizeof bytes) > 0) continue;
    if (!run->watched || !look_dies(run->pid, &attempt)) return;
    keep_attempt(run, &attempt, false, true);
    look_let_go(run->pid);
}

/* ── the run ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool turn(struct run *run, struct err *err)
{
    struct pollfd all[] = {{.fd = run->trial->channel, .events = POLLIN},
                           {.fd = run->trial->signals, .events = POLLIN},
                           {.fd = run->replies, .events = POLLIN},
                           {.fd = run->egress, .events = POLLIN},
                           {.fd = run->sent < run->input.used ? run->stream : -1, .events = POLLOUT}};
    uint64_t until = run->deadline + GRACE_S * CLOCK_S; /* the cell ends the worker long before */
    if (poll(all, sizeof all / sizeof *all, clock_left_ms(until)) < 0 && errno != EINTR)
        return err_sys(err, ERR_IO, "waiting for the worker");
    if (all[1].revents) hear_signal(run);
    if (all[2].revents) pull(run);
    if (all[3].revents && !peers_answer(run->trial, run->egress)) close_fd(&run->egress);
    if (all[4].revents) push(run);
    if (all[0].revents && !hear(run, err)) return false;
    return clock_now() < until || err_set(err, ERR_TIMEOUT, "the cell does not end its worker");
}

/* Until the reply; then until the worker is dead, so that nothing of it is missed. */
static bool run_to_end(struct run *run, struct err *err)
{
    bool told = false;
    while (!run->ended) {
        if (!turn(run, err)) return false;
        if (told || (!run->reply && !run->broken)) continue;
        told = trial_order(run->trial, CELL_KILL, run->number, 0, NULL);
    }
    while (run->replies >= 0 && !run->reply && !run->broken) pull(run);
    return true;
}

/* ── the result ──────────────────────────────────────────────────────────────────────────────────────── */

static const char *reply_class(const struct run *run)
{
    static const char *const classes[] = {"ok", "rejected", "retryable", "unknown", "bad_input"};
    const char *said = json_string_value(json_object_get(run->reply, "class"));
    for (size_t i = 0; said && i < sizeof classes / sizeof *classes; i++)
        if (strcmp(classes[i], said) == 0) return classes[i];
    return NULL;
}

static void judge_reply(struct run *run, const char **class, const char **text, struct err *fault)
{
    char pointer[SCHEMA_POINTER];
    const json_t *answer = json_object_get(run->reply, "answer");
    JSON_AUTO *nothing = json_object();
    *class = reply_class(run);
    *text = json_string_value(json_object_get(run->reply, "text"));
    if (!*class)
        *class = "crashed", *text = "its reply is none that csn_ok or csn_fail writes";
    else if (strcmp(*class, "ok") == 0 && run->action->output &&
             !schema_validate(run->action->output, answer ? answer : nothing, pointer, fault))
        *class = "crashed", err_in(fault, "its answer does not fit the manifest's output schema"), *text = fault->text;
}

static json_t *result_of(struct run *run)
{
    const char *class = "ok", *text = NULL;
    struct err fault = {0};
    bool loaded = !run->action && !run->end.signal && run->end.exit_code == WORKER_CLOSED;
    if (run->reply)
        judge_reply(run, &class, &text, &fault);
    else if (run->broken)
        class = "crashed", text = "it wrote on the reply pipe by itself";
    else if (!loaded)
        tell_end(&run->end, &class, &text);
    json_t *answer = json_object_get(run->reply, "answer");
    return json_pack("{s:s*, s:s, s:s*, s:O*, s:O, s:O, s:I, s:I}", "action", run->action ? run->action->name : NULL,
                     "class", class, "text", text, "answer", answer, "log", run->log, "refused", run->refused, "cpu_us",
                     (json_int_t)run->end.cpu_us, "peak_kb", (json_int_t)run->end.peak_kb);
}

bool trial_call(struct trial *trial, const struct trial_action *action, const json_t *input, json_t **result,
                struct err *err)
{
    struct run run = {.trial = trial,
                      .action = action,
                      .stream = -1,
                      .replies = -1,
                      .secret = -1,
                      .egress = -1,
                      .number = ++trial->serial,
                      .deadline = clock_now() + trial->limits.wall_s * CLOCK_S,
                      .log = json_array(),
                      .refused = json_array()};
    buf_init(&run.input, TRIAL_INPUT + sizeof(struct frame_head));
    buf_init(&run.frames, 2 * FRAME_WORKER_MAX);
    id_new(run.id);
    bool good = start(&run, err) && (!action || fill_call(&run, input, err));
    if (!action) close_fd(&run.secret); /* that is its end, once it is loaded */
    good = good && run_to_end(&run, err);
    if (good) *result = result_of(&run);
    clear(&run);
    return good && (*result || err_set(err, ERR_BUSY, "there is no memory"));
}
