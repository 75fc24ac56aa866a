/* SPDX-License-Identifier: Apache-2.0 */
/* caisson.conf, read and checked: what the parent acts on itself, and one JSON object for each role. The grammar is
 * man/caisson.conf.5.scd. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "runtime/messages.h"

enum {
    CONFIG_PATH = 1024,
    CONFIG_TCP = 4,
    CONFIG_DIRS = 4,
    CONFIG_BYTES = 256 * 1024,
    CONFIG_ROLE_UIDS = 10,
    CONFIG_PUSH = 16
};

struct config_tcp {
    char text[64]; /* as written */
    struct sockaddr_storage address;
    socklen_t length;
};

struct config {
    /* [Daemon] */
    uint32_t uid_base, uid_range; /* roles: uid_base + role; plugins: the uid_range uids after uid_base + 10 */
    bool lowered;                 /* MinimumIsolation=lowered */
    enum log_level log_level;
    uint32_t stop_s; /* how long running calls may take when the daemon stops */
    /* [Listen]; paths are as written: relative ones lie below the home folder */
    char api_socket[CONFIG_PATH], desk_socket[CONFIG_PATH], certificate[CONFIG_PATH], key[CONFIG_PATH];
    uint32_t api_mode, desk_mode, desk_gid; /* desk_gid UINT32_MAX: the daemon's own */
    unsigned tcp_count;
    struct config_tcp tcp[CONFIG_TCP];
    /* [Keys]; "" where nothing is said. What only the provider's helper reads stands in its part. */
    char secret_file[CONFIG_PATH], keys_ca[CONFIG_PATH];
    unsigned module_dir_count;
    char module_dirs[CONFIG_DIRS][CONFIG_PATH];
    /* [Push]: the files, and syslog; what is pushed by calls stands in the ledger's part alone. */
    unsigned push_count;
    struct config_push {
        char name[NAME_BYTES], path[CONFIG_PATH];
        bool syslog;
    } push[CONFIG_PUSH];
    /* [Plugins] */
    unsigned dir_count;
    char dirs[CONFIG_DIRS][CONFIG_PATH];
    /* What the roles are given, by role; NULL: an empty object. */
    json_t *parts[ROLE_COUNT];
};

/* bytes: the file; none = the defaults. label: how errors name it. owner: the uid that the daemon runs as. */
bool config_read(const char *bytes, size_t length, const char *label, uint32_t owner, struct config *config,
                 struct err *err);
/* The provider of [Keys], NULL where the whole key stands in its file. */
const char *config_provider(const struct config *config);
/* Puts what cannot change while the daemon runs from one that is in force into a fresh one; true: it had changed. */
bool config_keep(const struct config *old, struct config *fresh);
/* Can only this machine reach it? */
bool config_loopback(const struct sockaddr_storage *address);
/* The key in that row of the table, NULL past the last; for comparing it with the manual page. */
const char *config_key(size_t index, const char **section);
void config_clear(struct config *config);
