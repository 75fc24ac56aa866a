/* SPDX-License-Identifier: Apache-2.0 */
/* caisson credential import: credentials from another system. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audience.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "importing.h"
#include "keys.h"
#include "print.h"
#include "source.h"
#include "verbs.h"

/* ── the command line ──────────────────────────────────────────────────────────────────────────────── */

static bool read_options(struct importing *import, struct err *err)
{
    struct cli *cli = import->filling.cli;
    const char *format = cli_value(cli, "format"), *ttl = cli_value(cli, "ttl");
    if (!format || (strcmp(format, "fernet") != 0 && strcmp(format, "aes-gcm") != 0))
        return err_set(err, ERR_USAGE, "--format is fernet or aes-gcm");
    import->format = strcmp(format, "fernet") == 0 ? IMPORT_FERNET : IMPORT_AES_GCM;
    import->dry = cli_value(cli, "dry-run");
    import->replace = cli_value(cli, "replace");
    import->base = cli_value(cli, "name");
    import->field = cli_value(cli, "field");
    import->age.now = clock_wall() / CLOCK_S;
    if (ttl && (strspn(ttl, "0123456789") != strlen(ttl) || strlen(ttl) > 10 || strtoull(ttl, NULL, 10) == 0))
        return err_set(err, ERR_USAGE, "--ttl is a number of seconds");
    if (ttl && import->format != IMPORT_FERNET)
        return err_set(err, ERR_USAGE, "--ttl: only Fernet tokens say when they were made");
    import->age.ttl_s = ttl ? strtoull(ttl, NULL, 10) : 0;
    return import_check_secret(import, err);
}

static bool read_names(struct importing *import, struct err *err)
{
    struct cli *cli = import->filling.cli;
    const char *hosts[AUDIENCE_HOSTS], *workspace = cli_value(cli, "workspace"),
                                       *connector = cli_value(cli, "connector");
    size_t count = 0;
    unsigned at = 0;
    workspace = workspace ? workspace : "default";
    if (!connector) return err_set(err, ERR_USAGE, "--connector NAME says what the credentials are for");
    if (!name_valid(connector) || !name_valid(workspace) || (import->base && !name_valid(import->base)))
        return err_set(err, ERR_USAGE, "names have a-z 0-9 - _ and inner dots, first a letter, at most 63");
    for (const char *host; (host = cli_next(cli, "audience", &at));) {
        if (count == AUDIENCE_HOSTS) return err_set(err, ERR_USAGE, "--audience: too many hosts");
        hosts[count++] = host;
    }
    TEXT_COPY(import->start.connector, connector);
    TEXT_COPY(import->start.workspace, workspace);
    return audience_text(hosts, count, import->start.audience, err);
}

/* Is this field among those that the command line fills? */
static bool mapped(const struct importing *import, const char *field)
{
    unsigned at = 0;
    if (import->field) return strcmp(import->field, field) == 0;
    for (const char *map; (map = cli_next(import->filling.cli, "map", &at));) {
        const char *equals = strchr(map, '=');
        if (strcmp(equals ? equals + 1 : map, field) == 0) return true;
    }
    return false;
}

static bool known_fields(const struct importing *import, struct err *err)
{
    const struct filling *filling = &import->filling;
    unsigned at = 0;
    for (const char *map; (map = cli_next(filling->cli, "map", &at));) {
        const char *equals = strchr(map, '='), *field = equals ? equals + 1 : map;
        if (!json_named(filling->fields, field))
            return err_set(err, ERR_BAD_INPUT, "the connector %s has no credential field %.63s",
                           import->start.connector, field);
    }
    if (import->field && !json_named(filling->fields, import->field))
        return err_set(err, ERR_BAD_INPUT, "the connector %s has no credential field %.63s", import->start.connector,
                       import->field);
    return true;
}

/* What goes where: --field, --map, or the only field that there is; every required one must get something. */
static bool plan_fields(struct importing *import, struct err *err)
{
    struct filling *filling = &import->filling;
    bool maps = cli_value(filling->cli, "map");
    if (import->field && maps) return err_set(err, ERR_USAGE, "--field takes all of it, --map parts: give one of them");
    if (!import->field && !maps) {
        if (json_array_size(filling->fields) > 1)
            return err_set(err, ERR_USAGE,
                           "the connector %s has several fields: --field says which takes all of it, --map "
                           "MEMBER=FIELD which take parts of a JSON object",
                           import->start.connector);
        import->field = json_string_value(json_object_get(json_array_get(filling->fields, 0), "name"));
    }
    if (!known_fields(import, err)) return false;
    for (size_t i = 0; i < json_array_size(filling->fields); i++) {
        const json_t *field = json_array_get(filling->fields, i);
        const char *name = json_string_value(json_object_get(field, "name"));
        if (name && !json_is_false(json_object_get(field, "required")) && !mapped(import, name))
            return err_set(err, ERR_USAGE, "the connector %s requires the field %.63s: --map MEMBER=%.63s",
                           import->start.connector, name, name);
    }
    return true;
}

static bool read_source(struct importing *import, struct err *err)
{
    const char *file = import->filling.cli->arguments[0];
    char from[HOME_PATH + 1];
    bool named = false, unnamed = false;
    BUF_AUTO text;
    buf_init(&text, IMPORT_BYTES);
    if (strlen(file) >= HOME_PATH) return err_set(err, ERR_USAGE, "the file's name is too long");
    snprintf(from, sizeof from, "%s%s", strcmp(file, "-") == 0 ? "" : "@", file);
    if (!source_read(from, &text, err) ||
        !import_split(text.bytes ? text.bytes : "", text.used, import->format, &import->list, err))
        return err_in(err, "%.200s", file);
    for (size_t i = 0; i < json_array_size(import->list); i++) {
        bool here = json_object_get(json_array_get(import->list, i), "name");
        named |= here;
        unnamed |= !here;
    }
    if (unnamed && !import->base) return err_set(err, ERR_USAGE, "an item has no name of its own: give --name NAME");
    if (!unnamed && import->base) return err_set(err, ERR_USAGE, "--name: every item has a name of its own");
    return !(named && unnamed) || err_set(err, ERR_BAD_INPUT, "some items have names and some have none");
}

/* ── the whole ─────────────────────────────────────────────────────────────────────────────────────── */

static void tell(const struct importing *import)
{
    static const struct print_field fields[] = {{"ITEM", "item"},     {"NAME", "name"},       {"STATE", "state"},
                                                {"FIELDS", "fields"}, {"WARNING", "warning"}, {"PROBLEM", "problem"},
                                                {NULL, NULL}};
    size_t all = json_array_size(import->report);
    JSON_AUTO *answer = json_pack(
        "{s:b,s:s,s:s,s:s,s:I,s:I,s:O}", "dry_run", import->dry, "format", import_format_name(import->format),
        "connector", import->start.connector, "workspace", import->start.workspace, import->dry ? "openable" : "stored",
        (json_int_t)import->good, "failed", (json_int_t)(all - import->good), "items", import->report);
    if (import->filling.cli->json) return print_json(answer);
    print_rows(import->report, fields, "Nothing.");
    printf("%zu of %zu %s%s.\n", import->good, all, import->dry ? "would be stored" : "stored",
           import->dry ? "; nothing was" : "");
}

static bool run(struct importing *import, struct err *err)
{
    import->filling.submission = &import->secrets->submission;
    import_start(import);
    if (!read_source(import, err) || !filling_connector(&import->filling, import->start.connector, err) ||
        !plan_fields(import, err) || !import_take_secret(import, err))
        return false;
    import->report = json_array();
    import_each(import);
    tell(import);
    if (import->failed) import->filling.cli->status = err_row(import->failed)->exit;
    return true;
}

bool verb_credential_import(struct cli *cli, struct err *err)
{
    static struct importing import; /* the envelope is large, and sealed */
    source_shield();
    import = (struct importing){.filling.cli = cli};
    if (!key_library(err) || !read_options(&import, err) || !read_names(&import, err)) return false;
    import.secrets = sodium_malloc(sizeof *import.secrets);
    if (!import.secrets) return err_set(err, ERR_IO, "out of memory that can be locked");
    bool good = run(&import, err);
    sodium_free(import.secrets);
    json_decref(import.filling.entry);
    json_decref(import.list);
    json_decref(import.report);
    return good || err_in(err, "importing");
}
