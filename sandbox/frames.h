/* SPDX-License-Identifier: Apache-2.0 */
/* What passes between a worker and the three processes it may hear: front (call, reply), vault (secrets),
 * broker (egress). Shapes only, so that each side can include it without the other's libraries.
 * All numbers are in host order: both ends are processes of one machine and one build. */
#pragma once

#include <stdint.h>

enum {
    FRAME_VERSION = 1,
    FRAME_CALL_MAX = 32 * 1024 * 1024, /* one call frame, front to worker */
    FRAME_WORKER_MAX = 1024 * 1024,    /* one frame from a worker */
    FRAME_LOG_MAX = 4096,              /* the text of one log frame */
    FRAME_SECRET_MAX = 8192,           /* the vault's one frame */
    FRAME_FIELDS = 16,                 /* credential fields in it */
    FRAME_NAME = 64,                   /* a name with its NUL (base/ids.h) */
    FRAME_HOST = 256                   /* a host name with its NUL (RFC 1035: 253 characters) */
};

/* Call stream (front → worker) and reply pipe (worker → front): head, then length bytes. */
enum frame_type { FRAME_CALL = 1, FRAME_LOG = 2, FRAME_REPLY = 3 };

struct frame_head {
    uint32_t length; /* bytes after this head */
    uint16_t type, version;
    uint8_t call_id[16];
};

/* FRAME_CALL: this, then the input: one JSON document, exactly the bytes whose digest the intent holds. */
struct frame_call {
    uint32_t attempt, action; /* action: index in the manifest */
    uint64_t deadline;        /* CLOCK_MONOTONIC, ns */
    char traceparent[56];     /* W3C trace context, or empty */
};

/* FRAME_LOG: a level (csn_level), then UTF-8 text.
 * FRAME_REPLY: one JSON object {"class": "ok|rejected|retryable|unknown|bad_input", "text"?, "retry_after"?, "answer"?}. */
struct frame_log {
    uint32_t level;
};

/* The digest that ties intent, secrets and input together: SHA-256(tag ‖ salt ‖ input bytes). */
#define FRAME_INPUT_TAG "caisson input v1\n"

/* Credential pipe (vault → worker): exactly one of these per call, written in one write, size bytes altogether. */
struct frame_secret {
    uint32_t magic, size; /* FRAME_SECRET_MAGIC; the whole frame, at most FRAME_SECRET_MAX */
    uint8_t call_id[16];
    uint32_t attempt, action;
    uint8_t salt[32], input_digest[32];
    uint32_t field_count, input_size; /* size and digest as the intent has them */
    struct frame_field {
        char name[FRAME_NAME];
        uint32_t offset, length; /* in bytes[], no NUL counted; each value is followed by one NUL */
    } fields[FRAME_FIELDS];
    char bytes[];
};
enum { FRAME_SECRET_MAGIC = 0x31565343 };

/* What the connector oauth2 answers: base64 of this structure between GRANT_BEFORE and GRANT_AFTER, always whole, so
 * that the vault compares and copies and parses nothing. Each byte of the tokens is XORed with GRANT_MASK, or the masks
 * of a worker's answers would take a token apart that has the client's name in it. */
struct frame_grant {
    uint32_t magic, verdict;                /* FRAME_GRANT_MAGIC; enum token_verdict */
    uint32_t expires_in;                    /* seconds, 0: not said */
    uint32_t access_length, refresh_length; /* refresh 0: there is no other than before */
    uint32_t reserved;
    uint8_t access[4096], refresh[1536];
};
#define GRANT_BEFORE "{\"class\":\"ok\",\"answer\":{\"grant\":\""
#define GRANT_AFTER "\"}}"
enum {
    FRAME_GRANT_MAGIC = 0x31544e47,
    GRANT_MASK = 0xa5,
    GRANT_TEXT = (sizeof(struct frame_grant) + 2) / 3 * 4, /* in base64 */
    GRANT_REPLY = sizeof(struct frame_head) + sizeof GRANT_BEFORE - 1 + GRANT_TEXT + sizeof GRANT_AFTER - 1
};
/* An exchange's input, whole. */
#define EXCHANGE_INPUT "{}"

/* Egress channel (worker ↔ broker, AF_UNIX SOCK_SEQPACKET): requests up, answers down, each one message. */
/* COMMIT: from here on the service may act. CLEAN: the action fails, and says that the service has not acted.
 * DONE: a leased worker's action is over in any other way; only after one of the two are its connections kept. */
enum egress_type { EGRESS_DIAL = 1, EGRESS_COMMIT = 2, EGRESS_CLEAN = 3, EGRESS_DONE = 4 };

struct egress_request {
    uint32_t type, id; /* id: the worker's own count; only DIAL is answered */
    uint32_t port;
    uint32_t host_length; /* bytes of host that count; anything but exactly that many non-NUL bytes is refused */
    char host[FRAME_HOST];
    uint8_t call_id[16]; /* which call of a lease this belongs to; all zero: the one whose gate is open */
    uint32_t attempt;
};

enum egress_status {
    EGRESS_OK = 0,        /* one descriptor comes along: a relayed AF_UNIX SOCK_STREAM */
    EGRESS_DENIED,        /* no rule allows this host and port, or the address is special-purpose */
    EGRESS_NO_NAME,       /* the name does not resolve */
    EGRESS_UNREACHABLE,   /* refused, reset, no route, or no answer in time */
    EGRESS_LIMIT,         /* dials, lookups or bytes are used up */
    EGRESS_CLOSED         /* no gate is open for this channel */
};

struct egress_answer {
    uint32_t id, status;
    char text[248]; /* for people: names the rule or address */
};
