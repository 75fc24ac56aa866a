/* SPDX-License-Identifier: Apache-2.0 */
/* The lines to one role, shared by the front's threads: a thread borrows one line for itself, asks one question on it,
 * waits for the answer and gives the line back. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/wire.h"
#include "runtime/messages.h"

enum { LINES_MOST = 64 };

/* One line. Its borrower owns everything but next_fd and next_generation, which the pool's lock guards. */
struct line {
    struct lines *pool;
    int fd; /* -1: the peer died and nothing has replaced it yet */
    uint32_t generation, seq;
    uint32_t epoch; /* the pool's when the line was lent */
    bool busy;
    int next_fd; /* a replacement that came while the line was lent; -1: none */
    uint32_t next_generation;
    struct wire_frame *frame; /* the last answer; valid until the line is given back */
};

struct lines {
    enum role_id self, peer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
    uint32_t epoch; /* grows with every lines_put(): what an earlier process of the peer said no longer counts */
    struct line slots[LINES_MOST];
    _Atomic uint64_t bad_frames, late_frames;
};

void lines_init(struct lines *lines, enum role_id self, enum role_id peer);
void lines_close(struct lines *lines);

/* A line came from the parent, or another one in its place. Takes the descriptor over. */
void lines_put(struct lines *lines, uint32_t index, int fd, uint32_t generation);
/* How many are alive: 0 means that the peer is down. */
unsigned lines_alive(struct lines *lines);
/* Waits until one is alive. false: the deadline passed. */
bool lines_await(struct lines *lines, uint64_t deadline);

/* A line for the calling thread alone. ERR_UNAVAILABLE at once when the peer is down, ERR_BUSY when all are lent until
 * the deadline. */
struct line *line_borrow(struct lines *lines, uint64_t deadline, struct err *err);
void line_return(struct line *line);

struct question {
    enum msg_type type, answer; /* answer: MSG_NONE = none is awaited */
    uint32_t registry;
    const void *body, *tail, *more; /* more: behind the tail */
    size_t length, tail_length, more_length;
    int fd; /* goes along when it is not 0 */
    uint64_t deadline;
};
/* What came: body and length of the answer, in the line's frame. */
struct reply_frame {
    struct msg_head head;
    const void *body;
    size_t length;
    struct wire_frame *frame;
};
/* Sends, and waits for the frame that repeats the question's number in this line's generation; everything else that
 * arrives is dropped. ERR_UNAVAILABLE: the peer is gone or says nothing until the deadline. */
bool line_ask(struct line *line, const struct question *question, struct reply_frame *reply, struct err *err);

static inline void auto_line(struct line **slot)
{
    if (*slot) line_return(*slot);
}
#define LINE_AUTO __attribute__((cleanup(auto_line))) struct line
