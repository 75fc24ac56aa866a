/* SPDX-License-Identifier: Apache-2.0 */
/* How a role confines itself: one wall per line, in this order. */
#include "enter.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "landlock.h"
#include "seccomp.h"

/* What Landlock leaves to each role. */
static const struct {
    enum landlock_fs files;
    bool may_bind, may_connect;
} walls[WALL_ROLES] = {
    [WALL_LOADER] = {LANDLOCK_FILES_READ, false, false}, [WALL_FRONT] = {LANDLOCK_FILES_WRITE, false, false},
    [WALL_DESK] = {LANDLOCK_FILES_WRITE, false, false},  [WALL_LEDGER] = {LANDLOCK_FILES_WRITE, false, false},
    [WALL_VAULT] = {LANDLOCK_FILES_WRITE, false, false}, [WALL_BROKER] = {LANDLOCK_FILES_WRITE, false, true},
    [WALL_RUNNER] = {LANDLOCK_FILES_OPEN, false, false}, [WALL_PROVIDER] = {LANDLOCK_FILES_READ, false, true},
    [WALL_MODULE] = {LANDLOCK_FILES_WRITE, false, false},
};

static bool no_new_privileges(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return true;
    return err_sys(err, ERR_MISSING_LAYER, "this process cannot give up new privileges");
}

static bool no_dumps(struct err *err)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && setrlimit(RLIMIT_CORE, &none) == 0) return true;
    return err_sys(err, ERR_MISSING_LAYER, "this process cannot be made undumpable");
}

/* Landlock confines one thread: a second one would stay outside. */
static bool one_thread(struct err *err)
{
    struct stat task;
    if (stat("/proc/self/task", &task) == 0 && task.st_nlink > 3)
        return err_set(err, ERR_INTERNAL, "a thread was started before the walls were up");
    return true;
}

static bool files_and_net(enum wall_role role, const int *folders, int count, struct err *err)
{
    if (role == WALL_PARENT) return true;
    struct landlock_wish wish = {walls[role].files, folders, count, walls[role].may_bind, walls[role].may_connect};
    return landlock_enter(&wish, err);
}

static bool system_calls(enum wall_role role, struct err *err)
{
    return seccomp_install(seccomp_ready[role].code, seccomp_ready[role].length, err);
}

bool enter_role(enum wall_role role, const int *folders, int folder_count, struct err *err)
{
    return one_thread(err) && no_new_privileges(err) && no_dumps(err) &&
           files_and_net(role, folders, folder_count, err) && system_calls(role, err);
}
