/* SPDX-License-Identifier: Apache-2.0 */
/* AWS KMS: three calls of its JSON API, signed by libcurl (Signature Version 4). */
#include "provider.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/ini.h"

enum { BASE64 = sodium_base64_ENCODED_LEN(PROVIDER_BLOB, sodium_base64_VARIANT_ORIGINAL), CREDENTIAL = 2048 };

static struct {
    char id[128], secret[256], session[CREDENTIAL + 32], sigv4[128];
} aws;

/* ── the credentials' file, in the form that AWS's own programs use ────────────────────────────────────── */

static bool take(const struct ini *ini, const char *key, char *value, size_t size)
{
    const char *found = ini_get(ini, "default", key);
    if (!found || strlen(found) >= size) return false;
    memcpy(value, found, strlen(found) + 1);
    return true;
}

static bool read_credentials(const struct provider_job *job, struct err *err)
{
    INI_AUTO ini = {0};
    char session[CREDENTIAL] = "";
    if (!ini_parse(&ini, job->secret, job->secret_length, "SecretFile=", err)) return false;
    if (!take(&ini, "aws_access_key_id", aws.id, sizeof aws.id) ||
        !take(&ini, "aws_secret_access_key", aws.secret, sizeof aws.secret))
        return err_set(err, ERR_BAD_INPUT, "SecretFile= needs [default] with aws_access_key_id= and aws_secret_access_key=");
    if (take(&ini, "aws_session_token", session, sizeof session))
        snprintf(aws.session, sizeof aws.session, "X-Amz-Security-Token: %s", session);
    sodium_memzero(session, sizeof session);
    return true;
}

static bool region_ok(const char *region)
{
    return region[0] && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(region);
}

static bool kms_prepare(struct provider_job *job, struct err *err)
{
    if (!region_ok(job->config.region) || !job->config.key[0])
        return err_set(err, ERR_BAD_INPUT, "it needs Region= and Key= (an id, an ARN or alias/NAME)");
    if (!job->config.url[0])
        snprintf(job->config.url, sizeof job->config.url, "https://kms.%s.amazonaws.com", job->config.region);
    snprintf(aws.sigv4, sizeof aws.sigv4, "aws:amz:%s:kms", job->config.region);
    return read_credentials(job, err) && net_prepare(job, err);
}

/* ── asking ────────────────────────────────────────────────────────────────────────────────────────────── */

static bool ask(struct provider_job *job, const char *what, const json_t *body, json_t **answer, struct err *err)
{
    char target[64];
    const char *headers[] = {target, aws.session[0] ? aws.session : NULL, NULL};
    snprintf(target, sizeof target, "X-Amz-Target: TrentService.%s", what);
    struct net_request request = {.path = "/",
                                  .headers = headers,
                                  .body = body,
                                  .content_type = "application/x-amz-json-1.1",
                                  .sigv4 = aws.sigv4,
                                  .user = aws.id,
                                  .password = aws.secret};
    return net_send(job, &request, answer, err);
}

static json_t *body_of(const struct provider_job *job, const char *member, const uint8_t *bytes, size_t length)
{
    char text[BASE64];
    sodium_bin2base64(text, sizeof text, bytes, length, sodium_base64_VARIANT_ORIGINAL);
    json_t *body = json_pack("{s:s, s:s, s:{s:s}}", "KeyId", job->config.key, member, text, "EncryptionContext",
                             "caisson-share", job->row.share_id);
    sodium_memzero(text, sizeof text);
    return body;
}

static bool from_base64(const char *text, uint8_t *bytes, size_t size, size_t *length)
{
    return text && sodium_base642bin(bytes, size, text, strlen(text), NULL, length, NULL,
                                     sodium_base64_VARIANT_ORIGINAL) == 0;
}

/* KMS keeps the versions of a key's material to itself; what it says is the key's own name, which an alias may change. */
static bool take_key_id(const json_t *answer, char version[PROVIDER_VERSION], struct err *err)
{
    const char *id = net_text(answer, "KeyId");
    if (!id || !id[0] || strlen(id) >= PROVIDER_VERSION)
        return err_set(err, ERR_PROTOCOL, "it does not say which key it used");
    memcpy(version, id, strlen(id) + 1);
    return true;
}

static bool kms_wrap(struct provider_job *job, struct err *err)
{
    JSON_AUTO *body = body_of(job, "Plaintext", job->share, KEY_BYTES), *answer = NULL;
    if (!ask(job, "Encrypt", body, &answer, err) || !take_key_id(answer, job->row.version, err)) return false;
    return from_base64(net_text(answer, "CiphertextBlob"), job->row.blob, sizeof job->row.blob, &job->row.length) ||
           err_set(err, ERR_PROTOCOL, "it answered without a ciphertext");
}

/* By the key that wrapped it, not by the one that is configured now: an alias may have moved on. */
static bool kms_unwrap(struct provider_job *job, struct err *err)
{
    size_t length = 0;
    JSON_AUTO *body = body_of(job, "CiphertextBlob", job->row.blob, job->row.length), *answer = NULL;
    json_object_set_new(body, "KeyId", json_string(job->row.version));
    if (!ask(job, "Decrypt", body, &answer, err)) return false;
    return (from_base64(net_text(answer, "Plaintext"), job->share, KEY_BYTES, &length) && length == KEY_BYTES) ||
           err_set(err, ERR_PROTOCOL, "it answered without a share");
}

static bool kms_version(struct provider_job *job, char version[PROVIDER_VERSION], struct err *err)
{
    JSON_AUTO *body = json_pack("{s:s}", "KeyId", job->config.key), *answer = NULL;
    if (!ask(job, "DescribeKey", body, &answer, err)) return err_in(err, "asking which key it is");
    const char *id = net_text(answer, "KeyMetadata.Arn");
    if (!id || strlen(id) >= PROVIDER_VERSION) return err_set(err, ERR_PROTOCOL, "it does not say which key it is");
    memcpy(version, id, strlen(id) + 1);
    return true;
}

const struct provider provider_kms = {
    .name = "aws-kms",
    .walls = WALL_PROVIDER,
    .needs_secret = true,
    .prepare = kms_prepare,
    .wrap = kms_wrap,
    .unwrap = kms_unwrap,
    .version = kms_version,
};
