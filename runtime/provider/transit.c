/* SPDX-License-Identifier: Apache-2.0 */
/* Vault's or OpenBao's transit engine: wraps with a key that never leaves it. */
#include "provider.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/auto_json.h"

enum { BASE64 = sodium_base64_ENCODED_LEN(PROVIDER_TEXT, sodium_base64_VARIANT_ORIGINAL), PATH = 512 };

/* Names become a part of the path: nothing that could lead elsewhere. */
static bool plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_'))
            return false;
    return text[0] != '\0';
}

static bool transit_prepare(struct provider_job *job, struct err *err)
{
    if (!job->config.mount[0]) memcpy(job->config.mount, "transit", sizeof "transit");
    if (!plain(job->config.key) || !plain(job->config.mount))
        return err_set(err, ERR_BAD_INPUT, "Key= and Mount= are of letters, digits, - and _");
    while (job->secret_length && job->secret[job->secret_length - 1] == '\n') job->secret_length--;
    if (memchr(job->secret, '\n', job->secret_length) || memchr(job->secret, '\r', job->secret_length))
        return err_set(err, ERR_BAD_INPUT, "SecretFile= must hold the token on one line");
    return net_prepare(job, err);
}

static bool ask(struct provider_job *job, const char *what, const json_t *body, json_t **answer, struct err *err)
{
    char path[PATH], token[PROVIDER_SECRET + 32];
    const char *headers[] = {token, "X-Vault-Request: true", NULL};
    snprintf(path, sizeof path, "/v1/%.63s/%s/%.200s", job->config.mount, what, job->config.key);
    snprintf(token, sizeof token, "X-Vault-Token: %.*s", (int)job->secret_length, job->secret);
    struct net_request request = {.path = path, .headers = headers, .body = body, .content_type = "application/json"};
    bool good = net_send(job, &request, answer, err);
    sodium_memzero(token, sizeof token);
    return good;
}

static void base64(const void *bytes, size_t length, char text[BASE64])
{
    sodium_bin2base64(text, BASE64, bytes, length, sodium_base64_VARIANT_ORIGINAL);
}

/* Bound to this share on both ways that transit knows: derived keys take a context, AEAD keys associated data. */
static json_t *body_of(const struct provider_job *job, const char *member, const char *value)
{
    char context[BASE64];
    base64(job->row.share_id, strlen(job->row.share_id), context);
    return json_pack("{s:s, s:s, s:s}", member, value, "context", context, "associated_data", context);
}

/* "vault:v3:…" → "3" */
static bool version_of(const char *ciphertext, char version[PROVIDER_VERSION])
{
    unsigned number;
    if (sscanf(ciphertext, "vault:v%9u:", &number) != 1) return false;
    snprintf(version, PROVIDER_VERSION, "%u", number);
    return true;
}

static bool transit_wrap(struct provider_job *job, struct err *err)
{
    char text[BASE64];
    base64(job->share, KEY_BYTES, text);
    JSON_AUTO *body = body_of(job, "plaintext", text), *answer = NULL;
    sodium_memzero(text, sizeof text);
    if (!ask(job, "encrypt", body, &answer, err)) return false;
    const char *sealed = net_text(answer, "data.ciphertext");
    if (!sealed || strlen(sealed) > PROVIDER_BLOB || !version_of(sealed, job->row.version))
        return err_set(err, ERR_PROTOCOL, "it answered without a ciphertext");
    job->row.length = strlen(sealed);
    memcpy(job->row.blob, sealed, job->row.length);
    return true;
}

static bool transit_unwrap(struct provider_job *job, struct err *err)
{
    char sealed[PROVIDER_BLOB + 1];
    size_t length = 0;
    memcpy(sealed, job->row.blob, job->row.length);
    sealed[job->row.length] = '\0';
    JSON_AUTO *body = body_of(job, "ciphertext", sealed), *answer = NULL;
    if (!ask(job, "decrypt", body, &answer, err)) return false;
    const char *text = net_text(answer, "data.plaintext");
    return (text && sodium_base642bin(job->share, KEY_BYTES, text, strlen(text), NULL, &length, NULL,
                                      sodium_base64_VARIANT_ORIGINAL) == 0 &&
            length == KEY_BYTES) ||
           err_set(err, ERR_PROTOCOL, "it answered without a share");
}

static bool transit_version(struct provider_job *job, char version[PROVIDER_VERSION], struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!ask(job, "keys", NULL, &answer, err)) return err_in(err, "asking for the key's version");
    json_int_t latest = json_integer_value(json_object_get(json_object_get(answer, "data"), "latest_version"));
    if (latest <= 0) return err_set(err, ERR_PROTOCOL, "it does not say which version its key has");
    snprintf(version, PROVIDER_VERSION, "%lld", (long long)latest);
    return true;
}

const struct provider provider_transit = {
    .name = "transit",
    .walls = WALL_PROVIDER,
    .needs_secret = true,
    .prepare = transit_prepare,
    .wrap = transit_wrap,
    .unwrap = transit_unwrap,
    .version = transit_version,
};
