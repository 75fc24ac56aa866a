/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a drop-in by one table of keys: a key that is not in it is a mistake, and so is one given twice. */
#include "plugins_d.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "base/text.h"

#include "manifest.h"

enum { LIST_MAX = 128, SETTING_VALUES = 256 };

struct row {
    const char *section, *key;
    bool (*take)(const struct row *, const char *value, void *to, struct err *err);
    size_t at;
    uint32_t unit, most; /* sizes: bytes of one unit; numbers: smallest (unit) and largest */
};

static bool refuse(struct err *err, const struct row *row, const char *why)
{
    return err_set(err, ERR_BAD_INPUT, "%s= %s", row->key, why);
}

/* ── values ────────────────────────────────────────────────────────────────────────────────────────── */

bool plugins_d_digest(const char *text, uint8_t digest[HASH_BYTES])
{
    return strncmp(text, "sha256:", 7) == 0 && strlen(text) == 7 + 2 * HASH_BYTES &&
           hex_parse(text + 7, digest, HASH_BYTES);
}

static bool take_digest(const struct row *row, const char *value, void *to, struct err *err)
{
    return plugins_d_digest(value, to) || refuse(err, row, "must be sha256: and 64 lower-case hexadecimal digits");
}

static bool take_name(const struct row *row, const char *value, void *to, struct err *err)
{
    if (!name_valid(value)) return refuse(err, row, "must be 1 to 63 of a-z 0-9 - _ and inner dots, first a letter");
    memcpy(to, value, strlen(value) + 1);
    return true;
}

static bool take_path(const struct row *row, const char *value, void *to, struct err *err)
{
    if (strlen(value) >= DROPIN_PATH) return refuse(err, row, "is too long");
    memcpy(to, value, strlen(value) + 1);
    return true;
}

/* A file beside the drop-in: no folder, no dot file, and no drop-in itself. */
static bool take_beside(const struct row *row, const char *value, void *to, struct err *err)
{
    if (strlen(value) >= NAME_BYTES || strchr(value, '/') || value[0] == '.' || plugins_d_takes(value))
        return refuse(err, row, "must be the name of a file in plugins.d itself, and not end in .conf");
    memcpy(to, value, strlen(value) + 1);
    return true;
}

static bool take_truth(const struct row *row, const char *value, void *to, struct err *err)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0) return refuse(err, row, "must be yes or no");
    *(bool *)to = yes;
    return true;
}

static bool take_isolation(const struct row *row, const char *value, void *to, struct err *err)
{
    bool lease = strcmp(value, "lease") == 0;
    if (!lease && strcmp(value, "call") != 0) return refuse(err, row, "must be call or lease");
    *(enum isolation *)to = lease ? ISOLATE_LEASE : ISOLATE_CALL;
    return true;
}

/* Said in full: nobody records more than they read. */
static bool take_capture(const struct row *row, const char *value, void *to, struct err *err)
{
    uint32_t bits = 0;
    while (bits < CAPTURE_KINDS && strcmp(value, capture_name(bits)) != 0) bits++;
    if (bits == CAPTURE_KINDS) return refuse(err, row, "must be none, input, reply or input reply");
    *(uint32_t *)to = bits;
    return true;
}

/* Digits, then what is behind them. */
static bool read_number(const char *text, uint64_t *value, const char **rest)
{
    *value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (at - text >= 15) return false;
        *value = *value * 10 + (uint64_t)(*at - '0');
    }
    *rest = at;
    return at != text;
}

static bool take_number(const struct row *row, const char *value, void *to, struct err *err)
{
    uint64_t number;
    const char *rest;
    if (!read_number(value, &number, &rest) || *rest || number < row->unit || number > row->most)
        return err_set(err, ERR_BAD_INPUT, "%s= must be a number from %u to %u", row->key, row->unit, row->most);
    *(uint32_t *)to = (uint32_t)number;
    return true;
}

static uint64_t suffix_factor(const char *suffix)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } known[] = {{"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {"G", 1024 * 1024 * 1024}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].suffix, suffix) == 0) return known[i].factor;
    return 0;
}

static bool take_size(const struct row *row, const char *value, void *to, struct err *err)
{
    uint64_t number;
    const char *rest;
    uint64_t factor = read_number(value, &number, &rest) ? suffix_factor(rest) : 0;
    const char *unit = row->unit == 1024 ? "K" : "M";
    if (!factor || number > UINT64_MAX / factor || number * factor % row->unit || number == 0)
        return err_set(err, ERR_BAD_INPUT, "%s= must be a size in whole %s, e.g. 8%s", row->key, unit, unit);
    if (number * factor / row->unit > row->most)
        return err_set(err, ERR_BAD_INPUT, "%s= must not exceed %u%s", row->key, row->most, unit);
    *(uint32_t *)to = (uint32_t)(number * factor / row->unit);
    return true;
}

static bool take_time(const struct row *row, const char *value, void *to, struct err *err)
{
    uint64_t number;
    const char *rest;
    bool read = read_number(value, &number, &rest);
    if (read && strcmp(rest, "m") == 0)
        number *= 60;
    else if (read && *rest && strcmp(rest, "s") != 0)
        read = false;
    if (!read || number == 0 || number > row->most)
        return err_set(err, ERR_BAD_INPUT, "%s= must be a time from 1s to %us", row->key, row->most);
    *(uint32_t *)to = (uint32_t)number;
    return true;
}

/* ── lists ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool add_text(const struct row *row, json_t *list, const char *text, struct err *err)
{
    if (json_array_size(list) >= LIST_MAX) return refuse(err, row, "has too many values");
    return json_array_append_new(list, json_string(text)) == 0 || err_set(err, ERR_BUSY, "there is no memory");
}

static bool take_words(const struct row *row, const char *value, void *to, struct err *err)
{
    char text[4096 + 1], *rest = text;
    if (!TEXT_COPY(text, value)) return refuse(err, row, "is too long");
    for (char *word; (word = strsep(&rest, " \t"));)
        if (*word && !add_text(row, *(json_t **)to, word, err)) return false;
    return true;
}

static bool take_workspaces(const struct row *row, const char *value, void *to, struct err *err)
{
    size_t i, before = json_array_size(*(json_t **)to);
    if (!take_words(row, value, to, err)) return false;
    for (i = before; i < json_array_size(*(json_t **)to); i++) {
        const char *name = json_string_value(json_array_get(*(json_t **)to, i));
        if (strcmp(name, "*") != 0 && !name_valid(name)) return refuse(err, row, "must be names of workspaces, or *");
    }
    return true;
}

/* Are all bits of the address behind its first length bits zero? */
static bool bits_end(const uint8_t *address, unsigned size, unsigned length)
{
    for (unsigned bit = length; bit < size * 8; bit++)
        if (address[bit / 8] & (0x80u >> (bit % 8))) return false;
    return true;
}

/* ADDRESS/LENGTH, canonical: no host bits, so that nobody grants more than they read. */
static bool range_ok(const char *text)
{
    char copy[64];
    uint8_t address[16];
    uint64_t length;
    const char *rest;
    if (!TEXT_COPY(copy, text)) return false;
    char *slash = strchr(copy, '/');
    if (!slash || !read_number(slash + 1, &length, &rest) || *rest) return false;
    *slash = '\0';
    unsigned size = inet_pton(AF_INET, copy, address) == 1 ? 4 : inet_pton(AF_INET6, copy, address) == 1 ? 16 : 0;
    return size && length <= size * 8 && bits_end(address, size, (unsigned)length);
}

static const struct {
    const char *word, *range;
} range_words[] = {{"loopback", "127.0.0.0/8"},  {"loopback", "::1/128"},       {"private", "10.0.0.0/8"},
                   {"private", "172.16.0.0/12"}, {"private", "192.168.0.0/16"}, {"private", "fc00::/7"}};

static bool add_one_range(const struct row *row, json_t *list, const char *range, struct err *err)
{
    if (json_array_size(list) >= ENTRY_RANGES)
        return err_set(err, ERR_BAD_INPUT, "%s= must name at most %d ranges (loopback is 2 of them, private is 4)",
                       row->key, ENTRY_RANGES);
    return add_text(row, list, range, err);
}

static bool add_range(const struct row *row, json_t *list, const char *word, struct err *err)
{
    bool known = false;
    for (size_t i = 0; i < sizeof range_words / sizeof *range_words; i++) {
        if (strcmp(range_words[i].word, word) != 0) continue;
        known = true;
        if (!add_one_range(row, list, range_words[i].range, err)) return false;
    }
    if (known) return true;
    if (!range_ok(word)) return refuse(err, row, "must be ranges like 10.0.0.0/8, loopback or private");
    return add_one_range(row, list, word, err);
}

static bool take_ranges(const struct row *row, const char *value, void *to, struct err *err)
{
    char text[4096 + 1], *rest = text;
    if (!TEXT_COPY(text, value)) return refuse(err, row, "is too long");
    for (char *word; (word = strsep(&rest, " \t"));)
        if (*word && !add_range(row, *(json_t **)to, word, err)) return false;
    return true;
}

/* ── the table ─────────────────────────────────────────────────────────────────────────────────────── */

#define AT(member) offsetof(struct dropin, member)
enum { KB = 1024, MB = 1024 * 1024 };

enum { ROW_NAME, ROW_PATH, ROW_DIGEST, ROW_MANIFEST_DIGEST };

static const struct row rows[] = {
    [ROW_NAME] = {"Plugin", "Name", take_name, AT(name)},
    [ROW_PATH] = {"Plugin", "Path", take_path, AT(path)},
    [ROW_DIGEST] = {"Plugin", "Digest", take_digest, AT(digest)},
    [ROW_MANIFEST_DIGEST] = {"Plugin", "ManifestDigest", take_digest, AT(manifest_digest)},
    {"Plugin", "Enabled", take_truth, AT(enabled)},
    {"Grant", "Egress", take_words, AT(egress)},
    {"Grant", "AllowAnyHost", take_truth, AT(any_host)},
    {"Grant", "AddressRanges", take_ranges, AT(ranges)},
    {"Grant", "CAFile", take_beside, AT(ca_file)},
    {"Grant", "Workspaces", take_workspaces, AT(workspaces)},
    {"Grant", "Isolation", take_isolation, AT(isolation)},
    {"Grant", "Capture", take_capture, AT(capture)},
    {"Grant", "MemoryMax", take_size, AT(limits.memory_mb), MB, LIMIT_MEMORY_MB},
    {"Grant", "CpuMax", take_time, AT(limits.cpu_s), 1, LIMIT_CPU_S},
    {"Grant", "TimeMax", take_time, AT(limits.wall_s), 1, LIMIT_WALL_S},
    {"Grant", "OutputMax", take_size, AT(limits.output_kb), KB, LIMIT_OUTPUT_KB},
    {"Grant", "LogMax", take_size, AT(limits.log_kb), KB, LIMIT_LOG_KB},
    {"Grant", "Dials", take_number, AT(limits.dials), 1, LIMIT_DIALS},
    {"Grant", "UploadMax", take_size, AT(limits.up_kb), KB, LIMIT_UP_MB * 1024},
    {"Grant", "DownloadMax", take_size, AT(limits.down_kb), KB, LIMIT_DOWN_MB * 1024},
    {"Grant", "Concurrency", take_number, AT(limits.concurrency), 1, LIMIT_CONCURRENCY},
    {"Grant", "Spares", take_number, AT(lease.spares), 0, 16},
    {"Grant", "LeaseCalls", take_number, AT(lease.calls), 1, 100000},
    {"Grant", "LeaseAge", take_time, AT(lease.age_s), 1, 86400},
    {"Grant", "LeaseIdle", take_time, AT(lease.idle_s), 1, 3600},
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool is_list(const struct row *row)
{
    return row->take == take_words || row->take == take_ranges || row->take == take_workspaces;
}

static const struct row *find_row(const struct ini_item *item)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].section, item->section) == 0 && strcmp(rows[i].key, item->key) == 0) return &rows[i];
    return NULL;
}

static bool add_setting(struct dropin *dropin, const struct ini_item *item, struct err *err)
{
    json_t *values = json_object_get(dropin->settings, item->key);
    if (!values) {
        values = json_array();
        if (json_object_set_new(dropin->settings, item->key, values) < 0)
            return err_set(err, ERR_BUSY, "there is no memory");
    }
    if (json_array_size(values) >= SETTING_VALUES)
        return err_set(err, ERR_TOO_LARGE, "the setting \"%s\" has too many values", item->key);
    return json_array_append_new(values, json_string(item->value)) == 0 || err_set(err, ERR_BUSY, "there is no memory");
}

static bool take_item(struct dropin *dropin, const struct ini_item *item, bool seen[ROWS], struct err *err)
{
    if (strcmp(item->section, "Settings") == 0) return add_setting(dropin, item, err);
    const struct row *row = find_row(item);
    if (!row) return err_set(err, ERR_BAD_INPUT, "[%s] has no key %s=", item->section, item->key);
    bool again = seen[row - rows];
    seen[row - rows] = true;
    if (again && !is_list(row)) return refuse(err, row, "is given twice");
    return row->take(row, item->value, (char *)dropin + row->at, err);
}

/* ── a whole file ──────────────────────────────────────────────────────────────────────────────────── */

bool plugins_d_takes(const char *file)
{
    size_t length = strlen(file);
    return length > 5 && length < DROPIN_FILE && file[0] != '.' && strcmp(file + length - 5, ".conf") == 0;
}

static bool init(struct dropin *dropin, const char *file, struct err *err)
{
    *dropin = (struct dropin){.enabled = true,
                              .isolation = ISOLATE_CALL,
                              .lease = {.calls = 100, .age_s = 300, .idle_s = 30, .spares = 1},
                              .egress = json_array(),
                              .ranges = json_array(),
                              .workspaces = json_array(),
                              .settings = json_object()};
    snprintf(dropin->file, sizeof dropin->file, "%s", file);
    return (dropin->egress && dropin->ranges && dropin->workspaces && dropin->settings) ||
           err_set(err, ERR_BUSY, "there is no memory");
}

static bool finish(struct dropin *dropin, const bool seen[ROWS], struct err *err)
{
    static const char hint[] = "is missing: enable the connector with \"caisson plugin enable\"";
    dropin->has_digest = seen[ROW_DIGEST];
    dropin->has_manifest_digest = seen[ROW_MANIFEST_DIGEST];
    if (!dropin->name[0]) return refuse(err, &rows[ROW_NAME], "is missing");
    if (!dropin->path[0]) snprintf(dropin->path, sizeof dropin->path, "%s", dropin->name);
    if (!dropin->has_digest) return refuse(err, &rows[ROW_DIGEST], hint);
    if (!dropin->has_manifest_digest) return refuse(err, &rows[ROW_MANIFEST_DIGEST], hint);
    if (json_array_size(dropin->workspaces) == 0)
        return json_array_append_new(dropin->workspaces, json_string("default")) == 0 ||
               err_set(err, ERR_BUSY, "there is no memory");
    return true;
}

/* A mistake must not keep the name back: listings need it. So the first mistake is kept and the rest still read. */
bool plugins_d_read(const char *bytes, size_t length, const char *file, struct dropin *dropin, struct err *err)
{
    INI_AUTO ini = {0};
    bool seen[ROWS] = {false}, good = init(dropin, file, err);
    if (!good) return false;
    if (length > DROPIN_BYTES) return err_set(err, ERR_TOO_LARGE, "the file is larger than 64 KiB");
    if (!ini_parse(&ini, bytes, length, "line", err)) return false;
    for (const struct ini_item *item = NULL; (item = ini_each(&ini, NULL, NULL, item));) {
        struct err here = {0};
        if (take_item(dropin, item, seen, &here) || !good) continue;
        ini_blame(item, &here);
        *err = here;
        good = false;
    }
    return good && finish(dropin, seen, err);
}

void plugins_d_clear(struct dropin *dropin)
{
    json_decref(dropin->egress);
    json_decref(dropin->ranges);
    json_decref(dropin->workspaces);
    json_decref(dropin->settings);
    memset(dropin, 0, sizeof *dropin);
}
