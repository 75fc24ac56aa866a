/* SPDX-License-Identifier: Apache-2.0 */
/* Witnesses of the log (C2SP tlog-witness, tlog-cosignature): their keys, and the lines that they sign. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { WITNESS_NAME = 128, WITNESS_ANSWER = 16 * 1024, WITNESS_LINES = 64 };

struct witness_key {
    char name[WITNESS_NAME]; /* "": none */
    uint8_t id[4], key[32];  /* Ed25519 */
};
/* NAME+HASH+BASE64, of the kind cosignature/v1. */
bool witness_key_read(const char *vkey, struct witness_key *key, struct err *err);
/* What a witness answered: signature lines and nothing else. Every line by this key must be a good one over text (the
 * checkpoint's three lines), and there must be one: line gets it, its newline included. Lines by others count for
 * nothing and are not kept. */
bool witness_check(const struct witness_key *key, const struct buf *text, const char *answer, size_t length,
                   struct buf *line, struct err *err);
