/* SPDX-License-Identifier: Apache-2.0 */
/* A real caisson-ledger process, inside its walls, with the test as its parent, front, desk, vault, broker and runner.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include <sys/types.h>

#include "base/wire.h"
#include "runtime/ledger/tree.h"
#include "runtime/messages.h"

enum { RIG_FRONTS = 32, PATIENCE_S = 20 };

struct shim;
struct rig {
    pid_t pid;
    char path[64];
    int data;
    int control, front[RIG_FRONTS], desk, vault, broker, runner;
    uint32_t front_generation, desk_generation, vault_generation, broker_generation, runner_generation;
    uint32_t seq, registry;
    uint8_t instance[ID_BYTES];
    char config[2048];
    uint32_t principal; /* of this process's own uid, as the front shows it */
    uint32_t desk_principal;
    int peers[2]; /* kept ends of the shown connections */
    int door;     /* listens: what is accepted on it is a caller's connection */

    struct shim *shim;    /* NULL, or what stands between the ledger and its disk */
    bool mute_vault;      /* the vault answers nothing */
    struct key_mark now, next; /* the master keys that the vault holds */
    unsigned rewrapped;   /* keys that it wrapped anew */
    unsigned unreadable;  /* so many of each batch cannot be opened */
    uint64_t signed_size; /* what it has signed */
    tree_hash signed_root;
    uint8_t sign_public[32], sign_secret[64]; /* of the key that signed last; its seed is what is "wrapped" */
    uint8_t first_public[32];                 /* of the log's first key */
    struct ctl_witness witness; /* what its parent wrote down; given at each start, as the true one does */
    unsigned refusing;          /* signs nothing, with this enum err_kind */
    unsigned rolls;                           /* takeovers that it signed */
    unsigned signatures;
    bool frozen; /* so says the parent at each start */
    /* The vault takes a question of this type (a signature: one that lets a key take over), works on it or not, and
     * says nothing: then silenced is set. */
    unsigned silent;
    bool silent_works, silenced;
    struct wire_frame frame; /* the last one that was taken */
};

/* The path of caisson-ledger: the first argument of every test program. */
extern const char *ledger_path;

void rig_init(struct rig *rig, const char *config);
/* Starts the ledger on the rig's data folder. fresh: a new start of the daemon (another instance). */
void rig_start(struct rig *rig, bool fresh);
/* Starts it and expects CTL_FAILED; its text. */
const char *rig_start_failing(struct rig *rig);
void rig_stop(struct rig *rig);
void rig_kill(struct rig *rig);
void rig_clear(struct rig *rig);

/* cmocka fixtures: a running ledger in *state; the second one's goes through a shim to its disk. */
int rig_setup(void **state);
int rig_setup_shim(void **state);
int rig_teardown(void **state);

void rig_send(struct rig *rig, int line, uint32_t generation, unsigned type, uint32_t seq, const void *body,
              size_t length, const int *fds, int fd_count);
/* Shows a descriptor as a caller's connection. */
const struct msg_hello_answer *rig_hello(struct rig *rig, int line, uint32_t generation, int fd);
/* The next frame of that type on that line; other frames of the vault's are answered, the rest fails the test. */
const void *rig_take(struct rig *rig, int line, unsigned type, uint32_t *seq);
/* Nothing comes on that line while everything that was sent before is worked off. */
void rig_nothing(struct rig *rig, int line);
/* Serves the vault until it has fallen silent. */
void rig_until_silenced(struct rig *rig);
/* Another configuration while it runs, as at a reload. */
void rig_configure(struct rig *rig, const char *config);
/* A new line in the place of that peer's, as after its death. */
void rig_replace(struct rig *rig, enum role_id peer);

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A BEGIN that is admitted unless the test changes it. */
struct msg_begin rig_ask(struct rig *rig);
struct msg_begin rig_keyed(struct rig *rig, const char *key);
/* Sends it on front line 0 and takes the answer. */
struct msg_begun rig_begin(struct rig *rig, const struct msg_begin *ask);
/* As rig_begin, and takes order, gate and start too. */
struct msg_begun rig_begin_ok(struct rig *rig, const struct msg_begin *ask);
struct msg_end rig_end_of(const struct call_ref *call, enum call_class class);
void rig_send_end(struct rig *rig, const struct msg_end *end, const void *answer);
/* The broker's answer to the gate's closing. */
void rig_gate(struct rig *rig, const struct call_ref *call, uint32_t dials, uint64_t up, bool committed);
struct msg_ended rig_ended(struct rig *rig);
/* One whole call with that end and those bytes. */
struct msg_ended rig_call(struct rig *rig, const struct msg_begin *ask, enum call_class class, uint64_t up,
                          bool committed);

/* ── administration ────────────────────────────────────────────────────────────────────────────────── */

/* A query over the desk's (or front's) line; the answer's JSON, or NULL with the kind and text of the refusal. */
json_t *rig_query(struct rig *rig, unsigned type, json_t *in, uint32_t *kind);
json_t *rig_query_as(struct rig *rig, bool desk, const struct who *who, unsigned type, json_t *in, uint32_t *kind);
/* A credential of connector "echo" with that one field. */
void rig_credential(struct rig *rig, const char *name, const char *field, const char *audience);

/* ── the log, looked at from outside ───────────────────────────────────────────────────────────────── */

/* Runs SQL on data/audit.db with a connection of the test's own. */
int64_t rig_number(struct rig *rig, const char *sql);
void rig_exec(struct rig *rig, const char *file, const char *sql);
/* The same of another file. */
int64_t rig_number_in(struct rig *rig, const char *file, const char *sql);
/* The mark of a master key whose wraps are named by this byte. */
struct key_mark rig_mark(uint8_t byte);
/* Recomputes every leaf and the tree and compares with the newest checkpoint; the size. */
uint64_t rig_verify(struct rig *rig);
/* The body of the newest entry of that kind, optionally of that call. Owned by the caller; NULL: none. */
json_t *rig_entry(struct rig *rig, int kind, const struct call_ref *call);
/* Its field of that name holds that text, and there is such an entry. */
void rig_check(struct rig *rig, int kind, const struct call_ref *call, const char *key, const char *value);
/* A text member, "" when it is none. */
const char *rig_text(const json_t *object, const char *key);
