/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints as C2SP signed notes: the text, the signature line, the verifier key. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "tree.h"

enum { NOTE_ORIGIN = 128, NOTE_SIGNATURE = 64, NOTE_MAX = 4096 };

/* A name that the format can carry: 1 to NOTE_ORIGIN-1 printable ASCII characters, no space, no '+'. */
bool note_origin_valid(const char *origin);
/* What is signed: origin, size and root, each with its newline. */
bool note_text(const char *origin, uint64_t size, const tree_hash root, struct buf *text);
/* The whole note: text, empty line, one signature line. */
bool note_sign(const char *origin, uint64_t size, const tree_hash root, const uint8_t key[32],
               const uint8_t signature[NOTE_SIGNATURE], struct buf *note);
/* "<origin>+<key id>+<base64>". */
bool note_vkey(const char *origin, const uint8_t key[32], struct buf *vkey);
