/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the broker's configuration, once at the start and again when resolv.conf changes. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"

enum { CONFIG_MAX = 256 * 1024 };

void config_init(struct config *config)
{
    memset(config, 0, sizeof *config);
    config->connect_s = 10;
    config->idle_s = 60;
    config->relays_per_call = 16;
    config->relays_per_entry = 256;
    config->lookups_per_call = 64;
}

bool config_slurp(int fd, size_t max, char **text, size_t *length, struct err *err)
{
    FREE_AUTO char *bytes = malloc(max + 1);
    size_t used = 0;
    if (!bytes) return err_set(err, ERR_IO, "there is no memory for the configuration");
    while (used <= max) {
        ssize_t got = pread(fd, bytes + used, max + 1 - used, (off_t)used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "the configuration cannot be read");
        if (got == 0) break;
        used += (size_t)got;
    }
    if (used > max) return err_set(err, ERR_TOO_LARGE, "the configuration is larger than %zu bytes", max);
    *length = used;
    *text = take(&bytes);
    return true;
}

/* ── nameservers ───────────────────────────────────────────────────────────────────────────────────── */

static bool add_server(char servers[SERVERS_TEXT], const struct address *address, unsigned port)
{
    char text[ADDRESS_TEXT], one[ADDRESS_TEXT + 16];
    address_text(address, text);
    snprintf(one, sizeof one, address->family == AF_INET6 ? "%s[%s]:%u" : "%s%s:%u", servers[0] ? "," : "", text, port);
    size_t used = strlen(servers);
    if (used + strlen(one) >= SERVERS_TEXT) return false;
    memcpy(servers + used, one, strlen(one) + 1);
    return true;
}

/* "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353" */
static bool read_server(const char *text, struct address *address, unsigned *port)
{
    char host[ADDRESS_TEXT + 2];
    bool bracket = text[0] == '[';
    size_t length = bracket ? strcspn(text, "]") : strcspn(text, ":");
    *port = 53;
    if (!bracket && strchr(text + length + (text[length] != 0), ':')) length = strlen(text); /* bare IPv6 */
    if (length >= sizeof host) return false;
    memcpy(host, text + bracket, length - bracket);
    host[length - bracket] = 0;
    const char *rest = text + length + (bracket && text[length] == ']');
    if (*rest == ':') {
        char *end;
        unsigned long value = isdigit((unsigned char)rest[1]) ? strtoul(rest + 1, &end, 10) : 0;
        if (!value || value > UINT16_MAX || *end) return false;
        *port = (unsigned)value;
    } else if (*rest) {
        return false;
    }
    return address_parse(host, address);
}

void config_resolv(const char *text, size_t length, char servers[SERVERS_TEXT])
{
    FREE_AUTO char *copy = strndup(text, length);
    char *line = NULL, *rest = copy;
    servers[0] = 0;
    while (copy && (line = strsep(&rest, "\n"))) {
        struct address address;
        char word[ADDRESS_TEXT + 1];
        if (sscanf(line, " nameserver %46s", word) == 1 && address_parse(word, &address))
            add_server(servers, &address, 53);
    }
}

/* ── the JSON object ───────────────────────────────────────────────────────────────────────────────── */

static bool read_servers(struct config *config, const json_t *value, struct err *err)
{
    size_t index;
    json_t *one;
    json_array_foreach((json_t *)value, index, one)
    {
        struct address address;
        unsigned port;
        const char *text = json_string_value(one);
        if (!text || !read_server(text, &address, &port) || !add_server(config->servers, &address, port))
            return err_set(err, ERR_BAD_INPUT, "nameserver %s: write ADDRESS or ADDRESS:PORT", text ? text : "?");
    }
    return json_is_array(value) || err_set(err, ERR_BAD_INPUT, "nameservers must be a list");
}

static bool read_hosts(struct config *config, const json_t *value, struct err *err)
{
    size_t index;
    json_t *one;
    json_array_foreach((json_t *)value, index, one)
    {
        struct config_host *host = &config->hosts[config->host_count];
        const char *name = json_string_value(json_array_get(one, 0)), *text = json_string_value(json_array_get(one, 1));
        if (config->host_count == CONFIG_HOSTS)
            return err_set(err, ERR_TOO_LARGE, "more than %d hosts are given", CONFIG_HOSTS);
        if (!name || !text || !name_read(name, strlen(name), &host->name, err) || host->name.kind != NAME_HOST ||
            !address_parse(text, &host->address))
            return err_set(err, ERR_BAD_INPUT, "host %s: write NAME ADDRESS", name ? name : "?");
        config->host_count++;
    }
    return json_is_array(value) || err_set(err, ERR_BAD_INPUT, "hosts must be a list");
}

static bool read_refused(struct config *config, const json_t *value, struct err *err)
{
    size_t index;
    json_t *one;
    json_array_foreach((json_t *)value, index, one)
    {
        const char *text = json_string_value(one);
        if (config->refused_count == CONFIG_REFUSED)
            return err_set(err, ERR_TOO_LARGE, "more than %d ranges are refused", CONFIG_REFUSED);
        if (!text || !range_parse(text, &config->refused[config->refused_count]))
            return err_set(err, ERR_BAD_INPUT, "range %s: write ADDRESS or ADDRESS/BITS", text ? text : "?");
        config->refused_count++;
    }
    return json_is_array(value) || err_set(err, ERR_BAD_INPUT, "refuse must be a list");
}

static const struct key {
    const char *name;
    bool (*list)(struct config *, const json_t *, struct err *);
    size_t number; /* offset of a uint32_t, when there is no list */
    uint32_t most;
} keys[] = {
    {"nameservers", read_servers, 0, 0},
    {"hosts", read_hosts, 0, 0},
    {"refuse", read_refused, 0, 0},
    {"connect_s", NULL, offsetof(struct config, connect_s), 300},
    {"idle_s", NULL, offsetof(struct config, idle_s), 3600},
    {"relays_per_call", NULL, offsetof(struct config, relays_per_call), 256},
    {"relays_per_entry", NULL, offsetof(struct config, relays_per_entry), 1024},
    {"lookups_per_call", NULL, offsetof(struct config, lookups_per_call), 4096},
};

static bool read_key(struct config *config, const char *name, const json_t *value, struct err *err)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].name, name) != 0) continue;
        if (keys[i].list) return keys[i].list(config, value, err);
        json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 1 || number > keys[i].most)
            return err_set(err, ERR_BAD_INPUT, "%s must be between 1 and %u", name, keys[i].most);
        *(uint32_t *)((char *)config + keys[i].number) = (uint32_t)number;
        return true;
    }
    return err_set(err, ERR_BAD_INPUT, "the resolver has no setting %s", name);
}

bool config_read(const char *text, size_t length, struct config *config, struct err *err)
{
    JSON_AUTO *object = NULL;
    const char *name;
    json_t *value;
    if (!json_read(text, length, CONFIG_MAX, &object, err)) return false;
    if (!json_is_object(object)) return err_set(err, ERR_MALFORMED, "the configuration is not a JSON object");
    json_object_foreach(object, name, value) if (!read_key(config, name, value, err)) return false;
    return true;
}
