/* SPDX-License-Identifier: Apache-2.0 */
/* A cell taken over once its walls stand, under connectors of these names: "reach" tries what is out of a cell's reach
 * and tells the runner how each try ended; "lies" sends it reports that are none; "offers" passes itself off as a
 * confined worker. Under any other name it is the honest cell. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/wire.h"
#include "sandbox/cell_state.h"

enum { LIES = 2000, PIDS = 1000, THROUGH = 42 };

static struct cell cell;

/* ── out of reach ──────────────────────────────────────────────────────────────────────────────────── */

static bool see_files(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/environ", O_RDONLY) >= 0 || access("/usr", F_OK) == 0;
}

static bool make_file(void)
{
    return open("/file", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool see_processes(void)
{
    for (int pid = 2; pid < PIDS; pid++)
        if (pid != getpid() && syscall(SYS_pidfd_open, pid, 0) >= 0) return true;
    return getppid() > 1;
}

static bool own_everything(void)
{
    return getuid() != 0 && (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0);
}

static bool dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 0x1900, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
}

static bool call_next_door(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/desk.sock"};
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to) == 0;
}

static bool open_door(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "\0door"};
    return bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof at) == 0;
}

static bool send_signal(void)
{
    return kill(-1, 0) == 0;
}

static bool trace(void)
{
    return ptrace(PTRACE_SEIZE, 1, NULL, NULL) == 0;
}

static bool read_memory(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)&cell, 1};
    return process_vm_readv(1, &here, 1, &there, 1, 0) == 1;
}

static bool put_mount(void)
{
    return mount(NULL, "/", "tmpfs", 0, NULL) == 0;
}

static bool new_namespace(void)
{
    return unshare(CLONE_NEWUSER) == 0;
}

static bool run_program(void)
{
    char *none[] = {NULL};
    return execve("/proc/self/exe", none, none) == 0;
}

static bool make_program(void)
{
    return syscall(SYS_memfd_create, "program", 0) >= 0;
}

static bool ring(void)
{
    return syscall(SYS_io_uring_setup, 8, NULL) >= 0;
}

static const struct {
    const char *name;
    bool (*got_through)(void);
} attempts[] = {{"files", see_files},    {"make", make_file},     {"processes", see_processes},
                {"uid", own_everything}, {"dial", dial},          {"unix", call_next_door},
                {"bind", open_door},     {"signal", send_signal}, {"trace", trace},
                {"memory", read_memory}, {"mount", put_mount},    {"namespace", new_namespace},
                {"exec", run_program},   {"memfd", make_program}, {"ring", ring}};

static const char *ending(bool (*got_through)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(got_through() ? THROUGH : 0);
    if (child < 0 || waitpid(child, &status, 0) != child) return "untried";
    if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGSYS ? "killed" : "crashed";
    return WEXITSTATUS(status) == THROUGH ? "through" : "refused";
}

/* ── what the runner hears ─────────────────────────────────────────────────────────────────────────── */

static void say(const void *bytes, size_t length, int fd)
{
    struct iovec piece = {(void *)bytes, length};
    while (wire_send(CELL_CHANNEL, &piece, 1, &fd, fd >= 0) == EAGAIN) sched_yield();
}

static int reach(void)
{
    struct cell_report report = {.event = CELL_REFUSED};
    size_t used = 0;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        used += (size_t)snprintf(report.text + used, sizeof report.text - used, "%s%s:%s", i ? " " : "",
                                 attempts[i].name, ending(attempts[i].got_through));
    say(&report, sizeof report, -1);
    return 0;
}

/* Reports of every event for workers of nobody and of others, cut and overlong frames, descriptors where none belong.
 */
static int lie(void)
{
    static unsigned char noise[2 * sizeof(struct cell_report)];
    struct cell_report report = {.event = CELL_UP};
    say(&report, sizeof report, -1);
    memset(noise, 0xff, sizeof noise);
    for (unsigned i = 0; i < LIES; i++) {
        report = (struct cell_report){.event = i % 7,
                                      .worker = i * 17,
                                      .why = i,
                                      .exit_code = (int32_t)i,
                                      .kind = ~0u,
                                      .signal = (int32_t)(i % 70),
                                      .attempt_count = ~0u};
        if (report.event == CELL_REFUSED) continue;
        memset(report.attempts, 0xff, sizeof report.attempts);
        memset(report.text, 'x', sizeof report.text);
        say(&report, sizeof report, i % 3 ? -1 : 0);
        say(noise, 1 + i % sizeof noise, i % 5 ? -1 : 0);
    }
    while (pause() < 0) continue;
    return 0;
}

/* Takes the runner's order for a worker, and gives its own process for one. */
static int offer(void)
{
    static struct wire_frame frame;
    struct cell_report report = {.event = CELL_UP};
    struct cell_request request;
    say(&report, sizeof report, -1);
    for (;;) {
        enum wire_got got = wire_take(CELL_CHANNEL, &frame);
        if (got == WIRE_GONE) return 0;
        if (got == WIRE_FRAME && frame.length == sizeof request) {
            memcpy(&request, frame.bytes, sizeof request);
            report = (struct cell_report){.event = CELL_READY, .worker = request.worker};
            int child = request.order == CELL_MAKE ? fork() : -1;
            if (child == 0)
                for (;;) pause();
            int pidfd = child > 0 ? (int)syscall(SYS_pidfd_open, child, 0) : -1;
            if (child > 0) say(&report, sizeof report, pidfd);
        }
        wire_drop(&frame);
        sched_yield();
    }
}

int main(void)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } roles[] = {{"reach", reach}, {"lies", lie}, {"offers", offer}};
    struct cell_spec spec;
    struct err err = {0};
    int (*run)(void) = NULL;
    if (pread(CELL_SPEC, &spec, sizeof spec, 0) != sizeof spec) return 1;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strncmp(spec.name, roles[i].name, sizeof spec.name) == 0) run = roles[i].run;
    if (!run) return cell_main();
    return cell_open(&cell, &err) ? run() : 1;
}
