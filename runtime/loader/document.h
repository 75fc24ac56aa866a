/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's document (runtime/registry.h), from the loader's side. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* Would the roles take this enabled entry? */
bool document_takes(const json_t *entry, struct err *err);
/* Adds the document in lines. false: the buffer is full or memory is short. */
bool document_lines(const json_t *document, struct buf *text);
