/* SPDX-License-Identifier: Apache-2.0 */
/* The played ledger and runner. */
#include "play.h"

#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "sandbox/frames.h"

/* ── answering ─────────────────────────────────────────────────────────────────────────────────────── */

struct asked {
    struct play *play;
    int fd;
    struct msg_head head;
    const uint8_t *body;
    size_t length;
    struct wire_frame *frame;
};

static void answer(const struct asked *asked, unsigned type, const void *body, size_t length, const void *tail,
                   size_t tail_length)
{
    struct msg_head head = {.type = (uint16_t)type, .generation = asked->head.generation, .seq = asked->head.seq};
    struct iovec pieces[3] = {{&head, sizeof head}, {(void *)body, length}, {(void *)tail, tail_length}};
    if (asked->play->script.late_first) { /* what an earlier borrower of the line no longer waited for */
        head.seq--;
        wire_send(asked->fd, pieces, 3, NULL, 0);
        head.seq++;
        head.generation--;
        wire_send(asked->fd, pieces, 3, NULL, 0);
        head.generation++;
        wire_send(asked->fd, pieces, 1, NULL, 0);
    }
    wire_send(asked->fd, pieces, 3, NULL, 0);
}

static void fill_call(struct call_ref *call)
{
    memset(call->id, 0x5a, sizeof call->id);
    call->attempt = 1;
}

/* ── the ledger ────────────────────────────────────────────────────────────────────────────────────── */

static void on_hello(const struct asked *asked)
{
    struct msg_hello_answer body = {.principal = 1000 + ++asked->play->hellos};
    answer(asked, MSG_HELLO_ANSWER, &body, sizeof body, NULL, 0);
}

static size_t seal_replay(struct msg_begun *begun, uint8_t sealed[256])
{
    static const char stored[] = "{\"answer\":{\"greeting\":\"stored\"},\"text\":\"as before\"}";
    static const uint8_t nonce[24];
    unsigned long long used;
    randombytes_buf(begun->key, sizeof begun->key);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &used, (const uint8_t *)stored, sizeof stored - 1, NULL, 0, NULL,
                                               nonce, begun->key);
    return begun->answer_length = (uint32_t)used;
}

static void on_begin(const struct asked *asked)
{
    struct play *play = asked->play;
    struct play_script *script = &play->script;
    struct msg_begun begun = {.intent_index = 40, .outcome_index = 41};
    uint8_t sealed[256];
    size_t length = 0;
    memcpy(&play->begin, asked->body, sizeof play->begin);
    play->begins++;
    if (script->silent) return;
    fill_call(&begun.call);
    memcpy(begun.workspace_key, play->workspace_public, 32);
    begun.status.kind = script->begin_kind;
    if (script->echo_refusal && play->begin.refusal) begun.status.kind = play->begin.refusal;
    snprintf(begun.status.text, sizeof begun.status.text, "%s", script->begin_text);
    if (script->replay) {
        begun.replay = 1;
        begun.class = script->replay_class;
        begun.sent = script->replay_sent;
        begun.status.kind = script->replay_status;
        length = seal_replay(&begun, sealed);
    }
    answer(asked, MSG_BEGUN, &begun, sizeof begun, sealed, length);
}

static void on_end(const struct asked *asked)
{
    struct play *play = asked->play;
    memcpy(&play->end, asked->body, sizeof play->end);
    memcpy(play->sealed, asked->body + sizeof play->end, play->end.answer_length);
    play->ends++;
    if (play->script.ends_to_drop) {
        play->script.ends_to_drop--;
        for (uint32_t i = 0; i < PLAY_LINES; i++) {
            if (play->ledger[i] != asked->fd) continue;
            play->generation++;
            int next = play_new_ledger_line(play, i);
            close(asked->fd);
            play->ledger[i] = next;
        }
        return;
    }
    struct msg_ended ended = {.call = play->end.call,
                              .class = play->end.class,
                              .reason = play->end.reason,
                              .sent = play->end.class == CLASS_OK ? SENT_YES : SENT_NO,
                              .outcome_index = 42};
    ended.status.kind = play->script.ended_kind;
    if (play->script.ended_class) ended.class = play->script.ended_class;
    answer(asked, MSG_ENDED, &ended, sizeof ended, NULL, 0);
}

static void on_query(const struct asked *asked)
{
    struct play *play = asked->play;
    const char *text = play->script.query_answer ? play->script.query_answer : "{\"status\":\"ok\"}";
    struct msg_json_answer body = {.length = (uint32_t)strlen(text)};
    memcpy(&play->query, asked->body, sizeof play->query);
    memcpy(play->query_text, asked->body + sizeof play->query, play->query.length);
    play->query_text[play->query.length] = '\0';
    play->query_type = asked->head.type;
    if (play->script.silent) return;
    body.status.kind = play->script.query_kind;
    answer(asked, MSG_JSON_ANSWER, &body, sizeof body, text, strlen(text));
}

static void ledger_frame(const struct asked *asked)
{
    if (!msg_allowed(asked->head.type, asked->play->self, ROLE_LEDGER, asked->length, asked->frame->fd_count)) abort();
    if (asked->head.type == MSG_HELLO)
        on_hello(asked);
    else if (asked->head.type == MSG_BEGIN)
        on_begin(asked);
    else if (asked->head.type == MSG_END)
        on_end(asked);
    else
        on_query(asked);
}

/* ── the runner ────────────────────────────────────────────────────────────────────────────────────── */

struct hired {
    struct worker_ends ends;
    play_worker *work;
};

static void *work(void *context)
{
    struct hired *hired = context;
    hired->work(&hired->ends);
    close(hired->ends.stream);
    close(hired->ends.replies);
    free(hired);
    return NULL;
}

static void hire(const struct asked *asked, int front_ends[2])
{
    int stream[2], replies[2];
    pthread_t thread;
    struct hired *hired = calloc(1, sizeof *hired);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, stream) || pipe2(replies, O_CLOEXEC))
        abort();
    fcntl(stream[1], F_SETFL, 0); /* a worker may block on it */
    hired->ends = (struct worker_ends){.stream = stream[1], .replies = replies[1]};
    fill_call(&hired->ends.call);
    hired->work = asked->play->script.worker ? asked->play->script.worker : worker_greets;
    pthread_create(&thread, NULL, work, hired);
    if (asked->play->script.worker_first)
        pthread_join(thread, NULL);
    else
        pthread_detach(thread);
    front_ends[0] = stream[0];
    front_ends[1] = replies[0];
}

static void on_take(const struct asked *asked)
{
    struct play *play = asked->play;
    struct msg_head head = {.type = MSG_TAKEN, .generation = asked->head.generation, .seq = asked->head.seq};
    struct msg_taken taken = {.reason = play->script.taken_reason};
    struct iovec pieces[2] = {{&head, sizeof head}, {&taken, sizeof taken}};
    int ends[2];
    play->takes++;
    memcpy(&taken.call, asked->body, sizeof taken.call);
    if (taken.reason) {
        taken.status.kind = ERR_BUSY;
        wire_send(asked->fd, pieces, 2, NULL, 0);
        return;
    }
    hire(asked, ends);
    wire_send(asked->fd, pieces, 2, ends, 2);
    close(ends[0]);
    close(ends[1]);
}

static void runner_frame(const struct asked *asked)
{
    if (!msg_allowed(asked->head.type, ROLE_FRONT, ROLE_RUNNER, asked->length, asked->frame->fd_count)) abort();
    if (asked->head.type == MSG_TAKE) {
        on_take(asked);
    } else {
        memcpy(&asked->play->done, asked->body, sizeof asked->play->done);
        asked->play->dones++;
    }
}

/* ── threads ───────────────────────────────────────────────────────────────────────────────────────── */

static void take_one(struct play *play, int fd, struct wire_frame *frame, void (*take)(const struct asked *))
{
    if (fd < 0 || wire_take(fd, frame) != WIRE_FRAME) return;
    struct asked asked = {.play = play, .fd = fd, .frame = frame};
    memcpy(&asked.head, frame->bytes, sizeof asked.head);
    asked.body = frame->bytes + sizeof asked.head;
    asked.length = frame->length - sizeof asked.head;
    take(&asked);
    wire_drop(frame);
}

static void serve(struct play *play, int *lines, void (*take)(const struct asked *))
{
    struct wire_frame *frame = calloc(1, sizeof *frame);
    for (;;) {
        struct pollfd fds[PLAY_LINES + 1] = {{.fd = play->wake[0], .events = POLLIN}};
        pthread_mutex_lock(&play->lock);
        for (int i = 0; i < PLAY_LINES; i++) fds[i + 1] = (struct pollfd){.fd = lines[i], .events = POLLIN};
        pthread_mutex_unlock(&play->lock);
        poll(fds, PLAY_LINES + 1, 20);
        if (fds[0].revents) break;
        pthread_mutex_lock(&play->lock);
        for (int i = 0; i < PLAY_LINES; i++) take_one(play, lines[i], frame, take);
        pthread_mutex_unlock(&play->lock);
    }
    free(frame);
}

void *play_ledger(void *play)
{
    serve(play, ((struct play *)play)->ledger, ledger_frame);
    return NULL;
}

void *play_runner(void *play)
{
    serve(play, ((struct play *)play)->runner, runner_frame);
    return NULL;
}

/* ── workers ───────────────────────────────────────────────────────────────────────────────────────── */

static bool read_whole(int fd, void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = read(fd, (char *)bytes + done, count - done);
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

static void write_whole(int fd, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t put = write(fd, (const char *)bytes + done, count - done);
        if (put <= 0) return;
        done += (size_t)put;
    }
}

bool worker_take_call(const struct worker_ends *ends, struct frame_call *call, char **input, size_t *length)
{
    struct frame_head head;
    if (!read_whole(ends->stream, &head, sizeof head) || !read_whole(ends->stream, call, sizeof *call)) return false;
    if (head.type != FRAME_CALL || head.version != FRAME_VERSION || head.length > FRAME_CALL_MAX) abort();
    if (memcmp(head.call_id, ends->call.id, ID_BYTES) != 0) abort();
    *length = head.length - sizeof *call;
    *input = malloc(*length + 1);
    (*input)[*length] = '\0';
    return read_whole(ends->stream, *input, *length);
}

void worker_say(const struct worker_ends *ends, uint16_t type, const void *body, size_t length)
{
    struct frame_head head = {.length = (uint32_t)length, .type = type, .version = FRAME_VERSION};
    memcpy(head.call_id, ends->call.id, ID_BYTES);
    write_whole(ends->replies, &head, sizeof head);
    write_whole(ends->replies, body, length);
}

void worker_reply(const struct worker_ends *ends, const char *json)
{
    worker_say(ends, FRAME_REPLY, json, strlen(json));
}

void worker_log(const struct worker_ends *ends, uint32_t level, const char *text, size_t length)
{
    char body[sizeof(struct frame_log) + FRAME_LOG_MAX];
    memcpy(body, &level, sizeof level);
    memcpy(body + sizeof level, text, length);
    worker_say(ends, FRAME_LOG, body, sizeof level + length);
}

/* The honest one. */
void worker_greets(const struct worker_ends *ends)
{
    char reply[256], *input = NULL;
    size_t length;
    struct frame_call call;
    if (worker_take_call(ends, &call, &input, &length)) {
        json_t *value = json_loadb(input, length, 0, NULL);
        snprintf(reply, sizeof reply, "{\"class\":\"ok\",\"answer\":{\"greeting\":\"Hello, %.100s\"}}",
                 json_text(value, "name"));
        worker_log(ends, 1, "greeting", 8);
        worker_reply(ends, reply);
        json_decref(value);
    }
    free(input);
}
