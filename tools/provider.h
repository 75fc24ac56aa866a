/* SPDX-License-Identifier: Apache-2.0 */
/* The command's side of key providers: it starts caisson-provider, behind that program's own walls, like the daemon. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/keyderive.h"
#include "home.h"

enum { PROVIDER_ROW = 8 * 1024, PROVIDER_VERSION = 128, PROVIDER_NAME = 16 };

/* [Keys] of a configuration by the names that it has there; NULL file: caisson.conf of the home folder. */
bool provider_keys(const struct home *home, const char *file, json_t **keys, struct err *err);
/* "file" where [Keys] says nothing. */
const char *provider_name(const json_t *keys);

/* keys/provider.share as it is; ERR_NOT_FOUND: there is none. row is initialised here. */
bool provider_row(const struct home *home, struct buf *row, struct err *err);
/* The provider and the version in a row; false: it is damaged. */
bool provider_row_says(const struct buf *row, char name[PROVIDER_NAME], char version[PROVIDER_VERSION]);

/* Wraps a share; row becomes the text of keys/provider.share (initialised here). */
bool provider_wrap(const struct home *home, const json_t *keys, const uint8_t share[KEY_BYTES], struct buf *row,
                   struct err *err);
bool provider_unwrap(const struct home *home, const json_t *keys, const struct buf *row, uint8_t share[KEY_BYTES],
                     struct err *err);
/* Unwraps, keeps nothing, and asks for the version that a wrap would get now. */
bool provider_check(const struct home *home, const json_t *keys, const struct buf *row, char version[PROVIDER_VERSION],
                    struct err *err);

/* The share of this home, by its caisson.conf; *has false: the whole key stands in its file. */
bool provider_share(const struct home *home, uint8_t share[KEY_BYTES], bool *has, struct err *err);
