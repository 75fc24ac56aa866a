/* SPDX-License-Identifier: Apache-2.0 */
/* The vault's handlers, one sequence of messages per input: raw bodies, and true ones with bytes turned over. Whatever
 * comes, nothing secret stays in working memory, no pipe but the right call's gets a field, and no answer holds one. */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "fuzz.h"
#include "runtime/vault/signer.h"
#include "runtime/vault/vault.h"

enum { STEPS = 24, CHANNELS_USED = 6 };
#define SECRET "s!cr!t" /* of six bytes that no name has */

static struct role role;
static struct vault vault;
static struct msg_order order;
static struct msg_seal seal;
static struct submission submission;
static struct msg_open_key open_key;
static struct msg_subject_keys subject_keys;
static struct msg_subject_open subject_open;
static struct msg_sign sign_first, sign_roll, sign_grown;
static struct msg_signer_new signer_new;
static struct ctl_witnessed witnessed;
static struct msg_workspace_key workspace;
static struct msg_rewrap rewrap;
static struct msg_renew renew;
static struct msg_half half;
static struct msg_order_cancel cancel;

static const struct template
{
    unsigned type;
    void *body;
    size_t length;
    void (*run)(struct role *, struct role_line *, const struct role_message *);
}
templates[] = {
    {MSG_ORDER, &order, sizeof order, vault_on_order},
    {MSG_HALF, &half, sizeof half, vault_on_half},
    {MSG_ORDER_CANCEL, &cancel, sizeof cancel, vault_on_order_cancel},
    {MSG_SEAL, &seal, sizeof seal, vault_on_seal},
    {MSG_OPEN_KEY, &open_key, sizeof open_key, vault_on_open_key},
    {MSG_SIGNER_NEW, &signer_new, sizeof signer_new, vault_on_signer_new},
    {MSG_SUBJECT_KEYS, &subject_keys, sizeof subject_keys, vault_on_subject_keys},
    {MSG_SUBJECT_OPEN, &subject_open, sizeof subject_open, vault_on_subject_open},
    {MSG_SIGN, &sign_first, sizeof sign_first, vault_on_sign},
    {MSG_SIGN, &sign_roll, sizeof sign_roll, vault_on_sign},
    {MSG_SIGN, &sign_grown, sizeof sign_grown, vault_on_sign},
    {CTL_WITNESSED, &witnessed, sizeof witnessed, vault_on_witnessed},
    {MSG_WORKSPACE_KEY, &workspace, sizeof workspace, vault_on_workspace_key},
    {MSG_REWRAP, &rewrap, sizeof rewrap, vault_on_rewrap},
    {MSG_RENEW, &renew, sizeof renew, vault_on_renew},
    {MSG_OFFER, &cancel, 0, vault_on_offer},
    {MSG_KEYS, &cancel, 0, vault_on_keys},
};

static int parent_end, ledger_end;

static int key_file(uint8_t first)
{
    char text[MASTER_FILE_BYTES];
    uint8_t master[KEY_BYTES] = {first};
    int fd = memfd_create("key", 0);
    master_text(master, text);
    MUST(fchmod(fd, 0600) == 0 && write(fd, text, sizeof text) == sizeof text);
    return fd;
}

static int line_to(int *end)
{
    int ends[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    *end = ends[1];
    return ends[0];
}

static void open_vault(void)
{
    struct err err = {0};
    MUST(key_library(&err));
    int now = key_file(42), next = key_file(43);
    MUST(keys_open(&vault.keys, now, -1, &err) && keys_open_next(&vault.keys, next, &err));
    close(now);
    close(next);
    role.state = &vault;
    role.part = &(const struct role_part){.self = ROLE_VAULT};
    role.control.fd = line_to(&parent_end);
    role.lines[0] = (struct role_line){.fd = line_to(&ledger_end), .peer = ROLE_LEDGER, .generation = 1};
    role.line_count = 1;
}

static void leaf(const struct msg_sign *ask, uint8_t hash[HASH_BYTES])
{
    uint8_t bytes[1 + LAST_ENTRY] = {0};
    memcpy(bytes + 1, ask->entry, ask->entry_length);
    crypto_hash_sha256(hash, bytes, 1 + ask->entry_length);
}

/* A log's first entry; that the first key lets another take over; the first entry and one more. */
static void make_signing(void)
{
    char old[VKEY_TEXT], new[VKEY_TEXT];
    TEXT_COPY(sign_first.origin, "fuzz.example/1");
    TEXT_COPY(signer_new.origin, "fuzz.example/1");
    sign_first.size = 1;
    signer_make(&vault.keys, sign_first.origin, signer_new.old.public, false, &sign_first.signer);
    sign_roll = sign_grown = sign_first;
    signer_make(&vault.keys, sign_first.origin, sign_first.signer.public, true, &sign_roll.next);
    vkey_text(sign_first.origin, sign_first.signer.public, old);
    vkey_text(sign_first.origin, sign_roll.next.public, new);
    sign_roll.entry_length = (uint32_t)snprintf(
        sign_roll.entry, sizeof sign_roll.entry, "{\"kind\":\"key_roll\",\"new\":\"%s\",\"old\":\"%s\",\"sign\":\"\"}", new, old);
    leaf(&sign_first, sign_first.root);
    leaf(&sign_roll, sign_roll.root);
    sign_grown.old_size = sign_grown.proof_count = 1;
    sign_grown.size = 2;
    node_hash(sign_first.root, sign_grown.proof[0], sign_grown.root);
}

/* True bodies: a workspace, a credential in it, an order for it. */
static void make_templates(void)
{
    struct key_store *store = vault.keys.store;
    struct key_context context = {.purpose = FOR_WORKSPACE_KEY, .workspace = order.workspace};
    struct key_context field = {.purpose = FOR_FIELD,
                                .workspace = order.workspace,
                                .credential = order.credential,
                                .version = 1,
                                .field = "user",
                                .audience = order.audience_digest};
    struct key_context credential = {
        .purpose = FOR_CREDENTIAL_KEY, .workspace = order.workspace, .credential = order.credential, .version = 1};
    memset(store->work.workspace, 1, KEY_BYTES);
    memset(store->work.credential, 2, KEY_BYTES);
    key_wrap(store->wrapping, &context, store->work.workspace, &order.workspace_key);
    key_wrap(store->work.workspace, &credential, store->work.credential, &order.credential_key);
    MUST(field_seal(store->work.credential, &field, SECRET, 6, store->work.padded, order.bytes));
    order.call.attempt = half.call.attempt = cancel.call.attempt = 1;
    order.version = order.field_count = 1;
    TEXT_COPY(order.fields[0].name, "user");
    order.fields[0].length = (uint32_t)field_sealed_size(6);
    order.deadline = half.deadline = UINT64_C(1000) * CLOCK_S;
    make_signing();
    seal.workspace_key = open_key.workspace_key = order.workspace_key;
    subject_keys.workspace_key = subject_open.workspace_keys[0] = order.workspace_key;
    subject_keys.count = subject_open.count = 1;
    struct key_context person = {
        .purpose = FOR_SUBJECT_KEY, .workspace = order.workspace, .credential = subject_open.ids[0]};
    memset(store->work.workspace, 1, KEY_BYTES);
    crypto_box_keypair(subject_open.publics[0], store->work.answer);
    key_wrap(store->work.workspace, &person, store->work.answer, &subject_open.secrets[0]);
    crypto_box_seal(subject_open.sealed, store->work.answer, KEY_BYTES, subject_open.publics[0]);
    rewrap.kind = REWRAP_CREDENTIAL_KEY;
    rewrap.count = renew.version = renew.field_count = 1;
    renew.new_version = 2;
    rewrap.from = rewrap.to = renew.from = renew.to = order.workspace_key;
    rewrap.items[0].version = 1;
    rewrap.items[0].key = renew.credential_key = order.credential_key;
    renew.fields[0] = order.fields[0];
    memcpy(renew.bytes, order.bytes, sizeof renew.bytes);
    seal.version = 1;
    TEXT_COPY(seal.workspace_name, "default");
    TEXT_COPY(seal.credential_name, "main");
    TEXT_COPY(seal.connector, "email");
    keys_wipe(&vault.keys);
}

static void make_submission(void)
{
    memset(&submission, 0, sizeof submission);
    memcpy(submission.magic, "caisson-submit1", sizeof submission.magic);
    key_id_public(vault.keys.submission_public, submission.key_id);
    memcpy(submission.workspace, seal.workspace_name, NAME_BYTES);
    memcpy(submission.credential, seal.credential_name, NAME_BYTES);
    memcpy(submission.connector, seal.connector, NAME_BYTES);
    submission.issued_at = 500;
    submission.field_count = 1;
    TEXT_COPY(submission.fields[0].name, "user");
    submission.fields[0].length = 6;
    memcpy(submission.bytes, SECRET, 6);
}

struct input {
    const uint8_t *at, *end;
};

static unsigned next(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static void turn_over(struct input *input, void *bytes, size_t length)
{
    for (unsigned count = length ? next(input) % 4 : 0; count; count--) {
        unsigned high = next(input), low = next(input);
        ((uint8_t *)bytes)[(high << 8 | low) % length] ^= (uint8_t)next(input);
    }
}

/* The box is sealed here, so that what is turned over inside it gets through. */
static void seal_submission(struct input *input, struct msg_seal *message)
{
    make_submission();
    turn_over(input, &submission, sizeof submission);
    crypto_box_seal(message->box, (const uint8_t *)&submission, sizeof submission, vault.keys.submission_public);
    message->box_length = sizeof submission + crypto_box_SEALBYTES;
}

/* The workers' ends; read when all is over, so that leased ones stay open meanwhile. */
static struct {
    int fd;
    struct call_ref call; /* the call that it was first labelled with */
} pipes[STEPS];
static unsigned pipe_count;

static void check_pipes(void)
{
    static _Alignas(8) char bytes[FRAME_SECRET_MAX + 1];
    const struct frame_secret *frame = (const void *)bytes;
    while (pipe_count) {
        int fd = pipes[--pipe_count].fd;
        ssize_t got = read(fd, bytes, sizeof bytes);
        close(fd);
        if (got <= 0) continue;
        MUST(got <= FRAME_SECRET_MAX && frame->magic == FRAME_SECRET_MAGIC && frame->size == got);
        MUST(frame->field_count <= FRAME_FIELDS);
        /* Nothing was read in between, so this is its first frame. */
        MUST(memcmp(frame->call_id, pipes[pipe_count].call.id, ID_BYTES) == 0);
        MUST(frame->attempt == pipes[pipe_count].call.attempt);
    }
}

/* What went to the parent and to the ledger. */
static void check_answers(void)
{
    static uint8_t bytes[WIRE_MAX];
    for (int i = 0; i < 2; i++)
        for (ssize_t got; (got = recv(i ? parent_end : ledger_end, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;)
            MUST(!memmem(bytes, (size_t)got, SECRET, 6));
}

static void run_step(struct input *input)
{
    static _Alignas(16) uint8_t body[sizeof(struct msg_seal) + sizeof(struct msg_order)];
    static struct wire_frame frame;
    const struct template *one = &templates[next(input) % (sizeof templates / sizeof *templates)];
    struct role_message message = {.head = {.type = (uint16_t)one->type, .generation = 1, .seq = next(input) % 4},
                                   .body = body,
                                   .length = one->length,
                                   .frame = &frame};
    int ends[2] = {-1, -1};
    frame.fd_count = 0;
    memcpy(body, one->body, one->length);
    if (one->type == MSG_SEAL) seal_submission(input, (struct msg_seal *)(void *)body);
    unsigned call = next(input);
    if (one->type <= MSG_ORDER_CANCEL || one->type == MSG_HALF) body[0] = (uint8_t)(call % 4);
    if (one->type == MSG_HALF) ((struct msg_half *)(void *)body)->channel = call / 4 % CHANNELS_USED;
    if (one->type == MSG_HALF) ((struct msg_half *)(void *)body)->keep = call / 32 % 2;
    turn_over(input, body, one->length);
    if (one->type == MSG_HALF && next(input) % 4) {
        MUST(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
        frame.fds[0] = ends[1];
        frame.fd_count = 1;
        pipes[pipe_count].fd = ends[0];
        pipes[pipe_count++].call = ((const struct msg_half *)(const void *)body)->call;
    }
    one->run(&role, &role.lines[0], &message);
    wire_drop(&frame);
    check_answers();
    MUST(sodium_is_zero((const uint8_t *)&vault.keys.store->work, sizeof vault.keys.store->work));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input input = {bytes, bytes + length};
    struct err err;
    if (!vault.keys.store) {
        signal(SIGPIPE, SIG_IGN); /* as role_main() does */
        open_vault();
        make_templates();
    }
    clock_set(400 * CLOCK_S, 510 * CLOCK_S);
    release_init(&vault.release);
    submissions_init(&vault.submissions, 0);
    MUST(signer_open(&vault.signer, -1, &err));
    vault.keys.has_next = length % 2;
    for (int i = 0; i < STEPS && input.at < input.end; i++) run_step(&input);
    clock_set(UINT64_MAX, 510 * CLOCK_S);
    MUST(release_tick(&vault.release) == 0); /* nothing outlives every deadline */
    release_forget_orders(&vault.release);
    release_forget_halves(&vault.release);
    check_pipes();
    return 0;
}
