/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of groups: which call belongs where, which of its arguments are texts, and what to do instead. */
#include "advice.h"

#include <stdio.h>
#include <string.h>

const struct advice advices[GROUPS] = {
    [GROUP_FILES] = {"a connector has no files", "files"},
    [GROUP_NETWORK] = {"a connector has no sockets of its own, csn_dial reaches what is granted", "network"},
    [GROUP_PROCESSES] = {"a connector starts no process and sees no other", "processes"},
    [GROUP_THREADS] = {"a connector has one thread", "threads"},
    [GROUP_SIGNALS] = {"a connector sends no signals and handles none", "signals"},
    [GROUP_MEMORY] = {"a connector's memory is private, and what it writes never runs", "memory"},
    [GROUP_DEVICES] = {"a connector has no devices and no terminal", "devices"},
    [GROUP_TIME] = {"a connector reads clocks, it sets no clock and no timer", "time"},
    [GROUP_KERNEL] = {"a connector has no use for this part of the kernel", "kernel"},
};

/* Behind a slash: the numbers of the arguments that are texts. */
static const char *const lists[GROUPS] = {
    [GROUP_FILES] =
        "open/0 openat/1 openat2/1 creat/0 stat/0 lstat/0 newfstatat/1 statx/1 access/0 faccessat/1 faccessat2/1 "
        "readlink/0 readlinkat/1 getdents getdents64 getcwd chdir/0 fchdir mkdir/0 mkdirat/1 rmdir/0 unlink/0 "
        "unlinkat/1 rename/01 renameat/13 renameat2/13 link/01 linkat/13 symlink/01 symlinkat/02 mknod/0 mknodat/1 "
        "chmod/0 fchmod fchmodat/1 chown/0 lchown/0 fchown fchownat/1 truncate/0 ftruncate fallocate utime/0 utimes/0 "
        "utimensat/1 futimesat/1 statfs/0 fstatfs sync syncfs fsync fdatasync sync_file_range flock umask dup dup2 "
        "dup3 readv preadv preadv2 pwrite64 pwritev pwritev2 sendfile splice tee vmsplice copy_file_range fadvise64 "
        "readahead pipe pipe2 inotify_init inotify_init1 inotify_add_watch/1 inotify_rm_watch fanotify_init "
        "fanotify_mark/4 name_to_handle_at/1 open_by_handle_at getxattr/01 lgetxattr/01 fgetxattr/1 setxattr/01 "
        "lsetxattr/01 fsetxattr/1 listxattr/0 llistxattr/0 flistxattr removexattr/01 lremovexattr/01 fremovexattr/1 "
        "chroot/0 mount/012 umount2/0 pivot_root/01 fsopen/0 fsmount fsconfig/2 fspick/1 open_tree/1 move_mount/13 "
        "mount_setattr/1 quotactl/1 fcntl",
    [GROUP_NETWORK] =
        "socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvmmsg setsockopt "
        "sethostname/0 setdomainname/0 select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait "
        "epoll_pwait2 eventfd eventfd2",
    [GROUP_PROCESSES] =
        "fork vfork execve/0 execveat/1 wait4 waitid ptrace process_vm_readv process_vm_writev process_madvise "
        "process_mrelease kcmp pidfd_open pidfd_getfd getppid getpgid setpgid getpgrp getsid setsid getpriority "
        "setpriority ioprio_get ioprio_set prlimit64 getrlimit setrlimit getrusage prctl unshare setns move_pages "
        "migrate_pages setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset capget "
        "getuid geteuid getgid getegid getgroups getresuid getresgid vhangup",
    [GROUP_THREADS] = "clone clone3 futex futex_waitv set_tid_address set_robust_list get_robust_list "
                      "sched_setaffinity sched_getaffinity sched_setscheduler sched_getscheduler sched_setparam "
                      "sched_getparam sched_setattr sched_getattr sched_get_priority_max sched_get_priority_min "
                      "sched_rr_get_interval membarrier rseq getcpu",
    [GROUP_SIGNALS] = "kill tkill tgkill rt_sigaction rt_sigqueueinfo rt_tgsigqueueinfo rt_sigpending "
                      "rt_sigtimedwait rt_sigsuspend sigaltstack signalfd signalfd4 pidfd_send_signal pause",
    [GROUP_MEMORY] =
        "mmap mprotect pkey_mprotect pkey_alloc pkey_free madvise mlock mlock2 munlock mlockall "
        "munlockall mincore msync remap_file_pages mbind get_mempolicy set_mempolicy memfd_create/0 "
        "memfd_secret shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl "
        "mq_open/0 mq_unlink/0 mq_timedsend mq_timedreceive mq_notify mq_getsetattr personality "
        "userfaultfd",
    [GROUP_DEVICES] = "ioctl iopl ioperm",
    [GROUP_TIME] = "settimeofday clock_settime clock_adjtime adjtimex clock_getres time timer_create timer_settime "
                   "timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime "
                   "setitimer getitimer alarm",
};

static bool same_word(const char *at, const char *name)
{
    size_t length = strcspn(at, " /");
    return strlen(name) == length && memcmp(at, name, length) == 0;
}

static bool find(const char *list, const char *name, struct call_kind *kind)
{
    for (const char *at = list; at && *at; at += strcspn(at, " "), at += *at == ' ') {
        if (!same_word(at, name)) continue;
        for (at += strcspn(at, " /"); *at == '/' || (*at >= '0' && *at <= '9'); at++)
            if (*at != '/') kind->text[*at - '0'] = true;
        return true;
    }
    return false;
}

struct call_kind call_kind(const char *name)
{
    const char *colon = strchr(name, ':');
    struct call_kind kind = {.group = GROUP_KERNEL};
    for (int group = 0; group < GROUPS; group++)
        if (find(lists[group], colon ? colon + 1 : name, &kind)) kind.group = (enum call_group)group;
    return kind;
}

bool advice_next(unsigned *at, char *name, unsigned size)
{
    unsigned skip = (*at)++;
    for (int group = 0; group < GROUPS; group++)
        for (const char *word = lists[group]; word && *word; word += strcspn(word, " "), word += *word == ' ') {
            if (skip--) continue;
            snprintf(name, size, "%.*s", (int)strcspn(word, " /"), word);
            return true;
        }
    return false;
}
