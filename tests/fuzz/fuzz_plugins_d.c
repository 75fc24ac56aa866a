/* SPDX-License-Identifier: Apache-2.0 */
/* A drop-in that is taken is whole, its patterns go through text and back, and no intersection is wider than a side. */
#include <string.h>

#include "base/auto_json.h"
#include "fuzz.h"
#include "runtime/loader/egress.h"
#include "runtime/loader/manifest.h"
#include "runtime/loader/plugins_d.h"

static void round_trip(const struct egress_pattern *pattern)
{
    struct egress_pattern again;
    struct err err = {0};
    char text[EGRESS_TEXT];
    egress_text(pattern, text);
    MUST(egress_parse(text, &again, &err));
    MUST(again.scheme == pattern->scheme && again.kind == pattern->kind && again.port == pattern->port);
    MUST(strcmp(again.host, pattern->host) == 0);
}

static void check_meeting(const struct egress_pattern *a, const struct egress_pattern *b)
{
    struct egress_pattern both, other;
    bool met = egress_meet(a, b, &both);
    if (!met) return;
    round_trip(&both);
    MUST(both.scheme == a->scheme && both.scheme == b->scheme);
    MUST(!a->port || both.port == a->port);
    MUST(!b->port || both.port == b->port);
    /* What both allow is allowed by each. */
    MUST(egress_meet(a, &both, &other) && strcmp(other.host, both.host) == 0);
    MUST(egress_meet(&both, b, &other) && strcmp(other.host, both.host) == 0);
}

static void check_egress(const json_t *list)
{
    struct egress_pattern last = {0}, pattern;
    size_t i;
    json_t *text;
    json_array_foreach((json_t *)list, i, text)
    {
        struct err err = {0};
        if (!egress_parse(json_string_value(text), &pattern, &err)) continue;
        round_trip(&pattern);
        if (last.scheme) check_meeting(&last, &pattern);
        last = pattern;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct dropin dropin;
    struct err err = {0};
    if (plugins_d_read((const char *)bytes, length, "fuzz.conf", &dropin, &err)) {
        MUST(name_valid(dropin.name) && dropin.path[0] && dropin.has_digest && dropin.has_manifest_digest);
        MUST(dropin.isolation == ISOLATE_CALL || dropin.isolation == ISOLATE_LEASE);
        MUST(dropin.limits.memory_mb <= LIMIT_MEMORY_MB && dropin.limits.concurrency <= LIMIT_CONCURRENCY);
        MUST(dropin.lease.calls >= 1 && dropin.lease.age_s >= 1 && dropin.lease.idle_s >= 1 &&
             dropin.lease.spares <= 16);
        MUST(json_array_size(dropin.workspaces) >= 1);
        MUST(!strchr(dropin.ca_file, '/'));
    } else {
        MUST(err.text[0]);
    }
    check_egress(dropin.egress);
    plugins_d_clear(&dropin);
    return 0;
}
