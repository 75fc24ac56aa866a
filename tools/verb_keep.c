/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept how long: erasing a person, showing a person everything, pruning, legal holds. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "audit_archive.h"
#include "audit_place.h"
#include "audit_verify.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "keys.h"
#include "print.h"
#include "verbs.h"

#define NANOSECONDS 1000000000LL

static void add_text(json_t *body, const struct cli *cli, const char *option)
{
    const char *value = cli_value(cli, option);
    if (value) json_object_set_new(body, option, json_string(value));
}

/* ── people ────────────────────────────────────────────────────────────────────────────────────────── */

static bool wants_subject(const struct cli *cli, struct err *err)
{
    return cli_value(cli, "subject") || err_set(err, ERR_USAGE, "--subject says whom: an address, a number, a name");
}

bool verb_audit_erase(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL, *body = json_object();
    if (!wants_subject(cli, err)) return false;
    if (!cli_value(cli, "authority"))
        return err_set(err, ERR_USAGE, "--authority says who ordered it and why; it is kept in the record");
    add_text(body, cli, "subject");
    add_text(body, cli, "workspace");
    add_text(body, cli, "authority");
    if (!api_post(&cli->home, "/v1/audit/erase", body, &answer, err)) return false;
    if (cli->json) return print_json(answer), true;
    printf("Erased: what the log kept of this person (%lld entries) can no longer be read. Record: entry %lld.\n",
           (long long)json_integer_value(json_object_get(answer, "count")),
           (long long)json_integer_value(json_object_get(answer, "entry")));
    if (!json_is_true(json_object_get(answer, "complete")))
        puts("Somebody is reading the log just now: old pages of its file are overwritten as soon as that ends.");
    return true;
}

/* All pages as one list. */
static bool all_pages(struct cli *cli, json_t *body, json_t **all, struct err *err)
{
    JSON_AUTO *first = NULL;
    if (!api_post(&cli->home, "/v1/audit/person", body, &first, err)) return false;
    for (json_int_t next = json_integer_value(json_object_get(first, "next")); next;) {
        JSON_AUTO *page = NULL;
        json_object_set_new(body, "from", json_integer(next));
        if (!api_post(&cli->home, "/v1/audit/person", body, &page, err)) return false;
        json_array_extend(json_object_get(first, "entries"), json_object_get(page, "entries"));
        next = json_integer_value(json_object_get(page, "next"));
    }
    json_object_del(first, "next");
    *all = take(&first);
    return true;
}

bool verb_audit_person(struct cli *cli, struct err *err)
{
    const char *path = cli_value(cli, "output");
    FILE *out = NULL;
    JSON_AUTO *answer = NULL, *body = json_object();
    if (!wants_subject(cli, err)) return false;
    if (cli_value(cli, "format") || cli_value(cli, "range") || cli_value(cli, "personal"))
        return err_set(err, ERR_USAGE, "with --subject, everything about the person is written, as JSON");
    add_text(body, cli, "subject");
    add_text(body, cli, "workspace");
    if (!place_file(&cli->home, path, &out, err)) return false;
    bool good = all_pages(cli, body, &answer, err) && payloads_add(cli, answer, err);
    if (good && out == stdout) print_json(answer);
    if (good && out != stdout)
        good = (json_dumpf(answer, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF) ||
               err_sys(err, ERR_IO, "cannot write it down");
    return place_done(path, out, good, err);
}

/* ── pruning ───────────────────────────────────────────────────────────────────────────────────────── */

/* A day (its first moment) or a moment, UTC. */
static bool read_date(const char *text, json_int_t *ns, struct err *err)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%d", &parts);
    if (end && *end) end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (!end || *end)
        return err_set(err, ERR_USAGE, "--before is a day like 2026-01-31 or a time like 2026-01-31T12:00:00Z");
    time_t seconds = timegm(&parts);
    if (seconds < 0 || seconds > INT32_MAX * 4LL) return err_set(err, ERR_USAGE, "--before lies out of all bounds");
    *ns = (json_int_t)seconds * NANOSECONDS;
    return true;
}

/* Bodies are evidence: none goes of a log that is not whole. */
static bool log_whole(struct cli *cli, struct err *err)
{
    struct audit_report report = {0};
    struct audit_how how = {.folder = cli->home.path, .vkey = cli_value(cli, "vkey"), .state = cli_value(cli, "state")};
    verb_have_signed(cli);
    return audit_verify(&how, &report, err) || err_in(err, "nothing was pruned");
}

static bool have_plan(struct cli *cli, json_t *body, struct archive *archive, struct err *err)
{
    JSON_AUTO *plan = NULL;
    if (!api_post(&cli->home, "/v1/audit/prune", body, &plan, err)) return false;
    archive->from = (uint64_t)json_integer_value(json_object_get(plan, "from"));
    archive->to = (uint64_t)json_integer_value(json_object_get(plan, "to"));
    return archive->to > archive->from || err_set(err, ERR_INTERNAL, "the daemon's plan makes no sense");
}

static bool send_archive(struct cli *cli, json_t *body, const struct archive *archive, json_t **answer, struct err *err)
{
    char digest[HASH_TEXT], root[HASH_TEXT];
    hex_text(archive->digest, HASH_BYTES, digest);
    hex_text(archive->root, HASH_BYTES, root);
    json_object_set_new(body, "from", json_integer((json_int_t)archive->from));
    json_object_set_new(body, "to", json_integer((json_int_t)archive->to));
    json_object_set_new(body, "archive", json_string(digest));
    json_object_set_new(body, "root", json_string(root));
    if (api_post(&cli->home, "/v1/audit/prune", body, answer, err)) return true;
    bool refused = err->kind == ERR_STATE || err->kind == ERR_BUSY;
    return err_in(err,
                  refused ? "nothing was pruned, remove the archive" : "it is not known whether this was recorded");
}

/* A file's name is on the disk when its folder is. */
static bool settle_name(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    FD_AUTO fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return (fd >= 0 && fsync(fd) == 0) || err_sys(err, ERR_IO, "cannot write the archive's folder");
}

/* Nothing is left of an archive that is not whole; a whole one is on the disk before the daemon hears of it. */
static bool have_archive(struct cli *cli, const char *path, json_t *body, struct archive *archive, struct err *err)
{
    FILE *out = NULL;
    if (!place_file(&cli->home, path, &out, err)) return false;
    bool good = log_whole(cli, err) && have_plan(cli, body, archive, err) &&
                archive_write(&cli->home, archive, out, err);
    return place_done(path, out, good, err) && settle_name(path, err);
}

bool verb_audit_prune(struct cli *cli, struct err *err)
{
    const char *before = cli_value(cli, "before"), *path = cli_value(cli, "archive");
    struct archive archive = {.details = cli_value(cli, "details")};
    JSON_AUTO *answer = NULL, *body = json_object();
    json_int_t ns = 0;
    bool hashes = cli_value(cli, "hashes");
    if (!before || !path || strcmp(path, "-") == 0)
        return err_set(err, ERR_USAGE, "--before DATE says which bodies go, --archive FILE where they are kept");
    if (!read_date(before, &ns, err) || !key_library(err)) return false;
    json_object_set_new(body, "before", json_integer(ns));
    json_object_set_new(body, "what", json_string(hashes ? "hashes" : "bodies"));
    if (!have_archive(cli, path, body, &archive, err) || !send_archive(cli, body, &archive, &answer, err)) return false;
    if (cli->json) return print_json(answer), true;
    printf(hashes
               ? "Dropped: entries %llu to %llu are in the archive only; what proves later ones stays. Record: entry "
                 "%lld.\n"
               : "Pruned: the bodies of entries %llu to %llu are in the archive only; their proofs stay. Record: "
                 "entry %lld.\n",
           (unsigned long long)archive.from, (unsigned long long)archive.to - 1,
           (long long)json_integer_value(json_object_get(answer, "entry")));
    return true;
}

/* ── holds ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool hold_add(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL, *body = json_object();
    if (!cli_value(cli, "reason"))
        return err_set(err, ERR_USAGE, "--reason says who wants it kept and why; it is kept in the record");
    add_text(body, cli, "workspace");
    add_text(body, cli, "from");
    add_text(body, cli, "to");
    add_text(body, cli, "reason");
    if (!api_post(&cli->home, "/v1/audit/holds", body, &answer, err)) return false;
    if (cli->json) return print_json(answer), true;
    printf("Held: %s\n", json_string_value(json_object_get(answer, "id")));
    return true;
}

static bool hold_list(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {
        {"ID", "id"},           {"WORKSPACE", "workspace"}, {"FROM", "from"},     {"TO", "to"},
        {"CREATED", "created"}, {"ENTRY", "entry"},         {"REASON", "reason"}, {NULL, NULL}};
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/audit/holds", NULL);
    api_query(path, "workspace", cli_value(cli, "workspace"));
    if (!api_get(&cli->home, API_DESK, path, &answer, err)) return false;
    verb_show_rows(cli, answer, fields, "No holds.");
    return true;
}

static bool hold_remove(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    if (cli->argument_count != 2) return err_set(err, ERR_USAGE, "caisson audit hold remove wants the hold's id");
    api_path(path, "/v1/audit/holds/", cli->arguments[1]);
    api_query(path, "reason", cli_value(cli, "reason"));
    struct api_request request = {.socket = API_DESK, .method = "DELETE", .path = path};
    if (!api_send(&cli->home, &request, &answer, err)) return false;
    if (cli->json && answer) return print_json(answer), true;
    puts("The hold is gone.");
    return true;
}

bool verb_audit_hold(struct cli *cli, struct err *err)
{
    static const struct {
        const char *name;
        bool (*run)(struct cli *, struct err *);
    } acts[] = {{"add", hold_add}, {"list", hold_list}, {"remove", hold_remove}};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].name, cli->arguments[0]) == 0) return acts[i].run(cli, err);
    return err_set(err, ERR_USAGE, "caisson audit hold wants add, list or remove");
}
