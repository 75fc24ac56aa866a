/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of what the kernel filters: system calls, privileges, files, executable memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "landlock.h"
#include "probe_inside.h"
#include "seccomp.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

enum { HELD = 42, SOON_MS = 2000 };

/* ── system calls ────────────────────────────────────────────────────────────────────────────────────── */

/* One call gets that verdict, all others go through. */
#define ONE_CALL(number, verdict)                                                                                      \
    {                                                                                                                  \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),                                         \
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, (verdict)),                 \
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)                                                               \
    }

static bool promise(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool probe_filter(void)
{
    static const struct sock_filter code[] = ONE_CALL(SYS_getppid, SECCOMP_RET_ERRNO | EUCLEAN);
    struct err err = {0};
    if (!promise() || !seccomp_install(code, sizeof code / sizeof *code, &err)) return false;
    return syscall(SYS_getppid) < 0 && errno == EUCLEAN;
}

/* A listener that nobody answers fails closed: unlisted calls say that there is no such call. */
static bool fails_closed(void)
{
    if (!promise()) return false;
    int listener = seccomp_listen(seccomp_ready[LIST_L].code, seccomp_ready[LIST_L].length);
    if (listener < 0) return false;
    close(listener);
    if (syscall(SYS_getppid) >= 0 || errno != ENOSYS) return false;
    return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES;
}

static bool is_null_device(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* Asks to open one thing and is given another, as a worker is given its plugin. */
static _Noreturn void ask(int tell)
{
    static const struct sock_filter code[] = ONE_CALL(SYS_openat, SECCOMP_RET_USER_NOTIF);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int listener = promise() ? seccomp_listen(code, sizeof code / sizeof *code) : -1;
    if (write(tell, &listener, sizeof listener) != sizeof listener || listener < 0) _exit(1);
    int got = (int)syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_CLOEXEC, 0);
    _exit(got >= 0 && is_null_device(got) ? HELD : 1);
}

static bool answer(int listener)
{
    struct pollfd one = {.fd = listener, .events = POLLIN};
    struct seccomp_notif asked;
    memset(&asked, 0, sizeof asked);
    FD_AUTO nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0 || poll(&one, 1, SOON_MS) != 1 || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
        return false;
    struct seccomp_notif_addfd add = {
        .id = asked.id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)nothing, .newfd_flags = O_CLOEXEC};
    return asked.data.nr == SYS_openat && ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}

/* The two share their descriptors, so that the listener's number means the same in both. */
static bool injects(void)
{
    int ends[2], listener = -1, status = 0;
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) ask(ends[1]);
    if (pid < 0 || read(ends[0], &listener, sizeof listener) != sizeof listener || listener < 0) return false;
    bool answered = answer(listener);
    if (!answered) kill((pid_t)pid, SIGKILL);
    return waitpid((pid_t)pid, &status, 0) == pid && answered && WIFEXITED(status) && WEXITSTATUS(status) == HELD;
}

bool probe_listener(void)
{
    return injects() && fails_closed();
}

/* ── privileges ──────────────────────────────────────────────────────────────────────────────────────── */

bool probe_no_new_privileges(void)
{
    return promise() && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) < 0;
}

/* ── Landlock ────────────────────────────────────────────────────────────────────────────────────────── */

static bool enter(enum landlock_fs files)
{
    struct landlock_wish nothing = {.files = files};
    struct err err = {0};
    return promise() && landlock_enter(&nothing, &err);
}

bool probe_landlock(void)
{
    int before = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (before < 0 || !enter(LANDLOCK_FILES_READ)) return false;
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 && errno == EACCES;
}

bool probe_landlock_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int before = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), after = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(before, (struct sockaddr *)&address, sizeof address) < 0 || !enter(LANDLOCK_FILES_OPEN)) return false;
    return bind(after, (struct sockaddr *)&address, sizeof address) < 0 && errno == EACCES;
}

bool probe_landlock_signals(void)
{
    if (kill(probe_scene.outside, 0) < 0 || !enter(LANDLOCK_FILES_OPEN)) return false;
    return kill(probe_scene.outside, 0) < 0 && errno == EPERM;
}

/* ── executable memory ───────────────────────────────────────────────────────────────────────────────── */

bool probe_no_new_code(void)
{
    enum { PAGE = 4096 };
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0) return false;
    return mprotect(page, PAGE, PROT_READ | PROT_EXEC) < 0;
}
