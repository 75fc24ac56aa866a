/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration, the first start, and the keys that the vault makes for each workspace. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/origin.h"
#include "ledger.h"
#include "push.h"

enum { CONFIG_MAX = 4 * 1024 * 1024 };
#define HOUR (3600 * CLOCK_S)

/* ── configuration ─────────────────────────────────────────────────────────────────────────────────── */

static bool read_config(int fd, json_t **config, struct err *err)
{
    struct stat status;
    BUF_AUTO text = {.max = CONFIG_MAX};
    if (fd < 0) return (*config = json_object()) != NULL;
    if (fstat(fd, &status) < 0 || status.st_size > CONFIG_MAX || !buf_reserve(&text, (size_t)status.st_size))
        return err_sys(err, ERR_IO, "the configuration cannot be read");
    ssize_t got = pread(fd, text.bytes, (size_t)status.st_size, 0);
    if (got < 0) return err_sys(err, ERR_IO, "the configuration cannot be read");
    return json_read(text.bytes, (size_t)got, CONFIG_MAX, config, err);
}

static uint64_t number_of(const json_t *config, const char *key, uint64_t usual, uint64_t most)
{
    const json_t *value = json_object_get(config, key);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0) return usual;
    return (uint64_t)number > most ? most : (uint64_t)number;
}

static bool take_origin(struct ledger *ledger, const json_t *config, struct err *err)
{
    const char *origin = json_string_value(json_object_get(config, "origin"));
    if (!origin || !*origin) return true;
    if (!origin_valid(origin, strlen(origin) + 1))
        return err_set(err, ERR_BAD_INPUT,
                       "[Audit] Origin= must be 1 to %d printable characters without space, +, \" and \\",
                       NOTE_ORIGIN - 1);
    snprintf(ledger->origin, sizeof ledger->origin, "%s", origin);
    return true;
}

static void take_door(const json_t *config, enum role_id owner, char door[ROLE_SOCKET_NAME])
{
    const char *name = json_string_value(json_object_get(json_object_get(config, "doors"), role_name(owner)));
    snprintf(door, ROLE_SOCKET_NAME, "%s", name ? name : "");
}

static void take_limits(const json_t *config, struct ledger_limits *limits)
{
    limits->running = (uint32_t)number_of(config, "running", CALLS_BUCKETS / 2, CALLS_BUCKETS / 2);
    limits->per_second = (uint32_t)number_of(config, "per_second", 0, 1000000);
    limits->burst = (uint32_t)number_of(config, "burst", 0, 1000000);
    limits->key_life = number_of(config, "key_hours", 30 * 24, 87600) * HOUR;
    limits->answer_life = number_of(config, "answer_hours", 24, 8760) * HOUR;
    limits->roll_period = number_of(config, "roll_hours", 24, 8760) * HOUR;
    limits->keep_bodies = number_of(config, "keep_bodies_days", 400, 36500) * 24 * HOUR;
    limits->keep_hashes = number_of(config, "keep_hashes_days", 3650, 36500) * 24 * HOUR;
    limits->reserve_bytes = number_of(config, "reserve_mb", 16, 1 << 20) << 20;
}

/* At the start and at every reload. The log keeps its name while the ledger runs. */
bool setup_config(struct ledger *ledger, struct err *err)
{
    JSON_AUTO *config = NULL;
    struct access fresh;
    if (!read_config(ledger->role->given[GIVE_CONFIG], &config, err) ||
        (!ledger->opened && !take_origin(ledger, config, err)) ||
        !access_read(json_object_get(config, "access"), &fresh, err))
        return false;
    if (!push_config(ledger, json_object_get(config, "push"), err)) {
        access_clear(&fresh);
        return false;
    }
    access_clear(&ledger->access);
    ledger->access = fresh;
    take_limits(config, &ledger->limits);
    take_door(config, ROLE_FRONT, ledger->principals.front_door);
    take_door(config, ROLE_DESK, ledger->principals.desk_door);
    return true;
}

bool setup_registry(struct ledger *ledger, struct err *err)
{
    struct registry fresh = {0};
    int fd = ledger->role->given[GIVE_REGISTRY];
    if (fd < 0) return true;
    if (!registry_read(fd, &fresh, err)) return false;
    registry_clear(&ledger->registry);
    ledger->registry = fresh;
    ledger->role->registry_number = fresh.number;
    return true;
}

/* ── the first start ───────────────────────────────────────────────────────────────────────────────── */

static bool begin_log(struct ledger *ledger, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    record_init(&record);
    record_text(&record, "act", "log.create");
    record_text(&record, "target", ledger->origin);
    struct journal_about about = {.kind = RECORD_ADMIN};
    if (journal_begin(&ledger->journal, err) && journal_add(&ledger->journal, &about, &record, &index, err) &&
        store_meta_set(ledger->store, STORE_AUDIT, "origin", ledger->origin, err) &&
        store_meta_set(ledger->store, STORE_AUDIT, "min_index", "0", err) && journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    return false;
}

/* The log's name is fixed when the log begins; another one in caisson.conf later would be another log. */
static bool settle_origin(struct ledger *ledger, struct err *err)
{
    BUF_AUTO known = {.max = NOTE_ORIGIN};
    uint8_t id[8];
    char hex[2 * sizeof id + 1];
    if (!store_meta(ledger->store, STORE_AUDIT, "origin", &known, err)) return false;
    if (known.used && ledger->origin[0] && !origin_continues(ledger->origin, known.bytes))
        return err_set(err, ERR_STATE, "[Audit] Origin= is %s, but this log began as %s: a log keeps its name",
                       ledger->origin, known.bytes);
    if (known.used) {
        snprintf(ledger->origin, sizeof ledger->origin, "%s", known.bytes);
        return true;
    }
    randombytes_buf(id, sizeof id);
    hex_text(id, sizeof id, hex);
    if (!ledger->origin[0]) snprintf(ledger->origin, sizeof ledger->origin, "caisson.local/%s/1", hex);
    return begin_log(ledger, err);
}

static bool make_workspace(struct ledger *ledger, const char *name, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    struct store_workspace workspace = {.created = clock_wall()};
    id_new(workspace.id);
    randombytes_buf(workspace.lookup, sizeof workspace.lookup);
    snprintf(workspace.name, sizeof workspace.name, "%s", name);
    record_init(&record);
    record_text(&record, "act", "workspace.create");
    record_text(&record, "workspace", name);
    struct journal_about about = {.kind = RECORD_ADMIN, .workspace = workspace.id};
    return journal_add_now(&ledger->journal, &about, &record, &index, err) &&
           store_workspace_add(ledger->store, &workspace, err);
}

bool setup_first_start(struct ledger *ledger, struct err *err)
{
    struct store_workspace workspace;
    struct store_keys keys;
    bool found;
    if (!settle_origin(ledger, err) || !store_workspace_named(ledger->store, "default", &workspace, &found, err))
        return false;
    if (!found && (!make_workspace(ledger, "default", err) ||
                   !store_workspace_named(ledger->store, "default", &workspace, &found, err)))
        return false;
    if (!store_keys_get(ledger->store, workspace.id, &keys, &found, err)) return false;
    if (!found) ledger->keys_until = clock_now() + 10 * CLOCK_S;
    return true;
}

/* ── keys ──────────────────────────────────────────────────────────────────────────────────────────── */

bool keys_ask(struct ledger *ledger, const uint8_t workspace[ID_BYTES], const struct waiting *how, struct err *err)
{
    struct msg_workspace_key ask = {.under_next = rotate_under_next(ledger)};
    memcpy(ask.workspace, workspace, ID_BYTES);
    return wait_ask(ledger, ROLE_VAULT, MSG_WORKSPACE_KEY, &ask, sizeof ask, how, err);
}

/* Never a second key over a first one: what the first sealed could not be opened any more. */
bool keys_keep(struct ledger *ledger, const uint8_t workspace[ID_BYTES], const void *answer, size_t length,
               struct err *err)
{
    const struct msg_workspace_key_answer *made = answer;
    struct store_keys keys;
    bool found;
    if (!made || length != sizeof *made) return err_set(err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    if (!status_check(&made->status, err)) return false;
    if (!ledger->store) return err_set(err, ERR_AUDIT, "the databases cannot be used now");
    if (!store_keys_get(ledger->store, workspace, &keys, &found, err)) return false;
    if (found) return true;
    if (!rotate_fresh(ledger, &made->workspace_key))
        return err_set(err, ERR_UNAVAILABLE, "the master key was rotated just now: try again");
    keys = (struct store_keys){
        .version = 1, .workspace_key = made->workspace_key, .answer_secret = made->answer_secret};
    memcpy(keys.answer_public, made->answer_public, sizeof keys.answer_public);
    return store_keys_add(ledger->store, workspace, &keys, err);
}

static void first_made(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct err err = {0};
    if (!keys_keep(ledger, wait->context, answer, length, &err))
        log_failure("workspace-keys", &err);
    else
        ledger->keys_until = 0;
    free(wait->context);
    role_wake_at(ledger->role, clock_now() + CLOCK_S / 5);
}

void keys_first(struct ledger *ledger)
{
    struct store_workspace workspace;
    struct waiting how = {.done = first_made, .until = clock_now() + 2 * CLOCK_S};
    struct err err = {0};
    bool found = false;
    for (unsigned i = 0; i < WAITS_MAX; i++)
        if (ledger->waits[i] && ledger->waits[i]->done == first_made) return;
    if (!ledger->store || !store_workspace_named(ledger->store, "default", &workspace, &found, &err) || !found) return;
    how.context = malloc(ID_BYTES);
    if (!how.context) return;
    memcpy(how.context, workspace.id, ID_BYTES);
    if (!keys_ask(ledger, workspace.id, &how, &err)) free(how.context);
}
