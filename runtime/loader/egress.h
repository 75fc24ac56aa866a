/* SPDX-License-Identifier: Apache-2.0 */
/* Egress patterns: what a manifest asks for, what a drop-in gives, and what stands in both. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/registry.h"

enum host_kind {
    HOST_NAME = 1, /* two labels or more */
    HOST_SHORT,    /* one label: localhost and its like */
    HOST_LITERAL,  /* an IP address */
    HOST_WILD,     /* *.example.com */
    HOST_TOP_WILD, /* *.com */
    HOST_ANY       /* * */
};

/* "scheme://host:port", taken apart. host: canonical (lower case; addresses as inet_ntop writes them). */
struct egress_pattern {
    enum scheme scheme;
    enum host_kind kind;
    char host[FRAME_HOST];
    uint16_t port; /* 0: any */
};

enum { EGRESS_TEXT = 300 };

bool egress_parse(const char *text, struct egress_pattern *pattern, struct err *err);
void egress_text(const struct egress_pattern *pattern, char text[EGRESS_TEXT]);

/* May a manifest ask for this in so many words? Placeholders must name a property of the settings' schema. */
bool egress_check_ask(const char *ask, const json_t *settings_schema, struct err *err);
/* Puts the settings into an ask's placeholders and parses the result. ERR_NOT_FOUND: one of them has no value, so
 * nothing is asked for. */
bool egress_fill(const char *ask, const json_t *settings, struct egress_pattern *pattern, struct err *err);
/* May a drop-in give this? any_host: AllowAnyHost=yes; loopback: AddressRanges= has such a range. */
bool egress_check_grant(const struct egress_pattern *grant, bool any_host, bool loopback, struct err *err);

/* What both allow. false: nothing. A literal address stands only where it is granted as such. */
bool egress_meet(const struct egress_pattern *ask, const struct egress_pattern *grant, struct egress_pattern *both);
