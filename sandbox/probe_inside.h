/* SPDX-License-Identifier: Apache-2.0 */
/* The probes among themselves: each function runs in a child of its own and is true when the wall held. */
#pragma once

#include <sys/types.h>

#include "probe.h"

/* Set before the children are made; they inherit it. */
struct probe_scene {
    struct probe_who who;
    uid_t uid;
    gid_t gid;
    pid_t outside; /* the process that tries: what a child may not signal or see */
    char spaces[8][64];
};
extern struct probe_scene probe_scene;

/* probe_kernel.c */
bool probe_filter(void);
bool probe_listener(void);
bool probe_no_new_privileges(void);
bool probe_landlock(void);
bool probe_landlock_tcp(void);
bool probe_landlock_signals(void);
bool probe_no_new_code(void);

/* probe_process.c */
bool probe_plugin_uid(void);
bool probe_no_dumps(void);
bool probe_hidden_memory(void);
bool probe_limits(void);
bool probe_oom(void);
bool probe_look(void);
bool probe_secret_memory(void);

/* probe_spaces.c */
void probe_spaces_note(void); /* what the outside has, to compare with */
bool probe_user_space(void);
bool probe_pid_space(void);
bool probe_net_space(void);
bool probe_mount_space(void);
bool probe_ipc_space(void);
bool probe_uts_space(void);
bool probe_empty_root(void);

/* advice.c: what is to be done when the wall with that key is missing. */
void probe_advise(const struct probe_who *who, const char *key, char advice[PROBE_ADVICE]);
