/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever text goes into an event, one line comes out, and it is one JSON object. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "fuzz.h"

static void expect_line(int file)
{
    char line[LOG_LINE + 1];
    struct err err = {0};
    JSON_AUTO *object = NULL;
    ssize_t got = pread(file, line, sizeof line, 0);
    MUST(got > 1 && got <= LOG_LINE && memchr(line, '\n', (size_t)got) == line + got - 1);
    MUST(json_read(line, (size_t)got, LOG_LINE, &object, &err) && json_is_object(object));
    MUST(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static int file = -1;
    static char text[8192];
    if (file < 0) {
        file = memfd_create("log", MFD_CLOEXEC);
        log_to(file);
    }
    if (length >= sizeof text) return 0;
    memcpy(text, bytes, length);
    text[length] = '\0';
    log_event(LOG_LEVEL_ERROR, "one", log_text("text", text), log_number("length", length));
    expect_line(file);
    log_event(LOG_LEVEL_ERROR, "many", log_text("a", text), log_text("b", text), log_secret("c"), log_text("d", text),
              log_text("e", text), log_truth("f", length > 5));
    expect_line(file);
    return 0;
}
