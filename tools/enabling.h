/* SPDX-License-Identifier: Apache-2.0 */
/* One caisson plugin enable: what the options say, put into the drop-in's text. Touches no file. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/ids.h"
#include "cli.h"
#include "dropin.h"
#include "manifest_view.h"

enum { ENABLING_FILES = 3 }; /* the certificates, the approved manifest, the drop-in */

/* One enabling, from the command line to the file. */
struct enabling {
    struct cli *cli;
    char name[NAME_BYTES]; /* what callers will say */
    int folder;            /* plugins.d */
    struct plugin_files plugin;
    struct dropin_file dropin;
    struct buf former;                         /* the drop-in's text before */
    bool fresh;                                /* there was no drop-in */
    struct file_before before[ENABLING_FILES]; /* what stood where something was written, the first `written` of them */
    unsigned written;
};

/* Are the options of --set and --grant ones that the manifest and the drop-in know? */
bool enabling_check(const struct enabling *enabling, struct err *err);
/* Edits dropin.text. path: what stands in Path=. Of a drop-in that was there, whatever no option names stays. */
bool enabling_compose(struct enabling *enabling, const char *path, struct err *err);
/* The file beside the drop-in that --ca is copied to. */
void enabling_ca(const struct enabling *enabling, char name[NAME_BYTES + 8]);
