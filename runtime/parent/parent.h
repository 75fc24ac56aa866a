/* SPDX-License-Identifier: Apache-2.0 */
/* All that the parent knows: what it was told, what it holds open, and how each of its children is. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/messages.h"
#include "sandbox/cgroup.h"

#include "config.h"
#include "home.h"
#include "listen.h"
#include "spawn.h"

enum { PLUGINS_MOST = 512, RELOADS_ASKED = 16, PUSH_HELPERS = CONFIG_PUSH /* one for each place */ };

/* OFF → STARTING (lines and descriptors given, START sent) → READY → ENDING (asked to stop) → OFF. */
enum child_state { CHILD_OFF, CHILD_STARTING, CHILD_READY, CHILD_ENDING };

struct child {
    enum role_id role;
    enum child_state state;
    pid_t pid;
    int pidfd, control;   /* -1 when OFF */
    uint64_t since;       /* when it was started */
    uint64_t due;         /* STARTING, ENDING: killed then; OFF: not started before */
    unsigned failures;    /* in a row, before READY */
    unsigned deaths;      /* in a row, soon after READY */
    uint64_t refused;     /* frames since it was started that it may not send */
    uint32_t registry;    /* the number it holds */
    bool told_frozen;     /* as it was told last */
    char last_words[252]; /* of CTL_FAILED */
};

/* One run of the loader, and after it the round that brings every role the new registry. */
struct reload {
    bool running, again;
    struct asked {
        uint32_t seqs[RELOADS_ASKED];
        unsigned count;
    } asked, later; /* the ledger waits for CTL_RELOADED under these; later: of the run after this one */
    int registry, plugins[PLUGINS_MOST]; /* what the loader has handed over so far */
    uint32_t number, entries;
    unsigned step; /* in the order of the round; 0 while the loader runs */
    uint64_t due;
};

/* What a file looked like when it was handed out last. */
struct seen {
    uint64_t inode, size, changed;
};

/* A process that writes one checkpoint to a file or to syslog. */
struct push_helper {
    pid_t pid; /* 0: none */
    int pidfd, answer;
    uint32_t seq; /* of the ledger's question */
    uint64_t due;
    bool given_up; /* it was too late: killed, and the ledger told */
    char sink[NAME_BYTES];
};

struct parent {
    const char *config_file; /* NULL: caisson.conf in the home folder */
    struct config config;
    bool configured;
    struct home home;
    struct layout layout;
    struct listeners listeners;
    struct child children[ROLE_COUNT];
    struct ctl_start start;
    uint32_t generation;
    int share_out;                       /* write end of the pipe to the vault, until the provider has it; -1 */
    int registry, plugins[PLUGINS_MOST]; /* in force */
    uint32_t number;
    struct reload reload;
    struct seen resolv, bundle;
    struct push_helper pushes[PUSH_HELPERS];
    char control_group[CGROUP_PATH]; /* that systemd gave to this service; empty: none */
    bool frozen, frozen_now;
    int epoll, signals, watch;
    bool announced;       /* "ready" was said */
    bool stopping, hurry; /* hurry: asked twice */
    unsigned stop_step;
    bool failed; /* the daemon ends, and says err */
    struct err err;
};

struct child *parent_child(struct parent *parent, enum role_id role);
/* Reads caisson.conf; from the second time on, what cannot change while the daemon runs stays as it is. */
bool parent_configure(struct parent *parent, struct err *err);
/* The daemon ends because of this. Always returns false. */
bool parent_fail(struct parent *parent, const struct err *err);

/* ── control.c: the control lines ──────────────────────────────────────────────────────────────────── */

/* Sends one frame, waiting at most two seconds for room; a child that takes no more is killed (it is stuck). */
bool control_send(struct parent *parent, struct child *child, unsigned type, uint32_t seq, const void *body,
                  size_t length, int fd);
bool control_give(struct parent *parent, struct child *child, enum give_kind kind, uint32_t index, int fd);
/* Reads what has come from that child. */
void control_read(struct parent *parent, struct child *child);

/* ── roles.c: starting, ending, starting again ─────────────────────────────────────────────────────── */

/* Starts the next role that should run and does not; called whenever something has changed. */
void roles_advance(struct parent *parent);
/* The process behind the pidfd has ended. */
void roles_ended(struct parent *parent, struct child *child);
void roles_ready(struct parent *parent, struct child *child);
/* Kills what is late. Returns when it wants to be called again, 0 = never. */
uint64_t roles_tick(struct parent *parent);
void roles_kill(struct child *child);
bool roles_all_ready(const struct parent *parent);
bool roles_all_off(const struct parent *parent);
/* The longest that stopping takes, in seconds. */
unsigned roles_stop_s(const struct parent *parent);
/* Spawns a child with its control line, and watches both. */
bool roles_spawn(struct parent *parent, enum role_id role, struct err *err);

/* ── wiring.c: lines and descriptors ───────────────────────────────────────────────────────────────── */

/* Makes all of this child's lines to living peers anew, both ends. */
bool wiring_lines(struct parent *parent, struct child *child, struct err *err);
/* Hands an object over as JSON text in sealed memory. */
bool wiring_give_json(struct parent *parent, struct child *child, enum give_kind kind, const json_t *object,
                      struct err *err);
/* Gives that role its part of the configuration once more. */
bool wiring_give_config(struct parent *parent, struct child *child);
/* Gives the vault the key files as they are now. */
bool wiring_give_keys(struct parent *parent, struct err *err);
/* Gives a starting child everything its role needs. */
bool wiring_give(struct parent *parent, struct child *child, struct err *err);

/* ── provider.c: the half of the master key that is not in its file ────────────────────────────────────── */

/* Is the helper of the vault before gone? It is ended where it is not, and the vault is started after it. */
bool provider_gone(struct parent *parent);
/* The vault's end of a new pipe, and a helper that has the other. */
bool provider_give_vault(struct parent *parent, struct child *child, struct err *err);
bool provider_give_helper(struct parent *parent, struct child *child, struct err *err);
/* A helper that dies without a word, as in a module of a third party, has failed too. */
void provider_ended(struct child *helper, const siginfo_t *how);
/* What the helper said of its failure; NULL: it did not fail. */
const char *provider_words(struct parent *parent);

/* ── push.c: checkpoints to files and syslog ─────────────────────────────────────────────────────────── */

/* Answers the ledger's question, in its time. */
void push_ask(struct parent *parent, const struct ctl_push *push, uint32_t seq);
void push_ended(struct parent *parent, struct push_helper *helper);
uint64_t push_tick(struct parent *parent);

/* ── reload.c: the loader and the round after it ───────────────────────────────────────────────────── */

/* seq: of the ledger's CTL_RELOAD, NULL when nobody waits for an answer. */
void reload_begin(struct parent *parent, const uint32_t *seq);
/* The loader's messages; each takes the descriptor. */
void reload_plugin(struct parent *parent, uint32_t index, int *fd);
void reload_registry(struct parent *parent, const struct ctl_registry_is *body, int *fd);
void reload_loader_gone(struct parent *parent, struct child *child);
void reload_done(struct parent *parent, struct child *child, uint32_t number);
/* The round goes on without a role that died or is late. */
void reload_step(struct parent *parent);
/* Kills a loader that takes too long, and goes on with a round that waited too long. */
void reload_tick(struct parent *parent);

/* ── watch.c: freeze, resolv.conf, the CA bundle ───────────────────────────────────────────────────── */

bool watch_open(struct parent *parent, struct err *err);
void watch_look(struct parent *parent);
/* Tells that role how things stand with the freeze. */
void watch_tell_freeze(struct parent *parent, struct child *child);
/* Something moved in the home folder. */
void watch_event(struct parent *parent);
bool watch_give_resolv(struct parent *parent, struct child *child);
/* The system's CA bundle, -1 when none is found. */
int watch_open_bundle(void);
bool watch_give_bundle(struct parent *parent, struct child *child);
