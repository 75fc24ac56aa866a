/* SPDX-License-Identifier: Apache-2.0 */
/* What every role does alike: take its lines and descriptors from the parent, confine itself, then serve frames.
 * No role exits on a peer's bytes: a frame that the table does not allow is counted and dropped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/wire.h"
#include "runtime/messages.h"

enum {
    ROLE_CONTROL_FD = 3,   /* where the parent leaves the control line */
    ROLE_LINES = 160,      /* lines of one role, control line included */
    ROLE_WATCHES = 8192,
    ROLE_QUEUE = 256       /* frames that may wait on one line; one more is refused */
};

struct role;
struct role_line {
    int fd;                /* -1: none at the moment */
    enum role_id peer;
    uint32_t index, generation;
    struct role_queued *first, *last;
    unsigned queued;
};

/* A handler gets the body only; it may take_fd() descriptors out of the frame. */
struct role_message {
    struct msg_head head;
    const void *body;
    size_t length;
    struct wire_frame *frame;
};
struct role_handler {
    uint16_t type;
    void (*run)(struct role *, struct role_line *, const struct role_message *);
};

/* What a role brings along. Every callback but confine and the handlers may be NULL. */
struct role_part {
    enum role_id self;
    const struct role_handler *handlers; /* ends with type MSG_NONE */
    /* After CTL_START, before confine: open files, load keys. */
    bool (*open)(struct role *, struct err *);
    /* The walls. Runs when everything is open; no line but the control line has been read yet. */
    bool (*confine)(struct role *, struct err *);
    /* A line came or was replaced (its peer died): fd and generation are new. */
    void (*line)(struct role *, struct role_line *);
    /* A later CTL_GIVE, e.g. GIVE_RESOLV; the descriptor is in role->given already. */
    void (*given)(struct role *, enum give_kind, uint32_t index);
    /* A new registry is in role->given[GIVE_REGISTRY]: return the number now in force. */
    uint32_t (*registry)(struct role *, uint32_t number);
    void (*freeze)(struct role *, bool on, bool now);
    /* After every readable line was drained: the ledger commits here. */
    void (*batch)(struct role *);
    /* Timers: called when due; returns the next time it wants to be called (clock.h ns), 0 = never. */
    uint64_t (*tick)(struct role *);
    /* The parent is gone or asks to stop: last words. */
    void (*close)(struct role *);
    bool lines_elsewhere; /* the front: threads use the lines, role_serve() reads the control line only */
};

struct role {
    const struct role_part *part;
    struct role_line control, lines[ROLE_LINES];
    unsigned line_count;
    int given[GIVE_KINDS];            /* -1 or the descriptor; the indexed ones are in the arrays below */
    int plugins[512], tcp[4], plugin_dirs[4];
    struct ctl_start start;
    uint32_t registry_number;
    bool frozen, stopping;
    uint64_t next_tick, bad_frames;
    int epoll;
    struct role_watch {
        int fd;
        void (*ready)(struct role *, int fd, uint32_t events, void *context);
        void *context;
    } watches[ROLE_WATCHES];
    void *state;                      /* the role's own */
};

/* main() of a role: handshake, open, confine, READY, serve. Returns the exit status. */
int role_main(struct role *role, const struct role_part *part, void *state);

/* Sends one frame; the body is copied when it has to wait. false: the line is full or gone, and nothing was sent. */
bool role_send(struct role *role, struct role_line *line, unsigned type, uint32_t seq, const void *body, size_t length,
               const int *fds, int fd_count);
/* The same with a tail after the fixed body. */
bool role_send_tail(struct role *role, struct role_line *line, unsigned type, uint32_t seq, const void *body,
                    size_t length, const void *tail, size_t tail_length);
/* The first line to that peer, NULL when there is none alive. */
struct role_line *role_line_to(struct role *role, enum role_id peer);

/* Calls ready() whenever events (EPOLLIN …) are there; one watch per descriptor. Unwatch before closing it. */
bool role_watch(struct role *role, int fd, uint32_t events,
                void (*ready)(struct role *, int, uint32_t, void *), void *context);
void role_unwatch(struct role *role, int fd);
/* Asks for tick() at that time or earlier. */
void role_wake_at(struct role *role, uint64_t when);

/* The name that a unix socket is bound to, as hexadecimal digits of its bytes; "" when it is bound to none. false: it
 * is no unix socket. Both ends of a socketpair have none, and an accepted connection has its listener's. */
enum { ROLE_SOCKET_NAME = 224 };
bool role_socket_name(int fd, char name[ROLE_SOCKET_NAME]);

/* Fills a status for an answer. */
void status_set(struct msg_status *status, const struct err *err);
struct msg_status status_ok(void);
/* Turns a status that came in an answer back into an error; true when it was ok. */
bool status_check(const struct msg_status *status, struct err *err);
