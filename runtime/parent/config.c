/* SPDX-License-Identifier: Apache-2.0 */
/* One table of keys, one taker per kind of value; nothing is done here but to understand the file. */
#include "config_row.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/ini.h"
#include "base/text.h"
#include "words.h"

/* ── plain values ──────────────────────────────────────────────────────────────────────────────────── */

static bool take_number(const struct row *row, const char *value, struct config *config, struct err *err)
{
    uint32_t number;
    if (!word_number(value, 10, &number) || number < row->least || number > row->most)
        return err_set(err, ERR_BAD_INPUT, "%s= must be a number from %u to %u", row->key, row->least, row->most);
    if (row->name) return config_keep_in(config->parts[row->role], row->name, json_integer(number), err);
    memcpy((char *)config + row->at, &number, sizeof number);
    return true;
}

static bool take_mode(const struct row *row, const char *value, struct config *config, struct err *err)
{
    uint32_t mode;
    if (!word_number(value, 8, &mode) || (mode & ~0666u))
        return config_refuse(err, row, "must be an octal mode like 0660");
    memcpy((char *)config + row->at, &mode, sizeof mode);
    return true;
}

bool config_take_path(const struct row *row, const char *value, struct config *config, struct err *err)
{
    return text_copy((char *)config + row->at, CONFIG_PATH, value) || config_refuse(err, row, "is too long");
}

static bool take_text(const struct row *row, const char *value, struct config *config, struct err *err)
{
    if (strlen(value) > row->most) return config_refuse(err, row, "is too long");
    return config_keep_in(config->parts[row->role], row->name, json_string(value), err);
}

static bool take_isolation(const struct row *row, const char *value, struct config *config, struct err *err)
{
    config->lowered = strcmp(value, "lowered") == 0;
    return config->lowered || strcmp(value, "full") == 0 || config_refuse(err, row, "must be full or lowered");
}

static bool take_level(const struct row *row, const char *value, struct config *config, struct err *err)
{
    return log_level_parse(value, &config->log_level) ||
           config_refuse(err, row, "must be error, warning, info or debug");
}

static bool take_directory(const struct row *row, const char *value, struct config *config, struct err *err)
{
    if (config->dir_count == CONFIG_DIRS) return config_refuse(err, row, "is given more than four times");
    char *directory = config->dirs[config->dir_count++];
    return text_copy(directory, CONFIG_PATH, value) || config_refuse(err, row, "is too long");
}

/* ── addresses ─────────────────────────────────────────────────────────────────────────────────────── */

bool config_loopback(const struct sockaddr_storage *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, address, sizeof v4);
    memcpy(&v6, address, sizeof v6);
    if (address->ss_family == AF_INET) return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    return address->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

static bool take_tcp(const struct row *row, const char *value, struct config *config, struct err *err)
{
    if (config->tcp_count == CONFIG_TCP) return config_refuse(err, row, "is given more than four times");
    struct config_tcp *tcp = &config->tcp[config->tcp_count++];
    return (TEXT_COPY(tcp->text, value) && word_endpoint(value, &tcp->address, &tcp->length)) ||
           config_refuse(err, row, "must be ADDRESS:PORT, e.g. 127.0.0.1:8321 or [::1]:8321");
}

/* ── lists for roles ───────────────────────────────────────────────────────────────────────────────── */

static bool take_list(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char text[4096 + 1], *rest = text;
    json_t *list = config_list(config, row);
    if (!TEXT_COPY(text, value)) return config_refuse(err, row, "is too long");
    for (char *word; (word = strsep(&rest, " \t"));) {
        if (!*word) continue;
        if (!row->word(word)) return err_set(err, ERR_BAD_INPUT, "%s=%s: %s", row->key, word, row->shape);
        if (json_array_size(list) >= row->most) return config_refuse(err, row, "has too many values");
        if (json_array_append_new(list, json_string(word)) < 0) return config_no_memory(err);
    }
    return true;
}

/* Host=NAME ADDRESS */
static bool take_host(const struct row *row, const char *value, struct config *config, struct err *err)
{
    size_t name = strcspn(value, " \t"), gap = strspn(value + name, " \t");
    const char *text = value + name + gap;
    json_t *list = config_list(config, row);
    if (!word_host(value, name) || !gap || !word_address(text)) return config_refuse(err, row, "must be NAME ADDRESS");
    if (json_array_size(list) >= row->most) return config_refuse(err, row, "is given too often");
    return json_array_append_new(list, json_pack("[s%, s]", value, name, text)) == 0 || config_no_memory(err);
}

/* ── access ────────────────────────────────────────────────────────────────────────────────────────── */

static bool who_ok(const char *who)
{
    uint32_t number;
    if (strcmp(who, "any") == 0) return true;
    return (strncmp(who, "uid:", 4) == 0 || strncmp(who, "gid:", 4) == 0) && word_number(who + 4, 10, &number);
}

static bool add_who(struct config *config, const char *workspace, const char *role, const char *who)
{
    json_t *access = json_object_get(config->parts[ROLE_LEDGER], "access");
    json_t *roles = config_member(access, workspace, json_object());
    json_t *list = roles ? config_member(roles, role, json_array()) : NULL;
    return list && json_array_append_new(list, json_string(who)) == 0;
}

/* Admin=WORKSPACE WHO…: who is uid:N, gid:N or any; the workspace * is every one. */
static bool take_access(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char text[1024], *rest = text;
    const char *workspace = NULL;
    unsigned given = 0;
    if (!TEXT_COPY(text, value)) return config_refuse(err, row, "is too long");
    for (char *word; (word = strsep(&rest, " \t"));) {
        if (!*word) continue;
        if (!workspace) {
            workspace = word;
            if (strcmp(workspace, "*") != 0 && !name_valid(workspace))
                return config_refuse(err, row, "must begin with a workspace's name, or *");
            continue;
        }
        if (!who_ok(word)) return config_refuse(err, row, "must name people as uid:NUMBER, gid:NUMBER or any");
        if (strcmp(word, "any") == 0 && strcmp(row->name, "admin") == 0)
            return config_refuse(err, row, "cannot be any: everybody would administer");
        if (!add_who(config, workspace, row->name, word)) return config_no_memory(err);
        given++;
    }
    return given || config_refuse(err, row, "must be WORKSPACE WHO, e.g. default uid:1000");
}

/* ── the table ─────────────────────────────────────────────────────────────────────────────────────── */

#define AT(member) .at = offsetof(struct config, member)
#define NUMBER(section_, key_, role_, name_, least_, most_)                                                            \
    {                                                                                                                  \
        section_, key_, take_number, .least = (least_), .most = (most_), .role = (role_), .name = (name_)              \
    }

static const struct row rows[] = {
    {"Daemon", "UidBase", take_number, AT(uid_base), .least = 1000, .most = 4000000000},
    {"Daemon", "UidRange", take_number, AT(uid_range), .least = 1, .most = 100000},
    {"Daemon", "StopSeconds", take_number, AT(stop_s), .least = 1, .most = 600},
    {"Daemon", "MinimumIsolation", take_isolation},
    {"Daemon", "ControlGroup", take_list, .most = 4, .role = ROLE_RUNNER, .name = "control_groups", .many = true,
     .word = word_group, .shape = "write none, or the absolute path of a control group that is the daemon's own"},
    {"Daemon", "LogLevel", take_level},
    {"Listen", "Unix", config_take_path, AT(api_socket)},
    {"Listen", "UnixMode", take_mode, AT(api_mode)},
    {"Listen", "Desk", config_take_path, AT(desk_socket)},
    {"Listen", "DeskMode", take_mode, AT(desk_mode)},
    {"Listen", "DeskGroup", take_number, AT(desk_gid), .least = 0, .most = 4000000000},
    {"Listen", "Tcp", take_tcp, .many = true},
    {"Listen", "TlsCertificate", config_take_path, AT(certificate)},
    {"Listen", "TlsKey", config_take_path, AT(key)},
    {"Listen", "CorsOrigin", take_list, .most = 16, .role = ROLE_FRONT, .name = "cors", .many = true,
     .word = word_origin, .shape = "write a whole origin, like https://console.example.com"},
    {"Access", "Admin", take_access, .name = "admin", .many = true},
    {"Access", "Operator", take_access, .name = "operator", .many = true},
    {"Access", "Invoker", take_access, .name = "invoker", .many = true},
    {"Access", "Viewer", take_access, .name = "viewer", .many = true},
    {"Access", "Auditor", take_access, .name = "auditor", .many = true},
    NUMBER("Limits", "Connections", ROLE_FRONT, "connections", 1, 4096),
    NUMBER("Limits", "ConnectionsPerUid", ROLE_FRONT, "connections_per_uid", 1, 4096),
    NUMBER("Limits", "ConnectionsPerAddress", ROLE_FRONT, "connections_per_ip", 1, 4096),
    NUMBER("Limits", "Calls", ROLE_FRONT, "calls", 1, 1024),
    NUMBER("Limits", "Rate", ROLE_FRONT, "rate", 0, 1000000),
    NUMBER("Limits", "Burst", ROLE_FRONT, "burst", 0, 1000000),
    NUMBER("Limits", "CallRate", ROLE_LEDGER, "per_second", 0, 1000000),
    NUMBER("Limits", "CallBurst", ROLE_LEDGER, "burst", 0, 1000000),
    NUMBER("Limits", "IdleSeconds", ROLE_FRONT, "idle_s", 1, 3600),
    NUMBER("Limits", "RequestSeconds", ROLE_FRONT, "request_s", 1, 3600),
    NUMBER("Limits", "BodiesMegabytes", ROLE_FRONT, "bodies_mb", 33, 16384),
    NUMBER("Limits", "TimeoutMilliseconds", ROLE_FRONT, "timeout_ms", 100, 3600000),
    NUMBER("Limits", "TimeoutMaxMilliseconds", ROLE_FRONT, "timeout_max_ms", 100, 3600000),
    {"Resolver", "Nameservers", take_list, .most = 16, .role = ROLE_BROKER, .name = "nameservers", .many = true,
     .word = word_nameserver, .shape = "write ADDRESS or ADDRESS:PORT"},
    {"Resolver", "Host", take_host, .most = 256, .role = ROLE_BROKER, .name = "hosts", .many = true},
    {"Resolver", "Refuse", take_list, .most = 64, .role = ROLE_BROKER, .name = "refuse", .many = true,
     .word = word_range, .shape = "write ADDRESS or ADDRESS/BITS"},
    NUMBER("Resolver", "ConnectSeconds", ROLE_BROKER, "connect_s", 1, 300),
    NUMBER("Resolver", "IdleSeconds", ROLE_BROKER, "idle_s", 1, 3600),
    NUMBER("Resolver", "RelaysPerCall", ROLE_BROKER, "relays_per_call", 1, 256),
    NUMBER("Resolver", "LookupsPerCall", ROLE_BROKER, "lookups_per_call", 1, 4096),
    NUMBER("Resolver", "RelaysPerConnector", ROLE_BROKER, "relays_per_entry", 1, 1024),
    {"Audit", "Origin", take_text, .most = 120, .role = ROLE_LEDGER, .name = "origin"},
    NUMBER("Audit", "AnswerHours", ROLE_LEDGER, "answer_hours", 1, 8760),
    NUMBER("Audit", "KeepBodies", ROLE_LEDGER, "keep_bodies_days", 0, 36500),
    NUMBER("Audit", "KeepHashes", ROLE_LEDGER, "keep_hashes_days", 0, 36500),
    NUMBER("Audit", "KeyHours", ROLE_LEDGER, "key_hours", 1, 87600),
    NUMBER("Audit", "RollHours", ROLE_LEDGER, "roll_hours", 0, 8760),
    NUMBER("Audit", "ReserveMegabytes", ROLE_LEDGER, "reserve_mb", 1, 1 << 20),
    {"Keys", "Provider", config_take_provider},
    {"Keys", "SecretFile", config_take_key_file, AT(secret_file)},
    {"Keys", "CAFile", config_take_key_file, AT(keys_ca)},
    NUMBER("Keys", "ArgonMegabytes", ROLE_PROVIDER, "ArgonMegabytes", 19, 1024),
    {"Keys", "Url", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Url"},
    {"Keys", "Key", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Key"},
    {"Keys", "Mount", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Mount"},
    {"Keys", "Region", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Region"},
    {"Keys", "Address", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Address"},
    {"Keys", "Module", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Module"},
    {"Keys", "Token", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Token"},
    {"Keys", "Mechanism", take_text, .most = CONFIG_PATH - 1, .role = ROLE_PROVIDER, .name = "Mechanism"},
    {"Keys", "ModuleFolder", config_take_module_folder, .most = CONFIG_DIRS, .role = ROLE_PROVIDER,
     .name = "ModuleFolder", .many = true},
    {"Keys", "ModuleEnvironment", config_take_line, .most = 16, .role = ROLE_PROVIDER, .name = "ModuleEnvironment",
     .many = true},
    {"Push", "File", config_take_push_path, .name = "file", .many = true},
    {"Push", "Syslog", config_take_push_path, .name = "syslog", .many = true},
    {"Push", "Webhook", config_take_webhook, .many = true},
    {"Push", "Witness", config_take_witness, .many = true},
    {"Push", "Every", config_take_every, .least = 60, .most = 86400},
    {"Push", "Required", config_take_required, .many = true},
    {"Plugins", "Directory", take_directory, .many = true},
};
enum { ROWS = sizeof rows / sizeof *rows };

const char *config_key(size_t index, const char **section)
{
    if (index >= ROWS) return NULL;
    if (section) *section = rows[index].section;
    return rows[index].key;
}

static const struct row *find_row(const struct ini_item *item)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].section, item->section) == 0 && strcmp(rows[i].key, item->key) == 0) return &rows[i];
    return NULL;
}

static bool take_item(const struct ini_item *item, bool seen[ROWS], struct config *config, struct err *err)
{
    const struct row *row = find_row(item);
    if (!row) return err_set(err, ERR_BAD_INPUT, "[%s] has no key %s=", item->section, item->key);
    bool again = seen[row - rows];
    seen[row - rows] = true;
    if (again && !row->many) return config_refuse(err, row, "is given twice");
    return row->take(row, item->value, config, err);
}

/* ── the whole ─────────────────────────────────────────────────────────────────────────────────────── */

static bool set_defaults(struct config *config, uint32_t owner, struct err *err)
{
    char who[32];
    *config = (struct config){.uid_base = 60710,
                              .uid_range = 400,
                              .log_level = LOG_LEVEL_INFO,
                              .stop_s = 30,
                              .api_socket = "run/api.sock",
                              .desk_socket = "run/desk.sock",
                              .api_mode = 0666,
                              .desk_mode = 0600,
                              .desk_gid = UINT32_MAX};
    for (int i = 0; i < ROLE_COUNT; i++)
        if (!(config->parts[i] = json_object())) return config_no_memory(err);
    snprintf(who, sizeof who, "uid:%u", owner);
    return (json_object_set_new(config->parts[ROLE_LEDGER], "access", json_object()) == 0 &&
            (owner == 0 || add_who(config, "*", "admin", "uid:0")) && add_who(config, "*", "admin", who)) ||
           config_no_memory(err);
}

/* What only the whole file can tell. */
static bool check_listeners(const struct config *config, struct err *err)
{
    bool tls = config->certificate[0] && config->key[0];
    if (!tls && (config->certificate[0] || config->key[0]))
        return err_set(err, ERR_BAD_INPUT, "TlsCertificate= and TlsKey= must be given together");
    for (unsigned i = 0; i < config->tcp_count; i++)
        if (!config_loopback(&config->tcp[i].address) && !tls)
            return err_set(err, ERR_BAD_INPUT,
                           "Tcp=%s is reachable from outside: give TlsCertificate= and TlsKey=, or a loopback address",
                           config->tcp[i].text);
    return true;
}

/* The desk's limits are the front's: one executable, one table. The runner learns its plugins' users. */
static bool share_parts(struct config *config, struct err *err)
{
    json_t *desk = json_deep_copy(config->parts[ROLE_FRONT]);
    json_decref(config->parts[ROLE_DESK]);
    config->parts[ROLE_DESK] = desk;
    json_t *runner = config->parts[ROLE_RUNNER];
    return (desk && json_object_set_new(runner, "plugin_uid", json_integer(config->uid_base + CONFIG_ROLE_UIDS)) == 0 &&
            json_object_set_new(runner, "plugin_uids", json_integer(config->uid_range)) == 0) ||
           config_no_memory(err);
}

bool config_read(const char *bytes, size_t length, const char *label, uint32_t owner, struct config *config,
                 struct err *err)
{
    INI_AUTO ini = {0};
    bool seen[ROWS] = {false};
    struct config fresh;
    bool good = set_defaults(&fresh, owner, err) && ini_parse(&ini, bytes, length, label, err);
    for (const struct ini_item *item = NULL; good && (item = ini_each(&ini, NULL, NULL, item));)
        good = take_item(item, seen, &fresh, err) || ini_blame(item, err);
    if (good && check_listeners(&fresh, err) && config_check_push(&fresh, err) && share_parts(&fresh, err)) {
        *config = fresh;
        return true;
    }
    config_clear(&fresh);
    return false;
}

static bool same_tcp(const struct config *a, const struct config *b)
{
    if (a->tcp_count != b->tcp_count) return false;
    for (unsigned i = 0; i < a->tcp_count; i++)
        if (strcmp(a->tcp[i].text, b->tcp[i].text) != 0) return false;
    return true;
}

bool config_keep(const struct config *old, struct config *fresh)
{
    bool same = same_tcp(old, fresh) && old->uid_base == fresh->uid_base && old->uid_range == fresh->uid_range &&
                old->lowered == fresh->lowered && old->log_level == fresh->log_level &&
                old->api_mode == fresh->api_mode && old->desk_mode == fresh->desk_mode &&
                old->desk_gid == fresh->desk_gid && strcmp(old->api_socket, fresh->api_socket) == 0 &&
                strcmp(old->desk_socket, fresh->desk_socket) == 0 &&
                strcmp(old->certificate, fresh->certificate) == 0 && strcmp(old->key, fresh->key) == 0 &&
                json_equal(old->parts[ROLE_RUNNER], fresh->parts[ROLE_RUNNER]);
    fresh->uid_base = old->uid_base;
    fresh->uid_range = old->uid_range;
    fresh->lowered = old->lowered;
    fresh->log_level = old->log_level;      /* roles take it when they start */
    json_decref(fresh->parts[ROLE_RUNNER]); /* it names the uids */
    fresh->parts[ROLE_RUNNER] = json_incref(old->parts[ROLE_RUNNER]);
    return !same;
}

void config_clear(struct config *config)
{
    for (int i = 0; i < ROLE_COUNT; i++) json_decref(config->parts[i]);
    memset(config, 0, sizeof *config);
}
