/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-ledger: started by caissond with a control line. */
#include "ledger.h"

static struct role role;
static struct ledger ledger;

int main(void)
{
    return role_main(&role, &ledger_part, &ledger);
}
