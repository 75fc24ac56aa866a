/* SPDX-License-Identifier: Apache-2.0 */
/* Tries one forbidden thing in the action, and every one that is only refused in its constructor. */
#include <caisson/connector.h>
#include <stdlib.h>

#include "attack.h"

static long from_constructor[REFUSED_COUNT];

#ifdef IN_CONSTRUCTOR
__attribute__((constructor)) static void begin(void)
{
    for (int i = 0; i < REFUSED_COUNT; i++) from_constructor[i] = refused_attacks[i].run();
}
#endif

#ifdef KILLED_IN_CONSTRUCTOR
__attribute__((constructor)) static void die_early(void)
{
    attack(KILLED_IN_CONSTRUCTOR);
}
#endif

static int run(struct csn_call *call)
{
    const char *name = csn_input(call, "/try");
    csn_set_int(call, "/result", name ? attack(name) : 0);
    return csn_ok(call);
}

static int early(struct csn_call *call)
{
    for (int i = 0; i < REFUSED_COUNT; i++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/%s", refused_attacks[i].name);
        csn_set_int(call, pointer, from_constructor[i]);
    }
    return csn_ok(call);
}

CSN_CONNECTOR("attacker", "1.0.0", {"run", run}, {"early", early});
