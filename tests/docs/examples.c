/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file as the daemon would: examples MANIFEST|DROPIN|CONFIG FILE; exit 0 when it is taken, else the reason. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "runtime/loader/manifest.h"
#include "runtime/loader/plugins_d.h"
#include "runtime/parent/config.h"

static bool read_manifest(const char *bytes, size_t length, struct err *err)
{
    struct manifest manifest = {0};
    bool good = manifest_read(bytes, length, &manifest, err);
    manifest_clear(&manifest);
    return good;
}

static bool read_dropin(const char *bytes, size_t length, struct err *err)
{
    struct dropin dropin = {0};
    bool good = plugins_d_read(bytes, length, "10-example.conf", &dropin, err);
    plugins_d_clear(&dropin);
    return good;
}

static bool read_config(const char *bytes, size_t length, struct err *err)
{
    struct config config = {0};
    bool good = config_read(bytes, length, "caisson.conf", 0, &config, err);
    if (good) config_clear(&config);
    return good;
}

static const struct {
    const char *kind;
    bool (*read)(const char *, size_t, struct err *);
} kinds[] = {{"manifest", read_manifest}, {"dropin", read_dropin}, {"config", read_config}};

int main(int count, char **arguments)
{
    static char bytes[256 * 1024];
    struct err err = {0};
    FILE *file = count == 3 ? fopen(arguments[2], "r") : NULL;
    size_t length = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (!file || fclose(file) != 0) return fprintf(stderr, "usage: examples manifest|dropin|config FILE\n"), 2;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].kind, arguments[1]) != 0) continue;
        if (kinds[i].read(bytes, length, &err)) return 0;
        return fprintf(stderr, "%s\n", err.text), 1;
    }
    return 2;
}
