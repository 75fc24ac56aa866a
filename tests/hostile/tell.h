/* SPDX-License-Identifier: Apache-2.0 */
/* How a hostile connector says what its attempts got: a list of {"what", "result", "errno", "text"?}. */
#pragma once

#include <caisson/connector.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tale {
    struct csn_call *call;
    int count;
};

/* One attempt: result as the kernel gave it; errno counts when it is negative. text: NULL for none. */
static inline void tell_text(struct tale *tale, const char *what, long result, const char *text)
{
    int cause = result < 0 ? errno : 0, number = tale->count++;
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/attempts/%d/what", number);
    csn_set(tale->call, number ? pointer : "/attempts/0/what", what);
    snprintf(pointer, sizeof pointer, "/attempts/%d/result", number);
    csn_set_int(tale->call, pointer, result);
    snprintf(pointer, sizeof pointer, "/attempts/%d/errno", number);
    csn_set_int(tale->call, pointer, cause);
    snprintf(pointer, sizeof pointer, "/attempts/%d/text", number);
    if (text) csn_set(tale->call, pointer, text);
}

static inline void tell(struct tale *tale, const char *what, long result)
{
    tell_text(tale, what, result, NULL);
}

static inline long number(struct csn_call *call, const char *pointer, long otherwise)
{
    int64_t value;
    return csn_int(call, pointer, &value) ? (long)value : otherwise;
}

/* {"then": "fail"}: the action ends as one does that did not get where it wanted. */
static inline int end(struct csn_call *call)
{
    const char *then = csn_input(call, "/then");
    if (then && strcmp(then, "fail") == 0) return csn_fail(call, CSN_RETRY, "as asked");
    return csn_ok(call);
}
