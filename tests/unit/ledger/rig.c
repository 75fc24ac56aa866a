/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger as a process, and everyone around it played by the test. */
#include "rig.h"
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "runtime/ledger/note.h"
#include "runtime/role.h"

const char *ledger_path;

#define ZEROS62 "00000000000000000000000000000000000000000000000000000000000000"
static const char registry_text[] =
    "{\"registry\":7,\"entries\":3}\n{\"name\":\"echo\",\"plugin\":\"echo\",\"version\":\"1.0.0\",\"summary\":"
    "\"echoes\","
    "\"state\":\"enabled\",\"digest\":\"11" ZEROS62 "\",\"so_digest\":\"22" ZEROS62
    "\",\"manifest_digest\":\"33" ZEROS62 "\","
    "\"isolation\":\"call\",\"lease\":{\"calls\":1,\"age_s\":1,\"idle_s\":1,\"spares\":0},"
    "\"actions\":[{\"name\":\"say\",\"summary\":\"s\",\"input\":{},\"idempotent\":false,\"fields\":[]},"
    "{\"name\":\"login\",\"summary\":\"s\",\"input\":{},\"idempotent\":false,\"fields\":[\"password\",\"user\"]}],"
    "\"fields\":[{\"name\":\"password\",\"secret\":true,\"required\":true,\"summary\":\"p\"},"
    "{\"name\":\"user\",\"secret\":false,\"required\":false,\"summary\":\"u\"}],"
    "\"settings\":{},\"egress\":[],\"ranges\":[],\"workspaces\":[\"default\",\"other\"],"
    "\"limits\":{\"memory_mb\":64,\"cpu_s\":5,\"wall_s\":30,\"output_kb\":64,\"log_kb\":64,\"dials\":4,\"up_kb\":1024,"
    "\"down_kb\":1024,\"concurrency\":900}}\n"
    "{\"name\":\"off\",\"plugin\":\"off\",\"version\":\"1.0.0\",\"summary\":\"off\",\"state\":\"disabled\","
    "\"problem\":\"an administrator disabled it\",\"digest\":\"44" ZEROS62 "\",\"so_digest\":\"22" ZEROS62 "\","
    "\"manifest_digest\":\"33" ZEROS62 "\",\"isolation\":\"call\","
    "\"lease\":{\"calls\":1,\"age_s\":1,\"idle_s\":1,\"spares\":0},"
    "\"actions\":[{\"name\":\"say\",\"summary\":\"s\",\"input\":{},\"idempotent\":false,\"fields\":[]}],\"fields\":[],"
    "\"settings\":{},\"egress\":[],\"ranges\":[],\"workspaces\":[\"*\"],"
    "\"limits\":{\"memory_mb\":64,\"cpu_s\":5,\"wall_s\":30,\"output_kb\":64,\"log_kb\":64,\"dials\":4,\"up_kb\":1024,"
    "\"down_kb\":1024,\"concurrency\":1}}\n"
    "{\"name\":\"kept\",\"plugin\":\"echo\",\"version\":\"1.0.0\",\"summary\":\"kept\",\"state\":\"enabled\","
    "\"capture\":\"input reply\",\"digest\":\"55" ZEROS62 "\",\"so_digest\":\"22" ZEROS62 "\","
    "\"manifest_digest\":\"33" ZEROS62 "\",\"isolation\":\"call\","
    "\"lease\":{\"calls\":1,\"age_s\":1,\"idle_s\":1,\"spares\":0},"
    "\"actions\":[{\"name\":\"say\",\"summary\":\"s\",\"input\":{},\"idempotent\":false,\"fields\":[]}],\"fields\":[],"
    "\"settings\":{},\"egress\":[],\"ranges\":[],\"workspaces\":[\"default\"],"
    "\"limits\":{\"memory_mb\":64,\"cpu_s\":5,\"wall_s\":30,\"output_kb\":64,\"log_kb\":64,\"dials\":4,\"up_kb\":1024,"
    "\"down_kb\":1024,\"concurrency\":900}}\n";

/* ── frames ────────────────────────────────────────────────────────────────────────────────────────── */

void rig_send(struct rig *rig, int line, uint32_t generation, unsigned type, uint32_t seq, const void *body,
              size_t length, const int *fds, int fd_count)
{
    struct msg_head head = {.type = (uint16_t)type, .generation = generation, .seq = seq};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    for (int failed; (failed = wire_send(line, pieces, length ? 2 : 1, fds, fd_count));) {
        assert_int_equal(failed, EAGAIN);
        struct pollfd room = {.fd = line, .events = POLLOUT};
        assert_true(poll(&room, 1, PATIENCE_S * 1000) > 0);
    }
}

static bool take_frame(struct rig *rig, int line, struct msg_head *head, int wait_ms)
{
    if (!wire_wait(line, clock_now() + (uint64_t)wait_ms * CLOCK_MS)) return false;
    wire_drop(&rig->frame);
    if (wire_take(line, &rig->frame) != WIRE_FRAME) return false;
    assert_true(rig->frame.length >= sizeof *head);
    memcpy(head, rig->frame.bytes, sizeof *head);
    return true;
}

static const void *body_of(struct rig *rig)
{
    return rig->frame.bytes + sizeof(struct msg_head);
}

/* ── the vault ─────────────────────────────────────────────────────────────────────────────────────── */

enum { SEED_AT = 32 };

/* Stands in for wrapping: the master key's name, and the seed as it is. */
static void make_signer(struct rig *rig, const struct msg_signer_new *ask, struct msg_signer_new_answer *answer)
{
    uint8_t secret[64], public[32];
    char text[640];
    struct signer_key *key = &answer->key;
    BUF_AUTO old = {.max = 512};
    BUF_AUTO new = {.max = 512};
    memcpy(key->after, ask->old.public, sizeof key->after);
    memcpy(key->secret.bytes + WRAP_NAME_AT, ask->under_next ? rig->next.name : rig->now.name, KEY_NAME);
    randombytes_buf(key->secret.bytes + SEED_AT, crypto_sign_SEEDBYTES);
    crypto_sign_seed_keypair(key->public, secret, key->secret.bytes + SEED_AT);
    if (sodium_is_zero(key->after, sizeof key->after)) return;
    assert_true(note_vkey(ask->origin, ask->old.public, &old) && note_vkey(ask->origin, key->public, &new));
    int length = snprintf(text, sizeof text, "caisson key roll v1\n%s\n%s\n", old.bytes, new.bytes);
    crypto_sign_seed_keypair(public, secret, ask->old.secret.bytes + SEED_AT);
    crypto_sign_detached(answer->sign, NULL, (unsigned char *)text, (size_t)length, secret);
}

static void sign(struct rig *rig, const struct msg_sign *ask, struct msg_sign_answer *answer)
{
    char text[512], root[64];
    answer->last_size = rig->signed_size;
    memcpy(answer->last_root, rig->signed_root, HASH_BYTES);
    crypto_sign_seed_keypair(rig->sign_public, rig->sign_secret, ask->signer.secret.bytes + SEED_AT);
    assert_memory_equal(rig->sign_public, ask->signer.public, 32);
    if (rig->refusing) {
        answer->status.kind = rig->refusing;
        strcpy(answer->status.text, "this key is not known here");
        return;
    }
    /* The next epoch begins with its first entry. */
    if (rig->signed_size && ask->size == 1 && strcmp(rig->witness.origin, ask->origin) != 0) rig->signed_size = 0;
    if (ask->old_size != rig->signed_size || ask->size < ask->old_size ||
        (ask->old_size && !tree_check_consistency(ask->old_size, ask->size, rig->signed_root, ask->root, ask->proof,
                                                  ask->proof_count))) {
        answer->status.kind = ERR_STATE;
        return;
    }
    bool rolls = !sodium_is_zero(ask->next.public, 32), again = rig->signed_size == ask->size;
    if (!again || rolls) memcpy(rig->witness.key, rolls ? ask->next.public : ask->signer.public, 32);
    rig->signed_size = rig->witness.size = ask->size;
    memcpy(rig->signed_root, ask->root, HASH_BYTES);
    memcpy(rig->witness.root, ask->root, HASH_BYTES);
    memcpy(rig->witness.signed_by, ask->signer.public, 32);
    memcpy(rig->witness.origin, ask->origin, sizeof rig->witness.origin);
    if (sodium_is_zero(ask->signer.after, 32)) memcpy(rig->first_public, ask->signer.public, 32);
    rig->signatures++;
    rig->rolls += rolls;
    sodium_bin2base64(root, sizeof root, ask->root, HASH_BYTES, sodium_base64_VARIANT_ORIGINAL);
    int length = snprintf(text, sizeof text, "%s\n%llu\n%s\n", ask->origin, (unsigned long long)ask->size, root);
    memcpy(answer->key, rig->sign_public, 32);
    crypto_sign_detached(answer->signature, NULL, (unsigned char *)text, (size_t)length, rig->sign_secret);
}

/* Stands in for encryption: what is "sealed" is the box itself, as one field called password. */
static void seal(const struct msg_seal *ask, struct msg_seal_answer *answer)
{
    memset(answer->credential_key.bytes, 0xcc, WRAP_BYTES);
    memset(answer->audience_digest, ask->audience[0] ? 0xad : 0, HASH_BYTES);
    answer->field_count = 1;
    strcpy(answer->fields[0].name, "password");
    answer->fields[0].length = ask->box_length;
    memcpy(answer->bytes, ask->box, ask->box_length);
}

struct key_mark rig_mark(uint8_t byte)
{
    struct key_mark mark;
    memset(mark.name, byte, sizeof mark.name);
    memset(mark.check, byte ^ 0xff, sizeof mark.check);
    return mark;
}

/* What is wrapped anew differs in one byte, and names its new master key where it is under one. */
static void rewrap(struct rig *rig, const struct msg_rewrap *ask, struct msg_rewrap_answer *answer)
{
    answer->count = ask->count;
    for (uint32_t i = 0; i < ask->count; i++) {
        if (i < rig->unreadable) {
            answer->kinds[i] = ERR_STATE;
            continue;
        }
        answer->keys[i] = ask->items[i].key;
        answer->keys[i].bytes[100]++;
        if (ask->kind == REWRAP_WORKSPACE_KEY || ask->kind == REWRAP_SIGNER)
            memcpy(answer->keys[i].bytes + WRAP_NAME_AT, rig->next.name, KEY_NAME);
        rig->rewrapped++;
    }
}

static void renew(const struct msg_renew *ask, struct msg_seal_answer *answer)
{
    memset(answer->credential_key.bytes, 0xdd, WRAP_BYTES);
    memcpy(answer->audience_digest, ask->audience_digest, HASH_BYTES);
    answer->field_count = ask->field_count;
    memcpy(answer->fields, ask->fields, sizeof answer->fields);
    memcpy(answer->bytes, ask->bytes, sizeof answer->bytes);
}

static bool falls_silent(struct rig *rig, const struct msg_head *head)
{
    const struct msg_sign *ask = body_of(rig);
    if (head->type != rig->silent || rig->silenced) return false;
    if (head->type == MSG_SIGN && sodium_is_zero(ask->next.public, 32)) return false;
    return rig->silenced = true;
}

/* A wrapped key is the key itself here. */
static void make_subjects(const struct msg_subject_keys *ask, struct msg_subject_keys_answer *answer)
{
    answer->count = ask->count;
    for (uint32_t i = 0; i < ask->count; i++) {
        crypto_box_keypair(answer->publics[i], answer->secrets[i].bytes);
        memcpy(answer->secrets[i].bytes + 32, ask->ids[i], ID_BYTES);
    }
}

static void open_subjects(const struct msg_subject_open *ask, struct msg_subject_open_answer *answer)
{
    uint8_t box[SUBJECT_SEALED_MAX], inner[SUBJECT_SEALED_MAX];
    size_t length = 32 + (size_t)ask->count * 48;
    memcpy(box, ask->sealed, length);
    for (uint32_t i = ask->count; i-- > 0; length -= 48) {
        assert_memory_equal(ask->secrets[i].bytes + 32, ask->ids[i], ID_BYTES);
        if (crypto_box_seal_open(inner, box, length, ask->publics[i], ask->secrets[i].bytes) != 0) {
            answer->status.kind = ERR_STATE;
            return;
        }
        memcpy(box, inner, length - 48);
    }
    memcpy(answer->key, box, 32);
}

static void answer_vault(struct rig *rig, const struct msg_head *head)
{
    bool silent = falls_silent(rig, head);
    if (silent && !rig->silent_works) return;
    static union {
        struct msg_keys_answer marks;
        struct msg_rewrap_answer rewrapped;
        struct msg_workspace_key_answer keys;
        struct msg_seal_answer sealed;
        struct msg_open_key_answer opened;
        struct msg_sign_answer signature;
        struct msg_signer_new_answer signer;
        struct msg_subject_keys_answer subjects;
        struct msg_subject_open_answer subject;
    } answer;
    static const struct {
        unsigned ask, answer;
        size_t length;
    } rows[] = {{MSG_WORKSPACE_KEY, MSG_WORKSPACE_KEY_ANSWER, sizeof answer.keys},
                {MSG_SEAL, MSG_SEAL_ANSWER, sizeof answer.sealed},
                {MSG_OPEN_KEY, MSG_OPEN_KEY_ANSWER, sizeof answer.opened},
                {MSG_KEYS, MSG_KEYS_ANSWER, sizeof answer.marks},
                {MSG_REWRAP, MSG_REWRAP_ANSWER, sizeof answer.rewrapped},
                {MSG_RENEW, MSG_SEAL_ANSWER, sizeof answer.sealed},
                {MSG_SIGNER_NEW, MSG_SIGNER_NEW_ANSWER, sizeof answer.signer},
                {MSG_SIGN, MSG_SIGN_ANSWER, sizeof answer.signature},
                {MSG_SUBJECT_KEYS, MSG_SUBJECT_KEYS_ANSWER, sizeof answer.subjects},
                {MSG_SUBJECT_OPEN, MSG_SUBJECT_OPEN_ANSWER, sizeof answer.subject}};
    memset(&answer, 0, sizeof answer);
    if (head->type == MSG_WORKSPACE_KEY)
        memset(&answer.keys.workspace_key, 0x77, sizeof answer.keys - sizeof answer.keys.status);
    if (head->type == MSG_WORKSPACE_KEY)
        memcpy(answer.keys.workspace_key.bytes + WRAP_NAME_AT,
               ((const struct msg_workspace_key *)body_of(rig))->under_next ? rig->next.name : rig->now.name, KEY_NAME);
    if (head->type == MSG_KEYS) answer.marks.now = rig->now, answer.marks.next = rig->next;
    if (head->type == MSG_REWRAP) rewrap(rig, body_of(rig), &answer.rewrapped);
    if (head->type == MSG_RENEW) renew(body_of(rig), &answer.sealed);
    if (head->type == MSG_SEAL) seal(body_of(rig), &answer.sealed);
    if (head->type == MSG_OPEN_KEY)
        memcpy(answer.opened.key, ((const struct msg_open_key *)body_of(rig))->sealed_key, 32);
    if (head->type == MSG_SIGNER_NEW) make_signer(rig, body_of(rig), &answer.signer);
    if (head->type == MSG_SUBJECT_KEYS) make_subjects(body_of(rig), &answer.subjects);
    if (head->type == MSG_SUBJECT_OPEN) open_subjects(body_of(rig), &answer.subject);
    if (head->type == MSG_SIGN) sign(rig, body_of(rig), &answer.signature);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].ask == head->type && !silent)
            rig_send(rig, rig->vault, rig->vault_generation, rows[i].answer, head->seq, &answer, rows[i].length, NULL,
                     0);
}

static bool vault_question(unsigned type)
{
    return type == MSG_WORKSPACE_KEY || type == MSG_SEAL || type == MSG_OPEN_KEY || type == MSG_SIGNER_NEW ||
           type == MSG_SIGN || type == MSG_KEYS || type == MSG_REWRAP || type == MSG_RENEW ||
           type == MSG_SUBJECT_KEYS || type == MSG_SUBJECT_OPEN;
}

/* Answers what the vault was asked; gives up when an order stands first (the test takes that itself). */
static void serve_vault(struct rig *rig)
{
    unsigned char peek[sizeof(struct msg_head)];
    struct msg_head head;
    while (!rig->mute_vault && recv(rig->vault, peek, sizeof peek, MSG_PEEK | MSG_DONTWAIT) == sizeof peek) {
        memcpy(&head, peek, sizeof head);
        if (!vault_question(head.type)) return;
        assert_true(take_frame(rig, rig->vault, &head, 0));
        answer_vault(rig, &head);
    }
}

void rig_until_silenced(struct rig *rig)
{
    uint64_t until = clock_now() + PATIENCE_S * CLOCK_S;
    while (!rig->silenced && clock_now() < until) {
        struct pollfd one = {.fd = rig->vault, .events = POLLIN};
        poll(&one, 1, 20);
        serve_vault(rig);
    }
    assert_true(rig->silenced);
}

const void *rig_take(struct rig *rig, int line, unsigned type, uint32_t *seq)
{
    struct msg_head head;
    uint64_t until = clock_now() + PATIENCE_S * CLOCK_S;
    while (clock_now() < until) {
        struct pollfd both[2] = {{.fd = line, .events = POLLIN}, {.fd = rig->vault, .events = POLLIN}};
        poll(both, line == rig->vault || rig->vault < 0 || rig->mute_vault ? 1 : 2, 20);
        if (line != rig->vault && rig->vault >= 0) serve_vault(rig);
        if (!(both[0].revents & POLLIN) || !take_frame(rig, line, &head, 0)) {
            if (both[0].revents & POLLHUP)
                fail_msg("the ledger closed the line while waiting for %s", msg_row(type)->name);
            continue;
        }
        if (head.type == type) {
            if (seq) *seq = head.seq;
            return body_of(rig);
        }
        if (line != rig->vault || !vault_question(head.type))
            fail_msg("%s came instead of %s", msg_row(head.type)->name, msg_row(type)->name);
        if (!rig->mute_vault) answer_vault(rig, &head);
    }
    fail_msg("%s did not come", msg_row(type)->name);
    return NULL;
}

/* ── the process ───────────────────────────────────────────────────────────────────────────────────── */

static int memory(const char *text, size_t length)
{
    int fd = memfd_create("given", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, length), (ssize_t)length);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    return fd;
}

static void give(struct rig *rig, enum give_kind kind, int fd)
{
    struct ctl_give body = {.kind = (uint32_t)kind};
    rig_send(rig, rig->control, 0, CTL_GIVE, 0, &body, sizeof body, &fd, 1);
}

static int new_line(struct rig *rig, enum role_id peer, uint32_t index, uint32_t generation)
{
    int ends[2];
    struct err err;
    struct ctl_line body = {.peer = (uint32_t)peer, .index = index, .generation = generation};
    assert_true(wire_pair(ends, &err));
    rig_send(rig, rig->control, 0, CTL_LINE, 0, &body, sizeof body, &ends[1], 1);
    close(ends[1]);
    return ends[0];
}

static void close_slot(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void close_lines(struct rig *rig)
{
    close_slot(&rig->control);
    for (int i = 0; i < RIG_FRONTS; i++) close_slot(&rig->front[i]);
    close_slot(&rig->desk);
    close_slot(&rig->vault);
    close_slot(&rig->broker);
    close_slot(&rig->runner);
    close_slot(&rig->peers[0]);
    close_slot(&rig->peers[1]);
    close_slot(&rig->door);
}

static void spawn(struct rig *rig)
{
    int ends[2];
    struct err err;
    assert_true(wire_pair(ends, &err));
    if (rig->shim) shim_before(rig->shim);
    rig->pid = fork();
    assert_true(rig->pid >= 0);
    if (rig->pid == 0) {
        if (rig->shim) shim_inside(rig->shim);
        if (ends[1] == 3)
            fcntl(3, F_SETFD, 0);
        else
            dup2(ends[1], 3);
        close_range(4, ~0U, 0);
        setenv("ASAN_OPTIONS", "detect_leaks=0", 0); /* a leak check is one more process: not behind these walls */
        execl(ledger_path, ledger_path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    rig->control = ends[0];
    if (rig->shim) shim_outside(rig->shim, rig->pid);
}

void rig_replace(struct rig *rig, enum role_id peer)
{
    struct {
        enum role_id peer;
        int *line;
        uint32_t *generation;
    } rows[] = {{ROLE_DESK, &rig->desk, &rig->desk_generation},
                {ROLE_VAULT, &rig->vault, &rig->vault_generation},
                {ROLE_BROKER, &rig->broker, &rig->broker_generation},
                {ROLE_RUNNER, &rig->runner, &rig->runner_generation}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].peer != peer) continue;
        close_slot(rows[i].line);
        *rows[i].line = new_line(rig, peer, 0, ++*rows[i].generation);
    }
    if (peer != ROLE_FRONT) return;
    rig->front_generation++;
    for (uint32_t i = 0; i < RIG_FRONTS; i++) {
        close_slot(&rig->front[i]);
        rig->front[i] = new_line(rig, ROLE_FRONT, i, rig->front_generation);
    }
}

/* The socket that connections are accepted on, front's and desk's alike; its name goes into the configuration. */
static int open_door(struct rig *rig, char name[ROLE_SOCKET_NAME])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/door", rig->path);
    unlink(address.sun_path);
    int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(door, 4), 0);
    assert_true(role_socket_name(door, name));
    return door;
}

static int config_file(struct rig *rig)
{
    char name[ROLE_SOCKET_NAME];
    close_slot(&rig->door);
    rig->door = open_door(rig, name);
    JSON_AUTO *config = json_loads(rig->config, 0, NULL);
    assert_non_null(config);
    json_object_set_new(config, "doors", json_pack("{s:s, s:s}", "front", name, "desk", name));
    FREE_AUTO char *text = json_dumps(config, 0);
    return memory(text, strlen(text));
}

void rig_configure(struct rig *rig, const char *config)
{
    snprintf(rig->config, sizeof rig->config, "%s", config);
    FD_AUTO file = config_file(rig);
    give(rig, GIVE_CONFIG, file);
}

static void begin_start(struct rig *rig)
{
    struct ctl_start start = {.start = clock_now(), .log_level = LOG_LEVEL_INFO, .frozen = rig->frozen};
    memcpy(start.instance, rig->instance, ID_BYTES);
    spawn(rig);
    int config = config_file(rig), registry = memory(registry_text, strlen(registry_text));
    give(rig, GIVE_CONFIG, config);
    give(rig, GIVE_REGISTRY, registry);
    give(rig, GIVE_DATA, rig->data);
    if (rig->witness.size) {
        FD_AUTO witness = memory((const char *)&rig->witness, sizeof rig->witness);
        give(rig, GIVE_WITNESS, witness);
    }
    close(config);
    close(registry);
    static const enum role_id all[] = {ROLE_FRONT, ROLE_DESK, ROLE_VAULT, ROLE_BROKER, ROLE_RUNNER};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) rig_replace(rig, all[i]);
    rig_send(rig, rig->control, 0, CTL_START, 0, &start, sizeof start, NULL, 0);
}

const struct msg_hello_answer *rig_hello(struct rig *rig, int line, uint32_t generation, int fd)
{
    rig_send(rig, line, generation, MSG_HELLO, ++rig->seq, NULL, 0, &fd, 1);
    return rig_take(rig, line, MSG_HELLO_ANSWER, NULL);
}

static uint32_t show(struct rig *rig, int line, uint32_t generation, int *kept)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    *kept = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getsockname(rig->door, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect(*kept, (struct sockaddr *)&address, length), 0);
    FD_AUTO accepted = accept4(rig->door, NULL, NULL, SOCK_CLOEXEC);
    const struct msg_hello_answer *answer = rig_hello(rig, line, generation, accepted);
    assert_int_equal(answer->status.kind, ERR_NONE);
    return answer->principal;
}

void rig_start(struct rig *rig, bool fresh)
{
    if (fresh) id_new(rig->instance);
    begin_start(rig);
    struct msg_head head;
    while (take_frame(rig, rig->control, &head, PATIENCE_S * 1000) && head.type != CTL_READY)
        if (head.type == CTL_FAILED) fail_msg("%s", ((const struct ctl_failed *)body_of(rig))->status.text);
    assert_int_equal(head.type, CTL_READY);
    rig->principal = show(rig, rig->front[0], rig->front_generation, &rig->peers[0]);
    rig->desk_principal = show(rig, rig->desk, rig->desk_generation, &rig->peers[1]);
}

const char *rig_start_failing(struct rig *rig)
{
    static char text[256];
    struct msg_head head = {0};
    begin_start(rig);
    assert_true(take_frame(rig, rig->control, &head, PATIENCE_S * 1000));
    assert_int_equal(head.type, CTL_FAILED);
    snprintf(text, sizeof text, "%s", ((const struct ctl_failed *)body_of(rig))->status.text);
    waitpid(rig->pid, NULL, 0);
    rig->pid = 0;
    close_lines(rig);
    return text;
}

void rig_kill(struct rig *rig)
{
    if (rig->pid <= 0) return;
    kill(rig->pid, SIGKILL);
    waitpid(rig->pid, NULL, 0);
    rig->pid = 0;
    close_lines(rig);
}

/* The ledger ends by itself when its parent's line is closed; until then its last checkpoint is signed. */
void rig_stop(struct rig *rig)
{
    int status = 0;
    if (rig->pid <= 0) return;
    close_slot(&rig->control);
    for (int i = 0; i < 400 && waitpid(rig->pid, &status, WNOHANG) == 0; i++) {
        struct pollfd one = {.fd = rig->vault, .events = POLLIN};
        poll(&one, 1, 50);
        serve_vault(rig);
    }
    rig->pid = 0;
    close_lines(rig);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void rig_init(struct rig *rig, const char *config)
{
    memset(rig, 0, sizeof *rig);
    rig->control = rig->desk = rig->vault = rig->broker = rig->runner = rig->peers[0] = rig->peers[1] = rig->door = -1;
    for (int i = 0; i < RIG_FRONTS; i++) rig->front[i] = -1;
    rig->now = rig_mark(0x77); /* as the workspace keys that this vault makes are named */
    snprintf(rig->config, sizeof rig->config, "%s", config ? config : "{\"reserve_mb\":0}");
    const char *folder = getenv("TMPDIR");
    snprintf(rig->path, sizeof rig->path, "%.30s/caisson-ledger-XXXXXX", folder && *folder ? folder : "/tmp");
    assert_non_null(mkdtemp(rig->path));
    rig->data = open(rig->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rig->data >= 0 && sodium_init() >= 0);
}

void rig_clear(struct rig *rig)
{
    rig_kill(rig);
    wire_drop(&rig->frame);
    DIR *folder = fdopendir(rig->data);
    for (struct dirent *one; folder && (one = readdir(folder));) unlinkat(dirfd(folder), one->d_name, 0);
    if (folder) closedir(folder);
    rmdir(rig->path);
}

static int setup(void **state, bool with_shim)
{
    struct rig *rig = malloc(sizeof *rig);
    *state = rig;
    rig_init(rig, NULL);
    if (with_shim) assert_non_null(rig->shim = calloc(1, sizeof *rig->shim));
    rig_start(rig, true);
    return 0;
}

int rig_setup(void **state)
{
    return setup(state, false);
}

int rig_setup_shim(void **state)
{
    return setup(state, true);
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;
    rig_clear(rig);
    if (rig->shim) shim_end(rig->shim);
    free(rig->shim);
    free(rig);
    return 0;
}

void rig_nothing(struct rig *rig, int line)
{
    struct pollfd one = {.fd = line, .events = POLLIN};
    uint32_t kind;
    json_decref(rig_query(rig, MSG_HEALTH, json_object(), &kind)); /* answered after everything before it */
    assert_int_equal(kind, ERR_NONE);
    assert_int_equal(poll(&one, 1, 0), 0);
}
