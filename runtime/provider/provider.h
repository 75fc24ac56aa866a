/* SPDX-License-Identifier: Apache-2.0 */
/* A key provider: who keeps one half of the master key. One process, one share, then it is gone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyderive.h"
#include "sandbox/enter.h"

enum {
    PROVIDER_TEXT = 1024,       /* of one value of [Keys] */
    PROVIDER_SECRET = 8 * 1024, /* of SecretFile= */
    PROVIDER_VERSION = 128,
    PROVIDER_BLOB = 4096,
    PROVIDER_CA = 1024 * 1024,
    PROVIDER_CONTEXT = 2 * KEY_ID_BYTES + 1
};

/* keys/provider.share, taken apart. share_id is keyed by the share: whoever unwraps it can tell whether it is the one. */
struct share_row {
    char provider[16];
    char version[PROVIDER_VERSION]; /* the provider's own word for the key that wrapped it */
    char share_id[PROVIDER_CONTEXT];
    size_t length;
    uint8_t blob[PROVIDER_BLOB]; /* opaque to all but the provider */
};

/* row.c: text is at most ROW_TEXT bytes. */
enum { ROW_TEXT = 8 * 1024 };
bool row_parse(const char *text, size_t length, struct share_row *row, struct err *err);
bool row_text(const struct share_row *row, char text[ROW_TEXT], size_t *length, struct err *err);

/* [Keys] of caisson.conf as far as it concerns this process, by the names that it has there. */
struct provider_config {
    char operation[8]; /* wrap, unwrap, check */
    char name[16], secret_file[PROVIDER_TEXT];
    char url[PROVIDER_TEXT], key[PROVIDER_TEXT], mount[64], region[64], address[64];
    char ca_file[PROVIDER_TEXT], module[PROVIDER_TEXT], token[64], mechanism[16];
    uint32_t megabytes; /* 0: as usual */
    const json_t *folders, *environment; /* borrowed */
};

struct provider_job {
    struct provider_config config;
    const char *secret; /* the bytes of SecretFile=, NUL behind them; "" where none is named */
    size_t secret_length;
    const char *ca; /* PEM; length 0: none */
    size_t ca_length;
    struct share_row row; /* unwrap, check: what was stored; wrap: what will be */
    uint8_t share[KEY_BYTES];
};

/* Each returns false with a sentence for the administrator. */
struct provider {
    const char *name;
    enum wall_role walls;
    bool needs_secret;
    /* Before the walls: what must be loaded or looked at. NULL: nothing. */
    bool (*prepare)(struct provider_job *job, struct err *err);
    /* share, row.share_id → row.blob, row.version */
    bool (*wrap)(struct provider_job *job, struct err *err);
    /* row → share */
    bool (*unwrap)(struct provider_job *job, struct err *err);
    /* The version that wrap would use now; "" where the provider does not say. */
    bool (*version)(struct provider_job *job, char version[PROVIDER_VERSION], struct err *err);
};

extern const struct provider provider_passphrase, provider_systemd; /* secret.c */
extern const struct provider provider_transit;                      /* transit.c */
extern const struct provider provider_kms;                          /* kms.c */
extern const struct provider provider_module;                       /* module.c */

/* ── net.c: one HTTPS request to the host of Url= ──────────────────────────────────────────────────────── */

struct net_request {
    const char *path;          /* behind Url=; begins with / */
    const char *const *headers; /* "Name: value", ends with NULL */
    const json_t *body;        /* NULL: GET */
    const char *content_type;
    const char *sigv4;         /* NULL, or libcurl's "aws:amz:REGION:kms" with user and password */
    const char *user, *password;
};

/* Before the walls: libraries read their own configuration. */
bool net_prepare(struct provider_job *job, struct err *err);
/* *answer: the JSON object of a 2xx answer. Any other is refused, with the status and the server's own words where
 * member names a text of the answer. */
bool net_send(const struct provider_job *job, const struct net_request *request, json_t **answer, struct err *err);
/* A text member of an answer, which must be there. path: "data.plaintext" */
const char *net_text(const json_t *answer, const char *path);

/* The role's table. */
struct role_part;
extern const struct role_part provider_part;
