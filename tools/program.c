/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the daemon's other programs from where this one stands. */
#include "program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool program_find(const char *build, const char *name, char path[PROGRAM_PATH], struct err *err)
{
    char folder[PROGRAM_PATH / 2], in_build[64];
    snprintf(in_build, sizeof in_build, "../runtime/%s", build);
    const char *const places[] = {CAISSON_LIBEXEC, in_build};
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length <= 0) return err_sys(err, ERR_IO, "this program cannot find its own place: is /proc mounted?");
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool whole = places[i][0] == '/';
        snprintf(path, PROGRAM_PATH, "%s%s%s/%s", whole ? "" : folder, whole ? "" : "/", places[i], name);
        if (access(path, X_OK) == 0) return true;
    }
    return err_set(err, ERR_NOT_FOUND, "%s is not installed", name);
}
