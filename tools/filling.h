/* SPDX-License-Identifier: Apache-2.0 */
/* A credential on its way: which fields its connector has, and the way of a filled submission to the daemon, sealed.
 * Shared by what asks for values and what imports them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "cli.h"
#include "runtime/messages.h"

/* One submission while it is put together. submission: locked memory of whoever fills it. */
struct filling {
    struct cli *cli;
    json_t *entry;        /* the connector, as the daemon lists it; a reference of its own */
    const json_t *fields; /* of the connector: [{name, secret, required, summary}], never empty */
    json_t *grant;        /* the fields in their place, of a client of OAuth2; else NULL; a reference of its own */
    struct submission *submission;
};

/* What a value was imported from: the record keeps these two, never the envelope itself. */
struct filling_source {
    const char *format;
    char digest[HASH_TEXT];
};

/* Finds the connector among those of the submission's workspace. */
bool filling_connector(struct filling *filling, const char *connector, struct err *err);
bool filling_has(const struct submission *submission, const char *name);
/* Seals it to keys/vault.pub and hands it over; source NULL: it was not imported. *answer: a new reference. */
bool filling_submit(const struct filling *filling, const struct filling_source *source, json_t **answer,
                    struct err *err);
