/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the front's part of the configuration: a table of numbers, and the list of origins. */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

enum { CONFIG_MAX = 64 * 1024 };

static const struct number {
    const char *key;
    size_t offset;
    uint32_t usual, least, most;
} numbers[] = {
    {"connections", offsetof(struct front_config, connections), 512, 1, 4096},
    {"connections_per_uid", offsetof(struct front_config, connections_per_uid), 320, 1, 4096},
    {"connections_per_ip", offsetof(struct front_config, connections_per_ip), 64, 1, 4096},
    {"calls", offsetof(struct front_config, calls), 256, 1, 1024},
    {"rate", offsetof(struct front_config, rate), 0, 0, 1000000},
    {"burst", offsetof(struct front_config, burst), 0, 0, 1000000},
    {"idle_s", offsetof(struct front_config, idle_s), 60, 1, 3600},
    {"request_s", offsetof(struct front_config, request_s), 60, 1, 3600},
    {"bodies_mb", offsetof(struct front_config, bodies_mb), 256, 33, 16384},
    {"timeout_ms", offsetof(struct front_config, timeout_ms), 30000, 100, 3600000},
    {"timeout_max_ms", offsetof(struct front_config, timeout_max_ms), 600000, 100, 3600000},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static _Atomic uint32_t *slot(struct front_config *config, const struct number *row)
{
    return (_Atomic uint32_t *)((char *)config + row->offset);
}

void config_defaults(struct front_config *config)
{
    memset(config, 0, sizeof *config);
    pthread_mutex_init(&config->lock, NULL);
    for (unsigned i = 0; i < NUMBERS; i++) *slot(config, &numbers[i]) = numbers[i].usual;
}

static bool set_number(const struct number *row, const json_t *value, struct front_config *config, struct err *err)
{
    json_int_t found = json_integer_value(value);
    if (!json_is_integer(value) || found < row->least || found > row->most)
        return err_set(err, ERR_BAD_INPUT, "\"%s\" must be a number from %u to %u", row->key, row->least, row->most);
    *slot(config, row) = (uint32_t)found;
    return true;
}

static bool set_origins(const json_t *list, struct front_config *config, struct err *err)
{
    if (!json_is_array(list) || json_array_size(list) > CORS_MOST)
        return err_set(err, ERR_BAD_INPUT, "\"cors\" must be a list of at most %d origins", CORS_MOST);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *origin = json_string_value(json_array_get(list, i));
        size_t length = origin ? strlen(origin) : ORIGIN_BYTES;
        if (length >= ORIGIN_BYTES || !strstr(origin, "://") || strpbrk(origin, " \r\n*,"))
            return err_set(err, ERR_BAD_INPUT, "\"cors\" must hold whole origins, like https://console.example");
        memcpy(config->origins[config->origin_count++], origin, length + 1);
    }
    return true;
}

static bool apply(const json_t *object, struct front_config *config, struct err *err)
{
    if (!json_is_object(object)) return err_set(err, ERR_MALFORMED, "the configuration is no JSON object");
    for (unsigned i = 0; i < NUMBERS; i++) {
        const json_t *value = json_object_get(object, numbers[i].key);
        if (value && !set_number(&numbers[i], value, config, err)) return false;
    }
    const json_t *origins = json_object_get(object, "cors");
    return !origins || set_origins(origins, config, err);
}

static bool read_text(int fd, struct buf *text, struct err *err)
{
    char piece[4096];
    for (off_t at = 0;;) {
        ssize_t got = pread(fd, piece, sizeof piece, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "cannot read the configuration");
        if (got == 0) return true;
        if (!buf_add(text, piece, (size_t)got)) return err_set(err, ERR_TOO_LARGE, "the configuration is too large");
        at += got;
    }
}

bool config_read(int fd, struct front_config *config, struct err *err)
{
    config_defaults(config);
    if (fd < 0) return true;
    BUF_AUTO text;
    JSON_AUTO *object = NULL;
    buf_init(&text, CONFIG_MAX);
    return read_text(fd, &text, err) && json_read(text.bytes, text.used, CONFIG_MAX, &object, err) &&
           apply(object, config, err);
}

void config_take(struct front_config *config, const struct front_config *fresh)
{
    for (unsigned i = 0; i < NUMBERS; i++)
        *slot(config, &numbers[i]) = *slot((struct front_config *)fresh, &numbers[i]);
    pthread_mutex_lock(&config->lock);
    config->origin_count = fresh->origin_count;
    memcpy(config->origins, fresh->origins, sizeof config->origins);
    pthread_mutex_unlock(&config->lock);
}

bool config_allows(struct front_config *config, const char *origin)
{
    bool found = false;
    if (!origin) return false;
    pthread_mutex_lock(&config->lock);
    for (unsigned i = 0; !found && i < config->origin_count; i++) found = strcmp(config->origins[i], origin) == 0;
    pthread_mutex_unlock(&config->lock);
    return found;
}
