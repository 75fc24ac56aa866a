/* SPDX-License-Identifier: Apache-2.0 */
/* The shelf that holds a registry: the loader's document, one sealed piece of memory that all roles map, and where each
 * entry stands in it. Every entry is checked when the registry is taken; it becomes a structure when somebody asks for
 * it, so that a connector that nobody calls costs hardly more than its place. */
#include "registry.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/auto_json.h"
#include "base/json.h"
#include "base/log.h"
#include "registry_entry.h"

enum { ENTRIES_MAX = 512 /* as many plugins as a role takes descriptors for (role.h) */ };

/* ── the shelf: where each entry stands in the document ────────────────────────────────────────────── */

struct place {
    const char *line;
    size_t length;
    enum entry_state state;
    uint8_t digest[HASH_BYTES];
    _Atomic(struct entry *) entry; /* once somebody asked for it */
};

struct registry_shelf {
    const char *text; /* the sealed document, one mapping that all roles share */
    size_t length;
    uint32_t *hashes; /* of the names */
    struct place *places;
    pthread_mutex_t parsing; /* the front's threads share a registry */
};

/* FNV-1a, 32 bits: no defence is needed, a collision costs one comparison of names. */
static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

/* Sealed, so that what was checked once stays what it is. */
static bool map(int fd, struct registry_shelf *shelf, struct err *err)
{
    const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat file;
    if (fstat(fd, &file) < 0) return err_sys(err, ERR_IO, "cannot read the registry");
    if (file.st_size > REGISTRY_MAX) return err_set(err, ERR_TOO_LARGE, "the registry is too large");
    if (file.st_size == 0 || (fcntl(fd, F_GET_SEALS) & sealed) != sealed)
        return err_set(err, ERR_MALFORMED, "the registry is empty or can still be changed");
    void *text = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (text == MAP_FAILED) return err_sys(err, ERR_IO, "cannot map the registry");
    shelf->text = text;
    shelf->length = (size_t)file.st_size;
    return true;
}

/* The next line without its end; NULL when none is left or the last has no end. */
static const char *next_line(const struct registry_shelf *shelf, size_t *at, size_t *length)
{
    const char *line = shelf->text + *at, *end = memchr(line, '\n', shelf->length - *at);
    if (!end) return NULL;
    *length = (size_t)(end - line);
    *at += *length + 1;
    return line;
}

static bool read_head(struct registry *registry, size_t *at, struct err *err)
{
    JSON_AUTO *head = NULL;
    uint32_t count;
    size_t length;
    const char *line = next_line(registry->shelf, at, &length);
    if (!line) return err_set(err, ERR_MALFORMED, "the registry has no first line");
    if (!json_read(line, length, REGISTRY_MAX, &head, err)) return err_in(err, "reading the registry");
    if (!registry_count(head, "registry", &registry->number, err) || !registry_count(head, "entries", &count, err))
        return false;
    if (count > ENTRIES_MAX) return registry_wrong(err, "entries");
    registry->count = count;
    return true;
}

/* Everything is checked now; what is kept is where it stands. */
static bool read_place(struct registry *registry, uint32_t index, size_t *at, struct err *err)
{
    struct place *place = &registry->shelf->places[index];
    if (!(place->line = next_line(registry->shelf, at, &place->length))) return registry_wrong(err, "entries");
    struct entry *entry = entry_parse(place->line, place->length, index, err);
    if (!entry) return err_in(err, "entry %u", index);
    place->state = entry->state;
    memcpy(place->digest, entry->digest, HASH_BYTES);
    registry->shelf->hashes[index] = hash_of(entry->name);
    entry_free(entry);
    return true;
}

static bool read_places(struct registry *registry, struct err *err)
{
    struct registry_shelf *shelf = registry->shelf;
    size_t at = 0;
    if (!read_head(registry, &at, err) ||
        !(shelf->places = registry_room(registry->count, sizeof *shelf->places, err)) ||
        !(shelf->hashes = registry_room(registry->count, sizeof *shelf->hashes, err)))
        return false;
    for (uint32_t i = 0; i < registry->count; i++)
        if (!read_place(registry, i, &at, err)) return false;
    return at == shelf->length || registry_wrong(err, "entries");
}

bool registry_read(int fd, struct registry *registry, struct err *err)
{
    struct registry fresh = {.shelf = registry_room(1, sizeof *fresh.shelf, err)};
    if (!fresh.shelf) return false;
    pthread_mutex_init(&fresh.shelf->parsing, NULL);
    if (!map(fd, fresh.shelf, err) || !read_places(&fresh, err)) {
        registry_clear(&fresh);
        return false;
    }
    *registry = fresh;
    return true;
}

void registry_clear(struct registry *registry)
{
    struct registry_shelf *shelf = registry->shelf;
    if (shelf) {
        for (unsigned i = 0; shelf->places && i < registry->count; i++) entry_free(shelf->places[i].entry);
        if (shelf->text) munmap((void *)shelf->text, shelf->length);
        free(shelf->places);
        free(shelf->hashes);
        pthread_mutex_destroy(&shelf->parsing);
        free(shelf);
    }
    memset(registry, 0, sizeof *registry);
}

/* ── finding ───────────────────────────────────────────────────────────────────────────────────────── */

const struct entry *registry_entry(const struct registry *registry, uint32_t index)
{
    struct err err;
    if (index >= registry->count) return NULL;
    struct place *place = &registry->shelf->places[index];
    struct entry *entry = atomic_load_explicit(&place->entry, memory_order_acquire);
    if (entry) return entry;
    pthread_mutex_lock(&registry->shelf->parsing);
    entry = place->entry;
    if (!entry) {
        entry = entry_parse(place->line, place->length, index, &err);
        if (!entry) log_failure("registry-entry", &err); /* it was good at the start: memory is short */
        atomic_store_explicit(&place->entry, entry, memory_order_release);
    }
    pthread_mutex_unlock(&registry->shelf->parsing);
    return entry;
}

/* The enabled one before any other of that name: a broken drop-in must not hide a good one. */
const struct entry *registry_find(const struct registry *registry, const char *name)
{
    const struct entry *found = NULL;
    uint32_t hash = hash_of(name);
    for (uint32_t i = 0; i < registry->count; i++) {
        if (registry->shelf->hashes[i] != hash) continue;
        const struct entry *entry = registry_entry(registry, i);
        if (entry && strcmp(entry->name, name) == 0 && (!found || entry->state < found->state)) found = entry;
    }
    return found;
}

const struct entry *registry_same(const struct registry *registry, const uint8_t digest[HASH_BYTES])
{
    for (uint32_t i = 0; i < registry->count; i++) {
        const struct place *place = &registry->shelf->places[i];
        if (place->state == ENTRY_ENABLED && memcmp(place->digest, digest, HASH_BYTES) == 0)
            return registry_entry(registry, i);
    }
    return NULL;
}

bool registry_takes(const char *line, size_t length, struct err *err)
{
    struct entry *entry = entry_parse(line, length, 0, err);
    bool taken = entry != NULL;
    entry_free(entry);
    return taken;
}

const struct entry_action *entry_action(const struct entry *entry, const char *name)
{
    for (unsigned i = 0; i < entry->action_count; i++)
        if (strcmp(entry->actions[i].name, name) == 0) return &entry->actions[i];
    return NULL;
}
