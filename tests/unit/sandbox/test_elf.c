/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are refused before anything loads them: a good one, changed one thing at a time, and cut short
 * everywhere. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/elf_check.h"

enum { SIZE = 0x4000, DYNAMIC_AT = 0x3000, STRINGS_AT = 0x100, STRINGS = 0x200 };

/* A shared object with one read-only, one executable and one writable segment, as a linker would lay it out. */
struct image {
    uint8_t bytes[SIZE];
    Elf64_Ehdr *head;
    Elf64_Phdr *segments; /* read, code, data, dynamic, stack, spare */
    Elf64_Dyn *tags;      /* strtab, strsz, needed, spare, null */
};

static void make(struct image *image)
{
    static const char names[] = "\0libc.so.6\0libm.so.6\0libevil.so.1\0/tmp";
    memset(image, 0, sizeof *image);
    image->head = (void *)image->bytes;
    image->segments = (void *)(image->bytes + sizeof *image->head);
    image->tags = (void *)(image->bytes + DYNAMIC_AT);
    *image->head = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                                .e_type = ET_DYN,
                                .e_machine = EM_X86_64,
                                .e_phoff = sizeof *image->head,
                                .e_phentsize = sizeof(Elf64_Phdr),
                                .e_phnum = 6};
    image->segments[0] = (Elf64_Phdr){PT_LOAD, PF_R, 0, 0, 0, 0x1000, 0x1000, 0x1000};
    image->segments[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0x1000, 0x1000, 0, 0x1000, 0x1000, 0x1000};
    image->segments[2] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x3000, 0x3000, 0, 0x800, 0x900, 0x1000};
    image->segments[3] = (Elf64_Phdr){PT_DYNAMIC, PF_R | PF_W, DYNAMIC_AT, DYNAMIC_AT, 0, 0x60, 0x60, 8};
    image->segments[4] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
    image->segments[5] = (Elf64_Phdr){PT_NULL, 0, 0, 0, 0, 0, 0, 0};
    image->tags[0] = (Elf64_Dyn){DT_STRTAB, {STRINGS_AT + 0x400}};
    image->tags[1] = (Elf64_Dyn){DT_STRSZ, {STRINGS}};
    image->tags[2] = (Elf64_Dyn){DT_NEEDED, {1}};
    image->tags[3] = (Elf64_Dyn){DT_DEBUG, {0}};
    memcpy(image->bytes + STRINGS_AT + 0x400, names, sizeof names);
}

static enum elf_problem verdict(const struct image *image)
{
    return (enum elf_problem)elf_check(image->bytes, SIZE).problem;
}

static void a_good_one_passes(void **state)
{
    struct image image;
    make(&image);
    struct elf_facts facts = elf_check(image.bytes, SIZE);
    assert_int_equal(facts.problem, ELF_FINE);
    assert_int_equal(facts.code_segments, 1);
    assert_int_equal(facts.libraries, 1u << ELF_LIBC);
    image.tags[3] = (Elf64_Dyn){DT_NEEDED, {11}};
    assert_int_equal(elf_check(image.bytes, SIZE).libraries, 1u << ELF_LIBC | 1u << ELF_LIBM);
}

static void one_change_at_a_time(void **state)
{
    struct image i;
#define REFUSED(change, problem)                                                                                       \
    do {                                                                                                               \
        make(&i);                                                                                                      \
        change;                                                                                                        \
        assert_int_equal(verdict(&i), problem);                                                                        \
    } while (0)
    REFUSED(i.bytes[0] = 0, ELF_NOT_ELF);
    REFUSED(i.head->e_ident[EI_CLASS] = ELFCLASS32, ELF_NOT_ELF);
    REFUSED(i.head->e_ident[EI_DATA] = ELFDATA2MSB, ELF_NOT_ELF);
    REFUSED(i.head->e_machine = EM_AARCH64, ELF_NOT_ELF);
    REFUSED(i.head->e_type = ET_EXEC, ELF_WRONG_KIND);
    REFUSED(i.head->e_type = ET_REL, ELF_WRONG_KIND);
    REFUSED(i.head->e_phnum = 0, ELF_SEGMENTS);
    REFUSED(i.head->e_phnum = 60000, ELF_SEGMENTS);
    REFUSED(i.head->e_phoff = UINT64_MAX - 8, ELF_SEGMENTS);
    REFUSED(i.head->e_phentsize = 8, ELF_SEGMENTS);
    REFUSED(i.segments[5].p_type = PT_INTERP, ELF_INTERPRETER);
    REFUSED(i.segments[4].p_flags |= PF_X, ELF_STACK);
    REFUSED(i.segments[4].p_type = PT_NULL, ELF_STACK);
    REFUSED(i.segments[1].p_flags |= PF_W, ELF_WRITABLE_CODE);
    REFUSED(i.segments[1].p_flags &= ~(uint32_t)PF_X, ELF_SEGMENTS);
    REFUSED(i.segments[1].p_memsz += 8, ELF_SEGMENTS);
    REFUSED(i.segments[1].p_vaddr = 0, ELF_SEGMENTS);
    REFUSED(i.segments[1].p_vaddr += 8, ELF_SEGMENTS);
    REFUSED(i.segments[2].p_filesz = SIZE * 4, ELF_SEGMENTS);
    REFUSED(i.segments[2].p_offset = UINT64_MAX - 0xfff, ELF_SEGMENTS);
    REFUSED(i.segments[2].p_memsz = UINT64_C(1) << 40, ELF_SEGMENTS);
    REFUSED((i.segments[5] = (Elf64_Phdr){.p_type = PT_TLS, .p_memsz = 1 << 20}), ELF_SEGMENTS);
    REFUSED(i.segments[3].p_type = PT_NULL, ELF_DYNAMIC);
    REFUSED(i.segments[5].p_type = PT_DYNAMIC, ELF_DYNAMIC);
    REFUSED(i.segments[3].p_offset -= 8, ELF_DYNAMIC);
    REFUSED(i.segments[3].p_memsz = 0x10000, ELF_DYNAMIC);
    REFUSED(i.tags[0].d_un.d_ptr = 0xdead000, ELF_DYNAMIC);
    REFUSED(i.tags[1].d_un.d_val = UINT64_MAX, ELF_DYNAMIC);
    REFUSED(i.tags[2].d_un.d_val = 0x10000, ELF_DYNAMIC);
    REFUSED(i.tags[2].d_un.d_val = 21, ELF_LIBRARY);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_TEXTREL, {0}}), ELF_TEXT_RELOCATIONS);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_FLAGS, {DF_TEXTREL}}), ELF_TEXT_RELOCATIONS);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_FLAGS_1, {0x08000000}}), ELF_WRONG_KIND);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_RPATH, {33}}), ELF_PATH);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_RUNPATH, {33}}), ELF_PATH);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_AUDIT, {33}}), ELF_AUDIT);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_DEPAUDIT, {33}}), ELF_AUDIT);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_FILTER, {33}}), ELF_AUDIT);
    REFUSED((i.tags[3] = (Elf64_Dyn){DT_AUXILIARY, {33}}), ELF_AUDIT);
    REFUSED((i.tags[4] = (Elf64_Dyn){DT_DEBUG, {0}}, i.tags[5] = i.tags[4]), ELF_DYNAMIC);
}

/* Cut anywhere, and one byte flipped anywhere in the headers: an answer, never a read outside. The copy stands at the
 * end of its heap block, where a sanitised build sees one byte too far. */
static void cut_and_flipped(void **state)
{
    struct image image;
    make(&image);
    for (size_t length = 0; length < 0x3800; length += length < 0x600 ? 1 : 61) {
        uint8_t *copy = malloc(length ? length : 1);
        memcpy(copy, image.bytes, length);
        assert_int_not_equal(elf_check(copy, length).problem, ELF_FINE);
        free(copy);
    }
    for (size_t at = 0; at < 0x200; at++)
        for (int bit = 0; bit < 8; bit++) {
            make(&image);
            image.bytes[at] ^= (uint8_t)(1 << bit);
            assert_in_range(verdict(&image), ELF_FINE, ELF_PROBLEMS - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_passes),
        cmocka_unit_test(one_change_at_a_time),
        cmocka_unit_test(cut_and_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
