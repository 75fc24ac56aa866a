/* SPDX-License-Identifier: Apache-2.0 */
/* A stage for the loader's tests: a home with plugins.d and one connector, and helpers to change and load it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "runtime/loader/entries.h"

#define MANIFEST(NAME, EGRESS)                                                                                         \
    "{\"name\":\"" NAME                                                                                                \
    "\",\"version\":\"1.0.0\",\"abi\":1,\"summary\":\"Sends.\",\"actions\":{\"send\":{\"summary\":"                    \
    "\"Sends.\",\"input\":{\"type\":\"object\"},\"fields\":[\"token\"]}},\"credential\":{\"fields\":{\"token\":{"      \
    "\"summary\":\"Token\"}}},\"settings\":{\"type\":\"object\",\"properties\":{\"host\":{\"type\":\"string\","        \
    "\"default\":\"api.example.com\"},\"port\":{\"type\":\"integer\",\"minimum\":1,\"default\":443},\"tags\":{"        \
    "\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"loud\":{\"type\":\"boolean\"}},\"additionalProperties\":"   \
    "false},\"egress\":[" EGRESS "],\"limits\":{\"memory_mb\":64}}"

enum { STAGE_PLUGIN = 256 * 1024 };
extern char home[64];
extern char plugin_bytes[STAGE_PLUGIN]; /* a real shared object, the program's argument */
extern size_t plugin_length;
extern const char manifest[];
extern int plugins[DROPINS_MAX]; /* of the last load_all() */

bool stage_plugin(int argc, char **argv);
int set_up(void **state);
int tear_down(void **state);

void put_bytes(const char *name, const char *bytes, size_t length);
void put(const char *name, const char *text);
void put_plugin(void);
void path_of(const char *name, char path[256]);
void digest_text(const char *bytes, size_t length, char text[HASH_TEXT]);
void put_dropin(const char *file, const char *name, const char *document, const char *rest);
json_t *load_all(void);
void close_plugins(void);
const char *text_of(const json_t *document, size_t index, const char *key);
size_t count_of(const json_t *document);
/* Loads, and expects of entry index this state, and of its problem this text. */
void expect(size_t index, const char *state, const char *problem);

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
