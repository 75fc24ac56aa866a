/* SPDX-License-Identifier: Apache-2.0 */
/* What a connector asks for, in plain words: an administrator reads this before saying yes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

enum { MANIFEST_MOST = 256 * 1024, SO_MOST = 256 * 1024 * 1024 };

/* A connector's folder, read once: what is shown is what is hashed is what is pinned. */
struct plugin_files {
    char name[NAME_BYTES]; /* of the manifest */
    struct buf manifest_text;
    json_t *manifest;
    char digest[80], manifest_digest[80]; /* "sha256:…" */
};

bool plugin_read(int folder, struct plugin_files *plugin, struct err *err);
void plugin_clear(struct plugin_files *plugin);

/* Adds lines of text, tamed: nothing in them can move a cursor. The daemon checks manifests strictly; here whatever is
 * of another type than it should be is left out. */
bool manifest_describe(const json_t *manifest, struct buf *out);
/* Lines that stand in only one of two descriptions, with "- " or "+ " in front. */
bool manifest_difference(const struct buf *before, const struct buf *after, struct buf *out);

/* The manifest's egress with its settings filled in. text: where {setting} cannot be filled, or a host or port is left
 * to the administrator (*), the ask is no grant by itself and false comes back. settings: key to string. */
bool manifest_fill(const json_t *manifest, const char *ask, const json_t *settings, char *text, size_t size);
