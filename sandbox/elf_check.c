/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin's file must be: a shared object for x86-64 without tricks. Bounds every offset; loads nothing. */
#include "elf_check.h"

#include <elf.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "seccomp.h"

enum { SEGMENTS = 32, DYNAMIC = 256, PAGE = 4096, MEMORY_MAX = 256 * 1024 * 1024, TLS_MAX = 64 * 1024 };
#ifndef DF_1_PIE
#define DF_1_PIE 0x08000000
#endif

static const char *const texts[ELF_PROBLEMS] = {
    [ELF_FINE] = "fine",
    [ELF_NOT_ELF] = "is not an ELF file for x86-64 (build it for this machine, 64 bits)",
    [ELF_WRONG_KIND] = "is not a shared object (link it with -shared)",
    [ELF_SEGMENTS] = "has segments that do not fit together: the file is cut short or damaged, install it anew",
    [ELF_INTERPRETER] = "names a program interpreter, so it is a program and not a plugin (link it with -shared)",
    [ELF_STACK] = "asks for an executable stack (link it with -z noexecstack)",
    [ELF_WRITABLE_CODE] =
        "has a segment that is writable and executable (link it without -N and without its own linker script)",
    [ELF_DYNAMIC] = "has no sound dynamic section: the file is damaged, install it anew",
    [ELF_TEXT_RELOCATIONS] = "has text relocations (compile it with -fPIC)",
    [ELF_PATH] = "carries a library search path, RPATH or RUNPATH (link it without -rpath)",
    [ELF_AUDIT] = "asks for an audit, filter or auxiliary library (link it without --audit, --filter and --auxiliary)",
    [ELF_LIBRARY] =
        "needs a library that is not offered (link it statically; offered: libc, libm, libgcc_s, libstdc++)"};

static const char *const libraries[ELF_LIBRARIES] = {
    [ELF_LIBC] = "libc.so.6",       [ELF_LD] = "ld-linux-x86-64.so.2", [ELF_LIBM] = "libm.so.6",
#ifdef CAISSON_SANITIZED
    [ELF_LIBASAN] = "libasan.so.8", [ELF_LIBUBSAN] = "libubsan.so.1",
#endif
    [ELF_LIBGCC] = "libgcc_s.so.1", [ELF_LIBSTDCXX] = "libstdc++.so.6"};

const char *elf_text(unsigned problem)
{
    return problem < ELF_PROBLEMS ? texts[problem] : "is not understood";
}

const char *elf_library_name(enum elf_library library)
{
    return libraries[library];
}

struct view {
    const uint8_t *bytes;
    size_t length;
    Elf64_Phdr segments[SEGMENTS];
    unsigned segment_count;
};

static bool within(uint64_t offset, uint64_t count, uint64_t length)
{
    return count <= length && offset <= length - count;
}

/* The file offset of count bytes at an address, as the loader will map them. false: not all in one segment's file part.
 */
static bool offset_of(const struct view *view, uint64_t address, uint64_t count, uint64_t *offset)
{
    for (unsigned i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *one = &view->segments[i];
        if (one->p_type != PT_LOAD || address < one->p_vaddr) continue;
        if (!within(address - one->p_vaddr, count, one->p_filesz)) continue;
        *offset = one->p_offset + (address - one->p_vaddr);
        return true;
    }
    return false;
}

static enum elf_problem read_header(struct view *view)
{
    Elf64_Ehdr head;
    if (view->length < sizeof head) return ELF_NOT_ELF;
    memcpy(&head, view->bytes, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_ident[EI_VERSION] != EV_CURRENT || head.e_machine != EM_X86_64)
        return ELF_NOT_ELF;
    if (head.e_type != ET_DYN) return ELF_WRONG_KIND;
    if (head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum == 0 || head.e_phnum > SEGMENTS) return ELF_SEGMENTS;
    if (!within(head.e_phoff, (uint64_t)head.e_phnum * sizeof(Elf64_Phdr), view->length)) return ELF_SEGMENTS;
    view->segment_count = head.e_phnum;
    memcpy(view->segments, view->bytes + head.e_phoff, head.e_phnum * sizeof(Elf64_Phdr));
    return ELF_FINE;
}

/* One LOAD segment; end: where the one before it ended in memory, rounded up to pages. */
static enum elf_problem check_load(const struct view *view, const Elf64_Phdr *one, uint64_t *end,
                                   struct elf_facts *facts)
{
    if (!within(one->p_offset, one->p_filesz, view->length) || one->p_filesz > one->p_memsz) return ELF_SEGMENTS;
    if (!within(one->p_vaddr, one->p_memsz, MEMORY_MAX) || one->p_vaddr / PAGE * PAGE < *end) return ELF_SEGMENTS;
    if (one->p_vaddr % PAGE != one->p_offset % PAGE) return ELF_SEGMENTS;
    *end = (one->p_vaddr + one->p_memsz + PAGE - 1) / PAGE * PAGE;
    if (!(one->p_flags & PF_X)) return ELF_FINE;
    if (one->p_flags & PF_W) return ELF_WRITABLE_CODE;
    if (one->p_memsz != one->p_filesz || one->p_filesz == 0) return ELF_SEGMENTS;
    facts->code_segments++;
    return ELF_FINE;
}

static enum elf_problem check_segments(const struct view *view, struct elf_facts *facts)
{
    uint64_t end = 0;
    bool stack = false, dynamic = false;
    for (unsigned i = 0; i < view->segment_count; i++) {
        const Elf64_Phdr *one = &view->segments[i];
        enum elf_problem problem = ELF_FINE;
        if (one->p_type == PT_LOAD) problem = check_load(view, one, &end, facts);
        if (one->p_type == PT_INTERP) problem = ELF_INTERPRETER;
        if (one->p_type == PT_GNU_STACK) stack = !(one->p_flags & PF_X);
        if (one->p_type == PT_GNU_STACK && (one->p_flags & PF_X)) problem = ELF_STACK;
        if (one->p_type == PT_TLS && one->p_memsz > TLS_MAX) problem = ELF_SEGMENTS;
        if (one->p_type == PT_DYNAMIC && dynamic) problem = ELF_DYNAMIC;
        dynamic |= one->p_type == PT_DYNAMIC;
        if (problem != ELF_FINE) return problem;
    }
    if (!facts->code_segments) return ELF_SEGMENTS;
    if (!stack) return ELF_STACK; /* without the header the loader assumes an executable one */
    return dynamic ? ELF_FINE : ELF_DYNAMIC;
}

/* ── the dynamic section ─────────────────────────────────────────────────────────────────────────────── */

static const Elf64_Phdr *dynamic_segment(const struct view *view)
{
    for (unsigned i = 0; i < view->segment_count; i++)
        if (view->segments[i].p_type == PT_DYNAMIC) return &view->segments[i];
    return NULL;
}

static enum elf_problem check_tag(const Elf64_Dyn *one)
{
    switch (one->d_tag) {
    case DT_TEXTREL: return ELF_TEXT_RELOCATIONS;
    case DT_FLAGS: return one->d_un.d_val & DF_TEXTREL ? ELF_TEXT_RELOCATIONS : ELF_FINE;
    case DT_FLAGS_1: return one->d_un.d_val & DF_1_PIE ? ELF_WRONG_KIND : ELF_FINE;
    case DT_RPATH:
    case DT_RUNPATH: return ELF_PATH;
    case DT_AUDIT:
    case DT_DEPAUDIT:
    case DT_CONFIG:
    case DT_FILTER:
    case DT_AUXILIARY: return ELF_AUDIT;
    default: return ELF_FINE;
    }
}

static enum elf_problem check_needed(const struct view *view, uint64_t strings, uint64_t size, uint64_t name,
                                     struct elf_facts *facts)
{
    uint64_t offset;
    if (name >= size || !offset_of(view, strings, size, &offset)) return ELF_DYNAMIC;
    const char *text = (const char *)view->bytes + offset + name;
    if (!memchr(text, 0, size - name)) return ELF_DYNAMIC;
    for (unsigned i = 0; i < ELF_LIBRARIES; i++)
        if (strcmp(text, libraries[i]) == 0) {
            facts->libraries |= 1u << i;
            return ELF_FINE;
        }
    return ELF_LIBRARY;
}

static enum elf_problem check_dynamic(const struct view *view, struct elf_facts *facts)
{
    const Elf64_Phdr *segment = dynamic_segment(view);
    uint64_t offset, count = segment->p_memsz / sizeof(Elf64_Dyn), strings = 0, size = 0, used = 0;
    if (count == 0 || count > DYNAMIC || !offset_of(view, segment->p_vaddr, count * sizeof(Elf64_Dyn), &offset) ||
        offset != segment->p_offset)
        return ELF_DYNAMIC;
    Elf64_Dyn tags[DYNAMIC];
    memcpy(tags, view->bytes + offset, count * sizeof *tags);
    while (used < count && tags[used].d_tag != DT_NULL) {
        enum elf_problem problem = check_tag(&tags[used]);
        if (problem != ELF_FINE) return problem;
        if (tags[used].d_tag == DT_STRTAB) strings = tags[used].d_un.d_ptr;
        if (tags[used].d_tag == DT_STRSZ) size = tags[used].d_un.d_val;
        used++;
    }
    if (used == count || !size) return ELF_DYNAMIC;
    for (uint64_t i = 0; i < used; i++) {
        if (tags[i].d_tag != DT_NEEDED) continue;
        enum elf_problem problem = check_needed(view, strings, size, tags[i].d_un.d_val, facts);
        if (problem != ELF_FINE) return problem;
    }
    return ELF_FINE;
}

struct elf_facts elf_check(const uint8_t *bytes, size_t length)
{
    struct view view = {.bytes = bytes, .length = length};
    struct elf_facts facts = {0};
    enum elf_problem problem = length <= ELF_MAX ? read_header(&view) : ELF_SEGMENTS;
    if (problem == ELF_FINE) problem = check_segments(&view, &facts);
    if (problem == ELF_FINE) problem = check_dynamic(&view, &facts);
    facts.problem = (uint32_t)problem;
    return facts;
}

/* ── apart ───────────────────────────────────────────────────────────────────────────────────────────── */

/* From here on write and exit are the only calls there are. */
static bool nothing_but_write(void)
{
    const struct seccomp_program *list = &seccomp_ready[LIST_HEADERS];
    struct err err = {0};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && seccomp_install(list->code, list->length, &err);
}

static _Noreturn void check_in_child(const uint8_t *bytes, size_t length, int out)
{
    if (nothing_but_write()) {
        struct elf_facts facts = elf_check(bytes, length);
        if (write(out, &facts, sizeof facts) != sizeof facts) syscall(SYS_exit, 1);
        syscall(SYS_exit, 0);
    }
    for (;;) syscall(SYS_exit, 2);
}

static void end_child(pid_t child)
{
    FD_AUTO pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (pidfd >= 0) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    waitpid(child, NULL, 0);
}

static bool read_facts(int in, struct elf_facts *facts)
{
    struct pollfd one = {.fd = in, .events = POLLIN};
    return poll(&one, 1, 2000) == 1 && read(in, facts, sizeof *facts) == sizeof *facts &&
           facts->problem < ELF_PROBLEMS && facts->code_segments <= SEGMENTS && facts->libraries < 1u << ELF_LIBRARIES;
}

bool elf_check_apart(int fd, struct elf_facts *facts, struct err *err)
{
    struct stat file;
    int ends[2];
    if (fstat(fd, &file) < 0) return err_sys(err, ERR_LOAD, "the plugin cannot be read");
    if (file.st_size <= 0 || file.st_size > ELF_MAX) return err_set(err, ERR_LOAD, "the plugin is empty or too large");
    size_t length = (size_t)file.st_size;
    void *bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) return err_sys(err, ERR_LOAD, "the plugin cannot be read");
    if (pipe(ends) < 0) return munmap(bytes, length), err_sys(err, ERR_IO, "no pipe");
    FD_AUTO in = ends[0];
    pid_t child = fork();
    if (child == 0) check_in_child(bytes, length, ends[1]);
    close(ends[1]);
    bool good = child > 0 && read_facts(in, facts);
    if (child > 0) end_child(child);
    munmap(bytes, length);
    if (!good) return err_set(err, ERR_LOAD, "the plugin's headers cannot be checked");
    if (facts->problem != ELF_FINE) return err_set(err, ERR_LOAD, "the plugin %s", elf_text(facts->problem));
    return true;
}
