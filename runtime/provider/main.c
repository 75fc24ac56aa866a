/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-provider: fetches a key provider's half of the master key. Started by caissond or caisson; gone at once. */
#include "provider.h"
#include "runtime/role.h"

int main(void)
{
    static struct role role;
    return role_main(&role, &provider_part, NULL);
}
