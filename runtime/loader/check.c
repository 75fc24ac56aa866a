/* SPDX-License-Identifier: Apache-2.0 */
/* The loader's own checks over texts in memory, so that what it would refuse need not be written first. */
#include "check.h"

#include "base/auto_json.h"

#include "egress.h"
#include "grant.h"

static bool meets(const struct manifest *manifest, const struct dropin *dropin, struct err *err)
{
    struct entry_limits limits;
    JSON_AUTO *settings = NULL, *egress = NULL;
    return grant_limits(manifest, dropin, &limits, err) && grant_settings(manifest, dropin, &settings, err) &&
           grant_egress(manifest, dropin, settings, &egress, err);
}

static const char *bytes_of(const struct buf *text)
{
    return text->bytes ? text->bytes : "";
}

bool loader_check(const struct buf *text, const char *file, const struct buf *manifest_text, struct err *err)
{
    struct manifest manifest = {0};
    struct dropin dropin = {0};
    bool good = manifest_read(bytes_of(manifest_text), manifest_text->used, &manifest, err) ||
                err_in(err, "manifest.json (manifest(5) says what may stand in it)");
    good = good && plugins_d_read(bytes_of(text), text->used, file, &dropin, err) && meets(&manifest, &dropin, err);
    plugins_d_clear(&dropin);
    manifest_clear(&manifest);
    return good;
}

bool loader_meets(const char *ask, const char *rule)
{
    struct egress_pattern asked, granted, both;
    struct err ignored;
    return egress_parse(ask, &asked, &ignored) && egress_parse(rule, &granted, &ignored) &&
           egress_meet(&asked, &granted, &both);
}
