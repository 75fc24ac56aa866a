/* SPDX-License-Identifier: Apache-2.0 */
/* Watches both sides of an SMTP greeting: commands against a table, replies for the one that agrees to TLS. */
#include "starttls.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "name.h"

static const struct verb {
    const char *name;
    bool argument, starts;
} verbs[] = {{"EHLO", true, false},
             {"HELO", true, false},
             {"NOOP", false, false},
             {"QUIT", false, false},
             {"STARTTLS", false, true}};

static bool refuse(struct starttls *smtp, const char *what, const char *line, size_t length)
{
    char shown[24] = "";
    name_escape(line, length, shown, sizeof shown);
    snprintf(smtp->why, sizeof smtp->why, "%s%s%s before TLS", what, shown[0] ? " " : "", shown);
    smtp->state = SMTP_REFUSED;
    return false;
}

/* ── up ────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_printable(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] < 0x20 || line[i] > 0x7e) return false;
    return true;
}

static const struct verb *find_verb(const char *line, size_t length)
{
    size_t word = 0;
    while (word < length && line[word] != ' ') word++;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strlen(verbs[i].name) != word || strncasecmp(verbs[i].name, line, word) != 0) continue;
        return word == length || verbs[i].argument ? &verbs[i] : NULL;
    }
    return NULL;
}

/* One line without its end. */
static bool check_line(struct starttls *smtp, const char *line, size_t length)
{
    size_t word = 0;
    while (word < length && line[word] != ' ') word++;
    if (!is_printable(line, length)) return refuse(smtp, "bytes that are no SMTP command", line, word);
    const struct verb *verb = find_verb(line, length);
    if (!verb) return refuse(smtp, "the command", line, word);
    if (verb->starts) smtp->state = SMTP_ASKED;
    smtp->owed++;
    return true;
}

size_t starttls_up(struct starttls *smtp, const char *bytes, size_t count)
{
    size_t passed = 0;
    while (smtp->state == SMTP_LINES && passed < count) {
        const char *line = bytes + passed, *end = memchr(line, '\n', count - passed);
        size_t length = end ? (size_t)(end - line) + 1 : count - passed;
        if (length > SMTP_LINE || smtp->sent + length > SMTP_CLEAR_MAX) {
            refuse(smtp, "more than a greeting", NULL, 0);
        } else if (!end) {
            break;
        } else if (length < 2 || line[length - 2] != '\r') {
            refuse(smtp, "a line without CR LF", NULL, 0);
        } else if (check_line(smtp, line, length - 2)) {
            smtp->sent += length;
            passed += length;
        }
    }
    return passed;
}

/* ── down ──────────────────────────────────────────────────────────────────────────────────────────── */

/* A line of the server ended: the last line of a reply has no hyphen after its code. */
static void reply_line(struct starttls *smtp)
{
    bool last = smtp->column < 4 || smtp->code[3] != '-';
    smtp->column = 0;
    if (!last || !smtp->owed) return;
    if (--smtp->owed || smtp->state != SMTP_ASKED) return;
    smtp->state = memcmp(smtp->code, "220", 3) == 0 ? SMTP_AGREED : SMTP_LINES;
}

bool starttls_down(struct starttls *smtp, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (smtp->state == SMTP_AGREED) return refuse(smtp, "the server spoke", NULL, 0);
        if (bytes[i] == '\n') {
            reply_line(smtp);
            continue;
        }
        if (smtp->column < sizeof smtp->code) smtp->code[smtp->column] = bytes[i];
        smtp->column++;
    }
    return true;
}
