/* SPDX-License-Identifier: Apache-2.0 */
/* The lives of roles, without a process: when the parent wants to be woken, and what a role is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_an_earlier_stage),
        cmocka_unit_test(stops_without_those_that_are_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
