/* SPDX-License-Identifier: Apache-2.0 */
/* One-shot: takes folders, confines itself, reads everybody's files, hands over one sealed document, ends. */
#include "loader.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "sandbox/enter.h"

#include "document.h"
#include "entries.h"
#include "files.h"

enum { CONFIG_BYTES = 64 * 1024, CPU_SECONDS = 8, DATA_BYTES = 512 * 1024 * 1024 };

static struct {
    struct loader loader;
    json_t *config;
    int plugins[DROPINS_MAX], registry;
    uint32_t next; /* plugin to hand over */
    struct ctl_registry_is found;
    bool worked;
} self;

/* ── what the parent gives ─────────────────────────────────────────────────────────────────────────── */

static bool read_config(int fd, struct err *err)
{
    static char bytes[CONFIG_BYTES];
    ssize_t got = fd < 0 ? -1 : pread(fd, bytes, sizeof bytes, 0);
    if (got < 0) return err_set(err, ERR_INTERNAL, "the loader was given no configuration");
    if (!json_read(bytes, (size_t)got, sizeof bytes, &self.config, err)) return false;
    self.loader.number = (uint32_t)json_integer_value(json_object_get(self.config, "registry"));
    self.loader.owner = (uint32_t)json_integer_value(json_object_get(self.config, "owner"));
    return true;
}

static void take_folders(struct role *role)
{
    const json_t *paths = json_object_get(self.config, "directories");
    self.loader.plugins_d = role->given[GIVE_PLUGINS_D];
    for (unsigned i = 0; i < LOADER_DIRS && role->plugin_dirs[i] >= 0; i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        self.loader.dirs[i] = role->plugin_dirs[i];
        self.loader.paths[i] = path ? path : "";
        self.loader.dir_count++;
    }
}

static bool open_loader(struct role *role, struct err *err)
{
    if (sodium_init() < 0) return err_set(err, ERR_INTERNAL, "libsodium does not start");
    if (!read_config(role->given[GIVE_CONFIG], err)) return false;
    take_folders(role);
    return self.loader.plugins_d >= 0 || err_set(err, ERR_INTERNAL, "the loader was given no folder plugins.d");
}

/* ── walls ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A manifest that explodes in memory ends the loader, and only it. */
static bool bound_itself(struct err *err)
{
    struct rlimit seconds = {CPU_SECONDS, CPU_SECONDS};
    struct rlimit data = {DATA_BYTES, DATA_BYTES};
    if (setrlimit(RLIMIT_CPU, &seconds) < 0) return err_sys(err, ERR_IO, "the loader's limits cannot be set");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (setrlimit(RLIMIT_DATA, &data) < 0) return err_sys(err, ERR_IO, "the loader's limits cannot be set");
#else
    (void)data;
#endif
    return true;
}

static bool confine_loader(struct role *role, struct err *err)
{
    int folders[LOADER_DIRS + 1] = {self.loader.plugins_d};
    memcpy(folders + 1, self.loader.dirs, sizeof self.loader.dirs);
    return bound_itself(err) && enter_role(WALL_LOADER, folders, (int)self.loader.dir_count + 1, err);
}

/* ── the work ──────────────────────────────────────────────────────────────────────────────────────── */

static bool seal_document(const json_t *document, struct err *err)
{
    BUF_AUTO text = {0};
    buf_init(&text, REGISTRY_MAX);
    const json_t *entries = json_object_get(document, "entries");
    self.found.number = self.loader.number;
    self.found.entries = (uint32_t)json_array_size(entries);
    if (!document_lines(document, &text)) return err_set(err, ERR_TOO_LARGE, "the registry is too large");
    return memory_seal("registry", text.bytes, text.used, &self.registry, err);
}

static void report_failure(struct role *role, struct err *err)
{
    struct ctl_failed failed;
    err_in(err, "loading plugins.d");
    status_set(&failed.status, err);
    role_send(role, &role->control, CTL_FAILED, 0, &failed, sizeof failed, NULL, 0);
}

static void work(struct role *role)
{
    struct err err = {0};
    JSON_AUTO *document = NULL;
    if (entries_load(&self.loader, &document, self.plugins, &err) && seal_document(document, &err)) return;
    report_failure(role, &err);
    self.next = DROPINS_MAX + 1;
}

/* The next thing that was found; false when nothing is left. */
static bool send_next(struct role *role)
{
    while (self.next < DROPINS_MAX && self.plugins[self.next] < 0) self.next++;
    if (self.next < DROPINS_MAX) {
        struct ctl_plugin_is body = {.index = self.next};
        role_send(role, &role->control, CTL_PLUGIN_IS, 0, &body, sizeof body, &self.plugins[self.next], 1);
        close_fd(&self.plugins[self.next++]);
        self.found.plugins++;
        return true;
    }
    if (self.next++ > DROPINS_MAX) return false;
    role_send(role, &role->control, CTL_REGISTRY_IS, 0, &self.found, sizeof self.found, &self.registry, 1);
    return true;
}

/* The first turn works; the later ones hand over what the line takes, one by one, then the loader ends. */
static uint64_t tick_loader(struct role *role)
{
    if (!self.worked) {
        self.worked = true;
        work(role);
    }
    while (role->control.queued == 0 && !role->stopping) role->stopping = !send_next(role);
    return clock_now() + 2 * CLOCK_MS;
}

static void close_loader(struct role *role)
{
    json_decref(self.config);
    self.config = NULL;
}

static const struct role_handler no_handlers[] = {{MSG_NONE, NULL}};

const struct role_part loader_part = {.self = ROLE_LOADER,
                                      .handlers = no_handlers,
                                      .open = open_loader,
                                      .confine = confine_loader,
                                      .tick = tick_loader,
                                      .close = close_loader};
