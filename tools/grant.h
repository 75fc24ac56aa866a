/* SPDX-License-Identifier: Apache-2.0 */
/* A client of OAuth2 as a credential: which fields it has, and the one host that its tokens come from. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "runtime/messages.h"
#include "sandbox/frames.h"

/* As --kind names it; NULL: that of a connector's own fields. ERR_USAGE names the words there are. */
bool grant_kind(const char *word, uint32_t *kind, struct err *err);
/* Its fields, in the form in which the daemon lists a connector's; a new reference. */
json_t *grant_fields(void);
/* The host of the submission's token_url, in small letters. */
bool grant_host(const struct submission *submission, char host[FRAME_HOST], struct err *err);
