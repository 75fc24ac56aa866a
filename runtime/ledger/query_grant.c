/* SPDX-License-Identifier: Apache-2.0 */
/* A client of OAuth2 as a credential: what is said of it beside the box, and what must be in the box. */
#include <string.h>

#include "query.h"

bool grant_read(const struct query *query, uint32_t *kind, char token_host[FRAME_HOST], struct err *err)
{
    static const char *const names[CREDENTIAL_KINDS] = {"fields", "oauth2"};
    char text[16];
    uint32_t found = CREDENTIAL_FIELDS;
    if (!in_text(query, "kind", text, sizeof text, err) || !in_text(query, "token_host", token_host, FRAME_HOST, err))
        return false;
    while (text[0] && found < CREDENTIAL_KINDS && strcmp(names[found], text) != 0) found++;
    if (found == CREDENTIAL_KINDS) return err_set(err, ERR_BAD_INPUT, "\"kind\" must be fields or oauth2");
    *kind = found;
    bool host = host_plain(token_host) && !strchr(token_host, '*');
    return (found == CREDENTIAL_OAUTH2 ? host : !token_host[0]) ||
           err_set(err, ERR_BAD_INPUT,
                   "\"token_host\" must be the host of the token endpoint, for oauth2 and for nothing else");
}

bool grant_sound(const struct msg_seal_answer *sealed, struct err *err)
{
    static const char *const names[] = {"client_id", "client_secret", "token_url", "scope", "refresh_token"};
    enum { NAMES = sizeof names / sizeof *names, NEEDED = 3 };
    unsigned needed = 0;
    for (uint32_t i = 0; i < sealed->field_count; i++) {
        unsigned n = 0;
        while (n < NAMES && strcmp(names[n], sealed->fields[i].name) != 0) n++;
        if (n == NAMES)
            return err_set(err, ERR_BAD_INPUT, "a credential of OAuth2 has no field %s", sealed->fields[i].name);
        needed += n < NEEDED;
    }
    return needed == NEEDED ||
           err_set(err, ERR_BAD_INPUT, "a credential of OAuth2 needs client_id, client_secret and token_url");
}
