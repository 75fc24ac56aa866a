/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all messages: who may send which to whom, how large, with how many descriptors. */
#include "messages.h"

#include "base/err.h"
#include "base/wire.h"

#define P MSG_BIT(ROLE_PARENT)
#define L MSG_BIT(ROLE_LEDGER)
#define F MSG_BIT(ROLE_FRONT)
#define D MSG_BIT(ROLE_DESK)
#define V MSG_BIT(ROLE_VAULT)
#define B MSG_BIT(ROLE_BROKER)
#define R MSG_BIT(ROLE_RUNNER)
#define O MSG_BIT(ROLE_LOADER)
#define K MSG_BIT(ROLE_PROVIDER)
#define ANY (L | F | D | V | B | R | O | K)

#define BODY_MAX     (WIRE_MAX - sizeof(struct msg_head))
#define EXACT(type)  sizeof(type), sizeof(type)
#define TAILED(type) sizeof(type), BODY_MAX
#define QUERY        TAILED(struct msg_query), 0, 0

static const struct msg_row rows[MSG_TYPES] = {
    [CTL_GIVE] = {"give", P, ANY, EXACT(struct ctl_give), 1, 1},
    [CTL_LINE] = {"line", P, ANY, EXACT(struct ctl_line), 1, 1},
    [CTL_START] = {"start-role", P, ANY, EXACT(struct ctl_start), 0, 0},
    [CTL_REGISTRY] = {"registry", P, F | D | L | B | R, EXACT(struct ctl_registry), 1, 1},
    [CTL_FREEZE] = {"freeze", P, ANY, EXACT(struct ctl_freeze), 0, 0},
    [CTL_RELOADED] = {"reloaded", P, L, EXACT(struct ctl_reloaded), 0, 0},
    [CTL_WITNESSED] = {"witnessed", P, V, EXACT(struct ctl_witnessed), 0, 0},
    [CTL_PUSHED] = {"pushed", P, L, EXACT(struct ctl_pushed), 0, 0},
    [CTL_KEYS_GIVEN] = {"keys-given", P, L, EXACT(struct ctl_keys_given), 0, 0},
    [CTL_READY] = {"ready", ANY, P, 0, 0, 0, 0},
    [CTL_FAILED] = {"failed", ANY, P, EXACT(struct ctl_failed), 0, 0},
    [CTL_REGISTRY_DONE] = {"registry-done", F | D | L | B | R, P, EXACT(struct ctl_registry), 0, 0},
    [CTL_RELOAD] = {"reload-please", L, P, 0, 0, 0, 0},
    [CTL_PUSH] = {"push", L, P, EXACT(struct ctl_push), 0, 0},
    [CTL_KEYS] = {"keys-please", L, P, 0, 0, 0, 0},
    [CTL_WITNESS] = {"witness", V, P, EXACT(struct ctl_witness), 0, 0},
    [CTL_PLUGIN_IS] = {"plugin-is", O, P, EXACT(struct ctl_plugin_is), 1, 1},
    [CTL_REGISTRY_IS] = {"registry-is", O, P, EXACT(struct ctl_registry_is), 1, 1},

    [MSG_HELLO] = {"hello", F | D, L, 0, 0, 1, 1},
    [MSG_HELLO_ANSWER] = {"hello-answer", L, F | D, EXACT(struct msg_hello_answer), 0, 0},
    [MSG_BEGIN] = {"begin", F | D, L, sizeof(struct msg_begin), sizeof(struct msg_begin) + SUBJECTS_MAX * SUBJECT_BYTES + CAPTURE_MAX, 0, 0},
    [MSG_BEGUN] = {"begun", L, F | D, TAILED(struct msg_begun), 0, 0},
    [MSG_REPLY] = {"reply", F | D, L, sizeof(struct msg_reply), sizeof(struct msg_reply) + CAPTURE_MAX, 0, 0},
    [MSG_END] = {"end", F | D, L, TAILED(struct msg_end), 0, 0},
    [MSG_ENDED] = {"ended", L, F | D, EXACT(struct msg_ended), 0, 0},
    [MSG_CALLS_LIST] = {"calls-list", F | D, L, QUERY},
    [MSG_CALLS_GET] = {"calls-get", F | D, L, QUERY},
    [MSG_CONNECTORS] = {"connectors", F | D, L, QUERY},
    [MSG_HEALTH] = {"health", F | D, L, QUERY},
    [MSG_TOKEN_CREATE] = {"token-create", D, L, QUERY},
    [MSG_TOKEN_LIST] = {"token-list", D, L, QUERY},
    [MSG_TOKEN_REVOKE] = {"token-revoke", D, L, QUERY},
    [MSG_CREDENTIAL_SET] = {"credential-set", D, L, QUERY},
    [MSG_CREDENTIAL_LIST] = {"credential-list", D, L, QUERY},
    [MSG_CREDENTIAL_SHOW] = {"credential-show", D, L, QUERY},
    [MSG_CREDENTIAL_REMOVE] = {"credential-remove", D, L, QUERY},
    [MSG_SUBMISSION_KEY] = {"submission-key", D, L, QUERY},
    [MSG_LEASE_LIST] = {"lease-list", D, L, QUERY},
    [MSG_LEASE_REVOKE] = {"lease-revoke", D, L, QUERY},
    [MSG_PLUGIN_LIST] = {"plugin-list", D, L, QUERY},
    [MSG_PLUGIN_RECORD] = {"plugin-record", D, L, QUERY},
    [MSG_CALLS_RETRY] = {"calls-retry", D, L, QUERY},
    [MSG_CALLS_CANCEL] = {"calls-cancel", D, L, QUERY},
    [MSG_RELOAD] = {"reload", D, L, QUERY},
    [MSG_FREEZE_RECORD] = {"freeze-record", D, L, QUERY},
    [MSG_KEY_RECORD] = {"key-record", D, L, QUERY},
    [MSG_AUDIT_TAIL] = {"audit-tail", D, L, QUERY},
    [MSG_AUDIT_CHECKPOINT] = {"audit-checkpoint", D, L, QUERY},
    [MSG_AUDIT_VKEY] = {"audit-vkey", D, L, QUERY},
    [MSG_AUDIT_ROLL] = {"audit-roll", D, L, QUERY},
    [MSG_AUDIT_EPOCH] = {"audit-epoch", D, L, QUERY},
    [MSG_AUDIT_PUSH] = {"audit-push", D, L, QUERY},
    [MSG_AUDIT_ERASE] = {"audit-erase", D, L, QUERY},
    [MSG_AUDIT_PERSON] = {"audit-person", D, L, QUERY},
    [MSG_AUDIT_PAYLOAD] = {"audit-payload", D, L, QUERY},
    [MSG_AUDIT_PRUNE] = {"audit-prune", D, L, QUERY},
    [MSG_AUDIT_HOLD_ADD] = {"audit-hold-add", D, L, QUERY},
    [MSG_AUDIT_HOLD_LIST] = {"audit-hold-list", D, L, QUERY},
    [MSG_AUDIT_HOLD_REMOVE] = {"audit-hold-remove", D, L, QUERY},
    [MSG_WORKSPACE_CREATE] = {"workspace-create", D, L, QUERY},
    [MSG_WORKSPACE_LIST] = {"workspace-list", D, L, QUERY},
    [MSG_KEY_STATUS] = {"key-status", D, L, QUERY},
    [MSG_KEY_ROTATE] = {"key-rotate", D, L, QUERY},
    [MSG_KEY_MASTER] = {"key-master", D, L, QUERY},
    [MSG_PUSH_WAIT] = {"push-wait", D, L, 0, 0, 0, 0},
    [MSG_PUSH_CALL] = {"push-call", L, D, sizeof(struct msg_push_call), sizeof(struct msg_push_call) + PUSH_INPUT, 0, 0},
    [MSG_PUSH_DONE] = {"push-done", D, L, sizeof(struct msg_push_done), sizeof(struct msg_push_done) + PUSH_ANSWER, 0, 0},
    [MSG_JSON_ANSWER] = {"json-answer", L, F | D, TAILED(struct msg_json_answer), 0, 0},

    [MSG_TAKE] = {"take", F | D, R, EXACT(struct msg_take), 0, 0},
    [MSG_TAKEN] = {"taken", R, F | D, EXACT(struct msg_taken), 0, 2},
    [MSG_DONE] = {"done", F | D, R, EXACT(struct msg_done), 0, 0},

    [MSG_ORDER] = {"order", L, V, EXACT(struct msg_order), 0, 0},
    [MSG_ORDER_CANCEL] = {"order-cancel", L, V, EXACT(struct msg_order_cancel), 0, 0},
    [MSG_WORKSPACE_KEY] = {"workspace-key", L, V, EXACT(struct msg_workspace_key), 0, 0},
    [MSG_WORKSPACE_KEY_ANSWER] = {"workspace-key-answer", V, L, EXACT(struct msg_workspace_key_answer), 0, 0},
    [MSG_SEAL] = {"seal", L, V, EXACT(struct msg_seal), 0, 0},
    [MSG_SEAL_ANSWER] = {"seal-answer", V, L, EXACT(struct msg_seal_answer), 0, 0},
    [MSG_OPEN_KEY] = {"open-key", L, V, EXACT(struct msg_open_key), 0, 0},
    [MSG_OPEN_KEY_ANSWER] = {"open-key-answer", V, L, EXACT(struct msg_open_key_answer), 0, 0},
    [MSG_SIGNER_NEW] = {"signer-new", L, V, EXACT(struct msg_signer_new), 0, 0},
    [MSG_SIGNER_NEW_ANSWER] = {"signer-new-answer", V, L, EXACT(struct msg_signer_new_answer), 0, 0},
    [MSG_SIGN] = {"sign", L, V, EXACT(struct msg_sign), 0, 0},
    [MSG_SIGN_ANSWER] = {"sign-answer", V, L, EXACT(struct msg_sign_answer), 0, 0},
    [MSG_TOKENS] = {"tokens", V, L, EXACT(struct msg_tokens), 0, 0},
    [MSG_OFFER] = {"offer", L, V, 0, 0, 0, 0},
    [MSG_OFFER_ANSWER] = {"offer-answer", V, L, EXACT(struct msg_offer_answer), 0, 0},
    [MSG_SUBJECT_KEYS] = {"subject-keys", L, V, EXACT(struct msg_subject_keys), 0, 0},
    [MSG_SUBJECT_KEYS_ANSWER] = {"subject-keys-answer", V, L, EXACT(struct msg_subject_keys_answer), 0, 0},
    [MSG_SUBJECT_OPEN] = {"subject-open", L, V, EXACT(struct msg_subject_open), 0, 0},
    [MSG_SUBJECT_OPEN_ANSWER] = {"subject-open-answer", V, L, EXACT(struct msg_subject_open_answer), 0, 0},

    [MSG_KEYS] = {"keys", L, V, 0, 0, 0, 0},
    [MSG_KEYS_ANSWER] = {"keys-answer", V, L, EXACT(struct msg_keys_answer), 0, 0},
    [MSG_REWRAP] = {"rewrap", L, V, EXACT(struct msg_rewrap), 0, 0},
    [MSG_REWRAP_ANSWER] = {"rewrap-answer", V, L, EXACT(struct msg_rewrap_answer), 0, 0},
    [MSG_RENEW] = {"renew", L, V, EXACT(struct msg_renew), 0, 0},

    [MSG_GATE_OPEN] = {"gate-open", L, B, EXACT(struct msg_gate_open), 0, 0},
    [MSG_GATE_CLOSE] = {"gate-close", L, B, EXACT(struct msg_gate_close), 0, 0},
    [MSG_GATE_CLOSED] = {"gate-closed", B, L, EXACT(struct msg_gate_closed), 0, 0},

    [MSG_START] = {"start", L, R, EXACT(struct msg_start), 0, 0},
    [MSG_CANCEL] = {"cancel", L, R, EXACT(struct msg_cancel), 0, 0},
    [MSG_REVOKE] = {"revoke", L, R, EXACT(struct msg_revoke), 0, 0},
    [MSG_REVOKED] = {"revoked", R, L, EXACT(struct msg_revoked), 0, 0},
    [MSG_WORKERS] = {"workers", L, R, EXACT(struct msg_workers), 0, 0},
    [MSG_WORKERS_ANSWER] = {"workers-answer", R, L, EXACT(struct msg_workers_answer), 0, 0},
    [MSG_WORKER_TRIED] = {"worker-tried", R, L, EXACT(struct msg_worker_tried), 0, 0},
    [MSG_WORKER_ENDED] = {"worker-ended", R, L, EXACT(struct msg_worker_ended), 0, 0},
    [MSG_INCIDENT] = {"incident", V | B | R, L, EXACT(struct msg_incident), 0, 0},

    [MSG_HALF] = {"half", R, V | B, EXACT(struct msg_half), 0, 3},
};

const struct msg_row *msg_row(unsigned type)
{
    return type < MSG_TYPES && rows[type].name ? &rows[type] : NULL;
}

bool msg_allowed(unsigned type, enum role_id from, enum role_id to, size_t body, int fds)
{
    const struct msg_row *row = msg_row(type);
    return row && (row->from & MSG_BIT(from)) && (row->to & MSG_BIT(to)) && body >= row->least && body <= row->most &&
           fds >= row->fds_least && fds <= row->fds_most;
}

static const char *const role_names[ROLE_COUNT] = {"none", "parent", "loader", "front", "desk",
                                                   "ledger", "vault", "broker", "runner", "provider"};
static const char *const class_names[CLASS_COUNT] = {
    "none", "ok", "rejected", "retryable", "bad_input", "timeout", "crashed", "violation", "refused", "lost"};
static const char *const sent_names[SENT_COUNT] = {"no", "maybe", "yes"};
static const char *const reason_names[REASON_COUNT] = {
    "none", "egress_denied", "resource_limit", "protocol_error", "load_failed", "deadline", "cancelled", "no_worker",
    "syscall", "signal", "exit", "input_digest", "restart", "frozen", "policy", "remote",
    "audit", "revoked"};

const char *role_name(enum role_id role)
{
    return (unsigned)role < ROLE_COUNT ? role_names[role] : "?";
}

const char *class_name(unsigned class)
{
    return class < CLASS_COUNT ? class_names[class] : "?";
}

const char *sent_name(unsigned sent)
{
    return sent < SENT_COUNT ? sent_names[sent] : "?";
}

const char *reason_name(unsigned reason)
{
    return reason < REASON_COUNT ? reason_names[reason] : "?";
}

unsigned class_kind(unsigned class)
{
    static const enum err_kind kinds[CLASS_COUNT] = {
        [CLASS_NONE] = ERR_INTERNAL, [CLASS_OK] = ERR_NONE, [CLASS_REJECTED] = ERR_REJECTED,
        [CLASS_RETRYABLE] = ERR_RETRYABLE, [CLASS_BAD_INPUT] = ERR_BAD_INPUT, [CLASS_TIMEOUT] = ERR_TIMEOUT,
        [CLASS_CRASHED] = ERR_CRASHED, [CLASS_VIOLATION] = ERR_VIOLATION, [CLASS_REFUSED] = ERR_DENIED,
        [CLASS_LOST] = ERR_LOST};
    return class < CLASS_COUNT ? kinds[class] : ERR_INTERNAL;
}
