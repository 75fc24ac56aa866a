/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at the start of text, 1 to 4; 0 where no whole, well-formed one stands. */
size_t utf8_step(const char *text, size_t length);
bool utf8_valid(const char *text, size_t length);
/* Code points of a well-formed text. */
size_t utf8_count(const char *text, size_t length);
