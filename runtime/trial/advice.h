/* SPDX-License-Identifier: Apache-2.0 */
/* What to tell a connector's developer about a system call that was refused. */
#pragma once

#include <stdbool.h>

/* What a call is about; every call that no list names is the kernel's. */
enum call_group {
    GROUP_FILES,
    GROUP_NETWORK,
    GROUP_PROCESSES,
    GROUP_THREADS,
    GROUP_SIGNALS,
    GROUP_MEMORY,
    GROUP_DEVICES,
    GROUP_TIME,
    GROUP_KERNEL,
    GROUPS
};

struct advice {
    const char *words;  /* a clause: "a connector has no files" */
    const char *anchor; /* heading of docs/sandbox.md that says more */
};
extern const struct advice advices[GROUPS];

enum { CALL_ARGUMENTS = 6 };
struct call_kind {
    enum call_group group;
    bool text[CALL_ARGUMENTS]; /* this argument points to a NUL-terminated text: a path, a name */
};
/* name: as call_name() writes it, of any table. */
struct call_kind call_kind(const char *name);

/* The words of each list, for a test that looks whether there are such calls: fills name (room for size bytes) with the
 * next one, from *at = 0 on; false: no more. */
bool advice_next(unsigned *at, char *name, unsigned size);
