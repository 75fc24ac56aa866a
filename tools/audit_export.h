/* SPDX-License-Identifier: Apache-2.0 */
/* The log for other software: tiles that anybody can prove, JSON lines, and events for a SIEM. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "audit_log.h"
#include "base/err.h"

struct export_range {
    uint64_t from, to; /* entries, both included */
    bool personal;     /* with what stands beside the log: such a copy is out of reach of later erasure */
};
struct export_count {
    uint64_t written, pruned, dropped, open; /* open: calls that have no outcome yet */
};

/* The tree of the newest checkpoint as C2SP tlog-tiles, with rolls/ beside it; the checkpoint is written last. */
bool export_tiles(struct audit_log *log, int folder, struct export_count *count, struct err *err);
/* Only the proofs of the log's new keys, N.tlog-proof each. */
bool export_rolls(struct audit_log *log, int folder, struct export_count *count, struct err *err);

/* One line per entry: its bytes as they stand in the log, its index, its leaf. */
bool export_lines(struct audit_log *log, const struct export_range *range, FILE *out, struct export_count *count,
                  struct err *err);
/* One event per ended attempt of a call whose outcome lies in the range: OCSF API Activity; CEF. */
bool export_ocsf(struct audit_log *log, const struct export_range *range, FILE *out, struct export_count *count,
                 struct err *err);
bool export_cef(struct audit_log *log, const struct export_range *range, FILE *out, struct export_count *count,
                struct err *err);
