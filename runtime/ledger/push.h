/* SPDX-License-Identifier: Apache-2.0 */
/* Outside eyes: checkpoints on their way to places that this machine cannot take them back from. */
#pragma once

#include <jansson.h>

#include "ledger.h"

/* ── push.c: rounds, and what came of them ── */

/* "push" of the configuration: {"every": 60, "required": ["siem"], "sinks": [{"name": "siem", "kind": "syslog"}, …]}. A
 * reload keeps what is known of the places that stay. */
bool push_config(struct ledger *ledger, const json_t *config, struct err *err);
/* Once the store is there: what is kept of each place. */
bool push_open(struct ledger *ledger, struct err *err);
uint64_t push_tick(struct ledger *ledger);
/* A round now, whatever the clock says. */
void push_now(struct ledger *ledger);
/* Is one under way? */
bool push_busy(const struct ledger *ledger);
/* false: a place that caisson.conf requires does not take checkpoints; which, and what to do. */
bool push_admits(const struct ledger *ledger, struct err *err);
/* {"siem": {"state": "up", "size": 12, …}} */
json_t *push_json(const struct ledger *ledger);
/* It has the checkpoint of that size; or not, and why. */
void push_taken(struct ledger *ledger, struct sink *sink, uint64_t size);
void push_failed(struct ledger *ledger, struct sink *sink, uint64_t size, const struct err *why);
/* Did only pushing make this: an entry, an incident? */
bool push_made(struct ledger *ledger, uint64_t index);
bool push_incident(struct ledger *ledger, const struct call_ref *call, const uint8_t entry[HASH_BYTES]);

/* ── push_call.c: calls that push, made by the desk ── */

/* Gives the desk the next one, if it waits and there is one. Returns when to look again, 0: never. */
uint64_t push_calls(struct ledger *ledger);
void on_push_wait(struct role *role, struct role_line *line, const struct role_message *message);
void on_push_done(struct role *role, struct role_line *line, const struct role_message *message);
void push_desk_gone(struct ledger *ledger, const struct role_line *line);
/* Of a BEGIN: is that number's call under way? Is it this one, to the last byte? The first to claim it has it. */
bool push_expects(const struct ledger *ledger, uint32_t number);
bool push_covers(const struct ledger *ledger, const struct msg_begin *ask, struct err *err);
bool push_claim(struct ledger *ledger, struct err *err);
void push_begun(struct ledger *ledger, const struct call_ref *call);
/* Its outcome is being written. */
void push_ended(struct ledger *ledger, const struct running *run);
const char *push_sink(const struct ledger *ledger);

/* ── push_witness.c: what a witness is shown, and what its answer means ── */

/* The input of add-checkpoint. */
bool push_show(struct ledger *ledger, const struct push_call *call, const struct buf *note, struct buf *input,
               struct err *err);
/* Takes the connector's answer. true: settled; false: ask again, with call->old as the witness has it. */
bool push_heard(struct ledger *ledger, struct push_call *call, const char *answer, size_t length);
