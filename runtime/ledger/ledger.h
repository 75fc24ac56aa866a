/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger process: its one state, and what its files call in one another. Everything runs on one thread. */
#pragma once

#include "authorise.h"
#include "calls.h"
#include "journal.h"
#include "note.h"
#include "push_due.h"
#include "rate.h"
#include "runtime/messages.h"
#include "runtime/registry.h"
#include "runtime/role.h"
#include "spill.h"
#include "store.h"
#include "who.h"

/* What the vault's keys are to vault.db, and the rotations between them (rotate.h). */
struct rotating {
    bool known;             /* compared since this ledger and that vault started */
    bool asking;            /* a question to the vault is under way */
    bool under_next;        /* a rotation of the master key is under way */
    bool work;              /* there may be a rotation to go on with */
    struct key_mark now, next; /* the vault's master keys */
    uint64_t checked;       /* clock_wall: when they were compared last */
    uint64_t at;            /* clock_now: nothing is done before */
    /* What the administrator did to the key files, and until when (clock_now) the vault may take to notice. */
    enum { WANT_NOTHING, WANT_NEXT, WANT_REPLACED } want;
    uint64_t want_until;
    uint64_t stuck_until;   /* clock_now: keys that cannot be opened are not tried again before */
    char trouble[ERR_TEXT]; /* why nothing can run with these keys, "": it can */
};

enum {
    BEGINS_MAX = 512, /* waiting for the next commit */
    FETCHES_MAX = 64, /* OAuth2 exchanges whose intent waits for the next commit */
    FAILURES_MAX = 64,
    WAITS_MAX = 256 /* questions to vault or parent that are under way */
};

struct begin;
struct waiting;

struct ledger_limits {
    uint32_t running;           /* calls at once, all connectors together */
    uint32_t per_second, burst; /* BEGINs of one caller; 0: no limit */
    uint64_t key_life, answer_life, reserve_bytes;
    uint64_t keep_bodies, keep_hashes; /* ns: younger bodies, and leaves, are not pruned */
    uint64_t roll_period; /* after which a signing key is replaced; 0: only by hand */
};

/* The keys that sign the log (signer.c). */
struct signing {
    struct signer_key current, next; /* next: while it rolls */
    uint64_t roll_size;              /* rolling: the tree that current signs last */
    uint64_t created, again_at;      /* clock_wall of the newest pair; clock_now: not before */
    bool has, rolling, wanted;       /* wanted: somebody asked for a roll */
    bool missing;                    /* vault.db does not hold the key whose turn it is */
    bool asked, destroy;             /* a question is under way; old keys wait to be destroyed */
};

/* An OAuth2 exchange that failed a moment ago: it is not asked for again at once. */
struct token_failure {
    uint8_t workspace[ID_BYTES];
    char credential[NAME_BYTES];
    uint32_t version;
    uint64_t until; /* clock_now; 0: this place is free */
    struct err why;
};

struct ledger {
    struct role *role;
    struct store *store;
    struct journal journal;
    struct registry registry;
    struct access access;
    struct ledger_limits limits;
    char origin[NOTE_ORIGIN];
    struct ctl_witness witness; /* what was signed last, as the parent knew at the start; size 0: nothing */

    struct principals principals;
    struct rates rates, refusals; /* of calls; of refusals that get a record of their own */
    struct calls calls;
    struct running *ready[CALLS_BUCKETS / 2]; /* their outcomes go into the next commit */
    unsigned ready_count;
    struct spill spill;
    struct begin *begins[BEGINS_MAX];
    unsigned begin_count;
    struct begin *fetches[FETCHES_MAX];
    unsigned fetch_count;
    struct token_failure failures[FAILURES_MAX];
    struct waiting *waits[WAITS_MAX];
    uint32_t next_seq;

    bool opened;    /* everything below is set up */
    bool sealed;    /* the log cannot be written: nothing is admitted */
    bool recovered; /* and its recovery is recorded, but calls that are open could not be taken over yet */
    char sealed_text[ERR_TEXT];
    uint64_t sealed_at, try_at; /* clock_wall, clock_now */
    struct {
        uint64_t size;
        tree_hash root;
    } kept;                     /* the log as it was durable when it was sealed: what comes back must begin so */
    enum { OWES_NOTHING, OWES_FREEZE, OWES_THAW } owed; /* what was frozen or thawed while nothing could be written */
    bool recorded_frozen;       /* so says the last freeze or thaw that stands in the log, as it was opened */
    uint64_t spilled;           /* outcomes in the spill file */
    bool spill_damaged;         /* some of them cannot be read any more: whose, nobody knows */
    bool short_of_room;         /* less free space than the reserve */
    bool epoch, held;           /* this log follows another one; calls wait for an administrator's word about that */
    bool doubted;               /* held, because a witness knows another log */
    bool forked;                /* the vault signed what this log is not: no way on without an administrator */

    struct {
        uint64_t signed_size, vault_size; /* newest checkpoint; what the vault is believed to have signed last */
        uint64_t asked_at, first_new;     /* clock_now: of the question under way, of the oldest entry not yet signed */
        uint32_t seq;                     /* of the question under way, 0: none */
        uint64_t size;                    /* and its size */
        bool urgent;
        unsigned retries;
        char refused[ERR_TEXT]; /* why the vault will not sign this log, as it said several times in turn; "" when it
                                   does */
    } sign;

    struct signing keys;
    struct push push;

    struct {
        uint64_t from; /* clock_wall of the first, 0: none */
        uint64_t by_kind[ERR_KINDS];
    } unknown; /* refusals that are counted, not recorded one by one */

    struct {
        uint64_t begun, refused, replayed, bad, batches, batch_most, commits_failed;
        uint64_t by_class[CLASS_COUNT];
    } counters;
    struct rotating rotating;
    uint64_t second_at, expire_at; /* clock_now: of the next chores */
    /* clock_now: of the last tick; after a disk that held us up, what was said meanwhile still lies in the lines: until
     * then nobody counts as silent */
    uint64_t ticked_at, patient_until;
    bool erasing, pruning;         /* there may be work that was recorded and is not done yet (people.h) */
    uint64_t keys_until;           /* clock_now: BEGINs wait for the first workspace's keys, 0: they are there */
};

/* ledger.c: the part itself, for main() and for tests; confine may be replaced by them. */
extern const struct role_part ledger_part;
struct ledger *ledger_of(struct role *role);
/* Seals: from now on nothing is admitted until recovery succeeds. Safe to call twice. */
void ledger_seal(struct ledger *ledger, const struct err *why);
/* Records what was frozen or thawed while the log was sealed, or no ledger was there. */
void freeze_owed(struct ledger *ledger);
/* May something be admitted now? ERR_AUDIT tells why not. */
bool ledger_open_for_business(struct ledger *ledger, struct err *err);

/* begin.c */
void on_begin(struct role *role, struct role_line *line, const struct role_message *message);
bool begins_record(struct ledger *ledger, struct err *err);                   /* inside the transaction */
void begins_done(struct ledger *ledger, bool durable, const struct err *why); /* after it */
void refuse_unknown(struct ledger *ledger, enum err_kind kind);
bool unknown_record(struct ledger *ledger, struct err *err); /* inside the transaction */

/* orders.c: what a durable intent lets loose, and taking it back. */
bool orders_send(struct ledger *ledger, struct running *run, struct begin *begin);
void orders_cancel(struct ledger *ledger, struct running *run, enum call_reason reason);

/* exchange.c: OAuth2 exchanges, calls of the daemon's own. */
/* After the commit that their intents were part of, or was to be. */
void exchanges_done(struct ledger *ledger, bool durable);
/* Is one under way for that credential, or for any of that workspace? What it brings takes the place of what was there
 * when it began, sealed under the key that it began with. */
bool exchange_of(const struct ledger *ledger, const struct store_credential *credential);
bool exchanges_in(const struct ledger *ledger, const uint8_t workspace[ID_BYTES]);
/* Is this call one? */
bool is_exchange(const struct ledger *ledger, const struct store_call *call);
/* Those who want the token are told why for a while. The second finds a reason, if there is none yet. */
void exchange_failed(struct ledger *ledger, const struct running *run, const struct err *why);
void exchange_over(struct ledger *ledger, const struct running *run);
void exchanges_gone(struct ledger *ledger);
/* tokens.c: its tokens cannot be written down yet, or may still be said: it stays open while the vault goes on saying
 * them. */
void tokens_wait(struct running *run, enum call_reason reason);
/* tokens.c */
void on_tokens(struct role *role, struct role_line *line, const struct role_message *message);

/* end.c */
/* The call is over, and this is how: nobody else will say it. */
void end_with(struct ledger *ledger, struct running *run, enum call_class class, enum call_reason reason);
void on_end(struct role *role, struct role_line *line, const struct role_message *message);
void on_gate_closed(struct role *role, struct role_line *line, const struct role_message *message);
void on_worker_ended(struct role *role, struct role_line *line, const struct role_message *message);
/* The call is over without an END: class and reason as known here. */
void end_without(struct ledger *ledger, struct running *run, enum call_class class, enum call_reason reason);
/* Moves closing calls on whose waiting is over; returns the next time something is due. */
uint64_t ends_tick(struct ledger *ledger);
bool outcomes_record(struct ledger *ledger, struct err *err); /* inside the transaction */
void outcomes_done(struct ledger *ledger, bool durable, const struct err *why);

/* outcome.c: class × sent out of what front, broker and runner said. */
void outcome_join(struct running *run);
uint64_t outcome_duration(const struct running *run); /* µs */
bool outcome_write(struct ledger *ledger, struct running *run, bool spilled, struct err *err);

/* reports.c: system calls that workers were refused. */
void on_worker_tried(struct role *role, struct role_line *line, const struct role_message *message);
/* The call's outcome is written, with all that was reported so far. */
void reports_closed(const struct running *run);
/* Does an outcome that is written have all of these? */
bool reports_known(const struct msg_worker_ended *ended);

/* deaths.c: lines that were replaced, calls of older starts, incidents. */
void ledger_line(struct role *role, struct role_line *line);
bool adopt_open_calls(struct ledger *ledger, struct err *err);
void on_incident(struct role *role, struct role_line *line, const struct role_message *message);
void incident_late_end(struct ledger *ledger, const struct msg_worker_ended *ended, const struct store_call *call);
unsigned incidents_waiting(void);
bool incidents_record(struct ledger *ledger, struct err *err); /* inside the transaction */
void incidents_done(bool durable);

/* wait.c: questions to the vault, the runner and the parent whose answers come later. */
typedef void wait_done(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length);
struct waiting {
    uint32_t seq;
    enum role_id peer;
    wait_done *done;        /* answer NULL: the peer is gone, or was silent too long */
    struct role_line *line; /* who asked us, with its line's generation and its own seq */
    uint32_t generation, asked_seq;
    uint64_t until;
    void *context; /* freed with wait_free */
};
/* Sends the question; false: it cannot be asked (the context stays the caller's). */
bool wait_ask(struct ledger *ledger, enum role_id peer, unsigned type, const void *body, size_t length,
              const struct waiting *how, struct err *err);
/* Half of the questions that there can be are under way: callers leave the rest to signing, rotation and the desk. */
bool wait_crowded(const struct ledger *ledger);
void on_answer(struct role *role, struct role_line *line, const struct role_message *message);
void waits_gone(struct ledger *ledger, enum role_id peer);
uint64_t waits_tick(struct ledger *ledger);

/* checkpoint.c */
uint64_t checkpoint_tick(struct ledger *ledger);
void checkpoint_forget(struct ledger *ledger);
bool checkpoint_open(struct ledger *ledger, struct err *err);
/* At the start: takes what the parent saw signed last (GIVE_WITNESS). */
void checkpoint_recall(struct ledger *ledger);
/* Before anything is added: does this log hold that? Where it does not, it is older or another one: false, and why. */
bool checkpoint_continues(struct ledger *ledger, char why[ERR_TEXT]);
/* No way on without an administrator: sealed for good. */
void checkpoint_forked(struct ledger *ledger, const struct err *why);

/* signer.c: after checkpoint_open, from the databases. */
bool signer_open(struct ledger *ledger, struct err *err);
uint64_t signer_tick(struct ledger *ledger);

/* recover.c */
/* Databases, journal, spill. fresh: what is missing is made. */
bool ledger_load(struct ledger *ledger, bool fresh, struct err *err);
bool ledger_load_first(struct ledger *ledger, struct err *err);
/* Seals when the store is broken and nobody said so yet. */
void seal_if_broken(struct ledger *ledger);
bool spill_replay(struct ledger *ledger, struct err *err);
uint64_t recover_tick(struct ledger *ledger);
void room_check(struct ledger *ledger);

/* replay.c: a stored answer on its way to the caller. */
void replay_answer(struct ledger *ledger, struct begin *begin);

/* revoked.c: whatever token's revocation the log records and state.db does not have, it has then; and recorded_frozen
 * is set. */
bool revoked_compare(struct ledger *ledger, struct err *err);

/* setup.c: configuration, first start, the keys of workspaces. */
bool setup_config(struct ledger *ledger, struct err *err); /* all of it or nothing */
bool setup_registry(struct ledger *ledger, struct err *err);
bool setup_first_start(struct ledger *ledger, struct err *err);
/* Asks the vault for the keys of a workspace that has none. done: NULL, or told when they are there. */
bool keys_ask(struct ledger *ledger, const uint8_t workspace[ID_BYTES], const struct waiting *how, struct err *err);
bool keys_keep(struct ledger *ledger, const uint8_t workspace[ID_BYTES], const void *answer, size_t length,
               struct err *err);
void keys_first(struct ledger *ledger);

/* rotate.c: the vault's keys compared with what vault.db was sealed under, and rotations. */
uint64_t rotate_tick(struct ledger *ledger);
/* The vault is another process: nothing is known of its keys. */
void rotate_forget(struct ledger *ledger);
/* 1: new keys of workspaces go under the next master key. */
uint32_t rotate_under_next(const struct ledger *ledger);
/* Is this key under the master key that new ones go under now? */
bool rotate_fresh(const struct ledger *ledger, const struct wrapped *key);

/* query_push.c: who asked for a push is answered once it is over. */
void query_push_tick(struct ledger *ledger);

/* query.c: every message with a JSON body. */
void on_query(struct role *role, struct role_line *line, const struct role_message *message);
