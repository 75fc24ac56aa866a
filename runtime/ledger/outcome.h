/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for `sent`, apart from everything else so that a test can walk them; and records of refused calls. */
#pragma once

#include "journal.h"
#include "record.h"
#include "runtime/messages.h"

struct sent_facts {
    enum call_class class;
    bool gated;        /* a gate was opened for this attempt */
    bool broker_knows; /* and the broker that opened it has answered */
    bool committed;    /* the worker marked the point of no return */
    bool clean;        /* it told the broker, not only the front, that it failed before that point */
    uint64_t bytes_up;
};
enum call_sent outcome_sent(const struct sent_facts *facts);

/* Whom the call's intent was sealed to; sealed->count 0: nobody, or they were erased meanwhile. *people: it named
 * somebody. */
struct ledger;
struct running;
bool outcome_people(struct ledger *ledger, const struct running *run, struct journal_sealed *sealed,
                    uint8_t (*publics)[32], bool *people, struct err *err);

/* Is the call of this entry about people? false too where the body was pruned. */
struct store_entry;
bool intent_has_people(const struct store_entry *intent);

/* reports.c: the fields reports and report_count. */
void record_reports(struct record *record, const struct violation *reports, uint32_t count);
/* The same for a call's outcome, where there is something to say. */
void reports_record(struct record *record, const struct running *run);
