/* SPDX-License-Identifier: Apache-2.0 */
/* Backup of a running daemon, and its way back into a new home folder. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "backup.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "keys.h"
#include "print.h"
#include "provider.h"
#include "source.h"
#include "verbs.h"

enum { IDENTITIES = 16 * 1024, ID_DIGITS = 32 };

/* ── backup ────────────────────────────────────────────────────────────────────────────────────────────── */

/* The copies lie there in the clear: a signal takes them away too. */
static char copies[BACKUP_PATH], copy_files[16][BACKUP_PATH + 32];
static unsigned copy_count;

static void drop_copies(void)
{
    for (unsigned i = 0; i < copy_count; i++) unlink(copy_files[i]);
    rmdir(copies);
}

static void interrupted(int number)
{
    drop_copies();
    raise(number); /* to its default again: SA_RESETHAND */
}

static void name_copies(void)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    copy_count = 0;
    for (int kind = 0; kind < BACKUP_KINDS; kind++)
        for (const struct backup_file *file = backup_files((enum backup_kind)kind); file->name; file++)
            for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
                if (file->copied)
                    snprintf(copy_files[copy_count++], sizeof *copy_files, "%s/%s%s", copies, file->name, endings[i]);
}

static bool make_copies(const char *prefix, struct err *err)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
    int length = snprintf(copies, BACKUP_PATH, "%s.copies-XXXXXX", prefix);
    if (length >= BACKUP_PATH || !mkdtemp(copies))
        return err_sys(err, ERR_IO, "cannot make a folder beside %.200s: %s", prefix, strerrordesc_np(errno));
    name_copies();
    const struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESETHAND | SA_NODEFER};
    struct sigaction before;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    return true;
}

static bool free_name(const char *prefix, struct err *err)
{
    char path[BACKUP_PATH];
    for (int kind = 0; kind < BACKUP_KINDS; kind++) {
        backup_path(prefix, (enum backup_kind)kind, path);
        if (access(path, F_OK) == 0) return err_set(err, ERR_EXISTS, "there is a %.200s already", path);
    }
    return true;
}

static bool write_both(struct backup_source *source, const char *prefix, struct err *err)
{
    char first[BACKUP_PATH], second[BACKUP_PATH];
    backup_path(prefix, BACKUP_AUDIT, first);
    backup_path(prefix, BACKUP_VAULT, second);
    if (!backup_write(source, BACKUP_AUDIT, first, err)) return false;
    if (backup_write(source, BACKUP_VAULT, second, err)) return true;
    unlink(first);
    return false;
}

/* Written down and signed by a running daemon before the copy is made, so that the copy tells of itself and its
 * checkpoint covers that. Whether it does is of no account: what is copied are the files. */
static void announce(struct cli *cli, const char *id)
{
    struct err ignored = {0};
    JSON_AUTO *answer = NULL;
    if (verb_key_record(cli, "backup", id)) api_get(&cli->home, API_DESK, "/v1/audit/checkpoint", &answer, &ignored);
}

static void report_backup(struct cli *cli, const struct backup_source *source, const char *prefix)
{
    char path[BACKUP_PATH];
    struct stat status;
    snprintf(path, sizeof path, "%s/keys/recovery.age", cli->home.path);
    bool recovery = stat(path, &status) == 0;
    JSON_AUTO *report = json_pack("{s:s,s:I,s:I,s:b}", "backup", source->id, "entries",
                                  (json_int_t)source->copied.entries, "signed", (json_int_t)source->copied.size,
                                  "recovery", recovery);
    if (cli->json) {
        print_json(report);
        return;
    }
    printf("%s.audit.age: the log, %llu entries\n%s.vault.age: sealed credentials, tokens and names%s\n", prefix,
           (unsigned long long)source->copied.entries, prefix,
           recovery ? ", and the master key for the recovery recipient"
                    : ". The master key is not in it: keep it apart, or run caisson key recovery");
}

bool verb_backup(struct cli *cli, struct err *err)
{
    const char *prefix = cli_value(cli, "to"), *one;
    char id[ID_DIGITS + 1];
    uint8_t random[ID_DIGITS / 2];
    struct age_keys to = {0};
    unsigned at = 0;
    while ((one = cli_next(cli, "recipient", &at)))
        if (!age_add_recipient(one, &to, err)) return false;
    if (!prefix || !to.count)
        return err_set(err, ERR_USAGE,
                       "--to FILE and --recipient age1… are needed: who may open the backup (age-keygen)");
    if (!key_library(err) || !free_name(prefix, err)) return false;
    randombytes_buf(random, sizeof random);
    hex_text(random, sizeof random, id);
    announce(cli, id);
    umask(077);
    if (!make_copies(prefix, err)) return false;
    struct backup_source source = {.home = cli->home.path, .copies = copies, .id = id, .recipients = &to};
    bool good = audit_copy(cli->home.path, copies, &source.copied, err) && write_both(&source, prefix, err);
    drop_copies();
    if (good) report_backup(cli, &source, prefix);
    return good || err_in(err, "making a backup");
}

/* ── restore ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool read_identities(const char *file, struct age_keys *keys, struct err *err)
{
    char from[BACKUP_PATH];
    BUF_AUTO text;
    buf_init(&text, IDENTITIES);
    snprintf(from, sizeof from, "@%s", file);
    return source_read(from, &text, err) && age_add_identities(text.used ? text.bytes : "", keys, err);
}

/* Data that is there is somebody's: it is never written over. */
static bool empty_home(const char *home, struct err *err)
{
    static const char *const names[] = {"audit.db", "state.db", "vault.db", "audit.db-wal"};
    char path[BACKUP_PATH];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/data/%s", home, names[i]);
        if (access(path, F_OK) == 0)
            return err_set(err, ERR_STATE, "there is a data/%s here: move data/ and witness/ aside, they are evidence",
                           names[i]);
    }
    return true;
}

static bool same_backup(const json_t *one, const json_t *other, struct err *err)
{
    return json_equal(json_object_get(one, "backup"), json_object_get(other, "backup")) ||
           err_set(err, ERR_STATE, "the two files are of different backups");
}

/* The master key out of recovery.age. */
static bool open_recovery(const char *home, const struct age_keys *identities, uint8_t master[KEY_BYTES],
                          struct err *err)
{
    static struct age_reader reader;
    char path[BACKUP_PATH], text[MASTER_FILE_BYTES + 1];
    size_t used = 0, got = 1;
    snprintf(path, sizeof path, "%s/keys/recovery.age.restored", home);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND,
                       "this backup does not carry the master key: put keys/master.key back from where it is kept, and "
                       "leave --recovery out");
    bool good = age_open(&reader, fd, identities, err);
    while (good && got && used < sizeof text) {
        good = age_read(&reader, text + used, sizeof text - used, &got, err);
        used += good ? got : 0;
    }
    age_close(&reader);
    good = good && master_parse(text, used, master, err);
    sodium_memzero(text, sizeof text);
    return good || err_in(err, "the recovery copy of the master key");
}

static bool restore_key(struct cli *cli, const char *recovery, struct err *err)
{
    struct age_keys identities = {0};
    uint8_t master[KEY_BYTES];
    JSON_AUTO *keys = NULL;
    FD_AUTO folder = -1;
    if (!home_open(&cli->home, &folder, err)) return false;
    if (!recovery)
        return faccessat(folder, "keys/master.key", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
               err_set(err, ERR_STATE, "there is no keys/master.key here: put it back first, or give --recovery FILE");
    if (!provider_keys(&cli->home, NULL, &keys, err)) return false;
    if (strcmp(provider_name(keys), "file") != 0)
        return err_set(err, ERR_STATE,
                       "write Provider=file into caisson.conf first; later, caisson key rotate provider "
                       "splits the key again");
    bool good = read_identities(recovery, &identities, err) &&
                open_recovery(cli->home.path, &identities, master, err) && keys_restore(folder, master, err);
    sodium_memzero(&identities, sizeof identities);
    sodium_memzero(master, sizeof master);
    return good;
}

/* Every file was compared with its manifest: now they get their names. The log last: its presence is what makes this a
 * home with data. */
static bool give_names(const char *home, enum backup_kind kind, struct err *err)
{
    char from[BACKUP_PATH], to[BACKUP_PATH];
    for (const struct backup_file *file = backup_files(kind); file->name; file++) {
        snprintf(from, sizeof from, "%s/%s.restored", home, file->place);
        snprintf(to, sizeof to, "%s/%s", home, file->place);
        if (rename(from, to) < 0 && !(errno == ENOENT && file->optional))
            return err_sys(err, ERR_IO, "cannot name %s", file->place);
    }
    return true;
}

/* age says who may read a backup, never who wrote it: what is submitted from now on is sealed to the key that grows
 * from the master key here. Where its other half is not to be had, the file waits for it. */
static bool own_public(struct cli *cli, struct err *err)
{
    uint8_t share[KEY_BYTES];
    bool has = false;
    struct err away = {0};
    FD_AUTO folder = -1;
    if (!home_open(&cli->home, &folder, err)) return false;
    bool got = provider_share(&cli->home, share, &has, &away);
    bool good = !got || keys_publish(folder, has ? share : NULL, err);
    sodium_memzero(share, sizeof share);
    if (got) return good;
    if (unlinkat(folder, "keys/vault.pub", 0) < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, "keys/vault.pub cannot be removed");
    fputs("caisson: keys/vault.pub is to be made yet, by caisson init: ", stderr);
    print_tame(away.text, stderr);
    fputc('\n', stderr);
    return true;
}

static void report_restore(struct cli *cli, const json_t *manifest)
{
    const char *origin = json_string_value(json_object_get(manifest, "origin"));
    if (cli->json) {
        print_json(manifest);
        return;
    }
    printf("Restored into %s: the log %s with %lld entries. Start caissond, then caisson audit verify.\n",
           cli->home.path, origin && *origin ? origin : "(unsigned)",
           (long long)json_integer_value(json_object_get(manifest, "entries")));
}

bool verb_restore(struct cli *cli, struct err *err)
{
    const char *identity = cli_value(cli, "identity"), *home = cli->home.path;
    char path[BACKUP_PATH];
    struct age_keys identities = {0};
    JSON_AUTO *audit = NULL, *vault = NULL;
    if (!identity) return err_set(err, ERR_USAGE, "--identity FILE is needed: the key of age that opens the backup");
    source_shield();
    umask(077);
    if (!key_library(err) || !verb_init_home(cli, err) || !empty_home(home, err) ||
        !read_identities(identity, &identities, err))
        return err_in(err, "restoring");
    backup_path(cli->arguments[0], BACKUP_AUDIT, path);
    bool good = backup_read(path, BACKUP_AUDIT, home, &identities, &audit, err);
    backup_path(cli->arguments[0], BACKUP_VAULT, path);
    good = good && backup_read(path, BACKUP_VAULT, home, &identities, &vault, err) && same_backup(audit, vault, err) &&
           restore_key(cli, cli_value(cli, "recovery"), err) && give_names(home, BACKUP_VAULT, err) &&
           own_public(cli, err) && give_names(home, BACKUP_AUDIT, err);
    sodium_memzero(&identities, sizeof identities);
    if (good) report_restore(cli, audit);
    return good || err_in(err, "restoring");
}
