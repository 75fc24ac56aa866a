/* SPDX-License-Identifier: Apache-2.0 */
/* The parent, and a role that is taken over: whatever comes on a control line, only what the table lets that role say
 * is acted on, last words are plain text, a registry is taken from the loader alone, whole and sealed, and no
 * descriptor stays behind. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wire.h"
#include "fuzz.h"
#include "runtime/parent/parent.h"

enum { HEAD = 8 };

static struct parent parent;
static unsigned ready, killed, witnessed, reloads, restarts;
static int sealed_memory, open_memory;

/* What the control lines call; each checks that it may be called. */
void roles_ready(struct parent *p, struct child *child)
{
    ready++;
}
void roles_kill(struct child *child)
{
    killed++;
}
void roles_advance(struct parent *p)
{
}
bool roles_spawn(struct parent *p, enum role_id role, struct err *err)
{
    MUST(role == ROLE_LOADER);
    reloads++;
    return true;
}
bool wiring_give_config(struct parent *p, struct child *child)
{
    restarts++;
    return true;
}
bool wiring_give_keys(struct parent *p, struct err *err)
{
    return true;
}
struct child *parent_child(struct parent *p, enum role_id role)
{
    return &p->children[role];
}
bool parent_configure(struct parent *p, struct err *err)
{
    return true;
}
bool parent_fail(struct parent *p, const struct err *err)
{
    return false;
}
/* What is in it is not this decoder's: tests/unit/parent/test_sinks.c. */
void push_ask(struct parent *p, const struct ctl_push *push, uint32_t seq) {}

bool home_write_witness(struct home *home, const struct ctl_witness *witness, struct err *err)
{
    witnessed++;
    return true;
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
}

static int lowest_free(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

static size_t send_one(int line, const uint8_t *bytes, size_t length)
{
    static unsigned char body[WIRE_MAX];
    struct msg_head head = {
        .type = (uint16_t)(bytes[0] % (MSG_TYPES + 3)), .generation = bytes[1], .registry = bytes[2], .seq = bytes[3]};
    const struct msg_row *row = msg_row(head.type);
    size_t take = (size_t)(bytes[4] << 8 | bytes[5]) % (length - HEAD + 1),
           whole = row && !(bytes[6] & 1) ? row->least : take;
    int choice[4] = {sealed_memory, sealed_memory, open_memory, STDERR_FILENO}, fds[3];
    for (int i = 0; i < 3; i++) fds[i] = choice[bytes[7] >> (2 * i) & 3];
    int count = row && !(bytes[6] & 2) ? row->fds_least : bytes[6] >> 2 & 3;
    memset(body, 0, whole);
    memcpy(body, bytes + HEAD, take < whole ? take : whole);
    if (row && head.type == CTL_REGISTRY_IS && !(bytes[6] & 0x80))
        memcpy(body, &parent.reload.number, sizeof parent.reload.number);
    struct iovec pieces[2] = {{&head, bytes[6] == 0xff ? 3 : sizeof head}, {body, whole}};
    wire_send(line, pieces, 2, fds, count);
    return HEAD + take;
}

static bool sealed_like(int fd)
{
    return fcntl(fd, F_GET_SEALS) > 0;
}

static void check(const struct child *child)
{
    const struct reload *reload = &parent.reload;
    for (const char *at = child->last_words; *at; at++) MUST(*at >= 0x20 && *at <= 0x7e);
    MUST(memchr(child->last_words, 0, sizeof child->last_words));
    if (reload->registry >= 0) MUST(child->role == ROLE_LOADER && sealed_like(reload->registry));
    for (int i = 0; i < PLUGINS_MOST; i++)
        if (reload->plugins[i] >= 0) MUST(child->role == ROLE_LOADER && sealed_like(reload->plugins[i]));
    if (child->role != ROLE_VAULT) MUST(witnessed == 0);
}

static void begin(enum role_id role, int control)
{
    memset(&parent, 0, sizeof parent);
    parent.registry = parent.reload.registry = -1;
    for (int i = 0; i < PLUGINS_MOST; i++) parent.plugins[i] = parent.reload.plugins[i] = -1;
    for (int i = 0; i < ROLE_COUNT; i++)
        parent.children[i] = (struct child){.role = (enum role_id)i, .pidfd = -1, .control = -1};
    parent.children[role].control = control;
    parent.children[role].state = CHILD_STARTING;
    ready = killed = witnessed = reloads = restarts = 0;
    reload_begin(&parent, NULL);
    MUST(parent.reload.running && reloads == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    int ends[2];
    struct err err;
    if (!sealed_memory) {
        sealed_memory = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        open_memory = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        MUST(fcntl(sealed_memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0);
    }
    if (length < 2) return 0;
    int before = lowest_free();
    enum role_id role = (enum role_id)(ROLE_LOADER + bytes[0] % (ROLE_COUNT - ROLE_LOADER));
    MUST(wire_pair(ends, &err));
    begin(role, ends[1]);
    struct child *child = &parent.children[role];
    for (bytes++, length--; length >= HEAD;) {
        size_t used = send_one(ends[0], bytes, length);
        bytes += used, length -= used;
        control_read(&parent, child);
        check(child);
        MUST(child->control >= 0); /* no frame ends it */
    }
    close(ends[0]);
    for (int turn = 0; turn < 4 && child->control >= 0; turn++)
        control_read(&parent, child); /* so many frames a turn */
    MUST(child->control < 0);
    MUST(role == ROLE_LOADER || role == ROLE_PROVIDER || killed || child->state == CHILD_ENDING);
    close(parent.reload.registry >= 0 ? parent.reload.registry : -1);
    for (int i = 0; i < PLUGINS_MOST; i++)
        if (parent.reload.plugins[i] >= 0) close(parent.reload.plugins[i]);
    MUST(lowest_free() == before);
    return 0;
}
