/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON line per event on standard error, written at once; every process of the daemon logs this way, so there is
 * no allocation, no lock and no system call but write and clock_gettime in here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Texts longer than this are cut, and say so; so is a line that reaches LOG_LINE. */
enum { LOG_VALUE = 1024, LOG_LINE = 4096 };

enum log_kind { LOG_END, LOG_KIND_TEXT, LOG_KIND_NUMBER, LOG_KIND_TRUTH, LOG_KIND_SECRET };
struct log_field {
    enum log_kind kind;
    const char *key;
    const char *text;
    int64_t number;
};

/* The fields of an event. A NULL text is written as null. log_secret() takes no value, so that none can slip out. */
#define log_text(key_, text_) ((struct log_field){.kind = LOG_KIND_TEXT, .key = (key_), .text = (text_)})
#define log_number(key_, number_)                                                                                      \
    ((struct log_field){.kind = LOG_KIND_NUMBER, .key = (key_), .number = (int64_t)(number_)})
#define log_truth(key_, truth_) ((struct log_field){.kind = LOG_KIND_TRUTH, .key = (key_), .number = (truth_)})
#define log_secret(key_) ((struct log_field){.kind = LOG_KIND_SECRET, .key = (key_)})

/* log_event(LOG_LEVEL_INFO, "worker-ended", log_text("call", id), log_number("exit", 1));
 * {"time":"2026-01-02T03:04:05.678Z","level":"info","role":"runner","event":"worker-ended","call":"…","exit":1} */
#define log_event(level, event, ...)                                                                                   \
    log_fields((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_END}})

/* An event with an error: its kind, its text and the operator's detail. */
#define log_failure(event, err)                                                                                        \
    log_event(LOG_LEVEL_ERROR, (event), log_text("kind", err_row((err)->kind)->slug), log_text("error", (err)->text),  \
              log_text("detail", (err)->detail))

void log_fields(enum log_level level, const char *event, const struct log_field *fields);

/* Events above this level are dropped; LOG_LEVEL_INFO at first. */
void log_level(enum log_level most);
/* "error", "warning", "info", "debug"; false: none of them. */
bool log_level_parse(const char *name, enum log_level *level);
/* Who writes: a string that lives on. Left out of the line when never set. */
void log_role(const char *name);
/* Where to: standard error at first. */
void log_to(int fd);
/* Asked before every text is written; true = write "[redacted]" in its place. NULL takes the question away. */
void log_redact(bool (*hide)(const char *key, const char *text));
