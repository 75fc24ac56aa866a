/* SPDX-License-Identifier: Apache-2.0 */
/* Captured inputs and replies: read one call's, and put a person's own into what is exported about them. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "base/utf8.h"
#include "keys.h"
#include "print.h"
#include "verbs.h"

static const char *const parts[] = {"input", "reply"};

static bool fetch(struct cli *cli, const char *id, json_int_t attempt, const char *part, json_t **answer,
                  struct err *err)
{
    JSON_AUTO *body = json_pack("{s:s, s:I, s:s}", "id", id, "attempt", attempt, "part", part);
    return body ? api_post(&cli->home, "/v1/audit/payload", body, answer, err)
                : err_set(err, ERR_BAD_INPUT, "a call's id is UTF-8 text");
}

/* The bytes, one NUL behind them; to free(). */
static char *bytes_of(const json_t *answer, size_t *length, struct err *err)
{
    const char *text = json_string_value(json_object_get(answer, "payload"));
    size_t room = text ? strlen(text) + 1 : 1;
    char *bytes = malloc(room);
    if (bytes && text &&
        sodium_base642bin((unsigned char *)bytes, room - 1, text, room - 1, NULL, length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0) {
        bytes[*length] = '\0';
        return bytes;
    }
    free(bytes);
    err_set(err, ERR_INTERNAL, "the daemon's answer makes no sense");
    return NULL;
}

/* For people: as text, where it is text. */
static bool add_text(json_t *answer, struct err *err)
{
    size_t length = 0;
    FREE_AUTO char *bytes = bytes_of(answer, &length, err);
    if (!bytes) return false;
    if (!memchr(bytes, '\0', length) && utf8_valid(bytes, length))
        json_object_set_new(answer, "text", json_stringn(bytes, length));
    return true;
}

/* ── one call ──────────────────────────────────────────────────────────────────────────────────────── */

/* A terminal gets no bytes that could play tricks on it. */
static bool print_bytes(const json_t *answer, struct err *err)
{
    size_t length = 0;
    FREE_AUTO char *bytes = bytes_of(answer, &length, err);
    if (!bytes) return false;
    if (isatty(STDOUT_FILENO)) return print_tame(bytes, stdout), true;
    return fwrite(bytes, 1, length, stdout) == length || err_sys(err, ERR_IO, "cannot write it down");
}

static bool print_part(const char *part, const json_t *answer, struct err *err)
{
    size_t length = 0;
    FREE_AUTO char *bytes = bytes_of(answer, &length, err);
    if (!bytes) return false;
    printf("%s (%zu bytes, as entry %lld of the log commits to)\n", part, length,
           (long long)json_integer_value(json_object_get(answer, "entry")));
    print_tame(bytes, stdout);
    putchar('\n');
    return true;
}

/* Both: what of them is kept. false: nothing is. */
static bool both(struct cli *cli, json_int_t attempt, json_t *all, struct err *err)
{
    for (size_t i = 0; i < 2; i++) {
        JSON_AUTO *answer = NULL;
        struct err why = {0};
        if (fetch(cli, cli->arguments[0], attempt, parts[i], &answer, &why)) {
            if (!add_text(answer, err)) return false;
            json_object_set(all, parts[i], answer);
        } else if (why.kind != ERR_NOT_FOUND && why.kind != ERR_STATE) {
            return (*err = why), false;
        } else if (err->kind == ERR_NONE) {
            *err = why;
        }
    }
    return json_object_size(all) > 0;
}

static bool show_both(struct cli *cli, json_int_t attempt, struct err *err)
{
    JSON_AUTO *all = json_object();
    struct err why = {0};
    if (!both(cli, attempt, all, &why)) return (*err = why), false;
    if (cli->json) return print_json(all), true;
    for (size_t i = 0; i < 2; i++) {
        const json_t *answer = json_object_get(all, parts[i]);
        if (answer && !print_part(parts[i], answer, err)) return false;
    }
    if (why.kind != ERR_NONE) fprintf(stderr, "caisson: %s\n", why.text);
    return true;
}

static bool read_attempt(const struct cli *cli, json_int_t *attempt, struct err *err)
{
    const char *text = cli_value(cli, "attempt");
    char *end = NULL;
    *attempt = text ? (json_int_t)strtol(text, &end, 10) : 0;
    return !text || (*text >= '1' && *text <= '9' && !*end && *attempt <= INT32_MAX) ||
           err_set(err, ERR_USAGE, "--attempt wants a number from 1");
}

bool verb_audit_payload(struct cli *cli, struct err *err)
{
    bool input = cli_value(cli, "input"), reply = cli_value(cli, "reply");
    JSON_AUTO *answer = NULL;
    json_int_t attempt;
    if (!read_attempt(cli, &attempt, err) || !key_library(err)) return false;
    if (input == reply) return show_both(cli, attempt, err);
    if (!fetch(cli, cli->arguments[0], attempt, parts[reply], &answer, err)) return false;
    if (!cli->json) return print_bytes(answer, err);
    return add_text(answer, err) && (print_json(answer), true);
}

/* ── a person's ────────────────────────────────────────────────────────────────────────────────────── */

static bool add_one(struct cli *cli, json_t *entry, struct err *err)
{
    const json_t *body = json_object_get(entry, "body");
    const char *id = json_string_value(json_object_get(body, "call"));
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    JSON_AUTO *answer = NULL;
    if (!id || !kind) return true;
    if (!fetch(cli, id, json_integer_value(json_object_get(body, "attempt")), parts[strcmp(kind, "intent") != 0],
               &answer, err) ||
        !add_text(answer, err))
        return false;
    return json_object_set(entry, "payload", answer) == 0 || err_set(err, ERR_BUSY, "out of memory");
}

/* An auditor may not, somebody has erased or pruned it just now, or it is damaged: that one is left out, and says why. */
static bool leave_out(json_t *entry, struct err *err)
{
    if (err->kind != ERR_DENIED && err->kind != ERR_NOT_FOUND && err->kind != ERR_DAMAGED)
        return err_in(err, "what is kept of a payload");
    json_object_set_new(entry, "payload_problem", json_string(err->text));
    *err = (struct err){0};
    return true;
}

bool payloads_add(struct cli *cli, json_t *person, struct err *err)
{
    size_t i, left_out = 0;
    json_t *entry;
    if (!key_library(err)) return false;
    json_array_foreach(json_object_get(person, "entries"), i, entry)
    {
        if (!json_object_get(entry, "payload_size") || add_one(cli, entry, err)) continue;
        if (!leave_out(entry, err)) return false;
        left_out++;
    }
    if (left_out)
        fprintf(stderr, "caisson: %zu payloads are left out; each entry says why (payload_problem)\n", left_out);
    return true;
}
