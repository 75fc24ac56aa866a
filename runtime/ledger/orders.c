/* SPDX-License-Identifier: Apache-2.0 */
/* What a durable intent lets loose: the release order, the gate, the start; and taking them back. */
#include <string.h>

#include "admit.h"

static void fill_order(struct msg_order *order, const struct running *run, const struct begin *begin)
{
    order->call = run->call.ref;
    order->action = begin->begun.action;
    memcpy(order->entry_digest, run->call.entry_digest, HASH_BYTES);
    memcpy(order->salt, begin->ask.salt, sizeof order->salt);
    memcpy(order->input_digest, begin->ask.input_digest, HASH_BYTES);
    order->input_size = (uint32_t)begin->ask.input_size;
    order->deadline = run->call.deadline;
    memcpy(order->workspace, begin->workspace.id, ID_BYTES);
    memcpy(order->credential, begin->credential.id, ID_BYTES);
    order->version = begin->credential.version;
    order->exchange = begin->exchanges;
}

static bool open_gate(struct ledger *ledger, struct running *run, const struct begin *begin)
{
    struct role_line *broker = role_line_to(ledger->role, ROLE_BROKER);
    struct msg_gate_open gate = {.call = run->call.ref, .entry = run->entry, .deadline = run->call.deadline};
    memcpy(gate.entry_digest, run->call.entry_digest, HASH_BYTES);
    memcpy(gate.audience, begin->credential.audience, sizeof gate.audience);
    if (!broker) return false;
    run->broker_generation = broker->generation;
    run->gated = role_send(ledger->role, broker, MSG_GATE_OPEN, 0, &gate, sizeof gate, NULL, 0);
    return run->gated;
}

static bool start_worker(struct ledger *ledger, struct running *run, const struct begin *begin)
{
    struct role_line *runner = role_line_to(ledger->role, ROLE_RUNNER);
    struct msg_start start = {.call = run->call.ref,
                              .entry = run->entry,
                              .action = begin->begun.action,
                              .credential_version = begin->credential.version,
                              .isolation = (uint32_t)begin->entry->isolation,
                              .deadline = run->call.deadline,
                              .exchange = begin->exchanges,
                              .taker = run->taker};
    memcpy(start.workspace, begin->workspace.id, ID_BYTES);
    memcpy(start.credential, begin->credential.id, ID_BYTES);
    if (!runner) return false;
    run->runner_generation = runner->generation;
    run->started = role_send(ledger->role, runner, MSG_START, 0, &start, sizeof start, NULL, 0);
    return run->started;
}

/* Each is written before the next; the first that cannot be takes the others back. */
bool orders_send(struct ledger *ledger, struct running *run, struct begin *begin)
{
    struct role_line *vault = role_line_to(ledger->role, ROLE_VAULT);
    fill_order(begin->order, run, begin);
    run->ordered = vault && role_send(ledger->role, vault, MSG_ORDER, 0, begin->order, sizeof *begin->order, NULL, 0);
    return run->ordered && open_gate(ledger, run, begin) && start_worker(ledger, run, begin);
}

void orders_cancel(struct ledger *ledger, struct running *run, enum call_reason reason)
{
    struct role_line *vault = role_line_to(ledger->role, ROLE_VAULT), *runner = role_line_to(ledger->role, ROLE_RUNNER);
    struct msg_order_cancel order = {.call = run->call.ref};
    struct msg_cancel cancel = {.call = run->call.ref, .reason = (uint32_t)reason};
    if (vault && run->ordered) role_send(ledger->role, vault, MSG_ORDER_CANCEL, 0, &order, sizeof order, NULL, 0);
    if (runner && run->started) role_send(ledger->role, runner, MSG_CANCEL, 0, &cancel, sizeof cancel, NULL, 0);
}
