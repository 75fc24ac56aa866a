/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-verify's readers of what an auditor is handed: proof files, notes, entry bundles. */
#include <string.h>

#include "base/auto.h"
#include "fuzz.h"
#include "tools/audit_note.h"
#include "tools/audit_proof_file.h"
#include "tools/audit_tile.h"

static bool within(const void *part, size_t count, const uint8_t *bytes, size_t length)
{
    const uint8_t *from = part;
    return from >= bytes && from <= bytes + length && count <= (size_t)(bytes + length - from);
}

static void notes(const uint8_t *bytes, size_t length)
{
    static struct note_signer signers[2] = {{.name = "log.example/1", .kind = NOTE_LOG},
                                            {.name = "w.example", .kind = NOTE_WITNESS}};
    struct note_parts parts;
    struct audit_note note;
    struct err err = {0};
    if (!note_split((const char *)bytes, length, &parts, &err)) return;
    MUST(parts.text == (const char *)bytes && parts.text_length + 1 + parts.lines_length == length);
    MUST(parts.text[parts.text_length - 1] == '\n' && parts.lines[-1] == '\n' && parts.lines_length > 0);
    MUST(!memchr(bytes, 0, length) && !memchr(bytes, '\r', length));
    if (checkpoint_parse(&parts, NULL, &note, &err)) MUST(note.size <= INT64_MAX);
    if (note_check(&parts, signers, 2, &err)) MUST(!signers[0].good && !signers[1].good); /* nobody has those keys */
}

static void proofs(const uint8_t *bytes, size_t length)
{
    struct proof_file file;
    struct err err = {0};
    BUF_AUTO again;
    buf_init(&again, 1 << 21);
    if (growth_file_read((const char *)bytes, length, &file, &err)) {
        MUST(within(file.note, file.note_length, bytes, length) && file.proof.count <= PROOF_MOST);
        MUST(growth_file_write(file.number, &file.proof, file.note, file.note_length, &again));
        MUST(again.used == length && memcmp(again.bytes, bytes, length) == 0); /* one form only */
        return;
    }
    if (!proof_file_read((const char *)bytes, length, &file, &err)) return;
    MUST(within(file.note, file.note_length, bytes, length) && file.proof.count <= PROOF_MOST);
    FREE_AUTO uint8_t *extra = malloc(length + 1);
    size_t count = 0;
    if (file.extra && !proof_file_extra(&file, extra, length, &count, &err)) return;
    MUST(proof_file_write(file.number, &file.proof, file.extra ? extra : NULL, count, file.note, file.note_length,
                          &again));
    MUST(again.used == length && memcmp(again.bytes, bytes, length) == 0);
}

static void bundles(const uint8_t *bytes, size_t length)
{
    const uint8_t *at = bytes, *entry;
    size_t count, sum = 0;
    while (tile_next_entry(&at, bytes + length, &entry, &count)) {
        MUST(within(entry, count, bytes, length) && at == entry + count);
        sum += 2 + count;
    }
    MUST(sum == (size_t)(at - bytes));
}

static void keys(const uint8_t *bytes, size_t length)
{
    struct note_signer signer;
    struct err err = {0};
    FREE_AUTO char *text = strndup((const char *)bytes, length);
    if (text && signer_parse(text, &signer, &err))
        MUST(memchr(signer.name, 0, sizeof signer.name) && *signer.name && !strpbrk(signer.name, "+ \n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    notes(bytes, length);
    proofs(bytes, length);
    bundles(bytes, length);
    keys(bytes, length);
    return 0;
}
