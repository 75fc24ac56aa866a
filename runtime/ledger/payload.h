/* SPDX-License-Identifier: Apache-2.0 */
/* Captured payloads: inputs and replies that the administrator has kept, each sealed beside the log together with the
 * salt of its record's commitment (docs/audit-format.md). Of a call that captures nothing, nothing of this runs. */
#pragma once

#include "admit.h"

enum { PAYLOAD_SALT = 32, PAYLOAD_SEALED = SUBJECT_SEALED_MAX + PAYLOAD_SALT + CAPTURE_MAX + 128 };

/* Inside the transaction: the fields of the intent that say what is captured, and the sealed input. kept stays empty
 * when there is nothing to keep. */
bool payload_input(const struct begin *begin, struct record *record, struct journal_payload *payload, struct buf *kept,
                   struct err *err);
/* The same for the outcome and the reply, which happened: where it cannot be sealed, the outcome says so. False: the
 * log cannot be read or written. */
bool payload_reply(struct ledger *ledger, const struct running *run, struct record *record,
                   struct journal_payload *payload, struct buf *kept, struct err *err);

/* The tail of a MSG_BEGIN: whom it is about, and the input, where that is to be kept. */
bool begin_tail(struct begin *begin, const struct role_message *message, struct err *err);
/* What an intent's body says is captured, for a call whose begin nobody remembers. */
uint32_t payload_asked(const char *body, size_t length);

void on_reply(struct role *role, struct role_line *line, const struct role_message *message);
/* Is the reply that an END names the one that was handed over, where one was to be? */
bool payload_fits(const struct running *run, const struct msg_end *end);

/* With the key that the vault gave: the bytes, if they are those that the body commits to; salt: what proves it. count:
 * people that it is sealed to, 0: the workspace. input: whose commitment it is, the reply's otherwise. ERR_DAMAGED:
 * they are not. */
struct payload_proof {
    const uint8_t *key;
    unsigned count;
    bool input;
    const char *commitment; /* hexadecimal */
    uint64_t size;
};
bool payload_open(const struct payload_proof *proof, const struct buf *value, uint8_t salt[PAYLOAD_SALT],
                  struct buf *bytes, struct err *err);
