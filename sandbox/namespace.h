/* SPDX-License-Identifier: Apache-2.0 */
/* The wall of namespaces: what a cell is born into, its root, and the plugin's copy that no path leads to. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Flags for clone(2). user: for a process without privileges, which needs a user namespace for all the others. */
unsigned long namespace_flags(bool user);
/* In a new user namespace: one uid and one gid, mapped to what they are outside; no setgroups. */
bool namespace_map(uid_t uid, gid_t gid, struct err *err);
/* An empty, read-only, noexec root; nothing of the old one remains reachable by path. */
bool namespace_root(struct err *err);
/* Copies the file into a detached, read-only mount and compares its SHA-256 while doing so. mount: its descriptor. */
bool namespace_copy(int source, const uint8_t digest[32], int *mount, struct err *err);
/* Opens the copy anew (a shared descriptor would share its offset). -1: errno. */
int namespace_open_copy(int mount);

/* The same without namespaces: a sealed copy in memory. */
bool memory_copy(int source, const uint8_t digest[32], int *copy, struct err *err);
int memory_open_copy(int copy);

/* Groups, uid and gid (0: stay), every capability and the bounding set. unprivileged: there never were any, and the
 * bounding set cannot be touched: no_new_privs makes it mean nothing. */
bool privileges_drop(uid_t uid, gid_t gid, bool unprivileged, struct err *err);
/* The capabilities that a runner with privileges needs and keeps over the exec of a cell; all others go. */
bool privileges_keep_for_runner(struct err *err);
/* True for a process that can make namespaces and change uids without a user namespace. */
bool privileges_enough(void);
