/* SPDX-License-Identifier: Apache-2.0 */
/* What another system sealed is opened here, in locked memory, and sealed again to the vault's key at once. Nothing of
 * it is written down, and only the digest of what it came from is recorded. */
#include "importing.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/auto_json.h"
#include "base/buf.h"
#include "base/text.h"
#include "keys.h"
#include "source.h"

const char *import_format_name(enum import_format format)
{
    static const char *const formats[] = {[IMPORT_FERNET] = "fernet", [IMPORT_AES_GCM] = "aes-gcm"};
    return formats[format];
}

/* ── what opens it ─────────────────────────────────────────────────────────────────────────────────── */

/* Into locked memory by way of a buffer that is locked as well. */
static bool read_secret(const char *from, const char *what, char *to, size_t *length, struct err *err)
{
    BUF_AUTO text;
    buf_init(&text, SECRET_MOST);
    if (!buf_reserve(&text, SECRET_MOST)) return err_set(err, ERR_BUSY, "there is no memory");
    sodium_mlock(text.bytes, text.room);
    bool good = from ? source_read(from, &text, err) : source_prompt(what, true, &text, err);
    if (good) source_chomp(&text);
    if (good && text.used == 0) good = err_set(err, ERR_USAGE, "it is empty");
    if (good) memcpy(to, text.bytes, text.used), *length = text.used;
    sodium_munlock(text.bytes, text.room); /* wipes */
    return good;
}

static bool decode_key(struct import_secrets *secrets, struct err *err)
{
    uint8_t key[AES256_KEY];
    size_t count = 0;
    bool good = sodium_base642bin(key, sizeof key, secrets->given, secrets->given_length, NULL, &count, NULL,
                                  sodium_base64_VARIANT_ORIGINAL) == 0 &&
                count == sizeof key;
    if (good) memcpy(secrets->given, key, sizeof key), secrets->given_length = sizeof key;
    sodium_memzero(key, sizeof key);
    return good || err_set(err, ERR_MALFORMED, "a key is %d bytes in standard base64", AES256_KEY);
}

bool import_check_secret(struct importing *import, struct err *err)
{
    const char *key = cli_value(import->filling.cli, "key"), *phrase = cli_value(import->filling.cli, "passphrase");
    const char *from = key ? key : phrase, *source = import->filling.cli->arguments[0];
    bool fernet = import->format == IMPORT_FERNET;
    if ((key && phrase) || (fernet && phrase))
        return err_set(err, ERR_USAGE,
                       "Fernet takes --key; an AES-GCM envelope takes --passphrase, or --key where it has no kdf");
    if (from && strcmp(from, "-") == 0 && strcmp(source, "-") == 0)
        return err_set(err, ERR_USAGE, "standard input cannot hold both: give one of them as a file");
    if (from && *from != '@' && strcmp(from, "-") != 0)
        return err_set(
            err, ERR_USAGE,
            "--%s is secret, and the command line is seen by others and kept by the shell: give @FILE or -, or leave "
            "it out to be asked; treat what was typed as known",
            key ? "key" : "passphrase");
    import->secret_from = from;
    import->raw_key = key && !fernet;
    return true;
}

bool import_take_secret(struct importing *import, struct err *err)
{
    struct import_secrets *secrets = import->secrets;
    bool fernet = import->format == IMPORT_FERNET;
    const char *what = fernet ? "Fernet key" : "passphrase of the envelopes";
    if (!read_secret(import->secret_from, what, secrets->given, &secrets->given_length, err))
        return err_in(err, "%s", what);
    if (fernet)
        return fernet_keys_read(secrets->given, secrets->given_length, &secrets->keys, err) || err_in(err, "--key");
    return !import->raw_key || decode_key(secrets, err) || err_in(err, "--key");
}

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

static bool open_token(struct importing *import, const json_t *token, struct err *err)
{
    return fernet_open(json_string_value(token), json_string_length(token), &import->secrets->keys, &import->age,
                       import->secrets->plain, &import->secrets->plain_length, err);
}

static bool open_envelope(struct importing *import, const json_t *value, json_t *said, struct err *err)
{
    struct import_secrets *secrets = import->secrets;
    if (!envelope_read(value, &import->envelope, err)) return false;
    if (import->raw_key != (import->envelope.kdf == ENVELOPE_KEY))
        return err_set(err, ERR_USAGE, "an envelope with kdf takes --passphrase, one without takes --key");
    const char *weak = envelope_weak(&import->envelope);
    if (weak) json_object_set_new(said, "warning", json_string(weak));
    secrets->plain_length = import->envelope.length;
    return envelope_open(&import->envelope, secrets->given, secrets->given_length, secrets->plain, err);
}

/* ── filling ───────────────────────────────────────────────────────────────────────────────────────── */

static bool put(struct importing *import, const char *field, const void *value, size_t length, struct err *err)
{
    if (length == 0) return err_set(err, ERR_BAD_INPUT, "the field %s is empty", field);
    return keys_add_field(import->filling.submission, field, value, length, err);
}

/* "MEMBER=FIELD", or one name for both. The member may hold any character but =. */
static bool map_one(struct importing *import, const char *map, struct err *err)
{
    char member[256];
    const char *equals = strchr(map, '='), *field = equals ? equals + 1 : map;
    size_t length = equals ? (size_t)(equals - map) : strlen(map);
    if (length == 0 || length >= sizeof member) return err_set(err, ERR_USAGE, "--map wants MEMBER=FIELD");
    memcpy(member, map, length);
    member[length] = '\0';
    const struct flat_member *found = flat_find(&import->secrets->flat, member);
    if (!found) return err_set(err, ERR_BAD_INPUT, "what is sealed in it has no member %s", member);
    return put(import, field, found->value, found->length, err);
}

static bool fill(struct importing *import, struct err *err)
{
    struct import_secrets *secrets = import->secrets;
    unsigned at = 0;
    if (import->field) return put(import, import->field, secrets->plain, secrets->plain_length, err);
    if (!flat_read((char *)secrets->plain, secrets->plain_length, &secrets->flat, err)) return false;
    for (const char *map; (map = cli_next(import->filling.cli, "map", &at));)
        if (!map_one(import, map, err)) return false;
    return true;
}

static bool name_item(struct importing *import, const struct import_item *item, size_t index, struct err *err)
{
    struct submission *submission = import->filling.submission;
    char name[NAME_BYTES + 8];
    if (*item->name || json_array_size(import->list) == 1)
        TEXT_COPY(name, *item->name ? item->name : import->base);
    else
        snprintf(name, sizeof name, "%.63s-%zu", import->base, index + 1);
    return (name_valid(name) && TEXT_COPY(submission->credential, name)) ||
           err_set(err, ERR_USAGE, "names have a-z 0-9 - _ and inner dots, first a letter, at most 63");
}

/* ── one item ──────────────────────────────────────────────────────────────────────────────────────── */

/* An import is not to replace by accident what somebody stored: it says so before it opens anything. */
static bool look_for(struct importing *import, json_t *said, struct err *err)
{
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    const struct submission *submission = import->filling.submission;
    api_path(path, "/v1/credentials/", submission->credential);
    api_query(path, "workspace", submission->workspace);
    bool there = api_get(&import->filling.cli->home, API_DESK, path, &answer, err);
    if (!there && err->kind != ERR_NOT_FOUND) return false;
    if (there && !import->replace)
        return err_set(err, ERR_EXISTS, "it is there already: --replace stores a new version of it");
    json_object_set_new(said, "new", json_boolean(!there));
    return true;
}

static json_t *field_names(const struct submission *submission)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < submission->field_count; i++)
        json_array_append_new(names, json_string(submission->fields[i].name));
    return names;
}

void import_start(struct importing *import)
{
    struct submission *submission = import->filling.submission;
    keys_submission(submission);
    memcpy(submission->workspace, import->start.workspace, NAME_BYTES);
    memcpy(submission->connector, import->start.connector, NAME_BYTES);
    memcpy(submission->audience, import->start.audience, AUDIENCE_MAX);
}

static bool import_one(struct importing *import, size_t index, json_t *said, struct err *err)
{
    struct import_item item;
    JSON_AUTO *answer = NULL;
    struct submission *submission = import->filling.submission;
    import_start(import);
    if (!import_item(import->list, index, &item, err) || !name_item(import, &item, index, err)) return false;
    json_object_set_new(said, "name", json_string(submission->credential));
    json_object_set_new(said, "digest", json_string(item.digest));
    if (!look_for(import, said, err)) return false;
    bool opened = import->format == IMPORT_FERNET ? open_token(import, item.sealed, err)
                                                  : open_envelope(import, item.sealed, said, err);
    if (!opened || !fill(import, err)) return false;
    json_object_set_new(said, "fields", field_names(submission));
    if (import->dry) return true;
    struct filling_source source = {.format = import_format_name(import->format)};
    TEXT_COPY(source.digest, item.digest);
    if (!filling_submit(&import->filling, &source, &answer, err)) return false;
    json_t *version = json_object_get(answer, "version");
    return !version || json_object_set(said, "version", version) == 0;
}

static void wipe_item(struct importing *import)
{
    struct import_secrets *secrets = import->secrets;
    sodium_memzero(&secrets->submission.bytes, sizeof secrets->submission.bytes);
    sodium_memzero(secrets->plain, sizeof secrets->plain);
    sodium_memzero(&secrets->flat, sizeof secrets->flat);
    secrets->plain_length = 0;
}

void import_each(struct importing *import)
{
    for (size_t i = 0; i < json_array_size(import->list); i++) {
        struct err err = {0};
        json_t *said = json_pack("{s:i}", "item", (int)i + 1);
        bool good = import_one(import, i, said, &err);
        const char *state = !good ? "failed" : import->dry ? "would be stored" : "stored";
        wipe_item(import);
        json_object_set_new(said, "state", json_string(state));
        if (!good) json_object_set_new(said, "problem", json_string(err.text));
        if (!good && !import->failed) import->failed = err.kind;
        import->good += good;
        json_array_append_new(import->report, said);
    }
}
