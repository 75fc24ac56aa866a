/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP as the rest of the front sees it: a request, a reply, and the listeners. Only http.c knows the library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct front;
struct conn;
struct route;

enum { ROUTE_PARAM = 64, REPLY_MAX = 34 * 1024 * 1024 };

struct http_request {
    struct front *front;
    struct conn *conn;
    const char *method, *path;
    const struct route *route;
    char param[ROUTE_PARAM]; /* what stood in the place of {…} */
    struct buf body;
    /* The first value of a header or query parameter, NULL when there is none; valid during the request. */
    const char *(*header)(const struct http_request *, const char *name);
    const char *(*query)(const struct http_request *, const char *name);
    void *library;
};

struct http_reply {
    int status;
    const char *type; /* a literal */
    struct buf body;
    const char *allow; /* methods, for 405 and OPTIONS; a literal or in allow_text */
    char allow_text[64];
    uint32_t retry_after;
    bool authenticate, close;
    const char *origin; /* CORS: the origin that may read this */
};

struct http_listener;
/* Serves a listening socket on threads of its own. cert and key: PEM texts that stay the caller's, or NULL: no TLS.
 * NULL on failure. */
struct http_listener *http_start(struct front *front, int fd, bool tcp, const char *cert, const char *key,
                                 struct err *err);
/* Takes no more connections; those that are open go on. */
void http_quiesce(struct http_listener *listener);
/* Ends it, waits for the running requests. */
void http_stop(struct http_listener *listener);
