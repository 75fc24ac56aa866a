/* SPDX-License-Identifier: Apache-2.0 */
/* What another process can read of the vault's memory: everything that the kernel shows to root is searched for the
 * canary and the keys, and for something that must be found, so that the search proves something. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"

static struct stored one;
static struct msg_order order;
static _Alignas(8) char bytes[FRAME_SECRET_MAX];

/* Searches what /proc/PID/mem gives; pages that even root may not read count as not readable. */
static unsigned search_memory(pid_t pid, const void *needle, size_t length)
{
    static unsigned char piece[1 << 16];
    char path[64], line[256];
    unsigned found = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    assert_non_null(maps);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    FD_AUTO memory = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(memory >= 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) != 2 || strstr(line, "[vvar")) continue;
        for (unsigned long at = from; at < to; at += 4096) {
            size_t count = to - at < 8192 ? to - at : 8192; /* pages overlap, so that nothing hides on an edge */
            ssize_t got = pread(memory, piece, count, (off_t)at);
            if (got <= 0 && count > 4096) got = pread(memory, piece, 4096, (off_t)at);
            if (got > 0 && memmem(piece, (size_t)got, needle, length)) found++;
        }
    }
    fclose(maps);
    return found;
}

static void use(struct harness *h)
{
    harness_workspace(h, &one);
    harness_store(h, &one, "");
    for (int i = 0; i < 20; i++) {
        make_order(&one, &order);
        send_order(h, &order);
        struct msg_half half = half_for(&order, 1);
        int pipe = send_half(h, &half);
        assert_true(read_secret(pipe, bytes) > 0);
        assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
        close(pipe);
    }
    harness_barrier(h);
}

static void secrets_not_found(void **state)
{
    struct harness *h = *state;
    struct err err;
    char text[MASTER_FILE_BYTES];
    uint8_t master[KEY_BYTES], public[KEY_BYTES], secret[KEY_SIGN_SECRET];
    use(h);
    assert_true(search_memory(h->pid, h->public.submission, KEY_BYTES) > 0); /* the search does search */
    assert_int_equal(search_memory(h->pid, CANARY_PASSWORD, strlen(CANARY_PASSWORD)), 0);
    assert_int_equal(search_memory(h->pid, CANARY_USER, strlen(CANARY_USER)), 0);
    FD_AUTO key = harness_key(h);
    assert_int_equal(read(key, text, sizeof text), sizeof text);
    assert_true(master_parse(text, sizeof text, master, &err));
    assert_int_equal(search_memory(h->pid, master, KEY_BYTES), 0);
    assert_int_equal(search_memory(h->pid, text + 21, 2 * KEY_BYTES), 0);
    key_wrapping(master, KEY_VERSION, public);
    assert_int_equal(search_memory(h->pid, public, KEY_BYTES), 0);
    key_submission(master, KEY_VERSION, public, secret);
    assert_int_equal(search_memory(h->pid, secret, KEY_BYTES), 0);
    key_identity(master, KEY_VERSION, public, secret);
    assert_int_equal(search_memory(h->pid, secret, KEY_BYTES), 0); /* the seed is its first half */
}

/* Where the kernel has no secret memory, keys are readable by root, but what was handed over is wiped at once. */
static void wiped_without_secret_memory(void **state)
{
    struct harness *h = *state;
    struct err err;
    char text[MASTER_FILE_BYTES];
    uint8_t master[KEY_BYTES], key[KEY_BYTES];
    harness_stop(h);
    harness_start(h, &(struct harness_start){.no_secret_memory = true});
    use(h);
    assert_int_equal(search_memory(h->pid, CANARY_PASSWORD, strlen(CANARY_PASSWORD)), 0);
    assert_int_equal(search_memory(h->pid, CANARY_USER, strlen(CANARY_USER)), 0);
    FD_AUTO file = harness_key(h);
    assert_int_equal(read(file, text, sizeof text), sizeof text);
    assert_true(master_parse(text, sizeof text, master, &err));
    assert_int_equal(search_memory(h->pid, master, KEY_BYTES), 0); /* only its children are kept */
    assert_int_equal(search_memory(h->pid, text + 21, 2 * KEY_BYTES), 0);
    key_wrapping(master, KEY_VERSION, key);
    assert_true(search_memory(h->pid, key, KEY_BYTES) > 0); /* it is the guarded kind, and the search finds it */
}

/* And in this very process, where it is, it is found. */
static void planted_is_found(void **state)
{
    char *planted = strdup("planted-");
    assert_non_null(planted);
    assert_true(search_memory(getpid(), CANARY_PASSWORD, strlen(CANARY_PASSWORD)) > 0);
    free(planted);
    (void)state;
}

/* A process of the same user, not root, gets nothing at all: not dumpable, whoever asks. */
static void same_user_gets_nothing(void **state)
{
    struct harness *h = *state;
    char path[64];
    static const char *const files[] = {"mem", "maps", "environ", "auxv", "fd"};
    if (geteuid() == 0) { /* root without its capabilities is such a user */
        pid_t child = fork();
        if (child == 0) {
            int denied = 0;
            for (int cap = 0; cap < 64; cap++) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
            if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) _exit(9);
            for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
                snprintf(path, sizeof path, "/proc/%d/%s", (int)h->pid, files[i]);
                denied += open(path, O_RDONLY) < 0;
            }
            _exit(denied);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 5);
        return;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)h->pid, files[i]);
        assert_true(open(path, O_RDONLY) < 0);
        assert_int_equal(errno, EACCES);
    }
}

/* Nothing but its lines is open, and nothing but libc and libsodium is mapped. */
static void holds_nothing_else(void **state)
{
    struct harness *h = *state;
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)h->pid);
    FILE *maps = fopen(path, "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        const char *slash = strchr(line, '/');
        if (!slash) continue;
        bool known = strstr(slash, "libc.so") || strstr(slash, "libsodium") || strstr(slash, "ld-linux") ||
                     strstr(slash, "caisson-vault") || strstr(slash, "secretmem") || strstr(slash, "san.so") ||
                     strstr(slash, "/libc-") || strstr(slash, "libgcc") || strstr(slash, "libm.so") ||
                     strstr(slash, "libstdc++");
        if (!known) fail_msg("%s", slash);
    }
    fclose(maps);
    for (int fd = 3; fd < 40; fd++) {
        char target[128] = "";
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)h->pid, fd);
        if (readlink(path, target, sizeof target - 1) < 0) continue;
        if (!strstr(target, "socket:") && !strstr(target, "eventpoll")) fail_msg("%d is %s", fd, target);
    }
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(secrets_not_found),      WITH_VAULT(wiped_without_secret_memory), cmocka_unit_test(planted_is_found),
        WITH_VAULT(same_user_gets_nothing), WITH_VAULT(holds_nothing_else),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
