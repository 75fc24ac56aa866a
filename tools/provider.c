/* SPDX-License-Identifier: Apache-2.0 */
/* Plays the parent of one caisson-provider: gives it what it needs, takes its one answer from a pipe. */
#include "provider.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/ini.h"
#include "base/json.h"
#include "base/wire.h"
#include "dropin.h"
#include "program.h"
#include "runtime/messages.h"
#include "source.h"

enum { CONTROL_FD = 3, ANSWER_S = 60, UID_BASE = 60710, CONFIG_BYTES = 256 * 1024, SECRET_BYTES = 8 * 1024 };

struct helper {
    const struct home *home;
    const json_t *keys;
    int control;
    pid_t pid;
};

/* ── [Keys] ────────────────────────────────────────────────────────────────────────────────────────────── */

static bool add_key(json_t *keys, const struct ini_item *item)
{
    if (strcmp(item->key, "ArgonMegabytes") == 0)
        return json_object_set_new(keys, item->key, json_integer(strtol(item->value, NULL, 10))) == 0;
    bool many = strncmp(item->key, "Module", 6) == 0 && item->key[6];
    if (!many) return json_object_set_new(keys, item->key, json_string(item->value)) == 0;
    if (!json_object_get(keys, item->key)) json_object_set_new(keys, item->key, json_array());
    return json_array_append_new(json_object_get(keys, item->key), json_string(item->value)) == 0;
}

static bool open_config(const struct home *home, const char *file, int *fd, struct err *err)
{
    char path[HOME_PATH + 32];
    snprintf(path, sizeof path, "%s/caisson.conf", home->path);
    *fd = open(file ? file : path, O_RDONLY | O_CLOEXEC);
    return *fd >= 0 || err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %.200s", file ? file : path);
}

bool provider_keys(const struct home *home, const char *file, json_t **keys, struct err *err)
{
    INI_AUTO ini = {0};
    FD_AUTO fd = -1;
    FREE_AUTO char *text = malloc(CONFIG_BYTES);
    JSON_AUTO *found = json_object();
    if (!text || !found) return err_set(err, ERR_BUSY, "there is no memory");
    if (!open_config(home, file, &fd, err)) {
        if (file || err->kind != ERR_NOT_FOUND) return false;
        *keys = take(&found); /* every key has a default, and the file may be missing */
        return true;
    }
    ssize_t got = read(fd, text, CONFIG_BYTES);
    if (got < 0) return err_sys(err, ERR_IO, "the configuration cannot be read");
    if (!ini_parse(&ini, text, (size_t)got, file ? file : "caisson.conf", err)) return false;
    for (const struct ini_item *item = NULL; (item = ini_each(&ini, "Keys", NULL, item));)
        if (!add_key(found, item)) return err_set(err, ERR_BUSY, "there is no memory");
    *keys = take(&found);
    return true;
}

static const char *value_of(const json_t *keys, const char *name)
{
    const char *value = json_string_value(json_object_get(keys, name));
    return value ? value : "";
}

const char *provider_name(const json_t *keys)
{
    const char *name = value_of(keys, "Provider");
    return name[0] ? name : "file";
}

/* ── the row ───────────────────────────────────────────────────────────────────────────────────────────── */

bool provider_row(const struct home *home, struct buf *row, struct err *err)
{
    FD_AUTO folder = -1;
    return home_open(home, &folder, err) &&
           file_get(folder, "keys/provider.share", PROVIDER_ROW, "keys/provider.share", row, err);
}

static bool line_of(const struct buf *row, const char *word, char *value, size_t size)
{
    const char *at = row->bytes ? strstr(row->bytes, word) : NULL;
    size_t length = at ? strcspn(at + strlen(word), "\n") : 0;
    if (!at || length == 0 || length >= size) return false;
    memcpy(value, at + strlen(word), length);
    value[length] = '\0';
    return true;
}

bool provider_row_says(const struct buf *row, char name[PROVIDER_NAME], char version[PROVIDER_VERSION])
{
    return line_of(row, "\nprovider ", name, PROVIDER_NAME) && line_of(row, "\nversion ", version, PROVIDER_VERSION);
}

/* ── the helper's process ──────────────────────────────────────────────────────────────────────────────── */

/* As root it gets the user that the daemon's own helper has. */
static uid_t helper_uid(const struct home *home)
{
    char text[16];
    uid_t base = UID_BASE;
    if (home_setting(home, "Daemon", "UidBase", 0, text, sizeof text)) base = (uid_t)strtoul(text, NULL, 10);
    return base + ROLE_PROVIDER;
}

static _Noreturn void run(const char *path, int control, uid_t uid)
{
    char name[] = "caisson-provider", role[] = "provider";
    char *const words[] = {name, role, NULL}, *const environment[] = {NULL};
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), line = fcntl(control, F_DUPFD, 16);
    setsid();
    if (nothing >= 0 && line >= 0 && dup2(nothing, 0) == 0 && dup2(nothing, 1) == 1 &&
        dup2(line, CONTROL_FD) == CONTROL_FD && close_range(CONTROL_FD + 1, ~0u, 0) == 0 &&
        (uid == 0 || (setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0)))
        execve(path, words, environment);
    _exit(127);
}

static bool start(struct helper *helper, struct err *err)
{
    char path[PROGRAM_PATH];
    int ends[2];
    uid_t uid = geteuid() == 0 ? helper_uid(helper->home) : 0;
    if (!program_find("provider", "caisson-provider", path, err) || !wire_pair(ends, err)) return false;
    FD_AUTO theirs = ends[1];
    helper->control = ends[0];
    helper->pid = fork();
    if (helper->pid == 0) run(path, theirs, uid);
    return helper->pid > 0 || err_sys(err, ERR_IO, "caisson-provider cannot be started");
}

static void stop(struct helper *helper)
{
    close_fd(&helper->control);
    if (helper->pid <= 0) return;
    kill(helper->pid, SIGKILL);
    waitpid(helper->pid, NULL, 0);
}

static bool send_frame(struct helper *helper, unsigned type, const void *body, size_t length, int fd)
{
    struct msg_head head = {.type = (uint16_t)type};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    return wire_send(helper->control, pieces, 2, &fd, fd >= 0) == 0;
}

static bool give(struct helper *helper, enum give_kind kind, uint32_t index, int fd, struct err *err)
{
    struct ctl_give body = {.kind = (uint32_t)kind, .index = index};
    return fd < 0 || send_frame(helper, CTL_GIVE, &body, sizeof body, fd) ||
           err_set(err, ERR_UNAVAILABLE, "caisson-provider does not take what it is given");
}

static bool memory_of(const void *bytes, size_t length, int *fd, struct err *err)
{
    FD_AUTO memory = memfd_create("caisson", MFD_CLOEXEC);
    if (memory < 0 || write(memory, bytes, length) != (ssize_t)length || lseek(memory, 0, SEEK_SET) < 0)
        return err_sys(err, ERR_IO, "there is no memory to hand something over");
    *fd = take_fd(&memory);
    return true;
}

/* ── what it is given ──────────────────────────────────────────────────────────────────────────────────── */

static bool ask_passphrase(bool again, int *fd, struct err *err)
{
    BUF_AUTO first, second;
    buf_init(&first, SECRET_BYTES);
    buf_init(&second, SECRET_BYTES);
    source_shield();
    if (!source_prompt("Passphrase of the master key", true, &first, err) ||
        (again && !source_prompt("The same again", true, &second, err)))
        return false;
    if (again && (first.used != second.used || sodium_memcmp(first.bytes, second.bytes, first.used) != 0))
        return err_set(err, ERR_USAGE, "the two are not the same");
    return memory_of(first.bytes, first.used, fd, err);
}

static bool secret_path(const struct home *home, const char *name, char *path, size_t size, struct err *err)
{
    static const char prefix[] = "credential:";
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
        snprintf(path, size, "%s%s%s", name[0] == '/' ? "" : home->path, name[0] == '/' ? "" : "/", name);
        return true;
    }
    if (!name_valid(name + sizeof prefix - 1) || !folder || folder[0] != '/')
        return err_set(err, ERR_NOT_FOUND,
                       "there are no credentials here: run this by systemd-run with -p LoadCredentialEncrypted=%.80s",
                       name + sizeof prefix - 1);
    snprintf(path, size, "%s/%s", folder, name + sizeof prefix - 1);
    return true;
}

static bool secret_fd(const struct helper *helper, bool again, int *fd, struct err *err)
{
    char path[2 * HOME_PATH];
    struct stat status;
    const char *name = value_of(helper->keys, "SecretFile");
    if (!name[0]) return strcmp(provider_name(helper->keys), "passphrase") != 0 || ask_passphrase(again, fd, err);
    if (!secret_path(helper->home, name, path, sizeof path, err)) return false;
    FD_AUTO file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "SecretFile=%.200s cannot be opened", name);
    if (fstat(file, &status) < 0 || (S_ISREG(status.st_mode) && (status.st_mode & 077)))
        return err_set(err, ERR_DENIED, "SecretFile=%.200s can be read by others: chmod 600", name);
    *fd = take_fd(&file);
    return true;
}

static int ca_fd(const struct helper *helper)
{
    static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    char path[2 * HOME_PATH];
    const char *own = value_of(helper->keys, "CAFile");
    snprintf(path, sizeof path, "%s%s%s", own[0] == '/' ? "" : helper->home->path, own[0] == '/' ? "" : "/", own);
    if (own[0]) return open(path, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++) {
        int fd = open(bundles[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0) return fd;
    }
    return -1;
}

static bool give_folders(struct helper *helper, struct err *err)
{
    const json_t *folders = json_object_get(helper->keys, "ModuleFolder");
    for (size_t i = 0; i < json_array_size(folders); i++) {
        const char *path = json_string_value(json_array_get(folders, i));
        FD_AUTO folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return err_sys(err, ERR_IO, "ModuleFolder=%.200s cannot be opened", path);
        if (!give(helper, GIVE_PLUGIN_DIR, (uint32_t)i, folder, err)) return false;
    }
    return true;
}

static bool give_config(struct helper *helper, const char *operation, struct err *err)
{
    JSON_AUTO *config = json_deep_copy(helper->keys);
    BUF_AUTO text;
    FD_AUTO memory = -1;
    buf_init(&text, CONFIG_BYTES);
    if (!config || json_object_set_new(config, "operation", json_string(operation)) < 0 || !json_compact(config, &text))
        return err_set(err, ERR_BUSY, "there is no memory");
    return memory_of(text.bytes, text.used, &memory, err) && give(helper, GIVE_CONFIG, 0, memory, err);
}

/* What is ready before the helper starts: it does not wait for somebody who types. */
struct gifts {
    int share, secret;
};

static bool give_all(struct helper *helper, const char *operation, const struct gifts *gifts, int out, struct err *err)
{
    struct ctl_start body = {.start = clock_now(), .log_level = LOG_LEVEL_INFO};
    FD_AUTO ca = ca_fd(helper);
    if (!give_config(helper, operation, err) || !give_folders(helper, err) ||
        !give(helper, GIVE_SHARE, 0, gifts->share, err) || !give(helper, GIVE_SECRET, 0, gifts->secret, err) ||
        !give(helper, GIVE_CA, 0, ca, err) || !give(helper, GIVE_OUT, 0, out, err))
        return false;
    return send_frame(helper, CTL_START, &body, sizeof body, -1) ||
           err_set(err, ERR_UNAVAILABLE, "caisson-provider does not start");
}

/* ── its answer ────────────────────────────────────────────────────────────────────────────────────────── */

static bool last_words(struct helper *helper, struct err *err)
{
    static struct wire_frame frame;
    struct msg_head head;
    struct ctl_failed failed;
    uint64_t deadline = clock_now() + 2 * CLOCK_S;
    while (wire_wait(helper->control, deadline)) {
        enum wire_got got = wire_take(helper->control, &frame);
        if (got == WIRE_GONE) break;
        if (got != WIRE_FRAME) continue;
        wire_drop(&frame);
        memcpy(&head, frame.bytes, sizeof head);
        if (head.type != CTL_FAILED || frame.length != sizeof head + sizeof failed) continue;
        memcpy(&failed, frame.bytes + sizeof head, sizeof failed);
        failed.status.text[sizeof failed.status.text - 1] = '\0';
        return err_set(err, (enum err_kind)failed.status.kind, "%s", failed.status.text);
    }
    return err_set(err, ERR_UNAVAILABLE, "caisson-provider ended without an answer");
}

static bool read_answer(struct helper *helper, int from, struct buf *answer, struct err *err)
{
    char piece[1024];
    uint64_t deadline = clock_now() + ANSWER_S * CLOCK_S;
    ssize_t got = 1;
    while (got > 0) {
        if (!wire_wait(from, deadline)) return err_set(err, ERR_TIMEOUT, "the key provider did not answer in time");
        got = read(from, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0 && !buf_add(answer, piece, (size_t)got))
            got = -1;
    }
    sodium_memzero(piece, sizeof piece);
    return (got == 0 && answer->used) || last_words(helper, err);
}

static bool run_helper(struct helper *helper, const char *operation, const struct gifts *gifts, struct buf *answer,
                       struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return err_sys(err, ERR_IO, "no pipe can be made");
    FD_AUTO from = ends[0];
    FD_AUTO into = ends[1];
    bool good = start(helper, err) && give_all(helper, operation, gifts, into, err);
    close_fd(&into);
    good = good && read_answer(helper, from, answer, err);
    stop(helper);
    return good;
}

static bool ask(const struct home *home, const json_t *keys, const char *operation, const void *share, size_t length,
                struct buf *answer, struct err *err)
{
    struct helper helper = {.home = home, .keys = keys, .control = -1};
    struct gifts gifts = {.share = -1, .secret = -1};
    buf_init(answer, PROVIDER_ROW);
    bool good = memory_of(share, length, &gifts.share, err) &&
                secret_fd(&helper, strcmp(operation, "wrap") == 0, &gifts.secret, err) &&
                run_helper(&helper, operation, &gifts, answer, err);
    close_fd(&gifts.share);
    close_fd(&gifts.secret);
    return good;
}

bool provider_wrap(const struct home *home, const json_t *keys, const uint8_t share[KEY_BYTES], struct buf *row,
                   struct err *err)
{
    return ask(home, keys, "wrap", share, KEY_BYTES, row, err);
}

bool provider_unwrap(const struct home *home, const json_t *keys, const struct buf *row, uint8_t share[KEY_BYTES],
                     struct err *err)
{
    static const char magic[16] = "caisson-share-1";
    BUF_AUTO answer;
    if (!ask(home, keys, "unwrap", row->bytes, row->used, &answer, err)) return false;
    if (answer.used != SHARE_FRAME_BYTES || memcmp(answer.bytes, magic, sizeof magic) != 0)
        return err_set(err, ERR_PROTOCOL, "caisson-provider did not answer with a share");
    memcpy(share, answer.bytes + sizeof magic, KEY_BYTES);
    return true;
}

bool provider_check(const struct home *home, const json_t *keys, const struct buf *row, char version[PROVIDER_VERSION],
                    struct err *err)
{
    BUF_AUTO answer;
    if (!ask(home, keys, "check", row->bytes, row->used, &answer, err)) return false;
    snprintf(version, PROVIDER_VERSION, "%.*s", (int)answer.used, answer.bytes);
    return true;
}

bool provider_share(const struct home *home, uint8_t share[KEY_BYTES], bool *has, struct err *err)
{
    JSON_AUTO *keys = NULL;
    BUF_AUTO row = {0};
    if (!provider_keys(home, NULL, &keys, err)) return false;
    *has = strcmp(provider_name(keys), "file") != 0;
    return !*has || (provider_row(home, &row, err) && provider_unwrap(home, keys, &row, share, err));
}
