/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Pointer, RFC 6901: finding a value, and putting one. */
#include <stdlib.h>
#include <string.h>

#include "worker.h"

enum { TOKEN = 1024, DEPTH = 32 };

/* Copies the next reference token without its escapes; returns what follows it, or NULL when it is malformed. */
static const char *next_token(const char *at, char token[TOKEN])
{
    size_t used = 0;
    if (*at++ != '/') return NULL;
    for (; *at && *at != '/'; at++) {
        char one = *at;
        if (one == '~') {
            at++;
            if (*at != '0' && *at != '1') return NULL;
            one = *at == '0' ? '~' : '/';
        }
        if (used == TOKEN - 1) return NULL;
        token[used++] = one;
    }
    token[used] = 0;
    return at;
}

/* "0" or digits without a leading zero. */
static bool array_index(const char *token, size_t *index)
{
    size_t length = strspn(token, "0123456789");
    if (length == 0 || length > 9 || token[length] || (token[0] == '0' && length > 1)) return false;
    *index = (size_t)strtoul(token, NULL, 10);
    return true;
}

static json_t *child(const json_t *parent, const char *token)
{
    size_t index;
    if (json_is_object(parent)) return json_object_get(parent, token);
    return json_is_array(parent) && array_index(token, &index) ? json_array_get(parent, index) : NULL;
}

json_t *pointer_get(json_t *root, const char *pointer)
{
    char token[TOKEN];
    const char *at = pointer ? pointer : "";
    while (root && *at) {
        at = next_token(at, token);
        root = at ? child(root, token) : NULL;
        if (!at) return NULL;
    }
    return root;
}

static bool put(json_t *parent, const char *token, json_t *value)
{
    size_t index;
    if (json_is_object(parent)) return json_object_set(parent, token, value) == 0;
    if (!json_is_array(parent)) return false;
    if (strcmp(token, "-") == 0) return json_array_append(parent, value) == 0;
    if (!array_index(token, &index) || index > json_array_size(parent)) return false;
    if (index == json_array_size(parent)) return json_array_append(parent, value) == 0;
    return json_array_set(parent, index, value) == 0;
}

/* A missing parent becomes an object; "0" or "-" below it makes it an array. */
static json_t *parent_for(json_t *parent, const char *token, const char *rest)
{
    json_t *found = child(parent, token);
    if (found) return found;
    char below[TOKEN];
    if (!next_token(rest, below)) return NULL;
    json_t *fresh = strcmp(below, "0") == 0 || strcmp(below, "-") == 0 ? json_array() : json_object();
    bool good = fresh && put(parent, token, fresh);
    json_decref(fresh);
    return good ? fresh : NULL;
}

bool pointer_set(json_t **root, const char *pointer, json_t *value)
{
    char token[TOKEN];
    const char *at = pointer ? pointer : "";
    bool good = false;
    if (!value) return false;
    if (!*at) {
        json_decref(*root);
        *root = value;
        return true;
    }
    if (!*root) *root = json_object();
    json_t *parent = *root;
    for (int depth = 0; parent && depth < DEPTH; depth++) {
        at = next_token(at, token);
        if (!at) break;
        if (!*at) {
            good = put(parent, token, value);
            break;
        }
        parent = parent_for(parent, token, at);
    }
    json_decref(value);
    return good;
}
