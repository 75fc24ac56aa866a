/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: what the administrator enabled, as one document that the loader wrote, sealed, and every role maps.
 * Read-only here; front, ledger, broker and runner share this reader. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"
#include "sandbox/frames.h"

/* How a plugin's calls are kept apart (administrator, per entry). */
enum isolation { ISOLATE_CALL = 1, ISOLATE_LEASE = 2 };
/* What of its calls is kept beside the log, sealed (administrator, per entry); 0: nothing. */
enum capture { CAPTURE_INPUT = 1, CAPTURE_REPLY = 2, CAPTURE_KINDS = 4 };
enum entry_state { ENTRY_ENABLED = 1, ENTRY_DISABLED, ENTRY_CHANGED, ENTRY_INVALID };
/* The most of one entry that a role takes, and so the most that the loader gives. */
enum { ENTRY_RULES = 128, ENTRY_RANGES = 64 };
enum { REGISTRY_MAX = 32 * 1024 * 1024 }; /* bytes of the whole document, and so of a line */
enum scheme { SCHEME_TLS = 1, SCHEME_STARTTLS, SCHEME_PLAIN };

/* One host that this entry may reach: manifest ∩ grant, settings already filled in. host: canonical lower-case
 * A-label form, "*.domain" for exactly one label in front, or "*" for any name (never for an address in digits);
 * port 0 = any. */
struct egress_rule {
    enum scheme scheme;
    char host[FRAME_HOST];
    uint16_t port;
};

struct entry_limits {
    uint32_t memory_mb, cpu_s, wall_s, output_kb, log_kb, dials, up_kb, down_kb, concurrency;
};
/* What a lease or a spare may live for; spares: workers loaded ahead. */
struct entry_lease {
    uint32_t calls, age_s, idle_s, spares;
};

struct entry_action {
    char name[NAME_BYTES];
    const json_t *input, *output; /* JSON Schemas; output may be NULL */
    bool idempotent;
    unsigned field_count;
    char fields[FRAME_FIELDS][NAME_BYTES]; /* credential fields that this action is given */
};

/* Everything a role needs of one enabled connector. Pointers live as long as the registry. */
struct entry {
    uint32_t index;
    enum entry_state state;
    char name[NAME_BYTES], plugin[NAME_BYTES], version[32];
    const char *problem;        /* what to tell a caller when the state is not ENTRY_ENABLED */
    uint8_t digest[HASH_BYTES]; /* over plugin bytes, manifest, settings and grant */
    uint8_t so_digest[HASH_BYTES], manifest_digest[HASH_BYTES];
    enum isolation isolation;
    uint32_t capture;      /* enum capture, or-ed */
    bool needs_credential; /* some action is given fields that the manifest requires */
    unsigned action_count, rule_count, range_count, workspace_count;
    struct entry_action *actions;
    struct egress_rule *rules;
    const char **ranges; /* special-purpose ranges that the administrator allows, CIDR */
    const char **workspaces;
    const char *ca;         /* PEM of CAFile, NULL = the system's bundle */
    const json_t *settings; /* object */
    const json_t *document; /* the whole entry, for listings */
    struct entry_limits limits;
    struct entry_lease lease;
};

struct registry {
    uint32_t number;
    unsigned count;
    struct registry_shelf *shelf; /* registry.c */
};

/* Maps the sealed memfd (the descriptor stays the caller's) and checks every entry; err says what is wrong. What it is
 * given back may be asked by several threads at once. */
bool registry_read(int fd, struct registry *registry, struct err *err);
void registry_clear(struct registry *registry);
/* Would it take this line for an entry's? The loader asks before it writes one. */
bool registry_takes(const char *line, size_t length, struct err *err);
/* By the name that callers use; NULL when there is none, or no memory for it (which is logged). */
const struct entry *registry_find(const struct registry *registry, const char *name);
/* By index; NULL when out of range, or no memory. */
const struct entry *registry_entry(const struct registry *registry, uint32_t index);
/* The enabled entry with exactly this digest, whatever its index; NULL as above. */
const struct entry *registry_same(const struct registry *registry, const uint8_t digest[HASH_BYTES]);
const struct entry_action *entry_action(const struct entry *entry, const char *name);
/* "none", "input", "reply", "input reply": as drop-in, document and records have it. */
static inline const char *capture_name(uint32_t capture)
{
    static const char *const names[CAPTURE_KINDS] = {"none", "input", "reply", "input reply"};
    return names[capture % CAPTURE_KINDS];
}

/* The document, as the loader emits it: lines of JSON (integers only, keys sorted, compact), each with its '\n'. First
 * {"entries": 2, "registry": 7}, then one line for each entry. Entries that are not enabled have "file", "name",
 * "state", "problem" and, where the drop-in could be read, "workspaces" only:
 * {
 *   "file", "name", "plugin", "version", "summary", "state": "enabled|disabled|changed|invalid", "problem"?,
 *   "digest", "so_digest", "manifest_digest" (64 hex digits each),
 *   "isolation": "call|lease", "lease": {"calls", "age_s", "idle_s", "spares"},
 *   "capture"?: "input|reply|input reply" (absent: nothing is),
 *   "actions": [{"name", "summary", "input": schema, "output"?: schema, "idempotent": bool, "fields": [name…]}],
 *   "fields": [{"name", "secret": bool, "required": bool, "summary"}],
 *   "settings": {…}, "egress": ["tls://host:443", …], "ranges": ["127.0.0.0/8", …], "workspaces": ["default", …],
 *   "ca"?: PEM text, "limits": {"memory_mb", "cpu_s", "wall_s", "output_kb", "log_kb", "dials", "up_kb", "down_kb",
 * "concurrency"}
 * } */

/* SHA-256 of the connector oauth2 that this release was built with: exchanges are run by these bytes and by no others.
 */
extern const uint8_t oauth2_digest[HASH_BYTES];
