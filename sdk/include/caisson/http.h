/* SPDX-License-Identifier: Apache-2.0 */
/* caisson/http.h — one HTTP exchange for a connector that speaks to a web API.
 *
 * The request goes over csn_dial: to the host and port in the URL, if the administrator allowed them. TLS 1.2 or newer
 * is made inside the connector's process and always verified against the host's certificates. HTTP/1.1; a redirect is
 * an answer like any other and is never followed. csn_commit is called for you right before the request leaves, and
 * a request is never sent twice. There only when the manifest declares egress.
 *
 * The whole of a connector for a JSON service:
 *
 *     struct csn_http_request request = {.size = sizeof request, .method = "POST", .url = url,
 *                                        .headers = headers, .header_count = 1, .body = json, .body_size = length};
 *     struct csn_http_response response = {.size = sizeof response};
 *     int got = csn_http(call, &request, &response);
 *     if (!csn_http_success(got, &response)) return csn_http_fail(call, got, &response, "the service");
 *     return csn_ok(call);
 *
 * Every structure begins with its size and may grow at the end; zero and NULL are the defaults of all members. */
#ifndef CAISSON_HTTP_H
#define CAISSON_HTTP_H

#include <string.h>
#include <strings.h>

#include "caisson/connector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A header line, or a form field. In a header: name is an RFC 9110 token, value has no control character. */
struct csn_http_pair {
    const char *name, *value;
};

enum csn_http_flag {
    CSN_HTTP_PLAIN = 1 /* http:// is allowed too; the administrator's grant must allow it as well */
};

/* What to send. Everything in it stays yours and must live until csn_http returns. */
struct csn_http_request {
    uint32_t size;         /* sizeof(struct csn_http_request) */
    uint32_t flags;        /* of enum csn_http_flag */
    const char *method;    /* upper-case letters; NULL: GET, or POST when there is a body or a form */
    const char *url;       /* https://host[:port]/path[?query]; no user name, host in ASCII (A-labels) */
    const struct csn_http_pair *headers; /* your own; not Host, Content-Length, Connection or the like */
    size_t header_count;   /* at most 64 */
    const void *body;      /* body_size bytes as they are; name their type in a Content-Type header */
    size_t body_size;
    const struct csn_http_pair *form; /* instead of body: sent as application/x-www-form-urlencoded */
    size_t form_count;
    const char *user, *password; /* Basic authentication, UTF-8 (RFC 7617); NULL: none */
    int timeout_ms;        /* for the whole exchange; 0, or more than is left: until shortly before the deadline */
    size_t max_answer;     /* bytes of the answer's body to keep; 0: 64 KiB, at most 16 MiB */
};

/* What came back. Set by csn_http, whatever it returns. What it points to belongs to the host.
 * [lives until the next csn_http, or until the action returns] */
struct csn_http_response {
    uint32_t size;         /* sizeof(struct csn_http_response), set by you */
    int status;            /* 100 to 599; 0: none came */
    const struct csn_http_pair *headers; /* of the final answer, in order, names as sent */
    size_t header_count;
    const char *body;      /* body_size bytes and a NUL beyond; never NULL */
    size_t body_size;
    int truncated;         /* 1: the body was longer than max_answer, the rest was not read */
    int retry_after;       /* the Retry-After header in seconds, 0 to 86400; -1: none */
    int refused;           /* 1: nothing was sent, and the same request will not get further later: a URL or header
                            * that is not valid, a host that is not allowed, a certificate that does not verify */
    const char *(*json)(const struct csn_http_response *, const char *pointer); /* for csn_http_json */
};

/* The exchange. 1: an answer came, whatever its status. 0: it failed before the request was sent. -1: the request, or
 * a part of it, was sent and no complete answer came. csn_problem says why for 0 and -1. [action] */
static inline int csn_http(struct csn_call *call, const struct csn_http_request *request,
                           struct csn_http_response *response)
{
    return call->services->http(call, request, response);
}

/* The value of the first header of that name, any case, or NULL. [action; lives as long as the response] */
static inline const char *csn_http_header(const struct csn_http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0) return response->headers[i].value;
    return (const char *)0;
}

/* The value at a JSON Pointer (RFC 6901) of a body that is JSON: strings as they are, everything else as JSON text;
 * NULL: nothing there, or the body is no JSON. [action; lives until the action returns] */
static inline const char *csn_http_json(const struct csn_http_response *response, const char *pointer)
{
    return response->json ? response->json(response, pointer) : (const char *)0;
}

/* 1 when got (from csn_http) and the status say that the service did it: 200 to 299. [action] */
static inline int csn_http_success(int got, const struct csn_http_response *response)
{
    return got == 1 && response->status >= 200 && response->status <= 299;
}

/* 1 when the status means "later, perhaps": 408, 425, 429 and 500 to 599 but 501 and 505. [action] */
static inline int csn_http_later(int status)
{
    return status == 408 || status == 425 || status == 429 ||
           (status >= 500 && status <= 599 && status != 501 && status != 505);
}

/* Ends the call for an exchange that was no success: nothing sent → CSN_RETRY (CSN_REJECTED when response->refused),
 * sent and unanswered → CSN_UNKNOWN, a status → CSN_RETRY with its Retry-After, or CSN_REJECTED. who: the subject
 * of the text, e.g. "Twilio". Return what it returns. [action; once] */
static inline int csn_http_fail(struct csn_call *call, int got, const struct csn_http_response *response,
                                const char *who)
{
    char text[512];
    if (got == 0) {
        snprintf(text, sizeof text, "%s was not reached: %s", who, csn_problem(call));
        return csn_fail(call, response->refused ? CSN_REJECTED : CSN_RETRY, text);
    }
    if (got < 0) {
        snprintf(text, sizeof text, "%s got the request but its answer did not arrive: %s", who, csn_problem(call));
        return csn_fail(call, CSN_UNKNOWN, text);
    }
    if (response->retry_after >= 0) csn_retry_after(call, response->retry_after);
    snprintf(text, sizeof text, "%s answered %d%s", who, response->status,
             response->status >= 300 && response->status <= 399 ? ", a redirect, which is never followed" : "");
    return csn_fail(call, csn_http_later(response->status) ? CSN_RETRY : CSN_REJECTED, text);
}

/* Writes text as a JSON string, quotes included, to a stream such as open_memstream(3) makes; null where there is none,
 * such as an input that was left out. [action] */
static inline void csn_json_write(FILE *stream, const char *text)
{
    if (!text) {
        fputs("null", stream);
        return;
    }
    fputc('"', stream);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\') fprintf(stream, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f) fprintf(stream, "\\u%04x", *at);
        else fputc(*at, stream);
    }
    fputc('"', stream);
}

#ifdef __cplusplus
}
#endif

#endif
