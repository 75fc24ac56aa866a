/* SPDX-License-Identifier: Apache-2.0 */
/* The error value and the one table that says what each kind means to callers, scripts and the log. */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct err_row rows[ERR_KINDS] = {
    [ERR_NONE] = {"ok", 200, 0, false, "Done."},
    [ERR_USAGE] = {"usage", 400, 2, false, "The command line is wrong."},
    [ERR_MALFORMED] = {"malformed", 400, 3, false, "The request could not be read."},
    [ERR_BAD_INPUT] = {"bad-input", 422, 4, false, "The input does not fit what the action asks for."},
    [ERR_TOO_LARGE] = {"too-large", 413, 4, false, "The request is larger than the limit."},
    [ERR_NO_IDENTITY] = {"no-identity", 401, 5, false, "Nobody known is calling."},
    [ERR_DENIED] = {"denied", 403, 5, false, "The caller does not have this right."},
    [ERR_NOT_FOUND] = {"not-found", 404, 6, false, "There is no such thing."},
    [ERR_CONFLICT] = {"key-in-use", 409, 7, true, "The first call under this key is still running."},
    [ERR_KEY_REUSED] = {"key-reused", 422, 7, false, "The key was used for another payload."},
    [ERR_UNCERTAIN] = {"outcome-uncertain", 409, 8, false, "The first call under this key may have been sent."},
    [ERR_RATE] = {"rate-limited", 429, 9, true, "Too many requests."},
    [ERR_BUSY] = {"busy", 503, 9, true, "There is no room right now."},
    [ERR_FROZEN] = {"frozen", 503, 10, true, "An administrator has frozen all calls."},
    [ERR_AUDIT] = {"audit-unavailable", 503, 11, true, "The log cannot be written, so nothing runs."},
    [ERR_UNAVAILABLE] = {"unavailable", 503, 12, true, "A part of the daemon is restarting."},
    [ERR_STALE] = {"stale", 503, 12, true, "The registry has just changed."},
    [ERR_CHANGED] = {"plugin-changed", 409, 13, false, "The plugin is not the one that was approved."},
    [ERR_LOAD] = {"load-failed", 502, 13, false, "The connector cannot be loaded."},
    [ERR_REJECTED] = {"rejected", 502, 20, false, "The service refused for good."},
    [ERR_RETRYABLE] = {"retryable", 503, 21, true, "The service may accept this later."},
    [ERR_TIMEOUT] = {"timeout", 504, 22, false, "The deadline passed."},
    [ERR_CRASHED] = {"crashed", 502, 23, false, "The connector crashed."},
    [ERR_VIOLATION] = {"violation", 502, 24, false, "The connector tried what it may not do."},
    [ERR_PROTOCOL] = {"protocol-error", 502, 25, false, "The connector broke the protocol."},
    [ERR_LOST] = {"lost", 502, 26, false, "What became of the call could not be learnt."},
    [ERR_EXISTS] = {"exists", 409, 7, false, "It is there already."},
    [ERR_STATE] = {"wrong-state", 409, 7, false, "That is not possible in this state."},
    [ERR_IO] = {"system", 500, 14, true, "The operating system refused."},
    [ERR_MISSING_LAYER] = {"missing-wall", 503, 15, false, "This machine lacks a wall that is required."},
    [ERR_INTERNAL] = {"internal", 500, 1, false, "A fault in Caisson itself."},
    [ERR_DAMAGED] = {"damaged", 500, 16, false, "The log is not what was recorded."},
};

const struct err_row *err_row(enum err_kind kind)
{
    unsigned index = (unsigned)kind;
    return &rows[index < ERR_KINDS ? index : ERR_INTERNAL];
}

enum err_kind err_kind_of(const char *slug)
{
    for (unsigned kind = 0; kind < ERR_KINDS; kind++)
        if (strcmp(rows[kind].slug, slug) == 0) return (enum err_kind)kind;
    return ERR_INTERNAL;
}

__attribute__((format(printf, 3, 0))) static void set_text(struct err *err, enum err_kind kind, const char *format,
                                                           va_list args)
{
    err->kind = kind;
    vsnprintf(err->text, sizeof err->text, format, args);
}

static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

bool err_set_at(struct err *err, enum err_kind kind, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(err, kind, format, args);
    va_end(args);
    snprintf(err->detail, sizeof err->detail, "%s:%d", base_name(file), line);
    return false;
}

bool err_sys_at(struct err *err, enum err_kind kind, const char *file, int line, const char *format, ...)
{
    int cause = errno;
    va_list args;
    va_start(args, format);
    set_text(err, kind, format, args);
    va_end(args);
    snprintf(err->detail, sizeof err->detail, "%s:%d: %s", base_name(file), line, strerrordesc_np(cause));
    return false;
}

bool err_in(struct err *err, const char *format, ...)
{
    char inner[ERR_TEXT];
    memcpy(inner, err->text, sizeof inner);

    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used < 0 || (size_t)used >= sizeof err->text - 2) return false;
    snprintf(err->text + used, sizeof err->text - (size_t)used, ": %.*s", (int)(sizeof inner - (size_t)used - 3),
             inner);
    return false;
}
