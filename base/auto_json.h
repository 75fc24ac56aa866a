/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup of JSON values by attribute; apart from auto.h because the vault has no jansson. */
#pragma once

#include <jansson.h>

static inline void auto_json(json_t **slot)
{
    json_decref(*slot);
}

/* A reference owned by this scope: JSON_AUTO *object = NULL; hand over with take(&object). */
#define JSON_AUTO __attribute__((cleanup(auto_json))) json_t
