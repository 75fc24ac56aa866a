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
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/ids.h"
#include "base/ini.h"
#include "base/text.h"
#include "dropin.h"

#ifndef PLUGINS_DIR
#define PLUGINS_DIR "/usr/lib/caisson/plugins"
#endif

static bool take_folder(const char *folder, struct home *home, struct err *err)
{
    char whole[PATH_MAX];
    if (!realpath(folder, whole)) snprintf(whole, sizeof whole, "%s", folder); /* init will make it */
    return text_copy(home->path, HOME_PATH, whole) || err_set(err, ERR_USAGE, "the home folder's path is too long");
}

/* ./home counts only when nobody else could have put it there: whoever runs this in a folder like /tmp would seal
 * secrets to a stranger's key. */
static bool own_home_here(void)
{
    static const char *const both[] = {"home", "home/caisson.conf"};
    struct stat status;
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        if (stat(both[i], &status) < 0 || status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)))
            return false;
    return true;
}

bool home_find(const char *option, struct home *home, struct err *err)
{
    const char *variable = getenv("CAISSON_HOME");
    if (option && !*option) return err_set(err, ERR_USAGE, "--home wants a folder");
    if (option) return take_folder(option, home, err);
    if (variable && *variable) return take_folder(variable, home, err);
    return take_folder(own_home_here() ? "home" : "/var/lib/caisson", home, err);
}

static bool no_folder(const char *what, const char *path, struct err *err)
{
    int cause = errno;
    if (cause == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no %s %.200s: run caisson init first, or name another --home",
                       what, path);
    return err_sys(err, cause == EACCES ? ERR_DENIED : ERR_IO, "cannot open the %s %.200s: %s", what, path,
                   strerrordesc_np(cause));
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
    return open_folder("home folder", home->path, folder, err);
}

bool home_open_plugins_d(const struct home *home, int *folder, struct err *err)
{
    char path[HOME_PATH + 16];
    snprintf(path, sizeof path, "%s/plugins.d", home->path);
    return open_folder("folder", path, folder, err);
}

/* caisson.conf as far as it can be read: the daemon is the one who judges it. */
static void read_config(const struct home *home, struct ini *ini)
{
    BUF_AUTO text;
    struct err ignored;
    FD_AUTO folder = open(home->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buf_init(&text, 0);
    if (folder >= 0 && file_get(folder, "caisson.conf", INI_FILE, "caisson.conf", &text, &ignored) && text.used)
        ini_parse(ini, text.bytes, text.used, "caisson.conf", &ignored);
}

/* A relative path lies below the home folder. */
static void full_path(const struct home *home, const char *path, const char *name, char *full, size_t size)
{
    bool absolute = path[0] == '/';
    snprintf(full, size, "%s%s%s%s%s", absolute ? "" : home->path, absolute ? "" : "/", path, name ? "/" : "",
             name ? name : "");
}

static int open_in(const struct home *home, const char *directory, const char *name)
{
    char path[HOME_PATH + INI_LINE + NAME_BYTES];
    full_path(home, directory, name, path, sizeof path);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_anywhere(const struct home *home, const char *name)
{
    INI_AUTO ini = {0};
    read_config(home, &ini);
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
        return err_set(err, ERR_NOT_FOUND, "there is no connector %s here: put its folder into %.200s/plugins", path,
                       home->path);
    *folder = fd;
    return true;
}

bool home_setting(const struct home *home, const char *section, const char *key, unsigned index, char *value,
                  size_t size)
{
    INI_AUTO ini = {0};
    read_config(home, &ini);
    const struct ini_item *item = ini_each(&ini, section, key, NULL);
    for (; item && index; index--) item = ini_each(&ini, section, key, item);
    return item && text_copy(value, size, item->value);
}

void home_socket(const struct home *home, const char *key, const char *usual, char *path, size_t size)
{
    INI_AUTO ini = {0};
    read_config(home, &ini);
    const char *given = ini_get(&ini, "Listen", key);
    full_path(home, given ? given : usual, NULL, path, size);
}
