/* SPDX-License-Identifier: Apache-2.0 */
/* oauth2 — exchanges a client's secret, or a refresh token, for an access token (RFC 6749 §4.4, §6).
 * Only the daemon calls it, and the answer goes to the vault: one structure of fixed size, whatever happened. */
#define _POSIX_C_SOURCE 200809L
#include <caisson/http.h>

#include <stdlib.h>

/* ── the answer: as the vault compares it ─────────────────────────────────────────────────────────────*/

enum { MAGIC = 0x31544e47, MASK = 0xa5, ACCESS = 4096, REFRESH = 1536 };
enum { OK = 1, INVALID_GRANT, INVALID_CLIENT, REFUSED, LATER, ODD };

struct grant {
    uint32_t magic, verdict, expires_in, access_length, refresh_length, reserved;
    unsigned char access[ACCESS], refresh[REFRESH];
};

static int answer(struct csn_call *call, struct grant *grant, uint32_t verdict)
{
    grant->magic = MAGIC;
    grant->verdict = verdict;
    for (size_t i = 0; i < ACCESS; i++) grant->access[i] ^= MASK;
    for (size_t i = 0; i < REFRESH; i++) grant->refresh[i] ^= MASK;
    const char *text = csn_base64(call, grant, sizeof *grant);
    if (!text || !csn_set(call, "/grant", text)) return csn_fail(call, CSN_UNKNOWN, "there is no memory");
    return csn_ok(call);
}

/* Printable ASCII without blanks, as RFC 6749 appendix A has it: it will stand in a header. */
static int token_sound(const char *token, size_t most)
{
    size_t length = strlen(token);
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~') return 0;
    return length > 0 && length <= most;
}

static int put(unsigned char *to, size_t room, uint32_t *length, const char *token)
{
    if (!token_sound(token, room)) return 0;
    *length = (uint32_t)strlen(token);
    memcpy(to, token, *length);
    return 1;
}

/* ── what the service said ────────────────────────────────────────────────────────────────────────────*/

static int is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static uint32_t verdict_of(int got, const struct csn_http_response *response)
{
    const char *error = got == 1 ? csn_http_json(response, "/error") : (const char *)0;
    if (got != 1) return response->refused ? REFUSED : LATER;
    if (is(error, "invalid_grant")) return INVALID_GRANT;
    if (is(error, "invalid_client") || is(error, "unauthorized_client")) return INVALID_CLIENT;
    if (is(error, "temporarily_unavailable") || csn_http_later(response->status)) return LATER;
    if (response->status == 401) return INVALID_CLIENT;
    return response->status >= 400 && response->status <= 499 ? REFUSED : ODD;
}

/* Seconds; what is no number, or absurd, counts as not said. */
static uint32_t lifetime(const char *text)
{
    char *end;
    if (!text || *text < '0' || *text > '9') return 0;
    long seconds = strtol(text, &end, 10);
    return (*end == 0 || *end == '.') && seconds > 0 && seconds <= 365L * 86400 ? (uint32_t)seconds : 0;
}

static int take(struct csn_call *call, struct grant *grant, const struct csn_http_response *response)
{
    const char *access = csn_http_json(response, "/access_token"), *type = csn_http_json(response, "/token_type");
    const char *refresh = csn_http_json(response, "/refresh_token"), *old = csn_secret(call, "refresh_token");
    if (!access || (type && strcasecmp(type, "bearer") != 0)) return answer(call, grant, ODD);
    if (!put(grant->access, ACCESS, &grant->access_length, access)) return answer(call, grant, ODD);
    int other = old && refresh && *refresh && !is(refresh, "null") && !is(old, refresh);
    if (other && !put(grant->refresh, REFRESH, &grant->refresh_length, refresh)) return answer(call, grant, ODD);
    grant->expires_in = lifetime(csn_http_json(response, "/expires_in"));
    return answer(call, grant, OK);
}

/* ── the question ─────────────────────────────────────────────────────────────────────────────────────*/

/* For the Authorization header RFC 6749 §2.3.1 wants name and secret encoded like a form's. */
static void encode(const char *text, char *out, size_t size)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._*";
    size_t used = 0;
    for (; *text && used + 4 < size; text++) {
        unsigned char byte = (unsigned char)*text;
        if (strchr(plain, byte))
            out[used++] = (char)byte;
        else
            used += (size_t)snprintf(out + used, size - used, byte == ' ' ? "+" : "%%%02X", byte);
    }
    out[used] = 0;
}

static void add(struct csn_http_request *request, struct csn_http_pair *form, const char *name, const char *value)
{
    if (!value || !*value) return;
    form[request->form_count].name = name;
    form[request->form_count++].value = value;
}

static int exchange(struct csn_call *call)
{
    static struct grant grant; /* one process, one call */
    const char *id = csn_secret(call, "client_id"), *secret = csn_secret(call, "client_secret");
    const char *url = csn_secret(call, "token_url"), *refresh = csn_secret(call, "refresh_token");
    const char *how = csn_setting(call, "/client_authentication");
    char user[1600], password[3200];
    if (!id || !secret || !url) return answer(call, &grant, ODD);
    struct csn_http_pair form[8], accept = {"Accept", "application/json"};
    struct csn_http_request request = {.size = sizeof request, .url = url, .headers = &accept, .header_count = 1};
    request.form = form;
    add(&request, form, "grant_type", refresh ? "refresh_token" : "client_credentials");
    add(&request, form, "refresh_token", refresh);
    add(&request, form, "scope", csn_secret(call, "scope"));
    if (is(how, "post")) {
        add(&request, form, "client_id", id);
        add(&request, form, "client_secret", secret);
    } else {
        encode(id, user, sizeof user);
        encode(secret, password, sizeof password);
        request.user = user;
        request.password = password;
    }
    struct csn_http_response response = {.size = sizeof response};
    int got = csn_http(call, &request, &response);
    if (csn_http_success(got, &response)) return take(call, &grant, &response);
    return answer(call, &grant, verdict_of(got, &response));
}

CSN_CONNECTOR("oauth2", "1.0.0", {"exchange", exchange});
