/* SPDX-License-Identifier: Apache-2.0 */
/* A role, taken over: a process on that role's real lines and behind its real walls that does what a test tells it.
 * It connects to the socket "orders" beside the daemon's programs, and takes callers' connections where it is front or
 * desk; each sends lines of JSON, one order each, and what came of it goes back as one line. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/json.h"
#include "runtime/role.h"
#include "sandbox/enter.h"
#include "sandbox/namespace.h"

enum { LINE_MOST = 512 * 1024, READ_MOST = 64 * 1024, MADE = 6, ARGUMENTS = 6, POINTED = 4096, OWN_PATH = 512 };

struct session {
    int fd;
    struct buf in;
};

static struct role role;
static int orders_fd = -1; /* the test's connection */
static json_t *at_start;   /* what every descriptor was, by /proc, when all had been given */
static int made[MADE];     /* sockets of its own, made before the walls went up */
static const char *const made_names[MADE] = {"pair",     "pair-end",     "client",
                                             "accepted", "named-client", "named-accepted"};

/* ── hexadecimal ───────────────────────────────────────────────────────────────────────────────────── */

static json_t *hex_json(const void *bytes, size_t count)
{
    FREE_AUTO char *text = malloc(2 * count + 1);
    if (!text) abort();
    hex_text(bytes, count, text);
    return json_string(text);
}

static size_t hex_bytes(const json_t *value, uint8_t *bytes, size_t most)
{
    size_t count = json_string_length(value) / 2;
    if (count > most || !json_is_string(value) || !hex_parse(json_string_value(value), bytes, count)) return 0;
    return count;
}

static long number(const json_t *order, const char *key, long otherwise)
{
    const json_t *value = json_object_get(order, key);
    return json_is_integer(value) ? (long)json_integer_value(value) : otherwise;
}

/* ── lines ─────────────────────────────────────────────────────────────────────────────────────────── */

static struct role_line *line_of(const json_t *order)
{
    const char *peer = json_string_value(json_object_get(order, "line"));
    for (unsigned i = 0; peer && i < role.line_count; i++) {
        struct role_line *line = &role.lines[i];
        if (strcmp(role_name(line->peer), peer) == 0 && line->index == number(order, "index", 0)) return line;
    }
    return peer && strcmp(peer, "parent") == 0 ? &role.control : NULL;
}

static int fds_of(const json_t *order, int fds[WIRE_FDS])
{
    const json_t *list = json_object_get(order, "fds");
    int count = 0;
    while (count < WIRE_FDS && (size_t)count < json_array_size(list)) {
        fds[count] = (int)json_integer_value(json_array_get(list, (size_t)count));
        count++;
    }
    return count;
}

static json_t *send_frame(const json_t *order, struct session *session)
{
    static uint8_t body[WIRE_MAX];
    const struct role_line *line = line_of(order);
    if (!line) return json_pack("{s:s}", "problem", "no such line");
    struct msg_head head = {.type = (uint16_t)number(order, "type", 0),
                            .generation = (uint32_t)number(order, "generation", line->generation),
                            .registry = (uint32_t)number(order, "registry", role.registry_number),
                            .seq = (uint32_t)number(order, "seq", 1)};
    size_t length = hex_bytes(json_object_get(order, "body"), body, sizeof body);
    struct iovec pieces[2] = {{&head, sizeof head}, {body, length}};
    int fds[WIRE_FDS], count = fds_of(order, fds), failed;
    uint64_t until = clock_now() + 5 * CLOCK_S;
    while ((failed = wire_send(line->fd, pieces, 2, fds, count)) == EAGAIN && clock_now() < until) poll(NULL, 0, 1);
    return json_pack("{s:i}", "errno", failed);
}

static json_t *frame_json(struct wire_frame *frame)
{
    struct msg_head head;
    json_t *fds = json_array();
    memcpy(&head, frame->bytes, sizeof head);
    for (int i = 0; i < frame->fd_count; i++) json_array_append_new(fds, json_integer(take_fd(&frame->fds[i])));
    return json_pack("{s:i,s:I,s:I,s:I,s:o,s:o}", "type", head.type, "generation", (json_int_t)head.generation,
                     "registry", (json_int_t)head.registry, "seq", (json_int_t)head.seq, "body",
                     hex_json(frame->bytes + sizeof head, frame->length - sizeof head), "fds", fds);
}

static json_t *take_one(const struct role_line *line)
{
    static struct wire_frame frame;
    if (wire_take(line->fd, &frame) != WIRE_FRAME) return NULL;
    return frame.length < sizeof(struct msg_head) ? json_object() : frame_json(&frame);
}

static json_t *take_frame(const json_t *order, struct session *session)
{
    const struct role_line *line = line_of(order);
    if (!line) return json_pack("{s:s}", "problem", "no such line");
    wire_wait(line->fd, clock_now() + (uint64_t)number(order, "wait_ms", 10000) * CLOCK_MS);
    json_t *frame = take_one(line);
    return frame ? frame : json_object();
}

/* Everything that waits on every line. */
static json_t *drain(const json_t *order, struct session *session)
{
    json_t *all = json_array(), *one;
    for (unsigned i = 0; i < role.line_count; i++)
        while ((one = take_one(&role.lines[i]))) {
            json_object_set_new(one, "line", json_string(role_name(role.lines[i].peer)));
            json_object_set_new(one, "index", json_integer(role.lines[i].index));
            json_array_append_new(all, one);
        }
    return json_pack("{s:o}", "frames", all);
}

/* Every message there is; "to": the peers that this role may send it to. */
static json_t *rows(const json_t *order, struct session *session)
{
    json_t *all = json_object();
    for (unsigned type = 0; type < MSG_TYPES; type++) {
        const struct msg_row *row = msg_row(type);
        if (!row) continue;
        json_t *to = json_array();
        for (unsigned peer = ROLE_PARENT; (row->from & MSG_BIT(role.part->self)) && peer < ROLE_COUNT; peer++)
            if (row->to & MSG_BIT(peer)) json_array_append_new(to, json_string(role_name((enum role_id)peer)));
        json_object_set_new(all, row->name,
                            json_pack("{s:i,s:i,s:i,s:i,s:o}", "type", (int)type, "least", (int)row->least, "most",
                                      (int)row->most, "fds", row->fds_least, "to", to));
    }
    return all;
}

/* ── descriptors ───────────────────────────────────────────────────────────────────────────────────── */

static json_t *write_bytes(const json_t *order, struct session *session)
{
    static uint8_t bytes[LINE_MOST / 2];
    struct err err = {0};
    size_t count = hex_bytes(json_object_get(order, "bytes"), bytes, sizeof bytes);
    uint64_t until = clock_now() + (uint64_t)number(order, "wait_ms", 5000) * CLOCK_MS;
    bool all = wire_write_all((int)number(order, "fd", -1), bytes, count, until, &err);
    return json_pack("{s:b}", "all", all);
}

static json_t *read_bytes(const json_t *order, struct session *session)
{
    static uint8_t bytes[READ_MOST];
    struct pollfd one = {.fd = (int)number(order, "fd", -1), .events = POLLIN};
    long most = number(order, "most", READ_MOST);
    if (poll(&one, 1, (int)number(order, "wait_ms", 10000)) <= 0) return json_pack("{s:s}", "bytes", "");
    ssize_t got = read(one.fd, bytes, most > READ_MOST ? READ_MOST : (size_t)most);
    return json_pack("{s:o,s:b}", "bytes", hex_json(bytes, got > 0 ? (size_t)got : 0), "end", got == 0);
}

/* One message with descriptors, over any socket that it holds. */
static json_t *pass_on(const json_t *order, struct session *session)
{
    static uint8_t bytes[LINE_MOST / 2];
    int fds[WIRE_FDS], count = fds_of(order, fds);
    struct iovec piece = {bytes, hex_bytes(json_object_get(order, "bytes"), bytes, sizeof bytes)};
    return json_pack("{s:i}", "errno", wire_send((int)number(order, "fd", -1), &piece, 1, fds, count));
}

static json_t *close_one(const json_t *order, struct session *session)
{
    return json_pack("{s:i}", "result", close((int)number(order, "fd", -1)));
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static json_t *describe(int fd, const struct stat *status)
{
    bool is_socket = S_ISSOCK(status->st_mode);
    const char *kind = is_socket ? "socket" : S_ISFIFO(status->st_mode) ? "pipe" : "file";
    return json_pack("{s:i,s:s,s:I,s:i,s:i,s:i,s:i}", "fd", fd, "kind", kind, "inode", (json_int_t)status->st_ino,
                     "access", fcntl(fd, F_GETFL) & O_ACCMODE, "domain", is_socket ? option(fd, SO_DOMAIN) : -1, "type",
                     is_socket ? option(fd, SO_TYPE) : -1, "listening", is_socket ? option(fd, SO_ACCEPTCONN) : -1);
}

/* What it holds now, asked of each number, and what proc said before the walls. */
static json_t *held(const json_t *order, struct session *session)
{
    json_t *now = json_array();
    struct stat status;
    for (int fd = 0; fd < 1024; fd++)
        if (fd != session->fd && fstat(fd, &status) == 0) json_array_append_new(now, describe(fd, &status));
    return json_pack("{s:o,s:O}", "now", now, "at_start", at_start);
}

static json_t *known(const json_t *order, struct session *session)
{
    json_t *lines = json_array(), *own = json_object();
    for (unsigned i = 0; i < role.line_count; i++) {
        const struct role_line *line = &role.lines[i];
        json_array_append_new(lines,
                              json_pack("{s:s,s:i,s:i,s:I}", "peer", role_name(line->peer), "index", (int)line->index,
                                        "fd", line->fd, "generation", (json_int_t)line->generation));
    }
    for (int i = 0; i < MADE; i++) json_object_set_new(own, made_names[i], json_integer(made[i]));
    json_object_set_new(own, "this", json_integer(session->fd));
    json_object_set_new(own, "listener", json_integer(role.given[GIVE_UNIX]));
    json_object_set_new(own, "control", json_integer(role.control.fd));
    json_object_set_new(own, "config", json_integer(role.given[GIVE_CONFIG]));
    json_object_set_new(own, "out", json_integer(role.given[GIVE_OUT]));
    return json_pack("{s:o,s:o,s:I,s:i}", "lines", lines, "fds", own, "registry", (json_int_t)role.registry_number,
                     "pid", (int)getpid());
}

/* ── system calls ──────────────────────────────────────────────────────────────────────────────────── */

/* Any call: numbers as they are, {"hex": bytes} and {"text": string} as pointers to a copy that it may write into. The
 * copies come back, so that what a call has read can be looked at. */
static json_t *system_call(const json_t *order, struct session *session)
{
    static _Alignas(16) uint8_t pointed[ARGUMENTS][POINTED];
    const json_t *given = json_object_get(order, "args");
    long args[ARGUMENTS] = {0};
    json_t *copies = json_array();
    for (size_t i = 0; i < ARGUMENTS && i < json_array_size(given); i++) {
        const json_t *one = json_array_get(given, i), *hex = json_object_get(one, "hex");
        const char *text = json_string_value(json_object_get(one, "text"));
        args[i] = json_is_integer(one) ? (long)json_integer_value(one) : (long)pointed[i];
        if (hex) hex_bytes(hex, pointed[i], POINTED);
        if (text) snprintf((char *)pointed[i], POINTED, "%s", text);
    }
    long result = syscall(number(order, "number", -1), args[0], args[1], args[2], args[3], args[4], args[5]);
    int cause = result < 0 ? errno : 0;
    for (size_t i = 0; i < ARGUMENTS && i < json_array_size(given); i++) {
        const json_t *one = json_array_get(given, i);
        size_t count = json_string_length(json_object_get(one, "hex")) / 2;
        json_array_append_new(copies, json_is_object(one) ? hex_json(pointed[i], count) : json_null());
    }
    return json_pack("{s:I,s:i,s:o}", "result", (json_int_t)result, "errno", cause, "args", copies);
}

/* A memory file with those bytes, sealed if asked; its number. */
static json_t *memory_file(const json_t *order, struct session *session)
{
    static uint8_t bytes[LINE_MOST / 2];
    size_t count = hex_bytes(json_object_get(order, "bytes"), bytes, sizeof bytes);
    int fd = memfd_create("taken", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (write(fd, bytes, count) != (ssize_t)count || lseek(fd, 0, SEEK_SET) < 0)) close_fd(&fd);
    if (fd >= 0 && json_is_true(json_object_get(order, "seal")))
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
    return json_pack("{s:i,s:i}", "fd", fd, "errno", fd < 0 ? errno : 0);
}

/* Two ends of a new pair or pipe, as far as the walls allow. */
static json_t *make_pair(const json_t *order, struct session *session)
{
    int ends[2] = {-1, -1};
    bool is_pipe = json_is_true(json_object_get(order, "pipe"));
    int failed = is_pipe ? pipe2(ends, O_CLOEXEC | O_NONBLOCK)
                         : socketpair(AF_UNIX, (int)number(order, "type", SOCK_STREAM) | SOCK_CLOEXEC, 0, ends);
    return json_pack("{s:[i,i],s:i}", "ends", ends[0], ends[1], "errno", failed ? errno : 0);
}

/* ── orders ────────────────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *name;
    json_t *(*run)(const json_t *, struct session *);
} orders[] = {{"send", send_frame},  {"take", take_frame}, {"drain", drain}, {"rows", rows},   {"write", write_bytes},
              {"read", read_bytes},  {"close", close_one}, {"held", held},   {"known", known}, {"call", system_call},
              {"file", memory_file}, {"pair", make_pair},  {"pass", pass_on}};

static void obey(struct session *session, const char *text, size_t length)
{
    struct err err = {0};
    JSON_AUTO *order = json_loadb(text, length, 0, NULL), *answer = NULL;
    const char *name = json_string_value(json_object_get(order, "do"));
    for (size_t i = 0; name && i < sizeof orders / sizeof *orders; i++)
        if (strcmp(orders[i].name, name) == 0) answer = orders[i].run(order, session);
    FREE_AUTO char *line = json_dumps(answer ? answer : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);
    uint64_t until = clock_now() + 10 * CLOCK_S;
    if (line && wire_write_all(session->fd, line, strlen(line), until, &err))
        wire_write_all(session->fd, "\n", 1, until, &err);
}

static void end_session(struct session *session)
{
    role_unwatch(&role, session->fd);
    close(session->fd);
    buf_clear(&session->in);
    free(session);
}

static void heard(struct role *self, int fd, uint32_t events, void *context)
{
    struct session *session = context;
    static char bytes[READ_MOST];
    ssize_t got = read(fd, bytes, sizeof bytes);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !buf_add(&session->in, bytes, (size_t)got)) {
        end_session(session);
        return;
    }
    for (char *end; (end = memchr(session->in.bytes, '\n', session->in.used));) {
        size_t length = (size_t)(end - session->in.bytes);
        obey(session, session->in.bytes, length);
        memmove(session->in.bytes, end + 1, session->in.used - length - 1);
        session->in.used -= length + 1;
    }
}

static bool listen_to(struct role *self, int connection)
{
    struct session *session = calloc(1, sizeof *session);
    if (!session) return false;
    session->fd = connection;
    buf_init(&session->in, LINE_MOST);
    return role_watch(self, connection, EPOLLIN, heard, session);
}

static void called(struct role *self, int fd, uint32_t events, void *context)
{
    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0 && !listen_to(self, connection)) close(connection);
}

/* ── start ─────────────────────────────────────────────────────────────────────────────────────────── */

static void list_at_start(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    char target[PATH_MAX];
    at_start = json_object();
    while (folder && (entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (length <= 0 || atoi(entry->d_name) == dirfd(folder)) continue;
        target[length] = '\0';
        json_object_set_new(at_start, entry->d_name, json_string(target));
    }
    if (folder) closedir(folder);
}

/* The connection that waits at the door and is its own; others that wait there are told to try again. */
static int accept_own(void)
{
    for (int fd; (fd = accept4(role.given[GIVE_UNIX], NULL, NULL, SOCK_CLOEXEC)) >= 0; close(fd)) {
        struct ucred peer = {0};
        socklen_t size = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == getpid()) return fd;
    }
    return -1;
}

/* Both ends of a connection of its own to its own door. */
static void connect_self(int ends[2], bool named)
{
    struct sockaddr_un door, own = {.sun_family = AF_UNIX};
    socklen_t length = sizeof door;
    ends[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int used = snprintf(own.sun_path + 1, sizeof own.sun_path - 1, "false-front-%d", (int)getpid());
    socklen_t own_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    if (named && bind(ends[0], (struct sockaddr *)&own, own_length) < 0) return;
    if (getsockname(role.given[GIVE_UNIX], (struct sockaddr *)&door, &length) == 0 &&
        connect(ends[0], (struct sockaddr *)&door, length) == 0)
        ends[1] = accept_own();
}

/* The name of a file beside this program, or above it. */
static bool beside(const char *name, char path[OWN_PATH])
{
    char own[OWN_PATH - 64];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0) return false;
    own[length] = '\0';
    char *slash = strrchr(own, '/');
    if (slash) *slash = '\0';
    return snprintf(path, OWN_PATH, "%s/%s", own, name) < OWN_PATH;
}

/* The test listens there, or it takes no orders but callers'. */
static void connect_orders(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[OWN_PATH];
    if (!beside("../../orders", path) ||
        snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >= (int)sizeof address.sun_path)
        return;
    orders_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(orders_fd, (struct sockaddr *)&address, sizeof address) < 0) close_fd(&orders_fd);
}

static bool open_role(struct role *self, struct err *err)
{
    json_object_seed(4711); /* or jansson would look for a device behind the walls */
    list_at_start();
    memset(made, 0xff, sizeof made);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made) < 0) return err_sys(err, ERR_IO, "no pair");
    if (self->given[GIVE_UNIX] >= 0) {
        connect_self(made + 2, false);
        connect_self(made + 4, true);
    }
    connect_orders();
    self->registry_number = 0; /* "means nothing" until a reload says one */
    return true;
}

/* ── walls ─────────────────────────────────────────────────────────────────────────────────────────── */

static const enum wall_role walls_of[ROLE_COUNT] = {
    [ROLE_LOADER] = WALL_LOADER, [ROLE_FRONT] = WALL_FRONT,   [ROLE_DESK] = WALL_DESK,    [ROLE_LEDGER] = WALL_LEDGER,
    [ROLE_VAULT] = WALL_VAULT,   [ROLE_BROKER] = WALL_BROKER, [ROLE_RUNNER] = WALL_RUNNER,
    [ROLE_PROVIDER] = WALL_PROVIDER};

/* Behind the walls that this role, taken over, would be behind: with the same folders, and the runner's privileges. */
static bool confine(struct role *self, struct err *err)
{
    int folders[8] = {self->part->self == ROLE_LOADER ? self->given[GIVE_PLUGINS_D] : self->given[GIVE_DATA]};
    int count = folders[0] >= 0;
    for (int i = 0; self->part->self == ROLE_LOADER && i < 4 && self->plugin_dirs[i] >= 0; i++)
        folders[count++] = self->plugin_dirs[i];
    if (self->part->self == ROLE_RUNNER && privileges_enough() && !privileges_keep_for_runner(err)) return false;
    if (!enter_role(walls_of[self->part->self], count ? folders : NULL, count, err)) return false;
    if (orders_fd >= 0 && !listen_to(self, orders_fd)) return err_set(err, ERR_IO, "no orders");
    return self->given[GIVE_UNIX] < 0 || role_watch(self, self->given[GIVE_UNIX], EPOLLIN, called, NULL) ||
           err_set(err, ERR_IO, "no door");
}

static uint32_t new_registry(struct role *self, uint32_t given)
{
    return given;
}

static const struct role_handler no_handlers[] = {{MSG_NONE, NULL}};
static struct role_part part = {
    .handlers = no_handlers, .open = open_role, .confine = confine, .registry = new_registry, .lines_elsewhere = true};

/* Where a file honest-ROLE stands beside this program, that role is to be an honest one. */
int main(int argc, char **argv)
{
    char path[OWN_PATH], name[64];
    for (unsigned i = ROLE_LOADER; argc > 1 && i < ROLE_COUNT; i++)
        if (strcmp(argv[1], role_name((enum role_id)i)) == 0) part.self = (enum role_id)i;
    if (part.self == ROLE_NONE) return 1;
    snprintf(name, sizeof name, "honest-%s", argv[1]);
    if (beside(name, path) && access(path, X_OK) == 0) {
        execv(path, argv);
        return 1;
    }
    return role_main(&role, &part, NULL);
}
