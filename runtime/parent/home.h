/* SPDX-License-Identifier: Apache-2.0 */
/* The home folder: opened and checked once; afterwards descriptors are handed on, so that no role walks a path. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/messages.h"

struct home {
    char path[1024]; /* absolute */
    int folder, run, keys, data, witness, plugins_d;
    int lock; /* run/lock, held; every role keeps a duplicate */
    uint64_t key_inode, key_device;
    uint64_t next_inode; /* of keys/master.key.next when it was opened last, 0: none */
    char published[128]; /* the log whose first key stands in keys/log.pub */
};

/* Opens the folder and takes the lock, waiting at most wait_s for the last process of an earlier daemon. */
bool home_open(const char *path, unsigned wait_s, struct home *home, struct err *err);
/* Looks at modes and owners, makes what may be missing (data, witness), gives the data folder to that uid. */
bool home_check(struct home *home, uid_t ledger, struct err *err);
void home_close(struct home *home);

/* A fresh descriptor of the master key file, which must still be the one that home_check() saw, or what was its next
 * one since then. */
bool home_key(struct home *home, int *fd, struct err *err);
/* Of keys/master.key.next; *fd is -1 when there is none. */
bool home_key_next(struct home *home, int *fd, struct err *err);
/* keys/provider.share; *fd is -1 when there is none. */
bool home_share(const struct home *home, int *fd, struct err *err);
/* A file that the administrator names, absolute or below the home folder; "credential:NAME" is one of systemd's. Only
 * the owner, who must be root or this user, may read it, unless it is a pipe. */
bool home_secret(const struct home *home, const char *name, int *fd, struct err *err);
/* The last checkpoint that was written down; *fd is -1 when there is none yet. */
bool home_witness(const struct home *home, int *fd, struct err *err);
/* Writes it so that it survives a power cut before this returns. Of a log that it has not seen yet, it publishes the
 * first verifier key (keys/log.pub), and keeps the last word about the log before (witness/checkpoint-EPOCH). */
bool home_write_witness(struct home *home, const struct ctl_witness *witness, struct err *err);
/* Is the file "freeze" there, and does it say "now"? */
void home_freeze(const struct home *home, bool *on, bool *now);
/* The text of home/name or of an absolute path, at most max bytes; the caller frees it. ERR_NOT_FOUND: no such file. */
bool home_text(const struct home *home, const char *name, size_t max, char **text, size_t *length, struct err *err);
