/* SPDX-License-Identifier: Apache-2.0 */
/* The lives of roles, without a process: when the parent wants to be woken, and what a role is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/wire.h"
#include "runtime/parent/parent.h"

/* A daemon of which all roles are READY. */
static struct parent whole(void)
{
    struct parent parent = {.registry = -1};
    for (int i = 0; i < ROLE_COUNT; i++)
        parent.children[i] = (struct child){.role = (enum role_id)i, .state = CHILD_READY, .pidfd = -1, .control = -1};
    parent.children[ROLE_LOADER].state = parent.children[ROLE_PROVIDER].state = CHILD_OFF;
    parent.reload.registry = -1;
    for (int i = 0; i < PLUGINS_MOST; i++) parent.plugins[i] = parent.reload.plugins[i] = -1;
    return parent;
}

/* Gives the role a control line; its other end. */
static int control_line(struct child *child)
{
    struct err err = {0};
    int ends[2];
    assert_true(wire_pair(ends, &err));
    child->control = ends[0];
    return ends[1];
}

/* ── when ──────────────────────────────────────────────────────────────────────────────────────────── */

/* The broker should have been started long ago, and cannot be before the vault is READY: nobody spins for it. */
static void waits_for_an_earlier_stage(void **state)
{
    struct parent parent = whole();
    uint64_t now = clock_now();
    parent.registry = 0; /* there is one */
    parent.children[ROLE_VAULT].state = CHILD_OFF;
    parent.children[ROLE_VAULT].due = now + 5 * CLOCK_S;
    parent.children[ROLE_BROKER].state = CHILD_OFF;
    parent.children[ROLE_BROKER].due = 1;
    assert_int_equal(roles_tick(&parent), now + 5 * CLOCK_S);
    assert_int_equal(parent.children[ROLE_BROKER].state, CHILD_OFF);
}

/* A daemon that stops starts none of them. */
static void stops_without_those_that_are_off(void **state)
{
    struct parent parent = whole();
    parent.config.stop_s = 60;
    parent.stopping = true;
    parent.children[ROLE_BROKER].state = CHILD_OFF;
    parent.children[ROLE_BROKER].due = 1;
    parent.children[ROLE_RUNNER].state = CHILD_OFF;
    parent.children[ROLE_RUNNER].due = clock_now() + CLOCK_S;
    uint64_t next = roles_tick(&parent);
    assert_int_equal(parent.children[ROLE_DESK].state, CHILD_ENDING);
    assert_int_equal(next, parent.children[ROLE_DESK].due);
}

/* ── freeze ────────────────────────────────────────────────────────────────────────────────────────── */

/* Thawed while the ledger was starting; another role, started since, was told so: the ledger hears of it too. */
static void hears_of_a_thaw_while_it_starts(void **state)
{
    struct parent parent = whole();
    struct child *ledger = &parent.children[ROLE_LEDGER];
    struct wire_frame frame = {0};
    const struct msg_head *head = (const struct msg_head *)frame.bytes;
    FD_AUTO theirs = control_line(ledger);
    FD_AUTO ours = ledger->control;
    ledger->state = CHILD_STARTING;
    ledger->told_frozen = true;
    parent.start.frozen = parent.frozen = false;
    roles_ready(&parent, ledger);
    assert_int_equal(ledger->state, CHILD_READY);
    assert_false(ledger->told_frozen);
    assert_int_equal(wire_take(theirs, &frame), WIRE_FRAME);
    assert_int_equal(head->type, CTL_FREEZE);
    assert_int_equal(((const struct ctl_freeze *)(head + 1))->on, 0);
}

/* ── reload ────────────────────────────────────────────────────────────────────────────────────────── */

/* The round waits for a ledger that recovers as long as its start may take, and for one that is READY a moment. */
static void reload_waits_for_a_start(void **state)
{
    struct parent parent = whole();
    struct child *ledger = &parent.children[ROLE_LEDGER];
    uint64_t now = clock_now();
    FD_AUTO theirs = control_line(ledger);
    FD_AUTO ours = ledger->control;
    JSON_AUTO *config = json_object();
    FD_AUTO registry = memfd_create("registry", MFD_CLOEXEC);
    parent.config.parts[ROLE_LEDGER] = config;
    parent.registry = registry;
    parent.listeners.api = parent.listeners.desk = theirs; /* any socket */
    parent.number = 2;
    parent.children[ROLE_BROKER].registry = parent.children[ROLE_RUNNER].registry = parent.number;
    parent.reload.running = true;
    parent.reload.step = 1;
    ledger->state = CHILD_STARTING;
    ledger->due = now + 60 * CLOCK_S;
    reload_step(&parent);
    assert_int_equal(parent.reload.due, ledger->due);
    parent.reload.due = 0;
    ledger->state = CHILD_READY;
    reload_step(&parent);
    assert_in_range(parent.reload.due, now, now + 60 * CLOCK_S - 1);
}

/* ── the key provider's helper ─────────────────────────────────────────────────────────────────────── */

/* A child in its place that ends at once: with that status, or by SIGKILL where it is negative. */
static void put_ended(struct child *child, int status)
{
    siginfo_t how;
    child->state = CHILD_STARTING;
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        if (status < 0) raise(SIGKILL);
        _exit(status);
    }
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    assert_true(child->pidfd >= 0);
    assert_int_equal(waitid(P_PID, (id_t)child->pid, &how, WEXITED | WNOWAIT), 0);
}

/* A running daemon whose vault could not start four times, with a provider. */
static struct parent on_the_brink(json_t *config)
{
    struct parent parent = whole();
    parent.announced = true;
    parent.config.parts[ROLE_PROVIDER] = config;
    parent.children[ROLE_VAULT].failures = 4;
    return parent;
}

/* The vault waits for a helper that died without a word, whichever end is seen first. */
static void helper_dies_without_a_word(void **state)
{
    JSON_AUTO *config = json_pack("{s:s}", "Provider", "pkcs11");
    for (int status = -1; status <= 1; status += 2) {
        for (int helper_first = 0; helper_first < 2; helper_first++) {
            struct parent parent = on_the_brink(config);
            struct child *vault = &parent.children[ROLE_VAULT], *helper = &parent.children[ROLE_PROVIDER];
            put_ended(vault, 1);
            put_ended(helper, status);
            roles_ended(&parent, helper_first ? helper : vault);
            roles_ended(&parent, helper_first ? vault : helper);
            assert_int_equal(helper->state, CHILD_OFF);
            assert_false(parent.failed);
            assert_int_equal(vault->failures, 4);
            assert_true(vault->due > clock_now());
        }
    }
}

/* It gave its half and ended: what the vault dies of is its own. */
static void helper_ends_well(void **state)
{
    JSON_AUTO *config = json_pack("{s:s}", "Provider", "pkcs11");
    struct parent parent = on_the_brink(config);
    put_ended(&parent.children[ROLE_VAULT], 1);
    put_ended(&parent.children[ROLE_PROVIDER], 0);
    roles_ended(&parent, &parent.children[ROLE_PROVIDER]);
    roles_ended(&parent, &parent.children[ROLE_VAULT]);
    assert_true(parent.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_an_earlier_stage),      cmocka_unit_test(stops_without_those_that_are_off),
        cmocka_unit_test(hears_of_a_thaw_while_it_starts), cmocka_unit_test(reload_waits_for_a_start),
        cmocka_unit_test(helper_dies_without_a_word),      cmocka_unit_test(helper_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
