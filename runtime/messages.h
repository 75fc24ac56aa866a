/* SPDX-License-Identifier: Apache-2.0 */
/* Every message between two roles: its number, its shape, and the one table that says over which line it may come.
 * Bodies are fixed-size structures in host order; those with a tail name the field that counts it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/log.h"
#include "sandbox/frames.h"

enum role_id {
    ROLE_NONE, ROLE_PARENT, ROLE_LOADER, ROLE_FRONT, ROLE_DESK, ROLE_LEDGER, ROLE_VAULT, ROLE_BROKER, ROLE_RUNNER,
    ROLE_PROVIDER, ROLE_COUNT
};

enum msg_type {
    MSG_NONE,
    /* parent → any role (control line) */
    CTL_GIVE, CTL_LINE, CTL_START, CTL_REGISTRY, CTL_FREEZE, CTL_RELOADED, CTL_WITNESSED, CTL_KEYS_GIVEN, CTL_PUSHED,
    /* any role → parent */
    CTL_READY, CTL_FAILED, CTL_REGISTRY_DONE, CTL_RELOAD, CTL_WITNESS, CTL_KEYS, CTL_PUSH,
    /* loader → parent */
    CTL_PLUGIN_IS, CTL_REGISTRY_IS,
    /* front, desk ↔ ledger */
    MSG_HELLO, MSG_HELLO_ANSWER,
    MSG_BEGIN, MSG_BEGUN, MSG_REPLY, MSG_END, MSG_ENDED,
    MSG_CALLS_LIST, MSG_CALLS_GET, MSG_CONNECTORS, MSG_HEALTH,          /* front and desk */
    MSG_TOKEN_CREATE, MSG_TOKEN_LIST, MSG_TOKEN_REVOKE,                  /* desk only, from here … */
    MSG_CREDENTIAL_SET, MSG_CREDENTIAL_LIST, MSG_CREDENTIAL_SHOW, MSG_CREDENTIAL_REMOVE,
    MSG_SUBMISSION_KEY, MSG_LEASE_LIST, MSG_LEASE_REVOKE,
    MSG_PLUGIN_LIST, MSG_PLUGIN_RECORD, MSG_CALLS_RETRY, MSG_CALLS_CANCEL, MSG_RELOAD, MSG_FREEZE_RECORD,
    MSG_KEY_RECORD,
    MSG_AUDIT_TAIL, MSG_AUDIT_CHECKPOINT, MSG_AUDIT_VKEY, MSG_AUDIT_ROLL, MSG_AUDIT_EPOCH, MSG_AUDIT_PUSH,
    MSG_AUDIT_ERASE, MSG_AUDIT_PERSON, MSG_AUDIT_PAYLOAD, MSG_AUDIT_PRUNE,
    MSG_AUDIT_HOLD_ADD, MSG_AUDIT_HOLD_LIST, MSG_AUDIT_HOLD_REMOVE,
    MSG_WORKSPACE_CREATE, MSG_WORKSPACE_LIST, /* … to here */
    MSG_JSON_ANSWER,
    MSG_KEY_STATUS, MSG_KEY_ROTATE, MSG_KEY_MASTER,                      /* desk only */
    /* desk ↔ ledger: calls that push checkpoints */
    MSG_PUSH_WAIT, MSG_PUSH_CALL, MSG_PUSH_DONE,
    /* front ↔ runner */
    MSG_TAKE, MSG_TAKEN, MSG_DONE,
    /* ledger → vault and back */
    MSG_ORDER, MSG_ORDER_CANCEL,
    MSG_WORKSPACE_KEY, MSG_WORKSPACE_KEY_ANSWER, MSG_SEAL, MSG_SEAL_ANSWER, MSG_OPEN_KEY, MSG_OPEN_KEY_ANSWER,
    MSG_SIGNER_NEW, MSG_SIGNER_NEW_ANSWER, MSG_SIGN, MSG_SIGN_ANSWER,
    MSG_OFFER, MSG_OFFER_ANSWER, MSG_TOKENS,
    MSG_KEYS, MSG_KEYS_ANSWER, MSG_REWRAP, MSG_REWRAP_ANSWER, MSG_RENEW,
    MSG_SUBJECT_KEYS, MSG_SUBJECT_KEYS_ANSWER, MSG_SUBJECT_OPEN, MSG_SUBJECT_OPEN_ANSWER,
    /* ledger ↔ broker */
    MSG_GATE_OPEN, MSG_GATE_CLOSE, MSG_GATE_CLOSED,
    /* ledger ↔ runner */
    MSG_START, MSG_CANCEL, MSG_REVOKE, MSG_REVOKED, MSG_WORKERS, MSG_WORKERS_ANSWER, MSG_WORKER_TRIED, MSG_WORKER_ENDED,
    /* vault, broker, runner → ledger */
    MSG_INCIDENT,
    /* runner → vault, broker */
    MSG_HALF,
    MSG_TYPES
};

/* First in every frame. generation: the line's; registry: the number the sender holds, 0 where it means nothing;
 * seq: chosen by who asks, repeated by who answers. */
struct msg_head {
    uint16_t type, reserved;
    uint32_t generation, registry, seq;
};

/* First in the body of every answer. kind: enum err_kind; text: for callers. */
struct msg_status {
    uint32_t kind;
    char text[252];
};

/* ── control ───────────────────────────────────────────────────────────────────────────────────────── */

/* One descriptor comes with each CTL_GIVE. A later one of the same kind and index replaces the earlier. */
enum give_kind {
    GIVE_CONFIG,    /* memfd: this role's part of caisson.conf, one JSON object (none for the vault) */
    GIVE_REGISTRY,  /* sealed memfd: the registry (runtime/registry.h) */
    GIVE_PLUGIN,    /* runner: sealed memfd with the verified bytes of the plugin of entry [index] */
    GIVE_DATA,      /* ledger: the folder of the database files; the working folder is set to it */
    GIVE_KEY,       /* vault: the master key file, open read-only; while it serves: the next one has taken its place */
    GIVE_KEY_NEXT,  /* vault: keys/master.key.next, while the master key is being rotated */
    GIVE_UNIX,      /* front, desk: listening AF_UNIX socket */
    GIVE_TCP,       /* front: listening TCP socket [index] */
    GIVE_TLS_CERT, GIVE_TLS_KEY, /* front: PEM */
    GIVE_RESOLV,    /* broker: resolv.conf as it is now */
    GIVE_LOCK,      /* every role: the daemon's lock file, kept open */
    GIVE_PLUGINS_D, /* loader: the folder plugins.d */
    GIVE_PLUGIN_DIR,/* loader: folder [index] that plugins live in; provider: that its PKCS#11 module may use */
    GIVE_CA,        /* loader: the system's CA bundle; runner: likewise; provider: that, or CAFile= */
    GIVE_HELPERS,   /* runner: the shared object with the SDK's HTTP and mail helpers */
    GIVE_WITNESS,   /* vault, ledger: the last checkpoint that the parent holds (struct ctl_witness), read once */
    GIVE_PROBE,     /* front, desk, ledger, broker: memfd, JSON {"paths": [...], "vault": pid}: what must be out of reach */
    GIVE_SHARE,     /* vault: pipe that struct share_frame comes through; provider: keys/provider.share, or a share to wrap */
    GIVE_OUT,       /* provider: pipe for its only answer; its other end is the vault's, or the command's */
    GIVE_SECRET,    /* provider: the file that SecretFile= names */
    GIVE_KINDS
};
struct ctl_give {
    uint32_t kind, index;
};

/* One descriptor: this role's end of a line. Replaces the line of the same peer and index. */
struct ctl_line {
    uint32_t peer, index, generation;
};

/* CTL_START: everything is given; confine, then answer CTL_READY or CTL_FAILED. start: when the daemon began
 * (CLOCK_MONOTONIC ns); instance: random, one per daemon start. */
struct ctl_start {
    uint64_t start;
    uint8_t instance[ID_BYTES];
    uint32_t minimum_isolation; /* 1: the administrator lowered the plugin walls */
    uint32_t frozen;
    uint32_t log_level, reserved; /* enum log_level */
};
struct ctl_failed {
    struct msg_status status;
};
/* CTL_REGISTRY: one descriptor, the new registry; the runner has had the GIVE_PLUGINs before it.
 * CTL_REGISTRY_DONE answers with the number now in force. */
struct ctl_registry {
    uint32_t number;
};
struct ctl_freeze {
    uint32_t on, now; /* now: end running calls too */
};
/* What the loader found: one descriptor each, a sealed memfd. CTL_PLUGIN_IS for every enabled entry, then, last,
 * CTL_REGISTRY_IS; entries: of the document, plugins: how many CTL_PLUGIN_IS went before. */
struct ctl_plugin_is {
    uint32_t index;
};
struct ctl_registry_is {
    uint32_t number, entries, plugins;
};
/* CTL_RELOAD ledger → parent (seq), CTL_RELOADED back when every role holds the new registry. */
struct ctl_reloaded {
    struct msg_status status;
    uint32_t number;
};
/* CTL_KEYS ledger → parent (seq): the administrator changed the key files: look, and give the vault what is there.
 * CTL_KEYS_GIVEN answers when it is given; what the vault makes of it, MSG_KEYS tells. */
struct ctl_keys_given {
    struct msg_status status;
};
/* CTL_PUSH ledger → parent (seq): give this checkpoint to the file or the syslog of that name in [Push]. CTL_PUSHED
 * answers when it is there for good, or with why not. */
enum { PUSH_NOTE = 4096 };
struct ctl_push {
    char sink[NAME_BYTES];
    uint64_t size;
    uint8_t root[HASH_BYTES];
    uint32_t length, reserved; /* of the note, which is not NUL-terminated */
    char note[PUSH_NOTE];
};
struct ctl_pushed {
    struct msg_status status;
};
/* CTL_WITNESS vault → parent: write this down before the signature is released; CTL_WITNESSED answers (seq). */
struct ctl_witness {
    char origin[128];
    uint64_t size;
    uint8_t root[HASH_BYTES];
    uint8_t key[HASH_BYTES];       /* Ed25519 public key that may sign what is larger */
    uint8_t signed_by[HASH_BYTES]; /* that signs this; differs from key when the log's key rolled here */
    char first_vkey[256];          /* the log's first verifier key (base/keyderive.h), where verifiers begin */
};
struct ctl_witnessed {
    struct msg_status status;
};

/* ── who ───────────────────────────────────────────────────────────────────────────────────────────── */

enum who_kind { WHO_NOBODY, WHO_PEER, WHO_TOKEN, WHO_SYSTEM };
struct who {
    uint32_t kind;
    uint32_t principal;        /* WHO_PEER: the number that MSG_HELLO_ANSWER gave; WHO_SYSTEM: of the MSG_PUSH_CALL */
    uint8_t token[HASH_BYTES]; /* WHO_TOKEN: SHA-256 of the bearer token's text */
};

/* MSG_HELLO: no body, one descriptor: a duplicate of the accepted connection. The ledger believes
 * only what was accepted on that role's own socket, reads SO_PEERCRED itself, and forgets the number when the connection
 * hangs up. */
struct msg_hello_answer {
    struct msg_status status;
    uint32_t principal;
};

/* ── the call path ─────────────────────────────────────────────────────────────────────────────────── */

enum call_class { CLASS_NONE, CLASS_OK, CLASS_REJECTED, CLASS_RETRYABLE, CLASS_BAD_INPUT, CLASS_TIMEOUT, CLASS_CRASHED,
                  CLASS_VIOLATION, CLASS_REFUSED, CLASS_LOST, CLASS_COUNT };
enum call_sent { SENT_NO, SENT_MAYBE, SENT_YES, SENT_COUNT };
enum call_reason { REASON_NONE, REASON_EGRESS_DENIED, REASON_RESOURCE_LIMIT, REASON_PROTOCOL_ERROR, REASON_LOAD_FAILED,
                   REASON_DEADLINE, REASON_CANCELLED, REASON_NO_WORKER, REASON_SYSCALL, REASON_SIGNAL, REASON_EXIT,
                   REASON_INPUT_DIGEST, REASON_RESTART, REASON_FROZEN, REASON_POLICY, REASON_REMOTE,
                   REASON_AUDIT, REASON_REVOKED, REASON_COUNT };

/* What an attempt of a call is called between roles. */
struct call_ref {
    uint8_t id[ID_BYTES];
    uint32_t attempt; /* from 1 */
};

struct msg_begin {
    struct who who;
    char workspace[NAME_BYTES], connector[NAME_BYTES], action[NAME_BYTES], credential[NAME_BYTES]; /* workspace "": the
                              token's own, and "default" without a token; credential "": none */
    char key[256];         /* Idempotency-Key, or "" */
    char traceparent[56];
    uint8_t salt[32], input_digest[HASH_BYTES]; /* frames.h: FRAME_INPUT_TAG */
    uint8_t input_hash[HASH_BYTES];             /* SHA-256 of the input bytes alone: the ledger keeps it keyed only */
    uint64_t input_size;
    uint64_t deadline;     /* CLOCK_MONOTONIC ns */
    uint32_t refusal;      /* enum err_kind: not ERR_NONE = the front refuses this; authorise, record, start nothing */
    uint32_t answer_by;    /* CLOCK_MONOTONIC in ms, its low 32 bits: who asks waits until then; 0: says nothing. Later
                              than that nothing is let loose */
    uint32_t subjects_length; /* bytes after this structure: the people that the call is about, each with its NUL */
    uint32_t input_length; /* bytes after those: the input, where the grant has it captured and it is no longer than
                            * CAPTURE_MAX; else 0 */
};
enum { CAPTURE_MAX = 44 * 1024 }; /* of one payload that is kept: in base64 it fits into one answer */
enum { SUBJECTS_MAX = 8, SUBJECT_BYTES = 256 }; /* of one call; one of them, with its NUL */

/* replay: 1 = nothing starts; class, sent and the stored answer are those of the key's earlier call.
 * key opens answer (XChaCha20-Poly1305, nonce of 24 zero bytes: every key is used once). */
struct msg_begun {
    struct msg_status status;
    struct call_ref call;
    uint32_t entry, action;
    uint32_t replay, class, sent, reason, retry_after;
    uint64_t intent_index, outcome_index;
    uint8_t workspace_key[32]; /* X25519: answers are sealed to it */
    uint8_t key[32];
    uint32_t answer_length;    /* bytes after this structure */
    uint32_t fetching;         /* 1, with ERR_STALE: its credential's token is being fetched, ask again in a moment */
};

/* The reply whose digest the MSG_END right behind this names, where the grant has it captured and it is no longer than
 * CAPTURE_MAX. Not answered. */
struct msg_reply {
    struct call_ref call;
    uint32_t length; /* bytes after this structure */
};

enum { ANSWER_MAX = 48 * 1024, SEALED_KEY = 80 };
/* The answer is stored for replay: encrypted under a fresh key, that key sealed to the workspace (crypto_box_seal). */
struct msg_end {
    struct call_ref call;
    uint32_t class, reason;   /* what the front saw; the ledger joins it with broker and runner */
    uint32_t retry_after;     /* seconds, 0 = none */
    uint32_t log_lines;
    uint8_t reply_digest[HASH_BYTES];
    uint64_t reply_size;
    uint8_t sealed_key[SEALED_KEY];
    uint32_t answer_length;   /* bytes after this structure; 0: none, or larger than ANSWER_MAX */
    uint32_t answer_omitted;  /* 1: it was larger */
};
struct msg_ended {
    struct msg_status status;
    struct call_ref call;
    uint32_t class, sent, reason;
    uint64_t outcome_index;
};

/* Queries and administration: this, then length bytes of one JSON object. Answered by MSG_JSON_ANSWER. */
struct msg_query {
    struct who who;
    uint32_t length;
};
struct msg_json_answer {
    struct msg_status status;
    uint32_t length; /* bytes of JSON after this structure */
};

/* TAKEN brings two descriptors when status is ok: call stream (write), reply pipe (read). */
struct msg_take {
    struct call_ref call;
};
struct msg_taken {
    struct msg_status status;
    struct call_ref call;
    uint32_t reason; /* enum call_reason when status is not ok */
};
/* The front has its reply, or has given up. ok: a whole, well-formed reply came (a leased worker may live on). */
struct msg_done {
    struct call_ref call;
    uint32_t ok;
};

/* ── pushing ───────────────────────────────────────────────────────────────────────────────────────── */

/* MSG_PUSH_WAIT, without a body, asks for a call that the ledger wants made; MSG_PUSH_CALL answers it once there is one.
 * The desk makes it as WHO_SYSTEM, and the ledger admits one call under that number, and only this one: connector, action,
 * workspace, credential and every byte of the input. */
enum { PUSH_INPUT = 24 * 1024, PUSH_ANSWER = 32 * 1024 };
struct msg_push_call {
    uint32_t number, timeout_ms;
    uint32_t input_length; /* bytes of JSON after this structure */
    uint32_t reserved;
    char workspace[NAME_BYTES], connector[NAME_BYTES], action[NAME_BYTES], credential[NAME_BYTES]; /* credential "": none */
};
/* It is over. How it ended stands in the ledger's own record; the answer is the connector's word, no more. */
struct msg_push_done {
    uint32_t number;
    uint32_t answer_length;   /* bytes of JSON after this structure; 0: none */
    struct msg_status status; /* why there was no call */
};

/* ── vault ─────────────────────────────────────────────────────────────────────────────────────────── */

enum { WRAP_BYTES = 128, SEALED_MAX = 8192, BOX_MAX = 12 * 1024, AUDIENCE_MAX = 512, PROOF_HASHES = 64 };

/* A key as the vault wrapped it: opaque to everyone else, WRAP_BYTES long, stored as it is. */
struct wrapped {
    uint8_t bytes[WRAP_BYTES];
};

struct sealed_field {
    char name[NAME_BYTES];
    uint32_t offset, length; /* of the ciphertext in the bytes of its message */
};

/* The release order: may be used once, joined with a MSG_HALF of the same call, attempt and entry digest. */
struct msg_order {
    struct call_ref call;
    uint32_t action;
    uint8_t entry_digest[HASH_BYTES], salt[32], input_digest[HASH_BYTES];
    uint64_t deadline;
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t version;      /* 0: a call without a credential; the fields below are then empty */
    uint32_t field_count;
    uint32_t exchange;     /* 1: for an OAuth2 exchange: grant fields go out, the reply comes back to the vault, and what
                            * it brings becomes next_version */
    uint32_t next_version;
    uint32_t key_version;  /* of workspace_key; the vault only repeats it */
    uint32_t input_size;   /* as the intent has it: the worker compares it, as it does the digest */
    struct wrapped workspace_key, credential_key;
    uint8_t audience_digest[HASH_BYTES];
    struct sealed_field fields[FRAME_FIELDS];
    uint8_t bytes[SEALED_MAX];
};
struct msg_order_cancel {
    struct call_ref call;
};

/* under_next: 1 = wrapped under the next master key, which the vault must hold. */
struct msg_workspace_key {
    uint8_t workspace[ID_BYTES];
    uint32_t under_next;
};
struct msg_workspace_key_answer {
    struct msg_status status;
    struct wrapped workspace_key, answer_secret; /* answer_secret: X25519, for stored answers */
    uint8_t answer_public[32];
};

enum { SUBMISSION_KEY_ID = 8, OFFER_NOTE = 512 };
/* What a credential is. CREDENTIAL_OAUTH2: its fields are a client's and a grant's (client_id, client_secret,
 * token_url, scope, refresh_token), and only exchanges see them; calls get the access token that these bring. */
enum credential_kind { CREDENTIAL_FIELDS, CREDENTIAL_OAUTH2, CREDENTIAL_KINDS };

/* A submission is sealed to a public key of the vault (crypto_box_seal): that of vault.pub, or the one it offers now.
 * The names here must equal those inside. */
struct msg_seal {
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t version;
    uint32_t box_length;
    uint8_t key_id[SUBMISSION_KEY_ID]; /* which key it was sealed to; zeroed: that of vault.pub */
    uint32_t kind, reserved; /* enum credential_kind */
    struct wrapped workspace_key;
    char workspace_name[NAME_BYTES], credential_name[NAME_BYTES], connector[NAME_BYTES];
    char audience[AUDIENCE_MAX]; /* host names, one a line, canonical and sorted; "" = none */
    uint8_t box[BOX_MAX];
};
struct msg_seal_answer {
    struct msg_status status;
    struct wrapped credential_key;
    uint8_t audience_digest[HASH_BYTES];
    uint32_t field_count;
    struct sealed_field fields[FRAME_FIELDS];
    uint8_t bytes[SEALED_MAX];
};
/* What is sealed: this structure, whole; docs/submit.md has it byte by byte. Values are not NUL-terminated. */
struct submission {
    char magic[16]; /* "caisson-submit1" */
    uint8_t key_id[SUBMISSION_KEY_ID]; /* of the key that it is sealed to */
    char workspace[NAME_BYTES], credential[NAME_BYTES], connector[NAME_BYTES];
    char audience[AUDIENCE_MAX];
    uint64_t issued_at; /* seconds since 1970; older than 600 s or more than 60 s ahead is refused */
    uint8_t nonce[16];  /* random; the vault refuses one that it saw within the last 600 s */
    uint32_t field_count;
    struct {
        char name[NAME_BYTES];
        uint32_t offset, length;
    } fields[FRAME_FIELDS];
    uint8_t bytes[6 * 1024];
    uint32_t kind; /* enum credential_kind */
};

/* MSG_OFFER asks, without a body, for a key to seal submissions to. It lives in the vault's memory only: whoever gets
 * hold of the master key later opens nothing that was sealed to it. Times: seconds since 1970. note: a C2SP signed note
 * by the vault's identity over key id, key and times, NUL-terminated. */
struct msg_offer_answer {
    struct msg_status status;
    uint8_t key_id[SUBMISSION_KEY_ID], public[32];
    uint64_t not_before, not_after;
    char note[OFFER_NOTE];
};

/* What an exchange brought: everything of the credential, sealed anew as the order's next_version, with the access token
 * and, where the service gave a new one, the refresh token. Said again and again until MSG_ORDER_CANCEL of that call, or
 * until the ledger must have given it up. */
enum token_verdict {
    TOKENS_NONE,          /* the worker ended without a word, or said something else */
    TOKENS_OK,
    TOKENS_INVALID_GRANT, /* the service does not accept the refresh token any more */
    TOKENS_INVALID_CLIENT,
    TOKENS_REFUSED,       /* another "no" of the service: a scope, a kind of grant */
    TOKENS_LATER,         /* not now: it is overloaded, or cannot be reached */
    TOKENS_ODD,           /* an answer that is none, or tokens that are too long */
    TOKENS_VERDICTS
};
struct msg_tokens {
    struct call_ref call;
    uint32_t verdict, expires_in; /* seconds, 0: the service did not say */
    uint32_t renewed;             /* 1: there is a new refresh token */
    uint32_t version, key_version, reserved; /* next_version and key_version of the order */
    uint8_t credential[ID_BYTES];            /* likewise */
    struct msg_seal_answer sealed; /* empty unless TOKENS_OK */
};

struct msg_open_key {
    uint8_t workspace[ID_BYTES];
    struct wrapped workspace_key, answer_secret;
    uint8_t answer_public[32];
    uint8_t sealed_key[SEALED_KEY];
};
struct msg_open_key_answer {
    struct msg_status status;
    uint8_t key[32];
};

/* ── rotation ── */

/* MSG_KEYS asks, without a body, which master keys the vault holds. */
enum { KEY_NAME = 8, WRAP_NAME_AT = 16 }; /* a wrapped key's bytes from WRAP_NAME_AT on name the key that it is under */
struct key_mark {
    uint8_t name[KEY_NAME];      /* of the wrapping key that grows from a master key; zeroed: there is none */
    uint8_t check[HASH_BYTES];   /* key check value: says nothing of the key, and no other key has it */
};
struct msg_keys_answer {
    struct msg_status status;
    struct key_mark now, next;
};

/* The same keys, bound to the same places, under a newer key: nothing plain leaves, and no key changes its place.
 * Those of a workspace go from one of its keys to another, the others go under the next master key. */
enum rewrap_kind {
    REWRAP_NONE,
    REWRAP_WORKSPACE_KEY,  /* under the master key; id: the workspace */
    REWRAP_CREDENTIAL_KEY, /* of a workspace; id and version: the credential's */
    REWRAP_ANSWER_SECRET,  /* of a workspace; id: zeroed */
    REWRAP_SIGNER,         /* under the master key; binding: the signing key's */
    REWRAP_SUBJECT_KEY,    /* of a workspace; id: the person's, version 0 */
    REWRAP_KINDS
};
enum { REWRAPS = 16 };
struct rewrap_item {
    uint8_t id[ID_BYTES];
    uint32_t version, reserved;
    struct wrapped key;
    uint8_t binding[HASH_BYTES];
};
struct msg_rewrap {
    uint32_t kind, count;
    uint8_t workspace[ID_BYTES];
    struct wrapped from, to; /* the workspace's keys */
    struct rewrap_item items[REWRAPS];
};
/* kinds: of each item: ERR_NONE, or why it was left as it is (damaged, or bound to another place). */
struct msg_rewrap_answer {
    struct msg_status status;
    uint32_t count, reserved;
    uint32_t kinds[REWRAPS];
    struct wrapped keys[REWRAPS];
};

/* The same values under a fresh data key, as a later version of the same credential. Answered by MSG_SEAL_ANSWER. */
struct msg_renew {
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t version, new_version;
    struct wrapped from, to; /* the workspace's keys: that which credential_key is under, and the newest */
    struct wrapped credential_key;
    uint8_t audience_digest[HASH_BYTES];
    uint32_t field_count, kind; /* enum credential_kind */
    struct sealed_field fields[FRAME_FIELDS];
    uint8_t bytes[SEALED_MAX];
};

/* Keys of people that calls are about. The ledger gives each an id that means nothing; what is sealed to the public
 * half can be opened until the wrapped one is destroyed. */
struct msg_subject_keys {
    uint8_t workspace[ID_BYTES];
    struct wrapped workspace_key;
    uint32_t count, reserved;
    uint8_t ids[SUBJECTS_MAX][ID_BYTES];
};
struct msg_subject_keys_answer {
    struct msg_status status;
    uint32_t count, reserved;
    struct wrapped secrets[SUBJECTS_MAX]; /* X25519, under the workspace's key, bound to workspace and id */
    uint8_t publics[SUBJECTS_MAX][32];
};
/* Opens the key of one personal detail: a key sealed to the last person, that to the one before, and so on: with any
 * one's key gone it stays shut. The people's own keys never leave the vault. */
enum { SUBJECT_SEALED_MAX = 32 + SUBJECTS_MAX * 48 };
struct msg_subject_open {
    uint8_t workspace[ID_BYTES];
    uint32_t count, reserved;
    uint8_t ids[SUBJECTS_MAX][ID_BYTES], publics[SUBJECTS_MAX][32];
    struct wrapped workspace_keys[SUBJECTS_MAX], secrets[SUBJECTS_MAX]; /* the version that each secret is under */
    uint8_t sealed[SUBJECT_SEALED_MAX]; /* 32 + 48 · count bytes of it */
};
struct msg_subject_open_answer {
    struct msg_status status;
    uint8_t key[32];
};

/* A key that signs the log, as the vault made and wrapped it: it opens only together with the log's name, its own public
 * half and the key that it follows. */
struct signer_key {
    struct wrapped secret;
    uint8_t public[32], after[32]; /* Ed25519; after: zeros for the first key of a log */
    uint8_t binding[HASH_BYTES];   /* what it is bound to, for MSG_REWRAP */
};
/* Makes a key that follows the one in use in that log (old zeroed: its first). It signs nothing before a MSG_SIGN has let
 * it take over. */
struct msg_signer_new {
    char origin[128];
    struct signer_key old;
    uint32_t under_next; /* 1: wrapped under the next master key */
};
struct msg_signer_new_answer {
    struct msg_status status;
    struct signer_key key;
    uint8_t sign[64]; /* by the old key: that this one, and no other's, follows it (docs/audit-format.md) */
};

/* The vault signs only what it is shown to extend what it signed last (RFC 6962 §2.1.2), and only with the key that the
 * parent has written down. origin names the log; proof: consistency of the vault's last size with this one, empty for
 * the first. A wrong old_size is answered ERR_STATE with the vault's own last size and root, so that the ledger can try
 * again or stop. next zeroed: no roll; else the last entry must be the key_roll that names both keys, and next signs
 * what is larger. The same size again is signed by the key that signed it before. Another origin is accepted only as the
 * next epoch, of size 1, whose entry names what was signed last. */
enum { LAST_ENTRY = 2048 };
struct msg_sign {
    char origin[128];
    uint64_t old_size, size;
    uint8_t root[HASH_BYTES];
    uint32_t proof_count, path_count;
    uint8_t proof[PROOF_HASHES][HASH_BYTES];
    struct signer_key signer, next;
    uint8_t path[PROOF_HASHES][HASH_BYTES]; /* inclusion of the last entry; roll and epoch only */
    uint32_t entry_length, reserved;
    char entry[LAST_ENTRY];                 /* its bytes */
};
struct msg_sign_answer {
    struct msg_status status;
    uint64_t last_size; /* the vault's */
    uint8_t last_root[HASH_BYTES];
    uint8_t key[32];       /* Ed25519 public key */
    uint8_t signature[64]; /* over the C2SP checkpoint text: origin, size, base64 root, each with a newline */
};

/* ── broker and runner ─────────────────────────────────────────────────────────────────────────────── */

struct msg_gate_open {
    struct call_ref call;
    uint32_t entry;
    uint8_t entry_digest[HASH_BYTES];
    uint64_t deadline;
    uint32_t max_up_mb, max_down_mb;   /* 0: the entry's own limits */
    char audience[AUDIENCE_MAX];       /* as in msg_seal: "" = no narrowing */
};
struct msg_gate_close {
    struct call_ref call;
};
/* known: 0 = the broker never had this gate (it is younger than the call): nothing below means anything. */
struct msg_gate_closed {
    struct call_ref call;
    uint32_t known, committed; /* committed: the worker marked the point of no return */
    uint32_t dials, denied;    /* denied: dials that policy refused */
    uint32_t limit_hit, clean; /* clean: the worker said that its action failed before that point */
    uint32_t lookups, reserved; /* lookups: names that were resolved for it */
    uint64_t bytes_up, bytes_down; /* application bytes relayed since the gate opened */
    char last_denied[FRAME_HOST];  /* "host:port (why)" of the last refused dial, escaped, or "" */
};

struct msg_start {
    struct call_ref call;
    uint32_t entry, action;
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint32_t credential_version;
    uint32_t isolation; /* enum isolation (registry.h) */
    uint64_t deadline;
    uint32_t exchange; /* 1: the vault takes the front's place; for the built-in connector oauth2 only */
    uint32_t taker; /* ROLE_FRONT or ROLE_DESK: whose the worker's channels are, and nobody else's */
};
/* REASON_NONE: an exchange that has done its work. */
struct msg_cancel {
    struct call_ref call;
    uint32_t reason;
};
/* Ends workers and leases; zeroed fields match everything. after_call: 1 = a call that runs finishes, but it is the
 * worker's last. A seq is answered by MSG_REVOKED. */
struct msg_revoke {
    uint8_t workspace[ID_BYTES], credential[ID_BYTES];
    uint8_t entry_digest[HASH_BYTES];
    struct call_ref call;
    uint32_t after_call;
};
struct msg_revoked {
    uint32_t workers; /* that are being ended */
};

/* Which workers belong to somebody, running or waiting as a lease; from: 0, then the answer's next until that is 0. */
struct msg_workers {
    uint32_t from;
};
enum { WORKER_ROWS = 256 };
struct worker_row {
    struct call_ref call; /* attempt 0: a lease that waits for its next call */
    uint32_t action, credential_version;
    uint32_t calls; /* that it has served, the running one included */
    uint32_t reserved;
    uint8_t workspace[ID_BYTES], credential[ID_BYTES], entry_digest[HASH_BYTES];
    uint64_t age_ms, idle_ms; /* since it was made; since its last call ended */
};
struct msg_workers_answer {
    uint32_t count, next;
    struct worker_row rows[WORKER_ROWS];
};

enum { REPORTS = 8 };
struct violation {
    int32_t number; /* system call, x86-64 table */
    uint32_t arch;
    uint64_t args[6];
};
enum worker_phase { PHASE_LOAD = 1, PHASE_CALL = 2 };
/* A call's worker made a system call that is refused. Sent before that is answered: so it is here before anything that
 * the worker says afterwards. */
struct msg_worker_tried {
    struct call_ref call;
    uint32_t phase;
    struct violation what;
};
struct msg_worker_ended {
    struct call_ref call;
    uint32_t class, reason; /* CLASS_OK: ended after a whole reply; else crashed, timeout, violation, refused */
    int32_t exit_code, signal;
    uint32_t phase;
    uint32_t report_count;  /* may exceed REPORTS */
    struct violation reports[REPORTS];
    uint64_t cpu_us, peak_kb, alive_us;
};

/* Something that belongs to no call, or that came after its outcome. */
enum incident_kind { INCIDENT_LOAD = 1, INCIDENT_LATE_END, INCIDENT_DIGEST_MISMATCH, INCIDENT_LEASE_MISMATCH,
                     INCIDENT_BREAKER, INCIDENT_BAD_FRAME, INCIDENT_CELL,
                     INCIDENT_CREDENTIAL, /* the vault could not open what an order carries: damaged, or not its own */
                     INCIDENT_KINDS };
struct msg_incident {
    uint32_t kind, entry;
    struct call_ref call; /* zeroed: none */
    uint8_t entry_digest[HASH_BYTES];
    int32_t exit_code, signal;
    uint32_t phase, report_count;
    struct violation reports[REPORTS];
};

/* A worker's channel end, labelled: to the vault its credential pipe (write end), to the broker its egress channel. An
 * exchange's worker: to the vault its call stream (write) and reply pipe (read) as well, three descriptors in this order.
 * channel: the runner's number of the worker. The descriptor comes the first time only; a leased worker's later
 * calls are labelled by number. keep: 1 = lease: do not close after this call. call.attempt 0: the worker is gone. */
struct msg_half {
    struct call_ref call;
    uint32_t channel, entry, keep, reserved;
    uint8_t entry_digest[HASH_BYTES];
    uint64_t deadline;
};

/* ── the table ─────────────────────────────────────────────────────────────────────────────────────── */

struct msg_row {
    const char *name;
    uint32_t from, to;     /* bit per role: MSG_BIT(ROLE_FRONT) | … */
    uint32_t least, most;  /* bytes of the body */
    uint8_t fds_least, fds_most;
};
#define MSG_BIT(role) (1u << (role))

/* NULL for a number that nobody knows. */
const struct msg_row *msg_row(unsigned type);
/* May this frame come from that role to this one? body: bytes after the head. */
bool msg_allowed(unsigned type, enum role_id from, enum role_id to, size_t body, int fds);
/* "ledger" … for logs and process names. */
const char *role_name(enum role_id role);

/* Stable names of outcomes, for records and the API. Unknown numbers: "?". */
const char *class_name(unsigned class);
const char *sent_name(unsigned sent);
const char *reason_name(unsigned reason);
/* The error kind that a caller sees for an outcome's class; ERR_NONE for CLASS_OK. */
unsigned class_kind(unsigned class);
