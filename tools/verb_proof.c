/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs out of the log's files, and the log for other software. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "audit_db.h"
#include "audit_export.h"
#include "audit_place.h"
#include "audit_proof_file.h"
#include "base/auto.h"
#include "base/json.h"
#include "dropin.h"
#include "verbs.h"

enum { FILE_MOST = NOTE_MOST };

static bool number_of(const char *text, uint64_t *number)
{
    return note_number(text, strlen(text), number);
}

static bool open_log(struct cli *cli, struct audit_log *log, struct err *err)
{
    return audit_log_open(cli->home.path, log, err) && (!cli_value(cli, "cosigned") || audit_log_cosigned(log, err));
}

/* The files may lag behind: a running daemon signs what it has, and they are opened anew. */
static bool reopen(struct cli *cli, struct audit_log *log, struct err *err)
{
    audit_log_close(log);
    verb_have_signed(cli);
    return open_log(cli, log, err);
}

static bool write_out(struct cli *cli, const struct buf *file, struct err *err)
{
    FILE *out;
    const char *path = cli_value(cli, "output");
    if (!place_file(&cli->home, path, &out, err)) return false;
    bool good = fwrite(file->bytes, 1, file->used, out) == file->used ||
                err_sys(err, ERR_IO, "the output cannot be written");
    return place_done(path, out, good, err);
}

/* ── one entry ─────────────────────────────────────────────────────────────────────────────────────── */

/* The last attempt's outcome, else its intent, unless the options say which. */
static bool find_call(struct cli *cli, struct audit_log *log, uint64_t *index, struct err *err)
{
    static const char sql[] = "SELECT idx FROM entry WHERE call = ?1 AND kind IN (1, 2) AND (?2 = 0 OR attempt = ?2)"
                              " AND (?3 = 0 OR kind = ?3) ORDER BY attempt DESC, kind DESC LIMIT 1";
    const char *attempt = cli_value(cli, "attempt"), *kind = cli_value(cli, "kind");
    uint8_t id[ID_BYTES];
    uint64_t wanted = 0;
    sqlite3_stmt *row = NULL;
    if (!id_parse(cli_value(cli, "call"), id)) return err_set(err, ERR_USAGE, "--call wants the id of a call");
    if (attempt && (!number_of(attempt, &wanted) || !wanted))
        return err_set(err, ERR_USAGE, "--attempt is a number from 1");
    if (kind && strcmp(kind, "intent") != 0 && strcmp(kind, "outcome") != 0)
        return err_set(err, ERR_USAGE, "--kind is intent or outcome");
    if (!audit_db_prepare(log->db, sql, &row, err)) return false;
    sqlite3_bind_blob(row, 1, id, sizeof id, SQLITE_STATIC);
    sqlite3_bind_int64(row, 2, (int64_t)wanted);
    sqlite3_bind_int(row, 3, !kind ? 0 : *kind == 'i' ? 1 : 2);
    int got = audit_db_step(log->db, row, err);
    if (got == 1) *index = (uint64_t)sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return got == 1 || (got < 0 ? false : err_set(err, ERR_NOT_FOUND, "the log has no such record of this call"));
}

static bool find_entry(struct cli *cli, struct audit_log *log, uint64_t *index, struct err *err)
{
    const char *given = cli_value(cli, "index");
    if (!given == !cli_value(cli, "call")) return err_set(err, ERR_USAGE, "give --call or --index");
    if (!given) return find_call(cli, log, index, err);
    return number_of(given, index) || err_set(err, ERR_USAGE, "--index is a number from 0");
}

static bool prove(struct cli *cli, struct audit_log *log, struct buf *file, struct err *err)
{
    uint64_t index, size;
    if (!open_log(cli, log, err) || !find_entry(cli, log, &index, err)) return false;
    if (index >= log->signed_size && (!reopen(cli, log, err) || !find_entry(cli, log, &index, err))) return false;
    return audit_log_size_for(log, index, &size, err) && audit_log_prove(log, index, size, file, err);
}

bool verb_audit_prove(struct cli *cli, struct err *err)
{
    struct audit_log log = {0};
    BUF_AUTO file;
    buf_init(&file, FILE_MOST);
    bool good = prove(cli, &log, &file, err);
    audit_log_close(&log);
    return good && write_out(cli, &file, err);
}

/* ── growth ────────────────────────────────────────────────────────────────────────────────────────── */

/* A size, or a file with a checkpoint of it: then its root must be this log's. */
static bool old_of(const char *word, struct audit_log *log, uint64_t *size, struct err *err)
{
    BUF_AUTO text;
    struct note_parts parts;
    struct audit_note note;
    uint8_t root[HASH_BYTES];
    buf_init(&text, NOTE_MOST);
    if (number_of(word, size)) return true;
    if (!file_get(AT_FDCWD, word, NOTE_MOST, word, &text, err)) return false;
    if (!note_split(text.bytes ? text.bytes : "", text.used, &parts, err) ||
        !checkpoint_parse(&parts, log->origin, &note, err))
        return err_in(err, "%.200s", word);
    *size = note.size;
    const struct proof_source source = audit_log_source(log, note.size);
    if (note.size > log->entries)
        return err_set(err, ERR_DAMAGED, "the log was cut or replaced by an older one: %.200s saw %llu entries", word,
                       (unsigned long long)note.size);
    if (!proof_root(&source, note.size, root))
        return audit_log_lacks(log, note.size, err, "the tree cannot be made: caisson audit verify says why");
    return memcmp(root, note.root, HASH_BYTES) == 0 ||
           err_set(err, ERR_DAMAGED, "this log does not continue the one of %.200s", word);
}

static bool grow(struct cli *cli, struct audit_log *log, struct buf *file, struct err *err)
{
    BUF_AUTO note;
    uint64_t old, new;
    uint8_t root[HASH_BYTES];
    struct proof proof;
    buf_init(&note, NOTE_MOST);
    if (!reopen(cli, log, err) || !old_of(cli->arguments[0], log, &old, err)) return false;
    new = log->signed_size;
    if (cli->argument_count > 1 && !number_of(cli->arguments[1], &new))
        return err_set(err, ERR_USAGE, "NEW is a size at which a checkpoint was signed");
    if (old == 0) return err_set(err, ERR_USAGE, "every log continues an empty one: there is nothing to prove");
    if (old > new) return err_set(err, ERR_USAGE, "OLD is larger than NEW");
    if (!audit_log_note(log, new, &note, root, err)) return false;
    const struct proof_source source = audit_log_source(log, new);
    if (!proof_make_consistency(&source, old, &proof))
        return audit_log_lacks(log, old, err, "the proof cannot be made: caisson audit verify says why");
    return growth_file_write(old, &proof, note.bytes, note.used, file) ||
           err_set(err, ERR_TOO_LARGE, "the proof is too large");
}

bool verb_audit_consistency(struct cli *cli, struct err *err)
{
    struct audit_log log = {0};
    BUF_AUTO file;
    buf_init(&file, FILE_MOST);
    bool good = grow(cli, &log, &file, err);
    audit_log_close(&log);
    return good && write_out(cli, &file, err);
}

/* ── all of it ─────────────────────────────────────────────────────────────────────────────────────── */

static const struct format {
    const char *name;
    bool (*folder)(struct audit_log *, int, struct export_count *, struct err *); /* or else: */
    bool (*file)(struct audit_log *, const struct export_range *, FILE *, struct export_count *, struct err *);
} formats[] = {
    {"tiles", export_tiles, NULL}, {"rolls", export_rolls, NULL}, {"ndjson", NULL, export_lines},
    {"ocsf", NULL, export_ocsf},   {"cef", NULL, export_cef},
};

static const struct format *format_of(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name ? name : "ndjson") == 0) return &formats[i];
    return NULL;
}

/* "10-20", "10-", "10". */
static bool range_of(const char *text, struct export_range *range)
{
    const char *dash = strchr(text, '-');
    if (!note_number(text, dash ? (size_t)(dash - text) : strlen(text), &range->from)) return false;
    if (!dash)
        range->to = range->from;
    else if (dash[1])
        return number_of(dash + 1, &range->to) && range->from <= range->to;
    return true;
}

static bool into_folder(struct cli *cli, struct audit_log *log, const struct format *format, struct export_count *count,
                        struct err *err)
{
    FD_AUTO folder = -1;
    const char *path = cli_value(cli, "output");
    if (!path) return err_set(err, ERR_USAGE, "--format %s wants a folder: --output DIR", format->name);
    if (cli_value(cli, "range") || cli_value(cli, "personal"))
        return err_set(err, ERR_USAGE, "%s are of the whole log, and hold nothing personal", format->name);
    return place_folder(&cli->home, path, log->origin, &folder, err) && format->folder(log, folder, count, err);
}

static bool into_file(struct cli *cli, struct audit_log *log, const struct format *format, struct export_count *count,
                      struct err *err)
{
    FILE *out;
    const char *path = cli_value(cli, "output"), *given = cli_value(cli, "range");
    struct export_range range = {.to = INT64_MAX, .personal = cli_value(cli, "personal")};
    if (given && !range_of(given, &range)) return err_set(err, ERR_USAGE, "--range is two numbers: 100-199");
    if (!place_file(&cli->home, path, &out, err)) return false;
    return place_done(path, out, format->file(log, &range, out, count, err), err);
}

/* On standard error, so that it is never part of the export. */
static void say(const struct format *format, const struct export_count *count)
{
    fprintf(stderr, "%llu %s written.\n", (unsigned long long)count->written,
            format->file == export_ocsf || format->file == export_cef ? "events"
            : format->folder == export_rolls                          ? "proofs"
                                                                      : "entries");
    if (count->pruned)
        fprintf(stderr, "Of %llu the bytes are pruned: they are proven, but not there to be read.\n",
                (unsigned long long)count->pruned);
    if (count->dropped)
        fprintf(stderr, "%llu were dropped, as the log records, and are not part of this.\n",
                (unsigned long long)count->dropped);
    if (count->open) fprintf(stderr, "%llu calls have not ended yet.\n", (unsigned long long)count->open);
}

bool verb_audit_export(struct cli *cli, struct err *err)
{
    const struct format *format = format_of(cli_value(cli, "format"));
    struct audit_log log = {0};
    struct export_count count = {0};
    if (cli_value(cli, "subject")) return verb_audit_person(cli, err);
    if (!format) return err_set(err, ERR_USAGE, "--format is tiles, rolls, ndjson, ocsf or cef");
    bool good = reopen(cli, &log, err) && (format->folder ? into_folder(cli, &log, format, &count, err)
                                                          : into_file(cli, &log, format, &count, err));
    audit_log_close(&log);
    if (good && !cli->json) say(format, &count);
    return good;
}
