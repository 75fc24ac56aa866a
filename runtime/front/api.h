/* SPDX-License-Identifier: Apache-2.0 */
/* The routes: which path takes which method, on which listener, and what happens there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "http.h"
#include "runtime/messages.h"

/* Members that a query string may give; numbers go to the ledger as integers. */
enum { QUERY_MOST = 6 };

struct route {
    const char *method, *path;     /* {name} stands for one segment */
    uint32_t roles;                /* MSG_BIT(ROLE_FRONT) | MSG_BIT(ROLE_DESK) */
    size_t body_most;              /* 0: no body */
    enum msg_type message;         /* of api_forward */
    const char *query[QUERY_MOST]; /* names that are taken; a leading '#': a whole number */
    bool anonymous;                /* TCP: no token is needed */
    void (*run)(struct http_request *, struct http_reply *);
};

/* When the head is there: false = the reply is made and the body is not wanted. length: the body's, as announced, or
 * SIZE_MAX. */
bool api_head(struct http_request *request, size_t length, struct http_reply *reply);
/* When the body is there too. */
void api_run(struct http_request *request, struct http_reply *reply);

/* Handlers. */
void api_call(struct http_request *request, struct http_reply *reply);
void api_forward(struct http_request *request, struct http_reply *reply);
void api_connectors(struct http_request *request, struct http_reply *reply);
void api_health(struct http_request *request, struct http_reply *reply);
void api_metrics(struct http_request *request, struct http_reply *reply);

/* The table (routes.c). */
extern const struct route api_routes[];
/* The row for a path; on NULL *allow lists the methods that the path would take ("" = no such path). */
const struct route *route_find(enum role_id self, const char *method, const char *path, char param[ROUTE_PARAM],
                               char allow[64]);
