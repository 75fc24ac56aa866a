/* SPDX-License-Identifier: Apache-2.0 */
/* One import while it runs: what was asked for, what opens the items, and what became of each. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "envelope.h"
#include "fernet.h"
#include "filling.h"
#include "flat.h"
#include "import_items.h"

enum { SECRET_MOST = 4096, PLAIN_MOST = 24 * 1024 };
_Static_assert((int)PLAIN_MOST >= (int)FERNET_MOST && (int)PLAIN_MOST >= (int)ENVELOPE_MOST, "what is opened must fit");

/* Everything secret, in one piece of locked memory. */
struct import_secrets {
    struct submission submission;
    struct fernet_keys keys;
    char given[SECRET_MOST]; /* the passphrase, or the key of envelopes without kdf */
    size_t given_length, plain_length;
    uint8_t plain[PLAIN_MOST];
    struct flat flat; /* points into plain */
};

struct importing {
    struct filling filling;
    struct import_secrets *secrets;
    enum import_format format;
    struct fernet_age age;
    const char *base;        /* --name */
    const char *secret_from; /* "@FILE", "-", or NULL: the terminal */
    const char *field;       /* the one that takes all of it; NULL: --map tells */
    bool dry, replace, raw_key;
    json_t *list, *report;
    size_t good;
    enum err_kind failed; /* the first failure's */
    struct envelope envelope;
    struct submission start; /* workspace, connector and audience of each */
};

/* "fernet", "aes-gcm": as in --format and in the record. */
const char *import_format_name(enum import_format format);
/* Is what the command line says of it possible, and no secret itself? */
bool import_check_secret(struct importing *import, struct err *err);
/* The keys or the passphrase, from where the command line says or from the terminal. */
bool import_take_secret(struct importing *import, struct err *err);
/* A submission without a name and without fields. */
void import_start(struct importing *import);
/* Opens and stores every item, or would; one that fails does not stop the others. Fills report, good and failed. */
void import_each(struct importing *import);
