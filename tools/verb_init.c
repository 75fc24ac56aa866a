/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a home folder: folders with their modes, a commented configuration, the keys. Safe to run again. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "dropin.h"
#include "init_conf.h"
#include "keys.h"
#include "print.h"
#include "provider.h"
#include "verbs.h"

static bool make_folder(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0)
        return chmod(path, mode) == 0 || err_sys(err, ERR_IO, "cannot set the mode of %s", path);
    if (errno == EEXIST) return true;
    return err_sys(err, errno == EACCES ? ERR_DENIED : ERR_IO, "cannot make the folder %s: %s", path,
                   strerrordesc_np(errno));
}

static bool make_folders(const struct home *home, struct err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } below[] = {{"data", 0700}, {"witness", 0700}, {"plugins", 0755}, {"plugins.d", 0755}, {"run", 0755}};
    char path[HOME_PATH + 32];
    if (!make_folder(home->path, 0755, err)) return false;
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        snprintf(path, sizeof path, "%s/%s", home->path, below[i].name);
        if (!make_folder(path, below[i].mode, err)) return false;
    }
    return true;
}

/* [Keys] as --provider and --keys say. */
static bool add_keys(const struct cli *cli, struct buf *text, struct err *err)
{
    const char *provider = cli_value(cli, "provider"), *pair;
    unsigned at = 0;
    if (!buf_print(text, "\n[Keys]\nProvider=%s\n", provider ? provider : "file"))
        return err_set(err, ERR_TOO_LARGE, "the configuration is too large");
    while ((pair = cli_next(cli, "keys", &at))) {
        bool sound = strchr(pair, '=') && pair[0] != '[' && !strpbrk(pair, "\r\n");
        if (!sound || !buf_print(text, "%s\n", pair))
            return err_set(err, ERR_USAGE, "--keys wants KEY=VALUE as in [Keys] of caisson.conf, not %.80s", pair);
    }
    return true;
}

static bool make_configuration(const struct cli *cli, bool *made, struct err *err)
{
    const struct home *home = &cli->home;
    BUF_AUTO text;
    buf_init(&text, INI_FILE);
    FD_AUTO folder = open(home->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return err_sys(err, ERR_IO, "cannot open %s", home->path);
    *made = faccessat(folder, "caisson.conf", F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    if (!*made) return true;
    bool keys = cli_value(cli, "provider") || cli_value(cli, "keys");
    if (!buf_text(&text, init_conf)) return err_set(err, ERR_BUSY, "there is no memory");
    return (!keys || add_keys(cli, &text, err)) && file_put(folder, "caisson.conf", text.bytes, text.used, err);
}

/* A share of its own for a new key; for one that is there, the one that it has. */
static bool get_half(const struct home *home, const json_t *keys, bool new, struct buf *row, struct keys_half *half,
                     struct err *err)
{
    bool has;
    if (!key_library(err)) return false;
    if (!new) return provider_share(home, half->share, &has, err);
    randombytes_buf(half->share, sizeof half->share);
    if (!provider_wrap(home, keys, half->share, row, err)) return err_in(err, "wrapping a share of the master key");
    half->row = row->bytes;
    half->row_length = row->used;
    return true;
}

static bool make_keys(const struct cli *cli, bool *made, struct err *err)
{
    FD_AUTO folder = -1;
    JSON_AUTO *keys = NULL;
    BUF_AUTO row = {0};
    struct keys_half half = {0};
    const char *said = cli_value(cli, "provider");
    if (!home_open(&cli->home, &folder, err) || !provider_keys(&cli->home, NULL, &keys, err)) return false;
    if (said && strcmp(said, provider_name(keys)) != 0)
        return err_set(err, ERR_STATE,
                       "caisson.conf is there already and says Provider=%s: change it, then run caisson "
                       "init or caisson key rotate provider",
                       provider_name(keys));
    bool whole = strcmp(provider_name(keys), "file") == 0;
    bool new = faccessat(folder, "keys/master.key", F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    bool needed = !whole && (new || faccessat(folder, "keys/vault.pub", F_OK, AT_SYMLINK_NOFOLLOW) != 0);
    if (needed && !get_half(&cli->home, keys, new, &row, &half, err)) return false;
    *made = (!whole && !needed) ? err_set(err, ERR_EXISTS, "there is a master key already; it was left as it is")
                                : keys_create_half(folder, whole ? NULL : &half, err);
    sodium_memzero(&half, sizeof half);
    return *made || err->kind == ERR_EXISTS;
}

static void report(const struct cli *cli, bool configuration, bool keys)
{
    JSON_AUTO *object = json_pack("{s:s,s:b,s:b}", "home", cli->home.path, "configuration_made", configuration,
                                  "keys_made", keys);
    if (cli->json) {
        print_json(object);
        return;
    }
    printf("%s: %s\n", cli->home.path, configuration || keys ? "ready" : "was ready already; nothing was changed");
    if (keys)
        printf("The master key is %s/keys/master.key. Keep a copy of it in a safe place: without it no credential can "
               "be opened again.\nNext: start caissond, then caisson plugin enable.\n",
               cli->home.path);
}

bool verb_init_home(struct cli *cli, struct err *err)
{
    char path[HOME_PATH + 32];
    bool made;
    snprintf(path, sizeof path, "%s/keys", cli->home.path);
    return make_folders(&cli->home, err) && make_folder(path, 0755, err) && make_configuration(cli, &made, err);
}

bool verb_init(struct cli *cli, struct err *err)
{
    bool configuration = false, keys = false;
    if (!make_folders(&cli->home, err) || !make_configuration(cli, &configuration, err) || !make_keys(cli, &keys, err))
        return err_in(err, "making %.200s", cli->home.path);
    report(cli, configuration, keys);
    return true;
}
