/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module that the administrator names: loaded before the walls, used behind them. */
#include "provider.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, KEY_ID_MOST = 32, KWP = 0x210B /* PKCS#11 3.0's name of what 2.40 calls AES_KEY_WRAP_PAD */ };

/* What caisson.conf may say, and what it means. */
static const struct mechanism {
    const char *name;
    bool wraps; /* a key by a key; else encrypts bytes */
    CK_MECHANISM_TYPE type, hash;
    unsigned long mask;
} mechanisms[] = {
    {"aes-kwp", true, CKM_AES_KEY_WRAP_PAD, 0, 0},
    {"rsa-oaep", false, CKM_RSA_PKCS_OAEP, CKM_SHA256, CKG_MGF1_SHA256},
    {"rsa-oaep-sha1", false, CKM_RSA_PKCS_OAEP, CKM_SHA_1, CKG_MGF1_SHA1},
};

static struct {
    CK_FUNCTION_LIST *call;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
} module;

static bool refused(CK_RV code, const char *what, struct err *err)
{
    if (code == CKR_PIN_INCORRECT) return err_set(err, ERR_DENIED, "the PIN in SecretFile= is wrong");
    if (code == CKR_PIN_LOCKED) return err_set(err, ERR_DENIED, "the PIN is locked after too many wrong ones");
    return code == CKR_OK || err_set(err, ERR_UNAVAILABLE, "the module does not %s (PKCS#11 error 0x%lx)", what, code);
}

/* ── before the walls ──────────────────────────────────────────────────────────────────────────────────── */

/* NAME=VALUE, for modules that find their configuration by it; nothing that changes what is loaded. */
static bool set_environment(const json_t *list, struct err *err)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        char name[64];
        const char *text = json_string_value(one), *equals = text ? strchr(text, '=') : NULL;
        size_t length = equals ? (size_t)(equals - text) : 0;
        if (length == 0 || length >= sizeof name || strncmp(text, "LD_", 3) == 0)
            return err_set(err, ERR_BAD_INPUT, "ModuleEnvironment= must be NAME=VALUE, and not of the dynamic linker");
        snprintf(name, sizeof name, "%.*s", (int)length, text);
        if (setenv(name, equals + 1, 1) != 0) return err_sys(err, ERR_BUSY, "there is no memory");
    }
    return true;
}

static bool module_prepare(struct provider_job *job, struct err *err)
{
    CK_C_GetFunctionList get;
    while (job->secret_length && job->secret[job->secret_length - 1] == '\n') job->secret_length--;
    if (job->config.module[0] != '/' || !job->config.token[0] || !job->config.key[0])
        return err_set(err, ERR_BAD_INPUT, "it needs Module= (an absolute path), Token= and Key= (their labels)");
    if (!set_environment(job->config.environment, err)) return false;
    void *library = dlopen(job->config.module, RTLD_NOW | RTLD_LOCAL);
    if (!library) return err_set(err, ERR_LOAD, "the module %.200s cannot be loaded", job->config.module);
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (!get || get(&module.call) != CKR_OK || !module.call)
        return err_set(err, ERR_LOAD, "%.200s is not a PKCS#11 module", job->config.module);
    return refused(module.call->C_Initialize(NULL), "start", err);
}

/* ── the token and the key ─────────────────────────────────────────────────────────────────────────────── */

/* Labels of tokens are padded with blanks to 32 bytes. */
static bool label_is(const CK_TOKEN_INFO *info, const char *label)
{
    char padded[sizeof info->label + 1];
    snprintf(padded, sizeof padded, "%-32.32s", label);
    return strlen(label) <= sizeof info->label && memcmp(info->label, padded, sizeof info->label) == 0;
}

static bool find_token(const struct provider_job *job, struct err *err)
{
    CK_SLOT_ID slots[SLOTS];
    CK_TOKEN_INFO info;
    CK_ULONG count = SLOTS;
    if (!refused(module.call->C_GetSlotList(CK_TRUE, slots, &count), "list its tokens", err)) return false;
    for (CK_ULONG i = 0; i < count; i++) {
        if (module.call->C_GetTokenInfo(slots[i], &info) != CKR_OK || !label_is(&info, job->config.token)) continue;
        module.slot = slots[i];
        return true;
    }
    return err_set(err, ERR_NOT_FOUND, "the module has no token %.32s (may its user read the token's files?)",
                   job->config.token);
}

static bool log_in(const struct provider_job *job, struct err *err)
{
    if (module.session) return true;
    if (!find_token(job, err) ||
        !refused(module.call->C_OpenSession(module.slot, CKF_SERIAL_SESSION, NULL, NULL, &module.session),
                 "open a session", err))
        return false;
    CK_RV code = module.call->C_Login(module.session, CKU_USER, (CK_UTF8CHAR *)job->secret, job->secret_length);
    return code == CKR_USER_ALREADY_LOGGED_IN || refused(code, "take the PIN", err);
}

static bool find_key(CK_ATTRIBUTE *wanted, CK_ULONG count, CK_OBJECT_HANDLE *key, struct err *err)
{
    CK_OBJECT_HANDLE found[2];
    CK_ULONG number = 0;
    if (!refused(module.call->C_FindObjectsInit(module.session, wanted, count), "look for the key", err)) return false;
    CK_RV code = module.call->C_FindObjects(module.session, found, 2, &number);
    module.call->C_FindObjectsFinal(module.session);
    if (!refused(code, "look for the key", err)) return false;
    if (number != 1)
        return err_set(err, ERR_NOT_FOUND, number ? "the token has several such keys: give the one its own label and id"
                                                  : "the token has no such key");
    *key = found[0];
    return true;
}

/* id: hexadecimal, "" = by its label. */
static bool find_named(const struct provider_job *job, CK_OBJECT_CLASS class, const char *id, CK_OBJECT_HANDLE *key,
                       struct err *err)
{
    uint8_t bytes[KEY_ID_MOST];
    size_t length = strlen(id) / 2;
    CK_ATTRIBUTE wanted[2] = {{CKA_CLASS, &class, sizeof class},
                              {CKA_LABEL, (void *)job->config.key, strlen(job->config.key)}};
    if (length && (length > sizeof bytes || !hex_parse(id, bytes, length)))
        return err_set(err, ERR_MALFORMED, "keys/provider.share is damaged");
    if (length) wanted[1] = (CK_ATTRIBUTE){CKA_ID, bytes, length};
    return find_key(wanted, 2, key, err);
}

static const struct mechanism *mechanism_of(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (strlen(mechanisms[i].name) == length && memcmp(mechanisms[i].name, name, length) == 0)
            return &mechanisms[i];
    return NULL;
}

static const struct mechanism *configured(const struct provider_job *job, struct err *err)
{
    const char *name = job->config.mechanism[0] ? job->config.mechanism : "aes-kwp";
    const struct mechanism *found = mechanism_of(name, strlen(name));
    if (!found) err_set(err, ERR_BAD_INPUT, "Mechanism= must be aes-kwp, rsa-oaep or rsa-oaep-sha1");
    return found;
}

static CK_OBJECT_CLASS class_of(const struct mechanism *how, bool opening)
{
    return how->wraps ? CKO_SECRET_KEY : opening ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
}

/* "aes-kwp:ID": another key under the same label has another id, and so another version. */
static bool module_version(struct provider_job *job, char version[PROVIDER_VERSION], struct err *err)
{
    uint8_t id[KEY_ID_MOST];
    char digits[2 * KEY_ID_MOST + 1];
    CK_OBJECT_HANDLE key;
    CK_ATTRIBUTE wanted = {CKA_ID, id, sizeof id};
    const struct mechanism *how = configured(job, err);
    if (!how || !log_in(job, err) || !find_named(job, class_of(how, false), "", &key, err) ||
        !refused(module.call->C_GetAttributeValue(module.session, key, &wanted, 1), "tell the key's id", err))
        return false;
    hex_text(id, wanted.ulValueLen, digits);
    snprintf(version, PROVIDER_VERSION, "%s:%s", how->name, digits);
    return true;
}

/* ── the share ─────────────────────────────────────────────────────────────────────────────────────────── */

static CK_MECHANISM mechanism_value(const struct mechanism *how, CK_RSA_PKCS_OAEP_PARAMS *params)
{
    CK_MECHANISM_INFO info;
    *params = (CK_RSA_PKCS_OAEP_PARAMS){how->hash, how->mask, CKZ_DATA_SPECIFIED, NULL, 0};
    if (!how->wraps) return (CK_MECHANISM){how->type, params, sizeof *params};
    bool newer = module.call->C_GetMechanismInfo(module.slot, KWP, &info) == CKR_OK;
    return (CK_MECHANISM){newer ? KWP : how->type, NULL, 0};
}

static bool wrap_key(struct provider_job *job, CK_MECHANISM *how, CK_OBJECT_HANDLE key, CK_ULONG *length, struct err *err)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_HANDLE share;
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof class},     {CKA_KEY_TYPE, &type, sizeof type},
                                 {CKA_TOKEN, &no, sizeof no},           {CKA_EXTRACTABLE, &yes, sizeof yes},
                                 {CKA_VALUE, job->share, KEY_BYTES}};
    return refused(module.call->C_CreateObject(module.session, attributes, 5, &share), "take the share", err) &&
           refused(module.call->C_WrapKey(module.session, how, key, share, job->row.blob, length), "wrap the share", err);
}

static bool module_wrap(struct provider_job *job, struct err *err)
{
    CK_OBJECT_HANDLE key;
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_ULONG length = sizeof job->row.blob;
    const struct mechanism *how = configured(job, err);
    if (!how || !module_version(job, job->row.version, err) ||
        !find_named(job, class_of(how, false), "", &key, err))
        return false;
    CK_MECHANISM value = mechanism_value(how, &params);
    bool good = how->wraps
                    ? wrap_key(job, &value, key, &length, err)
                    : refused(module.call->C_EncryptInit(module.session, &value, key), "encrypt by this mechanism", err) &&
                          refused(module.call->C_Encrypt(module.session, job->share, KEY_BYTES, job->row.blob, &length),
                                  "encrypt the share", err);
    job->row.length = length;
    return good;
}

static bool unwrap_key(struct provider_job *job, CK_MECHANISM *how, CK_OBJECT_HANDLE key, CK_ULONG *length,
                       struct err *err)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_HANDLE share;
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof class},
                                 {CKA_KEY_TYPE, &type, sizeof type},
                                 {CKA_TOKEN, &no, sizeof no},
                                 {CKA_SENSITIVE, &no, sizeof no},
                                 {CKA_EXTRACTABLE, &yes, sizeof yes}};
    CK_ATTRIBUTE value = {CKA_VALUE, job->share, KEY_BYTES};
    bool good = refused(module.call->C_UnwrapKey(module.session, how, key, job->row.blob, job->row.length, attributes, 5,
                                                 &share),
                        "unwrap the share", err) &&
                refused(module.call->C_GetAttributeValue(module.session, share, &value, 1), "give the share out", err);
    *length = value.ulValueLen;
    return good;
}

/* Some modules want room for the whole of what RSA gives, padding and all. */
static bool decrypt(struct provider_job *job, CK_MECHANISM *how, CK_OBJECT_HANDLE key, CK_ULONG *length, struct err *err)
{
    uint8_t plain[PROVIDER_BLOB];
    CK_ULONG room = sizeof plain;
    bool good = refused(module.call->C_DecryptInit(module.session, how, key), "decrypt by this mechanism", err) &&
                refused(module.call->C_Decrypt(module.session, job->row.blob, job->row.length, plain, &room),
                        "decrypt the share", err);
    if (good && room == KEY_BYTES) memcpy(job->share, plain, KEY_BYTES);
    sodium_memzero(plain, sizeof plain);
    *length = room;
    return good;
}

/* By the mechanism and the key that wrapped it, whatever is configured for the next time. */
static bool module_unwrap(struct provider_job *job, struct err *err)
{
    CK_OBJECT_HANDLE key;
    CK_RSA_PKCS_OAEP_PARAMS params;
    CK_ULONG length = KEY_BYTES;
    const char *colon = strchr(job->row.version, ':');
    const struct mechanism *how = colon ? mechanism_of(job->row.version, (size_t)(colon - job->row.version)) : NULL;
    if (!how) return err_set(err, ERR_MALFORMED, "keys/provider.share is damaged");
    if (!log_in(job, err) || !find_named(job, class_of(how, true), colon + 1, &key, err)) return false;
    CK_MECHANISM value = mechanism_value(how, &params);
    bool good = how->wraps ? unwrap_key(job, &value, key, &length, err) : decrypt(job, &value, key, &length, err);
    return good && (length == KEY_BYTES || err_set(err, ERR_DAMAGED, "what it unwrapped is not a share"));
}

const struct provider provider_module = {
    .name = "pkcs11",
    .walls = WALL_MODULE,
    .needs_secret = true,
    .prepare = module_prepare,
    .wrap = module_wrap,
    .unwrap = module_unwrap,
    .version = module_version,
};
