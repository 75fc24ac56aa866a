/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of namespaces: each kind alone, so that a missing one can be named; then all of them with the empty root. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "namespace.h"
#include "probe_inside.h"

static const char *const kinds[] = {"pid", "net", "ipc", "uts", "mnt", "user"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool space_of(const char *kind, char text[64])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    ssize_t length = readlink(path, text, 63);
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

void probe_spaces_note(void)
{
    for (int i = 0; i < KINDS; i++) space_of(kinds[i], probe_scene.spaces[i]);
}

/* In a new user namespace this process is nobody until it is mapped. Its files in proc belong to it only when it is
 * dumpable. */
static bool arrive(void)
{
    struct err err = {0};
    if (probe_scene.who.privileged) return true;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return namespace_map(probe_scene.uid, probe_scene.gid, &err);
}

static bool is_own(const char *kind)
{
    char now[64];
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kinds[i], kind) == 0) return space_of(kind, now) && strcmp(now, probe_scene.spaces[i]) != 0;
    return false;
}

bool probe_user_space(void)
{
    return arrive() && is_own("user");
}

bool probe_pid_space(void)
{
    return arrive() && getpid() == 1 && is_own("pid");
}

/* 192.0.2.1 stands for every other machine (RFC 5737). */
bool probe_net_space(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xc0000201)};
    if (!arrive() || !is_own("net")) return false;
    FD_AUTO fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == ENETUNREACH;
}

static bool empty_inside(void)
{
    return access("/etc", F_OK) < 0 && access("/proc", F_OK) < 0 &&
           open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0;
}

bool probe_mount_space(void)
{
    struct err err = {0};
    return arrive() && is_own("mnt") && namespace_root(&err) && empty_inside();
}

bool probe_ipc_space(void)
{
    return arrive() && is_own("ipc");
}

bool probe_uts_space(void)
{
    return arrive() && is_own("uts");
}

/* As a cell is born: all kinds at once. */
bool probe_empty_root(void)
{
    struct err err = {0};
    return arrive() && getpid() == 1 && is_own("pid") && is_own("net") && is_own("mnt") && is_own("ipc") &&
           is_own("uts") && namespace_root(&err) && privileges_drop(0, 0, false, &err) && empty_inside() &&
           unshare(CLONE_NEWNS) < 0;
}
