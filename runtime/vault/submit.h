/* SPDX-License-Identifier: Apache-2.0 */
/* Submissions: what the command sealed to the vault's public key, read as hostile bytes. */
#pragma once

#include "base/err.h"
#include "runtime/messages.h"

enum { SUBMISSIONS = 4096, SUBMISSION_AGE_S = 600, SUBMISSION_AHEAD_S = 60 };

/* The nonces that were accepted and are still young enough to be played again. */
struct submissions {
    uint64_t not_before; /* seconds since 1970: this process knows nothing of earlier ones */
    unsigned count;
    struct {
        uint64_t until;
        uint8_t nonce[16];
    } seen[SUBMISSIONS];
};

void submissions_init(struct submissions *submissions, uint64_t now_s);
/* Names, shape, sizes: against the message that brought it. */
bool submission_check(const struct submission *submission, const struct msg_seal *message, struct err *err);
/* Time and nonce; takes the nonce. Call when everything else is checked. */
bool submission_fresh(struct submissions *submissions, const struct submission *submission, uint64_t now_s,
                      struct err *err);
