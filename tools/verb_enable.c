/* SPDX-License-Identifier: Apache-2.0 */
/* Enabling and disabling connectors: what is shown is what is pinned, and the drop-in is written with the
 * administrator's own rights. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/auto.h"
#include "base/json.h"
#include "enabling.h"
#include "print.h"
#include "runtime/loader/check.h"
#include "verbs.h"

enum { CA_MOST = 256 * 1024 };

/* ── showing and asking ────────────────────────────────────────────────────────────────────────────── */

static void approved_name(const struct enabling *enabling, char name[DROPIN_NAME + 16])
{
    size_t stem = strlen(enabling->dropin.file) - strlen(".conf");
    snprintf(name, DROPIN_NAME + 16, "%.*s.manifest", (int)stem, enabling->dropin.file);
}

/* The manifest that was approved last lies beside the drop-in; the daemon does not read it. */
static bool read_approved(const struct enabling *enabling, struct buf *description)
{
    char name[DROPIN_NAME + 16], digest[DIGEST_TEXT];
    struct err ignored;
    JSON_AUTO *manifest = NULL;
    BUF_AUTO text;
    const char *pinned = ini_get(&enabling->dropin.ini, "Plugin", "ManifestDigest");
    approved_name(enabling, name);
    if (!pinned || !file_get(enabling->folder, name, MANIFEST_MOST, name, &text, &ignored)) return false;
    digest_text(&text, digest);
    return strcmp(digest, pinned) == 0 && json_read(text.bytes, text.used, MANIFEST_MOST, &manifest, &ignored) &&
           manifest_describe(manifest, description);
}

static void show(const struct enabling *enabling, const struct buf *now)
{
    BUF_AUTO before, difference;
    buf_init(&before, now->max);
    buf_init(&difference, 2 * now->max);
    if (enabling->fresh || !read_approved(enabling, &before)) {
        fputs(now->bytes, stderr);
        return;
    }
    manifest_difference(&before, now, &difference);
    const char *pinned = ini_get(&enabling->dropin.ini, "Plugin", "Digest");
    bool same = pinned && strcmp(pinned, enabling->plugin.digest) == 0;
    fprintf(stderr, "%s asks for %s\n%s", enabling->name,
            difference.used ? "something else than what was approved:" : "what was approved.",
            difference.used ? difference.bytes : "");
    if (!same) fprintf(stderr, "%s.so is another file than the one that was approved.\n", enabling->plugin.name);
}

static void show_dropin(const struct enabling *enabling)
{
    fprintf(stderr, "\nplugins.d/%s will be\n", enabling->dropin.file);
    for (const char *at = enabling->dropin.text.bytes; *at;) {
        size_t length = strcspn(at, "\n");
        fprintf(stderr, "  %.*s\n", (int)length, at);
        at += length + (at[length] != '\0');
    }
}

static bool has_secret(const json_t *manifest)
{
    const char *name;
    json_t *field;
    json_object_foreach(json_object_get(json_object_get(manifest, "credential"), "fields"), name,
                        field) if (!json_is_false(json_object_get(field, "secret"))) return true;
    return false;
}

/* Who is recorded should be told by whoever decided it: so that is said in words. */
static void tell_capture(const char *capture)
{
    if (!capture || strcmp(capture, "none") == 0) return;
    bool input = strstr(capture, "input"), reply = strstr(capture, "reply");
    fprintf(stderr,
            "caisson: note: %s%s%s of each of its calls will be kept beside the log, sealed, until pruned or erased; "
            "administrators can open what is kept (caisson audit payload).\n",
            input ? "the whole input" : "", input && reply ? " and " : "", reply ? "the whole reply" : "");
}

static void warn(const struct enabling *enabling)
{
    INI_AUTO ini = {0};
    struct err ignored;
    bool wild = false;
    if (!ini_parse(&ini, enabling->dropin.text.bytes, enabling->dropin.text.used, "", &ignored)) return;
    for (const struct ini_item *item = NULL; (item = ini_each(&ini, "Grant", "Egress", item));)
        wild |= strchr(item->value, '*') != NULL;
    if (wild && has_secret(enabling->plugin.manifest))
        fputs("caisson: warning: it is given secrets and may reach hosts by a wildcard: whoever runs one of those "
              "hosts could be sent them. Name the hosts, or give its credentials an audience.\n",
              stderr);
    const char *isolation = ini_get(&ini, "Grant", "Isolation");
    if (isolation && strcmp(isolation, "lease") == 0)
        fputs("caisson: warning: with isolation lease, a hostile connector sees all calls of a lease, not one.\n",
              stderr);
    tell_capture(ini_get(&ini, "Grant", "Capture"));
}

static bool ask(struct enabling *enabling, struct err *err)
{
    BUF_AUTO now;
    buf_init(&now, 1024 * 1024);
    if (!manifest_describe(enabling->plugin.manifest, &now))
        return err_set(err, ERR_TOO_LARGE, "the manifest is too long");
    if (!enabling->cli->json) show(enabling, &now);
    warn(enabling);
    if (cli_value(enabling->cli, "yes")) return true;
    show_dropin(enabling);
    if (verb_confirm("Enable it like this?")) return true;
    return err_set(err, ERR_STATE, "nothing was changed: nobody said yes (--yes says it beforehand)");
}

/* ── writing, and telling the daemon ───────────────────────────────────────────────────────────────── */

/* The certificates to copy, if any. */
static bool read_ca(const struct enabling *enabling, struct buf *pem, struct err *err)
{
    const char *path = cli_value(enabling->cli, "ca");
    buf_init(pem, 0);
    if (!path) return true;
    if (!file_get(AT_FDCWD, path, CA_MOST, path, pem, err)) return err_in(err, "--ca");
    return (pem->used && strstr(pem->bytes, "-----BEGIN CERTIFICATE-----")) ||
           err_set(err, ERR_BAD_INPUT, "--ca: %.200s holds no PEM certificate", path);
}

/* A slip of the hand must not stop a connector that works: nothing is written that the daemon would not take. */
static bool check(const struct enabling *enabling, struct err *err)
{
    BUF_AUTO pem;
    const struct dropin_file *dropin = &enabling->dropin;
    return (read_ca(enabling, &pem, err) &&
            loader_check(&dropin->text, dropin->file, &enabling->plugin.manifest_text, err)) ||
           err_in(err, "nothing was changed, since plugins.d/%s would be refused", dropin->file);
}

/* Keeps what stood there: see put_back(). */
static bool put(struct enabling *enabling, const char *name, size_t most, const struct buf *bytes, struct err *err)
{
    if (!file_keep(enabling->folder, name, most, &enabling->before[enabling->written], err) ||
        !file_put(enabling->folder, name, bytes->bytes, bytes->used, err))
        return false;
    enabling->written++;
    return true;
}

/* All beside the drop-in, where nobody but the administrator writes; the drop-in last, since it names the others. */
static bool write_files(struct enabling *enabling, struct err *err)
{
    char ca[NAME_BYTES + 8], approved[DROPIN_NAME + 16];
    BUF_AUTO pem;
    enabling_ca(enabling, ca);
    approved_name(enabling, approved);
    return read_ca(enabling, &pem, err) && (!pem.used || put(enabling, ca, CA_MOST, &pem, err)) &&
           put(enabling, approved, MANIFEST_MOST, &enabling->plugin.manifest_text, err) &&
           put(enabling, enabling->dropin.file, DROPIN_TEXT, &enabling->dropin.text, err);
}

/* The entry of that name in the daemon's list. */
static const json_t *entry_named(const json_t *answer, const char *name)
{
    return json_named(print_list(answer), name);
}

static bool check_state(struct cli *cli, const char *name, const char *wanted, struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!api_get(&cli->home, API_DESK, "/v1/plugins", &answer, err)) return false;
    const json_t *entry = entry_named(answer, name);
    const char *state = json_string_value(json_object_get(entry, "state"));
    const char *problem = json_string_value(json_object_get(entry, "problem"));
    if (!state) return err_set(err, ERR_STATE, "the daemon does not list %s after the reload: look at its log", name);
    if (strcmp(state, wanted) == 0) return true;
    return err_set(err, strcmp(state, "changed") == 0 ? ERR_CHANGED : ERR_BAD_INPUT, "%s is %.20s: %.300s", name, state,
                   problem ? problem : "the daemon did not say why");
}

static bool record(struct cli *cli, const char *name, const char *act, const struct plugin_files *plugin,
                   struct err *err)
{
    JSON_AUTO *answer = NULL, *body = json_pack("{s:s,s:s}", "connector", name, "act", act);
    if (plugin) {
        json_object_set_new(body, "digest", json_string(plugin->digest));
        json_object_set_new(body, "manifest_digest", json_string(plugin->manifest_digest));
    }
    return api_post(&cli->home, "/v1/plugins/record", body, &answer, err);
}

/* Without a daemon the files are all there is to do: it reads them when it starts. One that runs and did not take them
 * in (*told false, too) goes on with what it had. */
static bool reload(struct cli *cli, const char *name, const char *wanted, bool *told, struct err *err)
{
    JSON_AUTO *answer = NULL;
    *told = api_post(&cli->home, "/v1/reload", NULL, &answer, err);
    if (!*told) return api_absent() || err_in(err, "reloading failed");
    return check_state(cli, name, wanted, err);
}

/* What the daemon refused all the same (the shared object cannot be loaded …) does not stay, nor what was written
 * before the rest could not be. Returns false. */
static bool put_back(const struct enabling *enabling)
{
    struct err failed = {0};
    JSON_AUTO *answer = NULL;
    bool back = true;
    if (!enabling->written) return false;
    for (unsigned i = enabling->written; i > 0; i--)
        back &= file_put_back(enabling->folder, &enabling->before[i - 1], &failed);
    fprintf(stderr, "caisson: plugins.d/%s %s.\n", enabling->dropin.file,
            !back             ? "could not be put back: look at it, then run \"caisson reload\""
            : enabling->fresh ? "was taken away again"
                              : "is again as it was before");
    if (back && !api_post(&enabling->cli->home, "/v1/reload", NULL, &answer, &failed) && !api_absent())
        fputs("caisson: the daemon has not taken that in: run \"caisson reload\".\n", stderr);
    return false;
}

static void report(const struct cli *cli, const char *name, const char *state, const char *file, bool told)
{
    JSON_AUTO *object = json_pack("{s:s,s:s,s:s,s:b}", "name", name, "state", state, "drop_in", file, "reloaded", told);
    if (cli->json)
        print_json(object);
    else
        printf("%s is %s.%s\n", name, state, told ? "" : " No daemon runs here; it takes this in when it starts.");
}

/* ── the verbs ─────────────────────────────────────────────────────────────────────────────────────── */

static bool prepare(struct enabling *enabling, struct err *err)
{
    struct cli *cli = enabling->cli;
    FD_AUTO folder = -1;
    const char *as = cli_value(cli, "as");
    if (!home_open_plugins_d(&cli->home, &enabling->folder, err) ||
        !home_open_plugin(&cli->home, cli->arguments[0], &folder, err) || !plugin_read(folder, &enabling->plugin, err))
        return false;
    if (as && !name_valid(as))
        return err_set(err, ERR_USAGE, "--as: a name has a-z 0-9 - _ and inner dots, first a letter");
    snprintf(enabling->name, sizeof enabling->name, "%s", as ? as : enabling->plugin.name);
    enabling->fresh = !dropin_find(enabling->folder, enabling->name, &enabling->dropin, err);
    if (enabling->fresh && (err->kind != ERR_NOT_FOUND || !dropin_free(enabling->folder, enabling->dropin.file, err)))
        return false;
    buf_init(&enabling->former, DROPIN_TEXT);
    if (!buf_add(&enabling->former, enabling->dropin.text.bytes, enabling->dropin.text.used))
        return err_set(err, ERR_IO, "out of memory");
    return enabling_check(enabling, err);
}

bool verb_plugin_enable(struct cli *cli, struct err *err)
{
    struct enabling enabling = {.cli = cli, .folder = -1};
    bool told = false;
    bool good = prepare(&enabling, err) && enabling_compose(&enabling, cli->arguments[0], err) &&
                check(&enabling, err) && ask(&enabling, err) &&
                ((write_files(&enabling, err) && reload(cli, enabling.name, "enabled", &told, err)) ||
                 put_back(&enabling)) &&
                (!told || record(cli, enabling.name, "enable", &enabling.plugin, err));
    if (good)
        report(cli, enabling.name, "enabled", enabling.dropin.file, told);
    else
        err_in(err, "enabling %.80s", cli->arguments[0]);
    plugin_clear(&enabling.plugin);
    dropin_clear(&enabling.dropin);
    buf_clear(&enabling.former);
    for (unsigned i = 0; i < ENABLING_FILES; i++) buf_clear(&enabling.before[i].bytes);
    close_fd(&enabling.folder);
    return good;
}

/* A connector that somebody wants stopped stays so in the file, whatever the daemon says; but it may run still. */
static bool take_in(struct cli *cli, const struct dropin_file *dropin, const char *name, bool *told, struct err *err)
{
    if (reload(cli, name, "disabled", told, err)) return true;
    if (!*told)
        err_in(err, "plugins.d/%s says Enabled=no, but the daemon has not taken that in: run \"caisson reload\"",
               dropin->file);
    return false;
}

bool verb_plugin_disable(struct cli *cli, struct err *err)
{
    const char *no = "no", *name = cli->arguments[0];
    FD_AUTO folder = -1;
    DROPIN_AUTO dropin = {0};
    bool told = false;
    if (!home_open_plugins_d(&cli->home, &folder, err) || !dropin_find(folder, name, &dropin, err) ||
        !dropin_set(&dropin.text, "Plugin", "Enabled", &no, 1, err) ||
        !file_put(folder, dropin.file, dropin.text.bytes, dropin.text.used, err) ||
        !take_in(cli, &dropin, name, &told, err) || (told && !record(cli, name, "disable", NULL, err)))
        return err_in(err, "disabling %.80s", name);
    report(cli, name, "disabled", dropin.file, told);
    return true;
}
