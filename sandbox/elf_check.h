/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the headers of a plugin before anything loads it: hostile bytes, so it runs in a child that can only write. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { ELF_MAX = 64 * 1024 * 1024 };

enum elf_problem {
    ELF_FINE,
    ELF_NOT_ELF,
    ELF_WRONG_KIND,
    ELF_SEGMENTS,
    ELF_INTERPRETER,
    ELF_STACK,
    ELF_WRITABLE_CODE,
    ELF_DYNAMIC,
    ELF_TEXT_RELOCATIONS,
    ELF_PATH,
    ELF_AUDIT,
    ELF_LIBRARY,
    ELF_PROBLEMS
};

/* Libraries that a plugin may need and that the cell loads beforehand when it does. */
enum elf_library {
    ELF_LIBC,
    ELF_LD,
    ELF_LIBM,
    ELF_LIBGCC,
    ELF_LIBSTDCXX,
#ifdef CAISSON_SANITIZED
    ELF_LIBASAN,
    ELF_LIBUBSAN,
#endif
    ELF_LIBRARIES
};

struct elf_facts {
    uint32_t problem;       /* enum elf_problem */
    uint32_t code_segments; /* executable LOAD segments: how many executable mappings loading takes */
    uint32_t libraries;     /* bit per elf_library */
};

struct elf_facts elf_check(const uint8_t *bytes, size_t length);
/* "needs a library that is not offered" … */
const char *elf_text(unsigned problem);
/* The file name of a library. */
const char *elf_library_name(enum elf_library library);

/* elf_check over a mapping of fd, in a child that can write its result and exit, and nothing else. */
bool elf_check_apart(int fd, struct elf_facts *facts, struct err *err);
