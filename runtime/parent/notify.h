/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how things stand (sd_notify(3)'s protocol: one datagram). */
#pragma once

/* Nothing happens when there is no NOTIFY_SOCKET. */
void notify_send(const char *state);
