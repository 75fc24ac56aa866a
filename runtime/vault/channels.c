/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' credential pipes: checked before anything secret goes in, and written once. */
#include "channels.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

void channels_init(struct channels *channels)
{
    channels->top = 0;
    for (unsigned i = 0; i < CHANNELS; i++) channels->list[i] = (struct channel){.fd = -1};
}

struct channel *channel_find(struct channels *channels, uint32_t number)
{
    for (unsigned i = 0; i < channels->top; i++)
        if (channels->list[i].fd >= 0 && channels->list[i].number == number) return &channels->list[i];
    return NULL;
}

struct channel *channel_add(struct channels *channels, uint32_t number, int fd)
{
    unsigned place = 0;
    if (channel_find(channels, number)) return NULL;
    while (place < channels->top && channels->list[place].fd >= 0) place++;
    if (place == CHANNELS) return NULL;
    if (place == channels->top) channels->top++;
    channels->list[place] = (struct channel){.fd = fd, .number = number};
    return &channels->list[place];
}

void channel_close(struct channel *channel)
{
    close_fd(&channel->fd);
    *channel = (struct channel){.fd = -1};
}

void channels_close_all(struct channels *channels)
{
    for (unsigned i = 0; i < channels->top; i++)
        if (channels->list[i].fd >= 0) channel_close(&channels->list[i]);
    channels->top = 0;
}

bool pipe_usable(int fd, struct err *err)
{
    struct stat what;
    int flags = fcntl(fd, F_GETFL), waiting = -1;
    if (fstat(fd, &what) < 0 || !S_ISFIFO(what.st_mode))
        return err_set(err, ERR_PROTOCOL, "the credential channel is not a pipe");
    if (flags < 0 || (flags & O_ACCMODE) != O_WRONLY || !(flags & O_NONBLOCK))
        return err_set(err, ERR_PROTOCOL, "the credential pipe is not a write end that never blocks");
    if (ioctl(fd, FIONREAD, &waiting) < 0 || waiting != 0)
        return err_set(err, ERR_PROTOCOL, "something stands in the credential pipe already");
    return true;
}

bool pipe_write(int fd, const void *frame, size_t size, struct err *err)
{
    ssize_t put;
    if (!pipe_usable(fd, err)) return false;
    do put = write(fd, frame, size);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)size) return true;
    return put < 0 ? err_sys(err, ERR_CRASHED, "the worker does not read its credential pipe")
                   : err_set(err, ERR_PROTOCOL, "the credential pipe took only a part of the frame");
}
