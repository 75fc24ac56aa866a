/* SPDX-License-Identifier: Apache-2.0 */
/* The driver: one process that is everybody else. */
#include "drive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/role.h"
#include "sandbox/sha256.h"

#define die(...) (fprintf(stderr, "drive: " __VA_ARGS__), fprintf(stderr, " (%s)\n", strerror(errno)), abort())

static const enum role_id roles[DRIVE_PEERS] = {ROLE_PARENT, ROLE_LEDGER, ROLE_FRONT, ROLE_VAULT, ROLE_BROKER};

/* ── frames ──────────────────────────────────────────────────────────────────────────────────────────── */

void drive_send(struct drive *drive, enum drive_peer to, unsigned type, const void *body, size_t length, int fd)
{
    struct msg_head head = {
        .type = (uint16_t)type, .generation = drive->generations[to], .registry = drive->registry, .seq = 7};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    int failed = wire_send(drive->lines[to], pieces, length ? 2 : 1, &fd, fd >= 0);
    if (failed && failed != EPIPE) die("sending %u: %s", type, strerror(failed));
}

static void forget_gone(struct drive *drive);

/* Attempts come by the dozen: they are kept apart. */
static bool keep_tried(struct drive *drive, const struct wire_frame *frame)
{
    struct msg_head head;
    memcpy(&head, frame->bytes, sizeof head);
    if (head.type != MSG_WORKER_TRIED) return false;
    memcpy(&drive->tried[drive->tried_count++ % DRIVE_TRIED], frame->bytes + sizeof head, sizeof *drive->tried);
    return true;
}

static void keep(struct drive *drive, enum drive_peer from, struct wire_frame *frame)
{
    if (keep_tried(drive, frame)) return;
    for (int i = 0; i < DRIVE_INBOX; i++) {
        struct drive_frame *slot = &drive->inbox[i];
        if (slot->used) continue;
        slot->used = true;
        slot->from = from;
        memcpy(&slot->head, frame->bytes, sizeof slot->head);
        slot->length = frame->length - sizeof slot->head;
        if (slot->length > sizeof slot->body) die("a large frame");
        memcpy(slot->body, frame->bytes + sizeof slot->head, slot->length);
        slot->fd_count = frame->fd_count;
        memcpy(slot->fds, frame->fds, sizeof slot->fds);
        return;
    }
    static bool again;
    if (again) die("the inbox is full");
    forget_gone(drive);
    again = true;
    keep(drive, from, frame);
    again = false;
}

static void pump(struct drive *drive, int ms)
{
    static struct wire_frame frame;
    struct pollfd lines[DRIVE_PEERS];
    for (int i = 0; i < DRIVE_PEERS; i++) lines[i] = (struct pollfd){.fd = drive->lines[i], .events = POLLIN};
    if (drive->deaf) lines[DRIVE_LEDGER].fd = -1;
    if (poll(lines, DRIVE_PEERS, ms) <= 0) return;
    for (int i = 0; i < DRIVE_PEERS; i++) {
        if (!lines[i].revents) continue;
        enum wire_got got = wire_take(lines[i].fd, &frame);
        if (got == WIRE_FRAME) keep(drive, (enum drive_peer)i, &frame);
        if (got == WIRE_GONE) close(drive->lines[i]), drive->lines[i] = -1;
    }
}

/* Every message about a call begins with its call_ref, but the answers, which begin with a status. */
static bool about(const struct drive_frame *frame, const struct call_ref *call)
{
    size_t at = frame->head.type == MSG_TAKEN ? sizeof(struct msg_status) : 0;
    return !call || memcmp(frame->body + at, call, sizeof *call) == 0;
}

struct drive_frame *drive_expect(struct drive *drive, enum drive_peer from, unsigned type, const struct call_ref *call,
                                 int ms)
{
    uint64_t deadline = clock_now() + (uint64_t)ms * CLOCK_MS;
    for (;;) {
        for (int i = 0; i < DRIVE_INBOX; i++) {
            struct drive_frame *frame = &drive->inbox[i];
            if (frame->used && frame->from == from && frame->head.type == type && about(frame, call)) return frame;
        }
        if (clock_now() >= deadline || drive->lines[from] < 0) return NULL;
        pump(drive, clock_left_ms(deadline));
    }
}

void drive_drop(struct drive_frame *frame)
{
    if (!frame) return;
    for (int i = 0; i < frame->fd_count; i++)
        if (frame->fds[i] >= 0) close(frame->fds[i]);
    frame->used = false;
}

/* ── start ───────────────────────────────────────────────────────────────────────────────────────────── */

static int memory_of(const void *bytes, size_t length)
{
    int file = memfd_create("drive", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 || write(file, bytes, length) != (ssize_t)length) die("memfd");
    if (fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0) die("seals");
    return file;
}

static int memory_of_file(const char *path, uint8_t digest[32])
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    struct stat file;
    if (from < 0 || fstat(from, &file) < 0) die("%s", path);
    void *bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, from, 0);
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, bytes, (size_t)file.st_size);
    sha256_end(&sha, digest);
    int copy = memory_of(bytes, (size_t)file.st_size);
    munmap(bytes, (size_t)file.st_size);
    close(from);
    return copy;
}

static json_t *actions_of(const struct drive_entry *entry)
{
    json_t *list = json_array();
    for (int i = 0; i < 16 && (i == 0 || entry->actions[i]); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:{}, s:b, s:[]}", "name",
                                              entry->actions[i] ? entry->actions[i] : "run", "summary", "test", "input",
                                              "idempotent", 0, "fields"));
    return list;
}

static json_t *entry_json(struct drive *drive, unsigned index, const uint8_t so_digest[32])
{
    const struct drive_entry *e = &drive->entries[index];
    char so[HASH_TEXT], digest[HASH_TEXT], zero[HASH_TEXT];
    uint8_t none[32] = {0};
    json_t *settings = e->settings ? json_loads(e->settings, 0, NULL) : json_object();
    json_t *limits = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "memory_mb",
                               e->memory_mb ? e->memory_mb : 64, "cpu_s", e->cpu_s ? e->cpu_s : 10, "wall_s", 10,
                               "output_kb", e->output_kb ? e->output_kb : 64, "log_kb", e->log_kb ? e->log_kb : 16,
                               "dials", 8, "up_kb", 1024, "down_kb", 1024, "concurrency",
                               e->concurrency ? e->concurrency : 8);
    json_t *lease = json_pack("{s:i, s:i, s:i, s:i}", "calls", e->calls ? e->calls : 100, "age_s", 600, "idle_s",
                              e->idle_s ? e->idle_s : 60, "spares", e->spares);
    json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:[], s:o, s:o, s:[], s:[s], s:o}", "name",
                            e->name ? e->name : "test", "plugin", "test", "version", "1.0.0", "summary", "test",
                            "state", "enabled", "isolation", e->lease ? "lease" : "call", "lease", lease, "actions",
                            actions_of(e), "fields", "settings", settings, "egress", json_array(), "ranges",
                            "workspaces", "default", "limits", limits);
    if (!out) die("the entry's document");
    if (e->egress) json_array_append_new(json_object_get(out, "egress"), json_string("tls://example.com:443"));
    char *text = json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, text, strlen(text));
    sha256_add(&sha, so_digest, 32);
    sha256_end(&sha, drive->digests[index]);
    free(text);
    hex_text(e->wrong_digest ? none : so_digest, 32, so);
    hex_text(drive->digests[index], 32, digest);
    hex_text(none, 32, zero);
    json_object_set_new(out, "so_digest", json_string(so));
    json_object_set_new(out, "digest", json_string(digest));
    json_object_set_new(out, "manifest_digest", json_string(zero));
    return out;
}

static void give(struct drive *drive, enum give_kind kind, uint32_t index, int fd)
{
    struct ctl_give body = {kind, index};
    drive_send(drive, DRIVE_CONTROL, CTL_GIVE, &body, sizeof body, fd);
    close(fd);
}

/* Gives the plugins; returns the registry's memfd. */
static int load(struct drive *drive, const struct drive_entry *entries, unsigned count)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    drive->registry++;
    drive->entry_count = count;
    fprintf(out, "{\"entries\":%u,\"registry\":%u}\n", count, drive->registry);
    for (unsigned i = 0; i < count; i++) {
        uint8_t digest[32];
        drive->entries[i] = entries[i];
        int plugin = memory_of_file(entries[i].plugin, digest);
        json_t *entry = entry_json(drive, i, digest);
        json_dumpf(entry, out, JSON_COMPACT | JSON_SORT_KEYS);
        fputc('\n', out);
        json_decref(entry);
        give(drive, GIVE_PLUGIN, i, plugin);
    }
    fclose(out);
    int file = memory_of(text, length);
    free(text);
    if (fcntl(file, F_GETFD) < 0) die("registry");
    return file;
}

void drive_load(struct drive *drive, const struct drive_entry *entries, unsigned count)
{
    int file = load(drive, entries, count);
    struct ctl_registry body = {drive->registry};
    drive_send(drive, DRIVE_CONTROL, CTL_REGISTRY, &body, sizeof body, file);
    close(file);
    struct drive_frame *done = drive_expect(drive, DRIVE_CONTROL, CTL_REGISTRY_DONE, NULL, 5000);
    if (!done) die("no answer to a registry");
    drive_drop(done);
}

void drive_freeze(struct drive *drive, bool on)
{
    struct ctl_freeze body = {on, 0};
    drive_send(drive, DRIVE_CONTROL, CTL_FREEZE, &body, sizeof body, -1);
    drive_load(drive, drive->entries, drive->entry_count);
}

void drive_replace(struct drive *drive, enum drive_peer peer)
{
    int ends[2];
    struct err err;
    if (!wire_pair(ends, &err)) die("pair");
    if (drive->room) setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &drive->room, sizeof drive->room);
    if (drive->lines[peer] >= 0) close(drive->lines[peer]);
    drive->lines[peer] = ends[0];
    struct ctl_line body = {.peer = roles[peer], .index = 0, .generation = ++drive->generations[peer]};
    drive_send(drive, DRIVE_CONTROL, CTL_LINE, &body, sizeof body, ends[1]);
    close(ends[1]);
}

static void give_all(struct drive *drive, const struct drive_how *how)
{
    json_t *config = json_pack("{s:i, s:i}", "plugin_uid", 70000, "plugin_uids", 64);
    if (how->cell) json_object_set_new(config, "cell", json_string(how->cell));
    if (how->helpers) json_object_set_new(config, "helpers", json_string(how->helpers));
    char *text = json_dumps(config, 0);
    give(drive, GIVE_CONFIG, 0, memory_of(text, strlen(text)));
    free(text);
    json_decref(config);
    if (how->ca) {
        uint8_t digest[32];
        give(drive, GIVE_CA, 0, memory_of_file(how->ca, digest));
    }
}

static _Noreturn void become_runner(int line, const struct drive_how *how)
{
    const char *program = how->runner ? how->runner : RUNNER_PROGRAM;
    char *arguments[] = {(char *)program, NULL}, *environment[] = {NULL};
    if (line == ROLE_CONTROL_FD)
        fcntl(line, F_SETFD, 0);
    else
        dup2(line, ROLE_CONTROL_FD);
    syscall(SYS_close_range, 4, ~0u, 0);
    if (how->as_nobody &&
        (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
        _exit(99);
    if (how->before) how->before();
    execve(program, arguments, environment);
    _exit(98);
}

bool drive_start(struct drive *drive, const struct drive_entry *entries, unsigned count, const struct drive_how *how,
                 char why[256])
{
    static const struct drive_how plain;
    int ends[2];
    struct err err;
    signal(SIGPIPE, SIG_IGN);
    memset(drive, 0, sizeof *drive);
    for (int i = 0; i < DRIVE_PEERS; i++) drive->lines[i] = -1;
    for (int i = 0; i < DRIVE_CHANNELS; i++) drive->channels[i].secret = drive->channels[i].egress = -1;
    if (!wire_pair(ends, &err)) die("pair");
    how = how ? how : &plain;
    drive->pid = fork();
    if (drive->pid == 0) become_runner(ends[1], how);
    close(ends[1]);
    drive->lines[DRIVE_CONTROL] = ends[0];
    for (int i = DRIVE_LEDGER; i < DRIVE_PEERS; i++) drive_replace(drive, (enum drive_peer)i);
    give_all(drive, how);
    give(drive, GIVE_REGISTRY, 0, load(drive, entries, count));
    struct ctl_start start = {.start = clock_now(), .minimum_isolation = how->lowered, .log_level = LOG_LEVEL_INFO};
    drive_send(drive, DRIVE_CONTROL, CTL_START, &start, sizeof start, -1);
    for (uint64_t until = clock_now() + 20 * CLOCK_S; clock_now() < until && drive->lines[DRIVE_CONTROL] >= 0;) {
        struct drive_frame *ready = drive_expect(drive, DRIVE_CONTROL, CTL_READY, NULL, 0);
        struct drive_frame *failed = drive_expect(drive, DRIVE_CONTROL, CTL_FAILED, NULL, 0);
        if (failed && why) snprintf(why, 256, "%s", ((struct ctl_failed *)failed->body)->status.text);
        if (ready || failed) return drive_drop(ready), drive_drop(failed), ready != NULL;
        pump(drive, 1000);
    }
    if (why) snprintf(why, 256, "the runner is gone");
    return false;
}

int drive_stop(struct drive *drive)
{
    int status = 0;
    for (int i = 0; i < DRIVE_PEERS; i++)
        if (drive->lines[i] >= 0) close(drive->lines[i]);
    for (int i = 0; i < DRIVE_INBOX; i++)
        if (drive->inbox[i].used) drive_drop(&drive->inbox[i]);
    for (int i = 0; i < DRIVE_CHANNELS; i++) {
        if (drive->channels[i].secret >= 0) close(drive->channels[i].secret);
        if (drive->channels[i].egress >= 0) close(drive->channels[i].egress);
    }
    waitpid(drive->pid, &status, 0);
    return status;
}

/* ── one call ────────────────────────────────────────────────────────────────────────────────────────── */

static void wanted_digest(const struct drive_call *call, const uint8_t salt[32], uint8_t digest[32])
{
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, FRAME_INPUT_TAG, sizeof FRAME_INPUT_TAG - 1);
    sha256_add(&sha, salt, 32);
    sha256_add(&sha, call->input, strlen(call->input));
    sha256_end(&sha, digest);
}

static uint64_t deadline_of(const struct drive_call *call)
{
    return clock_now() + (call->deadline_ms ? call->deadline_ms : 5000) * CLOCK_MS;
}

void drive_begin(struct drive *drive, struct drive_call *call)
{
    if (!call->ref.attempt) {
        id_new(call->ref.id);
        call->ref.attempt = 1;
    }
    if (!call->input) call->input = "{}";
    call->stream = call->replies_fd = -1;
    struct msg_start start = {.call = call->ref,
                              .taker = ROLE_FRONT,
                              .entry = call->entry,
                              .action = call->action,
                              .credential_version = call->credential ? 1 : 0,
                              .isolation = drive->entries[call->entry].lease ? ISOLATE_LEASE : ISOLATE_CALL,
                              .deadline = deadline_of(call)};
    start.workspace[0] = call->workspace;
    start.credential[0] = call->credential;
    struct msg_take take = {call->ref};
    if (call->take_first) drive_send(drive, DRIVE_FRONT, MSG_TAKE, &take, sizeof take, -1);
    drive_send(drive, DRIVE_LEDGER, MSG_START, &start, sizeof start, -1);
    if (!call->take_first) drive_send(drive, DRIVE_FRONT, MSG_TAKE, &take, sizeof take, -1);
}

/* Keeps the ends that came with a half under its channel number. */
static void forget_gone(struct drive *drive)
{
    for (int i = 0; i < DRIVE_INBOX; i++) {
        struct drive_frame *frame = &drive->inbox[i];
        const struct msg_half *half = (const void *)frame->body;
        if (!frame->used || frame->head.type != MSG_HALF || half->call.attempt) continue;
        for (int c = 0; frame->from == DRIVE_VAULT && c < DRIVE_CHANNELS; c++) {
            if (drive->channels[c].number != half->channel) continue;
            if (drive->channels[c].secret >= 0) close(drive->channels[c].secret);
            if (drive->channels[c].egress >= 0) close(drive->channels[c].egress);
            drive->channels[c].number = 0;
            drive->channels[c].secret = drive->channels[c].egress = -1;
        }
        drive_drop(frame);
    }
}

static int keep_half(struct drive *drive, struct drive_frame *frame, bool secret)
{
    const struct msg_half *half = (const void *)frame->body;
    forget_gone(drive);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < DRIVE_CHANNELS; i++) {
            if (drive->channels[i].number != (pass ? 0 : half->channel)) continue;
            drive->channels[i].number = half->channel;
            int *slot = secret ? &drive->channels[i].secret : &drive->channels[i].egress;
            if (frame->fd_count == 1) *slot = frame->fds[0], frame->fds[0] = -1;
            return i;
        }
    die("too many channels");
}

/* The vault's frame for it; returns its size. */
static size_t build_secret(const struct drive_call *call, struct frame_secret *out)
{
    size_t used = 0, name = call->secret_name ? strlen(call->secret_name) : 0;
    memset(out, 0, sizeof *out);
    out->magic = FRAME_SECRET_MAGIC;
    memcpy(out->call_id, call->ref.id, ID_BYTES);
    out->attempt = call->ref.attempt;
    out->action = call->tamper_action ? call->action + 1 : call->action;
    memset(out->salt, 3, 32);
    wanted_digest(call, out->salt, out->input_digest);
    out->input_size = (uint32_t)strlen(call->input);
    if (name) {
        memcpy(out->fields[0].name, call->secret_name, name);
        out->fields[0].length = (uint32_t)strlen(call->secret);
        used = strlen(call->secret) + 1;
        memcpy(out->bytes, call->secret, used);
        out->field_count = 1;
    }
    out->size = (uint32_t)(sizeof *out + used);
    return out->size;
}

static void write_secret(struct drive *drive, struct drive_call *call, int slot, const void *frame, size_t size)
{
    int *fd = &drive->channels[slot].secret;
    if (!call->skip_secret && write(*fd, frame, size) != (ssize_t)size && errno != EPIPE) die("secret");
    if (drive->entries[call->entry].lease) return;
    close(*fd);
    *fd = -1;
    if (drive->channels[slot].egress < 0) drive->channels[slot].number = 0;
}

/* As the front does it: head, call and input in one write. */
static void write_call(struct drive_call *call)
{
    size_t length = strlen(call->input);
    struct frame_head head = {(uint32_t)(sizeof(struct frame_call) + length), FRAME_CALL, FRAME_VERSION, {0}};
    struct frame_call body = {call->ref.attempt, call->action, deadline_of(call), ""};
    struct err err;
    memcpy(head.call_id, call->ref.id, ID_BYTES);
    char *whole = malloc(sizeof head + sizeof body + length);
    memcpy(whole, &head, sizeof head);
    memcpy(whole + sizeof head, &body, sizeof body);
    memcpy(whole + sizeof head + sizeof body, call->input, length);
    if (call->tamper_input) whole[sizeof head + sizeof body + length - 1] = ' ';
    bool good = wire_write_all(call->stream, whole, sizeof head + sizeof body + length, deadline_of(call), &err);
    (void)good; /* a worker that died first shows in its replies */
    free(whole);
}

bool drive_feed(struct drive *drive, struct drive_call *call)
{
    static union {
        struct frame_secret frame;
        char bytes[FRAME_SECRET_MAX];
    } secret;
    struct drive_frame *taken = drive_expect(drive, DRIVE_FRONT, MSG_TAKEN, &call->ref, 15000);
    if (!taken) return false;
    call->reason = ((struct msg_taken *)taken->body)->reason;
    call->taken = ((struct msg_taken *)taken->body)->status.kind == ERR_NONE && taken->fd_count == 2;
    if (call->taken) call->stream = taken->fds[0], call->replies_fd = taken->fds[1], taken->fd_count = 0;
    drive_drop(taken);
    struct drive_frame *half = call->taken ? drive_expect(drive, DRIVE_VAULT, MSG_HALF, &call->ref, 2000) : NULL;
    if (!half) return false;
    call->half_vault = true;
    call->channel = ((struct msg_half *)half->body)->channel;
    int slot = keep_half(drive, half, true);
    drive_drop(half);
    if (drive->entries[call->entry].egress && (half = drive_expect(drive, DRIVE_BROKER, MSG_HALF, &call->ref, 2000))) {
        call->half_broker = true;
        keep_half(drive, half, false);
        drive_drop(half);
    }
    size_t size = build_secret(call, &secret.frame);
    if (call->stop_runner) kill(drive->pid, SIGSTOP);
    call->fed = clock_now();
    write_call(call);
    write_secret(drive, call, slot, &secret, size); /* the worker waits for this one first */
    return true;
}

static bool take_frame(struct drive_call *call, uint64_t until)
{
    struct frame_head head;
    struct err err;
    static char body[FRAME_WORKER_MAX + 1];
    if (!wire_read_all(call->replies_fd, &head, sizeof head, until, &err)) return false;
    if (head.length > FRAME_WORKER_MAX || !wire_read_all(call->replies_fd, body, head.length, until, &err))
        return false;
    body[head.length] = 0;
    call->frames++;
    if (head.type == FRAME_LOG && head.length >= sizeof(struct frame_log)) {
        size_t used = strlen(call->log);
        snprintf(call->log + used, sizeof call->log - used, "%s\n", body + sizeof(struct frame_log));
    }
    if (head.type == FRAME_REPLY) {
        call->replies++;
        if (!call->reply) call->reply = json_loadb(body, head.length, 0, NULL);
    }
    return true;
}

void drive_replies(struct drive *drive, struct drive_call *call)
{
    uint64_t until = deadline_of(call) + CLOCK_S;
    if (call->replies_fd < 0) return;
    while (!call->reply && take_frame(call, until)) continue;
    call->replied_at = clock_now();
    call->replied = call->reply != NULL;
}

/* What went over that line before is not in the kernel any more: the runner has it, and does it before what comes over
 * another line. */
static void wait_taken(struct drive *drive, enum drive_peer peer)
{
    int left = 1;
    for (int ms = 0; ms < 5000 && left > 0; ms++) {
        if (ioctl(drive->lines[peer], SIOCOUTQ, &left) < 0) return;
        if (left > 0) usleep(1000);
    }
}

void drive_done(struct drive *drive, struct drive_call *call, bool ok)
{
    struct msg_done done = {call->ref, ok};
    drive_send(drive, DRIVE_FRONT, MSG_DONE, &done, sizeof done, -1);
    wait_taken(drive, DRIVE_FRONT);
}

/* What is left of a call's channels, when nothing is leased. */
static void drop_channel(struct drive *drive, const struct drive_call *call)
{
    for (int i = 0; i < DRIVE_CHANNELS; i++) {
        if (drive->channels[i].number != call->channel || drive->entries[call->entry].lease) continue;
        if (drive->channels[i].egress >= 0) close(drive->channels[i].egress);
        drive->channels[i].number = 0;
        drive->channels[i].egress = -1;
    }
}

void drive_call(struct drive *drive, struct drive_call *call)
{
    drive_begin(drive, call);
    if (drive_feed(drive, call)) {
        drive_replies(drive, call);
        if (!call->no_done) drive_done(drive, call, call->replied);
        drop_channel(drive, call);
    }
    if (call->replied) return;
    struct drive_frame *ended = drive_expect(drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call->ref, 10000);
    call->ended = ended != NULL;
    if (ended) memcpy(&call->end, ended->body, sizeof call->end);
    drive_drop(ended);
}

void drive_call_clear(struct drive_call *call)
{
    json_decref(call->reply);
    if (call->stream >= 0) close(call->stream);
    if (call->replies_fd >= 0) close(call->replies_fd);
}

/* ── processes ───────────────────────────────────────────────────────────────────────────────────────── */

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    char *after = got > 0 ? strrchr(text, ')') : NULL;
    return after ? (pid_t)atoi(after + 4) : 0;
}

unsigned children_of(pid_t pid, pid_t *out, unsigned room)
{
    DIR *proc = opendir("/proc");
    unsigned count = 0;
    for (struct dirent *one; proc && (one = readdir(proc));) {
        pid_t here = (pid_t)atoi(one->d_name);
        if (here > 0 && parent_of(here) == pid) {
            if (out && count < room) out[count] = here;
            count++;
        }
    }
    if (proc) closedir(proc);
    return count;
}

unsigned fds_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    unsigned count = 0;
    while (folder && readdir(folder)) count++;
    if (folder) closedir(folder);
    return count > 2 ? count - 2 : 0;
}
