/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's headers, as hostile as they come: what passes has bounded facts, what fails has words, and the same bytes
 * are judged the same. Seeds are real shared objects, cut down to what the reader looks at. */
#include <string.h>

#include "fuzz.h"
#include "sandbox/elf_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct elf_facts facts = elf_check(bytes, length), again = elf_check(bytes, length);
    MUST(memcmp(&facts, &again, sizeof facts) == 0);
    MUST(facts.problem < ELF_PROBLEMS && elf_text(facts.problem)[0]);
    if (facts.problem != ELF_FINE) return 0;
    MUST(length >= 64 && memcmp(bytes, "\177ELF", 4) == 0);
    MUST(facts.code_segments >= 1 && facts.code_segments <= 32 && facts.libraries < 1u << ELF_LIBRARIES);
    for (unsigned i = 0; i < ELF_LIBRARIES; i++) MUST(elf_library_name((enum elf_library)i)[0]);
    return 0;
}
