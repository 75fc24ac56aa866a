/* SPDX-License-Identifier: Apache-2.0 */
/* Where checkpoints go that nobody on this machine shall take back: a file that is only appended to, and syslog. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "runtime/messages.h"

/* Folders, by their paths, below which no such file may lie; and one in which none may lie itself. */
enum { SINK_FORBIDDEN = 16 };
struct sink_bounds {
    unsigned count;
    const char *below[SINK_FORBIDDEN];
    const char *in;
};

/* A note's bytes: printable ASCII, the dash of signature lines, ends of lines. */
bool sink_note_sound(const char *note, size_t length);
/* Appends the note and an empty line; on the disk when this returns true. The file is made with mode 0640 when it is
 * not there; one that others could write, or that could be run, is refused. */
bool sink_append(const char *path, const struct sink_bounds *bounds, const char *note, size_t length, struct err *err);
/* One line as RFC 5424 has it: size and root as structured data, the note with its ends of lines as \\n. Returns its
 * length, 0 when it does not fit. now: seconds since 1970. */
size_t sink_line(const struct ctl_push *push, uint64_t now, const char *host, char *line, size_t room);
/* Sends that to a socket of syslog's. Never waits for its reader. */
bool sink_say(const char *path, const struct ctl_push *push, struct err *err);
