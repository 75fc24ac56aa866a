/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's look from outside: a worker that lacks one of its walls, is someone else's, or is dead, does not pass.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/runner/runner.h"
#include "sandbox/namespace.h"
#include "sandbox/seccomp.h"

enum { FILTERS = 3 };
struct shape {
    int filters;
    bool privileges; /* keeps what it has */
};

static void become(const struct shape *shape, int ready)
{
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct err err = {0};
    /* an ordinary user has no capability to give up, and a bounding set that stays: such a run checks the filters */
    if (!shape->privileges && getuid() == 0) privileges_drop(0, 0, false, &err);
    prctl(PR_SET_NO_NEW_PRIVS, shape->filters > 0, 0, 0, 0);
    for (int i = 0; i < shape->filters; i++) seccomp_install(&all, 1, &err);
    if (write(ready, "x", 1) != 1) _exit(1);
    for (;;) pause();
}

static bool passes(const struct shape *shape, pid_t parent, bool dead, char why[ERR_TEXT])
{
    static struct runner runner;
    static struct home home;
    int ends[2];
    char byte;
    struct err err = {0};
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) become(shape, ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    runner.filters = check_filters() + FILTERS;
    runner.without = getuid() ? 1u << WALL_NAMESPACES : 0;
    home.cell = parent;
    if (dead) kill(child, SIGKILL), waitpid(child, NULL, 0);
    bool good = check_worker(&runner, &home, pidfd, &err);
    if (!dead) kill(child, SIGKILL), waitpid(child, NULL, 0);
    close(pidfd), close(ends[0]), close(ends[1]);
    strcpy(why, err.text);
    return good;
}

static void only_whole_workers(void **state)
{
    char why[ERR_TEXT];
    const struct shape whole = {FILTERS, false}, fewer = {FILTERS - 1, false}, more = {FILTERS + 1, false},
                       none = {0, false}, strong = {FILTERS, true};
    assert_true(passes(&whole, getpid(), false, why));
    assert_false(passes(&fewer, getpid(), false, why));
    assert_non_null(strstr(why, "Seccomp_filters"));
    assert_false(passes(&more, getpid(), false, why));
    assert_false(passes(&none, getpid(), false, why));
    assert_false(passes(&whole, getpid() + 1, false, why));
    assert_non_null(strstr(why, "PPid"));
    assert_false(passes(&whole, getpid(), true, why));
    if (getuid() == 0) assert_false(passes(&strong, getpid(), false, why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_whole_workers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
