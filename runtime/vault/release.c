/* SPDX-License-Identifier: Apache-2.0 */
/* Joining an order with its half and handing over one frame. Whatever does not fit closes the pipe: the worker ends,
 * and the call with it. Nothing here answers the runner, so it learns nothing by asking. */
#include "release.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "vault.h"

static const uint64_t half_alone = 2 * CLOCK_S;       /* how long a half waits for its order at most */
static const uint64_t order_longest = 3600 * CLOCK_S; /* an order whose deadline is further away is no order */

static bool same_call(const struct call_ref *a, const struct call_ref *b)
{
    return a->attempt == b->attempt && memcmp(a->id, b->id, ID_BYTES) == 0;
}

/* ── the tables ────────────────────────────────────────────────────────────────────────────────────── */

void release_init(struct release *release)
{
    release->order_top = release->half_top = 0;
    memset(release->orders, 0, sizeof release->orders);
    memset(release->halves, 0, sizeof release->halves);
    channels_init(&release->channels);
    used_init(&release->used);
}

static struct waiting_order *find_order(struct release *release, const struct call_ref *call)
{
    for (unsigned i = 0; i < release->order_top; i++)
        if (same_call(&release->orders[i].call, call)) return &release->orders[i];
    return NULL;
}

static struct waiting_half *find_half(struct release *release, const struct call_ref *call)
{
    for (unsigned i = 0; i < release->half_top; i++)
        if (same_call(&release->halves[i].call, call)) return &release->halves[i];
    return NULL;
}

static struct waiting_half *find_half_of(struct release *release, uint32_t channel)
{
    for (unsigned i = 0; i < release->half_top; i++)
        if (release->halves[i].call.attempt && release->halves[i].channel == channel) return &release->halves[i];
    return NULL;
}

static struct waiting_order *free_order(struct release *release)
{
    unsigned place = 0;
    while (place < release->order_top && release->orders[place].call.attempt) place++;
    if (place == ORDERS) return NULL;
    if (place == release->order_top) release->order_top++;
    return &release->orders[place];
}

static struct waiting_half *free_half(struct release *release)
{
    unsigned place = 0;
    while (place < release->half_top && release->halves[place].call.attempt) place++;
    if (place == HALVES) return NULL;
    if (place == release->half_top) release->half_top++;
    return &release->halves[place];
}

static void drop_order(struct release *release, struct waiting_order *order)
{
    free(order->order);
    *order = (struct waiting_order){0};
    while (release->order_top && !release->orders[release->order_top - 1].call.attempt) release->order_top--;
}

static void drop_half(struct release *release, struct waiting_half *half)
{
    exchange_ends_close(&half->ends);
    *half = (struct waiting_half){0};
    while (release->half_top && !release->halves[release->half_top - 1].call.attempt) release->half_top--;
}

/* Ends the worker of a half as well. */
static void close_half(struct release *release, struct waiting_half *half)
{
    struct channel *channel = channel_find(&release->channels, half->channel);
    drop_half(release, half);
    if (channel) channel_close(channel);
}

void release_forget_orders(struct release *release)
{
    for (unsigned i = 0; i < ORDERS; i++) free(release->orders[i].order);
    memset(release->orders, 0, sizeof release->orders);
    release->order_top = 0;
}

void release_forget_halves(struct release *release)
{
    for (unsigned i = 0; i < release->half_top; i++) exchange_ends_close(&release->halves[i].ends);
    memset(release->halves, 0, sizeof release->halves);
    release->half_top = 0;
    channels_close_all(&release->channels);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

uint64_t release_tick(struct release *release)
{
    uint64_t now = clock_now(), next = 0;
    for (unsigned i = release->order_top; i-- > 0;)
        if (release->orders[i].call.attempt && release->orders[i].deadline <= now)
            drop_order(release, &release->orders[i]);
    for (unsigned i = release->half_top; i-- > 0;)
        if (release->halves[i].call.attempt && release->halves[i].deadline <= now)
            close_half(release, &release->halves[i]);
    next = exchanges_due(&release->exchanges);
    for (unsigned i = 0; i < release->order_top; i++) next = sooner(next, release->orders[i].deadline);
    for (unsigned i = 0; i < release->half_top; i++) next = sooner(next, release->halves[i].deadline);
    return next;
}

/* ── the frame ─────────────────────────────────────────────────────────────────────────────────────── */

struct key_context order_context(const struct msg_order *order, const char *purpose)
{
    return (struct key_context){
        .purpose = purpose, .workspace = order->workspace, .credential = order->credential, .version = order->version};
}

bool order_keys(struct keys *keys, const struct msg_order *order, struct err *err)
{
    struct key_store *store = keys->store;
    struct key_context credential = order_context(order, FOR_CREDENTIAL_KEY);
    return keys_open_workspace(keys, order->workspace, &order->workspace_key, store->work.workspace, err) &&
           key_unwrap(store->work.workspace, &credential, &order->credential_key, store->work.credential, err);
}

static struct frame_secret *frame_start(struct key_store *store, const struct msg_order *order)
{
    struct frame_secret *frame = (struct frame_secret *)(void *)store->work.frame;
    memset(frame, 0, sizeof *frame);
    frame->magic = FRAME_SECRET_MAGIC;
    frame->size = sizeof *frame;
    memcpy(frame->call_id, order->call.id, ID_BYTES);
    frame->attempt = order->call.attempt;
    frame->action = order->action;
    frame->input_size = order->input_size;
    memcpy(frame->salt, order->salt, sizeof frame->salt);
    memcpy(frame->input_digest, order->input_digest, sizeof frame->input_digest);
    return frame;
}

static bool frame_field(struct key_store *store, struct frame_secret *frame, const struct msg_order *order, uint32_t i,
                        struct err *err)
{
    const struct sealed_field *field = &order->fields[i];
    struct key_context context = order_context(order, order->exchange ? FOR_GRANT_FIELD : FOR_FIELD);
    const unsigned char *value;
    size_t length, offset = frame->size - sizeof *frame;
    context.field = field->name;
    context.audience = order->audience_digest;
    if (!field_open(store->work.credential, &context, order->bytes + field->offset, field->length, store->work.padded,
                    &value, &length))
        return err_set(err, ERR_STATE, "a field of the credential is damaged or belongs somewhere else");
    if (length + 1 > FRAME_SECRET_MAX - frame->size)
        return err_set(err, ERR_TOO_LARGE, "the credential's fields are too large for one frame");
    memcpy(frame->fields[i].name, field->name, NAME_BYTES);
    frame->fields[i].offset = (uint32_t)offset;
    frame->fields[i].length = (uint32_t)length;
    memcpy(frame->bytes + offset, value, length);
    frame->bytes[offset + length] = '\0';
    frame->size += (uint32_t)length + 1;
    frame->field_count = i + 1;
    return true;
}

static bool frame_fields(struct keys *keys, struct frame_secret *frame, const struct msg_order *order, struct err *err)
{
    if (order->version == 0) return true;
    if (!order_keys(keys, order, err)) return false;
    for (uint32_t i = 0; i < order->field_count; i++)
        if (!frame_field(keys->store, frame, order, i, err)) return false;
    return true;
}

/* ── joining ───────────────────────────────────────────────────────────────────────────────────────── */

static struct channel_binding binding_of(const struct msg_order *order)
{
    struct channel_binding binding;
    memset(&binding, 0, sizeof binding);
    memcpy(binding.entry_digest, order->entry_digest, HASH_BYTES);
    memcpy(binding.workspace, order->workspace, ID_BYTES);
    if (order->version) memcpy(binding.credential, order->credential, ID_BYTES);
    binding.version = order->version;
    binding.action = order->action;
    return binding;
}

static void report(struct role *role, enum incident_kind kind, const struct call_ref *call, uint32_t entry,
                   const uint8_t entry_digest[HASH_BYTES])
{
    struct role_line *ledger = role_line_to(role, ROLE_LEDGER);
    struct msg_incident incident = {.kind = (uint32_t)kind, .entry = entry, .call = *call};
    memcpy(incident.entry_digest, entry_digest, HASH_BYTES);
    if (ledger) role_send(role, ledger, MSG_INCIDENT, 0, &incident, sizeof incident, NULL, 0);
}

/* Returns 0, or the kind of incident that this is. */
static enum incident_kind hand_over(struct vault *vault, const struct msg_order *order, const struct waiting_half *half,
                                    struct channel *channel)
{
    struct err err;
    struct channel_binding binding = binding_of(order);
    if (sodium_memcmp(order->entry_digest, half->entry_digest, HASH_BYTES) != 0) return INCIDENT_DIGEST_MISMATCH;
    if ((order->exchange != 0) != half->ends.given || (half->ends.given && half->keep)) return INCIDENT_BAD_FRAME;
    if (channel->bound && memcmp(&channel->binding, &binding, sizeof binding) != 0) return INCIDENT_LEASE_MISMATCH;
    struct frame_secret *frame = frame_start(vault->keys.store, order);
    if (!channel->bound && !frame_fields(&vault->keys, frame, order, &err)) return INCIDENT_CREDENTIAL;
    if (!pipe_write(channel->fd, frame, frame->size, &err))
        return err.kind == ERR_CRASHED ? INCIDENT_LATE_END : INCIDENT_BAD_FRAME;
    channel->bound = true;
    channel->binding = binding;
    return (enum incident_kind)0;
}

/* The order is used up, whatever comes of it. */
static void join(struct role *role, struct waiting_order *waiting, struct waiting_half *half)
{
    struct vault *vault = role->state;
    struct channel *channel = channel_find(&vault->release.channels, half->channel);
    FREE_AUTO struct msg_order *order = waiting->order;
    bool late = waiting->deadline <= clock_now();
    waiting->order = NULL;
    drop_order(&vault->release, waiting);
    enum incident_kind incident = !channel || late ? INCIDENT_LATE_END : hand_over(vault, order, half, channel);
    keys_wipe(&vault->keys);
    if (channel && (incident || !half->keep)) channel_close(channel);
    if (!incident && half->ends.given) exchange_start(role, take(&order), &half->ends);
    exchange_ends_close(&half->ends);
    /* A worker that died while its frame was written is the runner's to report. */
    if (incident && incident != INCIDENT_LATE_END) report(role, incident, &half->call, half->entry, half->entry_digest);
}

/* ── orders ────────────────────────────────────────────────────────────────────────────────────────── */

static bool field_sound(const struct msg_order *order, uint32_t i)
{
    const struct sealed_field *field = &order->fields[i];
    if (!name_in(field->name, sizeof field->name) || field->offset > SEALED_MAX ||
        field->length > SEALED_MAX - field->offset)
        return false;
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(order->fields[j].name, field->name) == 0) return false;
    return true;
}

static bool order_sound(const struct msg_order *order, uint64_t now)
{
    if (order->call.attempt == 0 || order->field_count > FRAME_FIELDS || (order->version == 0 && order->field_count))
        return false;
    if (order->exchange > 1 || (order->exchange && (!order->version || order->next_version <= order->version)))
        return false;
    if (order->deadline <= now || order->deadline - now > order_longest) return false;
    for (uint32_t i = 0; i < order->field_count; i++)
        if (!field_sound(order, i)) return false;
    return true;
}

void vault_on_order(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct release *release = &((struct vault *)role->state)->release;
    const struct msg_order *order = message->body;
    (void)line;
    if (!order_sound(order, clock_now()) || used_has(&release->used, &order->call)) {
        role->bad_frames++;
        return;
    }
    used_add(&release->used, &order->call);
    struct waiting_order *waiting = free_order(release);
    struct msg_order *copy = waiting ? malloc(sizeof *copy) : NULL;
    if (!copy) return; /* the half will find no order: this call fails, others go on */
    memcpy(copy, order, sizeof *copy);
    *waiting = (struct waiting_order){.call = order->call, .deadline = order->deadline, .order = copy};
    struct waiting_half *half = find_half(release, &order->call);
    if (!half) return role_wake_at(role, waiting->deadline);
    struct waiting_half found = *half;
    half->ends.given = false; /* found has the ends */
    drop_half(release, half);
    join(role, waiting, &found);
}

void vault_on_order_cancel(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct release *release = &((struct vault *)role->state)->release;
    const struct msg_order_cancel *cancel = message->body;
    (void)line;
    if (cancel->call.attempt == 0) return;
    used_add(&release->used, &cancel->call);
    exchange_forget(role, &cancel->call);
    struct waiting_order *order = find_order(release, &cancel->call);
    struct waiting_half *half = find_half(release, &cancel->call);
    if (order) drop_order(release, order);
    if (half) close_half(release, half);
}

static void rewrap_order(struct keys *keys, struct msg_order *order)
{
    struct err ignored; /* one that does not open will not open later either, and then says so */
    if (!order || order->version == 0 || keys_outer(keys, &order->workspace_key) == keys->store->next.wrapping) return;
    struct key_context context = {.purpose = FOR_WORKSPACE_KEY, .workspace = order->workspace};
    uint8_t *opened = keys->store->work.workspace;
    if (keys_open_workspace(keys, order->workspace, &order->workspace_key, opened, &ignored))
        key_wrap(keys->store->next.wrapping, &context, opened, &order->workspace_key);
}

void release_rewrap(struct release *release, struct keys *keys)
{
    for (unsigned i = 0; i < release->order_top; i++) rewrap_order(keys, release->orders[i].order);
    for (unsigned i = 0; i < EXCHANGES; i++) rewrap_order(keys, release->exchanges.list[i].order);
    keys_wipe(keys);
}

/* ── halves ────────────────────────────────────────────────────────────────────────────────────────── */

static void worker_gone(struct release *release, uint32_t number)
{
    struct channel *channel = channel_find(&release->channels, number);
    struct waiting_half *half = find_half_of(release, number);
    if (half) drop_half(release, half);
    if (channel) channel_close(channel);
}

/* The pipe that came along, checked, or the leased one of that number. NULL: neither. */
static struct channel *channel_of(struct release *release, const struct msg_half *half, struct wire_frame *frame)
{
    struct err err;
    if (frame->fd_count == 0) return channel_find(&release->channels, half->channel);
    if (!pipe_usable(frame->fds[0], &err)) return NULL;
    struct channel *channel = channel_add(&release->channels, half->channel, frame->fds[0]);
    if (channel) take_fd(&frame->fds[0]);
    return channel;
}

static void keep_half(struct role *role, struct waiting_half *place, const struct waiting_half *half)
{
    uint64_t soon = clock_now() + half_alone;
    *place = *half;
    place->deadline = half->deadline < soon ? half->deadline : soon;
    role_wake_at(role, place->deadline);
}

void vault_on_half(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct release *release = &((struct vault *)role->state)->release;
    const struct msg_half *half = message->body;
    struct waiting_half coming = {.call = half->call,
                                  .deadline = half->deadline,
                                  .channel = half->channel,
                                  .entry = half->entry,
                                  .keep = half->keep != 0};
    (void)line;
    memcpy(coming.entry_digest, half->entry_digest, HASH_BYTES);
    if (half->call.attempt == 0) return worker_gone(release, half->channel);
    struct channel *channel = channel_of(release, half, message->frame);
    bool twice = find_half(release, &half->call) || find_half_of(release, half->channel);
    if (!channel || twice || !exchange_ends_take(&coming.ends, message->frame)) {
        role->bad_frames++;
        report(role, INCIDENT_BAD_FRAME, &half->call, half->entry, half->entry_digest);
        return worker_gone(release, half->channel);
    }
    struct waiting_order *order = find_order(release, &half->call);
    if (order) return join(role, order, &coming);
    bool late = used_has(&release->used, &half->call) || half->deadline <= clock_now(); /* released before, cancelled */
    struct waiting_half *place = late ? NULL : free_half(release);
    if (place) return keep_half(role, place, &coming);
    exchange_ends_close(&coming.ends);
    worker_gone(release, half->channel);
}
