/* SPDX-License-Identifier: Apache-2.0 */
/* age's payload: ChaCha20-Poly1305 in chunks of 64 KiB whose nonces count, the last one marked. */
#include "age.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "age_header.h"

enum { NONCE = 12 };

static void nonce_of(uint64_t chunk, bool last, uint8_t nonce[NONCE])
{
    memset(nonce, 0, NONCE);
    for (int i = 0; i < 8; i++) nonce[NONCE - 2 - i] = (uint8_t)(chunk >> (8 * i));
    nonce[NONCE - 1] = last;
}

/* ── writing ───────────────────────────────────────────────────────────────────────────────────────────── */

bool age_put(int fd, const void *bytes, size_t length, struct err *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, (const char *)bytes + done, length - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return err_sys(err, ERR_IO, "the encrypted file cannot be written");
        done += (size_t)put;
    }
    return true;
}

bool age_begin(struct age_writer *writer, int fd, const struct age_keys *recipients, struct err *err)
{
    uint8_t file_key[AGE_FILE_KEY], nonce[AGE_PAYLOAD_NONCE];
    *writer = (struct age_writer){.fd = fd};
    if (recipients->count == 0) return err_set(err, ERR_USAGE, "nobody is named who could open it");
    randombytes_buf(file_key, sizeof file_key);
    randombytes_buf(nonce, sizeof nonce);
    age_payload_key(file_key, nonce, writer->key);
    bool good = age_put_header(fd, file_key, recipients, err) && age_put(fd, nonce, sizeof nonce, err);
    sodium_memzero(file_key, sizeof file_key);
    return good;
}

static bool put_chunk(struct age_writer *writer, bool last, struct err *err)
{
    uint8_t nonce[NONCE];
    nonce_of(writer->chunk++, last, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(writer->sealed, NULL, writer->plain, writer->used, NULL, 0, NULL, nonce,
                                              writer->key);
    size_t length = writer->used + AGE_TAG;
    writer->used = 0;
    return age_put(writer->fd, writer->sealed, length, err);
}

/* A full chunk waits: only what comes after it tells that it is not the last. */
bool age_write(struct age_writer *writer, const void *bytes, size_t length, struct err *err)
{
    const uint8_t *from = bytes;
    while (length) {
        if (writer->used == AGE_CHUNK && !put_chunk(writer, false, err)) return false;
        size_t room = AGE_CHUNK - writer->used, count = length < room ? length : room;
        memcpy(writer->plain + writer->used, from, count);
        writer->used += count;
        from += count;
        length -= count;
    }
    return true;
}

bool age_finish(struct age_writer *writer, struct err *err)
{
    bool good = put_chunk(writer, true, err);
    sodium_memzero(writer, sizeof *writer);
    return good;
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool fill(struct age_reader *reader, size_t wanted, struct err *err)
{
    while (reader->held < wanted) {
        ssize_t got = read(reader->fd, reader->sealed + reader->held, wanted - reader->held);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "the encrypted file cannot be read");
        if (got == 0) break;
        reader->held += (size_t)got;
    }
    return true;
}

bool age_open(struct age_reader *reader, int fd, const struct age_keys *identities, struct err *err)
{
    uint8_t file_key[AGE_FILE_KEY], nonce[AGE_PAYLOAD_NONCE];
    *reader = (struct age_reader){.fd = fd};
    if (!age_take_header(fd, identities, file_key, err)) return false;
    bool good = fill(reader, sizeof nonce, err);
    if (good && reader->held < sizeof nonce)
        good = err_set(err, ERR_MALFORMED, "the encrypted file ends with its header");
    if (good) {
        memcpy(nonce, reader->sealed, sizeof nonce);
        reader->held = 0;
        age_payload_key(file_key, nonce, reader->key);
    }
    sodium_memzero(file_key, sizeof file_key);
    return good;
}

/* One byte is read ahead: whether a chunk is the last one must be known before it is opened. */
static bool next_chunk(struct age_reader *reader, struct err *err)
{
    uint8_t nonce[NONCE];
    size_t whole = AGE_CHUNK + AGE_TAG;
    if (!fill(reader, whole + 1, err)) return false;
    bool last = reader->held <= whole;
    size_t length = last ? reader->held : whole;
    nonce_of(reader->chunk, last, nonce);
    bool sound = length >= AGE_TAG && (length > AGE_TAG || reader->chunk == 0) &&
                 crypto_aead_chacha20poly1305_ietf_decrypt(reader->plain, NULL, NULL, reader->sealed, length, NULL, 0,
                                                           nonce, reader->key) == 0;
    if (!sound) return err_set(err, ERR_DAMAGED, "the encrypted file was changed or cut");
    reader->chunk++;
    reader->last = last;
    reader->used = length - AGE_TAG;
    reader->at = 0;
    reader->held = last ? 0 : 1;
    reader->sealed[0] = reader->sealed[whole];
    return true;
}

bool age_read(struct age_reader *reader, void *bytes, size_t most, size_t *got, struct err *err)
{
    while (reader->at == reader->used && !reader->last)
        if (!next_chunk(reader, err)) return false;
    size_t left = reader->used - reader->at;
    *got = most < left ? most : left;
    memcpy(bytes, reader->plain + reader->at, *got);
    reader->at += *got;
    return true;
}

void age_close(struct age_reader *reader)
{
    sodium_memzero(reader, sizeof *reader);
}
