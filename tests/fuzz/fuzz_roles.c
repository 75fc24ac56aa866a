/* SPDX-License-Identifier: Apache-2.0 */
/* A role and a peer that sends it anything: every frame is whole or refused by the table of messages, no handler is run
 * for another, nothing ends the role, and no descriptor stays behind. One input is a list of frames for one of the
 * roles; it may name any type, length, generation and number of descriptors, on the control line or a peer's. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
/* Its inside: reading a line is not for others to call. */
#include "runtime/role.c"

enum { HEAD = 8, LINE_GENERATION = 7 };

/* Nothing is written. */
void log_level(enum log_level most)
{
}

static struct role role;
static struct role_part part;
static unsigned handled, sent;

/* What the table lets through is what a handler may rely on. */
static void handle(struct role *self, struct role_line *line, const struct role_message *message)
{
    const struct msg_row *row = msg_row(message->head.type);
    MUST(row && (row->from & MSG_BIT(line->peer)) && (row->to & MSG_BIT(part.self)));
    MUST(message->length >= row->least && message->length <= row->most);
    MUST(message->frame->fd_count >= row->fds_least && message->frame->fd_count <= row->fds_most);
    MUST(message->head.generation == line->generation);
    const volatile uint8_t *body = message->body; /* all of it may be read */
    for (size_t i = 0; i < message->length; i++) (void)body[i];
    handled++;
}

static uint32_t new_registry(struct role *self, uint32_t number)
{
    return number;
}

static struct role_handler handlers[MSG_TYPES + 1];

static void make_role(enum role_id self, int control, int peer_end, enum role_id peer)
{
    unsigned used = 0;
    for (unsigned type = 1; type < MSG_TYPES; type++)
        if (msg_row(type)) handlers[used++] = (struct role_handler){(uint16_t)type, handle};
    handlers[used] = (struct role_handler){MSG_NONE, NULL};
    part = (struct role_part){.self = self, .handlers = handlers, .registry = new_registry};
    role_init(&role, &part, NULL);
    role.epoll = epoll_create1(EPOLL_CLOEXEC);
    role.control.fd = control;
    role.lines[0] = (struct role_line){.fd = peer_end, .peer = peer, .generation = LINE_GENERATION};
    role.line_count = 1;
}

/* type, length, generation and descriptors out of HEAD bytes, then the body. Returns how many bytes were used. */
static size_t send_one(int line, uint32_t generation, const uint8_t *bytes, size_t length)
{
    static unsigned char body[WIRE_MAX];
    struct msg_head head = {.type = (uint16_t)(bytes[0] < MSG_TYPES ? bytes[0] : bytes[0] << 8 | bytes[1]),
                            .generation = bytes[2] & 0x80 ? bytes[2] : generation,
                            .registry = bytes[3],
                            .seq = bytes[4]};
    const struct msg_row *row = msg_row(head.type);
    size_t take = (size_t)(bytes[5] << 8 | bytes[6]) % (length - HEAD + 1);
    size_t whole = row && !(bytes[7] & 0x80) ? row->least : take;
    int fds[3] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO}, count = bytes[7] % 4;
    if (row && !(bytes[7] & 0x40)) count = row->fds_least;
    memset(body, 0, whole);
    memcpy(body, bytes + HEAD, take < whole ? take : whole);
    struct iovec pieces[2] = {{&head, bytes[1] == 0xff ? 1 + bytes[0] % (sizeof head - 1) : sizeof head},
                              {body, whole}};
    sent += wire_send(line, pieces, 2, fds, count) == 0;
    return HEAD + take;
}

static void close_role(void)
{
    for (unsigned i = 0; i < role.line_count; i++) close_line(&role, &role.lines[i]);
    if (role.control.fd >= 0) close_line(&role, &role.control);
    for (int i = 0; i < GIVE_KINDS; i++) close_fd(&role.given[i]);
    for (size_t i = 0; i < sizeof role.plugins / sizeof *role.plugins; i++) close_fd(&role.plugins[i]);
    for (size_t i = 0; i < sizeof role.tcp / sizeof *role.tcp; i++) close_fd(&role.tcp[i]);
    for (size_t i = 0; i < sizeof role.plugin_dirs / sizeof *role.plugin_dirs; i++) close_fd(&role.plugin_dirs[i]);
    close(role.epoll);
}

static int lowest_free(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    int control[2], line[2], before = lowest_free();
    struct err err;
    if (length < 2) return 0;
    enum role_id self = (enum role_id)(ROLE_LOADER + bytes[0] % (ROLE_COUNT - ROLE_LOADER));
    enum role_id peer = (enum role_id)(ROLE_LOADER + bytes[1] % (ROLE_COUNT - ROLE_LOADER));
    MUST(wire_pair(control, &err) && wire_pair(line, &err));
    make_role(self, control[1], line[1], peer);
    handled = sent = 0;
    for (bytes += 2, length -= 2; length >= HEAD;) {
        bool to_control = bytes[HEAD - 1] & 0x20;
        size_t used = send_one(to_control ? control[0] : line[0], to_control ? 0 : LINE_GENERATION, bytes, length);
        bytes += used, length -= used;
        if (role.control.fd >= 0) read_line(&role, &role.control);
        if (role.lines[0].fd >= 0) read_line(&role, &role.lines[0]);
    }
    MUST(handled <= sent && !role.stopping);
    close(control[0]);
    close(line[0]);
    close_role();
    MUST(lowest_free() == before);
    return 0;
}
