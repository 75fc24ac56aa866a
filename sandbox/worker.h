/* SPDX-License-Identifier: Apache-2.0 */
/* One call inside a worker: what came in, and what the connector has said so far. */
#pragma once

#include <jansson.h>

#include "cell_state.h"
#include "frames.h"

enum { PROBLEM_TEXT = 256, NEEDLES = 256 };

/* Memory that lives until the action returns. */
struct scrap {
    struct scrap *next;
    char bytes[];
};

struct worker_call {
    struct csn_call call; /* first: the services get this pointer */
    struct cell *cell;
    struct csn_services services;
    struct frame_call head;
    unsigned char *input_bytes;
    size_t input_length;
    json_t *input, *answer;
    size_t answer_size; /* an upper bound of its JSON text */
    struct scrap *scraps;
    char id[ID_TEXT], problem[PROBLEM_TEXT];
    int retry_after;
    uint32_t dials; /* numbers requests on the egress channel */
    bool answered;
    size_t logged;  /* bytes of log frames so far */
    struct needle { /* written forms of the secrets, for the log */
        char *text;
        size_t length;
        bool any_case;
        bool in_answers; /* also where it must not stand in an answer or a host name */
    } needles[NEEDLES];
    unsigned needle_count;
    bool starts[256]; /* bytes that a form begins with */
    union {
        struct frame_secret frame;
        unsigned char bytes[FRAME_SECRET_MAX];
    } secret;
};

/* services.c: fills the table. */
void services_fill(struct worker_call *call);
/* Keeps count bytes (and a NUL) until the action returns; NULL without memory. */
char *call_keep(struct worker_call *call, const void *bytes, size_t count);
/* pointer.c: what an RFC 6901 pointer names; NULL: nothing. */
json_t *pointer_get(json_t *root, const char *pointer);
/* Puts value (which it takes over) there, making missing objects on the way. */
bool pointer_set(json_t **root, const char *pointer, json_t *value);
/* base64.c: RFC 4648 §4 with padding; bytes has room for 3/4 of the text. */
bool base64_decode(const char *text, size_t length, unsigned char *bytes, size_t *count);
/* log_mask.c: the log, without secrets. */
void worker_log(struct worker_call *call, int level, const char *text);
void worker_log_end(struct worker_call *call);
/* The longest written form of a secret that begins at text, or NULL. answers: only what may not stand in an answer. */
const struct needle *needle_at(struct worker_call *call, const char *text, size_t left, bool answers);
/* answer_mask.c: the same for what a caller or a name server gets. They protect an honest connector from a service that
 * sends its credential back; a hostile one has other ways to write down what it knows (docs/threat-model.md). */
/* In every string and member name of *value, written forms of secrets become "[secret]". */
void mask_answer(struct worker_call *call, json_t **value);
/* The text without them, kept until the action returns; the text itself when there are none; NULL: no memory. */
const char *mask_text(struct worker_call *call, const char *text);
/* Does a host name carry one, in any case and with dots in between? */
bool mask_in_host(struct worker_call *call, const char *host);
/* dial.c */
int worker_dial(struct csn_call *call, const char *host, uint16_t port);
void worker_commit(struct csn_call *call);
/* This process can dial no more: a lease ends with the call that found out. */
bool worker_cut(void);
/* The action has answered. clean: it failed before the point of no return. */
void worker_over(struct worker_call *call, bool clean);
/* Writes one whole frame on the reply pipe, or ends the process. */
void worker_send(struct worker_call *call, enum frame_type type, const void *first, size_t first_length,
                 const void *rest, size_t rest_length);
