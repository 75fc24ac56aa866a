/* SPDX-License-Identifier: Apache-2.0 */
/* The only SMTP that may go up in clear: EHLO, HELO, NOOP, QUIT and STARTTLS, until the server has agreed to TLS
 * (RFC 3207). No address, no password, no mail. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SMTP_LINE = 512, SMTP_CLEAR_MAX = 4096, SMTP_WHY = 120 };

enum smtp_state {
    SMTP_LINES,  /* greeting commands may go up */
    SMTP_ASKED,  /* STARTTLS is on its way: nothing goes up before its reply */
    SMTP_AGREED, /* 220: the next bytes up must be a ClientHello, and nothing may come down before them */
    SMTP_REFUSED /* why says what was tried */
};

/* Valid when zeroed but for owed = 1: the server's greeting. */
struct starttls {
    enum smtp_state state;
    unsigned owed; /* replies that are still to come */
    size_t column; /* in the server's current line */
    char code[4];  /* its first four bytes */
    size_t sent;   /* clear bytes let up so far */
    char why[SMTP_WHY];
};

/* bytes: everything from the worker that has not gone up yet. Returns how many of them may go now; 0: wait for more. */
size_t starttls_up(struct starttls *smtp, const char *bytes, size_t count);
/* What came from the server, before it is passed down. false: state is SMTP_REFUSED. */
bool starttls_down(struct starttls *smtp, const char *bytes, size_t count);
