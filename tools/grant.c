/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line knows of OAuth2. The ledger has the same list of fields: query_credentials.c. */
#include "grant.h"

#include <string.h>

bool grant_kind(const char *word, uint32_t *kind, struct err *err)
{
    *kind = word && strcmp(word, "oauth2") == 0 ? CREDENTIAL_OAUTH2 : CREDENTIAL_FIELDS;
    if (!word || *kind == CREDENTIAL_OAUTH2 || strcmp(word, "fields") == 0) return true;
    return err_set(err, ERR_USAGE, "--kind is fields or oauth2");
}

json_t *grant_fields(void)
{
    return json_pack("[{s:s,s:s,s:b,s:b},{s:s,s:s,s:b,s:b},{s:s,s:s,s:b,s:b},{s:s,s:s,s:b,s:b},{s:s,s:s,s:b,s:b}]",
                     "name", "client_id", "summary", "the client's name at the service", "secret", 0, "required", 1,
                     "name", "client_secret", "summary", "the client's secret", "secret", 1, "required", 1, "name",
                     "token_url", "summary", "the token endpoint, https://host/path", "secret", 0, "required", 1,
                     "name", "scope", "summary", "what to ask for", "secret", 0, "required", 0, "name", "refresh_token",
                     "summary", "for a person's consent", "secret", 1, "required", 0);
}

static const char *find(const struct submission *submission, const char *name, size_t *length)
{
    for (uint32_t i = 0; i < submission->field_count; i++) {
        if (strcmp(submission->fields[i].name, name) != 0) continue;
        *length = submission->fields[i].length;
        return (const char *)submission->bytes + submission->fields[i].offset;
    }
    return NULL;
}

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

bool grant_host(const struct submission *submission, char host[FRAME_HOST], struct err *err)
{
    static const char scheme[] = "https://";
    size_t length = 0, used = 0;
    const char *url = find(submission, "token_url", &length);
    bool good = url && length > sizeof scheme - 1 && memcmp(url, scheme, sizeof scheme - 1) == 0;
    for (size_t i = sizeof scheme - 1; good && i < length && !strchr(":/?#", url[i]); i++) {
        char c = url[i] >= 'A' && url[i] <= 'Z' ? (char)(url[i] + 32) : url[i];
        good = host_char(c) && used + 1 < FRAME_HOST;
        if (good) host[used++] = c;
    }
    host[used] = '\0';
    return (good && used) ||
           err_set(err, ERR_BAD_INPUT,
                   "token_url must be https://HOST/PATH, with nothing but a port behind the host; for "
                   "other letters give its xn-- form");
}
