/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses: the hosts of the configuration, then DNS by c-ares, whose sockets are the role's watches.
 * No thread, no NSS, no cache: what was checked is what is connected to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "base/err.h"
#include "config.h"
#include "runtime/role.h"

enum { LOOKUP_ADDRESSES = 16 };
enum lookup_state { LOOKUP_RUNS, LOOKUP_FOUND, LOOKUP_FAILED };

/* One question. Its asker reads it when done() runs, and ends it with resolver_drop() at any time. */
struct lookup {
    struct lookup *next;
    enum lookup_state state;
    bool dropped; /* nobody waits for it any more */
    unsigned count;
    struct address addresses[LOOKUP_ADDRESSES];
    const char *problem;
    void (*done)(void *context);
    void *context;
};

struct resolver {
    struct role *role;
    const struct config *config;
    void *channel; /* ares_channel */
    char servers[SERVERS_TEXT];
    unsigned running;
    struct question *again;  /* taken back from servers that are not asked any more */
    struct lookup *finished; /* answers to hand out by resolver_turn() */
};

/* Before confinement: c-ares takes its random seed from a file. */
bool resolver_open(struct resolver *resolver, struct role *role, const struct config *config, struct err *err);
void resolver_close(struct resolver *resolver);
/* The nameservers to ask, "ADDR:PORT,…"; questions that run are asked again. */
void resolver_servers(struct resolver *resolver, const char *servers);
/* Asks. done() never runs inside this call. NULL: no memory. */
struct lookup *resolver_ask(struct resolver *resolver, const struct name *name, void (*done)(void *), void *context);
void resolver_drop(struct lookup *lookup);
/* After every round of the event loop: hands out the answers. */
void resolver_turn(struct resolver *resolver);
/* Timeouts; returns when it wants to be called again, 0 = never. */
uint64_t resolver_tick(struct resolver *resolver);
