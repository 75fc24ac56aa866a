/* SPDX-License-Identifier: Apache-2.0 */
/* [Keys] of caisson.conf, and the small things that every taker needs. */
#include <string.h>

#include "base/text.h"
#include "config_row.h"

bool config_refuse(struct err *err, const struct row *row, const char *why)
{
    return err_set(err, ERR_BAD_INPUT, "%s= %s", row->key, why);
}

bool config_no_memory(struct err *err)
{
    return err_set(err, ERR_BUSY, "there is no memory");
}

/* Keeps a value that may not have come about; always takes the reference. */
bool config_keep_in(json_t *object, const char *name, json_t *value, struct err *err)
{
    return json_object_set_new(object, name, value) == 0 || config_no_memory(err);
}

/* The member, made as fresh when it is not there yet (else fresh is dropped). NULL: there is no memory. */
json_t *config_member(json_t *object, const char *name, json_t *fresh)
{
    if (!fresh || json_object_get(object, name))
        json_decref(fresh);
    else if (json_object_set_new(object, name, fresh) < 0)
        return NULL;
    return json_object_get(object, name);
}

json_t *config_list(struct config *config, const struct row *row)
{
    return config_member(config->parts[row->role], row->name, json_array());
}

/* ── [Keys] ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Names are matched against a fixed table, never made into a path. */
bool config_take_provider(const struct row *row, const char *value, struct config *config, struct err *err)
{
    static const char *const names[] = {"file", "passphrase", "systemd", "transit", "aws-kms", "pkcs11"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], value) == 0)
            return config_keep_in(config->parts[ROLE_PROVIDER], row->key, json_string(names[i]), err);
    return config_refuse(err, row, "must be file, passphrase, systemd, transit, aws-kms or pkcs11");
}

/* Opened here, and named to the helper too. */
bool config_take_key_file(const struct row *row, const char *value, struct config *config, struct err *err)
{
    return config_take_path(row, value, config, err) &&
           config_keep_in(config->parts[ROLE_PROVIDER], row->key, json_string(value), err);
}

/* One value a line, as it is. */
bool config_take_line(const struct row *row, const char *value, struct config *config, struct err *err)
{
    json_t *list = config_list(config, row);
    if (json_array_size(list) >= row->most) return config_refuse(err, row, "is given too often");
    return json_array_append_new(list, json_string(value)) == 0 || config_no_memory(err);
}

bool config_take_module_folder(const struct row *row, const char *value, struct config *config, struct err *err)
{
    if (config->module_dir_count == CONFIG_DIRS) return config_refuse(err, row, "is given more than four times");
    char *directory = config->module_dirs[config->module_dir_count++];
    return (text_copy(directory, CONFIG_PATH, value) || config_refuse(err, row, "is too long")) &&
           config_take_line(row, value, config, err);
}

const char *config_provider(const struct config *config)
{
    const char *name = json_string_value(json_object_get(config->parts[ROLE_PROVIDER], "Provider"));
    return name && strcmp(name, "file") != 0 ? name : NULL;
}
