/* SPDX-License-Identifier: Apache-2.0 */
/* The files below keys/, for those who make and replace them. folder: the descriptor of keys/. */
#pragma once

#include <sys/types.h>

#include "keys.h"

bool key_file_folder(int home_dirfd, int *folder, struct err *err);
bool key_file_exists(int folder, const char *name);
/* Whole or not at all, on disk when it returns; replace: over one that is there, else ERR_EXISTS. */
bool key_file_put(int folder, const char *name, mode_t mode, const char *text, size_t length, bool replace,
                  struct err *err);
/* The other name that a kill inside key_file_put may have left to what it put. */
void key_file_drop_draft(int folder, const char *name);
/* share: a key provider's half, NULL where the file is whole. */
bool key_file_read(int folder, const char *name, const uint8_t *share, uint8_t master[KEY_BYTES], struct err *err);
/* The public halves of the keys that grow from a master key, and the file vault.pub with them. */
void key_file_public(const uint8_t master[KEY_BYTES], struct keys_public *public);
bool key_file_put_public(int folder, const struct keys_public *public, bool replace, struct err *err);
