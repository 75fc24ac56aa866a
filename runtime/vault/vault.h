/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault holds, and its handlers: one per message that may reach it. */
#pragma once

#include "keys.h"
#include "offer.h"
#include "release.h"
#include "runtime/role.h"
#include "sign.h"
#include "submit.h"

struct vault {
    struct keys keys;
    struct release release;
    struct submissions submissions;
    struct offers offers;
    struct signer signer;
};

/* runtime/role.h's table of callbacks and handlers for this role. */
extern const struct role_part vault_part;

/* release.c */
void vault_on_order(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_order_cancel(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_half(struct role *role, struct role_line *line, const struct role_message *message);
/* seal.c */
void vault_on_workspace_key(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_seal(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_open_key(struct role *role, struct role_line *line, const struct role_message *message);
/* rotate.c */
void vault_on_keys(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_rewrap(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_renew(struct role *role, struct role_line *line, const struct role_message *message);
/* Another key file came while the vault serves. */
void vault_given(struct role *role, enum give_kind kind, uint32_t index);
/* offer.c */
void vault_on_offer(struct role *role, struct role_line *line, const struct role_message *message);
/* subject.c */
void vault_on_subject_keys(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_subject_open(struct role *role, struct role_line *line, const struct role_message *message);
/* sign.c */
void vault_on_signer_new(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_sign(struct role *role, struct role_line *line, const struct role_message *message);
void vault_on_witnessed(struct role *role, struct role_line *line, const struct role_message *message);
