/* SPDX-License-Identifier: Apache-2.0 */
/* Endings and misuses: crash, exit, hang, silence, two replies, floods, and what a leased worker remembers. */
#include <caisson/connector.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int calls;
static char kept[64];

static int run(struct csn_call *call)
{
    csn_set_int(call, "/calls", ++calls);
    csn_set(call, "/kept", kept);
    const char *secret = csn_secret(call, "token");
    snprintf(kept, sizeof kept, "%s", secret ? secret : "");
    return csn_ok(call);
}

static int crash(struct csn_call *call)
{
    volatile int *volatile nowhere = (void *)8;
    *nowhere = 1;
    return csn_ok(call);
}

static int leave(struct csn_call *call)
{
    _exit(3);
}

static int hang(struct csn_call *call)
{
    while (sleep(100) == 0) continue;
    return 0;
}

static int spin(struct csn_call *call)
{
    for (volatile long i = 0; i >= 0; i++) continue;
    return 0;
}

static int silent(struct csn_call *call)
{
    return 0;
}

static int twice(struct csn_call *call)
{
    csn_ok(call);
    csn_set_int(call, "/second", csn_ok(call));
    return csn_fail(call, CSN_REJECTED, "again");
}

/* A second reply past the services: written on the pipe itself. */
static int forge(struct csn_call *call)
{
    static const char frame[] = "\x02\x00\x00\x00\x03\x00\x01\x00" "0123456789abcdef" "{}";
    if (write(4, frame, sizeof frame - 1) < 0) return 0;
    return csn_ok(call);
}

static int prefix(struct csn_call *call)
{
    static const unsigned char frame[24] = {0xff, 0xff, 0xff, 0xff, 3, 0, 1, 0};
    if (write(4, frame, sizeof frame) < 0) return 0;
    while (sleep(100) == 0) continue;
    return 0;
}

static int bomb(struct csn_call *call)
{
    size_t got = 0;
    while (got < 200) {
        char *more = malloc(1 << 20);
        if (!more) break;
        memset(more, 1, 1 << 20);
        got++;
    }
    csn_set_int(call, "/megabytes", (int64_t)got);
    return csn_ok(call);
}

static int descriptors(struct csn_call *call)
{
    int pair[2], got = 0;
    while (got < 10000 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) got++;
    csn_set_int(call, "/pairs", got);
    return csn_ok(call);
}

static int log_it(struct csn_call *call)
{
    char line[512];
    csn_log(call, CSN_INFO, "plain\nline \x1b[31m");
    snprintf(line, sizeof line, "the token is %s", csn_secret(call, "token"));
    csn_log(call, CSN_INFO, line);
    csn_log(call, CSN_INFO, csn_input(call, "/text") ? csn_input(call, "/text") : "nothing");
    return csn_ok(call);
}

static int flood(struct csn_call *call)
{
    for (int i = 0; i < 100000; i++) open("/etc/passwd", O_RDONLY);
    return csn_ok(call);
}

static int dial(struct csn_call *call)
{
    int fd = csn_dial(call, "example.com", 443);
    csn_set_int(call, "/fd", fd);
    csn_set_int(call, "/errno", fd < 0 ? errno : 0);
    csn_set(call, "/problem", csn_problem(call));
    if (fd >= 0) {
        csn_commit(call);
        char back[8] = "";
        if (write(fd, "ping", 4) == 4 && read(fd, back, 4) == 4) csn_set(call, "/back", back);
    }
    return csn_ok(call);
}

static int values(struct csn_call *call)
{
    const void *bytes;
    size_t size;
    int64_t number = 0;
    csn_set(call, "/name", csn_input(call, "/a~1b/0"));
    csn_set_bool(call, "/bool", csn_bool(call, "/yes"));
    csn_set_int(call, "/count", csn_count(call, "/a~1b"));
    csn_set_int(call, "/int", csn_int(call, "/n", &number) ? number : -1);
    csn_set(call, "/key", csn_key(call, "", 1));
    csn_set_int(call, "/blob", csn_blob(call, "/blob", &bytes, &size) ? (int64_t)size : -1);
    csn_set_int(call, "/bad", csn_blob(call, "/bad", &bytes, &size));
    csn_set_json(call, "/deep/list/0", "{\"x\":[1,2]}");
    csn_set(call, "/deep/list/1", csn_setting(call, "/host"));
    csn_set(call, "/json", csn_json(call, "/a~1b"));
    csn_set(call, "/port", csn_setting(call, "/port"));
    csn_set_int(call, "/refused", csn_set(call, "/name/below", "x"));
    csn_set_int(call, "/left", csn_left_ms(call) > 0);
    return csn_ok(call);
}

static int fail(struct csn_call *call)
{
    csn_retry_after(call, 7);
    return csn_fail(call, CSN_RETRY, "later \xff please");
}

static int large(struct csn_call *call)
{
    char *text = malloc(70000);
    memset(text, 'x', 69999);
    text[69999] = 0;
    csn_set_int(call, "/set", csn_set(call, "/text", text));
    return csn_ok(call);
}

CSN_CONNECTOR("odd", "1.0.0", {"run", run}, {"crash", crash}, {"leave", leave}, {"hang", hang}, {"spin", spin},
              {"silent", silent}, {"twice", twice}, {"forge", forge}, {"prefix", prefix}, {"bomb", bomb},
              {"descriptors", descriptors}, {"log", log_it}, {"flood", flood}, {"dial", dial}, {"values", values},
              {"fail", fail}, {"large", large});
