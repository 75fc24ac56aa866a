/* SPDX-License-Identifier: Apache-2.0 */
/* The wall between a resolved name and a connection: the table of addresses that no connector reaches by itself. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

/* Where an IPv4 address hides in a range's addresses. */
enum inside { INSIDE_NOTHING, INSIDE_LAST, INSIDE_6TO4, INSIDE_TEREDO, INSIDE_NAT64_48 };

/* The IANA special-purpose registries of both families, multicast, and what former documents reserved. The first row
 * that matches names the address, so narrow rows stand before wide ones. */
static const struct special {
    const char *range, *what;
    enum inside inside;
} specials[] = {
    {"0.0.0.0/8", "this network (RFC 791, RFC 1122)", 0},
    {"10.0.0.0/8", "private (RFC 1918)", 0},
    {"100.64.0.0/10", "shared by carriers (RFC 6598)", 0},
    {"127.0.0.0/8", "loopback (RFC 1122)", 0},
    {"168.63.129.16/32", "a cloud platform's own service", 0},
    {"169.254.0.0/16", "link-local (RFC 3927)", 0},
    {"172.16.0.0/12", "private (RFC 1918)", 0},
    {"192.0.0.0/29", "for DS-Lite (RFC 7335)", 0},
    {"192.0.0.8/32", "the IPv4 dummy address (RFC 7600)", 0},
    {"192.0.0.9/32", "PCP anycast (RFC 7723)", 0},
    {"192.0.0.10/32", "TURN anycast (RFC 8155)", 0},
    {"192.0.0.170/31", "for NAT64 discovery (RFC 8880)", 0},
    {"192.0.0.0/24", "for IETF protocols (RFC 6890)", 0},
    {"192.0.2.0/24", "for documentation (RFC 5737)", 0},
    {"192.31.196.0/24", "AS112 (RFC 7535)", 0},
    {"192.52.193.0/24", "AMT (RFC 7450)", 0},
    {"192.88.99.0/24", "6to4 relay anycast (RFC 7526)", 0},
    {"192.168.0.0/16", "private (RFC 1918)", 0},
    {"192.175.48.0/24", "AS112 (RFC 7534)", 0},
    {"198.18.0.0/15", "for benchmarks (RFC 2544)", 0},
    {"198.51.100.0/24", "for documentation (RFC 5737)", 0},
    {"203.0.113.0/24", "for documentation (RFC 5737)", 0},
    {"224.0.0.0/4", "multicast (RFC 5771)", 0},
    {"255.255.255.255/32", "broadcast (RFC 919)", 0},
    {"240.0.0.0/4", "reserved (RFC 1112)", 0},
    {"::/128", "unspecified (RFC 4291)", 0},
    {"::1/128", "loopback (RFC 4291)", 0},
    {"::ffff:0.0.0.0/96", "a mapped IPv4 address (RFC 4291)", INSIDE_LAST},
    {"::/96", "an IPv4-compatible address (RFC 4291)", INSIDE_LAST},
    {"::ffff:0:0:0/96", "a translated IPv4 address (RFC 7915)", INSIDE_LAST},
    {"64:ff9b::/96", "a NAT64 address (RFC 6052)", INSIDE_LAST},
    {"64:ff9b:1::/48", "a local NAT64 address (RFC 8215)", INSIDE_NAT64_48},
    {"100::/64", "for discarding (RFC 6666)", 0},
    {"100:0:0:1::/64", "a dummy prefix (RFC 9780)", 0},
    {"2001::/32", "a Teredo address (RFC 4380)", INSIDE_TEREDO},
    {"2001:1::1/128", "PCP anycast (RFC 7723)", 0},
    {"2001:1::2/128", "TURN anycast (RFC 8155)", 0},
    {"2001:1::3/128", "DNS-SD anycast (RFC 9665)", 0},
    {"2001:2::/48", "for benchmarks (RFC 5180)", 0},
    {"2001:3::/32", "AMT (RFC 7450)", 0},
    {"2001:4:112::/48", "AS112 (RFC 7535)", 0},
    {"2001:10::/28", "ORCHID (RFC 4843)", 0},
    {"2001:20::/28", "ORCHIDv2 (RFC 7343)", 0},
    {"2001:30::/28", "for drone identification (RFC 9374)", 0},
    {"2001::/23", "for IETF protocols (RFC 2928)", 0},
    {"2001:db8::/32", "for documentation (RFC 3849)", 0},
    {"2002::/16", "a 6to4 address (RFC 3056)", INSIDE_6TO4},
    {"2620:4f:8000::/48", "AS112 (RFC 7534)", 0},
    {"3fff::/20", "for documentation (RFC 9637)", 0},
    {"5f00::/16", "for segment routing (RFC 9602)", 0},
    {"fc00::/7", "unique local (RFC 4193)", 0},
    {"fe80::/10", "link-local (RFC 4291)", 0},
    {"fec0::/10", "site-local (RFC 3879)", 0},
    {"ff00::/8", "multicast (RFC 4291)", 0},
};
enum { SPECIALS = sizeof specials / sizeof *specials };

/* ── numbers and text ──────────────────────────────────────────────────────────────────────────────── */

static size_t address_size(const struct address *address)
{
    return address->family == AF_INET ? 4 : 16;
}

void address_text(const struct address *address, char text[ADDRESS_TEXT])
{
    if (!inet_ntop(address->family, address->bytes, text, ADDRESS_TEXT)) snprintf(text, ADDRESS_TEXT, "?");
}

bool address_parse(const char *text, struct address *address)
{
    struct address read = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    char again[ADDRESS_TEXT];
    if (inet_pton(read.family, text, read.bytes) != 1) return false;
    address_text(&read, again);
    if (strcmp(text, again) != 0) return false;
    *address = read;
    return true;
}

bool address_from(const struct sockaddr *from, struct address *address)
{
    struct address read = {.family = from->sa_family};
    if (read.family == AF_INET)
        memcpy(read.bytes, &((const struct sockaddr_in *)from)->sin_addr, 4);
    else if (read.family == AF_INET6)
        memcpy(read.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
    else
        return false;
    *address = read;
    return true;
}

socklen_t address_to(const struct address *address, uint16_t port, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (address->family == AF_INET) {
        struct sockaddr_in *four = (struct sockaddr_in *)to;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        memcpy(&four->sin_addr, address->bytes, 4);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    memcpy(&six->sin6_addr, address->bytes, 16);
    return sizeof *six;
}

bool address_same(const struct address *one, const struct address *other)
{
    return one->family == other->family && memcmp(one->bytes, other->bytes, address_size(one)) == 0;
}

/* ── ranges ────────────────────────────────────────────────────────────────────────────────────────── */

static bool bits_equal(const uint8_t *one, const uint8_t *other, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(one, other, whole) != 0) return false;
    return !rest || ((one[whole] ^ other[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

bool range_has(const struct range *range, const struct address *address)
{
    return range->base.family == address->family && bits_equal(range->base.bytes, address->bytes, range->bits);
}

bool ranges_have(const struct range *ranges, unsigned count, const struct address *address)
{
    for (unsigned i = 0; i < count; i++)
        if (range_has(&ranges[i], address)) return true;
    return false;
}

static bool read_bits(const char *text, unsigned most, unsigned *bits)
{
    unsigned value = 0;
    size_t length = strlen(text);
    if (length < 1 || length > 3 || (length > 1 && text[0] == '0') || strspn(text, "0123456789") != length)
        return false;
    for (; *text; text++) value = value * 10 + (unsigned)(*text - '0');
    *bits = value;
    return value <= most;
}

static bool only_prefix(const struct range *range)
{
    for (unsigned bit = range->bits; bit < 8 * address_size(&range->base); bit++)
        if (range->base.bytes[bit / 8] & (0x80u >> bit % 8)) return false;
    return true;
}

bool range_parse(const char *text, struct range *range)
{
    char address[ADDRESS_TEXT];
    struct range read = {0};
    size_t length = strcspn(text, "/");
    if (length >= sizeof address) return false;
    memcpy(address, text, length);
    address[length] = 0;
    if (!address_parse(address, &read.base)) return false;
    unsigned most = (unsigned)(8 * address_size(&read.base));
    read.bits = most;
    if (text[length] == '/' && !read_bits(text + length + 1, most, &read.bits)) return false;
    if (!only_prefix(&read)) return false;
    *range = read;
    return true;
}

/* ── the verdict ───────────────────────────────────────────────────────────────────────────────────── */

/* The table in binary, read once; a row that does not parse is a fault of ours that no test can miss. */
static const struct range *special_ranges(void)
{
    static struct range ranges[SPECIALS];
    static bool ready;
    for (unsigned i = 0; !ready && i < SPECIALS; i++)
        if (!range_parse(specials[i].range, &ranges[i])) abort();
    ready = true;
    return ranges;
}

const char *address_special(unsigned row)
{
    return row < SPECIALS ? specials[row].range : NULL;
}

static struct address unwrap(const struct address *address, enum inside inside)
{
    struct address four = {.family = AF_INET};
    const uint8_t *from = address->bytes;
    for (unsigned i = 0; i < 4; i++) {
        switch (inside) {
        case INSIDE_6TO4: four.bytes[i] = from[2 + i]; break;
        case INSIDE_TEREDO: four.bytes[i] = from[12 + i] ^ 0xff; break;
        case INSIDE_NAT64_48: four.bytes[i] = from[i < 2 ? 6 + i : 7 + i]; break; /* byte 8 stays free, RFC 6052 §2.2 */
        case INSIDE_LAST:
        case INSIDE_NOTHING: four.bytes[i] = from[12 + i]; break;
        }
    }
    return four;
}

static const struct special *find_special(const struct address *address)
{
    static const struct special not_global = {"::/0", "not a global unicast address (RFC 4291)", INSIDE_NOTHING};
    const struct range *ranges = special_ranges();
    for (unsigned i = 0; i < SPECIALS; i++)
        if (range_has(&ranges[i], address)) return &specials[i];
    bool global = address->family == AF_INET || (address->bytes[0] & 0xe0) == 0x20;
    return global ? NULL : &not_global;
}

bool address_allowed(const struct address *address, const struct range *granted, unsigned count, char why[ADDRESS_WHY])
{
    char text[ADDRESS_TEXT];
    const struct special *special = find_special(address);
    if (!special) return true;
    if (!ranges_have(granted, count, address)) {
        address_text(address, text);
        snprintf(why, ADDRESS_WHY, "%s is %s", text, special->what);
        return false;
    }
    if (special->inside == INSIDE_NOTHING) return true;
    struct address four = unwrap(address, special->inside);
    return address_allowed(&four, granted, count, why);
}

/* The answers that a connection would get as well: there is no way to the address. */
static bool no_route(int cause)
{
    return cause == ENETUNREACH || cause == EHOSTUNREACH || cause == EADDRNOTAVAIL || cause == EAFNOSUPPORT ||
           cause == EACCES || cause == EINVAL;
}

bool address_is_own(const struct address *address)
{
    struct sockaddr_storage to, source = {0};
    struct address chosen;
    socklen_t length = address_to(address, 9, &to), got = sizeof source;
    FD_AUTO probe = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0 || connect(probe, (struct sockaddr *)&to, length) < 0) return !no_route(errno);
    if (getsockname(probe, (struct sockaddr *)&source, &got) < 0) return true;
    return address_from((struct sockaddr *)&source, &chosen) && address_same(&chosen, address);
}
