/* SPDX-License-Identifier: Apache-2.0 */
/* Checks the shape of a call request. Whether the caller may do it is the ledger's to say. */
#include "request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "weigh.h"

/* ── the body ──────────────────────────────────────────────────────────────────────────────────────── */

static bool wrong(struct call_request *request, const char *member, struct err *err, const char *text)
{
    snprintf(request->pointer, sizeof request->pointer, "/%s", member);
    return err_set(err, ERR_BAD_INPUT, "\"%s\" %s", member, text);
}

/* usual: what stands there when the member is missing; NULL: it must be there. */
static bool take_name(const json_t *body, const char *member, const char *usual, char name[NAME_BYTES],
                      struct call_request *request, struct err *err)
{
    const json_t *value = json_object_get(body, member);
    if (!value && usual) return text_copy(name, NAME_BYTES, usual);
    const char *text = json_string_value(value);
    if (!text) return wrong(request, member, err, value ? "must be a string" : "is missing");
    if (!name_valid(text))
        return wrong(request, member, err, "must be a name: a-z, 0-9, - _ and dots inside, first a letter, at most 63");
    return text_copy(name, NAME_BYTES, text);
}

static bool take_timeout(const json_t *body, struct call_request *request, struct err *err)
{
    const json_t *value = json_object_get(body, "timeout_ms");
    json_int_t ms = json_integer_value(value);
    if (!value) return true;
    if (!json_is_integer(value) || ms < 1 || ms > 24 * 3600 * 1000)
        return wrong(request, "timeout_ms", err, "must be a whole number of milliseconds, 1 to 86400000");
    request->timeout_ms = (uint32_t)ms;
    return true;
}

/* What they are called is checked by the ledger, which alone knows who is who. */
static bool take_subjects(const json_t *body, struct call_request *request, struct err *err)
{
    size_t i;
    json_t *one;
    const json_t *list = json_object_get(body, "subjects");
    if (!list) return true;
    if (!json_is_array(list) || json_array_size(list) > SUBJECTS_MAX)
        return wrong(request, "subjects", err, "must be a list of at most 8 addresses or other names of people");
    json_array_foreach(list, i, one)
    {
        size_t length = json_string_length(one), room = sizeof request->subjects - request->subjects_length;
        if (!json_is_string(one) || length == 0 || length >= SUBJECT_BYTES || length >= room ||
            strlen(json_string_value(one)) != length)
            return wrong(request, "subjects", err, "must hold texts of 1 to 255 bytes");
        memcpy(request->subjects + request->subjects_length, json_string_value(one), length + 1);
        request->subjects_length += length + 1;
    }
    return true;
}

static bool take_input(const json_t *body, struct call_request *request, struct err *err)
{
    request->value = json_incref(json_object_get(body, "input"));
    if (!request->value) return wrong(request, "input", err, "is missing; give {} when the action asks for nothing");
    if (!json_is_object(request->value)) return wrong(request, "input", err, "must be an object");
    if (!json_compact(request->value, &request->input))
        return err_set(err, ERR_TOO_LARGE, "the input is larger than %d bytes", CALL_BODY_MAX);
    return true;
}

static bool only_known(const json_t *body, struct call_request *request, struct err *err)
{
    static const char *const names[] = {"workspace", "connector",  "action",   "credential",
                                        "input",     "timeout_ms", "subjects", NULL};
    const char *member;
    json_t *value;
    json_object_foreach((json_t *)body, member, value)
    {
        unsigned i = 0;
        while (names[i] && strcmp(names[i], member) != 0) i++;
        if (names[i]) continue;
        return err_set(err, ERR_BAD_INPUT,
                       "the body has a member that is not known; known are workspace, connector, "
                       "action, credential, subjects, input and timeout_ms");
    }
    return true;
}

bool request_read(const char *bytes, size_t length, struct call_request *request, struct err *err)
{
    JSON_AUTO *body = NULL;
    buf_init(&request->input, FRAME_CALL_MAX - sizeof(struct frame_call));
    if (!json_affordable(bytes, length))
        return err_set(err, ERR_TOO_LARGE, "the body has more than %d values", JSON_VALUES_MOST);
    if (!json_read(bytes, length, CALL_BODY_MAX, &body, err)) return err_in(err, "the body");
    if (!json_is_object(body)) return err_set(err, ERR_MALFORMED, "the body must be a JSON object");
    return only_known(body, request, err) && take_name(body, "workspace", "", request->workspace, request, err) &&
           take_name(body, "connector", NULL, request->connector, request, err) &&
           take_name(body, "action", NULL, request->action, request, err) &&
           take_name(body, "credential", "", request->credential, request, err) && take_timeout(body, request, err) &&
           take_subjects(body, request, err) && take_input(body, request, err);
}

void request_clear(struct call_request *request)
{
    json_decref(request->value);
    request->value = NULL;
    buf_clear(&request->input);
}

/* ── headers ───────────────────────────────────────────────────────────────────────────────────────── */

static bool bad_key(struct err *err)
{
    return err_set(err, ERR_MALFORMED, "Idempotency-Key must be 1 to 255 visible ASCII characters, quoted or bare");
}

/* Reads the inside of a quoted string; next points behind the closing quote. */
static bool unquote(const char *at, char key[KEY_BYTES], const char **next)
{
    size_t used = 0;
    for (; *at && *at != '"'; at++) {
        if (*at == '\\' && *++at != '"' && *at != '\\') return false;
        if (used == KEY_BYTES - 1) return false;
        key[used++] = *at;
    }
    key[used] = '\0';
    *next = at + 1;
    return *at == '"';
}

bool key_read(const char *header, char key[KEY_BYTES], struct err *err)
{
    char found[KEY_BYTES];
    const char *rest = "";
    if (!header) return true;
    if (*header == '"') {
        if (!unquote(header + 1, found, &rest) || *rest) return bad_key(err);
    } else {
        if (strchr(header, '"') || !TEXT_COPY(found, header)) return bad_key(err);
    }
    for (const char *at = found; *at; at++)
        if (*at <= 0x20 || *at >= 0x7f) return bad_key(err);
    if (!*found) return bad_key(err);
    return text_copy(key, KEY_BYTES, found);
}

static bool hex_run(const char *text, size_t count, bool may_be_zero)
{
    bool zero = true;
    for (size_t i = 0; i < count; i++) {
        if (!strchr("0123456789abcdef", text[i]) || !text[i]) return false;
        zero &= text[i] == '0';
    }
    return may_be_zero || !zero;
}

void trace_read(const char *header, char traceparent[TRACE_BYTES])
{
    traceparent[0] = '\0';
    if (!header || strlen(header) != TRACE_BYTES - 1) return;
    bool dashes = header[2] == '-' && header[35] == '-' && header[52] == '-';
    if (!dashes || strncmp(header, "00", 2) != 0 || !hex_run(header + 3, 32, false) ||
        !hex_run(header + 36, 16, false) || !hex_run(header + 53, 2, true))
        return;
    text_copy(traceparent, TRACE_BYTES, header);
}

bool media_is_json(const char *header)
{
    static const char name[] = "application/json";
    if (!header || strncasecmp(header, name, sizeof name - 1) != 0) return false;
    const char *rest = header + sizeof name - 1;
    while (*rest == ' ' || *rest == '\t') rest++;
    return *rest == '\0' || *rest == ';';
}

bool bearer_read(const char *header, const char **token)
{
    *token = NULL;
    if (!header) return true;
    if (strncasecmp(header, "Bearer ", 7) != 0) return false;
    const char *text = header + 7;
    while (*text == ' ') text++;
    size_t length = strlen(text);
    if (length < 8 || length > 512) return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-._~+/=", text[i])) return false;
    *token = text;
    return true;
}
