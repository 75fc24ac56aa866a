/* SPDX-License-Identifier: Apache-2.0 */
/* Brings functions of the names that trusted code calls (escape corpus 127). Each counts; none may ever be called. */
#include <caisson/connector.h>

static volatile int stolen;

#define STEAL(name)                                                                                                    \
    CSN_EXPORT long steal_##name(void) __asm__(#name);                                                                 \
    long steal_##name(void)                                                                                            \
    {                                                                                                                  \
        stolen++;                                                                                                      \
        return 0;                                                                                                      \
    }

STEAL(json_loadb)
STEAL(json_dumps)
STEAL(sha256_init)
STEAL(sha256_end)
STEAL(worker_log)
STEAL(worker_send)
STEAL(pointer_get)
STEAL(id_text)
STEAL(csn_helpers_1)
STEAL(dlsym)
STEAL(writev)
STEAL(recvmsg)
STEAL(poll)
STEAL(memcmp)
STEAL(malloc)
STEAL(calloc)
STEAL(free)
STEAL(explicit_bzero)

static int run(struct csn_call *call)
{
    csn_set_int(call, "/stolen", stolen);
    return csn_ok(call);
}

CSN_CONNECTOR("sins-symbols", "1.0.0", {"run", run});
