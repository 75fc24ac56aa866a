/* SPDX-License-Identifier: Apache-2.0 */
/* Looks names up in the tables that make_names.c made of libseccomp's. */
#include "call_names.h"

#include <linux/audit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <call_names_table.h> /* made at build time */

enum { X32_BIT = 0x40000000 };
enum { COUNT_64 = sizeof names_64 / sizeof *names_64 };

struct table {
    const char *prefix;
    const char *const *names;
    int32_t count;
};

static const struct table tables[] = {{"", names_64, COUNT_64},
                                      {"i386:", names_32, sizeof names_32 / sizeof *names_32},
                                      {"x32:", names_x32, sizeof names_x32 / sizeof *names_x32}};

void call_name(uint32_t arch, int32_t number, char name[CALL_NAME])
{
    bool x32 = arch == AUDIT_ARCH_X86_64 && number > 0 && (number & X32_BIT);
    const struct table *table = &tables[x32 ? 2 : arch == AUDIT_ARCH_I386];
    int32_t at = x32 ? number & ~X32_BIT : number;
    if (arch != AUDIT_ARCH_X86_64 && arch != AUDIT_ARCH_I386)
        snprintf(name, CALL_NAME, "arch_%x:syscall_%d", arch, number);
    else if (at >= 0 && at < table->count && table->names[at])
        snprintf(name, CALL_NAME, "%s%s", table->prefix, table->names[at]);
    else
        snprintf(name, CALL_NAME, "%ssyscall_%d", table->prefix, at);
}

int call_number(const char *name)
{
    for (int i = 0; i < COUNT_64; i++)
        if (names_64[i] && strcmp(names_64[i], name) == 0) return i;
    return -1;
}
