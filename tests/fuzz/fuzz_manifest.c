/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest that is taken keeps every promise that the rest of the loader builds on. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "runtime/loader/egress.h"
#include "runtime/loader/manifest.h"

static void check_actions(const struct manifest *manifest)
{
    const char *name;
    json_t *action, *field;
    size_t i;
    MUST(json_object_size(manifest->actions) >= 1 && json_object_size(manifest->actions) <= MANIFEST_ACTIONS);
    json_object_foreach((json_t *)manifest->actions, name, action)
    {
        MUST(name_valid(name));
        MUST(json_is_object(json_object_get(action, "input")));
        MUST(json_array_size(json_object_get(action, "fields")) <= FRAME_FIELDS);
        json_array_foreach(json_object_get(action, "fields"), i, field)
            MUST(json_object_get(manifest->fields, json_string_value(field)));
    }
}

/* Nothing that a manifest asks for in so many words is an address or a host of this machine. */
static void check_asks(const struct manifest *manifest)
{
    JSON_AUTO *none = json_object();
    MUST(json_array_size(manifest->egress) <= MANIFEST_EGRESS);
    for (size_t i = 0; i < json_array_size(manifest->egress); i++) {
        struct egress_pattern pattern;
        struct err err = {0};
        const char *ask = json_string_value(json_array_get(manifest->egress, i));
        if (strchr(ask, '{')) {
            egress_fill(ask, none, &pattern, &err);
            continue;
        }
        MUST(egress_fill(ask, none, &pattern, &err));
        MUST(pattern.kind == HOST_NAME || pattern.kind == HOST_WILD || pattern.kind == HOST_ANY);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct manifest manifest = {0};
    struct err err = {0};
    if (!manifest_read((const char *)bytes, length, &manifest, &err)) {
        MUST(err.text[0]);
        MUST(!manifest.document);
        return 0;
    }
    MUST(name_valid(manifest.name));
    check_actions(&manifest);
    check_asks(&manifest);
    manifest_clear(&manifest);
    return 0;
}
