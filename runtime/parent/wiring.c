/* SPDX-License-Identifier: Apache-2.0 */
/* Who is joined with whom, and what each role is given: two tables. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/wire.h"
#include "runtime/role.h"

#include "parent.h"

/* ── lines ─────────────────────────────────────────────────────────────────────────────────────────── */

/* No other pair can talk. */
static const struct {
    enum role_id a, b;
    unsigned count;
} lines[] = {
    {ROLE_FRONT, ROLE_LEDGER, 32}, {ROLE_FRONT, ROLE_RUNNER, 32}, {ROLE_DESK, ROLE_LEDGER, 5},
    {ROLE_DESK, ROLE_RUNNER, 1},   {ROLE_LEDGER, ROLE_VAULT, 1},  {ROLE_LEDGER, ROLE_BROKER, 1},
    {ROLE_LEDGER, ROLE_RUNNER, 1}, {ROLE_RUNNER, ROLE_VAULT, 1},  {ROLE_RUNNER, ROLE_BROKER, 1},
};

static bool alive(const struct child *child)
{
    return child->state == CHILD_STARTING || child->state == CHILD_READY;
}

/* One line, both ends new. The peer hears of it first: what the child sends at once must not meet the old line. */
static bool make_line(struct parent *parent, struct child *child, struct child *peer, unsigned index, struct err *err)
{
    int ends[2];
    if (!wire_pair(ends, err)) return false;
    FD_AUTO mine = ends[0];
    FD_AUTO theirs = ends[1];
    uint32_t generation = ++parent->generation;
    struct ctl_line to_peer = {child->role, index, generation}, to_child = {peer->role, index, generation};
    control_send(parent, peer, CTL_LINE, 0, &to_peer, sizeof to_peer, theirs);
    return control_send(parent, child, CTL_LINE, 0, &to_child, sizeof to_child, mine) ||
           err_set(err, ERR_UNAVAILABLE, "the %s does not take its lines", role_name(child->role));
}

bool wiring_lines(struct parent *parent, struct child *child, struct err *err)
{
    for (size_t row = 0; row < sizeof lines / sizeof *lines; row++) {
        enum role_id other = lines[row].a == child->role   ? lines[row].b
                             : lines[row].b == child->role ? lines[row].a
                                                           : ROLE_NONE;
        struct child *peer = parent_child(parent, other);
        if (other == ROLE_NONE || !alive(peer)) continue;
        for (unsigned i = 0; i < lines[row].count; i++)
            if (!make_line(parent, child, peer, i, err)) return false;
    }
    return true;
}

/* ── gifts ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool memory_of(const char *bytes, size_t length, int *fd, struct err *err)
{
    FD_AUTO memory = memfd_create("caisson", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0 || write(memory, bytes, length) != (ssize_t)length || lseek(memory, 0, SEEK_SET) < 0 ||
        fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return err_sys(err, ERR_IO, "there is no memory to hand something over");
    *fd = take_fd(&memory);
    return true;
}

bool wiring_give_json(struct parent *parent, struct child *child, enum give_kind kind, const json_t *object,
                      struct err *err)
{
    FD_AUTO memory = -1;
    BUF_AUTO text = {0};
    buf_init(&text, CONFIG_BYTES * 4);
    if (!object || !json_compact(object, &text)) return err_set(err, ERR_BUSY, "there is no memory");
    return memory_of(text.bytes, text.used, &memory, err) && control_give(parent, child, kind, 0, memory);
}

/* Which sockets callers come in by: the ledger believes no other connection about who is behind it. */
static json_t *with_doors(const struct listeners *listeners, const json_t *config)
{
    char front[ROLE_SOCKET_NAME], desk[ROLE_SOCKET_NAME];
    JSON_AUTO *whole = json_deep_copy(config);
    if (!role_socket_name(listeners->api, front) || !role_socket_name(listeners->desk, desk)) return NULL;
    json_t *doors = json_pack("{s:s, s:s}", role_name(ROLE_FRONT), front, role_name(ROLE_DESK), desk);
    return json_object_set_new(whole, "doors", doors) == 0 ? take(&whole) : NULL;
}

/* The control group that systemd gave to this service, where the file names none. */
static json_t *with_group(const struct parent *parent, const json_t *config)
{
    JSON_AUTO *whole = json_deep_copy(config);
    if (!parent->control_group[0] || json_object_get(config, "control_groups")) return take(&whole);
    json_t *path = json_string(parent->control_group);
    return json_object_set_new(whole, "control_group_found", path) == 0 ? take(&whole) : NULL;
}

static bool give_config(struct parent *parent, struct child *child, struct err *err)
{
    const json_t *config = parent->config.parts[child->role];
    JSON_AUTO *whole = child->role == ROLE_LEDGER   ? with_doors(&parent->listeners, config)
                       : child->role == ROLE_RUNNER ? with_group(parent, config)
                                                    : json_incref((json_t *)config);
    return wiring_give_json(parent, child, GIVE_CONFIG, whole, err);
}

bool wiring_give_config(struct parent *parent, struct child *child)
{
    struct err err = {0};
    return give_config(parent, child, &err);
}

/* The loader's part is made of what the parent found, not of the file. */
static bool give_loader_config(struct parent *parent, struct child *child, struct err *err)
{
    const struct config *config = &parent->config;
    JSON_AUTO *paths = json_array();
    for (unsigned i = 0; i < config->dir_count; i++) json_array_append_new(paths, json_string(config->dirs[i]));
    JSON_AUTO *object = json_pack("{s:I, s:I, s:O}", "registry", (json_int_t)parent->reload.number, "owner",
                                  (json_int_t)geteuid(), "directories", paths);
    return wiring_give_json(parent, child, GIVE_CONFIG, object, err);
}

static bool give_registry(struct parent *parent, struct child *child, struct err *err)
{
    child->registry = parent->number;
    return control_give(parent, child, GIVE_REGISTRY, 0, parent->registry);
}

static bool give_plugins(struct parent *parent, struct child *child, struct err *err)
{
    for (uint32_t i = 0; i < PLUGINS_MOST; i++)
        if (!control_give(parent, child, GIVE_PLUGIN, i, parent->plugins[i])) return false;
    return true;
}

static bool give_data(struct parent *parent, struct child *child, struct err *err)
{
    return control_give(parent, child, GIVE_DATA, 0, parent->home.data);
}

static bool give_key(struct parent *parent, struct child *child, struct err *err)
{
    FD_AUTO key = -1;
    return home_key(&parent->home, &key, err) && control_give(parent, child, GIVE_KEY, 0, key);
}

/* One that cannot be used stops nothing by itself: the ledger says whether it is needed. */
static bool give_key_next(struct parent *parent, struct child *child, struct err *err)
{
    struct err why = {0};
    FD_AUTO key = -1;
    if (!home_key_next(&parent->home, &key, &why)) log_failure("next-master-key", &why);
    return control_give(parent, child, GIVE_KEY_NEXT, 0, key);
}

bool wiring_give_keys(struct parent *parent, struct err *err)
{
    struct child *vault = parent_child(parent, ROLE_VAULT);
    if (vault->state != CHILD_STARTING && vault->state != CHILD_READY)
        return err_set(err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    err_set(err, ERR_UNAVAILABLE, "the vault does not take what it is given");
    return give_key(parent, vault, err) && give_key_next(parent, vault, err);
}

static bool give_witness(struct parent *parent, struct child *child, struct err *err)
{
    FD_AUTO witness = -1;
    return home_witness(&parent->home, &witness, err) && control_give(parent, child, GIVE_WITNESS, 0, witness);
}

static bool give_sockets(struct parent *parent, struct child *child, struct err *err)
{
    const struct listeners *l = &parent->listeners;
    if (child->role == ROLE_DESK) return control_give(parent, child, GIVE_UNIX, 0, l->desk);
    for (uint32_t i = 0; i < CONFIG_TCP; i++)
        if (!control_give(parent, child, GIVE_TCP, i, l->tcp[i])) return false;
    if (l->certificate >= 0) lseek(l->certificate, 0, SEEK_SET);
    if (l->key >= 0) lseek(l->key, 0, SEEK_SET);
    return control_give(parent, child, GIVE_UNIX, 0, l->api) &&
           control_give(parent, child, GIVE_TLS_CERT, 0, l->certificate) &&
           control_give(parent, child, GIVE_TLS_KEY, 0, l->key);
}

static bool give_lock(struct parent *parent, struct child *child, struct err *err)
{
    return control_give(parent, child, GIVE_LOCK, 0, parent->home.lock);
}

static bool give_resolv(struct parent *parent, struct child *child, struct err *err)
{
    return watch_give_resolv(parent, child);
}

static bool give_bundle(struct parent *parent, struct child *child, struct err *err)
{
    return watch_give_bundle(parent, child);
}

static bool give_helpers(struct parent *parent, struct child *child, struct err *err)
{
    char path[LAYOUT_PATH];
    layout_helpers(&parent->layout, path);
    FD_AUTO file = open(path, O_RDONLY | O_CLOEXEC);
    return control_give(parent, child, GIVE_HELPERS, 0, file);
}

static bool give_folders(struct parent *parent, struct child *child, struct err *err)
{
    const struct config *config = &parent->config;
    for (unsigned i = 0; i < config->dir_count; i++) {
        FD_AUTO folder = open(config->dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return err_sys(err, ERR_IO, "the plugin folder %s cannot be opened", config->dirs[i]);
        if (!control_give(parent, child, GIVE_PLUGIN_DIR, i, folder)) return false;
    }
    return control_give(parent, child, GIVE_PLUGINS_D, 0, parent->home.plugins_d);
}

/* What must be out of this role's reach: it tries all of them from inside its walls before it serves. */
static bool give_probe(struct parent *parent, struct child *child, struct err *err)
{
    static const char *const forbidden[] = {
        "keys/master.key", "keys/master.key.next", "keys/provider.share", "run/desk.sock", "plugins.d",
        "caisson.conf",    "data/audit.db",        "data/state.db",       "data/vault.db"};
    size_t count = sizeof forbidden / sizeof *forbidden - (child->role == ROLE_LEDGER ? 3 : 0);
    JSON_AUTO *paths = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(paths, json_sprintf("%s/%s", parent->home.path, forbidden[i]));
    JSON_AUTO *object = json_pack("{s:O, s:I}", "paths", paths, "vault",
                                  (json_int_t)parent_child(parent, ROLE_VAULT)->pid);
    return wiring_give_json(parent, child, GIVE_PROBE, object, err);
}

static const struct {
    uint32_t roles;
    bool (*give)(struct parent *, struct child *, struct err *);
} gifts[] = {
    {MSG_BIT(ROLE_FRONT) | MSG_BIT(ROLE_DESK) | MSG_BIT(ROLE_LEDGER) | MSG_BIT(ROLE_BROKER) | MSG_BIT(ROLE_RUNNER),
     give_config},
    {MSG_BIT(ROLE_LOADER), give_loader_config},
    {MSG_BIT(ROLE_FRONT) | MSG_BIT(ROLE_DESK) | MSG_BIT(ROLE_LEDGER) | MSG_BIT(ROLE_BROKER) | MSG_BIT(ROLE_RUNNER),
     give_registry},
    {MSG_BIT(ROLE_RUNNER), give_plugins},
    {MSG_BIT(ROLE_LEDGER), give_data},
    {MSG_BIT(ROLE_VAULT), give_key},
    {MSG_BIT(ROLE_VAULT), give_key_next},
    {MSG_BIT(ROLE_VAULT), provider_give_vault},
    {MSG_BIT(ROLE_PROVIDER), provider_give_helper},
    {MSG_BIT(ROLE_VAULT) | MSG_BIT(ROLE_LEDGER), give_witness},
    {MSG_BIT(ROLE_FRONT) | MSG_BIT(ROLE_DESK), give_sockets},
    {MSG_BIT(ROLE_BROKER), give_resolv},
    {MSG_BIT(ROLE_RUNNER), give_bundle},
    {MSG_BIT(ROLE_RUNNER), give_helpers},
    {MSG_BIT(ROLE_LOADER), give_folders},
    {MSG_BIT(ROLE_FRONT) | MSG_BIT(ROLE_DESK) | MSG_BIT(ROLE_LEDGER) | MSG_BIT(ROLE_BROKER), give_probe},
    {~0u, give_lock},
};

bool wiring_give(struct parent *parent, struct child *child, struct err *err)
{
    for (size_t i = 0; i < sizeof gifts / sizeof *gifts; i++) {
        if (!(gifts[i].roles & MSG_BIT(child->role))) continue;
        err_set(err, ERR_UNAVAILABLE, "the %s does not take what it is given", role_name(child->role));
        if (!gifts[i].give(parent, child, err)) return false;
    }
    return true;
}
