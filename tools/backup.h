/* SPDX-License-Identifier: Apache-2.0 */
/* What a backup consists of: two age files, each a tar archive with its manifest first. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "age.h"
#include "audit_copy.h"
#include "base/ids.h"

/* The log apart from what the vault sealed: with both in one place, and kept equally long, destroying a key would
 * destroy nothing. */
enum backup_kind { BACKUP_AUDIT, BACKUP_VAULT, BACKUP_KINDS };

struct backup_file {
    const char *name;  /* in the archive */
    const char *place; /* below the home folder */
    bool copied;       /* a database: comes from the folder of copies */
    bool optional;
};
enum { BACKUP_FILES = 3, BACKUP_PATH = 2048, BACKUP_MANIFEST = 64 * 1024 };

/* Ends with a NULL name. */
const struct backup_file *backup_files(enum backup_kind kind);
/* PREFIX.audit.age, PREFIX.vault.age */
void backup_path(const char *prefix, enum backup_kind kind, char path[BACKUP_PATH]);
const char *backup_kind_name(enum backup_kind kind);

/* Writes one file. id: the same for both of one backup. */
struct backup_source {
    const char *home, *copies, *id;
    const struct age_keys *recipients;
    struct audit_copied copied;
};
bool backup_write(const struct backup_source *source, enum backup_kind kind, const char *path, struct err *err);

/* Puts what is in one file into the home folder, each under its name with ".restored" behind it, and compares it with
 * the manifest. *manifest is the caller's. */
bool backup_read(const char *path, enum backup_kind kind, const char *home, const struct age_keys *identities,
                 json_t **manifest, struct err *err);
