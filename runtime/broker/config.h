/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's settings: its part of caisson.conf as JSON, and resolv.conf. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "base/err.h"
#include "name.h"

enum { CONFIG_HOSTS = 256, CONFIG_REFUSED = 64, SERVERS_TEXT = 1024 };

struct config_host {
    struct name name;
    struct address address;
};

struct config {
    char servers[SERVERS_TEXT]; /* "ADDR:PORT,[ADDR]:PORT", "" = what resolv.conf says */
    unsigned host_count, refused_count;
    struct config_host hosts[CONFIG_HOSTS];
    struct range refused[CONFIG_REFUSED]; /* more addresses of this host, such as its public one behind NAT */
    uint32_t connect_s, idle_s;
    uint32_t relays_per_call, relays_per_entry, lookups_per_call;
};

/* The defaults. */
void config_init(struct config *config);
/* text: one JSON object; unknown keys are refused. */
bool config_read(const char *text, size_t length, struct config *config, struct err *err);
/* The nameserver lines of a resolv.conf, as above; lines that cannot be used are passed over. */
void config_resolv(const char *text, size_t length, char servers[SERVERS_TEXT]);
/* Everything in a descriptor, from its start, at most max bytes; the caller frees *text. */
bool config_slurp(int fd, size_t max, char **text, size_t *length, struct err *err);
