/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits: per process, so that admission bounds workers × limit. */
#include "limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "policy.h"

bool limits_oom(struct err *err)
{
    FD_AUTO file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    char text[16];
    int length = snprintf(text, sizeof text, "%d", POLICY_OOM);
    if (file < 0 || write(file, text, (size_t)length) != length)
        return err_sys(err, ERR_MISSING_LAYER, "the kernel does not take an out-of-memory score");
    return true;
}

static bool set(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};
    return setrlimit(resource, &limit) == 0;
}

/* Bytes of address space that this process has now; 0 when /proc does not say. */
static uint64_t mapped_now(void)
{
    FD_AUTO file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128] = "";
    unsigned long pages = 0;
    if (file < 0 || read(file, text, sizeof text - 1) <= 0 || sscanf(text, "%lu", &pages) != 1) return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool limits_cell(uint32_t memory_mb, struct err *err)
{
    rlim_t room = mapped_now();
    if (!room) return err_set(err, ERR_IO, "the address space cannot be measured: is /proc mounted?");
    room += (uint64_t)(memory_mb ? memory_mb : 64) << 20;
    static const int nothing[] = {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        if (!set(nothing[i], 0, 0)) return err_sys(err, ERR_MISSING_LAYER, "a resource limit cannot be set");
#ifdef CAISSON_SANITIZED
    room = RLIM_INFINITY; /* shadow memory is most of the address space */
#endif
    if (!set(RLIMIT_AS, room, room)) return err_sys(err, ERR_MISSING_LAYER, "a resource limit cannot be set");
    return true;
}

/* A daemon that was started at a lower priority already has workers there too: nobody may raise it again. */
static bool step_aside(void)
{
    return getpriority(PRIO_PROCESS, 0) >= POLICY_NICE || setpriority(PRIO_PROCESS, 0, POLICY_NICE) == 0;
}

bool limits_worker(uint32_t cpu_s)
{
    return set(RLIMIT_NPROC, 0, 0) && (!cpu_s || set(RLIMIT_CPU, cpu_s, cpu_s + 1)) && step_aside();
}

bool limits_descriptors(pid_t worker)
{
    struct rlimit limit = {POLICY_FILES, POLICY_FILES};
    return prlimit(worker, RLIMIT_NOFILE, &limit, NULL) == 0;
}
