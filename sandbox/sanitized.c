/* SPDX-License-Identifier: Apache-2.0 */
/* Sanitised builds only: looking for leaks at exit takes ptrace and clone, which every list forbids. */
const char *__asan_default_options(void);
__attribute__((visibility("default"), used)) const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
