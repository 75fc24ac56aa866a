/* SPDX-License-Identifier: Apache-2.0 */
/* C2SP signed notes, read strictly: where the text ends, who signed it, and what it says when it is a checkpoint. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"

enum { NOTE_MOST = 1 << 20, NOTE_LINES = 100, NOTE_NAME = 128 };

/* ── any note ──────────────────────────────────────────────────────────────────────────────────────── */

struct note_parts {
    const char *text, *lines; /* what is signed, its last newline included; the signature lines */
    size_t text_length, lines_length;
};
/* Valid UTF-8 without control characters, a text, an empty line, 1 to NOTE_LINES well-formed signature lines. */
bool note_split(const char *bytes, size_t length, struct note_parts *parts, struct err *err);

/* The algorithm byte of a verifier key: a log's Ed25519 signature, a witness's cosignature with its time. */
enum note_kind { NOTE_LOG = 1, NOTE_WITNESS = 4 };
struct note_signer {
    char name[NOTE_NAME];
    uint8_t kind, id[4], key[32];
    unsigned good; /* good lines of the note that note_check saw last */
    uint64_t time; /* witness: seconds since 1970, as its last good line says */
};
/* A verifier key: NAME+HASH+BASE64(kind, key). */
bool signer_parse(const char *vkey, struct note_signer *signer, struct err *err);
bool signer_same(const struct note_signer *one, const struct note_signer *other);
/* Did the old key itself name the new one? Both as verifier keys; sign: the signature in hexadecimal. */
bool roll_vouched(const char *old, const char *new, const char *sign, const uint8_t key[32]);
/* Fills in good and time of each signer; lines of others are passed over. false: a line that claims to be by one of
 * them is bad, and then nothing that the note says counts. That nobody signed it is for the caller to see. */
bool note_check(const struct note_parts *parts, struct note_signer *signers, unsigned count, struct err *err);

/* ── a checkpoint ──────────────────────────────────────────────────────────────────────────────────── */

struct audit_note {
    const char *text; /* what is signed, within the note */
    size_t text_length;
    uint64_t size;
    uint8_t root[HASH_BYTES];
};

/* Decimal without a leading zero, at most 2^63 - 1. */
bool note_number(const char *text, size_t length, uint64_t *number);
/* Padded standard base64 and nothing else; at most room bytes. */
bool note_base64(const char *text, size_t length, uint8_t *bytes, size_t room, size_t *count);
/* Exactly one hash in it. */
bool note_hash(const char *text, size_t length, uint8_t hash[HASH_BYTES]);
/* The next line without its newline; false: there is no whole line any more. */
bool note_line(const char **at, const char *end, const char **line, size_t *length);

/* Origin, size and root, then lines of other logs' own that are not empty. origin NULL: any. */
bool checkpoint_parse(const struct note_parts *parts, const char *origin, struct audit_note *note, struct err *err);
/* Exactly origin, size and root, each with a newline, an empty line, then signature lines. */
bool note_read(const char *bytes, size_t length, const char *origin, struct audit_note *note, struct err *err);
/* Every line by that name and key must be good, and there must be one; other signers' lines are passed over. */
bool note_signed(const char *bytes, size_t length, const struct audit_note *note, const char *name,
                 const uint8_t key[32], struct err *err);
