/* SPDX-License-Identifier: Apache-2.0 */
/* Signing checkpoints: the vault is the log's first witness and signs only what extends what it signed last. */
#pragma once

#include "base/err.h"
#include "runtime/messages.h"

/* One request waits for the parent's word at a time. */
struct signer {
    struct ctl_witness last; /* what was signed last; size 0 and no origin: nothing yet */
    struct ctl_witness next; /* what the parent is writing down */
    struct signer_key by;    /* who signs it then */
    bool waiting;
    uint32_t ask, seq, generation; /* number asked under; the ledger's seq and its line's generation */
    uint64_t deadline;
};

/* fd: the parent's last checkpoint (GIVE_WITNESS), -1 when there is none. */
bool signer_open(struct signer *signer, int fd, struct err *err);

/* SHA-256(0x01 left right); hash may be one of them. */
void node_hash(const uint8_t left[HASH_BYTES], const uint8_t right[HASH_BYTES], uint8_t hash[HASH_BYTES]);

/* RFC 6962 §2.1.2: does the tree of size and root extend the one of old_size and old_root? */
bool consistent(uint64_t old_size, const uint8_t old_root[HASH_BYTES], uint64_t size, const uint8_t root[HASH_BYTES],
                const uint8_t (*proof)[HASH_BYTES], size_t count);

/* The text that is signed (C2SP tlog-checkpoint): origin, size, base64 root, each with a newline. Returns its length.
 */
enum { CHECKPOINT_TEXT = 256 };
size_t checkpoint_text(const char *origin, uint64_t size, const uint8_t root[HASH_BYTES], char text[CHECKPOINT_TEXT]);
