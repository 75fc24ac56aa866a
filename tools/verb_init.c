/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a home folder: folders with their modes, a commented configuration, the keys. Safe to run again. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "dropin.h"
#include "init_conf.h"
#include "keys.h"
#include "print.h"
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

static bool make_configuration(const struct home *home, bool *made, struct err *err)
{
    FD_AUTO folder = open(home->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return err_sys(err, ERR_IO, "cannot open %s", home->path);
    *made = faccessat(folder, "caisson.conf", F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    return !*made || file_put(folder, "caisson.conf", init_conf, strlen(init_conf), err);
}

static bool make_keys(const struct home *home, bool *made, struct err *err)
{
    FD_AUTO folder = -1;
    if (!home_open(home, &folder, err)) return false;
    *made = keys_create(folder, err);
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

bool verb_init(struct cli *cli, struct err *err)
{
    bool configuration = false, keys = false;
    if (!make_folders(&cli->home, err) || !make_configuration(&cli->home, &configuration, err) ||
        !make_keys(&cli->home, &keys, err))
        return err_in(err, "making %.200s", cli->home.path);
    report(cli, configuration, keys);
    return true;
}
