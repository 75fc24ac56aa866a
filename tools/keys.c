/* SPDX-License-Identifier: Apache-2.0 */
/* Making, publishing and using the keys from the command line: the only place that ever creates a master key. */
#include "keys.h"

#include "keys_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/clock.h"

enum { PUBLIC_MAX = 1024, CHECK_BYTES = 8 };
static const char public_head[] = "caisson-vault-public-1";

/* ── making ────────────────────────────────────────────────────────────────────────────────────────── */

static bool write_text(int fd, const char *text, size_t length, struct err *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, text + done, length - done);
        if (put < 0 && errno != EINTR) return err_sys(err, ERR_IO, "cannot write");
        if (put > 0) done += (size_t)put;
    }
    return fsync(fd) == 0 || err_sys(err, ERR_IO, "cannot bring it to the disk");
}

static void draft_name(const char *name, char draft[64])
{
    snprintf(draft, 64, ".%s.new", name);
}

void key_file_drop_draft(int folder, const char *name)
{
    char draft[64];
    draft_name(name, draft);
    unlinkat(folder, draft, 0);
}

/* Whole or not at all: written under another name, brought to the disk, then linked to its own, never over another. */
bool key_file_put(int folder, const char *name, mode_t mode, const char *text, size_t length, bool replace,
                  struct err *err)
{
    char draft[64];
    draft_name(name, draft);
    unlinkat(folder, draft, 0);
    FD_AUTO fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return err_sys(err, ERR_IO, "cannot make keys/%s", name);
    bool good = (fchmod(fd, mode) == 0 || err_sys(err, ERR_IO, "cannot set its mode")) &&
                write_text(fd, text, length, err);
    if (!good) err_in(err, "writing keys/%s", name);
    if (good && replace && renameat(folder, draft, folder, name) < 0)
        good = err_sys(err, ERR_IO, "cannot name keys/%s", name);
    if (good && !replace && linkat(folder, draft, folder, name, 0) < 0)
        good = errno == EEXIST ? err_set(err, ERR_EXISTS, "there is a keys/%s already", name)
                               : err_sys(err, ERR_IO, "cannot name keys/%s", name);
    unlinkat(folder, draft, 0);
    if (good && fsync(folder) < 0) good = err_sys(err, ERR_IO, "cannot bring the folder keys to the disk");
    return good;
}

/* Ties the file's keys together and notices what was mistyped or cut. */
static void public_check(const struct keys_public *public, char digits[2 * CHECK_BYTES + 1])
{
    uint8_t all[2 * KEY_BYTES], hash[CHECK_BYTES];
    memcpy(all, public->submission, KEY_BYTES);
    memcpy(all + KEY_BYTES, public->identity, KEY_BYTES);
    crypto_generichash(hash, sizeof hash, all, sizeof all, NULL, 0);
    hex_text(hash, sizeof hash, digits);
}

void key_file_public(const uint8_t master[KEY_BYTES], struct keys_public *public)
{
    uint8_t secret[KEY_SIGN_SECRET];
    key_submission(master, KEY_VERSION, public->submission, secret);
    key_identity(master, KEY_VERSION, public->identity, secret);
    sodium_memzero(secret, sizeof secret);
}

bool key_file_put_public(int folder, const struct keys_public *public, bool replace, struct err *err)
{
    char submission[HASH_TEXT], identity[HASH_TEXT], check[2 * CHECK_BYTES + 1], text[PUBLIC_MAX];
    hex_text(public->submission, KEY_BYTES, submission);
    hex_text(public->identity, KEY_BYTES, identity);
    public_check(public, check);
    int length = snprintf(text, sizeof text, "%s\nsubmission-key %s\nidentity-key %s\ncheck %s\n", public_head,
                          submission, identity, check);
    return key_file_put(folder, "vault.pub", 0644, text, (size_t)length, replace, err);
}

static bool public_make(int folder, const uint8_t master[KEY_BYTES], struct err *err)
{
    struct keys_public public;
    key_file_public(master, &public);
    return key_file_put_public(folder, &public, false, err);
}

bool key_file_read(int folder, const char *name, const uint8_t *share, uint8_t master[KEY_BYTES], struct err *err)
{
    char text[MASTER_FILE_BYTES + 1];
    FD_AUTO fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_sys(err, ERR_IO, "cannot read keys/%s", name);
    ssize_t got = read(fd, text, sizeof text);
    bool good = got < 0 ? err_sys(err, ERR_IO, "cannot read keys/%s", name)
                        : master_parse_half(text, (size_t)got, share, master, err);
    sodium_memzero(text, sizeof text);
    return good || err_in(err, "keys/%s", name);
}

/* A new key beside old data would lock that data away for ever. */
static bool no_data_yet(int home, struct err *err)
{
    static const char *const files[] = {"data/vault.db", "data/audit.db", "data/state.db"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (faccessat(home, files[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return err_set(err, ERR_STATE,
                           "there is data but no keys/master.key: restore the key from its backup, a new one cannot "
                           "open what the old one sealed");
    return true;
}

bool key_file_folder(int home, int *folder, struct err *err)
{
    if (mkdirat(home, "keys", 0755) < 0 && errno != EEXIST) return err_sys(err, ERR_IO, "cannot make the folder keys");
    FD_AUTO fd = openat(home, "keys", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_sys(err, ERR_IO, "cannot open the folder keys");
    if (fsync(home) < 0) return err_sys(err, ERR_IO, "cannot bring the home folder to the disk");
    *folder = take_fd(&fd);
    return true;
}

/* The provider's half first: a file that names it must never be there without it. */
static bool create_master(int home, int folder, const struct keys_half *half, uint8_t master[KEY_BYTES],
                          struct err *err)
{
    char text[MASTER_FILE_BYTES];
    if (!no_data_yet(home, err)) return false;
    crypto_kdf_keygen(master);
    master_text_half(master, half ? half->share : NULL, text);
    if (half) unlinkat(folder, "provider.share", 0); /* of an attempt that came to nothing: it had no key */
    if (half && !key_file_put(folder, "provider.share", 0600, half->row, half->row_length, false, err)) return false;
    bool good = key_file_put(folder, "master.key", 0600, text, sizeof text, false, err);
    sodium_memzero(text, sizeof text);
    return good;
}

bool key_file_exists(int folder, const char *name)
{
    return faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool keys_create(int home_dirfd, struct err *err)
{
    return keys_create_half(home_dirfd, NULL, err);
}

bool keys_create_half(int home_dirfd, const struct keys_half *half, struct err *err)
{
    uint8_t master[KEY_BYTES];
    FD_AUTO folder = -1;
    if (!key_library(err) || !key_file_folder(home_dirfd, &folder, err)) return false;
    bool had_key = key_file_exists(folder, "master.key"), had_public = key_file_exists(folder, "vault.pub");
    bool good = had_key ? key_file_read(folder, "master.key", half ? half->share : NULL, master, err)
                        : create_master(home_dirfd, folder, half, master, err);
    if (good && !had_key && had_public && unlinkat(folder, "vault.pub", 0) < 0) /* of a key that is gone */
        good = err_sys(err, ERR_IO, "cannot replace keys/vault.pub");
    if (good && (!had_key || !had_public)) good = public_make(folder, master, err);
    sodium_memzero(master, sizeof master);
    if (good && had_key) return err_set(err, ERR_EXISTS, "there is a master key already; it was left as it is");
    return good;
}

/* ── replacing ─────────────────────────────────────────────────────────────────────────────────────────── */

bool keys_replace_row(int home_dirfd, const char *row, size_t length, struct err *err)
{
    FD_AUTO folder = -1;
    if (!key_file_folder(home_dirfd, &folder, err)) return false;
    if (row) return key_file_put(folder, "provider.share", 0600, row, length, true, err);
    return unlinkat(folder, "provider.share", 0) == 0 || errno == ENOENT ||
           err_sys(err, ERR_IO, "cannot take keys/provider.share away");
}

bool keys_put_recovery(int home_dirfd, const char *text, size_t length, struct err *err)
{
    FD_AUTO folder = -1;
    return key_file_folder(home_dirfd, &folder, err) &&
           key_file_put(folder, "recovery.age", 0600, text, length, true, err);
}

bool keys_master(int home_dirfd, const uint8_t *share, uint8_t master[KEY_BYTES], struct err *err)
{
    FD_AUTO folder = openat(home_dirfd, "keys", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) return err_sys(err, ERR_NOT_FOUND, "there is no folder keys here: run caisson init first");
    return key_library(err) && key_file_read(folder, "master.key", share, master, err);
}

bool keys_restore(int home_dirfd, const uint8_t master[KEY_BYTES], struct err *err)
{
    char text[MASTER_FILE_BYTES];
    FD_AUTO folder = -1;
    if (!key_library(err) || !key_file_folder(home_dirfd, &folder, err)) return false;
    master_text(master, text);
    bool good = key_file_put(folder, "master.key", 0600, text, sizeof text, false, err);
    sodium_memzero(text, sizeof text);
    return good;
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────── */

/* "WORD VALUE" as one line of *text; moves on behind it. */
static bool next_value(char **text, const char *word, char **value)
{
    char *end = strchr(*text, '\n');
    size_t length = strlen(word);
    if (!end || strncmp(*text, word, length) != 0 || (*text)[length] != ' ') return false;
    *end = '\0';
    *value = *text + length + 1;
    *text = end + 1;
    return true;
}

static bool public_parse(char *text, struct keys_public *public, struct err *err)
{
    char *submission, *identity, *said, check[2 * CHECK_BYTES + 1];
    size_t head = sizeof public_head - 1;
    if (strncmp(text, public_head, head) != 0 || text[head] != '\n')
        return err_set(err, ERR_MALFORMED,
                       "it is not a public key file of this release: delete it and run caisson init again");
    text += head + 1;
    bool good = next_value(&text, "submission-key", &submission) && next_value(&text, "identity-key", &identity) &&
                next_value(&text, "check", &said) && *text == '\0' &&
                hex_parse(submission, public->submission, KEY_BYTES) &&
                hex_parse(identity, public->identity, KEY_BYTES);
    if (good) public_check(public, check);
    if (!good || strcmp(check, said) != 0)
        return err_set(err, ERR_MALFORMED, "it is damaged: delete it and run caisson init again");
    public->version = KEY_VERSION;
    key_id_public(public->submission, public->submission_id);
    return true;
}

bool keys_read_public(int home_dirfd, struct keys_public *public, struct err *err)
{
    char text[PUBLIC_MAX];
    struct keys_public found = {0};
    if (!key_library(err)) return false;
    FD_AUTO fd = openat(home_dirfd, "keys/vault.pub", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "there is no keys/vault.pub here: run caisson init first")
                               : err_sys(err, ERR_IO, "cannot read keys/vault.pub");
    ssize_t got = read(fd, text, sizeof text - 1);
    if (got < 0) return err_sys(err, ERR_IO, "cannot read keys/vault.pub");
    text[got] = '\0';
    if (!public_parse(text, &found, err)) return err_in(err, "reading keys/vault.pub");
    *public = found;
    return true;
}

/* ── submitting ────────────────────────────────────────────────────────────────────────────────────── */

void keys_submission(struct submission *submission)
{
    memset(submission, 0, sizeof *submission);
    memcpy(submission->magic, "caisson-submit1", sizeof submission->magic);
    submission->issued_at = clock_wall() / CLOCK_S;
    randombytes_buf(submission->nonce, sizeof submission->nonce);
}

static size_t bytes_used(const struct submission *submission)
{
    if (submission->field_count == 0) return 0;
    uint32_t last = submission->field_count - 1;
    return submission->fields[last].offset + submission->fields[last].length;
}

bool keys_add_field(struct submission *submission, const char *name, const void *value, size_t length, struct err *err)
{
    size_t used = bytes_used(submission);
    if (!name_valid(name)) return err_set(err, ERR_BAD_INPUT, "a field's name is of a-z, 0-9, -, _ and inner dots");
    for (uint32_t i = 0; i < submission->field_count; i++)
        if (strcmp(submission->fields[i].name, name) == 0)
            return err_set(err, ERR_BAD_INPUT, "the field %s is given twice", name);
    if (submission->field_count == FRAME_FIELDS)
        return err_set(err, ERR_TOO_LARGE, "a credential has at most %d fields", FRAME_FIELDS);
    if (length > sizeof submission->bytes - used)
        return err_set(err, ERR_TOO_LARGE, "a credential's fields hold at most %zu bytes altogether",
                       sizeof submission->bytes);
    if (length) memcpy(submission->bytes + used, value, length);
    snprintf(submission->fields[submission->field_count].name, NAME_BYTES, "%s", name);
    submission->fields[submission->field_count].offset = (uint32_t)used;
    submission->fields[submission->field_count].length = (uint32_t)length;
    submission->field_count++;
    return true;
}

bool keys_seal(struct submission *submission, const uint8_t public[KEY_BYTES], uint8_t box[BOX_MAX], size_t *length,
               struct err *err)
{
    _Static_assert(sizeof *submission + crypto_box_SEALBYTES <= BOX_MAX, "a submission must fit into its message");
    if (!key_library(err)) return false;
    if (!name_in(submission->workspace, NAME_BYTES) || !name_in(submission->credential, NAME_BYTES) ||
        !name_in(submission->connector, NAME_BYTES))
        return err_set(err, ERR_BAD_INPUT,
                       "names of workspaces, credentials and connectors are of a-z, 0-9, -, _ and inner dots");
    key_id_public(public, submission->key_id);
    if (crypto_box_seal(box, (const uint8_t *)submission, sizeof *submission, public) != 0)
        return err_set(err, ERR_MALFORMED, "the vault's public key is not a usable key");
    *length = sizeof *submission + crypto_box_SEALBYTES;
    return true;
}
