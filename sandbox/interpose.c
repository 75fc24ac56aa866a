/* SPDX-License-Identifier: Apache-2.0 */
/* Three socket calls that libcurl makes on a relay's end, answered by the cell's own program: linked libraries find
 * these before libc's. Enforcement is the filter's; this only keeps honest code going. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define EXPORTED __attribute__((visibility("default")))

/* libcurl keeps a connection for reuse only when it can name its two ends: 198.18.0.0/15 is nobody's (RFC 2544). */
static int invent(int fd, struct sockaddr *address, socklen_t *length, uint32_t host)
{
    struct sockaddr_in made = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)(1024 + fd)), .sin_addr.s_addr = htonl(host + (uint32_t)fd)};
    socklen_t room;
    if (fd < 0 || !address || !length) return errno = EINVAL, -1;
    room = *length < sizeof made ? *length : (socklen_t)sizeof made;
    memcpy(address, &made, room);
    *length = sizeof made;
    return 0;
}

EXPORTED int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    return 0; /* the relay is connected already */
}

EXPORTED int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
    return invent(fd, address, length, 0xc6120000);
}

EXPORTED int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
    return invent(fd, address, length, 0xc6130000);
}
