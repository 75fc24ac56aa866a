/* SPDX-License-Identifier: Apache-2.0 */
/* witness — shows a checkpoint of a log to a C2SP witness (tlog-witness, add-checkpoint) and brings its cosignature back. */
#define _POSIX_C_SOURCE 200809L
#include <caisson/http.h>
#include <stdlib.h>

enum { PROOF_MAX = 63, HASH_TEXT = 44, ANSWER_MAX = 16384, URL_MAX = 1100 };

/* ── the question ─────────────────────────────────────────────────────────────────────────────────────*/

/* One base64 hash a line, none longer or shorter: what goes into the request is what the format allows. */
static int hash_line(FILE *body, const char *hash)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (!hash || strlen(hash) != HASH_TEXT || strspn(hash, digits) != HASH_TEXT - 1 || hash[HASH_TEXT - 1] != '=')
        return 0;
    return fprintf(body, "%s\n", hash) > 0;
}

static int write_body(struct csn_call *call, FILE *body)
{
    int64_t old = 0;
    int count = csn_count(call, "/proof"), good = csn_int(call, "/old", &old) && old >= 0 && count <= PROOF_MAX;
    fprintf(body, "old %lld\n", (long long)old);
    for (int i = 0; good && i < count; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/proof/%d", i);
        good = hash_line(body, csn_input(call, pointer));
    }
    fprintf(body, "\n%s", csn_input(call, "/checkpoint"));
    return good;
}

/* ── the answer ───────────────────────────────────────────────────────────────────────────────────────*/

static int has_type(const struct csn_http_response *response, const char *type)
{
    size_t length = strlen(type);
    for (size_t i = 0; i < response->header_count; i++) {
        const char *value = response->headers[i].value;
        if (strcasecmp(response->headers[i].name, "Content-Type") == 0 && strncasecmp(value, type, length) == 0 &&
            (!value[length] || value[length] == ';' || value[length] == ' '))
            return 1;
    }
    return 0;
}

/* Decimal digits and a newline, without a leading zero. */
static int read_size(const struct csn_http_response *response, int64_t *size)
{
    size_t digits = strspn(response->body, "0123456789");
    if (digits == 0 || digits > 18 || (digits > 1 && response->body[0] == '0')) return 0;
    if (response->body_size != digits + 1 || response->body[digits] != '\n') return 0;
    *size = strtoll(response->body, NULL, 10);
    return 1;
}

/* It saw another size last than was thought, and says which. */
static int conflict(struct csn_call *call, const struct csn_http_response *response)
{
    int64_t size;
    if (!has_type(response, "text/x.tlog.size") || !read_size(response, &size))
        return csn_fail(call, CSN_REJECTED, "the witness knows another checkpoint, and does not say of which size");
    csn_set_int(call, "/status", 409);
    csn_set_int(call, "/size", size);
    return csn_ok(call);
}

/* That the proof is wrong is an answer like a cosignature: it says that the witness saw another log. */
static int answer(struct csn_call *call, int got, const struct csn_http_response *response)
{
    if (got == 1 && response->status == 409) return conflict(call, response);
    if (got == 1 && response->status == 422) {
        csn_set_int(call, "/status", 422);
        return csn_ok(call);
    }
    if (got == 1 && response->status == 404)
        return csn_fail(call, CSN_REJECTED, "the witness does not know this log: its operator must add the log's first verifier key");
    if (got == 1 && response->status == 403)
        return csn_fail(call, CSN_REJECTED, "the witness knows this log by another key: give its operator the new one");
    if (!csn_http_success(got, response)) return csn_http_fail(call, got, response, "the witness");
    if (response->status != 200 || response->truncated || !response->body_size)
        return csn_fail(call, CSN_REJECTED, "the witness answered no cosignature");
    csn_set_int(call, "/status", 200);
    csn_set(call, "/cosignature", response->body);
    return csn_ok(call);
}

static int add_checkpoint(struct csn_call *call)
{
    struct csn_http_pair headers[] = {{"Content-Type", "text/plain; charset=utf-8"}};
    struct csn_http_request request = {.size = sizeof request, .method = "POST", .headers = headers, .header_count = 1,
                                       .max_answer = ANSWER_MAX};
    struct csn_http_response response = {.size = sizeof response};
    char url[URL_MAX], *body = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&body, &size);
    int good = stream && write_body(call, stream);
    if (stream && fclose(stream)) good = 0;
    if (!good) return free(body), csn_fail(call, CSN_BAD_INPUT, "the proof is not one of base64 hashes");
    snprintf(url, sizeof url, "%.1000s/add-checkpoint", csn_input(call, "/url"));
    request.url = url;
    request.body = body;
    request.body_size = size;
    int got = csn_http(call, &request, &response), result = answer(call, got, &response);
    free(body);
    return result;
}

CSN_CONNECTOR("witness", "1.0.0", {"add-checkpoint", add_checkpoint});
