/* SPDX-License-Identifier: Apache-2.0 */
/* The cell's walls, one per line, in the order that was tried: what still needs files or privileges comes first. */
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../sdk/src/helpers.h"
#include "base/auto.h"
#include "cell_state.h"
#include "elf_check.h"
#include "limits.h"
#include "namespace.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static bool up(const struct cell *cell, enum wall wall)
{
    return policy_has(wall) && !(cell->spec.without >> wall & 1);
}

/* No namespaces here, and the administrator does without. */
static bool without(const struct cell *cell)
{
    return cell->spec.without >> WALL_NAMESPACES & 1;
}

static bool ids(struct cell *cell, struct err *err)
{
    if (!cell->spec.user_namespace || without(cell)) return true;
    return namespace_map(cell->spec.uid, cell->spec.gid, err);
}

/* ── what is loaded before the root goes away ────────────────────────────────────────────────────────── */

static bool load_libraries(const struct elf_facts *facts, struct err *err)
{
    for (unsigned i = ELF_LIBM; i < ELF_LIBRARIES; i++)
        if ((facts->libraries >> i & 1) && !dlopen(elf_library_name(i), RTLD_NOW | RTLD_LOCAL))
            return err_set(err, ERR_LOAD, "%s, which the plugin needs, is not installed", elf_library_name(i));
    return true;
}

static int open_copy(const struct cell *cell)
{
    return without(cell) ? memory_open_copy(cell->copy) : namespace_open_copy(cell->copy);
}

/* The copy first, then the look at its headers: what is checked is what will be loaded. */
static bool plugin(struct cell *cell, struct err *err)
{
    struct elf_facts facts;
    bool (*copy)(int, const uint8_t *, int *, struct err *) = without(cell) ? memory_copy : namespace_copy;
    if (!copy(CELL_PLUGIN, cell->spec.so_digest, &cell->copy, err)) return false;
    FD_AUTO file = open_copy(cell);
    if (file < 0) return err_sys(err, ERR_LOAD, "the plugin's copy cannot be read");
    if (!elf_check_apart(file, &facts, err) || !load_libraries(&facts, err)) return false;
    cell->code_segments = facts.code_segments;
    close(CELL_PLUGIN);
    return true;
}

static bool warm(const struct csn_helpers *helpers, struct err *err)
{
    struct stat file;
    if (fstat(CELL_CA, &file) < 0 || file.st_size <= 0 || file.st_size > 16 * 1024 * 1024)
        return err_set(err, ERR_LOAD, "there is no bundle of certificate authorities");
    void *pem = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, CELL_CA, 0);
    if (pem == MAP_FAILED) return err_sys(err, ERR_LOAD, "the bundle of certificate authorities cannot be read");
    bool good = helpers->warm(pem, (size_t)file.st_size);
    munmap(pem, (size_t)file.st_size);
    return good || err_set(err, ERR_LOAD, "the bundle of certificate authorities has no certificate that can be read");
}

/* libcurl and OpenSSL only where the manifest declares egress: they are most of what a fork copies. */
static bool helpers(struct cell *cell, struct err *err)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", CELL_HELPERS);
    if (cell->spec.has_egress) {
        setenv("SASL_PATH", "/dev/null",
               1); /* libcurl brings LDAP, which would load nine mechanisms that nobody needs */
        void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        cell->helpers = object ? dlsym(object, CSN_HELPERS_SYMBOL) : NULL;
        if (!cell->helpers || cell->helpers->abi != CSN_ABI || cell->helpers->size < sizeof *cell->helpers)
            return err_set(err, ERR_LOAD, "the helpers for HTTP and mail do not load: %s",
                           object ? "another version" : dlerror());
        if (!warm(cell->helpers, err)) return false;
    }
    close(CELL_HELPERS);
    close(CELL_CA);
    return true;
}

/* libc and jansson set some things up lazily: here, where files can still be read. */
static bool warm_json(struct cell *cell, struct err *err)
{
    json_t *probe = json_pack("{s:f}", "x", 1.5);
    char *text = json_dumps(probe, JSON_COMPACT);
    free(text);
    json_decref(probe);
    return true;
}

/* ── walls ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool root(struct cell *cell, struct err *err)
{
    return !up(cell, WALL_ROOT) || namespace_root(err);
}

static bool numbers(struct cell *cell, struct err *err)
{
    return !policy_has(WALL_LIMITS) || limits_cell(cell->spec.memory_mb, err);
}

static bool privileges(struct cell *cell, struct err *err)
{
    if (!policy_has(WALL_UID)) return true;
    uid_t uid = cell->spec.user_namespace ? 0 : cell->spec.uid;
    return privileges_drop(uid, cell->spec.gid, without(cell) && !uid, err);
}

static bool no_new_privileges(struct cell *cell, struct err *err)
{
    if (!policy_has(WALL_PRIVILEGES)) return true;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || err_sys(err, ERR_MISSING_LAYER, "no_new_privs is refused");
}

/* Linux 6.3; without it the worker's list alone keeps writable memory from becoming executable. */
static bool no_new_code(struct cell *cell, struct err *err)
{
    if (policy_has(WALL_MDWE)) prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
    return true;
}

static bool no_dumps(struct cell *cell, struct err *err)
{
    if (!policy_has(WALL_DUMPS)) return true;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 || err_sys(err, ERR_MISSING_LAYER, "the cell stays dumpable");
}

/* After the uid change, which clears it. The runner may be dead already: its channel then says so. */
static bool die_with_runner(struct cell *cell, struct err *err)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 || err_sys(err, ERR_IO, "the cell would outlive its runner");
}

/* In place of a list that is missing (policy.h): for A everything, for L what loading needs, and no wall. */
static const struct seccomp_program *no_list(unsigned list)
{
    static const struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
                                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    static const struct seccomp_program loading = {code, 4}, nothing = {code + 3, 1};
    return list == LIST_L ? &loading : &nothing;
}

static const struct seccomp_program *list_of(enum wall wall, unsigned list)
{
    return policy_has(wall) ? &seccomp_ready[list] : no_list(list);
}

static bool filters(struct cell *cell, struct err *err)
{
    const struct seccomp_program *list_a = list_of(WALL_FILTER_A, LIST_A);
    cell->list_l = list_of(WALL_FILTER_L, LIST_L);
    return seccomp_install(list_a->code, list_a->length, err);
}

/* What is free between the heap's pieces is spread over all of its pages, and a worker would copy each that it takes a
 * piece from: so they are taken here, for good, and every worker starts with one free piece at the top. The sizes are
 * those that malloc keeps lists of. */
static bool level_heap(struct cell *cell, struct err *err)
{
    if (!cell->helpers) return true;
    malloc_trim(0);
    const char *top = (char *)sbrk(0) - mallinfo2().keepcost;
    for (size_t size = 64 * 1024; size >= 24; size = size > 2048 ? size / 2 : size - 8) {
        const char *piece;
        do piece = malloc(size);
        while (piece && piece < top);
    }
    return true;
}

static bool out_of_memory_first(struct cell *cell, struct err *err)
{
    return limits_oom(err);
}

bool cell_set_up(struct cell *cell, struct err *err)
{
    /* clang-format off */
    static bool (*const steps[])(struct cell *, struct err *) = {
        ids, out_of_memory_first, plugin, helpers, warm_json, numbers, root,
        privileges, no_new_privileges, no_new_code, no_dumps, die_with_runner, filters, level_heap};
    /* clang-format on */
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (!steps[i](cell, err)) return false;
    return true;
}
