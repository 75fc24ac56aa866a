/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a home that the loader can read, and takes it away again. */
#include "stage.h"

#include <ftw.h>
#include <sodium.h>

char home[64];
char plugin_bytes[STAGE_PLUGIN];
size_t plugin_length;

bool stage_plugin(int argc, char **argv)
{
    FD_AUTO fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    ssize_t got = fd < 0 ? -1 : read(fd, plugin_bytes, sizeof plugin_bytes);
    plugin_length = got > 0 ? (size_t)got : 0;
    return got > 0 && plugin_length < sizeof plugin_bytes;
}

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

void put_bytes(const char *name, const char *bytes, size_t length)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    unlink(path);
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    assert_int_equal(fchmod(fd, 0644), 0);
}

void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

void put_plugin(void)
{
    put_bytes("plugins/sms/sms.so", plugin_bytes, plugin_length);
}

void path_of(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", home, name);
}

void digest_text(const char *bytes, size_t length, char text[HASH_TEXT])
{
    uint8_t digest[HASH_BYTES];
    crypto_hash_sha256(digest, (const unsigned char *)bytes, length);
    hex_text(digest, HASH_BYTES, text);
}

void put_dropin(const char *file, const char *name, const char *document, const char *rest)
{
    char text[4096], so[HASH_TEXT], asked[HASH_TEXT], path[300];
    digest_text(plugin_bytes, plugin_length, so);
    digest_text(document, strlen(document), asked);
    snprintf(text, sizeof text, "[Plugin]\nName=%s\nPath=sms\nDigest=sha256:%s\nManifestDigest=sha256:%s\n%s", name, so,
             asked, rest);
    snprintf(path, sizeof path, "plugins.d/%s", file);
    put(path, text);
}

const char manifest[] = MANIFEST("sms", "\"tls://{host}:{port}\"");

int set_up(void **state)
{
    char path[256];
    strcpy(home, "/tmp/caisson-entries-XXXXXX");
    umask(022);
    if (!mkdtemp(home) || sodium_init() < 0) return -1;
    path_of("plugins.d", path), mkdir(path, 0755);
    path_of("plugins", path), mkdir(path, 0755);
    path_of("plugins/sms", path), mkdir(path, 0755);
    put_plugin();
    put("plugins/sms/manifest.json", manifest);
    put_dropin("10-sms.conf", "sms", manifest, "[Grant]\nEgress=tls://api.example.com:443\n");
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    return remove(path);
}

int tear_down(void **state)
{
    return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ── loading ───────────────────────────────────────────────────────────────────────────────────────── */

int plugins[DROPINS_MAX];

json_t *load_all(void)
{
    struct loader loader = {.number = 3, .owner = geteuid(), .dir_count = 1};
    struct err err = {0};
    char path[256], folder[256];
    json_t *document = NULL;
    path_of("plugins.d", path);
    path_of("plugins", folder);
    FD_AUTO dropins = open(path, O_RDONLY | O_DIRECTORY);
    FD_AUTO below = open(folder, O_RDONLY | O_DIRECTORY);
    loader.plugins_d = dropins;
    loader.dirs[0] = below;
    loader.paths[0] = folder;
    if (!entries_load(&loader, &document, plugins, &err)) fail_msg("%s", err.text);
    return document;
}

void close_plugins(void)
{
    for (int i = 0; i < DROPINS_MAX; i++) close_fd(&plugins[i]);
}

const char *text_of(const json_t *document, size_t index, const char *key)
{
    const char *text = json_string_value(
        json_object_get(json_array_get(json_object_get(document, "entries"), index), key));
    return text ? text : "";
}

size_t count_of(const json_t *document)
{
    return json_array_size(json_object_get(document, "entries"));
}

void expect(size_t index, const char *state, const char *problem)
{
    JSON_AUTO *document = load_all();
    if (strcmp(text_of(document, index, "state"), state) != 0)
        fail_msg("%s, not %s: %s", text_of(document, index, "state"), state, text_of(document, index, "problem"));
    if (problem && !strstr(text_of(document, index, "problem"), problem))
        fail_msg("\"%s\" is not in: %s", problem, text_of(document, index, "problem"));
    assert_true((plugins[index] >= 0) == (strcmp(state, "enabled") == 0));
    close_plugins();
}
