/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the table of system calls' names that call_names.c is built with: libseccomp knows them, so nobody types them
 * in, and no process of the daemon needs the library. */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS = 1024 };

static void table(const char *name, uint32_t arch, int bit)
{
    printf("static const char *const %s[] = {\n", name);
    for (int number = 0; number < NUMBERS; number++) {
        char *call = seccomp_syscall_resolve_num_arch(arch, number | bit);
        if (call) printf("    [%d] = \"%s\",\n", number, call);
        free(call);
    }
    printf("};\n");
}

int main(void)
{
    printf("/* Made by make_names.c. */\n");
    table("names_64", SCMP_ARCH_X86_64, 0);
    table("names_32", SCMP_ARCH_X86, 0);
    table("names_x32", SCMP_ARCH_X32, 0x40000000);
    return ferror(stdout) || fflush(stdout) != 0;
}
