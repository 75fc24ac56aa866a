/* SPDX-License-Identifier: Apache-2.0 */
/* The document as the roles read it, and their judgement of an entry before they have it: one that they refused would
 * cost them the whole registry, and with it the daemon. */
#include "document.h"

#include "base/auto_json.h"
#include "base/json.h"
#include "runtime/registry.h"

bool document_takes(const json_t *entry, struct err *err)
{
    BUF_AUTO line = {0};
    buf_init(&line, REGISTRY_MAX);
    if (!json_compact(entry, &line)) return err_set(err, ERR_TOO_LARGE, "it is too large");
    return registry_takes(line.bytes, line.used, err) || err_in(err, "what comes of this drop-in cannot be used");
}

bool document_lines(const json_t *document, struct buf *text)
{
    size_t i;
    const json_t *entry, *entries = json_object_get(document, "entries");
    JSON_AUTO *head = json_pack("{s:O, s:I}", "registry", json_object_get(document, "registry"), "entries",
                                (json_int_t)json_array_size(entries));
    if (!head || !json_compact(head, text) || !buf_text(text, "\n")) return false;
    json_array_foreach((json_t *)entries, i,
                       entry) if (!json_compact(entry, text) || !buf_text(text, "\n")) return false;
    return true;
}
