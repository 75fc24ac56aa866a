/* SPDX-License-Identifier: Apache-2.0 */
/* The master key's halves and its copy for bad days: rewrapping under another provider, checking it, recovery. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "age.h"
#include "api.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "keys.h"
#include "print.h"
#include "provider.h"
#include "source.h"
#include "verbs.h"

/* A daemon that runs writes it down; the files count in any case. */
bool verb_key_record(struct cli *cli, const char *act, const char *text)
{
    struct err err = {0};
    JSON_AUTO *answer = NULL, *body = json_pack("{s:s,s:s}", "act", act, "text", text);
    if (api_post(&cli->home, "/v1/key-record", body, &answer, &err)) return true;
    fputs("caisson: this was done, but could not be recorded: ", stderr);
    print_tame(err.text, stderr);
    fputc('\n', stderr);
    return false;
}

/* ── which halves there are ────────────────────────────────────────────────────────────────────────────── */

struct halves {
    json_t *keys, *from; /* [Keys] as it is now, and where the old half is to be had */
    struct buf row;
    bool split; /* keys/master.key is a half */
    uint8_t share[KEY_BYTES], master[KEY_BYTES];
};

static void halves_clear(struct halves *halves)
{
    json_decref(halves->keys);
    json_decref(halves->from);
    buf_clear(&halves->row);
    sodium_memzero(halves, sizeof *halves);
}

#define HALVES_AUTO __attribute__((cleanup(halves_clear))) struct halves

static bool is_half(int folder, bool *half, struct err *err)
{
    static const char head[] = "caisson-local-half-";
    char text[sizeof head] = "";
    FD_AUTO file = openat(folder, "keys/master.key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof head - 1) < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read keys/master.key");
    *half = strcmp(text, head) == 0;
    return true;
}

static bool halves_open(struct cli *cli, int folder, struct halves *halves, struct err *err)
{
    const char *from = cli_value(cli, "from");
    source_shield();
    if (faccessat(folder, "keys/master.key.next", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_STATE, "the master key is being rotated: let that end first (caisson key status)");
    if (!provider_keys(&cli->home, NULL, &halves->keys, err) || !provider_keys(&cli->home, from, &halves->from, err) ||
        !is_half(folder, &halves->split, err))
        return false;
    if (halves->split && (!provider_row(&cli->home, &halves->row, err) ||
                          !provider_unwrap(&cli->home, halves->from, &halves->row, halves->share, err)))
        return err_in(err, "the half that the key provider keeps");
    return keys_master(folder, halves->split ? halves->share : NULL, halves->master, err);
}

/* ── rewrapping ────────────────────────────────────────────────────────────────────────────────────────── */

/* The whole key in its file first: a half whose other half is gone would be the end of it. */
static bool to_file(int folder, struct halves *halves, struct err *err)
{
    return (!halves->split || keys_replace_master(folder, halves->master, NULL, err)) &&
           keys_replace_row(folder, NULL, 0, err);
}

/* The share first, then the file that needs it. A share beside a whole key is refused at the start, and this command,
 * run once more, ends what was begun. */
static bool to_provider(struct cli *cli, int folder, struct halves *halves, struct buf *row, struct err *err)
{
    if (!halves->split) randombytes_buf(halves->share, sizeof halves->share);
    return provider_wrap(&cli->home, halves->keys, halves->share, row, err) &&
           keys_replace_row(folder, row->bytes, row->used, err) &&
           (halves->split || keys_replace_master(folder, halves->master, halves->share, err));
}

bool verb_key_rotate_provider(struct cli *cli, struct err *err)
{
    HALVES_AUTO halves = {0};
    BUF_AUTO row = {0};
    FD_AUTO folder = -1;
    char name[PROVIDER_NAME] = "file", version[PROVIDER_VERSION] = "1", text[200];
    if (!home_open(&cli->home, &folder, err) || !halves_open(cli, folder, &halves, err)) return false;
    bool file = strcmp(provider_name(halves.keys), "file") == 0;
    if (!(file ? to_file(folder, &halves, err) : to_provider(cli, folder, &halves, &row, err))) return false;
    if (!file) provider_row_says(&row, name, version);
    snprintf(text, sizeof text, "%s, version %s", name, version);
    bool recorded = verb_key_record(cli, "provider", text);
    bool kind = halves.split == file, restart = kind || !json_equal(halves.keys, halves.from);
    JSON_AUTO *report = json_pack("{s:s,s:s,s:b,s:b}", "provider", name, "version", version, "restart_needed", restart,
                                  "recorded", recorded);
    if (cli->json)
        print_json(report);
    else
        printf("The key provider is now %s.%s%s\n", text, restart ? " Restart caissond." : "",
               kind ? " Then rotate the master key, since copies of its old file open what the key in use has sealed."
                    : "");
    return true;
}

/* Its exit status is for monitoring: 0, or what stands in the way. */
bool verb_key_check(struct cli *cli, struct err *err)
{
    JSON_AUTO *keys = NULL;
    BUF_AUTO row = {0};
    char name[PROVIDER_NAME], stored[PROVIDER_VERSION] = "", now[PROVIDER_VERSION];
    if (!provider_keys(&cli->home, NULL, &keys, err)) return false;
    if (strcmp(provider_name(keys), "file") == 0)
        return err_set(err, ERR_STATE, "Provider=file: there is no key provider to check");
    if (!provider_row(&cli->home, &row, err) || !provider_row_says(&row, name, stored))
        return err_in(err, "keys/provider.share");
    if (!provider_check(&cli->home, keys, &row, now, err)) return false;
    bool same = !now[0] || strcmp(now, stored) == 0;
    JSON_AUTO *report = json_pack("{s:s,s:s,s:s,s:b}", "provider", name, "share_version", stored, "provider_version",
                                  now, "current", same);
    if (cli->json)
        print_json(report);
    else
        printf("The key provider %s answers and opens the share.\n", name);
    if (same) return true;
    return err_set(err, ERR_STATE,
                   "its key has version %s by now, and the share was wrapped with %s: run caisson key "
                   "rotate provider",
                   now, stored);
}

/* ── recovery ──────────────────────────────────────────────────────────────────────────────────────────── */

/* The master key file as it would be without a provider, for one who keeps a key of age offline. */
static bool make_recovery(int folder, const struct halves *halves, const struct age_keys *to, struct err *err)
{
    static struct age_writer writer;
    static char sealed[16 * 1024];
    char text[MASTER_FILE_BYTES];
    FD_AUTO memory = memfd_create("recovery", MFD_CLOEXEC);
    if (memory < 0) return err_sys(err, ERR_IO, "there is no memory");
    master_text(halves->master, text);
    bool good = age_begin(&writer, memory, to, err) && age_write(&writer, text, sizeof text, err);
    good = age_finish(&writer, err) && good;
    sodium_memzero(text, sizeof text);
    ssize_t length = good ? pread(memory, sealed, sizeof sealed, 0) : -1;
    if (good && length <= 0) return err_sys(err, ERR_IO, "there is no memory");
    return good && keys_put_recovery(folder, sealed, (size_t)length, err);
}

bool verb_key_recovery(struct cli *cli, struct err *err)
{
    HALVES_AUTO halves = {0};
    FD_AUTO folder = -1;
    struct age_keys to = {0};
    char text[256];
    unsigned at = 0;
    for (const char *one; (one = cli_next(cli, "recipient", &at));)
        if (!age_add_recipient(one, &to, err)) return false;
    if (!to.count)
        return err_set(err, ERR_USAGE,
                       "--recipient age1… names who may open it: the public half of a key "
                       "that is kept offline (age-keygen)");
    if (!home_open(&cli->home, &folder, err) || !halves_open(cli, folder, &halves, err) ||
        !make_recovery(folder, &halves, &to, err))
        return err_in(err, "wrapping the master key for recovery");
    snprintf(text, sizeof text, "%u recipients, the first %.70s", to.count, cli_value(cli, "recipient"));
    bool recorded = verb_key_record(cli, "recovery", text);
    JSON_AUTO *report = json_pack("{s:i,s:b}", "recipients", (int)to.count, "recorded", recorded);
    if (cli->json)
        print_json(report);
    else
        puts("keys/recovery.age holds the master key for the recipients that were named. Backups carry it; caisson "
             "restore --recovery opens it.");
    return true;
}
