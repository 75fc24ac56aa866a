/* SPDX-License-Identifier: Apache-2.0 */
/* What a verification saw, for people and for programs. */
#include <string.h>

#include "audit_verify.h"

static void json_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, ",\"%s\":\"", key);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ')
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void json_number(FILE *out, const char *key, uint64_t number)
{
    fprintf(out, ",\"%s\":%llu", key, (unsigned long long)number);
}

static void print_json(const struct audit_report *report, const struct err *err, FILE *out)
{
    char root[HASH_TEXT];
    hex_text(report->root, HASH_BYTES, root);
    fprintf(out, "{\"good\":%s", report->good ? "true" : "false");
    json_text(out, "origin", report->origin);
    json_number(out, "entries", report->entries);
    json_number(out, "signed", report->signed_size);
    json_number(out, "calls", report->calls);
    json_number(out, "open_calls", report->open_calls);
    json_number(out, "pruned", report->pruned);
    json_number(out, "dropped", report->dropped);
    json_number(out, "checkpoints", report->checkpoints);
    json_number(out, "signatures", report->signatures);
    json_number(out, "rolls", report->rolls);
    json_number(out, "tiles", report->tiles);
    json_number(out, "details", report->details);
    json_number(out, "remembered", report->remembered);
    json_number(out, "witnessed", report->witnessed);
    json_number(out, "bytes", report->body_bytes);
    json_number(out, "milliseconds", report->nanoseconds / 1000000);
    json_text(out, "root", root);
    if (*report->notice) json_text(out, "notice", report->notice);
    if (!report->good) {
        json_text(out, "problem", err_row(err->kind)->slug);
        json_text(out, "text", err->text);
    }
    if (report->has_entry) {
        json_number(out, "first_bad", report->index);
        json_number(out, "last_bad", report->last);
        json_text(out, "kind", report->kind);
        json_text(out, "call", report->call);
    }
    fputs("}\n", out);
}

static void print_text(const struct audit_report *report, FILE *out)
{
    char root[HASH_TEXT];
    hex_text(report->root, HASH_BYTES, root);
    fprintf(out, "The log %s is whole: %llu entries, %llu calls (%llu still open).\n", report->origin,
            (unsigned long long)report->entries, (unsigned long long)report->calls,
            (unsigned long long)report->open_calls);
    fprintf(out, "Signed up to entry %llu (%llu checkpoints, %llu signatures checked); root %s.\n",
            (unsigned long long)report->signed_size, (unsigned long long)report->checkpoints,
            (unsigned long long)report->signatures, root);
    if (report->rolls)
        fprintf(out, "The signing key was followed over %llu rolls.\n", (unsigned long long)report->rolls);
    if (report->pruned)
        fprintf(out, "%llu entries are pruned: proven, but no longer readable.\n", (unsigned long long)report->pruned);
    if (report->dropped)
        fprintf(
            out,
            "%llu entries were dropped, as the log records: that what is left hangs together with them is proven, what "
            "they said is not.\n",
            (unsigned long long)report->dropped);
    if (report->remembered)
        fprintf(out, "It continues what the last verification saw (%llu entries).\n",
                (unsigned long long)report->remembered);
    if (report->witnessed)
        fprintf(out, "It continues what the daemon's parent wrote down (%llu entries).\n",
                (unsigned long long)report->witnessed);
    if (*report->notice) fprintf(out, "Note: %s.\n", report->notice);
}

void audit_report_print(const struct audit_report *report, const struct err *err, bool json, FILE *out)
{
    if (json) return print_json(report, err, out);
    if (report->good) return print_text(report, out);
    fprintf(out, "The log is NOT what was recorded, or could not be verified: %s.\n", err->text);
    if (report->has_entry && report->index == report->last)
        fprintf(out, "First bad entry: %llu (%s%s%s).\n", (unsigned long long)report->index,
                *report->kind ? report->kind : "?", *report->call ? ", call " : "", report->call);
    if (report->has_entry && report->index < report->last)
        fprintf(out, "First bad entry: one of %llu to %llu; those before were signed as they are.\n",
                (unsigned long long)report->index, (unsigned long long)report->last);
}
