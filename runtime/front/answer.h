/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller is told about a call. */
#pragma once

#include "call.h"
#include "http.h"

/* 200 with the answer, or the problem that fits the outcome. */
void answer_write(const struct call *call, struct http_reply *reply);
/* The call was refused before it ran. */
void answer_refused(const struct call *call, const struct err *err, struct http_reply *reply);
/* The problem kind (problem.h) of a recorded outcome; ERR_NONE for ok. */
unsigned outcome_kind(const struct call *call);
