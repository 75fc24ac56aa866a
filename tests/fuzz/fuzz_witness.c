/* SPDX-License-Identifier: Apache-2.0 */
/* What a witness answers, through a connector that is not trusted either, and its key as a configuration has it. The
 * lines' key is one whose secret half the seeds were made with. */
#include <string.h>

#include "fuzz.h"
#include "runtime/ledger/witness.h"

#define VKEY "w.example+3e6d1c1c+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char checkpoint[] = "log.example/1\n9\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    static struct witness_key key;
    struct witness_key read;
    struct err err = {0};
    struct buf text = {.bytes = (char *)checkpoint, .used = sizeof checkpoint - 1};
    BUF_AUTO line = {.max = 1024};
    char vkey[512];
    if (!key.name[0]) MUST(witness_key_read(VKEY, &key, &err));
    if (length && length < sizeof vkey) {
        memcpy(vkey, bytes, length);
        vkey[length] = '\0';
        if (witness_key_read(vkey, &read, &err)) MUST(read.name[0] && memchr(read.name, 0, sizeof read.name));
    }
    if (witness_check(&key, &text, (const char *)bytes, length, &line, &err)) {
        MUST(line.used > 4 && line.bytes[line.used - 1] == '\n' && memcmp(line.bytes, "\u2014 ", 4) == 0);
        MUST(memmem(bytes, length, line.bytes, line.used)); /* it stood in the answer, byte for byte */
        MUST(memcmp(line.bytes + 4, key.name, strlen(key.name)) == 0);
    }
    return 0;
}
