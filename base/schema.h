/* SPDX-License-Identifier: Apache-2.0 */
/* A subset of JSON Schema 2020-12: what manifests may use to describe inputs, outputs and settings.
 *
 * Assertions: type enum const, minimum maximum exclusiveMinimum exclusiveMaximum, minLength maxLength, minItems
 * maxItems items, minProperties maxProperties required properties additionalProperties, allOf anyOf oneOf not, and
 * $ref with $defs inside the same document ("#/…").
 * Annotations, read by nobody here: title description default examples format $schema $comment.
 * Every other keyword is refused, pattern and uniqueItems among them: what is not checked must not look as if it
 * were, and a regular expression over a caller's bytes is a way to stall. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

enum { SCHEMA_POINTER = 256, SCHEMA_DEPTH = 64 };

/* Is this a schema of the subset, with every $ref resolved and none going round in circles? ERR_BAD_INPUT names the
 * place in the schema. */
bool schema_check(const json_t *schema, struct err *err);

/* Does the value fit? schema has passed schema_check(). On false: ERR_BAD_INPUT (ERR_TOO_LARGE when the work is out of
 * bounds), pointer is the JSON Pointer (RFC 6901) of the offending field, and the text names it and what was expected,
 * never the value itself: it may be a secret. */
bool schema_validate(const json_t *schema, const json_t *value, char pointer[SCHEMA_POINTER], struct err *err);
