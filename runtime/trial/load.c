/* SPDX-License-Identifier: Apache-2.0 */
/* What a trial is about: manifest and settings by the loader's own rules, fields for the credential, the object. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "runtime/loader/grant.h"
#include "runtime/loader/manifest.h"
#include "sandbox/elf_check.h"
#include "sandbox/sha256.h"
#include "trial.h"

bool trial_read(const char *path, size_t most, struct buf *buf, struct err *err)
{
    char piece[16384];
    bool standard = strcmp(path, "-") == 0;
    FD_AUTO file = open(standard ? "/dev/stdin" : path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    buf_init(buf, most);
    if (file < 0) return err_sys(err, ERR_NOT_FOUND, "%.200s cannot be opened", path);
    for (ssize_t got; (got = read(file, piece, sizeof piece)) != 0;) {
        if (got < 0) return err_sys(err, ERR_IO, "%.200s cannot be read", path);
        if (!buf_add(buf, piece, (size_t)got))
            return err_set(err, ERR_TOO_LARGE, "%.200s holds more than %zu bytes", path, most);
    }
    return buf_reserve(buf, 1) || err_set(err, ERR_BUSY, "there is no memory");
}

/* ── the manifest ────────────────────────────────────────────────────────────────────────────────────── */

/* Beside the object, when it is not named. */
static bool read_manifest(const struct trial *trial, struct manifest *manifest, struct err *err)
{
    BUF_AUTO bytes = {0};
    char path[TRIAL_PATH];
    const char *slash = strrchr(trial->words->plugin, '/');
    snprintf(path, sizeof path, "%.*smanifest.json", slash ? (int)(slash - trial->words->plugin) + 1 : 0,
             trial->words->plugin);
    return trial_read(trial->words->manifest ? trial->words->manifest : path, MANIFEST_BYTES, &bytes, err) &&
           (manifest_read(bytes.bytes, bytes.used, manifest, err) || err_in(err, "the manifest"));
}

/* KEY=VALUE, as a drop-in's [Settings] has them: each key with the array of its values. */
static bool gather_settings(const struct trial_words *words, json_t *settings, struct err *err)
{
    for (unsigned i = 0; i < words->setting_count; i++) {
        const char *equals = strchr(words->settings[i], '=');
        char key[NAME_BYTES];
        if (!equals || equals == words->settings[i] || (size_t)(equals - words->settings[i]) >= sizeof key)
            return err_set(err, ERR_USAGE, "--set wants KEY=VALUE");
        snprintf(key, sizeof key, "%.*s", (int)(equals - words->settings[i]), words->settings[i]);
        json_t *values = json_object_get(settings, key);
        if (!values && json_object_set_new(settings, key, values = json_array()) < 0)
            return err_set(err, ERR_USAGE, "--set: a key is no text");
        if (json_array_append_new(values, json_string(equals + 1)) < 0)
            return err_set(err, ERR_USAGE, "--set: a value is no text");
    }
    return true;
}

static bool take_grant(struct trial *trial, const struct manifest *manifest, struct err *err)
{
    JSON_AUTO *given = json_object();
    if (!given) return err_set(err, ERR_BUSY, "there is no memory");
    struct dropin dropin = {.settings = given};
    return gather_settings(trial->words, given, err) && grant_settings(manifest, &dropin, &trial->settings, err) &&
           grant_limits(manifest, &dropin, &trial->limits, err);
}

static void take_actions(struct trial *trial, const struct manifest *manifest)
{
    const char *name;
    json_t *about;
    json_object_foreach((json_t *)manifest->actions, name, about)
    {
        if (trial->action_count == CELL_ACTIONS) break;
        struct trial_action *action = &trial->actions[trial->action_count++];
        snprintf(action->name, sizeof action->name, "%s", name);
        action->input = json_object_get(about, "input");
        action->output = json_object_get(about, "output");
        action->fields = json_object_get(about, "fields");
    }
}

/* ── the credential ──────────────────────────────────────────────────────────────────────────────────── */

static bool value_of(const char *given, bool secret, json_t **value, struct err *err)
{
    BUF_AUTO text = {0};
    if (given[0] != '@' && secret)
        return err_set(err, ERR_USAGE, "it is secret: give it as @FILE, the command line can be seen by others");
    if (given[0] != '@') return (*value = json_string(given)) || err_set(err, ERR_USAGE, "it is no text");
    if (!trial_read(given + 1, FRAME_SECRET_MAX, &text, err)) return false;
    if (text.used && text.bytes[text.used - 1] == '\n') text.used--;
    *value = json_stringn(text.bytes ? text.bytes : "", text.used);
    return *value || err_set(err, ERR_USAGE, "it is no text");
}

static bool take_fields(struct trial *trial, const struct manifest *manifest, struct err *err)
{
    for (unsigned i = 0; i < trial->words->field_count; i++) {
        const char *given = trial->words->fields[i], *equals = strchr(given, '=');
        char name[NAME_BYTES];
        json_t *value = NULL;
        snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - given) : 0, given);
        const json_t *field = json_object_get(manifest->fields, name);
        if (!field) return err_set(err, ERR_USAGE, "--field %.60s: the manifest has no such field", name);
        if (!value_of(equals + 1, !json_is_false(json_object_get(field, "secret")), &value, err))
            return err_in(err, "--field %s", name);
        json_object_set_new(trial->fields, name, value);
    }
    return true;
}

/* ── the object ──────────────────────────────────────────────────────────────────────────────────────── */

static bool take_object(struct trial *trial, struct err *err)
{
    BUF_AUTO bytes = {0};
    struct sha256 sha;
    if (!trial_read(trial->words->plugin, ELF_MAX, &bytes, err)) return false;
    struct elf_facts facts = elf_check((const uint8_t *)bytes.bytes, bytes.used);
    if (facts.problem) return err_set(err, ERR_LOAD, "%.200s %s", trial->words->plugin, elf_text(facts.problem));
    sha256_init(&sha);
    sha256_add(&sha, bytes.bytes, bytes.used);
    sha256_end(&sha, trial->so_digest);
    trial->plugin = memfd_create("plugin", MFD_CLOEXEC);
    if (trial->plugin >= 0 && write(trial->plugin, bytes.bytes, bytes.used) == (ssize_t)bytes.used) return true;
    return err_sys(err, ERR_IO, "the object cannot be copied");
}

bool trial_load(struct trial *trial, struct err *err)
{
    struct manifest manifest = {0};
    trial->fields = json_object();
    if (!trial->fields) return err_set(err, ERR_BUSY, "there is no memory");
    if (!read_manifest(trial, &manifest, err)) return false;
    trial->document = manifest.document; /* it lives as long as the trial */
    trial->has_egress = json_array_size(manifest.egress) > 0;
    memcpy(trial->name, manifest.name, sizeof trial->name);
    take_actions(trial, &manifest);
    return take_grant(trial, &manifest, err) && take_fields(trial, &manifest, err) && take_object(trial, err);
}
