/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a worker's memory and last registers with the rights of whoever started it. */
#include "look.h"

#include <elf.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

pid_t look_pid(int pidfd)
{
    char path[64], line[128];
    long pid = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    FILE *info = fopen(path, "re");
    while (info && fgets(line, sizeof line, info))
        if (strncmp(line, "Pid:", 4) == 0) pid = strtol(line + 4, NULL, 10);
    if (info) fclose(info);
    return pid > 0 ? (pid_t)pid : 0;
}

/* Page by page: a text may end right before one that is not there. */
bool look_text(pid_t pid, uint64_t address, char *text, size_t size)
{
    size_t used = 0;
    while (used < size - 1) {
        size_t count = PAGE - (address + used) % PAGE;
        if (count > size - 1 - used) count = size - 1 - used;
        struct iovec here = {text + used, count}, there = {(void *)(uintptr_t)(address + used), count}; // NOLINT
        ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
        if (got <= 0) break;
        const char *end = memchr(text + used, '\0', (size_t)got);
        if (end) return true;
        used += (size_t)got;
    }
    text[used] = '\0';
    return used > 0;
}

bool look_watch(pid_t pid)
{
    return ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACEEXIT) == 0;
}

void look_let_go(pid_t pid)
{
    ptrace(PTRACE_CONT, pid, NULL, NULL);
}

static bool last_call(pid_t pid, struct cell_attempt *attempt)
{
    struct user_regs_struct regs;
    struct __ptrace_syscall_info info = {0};
    struct iovec piece = {&regs, sizeof regs};
    if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &piece) != 0 ||
        ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info) < 0)
        return false;
    *attempt = (struct cell_attempt){.number = (int32_t)regs.orig_rax,
                                     .arch = info.arch,
                                     .args = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9}};
    const uint64_t args_32[] = {regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp};
    if (info.arch == AUDIT_ARCH_I386) memcpy(attempt->args, args_32, sizeof args_32);
    return true;
}

/* A signal on its way is passed on; a group stop does not happen to a worker, whom nobody can stop. */
static void pass_on(pid_t pid, int status)
{
    int signal = status >> 16 ? 0 : WSTOPSIG(status);
    ptrace(PTRACE_CONT, pid, NULL, (void *)(intptr_t)signal);
}

bool look_dies(pid_t pid, struct cell_attempt *attempt)
{
    int status;
    while (waitpid(pid, &status, __WALL | WNOHANG) == pid && WIFSTOPPED(status)) {
        unsigned long end = 0;
        bool exits = status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXIT << 8));
        if (exits && ptrace(PTRACE_GETEVENTMSG, pid, NULL, &end) == 0 && (end & 0x7f) == SIGSYS &&
            last_call(pid, attempt))
            return true;
        pass_on(pid, status);
    }
    return false;
}
