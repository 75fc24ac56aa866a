/* SPDX-License-Identifier: Apache-2.0 */
/* One entry per drop-in, in the order of their names; whatever is wrong with one stays its own affair. */
#include "entries.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/json.h"
#include "base/utf8.h"
#include "sandbox/elf_check.h"

#include "document.h"
#include "files.h"
#include "grant.h"
#include "manifest.h"

/* One entry while it is made. */
struct making {
    struct dropin dropin;
    struct manifest manifest;
    struct entry_limits limits;
    json_t *settings, *egress;
    char *ca;
    uint8_t so_digest[HASH_BYTES], manifest_digest[HASH_BYTES];
    int plugin;
};

static void making_clear(struct making *making)
{
    plugins_d_clear(&making->dropin);
    manifest_clear(&making->manifest);
    json_decref(making->settings);
    json_decref(making->egress);
    free(making->ca);
    close_fd(&making->plugin);
}

/* ── files of one connector ────────────────────────────────────────────────────────────────────────── */

/* The folder's own name, when Path= is that name or an absolute path right below dirs[i]. */
static const char *name_below(const struct loader *loader, unsigned i, const char *path)
{
    if (path[0] == '/') {
        size_t length = strlen(loader->paths[i]);
        if (strncmp(path, loader->paths[i], length) != 0 || path[length] != '/') return NULL;
        path += length + 1;
    }
    return *path && *path != '.' && !strchr(path, '/') ? path : NULL;
}

static bool open_folder(const struct loader *loader, const char *path, int *fd, struct err *err)
{
    struct file_rule rule = {loader->owner, 0};
    err_set(err, ERR_NOT_FOUND, "Path= must name a folder in one of the plugin directories");
    for (unsigned i = 0; i < loader->dir_count; i++) {
        const char *name = name_below(loader, i, path);
        if (!name) continue;
        if (file_folder(loader->dirs[i], name, &rule, fd, err)) return true;
        if (err->kind != ERR_NOT_FOUND) return false;
    }
    return false;
}

static bool load_manifest(const struct loader *loader, int folder, struct making *making, struct err *err)
{
    BUF_AUTO bytes = {0};
    struct file_rule rule = {loader->owner, MANIFEST_BYTES};
    if (!file_read(folder, "manifest.json", &rule, "manifest.json", &bytes, err)) return false;
    crypto_hash_sha256(making->manifest_digest, (const unsigned char *)bytes.bytes, bytes.used);
    bool same = memcmp(making->manifest_digest, making->dropin.manifest_digest, HASH_BYTES) == 0;
    if (manifest_read(bytes.bytes, bytes.used, &making->manifest, err)) return true;
    err_in(err, "manifest.json (manifest(5) says what may stand in it)");
    if (same) return false;
    return err_set(err, ERR_CHANGED,
                   "manifest.json is not the one that was approved, and it cannot be used: install the connector anew");
}

static bool load_plugin(struct loader *loader, int folder, struct making *making, struct err *err)
{
    FD_AUTO file = -1;
    char name[NAME_BYTES + 4];
    uint64_t left = PLUGINS_BYTES - loader->copied;
    struct file_rule rule = {loader->owner, left < PLUGIN_BYTES ? (size_t)left : PLUGIN_BYTES};
    snprintf(name, sizeof name, "%s.so", making->manifest.name);
    if (!file_open(folder, name, &rule, name, &file, err)) return false;
    if (!memory_copy(file, making->manifest.name, rule.most, &making->plugin, making->so_digest, err))
        return err_in(err, "%s", name);
    loader->copied += (uint64_t)lseek(making->plugin, 0, SEEK_END);
    return true;
}

static bool manifest_same(const struct making *making)
{
    return memcmp(making->manifest_digest, making->dropin.manifest_digest, HASH_BYTES) == 0;
}

/* Names what differs from what the administrator approved, and what it now asks for beyond that. */
static bool not_approved(const struct making *making, struct err *err)
{
    bool so = memcmp(making->so_digest, making->dropin.digest, HASH_BYTES) != 0;
    bool manifest = !manifest_same(making);
    char asks[160] = "";
    if (manifest) grant_unmet(&making->manifest, &making->dropin, asks, sizeof asks);
    const char *what = so && manifest ? "the shared object and manifest.json are"
                       : so           ? "the shared object is"
                                      : "manifest.json is";
    return err_set(err, ERR_CHANGED,
                   "%s not what was approved%s%s; look with \"caisson plugin inspect\" and enable it again", what,
                   *asks ? "; it asks for more than is granted: " : "", asks);
}

static bool check_approved(const struct making *making, struct err *err)
{
    return (manifest_same(making) && memcmp(making->so_digest, making->dropin.digest, HASH_BYTES) == 0) ||
           not_approved(making, err);
}

/* What would not load in a cell is said here, where the administrator looks. */
static bool check_elf(const struct making *making, struct err *err)
{
    off_t size = lseek(making->plugin, 0, SEEK_END);
    void *bytes = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, making->plugin, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) return err_set(err, ERR_LOAD, "the shared object is empty: install the connector anew");
    struct elf_facts facts = elf_check(bytes, (size_t)size);
    munmap(bytes, (size_t)size);
    return facts.problem == ELF_FINE ||
           err_set(err, ERR_LOAD, "%s.so %s", making->manifest.name, elf_text(facts.problem));
}

static bool load_ca(const struct loader *loader, struct making *making, struct err *err)
{
    BUF_AUTO bytes = {0};
    struct file_rule rule = {loader->owner, CA_BYTES};
    if (!making->dropin.ca_file[0]) return true;
    if (!file_read(loader->plugins_d, making->dropin.ca_file, &rule, "CAFile=", &bytes, err)) return false;
    if (!bytes.used || !utf8_valid(bytes.bytes, bytes.used) || memchr(bytes.bytes, '\0', bytes.used) ||
        !strstr(bytes.bytes, "-----BEGIN CERTIFICATE-----"))
        return err_set(err, ERR_BAD_INPUT, "CAFile= names no PEM file with certificates");
    making->ca = strdup(bytes.bytes);
    return making->ca || err_set(err, ERR_BUSY, "there is no memory");
}

/* ── the document ──────────────────────────────────────────────────────────────────────────────────── */

static json_t *hex_json(const uint8_t digest[HASH_BYTES])
{
    char text[HASH_TEXT];
    hex_text(digest, HASH_BYTES, text);
    return json_string(text);
}

static json_t *truth_or(const json_t *object, const char *key, bool preset)
{
    const json_t *value = json_object_get(object, key);
    return json_boolean(value ? json_is_true(value) : preset);
}

static json_t *action_json(const char *name, json_t *action)
{
    json_t *fields = json_object_get(action, "fields");
    return json_pack("{s:s, s:O, s:O, s:O*, s:o, s:o}", "name", name, "summary", json_object_get(action, "summary"),
                     "input", json_object_get(action, "input"), "output", json_object_get(action, "output"),
                     "idempotent", truth_or(action, "idempotent", false), "fields",
                     fields ? json_incref(fields) : json_array());
}

static json_t *field_json(const char *name, json_t *field)
{
    return json_pack("{s:s, s:O, s:o, s:o}", "name", name, "summary", json_object_get(field, "summary"), "secret",
                     truth_or(field, "secret", true), "required", truth_or(field, "required", true));
}

/* What make() makes of each member; NULL when the list would not be whole. */
static json_t *list_json(const json_t *object, json_t *(*make)(const char *name, json_t *value))
{
    const char *name;
    json_t *value;
    JSON_AUTO *array = json_array();
    json_object_foreach((json_t *)object, name,
                        value) if (json_array_append_new(array, make(name, value)) < 0) return NULL;
    return take(&array);
}

static json_t *limits_json(const struct entry_limits *l)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "memory_mb", l->memory_mb, "cpu_s", l->cpu_s,
                     "wall_s", l->wall_s, "output_kb", l->output_kb, "log_kb", l->log_kb, "dials", l->dials, "up_kb",
                     l->up_kb, "down_kb", l->down_kb, "concurrency", l->concurrency);
}

/* What the administrator decided: the part of an entry that its digest covers beside the two files. A word of capture
 * only where something is captured: the digests of all others stay what they were. */
static json_t *grant_json(const struct making *making)
{
    const struct dropin *dropin = &making->dropin;
    const struct entry_lease *lease = &dropin->lease;
    return json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i}, s:O, s:O, s:O, s:O, s:o, s:s*, s:s*}", "name", dropin->name,
                     "isolation", dropin->isolation == ISOLATE_LEASE ? "lease" : "call", "lease", "calls", lease->calls,
                     "age_s", lease->age_s, "idle_s", lease->idle_s, "spares", lease->spares, "settings",
                     making->settings, "egress", making->egress, "ranges", dropin->ranges, "workspaces",
                     dropin->workspaces, "limits", limits_json(&making->limits), "ca", making->ca, "capture",
                     dropin->capture ? capture_name(dropin->capture) : NULL);
}

static bool entry_digest(const struct making *making, const json_t *grant, uint8_t digest[HASH_BYTES])
{
    static const unsigned char tag[] = "caisson entry v1\n";
    BUF_AUTO text = {0};
    crypto_hash_sha256_state state;
    buf_init(&text, 8 * 1024 * 1024);
    if (!json_compact(grant, &text)) return false;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, tag, sizeof tag - 1);
    crypto_hash_sha256_update(&state, making->so_digest, HASH_BYTES);
    crypto_hash_sha256_update(&state, making->manifest_digest, HASH_BYTES);
    crypto_hash_sha256_update(&state, (const unsigned char *)text.bytes, text.used);
    crypto_hash_sha256_final(&state, digest);
    return true;
}

static json_t *enabled_json(const struct making *making)
{
    uint8_t digest[HASH_BYTES];
    JSON_AUTO *entry = grant_json(making);
    if (!entry || !entry_digest(making, entry, digest)) return NULL;
    JSON_AUTO *more = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "file", making->dropin.file,
                                "plugin", making->manifest.name, "version", making->manifest.version, "summary",
                                making->manifest.summary, "state", "enabled", "digest", hex_json(digest), "so_digest",
                                hex_json(making->so_digest), "manifest_digest", hex_json(making->manifest_digest),
                                "actions", list_json(making->manifest.actions, action_json), "fields",
                                list_json(making->manifest.fields, field_json));
    if (!more || json_object_update(entry, more) < 0) return NULL;
    return json_incref(entry);
}

/* ── one drop-in ───────────────────────────────────────────────────────────────────────────────────── */

static bool read_dropin(const struct loader *loader, const char *file, struct making *making, struct err *err)
{
    BUF_AUTO bytes = {0};
    struct file_rule rule = {loader->owner, DROPIN_BYTES};
    return file_read(loader->plugins_d, file, &rule, "the drop-in", &bytes, err) &&
           plugins_d_read(bytes.bytes ? bytes.bytes : "", bytes.used, file, &making->dropin, err);
}

static bool make_enabled(struct loader *loader, struct making *making, struct err *err)
{
    FD_AUTO folder = -1;
    if (!open_folder(loader, making->dropin.path, &folder, err) || !load_manifest(loader, folder, making, err))
        return false;
    if (!load_plugin(loader, folder, making, err)) return manifest_same(making) ? false : not_approved(making, err);
    return check_approved(making, err) && check_elf(making, err) && load_ca(loader, making, err) &&
           grant_limits(&making->manifest, &making->dropin, &making->limits, err) &&
           grant_settings(&making->manifest, &making->dropin, &making->settings, err) &&
           grant_egress(&making->manifest, &making->dropin, making->settings, &making->egress, err);
}

/* A name for a drop-in that gives none: that of its file, as far as it is one. */
static void name_from_file(const char *file, char name[NAME_BYTES])
{
    const char *start = file + strspn(file, "0123456789-_");
    size_t length = strlen(start) > 5 ? strlen(start) - 5 : 0;
    snprintf(name, NAME_BYTES, "%.*s", (int)length, start);
    if (!name_valid(name)) snprintf(name, NAME_BYTES, "unnamed");
}

static json_t *failed_json(const char *file, const struct dropin *dropin, const char *state, const char *problem)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s", dropin->name);
    if (!name[0]) name_from_file(file, name);
    return json_pack("{s:s, s:s, s:s, s:s, s:O*}", "file", file, "name", name, "state", state, "problem", problem,
                     "workspaces", dropin->workspaces);
}

static bool name_taken(const json_t *entries, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)entries, i, entry)
    {
        const char *state = json_string_value(json_object_get(entry, "state"));
        if (strcmp(state, "invalid") != 0 && strcmp(json_string_value(json_object_get(entry, "name")), name) == 0)
            return true;
    }
    return false;
}

static bool make(struct loader *loader, const char *file, const json_t *entries, struct making *making, struct err *err)
{
    if (!read_dropin(loader, file, making, err)) return false;
    if (name_taken(entries, making->dropin.name))
        return err_set(err, ERR_EXISTS, "an earlier file already has Name=%s: give this one another name",
                       making->dropin.name);
    if (!making->dropin.enabled) return err_set(err, ERR_STATE, "it is disabled");
    return make_enabled(loader, making, err);
}

/* File names and pieces of manifests in messages must not stop the document, nor a reader's terminal. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e) *text = '?';
}

static json_t *whole_json(const struct making *making, struct err *err)
{
    JSON_AUTO *entry = enabled_json(making);
    if (!entry) err_set(err, ERR_TOO_LARGE, "it is too large");
    return entry && document_takes(entry, err) ? take(&entry) : NULL;
}

static json_t *make_entry(struct loader *loader, const char *file, const json_t *entries, int *plugin)
{
    struct making making = {.plugin = -1};
    struct err err = {0};
    char shown[DROPIN_FILE];
    json_t *entry = NULL;
    snprintf(shown, sizeof shown, "%s", file);
    make_printable(shown);
    if (make(loader, file, entries, &making, &err)) {
        entry = whole_json(&making, &err);
        *plugin = entry ? take_fd(&making.plugin) : -1;
    }
    if (!entry) {
        const char *state = err.kind == ERR_STATE ? "disabled" : err.kind == ERR_CHANGED ? "changed" : "invalid";
        make_printable(err.text);
        entry = failed_json(shown, &making.dropin, state, err.text);
    }
    making_clear(&making);
    return entry;
}

/* ── all of them ───────────────────────────────────────────────────────────────────────────────────── */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list(int folder, char *files[DROPINS_MAX], unsigned *count, struct err *err)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    bool fits = true, kept = true;
    if (!stream) return err_sys(err, ERR_IO, "the folder plugins.d cannot be read");
    for (struct dirent *one; fits && kept && (one = readdir(stream));) {
        if (!plugins_d_takes(one->d_name)) continue;
        fits = *count < DROPINS_MAX;
        kept = fits && (files[*count] = strdup(one->d_name));
        *count += kept;
    }
    closedir(stream);
    qsort(files, *count, sizeof *files, by_name);
    if (fits && !kept) return err_set(err, ERR_BUSY, "there is no memory");
    return fits || err_set(err, ERR_TOO_LARGE, "the folder plugins.d holds more than %d drop-ins", DROPINS_MAX);
}

static bool load_each(struct loader *loader, char *files[], unsigned count, json_t *entries, int plugins[],
                      struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        json_t *entry = make_entry(loader, files[i], entries, &plugins[i]);
        if (!entry || json_array_append_new(entries, entry) < 0)
            return err_set(err, ERR_BUSY, "there is no memory for the registry");
    }
    return true;
}

bool entries_load(struct loader *loader, json_t **document, int plugins[DROPINS_MAX], struct err *err)
{
    char *files[DROPINS_MAX];
    unsigned count = 0;
    JSON_AUTO *entries = json_array();
    for (int i = 0; i < DROPINS_MAX; i++) plugins[i] = -1;
    bool good = list(loader->plugins_d, files, &count, err) && load_each(loader, files, count, entries, plugins, err);
    for (unsigned i = 0; i < count; i++) free(files[i]);
    if (good) *document = json_pack("{s:i, s:O}", "registry", loader->number, "entries", entries);
    return good && (*document || err_set(err, ERR_BUSY, "there is no memory for the registry"));
}
