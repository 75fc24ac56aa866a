/* SPDX-License-Identifier: Apache-2.0 */
/* For the executable (or the library before libc) of a process that uses the helpers: libcurl 7.88 insists on
 * connect(2) for a stream that is connected already, and on Internet addresses at both of its ends. A stream that is
 * no Internet socket is a relay: connecting it is done, and its ends have addresses from 198.18.0.0/15. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static int is_relay(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static int made_up(struct sockaddr *address, socklen_t *size, uint32_t number)
{
    struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(number)};
    memcpy(address, &made, *size < sizeof made ? *size : sizeof made);
    *size = sizeof made;
    return 0;
}

EXPORTED int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    if (address && size >= sizeof address->sa_family && address->sa_family == AF_INET && is_relay(fd)) return 0;
    return (int)syscall(SYS_connect, fd, address, size);
}

EXPORTED int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    if (is_relay(fd)) return made_up(address, size, 0xc6120001); /* 198.18.0.1 */
    return (int)syscall(SYS_getpeername, fd, address, size);
}

EXPORTED int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    if (is_relay(fd)) return made_up(address, size, 0xc6120002); /* 198.18.0.2 */
    return (int)syscall(SYS_getsockname, fd, address, size);
}
