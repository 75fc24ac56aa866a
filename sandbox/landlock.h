/* SPDX-License-Identifier: Apache-2.0 */
/* The Landlock wall: files, TCP, signals and abstract sockets, as far as the kernel knows them. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum landlock_fs { LANDLOCK_FILES_OPEN, LANDLOCK_FILES_READ, LANDLOCK_FILES_WRITE };

/* What a domain leaves open. files: OPEN = file rights are not handled at all (the runner, which mounts); else
 * nothing but these rights beneath the folders. */
struct landlock_wish {
    enum landlock_fs files;
    const int *folders;
    int folder_count;
    bool may_bind, may_connect;
};

/* The kernel's ABI, 0 when there is none. */
int landlock_abi(void);
/* Confines this thread. A right that the ABI does not know is left out; no ABI at all is an error. */
bool landlock_enter(const struct landlock_wish *wish, struct err *err);
