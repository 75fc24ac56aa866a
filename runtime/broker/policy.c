/* SPDX-License-Identifier: Apache-2.0 */
/* The decision about a dial, from the broker's own copy of the registry. */
#include "policy.h"

#include <string.h>

#include "runtime/messages.h"

/* How closely a rule names this host and port; 0: not at all. */
static unsigned rule_rank(const struct egress_rule *rule, const struct name *name, uint16_t port)
{
    if (rule->port && rule->port != port) return 0;
    if (!name_matches(name, rule->host)) return 0;
    unsigned host = rule->host[0] != '*' ? 4 : rule->host[1] ? 2 : 0;
    return 1 + host + (rule->port ? 1 : 0);
}

static unsigned matching_schemes(const struct entry *entry, const struct name *name, uint16_t port)
{
    unsigned best = 0, schemes = 0;
    for (unsigned i = 0; i < entry->rule_count; i++) {
        unsigned rank = rule_rank(&entry->rules[i], name, port);
        if (rank < best || !rank) continue;
        if (rank > best) schemes = 0;
        best = rank;
        schemes |= SCHEME_BIT(entry->rules[i].scheme);
    }
    return schemes;
}

static bool in_audience(const char *audience, const struct name *name)
{
    for (const char *line = audience; *line;) {
        char pattern[FRAME_HOST];
        size_t length = strcspn(line, "\n");
        if (length < sizeof pattern) {
            memcpy(pattern, line, length);
            pattern[length] = 0;
            if (name_matches(name, pattern)) return true;
        }
        line += length;
        if (*line) line++;
    }
    return false;
}

bool policy_allows(const struct entry *entry, const char *audience, const struct name *name, uint16_t port,
                   unsigned *schemes, struct err *err)
{
    unsigned found = port ? matching_schemes(entry, name, port) : 0;
    if (!found) return err_set(err, ERR_DENIED, "no egress rule of connector %s allows it", entry->name);
    if (audience[0] && !in_audience(audience, name))
        return err_set(err, ERR_DENIED, "it is not in the credential's audience");
    *schemes = found;
    return true;
}
