/* SPDX-License-Identifier: Apache-2.0 */
/* The error value: one kind, one sentence that reads from the outside inwards, no allocation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* One row of the table in err.c each; the numbers travel between processes, so new kinds go to the end. */
enum err_kind {
    ERR_NONE = 0,
    ERR_USAGE,         /* the command line is wrong */
    ERR_MALFORMED,     /* not JSON, not INI, not a frame */
    ERR_BAD_INPUT,     /* well formed, but against the schema */
    ERR_TOO_LARGE,     /* over a documented limit */
    ERR_NO_IDENTITY,   /* no token, or one that nobody issued */
    ERR_DENIED,        /* known caller without the right */
    ERR_NOT_FOUND,     /* no such connector, action, credential or call */
    ERR_CONFLICT,      /* the first call under this key is still running */
    ERR_KEY_REUSED,    /* the key was used for another payload */
    ERR_UNCERTAIN,     /* the key's first call may have been sent */
    ERR_RATE,          /* over a rate limit */
    ERR_BUSY,          /* no room right now */
    ERR_FROZEN,        /* an administrator froze the runtime */
    ERR_AUDIT,         /* the log cannot be written: nothing runs */
    ERR_UNAVAILABLE,   /* a role is restarting or absent */
    ERR_STALE,         /* another registry number is in force */
    ERR_CHANGED,       /* a plugin's file is not what was approved */
    ERR_LOAD,          /* the plugin does not load */
    ERR_REJECTED,      /* the remote side refused for good */
    ERR_RETRYABLE,     /* the remote side may accept it later */
    ERR_TIMEOUT,       /* the deadline passed */
    ERR_CRASHED,       /* the worker died */
    ERR_VIOLATION,     /* the worker tried what it may not do */
    ERR_PROTOCOL,      /* a peer's frame is wrong */
    ERR_LOST,          /* the outcome could not be learnt */
    ERR_EXISTS,        /* already there */
    ERR_STATE,         /* not possible in this state */
    ERR_IO,            /* the operating system refused */
    ERR_MISSING_LAYER, /* the kernel lacks a wall that is required */
    ERR_INTERNAL,      /* a fault of ours */
    ERR_DAMAGED,       /* the log, or what stands beside it, is not what was recorded */
    ERR_KINDS
};

/* What each kind means outside: one table, used by the API, the CLI and the log. */
struct err_row {
    const char *slug;  /* stable name: problem type and JSON field */
    int http;          /* HTTP status, RFC 9110 */
    int exit;          /* exit code of the caisson command */
    bool retry;        /* may the same request succeed later, unchanged? */
    const char *title; /* one plain sentence */
};

enum { ERR_TEXT = 400, ERR_DETAIL = 200 };

struct err {
    enum err_kind kind;
    char text[ERR_TEXT];     /* for callers: no secret, no internal path */
    char detail[ERR_DETAIL]; /* for the operator's log: errno text, file:line of the origin */
};

/* Sets kind and text, replacing what stood there. Always returns false, so that callers write `return err_set(…)`. */
#define err_set(err, kind, ...) err_set_at((err), (kind), __FILE__, __LINE__, __VA_ARGS__)

/* As err_set, and keeps strerror(errno) in the operator's detail. */
#define err_sys(err, kind, ...) err_sys_at((err), (kind), __FILE__, __LINE__, __VA_ARGS__)

bool err_set_at(struct err *err, enum err_kind kind, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
bool err_sys_at(struct err *err, enum err_kind kind, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Puts "context: " before the text. Always returns false. */
bool err_in(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The row of a kind; unknown numbers get ERR_INTERNAL's. */
const struct err_row *err_row(enum err_kind kind);
/* The kind of a slug, ERR_INTERNAL when nobody has it. */
enum err_kind err_kind_of(const char *slug);
