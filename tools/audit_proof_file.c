/* SPDX-License-Identifier: Apache-2.0 */
/* Proof files, read strictly and written. */
#include "audit_proof_file.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "audit_note.h"
#include "base/auto.h"

static const char head[] = "c2sp.org/tlog-proof@v1", extra_word[] = "extra ", index_word[] = "index ",
                  old_word[] = "old ";

static bool starts(const char *line, size_t length, const char *word)
{
    return length >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* "index 12": the number behind the word. */
static bool numbered(const char *line, size_t length, const char *word, uint64_t *number)
{
    size_t skip = strlen(word);
    return starts(line, length, word) && note_number(line + skip, length - skip, number);
}

/* Hashes up to the empty line; what follows is the checkpoint. */
static bool read_hashes(const char *at, const char *end, struct proof_file *file, struct err *err)
{
    const char *line;
    size_t length;
    while (note_line(&at, end, &line, &length)) {
        if (length == 0) {
            file->note = at;
            file->note_length = (size_t)(end - at);
            return true;
        }
        if (file->proof.count == PROOF_MOST || !note_hash(line, length, file->proof.hashes[file->proof.count++])) break;
    }
    return err_set(err, ERR_DAMAGED, "it is not in the form of a proof: after its head come hashes and an empty line");
}

bool proof_file_read(const char *bytes, size_t length, struct proof_file *file, struct err *err)
{
    const char *at = bytes, *end = bytes + length, *line;
    size_t count;
    memset(file, 0, sizeof *file);
    if (length > NOTE_MOST) return err_set(err, ERR_DAMAGED, "it is too long for a proof");
    if (!note_line(&at, end, &line, &count) || count != sizeof head - 1 || !starts(line, count, head))
        return err_set(err, ERR_DAMAGED, "it does not begin with the line %s", head);
    bool more = note_line(&at, end, &line, &count);
    if (more && starts(line, count, extra_word)) {
        file->extra = line + sizeof extra_word - 1;
        file->extra_length = count - (sizeof extra_word - 1);
        more = note_line(&at, end, &line, &count);
    }
    if (!more || !numbered(line, count, index_word, &file->number))
        return err_set(err, ERR_DAMAGED, "it does not say which entry it proves");
    return read_hashes(at, end, file, err);
}

bool growth_file_read(const char *bytes, size_t length, struct proof_file *file, struct err *err)
{
    const char *at = bytes, *end = bytes + length, *line;
    size_t count;
    memset(file, 0, sizeof *file);
    if (length > NOTE_MOST) return err_set(err, ERR_DAMAGED, "it is too long for a proof");
    if (!note_line(&at, end, &line, &count) || !numbered(line, count, old_word, &file->number))
        return err_set(err, ERR_DAMAGED, "it does not begin with the word old and a size");
    return read_hashes(at, end, file, err);
}

bool proof_file_extra(const struct proof_file *file, uint8_t *bytes, size_t room, size_t *count, struct err *err)
{
    return note_base64(file->extra, file->extra_length, bytes, room, count) ||
           err_set(err, ERR_DAMAGED, "its extra data is no base64, or too much");
}

static bool add_base64(struct buf *out, const void *bytes, size_t count)
{
    size_t room = sodium_base64_encoded_len(count, sodium_base64_VARIANT_ORIGINAL);
    FREE_AUTO char *text = malloc(room);
    if (!text) return false;
    sodium_bin2base64(text, room, bytes, count, sodium_base64_VARIANT_ORIGINAL);
    return buf_text(out, text) && buf_text(out, "\n");
}

static bool add_rest(const struct proof *proof, const char *note, size_t note_length, struct buf *out)
{
    for (unsigned i = 0; i < proof->count; i++)
        if (!add_base64(out, proof->hashes[i], HASH_BYTES)) return false;
    return buf_text(out, "\n") && buf_add(out, note, note_length);
}

bool proof_file_write(uint64_t index, const struct proof *proof, const void *extra, size_t extra_count,
                      const char *note, size_t note_length, struct buf *out)
{
    if (!buf_print(out, "%s\n", head)) return false;
    if (extra && !(buf_text(out, extra_word) && add_base64(out, extra, extra_count))) return false;
    return buf_print(out, "%s%llu\n", index_word, (unsigned long long)index) && add_rest(proof, note, note_length, out);
}

bool growth_file_write(uint64_t old_size, const struct proof *proof, const char *note, size_t note_length,
                       struct buf *out)
{
    return buf_print(out, "%s%llu\n", old_word, (unsigned long long)old_size) &&
           add_rest(proof, note, note_length, out);
}
