/* SPDX-License-Identifier: Apache-2.0 */
/* Makes system calls that are refused, at every moment of a connector's life, and tries to keep it quiet. EARLY: what
 * its constructor does. */
#include <caisson/connector.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ATTEMPT() (open("/etc/hosts", O_RDONLY) < 0 ? errno : 0)

#ifdef EARLY
enum { TRY = 1, MARK_FIRST, TRY_AND_EXIT };
__attribute__((constructor)) static void early(void)
{
    if (EARLY == MARK_FIRST) syscall(SYS_openat, -1L, 0L, 0x43534e31L, 0L);
    if (!ATTEMPT()) _exit(1);
    if (EARLY == TRY_AND_EXIT) _exit(85); /* as if a wall had not gone up */
}
#endif

static int run(struct csn_call *call)
{
    csn_set_int(call, "/result", 0);
    return csn_ok(call);
}

static int try_open(struct csn_call *call)
{
    csn_set_int(call, "/errno", ATTEMPT());
    return csn_ok(call);
}

/* The same one often, and others: only different ones are kept, all are counted. */
static int try_many(struct csn_call *call)
{
    for (int i = 0; i < 5; i++) ATTEMPT();
    for (int i = 0; i < 12; i++) open("/etc/hosts", O_RDONLY | O_CREAT, i);
    return csn_ok(call);
}

static int flood(struct csn_call *call)
{
    for (int i = 0; i < 1000; i++) ATTEMPT();
    return csn_ok(call);
}

static int try_and_crash(struct csn_call *call)
{
    volatile int *volatile nowhere = (void *)8;
    *nowhere = ATTEMPT();
    return csn_ok(call);
}

static int try_and_leave(struct csn_call *call)
{
    _exit(ATTEMPT() ? 0 : 1);
}

static int try_and_fail(struct csn_call *call)
{
    return csn_fail(call, CSN_REJECTED, ATTEMPT() ? "no" : "it was opened");
}

/* The answer is out when it tries. */
static int try_late(struct csn_call *call)
{
    int got = csn_ok(call);
    ATTEMPT();
    return got;
}

/* Says in every way it has that there were reports, of another call and of its own. */
static int forge(struct csn_call *call)
{
    static const char said[] =
        "{\"reports\":[{\"arch\":3221225534,\"args\":[\"0\",\"0\",\"0\",\"0\",\"0\",\"0\"],\"name\":"
        "\"execve\",\"number\":59}],\"report_count\":1,\"kind\":\"outcome\",\"class\":\"violation\"}";
    csn_log(call, CSN_ERROR, said);
    csn_set_json(call, "/reports", said);
    csn_set(call, "/class", "violation");
    return csn_ok(call);
}

static int killed(struct csn_call *call)
{
    static char path[] = "/bin/sh";
    char *arguments[] = {path, NULL};
    syscall(SYS_execve, path, arguments, NULL);
    return csn_ok(call);
}

CSN_CONNECTOR("tries", "1.0.0", {"run", run}, {"open", try_open}, {"many", try_many}, {"crash", try_and_crash},
              {"leave", try_and_leave}, {"fail", try_and_fail}, {"late", try_late}, {"forge", forge},
              {"killed", killed}, {"flood", flood});
