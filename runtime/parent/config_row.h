/* SPDX-License-Identifier: Apache-2.0 */
/* A row of caisson.conf's table, and what its takers share. Inside of config*.c only. */
#pragma once

#include "config.h"

struct row {
    const char *section, *key;
    bool (*take)(const struct row *, const char *value, struct config *config, struct err *err);
    size_t at; /* of the member that is set, where there is one */
    uint32_t least, most;
    enum role_id role; /* whose object gets the value, under name */
    const char *name;
    bool many;
    bool (*word)(const char *); /* of a list: what each value must be, and how to say that */
    const char *shape;
};

/* Each returns false, for the taker to return. */
bool config_refuse(struct err *err, const struct row *row, const char *why);
bool config_no_memory(struct err *err);
/* Keeps a value that may not have come about; always takes the reference. */
bool config_keep_in(json_t *object, const char *name, json_t *value, struct err *err);
/* The member, made as fresh when it is not there yet (else fresh is dropped). NULL: there is no memory. */
json_t *config_member(json_t *object, const char *name, json_t *fresh);
/* The row's list, in the part of its role. */
json_t *config_list(struct config *config, const struct row *row);

bool config_take_path(const struct row *row, const char *value, struct config *config, struct err *err);
/* config_keys.c: the takers of [Keys]. */
bool config_take_provider(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_key_file(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_line(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_module_folder(const struct row *row, const char *value, struct config *config, struct err *err);

/* config_push.c: the takers of [Push], and what only the whole of it can tell. */
bool config_take_push_path(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_webhook(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_witness(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_every(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_take_required(const struct row *row, const char *value, struct config *config, struct err *err);
bool config_check_push(const struct config *config, struct err *err);
