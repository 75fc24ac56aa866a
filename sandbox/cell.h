/* SPDX-License-Identifier: Apache-2.0 */
/* One plugin's home: a small program of trusted code that the runner starts at the plugin's first call. It confines
 * itself, then forks, watches, kills and reaps the plugin's workers. This is what runner and cell say to each other. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"
#include "policy.h"

/* Descriptors that a cell is started with; 0 to 2 are null, null and the daemon's standard error. */
enum cell_fd { CELL_CHANNEL = 3, CELL_SPEC, CELL_PLUGIN, CELL_HELPERS, CELL_CA, CELL_LOCK, CELL_FDS };

/* Channels of a worker, in the order of CELL_MAKE's descriptors and from WORKER_FD_FIRST on in the worker. */
enum worker_channel { CHANNEL_CALL, CHANNEL_REPLY, CHANNEL_SECRET, CHANNEL_EGRESS, CHANNELS };
enum { WORKER_FD_FIRST = 3 };

enum { CELL_ACTIONS = 64, CELL_FIELDS = 16, CELL_SETTINGS_MAX = 256 * 1024, CELL_MAGIC = 0x6c6c6543 };

/* On CELL_SPEC: this, then settings_length bytes of one JSON object. */
struct cell_spec {
    uint32_t magic, size;
    uint32_t user_namespace; /* 1: map uid and gid first; 0: change to them */
    uint32_t uid, gid;       /* in the second case the plugin's own */
    uint32_t lease;          /* 1: workers serve until their credential pipe ends */
    uint32_t has_egress;     /* 1: helpers are loaded */
    uint32_t without;        /* walls (bit per enum wall) that this machine lacks and the administrator does without */
    uint8_t so_digest[HASH_BYTES];
    uint32_t memory_mb, cpu_s, output_kb, log_kb;
    uint32_t action_count, settings_length;
    char name[NAME_BYTES];
    char actions[CELL_ACTIONS][NAME_BYTES];
    uint32_t open_count; /* credential fields that are not secret */
    char open_fields[CELL_FIELDS][NAME_BYTES];
};

enum cell_order {
    CELL_MAKE = 1, /* with CHANNELS descriptors: fork a worker; deadline: of its call, 0 for a spare */
    CELL_GO,       /* the runner has looked: the plugin may be loaded */
    CELL_CALL,     /* a spare or leased worker gets a call: its deadline */
    CELL_IDLE,     /* a leased worker waits: no deadline */
    CELL_KILL,
    CELL_NOTED /* what CELL_TRIED told is written down: the refused call may now be answered */
};
/* deadline: of CELL_NOTED, how often the worker has tried in this call of a lease; too often ends it. */
struct cell_request {
    uint32_t order, worker; /* worker: the runner's number, never 0, never used again */
    uint64_t deadline;
};

enum cell_event {
    CELL_UP = 1,  /* the cell is confined and serves */
    CELL_REFUSED, /* it is not, and ends; text says why, kind how */
    CELL_READY,   /* with one descriptor: the worker's pidfd; the worker is confined and waits for CELL_GO */
    CELL_ENDED,   /* the worker is dead and reaped */
    CELL_TRIED,   /* it made a call that is refused, attempts[0], and stands still in it until CELL_NOTED */
    CELL_LOADED   /* its plugin is loaded, and attempts were made meanwhile; else nothing is said of it */
};
/* Why a worker is dead: by itself, or killed by the cell. */
enum cell_why { ENDED_ITSELF, ENDED_KILLED, ENDED_DEADLINE, ENDED_LOAD_DEADLINE, ENDED_ATTEMPTS };

struct cell_attempt {
    int32_t number;
    uint32_t arch;
    uint64_t args[6];
};
struct cell_report {
    uint32_t event, worker;
    uint32_t why, loading; /* loading: 1 = before the plugin was loaded, constructors included */
    int32_t exit_code, signal;
    uint32_t attempt_count; /* of all; different ones are in attempts, at most POLICY_REPORTS */
    uint32_t kind;          /* enum err_kind of CELL_REFUSED */
    struct cell_attempt attempts[POLICY_REPORTS];
    uint64_t cpu_us, peak_kb, alive_us;
    char text[256];
};

/* Exit codes of trusted code in a worker; a plugin can imitate them, which gains it nothing. */
enum worker_exit {
    WORKER_CLOSED = 80, /* its credential pipe ended between two calls, or before the first */
    WORKER_NOT_LOADED,  /* the loader refused the object */
    WORKER_NO_SYMBOL,   /* csn_connector_1 is missing */
    WORKER_WRONG_ABI,   /* another ABI, or sizes that cannot be */
    WORKER_NO_ACTION,   /* the manifest names an action that the object does not have */
    WORKER_WALLS,       /* a wall did not go up */
    WORKER_MISMATCH,    /* call, action or input are not those of the vault's frame */
    WORKER_BAD_FRAME,   /* a frame that cannot be */
    WORKER_NO_MEMORY,
    WORKER_NO_ANSWER, /* the action returned without one */
    WORKER_TOO_LARGE  /* the answer is over its limit */
};

/* Everything a cell is, from its first line to its last. Returns the exit status. */
int cell_main(void);
