/* SPDX-License-Identifier: Apache-2.0 */
/* Follows "next" from page to page, so that a list that is shown is the list that there is. */
#include "pages.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "verbs.h"

/* Pages may be empty: of calls, each is what 5000 of them hold of those that were asked for. */
enum { PAGES_MOST = 1000, CURSOR = 128 };

static bool get_page(const struct cli *cli, const struct pages *pages, const char *limit, const char *from,
                     json_t **page, struct err *err)
{
    char path[API_PATH];
    api_path(path, pages->path, NULL);
    api_query(path, "limit", limit);
    api_query(path, pages->cursor, from);
    return api_get(&cli->home, API_DESK, path, page, err);
}

/* A cursor is a name, an id or a number; "" where the list ends. */
static void read_next(const json_t *page, char next[CURSOR])
{
    const json_t *value = json_object_get(page, "next");
    if (json_is_integer(value))
        snprintf(next, CURSOR, "%lld", (long long)json_integer_value(value));
    else
        snprintf(next, CURSOR, "%s", json_is_string(value) ? json_string_value(value) : "");
}

/* What a page says beside its rows is taken from the first. */
static void join(json_t *whole, json_t *page)
{
    json_t *next = json_object_get(page, "next");
    json_array_extend((json_t *)print_list(whole), (json_t *)print_list(page));
    if (next)
        json_object_set(whole, "next", next);
    else
        json_object_del(whole, "next");
}

bool pages_get(const struct cli *cli, const struct pages *pages, json_t **answer, struct err *err)
{
    JSON_AUTO *whole = NULL;
    char next[CURSOR], left[32] = "";
    size_t most = pages->limit ? strtoul(pages->limit, NULL, 10) : SIZE_MAX, have = 0;
    if (!get_page(cli, pages, pages->limit, pages->from, &whole, err)) return false;
    read_next(whole, next);
    for (unsigned i = 1; i < PAGES_MOST && next[0] && (have = json_array_size(print_list(whole))) < most; i++) {
        JSON_AUTO *page = NULL;
        if (pages->limit) snprintf(left, sizeof left, "%zu", most - have);
        if (!get_page(cli, pages, left, next, &page, err)) return false;
        join(whole, page);
        read_next(whole, next);
    }
    *answer = take(&whole);
    return true;
}

bool pages_show(const struct cli *cli, const struct pages *pages, const struct print_field *fields, const char *none,
                struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!pages_get(cli, pages, &answer, err)) return false;
    verb_show_rows(cli, answer, fields, none);
    char next[CURSOR];
    read_next(answer, next);
    if (next[0]) fprintf(stderr, "There may be more: --%s %s\n", pages->cursor, next);
    return true;
}
