/* SPDX-License-Identifier: Apache-2.0 */
/* What a connector gets: manifest ∩ drop-in. */
#pragma once

#include <jansson.h>

#include "base/err.h"

#include "manifest.h"
#include "plugins_d.h"

/* The settings, typed as the manifest's schema says, with its defaults filled in. New reference. */
bool grant_settings(const struct manifest *manifest, const struct dropin *dropin, json_t **settings, struct err *err);
/* The rules that stand in both, as sorted texts without doubles. New reference. */
bool grant_egress(const struct manifest *manifest, const struct dropin *dropin, const json_t *settings, json_t **rules,
                  struct err *err);
/* The drop-in's limits where it names them, else the manifest's, else the defaults. Wider ones are refused. */
bool grant_limits(const struct manifest *manifest, const struct dropin *dropin, struct entry_limits *limits,
                  struct err *err);
/* Asks of the manifest that no grant touches, as one line of text ("" = none); for telling what changed. */
void grant_unmet(const struct manifest *manifest, const struct dropin *dropin, char *text, size_t size);
