/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-front: the callers' API, or with "desk" as first argument the administrator's. Started by caissond. */
#include <string.h>
#include <unistd.h>

#include "front.h"

int main(int argc, char **argv)
{
    static struct role role;
    static struct front front;
    struct err err = {0};
    enum role_id self = argc > 1 && strcmp(argv[1], "desk") == 0 ? ROLE_DESK : ROLE_FRONT;
    if (!front_init(&front, self, &err)) return err_row(err.kind)->exit;
    _exit(role_main(&role, front_part(self), &front)); /* its threads still run: nothing may be torn down under them */
}
