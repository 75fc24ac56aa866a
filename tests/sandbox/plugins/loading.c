/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that misbehave while they are loaded; HOW chooses which. */
#include <caisson/connector.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if HOW == 9
int chosen(void);
#endif

static int run(struct csn_call *call)
{
#if HOW == 9
    csn_set_int(call, "/chosen", chosen());
#endif
    return csn_ok(call);
}

#if HOW == 1 /* hangs */
__attribute__((constructor)) static void begin(void) { for (;;) sleep(100); }
#elif HOW == 2 /* crashes */
__attribute__((constructor)) static void begin(void) { volatile int *volatile nowhere = (void *)8; *nowhere = 1; }
#elif HOW == 3 /* exits with success */
__attribute__((constructor)) static void begin(void) { _exit(0); }
#elif HOW == 4 /* imitates the mark of being loaded, then hangs */
#include <sys/syscall.h>
__attribute__((constructor)) static void begin(void)
{
    syscall(SYS_openat, -1L, 0L, 0x43534e31L, 0L);
    for (;;) sleep(100);
}
#elif HOW == 8 /* writes a reply before there is a call */
__attribute__((constructor)) static void begin(void)
{
    static const char frame[] = "\x0e\x00\x00\x00\x03\x00\x01\x00" "0123456789abcdef" "{\"class\":\"ok\"}";
    if (write(4, frame, sizeof frame - 1) < 0) _exit(1);
}
#elif HOW == 9 /* an ifunc resolver opens a file */
static int plain(void) { return 1; }
static int (*resolve(void))(void)
{
    if (open("/etc/passwd", O_RDONLY) >= 0) _exit(2);
    return plain;
}
int chosen(void) __attribute__((ifunc("resolve")));
#endif

#if HOW == 5 /* another ABI */
static const struct csn_action actions[] = {{"run", run}};
CSN_EXPORT extern const struct csn_connector csn_connector_1;
CSN_EXPORT const struct csn_connector csn_connector_1 = {99, sizeof csn_connector_1, sizeof *actions, 1, "x", "1", actions};
#elif HOW == 6 /* no symbol */
CSN_EXPORT int (*const nothing)(struct csn_call *) = run;
#elif HOW == 7 /* pointers into nowhere */
CSN_EXPORT extern const struct csn_connector csn_connector_1;
CSN_EXPORT const struct csn_connector csn_connector_1 = {CSN_ABI, sizeof csn_connector_1, sizeof(struct csn_action), 1000,
                                                         "x", "1", (const struct csn_action *)0x123456};
static int (*const used)(struct csn_call *) __attribute__((used)) = run;
#else
CSN_CONNECTOR("loading", "1.0.0", {"run", run});
#endif
