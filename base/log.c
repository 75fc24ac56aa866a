/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON line per event, built in a fixed buffer. */
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "utf8.h"

static enum log_level most_level = LOG_LEVEL_INFO;
static const char *role;
static int target = STDERR_FILENO;
static bool (*hidden)(const char *, const char *);

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* The last bytes are kept free for what closes the line, whatever came before. */
enum { LOG_TAIL = 24 };
struct line {
    size_t used;
    bool cut;
    char bytes[LOG_LINE];
};

static void add(struct line *line, const char *bytes, size_t count)
{
    if (line->cut || line->used + count > sizeof line->bytes - LOG_TAIL) {
        line->cut = true;
        return;
    }
    memcpy(line->bytes + line->used, bytes, count);
    line->used += count;
}

static void add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

static void add_escaped(struct line *line, unsigned char c)
{
    char escape[8];
    if (c == '"' || c == '\\')
        snprintf(escape, sizeof escape, "\\%c", c);
    else if (c == '\n')
        snprintf(escape, sizeof escape, "\\n");
    else if (c == '\t')
        snprintf(escape, sizeof escape, "\\t");
    else
        snprintf(escape, sizeof escape, "\\u%04x", c < 0x80 ? c : 0xfffdu);
    add_text(line, escape);
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Cut by what is written, not by what is read: escapes are longer than what they stand for. */
static void add_string(struct line *line, const char *text)
{
    size_t length = strnlen(text, LOG_VALUE + 1), end = line->used + LOG_VALUE, i = 0;
    add(line, "\"", 1);
    while (i < length && line->used < end && !line->cut) {
        size_t step = utf8_step(text + i, length - i);
        bool whole = step > 1 || plain((unsigned char)text[i]);
        if (whole)
            add(line, text + i, step);
        else
            add_escaped(line, (unsigned char)text[i]);
        i += step ? step : 1;
    }
    add_text(line, i < length ? "[cut]\"" : "\"");
}

static void add_key(struct line *line, const char *key)
{
    add_text(line, line->used > 1 ? ",\"" : "\"");
    add_text(line, key);
    add_text(line, "\":");
}

static void add_value(struct line *line, const struct log_field *field)
{
    char number[24];
    switch (field->kind) {
    case LOG_KIND_TEXT:
        if (!field->text)
            add_text(line, "null");
        else
            add_string(line, hidden && hidden(field->key, field->text) ? "[redacted]" : field->text);
        break;
    case LOG_KIND_NUMBER:
        snprintf(number, sizeof number, "%lld", (long long)field->number);
        add_text(line, number);
        break;
    case LOG_KIND_TRUTH: add_text(line, field->number ? "true" : "false"); break;
    case LOG_KIND_SECRET: add_text(line, "\"[secret]\""); break;
    case LOG_END: break;
    }
}

/* A field goes in whole or not at all: a half one would spoil the line. */
static void add_field(struct line *line, const struct log_field *field)
{
    size_t before = line->used;
    add_key(line, field->key);
    add_value(line, field);
    if (line->cut) line->used = before;
}

static void add_time(struct line *line)
{
    uint64_t now = clock_wall();
    time_t seconds = (time_t)(now / CLOCK_S);
    struct tm utc;
    char text[40];
    gmtime_r(&seconds, &utc);
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + used, sizeof text - used, ".%03uZ", (unsigned)(now % CLOCK_S / CLOCK_MS));
    add_field(line, &log_text("time", text));
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
    if (level > most_level) return;
    struct line line = {0};
    add_text(&line, "{");
    add_time(&line);
    add_field(&line, &log_text("level", level_names[level]));
    if (role) add_field(&line, &log_text("role", role));
    add_field(&line, &log_text("event", event));
    for (; fields->kind != LOG_END; fields++) add_field(&line, fields);

    const char *end = line.cut ? ",\"cut\":true}\n" : "}\n";
    memcpy(line.bytes + line.used, end, strlen(end));
    line.used += strlen(end);
    ssize_t ignored = write(target, line.bytes, line.used); /* where should a failure to log be logged? */
    (void)ignored;
}

void log_level(enum log_level most)
{
    most_level = most;
}

bool log_level_parse(const char *name, enum log_level *level)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(level_names[i], name) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

void log_role(const char *name)
{
    role = name;
}

void log_to(int fd)
{
    target = fd;
}

void log_redact(bool (*hide)(const char *key, const char *text))
{
    hidden = hide;
}
