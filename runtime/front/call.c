/* SPDX-License-Identifier: Apache-2.0 */
/* The main path of the whole system: one call, one screen. */
#include "call.h"

#include "ledger.h"
#include "worker.h"

bool call_run(struct front *front, struct call *call, struct err *err)
{
    /* Authorised and durably intended. By its commit the ledger lets go: the release order to the vault, the gate to
     * the broker, the start to the runner. */
    if (!ledger_begin(front, call, err)) return false;
    if (call->replay) return true;

    /* The front's two ends of a confined, checked worker of that plugin; the call goes in, log lines and exactly one
     * reply come out, all of it before the deadline. */
    if (worker_take(front, call)) worker_run(front, call);
    worker_done(front, call);

    /* The durable outcome, on every path. Only then does the caller hear anything. */
    ledger_end(front, call);
    return true;
}
