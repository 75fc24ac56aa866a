/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts of an audience. */
#include "audience.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "sandbox/frames.h"

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':' || c == '[' || c == ']';
}

static bool canonical(const char *given, char host[FRAME_HOST], struct err *err)
{
    size_t length = strlen(given);
    if (length && given[length - 1] == '.') length--;
    if (length == 0 || length >= FRAME_HOST) return err_set(err, ERR_USAGE, "--audience wants a host name");
    for (size_t i = 0; i < length; i++) {
        char c = given[i];
        host[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        if (!host_char(host[i]))
            return err_set(err, ERR_USAGE,
                           "--audience %.80s: give a host name alone, without scheme or path; for other letters its "
                           "xn-- form",
                           given);
    }
    host[length] = '\0';
    return true;
}

static int by_bytes(const void *one, const void *other)
{
    return strcmp(one, other);
}

bool audience_text(const char *const *hosts, size_t count, char text[AUDIENCE_MAX], struct err *err)
{
    char sorted[AUDIENCE_HOSTS][FRAME_HOST];
    size_t used = 0;
    if (count > AUDIENCE_HOSTS) return err_set(err, ERR_USAGE, "--audience: at most %d hosts", AUDIENCE_HOSTS);
    for (size_t i = 0; i < count; i++)
        if (!canonical(hosts[i], sorted[i], err)) return false;
    qsort(sorted, count, sizeof *sorted, by_bytes);
    memset(text, 0, AUDIENCE_MAX);
    for (size_t i = 0; i < count; i++) {
        if (i && strcmp(sorted[i], sorted[i - 1]) == 0) continue;
        size_t length = strlen(sorted[i]);
        if (used + length + 2 > AUDIENCE_MAX)
            return err_set(err, ERR_TOO_LARGE, "--audience: its hosts have more than %d bytes together",
                           AUDIENCE_MAX - 1);
        if (used) text[used++] = '\n';
        memcpy(text + used, sorted[i], length);
        used += length;
    }
    return true;
}

bool audience_of(const json_t *told, char text[AUDIENCE_MAX], struct err *err)
{
    const char *hosts[AUDIENCE_HOSTS];
    size_t count = 0, i;
    json_t *host;
    JSON_AUTO *list = json_is_string(told) ? audience_list(json_string_value(told)) : json_incref((json_t *)told);
    json_array_foreach(list, i, host)
    {
        if (!json_is_string(host) || count == AUDIENCE_HOSTS)
            return err_set(err, ERR_INTERNAL, "the daemon told an audience that cannot be read");
        hosts[count++] = json_string_value(host);
    }
    return audience_text(hosts, count, text, err);
}

json_t *audience_list(const char *text)
{
    json_t *list = json_array();
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (length) json_array_append_new(list, json_stringn(text, length));
        text += length + (text[length] != '\0');
    }
    return list;
}
