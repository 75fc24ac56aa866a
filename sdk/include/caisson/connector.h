/* SPDX-License-Identifier: Apache-2.0 */
/* caisson/connector.h — everything a Caisson connector needs: five verbs and one exported object.
 *
 * A connector is a shared object that runs one action of one call in a process of its own. That process has no
 * files, no sockets, no threads and no children. What it may use is what the call gives it:
 *
 *   input    csn_input, csn_int, csn_bool, csn_count, csn_blob     the caller's JSON, checked against your schema
 *   secret   csn_secret                                            the credential fields your manifest names
 *   dial     csn_dial                                              a byte stream to a host the administrator allowed
 *   log      csn_log                                               one line for the operator
 *   answer   csn_ok, csn_fail                                      exactly one per call
 *
 * Nothing is linked: the host hands in a table of services, and the functions here are inline calls into it.
 * C11, and C++11. Every string is UTF-8 and NUL-terminated. Phases: [load] while the object is being loaded and its
 * constructors run, where no function below may be called; [action] from the moment your function is entered until
 * it returns. */
#ifndef CAISSON_CONNECTOR_H
#define CAISSON_CONNECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this contract. A connector built against another major version is refused when it is enabled. */
#define CSN_ABI 1u

/* Levels of csn_log. */
enum csn_level { CSN_DEBUG = 0, CSN_INFO = 1, CSN_WARN = 2, CSN_ERROR = 3 };

/* Why an action did not succeed: the status of csn_fail.
 *   CSN_REJECTED   the service refused for good; the same call will not succeed later
 *   CSN_RETRY      the service may accept it later (busy, throttled, temporary); see csn_retry_after
 *   CSN_UNKNOWN    you cannot say whether it was done (the connection broke after the point of no return)
 *   CSN_BAD_INPUT  the input is wrong in a way the schema cannot say; text names the field */
enum csn_status { CSN_REJECTED = 1, CSN_RETRY = 2, CSN_UNKNOWN = 3, CSN_BAD_INPUT = 4 };

struct csn_call;
struct csn_http_request;  /* caisson/http.h */
struct csn_http_response;
struct csn_mail;          /* caisson/mail.h */
struct csn_mail_result;

/* The services a host offers. Grows at the end only; size says how much of it is there. Do not copy it. */
struct csn_services {
    uint32_t size;
    uint32_t abi;
    const char *(*input)(struct csn_call *, const char *pointer);
    int (*integer)(struct csn_call *, const char *pointer, int64_t *value);
    int (*boolean)(struct csn_call *, const char *pointer);
    int (*count)(struct csn_call *, const char *pointer);
    const char *(*key)(struct csn_call *, const char *pointer, int index);
    int (*blob)(struct csn_call *, const char *pointer, const void **bytes, size_t *size);
    const char *(*json)(struct csn_call *, const char *pointer);
    const char *(*secret)(struct csn_call *, const char *field);
    const char *(*setting)(struct csn_call *, const char *pointer);
    const char *(*call_id)(struct csn_call *);
    const char *(*trace)(struct csn_call *);
    int64_t (*now)(struct csn_call *);
    int (*left)(struct csn_call *);
    int (*dial)(struct csn_call *, const char *host, uint16_t port);
    const char *(*problem)(struct csn_call *);
    void (*commit)(struct csn_call *);
    void (*log)(struct csn_call *, int level, const char *text);
    int (*set)(struct csn_call *, const char *pointer, const char *text);
    int (*set_integer)(struct csn_call *, const char *pointer, int64_t value);
    int (*set_boolean)(struct csn_call *, const char *pointer, int value);
    int (*set_json)(struct csn_call *, const char *pointer, const char *json);
    int (*ok)(struct csn_call *);
    void (*retry_after)(struct csn_call *, int seconds);
    int (*fail)(struct csn_call *, int status, const char *text);
    /* NULL unless the manifest declares egress */
    int (*http)(struct csn_call *, const struct csn_http_request *, struct csn_http_response *);
    int (*mail)(struct csn_call *, const struct csn_mail *, struct csn_mail_result *);
    int (*hmac_sha256)(struct csn_call *, const void *key, size_t key_size, const void *bytes, size_t size,
                       unsigned char mac[32]);
    const char *(*base64)(struct csn_call *, const void *bytes, size_t size);
    int (*unbase64)(struct csn_call *, const char *text, const void **bytes, size_t *size);
    /* for the helpers, not for you: what csn_problem answers next */
    void (*explain)(struct csn_call *, const char *text);
};

/* One call. Made and freed by the host; lives until the action returns. */
struct csn_call {
    const struct csn_services *services;
    void *host; /* the host's own; do not touch */
};

/* ── input ─────────────────────────────────────────────────────────────────────────────────────────────
 * A pointer is a JSON Pointer (RFC 6901), e.g. "/to/0/address". The input has passed your schema already. */

/* The string there, or NULL when there is none or it is not a string. [action; lives until the action returns] */
static inline const char *csn_input(struct csn_call *call, const char *pointer)
{
    return call->services->input(call, pointer);
}

/* Sets *value and returns 1, or returns 0 and leaves it alone when there is no integer there. [action] */
static inline int csn_int(struct csn_call *call, const char *pointer, int64_t *value)
{
    return call->services->integer(call, pointer, value);
}

/* 1 true, 0 false, -1 neither. [action] */
static inline int csn_bool(struct csn_call *call, const char *pointer)
{
    return call->services->boolean(call, pointer);
}

/* Elements of the array or members of the object there; -1 when there is neither. [action] */
static inline int csn_count(struct csn_call *call, const char *pointer)
{
    return call->services->count(call, pointer);
}

/* The name of member index (from 0, in sorted order) of the object there, or NULL. [action; lives until the action returns] */
static inline const char *csn_key(struct csn_call *call, const char *pointer, int index)
{
    return call->services->key(call, pointer, index);
}

/* Decodes the base64 string there (RFC 4648 §4). 1: *bytes and *size are set; 0: absent, or not base64.
 * [action; lives until the action returns] */
static inline int csn_blob(struct csn_call *call, const char *pointer, const void **bytes, size_t *size)
{
    return call->services->blob(call, pointer, bytes, size);
}

/* Whatever stands there as compact JSON text; "" is the whole input. NULL: nothing there.
 * [action; lives until the action returns] */
static inline const char *csn_json(struct csn_call *call, const char *pointer)
{
    return call->services->json(call, pointer);
}

/* The administrator's setting there: strings as they are, everything else as JSON text; NULL when unset.
 * [action; lives until the action returns] */
static inline const char *csn_setting(struct csn_call *call, const char *pointer)
{
    return call->services->setting(call, pointer);
}

/* ── secret ────────────────────────────────────────────────────────────────────────────────────────────
 * The value of a credential field that the manifest gives to this action; NULL for every other name.
 * Never log it, never answer it. [action; lives until the action returns] */
static inline const char *csn_secret(struct csn_call *call, const char *field)
{
    return call->services->secret(call, field);
}

/* ── the call ──────────────────────────────────────────────────────────────────────────────────────────*/

/* The call's id, a UUID; the same over all attempts of a call, so it can serve as a message id.
 * [action; lives until the action returns] */
static inline const char *csn_call_id(struct csn_call *call)
{
    return call->services->call_id(call);
}

/* W3C traceparent of this call, or NULL. [action; lives until the action returns] */
static inline const char *csn_trace(struct csn_call *call)
{
    return call->services->trace(call);
}

/* Seconds since 1970-01-01T00:00:00Z. [action] */
static inline int64_t csn_now(struct csn_call *call)
{
    return call->services->now(call);
}

/* Milliseconds until the process is killed, 0 when the deadline has passed. [action] */
static inline int csn_left_ms(struct csn_call *call)
{
    return call->services->left(call);
}

/* ── dial ──────────────────────────────────────────────────────────────────────────────────────────────*/

/* A connected byte stream (AF_UNIX, blocking) to host:port, relayed by Caisson; -1 when it was refused or failed:
 * csn_problem() then says why, and errno is EACCES when no rule allows that host and port, anything else when a later
 * attempt may succeed. TLS is yours to make, or use caisson/http.h and caisson/mail.h.
 * [action; the descriptor is yours, close(2) it or leave it to the end of the process] */
static inline int csn_dial(struct csn_call *call, const char *host, uint16_t port)
{
    return call->services->dial(call, host, port);
}

/* ── signatures: there only when the manifest declares egress ──────────────────────────────────────────*/

/* HMAC-SHA256 (RFC 2104) of size bytes into mac. 1, or 0 when the host cannot. [action] */
static inline int csn_hmac_sha256(struct csn_call *call, const void *key, size_t key_size, const void *bytes,
                                  size_t size, unsigned char mac[32])
{
    return call->services->hmac_sha256 ? call->services->hmac_sha256(call, key, key_size, bytes, size, mac) : 0;
}

/* The bytes in base64 (RFC 4648 §4, with padding), or NULL when there is no memory.
 * [action; lives until the action returns] */
static inline const char *csn_base64(struct csn_call *call, const void *bytes, size_t size)
{
    return call->services->base64 ? call->services->base64(call, bytes, size) : (const char *)0;
}

/* Decodes base64 text that is not in the input (csn_blob does that), such as a key: 1 and *bytes, *size are set, or 0
 * when it is not base64. [action; lives until the action returns] */
static inline int csn_unbase64(struct csn_call *call, const char *text, const void **bytes, size_t *size)
{
    return call->services->unbase64 ? call->services->unbase64(call, text, bytes, size) : 0;
}

/* Why the last csn_dial, csn_http or csn_mail failed, in one sentence. Never NULL.
 * [action; lives until the next of them] */
static inline const char *csn_problem(struct csn_call *call)
{
    return call->services->problem(call);
}

/* Marks the point of no return: from here on the service may have acted. Call it right before you send what makes
 * it act; a failure before it is recorded as "not sent". The HTTP and mail helpers do it for you. [action] */
static inline void csn_commit(struct csn_call *call)
{
    call->services->commit(call);
}

/* ── log ───────────────────────────────────────────────────────────────────────────────────────────────
 * One line, at most 4 KiB; control characters are escaped, values of this call's secret fields are masked. [action] */
static inline void csn_log(struct csn_call *call, int level, const char *text)
{
    call->services->log(call, level, text);
}

/* ── answer ────────────────────────────────────────────────────────────────────────────────────────────
 * Build the answer with csn_set*, then end with csn_ok or csn_fail; return what they return. An action that returns
 * without either has crashed the call. Each csn_set* returns 1, or 0 when the pointer cannot be set (its parent is
 * not an object or array, or the answer would exceed 1 MiB); a missing parent object is made. In answers and texts of
 * csn_fail, values of secret fields (of 6 bytes and more) are masked, as they are in the log. */
static inline int csn_set(struct csn_call *call, const char *pointer, const char *text)
{
    return call->services->set(call, pointer, text);
}
static inline int csn_set_int(struct csn_call *call, const char *pointer, int64_t value)
{
    return call->services->set_integer(call, pointer, value);
}
static inline int csn_set_bool(struct csn_call *call, const char *pointer, int value)
{
    return call->services->set_boolean(call, pointer, value);
}
/* json: one JSON value as text; not JSON = 0. */
static inline int csn_set_json(struct csn_call *call, const char *pointer, const char *json)
{
    return call->services->set_json(call, pointer, json);
}

/* Done: sends the answer built so far. [action; once] */
static inline int csn_ok(struct csn_call *call)
{
    return call->services->ok(call);
}

/* Before csn_fail(CSN_RETRY): the service asked to wait that many seconds. [action] */
static inline void csn_retry_after(struct csn_call *call, int seconds)
{
    call->services->retry_after(call, seconds);
}

/* Not done; text says why, for the caller. What csn_set* built goes along. [action; once] */
static inline int csn_fail(struct csn_call *call, int status, const char *text)
{
    return call->services->fail(call, status, text);
}

/* ── the exported object ───────────────────────────────────────────────────────────────────────────────*/

struct csn_action {
    const char *name;               /* as in the manifest */
    int (*run)(struct csn_call *);  /* returns what csn_ok or csn_fail returned */
};

struct csn_connector {
    uint32_t abi;          /* CSN_ABI */
    uint32_t size;         /* of this structure, as the connector was built */
    uint32_t action_size;  /* of one struct csn_action, likewise: the host walks with this stride */
    uint32_t action_count;
    const char *name, *version; /* as in the manifest */
    const struct csn_action *actions;
};

#if defined(__GNUC__)
#define CSN_EXPORT __attribute__((visibility("default")))
#else
#define CSN_EXPORT
#endif

#ifdef __cplusplus
#define CSN_EXTERN extern "C"
#else
#define CSN_EXTERN extern
#endif

/* Declares the connector. Use it once, after your functions:
 *
 *     CSN_CONNECTOR("hello", "1.0.0", { "greet", greet });
 *
 * The symbol's name carries the major version, so that a host finds exactly the contract it knows. */
#define CSN_CONNECTOR(connector_name, connector_version, ...)                                                          \
    static const struct csn_action csn_actions_[] = {__VA_ARGS__};                                                     \
    CSN_EXTERN CSN_EXPORT const struct csn_connector csn_connector_1;                                                  \
    const struct csn_connector csn_connector_1 = {                                                                     \
        CSN_ABI,                                                                                                       \
        (uint32_t)sizeof(struct csn_connector),                                                                        \
        (uint32_t)sizeof(struct csn_action),                                                                           \
        (uint32_t)(sizeof csn_actions_ / sizeof *csn_actions_),                                                        \
        connector_name,                                                                                                \
        connector_version,                                                                                             \
        csn_actions_}

#ifdef __cplusplus
}
#endif

#endif
