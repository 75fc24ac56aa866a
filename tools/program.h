/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that this command starts because it has no walls itself. */
#pragma once

#include "base/err.h"

enum { PROGRAM_PATH = 4096 };

/* Installed beside the daemon's other parts, or in the build folder that this command stands in: build is its folder
 * below runtime/, name its file. */
bool program_find(const char *build, const char *name, char path[PROGRAM_PATH], struct err *err);
