/* SPDX-License-Identifier: Apache-2.0 */
/* What the runner knows: homes (one per enabled plugin that was called, with its cell), workers, and calls. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "runtime/messages.h"
#include "runtime/registry.h"
#include "runtime/role.h"
#include "sandbox/cell.h"
#include "sandbox/cgroup.h"

enum {
    HOMES = 512,
    WORKERS = 1024,
    CALLS = 2048,
    WORKERS_EACH = 16,    /* of one entry at a time, unless its limits say otherwise */
    BREAKER_FAILURES = 5, /* in a row, within */
    BREAKER_WINDOW_S = 60,
    BREAKER_PAUSE_S = 30,
    TAKE_PATIENCE_S = 2,  /* a front's TAKE waits so long for the ledger's START */
    FAILED_KEPT_S = 10,   /* a call that could not start is remembered so long for its TAKE */
    CELL_PATIENCE_S = 10, /* a cell's set-up, certificates included */
    SPARE_AGE_S = 300
};

/* One entry, by its digest: so that a reload that leaves it alone leaves its cell alone. */
struct home {
    bool used, called, ending, closing; /* closing: its workers are being let go, nobody is given one */
    uint8_t digest[HASH_BYTES];
    const struct entry *entry; /* of the registry in force; NULL while the last workers of a retired one end */
    uint32_t entry_index;      /* for incidents, when entry is NULL */
    pid_t cell;                /* 0: none */
    int pidfd, channel;
    bool up;
    uint64_t asked; /* when the cell was started */
    uint32_t uid;   /* the plugin's, with privileges */
    unsigned busy;  /* calls that hold a worker */
    unsigned held;  /* workers, those that are ending too */
    unsigned failures;
    uint64_t first_failure, closed_until;
};

enum worker_phase_here { HELD_NONE, HELD_MAKING, HELD_SPARE, HELD_BUSY, HELD_LEASE, HELD_ENDING };

struct worker {
    enum worker_phase_here state;
    uint32_t number; /* channel number towards cell, vault and broker */
    struct home *home;
    struct call *call;                   /* HELD_MAKING: may be NULL (a spare) */
    bool checked, halved;                /* halved: vault and broker hold their ends */
    int stream, replies, secret, egress; /* our ends until they are given away */
    uint32_t taker;                      /* ROLE_FRONT or ROLE_DESK: whose calls it serves; 0: none yet */
    uint32_t front, vault, broker;       /* generations that it was made for; front: its taker's, once it has one */
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t version, action; /* what a lease is bound to */
    bool bound;
    bool retired; /* it serves no call after this one */
    uint32_t calls;
    uint64_t made, idle_since, cell_deadline;
    /* why it is being ended, and for which call, when the call is not attached any more */
    struct call_ref last;
    bool answered;                  /* the last call's reply was whole */
    uint32_t tries;                 /* refused system calls in this call, or before the first */
    bool unnoted;                   /* the last of them waits for its report to be taken */
    uint32_t untold;                /* refused system calls that it made before it had a call, not reported yet */
    uint32_t end_class, end_reason; /* CLASS_NONE: the cell's report decides */
};

enum call_state { CALL_NONE, CALL_TAKE_ONLY, CALL_WAITING, CALL_RUNNING, CALL_FAILED };

struct call {
    enum call_state state;
    struct msg_start start; /* start.call is valid in every state */
    struct home *home;
    struct worker *worker;
    bool take, taken;
    struct role_line *line; /* where the TAKE came from */
    uint32_t line_generation, seq;
    uint32_t reason; /* CALL_FAILED */
    uint32_t kind;
    uint64_t until; /* CALL_TAKE_ONLY, CALL_FAILED */
};

struct runner {
    struct role *role;
    struct registry registry, previous;
    bool privileged, lowered;
    uint32_t without; /* walls that this machine lacks */
    uint32_t uid_first, uid_count;
    struct cgroups groups; /* where each cell gets one of its own; none: there are none here */
    char cell_path[4096];
    int nothing;                         /* /dev/null */
    unsigned filters;                    /* that a worker must have: ours, A and L */
    uint32_t serial;                     /* of workers */
    uint32_t front, desk, vault, broker; /* generations of their lines */
    struct home homes[HOMES];
    struct worker workers[WORKERS];
    struct call calls[CALLS];
    unsigned call_top;                   /* slots in use are below it */
    bool crowded;                        /* a call waits for a worker of any home to end */
    struct unsent *unsent, *unsent_last; /* what the ledger's line had no room for (tell.c) */
    unsigned unsent_count;
};

/* homes.c */
struct home *home_for(struct runner *runner, const struct entry *entry);
/* Starts the cell if there is none. */
bool home_open(struct runner *runner, struct home *home, struct err *err);
/* Kills the cell; its workers' calls end. reason: for those calls. */
void home_close(struct runner *runner, struct home *home, uint32_t reason);
/* After a registry change: homes whose entry is gone or changed are closed. */
void homes_update(struct runner *runner);
void home_failed(struct runner *runner, struct home *home);
void home_worked(struct home *home);
bool home_order(struct home *home, enum cell_order order, uint32_t worker, uint64_t deadline, const int *fds);

/* groups.c: control groups: opens those of the configuration; bounds a cell; takes its group away again. */
bool groups_open(struct runner *runner, const json_t *config, struct err *err);
bool groups_bound(struct runner *runner, const struct home *home, struct err *err);
void groups_free(struct runner *runner, const struct home *home);

/* cells.c: starts one, hears it. */
bool cell_start(struct runner *runner, struct home *home, struct err *err);
void cell_heard(struct role *role, int fd, uint32_t events, void *context);

/* check.c: from outside: the worker behind this pidfd is a child of that cell, filtered, without privileges, alive. */
bool check_worker(const struct runner *runner, const struct home *home, int pidfd, struct err *err);
/* Filters on this process, from proc. 0: unknown. */
unsigned check_filters(void);

/* deaths.c */
void worker_ended(struct runner *runner, struct worker *worker, const struct cell_report *report);
/* It made a system call that is refused; or its plugin is loaded, and it made some meanwhile. */
void worker_tried(struct runner *runner, struct worker *worker, const struct cell_report *report);
void worker_loaded(struct runner *runner, struct worker *worker, const struct cell_report *report);
/* The ledger has taken every report: those who stand still get their answers. */
void workers_note(struct runner *runner);

/* workers.c */
struct worker *worker_make(struct runner *runner, struct home *home, struct call *call, struct err *err);
struct worker *worker_by_number(struct runner *runner, uint32_t number);
/* Is there a worker for the call, or room in its cell and in our table for one more? If not, room is made. */
bool worker_expected(struct runner *runner, const struct call *call);
/* Gives the call to a spare, a lease or a new worker. */
bool worker_assign(struct runner *runner, struct call *call, struct err *err);
void worker_ready(struct runner *runner, struct worker *worker, int pidfd);
/* Ends it; class and reason: for its call, CLASS_NONE: what the cell reports. */
void worker_end(struct runner *runner, struct worker *worker, uint32_t class, uint32_t reason);
void worker_answered(struct runner *runner, struct worker *worker);
/* Vault and broker let go of what they hold of it. */
void worker_gone(struct runner *runner, struct worker *worker);
/* It has no call any more. */
void worker_let_go(struct runner *runner, struct worker *worker);
void worker_free(struct worker *worker);
/* Sends the front its ends when it has asked and the worker is ready. */
void worker_hand_out(struct runner *runner, struct call *call);
/* Takes a lease that waits off its cell's clock in time; returns when to look again, 0: never. */
uint64_t lease_rests(struct worker *worker, uint64_t now);
void spares_refill(struct runner *runner, struct home *home);
/* Ends spares and idle leases, of one home or (NULL) of all. */
void spares_end(struct runner *runner, struct home *home);
/* May it wait for another call? */
bool lease_goes_on(const struct runner *runner, const struct worker *worker);
/* The lease that has waited longest in a full cell ends, where nobody is leaving it already; NULL: the lease or spare
 * that has waited longest of all. */
void leases_make_room(struct runner *runner, const struct home *home);
uint64_t workers_tick(struct runner *runner, uint64_t now);

/* calls.c */
void on_start(struct role *role, struct role_line *line, const struct role_message *message);
void on_cancel(struct role *role, struct role_line *line, const struct role_message *message);
void on_revoke(struct role *role, struct role_line *line, const struct role_message *message);
void on_workers(struct role *role, struct role_line *line, const struct role_message *message);
void on_take(struct role *role, struct role_line *line, const struct role_message *message);
void on_done(struct role *role, struct role_line *line, const struct role_message *message);
/* The call cannot start: tells ledger and front. */
void call_refuse(struct runner *runner, struct call *call, uint32_t kind, uint32_t reason);
/* The call has no worker any more and is forgotten; a TAKE that waits is answered. */
void call_over(struct runner *runner, struct call *call, uint32_t reason);
/* Starts calls that waited for a free worker. */
void calls_resume(struct runner *runner, struct home *home);
/* Ends those that wait: there will be no worker of this home any more. */
void calls_refuse_waiting(struct runner *runner, struct home *home);
uint64_t calls_tick(struct runner *runner, uint64_t now);

/* tell.c: what the ledger hears. What its line has no room for is kept and sent later, in order. */
void tell_refused(struct runner *runner, const struct call_ref *call, uint32_t class, uint32_t reason);
/* false: it is kept, and not on its way yet. */
bool tell_tried(struct runner *runner, const struct worker *worker, const struct cell_report *report);
void tell_ended(struct runner *runner, const struct worker *worker, const struct cell_report *report);
void tell_incident(struct runner *runner, enum incident_kind kind, const struct home *home, const struct call_ref *call,
                   const struct cell_report *report);
/* After every round of the event loop: sends what was kept. */
void tell_unsent(struct role *role);
void tell_nothing_more(struct runner *runner);
/* Class and reason of a death that nobody ordered for a reason of its own. */
void judge(const struct cell_report *report, uint32_t *class, uint32_t *reason);

/* runner.c: of the lines of a front, or of the desk. */
uint32_t taker_generation(const struct runner *runner, uint32_t taker);

extern const struct role_part runner_part;
