/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a backup's files: digests first, then the archive, encrypted as it is written. */
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/buf.h"
#include "base/json.h"
#include "tar.h"

static const struct backup_file files[BACKUP_KINDS][BACKUP_FILES + 1] = {
    [BACKUP_AUDIT] = {{"audit.db", "data/audit.db", true, false}},
    [BACKUP_VAULT] = {{"vault.db", "data/vault.db", true, false},
                      {"state.db", "data/state.db", true, false},
                      {"recovery.age", "keys/recovery.age", false, true}},
};
static const char *const kind_names[BACKUP_KINDS] = {"audit", "vault"};

const struct backup_file *backup_files(enum backup_kind kind)
{
    return files[kind];
}

const char *backup_kind_name(enum backup_kind kind)
{
    return kind_names[kind];
}

void backup_path(const char *prefix, enum backup_kind kind, char path[BACKUP_PATH])
{
    snprintf(path, BACKUP_PATH, "%s.%s.age", prefix, kind_names[kind]);
}

/* ── one file of a backup ──────────────────────────────────────────────────────────────────────────────── */

static bool open_file(const struct backup_source *source, const struct backup_file *file, int *fd, uint64_t *size,
                      struct err *err)
{
    char path[BACKUP_PATH];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", file->copied ? source->copies : source->home,
             file->copied ? file->name : file->place);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && errno == ENOENT && file->optional) return true;
    if (*fd < 0 || fstat(*fd, &status) < 0) return err_sys(err, ERR_IO, "%s cannot be read", file->place);
    *size = (uint64_t)status.st_size;
    return true;
}

static bool digest(int fd, char text[HASH_TEXT], struct err *err)
{
    char piece[16 * 1024];
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    ssize_t got;
    crypto_hash_sha256_init(&state);
    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "a copy cannot be read");
        crypto_hash_sha256_update(&state, (uint8_t *)piece, (unsigned long long)got);
    }
    crypto_hash_sha256_final(&state, hash);
    hex_text(hash, sizeof hash, text);
    return lseek(fd, 0, SEEK_SET) == 0 || err_sys(err, ERR_IO, "a copy cannot be read");
}

static bool list_files(const struct backup_source *source, enum backup_kind kind, json_t *list, struct err *err)
{
    for (const struct backup_file *file = files[kind]; file->name; file++) {
        char text[HASH_TEXT];
        uint64_t size = 0;
        FD_AUTO fd = -1;
        if (!open_file(source, file, &fd, &size, err)) return false;
        if (fd < 0) continue;
        if (!digest(fd, text, err)) return false;
        json_array_append_new(
            list, json_pack("{s:s,s:I,s:s}", "name", file->name, "bytes", (json_int_t)size, "sha256", text));
    }
    return true;
}

static bool make_manifest(const struct backup_source *source, enum backup_kind kind, struct buf *text, struct err *err)
{
    char origin[128] = "";
    JSON_AUTO *list = json_array();
    if (!list_files(source, kind, list, err)) return false;
    snprintf(origin, sizeof origin, "%.*s", (int)strcspn(source->copied.note, "\n"), source->copied.note);
    JSON_AUTO *manifest = json_pack("{s:i,s:s,s:s,s:I,s:s,s:I,s:I,s:s,s:O}", "format", 1, "kind", kind_names[kind],
                                    "backup", source->id, "made", (json_int_t)time(NULL), "origin", origin, "entries",
                                    (json_int_t)source->copied.entries, "signed", (json_int_t)source->copied.size,
                                    "checkpoint", source->copied.note, "files", list);
    return (manifest && json_compact(manifest, text) && buf_text(text, "\n")) ||
           err_set(err, ERR_TOO_LARGE, "the manifest is too large");
}

static bool put_all(const struct backup_source *source, enum backup_kind kind, struct age_writer *out, struct err *err)
{
    BUF_AUTO manifest;
    buf_init(&manifest, BACKUP_MANIFEST);
    if (!make_manifest(source, kind, &manifest, err) ||
        !tar_put(out, "manifest.json", manifest.bytes, manifest.used, err))
        return false;
    for (const struct backup_file *file = files[kind]; file->name; file++) {
        uint64_t size = 0;
        FD_AUTO fd = -1;
        if (!open_file(source, file, &fd, &size, err)) return false;
        if (fd >= 0 && !tar_put_file(out, file->name, fd, size, err)) return false;
    }
    return tar_end(out, err);
}

bool backup_write(const struct backup_source *source, enum backup_kind kind, const char *path, struct err *err)
{
    static struct age_writer writer;
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, "cannot make %.200s: %s", path,
                       strerrordesc_np(errno));
    bool good = age_begin(&writer, fd, source->recipients, err) && put_all(source, kind, &writer, err);
    good = age_finish(&writer, err) && good;
    if (good && fsync(fd) < 0) good = err_sys(err, ERR_IO, "cannot bring %.200s to the disk", path);
    if (!good) unlink(path);
    return good;
}
