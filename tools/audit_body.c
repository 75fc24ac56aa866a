/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one record strictly: what is not exactly in the log's form was not written by the ledger. */
#include "audit_body.h"

#include <endian.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/utf8.h"

enum { DEPTH = 8, BODY_LONGEST = 65535 };

struct cursor {
    const unsigned char *at, *end;
};
struct text {
    const char *bytes;
    size_t length;
    bool escaped;
    uint64_t head; /* of a key: head_of it */
};
/* The last two of an object, in turn: no copying from one to the other. */
struct keys {
    struct text two[2];
    unsigned turn;
};

static bool take_byte(struct cursor *cursor, unsigned char byte)
{
    if (cursor->at == cursor->end || *cursor->at != byte) return false;
    cursor->at++;
    return true;
}

static bool hex_digit(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool take_escape(struct cursor *cursor)
{
    if (cursor->at == cursor->end) return false;
    unsigned char c = *cursor->at++;
    if (c != 'u') return strchr("\"\\/bfnrt", c) != NULL && c != '\0';
    for (int i = 0; i < 4; i++)
        if (cursor->at == cursor->end || !hex_digit(*cursor->at++)) return false;
    return true;
}

/* The first quote, backslash or byte below a blank; looked for in many at once. */
static const unsigned char *next_special(const unsigned char *at, const unsigned char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(' ' - 1);
    for (__m128i bytes; (size_t)(end - at) >= sizeof bytes; at += sizeof bytes) {
        bytes = _mm_loadu_si128((const __m128i *)at);
        __m128i found = _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes);
        found = _mm_or_si128(found, _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)));
        if (_mm_movemask_epi8(found)) return at + __builtin_ctz((unsigned)_mm_movemask_epi8(found));
    }
#endif
    while (at < end && *at >= ' ' && *at != '"' && *at != '\\') at++;
    return at;
}

static bool take_string(struct cursor *cursor, struct text *text)
{
    if (!take_byte(cursor, '"')) return false;
    *text = (struct text){.bytes = (const char *)cursor->at};
    for (;;) {
        cursor->at = next_special(cursor->at, cursor->end);
        if (cursor->at == cursor->end || *cursor->at < ' ') return false;
        if (*cursor->at++ == '"') break;
        text->escaped = true;
        if (!take_escape(cursor)) return false;
    }
    text->length = (size_t)((const char *)cursor->at - text->bytes) - 1;
    return true;
}

/* -?(0|[1-9][0-9]*) that fits 64 signed bits; not -0. */
static bool take_integer(struct cursor *cursor, int64_t *value)
{
    bool minus = take_byte(cursor, '-');
    const unsigned char *first = cursor->at;
    uint64_t sum = 0, most = (uint64_t)INT64_MAX + minus;
    for (unsigned digit; cursor->at < cursor->end && (digit = *cursor->at - (unsigned)'0') <= 9; cursor->at++)
        sum = sum * 10 + digit;
    size_t digits = (size_t)(cursor->at - first);
    if (digits == 0 || digits > 19 || sum > most || (*first == '0' && (digits > 1 || minus))) return false;
    *value = minus ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

static bool skip_value(struct cursor *cursor, int depth);

/* The first eight bytes as a number of the same order. */
static uint64_t eight(const void *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return be64toh(word);
}

/* The same of a key, which may be shorter: zeros fill it up, which stand in no string. */
static uint64_t head_of(const struct text *key, const unsigned char *end)
{
    const unsigned char *bytes = (const unsigned char *)key->bytes;
    size_t length = key->length < 8 ? key->length : 8;
    uint64_t head = 0;
    if (length && end - bytes >= 8) return eight(bytes) & UINT64_MAX << (64 - 8 * length);
    for (size_t i = 0; i < length; i++) head |= (uint64_t)bytes[i] << (56 - 8 * i);
    return head;
}

static bool ascending(const struct text *before, const struct text *now)
{
    if (!before->bytes || before->head < now->head) return true;
    if (before->head > now->head) return false;
    size_t common = before->length < now->length ? before->length : now->length;
    int order = memcmp(before->bytes, now->bytes, common);
    return order < 0 || (order == 0 && before->length < now->length);
}

/* Key and colon of the next member, which must come after the one before. NULL: it does not. */
static const struct text *take_key(struct cursor *cursor, struct keys *keys)
{
    const struct text *before = &keys->two[keys->turn];
    struct text *key = &keys->two[keys->turn ^= 1];
    if (!take_string(cursor, key) || !take_byte(cursor, ':')) return NULL;
    key->head = head_of(key, cursor->end);
    return ascending(before, key) ? key : NULL;
}

static bool skip_object(struct cursor *cursor, int depth)
{
    struct keys keys = {0};
    if (take_byte(cursor, '}')) return true;
    do
        if (!take_key(cursor, &keys) || !skip_value(cursor, depth)) return false;
    while (take_byte(cursor, ','));
    return take_byte(cursor, '}');
}

static bool skip_array(struct cursor *cursor, int depth)
{
    if (take_byte(cursor, ']')) return true;
    do
        if (!skip_value(cursor, depth)) return false;
    while (take_byte(cursor, ','));
    return take_byte(cursor, ']');
}

static bool skip_value(struct cursor *cursor, int depth)
{
    struct text text;
    int64_t number;
    if (depth == DEPTH || cursor->at == cursor->end) return false;
    if (*cursor->at == '"') return take_string(cursor, &text);
    if (take_byte(cursor, '{')) return skip_object(cursor, depth + 1);
    if (take_byte(cursor, '[')) return skip_array(cursor, depth + 1);
    return take_integer(cursor, &number);
}

/* ── facts ─────────────────────────────────────────────────────────────────────────────────────────── */

enum fact_form { FACT_NUMBER, FACT_TEXT, FACT_ID, FACT_HASH };
static const struct fact {
    char key[16];
    size_t length;
    enum body_fact bit;
    enum fact_form form;
    size_t offset, size;
    const char *kind; /* of this kind of record only, whose name comes first */
} facts[] = {
/* in the order in which keys come */
#define FACT(name, bit, form, ...)                                                                                     \
    {                                                                                                                  \
#name, sizeof #name - 1, bit, form, offsetof(struct body, name), sizeof((struct body *)0)->name, __VA_ARGS__   \
    }
    FACT(about, BODY_ABOUT, FACT_HASH),
    FACT(act, BODY_ACT, FACT_TEXT),
    FACT(at, BODY_AT, FACT_NUMBER),
    FACT(attempt, BODY_ATTEMPT, FACT_NUMBER),
    FACT(call, BODY_CALL, FACT_ID),
    FACT(class, BODY_CLASS, FACT_TEXT),
    FACT(from, BODY_FROM, FACT_NUMBER),
    FACT(intent, BODY_INTENT, FACT_NUMBER),
    FACT(kind, BODY_KIND, FACT_TEXT),
    FACT(new, BODY_NEW, FACT_TEXT, "key_roll"),
    FACT(old, BODY_OLD, FACT_TEXT, "key_roll"),
    FACT(old_origin, BODY_OLD_ORIGIN, FACT_TEXT, "epoch"),
    FACT(payload, BODY_PAYLOAD, FACT_TEXT),
    FACT(personal, BODY_PERSONAL, FACT_HASH),
    FACT(sent, BODY_SENT, FACT_TEXT),
    FACT(sign, BODY_SIGN, FACT_TEXT, "key_roll"),
    FACT(stays, BODY_STAYS, FACT_NUMBER, "prune"),
    FACT(target, BODY_TARGET, FACT_TEXT, "epoch"),
    FACT(to, BODY_TO, FACT_NUMBER),
    FACT(v, BODY_V, FACT_NUMBER),
    FACT(what, BODY_WHAT, FACT_TEXT, "prune"),
    FACT(workspace_id, BODY_WORKSPACE, FACT_ID, "intent"),
#undef FACT
};
enum { FACTS = sizeof facts / sizeof *facts };

/* Keys ascend as facts do, so that none before *from can come any more. */
static const struct fact *find_fact(const struct text *key, size_t *from)
{
    while (*from < FACTS && eight(facts[*from].key) < key->head) ++*from;
    const struct fact *fact = *from < FACTS ? &facts[*from] : NULL;
    if (!fact || eight(fact->key) != key->head || fact->length != key->length) return NULL;
    return key->length <= 8 || memcmp(fact->key, key->bytes, key->length) == 0 ? fact : NULL;
}

static bool keep_text(struct cursor *cursor, const struct fact *fact, unsigned char *slot)
{
    char copy[HASH_TEXT];
    struct text text;
    if (!take_string(cursor, &text) || text.escaped) return false;
    if (text.length >= (fact->form == FACT_TEXT ? fact->size : sizeof copy)) return false;
    char *to = fact->form == FACT_TEXT ? (char *)slot : copy;
    memcpy(to, text.bytes, text.length);
    to[text.length] = '\0';
    if (fact->form == FACT_ID) return id_parse(copy, slot);
    return fact->form == FACT_TEXT || (text.length == HASH_TEXT - 1 && hex_parse(copy, slot, HASH_BYTES));
}

static bool take_member(struct cursor *cursor, const struct text *key, size_t *from, struct body *body)
{
    const struct fact *fact = find_fact(key, from);
    if (!fact || (fact->kind && strcmp(fact->kind, body->kind) != 0)) return skip_value(cursor, 1);
    unsigned char *slot = (unsigned char *)body + fact->offset;
    body->seen |= (uint32_t)fact->bit;
    if (fact->form != FACT_NUMBER) return keep_text(cursor, fact, slot);
    int64_t number;
    if (!take_integer(cursor, &number)) return false;
    memcpy(slot, &number, sizeof number);
    return true;
}

/* Nearly every record is ASCII, and eight bytes at once are seen as such much sooner than one by one. */
static bool ascii(const unsigned char *bytes, size_t length)
{
    uint64_t high = 0, word;
    size_t at = 0;
    for (; at + sizeof word <= length; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        high |= word;
    }
    for (; at < length; at++) high |= bytes[at];
    return !(high & UINT64_C(0x8080808080808080));
}

/* flatten: what is called here is so short that a tenth of the whole verification would be calls. */
__attribute__((flatten)) bool body_read(const unsigned char *bytes, size_t length, struct body *body, struct err *err)
{
    struct cursor cursor = {bytes, bytes + length};
    struct keys keys = {0};
    const struct text *key;
    size_t from = 0;
    memset(body, 0, sizeof *body);
    if (length > BODY_LONGEST || (!ascii(bytes, length) && !utf8_valid((const char *)bytes, length)))
        return err_set(err, ERR_DAMAGED, "its bytes are too long or no UTF-8");
    bool good = take_byte(&cursor, '{');
    do good = good && (key = take_key(&cursor, &keys)) && take_member(&cursor, key, &from, body);
    while (good && take_byte(&cursor, ','));
    if (!good || !take_byte(&cursor, '}') || cursor.at != cursor.end)
        return err_set(err, ERR_DAMAGED, "its bytes are not in the log's form");
    uint32_t needed = BODY_AT | BODY_KIND | BODY_V;
    if ((body->seen & needed) != needed) return err_set(err, ERR_DAMAGED, "it lacks its kind, version or time");
    if (body->v != 1)
        return err_set(err, ERR_STATE, "it is in format %lld: a newer caisson is needed", (long long)body->v);
    return true;
}

static const char *const kinds[] = {"?",     "intent",   "outcome", "refused", "incident", "admin",  "erase",
                                    "prune", "key_roll", "gap",     "recover", "lease",    "opened", "epoch"};

int64_t body_kind_number(const char *name)
{
    for (size_t i = 1; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], name) == 0) return (int64_t)i;
    return 0;
}

const char *body_kind_name(int64_t number)
{
    return number > 0 && (size_t)number < sizeof kinds / sizeof *kinds ? kinds[number] : "?";
}
