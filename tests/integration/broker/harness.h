/* SPDX-License-Identifier: Apache-2.0 */
/* A real caisson-broker process with this test as its parent, its ledger, its runner and the workers. */
#pragma once

#include "../../unit/base/unit.h"

#include <stdbool.h>
#include <sys/types.h>

#include "base/wire.h"
#include "runtime/messages.h"

enum { PATIENCE_MS = 20000 }; /* when to give up waiting for something that must come */

struct harness {
    pid_t pid;
    int control, ledger, runner;
    uint32_t generation, seq, channel;
    struct wire_frame frame; /* the last one that came */
};

/* The path of caisson-broker: the first argument of every test program. */
extern const char *broker_path;

/* One connector of the registry: its digest is its index + 1, repeated. */
struct test_entry {
    const char *name, *egress, *ranges; /* the inside of a JSON array each */
    unsigned dials, up_mb, down_mb;
};

void harness_start(struct harness *h, const char *config, uint32_t registry, const struct test_entry *entries);
void harness_stop(struct harness *h);
void harness_configure(struct harness *h, const char *config);
/* Another registry, waited for. */
void harness_registry(struct harness *h, uint32_t number, const struct test_entry *entries);
void harness_freeze_now(struct harness *h);
void harness_new_runner(struct harness *h);
void harness_new_ledger(struct harness *h);
/* A frame as it is, of that type. */
void harness_send(struct harness *h, int line, unsigned type, const void *body, size_t length, int fd);

/* A worker's side. */
struct worker {
    struct call_ref call;
    uint32_t entry, channel, next_id;
    uint64_t deadline;
    int egress;
};

struct worker make_worker(uint32_t entry);
void open_gate(struct harness *h, const struct worker *worker, const char *audience);
/* The half with a new channel; keep: a lease. */
void give_half(struct harness *h, struct worker *worker, bool keep);
/* The next call of a lease: a new id on the same channel. */
void next_call(struct worker *worker);
void relabel(struct harness *h, const struct worker *worker);
/* Both, in the ordinary order. */
struct worker start_call(struct harness *h, uint32_t entry, const char *audience);
struct msg_gate_closed close_gate(struct harness *h, const struct worker *worker);

/* host: bytes of them, of which the request says that there are length. */
void ask_dial_raw(struct worker *worker, const char *host, size_t bytes, size_t length, uint32_t port);
void ask_dial(struct worker *worker, const char *host, uint32_t port);
void ask_commit(struct worker *worker, bool labelled);
void ask_mark(struct worker *worker, enum egress_type type, bool labelled);
/* The next answer; *fd: the relay, or -1. false: the channel is closed. */
bool take_answer(struct worker *worker, struct egress_answer *answer, int *fd);
/* Asks and waits: the status; *fd as above; the text stays in dial_text. */
unsigned dial(struct worker *worker, const char *host, uint16_t port, int *fd);
extern char dial_text[256];

/* Everything sent on that line before has been handled when it returns. */
void harness_barrier(struct harness *h);

/* The next frame on that line, of that type. */
const void *harness_take(struct harness *h, int line, unsigned type);
/* Descriptors that the broker holds. */
unsigned harness_descriptors(const struct harness *h);

/* Reads until count bytes came or the stream ended; returns how many. */
size_t read_some(int fd, char *bytes, size_t count);
bool stream_ended(int fd);
