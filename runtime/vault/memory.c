/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for secrets: memfd_secret where it works here, sodium_malloc elsewhere. */
#include "memory.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

enum { TRIED = 4096 };

/* The manual promises nothing about such memory and system calls; the vault reads random bytes into it and writes
 * frames out of it, so exactly that is tried. */
static bool calls_work(unsigned char *bytes, size_t size)
{
    unsigned char back[TRIED];
    int ends[2];
    size_t count = size < sizeof back ? size : sizeof back;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return false;
    FD_AUTO from = ends[0], into = ends[1];
    bool good = getrandom(bytes, 32, 0) == 32 && write(into, bytes, count) == (ssize_t)count &&
                read(from, back, count) == (ssize_t)count && memcmp(bytes, back, count) == 0;
    sodium_memzero(back, sizeof back);
    sodium_memzero(bytes, count);
    return good;
}

static bool open_secret(struct memory *memory, size_t size)
{
    size_t whole = (size + TRIED - 1) / TRIED * TRIED;
    FD_AUTO fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)whole) < 0) return false;
    void *bytes = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) return false;
    *memory = (struct memory){.bytes = bytes, .size = whole, .kind = MEMORY_SECRET};
    /* The mapping is shared, so it cannot be wiped in a child: it must not be there at all. */
    if (madvise(bytes, whole, MADV_DONTFORK) == 0 && madvise(bytes, whole, MADV_DONTDUMP) == 0 &&
        calls_work(bytes, whole))
        return true;
    memory_close(memory);
    return false;
}

static bool open_guarded(struct memory *memory, size_t size, struct err *err)
{
    size_t whole = (size + TRIED - 1) / TRIED * TRIED; /* whole pages, so that advice about them meets nothing else */
    void *bytes = sodium_malloc(whole);
    if (!bytes) return err_sys(err, ERR_IO, "no memory for keys can be had");
    sodium_memzero(bytes, whole);
    *memory = (struct memory){.bytes = bytes, .size = whole, .kind = MEMORY_GUARDED};
    if (sodium_mlock(bytes, whole) != 0 || madvise(bytes, whole, MADV_WIPEONFORK) < 0)
        return memory_close(memory),
               err_sys(err, ERR_IO, "memory for keys cannot be locked: raise the limit on locked memory");
    return true;
}

bool memory_open(struct memory *memory, size_t size, struct err *err)
{
    *memory = (struct memory){0};
    return open_secret(memory, size) || open_guarded(memory, size, err);
}

void memory_close(struct memory *memory)
{
    if (!memory->bytes) return;
    sodium_memzero(memory->bytes, memory->size);
    if (memory->kind == MEMORY_SECRET)
        munmap(memory->bytes, memory->size);
    else
        sodium_free(memory->bytes);
    *memory = (struct memory){0};
}
