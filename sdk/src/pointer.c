/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Pointers, for answers of services and for the harness. */
#include "pointer.h"

#include <stdlib.h>
#include <string.h>

bool pointer_part(const char **at, char name[POINTER_NAME])
{
    size_t used = 0;
    if (**at != '/') return false;
    for ((*at)++; **at && **at != '/' && used < POINTER_NAME - 1; (*at)++) {
        bool escape = **at == '~' && ((*at)[1] == '0' || (*at)[1] == '1');
        name[used++] = !escape ? **at : *++*at == '0' ? '~' : '/';
    }
    name[used] = 0;
    return true;
}

json_t *pointer_member(const json_t *parent, const char *name)
{
    size_t digits = strspn(name, "0123456789");
    if (json_is_object(parent)) return json_object_get(parent, name);
    if (!json_is_array(parent) || digits == 0 || digits > 9 || name[digits] || (name[0] == '0' && name[1])) return NULL;
    return json_array_get(parent, strtoul(name, NULL, 10));
}

json_t *pointer_find(const json_t *root, const char *pointer)
{
    char name[POINTER_NAME];
    const json_t *value = root;
    while (value && pointer_part(&pointer, name)) value = pointer_member(value, name);
    return *pointer ? NULL : (json_t *)value;
}
