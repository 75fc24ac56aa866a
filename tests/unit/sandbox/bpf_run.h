/* SPDX-License-Identifier: Apache-2.0 */
/* A classic BPF machine for tests: what the kernel would answer, without asking the kernel. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* No generator here makes an instruction that is not below, and none runs off the end: both stop the test. trail: NULL,
 * or a byte for each instruction, set where the run came by. */
static inline uint32_t bpf_trace(const struct sock_filter *code, unsigned length, const struct seccomp_data *data,
                                 uint8_t *trail)
{
    uint32_t a = 0, memory[16] = {0}, x = 0;
    for (unsigned at = 0; at < length; at++) {
        const struct sock_filter *one = &code[at];
        if (trail) trail[at] = 1;
        switch (one->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (one->k + 4 > sizeof *data || one->k % 4) abort();
            memcpy(&a, (const char *)data + one->k, 4);
            break;
        case BPF_LD | BPF_MEM: a = memory[one->k & 15]; break;
        case BPF_LD | BPF_IMM: a = one->k; break;
        case BPF_ST: memory[one->k & 15] = a; break;
        case BPF_ALU | BPF_AND | BPF_K: a &= one->k; break;
        case BPF_MISC | BPF_TAX: x = a; break;
        case BPF_MISC | BPF_TXA: a = x; break;
        case BPF_JMP | BPF_JA: at += one->k; break;
        case BPF_JMP | BPF_JEQ | BPF_K: at += a == one->k ? one->jt : one->jf; break;
        case BPF_JMP | BPF_JGE | BPF_K: at += a >= one->k ? one->jt : one->jf; break;
        case BPF_JMP | BPF_JGT | BPF_K: at += a > one->k ? one->jt : one->jf; break;
        case BPF_RET | BPF_K: return one->k;
        default: abort();
        }
    }
    abort();
}

static inline uint32_t bpf_run(const struct sock_filter *code, unsigned length, const struct seccomp_data *data)
{
    return bpf_trace(code, length, data, NULL);
}
