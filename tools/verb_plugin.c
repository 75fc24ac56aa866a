/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors: which there are, what they ask for, whether their files are those that were approved. */
#include <string.h>

#include "api.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "dropin.h"
#include "manifest_view.h"
#include "print.h"
#include "verbs.h"

bool verb_plugin_list(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {
        {"NAME", "name"},           {"CONNECTOR", "plugin"},      {"VERSION", "version"}, {"STATE", "state"},
        {"ISOLATION", "isolation"}, {"CAPTURE", "capture"},       {"WORKSPACES", "workspaces"}, {"PROBLEM", "problem"}, {NULL, NULL}};
    JSON_AUTO *answer = NULL;
    if (!api_get(&cli->home, API_DESK, "/v1/plugins", &answer, err)) return false;
    verb_show_rows(cli, answer, fields, "No connector is enabled: see caisson plugin enable --help.");
    return true;
}

static bool read_plugin(const struct cli *cli, const char *path, struct plugin_files *plugin, struct err *err)
{
    FD_AUTO folder = -1;
    return home_open_plugin(&cli->home, path, &folder, err) && plugin_read(folder, plugin, err);
}

bool verb_plugin_inspect(struct cli *cli, struct err *err)
{
    struct plugin_files plugin = {0};
    BUF_AUTO text;
    buf_init(&text, 1024 * 1024);
    bool good = read_plugin(cli, cli->arguments[0], &plugin, err);
    if (good && cli->json) {
        JSON_AUTO *object = json_pack("{s:O,s:s,s:s}", "manifest", plugin.manifest, "digest", plugin.digest,
                                      "manifest_digest", plugin.manifest_digest);
        print_json(object);
    } else if (good) {
        manifest_describe(plugin.manifest, &text);
        printf("%sIts files\n  %s.so  %s\n  manifest.json  %s\n", text.bytes ? text.bytes : "", plugin.name,
               plugin.digest, plugin.manifest_digest);
    }
    plugin_clear(&plugin);
    return good;
}

/* ── verify ────────────────────────────────────────────────────────────────────────────────────────── */

struct verification {
    const struct cli *cli;
    const char *only; /* NULL: all */
    unsigned seen, bad;
    json_t *report;
};

static void add_change(json_t *changes, const char *file, const char *approved, const char *found)
{
    if (approved && strcmp(approved, found) == 0) return;
    json_array_append_new(changes, json_pack("{s:s,s:s?,s:s}", "file", file, "approved", approved, "found", found));
}

static void print_verdict(const char *name, const json_t *changes, const char *problem)
{
    size_t i;
    json_t *change;
    print_tame(name, stdout);
    if (problem)
        printf(": %s\n", problem);
    else if (json_array_size(changes) == 0)
        puts(": as approved");
    else
        puts(": CHANGED");
    json_array_foreach(changes, i, change)
    {
        const char *approved = json_string_value(json_object_get(change, "approved"));
        printf("  %s\n    approved %s\n    found    %s\n", json_string_value(json_object_get(change, "file")),
               approved ? approved : "(nothing)", json_string_value(json_object_get(change, "found")));
    }
}

static void compare(const struct dropin_file *file, const struct plugin_files *plugin, json_t *changes)
{
    char object[NAME_BYTES + 4];
    snprintf(object, sizeof object, "%s.so", plugin->name);
    add_change(changes, object, ini_get(&file->ini, "Plugin", "Digest"), plugin->digest);
    add_change(changes, "manifest.json", ini_get(&file->ini, "Plugin", "ManifestDigest"), plugin->manifest_digest);
}

static bool verify_one(const struct dropin_file *file, void *context, struct err *err)
{
    struct verification *all = context;
    struct plugin_files plugin = {0};
    struct err fault = {0};
    const char *name = ini_get(&file->ini, "Plugin", "Name"), *path = ini_get(&file->ini, "Plugin", "Path");
    if (!name || (all->only && strcmp(all->only, name) != 0)) return true;

    JSON_AUTO *changes = json_array();
    bool readable = read_plugin(all->cli, path ? path : name, &plugin, &fault);
    if (readable) compare(file, &plugin, changes);
    plugin_clear(&plugin);
    all->seen++;
    all->bad += !readable || json_array_size(changes);
    if (!all->cli->json) print_verdict(name, changes, readable ? NULL : fault.text);
    json_array_append_new(all->report, json_pack("{s:s,s:b,s:O,s:s?}", "name", name, "approved",
                                                 readable && json_array_size(changes) == 0, "changes", changes,
                                                 "problem", readable ? NULL : fault.text));
    return true;
}

bool verb_plugin_verify(struct cli *cli, struct err *err)
{
    FD_AUTO folder = -1;
    JSON_AUTO *report = json_array();
    struct verification all = {.cli = cli, .only = cli->argument_count ? cli->arguments[0] : NULL, .report = report};
    if (!home_open_plugins_d(&cli->home, &folder, err) || !dropin_each(folder, verify_one, &all, err)) return false;
    if (cli->json) print_json(report);
    if (all.only && !all.seen) return err_set(err, ERR_NOT_FOUND, "no drop-in enables a connector named %s", all.only);
    if (all.bad)
        return err_set(err, ERR_CHANGED,
                       "%u of %u are not what was approved: put the old files back, or look at the new ones and enable "
                       "them again with caisson plugin enable",
                       all.bad, all.seen);
    return true;
}
