/* SPDX-License-Identifier: Apache-2.0 */
/* age from standard input to standard output, for comparing it with others: age-tool encrypt RECIPIENT…, or decrypt FILE
 * (of identities). The exit status is the error's kind. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

static bool decrypt(const char *file, struct err *err)
{
    static struct age_reader reader;
    static char text[16384], piece[7777];
    struct age_keys keys = {0};
    size_t got = 1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0) return err_sys(err, ERR_IO, "no identities");
    if (!age_add_identities(text, &keys, err) || !age_open(&reader, 0, &keys, err)) return false;
    while (got) {
        if (!age_read(&reader, piece, sizeof piece, &got, err)) return false;
        if (write(1, piece, got) < 0) return err_sys(err, ERR_IO, "cannot write");
    }
    return true;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    bool good = key_library(&err) && argc > 2 &&
                (strcmp(argv[1], "encrypt") == 0 ? encrypt(argc - 2, argv + 2, &err) : decrypt(argv[2], &err));
    if (!good) fprintf(stderr, "age-tool: %s\n", err.text);
    return good ? 0 : (int)err.kind + 1;
}
