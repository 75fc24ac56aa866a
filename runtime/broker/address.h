/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses may be connected to: no special-purpose range, no address of this host, unless a grant says so. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN, ADDRESS_WHY = 160 };

/* An IPv4 address fills the first four bytes, network order. */
struct address {
    sa_family_t family; /* AF_INET or AF_INET6 */
    uint8_t bytes[16];
};

struct range {
    struct address base;
    unsigned bits;
};

/* Canonical text only: dotted quad without leading zeros, or RFC 5952. */
bool address_parse(const char *text, struct address *address);
void address_text(const struct address *address, char text[ADDRESS_TEXT]);
/* false: neither family. */
bool address_from(const struct sockaddr *from, struct address *address);
socklen_t address_to(const struct address *address, uint16_t port, struct sockaddr_storage *to);
bool address_same(const struct address *one, const struct address *other);

/* "127.0.0.0/8", "fd00::/8", or one address; no bit may be set beyond the prefix. */
bool range_parse(const char *text, struct range *range);
bool range_has(const struct range *range, const struct address *address);
/* Does one of them hold it? */
bool ranges_have(const struct range *ranges, unsigned count, const struct address *address);

/* May it be connected to, as far as the number says? false: why names address, range and RFC. An address that wraps an
 * IPv4 address (mapped, NAT64, 6to4, Teredo) needs its range granted, and the address inside must pass as well. */
bool address_allowed(const struct address *address, const struct range *granted, unsigned count, char why[ADDRESS_WHY]);

/* Is it one of this host's own addresses? Asked of the kernel's routes: towards an own address, the kernel chooses that
 * same address as the source. No packet is sent. Also true when the kernel cannot be asked (no descriptor, no port): an
 * address that was not checked is not connected to. */
bool address_is_own(const struct address *address);

/* Rows of the table, for the tests: NULL after the last one. */
const char *address_special(unsigned row);
