/* SPDX-License-Identifier: Apache-2.0 */
/* Two providers without a network: a passphrase (Argon2id), and a systemd credential that is a key by itself. */
#include "provider.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SALT = crypto_pwhash_SALTBYTES, NONCE = 24, TAG = 16, BLOB = SALT + NONCE + KEY_BYTES + TAG };
enum { CREDENTIAL_LEAST = 32 };
/* What new wraps cost, and what an old one may ask for: checked before any work. */
enum { PASSES = 3, MEMORY_KIB = 256 * 1024, PASSES_MOST = 16, MEMORY_LEAST_KIB = 19456, MEMORY_MOST_KIB = 1024 * 1024 };

/* ── the key of a secret ───────────────────────────────────────────────────────────────────────────────── */

static bool cost_of(const char *version, unsigned long long *passes, size_t *memory_kib, struct err *err)
{
    unsigned t, m;
    char again[PROVIDER_VERSION];
    if (sscanf(version, "argon2id-t%3u-m%8u", &t, &m) == 2 &&
        snprintf(again, sizeof again, "argon2id-t%u-m%u", t, m) > 0 && strcmp(again, version) == 0 && t >= 1 &&
        t <= PASSES_MOST && m >= MEMORY_LEAST_KIB && m <= MEMORY_MOST_KIB) {
        *passes = t;
        *memory_kib = m;
        return true;
    }
    return err_set(err, ERR_BAD_INPUT, "keys/provider.share asks for a key derivation outside of the limits");
}

static bool stretch(struct provider_job *job, const uint8_t salt[SALT], uint8_t key[KEY_BYTES], struct err *err)
{
    unsigned long long passes = 0;
    size_t memory_kib = 0;
    if (!cost_of(job->row.version, &passes, &memory_kib, err)) return false;
    return crypto_pwhash(key, KEY_BYTES, job->secret, job->secret_length, salt, passes, memory_kib * 1024,
                         crypto_pwhash_ALG_ARGON2ID13) == 0 ||
           err_set(err, ERR_BUSY, "there is not enough memory to derive the passphrase's key (%zu MiB)",
                   memory_kib / 1024);
}

/* A credential is random already: no stretching, and never a short one. */
static bool whole_key(struct provider_job *job, const uint8_t salt[SALT], uint8_t key[KEY_BYTES], struct err *err)
{
    static const char label[] = "caisson systemd credential 1";
    crypto_generichash_state state;
    if (job->secret_length < CREDENTIAL_LEAST)
        return err_set(err, ERR_BAD_INPUT, "the credential holds fewer than %d bytes: make it with openssl rand -hex 32",
                       CREDENTIAL_LEAST);
    crypto_generichash_init(&state, salt, SALT, KEY_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)label, sizeof label);
    crypto_generichash_update(&state, (const uint8_t *)job->secret, job->secret_length);
    crypto_generichash_final(&state, key, KEY_BYTES);
    sodium_memzero(&state, sizeof state);
    return true;
}

/* ── one layout for both ───────────────────────────────────────────────────────────────────────────────── */

typedef bool make_key(struct provider_job *job, const uint8_t salt[SALT], uint8_t key[KEY_BYTES], struct err *err);

/* The row's other lines are what the ciphertext is bound to. */
static size_t bound_to(const struct share_row *row, char text[256])
{
    return (size_t)snprintf(text, 256, "%s\n%s\n%s", row->provider, row->version, row->share_id);
}

static bool seal(struct provider_job *job, make_key *make, struct err *err)
{
    uint8_t key[KEY_BYTES], *blob = job->row.blob;
    char bound[256];
    randombytes_buf(blob, SALT + NONCE);
    if (!make(job, blob, key, err)) return false;
    crypto_aead_xchacha20poly1305_ietf_encrypt(blob + SALT + NONCE, NULL, job->share, KEY_BYTES, (uint8_t *)bound,
                                               bound_to(&job->row, bound), NULL, blob + SALT, key);
    sodium_memzero(key, sizeof key);
    job->row.length = BLOB;
    return true;
}

static bool open_sealed(struct provider_job *job, make_key *make, const char *wrong, struct err *err)
{
    uint8_t key[KEY_BYTES];
    const uint8_t *blob = job->row.blob;
    char bound[256];
    if (job->row.length != BLOB) return err_set(err, ERR_MALFORMED, "keys/provider.share is damaged");
    if (!make(job, blob, key, err)) return false;
    bool good = crypto_aead_xchacha20poly1305_ietf_decrypt(
                    job->share, NULL, NULL, blob + SALT + NONCE, KEY_BYTES + TAG, (uint8_t *)bound,
                    bound_to(&job->row, bound), blob + SALT, key) == 0;
    sodium_memzero(key, sizeof key);
    return good || err_set(err, ERR_DENIED, "%s", wrong);
}

/* ── passphrase ────────────────────────────────────────────────────────────────────────────────────────── */

static bool passphrase_version(struct provider_job *job, char version[PROVIDER_VERSION], struct err *err)
{
    uint32_t kib = job->config.megabytes ? job->config.megabytes * 1024 : MEMORY_KIB;
    snprintf(version, PROVIDER_VERSION, "argon2id-t%d-m%u", PASSES, kib);
    return true;
}

/* One line break at the end of a file is not part of what somebody typed. */
static bool passphrase_prepare(struct provider_job *job, struct err *err)
{
    if (job->secret_length && job->secret[job->secret_length - 1] == '\n') job->secret_length--;
    return job->secret_length > 0 || err_set(err, ERR_BAD_INPUT, "the passphrase is empty");
}

static bool passphrase_wrap(struct provider_job *job, struct err *err)
{
    return passphrase_version(job, job->row.version, err) && seal(job, stretch, err);
}

static bool passphrase_unwrap(struct provider_job *job, struct err *err)
{
    return open_sealed(job, stretch, "the passphrase is wrong, or keys/provider.share is damaged", err);
}

const struct provider provider_passphrase = {
    .name = "passphrase",
    .walls = WALL_VAULT,
    .needs_secret = true,
    .prepare = passphrase_prepare,
    .wrap = passphrase_wrap,
    .unwrap = passphrase_unwrap,
    .version = passphrase_version,
};

/* ── systemd credential ────────────────────────────────────────────────────────────────────────────────── */

/* Which credential it is: another one has another name, so a replaced one is noticed. */
static bool systemd_version(struct provider_job *job, char version[PROVIDER_VERSION], struct err *err)
{
    static const uint8_t none[SALT];
    uint8_t key[KEY_BYTES], id[KEY_ID_BYTES];
    if (!whole_key(job, none, key, err)) return false;
    key_id_secret(key, id);
    sodium_memzero(key, sizeof key);
    hex_text(id, sizeof id, version);
    return true;
}

static bool systemd_wrap(struct provider_job *job, struct err *err)
{
    return systemd_version(job, job->row.version, err) && seal(job, whole_key, err);
}

static bool systemd_unwrap(struct provider_job *job, struct err *err)
{
    return open_sealed(job, whole_key, "the credential is another one than the share was wrapped with", err);
}

const struct provider provider_systemd = {
    .name = "systemd",
    .walls = WALL_VAULT,
    .needs_secret = true,
    .wrap = systemd_wrap,
    .unwrap = systemd_unwrap,
    .version = systemd_version,
};
