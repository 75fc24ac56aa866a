/* SPDX-License-Identifier: Apache-2.0 */
/* For clang-tidy only: says that the error verbs return false, which their bodies, elsewhere, would tell. */
#pragma once

#include "../../base/err.h"

#define err_set_at(...) (err_set_at(__VA_ARGS__), false)
#define err_sys_at(...) (err_sys_at(__VA_ARGS__), false)
#define err_in(...) (err_in(__VA_ARGS__), false)
