/* SPDX-License-Identifier: Apache-2.0 */
/* A workspace's key: the new version is used for writing from the moment it stands in vault.db; the old one is read
 * until nothing is under it, then closed, then destroyed. */
#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"
#include "rotate.h"

/* One beginning while the vault is asked: first for a fresh key, then to wrap the answers' secret under it. */
struct beginning {
    struct store_workspace workspace;
    struct store_keys old, fresh;
};

static void over(struct ledger *ledger, const struct waiting *wait, const struct err *err)
{
    struct beginning *beginning = wait->context;
    JSON_AUTO *out = err ? NULL
                         : json_pack("{s:s, s:s, s:i}", "what", "workspace", "workspace", beginning->workspace.name,
                                     "version", (int)beginning->fresh.version);
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, err);
    free(beginning);
}

/* ── beginning ─────────────────────────────────────────────────────────────────────────────────────── */

static bool keep(struct ledger *ledger, struct beginning *beginning, const struct msg_rewrap_answer *got,
                 struct err *err)
{
    struct store_keys newest;
    struct store_rotation other;
    bool found, begun;
    struct store_rotation rotation = {.step = ROTATE_WRAPPING,
                                      .from = beginning->old.version,
                                      .to = beginning->old.version + 1,
                                      .started = clock_wall()};
    if (!status_check(&got->status, err)) return false;
    if (got->count != 1 || got->kinds[0] != ERR_NONE)
        return err_set(err, ERR_STATE, "the secret that opens the workspace's stored answers cannot be opened itself");
    if (!ledger_open_for_business(ledger, err)) return false;
    rotate_job_name(beginning->workspace.id, rotation.job);
    if (!store_rotation_get(ledger->store, rotation.job, &other, &begun, err)) return false;
    if (begun) /* asked for twice at once: a row in its place would leave what is under the oldest version behind */
        return err_set(err, ERR_STATE, "the workspace's key is being rotated already");
    if (!store_keys_get(ledger->store, beginning->workspace.id, &newest, &found, err)) return false;
    if (!found || newest.version != beginning->old.version || !rotate_fresh(ledger, &beginning->fresh.workspace_key))
        return err_set(err, ERR_BUSY, "the workspace's key changed just now: try again");
    beginning->fresh.version = rotation.to;
    beginning->fresh.answer_secret = got->keys[0];
    memcpy(beginning->fresh.answer_public, beginning->old.answer_public, sizeof beginning->fresh.answer_public);
    memcpy(rotation.workspace, beginning->workspace.id, ID_BYTES);
    return store_workspace_begin(ledger->store, &beginning->fresh, &rotation, err);
}

static void rewrapped(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct err err = {0};
    bool ok = answer && length == sizeof(struct msg_rewrap_answer)
                  ? keep(ledger, wait->context, answer, &err)
                  : err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    if (ok) ledger->rotating.work = true;
    if (ok) rotate_pause(ledger, ROTATE_PAUSE_MS);
    over(ledger, wait, ok ? NULL : &err);
}

/* Stored answers stay readable: their secret goes along. */
static bool ask_rewrap(struct ledger *ledger, struct waiting *how, struct err *err)
{
    struct beginning *beginning = how->context;
    struct msg_rewrap ask = {.kind = REWRAP_ANSWER_SECRET, .count = 1};
    bool found;
    if (!store_keys_get(ledger->store, beginning->workspace.id, &beginning->old, &found, err)) return false;
    if (!found) return err_set(err, ERR_STATE, "the workspace has no key yet");
    memcpy(ask.workspace, beginning->workspace.id, ID_BYTES);
    ask.from = beginning->old.workspace_key;
    ask.to = beginning->fresh.workspace_key;
    ask.items[0].key = beginning->old.answer_secret;
    how->done = rewrapped;
    how->until = clock_now() + 5 * CLOCK_S;
    return wait_ask(ledger, ROLE_VAULT, MSG_REWRAP, &ask, sizeof ask, how, err);
}

static void made(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct beginning *beginning = wait->context;
    const struct msg_workspace_key_answer *got = answer;
    struct waiting next = *wait;
    struct err err = {0};
    if (!got || length != sizeof *got || !ledger->store)
        err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    else if (status_check(&got->status, &err)) {
        beginning->fresh.workspace_key = got->workspace_key;
        if (ask_rewrap(ledger, &next, &err)) return;
    }
    over(ledger, wait, &err);
}

bool rotate_workspace_begin(struct ledger *ledger, const struct waiting *how, const struct store_workspace *workspace,
                            struct err *err)
{
    struct waiting first = *how;
    struct beginning *beginning = calloc(1, sizeof *beginning);
    if (!beginning) return err_set(err, ERR_BUSY, "there is no memory");
    beginning->workspace = *workspace;
    memset(beginning->workspace.lookup, 0, sizeof beginning->workspace.lookup);
    first.done = made;
    first.context = beginning;
    if (keys_ask(ledger, workspace->id, &first, err)) return true;
    free(beginning);
    return false;
}

/* ── after the walk ────────────────────────────────────────────────────────────────────────────────── */

/* An exchange that began before the walk brings tokens that are sealed under the old key: they may stand for a refresh
 * token that is used up. It is over in a few seconds. */
static bool close_old(struct ledger *ledger, struct store_rotation *rotation, struct err *err)
{
    if (exchanges_in(ledger, rotation->workspace)) return rotate_pause(ledger, ROTATE_RETRY_MS), true;
    rotation->step = ROTATE_CLOSED;
    return rotate_record(ledger, "key.wrapped", rotation, err) && store_workspace_close(ledger->store, rotation, err);
}

static bool destroy_old(struct ledger *ledger, struct store_rotation *rotation, struct err *err)
{
    rotation->step = ROTATE_DESTROYED;
    return rotate_record(ledger, "key.retire", rotation, err) && store_workspace_end(ledger->store, rotation, err);
}

static bool settle(struct ledger *ledger, struct store_rotation *rotation, struct err *err)
{
    bool done;
    if (!store_truncate(ledger->store, STORE_VAULT, &done, err)) return false;
    if (done) return store_rotation_end(ledger->store, rotation, err);
    rotate_pause(ledger, ROTATE_RETRY_MS);
    return true;
}

bool rotate_workspace_next(struct ledger *ledger, struct store_rotation *rotation, struct err *err)
{
    switch (rotation->step) {
    case ROTATE_WRAPPING: return close_old(ledger, rotation, err);
    case ROTATE_CLOSED: return destroy_old(ledger, rotation, err);
    case ROTATE_DESTROYED: return settle(ledger, rotation, err);
    default: return err_set(err, ERR_STATE, "a rotation in data/vault.db is at a step that this release does not know");
    }
}
