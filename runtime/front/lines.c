/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed lines to a role, and one question with its answer on them. */
#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"

void lines_init(struct lines *lines, enum role_id self, enum role_id peer)
{
    pthread_condattr_t monotonic;
    memset(lines, 0, sizeof *lines);
    lines->self = self;
    lines->peer = peer;
    pthread_mutex_init(&lines->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lines->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; i < LINES_MOST; i++) lines->slots[i] = (struct line){.pool = lines, .fd = -1, .next_fd = -1};
}

void lines_close(struct lines *lines)
{
    for (unsigned i = 0; i < LINES_MOST; i++) {
        struct line *line = &lines->slots[i];
        close_fd(&line->fd);
        close_fd(&line->next_fd);
        free(take(&line->frame));
    }
    pthread_cond_destroy(&lines->changed);
    pthread_mutex_destroy(&lines->lock);
}

/* ── the pool ──────────────────────────────────────────────────────────────────────────────────────── */

void lines_put(struct lines *lines, uint32_t index, int fd, uint32_t generation)
{
    if (index >= LINES_MOST) {
        close_fd(&fd);
        return;
    }
    struct line *line = &lines->slots[index];
    pthread_mutex_lock(&lines->lock);
    lines->epoch++;
    if (index >= lines->count) lines->count = index + 1;
    if (line->busy) {
        close_fd(&line->next_fd);
        line->next_fd = fd;
        line->next_generation = generation;
        if (line->fd >= 0) shutdown(line->fd, SHUT_RDWR); /* its borrower learns at once that the old peer is gone */
    } else {
        close_fd(&line->fd);
        line->fd = fd;
        line->generation = generation;
    }
    pthread_cond_broadcast(&lines->changed);
    pthread_mutex_unlock(&lines->lock);
}

static bool alive(const struct line *line)
{
    return line->fd >= 0 || line->next_fd >= 0;
}

static unsigned count_alive(const struct lines *lines)
{
    unsigned count = 0;
    for (unsigned i = 0; i < lines->count; i++) count += alive(&lines->slots[i]);
    return count;
}

unsigned lines_alive(struct lines *lines)
{
    pthread_mutex_lock(&lines->lock);
    unsigned count = count_alive(lines);
    pthread_mutex_unlock(&lines->lock);
    return count;
}

/* false: the deadline passed while waiting for a change. The lock is held. */
static bool wait_change(struct lines *lines, uint64_t deadline)
{
    struct timespec until = {(time_t)(deadline / CLOCK_S), (long)(deadline % CLOCK_S)};
    return pthread_cond_timedwait(&lines->changed, &lines->lock, &until) != ETIMEDOUT;
}

bool lines_await(struct lines *lines, uint64_t deadline)
{
    bool more = true;
    pthread_mutex_lock(&lines->lock);
    while (count_alive(lines) == 0 && more) more = wait_change(lines, deadline);
    bool found = count_alive(lines) > 0;
    pthread_mutex_unlock(&lines->lock);
    return found;
}

static struct line *find_free(struct lines *lines)
{
    for (unsigned i = 0; i < lines->count; i++)
        if (!lines->slots[i].busy && lines->slots[i].fd >= 0) return &lines->slots[i];
    return NULL;
}

/* The frame is made at the first use: an idle pool of 64 lines costs nothing. */
static struct line *lend(struct line *line, struct err *err)
{
    if (!line->frame) line->frame = malloc(sizeof *line->frame);
    if (!line->frame) return err_set(err, ERR_BUSY, "there is no memory for this request"), NULL;
    line->frame->fd_count = 0;
    line->epoch = line->pool->epoch;
    line->busy = true;
    return line;
}

struct line *line_borrow(struct lines *lines, uint64_t deadline, struct err *err)
{
    struct line *line = NULL;
    bool more = true;
    pthread_mutex_lock(&lines->lock);
    while (!(line = find_free(lines)) && count_alive(lines) > 0 && more) more = wait_change(lines, deadline);
    if (line)
        line = lend(line, err);
    else if (count_alive(lines) > 0)
        err_set(err, ERR_BUSY, "every line to the %s is in use", role_name(lines->peer));
    else
        err_set(err, ERR_UNAVAILABLE, "the %s is restarting; try again in a moment", role_name(lines->peer));
    pthread_mutex_unlock(&lines->lock);
    return line;
}

void line_return(struct line *line)
{
    struct lines *lines = line->pool;
    wire_drop(line->frame);
    pthread_mutex_lock(&lines->lock);
    if (line->next_fd >= 0) {
        close_fd(&line->fd);
        line->fd = take_fd(&line->next_fd);
        line->generation = line->next_generation;
    }
    line->busy = false;
    pthread_cond_signal(&lines->changed);
    pthread_mutex_unlock(&lines->lock);
}

/* ── one question ──────────────────────────────────────────────────────────────────────────────────── */

/* The peer is gone: the line stays closed until lines_put() brings another. */
static bool retire(struct line *line, struct err *err)
{
    struct lines *lines = line->pool;
    pthread_mutex_lock(&lines->lock);
    close_fd(&line->fd);
    pthread_cond_broadcast(&lines->changed);
    pthread_mutex_unlock(&lines->lock);
    return err_set(err, ERR_UNAVAILABLE, "the %s stopped; try again in a moment", role_name(lines->peer));
}

static bool wait_room(int fd, uint64_t deadline)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int ready;
    do ready = poll(&one, 1, clock_left_ms(deadline));
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static bool send_question(struct line *line, const struct question *question, struct err *err)
{
    struct msg_head head = {.type = (uint16_t)question->type,
                            .generation = line->generation,
                            .registry = question->registry,
                            .seq = ++line->seq};
    struct iovec pieces[4] = {{&head, sizeof head},
                              {(void *)question->body, question->length},
                              {(void *)question->tail, question->tail_length},
                              {(void *)question->more, question->more_length}};
    for (;;) {
        int failed = wire_send(line->fd, pieces, 4, &question->fd, question->fd > 0);
        if (failed == 0) return true;
        if (failed != EAGAIN && failed != ENOBUFS) return retire(line, err);
        if (!wait_room(line->fd, question->deadline))
            return err_set(err, ERR_UNAVAILABLE, "the %s takes no more requests; try again in a moment",
                           role_name(line->pool->peer));
    }
}

static bool count(_Atomic uint64_t *counter)
{
    (*counter)++;
    return false;
}

/* true: this is the answer. What is not is counted: late answers of a former borrower apart from wrong frames. */
static bool is_answer(struct line *line, const struct question *question, struct reply_frame *reply)
{
    struct wire_frame *frame = line->frame;
    struct lines *lines = line->pool;
    if (frame->length < sizeof reply->head) return count(&lines->bad_frames);
    memcpy(&reply->head, frame->bytes, sizeof reply->head);
    reply->body = frame->bytes + sizeof reply->head;
    reply->length = frame->length - sizeof reply->head;
    reply->frame = frame;
    if (reply->head.generation != line->generation ||
        !msg_allowed(reply->head.type, lines->peer, lines->self, reply->length, frame->fd_count))
        return count(&lines->bad_frames);
    if (reply->head.seq != line->seq) return count(&lines->late_frames);
    if (reply->head.type != question->answer) return count(&lines->bad_frames);
    return true;
}

bool line_ask(struct line *line, const struct question *question, struct reply_frame *reply, struct err *err)
{
    wire_drop(line->frame);
    if (line->fd < 0) return retire(line, err);
    if (!send_question(line, question, err)) return false;
    if (question->answer == MSG_NONE) return true;
    for (;;) {
        switch (wire_take(line->fd, line->frame)) {
        case WIRE_FRAME:
            if (is_answer(line, question, reply)) return true;
            wire_drop(line->frame);
            break;
        case WIRE_BAD: line->pool->bad_frames++; break;
        case WIRE_GONE: return retire(line, err);
        case WIRE_AGAIN: break;
        }
        /* also after a wrong frame: a peer that floods must not hold the thread */
        if (!wire_wait(line->fd, question->deadline))
            return err_set(err, ERR_UNAVAILABLE, "the %s did not answer in time", role_name(line->pool->peer));
    }
}
