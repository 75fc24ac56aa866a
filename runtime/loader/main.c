/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-loader: reads what plugins' developers and the administrator wrote, under confinement. */
#include "loader.h"

int main(void)
{
    static struct role role;
    return role_main(&role, &loader_part, NULL);
}
