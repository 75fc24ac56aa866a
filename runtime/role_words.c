/* SPDX-License-Identifier: Apache-2.0 */
/* Small things that roles say to one another: statuses, and the names of sockets. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/ids.h"
#include "role.h"

/* ── names of sockets ──────────────────────────────────────────────────────────────────────────────── */

bool role_socket_name(int fd, char name[ROLE_SOCKET_NAME])
{
    struct sockaddr_un address = {0};
    socklen_t length = sizeof address, head = offsetof(struct sockaddr_un, sun_path);
    _Static_assert(ROLE_SOCKET_NAME > 2 * sizeof address.sun_path, "every name fits");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 || address.sun_family != AF_UNIX) return false;
    if (length > sizeof address) length = sizeof address;
    hex_text((const uint8_t *)address.sun_path, length > head ? length - head : 0, name);
    return true;
}

/* ── statuses ──────────────────────────────────────────────────────────────────────────────────────── */

void status_set(struct msg_status *status, const struct err *err)
{
    memset(status, 0, sizeof *status);
    status->kind = (uint32_t)err->kind;
    snprintf(status->text, sizeof status->text, "%s", err->text);
}

struct msg_status status_ok(void)
{
    return (struct msg_status){.kind = ERR_NONE};
}

bool status_check(const struct msg_status *status, struct err *err)
{
    if (status->kind == ERR_NONE) return true;
    return err_set(err, status->kind < ERR_KINDS ? (enum err_kind)status->kind : ERR_INTERNAL, "%.*s",
                   (int)strnlen(status->text, sizeof status->text), status->text);
}
