/* SPDX-License-Identifier: Apache-2.0 */
/* age from standard input to standard output, for comparing it with others: age-tool encrypt RECIPIENT…, or decrypt FILE
 * (of identities); flips FILE: is every changed and every missing byte of the input noticed? The exit status is the error's
 * kind. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "age.h"
#include "base/keyderive.h"

static bool encrypt(int count, char **words, struct err *err)
{
    static struct age_writer writer;
    static char piece[100000];
    struct age_keys keys = {0};
    ssize_t got;
    for (int i = 0; i < count; i++)
        if (!age_add_recipient(words[i], &keys, err)) return false;
    if (!age_begin(&writer, 1, &keys, err)) return false;
    while ((got = read(0, piece, sizeof piece)) > 0)
        if (!age_write(&writer, piece, (size_t)got, err)) return false;
    return age_finish(&writer, err);
}

static bool identities(const char *file, struct age_keys *keys, struct err *err)
{
    static char text[16384];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0) return err_sys(err, ERR_IO, "no identities");
    return age_add_identities(text, keys, err);
}

static bool open_whole(int from, int into, const struct age_keys *keys, struct err *err)
{
    static struct age_reader reader;
    static char piece[7777];
    size_t got = 1;
    if (!age_open(&reader, from, keys, err)) return false;
    while (got) {
        if (!age_read(&reader, piece, sizeof piece, &got, err)) return false;
        if (write(into, piece, got) < 0) return err_sys(err, ERR_IO, "cannot write");
    }
    return true;
}

static bool opens(const unsigned char *bytes, size_t length, int nothing, const struct age_keys *keys)
{
    struct err err = {0};
    int memory = memfd_create("age", MFD_CLOEXEC);
    bool good = write(memory, bytes, length) == (ssize_t)length && lseek(memory, 0, SEEK_SET) == 0 &&
                open_whole(memory, nothing, keys, &err);
    close(memory);
    return good;
}

static bool flips(const struct age_keys *keys, struct err *err)
{
    static unsigned char bytes[65536];
    ssize_t length = read(0, bytes, sizeof bytes);
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (length <= 0 || !opens(bytes, (size_t)length, nothing, keys)) return err_set(err, ERR_INTERNAL, "it does not open");
    for (ssize_t at = 0; at < length; at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (unsigned char)(1 << bit);
            if (opens(bytes, (size_t)length, nothing, keys)) return err_set(err, ERR_INTERNAL, "byte %zd, bit %d", at, bit);
            bytes[at] ^= (unsigned char)(1 << bit);
        }
        if (opens(bytes, (size_t)at, nothing, keys)) return err_set(err, ERR_INTERNAL, "cut to %zd bytes", at);
    }
    return true;
}

static bool decrypt(const char *how, const char *file, struct err *err)
{
    struct age_keys keys = {0};
    if (!identities(file, &keys, err)) return false;
    return strcmp(how, "flips") == 0 ? flips(&keys, err) : open_whole(0, 1, &keys, err);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    bool good = key_library(&err) && argc > 2 &&
                (strcmp(argv[1], "encrypt") == 0 ? encrypt(argc - 2, argv + 2, &err) : decrypt(argv[1], argv[2], &err));
    if (!good) fprintf(stderr, "age-tool: %s\n", err.text);
    return good ? 0 : (int)err.kind + 1;
}
