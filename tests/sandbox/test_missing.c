/* SPDX-License-Identifier: Apache-2.0 */
/* Each wall stops its attack alone, and with the wall taken away the attack goes through: so the tests of the whole
 * can fail. Then: layers that the kernel lacks, hidden from outside. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"
#include "sandbox/seccomp.h"

static bool as_nobody;

enum want { THROUGH, REFUSED, KILLED };

static const struct row {
    const char *item, *attack, *cell;
    bool bare; /* the runner without its own list */
    enum want want;
    int error; /* of REFUSED; 0: any */
} rows[] = {
    {"1", "open-file", "L-landlock-root", false, THROUGH, 0},
    {"1, Landlock alone", "open-file", "L-root", false, REFUSED, EACCES},
    {"1, the root alone", "open-file", "L-landlock", false, REFUSED, ENOENT},
    {"1, the list alone", "open-file", "landlock-root", false, REFUSED, EPERM},
    {"12", "ptrace", "A-L", true, THROUGH, 0},
    {"12, the cell's list alone", "ptrace", "L", true, KILLED, 0},
    {"12, the runner's list alone", "ptrace", "A-L", false, KILLED, 0},
    {"14", "kill", "A-L-landlock", true, THROUGH, 0},
    {"14, Landlock alone", "kill", "A-L", true, REFUSED, EPERM},
    {"14, the cell's list alone", "kill", "L", true, KILLED, 0},
    {"25", "io-uring", "A-L-limits", true, THROUGH, 0},
    {"25, the limits alone", "io-uring", "A-L", true, REFUSED, ENOMEM},
    {"25, the cell's list alone", "io-uring", "L", true, KILLED, 0},
    {"25, the runner's list alone", "io-uring", "A-L", false, KILLED, 0},
    {"33", "mprotect", "L-mdwe", false, THROUGH, 0},
    {"33, MDWE alone", "mprotect", "L", false, REFUSED, EACCES},
    {"33, the list alone", "mprotect", "mdwe", false, REFUSED, EPERM},
    {"33", "map-code", "L-mdwe", false, THROUGH, 0},
    {"35", "memfd", "A-L", false, THROUGH, 0},
    {"35, the cell's list alone", "memfd", "L", false, KILLED, 0},
    {"55", "socket", "L", true, THROUGH, 0},
    {"55, the list alone", "socket", "A", true, REFUSED, EACCES},
    {"55, the runner's list alone", "socket", "A-L", false, REFUSED, EACCES},
    {"117", "send-fds", "L", false, THROUGH, 0},
    {"9", "descriptors", "L-channels", false, THROUGH, 0},
};

static long try_attack(const struct row *row, struct drive_call *call)
{
    char cell[512], input[128], why[256] = "";
    struct drive drive;
    snprintf(cell, sizeof cell, CELLS "/cell-no-%s", row->cell);
    snprintf(input, sizeof input, "{\"try\":\"%s\"}", row->attack);
    struct drive_how how = {.cell = cell,
                            .as_nobody = as_nobody,
                            .runner = row->bare ? CELLS "/bare-runner" : NULL,
                            .helpers = HELPERS,
                            .ca = CA_FILE};
    const struct drive_entry entry = {.plugin = PLUGINS "/attacker.so", .egress = strcmp(row->item, "117") == 0};
    if (!drive_start(&drive, &entry, 1, &how, why)) fail_msg("%s: the runner refused: %s", row->item, why);
    *call = (struct drive_call){.input = input};
    drive_call(&drive, call);
    call->input = NULL;
    drive_stop(&drive);
    return call->replied ? (long)json_integer_value(json_object_get(json_object_get(call->reply, "answer"), "result"))
                         : 0;
}

static void walls_alone(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drive_call call;
        long got = try_attack(&rows[i], &call);
        bool good = rows[i].want == KILLED    ? !call.replied && call.end.signal == SIGSYS
                    : rows[i].want == THROUGH ? call.replied && got >= 0
                                              : call.replied && (rows[i].error ? got == -rows[i].error : got < 0);
        if (!good)
            fail_msg("item %s, %s without %s: replied %d, result %ld, class %s, signal %d, exit %d", rows[i].item,
                     rows[i].attack, rows[i].cell, call.replied, got, class_name(call.end.class), call.end.signal,
                     call.end.exit_code);
        drive_call_clear(&call);
    }
}

/* Item 23: without the walls a shell does start, and ends for want of input. */
static void exec_without_walls(void **state)
{
    static const struct row row = {"23", "execve", "A-L-landlock-root-limits", true, THROUGH, 0};
    struct drive_call call;
    try_attack(&row, &call);
    assert_false(call.replied);
    assert_int_equal(call.end.signal, 0);
    assert_int_equal(call.end.exit_code, 0);
    drive_call_clear(&call);
}

/* Item 88. */
static void memory_without_limits(void **state)
{
    char why[256] = "";
    struct drive drive;
    struct drive_how how = {.cell = CELLS "/cell-no-limits", .as_nobody = as_nobody};
    const struct drive_entry entry = {.plugin = PLUGINS "/odd.so", .actions = {"bomb"}, .memory_mb = 32};
    assert_true(drive_start(&drive, &entry, 1, &how, why));
    struct drive_call call = {0};
    drive_call(&drive, &call);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(call.reply, "answer"), "megabytes")), 200);
    drive_call_clear(&call);
    drive_stop(&drive);
}

/* The comparison of what the front sent with what the vault's frame says. */
static void input_without_comparison(void **state)
{
    char why[256] = "";
    struct drive drive;
    struct drive_how how = {.cell = CELLS "/cell-no-input", .as_nobody = as_nobody};
    const struct drive_entry entry = {.plugin = PLUGINS "/odd.so"};
    assert_true(drive_start(&drive, &entry, 1, &how, why));
    struct drive_call call = {.input = "{} ", .tamper_action = true};
    drive_call(&drive, &call);
    assert_true(call.replied);
    drive_call_clear(&call);
    drive_stop(&drive);
}

/* A cell that keeps its capabilities: the runner sees it from outside and lets no plugin run. */
static void outside_check(void **state)
{
    char why[256] = "";
    struct drive drive;
    struct drive_how how = {.cell = CELLS "/cell-no-uid", .as_nobody = as_nobody};
    const struct drive_entry entry = {.plugin = PLUGINS "/odd.so"};
    assert_true(drive_start(&drive, &entry, 1, &how, why));
    struct drive_call call = {0};
    drive_call(&drive, &call);
    assert_false(call.taken);
    assert_true(call.ended);
    assert_int_equal(call.end.class, CLASS_REFUSED);
    assert_int_equal(call.end.reason, REASON_NO_WORKER);
    drive_stop(&drive);
}

/* ── layers hidden from outside ──────────────────────────────────────────────────────────────────────── */

static void hide(const struct call_row *hidden, unsigned count)
{
    static struct sock_filter code[BPF_ROOM];
    unsigned length;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!bpf_make(hidden, count, 0, SECCOMP_RET_ALLOW, code, &length) || !seccomp_install(code, length, NULL))
        _exit(97);
}

#define HIDDEN(name, error)                                                                                            \
    {                                                                                                                  \
        __NR_##name, 1, SECCOMP_RET_ERRNO | (error), {{0}}, "hidden"                                                   \
    }

static void hide_landlock(void)
{
    static const struct call_row hidden[] = {HIDDEN(landlock_create_ruleset, ENOSYS)};
    hide(hidden, 1);
}

static void hide_namespaces(void)
{
    static const struct call_row hidden[] = {HIDDEN(pivot_root, EPERM), HIDDEN(unshare, EPERM)};
    hide(hidden, 2);
}

static void hide_seccomp(void)
{
    static const struct call_row hidden[] = {HIDDEN(seccomp, ENOSYS)};
    hide(hidden, 1);
}

static void hide_both(void)
{
    hide_landlock();
    hide_namespaces();
}

/* Debian 12's own kernel: Landlock without networks and scopes is probed by its ABI number; MDWE is not there. */
static void hide_newer(void)
{
    static const struct call_row hidden[] = {
        {__NR_prctl, 1, SECCOMP_RET_ERRNO | EINVAL, {{0, ~UINT64_C(0), 65}}, "PR_SET_MDWE"}};
    hide(hidden, 1);
}

static bool starts(void (*before)(void), bool lowered, const struct drive_entry *entry, struct drive *drive,
                   char why[256])
{
    struct drive_how how = {.as_nobody = as_nobody, .before = before, .lowered = lowered};
    return drive_start(drive, entry, 1, &how, why);
}

static void missing_layers_are_refused(void **state)
{
    static const struct {
        void (*before)(void);
        bool lowered, starts;
        const char *says;
    } cases[] = {{hide_landlock, false, false, "Landlock"},     {hide_landlock, true, false, "Landlock"},
                 {hide_namespaces, false, false, "namespaces"}, {hide_namespaces, true, true, ""},
                 {hide_seccomp, false, false, "seccomp"},       {hide_seccomp, true, false, "seccomp"},
                 {hide_both, true, false, "Landlock"},          {hide_newer, false, true, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[256] = "";
        struct drive drive;
        const struct drive_entry entry = {.plugin = PLUGINS "/attacker.so"};
        bool got = starts(cases[i].before, cases[i].lowered, &entry, &drive, why);
        if (got != cases[i].starts || !strstr(why, cases[i].says)) fail_msg("case %zu: started %d: %s", i, got, why);
        if (got) {
            struct drive_call call = {.input = "{\"try\":\"open-file\"}"};
            drive_call(&drive, &call);
            if (!call.replied)
                fail_msg("case %zu: class %s, exit %d", i, class_name(call.end.class), call.end.exit_code);
            assert_true(json_integer_value(json_object_get(json_object_get(call.reply, "answer"), "result")) < 0);
            drive_call_clear(&call);
        }
        drive_stop(&drive);
    }
}

static bool is_gone(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return true;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    const char *state = strrchr(text, ')');
    return got <= 0 || (state && (state[2] == 'Z' || state[2] == 'X'));
}

/* Without a pid namespace nothing but their own word ends the workers of a cell that was killed. */
static void lowered_workers_die_with_their_cell(void **state)
{
    char why[256] = "";
    struct drive drive;
    pid_t cell, worker;
    const struct drive_entry entry = {.plugin = PLUGINS "/odd.so", .actions = {"hang"}};
    if (!starts(hide_namespaces, true, &entry, &drive, why)) fail_msg("the runner refused: %s", why);
    struct drive_call call = {.deadline_ms = 60000};
    drive_begin(&drive, &call);
    assert_true(drive_feed(&drive, &call));
    assert_int_equal(children_of(drive.pid, &cell, 1), 1);
    assert_int_equal(children_of(cell, &worker, 1), 1);
    assert_int_equal(kill(cell, SIGKILL), 0);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000);
    assert_non_null(ended);
    drive_drop(ended);
    bool gone = is_gone(worker);
    for (int i = 0; i < 500 && !gone; i++) usleep(10000), gone = is_gone(worker);
    if (!gone) kill(worker, SIGKILL);
    assert_true(gone);
    drive_call_clear(&call);
    drive_stop(&drive);
}

int main(int argc, char **argv)
{
    as_nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    if (as_nobody && getuid() != 0) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walls_alone),
        cmocka_unit_test(exec_without_walls),
        cmocka_unit_test(memory_without_limits),
        cmocka_unit_test(input_without_comparison),
        cmocka_unit_test(outside_check),
        cmocka_unit_test(missing_layers_are_refused),
        cmocka_unit_test(lowered_workers_die_with_their_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
