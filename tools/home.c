/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the home folder and opening what is in it. */
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/ids.h"
#include "base/ini.h"
#include "dropin.h"

#ifndef PLUGINS_DIR
#define PLUGINS_DIR "/usr/lib/caisson/plugins"
#endif

static bool all_below(const char *folder, struct home *home, struct err *err)
{
    char whole[PATH_MAX];
    if (!realpath(folder, whole)) snprintf(whole, sizeof whole, "%s", folder); /* init will make it */
    if (strlen(whole) + sizeof "/run" > HOME_PATH) return err_set(err, ERR_USAGE, "the home folder's path is too long");
    *home = (struct home){0};
    snprintf(home->config, HOME_PATH, "%s", whole);
    snprintf(home->state, HOME_PATH, "%s", whole);
    snprintf(home->run, HOME_PATH, "%.500s/run", whole);
    return true;
}

static bool is_home(const char *folder)
{
    char file[HOME_PATH];
    snprintf(file, sizeof file, "%s/caisson.conf", folder);
    return access(file, F_OK) == 0;
}

bool home_find(const char *option, struct home *home, struct err *err)
{
    const char *variable = getenv("CAISSON_HOME");
    if (option && *option) return all_below(option, home, err);
    if (option) return err_set(err, ERR_USAGE, "--home wants a folder");
    if (variable && *variable) return all_below(variable, home, err);
    if (is_home("home")) return all_below("home", home, err);
    *home = (struct home){.config = "/etc/caisson", .state = "/var/lib/caisson", .run = "/run/caisson", .spread = true};
    return true;
}

static bool no_folder(const char *what, const char *path, struct err *err)
{
    if (errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no %s %s: run caisson init first, or name another --home", what,
                       path);
    return err_sys(err, errno == EACCES ? ERR_DENIED : ERR_IO, "cannot open the %s %s (%s)", what, path,
                   strerrordesc_np(errno));
}

static bool open_folder(const char *what, const char *path, int *folder, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return no_folder(what, path, err);
    *folder = fd;
    return true;
}

bool home_open(const struct home *home, int *folder, struct err *err)
{
    return open_folder("home folder", home->state, folder, err);
}

bool home_open_plugins_d(const struct home *home, int *folder, struct err *err)
{
    char path[HOME_PATH + 16];
    snprintf(path, sizeof path, "%s/plugins.d", home->config);
    return open_folder("folder", path, folder, err);
}

/* The folder name in one of the plugin folders. A relative folder lies below the state folder. */
static int open_in(const struct home *home, const char *directory, const char *name)
{
    char path[2 * HOME_PATH + NAME_BYTES];
    bool absolute = directory[0] == '/';
    snprintf(path, sizeof path, "%s%s%.400s/%s", absolute ? "" : home->state, absolute ? "" : "/", directory, name);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Directory= of caisson.conf, or the usual two. */
static int open_anywhere(const struct home *home, const char *name)
{
    INI_AUTO ini = {0};
    BUF_AUTO text;
    struct err ignored;
    FD_AUTO config = open(home->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buf_init(&text, 0);
    if (config >= 0 && file_get(config, "caisson.conf", INI_FILE, "caisson.conf", &text, &ignored) && text.used)
        ini_parse(&ini, text.bytes, text.used, "caisson.conf", &ignored);
    int fd = -1;
    const struct ini_item *item = NULL;
    while (fd < 0 && (item = ini_each(&ini, "Plugins", "Directory", item))) fd = open_in(home, item->value, name);
    if (ini_get(&ini, "Plugins", "Directory")) return fd;
    fd = open_in(home, "plugins", name);
    return fd >= 0 ? fd : open_in(home, PLUGINS_DIR, name);
}

bool home_open_plugin(const struct home *home, const char *path, int *folder, struct err *err)
{
    if (path[0] == '/') return open_folder("connector folder", path, folder, err);
    if (!name_valid(path))
        return err_set(err, ERR_USAGE, "%.80s is neither a connector's name nor an absolute path", path);
    int fd = open_anywhere(home, path);
    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no connector %s here: put its folder into %s/plugins", path,
                       home->state);
    *folder = fd;
    return true;
}
