/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of caisson-verify, and its verdict. */
#include "verify.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#ifndef CAISSON_VERSION
#define CAISSON_VERSION "?"
#endif

static const struct mode {
    const char *name, *arguments;
    unsigned count;
    bool (*run)(struct verify *verify, struct err *err);
    const char *help;
} modes[] = {
    {"tiles", "DIR", 1, verify_tiles, "A folder laid out as C2SP tlog-tiles, down to every entry"},
    {"proof", "FILE", 1, verify_proof, "A C2SP tlog-proof: that one entry stands in the log"},
    {"consistency", "OLD NEW", 2, verify_growth,
     "That the log of the checkpoint OLD was only added to; NEW: a proof with its checkpoint, or with --tiles a "
     "checkpoint"},
    {"note", "FILE", 1, verify_note, "A C2SP signed note of any text"},
};

static bool take_key(struct verify *verify, const char *value, struct err *err)
{
    return keys_pin(&verify->keys, value, NOTE_LOG, err);
}

static bool take_witness(struct verify *verify, const char *value, struct err *err)
{
    return keys_pin(&verify->keys, value, NOTE_WITNESS, err);
}

static bool number_of(const char *value, uint64_t *number, struct err *err)
{
    return note_number(value, strlen(value), number) || err_set(err, ERR_USAGE, "%.40s is not a number", value);
}

static bool take_wanted(struct verify *verify, const char *value, struct err *err)
{
    uint64_t number;
    if (!number_of(value, &number, err)) return false;
    verify->keys.wanted = number > 1000 ? 1000 : (unsigned)number;
    return true;
}

static bool take_least(struct verify *verify, const char *value, struct err *err)
{
    return number_of(value, &verify->least, err);
}

static bool take_json(struct verify *verify, const char *value, struct err *err)
{
    return verify->json = true;
}

/* Where a text goes that needs no look. */
#define TEXT(member) offsetof(struct verify, member)
static const struct option {
    const char *name, *value, *help;
    bool (*take)(struct verify *verify, const char *value, struct err *err); /* NULL: the text is kept at offset */
    size_t offset;
} options[] = {
    {"vkey", "KEY", "A verifier key of the log, NAME+HASH+KEY; the first one, where keys roll; may be repeated",
     take_key, 0},
    {"origin", "NAME", "The log's name; that of the key when absent", NULL, TEXT(keys.origin)},
    {"witness", "KEY", "The verifier key of a witness; may be repeated", take_witness, 0},
    {"witnesses", "COUNT", "How many of them must have cosigned; all when absent", take_wanted, 0},
    {"min-index", "N", "Entries below this one may be absent", take_least, 0},
    {"checkpoint", "FILE", "With tiles: this checkpoint in place of the folder's own", NULL, TEXT(checkpoint)},
    {"entry", "FILE", "With proof: the entry's bytes, in place of those that the proof carries", NULL, TEXT(entry)},
    {"tiles", "DIR", "With consistency: make the proof out of these tiles", NULL, TEXT(tiles)},
    {"rolls", "DIR", "The proofs of the log's new keys; with tiles, rolls in the folder when absent", NULL,
     TEXT(rolls)},
    {"json", NULL, "Print the verdict as JSON", take_json, 0},
    {"help", NULL, "Print help", NULL, 0},
    {"version", NULL, "Print the version", NULL, 0},
};
enum { MODES = sizeof modes / sizeof *modes, OPTIONS = sizeof options / sizeof *options };

static int help(FILE *out)
{
    fputs("Usage: caisson-verify MODE --vkey KEY [OPTIONS]\n\n", out);
    for (size_t i = 0; i < MODES; i++)
        fprintf(out, "  %s %s\n        %s.\n", modes[i].name, modes[i].arguments, modes[i].help);
    fputs("\nOptions:\n", out);
    for (size_t i = 0; i < OPTIONS; i++)
        fprintf(out, "  --%s%s%s\n        %s.\n", options[i].name, options[i].value ? " " : "",
                options[i].value ? options[i].value : "", options[i].help);
    fputs("\nExit status: 0 good, 1 bad, 2 it could not be tried, 3 incomplete.\n", out);
    return out == stdout ? VERIFY_GOOD : VERIFY_USAGE;
}

/* ── the command line ──────────────────────────────────────────────────────────────────────────────── */

static const struct option *option_of(const char *word, size_t length)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, word, length) == 0) return &options[i];
    return NULL;
}

/* "--name=value", "--name value" or "--name"; *used: how many words it took. */
static bool take_option(struct verify *verify, char **words, int left, int *used, struct err *err)
{
    const char *name = words[0] + 2, *equals = strchr(name, '=');
    const struct option *option = option_of(name, equals ? (size_t)(equals - name) : strlen(name));
    const char *value = equals ? equals + 1 : left > 1 ? words[1] : NULL;
    if (!option) return err_set(err, ERR_USAGE, "there is no option %.60s", words[0]);
    if (option->value ? !value : equals != NULL)
        return err_set(err, ERR_USAGE, "--%s %s %s", option->name, option->value ? "wants" : "takes",
                       option->value ? option->value : "no value");
    *used = option->value && !equals ? 2 : 1;
    if (option->take) return option->take(verify, value, err);
    if (option->value) memcpy((char *)verify + option->offset, &value, sizeof value);
    return true;
}

static const struct mode *mode_of(const char *word)
{
    for (size_t i = 0; i < MODES; i++)
        if (strcmp(modes[i].name, word) == 0) return &modes[i];
    return NULL;
}

/* All witnesses are wanted where nobody says how many, and a key says the log's name where nobody else does. */
static bool settle(struct verify *verify, const struct mode *mode, bool counted, struct err *err)
{
    unsigned witnesses = 0, log = 0;
    struct verify_keys *keys = &verify->keys;
    for (unsigned i = 0; i < keys->count; i++) {
        bool is_log = keys->signers[i].kind == NOTE_LOG;
        witnesses += !is_log;
        log += is_log;
        if (is_log && !keys->origin) keys->origin = keys->signers[i].name;
    }
    if (!counted) keys->wanted = witnesses;
    if (verify->argument_count != mode->count)
        return err_set(err, ERR_USAGE, "%s wants %s", mode->name, mode->arguments);
    if (!log) return err_set(err, ERR_USAGE, "nothing can be verified without a key that you trust: give --vkey");
    return keys->wanted <= witnesses || err_set(err, ERR_USAGE, "more witnesses are wanted than keys are given for");
}

static bool parse(int count, char **words, struct verify *verify, const struct mode **mode, struct err *err)
{
    bool counted = false;
    for (int i = 1, used; i < count; i += used) {
        used = 1;
        counted |= strncmp(words[i], "--witnesses", 11) == 0;
        if (strncmp(words[i], "--", 2) == 0) {
            if (!take_option(verify, words + i, count - i, &used, err)) return false;
        } else if (!*mode) {
            *mode = mode_of(words[i]);
            if (!*mode) return err_set(err, ERR_USAGE, "%.40s is nothing that can be verified", words[i]);
        } else if (verify->argument_count == VERIFY_ARGUMENTS)
            return err_set(err, ERR_USAGE, "one argument too many");
        else
            verify->arguments[verify->argument_count++] = words[i];
    }
    if (!*mode) return err_set(err, ERR_USAGE, "what is to be verified? One of tiles, proof, consistency and note");
    return settle(verify, *mode, counted, err);
}

/* ── the verdict ───────────────────────────────────────────────────────────────────────────────────── */

static enum verify_status status_of(bool good, const struct err *err)
{
    if (good) return VERIFY_GOOD;
    return err->kind == ERR_DAMAGED ? VERIFY_BAD : err->kind == ERR_STATE ? VERIFY_INCOMPLETE : VERIFY_USAGE;
}

static const char *const verdicts[] = {"good", "bad", "not-tried", "incomplete"};

/* Names and paths are others': what could play tricks on a terminal or end a text stands as a question mark. */
static void print_tame(const char *text, FILE *out)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == '"' || *text == '\\' || *text == 127 ? '?' : *text, out);
}

static void print_json(const struct verify *verify, enum verify_status status, const struct err *err)
{
    char root[HASH_TEXT];
    hex_text(verify->root, HASH_BYTES, root);
    printf("{\"verdict\":\"%s\",\"origin\":\"", verdicts[status]);
    print_tame(verify->keys.origin ? verify->keys.origin : "", stdout);
    printf("\",\"size\":%llu,\"root\":\"%s\",\"entries\":%llu,\"pruned\":%llu,\"absent\":%llu,\"witnesses\":%u",
           (unsigned long long)verify->size, root, (unsigned long long)verify->entries,
           (unsigned long long)verify->pruned, (unsigned long long)verify->absent, keys_witnesses(&verify->keys));
    if (verify->has_index) printf(",\"index\":%llu", (unsigned long long)verify->index);
    if (verify->old_size) printf(",\"old_size\":%llu", (unsigned long long)verify->old_size);
    if (status != VERIFY_GOOD) {
        fputs(",\"text\":\"", stdout);
        print_tame(err->text, stdout);
        putchar('"');
    }
    puts("}");
}

static void print_text(const struct verify *verify, const struct mode *mode, enum verify_status status,
                       const struct err *err)
{
    FILE *out = status == VERIFY_GOOD ? stdout : stderr;
    fprintf(out, "%s: ", verdicts[status]);
    if (status != VERIFY_GOOD)
        print_tame(err->text, out);
    else if (mode->run == verify_note)
        fputs("the note is signed by a key that you gave", out);
    else if (mode->run == verify_proof)
        fprintf(out, "this is entry %llu of the log, which has %llu entries", (unsigned long long)verify->index,
                (unsigned long long)verify->size);
    else if (mode->run == verify_growth)
        fprintf(out, "the log of %llu entries continues the one of %llu", (unsigned long long)verify->size,
                (unsigned long long)verify->old_size);
    else
        fprintf(out, "%llu entries, every one of them in the tree that was signed",
                (unsigned long long)verify->entries);
    if (status == VERIFY_GOOD && verify->pruned)
        fprintf(out, "; %llu older ones are absent, as you allowed", (unsigned long long)verify->pruned);
    if (status == VERIFY_GOOD && keys_witnesses(&verify->keys))
        fprintf(out, "; cosigned by %u witnesses", keys_witnesses(&verify->keys));
    fputc('\n', out);
}

int verify_main(int count, char **words)
{
    struct verify verify = {0};
    const struct mode *mode = NULL;
    struct err err = {0};
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) return help(stdout);
        if (strcmp(words[i], "--version") == 0) return puts("caisson-verify " CAISSON_VERSION) < 0;
    }
    if (count < 2) return help(stderr);
    bool good = (sodium_init() >= 0 || err_set(&err, ERR_INTERNAL, "libsodium does not start")) &&
                parse(count, words, &verify, &mode, &err) && mode->run(&verify, &err);
    enum verify_status status = status_of(good, &err);
    if (verify.json)
        print_json(&verify, status, &err);
    else
        print_text(&verify, mode, status, &err);
    keys_clear(&verify.keys);
    return fflush(stdout) != 0 || ferror(stdout) ? VERIFY_USAGE : (int)status;
}
