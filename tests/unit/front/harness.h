/* SPDX-License-Identifier: Apache-2.0 */
/* A real caisson-front process on real lines; this test plays its parent, the ledger, the runner and the workers. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/wire.h"
#include "runtime/messages.h"

extern const char *front_path;

enum { PLAY_LINES = 4 };

/* What a played worker does with its channels; runs on a thread of its own. */
struct worker_ends {
    int stream, replies;
    struct call_ref call;
};
typedef void play_worker(const struct worker_ends *);

/* How the played ledger and runner answer. Set before a request, read by their threads. */
struct play_script {
    uint32_t begin_kind; /* 0: begun */
    char begin_text[128];
    bool silent;       /* BEGIN and HEALTH get no answer */
    bool echo_refusal; /* answer a refusing BEGIN with its own kind */
    bool replay;
    uint32_t replay_class, replay_sent, replay_status;
    uint32_t ended_class; /* 0: what the front said */
    uint32_t ended_kind;
    unsigned ends_to_drop; /* so many ENDs get no answer: their line is closed and replaced */
    uint32_t taken_reason; /* 0: a worker */
    uint32_t query_kind;
    bool late_first; /* an answer of an earlier question comes before the right one */
    const char *query_answer;
    play_worker *worker;
    bool worker_first; /* it has done all it does before the front gets its channels */
};

struct play {
    pid_t pid;
    int control;
    char folder[64], socket[128];
    uint16_t port;
    enum role_id self;
    pthread_t ledger_thread, runner_thread;
    int wake[2]; /* pipe: closing it ends the threads */
    pthread_mutex_t lock;
    int ledger[PLAY_LINES], runner[PLAY_LINES];
    uint32_t generation;
    struct play_script script;
    /* what was seen */
    struct msg_begin begin;
    struct msg_end end;
    uint8_t sealed[ANSWER_MAX];
    struct msg_query query;
    char query_text[WIRE_MAX];
    unsigned query_type;
    struct msg_done done;
    unsigned hellos, begins, ends, dones, takes;
    uint8_t workspace_public[32], workspace_secret[32];
};

struct play_start {
    enum role_id self;
    const char *config, *registry; /* JSON; registry NULL: the usual one */
    bool tcp;
    const char *cert, *key; /* PEM files */
    const char *probe;
    bool expect_failure;
    uint32_t ledger_lines; /* 0: PLAY_LINES */
};
void play_begin(struct play *play, const struct play_start *start);
void play_stop(struct play *play);
/* The ledger dies: its lines are closed. And another one comes. */
void play_ledger_dies(struct play *play);
void play_ledger_returns(struct play *play);
void play_script(struct play *play, const struct play_script *script);

/* An HTTP exchange by libcurl. body NULL: none. headers: ends with NULL. */
struct http_got {
    long status;
    char *body, *headers;
    json_t *json;
};
struct http_ask {
    const char *method, *path, *body;
    size_t length; /* 0: strlen */
    const char *headers[6];
    bool tcp, tls;
};
struct http_got play_http(struct play *play, const struct http_ask *ask);
void http_got_clear(struct http_got *got);
const char *json_text(const json_t *object, const char *member);

/* Workers. */
bool worker_take_call(const struct worker_ends *ends, struct frame_call *call, char **input, size_t *length);
void worker_say(const struct worker_ends *ends, uint16_t type, const void *body, size_t length);
void worker_reply(const struct worker_ends *ends, const char *json);
void worker_log(const struct worker_ends *ends, uint32_t level, const char *text, size_t length);
void worker_greets(const struct worker_ends *ends);
