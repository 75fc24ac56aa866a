/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-runner: trusted code that makes cells, makes and checks every worker, and hands out their channels. */
#include "runner.h"

int main(void)
{
    static struct role role;
    static struct runner runner;
    runner.role = &role;
    return role_main(&role, &runner_part, &runner);
}
