/* SPDX-License-Identifier: Apache-2.0 */
/* The vault as a role: which message goes where, what is opened before the walls and what is wiped after the end. */
#include "vault.h"

#include <sodium.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/enter.h"

static const struct role_handler handlers[] = {
    {MSG_ORDER, vault_on_order},
    {MSG_ORDER_CANCEL, vault_on_order_cancel},
    {MSG_HALF, vault_on_half},
    {MSG_WORKSPACE_KEY, vault_on_workspace_key},
    {MSG_SEAL, vault_on_seal},
    {MSG_OPEN_KEY, vault_on_open_key},
    {MSG_KEYS, vault_on_keys},
    {MSG_REWRAP, vault_on_rewrap},
    {MSG_RENEW, vault_on_renew},
    {MSG_SIGNER_NEW, vault_on_signer_new},
    {MSG_SIGN, vault_on_sign},
    {MSG_OFFER, vault_on_offer},
    {MSG_SUBJECT_KEYS, vault_on_subject_keys},
    {MSG_SUBJECT_OPEN, vault_on_subject_open},
    {CTL_WITNESSED, vault_on_witnessed},
    {MSG_NONE, NULL},
};

/* Before a key is read: no dump of this process, by itself or by others of the same user. */
static bool hide_memory(struct err *err)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(err, ERR_MISSING_LAYER, "core dumps cannot be ruled out");
    return true;
}

/* Every worker may have its pipe here at once; where the hard limit is lower, the calls above it fail, no others. */
static void make_room(void)
{
    struct rlimit files;
    rlim_t wanted = CHANNELS + ROLE_LINES + 64;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= wanted) return;
    files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &files);
}

static bool vault_open(struct role *role, struct err *err)
{
    struct vault *vault = role->state;
    log_role("vault");
    make_room();
    if (!hide_memory(err) || !keys_open(&vault->keys, role->given[GIVE_KEY], role->given[GIVE_SHARE], err))
        return false;
    close_fd(&role->given[GIVE_KEY]);
    close_fd(&role->given[GIVE_SHARE]);
    if (role->given[GIVE_KEY_NEXT] >= 0) vault_given(role, GIVE_KEY_NEXT, 0);
    if (!signer_open(&vault->signer, role->given[GIVE_WITNESS], err)) return false;
    close_fd(&role->given[GIVE_WITNESS]);
    release_init(&vault->release);
    submissions_init(&vault->submissions, clock_wall() / CLOCK_S);
    return true;
}

static bool vault_confine(struct role *role, struct err *err)
{
    struct vault *vault = role->state;
    /* Stack and tables too, where the limit on locked memory allows it; key memory is locked in any case. */
    bool all = mlockall(MCL_CURRENT | MCL_ONFAULT) == 0;
    log_event(LOG_LEVEL_INFO, "vault-open",
              log_text("memory", vault->keys.memory.kind == MEMORY_SECRET ? "memfd_secret" : "guarded"),
              log_truth("all_locked", all));
    return enter_role(WALL_VAULT, NULL, 0, err);
}

static void vault_line(struct role *role, struct role_line *line)
{
    struct vault *vault = role->state;
    if (!vault->keys.store) return; /* the first lines come before anything is open */
    if (line->peer == ROLE_LEDGER) release_forget_orders(&vault->release);
    if (line->peer == ROLE_RUNNER) release_forget_halves(&vault->release);
}

static uint64_t vault_tick(struct role *role)
{
    struct vault *vault = role->state;
    uint64_t former_s = keys_expire(&vault->keys, clock_wall() / CLOCK_S);
    if (former_s) role_wake_at(role, clock_now() + former_s * CLOCK_S);
    uint64_t over_in = offers_expire(&vault->offers, &vault->keys, clock_wall() / CLOCK_S);
    if (over_in) role_wake_at(role, clock_now() + over_in * CLOCK_S);
    exchanges_tick(role);
    return release_tick(&vault->release);
}

static void vault_close(struct role *role)
{
    struct vault *vault = role->state;
    release_forget_orders(&vault->release);
    release_forget_halves(&vault->release);
    exchanges_close(role);
    keys_close(&vault->keys);
}

const struct role_part vault_part = {
    .self = ROLE_VAULT,
    .handlers = handlers,
    .open = vault_open,
    .confine = vault_confine,
    .line = vault_line,
    .given = vault_given,
    .tick = vault_tick,
    .close = vault_close,
};
