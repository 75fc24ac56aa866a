/* SPDX-License-Identifier: Apache-2.0 */
/* The loader's judgement of a drop-in that is not written yet: what caisson plugin enable asks before it writes one. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* Would the loader take this drop-in for the connector with this manifest? file: the drop-in's name. The two files that
 * it pins and its CAFile= are not looked at. ERR_BAD_INPUT and its like say which value is wrong, and what a right one
 * is. */
bool loader_check(const struct buf *text, const char *file, const struct buf *manifest, struct err *err);
/* Does Egress=rule grant what is asked, or a part of it? ask: of the manifest, its settings filled in. */
bool loader_meets(const char *ask, const char *rule);
