/* SPDX-License-Identifier: Apache-2.0 */
/* Plays parent, ledger, front, vault and broker over the real lines, so that the real runner, cell and workers can be
 * driven alone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/wire.h"
#include "runtime/messages.h"
#include "runtime/registry.h"

enum drive_peer { DRIVE_CONTROL, DRIVE_LEDGER, DRIVE_FRONT, DRIVE_VAULT, DRIVE_BROKER, DRIVE_PEERS };
enum { DRIVE_ENTRIES = 8, DRIVE_INBOX = 128, DRIVE_CHANNELS = 1100, DRIVE_TRIED = 128 };

struct drive_entry {
    const char *plugin; /* path of the shared object */
    const char *name;
    const char *actions[16]; /* NULL-terminated; default: run */
    bool lease, egress;
    uint32_t calls, idle_s, spares, memory_mb, cpu_s, output_kb, log_kb, concurrency;
    const char *settings; /* JSON; NULL: {} */
    bool wrong_digest;
};

struct drive_frame {
    bool used;
    enum drive_peer from;
    struct msg_head head;
    size_t length;
    int fd_count, fds[WIRE_FDS];
    unsigned char body[8192];
};

struct drive {
    pid_t pid;
    int lines[DRIVE_PEERS];
    bool deaf; /* the ledger reads nothing */
    int room;  /* SO_SNDBUF of the runner's ends of lines that drive_replace() makes; 0: as they are */
    uint32_t generations[DRIVE_PEERS], registry;
    struct drive_entry entries[DRIVE_ENTRIES];
    unsigned entry_count;
    uint8_t digests[DRIVE_ENTRIES][HASH_BYTES];
    struct drive_frame inbox[DRIVE_INBOX];
    /* what the ledger heard of refused system calls, in order; the newest when there are more */
    unsigned tried_count;
    struct msg_worker_tried tried[DRIVE_TRIED];
    /* what vault and broker hold, by channel number */
    struct {
        uint32_t number;
        int secret, egress;
    } channels[DRIVE_CHANNELS];
};

/* How the runner is started; zeroed: as it is installed. */
struct drive_how {
    const char *runner;       /* another runner program */
    const char *cell;         /* another cell program */
    bool as_nobody;           /* when this test runs as root: become uid 65534 first */
    bool lowered;             /* MinimumIsolation=lowered */
    void (*before)(void);     /* in the child, before exec: takes a layer of the kernel away */
    const char *helpers, *ca; /* paths */
};

/* false: the runner refused to start; why holds its words. */
bool drive_start(struct drive *drive, const struct drive_entry *entries, unsigned count, const struct drive_how *how,
                 char why[256]);
/* Closes the lines and waits; returns the exit status as waitpid gives it. */
int drive_stop(struct drive *drive);

/* One call; fill, then drive_call. */
struct drive_call {
    struct call_ref ref;
    uint32_t entry, action;
    const char *input;
    const char *secret_name, *secret; /* NULL: none */
    uint8_t workspace, credential;    /* made into ids */
    uint64_t deadline_ms;             /* 0: 5000 */
    bool tamper_input, tamper_action, skip_secret, take_first, no_done;
    bool stop_runner; /* SIGSTOP before the worker gets its frames */
    /* results */
    bool taken, replied, half_vault, half_broker;
    uint32_t reason, channel;
    json_t *reply;
    char log[8192];
    unsigned frames, replies;
    bool ended;
    struct msg_worker_ended end;
    int stream, replies_fd;
    uint64_t fed, replied_at; /* when its two frames began to be written; when the reply was there */
};
void drive_call(struct drive *drive, struct drive_call *call);
void drive_call_clear(struct drive_call *call);

/* The pieces of a call, for tests that need another order. */
void drive_send(struct drive *drive, enum drive_peer to, unsigned type, const void *body, size_t length, int fd);
/* Waits for a frame of that type (and call, when not NULL); NULL after ms. */
struct drive_frame *drive_expect(struct drive *drive, enum drive_peer from, unsigned type, const struct call_ref *call,
                                 int ms);
void drive_drop(struct drive_frame *frame);
void drive_begin(struct drive *drive, struct drive_call *call);
/* Takes TAKEN and halves, writes the secret and the call. */
bool drive_feed(struct drive *drive, struct drive_call *call);
void drive_replies(struct drive *drive, struct drive_call *call);
void drive_done(struct drive *drive, struct drive_call *call, bool ok);
/* A new generation of that peer's line. */
void drive_replace(struct drive *drive, enum drive_peer peer);
void drive_load(struct drive *drive, const struct drive_entry *entries, unsigned count);
/* Returns when the runner has heard of it: a registry sent behind it was answered. */
void drive_freeze(struct drive *drive, bool on);

/* Processes whose parent is that one. */
unsigned children_of(pid_t pid, pid_t *out, unsigned room);
unsigned fds_of(pid_t pid);
