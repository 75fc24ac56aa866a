/* SPDX-License-Identifier: Apache-2.0 */
/* A connector whose constructor never returns. */
#include <caisson/connector.h>

__attribute__((constructor)) static void hang(void)
{
    for (volatile unsigned turns = 0;;) turns++;
}

static int run(struct csn_call *call)
{
    return csn_ok(call);
}

CSN_CONNECTOR("loading-hang", "1.0.0", {"run", run});
