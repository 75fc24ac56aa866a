/* SPDX-License-Identifier: Apache-2.0 */
/* The order of confinement for a role of the daemon: one wall per line in enter.c. */
#pragma once

#include "base/err.h"

enum wall_role {
    WALL_LOADER,
    WALL_FRONT,
    WALL_DESK,
    WALL_LEDGER,
    WALL_VAULT,
    WALL_BROKER,
    WALL_RUNNER,
    WALL_PARENT,
    WALL_PROVIDER, /* a key provider that is asked over the network */
    WALL_MODULE,   /* one that is a PKCS#11 module */
    WALL_ROLES
};

/* Confines the calling process for good: no new privileges, undumpable, no core, Landlock with nothing but the given
 * folders (read and write below them; the vault, front and broker give none), then the role's system call list.
 * Everything must be open by now. Fails closed: on false the caller must exit. The parent has no Landlock domain: every
 * process it starts would inherit it, and cells could not mount. */
bool enter_role(enum wall_role role, const int *folders, int folder_count, struct err *err);
