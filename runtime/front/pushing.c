/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for a call that the ledger wants made, makes it on the path of every other call, and brings the answer back. */
#include "pushing.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "call.h"
#include "front.h"

enum { WAIT_S = 600, AWAY_S = 60, PAUSE_MS = 200, DONE_S = 10 };

/* ── one call ──────────────────────────────────────────────────────────────────────────────────────── */

/* Names come from the ledger, NUL-terminated or not at all. */
static void take_name(char to[NAME_BYTES], const char from[NAME_BYTES])
{
    memcpy(to, from, NAME_BYTES);
    to[NAME_BYTES - 1] = '\0';
}

static bool fill(struct call *call, const struct msg_push_call *wanted, const struct buf *input, struct err *err)
{
    struct call_request *request = &call->request;
    request->input.max = PUSH_INPUT;
    call->who = (struct who){.kind = WHO_SYSTEM, .principal = wanted->number};
    take_name(request->workspace, wanted->workspace);
    take_name(request->connector, wanted->connector);
    take_name(request->action, wanted->action);
    take_name(request->credential, wanted->credential);
    request->timeout_ms = wanted->timeout_ms;
    return json_read(input->bytes, input->used, PUSH_INPUT, &request->value, err) &&
           (buf_add(&request->input, input->bytes, input->used) || err_set(err, ERR_BUSY, "there is no memory"));
}

static bool run(struct front *front, struct call *call, const struct msg_push_call *wanted, const struct buf *input,
                struct err *err)
{
    if (front->stopping) return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
    front->calls++;
    bool ran = fill(call, wanted, input, err) && call_run(front, call, err);
    front->calls--;
    if (ran && call->unrecorded) return err_set(err, ERR_AUDIT, "the call's outcome could not be recorded");
    return ran;
}

/* On the line that the call came by: what is said here is heard before the next is asked for. */
static bool report(struct line *line, const struct msg_push_call *wanted, const struct call *call, bool ran,
                   struct err *err)
{
    BUF_AUTO answer = {.max = PUSH_ANSWER};
    struct reply_frame none;
    struct msg_push_done done = {.number = wanted->number, .status = status_ok()};
    if (!ran) status_set(&done.status, err);
    if (ran && call->answer && !json_compact(call->answer, &answer)) answer.used = 0;
    done.answer_length = (uint32_t)answer.used;
    struct question question = {.type = MSG_PUSH_DONE,
                                .answer = MSG_NONE,
                                .body = &done,
                                .length = sizeof done,
                                .tail = answer.bytes,
                                .tail_length = answer.used,
                                .deadline = clock_now() + DONE_S * CLOCK_S};
    return line_ask(line, &question, &none, err);
}

/* ── one after the other ───────────────────────────────────────────────────────────────────────────── */

static bool take_wanted(const struct reply_frame *reply, struct msg_push_call *wanted, struct buf *input,
                        struct err *err)
{
    memcpy(wanted, reply->body, sizeof *wanted);
    if (wanted->input_length != reply->length - sizeof *wanted)
        return err_set(err, ERR_INTERNAL, "the ledger's call is not whole");
    return buf_add(input, (const char *)reply->body + sizeof *wanted, wanted->input_length) ||
           err_set(err, ERR_BUSY, "there is no memory");
}

static bool serve_one(struct front *front, struct line *line, struct err *err)
{
    BUF_AUTO input = {.max = PUSH_INPUT};
    struct reply_frame reply;
    struct msg_push_call wanted;
    struct err why = {0};
    struct question question = {
        .type = MSG_PUSH_WAIT, .answer = MSG_PUSH_CALL, .deadline = clock_now() + WAIT_S * CLOCK_S};
    if (!line_ask(line, &question, &reply, err)) return false;
    if (!take_wanted(&reply, &wanted, &input, err)) return false;
    struct call *call = calloc(1, sizeof *call);
    if (!call) return err_set(err, ERR_BUSY, "there is no memory for a call");
    call_init(call);
    bool ran = run(front, call, &wanted, &input, &why);
    bool told = report(line, &wanted, call, ran, ran ? err : &why);
    call_clear(call);
    free(call);
    return told;
}

static void *serve(void *context)
{
    struct front *front = context;
    while (!front->stopping) {
        struct err err = {0};
        LINE_AUTO *line = line_borrow(&front->ledger, clock_now() + AWAY_S * CLOCK_S, &err);
        bool good = line != NULL;
        while (good && !front->stopping) good = serve_one(front, line, &err);
        if (!good) poll(NULL, 0, PAUSE_MS); /* the ledger is away, or said nothing for long */
    }
    return NULL;
}

bool pushing_start(struct front *front, struct err *err)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &attributes, serve, front);
    pthread_attr_destroy(&attributes);
    return failed == 0 || err_set(err, ERR_BUSY, "the desk's second thread cannot be started");
}
