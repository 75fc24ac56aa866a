/* SPDX-License-Identifier: Apache-2.0 */
/* What others remember of the log. */
#include "audit_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/origin.h"
#include "runtime/messages.h"

enum { PATH = 4096, STATE_MAX = 512, PUBLISHED_MAX = 64 * 1024 };
static const char state_head[] = "caisson-verified-1";

static void place(char path[PATH], const char *folder, uint64_t epoch, const char *given, const char *name)
{
    if (given)
        snprintf(path, PATH, "%s", given);
    else if (epoch)
        snprintf(path, PATH, "%s/witness/%s-%llu", folder, name, (unsigned long long)epoch);
    else
        snprintf(path, PATH, "%s/witness/%s", folder, name);
}

/* Bytes of a small file. -1: it cannot be opened (errno). */
static ssize_t read_small(const char *path, void *bytes, size_t room)
{
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -1 : read(fd, bytes, room);
}

bool audit_witness_read(const char *folder, uint64_t epoch, struct audit_mark *mark, bool *hidden, struct err *err)
{
    char path[PATH];
    struct {
        struct ctl_witness witness;
        char more;
    } file;
    place(path, folder, epoch, NULL, "checkpoint");
    *mark = (struct audit_mark){0};
    ssize_t got = read_small(path, &file, sizeof file);
    *hidden = got < 0 && errno == EACCES;
    if (got == 0 || (got < 0 && (errno == ENOENT || errno == EACCES))) return true;
    if (got < 0) return err_sys(err, ERR_IO, "cannot read witness/checkpoint");
    if (got != (ssize_t)sizeof file.witness || !memchr(file.witness.origin, '\0', sizeof file.witness.origin) ||
        !memchr(file.witness.first_vkey, '\0', sizeof file.witness.first_vkey))
        return err_set(err, ERR_DAMAGED, "witness/checkpoint, which the daemon's parent keeps, is damaged");
    mark->known = true;
    mark->size = file.witness.size;
    memcpy(mark->root, file.witness.root, HASH_BYTES);
    memcpy(mark->key, file.witness.key, HASH_BYTES);
    snprintf(mark->origin, sizeof mark->origin, "%s", file.witness.origin);
    snprintf(mark->first_vkey, sizeof mark->first_vkey, "%s", file.witness.first_vkey);
    return true;
}

/* One line at *at as a text; moves on behind it. */
static char *line_at(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    if (!end) return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static bool state_parse(char *text, struct audit_mark *mark)
{
    char *at = text, *end;
    const char *head = line_at(&at), *origin = head ? line_at(&at) : NULL, *size = origin ? line_at(&at) : NULL;
    const char *root = size ? line_at(&at) : NULL, *key = root ? line_at(&at) : NULL;
    if (!key || *at || strcmp(head, state_head) != 0 || strlen(origin) >= sizeof mark->origin) return false;
    errno = 0;
    mark->size = strtoull(size, &end, 10);
    if (*size < '0' || *size > '9' || *end || errno) return false;
    snprintf(mark->origin, sizeof mark->origin, "%s", origin);
    return mark->known = hex_parse(root, mark->root, HASH_BYTES) && hex_parse(key, mark->key, HASH_BYTES);
}

bool audit_state_read(const char *folder, uint64_t epoch, const char *path, struct audit_mark *mark, struct err *err)
{
    char where[PATH], text[STATE_MAX];
    place(where, folder, epoch, path, "verified");
    *mark = (struct audit_mark){0};
    ssize_t got = read_small(where, text, sizeof text - 1);
    if (got < 0 && errno == ENOENT) return true;
    if (got < 0)
        return err_sys(err, ERR_IO,
                       "cannot read what the last verification remembered: name another file with --state");
    text[got] = '\0';
    return state_parse(text, mark) ||
           err_set(err, ERR_DAMAGED, "what the last verification remembered is damaged: look why before you delete it");
}

bool audit_state_write(const char *folder, uint64_t epoch, const char *path, const struct audit_mark *mark,
                       struct err *err)
{
    char where[PATH], draft[PATH + 8], text[STATE_MAX], root[HASH_TEXT], key[HASH_TEXT];
    place(where, folder, epoch, path, "verified");
    snprintf(draft, sizeof draft, "%s.new", where);
    hex_text(mark->root, HASH_BYTES, root);
    hex_text(mark->key, HASH_BYTES, key);
    int length = snprintf(text, sizeof text, "%s\n%s\n%llu\n%s\n%s\n", state_head, mark->origin,
                          (unsigned long long)mark->size, root, key);
    unlink(draft);
    FD_AUTO fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) return err_sys(err, ERR_IO, "cannot write down how far this was verified: name a file with --state");
    bool good = write(fd, text, (size_t)length) == length && fsync(fd) == 0 && rename(draft, where) == 0;
    if (!good) err_sys(err, ERR_IO, "cannot write down how far this was verified");
    if (!good) unlink(draft);
    return good;
}

/* ── what the parent published ─────────────────────────────────────────────────────────────────────── */

static uint64_t epoch_of(const char *vkey)
{
    char origin[ORIGIN_BYTES];
    snprintf(origin, sizeof origin, "%.*s", (int)strcspn(vkey, "+"), vkey);
    return origin_epoch(origin);
}

bool audit_published(const char *folder, uint64_t epoch, char vkey[256], struct err *err)
{
    char path[PATH], text[PUBLISHED_MAX + 1], *at = text;
    snprintf(path, sizeof path, "%s/keys/log.pub", folder);
    vkey[0] = '\0';
    ssize_t got = read_small(path, text, PUBLISHED_MAX);
    if (got < 0) return errno == ENOENT || err_sys(err, ERR_IO, "cannot read keys/log.pub");
    text[got] = '\0';
    for (char *line; (line = line_at(&at));)
        if (strlen(line) < 256 && (!epoch || epoch_of(line) == epoch)) snprintf(vkey, 256, "%s", line);
    return true;
}
