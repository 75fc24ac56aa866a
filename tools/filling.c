/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials are sealed here, to the key in the file keys/vault.pub, before anything leaves this process. */
#include "filling.h"

#include <sodium.h>
#include <string.h>

#include "api.h"
#include "audience.h"
#include "base/auto.h"
#include "base/json.h"
#include "grant.h"
#include "keys.h"
#include "print.h"

bool filling_connector(struct filling *filling, const char *connector, struct err *err)
{
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/connectors", NULL);
    api_query(path, "workspace", filling->submission->workspace);
    if (!api_get(&filling->cli->home, API_DESK, path, &answer, err)) return false;
    filling->entry = json_incref((json_t *)json_named(print_list(answer), connector));
    filling->fields = json_object_get(filling->entry, "fields");
    if (!filling->entry)
        return err_set(err, ERR_NOT_FOUND, "no connector %.63s is enabled: caisson plugin list tells which are",
                       connector);
    if (json_array_size(filling->fields) == 0)
        return err_set(err, ERR_BAD_INPUT, "the connector %.63s takes no credential", connector);
    if (filling->submission->kind != CREDENTIAL_OAUTH2) return true;
    if (!json_named(filling->fields, "access_token"))
        return err_set(err, ERR_BAD_INPUT,
                       "the connector %.63s takes no access_token, which is all that OAuth2 gives it", connector);
    filling->fields = filling->grant = grant_fields();
    return true;
}

bool filling_has(const struct submission *submission, const char *name)
{
    for (uint32_t i = 0; i < submission->field_count; i++)
        if (strcmp(submission->fields[i].name, name) == 0) return true;
    return false;
}

static bool seal(const struct filling *filling, char *text, size_t size, struct err *err)
{
    struct keys_public public;
    uint8_t box[BOX_MAX];
    size_t length;
    FD_AUTO folder = -1;
    if (!home_open(&filling->cli->home, &folder, err) || !keys_read_public(folder, &public, err) ||
        !keys_seal(filling->submission, public.submission, box, &length, err))
        return false;
    return sodium_bin2base64(text, size, box, length, sodium_base64_VARIANT_ORIGINAL) != NULL;
}

bool filling_submit(const struct filling *filling, const struct filling_source *source, json_t **answer,
                    struct err *err)
{
    static char box[sodium_base64_ENCODED_LEN(BOX_MAX, sodium_base64_VARIANT_ORIGINAL)];
    const struct submission *submission = filling->submission;
    char host[FRAME_HOST];
    bool grant = submission->kind == CREDENTIAL_OAUTH2;
    if (grant && !grant_host(submission, host, err)) return false;
    if (!seal(filling, box, sizeof box, err)) return false;
    JSON_AUTO *body = json_pack("{s:s,s:s,s:s,s:o,s:s}", "workspace", submission->workspace, "name",
                                submission->credential, "connector", submission->connector, "audience",
                                audience_list(submission->audience), "box", box);
    if (grant) json_object_update_new(body, json_pack("{s:s,s:s}", "kind", "oauth2", "token_host", host));
    if (source)
        json_object_set_new(body, "source", json_pack("{s:s,s:s}", "format", source->format, "digest", source->digest));
    return api_post(&filling->cli->home, "/v1/credentials", body, answer, err);
}
