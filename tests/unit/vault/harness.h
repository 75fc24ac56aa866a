/* SPDX-License-Identifier: Apache-2.0 */
/* A real caisson-vault process with this test as its parent, its ledger and its runner. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/types.h>

#include "base/wire.h"
#include "runtime/messages.h"
#include "tools/keys.h"

enum { PATIENCE_S = 20 }; /* when to give up waiting for something that must come */

struct harness {
    pid_t pid;
    int home, control, ledger, runner;
    uint32_t ledger_generation, runner_generation, seq;
    char path[64];
    struct keys_public public;
    struct wire_frame frame; /* the last one that came */
};

/* What differs from the ordinary start; zeroed = nothing does. */
struct harness_start {
    const struct ctl_witness *witness;
    int key; /* descriptor to give in place of keys/master.key, 0 = that file */
    bool no_key;
    bool no_secret_memory; /* this kernel has no memfd_secret: a filter outside the process says so */
    bool expect_failure;   /* CTL_FAILED is expected: its text is kept in frame */
};

/* The path of caisson-vault: the first argument of every test program. */
extern const char *vault_path;

void harness_home(struct harness *h);
void harness_start(struct harness *h, const struct harness_start *how);
void harness_stop(struct harness *h);
void harness_clear(struct harness *h);
/* Opens keys/master.key below the home folder. */
int harness_key(const struct harness *h);

/* cmocka fixtures: a running vault in *state. */
int harness_setup(void **state);
int harness_teardown(void **state);

void harness_send(struct harness *h, int line, unsigned type, uint32_t seq, const void *body, size_t length,
                  const int *fds, int fd_count);
/* Waits for the next frame on that line; fails the test when it is of another type or nothing comes. */
const void *harness_take(struct harness *h, int line, unsigned type, uint32_t *seq);
/* Everything sent on the ledger's line before this was handled when it returns. */
void harness_barrier(struct harness *h);
/* Everything sent on the runner's line before this was taken by the vault when it returns. */
void harness_runner_drained(struct harness *h);
/* The same, throwing away whatever else the vault says meanwhile. */
void harness_runner_drained_quiet(struct harness *h);
/* New lines, as after the death of that peer. */
void harness_new_ledger(struct harness *h);
void harness_new_runner(struct harness *h);
void harness_incident(struct harness *h, enum incident_kind kind, const struct call_ref *call);
/* No incident, nor anything else, is waiting on the ledger's line. */
void harness_ledger_silent(struct harness *h);

/* A workspace with its keys, and a credential sealed for it. */
struct stored {
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t version;
    struct msg_workspace_key_answer keys;
    struct msg_seal_answer sealed;
};
#define CANARY_PASSWORD "canary-hunter2-4f1c9be07d5a"
#define CANARY_USER "canary-user-0a77e1"

void harness_workspace(struct harness *h, struct stored *stored);
/* The submission that the next two use: workspace default, credential main, connector email, user and password. */
void harness_submission(struct submission *submission);
void harness_seal_request(struct harness *h, const struct stored *stored, struct submission *submission,
                          struct msg_seal *request);
/* Seals user and password with that audience. */
void harness_store(struct harness *h, struct stored *stored, const char *audience);

/* An order for that credential (NULL: without one) and the half that fits it. */
void make_order(const struct stored *stored, struct msg_order *order);
void send_order(struct harness *h, const struct msg_order *order);
struct msg_half half_for(const struct msg_order *order, uint32_t channel);
/* Sends the half with the write end of a new pipe, unless keep says that the vault has it; returns the read end. */
int send_half(struct harness *h, const struct msg_half *half);
void send_half_number(struct harness *h, const struct msg_half *half);

/* Reads the pipe to its end, or to the end of one frame. Returns the frame's bytes, 0: closed without a frame. */
size_t read_secret(int pipe, char bytes[FRAME_SECRET_MAX]);
bool pipe_closed(int pipe);
/* Closed by now, without waiting: for what the vault must have done before it answered the last barrier. */
bool pipe_closed_now(int pipe);
const char *secret_field(const char *bytes, const char *name);
