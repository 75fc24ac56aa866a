/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of a worker's requests: every byte of them is hostile. */
#include "egress.h"

#include <string.h>

static bool read_dial(const struct egress_request *request, struct egress_ask *ask, struct err *err)
{
    if (request->host_length == 0 || request->host_length >= FRAME_HOST)
        return err_set(err, ERR_PROTOCOL, "the host's length is out of range");
    memcpy(ask->host, request->host, request->host_length);
    ask->host_length = request->host_length;
    if (strnlen(request->host, FRAME_HOST) != request->host_length)
        return err_set(err, ERR_PROTOCOL, "the host's length is not its text's");
    if (request->port < 1 || request->port > UINT16_MAX)
        return err_set(err, ERR_PROTOCOL, "port %u is out of range", request->port);
    ask->port = (uint16_t)request->port;
    ask->kind = EGRESS_ASK_DIAL;
    return true;
}

void egress_read(const void *bytes, size_t length, struct egress_ask *ask, struct err *err)
{
    struct egress_request request;
    memset(ask, 0, sizeof *ask);
    if (length != sizeof request) {
        err_set(err, ERR_PROTOCOL, "a request has %zu bytes instead of %zu", length, sizeof request);
        return;
    }
    memcpy(&request, bytes, sizeof request);
    ask->answerable = true;
    ask->id = request.id;
    memcpy(ask->call.id, request.call_id, ID_BYTES);
    ask->call.attempt = request.attempt;
    if (request.type == EGRESS_COMMIT)
        ask->kind = EGRESS_ASK_COMMIT;
    else if (request.type == EGRESS_CLEAN)
        ask->kind = EGRESS_ASK_CLEAN;
    else if (request.type == EGRESS_DONE)
        ask->kind = EGRESS_ASK_DONE;
    else if (request.type == EGRESS_DIAL)
        read_dial(&request, ask, err);
    else
        err_set(err, ERR_PROTOCOL, "request type %u is unknown", request.type);
}
