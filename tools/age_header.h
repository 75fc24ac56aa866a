/* SPDX-License-Identifier: Apache-2.0 */
/* age's header: who may open a file, and what vouches for that list. Inside of age.c only. */
#pragma once

#include "age.h"

enum { AGE_FILE_KEY = 16, AGE_PAYLOAD_NONCE = 16 };

bool age_put(int fd, const void *bytes, size_t length, struct err *err);
bool age_put_header(int fd, const uint8_t file_key[AGE_FILE_KEY], const struct age_keys *recipients, struct err *err);
/* Reads up to the end of the header, not a byte further. */
bool age_take_header(int fd, const struct age_keys *identities, uint8_t file_key[AGE_FILE_KEY], struct err *err);
void age_payload_key(const uint8_t file_key[AGE_FILE_KEY], const uint8_t nonce[AGE_PAYLOAD_NONCE],
                     uint8_t key[AGE_KEY]);
