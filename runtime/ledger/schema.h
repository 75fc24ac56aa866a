/* SPDX-License-Identifier: Apache-2.0 */
/* The three databases as SQL text, and the numbers in their headers. */
#pragma once

enum {
    SCHEMA_VERSION = 1,           /* PRAGMA user_version */
    SCHEMA_AUDIT_ID = 0x43534131, /* PRAGMA application_id: "CSA1" */
    SCHEMA_STATE_ID = 0x43535331, /* "CSS1" */
    SCHEMA_VAULT_ID = 0x43535631  /* "CSV1" */
};

/* What logs that are older than it do not have: made when such a one is opened. */
extern const char schema_audit_later[];
extern const char schema_audit[], schema_state[], schema_vault[];
/* The triggers of schema_audit alone. */
extern const char schema_audit_guards[];
