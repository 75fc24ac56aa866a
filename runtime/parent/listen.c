/* SPDX-License-Identifier: Apache-2.0 */
/* Binding, with an error that names the address and what to do about it. */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/text.h"

enum { BACKLOG = 512, HANDED_FIRST = 3, HANDED_MOST = 16 };

/* ── unix ──────────────────────────────────────────────────────────────────────────────────────────── */

/* The lock is ours, so a socket that still lies there is a dead daemon's; anything else is somebody's file. */
static bool make_room(const char *path, struct err *err)
{
    struct stat status;
    if (lstat(path, &status) < 0) return errno == ENOENT || err_sys(err, ERR_IO, "%s cannot be looked at", path);
    if (!S_ISSOCK(status.st_mode)) return err_set(err, ERR_EXISTS, "%s is there and is no socket: move it away", path);
    return unlink(path) == 0 || err_sys(err, ERR_IO, "the old socket %s cannot be removed", path);
}

static bool set_owner(const char *path, uint32_t mode, uint32_t group, struct err *err)
{
    if (group != UINT32_MAX && chown(path, (uid_t)-1, group) < 0)
        return err_sys(err, ERR_IO, "%s cannot be given to group %u", path, group);
    return chmod(path, mode) == 0 || err_sys(err, ERR_IO, "the mode of %s cannot be set", path);
}

static bool bind_unix(const char *path, struct sockaddr_un *address, int fd, struct err *err)
{
    if (!TEXT_COPY(address->sun_path, path))
        return err_set(err, ERR_USAGE,
                       "the socket's path %s is longer than %zu bytes: choose a shorter one in [Listen]", path,
                       sizeof address->sun_path - 1);
    mode_t before = umask(0177); /* nobody gets in before the mode is what it shall be */
    int failed = bind(fd, (struct sockaddr *)address, sizeof *address);
    umask(before);
    return failed == 0 || err_sys(err, ERR_IO, "the socket %s cannot be made", path);
}

static bool open_unix(const struct home *home, const char *wanted, uint32_t mode, uint32_t group, int *fd,
                      char made[LISTEN_PATH], struct err *err)
{
    char path[2 * CONFIG_PATH];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    FD_AUTO socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (wanted[0] == '/')
        snprintf(path, sizeof path, "%s", wanted);
    else
        snprintf(path, sizeof path, "%s/%s", home->path, wanted);
    if (socket_fd < 0) return err_sys(err, ERR_IO, "no socket can be made");
    if (!make_room(path, err) || !bind_unix(path, &address, socket_fd, err) || !set_owner(path, mode, group, err))
        return false;
    if (listen(socket_fd, BACKLOG) < 0) return err_sys(err, ERR_IO, "nothing can listen on %s", path);
    snprintf(made, LISTEN_PATH, "%s", path);
    *fd = take_fd(&socket_fd);
    return true;
}

/* ── tcp ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool open_tcp(const struct config_tcp *tcp, int *fd, struct err *err)
{
    int one = 1;
    FD_AUTO socket_fd = socket(tcp->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_fd < 0) return err_sys(err, ERR_IO, "no socket can be made for %s", tcp->text);
    setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (tcp->address.ss_family == AF_INET6) setsockopt(socket_fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(socket_fd, (const struct sockaddr *)&tcp->address, tcp->length) < 0 || listen(socket_fd, BACKLOG) < 0) {
        if (errno == EADDRINUSE)
            return err_sys(err, ERR_EXISTS,
                           "the address %s is in use: stop the other program, or change Tcp=", tcp->text);
        return err_sys(err, ERR_IO, "nothing can listen on %s", tcp->text);
    }
    *fd = take_fd(&socket_fd);
    return true;
}

/* ── handed over ───────────────────────────────────────────────────────────────────────────────────── */

/* The name of descriptor index in LISTEN_FDNAMES ("a:b:c"). */
static bool handed_name(unsigned index, const char *name)
{
    const char *names = getenv("LISTEN_FDNAMES");
    for (; names && index > 0; index--) {
        names = strchr(names, ':');
        if (names) names++;
    }
    return names && strcspn(names, ":") == strlen(name) && strncmp(names, name, strlen(name)) == 0;
}

static void take_handed(int fd, unsigned index, struct listeners *listeners)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (address.ss_family != AF_UNIX && listeners->tcp_count < CONFIG_TCP)
        listeners->tcp[listeners->tcp_count++] = fd;
    else if (address.ss_family == AF_UNIX && handed_name(index, "desk"))
        listeners->desk = fd;
    else if (address.ss_family == AF_UNIX)
        listeners->api = fd;
}

static void take_all_handed(struct listeners *listeners)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || strtol(pid, NULL, 10) != getpid()) return;
    long handed = strtol(count, NULL, 10);
    for (long i = 0; i < handed && i < HANDED_MOST; i++) take_handed(HANDED_FIRST + (int)i, (unsigned)i, listeners);
}

/* ── all ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool open_tls_file(const struct home *home, const char *path, int *fd, struct err *err)
{
    *fd = openat(home->folder, path, O_RDONLY | O_CLOEXEC);
    return *fd >= 0 || err_sys(err, ERR_IO, "%s (TLS) cannot be opened", path);
}

static bool open_all(const struct config *config, const struct home *home, struct listeners *listeners, struct err *err)
{
    bool handed_tcp = listeners->tcp_count > 0;
    if (config->certificate[0] && (!open_tls_file(home, config->certificate, &listeners->certificate, err) ||
                                   !open_tls_file(home, config->key, &listeners->key, err)))
        return false;
    for (unsigned i = 0; i < config->tcp_count && !handed_tcp; i++)
        if (!open_tcp(&config->tcp[i], &listeners->tcp[listeners->tcp_count++], err)) return false;
    return (listeners->api >= 0 || open_unix(home, config->api_socket, config->api_mode, UINT32_MAX, &listeners->api,
                                             listeners->api_path, err)) &&
           (listeners->desk >= 0 || open_unix(home, config->desk_socket, config->desk_mode, config->desk_gid,
                                              &listeners->desk, listeners->desk_path, err));
}

/* Sockets of systemd's choice are as reachable as those of the file: without TLS only this machine may come in. */
static bool check_handed(const struct listeners *listeners, struct err *err)
{
    for (unsigned i = 0; i < listeners->tcp_count; i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        if (getsockname(listeners->tcp[i], (struct sockaddr *)&address, &length) < 0)
            return err_sys(err, ERR_IO, "a socket that was handed over cannot be looked at");
        if (!config_loopback(&address) && listeners->certificate < 0)
            return err_set(err, ERR_BAD_INPUT,
                           "a socket that was handed over is reachable from outside: give "
                           "TlsCertificate= and TlsKey=");
    }
    return true;
}

bool listen_open(const struct config *config, const struct home *home, struct listeners *listeners, struct err *err)
{
    struct listeners fresh = {.api = -1, .desk = -1, .certificate = -1, .key = -1};
    for (int i = 0; i < CONFIG_TCP; i++) fresh.tcp[i] = -1;
    take_all_handed(&fresh);
    if (open_all(config, home, &fresh, err) && check_handed(&fresh, err)) {
        *listeners = fresh;
        return true;
    }
    listen_close(&fresh);
    return false;
}

void listen_close(struct listeners *listeners)
{
    if (listeners->api_path[0]) unlink(listeners->api_path);
    if (listeners->desk_path[0]) unlink(listeners->desk_path);
    close_fd(&listeners->api);
    close_fd(&listeners->desk);
    close_fd(&listeners->certificate);
    close_fd(&listeners->key);
    for (int i = 0; i < CONFIG_TCP; i++) close_fd(&listeners->tcp[i]);
}
