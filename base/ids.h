/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers: UUIDv7 (RFC 9562 §5.7), hexadecimal digests, and the one grammar for names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ID_BYTES = 16,
    ID_TEXT = 37, /* 36 characters and the NUL */
    HASH_BYTES = 32,
    HASH_TEXT = 65,
    NAME_BYTES = 64 /* a name with its NUL: connectors, actions, credentials, workspaces, fields */
};

/* A new UUIDv7: the wall clock in 4096ths of a millisecond (§6.2, method 3), then random bits. Those of one process
 * sort as they were made, also where the clock stood still or went back by less than a second; beyond that they follow
 * it. */
void id_new(uint8_t id[ID_BYTES]);
void id_text(const uint8_t id[ID_BYTES], char text[ID_TEXT]);
/* Lower-case canonical form only. */
bool id_parse(const char *text, uint8_t id[ID_BYTES]);

/* count bytes to 2·count lower-case digits and a NUL. */
void hex_text(const uint8_t *bytes, size_t count, char *text);
/* Exactly 2·count lower-case digits. */
bool hex_parse(const char *text, uint8_t *bytes, size_t count);

/* 1 to 63 of a-z 0-9 - _ and inner dots, first a letter: no path, no look-alike, no case. */
bool name_valid(const char *name);
/* The same for a name that may lack its NUL: length bytes of a fixed array. */
bool name_in(const char *array, size_t size);
