/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup by attribute: what a function opens is closed on every way out of it. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

static inline void auto_close(int *fd)
{
    if (*fd >= 0) close(*fd);
}

static inline void auto_free(void *slot)
{
    free(*(void **)slot);
}

/* A descriptor or heap block owned by this scope. */
#define FD_AUTO __attribute__((cleanup(auto_close))) int
#define FREE_AUTO __attribute__((cleanup(auto_free)))

/* Hands the thing over: the scope no longer owns it. */
#define take_fd(slot)                                                                                                  \
    __extension__({                                                                                                    \
        int taken_ = *(slot);                                                                                          \
        *(slot) = -1;                                                                                                  \
        taken_;                                                                                                        \
    })
#define take(slot)                                                                                                     \
    __extension__({                                                                                                    \
        __auto_type taken_ = *(slot);                                                                                  \
        *(slot) = NULL;                                                                                                \
        taken_;                                                                                                        \
    })

/* Unlinks a descriptor's number from its owner and closes it; -1 stays -1. */
static inline void close_fd(int *fd)
{
    auto_close(fd);
    *fd = -1;
}
