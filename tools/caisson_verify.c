/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-verify: for an auditor, apart from everything that writes the log. */
#include "verify.h"

int main(int count, char **words)
{
    return verify_main(count, words);
}
