/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a TLS ClientHello as it arrives, byte by byte if need be, for the one thing the broker must know: the server
 * name in it (RFC 8446 §4.1.2, RFC 6066 §3). Knows nothing else of TLS, and allocates nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HELLO_MESSAGE_MAX = 16 * 1024, /* the handshake message, header included */
    HELLO_BYTES_MAX = 20 * 1024    /* the same with its record headers, however it is cut */
};

enum hello_state { HELLO_MORE, HELLO_DONE, HELLO_BAD };

/* Valid when zeroed. */
struct tlshello {
    enum hello_state state;
    uint8_t header[5];        /* of the record that is being read */
    size_t header_used, left; /* left: bytes of the record's body still to come */
    size_t seen;              /* bytes fed so far */
    uint8_t message[HELLO_MESSAGE_MAX];
    size_t used;
    const char *problem; /* HELLO_BAD: why */
    char name[256];      /* HELLO_DONE: the server name as sent, "" = none */
};

/* Feeds the next bytes and returns how many belong to the hello: all of them, until it is done or bad. */
size_t tlshello_feed(struct tlshello *hello, const uint8_t *bytes, size_t count);
