/* SPDX-License-Identifier: Apache-2.0 */
/* A trial: one connector, run for its developer inside the walls that the daemon's runner would put up, by the same
 * cell program, without a daemon. This process plays runner, vault, front and broker for one call after the other. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "look.h"
#include "runtime/registry.h"
#include "sandbox/cell.h"

enum { TRIAL_PEERS = 32, TRIAL_OPTIONS = 64, TRIAL_INPUT = 32 * 1024 * 1024, TRIAL_PATH = 4096 };

/* Exit codes. */
enum { TRIAL_OK, TRIAL_FAILED, TRIAL_USAGE, TRIAL_REFUSED };

/* --peer HOST:PORT[=ADDRESS:PORT] */
struct trial_peer {
    char host[FRAME_HOST], to[FRAME_HOST];
    uint16_t port, to_port;
};

/* The command line; texts belong to it. */
struct trial_words {
    bool json;
    const char *ca, *plugin, *manifest;
    const char *settings[TRIAL_OPTIONS], *fields[TRIAL_OPTIONS];
    unsigned setting_count, field_count, peer_count;
    struct trial_peer peers[TRIAL_PEERS];
    char **calls; /* ACTION INPUT … */
    unsigned call_count;
};

struct trial_action {
    char name[NAME_BYTES];
    const json_t *input, *output, *fields; /* schemas; names of fields, may be NULL */
};

struct trial {
    const struct trial_words *words;
    json_t *document; /* the manifest; everything below points into it */
    char name[NAME_BYTES];
    struct entry_limits limits;
    bool has_egress;
    unsigned action_count;
    struct trial_action actions[CELL_ACTIONS];
    json_t *settings, *fields; /* fields: name to text */
    uint8_t so_digest[HASH_BYTES];
    int plugin;              /* its bytes, in memory */
    char folder[TRIAL_PATH]; /* of this program */
    uint32_t without, uid, filters;
    bool privileged;
    pid_t cell;
    int pidfd, channel, signals;
    uint32_t serial;
};

/* load.c: manifest, settings, fields and the connector's bytes, as the loader would take them. */
bool trial_load(struct trial *trial, struct err *err);
/* A whole file, or standard input for "-". buf is initialised here. */
bool trial_read(const char *path, size_t most, struct buf *buf, struct err *err);

/* home.c: the cell, up and confined. ERR_LOAD and its like say why not. */
bool trial_cell(struct trial *trial, struct err *err);
bool trial_order(const struct trial *trial, enum cell_order order, uint32_t worker, uint64_t deadline, const int *fds);
/* From outside, as the runner does it: is this worker confined as it must be? */
bool trial_check(const struct trial *trial, int pidfd, struct err *err);

/* call.c: one action, or none (action NULL): then the connector is only loaded. result: a JSON object, new reference:
 * "action", "class" (of the reply; "crashed", "timeout", "violation", "refused" else), "text", "answer", "log",
 * "refused" (list, see tell.c), "cpu_us", "peak_kb". */
bool trial_call(struct trial *trial, const struct trial_action *action, const json_t *input, json_t **result,
                struct err *err);

/* tell.c: one refused call as an object: "name", "args", "call" (as it is told: openat("/etc/hosts")), "advice",
 * "phase", "killed". pid: whose memory its texts are in, 0: leave them out. */
json_t *tell_attempt(const struct cell_attempt *attempt, pid_t pid, bool loading, bool killed);
/* "email/send called openat("/etc/hosts"): a connector has no files; see docs/sandbox.md#files" */
void tell_refusal(const char *who, const json_t *refused, FILE *out);
/* Class and words of a worker's end without a reply. */
void tell_end(const struct cell_report *end, const char **class, const char **text);

/* peers.c: answers what a worker asks on its egress channel; a relay for each connection is a child of this process.
 * false: the worker closed its end. */
bool peers_answer(const struct trial *trial, int egress);
bool peers_parse(const char *text, struct trial_peer *peer);
