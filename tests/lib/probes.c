/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the probes of vectors/merkle-rfc6962. */
#include "probes.h"

#include <dirent.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* Some consistency probes say "whatever" in place of a root: that text's own hash stands for it, so that equal stays
 * equal. Elsewhere what is no hash is refused before there is anything to check. */
static bool read_hash(const json_t *value, bool loose, uint8_t out[PROBE_HASH])
{
    size_t length = 0;
    const char *text = json_string_value(value);
    unsigned char bytes[256];
    if (!text || sodium_base642bin(bytes, sizeof bytes, text, strlen(text), NULL, &length, NULL,
                                   sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    if (length == PROBE_HASH)
        memcpy(out, bytes, PROBE_HASH);
    else
        crypto_hash_sha256(out, bytes, length);
    return loose || length == PROBE_HASH;
}

/* Some are larger than jansson's numbers: taken from the text itself. */
static uint64_t number_in(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtoull(at + strcspn(at, ":") + 1, NULL, 10);
}

static bool read_probe(const char *text, const json_t *object, struct probe *probe)
{
    bool inclusion = probe->inclusion;
    const json_t *list = json_object_get(object, "proof");
    probe->first = number_in(text, inclusion ? "\"leafIdx\"" : "\"size1\"");
    probe->second = number_in(text, inclusion ? "\"treeSize\"" : "\"size2\"");
    if (!read_hash(json_object_get(object, inclusion ? "leafHash" : "root1"), !inclusion, probe->other) ||
        !read_hash(json_object_get(object, inclusion ? "root" : "root2"), !inclusion, probe->root))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (probe->count == PROBE_HASHES || !read_hash(json_array_get(list, i), false, probe->proof[probe->count++]))
            return false;
    return true;
}

static void one_file(const char *path, bool inclusion, probe_judge *judge, unsigned *good)
{
    char text[16384] = "";
    struct probe probe = {.inclusion = inclusion};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    json_t *object = json_loads(text, JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(object);
    bool wrong = json_is_true(json_object_get(object, "wantErr"));
    if ((read_probe(text, object, &probe) && judge(&probe)) == wrong)
        fail_msg("%s: %s", path, wrong ? "accepted" : "refused");
    *good += !wrong;
    json_decref(object);
}

static unsigned walk(const char *folder, bool inclusion, probe_judge *judge, unsigned *good)
{
    unsigned count = 0;
    DIR *files = opendir(folder);
    for (struct dirent *one; files && (one = readdir(files));) {
        char path[4096];
        if (one->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, one->d_name);
        if (one->d_type == DT_DIR)
            count += walk(path, inclusion, judge, good);
        else
            one_file(path, inclusion, judge, good), count++;
    }
    if (files) closedir(files);
    return count;
}

unsigned probes_run(const char *kind, probe_judge *judge, unsigned *good)
{
    char path[2048];
    const char *data = getenv("CAISSON_TEST_DATA");
    snprintf(path, sizeof path, "%s/vectors/merkle-rfc6962/%s", data ? data : SOURCE_ROOT "/../shared", kind);
    unsigned count = walk(path, strcmp(kind, "inclusion") == 0, judge, good);
    if (!count) print_message("skipped: no vectors/merkle-rfc6962 below CAISSON_TEST_DATA\n");
    return count;
}
