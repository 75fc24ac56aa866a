/* SPDX-License-Identifier: Apache-2.0 */
/* Values from files, standard input and the terminal. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"

enum { CTRL_C = 3 };

static bool take_all(int fd, const char *what, struct buf *buf, struct err *err)
{
    char piece[4096];
    bool good = true;
    ssize_t got = 1;
    while (good && got != 0) {
        got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            good = err_sys(err, ERR_IO, "cannot read %s: %s", what, strerrordesc_np(errno));
        else if (!buf_add(buf, piece, (size_t)got))
            good = err_set(err, ERR_TOO_LARGE, "%s holds more than %zu bytes", what, buf->max);
    }
    explicit_bzero(piece, sizeof piece);
    return good;
}

bool source_read(const char *from, struct buf *buf, struct err *err)
{
    if (strcmp(from, "-") == 0) return take_all(STDIN_FILENO, "standard input", buf, err);
    FD_AUTO fd = open(from + 1, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %.200s: %s", from + 1,
                       strerrordesc_np(errno));
    return take_all(fd, from + 1, buf, err);
}

/* One line. Signals by keyboard are off, so that the echo is always put back: Ctrl-C ends the line as a byte of it. */
static bool take_line(int terminal, struct buf *buf, struct err *err)
{
    for (;;) {
        char c;
        ssize_t got = read(terminal, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || c == CTRL_C) return err_set(err, ERR_USAGE, "nothing was given");
        if (c == '\n') return true;
        if (!buf_add(buf, &c, 1)) return err_set(err, ERR_TOO_LARGE, "more than %zu bytes", buf->max);
    }
}

bool source_prompt(const char *question, bool secret, struct buf *buf, struct err *err)
{
    struct termios before;
    FD_AUTO terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal < 0 || tcgetattr(terminal, &before) < 0)
        return err_set(err, ERR_USAGE, "there is no terminal to ask on: give it by @FILE or -");
    struct termios quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ISIG | (secret ? ECHO : 0));
    quiet.c_cc[VEOL] = CTRL_C;
    if (tcsetattr(terminal, TCSAFLUSH, &quiet) < 0) return err_sys(err, ERR_IO, "cannot set the terminal up");
    dprintf(terminal, "%s: ", question);
    bool good = take_line(terminal, buf, err);
    tcsetattr(terminal, TCSAFLUSH, &before);
    if (secret || !good) dprintf(terminal, "\n");
    return good;
}

void source_chomp(struct buf *buf)
{
    if (buf->used && buf->bytes[buf->used - 1] == '\n') buf->bytes[--buf->used] = '\0';
    if (buf->used && buf->bytes[buf->used - 1] == '\r') buf->bytes[--buf->used] = '\0';
}

void source_shield(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
}
