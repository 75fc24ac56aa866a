/* SPDX-License-Identifier: Apache-2.0 */
/* sms — sends one text or media message through Twilio's API, or through a service that speaks it. */
#define _POSIX_C_SOURCE 200809L
#include <caisson/http.h>

enum { FIELDS = 20, MEDIA = 10 };

/* ── what Twilio calls things ─────────────────────────────────────────────────────────────────────────*/

/* E.164: a plus sign and 2 to 15 digits, the first not 0. */
static int number_valid(const char *text)
{
    size_t digits = text[0] == '+' ? strspn(text + 1, "0123456789") : 0;
    return digits >= 2 && digits <= 15 && text[1] != '0' && text[1 + digits] == 0;
}

static int all_of(const char *text, const char *set, size_t least, size_t most)
{
    size_t length = strlen(text);
    return length >= least && length <= most && strspn(text, set) == length;
}

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* A number, a short code, or an alphanumeric sender of at most 11 characters with a letter among them. */
static int sender_valid(const char *text)
{
    int letter = strpbrk(text, LETTERS) != (char *)0;
    return number_valid(text) || all_of(text, DIGITS, 3, 8) || (letter && all_of(text, LETTERS DIGITS " -_&+", 1, 11));
}

/* An identifier: its two letters and 32 hexadecimal digits. It becomes part of the URL, so nothing else passes. */
static int sid_valid(const char *text, const char *letters)
{
    return strlen(text) == 34 && strncmp(text, letters, 2) == 0 && all_of(text + 2, DIGITS "abcdefABCDEF", 32, 32);
}

static int web_address(const char *text)
{
    return (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0) && !strpbrk(text, " \t\r\n");
}

/* ── the form ─────────────────────────────────────────────────────────────────────────────────────────*/

struct form {
    struct csn_http_pair fields[FIELDS];
    size_t count;
    const char *problem; /* what is wrong with the input */
};

static void add(struct form *form, const char *name, const char *value)
{
    form->fields[form->count].name = name;
    form->fields[form->count++].value = value;
}

/* From the input, else from the settings. */
static const char *either(struct csn_call *call, const char *pointer)
{
    const char *value = csn_input(call, pointer);
    return value ? value : csn_setting(call, pointer);
}

/* Input goes before settings, and a number given with the call before a service of the settings. */
static void add_sender(struct csn_call *call, struct form *form)
{
    const char *own = csn_input(call, "/from"), *service = csn_input(call, "/messaging_service_sid");
    if (own && service) form->problem = "/from: give a sender or a messaging service, not both";
    if (!own && !service) service = csn_setting(call, "/messaging_service_sid");
    const char *from = service ? (const char *)0 : either(call, "/from");
    if (form->problem) return;
    if (service && sid_valid(service, "MG"))
        add(form, "MessagingServiceSid", service);
    else if (service)
        form->problem = "/messaging_service_sid: not MG and 32 hexadecimal digits";
    else if (from && sender_valid(from))
        add(form, "From", from);
    else if (from)
        form->problem = "/from: not a number in E.164 form, a short code or a sender name";
    else
        form->problem = "/from: neither the input nor the settings name a sender or a messaging service";
}

static void add_content(struct csn_call *call, struct form *form)
{
    const char *body = csn_input(call, "/body");
    int media = csn_count(call, "/media_urls");
    if (body) add(form, "Body", body);
    for (int i = 0; i < media && i < MEDIA; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/media_urls/%d", i);
        const char *url = csn_input(call, pointer);
        if (!url || !web_address(url))
            form->problem = "/media_urls: not an https:// address";
        else
            add(form, "MediaUrl", url);
    }
    if (!body && media <= 0) form->problem = "/body: there is neither a body nor media";
}

static void fill(struct csn_call *call, struct form *form)
{
    const char *to = csn_input(call, "/to"), *callback = either(call, "/status_callback");
    if (!to || !number_valid(to))
        form->problem = "/to: not a number in E.164 form: + and 2 to 15 digits, not beginning with 0";
    else
        add(form, "To", to);
    add_sender(call, form);
    add_content(call, form);
    if (callback && *callback && !web_address(callback))
        form->problem = "/status_callback: not an https:// address";
    else if (callback && *callback)
        add(form, "StatusCallback", callback);
}

/* ── the exchange ─────────────────────────────────────────────────────────────────────────────────────*/

/* Twilio's own code and words for a refusal stand in the body. */
static int fail(struct csn_call *call, int got, const struct csn_http_response *response)
{
    const char *code = csn_http_json(response, "/code"), *message = csn_http_json(response, "/message");
    if (got != 1 || !message) return csn_http_fail(call, got, response, "the SMS service");
    char text[512];
    if (code) csn_set_json(call, "/error_code", code);
    csn_set(call, "/error_message", message);
    snprintf(text, sizeof text, "the SMS service answered %d", response->status);
    if (response->retry_after >= 0) csn_retry_after(call, response->retry_after);
    return csn_fail(call, csn_http_later(response->status) ? CSN_RETRY : CSN_REJECTED, text);
}

static int finish(struct csn_call *call, int got, const struct csn_http_response *response)
{
    if (got == 1) csn_set_int(call, "/http_status", response->status);
    if (!csn_http_success(got, response)) return fail(call, got, response);
    const char *sid = csn_http_json(response, "/sid"), *status = csn_http_json(response, "/status");
    const char *segments = csn_http_json(response, "/num_segments");
    if (!sid || !status || strcmp(sid, "null") == 0)
        return csn_fail(call, CSN_UNKNOWN,
                        "the SMS service said yes but named no message: look there before sending again");
    csn_set(call, "/sid", sid);
    csn_set(call, "/status", status);
    if (segments) csn_set(call, "/segments", segments);
    return csn_ok(call);
}

static int send_message(struct csn_call *call)
{
    struct form form = {{{(const char *)0, (const char *)0}}, 0, (const char *)0};
    const char *account = csn_secret(call, "account_sid"), *token = csn_secret(call, "auth_token");
    const char *key = csn_secret(call, "api_key_sid"), *base = csn_setting(call, "/base_url");
    char url[1200];
    fill(call, &form);
    if (!account || !token)
        form.problem = "the call names no credential with account_sid and auth_token";
    else if (!sid_valid(account, "AC"))
        form.problem = "the credential's account_sid is not AC and 32 hexadecimal digits";
    if (form.problem) return csn_fail(call, CSN_BAD_INPUT, form.problem);

    if (!base) base = "https://api.twilio.com";
    int slash = *base && base[strlen(base) - 1] == '/';
    snprintf(url, sizeof url, "%.1000s%s2010-04-01/Accounts/%s/Messages.json", base, slash ? "" : "/", account);
    struct csn_http_pair accept = {"Accept", "application/json"};
    struct csn_http_request request = {.size = sizeof request};
    request.url = url;
    request.headers = &accept;
    request.header_count = 1;
    request.form = form.fields;
    request.form_count = form.count;
    request.user = key ? key : account;
    request.password = token;
    struct csn_http_response response = {.size = sizeof response};
    int got = csn_http(call, &request, &response);
    return finish(call, got, &response);
}

CSN_CONNECTOR("sms", "1.0.0", {"send", send_message});
