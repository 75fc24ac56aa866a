/* SPDX-License-Identifier: Apache-2.0 */
/* Where the master key's file holds one half: a helper for each new vault, and a pipe from it to the vault of which the
 * parent keeps neither end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/json.h"

#include "parent.h"

/* It may still be asking for the version, or hang in a module: nobody waits for its word any more. */
bool provider_gone(struct parent *parent)
{
    struct child *helper = parent_child(parent, ROLE_PROVIDER);
    if (helper->state != CHILD_OFF) roles_kill(helper);
    return helper->state == CHILD_OFF;
}

bool provider_give_vault(struct parent *parent, struct child *child, struct err *err)
{
    int ends[2];
    if (!config_provider(&parent->config)) return true;
    if (pipe2(ends, O_CLOEXEC) < 0) return err_sys(err, ERR_IO, "no pipe can be made");
    FD_AUTO vault = ends[0];
    parent->share_out = ends[1];
    bool good = control_give(parent, child, GIVE_SHARE, 0, vault) && roles_spawn(parent, ROLE_PROVIDER, err);
    close_fd(&parent->share_out);
    return good;
}

static bool give_folders(struct parent *parent, struct child *child, struct err *err)
{
    const struct config *config = &parent->config;
    for (unsigned i = 0; i < config->module_dir_count; i++) {
        FD_AUTO folder = open(config->module_dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return err_sys(err, ERR_IO, "ModuleFolder=%.200s cannot be opened", config->module_dirs[i]);
        if (!control_give(parent, child, GIVE_PLUGIN_DIR, i, folder)) return false;
    }
    return true;
}

static bool give_files(struct parent *parent, struct child *child, struct err *err)
{
    const struct config *config = &parent->config;
    FD_AUTO share = -1;
    FD_AUTO secret = -1;
    if (!home_share(&parent->home, &share, err) ||
        (config->secret_file[0] && !home_secret(&parent->home, config->secret_file, &secret, err)))
        return false;
    bool own = config->keys_ca[0];
    FD_AUTO ca = own ? openat(parent->home.folder, config->keys_ca, O_RDONLY | O_CLOEXEC) : watch_open_bundle();
    if (own && ca < 0) return err_sys(err, ERR_IO, "CAFile=%.200s cannot be opened", config->keys_ca);
    return control_give(parent, child, GIVE_SHARE, 0, share) && control_give(parent, child, GIVE_SECRET, 0, secret) &&
           control_give(parent, child, GIVE_CA, 0, ca);
}

bool provider_give_helper(struct parent *parent, struct child *child, struct err *err)
{
    JSON_AUTO *config = json_deep_copy(parent->config.parts[ROLE_PROVIDER]);
    if (!config || json_object_set_new(config, "operation", json_string("unwrap")) < 0)
        return err_set(err, ERR_BUSY, "there is no memory");
    return give_files(parent, child, err) && give_folders(parent, child, err) &&
           wiring_give_json(parent, child, GIVE_CONFIG, config, err) &&
           control_give(parent, child, GIVE_OUT, 0, parent->share_out);
}

void provider_ended(struct child *helper, const siginfo_t *how)
{
    bool well = how->si_code == CLD_EXITED && how->si_status == 0;
    if (well || helper->last_words[0]) return;
    snprintf(helper->last_words, sizeof helper->last_words, "the key provider's helper died (see the log)");
}

/* The vault's end may be seen before that of the helper whose death it is about. */
const char *provider_words(struct parent *parent)
{
    struct child *helper = parent_child(parent, ROLE_PROVIDER);
    siginfo_t how = {0};
    if (!config_provider(&parent->config)) return NULL;
    if (helper->control >= 0) control_read(parent, helper);
    if (helper->pidfd >= 0 && waitid(P_PIDFD, (id_t)helper->pidfd, &how, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        how.si_pid)
        provider_ended(helper, &how);
    return helper->last_words[0] ? helper->last_words : NULL;
}
