/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-vault: the only holder of keys. Started by caissond. */
#include "vault.h"

static struct role role;
static struct vault vault;

int main(void)
{
    return role_main(&role, &vault_part, &vault);
}
