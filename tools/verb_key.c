/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: their versions, and rotations. The daemon wraps; the files of the master key are this command's, under the
 * administrator's own rights. Every step can be repeated, so whatever was cut off goes on with the same command. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "keys.h"
#include "pages.h"
#include "print.h"
#include "provider.h"
#include "verbs.h"

enum { POLL_MS = 50, NOTICE_S = 15 };

/* ── status ────────────────────────────────────────────────────────────────────────────────────────── */

/* All workspaces, whatever the pages. */
static bool get_status(struct cli *cli, json_t **out, struct err *err)
{
    return pages_get(cli, &(struct pages){.path = "/v1/keys", .cursor = "after"}, out, err);
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void print_rotation(const json_t *rotation)
{
    if (!rotation) return;
    printf("  rotation to version %lld: %s, %lld done, %lld left", number(rotation, "to"), text(rotation, "step"),
           number(rotation, "done"), number(rotation, "left"));
    if (number(rotation, "unreadable")) printf(", %lld cannot be opened", number(rotation, "unreadable"));
    puts("");
    if (strcmp(text(rotation, "step"), "wrapped") == 0)
        puts("  the new file has yet to take the old one's place: caisson key rotate master");
}

static void print_keys(const json_t *workspace)
{
    size_t i;
    json_t *key;
    json_array_foreach(json_object_get(workspace, "keys"), i, key)
        printf("  version %lld, %s, %lld credential versions under it\n", number(key, "version"), text(key, "state"),
               number(key, "credentials"));
}

static void print_status(const json_t *status)
{
    size_t i;
    json_t *one;
    const json_t *master = json_object_get(status, "master");
    if (*text(status, "trouble"))
        fputs("NOTHING RUNS: ", stdout), print_tame(text(status, "trouble"), stdout), puts("");
    printf("master key: version %lld in use\n", number(master, "version"));
    json_array_foreach(json_object_get(master, "versions"), i, one)
        printf("  version %lld, %s, made %s%s%s\n", number(one, "version"), text(one, "state"), text(one, "created"),
               *text(one, "retired") ? ", retired " : "", text(one, "retired"));
    print_rotation(json_object_get(master, "rotation"));
    json_array_foreach(json_object_get(status, "workspaces"), i, one)
    {
        fputs("workspace ", stdout), print_tame(text(one, "name"), stdout);
        printf(": version %lld\n", number(one, "version"));
        print_keys(one);
        print_rotation(json_object_get(one, "rotation"));
    }
    printf("checked: %s\n", *text(status, "checked") ? text(status, "checked") : "not yet");
}

bool verb_key_status(struct cli *cli, struct err *err)
{
    JSON_AUTO *status = NULL;
    if (!get_status(cli, &status, err)) return false;
    if (cli->json)
        print_json(status);
    else
        print_status(status);
    return true;
}

/* ── waiting ───────────────────────────────────────────────────────────────────────────────────────── */

static void pause_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

static const json_t *rotation_of(const json_t *status, const char *workspace)
{
    size_t i;
    json_t *one;
    if (!workspace) return json_object_get(json_object_get(status, "master"), "rotation");
    json_array_foreach(json_object_get(status, "workspaces"), i,
                       one) if (strcmp(text(one, "name"), workspace) == 0) return json_object_get(one, "rotation");
    return NULL;
}

static bool stuck(const json_t *rotation, struct err *err)
{
    long long unreadable = number(rotation, "unreadable");
    if (!unreadable || unreadable < number(rotation, "left")) return true;
    return err_set(
        err, ERR_DAMAGED,
        "%lld keys in data/vault.db cannot be opened, so the old key is kept: put them back from a backup, or "
        "remove the credentials; caisson key status counts them",
        unreadable);
}

/* Until the rotation is over, or at that step; until: 0 = for as long as it takes. *status: as it was then. A daemon
 * that restarts meanwhile is waited for. */
static bool wait_for(struct cli *cli, const char *workspace, const char *step, uint64_t until, json_t **status,
                     struct err *err)
{
    uint64_t patience = clock_now() + NOTICE_S * CLOCK_S;
    for (;; pause_a_moment()) {
        JSON_AUTO *now = NULL;
        if (!get_status(cli, &now, err)) {
            if (err->kind != ERR_UNAVAILABLE || clock_now() > patience) return false;
            continue;
        }
        patience = clock_now() + NOTICE_S * CLOCK_S;
        const json_t *rotation = rotation_of(now, workspace);
        if (*text(now, "trouble")) return err_set(err, ERR_STATE, "%s", text(now, "trouble"));
        if (!rotation || (step && strcmp(text(rotation, "step"), step) == 0 && !number(rotation, "left"))) {
            *status = json_incref(now);
            return true;
        }
        if (!stuck(rotation, err)) return false;
        if (until && clock_now() > until)
            return err_set(err, ERR_STATE, "the vault did not take over keys/master.key: the daemon's log says why");
    }
}

/* ── the master key ────────────────────────────────────────────────────────────────────────────────── */

static bool post_master(struct cli *cli, bool replaced, struct err *err)
{
    JSON_AUTO *answer = NULL, *body = json_pack("{s:b}", "replaced", replaced);
    return api_post(&cli->home, "/v1/keys/master", body, &answer, err);
}

/* Has it begun, or is there a reason why not? A ledger that has died knows nothing of what it was asked: another is
 * asked again. */
static bool look_begun(struct cli *cli, long long version, bool *begun, bool *asked, struct err *err)
{
    JSON_AUTO *status = NULL;
    if (!get_status(cli, &status, err)) {
        *asked = false;
        return err->kind == ERR_UNAVAILABLE;
    }
    const json_t *master = json_object_get(status, "master");
    *begun = json_object_get(master, "rotation") || number(master, "version") > version;
    if (*begun) return true;
    if (*text(status, "trouble")) return err_set(err, ERR_STATE, "%s", text(status, "trouble"));
    if (!*asked) *asked = post_master(cli, false, err);
    return *asked || err->kind == ERR_UNAVAILABLE;
}

/* The vault takes the new file within a moment, or says in its log why not. */
static bool wait_begun(struct cli *cli, long long version, struct err *err)
{
    bool begun = false, asked = true;
    for (uint64_t until = clock_now() + NOTICE_S * CLOCK_S; clock_now() < until; pause_a_moment()) {
        if (!look_begun(cli, version, &begun, &asked, err)) return false;
        if (begun) return true;
    }
    if (!asked) return false; /* it is not there */
    return err_set(err, ERR_STATE, "the vault did not take keys/master.key.next: the daemon's log says why");
}

static bool begin_master(struct cli *cli, int home, const uint8_t *share, const json_t *status, struct err *err)
{
    const json_t *master = json_object_get(status, "master");
    const json_t *rotation = json_object_get(master, "rotation");
    bool wrapped = strcmp(text(rotation, "step"), "wrapped") == 0;
    if (wrapped) return true; /* the next file may have its place already */
    return keys_make_next(home, share, !rotation || number(rotation, "done") == 0, err) &&
           post_master(cli, false, err) && wait_begun(cli, number(master, "version"), err);
}

/* share: a key provider's half, NULL where the key is whole. */
static bool rotate_with(struct cli *cli, const uint8_t *share, json_t **status, struct err *err)
{
    FD_AUTO home = -1;
    JSON_AUTO *before = NULL, *wrapped = NULL;
    if (!home_open(&cli->home, &home, err) || !get_status(cli, &before, err)) return false;
    if (*text(before, "trouble")) return err_set(err, ERR_STATE, "%s", text(before, "trouble"));
    return begin_master(cli, home, share, before, err) && wait_for(cli, NULL, "wrapped", 0, &wrapped, err) &&
           keys_replace(home, share, err) && post_master(cli, true, err) &&
           wait_for(cli, NULL, NULL, clock_now() + NOTICE_S * CLOCK_S, status, err);
}

static bool rotate_master(struct cli *cli, json_t **status, struct err *err)
{
    uint8_t share[KEY_BYTES];
    bool has = false;
    bool good = provider_share(&cli->home, share, &has, err) && rotate_with(cli, has ? share : NULL, status, err);
    explicit_bzero(share, sizeof share);
    return good;
}

/* ── the verb ──────────────────────────────────────────────────────────────────────────────────────── */

static bool post_rotate(struct cli *cli, const char *what, const char *workspace, const char *name, json_t **answer,
                        struct err *err)
{
    JSON_AUTO *body = json_pack("{s:s, s:s*, s:s*}", "what", what, "workspace", workspace, "name", name);
    return api_post(&cli->home, "/v1/keys/rotate", body, answer, err);
}

static bool rotate_workspace(struct cli *cli, json_t **out, struct err *err)
{
    JSON_AUTO *status = NULL;
    const char *option = cli_value(cli, "workspace");
    const char *name = cli->argument_count > 1 ? cli->arguments[1] : option ? option : "default";
    return post_rotate(cli, "workspace", name, NULL, out, err) && wait_for(cli, name, NULL, 0, &status, err);
}

static void report(const struct cli *cli, const json_t *answer)
{
    const char *what = cli->arguments[0];
    if (cli->json) return print_json(answer);
    if (strcmp(what, "master") == 0)
        printf(
            "The master key is version %lld now. Copy keys/master.key to its safe place, and make a backup: those made "
            "before need the old key.\n",
            number(json_object_get(answer, "master"), "version"));
    else
        printf("The key of %s %s is version %lld now.\n", what,
               text(answer, strcmp(what, "workspace") == 0 ? "workspace" : "name"), number(answer, "version"));
}

bool verb_key_rotate(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    const char *what = cli->arguments[0], *name = cli->argument_count > 1 ? cli->arguments[1] : NULL;
    bool good;
    if (strcmp(what, "provider") == 0 && !name) return verb_key_rotate_provider(cli, err);
    if (strcmp(what, "master") == 0 && !name)
        good = rotate_master(cli, &answer, err);
    else if (strcmp(what, "workspace") == 0)
        good = rotate_workspace(cli, &answer, err);
    else if (strcmp(what, "credential") == 0 && name)
        good = post_rotate(cli, what, cli_value(cli, "workspace"), name, &answer, err);
    else
        return err_set(err, ERR_USAGE, "caisson key rotate master, provider, workspace [NAME] or credential NAME");
    if (good) report(cli, answer);
    return good || err_in(err, "rotating the key of %s%s%.63s", what, name ? " " : "", name ? name : "");
}
