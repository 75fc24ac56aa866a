/* SPDX-License-Identifier: Apache-2.0 */
/* What the broker meets out there, in threads of the test: a name server with a script, and TCP servers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* ── a name server on 127.0.0.1 ────────────────────────────────────────────────────────────────────── */

enum { ZONE_ANSWERS = 4 };

/* answers: one text per query of that name, the last one repeats: addresses of both families, "CNAME name" in front
 * if wanted, separated by spaces; "silent": no answer at all; "fail": SERVFAIL. */
struct zone_row {
    const char *name;
    const char *answers[ZONE_ANSWERS];
};

/* zone ends with a NULL name; names that are not in it do not exist. Returns the port. */
uint16_t dns_start(const struct zone_row *zone);
void dns_stop(void);
/* How many A queries came for that name (NULL: for any). */
unsigned dns_asked(const char *name);

/* ── TCP servers ───────────────────────────────────────────────────────────────────────────────────── */

enum server_kind {
    SERVER_ECHO,   /* sends back what comes, until the end of it */
    SERVER_SINK,   /* reads everything; bytes are counted */
    SERVER_SOURCE, /* sends without end */
    SERVER_GREETS, /* "220 mail ESMTP\r\n" first; answers 250 to EHLO and NOOP, 220 to STARTTLS; anything else: 500 */
    SERVER_DEAF,   /* accepts and never reads */
    SERVER_HALF,   /* says "done" and ends its side at once, then reads on */
    SERVER_RESET   /* resets every connection */
};

struct server {
    uint16_t port;
    int fd, stop[2];
    enum server_kind kind;
    unsigned long thread;
    volatile unsigned accepted;
    volatile uint64_t bytes; /* read so far */
    char *volatile seen;     /* SERVER_SINK: the first 64 KiB */
};

/* Listens on that address; port 0 = any. */
void server_start(struct server *server, enum server_kind kind, const char *address, uint16_t port);
void server_stop(struct server *server);
