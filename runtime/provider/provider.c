/* SPDX-License-Identifier: Apache-2.0 */
/* One-shot: takes descriptors, confines itself, asks one provider, writes one answer into a pipe, ends. */
#include "provider.h"

#include <errno.h>
#include <linux/magic.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/table.h"
#include "runtime/role.h"

enum { CONFIG_BYTES = 64 * 1024, CPU_SECONDS = 30, FOLDERS = 4 };
#ifndef RAMFS_MAGIC
#define RAMFS_MAGIC 0x858458f6
#endif

/* Names of caisson.conf are matched against this table; none is ever made into a path. */
static const struct provider *const providers[] = {&provider_passphrase, &provider_systemd, &provider_transit,
                                                   &provider_kms, &provider_module};

static struct {
    struct provider_job job;
    const struct provider *provider;
    json_t *config;
    char secret[PROVIDER_SECRET + 1], ca[PROVIDER_CA + 1];
    bool worked;
} self;

/* ── what is given ─────────────────────────────────────────────────────────────────────────────────────── */

#define TEXT_FIELD(name_, member_)                                                                                     \
    {                                                                                                                  \
        .name = (name_), .type = TABLE_TEXT, TABLE_AT(struct provider_config, member_)                                 \
    }

static const struct table_field fields[] = {
    {.name = "operation", .type = TABLE_TEXT, .required = true, TABLE_AT(struct provider_config, operation)},
    {.name = "Provider", .type = TABLE_TEXT, .required = true, TABLE_AT(struct provider_config, name)},
    TEXT_FIELD("SecretFile", secret_file), /* opened by who started this process */
    {.name = "ArgonMegabytes", .type = TABLE_NUMBER, TABLE_AT(struct provider_config, megabytes), .least = 19, .most = 1024},
    TEXT_FIELD("Url", url),
    TEXT_FIELD("Key", key),
    TEXT_FIELD("Mount", mount),
    TEXT_FIELD("Region", region),
    TEXT_FIELD("Address", address),
    TEXT_FIELD("CAFile", ca_file),
    TEXT_FIELD("Module", module),
    TEXT_FIELD("Token", token),
    TEXT_FIELD("Mechanism", mechanism),
    {.name = "ModuleFolder", .type = TABLE_LIST, TABLE_AT(struct provider_config, folders)},
    {.name = "ModuleEnvironment", .type = TABLE_LIST, TABLE_AT(struct provider_config, environment)},
    {0},
};

static bool read_config(int fd, struct err *err)
{
    static char bytes[CONFIG_BYTES];
    char pointer[TABLE_POINTER];
    ssize_t got = fd < 0 ? -1 : pread(fd, bytes, sizeof bytes, 0);
    if (got < 0) return err_set(err, ERR_INTERNAL, "the key provider's helper was given no configuration");
    if (!json_read(bytes, (size_t)got, sizeof bytes, &self.config, err) ||
        !table_json(fields, self.config, &self.job.config, pointer, err))
        return err_in(err, "[Keys]");
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++)
        if (strcmp(providers[i]->name, self.job.config.name) == 0) self.provider = providers[i];
    return self.provider || err_set(err, ERR_BAD_INPUT, "Provider=%s is none that needs a share", self.job.config.name);
}

static bool read_whole(int fd, char *bytes, size_t most, size_t *length, const char *what, struct err *err)
{
    for (*length = 0; *length <= most;) {
        ssize_t got = read(fd, bytes + *length, most + 1 - *length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "%s cannot be read", what);
        if (got == 0) return bytes[*length] = '\0', true;
        *length += (size_t)got;
    }
    return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", what, most);
}

static const char *memory_kind(int fd)
{
    struct statfs place;
    if (fstatfs(fd, &place) < 0) return "unknown";
    if ((unsigned long)place.f_type == RAMFS_MAGIC) return "ramfs";
    return place.f_type == TMPFS_MAGIC ? "tmpfs" : "disk";
}

static bool read_secret(int fd, struct err *err)
{
    self.job.secret = self.secret;
    self.job.ca = self.ca;
    if (fd < 0)
        return !self.provider->needs_secret ||
               err_set(err, ERR_BAD_INPUT, "Provider=%s needs SecretFile=", self.provider->name);
    log_event(LOG_LEVEL_INFO, "provider-secret", log_text("provider", self.provider->name),
              log_text("on", memory_kind(fd)));
    sodium_mlock(self.secret, sizeof self.secret);
    return read_whole(fd, self.secret, PROVIDER_SECRET, &self.job.secret_length, "SecretFile=", err);
}

static bool wrapping(void)
{
    return strcmp(self.job.config.operation, "wrap") == 0;
}

static bool read_share(int fd, struct err *err)
{
    char text[ROW_TEXT + 1];
    size_t length = 0;
    if (fd < 0) return err_set(err, ERR_STATE, "there is no keys/provider.share: run caisson init --provider first");
    if (!read_whole(fd, text, ROW_TEXT, &length, "keys/provider.share", err)) return false;
    if (wrapping()) {
        uint8_t id[KEY_ID_BYTES];
        if (length != KEY_BYTES) return err_set(err, ERR_INTERNAL, "there is no share to wrap");
        memcpy(self.job.share, text, KEY_BYTES);
        sodium_memzero(text, sizeof text);
        key_id_secret(self.job.share, id);
        hex_text(id, sizeof id, self.job.row.share_id);
        memcpy(self.job.row.provider, self.job.config.name, sizeof self.job.row.provider);
        return true;
    }
    if (!row_parse(text, length, &self.job.row, err)) return false;
    if (strcmp(self.job.row.provider, self.provider->name) == 0) return true;
    return err_set(err, ERR_STATE, "caisson.conf says Provider=%s, but keys/provider.share is of the provider %s: "
                                   "run caisson key rotate provider, or put the file back",
                   self.provider->name, self.job.row.provider);
}

/* A freed block of JSON may have held the share or a token. */
static void free_wiped(void *block)
{
    size_t *start = block ? (size_t *)block - 2 : NULL;
    if (start) sodium_memzero(block, *start);
    free(start);
}

static void *make_counted(size_t size)
{
    size_t *start = malloc(size + 2 * sizeof *start);
    if (!start) return NULL;
    *start = size;
    return start + 2;
}

/* json_read() gives jansson an allocator of its own the first time: that time is before ours, not after it. */
static void wipe_json(void)
{
    json_t *none = NULL;
    struct err ignored;
    if (json_read("0", 1, 1, &none, &ignored)) json_decref(none);
    json_set_alloc_funcs(make_counted, free_wiped);
}

static bool open_provider(struct role *role, struct err *err)
{
    log_role("provider");
    wipe_json();
    if (!key_library(err) || !read_config(role->given[GIVE_CONFIG], err)) return false;
    sodium_mlock(&self.job, sizeof self.job);
    if (!read_secret(role->given[GIVE_SECRET], err) || !read_share(role->given[GIVE_SHARE], err)) return false;
    if (role->given[GIVE_CA] >= 0 &&
        !read_whole(role->given[GIVE_CA], self.ca, PROVIDER_CA, &self.job.ca_length, "CAFile=", err))
        return false;
    int *const done[] = {&role->given[GIVE_SECRET], &role->given[GIVE_SHARE], &role->given[GIVE_CA]};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++) close_fd(done[i]);
    return (!self.provider->prepare || self.provider->prepare(&self.job, err)) ||
           err_in(err, "the key provider %s", self.provider->name);
}

/* ── walls ─────────────────────────────────────────────────────────────────────────────────────────────── */

static bool confine_provider(struct role *role, struct err *err)
{
    struct rlimit seconds = {CPU_SECONDS, CPU_SECONDS};
    int count = 0;
    if (setrlimit(RLIMIT_CPU, &seconds) < 0) return err_sys(err, ERR_IO, "the helper's limits cannot be set");
    bool module = self.provider->walls == WALL_MODULE;
    while (module && count < FOLDERS && role->plugin_dirs[count] >= 0) count++;
    return enter_role(self.provider->walls, module ? role->plugin_dirs : NULL, count, err);
}

/* ── the work ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool unwrap(struct err *err)
{
    uint8_t id[KEY_ID_BYTES];
    char text[PROVIDER_CONTEXT];
    if (!self.provider->unwrap(&self.job, err)) return false;
    key_id_secret(self.job.share, id);
    hex_text(id, sizeof id, text);
    return strcmp(text, self.job.row.share_id) == 0 ||
           err_set(err, ERR_DAMAGED, "what it unwrapped is not the share that was wrapped");
}

static bool put_out(int out, const void *bytes, size_t length, struct err *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(out, (const char *)bytes + done, length - done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return err_sys(err, ERR_IO, "the share cannot be handed over");
        done += (size_t)put;
    }
    return true;
}

static bool put_share(int out, struct err *err)
{
    struct share_frame frame = {.magic = "caisson-share-1"};
    memcpy(frame.share, self.job.share, KEY_BYTES);
    bool good = put_out(out, &frame, sizeof frame, err);
    sodium_memzero(&frame, sizeof frame);
    return good;
}

/* A key that got a new version in its place is noticed by the version, not by its name. No reason not to start: what is
 * stored can be opened. */
static void compare_version(void)
{
    char version[PROVIDER_VERSION] = "";
    struct err err = {0};
    if (!self.provider->version(&self.job, version, &err))
        log_failure("provider-version-unknown", &err);
    else if (version[0] && strcmp(version, self.job.row.version) != 0)
        log_event(LOG_LEVEL_WARNING, "provider-version", log_text("now", version),
                  log_text("share", self.job.row.version), log_text("do", "caisson key rotate provider"));
}

static bool work(int out, struct err *err)
{
    char text[ROW_TEXT] = "";
    size_t length = 0;
    if (wrapping())
        return self.provider->wrap(&self.job, err) && row_text(&self.job.row, text, &length, err) &&
               put_out(out, text, length, err);
    if (!unwrap(err)) return false;
    if (strcmp(self.job.config.operation, "check") == 0) {
        if (!self.provider->version(&self.job, text, err)) return false;
        return put_out(out, text, strlen(text) + 1, err);
    }
    bool good = put_share(out, err);
    sodium_memzero(self.job.share, sizeof self.job.share); /* the look at the version does not need it */
    return good;
}

static void report_failure(struct role *role, struct err *err)
{
    struct ctl_failed failed;
    err_in(err, "the key provider %s", self.provider->name);
    status_set(&failed.status, err);
    role_send(role, &role->control, CTL_FAILED, 0, &failed, sizeof failed, NULL, 0);
}

/* The share first, so that the vault opens; then the look at the version. */
static uint64_t tick_provider(struct role *role)
{
    struct err err = {0};
    if (!self.worked) {
        self.worked = true;
        bool good = work(role->given[GIVE_OUT], &err);
        if (!good) report_failure(role, &err);
        close_fd(&role->given[GIVE_OUT]);
        if (good && strcmp(self.job.config.operation, "unwrap") == 0) compare_version();
    }
    role->stopping = role->control.queued == 0;
    return clock_now() + 2 * CLOCK_MS;
}

static void close_provider(struct role *role)
{
    sodium_memzero(&self.job, sizeof self.job);
    sodium_memzero(self.secret, sizeof self.secret);
    json_decref(self.config);
    self.config = NULL;
}

static const struct role_handler no_handlers[] = {{MSG_NONE, NULL}};

const struct role_part provider_part = {.self = ROLE_PROVIDER,
                                        .handlers = no_handlers,
                                        .open = open_provider,
                                        .confine = confine_provider,
                                        .tick = tick_provider,
                                        .close = close_provider};
