/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' credential pipes as the vault knows them: what a pipe must be, and what a leased one is bound to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/messages.h"

enum { CHANNELS = 1024 };

/* What the first order made of a leased worker's pipe. Compared whole, so it is zeroed before it is filled. */
struct channel_binding {
    uint8_t entry_digest[HASH_BYTES];
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t version, action;
};

struct channel {
    int fd;          /* the pipe's write end, ours; -1: this place is free */
    uint32_t number; /* the runner's number of the worker */
    bool bound;
    struct channel_binding binding;
};

struct channels {
    unsigned top; /* places from here on are free */
    struct channel list[CHANNELS];
};

void channels_init(struct channels *channels);
/* NULL: there is none of that number. */
struct channel *channel_find(struct channels *channels, uint32_t number);
/* Takes the descriptor over on success. NULL: no room, or the number is taken. */
struct channel *channel_add(struct channels *channels, uint32_t number, int fd);
/* Closes the pipe: a worker that waits for a frame ends. */
void channel_close(struct channel *channel);
void channels_close_all(struct channels *channels);

/* An empty FIFO, open for writing only, that never blocks. */
bool pipe_usable(int fd, struct err *err);
/* The whole frame in one write, or an error. */
bool pipe_write(int fd, const void *frame, size_t size, struct err *err);
