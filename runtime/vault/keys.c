/* SPDX-License-Identifier: Apache-2.0 */
/* The master key's children, and keys and fields under keys: XChaCha20-Poly1305, bound to their place. */
#include "keys.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

/* ── the master key ────────────────────────────────────────────────────────────────────────────────── */

/* The owner says who could read it: root, or whoever this process is. */
static bool check_file(int fd, struct err *err)
{
    struct stat file;
    if (fd < 0) return err_set(err, ERR_STATE, "no master key was handed over: run caisson init");
    if (fstat(fd, &file) < 0) return err_sys(err, ERR_IO, "cannot look at the master key file");
    if (!S_ISREG(file.st_mode)) return err_set(err, ERR_STATE, "the master key is not a regular file");
    if ((file.st_mode & 07777) != 0600 && (file.st_mode & 07777) != 0400)
        return err_set(err, ERR_STATE, "others may read the master key file: make its mode 0600");
    if (file.st_uid != 0 && file.st_uid != geteuid())
        return err_set(err, ERR_STATE,
                       "the master key file belongs to another user: it must be root's or the daemon's own");
    if (file.st_size != MASTER_FILE_BYTES)
        return err_set(err, ERR_MALFORMED, "the master key file does not have its size: restore it from its backup");
    return true;
}

enum { FORMER_S = 600 }; /* as old as a submission may be (submit.h) */

/* The provider's half, through a pipe whose other end only the provider's helper has. Its end without a frame is a
 * failure: what was wrong stands in the helper's own last words. */
static bool read_share(int fd, struct share_frame *frame, struct err *err)
{
    static const char magic[sizeof frame->magic] = "caisson-share-1";
    uint64_t deadline = clock_now() + SHARE_WAIT_S * CLOCK_S;
    size_t got = 0;
    while (got < sizeof *frame) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        int ready = poll(&one, 1, clock_left_ms(deadline));
        if (ready < 0 && errno == EINTR) continue;
        ssize_t more = ready > 0 ? read(fd, (char *)frame + got, sizeof *frame - got) : 0;
        if (more < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (more <= 0) return err_set(err, ERR_UNAVAILABLE, "the key provider did not hand over its share");
        got += (size_t)more;
    }
    return memcmp(frame->magic, magic, sizeof magic) == 0 ||
           err_set(err, ERR_PROTOCOL, "the key provider's share is not one");
}

static bool read_master(const struct keys *keys, int fd, uint8_t master[KEY_BYTES], struct err *err)
{
    char text[MASTER_FILE_BYTES + 1];
    if (!check_file(fd, err)) return false;
    sodium_mlock(text, sizeof text); /* a moment only; sodium_munlock() wipes */
    ssize_t got = pread(fd, text, sizeof text, 0);
    bool good = got < 0 ? err_sys(err, ERR_IO, "cannot read the master key file")
                        : master_parse_half(text, (size_t)got, keys->has_share ? keys->store->share : NULL, master, err);
    sodium_munlock(text, sizeof text);
    return good;
}

/* Kept for the next master key, whose file will hold a half too. */
static bool take_share(struct keys *keys, int fd, struct err *err)
{
    struct share_frame frame;
    if (fd < 0) return true;
    sodium_mlock(&frame, sizeof frame); /* a moment only; sodium_munlock() wipes */
    keys->has_share = read_share(fd, &frame, err);
    if (keys->has_share) memcpy(keys->store->share, frame.share, KEY_BYTES);
    sodium_munlock(&frame, sizeof frame);
    return keys->has_share;
}

bool keys_open(struct keys *keys, int master_fd, int share_fd, struct err *err)
{
    if (!key_library(err) || !memory_open(&keys->memory, sizeof *keys->store, err)) return false;
    keys->store = keys->memory.bytes;
    uint8_t *master = keys->store->work.opened;
    bool good = take_share(keys, share_fd, err) && read_master(keys, master_fd, master, err);
    if (good) {
        key_wrapping(master, KEY_VERSION, keys->store->wrapping);
        key_submission(master, KEY_VERSION, keys->submission_public, keys->store->submission);
        key_identity(master, KEY_VERSION, keys->identity_public, keys->store->identity);
    }
    keys_wipe(keys);
    if (!good) keys_close(keys);
    return good;
}

/* ── the next one ──────────────────────────────────────────────────────────────────────────────────── */

static bool same_key(const uint8_t a[KEY_BYTES], const uint8_t b[KEY_BYTES])
{
    return sodium_memcmp(a, b, KEY_BYTES) == 0;
}

bool keys_open_next(struct keys *keys, int master_fd, struct err *err)
{
    uint8_t *master = keys->store->work.opened;
    struct key_next *next = &keys->store->next;
    uint8_t *wrapping = keys->store->work.workspace;
    bool good = read_master(keys, master_fd, master, err);
    if (good) key_wrapping(master, KEY_VERSION, wrapping);
    if (good && same_key(wrapping, keys->store->wrapping))
        good = err_set(err, ERR_STATE, "it is the same key as the one in use");
    if (good && keys->has_next && !same_key(wrapping, next->wrapping)) /* it may have wrapped something already */
        good = err_set(err, ERR_STATE, "it is another next key than before: put the file back that was there");
    if (good) {
        memcpy(next->wrapping, wrapping, KEY_BYTES);
        key_submission(master, KEY_VERSION, keys->next_public, next->submission);
        key_identity(master, KEY_VERSION, keys->next_identity, next->identity);
        keys->has_next = true;
    }
    keys_wipe(keys);
    return good;
}

bool keys_is_next(struct keys *keys, int master_fd, bool *next, struct err *err)
{
    struct key_work *work = &keys->store->work;
    bool good = read_master(keys, master_fd, work->opened, err);
    if (good) {
        key_wrapping(work->opened, KEY_VERSION, work->workspace);
        *next = keys->has_next && same_key(work->workspace, keys->store->next.wrapping);
        if (!*next && !same_key(work->workspace, keys->store->wrapping))
            good = err_set(err, ERR_STATE, "it is neither the key in use nor the next one");
    }
    keys_wipe(keys);
    return good;
}

void keys_promote(struct keys *keys, uint64_t now_s)
{
    struct key_store *store = keys->store;
    memcpy(store->former_submission, store->submission, KEY_BYTES);
    memcpy(keys->former_public, keys->submission_public, KEY_BYTES);
    keys->former_until = now_s + FORMER_S;
    memcpy(store->wrapping, store->next.wrapping, KEY_BYTES);
    memcpy(store->submission, store->next.submission, KEY_BYTES);
    memcpy(keys->submission_public, keys->next_public, KEY_BYTES);
    memcpy(store->identity, store->next.identity, KEY_SIGN_SECRET);
    memcpy(keys->identity_public, keys->next_identity, KEY_BYTES);
    sodium_memzero(&store->next, sizeof store->next);
    keys->has_next = false;
}

uint64_t keys_expire(struct keys *keys, uint64_t now_s)
{
    if (!keys->former_until) return 0;
    if (now_s < keys->former_until) return keys->former_until - now_s;
    sodium_memzero(keys->store->former_submission, KEY_BYTES);
    keys->former_until = 0;
    return 0;
}

static void mark(const uint8_t wrapping[KEY_BYTES], struct key_mark *mark)
{
    static const uint8_t tag[] = "caisson key check 1";
    _Static_assert(sizeof mark->name == KEY_ID_BYTES, "a key's name is its id");
    key_id_secret(wrapping, mark->name);
    crypto_generichash(mark->check, sizeof mark->check, tag, sizeof tag, wrapping, KEY_BYTES);
}

void keys_marks(const struct keys *keys, struct key_mark *now, struct key_mark *next)
{
    mark(keys->store->wrapping, now);
    if (keys->has_next)
        mark(keys->store->next.wrapping, next);
    else
        memset(next, 0, sizeof *next);
}

const uint8_t *keys_outer(const struct keys *keys, const struct wrapped *wrapped)
{
    uint8_t id[KEY_ID_BYTES];
    if (!keys->has_next) return keys->store->wrapping;
    key_id_secret(keys->store->next.wrapping, id);
    return memcmp(wrapped->bytes + WRAP_NAME_AT, id, sizeof id) == 0 ? keys->store->next.wrapping
                                                                     : keys->store->wrapping;
}

bool keys_open_workspace(const struct keys *keys, const uint8_t workspace[ID_BYTES], const struct wrapped *wrapped,
                         uint8_t out[KEY_BYTES], struct err *err)
{
    struct key_context context = {.purpose = FOR_WORKSPACE_KEY, .workspace = workspace};
    return key_unwrap(keys_outer(keys, wrapped), &context, wrapped, out, err);
}

void keys_wipe(struct keys *keys)
{
    sodium_memzero(&keys->store->work, sizeof keys->store->work);
}

void keys_close(struct keys *keys)
{
    memory_close(&keys->memory);
    keys->store = NULL;
}

/* ── what a ciphertext is bound to ─────────────────────────────────────────────────────────────────── */

struct binding {
    size_t used;
    uint8_t bytes[512];
};

static void bind_piece(struct binding *binding, const void *piece, size_t length)
{
    uint8_t *at = binding->bytes + binding->used;
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(length >> (8 * i));
    if (length) memcpy(at + 4, piece, length);
    binding->used += 4 + length;
}

/* Every piece with its length in front, so that no two contexts can read alike. */
static void bind_context(struct binding *binding, const struct key_context *context, const uint8_t *key_id)
{
    static const char format[] = "caisson vault 1";
    uint8_t version[4];
    _Static_assert(8 * 4 + sizeof format + 32 + 2 * ID_BYTES + 4 + NAME_BYTES + HASH_BYTES + KEY_ID_BYTES <
                       sizeof binding->bytes,
                   "every context must fit");
    for (int i = 0; i < 4; i++) version[i] = (uint8_t)(context->version >> (8 * i));
    binding->used = 0;
    bind_piece(binding, format, sizeof format - 1);
    bind_piece(binding, context->purpose, strnlen(context->purpose, 32));
    bind_piece(binding, context->workspace, context->workspace ? ID_BYTES : 0);
    bind_piece(binding, context->credential, context->credential ? ID_BYTES : 0);
    bind_piece(binding, version, sizeof version);
    bind_piece(binding, key_id, key_id ? KEY_ID_BYTES : 0);
    bind_piece(binding, context->field, context->field ? strnlen(context->field, NAME_BYTES) : 0);
    bind_piece(binding, context->audience, context->audience ? HASH_BYTES : 0);
}

/* ── keys under keys ───────────────────────────────────────────────────────────────────────────────── */

enum { WRAP_FORMAT = 1, WRAP_XCHACHA20_POLY1305 = 1, NONCE = 24, TAG = 16, COMMITMENT = 32 };
static const char wrap_magic[4] = {'C', 'S', 'N', 'W'};

struct wrap_layout {
    char magic[4];
    uint16_t format, algorithm;
    uint32_t key_version, reserved;
    uint8_t key_id[KEY_ID_BYTES]; /* of the wrapping key */
    uint8_t nonce[NONCE];
    uint8_t sealed[KEY_BYTES + TAG];
    uint8_t commitment[COMMITMENT]; /* Poly1305 does not commit to its key: this does */
};
_Static_assert(sizeof(struct wrap_layout) == WRAP_BYTES, "a wrapped key has a fixed size");
_Static_assert(offsetof(struct wrap_layout, key_id) == WRAP_NAME_AT, "the ledger reads under which key it is");

static void commit(const uint8_t outer[KEY_BYTES], const struct wrap_layout *layout, const struct binding *binding,
                   uint8_t commitment[COMMITMENT])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, outer, KEY_BYTES, COMMITMENT);
    crypto_generichash_update(&state, (const uint8_t *)layout, offsetof(struct wrap_layout, sealed));
    crypto_generichash_update(&state, binding->bytes, binding->used);
    crypto_generichash_final(&state, commitment, COMMITMENT);
    sodium_memzero(&state, sizeof state);
}

void key_wrap(const uint8_t outer[KEY_BYTES], const struct key_context *context, const uint8_t inner[KEY_BYTES],
              struct wrapped *wrapped)
{
    struct wrap_layout layout = {
        .format = WRAP_FORMAT, .algorithm = WRAP_XCHACHA20_POLY1305, .key_version = KEY_VERSION};
    struct binding binding;
    memcpy(layout.magic, wrap_magic, sizeof wrap_magic);
    key_id_secret(outer, layout.key_id);
    randombytes_buf(layout.nonce, sizeof layout.nonce);
    bind_context(&binding, context, layout.key_id);
    commit(outer, &layout, &binding, layout.commitment);
    crypto_aead_xchacha20poly1305_ietf_encrypt(layout.sealed, NULL, inner, KEY_BYTES, binding.bytes, binding.used, NULL,
                                               layout.nonce, outer);
    memcpy(wrapped->bytes, &layout, sizeof layout);
}

static bool layout_known(const struct wrap_layout *layout)
{
    return memcmp(layout->magic, wrap_magic, sizeof wrap_magic) == 0 && layout->format == WRAP_FORMAT &&
           layout->algorithm == WRAP_XCHACHA20_POLY1305 && layout->key_version == KEY_VERSION && layout->reserved == 0;
}

bool key_unwrap(const uint8_t outer[KEY_BYTES], const struct key_context *context, const struct wrapped *wrapped,
                uint8_t inner[KEY_BYTES], struct err *err)
{
    struct wrap_layout layout;
    struct binding binding;
    uint8_t id[KEY_ID_BYTES], commitment[COMMITMENT];
    memcpy(&layout, wrapped->bytes, sizeof layout);
    if (!layout_known(&layout))
        return err_set(err, ERR_STATE, "a stored key has a form that this release does not know");
    key_id_secret(outer, id);
    if (memcmp(id, layout.key_id, sizeof id) != 0)
        return err_set(err, ERR_STATE,
                       "a stored key was made under another key than the one in use: was the master key replaced?");
    bind_context(&binding, context, layout.key_id);
    commit(outer, &layout, &binding, commitment);
    if (sodium_memcmp(commitment, layout.commitment, sizeof commitment) != 0 ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(inner, NULL, NULL, layout.sealed, sizeof layout.sealed,
                                                   binding.bytes, binding.used, layout.nonce, outer) != 0)
        return err_set(err, ERR_STATE, "a stored key is damaged or belongs somewhere else");
    return true;
}

/* ── fields ────────────────────────────────────────────────────────────────────────────────────────── */

static size_t padded_size(size_t length)
{
    return (sizeof(uint32_t) + length + FIELD_CLASS - 1) / FIELD_CLASS * FIELD_CLASS;
}

size_t field_sealed_size(size_t length)
{
    return FIELD_OVERHEAD + padded_size(length);
}

bool field_seal(const uint8_t key[KEY_BYTES], const struct key_context *context, const void *value, size_t length,
                unsigned char *padded, unsigned char *sealed)
{
    struct binding binding;
    uint32_t said = (uint32_t)length;
    size_t size = padded_size(length);
    if (field_sealed_size(length) > SEALED_MAX) return false;
    memset(padded, 0, size);
    memcpy(padded, &said, sizeof said);
    if (length) memcpy(padded + sizeof said, value, length);
    randombytes_buf(sealed, NONCE);
    bind_context(&binding, context, NULL);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE, NULL, padded, size, binding.bytes, binding.used, NULL,
                                               sealed, key);
    sodium_memzero(padded, size);
    return true;
}

bool field_open(const uint8_t key[KEY_BYTES], const struct key_context *context, const unsigned char *sealed,
                size_t sealed_length, unsigned char *padded, const unsigned char **value, size_t *length)
{
    struct binding binding;
    uint32_t said;
    if (sealed_length < FIELD_OVERHEAD + FIELD_CLASS || sealed_length > SEALED_MAX) return false;
    size_t size = sealed_length - FIELD_OVERHEAD;
    bind_context(&binding, context, NULL);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(padded, NULL, NULL, sealed + NONCE, sealed_length - NONCE,
                                                   binding.bytes, binding.used, sealed, key) != 0)
        return false;
    memcpy(&said, padded, sizeof said);
    if (said > size - sizeof said) return false;
    *value = padded + sizeof said;
    *length = said;
    return true;
}
