/* SPDX-License-Identifier: Apache-2.0 */
/* hello — the smallest connector: no network, no credential. Copy this folder to begin your own. */
#include <caisson/connector.h>

/* {"name": "Ada"} → {"greeting": "Hello, Ada!"} */
static int greet(struct csn_call *call)
{
    char text[400];
    const char *greeting = csn_setting(call, "/greeting");
    snprintf(text, sizeof text, "%s, %s!", greeting ? greeting : "Hello", csn_input(call, "/name"));
    csn_set(call, "/greeting", text);
    return csn_ok(call);
}

/* Does nothing: what a call costs by itself. */
static int noop(struct csn_call *call)
{
    return csn_ok(call);
}

CSN_CONNECTOR("hello", "1.0.0", {"greet", greet}, {"noop", noop});
