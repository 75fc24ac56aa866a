/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a backup's file: nothing is believed that its manifest does not say, and nothing is written beside the names
 * that a backup of that kind has. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backup.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "base/buf.h"
#include "base/json.h"
#include "tar.h"

struct target {
    int fd;
    crypto_hash_sha256_state state;
};

static bool into_buf(void *context, const void *bytes, size_t length, struct err *err)
{
    return buf_add(context, bytes, length) || err_set(err, ERR_TOO_LARGE, "the backup's manifest is too large");
}

static bool into_file(void *context, const void *bytes, size_t length, struct err *err)
{
    struct target *target = context;
    crypto_hash_sha256_update(&target->state, bytes, length);
    for (size_t done = 0; done < length;) {
        ssize_t put = write(target->fd, (const char *)bytes + done, length - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return err_sys(err, ERR_IO, "what is restored cannot be written");
        done += (size_t)put;
    }
    return true;
}

static bool read_manifest(struct age_reader *in, enum backup_kind kind, json_t **manifest, struct err *err)
{
    struct tar_entry entry;
    BUF_AUTO text;
    JSON_AUTO *found = NULL;
    bool end = true;
    buf_init(&text, BACKUP_MANIFEST);
    if (!tar_next(in, &entry, &end, err)) return false;
    if (end || strcmp(entry.name, "manifest.json") != 0)
        return err_set(err, ERR_MALFORMED, "this archive has no manifest at its start");
    if (!tar_take(in, &entry, into_buf, &text, err) || !json_read(text.bytes, text.used, BACKUP_MANIFEST, &found, err))
        return err_in(err, "the backup's manifest");
    const char *said = json_string_value(json_object_get(found, "kind"));
    if (json_integer_value(json_object_get(found, "format")) != 1 || !said || strcmp(said, backup_kind_name(kind)) != 0)
        return err_set(err, ERR_MALFORMED, "this is not a backup of the kind %s that this release reads",
                       backup_kind_name(kind));
    *manifest = take(&found);
    return true;
}

static const json_t *manifest_row(const json_t *manifest, const char *name)
{
    return json_named(json_object_get(manifest, "files"), name);
}

/* What an attempt that came to nothing left here may be of another backup. */
static bool drop_old(enum backup_kind kind, const char *home, struct err *err)
{
    char path[BACKUP_PATH];
    for (const struct backup_file *file = backup_files(kind); file->name; file++) {
        snprintf(path, sizeof path, "%s/%s.restored", home, file->place);
        if (unlink(path) < 0 && errno != ENOENT) return err_sys(err, ERR_IO, "cannot remove %.200s", path);
    }
    return true;
}

/* taken: a bit for each of backup_files. */
static bool all_there(enum backup_kind kind, const json_t *manifest, unsigned taken, struct err *err)
{
    const struct backup_file *files = backup_files(kind);
    for (unsigned i = 0; files[i].name; i++)
        if (!(taken >> i & 1) && !files[i].optional)
            return err_set(err, ERR_DAMAGED, "the archive lacks %s", files[i].name);
    return (size_t)__builtin_popcount(taken) == json_array_size(json_object_get(manifest, "files")) ||
           err_set(err, ERR_DAMAGED, "the archive lacks files that its manifest names");
}

static const struct backup_file *known(enum backup_kind kind, const char *name)
{
    for (const struct backup_file *file = backup_files(kind); file->name; file++)
        if (strcmp(file->name, name) == 0) return file;
    return NULL;
}

static bool take_file(struct age_reader *in, const struct tar_entry *entry, const char *path, const json_t *row,
                      struct err *err)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    char text[HASH_TEXT];
    const char *said = json_string_value(json_object_get(row, "sha256"));
    struct target target;
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return err_sys(err, ERR_IO, "cannot make %.200s", path);
    target.fd = fd;
    crypto_hash_sha256_init(&target.state);
    if (!tar_take(in, entry, into_file, &target, err)) return false;
    crypto_hash_sha256_final(&target.state, hash);
    hex_text(hash, sizeof hash, text);
    if (!said || strcmp(said, text) != 0 ||
        (json_int_t)entry->size != json_integer_value(json_object_get(row, "bytes")))
        return err_set(err, ERR_DAMAGED, "%s is not what the backup's manifest says", entry->name);
    return fsync(fd) == 0 || err_sys(err, ERR_IO, "cannot bring %.200s to the disk", path);
}

static bool take_all(struct age_reader *in, enum backup_kind kind, const char *home, const json_t *manifest,
                     struct err *err)
{
    struct tar_entry entry;
    char path[BACKUP_PATH], rest[1];
    unsigned taken = 0;
    size_t more = 0;
    if (!drop_old(kind, home, err)) return false;
    for (bool end = false;;) {
        if (!tar_next(in, &entry, &end, err)) return false;
        if (end) break;
        const struct backup_file *file = known(kind, entry.name);
        const json_t *row = manifest_row(manifest, entry.name);
        if (!file || !row)
            return err_set(err, ERR_MALFORMED, "the archive holds a file that its manifest does not name");
        unsigned bit = 1u << (file - backup_files(kind));
        if (taken & bit) return err_set(err, ERR_MALFORMED, "the archive holds %s twice", file->name);
        snprintf(path, sizeof path, "%s/%s.restored", home, file->place);
        if (!take_file(in, &entry, path, row, err)) return false;
        taken |= bit;
    }
    if (!all_there(kind, manifest, taken, err)) return false;
    /* The second empty block, and then age's own end, which only a whole file has. */
    while (age_read(in, rest, 1, &more, err))
        if (more == 0) return true;
    return false;
}

bool backup_read(const char *path, enum backup_kind kind, const char *home, const struct age_keys *identities,
                 json_t **manifest, struct err *err)
{
    static struct age_reader reader;
    JSON_AUTO *found = NULL;
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %.200s", path);
    bool good = age_open(&reader, fd, identities, err) && read_manifest(&reader, kind, &found, err) &&
                take_all(&reader, kind, home, found, err);
    age_close(&reader);
    if (!good) return err_in(err, "%.200s", path);
    *manifest = take(&found);
    return true;
}
