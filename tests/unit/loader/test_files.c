/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must not be taken, and that a broken one stays alone. */
#include "stage.h"

#include <sys/sysmacros.h>

/* ── corpus 130: what a file must not be ───────────────────────────────────────────────────────────── */

static void make_symlink(const char *path)
{
    char other[256];
    path_of("elsewhere", other);
    put("elsewhere", manifest);
    assert_int_equal(symlink(other, path), 0);
}

static void make_hard_link(const char *path)
{
    char other[256];
    path_of("elsewhere", other);
    put("elsewhere", manifest);
    assert_int_equal(link(other, path), 0);
}

static void make_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0644), 0);
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_writable(const char *path)
{
    put("plugins/sms/manifest.json", manifest);
    assert_int_equal(chmod(path, 0666), 0);
}

static void make_group_writable(const char *path)
{
    put("plugins/sms/manifest.json", manifest);
    assert_int_equal(chmod(path, 0664), 0);
}

static void make_huge(const char *path)
{
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(ftruncate(fd, 100 * 1024 * 1024), 0);
}

static void make_nothing(const char *path)
{
}

static void manifests_that_are_no_files(void **state)
{
    static const struct {
        void (*make)(const char *);
        const char *problem;
    } rows[] = {{make_symlink, "symbolic link"},
                {make_hard_link, "hard link"},
                {make_fifo, "regular"},
                {make_folder, "regular"},
                {make_writable, "written by others"},
                {make_group_writable, "written by others"},
                {make_huge, "larger"},
                {make_nothing, "not there"}};
    char path[256];
    path_of("plugins/sms/manifest.json", path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        remove(path);
        rows[i].make(path);
        expect(0, "invalid", rows[i].problem);
    }
}

/* In root's pass only, as the next one: nobody else can make one. */
static void manifest_that_is_a_device(void **state)
{
    char path[256];
    path_of("plugins/sms/manifest.json", path);
    remove(path);
    assert_int_equal(mknod(path, S_IFCHR | 0644, makedev(1, 5)), 0);
    expect(0, "invalid", "regular");
}

/* Nobody else can give files away. */
static void other_owner(void **state)
{
    char path[256];
    static const char *const files[] = {"plugins/sms/manifest.json", "plugins/sms/sms.so", "plugins/sms",
                                        "plugins.d/10-sms.conf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        path_of(files[i], path);
        assert_int_equal(chown(path, 12345, 12345), 0);
        expect(0, "invalid", "somebody else");
        assert_int_equal(chown(path, 0, 0), 0);
    }
    expect(0, "enabled", NULL);
}

static void dropins_that_are_no_files(void **state)
{
    char path[256], target[256];
    path_of("plugins.d/05-link.conf", path);
    path_of("plugins.d/10-sms.conf", target);
    assert_int_equal(symlink(target, path), 0);
    expect(0, "invalid", "symbolic link");
    unlink(path);
    assert_int_equal(mkfifo(path, 0644), 0);
    expect(0, "invalid", "regular");
    expect(1, "enabled", NULL);
    unlink(path);
    assert_int_equal(chmod(target, 0666), 0);
    expect(0, "invalid", "written by others");
}

/* ── corpus 131, 133: paths ────────────────────────────────────────────────────────────────────────── */

static void paths(void **state)
{
    static const char *const bad[] = {"../plugins/sms", "..",   ".",       "/etc",   "/",
                                      "sms/../sms",     "sms/", ".hidden", "nowhere"};
    char text[512], so[HASH_TEXT], document[HASH_TEXT], path[256];
    digest_text(plugin_bytes, plugin_length, so);
    digest_text(manifest, strlen(manifest), document);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "[Plugin]\nName=sms\nPath=%s\nDigest=sha256:%s\nManifestDigest=sha256:%s\n", bad[i],
                 so, document);
        put("plugins.d/10-sms.conf", text);
        expect(0, "invalid", NULL);
    }
    snprintf(text, sizeof text, "[Plugin]\nName=sms\nPath=%s/plugins/sms\nDigest=sha256:%s\nManifestDigest=sha256:%s\n",
             home, so, document);
    put("plugins.d/10-sms.conf", text);
    expect(0, "enabled", NULL);
    /* the folder becomes a link to another one */
    char moved[256];
    path_of("plugins/sms", path);
    path_of("moved", moved);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(symlink(moved, path), 0);
    expect(0, "invalid", "symbolic link");
}

static void name_collision(void **state)
{
    put_dropin("20-thief.conf", "sms", manifest, "");
    expect(0, "enabled", NULL);
    expect(1, "invalid", "Name=sms");
}

static void names_of_files_are_shown_plainly(void **state)
{
    put("plugins.d/05-\x1b[31m\xff.conf", "x");
    JSON_AUTO *document = load_all();
    assert_string_equal(text_of(document, 0, "state"), "invalid");
    assert_string_equal(text_of(document, 0, "file"), "05-?[31m?.conf");
    assert_string_equal(text_of(document, 1, "state"), "enabled");
    close_plugins();
}

static void reasons_are_shown_plainly(void **state)
{
    char evil[512];
    snprintf(evil, sizeof evil, "{\"name\":\"sms\",\"%0*d\xc3\xa9\\u001b[2J\":1}", 78, 0);
    put("plugins/sms/manifest.json", evil);
    put_dropin("10-sms.conf", "sms", evil, "");
    put_dropin("20-good.conf", "good", evil, "");
    JSON_AUTO *document = load_all();
    assert_int_equal(count_of(document), 2);
    for (const char *at = text_of(document, 0, "problem"); *at; at++) assert_in_range(*at, 0x20, 0x7e);
    close_plugins();
}

/* ── corpus 125 to 128: objects that no cell would load ────────────────────────────────────────────────── */

static void objects_that_do_not_load(void **state)
{
    char text[1024], so[HASH_TEXT], document[HASH_TEXT];
    static char bytes[sizeof plugin_bytes];
    digest_text(manifest, strlen(manifest), document);
    for (size_t cut = 0; cut < 8192; cut += 509) { /* inside what is loaded, and approved as such */
        digest_text(plugin_bytes, cut, so);
        put_bytes("plugins/sms/sms.so", plugin_bytes, cut);
        snprintf(text, sizeof text, "[Plugin]\nName=sms\nDigest=sha256:%s\nManifestDigest=sha256:%s\n", so, document);
        put("plugins.d/10-sms.conf", text);
        expect(0, "invalid", NULL);
    }
    memcpy(bytes, plugin_bytes, plugin_length);
    bytes[4] = 1; /* 32 bit */
    digest_text(bytes, plugin_length, so);
    put_bytes("plugins/sms/sms.so", bytes, plugin_length);
    snprintf(text, sizeof text, "[Plugin]\nName=sms\nDigest=sha256:%s\nManifestDigest=sha256:%s\n", so, document);
    put("plugins.d/10-sms.conf", text);
    expect(0, "invalid", "ELF");
}

/* ── corpus 137: files that do not count ───────────────────────────────────────────────────────────── */

static void files_that_do_not_count(void **state)
{
    static const char *const ignored[] = {"20-a.conf~", ".20-a.conf",     "20-a.conf.bak", "20-a.conf.disabled",
                                          "README",     ".20-a.conf.swp", "#20-a.conf#",   "20-a.conf.dpkg-old"};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) put_dropin(ignored[i], "ghost", manifest, "");
    JSON_AUTO *document = load_all();
    assert_int_equal(count_of(document), 1);
    close_plugins();
}

static void order_of_names(void **state)
{
    put_dropin("90-z.conf", "z", manifest, "");
    put_dropin("05-a.conf", "a", manifest, "");
    JSON_AUTO *document = load_all();
    assert_string_equal(text_of(document, 0, "name"), "a");
    assert_string_equal(text_of(document, 1, "name"), "sms");
    assert_string_equal(text_of(document, 2, "name"), "z");
    close_plugins();
}

int main(int argc, char **argv)
{
    if (!stage_plugin(argc, argv)) return 2;
    const struct CMUnitTest tests[] = {
        CASE(manifests_that_are_no_files),
        CASE(dropins_that_are_no_files),
        CASE(paths),
        CASE(name_collision),
        CASE(names_of_files_are_shown_plainly),
        CASE(reasons_are_shown_plainly),
        CASE(objects_that_do_not_load),
        CASE(files_that_do_not_count),
        CASE(order_of_names),
    };
    const struct CMUnitTest as_root[] = {CASE(manifest_that_is_a_device), CASE(other_owner)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return geteuid() == 0 ? failed + cmocka_run_group_tests(as_root, NULL, NULL) : failed;
}
