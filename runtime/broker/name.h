/* SPDX-License-Identifier: Apache-2.0 */
/* One host name as the policy compares it, the resolver asks it and the certificate must show it: read once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "sandbox/frames.h"

enum name_kind { NAME_HOST = 1, NAME_ADDRESS };

/* text: lower case, no trailing dot; NAME_ADDRESS: canonical dotted quad or RFC 5952 text. */
struct name {
    enum name_kind kind;
    char text[FRAME_HOST];
};

/* length bytes that a worker sent. Anything with two readings is refused: bytes that no host name has, other forms of
 * IP addresses (127.1, 0x7f000001, octal), labels that DNS cannot carry, and names that are not ASCII. */
bool name_read(const char *bytes, size_t length, struct name *name, struct err *err);

/* pattern: an exact canonical host; "*.domain", which stands for exactly one label in front of the domain; or "*", any
 * name. Addresses match exact patterns only. */
bool name_matches(const struct name *name, const char *pattern);

/* Printable text for records: other bytes as \xNN, cut to size with "…". */
void name_escape(const char *bytes, size_t length, char *text, size_t size);

/* The same for logs and records of what was refused, where a host name may be a letter to somebody: of parts longer
 * than any that a host usually has, only the beginning and the length: "abcd~(39).example.com". */
void name_show(const char *bytes, size_t length, char *text, size_t size);
