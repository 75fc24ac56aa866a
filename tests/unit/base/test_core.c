/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, bytes, identifiers, UTF-8 and the clock. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/utf8.h"
#include "unit.h"

/* ── err ───────────────────────────────────────────────────────────────────────────────────────────── */

static void err_reads_outward(void **state)
{
    struct err err;
    assert_false(err_set(&err, ERR_NOT_FOUND, "no such credential"));
    assert_false(err_in(&err, "opening credential %s", "smtp/main"));
    assert_false(err_in(&err, "calling %s/%s", "email", "send"));
    assert_string_equal(err.text, "calling email/send: opening credential smtp/main: no such credential");
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(err.detail, "test_core.c:"));
}

static void err_sys_keeps_the_cause_out_of_the_text(void **state)
{
    struct err err;
    errno = ENOSPC;
    assert_false(err_sys(&err, ERR_IO, "cannot write the record"));
    assert_string_equal(err.text, "cannot write the record");
    assert_non_null(strstr(err.detail, "No space left"));
}

static void err_never_overflows(void **state)
{
    struct err err;
    char longish[2 * ERR_TEXT];
    memset(longish, 'x', sizeof longish);
    longish[sizeof longish - 1] = '\0';
    err_set(&err, ERR_IO, "%s", longish);
    assert_int_equal(strlen(err.text), ERR_TEXT - 1);
    for (int i = 0; i < 3; i++) err_in(&err, "context %s", longish);
    assert_int_equal(strlen(err.text), ERR_TEXT - 1);
    assert_memory_equal(err.text, "context ", 8);
}

static void err_rows_are_complete_and_unique(void **state)
{
    for (unsigned kind = 0; kind < ERR_KINDS; kind++) {
        const struct err_row *row = err_row((enum err_kind)kind);
        assert_non_null(row->slug);
        assert_non_null(row->title);
        assert_int_equal(err_kind_of(row->slug), kind);
        assert_true(row->http >= 200 && row->http < 600);
        assert_true(row->exit >= 0 && row->exit < 64);
        assert_int_equal(row->exit == 0, kind == ERR_NONE);
    }
    assert_ptr_equal(err_row((enum err_kind)9999), err_row(ERR_INTERNAL));
    assert_int_equal(err_kind_of("never heard of"), ERR_INTERNAL);
}

/* ── buf ───────────────────────────────────────────────────────────────────────────────────────────── */

static void buf_keeps_its_maximum(void **state)
{
    BUF_AUTO buf;
    buf_init(&buf, 10);
    assert_true(buf_text(&buf, "12345"));
    assert_true(buf_print(&buf, "%d", 6789));
    assert_false(buf_text(&buf, "xy"));
    assert_false(buf_print(&buf, "%s", "xy"));
    assert_false(buf_reserve(&buf, SIZE_MAX));
    assert_string_equal(buf.bytes, "123456789");
    assert_true(buf_text(&buf, "0"));
    assert_int_equal(buf.used, 10);
    buf_clear(&buf);
    buf_clear(&buf);
    assert_null(buf.bytes);
    assert_int_equal(buf.max, 10);
}

static void buf_holds_any_bytes(void **state)
{
    BUF_AUTO buf;
    buf_init(&buf, 1 << 20);
    for (int i = 0; i < 5000; i++) assert_true(buf_add(&buf, "\0\xff", 2));
    assert_int_equal(buf.used, 10000);
    for (size_t i = 0; i < buf.used; i++) assert_int_equal((unsigned char)buf.bytes[i], i % 2 ? 0xff : 0);
    assert_int_equal(buf.bytes[buf.used], 0);
    assert_true(buf_add(&buf, NULL, 0));
}

/* ── ids ───────────────────────────────────────────────────────────────────────────────────────────── */

static void ids_carry_the_time_and_read_back(void **state)
{
    uint8_t id[ID_BYTES], again[ID_BYTES];
    char text[ID_TEXT];
    clock_set(1, UINT64_C(0x0123456789ab) * CLOCK_MS);
    id_new(id);
    clock_set(0, 0);
    id_text(id, text);
    assert_int_equal(strlen(text), 36);
    assert_memory_equal(text, "01234567-89ab-7", 15);
    assert_non_null(strchr("89ab", text[19]));
    assert_true(id_parse(text, again));
    assert_memory_equal(id, again, ID_BYTES);
}

static void ids_sort_as_they_were_made(void **state)
{
    enum { COUNT = 10000 };
    uint8_t before[ID_BYTES], id[ID_BYTES];
    const uint64_t wall = UINT64_C(0x0123456789ab) * CLOCK_MS;
    clock_set(1, wall); /* it stands */
    id_new(before);
    for (int i = 0; i < COUNT; i++) {
        if (i == COUNT / 2) clock_set(1, wall - CLOCK_S / 2);
        id_new(id);
        assert_true(memcmp(before, id, ID_BYTES) < 0);
        memcpy(before, id, ID_BYTES);
    }
    clock_set(1, wall - 3600 * CLOCK_S); /* somebody set it right */
    id_new(id);
    clock_set(0, 0);
    assert_true(memcmp(id, before, ID_BYTES) < 0);
}

static void ids_differ(void **state)
{
    uint8_t one[ID_BYTES], other[ID_BYTES];
    id_new(one);
    id_new(other);
    assert_memory_not_equal(one, other, ID_BYTES);
}

static void ids_of_another_form_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "01234567-89ab-7000-8000-00000000000",   /* short */
        "01234567-89ab-7000-8000-0000000000000", /* long */
        "01234567-89AB-7000-8000-000000000000",  /* upper case */
        "01234567x89ab-7000-8000-000000000000",  /* no dash */
        "0123456789ab70008000000000000000",      /* none at all */
        "01234567-89ab-7000-8000-00000000000g",
        "{1234567-89ab-7000-8000-000000000000}",
    };
    uint8_t id[ID_BYTES];
    for (size_t i = 0; i < COUNT(wrong); i++) assert_false(id_parse(wrong[i], id));
}

static void names_have_one_grammar(void **state)
{
    static const struct {
        const char *name;
        bool fine;
    } cases[] = {
        {"email", true},
        {"e", true},
        {"smtp-main_2.eu", true},
        {"a23456789012345678901234567890123456789012345678901234567890123", true},
        {"a234567890123456789012345678901234567890123456789012345678901234", false},
        {"", false},
        {"Email", false},
        {"2fast", false},
        {"-a", false},
        {".a", false},
        {"a.", false},
        {"a..b", false},
        {"a/b", false},
        {"a b", false},
        {"a\n", false},
        {"\xc3\xa9t\xc3\xa9", false},
        {"../etc", false},
        {"a:b", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) assert_int_equal(name_valid(cases[i].name), cases[i].fine);
    char raw[8] = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
    assert_false(name_in(raw, sizeof raw));
    raw[7] = '\0';
    assert_true(name_in(raw, sizeof raw));
}

static void hex_takes_exactly_its_digits(void **state)
{
    uint8_t bytes[3];
    char text[7];
    assert_true(hex_parse("00ff7a", bytes, 3));
    hex_text(bytes, 3, text);
    assert_string_equal(text, "00ff7a");
    assert_false(hex_parse("00ff7", bytes, 3));
    assert_false(hex_parse("00ff7a0", bytes, 3));
    assert_false(hex_parse("00FF7a", bytes, 3));
    assert_false(hex_parse("", bytes, 3));
}

/* ── UTF-8 ─────────────────────────────────────────────────────────────────────────────────────────── */

static void utf8_is_rfc_3629(void **state)
{
    static const struct {
        const char *bytes;
        size_t length, points; /* points 0: not well formed */
    } cases[] = {
        {"a", 1, 1},
        {"\xc3\xa9", 2, 1},
        {"\xe2\x82\xac", 3, 1},
        {"\xf0\x9f\x98\x80", 4, 1},
        {"\xf4\x8f\xbf\xbf", 4, 1},
        {"\xc3\xa9\xe2\x82\xac!", 6, 3},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xe0\x80\x80", 3, 0},
        {"\xf0\x80\x80\x80", 4, 0}, /* overlong */
        {"\xed\xa0\x80", 3, 0},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xff", 1, 0},
        {"\x80", 1, 0},
        {"\xe2\x82", 2, 0},
        {"\xf0\x9f\x98", 3, 0},
        {"\xc3(", 2, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(utf8_valid(cases[i].bytes, cases[i].length), cases[i].points > 0);
        if (cases[i].points) assert_int_equal(utf8_count(cases[i].bytes, cases[i].length), cases[i].points);
    }
    assert_int_equal(utf8_step("", 0), 0);
}

/* ── clock ─────────────────────────────────────────────────────────────────────────────────────────── */

static void clock_counts_down(void **state)
{
    clock_set(1000 * CLOCK_MS, 5);
    assert_int_equal(clock_left_ms(1000 * CLOCK_MS), 0);
    assert_int_equal(clock_left_ms(1), 0);
    assert_int_equal(clock_left_ms(1000 * CLOCK_MS + 1), 1);
    assert_int_equal(clock_left_ms(1250 * CLOCK_MS), 250);
    assert_int_equal(clock_left_ms(UINT64_MAX), INT32_MAX);
    assert_int_equal(clock_wall(), 5);
    clock_set(0, 0);
    assert_true(clock_now() <= clock_now());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_reads_outward),
        cmocka_unit_test(err_sys_keeps_the_cause_out_of_the_text),
        cmocka_unit_test(err_never_overflows),
        cmocka_unit_test(err_rows_are_complete_and_unique),
        cmocka_unit_test(buf_keeps_its_maximum),
        cmocka_unit_test(buf_holds_any_bytes),
        cmocka_unit_test(ids_carry_the_time_and_read_back),
        cmocka_unit_test(ids_sort_as_they_were_made),
        cmocka_unit_test(ids_differ),
        cmocka_unit_test(ids_of_another_form_are_refused),
        cmocka_unit_test(names_have_one_grammar),
        cmocka_unit_test(hex_takes_exactly_its_digits),
        cmocka_unit_test(utf8_is_rfc_3629),
        cmocka_unit_test(clock_counts_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
