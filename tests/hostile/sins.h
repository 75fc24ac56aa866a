/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts by name: what the hostile corpus' connectors have in common. A connector's own file ends with
 *
 *     static const struct sin files[] = {{"passwd", open_passwd}, …, {0}};
 *     const struct sin *const sin_tables[] = {files, NULL};
 *     CSN_CONNECTOR("sins-a", "1.0.0", {"try", sins_try});
 *
 * and is linked with sins.c. The driver (at.py) asks for {"try": ["passwd", …]}. Before each attempt the connector
 * logs "try NAME", after it "got NAME RESULT NUMBER": so that it is known what a worker was at when it ended. */
#pragma once

#include <caisson/connector.h>

/* One attempt: what run does, or without it the system call number with these args. item: of the corpus, so that the
 * driver may ask for {"list": item} (at.names). A result below 0 is minus errno: it was refused. */
struct sin {
    const char *name;
    long (*run)(struct csn_call *call);
    int item;
    long number, args[6];
};
extern const struct sin *const sin_tables[];
/* clang-format off */
#define DO(item, name, call, ...) {name, NULL, item, SYS_##call, {__VA_ARGS__}}
#define DO_NUMBER(item, name, number, ...) {name, NULL, item, number, {__VA_ARGS__}}
#define FN(item, name, run, ...) {name, run, item, 0, {__VA_ARGS__}} /* run may look at sins_running()->args */
/* clang-format on */
#define P(pointer) ((long)(pointer))

/* The action "try". Besides names of the tables it knows "nr-N": the system call N without arguments. Answers {"tries":
 * [{"what", "result", "errno"}]} as well, or {"names": […]} of a list. */
int sins_try(struct csn_call *call);
/* The attempt that runs. */
const struct sin *sins_running(void);
/* Logs "note NAME text" for the attempt that runs: what a number cannot say. Formatted as printf does. */
void sins_note(struct csn_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A member of the action's input, or otherwise when there is none. */
long sins_number(struct csn_call *call, const char *pointer, long otherwise);

/* One system call past libc; minus errno when it failed. Its number is kept for the "got" line. */
long sins_raw(long number, long a, long b, long c, long d, long e, long f);
#define RAW0(n) sins_raw(SYS_##n, 0, 0, 0, 0, 0, 0)
#define RAW1(n, a) sins_raw(SYS_##n, (long)(a), 0, 0, 0, 0, 0)
#define RAW2(n, a, b) sins_raw(SYS_##n, (long)(a), (long)(b), 0, 0, 0, 0)
#define RAW3(n, a, b, c) sins_raw(SYS_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define RAW4(n, a, b, c, d) sins_raw(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define RAW5(n, a, b, c, d, e) sins_raw(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define RAW6(n, a, b, c, d, e, f) sins_raw(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* The number of a call that was not made by sins_raw (an instruction, a libc function); result as it came. */
long sins_made(long number, long result);
