/* SPDX-License-Identifier: Apache-2.0 */
/* Talks to one worker. Nothing here blocks on it: both channels are polled with the call's deadline. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "call.h"
#include "front.h"

enum { READ_BYTES = 64 * 1024, DONE_PATIENCE_MS = 1000 };

/* ── take ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool usable(int fd, mode_t kind)
{
    struct stat what;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &what) < 0 || (what.st_mode & S_IFMT) != kind) return false;
    return (flags & O_NONBLOCK) || fcntl(fd, F_SETFL, (flags & O_ACCMODE) | O_NONBLOCK) == 0;
}

static bool take_ends(struct call *call, struct wire_frame *frame, struct err *err)
{
    if (frame->fd_count != 2) return err_set(err, ERR_INTERNAL, "the runner sent no channels");
    call->stream = take_fd(&frame->fds[0]);
    call->replies = take_fd(&frame->fds[1]);
    return (usable(call->stream, S_IFSOCK) && usable(call->replies, S_IFIFO)) ||
           err_set(err, ERR_INTERNAL, "the runner sent channels of another kind");
}

static enum call_class class_without_worker(enum call_reason reason)
{
    if (reason == REASON_PROTOCOL_ERROR || reason == REASON_RESOURCE_LIMIT || reason == REASON_EXIT ||
        reason == REASON_SIGNAL)
        return CLASS_CRASHED;
    if (reason == REASON_SYSCALL) return CLASS_VIOLATION;
    return reason == REASON_DEADLINE ? CLASS_TIMEOUT : CLASS_REFUSED;
}

/* false: reason says why, as the runner knows it. */
static bool ask_take(struct front *front, struct call *call, enum call_reason *reason, struct err *err)
{
    struct reply_frame reply;
    struct msg_taken taken;
    struct msg_take take_it = {.call = call->ref};
    struct question question = {
        .type = MSG_TAKE, .answer = MSG_TAKEN, .body = &take_it, .length = sizeof take_it, .deadline = call->deadline};
    LINE_AUTO *line = line_borrow(&front->runner, call->deadline, err);
    *reason = REASON_NO_WORKER;
    if (!line || !line_ask(line, &question, &reply, err)) {
        if (clock_now() >= call->deadline) *reason = REASON_DEADLINE;
        return false;
    }
    memcpy(&taken, reply.body, sizeof taken);
    if (taken.reason > REASON_NONE && taken.reason < REASON_COUNT) *reason = (enum call_reason)taken.reason;
    if (!status_check(&taken.status, err)) return false;
    if (memcmp(taken.call.id, call->ref.id, ID_BYTES) != 0 || taken.call.attempt != call->ref.attempt)
        return err_set(err, ERR_INTERNAL, "the runner answered for another call");
    return take_ends(call, reply.frame, err);
}

bool worker_take(struct front *front, struct call *call)
{
    enum call_reason reason;
    struct err err = {0};
    if (call->class != CLASS_NONE) return false;
    if (ask_take(front, call, &reason, &err)) return true;
    call_ended(call, class_without_worker(reason), reason, err.text);
    return false;
}

/* ── run ───────────────────────────────────────────────────────────────────────────────────────────── */

struct exchange {
    struct call *call;
    struct reply_reader reader;
    struct {
        struct frame_head head;
        struct frame_call call;
    } start;
    size_t sent, total;
    bool deaf; /* the worker closed its end of the call stream */
};

static void log_line(void *context, uint32_t level, const char *text, size_t length, bool truncated)
{
    static const enum log_level levels[] = {LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR};
    const struct call *call = context;
    char id[ID_TEXT], tame[LOG_VALUE + 1];
    id_text(call->ref.id, id);
    text_tame(text, length, tame, sizeof tame);
    log_event(levels[level & 3], "connector-log", log_text("call", id), log_text("connector", call->entry->name),
              log_text("text", tame), log_truth("truncated", truncated));
}

static void start_exchange(struct exchange *exchange, struct call *call)
{
    size_t input = call->request.input.used;
    memset(exchange, 0, sizeof *exchange);
    exchange->call = call;
    exchange->start.head = (struct frame_head){
        .length = (uint32_t)(sizeof exchange->start.call + input), .type = FRAME_CALL, .version = FRAME_VERSION};
    memcpy(exchange->start.head.call_id, call->ref.id, ID_BYTES);
    exchange->start.call = (struct frame_call){
        .attempt = call->ref.attempt, .action = call->action_index, .deadline = call->deadline};
    TEXT_COPY(exchange->start.call.traceparent, call->request.traceparent);
    exchange->total = sizeof exchange->start + input;
    reply_init(&exchange->reader, call->ref.id, call->entry->limits.output_kb, call->entry->limits.log_kb, log_line,
               call);
}

/* As much of the call frame as the stream takes now. */
static void push(struct exchange *exchange)
{
    const struct buf *input = &exchange->call->request.input;
    size_t head = exchange->sent < sizeof exchange->start ? sizeof exchange->start - exchange->sent : 0;
    size_t past = exchange->sent - (sizeof exchange->start - head); /* of the input */
    struct iovec pieces[2] = {{(char *)&exchange->start + sizeof exchange->start - head, head},
                              {input->bytes + past, input->used - past}};
    ssize_t put = writev(exchange->call->stream, pieces, 2);
    if (put > 0)
        exchange->sent += (size_t)put;
    else if (put < 0 && errno != EAGAIN && errno != EINTR)
        exchange->deaf = true;
}

static void crashed(struct exchange *exchange, enum call_reason reason, const char *text)
{
    call_ended(exchange->call, CLASS_CRASHED, reason, text);
}

/* Reads what is there. false: nothing more can come. */
static bool pull(struct exchange *exchange)
{
    char bytes[READ_BYTES];
    ssize_t got = read(exchange->call->replies, bytes, sizeof bytes);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got > 0) reply_feed(&exchange->reader, bytes, (size_t)got);
    if (exchange->reader.state == REPLY_WHOLE && exchange->sent < exchange->total)
        reply_break(&exchange->reader, REASON_PROTOCOL_ERROR, "the connector replied before it had its input");
    return got > 0;
}

/* One round of waiting. false: it is over. */
static bool turn(struct exchange *exchange)
{
    struct call *call = exchange->call;
    bool writing = exchange->sent < exchange->total && !exchange->deaf;
    struct pollfd both[2] = {{.fd = call->replies, .events = POLLIN},
                             {.fd = writing ? call->stream : -1, .events = POLLOUT}};
    int ready = poll(both, 2, clock_left_ms(call->deadline));
    if (ready < 0 && errno == EINTR) return true;
    if (clock_now() >= call->deadline) { /* also when it is busy sending: a flood does not buy time */
        call_ended(call, CLASS_TIMEOUT, REASON_DEADLINE, "the connector had no reply when its time was up");
        return false;
    }
    if (both[1].revents) push(exchange);
    if (both[0].revents && !pull(exchange)) {
        if (exchange->reader.have)
            crashed(exchange, REASON_PROTOCOL_ERROR, "the connector ended in the middle of a frame");
        else
            crashed(exchange, REASON_EXIT, "the connector ended without a reply");
        return false;
    }
    return exchange->reader.state == REPLY_MORE;
}

static bool fits_schema(struct call *call, const struct worker_reply *reply, struct err *err)
{
    char pointer[SCHEMA_POINTER];
    if (reply->class != CLASS_OK || !call->action->output) return true;
    JSON_AUTO *nothing = json_object();
    if (schema_validate(call->action->output, reply->answer ? reply->answer : nothing, pointer, err)) return true;
    err->kind = ERR_PROTOCOL;
    return err_in(err, "the connector's answer does not fit its own output schema");
}

/* Also one that is none: what a connector said that broke the protocol is worth keeping too. */
static void keep_reply(struct exchange *exchange)
{
    struct call *call = exchange->call;
    if (!(call->entry->capture & CAPTURE_REPLY) || call->reply_size > CAPTURE_MAX) return;
    call->reply = exchange->reader.body;
    exchange->reader.body = (struct buf){0};
}

static void take_reply(struct exchange *exchange)
{
    struct call *call = exchange->call;
    struct worker_reply reply;
    struct err err = {0};
    bool good = reply_parse(&exchange->reader, &reply, &err) && fits_schema(call, &reply, &err);
    memcpy(call->reply_digest, reply.digest, sizeof call->reply_digest);
    call->reply_size = reply.size;
    if (good) {
        call->whole_reply = true;
        call->retry_after = reply.retry_after;
        call->answer = take(&reply.answer);
        call_ended(call, reply.class, reply.reason, reply.text);
    } else {
        crashed(exchange, REASON_PROTOCOL_ERROR, err.text);
    }
    worker_reply_clear(&reply);
    keep_reply(exchange);
}

void worker_run(struct front *front, struct call *call)
{
    struct exchange exchange;
    start_exchange(&exchange, call);
    pull(&exchange);
    if (exchange.reader.have || exchange.reader.log_lines)
        reply_break(&exchange.reader, REASON_PROTOCOL_ERROR, "the connector spoke before it was called");
    else
        push(&exchange);
    while (exchange.reader.state == REPLY_MORE && call->class == CLASS_NONE && turn(&exchange)) continue;
    if (exchange.reader.state == REPLY_WHOLE) pull(&exchange); /* a second reply right behind it breaks both */
    if (exchange.reader.state == REPLY_WHOLE)
        take_reply(&exchange);
    else if (exchange.reader.state == REPLY_BROKEN && call->class == CLASS_NONE)
        crashed(&exchange, exchange.reader.reason, exchange.reader.err.text);
    call->log_lines = exchange.reader.log_lines;
    reply_clear(&exchange.reader);
}

/* ── done ──────────────────────────────────────────────────────────────────────────────────────────── */

void worker_done(struct front *front, struct call *call)
{
    struct err ignored = {0};
    struct msg_done done = {.call = call->ref, .ok = call->whole_reply};
    struct question question = {.type = MSG_DONE,
                                .answer = MSG_NONE,
                                .body = &done,
                                .length = sizeof done,
                                .deadline = clock_now() + DONE_PATIENCE_MS * CLOCK_MS};
    LINE_AUTO *line = line_borrow(&front->runner, question.deadline, &ignored);
    if (line) line_ask(line, &question, NULL, &ignored); /* without it the cell ends the worker at the deadline */
    close_fd(&call->stream); /* not before: a worker that is out of time would end by itself, as if it had crashed */
    close_fd(&call->replies);
}
