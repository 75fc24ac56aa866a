/* SPDX-License-Identifier: Apache-2.0 */
/* Checks words of caisson.conf: numbers, addresses, names, origins. */
#include "words.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MOST = 253, LABEL_MOST = 63, ORIGIN_MOST = 255, GROUP_MOST = 1000 };

bool word_number(const char *text, unsigned base, uint32_t *number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 10) return false;
    unsigned long long value = strtoull(text, &end, (int)base);
    *number = (uint32_t)value;
    return *end == '\0' && value <= UINT32_MAX;
}

/* ── addresses ─────────────────────────────────────────────────────────────────────────────────────── */

static bool split_endpoint(const char *text, char *host, size_t size, uint32_t *port)
{
    const char *colon = strrchr(text, ':');
    bool bracket = text[0] == '[';
    if (!colon || !word_number(colon + 1, 10, port) || *port == 0 || *port > UINT16_MAX) return false;
    if (bracket && (colon == text + 1 || colon[-1] != ']')) return false;
    size_t length = (size_t)(colon - text) - (bracket ? 2 : 0);
    if (length == 0 || length >= size) return false;
    memcpy(host, text + bracket, length);
    host[length] = '\0';
    return bracket == (strchr(host, ':') != NULL);
}

bool word_endpoint(const char *text, struct sockaddr_storage *address, socklen_t *length)
{
    char host[INET6_ADDRSTRLEN];
    uint32_t port;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (!split_endpoint(text, host, sizeof host, &port)) return false;
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        v4.sin_port = htons((uint16_t)port);
        memcpy(address, &v4, *length = sizeof v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) return false;
    v6.sin6_port = htons((uint16_t)port);
    memcpy(address, &v6, *length = sizeof v6);
    return true;
}

/* Its bytes: 4, 16, or 0 when it is no address in its canonical form. */
static unsigned address_bytes(const char *text, unsigned char bytes[16])
{
    char again[INET6_ADDRSTRLEN];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, bytes) != 1 || !inet_ntop(family, bytes, again, sizeof again)) return 0;
    if (strcmp(text, again) != 0) return 0;
    return family == AF_INET6 ? 16 : 4;
}

bool word_address(const char *text)
{
    unsigned char bytes[16];
    return address_bytes(text, bytes) != 0;
}

bool word_nameserver(const char *text)
{
    struct sockaddr_storage address;
    socklen_t length;
    return word_address(text) || word_endpoint(text, &address, &length);
}

bool word_range(const char *text)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    size_t length = strcspn(text, "/");
    uint32_t bits;
    if (length >= sizeof address) return false;
    memcpy(address, text, length);
    address[length] = '\0';
    unsigned count = address_bytes(address, bytes);
    if (!count || !text[length]) return count != 0;
    if (!word_number(text + length + 1, 10, &bits) || bits > 8 * count) return false;
    for (unsigned bit = bits; bit < 8 * count; bit++)
        if (bytes[bit / 8] & 0x80u >> bit % 8) return false;
    return true;
}

/* ── names ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool label_ok(const char *label, size_t length)
{
    if (length == 0 || length > LABEL_MOST || label[0] == '-' || label[length - 1] == '-') return false;
    for (size_t i = 0; i < length; i++)
        if (!host_byte(label[i])) return false;
    return true;
}

/* A last label that some library would read as a part of an address. */
static bool is_number(const char *label, size_t length)
{
    if (length >= 2 && label[0] == '0' && (label[1] | 0x20) == 'x') return true;
    for (size_t i = 0; i < length; i++)
        if (label[i] < '0' || label[i] > '9') return false;
    return true;
}

bool word_host(const char *text, size_t length)
{
    size_t start = 0;
    if (length && text[length - 1] == '.') length--;
    if (length == 0 || length > HOST_MOST) return false;
    for (size_t at = 0; at <= length; at++) {
        if (at < length && text[at] != '.') continue;
        if (!label_ok(text + start, at - start)) return false;
        if (at < length) start = at + 1;
    }
    return !is_number(text + start, length - start);
}

bool word_group(const char *text)
{
    return strcmp(text, "none") == 0 || (text[0] == '/' && !strstr(text, "/../") && strlen(text) < GROUP_MOST);
}

bool word_origin(const char *text)
{
    const char *host = strstr(text, "://");
    return host && host != text && host[3] && strlen(text) <= ORIGIN_MOST && !strpbrk(text, "*,");
}
