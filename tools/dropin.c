/* SPDX-License-Identifier: Apache-2.0 */
/* Editing, finding and writing drop-ins. */
#include "dropin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/text.h"
#include "base/utf8.h"

/* ── editing ───────────────────────────────────────────────────────────────────────────────────────── */

static bool carries(const char *value)
{
    size_t length = strlen(value);
    if (length == 0 || length > INI_LINE - 2 * INI_NAME || !utf8_valid(value, length)) return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) return false;
    return value[0] != ' ' && value[length - 1] != ' ' && value[length - 1] != '\\';
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Is the line "[section]"? */
static bool opens(const char *line, size_t length, const char *section)
{
    while (length && blank(*line)) line++, length--;
    while (length && blank(line[length - 1])) length--;
    return length == strlen(section) + 2 && line[0] == '[' && memcmp(line + 1, section, length - 2) == 0;
}

static bool opens_any(const char *line, size_t length)
{
    while (length && blank(*line)) line++, length--;
    return length && *line == '[';
}

static bool assigns(const char *line, size_t length, const char *key)
{
    size_t wanted = strlen(key);
    while (length && blank(*line)) line++, length--;
    if (length <= wanted || memcmp(line, key, wanted) != 0) return false;
    for (line += wanted, length -= wanted; length && blank(*line); length--) line++;
    return length && *line == '=';
}

static bool empty(const char *line, size_t length)
{
    while (length && blank(*line)) line++, length--;
    return length == 0;
}

/* One walk over the lines. Where *spot is not SIZE_MAX, the new lines go in at that place of the new text. */
static bool without_key(const struct buf *text, const char *section, const char *key, struct buf *out, size_t *spot)
{
    bool inside = false;
    *spot = SIZE_MAX;
    for (size_t at = 0; at < text->used;) {
        const char *line = text->bytes + at, *newline = memchr(line, '\n', text->used - at);
        size_t length = newline ? (size_t)(newline - line) : text->used - at;
        at += length + (newline ? 1 : 0);
        if (opens_any(line, length))
            inside = opens(line, length, section);
        else if (inside && assigns(line, length, key))
            continue;
        if (!buf_add(out, line, length) || !buf_text(out, "\n")) return false;
        if (inside && !empty(line, length)) *spot = out->used;
    }
    return true;
}

static bool add_values(struct buf *out, const char *key, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!buf_print(out, "%s=%s\n", key, values[i])) return false;
    return true;
}

static bool rebuild(const struct buf *text, const char *section, const char *key, const char *const *values,
                    size_t count, struct buf *out)
{
    size_t spot;
    BUF_AUTO kept;
    buf_init(&kept, DROPIN_TEXT);
    if (!without_key(text, section, key, &kept, &spot)) return false;
    bool there = spot != SIZE_MAX;
    if (!buf_add(out, kept.bytes, there ? spot : kept.used)) return false;
    if (!there && count && !buf_print(out, "%s[%s]\n", kept.used ? "\n" : "", section)) return false;
    return add_values(out, key, values, count) && (!there || buf_add(out, kept.bytes + spot, kept.used - spot));
}

bool dropin_set(struct buf *text, const char *section, const char *key, const char *const *values, size_t count,
                struct err *err)
{
    BUF_AUTO out;
    buf_init(&out, DROPIN_TEXT);
    for (size_t i = 0; i < count; i++)
        if (!carries(values[i]))
            return err_set(
                err, ERR_BAD_INPUT,
                "%s: a value is one line of text, not empty, without control bytes or a backslash at its end", key);
    if (!rebuild(text, section, key, values, count, &out))
        return err_set(err, ERR_TOO_LARGE, "the drop-in would be larger than 64 KiB");
    buf_clear(text);
    return buf_add(text, out.bytes, out.used) || err_set(err, ERR_IO, "out of memory");
}

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool take_in(int fd, const char *what, struct buf *buf, struct err *err)
{
    char piece[16 * 1024];
    for (ssize_t got; (got = read(fd, piece, sizeof piece)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "cannot read %s", what);
        if (!buf_add(buf, piece, (size_t)got))
            return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", what, buf->max);
    }
    return true;
}

bool file_get(int folder, const char *name, size_t most, const char *what, struct buf *buf, struct err *err)
{
    struct stat status;
    buf_init(buf, most);
    FD_AUTO fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", what,
                       strerrordesc_np(errno));
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(err, ERR_BAD_INPUT, "%s is not a regular file", what);
    return take_in(fd, what, buf, err);
}

static bool write_whole(int fd, const char *bytes, size_t length, const char *name, struct err *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, bytes + done, length - done);
        if (put < 0 && errno != EINTR) return err_sys(err, ERR_IO, "cannot write %s: %s", name, strerrordesc_np(errno));
        if (put > 0) done += (size_t)put;
    }
    if (fchmod(fd, 0644) < 0 || fsync(fd) < 0) return err_sys(err, ERR_IO, "cannot finish %s", name);
    return true;
}

bool file_put(int folder, const char *name, const void *bytes, size_t length, struct err *err)
{
    char draft[DROPIN_NAME + 8];
    snprintf(draft, sizeof draft, ".%s.new", name);
    unlinkat(folder, draft, 0);
    FD_AUTO fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno == EACCES ? ERR_DENIED : ERR_IO, "cannot write %s: %s", name, strerrordesc_np(errno));
    bool good = write_whole(fd, bytes, length, name, err) && (renameat(folder, draft, folder, name) == 0 ||
                                                              err_sys(err, ERR_IO, "cannot put %s in its place", name));
    if (!good) unlinkat(folder, draft, 0);
    return good && (fsync(folder) == 0 || err_sys(err, ERR_IO, "cannot bring the folder to the disk"));
}

bool file_keep(int folder, const char *name, size_t most, struct file_before *before, struct err *err)
{
    snprintf(before->name, sizeof before->name, "%s", name);
    before->there = file_get(folder, name, most, name, &before->bytes, err);
    return before->there || err->kind == ERR_NOT_FOUND;
}

bool file_put_back(int folder, const struct file_before *before, struct err *err)
{
    if (before->there) return file_put(folder, before->name, before->bytes.bytes, before->bytes.used, err);
    return (unlinkat(folder, before->name, 0) == 0 && fsync(folder) == 0) ||
           err_sys(err, ERR_IO, "cannot take %s away", before->name);
}

void digest_text(const struct buf *bytes, char text[DIGEST_TEXT])
{
    uint8_t hash[HASH_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)(bytes->bytes ? bytes->bytes : ""), bytes->used);
    text_copy(text, DIGEST_TEXT, "sha256:");
    hex_text(hash, sizeof hash, text + 7);
}

/* ── the folder ────────────────────────────────────────────────────────────────────────────────────── */

void dropin_clear(struct dropin_file *file)
{
    buf_clear(&file->text);
    ini_clear(&file->ini);
}

static int wanted(const struct dirent *item)
{
    size_t length = strlen(item->d_name);
    return item->d_name[0] != '.' && length > 5 && length < DROPIN_NAME &&
           strcmp(item->d_name + length - 5, ".conf") == 0;
}

static int by_bytes(const struct dirent **one, const struct dirent **other)
{
    return strcmp((*one)->d_name, (*other)->d_name);
}

static bool load(int folder, const char *name, struct dropin_file *file, struct err *err)
{
    snprintf(file->file, sizeof file->file, "%s", name);
    return file_get(folder, name, DROPIN_TEXT, name, &file->text, err) &&
           ini_parse(&file->ini, file->text.bytes ? file->text.bytes : "", file->text.used, name, err);
}

/* A drop-in that cannot be read belongs to nobody; it is told of and passed over. */
static bool visit(int folder, const char *name, bool (*each)(const struct dropin_file *, void *, struct err *),
                  void *context, struct err *err)
{
    DROPIN_AUTO file = {0};
    if (load(folder, name, &file, err)) return each(&file, context, err);
    fprintf(stderr, "caisson: passing over plugins.d/%s: %s\n", name, err->text);
    return true;
}

bool dropin_each(int folder, bool (*each)(const struct dropin_file *file, void *context, struct err *err),
                 void *context, struct err *err)
{
    struct dirent **items = NULL;
    int count = scandirat(folder, ".", &items, wanted, by_bytes);
    if (count < 0) return err_sys(err, ERR_IO, "cannot list plugins.d");
    bool go_on = true;
    for (int i = 0; i < count; i++) {
        go_on = go_on && visit(folder, items[i]->d_name, each, context, err);
        free(items[i]);
    }
    free(items);
    return go_on;
}

struct search {
    const char *connector;
    char found[DROPIN_NAME];
};

static bool compare(const struct dropin_file *file, void *context, struct err *err)
{
    struct search *search = context;
    const char *name = ini_get(&file->ini, "Plugin", "Name");
    if (name && strcmp(name, search->connector) == 0 && !search->found[0])
        snprintf(search->found, sizeof search->found, "%s", file->file);
    return true;
}

bool dropin_find(int folder, const char *connector, struct dropin_file *file, struct err *err)
{
    struct search search = {.connector = connector};
    *file = (struct dropin_file){0};
    buf_init(&file->text, DROPIN_TEXT);
    if (!dropin_each(folder, compare, &search, err)) return false;
    if (search.found[0]) return load(folder, search.found, file, err);
    snprintf(file->file, sizeof file->file, "50-%.63s.conf", connector);
    return err_set(err, ERR_NOT_FOUND, "no drop-in enables a connector named %s", connector);
}

bool dropin_free(int folder, const char *file, struct err *err)
{
    struct stat status;
    DROPIN_AUTO there = {0};
    if (fstatat(folder, file, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || err_sys(err, ERR_IO, "cannot look for %s", file);
    if (!load(folder, file, &there, err)) {
        err->kind = ERR_EXISTS;
        return err_in(err, "plugins.d/%s is there already and cannot be read: mend or remove it", file);
    }
    const char *name = ini_get(&there.ini, "Plugin", "Name");
    return err_set(err, ERR_EXISTS, "plugins.d/%s is there already, for %s: give that file another name", file,
                   name ? name : "no connector");
}
